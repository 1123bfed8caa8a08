//! MIGRATE: its row, its handler, and the job by which keys are moved to another server while others are served.
//!
//! # The way of a key
//! The job has a connection to the target ([`crate::server::targets`]), over which it says who it is and which database it means,
//! then sends a RESTORE for each key, without waiting for the replies in between. No more is dumped while much waits to be sent.
//! All keys of the line are held as long as the job is under way: others read them, and nobody changes what has been sent. When the last
//! reply has come the handler runs once more and deletes the keys that the target has taken, all at once. With COPY nothing is
//! deleted, and keys may change again as soon as they have been dumped.
//!
//! # What may go wrong
//! - The target refuses a key: that key stays, and the others go.
//! - The connection breaks before the first reply: all is sent once more, over a new connection, as one that was kept may have been
//!   closed by the other end. Later, or for the second time, or if nothing happens for as long as the timeout says, those keys go
//!   that the target has said to have taken. The others stay, and may be in both places.
//! - The client goes: what was begun is ended without it.
//! - What cannot wait needs a key (a script that has not named it, the end of the server): the same as if the connection broke.
//!
//! Inside of a transaction or a script there is nobody who could wait.

use std::collections::VecDeque;

use super::dump::{asked_form, is_long};
use super::spec::{Access, Category, Group, KeySpec, Outcome, Spec, keyfind};
use crate::base::num;
use crate::config::{EventClass, ServerAddress};
use crate::persist::payload::{self, Dumping};
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::out::Out;
use crate::server::Server;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::{Job, Slice, Step, Work};
use crate::server::targets::{TargetLost, TargetReply, TargetState, UNSENT_BYTES_MAX};

const TAKE: Access = Access::RW.with(Access::ACCESS).with(Access::DELETE);

/// The rows.
pub const ROWS: &[Spec] = &[Spec::write("MIGRATE", -6, migrate)
    .keys(&[KeySpec::one(TAKE, 3), KeySpec::all_after(TAKE.with(Access::INCOMPLETE), "KEYS", -2, 0)])
    .find_keys(keyfind::migrate)
    .secrets(secrets)
    .group(Group::Generic, Category::KEYSPACE.with(Category::DANGEROUS), "2.6.0")
    .doc(
        "Moves keys to another server, which is waited for while others are served.",
        "O(N) for N bytes of the values, here and at the target.",
        "host port <key | \"\"> destination-db timeout [COPY] [REPLACE] [<AUTH password | AUTH2 username password>] \
         [KEYS key [key ...]]",
    )
    .history(&[
        ("3.0.0", "Added the `COPY` and `REPLACE` options."),
        ("3.0.6", "Added the `KEYS` option."),
        ("4.0.7", "Added the `AUTH` option."),
        ("6.0.0", "Added the `AUTH2` option."),
    ])
    .tips(&["nondeterministic_output"])];

/// Milliseconds for which nothing may happen, if the line says 0 or less.
const TIMEOUT_MS: u64 = 1000;

const KEY_BESIDE_KEYS: ReplyError =
    ReplyError::new("ERR When using MIGRATE KEYS option, the key argument must be set to the empty string");
const CANNOT_WAIT: ReplyError =
    ReplyError::new("ERR MIGRATE has to wait for its target, which it cannot inside of a transaction or a script");
const NOT_CONNECTED: ReplyError = ReplyError::new("IOERR error or timeout connecting to the client");
const NOT_WRITTEN: ReplyError = ReplyError::new("IOERR error or timeout writing to target instance");
const NOT_READ: ReplyError = ReplyError::new("IOERR error or timeout reading to target instance");
const GIVEN_UP: ReplyError =
    ReplyError::new("IOERR given up before the target instance has replied, as a key of it could not wait any longer");
const ROLE_CHANGED: ReplyError =
    ReplyError::new("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)");

/// The arguments that logs and MONITOR do not show.
fn secrets(line: Args<'_>) -> Vec<usize> {
    let (mut secrets, mut at) = (Vec::new(), 6);
    while at < line.len() {
        let count = match at {
            _ if line.is(at, "KEYS") => break,
            _ if line.is(at, "AUTH") => 1,
            _ if line.is(at, "AUTH2") => 2,
            _ => 0,
        };
        secrets.extend(at + 1..line.len().min(at + 1 + count));
        at += 1 + count;
    }
    secrets
}

/// What a line asks for.
#[derive(Debug)]
struct Request {
    /// `None` for a port that there cannot be.
    target: Option<ServerAddress>,
    db: i64,
    timeout_ms: u64,
    copy: bool,
    replace: bool,
    /// AUTH with what follows it.
    auth: Option<Vec<Box<[u8]>>>,
    /// Where the keys begin in the line, and where they end.
    keys: std::ops::Range<usize>,
}

