//! The reply of every `<CONTAINER> HELP`.

use crate::resp::reply::Reply;

/// Writes the head, the lines and the entry of HELP itself, as Redis frames them.
pub(super) fn write(reply: &mut Reply<'_>, container: &str, lines: &[&str]) {
    reply.array(lines.len() + 3);
    reply.simple(&format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    lines.iter().for_each(|line| reply.simple(line));
    reply.simple("HELP");
    reply.simple("    Print this help.");
}
