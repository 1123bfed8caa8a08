//! What scripts find in `redis`, which is `server` as well: commands, replies, the log, and the server's version.

use super::convert;
use super::ffi;
use super::sandbox::set;
use super::state::{Answer, Frame, Function, Kind, Push, Raised, Value};
use super::vm::{self, Asked, Exchange, Purpose, Replication};
use crate::base::num;
use crate::resp::args::OwnedArgs;
use crate::resp::out::Out;
use crate::resp::reply::Proto;

/// The levels of the log, as `redis.LOG_DEBUG` to `redis.LOG_WARNING` number them.
const LOG_LEVELS: [(&str, log::Level); 4] = [
    ("LOG_DEBUG", log::Level::Trace),
    ("LOG_VERBOSE", log::Level::Debug),
    ("LOG_NOTICE", log::Level::Info),
    ("LOG_WARNING", log::Level::Warn),
];

/// Where changes are propagated to, as `redis.set_repl` takes it: bits for the log and for replicas.
const REPLICATION: [(&str, u8); 5] =
    [("REPL_NONE", 0), ("REPL_AOF", 1), ("REPL_SLAVE", 2), ("REPL_REPLICA", 2), ("REPL_ALL", 3)];

/// Bytes that a command's arguments may have together: as many as a client may send.
const COMMAND_BYTES_MAX: usize = 1 << 30;
/// As many arguments as there can be stay below that if none of them has more bytes than this.
const LARGE_BYTES: usize = COMMAND_BYTES_MAX / (2 * ffi::SLOTS_MAX);

/// Bytes that the command of a call may keep for the next one.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// Makes the table `redis`, and sets it in the table on the top under both its names.
pub(super) fn open(frame: &mut Frame<'_>, purpose: Purpose, redis_version: &str) {
    frame.new_table(0, 32);
    let functions: [(&str, Push); 8] = [
        ("call", |frame| frame.push_function::<Call>(0)),
        ("pcall", |frame| frame.push_function::<ProtectedCall>(0)),
        ("setresp", |frame| frame.push_function::<SetProtocol>(0)),
        ("sha1hex", |frame| frame.push_function::<Sha1>(0)),
        ("error_reply", |frame| frame.push_function::<ErrorReply>(0)),
        ("status_reply", |frame| frame.push_function::<StatusReply>(0)),
        ("set_repl", |frame| frame.push_function::<SetReplication>(0)),
        ("acl_check_cmd", |frame| frame.push_function::<MayCall>(0)),
    ];
    for (name, push) in functions {
        push(frame);
        set(frame, name);
    }
    if purpose == Purpose::Scripts {
        frame.push_function::<ReplicateCommands>(0);
        set(frame, "replicate_commands");
        frame.push_function::<Breakpoint>(0);
        set(frame, "breakpoint");
        frame.push_function::<DebugPrint>(0);
        set(frame, "debug");
    }
    set_common(frame, redis_version);
    for (name, bits) in REPLICATION {
        frame.push_number(f64::from(bits));
        set(frame, name);
    }
    frame.push_copy(-1);
    frame.set_own(-3, "server");
    set(frame, "redis");
}

/// Sets what the code of libraries sees as well: the log and its levels, and the version.
pub(super) fn set_common(frame: &mut Frame<'_>, version: &str) {
    frame.push_function::<Log>(0);
    set(frame, "log");
    for (level, (name, _)) in LOG_LEVELS.iter().enumerate() {
        frame.push_number(level as f64);
        set(frame, name);
    }
    frame.push_bytes(version.as_bytes());
    set(frame, "REDIS_VERSION");
    let numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or_default());
    let number = numbers.fold(0, |number, part| number << 8 | part);
    frame.push_number(f64::from(number));
    set(frame, "REDIS_VERSION_NUM");
}

/// Pushes an error object with a text that has no code word yet.
pub(super) fn push_error(frame: &mut Frame<'_>, text: &[u8]) {
    frame.new_table(0, 3);
    frame.push_bytes(&[b"ERR ", text].concat());
    set(frame, "err");
}

