//! Units against files that are put together from known commands: whole, cut off at every byte, with every byte changed.

use std::io::Read;

use super::*;
use crate::base::prng::Prng;

/// A file in memory that is read in pieces of any length.
#[derive(Debug)]
struct Bytes {
    bytes: Vec<u8>,
    at: usize,
    prng: Prng,
}

impl Read for Bytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = &self.bytes[self.at..];
        let most = (1 + self.prng.below(40)) as usize;
        let count = left.len().min(buffer.len()).min(most);
        buffer[..count].copy_from_slice(&left[..count]);
        self.at += count;
        Ok(count)
    }
}

impl ReadFile for Bytes {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }
}

fn reader(bytes: &[u8]) -> Reader {
    let file = Bytes { bytes: bytes.to_vec(), at: 0, prng: Prng::seeded(bytes.len() as u64) };
    Reader::new(Box::new(file), Vec::new(), 0, None).expect("memory has a length")
}

fn command(line: &str) -> Vec<u8> {
    let words: Vec<&str> = line.split(' ').collect();
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    words.iter().for_each(|word| bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes()));
    bytes
}

fn batch(seq: u64, lines: &[&str]) -> Vec<u8> {
    let mut bytes: Vec<u8> = lines.iter().flat_map(|line| command(line)).collect();
    BatchEnd::of(seq, &bytes.clone()).push(&mut bytes);
    bytes
}

/// Units as lists of lines, and how reading ended.
fn units(reader: &mut Reader) -> (Vec<Vec<String>>, Option<Stop>) {
    let mut units = Vec::new();
    loop {
        match reader.next_unit() {
            Ok(None) => return (units, None),
            Err(stop) => return (units, Some(stop)),
            Ok(Some(unit)) => {
                let text = |args: Args<'_>| {
                    let words: Vec<_> = args.iter_from(0).map(|word| String::from_utf8_lossy(word)).collect();
                    words.join(" ")
                };
                let lines: Vec<String> = (0..unit.len()).map(|index| text(unit.command(index).1)).collect();
                if !lines.is_empty() {
                    units.push(lines);
                }
            }
        }
    }
}

const PLAIN: &[&str] =
    &["SELECT 0", "SET a 1", "MULTI", "INCR a", "SET b 22222222222222", "EXEC", "DEL b", "SADD s x y"];

fn plain_file() -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut ends) = (Vec::new(), vec![0]);
    for line in PLAIN {
        bytes.extend(command(line));
        ends.push(bytes.len());
    }
    (bytes, ends)
}

/// A file without batches gives the commands that were written in full, and those of a transaction together or not at all.
#[test]
fn a_plain_file_cut_anywhere_gives_what_is_whole() {
    let (bytes, ends) = plain_file();
    for cut in 0..=bytes.len() {
        let (units, stop) = units(&mut reader(&bytes[..cut]));
        let read: Vec<String> = units.concat();
        let mut whole = ends.iter().filter(|end| **end <= cut).count() - 1;
        if (3..6).contains(&whole) {
            whole = 2;
        }
        assert_eq!(read, PLAIN[..whole], "cut at {cut}");
        assert_eq!(stop.is_some(), cut != ends[whole], "cut at {cut}: {stop:?}");
        if let Some(stop) = stop {
            assert_eq!(stop.offset, ends[whole] as u64, "cut at {cut}");
            assert!(matches!(stop.fault, Fault::Truncated), "cut at {cut}: {stop:?}");
        }
    }
}

fn batched_file() -> (Vec<u8>, Vec<(usize, Vec<String>)>) {
    let batches: [&[&str]; 4] = [
        &["SELECT 0", "SET a 1"],
        &["MULTI", "INCR a", "SET b 2222222222", "EXEC"],
        &["DEL b", "SADD s x y"],
        &["SET c 3"],
    ];
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    for (index, lines) in batches.into_iter().enumerate() {
        bytes.extend(batch(7 + index as u64, lines));
        ends.push((bytes.len(), lines.iter().map(|line| (*line).to_owned()).collect()));
    }
    (bytes, ends)
}

