//! Transactions: MULTI and EXEC, DISCARD, WATCH and UNWATCH. Replies as a Redis 8.2.3 gives them.

use aleadb::config::Config;
use aleadb::server::ctx::Next;

use crate::memory::Memory;

const OK: &str = r"+OK\r\n";
const QUEUED: &str = r"+QUEUED\r\n";
const NULL_ARRAY: &str = r"*-1\r\n";
const PONG: &str = r"*1\r\n+PONG\r\n";
const ABORTED: &str = r"-EXECABORT Transaction discarded because of previous errors.\r\n";
const NO_MULTI: &str = r"-ERR EXEC without MULTI\r\n";

#[test]
fn a_queue_runs_as_one() {
    let mut m = Memory::new();
    m.expect(&[
        ("MULTI", OK),
        ("SET k v", QUEUED),
        ("INCR k", QUEUED),
        ("GET k", QUEUED),
        ("SELECT 3", QUEUED),
        ("GET k", QUEUED),
        ("EXEC", r"*5\r\n+OK\r\n-ERR value is not an integer or out of range\r\n$1\r\nv\r\n+OK\r\n$-1\r\n"),
        ("GET k", r"$-1\r\n"),
        ("SELECT 0", OK),
        ("GET k", r"$1\r\nv\r\n"),
        ("MULTI", OK),
        ("EXEC", r"*0\r\n"),
    ]);
}

#[test]
fn nothing_runs_before_exec_and_nothing_after_discard() {
    let mut m = Memory::new();
    let other = m.client;
    let own = m.connect();
    m.expect_of(&[
        (own, "MULTI", OK),
        (own, "SET k v", QUEUED),
        (other, "EXISTS k", r":0\r\n"),
        (own, "DISCARD", OK),
        (own, "EXEC", NO_MULTI),
        (own, "DISCARD", r"-ERR DISCARD without MULTI\r\n"),
        (own, "EXISTS k", r":0\r\n"),
        (own, "EXEC", NO_MULTI),
    ]);
}

#[test]
fn what_is_refused_breaks_the_transaction_and_what_fails_does_not() {
    let mut m = Memory::new();
    for refused in [
        ("FOO", r"-ERR unknown command \'FOO\'\r\n"),
        ("GET", r"-ERR wrong number of arguments for \'get\' command\r\n"),
        ("CLIENT FOO", r"-ERR unknown subcommand \'FOO\'. Try CLIENT HELP.\r\n"),
        ("DISCARD x", r"-ERR wrong number of arguments for \'discard\' command\r\n"),
        ("SHUTDOWN", r"-ERR Command not allowed inside a transaction\r\n"),
    ] {
        m.expect(&[
            ("MULTI", OK),
            ("SET k 1", QUEUED),
            refused,
            ("SET k 2", QUEUED),
            ("EXEC", ABORTED),
            ("EXEC", NO_MULTI),
        ]);
    }
    m.expect(&[
        ("EXISTS k", r":0\r\n"),
        ("MULTI", OK),
        ("MULTI", r"-ERR MULTI calls can not be nested\r\n"),
        ("WATCH k", r"-ERR WATCH inside MULTI is not allowed\r\n"),
        ("PING", QUEUED),
        ("EXEC", PONG),
    ]);
}

#[test]
fn an_exec_that_is_refused_ends_the_transaction() {
    let mut m = Memory::new();
    let arity = r"-EXECABORT Transaction discarded because of: wrong number of arguments for \'exec\' command\r\n";
    m.expect(&[("MULTI", OK), ("EXEC foo", arity), ("PING", r"+PONG\r\n"), ("EXEC", NO_MULTI), ("EXEC foo", arity)]);
    let mut m = Memory::with_config(Config { requirepass: b"sekret".to_vec(), ..Config::default() });
    m.expect(&[
        ("MULTI", r"-NOAUTH Authentication required.\r\n"),
        ("EXEC", r"-EXECABORT Transaction discarded because of: NOAUTH Authentication required.\r\n"),
    ]);
}

#[test]
fn a_watched_key_that_changes_stops_the_transaction() {
    for change in [
        "SET k 1",
        "SET k v KEEPTTL",
        "APPEND k x",
        "DEL k",
        "EXPIRE k 100",
        "RENAME k j",
        "RENAME other k",
        "COPY other k REPLACE",
        "MOVE k 1",
        "FLUSHDB",
        "FLUSHALL",
        "SWAPDB 0 1",
        "GETDEL k",
    ] {
        let mut m = Memory::new();
        let other = m.client;
        let own = m.connect();
        m.expect_of(&[(other, "SET k v", OK), (other, "SET other v", OK), (own, "WATCH a k k", OK)]);
        m.client = other;
        m.run(change);
        m.expect_of(&[(own, "MULTI", OK), (own, "PING", QUEUED)]);
        assert_eq!(m.run("EXEC"), NULL_ARRAY, "{change}");
        m.expect_of(&[(own, "MULTI", OK), (own, "PING", QUEUED), (own, "EXEC", PONG)]);
    }
}

