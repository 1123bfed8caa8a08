//! INFO.

use std::collections::BTreeMap;

use aleadb::config::Config;
use aleadb::resp::reply::Proto;
use aleadb::server::REDIS_VERSION;

use crate::memory::{Memory, START_MS};

/// The text of an INFO, out of its bulk string.
fn text(m: &mut Memory, line: &str) -> String {
    let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    let reply = String::from_utf8(m.raw(&args)).expect("INFO is text");
    let (head, rest) = reply.split_once("\r\n").expect("a header");
    let length: usize = head[1..].parse().expect("a length");
    assert_eq!(rest.len(), length + 2, "{reply}");
    rest[..length].to_owned()
}

fn fields(m: &mut Memory, line: &str) -> BTreeMap<String, String> {
    let text = text(m, line);
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.split_once(':').expect("name:value");
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

fn headings(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("# ")).collect()
}

const DEFAULT: [&str; 14] = [
    "Server",
    "Clients",
    "Memory",
    "Persistence",
    "Threads",
    "Stats",
    "Replication",
    "CPU",
    "Hotkeys",
    "Modules",
    "Errorstats",
    "Cluster",
    "Keyspace",
    "Keysizes",
];

#[test]
fn sections_are_chosen_as_in_redis() {
    let mut m = Memory::new();
    assert_eq!(headings(&text(&mut m, "INFO")), DEFAULT);
    assert_eq!(headings(&text(&mut m, "INFO default")), DEFAULT);
    let mut all = DEFAULT.to_vec();
    all.insert(10, "Commandstats");
    all.insert(12, "Latencystats");
    all.extend(["Expiry", "Loop", "Hotspots"]);
    assert_eq!(headings(&text(&mut m, "INFO all")), all);
    assert_eq!(headings(&text(&mut m, "INFO EVERYTHING cpu")), all);
    // Whatever the order asked for, each once, in Redis's order.
    assert_eq!(headings(&text(&mut m, "INFO keyspace CPU cpu nosuch")), ["CPU", "Keyspace"]);
    assert_eq!(headings(&text(&mut m, "INFO default commandstats")).len(), 15);
}

#[test]
fn small_sections_match_to_the_byte() {
    let mut m = Memory::new();
    m.expect(&[
        ("INFO nosuch", r"$0\r\n\r\n"),
        ("INFO cluster Cluster", r"$30\r\n# Cluster\r\ncluster_enabled:0\r\n\r\n"),
        ("INFO modules", r"$11\r\n# Modules\r\n\r\n"),
        ("INFO keyspace ERRORSTATS", r"$28\r\n# Errorstats\r\n\r\n# Keyspace\r\n\r\n"),
        ("NOSUCH", r"-ERR unknown command \'NOSUCH\'\r\n"),
        ("INFO errorstats", r"$37\r\n# Errorstats\r\nerrorstat_ERR:count=1\r\n\r\n"),
    ]);
    m.session(m.client).proto = Proto::Resp3;
    m.expect(&[
        ("INFO nosuch", r"=4\r\ntxt:\r\n"),
        ("INFO cluster", r"=34\r\ntxt:# Cluster\r\ncluster_enabled:0\r\n\r\n"),
    ]);
}

#[test]
fn server_facts_are_those_of_the_process() {
    let mut m = Memory::new();
    m.advance_ms(86_400_000 + 1_500);
    let server = fields(&mut m, "INFO server");
    for (name, value) in [
        ("redis_version", REDIS_VERSION),
        ("aleadb_version", env!("CARGO_PKG_VERSION")),
        ("redis_mode", "standalone"),
        ("arch_bits", "64"),
        ("tcp_port", "7379"),
        ("hz", "10"),
        ("uptime_in_seconds", "86401"),
        ("uptime_in_days", "1"),
        ("config_file", ""),
        ("listener0", "name=tcp,bind=127.0.0.1,bind=-::1,port=7379"),
    ] {
        assert_eq!(server[name], value, "{name}");
    }
    assert_eq!(server["process_id"], std::process::id().to_string());
    assert_eq!(server["server_time_usec"], ((START_MS + 86_401_500) * 1000).to_string());
    assert_eq!(server["run_id"], m.server.process.identity.run_id);
}

/// What INFO keysizes says of the first database: the counts behind each name.
fn key_sizes(m: &mut Memory) -> Vec<String> {
    let text = text(m, "INFO keysizes");
    text.lines().filter_map(|line| line.strip_prefix("db0_distrib_")).map(str::to_owned).collect()
}

