//! What a function in Rust sees of Lua when Lua calls it: a [`Frame`], over the stack that holds its arguments and results.
//!
//! # Errors and frames
//! Lua's errors are `longjmp`s, which must not pass over a Rust frame that has something to drop. So
//! - the one function that raises, `trampoline`, owns nothing: what it calls has returned, and dropped what it had, before
//!   the error is raised. A function that wants an error leaves the value on the top of the stack and returns [`Raised`];
//! - a frame calls only functions of the C interface that raise nothing: access without metamethods, after looking at the types
//!   and at the room on the stack. While a function in Rust runs, the allocator grants everything
//!   (`super::alloc`), and what went beyond the limit is answered with an error when the function returns, or when it
//!   asks for more of whatever can fail;
//! - what is on the stack is read and written in place (`ffi::State`), with the checks that the C interface leaves out;
//! - a step that a function counts may suspend the stack it runs on, but raises nothing either.
//!
//! # Indices
//! As in Lua's interface: 1 is the first argument, -1 the value on the top. A place that does not exist is a bug of the
//! function and panics; only the questions for a kind or a value answer `None` for it.
#![allow(unsafe_code)]

mod tables;

use std::ffi::{c_char, c_int};
use std::marker::PhantomData;

use super::alloc::Context;
use super::ffi;
use super::vm::Chunk;

/// The types of Lua's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "Lua's own names")]
pub enum Kind {
    Nil,
    Boolean,
    LightUserdata,
    Number,
    String,
    Table,
    Function,
    Userdata,
    Thread,
}

impl Kind {
    fn of(code: c_int) -> Option<Kind> {
        Some(match code {
            ffi::T_NIL => Kind::Nil,
            ffi::T_BOOLEAN => Kind::Boolean,
            ffi::T_LIGHT_USERDATA => Kind::LightUserdata,
            ffi::T_NUMBER => Kind::Number,
            ffi::T_STRING => Kind::String,
            ffi::T_TABLE => Kind::Table,
            ffi::T_FUNCTION => Kind::Function,
            ffi::T_USERDATA => Kind::Userdata,
            ffi::T_THREAD => Kind::Thread,
            _ => return None,
        })
    }

    /// The type's name as Lua's error texts have it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Nil => "nil",
            Kind::Boolean => "boolean",
            Kind::Number => "number",
            Kind::String => "string",
            Kind::Table => "table",
            Kind::Function => "function",
            Kind::Userdata | Kind::LightUserdata => "userdata",
            Kind::Thread => "thread",
        }
    }
}

/// An error was raised: its value is on the top of the stack. To be returned at once.
#[derive(Debug)]
#[must_use = "a raised error has to be returned"]
pub struct Raised(());

/// What a function answers: how many of the values on the top of the stack are its results.
pub type Answer = Result<usize, Raised>;

/// What pushes a value.
pub type Push = fn(&mut Frame<'_>);

/// A value that can be read without a copy.
pub(super) enum Value<'f> {
    Number(f64),
    String(&'f [u8]),
    Other,
}

/// The lists that scripts find as globals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Keys,
    Arguments,
}

impl List {
    fn name(self) -> &'static str {
        match self {
            List::Keys => "KEYS",
            List::Arguments => "ARGV",
        }
    }
}

