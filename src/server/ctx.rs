//! What a command's handler may see, and what it may ask to happen after it.

use crate::base::clock::Now;
use crate::command::Command;
use crate::command::run::Call;
use crate::command::spec::Outcome;
use crate::config::EventClass;
use crate::feature::client_id::ClientId;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::store::db::{Db, Moment};

use super::Server;
use super::change::Change;
use super::jobs::{Asked, Job, Limits};
use super::persistence::loading::Reload;
use super::pieces::Pieces;
use super::propagation::Lines;
use super::session::{LateReply, Session};

pub use super::waiting::{NullReply, Wait};
pub use crate::feature::blocking::WaitFor;

/// What happens after a handler has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing more.
    Done,
    /// The client's connection closes once its replies are out.
    Close,
    /// The client's next command waits until this monotonic millisecond, and so does the answer to this one. Nothing was written.
    Sleep {
        /// Monotonic milliseconds.
        until_ms: u64,
        /// The answer.
        reply: LateReply,
    },
    /// The command waits for keys, as [`Ctx::wait`] has recorded. Nothing was written.
    Block,
    /// The commands that MULTI has queued run now. Nothing was written.
    RunQueue,
    /// The command goes on as a job, as [`Ctx::become_job`] has recorded. Nothing was written. As the outcome of a client's
    /// command: the job may not begin yet, and the command has to be given again.
    Job,
    /// The script that [`Server::scripting`] has as running runs now. Nothing was written.
    RunScript,
    /// Data is loaded from the disk now, before anybody else is served. Nothing was written.
    Load(Reload),
    /// The server stops. The client gets no reply (SHUTDOWN) or has got it already (ABORT).
    Shutdown,
}

/// How a command came to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOrigin {
    /// Its client sent it.
    Sent,
    /// EXEC runs it.
    Queued,
    /// Its client has sent it, and it is done piece by piece.
    Sliced,
    /// A primary has sent it, and it is done piece by piece, or is one of a transaction that is.
    Followed,
    /// Its client waits for keys, and one of them has changed.
    Again,
    /// A script calls it.
    Scripted,
    /// It is a query, whose first result its client asks for.
    Observed,
    /// It is a query, evaluated after a change for those who watch it.
    Watched,
    /// A log that is being loaded holds it: nothing is due, limits of clients do not hold, and nobody is told.
    Loaded,
}

/// A running command's view of the server.
#[derive(Debug)]
pub struct Ctx<'a> {
    /// The server's parts.
    pub server: &'a mut Server,
    /// The client whose session it runs in.
    pub client: ClientId,
    /// The command being run.
    pub command: &'static Command,
    /// Where the reply goes.
    pub reply: Reply<'a>,
    /// The time of this turn.
    pub now: Now,
    /// Place of the database selected.
    pub db: usize,
    /// The time as lookups need it.
    pub at: Moment,
    /// The reply consists of out-of-band messages, which CLIENT REPLY does not keep back.
    pub out_of_band: bool,
    /// How the command came to run.
    pub origin: CallOrigin,
    changes: u32,
}

