//! An interpreter and the stack that its scripts run on: compiled, started, resumed until they are through, ended.
//!
//! # Turns
//! A script runs on a stack of its own, in C as in Lua. [`Vm::resume`] switches to it and comes back when the script is done or
//! when its time slice is over; where the script was, C frames included, stays as it is. So no part of the server is borrowed
//! between two slices, and a script that runs for long needs no thread. The commands that it calls run on the script's stack as
//! well, by the function that `resume` was given: a switch to the other stack and back would take as long as a short command.
//!
//! All work is counted in steps (see the build script's substitutions). When the budget of steps is used up, `aleadb_pause`
//! looks at the clock: at the end of the slice it switches back, and in a script that is to end it raises an error, which
//! nothing in Lua can catch. The next budget follows from how long the last one took, so that operations of unusual length
//! cannot stretch a slice.
//!
//! # Invariants
//! - While a script is suspended, nobody but the script uses its Lua stack.
//! - Errors never pass from the script's stack to the caller's: everything that runs there runs in a protected call.
//! - What is done to the interpreter from outside a script is done with all memory granted, and so raises no error.
#![allow(unsafe_code)]

mod error;
mod memory;

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ops::RangeInclusive;
use std::ptr::NonNull;

use corosensei::stack::{DefaultStack, Stack};
use corosensei::{Coroutine, CoroutineResult, Yielder};

use self::error::error_of;
pub(super) use self::error::{c_string, text_of};
use self::memory::GARBAGE_BYTES;
use super::alloc::{Context, allocate};
pub use super::convert::NestedErrors;
use super::library::{self, Globals, Loading, Registration};
use super::state::{Debug, Frame, List, Raised};
use super::{api, convert, ffi, random, sandbox};
use crate::base::clock::{Clock, Now};
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::out::Out;
use crate::resp::reply::{Proto, Reply};

/// Bytes of the stack that scripts run on. The deepest recursion is 200 calls in C, each of which may have a buffer of 8 KiB; what
/// is left then is for the command that the innermost one calls, none of which recurses by what it is given.
const STACK_BYTES: usize = 4 << 20;
/// Bytes at its end that no recursion of a pattern goes into.
const STACK_RESERVE_BYTES: usize = 512 << 10;

/// Steps until the clock is looked at, at most.
const BUDGET_MAX: isize = 2048;
/// Steps until it is looked at for the first time in a turn.
const BUDGET_FIRST: isize = 256;
/// Steps without a look at the clock in a script that is to end.
const STEPS_UNLOOKED: u32 = 64;
/// How long such a budget should take, in nanoseconds.
const BUDGET_NS: u64 = 20_000;

/// How long a script may be compiled, in nanoseconds: nothing else happens meanwhile. A megabyte takes up to a tenth of it.
const COMPILE_NS_MAX: u64 = 1_000_000_000;

/// How long the code of a library may run, in nanoseconds, as in Redis: nothing else happens meanwhile.
const LIBRARY_NS_MAX: u64 = 500_000_000;

/// Slots that an error object is made in.
const ERROR_SLOTS: usize = 8;

/// Where the handler of errors lies on the stack of the interpreter's main thread, below whatever else is there.
const HANDLER: c_int = 1;

/// What an interpreter is for: its globals differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Scripts, as EVAL runs them.
    Scripts,
    /// Libraries of functions.
    Functions,
}

/// A compiled script or registered function, kept by the interpreter until it is released.
#[derive(Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its place in the registry.
    pub(super) reference: c_int,
    /// Bytes of the interpreter's that it takes.
    bytes: usize,
}

impl Chunk {
    pub(super) fn new(reference: c_int) -> Chunk {
        Chunk { reference, bytes: 0 }
    }

    /// Bytes of the interpreter's that it takes, roughly.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What a script that was resumed came back for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its time slice is over.
    Slice,
    /// It is through: [`Vm::finish`] takes its result.
    Done,
}

/// What a script asks for while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// [`Exchange::call`] is to be run, and its reply written into [`Exchange::answer`].
    Call,
    /// Whether its user may run [`Exchange::call`]: the answer is `:1`, `:0` or an error.
    MayCall,
}

