//! The log of writes: what is in its files, which replies wait for the disk, and what the disk may do to it.
//!
//! Turns run over connections in memory, fsyncs when the test says so, and the disk forgets what was not synced.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use aleadb::base::clock::ManualClock;
use aleadb::base::prng::Prng;
use aleadb::config::{AppendFsync, Config};
use aleadb::net::transport::{Readiness, Transport};
use aleadb::net::turn::{ClientId, Peer, Turn};
use aleadb::persist::aof::batch::{BatchEnd, HEAD};
use aleadb::persist::aof::manifest::Manifest;
use aleadb::persist::rdb::Shapes;
use aleadb::persist::rdb::file::{DumpReader, Item};
use aleadb::persist::storage::Storage;
use aleadb::server::background::Background;
use aleadb::server::persistence::loading::LoadedLog;
use aleadb::server::session::Origin;
use aleadb::server::{Identity, Outside, Seeds, Server};
use aleadb::store::entry::Value;
use aleadb::store::hash::KeyHasher;
use aleadb::store::types::{hash, list, set, zset};

use crate::disk::{Call, SimulatedDisk};
use crate::memory::START_MS;

const DIR: &str = "appendonlydir";
const STEM: &str = "appendonly.aof";
const OK: &str = "+OK\r\n";
const NO_SPACE: &str = "-MISCONF Errors writing to the AOF file: No space left on device\r\n";

/// Both directions of a connection.
#[derive(Debug, Default)]
pub struct Wire {
    to_server: VecDeque<u8>,
    to_client: Vec<u8>,
    finished: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Pipe(Rc<RefCell<Wire>>);

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        if wire.to_server.is_empty() && !wire.finished {
            return Err(ErrorKind::WouldBlock.into());
        }
        wire.to_server.read(buffer)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().to_client.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Pipe {
    fn may_have_more(&self) -> bool {
        false
    }
}

/// A server with its log, and clients.
pub struct Rig {
    pub turn: Turn<Pipe>,
    pub clock: Rc<ManualClock>,
    pub disk: SimulatedDisk,
    clients: Vec<(ClientId, Pipe)>,
    closed: usize,
}

impl Rig {
    /// A server with a log that is established, on an empty disk.
    fn new(policy: AppendFsync) -> Rig {
        let mut rig = Rig::on(SimulatedDisk::new(), policy);
        rig.begin();
        rig.settle();
        assert!(rig.turn.server.persistence.log.is_established());
        rig
    }

    /// The same, whose bases are commands.
    fn with_command_bases(policy: AppendFsync) -> Rig {
        let mut rig = Rig::on(SimulatedDisk::new(), policy);
        rig.turn.server.config.aof_use_rdb_preamble = false;
        rig.begin();
        rig.settle();
        assert!(manifest(&rig.disk).base().is_some_and(|base| base.name.ends_with(".base.aof")));
        rig
    }

    pub fn on(disk: SimulatedDisk, policy: AppendFsync) -> Rig {
        let config = Config { appendfsync: policy, appendonly: true, ..Config::default() };
        let clock = Rc::new(ManualClock::at_unix_ms(START_MS));
        let storage: Arc<dyn Storage> = Arc::new(disk.clone());
        let outside = Outside { clock: clock.clone(), background: Background::stepped(), storage };
        let seeds = Seeds { hash: [1; 16], prng: 1 };
        let server = Server::new(config, Default::default(), Identity::default(), seeds, outside);
        Rig { turn: Turn::new(server), clock, disk, clients: Vec::new(), closed: 0 }
    }

    /// As at the start, when there is nothing to be loaded.
    fn begin(&mut self) {
        self.turn.server.persistence.loaded_log = Some(LoadedLog::default());
    }

    pub fn connect(&mut self) -> usize {
        let (pipe, now) = (Pipe::default(), self.turn.take_time());
        let peer = Peer { origin: Origin::Loopback, address: "a:1".into(), local: "b:2".into(), fd: 7 };
        let id = self.turn.admit(pipe.clone(), peer, now).expect("there is room");
        self.clients.push((id, pipe));
        self.clients.len() - 1
    }

    pub fn send(&mut self, client: usize, lines: &str) {
        let (id, pipe) = &self.clients[client];
        pipe.0.borrow_mut().to_server.extend(lines.replace('|', "\r\n").bytes());
        pipe.0.borrow_mut().to_server.extend(b"\r\n");
        self.turn.note(*id, Readiness { readable: true, ..Readiness::default() });
    }

    /// What a client has been sent since this was last asked.
    pub fn got(&self, client: usize) -> String {
        let bytes = std::mem::take(&mut self.clients[client].1.0.borrow_mut().to_client);
        String::from_utf8(bytes).expect("text")
    }

    fn run(&mut self) {
        let now = self.turn.take_time();
        self.turn.run(now, |_| {});
        self.closed += self.turn.take_closed().len();
    }

    /// Sends, and runs one turn; what the client has got then.
    pub fn ask(&mut self, client: usize, lines: &str) -> String {
        self.send(client, lines);
        self.run();
        self.got(client)
    }

    /// The log's helper thread does its next job, and a turn takes note of it.
    fn job(&mut self) -> bool {
        let ran = self.turn.server.persistence.log.run_job();
        self.run();
        ran
    }

