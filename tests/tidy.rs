//! The rules of the house that the compiler does not know, checked against the tree itself: who may import whom, where
//! time is read, where sockets and `unsafe` are, how long lines and files may be.
//!
//! Every rule looks at lines, not at syntax: it is meant to catch habits, not adversaries. An exception is a row with its
//! reason. When one of them fails, mend the code first and think of the list last.

use std::fs;
use std::path::Path;

/// A layer, and the layers it may name. Downward only; layers of one rank do not name each other.
const LAYERS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("sys", &["base"]),
    ("resp", &["base"]),
    ("timer", &["base"]),
    ("lua", &["base", "sys", "resp", "timer"]),
    ("store", &["base", "sys", "resp", "timer"]),
    ("feature", &["base", "sys", "resp", "timer", "store"]),
    ("config", &["base", "sys", "resp", "timer", "store"]),
    ("persist", &["base", "sys", "resp", "timer", "store"]),
    ("server", &["base", "sys", "resp", "timer", "lua", "store", "feature", "config", "persist"]),
    ("command", &["base", "sys", "resp", "timer", "lua", "store", "feature", "config", "persist", "server"]),
    ("engine", &["base", "sys", "resp", "timer", "lua", "store", "feature", "config", "persist", "server", "command"]),
    (
        "net",
        &[
            "base", "sys", "resp", "timer", "lua", "store", "feature", "config", "persist", "server", "command",
            "engine",
        ],
    ),
];

/// Who may name a layer above it after all, and why.
const UPWARD: &[(&str, &str, &str)] = &[(
    "server",
    "command",
    "a session remembers its last command and a handler's view names the one being run: rows are static facts",
)];

/// Code that may not stand just anywhere: what, where it may, and why nowhere else.
const CONFINED: &[Confined] = &[
    Confined {
        words: &["Instant::now", "SystemTime::now"],
        scope: "src/",
        home: &["src/base/clock.rs"],
        why: "one `Now` is taken per turn and passed down, so that tests can hold the clock",
    },
    Confined {
        words: &["clock_gettime("],
        scope: "src/",
        // The service manager's protocol wants the kernel's own clock in its reload message; its watchdog is answered by the
        // loop thread's processor time, which is no time of day.
        home: &["src/base/clock.rs", "src/sys/notify.rs", "src/sys/watchdog.rs"],
        why: "only base::clock reads time",
    },
    Confined {
        words: &["sleep("],
        scope: "",
        home: &[
            // `wait_until` looks at a condition again and again; every test that waits does it through this.
            "tests/support/server.rs",
            // DEBUG SLEEP stops the whole server, which is what it is for.
            "src/command/debug.rs",
            // The command's own row and handler.
            "src/command/connection.rs",
            // A Python client's script has no such helper, and a benchmark or an example paces its load.
            "tests/clients/redis_py.py",
            "scripts/abuse.py",
            "scripts/attacks.py",
            "scripts/bench.py",
            // `until` is these scripts' `wait_until`.
            "scripts/beyond/waiting.py",
            "scripts/beyond/writer.py",
            "scripts/churn.py",
            "scripts/crash-test.py",
            "scripts/examples/leaderboard.py",
            "scripts/eviction-bench.py",
            "scripts/expiry-bench.py",
            "scripts/persist-bench.py",
            "scripts/bench.sh",
        ],
        why: "wait for a condition with a deadline (tests), or use the timers (server)",
    },
    Confined {
        words: &["println!", "print!(", "eprintln!", "eprint!("],
        scope: "src/",
        home: &["src/main.rs", "src/config/tests/redis.rs"],
        why: "the server speaks through the log",
    },
    Confined {
        words: &["dbg!(", "todo!(", "unimplemented!("],
        scope: "",
        home: &[],
        why: "unfinished code does not land",
    },
    Confined {
        words: &["spec.handler"],
        scope: "src/",
        home: &["src/command/run.rs"],
        why: "whatever runs commands enters through one function, so that what follows from a change cannot be forgotten",
    },
    Confined {
        words: &["mio::"],
        scope: "src/",
        home: &["src/net/"],
        why: "only net knows of the event loop's library",
    },
    Confined {
        words: &["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "allow(unsafe_code)"],
        scope: "",
        home: &[
            "src/sys/",
            // Leaves whose module headers argue for it, with a safe twin as the oracle of their tests.
            "src/store/blob.rs",
            "src/store/entry.rs",
            "src/store/pack/",
            "src/store/table.rs",
            "src/store/table/",
            "src/store/table_tests.rs",
            "src/store/types/",
            // The interpreter's C interface, below a safe one that the rest of the layer is written on.
            "src/lua/alloc.rs",
            "src/lua/ffi.rs",
            "src/lua/state.rs",
            "src/lua/state/",
            "src/lua/vm.rs",
            "src/lua/vm/memory.rs",
        ],
        why: "only system calls, the store's leaves and the interpreter's interface",
    },
];

struct Confined {
    words: &'static [&'static str],
    /// Only paths that begin with this are looked at.
    scope: &'static str,
    /// Files, and directories with a slash at their end.
    home: &'static [&'static str],
    why: &'static str,
}