/// What answers a script that asks.
pub type Answerer<'a> = dyn FnMut(Asked, &mut Exchange) + 'a;

/// What a script and the server tell each other.
#[derive(Debug, Default)]
pub struct Exchange {
    /// The command that the script calls.
    pub call: OwnedArgs,
    /// What the server knows its name by, which it may set to have it there when the same name is called again; 0 for nothing.
    pub mark: u8,
    /// The reply, in the protocol of the script.
    pub answer: Out,
    /// The command has taken so long that the script's time may be over: it looks at the clock at once.
    pub is_late: bool,
    /// The protocol in which the script wants replies: RESP2 until it says otherwise.
    pub proto: Proto,
    /// Where the changes that the script makes from here on are propagated to, as `redis.set_repl` says.
    pub replication: Replication,
    /// The library that is loaded.
    pub(super) loading: Option<Loading>,
    /// The result, once it has been written on the script's own stack.
    pub(super) result: Out,
    /// The errors in it.
    pub(super) errors: NestedErrors,
}

/// Where a script's changes are propagated to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replication {
    /// To the log of changes.
    pub log: bool,
    /// To replicas.
    pub replicas: bool,
}

impl Default for Replication {
    fn default() -> Replication {
        Replication { log: true, replicas: true }
    }
}

/// A run of a script or function.
#[derive(Clone, Copy, Debug)]
pub struct Run<'r> {
    /// What is run, as error texts name it: a script's digest or a function's name.
    pub name: &'r str,
    /// Bytes that it may allocate beyond what the interpreter has.
    pub memory_bytes: usize,
    /// The protocol that its result is written in.
    pub proto: Proto,
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its result was written as a reply.
    Replied {
        /// The error objects in it.
        errors: NestedErrors,
    },
    /// It failed: the error's text without a leading `-`, and whether a command that it called has counted it already.
    Failed {
        /// One line.
        text: Vec<u8>,
        /// True if the error statistics have it already.
        is_counted: bool,
    },
}

/// What is switched to the script's stack with.
enum Input {
    /// A call of the function below so many arguments on the top. Where a protocol is given, the result is a reply.
    Call { arguments: c_int, proto: Option<Proto> },
    /// The compilation of a text.
    Load { text: NonNull<[u8]>, name: &'static CStr },
    /// The script goes on.
    Continue,
    /// The stack is torn down.
    Quit,
}

/// What is switched back with.
enum Output {
    /// The work is done, with this status of Lua's.
    Finished(c_int),
    /// The script waits.
    Waiting(Step),
}

type Fiber = Coroutine<Input, Output, (), DefaultStack>;

/// The turn that the script on its stack has.
#[derive(Default)]
pub(super) struct Turn {
    /// By which the script's stack is left; `None` while it is not the one that runs.
    yielder: Cell<Option<NonNull<Yielder<Input, Output>>>>,
    /// The time, while the script's stack is the one that runs.
    clock: Cell<Option<NonNull<dyn Clock>>>,
    /// What answers the script, as long.
    answerer: Cell<Option<NonNull<Answerer<'static>>>>,
    /// When the slice is over, on the monotonic clock.
    until_ns: Cell<u64>,
    /// What happens then, if the script cannot be suspended: it ends with this text.
    overtime: Cell<Option<&'static str>>,
    /// The text of the error with which the script is to end.
    end: Cell<Option<&'static str>>,
    /// Steps of the present budget, and when it was granted.
    budget: Cell<isize>,
    granted_ns: Cell<Option<u64>>,
    /// Steps that were counted since the script was to end.
    steps_to_end: Cell<u32>,
}

impl Turn {
    pub(super) fn is_killed(&self) -> bool {
        self.end.get().is_some()
    }

    /// Switches back to whoever has resumed the script, until it is resumed again.
    fn wait(&self, step: Step) {
        let yielder = self.yielder.take().expect("only a script that runs on its own stack waits");
        // SAFETY: the yielder lies at the bottom of the stack that runs, which is kept until the script is through.
        unsafe { yielder.as_ref() }.suspend(Output::Waiting(step));
        self.yielder.set(Some(yielder));
    }

