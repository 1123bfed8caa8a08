//! HIMPORT: hashes made of values alone, whose field names the connection has said before. Its fieldsets are
//! `feature::fieldsets`'s; those of a script are the connection's that runs it.

use std::ops::Range;
use std::sync::Arc;

use super::{limits, open_or_create};
use crate::command::help;
use crate::command::pieces;
use crate::command::spec::{Access, Category, Flags, Group, KeySpec, Outcome, Spec};
use crate::config::EventClass;
use crate::feature::client_id::ClientId;
use crate::feature::fieldsets::{BYTES_MAX, FIELDS_MAX, FIELDSETS_MAX, Fieldset, Fieldsets, Refusal};
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{CallOrigin, Ctx, Next};
use crate::server::jobs::Slice;
use crate::server::pieces::{Pieces, Progress};
use crate::store::db::{Lookup, Ttl};
use crate::store::entry::NewValue;
use crate::store::types::{Hash, Object};

const TO_ALL: &[&str] = &["request_policy:all_shards"];
const OVERWRITE: &[KeySpec] = &[KeySpec::one(Access::OW.with(Access::UPDATE), 2)];

const NO_SUCH_FIELDSET: ReplyError = ReplyError::new("ERR no such fieldset");
const BAD_COUNT: ReplyError = ReplyError::new("ERR the number of values does not match the fieldset");
const TWICE: ReplyError = ReplyError::new("ERR a fieldset cannot name a field twice");

/// Where the values of SET begin.
const VALUES_AT: usize = 4;

/// A subcommand about the connection's fieldsets.
const fn row(name: &'static str, arity: i32, handler: crate::command::spec::Handler) -> Spec {
    Spec::new(name, arity, Flags::NONE, handler).group(Group::Hash, Category::HASH, "8.10.0").member(0)
}

/// The row.
pub const ROW: Spec = Spec::container(
    "HIMPORT",
    &[
        row("DISCARD", 3, discard).tips(TO_ALL).doc(
            "Forgets a fieldset of the connection; answers whether there was one.",
            "O(N) where N is the number of fieldsets.",
            "fieldset",
        ),
        row("DISCARDALL", 2, discard_all).tips(TO_ALL).doc(
            "Forgets the connection's fieldsets and returns how many there were.",
            "O(N) where N is the number of fieldsets.",
            "",
        ),
        row("HELP", 2, help_text).flags(Flags::LOADING.with(Flags::STALE)).doc("Lists the subcommands.", "O(1)", ""),
        row("PREPARE", -4, prepare).denyoom().tips(TO_ALL).doc(
            "Names fields for the hashes that the connection, or a script of its, is about to make.",
            "O(N log N) where N is the number of fields.",
            "fieldset field [field ...]",
        ),
        Spec::write("SET", -5, set)
            .denyoom()
            .in_pieces()
            .keys(OVERWRITE)
            .group(Group::Hash, Category::HASH, "8.10.0")
            .member(0)
            .doc(
                "Makes a hash of the fields that a fieldset names, over whatever the key holds.",
                "O(N) where N is the number of fields.",
                "key fieldset value [value ...]",
            ),
    ],
)
.group(Group::Hash, Category::HASH, "8.10.0")
.doc("Makes hashes of values alone, whose fields were named before.", "Depends on subcommand.", "");

/// Whose fieldsets a command is about.
// COMPAT: a connection has fieldsets as it has a database selected; its scripts use the same, and leave theirs to it.
fn owner(ctx: &Ctx<'_>) -> ClientId {
    match ctx.origin {
        CallOrigin::Scripted => ctx.server.watchers.caches.author().unwrap_or(ctx.client),
        _ => ctx.client,
    }
}

/// The fieldsets of a connection, if it has any.
fn fieldsets<'c>(ctx: &'c mut Ctx<'_>) -> &'c mut Option<Box<Fieldsets>> {
    let owner = owner(ctx);
    &mut ctx.server.clients[owner].fieldsets
}

fn refusal(refused: Refusal) -> ReplyError {
    match refused {
        Refusal::Twice => TWICE,
        Refusal::TooManyFields => ReplyError::owned(format!("ERR a fieldset can name {FIELDS_MAX} fields at most")),
        Refusal::TooMany => ReplyError::owned(format!("ERR a connection can have {FIELDSETS_MAX} fieldsets at most")),
        Refusal::TooLarge => {
            ReplyError::owned(format!("ERR the fieldsets of a connection can take {BYTES_MAX} bytes at most"))
        }
    }
}

