//! Long commands as jobs: what a command is that answers slice by slice, which are under way, and who waits for them.
//!
//! A handler that finds its input long ([`Ctx::is_long`](super::ctx::Ctx::is_long), [`Limits::is_long`]) answers nothing and
//! leaves a [`Job`] behind. The engine runs the jobs in turns of the loop, some tenths of a millisecond in each, while others are
//! served; their clients wait. The reply comes into an output of the job's own, and reaches the client when it is whole.
//!
//! # One instant
//! A job answers as of the moment at which it began. The keys that its line reads are held until it is through: they neither
//! change nor leave (`store::hold`), and whoever would change one waits, as for a snapshot. The key that its line writes is held
//! as a target: others read it, but nobody changes it, and no job that would read it begins. What a job has gathered is put in
//! place in one piece, by its handler, which runs once more when the holds have ended: so the command has its effect at
//! its end, on sources that are what they were.
//!
//! A walk over all keys holds none of them; see `store::hold` for how it keeps to its instant. A job that learns only as it goes
//! which keys it reads holds its whole database against writers ([`Job::holds_database`]), and does not begin before what is
//! about to be written there has been. Keys that fall due leave all the same.
//!
//! # Nobody waits for ever
//! - A job takes all of its holds when it begins, and waits for nobody afterwards: so jobs do not wait for each other. (Those that take
//!   them over several turns have rules of their own: [`super::pieces`].)
//! - A command that is held back because of what it writes has a claim on that: no job begins to read it before the command has
//!   run. One that is held back because of what it reads has a claim against those who would have that for themselves. A job that
//!   would have to wait for a claim or a target is held back as well, with its client, and tries again when either has gone.
//! - What cannot wait (a script that meets a key it has not named, a client that is served) has the jobs in its way run to
//!   their ends at once. [`Counts::rushed`] counts that.
//!
//! What changes data piece by piece, or reads very many keys, is a job of another kind: see [`super::pieces`].
//!
//! Holds no key itself: databases do. Knows nothing of what a job does.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;

use crate::base::clock::Clock;
use crate::command::Command;
use crate::feature::client_id::ClientId;
use crate::feature::reactive::QueryId;
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::out::Out;
use crate::resp::reply::{Proto, Reply};
use crate::store::hold::Hold;
use crate::store::types::{Collection, Object, SIZE_SAMPLES};

use super::Server;
use super::pieces::{Pieces, Piecewise, Queue, Told};

/// Jobs under way at most. Commands that would be more wait until one is through.
pub const JOBS_MAX: usize = 64;
/// The same of those that wait for what happens outside: they shall not keep others from beginning.
pub const JOBS_OUTSIDE_MAX: usize = 32;

/// Elements from which on a command is long: some tenths of a millisecond of work.
const LONG_ELEMENTS: usize = 4096;
/// Nanoseconds of a turn that jobs have together.
const SLICE_NS: u64 = 500_000;
/// Elements that jobs may go by in a turn, should the clock stand still.
const SLICE_ELEMENTS: usize = 1 << 16;
/// Nanoseconds from which on a command inside of a transaction or a script is counted as long.
const WHOLE_NS_MIN: u64 = 1_000_000;
/// Elements between two looks at the clock: a few microseconds of work.
const LOOK_EVERY: usize = 64;
/// Bytes from which on a command of fewer elements is long: as much time to copy them.
const LONG_BYTES: usize = 1 << 20;
/// Elements up to which a command is never long: a value as long as that is sent by reference, or is long by itself.
const FEW_ELEMENTS: usize = 64;
/// Bytes that an element takes in a payload, if it is a short one.
const PAYLOAD_BYTES_AN_ELEMENT: usize = 16;
/// Bytes that cost as much to copy as an element does.
const BYTES_AN_ELEMENT: usize = 256;

/// What makes a command long, and how much of it is done in a turn. DEBUG JOBS changes it, for tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A command that goes by more elements than this is long.
    pub long: usize,
    /// And so is one whose line has more arguments than this.
    pub line: usize,
    /// Nanoseconds of a turn that jobs have together.
    pub slice_ns: u64,
    /// Elements that jobs go by in a turn at most.
    pub slice_elements: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { long: LONG_ELEMENTS, line: LONG_ELEMENTS, slice_ns: SLICE_NS, slice_elements: SLICE_ELEMENTS }
    }
}

