//! Files that are written and read again, files of other servers, and files that are broken.

use std::io::{self, Read};

use super::super::write::{Version, Writer};
use super::super::{Broken, Dialect, Shapes};
use super::*;
use crate::base::clock::Now;
use crate::base::prng::Prng;
use crate::persist::digest::DataDigest;
use crate::persist::payload;
use crate::persist::rdb::{Budget, read::Reader};
use crate::persist::storage::ReadFile;
use crate::store::access::{AccessClock, Counting};
use crate::store::entry::{Entry, NewValue};
use crate::store::hash::KeyHasher;
use crate::store::types::{hash, list, set, zset};

/// A file in memory, of which one call reads so many bytes at most.
#[derive(Debug)]
struct MemoryFile {
    bytes: Vec<u8>,
    at: usize,
    step: usize,
}

impl Read for MemoryFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.step.min(buf.len()).min(self.bytes.len() - self.at);
        buf[..count].copy_from_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

impl ReadFile for MemoryFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }
}

fn shapes() -> Shapes {
    let hasher = KeyHasher::new([7; 16]);
    Shapes {
        list: list::Fill::new(-2),
        set: set::Policy { intset_entries: 8, listpack_entries: 8, listpack_value: 64, hasher },
        hash: hash::Limits { entries: 8, value: 64, hasher },
        zset: zset::Limits { entries: 8, value: 64, hasher },
    }
}

fn reader(bytes: &[u8], step: usize) -> DumpReader {
    let file = MemoryFile { bytes: bytes.to_vec(), at: 0, step };
    DumpReader::new(Box::new(file), shapes(), true).expect("its length is known")
}

/// A file's items in words; values as DUMP shows them.
fn items(bytes: &[u8], step: usize) -> Result<Vec<String>, LoadError> {
    let mut reader = reader(bytes, step);
    let mut items = Vec::new();
    loop {
        let item = match reader.next_item()? {
            Item::Aux { name, value } => format!("{}={}", name.escape_ascii(), value.escape_ascii()),
            Item::Entry(loaded) => shown(&loaded.entry),
            Item::End(checksum) => {
                items.push(format!("{checksum:?}").split('(').next().unwrap_or_default().to_owned());
                return Ok(items);
            }
            other => format!("{other:?}"),
        };
        items.push(item);
    }
}

fn shown(entry: &Entry) -> String {
    let value = payload::dump(entry, false);
    format!("{} {:?} {}", entry.key().escape_ascii(), entry.deadline_ms(), value[..value.len() - 10].escape_ascii())
}

fn error(bytes: &[u8]) -> LoadError {
    items(bytes, usize::MAX).expect_err("it is refused")
}

/// An entry whose value is written so in a dump.
fn entry(key: &str, value: &[u8], deadline_ms: Option<i64>) -> Entry {
    let mut budget = Budget::unlimited();
    let mut value = Reader::new(value, Dialect::Redis, &mut budget).value(&shapes()).expect("a value");
    Entry::new(key.as_bytes(), value.as_new(), deadline_ms)
}

