//! DUMP and RESTORE, values by themselves: the rows and the handlers below. The form of the payloads is `persist::payload`.

use std::sync::Arc;

use super::keys;
use super::spec::{Access, Category, Group, KeySpec, Outcome, Spec};
use crate::base::num;
use crate::config::{Config, EventClass, MemoryPolicy};
use crate::persist::payload::{self, Dumping, Refused, Restored, Restoring};
use crate::persist::rdb::write::Version;
use crate::persist::rdb::{Budget, Shapes, Value};
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::ReplyError;
use crate::server::Server;
use crate::server::change::Change;
use crate::server::ctx::{CallOrigin, Ctx, Next};
use crate::server::jobs::{Job, Limits, Step, Work};
use crate::store::entry::Entry;
use crate::store::types::{hash, zset};

/// The rows.
pub const ROWS: &[Spec] = &[
    Spec::read("DUMP", 2, dump)
        .keys(&[KeySpec::one(Access::RO.with(Access::ACCESS), 1)])
        .group(Group::Generic, Category::KEYSPACE, "2.6.0")
        .doc(
            "Returns a key's value in the form in which Redis's dump files hold it.",
            "O(N) for N bytes of the value, its elements included.",
            "key",
        )
        .tips(&["nondeterministic_output"]),
    Spec::write("RESTORE", -4, restore)
        .denyoom()
        .keys(&[KeySpec::one(Access::OW.with(Access::UPDATE), 1)])
        .group(Group::Generic, Category::KEYSPACE.with(Category::DANGEROUS), "2.6.0")
        .doc(
            "Creates a key from what DUMP has returned, whether here, by Redis or by DiceDB.",
            "O(N) for N bytes of the value; O(N*log(N)) for a sorted set of N members that is not a small one.",
            "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
        )
        .history(&[
            ("3.0.0", "Added the `REPLACE` modifier."),
            ("5.0.0", "Added the `ABSTTL` modifier."),
            ("5.0.0", "Added the `IDLETIME` and `FREQ` options."),
        ]),
];

const BUSY_KEY: ReplyError = ReplyError::new("BUSYKEY Target key name already exists.");
const INVALID_TTL: ReplyError = ReplyError::new("ERR Invalid TTL value, must be >= 0");
const INVALID_IDLE_TIME: ReplyError = ReplyError::new("ERR Invalid IDLETIME value, must be >= 0");
const INVALID_FREQUENCY: ReplyError = ReplyError::new("ERR Invalid FREQ value, must be >= 0 and <= 255");

impl From<Refused> for ReplyError {
    fn from(refused: Refused) -> ReplyError {
        match refused {
            Refused::Footer => ReplyError::new("ERR DUMP payload version or checksum are wrong"),
            Refused::Value => ReplyError::new("ERR Bad data format"),
            Refused::Memory => ReplyError::OUT_OF_MEMORY,
        }
    }
}

/// Which representations restored values get, as configured.
pub fn shapes(server: &Server) -> Shapes {
    let config = &server.config;
    let limit = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    Shapes {
        list: super::list::fill(server),
        set: super::set::policy(config, server.dbs.hasher),
        hash: hash::Limits {
            entries: limit(config.hash_max_listpack_entries),
            value: limit(config.hash_max_listpack_value),
            hasher: server.dbs.hasher,
        },
        zset: zset::Limits {
            entries: limit(config.zset_max_listpack_entries),
            value: limit(config.zset_max_listpack_value),
            hasher: server.dbs.hasher,
        },
    }
}

fn dump(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, at, limits) = (args.at(1), ctx.at, ctx.job_limits());
    let (asked, compress) = asked_form(&ctx.server.config);
    let Some(entry) = ctx.db().lookup_read(key, at) else {
        ctx.reply.null();
        return Ok(Next::Done);
    };
    // COMPAT: Redis writes its newest version in any case, which no older server takes.
    let version = payload::version_for(&entry, asked);
    if limits.is_some_and(|limits| is_long(&entry, limits)) {
        let dumping = Dumping::begin(&entry, version, compress);
        return ctx.become_job(DumpingKey { key: key.into(), dumping });
    }
    let payload = payload::dump_as(&entry, version, compress);
    ctx.reply.bulk_shared(&Arc::new(payload));
    Ok(Next::Done)
}

/// The version that payloads are to have, if one was set, and whether long strings of theirs are compressed.
pub(super) fn asked_form(config: &Config) -> (Option<Version>, bool) {
    (Version::of_number(config.rdb_format_version.into()), config.rdbcompression)
}

/// True if to dump a value takes long, and it can be done in slices. O(1).
pub(super) fn is_long(entry: &Entry, limits: Limits) -> bool {
    match entry.string() {
        Some(string) => payload::is_long_string(&string) && limits.is_long_text(string.len()),
        None => entry.object().is_some_and(|object| limits.is_long_object(&object)),
    }
}

/// A large value being dumped.
#[derive(Debug)]
struct DumpingKey {
    key: Box<[u8]>,
    dumping: Dumping,
}

impl Job for DumpingKey {
    fn step(&mut self, work: &mut Work<'_>) -> Step {
        let Work { server, reply, slice, db } = work;
        let Some(entry) = server.dbs[*db].peek(&self.key) else { return Step::Lost };
        loop {
            let before = self.dumping.bytes();
            if self.dumping.go_on(&entry) {
                reply.bulk_pieces(self.dumping.pieces());
                return Step::Answered;
            }
            if !slice.spend(1, self.dumping.bytes() - before) {
                return Step::More;
            }
        }
    }
}

