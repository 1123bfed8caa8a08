//! Users of random rules: how they are described, what they may run, what they are told, and what is noted of it; and files of
//! random lines.

use crate::differences;
use crate::generate::{Generator, Line};
use crate::number;
use crate::pair::{Pair, ask};
use crate::resp::{Client, Value};
use crate::rng::Rng;
use crate::rows::{self, full_name};
use crate::stream::quoted;
use crate::tables::known_commands;
use std::collections::BTreeSet;

/// Rules that need no name.
const RULES: &[&str] = &[
    "on",
    "off",
    "nopass",
    "resetpass",
    "reset",
    "allkeys",
    "~*",
    "resetkeys",
    "allchannels",
    "&*",
    "resetchannels",
    "allcommands",
    "nocommands",
    "+@all",
    "-@all",
    "clearselectors",
    "sanitize-payload",
    "skip-sanitize-payload",
    ">one",
    ">two",
    "<one",
    "#2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683",
    "!2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683",
    "+select|0",
    "+select|1",
    "+config|get",
    "-config|set",
    "+client",
    "-client|kill",
    "+acl|whoami",
    "",
];

/// Rules that are none.
const WRONG: &[&str] = &[
    "nope",
    "+nope",
    "-@nope",
    "+select|",
    "-select|0",
    "+config|nope",
    "+config|get|x",
    "%~a",
    "%RR~a",
    "#12",
    "!x",
    "(on)",
    ")",
    "(+nope)",
    "~a b",
    "&a\tb",
    "(~a",
];

/// Patterns of keys and channels: the generator's keys begin with the name of a type.
const PATTERNS: &[&str] =
    &["*", "h*", "s*", "l*", "z*", "x*", "k*", "[a-m]*", "?[0-9]", "*1", "*2", "key:*", "\\*", "a", ""];

const CHANNELS: &[&str] = &["a", "b", "news:1", "news:*", "n*", "*"];

/// Lines about channels, which the generator does not write; `C` stands for a channel.
const CHANNEL_LINES: &[&str] = &[
    "PUBLISH C x",
    "SPUBLISH C x",
    "SUBSCRIBE C",
    "SUBSCRIBE C C",
    "PSUBSCRIBE C",
    "PSUBSCRIBE C C",
    "SSUBSCRIBE C",
    "UNSUBSCRIBE C",
    "PUBSUB NUMSUB C",
];

struct Writer {
    rng: Rng,
    names: Vec<String>,
    categories: Vec<String>,
}

impl Writer {
    fn of(seed: u64, pair: &Pair) -> Writer {
        let mut names: BTreeSet<String> = known_commands(&pair.oracle);
        let ours = known_commands(&pair.subject);
        names.retain(|name| ours.contains(name));
        let mut client = pair.oracle.connect().expect("just started");
        let categories = ask(&mut client, &["ACL", "CAT"]);
        let categories = categories.items().expect("a list").iter().map(Value::text).collect();
        Writer { rng: Rng::new(seed), names: names.into_iter().collect(), categories }
    }

    fn permission(&mut self) -> String {
        match self.rng.below(8) {
            0..=1 => format!("{}@{}", self.sign(), self.rng.pick(&self.categories)),
            2..=3 => format!("{}{}", self.sign(), self.rng.pick(&self.names)),
            4 => format!("~{}", self.rng.pick(PATTERNS)),
            5 => format!("%{}~{}", self.rng.pick(&["R", "W", "RW", "r", "wr"]), self.rng.pick(PATTERNS)),
            6 => format!("&{}", self.rng.pick(CHANNELS)),
            _ => {
                (*self.rng.pick(&["+@all", "-@all", "allkeys", "resetkeys", "allchannels", "resetchannels"])).to_owned()
            }
        }
    }

    fn sign(&mut self) -> char {
        if self.rng.chance(65) { '+' } else { '-' }
    }

    fn rule(&mut self) -> String {
        match self.rng.below(20) {
            0..=11 => self.permission(),
            12..=16 => (*self.rng.pick(RULES)).to_owned(),
            17..=18 => {
                let inner: Vec<String> = (0..self.rng.below(4)).map(|_| self.permission()).collect();
                format!("({})", inner.join(" "))
            }
            _ if self.rng.chance(20) => (*self.rng.pick(WRONG)).to_owned(),
            _ => self.permission().to_ascii_uppercase(),
        }
    }

    fn rules(&mut self) -> Vec<String> {
        let count = 1 + self.rng.below(8);
        (0..count).map(|_| self.rule()).collect()
    }