/// Lines a source file may have before it is to be split by noun.
const FILE_LINES_MAX: usize = 900;

/// Longer files: how long they may be, and why. The numbers only go down.
const LONG_FILES: &[(&str, usize, &str)] =
    &[("src/base/num.rs", 950, "half of it is tables of hand-checked conversions")];

/// Lines a function may have, tests aside. The number only goes down.
const FUNCTION_LINES_MAX: usize = 84;

/// Columns a line may have; rustfmt keeps code below 120, but leaves text alone. Wire bytes in tests may be longer: a
/// reply that is broken into lines can no longer be compared with what a terminal shows.
const LINE_COLUMNS_MAX: usize = 140;

/// The directories that are looked at; everything directly in the package's root is as well.
const ROOTS: &[&str] = &["src", "tests", "benches", "scripts"];

/// Endings of files that are text of ours.
const TEXTS: &[&str] = &["rs", "py", "js", "sh", "toml", "md", "conf", "service", "socket"];

/// A file as the rules see it.
struct Source {
    /// Relative to the package, with forward slashes.
    path: String,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The lines with their numbers, comments left out.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let comment = if self.is_rust() || self.path.ends_with(".js") { "//" } else { "#" };
        self.lines().filter(move |(_, line)| !line.trim_start().starts_with(comment))
    }

    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    fn complaint(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

/// The layer a file belongs to; `None` for the program and the crate's root, which see everything.
fn layer_of(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    inside.split_once('/').map(|(layer, _)| layer)
}

fn check_layers(source: &Source) -> Vec<String> {
    let Some(layer) = layer_of(&source.path) else { return Vec::new() };
    let Some((_, below)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
        return vec![source.complaint(1, &format!("`{layer}` is not in the table of layers"))];
    };
    let mut complaints = Vec::new();
    for (number, line) in source.code() {
        for rest in line.split("crate::").skip(1) {
            let named: &str = rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or_default();
            let excepted = UPWARD.iter().any(|(from, to, _)| (*from, *to) == (layer, named));
            if named.is_empty() {
                complaints.push(source.complaint(number, "name one layer per `use`, so that this test can read it"));
            } else if named != layer && !below.contains(&named) && !excepted {
                complaints.push(source.complaint(number, &format!("`{layer}` may not name `{named}`")));
            }
        }
    }
    complaints
}

/// What rows are made of names no family of commands: it is there for all of them.
fn check_spec(source: &Source) -> Vec<String> {
    if !source.path.starts_with("src/command/spec") {
        return Vec::new();
    }
    let depth = source.path.trim_start_matches("src/command/").matches('/').count();
    let out_of_spec = "super::".repeat(depth + 1);
    let is_family = |rest: &str| !rest.starts_with("spec");
    let names_family = |line: &str| {
        line.split("crate::command::").skip(1).any(is_family) || line.split(&out_of_spec).skip(1).any(is_family)
    };
    let lines = source.code().filter(|(_, line)| names_family(line));
    lines.map(|(number, _)| source.complaint(number, "what rows are made of may not name a family")).collect()
}

fn check_confined(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    for rule in CONFINED {
        let at_home = rule.home.iter().any(|home| match home.ends_with('/') {
            true => source.path.starts_with(home),
            false => source.path == *home,
        });
        if at_home || !source.path.starts_with(rule.scope) {
            continue;
        }
        for (number, line) in source.code() {
            for word in rule.words.iter().filter(|word| contains_word(line, word)) {
                complaints.push(source.complaint(number, &format!("`{word}`: {}", rule.why)));
            }
        }
    }
    complaints
}

/// Whether `word` occurs other than as the end of a longer one.
fn contains_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

fn check_attributes(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut previous = "";
    for (number, line) in source.lines() {
        let attribute = line.trim_start();
        let is_allow = attribute.starts_with("#[allow(") || attribute.starts_with("#![allow(");
        let explained = line.contains("reason =") || previous.starts_with("// ") || line.contains("// ");
        // Where `unsafe` is allowed is another rule's business, and the reason is in the module's header.
        if is_allow && !explained && !line.contains("(unsafe_code)") {
            complaints.push(source.complaint(number, "say why the lint is wrong here: `reason = \"...\"`"));
        }
        if attribute.starts_with("#[ignore]") {
            complaints.push(source.complaint(number, "say why the test is ignored: `#[ignore = \"...\"]`"));
        }
        previous = attribute;
    }
    complaints
}

fn check_size(source: &Source) -> Vec<String> {
    let mut complaints: Vec<String> = source
        .lines()
        .filter(|(_, line)| line.chars().count() > LINE_COLUMNS_MAX)
        .filter(|(_, line)| !(source.path.starts_with("tests/") && line.contains(r"\r\n")))
        .map(|(number, _)| source.complaint(number, &format!("more than {LINE_COLUMNS_MAX} columns")))
        .collect();
    let most = LONG_FILES.iter().find(|(path, ..)| *path == source.path).map_or(FILE_LINES_MAX, |(_, most, _)| *most);
    let count = source.lines().count();
    if source.path.starts_with("src/") && count > most {
        complaints.push(source.complaint(count, &format!("more than {most} lines: split it by noun")));
    }
    complaints
}

/// Functions as rustfmt lays them out: the closing brace stands where the line with `fn` begins.
fn check_functions(source: &Source) -> Vec<String> {
    let is_test = source.path.contains("tests");
    let (mut complaints, mut open) = (Vec::new(), None::<(usize, &str)>);
    for (number, line) in source.lines().filter(|_| source.path.starts_with("src/") && !is_test) {
        let code = line.trim_start();
        let indent = &line[..line.len() - code.len()];
        if indent.is_empty() && code == "mod tests {" {
            break;
        }
        if open.is_none() && contains_word(code, "fn ") && !code.starts_with("//") && !code.ends_with(['}', ';']) {
            open = Some((number, indent));
        } else if let Some((from, of)) = open
            && code == "}"
            && indent == of
        {
            open = None;
            if number - from >= FUNCTION_LINES_MAX {
                complaints.push(source.complaint(from, &format!("a function of more than {FUNCTION_LINES_MAX} lines")));
            }
        }
    }
    complaints
}

/// A file that no other names is compiled by nobody.
fn check_dead_files(sources: &[Source]) -> Vec<String> {
    let is_module = |path: &str| {
        path.starts_with("src/") && !["mod.rs", "lib.rs", "main.rs"].iter().any(|name| path.ends_with(name))
    };
    let is_named = |source: &Source| {
        let file = source.path.rsplit('/').next().unwrap_or_default();
        let (module, path) = (format!("mod {};", file.trim_end_matches(".rs")), format!("#[path = \"{file}\"]"));
        sources.iter().any(|other| other.text.contains(&module) || other.text.contains(&path))
    };
    let dead = sources.iter().filter(|source| source.is_rust() && is_module(&source.path) && !is_named(source));
    dead.map(|source| source.complaint(1, "no module names this file")).collect()
}

fn check_paths(source: &Source) -> Vec<String> {
    // Written in pieces, for this file is looked at as well.
    let places = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    let named = |line: &str| places.iter().any(|place| line.contains(place));
    let lines = source.lines().filter(|(_, line)| named(line));
    lines.map(|(number, _)| source.complaint(number, "a path of one machine")).collect()
}

fn check(source: &Source) -> Vec<String> {
    let mut complaints = [check_size(source), check_paths(source), check_confined(source)].concat();
    if source.is_rust() {
        complaints.extend(check_layers(source));
        complaints.extend(check_spec(source));
        complaints.extend(check_attributes(source));
        complaints.extend(check_functions(source));
    }
    complaints
}

/// Every text of the package.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    read_dir(root, "", &mut found);
    found
}

