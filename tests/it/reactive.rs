//! Live queries: `.WATCH` and `.UNWATCH`, byte for byte as DiceDB's clients know them, and what it got wrong.

use std::collections::BTreeMap;

use aleadb::base::prng::Prng;
use aleadb::config::Config;
use aleadb::resp::out::Out;

use crate::memory::Memory;

const OK: &str = r"+OK\r\n";
const WRONG_TYPE: &str = r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";

/// A frame as it is sent to RESP2 clients, and as an answer to all.
fn frame(name: &str, fingerprint: u32, result: &str) -> String {
    let digits = fingerprint.to_string();
    format!(r"*3\r\n${}\r\n{name}\r\n${}\r\n{digits}\r\n{result}", name.len(), digits.len())
}

fn bulk(text: &str) -> String {
    format!(r"${}\r\n{text}\r\n", text.len())
}

/// A server with a client that watches and, as the one that sends, another.
struct Watched {
    memory: Memory,
    watcher: usize,
    writer: usize,
}

impl Watched {
    fn new() -> Watched {
        let mut memory = Memory::new();
        let (watcher, writer) = (memory.client, memory.connect());
        Watched { memory, watcher, writer }
    }

    fn watch(&mut self, line: &str) -> String {
        self.memory.client = self.watcher;
        self.memory.run(line)
    }

    /// Has the other client send a line; what the watcher is sent for it.
    fn write(&mut self, line: &str) -> String {
        self.memory.client = self.writer;
        let reply = self.memory.run(line);
        assert!(!reply.starts_with('-'), "{line}: {reply}");
        self.memory.take_sent(self.watcher)
    }

    /// The same while nobody watches.
    fn write_unseen(&mut self, line: &str) {
        self.memory.client = self.writer;
        let reply = self.memory.run(line);
        assert!(!reply.starts_with('-'), "{line}: {reply}");
    }
}

#[test]
fn get_watch_answers_the_value_and_then_every_new_one() {
    let mut it = Watched::new();
    it.write("SET getwatchkey value");
    let get = |value: &str| frame("GET", 2714318480, &bulk(value));
    assert_eq!(it.watch("GET.WATCH getwatchkey"), get("value"));
    for value in ["value1", "value2", "value3", "value4"] {
        assert_eq!(it.write(&format!("SET getwatchkey {value}")), get(value));
    }
    assert_eq!(it.write("SET other x"), "");
    assert_eq!(it.watch("GET.UNWATCH 2714318480"), OK);
    assert_eq!(it.write("SET getwatchkey value5"), "");
}

#[test]
fn a_label_is_echoed_once_and_is_no_part_of_the_query() {
    let mut it = Watched::new();
    let label = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
    it.write("SET k1 k1-initial");
    assert_eq!(it.watch(&format!("GET.WATCH k1 {label}")), frame(label, 1207366008, &bulk("k1-initial")));
    assert_eq!(it.write("SET k1 k1-firstupdate"), frame("GET", 1207366008, &bulk("k1-firstupdate")));
    // The command's own argument is no label, whatever it looks like.
    assert!(it.watch(&format!("GET.WATCH {label}")).starts_with(r"*3\r\n$3\r\nGET\r\n"));
    let arity = r"-ERR wrong number of arguments for \'get.watch\' command\r\n";
    it.memory.client = it.watcher;
    it.memory.expect(&[("GET.WATCH", arity), ("GET.WATCH a b", arity), ("GET.WATCH a b c", arity)]);
}

#[test]
fn zrange_watch_pushes_the_whole_board() {
    let mut it = Watched::new();
    let board = |rows: &[&str]| {
        let rows = format!(r"*{}\r\n{}", rows.len(), rows.iter().map(|row| bulk(row)).collect::<String>());
        frame("ZRANGE", 1178068413, &rows)
    };
    assert_eq!(it.watch("ZRANGE.WATCH zrangewatchkey 0 -1 REV WITHSCORES"), board(&[]));
    assert_eq!(it.write("ZADD zrangewatchkey 1.0 member1"), board(&["member1", "1"]));
    assert_eq!(it.write("ZADD zrangewatchkey 2.0 member2"), board(&["member2", "2", "member1", "1"]));
    assert_eq!(it.write("ZINCRBY zrangewatchkey 2.5 member1"), board(&["member1", "3.5", "member2", "2"]));
    assert_eq!(it.write("ZPOPMAX zrangewatchkey"), board(&["member2", "2"]));
    assert_eq!(it.write("ZADD zrangewatchkey 2 member2"), "", "nothing has changed");
    assert_eq!(it.write("ZREM zrangewatchkey member2"), board(&[]));
}

#[test]
fn pfcount_watch_counts_as_dicedb_s_tests_do() {
    let mut it = Watched::new();
    let count = |n: u32| frame("PFCOUNT", 1832643469, &format!(r":{n}\r\n"));
    it.write("PFADD hllkey value0");
    assert_eq!(it.watch("PFCOUNT.WATCH hllkey"), count(1));
    for (i, n) in [(1, 2), (2, 3), (3, 4), (4, 5)] {
        assert_eq!(it.write(&format!("PFADD hllkey value{i}")), count(n));
    }
    it.write("PFADD other a b c d e f g h");
    it.write("PFADD third a x y z s t u v");
    assert_eq!(it.write("PFMERGE hllkey other"), count(13));
    assert_eq!(it.write("PFMERGE hllkey third"), count(19));
    assert_eq!(it.write("PFMERGE hllkey third"), count(19));
}

#[test]
fn every_command_that_only_reads_keys_can_be_watched() {
    let mut it = Watched::new();
    let watchable: Vec<_> = aleadb::command::derived().iter().map(|command| command.spec.name).collect();
    let expected = "GET MGET STRLEN GETRANGE EXISTS TTL PTTL EXPIRETIME TYPE HGET HMGET HGETALL HLEN HKEYS HVALS HEXISTS LRANGE LLEN \
                    LINDEX LPOS SMEMBERS SCARD SISMEMBER SINTER SUNION SDIFF ZRANGE ZCARD ZCOUNT ZRANK ZREVRANK ZSCORE XLEN XRANGE XREAD \
                    BITCOUNT GETBIT PFCOUNT";
    for name in expected.split_whitespace() {
        assert!(watchable.contains(&format!("{name}.WATCH").as_str()), "{name}");
        assert!(watchable.contains(&format!("{name}.UNWATCH").as_str()), "{name}");
    }
    it.memory.client = it.watcher;
    it.memory.expect(&[
        ("SET.WATCH k v", r"-ERR \'set\' is not a read-only command\r\n"),
        ("getex.unwatch 1", r"-ERR \'getex\' is not a read-only command\r\n"),
        ("DBSIZE.WATCH", r"-ERR \'dbsize\' is a command without keys, and only changes of keys are noticed\r\n"),
        ("CLIENT.WATCH LIST", r"-ERR \'client\' has no subcommand that can be watched\r\n"),
        ("NOTHING.WATCH k", r"-ERR unknown command \'NOTHING.WATCH\', with args beginning with: \'k\' \r\n"),
        (".WATCH k", r"-ERR unknown command \'.WATCH\', with args beginning with: \'k\' \r\n"),
        ("GET.WATCH.WATCH k", r"-ERR \'get.watch\' watches already\r\n"),
        ("SINTERCARD.WATCH x k", r"-ERR numkeys should be greater than 0\r\n"),
    ]);
    assert!(it.memory.server.watchers.reactive.is_empty());
}

