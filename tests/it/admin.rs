//! The server as a whole: time, role, shutdown, dice.

use aleadb::server::ctx::Next;

use crate::memory::{Memory, START_MS};

#[test]
fn time_is_seconds_and_microseconds() {
    let mut m = Memory::new();
    assert_eq!(START_MS, 1_700_000_000_000);
    m.expect(&[("TIME", r"*2\r\n$10\r\n1700000000\r\n$1\r\n0\r\n")]);
    m.advance_ms(1234);
    m.expect(&[
        ("TIME", r"*2\r\n$10\r\n1700000001\r\n$6\r\n234000\r\n"),
        ("TIME x", r"-ERR wrong number of arguments for \'time\' command\r\n"),
    ]);
    m.clock.step_wall_ms(-1_700_000_001_235);
    m.expect(&[("TIME", r"*2\r\n$2\r\n-1\r\n$6\r\n999000\r\n")]);
}

#[test]
fn role_is_a_primary_without_replicas() {
    let mut m = Memory::new();
    m.expect(&[]);
}

#[test]
fn lastsave_is_the_time_of_the_start() {
    let mut m = Memory::new();
    m.advance_ms(5000);
    m.expect(&[("LASTSAVE", r":1700000000\r\n")]);
}

#[test]
fn shutdown_has_no_reply_whatever_it_need_not_wait_for() {
    for line in [
        "SHUTDOWN",
        "SHUTDOWN NOSAVE",
        "shutdown now force nosave",
        "SHUTDOWN SAVE FORCE",
        "SHUTDOWN NOW NOW",
        "SHUTDOWN safe NOSAVE",
    ] {
        let mut m = Memory::new();
        m.expect(&[(line, "")]);
        assert_eq!(m.next, Next::Shutdown, "{line}");
    }
}

#[test]
fn shutdown_refuses_what_contradicts_itself_and_what_cannot_be_done() {
    let mut m = Memory::new();
    let syntax = r"-ERR syntax error\r\n";
    m.expect(&[
        ("SHUTDOWN x", syntax),
        ("SHUTDOWN NOW x", syntax),
        ("SHUTDOWN SAVE NOSAVE", syntax),
        ("SHUTDOWN NOSAVE FORCE SAVE", syntax),
        ("SHUTDOWN ABORT NOW", syntax),
        ("SHUTDOWN SAFE ABORT", syntax),
        ("SHUTDOWN ABORT FAILOVER", syntax),
        ("SHUTDOWN FAILOVER", r"-ERR SHUTDOWN FAILOVER is only supported in cluster mode.\r\n"),
        ("SHUTDOWN SAFE FAILOVER NOSAVE", r"-ERR SHUTDOWN FAILOVER is only supported in cluster mode.\r\n"),
        ("SHUTDOWN SAVE ABORT", syntax),
        ("SHUTDOWN ABORT", r"-ERR No shutdown in progress.\r\n"),
        ("SHUTDOWN ABORT ABORT", r"-ERR No shutdown in progress.\r\n"),
    ]);
    assert_eq!(m.next, Next::Done);
}

#[test]
fn abort_answers_before_the_server_stops() {
    for line in ["ABORT", "ABORT now please"] {
        let mut m = Memory::new();
        m.expect(&[(line, r"+OK\r\n")]);
        assert_eq!(m.next, Next::Shutdown);
    }
}

/// LOLWUT's text, out of a RESP2 bulk string.
fn art(m: &mut Memory, args: &[&[u8]]) -> String {
    let reply = String::from_utf8(m.raw(args)).expect("UTF-8");
    let (length, text) = reply.split_once("\r\n").expect("a header");
    let text = text.strip_suffix("\r\n").expect("an end");
    assert_eq!(length, format!("${}", text.len()));
    text.to_string()
}

#[test]
fn lolwut_throws_dice_and_names_the_version() {
    let mut m = Memory::new();
    for (args, across, down) in [
        (vec!["LOLWUT"], 5, 2),
        (vec!["LOLWUT", "3"], 3, 2),
        (vec!["lolwut", "1", "4"], 1, 4),
        (vec!["LOLWUT", "0", "-5"], 1, 1),
        (vec!["LOLWUT", "99", "1000000"], 16, 16),
    ] {
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        let text = art(&mut m, &args);
        assert!(text.ends_with("\n\nAlea iacta est. AleaDB ver. 0.1.0. Redis ver. 8.2.3\n"), "{text}");
        let dice: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).collect();
        assert_eq!(dice.len(), 5 * down);
        for line in dice {
            assert_eq!(line.chars().count(), 10 * across - 1, "{line}");
        }
        let pips = text.matches('●').count();
        assert!((across * down..=6 * across * down).contains(&pips), "{text}");
    }
}

#[test]
fn lolwut_of_other_versions_is_the_version_alone() {
    let mut m = Memory::new();
    m.expect(&[
        ("LOLWUT VERSION 4", r"$17\r\nRedis ver. 8.2.3\n\r\n"),
        ("LOLWUT VERSION 7 1 x", r"$17\r\nRedis ver. 8.2.3\n\r\n"),
        ("LOLWUT VERSION x", r"-ERR value is not an integer or out of range\r\n"),
        ("LOLWUT VERSION 5 x", r"-ERR value is not an integer or out of range\r\n"),
        ("LOLWUT VERSION 6 1 x", r"-ERR value is not an integer or out of range\r\n"),
        ("LOLWUT x", r"-ERR value is not an integer or out of range\r\n"),
    ]);
    m.run("HELLO 3");
    m.expect(&[("LOLWUT VERSION 4", r"=21\r\ntxt:Redis ver. 8.2.3\n\r\n")]);
}