/// Values of all types in small and large forms.
fn entries() -> Vec<Entry> {
    let long = [b"\x40\x46".as_slice(), &[b'x'; 70]].concat();
    let table = |form: u8, parts: &[&[u8]]| [&[form, parts.len() as u8][..], &parts.concat()].concat();
    vec![
        entry("int", b"\x00\xc0\x0c", None),
        entry("text", b"\x00\x05hello", Some(33_000_000_000_000)),
        entry("1234", &[b"\x00".as_slice(), &long].concat(), None),
        entry("list", b"\x12\x01\x02\x0f\x0f\x00\x00\x00\x03\x00\x81a\x02\x01\x01\x81b\x02\xff", Some(1)),
        entry("ints", b"\x0b\x0e\x02\x00\x00\x00\x03\x00\x00\x00\x01\x00\x02\x00,\x01", None),
        entry("set", b"\x14\x0f\x0f\x00\x00\x00\x03\x00\x81a\x02\x01\x01\x81b\x02\xff", None),
        entry("SET", &table(2, &[&long, b"\x01a", b"\xc0\x05"]), None),
        entry("zset", b"\x11\x0c\x0c\x00\x00\x00\x02\x00\x81a\x02\x01\x01\xff", None),
        entry("ZSET", &table(5, &[&[&long, &1.5f64.to_le_bytes()[..]].concat()]), None),
        entry("hash", b"\x10\x0c\x0c\x00\x00\x00\x02\x00\x81a\x02\x01\x01\xff", None),
        entry("HASH", &table(4, &[&[&long, &b"\x01a"[..]].concat()]), None),
        entry(
            "stream",
            b"\x15\x01\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x1d\x1d\x00\x00\x00\x0a\x00\x01\x01\x00\x01\
              \x01\x01\x81f\x02\x00\x01\x02\x01\x00\x01\x00\x01\x81v\x02\x04\x01\xff\x01\x01\x01\x01\x01\x00\x00\x01\x01\x01g\x01\x01\
              \x01\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\xd1\x5c\x0a\x1b\xa2\x01\x00\x00\x01\x01\x01c\
              \xd1\x5c\x0a\x1b\xa2\x01\x00\x00\xd1\x5c\x0a\x1b\xa2\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\
              \x00\x00\x01",
            None,
        ),
    ]
}

/// Hashes whose fields have deadlines.
fn timed_entries() -> Vec<Entry> {
    let long = [b"\x40\x46".as_slice(), &[b'x'; 70]].concat();
    let table = [b"\x18\x00P\x5c\x18\xa3\x01\x00\x00\x02\x01\x01f".as_slice(), &long, b"\x00\x01g\x01v"].concat();
    vec![
        entry(
            "timed",
            b"\x19\x00P\x5c\x18\xa3\x01\x00\x00))\x00\x00\x00\x09\x00\x82f2\x03\x02\x01\xf4\x00P\x5c\x18\xa3\x01\x00\x00\x09\x82f1\
              \x03\x82v1\x03\x00\x01\x82f3\x03\x03\x01\x00\x01\xff",
            None,
        ),
        entry("TIMED", &table, Some(33_000_000_000_000)),
        entry(
            "timed set",
            b"\xe1\x03\x01a\xff\xff\xff\xff\xff\xff\xff\xff\x01b\x00P\x5c\x18\xa3\x01\x00\x00\xc0\x05\x00P\x5c\x18\xa3\x02\x00\x00",
            None,
        ),
    ]
}

const HEAD: Head<'_> =
    Head { redis_version: "7.4.0", unix_s: 1_800_000_000, used_bytes: 1 << 20, is_aof_base: true, origin: None };

/// A file with the entries in databases 0 and 9 in turn, in pieces.
fn written(options: Options, entries: &[Entry]) -> Vec<u8> {
    let mut writer = DumpWriter::new(options);
    let mut file = Vec::new();
    writer.begin(&HEAD);
    writer.function(b"#!lua name=l\nsome code");
    for (index, entry) in entries.iter().enumerate() {
        writer.select(index % 2 * 9, entries.len(), 1);
        writer.entry(entry).expect("the version holds it");
        if index % 3 == 0 {
            file.extend(writer.take());
        }
    }
    writer.end();
    file.extend(writer.take());
    file
}

const ALL: Options =
    Options { version: Version::Redis12, has_own_forms: true, compress: true, checksum: true, accesses: None };

#[test]
fn a_written_file_is_read_back_in_every_version() {
    for version in [Version::Redis10, Version::Redis11, Version::Redis12, Version::Redis13, Version::Valkey80] {
        let mut entries = entries();
        let writer = Writer::new(version, false);
        entries.extend(timed_entries().into_iter().filter(|entry| writer.can_hold(entry)));
        for compress in [false, true] {
            let options = Options { version, compress, ..ALL };
            let file = written(options, &entries);
            let found = items(&file, usize::MAX).expect("our own file");
            for entry in &entries {
                let wanted = shown(entry);
                assert!(found.contains(&wanted), "{version:?}: {wanted}\n{found:#?}");
            }
            assert_eq!(found.last().map(String::as_str), Some("Right"));
            assert!(found.contains(&"redis-ver=7.4.0".to_owned()) && found.contains(&"aof-base=1".to_owned()));
            assert_eq!(found.iter().filter(|item| item.starts_with("Resize")).count(), 2);
            assert_eq!(found.iter().filter(|item| item.starts_with("Select")).count(), entries.len());
            assert!(found.iter().any(|item| item.starts_with("Function")));
            // However little of it is read at once.
            assert_eq!(items(&file, 1).expect("our own file"), found);
        }
    }
}

