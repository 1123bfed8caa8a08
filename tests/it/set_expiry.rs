//! Members of sets that expire: on time, with their events, and as if they were gone from the moment they are due.

use aleadb::base::clock::Clock;

use crate::hash_expiry::{heard, listening};
use crate::memory::{Memory, START_MS};

#[test]
fn every_change_has_its_events() {
    let (mut m, listener) = listening();
    let rows = [
        ("SADD s a b c", "new=s sadd=s"),
        ("SEXPIRE s 10 MEMBERS 2 a b", "sexpire=s"),
        ("SEXPIRE s 10 NX MEMBERS 2 a b", ""),
        ("SADD s a", ""),
        ("SEXPIRE s 0 MEMBERS 2 a b", "srem=s"),
        ("SEXPIRE s 0 MEMBERS 2 a c", "srem=s del=s"),
        ("SADDEX s EX 10 MEMBERS 2 a b", "new=s sadd=s sexpire=s"),
        ("SADDEX s EX 10 MEMBERS 2 a b", "sexpire=s"),
        ("SADDEX s KEEPTTL MEMBERS 2 a b", ""),
        ("SADDEX s MEMBERS 2 a b", "spersist=s"),
        ("SADDEX s MEMBERS 2 a b", ""),
        ("SADDEX s MNX EX 10 MEMBERS 2 c b", ""),
        ("SADDEX s MXX EX 10 MEMBERS 2 c b", ""),
        ("SADDEX s MXX EX 10 MEMBERS 2 a b", "sexpire=s"),
        ("SPERSIST s MEMBERS 2 a nomember", "spersist=s"),
        ("SPERSIST s MEMBERS 1 a", ""),
        ("SADDEX s EXAT 1 MEMBERS 1 c", "sadd=s srem=s"),
        ("SADDEX s EXAT 1 MEMBERS 2 a b", "srem=s del=s"),
        ("SADDEX s EXAT 1 MEMBERS 1 a", "new=s sadd=s srem=s del=s"),
    ];
    for (line, events) in rows {
        m.run(line);
        assert_eq!(heard(&mut m, listener), events, "{line}");
    }
}

#[test]
fn members_leave_at_their_millisecond_and_the_last_takes_the_key_along() {
    for members in ["1 2 3", "a b c", "a b c a-member-that-is-much-too-long-to-be-in-any-listpack-of-a-small-set-here"]
    {
        let (mut m, listener) = listening();
        m.run(&format!("SADD s {members}"));
        let words: Vec<&str> = members.split(' ').collect();
        let named = |members: &[&str]| format!("MEMBERS {} {}", members.len(), members.join(" "));
        m.expect(&[
            (&format!("SPEXPIRE s 100 {}", named(&words[..1])), r"*1\r\n:1\r\n"),
            (&format!("SPEXPIRE s 200 {}", named(&words[1..2])), r"*1\r\n:1\r\n"),
        ]);
        m.run(&format!("SPEXPIRE s 200 {}", named(&words[2..])));
        heard(&mut m, listener);
        m.advance_ms(99);
        assert_eq!(heard(&mut m, listener), "");
        m.expect(&[
            (&format!("SPTTL s {}", named(&words[..2])), r"*2\r\n:1\r\n:101\r\n"),
            (&format!("STTL s {}", named(&words[..2])), r"*2\r\n:1\r\n:1\r\n"),
            ("SCARD s", &format!(r":{}\r\n", words.len())),
            ("OBJECT ENCODING s", r"$9\r\nhashtable\r\n"),
        ]);
        m.advance_ms(1);
        assert_eq!(heard(&mut m, listener), "sexpired=s");
        m.expect(&[
            ("SCARD s", &format!(r":{}\r\n", words.len() - 1)),
            (&format!("SPTTL s {}", named(&words[..2])), r"*2\r\n:-2\r\n:100\r\n"),
            (&format!("SPEXPIRETIME s {}", named(&words[1..2])), &format!(r"*1\r\n:{}\r\n", START_MS + 200)),
        ]);
        let keyspace = m.run("INFO keyspace");
        assert!(keyspace.contains("keys=1,expires=0,avg_ttl=0,subexpiry=1"), "{keyspace}");
        m.advance_ms(100);
        assert_eq!(heard(&mut m, listener), "sexpired=s del=s");
        m.expect(&[("EXISTS s", r":0\r\n"), ("SCARD s", r":0\r\n")]);
        let stats = m.run("INFO stats");
        assert!(stats.contains(&format!(r"expired_subkeys:{}\r\n", words.len())), "{stats}");
        assert_eq!(m.server.dbs[0].timed_collections(), 0);
    }
}

