//! Keys of lines, written down from what `COMMAND GETKEYSANDFLAGS` of a Redis 8.2.3 answers, or of 8.6.2 where that does not know the
//! command, found by rows of the same shapes.

use super::*;
use crate::command::spec::{Flags, Spec, keyfind};
use crate::resp::args::OwnedArgs;
use crate::server::ctx::Next;

const READ: Access = Access::RO.with(Access::ACCESS);
const OVERWRITE: Access = Access::OW.with(Access::UPDATE);
const CHANGE: Access = Access::RW.with(Access::ACCESS).with(Access::UPDATE);
const TAKE: Access = Access::RW.with(Access::ACCESS).with(Access::DELETE);

const fn row(name: &'static str, keys: &'static [KeySpec]) -> Spec {
    Spec::read(name, -2, |_, _| Ok(Next::Done)).keys(keys)
}

const GEORADIUS: &[KeySpec] =
    &[KeySpec::one(READ, 1), KeySpec::after(OVERWRITE, "STORE", 6), KeySpec::after(OVERWRITE, "STOREDIST", 6)];

/// First key, last key, step, and whether keys are movable.
type Range = (usize, isize, usize, bool);

/// Rows by command, with the first, last and step that clients of before key specifications read and whether the keys are
/// movable.
const ROWS: &[(Spec, Range)] = &[
    (row("zunion", &[KeySpec::keynum(READ, 1)]), (0, 0, 0, true)),
    (row("zunionstore", &[KeySpec::one(OVERWRITE, 1), KeySpec::keynum(READ, 2)]), (1, 1, 1, true)),
    (row("lmpop", &[KeySpec::keynum(TAKE, 1)]), (0, 0, 0, true)),
    (row("blmpop", &[KeySpec::keynum(TAKE, 2)]), (0, 0, 0, true)),
    (row("bzmpop", &[KeySpec::keynum(TAKE, 2)]), (0, 0, 0, true)),
    (row("eval", &[KeySpec::keynum(CHANGE, 2)]).flags(Flags::NO_MANDATORY_KEYS), (0, 0, 0, true)),
    (row("xread", &[KeySpec::all_after(READ, "STREAMS", 1, 2)]), (0, 0, 0, true)),
    (row("xreadgroup", &[KeySpec::all_after(READ, "STREAMS", 4, 2)]).find_keys(keyfind::xreadgroup), (0, 0, 0, true)),
    (
        row("sort", &[KeySpec::one(READ, 1), KeySpec::unknown(READ), KeySpec::unknown(OVERWRITE)])
            .find_keys(keyfind::sort),
        (1, 1, 1, true),
    ),
    (row("sort_ro", &[KeySpec::one(READ, 1), KeySpec::unknown(READ)]).find_keys(keyfind::sort_ro), (1, 1, 1, true)),
    (row("georadius", GEORADIUS).find_keys(keyfind::georadius), (1, 1, 1, true)),
    (row("bitop", &[KeySpec::one(OVERWRITE, 2), KeySpec::rest(READ, 3, 1)]), (2, -1, 1, false)),
    (row("blpop", &[KeySpec::until(TAKE, 1, -2, 1)]), (1, -2, 1, false)),
    (
        row(
            "pfmerge",
            &[KeySpec::one(Access::RW.with(Access::ACCESS).with(Access::INSERT), 1), KeySpec::rest(READ, 2, 1)],
        ),
        (1, -1, 1, false),
    ),
    (row("mset", &[KeySpec::rest(OVERWRITE, 1, 2)]), (1, -1, 2, false)),
    (row("msetex", &[KeySpec::keynum_every(OVERWRITE, 1, 2)]), (0, 0, 0, true)),
    (
        row("delex", &[KeySpec::one(Access::RW.with(Access::DELETE).with(Access::VARIABLE), 1)])
            .find_keys(keyfind::delex),
        (1, 1, 1, false),
    ),
    (
        row("migrate", &[KeySpec::one(TAKE, 3), KeySpec::all_after(TAKE.with(Access::INCOMPLETE), "KEYS", -2, 0)])
            .find_keys(keyfind::migrate),
        (3, 3, 1, true),
    ),
    (row("bitfield", &[KeySpec::one(CHANGE.with(Access::VARIABLE), 1)]).find_keys(keyfind::bitfield), (1, 1, 1, false)),
    (row("set", &[KeySpec::one(CHANGE.with(Access::VARIABLE), 1)]).find_keys(keyfind::set), (1, 1, 1, false)),
    (row("ping", &[]), (0, 0, 0, false)),
    (row("spublish", &[KeySpec::one(Access::NOT_KEY, 1)]), (1, 1, 1, false)),
];