/// Pushes an error object of a reply's text after the `-`, which has been counted by whoever wrote it.
///
/// # Errors
/// There is no memory.
pub(super) fn push_reply_error(frame: &mut Frame<'_>, text: &[u8]) -> Result<(), Raised> {
    push_error_text(frame, text);
    frame.push_boolean(true);
    frame.raw_set_name(-2, "ignore_error_stats_update")
}

/// Pushes an error object of a text that begins with its code word, unless it has only one word.
fn push_error_text(frame: &mut Frame<'_>, text: &[u8]) {
    frame.new_table(0, 4);
    match text.contains(&b' ') {
        true => frame.push_bytes(text),
        false => frame.push_bytes(&[b"ERR ", text].concat()),
    }
    set(frame, "err");
}

/// Raises an error object, as the functions of `redis` do.
pub(super) fn raise(frame: &mut Frame<'_>, text: &str) -> Raised {
    match frame.ensure(4) {
        Ok(()) => {
            push_error(frame, text.as_bytes());
            frame.raise_top()
        }
        Err(raised) => raised,
    }
}

/// The interpreter's handler of errors: makes an error object of whatever was raised, and notes where. In Redis it is a global
/// of scripts, though not of functions.
pub(super) struct Handler;

impl Function for Handler {
    fn call(frame: &mut Frame<'_>) -> Answer {
        frame.set_top(1);
        if frame.kind(1) != Some(Kind::Table) {
            let text = vm::text_of(frame, 1);
            push_error(frame, &text);
        }
        // As Redis's handler: of the function that raised the error, or the one that called it.
        vm::set_place(frame, 1..=2);
        Ok(1)
    }
}

/// `redis.call`: the errors of commands are raised.
struct Call;

impl Function for Call {
    fn call(frame: &mut Frame<'_>) -> Answer {
        call(frame, true)
    }
}

/// `redis.pcall`: the errors of commands are returned.
struct ProtectedCall;

impl Function for ProtectedCall {
    fn call(frame: &mut Frame<'_>) -> Answer {
        call(frame, false)
    }
}

/// Returns an error object, or raises it.
fn fail(frame: &mut Frame<'_>, text: &str, raises: bool) -> Answer {
    frame.ensure(4)?;
    push_error(frame, text.as_bytes());
    if raises { Err(frame.raise_top()) } else { Ok(1) }
}

/// Runs a command: the server does.
fn call(frame: &mut Frame<'_>, raises: bool) -> Answer {
    let context = frame.context();
    // Nobody else needs it before this function is over, not even if the script is suspended meanwhile.
    let mut exchange = context.exchange.borrow_mut();
    if let Some(refusal) = take_command(frame, &mut exchange) {
        return fail(frame, refusal, raises);
    }
    let mark = frame.mark(1);
    exchange.mark = mark;
    context.turn.ask(Asked::Call, &mut exchange);
    if exchange.mark != mark {
        frame.set_mark(1, exchange.mark);
    }
    if std::mem::take(&mut exchange.is_late) {
        frame.use_up_steps();
    }
    let failed = push_answer(frame, &mut exchange.answer)?;
    if raises && failed { Err(frame.raise_top()) } else { Ok(1) }
}

/// Pushes the reply that the server has written, and drops it; whether it is an error.
fn push_answer(frame: &mut Frame<'_>, answer: &mut Out) -> Result<bool, Raised> {
    let long;
    let reply = match answer.as_slice() {
        Some(reply) => reply,
        None => {
            long = std::mem::take(answer).into_bytes();
            &*long
        }
    };
    let failed = reply.first() == Some(&b'-');
    let pushed = convert::push_reply(frame, reply).map(|_| failed);
    answer.clear();
    pushed
}

