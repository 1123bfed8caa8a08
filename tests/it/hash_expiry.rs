//! Fields of hashes that expire: on time, with their events, and as if they were gone from the moment they are due. What is
//! expected of events was checked against Redis 8.2.3.

use aleadb::base::clock::Clock;

use crate::memory::{Memory, START_MS};

/// A server that publishes all events, and a client that hears them; the other one speaks.
pub fn listening() -> (Memory, usize) {
    let mut m = Memory::new();
    m.run("HELLO 3");
    m.run("PSUBSCRIBE __keyevent*");
    let listener = m.client;
    m.connect();
    m.expect(&[("CONFIG SET notify-keyspace-events EAn", r"+OK\r\n")]);
    (m, listener)
}

/// `event=key` of each event that a client was sent.
pub fn heard(m: &mut Memory, listener: usize) -> String {
    let sent = m.take_sent(listener);
    let events = sent.split(r">4\r\n").skip(1).map(|message| {
        let words: Vec<&str> = message.split(r"\r\n").collect();
        format!("{}={}", words[5].split("__:").nth(1).unwrap_or_default(), words[7])
    });
    events.collect::<Vec<_>>().join(" ")
}

#[test]
fn every_change_has_its_events() {
    let (mut m, listener) = listening();
    let rows = [
        ("HSET h a 1 b 2 c 3", "new=h hset=h"),
        ("HSETNX h a 1", ""),
        ("HSETNX h d 1", "hset=h"),
        ("HINCRBY h a 1", "hincrby=h"),
        ("HINCRBYFLOAT h a 1", "hincrbyfloat=h"),
        ("HDEL h nof", ""),
        ("HDEL h b c d a", "hdel=h del=h"),
        ("HMSET h a 1 b 2 c 3", "new=h hset=h"),
        ("HEXPIRE h 10 FIELDS 2 a b", "hexpire=h"),
        ("HEXPIRE h 10 NX FIELDS 2 a b", ""),
        ("HEXPIRE h 0 FIELDS 2 a b", "hdel=h"),
        ("HEXPIRE h 0 FIELDS 2 a c", "hdel=h del=h"),
        ("HSET h a 1 b 2 c 3", "new=h hset=h"),
        ("HEXPIRE h 10 FIELDS 3 a b c", "hexpire=h"),
        ("HPERSIST h FIELDS 2 a b", "hpersist=h"),
        ("HPERSIST h FIELDS 2 a b", ""),
        ("HGETEX h EX 10 FIELDS 2 a b", "hexpire=h"),
        ("HGETEX h EX 10 FIELDS 1 nof", ""),
        ("HGETEX h PERSIST FIELDS 2 a b", "hpersist=h"),
        ("HGETEX h PERSIST FIELDS 2 a b", ""),
        ("HGETEX h EXAT 1 FIELDS 2 a b", "hdel=h"),
        ("HGETEX h EXAT 1 FIELDS 2 c b", "hdel=h del=h"),
        ("HSETEX h FIELDS 2 a 1 b 2", "new=h hset=h"),
        ("HSETEX h EX 10 FIELDS 2 a 1 b 2", "hset=h hexpire=h"),
        ("HSETEX h FNX EX 10 FIELDS 2 a 1 b 2", ""),
        ("HSETEX h EXAT 1 FIELDS 1 nof 1", "hset=h hdel=h"),
        ("HSETEX h EXAT 1 FIELDS 2 a 1 b 1", "hset=h hdel=h del=h"),
        ("HSETEX h EXAT 1 FIELDS 1 b 1", "new=h hset=h hdel=h del=h"),
        ("HSETEX h FXX EXAT 1 FIELDS 1 b 1", ""),
        ("HSET h a 1 b 2", "new=h hset=h"),
        ("HGETDEL h FIELDS 2 a nof", "hdel=h"),
        ("HGETDEL h FIELDS 1 nof", ""),
        ("HGETDEL h FIELDS 1 b", "hdel=h del=h"),
    ];
    for (line, events) in rows {
        m.run(line);
        assert_eq!(heard(&mut m, listener), events, "{line}");
    }
}

