//! HyperLogLogs: the rows of their commands and the handlers. What the bytes mean is told in `store::types::hll`.
//!
//! A HyperLogLog is a string, and any client may write one or break one. A command that finds one broken changes nothing.

mod selftest;

use super::pieces::{self, Answer, Plan};
use super::spec::{Access, Category, Flags, Group, KeySpec, Outcome, Spec};
use super::string::range;
use super::string::string_in;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::{Job, Step, Work};
use crate::store::db::{Db, Moment};
use crate::store::entry::{Entry, NewValue, TextBuffer, Value};
use crate::store::open::EntryMut;
use crate::store::types::hll::{self, Encoding, Hll, Mark, Registers};
use crate::store::types::roaring::Text;

const READ_INSERT: Access = Access::RW.with(Access::ACCESS).with(Access::INSERT);

/// The rows.
pub const ROWS: &[Spec] = &[
    Spec::write("PFADD", -2, pfadd)
        .in_pieces()
        .denyoom()
        .fast()
        .keys(&[KeySpec::one(Access::RW.with(Access::INSERT), 1)])
        .group(Group::Hyperloglog, Category::HYPERLOGLOG, "2.8.9")
        .doc(
            "Adds elements to a HyperLogLog, which is created if need be.",
            "O(1) for each element.",
            "key [element [element ...]]",
        ),
    Spec::read("PFCOUNT", -2, pfcount)
        .flags(Flags::MAY_REPLICATE)
        .keys(&[KeySpec::rest(Access::RW.with(Access::ACCESS), 1, 1)
            .notes("RW because it may change the internal representation of the key, and propagate to replicas")])
        .group(Group::Hyperloglog, Category::HYPERLOGLOG, "2.8.9")
        .doc(
            "Estimates how many different elements were added to one or several HyperLogLogs.",
            "O(1) for one key that has not changed since the last time, O(N) for N keys.",
            "key [key ...]",
        ),
    Spec::write("PFMERGE", -2, pfmerge)
        .denyoom()
        .keys(&[KeySpec::one(READ_INSERT, 1), KeySpec::rest(Access::RO.with(Access::ACCESS), 2, 1)])
        .group(Group::Hyperloglog, Category::HYPERLOGLOG, "2.8.9")
        .doc(
            "Adds to a HyperLogLog what was added to others.",
            "O(N) for N keys.",
            "destkey [sourcekey [sourcekey ...]]",
        ),
    Spec::write("PFDEBUG", 3, pfdebug)
        .denyoom()
        .flags(Flags::ADMIN.with(Flags::SYSTEM))
        .keys(&[KeySpec::one(Access::RW.with(Access::ACCESS), 2)])
        .group(Group::Hyperloglog, Category::HYPERLOGLOG, "2.8.9")
        .doc("Shows how a HyperLogLog is made up: GETREG, DECODE, ENCODING, TODENSE, SIMD.", "N/A", "subcommand key"),
    Spec::new("PFSELFTEST", 1, Flags::ADMIN.with(Flags::SYSTEM), selftest::pfselftest)
        .group(Group::Hyperloglog, Category::HYPERLOGLOG, "2.8.9")
        .doc("Tests the registers and the estimates of HyperLogLogs.", "N/A", ""),
];

/// Elements that cost as much to go by as a HyperLogLog does to be added to a union.
const MERGE_ELEMENTS: usize = 32;

const NOT_ONE: ReplyError = ReplyError::new("WRONGTYPE Key is not a valid HyperLogLog string value.");
const CORRUPT: ReplyError = ReplyError::new("INVALIDOBJ Corrupted HLL object detected");

impl From<hll::Corrupt> for ReplyError {
    fn from(_: hll::Corrupt) -> ReplyError {
        CORRUPT
    }
}

