//! The two servers under comparison: the subject, which is ours, and the oracle, which is Redis.
//!
//! Owns how they are found. `ALEADB_SUBJECT` names another program to put in our place, which shows what the test can see;
//! `ALEADB_REDIS_8_6`, `ALEADB_REDIS_8` and `ALEADB_REDIS_7` name the oracles, the newest preferred, else `redis-server` of
//! the path serves; `ALEADB_VALKEY_9` names a Valkey, for files that travel and for the commands that it brought. Without an
//! oracle a test is skipped loudly, and fails when `CI` is set.

use crate::resp::{Client, Value};
use crate::server::Server;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Major, minor, patch.
pub type Version = (u32, u32, u32);

/// The version that we follow.
pub const TARGET: Version = (8, 6, 0);

/// The environment variables that name oracles, and the version each is, newest first.
const ORACLES: &[(&str, Version)] =
    &[("ALEADB_REDIS_8_6", (8, 6, 0)), ("ALEADB_REDIS_8", (8, 2, 0)), ("ALEADB_REDIS_7", (7, 0, 0))];

/// A subject and an oracle, both fresh.
pub struct Pair {
    /// Our server, or what stands in for it.
    pub subject: Server,
    /// Redis.
    pub oracle: Server,
    /// The oracle's version.
    pub oracle_version: Version,
}

impl Pair {
    /// Starts both with `args`. None means that there is no oracle and the test cannot say anything.
    pub fn start(args: &[&str]) -> Option<Pair> {
        let Some(oracle_path) = oracle_path() else {
            assert!(std::env::var_os("CI").is_none(), "no redis-server to compare with, and CI is set");
            say("SKIPPED: no redis-server to compare with; set ALEADB_REDIS_8_6 to the path of one");
            return None;
        };
        Some(Pair::of(&oracle_path, args))
    }

    /// The same with the oracle of an older version, for what has to agree with several.
    pub fn start_with(wanted: Version, args: &[&str]) -> Option<Pair> {
        let (name, _) = ORACLES.iter().find(|(_, version)| *version == wanted).expect("a version that is listed");
        let Some(path) = named(name) else {
            assert!(std::env::var_os("CI").is_none(), "{name} names no redis-server, and CI is set");
            say(&format!("SKIPPED: {name} names no redis-server to compare with"));
            return None;
        };
        Some(Pair::of(&path, args))
    }

    /// The same with a Valkey as the oracle, for the commands that Redis does not have.
    pub fn start_valkey(args: &[&str]) -> Option<Pair> {
        Pair::path_of("ALEADB_VALKEY_9").map(|path| Pair::of(&path, args))
    }

    /// An oracle of the version that we follow and nothing beside it. None means that there is none.
    pub fn start_oracle(args: &[&str]) -> Option<Server> {
        let path = oracle_path().filter(|path| version(path) >= TARGET);
        if path.is_none() {
            assert!(std::env::var_os("CI").is_none(), "no redis-server of version 8.6, and CI is set");
            say("SKIPPED: this test needs Redis 8.6; set ALEADB_REDIS_8_6 to the path of one");
        }
        path.map(|path| start(&path, args))
    }

    /// Our server, or what stands in for it, alone.
    pub fn start_subject(args: &[&str]) -> Server {
        start(&subject_path(), args)
    }

    /// The server alone that this environment variable names. None means that it names none.
    pub fn start_named(variable: &str, args: &[&str]) -> Option<Server> {
        Pair::path_of(variable).map(|path| start(&path, args))
    }

    /// The program that this environment variable names. None means that it names none.
    pub fn path_of(variable: &str) -> Option<PathBuf> {
        let path = named(variable);
        if path.is_none() {
            assert!(std::env::var_os("CI").is_none(), "{variable} names no server, and CI is set");
            say(&format!("SKIPPED: {variable} names no server"));
        }
        path
    }

    fn of(oracle_path: &Path, args: &[&str]) -> Pair {
        let oracle_version = version(oracle_path);
        Pair { subject: start(&subject_path(), args), oracle: start(oracle_path, args), oracle_version }
    }

    /// Whether the oracle is the version that we follow; says so when a test is skipped because it is not.
    pub fn is_target_version(&self) -> bool {
        let is_target = self.oracle_version >= TARGET;
        if !is_target {
            assert!(std::env::var_os("CI").is_none(), "this test needs Redis 8.6, and CI is set");
            say(&format!("SKIPPED: the oracle is Redis {:?}, this test needs 8.6", self.oracle_version));
        }
        is_target
    }
}

/// Prints a line that the test harness does not swallow, as it does the output of tests that pass.
fn say(line: &str) {
    // A closed standard error is no reason to fail.
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn start(binary: &Path, args: &[&str]) -> Server {
    Server::start(binary, args).unwrap_or_else(|error| panic!("{error}"))
}

fn subject_path() -> PathBuf {
    std::env::var_os("ALEADB_SUBJECT").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_aleadb")), PathBuf::from)
}

fn oracle_path() -> Option<PathBuf> {
    if let Some(path) = ORACLES.iter().find_map(|(name, _)| named(name)) {
        return Some(path);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join("redis-server")).find(|path| path.is_file())
}

/// The program that an environment variable names; an empty one names none.
fn named(variable: &str) -> Option<PathBuf> {
    let path = std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from)?;
    assert!(path.is_file(), "{variable} names {}, which is not a file", path.display());
    Some(path)
}

/// The version a program says it is (`Redis server v=8.2.3 sha=...`): asked on the command line, as a server with a
/// password would not tell.
fn version(binary: &Path) -> Version {
    let output = std::process::Command::new(binary).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let word = text.split_whitespace().find_map(|word| word.strip_prefix("v=")).unwrap_or_default();
    let mut parts = word.split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}

/// A call that must work: for the test's own housekeeping, not for what is compared.
pub fn ask<A: AsRef<[u8]>>(client: &mut Client, args: &[A]) -> Value {
    client.call(args).unwrap_or_else(|error| panic!("housekeeping call failed: {error}")).value
}
