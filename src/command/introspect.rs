//! COMMAND: what clients and people can ask about the commands. Everything is read off the rows.

use super::spec::syntax::{Arg, ArgKind};
use super::spec::{Begin, Category, Find, Flags, Group, KeySpec, KeyUse, Outcome, Spec};
use super::spec::{keyspec, syntax};
use super::{Command, help, lookup, reachable};
use crate::base::glob::Pattern;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::ctx::{Ctx, Next};

const FLAGS: Flags = Flags::LOADING.with(Flags::STALE);
const UNORDERED: &[&str] = &["nondeterministic_output_order"];

/// The rows.
pub const ROWS: &[Spec] = &[Spec::new("COMMAND", -1, FLAGS, command)
    .group(Group::Server, Category::CONNECTION, "2.8.13")
    .tips(UNORDERED)
    .doc("Describes every command.", "O(N) where N is the number of commands", "")
    .with_subcommands(&[
        Spec::new("COUNT", 2, FLAGS, count).group(Group::Server, Category::CONNECTION, "2.8.13").doc(
            "Tells how many commands there are.",
            "O(1)",
            "",
        ),
        Spec::new("DOCS", -2, FLAGS, docs).group(Group::Server, Category::CONNECTION, "7.0.0").tips(UNORDERED).doc(
            "Documents the named commands, or all.",
            "O(N) where N is the number of commands asked for",
            "[command-name [command-name ...]]",
        ),
        Spec::new("GETKEYS", -3, FLAGS, getkeys).group(Group::Server, Category::CONNECTION, "2.8.13").doc(
            "Picks the keys out of a command line.",
            "O(N) where N is the number of arguments",
            "command [arg [arg ...]]",
        ),
        Spec::new("GETKEYSANDFLAGS", -3, FLAGS, getkeysandflags)
            .group(Group::Server, Category::CONNECTION, "7.0.0")
            .doc(
                "Picks the keys out of a command line and tells how each is used.",
                "O(N) where N is the number of arguments",
                "command [arg [arg ...]]",
            ),
        Spec::new("HELP", 2, FLAGS, help_text).group(Group::Server, Category::CONNECTION, "5.0.0").doc(
            "Lists the subcommands.",
            "O(1)",
            "",
        ),
        Spec::new("INFO", -2, FLAGS, info)
            .group(Group::Server, Category::CONNECTION, "2.8.13")
            .tips(UNORDERED)
            .doc(
                "Describes the named commands, or all.",
                "O(N) where N is the number of commands asked for",
                "[command-name [command-name ...]]",
            )
            .history(&[("7.0.0", "Without a name it describes every command.")]),
        Spec::new("LIST", -2, FLAGS, list).group(Group::Server, Category::CONNECTION, "7.0.0").tips(UNORDERED).doc(
            "Lists the names of commands.",
            "O(N) where N is the number of commands",
            "[FILTERBY <MODULE module-name | ACLCAT category | PATTERN pattern>]",
        ),
    ])];

const INVALID_COMMAND: ReplyError = ReplyError::new("ERR Invalid command specified");
const NO_KEYS: ReplyError = ReplyError::new("ERR The command has no key arguments");
const INVALID_COUNT: ReplyError = ReplyError::new("ERR Invalid number of arguments specified for command");
const INVALID_ARGUMENTS: ReplyError = ReplyError::new("ERR Invalid arguments specified for command");

/// The command of a full name, `get` or `config|get`, in any case.
fn named(name: &[u8]) -> Option<&'static Command> {
    let mut parts = name.split(|&byte| byte == b'|');
    let command = lookup(parts.next()?)?;
    match (parts.next(), parts.next()) {
        (None, _) => Some(command),
        (Some(sub), None) => command.subcommand(sub),
        (Some(_), Some(_)) => None,
    }
}

fn command(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    write_all(&mut ctx.reply);
    Ok(Next::Done)
}

fn write_all(reply: &mut Reply<'_>) {
    reply.array(reachable().count());
    reachable().for_each(|command| write_facts(reply, command));
}

fn count(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    ctx.reply.integer(reachable().count() as i64);
    Ok(Next::Done)
}