#[test]
fn a_file_with_batches_cut_anywhere_gives_whole_batches() {
    let (mut bytes, ends) = batched_file();
    // What stands before it makes even the first batch one that has to be whole.
    let head = head();
    bytes.splice(..0, head.iter().copied());
    for cut in head.len()..=bytes.len() {
        let (units, stop) = units(&mut reader(&bytes[..cut]));
        let whole = ends.iter().filter(|(end, _)| end + head.len() <= cut).count();
        let expected: Vec<Vec<String>> = ends[..whole].iter().map(|(_, lines)| lines.clone()).collect();
        assert_eq!(units, expected, "cut at {cut}");
        let end = head.len() + whole.checked_sub(1).map_or(0, |last| ends[last].0);
        assert_eq!(stop.map(|stop| stop.offset), (cut != end).then_some(end as u64), "cut at {cut}");
    }
}

/// The line of an empty batch, which tells from the beginning that there are batches.
fn head() -> Vec<u8> {
    let mut head = Vec::new();
    BatchEnd { seq: 7, bytes: 0, crc: 0 }.push(&mut head);
    head
}

#[test]
fn a_changed_byte_is_found_and_located_and_whole_batches_behind_it_are_seen() {
    let (batches, ends) = batched_file();
    let head = head();
    let ends: Vec<_> = ends.into_iter().map(|(end, lines)| (end + head.len(), lines)).collect();
    let whole = [&*head, &*batches].concat();
    for at in head.len()..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << bit;
            let mut reader = reader(&bytes);
            let (units, stop) = units(&mut reader);
            let stop = stop.unwrap_or_else(|| panic!("byte {at}, bit {bit} is not missed"));
            let broken = ends.iter().filter(|(end, _)| *end <= at).count();
            let expected: Vec<Vec<String>> = ends[..broken].iter().map(|(_, lines)| lines.clone()).collect();
            assert_eq!(units, expected, "byte {at}, bit {bit}");
            let good = broken.checked_sub(1).map_or(head.len(), |last| ends[last].0);
            assert_eq!(stop.offset as usize, good, "byte {at}, bit {bit}");
            let behind = reader.look_behind().expect("memory can be read").map(|behind| behind.seq);
            // A batch whose number alone is another is whole by itself, and where it stands is one after others that are missing.
            let is_own = |seq: u64| !(7..=10).contains(&seq);
            // The next one, or the one after it where the line between the two was what changed.
            let next = 7 + broken as u64 + 1;
            assert!(
                behind.map_or(next >= 10, |seq| seq == next || seq == next + 1 || is_own(seq)),
                "byte {at}, bit {bit}: {behind:?}"
            );
        }
    }
}

#[test]
fn batches_that_follow_on_commands_without_are_checked() {
    let mut bytes = plain_file().0;
    bytes.extend(batch(3, &["SET x 1"]));
    bytes.extend(batch(4, &["SET y 1"]));
    let (read, stop) = units(&mut reader(&bytes));
    assert!(stop.is_none(), "{stop:?}");
    assert_eq!(read.concat().len(), PLAIN.len() + 2);
    bytes.extend(batch(6, &["SET z 1"]));
    let (_, stop) = units(&mut reader(&bytes));
    let stop = stop.expect("batch 5 is missing").fault.to_string();
    assert!(stop.ends_with("batch 6 follows on batch 4"), "{stop}");
}

#[test]
fn annotations_are_passed_over_and_their_time_is_kept() {
    let mut bytes = b"#TS:1700000000\r\n".to_vec();
    bytes.extend(command("SET a 1"));
    bytes.extend(b"# anything\r\n#TS:1700000009\r\n");
    bytes.extend(command("SET b 1"));
    let mut reader = reader(&bytes);
    let (read, stop) = units(&mut reader);
    assert_eq!((read.concat().len(), stop.is_none(), reader.unix_s()), (2, true, Some(1_700_000_009)));
    assert_eq!(reader.offset(), bytes.len() as u64);
}

