//! Facts about every kind of directive, loading, rewriting and the command line; the oracle for texts and defaults is a
//! real `redis-server`, started where there is one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::cli::{self, Invocation};
use super::file::{self, Files, INCLUDE_DEPTH_MAX, LoadError, Loader, Place, Source, Sources};
use super::*;
use crate::base::prng::Prng;
use crate::base::quote;

mod redis;

/// Pairs for CONFIG SET, and the error text, empty for OK. Every text was seen from Redis 8.6.2, and
/// `config_set_answers_as_redis_does` asks a real server again.
pub(super) const SET_FACTS: &[(&[(&str, &str)], &str)] = &[
    (&[("nope", "1")], "Unknown option or number of arguments for CONFIG SET - 'nope'"),
    (&[("nope\nx", "1")], "Unknown option or number of arguments for CONFIG SET - 'nope x'"),
    (&[("no\0pe", "1")], "Unknown option or number of arguments for CONFIG SET - 'no'"),
    (&[("timeout", "1"), ("nope", "2")], "Unknown option or number of arguments for CONFIG SET - 'nope'"),
    (&[("include", "x")], "Unknown option or number of arguments for CONFIG SET - 'include'"),
    (&[("TIMEOUT", "5"), ("timeout", "6")], "timeout|duplicate parameter"),
    (&[("timeout", "1"), ("timeout", "2"), ("nope", "x")], "timeout|duplicate parameter"),
    (&[("lua-time-limit", "5"), ("LUA-time-limit", "6")], "LUA-time-limit|duplicate parameter"),
    (&[("databases", "5")], "databases|can't set immutable config"),
    (&[("DATABASES", "5")], "DATABASES|can't set immutable config"),
    (&[("timeout", "abc"), ("databases", "4")], "databases|can't set immutable config"),
    (&[("databases", "1"), ("nope", "1")], "databases|can't set immutable config"),
    (&[("daemonize", "yes")], "daemonize|can't set immutable config"),
    (&[("daemonize", "no")], "daemonize|can't set immutable config"),
    (&[("io-threads", "1")], "io-threads|can't set immutable config"),
    (&[("dbfilename", "dump.rdb")], "dbfilename|can't set protected config"),
    (
        &[("proc-title-template", "{title}{")],
        "proc-title-template|template format is invalid or contains unknown variables",
    ),
    (&[("proc-title-template", "{title} {listen-addr} {server-mode}")], ""),
    (&[("repl-timeout", "0")], "repl-timeout|argument must be between 1 and 2147483647 inclusive"),
    (&[("repl-timeout", "30"), ("slave-read-only", "no"), ("maxmemory-samples", "10")], ""),
    (&[("lazyfree-lazy-expire", "perhaps")], "lazyfree-lazy-expire|argument must be 'yes' or 'no'"),
    (
        &[("shutdown-on-sigterm", "soon")],
        "shutdown-on-sigterm|argument(s) must be one of the following: default, save, nosave, now, force",
    ),
    (
        &[("shutdown-on-sigterm", "save nosave")],
        "shutdown-on-sigterm|shutdown options SAVE and NOSAVE can't be used simultaneously",
    ),
    (&[("shutdown-on-sigterm", "now nosave")], ""),
    (&[("slowlog-max-len", "0"), ("slowlog-log-slower-than", "-1"), ("latency-monitor-threshold", "0")], ""),
    (
        &[("slowlog-log-slower-than", "-2")],
        "slowlog-log-slower-than|argument must be between -1 and 9223372036854775807 inclusive",
    ),
    (&[("latency-tracking-info-percentiles", "50 0 99.95 100")], ""),
    (&[("latency-tracking-info-percentiles", "")], ""),
    (
        &[("latency-tracking-info-percentiles", "50 x")],
        "latency-tracking-info-percentiles|Invalid latency-tracking-info-percentiles parameters",
    ),
    (
        &[("latency-tracking-info-percentiles", "100.1")],
        "latency-tracking-info-percentiles|latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
    ),
    (&[("oom-score-adj-values", "1 2")], "oom-score-adj-values|wrong number of arguments"),
    (
        &[("oom-score-adj-values", "1 2 2001")],
        "oom-score-adj-values|Invalid oom-score-adj-values, elements must be between -2000 and 2000.",
    ),
    (&[("appendfsync", "sometimes")], "appendfsync|argument(s) must be one of the following: everysec, always, no"),
    (&[("dir", "/tmp")], "dir|can't set protected config"),
    (&[("timeout", "abc")], "timeout|argument couldn't be parsed into an integer"),
    (&[("TimeOut", "abc")], "timeout|argument couldn't be parsed into an integer"),
    (&[("timeout", "")], "timeout|argument couldn't be parsed into an integer"),
    (&[("timeout", "01")], "timeout|argument couldn't be parsed into an integer"),
    (&[("timeout", "+1")], "timeout|argument couldn't be parsed into an integer"),
    (&[("timeout", " 1")], "timeout|argument couldn't be parsed into an integer"),
    (&[("timeout", "-1")], "timeout|argument must be between 0 and 2147483647 inclusive"),
    (&[("timeout", "99999999999")], "timeout|argument must be between 0 and 2147483647 inclusive"),
    (&[("timeout", "1")], ""),
    (&[("timeout", "1"), ("maxclients", "abc")], "maxclients|argument couldn't be parsed into an integer"),
    (&[("maxclients", "0")], "maxclients|argument must be between 1 and 4294967295 inclusive"),
    (&[("maxclients", "4294967296")], "maxclients|argument must be between 1 and 4294967295 inclusive"),
    (
        &[("max-new-connections-per-cycle", "1001")],
        "max-new-connections-per-cycle|argument must be between 1 and 1000 inclusive",
    ),
    (&[("shutdown-timeout", "-1")], "shutdown-timeout|argument must be between 0 and 2147483647 inclusive"),
    (&[("port", "70000")], "port|argument must be between 0 and 65535 inclusive"),
    (&[("port", "6379abc")], "port|argument couldn't be parsed into an integer"),
    (&[("hz", "0")], ""),
    (&[("hz", "501")], ""),
    (&[("hz", "-1")], "hz|argument must be between 0 and 2147483647 inclusive"),
    (&[("maxmemory", "1kb")], ""),
    (&[("maxmemory", "")], ""),
    (&[("maxmemory", "abc")], "maxmemory|argument must be a memory value"),
    (&[("maxmemory", "50%")], ""),
    (&[("maxmemory", "101%")], "maxmemory|percentage argument must be less or equal to 100"),
    (&[("maxmemory", "5.5%")], "maxmemory|argument must be a memory value"),
    (&[("maxmemory", "-1")], "maxmemory|argument must be a memory value"),
    (&[("maxmemory", "1.5gb")], "maxmemory|argument must be a memory value"),
    (&[("maxmemory", "18446744073709551615")], ""),
    (
        &[("client-query-buffer-limit", "9223372036854775808")],
        "client-query-buffer-limit|argument must be between 1048576 and 9223372036854775807 inclusive",
    ),
    (
        &[("client-query-buffer-limit", "1")],
        "client-query-buffer-limit|argument must be between 1048576 and 9223372036854775807 inclusive",
    ),
    (
        &[("proto-max-bulk-len", "1")],
        "proto-max-bulk-len|argument must be between 1048576 and 9223372036854775807 inclusive",
    ),
    (
        &[("proto-max-bulk-len", "9223372036854775808")],
        "proto-max-bulk-len|argument must be between 1048576 and 9223372036854775807 inclusive",
    ),
    (&[("proto-max-bulk-len", "1mb")], ""),
    (&[("protected-mode", "maybe")], "protected-mode|argument must be 'yes' or 'no'"),
    (&[("protected-mode", "YES")], ""),
    (&[("dynamic-hz", "no yes")], "dynamic-hz|argument must be 'yes' or 'no'"),
    (&[("appendonly", "maybe")], "appendonly|argument must be 'yes' or 'no'"),
    (&[("appendonly", "no")], ""),
    (
        &[("loglevel", "foo")],
        "loglevel|argument(s) must be one of the following: debug, verbose, notice, warning, nothing",
    ),
    (&[("loglevel", "WARNING")], ""),
    (
        &[("maxmemory-policy", "foo")],
        "maxmemory-policy|argument(s) must be one of the following: volatile-lru, volatile-lfu, volatile-random, \
         volatile-ttl, volatile-lrm, allkeys-lru, allkeys-lfu, allkeys-random, allkeys-lrm, noeviction",
    ),
    (&[("maxmemory-policy", "NoEviction")], ""),
    (
        &[("client-output-buffer-limit", "normal 1 2")],
        "client-output-buffer-limit|Wrong number of arguments in buffer limit configuration.",
    ),
    (
        &[("client-output-buffer-limit", "normal  0 0 0")],
        "client-output-buffer-limit|Wrong number of arguments in buffer limit configuration.",
    ),
    (
        &[("client-output-buffer-limit", "master 1 2 3")],
        "client-output-buffer-limit|Invalid client class specified in buffer limit configuration.",
    ),
    (
        &[("client-output-buffer-limit", "normal a 2 3")],
        "client-output-buffer-limit|Error in hard, soft or soft_seconds setting in buffer limit configuration.",
    ),
    (
        &[("client-output-buffer-limit", "normal 0 0 -1")],
        "client-output-buffer-limit|Error in hard, soft or soft_seconds setting in buffer limit configuration.",
    ),
    (
        &[("client-output-buffer-limit", "normal 0 0 2147483648")],
        "client-output-buffer-limit|Error in hard, soft or soft_seconds setting in buffer limit configuration.",
    ),
    (&[("client-output-buffer-limit", "replica 1mb 2kb 3 PUBSUB 1 1 01")], ""),
    (&[("client-output-buffer-limit", "")], ""),
    (&[("save", "a b")], "save|Invalid save parameters"),
    (&[("save", "1")], "save|Invalid save parameters"),
    (&[("save", "-1 5")], "save|Invalid save parameters"),
    (&[("save", " ")], "save|Invalid save parameters"),
    (&[("save", "")], ""),
    (&[("bind", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17")], "bind|Too many bind addresses specified."),
    (&[("bind", "\"*")], "bind|Failed to bind to specified addresses."),
    (&[("bind", "127.0.0.1 ")], "bind|Failed to bind to specified addresses."),
    (&[("requirepass", "a"), ("requirepass", "b")], "requirepass|duplicate parameter"),
    (&[("requirepass", "")], ""),
];

/// The full text of a fact: `name|reason` stands for Redis's sentence around them.
pub(super) fn expected_text(fact: &str) -> String {
    match fact.split_once('|') {
        Some((name, reason)) => format!("CONFIG SET failed (possibly related to argument '{name}') - {reason}"),
        None => fact.to_owned(),
    }
}

fn set(config: &mut Config, pairs: &[(&str, &str)]) -> Result<Vec<&'static str>, String> {
    let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    config.set_many(&pairs, false).map_err(|error| error.to_string())
}

fn text_of(config: &Config, name: &str) -> String {
    String::from_utf8(config.text_of(name).expect("a known directive")).expect("text")
}

/// Files that exist only here. A path that ends in `/` is a directory.
#[derive(Default)]
struct Memory {
    files: BTreeMap<PathBuf, Vec<u8>>,
    input: Vec<u8>,
}

impl Memory {
    fn new(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect();
        Self { files, input: Vec::new() }
    }
}

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files.get(path).cloned().ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        let below = self.files.keys().filter_map(|path| path.strip_prefix(dir).ok());
        Ok(below.filter_map(|path| path.components().next()).map(|name| name.as_os_str().to_owned()).collect())
    }

    fn directory(&self, path: &Path) -> io::Result<PathBuf> {
        let known = self.files.keys().any(|file| file.starts_with(path));
        if known { Ok(path.to_owned()) } else { Err(io::Error::from_raw_os_error(libc::ENOENT)) }
    }

    fn standard_input(&self) -> io::Result<Vec<u8>> {
        Ok(self.input.clone())
    }
}

