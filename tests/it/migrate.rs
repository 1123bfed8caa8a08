//! MIGRATE: what is sent to a target and what its answers lead to, on a clock that stands still. The replies are those of Redis 8.2.3.

use std::cell::RefCell;
use std::rc::Rc;

use aleadb::config::ServerAddress;
use aleadb::server::jobs::{JOBS_OUTSIDE_MAX, Limits};
use aleadb::server::targets::{CONNECTIONS_MAX, IDLE_MS_MAX, UNSENT_BYTES_MAX};

use crate::keys::expect_both;
use crate::memory::Memory;

const OK: &str = r"+OK\r\n";
const READING: &str = r"-IOERR error or timeout reading to target instance\r\n";
const CONNECTING: &str = r"-IOERR error or timeout connecting to the client\r\n";
const GIVEN_UP: &str =
    r"-IOERR given up before the target instance has replied, as a key of it could not wait any longer\r\n";

/// What a target has been sent.
type Sent = Rc<RefCell<Vec<Vec<Vec<u8>>>>>;

/// A server whose targets note what they are sent, and give these answers, or none when there are no more.
fn server(answers: &[&str]) -> (Memory, Sent) {
    let (mut m, sent) = (Memory::new(), Sent::default());
    m.leaves_jobs = true;
    answer_with(&mut m, &sent, answers);
    (m, sent)
}

fn answer_with(m: &mut Memory, sent: &Sent, answers: &[&str]) {
    let mut answers = answers.iter().map(|answer| format!("{answer}\r\n").into_bytes()).collect::<Vec<_>>().into_iter();
    let sent = sent.clone();
    m.target = Box::new(move |command| {
        sent.borrow_mut().push(command.to_vec());
        answers.next().unwrap_or_default()
    });
}

/// The first words of what a target has been sent since the last time.
fn taken(sent: &Sent) -> Vec<String> {
    let words = |command: Vec<Vec<u8>>| {
        let count = if command[0] == b"RESTORE" { 3 } else { command.len() };
        command[..count].iter().map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
    };
    sent.borrow_mut().drain(..).map(words).collect()
}

/// Turns until nothing more happens by itself.
fn settle(m: &mut Memory) {
    for _ in 0..200 {
        m.step_jobs();
        m.serve_links();
    }
}

/// What a client is answered when nothing more happens by itself.
fn answer(m: &mut Memory) -> String {
    settle(m);
    m.take_sent(m.client)
}

/// A line that waits, and its answer.
fn answer_to(m: &mut Memory, line: &str) -> String {
    assert_eq!(m.run(line), "", "{line}");
    answer(m)
}

