//! The same questions put to a real `redis-server`, with every intended difference written down.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{Config, Param, SET_FACTS, expected_text, set};
use crate::config::params::Effect;

/// Directives whose default is not Redis's, and why.
const OTHER_DEFAULTS: &[(&str, &str)] = &[
    ("bind", "this machine only, until its owner says otherwise"),
    ("port", "the server's own port"),
    ("dir", "absolute once loaded, so it depends on where the server starts"),
    ("syslog-ident", "the server's own name"),
    ("unixsocket", "given to the oracle so that it can be reached"),
];

/// The version whose names, defaults and texts are ours.
const TARGET: (u32, u32) = (8, 6);

/// Directives that no Redis has.
const OWN: &[&str] = &[
    "replica-accept-empty-primary",
    "aof-batch-checksums",
    "auth-failure-delay-ms",
    "backup-sealed-ttl",
    "backupdirname",
    "bitmap-default-roaring",
    "busy-poll-us",
    "commandlog-large-reply-max-len",
    "commandlog-large-request-max-len",
    "commandlog-reply-larger-than",
    "commandlog-request-larger-than",
    "expired-event-for-past-deadlines",
    "hash-max-template-entries",
    "hash-min-template-entries",
    "hash-rdb-load-max-template-entries",
    "hash-rdb-load-min-template-entries",
    "hash-rdb-load-template-disassembly-threshold",
    "import-mode",
    "metrics-bind",
    "metrics-port",
    "monitor-output-limit",
    "notify-expired-value-max-bytes",
    "preload-file",
    "rdb-format-version",
    "redis-strict",
    "reserved-admin-connections",
    "script-auto-kill-ms",
    "script-memory-limit",
    "script-persist",
    "slowlog-entry-max-argc",
    "slowlog-entry-max-string-len",
    "watch-max-per-client",
    "watch-max-total",
    "watch-result-bytes-max",
    "watch-output-threshold",
    "watch-resume-seconds",
    "watch-resume-versions",
    "watch-resume-bytes",
];

