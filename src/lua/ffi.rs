//! The interpreter's C interface, as `lua.h` and `lauxlib.h` of Lua 5.1 declare it, and what the substitutions of the build script
//! add. Nothing but declarations.
//!
//! The structures are those of values and stacks, which functions in Rust read and write without a call.
//!
//! Functions that raise errors leave by `longjmp`. Whoever calls one of them from Rust must have nothing to drop in any frame up
//! to the next protected call; [`super::state`] calls none that does.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::mem::offset_of;

/// A thread of the interpreter: the main one, or a coroutine. These are the first fields of `lua_State`; that they and those of
/// the structures below lie where C has them is asserted when an interpreter is made ([`LAYOUT`]).
#[repr(C)]
pub struct State {
    next: *mut c_void,
    kind: u8,
    marked: u8,
    status: u8,
    /// The first free slot of the stack.
    pub top: *mut Slot,
    /// The first slot of the running function.
    pub base: *mut Slot,
    global: *mut c_void,
    /// The running function's call.
    pub call: *mut CallInfo,
}

/// A call of a function: the first fields of C's `CallInfo`.
#[repr(C)]
pub struct CallInfo {
    base: *mut Slot,
    function: *mut Slot,
    /// Up to where the function may use the stack.
    pub top: *mut Slot,
}

/// A value: C's `TValue`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Slot {
    pub payload: Payload,
    /// One of the types below.
    pub kind: c_int,
}

/// What a value holds beside its type: C's `Value`.
#[derive(Clone, Copy)]
#[repr(C)]
pub union Payload {
    pub none: usize,
    pub object: *mut c_void,
    pub number: f64,
    pub boolean: c_int,
}

/// A string, whose bytes follow: C's `TString`.
#[repr(C)]
pub struct Text {
    next: *mut c_void,
    kind: u8,
    marked: u8,
    reserved: u8,
    /// What the server knows it by.
    pub mark: u8,
    hash: c_uint,
    pub length: usize,
}

/// A table: C's `Table`, with what the substitutions add.
#[repr(C)]
pub struct Table {
    next: *mut c_void,
    kind: u8,
    marked: u8,
    flags: u8,
    node_bits: u8,
    /// Nothing can be assigned to its fields.
    pub readonly: u8,
    pub metatable: *mut Table,
    /// The elements from 1 on, as far as they are in its array.
    pub array: *mut Slot,
    node: *mut c_void,
    last_free: *mut c_void,
    gray: *mut c_void,
    pub array_length: c_int,
}

/// Sizes and offsets of the structures above, in the order of `aleadb_layout`.
pub const LAYOUT: [usize; 15] = [
    offset_of!(State, top),
    offset_of!(State, base),
    offset_of!(State, call),
    offset_of!(CallInfo, top),
    size_of::<Slot>(),
    offset_of!(Slot, payload),
    offset_of!(Slot, kind),
    size_of::<Payload>(),
    size_of::<Text>(),
    offset_of!(Text, mark),
    offset_of!(Text, length),
    offset_of!(Table, readonly),
    offset_of!(Table, metatable),
    offset_of!(Table, array),
    offset_of!(Table, array_length),
];

/// A function that Lua can call.
pub type CFunction = unsafe extern "C-unwind" fn(*mut State) -> c_int;
/// The allocator: block, its size, the wanted size; as `realloc`.
pub type Alloc = unsafe extern "C-unwind" fn(*mut c_void, *mut c_void, usize, usize) -> *mut c_void;

pub const REGISTRY: c_int = -10000;
pub const GLOBALS: c_int = -10002;
/// Most calls of functions in C that may be at work at once.
pub const C_CALLS_MAX: c_int = 200;
/// Most slots that a function may use.
pub const SLOTS_MAX: usize = 8000;

pub const T_NONE: c_int = -1;
pub const T_NIL: c_int = 0;
pub const T_BOOLEAN: c_int = 1;
pub const T_LIGHT_USERDATA: c_int = 2;
pub const T_NUMBER: c_int = 3;
pub const T_STRING: c_int = 4;
pub const T_TABLE: c_int = 5;
pub const T_FUNCTION: c_int = 6;
pub const T_USERDATA: c_int = 7;
pub const T_THREAD: c_int = 8;

/// The status of a call that has raised an error.
pub const ERROR_RUN: c_int = 2;

pub const GC_COLLECT: c_int = 2;

/// The room for a function's source in [`Debug`].
pub const SOURCE_BYTES: usize = 60;