#[test]
fn lines_are_refused_as_by_redis() {
    let (no_int, syntax) = (r"-ERR value is not an integer or out of range\r\n", r"-ERR syntax error\r\n");
    expect_both(&[
        ("SET k v", OK),
        ("MIGRATE h 1 k 0", r"-ERR wrong number of arguments for \'migrate\' command\r\n"),
        ("MIGRATE h 1 k x 1000", no_int),
        ("MIGRATE h 1 k 0 x", no_int),
        ("MIGRATE h 1 k 99999999999999999999 1000", no_int),
        ("MIGRATE h 1 k x 1000 NOW", syntax),
        ("MIGRATE h 1 k 0 1000 AUTH", syntax),
        ("MIGRATE h 1 k 0 1000 AUTH2 a", syntax),
        (
            "MIGRATE h 1 k 0 1000 KEYS a",
            r"-ERR When using MIGRATE KEYS option, the key argument must be set to the empty string\r\n",
        ),
        (r#"MIGRATE h 1 "" 0 1000 KEYS"#, r"+NOKEY\r\n"),
        (r#"MIGRATE h 1 "" 0 1000 KEYS x y"#, r"+NOKEY\r\n"),
        ("MIGRATE h 1 nokey 0 1000 copy replace auth2 keys x", r"+NOKEY\r\n"),
        // The port cannot be one.
        ("MIGRATE h 65536 k 0 1000", CONNECTING),
        ("EXISTS k", r":1\r\n"),
    ]);
}

#[test]
fn keys_go_with_their_times_and_the_connection_is_kept() {
    let (mut m, sent) = server(&["+OK"; 100]);
    m.run("MSET a 1 b 2 c 3");
    m.run("PEXPIRE b 5000");
    m.server.begin_propagation();
    assert_eq!(answer_to(&mut m, r#"MIGRATE 10.0.0.1 6379 "" 3 100 KEYS a nokey b"#), OK);
    assert_eq!(taken(&sent), ["SELECT 3", "RESTORE a 0", "RESTORE b 5000"]);
    let units = m.take_propagated();
    assert_eq!(units, [[(0, vec![b"DEL".to_vec(), b"a".to_vec(), b"b".to_vec()])]]);
    m.expect(&[("EXISTS a b c", r":1\r\n")]);
    // The payload is the value.
    m.run("SET d dump");
    assert_eq!(m.run("MIGRATE 10.0.0.1 6379 d 3 100 COPY REPLACE"), "");
    assert_eq!(answer(&mut m), OK);
    let command = sent.borrow_mut().pop().expect("it was sent");
    assert!(command[3].starts_with(b"\x00\x04dump\x0a\x00") && command[4] == b"REPLACE");
    m.expect(&[("EXISTS d", r":1\r\n")]);
    // Another database, another target, and a password, each have what they need.
    for (line, expected) in [
        ("MIGRATE 10.0.0.1 6379 d 3 100 COPY", &["RESTORE d 0"][..]),
        ("MIGRATE 10.0.0.1 6379 d 0 100 COPY", &["SELECT 0", "RESTORE d 0"]),
        ("MIGRATE 10.0.0.1 6380 d 0 100 COPY", &["SELECT 0", "RESTORE d 0"]),
        ("MIGRATE 10.0.0.1 6379 d 0 100 COPY AUTH pw", &["AUTH pw", "SELECT 0", "RESTORE d 0"]),
        ("MIGRATE 10.0.0.1 6379 d 0 100 COPY AUTH2 me pw", &["AUTH me pw", "RESTORE d 0"]),
        // Whoever has no password does not use what another's has opened.
        ("MIGRATE 10.0.0.1 6379 d 0 100 COPY", &["RESTORE d 0"]),
    ] {
        assert_eq!(answer_to(&mut m, line), OK, "{line}");
        assert_eq!(taken(&sent), expected, "{line}");
    }
    assert_eq!(m.serve_links(), 3);
    m.clock.advance_ms(IDLE_MS_MAX - 1);
    assert_eq!(m.serve_links(), 3);
    m.clock.advance_ms(1);
    assert_eq!(m.serve_links(), 0);
    assert_eq!(answer_to(&mut m, "MIGRATE 10.0.0.1 6379 d 0 100"), OK);
    assert_eq!(taken(&sent), ["SELECT 0", "RESTORE d 0"]);
}

#[test]
fn no_more_connections_are_kept_than_the_limit_says() {
    let (mut m, sent) = server(&["+OK"; 300]);
    m.run("SET k v");
    for port in 1..=CONNECTIONS_MAX + 10 {
        m.clock.advance_ms(1);
        assert_eq!(answer_to(&mut m, &format!("MIGRATE 10.0.0.1 {port} k 0 100 COPY")), OK);
    }
    assert_eq!(m.serve_links(), CONNECTIONS_MAX);
    taken(&sent);
    // Those that were used last.
    answer_to(&mut m, &format!("MIGRATE 10.0.0.1 {} k 0 100 COPY", CONNECTIONS_MAX + 10));
    answer_to(&mut m, "MIGRATE 10.0.0.1 1 k 0 100 COPY");
    assert_eq!(taken(&sent), ["RESTORE k 0", "SELECT 0", "RESTORE k 0"]);
}

#[test]
fn what_is_under_way_can_be_read_and_waits_to_be_changed() {
    let (mut m, _) = server(&["+OK"]);
    let (mover, other) = (m.client, m.connect());
    m.client = mover;
    m.run("SET k v");
    assert_eq!(answer_to(&mut m, "MIGRATE 10.0.0.1 6379 k 0 100"), "");
    m.client = other;
    m.expect(&[("GET k", r"$1\r\nv\r\n"), ("KEYS *", r"*1\r\n$1\r\nk\r\n"), ("SET other v", OK), ("APPEND k w", "")]);
    assert!(m.is_waiting());
    m.receive_from_target(b"+O");
    settle(&mut m);
    m.receive_from_target(b"K\r\n");
    settle(&mut m);
    assert_eq!(m.take_sent(mover), OK);
    m.wake();
    assert!(!m.is_waiting());
    // As the loop does, for it was held back.
    m.expect(&[("APPEND k w", r":1\r\n")]);
}

#[test]
fn unblock_does_not_end_it() {
    let (mut m, _) = server(&["+OK"]);
    let (mover, other) = (m.client, m.connect());
    m.client = mover;
    m.run("SET k v");
    assert_eq!(answer_to(&mut m, "MIGRATE 10.0.0.1 6379 k 0 100"), "");
    m.client = other;
    let number = m.session(mover).id;
    m.expect(&[(&format!("CLIENT UNBLOCK {number} ERROR"), r":0\r\n")]);
    m.receive_from_target(b"+OK\r\n");
    m.client = mover;
    assert_eq!(answer(&mut m), OK);
}

#[test]
fn a_copied_key_may_change_when_it_has_been_sent_for_good() {
    let (mut m, sent) = server(&["+OK"]);
    let (mover, other) = (m.client, m.connect());
    m.client = mover;
    m.run("MSET a 1 b 2");
    assert_eq!(answer_to(&mut m, r#"MIGRATE 10.0.0.1 6379 "" 0 100 COPY KEYS a b"#), "");
    assert_eq!(taken(&sent).len(), 3);
    m.client = other;
    m.expect(&[("INCR a", r":2\r\n")]);
    m.receive_from_target(b"+OK\r\n-BUSYKEY Target key name already exists.\r\n");
    m.client = mover;
    let error = r"-ERR Target instance replied with error: BUSYKEY Target key name already exists.\r\n";
    assert_eq!(answer(&mut m), error);
    m.expect(&[("MGET a b", r"*2\r\n$1\r\n2\r\n$1\r\n2\r\n")]);
}

#[test]
fn a_key_that_the_target_refuses_stays_and_the_others_go() {
    let (mut m, sent) = server(&["+OK", "+OK", "-BUSYKEY there", "-ERR other", "+OK", "+OK", "+OK", "+OK"]);
    m.run("MSET a 1 b 2 c 3 d 4");
    m.server.begin_propagation();
    let line = r#"MIGRATE 10.0.0.1 6379 "" 0 100 KEYS a b c d"#;
    assert_eq!(answer_to(&mut m, line), r"-ERR Target instance replied with error: BUSYKEY there\r\n");
    m.expect(&[("EXISTS a d", r":0\r\n"), ("EXISTS b c", r":2\r\n")]);
    assert_eq!(m.take_propagated(), [[(0, vec![b"DEL".to_vec(), b"a".to_vec(), b"d".to_vec()])]]);
    // What is selected is not taken for granted after that.
    taken(&sent);
    assert_eq!(answer_to(&mut m, "MIGRATE 10.0.0.1 6379 b 0 100"), OK);
    assert_eq!(taken(&sent), ["SELECT 0", "RESTORE b 0"]);
}

/// Redis sends the keys at once, and they come into another database.
#[test]
fn nothing_is_sent_to_a_target_that_does_not_know_the_database_or_us() {
    let (mut m, sent) = server(&["-ERR DB index is out of range", "-WRONGPASS no", "-NOAUTH who are you"]);
    m.run("SET k v");
    assert_eq!(
        answer_to(&mut m, "MIGRATE 10.0.0.1 6379 k 99 100"),
        r"-ERR Target instance replied with error: ERR DB index is out of range\r\n"
    );
    assert_eq!(
        answer_to(&mut m, "MIGRATE 10.0.0.1 6379 k 0 100 AUTH pw"),
        r"-ERR Target instance replied with error: WRONGPASS no\r\n"
    );
    assert_eq!(taken(&sent), ["SELECT 99", "AUTH pw", "SELECT 0"]);
    m.expect(&[("EXISTS k", r":1\r\n")]);
}

#[test]
fn a_target_of_which_nothing_is_heard_is_given_up_when_the_timeout_has_passed() {
    // The connection is not made, its greeting is not answered, or a key is not.
    for (answers, error) in [(None, CONNECTING), (Some(&[][..]), READING), (Some(&["+OK"]), READING)] {
        let (mut m, _) = server(answers.unwrap_or_default());
        m.run("SET k v");
        m.run("MIGRATE 10.0.0.1 6379 k 0 250");
        let turn = |m: &mut Memory| {
            m.step_jobs();
            if answers.is_some() { m.serve_links() } else { 0 }
        };
        for _ in 0..20 {
            turn(&mut m);
        }
        assert_eq!(m.server.targets.next_due_ms(), Some(m.clock_ms() + 250), "{error}");
        m.clock.advance_ms(249);
        turn(&mut m);
        assert_eq!(m.take_sent(m.client), "", "{error}");
        m.clock.advance_ms(1);
        turn(&mut m);
        assert_eq!(m.take_sent(m.client), error);
        m.expect(&[("EXISTS k", r":1\r\n")]);
        assert_eq!((m.serve_links(), m.server.targets.count()), (0, 0), "{error}: nothing is left of it");
    }
    // Without a timeout it is a second.
    let (mut m, _) = server(&[]);
    m.run("SET k v");
    assert_eq!(answer_to(&mut m, "MIGRATE 10.0.0.1 6379 k 0 0"), "");
    m.clock.advance_ms(999);
    assert_eq!(answer(&mut m), "");
    m.clock.advance_ms(1);
    assert_eq!(answer(&mut m), READING);
}

/// The time counts from what was last heard.
#[test]
fn a_target_that_goes_on_is_waited_for() {
    let (mut m, _) = server(&["+OK"]);
    m.run("MSET a 1 b 2 c 3");
    assert_eq!(answer_to(&mut m, r#"MIGRATE 10.0.0.1 6379 "" 0 100 KEYS a b c"#), "");
    for reply in [b"+OK\r\n", b"+OK\r\n"] {
        m.clock.advance_ms(90);
        assert_eq!(answer(&mut m), "");
        m.receive_from_target(reply);
        assert_eq!(answer(&mut m), "");
    }
    m.clock.advance_ms(100);
    assert_eq!(answer(&mut m), READING);
    m.expect(&[("EXISTS a b", r":0\r\n"), ("EXISTS c", r":1\r\n")]);
}

#[test]
fn a_connection_that_breaks_before_a_reply_is_made_once_more() {
    let (mut m, sent) = server(&["+OK"; 2]);
    m.run("MSET a 1 b 2");
    assert_eq!(answer_to(&mut m, "MIGRATE 10.0.0.1 6379 a 0 100"), OK);
    taken(&sent);
    answer_with(&mut m, &sent, &[]);
    assert_eq!(answer_to(&mut m, "MIGRATE 10.0.0.1 6379 b 0 100"), "");
    assert_eq!(taken(&sent), ["RESTORE b 0"]);
    m.close_target();
    assert_eq!(answer(&mut m), "");
    assert_eq!(taken(&sent), ["SELECT 0"], "over a new connection");
    m.close_target();
    assert_eq!(answer(&mut m), READING);
    m.expect(&[("EXISTS b", r":1\r\n")]);
    // Not after a reply.
    answer_with(&mut m, &sent, &["+OK"]);
    assert_eq!(answer_to(&mut m, "MIGRATE 10.0.0.1 6379 b 0 100"), "");
    m.close_target();
    assert_eq!(answer(&mut m), READING);
    assert_eq!(taken(&sent), ["SELECT 0", "RESTORE b 0"]);
    // One that is kept and closed meanwhile is not used again.
    answer_with(&mut m, &sent, &["+OK"; 4]);
    assert_eq!(answer_to(&mut m, "MIGRATE 10.0.0.1 6379 b 0 100 COPY"), OK);
    m.close_target();
    assert_eq!(answer_to(&mut m, "MIGRATE 10.0.0.1 6379 b 0 100"), OK);
}

#[test]
fn what_is_no_reply_ends_the_connection_and_no_key_is_lost() {
    let long = "-".repeat(2000);
    for garbage in ["HTTP/1.1 400 Bad Request", ":1", "$2\r\nOK", "", "+QUEUED", "+OK\r\n+OK", &long] {
        let (mut m, _) = server(&["+OK", garbage]);
        m.run("SET k v");
        let reply = answer_to(&mut m, "MIGRATE 10.0.0.1 6379 k 0 100");
        // What comes behind the last reply changes nothing for that.
        let expected = if garbage.starts_with("+OK") { (OK, r":0\r\n") } else { (READING, r":1\r\n") };
        assert_eq!((reply.as_str(), m.run("EXISTS k").as_str()), expected, "{garbage}");
        assert_eq!(m.serve_links(), 0, "{garbage}");
    }
    // Nor may anything come over a connection that is kept.
    let (mut m, _) = server(&["+OK"; 2]);
    m.run("SET k v");
    assert_eq!(answer_to(&mut m, "MIGRATE 10.0.0.1 6379 k 0 100"), OK);
    m.receive_from_target(b"+OK\r\n");
    assert_eq!((m.serve_links(), m.server.targets.count()), (0, 0));
}

#[test]
fn it_is_ended_without_its_client_if_something_was_sent() {
    let (mut m, sent) = server(&["+OK"]);
    let (mover, other) = (m.client, m.connect());
    m.client = mover;
    m.run("SET k v");
    // Nothing was sent yet.
    m.run("MIGRATE 10.0.0.1 6379 k 0 100");
    let early = m.connect();
    m.client = early;
    m.leave(mover);
    assert_eq!((m.server.jobs.running.len(), m.server.targets.count()), (0, 0));
    assert_eq!(answer_to(&mut m, "MIGRATE 10.0.0.1 6379 k 0 100"), "");
    assert_eq!(taken(&sent), ["SELECT 0", "RESTORE k 0"]);
    m.leave(early);
    m.client = other;
    settle(&mut m);
    m.expect(&[("EXISTS k", r":1\r\n")]);
    m.server.begin_propagation();
    m.receive_from_target(b"+OK\r\n");
    settle(&mut m);
    m.expect(&[("EXISTS k", r":0\r\n")]);
    assert_eq!(m.take_propagated().len(), 1);
    assert_eq!(m.server.jobs.running.len(), 0);
}

#[test]
fn where_nobody_can_wait_it_is_refused() {
    const REFUSED: &str =
        r"-ERR MIGRATE has to wait for its target, which it cannot inside of a transaction or a script";
    let (mut m, sent) = server(&[]);
    m.expect(&[
        ("SET k v", OK),
        ("MULTI", OK),
        ("MIGRATE h 1 k 0 1", r"+QUEUED\r\n"),
        ("MIGRATE h 1 nokey 0 1", r"+QUEUED\r\n"),
        ("EXEC", &format!(r"*2\r\n{REFUSED}\r\n+NOKEY\r\n")),
    ]);
    let reply = m.run("EVAL \"return redis.call('MIGRATE', 'h', 1, 'k', 0, 1)\" 0");
    assert!(reply.starts_with(REFUSED), "{reply}");
    assert!(taken(&sent).is_empty() && m.server.targets.count() == 0);
}

#[test]
fn a_script_that_needs_a_key_has_it_given_up() {
    let (mut m, _) = server(&["+OK", "+OK"]);
    let (mover, other) = (m.client, m.connect());
    m.client = mover;
    m.run("MSET a 1 b 2");
    assert_eq!(answer_to(&mut m, r#"MIGRATE 10.0.0.1 6379 "" 0 100 KEYS a b"#), "");
    m.client = other;
    // It has not named it.
    m.expect(&[("EVAL \"return redis.call('INCR', 'b')\" 0", r":3\r\n")]);
    assert_eq!(m.take_sent(mover), GIVEN_UP);
    // The one that the target has said to have taken is gone.
    m.expect(&[("EXISTS a", r":0\r\n"), ("GET b", r"$1\r\n3\r\n")]);
    assert_eq!((m.serve_links(), m.server.targets.count()), (0, 0));
}

#[test]
fn the_end_of_the_server_has_what_was_taken_deleted() {
    let (mut m, _) = server(&["+OK", "+OK"]);
    m.run("MSET a 1 b 2");
    assert_eq!(answer_to(&mut m, r#"MIGRATE 10.0.0.1 6379 "" 0 100 KEYS a b"#), "");
    let other = m.connect();
    m.client = other;
    m.run("SHUTDOWN NOSAVE");
    assert_eq!(m.server.jobs.running.len(), 0);
    assert!(m.server.dbs[0].peek(b"a").is_none() && m.server.dbs[0].peek(b"b").is_some());
}

#[test]
fn a_server_that_becomes_a_replica_deletes_nothing() {
    let (mut m, _) = server(&["+OK", "+OK"]);
    m.run("MSET a 1 b 2");
    assert_eq!(answer_to(&mut m, r#"MIGRATE 10.0.0.1 6379 "" 0 100 KEYS a b"#), "");
    m.server.follow(ServerAddress { host: String::from("10.0.0.2"), port: 6379 });
    let reply = r"-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n";
    assert_eq!(answer(&mut m), reply);
    assert!(m.server.dbs[0].peek(b"a").is_some());
    m.expect(&[("MIGRATE 10.0.0.1 6379 a 0 100", r"-READONLY You can\'t write against a read only replica.\r\n")]);
}

#[test]
fn a_key_that_falls_due_on_the_way_is_not_sent_and_goes_by_itself() {
    let (mut m, sent) = server(&[]);
    m.run("SET a 1 PX 50");
    m.run("SET b 2");
    assert_eq!(answer_to(&mut m, r#"MIGRATE 10.0.0.1 6379 "" 0 1000 KEYS a b"#), "");
    m.clock.advance_ms(51);
    m.receive_from_target(b"+OK\r\n");
    settle(&mut m);
    assert_eq!(taken(&sent), ["SELECT 0", "RESTORE b 0"]);
    m.receive_from_target(b"+OK\r\n");
    assert_eq!(answer(&mut m), OK);
    m.advance_ms(1);
    m.expect(&[("DBSIZE", r":0\r\n")]);
}

/// What is in memory besides the data is bounded, and what rests goes on.
#[test]
fn dumping_rests_while_much_waits_to_be_sent() {
    const KEYS: usize = 40;
    const BYTES: u64 = 100_000;
    let (mut m, _) = server(&["+OK"]);
    m.run("CONFIG SET rdbcompression no");
    let keys: Vec<String> = (0..KEYS).map(|n| format!("k{n}")).collect();
    for key in &keys {
        m.raw(&[b"SET", key.as_bytes(), &vec![b'x'; BYTES as usize]]);
    }
    assert_eq!(m.run(&format!(r#"MIGRATE 10.0.0.1 6379 "" 0 100 KEYS {}"#, keys.join(" "))), "");
    m.step_jobs();
    // Makes the connection; its greeting is answered.
    m.serve_links();
    m.step_jobs();
    m.serve_links();
    let mut rests = 0;
    for _ in 0..1000 {
        for _ in 0..10 {
            m.step_jobs();
        }
        let posted = m.server.outbox.text_bytes() as u64;
        assert!(posted <= UNSENT_BYTES_MAX + BYTES + 100, "{posted}");
        if m.server.jobs.running.is_empty() {
            break;
        }
        rests += u64::from(posted >= UNSENT_BYTES_MAX);
        assert!(!m.server.may_target_go_on() || posted < UNSENT_BYTES_MAX);
        m.target = Box::new(|_| b"+OK\r\n".to_vec());
        m.serve_links();
    }
    assert!(rests >= KEYS as u64 * BYTES / (UNSENT_BYTES_MAX + BYTES), "it rested {rests} times");
    assert_eq!(m.take_sent(m.client), OK);
    m.expect(&[("DBSIZE", r":0\r\n")]);
}

#[test]
fn large_values_are_dumped_slice_by_slice() {
    let (mut m, sent) = server(&["+OK"; 10]);
    for n in 0..3000 {
        m.run(&format!("HSET hash field:{n} value:{n}"));
        m.run(&format!("RPUSH list element:{n}"));
        m.run(&format!("ZADD zset {n} member:{n}"));
    }
    m.run(&format!("SET text {}", "x".repeat(600_000)));
    m.run("DEBUG JOBS 0 1");
    m.server.jobs.limits = Limits { long: 100, slice_elements: 1, ..Limits::default() };
    let dumps: Vec<Vec<u8>> = ["hash", "list", "zset", "text"].iter().map(|key| dump(&mut m, key)).collect();
    assert_eq!(m.run(r#"MIGRATE 10.0.0.1 6379 "" 0 100 KEYS hash list zset text"#), "");
    let mut turns = 0;
    while !m.server.jobs.running.is_empty() {
        m.step_jobs();
        m.serve_links();
        turns += 1;
    }
    assert!(turns > 20, "{turns}");
    assert_eq!(m.take_sent(m.client), OK);
    let sent: Vec<Vec<u8>> =
        sent.borrow_mut().drain(..).filter(|words| words.len() == 4).map(|mut words| words.remove(3)).collect();
    assert!(sent == dumps);
}

/// What DUMP answers.
fn dump(m: &mut Memory, key: &str) -> Vec<u8> {
    m.leaves_jobs = false;
    let reply = m.raw(&[b"DUMP", key.as_bytes()]);
    m.leaves_jobs = true;
    let start = reply.windows(2).position(|two| two == b"\r\n").expect("a line") + 2;
    reply[start..reply.len() - 2].to_vec()
}

/// Many that wait for a target that is silent do not keep others from becoming jobs.
#[test]
fn so_many_wait_at_once_and_the_next_one_has_its_turn_when_one_has_ended() {
    let (mut m, _) = server(&[]);
    let mut movers = Vec::new();
    for n in 0..=JOBS_OUTSIDE_MAX {
        m.run(&format!("SET k{n} v"));
        movers.push(m.client);
        m.run(&format!("MIGRATE 10.0.0.1 6379 k{n} 0 {}", 100 + n));
        m.connect();
    }
    settle(&mut m);
    assert_eq!(m.server.jobs.running.len(), JOBS_OUTSIDE_MAX);
    assert_eq!(m.server.jobs.waiting.len(), 1);
    m.run("RPUSH l a");
    m.server.jobs.limits = Limits { long: 0, ..Limits::default() };
    m.expect(&[("LRANGE l 0 -1", "")]);
    assert_eq!(answer(&mut m), r"*1\r\n$1\r\na\r\n");
    m.clock.advance_ms(100);
    settle(&mut m);
    assert_eq!(m.take_sent(movers[0]), READING);
    let last = movers[JOBS_OUTSIDE_MAX];
    assert!(m.wake().iter().any(|(client, _)| *client == last));
    m.client = last;
    m.run(&format!("MIGRATE 10.0.0.1 6379 k{JOBS_OUTSIDE_MAX} 0 100"));
    assert_eq!(m.server.jobs.running.len(), JOBS_OUTSIDE_MAX);
}

#[test]
fn passwords_are_not_shown() {
    let (mut m, _) = server(&["+OK"; 9]);
    let monitor = m.client;
    m.run("MONITOR");
    m.connect();
    m.run("SET k v");
    m.run("CONFIG SET slowlog-log-slower-than 0");
    assert_eq!(answer_to(&mut m, "MIGRATE 10.0.0.1 6379 k 0 100 COPY REPLACE AUTH2 me secret"), OK);
    let shown = m.take_sent(monitor);
    assert!(shown.contains("MIGRATE") && shown.contains("(redacted)") && !shown.contains("secret"), "{shown}");
    let log = m.run("SLOWLOG GET");
    assert!(log.contains("MIGRATE") && !log.contains("secret"), "{log}");
}
