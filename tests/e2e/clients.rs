//! Other people's programs and libraries, used as their users use them.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use redis::TypedCommands;

use super::process::{Process, has_program, node, python, skip};
use super::resp::encode;
use super::server::wait_until;

/// How long a subscription may take to arrive or to go.
const LISTENING_TIMEOUT: Duration = Duration::from_secs(20);

/// Runs a program against the server with `input`; what it printed. It has to succeed.
fn run(process: &Process, program: &str, args: &[&str], input: &[u8]) -> String {
    let mut child = Command::new(program)
        .args(["-h", "127.0.0.1", "-p", &process.port.to_string()])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let mut stdin = child.stdin.take().expect("a pipe");
    let Output { status, stdout, stderr } = std::thread::scope(|scope| {
        // A program that ends early closes its side; its status tells.
        scope.spawn(move || stdin.write_all(input).ok());
        child.wait_with_output().expect("the program ends")
    });
    let text = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{program} {args:?}: {status}: {text}{}", String::from_utf8_lossy(&stderr));
    text
}

/// A server to use a program against; `None` after saying that the program is missing.
fn server_for(program: &str, test: &str) -> Option<Process> {
    if !has_program(program) {
        skip(test, &format!("{program} is not installed"));
        return None;
    }
    Some(Process::serving(&[]))
}

fn fill(process: &Process, keys: usize) {
    let commands: Vec<u8> = (0..keys).flat_map(|n| encode(&["SET", &format!("key:{n}"), "value"])).collect();
    let text = run(process, "redis-cli", &["--pipe"], &commands);
    assert!(text.contains(&format!("errors: 0, replies: {keys}")), "{text}");
}

#[test]
fn redis_cli_runs_commands_from_arguments_and_from_its_prompt() {
    let Some(process) = server_for("redis-cli", "redis_cli_runs_commands") else { return };
    assert_eq!(run(&process, "redis-cli", &["SET", "greeting", "hello world"], b""), "OK\n");
    assert_eq!(run(&process, "redis-cli", &["GET", "greeting"], b""), "hello world\n");
    assert_eq!(run(&process, "redis-cli", &["--no-raw", "GET", "missing"], b""), "(nil)\n");
    assert_eq!(run(&process, "redis-cli", &["-x", "SET", "piped"], b"from stdin"), "OK\n");
    let prompt = run(&process, "redis-cli", &[], b"SET n 41\nINCR n\nGET n\nECHO \"a b\"\nnonsense\nSELECT 3\nGET n\n");
    let lines: Vec<&str> = prompt.lines().collect();
    assert_eq!(lines[..4], ["OK", "42", "42", "a b"]);
    assert!(lines[4].starts_with("ERR unknown command 'nonsense'"), "{prompt}");
    assert_eq!(lines[lines.len() - 2..], ["OK", ""], "{prompt}");
}

#[test]
fn redis_cli_speaks_the_third_protocol() {
    let Some(process) = server_for("redis-cli", "redis_cli_speaks_the_third_protocol") else { return };
    let text = run(&process, "redis-cli", &["-3", "--no-raw", "CONFIG", "GET", "maxclients"], b"");
    assert_eq!(text, "1# \"maxclients\" => \"10000\"\n");
    assert_eq!(run(&process, "redis-cli", &["-3", "--no-raw", "GET", "missing"], b""), "(nil)\n");
}

#[test]
fn redis_cli_pipes_and_scans() {
    let Some(process) = server_for("redis-cli", "redis_cli_pipes_and_scans") else { return };
    fill(&process, 10_000);
    let text = run(&process, "redis-cli", &["--scan"], b"");
    let found: HashSet<&str> = text.lines().collect();
    assert_eq!(found.len(), 10_000);
    assert!((0..10_000).all(|n| found.contains(format!("key:{n}").as_str())));
    let text = run(&process, "redis-cli", &["--scan", "--pattern", "key:99?"], b"");
    assert_eq!(text.lines().collect::<HashSet<_>>().len(), 10);
    let text = run(&process, "redis-cli", &["--bigkeys"], b"");
    assert!(text.contains("Sampled 10000 keys in the keyspace!"), "{text}");
    assert!(text.contains("10000 strings with 50000 bytes"), "{text}");
    let text = run(&process, "redis-cli", &["--memkeys"], b"");
    assert!(text.contains("Sampled 10000 keys in the keyspace!"), "{text}");
}