    /// Has the server answer the script, on the script's stack.
    pub(super) fn ask(&self, asked: Asked, exchange: &mut Exchange) {
        // Nobody else has it meanwhile.
        let mut answerer = self.answerer.take().expect("a script that runs is answered, by one at a time");
        // SAFETY: it is borrowed by `Vm::switch` for as long as the script's stack runs, and taken away after.
        let answer = unsafe { answerer.as_mut() };
        answer(asked, exchange);
        self.answerer.set(Some(answerer));
    }

    fn now_ns(&self) -> Option<u64> {
        // SAFETY: the clock is borrowed by `Vm::switch` for as long as the script's stack runs, and taken away after.
        self.clock.get().map(|clock| unsafe { clock.as_ref() }.mono_ns())
    }

    /// Looks at the clock, and suspends the script if its slice is over. Returns the next budget.
    fn pause(&self) -> isize {
        let Some(mut now_ns) = self.now_ns() else { return BUDGET_MAX };
        let took_ns = self.granted_ns.get().map_or(0, |granted_ns| now_ns.saturating_sub(granted_ns));
        if now_ns >= self.until_ns.get() {
            match self.overtime.get() {
                Some(text) => self.end.set(Some(text)),
                None => {
                    self.wait(Step::Slice);
                    now_ns = self.now_ns().unwrap_or(now_ns);
                    self.budget.set(BUDGET_FIRST);
                    self.granted_ns.set(Some(now_ns));
                    return BUDGET_FIRST;
                }
            }
        }
        let budget = match took_ns {
            0..BUDGET_NS => (self.budget.get() * 2).clamp(1, BUDGET_MAX),
            _ => (self.budget.get() * BUDGET_NS as isize / took_ns as isize).clamp(1, BUDGET_MAX),
        };
        self.budget.set(budget);
        self.granted_ns.set(Some(now_ns));
        budget
    }

