//! LCS: the longest common subsequence of two strings.
//!
//! Redis fills a table of the lengths for all pairs of prefixes and walks it backwards. All that the walk asks of the table
//! is whether a pair's length exceeds that of the pair with one byte of `b` less. That is one bit, and the bits of 64
//! pairs follow from the row above in a handful of instructions (Crochemore and others, "A fast and practical bit-vector
//! algorithm for the longest common subsequence problem", 2001): so this takes a thirty-second of the memory and a small
//! fraction of the time, and finds the same subsequence among equals.
//!
//! Called by the LCS handler alone, which is at the top; below it nothing knows of keys or replies.

use std::sync::Arc;

use super::string_in;
use crate::base::num;
use crate::command::spec::Outcome;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::{Job, Step, Work};
use crate::store::db::Moment;
use crate::store::entry::{TextBuffer, Value};

const WRONG_TYPE: ReplyError = ReplyError::new("ERR The specified keys must contain string values");
const LEN_AND_IDX: ReplyError = ReplyError::new("ERR If you want both the length and indexes, please just use IDX.");
const TOO_LONG: ReplyError = ReplyError::new("ERR String too long for LCS");
const OVER_LIMIT: ReplyError =
    ReplyError::new("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
const NO_MEMORY: ReplyError = ReplyError::new("ERR Insufficient memory, failed allocating transient memory for LCS");

/// Strings from this length on are refused, as in Redis.
const BYTES_LIMIT: u64 = u32::MAX as u64 - 1;

/// Bytes that Redis takes for each pair of prefixes; its limit on memory is kept, so that the same strings are refused.
const REDIS_PAIR_BYTES: u64 = 4;

/// Steps that are made at once: a few microseconds.
const PIECE: usize = 4096;
/// Steps that cost as much as an element that is gone by.
const STEPS_AN_ELEMENT: usize = 64;

#[derive(Debug, Default)]
struct Options {
    len: bool,
    idx: bool,
    with_match_len: bool,
    /// Shorter matches are left out of IDX.
    min_match_len: i64,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Options, ReplyError> {
        let mut options = Options::default();
        let mut index = 3;
        while index < args.len() {
            if args.is(index, "IDX") {
                options.idx = true;
            } else if args.is(index, "LEN") {
                options.len = true;
            } else if args.is(index, "WITHMATCHLEN") {
                options.with_match_len = true;
            } else if args.is(index, "MINMATCHLEN") && index + 1 < args.len() {
                index += 1;
                options.min_match_len = num::parse_i64(args.at(index)).ok_or(ReplyError::NOT_AN_INTEGER)?;
            } else {
                return Err(ReplyError::SYNTAX);
            }
            index += 1;
        }
        if options.idx && options.len { Err(LEN_AND_IDX) } else { Ok(options) }
    }
}

/// The LCS handler.
pub(super) fn lcs(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    if let Some(refused) = ctx.gathered::<ReplyError>() {
        return Err(*refused);
    }
    let at = ctx.at;
    // Redis looks both keys up before it complains about either.
    let (a, b) = (string_at(ctx, args.at(1), at), string_at(ctx, args.at(2), at));
    let (a, b) = (a?, b?);
    let options = Options::parse(args)?;
    check_size(&a, &b, ctx.server.config.proto_max_bulk_len)?;
    let mut finding = Finding::new(&b, !options.len);
    if ctx.is_long(finding.steps(&a, &b) / STEPS_AN_ELEMENT) {
        return ctx.become_job(Comparing { a, b, options, finding });
    }
    finding.go_on(&a, &b, |_| true)?;
    answer(&mut ctx.reply, &options, &a, &finding);
    Ok(Next::Done)
}

/// Answers what was found.
fn answer(reply: &mut Reply<'_>, options: &Options, a: &[u8], found: &Finding) {
    if options.len {
        reply.integer(found.common as i64);
    } else if options.idx {
        write_matches(reply, options, &found.matches, found.common);
    } else {
        let common: Vec<u8> = found.matches.iter().rev().flat_map(|m| &a[m.a..][..m.len]).copied().collect();
        reply.bulk(&common);
    }
}

/// LCS of long strings. They are shared, and do not change.
#[derive(Debug)]
struct Comparing {
    a: Arc<Vec<u8>>,
    b: Arc<Vec<u8>>,
    options: Options,
    finding: Finding,
}

impl Job for Comparing {
    fn step(&mut self, work: &mut Work<'_>) -> Step {
        let (slice, reply) = (&mut work.slice, &mut work.reply);
        match self.finding.go_on(&self.a, &self.b, |steps| slice.spend(steps.div_ceil(STEPS_AN_ELEMENT), 0)) {
            Ok(false) => Step::More,
            Ok(true) => {
                answer(reply, &self.options, &self.a, &self.finding);
                Step::Answered
            }
            // It is the handler's to refuse.
            Err(error) => Step::Gathered(Box::new(error)),
        }
    }
}

/// A key's string, by reference if it is long; none is an empty one.
fn string_at(ctx: &mut Ctx<'_>, key: &[u8], at: Moment) -> Result<Arc<Vec<u8>>, ReplyError> {
    let Some(entry) = ctx.db().lookup_read(key, at) else { return Ok(Arc::default()) };
    match string_in(&entry).map_err(|_| WRONG_TYPE)? {
        Value::Shared(shared) => Ok(Arc::clone(&shared)),
        short => Ok(Arc::new(short.text(&mut TextBuffer::new()).to_vec())),
    }
}

fn check_size(a: &[u8], b: &[u8], limit: u64) -> Result<(), ReplyError> {
    let (a, b) = (a.len() as u64, b.len() as u64);
    if a >= BYTES_LIMIT || b >= BYTES_LIMIT {
        return Err(TOO_LONG);
    }
    // Below 2^32 each, so only the last factor can overflow.
    match ((a + 1) * (b + 1)).checked_mul(REDIS_PAIR_BYTES) {
        Some(bytes) if bytes <= limit => Ok(()),
        _ => Err(OVER_LIMIT),
    }
}

fn write_matches(reply: &mut Reply<'_>, options: &Options, matches: &[Match], common: usize) {
    let shown = || matches.iter().filter(|m| m.len as i64 >= options.min_match_len);
    reply.map(2);
    reply.bulk_str("matches");
    reply.array(shown().count());
    for m in shown() {
        reply.array(2 + usize::from(options.with_match_len));
        for start in [m.a, m.b] {
            reply.array(2);
            reply.integer(start as i64);
            reply.integer((start + m.len - 1) as i64);
        }
        if options.with_match_len {
            reply.integer(m.len as i64);
        }
    }
    reply.bulk_str("len");
    reply.integer(common as i64);
}

/// Adjacent bytes that both strings have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Match {
    /// Where they begin in `a`.
    a: usize,
    /// Where they begin in `b`.
    b: usize,
    /// How many they are; never 0.
    len: usize,
}

