//! What `COMMAND` tells about the commands, against Redis: the rows, the keys of generated lines, and the syntax trees.

use crate::differences;
use crate::generate::Generator;
use crate::pair::{Pair, ask};
use crate::resp::{Client, Value};
use crate::rows;
use crate::rows::full_name;
use crate::server::Server;
use crate::stream::quoted;
use crate::wanted;
use aleadb::command::spec::syntax::{Arg, ArgKind, parse_command};
use std::collections::{BTreeMap, BTreeSet};

/// One command as `COMMAND INFO` describes it, parts in a comparable order. Tips are left out where one side has none.
struct Described {
    fields: BTreeMap<&'static str, Value>,
}

/// All commands and subcommands by full name.
fn described(client: &mut Client) -> BTreeMap<String, Described> {
    let mut all = BTreeMap::new();
    let reply = ask(client, &["COMMAND"]);
    for row in reply.items().unwrap_or_else(|| panic!("COMMAND answered {reply:?}")) {
        describe(row, &mut all);
    }
    all
}

/// The full names of all commands that the server lists, which must be most of what a stream needs.
pub fn known_commands(server: &Server) -> BTreeSet<String> {
    described(&mut server.connect().expect("just started")).into_keys().collect()
}

fn describe(row: &Value, all: &mut BTreeMap<String, Described>) {
    let Some([name, arity, flags, first, last, step, categories, tips, key_specs, subcommands]) = row.items() else {
        panic!("a row of COMMAND does not have ten parts: {row:?}");
    };
    let names: Vec<Value> =
        subcommands.items().unwrap_or_default().iter().filter_map(|sub| sub.items()?.first().cloned()).collect();
    let fields = BTreeMap::from([
        ("arity", arity.clone()),
        ("flags", in_order(flags)),
        ("first key", first.clone()),
        ("last key", last.clone()),
        ("key step", step.clone()),
        ("ACL categories", in_order(categories)),
        ("tips", in_order(tips)),
        ("key specs", in_order(key_specs)),
        ("subcommands", in_order(&Value::Array(names))),
    ]);
    all.insert(name.text(), Described { fields });
    for subcommand in subcommands.items().unwrap_or_default() {
        describe(subcommand, all);
    }
}

/// Sets of words come in any order, also inside key specs.
fn in_order(value: &Value) -> Value {
    match value {
        Value::Array(items) | Value::Set(items) => {
            let mut items: Vec<Value> = items.iter().map(in_order).collect();
            // Only words are a set; a list of key specs, or of alternating names and values, has an order.
            if items.iter().all(|item| matches!(item, Value::Simple(_))) {
                items.sort();
            }
            Value::Array(items)
        }
        other => other.clone(),
    }
}

