//! Scripts run to their end, or until they are stopped, with a stand-in for the server that answers their commands.

use super::vm::{Ending, Purpose, Run, Step, Vm};
use crate::base::clock::SystemClock;
use crate::resp::args::OwnedArgs;
use crate::resp::out::Out;
use crate::resp::reply::{Proto, Reply};

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
}

impl Machine {
    fn new() -> Machine {
        let vm = Vm::new(Purpose::Scripts, "8.2.3").expect("memory for a stack");
        let (clock, proto) = (SystemClock::start(), Proto::Resp2);
        Machine { vm, clock, proto, answer: b"+OK\r\n".to_vec(), calls: Vec::new() }
    }

    /// Runs a script without keys.
    fn run(&mut self, script: &str) -> String {
        self.run_with(script.as_bytes(), &[], &[])
    }

    /// Runs a script; what it answers, as a client would be sent it.
    fn run_with(&mut self, script: &[u8], keys: &[&[u8]], arguments: &[&[u8]]) -> String {
        let chunk = match self.vm.compile(&self.clock, script, MEMORY_BYTES) {
            Ok(chunk) => chunk,
            Err(text) => return format!("-{}", String::from_utf8_lossy(&text)),
        };
        let (keys, arguments) = (OwnedArgs::new(keys.iter().copied()), OwnedArgs::new(arguments.iter().copied()));
        let run = Run { name: "sha", memory_bytes: MEMORY_BYTES };
        self.vm.start(&chunk, keys.as_args(), arguments.as_args(), run);
        while self.step(u64::MAX) != Step::Done {}
        self.vm.release(chunk);
        self.finish()
    }

    /// Goes on with a script until a time, and answers its calls.
    fn step(&mut self, until_ns: u64) -> Step {
        let step = self.vm.resume(&self.clock, until_ns);
        if matches!(step, Step::Call | Step::MayCall) {
            let mut exchange = self.vm.exchange();
            let call: Vec<_> = exchange.call.as_args().iter_from(0).map(String::from_utf8_lossy).collect();
            self.calls.push(call.join(" "));
            exchange.answer.push(&self.answer);
        }
        step
    }

    fn finish(&mut self) -> String {
        let mut out = Out::default();
        match self.vm.finish(&mut Reply::new(&mut out, self.proto)) {
            Ending::Replied => String::from_utf8_lossy(&out.into_bytes()).into_owned(),
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