impl Request {
    fn parse(args: Args<'_>) -> Result<Request, ReplyError> {
        let (mut copy, mut replace, mut auth, mut keys, mut at) = (false, false, None, 3..4, 6);
        while at < args.len() {
            let secrets = |count: usize| match at + count < args.len() {
                true => {
                    Ok(Some([b"AUTH".as_slice()].into_iter().chain((1..=count).map(|i| args.at(at + i))).collect()))
                }
                false => Err(ReplyError::SYNTAX),
            };
            if args.is(at, "COPY") {
                copy = true;
            } else if args.is(at, "REPLACE") {
                replace = true;
            } else if args.is(at, "AUTH") {
                auth = secrets(1)?;
                at += 1;
            } else if args.is(at, "AUTH2") {
                auth = secrets(2)?;
                at += 2;
            } else if args.is(at, "KEYS") {
                if !args.at(3).is_empty() {
                    return Err(KEY_BESIDE_KEYS);
                }
                keys = at + 1..args.len();
                break;
            } else {
                return Err(ReplyError::SYNTAX);
            }
            at += 1;
        }
        let auth = auth.map(|words: Vec<&[u8]>| words.into_iter().map(Box::from).collect());
        let timeout_ms = num::parse_i64(args.at(5)).ok_or(ReplyError::NOT_AN_INTEGER)?;
        let timeout_ms = u64::try_from(timeout_ms).ok().filter(|ms| *ms > 0).unwrap_or(TIMEOUT_MS);
        let db = num::parse_i64(args.at(4)).ok_or(ReplyError::NOT_AN_INTEGER)?;
        let host = String::from_utf8_lossy(args.at(1)).into_owned();
        let target = port(args.at(2)).map(|port| ServerAddress { host, port });
        Ok(Request { target, db, timeout_ms, copy, replace, auth, keys })
    }
}

/// The port that a text begins with, as C's `atoi` takes it: what is no number is 0, at which nobody listens.
fn port(text: &[u8]) -> Option<u16> {
    let text = text.trim_ascii_start();
    let text = text.strip_prefix(b"+").unwrap_or(text);
    if text.starts_with(b"-") {
        return None;
    }
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    u16::try_from(digits.fold(0_u32, |port, digit| port.saturating_mul(10).saturating_add(u32::from(digit - b'0'))))
        .ok()
}

fn migrate(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    if let Some(moved) = ctx.gathered::<Moved>() {
        return finish(ctx, *moved);
    }
    let request = Request::parse(args)?;
    let at = ctx.at;
    let mut keys: Vec<Box<[u8]>> = Vec::new();
    for key in request.keys.clone().map(|index| args.at(index)) {
        if ctx.db().lookup_read(key, at).is_some() {
            keys.push(key.into());
        }
    }
    if keys.is_empty() {
        ctx.reply.simple("NOKEY");
        return Ok(Next::Done);
    }
    if !ctx.may_become_job() {
        return Err(CANNOT_WAIT);
    }
    let Some(target) = request.target.clone() else { return Err(NOT_CONNECTED) };
    ctx.become_job(Migrating::new(request, target, keys))
}

/// What has become of the keys.
#[derive(Debug)]
struct Moved {
    /// Those that the target has taken, unless they are to stay.
    keys: Vec<Box<[u8]>>,
    error: Option<ReplyError>,
}

fn finish(ctx: &mut Ctx<'_>, moved: Moved) -> Outcome {
    if is_replica(ctx.server) {
        // They are the primary's.
        return Err(ROLE_CHANGED);
    }
    let at = ctx.at;
    let mut gone = Vec::new();
    for key in &moved.keys {
        // One that has fallen due has gone by itself.
        if let Some(entry) = ctx.db().remove(key, at) {
            ctx.server.discard(entry);
            ctx.change(Change::new(EventClass::Generic, "del", key));
            gone.push(&**key);
        }
    }
    if !gone.is_empty() {
        ctx.propagate_as(|lines| lines.push([b"DEL".as_slice()].into_iter().chain(gone.iter().copied())));
    }
    match moved.error {
        Some(error) => Err(error),
        None => {
            ctx.reply.ok();
            Ok(Next::Done)
        }
    }
}

/// True if clients may not change anything here.
fn is_replica(server: &Server) -> bool {
    server.replication.is_following() && server.config.replica_read_only
}

/// What a reply that is to come is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// AUTH or SELECT.
    Greeting,
    /// The key of this index.
    Key(usize),
}

