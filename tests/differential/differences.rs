//! Every difference from Redis that the tests let pass, each with its reason: what Redis has and is not built, what two
//! servers cannot answer alike, and where a later Redis has mended what the oracles still do. What is not listed must be
//! equal.

use crate::generate::Line;
use crate::pair::Version;

/// How far apart two clocks readings may be, in milliseconds: a pipeline of slow commands on a busy machine.
const APART_MS: i64 = 10_000;

/// In what the replies to a command may differ.
#[derive(Clone, Copy)]
pub enum Rule {
    /// The elements may come in any order.
    Unordered,
    /// Keys with their values may come in any order; in version 2 they are one flat array.
    UnorderedPairs,
    /// Only the structure counts: kinds, lengths, which parts are null.
    Shape,
    /// Positive numbers may be this far apart.
    Near(i64),
    /// A cursor and elements. Compared as a set when the whole collection was asked for, by structure otherwise.
    Scan { pairs: bool },
    /// A set sorted without an order comes in any order.
    Sort,
    /// `embstr` and `raw` are the same.
    TextEncoding,
    /// These names and the values after them are left out.
    Without(&'static [&'static str]),
    /// Lists of lines that begin and end alike.
    Help,
    /// This column of each row is left out.
    WithoutColumn(usize),
}

const RANDOM: &str = "elements are chosen at random";
const HASHED: &str = "hash tables are seeded anew by every process, so their order is its own";
const CLOCK: &str = "the two servers run the line at different moments";

/// Replies that may differ: the commands, the rule, the reason.
pub const RULES: &[(&[&str], Rule, &str)] = &[
    (
        &["keys", "smembers", "sunion", "sinter", "sdiff", "hkeys", "hvals", "pubsub|channels", "pubsub|shardchannels"],
        Rule::Unordered,
        HASHED,
    ),
    (&["hgetall"], Rule::UnorderedPairs, HASHED),
    (&["scan", "sscan"], Rule::Scan { pairs: false }, HASHED),
    (&["hscan", "zscan"], Rule::Scan { pairs: true }, HASHED),
    (&["sort", "sort_ro"], Rule::Sort, HASHED),
    (&["randomkey", "srandmember", "hrandfield", "zrandmember", "spop"], Rule::Shape, RANDOM),
    (&["object|idletime"], Rule::Shape, CLOCK),
    (&["object|refcount"], Rule::Shape, "which small values are shared is a matter of memory, not of data"),
    (
        &["object|encoding"],
        Rule::TextEncoding,
        "Redis 8.2 says embstr when key and value together fit into one small block, so the word depends on the length of the \
         key: a matter of memory, not of data",
    ),
    (
        &["client|help"],
        Rule::Help,
        "the text is our own: it says what the options do here, where keys are not tracked and only one user exists",
    ),
    (&["object|freq"], Rule::Shape, "the counter grows by chance"),
    (&["ttl", "expiretime", "httl", "hexpiretime"], Rule::Near(APART_MS / 1000), CLOCK),
    (&["pttl", "pexpiretime", "hpttl", "hpexpiretime"], Rule::Near(APART_MS), CLOCK),
    (&["xpending"], Rule::WithoutColumn(2), CLOCK),
    (
        &["xinfo|stream", "xinfo|groups", "xinfo|consumers"],
        Rule::Without(&[
            "idle",
            "inactive",
            "seen-time",
            "active-time",
            "pel",
            "pending",
            "radix-tree-keys",
            "radix-tree-nodes",
            "idmp-duration",
            "idmp-maxsize",
            "pids-tracked",
            "iids-tracked",
            "iids-added",
            "iids-duplicates",
            "nacked-count",
        ]),
        "ages depend on the clock and the tree's node count on its build; pending entries carry their delivery time and are \
         compared by XPENDING; Redis 8.2 knows nothing of the ids of IDMP, 8.6 drops those that are too old now and then, and 8.8 \
         tells how many entries were released",
    ),
];

const DIGEST_AS_TEXT: &str = "up to 8.6 the digest counts as an integer, which it is not";
const OPTIONS_OF_8_8: &str = "8.8 brought options";
const OPTIONS_OF_VALKEY: &str = "Valkey brought options that Redis does not have";
const TOKENS_APART: &str = "tokens are arguments of their own there, and belong to what follows them in our notation";
const OPTIONS_OF_8_10: &str = "8.10 brought options";