    /// The same in a script that is to end but is amid something that must not be left, such as a collection: that goes on in
    /// slices as well. The next step comes here again, for it may be allowed to raise the error, so the clock is looked at only
    /// now and then.
    fn pause_before_end(&self) -> isize {
        self.steps_to_end.set(self.steps_to_end.get() + 1);
        if self.steps_to_end.get().is_multiple_of(STEPS_UNLOOKED) {
            self.pause();
        }
        0
    }
}

/// Called by the interpreter when the budget of steps is used up.
///
/// # Safety
/// As for every function of the interpreter; the state was made by [`Vm::new`].
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn aleadb_pause(state: *mut ffi::State, may_raise: c_int) {
    // SAFETY: the context lives as long as the state.
    let context = unsafe { Context::of(state) };
    let may_raise = may_raise != 0 && !context.is_entered();
    let budget = match (context.is_killed(), may_raise) {
        (false, _) => context.turn.pause(),
        (true, false) => context.turn.pause_before_end(),
        (true, true) => 0,
    };
    // SAFETY: sets a number.
    unsafe { ffi::aleadb_set_steps(state, budget) };
    if context.is_killed() && may_raise {
        // SAFETY: the interpreter allows an error here. The function below has dropped all it had, and this one has nothing. What
        // the script does next, should it catch the error, comes here at once.
        unsafe {
            push_end(state);
            ffi::aleadb_set_steps(state, 0);
            ffi::aleadb_throw(state);
        }
    }
}

/// Called by the interpreter where it could raise an error of memory: false while a function in Rust is at work.
///
/// # Safety
/// As [`aleadb_pause`].
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn aleadb_may_raise(state: *mut ffi::State) -> c_int {
    // SAFETY: the context lives as long as the state.
    c_int::from(!unsafe { Context::of(state) }.is_entered())
}

/// Pushes the error with which a script ends.
///
/// # Safety
/// As [`aleadb_pause`].
unsafe fn push_end(state: *mut ffi::State) {
    // SAFETY: the caller's promise.
    let mut frame = unsafe { Frame::new(state) };
    let context = frame.context();
    context.enter();
    // SAFETY: sets a flag.
    unsafe { ffi::aleadb_set_killed(state, 1) };
    let _ = push_end_error(&mut frame);
    context.leave();
}

/// Raises the error with which a script ends, in a function of Rust's.
pub(super) fn raise_end(frame: &mut Frame<'_>) -> Raised {
    let state = frame.state();
    // SAFETY: sets a flag.
    unsafe { ffi::aleadb_set_killed(state, 1) };
    push_end_error(frame)
}

fn push_end_error(frame: &mut Frame<'_>) -> Raised {
    // What lies on a stack that is full is not needed any more.
    if !frame.try_ensure(ERROR_SLOTS) {
        frame.pop(ERROR_SLOTS);
    }
    let text = frame.context().turn.end.get().unwrap_or_default();
    api::push_error(frame, text.as_bytes());
    // A function that waits may have been called by others that are not Lua's, such as `pcall`.
    set_place(frame, 0..=ffi::C_CALLS_MAX);
    frame.raise_top()
}

/// Notes in the error object on the top where in the script it was raised: by the first function of Lua's among those at the
/// levels, or the last of them.
pub(super) fn set_place(frame: &mut Frame<'_>, levels: RangeInclusive<c_int>) {
    let state = frame.state();
    let mut found = None;
    for level in levels {
        match Debug::of(state, level, c"Sl") {
            Some(debug) => found = Some(debug),
            None => {
                // COMPAT: a function in C that the server itself calls has no place.
                found = found.filter(|debug| !debug.is_c());
                break;
            }
        }
        if found.as_ref().is_some_and(|debug| !debug.is_c()) {
            break;
        }
    }
    // A script may raise a table that cannot be written to.
    if let Some(debug) = found.filter(|_| !frame.is_readonly(-1)) {
        frame.push_bytes(&debug.source());
        frame.set_own(-2, "source");
        frame.push_number(f64::from(debug.line()));
        frame.set_own(-2, "line");
    }
}

/// An interpreter with its stack.
pub struct Vm {
    state: NonNull<ffi::State>,
    /// Shared with the interpreter by its address.
    context: NonNull<Context>,
    /// The stack; its function is through only when the interpreter is dropped.
    fiber: Fiber,
    purpose: Purpose,
    /// What runs, for error texts.
    name: String,
    phase: Phase,
    /// The protocol of its result.
    proto: Proto,
    /// The globals of functions.
    globals: Option<Globals>,
    /// Bytes that stay: what the interpreter had when it was new, its chunks, and what libraries hold.
    kept_bytes: usize,
    /// Bytes that were in use when all garbage had last been collected, though that may be less than is kept.
    used_bytes: usize,
    /// Collections that have ended since there has been much garbage.
    collections: usize,
    /// A library has gone: fewer bytes may be kept.
    is_kept_less: bool,
    /// Bytes that the interpreter had when the run began.
    bytes_before: usize,
    /// Compiling and the code of libraries may take any time.
    is_unhurried: bool,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    /// Function and arguments are on the stack.
    Started,
    Suspended,
    /// The result is on the stack, with Lua's status.
    Done(c_int),
}

// SAFETY: the interpreter, its context and its stack belong to this value alone, and what lies on the stack are frames of C and of
// this module's and its siblings' functions, whose values may all be sent.
unsafe impl Send for Vm {}

impl std::fmt::Debug for Vm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vm").field("purpose", &self.purpose).field("memory_bytes", &self.memory_bytes()).finish()
    }
}

/// Ends the process: an error of the interpreter that nothing catches is a bug of this module.
unsafe extern "C-unwind" fn on_unprotected_error(_state: *mut ffi::State) -> c_int {
    log::error!("an error of the Lua interpreter that nothing catches");
    std::process::abort()
}

