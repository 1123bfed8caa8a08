//! Directives of Redis that change nothing here: they describe what the server does anyway, or tune something that is
//! switched off.
//!
//! A value is true of the server when a Redis that is given it, beside the other values accepted here, behaves as the server
//! does. Such a value is accepted, kept, shown by CONFIG GET and written by CONFIG REWRITE; every other is refused with its
//! reason. So the tuning of what another row keeps off takes every value (`cluster-port`: no row lets a cluster be), while a
//! row that switches something on or describes it takes those values alone under which that something is not there, and
//! Redis's own default, without which no shipped file would start (`lookahead 16`).
//!
//! The names are those of Redis 8.6, with two kinds that CONFIG GET answers only when asked by name: what Redis itself hides
//! or has dropped, and what Valkey 9.1 added. Valkey's names collide with none of Redis's, and its users' files describe the
//! same server. The values' kinds, bounds and error texts are Redis's.
//!
//! Owns no state: values other than the default are in [`Config`]. A directive that comes to have an effect leaves this
//! table for the rows of `params`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::params::{Config, Effect, Param, When};
use super::value::{self, Reason, parse_int, parse_long_memory, parse_yes_no, print_int, print_yes_no, single};
use crate::base::num;

/// The values of directives without an effect that are not their defaults, by name, as CONFIG GET prints them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept(BTreeMap<&'static str, Vec<u8>>);

/// A directive without an effect.
pub(super) struct Inert {
    kind: Kind,
    /// In the form that CONFIG GET prints, as every text here.
    default: &'static str,
    truth: Truth,
}

/// Which values are true of the server.
enum Truth {
    /// All that Redis takes.
    Any,
    /// The default and these, for the reason given.
    Only(&'static [&'static str], &'static str),
}

/// What a value looks like.
enum Kind {
    YesNo,
    Int(i64, i64),
    /// Bytes with an optional unit, at least so many.
    Memory(u64),
    /// One of these names.
    Choice(&'static [&'static str]),
    Text,
    /// A text of a form of its own.
    Form(fn(&[u8]) -> Result<(), Reason>),
    /// Several words of a form of their own.
    Words(ReadWords),
}

/// Reads a value of several words, and gives what CONFIG GET prints.
type ReadWords = fn(&[&[u8]]) -> Result<Vec<u8>, Reason>;

impl Kind {
    /// The value in the form that CONFIG GET prints.
    fn read(&self, args: &[&[u8]]) -> Result<Vec<u8>, Reason> {
        match self {
            Kind::YesNo => Ok(print_yes_no(&parse_yes_no(args)?)),
            Kind::Int(min, max) => Ok(print_int(&parse_int::<i64>(args, *min, *max)?)),
            Kind::Memory(min) => Ok(print_int(&parse_long_memory(args, *min)?)),
            Kind::Choice(names) => value::one_of(single(args)?, names).map(|name| name.as_bytes().to_vec()),
            Kind::Text => Ok(single(args)?.to_vec()),
            Kind::Form(check) => {
                let text = single(args)?;
                check(text)?;
                Ok(text.to_vec())
            }
            Kind::Words(read) => read(args),
        }
    }
}

impl Inert {
    /// Keeps a value if it is true of the server.
    pub(super) fn set(&self, name: &'static str, config: &mut Config, args: &[&[u8]]) -> Result<(), Reason> {
        let text = self.kind.read(args)?;
        if let Truth::Only(others, why) = self.truth
            && !std::iter::once(&self.default).chain(others).any(|known| known.as_bytes() == text)
        {
            return Err(refusal(name, self.default, others, why).into());
        }
        if text == self.default.as_bytes() {
            config.inert.0.remove(name);
        } else {
            config.inert.0.insert(name, text);
        }
        Ok(())
    }

    /// What CONFIG GET prints.
    pub(super) fn get(&self, name: &str, config: &Config) -> Vec<u8> {
        config.inert.0.get(name).map_or_else(|| self.default.as_bytes().to_vec(), Vec::clone)
    }

    /// What CONFIG REWRITE writes behind the name.
    pub(super) fn written(&self, text: &[u8]) -> Vec<u8> {
        let bytes = || std::str::from_utf8(text).ok()?.parse().ok();
        match self.kind {
            Kind::Memory(_) => bytes().map_or_else(|| text.to_vec(), |bytes| value::short_memory(bytes).into_bytes()),
            Kind::YesNo | Kind::Int(..) | Kind::Choice(_) => text.to_vec(),
            Kind::Words(_) if !text.is_empty() => text.to_vec(),
            Kind::Text | Kind::Form(_) | Kind::Words(_) => value::quoted(text),
        }
    }
}

