//! What the notation of arguments leaves unsaid: the types of arguments by their names, the names of choices and blocks by what
//! they hold, and what only the command tells.

use super::{Arg, ArgKind, composite};

/// The name of an argument, as the notation shows it.
pub(super) fn name_of_arg(shown: &str) -> &str {
    lookup(NAMES, shown).unwrap_or(shown)
}

/// The name of a token.
pub(super) fn name_of_token(token: &str) -> String {
    lookup(TOKEN_NAMES, token).map_or_else(|| token.to_ascii_lowercase(), str::to_owned)
}

fn lookup(table: &[(&str, &'static str)], key: &str) -> Option<&'static str> {
    table.iter().find(|(k, _)| *k == key).map(|(_, value)| *value)
}

pub(super) fn kind_of_name(name: &str) -> ArgKind {
    KINDS.iter().find(|(_, names)| names.contains(&name)).map_or(ArgKind::String, |(kind, _)| *kind)
}

/// What an alternative is known by in [`CHOICE_NAMES`]: its token, else its first part's token, else its name.
fn label(arg: &Arg) -> &str {
    let first = || arg.children.first().filter(|_| arg.kind == ArgKind::Block).and_then(|child| child.token.as_deref());
    arg.token.as_deref().or_else(first).unwrap_or(&arg.name)
}

pub(super) fn name_of_choice(choice: &Arg) -> String {
    if let Some(name) = choice.token.as_deref().and_then(|token| lookup(CHOICE_TOKEN_NAMES, token)) {
        return name.to_owned();
    }
    let holds = |wanted: &&str| choice.children.iter().any(|child| label(child) == *wanted);
    let named = CHOICE_NAMES.iter().find(|(labels, _)| labels.iter().all(holds));
    match (named, &choice.token) {
        (Some((_, name)), _) => (*name).to_owned(),
        (None, Some(token)) => token.to_ascii_lowercase(),
        (None, None) => "choice".to_owned(),
    }
}

pub(super) fn name_of_block(block: &Arg) -> String {
    let first = &block.children[0];
    let token = block.token.as_deref().or(first.token.as_deref());
    if let Some(name) = token.and_then(|token| lookup(BLOCK_TOKEN_NAMES, token)) {
        return name.to_owned();
    }
    let names = BLOCK_NAMES.iter().find(|(names, _)| names.iter().zip(&block.children).all(|(n, c)| *n == c.name));
    match (names, token) {
        (Some((_, name)), _) if block.token.is_none() => (*name).to_owned(),
        (_, Some(token)) => token.to_ascii_lowercase(),
        _ if block.multiple => "data".to_owned(),
        _ => format!("{}-block", first.name),
    }
}

pub(super) fn rename_after_token(arg: &mut Arg) {
    let token = arg.token.as_deref().unwrap_or_default();
    if let Some((_, _, name)) =
        TOKEN_ARG_NAMES.iter().find(|(t, shown, _)| *t == token && arg.display_text.as_deref() == Some(*shown))
    {
        arg.name = (*name).to_owned();
    }
}

/// Two equal choices of an end in one row are where an element leaves and where it goes: `LMOVE`.
pub(super) fn tell_ends_apart(args: &mut [Arg]) {
    let mut ends = args.iter_mut().filter(|arg| arg.name == "where");
    if let (Some(from), Some(to)) = (ends.next(), ends.next()) {
        from.name = "wherefrom".to_owned();
        to.name = "whereto".to_owned();
    }
}

/// Types of arguments by name; a name not listed is a string.
const KINDS: &[(ArgKind, &[&str])] = &[
    (ArgKind::Key, &["key", "destination", "destkey", "dst", "newkey", "source", "sourcekey", "src", "key1", "key2"]),
    (
        ArgKind::Integer,
        &[
            "duration",
            "maxsize",
            "maxcount",
            "bit",
            "bits",
            "client-id",
            "cluster-bus-port",
            "config-epoch",
            "count",
            "cursor",
            "db",
            "decrement",
            "destination-db",
            "end",
            "end-slot",
            "entries-added",
            "entries-read",
            "frequency",
            "increment",
            "index",
            "integer",
            "index1",
            "index2",
            "len",
            "limit",
            "maxage",
            "milliseconds",
            "min-match-len",
            "ms",
            "num-matches",
            "numfields",
            "numids",
            "numkeys",
            "numlocal",
            "nummembers",
            "numreplicas",
            "offset",
            "percent",
            "port",
            "protover",
            "rank",
            "seconds",
            "size",
            "slot",
            "start",
            "start-slot",
            "stop",
            "ttl",
            "version",
            "weight",
        ],
    ),
    (ArgKind::Double, &["float", "height", "latitude", "longitude", "radius", "score", "timeout", "width"]),
    (ArgKind::Pattern, &["pattern"]),
    (ArgKind::UnixTime, &["unix-time-seconds", "unix-time-milliseconds"]),
];

/// Arguments known by another name than the one shown.
const NAMES: &[(&str, &str)] = &[("entries-read", "entriesread"), ("ip:port", "old-format")];

/// Arguments known by another name after a token: the token, what is shown, the name.
const TOKEN_ARG_NAMES: &[(&str, &str, &str)] = &[
    ("BY", "pattern", "by-pattern"),
    ("GET", "pattern", "get-pattern"),
    ("STORE", "key", "storekey"),
    ("STOREDIST", "key", "storedistkey"),
    ("AUTH", "password", "auth"),
    ("KEYS", "key", "keys"),
    ("ADDR", "ip:port", "addr"),
    ("LADDR", "ip:port", "laddr"),
    ("IMPORTING", "node-id", "importing"),
    ("MIGRATING", "node-id", "migrating"),
    ("NODE", "node-id", "node"),
];

/// Tokens whose name is not their own text in lower case.
const TOKEN_NAMES: &[(&str, &str)] = &[
    ("ALPHA", "sorting"),
    ("CH", "change"),
    ("$", "new-id"),
    ("=", "equal"),
    ("~", "approximately"),
    ("*", "auto-id"),
    ("\"\"", "empty-string"),
];

/// Names of choices by the token before them.
const CHOICE_TOKEN_NAMES: &[(&str, &str)] =
    &[("OVERFLOW", "overflow-block"), ("SKIPME", "skipme"), ("TYPE", "client-type")];

/// Names of choices by some of their alternatives; the first row that holds wins.
const CHOICE_NAMES: &[(&[&str], &str)] = &[
    (&["EX", "PX"], "expiration"),
    (&["NX", "XX"], "condition"),
    (&["FNX", "FXX"], "condition"),
    (&["IFEQ", "IFNE"], "condition"),
    (&["BYFLOAT", "BYINT"], "increment"),
    (&["KEEPREF", "DELREF"], "condition"),
    (&["GT", "LT"], "comparison"),
    (&["SUM", "MIN", "MAX"], "aggregate"),
    (&["MIN", "MAX"], "where"),
    (&["LEFT", "RIGHT"], "where"),
    (&["BEFORE", "AFTER"], "where"),
    (&["M", "KM"], "unit"),
    (&["BYTE", "BIT"], "unit"),
    (&["ASC", "DESC"], "order"),
    (&["BYSCORE", "BYLEX"], "sortby"),
    (&["FROMMEMBER", "FROMLONLAT"], "from"),
    (&["BYRADIUS", "BYBOX"], "by"),
    (&["STORE", "STOREDIST"], "store"),
    (&["MAXLEN", "MINID"], "strategy"),
    (&["=", "~"], "operator"),
    (&["id", "*"], "id-selector"),
    (&["id", "$"], "id-selector"),
    (&["ASYNC", "SYNC"], "flush-type"),
    (&["NOSAVE", "SAVE"], "save-selector"),
    (&["key", ""], "key-selector"),
    (&["AUTH", "AUTH2"], "authentication"),
    (&["TIMEOUT", "ERROR"], "unblock-type"),
    (&["ON", "OFF", "SKIP"], "action"),
    (&["ON", "OFF"], "status"),
    (&["old-format"], "filter"),
    (&["SLOTSRANGE", "ORDERBY"], "filter"),
    (&["ID", "USER"], "new-format"),
    (&["YES", "NO"], "mode"),
    (&["LIB-NAME", "LIB-VER"], "attr"),
    (&["AND", "OR"], "operation"),
    (&["count", "RESET"], "operation"),
    (&["GET", "OVERFLOW"], "operation"),
    (&["SET", "INCRBY"], "write-operation"),
    (&["FLUSH", "APPEND"], "policy"),
    (&["FORCE", "TAKEOVER"], "options"),
    (&["HARD", "SOFT"], "reset-type"),
    (&["IMPORTING", "MIGRATING"], "subcommand"),
    (&["host", "NO"], "args"),
    (&["host-port", "NO"], "args"),
    (&["WRITE", "ALL"], "mode"),
];

/// Names of blocks by their token, or by that of their first part.
const BLOCK_TOKEN_NAMES: &[(&str, &str)] = &[
    ("BYBOX", "box"),
    ("BYRADIUS", "circle"),
    ("CONFIG", "configs"),
    ("COUNT", "count-block"),
    ("FULL", "full-block"),
    ("GET", "get-block"),
    ("GROUP", "group-block"),
    ("IDLE", "filters"),
    ("INCRBY", "incrby-block"),
    ("NO", "no-one"),
    ("OVERFLOW", "write"),
    ("SET", "set-block"),
    ("TO", "target"),
];

/// Names of blocks without a token by the names of their first parts.
const BLOCK_NAMES: &[(&[&str], &str)] = &[
    (&["count", "withvalues"], "options"),
    (&["count", "withscores"], "options"),
    (&["end", "unit"], "end-unit-block"),
    (&["host", "port"], "host-port"),
    (&["overflow-block"], "write"),
    (&["protover"], "arguments"),
    (&["start", "end"], "range"),
    (&["start", "end-unit-block"], "range"),
    (&["start-slot", "end-slot"], "range"),
    (&["strategy"], "trim"),
];

#[derive(Clone, Copy)]
enum Correction {
    /// Another type.
    Kind(ArgKind),
    /// Another name.
    Name(&'static str),
    /// A block of this name holds the argument and all that follow it.
    WrapRest(&'static str),
}

/// Mends the arguments of a command where its notation says too little.
pub(super) fn correct_for(command: &str, args: &mut Vec<Arg>) {
    for &(of, argument, correction) in CORRECTIONS {
        if of.eq_ignore_ascii_case(command) {
            correct(args, argument, correction);
        }
    }
}

fn correct(args: &mut Vec<Arg>, name: &str, correction: Correction) {
    for arg in args.iter_mut() {
        correct(&mut arg.children, name, correction);
    }
    let Some(index) = args.iter().position(|arg| arg.name == name) else { return };
    match correction {
        Correction::Kind(kind) => args[index].kind = kind,
        Correction::Name(new) => {
            args[index].name = new.to_owned();
            if args[index].kind == ArgKind::PureToken {
                args[index].display_text = Some(new.to_owned());
            }
        }
        Correction::WrapRest(block) => {
            let mut block_arg = composite(ArgKind::Block, args.split_off(index));
            block_arg.name = block.to_owned();
            args.push(block_arg);
        }
    }
}

const TEXT: Correction = Correction::Kind(ArgKind::String);
const WHOLE: Correction = Correction::Kind(ArgKind::Integer);
const REAL: Correction = Correction::Kind(ArgKind::Double);

/// What only the command tells: the command, the argument, what is different there.
const CORRECTIONS: &[(&str, &str, Correction)] = &[
    ("bitfield", "value", WHOLE),
    ("client|no-evict", "status", Correction::Name("enabled")),
    ("client|no-touch", "status", Correction::Name("enabled")),
    ("client|pause", "timeout", WHOLE),
    ("cluster|keyslot", "key", TEXT),
    ("hincrbyfloat", "increment", REAL),
    ("hotkeys|start", "k", WHOLE),
    ("hotkeys|start", "ratio", WHOLE),
    ("hsetex", "condition", Correction::Name("key-condition")),
    ("incrbyfloat", "increment", REAL),
    ("migrate", "timeout", WHOLE),
    ("setbit", "value", WHOLE),
    ("wait", "timeout", WHOLE),
    ("waitaof", "timeout", WHOLE),
    ("xautoclaim", "start", TEXT),
    ("xpending", "min-idle-time", WHOLE),
    ("xpending", "start", TEXT),
    ("xpending", "end", TEXT),
    ("xrange", "start", TEXT),
    ("xrange", "end", TEXT),
    ("xrevrange", "start", TEXT),
    ("xrevrange", "end", TEXT),
    ("xtrim", "strategy", Correction::WrapRest("trim")),
    ("zadd", "incr", Correction::Name("increment")),
    ("zcount", "min", REAL),
    ("zcount", "max", REAL),
    ("zrange", "start", TEXT),
    ("zrange", "stop", TEXT),
    ("zrangebyscore", "min", REAL),
    ("zrangebyscore", "max", REAL),
    ("zremrangebyscore", "min", REAL),
    ("zremrangebyscore", "max", REAL),
    ("zrevrangebyscore", "min", REAL),
    ("zrevrangebyscore", "max", REAL),
];