/// Keys that are being moved.
#[derive(Debug)]
struct Migrating {
    request: Request,
    target: ServerAddress,
    keys: Vec<Box<[u8]>>,
    /// The number of the connection.
    connection: Option<u64>,
    /// The next address of the target's name that is tried, if the one before could not be reached; the connection is a new one then,
    /// and likewise for the second time that all is sent.
    nth: Option<u32>,
    /// It may all be sent a second time.
    may_retry: bool,
    has_greeted: bool,
    /// AUTH and SELECT have been answered.
    is_known: bool,
    /// The replies that are to come, the next one first.
    awaited: VecDeque<About>,
    /// The key that is dumped next.
    next: usize,
    /// How far that is, if it is a long value.
    dumping: Option<Dumping>,
    /// Keys that the target has taken.
    taken: Vec<usize>,
    /// The first of the target's errors.
    refusal: Option<Box<[u8]>>,
    /// Nothing counts as taken: the target does not know who we are, or does not have the database.
    is_refused: bool,
    /// A reply has come: nothing is sent a second time.
    has_replied: bool,
    /// How far the connection had got when it last got on, and the monotonic millisecond of that.
    progress: Option<u64>,
    since_ms: u64,
    /// Something may have reached the target.
    has_posted: bool,
}

impl Migrating {
    fn new(request: Request, target: ServerAddress, keys: Vec<Box<[u8]>>) -> Migrating {
        Migrating {
            request,
            target,
            keys,
            connection: None,
            nth: None,
            may_retry: true,
            has_greeted: false,
            is_known: false,
            awaited: VecDeque::new(),
            next: 0,
            dumping: None,
            taken: Vec::new(),
            refusal: None,
            is_refused: false,
            has_replied: false,
            progress: None,
            since_ms: 0,
            has_posted: false,
        }
    }

    /// True if all has been dumped that is to be sent.
    fn is_dumped(&self) -> bool {
        self.is_refused || self.next == self.keys.len()
    }

    /// Begins anew with another connection.
    fn restart(&mut self, server: &mut Server, nth: u32) -> Step {
        if let Some(number) = self.connection.take() {
            server.drop_target(number);
        }
        self.nth = Some(nth);
        (self.has_greeted, self.is_known, self.next, self.dumping) = (false, false, 0, None);
        self.awaited.clear();
        Step::More
    }

    /// Hands over to the handler. The target's own error comes first.
    fn end_with(&mut self, server: &mut Server, error: Option<ReplyError>) -> Step {
        if let Some(number) = self.connection.take() {
            if error.is_none() && self.awaited.is_empty() {
                let selected = self.refusal.is_none().then_some(self.request.db);
                server.release_target(number, selected, server.clock.now().mono_ms());
            } else {
                server.drop_target(number);
            }
        }
        let refused = self.refusal.take();
        let refused = refused
            .map(|text| ReplyError::owned([b"ERR Target instance replied with error: ".as_slice(), &text].concat()));
        let keys = match self.request.copy {
            true => Vec::new(),
            false => self.taken.iter().map(|index| std::mem::take(&mut self.keys[*index])).collect(),
        };
        Step::Gathered(Box::new(Moved { keys, error: refused.or(error) }))
    }

    /// The connection is gone.
    fn lost(&mut self, server: &mut Server, lost: TargetLost, next_address: Option<u32>) -> Step {
        let unsent_bytes = match lost {
            TargetLost::Broken { unsent_bytes } => unsent_bytes,
            TargetLost::Unreachable | TargetLost::Refused => {
                if let Some(nth) = next_address {
                    return self.restart(server, nth);
                }
                let error = if lost == TargetLost::Refused { NOT_WRITTEN } else { NOT_CONNECTED };
                return self.end_with(server, Some(error));
            }
        };
        if self.may_retry && !self.has_replied {
            self.may_retry = false;
            return self.restart(server, self.nth.unwrap_or(0));
        }
        let error = self.error_of(unsent_bytes);
        self.end_with(server, Some(error))
    }

    /// What was being done when nothing more could be: writing, if something was left to be written then.
    fn error_of(&self, unsent_bytes: u64) -> ReplyError {
        let is_dumping = self.is_known && !self.is_dumped();
        if is_dumping || unsent_bytes > 0 { NOT_WRITTEN } else { NOT_READ }
    }

    /// Nothing has happened for too long.
    fn timed_out(&mut self, server: &mut Server, number: u64) -> Step {
        let error = match self.progress {
            None => NOT_CONNECTED,
            Some(_) => self.error_of(server.unsent_to_target(number)),
        };
        self.end_with(server, Some(error))
    }