    /// Runs turns and jobs until there is nothing to do.
    pub fn settle(&mut self) {
        for _ in 0..1_000 {
            self.run();
            let server = &mut self.turn.server;
            let ran = server.background.run_one() | server.persistence.log.run_job();
            if !ran && !self.turn.has_work() {
                return;
            }
        }
        panic!("there is no end to it");
    }

    pub fn pass(&mut self, ms: u64) {
        self.clock.advance_ms(ms);
        self.settle();
    }

    pub fn info(&mut self, client: usize, field: &str) -> String {
        let info = self.ask(client, "INFO persistence");
        let line = info.lines().find_map(|line| line.strip_prefix(&format!("{field}:")).map(str::to_owned));
        line.unwrap_or_else(|| panic!("no {field} in {info}"))
    }
}

fn manifest(disk: &SimulatedDisk) -> Manifest {
    let bytes = disk.contents(format!("{DIR}/{STEM}.manifest")).expect("there is a manifest");
    Manifest::parse(&bytes, STEM).expect("in form")
}

type Data = BTreeMap<String, String>;

/// Takes a command off the bytes it is encoded in; `None` for a line that Redis skips.
fn take_command<'b>(rest: &mut &'b [u8]) -> Option<Vec<&'b str>> {
    let line = |rest: &mut &'b [u8]| {
        let end = memchr::memmem::find(rest, b"\r\n")?;
        let line = std::str::from_utf8(&rest[..end]).expect("text");
        *rest = &rest[end + 2..];
        Some(line)
    };
    let first = line(rest)?;
    let count: usize = first.strip_prefix('*')?.parse().expect("a count");
    let words = (0..count).map(|_| {
        let len: usize = line(rest)?.strip_prefix('$')?.parse().expect("a length");
        let word = std::str::from_utf8(&rest[..len]).expect("text");
        *rest = &rest[len + 2..];
        Some(word)
    });
    words.collect()
}

/// Runs the commands of the increments of strings: a naive reader, which also checks each batch.
fn replay(bytes: &[u8], data: &mut Data, last_batch: &mut u64) {
    let (mut rest, mut begin) = (bytes, 0);
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        if rest.starts_with(b"#D:") {
            let len = memchr::memmem::find(rest, b"\r\n").expect("a line");
            rest = &rest[len + 2..];
            continue;
        }
        if rest.starts_with(b"#B:") {
            let len = memchr::memmem::find(rest, b"\r\n").expect("a line");
            let end = BatchEnd::parse(&rest[..len]).expect("in form");
            assert!(end.fits(&bytes[begin..at]), "batch {end:?} is damaged");
            assert_eq!(end.seq, *last_batch + 1, "a batch is missing");
            // The first line of a file ends a batch of nothing, with the number of the next one.
            if at > 0 {
                *last_batch = end.seq;
            }
            rest = &rest[len + 2..];
            begin = bytes.len() - rest.len();
            continue;
        }
        let words = take_command(&mut rest).expect("a command");
        match words[..] {
            ["SELECT" | "MULTI" | "EXEC", ..] => {}
            ["SET", key, value] => drop(data.insert(key.to_owned(), value.to_owned())),
            ["DEL", key] => drop(data.remove(key)),
            ["INCR", key] => {
                let number: i64 = data.get(key).map_or(0, |text| text.parse().expect("a number"));
                data.insert(key.to_owned(), (number + 1).to_string());
            }
            _ => panic!("unexpected {words:?}"),
        }
    }
    assert_eq!(begin, bytes.len(), "every batch has its end");
}

/// Runs the commands of a base of strings, and checks its batches and that it is whole.
fn replay_base(bytes: &[u8], data: &mut Data) {
    let rest = bytes.strip_prefix(HEAD).and_then(|rest| rest.strip_suffix(HEAD)).expect("it is whole");
    let (mut rest, mut batch) = (rest, rest);
    while !rest.is_empty() {
        let batch_bytes = batch.len() - rest.len();
        if let Some(words) = take_command(&mut rest) {
            match words[..] {
                ["SELECT", "0"] => {}
                ["SET", key, value] => drop(data.insert(key.to_owned(), value.to_owned())),
                _ => panic!("unexpected {words:?}"),
            }
        } else {
            let line = &batch[batch_bytes..batch.len() - rest.len() - 2];
            let end = BatchEnd::parse(line).expect("in form");
            assert!(end.seq == 0 && end.fits(&batch[..batch_bytes]), "{end:?}");
            batch = rest;
        }
    }
    assert!(batch.is_empty(), "every batch has its end");
}

/// The part of a file up to the last whole batch, and whether that is all.
fn whole(bytes: &[u8]) -> (&[u8], bool) {
    let (mut begin, mut at) = (0, 0);
    while let Some(found) = memchr::memmem::find(&bytes[at..], b"#B:") {
        let line = at + found;
        let Some(len) = memchr::memmem::find(&bytes[line..], b"\r\n") else { break };
        if !BatchEnd::parse(&bytes[line..line + len]).is_ok_and(|end| end.fits(&bytes[begin..line])) {
            break;
        }
        at = line + len + 2;
        begin = at;
    }
    (&bytes[..begin], begin == bytes.len())
}

