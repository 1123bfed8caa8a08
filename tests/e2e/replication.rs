//! The server as a primary: by hand, byte for byte, and with real replicas, which are Debian's Redis and those that the environment
//! names (see `tests/differential/pair.rs`).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::process::{DEADLINE, Dir, Process, skip};
use super::resp::{Client, encode};
use super::server::{Server, wait_until};

/// Variables that name programs which can be replicas.
const PEERS: &[&str] = &["ALEADB_REDIS_8_6", "ALEADB_REDIS_8", "ALEADB_REDIS_7", "ALEADB_VALKEY_9"];

/// A primary that does not let replicas wait for others.
const PRIMARY: &[&str] = &["--save", "", "--repl-diskless-sync-delay", "0", "--enable-debug-command", "yes"];

fn primary(more: &[&str]) -> Process {
    Process::serving(&[PRIMARY, more].concat())
}

fn text(client: &mut Client, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    client.call(&words).expect("a reply").raw.escape_ascii().to_string()
}

/// The value of a field of INFO.
fn info(client: &mut Client, field: &str) -> String {
    let reply = client.call(&["INFO", "everything"]).expect("a reply").value.text();
    let found = reply.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(str::to_owned);
    found.unwrap_or_default()
}

/// All programs that can be replicas here.
fn peers() -> Vec<PathBuf> {
    let named = PEERS.iter().filter_map(std::env::var_os).map(PathBuf::from);
    let mut found: Vec<PathBuf> = named.filter(|path| path.exists()).collect();
    if found.is_empty() {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut own = std::env::split_paths(&path).map(|dir| dir.join("redis-server"));
        found.extend(own.find(|path| path.exists()));
    }
    if found.is_empty() {
        skip("replication", "there is no redis-server to be a replica");
    }
    found
}

fn replica_of(program: &Path, primary: &Process) -> Server {
    let port = primary.port.to_string();
    let args = ["--replicaof", "127.0.0.1", &port, "--enable-debug-command", "yes", "--repl-timeout", "10"];
    Server::start(program, &args).expect("the replica starts")
}

/// Waits until a replica has all that its primary has, and the data of both is the same.
fn assert_equal(primary: &mut Client, replica: &mut Client) {
    let agree = |primary: &mut Client, replica: &mut Client| {
        info(replica, "master_link_status") == "up"
            && info(replica, "slave_repl_offset") == info(primary, "master_repl_offset")
    };
    assert!(wait_until(DEADLINE, || agree(primary, replica)), "the replica does not catch up");
    // Keys may fall due between two questions.
    let mut seen = (String::new(), String::new());
    let is_equal = wait_until(DEADLINE, || {
        seen = (text(primary, "DEBUG DIGEST"), text(replica, "DEBUG DIGEST"));
        seen.0 == seen.1 && text(primary, "DBSIZE") == text(replica, "DBSIZE")
    });
    assert!(is_equal, "{seen:?}");
}

/// A replica that is played by hand.
struct Played {
    client: Client,
    /// Bytes that have been received and not looked at.
    seen: Vec<u8>,
}

impl Played {
    fn connect(primary: &Process, options: &str) -> Played {
        let mut client = primary.connect();
        assert_eq!(text(&mut client, &format!("REPLCONF {options}")), r"+OK\r\n");
        Played { client, seen: Vec::new() }
    }

    fn send(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        self.client.send_raw(&encode(&words)).expect("the primary reads");
    }

    /// Waits until something more has been received.
    fn receive(&mut self) {
        if self.client.unread().is_empty() {
            assert!(self.client.fill().expect("the primary sends") > 0, "the primary has closed the connection");
        }
        self.seen.extend(self.client.take_unread());
    }

    /// The next so many bytes.
    fn take(&mut self, count: usize) -> Vec<u8> {
        while self.seen.len() < count {
            self.receive();
        }
        let rest = self.seen.split_off(count);
        std::mem::replace(&mut self.seen, rest)
    }

    /// The next line, without its end; those that only keep the connection alive are passed over.
    fn line(&mut self) -> String {
        let mut line = Vec::new();
        loop {
            let byte = self.take(1)[0];
            match byte {
                b'\n' if line.is_empty() => {}
                b'\n' => return String::from_utf8(line[..line.len() - 1].to_vec()).expect("a line is text"),
                byte => line.push(byte),
            }
        }
    }

