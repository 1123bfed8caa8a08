//! Every loop and every recursion that a script can write can be suspended and ended, wherever in C it is.

use std::cell::Cell;

use super::*;
use crate::base::clock::{Clock, Now};
use crate::lua::vm::Exchange;

/// A clock that counts how often somebody looks at it, as nanoseconds: each time, a whole budget of steps was used up.
#[derive(Debug, Default)]
struct CountingClock(Cell<u64>);

impl Clock for CountingClock {
    fn now(&self) -> Now {
        Now { unix_ms: 0, mono_ns: self.mono_ns() }
    }

    fn mono_ns(&self) -> u64 {
        self.0.set(self.0.get() + 1);
        self.0.get()
    }

    fn unix_us(&self) -> i64 {
        0
    }
}

const KILLED: &str = "Script killed by user with SCRIPT KILL.";

/// Scripts that would run for minutes or for ever, most of the time inside one function in C.
const ENDLESS: &[&str] = &[
    "while true do end",
    "repeat until false",
    "for i = 1, 1e15 do end",
    "for i = 1e15, 1, -1 do end",
    "local function f() return f() end f()",
    "local t = setmetatable({}, {__index = function(t, k) return k end}) while true do local x = t.x end",
    "for _ in function() return 1 end do end",
    "for i, v in pairs(setmetatable({}, {})) do end while true do next({}) end",
    "return (''):rep(2^31 - 1)",
    // The stack of the function that is ended is full.
    "return string.rep('', 2^31 - 1, unpack({}, 1, 7997))",
    // Patterns.
    "return ('a'):rep(30000):find(('.-'):rep(20) .. 'b')",
    "return ('a'):rep(30000):match(('a*'):rep(20) .. 'b')",
    "return ('a'):rep(30):find(('a?'):rep(30) .. ('a'):rep(31))",
    "return ('('):rep(4e6):gsub('%b()', '')",
    "return ('a'):rep(4e6):find(('a'):rep(2e6) .. 'b', 1, true)",
    "return ('a'):rep(4e6):find('[' .. ('b'):rep(4e6) .. ']')",
    "return ('a'):rep(4e6):find('[' .. ('b'):rep(4e6) .. 'a]*c')",
    "return ('a'):rep(4e6):find('a-[' .. ('b'):rep(4e6) .. 'a]-c')",
    "return ('a'):rep(4e6):find('%f[' .. ('b'):rep(4e6) .. ']')",
    "return ('a'):rep(1e6):find('(a*)%1b')",
    "return ('ab'):rep(1e6):find('.-.-.-c')",
    "for x in ('a'):rep(1e6):gmatch('a*b') do end",
    "return ('a'):rep(1e6):gsub('a*b', '')",
    "while true do ('a'):gsub('a', 'b') end",
    // Tables.
    "table.insert({}, -2^31, 1)",
    "local t = {} for i = 1, 2e5 do t[i] = i end while true do table.insert(t, 1, table.remove(t)) end",
    "local t = {} for i = 1, 2e5 do t[i] = i end while true do table.insert(t, table.remove(t, 1)) end",
    "local t = {} for i = 1, 2e5 do t[i] = i end while true do table.sort(t, function(a, b) return a > b end) end",
    "local t = {} for i = 1, 2e5 do t[i] = i end while true do table.foreach(t, function() end) end",
    "local t = {} for i = 1, 2e5 do t[i] = i end while true do table.foreachi(t, function() end) end",
    "local t = {} for i = 1, 2e5 do t[i] = i end while true do table.maxn(t) end",
    "local t = {} for i = 1, 1e5 do t[i] = '' end while true do table.concat(t, '') end",
    "local t = {} for i = 1, 2e5 do t[i] = i end for i = 1, 2e5 do t[i] = nil end while true do next(t) end",
    "local t = {} for i = 1, 5000 do t[i] = i end while true do unpack(t) end",
    "local a = ('x'):rep(4e6) local b, c = a .. 'b', a .. 'c' while true do local x = b < c and b <= c end",
    // Strings of one hash are in one chain.
    "local t = {} for i = 1, 2e5 do t[i] = 'x' .. ('y'):rep(40) .. i .. ('z'):rep(2000) end",
    "local s = '' while true do s = (s .. 'x'):sub(1, 1e6) end",
    "local s = ('x'):rep(4e6) while true do s = s:upper() s = s:lower() s = s:reverse() end",
    "while true do string.format('%s %q', ('x'):rep(1e5), ('y'):rep(1e5)) end",
    "while true do collectgarbage() end",
    "while true do collectgarbage('step', 1000) end",
    // The compiler.
    "load(function() return ' ' end)",
    "load(function() return '--x' end)",
    "load(function() return 'x=1 ' end)",
    "while true do loadstring('return 1') end",
    "loadstring('if a then ' .. ('elseif a then '):rep(40000) .. 'end') while true do end",
    // Protected calls and coroutines.
    "while true do pcall(error) end",
    "while true do pcall(function() while true do end end) end",
    "xpcall(function() while true do end end, function() while true do end end) while true do end",
    "xpcall(error, function() while true do end end)",
    "local f = coroutine.wrap(function() while true do coroutine.yield() end end) while true do f() end",
    "coroutine.wrap(function() while true do end end)()",
    "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
    "pcall(coroutine.wrap(function() pcall(function() while true do end end) end)) while true do end",
    "local function f() pcall(f) f() end f()",
    "while true do redis.pcall() end",
    "while true do redis.sha1hex('x') end",
    // One call of each is long.
    "local s = ('x'):rep(8e6) while true do redis.sha1hex(s) end",
    "local s = cjson.encode(('\\1'):rep(2e6)) while true do cjson.decode(s) end",
    "local s = (' '):rep(8e6) .. '1' while true do cjson.decode(s) end",
    "local s = ('\\1'):rep(2e6) while true do cjson.encode(s) end",
    "local s = ('\\0'):rep(4e6) local a, b = s .. 'a', s .. 'b' while true do local x = a < b end",
    "while true do local t = {} for i = 1, 1e5 do t[i * 2.5] = i end end",
    "while true do tostring(setmetatable({}, {__tostring = function() return 'x' end})) end",
];