/// Writes the result on the top, if that may take long. Returns a status of Lua's; if that is an error, its value is on the top.
///
/// # Safety
/// As [`aleadb_pause`].
unsafe fn write_ahead(state: *mut ffi::State, proto: Proto) -> c_int {
    // SAFETY: the caller's promise.
    let mut frame = unsafe { Frame::new(state) };
    let context = frame.context();
    context.enter();
    let result = frame.top();
    let written = convert::write_ahead(&mut frame, proto);
    context.leave();
    if written.is_ok() {
        return 0;
    }
    // The error takes the result's place, and what was being written leaves the stack.
    frame.replace(result as i32);
    frame.set_top(result);
    ffi::ERROR_RUN
}

/// What runs on the script's stack, from one input to the next.
fn run(state: *mut ffi::State, yielder: &Yielder<Input, Output>, first: Input) {
    // SAFETY: the context lives as long as the state.
    let turn = unsafe { &Context::of(state).turn };
    let mut input = first;
    loop {
        turn.yielder.set(Some(NonNull::from(yielder)));
        let status = match input {
            Input::Call { arguments, proto } => {
                // SAFETY: function and arguments are on the stack, and the handler at its place. Errors end here.
                let status = unsafe { ffi::lua_pcall(state, arguments, 1, HANDLER) };
                match proto {
                    // SAFETY: the result is on the top.
                    Some(proto) if status == 0 => unsafe { write_ahead(state, proto) },
                    _ => status,
                }
            }
            // SAFETY: whoever gave the text waits until it is compiled. Errors end here.
            Input::Load { text, name } => unsafe {
                ffi::luaL_loadbuffer(state, text.cast::<c_char>().as_ptr(), text.len(), name.as_ptr())
            },
            Input::Continue => 0,
            Input::Quit => return,
        };
        turn.yielder.set(None);
        input = yielder.suspend(Output::Finished(status));
    }
}

impl Vm {
    /// An interpreter with the libraries and globals of its purpose. Some 100 microseconds, and some 60 KB.
    ///
    /// # Errors
    /// The system has no memory for the stack.
    pub fn new(purpose: Purpose, redis_version: &str) -> std::io::Result<Vm> {
        let stack = DefaultStack::new(STACK_BYTES)?;
        let context = NonNull::from(Box::leak(Box::new(Context::default())));
        // SAFETY: just made.
        unsafe { context.as_ref() }.enter();
        // SAFETY: as above.
        unsafe { context.as_ref() }.set_limit(usize::MAX, usize::MAX);
        // SAFETY: as above.
        unsafe { context.as_ref() }.random.set(random::SEED);
        // SAFETY: the allocator has its context, and grants all memory.
        let state = unsafe { ffi::lua_newstate(allocate, context.as_ptr().cast::<c_void>()) };
        let state = NonNull::new(state).expect("the allocator grants all memory");
        // SAFETY: a constant.
        assert!(unsafe { ffi::aleadb_layout } == ffi::LAYOUT, "structures of C lie as they are declared in Rust");
        let reserve_end = stack.limit().get() + STACK_RESERVE_BYTES;
        // SAFETY: sets a function and an address.
        unsafe {
            ffi::lua_atpanic(state.as_ptr(), on_unprotected_error);
            ffi::aleadb_set_cstack_end(state.as_ptr(), reserve_end as *const c_char);
        }
        let address = state.as_ptr() as usize;
        let fiber = Fiber::with_stack(stack, move |yielder, first| run(address as *mut ffi::State, yielder, first));
        let mut vm = Vm {
            state,
            context,
            fiber,
            purpose,
            name: String::new(),
            phase: Phase::Idle,
            proto: Proto::Resp2,
            globals: None,
            kept_bytes: 0,
            used_bytes: 0,
            collections: 0,
            is_kept_less: false,
            bytes_before: 0,
            is_unhurried: false,
        };
        vm.globals = vm.outside(|frame| {
            frame.push_function::<api::Handler>(0);
            sandbox::open(frame, purpose, redis_version);
            (purpose == Purpose::Functions).then(|| library::open(frame, redis_version))
        });
        vm.context().leave();
        vm.kept_bytes = vm.memory_bytes();
        Ok(vm)
    }

    fn context(&self) -> &Context {
        // SAFETY: lives as long as this value.
        unsafe { self.context.as_ref() }
    }

