//! Replication as a server without replicas sees it: the replies are those of Redis 8.6.2.

use aleadb::config::Config;

use crate::memory::Memory;

#[test]
fn wait_ends_with_its_time_as_no_replica_comes() {
    let mut m = Memory::new();
    m.expect(&[
        ("WAIT 0 0", r":0\r\n"),
        ("WAIT -1 10", r":0\r\n"),
        ("WAITAOF 0 0 0", r"*2\r\n:0\r\n:0\r\n"),
        ("MULTI", r"+OK\r\n"),
        ("WAIT 1 0", r"+QUEUED\r\n"),
        ("WAITAOF 0 1 0", r"+QUEUED\r\n"),
        ("EXEC", r"*2\r\n:0\r\n*2\r\n:0\r\n:0\r\n"),
    ]);
    for (line, reply) in [("WAIT 1 10", r":0\r\n"), ("WAITAOF 0 1 10", r"*2\r\n:0\r\n:0\r\n")] {
        assert_eq!(m.run(line), "", "{line}");
        assert!(m.is_waiting(), "{line}");
        m.clock.advance_ms(9);
        assert_eq!(m.wake(), [], "{line}");
        m.clock.advance_ms(1);
        assert_eq!(m.wake(), [(m.client, reply.to_owned())], "{line}");
        assert!(!m.is_waiting(), "{line}");
    }
}

#[test]
fn wait_without_an_end_is_ended_by_unblock_and_by_going() {
    let mut m = Memory::new();
    let (first, second) = (m.client, m.connect());
    for (how, reply) in [("TIMEOUT", r":0\r\n"), ("ERROR", r"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n")] {
        m.client = first;
        assert_eq!(m.run("WAIT 1 0"), "");
        m.clock.advance_ms(1_000_000);
        m.client = second;
        m.expect(&[(&format!("CLIENT UNBLOCK {} {how}", first + 1), r":1\r\n")]);
        assert_eq!(m.wake(), [(first, reply.to_owned())]);
    }
    m.client = first;
    m.run("WAIT 1 0");
    m.leave(first);
    let third = m.connect();
    m.client = third;
    assert_eq!(m.run("BLPOP k 0"), "", "the next client in the same place waits for a key");
    m.client = second;
    m.run("RPUSH k v");
    m.advance_ms(0);
    assert_eq!(m.take_sent(third), r"*2\r\n$1\r\nk\r\n$1\r\nv\r\n");
}

#[test]
fn waits_for_replicas_are_refused_as_by_redis() {
    let (no_int, timeout) =
        (r"-ERR value is not an integer or out of range\r\n", r"-ERR timeout is not an integer or out of range\r\n");
    Memory::new().expect(&[
        ("WAIT x 0", no_int),
        ("WAIT 1 x", timeout),
        ("WAIT 0 -1", r"-ERR timeout is negative\r\n"),
        ("WAIT 1 9223372036854775807", r"-ERR timeout is out of range\r\n"),
        ("WAITAOF x 0 0", no_int),
        ("WAITAOF 2 0 10", r"-ERR value is out of range, value must between 0 and 1\r\n"),
        ("WAITAOF 0 -1 0", r"-ERR value is out of range, must be positive\r\n"),
        ("WAITAOF 0 0 x", timeout),
        ("WAITAOF 1 0 x", timeout),
        ("WAITAOF 1 0 10", r"-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n"),
    ]);
}

#[test]
fn a_replica_says_so_changes_nothing_and_becomes_a_primary_again() {
    let mut m = Memory::new();
    m.run("SET k v");
    let read_only = r"-READONLY You can\'t write against a read only replica.\r\n";
    let slave = r"*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:6379\r\n$7\r\nconnect\r\n:-1\r\n";
    m.expect(&[
        ("REPLICAOF 127.0.0.1 6379", r"+OK\r\n"),
        ("REPLICAOF 127.0.0.1 6379", r"+OK Already connected to specified master\r\n"),
        ("ROLE", slave),
        ("CONFIG GET replicaof", r"*2\r\n$9\r\nreplicaof\r\n$14\r\n127.0.0.1 6379\r\n"),
        ("GET k", r"$1\r\nv\r\n"),
        ("SET k w", read_only),
        ("FAILOVER", r"-ERR FAILOVER is not valid when server is a replica.\r\n"),
        ("MULTI", r"+OK\r\n"),
        ("SET k w", read_only),
        ("EXEC", r"-EXECABORT Transaction discarded because of previous errors.\r\n"),
        ("CONFIG SET replica-serve-stale-data no", r"+OK\r\n"),
        ("GET k", r"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to \'no\'.\r\n"),
        ("CONFIG SET replica-read-only no", r"+OK\r\n"),
        ("REPLICAOF NO ONE", r"+OK\r\n"),
        ("ROLE", r"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"),
        ("CONFIG GET replicaof", r"*2\r\n$9\r\nreplicaof\r\n$0\r\n\r\n"),
        ("SET k w", r"+OK\r\n"),
    ]);
}

