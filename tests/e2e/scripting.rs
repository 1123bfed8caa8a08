//! Scripts in a whole process: what they are refused when memory is short, and a clock that runs.

use super::process::{DEADLINE, Process};
use super::server::wait_until;

/// What a line is answered, as text; an error's as well.
fn ask(client: &mut super::resp::Client, words: &[&str]) -> String {
    match client.call(words).expect("a reply").value {
        super::resp::Value::Error(text) => String::from_utf8_lossy(&text).into_owned(),
        value => value.text(),
    }
}

/// Replies as a Redis 8.2.3 gives them.
#[test]
fn memory_that_is_short_when_a_script_begins_refuses_its_first_write() {
    let process = Process::serving(&[]);
    let mut client = process.connect();
    let library = "#!lua name=m
        local function write() return redis.call('set', 'x', '1') end
        redis.register_function('w', write)
        redis.register_function{function_name = 'o', callback = write, flags = {'allow-oom'}}";
    assert_eq!(ask(&mut client, &["FUNCTION", "LOAD", library]), "m");
    assert_eq!(ask(&mut client, &["CONFIG", "SET", "maxmemory", "1"]), "OK");
    let oom = "OOM command not allowed when used memory > 'maxmemory'.";
    for (script, reply) in [
        ("return redis.pcall('set', 'x', '1')", oom),
        ("redis.call('get', 'x') return 'read'", "read"),
        ("redis.call('del', 'x') return redis.call('set', 'x', '1')", "OK"),
        ("#!lua\nreturn 1", oom),
        ("#!lua flags=no-writes\nreturn 'read'", "read"),
        ("#!lua flags=allow-oom\nreturn redis.call('set', 'x', '2')", "OK"),
    ] {
        assert_eq!(ask(&mut client, &["EVAL", script, "0"]), reply, "{script}");
    }
    assert_eq!(ask(&mut client, &["FCALL", "w", "0"]), oom);
    assert_eq!(ask(&mut client, &["FCALL", "o", "0"]), "OK");
    assert_eq!(ask(&mut client, &["MULTI"]), "OK");
    assert_eq!(ask(&mut client, &["EVAL", "#!lua\nreturn 1", "0"]), oom);
    assert_eq!(ask(&mut client, &["EXEC"]), "EXECABORT Transaction discarded because of previous errors.");
}

#[test]
fn an_endless_script_is_ended_by_another_client_and_by_the_end_of_the_server() {
    let mut process = Process::serving(&["--busy-reply-threshold", "20"]);
    let (mut caller, mut other) = (process.connect(), process.connect());
    let mut spin = |process: &Process| {
        let bytes = super::resp::encode(&["EVAL", "while true do end", "0"]);
        caller.send_raw(&bytes).expect("the server reads");
        let is_busy = wait_until(DEADLINE, || ask(&mut other, &["PING"]).starts_with("BUSY "));
        assert!(is_busy, "{}", process.log());
    };
    spin(&process);
    assert_eq!(ask(&mut process.connect(), &["SCRIPT", "KILL"]), "OK");
    spin(&process);
    process.signal("TERM");
    assert!(wait_until(DEADLINE, || process.has_ended()), "{}", process.log());
    assert_eq!(process.exit_status(), Some(0));
}