#[test]
fn fields_leave_at_their_millisecond_and_the_last_takes_the_key_along() {
    for limit in ["512", "0"] {
        let (mut m, listener) = listening();
        m.run(&format!("CONFIG SET hash-max-listpack-entries {limit}"));
        m.run("HSET h a 1 b 2 c 3");
        m.expect(&[
            ("HPEXPIRE h 100 FIELDS 1 a", r"*1\r\n:1\r\n"),
            ("HPEXPIRE h 200 FIELDS 2 b c", r"*2\r\n:1\r\n:1\r\n"),
        ]);
        heard(&mut m, listener);
        m.advance_ms(99);
        assert_eq!(heard(&mut m, listener), "");
        m.expect(&[("HPTTL h FIELDS 2 a b", r"*2\r\n:1\r\n:101\r\n"), ("HLEN h", r":3\r\n")]);
        m.advance_ms(1);
        assert_eq!(heard(&mut m, listener), "hexpired=h");
        m.expect(&[("HLEN h", r":2\r\n"), ("HPTTL h FIELDS 2 a b", r"*2\r\n:-2\r\n:100\r\n")]);
        let keyspace = m.run("INFO keyspace");
        assert!(keyspace.contains("keys=1,expires=0,avg_ttl=0,subexpiry=1"), "{keyspace}");
        m.advance_ms(100);
        assert_eq!(heard(&mut m, listener), "hexpired=h del=h");
        m.expect(&[("EXISTS h", r":0\r\n"), ("HLEN h", r":0\r\n")]);
        let stats = m.run("INFO stats");
        assert!(stats.contains(r"expired_subkeys:3\r\n") && stats.contains(r"expired_keys:0\r\n"), "{stats}");
        assert_eq!(m.server.dbs[0].timed_collections(), 0);
    }
}

/// What a due field looks like while nobody has taken it away: it is not there.
#[test]
fn a_due_field_is_gone_for_everybody() {
    for limit in ["512", "0"] {
        let mut m = Memory::new();
        m.server.active_expire = false;
        m.run(&format!("CONFIG SET hash-max-listpack-entries {limit}"));
        m.run("HSET h a 1 b 2 c 3");
        m.run("HPEXPIRE h 10 FIELDS 2 a b");
        m.advance_ms(10);
        m.expect(&[
            ("HGET h a", r"$-1\r\n"),
            ("HLEN h", r":1\r\n"),
            ("HGETALL h", r"*2\r\n$1\r\nc\r\n$1\r\n3\r\n"),
            ("HKEYS h", r"*1\r\n$1\r\nc\r\n"),
            ("HVALS h", r"*1\r\n$1\r\n3\r\n"),
            ("HMGET h a c", r"*2\r\n$-1\r\n$1\r\n3\r\n"),
            ("HEXISTS h b", r":0\r\n"),
            ("HSTRLEN h b", r":0\r\n"),
            ("HTTL h FIELDS 2 a b", r"*2\r\n:-2\r\n:-2\r\n"),
            ("HSCAN h 0", r"*2\r\n$1\r\n0\r\n*2\r\n$1\r\nc\r\n$1\r\n3\r\n"),
            ("HRANDFIELD h 5", r"*1\r\n$1\r\nc\r\n"),
            ("HRANDFIELD h -2 WITHVALUES", r"*4\r\n$1\r\nc\r\n$1\r\n3\r\n$1\r\nc\r\n$1\r\n3\r\n"),
            ("HRANDFIELD h", r"$1\r\nc\r\n"),
            ("COPY h g", r":1\r\n"),
            ("HLEN g", r":1\r\n"),
            ("HEXPIRE h 10 FIELDS 1 b", r"*1\r\n:-2\r\n"),
            ("HPERSIST h FIELDS 1 b", r"*1\r\n:-2\r\n"),
            ("HDEL h b", r":0\r\n"),
            ("HGETDEL g FIELDS 1 b", r"*1\r\n$-1\r\n"),
            ("HSETEX g FXX FIELDS 1 a 1", r":0\r\n"),
            ("HINCRBY h a 5", r":5\r\n"),
            ("HTTL h FIELDS 1 a", r"*1\r\n:-1\r\n"),
            ("HSETNX h b 5", r":1\r\n"),
            ("HPEXPIRE h 10 FIELDS 3 a b c", r"*3\r\n:1\r\n:1\r\n:1\r\n"),
        ]);
        m.advance_ms(10);
        m.expect(&[
            ("HLEN h", r":0\r\n"),
            ("HGETALL h", r"*0\r\n"),
            ("HRANDFIELD h", r"$-1\r\n"),
            ("HRANDFIELD h -3", r"*0\r\n"),
            ("HSETNX h a 6", r":1\r\n"),
            ("HGETALL h", r"*2\r\n$1\r\na\r\n$1\r\n6\r\n"),
        ]);
    }
}