const JITTER: &str = "JITTER is ours: redis-strict refuses it";

const CANCEL_OF_VALKEY: &str = "Redis has no way to give up a snapshot";

const SHUTDOWN_OF_VALKEY: &str = "Valkey brought SAFE and FAILOVER, which ask for a cluster";

const FORCE: &str = "FORCE ends a script that has changed data";

/// Differences between the rows and documents of our commands and those of Redis: full name, field, reason.
pub const ROWS: &[(&str, &str, &str)] = &[
    ("set", "arguments", DIGEST_AS_TEXT),
    ("delex", "arguments", DIGEST_AS_TEXT),
    ("expire", "arguments", JITTER),
    ("pexpire", "arguments", JITTER),
    ("bitcount", "arguments", OPTIONS_OF_VALKEY),
    ("hsetex", "arguments", OPTIONS_OF_VALKEY),
    ("zscan", "arguments", OPTIONS_OF_VALKEY),
    ("zunion", "arguments", OPTIONS_OF_8_8),
    ("zunion", "history", OPTIONS_OF_8_8),
    ("zinter", "arguments", OPTIONS_OF_8_8),
    ("zinter", "history", OPTIONS_OF_8_8),
    ("zunionstore", "arguments", OPTIONS_OF_8_8),
    ("zunionstore", "history", OPTIONS_OF_8_8),
    ("zinterstore", "arguments", OPTIONS_OF_8_8),
    ("zinterstore", "history", OPTIONS_OF_8_8),
    ("xadd", "arguments", TOKENS_APART),
    ("xcfgset", "arguments", TOKENS_APART),
    ("xread", "arguments", OPTIONS_OF_8_10),
    ("xread", "history", OPTIONS_OF_8_10),
    ("xreadgroup", "arguments", OPTIONS_OF_8_10),
    ("xreadgroup", "history", OPTIONS_OF_8_10),
    ("hotkeys|start", "arguments", "METRICS takes tokens, and a token of our notation takes the names that follow it"),
    ("bgsave", "history", CANCEL_OF_VALKEY),
    ("bgsave", "arguments", CANCEL_OF_VALKEY),
    ("shutdown", "history", SHUTDOWN_OF_VALKEY),
    ("shutdown", "arguments", SHUTDOWN_OF_VALKEY),
    ("unwatch", "arity", "with a fingerprint it ends the watch of a query"),
    ("unwatch", "arguments", "with a fingerprint it ends the watch of a query"),
    ("script|kill", "arity", FORCE),
    ("script|kill", "arguments", FORCE),
];

/// Sections and fields of INFO that are not there, each with its reason.
pub const INFO_NOT_BUILT: &[(&str, &str)] = &[
    ("module", "vector sets are a module to Redis"),
    ("expired_subkeys_active", "not told apart from what is found on access"),
    ("expired_keys_active", "not told apart from what is found on access"),
];

/// Fields of INFO that only our server has, or has more of.
pub const INFO_OF_OURS: &[&str] = &[
    "aleadb_version",
    "turn_us_max",
    // Redis 8.8's.
    "slowlog_commands_count",
    "slowlog_commands_time_ms_sum",
    "slowlog_commands_time_ms_max",
    "active_clients",
    "eventloop_cycles_with_clients_processing",
    "total_client_processing_events",
    "commands_per_parse_batch_sum",
    "commands_per_parse_batch_cnt",
    "commands_per_parse_batch_avg",
    // Redis 8.10's.
    "hash_templates",
    "hash_template_keys",
    "used_memory_hash_templates",
    "backup_in_progress",
    "snapshot_scheduled",
    "snapshot_slice_us_max",
    "snapshot_waiting_bytes_max",
    "snapshot_clients_on_hold",
    "rdb_last_file_bytes",
    "rdb_last_error",
    "mem_clients_pubsub",
    "mem_pubsub_subscriptions",
    "mem_watched_keys",
    "mem_awaited_keys",
    "mem_tracking",
    "mem_live_queries",
    "mem_messages",
    "mem_snapshot_buffer",
    "mem_timers",
    "mem_command_stats",
    "live_query_clients",
    "live_query_watches",
    "live_queries",
    "live_query_keys",
    "live_query_frames",
    "live_query_frames_superseded",
];