/// A longest common subsequence being found, some steps at a time.
#[derive(Debug)]
struct Finding {
    /// All rows are kept, so that the matches can be found, and not only how many there are.
    keep: bool,
    stage: Stage,
    masks: Masks,
    /// Where the length of the longest common subsequence grows: bit `j` of row `i` is clear if that of `a[..=i]` and
    /// `b[..=j]` is longer than that of `a[..=i]` and `b[..j]`. Bits beyond the end of `b` are set. The rows one after the
    /// other, or the last one alone.
    rows: Vec<u64>,
    /// Words of a row, and of a mask.
    words: usize,
    /// Length of the longest common subsequence.
    common: usize,
    /// The matches of one, last first.
    matches: Vec<Match>,
}

/// What comes next, and from where on.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Which bytes `a` has.
    Letters(usize),
    /// Which of them `b` has: each gets a mask.
    Places(usize),
    /// The masks are cleared.
    Clear,
    /// The masks are filled.
    Mark(usize),
    /// A row from a word on, and what is carried into that.
    Row {
        i: usize,
        word: usize,
        carry: u64,
    },
    /// The last row is counted.
    Count(usize),
    /// The matches, before these bytes of `a` and `b`.
    Matches {
        i: usize,
        j: usize,
    },
    Over,
}

impl Finding {
    fn new(b: &[u8], keep: bool) -> Finding {
        Finding {
            keep,
            stage: Stage::Letters(0),
            masks: Masks { in_a: [false; 256], places: [0; 256], count: 0, bits: Vec::new() },
            rows: Vec::new(),
            words: b.len().div_ceil(64),
            common: 0,
            matches: Vec::new(),
        }
    }

    /// Steps that it takes, about: of bytes, or words.
    fn steps(&self, a: &[u8], b: &[u8]) -> usize {
        a.len().saturating_mul(self.words).saturating_add(2 * a.len() + 3 * b.len())
    }

    /// Goes on with the same strings until `go_on` returns false, which is told how many steps were made. True at the end.
    fn go_on(&mut self, a: &[u8], b: &[u8], mut go_on: impl FnMut(usize) -> bool) -> Result<bool, ReplyError> {
        loop {
            let steps = self.piece(a, b)?;
            if matches!(self.stage, Stage::Over) {
                return Ok(true);
            }
            if !go_on(steps) {
                return Ok(false);
            }
        }
    }

