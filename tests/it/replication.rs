//! Replication as a server without replicas sees it: the replies are those of Redis 8.6.2.

use aleadb::config::Config;
use aleadb::server::jobs::Limits;
use aleadb::server::replication::following::LinkState;
use aleadb::server::replication::replica::Standing;
use aleadb::server::session::Blocked;
use aleadb::store::types::Stream;

use crate::loading::{disk_with_dump, settings};
use crate::memory::Memory;

/// A server that is about to follow a primary, which sends it the data that these lines make; a turn does so many elements of a long
/// command.
fn replica(lines: &[&str], slice_elements: usize) -> Memory {
    let dump = disk_with_dump(lines).contents("dump.rdb").expect("it was saved");
    let mut m = Memory::with_config(settings(false));
    m.leaves_jobs = true;
    m.server.jobs.limits = Limits { line: 8, slice_elements, ..Limits::default() };
    m.target = Box::new(move |command| match &*command[0] {
        b"PING" => b"+PONG\r\n".to_vec(),
        b"PSYNC" => [format!("+FULLRESYNC {} 100\r\n${}\r\n", "a".repeat(40), dump.len()).as_bytes(), &dump].concat(),
        b"REPLCONF" if *command[1] == *b"ACK" => Vec::new(),
        _ => b"+OK\r\n".to_vec(),
    });
    m.run("REPLICAOF 10.0.0.1 6379");
    m
}

fn state(m: &Memory) -> LinkState {
    m.server.replication.following.as_ref().expect("it follows").state
}

/// Turns until a replica takes the stream: how many of them read the data set.
fn synchronise(m: &mut Memory) -> usize {
    let mut turns = 0;
    for _ in 0..100_000 {
        match state(m) {
            LinkState::Connected => return turns,
            LinkState::Sync => {
                assert_eq!(m.run("PING"), r"+PONG\r\n");
                turns += 1;
            }
            _ => {}
        }
        m.serve_links();
    }
    panic!("it does not come to an end");
}

/// All that a primary sends may have come at once: it is read a slice in each turn, and clients are answered in between.
#[test]
fn a_large_value_of_a_full_synchronisation_is_read_a_slice_in_each_turn() {
    let fields = (0..600).fold("HSET k".to_owned(), |line, n| format!("{line} f{n} {n}"));
    let members = (0..600).fold("ZADD z".to_owned(), |line, n| format!("{line} {n} m{n}"));
    let lines = [fields.as_str(), members.as_str()];
    let mut m = replica(&lines, 1);
    let turns = synchronise(&mut m);
    assert!(turns > 2 * 600, "{turns} turns");
    m.expect(&[("HLEN k", r":600\r\n"), ("ZCARD z", r":600\r\n"), ("HGET k f599", r"$3\r\n599\r\n")]);
    assert!(synchronise(&mut replica(&lines, 1 << 20)) < 5);
}

/// A replica is not told what is forgotten of a stream's producers: it forgets by the ids of the entries that it is told of.
#[test]
fn a_replica_forgets_the_producers_of_a_stream_that_are_heard_of_no_more() {
    let mut m = replica(&["SET a 1"], 1 << 20);
    let reader = m.client;
    synchronise(&mut m);
    m.become_primary();
    for n in 1..1000 {
        m.run(&format!("XADD s IDMP p{n} i {n}000-0 a 1"));
    }
    m.client = reader;
    m.expect(&[("XLEN s", r":999\r\n")]);
    let entry = m.server.dbs[0].peek(b"s").expect("it is there");
    let stream = entry.into_collection::<Stream>().expect("a stream");
    let known = stream.producers().expect("it has some").iter().len();
    // What has come within the time that ids are remembered for, and a few of those before.
    assert!((100..200).contains(&known), "{known}");
}