fn load(files: &Memory, path: &str) -> Result<(Config, Sources), LoadError> {
    let mut loader = Loader::new(files, PathBuf::from("/start"));
    loader.file(Path::new(path))?;
    Ok(loader.finish())
}

fn load_text(text: &[u8]) -> Result<(Config, Sources), LoadError> {
    let files = Memory::default();
    let mut loader = Loader::new(&files, PathBuf::from("/start"));
    loader.text(&Place::File(PathBuf::from("/etc/a.conf")), text)?;
    Ok(loader.finish())
}

fn reason_of_line(text: &str) -> String {
    load_text(text.as_bytes()).expect_err(text).reason
}

fn run(args: &[&str], files: &Memory) -> Result<Invocation, LoadError> {
    cli::read(args.iter().map(OsString::from), PathBuf::from("/start"), files)
}

fn run_config(args: &[&str]) -> Config {
    let files = Memory::new(&[("/etc/a.conf", "timeout 1\nhz 20\nrequirepass file"), ("/start/b.conf", "timeout 2")]);
    match run(args, &files) {
        Ok(Invocation::Run { config, .. }) => *config,
        other => panic!("{args:?}: {other:?}"),
    }
}

#[test]
fn config_set_answers_with_the_texts_of_redis() {
    for (pairs, fact) in SET_FACTS {
        let answer = set(&mut Config::default(), pairs).err().unwrap_or_default();
        assert_eq!(answer, expected_text(fact), "{pairs:?}");
    }
}

