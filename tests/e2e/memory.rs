//! What the process has of the machine's memory while values come and go.

use super::process::{DEADLINE, Process};
use super::resp::{Client, Value, encode};
use super::server::wait_until;

const MIB: u64 = 1 << 20;

/// A number of INFO memory.
fn field(client: &mut Client, name: &str) -> u64 {
    let info = client.call(&["INFO", "memory"]).expect("a reply").value.text();
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {info}")).trim().parse().expect("a number")
}

fn used(client: &mut Client) -> u64 {
    field(client, "used_memory")
}

/// Runs commands in pipelines, and gives the replies to `see`.
fn pipeline(client: &mut Client, commands: &[Vec<String>], mut see: impl FnMut(Value)) {
    for part in commands.chunks(200) {
        let bytes: Vec<u8> =
            part.iter().flat_map(|words| encode(&words.iter().map(String::as_str).collect::<Vec<_>>())).collect();
        client.send_raw(&bytes).expect("the server reads");
        for words in part {
            let value = client.read_reply().expect("a reply").value;
            assert!(!matches!(value, Value::Error(_)), "{words:?}: {value:?}");
            see(value);
        }
    }
}

/// A command: what stands before the elements, and the elements.
fn command(head: &[&str], elements: impl Iterator<Item = String>) -> Vec<String> {
    head.iter().map(ToString::to_string).chain(elements).collect()
}

/// The commands that make one key.
type Make = fn(&str) -> Vec<Vec<String>>;

