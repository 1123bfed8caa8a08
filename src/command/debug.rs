//! DEBUG: what tests and people who debug lean on. The engine lets it through only as `enable-debug-command` says.
//!
//! As in Redis it is one command, not a container: an unknown subcommand and a wrong number of arguments get the same
//! answer. Subcommands of Redis whose subject does not exist here are refused with a reason.

use std::time::Duration;

use super::help;
use super::spec::{Category, Flags, Group, Outcome, Spec};
use crate::base::{glob, num};
use crate::persist::digest::DataDigest;
use crate::persist::payload;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::{Proto, Reply};
use crate::server::change::Change;
use crate::server::ctx::{CallOrigin, Ctx, Next};
use crate::server::jobs::Limits;
use crate::server::persistence::loading::Reload;
use crate::store::access::AccessClock;
use crate::store::db::{Db, Ttl};
use crate::store::entry::NewValue;

const FLAGS: Flags = Flags::ADMIN
    .with(Flags::NOSCRIPT)
    .with(Flags::LOADING)
    .with(Flags::STALE)
    .with(Flags::PROTECTED)
    .with(Flags::SYSTEM);

/// The rows.
pub const ROWS: &[Spec] = &[Spec::new("DEBUG", -2, FLAGS, debug).group(Group::Server, Category::NONE, "1.0.0").doc(
    "Tools for tests and for debugging.",
    "Depends on subcommand.",
    "",
)];

/// The double that DEBUG PROTOCOL answers: Redis's, which is no attempt at pi.
#[allow(clippy::approx_constant, reason = "the value is Redis's")]
const TEST_DOUBLE: f64 = 3.141;

/// DEBUG SLEEP wakes up after this long: a sleep without any use of the processor is what the service manager's watchdog takes
/// for a hang.
const SLEEP_SLICE: Duration = Duration::from_millis(10);

/// Why a subcommand of Redis is not there.
const NO_CRASHING: &str = "the server does not crash or restart itself on request";
const UNAVAILABLE: &[(&str, &str)] = &[
    (
        "QUICKLIST-PACKED-THRESHOLD",
        "which elements of a list have a node to themselves follows from list-max-listpack-size",
    ),
    ("JMAP", "the allocator's figures are in MEMORY STATS and MEMORY MALLOC-STATS"),
    ("PANIC", NO_CRASHING),
    ("SEGFAULT", NO_CRASHING),
    ("ASSERT", NO_CRASHING),
    ("OOM", NO_CRASHING),
    ("RESTART", NO_CRASHING),
    ("CRASH-AND-RECOVER", NO_CRASHING),
];

fn debug(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let subcommand = args.at(1).to_ascii_uppercase();
    match (subcommand.as_slice(), args.len()) {
        (b"CHANGE-REPL-ID", 2) => change_history(ctx),
        (b"DIGEST", 2) => digest(ctx),
        (b"DIGEST-VALUE", _) => digest_value(ctx, args),
        (b"ERROR", 3) => error(ctx, args),
        (b"HELP", 2) => help_text(ctx),
        (b"HTSTATS", 3 | 4) => htstats(ctx, args),
        (b"HTSTATS-KEY", 3 | 4) => htstats_key(ctx, args),
        (b"JOBS", 4) => jobs(ctx, args),
        (b"LOADAOF", 2) => load(ctx, Reload::Log),
        (b"LOG", 3) => log(ctx, args),
        (b"OBJECT", 3) => object(ctx, args),
        (b"POPULATE", 3..=5) => populate(ctx, args),
        (b"PROTOCOL", 3) => protocol(ctx, args),
        (b"RELOAD", _) => reload(ctx, args),
        (b"SET-ACTIVE-EXPIRE", 3) => set_active_expire(ctx, args),
        (b"SLEEP", 3) => sleep(ctx, args),
        (b"STRINGMATCH-LEN", 4) => stringmatch_len(ctx, args),
        (b"STRINGMATCH-TEST", 2) => stringmatch_test(ctx),
        (name, _) => Err(unavailable(name, args.at(1))),
    }
}