#[test]
fn redis_cli_measures_latency_and_shows_info() {
    let Some(process) = server_for("redis-cli", "redis_cli_measures_latency_and_shows_info") else { return };
    let text = run(&process, "redis-cli", &["--latency", "--raw", "-i", "0.1"], b"");
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(numbers.len() == 4 && numbers[3] > 0.0, "min, max, average, samples: {text}");
    let info = run(&process, "redis-cli", &["INFO"], b"");
    for line in
        ["# Server", "redis_version:", "aleadb_version:", "# Clients", "connected_clients:1", "# Memory", "# Stats"]
    {
        assert!(info.lines().any(|found| found.starts_with(line)), "no {line} in {info}");
    }
    let expected = format!("tcp_port:{}", process.port);
    assert!(info.lines().any(|line| line.trim_end() == expected), "no {expected} in {info}");
}

#[test]
fn redis_cli_listens_to_channels_and_keys() {
    let Some(process) = server_for("redis-cli", "redis_cli_listens") else { return };
    assert_eq!(run(&process, "redis-cli", &["CONFIG", "SET", "notify-keyspace-events", "KEA"], b""), "OK\n");
    for protocol in ["-2", "-3"] {
        let mut listener = Command::new("redis-cli")
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &process.port.to_string(),
                protocol,
                "PSUBSCRIBE",
                "__keyevent@0__:*",
                "news",
            ])
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-cli can be started");
        let numpat = || run(&process, "redis-cli", &["PUBSUB", "NUMPAT"], b"");
        assert!(wait_until(LISTENING_TIMEOUT, || numpat() == "2\n"), "{}", numpat());
        assert_eq!(run(&process, "redis-cli", &["SET", "greeting", "hello"], b""), "OK\n");
        assert_eq!(run(&process, "redis-cli", &["PUBLISH", "news", "the end"], b""), "1\n");
        let stdout = BufReader::new(listener.stdout.take().expect("a pipe"));
        let lines: Vec<String> = stdout.lines().map_while(Result::ok).take_while(|line| line != "the end").collect();
        assert!(lines.ends_with(&["pmessage", "news", "news"].map(str::to_owned)), "{lines:?}");
        let event = ["pmessage", "__keyevent@0__:*", "__keyevent@0__:set", "greeting"];
        assert!(lines.windows(4).any(|window| window == event), "{lines:?}");
        listener.kill().expect("still there");
        listener.wait().expect("it ends");
        assert!(wait_until(LISTENING_TIMEOUT, || numpat() == "0\n"), "{}", numpat());
    }
}

/// The first lines that a mode of redis-cli prints that goes on until it is ended, while `meanwhile` runs again and again.
fn first_lines(process: &Process, args: &[&str], count: usize, mut meanwhile: impl FnMut()) -> Vec<String> {
    let mut child = Command::new("stdbuf")
        .args(["-oL", "redis-cli", "-h", "127.0.0.1", "-p", &process.port.to_string()])
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .expect("stdbuf can be started");
    let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let (sender, lines) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        stdout.lines().map_while(Result::ok).take(count).for_each(|line| sender.send(line).expect("somebody waits"));
    });
    let mut seen = Vec::new();
    let is_there = wait_until(LISTENING_TIMEOUT, || {
        meanwhile();
        seen.extend(lines.try_iter());
        seen.len() == count
    });
    child.kill().expect("still there");
    child.wait().expect("it ends");
    reader.join().expect("its pipe has ended");
    assert!(is_there, "{args:?}: {seen:?}");
    seen
}

