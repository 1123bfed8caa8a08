//! What the process has of the machine's memory while values come and go.

use super::process::{DEADLINE, Process};
use super::resp::{Client, encode};
use super::server::wait_until;

const MIB: u64 = 1 << 20;

fn used(client: &mut Client) -> u64 {
    let info = client.call(&["INFO", "memory"]).expect("a reply").value.text();
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("the field is there");
    line.trim().parse().expect("a number")
}

#[test]
fn the_allocator_has_the_options_that_the_program_was_built_with() {
    let process = Process::serving(&[]);
    let report = process.connect().call(&["MEMORY", "MALLOC-STATS"]).expect("a reply").value.text();
    for option in [
        "opt.lg_extent_max_active_fit: 20",
        "opt.narenas: 1",
        "opt.dirty_decay_ms: -1",
        "opt.muzzy_decay_ms: 0",
        // The limit between `Arena::Main` and `Arena::Huge`.
        "opt.oversize_threshold: 8388608",
    ] {
        assert!(report.contains(option), "no '{option}' in:\n{report}");
    }
}

#[test]
fn resident_memory_stays_near_used_while_values_of_many_pages_come_and_go() {
    let process = Process::serving(&[]);
    let mut client = process.connect();
    // Sizes from 16 to 64 KB, the same in every run.
    let (mut state, text) = (1_u64, "x".repeat(64_000));
    let mut size = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        16_000 + (state >> 33) as usize % 48_000
    };
    for round in 0..8 {
        for key in 0..1600 {
            client.send_raw(&encode(&["SET", &format!("{round}:{key}"), &text[..size()]])).expect("the server reads");
            assert_eq!(client.read_reply().expect("a reply").value.text(), "OK");
        }
        let (resident, used) = (process.resident_bytes(), used(&mut client));
        assert!(resident * 10 <= used * 13 + 32 * MIB * 10, "round {round}: {resident} resident of {used} used");
        // In another order than they came in, so that what is freed does not lie together.
        for key in (0..1600).map(|at| at * 7 % 1600) {
            client.call(&["DEL", &format!("{round}:{key}")]).expect("a reply");
        }
    }
}

#[test]
fn the_pages_of_a_huge_value_go_back_when_it_is_deleted() {
    let process = Process::serving(&[]);
    let mut client = process.connect();
    for round in 0..3 {
        client.call(&["SETRANGE", "huge", &(200 * MIB).to_string(), "x"]).expect("a reply");
        assert!(process.resident_bytes() > 200 * MIB);
        client.call(&["DEL", "huge"]).expect("a reply");
        let gone = wait_until(DEADLINE, || process.resident_bytes() < 50 * MIB);
        assert!(gone, "round {round}: {} resident", process.resident_bytes());
    }
}

#[test]
fn memory_purge_returns_what_ordinary_values_left() {
    let process = Process::serving(&[]);
    let mut client = process.connect();
    let value = "x".repeat(10_000);
    for key in 0..3000 {
        client.call(&["SET", &key.to_string(), &value]).expect("a reply");
    }
    let full = process.resident_bytes();
    client.call(&["FLUSHALL"]).expect("a reply");
    assert_eq!(client.call(&["MEMORY", "PURGE"]).expect("a reply").value.text(), "OK");
    assert!(
        wait_until(DEADLINE, || process.resident_bytes() + 20 * MIB < full),
        "{} of {full}",
        process.resident_bytes()
    );
}