fn unavailable(name: &[u8], as_written: &[u8]) -> ReplyError {
    if let Some((name, reason)) = UNAVAILABLE.iter().find(|(known, _)| known.as_bytes() == name) {
        return ReplyError::owned(format!("ERR DEBUG {name} is not available in AleaDB: {reason}"));
    }
    let cut: Vec<u8> = as_written.iter().copied().take(128).take_while(|&byte| byte != 0).collect();
    ReplyError::owned(
        [b"ERR unknown subcommand or wrong number of arguments for '".as_slice(), &cut, b"'. Try DEBUG HELP."].concat(),
    )
}

/// Has the data go to the disk and come back.
fn reload(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (mut save, mut flush, mut replace) = (true, true, false);
    for option in args.iter_from(2) {
        match option.to_ascii_uppercase().as_slice() {
            b"NOSAVE" => save = false,
            b"NOFLUSH" => flush = false,
            b"MERGE" => replace = true,
            _ => {
                return Err(ReplyError::new("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options."));
            }
        }
    }
    load(ctx, Reload::Dump { save, flush, replace })
}

fn load(ctx: &mut Ctx<'_>, reload: Reload) -> Outcome {
    if ctx.origin == CallOrigin::Queued {
        return Err(ReplyError::new("ERR DEBUG RELOAD and LOADAOF are not possible inside a transaction"));
    }
    if ctx.server.is_loading() {
        return Err(ReplyError::new("LOADING Redis is loading the dataset in memory"));
    }
    Ok(Next::Load(reload))
}

/// A number that stands for all data. Due keys that have had to stay are no data.
fn digest(ctx: &mut Ctx<'_>) -> Outcome {
    let (mut digest, at) = (DataDigest::default(), ctx.at);
    for (number, db) in ctx.server.dbs.with_keys() {
        let mut is_named = false;
        db.table().for_each(|entry| {
            if entry.deadline_ms().is_some_and(|deadline_ms| deadline_ms <= at.unix_ms) {
                return;
            }
            if !std::mem::replace(&mut is_named, true) {
                digest.database(number);
            }
            digest.add_key(&entry, at.unix_ms);
        });
    }
    ctx.reply.simple(&digest.to_string());
    Ok(Next::Done)
}

/// A number for the value of each key.
fn digest_value(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let at = ctx.at.without_access();
    ctx.reply.array(args.len() - 2);
    for key in args.iter_from(2) {
        let found = ctx.db().lookup_uncounted(key, at);
        let digest = found.map_or_else(DataDigest::default, |entry| DataDigest::of_value(&entry, at.unix_ms));
        ctx.reply.simple(&digest.to_string());
    }
    Ok(Next::Done)
}

/// Answers any error text; it does not count as an error of the server.
fn error(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    // Unlike other error texts this one keeps line ends at its end, as spaces.
    let text: Vec<u8> = args.at(2).iter().map(|&b| if matches!(b, b'\r' | b'\n') { b' ' } else { b }).collect();
    ctx.reply.error(&ReplyError::owned(text));
    Ok(Next::Done)
}

fn log(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    log::warn!("DEBUG LOG: {}", String::from_utf8_lossy(args.at(2)));
    ctx.reply.ok();
    Ok(Next::Done)
}

/// Holds up the whole server, as tests of timeouts want it.
fn sleep(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    // As with C's `strtod`, what is no number is no sleep.
    let seconds = num::parse_f64(args.at(2)).unwrap_or(0.0).max(0.0);
    let time = Duration::try_from_secs_f64(seconds).map_err(|_| ReplyError::new("ERR value is out of range"))?;
    let mut left = time;
    while !left.is_zero() {
        let slice = left.min(SLEEP_SLICE);
        std::thread::sleep(slice);
        left -= slice;
    }
    ctx.reply.ok();
    Ok(Next::Done)
}

/// Says which commands are long, and how much of them is done in a turn.
fn jobs(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (long, slice_elements) = (positive(args.at(2))?, positive(args.at(3))?.max(1));
    ctx.server.jobs.limits = Limits { long, line: long, slice_elements, ..Limits::default() };
    ctx.reply.ok();
    Ok(Next::Done)
}

fn set_active_expire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    // As with C's `atoi`, what is no number is 0.
    ctx.server.active_expire = num::parse_i64(args.at(2)).unwrap_or(0) != 0;
    ctx.reply.ok();
    Ok(Next::Done)
}

