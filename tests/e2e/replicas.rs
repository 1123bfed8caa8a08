//! Servers of ours that follow each other: live queries on replicas, chains, roles that change under load, logs and restarts of
//! replicas, long commands beside the stream, and a load that holds nobody up.

use std::time::{Duration, Instant};

use super::process::{DEADLINE, Dir, Process};
use super::resp::{Client, Value};
use super::server::wait_until;

const SETTINGS: &[&str] = &["--repl-diskless-sync-delay", "0", "--enable-debug-command", "yes"];

fn server(more: &[&str]) -> Process {
    Process::serving(&[SETTINGS, more].concat())
}

fn connect(server: &Process) -> Client {
    let mut client = server.connect();
    client.set_timeout(DEADLINE).expect("a timeout");
    client
}

fn ask(client: &mut Client, line: &str) -> Value {
    let words: Vec<&str> = line.split(' ').collect();
    client.call(&words).expect("a reply").value
}

/// The value of a field of INFO.
fn info(client: &mut Client, field: &str) -> String {
    let reply = ask(client, "INFO everything").text();
    let found = reply.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).map(str::to_owned);
    found.unwrap_or_default()
}

fn follow(replica: &mut Client, primary: &Process) {
    assert!(ask(replica, &format!("REPLICAOF 127.0.0.1 {}", primary.port)).text().starts_with("OK"));
}

/// Waits until servers are at one offset of one history, and hold the same.
fn assert_equal(clients: &mut [&mut Client]) {
    let names = ["master_replid", "master_repl_offset"];
    let mut seen = Vec::new();
    let is_equal = wait_until(DEADLINE, || {
        seen = clients
            .iter_mut()
            .map(|client| {
                let place = names.map(|name| info(client, name)).join(" at ");
                format!("{place}: {}", ask(client, "DEBUG DIGEST").text())
            })
            .collect();
        seen.iter().all(|state| *state == seen[0])
    });
    assert!(is_equal, "{seen:#?}");
}

#[test]
fn a_watcher_on_a_replica_sees_every_change_and_what_a_new_data_set_brings() {
    let (primary, replica) = (server(&[]), server(&[]));
    let (mut writer, mut reader, mut watcher) = (connect(&primary), connect(&replica), connect(&replica));
    ask(&mut writer, "SET k first");
    ask(&mut writer, "SET gone v");
    ask(&mut reader, "SET only here");
    for key in ["k", "only"] {
        watcher.call(&["GET.WATCH", key]).expect("the first answer");
    }
    let frame = |watcher: &mut Client| {
        let frame = watcher.read_any().expect("a frame").value;
        frame.items().expect("three elements")[2].clone()
    };
    follow(&mut reader, &primary);
    // The data set that takes the place of the old one.
    let mut brought = [frame(&mut watcher), frame(&mut watcher)];
    brought.sort();
    assert_eq!(brought, [Value::Bulk(b"first".to_vec()), Value::NullBulk]);
    for number in 0..200 {
        ask(&mut writer, &format!("SET k {number}"));
        assert_eq!(frame(&mut watcher).text(), number.to_string());
    }
    ask(&mut writer, "PEXPIRE k 50");
    // The deadline is a change as well.
    assert!(wait_until(DEADLINE, || frame(&mut watcher) == Value::NullBulk));
    assert_equal(&mut [&mut writer, &mut reader]);
}