#[test]
fn queries_of_many_keys_are_pushed_once_for_each_command() {
    let mut it = Watched::new();
    let line = "MGET.WATCH a b a";
    assert!(it.watch(line).ends_with(r"*3\r\n$-1\r\n$-1\r\n$-1\r\n"));
    let pushed = it.write("MSET a 1 b 2 c 3");
    assert_eq!(pushed.matches("MGET").count(), 1);
    assert!(pushed.ends_with(r"*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n1\r\n"));
    assert!(it.write("DEL b").ends_with(r"*3\r\n$1\r\n1\r\n$-1\r\n$1\r\n1\r\n"));
    assert_eq!(it.write("SET c 4"), "");
}

#[test]
fn a_transaction_is_one_change() {
    let mut it = Watched::new();
    it.watch("GET.WATCH k");
    for line in ["MULTI", "SET k 1", "INCR k", "SET j 1", "INCR k"] {
        assert_eq!(it.write(line), "");
    }
    assert_eq!(it.write("EXEC"), frame("GET", 2894570460, &bulk("3")));
    it.memory.client = it.watcher;
    it.memory.expect(&[
        ("MULTI", OK),
        ("GET.WATCH k", r"-ERR Command not allowed inside a transaction\r\n"),
        ("DISCARD", OK),
    ]);
}

#[test]
fn errors_are_pushed_inside_the_frame() {
    let mut it = Watched::new();
    it.write("RPUSH k a");
    let wrong = frame("GET", 2894570460, WRONG_TYPE);
    assert_eq!(it.watch("GET.WATCH k"), wrong);
    assert_eq!(it.write("SET k v"), frame("GET", 2894570460, &bulk("v")));
    it.write("DEL k");
    assert_eq!(it.write("HSET k f v"), wrong);
    assert_eq!(it.watch("GET.UNWATCH x"), r"-invalid fingerprint\r\n");
    assert_eq!(it.watch("UNWATCH 4294967296"), r"-invalid fingerprint\r\n");
    assert_eq!(it.watch("GET.UNWATCH"), r"-ERR wrong number of arguments for \'get.unwatch\' command\r\n");
    assert_eq!(it.watch("UNWATCH 1 2"), r"-ERR wrong number of arguments for \'unwatch\' command\r\n");
}

#[test]
fn every_way_a_key_can_change_is_pushed() {
    let mut it = Watched::new();
    let get = |value: &str| frame("GET", 2894570460, value);
    let missing = get(r"$-1\r\n");
    assert_eq!(it.watch("GET.WATCH k"), missing);
    let rows = [
        ("SET k 5", get(&bulk("5"))),
        ("INCR k", get(&bulk("6"))),
        ("INCRBYFLOAT k 0.5", get(&bulk("6.5"))),
        ("APPEND k 0", get(&bulk("6.50"))),
        ("SETRANGE k 0 7", get(&bulk("7.50"))),
        ("SETBIT k 7 0", get(&bulk("6.50"))),
        ("BITFIELD k SET u8 0 57", get(&bulk("9.50"))),
        ("EXPIRE k 100", get(&bulk("9.50"))),
        ("PERSIST k", get(&bulk("9.50"))),
        ("GETDEL k", missing.clone()),
        ("SETEX k 100 v", get(&bulk("v"))),
        ("RENAME k j", missing.clone()),
        ("COPY j k", get(&bulk("v"))),
        ("DEL k", missing.clone()),
        ("SET i w", String::new()),
        ("RENAME i k", get(&bulk("w"))),
        ("FLUSHDB", missing.clone()),
        ("FLUSHALL", String::new()),
        ("SET k x", get(&bulk("x"))),
        ("SWAPDB 0 1", missing.clone()),
        ("SWAPDB 0 1", get(&bulk("x"))),
        ("MOVE k 1", missing.clone()),
        ("SELECT 1", String::new()),
        ("MOVE k 0", get(&bulk("x"))),
        ("SELECT 0", String::new()),
        ("FLUSHALL ASYNC", missing.clone()),
        ("SET k v PX 100", get(&bulk("v"))),
    ];
    for (line, pushed) in rows {
        assert_eq!(it.write(line), pushed, "{line}");
    }
    it.memory.advance_ms(100);
    assert_eq!(it.memory.take_sent(it.watcher), missing, "expired by the clock");
    it.write("SET k v PX 100");
    it.memory.clock.advance_ms(100);
    assert_eq!(it.write("TYPE k"), missing, "expired by a look");
}

#[test]
fn fields_that_expire_are_pushed() {
    let mut it = Watched::new();
    it.write("HSET h f v g w");
    it.watch("HLEN.WATCH h");
    assert!(it.write("HPEXPIRE h 100 FIELDS 1 f").ends_with(r":2\r\n"));
    it.memory.advance_ms(100);
    assert!(it.memory.take_sent(it.watcher).ends_with(r":1\r\n"));
}

#[test]
fn what_a_blocked_client_takes_is_a_change_of_its_own() {
    let mut it = Watched::new();
    it.watch("LRANGE.WATCH l 0 -1");
    let waiter = it.memory.connect();
    it.memory.run("BLPOP l 0");
    assert!(it.memory.is_waiting());
    let pushed = it.write("RPUSH l a b");
    assert_eq!(pushed.matches("LRANGE").count(), 2);
    assert!(pushed.contains(r"*2\r\n$1\r\na\r\n$1\r\nb\r\n") && pushed.ends_with(r"*1\r\n$1\r\nb\r\n"));
    assert!(it.memory.take_sent(waiter).ends_with(r"$1\r\na\r\n"));
}

#[test]
fn a_writer_that_watches_sees_its_reply_first() {
    let mut memory = Memory::new();
    let get = |value: &str| frame("GET", 2894570460, &bulk(value));
    memory.run("GET.WATCH k");
    memory.expect(&[
        ("SET k 1", &format!("{OK}{}", get("1"))),
        ("CLIENT REPLY OFF", ""),
        ("SET k 2", &get("2")),
        ("CLIENT REPLY ON", OK),
    ]);
}

#[test]
fn resp3_clients_get_pushes_and_resp2_clients_arrays() {
    let mut it = Watched::new();
    let third = it.memory.connect();
    it.memory.run("HELLO 3");
    let line = "HGETALL.WATCH user:1";
    assert_eq!(it.memory.run(line), frame("HGETALL", 3875719735, r"%0\r\n"));
    it.watch(line);
    let before = it.memory.server.stats.watch_evaluations;
    assert_eq!(it.write("HSET user:1 name x"), frame("HGETALL", 3875719735, r"*2\r\n$4\r\nname\r\n$1\r\nx\r\n"));
    let pushed = frame("HGETALL", 3875719735, r"%1\r\n$4\r\nname\r\n$1\r\nx\r\n").replacen('*', ">", 1);
    assert_eq!(it.memory.take_sent(third), pushed);
    assert_eq!(it.memory.server.stats.watch_evaluations - before, 2, "once for each protocol");
}