fn spec(name: &str) -> &'static Spec {
    ROWS.iter().map(|(spec, _)| spec).find(|spec| spec.name == name).unwrap_or_else(|| panic!("no row {name}"))
}

/// A line from words: `_` alone is the empty word, and within a word a space.
fn line(text: &str) -> OwnedArgs {
    let words: Vec<String> =
        text.split(' ').map(|word| if word == "_" { String::new() } else { word.replace('_', " ") }).collect();
    // The names of commands hold underscores themselves.
    let name = text.split(' ').next().expect("a name");
    OwnedArgs::new(std::iter::once(name.as_bytes()).chain(words[1..].iter().map(String::as_bytes)))
}

fn keys(text: &str) -> String {
    let owned = line(text);
    let args = owned.as_args();
    let name = std::str::from_utf8(args.at(0)).expect("ASCII");
    let found = spec(name).keys_of(args);
    let text = |key: &KeyUse| {
        let names: Vec<&str> = key.access.names().collect();
        format!("{}:{}", String::from_utf8_lossy(args.at(key.index)), names.join(","))
    };
    found.iter().map(text).collect::<Vec<_>>().join(" ")
}

#[test]
fn keys_are_where_redis_finds_them() {
    let cases = [
        ("zunion 0 a", ""),
        ("zunion x a", ""),
        ("zunion 3 a b", ""),
        ("zunion 2 a b weights 1 2", "a:RO,access b:RO,access"),
        ("zunion -1 a", ""),
        ("zunion 2x a b", "a: b:"),
        ("zunion _+2 a b", "a: b:"),
        ("zunion 4294967297 a b", "a:"),
        ("zunion 9223372036854775807 a", ""),
        ("zunion 99999999999999999999 a", ""),
        ("zunion 02 a b", "a: b:"),
        ("zunionstore d 0 a", ""),
        ("zunionstore d 2 a b", "d:OW,update a:RO,access b:RO,access"),
        ("zunionstore d 5 a b", ""),
        ("zunionstore d 2x a b", "a: b: d:"),
        ("zunionstore d 3x a b", ""),
        ("lmpop 2 a left", "a:RW,access,delete left:RW,access,delete"),
        ("lmpop 2x a left", "a: left:"),
        ("lmpop 3x a left", ""),
        ("blmpop 0 2 a b left", "a:RW,access,delete b:RW,access,delete"),
        ("blmpop 0 5 a b left", ""),
        ("blmpop 0 1x a left", "a:"),
        ("eval s 0", ""),
        ("eval s 1 a", "a:RW,access,update"),
        ("eval s 2 a", ""),
        ("eval s x a", ""),
        ("eval s 1 a b", "a:RW,access,update"),
        ("eval s 1x a b", "a:"),
        ("xread streams a b", "a:RO,access"),
        ("xread count 1 streams a b 1 2", "a:RO,access b:RO,access"),
        ("xread a b c d", ""),
        ("xread streams a b c", "a:RO,access"),
        ("xread count streams streams a 0", "streams:RO,access"),
        ("xread count 1 STREAMS", ""),
        ("xread count 1 streams a", ""),
        ("xreadgroup group g c streams a b 1 2", "a:RO,access b:RO,access"),
        ("xreadgroup group streams c streams a b", "a:RO,access"),
        ("xreadgroup group g streams noack streams a b", "a:RO,access"),
        ("xreadgroup group g c count 5 noack a b", ""),
        ("xreadgroup streams a b c 1 2 3", ""),
        ("sort a", "a:RO,access"),
        ("sort a store b", "a:RO,access b:OW,update"),
        ("sort a by x get y limit 0 1 store b asc store c", "a:RO,access c:OW,update"),
        ("sort a limit 0 store b", "a:RO,access"),
        ("sort a store", "a:RO,access"),
        ("sort a store by x store b", "a:RO,access b:OW,update"),
        ("sort a get store b", "a:RO,access"),
        ("sort a by", "a:RO,access"),
        ("sort a limit", "a:RO,access"),
        ("sort a store limit 1 2", "a:RO,access limit:OW,update"),
        ("sort_ro a by b", "a:RO,access"),
        ("sort_ro a store b", "a:RO,access"),
        ("georadius a 1 1 1 m", "a:RO,access"),
        ("georadius a 1 1 1 m store b", "a:RO,access b:OW,update"),
        ("georadius a 1 1 1 m store b storedist c", "a:RO,access b:OW,update c:OW,update"),
        ("georadius a 1 1 1 m storedist c count 1 store d", "a:RO,access d:OW,update c:OW,update"),
        ("georadius a 1 1 1 m storedist c", "a:RO,access c:OW,update"),
        ("georadius a 1 1 1 m store", "a:RO,access"),
        ("georadius a 1 1 1 m store a b", "a:RO,access a:OW,update"),
        ("georadius a 1 1 1 store b", "a:RO,access"),
        ("georadius a 1 1 1 store b store c", "a:RO,access c:OW,update"),
        ("georadius a 1 1 1 m store store b", "a:RO,access store:OW,update"),
        ("georadius a 1 1 1 m count store storedist b", "a:RO,access storedist:OW,update b:OW,update"),
        ("georadius a 1 1 1 m store storedist b c", "a:RO,access storedist:OW,update b:OW,update"),
        ("georadius a 1 1 1 m storedist storedist storedist", "a:RO,access storedist:OW,update"),
        (
            "migrate h 1 _ 0 1 keys a b c d e",
            "a:RW,access,delete b:RW,access,delete c:RW,access,delete d:RW,access,delete e:RW,access,delete",
        ),
        (
            "migrate h 1 _ 0 1 copy keys a b keys c",
            "a:RW,access,delete b:RW,access,delete keys:RW,access,delete c:RW,access,delete",
        ),
        ("migrate h keys _ 0 1 1", ":RW,access,delete"),
        ("xread count 1 streams a b c", "a:RO,access"),
        ("xread streams streams streams", "streams:RO,access"),
        ("xread block 0 0", ""),
        ("pfmerge a b", "a:RW,access,insert b:RO,access"),
        ("bitop and d a b", "d:OW,update a:RO,access b:RO,access"),
        ("bitop not d a", "d:OW,update a:RO,access"),
        ("bzmpop 1 2 a b min", "a:RW,access,delete b:RW,access,delete"),
        ("blpop a b 0", "a:RW,access,delete b:RW,access,delete"),
        ("blpop a 0", "a:RW,access,delete"),
        ("pfmerge a", "a:RW,access,insert"),
        ("pfmerge a b c", "a:RW,access,insert b:RO,access c:RO,access"),
        ("mset a b c", "a:OW,update c:OW,update"),
        ("mset a b c d", "a:OW,update c:OW,update"),
        ("msetex 2 a 1 b 2", "a:OW,update b:OW,update"),
        ("msetex 2 a 1 b 2 nx ex 10", "a:OW,update b:OW,update"),
        ("msetex 1 a 1 b 2", "a:OW,update"),
        ("msetex 2 a 1 b", "a:OW,update b:OW,update"),
        ("msetex 3 a 1 b 2", ""),
        ("msetex 0 a 1", ""),
        ("msetex 9223372036854775807 a 1", ""),
        ("delex a", "a:RM,delete"),
        ("delex a ifeq b", "a:RW,delete"),
        ("delex a nosuch b", "a:RM,delete"),
        ("migrate h 1 k 0 1", "k:RW,access,delete"),
        ("migrate h 1 _ 0 1 keys a b", "a:RW,access,delete b:RW,access,delete"),
        ("migrate h 1 _ 0 1 copy auth keys keys a b c", "a:RW,access,delete b:RW,access,delete c:RW,access,delete"),
        ("migrate h 1 _ 0 1 keys a", "a:RW,access,delete"),
        ("migrate h 1 k 0 1 keys", "k:RW,access,delete"),
        ("migrate h 1 k 0 1 keys a", ""),
        ("migrate h 1 _ 0 1 auth2 u keys keys a", "a:RW,access,delete"),
        ("migrate h 1 _ 0 1", ":RW,access,delete"),
        ("migrate h 1 _ 0 1 keys", ":RW,access,delete"),
        ("migrate h 1 _ 0 1 auth", ":RW,access,delete"),
        ("bitfield a", "a:RO,access"),
        ("bitfield a get u8 1", "a:RO,access"),
        ("bitfield a set u8 1 1", "a:RW,access,update"),
        ("bitfield a set", "a:RW,access,update"),
        ("bitfield a get u8", "a:RW,access,update"),
        ("bitfield a overflow sat get u8 1", "a:RO,access"),
        ("bitfield a overflow", "a:RW,access,update"),
        ("bitfield a get u8 1 nosuch", "a:RW,access,update"),
        ("set a b get", "a:RW,access,update"),
        ("set a b", "a:OW,update"),
        ("set a b ex get", "a:RW,access,update"),
        ("set a get", "a:OW,update"),
        ("set a b ifeq c", "a:RW,update"),
        ("set a b ifdne c", "a:RW,update"),
        ("set a b ifeq get", "a:RW,access,update"),
        ("set a ifeq", "a:OW,update"),
    ];
    for (line, expected) in cases {
        assert_eq!(keys(line), expected, "{line}");
    }
}

