//! Scripts and functions: what they are answered, what follows from what they do, and what becomes of those that hold the server
//! for too long. Replies as a Redis 8.2.3 gives them, but for what only AleaDB has.

use std::rc::Rc;
use std::sync::Arc;

use aleadb::base::clock::{Clock, ManualClock};
use aleadb::config::Config;
use aleadb::server::Seeds;
use aleadb::server::background::Background;
use aleadb::server::ctx::Next;

use crate::disk::SimulatedDisk;
use crate::memory::{Memory, START_MS};

const OK: &str = r"+OK\r\n";
const BUSY: &str = r"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n";
const BUSY_FUNCTION: &str =
    r"-BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.\r\n";
const NO_SCRIPT: &str = r"-NOSCRIPT No matching script. Please use EVAL.\r\n";
const UNKILLABLE: &str = r"-UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.\r\n";

/// The reply of a line of which the script is one argument.
fn eval(m: &mut Memory, script: &str, rest: &[&str]) -> String {
    let words: Vec<&[u8]> = ["EVAL", script].iter().chain(rest).map(|word| word.as_bytes()).collect();
    m.raw(&words).escape_ascii().to_string()
}

fn run(m: &mut Memory, words: &[&str]) -> String {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    m.raw(&words).escape_ascii().to_string()
}

/// A server whose monotonic clock moves by a tenth of a millisecond whenever it is looked at, where scripts hold the server for 5 ms.
fn impatient() -> Memory {
    let clock = Rc::new(ManualClock::at_unix_ms(START_MS));
    clock.set_tick_ns(100_000);
    let config = Config { busy_reply_threshold: 5, ..Config::default() };
    let disk = Arc::new(SimulatedDisk::new());
    Memory::with_outside(config, Seeds { hash: [1; 16], prng: 1 }, clock, Background::inline(), disk)
}

/// Takes turns until no script is parked.
fn run_to_end(m: &mut Memory) {
    for _ in 0..10_000 {
        if !m.server.scripting.is_parked() {
            return;
        }
        m.turn();
    }
    panic!("the script does not end");
}

#[test]
fn every_refusal_has_the_text_of_redis() {
    let mut m = Memory::new();
    for (words, reply) in [
        (&["EVAL", "return 1", "x"][..], "-ERR value is not an integer or out of range"),
        (&["EVAL", "return 1", "9999999999999999999"], "-ERR value is not an integer or out of range"),
        (&["EVAL", "return 1", "2", "a"], "-ERR Number of keys can't be greater than number of args"),
        (&["EVAL", "return 1", "99999999999"], "-ERR Number of keys can't be greater than number of args"),
        (&["EVAL", "return 1", "-1"], "-ERR Number of keys can't be negative"),
        (&["EVALSHA", "abc", "x"], "-NOSCRIPT No matching script. Please use EVAL."),
        (
            &["EVALSHA", "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", "0"],
            "-NOSCRIPT No matching script. Please use EVAL.",
        ),
        (&["EVALSHA", "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", "x"], "-ERR value is not an integer or out of range"),
        (&["EVAL", "x y", "0"], "-ERR Error compiling script (new function): user_script:1: '=' expected near 'y'"),
        (
            &["EVAL", "#!lua \n x y", "0"],
            "-ERR Error compiling script (new function): user_script:2: '=' expected near 'y'",
        ),
        (
            &["SCRIPT", "LOAD", "x y"],
            "-ERR Error compiling script (new function): user_script:1: '=' expected near 'y'",
        ),
        (&["EVAL", "#!", "0"], "-ERR Invalid script shebang"),
        (&["EVAL", "#!lua", "0"], "-ERR Invalid script shebang"),
        (&["EVAL", "#!lua 'x\nreturn 1", "0"], "-ERR Invalid engine in script shebang"),
        (&["EVAL", "#!foo\nreturn 1", "0"], "-ERR Unexpected engine in script shebang: #!foo"),
        (&["EVAL", "#!lua flags=no-writes,bad\nreturn 1", "0"], "-ERR Unexpected flag in script shebang: bad"),
        (&["EVAL", "#!lua name=x\nreturn 1", "0"], "-ERR Unknown lua shebang option: name=x"),
        (&["EVAL_RO", "#!lua\nreturn 1", "0"], "-ERR Can not execute a script with write flag using *_ro command."),
        (&["EVAL", "#!lua flags=\nreturn 1", "0"], ":1"),
        (&["EVAL", "#!lua flags=no-writes flags=allow-oom\nreturn 1", "0"], ":1"),
        (&["SCRIPT", "FLUSH", "foo"], "-ERR SCRIPT FLUSH only support SYNC|ASYNC option"),
        (&["SCRIPT", "DEBUG", "foo"], "-ERR Use SCRIPT DEBUG YES/SYNC/NO"),
        (&["SCRIPT", "DEBUG", "no"], "+OK"),
        (&["SCRIPT", "KILL"], "-NOTBUSY No scripts in execution right now."),
        (&["FUNCTION", "KILL"], "-NOTBUSY No scripts in execution right now."),
        (&["FCALL", "nof", "x"], "-ERR Function not found"),
        (&["FUNCTION", "LOAD", "x"], "-ERR Missing library metadata"),
        (&["FUNCTION", "LOAD", "#!lua name=a"], "-ERR Invalid library metadata"),
        (&["FUNCTION", "LOAD", "#!lua\nx"], "-ERR Library name was not given"),
        (&["FUNCTION", "LOAD", "#!foo name=x\nx"], "-ERR Engine 'foo' not found"),
        (
            &["FUNCTION", "LOAD", "#!lua name=a name=b\nx"],
            "-ERR Invalid metadata value, name argument was given multiple times",
        ),
        (&["FUNCTION", "LOAD", "#!lua name=a foo=b\nx"], "-ERR Invalid metadata value given: foo=b"),
        (&["FUNCTION", "LOAD", "#!LUA name=zz\nreturn 1"], "-ERR No functions registered"),
        (&["FUNCTION", "LOAD", "foo", "#!lua name=a\nx"], "-ERR Unknown option given: foo"),
        (
            &["FUNCTION", "LOAD", "#!lua name=a\nx y"],
            "-ERR Error compiling function: user_function:2: '=' expected near 'y'",
        ),
        (
            &["FUNCTION", "LOAD", "#!lua name=a-b\nx"],
            "-ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long",
        ),
        (&["FUNCTION", "LIST", "LIBRARYNAME"], "-ERR library name argument was not given"),
        (&["FUNCTION", "LIST", "WITHCODE", "WITHCODE"], "-ERR Unknown argument WITHCODE"),
        (&["FUNCTION", "RESTORE", "xx"], "-ERR DUMP payload version or checksum are wrong"),
        (&["FUNCTION", "DELETE", "zz"], "-ERR Library not found"),
        (&["FUNCTION", "FLUSH", "foo"], "-ERR FUNCTION FLUSH only supports SYNC|ASYNC option"),
        (
            &["FUNCTION", "FLUSH", "SYNC", "x"],
            "-ERR unknown subcommand or wrong number of arguments for 'FLUSH'. Try FUNCTION HELP.",
        ),
    ] {
        let expected = format!("{}\\r\\n", reply.replace('\'', "\\'"));
        assert_eq!(run(&mut m, words), expected, "{words:?}");
    }
}

