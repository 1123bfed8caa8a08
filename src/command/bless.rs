//! BLESS, which names keys that no memory policy lets go: the rows and the handlers below. The walk is SCAN's (`scan`).

use super::spec::{Access, Category, Flags, Group, KeySpec, Outcome, Spec};
use super::{help, scan};
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};

const READ: &[KeySpec] = &[KeySpec::one(Access::RO, 2)];
const UPDATE: &[KeySpec] = &[KeySpec::one(Access::RW.with(Access::UPDATE), 2)];

/// The one flag that a key may be given.
const NO_EVICT: &str = "NO-EVICT";

/// The rows.
pub const ROWS: &[Spec] = &[Spec::container(
    "BLESS",
    &[
        Spec::write("SET", 4, set).denyoom().fast().keys(UPDATE).group(Group::Generic, Category::DANGEROUS, SINCE).doc(
            "Keeps a key from being evicted when memory is short.",
            "O(1)",
            "key NO-EVICT",
        ),
        Spec::write("CLEAR", 4, clear).fast().keys(UPDATE).group(Group::Generic, Category::DANGEROUS, SINCE).doc(
            "Lets a key be evicted again.",
            "O(1)",
            "key NO-EVICT",
        ),
        Spec::read("GET", 3, get).fast().keys(READ).group(Group::Generic, Category::KEYSPACE, SINCE).doc(
            "Names what a key was given by BLESS SET.",
            "O(1)",
            "key",
        ),
        Spec::new("HELP", 2, Flags::LOADING.with(Flags::STALE), help_text)
            .group(Group::Generic, Category::KEYSPACE, SINCE)
            .doc("Explains the subcommands.", "O(1)", ""),
        Spec::read("SCAN", -4, scan::scan_blessed)
            .group(Group::Generic, Category::KEYSPACE, SINCE)
            .doc(
                "Walks the names of the keys that are never evicted, some at a time.",
                "O(1) for every call. O(N) for a whole walk, where N is the number of keys in the database.",
                "cursor NO-EVICT [COUNT count]",
            )
            .tips(&["nondeterministic_output", "request_policy:special", "response_policy:special"]),
    ],
)
.group(Group::Generic, Category::NONE, SINCE)
.doc("Says which keys are never evicted.", "Depends on subcommand.", "")];

const SINCE: &str = "8.12.0";

fn help_text(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    help::write(
        &mut ctx.reply,
        "BLESS",
        &[
            "CLEAR <key> NO-EVICT",
            "    Let the key be evicted again.",
            "GET <key>",
            "    Return what the key was given by SET.",
            "SCAN <cursor> NO-EVICT [COUNT <count>]",
            "    Walk the names of the keys that are never evicted.",
            "SET <key> NO-EVICT",
            "    Keep the key from being evicted, whatever the memory policy.",
        ],
    );
    Ok(Next::Done)
}

/// Refuses what is not the name of a flag.
pub(super) fn check_flag(args: Args<'_>, index: usize) -> Result<(), ReplyError> {
    if args.is(index, NO_EVICT) { Ok(()) } else { Err(ReplyError::SYNTAX) }
}

fn set(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    change(ctx, args, true, "bless")
}

fn clear(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    change(ctx, args, false, "unbless")
}

fn change(ctx: &mut Ctx<'_>, args: Args<'_>, is_blessed: bool, event: &'static str) -> Outcome {
    check_flag(args, 3)?;
    let (key, at) = (args.at(2), ctx.at);
    let changed = ctx.db().bless(key, is_blessed, at).ok_or(ReplyError::NO_SUCH_KEY)?;
    if changed {
        ctx.change(Change::new(EventClass::Generic, event, key).in_place());
    }
    ctx.reply.integer(i64::from(changed));
    Ok(Next::Done)
}

/// Looking is no access.
fn get(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let at = ctx.at.without_access();
    let is_blessed = ctx.db().lookup_read(args.at(2), at).ok_or(ReplyError::NO_SUCH_KEY)?.is_blessed();
    ctx.reply.array(usize::from(is_blessed));
    if is_blessed {
        ctx.reply.bulk_str(NO_EVICT);
    }
    Ok(Next::Done)
}
