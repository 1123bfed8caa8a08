//! The metrics port over real sockets: what Prometheus, a probe, and somebody with bad manners get.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use super::process::{DEADLINE, Process, python, skip};
use super::server::{free_port, wait_until};

/// A connection to the metrics port.
struct Http(BufReader<TcpStream>);

/// What it answered: the status line, the other lines of the head, the body.
struct Answer {
    status: String,
    head: Vec<String>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Http {
    fn connect(port: u16) -> Http {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the metrics port is open");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        Http(BufReader::new(stream))
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).expect("the server reads");
    }

    fn read(&mut self, has_body: bool) -> Answer {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("a line of the head");
            match line.strip_suffix("\r\n") {
                Some("") => break,
                Some(line) => lines.push(line.to_owned()),
                None => panic!("the head ends with {line:?} after {lines:?}"),
            }
        }
        let status = lines.remove(0);
        let mut answer = Answer { status, head: lines, body: String::new() };
        let length = answer.header("Content-Length").expect("a length").parse().expect("a number");
        if has_body {
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).expect("the body");
            answer.body = String::from_utf8(body).expect("text");
        }
        answer
    }

    fn get(&mut self, path: &str, more: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n").as_bytes());
        self.read(true)
    }

    /// Whether the server has closed the connection, with nothing before the end.
    fn is_at_end(&mut self) -> bool {
        matches!(self.0.read(&mut [0; 1]), Ok(0))
    }
}

/// A server that shows metrics, and where.
fn serving(args: &[&str]) -> (Process, u16) {
    let port = free_port().expect("some port is free");
    let process = Process::serving(&[&["--metrics-port", &port.to_string()], args].concat());
    (process, port)
}