fn object(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let at = ctx.at.without_access();
    let (clock, compress) = (AccessClock::at(ctx.now), ctx.server.config.rdbcompression);
    let unix_s = ctx.now.unix_s();
    let entry = ctx.db().lookup_uncounted(args.at(2), at).ok_or(ReplyError::NO_SUCH_KEY)?;
    let address = entry.key().as_ptr() as usize;
    let (encoding, serialized) = (entry.encoding(), payload::value_bytes(&entry, compress));
    let idle = clock.idle_s(entry.stamp());
    // Redis's clock counts Unix seconds in 24 bits.
    let access = (unix_s - idle as i64) & ((1 << 24) - 1);
    ctx.reply.simple(&format!(
        "Value at:{address:#x} refcount:1 encoding:{encoding} serializedlength:{serialized} lru:{access} \
         lru_seconds_idle:{idle}"
    ));
    Ok(Next::Done)
}

fn populate(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let count = positive(args.at(2))?;
    let prefix = args.get(3).unwrap_or(b"key");
    let size = args.get(4).map_or(Ok(0), positive)?;
    if size as u64 > ctx.server.config.proto_max_bulk_len {
        return Err(ReplyError::STRING_TOO_LONG);
    }
    let at = ctx.at;
    for i in 0..count {
        let key = [prefix, b":", i.to_string().as_bytes()].concat();
        if ctx.db().lookup_write(&key, at).is_some() {
            continue;
        }
        let mut value = format!("value:{i}").into_bytes();
        if size > 0 {
            // Zero bytes up to the size, as in Redis.
            value.resize(size, 0);
        }
        ctx.db().set(&key, NewValue::compact(&value), Ttl::Clear, at);
        ctx.change(Change::without_event(&key).times(0));
    }
    // COMPAT: no log and no replica is told.
    ctx.propagate_as(|_| {});
    ctx.reply.ok();
    Ok(Next::Done)
}

fn positive(text: &[u8]) -> Result<usize, ReplyError> {
    const OUT_OF_RANGE: ReplyError = ReplyError::new("ERR value is out of range, must be positive");
    num::parse_i64(text).and_then(|n| usize::try_from(n).ok()).ok_or(OUT_OF_RANGE)
}