#[test]
fn redis_cli_watches_the_server_and_finds_its_keys() {
    let test = "redis_cli_watches_the_server_and_finds_its_keys";
    let Some(process) = server_for("redis-cli", test) else { return };
    if !has_program("stdbuf") {
        return skip(test, "stdbuf is not installed");
    }
    let set = || assert_eq!(run(&process, "redis-cli", &["SET", "key", "a b"], b""), "OK\n");
    set();
    let shown = first_lines(&process, &["monitor"], 3, set);
    assert_eq!(shown[0], "OK");
    assert!(shown[1..].iter().all(|line| line.ends_with("] \"SET\" \"key\" \"a b\"")), "{shown:?}");
    let shown = first_lines(&process, &["--stat", "-i", "0.1"], 4, || {});
    assert!(shown[1].starts_with("keys ") && shown[3].starts_with("1 "), "{shown:?}");
    let shown = first_lines(&process, &["--latency-dist", "-i", "0.1"], 3, || {});
    assert!(shown[1].contains("milliseconds"), "{shown:?}");
    // COMPAT: so does Redis whose policy counts no accesses; no other can be chosen here.
    let hotkeys =
        Command::new("redis-cli").args(["-p", &process.port.to_string(), "--hotkeys"]).output().expect("it runs");
    let told = String::from_utf8_lossy(&hotkeys.stderr).into_owned() + &String::from_utf8_lossy(&hotkeys.stdout);
    assert!(told.contains("ERR An LFU maxmemory policy is not selected"), "{told}");
}

#[test]
fn redis_benchmark_runs_its_tests() {
    let Some(process) = server_for("redis-benchmark", "redis_benchmark_runs_its_tests") else { return };
    for pipeline in ["1", "16"] {
        let args = ["-t", "ping,set,get,incr,mset", "-n", "2000", "-q", "-P", pipeline];
        let text = run(&process, "redis-benchmark", &args, b"");
        for name in ["PING_INLINE:", "PING_MBULK:", "SET:", "GET:", "INCR:", "MSET (10 keys):"] {
            let done =
                text.split(['\r', '\n']).any(|line| line.starts_with(name) && line.contains("requests per second"));
            assert!(done, "no result of {name} in {text}");
        }
        assert!(!text.contains("Error"), "{text}");
    }
}

#[test]
fn the_redis_crate_works_in_both_protocols() -> redis::RedisResult<()> {
    let process = Process::serving(&[]);
    for protocol in ["resp2", "resp3"] {
        let url = format!("redis://127.0.0.1:{}/1?protocol={protocol}", process.port);
        let mut connection = redis::Client::open(url)?.get_connection()?;
        connection.set("name", "value")?;
        assert_eq!(connection.get("name")?.as_deref(), Some("value"));
        assert_eq!(connection.get("missing")?, None);
        assert_eq!(connection.incr("count", 5)?, 5);
        assert_eq!(connection.append("name", "s")?, 6);
        connection.set_ex("brief", "x", 100)?;
        assert!((99..=100).contains(&redis::cmd("TTL").arg("brief").query::<i64>(&mut connection)?));
        let (old, new): (i64, i64) =
            redis::pipe().cmd("GET").arg("count").cmd("INCRBY").arg("count").arg(2).query(&mut connection)?;
        assert_eq!((old, new), (5, 7));
        let values: Vec<Option<String>> = redis::cmd("MGET").arg(&["name", "missing"]).query(&mut connection)?;
        assert_eq!(values, [Some("values".to_owned()), None]);
        let keys: HashSet<String> =
            redis::Commands::scan::<String>(&mut connection)?.collect::<redis::RedisResult<_>>()?;
        assert_eq!(keys, ["name", "count", "brief"].map(str::to_owned).into());
        let error = connection.incr("name", 1).expect_err("not a number");
        assert!(error.to_string().contains("value is not an integer or out of range"), "{error}");
        assert_eq!(connection.del(&["name", "count", "brief", "missing"])?, 3);
    }
    Ok(())
}