    /// Says who we are and which database is meant, if that is to be said.
    fn greet(&mut self, server: &mut Server, number: u64) {
        let Some(connection) = server.targets.get_mut(number) else { return };
        let (mut out, mut replies) = (Out::default(), 0);
        if let Some(words) = &self.request.auth {
            push_words(&mut out, words.iter().map(|word| &**word));
            replies += 1;
        }
        if connection.selected != Some(self.request.db) {
            push_words(&mut out, [b"SELECT".as_slice(), self.request.db.to_string().as_bytes()].into_iter());
            connection.selected = None;
            replies += 1;
        }
        (self.has_greeted, self.is_known) = (true, replies == 0);
        self.awaited.extend([About::Greeting; 2].into_iter().take(replies));
        if replies > 0 {
            self.has_posted = true;
            server.post_to_target(number, out, replies);
        }
    }

    fn take_replies(&mut self, server: &mut Server, number: u64) {
        let Some(connection) = server.targets.get_mut(number) else { return };
        while let Some(reply) = connection.next_reply() {
            let Some(about) = self.awaited.pop_front() else { return };
            self.has_replied = true;
            match (about, reply) {
                (About::Key(index), TargetReply::Ok) => self.taken.push(index),
                (About::Greeting, TargetReply::Ok) => {}
                (about, TargetReply::Error(text)) => {
                    self.is_refused |= about == About::Greeting;
                    self.refusal.get_or_insert(text);
                }
            }
        }
        // COMPAT: Redis sends the keys before it knows, and they come into the wrong database.
        self.is_known |= self.has_greeted && !self.awaited.contains(&About::Greeting) && !self.is_refused;
    }

    /// Dumps and posts keys as long as the slice lasts and not too much waits to be sent. False if the slice is over.
    fn dump(&mut self, server: &mut Server, db: usize, number: u64, slice: &mut Slice<'_>, now_ms: u64) -> bool {
        while !self.is_dumped() {
            if server.unsent_to_target(number) >= UNSENT_BYTES_MAX {
                return true;
            }
            let bytes = self.dump_some(server, db, number);
            self.since_ms = now_ms;
            if !slice.spend(1, bytes) {
                return false;
            }
        }
        true
    }

    /// Dumps the next key, or a part of it. How many bytes that were.
    fn dump_some(&mut self, server: &mut Server, db: usize, number: u64) -> usize {
        let (asked, compress) = asked_form(&server.config);
        let (unix_ms, limits) = (server.clock.now().unix_ms, server.jobs.limits);
        let key = &*self.keys[self.next];
        let Some(entry) = server.dbs[db].peek(key) else {
            debug_assert!(false, "a key that is held has gone");
            self.next += 1;
            return 0;
        };
        let ttl_ms = entry.deadline_ms().map_or(0, |deadline_ms| deadline_ms.saturating_sub(unix_ms).max(1));
        if entry.deadline_ms().is_some_and(|deadline_ms| deadline_ms < unix_ms) {
            // It has fallen due since.
            (self.next, self.dumping) = (self.next + 1, None);
            return 0;
        }
        if self.dumping.is_none() && is_long(&entry, limits) {
            self.dumping = Some(Dumping::begin(&entry, payload::version_for(&entry, asked), compress));
        }
        let mut out = Out::default();
        let bytes = match &mut self.dumping {
            None => {
                let payload = payload::dump_as(&entry, payload::version_for(&entry, asked), compress);
                push_restore(&mut out, key, ttl_ms, payload.len(), self.request.replace, |out| out.push(&payload));
                payload.len()
            }
            Some(dumping) => {
                let before = dumping.bytes();
                let is_whole = dumping.go_on(&entry);
                let bytes = dumping.bytes();
                if !is_whole {
                    return bytes - before;
                }
                push_restore(&mut out, key, ttl_ms, bytes, self.request.replace, |out| {
                    dumping.pieces().iter().for_each(|piece| out.push_shared(piece));
                });
                bytes - before
            }
        };
        self.awaited.push_back(About::Key(self.next));
        (self.next, self.dumping, self.has_posted) = (self.next + 1, None, true);
        server.post_to_target(number, out, 1);
        bytes
    }

    fn set_due(&self, server: &mut Server, number: u64) {
        let due_ms = self.since_ms.saturating_add(self.request.timeout_ms);
        if let Some(connection) = server.targets.get_mut(number) {
            connection.due_ms = Some(due_ms);
        }
    }
}

