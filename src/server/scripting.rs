//! Scripts: those that are known, the interpreters that run them, and the one that is running.
//!
//! Parts, each in a file of its own: [`cache`], the scripts of EVAL by body and by digest; [`libraries`], the functions that
//! FCALL calls; [`shebang`], what the first line of either says. Handlers begin a script here; the engine runs it, and goes on
//! with one that is parked, because it has held the server for longer than `busy-reply-threshold`.
//!
//! # Invariants
//! - One script runs at a time: `running` is there from the handler that begins it until its result has been written.
//! - An interpreter is out of its place only while the engine runs it.
//! - While a script is parked nothing that a client could see of its changes happens: no key expires, no query is evaluated, no
//!   waiting client is served, no snapshot begins; and what it has changed so far is no part of the log yet.

pub mod cache;
pub mod libraries;
pub mod shebang;

use std::rc::Rc;
use std::sync::Arc;

use super::transaction::Rest;
use super::{REDIS_VERSION, Server};
use crate::base::clock::Now;
use crate::command::Command;
use crate::config::ShutdownOn;
use crate::feature::client_id::ClientId;
use crate::lua::vm::{Purpose, Vm};
use crate::persist::snapshot::Code;
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::ReplyError;
use crate::resp::out::Out;

use cache::Cache;
use libraries::Libraries;
use shebang::ScriptFlags;

const BUSY_SCRIPT: ReplyError =
    ReplyError::new("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.");

const BUSY_FUNCTION: ReplyError =
    ReplyError::new("BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.");

/// What commands of a script are answered that would change data.
pub const READ_ONLY: ReplyError = ReplyError::new("ERR Write commands are not allowed from read-only scripts.");

const WRITES: ReplyError = ReplyError::new("ERR Can not execute a script with write flag using *_ro command.");

const OUT_OF_MEMORY: ReplyError =
    ReplyError::new("OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'");

const CANNOT_SAVE: ReplyError = ReplyError::new(
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Writable scripts are \
     blocked, use 'no-writes' flag for read only scripts.",
);

const CANNOT_LOG: &str = "MISCONF Redis is configured to persist data to AOF, but it's currently unable to persist to disk. \
                          Writable scripts are blocked, use 'no-writes' flag for read only scripts. AOF error: ";

/// What the refusal of a command begins with, before the system's words.
const LOG_REFUSED: &[u8] = b"MISCONF Errors writing to the AOF file: ";

const NOT_BUSY: ReplyError = ReplyError::new("NOTBUSY No scripts in execution right now.");

const UNKILLABLE: ReplyError = ReplyError::new(
    "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script \
     termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
);

/// The script that is running.
#[derive(Debug)]
pub struct Running {
    /// Whose permissions it has.
    pub client: ClientId,
    /// Whose interpreter runs it.
    pub purpose: Purpose,
    /// The digest of a script, the name of a function.
    pub name: Arc<str>,
    /// Number of the script in the cache, for its counts.
    pub script: Option<u32>,
    /// Place of the database that its commands run in.
    pub db: usize,
    /// Commands that change data are refused.
    pub is_read_only: bool,
    /// Memory was short when it began, which its first write is held against.
    pub is_short_of_memory: bool,
    /// A command that changes data has run, or tried to.
    pub has_written: bool,
    /// A log that is being loaded holds it.
    pub is_loaded: bool,
    /// The time that its commands see: that of its start.
    pub now: Now,
    /// Monotonic nanoseconds at which it began.
    pub started_ns: u64,
    /// Its client does not count as an access of the keys.
    pub no_touch: bool,
    /// Somebody has it end: the interpreter is told when it goes on.
    pub killed: Option<KilledBy>,
}

/// Who ends a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KilledBy {
    /// SCRIPT KILL or FUNCTION KILL.
    User,
    /// `script-auto-kill-ms`.
    Timeout,
}

impl KilledBy {
    /// The text of the error that ends the script.
    pub fn text(self) -> &'static str {
        match self {
            KilledBy::User => "Script killed by user with SCRIPT KILL...",
            KilledBy::Timeout => "Script killed: it ran longer than script-auto-kill-ms allows.",
        }
    }
}

/// What clients are answered while a script of EVAL, or a function, holds the server.
fn busy_error(purpose: Purpose) -> ReplyError {
    match purpose {
        Purpose::Scripts => BUSY_SCRIPT,
        Purpose::Functions => BUSY_FUNCTION,
    }
}