#[test]
fn a_query_is_evaluated_once_for_all_its_watchers() {
    let mut it = Watched::new();
    let watchers: Vec<usize> = (0..50).map(|_| it.memory.connect()).collect();
    for &client in &watchers {
        it.memory.client = client;
        it.memory.run("GET.WATCH k");
        it.memory.run("GET.WATCH k");
    }
    assert_eq!((it.memory.server.watchers.reactive.queries(), it.memory.server.watchers.reactive.watches()), (1, 50));
    it.write("SET k v");
    assert_eq!(it.memory.server.stats.watch_evaluations, 1);
    for client in watchers {
        assert_eq!(it.memory.take_sent(client), frame("GET", 2894570460, &bulk("v")));
    }
}

#[test]
fn a_watch_stays_with_the_database_it_began_in() {
    let mut it = Watched::new();
    it.watch("GET.WATCH k");
    it.watch("SELECT 1");
    assert_eq!(it.write("SET k 0"), frame("GET", 2894570460, &bulk("0")));
    it.write("SELECT 1");
    assert_eq!(it.write("SET k 1"), "");
    assert_eq!(it.watch("GET.WATCH k"), frame("GET", 2894570460, &bulk("1")));
    assert_eq!(it.write("SET k 2"), frame("GET", 2894570460, &bulk("2")));
    it.watch("UNWATCH 2894570460");
    assert!(it.memory.server.watchers.reactive.is_empty(), "the fingerprint is the same in all databases");
}

#[test]
fn reset_and_kill_end_watches_at_once() {
    let mut it = Watched::new();
    it.watch("GET.WATCH k");
    it.watch("RESET");
    assert_eq!(it.write("SET k v"), "");
    it.watch("GET.WATCH k");
    let id = it.memory.session(it.watcher).id;
    it.write(&format!("CLIENT KILL ID {id}"));
    assert!(it.memory.server.watchers.reactive.is_empty());
    assert_eq!(it.write("SET k w"), "");
}

#[test]
fn watches_can_be_listed_and_counted() {
    let mut it = Watched::new();
    it.memory.client = it.watcher;
    it.memory.expect(&[
        ("WATCH.LIST", r"*0\r\n"),
        ("WATCH.STATS extra", r"-ERR wrong number of arguments for \'watch.stats\' command\r\n"),
    ]);
    for line in ["GET.WATCH k2", "get.watch k1", "SELECT 1", "GET.WATCH k1"] {
        it.watch(line);
    }
    it.write("GET.WATCH k1");
    let row = |fingerprint: &str, db: u32, watchers: u32, key: &str| {
        let line = format!(r"*2\r\n{}{}", bulk("GET"), bulk(key));
        let (db, watchers) = (format!(r":{db}\r\n"), format!(r":{watchers}\r\n"));
        let fields = [
            ("fingerprint", bulk(fingerprint)),
            ("line", line),
            ("db", db),
            ("watchers", watchers),
            ("every", r":0\r\n".into()),
            ("debounce", r":0\r\n".into()),
            ("revision", r"$-1\r\n".into()),
        ];
        format!(r"*14\r\n{}", fields.map(|(name, value)| bulk(name) + &value).concat())
    };
    let rows = [row("1207366008", 0, 2, "k1"), row("605425024", 0, 1, "k2"), row("1207366008", 1, 1, "k1")];
    assert_eq!(it.watch("WATCH.LIST"), format!(r"*3\r\n{}", rows.concat()));
    it.write("SET k1 v");
    let counts = [
        ("clients", 2),
        ("watches", 4),
        ("queries", 3),
        ("keys", 3),
        ("evaluations", 1),
        ("frames", 2),
        ("frames_superseded", 0),
        ("resumable", 0),
        ("resume_bytes", 0),
        ("resumed", 0),
        ("resumed_late", 0),
    ];
    let counts = counts.map(|(name, count)| format!(r"{}:{count}\r\n", bulk(name))).concat();
    assert_eq!(it.watch("WATCH.STATS"), format!(r"*22\r\n{counts}"));
    it.watch("SELECT 0");
    assert_eq!(
        it.watch("WATCH.COUNT k1 k3 k2"),
        format!(r"*6\r\n{}:2\r\n{}:0\r\n{}:1\r\n", bulk("k1"), bulk("k3"), bulk("k2"))
    );
    assert!(it.watch("INFO clients").contains(r"live_query_watches:4\r\nlive_queries:3\r\n"));
}

#[test]
fn limits_refuse_new_watches_and_none_that_exist() {
    let mut it = Watched::new();
    it.write("CONFIG SET watch-max-per-client 2 watch-max-total 3");
    for key in ["a", "b", "b"] {
        assert!(it.watch(&format!("GET.WATCH {key}")).starts_with("*3"));
    }
    let own = r"-ERR too many watches: the client has reached watch-max-per-client\r\n";
    assert_eq!(it.watch("GET.WATCH c"), own);
    let other = it.memory.connect();
    assert!(it.memory.run("GET.WATCH c").starts_with("*3"));
    assert_eq!(it.memory.run("GET.WATCH d"), r"-ERR too many watches: the server has reached watch-max-total\r\n");
    assert!(it.memory.run("GET.WATCH c").starts_with("*3"));
    assert!(it.watch("GET.WATCH a").starts_with("*3"));
    it.memory.client = other;
    it.memory.run("RESET");
    assert_eq!(it.watch("GET.WATCH c"), own);
}

#[test]
fn a_result_over_the_limit_is_replaced_by_its_length() {
    let mut it = Watched::new();
    it.write("CONFIG SET watch-result-bytes-max 100");
    it.watch("GET.WATCH k");
    assert!(it.write(&format!("SET k {}", "x".repeat(92))).ends_with(&bulk(&"x".repeat(92))));
    let told = |bytes: usize| {
        frame(
            "GET",
            2894570460,
            &format!(r"-TOOLONG {bytes} bytes are more than watch-result-bytes-max allows: GET k\r\n"),
        )
    };
    assert_eq!(it.write(&format!("SET k {}", "x".repeat(94))), told(101));
    assert_eq!(it.write(&format!("SET k {}", "x".repeat(100_000))), told(100_011));
    assert_eq!(it.watch("GET.WATCH k"), told(100_011));
}