    /// Works on the interpreter from outside: no script runs, or the one that does waits.
    fn outside<T>(&mut self, work: impl FnOnce(&mut Frame<'_>) -> T) -> T {
        self.context().enter();
        // SAFETY: nothing else uses the state, and all memory is granted.
        let result = work(&mut unsafe { Frame::new(self.state.as_ptr()) });
        self.context().leave();
        result
    }

    /// What the interpreter is for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Bytes of memory that the interpreter has, without its stack.
    pub fn memory_bytes(&self) -> usize {
        self.context().used_bytes()
    }

    /// What the script and the server tell each other, while no script runs.
    fn exchange(&self) -> std::cell::RefMut<'_, Exchange> {
        self.context().exchange.borrow_mut()
    }

    /// Switches to the script's stack until it comes back.
    fn switch(&mut self, clock: &dyn Clock, answerer: Option<&mut Answerer<'_>>, input: Input) -> Output {
        let turn = &self.context().turn;
        // SAFETY: only the lifetime is left out: the clock is taken away again below, before it ends.
        let clock = unsafe { std::mem::transmute::<NonNull<dyn Clock + '_>, NonNull<dyn Clock>>(NonNull::from(clock)) };
        turn.clock.set(Some(clock));
        // SAFETY: as above.
        let lent = |answerer| unsafe {
            std::mem::transmute::<NonNull<Answerer<'_>>, NonNull<Answerer<'static>>>(NonNull::from(answerer))
        };
        turn.answerer.set(answerer.map(lent));
        let result = self.fiber.resume(input);
        let turn = &self.context().turn;
        turn.clock.set(None);
        turn.answerer.set(None);
        match result {
            CoroutineResult::Yield(output) => output,
            CoroutineResult::Return(()) => Output::Finished(0),
        }
    }

    /// Prepares a turn of some work: until when, and what happens if that is not enough and nothing can be suspended.
    fn prepare(&mut self, until_ns: u64, overtime: Option<&'static str>) {
        let until_ns = if self.is_unhurried && overtime.is_some() { u64::MAX } else { until_ns };
        let turn = &self.context().turn;
        turn.until_ns.set(until_ns);
        turn.overtime.set(overtime);
        turn.budget.set(BUDGET_FIRST);
        turn.granted_ns.set(None);
        let steps = if turn.is_killed() { 0 } else { BUDGET_FIRST };
        // SAFETY: sets a number.
        unsafe { ffi::aleadb_set_steps(self.state.as_ptr(), steps) };
    }

    /// Whether compiling and the code of libraries may take any time.
    pub fn set_unhurried(&mut self, is_unhurried: bool) {
        self.is_unhurried = is_unhurried;
    }

    /// Compiles a script. O(its length).
    ///
    /// # Errors
    /// Lua's text: `user_script:1: '=' expected near 'x'`.
    pub fn compile(&mut self, clock: &dyn Clock, body: &[u8], memory_bytes: usize) -> Result<Chunk, Vec<u8>> {
        assert!(self.phase == Phase::Idle, "one script at a time");
        let before = self.memory_bytes();
        self.load(clock, body, c"@user_script", memory_bytes)?;
        let mut chunk = self.outside(|frame| frame.keep());
        // Garbage may have been collected meanwhile.
        chunk.bytes = self.memory_bytes().saturating_sub(before).max(body.len());
        self.kept_bytes += chunk.bytes;
        Ok(chunk)
    }

    /// Compiles a text; the function is left on the top.
    fn load(
        &mut self,
        clock: &dyn Clock,
        text: &[u8],
        name: &'static CStr,
        memory_bytes: usize,
    ) -> Result<(), Vec<u8>> {
        self.limit_memory(memory_bytes);
        self.prepare(clock.mono_ns() + COMPILE_NS_MAX, Some("the script takes too long to compile"));
        let output = self.switch(clock, None, Input::Load { text: NonNull::from(text), name });
        self.clear_end();
        match output {
            Output::Finished(0) => Ok(()),
            _ => Err(self.outside(|frame| {
                // Lua's text, or the error object of one that took too long.
                let text = match frame.coerce_bytes(-1) {
                    Some(text) => text.to_vec(),
                    None => {
                        let text = error_of(frame).text;
                        text.strip_prefix(b"ERR ").map_or(text.clone(), <[u8]>::to_vec)
                    }
                };
                frame.pop(1);
                text
            })),
        }
    }

    /// Lets a script or function go.
    pub fn release(&mut self, chunk: Chunk) {
        self.kept_bytes -= chunk.bytes;
        if self.purpose == Purpose::Functions {
            (self.is_kept_less, self.collections) = (true, 0);
        }
        self.outside(|frame| frame.release(chunk));
    }

    /// Runs the code of a library, of which the first line is the one after the one that names the engine. The functions it
    /// registers may have these flags.
    ///
    /// # Errors
    /// Redis's text, which begins with "Error compiling function: " or "Error registering functions: ".
    pub fn load_library(
        &mut self,
        clock: &dyn Clock,
        code: &[u8],
        flags: &'static [&'static str],
        memory_bytes: usize,
    ) -> Result<Vec<Registration>, Vec<u8>> {
        assert!(self.phase == Phase::Idle, "one script at a time");
        self.load(clock, code, c"@user_function", memory_bytes)
            .map_err(|text| [b"Error compiling function: ", &*text].concat())?;
        self.exchange().loading = Some(Loading { flags, found: Vec::new() });
        self.set_loading(true);
        self.prepare(clock.mono_ns() + LIBRARY_NS_MAX, Some("FUNCTION LOAD timeout"));
        let output = self.switch(clock, None, Input::Call { arguments: 0, proto: None });
        self.set_loading(false);
        self.clear_end();
        let found = self.exchange().loading.take().map_or(Vec::new(), |loading| loading.found);
        let failed = !matches!(output, Output::Finished(0));
        let text = self.outside(|frame| {
            let text = failed.then(|| error_of(frame).text);
            frame.set_top(HANDLER as usize);
            text
        });
        match text {
            None => {
                self.collect_after_loading();
                self.kept_bytes = self.memory_bytes();
                Ok(found)
            }
            Some(text) => {
                found.into_iter().for_each(|registration| self.release(registration.chunk));
                self.collect_after_loading();
                Err([b"Error registering functions: ", &*text].concat())
            }
        }
    }

