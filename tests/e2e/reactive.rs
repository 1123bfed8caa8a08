//! Live queries over sockets: readers that keep up, that fall behind, and that vanish.

use super::process::{DEADLINE, Process};
use super::resp::Client;
use super::server::wait_until;

/// Changes of one key; at `VALUE_BYTES` each, far more than the kernel's buffers take.
const CHANGES: usize = 2_000;
const VALUE_BYTES: usize = 20_000;

fn value(number: usize) -> String {
    format!("{number:0VALUE_BYTES$}")
}

fn number_in(client: &mut Client) -> usize {
    let frame = client.read_any().expect("a frame").value;
    let items = frame.items().expect("three elements");
    assert_eq!((items.len(), items[0].text()), (3, String::from("GET")));
    items[2].text().parse().expect("a number")
}

#[test]
fn a_reader_that_keeps_up_gets_every_change_in_order() {
    let process = Process::serving(&[]);
    let (mut watcher, mut writer) = (process.connect(), process.connect());
    writer.call(&["SET", "k", "0"]).expect("a reply");
    watcher.call(&["GET.WATCH", "k"]).expect("the first answer");
    for number in 1..=500usize {
        writer.call(&["INCR", "k"]).expect("a reply");
        assert_eq!(number_in(&mut watcher), number);
    }
}

#[test]
fn a_reader_that_falls_behind_gets_the_newest_and_never_goes_back() {
    let process = Process::serving(&["--client-output-buffer-limit", "normal 4mb 1mb 1"]);
    let (mut watcher, mut writer) = (process.connect(), process.connect());
    watcher.call(&["GET.WATCH", "k"]).expect("the first answer");
    watcher.call(&["GET.WATCH", "other"]).expect("the first answer");
    for number in 1..=CHANGES {
        let line = if number == CHANGES / 2 { "other" } else { "k" };
        writer.call(&["SET", line, &value(number)]).expect("a reply");
    }
    let (mut last, mut other, mut frames) = (0, 0, 0);
    while last < CHANGES {
        let number = number_in(&mut watcher);
        frames += 1;
        if number == CHANGES / 2 {
            other = number;
            continue;
        }
        assert!(number > last, "{number} after {last}");
        last = number;
    }
    assert!(frames < CHANGES, "it fell behind, and {frames} frames came");
    if other == 0 {
        assert_eq!(number_in(&mut watcher), CHANGES / 2);
    }
    assert!(watcher.call(&["PING"]).is_ok(), "it was not disconnected");
}

#[test]
fn watchers_that_vanish_leave_nothing_behind() {
    let process = Process::serving(&[]);
    let mut writer = process.connect();
    for round in 0..20 {
        let mut watcher = process.connect();
        watcher.call(&["GET.WATCH", "k"]).expect("the first answer");
        for number in 0..20 {
            writer.call(&["SET", "k", &value(number)]).expect("a reply");
            if number == round {
                watcher.finish_sending().expect("half a close");
            }
        }
        drop(watcher);
    }
    let gone = super::server::wait_until(super::process::DEADLINE, || {
        writer.call(&["INFO", "clients"]).expect("a reply").value.text().contains("live_query_watches:0\r\n")
    });
    assert!(gone);
}

#[test]
fn who_wants_every_result_gets_it_however_late() {
    let process = Process::serving(&["--client-output-buffer-limit", "pubsub 0 0 0"]);
    let (mut watcher, mut writer) = (process.connect(), process.connect());
    watcher.call(&["OBSERVE", "EVERY", "GET", "k"]).expect("the first answer");
    watcher.call(&["GET.WATCH", "other"]).expect("the first answer");
    for number in 1..=CHANGES {
        writer.call(&["SET", "k", &value(number)]).expect("a reply");
    }
    for number in 1..=CHANGES {
        assert_eq!(number_in(&mut watcher), number);
    }
    assert!(watcher.call(&["PING"]).is_ok());
}