    /// A snapshot that ends with a mark.
    fn snapshot(&mut self) -> Vec<u8> {
        let line = self.line();
        let mark = line.strip_prefix("$EOF:").unwrap_or_else(|| panic!("a mark is announced, not {line}")).to_owned();
        assert_eq!(mark.len(), 40);
        let (mut bytes, mut looked) = (Vec::new(), 0usize);
        let end = loop {
            bytes.append(&mut self.seen);
            let from = looked.saturating_sub(40);
            if let Some(at) = bytes[from..].windows(40).position(|window| window == mark.as_bytes()) {
                break from + at;
            }
            looked = bytes.len();
            self.receive();
        };
        self.seen = bytes.split_off(end + 40);
        bytes.truncate(end);
        assert!(bytes.starts_with(b"REDIS00"), "it is a dump file: {}", bytes[..20].escape_ascii());
        assert_eq!(bytes[bytes.len() - 9..], [0xff, 0, 0, 0, 0, 0, 0, 0, 0], "without a checksum");
        bytes
    }

    /// Asks for everything; the id and the offset, and the snapshot.
    fn synchronise(&mut self) -> (String, u64, Vec<u8>) {
        self.send("PSYNC ? -1");
        let line = self.line();
        let words: Vec<&str> = line.split(' ').collect();
        let ["+FULLRESYNC", id, offset] = words[..] else { panic!("a full synchronisation, not {line}") };
        let (id, offset) = (id.to_owned(), offset.parse().expect("a number"));
        let snapshot = self.snapshot();
        self.send(&format!("REPLCONF ACK {offset}"));
        (id, offset, snapshot)
    }

    /// Bytes of the stream, which have to be these.
    fn expect(&mut self, expected: &str) {
        let bytes = self.take(expected.len() - 2 * expected.matches(r"\r\n").count());
        assert_eq!(bytes.escape_ascii().to_string(), expected);
    }
}

const SELECT_0: &str = r"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n";

#[test]
fn a_replica_gets_a_snapshot_and_then_the_stream_byte_for_byte() {
    let server = primary(&[]);
    let mut client = server.connect();
    text(&mut client, "SET before 1");
    let mut replica = Played::connect(&server, "listening-port 7777 capa eof capa psync2");
    replica.send("PSYNC ? -1");
    let line = replica.line();
    assert_eq!(line, format!("+FULLRESYNC {} 0", info(&mut client, "master_replid")));
    let snapshot = replica.snapshot();
    assert!(snapshot.windows(6).any(|window| window == b"before"));
    let id = info(&mut client, "master_replid");
    assert!(snapshot.windows(40).any(|window| window == id.as_bytes()), "the snapshot says of which history it is");
    // What is written while the replica takes the snapshot in comes behind its acknowledgement.
    text(&mut client, "SET k v");
    assert!(info(&mut client, "slave0").starts_with("ip=127.0.0.1,port=7777,state=online,offset=0"));
    replica.send("REPLCONF ACK 0");
    let set = r"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
    replica.expect(&format!("{SELECT_0}{set}"));
    client.send_raw(b"MULTI\r\nSELECT 3\r\nINCR n\r\nINCR n\r\nEXEC\r\n").expect("it reads");
    let select = r"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n";
    let incr = r"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n";
    replica.expect(&format!(r"*1\r\n$5\r\nMULTI\r\n{select}{incr}{incr}*1\r\n$4\r\nEXEC\r\n"));
    let offset: u64 = info(&mut server.connect(), "master_repl_offset").parse().expect("a number");
    replica.send(&format!("REPLCONF ACK {offset}"));
    let mut other = server.connect();
    assert!(wait_until(DEADLINE, || text(&mut other, "ROLE")
        .contains(&format!(r"${}\r\n{offset}", offset.to_string().len()))));
    let line = text(&mut other, "CLIENT LIST TYPE replica");
    assert!(line.contains(" flags=S ") && !text(&mut other, "CLIENT LIST TYPE normal").contains(" flags=S "));
    assert_eq!(text(&mut other, "CLIENT KILL TYPE slave"), r":1\r\n");
    assert_eq!(info(&mut other, "connected_slaves"), "0");
}