#[test]
fn revisions_go_on_with_the_server_that_counted_them_and_are_missed_by_any_other() {
    let (primary, replica) = (server(&[]), server(&[]));
    let (mut writer, mut reader) = (connect(&primary), connect(&replica));
    follow(&mut reader, &primary);
    ask(&mut writer, "SET k 0");
    assert_equal(&mut [&mut writer, &mut reader]);
    let [mut there, mut here] = [&primary, &replica].map(|server| {
        let mut watcher = connect(server);
        assert_eq!(ask(&mut watcher, "WATCH.MODE REVISIONS").text(), "OK");
        watcher
    });
    let version = |answer: Value| {
        let items = answer.items().expect("an array").to_vec();
        let number: u64 = items[3].text().parse().expect("a number");
        (items[2].text(), number, items.get(4).map(Value::text))
    };
    let (_, of_primary, _) = version(ask(&mut there, "OBSERVE GET k"));
    let (_, of_replica, _) = version(ask(&mut here, "OBSERVE GET k"));
    for number in 1..=3 {
        ask(&mut writer, &format!("SET k {number}"));
        let frames = [&mut there, &mut here].map(|watcher| version(watcher.read_any().expect("a frame").value));
        let expected = [of_primary + number, of_replica + number].map(|revision| (number.to_string(), revision, None));
        assert_eq!(frames, expected);
    }
    drop((primary, there));
    assert_eq!(ask(&mut reader, "REPLICAOF NO ONE").text(), "OK");
    // Who watched the replica loses nothing and notices nothing.
    ask(&mut reader, "SET k 4");
    assert_eq!(version(here.read_any().expect("a frame").value), (String::from("4"), of_replica + 4, None));
    drop(here);
    let mut back = connect(&replica);
    ask(&mut back, "WATCH.MODE REVISIONS");
    let resumed = version(ask(&mut back, &format!("OBSERVE SINCE {} GET k", of_replica + 3)));
    assert_eq!(resumed, (String::from("3"), of_replica + 3, Some(String::from("continued"))));
    assert_eq!(version(back.read_any().expect("a frame").value), (String::from("4"), of_replica + 4, None));
    // Who watched the primary is told that there may have been more.
    let mut moved = connect(&replica);
    ask(&mut moved, "WATCH.MODE REVISIONS");
    let resumed = version(ask(&mut moved, &format!("OBSERVE SINCE {} GET k", of_primary + 3)));
    assert_eq!(resumed, (String::from("4"), of_replica + 4, Some(String::from("missed"))));
}

#[test]
fn roles_go_round_under_load_and_nothing_is_loaded_again() {
    let servers = [server(&[]), server(&[]), server(&[])];
    let mut admins: Vec<Client> = servers.iter().map(connect).collect();
    for number in [1, 2] {
        follow(&mut admins[number], &servers[number - 1]);
        assert!(wait_until(DEADLINE, || info(&mut admins[number], "master_link_status") == "up"));
    }
    let mut written = 0;
    for round in 0..6 {
        let (primary, next) = (round % 3, (round + 1) % 3);
        // From the second round on, the one behind the next follows that one, and the former primary does.
        let mut writer = connect(&servers[primary]);
        for _ in 0..300 {
            written += 1;
            assert!(!ask(&mut writer, &format!("RPUSH list:{} {written}", written % 7)).is_error());
        }
        assert!(ask(&mut writer, "WAIT 1 5000").integer() >= Some(1));
        let to = format!("FAILOVER TO 127.0.0.1 {}", servers[next].port);
        assert!(wait_until(DEADLINE, || ask(&mut admins[primary], &to).text() == "OK"));
        assert!(wait_until(DEADLINE, || info(&mut admins[next], "role") == "master"));
        assert!(wait_until(DEADLINE, || info(&mut admins[primary], "master_link_status") == "up"));
        let third = (round + 2) % 3;
        follow(&mut admins[third], &servers[next]);
        assert!(wait_until(DEADLINE, || info(&mut admins[third], "master_link_status") == "up"));
    }
    let [first, second, third] = &mut admins[..] else { panic!("three servers") };
    assert_equal(&mut [first, second, third]);
    let lengths: i64 = (0..7).filter_map(|list| ask(first, &format!("LLEN list:{list}")).integer()).sum();
    assert_eq!(lengths, written);
    let full: u64 = [first, second, third].map(|admin| info(admin, "sync_full").parse().unwrap_or(0)).iter().sum();
    assert_eq!(full, 2, "those at the beginning");
}