#[test]
fn deadlines_go_where_their_hash_goes() {
    let mut m = Memory::new();
    for (key, ms) in [("renamed", 100), ("copied", 200), ("moved", 300), ("overwritten", 400), ("swapped", 500)] {
        m.run(&format!("HSET {key} a 1 b 2"));
        m.run(&format!("HPEXPIRE {key} {ms} FIELDS 1 a"));
    }
    m.run("RENAME renamed r");
    m.run("COPY copied c");
    m.run("MOVE moved 2");
    m.run("SET overwritten v");
    let moved_to = m.server.dbs.find(2).expect("MOVE has made it");
    assert_eq!((m.server.dbs[0].timed_collections(), m.server.dbs[moved_to].timed_collections()), (4, 1));
    m.run("SWAPDB 0 3");
    let places: [(i64, usize, &[&str]); 4] =
        [(100, 3, &["r"]), (200, 3, &["c", "copied"]), (300, 2, &["moved"]), (500, 3, &["swapped"])];
    for (ms, db, keys) in places {
        m.advance_ms((START_MS + ms - 1 - m.clock.now().unix_ms) as u64);
        m.run(&format!("SELECT {db}"));
        keys.iter().for_each(|key| m.expect(&[(&format!("HLEN {key}"), r":2\r\n")]));
        m.advance_ms(1);
        keys.iter().for_each(|key| m.expect(&[(&format!("HLEN {key}"), r":1\r\n")]));
    }
    assert_eq!(m.server.dbs.iter().map(|db| db.timed_collections()).sum::<usize>(), 0);
}

#[test]
fn keys_with_both_kinds_of_deadlines_heed_both() {
    let mut m = Memory::new();
    m.run("HSET h a 1 b 2 c 3");
    m.run("HPEXPIRE h 100 FIELDS 1 a");
    m.run("HPEXPIRE h 300 FIELDS 1 b");
    m.run("PEXPIRE h 200");
    assert_eq!((m.server.dbs[0].timed(), m.server.dbs[0].timed_collections()), (1, 1));
    m.advance_ms(100);
    m.expect(&[("HLEN h", r":2\r\n"), ("PTTL h", r":100\r\n"), ("PERSIST h", r":1\r\n")]);
    m.advance_ms(100);
    m.expect(&[("HLEN h", r":2\r\n"), ("PEXPIRE h 150", r":1\r\n")]);
    m.advance_ms(100);
    m.expect(&[("HLEN h", r":1\r\n")]);
    m.advance_ms(50);
    m.expect(&[("EXISTS h", r":0\r\n")]);
    assert_eq!((m.server.dbs[0].timed(), m.server.dbs[0].timed_collections()), (0, 0));
}

#[test]
fn a_pause_keeps_due_fields_where_they_are() {
    let (mut m, listener) = listening();
    m.run("HSET h a 1 b 2");
    m.run("HPEXPIRE h 10 FIELDS 1 a");
    m.run("CLIENT PAUSE 1000 WRITE");
    heard(&mut m, listener);
    m.advance_ms(100);
    m.expect(&[("HGET h a", r"$-1\r\n"), ("HLEN h", r":1\r\n")]);
    assert_eq!((heard(&mut m, listener).as_str(), m.server.dbs[0].stats().expired_elements), ("", 0));
    m.advance_ms(1000);
    assert_eq!(heard(&mut m, listener), "hexpired=h");
}

#[test]
fn an_expired_field_spoils_the_transaction_of_who_watches_its_hash() {
    let mut m = Memory::new();
    m.run("HSET h a 1 b 2");
    m.run("HPEXPIRE h 10 FIELDS 1 a");
    m.expect(&[("WATCH h", r"+OK\r\n"), ("MULTI", r"+OK\r\n"), ("SET x 1", r"+QUEUED\r\n")]);
    m.advance_ms(10);
    m.expect(&[("EXEC", r"*-1\r\n"), ("EXISTS x", r":0\r\n")]);
    m.expect(&[("WATCH h", r"+OK\r\n"), ("MULTI", r"+OK\r\n"), ("SET x 1", r"+QUEUED\r\n")]);
    m.advance_ms(10);
    m.expect(&[("EXEC", r"*1\r\n+OK\r\n")]);
}
