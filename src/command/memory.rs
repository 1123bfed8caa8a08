//! MEMORY, and the account of the memory that INFO shares with it.

use super::help;
use super::spec::{Access, Category, Flags, Group, KeySpec, Outcome, Spec};
use crate::base::clock::Now;
use crate::base::num;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::Server;
use crate::server::background::Completion;
use crate::server::ctx::{Ctx, Next};
use crate::server::memory::Parts;
use crate::sys::alloc::{self, Arena};
use crate::sys::limits;

const PER_SHARD: &[&str] = &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];

/// The rows.
pub const ROWS: &[Spec] = &[Spec::container(
    "MEMORY",
    &[
        Spec::new("DOCTOR", 2, Flags::NONE, doctor).group(Group::Server, Category::NONE, "4.0.0").tips(PER_SHARD).doc(
            "Looks for problems with memory and advises.",
            "O(1)",
            "",
        ),
        Spec::new("HELP", 2, Flags::LOADING.with(Flags::STALE), help_text)
            .group(Group::Server, Category::NONE, "4.0.0")
            .doc("Lists the subcommands.", "O(1)", ""),
        Spec::new("MALLOC-STATS", 2, Flags::NONE, malloc_stats)
            .group(Group::Server, Category::NONE, "4.0.0")
            .tips(PER_SHARD)
            .doc("Shows the allocator's own report.", "Depends on how much memory is allocated, could be slow", ""),
        Spec::new("PURGE", 2, Flags::NONE, purge)
            .group(Group::Server, Category::NONE, "4.0.0")
            .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
            .doc(
                "Gives unused pages back to the system.",
                "Depends on how much memory is allocated, could be slow",
                "",
            ),
        Spec::new("STATS", 2, Flags::NONE, stats).group(Group::Server, Category::NONE, "4.0.0").tips(PER_SHARD).doc(
            "Shows where the memory goes.",
            "O(N) where N is the number of clients and of databases",
            "",
        ),
        Spec::read("USAGE", -3, usage)
            .keys(&[KeySpec::one(Access::RO, 2)])
            .group(Group::Server, Category::NONE, "4.0.0")
            .doc("Tells how many bytes a key takes.", "O(N) where N is the number of samples.", "key [SAMPLES count]"),
    ],
)
.group(Group::Server, Category::NONE, "4.0.0")
.doc("Tells about the memory in use.", "Depends on subcommand.", "")];

/// Below this many bytes the doctor has nothing to go by, as in Redis.
const DOCTOR_BYTES_MIN: usize = 5 << 20;

/// Elements of a collection from which its size is estimated, if fewer were asked for: some tens of microseconds. Of elements
/// whose sizes are spread evenly from nothing on, the estimate is wrong by a tenth once in 10,000 times.
const SAMPLES_MIN: usize = 512;

/// Bytes of one wheel node.
const NODE_BYTES: usize = 8;

/// The memory of one database that is not keys and values.
#[derive(Clone, Copy, Debug)]
pub(super) struct DbMemory {
    /// Its number.
    pub number: usize,
    /// Bytes of the key table.
    pub table: usize,
    /// Bytes of the wheel of deadlines.
    pub wheel: usize,
}

/// Where the memory goes, in bytes.
#[derive(Debug)]
pub(super) struct Account {
    /// Allocated now.
    pub used: usize,
    /// Allocated at most.
    pub peak: usize,
    /// Unix second at which that was.
    pub peak_unix_s: i64,
    /// Allocated before there was data.
    pub startup: usize,
    /// What the parts of the server have, the databases left out.
    pub parts: Parts,
    /// The databases' wheels of deadlines.
    pub timers: usize,
    /// The databases that have keys.
    pub dbs: Vec<DbMemory>,
    /// Everything that is not keys and values.
    pub overhead: usize,
    /// Keys and values.
    pub dataset: usize,
    /// Number of keys.
    pub keys: usize,
    /// The allocator's totals.
    pub allocator: alloc::Stats,
    /// In physical memory.
    pub resident: usize,
}