#[test]
fn every_endless_loop_is_suspended_and_killed() {
    let mut machine = Machine::new();
    let clock = CountingClock::default();
    for script in ENDLESS {
        machine.start(script);
        // Some million steps, which is more than what is looped over takes to be made.
        let until_ns = clock.mono_ns() + 500;
        assert_eq!(machine.vm.resume(&clock, until_ns, &mut |_, _| ()), Step::Slice, "{script}");
        for _ in 0..20 {
            let until_ns = clock.mono_ns();
            assert_eq!(machine.vm.resume(&clock, until_ns, &mut |_, _| ()), Step::Slice, "{script}");
        }
        machine.vm.kill(KILLED);
        let before = clock.mono_ns();
        assert_eq!(machine.vm.resume(&clock, u64::MAX, &mut |_, _| ()), Step::Done, "{script}");
        let looks = clock.mono_ns() - before;
        // What must not be left in its midst goes on: the search of a table with 2e5 places for one that is taken.
        assert!(looks < 5_000, "{script}: the clock was looked at {looks} times before it ended");
        let text = machine.finish();
        assert!(text.starts_with(&format!("-ERR {KILLED} script: sha, on @user_script:1.")), "{script}: {text}");
        assert_eq!(machine.run("return 1"), ":1\r\n", "after {script}");
    }
}

#[test]
fn what_takes_too_long_to_compile_is_an_error() {
    /// A clock by which a second goes by whenever somebody looks at it.
    #[derive(Debug, Default)]
    struct HastyClock(CountingClock);

    impl Clock for HastyClock {
        fn now(&self) -> Now {
            self.0.now()
        }

        fn mono_ns(&self) -> u64 {
            self.0.mono_ns() * 1_000_000_000
        }

        fn unix_us(&self) -> i64 {
            0
        }
    }

    let mut machine = Machine::new();
    let branches = format!("if a then {} end", "elseif a then ".repeat(40_000));
    let error = machine.vm.compile(&HastyClock::default(), branches.as_bytes(), MEMORY_BYTES);
    assert_eq!(error.err().as_deref(), Some(&b"the script takes too long to compile"[..]));
    assert_eq!(machine.run("return 1"), ":1\r\n");
}

#[test]
fn a_kill_concerns_only_the_script_that_runs() {
    let mut machine = Machine::new();
    machine.vm.kill(KILLED);
    assert_eq!(machine.run("for i = 1, 1e5 do end return 1"), ":1\r\n");
}

#[test]
fn a_script_that_comes_back_among_its_commands_is_killed_as_well() {
    let mut machine = Machine::new();
    machine.start("while true do pcall(redis.call, 'get') end");
    let until_ns = machine.clock.mono_ns() + 1_000_000;
    assert_eq!(machine.step(until_ns), Step::Slice);
    machine.vm.kill(KILLED);
    assert_eq!(machine.step(u64::MAX), Step::Done);
    assert_eq!(machine.finish(), format!("-ERR {KILLED} script: sha, on @user_script:1."));
}