/// Answers a value of each type of the protocol, for tests of clients and of the reply writer.
fn protocol(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let reply = &mut ctx.reply;
    let kind = args.at(2).to_ascii_lowercase();
    match kind.as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.integer(12345),
        b"double" => reply.double(TEST_DOUBLE),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|i| reply.integer(i));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|i| reply.integer(i));
        }
        b"map" => write_map(reply),
        b"attrib" => write_attribute(reply),
        b"push" if reply.proto() == Proto::Resp2 => {
            return Err(ReplyError::new("ERR RESP2 is not supported by this command"));
        }
        b"push" => {
            reply.bulk(b"Some real reply following the push reply");
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.integer(42);
        }
        b"verbatim" => reply.verbatim("txt", b"This is a verbatim\nstring"),
        b"bignum" => reply.big_number("1234567999999999999999999999999999999"),
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        _ => {
            return Err(ReplyError::new(
                "ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(Next::Done)
}

fn write_map(reply: &mut Reply<'_>) {
    reply.map(3);
    for i in 0..3 {
        reply.integer(i);
        reply.boolean(i == 1);
    }
}

/// An attribute exists in RESP3 only; older clients get the reply it belongs to.
fn write_attribute(reply: &mut Reply<'_>) {
    if reply.proto() == Proto::Resp3 {
        reply.attribute(1);
        reply.bulk(b"key-popularity");
        reply.array(2);
        reply.bulk(b"key:123");
        reply.integer(90);
    }
    reply.bulk(b"Some real reply following the attribute");
}

fn htstats(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let index = num::parse_i64(args.at(2)).ok_or(ReplyError::NOT_AN_INTEGER)?;
    let number = usize::try_from(index).ok().filter(|&number| number < ctx.server.dbs.count());
    let number = number.ok_or(ReplyError::new("ERR Out of range database"))?;
    let unmade = Db::new(ctx.server.dbs.hasher);
    let db = ctx.server.dbs.find(number).map_or(&unmade, |place| &ctx.server.dbs[place]);
    let table = db.table();
    let (slots, keys) = (table.slots(), table.len());
    let filled = if slots == 0 { 0.0 } else { 100.0 * keys as f64 / slots as f64 };
    let text = format!(
        "[Key table]\n home buckets: {}\n slots: {slots}\n number of elements: {keys}\n filled: {filled:.1}%\n \
         bytes: {}\n[Wheel of deadlines]\n number of keys with a deadline: {}\n bytes: {}\n",
        table.buckets(),
        table.bytes(),
        db.timed(),
        db.wheel_bytes()
    );
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(Next::Done)
}

fn htstats_key(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let at = ctx.at.without_access();
    if ctx.db().lookup_write(args.at(2), at).is_none() {
        return Err(ReplyError::NO_SUCH_KEY);
    }
    Err(ReplyError::new("ERR The value stored at the specified key is not represented using an hash table"))
}

/// Matches a string with a pattern, as KEYS and PSUBSCRIBE do.
fn stringmatch_len(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    ctx.reply.integer(i64::from(glob::matches(args.at(2), args.at(3), false)));
    Ok(Next::Done)
}

/// Matches random strings with random patterns that are rich in special characters: whoever asks wants to see that the
/// server survives it.
fn stringmatch_test(ctx: &mut Ctx<'_>) -> Outcome {
    const ROUNDS: usize = 100_000;
    const LENGTH_MAX: u64 = 32;
    let prng = &mut ctx.server.prng;
    let mut text = || -> Vec<u8> {
        (0..prng.below(LENGTH_MAX)).map(|_| prng.pick(b"ab[]^-\\*?\x00\xff").copied().unwrap_or_default()).collect()
    };
    for round in 0..ROUNDS {
        let (pattern, string) = (text(), text());
        glob::matches(&pattern, &string, round % 2 == 0);
    }
    ctx.reply.simple("Apparently Redis did not crash: test passed");
    Ok(Next::Done)
}

/// Begins a history of another name: replicas that come back have to begin anew.
fn change_history(ctx: &mut Ctx<'_>) -> Outcome {
    log::info!("Changing replication IDs after receiving change-repl-id");
    ctx.server.replication.begin_history();
    ctx.reply.ok();
    Ok(Next::Done)
}

fn help_text(ctx: &mut Ctx<'_>) -> Outcome {
    help::write(
        &mut ctx.reply,
        "DEBUG",
        &[
            "CHANGE-REPL-ID",
            "    Begin a new replication history, which shares nothing with the present one.",
            "DIGEST",
            "    Return a number that stands for all data, as a Redis with the same would.",
            "DIGEST-VALUE <key> [<key> ...]",
            "    Return such a number for the value of each key.",
            "ERROR <string>",
            "    Answer with <string> as an error.",
            "HTSTATS <dbid> [full]",
            "    Return figures of the key table of the specified database.",
            "HTSTATS-KEY <key> [full]",
            "    Like HTSTATS but for the table of <key>'s value, if its type has one.",
            "JOBS <long> <slice>",
            "    Run commands that go by more than <long> elements slice by slice, at most <slice>",
            "    elements in a turn of the loop.",
            "LOADAOF",
            "    Throw the data away and load it from the append-only file.",
            "LOG <message>",
            "    Write <message> to the server log.",
            "OBJECT <key>",
            "    Show low level facts about <key> and its value.",
            "POPULATE <count> [<prefix>] [<size>]",
            "    Create <count> string keys named <prefix>:<num> ('key' by default), each",
            "    filled up with zero bytes to <size>. Keys that exist are left alone.",
            "PROTOCOL <type>",
            "    Answer with a test value of the specified type, one of: string,",
            "    integer, double, bignum, null, array, set, map, attrib, push, verbatim,",
            "    true, false.",
            "RELOAD [NOSAVE] [NOFLUSH] [MERGE]",
            "    Save the data, throw it away and load it from the dump file. NOSAVE loads what was",
            "    saved before, NOFLUSH keeps the data, MERGE replaces keys that are there.",
            "SET-ACTIVE-EXPIRE <0|1>",
            "    0 keeps due keys until they are accessed, 1 removes them at their time.",
            "SLEEP <seconds>",
            "    Hold up the server for <seconds>. Decimals allowed.",
            "STRINGMATCH-LEN <pattern> <string>",
            "    Return 1 if <string> matches the glob-style <pattern>, else 0.",
            "STRINGMATCH-TEST",
            "    Match random strings with random patterns.",
        ],
    );
    Ok(Next::Done)
}