    /// Rules that give a user something to be refused.
    fn permissions(&mut self) -> Vec<String> {
        let mut rules: Vec<String> = ["reset", "on", "nopass"].map(str::to_owned).into();
        if self.rng.chance(60) {
            rules.push("+@all".to_owned());
        }
        rules.extend((0..1 + self.rng.below(6)).map(|_| self.permission()));
        for _ in 0..self.rng.below(3) {
            let inner: Vec<String> = (0..1 + self.rng.below(4)).map(|_| self.permission()).collect();
            rules.push(format!("({})", inner.join(" ")));
        }
        // A rule that is refused would refuse them all.
        let mut seen: Vec<String> = Vec::new();
        let (mut all_keys, mut all_channels) = (false, false);
        for rule in rules {
            match &*rule {
                "allkeys" | "~*" => all_keys = true,
                "resetkeys" => all_keys = false,
                "allchannels" | "&*" => all_channels = true,
                "resetchannels" => all_channels = false,
                rule if rule.starts_with(['~', '%']) && all_keys => continue,
                rule if rule.starts_with('&') && all_channels => continue,
                _ => {}
            }
            seen.push(rule);
        }
        seen
    }
}

fn setuser(rules: &[String]) -> Line {
    ["ACL", "SETUSER", "u"]
        .iter()
        .map(|word| word.as_bytes().to_vec())
        .chain(rules.iter().map(|r| r.clone().into()))
        .collect()
}

/// Sends a line to both; the two replies.
fn both(clients: &mut [Client; 2], line: &Line) -> [Vec<u8>; 2] {
    let [ours, theirs] = clients;
    [ours, theirs].map(|client| client.call(line).unwrap_or_else(|error| panic!("{}: {error}", quoted(line))).raw)
}

fn shown(replies: &[Vec<u8>; 2]) -> String {
    format!("\n  subject {}\n  oracle  {}", replies[0].escape_ascii(), replies[1].escape_ascii())
}

fn expect_same(clients: &mut [Client; 2], line: &Line, history: &[Line]) {
    let replies = both(clients, line);
    if replies[0] != replies[1] {
        let lines: Vec<String> = history.iter().map(quoted).collect();
        panic!("{}{}\nafter\n{}", quoted(line), shown(&replies), lines.join("\n"));
    }
}

