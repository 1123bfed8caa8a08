//! The same questions put to a real `redis-server`, with every intended difference written down.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{Config, PARAMS, SET_FACTS, expected_text};
use crate::config::params;

/// Directives whose default is not Redis's, and why.
const OTHER_DEFAULTS: &[(&str, &str)] = &[
    ("bind", "this machine only, until its owner says otherwise"),
    ("port", "the server's own port"),
    ("dir", "absolute once loaded, so it depends on where the server starts"),
    ("save", "there are no snapshots yet"),
    ("unixsocket", "given to the oracle so that it can be reached"),
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
    /// Starts `$ALEADB_REDIS_SERVER`, or the `redis-server` of the path; `None`, said aloud, if there is none.
    fn start(test: &str) -> Option<Self> {
        let program = std::env::var("ALEADB_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
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

#[test]
fn names_and_defaults_are_those_of_redis() {
    let Some(mut oracle) = Oracle::start("defaults") else { return };
    let redis = oracle.config_get("*");
    let ours = Config::default();
    for (name, value) in &redis {
        let Some(text) = ours.text_of(name) else {
            assert!(params::is_unsupported(name.as_bytes()), "{name} is neither a row nor listed as unsupported");
            continue;
        };
        if !OTHER_DEFAULTS.iter().any(|(other, _)| other == name) {
            assert_eq!(String::from_utf8_lossy(&text), *value, "default of {name}");
        }
    }
    // Redis 7.0 lacks these.
    let newer = ["max-new-connections-per-cycle", "set-max-listpack-entries", "set-max-listpack-value"];
    // No Redis has these.
    let own = [
        "expired-event-for-past-deadlines",
        "watch-max-per-client",
        "watch-max-total",
        "watch-result-bytes-max",
        "watch-output-threshold",
        "watch-resume-seconds",
        "watch-resume-versions",
        "watch-resume-bytes",
    ];
    for param in PARAMS.iter().filter(|param| !newer.contains(&param.name) && !own.contains(&param.name)) {
        assert!(redis.iter().any(|(name, _)| name == param.name), "Redis has no {}", param.name);
    }
}

#[test]
fn config_set_answers_as_redis_does() {
    let Some(mut oracle) = Oracle::start("set") else { return };
    let is_old = oracle.config_get("max-new-connections-per-cycle").is_empty();
    // The oracle listens on its socket alone, so it never tries to bind.
    for (pairs, fact) in SET_FACTS.iter().filter(|(_, fact)| !fact.contains("Failed to bind")) {
        let newer = ["max-new-connections-per-cycle", "loglevel", "client-output-buffer-limit", "proto-max-bulk-len"];
        if is_old && (newer.contains(&pairs[0].0) || fact.contains("greater or equal")) {
            continue;
        }
        let words: Vec<&str> = pairs.iter().flat_map(|(name, value)| [*name, *value]).collect();
        oracle.ask(&[&["CONFIG", "SET"], words.as_slice()].concat());
        let expected = match expected_text(fact) {
            text if text.is_empty() => "+OK".to_owned(),
            text => format!("-ERR {text}"),
        };
        assert_eq!(oracle.line(), expected, "{pairs:?}");
    }
}