/// What a due member looks like while nobody has taken it away: it is not there, and is taken away by who changes something.
#[test]
fn a_due_member_is_gone_for_everybody() {
    let (mut m, listener) = listening();
    m.server.active_expire = false;
    m.run("SADD s a b c");
    m.run("SADD t a b x");
    m.run("SPEXPIRE s 10 MEMBERS 2 a b");
    heard(&mut m, listener);
    m.advance_ms(10);
    m.expect(&[
        ("SISMEMBER s a", r":0\r\n"),
        ("SMISMEMBER s a c", r"*2\r\n:0\r\n:1\r\n"),
        ("SCARD s", r":1\r\n"),
        ("SMEMBERS s", r"*1\r\n$1\r\nc\r\n"),
        ("SSCAN s 0", r"*2\r\n$1\r\n0\r\n*1\r\n$1\r\nc\r\n"),
        ("SRANDMEMBER s", r"$1\r\nc\r\n"),
        ("SRANDMEMBER s 5", r"*1\r\n$1\r\nc\r\n"),
        ("SRANDMEMBER s -2", r"*2\r\n$1\r\nc\r\n$1\r\nc\r\n"),
        ("SINTER s t", r"*0\r\n"),
        ("SINTERCARD 2 s t", r":0\r\n"),
        ("SUNIONCARD 2 s t", r":4\r\n"),
        ("SDIFF s t", r"*1\r\n$1\r\nc\r\n"),
        ("SORT_RO s ALPHA", r"*1\r\n$1\r\nc\r\n"),
        ("STTL s MEMBERS 2 a c", r"*2\r\n:-2\r\n:-1\r\n"),
    ]);
    assert_eq!((heard(&mut m, listener).as_str(), m.server.dbs[0].stats().expired_elements), ("", 0));
    m.expect(&[("SINTERSTORE d s t", r":0\r\n")]);
    assert_eq!(heard(&mut m, listener), "sexpired=s");
    m.run("SPEXPIRE s 10 MEMBERS 1 c");
    m.advance_ms(10);
    m.expect(&[
        ("SREM s c", r":0\r\n"),
        ("EXISTS s", r":0\r\n"),
        ("SADD s c", r":1\r\n"),
        ("STTL s MEMBERS 1 c", r"*1\r\n:-1\r\n"),
        ("SPOP s", r"$1\r\nc\r\n"),
    ]);
}

#[test]
fn deadlines_go_where_their_set_goes_and_not_where_members_go() {
    let mut m = Memory::new();
    for (key, ms) in [("renamed", 100), ("copied", 200), ("moved", 300), ("overwritten", 400), ("swapped", 500)] {
        m.run(&format!("SADDEX {key} PX {ms} MEMBERS 1 a"));
        m.run(&format!("SADD {key} b"));
    }
    m.run("SADDEX source PX 50 MEMBERS 3 a b c");
    m.expect(&[
        ("RENAME renamed r", r"+OK\r\n"),
        ("COPY copied c", r":1\r\n"),
        ("MOVE moved 2", r":1\r\n"),
        ("SET overwritten v", r"+OK\r\n"),
        ("SMOVE source target a", r":1\r\n"),
        ("SUNIONSTORE union source", r":2\r\n"),
        ("STTL target MEMBERS 1 a", r"*1\r\n:-1\r\n"),
        ("STTL union MEMBERS 2 b c", r"*2\r\n:-1\r\n:-1\r\n"),
        ("SREM source b", r":1\r\n"),
        ("SADD source b", r":1\r\n"),
        ("SPTTL source MEMBERS 2 b c", r"*2\r\n:-1\r\n:50\r\n"),
        ("DEL source target union", r":3\r\n"),
    ]);
    let moved_to = m.server.dbs.find(2).expect("MOVE has made it");
    assert_eq!((m.server.dbs[0].timed_collections(), m.server.dbs[moved_to].timed_collections()), (4, 1));
    m.run("SWAPDB 0 3");
    let places: [(i64, usize, &[&str]); 4] =
        [(100, 3, &["r"]), (200, 3, &["c", "copied"]), (300, 2, &["moved"]), (500, 3, &["swapped"])];
    for (ms, db, keys) in places {
        m.advance_ms((START_MS + ms - 1 - m.clock.now().unix_ms) as u64);
        m.run(&format!("SELECT {db}"));
        keys.iter().for_each(|key| m.expect(&[(&format!("SCARD {key}"), r":2\r\n")]));
        m.advance_ms(1);
        keys.iter().for_each(|key| m.expect(&[(&format!("SCARD {key}"), r":1\r\n")]));
    }
    assert_eq!(m.server.dbs.iter().map(|db| db.timed_collections()).sum::<usize>(), 0);
}