fn refusal(name: &str, default: &str, others: &[&str], why: &str) -> String {
    let shown = |text: &&str| if text.is_empty() { "\"\"".to_owned() } else { (*text).to_owned() };
    let values: Vec<String> = std::iter::once(&default).chain(others).map(shown).collect();
    format!("{why}: {name} can only be {}", values.join(" or "))
}

/// What a file's line means that is no directive of CONFIG GET: accepted where it says nothing that is not so, `None` for
/// a name that is not known here.
pub(super) fn file_line(name: &[u8], values: &[&[u8]]) -> Option<Result<(), Reason>> {
    let name = name.to_ascii_lowercase();
    Some(match (name.as_slice(), values) {
        // Redis reads these for the sake of older files, and does nothing with them.
        (b"list-max-ziplist-entries" | b"list-max-ziplist-value" | b"lua-replicate-commands", [_]) => Ok(()),
        (b"loadmodule", _) => Err("AleaDB does not load modules".into()),
        (b"sentinel", _) => Err("sentinel directive while not in sentinel mode".into()),
        _ => return None,
    })
}

// --- Forms of values --------------------------------------------------------------------------------------------------

fn hostname(text: &[u8]) -> Result<(), Reason> {
    if text.len() >= 256 {
        return Err("Hostnames must be less than 256 characters".into());
    }
    if text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(byte)) {
        return Ok(());
    }
    Err("Hostnames may only contain alphanumeric characters, hyphens or dots".into())
}

fn oom_score_adj_values(args: &[&[u8]]) -> Result<Vec<u8>, Reason> {
    if args.len() != 3 {
        return Err("wrong number of arguments".into());
    }
    let values: Option<Vec<i64>> = args.iter().map(|text| num::parse_i64(text)).collect();
    match values {
        Some(values) if values.iter().all(|value| (-2000..=2000).contains(value)) => Ok(args.join(&b' ')),
        _ => Err("Invalid oom-score-adj-values, elements must be between -2000 and 2000.".into()),
    }
}

/// Names of a list, in any order; printed in the list's order, or `none` for the first name, which stands for no other.
fn flags(args: &[&[u8]], names: &[&'static str]) -> Result<Vec<&'static str>, Reason> {
    let given: Vec<&str> = args.iter().map(|word| value::one_of(word, names)).collect::<Result<_, _>>()?;
    let mut set: Vec<&str> = names[1..].iter().copied().filter(|name| given.contains(name)).collect();
    if set.is_empty() {
        set.push(names[0]);
    }
    Ok(set)
}

fn slot_stats(args: &[&[u8]]) -> Result<Vec<u8>, Reason> {
    let set = flags(args, &["no", "yes", "cpu", "net", "mem"])?;
    Ok(if set.contains(&"yes") { b"yes".to_vec() } else { set.join(" ").into_bytes() })
}

fn ipv4(text: &[u8]) -> Result<(), Reason> {
    address::<std::net::Ipv4Addr>(text, "Invalid IPv4 address")
}

fn ipv6(text: &[u8]) -> Result<(), Reason> {
    address::<std::net::Ipv6Addr>(text, "Invalid IPv6 address")
}

fn address<T: std::str::FromStr>(text: &[u8], refusal: &'static str) -> Result<(), Reason> {
    let is_one = std::str::from_utf8(text).is_ok_and(|text| text.parse::<T>().is_ok());
    if text.is_empty() || is_one { Ok(()) } else { Err(Cow::Borrowed(refusal)) }
}

// --- The rows ---------------------------------------------------------------------------------------------------------

/// A row that takes every value Redis takes.
const fn any(name: &'static str, kind: Kind, default: &'static str) -> Param {
    row(name, kind, default, Truth::Any)
}

/// A row that takes its default and `others`, for the reason `why`.
const fn only(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    others: &'static [&'static str],
    why: &'static str,
) -> Param {
    row(name, kind, default, Truth::Only(others, why))
}

const fn row(name: &'static str, kind: Kind, default: &'static str, truth: Truth) -> Param {
    let many = matches!(kind, Kind::Words(_));
    let effect = Effect::None(Inert { kind, default, truth });
    Param { name, aliases: &[], unlisted: &[], listed: true, when: When::Runtime, many, effect }
}

impl Param {
    const fn or(self, aliases: &'static [&'static str]) -> Param {
        Param { aliases, ..self }
    }

    const fn unlisted(self) -> Param {
        Param { listed: false, ..self }
    }

    const fn startup(self) -> Param {
        Param { when: When::Startup, ..self }
    }
}

