//! Databases that are made on first use: a server that offers very many of them is as small as one that offers one.

use aleadb::config::Config;

use crate::memory::Memory;

const OK: &str = r"+OK\r\n";

fn with_a_million() -> Memory {
    Memory::with_config(Config { databases: 1_000_000, ..Config::default() })
}

#[test]
fn databases_are_made_when_they_are_chosen() {
    let mut m = with_a_million();
    let made = |m: &Memory| m.server.dbs.iter().count();
    assert_eq!(made(&m), 1);
    m.expect(&[
        ("DBSIZE", r":0\r\n"),
        ("FLUSHALL", OK),
        ("SELECT 1000000", r"-ERR DB index is out of range\r\n"),
        ("CONFIG GET databases", r"*2\r\n$9\r\ndatabases\r\n$7\r\n1000000\r\n"),
    ]);
    assert!(!m.run("INFO keyspace").contains("db0"));
    assert_eq!(made(&m), 1, "nothing of this has chosen another one");
    m.expect(&[("SELECT 999999", OK), ("SET k v", OK), ("SELECT 7", OK), ("SELECT 999999", OK)]);
    assert_eq!(made(&m), 3);
}

#[test]
fn databases_go_by_their_numbers_whatever_the_order_of_their_first_use() {
    let mut m = with_a_million();
    m.expect(&[
        ("SELECT 999999", OK),
        ("SET k last", OK),
        ("SELECT 7", OK),
        ("SET k seven", OK),
        ("COPY k c DB 400", r":1\r\n"),
        ("MOVE k 30", r":1\r\n"),
        ("SWAPDB 30 500000", OK),
        ("SELECT 500000", OK),
        ("GET k", r"$5\r\nseven\r\n"),
        ("SELECT 30", OK),
        ("DBSIZE", r":0\r\n"),
        ("SELECT 400", OK),
        ("GET c", r"$5\r\nseven\r\n"),
    ]);
    assert!(m.run("CLIENT INFO").contains(" db=400 "));
    let keyspace = m.run("INFO keyspace");
    let lines: Vec<&str> = keyspace.split(r"\r\n").filter(|line| line.starts_with("db")).collect();
    let numbers: Vec<&str> = lines.iter().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(numbers, ["db400", "db500000", "db999999"]);
    let stats = m.run("MEMORY STATS");
    assert!(stats.contains("db.400") && stats.contains("db.999999") && !stats.contains("db.1\\r"), "{stats}");
    m.expect(&[("FLUSHALL", OK), ("SELECT 999999", OK), ("DBSIZE", r":0\r\n")]);
}

#[test]
fn events_and_queries_name_the_number_of_their_database() {
    let mut m = with_a_million();
    m.run("PSUBSCRIBE __key*");
    let listener = m.client;
    m.connect();
    m.expect(&[("CONFIG SET notify-keyspace-events KEA", OK), ("SELECT 4321", OK), ("SET k v", OK)]);
    let heard = m.take_sent(listener);
    assert!(heard.contains("__keyspace@4321__:k") && heard.contains("__keyevent@4321__:set"), "{heard}");
    m.run("HELLO 3");
    m.run("GET.WATCH k");
    let list = m.run("WATCH.LIST");
    assert!(list.contains(r"$2\r\ndb\r\n:4321\r\n"), "{list}");
}

#[test]
fn keys_expire_in_databases_that_other_commands_have_made() {
    let mut m = with_a_million();
    m.expect(&[
        ("SET a v PX 50", OK),
        ("COPY a b DB 9", r":1\r\n"),
        ("COPY a c DB 10", r":1\r\n"),
        ("SET d v PX 50", OK),
        ("MOVE d 11", r":1\r\n"),
        ("SWAPDB 9 12", OK),
        ("SELECT 13", OK),
        ("HSET h f v", r":1\r\n"),
        ("HPEXPIRE h 50 FIELDS 1 f", r"*1\r\n:1\r\n"),
    ]);
    m.advance_ms(50);
    assert_eq!(m.server.dbs.iter().map(|db| db.len()).sum::<usize>(), 0);
    assert_eq!(m.server.dbs.expired(), m.server.dbs.iter().map(|db| db.stats().expired).sum::<u64>());
}

#[test]
fn a_flushed_database_gets_deadlines_again() {
    let mut m = with_a_million();
    for round in 0..3 {
        m.expect(&[("SELECT 5", OK), ("SET a v PX 500", OK), ("FLUSHDB", OK)]);
        m.advance_ms(200);
        assert!(m.server.dbs.timed().is_empty(), "its wheel is gone, and it is not asked for deadlines: {round}");
        m.expect(&[("SET a v PX 20", OK), ("DBSIZE", r":1\r\n")]);
        m.advance_ms(20);
        m.expect(&[("DBSIZE", r":0\r\n")]);
    }
}