#[test]
fn what_changes_nothing_stops_nothing() {
    for harmless in [
        "GET k",
        "TOUCH k",
        "SETNX k x",
        "GETEX k",
        "PERSIST k",
        "DEL none",
        "EXPIRE none 1",
        "SET other 1",
        "SWAPDB 1 2",
        "RENAME k k",
        "COPY k other",
        "COPY other k",
        "MOVE none 1",
    ] {
        let mut m = Memory::new();
        let other = m.client;
        let own = m.connect();
        m.expect_of(&[(other, "SET k v", OK), (own, "WATCH k none", OK)]);
        m.client = other;
        m.run(harmless);
        m.expect_of(&[(own, "MULTI", OK), (own, "PING", QUEUED)]);
        assert_eq!(m.run("EXEC"), PONG, "{harmless}");
    }
}

#[test]
fn databases_that_change_as_a_whole_touch_the_keys_that_were_or_are_there() {
    let mut m = Memory::new();
    let other = m.client;
    let own = m.connect();
    let again = [(own, "MULTI", OK), (own, "PING", QUEUED)];
    m.expect_of(&[(own, "WATCH none", OK), (other, "FLUSHALL", OK), (other, "SWAPDB 0 1", OK)]);
    m.expect_of(&again);
    m.expect_of(&[(own, "EXEC", PONG)]);
    // A key that comes with the other database.
    m.expect_of(&[(other, "SET k v", OK), (own, "SELECT 1", OK), (own, "WATCH k", OK), (other, "SWAPDB 0 1", OK)]);
    m.expect_of(&again);
    m.expect_of(&[(own, "EXEC", NULL_ARRAY)]);
    // A key that goes with it, and another takes its place.
    m.expect_of(&[(other, "SET k w", OK), (own, "WATCH k", OK), (other, "SWAPDB 1 0", OK)]);
    m.expect_of(&again);
    m.expect_of(&[(own, "EXEC", NULL_ARRAY)]);
    // Watched keys belong to a database's number.
    m.expect_of(&[(own, "WATCH k", OK), (own, "SELECT 5", OK), (own, "SET k 1", OK)]);
    m.expect_of(&again);
    m.expect_of(&[(own, "EXEC", PONG)]);
}

#[test]
fn a_watched_key_that_expires_stops_the_transaction_unless_it_had_expired_before() {
    let mut m = Memory::new();
    m.expect(&[("SET k v PX 10", OK), ("WATCH k", OK)]);
    m.advance_ms(10);
    m.expect(&[("MULTI", OK), ("PING", QUEUED), ("EXEC", NULL_ARRAY)]);
    // Nothing has collected it yet, neither the timers nor a lookup.
    m.expect(&[("SET k v PX 10", OK), ("WATCH k", OK)]);
    m.clock.advance_ms(10);
    m.expect(&[("MULTI", OK), ("PING", QUEUED), ("EXEC", NULL_ARRAY)]);
    // Expired before: that it is collected changes nothing.
    for collects in ["GET k", "PING", "DEL k", "FLUSHALL", "SWAPDB 0 1"] {
        m.expect(&[("FLUSHALL", OK), ("SET k v PX 10", OK)]);
        m.clock.advance_ms(10);
        m.expect(&[("WATCH k", OK)]);
        m.run(collects);
        m.advance_ms(1);
        m.expect(&[("MULTI", OK), ("PING", QUEUED), ("EXEC", PONG)]);
    }
    // That it is made anew does.
    m.expect(&[("SET k v PX 10", OK)]);
    m.clock.advance_ms(10);
    m.expect(&[("WATCH k", OK), ("SET k v", OK), ("MULTI", OK), ("PING", QUEUED), ("EXEC", NULL_ARRAY)]);
}

