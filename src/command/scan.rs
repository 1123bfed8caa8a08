//! Walking the keys of a database: the rows and the handlers below.

use super::bless;
use super::long::{self, Meter, Place};
use super::spec::{Category, Group, Outcome, Spec};
use crate::base::glob::Pattern;
use crate::base::num;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::{OpenArray, Reply};
use crate::server::Server;
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::{Job, Slice, Step, Work};
use crate::store::db::Moment;
use crate::store::entry::Entry;
use crate::store::hold::WalkId;
use crate::store::types::Collection;

/// Entries a SCAN goes by without COUNT.
const SCAN_COUNT: u64 = 10;
/// Entries a BLESS SCAN goes by without COUNT.
const BLESSED_SCAN_COUNT: u64 = 1024;
/// Buckets a SCAN looks at for each entry of COUNT before it gives up on a sparse table, as in Redis.
const BUCKETS_PER_ENTRY: u64 = 10;
/// Buckets a SCAN looks at however small COUNT is: more than a segment of the table has, so that a small database is walked
/// by one call, as in Redis.
const BUCKETS_MIN: u64 = 128;
/// Matches that KEYS expects of a pattern: if their number has as many digits, the reply's bytes need not be moved.
const MATCHES_EXPECTED: usize = 10;

/// The rows.
pub const ROWS: &[Spec] = &[
    Spec::read("KEYS", 2, keys)
        .group(Group::Generic, Category::KEYSPACE.with(Category::DANGEROUS), "1.0.0")
        .doc(
            "Returns the names of all keys that match a pattern.",
            "O(N) with N being the number of keys in the database.",
            "pattern",
        )
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"]),
    Spec::read("SCAN", -2, scan)
        .group(Group::Generic, Category::KEYSPACE, "2.8.0")
        .doc(
            "Walks the names of the keys, some at a time.",
            "O(1) for every call. O(N) for a whole walk, where N is the number of keys in the database.",
            "cursor [MATCH pattern] [COUNT count] [TYPE type]",
        )
        .history(&[("6.0.0", "Added the `TYPE` subcommand.")])
        .tips(&["nondeterministic_output", "request_policy:special", "response_policy:special"]),
    Spec::read("RANDOMKEY", 1, randomkey)
        .group(Group::Generic, Category::KEYSPACE, "1.0.0")
        .doc("Returns the name of a key chosen at random.", "O(1)", "")
        .tips(&["request_policy:all_shards", "response_policy:special", "nondeterministic_output"]),
];

fn keys(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let pattern = pattern(args.at(1));
    if ctx.is_long(ctx.server.dbs[ctx.db].len()) {
        let began_ms = ctx.at.due_ms();
        return ctx.become_job(AllKeys { pattern, began_ms, walk: None, array: None, found: 0 });
    }
    let filter = Filter { pattern, type_name: None, is_of_blessed: false };
    let Ctx { server, reply, db, at, .. } = ctx;
    let db = &server.dbs[*db];
    let array = reply.open_array(if filter.pattern.is_none() { db.len() } else { MATCHES_EXPECTED });
    let (mut cursor, mut found) = (0, 0);
    loop {
        cursor = db.scan(cursor, *at, |entry| {
            if filter.passes(entry) {
                reply.bulk(entry.key());
                found += 1;
            }
        });
        if cursor == 0 {
            break;
        }
    }
    reply.close_array(array, found);
    Ok(Next::Done)
}

/// KEYS over many keys.
#[derive(Debug)]
struct AllKeys {
    /// `None` for all.
    pattern: Option<Pattern>,
    /// Keys that were due by then (Unix milliseconds) are not shown.
    began_ms: i64,
    walk: Option<WalkId>,
    /// The array, once it has begun.
    array: Option<OpenArray>,
    found: usize,
}

impl Job for AllKeys {
    fn begin(&mut self, server: &mut Server, db: usize) {
        self.walk = Some(server.dbs[db].begin_walk(self.began_ms));
    }

