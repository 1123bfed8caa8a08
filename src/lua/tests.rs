//! Scripts run to their end, or until they are stopped, with a stand-in for the server that answers their commands.

use super::vm::{Chunk, Ending, Purpose, Run, Step, Vm};
use crate::base::clock::SystemClock;
use crate::resp::args::OwnedArgs;
use crate::resp::out::Out;
use crate::resp::reply::{Proto, Reply};

mod api;
mod holes;
mod stops;

/// Memory that a test's script may use.
const MEMORY_BYTES: usize = 32 << 20;

/// An interpreter with its server.
struct Machine {
    vm: Vm,
    clock: SystemClock,
    proto: Proto,
    /// What the next commands are answered.
    answer: Vec<u8>,
    /// The commands that were called.
    calls: Vec<String>,
    /// Bytes that a script may use.
    memory_bytes: usize,
}

impl Machine {
    fn new() -> Machine {
        let vm = Vm::new(Purpose::Scripts, "8.2.3").expect("memory for a stack");
        let (clock, proto) = (SystemClock::start(), Proto::Resp2);
        Machine { vm, clock, proto, answer: b"+OK\r\n".to_vec(), calls: Vec::new(), memory_bytes: MEMORY_BYTES }
    }

    /// Runs a script without keys.
    fn run(&mut self, script: &str) -> String {
        self.run_with(script.as_bytes(), &[], &[])
    }

    /// Runs a script; what it answers, as a client would be sent it.
    fn run_with(&mut self, script: &[u8], keys: &[&[u8]], arguments: &[&[u8]]) -> String {
        let chunk = match self.vm.compile(&self.clock, script, self.memory_bytes) {
            Ok(chunk) => chunk,
            Err(text) => return format!("-{}", String::from_utf8_lossy(&text)),
        };
        self.start_chunk(chunk, keys, arguments);
        while self.step(u64::MAX) != Step::Done {}
        self.finish()
    }

    /// Compiles and starts a script without keys.
    fn start(&mut self, script: &str) {
        let chunk = self.vm.compile(&self.clock, script.as_bytes(), self.memory_bytes).expect(script);
        self.start_chunk(chunk, &[], &[]);
    }

    fn start_chunk(&mut self, chunk: Chunk, keys: &[&[u8]], arguments: &[&[u8]]) {
        let (keys, arguments) = (OwnedArgs::new(keys.iter().copied()), OwnedArgs::new(arguments.iter().copied()));
        let run = Run { name: "sha", memory_bytes: self.memory_bytes, proto: self.proto };
        self.vm.start(&chunk, keys.as_args(), arguments.as_args(), run);
        // What runs is kept by the stack.
        self.vm.release(chunk);
    }

    /// Goes on with a script until a time, and answers its calls.
    fn step(&mut self, until_ns: u64) -> Step {
        let Machine { vm, clock, answer, calls, .. } = self;
        vm.resume(clock, until_ns, &mut |_, exchange| {
            let call: Vec<_> = exchange.call.as_args().iter_from(0).map(String::from_utf8_lossy).collect();
            calls.push(call.join(" "));
            exchange.answer.push(answer);
        })
    }

    fn finish(&mut self) -> String {
        let mut out = Out::default();
        match self.vm.finish(&mut Reply::new(&mut out, self.proto)) {
            Ending::Replied { .. } => String::from_utf8_lossy(&out.into_bytes()).into_owned(),
            Ending::Failed { text, .. } => format!("-{}", String::from_utf8_lossy(&text)),
        }
    }
}

#[test]
fn results_become_replies() {
    let mut machine = Machine::new();
    for (script, reply) in [
        ("return 1", ":1\r\n"),
        ("return 'a'", "$1\r\na\r\n"),
        ("return {1, 'b', {true, false}, nil, 5}", "*3\r\n:1\r\n$1\r\nb\r\n*2\r\n:1\r\n$-1\r\n"),
        ("return {ok='fine'}", "+fine\r\n"),
        ("return redis.error_reply('BAD luck')", "-BAD luck"),
        ("error('x')", "-ERR user_script:1: x script: sha, on @user_script:1."),
        ("return redis.call('get', 1, 0.5)", "+OK\r\n"),
        ("return 3.99", ":3\r\n"),
    ] {
        assert_eq!(machine.run(script), reply, "{script}");
    }
    assert_eq!(machine.calls, ["get 1 0.5"]);
}