/// A primary's transaction of very many words is run some commands at a time. Nobody sees the half of it, and it counts when it is
/// whole.
#[test]
fn a_long_transaction_of_a_primary_is_run_a_slice_in_each_turn() {
    let mut m = replica(&["SET a 1", "RPUSH list x"], 3);
    let reader = m.client;
    synchronise(&mut m);
    let primary = m.become_primary();
    let offset = |m: &Memory| m.server.replication.history.offset;
    let before = offset(&m);
    for line in ["MULTI", "SELECT 0", "INCR a"] {
        m.run(line);
    }
    for n in 0..20 {
        m.run(&format!("RPUSH list {n} y"));
        m.run(&format!("MSET key:{n} {n} a {n}"));
    }
    m.run("EXEC");
    assert_eq!(m.session(primary).blocked, Some(Blocked::Job));
    let (mut turns, mut seen) = (0, Vec::new());
    while m.session(primary).blocked.is_some() {
        assert_eq!(offset(&m), before, "it counts when it is whole");
        // Who reads what it writes is held back, or sees what was there before its instant.
        m.client = reader;
        assert_eq!(m.run("PING"), r"+PONG\r\n");
        match m.session(reader).blocked {
            Some(Blocked::Hold) => {}
            _ => seen.extend(
                ["GET a", "LLEN list", "EXISTS key:1 key:2"]
                    .map(|line| m.run(line))
                    .into_iter()
                    .filter(|r| !r.is_empty()),
            ),
        }
        m.session(reader).blocked = None;
        m.step_jobs();
        turns += 1;
        assert!(turns < 10_000, "it does not end");
    }
    assert!(turns > 40, "{turns} turns");
    assert!(seen.iter().all(|reply| [r"$1\r\n1\r\n", r":1\r\n", r":0\r\n"].contains(&reply.as_str())), "{seen:?}");
    assert!(!seen.is_empty() && offset(&m) > before);
    m.expect(&[("GET a", r"$2\r\n19\r\n"), ("LLEN list", r":41\r\n"), ("EXISTS key:1 key:2 key:19", r":3\r\n")]);
    // What cannot be divided, and what is short, runs at once.
    m.client = primary;
    for line in
        ["MULTI", "SELECT 0", "COPY list other", "RPUSH list 1 2 3 4 5 6 7 8 9", "EXEC", "MULTI", "SET b 1", "EXEC"]
    {
        m.run(line);
        assert_eq!(m.session(primary).blocked, None, "{line}");
    }
    m.client = reader;
    m.expect(&[("LLEN other", r":41\r\n"), ("GET b", r"$1\r\n1\r\n")]);
}

/// A link that breaks in the midst of such a transaction: what has begun to write is finished, and counts once; what has not comes
/// again. It counts as the primary's, or, once the replica has taken over, as its own, which its replicas are still to get.
#[test]
fn a_long_transaction_whose_link_breaks_is_whole_and_counts_once_or_is_not_there() {
    let ways = [(true, None), (true, Some("NO ONE")), (true, Some("10.0.0.2 6379")), (false, Some("10.0.0.2 6379"))];
    for (steps, (breaks, after)) in (0..30).flat_map(|steps| ways.map(|way| (steps, way))) {
        let mut m = replica(&["SET a 0"], 2);
        let reader = m.client;
        synchronise(&mut m);
        m.become_primary();
        let offset = |m: &Memory| m.server.replication.history.offset;
        let before = offset(&m);
        let mut sent = 0;
        let mut send = |m: &mut Memory, line: &str| {
            m.run(line);
            let words = line.split(' ').map(|word| format!("${}\r\n{word}\r\n", word.len()).len());
            sent += words.sum::<usize>() + format!("*{}\r\n", line.split(' ').count()).len();
        };
        send(&mut m, "MULTI");
        send(&mut m, "SELECT 0");
        (0..10).for_each(|n| send(&mut m, &format!("MSET a {n} key:{n} x")));
        send(&mut m, "EXEC");
        (0..steps).for_each(|_| _ = m.step_jobs());
        let is_over = offset(&m) > before;
        if breaks {
            m.close_target();
        }
        m.client = reader;
        if let Some(whom) = after {
            assert_eq!(m.run(&format!("REPLICAOF {whom}")), r"+OK\r\n");
        }
        assert_eq!(offset(&m) > before, is_over, "it counts when it is over");
        if !breaks {
            // What the link ran may go on before its connection is gone.
            m.step_jobs();
            m.close_target();
        }
        for _ in 0..100 {
            m.step_jobs();
            m.server.replicate(m.clock_now());
        }
        let counted = (offset(&m) - before) as usize;
        let is_whole = counted > 0;
        assert!(is_whole == (steps > 12) || (8..=14).contains(&steps), "{steps}");
        let expected = if is_whole { [r"$1\r\n9\r\n", r":11\r\n"] } else { [r"$1\r\n0\r\n", r":1\r\n"] };
        m.expect(&[("GET a", expected[0]), ("DBSIZE", expected[1])]);
        // As its own it comes without what it began with, or with: but once.
        let is_once = if after == Some("NO ONE") { counted.abs_diff(sent) < 60 } else { counted == sent };
        assert!(!is_whole || is_once, "{steps} {after:?}: {counted} of {sent}");
    }
}

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

