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
use crate::server::ctx::{Ctx, Next};
use crate::store::db::Moment;
use crate::store::entry::Value;

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

#[derive(Default)]
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
    let at = ctx.at;
    // Redis looks both keys up before it complains about either.
    let (a, b) = (string_at(ctx, args.at(1), at), string_at(ctx, args.at(2), at));
    let (a, b) = (a?, b?);
    let options = Options::parse(args)?;
    check_size(&a, &b, ctx.server.config.proto_max_bulk_len)?;
    if options.len {
        let length = Rows::compute(&a, &b, false)?.common();
        ctx.reply.integer(length as i64);
        return Ok(Next::Done);
    }
    let rows = Rows::compute(&a, &b, true)?;
    let matches = rows.matches(&a, &b);
    if options.idx {
        write_matches(ctx, &options, &matches, rows.common());
    } else {
        let common: Vec<u8> = matches.iter().rev().flat_map(|m| &a[m.a..][..m.len]).copied().collect();
        ctx.reply.bulk(&common);
    }
    Ok(Next::Done)
}

/// A key's string, by reference if it is long; none is an empty one.
fn string_at(ctx: &mut Ctx<'_>, key: &[u8], at: Moment) -> Result<Arc<Vec<u8>>, ReplyError> {
    let Some(entry) = ctx.db().lookup_read(key, at) else { return Ok(Arc::default()) };
    match string_in(&entry).map_err(|_| WRONG_TYPE)? {
        Value::Shared(shared) => Ok(Arc::clone(&shared)),
        short => Ok(Arc::new(short.text(&mut itoa::Buffer::new()).to_vec())),
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

fn write_matches(ctx: &mut Ctx<'_>, options: &Options, matches: &[Match], common: usize) {
    let reply = &mut ctx.reply;
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

/// Where the length of the longest common subsequence grows: bit `j` of row `i` is clear if that of `a[..=i]` and
/// `b[..=j]` is longer than that of `a[..=i]` and `b[..j]`. Bits beyond the end of `b` are set.
struct Rows {
    /// The rows one after the other, or the last one alone.
    bits: Vec<u64>,
    /// Words per row.
    words: usize,
}

impl Rows {
    /// Fills the rows: all of them if they are kept, else one over the other.
    fn compute(a: &[u8], b: &[u8], keep: bool) -> Result<Rows, ReplyError> {
        let words = b.len().div_ceil(64);
        let masks = Masks::new(a, b)?;
        let mut bits = filled(words * if keep { a.len().max(1) } else { 1 }, u64::MAX)?;
        for (i, &byte) in a.iter().enumerate() {
            let at = if keep { i * words } else { 0 };
            if keep && i > 0 {
                bits.copy_within(at - words..at, at);
            }
            if let Some(mask) = masks.of(byte) {
                advance(&mut bits[at..at + words], mask);
            }
        }
        Ok(Rows { bits, words })
    }

    /// Length of the longest common subsequence.
    fn common(&self) -> usize {
        self.bits[self.bits.len() - self.words..].iter().map(|word| word.count_zeros() as usize).sum()
    }

    fn grows_at(&self, i: usize, j: usize) -> bool {
        self.bits[i * self.words + j / 64] >> (j % 64) & 1 == 0
    }

    /// The matches of one longest common subsequence, last first. All rows must have been kept.
    fn matches(&self, a: &[u8], b: &[u8]) -> Vec<Match> {
        let mut matches: Vec<Match> = Vec::new();
        let (mut i, mut j) = (a.len(), b.len());
        while i > 0 && j > 0 {
            if a[i - 1] != b[j - 1] {
                // Take back a byte of `b` unless that costs a byte of the subsequence: then one of `a`.
                if self.grows_at(i - 1, j - 1) {
                    i -= 1
                } else {
                    j -= 1
                }
                continue;
            }
            match matches.last_mut() {
                Some(last) if last.a == i && last.b == j => *last = Match { a: i - 1, b: j - 1, len: last.len + 1 },
                _ => matches.push(Match { a: i - 1, b: j - 1, len: 1 }),
            }
            (i, j) = (i - 1, j - 1);
        }
        matches
    }
}

/// One row from the row above it, given where `b` has the row's byte.
fn advance(row: &mut [u64], mask: &[u64]) {
    let mut carry = 0;
    for (word, mask) in row.iter_mut().zip(mask) {
        let (sum, carry_1) = word.overflowing_add(*word & mask);
        let (sum, carry_2) = sum.overflowing_add(carry);
        carry = u64::from(carry_1 | carry_2);
        *word = sum | (*word & !mask);
    }
}

/// For each byte that both strings have, where `b` has it.
struct Masks {
    bits: Vec<u64>,
    words: usize,
    /// Place of a byte's mask + 1; 0 for bytes without one.
    places: [u16; 256],
}

impl Masks {
    fn new(a: &[u8], b: &[u8]) -> Result<Masks, ReplyError> {
        let mut in_a = [false; 256];
        a.iter().for_each(|&byte| in_a[byte as usize] = true);
        let (mut places, mut count) = ([0u16; 256], 0);
        for &byte in b {
            if in_a[byte as usize] && places[byte as usize] == 0 {
                count += 1;
                places[byte as usize] = count;
            }
        }
        let words = b.len().div_ceil(64);
        let mut bits = filled(words * count as usize, 0)?;
        for (j, &byte) in b.iter().enumerate() {
            if let Some(place) = places[byte as usize].checked_sub(1) {
                bits[place as usize * words + j / 64] |= 1 << (j % 64);
            }
        }
        Ok(Masks { bits, words, places })
    }

    fn of(&self, byte: u8) -> Option<&[u64]> {
        let place = self.places[byte as usize].checked_sub(1)? as usize;
        Some(&self.bits[place * self.words..][..self.words])
    }
}

fn filled(words: usize, word: u64) -> Result<Vec<u64>, ReplyError> {
    let mut bits = Vec::new();
    bits.try_reserve_exact(words).map_err(|_| NO_MEMORY)?;
    bits.resize(words, word);
    Ok(bits)
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
            let rows = Rows::compute(&a, &b, true).expect("little memory");
            assert_eq!(rows.matches(&a, &b), matches, "{a:?} {b:?}");
            assert_eq!(
                (rows.common(), Rows::compute(&a, &b, false).expect("little memory").common()),
                (common, common)
            );
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
