//! The globals of scripts and of functions, which nothing can change: every table that a script finds is read-only, and a global
//! that does not exist is an error.

use super::state::{Answer, Frame, Function, Kind};
use super::vm::{self, Purpose};
use super::{api, ffi, lib, random};

/// What is not given to scripts of what the interpreter's base library has.
const REMOVED: &[&str] = &["print", "getfenv", "setfenv"];

/// Opens the libraries and makes the globals. Only `KEYS` and `ARGV` are set later.
pub(super) fn open(frame: &mut Frame<'_>, purpose: Purpose, redis_version: &str) {
    for library in [ffi::luaopen_base, ffi::luaopen_table, ffi::luaopen_string, ffi::luaopen_math, ffi::luaopen_os] {
        vm::open_library(frame, library);
    }
    frame.push_globals();
    for name in REMOVED {
        frame.push_nil();
        set(frame, name);
    }
    frame.raw_get_name(-1, "math");
    random::open(frame);
    frame.pop(1);
    if purpose == Purpose::Scripts {
        frame.push_function::<api::Handler>(0);
        set(frame, "__redis__err__handler");
    }
    api::open(frame, purpose, redis_version);
    for (name, open) in lib::LIBRARIES {
        open(frame);
        set(frame, name);
    }
    refuse_missing(frame);
    protect(frame);
    frame.pop(1);
    protect_string_metatable(frame);
}

/// Makes it an error to ask the table on the top for a field that it does not have.
pub(super) fn refuse_missing(frame: &mut Frame<'_>) {
    frame.new_table(0, 1);
    frame.push_function::<NonexistentGlobal>(0);
    set(frame, "__index");
    let _ = frame.set_metatable(-2);
}

/// Makes the table on the top read-only.
pub(super) fn protect_one(frame: &mut Frame<'_>) {
    frame.set_readonly(-1, true);
}

/// Sets a field of the table below the value on the top: a table that was just made.
pub(super) fn set(frame: &mut Frame<'_>, name: &str) {
    frame.set_own(-2, name);
}

/// Makes the table on the top read-only, with all tables in it and their metatables.
pub(super) fn protect(frame: &mut Frame<'_>) {
    if frame.is_readonly(-1) {
        return;
    }
    frame.set_readonly(-1, true);
    if frame.metatable(-1) {
        protect(frame);
        frame.pop(1);
    }
    frame.push_nil();
    while frame.next(-2) {
        if frame.kind(-1) == Some(Kind::Table) {
            protect(frame);
        }
        frame.pop(1);
    }
}

/// Strings have a metatable, by which `("x"):rep(3)` works.
fn protect_string_metatable(frame: &mut Frame<'_>) {
    frame.push_bytes(b"");
    if frame.metatable(-1) {
        protect(frame);
        frame.pop(1);
    }
    frame.pop(1);
}

/// What answers for a global that does not exist.
struct NonexistentGlobal;

impl Function for NonexistentGlobal {
    fn call(frame: &mut Frame<'_>) -> Answer {
        let Some(name) = frame.coerce_bytes(2).map(<[u8]>::to_vec) else {
            return Err(frame.raise_at_caller(b"Second argument to luaProtectedTableError must be a string or number"));
        };
        let text = [b"Script attempted to access nonexistent global variable '", &*name, b"'"].concat();
        Err(frame.raise_at_caller(&text))
    }
}