#[test]
fn observe_is_watch_under_another_name() {
    let mut it = Watched::new();
    assert_eq!(it.watch("OBSERVE get k"), frame("GET", 2894570460, r"$-1\r\n"));
    assert_eq!(it.write("SET k 1"), frame("GET", 2894570460, &bulk("1")));
    assert_eq!(it.watch("GET.WATCH k"), frame("GET", 2894570460, &bulk("1")), "the same query");
    assert_eq!(it.write("SET k 2").matches("GET").count(), 1);
    let labelled = it.watch("OBSERVE LABEL \"any text\" GET k");
    assert_eq!(labelled, frame("any text", 2894570460, &bulk("2")));
    assert_eq!(it.watch("UNOBSERVE 2894570460"), OK);
    assert_eq!(it.write("SET k 3"), "");
    it.memory.client = it.watcher;
    it.memory.expect(&[
        ("OBSERVE GET", r"-ERR wrong number of arguments for \'observe\' command\r\n"),
        ("OBSERVE GET k x", r"-ERR wrong number of arguments for \'get\' command\r\n"),
        ("OBSERVE EVERY EVERY", r"-ERR wrong number of arguments for \'observe\' command\r\n"),
        ("OBSERVE SET k v", r"-ERR \'set\' is not a read-only command\r\n"),
        ("OBSERVE NOTHING k", r"-ERR unknown command \'NOTHING\', with args beginning with: \'k\' \r\n"),
        ("OBSERVE OBJECT NOTHING k", r"-ERR unknown subcommand \'NOTHING\'. Try OBJECT HELP.\r\n"),
        ("OBSERVE DEBOUNCE x GET k", r"-ERR DEBOUNCE takes milliseconds, from 1 to 3600000\r\n"),
        ("OBSERVE DEBOUNCE 0 GET k", r"-ERR DEBOUNCE takes milliseconds, from 1 to 3600000\r\n"),
        ("OBSERVE EVERY DEBOUNCE 9 GET k", r"-ERR EVERY and DEBOUNCE exclude each other\r\n"),
        ("OBSERVE SINCE -1 GET k", r"-ERR SINCE takes the revision of a frame\r\n"),
        ("OBSERVE SINCE 1 GET k", r"-ERR SINCE needs frames with revisions: send WATCH.MODE REVISIONS first\r\n"),
        ("UNOBSERVE x", r"-invalid fingerprint\r\n"),
        ("WATCH.MODE", r"$5\r\nplain\r\n"),
        ("WATCH.MODE x", r"-ERR syntax error\r\n"),
        ("WATCH.MODE PLAIN x", r"-ERR syntax error\r\n"),
    ]);
    assert!(it.memory.server.watchers.reactive.is_empty());
}

/// No key, argument or label is taken for an option, and no command is called like one.
#[test]
fn options_of_observe_are_told_from_everything_else() {
    let mut it = Watched::new();
    for option in ["EVERY", "DEBOUNCE", "SINCE", "LABEL"] {
        assert!(aleadb::command::lookup(option.as_bytes()).is_none(), "{option}");
    }
    let uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
    assert!(it.watch(&format!("OBSERVE EVERY MGET EVERY DEBOUNCE LABEL {uuid}")).starts_with(r"*3\r\n$4\r\nMGET\r\n"));
    for key in ["EVERY", "DEBOUNCE", "LABEL", uuid] {
        assert!(it.write(&format!("SET {key} v")).contains("MGET"), "{key}");
    }
    let keys = |line: &str| format!("COMMAND GETKEYS {line}");
    it.memory.client = it.watcher;
    it.memory.expect(&[
        (&keys("OBSERVE LABEL GET DEBOUNCE 5 MGET a EVERY"), r"*2\r\n$1\r\na\r\n$5\r\nEVERY\r\n"),
        (&keys("OBSERVE OBJECT ENCODING k"), r"*1\r\n$1\r\nk\r\n"),
        (&keys("OBJECT.WATCH ENCODING k"), r"*1\r\n$1\r\nk\r\n"),
        (&keys("OBSERVE NOTHING k"), r"-ERR Invalid arguments specified for command\r\n"),
    ]);
}

#[test]
fn subcommands_are_watched_as_their_command() {
    let mut it = Watched::new();
    it.write("SET k 1");
    let first = it.watch("OBJECT.WATCH encoding k");
    assert!(first.starts_with(r"*3\r\n$6\r\nOBJECT\r\n") && first.ends_with(r"$3\r\nint\r\n"), "{first}");
    assert!(it.write("APPEND k x").ends_with(r"$3\r\nraw\r\n"));
    assert!(it.watch("XINFO.WATCH STREAM s").ends_with(r"-ERR no such key\r\n"));
    assert!(it.write("XADD s 1-1 f v").contains(r"$6\r\nlength\r\n:1\r\n"));
    assert!(it.watch("OBSERVE MEMORY USAGE k").starts_with(r"*3\r\n$6\r\nMEMORY\r\n"));
    it.memory.client = it.watcher;
    it.memory.expect(&[
        ("OBJECT.WATCH HELP x", r"-ERR \'object|help\' is not a read-only command\r\n"),
        ("OBJECT.WATCH NOTHING k", r"-ERR unknown subcommand \'NOTHING\'. Try OBJECT HELP.\r\n"),
        ("OBJECT.WATCH ENCODING", r"-ERR wrong number of arguments for \'object.watch\' command\r\n"),
        ("OBJECT.WATCH ENCODING k x", r"-ERR wrong number of arguments for \'object.watch\' command\r\n"),
    ]);
}

#[test]
fn changes_are_gathered_and_the_last_result_sent_when_the_time_is_over() {
    let mut it = Watched::new();
    it.watch("OBSERVE DEBOUNCE 50 GET k");
    for value in 1..=3 {
        assert_eq!(it.write(&format!("SET k {value}")), "");
        it.memory.advance_ms(10);
    }
    it.memory.advance_ms(19);
    assert_eq!(it.memory.take_sent(it.watcher), "");
    it.memory.advance_ms(1);
    assert_eq!(it.memory.take_sent(it.watcher), frame("GET", 2894570460, &bulk("3")));
    assert_eq!(it.memory.server.stats.watch_evaluations, 1);
    it.memory.advance_ms(1000);
    assert_eq!(it.memory.take_sent(it.watcher), "");
    it.write("SET k 4");
    assert!(it.watch("GET.WATCH k").contains(&bulk("4")), "the last wish counts");
    assert_eq!(it.memory.server.watchers.reactive.watches(), 1);
    assert_eq!(it.write("SET k 5"), frame("GET", 2894570460, &bulk("5")));
    it.memory.advance_ms(1000);
    assert_eq!(it.memory.take_sent(it.watcher), "");
}

/// A frame with a revision, as pushed or answered.
fn numbered(result: &str, revision: u64, more: &str) -> String {
    let elements = if more.is_empty() { 4 } else { 5 };
    let frame = frame("GET", 2894570460, result).replacen("*3", &format!("*{elements}"), 1);
    frame + &bulk(&revision.to_string()) + more
}