#[test]
fn a_script_is_refused_what_redis_refuses_it_and_the_errors_count_once() {
    let mut m = Memory::new();
    for (script, error) in [
        ("return redis.pcall('nosuch')", "ERR Unknown Redis command called from script"),
        ("return redis.pcall('config', 'foo')", "ERR Unknown Redis command called from script"),
        ("return redis.pcall('get')", "ERR Wrong number of args calling Redis command from script"),
        ("return redis.pcall('config')", "ERR Wrong number of args calling Redis command from script"),
        ("return redis.pcall('subscribe', 'foo')", "ERR This Redis command is not allowed from script"),
        ("return redis.pcall('eval', 'return 1', '0')", "ERR This Redis command is not allowed from script"),
        ("return redis.pcall('get.watch', 'k')", "ERR This Redis command is not allowed from script"),
        (
            "#!lua flags=no-writes\nreturn redis.pcall('publish', 'a', 'b')",
            "ERR Write commands are not allowed from read-only scripts.",
        ),
        (
            "redis.call('lpush', 'l', 1) return redis.pcall('get', 'l')",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
    ] {
        assert_eq!(eval(&mut m, script, &["0"]), format!("-{error}\\r\\n"), "{script}");
    }
    let line = eval(&mut m, "return redis.call('nosuch')", &["0"]);
    let text = r"-ERR Unknown Redis command called from script script: 206396248e12c6e742fd7296250433c8d7343b74, on @user_script:1.\r\n";
    assert_eq!(line, text);
    let errors = m.run("INFO errorstats");
    assert!(errors.contains("errorstat_ERR:count=9") && errors.contains("errorstat_WRONGTYPE:count=1"), "{errors}");
    let stats = m.run("INFO commandstats");
    let eval = stats.split(r"\r\n").find(|line| line.starts_with("cmdstat_eval:")).expect("it ran");
    assert!(eval.contains("calls=10,") && eval.ends_with("rejected_calls=1,failed_calls=10"), "{eval}");
    let get = stats.split(r"\r\n").find(|line| line.starts_with("cmdstat_get:")).expect("it ran");
    assert!(get.contains("calls=1,") && get.ends_with("rejected_calls=1,failed_calls=1"), "{get}");
}

/// As a Redis 8.6.2 answers: older ones do not look at the number of arguments.
#[test]
fn whether_a_command_may_run_is_answered_for_lines_that_fit_its_arity() {
    let mut m = Memory::new();
    for (call, reply) in [
        ("redis.acl_check_cmd('GET', 'k')", ":1"),
        ("redis.acl_check_cmd('GET')", "-ERR Wrong number of args for redis.acl_check_cmd()"),
        ("redis.acl_check_cmd('GET', 'a', 'b')", "-ERR Wrong number of args for redis.acl_check_cmd()"),
        ("redis.acl_check_cmd('nosuch')", "-ERR Invalid command passed to redis.acl_check_cmd()"),
    ] {
        let answered = eval(&mut m, &format!("return {call}"), &["0"]);
        assert!(answered.starts_with(reply), "{call}: {answered}");
    }
}

#[test]
fn a_script_keeps_its_database_to_itself_and_time_stands_still_in_it() {
    let mut m = Memory::new();
    let script = "redis.call('SELECT', 3) redis.call('SET', KEYS[1], ARGV[1]) return redis.call('DBSIZE')";
    assert_eq!(eval(&mut m, script, &["1", "k", "v"]), r":1\r\n");
    m.expect(&[("GET k", r"$-1\r\n"), ("SELECT 3", OK), ("GET k", r"$1\r\nv\r\n"), ("SELECT 0", OK)]);
    m.clock.set_tick_ns(10_000);
    let script = "local t = redis.call('TIME') for i = 1, 1e5 do end local u = redis.call('TIME')
                  return t[1] == u[1] and t[2] == u[2]";
    assert_eq!(eval(&mut m, script, &["0"]), r":1\r\n");
    // A command that would wait is answered at once.
    assert_eq!(eval(&mut m, "return redis.call('BLPOP', 'no', 0)", &["0"]), r"$-1\r\n");
}

#[test]
fn what_a_script_does_is_one_unit_of_propagation() {
    let mut m = Memory::new();
    m.server.begin_propagation();
    let words = |line: &str| line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    eval(&mut m, "redis.call('SET', 'k', 1) redis.call('GET', 'k') redis.call('INCR', 'k') return 1", &["0"]);
    eval(
        &mut m,
        "redis.call('SELECT', 2) return redis.call('SPOP', 'none') or redis.call('SETEX', 'k', 5, 'v')",
        &["0"],
    );
    let script = "redis.set_repl(redis.REPL_NONE) redis.call('SET', 'a', 1) redis.set_repl(redis.REPL_ALL) redis.call('SET', 'b', 1)";
    eval(&mut m, script, &["0"]);
    eval(&mut m, "return redis.call('GET', 'k')", &["0"]);
    m.expect(&[("MULTI", OK), ("SET x 1", r"+QUEUED\r\n")]);
    eval(&mut m, "return redis.call('SET', 'y', 1)", &["0"]);
    m.expect(&[("EXEC", r"*2\r\n+OK\r\n+OK\r\n")]);
    let set = format!("SET k v PXAT {}", START_MS + 5000);
    let units = vec![
        vec![(0, words("SET k 1")), (0, words("INCR k"))],
        vec![(2, words(&set))],
        vec![(0, words("SET b 1"))],
        vec![(0, words("SET x 1")), (0, words("SET y 1"))],
    ];
    assert_eq!(m.take_propagated(), units);
}

#[test]
fn a_script_that_becomes_one_to_be_kept_is_propagated_once() {
    let mut m = Memory::new();
    m.server.begin_propagation();
    let sha = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
    m.expect(&[("EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0", NO_SCRIPT), ("EVAL \"return 1\" 0", r":1\r\n")]);
    assert!(m.take_propagated().is_empty());
    for _ in 0..2 {
        assert_eq!(run(&mut m, &["EVALSHA", &sha.to_uppercase(), "0"]), r":1\r\n");
        m.run("SCRIPT LOAD \"return 1\"");
    }
    m.run("SCRIPT FLUSH");
    let line = |words: &[&str]| vec![(0, words.iter().map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>())];
    assert_eq!(m.take_propagated(), [line(&["SCRIPT", "LOAD", "return 1"]), line(&["SCRIPT", "FLUSH"])]);
    m.run("CONFIG SET script-persist no");
    m.run("SCRIPT LOAD \"return 1\"");
    assert!(m.take_propagated().is_empty());
}

#[test]
fn of_scripts_that_were_only_evaluated_the_last_five_hundred_are_kept() {
    let mut m = Memory::new();
    let body = |n: usize| format!("return {n}");
    let sha = |m: &mut Memory, n: usize| {
        let reply = run(m, &["EVAL", &format!("return redis.sha1hex('{}')", body(n)), "0"]);
        reply.split(r"\r\n").nth(1).expect("a bulk string").to_owned()
    };
    let (first, second, loaded) = (sha(&mut m, 0), sha(&mut m, 1), sha(&mut m, 2));
    m.run("SCRIPT FLUSH");
    run(&mut m, &["SCRIPT", "LOAD", &body(2)]);
    eval(&mut m, &body(0), &["0"]);
    eval(&mut m, &body(1), &["0"]);
    for n in 3..501 {
        eval(&mut m, &body(n), &["0"]);
    }
    let known = |m: &mut Memory| run(m, &["SCRIPT", "EXISTS", &first, &second, &loaded]);
    assert_eq!(known(&mut m), r"*3\r\n:1\r\n:1\r\n:1\r\n");
    // The first is used again, so the second goes; and one that was called by its digest stays for good.
    eval(&mut m, &body(0), &["0"]);
    eval(&mut m, &body(501), &["0"]);
    assert_eq!(known(&mut m), r"*3\r\n:1\r\n:0\r\n:1\r\n");
    run(&mut m, &["EVALSHA", &first, "0"]);
    for n in 1000..1600 {
        eval(&mut m, &body(n), &["0"]);
    }
    assert_eq!(known(&mut m), r"*3\r\n:1\r\n:0\r\n:1\r\n");
    let info = m.run("INFO everything");
    for field in ["number_of_cached_scripts:502", "evicted_scripts:600"] {
        assert!(info.contains(&format!(r"\r\n{field}\r\n")), "{field} in {info}");
    }
    assert_eq!(m.server.scripting.cache.len(), 502);
}

#[test]
fn a_hundred_thousand_scripts_leave_five_hundred() {
    let mut m = Memory::new();
    let bytes = |m: &Memory| m.server.scripting.vm_bytes(aleadb::lua::vm::Purpose::Scripts);
    let mut early = 0;
    for n in 0..100_000 {
        assert_eq!(eval(&mut m, &format!("return {n}"), &["0"]), format!(":{n}\\r\\n"));
        if n == 10_000 {
            early = bytes(&m);
        }
    }
    assert_eq!(m.server.scripting.cache.len(), 500);
    assert!(bytes(&m) < 2 * early, "{} and then {}", early, bytes(&m));
}

#[test]
fn watches_break_and_clients_are_served_when_the_script_is_over() {
    let mut m = Memory::new();
    let watching = m.client;
    m.expect(&[("WATCH k", OK), ("MULTI", OK), ("PING", r"+QUEUED\r\n")]);
    let waiting = m.connect();
    assert_eq!(m.run("BLPOP l 0"), "");
    let other = m.connect();
    let script = "redis.call('SET', 'k', 1) redis.call('RPUSH', 'l', 'a', 'b') return redis.call('LLEN', 'l')";
    assert_eq!(eval(&mut m, script, &["0"]), r":2\r\n");
    assert_eq!(m.take_sent(waiting), r"*2\r\n$1\r\nl\r\n$1\r\na\r\n");
    m.expect_of(&[(other, "LRANGE l 0 -1", r"*1\r\n$1\r\nb\r\n"), (watching, "EXEC", r"*-1\r\n")]);
}

#[test]
fn a_live_query_sees_a_script_as_one_change() {
    let mut m = Memory::new();
    let watching = m.client;
    m.run("SET k 0");
    m.run("GET.WATCH k");
    m.connect();
    eval(&mut m, "for i = 1, 10 do redis.call('INCR', 'k') end", &["0"]);
    let sent = m.take_sent(watching);
    assert!(sent.ends_with(r"$2\r\n10\r\n") && sent.matches(r"$3\r\nGET\r\n").count() == 1, "{sent}");
    // A script may read what its line does not name.
    assert_eq!(
        m.run("EVAL_RO.WATCH \"return 1\" 0"),
        r"-ERR \'eval_ro\' reads keys that its arguments do not name\r\n"
    );
}

#[test]
fn a_pause_of_writes_holds_back_scripts_that_may_write() {
    let mut m = Memory::new();
    m.run("CLIENT PAUSE 1000 WRITE");
    assert_eq!(eval(&mut m, "#!lua flags=no-writes\nreturn 1", &["0"]), r":1\r\n");
    assert_eq!(m.run("EVAL_RO \"return 1\" 0"), r":1\r\n");
    assert_eq!(m.run("EVAL \"return 1\" 0"), "");
    assert!(m.is_waiting());
}

#[test]
fn a_busy_script_lets_itself_be_killed() {
    let mut m = impatient();
    let caller = m.client;
    assert_eq!(m.run("EVAL \"while true do end\" 0"), "");
    assert_eq!(m.next, Next::Block);
    assert!(m.is_waiting());
    let other = m.connect();
    m.expect(&[
        ("PING", BUSY),
        ("GET k", BUSY),
        ("FUNCTION STATS", BUSY),
        ("FUNCTION KILL", BUSY),
        ("SHUTDOWN", BUSY),
        ("MULTI", OK),
        ("SET k v", BUSY),
        ("EXEC", &BUSY.replace("-BUSY", "-EXECABORT Transaction discarded because of: BUSY")),
        ("SCRIPT KILL", OK),
    ]);
    m.turn();
    assert!(!m.server.scripting.is_parked());
    let killed = "-ERR Script killed by user with SCRIPT KILL... script: 694a5fe1ddb97a4c6a1bf299d9537c7d3d0f84e7, on \
                  @user_script:1.\\r\\n";
    assert_eq!(m.take_sent(caller), killed);
    m.expect_of(&[(other, "PING", r"+PONG\r\n"), (caller, "PING", r"+PONG\r\n")]);
}

#[test]
fn no_protected_call_keeps_a_script_from_being_killed() {
    for script in [
        "while true do pcall(function() while true do end end) end",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
        "local c = coroutine.wrap(function() while true do end end) while true do pcall(c) end",
        "while true do redis.pcall('PING') end",
        "string.rep('a', 1e9):find(('a?'):rep(20) .. 'b')",
    ] {
        let mut m = impatient();
        let caller = m.client;
        assert_eq!(eval(&mut m, script, &["0"]), "", "{script}");
        m.connect();
        m.expect(&[("SCRIPT KILL", OK)]);
        m.turn();
        let sent = m.take_sent(caller);
        assert!(sent.starts_with("-ERR Script killed by user"), "{script}: {sent}");
    }
}

#[test]
fn a_function_that_is_busy_is_told_of_and_ended_by_its_own_command() {
    let mut m = impatient();
    let caller = m.client;
    run(
        &mut m,
        &["FUNCTION", "LOAD", "#!lua name=spin\nredis.register_function('spin', function() while true do end end)"],
    );
    assert_eq!(m.run("FCALL spin 0"), "");
    m.connect();
    m.expect(&[("PING", BUSY_FUNCTION), ("SCRIPT KILL", BUSY_FUNCTION)]);
    let stats = m.run("FUNCTION STATS");
    let expected = r"*4\r\n$14\r\nrunning_script\r\n*6\r\n$4\r\nname\r\n$4\r\nspin\r\n$7\r\ncommand\r\n*3\r\n$5\r\nFCALL\r\n$4\r\nspin\r\n$1\r\n0\r\n$11\r\nduration_ms\r\n:";
    assert!(stats.starts_with(expected), "{stats}");
    m.expect(&[("FUNCTION KILL", OK)]);
    m.turn();
    let killed = r"-ERR Script killed by user with SCRIPT KILL... script: spin, on @user_function:2.\r\n";
    assert_eq!(m.take_sent(caller), killed);
}

/// A script that writes, holds the server for as long as `stop` is not there, and writes again.
const WRITES_AND_WAITS: &str = "redis.call('SET', 'x', 1) redis.call('RPUSH', 'l', 'a')
    for i = 1, 3000 do end
    redis.call('SET', 'y', 2) return 'done'";

#[test]
fn a_script_that_has_written_goes_on_and_nobody_sees_its_changes_before_it_is_over() {
    let mut m = impatient();
    m.server.begin_propagation();
    let caller = m.client;
    let waiting = m.connect();
    assert_eq!(m.run("BLPOP l 0"), "");
    let watching = m.connect();
    m.run("GET.WATCH y");
    m.client = caller;
    m.run("SET gone v PX 1");
    m.take_propagated();
    assert_eq!(eval(&mut m, WRITES_AND_WAITS, &["0"]), "");
    m.connect();
    m.expect(&[("SCRIPT KILL", UNKILLABLE), ("GET x", BUSY)]);
    m.advance_ms(50);
    assert!(m.server.scripting.is_parked());
    assert!(m.take_propagated().is_empty(), "the unit is not over");
    assert_eq!(m.server.dbs[0].len(), 3, "time stands still while it runs");
    run_to_end(&mut m);
    assert_eq!(m.take_sent(caller), r"$4\r\ndone\r\n");
    assert_eq!(m.take_sent(waiting), r"*2\r\n$1\r\nl\r\n$1\r\na\r\n");
    assert!(m.take_sent(watching).ends_with(r"$1\r\n2\r\n"));
    let units = m.take_propagated();
    let first: Vec<_> =
        units[0].iter().map(|(_, words)| String::from_utf8_lossy(&words.join(&b' ')).into_owned()).collect();
    assert_eq!(first, ["SET x 1", "RPUSH l a", "SET y 2"]);
    m.advance_ms(1);
    m.expect(&[("GET gone", r"$-1\r\n"), ("GET y", r"$1\r\n2\r\n")]);
}

#[test]
fn a_script_that_has_written_is_killed_by_force_and_what_it_has_changed_stays() {
    let mut m = impatient();
    m.server.begin_propagation();
    let caller = m.client;
    assert_eq!(eval(&mut m, WRITES_AND_WAITS, &["0"]), "");
    m.connect();
    m.expect(&[
        ("SCRIPT KILL x", r"-ERR wrong number of arguments for \'script|kill\' command\r\n"),
        ("SCRIPT KILL FORCE", OK),
    ]);
    m.turn();
    assert!(m.take_sent(caller).starts_with("-ERR Script killed by user with SCRIPT KILL"));
    m.expect(&[("GET x", r"$1\r\n1\r\n"), ("GET y", r"$-1\r\n")]);
    assert_eq!(m.take_propagated()[0].len(), 2);
}

#[test]
fn a_script_goes_on_when_its_client_has_gone() {
    let mut m = impatient();
    let caller = m.client;
    assert_eq!(eval(&mut m, WRITES_AND_WAITS, &["0"]), "");
    m.connect();
    m.leave(caller);
    assert!(m.server.scripting.is_parked() && m.is_connected(caller));
    run_to_end(&mut m);
    assert!(!m.is_connected(caller));
    m.expect(&[("GET y", r"$1\r\n2\r\n")]);
    m.server.check();
}

#[test]
fn a_transaction_is_parked_with_its_script_and_goes_on_behind_it() {
    let mut m = impatient();
    m.server.begin_propagation();
    let caller = m.client;
    m.expect(&[("MULTI", OK), ("SET q 1", r"+QUEUED\r\n")]);
    assert_eq!(eval(&mut m, "while true do end", &["0"]), r"+QUEUED\r\n");
    m.expect(&[("INCR q", r"+QUEUED\r\n"), ("EXEC", "")]);
    assert!(m.is_waiting());
    m.connect();
    // What was written before it in the transaction is not the script's.
    m.expect(&[("GET q", BUSY), ("SCRIPT KILL", OK)]);
    m.turn();
    let sent = m.take_sent(caller);
    assert!(sent.starts_with(r"*3\r\n+OK\r\n-ERR Script killed") && sent.ends_with(r"\r\n:2\r\n"), "{sent}");
    assert_eq!(m.take_propagated()[0].len(), 2);
    m.expect(&[("GET q", r"$1\r\n2\r\n")]);
    m.client = caller;
    m.expect(&[("EXEC", r"-ERR EXEC without MULTI\r\n")]);
}

#[test]
fn a_script_that_only_reads_is_ended_when_its_time_is_over() {
    let mut m = impatient();
    m.run("CONFIG SET script-auto-kill-ms 20");
    let reply = eval(&mut m, "while true do end", &["0"]);
    assert_eq!(reply, "", "it is parked before");
    run_to_end(&mut m);
    let sent = m.take_sent(0);
    assert!(sent.starts_with("-ERR Script killed: it ran longer than script-auto-kill-ms allows. script: "), "{sent}");
    m.run("CONFIG SET script-auto-kill-ms 2");
    let reply = eval(&mut m, "while true do end", &["0"]);
    assert!(reply.starts_with("-ERR Script killed: it ran longer"), "{reply}");
    // One that has written is not.
    eval(&mut m, WRITES_AND_WAITS, &["0"]);
    run_to_end(&mut m);
    assert_eq!(m.take_sent(0), r"$4\r\ndone\r\n");
}

#[test]
fn no_snapshot_and_no_end_of_the_server_catch_the_half_of_a_script() {
    let mut m = impatient();
    assert_eq!(eval(&mut m, WRITES_AND_WAITS, &["0"]), "");
    m.connect();
    m.server.persistence.snapshots.scheduled = true;
    m.turn();
    assert!(!m.server.persistence.snapshots.is_running());
    let how = m.server.config.shutdown_on_sigterm;
    let now = m.clock.now();
    assert!(m.server.prepare_shutdown(how, now).is_err());
    assert!(!m.server.process.stop_requested);
    run_to_end(&mut m);
    assert!(m.server.process.stop_requested, "it ends when the script is through");
}

#[test]
fn no_end_of_the_server_saves_the_half_of_a_transaction_whose_script_only_reads() {
    for (queued, is_half) in [("SET q 1", true), ("GET q", false)] {
        let mut m = impatient();
        m.expect(&[("MULTI", OK), (queued, r"+QUEUED\r\n")]);
        assert_eq!(eval(&mut m, "for i = 1, 3000 do end return 1", &["0"]), r"+QUEUED\r\n");
        m.expect(&[("SET r 2", r"+QUEUED\r\n"), ("EXEC", "")]);
        let (how, now) = (m.server.config.shutdown_on_sigterm, m.clock.now());
        assert_eq!(m.server.prepare_shutdown(how, now).is_err(), is_half, "{queued}");
        assert!(!m.server.process.stop_requested);
        run_to_end(&mut m);
        assert_eq!(m.server.process.stop_requested, is_half, "it ends when the transaction is through");
    }
}

/// CLIENT REPLY keeps back what a parked script answers, as it does of any command.
#[test]
fn the_reply_of_a_parked_script_is_kept_back_if_its_client_wants_none() {
    let mut m = impatient();
    m.run("CLIENT REPLY SKIP");
    assert_eq!(eval(&mut m, "for i = 1, 3000 do end return 1", &["0"]), "");
    assert!(m.server.scripting.is_parked());
    run_to_end(&mut m);
    assert_eq!(m.take_sent(0), "");
    m.expect(&[("PING", r"+PONG\r\n"), ("CLIENT REPLY OFF", "")]);
    assert_eq!(eval(&mut m, "for i = 1, 3000 do end return 1", &["0"]), "");
    run_to_end(&mut m);
    assert_eq!(m.take_sent(0), "");
    m.expect(&[("CLIENT REPLY ON", OK), ("PING", r"+PONG\r\n")]);
}

#[test]
fn shutdown_nosave_ends_the_server_under_a_script_and_its_changes_are_no_part_of_the_log() {
    let mut m = impatient();
    m.server.begin_propagation();
    assert_eq!(eval(&mut m, WRITES_AND_WAITS, &["0"]), "");
    m.connect();
    m.run("SHUTDOWN NOSAVE");
    assert_eq!(m.next, Next::Shutdown);
    assert!(m.take_propagated().is_empty());
}

#[test]
fn the_memory_of_a_script_is_limited() {
    let mut m = Memory::new();
    m.run("CONFIG SET script-memory-limit 1mb");
    let reply = eval(&mut m, "return #string.rep('x', 1e7)", &["0"]);
    assert!(reply.contains("not enough memory"), "{reply}");
    assert_eq!(eval(&mut m, "return #string.rep('x', 1e5)", &["0"]), r":100000\r\n");
    m.raw(&[b"SET", b"k", &vec![b'x'; 2 << 20]]);
    let reply = eval(&mut m, "return redis.pcall('GET', 'k')", &["0"]);
    assert_eq!(reply, r"-ERR the reply is longer than script-memory-limit allows\r\n");
    m.run("CONFIG SET script-memory-limit 0");
    assert_eq!(eval(&mut m, "return #redis.call('GET', 'k')", &["0"]), r":2097152\r\n");
}

#[test]
fn libraries_are_listed_dumped_and_restored() {
    let mut m = Memory::new();
    let code = "#!lua name=a
        local function echo(keys, arguments) return {keys, arguments} end
        redis.register_function{function_name='g', callback=echo, description='d', flags={'no-writes'}}";
    assert_eq!(run(&mut m, &["FUNCTION", "LOAD", code]), r"$1\r\na\r\n");
    assert_eq!(run(&mut m, &["FUNCTION", "LOAD", code]), r"-ERR Library \'a\' already exists\r\n");
    let taken = code.replace("name=a", "name=b");
    assert_eq!(run(&mut m, &["FUNCTION", "LOAD", &taken]), r"-ERR Function g already exists\r\n");
    assert_eq!(run(&mut m, &["FUNCTION", "LOAD", "REPLACE", code]), r"$1\r\na\r\n");
    let list = r"*1\r\n*6\r\n$12\r\nlibrary_name\r\n$1\r\na\r\n$6\r\nengine\r\n$3\r\nLUA\r\n$9\r\nfunctions\r\n*1\r\n*6\r\n$4\r\nname\r\n$1\r\ng\r\n$11\r\ndescription\r\n$1\r\nd\r\n$5\r\nflags\r\n*1\r\n+no-writes\r\n";
    m.expect(&[
        ("FUNCTION LIST", list),
        ("FUNCTION LIST LIBRARYNAME A*", list),
        ("FUNCTION LIST LIBRARYNAME b*", r"*0\r\n"),
    ]);
    m.expect(&[
        ("FCALL G 1 x y", r"*2\r\n*1\r\n$1\r\nx\r\n*1\r\n$1\r\ny\r\n"),
        ("FCALL_RO g 0", r"*2\r\n*0\r\n*0\r\n"),
    ]);
    let payload = dumped(&mut m);
    let restore = |m: &mut Memory, policy: &[&[u8]]| {
        let words: Vec<&[u8]> =
            [b"FUNCTION".as_slice(), b"RESTORE", &payload].into_iter().chain(policy.iter().copied()).collect();
        m.raw(&words).escape_ascii().to_string()
    };
    assert_eq!(restore(&mut m, &[]), r"-ERR Library a already exists\r\n");
    assert_eq!(restore(&mut m, &[b"REPLACE"]), OK);
    assert_eq!(restore(&mut m, &[b"FLUSH"]), OK);
    m.run("FUNCTION FLUSH");
    assert_eq!(restore(&mut m, &[]), OK);
    m.expect(&[("FUNCTION LIST", list), ("FUNCTION DELETE a", OK), ("FCALL g 0", r"-ERR Function not found\r\n")]);
    // One that cannot be restored leaves what there was.
    run(&mut m, &["FUNCTION", "LOAD", &taken]);
    assert_eq!(restore(&mut m, &[b"REPLACE"]), r"-ERR Function g already exists\r\n");
    m.expect(&[("FCALL g 0", r"*2\r\n*0\r\n*0\r\n")]);
}

/// The payload of FUNCTION DUMP.
fn dumped(m: &mut Memory) -> Vec<u8> {
    let dump = m.raw(&[b"FUNCTION", b"DUMP"]);
    let start = dump.iter().position(|byte| *byte == b'\n').expect("a bulk string") + 1;
    dump[start..dump.len() - 2].to_vec()
}

#[test]
fn libraries_keep_their_state_when_others_are_restored_or_refused() {
    let counter = |name: &str| {
        format!("#!lua name={name}\nlocal n = 0 redis.register_function('{name}', function() n = n + 1 return n end)")
    };
    let restore = |m: &mut Memory, payload: &[u8], policy: &[u8]| {
        m.raw(&[b"FUNCTION", b"RESTORE", payload, policy]).escape_ascii().to_string()
    };
    let mut m = Memory::new();
    run(&mut m, &["FUNCTION", "LOAD", &counter("a")]);
    let of_a = dumped(&mut m);
    run(&mut m, &["FUNCTION", "LOAD", &counter("b")]);
    m.expect(&[("FCALL a 0", r":1\r\n"), ("FCALL b 0", r":1\r\n")]);
    assert_eq!(restore(&mut m, &of_a, b"APPEND"), r"-ERR Library a already exists\r\n");
    m.expect(&[("FCALL a 0", r":2\r\n"), ("FCALL b 0", r":2\r\n")]);
    assert_eq!(restore(&mut m, &of_a, b"REPLACE"), OK);
    m.expect(&[("FCALL a 0", r":1\r\n"), ("FCALL b 0", r":3\r\n")]);
    assert_eq!(restore(&mut m, &of_a, b"FLUSH"), OK);
    m.expect(&[("FCALL a 0", r":1\r\n"), ("FCALL b 0", r"-ERR Function not found\r\n")]);
    // A function that moves to another library that is restored as well is in nobody's way.
    let two = |first: &str, second: &str| {
        let library = |name: &str, function: &str| {
            format!("#!lua name={name}\nredis.register_function('{function}', function() return '{name}' end)")
        };
        let mut m = Memory::new();
        run(&mut m, &["FUNCTION", "LOAD", &library("a", first)]);
        run(&mut m, &["FUNCTION", "LOAD", &library("b", second)]);
        m
    };
    let swapped = dumped(&mut two("y", "x"));
    let mut m = two("x", "y");
    assert_eq!(restore(&mut m, &swapped, b"REPLACE"), OK);
    m.expect(&[("FCALL x 0", r"$1\r\nb\r\n"), ("FCALL y 0", r"$1\r\na\r\n")]);
}

#[test]
fn memory_stats_counts_scripts_libraries_and_interpreters() {
    let mut m = Memory::new();
    let figures = |m: &mut Memory| {
        let reply = m.run("MEMORY STATS");
        ["lua.caches", "functions.caches", "script.VMs"].map(|name| {
            let figure = reply.split(&format!(r"{name}\r\n:")).nth(1).expect("the figure");
            figure.split(r"\r\n").next().and_then(|digits| digits.parse::<usize>().ok()).expect("a number")
        })
    };
    let before = figures(&mut m);
    run(&mut m, &["EVAL", "return 1", "0"]);
    run(&mut m, &["FUNCTION", "LOAD", "#!lua name=a\nredis.register_function('f', function() end)"]);
    let after = figures(&mut m);
    assert!(before.iter().zip(&after).all(|(before, after)| before < after), "{before:?} {after:?}");
}

#[test]
fn runs_of_scripts_are_counted() {
    let mut m = Memory::new();
    m.run("EVAL \"return 1\" 0");
    m.run("EVAL \"return 1\" 0");
    m.run("SCRIPT LOAD \"return 22\"");
    let stats = m.run("SCRIPT STATS").replace(r"\r\n", " ");
    let first = "$4 sha1 $40 e0e1f9fabfc9d4800c877a703b823ac0578ff8db $5 calls :2 $4 usec :0 $5 bytes :8 $6 loaded :0 ";
    assert!(stats.starts_with("*2 ") && stats.contains(first), "{stats}");
}

/// Redis's lines are compared with a real server's for other commands; here are two subcommands that it does not have.
#[test]
fn help_lists_the_subcommands_that_redis_does_not_have() {
    let mut m = Memory::new();
    let help = m.run("SCRIPT HELP");
    for name in ["+KILL [FORCE]", "+STATS", "+DEBUG (YES|SYNC|NO)", "+FLUSH [ASYNC|SYNC]"] {
        assert!(help.contains(&format!(r"{name}\r\n")), "{name}: {help}");
    }
}

#[test]
fn the_deepest_nesting_leaves_a_command_enough_of_the_stack() {
    let mut m = Memory::new();
    run(&mut m, &["RPUSH", "l", "3", "1", "2"]);
    for command in ["'command', 'docs'", "'info', 'everything'", "'sort', 'l', 'by', 'w_*', 'get', '#'", "'lolwut'"] {
        let script = format!(
            "local function f(n) if n == 0 then return type(redis.call({command})) end
            local x = ('x'):gsub('x', function() return f(n - 1) end) return x end return f(190)"
        );
        let reply = eval(&mut m, &script, &["0"]);
        assert!([r"$5\r\ntable\r\n", r"$6\r\nstring\r\n"].contains(&&*reply), "{command}: {reply}");
    }
}

#[test]
fn a_name_that_has_been_called_is_told_by_its_subcommand_and_in_any_case() {
    let mut m = Memory::new();
    let script = "local replies = {}
        for _, line in ipairs({{'object', 'encoding', 'k'}, {'object', 'refcount', 'k'}, {'object'}, {'get', 'k'}, {'GET', 'k'},
            {'get'}, {'nothing'}, {'get', 'k'}, {'object', 'encoding', 'k'}, {'eval', 'return 1', '0'}}) do
            local reply = redis.pcall(unpack(line)) replies[#replies + 1] = type(reply) == 'table' and reply.err or reply end
        return replies";
    run(&mut m, &["SET", "k", "1"]);
    for _ in 0..2 {
        let reply = eval(&mut m, script, &["0"]);
        let arity = "ERR Wrong number of args calling Redis command from script";
        let unknown = "ERR Unknown Redis command called from script";
        let refused = "ERR This Redis command is not allowed from script";
        let bulk = |text: &str| format!(r"${}\r\n{text}\r\n", text.len());
        let expected = [
            r"*10\r\n".to_owned(),
            bulk("int"),
            r":1\r\n".to_owned(),
            bulk(arity),
            bulk("1"),
            bulk("1"),
            bulk(arity),
            bulk(unknown),
            bulk("1"),
            bulk("int"),
            bulk(refused),
        ];
        assert_eq!(reply, expected.concat());
    }
}

#[test]
fn errors_inside_a_result_count_as_in_redis() {
    for (script, failed, replies, codes) in [
        ("return {{err='a b'}}", 1, 1, &["errorstat_a:count=1"][..]),
        ("return {{err='a b'}, {err='a c'}, {err='x'}}", 1, 3, &["errorstat_a:count=2", "errorstat_ERR:count=1"]),
        ("return {{map={a={err='Q r'}}}}", 1, 1, &["errorstat_Q:count=1"]),
        ("local e = redis.pcall('get') return {e, e}", 2, 1, &["errorstat_ERR:count=1"]),
        (
            "local e = redis.pcall('get') return {e, {err='X y'}}",
            2,
            2,
            &["errorstat_X:count=1", "errorstat_ERR:count=1"],
        ),
        ("return {1, {2}}", 0, 0, &[]),
    ] {
        let mut m = Memory::new();
        eval(&mut m, script, &["0"]);
        let errors = m.run("INFO errorstats");
        assert!(codes.iter().all(|code| errors.contains(code)), "{script}: {errors}");
        assert!(m.run("INFO stats").contains(&format!("total_error_replies:{replies}\\r")), "{script}");
        assert!(m.run("INFO commandstats").contains(&format!("failed_calls={failed}\\r")), "{script}");
    }
}