/// A script that is parked: it goes on for a slice of each turn, and nobody else's commands run meanwhile but a few.
#[derive(Debug)]
pub struct Parked {
    /// Whom the answer is for. The session stays until the script is through, be its connection gone or not.
    pub client: ClientId,
    /// The command that the client has sent: one that runs scripts, or EXEC.
    pub command: &'static Command,
    /// The client's command line.
    pub args: OwnedArgs,
    /// Where the script is one of a queue: its command, and what comes behind it.
    pub rest: Option<Rest>,
    /// What has been answered so far.
    pub out: Out,
    /// CLIENT REPLY keeps the answer back.
    pub is_muted: bool,
    /// Monotonic nanoseconds at which the client's command began.
    pub started_ns: u64,
}

impl Parked {
    /// The command line that runs the script.
    pub fn line(&self) -> Args<'_> {
        let queued = self.rest.as_ref().and_then(|rest| rest.current.as_ref());
        queued.map_or(&self.args, |queued| &queued.args).as_args()
    }
}

/// Commands by the marks that their names have in the interpreters: 1 and so on, in the order in which they were first called.
#[derive(Debug, Default)]
pub struct Called(Vec<&'static Command>);

impl Called {
    /// The command of a mark, if it is one.
    #[inline]
    pub fn of(&self, mark: u8) -> Option<&'static Command> {
        self.0.get(usize::from(mark).wrapping_sub(1)).copied()
    }

    /// The mark for the name of a command, which alone tells it; 0 if there are no more marks. O(marks).
    pub fn mark(&mut self, command: &'static Command) -> u8 {
        let known = self.0.iter().position(|known| std::ptr::eq(*known, command));
        let place = known.unwrap_or_else(|| {
            self.0.push(command);
            self.0.len() - 1
        });
        self.0.truncate(usize::from(u8::MAX));
        u8::try_from(place + 1).unwrap_or(0)
    }
}

/// Scripts and functions, with the interpreters that run them.
#[derive(Debug, Default)]
pub struct Scripting {
    /// EVAL's interpreter, once there has been a script.
    pub eval: Option<Box<Vm>>,
    /// The scripts that it knows.
    pub cache: Cache,
    /// The functions' interpreter, once there has been a library.
    pub functions: Option<Box<Vm>>,
    /// The libraries that it knows.
    pub libraries: Libraries,
    /// The commands that scripts have called.
    pub called: Called,
    /// The script that is running.
    pub running: Option<Running>,
    /// The client's command whose script is parked.
    pub parked: Option<Box<Parked>>,
    /// Monotonic nanoseconds at which the script began that is running.
    pub started_ns: u64,
    /// Monotonic nanoseconds at which the last script ended, until that has been made use of.
    ended_ns: Option<u64>,
    /// The interpreter that is out of its place, and its bytes of memory.
    taken: Option<(Purpose, usize)>,
    /// The time that it is told, once it has asked.
    unix_us: Option<i64>,
    /// The server is to end when the parked script is through.
    pub shutdown: Option<ShutdownOn>,
}

impl Scripting {
    /// True while a script is parked.
    #[inline]
    pub fn is_parked(&self) -> bool {
        self.parked.is_some()
    }

    /// What clients are answered while a script is parked.
    pub fn busy_error(&self) -> ReplyError {
        busy_error(self.running.as_ref().map_or(Purpose::Scripts, |running| running.purpose))
    }

    /// Notes a script as running that the interpreter has been told to start.
    pub fn begin(&mut self, running: Running) {
        debug_assert!(self.running.is_none(), "one script runs at a time");
        self.running = Some(running);
    }

    /// Notes when the script began that is to run.
    pub fn note_start(&mut self, started_ns: u64) {
        (self.started_ns, self.unix_us, self.ended_ns) = (started_ns, None, None);
        if let Some(running) = &mut self.running {
            running.started_ns = started_ns;
        }
    }

    /// Bytes of memory of an interpreter; of one that runs, those that it had when it was last resumed.
    pub fn vm_bytes(&self, purpose: Purpose) -> usize {
        let vm = match purpose {
            Purpose::Scripts => &self.eval,
            Purpose::Functions => &self.functions,
        };
        let running = || self.taken.filter(|(of, _)| *of == purpose).map_or(0, |(_, bytes)| bytes);
        vm.as_ref().map_or_else(running, |vm| vm.memory_bytes())
    }