#[test]
fn old_ranges_and_movable_keys_follow_from_the_specifications() {
    for (spec, (first, last, step, movable)) in ROWS {
        assert_eq!(
            legacy(spec.keys),
            Legacy { first: *first, last: *last, step: *step, movable: *movable },
            "{}",
            spec.name
        );
        assert_eq!(spec.flags.has(Flags::MOVABLE_KEYS), *movable, "{}", spec.name);
    }
    assert_eq!(["ping", "spublish", "eval"].map(|name| spec(name).has_keys()), [false, false, true]);
}

#[test]
fn first_key_is_told_only_where_its_place_is_fixed() {
    let first = |text: &str| {
        let line = line(text);
        let name = text.split(' ').next().expect("a name");
        spec(name).first_key(line.as_args()).map(|key| String::from_utf8_lossy(key).into_owned())
    };
    let cases = [
        ("bitop and d a", Some("d")),
        ("mset a b", Some("a")),
        ("zunionstore d 1 a", Some("d")),
        ("sort a", Some("a")),
        ("mset", None),
        ("zunion 1 a", None),
        ("xread streams a 0", None),
        ("ping a", None),
    ];
    for (line, expected) in cases {
        assert_eq!(first(line).as_deref(), expected, "{line}");
    }
}

/// Redis finds them so since 8.10: a permission for other keys than those that are used would be none.
#[test]
fn the_keys_that_a_line_uses_are_among_those_that_are_found() {
    for (line, expected) in [
        ("georadius a 1 1 1 m store b store c", "a:RO,access b:OW,update c:OW,update"),
        ("georadius a 1 1 1 m store b storedist c store d", "a:RO,access b:OW,update c:OW,update d:OW,update"),
        ("georadius a 1 1 1 m store store store c", "a:RO,access store:OW,update c:OW,update"),
        (
            "georadius a 1 1 1 m store b store storedist withdist",
            "a:RO,access b:OW,update withdist:OW,update storedist:OW,update",
        ),
        ("xreadgroup count 1 group streams c streams k >", "k:RO,access"),
        ("xreadgroup group streams streams block 0 streams k l > >", "k:RO,access l:RO,access"),
    ] {
        assert_eq!(keys(line), expected, "{line}");
    }
}
