//! The commands whose lines the generator writes: all that our server has, straight from its rows. Whatever a family adds is
//! covered from then on.

#![allow(dead_code, reason = "each test binary that includes this file uses its own part of it")]

use aleadb::command::{self, Command};

/// A command, or a subcommand of a container.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What our server knows of it.
    pub command: &'static Command,
    /// The name of the command that this is a subcommand of.
    pub container: Option<&'static str>,
}

impl Row {
    /// The full name as `COMMAND DOCS` writes it: `client|setname`.
    pub fn full_name(&self) -> &'static str {
        &self.command.full_name
    }

    /// The name, upper case; of a subcommand its own part.
    pub fn name(&self) -> &'static str {
        self.command.spec.name
    }

    /// The group it is documented under, which decides the keys it prefers.
    pub fn group(&self) -> &'static str {
        self.command.spec.group.name()
    }

    /// Whether it has this flag, as `COMMAND INFO` names it.
    pub fn has_flag(&self, flag: &str) -> bool {
        self.command.spec.flags.names().any(|name| name == flag)
    }
}

/// All commands that do something by themselves: a container is represented by its subcommands.
pub fn all() -> Vec<Row> {
    let mut rows = Vec::new();
    for command in command::all() {
        if command.spec.handler.is_some() {
            rows.push(Row { command, container: None });
        }
        let container = Some(command.spec.name);
        rows.extend(command.subcommands.iter().map(|command| Row { command, container }));
    }
    rows
}

/// Commands and subcommands of our own that have no dot in their name.
const OURS: &[&str] = &[
    "abort",
    "expiry",
    "handshake",
    "observe",
    "script|stats",
    "sleep",
    "unobserve",
    "zaddex",
    "zexpire",
    "zexpireat",
    "zexpiretime",
    "zpersist",
    "zpexpire",
    "zpexpireat",
    "zpexpiretime",
    "zpttl",
    "zttl",
];

/// Commands that Valkey brought and Redis does not have.
const OF_VALKEY: &[&str] = &["client|capa", "client|import-source", "commandlog", "delifeq"];

/// Commands of a Redis that is newer than those that tests compare with.
const NEWER: &[&str] = &[
    "arcount",
    "ardel",
    "ardelrange",
    "arget",
    "argetrange",
    "argrep",
    "arinfo",
    "arinsert",
    "arlastitems",
    "arlen",
    "armget",
    "armset",
    "arnext",
    "arop",
    "arring",
    "arscan",
    "arseek",
    "arset",
    "backup",
    "bitrangeintarray",
    "bless",
    "blmovem",
    "bzmove",
    "himport",
    "increx",
    "lmovem",
    "saddex",
    "sdiffcard",
    "sexpire",
    "sexpireat",
    "sexpiretime",
    "spersist",
    "spexpire",
    "spexpireat",
    "spexpiretime",
    "spttl",
    "sttl",
    "sunioncard",
    "xnack",
    "zmove",
    "zmovemember",
];

/// Whether no Redis that tests compare with has the command: it is our own, or Valkey's, or of a newer one.
pub fn is_ours(full_name: &str) -> bool {
    let container = full_name.split('|').next().unwrap_or(full_name);
    let is_own = full_name.contains('.') || OURS.contains(&container) || OURS.contains(&full_name);
    is_own || is_of_valkey(full_name) || NEWER.contains(&container)
}

/// Whether Valkey has the command and Redis does not.
pub fn is_of_valkey(full_name: &str) -> bool {
    let container = full_name.split('|').next().unwrap_or(full_name);
    OF_VALKEY.contains(&container) || OF_VALKEY.contains(&full_name)
}

/// Commands that no generated line names, each with its reason.
const LEFT_OUT: &[(&str, &[&str])] = &[
    (
        "the connection ends, or its replies stop being one for each command",
        &["quit", "monitor", "sync", "psync", "client|reply", "client|kill", "client|pause", "shutdown", "debug"],
    ),
    (
        "subscribing changes what the connection may send and receive",
        &[
            "subscribe",
            "psubscribe",
            "ssubscribe",
            "unsubscribe",
            "punsubscribe",
            "sunsubscribe",
            "client|tracking",
            "client|caching",
        ],
    ),
    (
        "answers describe the process, the machine or the moment",
        &[
            "info",
            "time",
            "lolwut",
            "lastsave",
            "role",
            "memory",
            "latency|histogram",
            "latency|doctor",
            "slowlog",
            "commandlog",
            "hotkeys",
            "client|id",
            "client|info",
            "client|list",
            "client|trackinginfo",
            "command",
            "command|docs",
            "command|info",
            "command|list",
            "command|count",
            "dump",
            "hello",
        ],
    ),
    (
        "other tests own configuration, users, scripts, persistence, replication and cluster",
        &[
            "acl",
            "auth",
            "config",
            "script",
            "function",
            "eval",
            "evalsha",
            "eval_ro",
            "evalsha_ro",
            "fcall",
            "fcall_ro",
            "save",
            "bgsave",
            "bgrewriteaof",
            "replicaof",
            "slaveof",
            "replconf",
            "module|list",
            "migrate",
            "restore-asking",
        ],
    ),
    ("holds up the server, and Redis for longer", &["pfselftest"]),
    ("would move the stream to the other protocol, or to another state of the client", &["reset", "client|unblock"]),
];

/// Why the generator leaves the command out, if it does. A container's reason holds for its subcommands.
pub fn left_out(full_name: &str) -> Option<&'static str> {
    if is_ours(full_name) {
        return Some("Redis does not know it");
    }
    left_out_of_all(full_name)
}

/// The same where the other server is a Valkey.
pub fn left_out_of_valkey(full_name: &str) -> Option<&'static str> {
    if is_ours(full_name) && !is_of_valkey(full_name) {
        return Some("Valkey does not know it");
    }
    left_out_of_all(full_name)
}

fn left_out_of_all(full_name: &str) -> Option<&'static str> {
    let container = full_name.split('|').next().unwrap_or(full_name);
    LEFT_OUT
        .iter()
        .find(|(_, names)| names.contains(&full_name) || names.contains(&container) && container != "command")
        .map(|(why, _)| *why)
}

/// The name as `COMMAND DOCS` writes it. A second word counts only for containers.
pub fn full_name(line: &[Vec<u8>]) -> String {
    let word = |index: usize| {
        line.get(index).map(|word| String::from_utf8_lossy(word).to_ascii_lowercase()).unwrap_or_default()
    };
    let first = word(0);
    let is_container = command::lookup(first.as_bytes()).is_some_and(|command| !command.subcommands.is_empty());
    if is_container && line.len() > 1 { format!("{first}|{}", word(1)) } else { first }
}