/// A function that Lua can call.
pub trait Function {
    /// Takes its arguments from the frame, and leaves its results on the top.
    ///
    /// # Errors
    /// The error that Lua is to see.
    fn call(frame: &mut Frame<'_>) -> Answer;
}

/// Raw results of a call: results, or one of these.
const RAISED: c_int = -1;

/// What Lua calls for a [`Function`]. It owns nothing, so that an error may jump over it.
///
/// # Safety
/// Called by the interpreter only, whose allocator's context is a [`Context`].
unsafe extern "C-unwind" fn trampoline<F: Function>(state: *mut ffi::State) -> c_int {
    // SAFETY: the state is the running one.
    let answer = unsafe { answer(state, F::call) };
    if answer == RAISED {
        // SAFETY: the value is on the top. No frame of Rust up to the next protected call has anything to drop: this one owns
        // nothing, and those below are the same function's, or the script's first call.
        unsafe { ffi::lua_error(state) };
    }
    answer
}

/// Calls the function, and drops all it had.
///
/// # Safety
/// As [`trampoline`].
unsafe fn answer(state: *mut ffi::State, function: fn(&mut Frame<'_>) -> Answer) -> c_int {
    // SAFETY: the caller's promise.
    let mut frame = unsafe { Frame::new(state) };
    let context = frame.context();
    context.enter();
    let answer = function(&mut frame).and_then(|results| match frame.has_memory() {
        true => Ok(results),
        false => Err(frame.raise_memory()),
    });
    context.leave();
    match answer {
        Ok(results) => results.min(frame.top()) as c_int,
        Err(Raised(())) => {
            if frame.top() == 0 {
                frame.push_nil();
            }
            RAISED
        }
    }
}

/// A call from Lua.
pub struct Frame<'a> {
    state: *mut ffi::State,
    context: &'a Context,
    _lifetime: PhantomData<&'a mut ffi::State>,
}

/// Slots of the stack that are asked for at one time.
const ROOM_ASKED: usize = 16;

/// Most bytes of a buffer that is kept between calls.
const KEPT_BUFFER_BYTES_MAX: usize = 1 << 16;

/// Most elements that a table is made with room for: what it is said to become may come from a hostile input.
const ROOM_MAX: usize = 1 << 16;

impl<'a> Frame<'a> {
    pub(super) fn context(&self) -> &'a Context {
        self.context
    }