/// Looks at the HyperLogLog that an entry holds, or refuses.
fn with_hll<R>(entry: &Entry, look: impl FnOnce(Hll<'_>) -> Result<R, ReplyError>) -> Result<R, ReplyError> {
    let value = string_in(entry)?;
    if let Value::Roaring(roaring) = &value
        && Text::Roaring(roaring).part(0..hll::MAGIC.len(), &mut Vec::new()) != hll::MAGIC
    {
        // Its bytes are not made for that.
        return Err(NOT_ONE);
    }
    // An integer's text is none, so its digits need no place that lasts.
    look(Hll::parse(value.text(&mut TextBuffer::new())).ok_or(NOT_ONE)?)
}

/// Puts other bytes in the place of a string; Redis reports it as `raw` from then on.
fn replace(slot: &mut EntryMut<'_>, mut bytes: Vec<u8>) {
    slot.map(|entry| entry.with_value_only(NewValue::owned(&mut bytes)));
    slot.set_raw();
}

/// `hll-sparse-max-bytes`.
fn sparse_bytes_max(ctx: &Ctx<'_>) -> usize {
    usize::try_from(ctx.server.config.hll_sparse_max_bytes).unwrap_or(usize::MAX)
}

fn pfadd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan = Plan::new(1, Answer::Any, |ctx, piece, _| add_all(ctx, piece));
    if ctx.is_long_line(args) {
        return pieces::begin(ctx, 2, &LONG);
    }
    let changes = add_all(ctx, args)?;
    ctx.reply.integer(i64::from(changes > 0));
    Ok(Next::Done)
}

/// Adds the elements of a line; how many registers that has raised, and the key counts if it is new.
fn add_all(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<i64, ReplyError> {
    let (key, at, bytes_max) = (args.at(1), ctx.at, sparse_bytes_max(ctx));
    let marks = args.iter_from(2).map(Mark::of);
    let db = ctx.db();
    let changes = if let Some(mut slot) = db.lookup_write(key, at) {
        raise_all(&mut slot, marks, bytes_max)?
    } else {
        let mut bytes = hll::empty();
        let raised = raise_in(&mut bytes, marks, bytes_max)?;
        hll::forget_estimate(&mut bytes);
        range::insert_raw(db, key, bytes, at);
        1 + raised
    };
    if changes > 0 {
        ctx.change(Change::new(EventClass::String, "pfadd", key).times(changes));
    }
    Ok(changes as i64)
}

/// Raises registers of a key; how many were. What a reply in flight holds is copied only if one is raised.
fn raise_all(
    slot: &mut EntryMut<'_>,
    mut marks: impl Iterator<Item = Mark>,
    bytes_max: usize,
) -> Result<usize, ReplyError> {
    let found = with_hll(slot, |hll| {
        for mark in &mut marks {
            if hll.is_raised_by(mark)? {
                return Ok((hll.encoding(), Some(mark)));
            }
        }
        Ok((hll.encoding(), None))
    })?;
    slot.set_raw();
    let (encoding, Some(first)) = found else { return Ok(0) };
    range::expand(slot)?;
    let marks = std::iter::once(first).chain(marks);
    if encoding == Encoding::Dense {
        let raised = slot.edit_bytes(|bytes| marks.filter(|&mark| hll::raise_dense(bytes, mark)).count());
        return Ok(raised.unwrap_or(0));
    }
    // COMPAT: on a copy, so that a corrupt string stays as it is; Redis raises what comes before the corrupt part.
    let mut bytes = string_in(slot)?.text(&mut TextBuffer::new()).to_vec();
    let raised = raise_in(&mut bytes, marks, bytes_max)?;
    replace(slot, bytes);
    Ok(raised)
}

fn raise_in(bytes: &mut Vec<u8>, marks: impl Iterator<Item = Mark>, bytes_max: usize) -> Result<usize, ReplyError> {
    let mut raised = 0;
    for mark in marks {
        raised += usize::from(hll::raise(bytes, mark, bytes_max)?);
    }
    Ok(raised)
}

fn pfcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let count = match args.len() {
        2 => count_one(ctx, args.at(1))?,
        _ => {
            let Some((union, _)) = union_of(ctx, args)? else { return Ok(Next::Job) };
            union.count()
        }
    };
    ctx.reply.integer(count as i64);
    Ok(Next::Done)
}