/// Takes the frame's values as a command, or says why they are none.
fn take_command(frame: &mut Frame<'_>, exchange: &mut Exchange) -> Option<&'static str> {
    let count = frame.top() as i32;
    if count == 0 {
        return Some("Please specify at least one argument for this redis lib call");
    }
    if exchange.loading.is_some() {
        return Some("redis.call/pcall can only be called inside a script invocation");
    }
    let command = &mut exchange.call;
    if command.heap_bytes() > KEPT_BYTES_MAX {
        *command = OwnedArgs::default();
    }
    command.clear();
    let mut is_measured = false;
    for index in 1..=count {
        match frame.value(index) {
            Value::String(bytes) => {
                if bytes.len() > LARGE_BYTES && !is_measured {
                    is_measured = true;
                    let length = |index| frame.bytes(index).map_or(0, <[u8]>::len);
                    if (1..=count).map(length).sum::<usize>() > COMMAND_BYTES_MAX {
                        return Some("the arguments of a command take too much memory");
                    }
                }
                command.push(bytes);
            }
            Value::Number(number) => {
                let mut digits = Vec::with_capacity(32);
                write_number(&mut digits, number);
                command.push(&digits);
            }
            Value::Other => return Some("Lua redis lib command arguments must be strings or integers"),
        }
    }
    None
}

/// A number as an argument: all its digits, unlike Lua's own text of it.
fn write_number(digits: &mut Vec<u8>, number: f64) {
    if number.is_nan() {
        digits.extend_from_slice(if number.is_sign_negative() { b"-nan" } else { b"nan" });
    } else if number == 0.0 {
        digits.push(b'0');
    } else {
        num::write_f64(digits, number);
    }
}

/// `redis.acl_check_cmd`: whether the user who runs the script may run a command.
struct MayCall;

impl Function for MayCall {
    fn call(frame: &mut Frame<'_>) -> Answer {
        let context = frame.context();
        let mut exchange = context.exchange.borrow_mut();
        if let Some(refusal) = take_command(frame, &mut exchange) {
            return Err(raise(frame, refusal));
        }
        context.turn.ask(Asked::MayCall, &mut exchange);
        let failed = push_answer(frame, &mut exchange.answer)?;
        match failed {
            true => Err(frame.raise_top()),
            false => {
                let truth = frame.number(-1) == Some(1.0);
                frame.push_boolean(truth);
                Ok(1)
            }
        }
    }
}

/// `redis.log(level, ...)`
struct Log;

impl Function for Log {
    fn call(frame: &mut Frame<'_>) -> Answer {
        let count = frame.top();
        if count < 2 {
            return Err(raise(frame, "redis.log() requires two arguments or more."));
        }
        let Some(level) = frame.coerced_number(1) else {
            return Err(raise(frame, "First argument must be a number (log level)."));
        };
        let Some((_, level)) = LOG_LEVELS.get(level as usize).filter(|_| level >= 0.0) else {
            return Err(raise(frame, "Invalid log level."));
        };
        if *level <= log::max_level() {
            let mut text = Vec::new();
            for index in 2..=count as i32 {
                if let Some(part) = frame.coerce_bytes(index) {
                    if index > 2 {
                        text.push(b' ');
                    }
                    text.extend_from_slice(part);
                }
            }
            log::log!(*level, "{}", String::from_utf8_lossy(&text));
        }
        Ok(0)
    }
}

/// `redis.setresp(2)` or `(3)`: the protocol of the replies that the script sees.
struct SetProtocol;

impl Function for SetProtocol {
    fn call(frame: &mut Frame<'_>) -> Answer {
        if frame.top() != 1 {
            return Err(raise(frame, "redis.setresp() requires one argument."));
        }
        let proto = match frame.coerced_number(1).unwrap_or_default() as i32 {
            2 => Proto::Resp2,
            3 => Proto::Resp3,
            _ => return Err(raise(frame, "RESP version must be 2 or 3.")),
        };
        frame.context().exchange.borrow_mut().proto = proto;
        Ok(0)
    }
}

/// Bytes that are hashed between two counts of steps.
const HASHED_BYTES: usize = 64 << 10;
/// A step is some nanoseconds, and so is the hash of so many bytes.
const HASHED_BYTES_PER_STEP: u32 = 4;

/// `redis.sha1hex(text)`
struct Sha1;

impl Function for Sha1 {
    fn call(frame: &mut Frame<'_>) -> Answer {
        if frame.top() != 1 {
            return Err(raise(frame, "wrong number of arguments"));
        }
        let mut hash = sha1_smol::Sha1::new();
        let length = frame.coerce_bytes(1).map_or(0, <[u8]>::len);
        for start in (0..length).step_by(HASHED_BYTES) {
            let end = length.min(start + HASHED_BYTES);
            hash.update(&frame.coerce_bytes(1).unwrap_or_default()[start..end]);
            frame.step((end - start) as u32 / HASHED_BYTES_PER_STEP)?;
        }
        let digest = hash.digest().to_string();
        frame.push_bytes(digest.as_bytes());
        Ok(1)
    }
}

/// `redis.error_reply(text)`
struct ErrorReply;

impl Function for ErrorReply {
    fn call(frame: &mut Frame<'_>) -> Answer {
        match frame.bytes(1).filter(|_| frame.top() == 1) {
            Some(text) => {
                let text = text.strip_prefix(b"-").unwrap_or(text);
                // Line breaks go from around the message, which begins behind the code word.
                let message = text.iter().position(|byte| *byte == b' ').map_or(0, |space| space + 1);
                let is_text = |byte: &u8| !matches!(byte, b'\r' | b'\n');
                let start = text[message..].iter().position(is_text).map_or(text.len(), |first| message + first);
                let end = text[start..].iter().rposition(is_text).map_or(start, |last| start + last + 1);
                let text = [&text[..message], &text[start..end]].concat();
                push_error_text(frame, &text);
            }
            None => push_error(frame, b"wrong number or type of arguments"),
        }
        Ok(1)
    }
}

/// `redis.status_reply(text)`
struct StatusReply;

impl Function for StatusReply {
    fn call(frame: &mut Frame<'_>) -> Answer {
        if frame.top() == 1 && frame.kind(1) == Some(Kind::String) {
            frame.new_table(0, 1);
            frame.push_copy(1);
            frame.raw_set_name(-2, "ok")?;
        } else {
            push_error(frame, b"wrong number or type of arguments");
        }
        Ok(1)
    }
}

/// `redis.set_repl(flags)`: where what the script changes from here on is propagated to.
struct SetReplication;

impl Function for SetReplication {
    fn call(frame: &mut Frame<'_>) -> Answer {
        if frame.top() != 1 {
            return Err(raise(frame, "redis.set_repl() requires one argument."));
        }
        let flags = frame.coerced_number(1).unwrap_or_default() as i32;
        if !(0..=3).contains(&flags) {
            let text = "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.";
            return Err(raise(frame, text));
        }
        frame.context().exchange.borrow_mut().replication =
            Replication { log: flags & 1 != 0, replicas: flags & 2 != 0 };
        Ok(0)
    }
}

/// `redis.replicate_commands()`: what it asks for is how scripts are always propagated.
struct ReplicateCommands;

impl Function for ReplicateCommands {
    fn call(frame: &mut Frame<'_>) -> Answer {
        frame.push_boolean(true);
        Ok(1)
    }
}

/// `redis.breakpoint()`: false, for there is no debugger.
struct Breakpoint;

impl Function for Breakpoint {
    fn call(frame: &mut Frame<'_>) -> Answer {
        frame.push_boolean(false);
        Ok(1)
    }
}

/// `redis.debug(...)`: tells a debugger, and there is none.
struct DebugPrint;

impl Function for DebugPrint {
    fn call(_frame: &mut Frame<'_>) -> Answer {
        Ok(0)
    }
}
