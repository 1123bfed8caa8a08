//! The connection: greeting, authentication, ping, sleep. Replies as a Redis 8.2.3 gives them, but for the version.

use aleadb::config::Config;
use aleadb::resp::reply::Proto;
use aleadb::server::ctx::Next;
use aleadb::server::session::{Blocked, LateReply};

use crate::memory::Memory;

const HELLO_2: &str = r"*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n8.2.3\r\n$5\r\nproto\r\n:2\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n";
const HELLO_3: &str = r"%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n8.2.3\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n";
const HELLO_NOAUTH: &str = r"-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time\r\n";
const WRONGPASS: &str = r"-WRONGPASS invalid username-password pair or user is disabled.\r\n";
const NOAUTH: &str = r"-NOAUTH Authentication required.\r\n";
const NOT_AN_INTEGER: &str = r"-ERR value is not an integer or out of range\r\n";

fn with_password() -> Memory {
    Memory::with_config(Config { requirepass: b"sekret".to_vec(), ..Config::default() })
}

#[test]
fn ping_and_echo_answer_what_they_got() {
    let mut m = Memory::new();
    m.expect(&[
        ("PING", r"+PONG\r\n"),
        ("PING hi", r"$2\r\nhi\r\n"),
        ("PING \"\"", r"$0\r\n\r\n"),
        ("PING a b", r"-ERR wrong number of arguments for \'ping\' command\r\n"),
        ("ECHO hi", r"$2\r\nhi\r\n"),
        ("ECHO", r"-ERR wrong number of arguments for \'echo\' command\r\n"),
        ("ECHO a b", r"-ERR wrong number of arguments for \'echo\' command\r\n"),
    ]);
}

#[test]
fn hello_describes_the_server_and_chooses_the_protocol() {
    let mut m = Memory::new();
    m.expect(&[
        ("HELLO", HELLO_2),
        ("HELLO 3", HELLO_3),
        ("HELLO", HELLO_3),
        ("GET nothing", r"_\r\n"),
        ("HELLO 3 SETNAME worker", HELLO_3),
        ("CLIENT GETNAME", r"$6\r\nworker\r\n"),
        ("HELLO 2 setname \"\" auth default anything", HELLO_2),
        ("CLIENT GETNAME", r"$-1\r\n"),
    ]);
}

#[test]
fn a_hello_that_fails_changes_nothing() {
    let mut m = Memory::new();
    m.expect(&[
        ("HELLO 1", r"-NOPROTO unsupported protocol version\r\n"),
        ("HELLO 4", r"-NOPROTO unsupported protocol version\r\n"),
        ("HELLO x", r"-ERR Protocol version is not an integer or out of range\r\n"),
        ("HELLO 99999999999999999999", r"-ERR Protocol version is not an integer or out of range\r\n"),
        ("HELLO 3 x", r"-ERR Syntax error in HELLO option \'x\'\r\n"),
        ("HELLO 3 AUTH default", r"-ERR Syntax error in HELLO option \'AUTH\'\r\n"),
        ("HELLO 3 SETNAME", r"-ERR Syntax error in HELLO option \'SETNAME\'\r\n"),
        ("HELLO 3 SETNAME n AUTH other x", WRONGPASS),
        ("HELLO 3 SETNAME \"a b\"", r"-ERR Client names cannot contain spaces, newlines or special characters.\r\n"),
        ("HELLO 3 \"a\\x00b\"", r"-ERR Syntax error in HELLO option \'a\'\r\n"),
        ("CLIENT GETNAME", r"$-1\r\n"),
        ("HELLO", HELLO_2),
    ]);
}

#[test]
fn without_a_password_only_the_default_user_may_authenticate() {
    let mut m = Memory::new();
    m.expect(&[
        (
            "AUTH secret",
            r"-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?\r\n",
        ),
        ("AUTH other secret", WRONGPASS),
        ("AUTH default secret", r"+OK\r\n"),
        ("AUTH default \"\"", r"+OK\r\n"),
        ("AUTH Default secret", WRONGPASS),
        ("AUTH a b c", r"-ERR syntax error\r\n"),
        ("AUTH", r"-ERR wrong number of arguments for \'auth\' command\r\n"),
    ]);
    assert_eq!(m.server.stats.denied.auth, 2);
}

#[test]
fn with_a_password_nothing_runs_before_it_but_the_greeting() {
    let mut m = with_password();
    m.expect(&[
        ("PING", NOAUTH),
        ("CLIENT SETINFO LIB-NAME x", NOAUTH),
        ("SLEEP 1", NOAUTH),
        ("ABORT", NOAUTH),
        ("PING a b", NOAUTH),
        ("ECHO", r"-ERR wrong number of arguments for \'echo\' command\r\n"),
        ("FOO", r"-ERR unknown command \'FOO\'\r\n"),
        ("HELLO", HELLO_NOAUTH),
        ("HELLO 3", HELLO_NOAUTH),
        ("HELLO 3 SETNAME x", HELLO_NOAUTH),
        ("HELLO 9", r"-NOPROTO unsupported protocol version\r\n"),
        ("HELLO 3 AUTH default sekre", WRONGPASS),
        ("HELLO 3 AUTH other sekret", WRONGPASS),
        ("AUTH wrong", WRONGPASS),
        ("AUTH sekretsekret", WRONGPASS),
        ("AUTH \"\"", WRONGPASS),
        ("AUTH other sekret", WRONGPASS),
        ("RESET", r"+RESET\r\n"),
        ("HELLO 3 AUTH default sekret", HELLO_3),
        ("PING", r"+PONG\r\n"),
        ("AUTH wrong", WRONGPASS),
        ("PING", r"+PONG\r\n"),
        ("RESET", r"+RESET\r\n"),
        ("PING", NOAUTH),
        ("AUTH sekret", r"+OK\r\n"),
        ("AUTH default sekret", r"+OK\r\n"),
        ("PING", r"+PONG\r\n"),
    ]);
}