/// The estimate of one key, which is kept there for the next time.
fn count_one(ctx: &mut Ctx<'_>, key: &[u8]) -> Result<u64, ReplyError> {
    let at = ctx.at;
    let Some(entry) = ctx.db().lookup_read(key, at) else { return Ok(0) };
    let (count, is_new) = with_hll(&entry, |hll| match hll.cached() {
        Some(count) => Ok((count, false)),
        None => Ok((hll.count()?, true)),
    })?;
    if let Some(mut slot) = ctx.db().lookup_write(key, at.without_access()) {
        slot.set_raw();
        if is_new {
            range::expand(&mut slot)?;
            slot.edit_bytes(|bytes| hll::set_estimate(bytes, count));
        }
    }
    if is_new {
        ctx.change(Change::without_event(key));
    }
    Ok(count)
}

/// The union of all keys of a line, and whether one of them is dense. `None` if there are so many that the command goes on as a
/// job, to be asked again at its end.
fn union_of(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<Option<(Registers, bool)>, ReplyError> {
    if let Some(gathered) = ctx.gathered::<Result<(Registers, bool), ReplyError>>() {
        return gathered.map(Some);
    }
    let at = ctx.at;
    let (mut union, mut any_dense) = (Registers::default(), false);
    if ctx.is_long((args.len() - 1) * MERGE_ELEMENTS) {
        let keys = args.iter_from(1).map(Box::from).collect();
        ctx.become_job(Uniting { at: at.without_hash().keeping_due(), keys, index: 0, union, any_dense })?;
        return Ok(None);
    }
    for key in args.iter_from(1) {
        if let Some(entry) = ctx.db().lookup_read(key, at) {
            merge_entry(&entry, &mut union, &mut any_dense)?;
        }
    }
    Ok(Some((union, any_dense)))
}

/// Adds what an entry holds to a union.
fn merge_entry(entry: &Entry, union: &mut Registers, any_dense: &mut bool) -> Result<(), ReplyError> {
    with_hll(entry, |hll| {
        *any_dense |= hll.encoding() == Encoding::Dense;
        Ok(union.merge(hll)?)
    })
}

/// Many HyperLogLogs being united.
#[derive(Debug)]
struct Uniting {
    /// The moment at which the command began. Lookups leave what is due where it is.
    at: Moment,
    keys: Vec<Box<[u8]>>,
    /// The key that comes next.
    index: usize,
    union: Registers,
    any_dense: bool,
}

impl Job for Uniting {
    fn step(&mut self, work: &mut Work<'_>) -> Step {
        let united = self.go_on(work);
        // Of keys that were looked for in vain, whoever wants to know is told.
        work.server.report(work.db);
        // What there is to be refused is the handler's to refuse.
        match united {
            Ok(false) => Step::More,
            Ok(true) => {
                Step::Gathered(Box::new(Ok::<_, ReplyError>((std::mem::take(&mut self.union), self.any_dense))))
            }
            Err(error) => Step::Gathered(Box::new(Err::<(Registers, bool), _>(error))),
        }
    }
}

impl Uniting {
    /// Unites until the slice is over; true at the end.
    fn go_on(&mut self, work: &mut Work<'_>) -> Result<bool, ReplyError> {
        let Uniting { at, keys, index, union, any_dense } = self;
        while let Some(key) = keys.get(*index) {
            *index += 1;
            if let Some(entry) = work.server.dbs[work.db].lookup_read(key, *at) {
                merge_entry(&entry, union, any_dense)?;
            }
            if !work.slice.spend(MERGE_ELEMENTS, 0) {
                break;
            }
        }
        Ok(*index == keys.len())
    }
}

fn pfmerge(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, at, bytes_max) = (args.at(1), ctx.at, sparse_bytes_max(ctx));
    let Some((union, any_dense)) = union_of(ctx, args)? else { return Ok(Next::Job) };
    merge_into(ctx.db(), key, &union, any_dense, bytes_max, at)?;
    ctx.change(Change::new(EventClass::String, "pfadd", key));
    ctx.reply.ok();
    Ok(Next::Done)
}

