//! `cjson`, `cmsgpack`, `struct` and `bit`, by what they answer: recorded replies of Redis, and limits of our own.

use crate::interpreter::Interpreter;
use crate::recorded_calls;

/// Memory that a script of these tests may use.
const MEMORY_BYTES: usize = 16 << 20;

/// What a script that returns a string answers.
fn text(interpreter: &mut Interpreter, script: &str) -> String {
    let reply = interpreter.run(script.as_bytes(), &[]).unwrap_or_else(|text| text);
    let reply = String::from_utf8_lossy(&reply).into_owned();
    match reply.strip_prefix('$').and_then(|bulk| bulk.split_once("\r\n")) {
        Some((_, text)) => text.trim_end_matches("\r\n").to_owned(),
        None => reply,
    }
}

#[test]
fn script_libraries_answer_as_recorded_from_redis() {
    let mut interpreter = Interpreter::new(MEMORY_BYTES);
    let mut wrong = Vec::new();
    for recorded in recorded_calls::all() {
        let results = text(&mut interpreter, &recorded_calls::script(&recorded.call));
        if results != recorded.results {
            wrong.push(format!("{}\n  Redis: {}\n  ours:  {results}", recorded.call, recorded.results));
        }
    }
    assert!(wrong.is_empty(), "{} calls differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// What a script that fails says, without the place in the server's log.
fn error(interpreter: &mut Interpreter, script: &str) -> String {
    let text = interpreter.run(script.as_bytes(), &[]).expect_err("the script fails");
    String::from_utf8_lossy(&text).into_owned()
}

/// Redis grows its buffer until the process is killed.
#[test]
fn text_beyond_the_memory_of_a_script_is_an_error() {
    let mut interpreter = Interpreter::new(MEMORY_BYTES);
    for script in [
        // A thousand million times null.
        "local c = cjson.new() c.encode_sparse_array(false, 0) return c.encode({[1e9] = 1})",
        // Each table holds the one before twice.
        "local t = {} for i = 1, 40 do t = {t, t} end return cjson.encode(t)",
        "local t = {} for i = 1, 40 do t = {a = t, b = t} end return cjson.encode(t)",
        "local s = string.rep('x', 1024 * 1024) local t = {} for i = 1, 100 do t[i] = s end return cmsgpack.pack(t)",
        "local s = string.rep('x', 1024 * 1024) return struct.pack(string.rep('s', 20), s, s, s, s, s, s, s, s, s, s, s,
            s, s, s, s, s, s, s, s, s)",
        "local s = '[' .. string.rep('\"a\",', 1024 * 1024) .. '1]' return #cjson.decode(s)",
    ] {
        let text = error(&mut interpreter, script);
        assert!(text.contains("not enough memory"), "{script}: {text}");
    }
    assert_eq!(text(&mut interpreter, "return cjson.encode({1})"), "[1]", "the interpreter goes on");
}

/// What is claimed about four thousand million elements costs nothing.
#[test]
fn claimed_lengths_cost_no_memory() {
    let mut interpreter = Interpreter::new(1 << 20);
    for packed in [r"\221\255\255\255\255\1", r"\223\255\255\255\255\1\2", r"\219\255\255\255\255x"] {
        let text = error(&mut interpreter, &format!("return cmsgpack.unpack('{packed}')"));
        assert!(text.contains("Missing bytes in input."), "{packed}: {text}");
    }
}

/// A library's loop is as stoppable as a script's own.
#[test]
fn loops_of_libraries_give_way_and_end_when_killed() {
    for script in [
        "local t = {} for i = 1, 60 do t = {t, t} end return cjson.encode(t)",
        "local t = {} for i = 1, 15 do t = {t, t, t, t, t, t, t, t} end return cmsgpack.pack(t)",
        "while true do pcall(cjson.decode, string.rep('[', 1000)) end",
        "local s = string.rep('\\145', 3000) while true do pcall(cmsgpack.unpack, s) end",
        "local s = string.rep('x', 100000) while true do pcall(struct.size, s) end",
    ] {
        let mut interpreter = Interpreter::new(MEMORY_BYTES);
        let text = interpreter.run_and_kill(script.as_bytes(), "stop it");
        assert!(String::from_utf8_lossy(&text).contains("stop it"), "{script}: {}", text.escape_ascii());
    }
}

/// What one script sets, the next one finds; and `new` makes settings of its own.
#[test]
fn settings_of_cjson_outlive_a_script() {
    let mut interpreter = Interpreter::new(MEMORY_BYTES);
    text(&mut interpreter, "return tostring(cjson.encode_max_depth(2))");
    assert_eq!(text(&mut interpreter, "return tostring(cjson.encode_max_depth())"), "2");
    assert_eq!(text(&mut interpreter, "return tostring(cjson.new().encode_max_depth())"), "1000");
    let refused = error(&mut interpreter, "return cjson.encode({{{}}})");
    assert!(refused.contains("Cannot serialise, excessive nesting (3)"), "{refused}");
}
