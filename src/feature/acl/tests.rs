//! Users, rules and files against facts and against their own text.

use super::log::{AclLog, Context, Refusal};
use super::*;
use crate::base::prng::Prng;
use crate::base::quote::split_args;
use crate::resp::args::OwnedArgs;

const READ: u32 = 1;
const WRITE: u32 = 2;

fn catalog() -> Catalog {
    let entry = |name: &str, categories, subcommands| Entry { name: name.to_owned(), categories, subcommands };
    let entries = vec![
        entry("get", READ, 1..1),
        entry("set", WRITE, 2..2),
        entry("config", 0, 3..5),
        entry("config|get", READ, 4..4),
        entry("config|set", WRITE, 5..5),
        entry("select", 0, 6..6),
        entry("copy", READ | WRITE, 7..7),
    ];
    Catalog::new(entries, vec![(READ, "read"), (WRITE, "write")])
}

fn user(words: &str, catalog: &Catalog) -> User {
    let rules = Rules { catalog, all_channels: false };
    let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
    User::new(b"u", rules).changed(&words, rules).unwrap_or_else(|refused| panic!("{refused:?}"))
}

fn may(user: &User, catalog: &Catalog, line: &str) -> Result<(), Denied> {
    let args = OwnedArgs::new(line.split(' ').map(str::as_bytes));
    let args = args.as_args();
    let name = args.at(0).to_ascii_lowercase();
    let key = |place, read, write| KeyAsked { place, access: KeyAccess { read, write } };
    let keys = match &*name {
        b"get" => vec![key(1, true, false)],
        b"set" => vec![key(1, false, true)],
        b"copy" => vec![key(1, true, false), key(2, false, true)],
        _ => Vec::new(),
    };
    let command = catalog.find(&name).expect("a command");
    user.check(&Asked { command, is_free: false, first_arg: 1, args, keys: &keys, channels: ChannelUse::None })
}

fn denied(reason: Reason, place: usize) -> Result<(), Denied> {
    Err(Denied { reason, place })
}

#[test]
fn of_several_refusals_the_one_that_comes_furthest_is_told() {
    let catalog = catalog();
    let command = denied(Reason::Command, 0);
    for (rules, line, expected) in [
        ("+get ~a", "get a", Ok(())),
        ("+get ~a", "get b", denied(Reason::Key, 1)),
        ("+get ~a", "set a", command),
        ("+get ~a (+set ~b)", "set b", Ok(())),
        ("+get ~a (+set ~b)", "set a", denied(Reason::Key, 1)),
        ("+copy ~a (+copy ~b)", "copy a b", denied(Reason::Key, 2)),
        ("+copy %R~a %W~b", "copy a b", Ok(())),
        ("+copy %R~a %W~b", "copy b a", denied(Reason::Key, 1)),
        ("+copy %R~a %W~b", "copy a a", denied(Reason::Key, 2)),
        ("+@all -copy ~*", "copy a b", command),
        ("+@read ~*", "set a", command),
        ("+select|0", "select 0", Ok(())),
        ("+select|0", "select 1", command),
        ("+select|0", "select", command),
        ("+select|0 -select", "select 0", command),
        ("+select|0 +@all -@all", "select 0", command),
    ] {
        assert_eq!(may(&user(rules, &catalog), &catalog, line), expected, "{rules}: {line}");
    }
}

#[test]
fn what_is_refused_of_all_commands_is_not_unlimited() {
    let catalog = catalog();
    for (rules, expected) in [
        ("+@all ~* &*", true),
        ("+@all ~*", false),
        ("+@all ~* &* -get", false),
        // Every command there is, and yet none that may come.
        ("-@all +@read +@write +config +select ~* &*", false),
        ("+get (+@all ~* &*)", true),
    ] {
        assert_eq!(user(rules, &catalog).is_unlimited(), expected, "{rules}");
    }
}

#[test]
fn passwords_are_compared_whole() {
    let catalog = catalog();
    let user = user("on >abc >x", &catalog);
    for (password, expected) in
        [("abc", true), ("x", true), ("ab", false), ("abcabc", false), ("", false), ("abd", false)]
    {
        assert_eq!(user.accepts(password.as_bytes()), expected, "{password}");
    }
}

fn load(text: &str, catalog: &Catalog) -> Result<Vec<String>, String> {
    let users = file::read(text.as_bytes(), "/f", Rules { catalog, all_channels: false });
    let line = |user: &User| String::from_utf8(user.line()).expect("plain");
    users.map(|users| users.iter().map(line).collect()).map_err(|text| String::from_utf8(text).expect("plain"))
}