/// A form that values take: its name, how many keys, what makes one, and the encoding that OBJECT tells.
const FORMS: &[(&str, usize, Make, &str)] = &[
    ("an integer", 20_000, |key| vec![command(&["SET", key, "1234567"], std::iter::empty())], "int"),
    ("a short string", 20_000, |key| vec![command(&["SET", key], ["x".repeat(20)].into_iter())], "embstr"),
    (
        "a string with a TTL",
        10_000,
        |key| vec![command(&["SET", key, &"x".repeat(100), "EX", "86400"], std::iter::empty())],
        "raw",
    ),
    ("a string of 300 bytes", 8000, |key| vec![command(&["SET", key], ["x".repeat(300)].into_iter())], "raw"),
    ("a string of 3 KB", 1000, |key| vec![command(&["SET", key], ["x".repeat(3000)].into_iter())], "raw"),
    ("a string of 70 KB", 40, |key| vec![command(&["SET", key], ["x".repeat(70_000)].into_iter())], "raw"),
    (
        "a string that has grown",
        2000,
        |key| (0..20).map(|_| command(&["APPEND", key], ["x".repeat(90)].into_iter())).collect(),
        "raw",
    ),
    ("a list of 8", 6000, |key| vec![command(&["RPUSH", key], (0..8).map(|i| format!("element {i}")))], "listpack"),
    (
        "a list of 5,000",
        20,
        |key| vec![command(&["RPUSH", key], (0..5000).map(|i| format!("element number {i}")))],
        "quicklist",
    ),
    (
        "a list of large elements",
        4,
        |key| vec![command(&["RPUSH", key], (0..20).map(|i| "x".repeat(20_000 + 1000 * i)))],
        "quicklist",
    ),
    ("a set of 50 integers", 6000, |key| vec![command(&["SADD", key], (0..50).map(|i| (i * 7).to_string()))], "intset"),
    ("a set of 20", 4000, |key| vec![command(&["SADD", key], (0..20).map(|i| format!("member {i}")))], "listpack"),
    ("a set of 200", 200, |key| vec![command(&["SADD", key], (0..200).map(|i| format!("member {i}")))], "hashtable"),
    (
        "a set of 20,000",
        3,
        |key| {
            vec![command(
                &["SADD", key],
                (0..20_000).map(|i| format!("member {}", "x".repeat(i % 50)) + &i.to_string()),
            )]
        },
        "hashtable",
    ),
    ("a hash of 8", 6000, |key| vec![command(&["HSET", key], (0..16).map(|i| format!("field {i}")))], "listpack"),
    (
        "a hash of 8 with TTLs",
        4000,
        |key| {
            let fields = || (0..8).map(|i| format!("field {i}"));
            let set = command(&["HSET", key], fields().flat_map(|field| [field, String::from("value")]));
            vec![set, command(&["HEXPIRE", key, "86400", "FIELDS", "8"], fields())]
        },
        "listpackex",
    ),
    (
        "a hash of 200 long values",
        100,
        |key| vec![command(&["HSET", key], (0..200).flat_map(|i| [format!("field {i}"), "x".repeat(100)]))],
        "hashtable",
    ),
    (
        "a hash of 20,000",
        3,
        |key| vec![command(&["HSET", key], (0..20_000).flat_map(|i| [format!("field {i}"), "x".repeat(i % 90)]))],
        "hashtable",
    ),
    (
        "a hash of 5,000 with TTLs",
        6,
        |key| {
            let fields = || (0..5000).map(|i| format!("field {i}"));
            let set = command(&["HSET", key], fields().flat_map(|field| [field, String::from("value")]));
            vec![set, command(&["HEXPIRE", key, "86400", "FIELDS", "5000"], fields())]
        },
        "hashtable",
    ),
    (
        "a sorted set of 10",
        6000,
        |key| vec![command(&["ZADD", key], (0..10).flat_map(|i| [i.to_string(), format!("member {i}")]))],
        "listpack",
    ),
    (
        "a sorted set of 200",
        200,
        |key| vec![command(&["ZADD", key], (0..200).flat_map(|i| [i.to_string(), format!("member {i}")]))],
        "skiplist",
    ),
    (
        "a sorted set of 20,000",
        3,
        |key| {
            let scored = |i: usize| [(i * 7919 % 20_011).to_string(), format!("{}{i}", "m".repeat(i % 40))];
            vec![command(&["ZADD", key], (0..20_000).flat_map(scored))]
        },
        "skiplist",
    ),
    (
        "a stream of 5",
        4000,
        |key| {
            (1..6)
                .map(|i| command(&["XADD", key, &format!("{i}-1"), "field", "some value"], std::iter::empty()))
                .collect()
        },
        "stream",
    ),
    (
        "a stream of 3,000",
        4,
        |key| {
            (1..3001)
                .map(|i| command(&["XADD", key, &format!("{i}-1"), "field", "some value"], std::iter::empty()))
                .collect()
        },
        "stream",
    ),
    (
        "a stream whose entries are pending",
        4,
        |key| {
            let add = |i| command(&["XADD", key, &format!("{i}-1"), "f", "v"], std::iter::empty());
            let mut commands: Vec<_> = (1..2001).map(add).collect();
            commands.push(command(&["XGROUP", "CREATE", key, "group", "0"], std::iter::empty()));
            let read = |who: String| {
                command(
                    &["XREADGROUP", "GROUP", "group", &who, "COUNT", "100", "STREAMS", key, ">"],
                    std::iter::empty(),
                )
            };
            commands.extend((0..20).map(|i| read(format!("consumer {i}"))));
            commands
        },
        "stream",
    ),
    ("a sparse HyperLogLog", 4000, |key| vec![command(&["PFADD", key], (0..20).map(|i| i.to_string()))], "raw"),
    ("a dense HyperLogLog", 100, |key| vec![command(&["PFADD", key], (0..5000).map(|i| i.to_string()))], "raw"),
];

