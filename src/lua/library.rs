//! Libraries of functions: their code runs once, sees `redis.register_function` and the log and nothing else, and what it registers
//! is kept.

use super::api;
use super::sandbox::{self, set};
use super::state::{Answer, Frame, Function, Kind, Raised};
use super::vm::Chunk;

/// A function that a library registered.
#[derive(Debug)]
pub struct Registration {
    /// Letters, digits and underscores; unique in its library.
    pub name: Vec<u8>,
    /// The function.
    pub chunk: Chunk,
    /// What it says that it does.
    pub description: Option<Vec<u8>>,
    /// Its flags, as indices of those that were offered.
    pub flags: Vec<usize>,
}

/// What a library is loaded with.
#[derive(Debug, Default)]
pub(super) struct Loading {
    /// The names of the flags that functions may have.
    pub flags: &'static [&'static str],
    /// What has been registered so far.
    pub found: Vec<Registration>,
}

/// Puts the globals of functions in place: an empty table that finds everything in the one that was open, and in the course of
/// loading in another. Returns its metatable and both of them.
pub(super) fn open(frame: &mut Frame<'_>, redis_version: &str) -> Globals {
    frame.push_globals();
    let run = frame.keep();
    frame.new_table(0, 2);
    frame.new_table(0, 8);
    frame.push_function::<RegisterFunction>(0);
    set(frame, "register_function");
    api::set_common(frame, redis_version);
    sandbox::refuse_missing(frame);
    frame.push_copy(-1);
    frame.set_own(-3, "server");
    set(frame, "redis");
    sandbox::refuse_missing(frame);
    sandbox::protect(frame);
    let load = frame.keep();
    frame.new_table(0, 0);
    frame.new_table(0, 1);
    frame.push_copy(-1);
    let metatable = frame.keep();
    let globals = Globals { metatable, run, load };
    globals.find_in(frame, &globals.run);
    sandbox::protect_one(frame);
    let _ = frame.set_metatable(-2);
    sandbox::protect_one(frame);
    frame.replace_globals();
    globals
}

/// Where functions and the code of libraries find globals.
#[derive(Debug)]
pub(super) struct Globals {
    metatable: Chunk,
    run: Chunk,
    load: Chunk,
}

impl Globals {
    /// Libraries are loaded from here on, or functions run.
    pub(super) fn set_loading(&self, frame: &mut Frame<'_>, is_loading: bool) {
        frame.push_kept(&self.metatable);
        frame.set_readonly(-1, false);
        self.find_in(frame, if is_loading { &self.load } else { &self.run });
        frame.set_readonly(-1, true);
        frame.pop(1);
    }

    /// The metatable on the top sends whoever looks for a global to a table.
    fn find_in(&self, frame: &mut Frame<'_>, table: &Chunk) {
        frame.push_kept(table);
        frame.set_own(-2, "__index");
    }
}

/// `redis.register_function(name, function)`, or with a table of `function_name`, `callback`, `description` and `flags`.
struct RegisterFunction;

impl Function for RegisterFunction {
    fn call(frame: &mut Frame<'_>) -> Answer {
        if frame.context().exchange.borrow().loading.is_none() {
            return Err(api::raise(frame, "redis.register_function can only be called on FUNCTION LOAD command"));
        }
        let (name, description, flags) = match frame.top() {
            1 => named(frame)?,
            2 => (positional(frame)?, None, Vec::new()),
            _ => return Err(api::raise(frame, "wrong number of arguments to redis.register_function")),
        };
        let is_valid = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        if !is_valid {
            let text = "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";
            return Err(api::raise(frame, text));
        }
        let context = frame.context();
        let is_known = |found: &Vec<Registration>| found.iter().any(|registration| registration.name == name);
        if context.exchange.borrow().loading.as_ref().is_some_and(|loading| is_known(&loading.found)) {
            return Err(api::raise(frame, "Function already exists in the library"));
        }
        // The function lies on the top.
        let chunk = frame.keep();
        if let Some(loading) = &mut context.exchange.borrow_mut().loading {
            loading.found.push(Registration { name, chunk, description, flags });
        }
        Ok(0)
    }
}

/// The name, from arguments in their order; the function is on the top.
fn positional(frame: &mut Frame<'_>) -> Result<Vec<u8>, Raised> {
    let Some(name) = frame.coerce_bytes(1).map(<[u8]>::to_vec) else {
        return Err(api::raise(frame, "first argument to redis.register_function must be a string"));
    };
    match frame.kind(2) {
        Some(Kind::Function) => Ok(name),
        _ => Err(api::raise(frame, "second argument to redis.register_function must be a function")),
    }
}

/// What a table of named arguments says.
type Named = (Vec<u8>, Option<Vec<u8>>, Vec<usize>);

/// Reads named arguments; leaves the function on the top.
fn named(frame: &mut Frame<'_>) -> Result<Named, Raised> {
    if frame.kind(1) != Some(Kind::Table) {
        let text = "calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).";
        return Err(api::raise(frame, text));
    }
    // The function has its place below what follows.
    frame.push_nil();
    let (mut name, mut description, mut flags) = (None, None, Vec::new());
    frame.push_nil();
    while frame.next(1) {
        frame.push_copy(-2);
        let Some(key) = frame.coerce_bytes(-1).map(<[u8]>::to_ascii_lowercase) else {
            return Err(api::raise(frame, "named argument key given to redis.register_function is not a string"));
        };
        frame.pop(1);
        match &*key {
            b"function_name" => name = Some(text_argument(frame, "function_name")?),
            b"description" => description = Some(text_argument(frame, "description")?),
            b"callback" => {
                if frame.kind(-1) != Some(Kind::Function) {
                    let text = "callback argument given to redis.register_function must be a function";
                    return Err(api::raise(frame, text));
                }
                frame.push_copy(-1);
                frame.replace(2);
            }
            b"flags" => flags = read_flags(frame)?,
            _ => return Err(api::raise(frame, "unknown argument given to redis.register_function")),
        }
        frame.pop(1);
    }
    let Some(name) = name else {
        return Err(api::raise(frame, "redis.register_function must get a function name argument"));
    };
    if frame.kind(2) != Some(Kind::Function) {
        return Err(api::raise(frame, "redis.register_function must get a callback argument"));
    }
    Ok((name, description, flags))
}

/// The value on the top as a text.
fn text_argument(frame: &mut Frame<'_>, name: &str) -> Result<Vec<u8>, Raised> {
    match frame.coerce_bytes(-1).map(<[u8]>::to_vec) {
        Some(text) => Ok(text),
        None => Err(api::raise(frame, &format!("{name} argument given to redis.register_function must be a string"))),
    }
}

/// The table on the top as flags.
fn read_flags(frame: &mut Frame<'_>) -> Result<Vec<usize>, Raised> {
    if frame.kind(-1) != Some(Kind::Table) {
        let text = "flags argument to redis.register_function must be a table representing function flags";
        return Err(api::raise(frame, text));
    }
    let context = frame.context();
    let known = context.exchange.borrow().loading.as_ref().map_or(&[][..], |loading| loading.flags);
    let mut flags = Vec::new();
    for index in 1.. {
        frame.raw_get_index(-1, index);
        if frame.kind(-1) == Some(Kind::Nil) {
            break;
        }
        let of_name = |name: &[u8]| known.iter().position(|flag| flag.as_bytes() == name);
        match frame.bytes(-1).and_then(of_name) {
            Some(flag) => flags.push(flag),
            None => return Err(api::raise(frame, "unknown flag given")),
        }
        frame.pop(1);
    }
    frame.pop(1);
    Ok(flags)
}