#[test]
fn values_that_would_promise_what_is_not_there_are_refused_and_the_reason_is_said() {
    let cases = [("tls-port", "6380", "AleaDB does not speak TLS yet: tls-port can only be 0")];
    for (name, value, reason) in cases {
        let answer = set(&mut Config::default(), &[(name, value)]).unwrap_err();
        assert_eq!(answer, expected_text(&format!("{}|{reason}", name.to_lowercase())));
        assert_eq!(reason_of_line(&format!("{name} {value}")), reason);
    }
}

/// A value that tunes what is switched off, or says what is so, is kept as it was given.
#[test]
fn values_that_are_true_are_shown_and_written_back() {
    let text = "slave-priority 7\nREPL-BACKLOG-SIZE 2mb\nappendfilename \"a b.aof\"\nlazyfree-lazy-user-del YES\n\
                shutdown-on-sigint now nosave\nreplicaof no one\nmaxmemory-samples 5\nuser default on nopass ~* &* +@all\n\
                lua-replicate-commands yes\nprimaryauth secret\nsave \"\"\n";
    let (config, sources) = load_text(text.as_bytes()).unwrap();
    let get = |name: &str| text_of(&config, name);
    for (name, shown) in [
        ("replica-priority", "7"),
        ("slave-priority", "7"),
        ("repl-backlog-size", "2097152"),
        ("appendfilename", "a b.aof"),
        ("lazyfree-lazy-user-del", "yes"),
        ("shutdown-on-sigint", "nosave now"),
        ("slaveof", ""),
        ("maxmemory-samples", "5"),
        ("masterauth", "secret"),
        ("save", ""),
    ] {
        assert_eq!(get(name), shown, "{name}");
    }
    let written = String::from_utf8(file::rewrite(
        text.as_bytes(),
        &config,
        &sources,
        &[(b"default on nopass ~* &* +@all".to_vec(), false)],
    ))
    .expect("text");
    let expected = "replica-priority 7\nrepl-backlog-size 2mb\nappendfilename \"a b.aof\"\nlazyfree-lazy-user-del yes\n\
                    shutdown-on-sigint nosave now\n\nmaxmemory-samples 5\nuser default on nopass ~* &* +@all\n\
                    lua-replicate-commands yes\nmasterauth \"secret\"\nsave \"\"\n\n# Generated by CONFIG REWRITE\ndir \"/start\"\n";
    assert_eq!(written, expected);
    let files = Memory::new(&[("/a.conf", &written), ("/start/x", "")]);
    assert_eq!(load(&files, "/a.conf").unwrap().0, config);
}