#[test]
fn a_set_of_texts_is_written_as_redis_7_0_reads_it() {
    let of = |version| {
        let mut writer = DumpWriter::new(Options { version, compress: false, ..ALL });
        writer.select(0, 1, 0);
        writer.take();
        writer.entry(&entries()[5]).expect("the version holds it");
        writer.take()[0]
    };
    assert_eq!((of(Version::Redis10), of(Version::Redis11)), (2, 20));
}

#[test]
fn deadlines_of_elements_are_refused_by_versions_that_do_not_hold_them() {
    for version in [Version::Redis10, Version::Redis11] {
        let mut writer = DumpWriter::new(Options { version, has_own_forms: false, ..ALL });
        writer.select(0, 1, 0);
        writer.take();
        for entry in timed_entries() {
            let refused = writer.entry(&entry).expect_err("they would be lost").to_string();
            assert!(refused.contains(&entry.key().escape_ascii().to_string()), "{refused}");
            assert!(refused.contains("rdb-format-version") && writer.is_empty(), "{refused}");
        }
    }
}

#[test]
fn a_hash_that_had_deadlines_once_is_held_by_every_version() {
    let timed = b"\x19\x00\x00\x00\x00\x00\x00\x00\x00\x0f\x0f\x00\x00\x00\x03\x00\x81f\x02\x81v\x02\x00\x01\xff";
    let once = entry("once", timed, None);
    let plain = entry("once", b"\x10\x0d\x0d\x00\x00\x00\x02\x00\x81f\x02\x81v\x02\xff", None);
    for version in [Version::Redis10, Version::Redis11, Version::Valkey80] {
        let found = items(&written(Options { version, ..ALL }, &[once.copy_as(b"once")]), usize::MAX).expect("our own");
        // Read back it is one without deadlines.
        assert!(found.iter().any(|item| item.starts_with("once None") && item.contains("\\x81f")), "{found:?}");
        assert!(found.contains(&shown(&plain)), "{found:?}");
    }
}

/// Each holds keys of every type, in every representation that the server has: the same keys, by the same lines.
const PEERS: &[(&str, &[u8])] = &[
    ("7.0", include_bytes!("../../../../tests/fuzz/corpus/rdb/redis_7_0")),
    ("8.2", include_bytes!("../../../../tests/fuzz/corpus/rdb/redis_8_2")),
    ("8.6", include_bytes!("../../../../tests/fuzz/corpus/rdb/redis_8_6")),
    ("valkey", include_bytes!("../../../../tests/fuzz/corpus/rdb/valkey_9_1")),
];

#[test]
fn files_of_redis_and_valkey_are_read() {
    for (peer, file) in PEERS {
        let found = items(file, 7).unwrap_or_else(|error| panic!("{peer}: {error}"));
        let has =
            |wanted: &str| assert!(found.iter().any(|item| item.starts_with(wanted)), "{peer} {wanted}: {found:#?}");
        has(r"s:int None \x00\xc19");
        has(r"s:px Some(33000000000000) \x00\x01v");
        has("l:nodes None");
        has(r"set:pack None \x14");
        has(r"set:table None \x02");
        has(r"z:table None \x05");
        has(r"x None \x15");
        has(r"x:empty None \x15");
        has("Select(5)");
        has("other Some(33000000000001)");
        has("Function");
        has("Right");
        assert_eq!(
            found.iter().filter(|item| item.contains(" None ") || item.contains(" Some(")).count(),
            19,
            "{found:#?}"
        );
        if *peer != "7.0" {
            has(r"h:timed None \x19");
            has(r"h:ttable None \x18\x00\x10Gi\x03\x1e");
        }
    }
}