#[test]
fn a_password_set_later_leaves_the_clients_in_and_one_removed_lets_them_in() {
    let mut m = Memory::new();
    m.expect(&[("CONFIG SET requirepass sekret", r"+OK\r\n"), ("PING", r"+PONG\r\n")]);
    m.connect();
    m.expect(&[("PING", NOAUTH)]);
    m.client = 0;
    m.expect(&[("CONFIG SET requirepass \"\"", r"+OK\r\n")]);
    m.client = 1;
    m.expect(&[("PING", r"+PONG\r\n"), ("HELLO 9", r"-NOPROTO unsupported protocol version\r\n")]);
}

#[test]
fn quit_answers_and_closes() {
    let mut m = with_password();
    m.expect(&[("QUIT some arguments", r"+OK\r\n")]);
    assert_eq!(m.next, Next::Close);
}

#[test]
fn reset_forgets_everything_but_the_library() {
    let mut m = Memory::new();
    for line in ["HELLO 3 SETNAME x", "CLIENT NO-TOUCH ON", "CLIENT NO-EVICT ON", "CLIENT SETINFO LIB-NAME lib"] {
        m.run(line);
    }
    m.run("SELECT 3");
    m.expect(&[
        ("CLIENT REPLY OFF", ""),
        ("PING", ""),
        ("RESET", r"+RESET\r\n"),
        ("CLIENT GETNAME", r"$-1\r\n"),
        ("RESET x", r"-ERR wrong number of arguments for \'reset\' command\r\n"),
    ]);
    let session = &m.session(m.client);
    assert_eq!((session.db, session.proto, session.no_touch, session.no_evict), (0, Proto::Resp2, false, false));
    assert_eq!(session.lib_name, b"lib");
}

#[test]
fn sleep_delays_the_caller_until_its_time() {
    let mut m = Memory::new();
    m.expect(&[("SLEEP 2", "")]);
    assert_eq!(m.next, Next::Sleep { until_ms: 2000, reply: LateReply::Ok });
    assert!(m.is_waiting());
    m.advance_ms(1999);
    assert_eq!(m.wake(), []);
    m.advance_ms(1);
    assert_eq!(m.wake(), [(m.client, r"+OK\r\n".to_string())]);
    assert!(!m.is_waiting());
}

#[test]
fn sleeps_over_more_than_a_revolution_of_the_wheel_end_in_order() {
    let mut m = Memory::new();
    let mut sleepers = Vec::new();
    for seconds in [9, 5, 30, 5] {
        let client = m.connect();
        m.run(&format!("SLEEP {seconds}"));
        sleepers.push((seconds, client));
    }
    sleepers.sort_unstable();
    let mut woken = Vec::new();
    for second in 1..=30 {
        m.advance_ms(1000);
        let mut now: Vec<_> = m.wake().into_iter().map(|(client, _)| (second, client)).collect();
        now.sort_unstable();
        woken.append(&mut now);
    }
    assert_eq!(woken, sleepers);
    assert_eq!(m.server.clients.timers.len(), 0);
}

#[test]
fn timers_of_sleeps_cut_short_do_not_pile_up() {
    let mut m = Memory::new();
    let sleeper = m.client;
    let other = m.connect();
    for _ in 0..100 {
        m.client = sleeper;
        m.run("SLEEP 1000000");
        m.client = other;
        m.expect(&[("CLIENT UNBLOCK 1", r":1\r\n")]);
        m.advance_ms(7);
        assert_eq!(m.wake(), [(sleeper, r"+OK\r\n".to_string())]);
    }
    m.client = sleeper;
    m.run("SLEEP 1000000");
    m.advance_ms(10_000);
    assert_eq!(m.wake(), []);
    assert_eq!(m.server.clients.timers.len(), 1);
}

#[test]
fn sleep_takes_whole_seconds_that_are_not_negative() {
    let mut m = Memory::new();
    let arity = r"-ERR wrong number of arguments for \'sleep\' command\r\n";
    m.expect(&[
        ("SLEEP 0", r"+OK\r\n"),
        ("SLEEP", arity),
        ("SLEEP 1 2", arity),
        ("SLEEP -1", NOT_AN_INTEGER),
        ("SLEEP 1.5", NOT_AN_INTEGER),
        ("SLEEP x", NOT_AN_INTEGER),
        ("SLEEP 2147483648", NOT_AN_INTEGER),
        ("SLEEP 9223372036854775808", NOT_AN_INTEGER),
        ("SLEEP 2147483647", ""),
    ]);
    let until_ms = 2_147_483_647_000;
    assert_eq!(m.session(m.client).blocked, Some(Blocked::Sleep { until_ms, reply: LateReply::Ok, muted: false }));
}

#[test]
fn a_sleeper_that_wants_no_reply_gets_none() {
    let mut m = Memory::new();
    m.expect(&[("CLIENT REPLY SKIP", ""), ("SLEEP 1", "")]);
    m.advance_ms(1000);
    assert_eq!(m.wake(), [(m.client, String::new())]);
    m.expect(&[("PING", r"+PONG\r\n")]);
}