#[test]
fn a_pause_keeps_due_members_where_they_are() {
    let (mut m, listener) = listening();
    m.run("SADD s a b");
    m.run("SPEXPIRE s 10 MEMBERS 1 a");
    m.run("CLIENT PAUSE 1000 WRITE");
    heard(&mut m, listener);
    m.advance_ms(100);
    m.expect(&[("SISMEMBER s a", r":0\r\n"), ("SCARD s", r":1\r\n")]);
    assert_eq!((heard(&mut m, listener).as_str(), m.server.dbs[0].stats().expired_elements), ("", 0));
    m.advance_ms(1000);
    assert_eq!(heard(&mut m, listener), "sexpired=s");
}

/// On a replica members leave when the primary says so, and are not there before to who reads.
#[test]
fn a_replica_shows_no_due_member_and_takes_none_away() {
    let mut m = Memory::new();
    m.run("SADDEX s PX 10 MEMBERS 1 a");
    m.run("SADD s b");
    m.expect(&[("REPLICAOF 10.0.0.2 6379", r"+OK\r\n")]);
    m.advance_ms(20);
    m.expect(&[("SCARD s", r":1\r\n"), ("SISMEMBER s a", r":0\r\n"), ("SMEMBERS s", r"*1\r\n$1\r\nb\r\n")]);
    assert_eq!(m.server.dbs[0].stats().expired_elements, 0);
    m.expect(&[("REPLICAOF NO ONE", r"+OK\r\n")]);
    m.advance_ms(0);
    assert_eq!(m.server.dbs[0].stats().expired_elements, 1);
}

/// So many members are due at once that they do not leave in one turn: who would use the set waits, others do not.
#[test]
fn who_uses_a_set_waits_until_all_that_is_due_has_left() {
    let mut m = Memory::new();
    for start in (0..20_000).step_by(500) {
        let members: Vec<String> = (start..start + 500).map(|n| format!("member:{n}")).collect();
        m.run(&format!("SADDEX s PX 50 MEMBERS 500 {}", members.join(" ")));
    }
    m.run("SADD s stays");
    m.limit_expiry(100);
    m.clock.advance_ms(50);
    m.cron_once(m.clock.now());
    let left = m.server.dbs[0].stats().expired_elements;
    assert!((1..10_000).contains(&left), "{left}");
    let lines = [("SCARD s", r":1\r\n"), ("SADD s member:19999", r":1\r\n"), ("SUNIONSTORE d s", r":2\r\n")];
    let waiting = lines.map(|(line, _)| {
        m.connect();
        assert_eq!(m.run(line), "", "{line} is held back");
        m.client
    });
    m.connect();
    m.expect(&[("SET other 1", r"+OK\r\n")]);
    let mut turns = 0;
    while m.server.jobs.may_hold_readers() {
        assert_eq!(m.wake(), [], "nobody goes on before");
        m.cron_once(m.clock.now());
        turns += 1;
    }
    assert!(turns > 10 && m.server.dbs[0].stats().expired_elements == 20_000, "{turns}");
    assert_eq!(m.wake(), waiting.map(|client| (client, String::new())));
    for (client, (line, reply)) in waiting.into_iter().zip(lines) {
        m.client = client;
        m.expect(&[(line, reply)]);
    }
    m.expect(&[("STTL s MEMBERS 1 member:19999", r"*1\r\n:-1\r\n")]);
}