#[test]
fn watches_end_with_unwatch_discard_exec_and_reset() {
    let mut m = Memory::new();
    for end in ["UNWATCH", "MULTI DISCARD", "MULTI EXEC", "RESET"] {
        for change_first in [true, false] {
            m.expect(&[("WATCH k", OK)]);
            if change_first {
                m.expect(&[("SET k 1", OK)]);
            }
            for line in end.split(' ') {
                m.run(line);
            }
            m.expect(&[("SET k 2", OK), ("MULTI", OK), ("PING", QUEUED), ("EXEC", PONG)]);
        }
    }
    // Inside the transaction it comes too late.
    m.expect(&[("WATCH k", OK), ("SET k 1", OK), ("MULTI", OK), ("UNWATCH", QUEUED), ("EXEC", NULL_ARRAY)]);
    // The transaction's own changes do not count.
    m.expect(&[("WATCH k", OK), ("MULTI", OK), ("SET k 1", QUEUED), ("EXEC", r"*1\r\n+OK\r\n")]);
    // In RESP3 the null has a type of its own.
    m.run("HELLO 3");
    m.expect(&[("WATCH k", OK), ("SET k 1", OK), ("MULTI", OK), ("EXEC", r"_\r\n")]);
}

#[test]
fn a_transaction_ends_with_its_client() {
    let mut m = Memory::new();
    let other = m.client;
    let own = m.connect();
    m.expect_of(&[(own, "WATCH k", OK), (own, "MULTI", OK), (own, "SET k 1", QUEUED)]);
    m.leave(own);
    m.expect_of(&[(other, "SET k 1", OK)]);
    assert!(m.server.watchers.watches.is_empty());
    m.expect(&[("MULTI", OK), ("SET k 2", QUEUED), ("RESET", r"+RESET\r\n"), ("EXEC", NO_MULTI)]);
    m.expect(&[("MULTI", OK), ("SET k 2", QUEUED), ("QUIT", OK)]);
    assert_eq!(m.next, Next::Close);
}

#[test]
fn commands_about_the_connection_act_within_the_queue() {
    let mut m = Memory::new();
    m.expect(&[
        ("MULTI", OK),
        ("SLEEP 10", QUEUED),
        ("SLEEP x", QUEUED),
        ("CLIENT SETNAME me", QUEUED),
        ("EXEC", r"*3\r\n+OK\r\n-ERR value is not an integer or out of range\r\n+OK\r\n"),
    ]);
    assert!(!m.is_waiting());
    // Those who are killed hear nothing after that, but the rest is done.
    m.expect(&[
        ("MULTI", OK),
        ("ECHO a", QUEUED),
        ("CLIENT KILL TYPE normal SKIPME no", QUEUED),
        ("SET after 1", QUEUED),
        ("EXEC", r"*3\r\n$1\r\na\r\n:1\r\n"),
    ]);
    assert_eq!(m.next, Next::Close);
    m.connect();
    m.expect(&[("GET after", r"$1\r\n1\r\n")]);
}

#[test]
fn client_reply_counts_for_each_command_of_the_queue() {
    let mut m = Memory::new();
    m.expect(&[
        ("CLIENT REPLY SKIP", ""),
        ("MULTI", ""),
        ("PING", QUEUED),
        ("CLIENT REPLY SKIP", QUEUED),
        ("ECHO b", QUEUED),
        ("EXEC", r"*3\r\n+PONG\r\n$1\r\nb\r\n"),
        ("ECHO skipped", ""),
        ("MULTI", OK),
        ("PING", QUEUED),
        ("CLIENT REPLY OFF", QUEUED),
        ("ECHO b", QUEUED),
        ("CLIENT REPLY ON", QUEUED),
        ("ECHO c", QUEUED),
        ("EXEC", r"*5\r\n+PONG\r\n+OK\r\n$1\r\nc\r\n"),
        ("CLIENT REPLY OFF", ""),
        ("MULTI", ""),
        ("PING", ""),
        ("CLIENT REPLY ON", ""),
        ("ECHO b", ""),
        ("EXEC", r"+OK\r\n$1\r\nb\r\n"),
        ("CLIENT REPLY OFF", ""),
        ("MULTI", ""),
        ("PING", ""),
        ("EXEC", ""),
        ("CLIENT REPLY ON", OK),
        ("CLIENT REPLY SKIP", ""),
        ("FOO", ""),
        ("MULTI", OK),
        ("PING", QUEUED),
        ("CLIENT REPLY SKIP", QUEUED),
        ("DISCARD", OK),
        ("PING", r"+PONG\r\n"),
    ]);
}

#[test]
fn subscriptions_within_a_queue_answer_in_their_place() {
    let mut m = Memory::new();
    m.expect(&[
        ("MULTI", OK),
        ("SUBSCRIBE a b", QUEUED),
        ("PING", QUEUED),
        ("PUBLISH a hi", QUEUED),
        (
            "EXEC",
            r"*3\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n",
        ),
    ]);
    assert!(m.run("GET x").starts_with("-ERR Can\\'t execute \\'get\\'"));
}