#[test]
fn lines_that_are_no_directives_say_what_is_missing() {
    assert!(load_text(b"user default on nopass ~* &* +@all").is_ok());
    for (line, reason) in [
        ("rename-command CONFIG", "Bad directive or wrong number of arguments"),
        ("loadmodule /lib/x.so", "AleaDB does not load modules"),
        ("sentinel monitor m 127.0.0.1 1 1", "sentinel directive while not in sentinel mode"),
        ("replicaof 127.0.0.1", "wrong number of arguments"),
        ("slaveof 127.0.0.1 99999", "Invalid master port"),
        ("user", "Bad directive or wrong number of arguments"),
        ("lua-replicate-commands", "Bad directive or wrong number of arguments"),
    ] {
        assert_eq!(reason_of_line(line), reason, "{line}");
    }
}

#[test]
fn config_set_is_all_or_nothing() {
    let mut config = Config::default();
    let before = config.clone();
    assert!(set(&mut config, &[("timeout", "7"), ("hz", "20"), ("maxmemory", "x")]).is_err());
    assert_eq!(config, before);
    assert!(set(&mut config, &[("client-output-buffer-limit", "normal 1 1 1 pubsub x 1 1")]).is_err());
    assert_eq!(config, before);
}

#[test]
fn config_set_names_what_changed() {
    let mut config = Config::default();
    assert_eq!(set(&mut config, &[("HZ", "20"), ("timeout", "0"), ("maxmemory", "1kb")]), Ok(vec!["hz", "maxmemory"]));
    assert_eq!((config.hz, config.timeout, config.maxmemory.bytes), (20, 0, 1024));
    assert_eq!(set(&mut config, &[("maxmemory", "1024")]), Ok(vec![]));
    assert_eq!(set(&mut config, &[]), Ok(vec![]));
}

#[test]
fn values_print_as_redis_prints_them() {
    let cases = [
        ("bind", "* -::*", "* -::*"),
        ("bind", "", ""),
        ("hz", "0", "1"),
        ("hz", "501", "500"),
        ("maxmemory", "1mB", "1048576"),
        ("maxmemory", "1m", "1000000"),
        ("protected-mode", "NO", "no"),
        ("loglevel", "DEBUG", "debug"),
        (
            "client-output-buffer-limit",
            "replica 1mb 2kb 3 PUBSUB 1 1 1",
            "normal 0 0 0 slave 1048576 2048 3 pubsub 1 1 1",
        ),
        ("requirepass", " a\"b ", " a\"b "),
    ];
    for (name, value, printed) in cases {
        let mut config = Config::default();
        set(&mut config, &[(name, value)]).unwrap();
        assert_eq!(text_of(&config, name), printed, "{name} {value}");
    }
    let (config, _) = load_text(b"unixsocketperm 0700\nlogfile ''\npidfile /run/a.pid").unwrap();
    assert_eq!((text_of(&config, "unixsocketperm"), text_of(&config, "logfile")), ("700".into(), String::new()));
    assert_eq!((config.unixsocketperm, config.logfile), (0o700, None));
    assert_eq!(config.pidfile, Some(PathBuf::from("/run/a.pid")));
}

#[test]
fn every_default_reads_back_as_itself() {
    for param in Param::all() {
        let defaults = Config::default();
        let printed = param.get(&defaults);
        let mut config = defaults.clone();
        param.set(&mut config, &arguments(param, &printed)).unwrap_or_else(|why| panic!("{}: {why}", param.name));
        assert_eq!(config, defaults, "{}", param.name);
    }
}

/// The first line of a file replaces the default, the next ones add to it; CONFIG SET replaces.
#[test]
fn save_points_of_a_file_add_up_and_config_set_replaces_them() {
    let shown = |text: &str| text_of(&load_text(text.as_bytes()).unwrap().0, "save");
    assert_eq!(text_of(&Config::default(), "save"), "3600 1 300 100 60 10000");
    assert_eq!(shown("save 900 1\nsave 300 10 60 5\n"), "900 1 300 10 60 5");
    assert_eq!(shown("save 900 1\nsave \"\"\nsave 60 7\n"), "60 7");
    let (mut config, _) = load_text(b"save 900 1\n").unwrap();
    config.set_many(&[(b"save", b"60 5")], false).unwrap();
    assert_eq!(text_of(&config, "save"), "60 5");
}

#[test]
fn bounds_of_integers_fit_their_fields() {
    let mut checked = 0;
    // `hz` is pulled into narrower bounds than it is refused by.
    for param in Param::all().filter(|param| param.name != "hz") {
        let mut config = Config::default();
        let Err(refusal) = param.set(&mut config, &[b"-9223372036854775808"]) else { continue };
        let words: Vec<&str> = refusal.split(' ').collect();
        let ["argument", "must", "be", "between", min, "and", max, "inclusive"] = words[..] else { continue };
        for bound in [min, max] {
            if param.set(&mut config, &[bound.as_bytes()]).is_ok() {
                assert_eq!(param.get(&config), bound.as_bytes(), "{}", param.name);
                checked += 1;
            }
        }
    }
    assert!(checked >= 80, "{checked}");
}

#[test]
fn names_are_unique_and_lower_case() {
    let names: Vec<&str> = Param::all().flat_map(|param| param.names().chain(param.unlisted.iter().copied())).collect();
    for (index, name) in names.iter().enumerate() {
        assert_eq!(*name, name.to_ascii_lowercase());
        assert!(!names[..index].contains(name), "{name} twice");
    }
}

