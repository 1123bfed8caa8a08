//! The server as a whole: its time, its role, its end, and a throw of dice. The rows and the handlers below.

use super::spec::{Category, Flags, Group, Outcome, Spec};
use crate::base::num;
use crate::base::prng::Prng;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::REDIS_VERSION;
use crate::server::ctx::{Ctx, Next};

const STOPPING: Flags = Flags::ADMIN
    .with(Flags::NOSCRIPT)
    .with(Flags::LOADING)
    .with(Flags::STALE)
    .with(Flags::NO_MULTI)
    .with(Flags::ALLOW_BUSY);
const ASKING_TIME: Flags = Flags::LOADING.with(Flags::STALE).with(Flags::FAST);

/// The rows.
pub const ROWS: &[Spec] = &[
    Spec::new("TIME", 1, ASKING_TIME, time)
        .group(Group::Server, Category::NONE, "2.6.0")
        .doc("Answers the server's time.", "O(1)", "")
        .tips(&["nondeterministic_output"]),
    Spec::new("ROLE", 1, ASKING_TIME.with(Flags::NOSCRIPT), role)
        .group(Group::Server, Category::ADMIN.with(Category::DANGEROUS), "2.8.12")
        .doc("Answers the server's role in replication.", "O(1)", ""),
    Spec::new("LASTSAVE", 1, ASKING_TIME, lastsave)
        .group(Group::Server, Category::ADMIN.with(Category::DANGEROUS), "1.0.0")
        .doc("Answers when data was last saved, in Unix seconds; the start counts as the first time.", "O(1)", "")
        .tips(&["nondeterministic_output"]),
    Spec::new("LOLWUT", -1, Flags::READONLY.with(Flags::FAST), lolwut)
        .group(Group::Server, Category::NONE, "5.0.0")
        .doc("Shows a work of art and the server's version.", "", "[VERSION version]"),
    Spec::new("SHUTDOWN", -1, STOPPING, shutdown)
        .group(Group::Server, Category::NONE, "1.0.0")
        .doc(
            "Stops the server; data is not saved.",
            "O(N) when saving, where N is the total number of keys in all databases when saving data, otherwise O(1)",
            "[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]",
        )
        .history(&[("7.0.0", "Added `NOW`, `FORCE` and `ABORT`.")]),
    Spec::new("ABORT", -1, STOPPING, abort).group(Group::Server, Category::NONE, "0.1.0").doc(
        "Answers OK and stops the server; data is not saved.",
        "O(1)",
        "",
    ),
];

const CANNOT_SAVE: ReplyError = ReplyError::new("ERR AleaDB cannot save its data yet: use SHUTDOWN NOSAVE");
const NO_SHUTDOWN: ReplyError = ReplyError::new("ERR No shutdown in progress.");

fn time(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let now_us = ctx.server.clock.unix_us();
    ctx.reply.array(2);
    ctx.reply.bulk_integer(now_us.div_euclid(1_000_000));
    ctx.reply.bulk_integer(now_us.rem_euclid(1_000_000));
    Ok(Next::Done)
}

/// There is no replication yet, so the truth is always that of a primary without replicas and without history.
fn role(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    ctx.reply.array(3);
    ctx.reply.bulk_str("master");
    ctx.reply.integer(0);
    ctx.reply.array(0);
    Ok(Next::Done)
}

// COMPAT: nothing can be saved yet, and before the first save Redis answers the time of its start.
fn lastsave(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    ctx.reply.integer(ctx.server.started_unix_s);
    Ok(Next::Done)
}

fn shutdown(_ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let given = |word: &str| args.iter_from(1).any(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
    let (nosave, save, now, force, abort) =
        (given("NOSAVE"), given("SAVE"), given("NOW"), given("FORCE"), given("ABORT"));
    let known = ["NOSAVE", "SAVE", "NOW", "FORCE", "ABORT"];
    let unknown = |arg: &[u8]| !known.iter().any(|word| arg.eq_ignore_ascii_case(word.as_bytes()));
    if args.iter_from(1).any(unknown) || (nosave && save) || (abort && (nosave || save || now || force)) {
        return Err(ReplyError::SYNTAX);
    }
    if abort {
        // A shutdown waits for nothing (NOW changes nothing either), so there is never one under way.
        return Err(NO_SHUTDOWN);
    }
    // FORCE means to go in spite of whatever could not be saved.
    if save && !force {
        return Err(CANNOT_SAVE);
    }
    Ok(Next::Shutdown)
}

fn abort(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    ctx.reply.ok();
    Ok(Next::Shutdown)
}

/// The version LOLWUT's dice belong to: that of the Redis whose behaviour the server has. Any other has no art.
const DICE_VERSION: i64 = 7;
/// Dice side by side and on top of each other, at most and if nothing is said.
const DICE_ACROSS_MAX: i64 = 16;
const DICE_DOWN_MAX: i64 = 16;
const DICE_ACROSS: i64 = 5;
const DICE_DOWN: i64 = 2;

fn lolwut(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let number = |index: usize| -> Result<Option<i64>, ReplyError> {
        args.get(index).map(|arg| num::parse_i64(arg).ok_or(ReplyError::NOT_AN_INTEGER)).transpose()
    };
    let chosen = args.len() > 2 && args.is(1, "VERSION");
    let version = if chosen { number(2)? } else { Some(DICE_VERSION) };
    let mut text = String::new();
    if version == Some(DICE_VERSION) {
        let first = if chosen { 3 } else { 1 };
        let across = number(first)?.unwrap_or(DICE_ACROSS).clamp(1, DICE_ACROSS_MAX);
        let down = number(first + 1)?.unwrap_or(DICE_DOWN).clamp(1, DICE_DOWN_MAX);
        throw_dice(&mut text, &mut ctx.server.prng, across as usize, down as usize);
        text.push_str(&format!("\nAlea iacta est. AleaDB ver. {}. ", env!("CARGO_PKG_VERSION")));
    }
    text.push_str(&format!("Redis ver. {REDIS_VERSION}\n"));
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(Next::Done)
}

/// The three rows of pips of each face.
const FACES: [[&str; 3]; 6] = [
    ["       ", "   ●   ", "       "],
    [" ●     ", "       ", "     ● "],
    [" ●     ", "   ●   ", "     ● "],
    [" ●   ● ", "       ", " ●   ● "],
    [" ●   ● ", "   ●   ", " ●   ● "],
    [" ●   ● ", " ●   ● ", " ●   ● "],
];

fn throw_dice(text: &mut String, prng: &mut Prng, across: usize, down: usize) {
    let repeat = |text: &mut String, part: &str| {
        text.push_str(&vec![part; across].join(" "));
        text.push('\n');
    };
    for _ in 0..down {
        let faces: Vec<_> = (0..across).map(|_| FACES[prng.below(6) as usize]).collect();
        repeat(text, "╭───────╮");
        for row in 0..3 {
            let pips: Vec<String> = faces.iter().map(|face| format!("│{}│", face[row])).collect();
            text.push_str(&pips.join(" "));
            text.push('\n');
        }
        repeat(text, "╰───────╯");
    }
}