    /// Globals are found where the code of libraries sees them, or where functions do.
    fn set_loading(&mut self, is_loading: bool) {
        let globals = self.globals.take();
        if let Some(globals) = &globals {
            self.outside(|frame| globals.set_loading(frame, is_loading));
        }
        self.globals = globals;
    }

    /// Prepares a run. Scripts see keys and arguments as `KEYS` and `ARGV`; functions are called with them.
    pub fn start(&mut self, chunk: &Chunk, keys: Args<'_>, arguments: Args<'_>, run: Run<'_>) {
        assert!(self.phase == Phase::Idle, "one script at a time");
        self.phase = Phase::Started;
        self.proto = run.proto;
        self.name.clear();
        self.name.push_str(run.name);
        {
            let mut exchange = self.exchange();
            exchange.proto = Proto::Resp2;
            exchange.replication = Replication::default();
        }
        let purpose = self.purpose;
        // Keys and arguments are there already; what they take counts when the script runs.
        self.limit_memory(usize::MAX);
        self.outside(|frame| {
            frame.push_kept(chunk);
            match purpose {
                Purpose::Scripts => {
                    frame.set_list(List::Keys, keys.iter_from(0));
                    frame.set_list(List::Arguments, arguments.iter_from(0));
                }
                Purpose::Functions => {
                    frame.push_list(keys.iter_from(0));
                    frame.push_list(arguments.iter_from(0));
                }
            }
        });
        self.limit_memory(run.memory_bytes);
        self.bytes_before = self.memory_bytes();
    }

