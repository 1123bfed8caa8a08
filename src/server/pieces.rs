//! Long commands that are done piece by piece: those that change very many keys, or very many elements of one, and those that read
//! very many keys.
//!
//! A handler that finds its input long leaves [`Pieces`] behind ([`Ctx::go_on_in_pieces`](super::ctx::Ctx::go_on_in_pieces)). The
//! engine runs them as it runs other jobs, in slices, while others are served. In each slice they do to the data what the
//! handler would have done, of a part of the input, and say what they changed through the same gate.
//!
//! # One instant
//! The command takes effect at the instant at which it has come to hold the last of its keys, and sees the time of that instant to
//! its end. What it writes is held exclusively: nobody else reads or changes it until the command is through, so nobody sees
//! the half of it, and everything that others do meanwhile could as well have come before it. What it only reads is held as any
//! job holds it.
//!
//! Keys are taken one by one, over several turns if they are many. What is held already stays what it is, so that what was taken
//! first is, at the instant, what it was when it was taken.
//!
//! # Nobody waits for ever
//! - A command that has all of its keys waits for nobody who waits for it: not for those who would read or change its keys, and not
//!   for other jobs.
//! - One that is still taking keys waits for those who hold the next one, all of which have what they need, and for those commands
//!   which had been held back before it came, none of which waits for what it holds: it takes nothing that they are to use.
//!   What has been held back since waits for it.
//! - Of those that need several keys one takes keys at a time, the eldest: so they do not wait for each other.
//! - While it waits for a key, no job that has come later begins to hold that.
//! - What cannot wait has a command finished at once that has all of its keys. One that is still taking them lets go of them and begins
//!   anew: a script that has seen one of its keys already must not find it done at the next one.
//!
//! # One unit
//! What is passed on to the log and to replicas is one unit, which is kept apart and passed on when the command is through. A
//! crash before that leaves nothing of it in the log, and its client has no answer. A command that has begun to write is not given
//! up: it goes on when its client has gone. Snapshots and rewrites of the log do not begin meanwhile.

use std::fmt;

use super::ctx::Ctx;
use super::jobs::Slice;
use super::propagation::Unit;
use super::transaction::Queued;
use crate::base::clock::Now;
use crate::command::Command;
use crate::command::spec::Flags;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::store::hold::{GroupId, Hold};

/// Events with their keys.
pub type Told = Vec<(Box<[u8]>, String)>;

/// How far a command has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to do.
    More,
    /// The next piece has to wait until the snapshot has what it would change.
    Waits,
    /// All is done, and the reply is whole.
    Through,
}