#[test]
fn random_numbers_are_those_of_redis() {
    let mut machine = Machine::new();
    let first = "$16\r\n0.39646477363839\r\n";
    assert_eq!(machine.run("return tostring(math.random())"), first, "the generator begins where Redis's does");
    let script = "math.randomseed(1) return {tostring(math.random()), tostring(math.random()), math.random(10), math.random(5, 6)}";
    assert_eq!(machine.run(script), "*4\r\n$17\r\n0.041630344484761\r\n$15\r\n0.4544924448498\r\n:9\r\n:5\r\n");
    assert_eq!(
        machine.run("return math.random(0)"),
        "-ERR user_script:1: bad argument #1 to 'random' (interval is empty) script: sha, on @user_script:1."
    );
}

/// Loads a library; the names of its functions.
fn load(vm: &mut Vm, code: &str) -> Result<Vec<super::library::Registration>, String> {
    vm.load_library(&SystemClock::start(), code.as_bytes(), &["no-writes", "allow-oom"], MEMORY_BYTES)
        .map_err(|text| String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn libraries_register_functions_in_two_forms() {
    let mut vm = Vm::new(Purpose::Functions, "8.2.3").expect("memory for a stack");
    let code = "\nredis.register_function('a', function(keys, args) return {keys[1], args[1], redis.foo or 'none'} end)
        server.register_function{function_name='b', callback=function() return x end, flags={'allow-oom'}, description='d'}";
    let functions = load(&mut vm, code).expect("a library");
    let names: Vec<_> = functions.iter().map(|f| (&*f.name, f.description.as_deref(), &*f.flags)).collect();
    assert_eq!(names, [(&b"a"[..], None, &[][..]), (&b"b"[..], Some(&b"d"[..]), &[1][..])]);
    let clock = SystemClock::start();
    let mut results = Vec::new();
    for function in &functions {
        let (keys, arguments) = (OwnedArgs::new([&b"k"[..]]), OwnedArgs::new([&b"v"[..]]));
        vm.start(
            &function.chunk,
            keys.as_args(),
            arguments.as_args(),
            Run { name: "f", memory_bytes: MEMORY_BYTES, proto: Proto::Resp2 },
        );
        let step = vm.resume(&clock, u64::MAX, &mut |_, _| panic!("no command is called"));
        assert_eq!(step, Step::Done);
        let mut out = Out::default();
        results.push(match vm.finish(&mut Reply::new(&mut out, Proto::Resp2)) {
            Ending::Replied { .. } => String::from_utf8(out.into_bytes()).expect("text"),
            Ending::Failed { text, .. } => String::from_utf8(text).expect("text"),
        });
    }
    assert_eq!(results[0], "*3\r\n$1\r\nk\r\n$1\r\nv\r\n$4\r\nnone\r\n");
    let text = "ERR user_function:3: Script attempted to access nonexistent global variable 'x' script: f, on @user_function:3.";
    assert_eq!(results[1], text);
}

#[test]
fn libraries_that_fail_say_why() {
    let mut vm = Vm::new(Purpose::Functions, "8.2.3").expect("memory for a stack");
    let begin = "Error registering functions: ERR ";
    for (code, text) in [
        ("x x", "Error compiling function: user_function:2: '=' expected near 'x'"),
        ("redis.call('set')", "user_function:2: Script attempted to access nonexistent global variable 'call'"),
        ("return string", "user_function:2: Script attempted to access nonexistent global variable 'string'"),
        ("x = 1", "user_function:2: Attempt to modify a readonly table"),
        ("redis.register_function()", "wrong number of arguments to redis.register_function"),
        ("redis.register_function('a', 1)", "second argument to redis.register_function must be a function"),
        ("redis.register_function{function_name='a', foo=1}", "unknown argument given to redis.register_function"),
        ("redis.register_function{function_name='a'}", "redis.register_function must get a callback argument"),
        ("redis.register_function{function_name='a', callback=function() end, flags={'x'}}", "unknown flag given"),
        (
            "redis.register_function('a', function() end) redis.register_function('a', function() end)",
            "Function already exists in the library",
        ),
        ("while true do end", "FUNCTION LOAD timeout"),
    ] {
        let error = load(&mut vm, &format!("\n{code}")).expect_err(code);
        assert_eq!(error.strip_prefix(begin).unwrap_or(&error), text, "{code}");
    }
}

/// Calls a function without keys and arguments, which may have so much memory.
fn call(vm: &mut Vm, chunk: &Chunk, memory_bytes: usize) -> String {
    let none = OwnedArgs::default();
    vm.start(chunk, none.as_args(), none.as_args(), Run { name: "f", memory_bytes, proto: Proto::Resp2 });
    let step = vm.resume(&SystemClock::start(), u64::MAX, &mut |_, _| panic!("no command is called"));
    assert_eq!(step, Step::Done);
    let mut out = Out::default();
    let text = match vm.finish(&mut Reply::new(&mut out, Proto::Resp2)) {
        Ending::Replied { .. } => out.into_bytes(),
        Ending::Failed { text, .. } => text,
    };
    String::from_utf8(text).expect("text")
}

/// As a Redis 8.2.3 answers.
#[test]
fn the_error_of_a_function_in_c_that_is_called_directly_has_no_place() {
    let mut vm = Vm::new(Purpose::Functions, "8.2.3").expect("memory for a stack");
    let functions = load(&mut vm, "\nredis.register_function('x', redis.log)").expect("a library");
    let text = "ERR First argument must be a number (log level).";
    assert_eq!(call(&mut vm, &functions[0].chunk, MEMORY_BYTES), text);
}

#[test]
fn what_a_library_holds_is_no_part_of_what_its_functions_may_use() {
    let mut vm = Vm::new(Purpose::Functions, "8.2.3").expect("memory for a stack");
    let code = "\nlocal t = {} for i = 1, 2e5 do t[i] = {i} end
        redis.register_function('a', function() for i = 1, 1e4 do local u = {i} end return #t end)
        redis.register_function('b', function() local u = {} for i = 1, 1e5 do u[i] = {i} end return #u end)";
    let functions = load(&mut vm, code).expect("a library");
    assert_eq!(call(&mut vm, &functions[0].chunk, 1 << 20), ":200000\r\n");
    assert_eq!(call(&mut vm, &functions[1].chunk, 1 << 20), "ERR not enough memory");
}

#[test]
fn a_library_that_fails_leaves_no_garbage_behind() {
    let mut vm = Vm::new(Purpose::Functions, "8.2.3").expect("memory for a stack");
    let before = vm.memory_bytes();
    load(&mut vm, "\nlocal t = {} for i = 1, 1e5 do t[i] = {i} end t()").expect_err("an error");
    assert!(vm.memory_bytes() < before + (1 << 20), "{} bytes", vm.memory_bytes());
}

#[test]
fn what_a_library_has_held_is_collected_while_nothing_runs() {
    let mut vm = Vm::new(Purpose::Functions, "8.2.3").expect("memory for a stack");
    let before = vm.memory_bytes();
    let code = "\nlocal t = {} for i = 1, 2e5 do t[i] = {i} end redis.register_function('a', function() return #t end)";
    for function in load(&mut vm, code).expect("a library") {
        vm.release(function.chunk);
    }
    tidy_to_the_end(&mut vm);
    assert!(vm.memory_bytes() < before + (1 << 20), "{} bytes", vm.memory_bytes());
    // What it has held is not granted to others.
    let code = "\nredis.register_function('b', function() local u = {} for i = 1, 1e5 do u[i] = {i} end return #u end)";
    let functions = load(&mut vm, code).expect("a library");
    assert_eq!(call(&mut vm, &functions[0].chunk, 1 << 20), "ERR not enough memory");
}

#[test]
fn what_a_script_leaves_behind_is_collected_while_nothing_runs() {
    let mut machine = Machine::new();
    // A table that grows allocates much at once.
    machine.run("local t = {} for i = 1, 1e5 do t[i] = {i} end local u = {} for i = 1, 6e5 do u[i] = i end return 1");
    assert!(machine.vm.memory_bytes() > 4 << 20, "{} bytes", machine.vm.memory_bytes());
    tidy_to_the_end(&mut machine.vm);
    assert!(machine.vm.memory_bytes() < 1 << 20, "{} bytes", machine.vm.memory_bytes());
}

/// Collects garbage until there is no more, in steps each of which is short.
fn tidy_to_the_end(vm: &mut Vm) {
    let steps = (0..100_000).take_while(|_| vm.tidy()).count();
    assert!((50..100_000).contains(&steps), "{steps} steps");
}