fn prepare(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let mut all = fieldsets(ctx).take().unwrap_or_default();
    let prepared = all.prepare(args.at(2), args.iter_from(3));
    *fieldsets(ctx) = Some(all).filter(|all| !all.is_empty());
    prepared.map_err(refusal)?;
    ctx.reply.ok();
    Ok(Next::Done)
}

fn discard(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let all = fieldsets(ctx);
    let was_there = all.as_mut().is_some_and(|all| all.discard(args.at(2)));
    all.take_if(|all| all.is_empty());
    ctx.reply.integer(i64::from(was_there));
    Ok(Next::Done)
}

fn discard_all(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let gone = fieldsets(ctx).take();
    ctx.reply.integer(gone.map_or(0, |all| all.len() as i64));
    Ok(Next::Done)
}

fn set(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let found = fieldsets(ctx).as_ref().and_then(|all| all.get(args.at(3)).cloned());
    let fieldset = found.ok_or(NO_SUCH_FIELDSET)?;
    if args.len() - VALUES_AT != fieldset.len() {
        return Err(BAD_COUNT);
    }
    if ctx.is_long_line(args) {
        return ctx.go_on_in_pieces(InPieces { fieldset, next: VALUES_AT });
    }
    write(ctx, args, &fieldset, VALUES_AT..args.len())?;
    ctx.reply.ok();
    Ok(Next::Done)
}

/// Writes some of the fields: with the first of them the hash takes the place of what the key holds, the others join it.
fn write(ctx: &mut Ctx<'_>, args: Args<'_>, fieldset: &Fieldset, values: Range<usize>) -> Result<(), ReplyError> {
    let (key, at, limits) = (args.at(2), ctx.at, limits(ctx.server));
    let names = || fieldset.names_from(values.start - VALUES_AT).take(values.len());
    let fields = names().zip(args.up_to(values.end).iter_from(values.start));
    let mut replaces = false;
    if values.start == VALUES_AT {
        let mut hash = Hash::of_distinct(fields.clone(), &limits, ctx.db().sharing());
        hash.expect_fields(fieldset.len(), &limits);
        ctx.db().set_if(key, NewValue::Object(Object::Hash(hash)), Ttl::Clear, at, Lookup::Write, |old| {
            replaces = old.is_some();
            true
        });
    } else {
        let mut hash = open_or_create(ctx.server, ctx.db, key, at)?;
        for (name, value) in fields.clone() {
            hash.set(name, value, false, at.due_ms(), &limits);
        }
    }
    ctx.change(Change::new(EventClass::Hash, "hset", key));
    ctx.notify_subkeys(EventClass::Hash, "hset", key, names());
    ctx.propagate_as(|lines| {
        if replaces {
            lines.push([b"DEL".as_slice(), key]);
        }
        lines.push([b"HSET".as_slice(), key].into_iter().chain(fields.flat_map(|(name, value)| [name, value])));
    });
    Ok(())
}

/// HIMPORT SET of very many fields. What the connection does to the fieldset meanwhile is of no account.
#[derive(Debug)]
struct InPieces {
    fieldset: Arc<Fieldset>,
    /// The argument at which the next piece begins.
    next: usize,
}

impl Pieces for InPieces {
    fn go_on(&mut self, ctx: &mut Ctx<'_>, args: Args<'_>, slice: &mut Slice<'_>) -> Result<Progress, ReplyError> {
        loop {
            if !slice.is_endless() && ctx.snapshot_lacks(args.up_to(VALUES_AT)) {
                return Ok(Progress::Waits);
            }
            let (end, bytes) = pieces::extent(args, self.next, 1, slice.left());
            write(ctx, args, &self.fieldset, self.next..end)?;
            let elements = end - self.next;
            self.next = end;
            if self.next == args.len() {
                ctx.reply.ok();
                return Ok(Progress::Through);
            }
            if !slice.spend(elements, bytes) {
                return Ok(Progress::More);
            }
        }
    }
}

fn help_text(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    help::write(
        &mut ctx.reply,
        "HIMPORT",
        &[
            "DISCARD <fieldset>",
            "    Forget a fieldset of this connection.",
            "DISCARDALL",
            "    Forget all fieldsets of this connection.",
            "PREPARE <fieldset> <field> [<field> ...]",
            "    Name the fields of hashes that are set later on.",
            "SET <key> <fieldset> <value> [<value> ...]",
            "    Make a hash of the fields of a fieldset.",
        ],
    );
    Ok(Next::Done)
}
