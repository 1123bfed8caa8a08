//! What README.md says that a person would see, tried: the transcript of a live query, what `redis-cli` makes of one, what is not
//! there yet, and the scripts' `--help`.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use super::examples::{Example, script};
use super::process::{DEADLINE, Dir, Process, binary, has_program, python, skip};
use super::server::wait_until;

/// The README's part from the line `start` up to the next line that is `end`.
fn part(start: &str, end: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(path).expect("README.md is there");
    let mut lines = text.lines().skip_while(|line| *line != start).skip(1).peekable();
    assert!(lines.peek().is_some(), "README.md has no line '{start}'");
    lines.take_while(|line| *line != end).map(str::to_owned).collect()
}

#[test]
fn the_transcript_of_a_live_query_is_what_a_terminal_shows() {
    let Some(python) = python("the_transcript_of_a_live_query_is_what_a_terminal_shows") else { return };
    let process = Process::serving(&[]);
    let transcript = part("<!-- watch transcript -->", "```");
    let mut lines = transcript.iter().skip_while(|line| *line != "```console").skip(1);
    let typed = lines.next().expect("what is typed first");
    let args = typed.strip_prefix("$ python3 scripts/examples/watch.py ").expect("the example is run");
    let args: Vec<&str> = args.split(' ').collect();
    let example = Example::start(script(python, "watch.py"), &process, &args);
    let mut other = process.connect();
    for line in lines {
        match line.trim_start().strip_prefix("$ redis-cli -p 7379 ") {
            Some(command) => drop(other.call(&command.split(' ').collect::<Vec<_>>()).expect("a reply")),
            None => assert_eq!(example.line().as_ref(), Some(line)),
        }
    }
}

/// What `redis-cli` prints, by lines, when a key changes that it watches and two PINGs are typed after that.
fn watched_by_redis_cli(process: &Process, options: &[&str]) -> Vec<String> {
    let mut other = process.connect();
    other.call(&["DEL", "k"]).expect("a reply");
    let mut cli = Command::new("redis-cli");
    cli.args(["-p", &process.port.to_string()]).args(options).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut cli = cli.spawn().expect("redis-cli can be started");
    let mut input = cli.stdin.take().expect("a pipe");
    input.write_all(b"GET.WATCH k\n").expect("it reads");
    let mut watches = || other.call(&["WATCH.COUNT", "k"]).expect("a reply").raw.ends_with(b":1\r\n");
    assert!(wait_until(DEADLINE, &mut watches));
    other.call(&["SET", "k", "hello"]).expect("a reply");
    input.write_all(b"PING\nPING\n").expect("it reads");
    drop(input);
    let mut text = String::new();
    cli.stdout.take().expect("a pipe").read_to_string(&mut text).expect("text");
    assert!(cli.wait().expect("it has ended").success());
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn redis_cli_shows_frames_when_the_next_line_is_typed_and_without_resp3_as_its_reply() {
    let test = "redis_cli_shows_frames_when_the_next_line_is_typed_and_without_resp3_as_its_reply";
    if !has_program("redis-cli") {
        return skip(test, "there is no redis-cli");
    }
    let process = Process::serving(&[]);
    let first = process.connect().call(&["GET.WATCH", "k"]).expect("a reply").value;
    let fingerprint = first.items().expect("three elements")[1].text();
    let late = watched_by_redis_cli(&process, &[]);
    assert_eq!(late, ["GET", &fingerprint, "GET", &fingerprint, "hello", "PONG"], "the second PONG is never read");
    // As in a terminal; into a pipe it would leave pushes out.
    let in_place = watched_by_redis_cli(&process, &["-3", "--show-pushes", "yes"]);
    assert_eq!(in_place.iter().filter(|line| *line == "PONG").count(), 2, "{in_place:?}");
    assert!(in_place.iter().any(|line| line.contains("hello")), "{in_place:?}");
    // A command among the arguments: the first answer, and the end.
    let mut once = Command::new("redis-cli");
    let once = once.args(["-p", &process.port.to_string(), "GET.WATCH", "k"]).stdin(Stdio::null()).output();
    let once = once.expect("redis-cli can be started");
    assert_eq!(String::from_utf8_lossy(&once.stdout), format!("GET\n{fingerprint}\nhello\n"));
}

/// What stands in the first column of the rows of a Markdown table, the ruler left out.
fn first_column<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    lines
        .filter_map(|line| line.strip_prefix('|')?.split('|').next())
        .map(str::trim)
        .filter(|cell| *cell != "---")
        .collect()
}