#[test]
fn who_comes_back_goes_on_where_it_was_and_who_lacks_too_much_begins_anew() {
    let server = primary(&["--repl-backlog-size", "16kb"]);
    let mut client = server.connect();
    let mut replica = Played::connect(&server, "capa eof capa psync2");
    let (id, offset, _) = replica.synchronise();
    text(&mut client, "SET k v");
    let end: u64 = info(&mut client, "master_repl_offset").parse().expect("a number");
    drop(replica);
    text(&mut client, "SET k w");
    let mut back = Played::connect(&server, "capa eof capa psync2");
    back.send(&format!("PSYNC {id} {}", end + 1));
    assert_eq!(back.line(), format!("+CONTINUE {id}"));
    back.expect(r"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nw\r\n");
    // From the very beginning, as all of it is there.
    let mut first = Played::connect(&server, "capa eof");
    first.send(&format!("PSYNC {} {}", id.to_uppercase(), offset + 1));
    assert_eq!(first.line(), "+CONTINUE");
    first.expect(SELECT_0);
    drop((back, first));
    assert!(wait_until(DEADLINE, || info(&mut client, "connected_slaves") == "0"));
    for _ in 0..20 {
        text(&mut client, &format!("SET big {}", "x".repeat(10_000)));
    }
    let kept: u64 = info(&mut client, "repl_backlog_histlen").parse().expect("a number");
    assert!((16 << 10..64 << 10).contains(&kept), "{kept} bytes are kept");
    for (asked, at) in
        [(id.as_str(), end + 1), (id.as_str(), 10_000_000), ("0000000000000000000000000000000000000000", 1)]
    {
        let mut late = Played::connect(&server, "capa eof capa psync2");
        late.send(&format!("PSYNC {asked} {at}"));
        assert!(late.line().starts_with("+FULLRESYNC "), "{asked} {at}");
        late.snapshot();
    }
    assert_eq!((info(&mut client, "sync_partial_ok"), info(&mut client, "sync_partial_err")), ("2".into(), "3".into()));
    assert_eq!(info(&mut client, "sync_full"), "4");
}

#[test]
fn requests_that_make_no_sense_are_refused_as_by_redis() {
    let server = primary(&[]);
    let mut client = server.connect();
    let long = "a".repeat(300);
    for (line, reply) in [
        ("REPLCONF foo bar", r"-ERR Unrecognized REPLCONF option: foo\r\n"),
        ("REPLCONF foo", r"-ERR syntax error\r\n"),
        ("REPLCONF listening-port x", r"-ERR value is not an integer or out of range\r\n"),
        ("REPLCONF rdb-only 5", r"-ERR value is out of range, value must between 0 and 1\r\n"),
        ("REPLCONF rdb-filter-only keys", r"-ERR Unsupported rdb-filter-only option: keys\r\n"),
        ("REPLCONF capa whatever", r"+OK\r\n"),
        ("REPLCONF version 9.1.2", r"+OK\r\n"),
        ("PSYNC ? x", r"-ERR value is not an integer or out of range\r\n"),
        ("PSYNC x 1 FAILOVER", r"-ERR PSYNC FAILOVER can\'t be sent to a master.\r\n"),
        ("REPLCONF rdb-filter-only functions", r"+OK\r\n"),
        ("PSYNC ? -1", r"-ERR Filtered replica requires EOF capability\r\n"),
    ] {
        assert_eq!(text(&mut client, line), reply, "{line}");
    }
    assert!(text(&mut client, &format!("REPLCONF ip-address {long}")).contains("is too long: 300 bytes"));
    let mut client = server.connect();
    client.send_raw(b"PING\r\nSYNC\r\n").expect("it reads");
    let replies = [client.read_reply(), client.read_reply()].map(|reply| reply.expect("a reply").raw);
    assert_eq!(replies[1].escape_ascii().to_string(), r"-ERR SYNC and PSYNC are invalid with pending output\r\n");
}