/// Commands of the newest oracle that are not built, by the reason. A container stands for its subcommands.
pub const NOT_BUILT: &[(&str, &[&str])] = &[
    ("commands of Redis 8.4", &["trimslots"]),
    (
        "vector sets, which are a module to Redis",
        &[
            "vadd",
            "vcard",
            "vdim",
            "vemb",
            "vgetattr",
            "vinfo",
            "vismember",
            "vlinks",
            "vrandmember",
            "vrange",
            "vrem",
            "vsetattr",
            "vsim",
        ],
    ),
    ("moving hash slots between servers", &["cluster|migration", "cluster|syncslots", "restore-asking"]),
];

/// Whether a server without cluster, replicas and modules refuses the command whatever its line.
pub fn is_always_refused(full_name: &str) -> bool {
    let container = full_name.split('|').next().unwrap_or(full_name);
    let refused = ["cluster", "asking", "readonly", "readwrite", "failover", "latency|graph"];
    refused.contains(&container)
        || refused.contains(&full_name)
        || full_name.starts_with("module|") && full_name != "module|help"
}

/// Why a command of Redis is not built, if it is listed.
pub fn not_built(full_name: &str) -> Option<&'static str> {
    let container = full_name.split('|').next().unwrap_or(full_name);
    let names_it = |name: &&str| name.eq_ignore_ascii_case(container) || name.eq_ignore_ascii_case(full_name);
    NOT_BUILT.iter().find(|(_, names)| names.iter().any(names_it)).map(|(why, _)| *why)
}

/// Commands that some lines are answered otherwise since a version, which we follow: an older oracle does without them.
const CHANGED: &[(Version, &[&str])] = &[
    (
        (8, 2, 0),
        &[
            "bitcount",
            "bitop",
            "bitpos",
            "pfdebug",
            "command|getkeys",
            "command|getkeysandflags",
            "client|setname",
            "scan",
        ],
    ),
    ((8, 4, 0), &["set", "xreadgroup"]),
    ((8, 6, 0), &["hexpire", "hpexpire", "hexpireat", "hpexpireat", "hgetex", "hsetex", "xadd", "xtrim"]),
];

/// Whether an oracle of this version answers some lines of the command otherwise than the version that we follow.
pub fn changed_since(oracle: Version, full_name: &str) -> bool {
    let newer = CHANGED.iter().filter(|(version, _)| *version > oracle);
    let help = oracle < (8, 2, 0) && full_name.ends_with("|help");
    help || newer.into_iter().any(|(_, names)| names.contains(&full_name))
}

/// Lines that no generated stream may have: the commands, which of their lines, why.
type Barred = (&'static [&'static str], fn(&Line) -> bool, &'static str);