#[test]
fn keys_are_hidden_on_a_replica_when_they_are_due_and_leave_when_it_takes_over() {
    let mut m = Memory::new();
    m.run("SET k v PX 10");
    m.run("SET other v");
    m.run("REPLICAOF 127.0.0.1 6379");
    m.clock.advance_ms(20);
    m.expect(&[
        ("GET k", r"$-1\r\n"),
        ("EXISTS k other", r":1\r\n"),
        ("DBSIZE", r":2\r\n"),
        ("KEYS *", r"*1\r\n$5\r\nother\r\n"),
    ]);
    m.advance_ms(10);
    m.expect(&[("DBSIZE", r":2\r\n"), ("REPLICAOF NO ONE", r"+OK\r\n")]);
    m.advance_ms(1);
    m.expect(&[("DBSIZE", r":1\r\n")]);
}

#[test]
fn who_waits_on_a_primary_is_sent_away_when_it_becomes_a_replica() {
    let mut m = Memory::new();
    let (first, second) = (m.client, m.connect());
    m.client = first;
    assert_eq!(m.run("BLPOP k 0"), "");
    m.client = second;
    m.expect(&[("REPLICAOF 127.0.0.1 6379", r"+OK\r\n")]);
    let reply = r"-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n";
    assert_eq!(m.wake(), [(first, reply.to_owned())]);
    assert!(m.session(first).closing, "its connection ends");
}

#[test]
fn a_primary_stays_one() {
    let (syntax, no_replicas) = (r"-ERR syntax error\r\n", r"-ERR FAILOVER requires connected replicas.\r\n");
    Memory::new().expect(&[
        ("ROLE", r"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"),
        ("ROLE x", r"-ERR wrong number of arguments for \'role\' command\r\n"),
        ("REPLICAOF NO ONE", r"+OK\r\n"),
        ("slaveof no one", r"+OK\r\n"),
        ("REPLICAOF 127.0.0.1 x", r"-ERR Invalid master port\r\n"),
        ("REPLICAOF 127.0.0.1 65536", r"-ERR Invalid master port\r\n"),
        ("ROLE", r"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"),
        ("FAILOVER", no_replicas),
        ("FAILOVER TO h 80 FORCE TIMEOUT 10", no_replicas),
        ("FAILOVER FORCE", no_replicas),
        ("FAILOVER ABORT", r"-ERR No failover in progress.\r\n"),
        ("FAILOVER ABORT FORCE", syntax),
        ("FAILOVER TIMEOUT 1 TIMEOUT 1", syntax),
        ("FAILOVER TO h", syntax),
        ("FAILOVER TIMEOUT 0", r"-ERR FAILOVER timeout must be greater than 0\r\n"),
        ("FAILOVER TO h x", r"-ERR value is not an integer or out of range\r\n"),
    ]);
}

#[test]
fn a_replica_is_a_good_one_for_as_long_as_the_configured_lag_and_not_a_millisecond_more() {
    let config =
        Config { min_replicas_to_write: 1, min_replicas_max_lag: 2, repl_diskless_sync_delay: 0, ..Config::default() };
    let mut m = Memory::with_config(config);
    let (writer, replica) = (m.client, m.connect());
    m.run("REPLCONF capa eof capa psync2");
    m.run("PSYNC ? -1");
    let turn = |m: &mut Memory| {
        m.turn();
        m.server.replicate(m.clock_now());
    };
    while m.session(replica).replica.as_ref().is_none_or(|replica| !replica.is_synchronised()) {
        turn(&mut m);
    }
    m.run("REPLCONF ACK 0");
    m.client = writer;
    let refused = r"-NOREPLICAS Not enough good replicas to write.\r\n";
    // The millisecond of the word does not matter, whole seconds of the clock neither.
    for (waited_ms, reply) in [(2000, r"+OK\r\n"), (1, refused)] {
        m.clock.advance_ms(waited_ms);
        turn(&mut m);
        m.expect(&[("SET k v", reply)]);
    }
    m.client = replica;
    m.run("REPLCONF ACK 0");
    m.client = writer;
    m.expect(&[("SET k v", r"+OK\r\n")]);
}