fn read_dir(dir: &Path, prefix: &str, found: &mut Vec<Source>) {
    for entry in fs::read_dir(dir).expect("the tree can be read").map(|entry| entry.expect("the tree can be read")) {
        let name = entry.file_name().into_string().expect("names are UTF-8");
        let path = format!("{prefix}{name}");
        if entry.file_type().expect("the tree can be read").is_dir() {
            // Build output and the fuzzers' findings are not ours; they lie below directories that are.
            let wanted = if prefix.is_empty() {
                ROOTS.contains(&name.as_str())
            } else {
                !["target", "corpus"].contains(&&*name)
            };
            if wanted && !name.starts_with("__") {
                read_dir(&entry.path(), &format!("{path}/"), found);
            }
        } else if name.rsplit_once('.').is_some_and(|(_, ending)| TEXTS.contains(&ending)) {
            let text = fs::read_to_string(entry.path()).unwrap_or_else(|error| panic!("{path}: {error}"));
            // The rules' own words stand in this file.
            found.push(Source { text: if path == "tests/tidy.rs" { String::new() } else { text }, path });
        }
    }
}

#[test]
fn the_tree_is_tidy() {
    let sources = sources();
    assert!(sources.iter().any(|source| source.path == "src/net/reactor.rs"), "the tree was not found");
    let mut complaints: Vec<String> = sources.iter().flat_map(check).collect();
    complaints.extend(check_dead_files(&sources));
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn exceptions_name_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let homes = CONFINED.iter().flat_map(|rule| rule.home.iter().copied());
    for path in homes.chain(LONG_FILES.iter().map(|(path, ..)| *path)) {
        assert!(root.join(path).exists(), "{path} is gone, and with it the reason for its exception");
    }
}