#[test]
fn memory_usage_is_the_growth_that_keys_cause() {
    let process = Process::serving(&[]);
    let mut client = process.connect();
    let mut wrong = Vec::new();
    for (name, count, make, encoding) in FORMS {
        // The database's own tables and timers are there, however few keys there are.
        let first = command(&["SET", "first", "v", "EX", "86400"], std::iter::empty());
        pipeline(&mut client, &[command(&["FLUSHALL", "SYNC"], std::iter::empty()), first], |_| ());
        assert!(wait_until(DEADLINE, || field(&mut client, "lazyfree_pending_objects") == 0));
        let keys: Vec<String> = (0..*count).map(|i| format!("key:{i:06}")).collect();
        let before = used(&mut client);
        for key in &keys {
            pipeline(&mut client, &make(key), |_| ());
        }
        // What long lines leave behind is freed by another thread.
        assert!(wait_until(DEADLINE, || field(&mut client, "lazyfree_pending_objects") == 0));
        let grown = used(&mut client) - before;
        assert_eq!(client.call(&["OBJECT", "ENCODING", &keys[0]]).expect("a reply").value.text(), *encoding, "{name}");
        for samples in ["5", "0"] {
            let ask = |key: &String| command(&["MEMORY", "USAGE", key, "SAMPLES", samples], std::iter::empty());
            let mut told = 0;
            pipeline(&mut client, &keys.iter().map(ask).collect::<Vec<_>>(), |value| {
                told += value.integer().expect("the key is there") as u64;
            });
            if told.abs_diff(grown) * 10 > grown {
                wrong.push(format!("{name}, samples {samples}: {told} of {grown}, {:.2}", told as f64 / grown as f64));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "MEMORY USAGE of all keys together beside the growth of used_memory:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_allocator_has_the_options_that_the_program_was_built_with() {
    let process = Process::serving(&[]);
    let report = process.connect().call(&["MEMORY", "MALLOC-STATS"]).expect("a reply").value.text();
    for option in [
        "opt.lg_extent_max_active_fit: 20",
        "opt.narenas: 1",
        "opt.dirty_decay_ms: -1",
        "opt.muzzy_decay_ms: 0",
        // The limit between `Arena::Main` and `Arena::Huge`.
        "opt.oversize_threshold: 8388608",
    ] {
        assert!(report.contains(option), "no '{option}' in:\n{report}");
    }
}

#[test]
fn resident_memory_stays_near_used_while_values_of_many_pages_come_and_go() {
    let process = Process::serving(&[]);
    let mut client = process.connect();
    // Sizes from 16 to 64 KB, the same in every run.
    let (mut state, text) = (1_u64, "x".repeat(64_000));
    let mut size = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        16_000 + (state >> 33) as usize % 48_000
    };
    for round in 0..8 {
        for key in 0..1600 {
            client.send_raw(&encode(&["SET", &format!("{round}:{key}"), &text[..size()]])).expect("the server reads");
            assert_eq!(client.read_reply().expect("a reply").value.text(), "OK");
        }
        let (resident, used) = (process.resident_bytes(), used(&mut client));
        assert!(resident * 10 <= used * 13 + 32 * MIB * 10, "round {round}: {resident} resident of {used} used");
        // In another order than they came in, so that what is freed does not lie together.
        for key in (0..1600).map(|at| at * 7 % 1600) {
            client.call(&["DEL", &format!("{round}:{key}")]).expect("a reply");
        }
    }
}

#[test]
fn the_pages_of_a_huge_value_go_back_when_it_is_deleted() {
    let process = Process::serving(&[]);
    let mut client = process.connect();
    for round in 0..3 {
        client.call(&["SETRANGE", "huge", &(200 * MIB).to_string(), "x"]).expect("a reply");
        assert!(process.resident_bytes() > 200 * MIB);
        client.call(&["DEL", "huge"]).expect("a reply");
        let gone = wait_until(DEADLINE, || process.resident_bytes() < 50 * MIB);
        assert!(gone, "round {round}: {} resident", process.resident_bytes());
    }
}

#[test]
fn memory_purge_returns_what_ordinary_values_left() {
    let process = Process::serving(&[]);
    let mut client = process.connect();
    let value = "x".repeat(10_000);
    for key in 0..3000 {
        client.call(&["SET", &key.to_string(), &value]).expect("a reply");
    }
    let full = process.resident_bytes();
    client.call(&["FLUSHALL"]).expect("a reply");
    assert_eq!(client.call(&["MEMORY", "PURGE"]).expect("a reply").value.text(), "OK");
    assert!(
        wait_until(DEADLINE, || process.resident_bytes() + 20 * MIB < full),
        "{} of {full}",
        process.resident_bytes()
    );
}

/// Values of all types, of which every second one goes: what is left fills half of its pages, until it is moved together.
#[test]
fn active_defragmentation_returns_the_pages_of_what_was_deleted() {
    let process = Process::serving(&["--active-defrag-ignore-bytes", "4mb", "--active-defrag-cycle-max", "75"]);
    let mut client = process.connect();
    let forms: [Make; 6] = [
        |key| vec![command(&["SET", key], ["x".repeat(150)].into_iter())],
        |key| vec![command(&["SET", key], ["y".repeat(3000)].into_iter())],
        |key| vec![command(&["HSET", key], (0..8).map(|i| format!("field {i}")))],
        |key| vec![command(&["RPUSH", key], (0..300).map(|i| format!("element {i} {}", "x".repeat(50))))],
        |key| vec![command(&["SADD", key], (0..300).map(|i| format!("member {i} of {key}")))],
        |key| vec![command(&["ZADD", key], (0..300).flat_map(|i| [i.to_string(), format!("member {i} of {key}")]))],
    ];
    for (form, make) in forms.iter().enumerate() {
        let count = if form < 3 { 8000 } else { 600 };
        for n in 0..count {
            pipeline(&mut client, &make(&format!("{form}:{n}")), |_| ());
        }
        // Keys that lie beside each other in memory, and members beside each other.
        let odd = (0..count).filter(|n| n % 2 == 1).map(|n| format!("{form}:{n}"));
        let delete: Vec<_> = odd.map(|key| command(&["DEL", &key], std::iter::empty())).collect();
        pipeline(&mut client, &delete, |_| ());
    }
    let digest = client.call(&["DEBUG", "DIGEST"]).expect("a reply").value;
    let fragmented = field(&mut client, "allocator_frag_bytes");
    assert!(fragmented > 12 * MIB, "only {fragmented} bytes are free between values");
    client.call(&["CONFIG", "SET", "activedefrag", "yes"]).expect("a reply");
    let mut left = fragmented;
    let is_done = wait_until(DEADLINE, || {
        left = field(&mut client, "allocator_frag_bytes");
        left * 3 < fragmented
    });
    assert!(is_done, "{left} of {fragmented} bytes are still free between values");
    assert_eq!(client.call(&["DEBUG", "DIGEST"]).expect("a reply").value, digest);
    let stats = client.call(&["INFO", "stats"]).expect("a reply").value.text();
    for name in ["active_defrag_hits", "active_defrag_misses", "active_defrag_key_hits", "active_defrag_key_misses"] {
        assert!(!stats.contains(&format!("{name}:0\r")), "{stats}");
    }
}

/// A figure of MEMORY STATS.
fn stat(client: &mut Client, name: &str) -> u64 {
    let stats = client.call(&["MEMORY", "STATS"]).expect("a reply").value;
    stats.field(name).and_then(Value::integer).unwrap_or_else(|| panic!("no {name} in {stats:?}")) as u64
}

/// What is not keys and values.
fn parts(client: &mut Client) -> u64 {
    stat(client, "overhead.total") - stat(client, "overhead.db.hashtable.lut")
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(String::from).collect()
}

/// The name of the thing number `k` of client `i`: every other one is what all clients have.
fn shared_by_half(kind: &str, i: usize, k: usize) -> String {
    if k.is_multiple_of(2) { format!("{kind}:of:all:{k}") } else { format!("{kind}:of:one:{i}:{k}") }
}

/// A part of the server: its field of INFO memory, how many clients fill it, and what each of these sends.
type Fill = (&'static str, usize, fn(usize) -> Vec<Vec<String>>);

const FILLS: &[Fill] = &[
    ("mem_clients_normal", 300, |i| vec![words(&format!("CLIENT SETNAME a-client-with-a-name-{i}"))]),
    ("mem_clients_normal", 40, |i| {
        let queued = (0..200).map(|k| words(&format!("SET key:{i}:{k} some-value-that-waits-for-exec")));
        std::iter::once(words("MULTI")).chain(queued).collect()
    }),
    ("mem_watched_keys", 40, |i| {
        let name = |k: usize| shared_by_half("watched", i, k);
        (0..200).map(|k| command(&["WATCH"], [name(k)].into_iter())).collect()
    }),
    ("mem_pubsub_subscriptions", 40, |i| {
        let channel = |k: usize| shared_by_half("channel", i, k);
        let mut all: Vec<_> = (0..100).map(|k| command(&["SUBSCRIBE"], [channel(k)].into_iter())).collect();
        all.extend((0..100).map(|k| command(&["PSUBSCRIBE"], [format!("a*{}?[0-9]{k}", i % 5)].into_iter())));
        all
    }),
    ("mem_awaited_keys", 40, |i| {
        vec![command(&["BLPOP"], (0..200).map(|k| format!("awaited:{}:{k}", i % 20)).chain([String::from("0")]))]
    }),
    ("mem_tracking", 40, |i| {
        let name = |k: usize| shared_by_half("read", i, k);
        let mut all = vec![words("HELLO 3"), words("CLIENT TRACKING on")];
        all.extend((0..400).map(|k| command(&["GET"], [name(k)].into_iter())));
        all
    }),
    ("mem_live_queries", 40, |i| {
        let name = |k: usize| shared_by_half("live", i, k);
        let mut all: Vec<_> = (0..400).map(|k| command(&["GET.WATCH"], [name(k)].into_iter())).collect();
        all.insert(0, words("HELLO 3"));
        all
    }),
    ("used_memory_scripts", 1, |_| {
        let script =
            |k: usize| command(&["SCRIPT", "LOAD"], [format!("return {k} .. '{}'", "x".repeat(900))].into_iter());
        (0..1000).map(script).collect()
    }),
];

#[test]
fn the_parts_of_memory_add_up_to_what_is_allocated_and_go_when_all_leave() {
    /// Bytes of tables and buffers that are kept for the next clients and keys, and of what is noted of commands.
    const KEPT_BYTES_MAX: u64 = 1 << 20;
    /// Bytes that the allocator keeps for its threads' next requests, and counts as allocated.
    const CACHED_BYTES_MAX: u64 = 1 << 20;
    /// Bytes that the client's own buffers may take in between.
    const SLACK_BYTES: u64 = 16 * 1024;
    let process = Process::serving(&[]);
    let mut client = process.connect();
    let mut wrong = Vec::new();
    pipeline(&mut client, &[words("CONFIG RESETSTAT")], |_| ());
    let began = used(&mut client);
    let mut others = Vec::new();
    for (name, count, lines) in FILLS {
        let before = [used(&mut client), parts(&mut client), field(&mut client, name)];
        for i in 0..*count {
            let mut other = process.connect();
            let lines = lines(i);
            for line in &lines {
                other
                    .send_raw(&encode(&line.iter().map(String::as_str).collect::<Vec<_>>()))
                    .expect("the server reads");
            }
            // A client that waits has no answer, and one that watches several.
            if !["BLPOP", "GET.WATCH"].contains(&&*lines[lines.len() - 1][0]) {
                lines
                    .iter()
                    .for_each(|line| _ = other.read_reply().unwrap_or_else(|error| panic!("{line:?}: {error}")));
            }
            others.push(other);
        }
        let settled = || client_is_through(&process, name, *count);
        assert!(wait_until(DEADLINE, settled), "{name} is full");
        let after = [used(&mut client), parts(&mut client), field(&mut client, name)];
        let [grown, told, own] = [0, 1, 2].map(|at| after[at] - before[at]);
        if told.abs_diff(grown) > grown / 10 + SLACK_BYTES || own * 10 < grown * 3 {
            wrong.push(format!("{name}: {own} in {told} of {grown}"));
        }
    }
    for (form, (_, count, make, _)) in FORMS.iter().enumerate() {
        for i in 0..count.div_ceil(4) {
            pipeline(&mut client, &make(&format!("form:{form}:{i}")), |_| ());
        }
    }
    let mut keys = Vec::new();
    pipeline(&mut client, &[words("KEYS *")], |value| {
        keys.extend(value.items().expect("a list").iter().map(Value::text));
    });
    // What long commands leave behind is freed by another thread.
    assert!(wait_until(DEADLINE, || field(&mut client, "lazyfree_pending_objects") == 0));
    let mut data = 0;
    let ask: Vec<_> =
        keys.iter().map(|key| command(&["MEMORY", "USAGE", key, "SAMPLES", "0"], std::iter::empty())).collect();
    pipeline(&mut client, &ask, |value| data += value.integer().expect("the key is there") as u64);
    let (sum, used_now) = (parts(&mut client) + data, used(&mut client));
    if sum.abs_diff(used_now) * 50 > used_now {
        wrong.push(format!("all together: {sum} of {used_now}"));
    }
    let counted = field(&mut client, "allocator_allocated");
    if counted.abs_diff(used_now) > counted / 50 + CACHED_BYTES_MAX {
        wrong.push(format!("used_memory: {used_now}, where the allocator counts {counted}"));
    }
    drop(others);
    let freed = |client: &mut Client| field(client, "lazyfreed_objects");
    let freed_before = freed(&mut client);
    pipeline(&mut client, &[words("FLUSHALL")], |_| ());
    let is_freed = || freed(&mut client) >= freed_before + keys.len() as u64;
    assert!(wait_until(DEADLINE, is_freed), "the keys were freed in the background");
    for line in ["SCRIPT FLUSH SYNC", "FUNCTION FLUSH SYNC", "CONFIG RESETSTAT"] {
        pipeline(&mut client, &[words(line)], |_| ());
    }
    assert!(wait_until(DEADLINE, || field(&mut process.connect(), "lazyfree_pending_objects") == 0));
    let mut left = 0;
    let is_gone = || {
        left = used(&mut client).saturating_sub(began);
        left <= KEPT_BYTES_MAX
    };
    if !wait_until(DEADLINE, is_gone) {
        let parts = client.call(&["MEMORY", "STATS"]).expect("a reply").value;
        wrong.push(format!("{left} bytes are left: {parts:?}"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether the server has read all that the clients of a part have sent.
fn client_is_through(process: &Process, name: &str, count: usize) -> bool {
    let mut client = process.connect();
    let info = client.call(&["INFO", "clients"]).expect("a reply").value.text();
    let number = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|number| number.trim().parse::<usize>().ok()).expect("the field is there")
    };
    match name {
        "mem_awaited_keys" => number("blocked_clients") == count,
        "mem_live_queries" => number("live_query_watches") == 400 * count,
        _ => true,
    }
}

/// The figures of CLIENT LIST for all clients of a name, added up.
fn listed(client: &mut Client, name: &str, figure: &str) -> u64 {
    let list = client.call(&["CLIENT", "LIST"]).expect("a reply").value.text();
    let those = list.lines().filter(|line| line.split(' ').any(|word| word == format!("name={name}")));
    let of =
        |line: &str| line.split(' ').find_map(|word| word.strip_prefix(figure)?.strip_prefix('=')?.parse::<u64>().ok());
    those.map(|line| of(line).unwrap_or_else(|| panic!("no {figure} in {line}"))).sum()
}

#[test]
fn what_client_list_says_of_transactions_and_partial_commands_is_what_they_take() {
    let process = Process::serving(&[]);
    let mut client = process.connect();
    let make = |name: &str| {
        let mut other = process.connect();
        let queued = (0..100).map(|k| words(&format!("SET key:{k} {}", "x".repeat(3 * k))));
        let lines: Vec<_> =
            [words(&format!("CLIENT SETNAME {name}")), words("MULTI")].into_iter().chain(queued).collect();
        pipeline(&mut other, &lines, |_| ());
        other
            .send_raw(format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$90000\r\n{}", "x".repeat(30_000)).as_bytes())
            .expect("room");
        other
    };
    // The first one has the server make what it keeps for all.
    let _first = make("first");
    assert!(wait_until(DEADLINE, || listed(&mut client, "first", "qbuf") >= 30_000));
    let before = used(&mut client);
    let _others: Vec<_> = (0..50).map(|_| make("other")).collect();
    assert!(wait_until(DEADLINE, || listed(&mut client, "other", "qbuf") >= 50 * 30_000));
    let (grown, told) = (used(&mut client) - before, listed(&mut client, "other", "tot-mem"));
    assert!(told.abs_diff(grown) * 10 < grown, "{told} of {grown}");
    let parts: u64 =
        ["qbuf", "qbuf-free", "multi-mem", "argv-mem", "omem"].map(|of| listed(&mut client, "other", of)).iter().sum();
    assert!(parts <= told && parts * 10 > told * 9, "{parts} of {told}");
}