impl<'a> Ctx<'a> {
    /// The view of a command that is about to run.
    #[inline(always)]
    pub(crate) fn new(server: &'a mut Server, call: &Call<'_>, reply: Reply<'a>, now: Now, at: Moment) -> Ctx<'a> {
        let Call { client, command, db, origin, .. } = *call;
        Ctx { server, client, command, reply, now, db, at, origin, out_of_band: false, changes: 0 }
    }

    /// How often [`Ctx::change`] was called.
    #[inline]
    pub(crate) fn changes(&self) -> u32 {
        self.changes
    }

    /// Records a change that the command has made, which will be passed on to the log and to replicas as it was given. Each
    /// key that was modified is to be recorded. O(1) if nobody watches the key or waits for it.
    #[inline]
    pub fn change(&mut self, change: Change<'_>) {
        self.changes += 1;
        self.server.apply(&change, self.db, &self.at);
    }

    /// Records a change of something that is no key, such as a library of functions: it is passed on, and save points count it.
    pub fn change_without_key(&mut self) {
        self.changes += 1;
        self.server.stats.dirty += 1;
    }

    /// Has other commands passed on to the log and to replicas in place of the one that was given: those that `write` names,
    /// after any that were named before; or none at all, if it names none. `write` is called only if somebody is told.
    #[inline]
    pub fn propagate_as(&mut self, write: impl FnOnce(&mut Lines<'_>)) {
        if self.server.propagation.is_wanted() && self.origin != CallOrigin::Loaded {
            write(&mut self.server.propagation.instead());
        }
    }

    /// The key is gone because the deadline given to it has passed already: to Redis it was deleted, and by choice it has
    /// expired. It is passed on as deleted.
    pub fn change_past_deadline(&mut self, key: &[u8]) {
        self.change(match self.server.config.expired_event_for_past_deadlines {
            true => Change::new(EventClass::Expired, "expired", key),
            false => Change::new(EventClass::Generic, "del", key),
        });
        self.propagate_as(|lines| lines.push([b"DEL".as_slice(), key]));
    }

    /// The client's session.
    pub fn session(&mut self) -> &mut Session {
        &mut self.server.clients[self.client]
    }

    /// The database selected.
    #[inline]
    pub fn db(&mut self) -> &mut Db {
        &mut self.server.dbs[self.db]
    }

    /// Applies the output limit of the class that the client belongs to from now on.
    pub fn renew_output_limit(&mut self) {
        let limit = self.server.output_limit_of(self.client);
        self.reply.out().set_limit(limit.hard_bytes);
    }

    /// Lets the clients that wait for a key look at it again, though it does not count as modified.
    pub fn look_again(&mut self, key: &[u8]) {
        if !self.server.watchers.waits.is_empty() {
            self.server.touch_waiters(self.db, key);
        }
    }

    /// Tells of a further event of the same change.
    #[inline]
    pub fn notify(&mut self, class: EventClass, event: &str, key: &[u8]) {
        self.server.notify(class, event, self.db, key);
    }

    /// Tells of a further event of the same change, in another database.
    pub fn notify_in(&mut self, db: usize, class: EventClass, event: &str, key: &[u8]) {
        self.server.notify(class, event, db, key);
    }

    /// False inside a transaction and for a watched query, where a command that would wait answers at once as if it had
    /// waited in vain.
    pub fn may_block(&self) -> bool {
        matches!(self.origin, CallOrigin::Sent | CallOrigin::Again)
    }

    /// True for a command that may go on as a job, if it is long: its client has sent it, outside of a transaction. Inside a
    /// transaction or a script, for a query or from a log it runs whole.
    #[inline]
    pub fn may_become_job(&self) -> bool {
        self.origin == CallOrigin::Sent
    }

    /// What makes the command long, if it may go on as a job.
    #[inline]
    pub fn job_limits(&self) -> Option<Limits> {
        self.may_become_job().then_some(self.server.jobs.limits)
    }

    /// True if a command that goes by so many elements is to become a job.
    #[inline]
    pub fn is_long(&self, elements: usize) -> bool {
        elements > self.server.jobs.limits.long && self.may_become_job()
    }

    /// Has the command go on as a job, to be what the handler returns; it has written nothing.
    ///
    /// # Errors
    /// None.
    pub fn become_job(&mut self, job: impl Job + 'static) -> Outcome {
        debug_assert!(self.may_become_job(), "{} runs whole", self.command.full_name);
        self.server.jobs.asked = Some(Asked::Whole(Box::new(job)));
        Ok(Next::Job)
    }

    /// True if the command is to go on piece by piece, for the length of its line. Rows of commands that ask this are flagged
    /// [`Flags::PIECES`](crate::command::spec::Flags::PIECES): nothing is held against such a line as a whole.
    #[inline]
    pub fn is_long_line(&self, args: Args<'_>) -> bool {
        self.server.jobs.limits.is_long_line(args) && self.may_become_job()
    }

    /// Has the command go on piece by piece, to be what the handler returns; it has written nothing.
    ///
    /// # Errors
    /// None.
    pub fn go_on_in_pieces(&mut self, pieces: impl Pieces + 'static) -> Outcome {
        debug_assert!(self.may_become_job(), "{} runs whole", self.command.full_name);
        self.server.jobs.asked = Some(Asked::Pieces(Box::new(pieces)));
        Ok(Next::Job)
    }

    /// True if something that a piece would change has to be kept for a snapshot first, which takes long.
    pub fn snapshot_lacks(&mut self, piece: Args<'_>) -> bool {
        self.snapshot_lacks_of(self.command, piece)
    }

    /// The same for a piece that reads as a line of another command.
    pub fn snapshot_lacks_of(&mut self, command: &Command, piece: Args<'_>) -> bool {
        self.server.persistence.may_hold() && self.server.snapshot_lacks(self.db, command, piece)
    }

    /// Does a piece of the command, which is passed on by its own line if it changes something and has not named other commands.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn do_piece<T>(
        &mut self,
        piece: Args<'_>,
        work: impl FnOnce(&mut Self) -> Result<T, ReplyError>,
    ) -> Result<T, ReplyError> {
        let (changes, named) = (self.changes, self.server.propagation.named());
        let result = work(self)?;
        if self.changes != changes && self.server.propagation.named() == named {
            // A log is read whatever clients know commands by.
            let name = self.command.spec.name;
            self.propagate_as(|lines| lines.push(std::iter::once(name.as_bytes()).chain(piece.iter_from(1))));
        }
        Ok(result)
    }

    /// What the command has gathered as a job, when the handler runs once more to put it in place.
    pub fn gathered<T: 'static>(&mut self) -> Option<Box<T>> {
        let gathered = self.server.jobs.gathered.take()?;
        let gathered = gathered.downcast();
        debug_assert!(gathered.is_ok(), "{} gathers something else", self.command.full_name);
        gathered.ok()
    }

    /// True when a command that waited runs again because one of its keys has changed.
    pub fn is_rerun(&self) -> bool {
        self.origin == CallOrigin::Again
    }

    /// Makes the client wait, to be what the handler returns; it has written nothing. The command is run again, whole, each
    /// time one of the keys changes, until it does not ask to wait any more. Where nobody may wait, it is answered at once.
    ///
    /// # Errors
    /// None.
    pub fn wait(&mut self, wait: Wait) -> Outcome {
        if !self.may_block() {
            wait.on_timeout.write(self.server, self.client, &mut self.reply);
            return Ok(Next::Done);
        }
        self.server.asked_wait = Some(Box::new(wait));
        Ok(Next::Block)
    }
}