#[test]
fn the_redis_crate_waits_watches_and_reads_collections() -> redis::RedisResult<()> {
    let process = Process::serving(&[]);
    for protocol in ["resp2", "resp3"] {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/?protocol={protocol}", process.port))?;
        let (mut connection, mut other) = (client.get_connection()?, client.get_connection()?);
        // A consumer that waits for its producer.
        let consumer = std::thread::spawn(move || -> redis::RedisResult<Vec<[String; 2]>> {
            (0..100).map(|_| redis::Commands::blpop(&mut other, &["urgent", "jobs"], 20.0)).collect()
        });
        for n in 0..100 {
            connection.rpush("jobs", n)?;
        }
        let jobs = consumer.join().expect("it does not panic")?;
        assert_eq!(jobs, (0..100).map(|n| ["jobs".to_owned(), n.to_string()]).collect::<Vec<_>>());
        // A transaction that is tried again because another client was quicker.
        let (mut other, mut attempts) = (client.get_connection()?, 0);
        let (sum,): (i64,) = redis::transaction(&mut connection, &["sum"], |connection, pipe| {
            attempts += 1;
            let old: Option<i64> = redis::Commands::get(connection, "sum")?;
            if attempts == 1 {
                other.set("sum", 40)?;
            }
            pipe.set("sum", old.unwrap_or(0) + 2).ignore().get("sum").query(connection)
        })?;
        assert_eq!((sum, attempts), (42, 2));
        connection.hset("user", "name", "Ada")?;
        let ttl: Vec<i64> =
            redis::cmd("HEXPIRE").arg(&["user", "100", "FIELDS", "1", "name"]).query(&mut connection)?;
        assert_eq!((ttl, connection.hget("user", "name")?.as_deref()), (vec![1], Some("Ada")));
        for (member, score) in [("a", 1.0), ("b", 3.5), ("c", 2.0)] {
            connection.zadd("board", member, score)?;
        }
        let best: Vec<(String, f64)> = redis::Commands::zrevrange_withscores(&mut connection, "board", 0, 1)?;
        assert_eq!(best, [("b".to_owned(), 3.5), ("c".to_owned(), 2.0)]);
        redis::cmd("FLUSHALL").exec(&mut connection)?;
    }
    Ok(())
}

#[test]
fn the_redis_crate_is_told_of_changes_for_a_cache() -> redis::RedisResult<()> {
    let process = Process::serving(&[]);
    let client = redis::Client::open(format!("redis://127.0.0.1:{}/?protocol=resp3", process.port))?;
    let (mut reader, mut writer) = (client.get_connection()?, client.get_connection()?);
    let (sender, told) = std::sync::mpsc::channel();
    reader.set_push_sender(sender);
    redis::cmd("CLIENT").arg(&["TRACKING", "ON"]).exec(&mut reader)?;
    assert_eq!(redis::Commands::get::<_, Option<String>>(&mut reader, "name")?, None);
    redis::Commands::set::<_, _, ()>(&mut writer, "name", "value")?;
    // The crate looks at what has come when it is asked for something.
    redis::cmd("PING").exec(&mut reader)?;
    let push = told.recv_timeout(LISTENING_TIMEOUT).expect("it is told");
    assert_eq!(push.kind, redis::PushKind::Invalidate);
    assert_eq!(redis::from_redis_value::<Vec<Vec<String>>>(redis::Value::Array(push.data))?, [["name"]]);
    Ok(())
}

