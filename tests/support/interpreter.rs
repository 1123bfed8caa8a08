//! An interpreter without a server, for tests of what scripts compute.
#![allow(dead_code, reason = "each test binary that includes this file uses its own part of it")]

use aleadb::base::clock::SystemClock;
use aleadb::lua::vm::{Asked, Ending, Exchange, Purpose, Run, Step, Vm};
use aleadb::resp::args::OwnedArgs;
use aleadb::resp::out::Out;
use aleadb::resp::reply::{Proto, Reply};

/// The version that scripts are told.
const REDIS_VERSION: &str = "8.2.3";

/// An interpreter for scripts that call no commands.
pub struct Interpreter {
    vm: Vm,
    clock: SystemClock,
    memory_bytes: usize,
}

impl Interpreter {
    /// An interpreter whose scripts may use so many bytes.
    pub fn new(memory_bytes: usize) -> Interpreter {
        let vm = Vm::new(Purpose::Scripts, REDIS_VERSION).expect("memory for a stack");
        Interpreter { vm, clock: SystemClock::start(), memory_bytes }
    }

    /// Runs a script: its reply as the wire has it, or the error's text.
    pub fn run(&mut self, script: &[u8], arguments: &[&[u8]]) -> Result<Vec<u8>, Vec<u8>> {
        let chunk = self.vm.compile(&self.clock, script, self.memory_bytes)?;
        let arguments = OwnedArgs::new(arguments.iter().copied());
        let run = Run { name: "sha", memory_bytes: self.memory_bytes, proto: Proto::Resp2 };
        self.vm.start(&chunk, OwnedArgs::new([]).as_args(), arguments.as_args(), run);
        while self.vm.resume(&self.clock, u64::MAX, &mut no_command) != Step::Done {}
        self.vm.release(chunk);
        self.finish()
    }

    /// Runs a script without an end until it first gives way, and kills it; the error's text.
    pub fn run_and_kill(&mut self, script: &[u8], text: &'static str) -> Vec<u8> {
        let chunk = self.vm.compile(&self.clock, script, self.memory_bytes).expect("it compiles");
        let none = OwnedArgs::new([]);
        let run = Run { name: "sha", memory_bytes: self.memory_bytes, proto: Proto::Resp2 };
        self.vm.start(&chunk, none.as_args(), none.as_args(), run);
        assert_eq!(self.vm.resume(&self.clock, 0, &mut no_command), Step::Slice, "the script gives way");
        self.vm.kill(text);
        assert_eq!(self.vm.resume(&self.clock, u64::MAX, &mut no_command), Step::Done, "the script ends");
        self.vm.release(chunk);
        self.finish().expect_err("a script that was killed")
    }

    /// Runs any script, which may call commands, all of which are answered OK, and is killed after so many slices of some steps:
    /// its reply, or the error's text.
    pub fn run_slices(&mut self, script: &[u8], slices: usize) -> Result<Vec<u8>, Vec<u8>> {
        let chunk = self.vm.compile(&self.clock, script, self.memory_bytes)?;
        let none = OwnedArgs::new([]);
        let run = Run { name: "sha", memory_bytes: self.memory_bytes, proto: Proto::Resp2 };
        self.vm.start(&chunk, none.as_args(), none.as_args(), run);
        let mut left = slices;
        loop {
            let mut answer = |asked, exchange: &mut Exchange| match asked {
                Asked::Call => exchange.answer.push(b"+OK\r\n"),
                Asked::MayCall => exchange.answer.push(b":1\r\n"),
            };
            if self.vm.resume(&self.clock, 0, &mut answer) == Step::Done {
                break;
            }
            left = left.saturating_sub(1);
            if left == 0 {
                self.vm.kill("killed");
            }
        }
        self.vm.release(chunk);
        self.finish()
    }

    fn finish(&mut self) -> Result<Vec<u8>, Vec<u8>> {
        let mut out = Out::default();
        match self.vm.finish(&mut Reply::new(&mut out, Proto::Resp2)) {
            Ending::Replied { .. } => Ok(out.into_bytes()),
            Ending::Failed { text, .. } => Err(text),
        }
    }
}

fn no_command(_: Asked, _: &mut Exchange) {
    panic!("scripts call no commands here");
}