/// What a command does piece by piece.
pub trait Pieces: Send + fmt::Debug {
    /// Goes on until the slice is over, with one piece at least, however short that is. The context is that of the command at its
    /// instant, but for a reply that goes on where it was. What a piece changes is named for the log by
    /// [`Ctx::propagate_as`].
    ///
    /// # Errors
    /// The command fails: only as long as nothing has been changed and nothing answered.
    fn go_on(&mut self, ctx: &mut Ctx<'_>, args: Args<'_>, slice: &mut Slice<'_>) -> Result<Progress, ReplyError>;
}

/// The commands of a transaction, which is done piece by piece: one command at a time.
#[derive(Debug)]
pub struct Queue {
    /// Those that have not run.
    pub commands: std::vec::IntoIter<Queued>,
    /// Words of all of them: they have no more keys than that.
    pub words: usize,
    /// Their flags.
    pub flags: Flags,
}

/// What is done piece by piece.
#[derive(Debug)]
pub enum Task {
    /// A command, by its own line.
    Line(Box<dyn Pieces>),
    /// A transaction. The command is its EXEC.
    Queue(Queue),
}

/// Which arguments of a line are keys.
#[derive(Debug)]
enum Places {
    /// From one to an end, every so many.
    Every { first: usize, end: usize, step: usize },
    /// These.
    Few(Vec<usize>),
    /// Those of a queue's commands: of the one whose turn it is, from one of these on.
    Queued { command: usize, places: Vec<usize>, nth: usize },
}

impl Places {
    fn of(command: &Command, args: Args<'_>) -> Places {
        match command.spec.run_of_keys(args) {
            Some((first, end, step)) => Places::Every { first, end, step },
            None => Places::Few(places_of(command, args)),
        }
    }
}

fn places_of(command: &Command, args: Args<'_>) -> Vec<usize> {
    command.spec.keys_of(args).into_iter().map(|used| used.index).collect()
}

impl Queue {
    /// Where the keys of a command are, or of the next one that has any.
    fn places_from(&self, mut command: usize) -> Places {
        while let Some(queued) = self.commands.as_slice().get(command) {
            let places = places_of(queued.command, queued.args.as_args());
            if !places.is_empty() {
                return Places::Queued { command, places, nth: 0 };
            }
            command += 1;
        }
        Places::Queued { command, places: Vec::new(), nth: 0 }
    }
}

/// A command that is done piece by piece.
#[derive(Debug)]
pub struct Piecewise {
    /// What it does.
    pub task: Task,
    /// A primary has sent it.
    pub is_followed: bool,
    /// How it holds its keys.
    pub hold: Hold,
    places: Places,
    /// How many of its keys it has taken.
    pub taken: usize,
    /// How often it has had to let go of some of them, for somebody who could not wait.
    pub times_begun: u32,
    /// What it has taken, once it has begun to.
    pub group: Option<GroupId>,
    /// When it began to wait for its keys, among all who wait.
    pub ticket: u64,
    /// When it had all of its keys.
    pub instant: Option<Now>,
    /// What will be passed on of it.
    pub unit: Unit,
    /// It has changed something, and cannot be given up.
    pub has_written: bool,
    /// The events that were told of its few keys: as of any command, once each. `None` if it has many keys, to each of which it comes
    /// once for each time that its line names it.
    pub told: Option<Told>,
}

impl Piecewise {
    /// A command that has taken nothing yet.
    pub fn new(task: Task, is_followed: bool, command: &Command, args: Args<'_>, ticket: u64) -> Piecewise {
        let places = match &task {
            Task::Line(_) => Places::of(command, args),
            Task::Queue(queue) => queue.places_from(0),
        };
        let told = matches!(places, Places::Few(_)).then(Vec::new);
        // A replica may be a primary by the time it is over.
        let unit = if is_followed { Unit::kept() } else { Unit::default() };
        let (taken, group, instant, has_written) = (0, None, None, false);
        let hold = Hold::Exclusive;
        let mut work = Piecewise {
            task,
            is_followed,
            hold,
            places,
            taken,
            times_begun: 0,
            group,
            ticket,
            instant,
            unit,
            has_written,
            told,
        };
        if !work.flags(command).has(Flags::WRITE) {
            work.hold = Hold::Read;
        }
        work
    }

    /// The flags of the command, or of those that it runs.
    pub fn flags(&self, command: &Command) -> Flags {
        match &self.task {
            Task::Line(_) => command.spec.flags,
            Task::Queue(queue) => queue.flags,
        }
    }

    /// How many keys it has at most, a key named twice counting twice.
    pub fn keys(&self) -> usize {
        match &self.places {
            Places::Every { first, end, step } => end.saturating_sub(*first).div_ceil(*step),
            Places::Few(places) => places.len(),
            Places::Queued { .. } => match &self.task {
                Task::Queue(queue) => queue.words,
                Task::Line(_) => 0,
            },
        }
    }

    /// The key that it takes next, if it has not taken all.
    pub fn next_key<'a>(&'a self, args: Args<'a>) -> Option<&'a [u8]> {
        match &self.places {
            Places::Every { first, end, step } => {
                Some(first + self.taken * step).filter(|index| index < end).map(|index| args.at(index))
            }
            Places::Few(places) => places.get(self.taken).map(|index| args.at(*index)),
            Places::Queued { command, places, nth } => match &self.task {
                Task::Queue(queue) => {
                    let queued = queue.commands.as_slice().get(*command)?;
                    places.get(*nth).map(|index| queued.args.as_args().at(*index))
                }
                Task::Line(_) => None,
            },
        }
    }

    /// Takes note that it has the next key.
    pub fn take_key(&mut self) {
        self.taken += 1;
        if let (Places::Queued { command, places, nth }, Task::Queue(queue)) = (&mut self.places, &self.task) {
            *nth += 1;
            if *nth >= places.len() {
                self.places = queue.places_from(*command + 1);
            }
        }
    }

    /// Takes note that it has none.
    pub fn take_none(&mut self) {
        self.taken = 0;
        if let Task::Queue(queue) = &self.task {
            self.places = queue.places_from(0);
        }
    }

    /// True if its keys are so many that each piece sees to its own.
    pub fn has_many_keys(&self) -> bool {
        !matches!(self.places, Places::Few(_))
    }

    /// True while it holds some of its keys, and not all.
    pub fn is_taking(&self) -> bool {
        self.taken > 0 && self.instant.is_none()
    }

    /// True while it has not taken all of its keys.
    pub fn is_before_its_instant(&self) -> bool {
        self.instant.is_none()
    }
}
