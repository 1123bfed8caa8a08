//! Ends of ranges of scores and of members.
//!
//! Used by the commands, which read them, and by `ZSet`, which finds what lies between them.

use crate::base::num;

/// One end of a range of scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreBound {
    /// The score; never NaN.
    pub score: f64,
    /// Whether the score itself is outside of the range.
    pub exclusive: bool,
}

impl ScoreBound {
    /// Reads `1.5`, `(1.5`, `-inf` and the like; `None` for what is no number.
    pub fn parse(text: &[u8]) -> Option<ScoreBound> {
        let (exclusive, number) = match text {
            [b'(', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        Some(ScoreBound { score: num::parse_score_bound(number)?, exclusive })
    }

    /// An end that is part of its range.
    pub fn inclusive(score: f64) -> ScoreBound {
        ScoreBound { score, exclusive: false }
    }
}

/// The scores between two ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreRange {
    /// The lower end.
    pub min: ScoreBound,
    /// The upper end.
    pub max: ScoreBound,
}

impl ScoreRange {
    /// True if a score is not below the range.
    #[inline]
    pub fn reaches(&self, score: f64) -> bool {
        if self.min.exclusive { score > self.min.score } else { score >= self.min.score }
    }

    /// True if a score is above the range.
    #[inline]
    pub fn passed(&self, score: f64) -> bool {
        if self.max.exclusive { score >= self.max.score } else { score > self.max.score }
    }
}

/// One end of a range of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// Before every member: `-`.
    First,
    /// After every member: `+`.
    Last,
    /// At a member that is part of the range: `[member`.
    Inclusive(&'a [u8]),
    /// At a member that is not: `(member`.
    Exclusive(&'a [u8]),
}

impl<'a> LexBound<'a> {
    /// Reads `-`, `+`, `[member` and `(member`; `None` for anything else.
    pub fn parse(text: &'a [u8]) -> Option<LexBound<'a>> {
        match text {
            b"-" => Some(LexBound::First),
            b"+" => Some(LexBound::Last),
            [b'[', member @ ..] => Some(LexBound::Inclusive(member)),
            [b'(', member @ ..] => Some(LexBound::Exclusive(member)),
            _ => None,
        }
    }
}

/// The members between two ends, of a sorted set all of whose scores are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LexRange<'a> {
    /// The lower end.
    pub min: LexBound<'a>,
    /// The upper end.
    pub max: LexBound<'a>,
}

impl LexRange<'_> {
    /// True if a member is not before the range.
    #[inline]
    pub fn reaches(&self, member: &[u8]) -> bool {
        match self.min {
            LexBound::First => true,
            LexBound::Last => false,
            LexBound::Inclusive(min) => member >= min,
            LexBound::Exclusive(min) => member > min,
        }
    }

    /// True if a member is after the range.
    #[inline]
    pub fn passed(&self, member: &[u8]) -> bool {
        match self.max {
            LexBound::First => true,
            LexBound::Last => false,
            LexBound::Inclusive(max) => member > max,
            LexBound::Exclusive(max) => member >= max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_scores_are_read_as_redis_reads_them() {
        let bound = |score, exclusive| Some(ScoreBound { score, exclusive });
        assert_eq!(ScoreBound::parse(b"1.5"), bound(1.5, false));
        assert_eq!(ScoreBound::parse(b"(-inf"), bound(f64::NEG_INFINITY, true));
        assert_eq!(ScoreBound::parse(b"("), bound(0.0, true));
        for text in [&b"nan"[..], b"((1", b"x", b"[1", b"1 "] {
            assert_eq!(ScoreBound::parse(text), None);
        }
        let range = ScoreRange { min: ScoreBound::parse(b"(1").unwrap(), max: ScoreBound::parse(b"3").unwrap() };
        assert!(!range.reaches(1.0) && range.reaches(1.5) && !range.passed(3.0) && range.passed(3.5));
    }

    #[test]
    fn ends_of_members_are_read_as_redis_reads_them() {
        assert_eq!(LexBound::parse(b"-"), Some(LexBound::First));
        assert_eq!(LexBound::parse(b"["), Some(LexBound::Inclusive(b"")));
        assert_eq!(LexBound::parse(b"(a"), Some(LexBound::Exclusive(b"a")));
        for text in [&b""[..], b"a", b"-a", b"+a"] {
            assert_eq!(LexBound::parse(text), None);
        }
        let range = LexRange { min: LexBound::Exclusive(b"a"), max: LexBound::Inclusive(b"c") };
        assert!(!range.reaches(b"a") && range.reaches(b"aa") && !range.passed(b"c") && range.passed(b"ca"));
    }
}