/// Lengths that promise more than there is, and what is no protocol at all.
#[test]
fn what_is_no_log_is_refused_with_its_place() {
    let long = [b"#".as_slice(), &[b'x'; 2000]].concat();
    let rows: [(&[u8], u64, &str); 10] = [
        (b"*2\r\n$3\r\nGET\r\n$4294967000\r\nab", 0, "ends in the midst"),
        (b"*2147483647\r\n$3\r\nGET\r\n", 0, "ends in the midst"),
        (b"*0\r\n", 0, "no arguments"),
        (b"*-1\r\n", 0, "no arguments"),
        (b"*x\r\n", 0, "invalid multibulk length"),
        (b"*1\r\n+PING\r\n", 0, "expected '$', got '+'"),
        (b"PING\r\n", 0, "expected '*' or '#', found 'P'"),
        (b"\0", 0, "found byte 0x00"),
        (&long, 0, "longer than 1024 bytes"),
        (b"*1\r\n$4\r\nEXEC\r\n", 0, "EXEC without MULTI"),
    ];
    for (bytes, at, reason) in rows {
        let (read, stop) = units(&mut reader(bytes));
        let stop = stop.unwrap_or_else(|| panic!("{} is read", bytes.escape_ascii()));
        assert!(read.is_empty() && stop.offset == at, "{}", bytes.escape_ascii());
        let said = stop.fault.to_string();
        assert!(said.contains(reason), "{}: {said}", bytes.escape_ascii());
    }
}

/// Values that look like the ends of batches do not mislead the search behind a fault.
#[test]
fn a_value_that_looks_like_the_end_of_a_batch_is_none() {
    let mut bytes = batch(1, &["SET a 1"]);
    let good = bytes.len();
    bytes.extend(b"garbage");
    let forged = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$22\r\n\r\n#B:9:4:00000000\r\nxxxx\r\n";
    bytes.extend(forged);
    let mut first = reader(&bytes);
    let stop = units(&mut first).1.expect("garbage is no batch");
    assert_eq!(stop.offset as usize, good);
    assert_eq!(first.look_behind().expect("memory can be read"), None);
    bytes.extend(batch(2, &["SET a 2"]));
    bytes.extend(batch(3, &["SET a 3"]));
    let mut second = reader(&bytes);
    units(&mut second).1.expect("garbage is no batch");
    let behind = second.look_behind().expect("memory can be read").expect("batch 3 is whole");
    assert_eq!((behind.seq, behind.batches, behind.durable), (3, 1, None));
}

/// A batch that is larger than what is read at once.
#[test]
fn long_batches_and_long_plain_files_are_read_in_full() {
    let value = "v".repeat(3 * CHUNK_BYTES);
    let lines: Vec<String> = (0..10).map(|n| format!("SET key{n} {value}")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let file = |bytes: Vec<u8>| Bytes { bytes, at: 0, prng: Prng::seeded(1) };
    #[derive(Debug)]
    struct Whole(Bytes);
    impl Read for Whole {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let mut left = &self.0.bytes[self.0.at..];
            let count = left.read(buffer)?;
            self.0.at += count;
            Ok(count)
        }
    }
    impl ReadFile for Whole {
        fn bytes(&self) -> io::Result<u64> {
            ReadFile::bytes(&self.0)
        }
    }
    for bytes in [batch(1, &lines), lines.iter().flat_map(|line| command(line)).collect()] {
        let mut reader = Reader::new(Box::new(Whole(file(bytes))), Vec::new(), 0, None).expect("a length");
        let (read, stop) = units(&mut reader);
        assert!(stop.is_none() && read.concat() == lines, "{stop:?}");
    }
}