#[test]
fn a_pause_holds_back_what_writes() {
    let mut m = Memory::new();
    let other = m.client;
    let own = m.connect();
    m.expect_of(&[
        (own, "MULTI", OK),
        (own, "SET k 1", QUEUED),
        (other, "CLIENT PAUSE 100 WRITE", OK),
        (own, "EXEC", ""),
    ]);
    assert!(m.is_waiting());
    m.advance_ms(100);
    assert_eq!(m.wake(), [(own, String::new())]);
    m.expect_of(&[(own, "EXEC", r"*1\r\n+OK\r\n"), (own, "MULTI", OK), (own, "GET k", QUEUED)]);
    m.expect_of(&[(other, "CLIENT PAUSE 100 WRITE", OK), (own, "EXEC", r"*1\r\n$1\r\n1\r\n"), (own, "MULTI", OK)]);
    m.expect_of(&[(own, "SET k 2", "")]);
    assert!(m.is_waiting());
}

#[test]
fn transactions_show_in_client_list_and_info() {
    let mut m = Memory::new();
    let line = |m: &mut Memory| m.run("CLIENT INFO");
    m.expect(&[("SELECT 2", OK), ("WATCH a b b", OK)]);
    let info = line(&mut m);
    assert!(
        info.contains(" flags=N ") && info.contains(" multi=-1 watch=2 ") && info.contains(" multi-mem=0 "),
        "{info}"
    );
    let clients = m.run("INFO clients");
    assert!(clients.contains("watching_clients:1") && clients.contains("total_watched_keys:2"), "{clients}");
    m.expect(&[("SET a 1", OK)]);
    let info = line(&mut m);
    assert!(info.contains(" flags=d ") && info.contains(" multi=-1 watch=0 "), "{info}");
    m.expect(&[("UNWATCH", OK), ("MULTI", OK), ("CLIENT INFO", QUEUED), ("SET k v", QUEUED)]);
    let exec = m.run("EXEC");
    assert!(
        exec.contains(" flags=x ") && exec.contains(" multi=2 watch=0 ") && !exec.contains(" multi-mem=0 "),
        "{exec}"
    );
    let info = line(&mut m);
    assert!(info.contains(" flags=N ") && info.contains(" multi=-1 ") && info.contains(" cmd=client|info "), "{info}");
}

#[test]
fn statistics_count_what_ran() {
    let mut m = Memory::new();
    m.expect(&[("MULTI", OK), ("PING", QUEUED), ("PING a b", QUEUED), ("FOO", r"-ERR unknown command \'FOO\'\r\n")]);
    m.expect(&[("EXEC", ABORTED), ("MULTI", OK), ("PING", QUEUED), ("ECHO x", QUEUED)]);
    m.expect(&[("EXEC", r"*2\r\n+PONG\r\n$1\r\nx\r\n")]);
    let stats = m.run("INFO commandstats");
    let calls = |name: &str, calls: u32| {
        let start = format!("cmdstat_{name}:calls={calls},");
        assert!(stats.contains(&start), "{start} in {stats}");
    };
    [("ping", 1), ("echo", 1), ("multi", 2), ("exec", 2)].into_iter().for_each(|(name, count)| calls(name, count));
    assert!(m.run("INFO errorstats").contains("errorstat_EXECABORT:count=1"));
}

#[test]
fn a_database_swapped_with_itself_has_not_changed() {
    let mut m = Memory::new();
    m.expect(&[("SET k 1", OK), ("WATCH k", OK), ("SWAPDB 0 0", OK), ("MULTI", OK), ("SET z 1", QUEUED)]);
    m.expect(&[("EXEC", r"*1\r\n+OK\r\n")]);
}

/// What is left behind is cleared away over several turns, of which none comes between the commands of a pipeline.
#[test]
fn a_client_that_watches_and_resets_again_and_again_leaves_no_more_behind_than_it_had() {
    let mut m = Memory::new();
    let keys: String = (0..3000).map(|i| format!(" k{i}")).collect();
    let channels = keys.clone();
    for _ in 0..20 {
        m.run(&format!("WATCH{keys}"));
        m.run(&format!("SUBSCRIBE{channels}"));
        assert_eq!(m.run("RESET"), r"+RESET\r\n");
        let (left, members) = (m.server.watchers.watches.keys(), m.server.watchers.watches.clients());
        assert!(left <= 2 * 3000 && members <= 3, "{left} keys of {members} clients");
    }
    while m.server.go_on() {}
    assert!(m.server.watchers.watches.is_empty() && !m.server.watchers.hub.has_listeners());
}