#[test]
fn every_rule_catches_what_it_is_for() {
    let long_line = "x".repeat(LINE_COLUMNS_MAX + 1);
    let long_file = "\n".repeat(FILE_LINES_MAX + 1);
    let long_function = format!("fn long() {{{}}}", "\n".repeat(FUNCTION_LINES_MAX));
    let unnamed = Source::new("src/net/a.rs", "");
    assert_eq!(check_dead_files(&[unnamed, Source::new("src/net/mod.rs", "mod b;")]).len(), 1);
    for (path, text) in [
        ("src/store/a.rs", "use crate::net::reactor::Reactor;"),
        ("src/sys/a.rs", "let x = crate::resp::parse();"),
        ("src/base/a.rs", "use crate::{base, sys};"),
        ("src/unheard/a.rs", ""),
        ("src/net/a.rs", "let t = std::time::Instant::now();"),
        ("src/sys/a.rs", "libc::clock_gettime(0, &mut time)"),
        ("tests/it/a.rs", "std::thread::sleep(Duration::from_millis(5));"),
        ("tests/it/a.rs", "sleep(Duration::from_millis(5));"),
        ("src/server/a.rs", "println!(\"hello\");"),
        ("src/startup.rs", "eprintln!(\"hello\");"),
        ("src/server/a.rs", "    todo!()"),
        ("src/engine/a.rs", "use mio::Poll;"),
        ("src/engine/a.rs", "let run = command.spec.handler;"),
        ("src/engine/a.rs", &long_function),
        ("src/command/spec/a.rs", "use crate::command::string;"),
        ("src/command/spec/a.rs", "use super::super::string;"),
        ("src/resp/a.rs", "unsafe { x() }"),
        ("tests/it/a.rs", "#![allow(unsafe_code)]"),
        ("tests/it/a.rs", "    #[ignore]"),
        ("src/resp/a.rs", "/// A document, not a reason.\n#[allow(clippy::x)]"),
        ("scripts/a.sh", &long_line),
        ("src/resp/a.rs", &long_file),
        ("README.md", concat!("cd /wo", "rk/main")),
    ] {
        assert_eq!(check(&Source::new(path, text)).len(), 1, "{path}: {text}: {:?}", check(&Source::new(path, text)));
    }
    for (path, text) in [
        ("src/server/a.rs", "use crate::command::Command; use crate::server::ctx::Ctx;"),
        ("src/net/a.rs", "use crate::base::clock::Now;\n    // Never Instant::now."),
        ("src/net/a.rs", "//! Not println!."),
        ("src/command/spec/a.rs", "use crate::command::spec::Spec; use super::Flags;"),
        ("src/base/clock.rs", "Instant::now()"),
        ("tests/it/a.rs", "let deadline = Instant::now() + LIMIT;"),
        ("tests/it/a.rs", "#[ignore = \"takes an hour\"]"),
        ("src/resp/a.rs", "#[allow(clippy::x, reason = \"because\")]"),
        ("src/resp/a.rs", "fn oversleep(x: u8)"),
    ] {
        let complaints = check(&Source::new(path, text));
        assert!(complaints.is_empty(), "{complaints:?}");
    }
}