fn info(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let reply = &mut ctx.reply;
    if args.len() == 2 {
        write_all(reply);
        return Ok(Next::Done);
    }
    reply.array(args.len() - 2);
    for name in args.iter_from(2) {
        match named(name) {
            Some(command) => write_facts(reply, command),
            None => reply.null(),
        }
    }
    Ok(Next::Done)
}

/// The ten facts of COMMAND INFO.
fn write_facts(reply: &mut Reply<'_>, command: &Command) {
    let spec = command.spec;
    reply.array(10);
    reply.bulk_str(&command.full_name);
    reply.integer(i64::from(spec.arity));
    write_words(reply, "", spec.flags.names());
    let range = keyspec::legacy(spec.keys);
    [range.first as i64, range.last as i64, range.step as i64].into_iter().for_each(|number| reply.integer(number));
    write_words(reply, "@", spec.categories().names());
    reply.set(spec.tips.len());
    spec.tips.iter().for_each(|tip| reply.bulk_str(tip));
    reply.set(spec.keys.len());
    spec.keys.iter().for_each(|keys| write_key_spec(reply, keys));
    match command.subcommands.as_slice() {
        [] => reply.set(0),
        subcommands => {
            reply.array(subcommands.len());
            subcommands.iter().for_each(|sub| write_facts(reply, sub));
        }
    }
}

/// A set of simple strings.
fn write_words(reply: &mut Reply<'_>, prefix: &str, words: impl Iterator<Item = &'static str>) {
    let words: Vec<&str> = words.collect();
    reply.set(words.len());
    words.iter().for_each(|word| reply.simple(&format!("{prefix}{word}")));
}

fn write_key_spec(reply: &mut Reply<'_>, keys: &KeySpec) {
    reply.map(3 + usize::from(!keys.notes.is_empty()));
    if !keys.notes.is_empty() {
        write_text(reply, "notes", keys.notes);
    }
    reply.bulk_str("flags");
    write_words(reply, "", keys.access.names());
    reply.bulk_str("begin_search");
    match keys.begin {
        Begin::Index(index) => write_method(reply, "index", &[("index", index as i64)]),
        Begin::Keyword { keyword, startfrom } => {
            write_method_head(reply, "keyword", 2);
            write_text(reply, "keyword", keyword);
            write_number(reply, "startfrom", startfrom as i64);
        }
        Begin::Unknown => write_method(reply, "unknown", &[]),
    }
    reply.bulk_str("find_keys");
    match keys.find {
        Find::Range { last, step, limit } => {
            write_method(
                reply,
                "range",
                &[("lastkey", last as i64), ("keystep", step as i64), ("limit", limit as i64)],
            );
        }
        Find::Keynum { number, first, step } => {
            let numbers = [("keynumidx", number as i64), ("firstkey", first as i64), ("keystep", step as i64)];
            write_method(reply, "keynum", &numbers);
        }
        Find::Unknown => write_method(reply, "unknown", &[]),
    }
}

fn write_method(reply: &mut Reply<'_>, kind: &str, numbers: &[(&str, i64)]) {
    write_method_head(reply, kind, numbers.len());
    numbers.iter().for_each(|(name, number)| write_number(reply, name, *number));
}

/// What comes before the `facts` of a method.
fn write_method_head(reply: &mut Reply<'_>, kind: &str, facts: usize) {
    reply.map(2);
    write_text(reply, "type", kind);
    reply.bulk_str("spec");
    reply.map(facts);
}

fn write_number(reply: &mut Reply<'_>, name: &str, number: i64) {
    reply.bulk_str(name);
    reply.integer(number);
}

fn docs(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let commands: Vec<&Command> = match args.len() {
        2 => reachable().collect(),
        _ => args.iter_from(2).filter_map(named).collect(),
    };
    ctx.reply.map(commands.len());
    for command in commands {
        ctx.reply.bulk_str(&command.full_name);
        write_docs(&mut ctx.reply, command);
    }
    Ok(Next::Done)
}