impl Account {
    /// Takes stock. O(clients + databases), and asks the allocator and the system.
    pub fn take(server: &mut Server, now: Now) -> Account {
        let allocator = alloc::Stats::read();
        let used = alloc::allocated_bytes();
        server.stats.note_allocated(used, now.unix_s());
        let dbs = server.dbs.with_keys().into_iter();
        let dbs: Vec<DbMemory> =
            dbs.map(|(number, db)| DbMemory { number, table: db.table().bytes(), wheel: db.wheel_bytes() }).collect();
        let tables: usize = dbs.iter().map(|db| db.table + db.wheel).sum();
        let startup = server.process.startup_bytes;
        let parts = server.heap_parts();
        let overhead = startup + tables + parts.total();
        Account {
            used,
            peak: server.stats.peak_allocated_bytes,
            peak_unix_s: server.stats.peak_unix_s,
            startup,
            parts,
            timers: dbs.iter().map(|db| db.wheel).sum(),
            dbs,
            overhead,
            dataset: used.saturating_sub(overhead),
            keys: server.dbs.iter().map(|db| db.len()).sum(),
            allocator,
            resident: limits::resident_bytes(),
        }
    }

    /// Clients of all kinds, with what they have of their own.
    pub fn clients(&self) -> usize {
        self.parts.clients + self.parts.subscribers
    }

    /// Bytes of the key tables.
    pub fn tables(&self) -> usize {
        self.dbs.iter().map(|db| db.table).sum()
    }

    /// Bytes beyond those at startup.
    pub fn grown(&self) -> usize {
        self.used.saturating_sub(self.startup)
    }

    /// What share of the bytes beyond those at startup is data, in percent.
    pub fn dataset_percent(&self) -> f64 {
        100.0 * ratio(self.dataset, self.grown())
    }

    /// What share of the peak is in use, in percent.
    pub fn peak_percent(&self) -> f64 {
        100.0 * ratio(self.used, self.peak)
    }
}

/// A quotient; 0 if there is nothing to divide by.
pub(super) fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A difference of sizes, negative when the second is larger.
pub(super) fn excess(larger: usize, smaller: usize) -> i64 {
    larger as i64 - smaller as i64
}

fn usage(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let samples = match read_samples(args)? {
        Some(0) => usize::MAX,
        asked => asked.unwrap_or(0).max(SAMPLES_MIN),
    };
    let at = ctx.at.without_access();
    let slot_bytes = {
        // A key's share of the table: as it is filled, or half filled where there are few keys.
        let table = ctx.db().table();
        table.bytes().div_ceil(table.len().max(table.slots() / 2).max(1))
    };
    match ctx.db().lookup_uncounted(args.at(2), at) {
        Some(entry) => {
            let node_bytes = entry.deadline_ms().map_or(0, |_| NODE_BYTES);
            let bytes = entry.heap_bytes_sampled(samples) + slot_bytes + node_bytes;
            ctx.reply.integer(bytes as i64);
        }
        None => ctx.reply.null(),
    }
    Ok(Next::Done)
}

/// The options: how many elements of a collection are to be looked at, 0 for all.
fn read_samples(args: Args<'_>) -> Result<Option<usize>, ReplyError> {
    let (mut at, mut samples) = (3, None);
    while at < args.len() {
        if !args.is(at, "SAMPLES") || at + 1 == args.len() {
            return Err(ReplyError::SYNTAX);
        }
        let count = num::parse_i64(args.at(at + 1)).ok_or(ReplyError::NOT_AN_INTEGER)?;
        samples = Some(usize::try_from(count).map_err(|_| ReplyError::SYNTAX)?);
        at += 2;
    }
    Ok(samples)
}

/// A figure of MEMORY STATS.
enum Figure {
    Bytes(i64),
    Ratio(f64),
    Db(DbMemory),
}