/// What the files on the disk hold: the base, then the increments, the last of which may be torn.
fn recovered(disk: &SimulatedDisk) -> Data {
    let manifest = manifest(disk);
    let mut data = Data::new();
    if let Some(base) = manifest.base().filter(|base| base.name.ends_with(".aof")) {
        let bytes = disk.contents(Path::new(DIR).join(&base.name)).expect("the manifest names it");
        replay_base(&bytes, &mut data);
    } else if let Some(base) = manifest.base() {
        let hasher = KeyHasher::new([1; 16]);
        let shapes = Shapes {
            list: list::Fill::default(),
            set: set::Policy { intset_entries: 512, listpack_entries: 128, listpack_value: 64, hasher },
            hash: hash::Limits { entries: 512, value: 64, hasher },
            zset: zset::Limits { entries: 128, value: 64, hasher },
        };
        let file = disk.open(&Path::new(DIR).join(&base.name)).expect("the manifest names it");
        let mut reader = DumpReader::new(file, shapes, true).expect("a length");
        loop {
            match reader.next_item().expect("whole") {
                Item::Entry(loaded) => {
                    let value = match loaded.entry.string().expect("only strings") {
                        Value::Int(n) => n.to_string(),
                        Value::Inline(text) => String::from_utf8(text.to_vec()).expect("text"),
                        Value::Shared(text) => String::from_utf8(text.to_vec()).expect("text"),
                        Value::Roaring(_) => panic!("no bit is set"),
                    };
                    data.insert(String::from_utf8(loaded.entry.key().to_vec()).expect("text"), value);
                }
                Item::End(_) => break,
                _ => {}
            }
        }
    }
    let mut last_batch = None;
    let contents = |name: &str| disk.contents(Path::new(DIR).join(name)).expect("the manifest names it");
    let mut is_torn = false;
    for file in manifest.increments() {
        let bytes = contents(&file.name);
        // The file after it has been made, and waits for it to be on the disk.
        assert!(!is_torn || bytes.is_empty() || bytes == HEAD, "something follows a file that is torn");
        let (good, is_whole) = whole(&bytes);
        is_torn |= !is_whole;
        let good = good.strip_prefix(HEAD).unwrap_or(good);
        let first = memchr::memmem::find(good, b"#B:").map(|at| {
            let text = std::str::from_utf8(&good[at + 3..]).expect("text");
            text[..text.find(':').expect("in form")].parse::<u64>().expect("a number")
        });
        let mut last = last_batch.or(first.map(|first| first - 1)).unwrap_or(0);
        replay(good, &mut data, &mut last);
        if first.is_some() {
            last_batch = Some(last);
        }
    }
    data
}

