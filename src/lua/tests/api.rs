//! The texts and values of `redis.*`, as redis-server 8.2.3 has them: each row was asked of it.

use super::*;

#[test]
fn functions_of_redis_answer_as_in_redis() {
    let mut machine = Machine::new();
    for (script, answer) in [
        ("redis.setresp()", "-ERR redis.setresp() requires one argument."),
        ("redis.setresp(2, 3)", "-ERR redis.setresp() requires one argument."),
        ("redis.setresp('x')", "-ERR RESP version must be 2 or 3."),
        ("redis.setresp(4)", "-ERR RESP version must be 2 or 3."),
        ("return redis.setresp('3')", "$-1"),
        ("redis.log(1)", "-ERR redis.log() requires two arguments or more."),
        ("redis.log('a', 'b')", "-ERR First argument must be a number (log level)."),
        ("redis.log(9, 'b')", "-ERR Invalid log level."),
        ("redis.log(-1, 'b')", "-ERR Invalid log level."),
        ("return redis.log(0, {}, 'b')", "$-1"),
        ("redis.sha1hex()", "-ERR wrong number of arguments"),
        ("redis.sha1hex('a', 'b')", "-ERR wrong number of arguments"),
        ("return redis.sha1hex(1)", "$40\r\n356a192b7913b04c54574d18c28d46e6395428ab"),
        ("return redis.sha1hex({})", "$40\r\nda39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ("return redis.replicate_commands()", ":1"),
        ("return redis.breakpoint()", "$-1"),
        ("return redis.debug('a')", "$-1"),
        ("redis.set_repl()", "-ERR redis.set_repl() requires one argument."),
        ("redis.set_repl(9)", "-ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE."),
        ("return redis.set_repl('x')", "$-1"),
        (
            "return {redis.REPL_AOF, redis.REPL_SLAVE, redis.REPL_REPLICA, redis.REPL_ALL, redis.REPL_NONE}",
            "*5\r\n:1\r\n:2\r\n:2\r\n:3\r\n:0",
        ),
        (
            "return {redis.LOG_DEBUG, redis.LOG_VERBOSE, redis.LOG_NOTICE, redis.LOG_WARNING}",
            "*4\r\n:0\r\n:1\r\n:2\r\n:3",
        ),
        ("return {redis.REDIS_VERSION, redis.REDIS_VERSION_NUM}", "*2\r\n$5\r\n8.2.3\r\n:524803"),
        ("return redis.acl_check_cmd()", "-ERR Please specify at least one argument for this redis lib call"),
        ("return redis.acl_check_cmd({})", "-ERR Lua redis lib command arguments must be strings or integers"),
        ("return redis.error_reply('foo')", "-ERR foo"),
        ("return redis.error_reply('-foo bar')", "-foo bar"),
        ("return redis.error_reply('-foo')", "-ERR foo"),
        ("return redis.error_reply('')", "-ERR "),
        ("return redis.error_reply('\\r\\nab\\n')", "-ERR ab"),
        ("return redis.error_reply('-My \\r\\n x\\r\\n')", "-My  x"),
        ("return redis.error_reply('-\\r\\nMy x\\n')", "-  My x"),
        ("return redis.error_reply('A \\n')", "-A "),
        ("return redis.error_reply('a  b')", "-a  b"),
        ("return redis.error_reply('- b')", "- b"),
        ("return redis.error_reply(1)", "-ERR wrong number or type of arguments"),
        ("return redis.error_reply('a', 'b')", "-ERR wrong number or type of arguments"),
        ("return redis.status_reply()", "-ERR wrong number or type of arguments"),
        ("return redis.status_reply('a\\r\\n')", "+a  "),
        ("return redis.call()", "-ERR Please specify at least one argument for this redis lib call"),
        ("return redis.call({})", "-ERR Lua redis lib command arguments must be strings or integers"),
        ("return redis.pcall({})", "-ERR Lua redis lib command arguments must be strings or integers"),
        ("return {pcall(error, {err = 'x y'})}", "*2\r\n$-1\r\n$3\r\nx y"),
        (
            "return {xpcall(function() error({err = 'x y'}) end, function(e) return e.err end)}",
            "*2\r\n$-1\r\n$3\r\nx y",
        ),
        ("return {pcall()}", "*2\r\n$-1\r\n$31\r\nattempt to call a boolean value"),
        ("return select('#', pcall(error, {1}))", ":3"),
        ("return redis.setresp(2.9)", "$-1"),
        ("error('x')", "-ERR user_script:1: x"),
        ("error('a\\0b')", "-ERR user_script:1: a"),
        ("return {err = 'a\\0b'}", "-a"),
        ("return {ok = 'a\\0b'}", "+a"),
        ("return next(redis.error_reply('A b'), 'err')", "$-1"),
        ("return __redis__err__handler('x').err", "$5\r\nERR x"),
        ("error('x', 0)", "-ERR x"),
        ("error({err = 'FOO bar'})", "-FOO bar"),
        ("error({})", "-ERR unknown error"),
        ("error({err = 1})", "-1"),
        ("error(nil)", "-ERR nil"),
        ("error(true)", "-ERR true"),
        ("return _G[{}]", "-ERR user_script:1: Second argument to luaProtectedTableError must be a string or number"),
        ("rawset(_G, 'a', 1)", "-ERR Attempt to modify a readonly table"),
        ("coroutine.yield()", "-ERR attempt to yield across metamethod/C-call boundary"),
        (
            "return {coroutine.resume(coroutine.create(function() error('x') end))}",
            "*2\r\n$-1\r\n$16\r\nuser_script:1: x",
        ),
        ("return 1e300", ":-9223372036854775808"),
        ("return 0/0", ":-9223372036854775808"),
        ("return {double = 1.5}", "$3\r\n1.5"),
        ("return {map = {a = 1}}", "*2\r\n$1\r\na\r\n:1"),
        ("return {set = {a = true}}", "*1\r\n$1\r\na"),
        ("return {big_number = '12\\r\\n3'}", "$5\r\n12  3"),
        ("return {verbatim_string = {format = 'txt', string = 'abc'}}", "$3\r\nabc"),
        ("return {err = 'a\\nb'}", "-a b"),
        ("return {ok = 1}", "*0"),
        ("return {1, {err = 'E x'}, {ok = 'fine'}}", "*3\r\n:1\r\n-E x\r\n+fine"),
        ("return redis", "*0"),
    ] {
        let text = machine.run(script);
        let text = text.split(" script: sha, on ").next().unwrap_or_default();
        // What is trimmed is the end of the last line, which is not part of a status.
        assert_eq!(text.strip_suffix("\r\n").unwrap_or(text), answer, "{script}");
    }
}

#[test]
fn errors_say_where_they_were_raised() {
    let mut machine = Machine::new();
    machine.answer = b"-ERR Unknown Redis command called from script\r\n".to_vec();
    for (script, place) in [
        ("for i = 1, 2 do\n redis.call('foo')\nend", "@user_script:2."),
        ("local function f()\n error('deep')\nend\n\nf()", "@user_script:2."),
        ("\n\nreturn nil + 1", "@user_script:3."),
        ("\nreturn coroutine.wrap(function()\n redis.call('foo') end)()", "@user_script:3."),
        ("local t = setmetatable({}, {__index = function()\n error('x') end})\nreturn t.x", "@user_script:2."),
    ] {
        let text = machine.run(script);
        let found = text.rsplit(" script: sha, on ").next();
        assert_eq!(found, Some(place), "{script}: {text}");
    }
}

#[test]
fn errors_of_commands_are_objects_that_have_been_counted() {
    let mut machine = Machine::new();
    machine.answer = b"-WRONGTYPE Operation\r\n".to_vec();
    let script = "local e, t = redis.pcall('get'), {} for k, v in pairs(e) do t[#t + 1] = k .. '=' .. tostring(v) end
        table.sort(t) return t";
    let answer = "*2\r\n$23\r\nerr=WRONGTYPE Operation\r\n$30\r\nignore_error_stats_update=true\r\n";
    assert_eq!(machine.run(script), answer);
    // `pcall` shows the text of an error object.
    assert_eq!(machine.run("return {pcall(redis.call, 'get')}"), "*2\r\n$-1\r\n$19\r\nWRONGTYPE Operation\r\n");
    machine.start("return redis.call('get')");
    while machine.step(u64::MAX) != Step::Done {}
    let ending = machine.vm.finish(&mut Reply::new(&mut Out::default(), Proto::Resp2));
    let text = b"WRONGTYPE Operation script: sha, on @user_script:1.".to_vec();
    assert_eq!(ending, Ending::Failed { text, is_counted: true });
}

#[test]
fn arguments_of_commands_have_all_their_digits() {
    let mut machine = Machine::new();
    machine.run("redis.call('set', 0.1, 1e100, 3, 1e17, 12345678901234567890, 0/0, 1/0, -1/0, 1/3, -0)");
    let call = "set 0.1 1e+100 3 100000000000000000 12345678901234567000 -nan inf -inf 0.3333333333333333 0";
    assert_eq!(machine.calls, [call]);
}

#[test]
fn arguments_of_commands_have_a_limit() {
    let mut machine = Machine::new();
    machine.memory_bytes = 256 << 20;
    let script = "local s = ('x'):rep(2^26) return redis.call('set', s, s, s, s, s, s, s, s, s, s, s, s, s, s, s, s)";
    let text = "-ERR the arguments of a command take too much memory script: sha, on @user_script:1.";
    assert_eq!(machine.run(script), text);
    assert!(machine.calls.is_empty());
}

#[test]
fn replies_become_values_by_their_type() {
    let mut machine = Machine::new();
    let long = format!("${}\r\n{}\r\n", 300, "x".repeat(300));
    for (reply, script, answer) in [
        ("$5\r\nhello\r\n", "return redis.call('x')", "$5\r\nhello\r\n"),
        ("$0\r\n\r\n", "return #redis.call('x')", ":0\r\n"),
        ("$12\r\nhello, world\r\n", "return redis.call('x')", "$12\r\nhello, world\r\n"),
        (&long, "return #redis.call('x')", ":300\r\n"),
        (":-12\r\n", "return redis.call('x')", ":-12\r\n"),
        ("$-1\r\n", "return tostring(redis.call('x'))", "$5\r\nfalse\r\n"),
        ("*-1\r\n", "return tostring(redis.call('x'))", "$5\r\nfalse\r\n"),
        ("_\r\n", "return tostring(redis.call('x'))", "$3\r\nnil\r\n"),
        ("+OK\r\n", "return redis.call('x').ok", "$2\r\nOK\r\n"),
        ("*2\r\n:1\r\n*1\r\n$1\r\na\r\n", "return redis.call('x')", "*2\r\n:1\r\n*1\r\n$1\r\na\r\n"),
        ("%1\r\n$1\r\na\r\n:1\r\n", "return redis.call('x').map.a", ":1\r\n"),
        ("~1\r\n$1\r\na\r\n", "return redis.call('x').set.a", ":1\r\n"),
        (",1.5\r\n", "return tostring(redis.call('x').double)", "$3\r\n1.5\r\n"),
        (",inf\r\n", "return tostring(redis.call('x').double)", "$3\r\ninf\r\n"),
        ("(123456789012345678901\r\n", "return redis.call('x').big_number", "$21\r\n123456789012345678901\r\n"),
        ("#t\r\n", "return tostring(redis.call('x'))", "$4\r\ntrue\r\n"),
        (
            "=7\r\ntxt:abc\r\n",
            "local v = redis.call('x').verbatim_string return v.format .. v.string",
            "$6\r\ntxtabc\r\n",
        ),
        ("|1\r\n+ttl\r\n:1\r\n:7\r\n", "return redis.call('x')", ":7\r\n"),
    ] {
        machine.answer = reply.as_bytes().to_vec();
        assert_eq!(machine.run(script), answer, "{reply}");
    }
}

#[test]
fn results_in_resp3_are_of_its_types() {
    let mut machine = Machine::new();
    machine.proto = Proto::Resp3;
    for (script, answer) in [
        ("return nil", "_\r\n"),
        ("return true", ":1\r\n"),
        ("return false", "_\r\n"),
        ("redis.setresp(3) return {true, false}", "*2\r\n#t\r\n#f\r\n"),
        ("return {double = 1.5}", ",1.5\r\n"),
        ("return {map = {a = {1}}}", "%1\r\n$1\r\na\r\n*1\r\n:1\r\n"),
        ("return {set = {a = true}}", "~1\r\n$1\r\na\r\n"),
        ("return {big_number = '123'}", "(123\r\n"),
        ("return {verbatim_string = {format = 'txt', string = 'abc'}}", "=7\r\ntxt:abc\r\n"),
    ] {
        assert_eq!(machine.run(script), answer, "{script}");
    }
}

#[test]
fn results_nested_deeper_than_the_stack_are_an_error_inside() {
    let mut machine = Machine::new();
    let answer = machine.run("local t = {} for i = 1, 10000 do t = {t} end return t");
    assert!(answer.contains("-ERR reached lua stack limit\r\n"), "{}", &answer[answer.len().saturating_sub(100)..]);
    assert_eq!(machine.run("return 1"), ":1\r\n");
}

#[test]
fn numbers_print_as_in_lua() {
    let mut machine = Machine::new();
    // The second column is what C's `%.14g` makes of them.
    for (number, text) in [
        ("0", "0"),
        ("-1", "-1"),
        ("0 * -1", "-0"),
        ("10", "10"),
        ("1e13", "10000000000000"),
        ("99999999999999", "99999999999999"),
        ("-99999999999999", "-99999999999999"),
        ("100000000000000", "1e+14"),
        ("-1e14", "-1e+14"),
        ("123456789012345", "1.2345678901234e+14"),
        ("0.1", "0.1"),
        ("-0.5", "-0.5"),
        ("1/0", "inf"),
        ("2^53", "9.007199254741e+15"),
    ] {
        let script = format!("local n = {number} return {{tostring(n), n .. '', table.concat({{n}})}}");
        let bulk = format!("${}\r\n{text}\r\n", text.len());
        assert_eq!(machine.run(&script), format!("*3\r\n{}", bulk.repeat(3)), "{number}");
    }
}

#[test]
fn keys_and_arguments_begin_anew_whatever_the_last_script_did_to_them() {
    let mut machine = Machine::new();
    let look = b"local seen = {#KEYS, #ARGV} for _, list in ipairs({KEYS, ARGV}) do
        for name, value in pairs(list) do seen[#seen + 1] = name .. '=' .. value end end
        return table.concat(seen, ' ') .. tostring(getmetatable(KEYS)) .. tostring(KEYS.x)";
    let expected = "$32\r\n2 1 1=a 2=b 1=clonger-than-it-wasnilnil\r\n";
    for script in [
        "return 1",
        "KEYS[1] = nil KEYS[2] = nil ARGV[1] = nil",
        "KEYS.x = 'y' ARGV.x = 'z'",
        "KEYS[3] = 'c' KEYS[4] = 'd' for i = 1, 100 do ARGV[i] = i end",
        "setmetatable(KEYS, {__index = function() return 'y' end, __mode = 'kv'})",
        "table.remove(KEYS) table.insert(ARGV, 'x')",
        "KEYS = 1",
    ] {
        machine.run_with(script.as_bytes(), &[b"1", b"2"], &[b"3"]);
        let answer = machine.run_with(look, &[b"a", b"b"], &[b"clonger-than-it-was"]);
        assert_eq!(
            answer.split_once("\r\n").map(|(_, text)| text),
            expected.split_once("\r\n").map(|(_, text)| text),
            "{script}"
        );
        let none = machine.run_with(b"return #KEYS + #ARGV", &[], &[]);
        assert_eq!(none, ":0\r\n", "{script}");
    }
}
