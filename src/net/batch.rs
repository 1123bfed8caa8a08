//! Commands on their way from bytes to the engine: parsed together, so that one's keys load while another is parsed, then
//! run one after the other. The loop decides whose commands, and when.

use std::ops::Range;

use crate::base::clock::Now;
use crate::base::heap;
use crate::command::spec::Flags;
use crate::command::{self, Command};
use crate::engine::dispatch::{Line, Ran, execute};
use crate::feature::client_id::ClientId;
use crate::resp::args::{Args, OwnedArgs, Span};
use crate::resp::error::ProtocolError;
use crate::resp::out::Out;
use crate::resp::parse::{Limits, Parsed};
use crate::server::Server;
use crate::server::ctx::Next;
use crate::server::observer::{QUICK, SHARED_ARGS_MAX, SHARED_BYTES_MAX};
use crate::store::db::Db;
use crate::store::prefetch::MemberLookup;

use super::input::{Input, Source};

/// Commands parsed together, so that their keys' cache lines load while the earlier ones run. Enough to cover the
/// memory's latency, few enough to stay in the first-level cache.
pub(super) const BATCH_MAX: usize = 32;
/// Once a turn has worked this long, each client runs one command at most: reached only by slow commands.
const SLOW_TURN_NS: u64 = 2_000_000;
/// Arguments whose room is kept for the next batch: 128 KiB.
const SPANS_KEPT_MAX: usize = 16 * 1024;
/// One parsed command of a batch.
#[derive(Debug)]
pub(super) struct Parse {
    /// Offset of its first byte.
    start: usize,
    /// Offset after its last byte.
    end: usize,
    /// Its spans in the batch's list.
    spans: Range<usize>,
    /// Its row, if the name is known.
    command: Option<&'static Command>,
    /// The hash of its first key, if it has one.
    pub(super) hash: Option<u64>,
    /// The arguments of an inline command, or of one with a large argument, which are not in the input.
    inline: Option<OwnedArgs>,
    /// See [`Line::timed_with_next`].
    timed_with_next: bool,
}

impl Parse {
    #[inline]
    fn is_short(&self) -> bool {
        self.spans.len() <= SHARED_ARGS_MAX && self.end - self.start < SHARED_BYTES_MAX
    }
}

/// Parsed commands, of one connection or of several that were ready together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Arguments of all its commands.
    pub(super) spans: Vec<Span>,
    /// The commands, in order.
    pub(super) commands: Vec<Parse>,
    /// True if one of them looks a member up.
    looks_up: bool,
}

impl Batch {
    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        heap::vec(&self.spans) + heap::vec(&self.commands)
    }

    /// Starts loading the members that some of the commands, which lie in `bytes`, are about to look up.
    #[inline]
    pub(super) fn prefetch_members(&self, db: &Db, commands: Range<usize>, bytes: &[u8]) {
        if self.looks_up {
            let lookups: Vec<_> =
                self.commands[commands].iter().filter_map(|parse| lookup(parse, &self.spans, bytes)).collect();
            db.prefetch_members(&lookups);
        }
    }

    /// Adds a command. Fast ones that follow each other are timed together, if they are the same: for them a look at the
    /// clock would cost a tenth of the work.
    #[inline]
    fn push(&mut self, parse: Parse) {
        if let Some(last) = self.commands.last_mut() {
            let both = last.command.zip(parse.command).filter(|_| last.is_short());
            last.timed_with_next = both.is_some_and(|(a, b)| std::ptr::eq(a, b) && a.spec.flags.has(QUICK));
        }
        self.commands.push(parse);
    }

    /// Adds a command whose arguments are not in the input, but in memory of their own.
    fn push_owned(&mut self, place: Range<usize>, args: OwnedArgs) {
        let (command, spans) = (command::lookup(args.as_args().at(0)), self.spans.len()..self.spans.len());
        let (start, end, inline) = (place.start, place.end, Some(args));
        self.push(Parse { start, end, spans, command, hash: None, inline, timed_with_next: false });
    }

    /// Its only command, if there is but one and that runs in no time.
    #[inline]
    pub(super) fn one_quick(&self) -> Option<&'static Command> {
        let [only] = &*self.commands else { return None };
        only.command.filter(|command| command.spec.flags.has(QUICK) && only.is_short())
    }

    /// The first key of one of the commands, which lie in `bytes`, if it has one.
    #[cold]
    pub(super) fn first_key<'b>(&'b self, index: usize, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let parse = &self.commands[index];
        let args = match &parse.inline {
            None => Args::new(&bytes[parse.start..], &self.spans[parse.spans.clone()]),
            Some(owned) => owned.as_args(),
        };
        parse.command?.spec.first_key(args)
    }

    /// Forgets the commands; keeps a bounded room for the next ones.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.spans.clear();
        if self.spans.capacity() > SPANS_KEPT_MAX {
            self.spans.shrink_to(SPANS_KEPT_MAX);
        }
        self.commands.clear();
        self.looks_up = false;
    }
}

