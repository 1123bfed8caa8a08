//! What a watched query is made of: its command line, the fingerprint clients know it by, and the label of a first reply.
//!
//! Called by the index and by whoever reads clients' lines. Knows no command: that a line is a query has been decided before.

use crate::base::num;
use crate::resp::args::{Args, OwnedArgs};

/// A command line of its own, packed into one piece: each argument behind a number, which is twice its length, and one more
/// if it is a key. The first argument is the command's name as its row has it.
///
/// A number takes one byte up to 254; 255 means that it follows in eight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line(Box<[u8]>);

impl Line {
    /// Packs a command line under the name of its row, which is not the first argument's spelling. `keys` are the places of
    /// its keys.
    pub fn new(name: &str, args: Args<'_>, keys: &[usize]) -> Line {
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        // Most numbers take a byte each.
        let mut packed = Vec::with_capacity(args.len() + name.len() + args.tail(1).total_bytes());
        for (place, arg) in std::iter::once(name.as_bytes()).chain(args.iter_from(1)).enumerate() {
            push_number(&mut packed, 2 * arg.len() as u64 + u64::from(keys.binary_search(&place).is_ok()));
            packed.extend_from_slice(arg);
        }
        Line(packed.into_boxed_slice())
    }

    /// The arguments, each with whether it is a key.
    fn marked(&self) -> impl Iterator<Item = (&[u8], bool)> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let number = take_number(&mut rest)?;
            let (arg, left) = rest.split_at((number / 2) as usize);
            rest = left;
            Some((arg, number % 2 == 1))
        })
    }

    /// The arguments, the name first.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.marked().map(|(arg, _)| arg)
    }

    /// The keys, as often as they are named.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.marked().filter_map(|(arg, is_key)| is_key.then_some(arg))
    }

    /// The arguments in the form that handlers take. O(bytes).
    pub fn unpack(&self) -> OwnedArgs {
        OwnedArgs::new(self.iter())
    }

    /// FarmHash's Fingerprint32 of the arguments joined by single spaces: the number by which DiceDB's clients name a query.
    pub fn fingerprint(&self) -> u32 {
        farmhash::fingerprint32(&self.iter().collect::<Vec<_>>().join(&b' '))
    }

    /// The packed text, which tells two lines apart.
    pub(super) fn packed(&self) -> &[u8] {
        &self.0
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.0.len()
    }
}

/// The fingerprint that a client's argument names, if it is an unsigned decimal number of 32 bits.
pub fn parse_fingerprint(text: &[u8]) -> Option<u32> {
    num::parse_i64(text).and_then(|number| u32::try_from(number).ok())
}

/// True for a UUID: 8-4-4-4-12 hexadecimal digits, the same in braces or behind `urn:uuid:`, or 32 digits in a row.
pub fn is_label(text: &[u8]) -> bool {
    let grouped = |text: &[u8]| {
        text.len() == 36
            && text.iter().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => *byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            })
    };
    match text {
        [b'{', inner @ .., b'}'] => grouped(inner),
        _ if text.len() == 45 => text[..9].eq_ignore_ascii_case(b"urn:uuid:") && grouped(&text[9..]),
        _ if text.len() == 32 => text.iter().all(u8::is_ascii_hexdigit),
        _ => grouped(text),
    }
}

fn push_number(packed: &mut Vec<u8>, number: u64) {
    match u8::try_from(number) {
        Ok(byte) if byte < u8::MAX => packed.push(byte),
        _ => {
            packed.push(u8::MAX);
            packed.extend_from_slice(&number.to_le_bytes());
        }
    }
}