fn words(line: &str) -> Line {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

fn connect(pair: &Pair) -> [Client; 2] {
    [&pair.subject, &pair.oracle].map(|server| server.connect().expect("still running"))
}

/// The oracles whose rules are ours.
fn start(args: &[&str]) -> Option<Pair> {
    Pair::start(args).filter(Pair::is_target_version)
}

#[test]
fn random_rules_make_the_same_user_or_the_same_error() {
    let Some(pair) = start(&[]) else { return };
    let first = number("ALEADB_DIFF_SEED", 1);
    for seed in first..first + number("ALEADB_DIFF_SEEDS", 4) {
        let mut writer = Writer::of(seed, &pair);
        let mut clients = connect(&pair);
        if seed % 2 == 0 {
            both(&mut clients, &words("HELLO 3"));
        }
        let mut history: Vec<Line> = Vec::new();
        for _ in 0..400 {
            if writer.rng.chance(10) {
                history.clear();
                both(&mut clients, &words("ACL DELUSER u"));
            }
            let line = setuser(&writer.rules());
            history.push(line.clone());
            expect_same(&mut clients, &line, &history);
            expect_same(&mut clients, &words("ACL GETUSER u"), &history);
            expect_same(&mut clients, &words("ACL LIST"), &history);
        }
    }
}

/// What ACL LOG has of each entry that does not depend on the moment.
fn log_of(client: &mut Client) -> Vec<Vec<String>> {
    let entries = ask(client, &["ACL", "LOG", "1000"]);
    let fields = ["count", "reason", "context", "object", "username"];
    let text = |value: &Value| value.integer().map_or_else(|| value.text(), |number| number.to_string());
    let entry = |entry: &Value| fields.iter().map(|field| text(entry.field(field).expect("a field"))).collect();
    entries.items().expect("a list").iter().map(entry).collect()
}

/// Who may run what: asked with DRYRUN by the administrator, and found out by the user itself.
#[test]
fn random_users_are_refused_the_same_with_the_same_words() {
    let Some(pair) = start(&[]) else { return };
    let [ours, theirs] = [&pair.subject, &pair.oracle].map(known_commands);
    let takes_part =
        |name: &str| ours.contains(name) && theirs.contains(name) && !["wait", "waitaof", "sleep"].contains(&name);
    let first = number("ALEADB_DIFF_SEED", 1);
    let (mut refused, mut all) = (0, 0);
    for seed in first..first + number("ALEADB_DIFF_SEEDS", 8) {
        let mut writer = Writer::of(seed, &pair);
        let mut generator = Generator::new(seed, differences::is_barred, takes_part);
        let mut admins = connect(&pair);
        both(&mut admins, &words("CONFIG SET acllog-max-len 1000"));
        for _ in 0..12 {
            let user = setuser(&writer.permissions());
            let history = [user.clone()];
            expect_same(&mut admins, &user, &history);
            if both(&mut admins, &words("ACL GETUSER u"))[1].starts_with(b"$-1") {
                continue;
            }
            both(&mut admins, &words("ACL LOG RESET"));
            let mut users = connect(&pair);
            if both(&mut users, &words("AUTH u x"))[1] != b"+OK\r\n" {
                continue;
            }
            for _ in 0..120 {
                let line = generator.line();
                if differences::keys_differ(&full_name(&line), &line) {
                    continue;
                }
                let dryrun: Line = words("ACL DRYRUN u").into_iter().chain(line.iter().cloned()).collect();
                expect_same(&mut admins, &dryrun, &history);
                let replies = both(&mut users, &line);
                let is_refused =
                    |reply: &Vec<u8>| reply.starts_with(b"-NOPERM") || reply.windows(8).any(|w| w == b"\r\n-NOPER");
                let is_denied = |reply: &Vec<u8>| reply.windows(28).any(|w| w == b"insufficient ACL permissions");
                let found = replies.each_ref().map(|reply| is_refused(reply) || is_denied(reply));
                all += 1;
                refused += usize::from(found[1]);
                assert!(
                    found[0] == found[1] && (!found[0] || replies[0] == replies[1] || full_name(&line) == "exec"),
                    "seed {seed}: {} as the user of {}{}",
                    quoted(&line),
                    quoted(&user),
                    shown(&replies)
                );
            }
            for _ in 0..20 {
                let channel = *writer.rng.pick(CHANNELS);
                let line = writer.rng.pick(CHANNEL_LINES).replace('C', channel);
                expect_same(&mut admins, &words(&format!("ACL DRYRUN u {line}")), &history);
            }
            let [ours, theirs] = &mut admins;
            assert_eq!(log_of(ours), log_of(theirs), "seed {seed}: the log of {}", quoted(&user));
            both(&mut admins, &words("FLUSHALL"));
        }
    }
    assert!(refused * 10 > all && refused * 10 < all * 9, "{refused} of {all} lines were refused");
}

/// Scripts that call what their user may or may not, and ask what it may.
const SCRIPTS: &[&str] = &[
    "return 1",
    "return redis.call('get', KEYS[1] or 'a1')",
    "return redis.pcall('set', 'b1', 'x')",
    "return redis.call('set', 'a1', 'x')",
    "return redis.call('mget', 'a1', 'b1')",
    "return redis.call('publish', 'c', 'x')",
    "return redis.call('sort', 'a1', 'by', 'x*')",
    "return redis.pcall('config', 'get', 'x')",
    "return redis.acl_check_cmd('get', 'a1')",
    "return redis.acl_check_cmd('get')",
    "return redis.acl_check_cmd('nosuch', 'get', 'x')",
    "return tostring(redis.acl_check_cmd('config', 'get', 'x'))",
    "redis.setresp(3); return redis.acl_check_cmd('set', 'b', '1')",
    "#!lua flags=no-writes\nreturn redis.call('get', 'a1')",
];

const LIBRARY: &str = "#!lua name=l\nredis.register_function('f', function() return redis.call('set', 'a1', '1') end)\n\
     redis.register_function{function_name = 'g', flags = {'no-writes'},\n\
     callback = function(keys) return redis.call('get', keys[1] or 'a') end}";

/// The keys of EVAL and FCALL are asked for as any others, and what the script does then is what its user may do.
#[test]
fn scripts_of_restricted_users_are_refused_the_same_with_the_same_words() {
    let Some(pair) = start(&[]) else { return };
    let mut admins = connect(&pair);
    let line = |words: &[&str]| -> Line { words.iter().map(|word| word.as_bytes().to_vec()).collect() };
    expect_same(&mut admins, &line(&["FUNCTION", "LOAD", LIBRARY]), &[]);
    both(&mut admins, &words("CONFIG SET acllog-max-len 1000"));
    let commands = [
        "+@all",
        "+eval +eval_ro +get",
        "+@scripting +@read",
        "+@all -get",
        "+@all -eval",
        "+fcall +fcall_ro +set",
        "+@write +eval",
        "+@all -@scripting",
    ];
    for rules in commands {
        for pattern in ["", "~a*", "%R~a*", "%W~a*", "~*"] {
            let user = words(format!("ACL SETUSER u reset on nopass {rules} {pattern}").trim_end());
            let history = [user.clone()];
            expect_same(&mut admins, &user, &history);
            let mut users = connect(&pair);
            expect_same(&mut users, &words("AUTH u x"), &history);
            for keys in [&["0"][..], &["1", "a1"], &["1", "b1"], &["2", "a1", "b1"]] {
                let scripts = SCRIPTS.iter().map(|script| ("EVAL", *script));
                let functions =
                    [("EVAL_RO", SCRIPTS[1]), ("FCALL", "f"), ("FCALL", "g"), ("FCALL_RO", "f"), ("FCALL_RO", "g")];
                for (command, what) in scripts.chain(functions) {
                    let line = line(&[&[command, what][..], keys].concat());
                    expect_same(&mut users, &line, &history);
                    let dryrun: Line = words("ACL DRYRUN u").into_iter().chain(line).collect();
                    expect_same(&mut admins, &dryrun, &history);
                }
            }
            let [ours, theirs] = &mut admins;
            assert_eq!(log_of(ours), log_of(theirs), "the log of {}", quoted(&user));
            both(&mut admins, &words("ACL LOG RESET"));
        }
    }
}

#[test]
fn a_file_of_random_lines_is_loaded_or_refused_as_redis_does() {
    let path = std::env::temp_dir().join(format!("aleadb-acl-diff-{}.acl", std::process::id()));
    std::fs::write(&path, "").expect("a temporary file");
    let name = path.display().to_string();
    if let Some(pair) = start(&["--aclfile", &name]) {
        let mut clients = connect(&pair);
        for seed in 1..=6 {
            let mut writer = Writer::of(seed, &pair);
            for _ in 0..60 {
                let mut text = String::new();
                for _ in 0..writer.rng.below(6) {
                    let user = *writer.rng.pick(&["a", "b", "c", "d", "a\tb"]);
                    let head =
                        if writer.rng.chance(95) { "user" } else { *writer.rng.pick(&["", "#", "users", "USER"]) };
                    let rules = if writer.rng.chance(80) { writer.permissions() } else { writer.rules() };
                    text.push_str(&format!("{head} {user} {}\n", rules.join(" ")));
                }
                std::fs::write(&path, &text).expect("a temporary file");
                let history = [words(&text)];
                expect_same(&mut clients, &words("ACL LOAD"), &history);
                expect_same(&mut clients, &words("ACL LIST"), &history);
            }
        }
        std::fs::write(&path, "").expect("a temporary file");
        both(&mut clients, &words("ACL LOAD"));
        both(&mut clients, &words("ACL SETUSER z on >pw ~a +get (%R~b +@read)"));
        expect_same(&mut clients, &words("ACL SAVE"), &[]);
        let saved = std::fs::read_to_string(&path).expect("it was saved");
        assert_eq!(
            saved,
            "user default on nopass sanitize-payload ~* &* +@all\nuser z on sanitize-payload \
             #30c952fab122c3f9759f02a6d95c3758b246b4fee239957b2d4fee46e26170c4 ~a resetchannels -@all +get (%R~b resetchannels \
             -@all +@read)\n"
        );
    }
    std::fs::remove_file(&path).expect("it is there");
}

#[test]
fn categories_hold_the_same_commands_in_both_versions() {
    for version in [(8, 6, 0), (8, 2, 0)] {
        let Some(pair) = Pair::start_with(version, &[]) else { return };
        let mut clients = connect(&pair);
        let [ours, theirs] = &mut clients;
        let all = |client: &mut Client| -> Vec<String> {
            ask(client, &["ACL", "CAT"]).items().expect("a list").iter().map(Value::text).collect()
        };
        let (mut own, categories) = (all(ours), all(theirs));
        // Redis has it since 8.8.
        own.retain(|category| category != "array");
        assert_eq!(own, categories, "{version:?}");
        let (known, known_there) = (known_commands(&pair.subject), known_commands(&pair.oracle));
        for category in categories {
            let of = |client: &mut Client| -> BTreeSet<String> {
                ask(client, &["ACL", "CAT", &category]).items().expect("a list").iter().map(Value::text).collect()
            };
            let (mut left, mut right) = (of(ours), of(theirs));
            left.retain(|name| !rows::is_ours(name) && known_there.contains(name));
            right.retain(|name| known.contains(name));
            let listed =
                |name: &String| differences::ROWS.iter().any(|(of, what, _)| of == name && *what == "ACL categories");
            let different: Vec<&String> = left.symmetric_difference(&right).filter(|name| !listed(name)).collect();
            assert!(different.is_empty(), "{version:?} @{category}: {different:?}");
        }
    }
}
