//! The simulated disk itself, beside a naive one: a map of names to contents, and what was synced of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::Path;

use aleadb::base::prng::Prng;
use aleadb::persist::storage::{Locked, Storage};

use crate::disk::{CALLS, Call, SimulatedDisk};

const NAMES: &[&str] = &["a", "b", "c", "dir/a", "dir/b"];

fn read(disk: &SimulatedDisk, path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    disk.open(Path::new(path))?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A text of a disk's directory: files and their contents.
fn all(disk: &SimulatedDisk) -> BTreeMap<String, Vec<u8>> {
    let paths = disk.paths().into_iter().map(|path| path.to_str().expect("a name of ours").to_owned());
    paths.map(|path| (path.clone(), read(disk, &path).expect("it is listed"))).collect()
}

/// What a file was or may have been at each byte since it was last synced.
#[derive(Clone, Default)]
struct Naive {
    files: BTreeMap<String, Vec<u8>>,
    /// The same when files and directories were all synced last, and nothing has happened since.
    settled: Option<BTreeMap<String, Vec<u8>>>,
    /// All that was ever written to any file.
    written: BTreeSet<u8>,
}

fn step(disk: &SimulatedDisk, naive: &mut Naive, prng: &mut Prng) {
    let name = *prng.pick(NAMES).expect("some");
    let path = Path::new(name);
    naive.settled = None;
    match prng.below(6) {
        0 => {
            disk.create(path).expect("no fault is planned");
            naive.files.insert(name.to_owned(), Vec::new());
        }
        1 | 2 => {
            let bytes = vec![1 + prng.below(250) as u8; prng.below(2_000) as usize];
            naive.written.extend(bytes.first());
            disk.append(path).expect("no fault is planned").write_all(&bytes).expect("no fault is planned");
            naive.files.entry(name.to_owned()).or_default().extend(bytes);
        }
        3 => {
            let length = naive.files.get(name).map_or(0, Vec::len) / 2;
            disk.append(path).expect("no fault is planned").truncate(length as u64).expect("no fault is planned");
            naive.files.entry(name.to_owned()).or_default().truncate(length);
        }
        4 => {
            // From one directory to another a file may have two names after a crash, which the map knows nothing of.
            let beside = |other: &&&str| Path::new(**other).parent() == path.parent();
            let beside: Vec<_> = NAMES.iter().filter(beside).collect();
            let to = **prng.pick(&beside).expect("itself");
            let renamed = disk.rename(path, Path::new(to));
            assert_eq!(renamed.is_ok(), naive.files.contains_key(name));
            if let Some(bytes) = naive.files.remove(name) {
                naive.files.insert(to.to_owned(), bytes);
            }
        }
        _ => {
            assert_eq!(disk.remove(path).is_ok(), naive.files.remove(name).is_some());
        }
    }
}

fn settle(disk: &SimulatedDisk, naive: &mut Naive) {
    for path in naive.files.keys() {
        disk.append(Path::new(path)).and_then(|mut file| file.sync()).expect("no fault is planned");
    }
    for dir in ["", "./dir"] {
        disk.sync_dir(Path::new(dir)).expect("no fault is planned");
    }
    naive.settled = Some(naive.files.clone());
}

#[test]
fn a_disk_without_crashes_is_a_map_and_one_that_is_synced_forgets_nothing() {
    for seed in 0..60 {
        let mut prng = Prng::seeded(seed);
        let (disk, mut naive) = (SimulatedDisk::new(), Naive::default());
        disk.create_dir(Path::new("dir")).expect("no fault is planned");
        for _ in 0..40 {
            step(&disk, &mut naive, &mut prng);
            assert!(all(&disk) == naive.files, "seed {seed}");
            if prng.chance(1, 8) {
                settle(&disk, &mut naive);
            }
            if prng.chance(1, 10) {
                disk.crash(&mut prng);
                let left = all(&disk);
                if let Some(settled) = &naive.settled {
                    assert!(&left == settled, "seed {seed}");
                }
                // Nothing is there that was never written.
                let known = |byte: &u8| *byte == 0 || naive.written.contains(byte);
                assert!(left.values().flatten().all(known), "seed {seed}");
                disk.create_dir(Path::new("dir")).expect("no fault is planned");
                naive.files = left;
            }
        }
    }
}

/// Each kind of loss happens to some crash.
#[test]
fn unsynced_writes_are_kept_lost_torn_or_read_as_zeros() {
    let (mut kept, mut lost, mut torn, mut zeros) = (false, false, false, false);
    for seed in 0..200 {
        let disk = SimulatedDisk::new();
        disk.put("log", &[1; 700]);
        let mut file = disk.append(Path::new("log")).expect("no fault is planned");
        file.write_all(&[2; 2_000]).expect("no fault is planned");
        disk.crash(&mut Prng::seeded(seed));
        let left = disk.contents("log").expect("its name was synced");
        assert_eq!(left[..700], [1; 700]);
        let tail = &left[700..];
        kept |= tail == [2; 2_000];
        lost |= tail.is_empty();
        zeros |= tail == [0; 2_000];
        let twos = tail.iter().filter(|byte| **byte == 2).count();
        torn |= twos > 0 && twos < 2_000;
        // What is torn is torn at sectors of the file.
        for pair in (701..left.len()).filter(|at| left[*at] != left[at - 1]) {
            assert_eq!(pair % 512, 0, "seed {seed}");
        }
        assert!(file.write(b"x").is_err() && file.sync().is_err(), "handles end with a crash");
    }
    assert!(kept && lost && torn && zeros);
}

#[test]
fn names_that_were_not_synced_are_undone_in_order() {
    let mut seen = BTreeSet::new();
    for seed in 0..100 {
        let disk = SimulatedDisk::new();
        disk.put("dump", b"old");
        disk.put("temp", b"new");
        disk.rename(Path::new("temp"), Path::new("dump")).expect("no fault is planned");
        disk.put("other", b"");
        disk.remove(Path::new("other")).expect("no fault is planned");
        disk.crash(&mut Prng::seeded(seed));
        let names: Vec<_> = disk.paths().iter().map(|path| path.display().to_string()).collect();
        seen.insert((names.join(" "), disk.contents("dump").expect("old or new")));
    }
    let of = |names: &str, dump: &[u8]| (names.to_owned(), dump.to_vec());
    let wanted = [of("dump", b"new"), of("dump other", b"new"), of("dump other temp", b"old")];
    assert_eq!(seen, BTreeSet::from(wanted));
}

#[test]
fn a_directory_whose_name_is_lost_is_gone_with_its_files() {
    let (mut gone, mut there) = (false, false);
    for seed in 0..40 {
        let disk = SimulatedDisk::new();
        disk.create_dir(Path::new("appendonlydir")).expect("no fault is planned");
        let path = Path::new("appendonlydir/manifest");
        let mut file = disk.create(path).expect("no fault is planned");
        file.write_all(b"text").and_then(|()| file.sync()).expect("no fault is planned");
        disk.sync_dir(Path::new("appendonlydir")).expect("no fault is planned");
        disk.crash(&mut Prng::seeded(seed));
        match disk.contents(path) {
            Some(bytes) => {
                assert_eq!(bytes, b"text");
                there = true;
            }
            None => {
                assert!(disk.list(Path::new("appendonlydir")).is_err());
                gone = true;
            }
        }
    }
    assert!(gone && there);
}

/// As on Linux: the pages that could not be written count as clean, so that the next sync has nothing to do.
#[test]
fn after_a_failed_sync_a_later_one_succeeds_and_the_data_is_lost() {
    let disk = SimulatedDisk::new();
    disk.put("log", b"old ");
    let mut file = disk.append(Path::new("log")).expect("no fault is planned");
    file.write_all(b"lost").expect("no fault is planned");
    disk.fail(Call::Sync, 0, 1, libc::EIO);
    assert_eq!(file.sync().expect_err("it is to fail").raw_os_error(), Some(libc::EIO));
    file.write_all(b"kept").expect("no fault is planned");
    file.sync().expect("only one sync was to fail");
    assert_eq!(disk.contents("log").as_deref(), Some(b"old lostkept".as_slice()));
    disk.crash_hard();
    assert_eq!(disk.contents("log").as_deref(), Some(b"old \0\0\0\0kept".as_slice()));
}

#[test]
fn calls_of_every_kind_fail_where_they_are_told_to() {
    for &call in CALLS {
        let disk = SimulatedDisk::new();
        disk.put("file", b"text");
        let path = Path::new("file");
        let mut reads = disk.open(path).expect("no fault is planned");
        let mut writes = disk.append(path).expect("no fault is planned");
        let made = |disk: &SimulatedDisk| (disk.calls(call), disk.calls_of_all_kinds());
        let mut make = || match call {
            Call::Open => disk.open(path).map(drop),
            Call::Read => reads.read(&mut [0; 2]).map(drop),
            Call::Create => disk.create(Path::new("new")).map(drop),
            Call::Append => disk.append(path).map(drop),
            Call::Write => writes.write(b"x").map(drop),
            Call::Sync => writes.sync(),
            Call::Truncate => writes.truncate(1),
            Call::SyncDir => disk.sync_dir(Path::new(".")),
            Call::Rename => disk.rename(path, path),
            Call::Remove => disk.remove(path).map(|()| disk.put("file", b"text")),
            Call::List => disk.list(Path::new(".")).map(drop),
            Call::CreateDir => disk.create_dir(Path::new("dir")),
            Call::Lock => disk.lock(Path::new("lock"), b"1").map(drop),
            Call::FreeBytes => disk.free_bytes(Path::new(".")).map(drop),
        };
        let before = made(&disk);
        make().expect("no fault is planned");
        disk.fail(call, 1, 2, libc::EROFS);
        let outcomes: Vec<_> = (0..4).map(|_| make().map_err(|error| error.raw_os_error())).collect();
        let failed = Err(Some(libc::EROFS));
        assert_eq!(outcomes, [Ok(()), failed, failed, Ok(())], "{call:?}");
        assert_eq!(made(&disk), (before.0 + 5, before.1 + 5), "{call:?}");
    }
}

#[test]
fn a_full_disk_writes_what_there_is_room_for_and_says_how_much() {
    let disk = SimulatedDisk::new();
    disk.put("other", &[0; 60]);
    disk.set_capacity(Some(100));
    let free = || disk.free_bytes(Path::new(".")).expect("no fault is planned");
    let mut file = disk.create(Path::new("log")).expect("no fault is planned");
    assert_eq!(free(), 40);
    assert_eq!(file.write(&[1; 50]).expect("some of it fits"), 40);
    assert_eq!(free(), 0);
    assert_eq!(file.write(&[1; 10]).expect_err("nothing fits").raw_os_error(), Some(libc::ENOSPC));
    disk.remove(Path::new("other")).expect("no fault is planned");
    disk.set_write_bytes_max(Some(7));
    assert_eq!(file.write(&[1; 10]).expect("there is room again"), 7);
}

#[test]
fn nothing_happens_any_more_once_the_power_has_gone() {
    let disk = SimulatedDisk::new();
    let mut file = disk.create(Path::new("log")).expect("no fault is planned");
    disk.sync_dir(Path::new("")).expect("no fault is planned");
    disk.power_off_after(2);
    file.write_all(b"text").expect("the power is on");
    file.sync().expect("the power is on");
    assert!(disk.is_off());
    assert!(file.write(b"more").is_err() && file.sync().is_err() && disk.open(Path::new("log")).is_err());
    disk.crash(&mut Prng::seeded(1));
    assert_eq!(read(&disk, "log").expect("the power is back"), b"text");
}

#[test]
fn a_file_is_locked_by_one_at_a_time_and_a_crash_releases_it() {
    let disk = SimulatedDisk::new();
    let path = Path::new("aleadb.lock");
    let lock = |holder: &[u8]| disk.clone().lock(path, holder).expect("no fault is planned");
    let Locked::Ours(first) = lock(b"1") else { panic!("nobody holds it") };
    assert!(matches!(lock(b"2"), Locked::Taken(holder) if holder == b"1"));
    drop(first);
    let Locked::Ours(second) = lock(b"3") else { panic!("nobody holds it") };
    disk.crash(&mut Prng::seeded(1));
    let Locked::Ours(_third) = lock(b"4") else { panic!("the crash has released it") };
    // The lock of before the crash is nothing any more.
    drop(second);
    assert!(matches!(lock(b"5"), Locked::Taken(holder) if holder == b"4"));
}