#[test]
fn a_file_is_taken_as_a_whole() {
    let catalog = catalog();
    let default = "user default on nopass sanitize-payload ~* &* +@all";
    assert_eq!(load("", &catalog), Ok(vec![default.to_owned()]));
    assert_eq!(
        load("\r\n user z on  +get\t\r\n\nuser a (+set ~x) (~y\n +get)\n", &catalog).unwrap_err(),
        "/f:4: Unmatched parenthesis in selector definition./f:5 should start with user keyword followed by the username. \
         WARNING: ACL errors detected, no change to the previously active ACL rules was performed"
    );
    assert_eq!(
        load("\r\n user z on  +get\t\r\n\nuser a (+set ~x) (~y +get)\nuser default off", &catalog),
        Ok(vec![
            "user a off sanitize-payload resetchannels -@all (~x resetchannels -@all +set) (~y resetchannels -@all +get)".to_owned(),
            "user default off sanitize-payload resetchannels -@all".to_owned(),
            "user z on sanitize-payload resetchannels -@all +get".to_owned(),
        ])
    );
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_lines_and_without_passwords() {
    let end = "WARNING: ACL errors detected, no change to the previously active ACL rules was performed";
    let catalog = catalog();
    for (text, expected) in [
        ("alice on", "/f:1 should start with user keyword followed by the username. "),
        ("user", "/f:1 should start with user keyword followed by the username. "),
        ("user a\nuser b\nuser a", "WARNING: Duplicate user 'a' found on line 3. "),
        ("user a\tb on", "'/f:1: username 'a\tb' contains invalid characters. "),
        (
            "user a +nope on -nope nope <secret",
            "/f:1: Error in applying operation '+nope': Unknown command or category name in ACL. /f:1: Error in applying \
             operation '-nope': Unknown command or category name in ACL. /f:1: Syntax error. ",
        ),
    ] {
        assert_eq!(load(text, &catalog), Err(format!("{expected}{end}")), "{text}");
    }
}

/// Rules of every kind, some of them wrong, with bytes that files and quotes care about.
fn random_rule(prng: &mut Prng) -> Vec<u8> {
    const WORDS: &[&str] = &[
        "on",
        "off",
        "nopass",
        "resetpass",
        "reset",
        "allkeys",
        "resetkeys",
        "allchannels",
        "resetchannels",
        "+@all",
        "-@all",
        "+@read",
        "-@read",
        "+@write",
        "-@write",
        "+get",
        "-get",
        "+config",
        "-config",
        "+config|get",
        "-config|set",
        "+select|",
        "+select",
        "~",
        "%R~",
        "%W~",
        "&",
        ">",
        "clearselectors",
        "skip-sanitize-payload",
        "sanitize-payload",
        "()",
        "(+get",
    ];
    let word = WORDS[prng.below(WORDS.len() as u64) as usize];
    let mut rule = word.as_bytes().to_vec();
    if word.ends_with(['~', '&', '>', '|']) {
        let bytes = b"ab*?[]\\\"'()#|\xff";
        (0..prng.below(4)).for_each(|_| rule.push(bytes[prng.below(bytes.len() as u64) as usize]));
    }
    if word.starts_with('(') && word.len() > 1 {
        rule.extend_from_slice(if prng.below(2) == 0 { b" ~" } else { b" +select|" });
        let start = rule.iter().rposition(|byte| *byte == b' ').expect("just written") + 1;
        let bytes = b"ab*\\\"'()";
        let pattern: Vec<u8> = (0..prng.below(4)).map(|_| bytes[prng.below(bytes.len() as u64) as usize]).collect();
        let mut quoted = Vec::new();
        crate::base::quote::repr(&mut quoted, &pattern);
        // The quotes are those of the selector's own words.
        rule.insert(start, b'"');
        rule.extend_from_slice(&quoted[1..]);
        rule.extend_from_slice(if prng.below(2) == 0 { b")" } else { b" +set)" });
    }
    rule
}

#[test]
fn users_are_read_back_from_files_as_they_were_written() {
    let catalog = catalog();
    let rules = Rules { catalog: &catalog, all_channels: false };
    for seed in 0..400 {
        let mut prng = Prng::seeded(seed);
        let mut user = User::new(b"u", rules);
        for _ in 0..prng.below(12) {
            let _ = user.apply(&random_rule(&mut prng), rules);
        }
        let line = user.line();
        let shown = line.escape_ascii().to_string();
        let back =
            file::read(&line, "/f", rules).unwrap_or_else(|text| panic!("{seed}: {shown}: {}", text.escape_ascii()));
        let back = back.iter().find(|user| user.name() == b"u").expect("the user");
        assert_eq!(back.line().escape_ascii().to_string(), shown, "{seed}: an ACL file");
        let words = split_args(&user.config_line()).expect("balanced quotes");
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let back = User::new(words[0], rules).changed(&words[1..], rules);
        let back = back.unwrap_or_else(|refused| panic!("{seed}: {shown}: {refused:?}"));
        assert_eq!(back.line().escape_ascii().to_string(), shown, "{seed}: a configuration file");
    }
}

#[test]
fn the_log_compares_with_the_last_entries_alone() {
    let mut log = AclLog::default();
    let refusal = |object: usize| Refusal {
        reason: Reason::Key,
        context: Context::Toplevel,
        object: object.to_string().into_bytes(),
        username: b"u".to_vec(),
        client_info: Vec::new(),
    };
    (0..11).for_each(|object| log.note(refusal(object), 0, 128));
    log.note(refusal(1), 60_000, 128);
    assert_eq!((log.iter().len(), log.iter().next().map(|entry| entry.count)), (11, Some(2)));
    log.note(refusal(0), 0, 128);
    assert_eq!((log.iter().len(), log.iter().next().map(|entry| (entry.count, entry.id))), (12, Some((1, 11))));
}

#[test]
fn wrong_passwords_of_one_address_are_answered_one_after_the_other() {
    let mut failures = failures::Failures::default();
    let mut at = |address: &str, now_ms| failures.note(address, now_ms, 100).answered_ms;
    assert_eq!(
        [at("a", 1000), at("a", 1000), at("b", 1000), at("a", 1150), at("a", 5000)],
        [1100, 1200, 1100, 1300, 5100]
    );
    let last = (0..10_000).map(|_| at("a", 5000)).max();
    assert_eq!(last, Some(5000 + failures::WAIT_MS_MAX));
    for number in 0..10_000 {
        failures.note(&number.to_string(), 5000, 100);
        assert!(failures.len() <= 4097);
    }
    failures.note("c", 100_000, 100);
    assert_eq!(failures.len(), 1);
}