#[test]
fn a_client_that_comes_back_goes_on_without_a_gap_or_is_told_of_it() {
    let mut it = Watched::new();
    it.watch("WATCH.MODE REVISIONS");
    assert_eq!(it.watch("WATCH.MODE"), bulk("revisions"));
    it.watch("GET.WATCH k");
    let first = it.memory.server.watchers.reactive.all().next().and_then(|query| query.revision()).expect("a revision");
    assert_eq!(it.watch("GET.WATCH k"), numbered(r"$-1\r\n", first, ""));
    assert_eq!(it.write("SET k 1"), numbered(&bulk("1"), first + 1, ""));
    it.memory.leave(it.watcher);
    for value in 2..=4 {
        it.write_unseen(&format!("SET k {value}"));
    }
    let (continued, missed) = (bulk("continued"), bulk("missed"));
    it.watcher = it.memory.connect();
    it.watch("WATCH.MODE REVISIONS");
    let later = (2..=4).map(|n| numbered(&bulk(&n.to_string()), first + n, "")).collect::<String>();
    let line = format!("OBSERVE SINCE {} GET k", first + 1);
    assert_eq!(it.watch(&line), numbered(&bulk("1"), first + 1, &continued) + &later);
    assert_eq!(it.watch(&format!("OBSERVE SINCE {} GET k", first + 4)), numbered(&bulk("4"), first + 4, &continued));
    assert_eq!(it.write("SET k 5"), numbered(&bulk("5"), first + 5, ""));
    assert_eq!(it.watch(&format!("OBSERVE SINCE {} GET k", first + 6)), numbered(&bulk("5"), first + 5, &missed));
    for value in 0..200 {
        it.write(&format!("SET k {value}"));
    }
    assert_eq!(it.watch(&line), numbered(&bulk("199"), first + 205, &missed), "more than is kept");
    it.write("CONFIG SET watch-resume-bytes 1");
    it.write("SET k unkept");
    let present = format!("OBSERVE SINCE {} GET k", first + 206);
    assert_eq!(it.watch(&present), numbered(&bulk("unkept"), first + 206, &continued), "nothing was missed");
    it.watch("UNWATCH 2894570460");
    it.memory.advance_ms(60_001);
    assert!(it.memory.server.watchers.reactive.is_empty());
    it.write("SET k last");
    let again = it.watch(&format!("OBSERVE SINCE {} GET k", first + 206));
    assert!(again.ends_with(&missed), "it was forgotten: {again}");
    let now = it.memory.server.watchers.reactive.all().next().and_then(|query| query.revision()).expect("a revision");
    assert!(now > first + 206, "no revision stands for two results");
    assert_eq!(it.watch("WATCH.MODE PLAIN"), OK);
    assert_eq!(it.write("SET k plain"), frame("GET", 2894570460, &bulk("plain")));
    it.watch("WATCH.MODE REVISIONS");
    assert_eq!(it.write("SET k numbered"), numbered(&bulk("numbered"), now + 2, ""));
}

#[test]
fn what_is_put_off_is_told_before_a_client_goes_on() {
    let mut it = Watched::new();
    it.watch("WATCH.MODE REVISIONS");
    it.watch("OBSERVE DEBOUNCE 100 GET k");
    let first = it.memory.server.watchers.reactive.all().next().and_then(|query| query.revision()).expect("a revision");
    assert_eq!(it.write("SET k 1"), "");
    let other = it.memory.connect();
    it.memory.run("WATCH.MODE REVISIONS");
    let line = format!("OBSERVE SINCE {first} DEBOUNCE 100 GET k");
    let (gone_on, next) = (numbered(r"$-1\r\n", first, &bulk("continued")), numbered(&bulk("1"), first + 1, ""));
    assert_eq!(it.memory.run(&line), gone_on + &next);
    assert_eq!((it.memory.take_sent(it.watcher), it.memory.take_sent(other)), (next, String::new()));
    it.memory.advance_ms(200);
    assert_eq!(it.memory.take_sent(it.watcher), "", "it has been told");
}

/// A query that nobody watches for the moment has no client to be evaluated for.
#[test]
fn every_kind_of_query_lives_on_without_a_watcher() {
    let mut it = Watched::new();
    it.watch("WATCH.MODE REVISIONS");
    let lines = "GET k|MGET k l|STRLEN k|GETRANGE k 0 1|SUBSTR k 0 1|LCS k l|EXISTS k|TTL k|PTTL k|EXPIRETIME k|PEXPIRETIME k|TYPE k|\
        DUMP k|OBJECT ENCODING k|OBJECT FREQ k|OBJECT IDLETIME k|OBJECT REFCOUNT k|MEMORY USAGE k|BLESS GET k|\
        LRANGE k 0 1|LLEN k|LINDEX k 0|\
        LPOS k x|HGET k f|HMGET k f|HGETALL k|HLEN k|HKEYS k|HVALS k|HEXISTS k f|HSTRLEN k f|HRANDFIELD k|HSCAN k 0|HTTL k FIELDS 1 f|\
        HPTTL k FIELDS 1 f|\
        HEXPIRETIME k FIELDS 1 f|HPEXPIRETIME k FIELDS 1 f|\
        SMEMBERS k|SCARD k|SISMEMBER k x|SMISMEMBER k x|SINTER k l|SUNION k l|SDIFF k l|SINTERCARD 1 k|SUNIONCARD 1 k|\
        SDIFFCARD 1 k|SRANDMEMBER k|SSCAN k 0|\
        STTL k MEMBERS 1 m|SPTTL k MEMBERS 1 m|SEXPIRETIME k MEMBERS 1 m|SPEXPIRETIME k MEMBERS 1 m|\
        ZRANGE k 0 1|ZREVRANGE k 0 1|ZCARD k|ZCOUNT k 0 1|ZRANK k x|ZREVRANK k x|ZSCORE k x|ZMSCORE k x|ZUNION 1 k|ZINTER 1 k|ZDIFF 1 k|\
        ZINTERCARD 1 k|ZRANDMEMBER k|ZLEXCOUNT k - +|ZRANGEBYSCORE k 0 1|ZRANGEBYLEX k - +|ZREVRANGEBYSCORE k 1 0|\
        ZTTL k MEMBERS 1 m|ZPTTL k MEMBERS 1 m|ZEXPIRETIME k MEMBERS 1 m|ZPEXPIRETIME k MEMBERS 1 m|\
        ZREVRANGEBYLEX k + -|TOUCH k|ZSCAN k 0|XLEN k|XRANGE k - +|XREVRANGE k + -|\
        XREAD STREAMS k 0|XPENDING k g|\
        XINFO STREAM k|XINFO GROUPS k|XINFO CONSUMERS k g|BITCOUNT k|BITPOS k 1|BITRANGEINTARRAY k 0 -1|GETBIT k 0|\
        BITFIELD_RO k GET u8 0|PFCOUNT k|GEOPOS k x|GEODIST k x y|GEOHASH k x|GEOSEARCH k FROMLONLAT 0 0 BYRADIUS 1 m|\
        GEORADIUS_RO k 0 0 1 m|GEORADIUSBYMEMBER_RO k x 1 m|DIGEST k|\
        ARGET k 0|ARMGET k 0|ARGETRANGE k 0 1|ARSCAN k 0 1|ARGREP k - + EXACT x|AROP k 0 1 SUM|ARLEN k|ARCOUNT k|ARNEXT k|\
        ARLASTITEMS k 1|ARINFO k";
    let lines: Vec<&str> = lines.split('|').map(str::trim).collect();
    for line in &lines {
        let reply = it.watch(&format!("OBSERVE {line}"));
        assert!(reply.starts_with("*4"), "{line}: {reply}");
    }
    let names: Vec<String> =
        lines.iter().map(|line| line.split(' ').next().expect("a name").to_owned() + ".WATCH").collect();
    let all =
        aleadb::command::derived().iter().map(|command| command.spec.name).filter(|name| name.ends_with(".WATCH"));
    let left: Vec<&str> = all.filter(|name| !names.iter().any(|own| own == name)).collect();
    assert_eq!(left, [] as [&str; 0], "not in the list above");
    it.memory.leave(it.watcher);
    let before = it.memory.server.stats.watch_evaluations;
    for line in [
        "SET k v",
        "DEL k",
        "RPUSH k x",
        "DEL k",
        "HSET k f v",
        "DEL k",
        "SADD k x",
        "DEL k",
        "ZADD k 1 x",
        "DEL k",
        "XADD k 1-1 f v",
    ] {
        it.write_unseen(line);
    }
    assert_eq!(it.memory.server.stats.watch_evaluations, before + 11 * lines.len() as u64);
}