/// What is known about a function on the stack.
#[repr(C)]
pub struct Debug {
    pub event: c_int,
    pub name: *const c_char,
    pub name_what: *const c_char,
    pub what: *const c_char,
    pub source: *const c_char,
    pub current_line: c_int,
    pub upvalues: c_int,
    pub line_defined: c_int,
    pub last_line_defined: c_int,
    pub short_source: [c_char; SOURCE_BYTES],
    /// The interpreter's own.
    pub call: c_int,
}

unsafe extern "C-unwind" {
    pub fn lua_newstate(alloc: Alloc, context: *mut c_void) -> *mut State;
    pub fn lua_close(state: *mut State);
    pub fn lua_atpanic(state: *mut State, function: CFunction) -> Option<CFunction>;
    pub fn lua_getallocf(state: *mut State, context: *mut *mut c_void) -> Alloc;

    pub fn lua_gc(state: *mut State, what: c_int, data: c_int) -> c_int;

    pub fn lua_pushvalue(state: *mut State, index: c_int);
    pub fn lua_remove(state: *mut State, index: c_int);
    pub fn lua_insert(state: *mut State, index: c_int);
    pub fn lua_replace(state: *mut State, index: c_int);
    pub fn lua_checkstack(state: *mut State, slots: c_int) -> c_int;

    pub fn lua_rawequal(state: *mut State, left: c_int, right: c_int) -> c_int;
    pub fn lua_type(state: *mut State, index: c_int) -> c_int;
    pub fn lua_isnumber(state: *mut State, index: c_int) -> c_int;
    pub fn lua_tonumber(state: *mut State, index: c_int) -> f64;
    pub fn lua_tolstring(state: *mut State, index: c_int, length: *mut usize) -> *const c_char;
    pub fn lua_objlen(state: *mut State, index: c_int) -> usize;

    pub fn lua_pushlstring(state: *mut State, bytes: *const c_char, length: usize);
    pub fn lua_pushcclosure(state: *mut State, function: CFunction, upvalues: c_int);

    pub fn lua_rawget(state: *mut State, index: c_int);
    pub fn lua_rawgeti(state: *mut State, index: c_int, key: c_int);
    pub fn lua_createtable(state: *mut State, array: c_int, record: c_int);
    pub fn lua_getmetatable(state: *mut State, index: c_int) -> c_int;
    pub fn lua_rawset(state: *mut State, index: c_int);
    pub fn lua_rawseti(state: *mut State, index: c_int, key: c_int);
    pub fn lua_setmetatable(state: *mut State, index: c_int) -> c_int;

    pub fn lua_pcall(state: *mut State, arguments: c_int, results: c_int, handler: c_int) -> c_int;
    pub fn lua_error(state: *mut State) -> c_int;

    pub fn lua_getstack(state: *mut State, level: c_int, debug: *mut Debug) -> c_int;
    pub fn lua_getinfo(state: *mut State, what: *const c_char, debug: *mut Debug) -> c_int;

    pub fn luaL_loadbuffer(state: *mut State, text: *const c_char, length: usize, name: *const c_char) -> c_int;
    pub fn luaL_ref(state: *mut State, table: c_int) -> c_int;
    pub fn luaL_unref(state: *mut State, table: c_int, reference: c_int);

    pub fn luaopen_base(state: *mut State) -> c_int;
    pub fn luaopen_table(state: *mut State) -> c_int;
    pub fn luaopen_string(state: *mut State) -> c_int;
    pub fn luaopen_math(state: *mut State) -> c_int;
    pub fn luaopen_os(state: *mut State) -> c_int;

    // The substitutions' own.
    pub fn aleadb_set_steps(state: *mut State, steps: isize);
    pub fn aleadb_set_memory(state: *mut State, limit: usize, margin: usize);
    pub fn aleadb_tidy(state: *mut State, work: isize) -> c_int;
    pub fn aleadb_set_killed(state: *mut State, killed: c_int);
    pub fn aleadb_set_cstack_end(state: *mut State, end: *const c_char);
    pub fn aleadb_breathe(state: *mut State, steps: isize);
    pub fn aleadb_throw(state: *mut State) -> !;
    pub fn aleadb_set_readonly(state: *mut State, index: c_int, readonly: c_int);
    pub fn aleadb_has_fields(table: *const Table) -> c_int;
    pub fn aleadb_set_item(state: *mut State, index: c_int, bytes: *const c_char, length: usize);
    pub fn aleadb_push_list(state: *mut State, number: c_int, name: *const c_char, length: usize, items: c_int);
    pub fn aleadb_next(state: *mut State, index: c_int) -> c_int;
    /// Sizes and offsets, as [`LAYOUT`].
    pub static aleadb_layout: [usize; LAYOUT.len()];
}