#[test]
fn a_replica_that_sends_other_commands_is_cut_off() {
    let server = primary(&[]);
    let mut client = server.connect();
    for line in ["GET k", "PING", "REPLCONF capa eof", "SET k v"] {
        let mut replica = Played::connect(&server, "capa eof capa psync2");
        replica.synchronise();
        replica.send(line);
        assert!(wait_until(DEADLINE, || info(&mut client, "connected_slaves") == "0"), "{line}");
        drop(replica);
    }
    assert_eq!(text(&mut client, "EXISTS k"), r":0\r\n");
}

#[test]
fn a_replica_without_marks_is_told_the_length_and_one_of_old_needs_no_handshake() {
    let server = primary(&[]);
    let mut client = server.connect();
    text(&mut client, &format!("SET long {}", "x".repeat(50_000)));
    let mut replica = Played { client: server.connect(), seen: Vec::new() };
    replica.send("SYNC");
    let line = replica.line();
    let bytes: usize = line.strip_prefix('$').and_then(|count| count.parse().ok()).expect("a length");
    let snapshot = replica.take(bytes);
    assert!(snapshot.starts_with(b"REDIS00") && bytes > 50_000 && snapshot[bytes - 9] == 0xff);
    text(&mut client, "SET k v");
    replica.expect(SELECT_0);
}

#[test]
fn wait_counts_replicas_that_have_the_clients_writes() {
    let server = primary(&[]);
    let mut client = server.connect();
    let mut replica = Played::connect(&server, "capa eof capa psync2");
    let (_, offset, _) = replica.synchronise();
    assert!(wait_until(DEADLINE, || text(&mut client, "WAIT 1 1") == r":1\r\n"), "nothing was written");
    text(&mut client, "SET k v");
    client.send_raw(&encode(&["WAIT", "1", "0"])).expect("it reads");
    replica.expect(SELECT_0);
    replica.expect(r"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n");
    replica.expect(r"*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n");
    let mut other = server.connect();
    let end = offset + 23 + 27;
    replica.send(&format!("REPLCONF ACK {}", end - 1));
    assert_eq!(info(&mut other, "blocked_clients"), "1", "one byte is missing");
    replica.send(&format!("REPLCONF ACK {end}"));
    assert_eq!(client.read_reply().expect("a reply").raw, b":1\r\n");
    assert_eq!(text(&mut client, "WAIT 2 10"), r":1\r\n");
    assert_eq!(text(&mut client, "WAITAOF 0 1 10"), r"*2\r\n:0\r\n:0\r\n");
    client.send_raw(&encode(&["WAITAOF", "0", "1", "0"])).expect("it reads");
    replica.send(&format!("REPLCONF ACK {end} FACK {end}"));
    assert_eq!(client.read_reply().expect("a reply").raw, b"*2\r\n:0\r\n:1\r\n");
}

#[test]
fn writes_are_refused_without_enough_good_replicas() {
    let server = primary(&["--min-replicas-to-write", "1"]);
    let mut client = server.connect();
    let refused = r"-NOREPLICAS Not enough good replicas to write.\r\n";
    assert_eq!(text(&mut client, "SET k v"), refused);
    assert_eq!(text(&mut client, "GET k"), r"$-1\r\n");
    assert!(client.call(&["EVAL", "return redis.call('set', 'k', 'v')", "0"]).expect("a reply").value.is_error());
    let mut replica = Played::connect(&server, "capa eof capa psync2");
    let (_, offset, _) = replica.synchronise();
    assert!(wait_until(DEADLINE, || text(&mut client, "SET k v") == r"+OK\r\n"), "{offset}");
    assert_eq!(info(&mut client, "min_slaves_good_slaves"), "1");
    drop(replica);
    assert!(wait_until(DEADLINE, || text(&mut client, "SET k v") == refused));
    assert_eq!(text(&mut client, "CONFIG SET min-replicas-to-write 0"), r"+OK\r\n");
    assert_eq!(text(&mut client, "SET k v"), r"+OK\r\n");
}