    /// Monotonic nanoseconds at which the script ended that was the end of a command which began at this time, if one was.
    #[inline]
    pub fn take_end_ns(&mut self, began_ns: u64) -> Option<u64> {
        self.ended_ns.take().filter(|ended_ns| *ended_ns >= began_ns)
    }

    /// Collects some of what scripts have left behind, if it is much: some tens of microseconds. True if there is more to do.
    pub fn tidy(&mut self) -> bool {
        [&mut self.eval, &mut self.functions].into_iter().flatten().fold(false, |is_more, vm| is_more | vm.tidy())
    }

    /// Takes the interpreter of a kind out of its place, to run.
    pub fn take_vm(&mut self, purpose: Purpose) -> Box<Vm> {
        let vm = self.place_of(purpose).take().expect("the interpreter of a script is there");
        self.taken = Some((purpose, vm.memory_bytes()));
        vm
    }

    /// Puts it back.
    pub fn give_back_vm(&mut self, purpose: Purpose, vm: Box<Vm>) {
        *self.place_of(purpose) = Some(vm);
        self.taken = None;
    }

    /// Where the interpreter of a kind is kept.
    fn place_of(&mut self, purpose: Purpose) -> &mut Option<Box<Vm>> {
        match purpose {
            Purpose::Scripts => &mut self.eval,
            Purpose::Functions => &mut self.functions,
        }
    }

    /// Has the script end that is running. One that has changed data ends only by force, and what it has changed stays; force does
    /// not ask of which kind it is either.
    ///
    /// # Errors
    /// Redis's: there is none, it is of the other kind, or it has changed data.
    pub fn kill(&mut self, purpose: Purpose, force: bool) -> Result<(), ReplyError> {
        let Some(running) = self.running.as_mut() else { return Err(NOT_BUSY) };
        if running.has_written && !force {
            return Err(UNKILLABLE);
        }
        if running.purpose != purpose && !force {
            return Err(busy_error(running.purpose));
        }
        running.killed = Some(KilledBy::User);
        Ok(())
    }

    /// What is saved with the data: libraries, and the scripts that are kept, if they are to be there after a restart.
    pub fn code_to_keep(&self, with_scripts: bool) -> Code<'_> {
        let kept = self.cache.iter().filter(|script| script.is_kept && with_scripts);
        let mut scripts: Vec<&[u8]> = kept.map(|script| &*script.body).collect();
        scripts.sort_unstable();
        Code { scripts, functions: self.libraries.iter().map(|(_, library)| &*library.code).collect() }
    }

    /// True if a session must stay though its connection has gone: its script is not through.
    pub fn needs(&self, client: ClientId) -> bool {
        self.parked.as_ref().is_some_and(|parked| parked.client == client)
    }
}

impl Server {
    /// True if a parked script has changed data, or its transaction has before: what is in memory is the half of something.
    pub fn is_amid_changes(&self) -> bool {
        let Some(parked) = &self.scripting.parked else { return false };
        self.scripting.running.as_ref().is_some_and(|running| running.has_written)
            || parked.rest.as_ref().is_some_and(|rest| rest.changes_before != self.stats.dirty)
    }

    /// The interpreter of a kind, which is made when it is first needed. Some 100 microseconds then.
    ///
    /// # Errors
    /// The system has no memory for its stack.
    pub fn vm(&mut self, purpose: Purpose) -> Result<&mut Vm, ReplyError> {
        let place = self.scripting.place_of(purpose);
        if place.is_none() {
            let made = Vm::new(purpose, REDIS_VERSION);
            *place = Some(Box::new(made.map_err(|error| {
                log::error!("No memory for the stack of scripts: {error}");
                ReplyError::new("ERR no memory for the stack of scripts")
            })?));
        }
        let is_loading = self.is_loading();
        let vm = self.scripting.place_of(purpose).as_mut().expect("just made");
        // What has been acknowledged is loaded, however long that takes on a busy machine.
        vm.set_unhurried(is_loading);
        Ok(vm)
    }

    /// Bytes that a script may allocate. What is loaded has been acknowledged, perhaps under a higher limit: it has none.
    pub fn script_memory_bytes(&self) -> usize {
        match self.config.script_memory_limit {
            _ if self.is_loading() => usize::MAX / 2,
            0 => usize::MAX / 2,
            bytes => usize::try_from(bytes).unwrap_or(usize::MAX / 2),
        }
    }