    fn step(&mut self, work: &mut Work<'_>) -> Step {
        let Work { server, reply, slice, db } = work;
        let (db, Some(walk)) = (&mut server.dbs[*db], self.walk) else { return Step::Lost };
        let expected = if self.pattern.is_none() { db.len() } else { MATCHES_EXPECTED };
        let array = self.array.take().unwrap_or_else(|| reply.open_array(expected));
        let (meter, pattern, found) = (Meter::default(), &self.pattern, &mut self.found);
        let show = |key: &[u8]| {
            if pattern.as_ref().is_none_or(|pattern| pattern.matches(key)) {
                reply.bulk(key);
                *found += 1;
            }
            meter.count(key.len());
        };
        if db.go_on_walking(walk, show, || meter.spend(slice)) {
            reply.close_array(array, self.found);
            return Step::Answered;
        }
        self.array = Some(array);
        Step::More
    }

    fn holds_database(&self, server: &Server, db: usize) -> bool {
        self.walk.is_some_and(|walk| server.dbs[db].is_walk_crowded(walk))
    }

    fn end(&mut self, server: &mut Server, db: usize) {
        if let Some(walk) = self.walk.take() {
            server.dbs[db].end_walk(walk);
        }
    }
}

fn scan(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let cursor = cursor(args.at(1))?;
    let options = Options::parse(args, 2, Walk::Keys)?;
    let (count, buckets) = (options.count, options.buckets_max());
    let filter = Filter { pattern: options.pattern, type_name: options.type_name.map(Box::from), is_of_blessed: false };
    walk_keys(ctx, cursor, count, buckets, filter)
}

/// BLESS SCAN: the same walk, which shows the keys that are never evicted. Where there are none, it is over at once.
pub(super) fn scan_blessed(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let cursor = cursor(args.at(2))?;
    bless::check_flag(args, 3)?;
    let count = match args.len() {
        4 => BLESSED_SCAN_COUNT,
        6 if args.is(4, "COUNT") => parse_count(args.at(5))?,
        _ => return Err(ReplyError::SYNTAX),
    };
    if ctx.db().blessed() == 0 {
        let array = ctx.reply.open_array(0);
        ctx.reply.close_scan(array, 0, 0);
        return Ok(Next::Done);
    }
    let filter = Filter { pattern: None, type_name: None, is_of_blessed: true };
    walk_keys(ctx, cursor, count, buckets_max(count), filter)
}

/// Answers a part of the keys: until so many have been gone by, or so many buckets.
fn walk_keys(ctx: &mut Ctx<'_>, mut cursor: u64, count: u64, mut buckets: u64, filter: Filter) -> Outcome {
    if ctx.is_long(ctx.server.dbs[ctx.db].len().min(usize::try_from(count).unwrap_or(usize::MAX))) {
        let at = ctx.at;
        return ctx.become_job(Scanning { cursor, count, buckets, filter, at, array: None, seen: 0, found: 0 });
    }
    let Ctx { server, reply, db, at, .. } = ctx;
    let db = &server.dbs[*db];
    let array = reply.open_array(0);
    let (mut seen, mut found) = (0, 0);
    loop {
        cursor = db.scan(cursor, *at, |entry| {
            seen += 1;
            if filter.passes(entry) {
                reply.bulk(entry.key());
                found += 1;
            }
        });
        buckets -= 1;
        if cursor == 0 || seen >= count || buckets == 0 {
            break;
        }
    }
    reply.close_scan(array, cursor, found);
    Ok(Next::Done)
}

/// SCAN with a large COUNT. Nothing is held for it but the database as a whole: what comes or goes between two slices is as what
/// comes or goes between two calls.
#[derive(Debug)]
struct Scanning {
    cursor: u64,
    /// Entries to go by.
    count: u64,
    /// Buckets that may still be looked at.
    buckets: u64,
    filter: Filter,
    at: Moment,
    /// The array, once it has begun.
    array: Option<OpenArray>,
    seen: u64,
    found: usize,
}

