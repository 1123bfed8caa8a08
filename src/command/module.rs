//! MODULE: extensions that a Redis loads at run time. There are none here, and none can be loaded.

use super::help;
use super::spec::{Category, Flags, Group, Outcome, Spec};
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next};

const FOR_ADMINS: Flags = Flags::ADMIN.with(Flags::NOSCRIPT);
const CHANGING: Flags = FOR_ADMINS.with(Flags::NO_ASYNC_LOADING).with(Flags::MODULES);

/// The rows.
pub const ROWS: &[Spec] = &[Spec::container(
    "MODULE",
    &[
        row("HELP", 2, Flags::LOADING.with(Flags::STALE), help_text, "5.0.0").doc("Lists the subcommands.", "O(1)", ""),
        row("LIST", 2, FOR_ADMINS, list, "4.0.0").tips(&["nondeterministic_output_order"]).doc(
            "Lists the modules: always none.",
            "O(N) where N is the number of loaded modules.",
            "",
        ),
        row("LOAD", -3, CHANGING, closed, "4.0.0").doc(
            "Refused: modules cannot be loaded.",
            "O(1)",
            "path [arg [arg ...]]",
        ),
        row("LOADEX", -3, CHANGING, closed, "7.0.0").doc(
            "Refused: modules cannot be loaded.",
            "O(1)",
            "path [CONFIG name value [CONFIG name value ...]] [ARGS args [args ...]]",
        ),
        row("UNLOAD", 3, CHANGING, closed, "4.0.0").doc("Refused: there are no modules.", "O(1)", "name"),
    ],
)
.group(Group::Server, Category::NONE, "4.0.0")
.doc("Tells of modules.", "Depends on subcommand.", "")];

const fn row(
    name: &'static str,
    arity: i32,
    flags: Flags,
    handler: fn(&mut Ctx<'_>, Args<'_>) -> Outcome,
    since: &'static str,
) -> Spec {
    Spec::new(name, arity, flags, handler).group(Group::Server, Category::NONE, since)
}

fn list(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    ctx.reply.array(0);
    Ok(Next::Done)
}

/// No line gets here: the gate refuses these commands, also those that a transaction would queue.
fn closed(_ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    Err(ReplyError::new("ERR modules cannot be loaded"))
}

fn help_text(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    help::write(
        &mut ctx.reply,
        "MODULE",
        &[
            "LIST",
            "    Return a list of loaded modules.",
            "LOAD <path> [<arg> ...]",
            "    Load a module library from <path>, passing to it any optional arguments.",
            "LOADEX <path> [[CONFIG NAME VALUE] [CONFIG NAME VALUE]] [ARGS ...]",
            "    Load a module library from <path>, while passing it module configurations and optional arguments.",
            "UNLOAD <name>",
            "    Unload a module.",
        ],
    );
    Ok(Next::Done)
}
