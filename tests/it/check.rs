//! What `aleadb --check` says of files.

use std::path::Path;

use aleadb::engine::persistence::replay::accepts;
use aleadb::persist::check::{Report, check};
use aleadb::store::hash::KeyHasher;

use crate::disk::{Call, SimulatedDisk};

const REDIS_8_2: &[u8] = include_bytes!("../fuzz/corpus/rdb/redis_8_2");

fn report(file: &[u8], now_ms: i64) -> Report {
    let disk = SimulatedDisk::new();
    disk.put("dump.rdb", file);
    check(&disk, Path::new("dump.rdb"), (now_ms, KeyHasher::new([7; 16])), &accepts)
}

#[test]
fn a_good_file_is_told_with_all_that_is_in_it() {
    let found = report(REDIS_8_2, 33_000_000_000_001);
    assert!(found.is_good, "{}", found.text);
    for line in [
        "dump.rdb: dump file of version 12, 962 bytes",
        "  redis-ver: 8.2.3",
        "  database 0: 18 keys, 1 of them with a deadline, 1 expired",
        "    hash 4, list 2, set 3, stream 2, string 5, zset 2",
        "    fields with a deadline: 4",
        "  database 5: 1 keys, 1 of them with a deadline, 1 expired",
        "  libraries of functions: 1",
        "  checksum: ",
        "dump.rdb: good",
    ] {
        assert!(found.text.lines().any(|found| found.starts_with(line)), "{line}\n{}", found.text);
    }
    assert!(report(REDIS_8_2, 1).text.contains("database 5: 1 keys, 1 of them with a deadline, 0 expired"));
}

#[test]
fn a_bad_file_is_told_up_to_its_first_bad_byte() {
    let mut flipped = REDIS_8_2.to_vec();
    let at = flipped.windows(5).position(|bytes| bytes == b"z:tab").expect("a key");
    // The form of the value before the key's name.
    flipped[at - 2] = 0xC0;
    let found = report(&flipped, 0);
    assert!(!found.is_good);
    assert!(found.text.contains("database 0: "), "{}", found.text);
    let last = found.text.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("dump.rdb: BAD, at byte ") && last.contains("z:table") && last.contains("type 192"),
        "{last}"
    );
    let cut = report(&REDIS_8_2[..400], 0);
    assert!(!cut.is_good && cut.text.contains("BAD, at byte 400: the file ends early"), "{}", cut.text);
    let summed = [&REDIS_8_2[..REDIS_8_2.len() - 1], b"x"].concat();
    assert!(report(&summed, 0).text.contains("the checksum is "));
    assert!(!report(b"", 0).is_good && !report(b"some other file", 0).is_good);
}

#[test]
fn a_key_that_is_there_twice_is_found() {
    let key = b"\x00\x01k\x01v";
    let file = [b"REDIS0011\xfe\x00", &key[..], b"\xfe\x01", key, b"\xff", &[0; 8]].concat();
    assert!(report(&file, 0).is_good, "in another database it is another key");
    let file = [b"REDIS0011\xfe\x00", &key[..], key, b"\xff", &[0; 8]].concat();
    assert!(
        report(&file, 0).text.ends_with("BAD, at byte 16: the key 'k' is there twice\n"),
        "{}",
        report(&file, 0).text
    );
}

#[test]
fn bytes_behind_the_end_are_told() {
    let found = report(&[REDIS_8_2, b"more"].concat(), 0);
    assert!(found.is_good && found.text.contains("bytes behind the end: 4"), "{}", found.text);
}

#[test]
fn a_file_that_cannot_be_read_is_not_good() {
    let disk = SimulatedDisk::new();
    let check = |name: &str| check(&disk, Path::new(name), (0, KeyHasher::new([7; 16])), &accepts);
    assert!(!check("missing").is_good);
    disk.put("dump.rdb", REDIS_8_2);
    disk.fail(Call::Read, 0, 1, libc::EIO);
    let found = check("dump.rdb");
    assert!(!found.is_good && found.text.contains("it cannot be read"), "{}", found.text);
    disk.fail(Call::Open, 0, 1, libc::EACCES);
    assert!(check("dump.rdb").text.contains("Permission denied"));
}
