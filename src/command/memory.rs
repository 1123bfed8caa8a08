//! MEMORY, and the account of the memory that INFO shares with it.

use super::help;
use super::spec::{Access, Category, Flags, Group, KeySpec, Outcome, Spec};
use crate::base::clock::Now;
use crate::base::num;
use crate::lua::vm::Purpose;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::Server;
use crate::server::background::Completion;
use crate::server::ctx::{Ctx, Next};
use crate::server::session::Session;
use crate::sys::alloc::{self, Arena};
use crate::sys::limits;

const PER_SHARD: &[&str] = &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];

/// The rows.
pub const ROWS: &[Spec] =
    &[Spec::container(
        "MEMORY",
        &[
            Spec::new("DOCTOR", 2, Flags::NONE, doctor)
                .group(Group::Server, Category::NONE, "4.0.0")
                .tips(PER_SHARD)
                .doc("Looks for problems with memory and advises.", "O(1)", ""),
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
            Spec::new("STATS", 2, Flags::NONE, stats)
                .group(Group::Server, Category::NONE, "4.0.0")
                .tips(PER_SHARD)
                .doc("Shows where the memory goes.", "O(N) where N is the number of clients and of databases", ""),
            Spec::read("USAGE", -3, usage)
                .keys(&[KeySpec::one(Access::RO, 2)])
                .group(Group::Server, Category::NONE, "4.0.0")
                .doc("Tells how many bytes a key takes.", "O(1)", "key [SAMPLES count]"),
        ],
    )
    .group(Group::Server, Category::NONE, "4.0.0")
    .doc("Tells about the memory in use.", "Depends on subcommand.", "")];

/// Below this many bytes the doctor has nothing to go by, as in Redis.
const DOCTOR_BYTES_MIN: usize = 5 << 20;

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
    /// Sessions and their buffers.
    pub clients: usize,
    /// Texts of scripts, and what is known of them.
    scripts: usize,
    /// Texts of libraries of functions, and what is known of those.
    libraries: usize,
    /// What the interpreters have allocated.
    interpreters: usize,
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
        let used = allocator.allocated;
        server.stats.note_allocated(used, now.unix_s());
        let clients = server.clients.iter().map(|(_, session)| session_bytes(session)).sum();
        let dbs = server.dbs.with_keys().into_iter();
        let dbs: Vec<DbMemory> =
            dbs.map(|(number, db)| DbMemory { number, table: db.table().bytes(), wheel: db.wheel_bytes() }).collect();
        let tables: usize = dbs.iter().map(|db| db.table + db.wheel).sum();
        let startup = server.process.startup_bytes;
        let scripting = &server.scripting;
        let (scripts, libraries) = (scripting.cache.heap_bytes(), scripting.libraries.heap_bytes());
        let interpreters = scripting.vm_bytes(Purpose::Scripts) + scripting.vm_bytes(Purpose::Functions);
        let overhead = startup + clients + tables + scripts + libraries + interpreters;
        Account {
            used,
            peak: server.stats.peak_allocated_bytes,
            peak_unix_s: server.stats.peak_unix_s,
            startup,
            clients,
            scripts,
            libraries,
            interpreters,
            dbs,
            overhead,
            dataset: used.saturating_sub(overhead),
            keys: server.dbs.iter().map(|db| db.len()).sum(),
            allocator,
            resident: limits::resident_bytes(),
        }
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

fn session_bytes(session: &Session) -> usize {
    let texts = [&session.name, &session.lib_name, &session.lib_ver].map(Vec::capacity).iter().sum::<usize>();
    let buffers = session.buffers;
    size_of::<Session>()
        + texts
        + session.peer.capacity()
        + session.local.capacity()
        + buffers.query_bytes
        + buffers.query_free_bytes
        + buffers.out_heap_bytes
}

fn usage(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    read_samples(args)?;
    let at = ctx.at.without_access();
    let slot_bytes = {
        let table = ctx.db().table();
        table.bytes().div_ceil(table.slots().max(1))
    };
    match ctx.db().lookup_uncounted(args.at(2), at) {
        Some(entry) => {
            let node_bytes = entry.deadline_ms().map_or(0, |_| NODE_BYTES);
            let bytes = entry.heap_bytes() + slot_bytes + node_bytes;
            ctx.reply.integer(bytes as i64);
        }
        None => ctx.reply.null(),
    }
    Ok(Next::Done)
}

/// Checks the options. SAMPLES bounds the work on values made of elements; a string has none.
fn read_samples(args: Args<'_>) -> Result<(), ReplyError> {
    let mut at = 3;
    while at < args.len() {
        if !args.is(at, "SAMPLES") || at + 1 == args.len() {
            return Err(ReplyError::SYNTAX);
        }
        if num::parse_i64(args.at(at + 1)).ok_or(ReplyError::NOT_AN_INTEGER)? < 0 {
            return Err(ReplyError::SYNTAX);
        }
        at += 2;
    }
    Ok(())
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
    let Account { allocator, used, resident, .. } = account;
    let bytes = |name: &str, bytes: usize| (name.to_owned(), Figure::Bytes(bytes as i64));
    let difference = |name: &str, larger, smaller| (name.to_owned(), Figure::Bytes(excess(larger, smaller)));
    let share = |name: &str, ratio: f64| (name.to_owned(), Figure::Ratio(ratio));
    let mut figures = vec![
        bytes("peak.allocated", account.peak),
        bytes("total.allocated", *used),
        bytes("startup.allocated", account.startup),
        bytes("replication.backlog", 0),
        bytes("replica.fullsync.buffer", 0),
        bytes("clients.slaves", 0),
        bytes("clients.normal", account.clients),
        bytes("cluster.links", 0),
        bytes("aof.buffer", 0),
        bytes("lua.caches", account.scripts),
        bytes("functions.caches", account.libraries),
        bytes("script.VMs", account.interpreters),
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
            clients > 0 && account.clients / clients > 200 << 10,
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