fn stats(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let account = Account::take(ctx.server, ctx.now);
    let figures = figures(&account);
    let reply = &mut ctx.reply;
    reply.map(figures.len());
    for (name, figure) in figures {
        reply.bulk_str(&name);
        match figure {
            Figure::Bytes(bytes) => reply.integer(bytes),
            // Redis keeps these in single precision, which shows in the digits.
            Figure::Ratio(ratio) => reply.double(f64::from(ratio as f32)),
            Figure::Db(db) => {
                reply.map(2);
                reply.bulk_str("overhead.hashtable.main");
                reply.integer(db.table as i64);
                reply.bulk_str("overhead.hashtable.expires");
                reply.integer(db.wheel as i64);
            }
        }
    }
    Ok(Next::Done)
}

/// The figures, in Redis's order and under its names; those of parts that do not exist are zero.
fn figures(account: &Account) -> Vec<(String, Figure)> {
    let Account { allocator, used, resident, parts, .. } = account;
    let bytes = |name: &str, bytes: usize| (name.to_owned(), Figure::Bytes(bytes as i64));
    let difference = |name: &str, larger, smaller| (name.to_owned(), Figure::Bytes(excess(larger, smaller)));
    let share = |name: &str, ratio: f64| (name.to_owned(), Figure::Ratio(ratio));
    let mut figures = vec![
        bytes("peak.allocated", account.peak),
        bytes("total.allocated", *used),
        bytes("startup.allocated", account.startup),
        bytes("replication.backlog", parts.backlog),
        bytes("replica.fullsync.buffer", 0),
        bytes("clients.slaves", parts.replicas),
        bytes("clients.normal", account.clients()),
        bytes("cluster.links", 0),
        bytes("aof.buffer", parts.log),
        bytes("lua.caches", parts.scripts),
        bytes("functions.caches", parts.libraries),
        bytes("script.VMs", parts.interpreters),
    ];
    figures.extend(account.dbs.iter().map(|db| (format!("db.{}", db.number), Figure::Db(*db))));
    figures.extend([
        bytes("overhead.db.hashtable.lut", account.tables()),
        bytes("overhead.db.hashtable.rehashing", 0),
        bytes("overhead.total", account.overhead),
        bytes("db.dict.rehashing.count", 0),
        bytes("keys.count", account.keys),
        bytes("keys.bytes-per-key", account.grown().checked_div(account.keys).unwrap_or(0)),
        bytes("dataset.bytes", account.dataset),
        share("dataset.percentage", account.dataset_percent()),
        share("peak.percentage", account.peak_percent()),
        bytes("allocator.allocated", allocator.allocated),
        bytes("allocator.active", allocator.active),
        bytes("allocator.resident", allocator.resident),
        bytes("allocator.muzzy", 0),
        share("allocator-fragmentation.ratio", ratio(allocator.active, allocator.allocated)),
        difference("allocator-fragmentation.bytes", allocator.active, allocator.allocated),
        share("allocator-rss.ratio", ratio(allocator.resident, allocator.active)),
        difference("allocator-rss.bytes", allocator.resident, allocator.active),
        share("rss-overhead.ratio", ratio(*resident, allocator.resident)),
        difference("rss-overhead.bytes", *resident, allocator.resident),
        share("fragmentation", ratio(*resident, *used)),
        difference("fragmentation.bytes", *resident, *used),
        bytes("clients.pubsub", parts.subscribers),
        bytes("pubsub.subscriptions", parts.subscriptions),
        bytes("watched.keys", parts.watched_keys),
        bytes("awaited.keys", parts.awaited_keys),
        bytes("tracking", parts.tracking),
        bytes("hash.templates", parts.hash_templates),
        bytes("live.queries", parts.live_queries),
        bytes("messages", parts.messages),
        bytes("snapshot.buffer", parts.snapshot),
        bytes("timers", account.timers),
        bytes("command.stats", parts.durations),
    ]);
    figures
}

fn doctor(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let account = Account::take(ctx.server, ctx.now);
    let report = diagnose(&account, ctx.server.clients.len());
    ctx.reply.verbatim("txt", report.as_bytes());
    Ok(Next::Done)
}