    /// Starts or goes on with a run, until it is through or the monotonic clock reaches a time. What it asks for meanwhile is
    /// answered by a function, on the script's stack.
    pub fn resume(&mut self, clock: &dyn Clock, until_ns: u64, answerer: &mut Answerer<'_>) -> Step {
        let input = match self.phase {
            Phase::Started => {
                self.prepare(until_ns, None);
                Input::Call { arguments: if self.purpose == Purpose::Scripts { 0 } else { 2 }, proto: Some(self.proto) }
            }
            Phase::Suspended => {
                self.prepare(until_ns, None);
                Input::Continue
            }
            Phase::Idle | Phase::Done(_) => panic!("nothing was started"),
        };
        match self.switch(clock, Some(answerer), input) {
            Output::Waiting(step) => {
                self.phase = Phase::Suspended;
                step
            }
            Output::Finished(status) => {
                self.phase = Phase::Done(status);
                Step::Done
            }
        }
    }

    /// Ends the script that runs: the next step raises an error of this text, which nothing in the script can catch.
    pub fn kill(&mut self, text: &'static str) {
        if matches!(self.phase, Phase::Started | Phase::Suspended) {
            self.context().turn.end.set(Some(text));
        }
    }

    /// Nothing is to end any more.
    fn clear_end(&mut self) {
        self.context().turn.end.set(None);
        // SAFETY: sets a flag.
        unsafe { ffi::aleadb_set_killed(self.state.as_ptr(), 0) };
    }

    /// Takes the result of a run that is through. A result is written, in the protocol that the run was started with; an error
    /// is not.
    pub fn finish(&mut self, reply: &mut Reply<'_>) -> Ending {
        let Phase::Done(status) = self.phase else { panic!("the script is not through") };
        self.phase = Phase::Idle;
        self.clear_end();
        debug_assert_eq!(reply.proto(), self.proto, "a run is told the protocol of its result");
        let name = std::mem::take(&mut self.name);
        let ending = self.outside(|frame| {
            let ending = match status {
                0 => convert::write_result(frame, reply),
                _ => Ending::failed(frame, &name),
            };
            frame.set_top(HANDLER as usize);
            ending
        });
        self.name = name;
        if self.memory_bytes() > self.bytes_before + GARBAGE_BYTES {
            // A collection that began before this run does not collect what it has left behind.
            self.collections = 0;
        }
        self.tidy();
        ending
    }
}

impl Ending {
    /// The error of a run: the value on the top.
    fn failed(frame: &mut Frame<'_>, name: &str) -> Ending {
        let error = error_of(frame);
        let mut text = error.text;
        if let Some((source, line)) = error.place {
            text.extend_from_slice(format!(" script: {name}, on ").as_bytes());
            text.extend_from_slice(&source);
            text.push(b':');
            text.extend_from_slice(&line);
            text.push(b'.');
        }
        Ending::Failed { text, is_counted: error.is_counted }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // A script in the middle of its run ends first, for its stack can only be left from its beginning: it raises an error at
        // its next step, which nothing catches.
        let clock = StoppedClock;
        while self.phase == Phase::Suspended {
            self.kill("the interpreter is torn down");
            self.resume(&clock, u64::MAX, &mut |_, exchange| exchange.answer.push(b"$-1\r\n"));
        }
        self.switch(&clock, None, Input::Quit);
        self.context().enter();
        // SAFETY: nothing runs, and this is the last use of the state; after it, of the context, which was leaked from a box.
        unsafe {
            ffi::lua_close(self.state.as_ptr());
            drop(Box::from_raw(self.context.as_ptr()));
        }
    }
}

/// A clock for what is not to be interrupted.
#[derive(Debug)]
struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Now {
        Now::default()
    }

    fn mono_ns(&self) -> u64 {
        0
    }

    fn unix_us(&self) -> i64 {
        0
    }
}

/// Calls a library's opening function, from outside a script.
pub(super) fn open_library(frame: &mut Frame<'_>, library: ffi::CFunction) {
    // SAFETY: the functions are the interpreter's own; all memory is granted, and what they do raises no other error.
    let status = unsafe {
        ffi::lua_pushcclosure(frame.state(), library, 0);
        ffi::lua_pcall(frame.state(), 0, 0, 0)
    };
    assert!(status == 0, "the libraries open");
}