/// A `redis-server` on a socket of its own, stopped when dropped.
struct Oracle {
    process: Child,
    stream: BufReader<UnixStream>,
    dir: PathBuf,
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Oracle {
    /// Starts the newest server that `ALEADB_REDIS_8_6`, `ALEADB_REDIS_8` or `ALEADB_REDIS_7` names, or `redis-server` of
    /// the path; `None`, said aloud, if there is none, and a failure if `CI` is set.
    fn start(test: &str) -> Option<Self> {
        let named = ["ALEADB_REDIS_8_6", "ALEADB_REDIS_8", "ALEADB_REDIS_7"]
            .into_iter()
            .filter_map(|name| std::env::var(name).ok());
        let program = named.into_iter().find(|path| !path.is_empty()).unwrap_or_else(|| "redis-server".to_owned());
        let dir = std::env::temp_dir().join(format!("aleadb-oracle-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a temporary directory");
        let socket = dir.join("redis.sock");
        let started = Command::new(&program)
            .args(["--port", "0", "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(&dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut process) = started else {
            assert!(std::env::var_os("CI").is_none(), "{test}: no {program} here, and CI is set");
            eprintln!("SKIPPED {test}: no {program} here, so nothing was compared with Redis");
            let _ = std::fs::remove_dir_all(&dir);
            return None;
        };
        let output = process.stdout.take().expect("a piped output");
        let ready = BufReader::new(output).lines().any(|line| line.is_ok_and(|line| line.contains("eady to accept")));
        assert!(ready, "{program} did not start");
        let stream = UnixStream::connect(&socket).expect("the oracle's socket");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        Some(Self { process, stream: BufReader::new(stream), dir })
    }

    fn ask(&mut self, args: &[&str]) {
        let mut request = format!("*{}\r\n", args.len());
        for arg in args {
            request += &format!("${}\r\n{arg}\r\n", arg.len());
        }
        self.stream.get_mut().write_all(request.as_bytes()).expect("a request");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a reply");
        line.trim_end().to_owned()
    }

    fn config_get(&mut self, pattern: &str) -> Vec<(String, String)> {
        self.ask(&["CONFIG", "GET", pattern]);
        let count: usize = self.line()[1..].parse().expect("a count");
        let texts: Vec<String> = (0..count).map(|_| self.bulk()).collect();
        texts.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    }

    fn bulk(&mut self) -> String {
        let length: usize = self.line()[1..].parse().expect("a length");
        let mut bytes = vec![0; length + 2];
        self.stream.read_exact(&mut bytes).expect("a bulk");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }
}

impl Oracle {
    /// Major and minor.
    fn version(&mut self) -> (u32, u32) {
        self.ask(&["INFO", "server"]);
        let info = self.bulk();
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:")).expect("a version");
        let mut numbers = version.trim().split('.').map(|number| number.parse().expect("a number"));
        (numbers.next().expect("a major version"), numbers.next().expect("a minor version"))
    }

    /// What CONFIG SET answers, without its mark: empty for OK.
    fn config_set(&mut self, name: &str, value: &str) -> String {
        self.ask(&["CONFIG", "SET", name, value]);
        let line = self.line();
        line.strip_prefix("-ERR ").unwrap_or_default().to_owned()
    }

    /// Whether it is the version whose texts are ours; says so if it is not.
    fn is_target(&mut self, test: &str) -> bool {
        let version = self.version();
        if version < TARGET {
            eprintln!("SKIPPED part of {test}: the oracle is a Redis {}.{}, not 8.6", version.0, version.1);
        }
        version >= TARGET
    }
}

#[test]
fn names_and_defaults_are_those_of_redis() {
    let test = "names_and_defaults_are_those_of_redis";
    let Some(mut oracle) = Oracle::start(test) else { return };
    let redis = oracle.config_get("*");
    let ours = Config::default();
    for (name, value) in &redis {
        let text = ours.text_of(name).unwrap_or_else(|| panic!("{name} has no row"));
        if !OTHER_DEFAULTS.iter().any(|(other, _)| other == name) {
            assert_eq!(String::from_utf8_lossy(&text), *value, "default of {name}");
        }
    }
    if !oracle.is_target(test) {
        return;
    }
    for param in Param::all().filter(|param| !OWN.contains(&param.name)) {
        let is_listed = |name: &str| redis.iter().any(|(known, _)| known == name);
        assert!(
            param.names().all(|name| is_listed(name) == param.listed),
            "{} is listed or not unlike Redis's",
            param.name
        );
    }
}

#[test]
fn config_set_answers_as_redis_does() {
    let test = "config_set_answers_as_redis_does";
    let Some(mut oracle) = Oracle::start(test) else { return };
    if !oracle.is_target(test) {
        return;
    }
    // The oracle listens on its socket alone, so it never tries to bind.
    // Nor does it know parts of the machine's memory.
    let is_ours = |pairs: &[(&str, &str)]| pairs.iter().any(|(name, text)| *name == "maxmemory" && text.ends_with('%'));
    let shared = SET_FACTS.iter().filter(|(pairs, fact)| !fact.contains("Failed to bind") && !is_ours(pairs));
    for (pairs, fact) in shared {
        // Redis keeps byte counts that it bounds below in a signed field since 8.6.
        let words: Vec<&str> = pairs.iter().flat_map(|(name, value)| [*name, *value]).collect();
        oracle.ask(&[&["CONFIG", "SET"], words.as_slice()].concat());
        let expected = match expected_text(fact) {
            text if text.is_empty() => "+OK".to_owned(),
            text => format!("-ERR {text}"),
        };
        assert_eq!(oracle.line(), expected, "{pairs:?}");
    }
}

/// Whatever Redis refuses in a directive that has no effect here is refused with its text, and nothing else is, unless the
/// reason says that it is ours.
#[test]
fn directives_without_an_effect_answer_config_set_as_redis_does() {
    let test = "directives_without_an_effect_answer_config_set_as_redis_does";
    let Some(mut oracle) = Oracle::start(test) else { return };
    if !oracle.is_target(test) {
        return;
    }
    let mut compared = 0;
    // The oracle, which has no certificates, ends at any change of its TLS port.
    for param in Param::all().filter(|param| matches!(param.effect, Effect::None(_)) && param.name != "tls-port") {
        if oracle.config_get(param.name).is_empty() {
            continue;
        }
        let default = String::from_utf8(param.get(&Config::default())).expect("text");
        for name in param.names() {
            for value in [default.as_str(), "yes", "no", "0", "1", "7", "1mb", "200", "zz zz", "-99999999999999", "a/b"]
            {
                let ours = set(&mut Config::default(), &[(name, value)]).err().unwrap_or_default();
                if ours.contains("AleaDB") {
                    continue;
                }
                assert_eq!(ours, oracle.config_set(name, value), "CONFIG SET {name} '{value}'");
                oracle.config_set(name, &default);
                compared += 1;
            }
        }
    }
    assert!(compared > 1000, "{compared}");
}
