//! The README's table of commands, made from the rows so that it cannot differ from them.

use std::fmt::Write;

use super::registry::Command;

/// The Markdown table of every command and subcommand, folded: group, command, arity, since, what.
pub fn compatibility_table(commands: &[Command]) -> String {
    let subcommands: usize = commands.iter().map(|command| command.subcommands.len()).sum();
    let mut table = format!(
        "<details>\n<summary>{} commands and {subcommands} subcommands</summary>\n\n\
         | group | command | arity | since | what |\n| --- | --- | --- | --- | --- |\n",
        commands.len()
    );
    for command in commands {
        add(&mut table, command);
        command.subcommands.iter().for_each(|sub| add(&mut table, sub));
    }
    table.push_str("\n</details>\n");
    table
}

fn add(table: &mut String, command: &Command) {
    let spec = command.spec;
    let name = command.full_name.to_ascii_uppercase().replace('|', " ");
    let what = spec.summary.replace('|', "\\|");
    let (group, arity, since) = (spec.group.name(), spec.arity, spec.since);
    writeln!(table, "| {group} | {name} | {arity} | {since} | {what} |").expect("a string takes any text");
}
