//! Client-side caching. Replies and messages as a Redis 8.2.3 gives them, but where a test says otherwise.

use aleadb::config::Config;

use crate::memory::Memory;

const OK: &str = r"+OK\r\n";
const ALL: &str = r">2\r\n$10\r\ninvalidate\r\n_\r\n";

/// The message about some keys.
fn changed(keys: &[&str]) -> String {
    let keys: String = keys.iter().map(|key| format!(r"${}\r\n{key}\r\n", key.len())).collect();
    let count = keys.matches(r"\r\n").count() / 2;
    format!(r">2\r\n$10\r\ninvalidate\r\n*{count}\r\n{keys}")
}

/// A client that caches (index 0) in RESP3 with these options, and another that writes.
fn two(options: &str) -> Memory {
    let mut m = Memory::new();
    m.run("HELLO 3");
    assert_eq!(m.run(format!("CLIENT TRACKING ON {options}").trim_end()), OK, "{options}");
    m.connect();
    m
}

fn run_as(m: &mut Memory, client: usize, line: &str) -> String {
    m.client = client;
    m.run(line)
}

/// What the first client is told when the second sends a line.
fn told(m: &mut Memory, line: &str) -> String {
    let reply = run_as(m, 1, line);
    assert!(!reply.starts_with('-'), "{line}: {reply}");
    m.server.tell_changes();
    m.take_sent(0)
}

#[test]
fn who_has_read_a_key_is_told_of_its_next_change_once() {
    let mut m = two("");
    for read in ["GET k", "EXISTS k", "TYPE k", "TTL k", "OBJECT ENCODING k", "STRLEN k", "MGET x k", "SUBSTR k 0 1"] {
        run_as(&mut m, 0, read);
        assert_eq!(told(&mut m, "SET k 1"), changed(&["k"]), "{read}");
        assert_eq!(told(&mut m, "SET k 2"), "", "{read}");
        told(&mut m, "DEL k");
    }
    assert_eq!(told(&mut m, "SET unread 1"), "");
}

#[test]
fn a_key_that_was_not_there_is_told_of_too_and_so_is_one_of_another_type() {
    let mut m = two("");
    run_as(&mut m, 0, "LPUSH l 1");
    assert!(run_as(&mut m, 0, "GET l").starts_with("-WRONGTYPE"));
    assert_eq!(told(&mut m, "LPUSH l 2"), changed(&["l"]));
    run_as(&mut m, 0, "GET none");
    assert_eq!(told(&mut m, "DEL none"), "", "nothing has changed");
    assert_eq!(told(&mut m, "SETNX none 1"), changed(&["none"]));
}

#[test]
fn every_way_in_which_a_key_changes_is_told() {
    for (before, read, change) in [
        ("SET k 1", "GET k", "DEL k"),
        ("SET k 1", "GET k", "UNLINK k"),
        ("SET k 1", "TTL k", "EXPIRE k 100"),
        ("SET k 1 EX 100", "TTL k", "PERSIST k"),
        ("SET k 1 EX 100", "TTL k", "GETEX k PERSIST"),
        ("SET k 1", "GET k", "RENAME k other"),
        ("SET k 1", "EXISTS other k", "RENAME k other2"),
        ("SET other 1", "GET k", "RENAME other k"),
        ("SET other 1", "GET k", "COPY other k"),
        ("SET k 1", "GET k", "MOVE k 5"),
        ("RPUSH k 1", "LLEN k", "LMOVE k other LEFT LEFT"),
        ("RPUSH other 3 1 2", "LLEN k", "SORT other STORE k"),
        ("HSET k f 1", "HGET k f", "HSET k g 1"),
        ("HSET k f 1", "HTTL k FIELDS 1 f", "HEXPIRE k 100 FIELDS 1 f"),
        ("SADD k a b", "SCARD k", "SPOP k"),
        ("ZADD k 1 a", "ZSCORE k a", "ZINCRBY k 1 a"),
        ("XADD k 1-1 f v", "XLEN k", "XADD k 2-1 f v"),
        ("SET k 1", "GET k", "APPEND k x"),
        ("SET k 1", "GETBIT k 0", "SETBIT k 6 1"),
        ("PFADD k a", "PFCOUNT k", "PFADD k b c d"),
        ("GEOADD k 1 1 a", "GEOPOS k a", "ZREM k a"),
    ] {
        let mut m = two("");
        run_as(&mut m, 1, before);
        run_as(&mut m, 0, read);
        assert_eq!(told(&mut m, change), changed(&["k"]), "{change}");
    }
}