#[test]
fn key_sizes_are_exact_whatever_changes_them() {
    let mut m = Memory::new();
    let steps: &[(&str, &[&str])] = &[
        ("SET s 123456", &["strings_sizes:4=1"]),
        ("INCRBY s 9999999", &["strings_sizes:8=1"]),
        ("APPEND s xxxxxxxxx", &["strings_sizes:16=1"]),
        ("SETRANGE s 5000 x", &["strings_sizes:4K=1"]),
        ("APPEND s x", &["strings_sizes:4K=1"]),
        ("EXPIRE s 100", &["strings_sizes:4K=1"]),
        ("RENAME s t", &["strings_sizes:4K=1"]),
        ("COPY t s", &["strings_sizes:4K=2"]),
        ("SET s -1 KEEPTTL", &["strings_sizes:2=1,4K=1"]),
        ("PERSIST s", &["strings_sizes:2=1,4K=1"]),
        ("SET s \"\"", &["strings_sizes:0=1,4K=1"]),
        ("SETBIT s 7 1", &["strings_sizes:1=1,4K=1"]),
        ("MOVE t 1", &["strings_sizes:1=1"]),
        ("RPUSH l a b c", &["strings_sizes:1=1", "lists_items:2=1"]),
        ("LPUSH l d", &["strings_sizes:1=1", "lists_items:4=1"]),
        ("EXPIRE l 100", &["strings_sizes:1=1", "lists_items:4=1"]),
        ("LPOP l 2", &["strings_sizes:1=1", "lists_items:2=1"]),
        ("SET l x", &["strings_sizes:1=2"]),
        ("SADD s2 1 2 3 4 5 6 7 8", &["strings_sizes:1=2", "sets_items:8=1"]),
        ("SPOP s2 5", &["strings_sizes:1=2", "sets_items:2=1"]),
        ("DEL s l s2", &[]),
        ("HSET h a 1 b 2 c 3 d 4", &["hashes_items:4=1"]),
        ("HPEXPIRE h 10 FIELDS 3 a b c", &["hashes_items:4=1"]),
        ("ZADD z 1 a 2 b", &["zsets_items:2=1", "hashes_items:4=1"]),
        ("ZUNIONSTORE z 2 z h2", &["zsets_items:2=1", "hashes_items:4=1"]),
        ("XADD x 1 a b", &["zsets_items:2=1", "hashes_items:4=1"]),
        ("ARSET a 5 x y z", &["zsets_items:2=1", "hashes_items:4=1", "arrays_items:2=1"]),
        ("SWAPDB 0 1", &["strings_sizes:4K=1"]),
        ("SWAPDB 0 1", &["zsets_items:2=1", "hashes_items:4=1", "arrays_items:2=1"]),
    ];
    for (line, expected) in steps {
        m.run(line);
        assert_eq!(key_sizes(&mut m), *expected, "{line}");
    }
    m.advance_ms(11);
    assert_eq!(key_sizes(&mut m), ["zsets_items:2=1", "hashes_items:1=1", "arrays_items:2=1"], "fields have expired");
    m.run("SADDEX s PX 10 MEMBERS 4 a b c d");
    m.advance_ms(11);
    m.run("PEXPIRE z 5");
    m.advance_ms(6);
    assert_eq!(key_sizes(&mut m), ["hashes_items:1=1", "arrays_items:2=1"], "keys have expired");
    m.run("FLUSHALL");
    assert_eq!(text(&mut m, "INFO keysizes"), "# Keysizes\r\n");
    // However many they are.
    (0..5000).for_each(|i| _ = m.run(&format!("SET k{i} xx")));
    m.run("SET k0 xxxxxx");
    assert_eq!(key_sizes(&mut m), ["strings_sizes:2=4999,4=1"]);
    m.server.dbs[0].check_sizes();
}

#[test]
fn bytes_of_collections_are_counted_if_that_is_asked_for() {
    let mut m = Memory::with_config(Config { key_memory_histograms: true, ..Config::default() });
    m.run("SET s x");
    m.run("RPUSH l a b c");
    let small = key_sizes(&mut m);
    assert_eq!(small[..2], ["strings_sizes:1=1", "lists_items:2=1"]);
    assert!(small.len() == 3 && small[2].starts_with("lists_sizes:") && small[2].ends_with("=1"), "{small:?}");
    m.run(&format!("RPUSH l {}", "x".repeat(5000)));
    assert!(key_sizes(&mut m)[2].starts_with("lists_sizes:4K=1"), "{:?}", key_sizes(&mut m));
    m.run("EXPIRE l 100");
    m.run("COPY l k DB 3");
    m.run("HSET h a 1");
    m.run("HPEXPIRE h 10 FIELDS 1 a");
    m.advance_ms(11);
    m.run("SWAPDB 0 3");
    assert_eq!(key_sizes(&mut m), ["lists_items:4=1", "lists_sizes:4K=1"]);
    m.run("FLUSHDB");
    m.run("LPUSH l a b c");
    assert_eq!(key_sizes(&mut m)[1], small[2], "they are counted as before");
}