#[test]
fn a_replica_that_does_not_read_is_cut_off_and_holds_nobody_up() {
    let server = primary(&["--client-output-buffer-limit", "replica", "2mb", "0", "0", "--repl-backlog-size", "16kb"]);
    let mut client = server.connect();
    let mut replica = Played::connect(&server, "capa eof capa psync2");
    replica.synchronise();
    let (value, mut longest) = ("x".repeat(100_000), Duration::ZERO);
    let is_gone = wait_until(DEADLINE, || {
        let began = Instant::now();
        assert_eq!(text(&mut client, &format!("SET k {value}")), r"+OK\r\n");
        longest = longest.max(began.elapsed());
        info(&mut client, "connected_slaves") == "0"
    });
    assert!(is_gone && longest < Duration::from_secs(2), "{longest:?}");
    assert!(server.log().contains("closed for overcoming of output buffer limits"), "{}", server.log());
    let kept: u64 = info(&mut client, "mem_replication_backlog").parse().expect("a number");
    assert!(kept < 1 << 20, "{kept} bytes are kept for nobody");
}

#[test]
fn a_snapshot_whose_replicas_go_is_given_up_and_the_next_one_begins() {
    let server = primary(&[]);
    let mut client = server.connect();
    text(&mut client, "DEBUG POPULATE 30000 key 2000");
    let mut first = Played::connect(&server, "capa eof capa psync2");
    first.send("PSYNC ? -1");
    assert!(first.line().starts_with("+FULLRESYNC"));
    let mut second = Played::connect(&server, "capa eof capa psync2");
    second.send("PSYNC ? -1");
    drop(first);
    text(&mut client, "SET last 1");
    assert!(second.line().starts_with("+FULLRESYNC"));
    let snapshot = second.snapshot();
    assert!(snapshot.len() > 30_000 * 2000 && snapshot.windows(4).any(|window| window == b"last"));
    assert!(server.log().contains("last replica dropped"), "{}", server.log());
}

#[test]
fn keys_that_expire_together_leave_as_one_del() {
    let server = primary(&[]);
    let mut client = server.connect();
    let mut replica = Played::connect(&server, "capa eof capa psync2");
    replica.synchronise();
    client.send_raw(b"MULTI\r\nSET a 1 PX 30\r\nSET b 1 PX 30\r\nSET c 1 PX 30\r\nEXEC\r\n").expect("it reads");
    let mut stream = Vec::new();
    while !stream.ends_with(b"\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n") {
        stream.extend(replica.take(1));
        let shown = stream.escape_ascii().to_string();
        assert!(stream.len() < 1000, "{shown}");
        if shown.matches("DEL").count() > 0 && stream.ends_with(b"c\r\n") {
            break;
        }
    }
    let shown = stream.escape_ascii().to_string();
    assert_eq!(shown.matches("DEL").count(), 1, "{shown}");
    assert!(shown.contains(r"*4\r\n$3\r\nDEL\r\n"), "{shown}");
}

#[test]
fn a_primary_that_began_empty_wipes_no_replica() {
    let server = primary(&[]);
    let mut client = server.connect();
    let mut replica = Played::connect(&server, "capa eof capa psync2");
    replica.send("PSYNC 0123456789012345678901234567890123456789 5000");
    assert!(replica.line().starts_with("-NOMASTERLINK This primary has started without data"));
    assert_eq!(info(&mut client, "connected_slaves"), "0");
    assert!(server.log().contains("Refusing a full synchronisation"), "{}", server.log());
    text(&mut client, "CONFIG SET replica-accept-empty-primary yes");
    replica.send("PSYNC 0123456789012345678901234567890123456789 5000");
    assert!(replica.line().starts_with("+FULLRESYNC"));
}