/// `redis-cli --replica` asks with SYNC, finds the mark only at the end of what it reads at once, and says then that it has.
#[test]
fn the_stream_follows_a_mark_only_once_the_replica_has_found_it() {
    for (has_eof, is_online_at_once) in [(true, false), (false, true)] {
        let config = Config { repl_diskless_sync_delay: 0, ..Config::default() };
        let mut m = Memory::with_config(config);
        let (writer, replica) = (m.client, m.connect());
        if has_eof {
            m.run("REPLCONF capa eof");
        }
        m.run("SYNC");
        let standing = |m: &mut Memory| m.session(replica).replica.as_ref().map(|replica| replica.standing);
        let is_through = |m: &mut Memory| matches!(standing(m), Some(Standing::Loading | Standing::Online));
        while !is_through(&mut m) {
            m.turn();
            m.server.replicate(m.clock_now());
        }
        m.client = writer;
        m.run("SET k v");
        m.server.replicate(m.clock_now());
        assert_eq!(standing(&mut m) == Some(Standing::Online), is_online_at_once);
        m.client = replica;
        m.run("REPLCONF ACK 0");
        assert_eq!(standing(&mut m), Some(Standing::Online));
    }
}

/// As Valkey 9.1 answers. What is queued is refused when it is queued; commands that neither read nor write are the replica's own.
#[test]
fn a_client_that_says_so_is_redirected_to_the_primary() {
    let mut m = Memory::new();
    let elsewhere = r"-REDIRECT 10.0.0.2:6379\r\n";
    m.expect(&[
        ("SET a v", r"+OK\r\n"),
        ("CLIENT CAPA", r"-ERR wrong number of arguments for \'client|capa\' command\r\n"),
        ("READONLY", r"-ERR This instance has cluster support disabled\r\n"),
        ("REPLICAOF 10.0.0.2 6379", r"+OK\r\n"),
        ("CLIENT CAPA other", r"+OK\r\n"),
        ("GET a", r"$1\r\nv\r\n"),
        ("CLIENT LIST CAPA r", r"$0\r\n\r\n"),
        ("CLIENT CAPA other REDIRECT", r"+OK\r\n"),
        ("GET a", elsewhere),
        ("SET a w", elsewhere),
        ("SET a w x y z", elsewhere),
        ("GET", r"-ERR wrong number of arguments for \'get\' command\r\n"),
        ("KEYS *", elsewhere),
        ("EVAL_RO return 0", elsewhere),
        ("BLPOP l 0", elsewhere),
        ("GET.WATCH a", elsewhere),
        ("PING", r"+PONG\r\n"),
        ("WATCH a", r"+OK\r\n"),
        ("READONLY", r"+OK\r\n"),
        ("GET a", r"$1\r\nv\r\n"),
        ("DEL a", elsewhere),
        ("READWRITE", r"+OK\r\n"),
        ("MULTI", r"+OK\r\n"),
        ("GET a", elsewhere),
        ("EXEC", r"-EXECABORT Transaction discarded because of previous errors.\r\n"),
        ("READONLY", r"+OK\r\n"),
        ("RESET", r"+RESET\r\n"),
        ("GET a", elsewhere),
    ]);
    let listed = m.run("CLIENT LIST CAPA r");
    assert!(listed.contains(" cmd=client|list "), "{listed}");
    m.expect(&[("REPLICAOF NO ONE", r"+OK\r\n"), ("GET a", r"$1\r\nv\r\n")]);
}