#[test]
fn a_script_comes_back_right_after_a_command_that_took_its_time() {
    let mut machine = Machine::new();
    let clock = CountingClock::default();
    machine.start("for i = 1, 9 do redis.call('keys') end");
    for _ in 0..9 {
        let mut calls = 0;
        let step = machine.vm.resume(&clock, 0, &mut |_, exchange| {
            calls += 1;
            exchange.answer.push(b"*0\r\n");
            exchange.is_late = true;
        });
        assert_eq!((step, calls), (Step::Slice, 1));
    }
}

#[test]
fn a_script_that_calls_commands_for_ever_is_suspended() {
    let mut machine = Machine::new();
    for script in ["while true do redis.call('get', 'k') end", "while true do redis.pcall('get') end"] {
        let clock = CountingClock::default();
        machine.start(script);
        for _ in 0..3 {
            let until_ns = clock.mono_ns() + 5;
            let mut calls = 0;
            let step = machine.vm.resume(&clock, until_ns, &mut |_, exchange| {
                calls += 1;
                assert!(calls < 1_000_000, "{script}: no end");
                exchange.answer.push(b"$1\r\nx\r\n");
            });
            assert_eq!(step, Step::Slice, "{script}");
            assert!(calls > 0, "{script}");
        }
        machine.vm.kill(KILLED);
        assert_eq!(machine.vm.resume(&clock, u64::MAX, &mut |_, _| ()), Step::Done, "{script}");
        machine.finish();
    }
}

#[test]
fn one_call_of_a_library_that_takes_long_is_suspended_in_its_midst() {
    let mut machine = Machine::new();
    // What is ended stays on the stack of the one call that there is.
    for (made, call) in [
        ("('x'):rep(2e6)", "redis.sha1hex(s)"),
        ("cjson.encode(('\\1'):rep(2e6))", "cjson.decode(s)"),
        ("'\"\\\\u0041' .. ('x\\\\n'):rep(1e6) .. '\"'", "cjson.decode(s)"),
        ("(' '):rep(2e6) .. '1'", "cjson.decode(s)"),
        ("('\\1'):rep(2e6)", "cjson.encode(s)"),
        ("('x'):rep(2e6)", "cjson.encode(s)"),
    ] {
        // It calls a command when it is about to begin.
        let script = format!("local s = {made} redis.call('PING') return #tostring({call})");
        let clock = CountingClock::default();
        machine.start(&script);
        let (begun, mut count) = (Cell::new(false), 0);
        let mut pong = |_, exchange: &mut Exchange| {
            begun.set(true);
            exchange.answer.push(b"+PONG\r\n");
        };
        while machine.vm.resume(&clock, 0, &mut pong) == Step::Slice {
            count += usize::from(begun.get());
        }
        assert!(count >= 8, "{script}: {count} slices");
        machine.finish();
    }
}

/// Results that go on for ever, for a table is in them again and again.
const ENDLESS_RESULTS: &[&str] = &[
    "local t = {1} for i = 1, 40 do t = {t, t} end return t",
    "local t = {} t[1] = t t[2] = t return t",
    "local t = {} t.map = {t, t} return t",
    "local t = {} for i = 1, 2e3 do t[{}] = true end t = {set = t} for i = 1, 40 do t = {t, t} end return t",
];

#[test]
fn a_result_without_end_is_suspended_and_killed() {
    let mut machine = Machine::new();
    for script in ENDLESS_RESULTS {
        let clock = CountingClock::default();
        machine.start(script);
        for _ in 0..20 {
            let until_ns = clock.mono_ns() + 10;
            assert_eq!(machine.vm.resume(&clock, until_ns, &mut |_, _| ()), Step::Slice, "{script}");
        }
        machine.vm.kill(KILLED);
        assert_eq!(machine.vm.resume(&clock, u64::MAX, &mut |_, _| ()), Step::Done, "{script}");
        assert_eq!(machine.finish(), format!("-ERR {KILLED}"), "{script}");
        assert_eq!(machine.run("return {1, {2}}"), "*2\r\n:1\r\n*1\r\n:2\r\n", "after {script}");
    }
}

#[test]
fn a_result_is_limited_by_the_memory_of_its_script() {
    let mut machine = Machine::new();
    machine.memory_bytes = 4 << 20;
    let long = "local s = ('x'):rep(2^20) return {s, s, s, s, s}";
    for script in ENDLESS_RESULTS.iter().chain([&long]) {
        assert_eq!(machine.run(script), "-ERR not enough memory", "{script}");
        assert_eq!(machine.run("return {1}"), "*1\r\n:1\r\n", "after {script}");
    }
    machine.memory_bytes = MEMORY_BYTES;
    let whole = machine.run("return {('x'):rep(100000), 'y', ('z'):rep(2^20)}");
    let (x, z) = ("x".repeat(100_000), "z".repeat(1 << 20));
    assert!(whole == format!("*3\r\n$100000\r\n{x}\r\n$1\r\ny\r\n$1048576\r\n{z}\r\n"), "{} bytes", whole.len());
}