#[test]
fn a_replica_keeps_a_log_of_its_own_and_goes_on_after_a_restart() {
    let primary = server(&[]);
    let replica = server(&["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
    let (mut writer, mut reader) = (connect(&primary), connect(&replica));
    ask(&mut reader, "SET stale v");
    for number in 0..1_000 {
        ask(&mut writer, &format!("SET k:{number} v{number}"));
    }
    follow(&mut reader, &primary);
    assert_equal(&mut [&mut writer, &mut reader]);
    for number in 0..500 {
        ask(&mut writer, &format!("INCRBY n {number}"));
    }
    ask(&mut writer, "PEXPIRE k:1 1");
    assert_eq!(ask(&mut writer, "WAITAOF 0 1 20000").items().map(|items| items[1].clone()), Some(Value::Integer(1)));
    assert_equal(&mut [&mut writer, &mut reader]);
    // The log of the replica alone brings all of it back.
    let is_written = || info(&mut reader, "aof_rewrite_in_progress") == "0" && info(&mut reader, "aof_enabled") == "1";
    assert!(wait_until(DEADLINE, is_written));
    let digest = ask(&mut reader, "DEBUG DIGEST").text();
    ask(&mut reader, "REPLICAOF NO ONE");
    ask(&mut reader, "DEBUG LOADAOF");
    assert_eq!(ask(&mut reader, "DEBUG DIGEST").text(), digest);
}

#[test]
fn long_commands_of_readers_and_of_the_stream_wait_for_each_other() {
    let (primary, replica) = (server(&[]), server(&[]));
    let (mut writer, mut reader, mut other) = (connect(&primary), connect(&replica), connect(&replica));
    let members = |from: usize, count: usize| -> Vec<String> {
        ["SADD", "set"].map(String::from).into_iter().chain((from..from + count).map(|n| format!("m{n}"))).collect()
    };
    writer.call(&members(0, 60_000)).expect("a reply");
    follow(&mut reader, &primary);
    assert_equal(&mut [&mut writer, &mut reader]);
    for round in 1..8 {
        // Readers hold what the stream is about to change.
        other.send_raw(&super::resp::encode(&["SMEMBERS", "set"])).expect("it is read");
        writer.call(&members(60_000 * round, 20_000)).expect("a reply");
        ask(&mut writer, "SUNIONSTORE copy set set");
        ask(&mut writer, "INCR after");
        let all = other.read_reply().expect("a reply").value;
        assert!(all.items().is_some_and(|items| items.len() >= 60_000));
    }
    assert_equal(&mut [&mut writer, &mut reader]);
    assert_eq!(ask(&mut reader, "GET after").text(), "7");
}

#[test]
fn a_replica_answers_while_it_loads_and_shows_the_old_data_until_the_new_is_whole() {
    let (primary, replica) = (server(&[]), server(&[]));
    let (mut writer, mut reader, mut admin) = (connect(&primary), connect(&replica), connect(&replica));
    ask(&mut writer, "DEBUG POPULATE 300000 key 100");
    ask(&mut reader, "SET old v");
    follow(&mut admin, &primary);
    let (began, mut seen, mut longest) = (Instant::now(), 0, Duration::ZERO);
    loop {
        let asked = Instant::now();
        let old = ask(&mut reader, "GET old");
        longest = longest.max(asked.elapsed());
        let size = ask(&mut reader, "DBSIZE").integer();
        if old == Value::NullBulk {
            assert_eq!(size, Some(300_000), "all of the new data at once");
            break;
        }
        assert_eq!(old.text(), "v");
        seen += usize::from(info(&mut admin, "master_sync_in_progress") == "1");
        assert!(began.elapsed() < DEADLINE, "the data never comes");
    }
    assert!(seen > 0, "it was seen in the midst of the load");
    assert!(longest < Duration::from_secs(2), "{longest:?}: it stood still");
    assert_equal(&mut [&mut writer, &mut admin]);
}

#[test]
fn a_primary_that_comes_back_empty_takes_nobodys_data() {
    let mut primary = server(&["--save", ""]);
    let replica = server(&["--save", ""]);
    let (mut writer, mut reader) = (connect(&primary), connect(&replica));
    follow(&mut reader, &primary);
    assert!(wait_until(DEADLINE, || info(&mut reader, "master_link_status") == "up"));
    for number in 0..100 {
        ask(&mut writer, &format!("SET k:{number} v"));
    }
    assert_equal(&mut [&mut writer, &mut reader]);
    drop(writer);
    let port = primary.port;
    primary.signal("KILL");
    assert!(wait_until(DEADLINE, || primary.has_ended()));
    let reborn =
        Process::spawn(Dir::new(), port, &[SETTINGS, &["--save", "", "--port", &port.to_string()]].concat(), &[]);
    assert!(wait_until(DEADLINE, || std::net::TcpStream::connect(reborn.addr()).is_ok()));
    let log = || replica.log();
    assert!(wait_until(DEADLINE, || log().contains("-NOMASTERLINK")), "{}", log());
    assert_eq!(ask(&mut reader, "DBSIZE").integer(), Some(100));
    let mut writer = connect(&reborn);
    // Neither gives up what there is before it is told so.
    ask(&mut writer, "CONFIG SET replica-accept-empty-primary yes");
    assert!(wait_until(DEADLINE, || log().contains("the primary has come back empty")), "{}", log());
    assert_eq!(ask(&mut reader, "DBSIZE").integer(), Some(100));
    ask(&mut reader, "CONFIG SET replica-accept-empty-primary yes");
    assert!(wait_until(DEADLINE, || ask(&mut reader, "DBSIZE").integer() == Some(0)), "{}", log());
}

/// A promoted replica with a log of its own once passed on twice what it had run in that turn.
#[test]
fn promotion_under_load_doubles_nothing() {
    for _ in 0..3 {
        let servers = [server(&[]), server(&["--appendonly", "yes"]), server(&[])];
        let mut admins: Vec<Client> = servers.iter().map(connect).collect();
        for number in [1, 2] {
            follow(&mut admins[number], &servers[number - 1]);
            assert!(wait_until(DEADLINE, || info(&mut admins[number], "master_link_status") == "up"));
        }
        let mut writer = connect(&servers[0]);
        let lines: Vec<u8> = (0..20_000).flat_map(|_| super::resp::encode(&["INCR", "n"])).collect();
        writer.send_raw(&lines).expect("it is read");
        let at_work = || ask(&mut admins[1], "GET n").text().parse::<u64>().is_ok_and(|n| n > 2_000);
        assert!(wait_until(DEADLINE, at_work));
        ask(&mut admins[1], "REPLICAOF NO ONE");
        let [_, second, third] = &mut admins[..] else { panic!("three servers") };
        assert!(wait_until(DEADLINE, || info(third, "master_link_status") == "up"));
        ask(second, "INCR after");
        assert_equal(&mut [second, third]);
    }
}

/// The stream of a primary goes on in the database that it has selected, also for who joins in the midst of it, and after a restart.
#[test]
fn the_selected_database_is_known_to_replicas_of_replicas_and_after_a_restart() {
    let (primary, replica, last) = (server(&[]), server(&[]), server(&[]));
    let (mut writer, mut reader, mut below) = (connect(&primary), connect(&replica), connect(&last));
    follow(&mut reader, &primary);
    assert!(wait_until(DEADLINE, || info(&mut reader, "master_link_status") == "up"));
    ask(&mut writer, "SELECT 3");
    ask(&mut writer, "SET a 1");
    assert_equal(&mut [&mut writer, &mut reader]);
    follow(&mut below, &replica);
    assert!(wait_until(DEADLINE, || info(&mut below, "master_link_status") == "up"));
    ask(&mut writer, "SET b 2");
    assert_equal(&mut [&mut writer, &mut reader, &mut below]);
    // A replica that is saved and started anew.
    ask(&mut reader, "SAVE");
    let dump = std::fs::read(replica.dir.join("dump.rdb")).expect("a dump file");
    drop((reader, replica));
    let dir = Dir::new();
    std::fs::write(dir.join("dump.rdb"), dump).expect("the directory is writable");
    let port = primary.port.to_string();
    let reborn = Process::serving_in(dir, &[SETTINGS, &["--replicaof", "127.0.0.1", &port]].concat(), &[]);
    let mut reader = connect(&reborn);
    assert!(wait_until(DEADLINE, || info(&mut reader, "master_link_status") == "up"));
    ask(&mut writer, "SET c 3");
    assert_equal(&mut [&mut writer, &mut reader]);
    assert_eq!(info(&mut writer, "sync_partial_ok"), "1", "it goes on where it was");
    assert_eq!(info(&mut reader, "repl_backlog_active"), "1", "others may go on with it");
}

/// What was emptied for a data set that never came is of no history that anybody has.
#[test]
fn a_data_set_that_breaks_off_after_the_old_one_has_gone_leads_to_a_new_one() {
    let (primary, replica) = (server(&[]), server(&["--repl-diskless-load", "flushdb"]));
    let (mut writer, mut reader) = (connect(&primary), connect(&replica));
    for number in 0..100 {
        ask(&mut writer, &format!("SET k:{number} v"));
    }
    follow(&mut reader, &primary);
    assert_equal(&mut [&mut writer, &mut reader]);
    let impostor = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = impostor.local_addr().expect("an address").port();
    ask(&mut reader, &format!("REPLICAOF 127.0.0.1 {port}"));
    let (mut stream, _) = impostor.accept().expect("the replica");
    let answer = format!("+PONG\r\n+OK\r\n+OK\r\n+OK\r\n+FULLRESYNC {} 7\r\n$500\r\nREDIS0011", "e".repeat(40));
    std::io::Write::write_all(&mut stream, answer.as_bytes()).expect("it is read");
    assert!(wait_until(DEADLINE, || ask(&mut reader, "DBSIZE").integer() != Some(100)));
    drop(stream);
    follow(&mut reader, &primary);
    assert_equal(&mut [&mut writer, &mut reader]);
    assert_eq!(ask(&mut reader, "DBSIZE").integer(), Some(100));
}

#[test]
fn the_link_is_not_for_limits_and_kills_that_are_meant_for_clients() {
    let (primary, replica) = (server(&[]), server(&[]));
    let (mut writer, mut reader) = (connect(&primary), connect(&replica));
    follow(&mut reader, &primary);
    assert!(wait_until(DEADLINE, || info(&mut reader, "master_link_status") == "up"));
    ask(&mut reader, "CLIENT KILL TYPE normal");
    let mut reader = connect(&replica);
    ask(&mut reader, "ACL SETUSER default nocommands +@all -set");
    for line in ["MULTI", "SET a 1", "SET b 2", "EXEC"] {
        ask(&mut writer, line);
    }
    assert_equal(&mut [&mut writer, &mut reader]);
    assert_eq!(ask(&mut reader, "DBSIZE").integer(), Some(2));
    assert_eq!(info(&mut writer, "sync_full"), "1");
    assert_eq!(ask(&mut reader, "CLIENT KILL TYPE master").integer(), Some(1));
    let hosts = ["REPLICAOF", "a b", "1"].map(String::from);
    assert!(reader.call(&hosts).expect("a reply").value.is_error());
}

#[test]
fn info_tells_how_often_a_link_was_tried_and_since_when_it_is_up_or_down() {
    let (primary, replica) = (server(&[]), server(&[]));
    let mut reader = connect(&replica);
    let fields = |reader: &mut Client| {
        ["master_current_sync_attempts", "master_total_sync_attempts"]
            .map(|field| info(reader, field).parse::<u64>().expect("a number"))
    };
    follow(&mut reader, &primary);
    assert!(wait_until(DEADLINE, || info(&mut reader, "master_link_status") == "up"));
    assert_eq!(fields(&mut reader), [1, 1]);
    let (up, down) = ("master_link_up_since_seconds", "master_link_down_since_seconds");
    assert!(info(&mut reader, up).parse::<u64>().is_ok() && info(&mut reader, down).is_empty());
    assert_eq!(info(&mut reader, "total_disconnect_time_sec"), "0");
    drop(primary);
    // The first attempt was followed by the data; the next ones are those since then.
    assert!(wait_until(DEADLINE, || fields(&mut reader) == [2, 3]), "{:?}", fields(&mut reader));
    assert!(info(&mut reader, down).parse::<u64>().is_ok() && info(&mut reader, up).is_empty());
    assert_ne!(info(&mut reader, "total_disconnect_time_sec"), "0");
}