/// How long a job may go on.
#[derive(Debug)]
pub struct Slice<'c> {
    clock: &'c dyn Clock,
    ends_ns: u64,
    /// Elements until it ends at the latest.
    left: usize,
    /// Elements until the next look at the clock.
    until_look: usize,
}

impl<'c> Slice<'c> {
    /// One that ends at this monotonic nanosecond, or after so many elements.
    pub fn new(clock: &'c dyn Clock, ends_ns: u64, elements: usize) -> Slice<'c> {
        Slice { clock, ends_ns, left: elements, until_look: LOOK_EVERY }
    }

    /// One without an end.
    pub fn endless(clock: &'c dyn Clock) -> Slice<'c> {
        Slice::new(clock, u64::MAX, usize::MAX)
    }

    /// Takes note that elements of so many bytes together were gone by. False if that was the last of this slice.
    #[inline]
    pub fn spend(&mut self, elements: usize, bytes: usize) -> bool {
        let spent = elements + bytes / BYTES_AN_ELEMENT;
        self.left = self.left.saturating_sub(spent);
        if self.until_look > spent {
            self.until_look -= spent;
        } else {
            self.until_look = LOOK_EVERY;
            if self.clock.mono_ns() >= self.ends_ns {
                self.left = 0;
            }
        }
        self.left > 0
    }

    /// Elements that are left of it.
    pub fn left(&self) -> usize {
        self.left
    }

    /// True if it has no end: somebody cannot wait.
    pub fn is_endless(&self) -> bool {
        self.ends_ns == u64::MAX
    }
}

/// How far a job has come.
#[derive(Debug)]
pub enum Step {
    /// There is more to do.
    More,
    /// There is nothing to do before something has happened outside of this server.
    Waits,
    /// The reply is whole.
    Answered,
    /// The handler can finish with this, which it takes by [`Ctx::gathered`](super::ctx::Ctx::gathered). Nothing was written.
    Gathered(Box<dyn Any + Send>),
    /// What it reads is not there any more: a fault of the server.
    Lost,
}

/// What a job sees of the server.
#[derive(Debug)]
pub struct Work<'w> {
    /// The server.
    pub server: &'w mut Server,
    /// The job's own reply.
    pub reply: Reply<'w>,
    /// How long it may go on.
    pub slice: Slice<'w>,
    /// Place of the database that its client had selected.
    pub db: usize,
}

/// A command that runs slice by slice. It owns what it needs: its handler has returned.
pub trait Job: Send + fmt::Debug {
    /// To be called when the job has become one, before anything changes.
    fn begin(&mut self, server: &mut Server, db: usize) {
        let _ = (server, db);
    }

    /// Goes on until the slice is over; at least one element, however short that is.
    fn step(&mut self, work: &mut Work<'_>) -> Step;

    /// True if writers of its database have to wait, whatever they write.
    fn holds_database(&self, server: &Server, db: usize) -> bool {
        let _ = (server, db);
        false
    }

    /// True for a job that waits for what happens outside of this server.
    fn waits_outside(&self) -> bool {
        false
    }

    /// False once the keys of its line may change.
    fn needs_keys(&self) -> bool {
        true
    }

    /// True if it is not given up when its client goes, as something depends on it outside of this server.
    fn outlives_client(&self) -> bool {
        false
    }

    /// To be called when the job is over, or given up.
    fn end(&mut self, server: &mut Server, db: usize) {
        let _ = (server, db);
    }
}

/// A job under way.
#[derive(Debug)]
pub struct Running {
    /// Whose it is.
    pub client: ClientId,
    /// The command.
    pub command: &'static Command,
    /// Its arguments.
    pub args: OwnedArgs,
    /// The protocol that it is answered in.
    pub proto: Proto,
    /// Place of the database.
    pub db: usize,
    /// Its reply so far.
    pub out: Out,
    /// CLIENT REPLY keeps the reply back.
    pub is_muted: bool,
    /// Nanoseconds that it has taken so far.
    pub spent_ns: u64,
    /// The keys that it holds.
    pub holds: Vec<(Box<[u8]>, Hold)>,
    /// What it does.
    pub work: Doing,
    /// What it has gathered, while it may not be put in place.
    pub gathered: Option<Box<dyn Any + Send>>,
    /// Its client has gone, and it goes on by itself because it has begun to write.
    pub is_forsaken: bool,
}

/// What a job does.
#[derive(Debug)]
pub enum Doing {
    /// It reads, and leaves what it has gathered to its handler.
    Whole(Box<dyn Job>),
    /// It does its command piece by piece.
    Pieces(Box<Piecewise>),
}

/// What a handler asks for.
#[derive(Debug)]
pub enum Asked {
    /// A job that reads.
    Whole(Box<dyn Job>),
    /// A job that goes on piece by piece.
    Pieces(Box<dyn Pieces>),
    /// A transaction whose commands are run one by one.
    Queue(Queue),
}

impl Running {
    /// The pieces in which it is done, if it is.
    pub fn pieces(&self) -> Option<&Piecewise> {
        match &self.work {
            Doing::Pieces(pieces) => Some(pieces),
            Doing::Whole(_) => None,
        }
    }