#[test]
fn a_history_outlives_the_process_with_the_dump_file() {
    let dir = Dir::new();
    let args = ["--save", "3600 1", "--dir", "{dir}", "--repl-diskless-sync-delay", "0"];
    let mut server = Process::serving_in(dir, &args, &[]);
    let mut client = server.connect();
    let mut replica = Played::connect(&server, "capa eof capa psync2");
    let (id, ..) = replica.synchronise();
    text(&mut client, "SET k v");
    text(&mut client, "SET due v PX 100");
    let offset: u64 = info(&mut client, "master_repl_offset").parse().expect("a number");
    drop(replica);
    text(&mut client, "SAVE");
    server.signal("KILL");
    server.exit_status();
    assert!(wait_until(DEADLINE, || {
        let saved = std::fs::metadata(server.dir.join("dump.rdb")).and_then(|file| file.modified()).expect("a file");
        saved.elapsed().is_ok_and(|age| age > Duration::from_millis(200))
    }));
    let dir = std::mem::replace(&mut server.dir, Dir::new());
    let server = Process::serving_in(dir, &args, &[]);
    let mut client = server.connect();
    assert_eq!(info(&mut client, "master_replid2"), id);
    let mut back = Played::connect(&server, "capa eof capa psync2");
    back.send(&format!("PSYNC {id} {}", offset + 1));
    assert_eq!(back.line(), format!("+CONTINUE {}", info(&mut client, "master_replid")));
    back.expect(&format!(r"{SELECT_0}*2\r\n$3\r\nDEL\r\n$3\r\ndue\r\n"));
    // What came after the file is not there.
    let mut ahead = Played::connect(&server, "capa eof capa psync2");
    ahead.send(&format!("PSYNC {id} {}", offset + 2));
    assert!(ahead.line().starts_with("+FULLRESYNC"));
}

#[test]
fn the_end_waits_for_replicas_and_can_be_called_off() {
    let mut server = primary(&["--shutdown-timeout", "60"]);
    let mut client = server.connect();
    let mut replica = Played::connect(&server, "capa eof capa psync2");
    replica.synchronise();
    text(&mut client, "SET k v");
    let mut ending = server.connect();
    ending.send_raw(&encode(&["SHUTDOWN"])).expect("it reads");
    assert!(wait_until(DEADLINE, || !info(&mut client, "shutdown_in_milliseconds").is_empty()));
    let mut writer = server.connect();
    writer.send_raw(&encode(&["SET", "k", "w"])).expect("it reads");
    assert_eq!(text(&mut client, "GET k"), r"$1\r\nv\r\n");
    assert_eq!(text(&mut client, "SHUTDOWN ABORT"), r"+OK\r\n");
    assert_eq!(ending.read_reply().expect("a reply").raw, b"-ERR Errors trying to SHUTDOWN. Check logs.\r\n");
    assert_eq!(writer.read_reply().expect("a reply").raw, b"+OK\r\n");
    ending.send_raw(&encode(&["SHUTDOWN"])).expect("it reads");
    assert!(wait_until(DEADLINE, || !info(&mut client, "shutdown_in_milliseconds").is_empty()));
    let offset = info(&mut client, "master_repl_offset");
    replica.send(&format!("REPLCONF ACK {offset}"));
    assert_eq!(server.exit_status(), Some(0));
}

#[test]
fn a_failover_waits_for_the_replica_and_can_be_called_off() {
    let server = primary(&[]);
    let mut client = server.connect();
    let mut replica = Played::connect(&server, "listening-port 7777 capa eof capa psync2");
    let (_, offset, _) = replica.synchronise();
    assert!(wait_until(DEADLINE, || text(&mut client, "WAIT 1 1") == r":1\r\n"), "{offset}");
    assert_eq!(
        text(&mut client, "FAILOVER TO 127.0.0.1 1"),
        r"-ERR FAILOVER target HOST and PORT is not a replica.\r\n"
    );
    text(&mut client, "SET k v");
    assert_eq!(text(&mut client, "FAILOVER TO 127.0.0.1 7777"), r"+OK\r\n");
    assert_eq!(text(&mut client, "FAILOVER"), r"-ERR FAILOVER already in progress.\r\n");
    assert_eq!(info(&mut client, "master_failover_state"), "waiting-for-sync");
    let mut writer = server.connect();
    writer.send_raw(&encode(&["SET", "k", "w"])).expect("it reads");
    assert_eq!(text(&mut client, "GET k"), r"$1\r\nv\r\n");
    let mut other = server.connect();
    assert_eq!(text(&mut other, "PSYNC ? -1"), r"-NOMASTERLINK Can\'t SYNC while failing over\r\n");
    assert_eq!(text(&mut client, "FAILOVER ABORT"), r"+OK\r\n");
    assert_eq!(writer.read_reply().expect("a reply").raw, b"+OK\r\n");
    assert_eq!(text(&mut client, "FAILOVER TO 127.0.0.1 7777 TIMEOUT 1"), r"+OK\r\n");
    assert!(wait_until(DEADLINE, || info(&mut client, "master_failover_state") == "no-failover"), "it never caught up");
}

