//! Live queries over sockets: readers that keep up, that fall behind, and that vanish.

use super::process::Process;
use super::resp::Client;

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