#[test]
fn bytes_that_are_counted_from_some_time_on_are_shown_once_all_are() {
    let fill = |m: &mut Memory| {
        for i in 0..30_000 {
            m.run(&format!("RPUSH l{i} a b c"));
        }
        m.run("SET s x");
        m.run(&format!("RPUSH l7 {}", "x".repeat(5000)));
    };
    let mut from_start = Memory::with_config(Config { key_memory_histograms: true, ..Config::default() });
    fill(&mut from_start);
    let mut m = Memory::new();
    fill(&mut m);
    let has_bytes = |m: &mut Memory| key_sizes(m).iter().any(|line| line.starts_with("lists_sizes:"));
    assert!(!has_bytes(&mut m));
    for round in 0..2 {
        m.run("CONFIG SET key-memory-histograms yes");
        let mut slices = 0;
        while m.server.renewal.is_some() {
            assert!(!has_bytes(&mut m));
            // Keys that come, change and go meanwhile are counted as well.
            m.run(&format!("RPUSH new{slices} {}", "y".repeat(300)));
            m.run(&format!("RPUSH l{} {}", slices * 100, "y".repeat(300)));
            m.run(&format!("DEL l{}", slices * 100 + 1));
            if slices == 1 {
                m.run("SWAPDB 0 1");
                m.run("SWAPDB 0 1");
            }
            from_start.run(&format!("RPUSH new{slices} {}", "y".repeat(300)));
            from_start.run(&format!("RPUSH l{} {}", slices * 100, "y".repeat(300)));
            from_start.run(&format!("DEL l{}", slices * 100 + 1));
            m.advance_ms(1);
            m.turn();
            slices += 1;
        }
        assert!(slices > 2, "{slices} slices");
        assert!(has_bytes(&mut m));
        assert_eq!(key_sizes(&mut m), key_sizes(&mut from_start), "round {round}");
        m.run("CONFIG SET key-memory-histograms no");
        assert!(!has_bytes(&mut m));
        for m in [&mut m, &mut from_start] {
            m.run(&format!("RPUSH l9 {}", "z".repeat(70_000)));
        }
        m.server.dbs[0].check_sizes();
    }
}

