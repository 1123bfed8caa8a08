//! `math.random` and `math.randomseed`: the generator of `lrand48`, as Redis has it, so that a seed gives the same numbers on every
//! machine.

use super::sandbox::set;
use super::state::{Answer, Frame, Function, Raised};

/// The state that the generator begins with.
pub(super) const SEED: u64 = 0x1234_abcd_330e;
/// What goes below a seed that a script chose.
const SEED_LOW: u64 = 0x330e;
const MULTIPLIER: u64 = 0x5_deec_e66d;
const INCREMENT: u64 = 0xb;
const BITS: u64 = (1 << 48) - 1;
/// Bits of a number.
const NUMBER_BITS: u32 = 31;

/// Replaces the functions in the table `math` on the top.
pub(super) fn open(frame: &mut Frame<'_>) {
    frame.push_function::<Random>(0);
    set(frame, "random");
    frame.push_function::<RandomSeed>(0);
    set(frame, "randomseed");
}

/// The next number, from 0 to below 1.
fn next(frame: &Frame<'_>) -> f64 {
    let random = &frame.context().random;
    random.set(random.get().wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & BITS);
    let most = u64::from(i32::MAX as u32);
    (random.get() >> (48 - NUMBER_BITS) & most) as f64 % most as f64 / most as f64
}

/// An argument as C's `int`.
fn check_int(frame: &mut Frame<'_>, index: i32) -> Result<i32, Raised> {
    frame.check_number(index).map(|number| number as i64 as i32)
}

/// `math.random()`, `math.random(most)`, `math.random(least, most)`
struct Random;

impl Function for Random {
    fn call(frame: &mut Frame<'_>) -> Answer {
        let random = next(frame);
        let number = match frame.top() {
            0 => random,
            1 => {
                let most = check_int(frame, 1)?;
                if most < 1 {
                    return Err(frame.raise_argument(1, b"interval is empty"));
                }
                (random * f64::from(most)).floor() + 1.0
            }
            2 => {
                let (least, most) = (check_int(frame, 1)?, check_int(frame, 2)?);
                if least > most {
                    return Err(frame.raise_argument(2, b"interval is empty"));
                }
                let count = most.wrapping_sub(least).wrapping_add(1);
                (random * f64::from(count)).floor() + f64::from(least)
            }
            _ => return Err(frame.raise_at_caller(b"wrong number of arguments")),
        };
        frame.push_number(number);
        Ok(1)
    }
}

/// `math.randomseed(seed)`
struct RandomSeed;

impl Function for RandomSeed {
    fn call(frame: &mut Frame<'_>) -> Answer {
        let seed = check_int(frame, 1)?;
        frame.context().random.set(u64::from(seed as u32) << 16 | SEED_LOW);
        Ok(0)
    }
}