/// Lines where we follow a Redis that is newer than the newest oracle, which hand-written tests check; such as do an oracle
/// harm; and such as are answered by the clock.
const BARRED: &[Barred] = &[
    (
        &["msetex"],
        |line| ["EX", "PX", "EXAT", "PXAT"].iter().map(|name| times(line, name)).sum::<usize>() > 1,
        "Valkey 9.1 passes the first of two lifetimes on beside the deadline, which no replica takes",
    ),
    (
        &["set"],
        |line| compares(line) && (has(line, "NX") || has(line, "XX")),
        "up to 8.8 NX or XX may stand behind another condition, and is then all that counts",
    ),
    (
        &["set"],
        |line| {
            let is_named =
                |word: &Vec<u8>| [&b"IFDEQ"[..], b"IFDNE"].iter().any(|name| word.eq_ignore_ascii_case(name));
            has(line, "GET") && line.windows(2).any(|pair| is_named(&pair[0]) && pair[1].len() != 16)
        },
        "8.6 gives two replies where what should be a digest is none: the old value and the error",
    ),
    (
        &["zunion", "zinter", "zunionstore", "zinterstore"],
        |line| {
            line.windows(2)
                .any(|pair| pair[0].eq_ignore_ascii_case(b"aggregate") && pair[1].eq_ignore_ascii_case(b"count"))
        },
        "8.8 brought COUNT",
    ),
    (&["set", "expire", "pexpire"], |line| has(line, "JITTER"), JITTER),
    (&["xadd"], |line| line.iter().skip(2).any(|word| word == b"*"), "the id comes from the clock"),
    (&["pfdebug"], |line| has(line, "TODENSE"), "who watches the key is not told that it is represented otherwise"),
    (&["xread", "xreadgroup"], |line| has(line, "MAXCOUNT") || has(line, "MAXSIZE"), "8.10 brought these options"),
    (
        &["xreadgroup"],
        |line| {
            let is_claim = |word: &Vec<u8>| word.eq_ignore_ascii_case(b"CLAIM");
            let is_short = |word: &Vec<u8>| number(word).is_some_and(|idle_ms| (0..1_000_000).contains(&idle_ms));
            line.windows(2).any(|pair| is_claim(&pair[0]) && is_short(&pair[1]))
        },
        "who claims entries is told for how many milliseconds they have waited",
    ),
    (
        &["xautoclaim", "xclaim"],
        |line| whole(line, 4).is_some_and(|idle_ms| (1..1_000_000).contains(&idle_ms)),
        "an entry may have waited so many milliseconds in one server only",
    ),
    (
        &["lset"],
        |line| whole(line, 2).is_some_and(|index| i32::try_from(index).is_err()),
        "up to 8.8 the low 32 bits count",
    ),
    (
        &["restore"],
        |line| whole(line, 2).is_some_and(|ttl| ttl > i64::MAX / 2) && !has(line, "ABSTTL"),
        "up to 8.10 a time to live that overflows deletes the key",
    ),
    (
        &["xsetid"],
        |line| has(line, "ENTRIESADDED"),
        "up to 8.8 groups keep counters above the number of entries added, and have a negative lag",
    ),
    (&["xadd", "xtrim"], |line| has(line, "DELREF"), "up to 8.8 the references of entries that XDEL took before stay"),
    (
        &["hsetex"],
        |line| ["EX", "PX", "EXAT", "PXAT"].iter().any(|word| has(line, word)),
        "8.6.2 may end with an assertion about its index of deadlines, where the hash is no listpack",
    ),
    (
        &["hexpire", "hpexpire", "hexpireat", "hpexpireat", "hgetex", "hsetex"],
        |line| {
            line.iter().any(|word| number(word).is_some_and(|n| n > i64::from(i32::MAX) - 1024)) && has(line, "FIELDS")
        },
        "up to 8.6.3 a number of fields close to 2^31 ends the server",
    ),
];

/// Lines that only Valkey takes.
const OF_VALKEY: &[Barred] = &[
    (&["bitcount"], |line| line.len() == 3, "a start without an end"),
    (&["zscan"], |line| has(line, "NOSCORES"), "members without scores"),
    (&["hsetex"], |line| has(line, "NX") || has(line, "XX"), "conditions on the key"),
];

/// Lines that a Valkey is not to have.
const NOT_OF_VALKEY: &[Barred] = &[
    (
        &["zadd"],
        |line| line.iter().any(|word| word.starts_with(b"0x") || word.starts_with(b"-0")),
        "Valkey reads no hexadecimal scores, and shows a zero with its sign",
    ),
    (
        &["bitcount"],
        |line| line.len() > 3 && (whole(line, 2).is_none() || whole(line, 3).is_none()),
        "Valkey looks at the unit before the numbers",
    ),
];

/// Commands that a Valkey 9.1 answers as we do, beside those that are its own: what those find is made by them.
pub const ALIKE_IN_VALKEY: &[&str] = &[
    "append", "bitcount", "decrby", "del", "exists", "flushall", "get", "getdel", "incr", "lpush", "mget", "mset",
    "msetnx", "sadd", "setrange", "setbit", "strlen", "type", "zadd", "zrem", "zscan",
];

/// Whether no stream may have a line.
pub fn is_barred(full_name: &str, line: &Line) -> bool {
    [BARRED, OF_VALKEY].concat().iter().any(|(names, is_it, _)| names.contains(&full_name) && is_it(line))
}