#[test]
fn who_wants_every_result_and_does_not_read_is_disconnected() {
    let process = Process::serving(&["--client-output-buffer-limit", "pubsub 1mb 1mb 1"]);
    let (mut watcher, mut writer) = (process.connect(), process.connect());
    watcher.call(&["OBSERVE", "EVERY", "GET", "k"]).expect("the first answer");
    for number in 1..=CHANGES {
        writer.call(&["SET", "k", &value(number)]).expect("a reply");
    }
    let info = writer.call(&["INFO", "clients"]).expect("a reply").value.text();
    assert!(info.contains("live_query_watches:0\r\n"), "{info}");
    let mut frames = 0;
    while watcher.read_any().is_ok() {
        frames += 1;
    }
    assert!(frames < CHANGES, "{frames}");
    let closed = || process.log().contains("closed for overcoming of output buffer limits");
    assert!(wait_until(DEADLINE, closed), "{}", process.log());
}

/// What a reader has seen last.
#[derive(Clone, Copy)]
struct Seen {
    number: usize,
    revision: u64,
}

/// Reads one frame with a revision, and the word behind it if there is one.
fn version_in(client: &mut Client) -> (Seen, Option<String>) {
    let frame = client.read_any().expect("a frame").value;
    let items = frame.items().expect("an array");
    let number = items[2].text().parse().expect("a number");
    let revision = items[3].text().parse().expect("a revision");
    (Seen { number, revision }, items.get(4).map(super::resp::Value::text))
}

/// A reader that is slow, drops its connection again and again with results unread, and comes back to where it was.
fn read_badly(process: &Process, every: bool, seed: u64) -> Vec<Seen> {
    let mut prng = aleadb::base::prng::Prng::seeded(seed);
    let mut other = process.connect();
    let mut seen: Vec<Seen> = Vec::new();
    while seen.last().is_none_or(|last| last.number < CHANGES) {
        let mut client = process.connect();
        client.call(&["WATCH.MODE", "REVISIONS"]).expect("a reply");
        let since = seen.last().map_or(String::from("0"), |last| last.revision.to_string());
        let line: &[&str] = if every {
            &["OBSERVE", "SINCE", &since, "EVERY", "GET", "k"]
        } else {
            &["OBSERVE", "SINCE", &since, "GET", "k"]
        };
        client.send_raw(&super::resp::encode(line)).expect("sent");
        let (first, word) = version_in(&mut client);
        match (word.as_deref(), seen.last()) {
            (Some("continued"), Some(last)) => {
                assert_eq!((first.number, first.revision), (last.number, last.revision));
            }
            (Some("missed"), last) => {
                assert!(last.is_none_or(|last| first.number > last.number && first.revision > last.revision));
                seen.push(first);
            }
            other => panic!("{:?}", other.0),
        }
        for _ in 0..prng.below(200) {
            let before = *seen.last().expect("the first answer");
            if before.number == CHANGES {
                break;
            }
            let (now, _) = version_in(&mut client);
            assert!(now.revision > before.revision && now.number > before.number, "it went back");
            assert!(!every || now.revision == before.revision + 1, "one was left out");
            seen.push(now);
            // Slowly: while others are served.
            for _ in 0..prng.below(3) {
                other.call(&["PING"]).expect("a reply");
            }
        }
    }
    seen
}

#[test]
fn slow_and_dying_readers_see_the_last_state_and_every_gap() {
    let process = Process::serving(&[
        "--client-output-buffer-limit",
        "pubsub 0 0 0",
        "--watch-resume-bytes",
        "20mb",
        "--watch-output-threshold",
        "64kb",
    ]);
    let mut writer = process.connect();
    writer.call(&["SET", "k", &value(0)]).expect("a reply");
    let all: Vec<Vec<Seen>> = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..4u64)
            .map(|seed| {
                let process = &process;
                scope.spawn(move || read_badly(process, seed % 2 == 0, seed))
            })
            .collect();
        for number in 1..=CHANGES {
            writer.call(&["SET", "k", &value(number)]).expect("a reply");
        }
        readers.into_iter().map(|reader| reader.join().expect("a reader that was content")).collect()
    });
    // Each change was one version, so the numbers stand for the same results to all.
    let base = all[0][0].revision - all[0][0].number as u64;
    for seen in all.iter().flatten() {
        assert_eq!(seen.revision - seen.number as u64, base);
    }
}