/// How often a script looks at the clock, after what comes before it.
fn looks(before: &str, script: &str) -> u64 {
    let looks = |script: &str| {
        let (mut machine, clock) = (Machine::new(), CountingClock::default());
        machine.start(script);
        assert_eq!(machine.vm.resume(&clock, u64::MAX, &mut |_, _| ()), Step::Done, "{script}");
        assert_eq!(machine.finish(), ":1\r\n", "{script}");
        clock.mono_ns()
    };
    looks(&format!("{before} {script} return 1")) - looks(&format!("{before} return 1"))
}

#[test]
fn one_instruction_that_takes_long_looks_at_the_clock_again_and_again() {
    for (before, instruction, least) in [
        ("local s = ('\\0'):rep(4e6) local a, b = s .. 'a', s .. 'b'", "local x = a < b", 40),
        ("local s = ('x'):rep(4e6)", "local x = s .. 'y'", 60),
        ("local s = ('x'):rep(4e6)", "s:find('y', 1, true)", 20),
        ("local t = {} for i = 1, 65536 do t[i + 0.5] = true end", "t.x = true", 50),
        ("local t = {} for i = 1, 400000 do t[i] = true end", "collectgarbage()", 30),
        ("local t = {} for i = 1, 65536 do t[i + 0.5] = true end", "collectgarbage()", 10),
    ] {
        let count = looks(before, instruction);
        assert!(count >= least, "{instruction}: {count} looks at the clock");
    }
}

#[test]
fn a_chain_of_branches_is_compiled_in_linear_time() {
    let chain = |count| format!("local x = 1 if x == 2 then x = 2 {} end", "elseif x == 2 then x = 2 ".repeat(count));
    let (half, whole) = (looks("", &chain(10_000)), looks("", &chain(20_000)));
    assert!(whole < half * 5 / 2, "{half} looks at the clock, {whole} for twice the length");
}

#[test]
fn jumps_to_one_place_come_there_in_whatever_order_they_are_noted() {
    let mut machine = Machine::new();
    let branches = |count| (0..count).map(|n| format!("elseif x == {n} then y = {n} ")).collect::<String>();
    let script = format!(
        "local x, y = tonumber(ARGV[1]) if x == -1 then y = -1 {} else y = 'none' end return y",
        branches(1000)
    );
    for (x, y) in
        [("-1", ":-1\r\n"), ("0", ":0\r\n"), ("500", ":500\r\n"), ("999", ":999\r\n"), ("1000", "$4\r\nnone\r\n")]
    {
        assert_eq!(machine.run_with(script.as_bytes(), &[], &[x.as_bytes()]), y);
    }
    for (script, reply) in [
        ("local n = 0 for i = 1, 9 do if i == 3 then break elseif i == 5 then break end n = i end return n", ":2\r\n"),
        ("local n = 0 while true do n = n + 1 if n > 3 then break end if n > 7 then break end end return n", ":4\r\n"),
        ("local a, b, c = nil, false, 7 return (a and b or c) and (c or b) or a", ":7\r\n"),
        (
            "local a, b, c = 1, 2, nil return {not (a and b and c), (a or b) and (c or b), c or a and b}",
            "*3\r\n:1\r\n:2\r\n:2\r\n",
        ),
        (
            "local f = function(a, b) return not (a == 1 and (b == 2 or b == 3)) end return {f(1, 3), f(1, 4)}",
            "*2\r\n$-1\r\n:1\r\n",
        ),
        ("if nil then elseif nil then elseif nil then elseif true then return 4 end", ":4\r\n"),
    ] {
        assert_eq!(machine.run(script), reply, "{script}");
    }
}

#[test]
fn a_collection_in_a_script_that_is_to_end_goes_on_in_slices() {
    let (mut machine, clock) = (Machine::new(), CountingClock::default());
    machine
        .start("local t = {} for i = 1, 1e5 do t[i] = {i} end redis.call('PING') collectgarbage() while true do end");
    let begun = Cell::new(false);
    let mut pong = |_, exchange: &mut Exchange| {
        begun.set(true);
        exchange.answer.push(b"+PONG\r\n");
    };
    while !begun.get() {
        assert_eq!(machine.vm.resume(&clock, 0, &mut pong), Step::Slice);
    }
    machine.vm.kill(KILLED);
    let mut slices = 0;
    while machine.vm.resume(&clock, 0, &mut pong) == Step::Slice {
        slices += 1;
    }
    assert!(slices > 100, "{slices} slices");
    assert!(machine.finish().starts_with(&format!("-ERR {KILLED}")));
}