fn data(pairs: &[(&str, &str)]) -> Data {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

// --- always: who waits ----------------------------------------------------------------------------------------------

#[test]
fn no_reply_of_a_write_leaves_before_its_fsync() {
    let mut rig = Rig::new(AppendFsync::Always);
    let a = rig.connect();
    assert_eq!(rig.ask(a, "SET k 1"), "");
    rig.run();
    assert_eq!(rig.got(a), "");
    assert!(rig.job());
    assert_eq!(rig.got(a), OK);
    rig.disk.crash_hard();
    assert_eq!(recovered(&rig.disk), data(&[("k", "1")]));
}

#[test]
fn who_saw_nothing_unsynced_does_not_wait_and_who_may_have_does() {
    let mut rig = Rig::new(AppendFsync::Always);
    let (before, writer, after) = (rig.connect(), rig.connect(), rig.connect());
    // In one turn, in this order.
    rig.send(before, "GET k");
    rig.send(writer, "SET k 1");
    rig.send(after, "GET k");
    rig.run();
    assert_eq!(rig.got(before), "$-1\r\n");
    assert_eq!((rig.got(writer), rig.got(after)), (String::new(), String::new()));
    assert_eq!(rig.ask(before, "GET k"), "", "it reads what a crash may take back");
    assert!(rig.job());
    assert_eq!(
        (rig.got(writer), rig.got(after), rig.got(before)),
        (OK.into(), "$1\r\n1\r\n".into(), "$1\r\n1\r\n".into())
    );
    assert_eq!(rig.ask(after, "GET k"), "$1\r\n1\r\n");
    assert_eq!(rig.ask(after, "PING"), "+PONG\r\n");
}

#[test]
fn what_comes_during_an_fsync_shares_the_next_one() {
    let mut rig = Rig::new(AppendFsync::Always);
    let clients: Vec<usize> = (0..5).map(|_| rig.connect()).collect();
    let syncs = rig.disk.calls(Call::Sync);
    assert_eq!(rig.ask(clients[0], "INCR k"), "");
    for client in &clients[1..] {
        assert_eq!(rig.ask(*client, "INCR k"), "");
    }
    assert!(rig.job());
    assert_eq!(rig.got(clients[0]), ":1\r\n");
    assert!(clients[1..].iter().all(|client| rig.got(*client).is_empty()));
    rig.pass(1);
    let replies: Vec<String> = clients[1..].iter().map(|client| rig.got(*client)).collect();
    assert_eq!(replies, [":2\r\n", ":3\r\n", ":4\r\n", ":5\r\n"]);
    assert_eq!(rig.disk.calls(Call::Sync) - syncs, 2);
}

#[test]
fn a_pipeline_gets_its_replies_in_order_as_they_become_true() {
    let mut rig = Rig::new(AppendFsync::Always);
    let a = rig.connect();
    assert_eq!(rig.ask(a, "PING"), "+PONG\r\n");
    rig.ask(a, "INCR k");
    rig.ask(a, "INCR k|PING");
    rig.ask(a, "GET k");
    assert!(rig.job());
    assert_eq!(rig.got(a), ":1\r\n");
    rig.pass(1);
    assert_eq!(rig.got(a), ":2\r\n+PONG\r\n$1\r\n2\r\n");
}

#[test]
fn subscribers_wait_with_the_rest_and_never_for_more_than_the_next_fsync() {
    let mut rig = Rig::new(AppendFsync::Always);
    let (subscriber, writer, publisher) = (rig.connect(), rig.connect(), rig.connect());
    assert!(rig.ask(subscriber, "SUBSCRIBE c").contains("subscribe"));
    assert_eq!(rig.ask(publisher, "PUBLISH c quiet"), ":1\r\n");
    assert!(rig.got(subscriber).contains("quiet"));
    let mut received = 0;
    for round in 0..50 {
        rig.ask(writer, "INCR k");
        rig.ask(publisher, &format!("PUBLISH c m{round}"));
        rig.clock.advance_ms(1);
        rig.job();
        received += rig.got(subscriber).matches("message").count();
        assert!(received + 2 > round, "{received} of {round} messages have come");
    }
}

#[test]
fn a_transaction_its_watchers_and_live_queries_wait_as_well() {
    let mut rig = Rig::new(AppendFsync::Always);
    let (a, live) = (rig.connect(), rig.connect());
    rig.ask(live, "HELLO 3");
    let first = rig.ask(live, "GET.WATCH k");
    assert!(!first.is_empty());
    assert_eq!(rig.ask(a, "MULTI|SET k 1|INCR n|EXEC"), "");
    assert_eq!(rig.got(live), "");
    assert!(rig.job());
    assert_eq!(rig.got(a), "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:1\r\n");
    assert!(rig.got(live).contains('1'));
}

#[test]
fn a_client_that_quits_is_closed_when_its_replies_are_out() {
    let mut rig = Rig::new(AppendFsync::Always);
    let (quits, ends, killed) = (rig.connect(), rig.connect(), rig.connect());
    rig.send(quits, "SET a 1|QUIT");
    rig.send(ends, "SET b 1");
    rig.clients[ends].1.0.borrow_mut().finished = true;
    rig.turn.note(rig.clients[ends].0, Readiness { readable: true, read_closed: true, ..Readiness::default() });
    rig.send(killed, "SET c 1");
    rig.run();
    rig.run();
    assert_eq!(rig.closed, 0);
    let admin = rig.connect();
    rig.ask(admin, "CLIENT KILL ID 3");
    assert_eq!(rig.closed, 1, "who is killed waits for nothing");
    // Longer than a client that has closed its side may take over its last replies.
    rig.clock.advance_ms(5_000);
    rig.run();
    assert_eq!(rig.closed, 1);
    rig.settle();
    assert_eq!((rig.got(quits), rig.got(ends), rig.got(killed)), ("+OK\r\n+OK\r\n".into(), OK.into(), String::new()));
    assert_eq!(rig.closed, 3);
}

#[test]
fn the_last_replies_leave_with_the_last_fsync() {
    let mut rig = Rig::new(AppendFsync::Always);
    let a = rig.connect();
    rig.ask(a, "SET k 1");
    rig.ask(a, "SET k 2");
    let now = rig.turn.take_time();
    rig.turn.finish(now);
    assert_eq!(rig.got(a), "+OK\r\n+OK\r\n");
    rig.disk.crash_hard();
    assert_eq!(recovered(&rig.disk), data(&[("k", "2")]));
}

#[test]
fn nothing_is_held_without_always_nor_while_a_rewrite_lets_no_fsync_be_made() {
    let mut rig = Rig::new(AppendFsync::EverySec);
    let a = rig.connect();
    assert_eq!(rig.ask(a, "SET k 1"), OK);
    rig.ask(a, "CONFIG SET appendfsync always no-appendfsync-on-rewrite yes");
    rig.settle();
    rig.got(a);
    assert_eq!(rig.ask(a, "SET k 2"), "");
    rig.settle();
    rig.got(a);
    assert!(rig.ask(a, "BGREWRITEAOF").contains("started"));
    rig.job();
    rig.run();
    assert!(rig.turn.server.persistence.snapshots.is_running());
    assert_eq!(rig.ask(a, "SET k 3"), OK);
    rig.settle();
    assert_eq!(rig.ask(a, "SET k 4"), "");
    rig.settle();
    assert_eq!(rig.got(a), OK);
}

// --- everysec ----------------------------------------------------------------------------------------------------------

#[test]
fn under_everysec_there_is_an_fsync_a_second_if_there_is_anything_to_sync() {
    let mut rig = Rig::new(AppendFsync::EverySec);
    let a = rig.connect();
    rig.pass(5_000);
    let syncs = rig.disk.calls(Call::Sync);
    for round in 0..100 {
        assert_eq!(rig.ask(a, &format!("SET k {round}")), OK);
        rig.pass(100);
    }
    let made = rig.disk.calls(Call::Sync) - syncs;
    assert!((9..=11).contains(&made), "{made} in ten seconds");
    rig.pass(2_000);
    let syncs = rig.disk.calls(Call::Sync);
    rig.pass(10_000);
    assert_eq!(rig.disk.calls(Call::Sync), syncs);
    rig.disk.crash_hard();
    assert_eq!(recovered(&rig.disk), data(&[("k", "99")]));
}

#[test]
fn a_slow_fsync_puts_writes_off_and_after_two_seconds_those_who_write_but_nobody_else() {
    let mut rig = Rig::new(AppendFsync::EverySec);
    let (a, b) = (rig.connect(), rig.connect());
    rig.clock.advance_ms(2_000);
    assert_eq!(rig.ask(a, "SET k 1"), OK);
    // The fsync of this is under way from here on.
    assert!(rig.turn.server.persistence.log.is_syncing());
    let writes = rig.disk.calls(Call::Write);
    assert_eq!(rig.ask(a, "SET k 2"), OK);
    rig.clock.advance_ms(1_900);
    assert_eq!(rig.ask(a, "SET k 3"), OK);
    rig.clock.advance_ms(200);
    rig.run();
    assert_eq!(rig.ask(a, "SET k 4"), "", "it waits");
    assert_eq!(rig.ask(b, "GET k"), "$1\r\n3\r\n");
    assert_eq!(rig.info(b, "aof_delayed_fsync"), "1");
    assert_eq!(rig.disk.calls(Call::Write), writes, "the loop writes nothing meanwhile");
    rig.settle();
    assert_eq!(rig.got(a), OK);
    rig.pass(2_000);
    rig.disk.crash_hard();
    assert_eq!(recovered(&rig.disk), data(&[("k", "4")]));
}

/// An fsync lasts until the loop takes note of it; what the loop writes itself takes as long as the clock says.
#[test]
fn slow_writes_and_fsyncs_of_the_log_are_latency_events() {
    for policy in [AppendFsync::EverySec, AppendFsync::Always] {
        let mut rig = Rig::new(policy);
        let a = rig.connect();
        let names = |rig: &mut Rig| {
            let latest = rig.ask(a, "LATENCY LATEST|LATENCY RESET");
            ["aof-fsync-always", "aof-write", "aof-write-active-child", "aof-write-alone"]
                .into_iter()
                .filter(|name| latest.contains(&format!("\r\n{name}\r\n")))
                .collect::<Vec<_>>()
        };
        rig.ask(a, "CONFIG SET latency-monitor-threshold 10");
        rig.clock.advance_ms(2_000);
        rig.ask(a, "SET k 1");
        assert!(rig.turn.server.persistence.log.is_syncing());
        rig.clock.advance_ms(30);
        rig.settle();
        let always: &[&str] = if policy == AppendFsync::Always { &["aof-fsync-always"] } else { &[] };
        assert_eq!(names(&mut rig), always, "an fsync that nobody waits for is no event");
        rig.got(a);
        rig.clock.set_tick_ns(20_000_000);
        rig.send(a, "SET k 2");
        rig.run();
        rig.clock.set_tick_ns(0);
        rig.settle();
        rig.got(a);
        let mut events = names(&mut rig);
        events.retain(|name| name.starts_with("aof-write"));
        assert_eq!(events, ["aof-write", "aof-write-alone"]);
    }
}

// --- The disk fails ----------------------------------------------------------------------------------------------------

#[test]
fn a_full_disk_refuses_writes_and_is_noticed_when_it_has_room_again() {
    for policy in [AppendFsync::EverySec, AppendFsync::Always] {
        let mut rig = Rig::new(policy);
        let (a, b) = (rig.connect(), rig.connect());
        rig.ask(a, "SET k 1");
        rig.pass(2_000);
        assert_eq!(rig.got(a), if policy == AppendFsync::Always { OK } else { "" });
        rig.disk.fail(Call::Write, 0, u64::MAX, libc::ENOSPC);
        let reply = rig.ask(a, "SET k 2");
        assert_eq!(reply, if policy == AppendFsync::Always { "" } else { OK });
        assert_eq!(rig.ask(b, "SET k 3"), if policy == AppendFsync::Always { "" } else { NO_SPACE });
        rig.ask(b, "PING|MULTI|GET k|EXEC|MULTI|SET k 4|EXEC");
        assert!(rig.turn.server.persistence.log.is_failing());
        rig.pass(10_000);
        rig.disk.heal();
        rig.pass(1_000);
        let (first, second) = (rig.got(a), rig.got(b));
        assert!(policy != AppendFsync::Always || first == OK, "{first}");
        assert!(!second.contains("+PONG"), "{second}");
        assert_eq!(rig.info(b, "aof_last_write_status"), "ok");
        rig.ask(b, "SET k 5");
        rig.pass(2_000);
        rig.disk.crash_hard();
        assert_eq!(recovered(&rig.disk), data(&[("k", "5")]));
    }
}

#[test]
fn a_short_write_is_taken_back_and_the_file_holds_whole_batches() {
    let mut rig = Rig::new(AppendFsync::EverySec);
    let a = rig.connect();
    for round in 0..200 {
        let value = "x".repeat(round);
        rig.ask(a, &format!("SET k{round} {value}y"));
        if round % 20 == 0 {
            let used: u64 =
                rig.disk.paths().iter().map(|path| rig.disk.contents(path).map_or(0, |c| c.len() as u64)).sum();
            rig.disk.set_capacity(Some(used + 300));
        }
        let name = &manifest(&rig.disk).increments()[0].name.clone();
        let bytes = rig.disk.contents(Path::new(DIR).join(name)).expect("it is written to");
        assert!(whole(&bytes).1, "after {round} writes");
        if rig.info(a, "aof_last_write_status") == "err" {
            assert!(rig.info(a, "aof_last_write_error").contains("bytes are free"));
            rig.disk.set_capacity(None);
            rig.pass(1_500);
        }
    }
    rig.pass(2_000);
    rig.disk.crash_hard();
    let found = recovered(&rig.disk);
    assert!(found.len() > 150, "{}", found.len());
}

#[test]
fn after_a_failed_fsync_the_log_is_made_anew_and_nothing_acknowledged_is_lost() {
    for policy in [AppendFsync::EverySec, AppendFsync::Always] {
        let mut rig = Rig::new(policy);
        let (a, b) = (rig.connect(), rig.connect());
        rig.ask(a, "SET k 1|SET j 1");
        rig.pass(2_000);
        rig.got(a);
        rig.disk.fail(Call::Sync, 0, 1, libc::EIO);
        rig.clock.advance_ms(2_000);
        rig.ask(a, "SET k 2");
        rig.got(a);
        assert!(rig.job());
        assert_eq!(rig.got(a), "", "what failed acknowledges nothing");
        let refused = "-MISCONF Errors writing to the AOF file: Input/output error\r\n";
        let reply = rig.ask(b, "SET k 3");
        assert!(policy == AppendFsync::Always || reply == refused, "{reply}");
        let before = manifest(&rig.disk);
        rig.settle();
        rig.pass(3_000);
        assert_ne!(manifest(&rig.disk), before, "there is a new base");
        if policy == AppendFsync::Always {
            assert_eq!(rig.got(a), OK);
            assert_eq!(rig.got(b), refused);
        }
        assert_eq!(rig.info(b, "aof_last_write_status"), "ok");
        rig.ask(b, "SET j 4");
        rig.pass(2_000);
        rig.disk.crash_hard();
        assert_eq!(recovered(&rig.disk), data(&[("k", "2"), ("j", "4")]));
    }
}

/// Whatever call fails, and however often, the log goes on or tries again, and ends up with everything.
#[test]
fn a_rewrite_survives_the_failure_of_every_call() {
    let calls = [Call::Create, Call::Append, Call::Write, Call::Sync, Call::SyncDir, Call::Rename, Call::Remove];
    for call in calls {
        for (after, times) in [(0, 1), (1, 1), (2, 1), (3, 1), (0, 3)] {
            let mut rig = Rig::new(AppendFsync::Always);
            let a = rig.connect();
            rig.ask(a, "SET k 1");
            rig.settle();
            assert_eq!(rig.got(a), OK);
            rig.disk.fail(call, after, times, libc::EIO);
            rig.ask(a, "BGREWRITEAOF");
            for round in 0..6 {
                rig.ask(a, &format!("SET r {round}"));
                rig.settle();
                rig.pass(2_000);
            }
            rig.disk.heal();
            rig.pass(70_000);
            rig.pass(70_000);
            rig.got(a);
            rig.ask(a, "BGREWRITEAOF|SET k 2|SET r x");
            rig.settle();
            rig.pass(3_000);
            let got = rig.got(a);
            assert!(got.ends_with("+OK\r\n+OK\r\n"), "{call:?} {after} {times}: {got}");
            rig.disk.crash_hard();
            assert_eq!(recovered(&rig.disk), data(&[("k", "2"), ("r", "x")]), "{call:?} {after} {times}");
        }
    }
}

/// A log begins in several tries, with a call that fails in one of them and a write in every turn, until a crash at any of
/// them. An increment tells a command that was lost from one that stands both in a base and behind it.
#[test]
fn a_log_that_fails_to_begin_loses_and_doubles_nothing_when_it_does() {
    let (mut tries, mut acknowledged_in_all) = (0, 0);
    for call in [Call::CreateDir, Call::Create, Call::Append, Call::Write, Call::Sync, Call::Rename, Call::SyncDir] {
        for (after, turns) in (0..6).flat_map(|after| (5..45).map(move |turns| (after, turns))) {
            let mut prng = Prng::seeded(after << 8 | turns);
            let policy = [AppendFsync::Always, AppendFsync::EverySec, AppendFsync::No][turns as usize % 3];
            let mut rig = Rig::on(SimulatedDisk::new(), policy);
            rig.disk.fail(call, after, 1, libc::EIO);
            rig.begin();
            let a = rig.connect();
            let (mut sent, mut acknowledged) = (0, 0);
            for _ in 0..turns {
                let replies = rig.ask(a, "INCR k");
                sent += 1;
                let numbers = replies.lines().filter_map(|line| line.strip_prefix(':')?.parse::<i64>().ok());
                acknowledged = numbers.fold(acknowledged, i64::max);
                for _ in 0..prng.below(4) {
                    let server = &mut rig.turn.server;
                    let _ = server.persistence.log.run_job() || server.background.run_one();
                }
                rig.clock.advance_ms(100);
            }
            tries += rig.turn.server.persistence.log.rewrites().count;
            acknowledged_in_all += acknowledged;
            rig.disk.crash_hard();
            let there = rig.disk.contents(format!("{DIR}/{STEM}.manifest")).is_some();
            let found: i64 = match there {
                true => recovered(&rig.disk).get("k").map_or(0, |text| text.parse().expect("a number")),
                false => 0,
            };
            let least = if policy == AppendFsync::Always { acknowledged } else { 0 };
            assert!((least..=sent).contains(&found), "{call:?} {after} {turns} {policy:?}: {least} {found} {sent}");
        }
    }
    assert!(tries > 2_000 && acknowledged_in_all > 5_000, "{tries} tries, {acknowledged_in_all} acknowledged");
}

// --- Rewrites ----------------------------------------------------------------------------------------------------------

#[test]
fn a_rewrite_in_the_midst_of_writes_loses_and_doubles_nothing() {
    for policy in [AppendFsync::EverySec, AppendFsync::Always, AppendFsync::No] {
        rewrite_in_the_midst_of_writes(Rig::new(policy));
        rewrite_in_the_midst_of_writes(Rig::with_command_bases(policy));
    }
}

fn rewrite_in_the_midst_of_writes(mut rig: Rig) {
    let a = rig.connect();
    let mut prng = Prng::seeded(3);
    let mut model = Data::new();
    let mut rewrites = 0;
    for _ in 0..1_000 {
        let key = format!("k{}", prng.below(40));
        let number: i64 = model.get(&key).map_or(0, |text| text.parse().expect("a number"));
        if prng.below(10) == 0 {
            model.remove(&key);
            rig.send(a, &format!("DEL {key}"));
        } else {
            model.insert(key.clone(), (number + 1).to_string());
            rig.send(a, &format!("INCR {key}"));
        }
        if prng.below(40) == 0 {
            rig.send(a, "BGREWRITEAOF");
            rewrites += 1;
        }
        rig.run();
        for _ in 0..prng.below(3) {
            rig.clock.advance_ms(1);
            rig.turn.server.persistence.log.run_job();
            rig.turn.server.background.run_one();
            rig.run();
        }
    }
    rig.pass(3_000);
    assert!(rewrites > 10);
    let now = rig.turn.take_time();
    rig.turn.finish(now);
    rig.disk.crash_hard();
    assert_eq!(recovered(&rig.disk), model);
    let manifest = manifest(&rig.disk);
    assert!(manifest.history().is_empty() && manifest.increments().len() <= 2);
    let files = rig.disk.paths();
    let known = 1 + manifest.files().count();
    assert_eq!(files.len(), known, "files that nobody needs: {files:?}");
}

#[test]
fn the_log_is_turned_on_and_off_while_the_server_runs() {
    let mut rig = Rig::on(SimulatedDisk::new(), AppendFsync::Always);
    let a = rig.connect();
    rig.turn.server.config.appendonly = false;
    assert_eq!(
        rig.ask(a, "WAITAOF 1 0 0"),
        "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n"
    );
    for round in 0..5 {
        assert_eq!(rig.ask(a, &format!("SET before {round}")), OK);
        rig.ask(a, "CONFIG SET appendonly yes");
        // Nothing is promised before the base is on the disk.
        assert_eq!(rig.ask(a, &format!("SET between {round}")), OK);
        assert_eq!(rig.info(a, "aof_enabled"), "1");
        rig.settle();
        assert_eq!(rig.ask(a, &format!("SET after {round}")), "");
        rig.settle();
        assert_eq!(rig.got(a), OK);
        rig.ask(a, "CONFIG SET appendonly no");
        let n = round.to_string();
        assert_eq!(recovered(&rig.disk), data(&[("before", &n), ("between", &n), ("after", &n)]));
        assert_eq!(rig.ask(a, "SET after x"), OK);
    }
    assert_eq!(rig.ask(a, "BGREWRITEAOF"), "+Background append only file rewriting started\r\n");
    rig.settle();
    assert_eq!(recovered(&rig.disk), data(&[("before", "4"), ("between", "4"), ("after", "x")]));
    assert!(manifest(&rig.disk).increments().is_empty(), "as Redis has it without a log");
}

#[test]
fn a_rewrite_that_is_under_way_is_not_begun_again_and_one_in_a_transaction_comes_later() {
    let mut rig = Rig::new(AppendFsync::EverySec);
    let a = rig.connect();
    assert_eq!(rig.ask(a, "BGREWRITEAOF"), "+Background append only file rewriting started\r\n");
    assert_eq!(rig.ask(a, "BGREWRITEAOF"), "-ERR Background append only file rewriting already in progress\r\n");
    rig.settle();
    let reply = rig.ask(a, "MULTI|BGREWRITEAOF|EXEC");
    assert!(reply.ends_with("*1\r\n+Background append only file rewriting scheduled\r\n"), "{reply}");
    rig.settle();
    assert_eq!(rig.info(a, "aof_rewrites"), "3", "the first one made the log");
}

#[test]
fn a_log_that_has_grown_enough_is_rewritten_by_itself() {
    let mut rig = Rig::new(AppendFsync::EverySec);
    let a = rig.connect();
    rig.ask(a, "CONFIG SET auto-aof-rewrite-min-size 1000 auto-aof-rewrite-percentage 100");
    for round in 0..100 {
        rig.ask(a, &format!("SET k {round}"));
        rig.settle();
    }
    let rewrites: u32 = rig.info(a, "aof_rewrites").parse().expect("a number");
    assert!((3..10).contains(&rewrites), "{rewrites}");
    rig.pass(2_000);
    assert_eq!(recovered(&rig.disk), data(&[("k", "99")]));
}

// --- WAITAOF -----------------------------------------------------------------------------------------------------------

#[test]
fn waitaof_waits_for_the_clients_own_writes() {
    let mut rig = Rig::new(AppendFsync::EverySec);
    let (a, b) = (rig.connect(), rig.connect());
    assert_eq!(rig.ask(b, "WAITAOF 1 0 0"), "*2\r\n:1\r\n:0\r\n");
    assert_eq!(rig.ask(a, "SET k 1"), OK);
    assert_eq!(rig.ask(a, "WAITAOF 0 0 0"), "*2\r\n:0\r\n:0\r\n");
    assert_eq!(rig.ask(b, "WAITAOF 1 0 0"), "*2\r\n:1\r\n:0\r\n", "it has written nothing");
    assert_eq!(rig.ask(a, "WAITAOF 1 0 0"), "");
    rig.pass(1_000);
    assert_eq!(rig.got(a), "*2\r\n:1\r\n:0\r\n");
    rig.ask(a, "SET k 2");
    rig.clock.advance_ms(1);
    assert_eq!(rig.ask(a, "WAITAOF 1 0 10"), "");
    rig.clock.advance_ms(20);
    rig.run();
    assert_eq!(rig.got(a), "*2\r\n:0\r\n:0\r\n", "its time is over");
    rig.ask(a, "WAITAOF 1 1 5000");
    rig.pass(2_000);
    assert_eq!(rig.got(a), "");
    rig.pass(5_000);
    assert_eq!(rig.got(a), "*2\r\n:1\r\n:0\r\n", "the disk has it, and no replica");
    let reply = rig.ask(a, "MULTI|SET k 3|WAITAOF 1 0 0|EXEC");
    assert!(reply.ends_with("*2\r\n+OK\r\n*2\r\n:1\r\n:0\r\n"), "nothing waits in a transaction: {reply}");
    rig.ask(a, "WAITAOF 1 0 0");
    rig.ask(b, "CONFIG SET appendonly no");
    rig.settle();
    assert_eq!(rig.got(a), "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n");
}

// --- Crashes -----------------------------------------------------------------------------------------------------------

/// What the server holds.
fn held(rig: &Rig) -> Data {
    let number = |key: &String| match rig.turn.server.dbs[0].peek(key.as_bytes())?.string() {
        Some(Value::Int(n)) => Some(n.to_string()),
        other => panic!("a number was stored, not {other:?}"),
    };
    (0..5).map(|key| format!("k{key}")).filter_map(|key| Some((key.clone(), number(&key)?))).collect()
}

/// Writes until the power goes at some call; then what is on the disk is what the server held after some turn, and under
/// `always` after one that is no earlier than all that were acknowledged.
fn crash_after(seed: u64, policy: AppendFsync) {
    let mut prng = Prng::seeded(seed);
    let mut rig = if seed % 4 == 3 { Rig::with_command_bases(policy) } else { Rig::new(policy) };
    rig.turn.server.config.auto_aof_rewrite_min_size = 2_000;
    let clients: Vec<usize> = (0..3).map(|_| rig.connect()).collect();
    let (mut states, mut acknowledged, mut number) = (vec![Data::new()], 0, 0);
    // Of each value that was stored, the first state that has it or came after it.
    let mut since: BTreeMap<u64, usize> = BTreeMap::new();
    let mut asked: Vec<VecDeque<u64>> = vec![VecDeque::new(); 3];
    rig.disk.power_off_after(prng.below(400));
    if prng.below(3) == 0 {
        rig.disk.fail(Call::Sync, prng.below(20), 1 + prng.below(2), libc::EIO);
    }
    while !rig.disk.is_off() && number < 300 {
        let client = clients[prng.below(3) as usize];
        number += 1;
        if prng.below(40) == 0 {
            rig.send(client, "BGREWRITEAOF");
        } else if asked[client].len() < 4 {
            rig.send(client, &format!("SET k{} {number}", prng.below(5)));
            asked[client].push_back(number);
        }
        for step in 0..=prng.below(3) {
            match prng.below(2) {
                _ if step == 0 => {}
                0 => drop(rig.turn.server.persistence.log.run_job()),
                _ => drop(rig.turn.server.background.run_one()),
            }
            rig.clock.advance_ms(prng.below(300));
            rig.run();
            let state = held(&rig);
            if states.last() != Some(&state) {
                states.push(state);
            }
            let reached = states.len() - 1;
            for value in states[reached].values() {
                since.entry(value.parse().expect("a number")).or_insert(reached);
            }
            for (client, asked) in asked.iter_mut().enumerate() {
                for line in rig.got(client).lines() {
                    if line == "+OK" {
                        let value = asked.pop_front().expect("it asked");
                        // One that another took the place of within its turn was in no state.
                        acknowledged = acknowledged.max(since.get(&value).copied().unwrap_or(0));
                    } else if line.starts_with("-MISCONF") {
                        asked.pop_front().expect("it asked");
                    }
                }
            }
        }
    }
    rig.disk.crash(&mut prng);
    let found = recovered(&rig.disk);
    let at = states.iter().rposition(|state| *state == found);
    let at = at.unwrap_or_else(|| panic!("seed {seed}: what was recovered never was: {found:?}"));
    if policy == AppendFsync::Always {
        assert!(at >= acknowledged, "seed {seed}: state {at} was recovered and {acknowledged} acknowledged");
    }
}

#[test]
fn after_a_crash_at_any_call_always_has_all_that_was_acknowledged() {
    (0..400).for_each(|seed| crash_after(seed, AppendFsync::Always));
}

#[test]
fn after_a_crash_at_any_call_everysec_has_a_state_that_once_was() {
    (0..200).for_each(|seed| crash_after(seed, AppendFsync::EverySec));
}