/// What concerns very many queries is told in several turns, and nothing of it is lost to what happens meanwhile.
#[test]
fn databases_that_are_replaced_are_told_of_bit_by_bit() {
    const KEYS: usize = 5_000;
    for (line, pushed) in [("FLUSHALL", 3_000), ("SWAPDB 0 1", 4_000), ("FLUSHDB ASYNC", 3_000)] {
        let mut it = Watched::new();
        for key in 0..KEYS {
            it.watch(&format!("EXISTS.WATCH k{key}"));
        }
        (0..3_000).for_each(|key| it.write_unseen(&format!("SET k{key} v")));
        it.write("SELECT 1");
        (2_000..4_000).for_each(|key| it.write_unseen(&format!("SET k{key} v")));
        it.write("SELECT 0");
        it.memory.take_sent(it.watcher);
        let at_once = it.write(line).matches("EXISTS").count();
        assert!((1..pushed).contains(&at_once), "{line}: {at_once} at once");
        it.memory.advance_ms(1);
        let later = it.memory.take_sent(it.watcher).matches("EXISTS").count();
        // After a swap nobody knows for long what was where: keys of neither database may be told of as well.
        let most = if line.starts_with("SWAPDB") { KEYS } else { pushed };
        assert!((pushed..=most).contains(&(at_once + later)), "{line}: {}", at_once + later);
        it.memory.advance_ms(1);
        assert_eq!(it.memory.take_sent(it.watcher), "");
    }
    // A swap whose keys have not all been looked at, when one of the two is flushed.
    let mut it = Watched::new();
    (0..KEYS).for_each(|key| _ = it.watch(&format!("EXISTS.WATCH k{key}")));
    (0..KEYS).for_each(|key| it.write_unseen(&format!("SET k{key} v")));
    it.memory.take_sent(it.watcher);
    it.write_unseen("SWAPDB 0 1");
    it.write_unseen("SELECT 1");
    it.write_unseen("FLUSHDB");
    it.memory.advance_ms(1);
    assert_eq!(it.memory.take_sent(it.watcher).matches("EXISTS").count(), KEYS);
}

#[test]
fn a_resp2_client_that_has_subscribed_cannot_watch_but_goes_on_being_told() {
    let mut it = Watched::new();
    it.watch("GET.WATCH k");
    it.watch("SUBSCRIBE channel");
    for (line, name) in [("GET.WATCH j", "get.watch"), ("OBSERVE GET j", "observe")] {
        let refused = it.watch(line);
        assert!(refused.starts_with(&format!(r"-ERR Can\'t execute \'{name}\': only")), "{refused}");
    }
    assert_eq!(it.write("SET k 1"), frame("GET", 2894570460, &bulk("1")));
    it.write("PUBLISH channel m");
    it.watch("UNSUBSCRIBE");
    assert!(it.watch("OBSERVE GET k").contains(&bulk("1")));
    it.watch("HELLO 3");
    it.watch("SUBSCRIBE channel");
    assert!(it.watch("GET.WATCH k").starts_with("*3"), "RESP3 tells pushes from replies");
}

/// What was swapped away and deleted before anybody looked is gone for the queries of where it was.
#[test]
fn keys_that_go_right_after_a_swap_are_told_of() {
    const KEYS: usize = 5_000;
    let mut it = Watched::new();
    (0..KEYS).for_each(|key| _ = it.watch(&format!("EXISTS.WATCH k{key}")));
    (0..KEYS).for_each(|key| it.write_unseen(&format!("SET k{key} v")));
    it.memory.take_sent(it.watcher);
    it.write_unseen("SWAPDB 0 1");
    it.write_unseen("SELECT 1");
    (0..KEYS).for_each(|key| it.write_unseen(&format!("DEL k{key}")));
    it.memory.advance_ms(1);
    let sent = it.memory.take_sent(it.watcher);
    let told = (0..KEYS).filter(|key| sent.contains(&frame("EXISTS", farmhash(&format!("EXISTS k{key}")), r":0\r\n")));
    assert_eq!(told.count(), KEYS);
}

#[test]
fn a_watch_is_no_query_itself() {
    let mut it = Watched::new();
    it.watch("WATCH.MODE REVISIONS");
    for command in aleadb::command::derived().iter().chain(aleadb::command::all()) {
        let name = &command.full_name;
        if name.contains('.') || name == "observe" {
            let refused = it.watch(&format!("OBSERVE {name} k k"));
            assert!(refused.starts_with("-ERR"), "{name}: {refused}");
        }
    }
    assert!(it.memory.server.watchers.reactive.is_empty());
    assert_eq!(it.watch("OBSERVE GET.WATCH k"), r"-ERR \'get.watch\' watches already\r\n");
}

#[test]
fn a_revision_stands_for_one_result_even_where_time_alone_changes_it() {
    let mut it = Watched::new();
    it.write("SET k v PX 100000");
    it.watch("WATCH.MODE REVISIONS");
    let first = it.watch("OBSERVE PTTL k");
    it.memory.advance_ms(100);
    let other = it.memory.connect();
    it.memory.run("WATCH.MODE REVISIONS");
    let second = it.memory.run("OBSERVE PTTL k");
    assert!(first.contains(":100000") && second.contains(":99900"));
    let revision = |frame: &str| frame.trim_end_matches(r"\r\n").rsplit(r"\n").next().map(str::to_owned);
    assert_ne!(revision(&first), revision(&second));
    assert_eq!(it.memory.take_sent(it.watcher), second, "and is told to all");
    it.memory.client = other;
    assert_eq!(it.memory.run("OBSERVE PTTL k"), second);
    it.write("SADD s 1 2 3 4 5 6 7 8");
    let random = it.watch("OBSERVE SRANDMEMBER s");
    for _ in 0..20 {
        let again = it.watch("OBSERVE SRANDMEMBER s");
        assert!(revision(&again) != revision(&random) || again == random);
    }
}

#[test]
fn a_client_at_its_limit_may_change_how_it_watches() {
    let mut it = Watched::new();
    it.write("CONFIG SET watch-max-per-client 1");
    it.watch("GET.WATCH k");
    assert!(it.watch("OBSERVE DEBOUNCE 5 GET k").starts_with("*3"));
    assert!(it.watch("OBSERVE GET j").starts_with("-ERR too many watches"));
    assert_eq!(it.memory.server.watchers.reactive.watches(), 1);
}

/// Frames that are posted to nobody but the writer, or to nobody at all, leave nothing behind.
#[test]
fn delivered_frames_are_forgotten() {
    let mut it = Watched::new();
    let left = |it: &Watched| format!("{:?}", it.memory.server.outbox);
    let empty = left(&it);
    it.memory.client = it.writer;
    it.memory.run("GET.WATCH own");
    for value in 0..10 {
        it.write_unseen(&format!("SET own {value}"));
        assert_eq!(left(&it), empty, "the writer was told at once");
    }
    it.watch("WATCH.MODE REVISIONS");
    it.watch("GET.WATCH k");
    it.memory.leave(it.watcher);
    for value in 0..10 {
        it.write_unseen(&format!("SET k {value}"));
        assert_eq!(left(&it), empty, "it is kept, but not posted");
    }
    assert!(it.memory.server.watchers.reactive.history_bytes() > 0);
}