#[test]
fn every_beginning_of_a_file_is_refused_as_cut_off() {
    for (peer, file) in PEERS {
        for end in 0..file.len() {
            let error = error(&file[..end]);
            assert!(matches!(error.fault, Fault::Truncated), "{peer} cut at {end}: {error}");
            assert!(error.offset <= end as u64, "{peer} cut at {end}: {error}");
        }
    }
}

#[test]
fn no_flipped_bit_goes_unnoticed() {
    for (peer, file) in PEERS {
        for bit in 0..8 * file.len() {
            let mut flipped = file.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // Up to version 4 there was no checksum: whether a file is of such a version nothing but its digits tell.
            let is_unsummed = file.starts_with(b"REDIS") && &flipped[5..8] == b"000";
            assert!(items(&flipped, usize::MAX).is_err() || is_unsummed, "{peer}: bit {bit}");
        }
    }
}

/// Without a checksum a flipped bit may make another file, but never harm.
#[test]
fn flipped_bits_without_checksum_make_valid_files_or_none() {
    for (peer, file) in PEERS {
        let (body, _) = file.split_last_chunk::<8>().expect("a checksum");
        let unsummed = [body, &[0; 8]].concat();
        assert_eq!(items(&unsummed, usize::MAX).expect(peer).last().map(String::as_str), Some("None"));
        for bit in 0..8 * body.len() {
            let mut flipped = unsummed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Err(error) = items(&flipped, usize::MAX) {
                assert!(error.offset <= flipped.len() as u64 && !error.reason.is_empty(), "{peer} bit {bit}: {error}");
            }
        }
    }
}

/// A file of this version that holds these bytes, without a checksum.
fn file_of(magic: &[u8], body: &[u8]) -> Vec<u8> {
    [magic, body, &[255], &[0; 8]].concat()
}

/// What servers wrote before Redis 7: versions 1 to 9, without a checksum up to 4.
#[test]
fn files_of_old_versions_are_read() {
    let strings = b"\xfe\x00\xfd\xff\xff\xff\x7f\x00\x01k\x01v\x01\x01l\x02\x01a\xc0\x05\x02\x01s\x01\x01m\x03\x01z\x01\x01m\x031.5\
                    \x04\x01h\x01\x01f\x01v";
    for version in 1..=9 {
        let magic = format!("REDIS{version:04}");
        let mut file = [magic.as_bytes(), strings, &[255]].concat();
        if version >= 5 {
            let sum = super::super::CHECKSUM.checksum(&file);
            file.extend(sum.to_le_bytes());
        }
        let found = items(&file, 3).unwrap_or_else(|error| panic!("{version}: {error}"));
        let wanted = if version >= 5 { "Right" } else { "None" };
        assert_eq!(found.last().map(String::as_str), Some(wanted));
        assert!(found[1].starts_with("k Some(2147483647000) "), "{found:?}");
        assert_eq!(found.len(), 7, "{found:?}");
    }
}

#[test]
fn versions_and_beginnings_that_are_not_known_are_refused() {
    for magic in ["REDIS0000", "REDIS0014", "REDIS0080", "VALKEY079", "VALKEY081", "VALKEY011"] {
        let error = error(&file_of(magic.as_bytes(), b""));
        assert!(matches!(&error.fault, Fault::Version(version) if version == magic), "{error}");
    }
    for magic in ["REDIS001x", "REDISX011", "PK\x03\x04\0\0\0\0\0", "*2\r\n$6\r\nSE"] {
        let error = error(&file_of(&magic.as_bytes()[..9], b""));
        assert!(matches!(error.fault, Fault::NoDump), "{error}");
    }
}