/// What one connection contributed to the gathered batch.
#[derive(Debug)]
pub(super) struct Segment {
    /// Index of the connection.
    pub(super) client: ClientId,
    /// Its bytes.
    pub(super) source: Source,
    /// Its commands in the batch.
    pub(super) commands: Range<usize>,
    /// How its parse ended.
    pub(super) end: BatchEnd,
}

/// How a batch ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum BatchEnd {
    /// A command is not complete; its first byte is here.
    Partial(usize),
    /// The batch is full; more may follow here.
    More(usize),
    /// The request breaks the protocol.
    Error(ProtocolError),
}

/// Parses up to `most` commands of a connection from `at` on, onto the batch, and starts loading their keys' buckets.
pub(super) fn parse_batch(
    input: &mut Input,
    batch: &mut Batch,
    server: &Server,
    client: ClientId,
    bytes: &[u8],
    mut at: usize,
    most: usize,
) -> BatchEnd {
    let session = &server.clients[client];
    let db = &server.dbs[session.db];
    let limits = Limits {
        bulk_bytes_max: server.config.proto_max_bulk_len as i64,
        authenticated: session.authenticated || !server.needs_auth(client),
    };
    // The limits end with authentication, so nothing after the command that may bring it is parsed before it has run.
    let full = batch.commands.len() + if limits.authenticated { most } else { 1 };
    let mut first_span = batch.spans.len();
    input.resume(&mut batch.spans);
    while batch.commands.len() < full {
        if at == bytes.len() {
            // What came ended with a command, as it does unless the client is sending more than fits one packet.
            return BatchEnd::Partial(at);
        }
        match input.parse(bytes, at, limits, &mut batch.spans, first_span) {
            Ok(Parsed::Command(taken)) => {
                let spans = first_span..batch.spans.len();
                let args = Args::new(&bytes[at..], &batch.spans[spans.clone()]);
                if let Some((index, body)) = input.take_body() {
                    let args = Args::new(&bytes[at..at + taken], &batch.spans[spans]);
                    let (end, args) = (at + taken, OwnedArgs::with_shared(args, index, body));
                    batch.spans.truncate(first_span);
                    batch.push_owned(at..end, args);
                    at = end;
                    continue;
                }
                let command = command::lookup(args.at(0));
                let key = command.and_then(|command| command.spec.first_key(args));
                let hash = key.map(|key| db.prefetch_bucket(key));
                if let (Some(hash), Some(command)) = (hash, command) {
                    batch.looks_up |= command.spec.looks_up();
                    if command.spec.flags.has(Flags::WRITE) {
                        server.watchers.reactive.prefetch(hash);
                    }
                }
                first_span = spans.end;
                let end = at + taken;
                batch.push(Parse { start: at, end, spans, command, hash, inline: None, timed_with_next: false });
                at = end;
            }
            Ok(Parsed::Inline(taken, args)) => {
                let end = at + taken;
                batch.push_owned(at..end, OwnedArgs::new(args.iter().map(Vec::as_slice)));
                at = end;
            }
            Ok(Parsed::Empty(taken)) => at += taken,
            Ok(Parsed::Incomplete(needed)) => {
                input.suspend(needed, &mut batch.spans, first_span);
                return BatchEnd::Partial(at);
            }
            Err(error) => return BatchEnd::Error(error),
        }
    }
    BatchEnd::More(at)
}