/// DiceDB's defects of record, none of which may come back.
mod regressions {
    use super::*;

    #[test]
    fn another_socket_closing_leaves_the_watch_alone() {
        let mut it = Watched::new();
        it.watch("GET.WATCH k");
        let other = it.memory.connect();
        it.memory.run("GET.WATCH k");
        it.memory.leave(other);
        assert_eq!(it.write("SET k v"), frame("GET", 2894570460, &bulk("v")));
        it.memory.leave(it.watcher);
        assert!(it.memory.server.watchers.reactive.is_empty());
    }

    #[test]
    fn a_watch_that_was_cancelled_can_begin_again() {
        let mut it = Watched::new();
        for round in 0..3 {
            it.watch("GET.WATCH k");
            assert_eq!(it.write(&format!("SET k {round}")), frame("GET", 2894570460, &bulk(&round.to_string())));
            assert_eq!(it.watch("UNWATCH 2894570460"), OK);
            assert_eq!(it.write("SET k between"), "");
        }
    }

    #[test]
    fn one_of_two_watchers_leaving_does_not_end_the_other_s_watch() {
        let mut it = Watched::new();
        let other = it.memory.connect();
        it.memory.run("GET.WATCH k");
        it.watch("GET.WATCH k");
        it.memory.client = other;
        it.memory.run("GET.UNWATCH 2894570460");
        assert_eq!(it.write("SET k v"), frame("GET", 2894570460, &bulk("v")));
        assert_eq!(it.memory.take_sent(other), "");
    }

    #[test]
    fn flushdb_is_a_change_of_every_key() {
        let mut it = Watched::new();
        it.write("MSET a 1 b 2");
        it.write("ZADD board 1 m");
        for line in ["GET.WATCH a", "MGET.WATCH a b", "ZCARD.WATCH board", "GET.WATCH none"] {
            it.watch(line);
        }
        let pushed = it.write("FLUSHDB");
        assert_eq!(pushed.matches("*3").count(), 3, "{pushed}");
        assert!(pushed.contains(r"$-1\r\n$-1") && pushed.contains(r":0\r\n"));
    }

    #[test]
    fn nothing_is_answered_twice_after_an_unwatch() {
        let mut it = Watched::new();
        it.watch("GET.WATCH k");
        it.watch("GET.WATCH k");
        assert_eq!(it.write("SET k 1").matches("GET").count(), 1);
        it.watch("GET.UNWATCH 2894570460");
        assert_eq!(it.watch("GET k"), bulk("1"));
        assert_eq!(it.watch("SET k 2"), OK);
        it.watch("GET.WATCH k");
        assert_eq!(it.write("SET k 3").matches("GET").count(), 1);
    }

    #[test]
    fn expiry_pushes() {
        let mut it = Watched::new();
        it.write("ZADD board 1 m");
        it.write("PEXPIRE board 50");
        it.watch("ZCARD.WATCH board");
        it.memory.advance_ms(50);
        assert_eq!(it.memory.take_sent(it.watcher), frame("ZCARD", 1853271828, r":0\r\n"));
    }
}

/// Whatever several clients do, the last result a watcher was sent is what it would be answered now.
#[test]
fn the_last_result_is_always_the_present_one() {
    const QUERIES: &[&str] = &[
        "GET a",
        "MGET a b c",
        "STRLEN b",
        "TYPE c",
        "EXISTS a b",
        "HGETALL a",
        "LRANGE b 0 -1",
        "SMEMBERS c",
        "ZRANGE a 0 -1 WITHSCORES",
        "PFCOUNT b",
        "XRANGE c - +",
        "SUNION a b",
        "PTTL a",
    ];
    const WRITES: &[&str] = &[
        "SET K 1",
        "SET K 2 PX 7",
        "INCR K",
        "APPEND K x",
        "DEL K",
        "UNLINK K L",
        "HSET K f 1 g 2",
        "HDEL K f",
        "HPEXPIRE K 5 FIELDS 1 g",
        "RPUSH K x y",
        "LPOP K",
        "LMOVE K L LEFT RIGHT",
        "SADD K m n",
        "SREM K m",
        "SPOP K",
        "SMOVE K L m",
        "SUNIONSTORE K L",
        "ZADD K 1 m 2 n",
        "ZREMRANGEBYRANK K 0 0",
        "PFADD K a b c",
        "PFMERGE K L",
        "XADD K 1-1 f v",
        "XTRIM K MAXLEN 0",
        "RENAME K L",
        "COPY K L REPLACE",
        "PEXPIRE K 5",
        "PERSIST K",
        "FLUSHDB",
        "SWAPDB 0 1",
        "MOVE K 1",
        "GETDEL K",
        "TYPE K",
        "BLPOP K 0.01",
        "BITOP NOT K L",
    ];
    for seed in 0..30 {
        let mut prng = Prng::seeded(seed);
        let mut below = |n: usize| prng.below(n as u64) as usize;
        let mut memory = Memory::with_config(Config::default());
        let clients: Vec<usize> = (0..4).map(|_| memory.connect()).collect();
        // The last result of each client's queries.
        let mut seen: BTreeMap<(usize, &str), String> = BTreeMap::new();
        for step in 0..300 {
            let sender = clients[below(4)];
            memory.client = sender;
            let mut own = String::new();
            let mut line = String::new();
            match below(8) {
                _ if memory.is_waiting() => {}
                0 => {
                    let query = QUERIES[below(QUERIES.len())];
                    own = memory.run(&query.replacen(' ', ".WATCH ", 1));
                    seen.insert((sender, query), whole(&own).to_owned());
                }
                1 => {
                    let query = QUERIES[below(QUERIES.len())];
                    let fingerprint = farmhash(query);
                    memory.run(&format!("UNWATCH {fingerprint}"));
                    seen.remove(&(sender, query));
                }
                2 => memory.advance_ms(below(6) as u64),
                _ => {
                    let keys = ["a", "b", "c"];
                    line = WRITES[below(WRITES.len())].replace('K', keys[below(3)]).replace('L', keys[below(3)]);
                    own = memory.run(&line);
                }
            }
            memory.wake();
            for &client in &clients {
                let sent = memory.take_sent(client) + if client == sender { &own } else { "" };
                for (_, last) in seen.range_mut((client, "")..=(client, "\u{ff}")) {
                    let head = &last[..head_len(last)];
                    if let Some(at) = sent.rfind(head) {
                        *last = whole(&sent[at..]).to_owned();
                    }
                }
            }
            let asker = memory.connect();
            for ((client, query), last) in &seen {
                let fresh = memory.run(query);
                if !query.starts_with("PTTL") || !last.ends_with(&fresh) {
                    let time_alone =
                        query.starts_with("PTTL") && !fresh.contains('-') && !last[head_len(last)..].contains('-');
                    assert!(
                        last[head_len(last)..] == fresh || time_alone,
                        "seed {seed} step {step} {line:?}: client {client} {query}: {last} is not {fresh}"
                    );
                }
            }
            memory.leave(asker);
        }
    }
}