#[test]
fn data_of_modules_is_refused_by_name() {
    let id = |name: &str, version: u64| {
        const CHARACTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let number = name.chars().fold(0, |id, c| id << 6 | CHARACTERS.find(c).expect("a character of names") as u64);
        [&[0x81][..], &(number << 10 | version).to_be_bytes()].concat()
    };
    let value = [b"\xfe\x00\x07\x03doc".as_slice(), &id("ReJSON-RL", 3), b"\x05\x01x\x00"].concat();
    let refused = error(&file_of(b"REDIS0011", &value));
    assert!(refused.reason.contains("'doc'") && refused.reason.contains("'ReJSON-RL'"), "{refused}");
    assert!(matches!(refused.fault, Fault::Foreign), "{refused}");
    let aux = |fields: &[u8]| [b"\xf7".as_slice(), &id("scdtype00", 2), b"\x02\x02", fields, b"\x00"].concat();
    let refused = error(&file_of(b"REDIS0012", &aux(b"\x02\x01\x05\x01i")));
    assert!(refused.reason.contains("'scdtype00'"), "{refused}");
    // A module that says it has nothing is no reason to refuse the rest.
    let found = items(&file_of(b"REDIS0012", &aux(b"\x02\x00\x05\x00\x04\0\0\0\0\0\0\0\0")), 2).expect("nothing in it");
    assert!(found[0].starts_with("Passed") && found[0].contains("scdtype00"), "{found:?}");
    // Metadata of keys may be left out where its class says so.
    let class = |flags: u32| {
        let name = "BLES".chars().fold(0, |id, c| id << 6 | u32::from(c as u8 - b'A'));
        [b"\xfe\x00\xf3\x01".as_slice(), &(name << 8 | flags).to_le_bytes(), b"\x02\x07\x00\x00\x01k\x01v"].concat()
    };
    let found = items(&file_of(b"REDIS0013", &class(1)), 2).expect("it may be ignored");
    assert!(found[1].contains("BLES") && found[2].starts_with("k None"), "{found:?}");
    let refused = error(&file_of(b"REDIS0013", &class(0)));
    assert!(refused.reason.contains("'BLES'"), "{refused}");
    let refused = error(&file_of(b"VALKEY080", &class(1)));
    assert!(refused.reason.contains("importing"), "{refused}");
}

#[test]
fn what_a_file_holds_but_is_no_key_is_told_or_passed() {
    let body = b"\xfe\x00\xf4\x05\x01\x00\xf8\x41\x2c\xf9\x07\x00\x01k\x01v\xfb\x80\xff\xff\xff\xff\x05\x00\x01l\x01w";
    let mut reader = reader(&file_of(b"REDIS0012", body), 4);
    assert!(matches!(reader.next_item(), Ok(Item::Select(0))));
    let Ok(Item::Entry(loaded)) = reader.next_item() else { panic!("a key") };
    assert_eq!((loaded.idle_s, loaded.frequency), (Some(300), Some(7)));
    // A number of keys is believed as far as there is room for them.
    assert!(matches!(reader.next_item(), Ok(Item::Resize { keys: 0..20, timed: 5 })));
    let Ok(Item::Entry(loaded)) = reader.next_item() else { panic!("a key") };
    assert_eq!((loaded.idle_s, loaded.frequency, loaded.entry.key()), (None, None, b"l".as_slice()));
    let refused = error(&file_of(b"REDIS0010", b"\xf6\x01"));
    assert!(matches!(refused.fault, Fault::Foreign) && refused.reason.contains("release candidate"), "{refused}");
    let refused = error(&file_of(b"REDIS0012", b"\x1b\x01k\x00"));
    assert!(refused.reason.contains("type 27") && refused.offset == 12, "{refused}");
}

#[test]
fn collections_without_elements_are_passed_over() {
    let body = b"\xfe\x00\xfc\x01\x00\x00\x00\x00\x00\x00\x00\x01\x01l\x00\x02\x01s\x00\x14\x01p\x07\x07\x00\x00\x00\x00\x00\xff\
                 \x04\x01h\x00\x05\x01z\x00\x0b\x01i\x08\x02\x00\x00\x00\x00\x00\x00\x00\x00\x01k\x01v";
    let file = file_of(b"REDIS0011", body);
    let found = items(&file, 1).expect("the rest is there");
    assert_eq!(found[1..], ["k None \\x00\\x01v".to_owned(), "None".to_owned()], "{found:?}");
    let mut reader = reader(&file, 100);
    while !matches!(reader.next_item().expect("the rest is there"), Item::End(_)) {}
    assert_eq!(reader.empty_keys(), 6);
}

