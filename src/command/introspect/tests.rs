//! Shapes of COMMAND INFO and COMMAND DOCS, against the bytes of a Redis 8.2.3, for rows made up here.

use super::*;
use crate::command::spec::{Access, keyfind};
use crate::resp::out::Out;
use crate::resp::reply::Proto;

const READ: Access = Access::RO.with(Access::ACCESS);
const OVERWRITE: Access = Access::OW.with(Access::UPDATE);

const XREAD: Spec = Spec::read("XREAD", -4, |_, _| Ok(Next::Done))
    .flags(Flags::BLOCKING)
    .keys(&[KeySpec::all_after(READ, "STREAMS", 1, 2)])
    .group(Group::Stream, Category::STREAM, "5.0.0");
const EVAL: Spec = Spec::new("EVAL", -3, Flags::NOSCRIPT, |_, _| Ok(Next::Done))
    .flags(Flags::STALE.with(Flags::SKIP_MONITOR).with(Flags::NO_MANDATORY_KEYS))
    .keys(&[KeySpec::keynum(Access::RW.with(Access::ACCESS).with(Access::UPDATE), 2).notes("Any.")])
    .group(Group::Scripting, Category::SCRIPTING, "2.6.0");
const SORT: Spec = Spec::write("SORT", -2, |_, _| Ok(Next::Done))
    .denyoom()
    .keys(&[KeySpec::one(READ, 1), KeySpec::unknown(READ), KeySpec::unknown(OVERWRITE)])
    .find_keys(keyfind::sort)
    .doc("", "", "key [BY pattern] [GET pattern [GET pattern ...]] [STORE destination]");

/// What is written about a row, its lines joined by spaces.
fn written(spec: &'static Spec, proto: Proto, write: impl Fn(&mut Reply<'_>, &Command)) -> String {
    let command = Command::new(spec, 0, spec.name.to_ascii_lowercase(), Vec::new());
    let mut out = Out::default();
    write(&mut Reply::new(&mut out, proto), &command);
    let text = std::str::from_utf8(out.as_slice().expect("short")).expect("ASCII");
    text.split_terminator("\r\n").filter(|line| !line.starts_with('$')).collect::<Vec<_>>().join(" ")
}

#[test]
fn key_specs_of_every_shape_are_written() {
    assert_eq!(
        written(&XREAD, Proto::Resp3, write_facts),
        "*10 xread :-4 ~3 +readonly +blocking +movablekeys :0 :0 :0 ~4 +@read +@stream +@slow +@blocking ~0 \
         ~1 %3 flags ~2 +RO +access begin_search %2 type keyword spec %2 keyword STREAMS startfrom :1 \
         find_keys %2 type range spec %3 lastkey :-1 keystep :1 limit :2 ~0"
    );
    assert_eq!(
        written(&EVAL, Proto::Resp2, write_facts),
        "*10 eval :-3 *5 +noscript +stale +skip_monitor +no_mandatory_keys +movablekeys :0 :0 :0 *2 +@slow +@scripting *0 \
         *1 *8 notes Any. flags *3 +RW +access +update begin_search *4 type index spec *2 index :2 \
         find_keys *4 type keynum spec *6 keynumidx :0 firstkey :1 keystep :1 *0"
    );
    let sort = written(&SORT, Proto::Resp3, write_facts);
    let unknown = "begin_search %2 type unknown spec %0 find_keys %2 type unknown spec %0";
    assert!(sort.starts_with("*10 sort :-2 ~3 +write +denyoom +movablekeys :1 :1 :1 ~"), "{sort}");
    assert!(
        sort.ends_with(&format!("%3 flags ~2 +RO +access {unknown} %3 flags ~2 +OW +update {unknown} ~0")),
        "{sort}"
    );
}

#[test]
fn patterns_belong_to_the_keys_that_only_data_tells() {
    let docs = written(&SORT, Proto::Resp3, write_docs);
    for expected in [
        "name key type key display_text key key_spec_index :0",
        "name by-pattern type pattern display_text pattern key_spec_index :1 token BY flags ~1 +optional",
        "name get-pattern type pattern display_text pattern key_spec_index :1 token GET flags ~3 +optional +multiple +multiple_token",
        "name destination type key display_text destination key_spec_index :2 token STORE",
    ] {
        assert!(docs.contains(expected), "{expected}\n{docs}");
    }
}