impl Job for Scanning {
    fn step(&mut self, work: &mut Work<'_>) -> Step {
        let Work { server, reply, slice, db } = work;
        let db = &server.dbs[*db];
        let array = self.array.take().unwrap_or_else(|| reply.open_array(0));
        let meter = Meter::default();
        loop {
            let Scanning { filter, seen, found, .. } = self;
            self.cursor = db.scan(self.cursor, self.at, |entry| {
                *seen += 1;
                if filter.passes(entry) {
                    reply.bulk(entry.key());
                    *found += 1;
                }
                meter.count(entry.key().len());
            });
            self.buckets -= 1;
            if self.cursor == 0 || self.seen >= self.count || self.buckets == 0 {
                reply.close_scan(array, self.cursor, self.found);
                return Step::Answered;
            }
            if !meter.spend(slice) {
                self.array = Some(array);
                return Step::More;
            }
        }
    }
}

/// Which entries of a walk are answered.
#[derive(Debug)]
struct Filter {
    /// `None` for all.
    pattern: Option<Pattern>,
    /// A type's name in any case; a name that no type has lets nothing pass, as in Redis.
    type_name: Option<Box<[u8]>>,
    /// Only keys that are never evicted.
    is_of_blessed: bool,
}

impl Filter {
    fn passes(&self, entry: &Entry) -> bool {
        self.type_name.as_ref().is_none_or(|name| entry.type_of().name().as_bytes().eq_ignore_ascii_case(name))
            && self.pattern.as_ref().is_none_or(|pattern| pattern.matches(entry.key()))
            && (!self.is_of_blessed || entry.is_blessed())
    }
}

/// A pattern, or `None` for the one that stands for every key, even the empty one that no other pattern with a star matches.
fn pattern(text: &[u8]) -> Option<Pattern> {
    (text != b"*").then(|| Pattern::new(text, false))
}

/// The options of one call of SCAN, SSCAN, HSCAN or ZSCAN.
#[derive(Debug)]
pub(super) struct Options<'a> {
    /// Elements to go by.
    pub count: u64,
    /// What elements have to match; `None` for all.
    pub pattern: Option<Pattern>,
    /// NOVALUES of HSCAN, NOSCORES of ZSCAN: only fields, or members, are answered.
    pub names_only: bool,
    type_name: Option<&'a [u8]>,
}

/// A collection that SSCAN, HSCAN or ZSCAN walks.
pub(super) trait Scanned: Collection {
    /// Answers what matches of the bucket that a cursor stands for. Fields that were due by a time (Unix milliseconds) are not
    /// there.
    fn scan_bucket(&self, cursor: u64, options: &Options<'_>, due_ms: i64, reply: &mut Reply<'_>) -> Bucket;
}

/// What a bucket has brought.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// The cursor to go on from, 0 at the end.
    pub next: u64,
    /// Elements that were gone by.
    pub seen: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Strings that were answered.
    pub found: usize,
}

/// Where a call of one of them goes on.
#[derive(Debug)]
struct Call {
    cursor: u64,
    options: Options<'static>,
    due_ms: i64,
    /// The array, once it has begun.
    array: Option<OpenArray>,
    seen: u64,
    found: usize,
    /// Buckets that may still be looked at.
    buckets: u64,
}

impl Call {
    /// Goes on until `go_on` returns false, which is told how many elements of how many bytes were gone by. True at the end.
    fn go_on(
        &mut self,
        value: &impl Scanned,
        reply: &mut Reply<'_>,
        mut go_on: impl FnMut(usize, usize) -> bool,
    ) -> bool {
        let array = self.array.take().unwrap_or_else(|| reply.open_array(0));
        loop {
            let bucket = value.scan_bucket(self.cursor, &self.options, self.due_ms, reply);
            self.cursor = bucket.next;
            self.seen += bucket.seen as u64;
            self.found += bucket.found;
            self.buckets -= 1;
            if self.cursor == 0 || self.seen >= self.options.count || self.buckets == 0 {
                reply.close_scan(array, self.cursor, self.found);
                return true;
            }
            if !go_on(bucket.seen.max(1), bucket.bytes) {
                self.array = Some(array);
                return false;
            }
        }
    }
}

impl<T: Scanned> Place<T> for Call {
    fn go_on(&mut self, value: &T, reply: &mut Reply<'_>, slice: &mut Slice<'_>) -> bool {
        Call::go_on(self, value, reply, |elements, bytes| slice.spend(elements, bytes))
    }
}