/// The doctor's report: Redis's thresholds, and its words where it finds nothing.
fn diagnose(account: &Account, clients: usize) -> String {
    let Account { used, peak, allocator, resident, .. } = account;
    if *used < DOCTOR_BYTES_MIN {
        return String::from(
            "Hi Sam, this instance is empty or is using very little memory, my issues detector can't be used in these \
             conditions. Please, leave for your mission on Earth and fill it with some data. The new Sam and I will be \
             back to our programming as soon as I finished rebooting.\n",
        );
    }
    // Ratios count only when they are about more than 10 MB.
    let large = |larger: usize, smaller: usize| excess(larger, smaller) > 10 << 20;
    let issues = [
        (
            ratio(*peak, *used) > 1.5,
            "Peak memory: in the past more than 150% of the memory now in use was needed, so the process may keep more \
             pages than it uses. That is harmless and makes the fragmentation ratio look bad; MEMORY PURGE can help.",
        ),
        (
            ratio(*resident, *used) > 1.4 && large(*resident, *used),
            "High total RSS: the process holds more than 1.4 times the memory in use. Another issue below may be the \
             cause.",
        ),
        (
            ratio(allocator.active, allocator.allocated) > 1.1 && large(allocator.active, allocator.allocated),
            "High allocator fragmentation: many pages are only partly filled, as happens when values of changing sizes \
             come and go.",
        ),
        (
            ratio(allocator.resident, allocator.active) > 1.1 && large(allocator.resident, allocator.active),
            "High allocator RSS overhead: the allocator keeps pages it does not need at present. They come back with \
             time, or with MEMORY PURGE.",
        ),
        (
            ratio(*resident, allocator.resident) > 1.1 && large(*resident, allocator.resident),
            "High process RSS overhead: something beside the allocator holds memory, such as code, stacks or the \
             process's own pages.",
        ),
        (
            clients > 0 && account.clients() / clients > 200 << 10,
            "Big client buffers: clients take more than 200 KB each on average. Look for slow readers and long \
             pipelines with CLIENT LIST.",
        ),
    ];
    let found: Vec<&str> = issues.into_iter().filter_map(|(present, text)| present.then_some(text)).collect();
    if found.is_empty() {
        return String::from(
            "Hi Sam, I can't find any memory issue in your instance. I can only account for what occurs on this base.\n",
        );
    }
    let mut report = String::from("Sam, I detected a few issues in this instance's memory:\n\n");
    found.iter().for_each(|text| report.push_str(&format!(" * {text}\n\n")));
    report
}

fn malloc_stats(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let text = alloc::stats_text().map_err(|_| ReplyError::new("ERR The allocator gave no report"))?;
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(Next::Done)
}

/// The helper thread does the work, which takes a second for some gigabytes, soon after the reply.
fn purge(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    alloc::flush_thread_cache().map_err(|_| ReplyError::new("ERR Error purging dirty pages"))?;
    let background = &mut ctx.server.background;
    let mut purge = |arena: Arena| background.submit(move || Completion::Purged(arena.purge())).is_some();
    if ![Arena::Main, Arena::Huge].into_iter().all(&mut purge) {
        return Err(ReplyError::new("ERR Error purging dirty pages"));
    }
    ctx.reply.ok();
    Ok(Next::Done)
}

fn help_text(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    help::write(
        &mut ctx.reply,
        "MEMORY",
        &[
            "DOCTOR",
            "    Return memory problems reports.",
            "MALLOC-STATS",
            "    Return internal statistics report from the memory allocator.",
            "PURGE",
            "    Attempt to purge dirty pages for reclamation by the allocator.",
            "STATS",
            "    Return information about the memory usage of the server.",
            "USAGE <key> [SAMPLES <count>]",
            "    Return memory in bytes used by <key> and its value. Nested values are",
            "    sampled up to <count> times (default: 5, 0 means sample all).",
        ],
    );
    Ok(Next::Done)
}