    /// True if it has keys for itself, or will.
    pub fn is_exclusive(&self) -> bool {
        self.pieces().is_some_and(|pieces| pieces.hold == Hold::Exclusive)
    }

    /// True if it holds anything of its database.
    pub fn has_begun(&self) -> bool {
        self.pieces().is_none_or(|pieces| pieces.taken > 0)
    }

    /// True if it has changed something already.
    pub fn has_written(&self) -> bool {
        self.pieces().is_some_and(|pieces| pieces.has_written)
    }

    /// True if it waits for what happens outside of this server.
    pub fn waits_outside(&self) -> bool {
        matches!(&self.work, Doing::Whole(job) if job.waits_outside())
    }

    /// True if it cannot be given up: it has changed something, here or elsewhere.
    pub fn outlives_client(&self) -> bool {
        match &self.work {
            Doing::Whole(job) => job.outlives_client(),
            Doing::Pieces(pieces) => pieces.has_written,
        }
    }

    /// True if writers of its database have to wait, whatever they write.
    pub fn holds_database(&self, server: &Server) -> bool {
        match &self.work {
            Doing::Whole(job) => job.holds_database(server, self.db),
            Doing::Pieces(_) => false,
        }
    }
}

/// Something that a command that is held back is to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Place of the database.
    pub place: usize,
    /// The key; `None` for the whole database.
    pub key: Option<Box<[u8]>>,
    /// It is changed, and not only read.
    pub is_written: bool,
}

impl Claim {
    /// True if it is on a key.
    fn is_on(&self, place: usize, key: &[u8]) -> bool {
        self.place == place && self.key.as_ref().is_none_or(|name| **name == *key)
    }
}

/// A client whose command jobs hold back.
#[derive(Debug)]
pub struct Waiting {
    /// The client.
    pub client: ClientId,
    /// What its command uses: no job begins to read what it writes, nor to write what it reads.
    pub claims: Vec<Claim>,
    /// When it began to wait, among all who wait.
    pub ticket: u64,
}

/// What INFO says of jobs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Jobs that have begun.
    pub begun: u64,
    /// Jobs whose client went before they were through.
    pub cancelled: u64,
    /// Jobs that were run to their ends at once, for what could not wait.
    pub rushed: u64,
    /// Commands that jobs have held back.
    pub held_back: u64,
    /// Commands inside of transactions and scripts that took longer than a millisecond.
    pub whole: u64,
    /// Nanoseconds of the longest slice.
    pub slice_ns_max: u64,
}

/// The jobs of a server.
#[derive(Debug, Default)]
pub struct Jobs {
    /// What is long.
    pub limits: Limits,
    /// Those under way, the one whose turn is next first.
    pub running: VecDeque<Running>,
    /// Clients whose commands are held back, in the order in which that began.
    pub waiting: Vec<Waiting>,
    /// Jobs that have ended, or were given up.
    pub ended: u64,
    /// Some of them may try again.
    pub releases: bool,
    /// Things are due that have not been taken away.
    is_expiry_behind: bool,
    /// What a handler has left behind, until the engine has seen to it.
    pub asked: Option<Asked>,
    /// What a job has gathered, for its handler.
    pub gathered: Option<Box<dyn Any + Send>>,
    /// Of those under way, how many have keys for themselves, or will.
    pub exclusive: usize,
    /// The events that were told of the keys of the job that is at work, if it is done piece by piece.
    pub told: Option<Told>,
    /// A snapshot or a rewrite of the log is to begin when nothing is half done: no job begins to write before that.
    pub is_whole_wanted: bool,
    /// Queries that were touched and read what somebody has for himself: they are evaluated afterwards.
    pub aside: Vec<QueryId>,
    /// Tickets that were given to those who wait.
    tickets: u64,
    /// Counters.
    pub counts: Counts,
}