#[test]
fn a_restored_key_has_changed() {
    let mut m = two("");
    m.run("SET k 1");
    let dump = m.raw(&[b"DUMP", b"k"]);
    let payload = &dump[dump.iter().position(|byte| *byte == b'\n').expect("a length") + 1..dump.len() - 2];
    run_as(&mut m, 0, "GET k");
    m.client = 1;
    assert_eq!(m.raw(&[b"RESTORE", b"k", b"0", payload, b"REPLACE"]), b"+OK\r\n");
    assert_eq!(m.take_sent(0), changed(&["k"]));
}

#[test]
fn what_time_takes_is_told() {
    let mut m = two("");
    m.run("SET k 1 PX 50");
    m.run("HSET h f 1 g 2");
    m.run("HPEXPIRE h 50 FIELDS 1 f");
    m.run("HSET gone f 1");
    m.run("HPEXPIRE gone 50 FIELDS 1 f");
    for read in ["GET k", "HGETALL h", "HLEN gone"] {
        run_as(&mut m, 0, read);
    }
    m.advance_ms(60);
    let sent = m.take_sent(0);
    for key in ["k", "h", "gone"] {
        assert!(sent.contains(&changed(&[key])), "{key}: {sent}");
    }
    // Found by a command rather than by the clock.
    m.run("DEBUG SET-ACTIVE-EXPIRE 0");
    m.run("SET k 1 PX 50");
    run_as(&mut m, 0, "GET k");
    m.clock.advance_ms(60);
    assert_eq!(told(&mut m, "GET k"), changed(&["k"]));
}

#[test]
fn databases_that_change_as_a_whole_are_told_of_without_names() {
    for change in ["FLUSHALL", "FLUSHDB", "FLUSHALL ASYNC"] {
        let mut m = two("");
        m.run("SET k 1");
        run_as(&mut m, 0, "GET k");
        assert_eq!(told(&mut m, change), ALL, "{change}");
        assert_eq!(m.server.watchers.caches.keys.keys(), 0, "{change}");
        assert_eq!(told(&mut m, "SET k 2"), "", "{change}");
    }
    // Redis does not tell of this, and whoever has read a key of either database holds what it is not.
    let mut m = two("");
    m.run("SET k 1");
    run_as(&mut m, 0, "GET k");
    assert_eq!(told(&mut m, "SWAPDB 0 1"), ALL);
}

#[test]
fn keys_are_told_apart_by_name_alone() {
    let mut m = two("");
    run_as(&mut m, 0, "GET k");
    run_as(&mut m, 1, "SELECT 3");
    assert_eq!(told(&mut m, "SET k 1"), changed(&["k"]));
}

#[test]
fn ones_own_change_is_told_behind_its_reply() {
    let mut m = two("");
    m.expect_of(&[
        (0, "GET k", r"_\r\n"),
        (0, "SET k 1", &format!("{OK}{}", changed(&["k"]))),
        (0, "GET k", r"$1\r\n1\r\n"),
        (0, "MULTI", OK),
        (0, "SET k 2", r"+QUEUED\r\n"),
        (0, "GET k", r"+QUEUED\r\n"),
        (0, "SET k 3", r"+QUEUED\r\n"),
        (0, "EXEC", &format!(r"*3\r\n+OK\r\n$1\r\n2\r\n+OK\r\n{0}{0}", changed(&["k"]))),
        (0, "FLUSHALL", &format!("{OK}{ALL}")),
    ]);
}