#[test]
fn config_get_shows_each_name_once() {
    let config = Config::default();
    let names = |patterns: &[&str]| {
        let patterns: Vec<&[u8]> = patterns.iter().map(|pattern| pattern.as_bytes()).collect();
        let found = config.matching(&patterns);
        found.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&["timeout", "TIMEOUT", "time*", "TI[mM]eout"]), ["timeout"]);
    assert_eq!(names(&["TIMEOUT", "time*"]), ["TIMEOUT"]);
    assert_eq!(names(&["MAXMEMORY-*"]).len(), 4);
    assert_eq!(names(&["lfu*", "slave-prio*"]), ["lfu-decay-time", "lfu-log-factor", "slave-priority"]);
    assert_eq!(names(&["nope", "\\timeout"]), Vec::<String>::new());
    // What Redis hides or does not have is answered, but not found by a glob.
    assert_eq!(names(&["log-format", "primaryauth"]), ["log-format", "primaryauth"]);
    assert_eq!(names(&["log-f*", "primary*"]), Vec::<String>::new());
    let listed = Param::all().filter(|param| param.listed);
    assert_eq!(names(&["*"]).len(), listed.map(|param| param.names().count()).sum::<usize>());
    assert_eq!(names(&[]).len(), 0);
}

#[test]
fn a_file_sets_directives_and_later_lines_win() {
    let text = "# comment\r\n\r\n  TIMEOUT 5\t\nrequirepass \"a\\x20\\\"b\"\nbind 127.0.0.1 -::1 10.0.0.1\n\
                client-output-buffer-limit pubsub 1mb 1kb 9\nclient-output-buffer-limit slave 1 1 1\ntimeout 6\nsave ''\nhz 1000";
    let (config, sources) = load_text(text.as_bytes()).unwrap();
    assert_eq!((config.timeout, config.hz, config.requirepass.as_slice()), (6, 500, b"a \"b".as_slice()));
    assert_eq!(config.bind.len(), 3);
    assert_eq!(config.client_output_buffer_limit.pubsub, OutputLimit::new(1 << 20, 1 << 10, 9));
    assert_eq!(config.client_output_buffer_limit.replica, OutputLimit::new(1, 1, 1));
    let place = Place::File(PathBuf::from("/etc/a.conf"));
    assert_eq!(sources.of("timeout"), Some(&Source { place, line: 8 }));
    assert_eq!(sources.of("maxmemory"), None);
}

#[test]
fn files_that_say_nothing_are_remembered() {
    let files = Memory {
        input: b"\n# nothing\n".to_vec(),
        ..Memory::new(&[
            ("/a", "# comment\n\n"),
            ("/b", "include /a\ninclude /none*.conf"),
            ("/c", "include /d"),
            ("/d", "hz 9"),
        ])
    };
    for (args, expected) in [
        (&["/a"][..], vec![Place::File("/a".into())]),
        (&["/b", "--port", "1"], vec![Place::File("/b".into())]),
        (&["/c"], vec![]),
        (&["/a", "-"], vec![Place::File("/a".into()), Place::StandardInput]),
        (&["--port", "1"], vec![]),
    ] {
        let Ok(Invocation::Run { sources, .. }) = run(args, &files) else { panic!("{args:?}") };
        assert_eq!(sources.silent(), expected, "{args:?}");
    }
}

