//! What AROP makes of elements: one number.

use super::walk::Visit;
use crate::base::num::{self, LongDouble};
use crate::command::Command;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;

/// What has come of the elements so far. Those that are no numbers count for nothing.
#[derive(Debug)]
pub(super) enum Sum {
    /// `None` as long as there was no number; the second is for what is none: the difference of infinities.
    Added(Option<Option<LongDouble>>),
    Least(Option<LongDouble>),
    Greatest(Option<LongDouble>),
    Bits(fn(i64, i64) -> i64, Option<i64>),
    Used(i64),
    Equal(Box<[u8]>, i64),
}

/// The integer that a text is, or that is left of a number without its fraction.
fn integer(text: &[u8]) -> Option<i64> {
    num::parse_i64(text).or_else(|| LongDouble::parse(text)?.without_fraction())
}

impl Sum {
    /// Reads the operation, which stands behind the range.
    pub fn parse(command: &Command, args: Args<'_>) -> Result<Sum, ReplyError> {
        let sum = match () {
            () if args.is(4, "SUM") => Sum::Added(None),
            () if args.is(4, "MIN") => Sum::Least(None),
            () if args.is(4, "MAX") => Sum::Greatest(None),
            () if args.is(4, "AND") => Sum::Bits(|a, b| a & b, None),
            () if args.is(4, "OR") => Sum::Bits(|a, b| a | b, None),
            () if args.is(4, "XOR") => Sum::Bits(|a, b| a ^ b, None),
            () if args.is(4, "USED") => Sum::Used(0),
            () if args.is(4, "MATCH") && args.len() == 6 => return Ok(Sum::Equal(args.at(5).into(), 0)),
            () if args.is(4, "MATCH") => return Err(ReplyError::new("ERR MATCH requires a value argument")),
            () => return Err(ReplyError::new("ERR unknown operation")),
        };
        if args.len() == 5 { Ok(sum) } else { Err(ReplyError::arity(&command.full_name)) }
    }
}

impl Visit for Sum {
    // Numbers of 80 bits are reckoned with in software.
    fn cost(&self, bytes: usize) -> (usize, usize) {
        (4, bytes)
    }

    fn see(&mut self, _: u64, text: &[u8], _: &mut Reply<'_>) -> bool {
        let number = || LongDouble::parse(text);
        match self {
            Sum::Added(sum) => {
                if let Some(number) = number() {
                    *sum = Some(match sum {
                        None => Some(number),
                        Some(before) => before.and_then(|before| before.add_or_overflow(number)),
                    });
                }
            }
            Sum::Least(least) => {
                *least = number().filter(|number| least.is_none_or(|least| *number < least)).or(*least);
            }
            Sum::Greatest(greatest) => {
                *greatest = number().filter(|number| greatest.is_none_or(|most| *number > most)).or(*greatest);
            }
            Sum::Bits(combine, bits) => {
                if let Some(number) = integer(text) {
                    *bits = Some(bits.map_or(number, |bits| combine(bits, number)));
                }
            }
            Sum::Used(count) => *count += 1,
            Sum::Equal(wanted, count) => *count += i64::from(*text == **wanted),
        }
        true
    }

    fn end(&mut self, reply: &mut Reply<'_>) {
        match self {
            Sum::Added(Some(Some(number))) | Sum::Least(Some(number)) | Sum::Greatest(Some(number)) => {
                reply.bulk(&number.to_text());
            }
            Sum::Added(Some(None)) => reply.bulk(b"nan"),
            Sum::Bits(_, Some(bits)) => reply.integer(*bits),
            Sum::Used(count) | Sum::Equal(_, count) => reply.integer(*count),
            _ => reply.null(),
        }
    }
}