/// Clients that come and go, each with the version of each query that it has seen last: the numbers go up by one, a client
/// that goes on has missed nothing, and what it has seen last is what there is.
#[test]
fn versions_are_seen_one_after_the_other_or_missed_knowingly() {
    const KEYS: [&str; 3] = ["a", "b", "c"];
    /// The last version of the query of each key that was watched.
    type Seen = BTreeMap<&'static str, (u64, String)>;
    for seed in 0..40 {
        let mut prng = Prng::seeded(seed);
        let mut below = |n: usize| prng.below(n as u64) as usize;
        let mut memory = Memory::new();
        let writer = memory.client;
        memory.run("CONFIG SET watch-resume-versions 5 watch-resume-seconds 1 watch-resume-bytes 700");
        // Each with its session, if it is connected.
        let mut readers: Vec<(Option<usize>, Seen)> = vec![(None, Seen::new()); 3];
        let (mut continued, mut missed) = (0, 0);
        for step in 0..600 {
            let reader = below(3);
            match below(10) {
                0 => {
                    if let Some(session) = readers[reader].0.take() {
                        memory.leave(session);
                    }
                }
                1..=3 => {
                    let session = *readers[reader].0.get_or_insert_with(|| memory.connect());
                    memory.client = session;
                    memory.run("WATCH.MODE REVISIONS");
                    let key = KEYS[below(3)];
                    let seen = readers[reader].1.get(key).cloned();
                    let since = seen.as_ref().map_or(String::new(), |(revision, _)| format!("SINCE {revision} "));
                    let reply = memory.run(&format!("OBSERVE {since}GET {key}"));
                    let mut frames = versions(&reply);
                    let (_, revision, result) = frames.remove(0);
                    let goes_on = reply.contains("continued");
                    (continued, missed) =
                        (continued + u32::from(goes_on), missed + u32::from(reply.contains("missed")));
                    if let Some(seen) = seen.filter(|_| goes_on) {
                        assert_eq!(seen, (revision, result.clone()), "seed {seed} step {step}");
                    }
                    readers[reader].1.insert(key, (revision, result));
                    note(&mut readers[reader].1, frames, seed, step);
                }
                4 => memory.advance_ms(below(400) as u64),
                _ => {
                    memory.client = writer;
                    memory.run(&format!("SET {} {step}{}", KEYS[below(3)], "x".repeat(below(100))));
                }
            }
            for (session, seen) in &mut readers {
                let Some(session) = *session else { continue };
                note(seen, versions(&memory.take_sent(session)), seed, step);
                memory.client = session;
                let watched = memory.run("WATCH.LIST");
                for (key, (revision, result)) in seen {
                    if watched.contains(&bulk(key)) {
                        assert_eq!(*result, memory.run(&format!("GET {key}")), "seed {seed} step {step}");
                        assert!(watched.contains(&bulk(&revision.to_string())), "seed {seed} step {step}");
                    }
                }
            }
        }
        assert!(continued > 10 && missed > 10, "seed {seed}: {continued} times, and {missed}");
    }

    /// Key, revision and result of each frame in a text of frames with revisions.
    fn versions(text: &str) -> Vec<(&'static str, u64, String)> {
        let mut found = Vec::new();
        for part in text.split(r"$3\r\nGET\r\n").skip(1) {
            let mut lines = part.split(r"\r\n");
            let fingerprint = lines.by_ref().nth(1).expect("a fingerprint").parse::<u32>().expect("a number");
            let key = KEYS.into_iter().find(|key| farmhash(&format!("GET {key}")) == fingerprint).expect("a key");
            let head = lines.next().expect("a result");
            let result = if head == "$-1" {
                format!(r"{head}\r\n")
            } else {
                format!(r"{head}\r\n{}\r\n", lines.next().expect("a value"))
            };
            let revision = lines.nth(1).expect("a revision").parse().expect("a number");
            found.push((key, revision, result));
        }
        found
    }

    fn note(seen: &mut Seen, frames: Vec<(&'static str, u64, String)>, seed: u64, step: usize) {
        for (key, revision, result) in frames {
            let before = seen.insert(key, (revision, result)).expect("it is watched").0;
            assert_eq!(revision, before + 1, "seed {seed} step {step}: {key}");
        }
    }
}

fn farmhash(text: &str) -> u32 {
    aleadb::feature::reactive::Line::new(
        text.split(' ').next().expect("a name"),
        aleadb::resp::args::OwnedArgs::new(text.split(' ').map(str::as_bytes)).as_args(),
        &[],
    )
    .fingerprint()
}

/// Length of a frame's first two elements, escaped.
fn head_len(frame: &str) -> usize {
    frame.match_indices(r"\r\n").nth(4).map_or(frame.len(), |(at, _)| at + 4)
}

/// A frame, escaped, from the text that it begins: what is behind it may be other frames and replies.
fn whole(text: &str) -> &str {
    let mut missing = 1;
    let mut at = 0;
    while missing > 0 {
        let end = at + text[at..].find(r"\r\n").expect("a whole reply") + 4;
        let (kind, rest) = text[at..end - 4].split_at(1);
        missing -= 1;
        at = end;
        match kind {
            "*" => missing += rest.parse::<i64>().expect("a length").max(0),
            "$" if rest != "-1" => at += text[at..].find(r"\r\n").expect("a whole string") + 4,
            _ => {}
        }
    }
    &text[..at]
}

#[test]
fn results_of_very_many_queries_of_one_key_do_not_wait_all_together() {
    const QUERIES: usize = 200;
    let mut m = Memory::new();
    let watcher = m.client;
    m.raw(&[&b"SET"[..], b"k", &vec![b'x'; 1 << 20]]);
    for start in 0..QUERIES {
        m.run(&format!("GETRANGE.WATCH k {start} -1"));
    }
    m.connect();
    m.run("APPEND k y");
    let (mut frames, mut rounds) = (0, 0);
    loop {
        let waiting = m.server.outbox.text_bytes();
        assert!(waiting < 66 << 20, "{waiting} bytes");
        frames += m.server.outbox.len();
        m.take_sent(watcher);
        rounds += 1;
        if !m.server.watchers.reactive.has_touched() {
            break;
        }
        m.run("PING");
    }
    assert_eq!(frames, QUERIES);
    assert!(rounds > 2, "{rounds}");
}

#[test]
fn a_result_that_was_held_back_and_is_longer_than_what_is_left_of_the_limit_loses_nothing() {
    let mut config = Config::default();
    config.client_output_buffer_limit.normal.hard_bytes = 1_000_000;
    config.watch_output_threshold = 1 << 20;
    let mut m = Memory::with_config(config);
    let watcher = m.client;
    m.run("GET.WATCH big");
    m.connect();
    m.raw(&[&b"SET"[..], b"big", &vec![b'x'; 907_000]]);
    let post = m.server.outbox.posts().next().map(|(client, frame, query)| (client, frame.clone(), query));
    m.server.outbox.clear();
    let Some((client, frame, Some(query))) = post else { panic!("a result was posted") };
    assert_eq!(client, m.id(watcher));
    let mut out = Out::with_limit(1_000_000);
    out.push(&[b'x'; 600_000]);
    m.server.hand_over(m.id(watcher), query, &frame, &mut out);
    assert!(m.session(watcher).held_back && out.len() == 600_000);
    out.advance(400_000);
    out.push(b"+PONG\r\n");
    m.server.release_held(m.id(watcher), &mut out);
    assert_eq!((out.is_cut(), out.len()), (false, 200_007 + frame.len()));
    assert!(!m.session(watcher).held_back);
}