#[test]
fn a_bad_line_is_reported_in_the_shape_of_redis() {
    let error = load_text(b"\n  timeout abc \nhz 1").unwrap_err();
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "\n*** FATAL CONFIG FILE ERROR (AleaDB {version}) ***\nReading the configuration file, at line 2 of /etc/a.conf\n\
         >>> 'timeout abc'\nargument couldn't be parsed into an integer"
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn bad_lines_have_the_reasons_of_redis() {
    let cases = [
        ("timeout 1 2", "wrong number of arguments"),
        ("timeout", "wrong number of arguments"),
        ("nope \"a", "Unbalanced quotes in configuration line"),
        ("save 1", "Invalid save parameters"),
        ("unixsocketperm 999", "argument couldn't be parsed as an octal number"),
        ("unixsocketperm 1777", "argument must be between 0 and 777 inclusive"),
        ("databases 0", "argument must be between 1 and 1000000 inclusive"),
        ("databases 1000001", "argument must be between 1 and 1000000 inclusive"),
        ("io-threads 0", "argument must be between 1 and 128 inclusive"),
        ("enable-debug-command x", "argument(s) must be one of the following: no, yes, local"),
        ("dir /nonexistent", "No such file or directory"),
        ("dir \"\"", "No such file or directory"),
        ("include", "Bad directive or wrong number of arguments"),
        ("nope", "Bad directive or wrong number of arguments"),
        ("daemonize maybe", "argument must be 'yes' or 'no'"),
        ("include /nope", "Fatal error, can't open config file '/nope': No such file or directory"),
    ];
    for (line, expected) in cases {
        assert_eq!(reason_of_line(line), expected, "{line}");
    }
    assert!(reason_of_line("io-threads 4").contains("one thread"));
}

#[test]
fn includes_follow_wildcards_and_the_directory_of_the_moment() {
    let files = Memory::new(&[
        (
            "/etc/a.conf",
            "include rel.conf\ndir /data\ninclude conf.d/*.conf\ninclude none*/x\ninclude /data/*/z.cnf\nhz 30",
        ),
        ("/start/rel.conf", "timeout 9"),
        ("/data/conf.d/2.conf", "maxmemory 2\nhz 20"),
        ("/data/conf.d/1.conf", "maxmemory 1"),
        ("/data/conf.d/.hidden.conf", "nope"),
        ("/data/conf.d/other", "nope"),
        ("/data/sub/z.cnf", "tcp-keepalive 5"),
    ]);
    let (config, sources) = load(&files, "/etc/a.conf").unwrap();
    assert_eq!((config.timeout, config.maxmemory.bytes, config.hz, config.tcp_keepalive), (9, 2, 30, 5));
    assert_eq!(config.dir, PathBuf::from("/data"));
    let place = Place::Included(PathBuf::from("/data/conf.d/2.conf"));
    assert_eq!(sources.of("maxmemory"), Some(&Source { place, line: 1 }));
    assert!(sources.is_included("hz") && !sources.is_included("dir"));
    let broken = Memory::new(&[("/etc/a.conf", "include /b"), ("/b", "\ntimeout x")]);
    let error = load(&broken, "/etc/a.conf").unwrap_err();
    assert!(error.to_string().contains("at line 2 of /b\n"), "{error}");
}

#[test]
fn a_file_that_includes_itself_is_refused() {
    let files = Memory::new(&[("/etc/a.conf", "include /etc/*.conf\ninclude /etc/a.conf")]);
    let reason = load(&files, "/etc/a.conf").unwrap_err().reason;
    assert_eq!(reason, format!("more than {INCLUDE_DEPTH_MAX} files include one another"));
}

#[test]
fn options_override_the_file_and_follow_the_rules_of_redis() {
    let config = run_config(&["/etc/a.conf", "--timeout", "5", "--bind", "127.0.0.1", "::1", "--save", "--port", "1"]);
    assert_eq!((config.timeout, config.hz, config.bind.len(), config.port), (5, 20, 2, 1));
    assert_eq!(run_config(&["b.conf"]).timeout, 2);
    assert_eq!(run_config(&["--bind", "127.0.0.1 -::1"]).bind, Config::default().bind);
    assert_eq!(run_config(&["--port 7812", "--timeout", "3", "--"]).port, 7812);
    assert_eq!(run_config(&["--requirepass", "--timeout", "--timeout", "3"]).requirepass, b"--timeout");
    assert!(run_config(&["--save", ""]).save.is_empty());
    assert_eq!(run_config(&["--save", "", "--replicaof", "no", "one"]), run_config(&["--save"]));
    assert!(!run_config(&["--Protected-MODE", "no"]).protected_mode);
    assert_eq!(run_config(&["/etc/a.conf", "--requirepass", ""]).requirepass, b"");
    assert_eq!(run_config(&[]), Config { dir: PathBuf::from("/start"), ..Config::default() });
}

#[test]
fn standard_input_comes_after_the_file_and_before_options() {
    let files = Memory { input: b"timeout 7\nhz 40".to_vec(), ..Memory::new(&[("/a", "timeout 1\nmaxmemory 1")]) };
    for (args, expected) in [
        (&["-"][..], (7, 40, 0)),
        (&["-", "--hz", "50"], (7, 50, 0)),
        (&["/a", "--hz", "50", "-"], (7, 50, 1)),
        (&["/a", "-"], (7, 40, 1)),
    ] {
        let Ok(Invocation::Run { config, .. }) = run(args, &files) else { panic!("{args:?}") };
        assert_eq!((config.timeout, config.hz, config.maxmemory.bytes), expected, "{args:?}");
    }
}

#[test]
fn bad_command_lines_are_refused() {
    let cases = [
        (&["--timeout"][..], "at option 1\n>>> 'timeout'\nwrong number of arguments"),
        (&["--timeout", "--port", "1"], ">>> 'timeout \"--port\" \"1\"'\nwrong number of arguments"),
        (&["--hz", "1", "--port", "1", "x"], "at option 2\n>>> 'port \"1\" \"x\"'\nwrong number of arguments"),
        (&["-p", "1"], "Unexpected argument '-p'"),
        (&["/none"], "can't open config file '/none': No such file or directory"),
        (&["b.conf", "x"], "Unexpected argument 'x'"),
        (&["--nope", "1"], "Bad directive or wrong number of arguments"),
        (&["--sentinel", "x"], "sentinel directive while not in sentinel mode"),
        (&["--hz \"1"], "Unbalanced quotes"),
    ];
    let files = Memory::new(&[("/start/b.conf", "")]);
    for (args, expected) in cases {
        let error = run(args, &files).expect_err("a bad command line").to_string();
        assert!(error.contains(expected), "{args:?}: {error}");
    }
    let Ok(Invocation::Run { config_file, .. }) = run(&["b.conf"], &files) else { panic!() };
    assert_eq!(config_file, Some(PathBuf::from("/start/b.conf")));
}

#[test]
fn version_and_help_need_nothing_else() {
    let files = Memory::default();
    for (word, expected) in [
        ("-v", Invocation::Version),
        ("--version", Invocation::Version),
        ("-h", Invocation::Help),
        ("--help", Invocation::Help),
    ] {
        assert_eq!(run(&[word, "--junk"], &files), Ok(expected));
    }
    assert!(cli::version().starts_with("AleaDB server v="));
    assert!(cli::HELP.starts_with("Usage: aleadb "));
}

#[test]
fn recover_takes_one_directory_and_perhaps_another() {
    let files = Memory::default();
    let new = |dir: &str, into: &str| Ok(Invocation::Recover { dir: PathBuf::from(dir), into: PathBuf::from(into) });
    assert_eq!(run(&["--recover", "/data/"], &files), new("/data/", "/data.recovered"));
    assert_eq!(run(&["--recover", "/data", "--into", "/new"], &files), new("/data", "/new"));
    for args in
        [&["--recover"][..], &["--recover", "a", "b"], &["--recover", "a", "--into"], &["--recover", "a", "-x", "b"]]
    {
        let error = run(args, &files).expect_err("not understood").to_string();
        assert!(error.ends_with("--recover takes one directory, and with --into another"), "{error}");
    }
}

#[test]
fn check_takes_one_file_and_nothing_else() {
    let files = Memory::default();
    assert_eq!(run(&["--check", "/data/dump.rdb"], &files), Ok(Invocation::Check(PathBuf::from("/data/dump.rdb"))));
    for args in [&["--check"][..], &["--check", "a", "b"]] {
        let refused = run(args, &files).expect_err("not one file").to_string();
        assert!(refused.ends_with("--check takes one file or directory and nothing else"), "{refused}");
    }
}

/// The file and the changes are those Redis 8.2.3 was given, and the text is what it wrote, except that the lines at
/// the end are in row order and that the `pubsub` line stays where it was.
#[test]
fn rewrite_keeps_the_file_and_adds_what_changed() {
    let old = "# head\ntimeout 5\n\n\nport 7812\n\ntimeout 6\ninclude inc*.conf\n  client-output-buffer-limit pubsub 1 1 1\n\
               save \"\"\nrequirepass \"a b\"\nunixsocketperm 700\nlfu-log-factor 3\nnope \"x\n";
    let files = Memory::new(&[("/start/inc1.conf", "maxclients 500")]);
    let mut loader = Loader::new(&files, PathBuf::from("/start"));
    let known: String =
        old.lines().filter(|line| !line.starts_with("nope")).fold(String::new(), |text, line| text + line + "\n");
    loader.text(&Place::File(PathBuf::from("/a.conf")), known.as_bytes()).unwrap();
    let (mut config, sources) = loader.finish();
    let changes = [("timeout", "0"), ("hz", "20"), ("maxmemory", "2mb"), ("proto-max-bulk-len", "1048577")];
    set(&mut config, &changes).unwrap();
    let new = file::rewrite(old.as_bytes(), &config, &sources, &[]);
    let expected = "# head\ntimeout 0\n\nport 7812\n\ninclude inc*.conf\nclient-output-buffer-limit pubsub 1 1 1\n\
                    save \"\"\nrequirepass \"a b\"\nunixsocketperm 700\nlfu-log-factor 3\n# ??? nope \"x\n\n\
                    # Generated by CONFIG REWRITE\nmaxclients 500\nhz 20\nproto-max-bulk-len 1048577\n\
                    maxmemory 2mb\ndir \"/start\"\n";
    assert_eq!(String::from_utf8(new.clone()).unwrap(), expected);
    // Back at its default, a directive of an included file still has to be overridden.
    set(&mut config, &[("maxclients", "10000")]).unwrap();
    let again = file::rewrite(&new, &config, &sources, &[]);
    assert_eq!(String::from_utf8(again.clone()).unwrap(), expected.replace("maxclients 500", "maxclients 10000"));
    // An unset password leaves no line.
    set(&mut config, &[("requirepass", "")]).unwrap();
    assert!(!String::from_utf8(file::rewrite(&new, &config, &sources, &[])).unwrap().contains("requirepass"));
}

#[test]
fn rewriting_nothing_writes_only_what_differs() {
    let mut config = Config { dir: PathBuf::from("/d"), ..Config::default() };
    assert_eq!(file::rewrite(b"", &config, &Sources::default(), &[]), b"# Generated by CONFIG REWRITE\ndir \"/d\"\n");
    set(&mut config, &[("bind", ""), ("timeout", "3")]).unwrap();
    let text = file::rewrite(b"", &config, &Sources::default(), &[]);
    assert_eq!(text, b"# Generated by CONFIG REWRITE\nbind \"\"\ntimeout 3\ndir \"/d\"\n");
}

/// A value for `param` that it accepts more often than not.
fn random_value(param: &Param, random: &mut Prng) -> Vec<u8> {
    let words: &[&str] = &[
        "yes",
        "no",
        "0",
        "1",
        "7",
        "100",
        "1mb",
        "3gb",
        "5000000",
        "debug",
        "nothing",
        "local",
        "auto",
        "755",
        "/tmp/a b",
        "",
        "127.0.0.1 -::1 10.0.0.1",
        "* -::*",
        "normal 1kb 2 3",
        "pubsub 0 0 0 replica 5mb 4mb 3",
        "p\"w\\\t\u{e9}",
        "#x",
    ];
    let mut config = Config::default();
    for _ in 0..50 {
        let word = words[random.below(words.len() as u64) as usize].as_bytes();
        if param.set(&mut config, &arguments(param, word)).is_ok() {
            return word.to_vec();
        }
    }
    param.get(&config)
}

/// One line of a file that sets `param`, or something that is not a directive.
fn random_line(random: &mut Prng) -> Vec<u8> {
    if random.chance(1, 4) {
        return random.pick(&[b"# text".to_vec(), Vec::new(), b"#".to_vec()]).cloned().unwrap_or_default();
    }
    let rows: Vec<&Param> = Param::all().collect();
    let param = rows[random.below(rows.len() as u64) as usize];
    let value = if param.name == "dir" { b"/data".to_vec() } else { random_value(param, random) };
    let mut line = param.name.as_bytes().to_vec();
    for argument in arguments(param, &value) {
        line.push(b' ');
        quote::repr(&mut line, argument);
    }
    line
}

#[test]
fn a_rewritten_file_reads_back_as_the_configuration() {
    for seed in 0..400 {
        let mut random = Prng::seeded(seed);
        let lines = |random: &mut Prng, most: u64| -> Vec<Vec<u8>> {
            (0..random.below(most)).map(|_| random_line(random)).collect()
        };
        let mut main = lines(&mut random, 12);
        if random.chance(1, 2) {
            main.insert(random.below(main.len() as u64 + 1) as usize, b"include /data/inc.conf".to_vec());
        }
        let mut files = Memory::new(&[("/data/x", ""), ("/start/x", "")]);
        files.files.insert("/data/inc.conf".into(), lines(&mut random, 6).join(&b'\n'));
        files.files.insert("/a.conf".into(), main.join(&b'\n'));
        let mut text = main.join(&b'\n');
        let (mut config, sources) = load(&files, "/a.conf").unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        for step in 0..3 {
            for param in Param::all().filter(|param| param.when == When::Runtime) {
                if random.chance(1, 5) {
                    let value = random_value(param, &mut random);
                    config.set_many(&[(param.name.as_bytes(), &value)], false).expect("an accepted value");
                }
            }
            text = file::rewrite(&text, &config, &sources, &[]);
            files.files.insert("/a.conf".into(), text.clone());
            let (read, _) = load(&files, "/a.conf").unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            assert_eq!(read, config, "seed {seed} step {step}\n{}", String::from_utf8_lossy(&text));
            assert_eq!(file::rewrite(&text, &config, &sources, &[]), text, "seed {seed} step {step}: rewriting again");
        }
    }
}

#[test]
fn random_bytes_never_panic() {
    let mut random = Prng::seeded(7);
    let names: Vec<&str> = Param::all().map(|param| param.name).chain(["include", "nope", "user"]).collect();
    for _ in 0..4000 {
        let mut text = Vec::new();
        for _ in 0..random.below(6) {
            if random.chance(3, 4) {
                text.extend_from_slice(random.pick(&names).expect("names").as_bytes());
                text.push(b' ');
            }
            let bytes = b" \t\r\n\"'\\#x0123456789-*?[]kmgb\0\xff\x80normal yes";
            text.extend((0..random.below(20)).map(|_| match random.below(4) {
                0 => random.next_u64() as u8,
                _ => bytes[random.below(bytes.len() as u64) as usize],
            }));
            text.push(b'\n');
        }
        if let Err(error) = load_text(&text) {
            let _ = error.to_string();
        }
        let config = Config::default();
        file::rewrite(&text, &config, &Sources::default(), &[]);
        for line in text.split(|byte| *byte == b'\n') {
            let (name, value) = line.split_at(line.iter().position(|byte| *byte == b' ').unwrap_or(line.len()));
            let _ = config.clone().set_many(&[(name, value), (value, name)], true);
            config.matching(&[name, value]);
        }
    }
}

/// An empty directory of this test's own.
fn directory(test: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("aleadb-config-{test}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::canonicalize(dir).unwrap()
}

#[test]
fn files_of_the_machine_are_read_with_bounds() {
    let dir = directory("read");
    std::fs::create_dir(dir.join("conf.d")).unwrap();
    std::fs::write(dir.join("conf.d/1.conf"), "timeout 3").unwrap();
    std::fs::write(dir.join("a.conf"), "dir conf.d/..\ninclude conf.d/*.conf").unwrap();
    let run = |args: &[&str]| cli::read(args.iter().map(OsString::from), dir.clone(), &file::RealFiles);
    let Ok(Invocation::Run { config, .. }) = run(&["a.conf"]) else { panic!("a good file") };
    assert_eq!((config.timeout, &config.dir), (3, &dir));
    let refused = |args: &[&str]| run(args).expect_err("a refusal").reason;
    assert_eq!(refused(&["--dir", "a.conf"]), "Not a directory");
    assert_eq!(refused(&["--dir", "none"]), "No such file or directory");
    assert_eq!(refused(&["/dev/zero"]), "Fatal error, can't open config file '/dev/zero': file too large");
    assert_eq!(
        refused(&["conf.d"]),
        format!("Fatal error, can't open config file '{}/conf.d': Is a directory", dir.display())
    );
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_file_is_replaced_whole_and_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt;
    let dir = directory("write");
    let (path, link) = (dir.join("a.conf"), dir.join("link.conf"));
    file::write_atomically(&path, b"one").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((std::fs::read(&path).unwrap(), mode(&path)), (b"one".to_vec(), 0o600));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    file::write_atomically(&link, b"two").unwrap();
    assert_eq!((std::fs::read(&path).unwrap(), mode(&path)), (b"two".to_vec(), 0o640));
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 2, "no temporary file stays");
    assert!(file::write_atomically(&dir.join("none/x"), b"x").is_err());
    std::fs::remove_dir_all(&dir).unwrap();
}