#[test]
fn command_rows_match_redis() {
    let Some(pair) = Pair::start(&[]) else { return };
    if !pair.is_target_version() {
        return;
    }
    let [ours, theirs] =
        [&pair.subject, &pair.oracle].map(|server| described(&mut server.connect().expect("just started")));
    let mut differences = Vec::new();
    for (name, row) in &ours {
        if rows::is_ours(name) {
            continue;
        }
        let Some(expected) = theirs.get(name) else {
            differences.push(format!("{name}: not a command of Redis"));
            continue;
        };
        for (field, right) in &expected.fields {
            let left = &row.fields[field];
            let no_tips = *field == "tips" && left.items().is_none_or(<[Value]>::is_empty);
            let intended = differences::ROWS.iter().any(|(of, what, _)| of == name && what == field);
            if left != right && !no_tips && !intended && *field != "subcommands" {
                differences.push(format!("{name}: {field}\n    subject {left:?}\n    oracle  {right:?}"));
            }
        }
    }
    for name in theirs.keys().filter(|name| !ours.contains_key(*name)) {
        if differences::not_built(name).is_none() {
            differences.push(format!("{name}: neither built nor listed as not built"));
        }
    }
    for name in ours.keys().filter(|name| differences::not_built(name).is_some()) {
        differences.push(format!("{name}: listed as not built, and is there"));
    }
    // A listed difference that is none any more would hide the next one.
    for (name, field, _) in differences::ROWS {
        // What a row's documents say is not among these fields.
        let field_of =
            |all: &BTreeMap<String, Described>| all.get(*name).and_then(|row| row.fields.get(field).cloned());
        let (left, right) = (field_of(&ours), field_of(&theirs));
        if left.is_some() && left == right {
            differences.push(format!("{name}: {field} is listed as different and is not"));
        }
    }
    assert!(differences.is_empty(), "{} rows differ\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn keys_of_generated_lines_match_redis() {
    let Some(pair) = Pair::start(&[]) else { return };
    if !pair.is_target_version() {
        return;
    }
    let mut subject = pair.subject.connect().expect("just started");
    let mut oracle = pair.oracle.connect().expect("just started");
    let known = known_commands(&pair.subject);
    let mut generator = Generator::new(7, differences::is_barred, |name| wanted(name) && known.contains(name));
    let mut differences = Vec::new();
    let lines = generator.lines_of_each(12).into_iter();
    for line in lines.filter(|line| !differences::keys_differ(&full_name(line), line)) {
        for question in ["GETKEYS", "GETKEYSANDFLAGS"] {
            let mut whole = vec![b"COMMAND".to_vec(), question.into()];
            whole.extend_from_slice(&line);
            let left = subject.call(&whole).unwrap_or_else(|error| panic!("{}: {error}", quoted(&whole)));
            let right = oracle.call(&whole).unwrap_or_else(|error| panic!("{}: {error}", quoted(&whole)));
            if left.raw != right.raw {
                differences.push(format!(
                    "{}\n    subject {:?}\n    oracle  {:?}",
                    quoted(&whole),
                    left.value,
                    right.value
                ));
            }
        }
    }
    let shown = differences.len().min(20);
    assert!(differences.is_empty(), "{} lines differ\n{}", differences.len(), differences[..shown].join("\n"));
}

#[test]
fn syntax_trees_match_redis() {
    let Some(pair) = Pair::start(&[]) else { return };
    if !pair.is_target_version() {
        return;
    }
    let mut oracle = pair.oracle.connect().expect("just started");
    ask(&mut oracle, &["HELLO", "3"]);
    let Value::Map(docs) = ask(&mut oracle, &["COMMAND", "DOCS"]) else { panic!("COMMAND DOCS is not a map") };
    let mut read = 0;
    let mut differences = Vec::new();
    let mut left_to_read: Vec<(Value, Value)> = docs;
    while let Some((name, doc)) = left_to_read.pop() {
        if let Some(Value::Map(subcommands)) = doc.field("subcommands") {
            left_to_read.extend(subcommands.iter().cloned());
            continue;
        }
        let name = name.text();
        // What is not built, or not in full, has no row that its syntax would be read from.
        let is_listed = differences::ROWS.iter().any(|(of, field, _)| *of == name && *field == "arguments");
        if is_listed || differences::not_built(&name).is_some() {
            continue;
        }
        let expected: Vec<Arg> =
            doc.field("arguments").and_then(Value::items).unwrap_or_default().iter().map(documented).collect();
        let syntax = expected.iter().map(written).collect::<Vec<_>>().join(" ");
        let args = parse_command(&name, &syntax);
        if args.as_ref() != Ok(&expected) {
            differences.push(format!("{name} {syntax}\n    parsed     {args:?}\n    documented {expected:?}"));
        }
        read += 1;
    }
    assert!(read > 300, "only {read} commands documented");
    assert!(differences.is_empty(), "{} of {read} differ\n{}", differences.len(), differences.join("\n"));
}

/// What `COMMAND DOCS` says of every command by full name, subcommands included.
fn documents(server: &Server) -> BTreeMap<String, Value> {
    let mut client = server.connect().expect("just started");
    ask(&mut client, &["HELLO", "3"]);
    let Value::Map(mut left_to_read) = ask(&mut client, &["COMMAND", "DOCS"]) else {
        panic!("COMMAND DOCS is not a map")
    };
    let mut all = BTreeMap::new();
    while let Some((name, doc)) = left_to_read.pop() {
        if let Some(Value::Map(subcommands)) = doc.field("subcommands") {
            left_to_read.extend(subcommands.iter().cloned());
        }
        all.insert(name.text(), doc);
    }
    all
}

/// The versions of a history, whose words are our own, in order.
fn versions(history: &Value) -> Value {
    let entries = history.items().unwrap_or_default().iter();
    let mut versions: Vec<Value> = entries.filter_map(|entry| entry.items()?.first().cloned()).collect();
    versions.sort();
    Value::Array(versions)
}

/// Arguments without the versions that brought or deprecated them, which our rows tell in their history alone.
fn without_versions(arguments: &Value) -> Value {
    match arguments {
        Value::Map(fields) => Value::Map(
            fields
                .iter()
                .filter(|(key, _)| !matches!(key.bytes(), Some(b"since" | b"deprecated_since")))
                .map(|(key, value)| (key.clone(), without_versions(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(without_versions).collect()),
        other => other.clone(),
    }
}

#[test]
fn documents_match_redis() {
    let Some(pair) = Pair::start(&[]) else { return };
    if !pair.is_target_version() {
        return;
    }
    let (ours, theirs) = (documents(&pair.subject), documents(&pair.oracle));
    let mut differences = Vec::new();
    // Summaries are our own words and costs our own costs. Subcommands are compared one by one, as far as we have them.
    let fields = ["since", "group", "doc_flags", "deprecated_since", "replaced_by", "history", "arguments"];
    for (name, doc) in &ours {
        let Some(expected) = theirs.get(name) else { continue };
        for field in fields {
            let [left, right] = [doc, expected].map(|doc| {
                let value = doc.field(field).cloned().unwrap_or(Value::Null);
                match field {
                    "history" => versions(&value),
                    "arguments" => without_versions(&value),
                    _ => value,
                }
            });
            let intended = differences::ROWS.iter().any(|(of, what, _)| of == name && *what == field);
            if left != right && !intended {
                differences.push(format!("{name}: {field}\n    subject {left:?}\n    oracle  {right:?}"));
            }
        }
    }
    assert!(differences.is_empty(), "{} documents differ\n{}", differences.len(), differences.join("\n"));
}

/// An argument as `COMMAND DOCS` describes it.
fn documented(doc: &Value) -> Arg {
    let text = |key: &str| doc.field(key).map(Value::text);
    let has_flag =
        |flag: &str| doc.field("flags").and_then(Value::items).unwrap_or_default().iter().any(|f| f.text() == flag);
    let kinds = [
        ArgKind::Key,
        ArgKind::String,
        ArgKind::Integer,
        ArgKind::Double,
        ArgKind::Pattern,
        ArgKind::UnixTime,
        ArgKind::PureToken,
        ArgKind::OneOf,
        ArgKind::Block,
    ];
    let kind_text = text("type").unwrap_or_default();
    Arg {
        name: text("name").unwrap_or_default(),
        display_text: text("display_text"),
        kind: kinds
            .into_iter()
            .find(|kind| kind.as_str() == kind_text)
            .unwrap_or_else(|| panic!("unknown type {kind_text}")),
        token: text("token"),
        optional: has_flag("optional"),
        multiple: has_flag("multiple"),
        multiple_token: has_flag("multiple_token"),
        children: doc.field("arguments").and_then(Value::items).unwrap_or_default().iter().map(documented).collect(),
    }
}

/// The argument in the notation of the command pages.
fn written(arg: &Arg) -> String {
    let children = |between: &str| arg.children.iter().map(written).collect::<Vec<_>>().join(between);
    let token = arg.token.as_deref().map(|token| if token.is_empty() { "\"\"" } else { token });
    let body = match (arg.kind, token) {
        (ArgKind::PureToken, _) => token.unwrap_or_default().to_owned(),
        (ArgKind::OneOf, Some(_)) => format!("<{}>", children(" | ")),
        (ArgKind::OneOf, None) => children(" | "),
        (ArgKind::Block, _) => children(" "),
        _ => arg.display_text.clone().unwrap_or_else(|| arg.name.clone()),
    };
    let token = token.filter(|_| arg.kind != ArgKind::PureToken);
    let before = token.map(|token| format!("{token} ")).unwrap_or_default();
    let text = match (arg.multiple, arg.multiple_token) {
        (false, _) => format!("{before}{body}"),
        (true, false) => format!("{before}{body} [{body} ...]"),
        (true, true) => format!("{before}{body} [{before}{body} ...]"),
    };
    match arg.kind {
        _ if arg.optional => format!("[{text}]"),
        ArgKind::OneOf if token.is_none() => format!("<{text}>"),
        _ => text,
    }
}
