//! INFO: the server's facts in sections. The rows and the choice of sections; `sections` writes each, and `metrics` what Prometheus
//! is shown of them.

pub mod metrics;
mod persistence;
mod replication;
mod sections;

use super::spec::{Category, Flags, Group, Outcome, Spec};
use crate::resp::args::Args;
use crate::server::ctx::{Ctx, Next};

use sections::{Report, SECTIONS, Shown};

/// The rows.
pub const ROWS: &[Spec] = &[Spec::new("INFO", -1, Flags::LOADING.with(Flags::STALE), info)
    .group(Group::Server, Category::DANGEROUS, "1.0.0")
    .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
    .doc(
        "Shows facts and statistics about the server.",
        "O(N) where N is the number of clients",
        "[section [section ...]]",
    )
    .history(&[("7.0.0", "Several sections may be named.")])];

fn info(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let mut report = Report::new(ctx.server, ctx.now);
    for section in SECTIONS {
        if section.names.iter().any(|name| is_asked_for(name, section.shown, args)) {
            report.section(section.title);
            (section.write)(&mut report);
        }
    }
    let text = report.finish();
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(Next::Done)
}

fn is_asked_for(name: &str, shown: Shown, args: Args<'_>) -> bool {
    if args.len() == 1 {
        return shown == Shown::ByDefault;
    }
    args.iter_from(1).any(|asked| {
        let asks = |word: &str| asked.eq_ignore_ascii_case(word.as_bytes());
        asks(name) || asks("all") || asks("everything") || (shown == Shown::ByDefault && asks("default"))
    })
}