const INT: Kind = Kind::Int(0, i32::MAX as i64);
const LONG: Kind = Kind::Int(0, i64::MAX);
const PORT: Kind = Kind::Int(0, u16::MAX as i64);
const SIZE: Kind = Kind::Memory(0);
const YES_NO: Kind = Kind::YesNo;
const TEXT: Kind = Kind::Text;

const NO_CLUSTER: &str = "AleaDB does not run as a cluster";
const NO_TLS: &str = "AleaDB does not speak TLS yet";
const NO_AFFINITY: &str = "AleaDB leaves the choice of processors to the system (taskset, CPUAffinity=)";
const ONE_THREAD: &str = "AleaDB does all its work in one thread";
const NO_CORRUPT_TAIL: &str = "AleaDB tells a torn end of a log from damage by its batches";
const NO_HOOKS: &str = "AleaDB does not have this hook for Redis's own tests";
const ONE_LOG_FORM: &str = "AleaDB writes its log in one form";
const NO_RDMA: &str = "AleaDB does not speak RDMA";

/// The rows, by what they are about.
pub(super) static ROWS: &[Param] = &[
    // Snapshots. No process is ever made for one, and no file for a replica's.
    only("bgsave-cpulist", TEXT, "", &[], NO_AFFINITY).or(&["bgsave_cpulist"]).startup(),
    any("rdb-del-sync-files", YES_NO, "no"),
    // Every payload of RESTORE and every value of a file is checked in full, whoever sends it: no value asks for more.
    any("sanitize-dump-payload", Kind::Choice(&["no", "yes", "clients"]), "no"),
    // The append-only file.
    only("aof-load-corrupt-tail-max-size", LONG, "0", &[], NO_CORRUPT_TAIL),
    only("aof-rewrite-cpulist", TEXT, "", &[], NO_AFFINITY).or(&["aof_rewrite_cpulist"]).startup(),
    only("aof-disable-auto-gc", YES_NO, "no", &[], NO_HOOKS).unlisted(),
    // Replication: data is passed on straight from memory, by one connection for each replica.
    any("propagation-error-behavior", Kind::Choice(&["ignore", "panic", "panic-on-replicas"]), "ignore"),
    any("repl-diskless-sync", YES_NO, "yes"),
    any("replica-full-sync-buffer-limit", SIZE, "0"),
    any("replica-ignore-disk-write-errors", YES_NO, "no"),
    any("replica-lazy-flush", YES_NO, "no").or(&["slave-lazy-flush"]),
    any("repl-rdb-channel", YES_NO, "yes").unlisted(),
    any("dual-channel-replication-enabled", YES_NO, "no").unlisted(),
    any("repl-mptcp", YES_NO, "no").unlisted().startup(),
    // The cluster.
    only("cluster-enabled", YES_NO, "no", &[], NO_CLUSTER).startup(),
    only("cluster-compatibility-sample-ratio", Kind::Int(0, 100), "0", &[], NO_CLUSTER),
    any("cluster-allow-pubsubshard-when-down", YES_NO, "yes"),
    any("cluster-allow-reads-when-down", YES_NO, "no"),
    any("cluster-allow-replica-migration", YES_NO, "yes"),
    any("cluster-announce-bus-port", PORT, "0"),
    any("cluster-announce-hostname", Kind::Form(hostname), ""),
    any("cluster-announce-human-nodename", TEXT, ""),
    any("cluster-announce-ip", TEXT, ""),
    any("cluster-announce-port", PORT, "0"),
    any("cluster-announce-tls-port", PORT, "0"),
    any("cluster-config-file", TEXT, "nodes.conf").startup(),
    any("cluster-link-sendbuf-limit", SIZE, "0"),
    any("cluster-migration-barrier", INT, "1"),
    any("cluster-node-timeout", LONG, "15000"),
    any("cluster-port", PORT, "0").startup(),
    any("cluster-preferred-endpoint-type", Kind::Choice(&["ip", "hostname", "unknown-endpoint"]), "ip"),
    any("cluster-replica-no-failover", YES_NO, "no").or(&["cluster-slave-no-failover"]),
    any("cluster-replica-validity-factor", INT, "10").or(&["cluster-slave-validity-factor"]),
    any("cluster-require-full-coverage", YES_NO, "yes"),
    any("cluster-slot-migration-handoff-max-lag-bytes", SIZE, "1048576"),
    any("cluster-slot-migration-write-pause-timeout", LONG, "10000"),
    any("cluster-slot-stats-enabled", Kind::Words(slot_stats), "no"),
    any("cluster-ping-interval", LONG, "0").unlisted(),
    any("cluster-slot-migration-max-archived-tasks", Kind::Int(1, i32::MAX as i64), "32").unlisted(),
    any("cluster-slot-migration-sync-buffer-drain-timeout", LONG, "60000").unlisted(),
    any("cluster-announce-client-ipv4", Kind::Form(ipv4), "").unlisted(),
    any("cluster-announce-client-ipv6", Kind::Form(ipv6), "").unlisted(),
    any("cluster-announce-client-port", PORT, "0").unlisted(),
    any("cluster-announce-client-tls-port", PORT, "0").unlisted(),
    any("cluster-blacklist-ttl", Kind::Int(0, u32::MAX as i64), "60").unlisted(),
    any("cluster-config-save-behavior", Kind::Choice(&["sync", "best-effort"]), "sync").unlisted(),
    any("cluster-databases", Kind::Int(1, i32::MAX as i64), "1").unlisted().startup(),
    any("cluster-manual-failover-timeout", Kind::Int(1, i32::MAX as i64), "5000").unlisted(),
    any("cluster-slot-migration-log-max-len", LONG, "1000").unlisted(),
    any("slot-migration-max-failover-repl-bytes", Kind::Int(-1, i64::MAX), "0").unlisted(),
    // TLS.
    only("tls-port", PORT, "0", &[], NO_TLS),
    only("tls-replication", YES_NO, "no", &[], NO_TLS),
    only("tls-cluster", YES_NO, "no", &[], NO_TLS),
    any("tls-auth-clients", Kind::Choice(&["no", "yes", "optional"]), "yes"),
    any("tls-auth-clients-user", Kind::Choice(&["CN", "off"]), "off"),
    any("tls-ca-cert-dir", TEXT, ""),
    any("tls-ca-cert-file", TEXT, ""),
    any("tls-cert-file", TEXT, ""),
    any("tls-ciphers", TEXT, ""),
    any("tls-ciphersuites", TEXT, ""),
    any("tls-client-cert-file", TEXT, ""),
    any("tls-client-key-file", TEXT, ""),
    any("tls-client-key-file-pass", TEXT, ""),
    any("tls-dh-params-file", TEXT, ""),
    any("tls-key-file", TEXT, ""),
    any("tls-key-file-pass", TEXT, ""),
    any("tls-prefer-server-ciphers", YES_NO, "no"),
    any("tls-protocols", TEXT, ""),
    any("tls-session-cache-size", INT, "20480"),
    any("tls-session-cache-timeout", INT, "300"),
    any("tls-session-caching", YES_NO, "yes"),
    any("max-new-tls-connections-per-cycle", Kind::Int(1, 1000), "1"),
    any("tls-auto-reload-interval", INT, "0").unlisted(),
    // Sockets. No connection is ever made to another machine.
    only("socket-mark-id", Kind::Int(0, u32::MAX as i64), "0", &[], "AleaDB does not mark its packets").startup(),
    only("mptcp", YES_NO, "no", &[], "AleaDB does not speak multipath TCP").unlisted().startup(),
    only("unixsocketgroup", TEXT, "", &[], "AleaDB leaves the group of its socket to the directory it is in")
        .unlisted()
        .startup(),
    only("rdma-port", PORT, "0", &[], NO_RDMA).unlisted(),
    only("rdma-bind", TEXT, "", &[], NO_RDMA).unlisted(),
    any("rdma-completion-vector", Kind::Int(-1, 1024), "-1").unlisted().startup(),
    any("rdma-rx-size", Kind::Memory(65536), "1048576").unlisted().startup(),
    // Memory. Big values are freed by a helper thread, whoever deletes them, and FLUSHALL is never waited for.
    any("lazyfree-lazy-expire", YES_NO, "no"),
    any("lazyfree-lazy-server-del", YES_NO, "no"),
    any("lazyfree-lazy-user-del", YES_NO, "no"),
    any("lazyfree-lazy-user-flush", YES_NO, "no"),
    any("jemalloc-bg-thread", YES_NO, "yes"),
    // Values are gone through in pieces of half a millisecond, however many elements they have.
    any("active-defrag-max-scan-fields", Kind::Int(1, i64::MAX), "1000"),
    any("active-defrag-cycle-us", Kind::Int(0, 100_000), "500").unlisted(),
    // The table grows and shrinks bucket by bucket, as keys come and go: nothing is left for idle time, and nothing waits.
    any("activerehashing", YES_NO, "yes"),
    // Every due key leaves at its deadline, which no effort of Redis's surpasses.
    any("active-expire-effort", Kind::Int(1, 10), "1"),
    any("lazyexpire-nested-arbitrary-keys", YES_NO, "yes").unlisted(),
    // There are no vector sets, and one thread.
    any("vset-force-single-threaded-execution", YES_NO, "no"),
    // Threads and processes.
    only("io-threads", Kind::Int(1, 128), "1", &[], ONE_THREAD).startup(),
    any("io-threads-do-reads", YES_NO, "no").unlisted().startup(),
    only("lookahead", Kind::Int(1, i32::MAX as i64), "16", &[], "AleaDB looks ahead as far as it has read"),
    only("prefetch-batch-max-size", Kind::Int(0, 128), "16", &[], "AleaDB looks ahead as far as it has read")
        .unlisted(),
    only("server-cpulist", TEXT, "", &[], NO_AFFINITY).or(&["server_cpulist"]).startup(),
    only("bio-cpulist", TEXT, "", &[], NO_AFFINITY).or(&["bio_cpulist"]).startup(),
    only(
        "oom-score-adj",
        Kind::Choice(&["no", "yes", "relative", "absolute"]),
        "no",
        &[],
        "AleaDB leaves its score to the service manager (OOMScoreAdjust=)",
    ),
    any("oom-score-adj-values", Kind::Words(oom_score_adj_values), "0 200 800"),
    // Modules. There are none.
    any("lua-enable-deprecated-api", YES_NO, "no").unlisted().startup(),
    only("enable-module-command", Kind::Choice(&["no", "yes", "local"]), "no", &[], "AleaDB does not load modules")
        .startup(),
    // What is logged and measured. A crash leaves a line and a core, not a report.
    any("crash-log-enabled", YES_NO, "yes"),
    any("crash-memcheck-enabled", YES_NO, "yes"),
    any("ignore-warnings", TEXT, ""),
    only("log-format", Kind::Choice(&["legacy", "logfmt", "json"]), "legacy", &[], ONE_LOG_FORM).unlisted(),
    only("log-timestamp-format", Kind::Choice(&["legacy", "iso8601", "milliseconds"]), "legacy", &[], ONE_LOG_FORM)
        .unlisted(),
    // Texts sort by their bytes.
    only("locale-collate", TEXT, "", &["C", "POSIX"], "AleaDB sorts texts by their bytes"),
    only("availability-zone", TEXT, "", &[], "AleaDB does not announce a zone").unlisted(),
    only("extended-redis-compatibility", YES_NO, "no", &[], "AleaDB has one identity").unlisted(),
    only("hash-seed", TEXT, "", &[], "AleaDB draws a secret seed at every start").unlisted().startup(),
    only(
        "rdb-version-check",
        Kind::Choice(&["strict", "relaxed"]),
        "strict",
        &[],
        "AleaDB reads versions it knows alone",
    )
    .unlisted(),
    // Hooks for Redis's own tests.
    any("loading-process-events-interval-bytes", Kind::Int(1024, i32::MAX as i64), "524288").unlisted(),
    only("key-load-delay", Kind::Int(i32::MIN as i64, i32::MAX as i64), "0", &[], NO_HOOKS).unlisted(),
    only("rdb-key-save-delay", Kind::Int(i32::MIN as i64, i32::MAX as i64), "0", &[], NO_HOOKS).unlisted(),
    only("use-exit-on-panic", YES_NO, "no", &[], NO_HOOKS).unlisted(),
    only("watchdog-period", INT, "0", &[], NO_HOOKS).unlisted(),
];
