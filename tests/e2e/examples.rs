//! The examples of `scripts/examples`, each run as its header says.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};

use super::process::{DEADLINE, Dir, Process, binary, node, python};
use super::resp::encode;
use super::server::wait_until;

/// Changes that are sent together.
const CHANGES: usize = 500;

/// A running example and the lines that it prints on standard output and standard error. It is killed in the end.
pub struct Example {
    child: Child,
    lines: Receiver<String>,
}

impl Example {
    pub fn start(mut command: Command, process: &Process, args: &[&str]) -> Example {
        command.args(args).env("ALEADB_URL", format!("redis://127.0.0.1:{}", process.port));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it can be started");
        let (sender, lines) = channel();
        pass_on(child.stdout.take().expect("a pipe"), sender.clone());
        pass_on(child.stderr.take().expect("a pipe"), sender);
        Example { child, lines }
    }

    /// The next line; `None` at the end.
    pub fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(DEADLINE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("the example prints nothing more"),
        }
    }

    /// The lines up to the next empty one.
    fn paragraph(&self) -> Vec<String> {
        std::iter::from_fn(|| self.line()).take_while(|line| !line.is_empty()).collect()
    }

    /// Its exit status once it has ended.
    fn status(&mut self) -> Option<i32> {
        assert!(wait_until(DEADLINE, || !matches!(self.child.try_wait(), Ok(None))), "it goes on");
        self.child.wait().expect("it has ended").code()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // Nothing useful can be done when either of these fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pass_on(output: impl Read + Send + 'static, sender: Sender<String>) {
    let lines = BufReader::new(output).lines().map_while(Result::ok);
    std::thread::spawn(move || {
        // Who does not listen any more has seen enough.
        for line in lines {
            let _ = sender.send(line);
        }
    });
}

/// An example that is a script, for its interpreter.
pub fn script(mut interpreter: Command, name: &str) -> Command {
    interpreter.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/examples").join(name));
    interpreter
}

/// An example that is a Rust program. Cargo builds those before it runs all tests, but not before it runs some.
fn rust_example(name: &str) -> Command {
    let profile = binary().parent().expect("the program is in a profile's directory");
    let target = profile.parent().expect("which is in the target directory");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--offline", "--example", name, "--target-dir"]).arg(target);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    assert!(cargo.status().expect("cargo can be started").success(), "{name} does not build");
    Command::new(profile.join("examples").join(name))
}

/// Has an example watch GET of a key while the key changes. It prints a text between `quotes`, and null as `null`.
fn watch_a_key(command: Command, process: &Process, quotes: [&str; 2], null: &str) -> Example {
    let mut writer = process.connect();
    writer.call(&["DEL", "k"]).expect("a reply");
    let first = process.connect().call(&["GET.WATCH", "k"]).expect("a reply").value;
    let fingerprint = first.items().expect("three elements")[1].text();
    let frame = |result: &str| Some(format!("GET {fingerprint} {result}"));
    let text = |text: &str| frame(&format!("{}{text}{}", quotes[0], quotes[1]));
    let example = Example::start(command, process, &["GET", "k"]);
    assert_eq!(example.line(), frame(null));
    writer.call(&["SET", "k", "hello world"]).expect("a reply");
    assert_eq!(example.line(), text("hello world"));
    writer.call(&["DEL", "k"]).expect("a reply");
    assert_eq!(example.line(), frame(null));
    // Many changes at once, whose frames the example finds together.
    writer.send_raw(&encode(&["INCR", "k"]).repeat(CHANGES)).expect("they are sent");
    for number in 1..=CHANGES {
        assert_eq!(example.line(), text(&number.to_string()));
    }
    example
}

/// Ends the connections of every other client.
fn disconnect_clients(process: &Process) {
    process.connect().call(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).expect("a reply");
}

/// A query that cannot be watched is refused in one line, and the status tells.
fn refuses_to_watch(command: Command, process: &Process) {
    let mut example = Example::start(command, process, &["SET", "k", "v"]);
    let line = example.line().expect("the refusal");
    assert!(line.ends_with("'set' is not a read-only command"), "{line}");
    assert_eq!((example.line(), example.status()), (None, Some(1)));
}

/// An example says in one line that its connection has ended, and the status tells.
fn ends_with_its_connection(mut example: Example, process: &Process) {
    disconnect_clients(process);
    let line = example.line().expect("a reason");
    assert!(!line.starts_with("GET"), "{line}");
    assert_eq!((example.line(), example.status()), (None, Some(1)), "{line}");
}

#[test]
fn watch_py_prints_every_frame() {
    let test = "watch_py_prints_every_frame";
    let example = || python(test).map(|python| script(python, "watch.py"));
    let process = Process::serving(&[]);
    let Some(command) = example() else { return };
    ends_with_its_connection(watch_a_key(command, &process, ["\"", "\""], "null"), &process);
    refuses_to_watch(example().expect("it was there before"), &process);
}