#[test]
fn the_table_of_performance_is_of_the_form_that_the_benchmark_prints() {
    let test = "the_table_of_performance_is_of_the_form_that_the_benchmark_prints";
    if !has_program("redis-benchmark") || !has_program("redis-cli") {
        return skip(test, "there is no redis-benchmark or no redis-cli");
    }
    let Some(mut bench) = python(test) else { return };
    let dir = Dir::new();
    bench.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/bench.py"));
    let peer = format!("aleadb={} --port {{port}} --bind 127.0.0.1", binary().display());
    bench.args(["--tests", "get,set,memory", "--rounds", "1", "--requests", "5000", "--keys", "1000", "--peer", &peer]);
    let output = bench.arg("--output").arg(&dir.0).stdin(Stdio::null()).output().expect("python can be started");
    let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{printed}{errors}");
    let table = printed.split_once("\n\n").expect("a table after the results").1;
    assert!(table.starts_with("| | AleaDB |\n"), "{table}");
    let shown = part("<!-- performance -->", "<!-- /performance -->");
    assert_eq!(first_column(shown.iter().map(String::as_str)), first_column(table.lines()));
}

#[test]
fn what_is_not_there_yet_is_refused() {
    let process = Process::serving(&["--enable-debug-command", "yes"]);
    let rows = part("## Not there yet", "## Where it differs from Redis");
    let rows: Vec<&str> =
        rows.iter().filter_map(|row| row.rsplit(" | ").next().filter(|_| row.contains('`'))).collect();
    assert!(rows.len() >= 5, "{rows:?}");
    for example in rows.iter().flat_map(|row| row.split('`').skip(1).step_by(2)) {
        let words: Vec<&str> = example.split(' ').collect();
        if words[0].chars().any(char::is_lowercase) {
            let option = format!("--{}", words[0]);
            let mut refused = Process::spawn(Dir::new(), 0, &[&[option.as_str()], &words[1..]].concat(), &[]);
            assert_eq!(refused.exit_status(), Some(1), "{example}");
        } else {
            let mut client = process.connect();
            let reply = String::from_utf8(client.call(&words).expect("a reply").raw).expect("text");
            let malformed = ["wrong number of arguments", "syntax error"].iter().any(|text| reply.contains(text));
            assert!(reply.starts_with('-') && !malformed, "{example}: {reply}");
        }
    }
}

#[test]
fn every_script_says_how_it_is_used() {
    let scripts = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts")).expect("there are scripts");
    let scripts = scripts.map(|entry| entry.expect("an entry").path());
    // One is no script to be run, but a library of theirs.
    let scripts = scripts.filter(|path| path.extension().is_some_and(|end| end == "sh") && !path.ends_with("peers.sh"));
    for path in scripts {
        let mut child = Command::new("bash");
        child.arg(&path).arg("--help").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().expect("bash can be started");
        let ended = wait_until(DEADLINE, || !matches!(child.try_wait(), Ok(None)));
        if !ended {
            let _ = child.kill();
        }
        let output = child.wait_with_output().expect("it has ended");
        let (status, text) = (output.status, String::from_utf8_lossy(&output.stdout));
        assert!(ended && status.success() && text.lines().count() > 1, "{path:?} --help: {status} {text}");
    }
}