/// What a line of RESTORE asks for beside the value.
#[derive(Default)]
struct Options {
    replace: bool,
    /// The time to live is the time when it ends.
    absolute: bool,
    idle_seconds: Option<u64>,
    frequency: Option<u8>,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Options, ReplyError> {
        let (mut options, mut i) = (Options::default(), 4);
        while i < args.len() {
            let value = || {
                let text = args.get(i + 1).ok_or(ReplyError::SYNTAX)?;
                num::parse_i64(text).ok_or(ReplyError::NOT_AN_INTEGER)
            };
            if args.is(i, "REPLACE") {
                options.replace = true;
            } else if args.is(i, "ABSTTL") {
                options.absolute = true;
            } else if args.is(i, "IDLETIME") && options.frequency.is_none() {
                options.idle_seconds = Some(u64::try_from(value()?).map_err(|_| INVALID_IDLE_TIME)?);
                i += 1;
            } else if args.is(i, "FREQ") && options.idle_seconds.is_none() {
                options.frequency = Some(u8::try_from(value()?).map_err(|_| INVALID_FREQUENCY)?);
                i += 1;
            } else {
                return Err(ReplyError::SYNTAX);
            }
            i += 1;
        }
        Ok(options)
    }
}

/// The memory that a value may take, as a small payload may stand for much: what is left up to `maxmemory`, or all of it where
/// other keys go to make room. What a log holds was there before.
pub(super) fn budget(ctx: &Ctx<'_>) -> Budget {
    let Config { maxmemory, maxmemory_policy, .. } = ctx.server.config;
    let max = usize::try_from(maxmemory.bytes).unwrap_or(usize::MAX);
    match maxmemory_policy {
        _ if max == 0 || ctx.origin == CallOrigin::Loaded => Budget::unlimited(),
        MemoryPolicy::NoEviction => Budget::new(max.saturating_sub(ctx.server.memory_in_use())),
        _ => Budget::new(max),
    }
}

fn restore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, at) = (args.at(1), ctx.at);
    let read = ctx.gathered::<Result<Option<Value<'static>>, ReplyError>>();
    let options = Options::parse(args)?;
    if !options.replace && ctx.db().lookup_write(key, at).is_some() {
        return Err(BUSY_KEY);
    }
    let ttl = num::parse_i64(args.at(2)).ok_or(ReplyError::NOT_AN_INTEGER)?;
    if ttl < 0 {
        return Err(INVALID_TTL);
    }
    let is_long = ctx.job_limits().is_some_and(|limits| limits.is_long_payload(args.at(3).len()));
    let mut value = match read {
        None if is_long => {
            let (shapes, budget) = (shapes(ctx.server), Some(budget(ctx)));
            let restoring = Restoring::begin();
            return ctx.become_job(RestoringValue { args: OwnedArgs::copy(args), shapes, budget, restoring });
        }
        None => payload::restore(args.at(3), &shapes(ctx.server), budget(ctx))?,
        Some(read) => match (*read)? {
            Some(value) => value,
            None => payload::restore(args.at(3), &shapes(ctx.server), budget(ctx))?,
        },
    };
    let deadline_ms = match ttl {
        0 => None,
        _ if options.absolute => Some(ttl),
        // Refused before the key that is there is touched.
        _ => Some(ttl.checked_add(at.unix_ms).ok_or_else(|| ReplyError::invalid_expire("restore"))?),
    };
    let replaced = ctx.db().remove(key, at);
    if deadline_ms.is_some_and(|deadline_ms| deadline_ms <= at.due_ms()) {
        if let Some(entry) = replaced {
            ctx.server.discard(entry);
            ctx.change_past_deadline(key);
        }
        ctx.reply.ok();
        return Ok(Next::Done);
    }
    let mut entry = Entry::new(key, value.as_new(), deadline_ms);
    entry.set_blessed(replaced.as_ref().is_some_and(Entry::is_blessed));
    let type_of = entry.type_of();
    ctx.db().note_producers(&entry);
    ctx.db().insert(entry, at);
    if let Some(stamp) = ctx.server.stamp_of(options.idle_seconds, options.frequency, ctx.now) {
        ctx.db().set_stamp(key, stamp, at);
    }
    ctx.change(Change::new(EventClass::Generic, "restore", key));
    if let Some(deadline_ms) = deadline_ms.filter(|_| !options.absolute) {
        ctx.propagate_as(|lines| {
            let mut digits = itoa::Buffer::new();
            let line = [args.at(0), key, digits.format(deadline_ms).as_bytes()];
            lines.push(line.into_iter().chain(args.iter_from(3)).chain([b"ABSTTL".as_slice()]));
        });
    }
    if let Some(entry) = replaced {
        keys::discard_replaced(ctx, ctx.db, key, entry, type_of);
    }
    ctx.reply.ok();
    Ok(Next::Done)
}

/// A large payload being read.
#[derive(Debug)]
struct RestoringValue {
    args: OwnedArgs,
    shapes: Shapes,
    /// The memory that the value may take, until that is known to the reading.
    budget: Option<Budget>,
    restoring: Restoring,
}

impl Job for RestoringValue {
    fn step(&mut self, work: &mut Work<'_>) -> Step {
        let RestoringValue { args, shapes, budget, restoring } = self;
        let slice = &mut work.slice;
        let budget = || budget.take().unwrap_or_else(|| Budget::new(0));
        let go_on = |elements, bytes| slice.spend(elements, bytes);
        // The handler is to refuse it, or to do what cannot be divided.
        let read: Result<Option<Value<'static>>, ReplyError> =
            match restoring.go_on(args.as_args().at(3), shapes, budget, go_on) {
                Ok(Restored::More) => return Step::More,
                Ok(Restored::Value(value)) => Ok(Some(value)),
                Ok(Restored::Whole) => Ok(None),
                Err(refused) => Err(refused.into()),
            };
        Step::Gathered(Box::new(read))
    }
}