    /// A frame over the running function's part of the stack, or over a stack on which nothing runs.
    ///
    /// # Safety
    /// The state is alive, and nothing else uses it while the frame does; its allocator's context is a [`Context`], which
    /// grants all memory for as long.
    pub(super) unsafe fn new(state: *mut ffi::State) -> Frame<'a> {
        // SAFETY: the context lives longer than the state, and so than every frame.
        Frame { state, context: unsafe { Context::of(state) }, _lifetime: PhantomData }
    }

    /// The state, for what needs more than a frame offers.
    pub(super) fn state(&mut self) -> *mut ffi::State {
        self.state
    }

    /// Number of values in this frame.
    #[inline]
    pub fn top(&self) -> usize {
        // SAFETY: both point into the state's stack, the top not below the base.
        unsafe { (*self.state).top.offset_from((*self.state).base) as usize }
    }

    /// Cuts the values to so many, or fills up with nil.
    #[inline]
    pub fn set_top(&mut self, count: usize) {
        let top = self.top();
        for _ in top..count {
            self.push_nil();
        }
        // SAFETY: the frame has as many values.
        unsafe { (*self.state).top = (*self.state).base.add(count) }
    }

    /// Takes values off the top.
    #[inline]
    pub fn pop(&mut self, count: usize) {
        let top = self.top();
        assert!(count <= top, "more values are popped than there are");
        self.set_top(top - count);
    }

    /// Makes sure of room for more values. A function has room for twenty beside its arguments; one that pushes more, in a
    /// recursion or a loop, asks before.
    ///
    /// # Errors
    /// "stack overflow": a function may have 8,000 values.
    pub fn ensure(&mut self, slots: usize) -> Result<(), Raised> {
        match self.try_ensure(slots) {
            true => Ok(()),
            false => Err(self.raise_at_caller(b"stack overflow")),
        }
    }

    /// Makes sure of room for more values, or says that there is none.
    #[inline]
    pub fn try_ensure(&mut self, slots: usize) -> bool {
        // SAFETY: grows the stack if it may; raises nothing, for all memory is granted.
        let grow = |slots| unsafe { ffi::lua_checkstack(self.state, slots as c_int) } != 0;
        slots < ffi::SLOTS_MAX && (self.has_room(slots) || grow(slots))
    }

    /// Whether the running function may push so many values without asking.
    #[inline]
    fn has_room(&self, slots: usize) -> bool {
        // SAFETY: both point into the state's stack.
        let room = unsafe { (*(*self.state).call).top.offset_from((*self.state).top) };
        room >= slots as isize
    }

    #[inline]
    fn reserve(&mut self, slots: usize) {
        if !self.has_room(slots) {
            self.grow(slots);
        }
    }

    /// Makes room, and some more for what follows.
    #[cold]
    fn grow(&mut self, slots: usize) {
        let is_granted = self.try_ensure(ROOM_ASKED.max(slots)) || self.try_ensure(slots);
        assert!(is_granted, "a function pushes without end and does not ask for room");
    }

    /// Pushes a value that the collector need not know of before.
    #[inline]
    fn push(&mut self, slot: ffi::Slot) {
        self.reserve(1);
        // SAFETY: there is room.
        unsafe {
            (*self.state).top.write(slot);
            (*self.state).top = (*self.state).top.add(1);
        }
    }

    /// The value at an index; `None` where there is none.
    #[inline]
    fn slot(&self, index: i32) -> Option<&ffi::Slot> {
        let place = self.place_or_none(index) as usize;
        // SAFETY: the value is between base and top, and stays there as long as the frame is borrowed.
        (place <= self.top()).then(|| unsafe { &*(*self.state).base.add(place - 1) })
    }

    /// An index from the bottom; panics if there is no such value.
    #[inline]
    fn place(&self, index: i32) -> c_int {
        let top = self.top() as c_int;
        let place = if index < 0 { top + 1 + index } else { index };
        assert!(0 < place && place <= top, "there is no value at this place of the stack");
        place
    }

    /// An index from the bottom that may lie above the top, where nothing is.
    #[inline]
    fn place_or_none(&self, index: i32) -> c_int {
        if index > 0 { index } else { self.place(index) }
    }

    /// The kind of a value; `None` where there is none.
    #[inline]
    pub fn kind(&self, index: i32) -> Option<Kind> {
        self.slot(index).and_then(|slot| Kind::of(slot.kind))
    }

    /// The name of the value's type as Lua's error texts have it: "no value" where there is none.
    pub fn type_name(&self, index: i32) -> &'static str {
        self.kind(index).map_or("no value", Kind::name)
    }

    /// Whether the value counts as true: all but nil, false and nothing do.
    #[inline]
    pub fn boolean(&self, index: i32) -> bool {
        self.slot(index).is_some_and(|slot| match slot.kind {
            ffi::T_NIL => false,
            // SAFETY: a boolean holds this.
            ffi::T_BOOLEAN => unsafe { slot.payload.boolean != 0 },
            _ => true,
        })
    }

    /// The value, if it is a number.
    #[inline]
    pub fn number(&self, index: i32) -> Option<f64> {
        match self.value(index) {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The value as a number, if it is one or a string that reads as one.
    pub fn coerced_number(&self, index: i32) -> Option<f64> {
        if let Value::Number(number) = self.value(index) {
            return Some(number);
        }
        let place = self.place_or_none(index);
        // SAFETY: reads the value.
        unsafe { (ffi::lua_isnumber(self.state, place) != 0).then(|| ffi::lua_tonumber(self.state, place)) }
    }

    /// The value, if it is a string.
    #[inline]
    pub fn bytes(&self, index: i32) -> Option<&[u8]> {
        match self.value(index) {
            Value::String(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The value, if it is a number or a string.
    #[inline]
    pub(super) fn value(&self, index: i32) -> Value<'_> {
        // SAFETY: the value stays at its place as long as the frame is borrowed.
        self.slot(index).map_or(Value::Other, |slot| unsafe { value_of(slot) })
    }

    /// What a string has been marked with; 0 for one that has not been, and for what is none.
    #[inline]
    pub(super) fn mark(&self, index: i32) -> u8 {
        // SAFETY: a string holds this.
        self.text(index).map_or(0, |text| unsafe { (*text).mark })
    }

    /// Marks a string, for as long as it is in memory.
    pub(super) fn set_mark(&mut self, index: i32, mark: u8) {
        if let Some(text) = self.text(index) {
            // SAFETY: a string holds this, and nobody has borrowed it.
            unsafe { (*text).mark = mark }
        }
    }

    #[inline]
    fn text(&self, index: i32) -> Option<*mut ffi::Text> {
        let slot = self.slot(index).filter(|slot| slot.kind == ffi::T_STRING);
        // SAFETY: a string holds this.
        slot.map(|slot| unsafe { slot.payload.object.cast() })
    }

    /// An element of the table on the top, if it is a number or a string and lies in the table's array: others are to be pushed.
    #[inline]
    pub(super) fn item(&self, index: usize) -> Value<'_> {
        let table = self.table_at(-1);
        match index.checked_sub(1) {
            // SAFETY: the array has so many elements. One stays in its table, which stays at its place, as long as the frame is
            // borrowed.
            Some(offset) if offset < table.array_length as usize => unsafe { value_of(&*table.array.add(offset)) },
            _ => Value::Other,
        }
    }

    /// The value as a string, if it is one or a number, which becomes a string in its place.
    pub fn coerce_bytes(&mut self, index: i32) -> Option<&[u8]> {
        matches!(self.kind(index), Some(Kind::String | Kind::Number)).then(|| self.string(self.place(index)))
    }

    /// The bytes of a string or number.
    #[inline]
    fn string(&self, place: c_int) -> &[u8] {
        if let Value::String(bytes) = self.value(place) {
            return bytes;
        }
        let mut length = 0;
        // SAFETY: the value is a string, or becomes one, and stays at its place, and so in memory, as long as the frame is
        // borrowed.
        unsafe {
            let bytes = ffi::lua_tolstring(self.state, place, &mut length);
            std::slice::from_raw_parts(bytes.cast(), length)
        }
    }

    /// The light userdata's value, if it is one.
    pub fn light(&self, index: i32) -> Option<usize> {
        let slot = self.slot(index).filter(|slot| slot.kind == ffi::T_LIGHT_USERDATA);
        // SAFETY: such a value holds this.
        slot.map(|slot| unsafe { slot.payload.object } as usize)
    }

    /// The address of a table, function or thread, which tells it from others.
    pub(super) fn address(&self, index: i32) -> *const std::ffi::c_void {
        // SAFETY: such a value holds this.
        self.slot(index).map_or(std::ptr::null(), |slot| unsafe { slot.payload.object })
    }

    /// The number that an argument is, or reads as.
    ///
    /// # Errors
    /// `bad argument #1 to 'f' (number expected, got nil)`
    pub fn check_number(&mut self, index: i32) -> Result<f64, Raised> {
        self.coerced_number(index).ok_or_else(|| self.raise_type(index, "number"))
    }

    /// The string that an argument is; a number becomes one.
    ///
    /// # Errors
    /// `bad argument #1 to 'f' (string expected, got nil)`
    pub fn check_bytes(&mut self, index: i32) -> Result<&[u8], Raised> {
        if !matches!(self.kind(index), Some(Kind::String | Kind::Number)) {
            return Err(self.raise_type(index, "string"));
        }
        Ok(self.string(self.place(index)))
    }

    /// That an argument is a table.
    ///
    /// # Errors
    /// `bad argument #1 to 'f' (table expected, got nil)`
    pub fn check_table(&mut self, index: i32) -> Result<(), Raised> {
        match self.kind(index) {
            Some(Kind::Table) => Ok(()),
            _ => Err(self.raise_type(index, "table")),
        }
    }

    /// Pushes nil.
    #[inline]
    pub fn push_nil(&mut self) {
        self.push(ffi::Slot { payload: ffi::Payload { none: 0 }, kind: ffi::T_NIL })
    }

    /// Pushes a boolean.
    #[inline]
    pub fn push_boolean(&mut self, truth: bool) {
        self.push(ffi::Slot { payload: ffi::Payload { boolean: c_int::from(truth) }, kind: ffi::T_BOOLEAN })
    }

    /// Pushes a number.
    #[inline]
    pub fn push_number(&mut self, number: f64) {
        self.push(ffi::Slot { payload: ffi::Payload { number }, kind: ffi::T_NUMBER })
    }

    /// Pushes a string. O(bytes).
    #[inline]
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        self.reserve(1);
        // SAFETY: there is room, and all memory is granted.
        unsafe { ffi::lua_pushlstring(self.state, bytes.as_ptr().cast::<c_char>(), bytes.len()) }
    }

    /// Pushes a part of a string; panics if there is no such string, or no such part of it. O(bytes).
    pub fn push_substring(&mut self, index: i32, part: std::ops::Range<usize>) {
        self.reserve(1);
        let bytes = &self.bytes(index).expect("a string is there")[part];
        // SAFETY: there is room, and all memory is granted. The bytes are a string's that stays on the stack, so that the collector,
        // which may run, leaves it.
        unsafe { ffi::lua_pushlstring(self.state, bytes.as_ptr().cast(), bytes.len()) }
    }

    /// Pushes another copy of a value.
    #[inline]
    pub fn push_copy(&mut self, index: i32) {
        let slot = *self.slot(index).expect("there is no value at this place of the stack");
        self.push(slot)
    }

    /// Pushes a light userdata: a number that is equal to itself and to nothing else.
    pub fn push_light(&mut self, value: usize) {
        let object = value as *mut std::ffi::c_void;
        self.push(ffi::Slot { payload: ffi::Payload { object }, kind: ffi::T_LIGHT_USERDATA })
    }

    /// Pushes a function, which takes the given number of values off the top as its upvalues.
    pub fn push_function<F: Function>(&mut self, upvalues: usize) {
        assert!(upvalues <= self.top() && upvalues < 256, "a function has up to 255 upvalues, from the stack");
        self.reserve(1);
        // SAFETY: there is room, the upvalues are there, and all memory is granted.
        unsafe { ffi::lua_pushcclosure(self.state, trampoline::<F>, upvalues as c_int) }
    }

    /// Pushes the table of globals.
    pub(super) fn push_globals(&mut self) {
        self.reserve(1);
        // SAFETY: there is room, and the table exists always.
        unsafe { ffi::lua_pushvalue(self.state, ffi::GLOBALS) }
    }

    /// Makes the table on the top, which is taken off, the table of globals.
    pub(super) fn replace_globals(&mut self) {
        self.table(-1);
        // SAFETY: it is a table.
        unsafe { ffi::lua_replace(self.state, ffi::GLOBALS) }
    }

    /// Keeps the value on the top, which is taken off, until it is released.
    pub(super) fn keep(&mut self) -> Chunk {
        self.place(-1);
        self.reserve(2);
        // SAFETY: there are a value and room, the registry is a table, and all memory is granted.
        Chunk::new(unsafe { ffi::luaL_ref(self.state, ffi::REGISTRY) })
    }

    /// Pushes a value that was kept.
    pub(super) fn push_kept(&mut self, chunk: &Chunk) {
        self.reserve(1);
        // SAFETY: there is room, and the registry is a table.
        unsafe { ffi::lua_rawgeti(self.state, ffi::REGISTRY, chunk.reference) }
    }

    /// Lets a value go that was kept.
    pub(super) fn release(&mut self, chunk: Chunk) {
        self.reserve(2);
        // SAFETY: there is room, and the registry is a table, with this reference.
        unsafe { ffi::luaL_unref(self.state, ffi::REGISTRY, chunk.reference) }
    }

    /// Pushes an upvalue of the running function, from 1 on; nil if it has none such.
    pub fn push_upvalue(&mut self, number: usize) {
        assert!((1..256).contains(&number), "upvalues count from 1");
        self.reserve(1);
        // SAFETY: there is room, and any index of an upvalue can be asked for: beyond the last there is nil.
        unsafe { ffi::lua_pushvalue(self.state, ffi::GLOBALS - number as c_int) }
    }

    /// Sets an upvalue of the running function to the value on the top, which is taken off.
    pub fn set_upvalue(&mut self, number: usize) {
        assert!((1..256).contains(&number) && self.top() > 0, "upvalues count from 1");
        let index = ffi::GLOBALS - number as c_int;
        // SAFETY: reads a place that may not exist.
        let exists = unsafe { ffi::lua_type(self.state, index) } != ffi::T_NONE;
        assert!(exists, "the function has fewer upvalues");
        // SAFETY: the upvalue exists, and there is a value.
        unsafe { ffi::lua_replace(self.state, index) }
    }

    /// Takes a value out, the ones above it move down.
    pub fn remove(&mut self, index: i32) {
        let place = self.place(index);
        // SAFETY: the value exists.
        unsafe { ffi::lua_remove(self.state, place) }
    }

    /// Moves the value on the top to a place, the ones above it move up.
    pub fn insert(&mut self, index: i32) {
        let place = self.place(index);
        // SAFETY: the value exists.
        unsafe { ffi::lua_insert(self.state, place) }
    }

    /// Moves the value on the top to a place whose value goes.
    pub fn replace(&mut self, index: i32) {
        let place = self.place(index);
        // SAFETY: both values exist.
        unsafe { ffi::lua_replace(self.state, place) }
    }

    /// Pushes a list of strings. O(bytes).
    pub(super) fn push_list<'i>(&mut self, items: impl ExactSizeIterator<Item = &'i [u8]>) {
        self.new_table(items.len(), 0);
        for (index, item) in items.enumerate() {
            // SAFETY: the table was just made and is on the top, and all memory is granted.
            unsafe { ffi::aleadb_set_item(self.state, index as c_int + 1, item.as_ptr().cast(), item.len()) }
        }
    }

    /// Sets an element of the table on the top, which this function has made, to a string. May suspend the script. O(bytes).
    ///
    /// # Errors
    /// There is no memory, or the script is to end.
    #[inline]
    pub(super) fn set_item(&mut self, index: usize, bytes: &[u8]) -> Result<(), Raised> {
        assert!(!self.is_readonly(-1), "the table is the caller's own");
        // SAFETY: it is a table that can be written, and all memory is granted.
        unsafe { ffi::aleadb_set_item(self.state, index as c_int, bytes.as_ptr().cast(), bytes.len()) }
        match self.has_memory() {
            true => self.check_end(),
            false => Err(self.raise_memory()),
        }
    }

    /// Sets one of the globals of scripts that are lists of strings, though globals are read-only. O(bytes).
    pub(super) fn set_list<'i>(&mut self, list: List, items: impl ExactSizeIterator<Item = &'i [u8]>) {
        self.reserve(2);
        let (name, count) = (list.name(), items.len() as c_int);
        // SAFETY: there is room, the globals are a table, and all memory is granted. The table is on the top then, and can be
        // written.
        unsafe {
            ffi::aleadb_push_list(self.state, list as c_int, name.as_ptr().cast(), name.len(), count);
            for (index, item) in items.enumerate() {
                ffi::aleadb_set_item(self.state, index as c_int + 1, item.as_ptr().cast(), item.len());
            }
        }
        self.pop(1);
    }

    /// Raises a string as an error.
    pub fn raise(&mut self, text: &[u8]) -> Raised {
        self.make_room_for_error();
        self.push_bytes(text);
        Raised(())
    }

    /// Raises the value on the top as an error.
    pub fn raise_top(&mut self) -> Raised {
        Raised(())
    }

    /// Raises a string as an error, with the place in the script where this function was called: `user_script:1: text`.
    pub fn raise_at_caller(&mut self, text: &[u8]) -> Raised {
        let place =
            self.caller(1).map_or(Vec::new(), |(source, line)| [&source, format!(":{line}: ").as_bytes()].concat());
        self.raise(&[&place, text].concat())
    }

    /// Raises an error about an argument: `bad argument #1 to 'f' (text)`.
    pub fn raise_argument(&mut self, index: i32, text: &[u8]) -> Raised {
        let (name, is_method) = self.name();
        let text = match (is_method, index) {
            (true, 1) => [b"calling '", &*name, b"' on bad self (", text, b")"].concat(),
            _ => {
                let number = (index - i32::from(is_method)).to_string();
                [b"bad argument #", number.as_bytes(), b" to '", &name, b"' (", text, b")"].concat()
            }
        };
        self.raise_at_caller(&text)
    }

    /// Raises an error about an argument of the wrong type.
    fn raise_type(&mut self, index: i32, expected: &str) -> Raised {
        let text = format!("{expected} expected, got {}", self.type_name(index));
        self.raise_argument(index, text.as_bytes())
    }

    /// Raises Lua's error for a script that has used up its memory.
    pub(super) fn raise_memory(&mut self) -> Raised {
        self.raise(b"not enough memory")
    }

    /// An error finds room on any stack.
    fn make_room_for_error(&mut self) {
        if !self.try_ensure(1) {
            self.pop(1);
        }
    }

    /// Where in a script a function on the stack is: its source's short name, and the line; `None` for one that is not Lua's.
    /// Level 0 is the running function, 1 the one that called it.
    fn caller(&mut self, level: c_int) -> Option<(Vec<u8>, c_int)> {
        let debug = Debug::of(self.state, level, c"Sl")?;
        (debug.0.current_line > 0).then(|| (debug.short_source(), debug.0.current_line))
    }

    /// The name by which the running function was called, and whether as a method.
    fn name(&mut self) -> (Vec<u8>, bool) {
        match Debug::of(self.state, 0, c"n") {
            Some(debug) => (debug.name().unwrap_or(b"?".to_vec()), debug.is_method()),
            None => (b"?".to_vec(), false),
        }
    }

    /// Counts work, a step being some nanoseconds. May suspend the script.
    ///
    /// # Errors
    /// The script is to end.
    pub fn step(&mut self, steps: u32) -> Result<(), Raised> {
        // SAFETY: counts, and may suspend the stack, which this function runs on and is left as it is.
        unsafe { ffi::aleadb_breathe(self.state, steps as isize) };
        self.check_end()
    }

    /// Has the next step look at the clock.
    pub(super) fn use_up_steps(&mut self) {
        // SAFETY: sets a number.
        unsafe { ffi::aleadb_set_steps(self.state, 0) }
    }

    /// Whether the script is to end.
    #[inline]
    pub(super) fn check_end(&mut self) -> Result<(), Raised> {
        match self.context().is_killed() {
            true => Err(super::vm::raise_end(self)),
            false => Ok(()),
        }
    }

    /// Whether the script may have more memory.
    #[inline]
    fn has_memory(&mut self) -> bool {
        self.context().left_bytes() > 0 || self.memory_for(1) > 0
    }

    /// Bytes that the script may still use, which what a function builds in memory of its own has to be below; if they are fewer
    /// than are needed, after garbage was collected. May suspend the script.
    #[inline]
    pub(super) fn memory_for(&mut self, bytes: usize) -> usize {
        if self.context().left_bytes() < bytes {
            self.collect();
        }
        self.context().left_bytes()
    }

    #[cold]
    fn collect(&mut self) {
        // SAFETY: nothing is called in a collection, and none raises an error here. What is in use lies on the stack.
        unsafe { ffi::lua_gc(self.state, ffi::GC_COLLECT, 0) };
    }

    /// An empty buffer, with the room that the one given back last had.
    pub(super) fn take_buffer(&mut self) -> Vec<u8> {
        self.context().buffer.take()
    }

    /// Gives a buffer back for the next call. One that has become large is let go.
    pub(super) fn keep_buffer(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= KEPT_BUFFER_BYTES_MAX {
            buffer.clear();
            self.context().buffer.set(buffer);
        }
    }
}