impl Limits {
    /// True if a command is long that goes by so many of the elements of a collection. O(1).
    #[inline]
    pub fn is_long<T: Collection>(&self, elements: usize, of: &T) -> bool {
        elements > self.long || (elements > FEW_ELEMENTS && Limits::is_heavy(elements, of))
    }

    /// True if a command is long that goes by all of a value. O(1).
    pub fn is_long_object(&self, of: &Object) -> bool {
        of.len() > self.long || of.heap_bytes(SIZE_SAMPLES) > LONG_BYTES
    }

    /// True if a command is long that goes by so many bytes of strings. O(1).
    #[inline]
    pub fn is_long_text(&self, bytes: usize) -> bool {
        bytes > self.long.saturating_mul(BYTES_AN_ELEMENT)
    }

    /// True if a command is long that makes a value of so many bytes, which may be many small elements. O(1).
    #[inline]
    pub fn is_long_payload(&self, bytes: usize) -> bool {
        bytes > self.long.saturating_mul(PAYLOAD_BYTES_AN_ELEMENT)
    }

    /// True if a command is long whose line has very many arguments, or many bytes in many arguments. O(1).
    #[inline]
    pub fn is_long_line(&self, args: Args<'_>) -> bool {
        args.len() > self.line || (args.len() > FEW_ELEMENTS && args.extent() > LONG_BYTES)
    }

    /// True if a transaction is long whose commands have so many words of so many bytes.
    pub fn is_long_queue(&self, words: usize, bytes: usize) -> bool {
        words > self.line || (words > FEW_ELEMENTS && bytes > LONG_BYTES)
    }

    fn is_heavy<T: Collection>(elements: usize, of: &T) -> bool {
        of.heap_bytes(SIZE_SAMPLES) / of.len().max(1) * elements > LONG_BYTES
    }
}

impl Jobs {
    /// True if some command may have to wait.
    #[inline]
    pub fn may_hold(&self) -> bool {
        !self.running.is_empty() || !self.waiting.is_empty() || self.is_expiry_behind
    }

    /// True if somebody who only reads may have to wait.
    #[inline]
    pub fn may_hold_readers(&self) -> bool {
        self.exclusive > 0 || self.is_expiry_behind
    }

    /// Says whether things are due that have not been taken away. Who would use a collection that has due elements waits for those:
    /// taking them all away at once, for the sake of one command, might take seconds.
    pub fn note_expiry(&mut self, is_behind: bool) {
        let was_behind = std::mem::replace(&mut self.is_expiry_behind, is_behind);
        self.releases |= was_behind && !is_behind && !self.waiting.is_empty();
    }

    /// True if some job is under way.
    #[inline]
    pub fn are_running(&self) -> bool {
        !self.running.is_empty()
    }

    /// True if somebody has keys for himself, or will.
    #[inline]
    pub fn have_exclusive(&self) -> bool {
        self.exclusive > 0
    }

    /// True if some job has done the half of what it changes.
    pub fn are_amid_changes(&self) -> bool {
        self.exclusive > 0 && self.running.iter().any(Running::has_written)
    }

    /// A ticket for somebody who begins to wait: the older, the lower.
    pub fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// Takes note of how long a command took that ran inside of a transaction or a script.
    #[inline]
    pub fn note_whole(&mut self, took_ns: u64) {
        self.counts.whole += u64::from(took_ns > WHOLE_NS_MIN);
    }

    /// Ends a client's wait, and its claims, because its command runs or will not.
    pub fn stop_waiting(&mut self, client: ClientId) {
        let Some(index) = self.waiting.iter().position(|waiting| waiting.client == client) else { return };
        let claims = self.waiting.remove(index).claims;
        // Jobs may have waited for them.
        self.releases |= !claims.is_empty() && !self.waiting.is_empty();
    }

    /// True if somebody else than the client is to use a key before a job may begin to hold it in this way. O(claims).
    pub fn is_claimed(&self, client: ClientId, place: usize, key: &[u8], hold: Hold) -> bool {
        self.is_claimed_before(u64::MAX, client, place, key, hold)
    }