    /// Makes some steps. Returns how many.
    fn piece(&mut self, a: &[u8], b: &[u8]) -> Result<usize, ReplyError> {
        let (words, end_of) = (self.words, |at: usize, len: usize| len.min(at + PIECE));
        match self.stage {
            Stage::Letters(at) => {
                let end = end_of(at, a.len());
                a[at..end].iter().for_each(|&byte| self.masks.in_a[byte as usize] = true);
                self.stage = if end == a.len() { Stage::Places(0) } else { Stage::Letters(end) };
                Ok(end - at)
            }
            Stage::Places(at) => {
                let end = end_of(at, b.len());
                b[at..end].iter().for_each(|&byte| self.masks.note(byte));
                self.stage = Stage::Places(end);
                if end == b.len() {
                    let rows = if self.keep { a.len().max(1) } else { 1 };
                    self.masks.bits.try_reserve_exact(words * self.masks.count).map_err(|_| NO_MEMORY)?;
                    self.rows.try_reserve_exact(words * rows).map_err(|_| NO_MEMORY)?;
                    self.stage = Stage::Clear;
                }
                Ok(end - at)
            }
            Stage::Clear => {
                let (at, len) = (self.masks.bits.len(), words * self.masks.count);
                let end = end_of(at, len);
                self.masks.bits.resize(end, 0);
                if end == len {
                    self.stage = Stage::Mark(0);
                }
                Ok(end - at)
            }
            Stage::Mark(at) => {
                let end = end_of(at, b.len());
                (at..end).for_each(|j| self.masks.mark(b[j], j, words));
                self.stage = if end == b.len() { Stage::Row { i: 0, word: 0, carry: 0 } } else { Stage::Mark(end) };
                Ok(end - at)
            }
            Stage::Row { i, word, carry } => Ok(self.row(a, i, word, carry)),
            Stage::Count(at) => {
                let last = &self.rows[self.rows.len() - words..];
                let end = end_of(at, words);
                self.common += last[at..end].iter().map(|word| word.count_zeros() as usize).sum::<usize>();
                self.stage = match () {
                    () if end < words => Stage::Count(end),
                    () if self.keep => Stage::Matches { i: a.len(), j: b.len() },
                    () => Stage::Over,
                };
                Ok(end - at)
            }
            Stage::Matches { i, j } => {
                let (i, j) = self.walk(a, b, i, j);
                self.stage = if i > 0 && j > 0 { Stage::Matches { i, j } } else { Stage::Over };
                Ok(PIECE)
            }
            Stage::Over => Ok(0),
        }
    }

    /// Fills a part of a row, in the place of the row above it if that is not kept.
    fn row(&mut self, a: &[u8], i: usize, word: usize, mut carry: u64) -> usize {
        let end = self.words.min(word + PIECE);
        let first = if self.keep { i * self.words } else { 0 };
        if i == 0 {
            self.rows.resize(end, u64::MAX);
        } else if self.keep {
            let above = first - self.words;
            self.rows.extend_from_within(above + word..above + end);
        }
        if let Some(mask) = a.get(i).and_then(|&byte| self.masks.of(byte, self.words)) {
            carry = advance(&mut self.rows[first + word..first + end], &mask[word..end], carry);
        }
        self.stage = match () {
            () if end < self.words => Stage::Row { i, word: end, carry },
            () if i + 1 < a.len() => Stage::Row { i: i + 1, word: 0, carry: 0 },
            () => Stage::Count(0),
        };
        // A row of no words is looked at as well.
        (end - word).max(1)
    }

    fn grows_at(&self, i: usize, j: usize) -> bool {
        self.rows[i * self.words + j / 64] >> (j % 64) & 1 == 0
    }

    /// Looks for matches, backwards from before these bytes on. Returns how far it has come.
    fn walk(&mut self, a: &[u8], b: &[u8], mut i: usize, mut j: usize) -> (usize, usize) {
        for _ in 0..PIECE {
            if i == 0 || j == 0 {
                break;
            }
            if a[i - 1] != b[j - 1] {
                // Take back a byte of `b` unless that costs a byte of the subsequence: then one of `a`.
                if self.grows_at(i - 1, j - 1) {
                    i -= 1
                } else {
                    j -= 1
                }
                continue;
            }
            match self.matches.last_mut() {
                Some(last) if last.a == i && last.b == j => *last = Match { a: i - 1, b: j - 1, len: last.len + 1 },
                _ => self.matches.push(Match { a: i - 1, b: j - 1, len: 1 }),
            }
            (i, j) = (i - 1, j - 1);
        }
        (i, j)
    }
}

