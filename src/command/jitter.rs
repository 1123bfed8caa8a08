//! `JITTER percent`, an option of SET, EXPIRE and PEXPIRE that is ours: keys that are given the same time to live do not all fall due at
//! once.
//!
//! The key lives for `ttl * (1 - r * percent / 100)` with an `r` that is drawn evenly from `[0, 1)`: never longer than was asked for, and
//! for a millisecond at least. What is passed on to the log and to replicas is the deadline that came of it. With `redis-strict yes`
//! there is no such option.

use crate::base::num;
use crate::base::prng::Prng;
use crate::config::Config;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;

/// The name of the option.
pub(super) const NAME: &str = "JITTER";

const BAD_PERCENT: ReplyError = ReplyError::new("ERR JITTER must be an integer from 1 to 100");

/// By how much a time to live may be shortened: so many per cent of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Jitter(u8);

impl Jitter {
    /// Whether the option stands at an index, where there is such an option.
    pub fn is_at(args: Args<'_>, index: usize, config: &Config) -> bool {
        args.is(index, NAME) && !config.redis_strict
    }

    /// What stands behind the option's name at an index.
    ///
    /// # Errors
    /// A syntax error if nothing does; or it is no integer from 1 to 100.
    pub fn behind(args: Args<'_>, index: usize) -> Result<Jitter, ReplyError> {
        let text = args.get(index + 1).ok_or(ReplyError::SYNTAX)?;
        let percent = num::parse_i64(text).and_then(|percent| u8::try_from(percent).ok());
        percent.filter(|percent| (1..=100).contains(percent)).map(Jitter).ok_or(BAD_PERCENT)
    }

    /// A time to live, shortened by lot. One that is over already stays as it is.
    pub fn shorten(self, ttl_ms: i64, prng: &mut Prng) -> i64 {
        if ttl_ms <= 0 {
            return ttl_ms;
        }
        let span_ms = (ttl_ms as u128 * u128::from(self.0)).div_ceil(100) as u64;
        ttl_ms - prng.below(span_ms) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_shortened_within_its_bounds_and_evenly() {
        let mut prng = Prng::seeded(4);
        for (percent, ttl_ms) in [(1, 1), (1, 100), (10, 1000), (50, 7), (100, 1), (100, 60_000), (100, i64::MAX)] {
            let least_ms = ttl_ms - (ttl_ms as i128 * i128::from(percent) + 99).div_euclid(100) as i64;
            for _ in 0..1000 {
                let shortened = Jitter(percent).shorten(ttl_ms, &mut prng);
                assert!(shortened > least_ms && (1..=ttl_ms).contains(&shortened), "{percent} {ttl_ms} {shortened}");
            }
        }
        let draws: Vec<i64> = (0..10_000).map(|_| Jitter(20).shorten(1000, &mut prng)).collect();
        assert_eq!((draws.iter().min(), draws.iter().max()), (Some(&801), Some(&1000)));
        let mean = draws.iter().sum::<i64>() as f64 / draws.len() as f64;
        assert!((899.0..902.0).contains(&mean), "{mean}");
        assert_eq!(Jitter(50).shorten(-7, &mut prng), -7);
    }
}
