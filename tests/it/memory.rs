//! MEMORY. Errors and field names are those of a Redis 8.2.

use aleadb::resp::reply::Proto;

use crate::memory::Memory;

/// The integer of a `:n` reply.
fn integer(reply: &str) -> i64 {
    reply.strip_prefix(':').and_then(|text| text.strip_suffix(r"\r\n")).expect("an integer").parse().expect("digits")
}

#[test]
fn usage_grows_with_the_value() {
    let mut m = Memory::new();
    m.run("SET short v");
    m.raw(&[b"SET", b"long", &[b'x'; 100_000]]);
    let (short, long) = (integer(&m.run("MEMORY USAGE short")), integer(&m.run("MEMORY USAGE long")));
    assert!((16..=128).contains(&short), "{short}");
    assert!((100_000..=140_000).contains(&long), "{long}");
    assert_eq!(m.server.dbs[0].stats().hits, 0, "asking is no access");
}

#[test]
fn usage_takes_samples_and_refuses_anything_else() {
    let mut m = Memory::new();
    m.run("SET foo bar");
    let bytes = m.run("MEMORY USAGE foo");
    m.expect(&[
        ("MEMORY USAGE foo SAMPLES 5", &bytes),
        ("MEMORY USAGE foo samples 0", &bytes),
        ("MEMORY USAGE nosuch", r"$-1\r\n"),
        ("MEMORY USAGE foo SAMPLES", r"-ERR syntax error\r\n"),
        ("MEMORY USAGE foo SAMPLES -1", r"-ERR syntax error\r\n"),
        ("MEMORY USAGE foo SAMPLES x", r"-ERR value is not an integer or out of range\r\n"),
        ("MEMORY USAGE foo FOO 1", r"-ERR syntax error\r\n"),
        ("MEMORY USAGE foo SAMPLES 1 x", r"-ERR syntax error\r\n"),
    ]);
    m.session(m.client).proto = Proto::Resp3;
    m.expect(&[("MEMORY USAGE nosuch", r"_\r\n")]);
}

const FIELDS: [&str; 45] = [
    "peak.allocated",
    "total.allocated",
    "startup.allocated",
    "replication.backlog",
    "replica.fullsync.buffer",
    "clients.slaves",
    "clients.normal",
    "cluster.links",
    "aof.buffer",
    "lua.caches",
    "functions.caches",
    "script.VMs",
    "db.0",
    "overhead.db.hashtable.lut",
    "overhead.db.hashtable.rehashing",
    "overhead.total",
    "db.dict.rehashing.count",
    "keys.count",
    "keys.bytes-per-key",
    "dataset.bytes",
    "dataset.percentage",
    "peak.percentage",
    "allocator.allocated",
    "allocator.active",
    "allocator.resident",
    "allocator.muzzy",
    "allocator-fragmentation.ratio",
    "allocator-fragmentation.bytes",
    "allocator-rss.ratio",
    "allocator-rss.bytes",
    "rss-overhead.ratio",
    "rss-overhead.bytes",
    "fragmentation",
    "fragmentation.bytes",
    // Ours.
    "clients.pubsub",
    "pubsub.subscriptions",
    "watched.keys",
    "awaited.keys",
    "tracking",
    "hash.templates",
    "live.queries",
    "messages",
    "snapshot.buffer",
    "timers",
    "command.stats",
];

#[test]
fn stats_have_redis_s_fields_in_its_order() {
    let mut m = Memory::new();
    m.run("SET k v");
    let reply = m.run("MEMORY STATS");
    assert!(reply.starts_with(r"*90\r\n$14\r\npeak.allocated\r\n:"), "{reply}");
    let mut rest = reply.as_str();
    for name in FIELDS {
        let field = format!(r"${}\r\n{name}\r\n", name.len());
        rest = rest.split_once(&field).unwrap_or_else(|| panic!("{name} in its place: {rest}")).1;
    }
    assert!(reply.contains(r"$4\r\ndb.0\r\n*4\r\n$23\r\noverhead.hashtable.main\r\n:"), "{reply}");
    assert!(reply.contains(r"$10\r\nkeys.count\r\n:1\r\n"), "{reply}");
    m.session(m.client).proto = Proto::Resp3;
    let reply = m.run("MEMORY STATS");
    assert!(reply.starts_with(r"%45\r\n"), "{reply}");
    assert!(reply.contains(r"$13\r\nfragmentation\r\n,"), "{reply}");
    assert!(reply.contains(r"$4\r\ndb.0\r\n%2\r\n"), "{reply}");
}

#[test]
fn the_allocator_reports_and_purges() {
    let mut m = Memory::new();
    m.expect(&[("MEMORY PURGE", r"+OK\r\n")]);
    assert!(m.run("MEMORY MALLOC-STATS").contains("jemalloc statistics"));
    assert!(m.run("MEMORY DOCTOR").contains("Hi Sam, this instance is empty"), "test servers are small");
    m.session(m.client).proto = Proto::Resp3;
    assert!(m.run("MEMORY DOCTOR").starts_with(r"=272\r\ntxt:Hi Sam"));
}

#[test]
fn help_and_errors_are_redis_s() {
    Memory::new().expect(&[
        (
            "MEMORY HELP",
            r"*14\r\n+MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n+DOCTOR\r\n+    Return memory problems reports.\r\n+MALLOC-STATS\r\n+    Return internal statistics report from the memory allocator.\r\n+PURGE\r\n+    Attempt to purge dirty pages for reclamation by the allocator.\r\n+STATS\r\n+    Return information about the memory usage of the server.\r\n+USAGE <key> [SAMPLES <count>]\r\n+    Return memory in bytes used by <key> and its value. Nested values are\r\n+    sampled up to <count> times (default: 5, 0 means sample all).\r\n+HELP\r\n+    Print this help.\r\n",
        ),
        ("MEMORY", r"-ERR wrong number of arguments for \'memory\' command\r\n"),
        ("MEMORY FOO", r"-ERR unknown subcommand \'FOO\'. Try MEMORY HELP.\r\n"),
        ("MEMORY HELP x", r"-ERR wrong number of arguments for \'memory|help\' command\r\n"),
    ]);
}