#[test]
fn hotspots_show_the_biggest_the_busiest_the_most_watched_keys_and_mass_expiries() {
    let mut m = Memory::new();
    m.run("SET small x");
    m.run("SELECT 2");
    let big = "x".repeat(100_000);
    m.run(&format!("SET \"big\\n\" {big}"));
    (0..50).for_each(|i| _ = m.run(&format!("SET soon{i} x PX 5000")));
    (0..20).for_each(|i| _ = m.run(&format!("SET late{i} x PX 3600000")));
    for client in 0..3 {
        m.client = client;
        m.run("SELECT 2");
        m.run("GET.WATCH soon1");
        if client + 1 < 3 {
            m.connect();
        }
    }
    m.run("GET.WATCH soon2");
    m.server.busy_keys.add(2, b"hot", 3);
    m.server.busy_keys.add(0, b"cool", 1);
    let spots = fields(&mut m, "INFO hotspots");
    assert_eq!(
        (&*spots["busy_key_0"], &*spots["busy_key_1"]),
        (r#"db=2,share=75.00%,key="hot""#, r#"db=0,share=25.00%,key="cool""#)
    );
    // The allocator's class of 100,000 bytes, and the blocks of the key and the value.
    assert!(
        spots["big_key_0"].starts_with("db=2,type=string,bytes=1147")
            && spots["big_key_0"].ends_with(r#",key="big\n""#)
    );
    assert!(spots.contains_key("big_key_7") && !spots.contains_key("big_key_8"));
    assert_eq!(spots["watched_key_0"], r#"db=2,watches=3,key="soon1""#);
    assert_eq!(spots["watched_key_1"], r#"db=2,watches=1,key="soon2""#);
    let crowd = |name: &str| {
        let (ms, keys) = spots[name].split_once(",keys=").expect("two parts");
        (ms.strip_prefix("in_ms=").and_then(|ms| ms.parse::<i64>().ok()).expect("a time"), keys.to_owned())
    };
    let (soon, late) = (crowd("mass_expiry_0"), crowd("mass_expiry_1"));
    assert!((5_000..=6_000).contains(&soon.0) && soon.1 == "50", "{soon:?}");
    assert!((3_600_000..=3_601_000).contains(&late.0), "{late:?}");
}

#[test]
fn keyspace_counts_keys_and_their_time_to_live() {
    let mut m = Memory::new();
    let at = aleadb::store::db::Moment::new(aleadb::base::clock::Clock::now(&*m.clock), true);
    for i in 0..10 {
        m.run(&format!("SET key:{i} v"));
    }
    // Three deadlines: 1 s, 2 s and 6 s, so 3 s on average.
    for (i, seconds) in [1, 2, 6].into_iter().enumerate() {
        m.server.dbs[0].set_deadline(format!("key:{i}").as_bytes(), Some(START_MS + seconds * 1000), at);
    }
    m.expect(&[("INFO keyspace", r"$60\r\n# Keyspace\r\ndb0:keys=10,expires=3,avg_ttl=3000,subexpiry=0\r\n\r\n")]);
    // Without active expiry the due key stays and counts as stale; with it, it leaves.
    m.server.active_expire = false;
    m.advance_ms(1000);
    assert_eq!(fields(&mut m, "INFO stats")["expired_stale_perc"], "33.33");
    m.server.active_expire = true;
    m.advance_ms(0);
    m.expect(&[("INFO keyspace", r"$59\r\n# Keyspace\r\ndb0:keys=9,expires=2,avg_ttl=3000,subexpiry=0\r\n\r\n")]);
    let stats = fields(&mut m, "INFO stats");
    assert_eq!((stats["expired_keys"].as_str(), stats["expired_stale_perc"].as_str()), ("1", "0.00"));
}

#[test]
fn stats_count_what_happened() {
    let mut m = Memory::new();
    for line in ["SET k v", "GET k", "GET k", "GET nosuch", "NOSUCH"] {
        m.run(line);
    }
    let stats = fields(&mut m, "INFO stats");
    for (name, value) in [
        ("total_commands_processed", "4"),
        ("keyspace_hits", "2"),
        ("keyspace_misses", "1"),
        ("total_error_replies", "1"),
        ("evicted_keys", "0"),
        ("turn_us_max", "0"),
    ] {
        assert_eq!(stats[name], value, "{name}");
    }
    assert_eq!(fields(&mut m, "INFO persistence")["rdb_changes_since_last_save"], "1");
    let commands = fields(&mut m, "INFO commandstats");
    assert_eq!(commands["cmdstat_get"], "calls=3,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=0");
    assert!(!commands.contains_key("cmdstat_debug"));
    m.run("COMMAND GETKEYS ping");
    let failed = "calls=1,usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=1";
    assert_eq!(fields(&mut m, "INFO commandstats")["cmdstat_command|getkeys"], failed);
}

#[test]
fn clients_are_counted() {
    let mut m = Memory::new();
    m.connect();
    let clients = fields(&mut m, "INFO clients");
    assert_eq!((clients["connected_clients"].as_str(), clients["maxclients"].as_str()), ("2", "10000"));
    assert_eq!(clients["blocked_clients"], "0");
}

/// Every field of a plain INFO that monitoring tools look up by name.
#[test]
fn fields_that_tools_read_are_there() {
    let mut m = Memory::new();
    let all = fields(&mut m, "INFO all");
    let names = "redis_version os uptime_in_seconds executable connected_clients blocked_clients used_memory \
        used_memory_human used_memory_rss used_memory_peak used_memory_peak_perc used_memory_overhead \
        used_memory_startup used_memory_dataset used_memory_dataset_perc total_system_memory used_memory_lua maxmemory \
        maxmemory_human maxmemory_policy mem_fragmentation_ratio mem_fragmentation_bytes allocator_frag_ratio \
        allocator_rss_ratio mem_allocator lazyfree_pending_objects loading rdb_bgsave_in_progress rdb_last_save_time \
        rdb_last_bgsave_status aof_enabled aof_last_bgrewrite_status aof_last_write_status total_connections_received \
        instantaneous_ops_per_sec instantaneous_input_kbps instantaneous_output_kbps rejected_connections expired_keys \
        pubsub_channels latest_fork_usec total_reads_processed total_writes_processed eventloop_cycles \
        eventloop_duration_sum eventloop_duration_cmd_sum acl_access_denied_auth role connected_slaves master_replid \
        master_repl_offset repl_backlog_active used_cpu_sys used_cpu_user used_cpu_sys_main_thread cluster_enabled \
        io_thread_0";
    for name in names.split_whitespace() {
        assert!(all.contains_key(name), "{name}");
    }
    assert_eq!(all["role"], "master");
    assert_eq!(all["master_replid"].len(), 40);
    assert!(all["mem_allocator"].starts_with("jemalloc-5."), "{}", all["mem_allocator"]);
    let (micros, seconds) = (all["used_cpu_user"].split_once('.').expect("a fraction").1, &all["used_cpu_user"]);
    assert!(micros.len() == 6 && seconds.parse::<f64>().is_ok(), "{seconds}");
}