    /// The number of the script of a body in the cache, which is compiled if it is new. One that is `kept` stays until SCRIPT FLUSH.
    /// True if it is kept from now on and was not before. O(bytes).
    ///
    /// # Errors
    /// Its first line or the script itself is not in order: Redis's texts.
    pub fn known_script(&mut self, body: &[u8], is_kept: bool) -> Result<(u32, bool), ReplyError> {
        if let Some(number) = self.scripting.cache.find_body(body) {
            let is_new = is_kept && self.scripting.cache.keep(number);
            return Ok((number, is_new));
        }
        let (flags, code) = shebang::of_script(body)?;
        let (clock, memory_bytes) = (Rc::clone(&self.clock), self.script_memory_bytes());
        let chunk = self.vm(Purpose::Scripts)?.compile(&*clock, code, memory_bytes).map_err(|text| {
            ReplyError::owned([b"ERR Error compiling script (new function): ".as_slice(), &text].concat())
        })?;
        let (number, evicted) = self.scripting.cache.insert(body, flags, chunk, is_kept);
        if let (Some(evicted), Some(vm)) = (evicted, &mut self.scripting.eval) {
            vm.release(evicted);
            self.stats.evicted_scripts += 1;
        }
        Ok((number, is_kept))
    }

    /// Forgets all scripts, and begins with a new interpreter. The helper thread frees the old one, unless it is to be gone at once.
    pub fn flush_scripts(&mut self, at_once: bool) {
        let old = (self.scripting.eval.take(), std::mem::take(&mut self.scripting.cache));
        if !at_once {
            self.background.free(Box::new(old));
        }
    }

    /// The same for all libraries of functions.
    pub fn flush_functions(&mut self, at_once: bool) {
        let old = (self.scripting.functions.take(), std::mem::take(&mut self.scripting.libraries));
        if !at_once {
            self.background.free(Box::new(old));
        }
    }

    /// What is held against the flags of a script before it runs, in Redis's order; those of a script without a first line that
    /// says any are `None`.
    ///
    /// # Errors
    /// Redis's texts.
    pub fn may_run_script(&self, flags: Option<ScriptFlags>, is_read_only: bool) -> Result<(), ReplyError> {
        let Some(flags) = flags else { return Ok(()) };
        if !flags.has(ScriptFlags::NO_WRITES) {
            if let Some(refused) = self.unsaved_script_refusal() {
                return Err(refused);
            }
            if is_read_only {
                return Err(WRITES);
            }
        }
        if !flags.has(ScriptFlags::ALLOW_OOM.with(ScriptFlags::NO_WRITES)) && self.is_short_of_memory() {
            return Err(OUT_OF_MEMORY);
        }
        Ok(())
    }

    /// Why a script that may change data is refused after a snapshot that could not be saved, while the log cannot be
    /// written, or for want of replicas, if it is.
    fn unsaved_script_refusal(&self) -> Option<ReplyError> {
        if !self.persistence.is_failing() {
            return self.replicas_refusal();
        }
        if self.is_stopped_by_failed_snapshot() {
            return Some(CANNOT_SAVE);
        }
        let Some(refused) = self.persistence.log.refusal() else { return self.replicas_refusal() };
        let reason = refused.text().strip_prefix(LOG_REFUSED).unwrap_or(refused.text());
        Some(ReplyError::owned([CANNOT_LOG.as_bytes(), reason].concat()))
    }

    /// The time that the running script is told, in Unix microseconds: that of its start, for as long as it runs.
    pub fn script_unix_us(&mut self) -> i64 {
        let (clock, started_ns) = (&self.clock, self.scripting.started_ns);
        let ago_us = || (clock.mono_ns().saturating_sub(started_ns) / 1000) as i64;
        *self.scripting.unix_us.get_or_insert_with(|| clock.unix_us() - ago_us())
    }

    /// Counts a run of the script that has ended.
    pub fn note_script_run(&mut self, running: &Running) {
        let ended_ns = self.clock.mono_ns();
        self.scripting.ended_ns = Some(ended_ns);
        let took_ns = ended_ns.saturating_sub(running.started_ns);
        if let Some(script) = running.script.and_then(|number| self.scripting.cache.get_mut(number)) {
            script.calls += 1;
            script.ns += took_ns;
        }
    }
}