/// Appends a command.
fn push_words<'a>(out: &mut Out, words: impl ExactSizeIterator<Item = &'a [u8]>) {
    out.push(format!("*{}\r\n", words.len()).as_bytes());
    words.for_each(|word| push_word(out, word));
}

fn push_word(out: &mut Out, word: &[u8]) {
    out.push(format!("${}\r\n", word.len()).as_bytes());
    out.push(word);
    out.push(b"\r\n");
}

/// Appends a RESTORE, whose payload of so many bytes `push` appends.
fn push_restore(out: &mut Out, key: &[u8], ttl_ms: i64, bytes: usize, replace: bool, push: impl FnOnce(&mut Out)) {
    out.push(if replace { b"*5\r\n" } else { b"*4\r\n" });
    push_word(out, b"RESTORE");
    push_word(out, key);
    push_word(out, ttl_ms.to_string().as_bytes());
    out.push(format!("${bytes}\r\n").as_bytes());
    push(out);
    out.push(b"\r\n");
    if replace {
        push_word(out, b"REPLACE");
    }
}

impl Job for Migrating {
    fn step(&mut self, work: &mut Work<'_>) -> Step {
        let Work { server, slice, db, .. } = work;
        let now_ms = server.clock.now().mono_ms();
        if let Some(number) = self.connection {
            self.take_replies(server, number);
        }
        if is_replica(server) {
            return self.end_with(server, Some(ROLE_CHANGED));
        }
        let is_over = self.has_greeted && self.is_dumped() && self.awaited.is_empty();
        if is_over {
            return self.end_with(server, None);
        }
        if slice.is_endless() {
            return self.end_with(server, Some(GIVEN_UP));
        }
        if self.connection.is_none() {
            self.connection = server.use_target(&self.target, self.request.auth.is_some(), self.nth);
            (self.progress, self.since_ms) = (None, now_ms);
        }
        let Some(number) = self.connection else { return self.end_with(server, Some(NOT_CONNECTED)) };
        let state = server.targets.get_mut(number).map(|connection| (connection.state, connection.next_address()));
        let mut is_slice_left = true;
        match state {
            None => return self.end_with(server, Some(NOT_CONNECTED)),
            Some((TargetState::Lost(lost), next_address)) => return self.lost(server, lost, next_address),
            Some((TargetState::Wanted, _)) => {}
            Some((TargetState::Open(_), _)) => {
                if !self.has_greeted {
                    self.greet(server, number);
                }
                if self.is_known && !self.is_dumped() {
                    is_slice_left = self.dump(server, *db, number, slice, now_ms);
                }
            }
        }
        let progress = server.target_progress(number);
        if progress != self.progress {
            (self.progress, self.since_ms) = (progress, now_ms);
        } else if now_ms >= self.since_ms.saturating_add(self.request.timeout_ms) {
            return self.timed_out(server, number);
        }
        self.set_due(server, number);
        let is_resting = self.is_known && !self.is_dumped() && is_slice_left;
        if let Some(connection) = server.targets.get_mut(number) {
            connection.is_resting = is_resting;
        }
        if self.is_dumped() && self.awaited.is_empty() && self.has_greeted || !is_slice_left {
            Step::More
        } else {
            Step::Waits
        }
    }

    fn waits_outside(&self) -> bool {
        true
    }

    fn needs_keys(&self) -> bool {
        !(self.request.copy && self.has_replied && self.is_dumped())
    }

    fn outlives_client(&self) -> bool {
        self.has_posted
    }

    fn end(&mut self, server: &mut Server, _: usize) {
        if let Some(number) = self.connection.take() {
            server.drop_target(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::args::OwnedArgs;

    #[test]
    fn a_port_is_read_as_by_atoi() {
        for (text, expected) in [("6379", Some(6379)), (" +80x", Some(80)), ("x", Some(0)), ("", Some(0))] {
            assert_eq!(port(text.as_bytes()), expected, "{text}");
        }
        for text in ["65536", "-1", "99999999999999999999"] {
            assert_eq!(port(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn passwords_and_names_are_secrets_and_keys_are_not() {
        let secrets = |line: &str| secrets(OwnedArgs::new(line.split(' ').map(str::as_bytes)).as_args());
        assert_eq!(secrets("MIGRATE h 1 k 0 1 COPY AUTH pw REPLACE"), [8]);
        assert_eq!(secrets("MIGRATE h 1 k 0 1 auth2 name pw KEYS auth x"), [7, 8]);
        assert_eq!(secrets("MIGRATE h 1 k 0 1 AUTH2 name"), [7]);
        assert_eq!(secrets("MIGRATE h 1 k 0 1 AUTH"), [0; 0]);
    }
}