/// Redis forgets that the author of a change has read the key, and never tells it of anybody's next change.
#[test]
fn noloop_spares_the_author_of_a_change_that_change_alone() {
    let mut m = two("NOLOOP");
    m.expect_of(&[(0, "GET k", r"_\r\n"), (0, "SET k 1", OK), (0, "INCR k", r":2\r\n")]);
    assert_eq!(told(&mut m, "SET k 2"), changed(&["k"]));
    assert_eq!(told(&mut m, "SET k 3"), "");
    m.expect_of(&[(0, "FLUSHALL", &format!("{OK}{ALL}"))]);
    // A script's changes are its caller's.
    m.expect_of(&[
        (0, "GET k", r"_\r\n"),
        (0, r#"EVAL "redis.call('SET', KEYS[1], 1) return 7" 1 k"#, r":7\r\n"),
        (0, r#"EVAL "return redis.call('SCAN', 0)[1]" 0"#, r"$1\r\n0\r\n"),
    ]);
    assert_eq!(told(&mut m, "SET k 2"), changed(&["k"]));
}

#[test]
fn what_scripts_read_and_change_is_their_callers() {
    let mut m = two("");
    m.expect_of(&[(0, r#"EVAL "return redis.call('GET', KEYS[1])" 1 k"#, r"_\r\n")]);
    assert_eq!(told(&mut m, "SET k 1"), changed(&["k"]));
    // The keys that are named count for nothing.
    m.expect_of(&[(0, r#"EVAL_RO "return 1" 1 k"#, r":1\r\n")]);
    assert_eq!(told(&mut m, "SET k 2"), "");
    let script = r#"EVAL "redis.call('GET', KEYS[1]) redis.call('SET', KEYS[1], 1) return 7" 1 k"#;
    m.expect_of(&[(0, script, &format!(r":7\r\n{}", changed(&["k"])))]);
}

#[test]
fn optin_remembers_what_the_next_command_reads_or_the_next_transaction() {
    let mut m = two("OPTIN");
    m.expect_of(&[(0, "GET k", r"_\r\n")]);
    assert_eq!(told(&mut m, "SET k 1"), "");
    m.expect_of(&[(0, "CLIENT CACHING YES", OK), (0, "GET k", r"$1\r\n1\r\n"), (0, "GET k2", r"_\r\n")]);
    assert_eq!(told(&mut m, "MSET k 1 k2 1"), changed(&["k"]));
    // Commands about clients do not count; others do, whether they read or not, and those that are refused.
    for (between, counts) in [("CLIENT ID", false), ("PING", true), ("NOSUCH", true), ("GET", true)] {
        run_as(&mut m, 0, "CLIENT CACHING YES");
        run_as(&mut m, 0, between);
        run_as(&mut m, 0, "GET k");
        assert_eq!(told(&mut m, "SET k 1"), if counts { String::new() } else { changed(&["k"]) }, "{between}");
    }
    for lines in [
        ["CLIENT CACHING YES", "MULTI", "GET k", "GET k2", "EXEC"],
        ["MULTI", "CLIENT CACHING YES", "GET k", "GET k2", "EXEC"],
    ] {
        lines.iter().for_each(|line| drop(run_as(&mut m, 0, line)));
        assert_eq!(told(&mut m, "MSET k 1 k2 1"), changed(&["k"]) + &changed(&["k2"]), "{lines:?}");
        run_as(&mut m, 0, "GET k");
        assert_eq!(told(&mut m, "SET k 1"), "", "{lines:?}");
    }
}

#[test]
fn optout_remembers_all_but_what_the_next_command_reads() {
    let mut m = two("OPTOUT");
    m.expect_of(&[(0, "CLIENT CACHING NO", OK), (0, "GET k", r"_\r\n")]);
    assert_eq!(told(&mut m, "SET k 1"), "");
    m.expect_of(&[(0, "GET k", r"$1\r\n1\r\n")]);
    assert_eq!(told(&mut m, "SET k 1"), changed(&["k"]));
}

#[test]
fn prefixes_are_told_of_once_a_turn_in_their_order() {
    let mut m = two("BCAST PREFIX x PREFIX y");
    assert_eq!(told(&mut m, "MSET x1 1 y1 1 x0 1 z 1"), changed(&["x0", "x1"]) + &changed(&["y1"]));
    assert_eq!(told(&mut m, "DEL nosuch x"), "");
    run_as(&mut m, 1, "SET x1 1");
    run_as(&mut m, 1, "DEL x1");
    assert_eq!(told(&mut m, "SET x2 1"), changed(&["x1", "x2"]));
    assert_eq!(told(&mut m, "FLUSHALL"), ALL);
    run_as(&mut m, 0, "SET x5 1");
    m.server.tell_changes();
    assert_eq!(m.take_sent(0), changed(&["x5"]));
    run_as(&mut m, 0, "CLIENT TRACKING OFF");
    assert_eq!(told(&mut m, "SET x1 1"), "");
}

#[test]
fn very_many_changed_keys_are_told_of_before_the_turn_is_over() {
    let mut m = two("BCAST");
    let key = "k".repeat(300 << 10);
    for number in 0..4 {
        run_as(&mut m, 1, &format!("SET {number}{key} 1"));
    }
    assert!(m.take_sent(0).len() > 1 << 20);
}

#[test]
fn noloop_with_prefixes_spares_the_author_unless_another_has_changed_the_key_too() {
    let mut m = two("BCAST NOLOOP");
    run_as(&mut m, 0, "SET k 1");
    run_as(&mut m, 0, "SET both 1");
    assert_eq!(told(&mut m, "MSET both 2 other 1"), changed(&["both", "other"]));
    // Redis knows the first author alone.
    run_as(&mut m, 1, "SET both 1");
    run_as(&mut m, 0, "SET both 2");
    m.server.tell_changes();
    assert_eq!(m.take_sent(0), changed(&["both"]));
}

/// As Redis does since 8.10.
#[test]
fn prefixes_tell_of_no_key_that_the_user_may_not_read() {
    let mut m = two("BCAST");
    m.run("ACL SETUSER u on nopass +@all %R~r* %W~w* ~b*");
    m.expect_of(&[(0, "AUTH u x", OK)]);
    assert_eq!(told(&mut m, "MSET r1 1 w1 1 b1 1 x 1"), changed(&["b1", "r1"]));
    assert_eq!(told(&mut m, "SET w1 1"), "");
}

#[test]
fn messages_go_to_whom_they_are_redirected() {
    let mut m = Memory::new();
    let receiver = m.connect();
    m.connect();
    let writer = m.connect();
    let id = m.server.clients[m.id(receiver)].id;
    m.expect_of(&[
        (2, "HELLO 3 SETNAME c", &run_hello(&mut Memory::new())),
        (2, &format!("CLIENT TRACKING ON REDIRECT {id}"), OK),
        (2, "CLIENT GETREDIR", &format!(r":{id}\r\n")),
        (2, "GET k", r"_\r\n"),
        (writer, "SET k 1", OK),
    ]);
    assert_eq!((m.take_sent(receiver), m.take_sent(2)), (String::new(), String::new()), "it has not subscribed");
    m.client = receiver;
    m.run("SUBSCRIBE __redis__:invalidate");
    m.expect_of(&[(2, "GET k", r"$1\r\n1\r\n"), (writer, "SET k 1", OK)]);
    let channel = r"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n";
    assert_eq!(m.take_sent(receiver), format!(r"{channel}*1\r\n$1\r\nk\r\n"));
    // Redis answers in the protocol of the client that redirects.
    m.expect_of(&[(writer, "FLUSHALL", OK)]);
    assert_eq!((m.take_sent(receiver), m.take_sent(2)), (format!(r"{channel}$-1\r\n"), String::new()));
    // It goes, which is told with the next message there would be.
    m.leave(receiver);
    m.expect_of(&[(2, "GET k", r"_\r\n"), (writer, "SET k 1", OK)]);
    assert_eq!(m.take_sent(2), format!(r">2\r\n$21\r\ntracking-redir-broken\r\n:{id}\r\n"));
    let info = run_as(&mut m, 2, "CLIENT TRACKINGINFO");
    assert!(info.contains(r"~2\r\n$2\r\non\r\n$15\r\nbroken_redirect\r\n"), "{info}");
    let list = run_as(&mut m, writer, "CLIENT LIST");
    assert!(list.contains("flags=tR") && list.contains(&format!("redir={id} ")), "{list}");
}

fn run_hello(m: &mut Memory) -> String {
    // The same but for the number of the connection.
    m.connect();
    m.connect();
    m.run("HELLO 3 SETNAME c")
}

#[test]
fn a_client_of_resp2_is_sent_nothing_that_it_could_not_read() {
    let mut m = Memory::new();
    m.run("CLIENT TRACKING ON");
    m.run("GET k");
    m.connect();
    assert_eq!(told(&mut m, "SET k 1"), "");
    run_as(&mut m, 0, "SUBSCRIBE __redis__:invalidate");
    assert_eq!(told(&mut m, "SET k 1"), "");
}

#[test]
fn what_does_not_go_together_is_refused() {
    let switch = |what: &str| {
        format!(
            r"-ERR You can\'t switch {what} before disabling tracking for this client, and then re-enabling it with a different mode.\r\n"
        )
    };
    let overlap = |one: &str, other: &str| {
        format!(r"-ERR Prefix \'{one}\' overlaps with {other}. Prefixes for a single client must not overlap.\r\n")
    };
    let mut m = Memory::new();
    m.expect(&[
        ("CLIENT TRACKING maybe", r"-ERR syntax error\r\n"),
        ("CLIENT TRACKING OFF foo", r"-ERR syntax error\r\n"),
        ("CLIENT TRACKING ON PREFIX", r"-ERR syntax error\r\n"),
        ("CLIENT TRACKING OFF REDIRECT 99", r"-ERR The client ID you want redirect to does not exist\r\n"),
        ("CLIENT TRACKING ON REDIRECT x", r"-ERR value is not an integer or out of range\r\n"),
        ("CLIENT TRACKING ON REDIRECT 0", r"-ERR The client ID you want redirect to does not exist\r\n"),
        ("CLIENT TRACKING ON REDIRECT 1 REDIRECT 1", r"-ERR A client can only redirect to a single other client\r\n"),
        ("CLIENT TRACKING ON PREFIX q", r"-ERR PREFIX option requires BCAST mode to be enabled\r\n"),
        ("CLIENT TRACKING ON BCAST OPTIN", r"-ERR OPTIN and OPTOUT are not compatible with BCAST\r\n"),
        ("CLIENT TRACKING ON OPTIN OPTOUT", r"-ERR You can\'t specify both OPTIN mode and OPTOUT mode\r\n"),
        (
            "CLIENT CACHING YES",
            r"-ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled\r\n",
        ),
        ("CLIENT TRACKING ON OPTIN", OK),
        ("CLIENT TRACKING ON BCAST", &switch("BCAST mode on/off")),
        ("CLIENT TRACKING ON OPTOUT", &switch("OPTIN/OPTOUT mode")),
        ("CLIENT CACHING maybe", r"-ERR syntax error\r\n"),
        ("CLIENT CACHING NO", r"-ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.\r\n"),
        ("CLIENT TRACKING ON", OK),
        ("CLIENT TRACKING OFF", OK),
        ("CLIENT TRACKING ON BCAST PREFIX a PREFIX ab", &overlap("a", r"another provided prefix \'ab\'")),
        ("CLIENT TRACKING ON BCAST PREFIX a PREFIX a", &overlap("a", r"another provided prefix \'a\'")),
        ("CLIENT TRACKING ON BCAST PREFIX x", OK),
        ("CLIENT TRACKING ON BCAST PREFIX xx", &overlap("xx", r"an existing prefix \'x\'")),
        ("CLIENT TRACKING ON BCAST PREFIX y", OK),
        (
            "CLIENT TRACKINGINFO",
            r"*6\r\n$5\r\nflags\r\n*2\r\n$2\r\non\r\n$5\r\nbcast\r\n$8\r\nredirect\r\n:0\r\n$8\r\nprefixes\r\n*2\r\n$1\r\nx\r\n$1\r\ny\r\n",
        ),
        ("CLIENT TRACKING OFF", OK),
        ("CLIENT TRACKINGINFO", r"*6\r\n$5\r\nflags\r\n*1\r\n$3\r\noff\r\n$8\r\nredirect\r\n:-1\r\n$8\r\nprefixes\r\n*0\r\n"),
        ("CLIENT GETREDIR", r":-1\r\n"),
    ]);
}

#[test]
fn a_client_has_so_many_prefixes_and_no_more() {
    let mut m = Memory::new();
    let prefixes =
        |range: std::ops::Range<usize>| range.map(|number| format!(" PREFIX {number:05}")).collect::<String>();
    let too_many = r"-ERR Too many prefixes: a client can have 1024 at most\r\n";
    m.expect(&[
        (&format!("CLIENT TRACKING ON BCAST{}", prefixes(0..1_025)), too_many),
        (&format!("CLIENT TRACKING ON BCAST{}", prefixes(0..1_000)), OK),
        (&format!("CLIENT TRACKING ON BCAST{}", prefixes(1_000..1_025)), too_many),
        (&format!("CLIENT TRACKING ON BCAST{}", prefixes(1_000..1_024)), OK),
    ]);
    assert_eq!(m.server.watchers.caches.prefixes.len(), 1_024);
}

#[test]
fn keys_beyond_the_limit_are_told_of_as_if_they_had_changed() {
    let mut m = two("");
    m.run("CONFIG SET tracking-table-max-keys 2");
    let told_of = changed(&["a"]) + &changed(&["b"]);
    m.expect_of(&[(0, "MGET a b c d", &format!(r"*4\r\n_\r\n_\r\n_\r\n_\r\n{told_of}"))]);
    assert_eq!(told(&mut m, "MSET a 1 b 1 c 1 d 1"), changed(&["c"]) + &changed(&["d"]));
}

#[test]
fn a_limit_that_is_set_lower_takes_several_turns() {
    let mut m = two("");
    for number in 0..5_000 {
        run_as(&mut m, 0, &format!("GET key:{number}"));
    }
    m.run("CONFIG SET tracking-table-max-keys 10");
    run_as(&mut m, 0, "GET key:0");
    let left = m.server.watchers.caches.keys.keys();
    assert!(left > 4_900, "{left}");
    let turns = std::iter::repeat_with(|| m.go_on()).take_while(|more| *more).count();
    assert!((2..10).contains(&turns), "{turns}");
    assert_eq!(m.server.watchers.caches.keys.keys(), 10);
    // Two came with the reply to the GET.
    assert_eq!(m.take_sent(0).matches("invalidate").count(), 4_988);
}

#[test]
fn who_goes_leaves_nothing_behind() {
    let mut m = two("");
    for number in 0..5_000 {
        run_as(&mut m, 0, &format!("GET key:{number}"));
    }
    let other = m.connect();
    m.run("HELLO 3");
    m.run("CLIENT TRACKING ON BCAST PREFIX a PREFIX b");
    let figures = |m: &mut Memory| {
        let info = run_as(m, 1, "INFO everything");
        ["tracking_clients", "tracking_total_keys", "tracking_total_items", "tracking_total_prefixes"]
            .map(|name| info.split(&format!("{name}:")).nth(1).and_then(|rest| rest.split('\\').next()?.parse().ok()))
            .map(|number: Option<u64>| number.expect("a number"))
    };
    assert_eq!(figures(&mut m), [2, 5_000, 5_000, 2]);
    m.leave(0);
    while m.go_on() {}
    assert_eq!(figures(&mut m), [1, 0, 0, 2]);
    m.leave(other);
    while m.go_on() {}
    assert_eq!(figures(&mut m), [0, 0, 0, 0]);
    assert_eq!(m.server.clients.members.len(), 0);
}

#[test]
fn reset_ends_it() {
    let mut m = two("");
    run_as(&mut m, 0, "GET k");
    run_as(&mut m, 0, "RESET");
    assert_eq!(told(&mut m, "SET k 1"), "");
    let info = run_as(&mut m, 0, "CLIENT TRACKINGINFO");
    assert!(info.contains(r"$3\r\noff\r\n"), "{info}");
}

#[test]
fn a_client_that_reads_nothing_is_sent_no_more_than_its_limit() {
    let mut m = Memory::with_config(Config::default());
    m.run("CONFIG SET client-output-buffer-limit 'normal 1000 0 0'");
    m.run("HELLO 3");
    m.run("CLIENT TRACKING ON BCAST");
    m.connect();
    for number in 0..200 {
        m.run(&format!("SET key:{number} 1"));
        m.server.tell_changes();
    }
    assert_eq!(m.server.outbox.take_over_limit().len(), 1);
    assert!(m.server.outbox.text_bytes() < 200 * 40);
    assert!(m.take_sent(0).len() < 3_000);
}

#[test]
fn a_read_that_waits_is_remembered_with_what_ended_it() {
    let mut m = two("OPTIN");
    m.expect_of(&[(0, "CLIENT CACHING YES", OK), (0, "XREAD BLOCK 0 STREAMS s $", "")]);
    // The entry is a change; the client, served with it, has read the stream anew.
    let entry = told(&mut m, "XADD s 1-1 f v");
    assert!(entry.starts_with(&changed(&["s"])), "{entry}");
    assert_eq!(told(&mut m, "XADD s 2-1 f v"), changed(&["s"]));
    m.expect_of(&[(0, "XLEN s", r":2\r\n")]);
    assert_eq!(told(&mut m, "XADD s 3-1 f v"), "");
    // A wait that was in vain is over, too.
    m.expect_of(&[(0, "CLIENT CACHING YES", OK), (0, "XREAD BLOCK 10 STREAMS s $", "")]);
    m.advance_ms(20);
    m.wake();
    assert_eq!(told(&mut m, "XADD s 4-1 f v"), changed(&["s"]));
    m.expect_of(&[(0, "XLEN s", r":4\r\n")]);
    assert_eq!(told(&mut m, "XADD s 5-1 f v"), "");
}