/// Lengths that promise gigabytes are held against what the file still has, before anything is allocated for them.
#[test]
fn promised_bytes_that_the_file_does_not_have_are_refused_at_once() {
    let cases: &[&[u8]] = &[
        b"\x00\x01k\x80\xff\xff\xff\xff",
        b"\x00\x01k\x81\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x00\x01k\xc3\x05\x80\x7f\xff\xff\xff\x01ab",
        b"\x04\x01k\x81\x0f\xff\xff\xff\xff\xff\xff\xff\x01a\x01b",
        b"\x15\x01k\x81\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x02\x01k\x80\x7f\xff\xff\xff\x01a",
        b"\xfa\x80\x7f\xff\xff\xff",
        b"\xf3\x81\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00",
    ];
    for case in cases {
        let refused = error(&file_of(b"REDIS0012", case));
        assert!(refused.offset <= 9 + case.len() as u64 + 9, "{refused}");
    }
}

/// A value that is many pieces of the file long is read once all of it is there.
#[test]
fn values_longer_than_a_piece_are_read() {
    let mut prng = Prng::seeded(5);
    let mut set = vec![2, 0x80, 0, 0, 0x75, 0x30];
    for member in 0..30_000 {
        let text = format!("member {member} {}", "x".repeat(prng.below(40) as usize));
        set.extend([&[text.len() as u8][..], text.as_bytes()].concat());
    }
    let big = entry("big", &set, None);
    let text = Entry::new(b"text", NewValue::Bytes(&vec![7; 1_000_000]), Some(33_000_000_000_000));
    let entries = [big, text, entry("small", b"\x00\x01v", None)];
    let file = written(Options { compress: false, ..ALL }, &entries);
    assert!(file.len() > 1_500_000);
    let found = items(&file, usize::MAX).expect("our own file");
    let lengths: Vec<usize> =
        found.iter().filter(|item| item.contains("None ") || item.contains("Some(")).map(String::len).collect();
    assert_eq!(lengths.len(), 3);
    for entry in &entries[1..] {
        assert!(found.contains(&shown(entry)));
    }
}

/// A large value is built as its bytes come: they are not gathered first, and its reader may stop behind each of its elements.
#[test]
fn a_large_value_is_built_as_its_bytes_come() {
    let (mut hash, mut zset) = (vec![4, 0x80, 0, 0, 0x4e, 0x20], vec![5, 0x80, 0, 0, 0x4e, 0x20]);
    for n in 0..20_000_u32 {
        let text = format!("element {n:08}");
        hash.extend([&[16][..], text.as_bytes(), &[2, b'v', b'w']].concat());
        zset.extend([&[16][..], text.as_bytes(), &f64::from(n % 100).to_le_bytes()].concat());
    }
    let entries = [entry("hash", &hash, Some(33_000_000_000_000)), entry("zset", &zset, None)];
    let file = written(Options { compress: false, ..ALL }, &entries);
    // In which order a table holds its fields does not matter.
    let told =
        |entry: &Entry| format!("{:?} {:?} {:?}", entry.key(), entry.deadline_ms(), DataDigest::of_value(entry, 0));
    let mut reader = DumpReader::fed(shapes(), true);
    let (mut pieces, mut found, mut pauses, mut most) = (file.chunks(1000), Vec::new(), 0, 0);
    loop {
        match reader.go_on(|_, _| false) {
            Ok(Some(Item::Entry(loaded))) => found.push(told(&loaded.entry)),
            Ok(Some(Item::End(checksum))) => break assert!(matches!(checksum, Checksum::Right(_))),
            Ok(Some(_)) => {}
            Ok(None) => pauses += 1,
            Err(LoadError { fault: Fault::Wait, .. }) => match pieces.next() {
                Some(piece) => reader.feed(piece),
                None => reader.end_feed(),
            },
            Err(refused) => panic!("{refused}"),
        }
        most = most.max(reader.buffered_bytes());
    }
    assert_eq!(found, entries.iter().map(told).collect::<Vec<_>>());
    assert!(pauses > 40_000 && most < 2000, "{pauses} pauses, {most} bytes");
}