#[test]
fn the_parsers_of_prometheus_read_the_page_and_its_figures_are_those_of_info() {
    const TEST: &str = "the_parsers_of_prometheus_read_the_page";
    let Some(mut python) = python(TEST) else { return };
    let mut probe = Command::new(python.get_program());
    probe.args(["-c", "import prometheus_client"]).stdout(Stdio::null()).stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        return skip(TEST, "ALEADB_PYTHON has no prometheus_client; scripts/test.sh installs it");
    }
    let (process, port) = serving(&[]);
    let mut client = process.connect();
    for words in [
        &["SET", "a", "1"][..],
        &["SET", "b", "2", "EX", "100"],
        &["GET", "a"],
        &["GET", "none"],
        &["GET"],
        &["INCR", "a", "b"],
        &["EVAL", "return redis.error_reply('odd\"\\\\code of a script')", "0"],
        &["CONFIG", "GET", "port"],
    ] {
        client.call(words).expect("an answer");
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/metrics.py");
    let output = python.arg(script).arg(port.to_string()).output().expect("the interpreter can be started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.ends_with("metrics: ok\n"), "{text}");
    for line in [
        "redis_up 1",
        "redis_db_keys db0 2",
        "redis_db_keys_expiring db0 1",
        "redis_keyspace_hits_total 1",
        "redis_commands_total get 2",
        "redis_commands_total config|get 1",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in {text}");
    }
}

#[test]
fn one_connection_is_answered_request_by_request() {
    let (_process, port) = serving(&[]);
    let mut http = Http::connect(port);
    let answer = http.get("/metrics", "");
    assert_eq!(answer.status, "HTTP/1.1 200 OK");
    assert_eq!(answer.header("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(answer.body.contains("\nredis_up 1\n") && !answer.body.contains("# EOF"));
    let answer = http.get("/metrics?name[]=redis_up", "Accept: application/openmetrics-text\r\n");
    assert_eq!(answer.header("Content-Type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(answer.body.ends_with("\n# EOF\n"));
    for path in ["/healthz", "/readyz"] {
        let answer = http.get(path, "");
        assert_eq!((answer.status.as_str(), answer.body.as_str()), ("HTTP/1.1 200 OK", "ok\n"));
    }
    for path in ["/", "/metrics/", "/metric"] {
        assert_eq!(http.get(path, "").status, "HTTP/1.1 404 Not Found");
    }
    http.send(b"HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\nDELETE /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = http.read(false);
    assert!(head.status.ends_with("200 OK") && head.header("Content-Length") != Some("0"));
    let refused = http.read(true);
    assert_eq!(
        (refused.status.as_str(), refused.header("Allow")),
        ("HTTP/1.1 405 Method Not Allowed", Some("GET, HEAD"))
    );
    // Requests that come together are answered in their order.
    http.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20).as_bytes());
    for _ in 0..20 {
        assert!(http.read(true).body.contains("redis_up 1"));
        assert_eq!(http.read(true).body, "ok\n");
    }
    let last = http.get("/healthz", "Connection: close\r\n");
    assert_eq!(last.header("Connection"), Some("close"));
    assert!(http.is_at_end());
    let mut old = Http::connect(port);
    old.send(b"GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!(old.read(true).header("Connection"), Some("close"));
    assert!(old.is_at_end());
}

#[test]
fn the_dashboard_asks_for_series_that_are_there() {
    let (_process, port) = serving(&[]);
    let page = Http::connect(port).get("/metrics", "").body;
    let dashboard = include_str!("../../scripts/grafana.json");
    let words = dashboard.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let names: Vec<&str> = words.filter(|word| word.starts_with("redis_") || word.starts_with("aleadb_")).collect();
    assert!(names.len() > 30, "{names:?}");
    for name in names {
        let family = name.strip_suffix("_bucket").unwrap_or(name);
        assert!(page.lines().any(|line| line.starts_with(&format!("# TYPE {family} "))), "{name}");
    }
}

#[test]
fn a_request_may_come_in_pieces_and_its_sender_may_send_no_more() {
    let (_process, port) = serving(&[]);
    let mut http = Http::connect(port);
    for byte in b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" {
        http.send(&[*byte]);
    }
    http.0.get_mut().shutdown(std::net::Shutdown::Write).expect("it was open");
    assert_eq!(http.read(true).body, "ok\n");
    assert!(http.is_at_end());
}

#[test]
fn bad_requests_are_refused_and_end_the_connection() {
    let (process, port) = serving(&[]);
    let body =
        [b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n".as_slice(), &[b'x'; 100_000]].concat();
    let long = [b"GET / HTTP/1.1\r\nHost: a\r\nlong: ".as_slice(), &[b'x'; 100_000]].concat();
    for (bytes, status) in [
        (b"*1\r\n$4\r\nPING\r\n".as_slice(), "HTTP/1.1 400 Bad Request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "HTTP/1.1 400 Bad Request"),
        (b"GET /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        (b"GET /healthz HTTP/2.0\r\nHost: a\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        (&body, "HTTP/1.1 405 Method Not Allowed"),
        (&long, "HTTP/1.1 431 Request Header Fields Too Large"),
    ] {
        let mut http = Http::connect(port);
        http.send(bytes);
        let answer = http.read(true);
        assert_eq!((answer.status.as_str(), answer.header("Connection")), (status, Some("close")));
        assert!(http.is_at_end());
    }
    assert_eq!(process.connect().call(&["PING"]).expect("an answer").raw, b"+PONG\r\n");
}

#[test]
fn who_keeps_connections_open_keeps_nobody_out() {
    let (process, port) = serving(&[]);
    let mut kept: Vec<Http> = (0..200).map(|_| Http::connect(port)).collect();
    kept.iter_mut().for_each(|http| {
        // The server may have closed it.
        let _ = http.0.get_mut().write_all(b"GET /healthz HT");
    });
    assert_eq!(Http::connect(port).get("/healthz", "").body, "ok\n");
    // Those before it have been accepted, and all but as many as there may be have given way.
    kept.iter_mut().for_each(|http| http.0.get_mut().set_nonblocking(true).expect("a flag"));
    let is_open =
        |http: &mut Http| matches!(http.0.read(&mut [0; 1]), Err(error) if error.kind() == ErrorKind::WouldBlock);
    assert!(wait_until(DEADLINE, || kept.iter_mut().map(&is_open).filter(|open| *open).count() <= 64));
    // They are no clients.
    let mut client = process.connect();
    let info = client.call(&["INFO", "clients"]).expect("an answer");
    assert!(String::from_utf8_lossy(&info.raw).contains("connected_clients:1\r\n"));
}

#[test]
fn config_set_opens_moves_and_closes_the_port() {
    let process = Process::serving(&[]);
    let mut client = process.connect();
    let mut set = |pairs: &[&str]| {
        let reply = client.call(&[&["CONFIG", "SET"], pairs].concat()).expect("an answer");
        String::from_utf8_lossy(&reply.raw).into_owned()
    };
    let [first, second] = [(), ()].map(|()| free_port().expect("some port is free"));
    let is_open = |port: u16| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
    assert_eq!(set(&["metrics-port", &first.to_string()]), "+OK\r\n");
    let mut kept = Http::connect(first);
    assert_eq!(kept.get("/healthz", "").body, "ok\n");
    let taken = set(&["metrics-port", &process.port.to_string()]);
    assert_eq!(
        taken,
        "-ERR CONFIG SET failed (possibly related to argument 'metrics-port') - Unable to listen on this port. Check server logs.\r\n"
    );
    // The other port cannot be had, so this one stays as well.
    assert!(set(&["metrics-port", &second.to_string(), "bind", "203.0.113.1"]).starts_with("-ERR CONFIG SET failed"));
    assert!(wait_until(DEADLINE, || is_open(first) && !is_open(second)));
    assert_eq!(set(&["metrics-port", &second.to_string()]), "+OK\r\n");
    assert!(wait_until(DEADLINE, || is_open(second) && !is_open(first)));
    assert_eq!(set(&["metrics-port", "0"]), "+OK\r\n");
    assert!(wait_until(DEADLINE, || !is_open(second)));
    assert_eq!(kept.get("/healthz", "").body, "ok\n", "who was connected is served on");
}

#[test]
fn a_port_that_is_taken_keeps_the_server_from_starting() {
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("some port is free");
    let metrics = taken.local_addr().expect("bound").port().to_string();
    let port = free_port().expect("some port is free");
    let args = ["--port", &port.to_string(), "--metrics-port", &metrics];
    let mut process = Process::spawn(super::process::Dir::new(), port, &args, &[]);
    assert_eq!(process.exit_status(), Some(1));
    assert!(
        process.log().contains(&format!("Failed listening on port {metrics} (tcp), aborting.")),
        "{}",
        process.log()
    );
}

#[test]
fn nothing_that_clients_store_or_say_is_on_the_page() {
    let (process, port) = serving(&["--requirepass", "sesame"]);
    let mut client = process.connect();
    for words in [
        &["AUTH", "sesame"][..],
        &["CLIENT", "SETNAME", "sesame-name"],
        &["ACL", "SETUSER", "sesame-user", "on", ">sesame2", "+@all"],
        &["SET", "sesame-key", "sesame-value", "EX", "100"],
        &["SUBSCRIBE", "sesame-channel"],
        &["SESAME"],
    ] {
        client.call(words).expect("an answer");
    }
    let mut other = process.connect();
    for words in [
        &["AUTH", "sesame"][..],
        &["EVAL", "return redis.error_reply('SESAMEsesame of a key')", "0"],
        &["SESAME", "sesame"],
    ] {
        other.call(words).expect("an answer");
    }
    let page = Http::connect(port).get("/metrics", "").body;
    assert!(page.contains("redis_commands_total{cmd=\"set\"} 1\n"), "{page}");
    assert!(page.contains("redis_errors_total{err=\"other\"} 1\n"), "{page}");
    assert!(!page.to_lowercase().contains("sesame"), "{page}");
}