/// Raises a key's registers to those of a union it is part of, in the dense encoding if told so.
fn merge_into(
    db: &mut Db,
    key: &[u8],
    union: &Registers,
    dense: bool,
    bytes_max: usize,
    at: Moment,
) -> Result<(), ReplyError> {
    let Some(mut slot) = db.lookup_write(key, at) else {
        let bytes = merged(Hll::parse(&hll::empty()).ok_or(NOT_ONE)?, union, dense, bytes_max)?;
        range::insert_raw(db, key, bytes, at);
        return Ok(());
    };
    let replacement = with_hll(&slot, |old| match old.encoding() {
        Encoding::Dense => Ok(None),
        Encoding::Sparse => merged(old, union, dense, bytes_max).map(Some),
    })?;
    match replacement {
        Some(bytes) => replace(&mut slot, bytes),
        None => {
            range::expand(&mut slot)?;
            slot.edit_bytes(|bytes| hll::overwrite_dense(bytes, union));
        }
    }
    Ok(())
}

fn merged(old: Hll<'_>, union: &Registers, dense: bool, bytes_max: usize) -> Result<Vec<u8>, ReplyError> {
    if dense {
        let mut bytes = old.to_dense()?;
        hll::overwrite_dense(&mut bytes, union);
        return Ok(bytes);
    }
    let mut bytes = old.to_vec();
    hll::raise_to(&mut bytes, union, bytes_max)?;
    hll::forget_estimate(&mut bytes);
    Ok(bytes)
}

fn pfdebug(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    if args.is(1, "SIMD") {
        return simd(ctx, args);
    }
    let (key, at) = (args.at(2), ctx.at);
    let subcommand = args.at(1).to_ascii_uppercase();
    let db = ctx.db();
    let Some(mut slot) = db.lookup_write(key, at) else {
        return Err(ReplyError::new("ERR The specified key does not exist"));
    };
    let encoding = with_hll(&slot, |hll| Ok(hll.encoding()))?;
    slot.set_raw();
    match subcommand.as_slice() {
        b"ENCODING" => {
            drop(slot);
            ctx.reply.simple(if encoding == Encoding::Dense { "dense" } else { "sparse" });
        }
        b"DECODE" => {
            let text = with_hll(&slot, |hll| hll.decode().ok_or(ReplyError::new("ERR HLL encoding is not sparse")))?;
            drop(slot);
            ctx.reply.bulk_str(&text);
        }
        b"TODENSE" => {
            let converted = make_dense(&mut slot)?;
            drop(slot);
            report_conversion(ctx, key, converted);
            ctx.reply.integer(i64::from(converted));
        }
        b"GETREG" => {
            let converted = make_dense(&mut slot)?;
            let mut all = Registers::default();
            with_hll(&slot, |hll| Ok(all.merge(hll)?))?;
            drop(slot);
            report_conversion(ctx, key, converted);
            ctx.reply.array(hll::REGISTERS);
            all.iter().for_each(|value| ctx.reply.integer(i64::from(value)));
        }
        _ => return Err(ReplyError::about("ERR Unknown PFDEBUG subcommand '", args.at(1), "'")),
    }
    Ok(Next::Done)
}

/// What there is of vector instructions cannot be switched off, nor need it be switched on: the processor chose them. The
/// answer is that of a Redis on a processor without those it could switch.
fn simd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    if !args.is(2, "ON") && !args.is(2, "OFF") {
        return Err(ReplyError::new("ERR Argument must be ON or OFF"));
    }
    ctx.reply.simple("disabled");
    Ok(Next::Done)
}

/// Makes a key's HyperLogLog dense; false if it is.
fn make_dense(slot: &mut EntryMut<'_>) -> Result<bool, ReplyError> {
    let dense = with_hll(slot, |hll| match hll.encoding() {
        Encoding::Dense => Ok(None),
        Encoding::Sparse => Ok(Some(hll.to_dense()?)),
    })?;
    let Some(bytes) = dense else { return Ok(false) };
    replace(slot, bytes);
    Ok(true)
}

fn report_conversion(ctx: &mut Ctx<'_>, key: &[u8], converted: bool) {
    if converted {
        ctx.change(Change::without_event(key));
    }
}