fn take_number(packed: &mut &[u8]) -> Option<u64> {
    let (first, rest) = packed.split_first()?;
    *packed = rest;
    if *first < u8::MAX {
        return Some(u64::from(*first));
    }
    let (number, rest) = rest.split_first_chunk::<8>()?;
    *packed = rest;
    Some(u64::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        let args = OwnedArgs::new(text.split(' ').map(str::as_bytes));
        Line::new(text.split(' ').next().unwrap_or_default(), args.as_args(), &[1])
    }

    #[test]
    fn fingerprints_are_those_of_dicedb() {
        let vectors = [
            ("GET getwatchkey", 2714318480),
            ("GET getunwatchkey", 426696421),
            ("GET k1", 1207366008),
            ("GET k2", 605425024),
            ("PFCOUNT hllkey", 1832643469),
            ("ZRANGE zrangewatchkey 0 -1 REV WITHSCORES", 1178068413),
            ("GET k", 2894570460),
            ("GET foo", 559899952),
            ("GET foo bar", 4252358147),
            ("ZCARD board", 1853271828),
            ("PFCOUNT h1 h2", 2213421260),
            ("HGETALL user:1", 3875719735),
            ("HGET user:1 name", 899001027),
            ("ZRANK board alice", 869976954),
            ("ZCOUNT board 10 20", 1403308771),
            ("ZRANGE board 0 2 WITHSCORES", 3329159871),
            ("GET a-key-that-is-longer-than-twenty-four-bytes", 213938454),
        ];
        for (text, fingerprint) in vectors {
            assert_eq!(line(text).fingerprint(), fingerprint, "{text}");
        }
    }

    #[test]
    fn a_line_keeps_its_arguments_and_takes_the_name_it_is_given() {
        let args = OwnedArgs::new([b"gEt.WATCH".as_slice(), b"", b"a b", &[0, 255]]);
        let line = Line::new("GET", args.as_args(), &[3, 2]);
        assert_eq!(line.keys().collect::<Vec<_>>(), [b"a b".as_slice(), &[0, 255]]);
        let own: Vec<&[u8]> = line.iter().collect();
        assert_eq!(own, [b"GET".as_slice(), b"", b"a b", &[0, 255]]);
        assert_eq!(line.unpack().as_args().at(2), b"a b");
        let split = OwnedArgs::new([b"GET".as_slice(), b"", b"a", b"b", &[0, 255]]);
        let split = Line::new("GET", split.as_args(), &[3, 2]);
        assert_ne!(line, split, "the same text, and another query");
        assert_eq!(line.fingerprint(), split.fingerprint());
    }

    #[test]
    fn arguments_of_any_length_and_in_any_number_are_kept() {
        let long: Vec<Vec<u8>> =
            [0, 1, 126, 127, 128, 255, 256, 70_000].into_iter().map(|len| vec![b'x'; len]).collect();
        let all: Vec<&[u8]> = std::iter::once(b"MGET".as_slice()).chain(long.iter().map(Vec::as_slice)).collect();
        let all: Vec<&[u8]> = all.into_iter().chain((0..400).map(|_| b"k".as_slice())).collect();
        let args = OwnedArgs::new(all.iter().copied());
        let line = Line::new("MGET", args.as_args(), &(1..all.len()).collect::<Vec<_>>());
        assert!(line.iter().eq(all.iter().copied()));
        assert!(line.keys().eq(all[1..].iter().copied()));
    }

    #[test]
    fn fingerprints_are_read_as_unsigned_decimal_numbers_of_32_bits() {
        for (text, number) in [("0", Some(0)), ("4294967295", Some(u32::MAX)), ("4294967296", None), ("-1", None)] {
            assert_eq!(parse_fingerprint(text.as_bytes()), number, "{text}");
        }
        for text in ["", "+1", " 1", "1 ", "1.0", "0x1", "fingerprint"] {
            assert_eq!(parse_fingerprint(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn labels_are_uuids_in_any_of_their_spellings() {
        let uuid = "6ba7b810-9dad-11d1-80b4-00C04FD430C8";
        for text in [uuid.into(), format!("{{{uuid}}}"), format!("urn:uuid:{uuid}"), uuid.replace('-', "")] {
            assert!(is_label(text.as_bytes()), "{text}");
        }
        for text in ["", "k", "{}", &uuid[1..], &uuid.replace('6', "g"), &uuid.replace('-', "_"), &format!("{{{uuid}")]
        {
            assert!(!is_label(text.as_bytes()), "{text}");
        }
    }
}