/// A value, if it is a number or a string.
///
/// # Safety
/// The slot holds a value, which is kept in memory as long as it is borrowed.
#[inline]
unsafe fn value_of(slot: &ffi::Slot) -> Value<'_> {
    // SAFETY: a number and a string hold these. The bytes of a string follow it.
    unsafe {
        match slot.kind {
            ffi::T_NUMBER => Value::Number(slot.payload.number),
            ffi::T_STRING => {
                let text = slot.payload.object.cast::<ffi::Text>();
                Value::String(std::slice::from_raw_parts(text.add(1).cast(), (*text).length))
            }
            _ => Value::Other,
        }
    }
}

/// What is known about a function on the stack.
pub(super) struct Debug(ffi::Debug);

impl Debug {
    /// Asks for what the letters say, as Lua's own function; `None` if the stack is not as deep.
    pub(super) fn of(state: *mut ffi::State, level: c_int, what: &std::ffi::CStr) -> Option<Debug> {
        // SAFETY: numbers and pointers, for which zero is a value.
        let mut debug = unsafe { std::mem::zeroed::<ffi::Debug>() };
        // SAFETY: reads the state into the structure, as its declaration has it.
        unsafe {
            if ffi::lua_getstack(state, level, &mut debug) == 0 {
                return None;
            }
            ffi::lua_getinfo(state, what.as_ptr(), &mut debug);
        }
        Some(Debug(debug))
    }

    fn text(pointer: *const c_char) -> Option<Vec<u8>> {
        // SAFETY: null, or a text of the interpreter's that ends in a zero byte.
        (!pointer.is_null()).then(|| unsafe { std::ffi::CStr::from_ptr(pointer) }.to_bytes().to_vec())
    }

    fn short_source(&self) -> Vec<u8> {
        Debug::text(self.0.short_source.as_ptr()).unwrap_or_default()
    }

    fn name(&self) -> Option<Vec<u8>> {
        Debug::text(self.0.name)
    }

    fn is_method(&self) -> bool {
        Debug::text(self.0.name_what).is_some_and(|what| what == b"method")
    }

    /// True for a function that is not Lua's.
    pub(super) fn is_c(&self) -> bool {
        Debug::text(self.0.what).is_some_and(|what| what == b"C")
    }

    /// The whole name of the source.
    pub(super) fn source(&self) -> Vec<u8> {
        Debug::text(self.0.source).unwrap_or_default()
    }

    /// The line in it that is run; -1 if there is none.
    pub(super) fn line(&self) -> i32 {
        self.0.current_line
    }
}