#[test]
fn watch_rs_prints_every_frame() {
    let process = Process::serving(&[]);
    let running = watch_a_key(rust_example("watch"), &process, ["bulk-string('\"", "\"')"], "nil");
    ends_with_its_connection(running, &process);
    refuses_to_watch(rust_example("watch"), &process);
}

#[test]
fn watch_js_prints_every_frame_and_reconnects() {
    let test = "watch_js_prints_every_frame_and_reconnects";
    let process = Process::serving(&[]);
    for package in ["ioredis", "ioredis-5"] {
        // The example requires `ioredis`, whichever version that is.
        let packages = Dir::new();
        let example = || {
            let mut node = node(test)?;
            node.env("NODE_PATH", &packages.0);
            Some(script(node, "watch.js"))
        };
        let Some(command) = example() else { return };
        let installed = Path::new(&std::env::var_os("ALEADB_NODE_PATH").expect("it was there before")).join(package);
        std::os::unix::fs::symlink(installed, packages.join("ioredis")).expect("the directory is writable");
        let running = watch_a_key(command, &process, ["\"", "\""], "null");
        disconnect_clients(&process);
        // It may say why the connection has ended.
        let frame = || std::iter::from_fn(|| running.line()).find(|line| line.starts_with("GET")).expect("a frame");
        assert!(frame().ends_with(&format!("\"{CHANGES}\"")), "{package}: the first answer again");
        process.connect().call(&["SET", "k", "after"]).expect("a reply");
        assert!(frame().ends_with("\"after\""), "{package}: and the next one");
        refuses_to_watch(example().expect("it was there before"), &process);
    }
}

#[test]
fn leaderboard_py_draws_every_frame() {
    let test = "leaderboard_py_draws_every_frame";
    let example = || python(test).map(|python| script(python, "leaderboard.py"));
    let process = Process::serving(&[]);
    let Some(command) = example() else { return };
    let mut shown = Example::start(command, &process, &["--key", "game", "--top", "2", "--frames", "4"]);
    assert_eq!(shown.paragraph(), ["game: nobody has scored yet"]);
    let mut client = process.connect();
    let mut score = |player, points| client.call(&["ZINCRBY", "game", points, player]).expect("a reply");
    let (whole, half) = ("█".repeat(32), "█".repeat(16));
    let row = |place, arrow, player, points, bar: &str| format!("  {place} {arrow} {player:<12} {points:>10}  {bar}");
    score("Ada", "1000");
    assert_eq!(shown.paragraph(), ["game: the best 1".to_owned(), row(1, ' ', "Ada", "1,000", &whole)]);
    score("Ken", "500");
    let board = [row(1, ' ', "Ada", "1,000", &whole), row(2, ' ', "Ken", "500", &half)];
    assert_eq!(shown.paragraph()[1..], board);
    score("Ken", "1500");
    let board = [row(1, '▲', "Ken", "2,000", &whole), row(2, '▼', "Ada", "1,000", &half)];
    assert_eq!(shown.paragraph()[1..], board);
    assert_eq!((shown.line(), shown.status()), (None, Some(0)), "that was the last frame");
}

#[test]
fn leaderboard_py_feeds_itself_and_ends_with_ctrl_c() {
    let test = "leaderboard_py_feeds_itself_and_ends_with_ctrl_c";
    let example = || python(test).map(|python| script(python, "leaderboard.py"));
    let process = Process::serving(&[]);
    let Some(python) = example() else { return };
    // A shell that runs the tests in the background has them ignore SIGINT, which is inherited.
    let mut command = Command::new("env");
    command.arg("--default-signal=INT").arg(python.get_program()).args(python.get_args());
    let mut shown = Example::start(command, &process, &[]);
    assert_eq!(shown.paragraph(), ["board: nobody has scored yet"]);
    let feeder = example().expect("it was there before");
    let mut feeder = Example::start(feeder, &process, &["--feed", "--count", "20", "--every", "0"]);
    assert_eq!(feeder.status(), Some(0));
    // A frame for each score.
    let frames: Vec<Vec<String>> = (0..20).map(|_| shown.paragraph()).collect();
    let board = process.connect().call(&["ZREVRANGE", "board", "0", "9", "WITHSCORES"]).expect("a reply").value;
    let board: Vec<String> = board.items().expect("players and scores").iter().map(|item| item.text()).collect();
    // Place, perhaps an arrow, player, points, perhaps a bar.
    let drawn: Vec<String> = frames[19][1..]
        .iter()
        .flat_map(|row| row.split_whitespace().skip(1).filter(|word| word.is_ascii()).map(|word| word.replace(',', "")))
        .collect();
    assert_eq!(drawn, board);
    let pid = shown.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill runs").success());
    assert_eq!((shown.line(), shown.status()), (None, Some(0)));
}