/// A part of a row from that of the row above it, given where `b` has the row's byte, and what is carried into it. Returns what is
/// carried out of it.
fn advance(row: &mut [u64], mask: &[u64], mut carry: u64) -> u64 {
    for (word, mask) in row.iter_mut().zip(mask) {
        let (sum, carry_1) = word.overflowing_add(*word & mask);
        let (sum, carry_2) = sum.overflowing_add(carry);
        carry = u64::from(carry_1 | carry_2);
        *word = sum | (*word & !mask);
    }
    carry
}

/// For each byte that both strings have, where `b` has it.
#[derive(Debug)]
struct Masks {
    in_a: [bool; 256],
    /// Place of a byte's mask + 1; 0 for bytes without one.
    places: [u16; 256],
    count: usize,
    bits: Vec<u64>,
}

impl Masks {
    /// Gives a byte of `b` a mask, if `a` has it.
    fn note(&mut self, byte: u8) {
        if self.in_a[byte as usize] && self.places[byte as usize] == 0 {
            self.count += 1;
            self.places[byte as usize] = self.count as u16;
        }
    }

    fn mark(&mut self, byte: u8, j: usize, words: usize) {
        if let Some(place) = self.places[byte as usize].checked_sub(1) {
            self.bits[place as usize * words + j / 64] |= 1 << (j % 64);
        }
    }

    fn of(&self, byte: u8, words: usize) -> Option<&[u64]> {
        let place = self.places[byte as usize].checked_sub(1)? as usize;
        Some(&self.bits[place * words..][..words])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    /// Redis's own way, table and all.
    fn naive(a: &[u8], b: &[u8]) -> (usize, Vec<Match>) {
        let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
        for i in 1..=a.len() {
            for j in 1..=b.len() {
                table[i][j] = match a[i - 1] == b[j - 1] {
                    true => table[i - 1][j - 1] + 1,
                    false => table[i - 1][j].max(table[i][j - 1]),
                };
            }
        }
        let (mut i, mut j) = (a.len(), b.len());
        let mut matches = Vec::new();
        let mut open: Option<Match> = None;
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                let len = open.map_or(0, |m| m.len) + 1;
                open = Some(Match { a: i - 1, b: j - 1, len });
                (i, j) = (i - 1, j - 1);
            } else {
                matches.extend(open.take());
                if table[i - 1][j] > table[i][j - 1] { i -= 1 } else { j -= 1 }
            }
        }
        matches.extend(open);
        (table[a.len()][b.len()], matches)
    }

    #[test]
    fn finds_what_the_table_finds() {
        let mut prng = Prng::seeded(7);
        for round in 0..2_000 {
            let letters = [1, 2, 3, 26, 256][round % 5];
            let longest = [3, 20, 70, 200][round / 5 % 4];
            let mut text = || -> Vec<u8> {
                let length = prng.below(longest + 1);
                (0..length).map(|_| prng.below(letters) as u8).collect()
            };
            let (a, b) = (text(), text());
            let (common, matches) = naive(&a, &b);
            let mut all = Finding::new(&b, true);
            all.go_on(&a, &b, |_| true).expect("little memory");
            assert_eq!((all.common, &all.matches), (common, &matches), "{a:?} {b:?}");
            let mut length = Finding::new(&b, false);
            length.go_on(&a, &b, |_| true).expect("little memory");
            assert_eq!((length.common, length.matches.len()), (common, 0));
        }
    }

    #[test]
    fn long_strings_are_compared_in_pieces_as_at_once() {
        let mut prng = Prng::seeded(8);
        for (a, b) in [(3, 70_000), (70_000, 3), (500, 2_000), (0, 5_000), (5_000, 0)] {
            let mut text = |length| -> Vec<u8> { (0..length).map(|_| prng.below(3) as u8).collect() };
            let (a, b) = (text(a), text(b));
            let (common, matches) = naive(&a, &b);
            for keep in [true, false] {
                let (mut finding, mut calls) = (Finding::new(&b, keep), 1);
                while !finding.go_on(&a, &b, |_| false).expect("little memory") {
                    calls += 1;
                }
                assert_eq!(finding.common, common);
                assert!(!keep || finding.matches == matches);
                assert!(calls > 4, "{calls}");
            }
        }
    }

    #[test]
    fn the_same_sizes_are_refused_as_by_redis() {
        let limit = 1 << 20;
        let (ok, over) = (vec![0; (1 << 18) - 1], vec![0; 1 << 18]);
        assert_eq!(check_size(&ok, b"", limit), Ok(()));
        assert_eq!(check_size(&over, b"", limit), Err(OVER_LIMIT));
        assert_eq!(check_size(b"", &over, limit), Err(OVER_LIMIT));
        assert_eq!(check_size(&ok, b"a", limit), Err(OVER_LIMIT));
    }
}