fn write_docs(reply: &mut Reply<'_>, command: &Command) {
    let spec = command.spec;
    // A test reads every syntax, so none is refused here.
    let arguments = syntax::parse_command(&command.full_name, spec.syntax).unwrap_or_default();
    let doc_flags = [(spec.deprecated.is_some(), "deprecated"), (spec.flags.has(Flags::SYSTEM), "syscmd")];
    let doc_flags: Vec<&str> = doc_flags.into_iter().filter_map(|(set, name)| set.then_some(name)).collect();
    let present = [
        !spec.complexity.is_empty(),
        !doc_flags.is_empty(),
        spec.deprecated.is_some(),
        spec.deprecated.is_some(),
        !spec.history.is_empty(),
        !arguments.is_empty(),
        !command.subcommands.is_empty(),
    ];
    reply.map(3 + present.into_iter().filter(|present| *present).count());
    for (name, text) in [("summary", spec.summary), ("since", spec.since), ("group", spec.group.name())] {
        write_text(reply, name, text);
    }
    if !spec.complexity.is_empty() {
        write_text(reply, "complexity", spec.complexity);
    }
    if !doc_flags.is_empty() {
        reply.bulk_str("doc_flags");
        write_words(reply, "", doc_flags.into_iter());
    }
    if let Some((since, instead)) = spec.deprecated {
        write_text(reply, "deprecated_since", since);
        write_text(reply, "replaced_by", instead);
    }
    write_history(reply, spec.history);
    if !arguments.is_empty() {
        reply.bulk_str("arguments");
        write_arguments(reply, &arguments, &mut KeyCounter { next: 0, specs: spec.keys });
    }
    if !command.subcommands.is_empty() {
        reply.bulk_str("subcommands");
        reply.map(command.subcommands.len());
        for sub in &command.subcommands {
            reply.bulk_str(&sub.full_name);
            write_docs(reply, sub);
        }
    }
}

fn write_text(reply: &mut Reply<'_>, name: &str, text: &str) {
    reply.bulk_str(name);
    reply.bulk_str(text);
}

fn write_history(reply: &mut Reply<'_>, history: &[(&str, &str)]) {
    if history.is_empty() {
        return;
    }
    reply.bulk_str("history");
    reply.set(history.len());
    for (version, change) in history {
        reply.array(2);
        reply.bulk_str(version);
        reply.bulk_str(change);
    }
}

/// Tells which key specification an argument belongs to: keys come in the order of the specifications, and the last one
/// serves the rest. A pattern belongs to the keys that only the data tells, if there are such.
struct KeyCounter {
    next: usize,
    specs: &'static [KeySpec],
}

impl KeyCounter {
    fn of(&mut self, arg: &Arg) -> Option<usize> {
        let index = match arg.kind {
            ArgKind::Key => self.next.min(self.specs.len().checked_sub(1)?),
            ArgKind::Pattern => self.specs.iter().position(|spec| spec.begin == Begin::Unknown)?,
            _ => return None,
        };
        self.next = index + 1;
        Some(index)
    }
}

fn write_arguments(reply: &mut Reply<'_>, arguments: &[Arg], keys: &mut KeyCounter) {
    reply.array(arguments.len());
    arguments.iter().for_each(|arg| write_argument(reply, arg, keys));
}

fn write_argument(reply: &mut Reply<'_>, arg: &Arg, keys: &mut KeyCounter) {
    let key_spec = keys.of(arg);
    let flags = [(arg.optional, "optional"), (arg.multiple, "multiple"), (arg.multiple_token, "multiple_token")];
    let flags: Vec<&str> = flags.into_iter().filter_map(|(set, name)| set.then_some(name)).collect();
    let present = [
        arg.display_text.is_some(),
        key_spec.is_some(),
        arg.token.is_some(),
        !flags.is_empty(),
        arg.kind.has_children(),
    ];
    reply.map(2 + present.into_iter().filter(|present| *present).count());
    write_text(reply, "name", &arg.name);
    write_text(reply, "type", arg.kind.as_str());
    if let Some(text) = &arg.display_text {
        write_text(reply, "display_text", text);
    }
    if let Some(index) = key_spec {
        reply.bulk_str("key_spec_index");
        reply.integer(index as i64);
    }
    if let Some(token) = &arg.token {
        write_text(reply, "token", token);
    }
    if !flags.is_empty() {
        reply.bulk_str("flags");
        write_words(reply, "", flags.into_iter());
    }
    if arg.kind.has_children() {
        reply.bulk_str("arguments");
        write_arguments(reply, &arg.children, keys);
    }
}