#[test]
fn redis_cli_fetches_dump_files_and_shows_the_stream() {
    if Command::new("redis-cli").arg("--version").stdout(Stdio::null()).status().is_err() {
        return skip("replication", "there is no redis-cli");
    }
    let server = primary(&[]);
    let mut client = server.connect();
    let code = "#!lua name=lib\nredis.register_function('f', function() return 1 end)";
    client.call(&["FUNCTION", "LOAD", code]).expect("a reply");
    text(&mut client, "DEBUG POPULATE 1000 key 20");
    for (option, has_keys) in [("--rdb", true), ("--functions-rdb", false)] {
        let file = server.dir.join("fetched.rdb");
        let mut command = Command::new("redis-cli");
        command.args(["-p", &server.port.to_string(), option]).arg(&file).stdout(Stdio::null());
        assert!(command.status().is_ok_and(|status| status.success()), "{option}");
        let bytes = std::fs::read(&file).expect("it was written");
        let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        assert!(has(b"name=lib") && has(b"key:999") == has_keys, "{option}");
        assert!(wait_until(DEADLINE, || info(&mut client, "connected_slaves") == "0"), "{option}");
    }
    let mut command = Command::new("redis-cli");
    command.args(["-p", &server.port.to_string(), "--replica"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut shown = command.spawn().expect("it runs");
    assert!(wait_until(DEADLINE, || info(&mut client, "slave0").contains("state=online")));
    let mut output = std::io::BufReader::new(shown.stdout.take().expect("it is piped"));
    let mut line = String::new();
    while !line.contains("\"shown\"") {
        text(&mut client, "SET shown 1");
        line.clear();
        assert!(std::io::BufRead::read_line(&mut output, &mut line).is_ok_and(|count| count > 0));
    }
    let _ = shown.kill();
    let _ = shown.wait();
}

#[test]
fn real_replicas_hold_the_same_after_writes_of_all_kinds_and_after_cuts() {
    for program in peers() {
        let server = primary(&[]);
        let mut client = server.connect();
        text(&mut client, "DEBUG POPULATE 5000 key 50");
        let replica = replica_of(&program, &server);
        let mut on_replica = replica.connect().expect("it serves");
        let fill = |client: &mut Client, round: usize| {
            for i in 0..300 {
                text(client, &format!("SET s{i} {round}-{i}"));
                text(client, &format!("RPUSH l{} {i}", i % 7));
                text(client, &format!("HSET h{} f{i} {round}", i % 5));
                text(client, &format!("ZADD z{} {i} m{i}", i % 3));
                text(client, &format!("SADD u{} {i}", i % 4));
                text(client, &format!("XADD x{} * n {i}", i % 2));
                text(client, &format!("SPOP u{}", i % 4));
                text(client, &format!("SET e{i} v PX {}", 1 + i % 50));
            }
        };
        fill(&mut client, 0);
        assert_equal(&mut client, &mut on_replica);
        fill(&mut client, 1);
        // The connection breaks, and nothing is loaded anew.
        text(&mut client, "CLIENT KILL TYPE replica");
        fill(&mut client, 2);
        assert_equal(&mut client, &mut on_replica);
        assert_eq!(info(&mut client, "sync_full"), "1", "{}", program.display());
        assert_eq!(info(&mut client, "sync_partial_ok"), "1", "{}", program.display());
        assert_eq!(text(&mut client, "WAIT 1 5000"), r":1\r\n");
    }
}

#[test]
fn a_replica_that_is_killed_in_the_midst_of_its_synchronisation_comes_to_the_same_in_the_end() {
    for program in peers() {
        let server = primary(&[]);
        let mut client = server.connect();
        text(&mut client, "DEBUG POPULATE 20000 key 1000");
        drop(replica_of(&program, &server));
        let replica = replica_of(&program, &server);
        let mut on_replica = replica.connect().expect("it serves");
        for i in 0..200 {
            text(&mut client, &format!("SET key:{i} {}", "y".repeat(500)));
        }
        assert_equal(&mut client, &mut on_replica);
    }
}