/// A count of elements that are to come, which nobody can hold against the bytes that there will be, costs nothing before they come.
#[test]
fn promised_elements_that_never_come_cost_nothing() {
    for form in
        [b"\x01".as_slice(), b"\x02", b"\x04", b"\x05", b"\x12", b"\x15", b"\x18\x00P\x5c\x18\xa3\x01\x00\x00", b"\x00"]
    {
        let mut reader = DumpReader::fed(shapes(), true);
        reader
            .feed(&[b"REDIS0012", &form[..1], b"\x01k", &form[1..], b"\x81\x00\xff\xff\xff\xff\xff\xff\xff"].concat());
        assert!(matches!(reader.next_item(), Err(LoadError { fault: Fault::Wait, .. })), "{form:?}");
        reader.end_feed();
        assert!(matches!(reader.next_item(), Err(LoadError { fault: Fault::Truncated, .. })), "{form:?}");
    }
}

#[test]
fn what_follows_a_dump_file_is_handed_on() {
    let file = [written(ALL, &entries()), b"*1\r\n$4\r\nPING\r\n".to_vec()].concat();
    let end = file.len() as u64 - 14;
    let mut reader = reader(&file, 100);
    while !matches!(reader.next_item().expect("our own file"), Item::End(_)) {}
    let (mut file, mut rest, offset) = reader.into_rest();
    file.read_to_end(&mut rest).expect("a file in memory");
    assert_eq!((rest.as_slice(), offset), (b"*1\r\n$4\r\nPING\r\n".as_slice(), end));
}

#[test]
fn a_valkey_hash_without_elements_is_empty_and_a_deadline_of_zero_is_none() {
    let mut budget = Budget::unlimited();
    let mut read = |bytes: &[u8]| {
        let mut reader = Reader::new(bytes, Dialect::Valkey, &mut budget);
        reader.value(&shapes()).map(drop)
    };
    assert_eq!(read(b"\x16\x00"), Err(Broken::Empty));
    assert_eq!(read(b"\x16\x01\x01f\x01v\xff\xff\xff\xff\xff\xff\xff\xff"), Ok(()));
    assert!(matches!(read(b"\x16\x01\x01f\x01v\x00\x00\x00\x00\x00\x00\x00\x00"), Err(Broken::Invalid(_))));
    assert_eq!(read(b"\x16\x01\x01f\x01v\xff\xff\xff\xff\xff\xff\xff"), Err(Broken::RanOut(1)));
    assert_eq!(read(b"\x18"), Err(Broken::Form(24)));
}

#[test]
fn accesses_are_written_as_the_policy_asks_and_read_back() {
    let clock = AccessClock::at(Now { unix_ms: 0, mono_ns: 90_000_000_000_000 });
    let [mut idle, mut counted] = [b"k", b"l"].map(|key| Entry::new(key, NewValue::Int(1), Some(33_000_000_000_000)));
    idle.set_stamp(clock.idle_for(70_000));
    counted.set_stamp(clock.with_count(200));
    let cases = [
        (None, [(None, None), (None, None)]),
        // A count knows the time to a second or so.
        (Some(Accesses::Idle(clock)), [(Some(70_000), None), (Some(0), None)]),
        (Some(Accesses::Counts(clock, Counting::default())), [(None, Some(5)), (None, Some(200))]),
    ];
    for (accesses, expected) in cases {
        let file = written(Options { accesses, ..ALL }, &[idle.copy_with_stamp(), counted.copy_with_stamp()]);
        let (mut reader, mut found) = (reader(&file, usize::MAX), Vec::new());
        loop {
            match reader.next_item().expect("our own") {
                Item::Entry(loaded) => found.push((loaded.idle_s, loaded.frequency)),
                Item::End(_) => break,
                _ => {}
            }
        }
        assert_eq!(found, expected, "{accesses:?}");
    }
}

impl Entry {
    fn copy_with_stamp(&self) -> Entry {
        let mut copy = self.copy_as(self.key());
        copy.set_stamp(self.stamp());
        copy
    }
}