/// The same where the other server is a Valkey.
pub fn is_barred_in_valkey(full_name: &str, line: &Line) -> bool {
    [BARRED, NOT_OF_VALKEY].concat().iter().any(|(names, is_it, _)| names.contains(&full_name) && is_it(line))
}

/// Lines whose events differ: up to 8.10 BITFIELD tells nothing of a string that grew if every write was refused.
pub fn events_differ(full_name: &str, line: &Line) -> bool {
    full_name == "bitfield" && has(line, "FAIL")
}

/// Why we propagate lines otherwise than Redis does, by the words that the facts name each reason with.
pub const PROPAGATION_REASONS: &[(&str, &str)] = &[
    (
        "script-persist",
        "scripts that SCRIPT LOAD has made known are there after a restart, unless the setting says otherwise",
    ),
    ("freeing", "how values are freed is no setting: whatever goes is passed on as DEL"),
    ("scan", "SCAN passes over due keys and leaves them to the timers"),
    (
        "fields",
        "due fields leave when the hash is written or their timer fires, and not when they are read; those that leave together \
         are passed on together, and a command that meets one finds it gone",
    ),
    ("geo", "GEOADD is passed on as given: what it stores depends on nothing else"),
    ("limit", "an exact trimming needs no LIMIT, and only loaders would accept one"),
    ("consumers", "Redis does not propagate that XREADGROUP, XCLAIM or XAUTOCLAIM made a consumer and gave it nothing"),
    ("older", "HSET says the same of a field without a deadline as HSETEX, which came with Redis 8"),
    ("outcome", "a condition is asked where the data is: what is passed on is what came of it"),
    ("plain", "DEL says the same as DELEX without a condition, which came with Redis 8.4"),
    ("valkey", "Redis does not take what Valkey brought"),
    ("newer", OPTIONS_OF_8_8),
    ("jitter", JITTER),
    (
        "known",
        "an entry that was sent again is named, for a server that hears of it may have forgotten it, and would add it at an id of its \
         own",
    ),
    ("history", "Redis does not propagate that entries of a consumer's history were delivered once more"),
];

/// In what our answers to scripts differ.
pub const SCRIPT_REASONS: &[(&str, &str)] = &[];

/// Scenes about what commands propagate that show what is not built, each with its reason.
pub const SCENES_NOT_BUILT: &[(&str, &str)] = &[];

/// Facts of what is propagated that are otherwise in Redis 8.2: the scene, its lines (none for all of them), why.
const FACTS_SINCE_8_2: &[(&str, &[&str], &str)] = &[
    ("SET", &["set k w ex 100"], LETTERS),
    ("HGETEX and HSETEX", &["hgetex h px 100000 fields 1 a"], LETTERS),
    (
        "XADD",
        &[
            "XADD x ACKED MAXLEN ~ 3 14-* f v",
            "XADD x MAXLEN ~ 3 LIMIT 0 15-* f v",
            "XADD x NOMKSTREAM ACKED MAXLEN ~ 3 LIMIT 10 16-* f v",
            "XADD x MAXLEN ~ 1000 17-* f v",
        ],
        TRIMMING,
    ),
    (
        "XTRIM",
        &[
            "XTRIM x MINID ~ 14 LIMIT 5 DELREF",
            "xtrim x maxlen ~ 0",
            "XTRIM x MAXLEN ~ 1 ACKED",
            "XTRIM x MAXLEN 1 ACKED",
            "XTRIM x MAXLEN ~ 1 DELREF",
        ],
        TRIMMING,
    ),
    ("XREADGROUP", &[], LAST_ID),
    ("XREADGROUP that waits", &[], LAST_ID),
    ("conditions of SET and DELEX, and MSETEX", &[], COMMANDS_OF_8_4),
    ("CLAIM of XREADGROUP", &[], OPTIONS_SINCE_8_4),
    ("idempotent ids of streams", &[], OPTIONS_SINCE_8_4),
];

const LETTERS: &str =
    "8.2 writes the name of the command that it puts in place of another its own way, not as the client did";
const COMMANDS_OF_8_4: &str = "8.4 brought them";
const OPTIONS_SINCE_8_4: &str = "8.4 and 8.6 brought the options";
const TRIMMING: &str =
    "what ACKED and DELREF let an approximate trimming remove has changed, and with it what comes later";
