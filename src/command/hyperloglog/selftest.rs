//! PFSELFTEST: registers keep what is written to them, both encodings agree, and estimates are as good as they should be.
//!
//! It holds up the server while it runs, so it does a tenth of the work of Redis's own test: up to a million elements.

use super::sparse_bytes_max;
use crate::base::prng::Prng;
use crate::command::spec::Outcome;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next};
use crate::store::types::hll::{self, Encoding, Hll, Mark, REGISTERS, registers};

/// Rounds of writing all registers and reading them back.
const ROUNDS: usize = 100;
/// Elements added, and those after which estimates are looked at.
const ELEMENTS: u64 = 1_000_000;
const CHECKPOINTS: [u64; 7] = [1, 10, 100, 1_000, 10_000, 100_000, ELEMENTS];

pub(super) fn pfselftest(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let mut prng = Prng::seeded(ctx.server.prng.next_u64());
    registers_keep_values(&mut prng)?;
    estimates_are_good(prng.next_u64(), sparse_bytes_max(ctx))?;
    ctx.reply.ok();
    Ok(Next::Done)
}

fn failed(text: &str) -> ReplyError {
    ReplyError::owned(format!("ERR TESTFAILED {text}"))
}

fn registers_keep_values(prng: &mut Prng) -> Result<(), ReplyError> {
    let mut packed = vec![0; REGISTERS / 8 * 6];
    for _ in 0..ROUNDS {
        let values: Vec<u8> = (0..REGISTERS).map(|_| prng.below(registers::VALUES as u64) as u8).collect();
        for (register, &value) in values.iter().enumerate() {
            registers::set(&mut packed, register, value);
        }
        for (register, &value) in values.iter().enumerate() {
            let kept = registers::get(&packed, register);
            if kept != value {
                return Err(failed(&format!("Register {register} should be {value} but is {kept}")));
            }
        }
    }
    Ok(())
}

fn estimates_are_good(seed: u64, bytes_max: usize) -> Result<(), ReplyError> {
    let mut either = hll::empty();
    let mut dense = parsed(&either)?.to_dense()?;
    for count in 1..=ELEMENTS {
        let mark = Mark::of(&(count ^ seed).to_le_bytes());
        hll::raise_dense(&mut dense, mark);
        hll::raise(&mut either, mark, bytes_max)?;
        if CHECKPOINTS.contains(&count) {
            check(count, parsed(&either)?, parsed(&dense)?, bytes_max)?;
        }
    }
    Ok(())
}

fn parsed(bytes: &[u8]) -> Result<Hll<'_>, ReplyError> {
    Hll::parse(bytes).ok_or_else(|| failed("no header"))
}

fn check(count: u64, either: Hll<'_>, dense: Hll<'_>, bytes_max: usize) -> Result<(), ReplyError> {
    if count < bytes_max as u64 / 2 && either.encoding() != Encoding::Sparse {
        return Err(failed("sparse encoding not used"));
    }
    let estimate = dense.count()?;
    if either.count()? != estimate {
        return Err(failed("dense/sparse disagree"));
    }
    // Six standard errors; of ten elements, two may well share a register.
    let error_max = if count == 10 { 1.0 } else { (6.0 * 1.04 / (REGISTERS as f64).sqrt() * count as f64).ceil() };
    let error = estimate.abs_diff(count);
    if error as f64 > error_max {
        return Err(failed(&format!("Too big error. card:{count} abserr:{error}")));
    }
    Ok(())
}