/// What a command is about to look up in a collection, as far as its row tells.
fn lookup<'b>(parse: &Parse, spans: &'b [Span], bytes: &'b [u8]) -> Option<MemberLookup<'b>> {
    let (hash, spec) = (parse.hash?, &parse.command?.spec);
    let args = Args::new(&bytes[parse.start..], &spans[parse.spans.clone()]);
    Some((hash, spec.first_key(args)?, spec.first_member(args)?))
}

/// Parsed commands of one connection, with what they lie in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Commands<'b> {
    /// The commands, in order.
    pub parsed: &'b [Parse],
    /// The arguments of their batch.
    pub spans: &'b [Span],
    /// The bytes they were parsed from.
    pub bytes: &'b [u8],
}

/// Runs commands of one connection. `Some(offset)` when it has to stop there: it waits, closes, or has had its part of
/// the turn.
pub(super) fn run_batch(
    server: &mut Server,
    client: ClientId,
    commands: Commands<'_>,
    out: &mut Out,
    now: Now,
    time_ns: &mut u64,
) -> Option<usize> {
    let stopped = run_some(server, client, commands, out, now, time_ns);
    server.count_in_row(client);
    stopped
}

#[inline(always)]
fn run_some(
    server: &mut Server,
    client: ClientId,
    commands: Commands<'_>,
    out: &mut Out,
    now: Now,
    time_ns: &mut u64,
) -> Option<usize> {
    let Commands { parsed, spans, bytes } = commands;
    for parse in parsed {
        let args = match &parse.inline {
            None => Args::new(&bytes[parse.start..], &spans[parse.spans.clone()]),
            Some(owned) => owned.as_args(),
        };
        let (named, hash, timed_with_next) = (parse.command, parse.hash, parse.timed_with_next);
        let line = Line { args, named, hash, timed_with_next };
        let ran = execute(server, client, line, out, now, time_ns);
        if out.is_cut() {
            // Its client is disconnected: nothing more runs for it.
            return Some(parse.end);
        }
        match ran {
            Ran::Now(Next::Done | Next::RunQueue) if *time_ns - now.mono_ns > SLOW_TURN_NS => return Some(parse.end),
            // A queue or a script has run when its command returns, and what was to be loaded is there.
            Ran::Now(Next::Done | Next::RunQueue | Next::RunScript | Next::Load(_)) => {}
            Ran::Now(Next::Close) => {
                server.clients[client].closing = true;
                return Some(bytes.len());
            }
            Ran::Now(Next::Sleep { .. } | Next::Block) => return Some(parse.end),
            Ran::Now(Next::Shutdown) => {
                server.process.stop_requested = true;
                return Some(parse.end);
            }
            Ran::Held | Ran::Now(Next::Job) => return Some(parse.start),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_quick_commands_with_few_arguments_are_timed_with_the_next_and_only_if_it_is_the_same() {
        let mut batch = Batch::default();
        for name in ["GET", "get", "SET", "SET", "LRANGE", "LRANGE", "nonsense", "nonsense", "GET"] {
            let command = command::lookup(name.as_bytes());
            let (spans, hash, inline) = (0..2, None, None);
            batch.push(Parse { start: 0, end: 0, spans, command, hash, inline, timed_with_next: false });
        }
        for args in [9, 8, 2] {
            let (spans, command, hash, inline) = (0..args, command::lookup(b"SADD"), None, None);
            batch.push(Parse { start: 0, end: 0, spans, command, hash, inline, timed_with_next: false });
        }
        let together: Vec<bool> = batch.commands.iter().map(|parse| parse.timed_with_next).collect();
        assert_eq!(together, [true, false, true, false, false, false, false, false, false, false, true, false]);
    }
}