const LAST_ID: &str =
    "8.2 tells the id of each entry as the last that the group was given, and 8.6 that of the group before";

/// Whether a fact, as the report of one that is wrong has it, is otherwise in 8.2.
pub fn fact_is_newer_than_8_2(report: &str) -> bool {
    FACTS_SINCE_8_2.iter().any(|(scene, lines, _)| {
        let is_line = |line: &&str| report.contains(&format!(", {scene}: {line} => "));
        report.contains(&format!(", {scene}: ")) && (lines.is_empty() || lines.iter().any(is_line))
    })
}

/// Lines that propagate otherwise than in Redis: the commands, which of their lines, why.
const PROPAGATION: &[Barred] = &[
    (
        &["hexpire", "hpexpire", "hexpireat", "hpexpireat"],
        |line| {
            line.iter()
                .filter(|word| [b"NX", b"XX", b"GT", b"LT"].iter().any(|c| word.eq_ignore_ascii_case(*c)))
                .count()
                > 1
        },
        "a condition that is given twice is passed on once",
    ),
    (
        &["xadd", "xtrim"],
        |line| has(line, "MINID") && (has(line, "ACKED") || has(line, "DELREF")),
        "Redis names the id that the stream begins with, be it that of an entry that was deleted or that stays for its \
         references, where what has gone lies behind",
    ),
    (
        &["hincrbyfloat"],
        |_| true,
        "HSET says the same of a field without a deadline as HSETEX, which came with Redis 8",
    ),
    (&["set"], compares, "a condition is asked where the data is: what is passed on is what came of it"),
    (&["msetex"], |line| has(line, "NX") || has(line, "XX"), "the same"),
    (&["delex"], |line| line.len() == 2, "DEL says the same, to every server"),
    (&["geoadd"], |_| true, "GEOADD is passed on as given: what it stores depends on nothing else"),
    (
        &["bitfield"],
        |line| has(line, "FAIL"),
        "up to 8.10 BITFIELD does not propagate that a string grew if every write was refused",
    ),
    (
        &["xreadgroup"],
        |line| {
            let streams = line.iter().rev().take_while(|word| !word.eq_ignore_ascii_case(b"STREAMS")).count();
            line.iter().rev().take(streams / 2).any(|id| id != b">")
        },
        "Redis does not propagate that entries of a consumer's history were delivered once more",
    ),
    (
        &["xadd", "xtrim"],
        |line| has(line, "LIMIT"),
        "LIMIT stays although nothing is approximate any more, which only a loader accepts",
    ),
];

/// Why a line propagates otherwise than in Redis, if it may.
pub fn propagates_otherwise(full_name: &str, line: &Line) -> Option<&'static str> {
    PROPAGATION.iter().find(|(names, is_it, _)| names.contains(&full_name) && is_it(line)).map(|(_, _, why)| *why)
}

/// Lines whose keys COMMAND GETKEYS tells since 8.6.4 only, and those that use other keys than the key specifications name, which
/// is minded since 8.10.
pub fn keys_differ(full_name: &str, line: &Line) -> bool {
    let times = |word: &str| line.iter().filter(|arg| arg.eq_ignore_ascii_case(word.as_bytes())).count();
    match full_name {
        "pfmerge" => line.len() == 2,
        "georadius" | "georadiusbymember" => times("STORE").max(times("STOREDIST")) > 1,
        "xreadgroup" => !line.get(1).is_some_and(|word| word.eq_ignore_ascii_case(b"GROUP")) || times("STREAMS") > 1,
        _ => false,
    }
}

fn times(line: &Line, word: &str) -> usize {
    line.iter().filter(|arg| arg.eq_ignore_ascii_case(word.as_bytes())).count()
}

/// Whether the line compares the old value with one.
fn compares(line: &Line) -> bool {
    ["IFEQ", "IFNE", "IFDEQ", "IFDNE"].iter().any(|word| has(line, word))
}

fn number(word: &[u8]) -> Option<i64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn whole(line: &Line, index: usize) -> Option<i64> {
    line.get(index).and_then(|word| number(word))
}

fn has(line: &Line, word: &str) -> bool {
    line.iter().any(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
}