#[test]
fn the_redis_crate_uses_every_other_data_type() -> redis::RedisResult<()> {
    let process = Process::serving(&[]);
    for protocol in ["resp2", "resp3"] {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/?protocol={protocol}", process.port))?;
        let mut db = client.get_connection()?;
        assert_eq!((db.sadd("odd", &["1", "3", "5"])?, db.sadd("prime", &["2", "3", "5"])?), (3, 3));
        assert_eq!(db.sinter(&["odd", "prime"])?, HashSet::from(["3".to_owned(), "5".to_owned()]));
        let members: HashSet<String> = redis::Commands::sscan(&mut db, "odd")?.collect::<redis::RedisResult<_>>()?;
        assert_eq!(members.len(), 3);
        assert_eq!((db.setbit("bits", 7, true)?, db.setbit("bits", 8, true)?), (false, false));
        assert_eq!((db.getbit("bits", 8)?, db.bitcount("bits")?), (true, 2));
        assert!(db.pfadd("visitors", &["ann", "bob", "ann"])?);
        assert_eq!(db.pfcount("visitors")?, 2);
        let (added, km): (i64, f64) = redis::pipe()
            .cmd("GEOADD")
            .arg(&["sicily", "13.361389", "38.115556", "Palermo", "15.087269", "37.502669", "Catania"])
            .cmd("GEODIST")
            .arg(&["sicily", "Palermo", "Catania", "km"])
            .query(&mut db)?;
        assert_eq!((added, km), (2, 166.2742));
        reads_a_stream(&client, &mut db)?;
        redis::cmd("FLUSHALL").exec(&mut db)?;
    }
    Ok(())
}

/// What XREADGROUP answers: streams with their entries, each an id and its fields. The third protocol has a map of streams.
type Streams = Vec<(String, Vec<(String, Vec<(String, String)>)>)>;

/// A consumer waits for an entry, is given it, and acknowledges it in a transaction.
fn reads_a_stream(client: &redis::Client, db: &mut redis::Connection) -> redis::RedisResult<()> {
    redis::cmd("XGROUP").arg(&["CREATE", "orders", "billing", "$", "MKSTREAM"]).exec(db)?;
    let mut other = client.get_connection()?;
    let consumer = std::thread::spawn(move || -> redis::RedisResult<Streams> {
        let line = ["GROUP", "billing", "ann", "BLOCK", "20000", "STREAMS", "orders", ">"];
        redis::cmd("XREADGROUP").arg(&line).query(&mut other)
    });
    let waits = |db: &mut redis::Connection| -> redis::RedisResult<bool> {
        Ok(redis::cmd("INFO").arg("clients").query::<String>(db)?.contains("blocked_clients:1\r\n"))
    };
    assert!(wait_until(LISTENING_TIMEOUT, || waits(db).expect("an answer")));
    let id: String = redis::cmd("XADD").arg(&["orders", "*", "number", "7"]).query(db)?;
    let streams = consumer.join().expect("it does not panic")?;
    let fields = vec![("number".to_owned(), "7".to_owned())];
    assert_eq!(streams, [("orders".to_owned(), vec![(id.clone(), fields)])]);
    let (acknowledged, length): (i64, i64) =
        redis::pipe().atomic().cmd("XACK").arg(&["orders", "billing", &id]).cmd("XLEN").arg("orders").query(db)?;
    assert_eq!((acknowledged, length), (1, 1));
    Ok(())
}

/// Runs one of the scripts of `tests/clients` against a server of its own; it has to end with `last` as its last line.
fn run_script(mut interpreter: Command, script: &str, last: &str) {
    let process = Process::serving(&[]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let output = interpreter.arg(path).arg(process.port.to_string()).output().expect("the interpreter can be started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.ends_with(&format!("{last}\n")), "{text}");
}

#[test]
fn redis_py_works() {
    let Some(python) = python("redis_py_works") else { return };
    run_script(python, "redis_py.py", "redis-py: ok");
}

#[test]
fn node_redis_works() {
    let Some(node) = node("node_redis_works") else { return };
    run_script(node, "node_redis.js", "node-redis: ok");
}

#[test]
fn ioredis_works() {
    let Some(node) = node("ioredis_works") else { return };
    run_script(node, "ioredis.js", "ioredis: ok");
}