/// Answers a call of SSCAN, HSCAN or ZSCAN.
pub(super) fn scan_key<T: Scanned + 'static>(ctx: &mut Ctx<'_>, args: Args<'_>, walk: Walk) -> Outcome {
    let (cursor, limits) = (cursor(args.at(2))?, ctx.job_limits());
    let Ctx { server, reply, db, at, .. } = ctx;
    let Some(value) = server.dbs[*db].read::<T>(args.at(1), *at)? else {
        let array = reply.open_array(0);
        reply.close_scan(array, 0, 0);
        return Ok(Next::Done);
    };
    let Options { count, pattern, names_only, .. } = Options::parse(args, 3, walk)?;
    let options = Options { count, pattern, names_only, type_name: None };
    let buckets = options.buckets_max();
    let mut call = Call { cursor, options, due_ms: at.due_ms(), array: None, seen: 0, found: 0, buckets };
    let elements = value.len().min(usize::try_from(count).unwrap_or(usize::MAX));
    if limits.is_some_and(|limits| limits.is_long(elements, &*value)) {
        return long::read_key::<T>(ctx, args.at(1), call);
    }
    call.go_on(&*value, reply, |_, _| true);
    Ok(Next::Done)
}

/// Which of the commands is asked, where they differ.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Walk {
    /// SCAN, which takes TYPE.
    Keys,
    /// HSCAN, which takes NOVALUES.
    Fields,
    /// SSCAN.
    Members,
    /// ZSCAN, which takes NOSCORES as in Valkey.
    Scores,
}

/// The cursor of a call.
pub(super) fn cursor(text: &[u8]) -> Result<u64, ReplyError> {
    num::parse_cursor(text).ok_or(ReplyError::new("ERR invalid cursor"))
}

/// How many entries a call goes by.
fn parse_count(text: &[u8]) -> Result<u64, ReplyError> {
    let given = num::parse_i64(text).ok_or(ReplyError::NOT_AN_INTEGER)?;
    u64::try_from(given).ok().filter(|&n| n > 0).ok_or(ReplyError::SYNTAX)
}

fn buckets_max(count: u64) -> u64 {
    count.saturating_mul(BUCKETS_PER_ENTRY).max(BUCKETS_MIN)
}

impl<'a> Options<'a> {
    /// Reads the options from the argument `first` on.
    pub fn parse(args: Args<'a>, first: usize, walk: Walk) -> Result<Options<'a>, ReplyError> {
        let mut options = Options { count: SCAN_COUNT, pattern: None, names_only: false, type_name: None };
        let mut i = first;
        while i < args.len() {
            let value = args.get(i + 1);
            match value {
                Some(value) if args.is(i, "COUNT") => {
                    options.count = parse_count(value)?;
                }
                Some(value) if args.is(i, "MATCH") => options.pattern = pattern(value),
                Some(value) if walk == Walk::Keys && args.is(i, "TYPE") => options.type_name = Some(value),
                _ if args.is(i, "NOVALUES") => {
                    if walk != Walk::Fields {
                        return Err(ReplyError::new("ERR NOVALUES option can only be used in HSCAN"));
                    }
                    options.names_only = true;
                    i += 1;
                    continue;
                }
                _ if walk == Walk::Scores && args.is(i, "NOSCORES") => {
                    options.names_only = true;
                    i += 1;
                    continue;
                }
                _ => return Err(ReplyError::SYNTAX),
            }
            i += 2;
        }
        Ok(options)
    }

    /// Buckets that one call looks at at most.
    pub fn buckets_max(&self) -> u64 {
        buckets_max(self.count)
    }

    /// True if a key, member or field is answered as far as MATCH goes.
    pub fn matches(&self, element: &[u8]) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| pattern.matches(element))
    }
}

fn randomkey(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let Ctx { server, reply, db, at, .. } = ctx;
    let Server { dbs, prng, .. } = &mut **server;
    match dbs[*db].random_key(*at, |n| prng.below(n)) {
        Some(key) => reply.bulk(&key),
        None => reply.null(),
    }
    Ok(Next::Done)
}