/// Which commands COMMAND LIST names.
enum Filter {
    Everything,
    /// Of a loaded module. There are none.
    Module,
    /// In an ACL category, if there is one of that name.
    Category(Option<Category>),
    /// Whose full name matches a glob.
    Pattern(Pattern),
}

impl Filter {
    fn read(args: Args<'_>) -> Result<Filter, ReplyError> {
        match args.len() {
            2 => Ok(Filter::Everything),
            5 if !args.is(2, "FILTERBY") => Err(ReplyError::SYNTAX),
            5 if args.is(3, "MODULE") => Ok(Filter::Module),
            5 if args.is(3, "ACLCAT") => Ok(Filter::Category(Category::named(args.at(4)))),
            5 if args.is(3, "PATTERN") => Ok(Filter::Pattern(Pattern::new(args.at(4), true))),
            _ => Err(ReplyError::SYNTAX),
        }
    }

    fn accepts(&self, command: &Command) -> bool {
        match self {
            Filter::Everything => true,
            Filter::Module => false,
            Filter::Category(category) => category.is_some_and(|category| command.spec.categories().has(category)),
            Filter::Pattern(pattern) => pattern.matches(command.full_name.as_bytes()),
        }
    }
}

fn list(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let filter = Filter::read(args)?;
    let commands = reachable().flat_map(|command| std::iter::once(command).chain(&command.subcommands));
    let names: Vec<&str> =
        commands.filter(|command| filter.accepts(command)).map(|command| command.full_name.as_str()).collect();
    ctx.reply.array(names.len());
    names.iter().for_each(|name| ctx.reply.bulk_str(name));
    Ok(Next::Done)
}

/// The keys of a command line with how they are used.
fn keys_of(line: Args<'_>) -> Result<Vec<KeyUse>, ReplyError> {
    let command = lookup(line.at(0)).ok_or(INVALID_COMMAND)?;
    let command = match line.get(1) {
        Some(name) if !command.subcommands.is_empty() => command.subcommand(name).ok_or(INVALID_COMMAND)?,
        _ => command,
    };
    let spec = command.spec;
    if !spec.has_keys() {
        return Err(NO_KEYS);
    }
    if !spec.takes(line.len()) {
        return Err(INVALID_COUNT);
    }
    let found = spec.keys_of(line);
    if found.is_empty() && !spec.flags.has(Flags::NO_MANDATORY_KEYS) { Err(INVALID_ARGUMENTS) } else { Ok(found) }
}

fn getkeys(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let line = args.tail(2);
    let keys = keys_of(line)?;
    ctx.reply.array(keys.len());
    keys.iter().for_each(|key| ctx.reply.bulk(line.at(key.index)));
    Ok(Next::Done)
}

fn getkeysandflags(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let line = args.tail(2);
    let keys = keys_of(line)?;
    ctx.reply.array(keys.len());
    for key in keys {
        ctx.reply.array(2);
        ctx.reply.bulk(line.at(key.index));
        write_words(&mut ctx.reply, "", key.access.names());
    }
    Ok(Next::Done)
}

fn help_text(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    help::write(
        &mut ctx.reply,
        "COMMAND",
        &[
            "(no subcommand)",
            "    Return details about all Redis commands.",
            "COUNT",
            "    Return the total number of commands in this Redis server.",
            "LIST",
            "    Return a list of all commands in this Redis server.",
            "INFO [<command-name> ...]",
            "    Return details about multiple Redis commands.",
            "    If no command names are given, documentation details for all",
            "    commands are returned.",
            "DOCS [<command-name> ...]",
            "    Return documentation details about multiple Redis commands.",
            "    If no command names are given, documentation details for all",
            "    commands are returned.",
            "GETKEYS <full-command>",
            "    Return the keys from a full Redis command.",
            "GETKEYSANDFLAGS <full-command>",
            "    Return the keys and the access flags from a full Redis command.",
        ],
    );
    Ok(Next::Done)
}

#[cfg(test)]
mod tests;