    /// The same, of those alone who wait for longer than a ticket says.
    pub fn is_claimed_before(&self, ticket: u64, client: ClientId, place: usize, key: &[u8], hold: Hold) -> bool {
        let others = self.waiting.iter().filter(|waiting| waiting.client != client && waiting.ticket < ticket);
        let mut claims = others.flat_map(|waiting| &waiting.claims);
        claims.any(|claim| (claim.is_written || hold == Hold::Exclusive) && claim.is_on(place, key))
    }

    /// True if a job waits for a key, or takes keys of the database to which it belongs. O(jobs).
    pub fn is_awaited(&self, place: usize, key: &[u8]) -> bool {
        let pieces = self.running.iter().filter(|running| running.db == place);
        pieces.filter_map(|running| Some((running.pieces()?, running.args.as_args()))).any(|(pieces, args)| {
            pieces.is_before_its_instant() && pieces.next_key(args).is_some_and(|next| next == key)
        })
    }

    /// True if some job, or somebody else than the client who waits, is to write some key of a database.
    pub fn is_to_be_written(&self, client: ClientId, db: usize) -> bool {
        let writes = |running: &Running| {
            running.holds.iter().any(|(_, hold)| *hold != Hold::Read) || (running.is_exclusive() && running.has_begun())
        };
        let mut others = self.waiting.iter().filter(|waiting| waiting.client != client);
        self.running.iter().any(|running| running.db == db && writes(running))
            || others.any(|waiting| waiting.claims.iter().any(|claim| claim.place == db && claim.is_written))
    }
}

impl Server {
    /// Ends the holds of a job on the keys of its line.
    pub fn end_holds_on_keys(&mut self, running: &mut Running) {
        for (key, hold) in running.holds.drain(..) {
            self.dbs[running.db].end_hold(&key, hold);
        }
        self.jobs.releases |= !self.jobs.waiting.is_empty();
    }

    /// Ends what a job has under way: its holds, and its walk.
    pub fn end_holds(&mut self, running: &mut Running) {
        self.end_holds_on_keys(running);
        let db = running.db;
        match &mut running.work {
            Doing::Whole(job) => job.end(self, db),
            Doing::Pieces(pieces) => {
                if let Some(hashes) = pieces.group.take().and_then(|group| self.dbs[db].end_group(group)) {
                    self.background.free(hashes);
                }
            }
        }
        if running.is_exclusive() {
            self.jobs.exclusive -= 1;
            std::mem::take(&mut self.jobs.aside).into_iter().for_each(|id| self.watchers.reactive.bring_back(id));
        }
        self.jobs.ended += 1;
    }

    /// True if a job has a key for itself, other than the one that is at work. O(groups).
    pub fn is_exclusive(&self, place: usize, key: &[u8]) -> bool {
        self.jobs.have_exclusive() && self.dbs[place].holders_of(key).exclusive > 0
    }

    /// True if a collection has elements that are due and will be taken away before long.
    pub fn has_overdue(&self, place: usize, key: &[u8]) -> bool {
        self.jobs.is_expiry_behind && self.dbs[place].has_due_elements(key, self.clock.now().unix_ms)
    }

    /// True if what is in memory is the half of something: of a script, or of a command that is done piece by piece.
    pub fn is_amid_unit(&self) -> bool {
        self.scripting.is_parked() || self.jobs.are_amid_changes()
    }

    /// Gives up the job of a client that goes, and what it waits for. One that cannot be given up goes on without its client: true
    /// then.
    pub(super) fn cancel_job_of(&mut self, client: ClientId) -> bool {
        self.jobs.stop_waiting(client);
        let Some(index) = self.jobs.running.iter().position(|running| running.client == client) else { return false };
        if self.jobs.running[index].outlives_client() {
            let nobody = self.clients.internal();
            let running = &mut self.jobs.running[index];
            (running.client, running.is_forsaken, running.is_muted) = (nobody, true, true);
            running.out = Out::default();
            return true;
        }
        if let Some(mut running) = self.jobs.running.remove(index) {
            self.end_holds(&mut running);
            self.jobs.counts.cancelled += 1;
            self.background.free(Box::new((running.work, running.args, running.out, running.gathered)));
        }
        false
    }
}
