//! Members of sorted sets that expire: on time, with their events, and as if they were gone from the moment they are due. What
//! they have in common with members of sets is tested there.

use aleadb::base::clock::Clock;

use crate::hash_expiry::{heard, listening};
use crate::memory::{Memory, START_MS};

#[test]
fn every_change_has_its_events() {
    let (mut m, listener) = listening();
    let rows = [
        ("ZADD z 1 a 2 b 3 c", "new=z zadd=z"),
        ("ZEXPIRE z 10 MEMBERS 2 a b", "zexpire=z"),
        ("ZEXPIRE z 10 NX MEMBERS 2 a b", ""),
        ("ZADD z 1 a", ""),
        ("ZADD z 5 a", "zadd=z"),
        ("ZINCRBY z 1 a", "zincr=z"),
        ("ZEXPIRE z 0 MEMBERS 2 a b", "zrem=z"),
        ("ZEXPIRE z 0 MEMBERS 2 a c", "zrem=z del=z"),
        ("ZADDEX z EX 10 MEMBERS 2 1 a 2 b", "new=z zadd=z zexpire=z"),
        ("ZADDEX z EX 10 MEMBERS 2 1 a 2 b", "zexpire=z"),
        ("ZADDEX z KEEPTTL MEMBERS 2 1 a 2 b", ""),
        ("ZADDEX z KEEPTTL MEMBERS 2 1 a 3 b", "zadd=z"),
        ("ZADDEX z MEMBERS 2 1 a 3 b", "zpersist=z"),
        ("ZADDEX z MEMBERS 2 1 a 3 b", ""),
        ("ZADDEX z MNX EX 10 MEMBERS 2 1 c 3 b", ""),
        ("ZADDEX z MXX EX 10 MEMBERS 2 1 c 3 b", ""),
        ("ZADDEX z MXX EX 10 MEMBERS 2 1 a 3 b", "zexpire=z"),
        ("ZPERSIST z MEMBERS 2 a nomember", "zpersist=z"),
        ("ZPERSIST z MEMBERS 1 a", ""),
        ("ZADDEX z EXAT 1 MEMBERS 1 1 c", "zadd=z zrem=z"),
        ("ZADDEX z EXAT 1 MEMBERS 2 1 a 3 b", "zrem=z del=z"),
        ("ZADDEX z EXAT 1 MEMBERS 1 1 a", "new=z zadd=z zrem=z del=z"),
    ];
    for (line, events) in rows {
        m.run(line);
        assert_eq!(heard(&mut m, listener), events, "{line}");
    }
}

#[test]
fn members_leave_at_their_millisecond_and_the_last_takes_the_key_along() {
    let long = "a-member-that-is-much-too-long-to-be-in-any-listpack-of-a-small-sorted-set-ever";
    for words in [["1", "2", "3"], ["a", "b", "c"], ["a", "b", long]] {
        let (mut m, listener) = listening();
        let [first, second, third] = words;
        m.expect(&[
            (&format!("ZADD z 1 {first} 2 {second} 3 {third}"), r":3\r\n"),
            (&format!("ZPEXPIRE z 100 MEMBERS 1 {first}"), r"*1\r\n:1\r\n"),
            (&format!("ZPEXPIRE z 200 MEMBERS 2 {second} {third}"), r"*2\r\n:1\r\n:1\r\n"),
        ]);
        heard(&mut m, listener);
        m.advance_ms(99);
        assert_eq!(heard(&mut m, listener), "");
        m.expect(&[
            (&format!("ZPTTL z MEMBERS 2 {first} {second}"), r"*2\r\n:1\r\n:101\r\n"),
            (&format!("ZTTL z MEMBERS 2 {first} {second}"), r"*2\r\n:1\r\n:1\r\n"),
            (&format!("ZRANK z {second}"), r":1\r\n"),
            ("OBJECT ENCODING z", r"$8\r\nskiplist\r\n"),
        ]);
        m.advance_ms(1);
        assert_eq!(heard(&mut m, listener), "zexpired=z");
        m.expect(&[
            ("ZCARD z", r":2\r\n"),
            (&format!("ZRANK z {second}"), r":0\r\n"),
            (&format!("ZPTTL z MEMBERS 2 {first} {second}"), r"*2\r\n:-2\r\n:100\r\n"),
            (&format!("ZPEXPIRETIME z MEMBERS 1 {second}"), &format!(r"*1\r\n:{}\r\n", START_MS + 200)),
            (&format!("ZEXPIRETIME z MEMBERS 1 {second}"), &format!(r"*1\r\n:{}\r\n", (START_MS + 200 + 999) / 1000)),
        ]);
        let keyspace = m.run("INFO keyspace");
        assert!(keyspace.contains("keys=1,expires=0,avg_ttl=0,subexpiry=1"), "{keyspace}");
        m.advance_ms(100);
        assert_eq!(heard(&mut m, listener), "zexpired=z del=z");
        m.expect(&[("EXISTS z", r":0\r\n")]);
        let stats = m.run("INFO stats");
        assert!(stats.contains(r"expired_subkeys:3\r\n"), "{stats}");
        assert_eq!(m.server.dbs[0].timed_collections(), 0);
    }
}

/// What a due member looks like while nobody has taken it away: it is not there, and is taken away by who changes something.
#[test]
fn a_due_member_is_gone_for_everybody() {
    let (mut m, listener) = listening();
    m.server.active_expire = false;
    m.run("ZADD z 1 a 2 b 3 c 3 d");
    m.run("ZADD other 1 a 1 c 1 x");
    m.run("ZPEXPIRE z 10 MEMBERS 2 a c");
    heard(&mut m, listener);
    m.advance_ms(10);
    let rows = [
        ("ZCARD z", r":2\r\n"),
        ("ZSCORE z a", r"$-1\r\n"),
        ("ZMSCORE z a b", r"*2\r\n$-1\r\n$1\r\n2\r\n"),
        ("ZRANK z a", r"$-1\r\n"),
        ("ZRANK z b", r":0\r\n"),
        ("ZREVRANK z d", r":0\r\n"),
        ("ZREVRANK z b", r":1\r\n"),
        ("ZCOUNT z -inf +inf", r":2\r\n"),
        ("ZCOUNT z 3 3", r":1\r\n"),
        ("ZLEXCOUNT z - +", r":2\r\n"),
        ("ZRANGE z 0 -1", r"*2\r\n$1\r\nb\r\n$1\r\nd\r\n"),
        ("ZRANGE z 0 0 REV", r"*1\r\n$1\r\nd\r\n"),
        ("ZRANGE z -inf +inf BYSCORE LIMIT 1 1", r"*1\r\n$1\r\nd\r\n"),
        ("ZRANGEBYLEX z [a [c", r"*1\r\n$1\r\nb\r\n"),
        ("ZSCAN z 0", r"*2\r\n$1\r\n0\r\n*4\r\n$1\r\nb\r\n$1\r\n2\r\n$1\r\nd\r\n$1\r\n3\r\n"),
        ("ZINTER 2 z other", r"*0\r\n"),
        ("ZINTERCARD 2 z other", r":0\r\n"),
        ("ZDIFF 2 other z", r"*3\r\n$1\r\na\r\n$1\r\nc\r\n$1\r\nx\r\n"),
        ("ZUNION 2 z z", r"*2\r\n$1\r\nb\r\n$1\r\nd\r\n"),
        ("GEOPOS z a", r"*1\r\n*-1\r\n"),
        ("SORT_RO z ALPHA", r"*2\r\n$1\r\nb\r\n$1\r\nd\r\n"),
        ("ZTTL z MEMBERS 2 a b", r"*2\r\n:-2\r\n:-1\r\n"),
    ];
    m.expect(&rows);
    assert!(m.run("ZRANDMEMBER z 5").starts_with(r"*2\r\n"), "each of those that are there");
    assert_eq!((heard(&mut m, listener).as_str(), m.server.dbs[0].stats().expired_elements), ("", 0));
    m.expect(&[("ZINTERSTORE stored 2 z other", r":0\r\n")]);
    assert_eq!(heard(&mut m, listener), "zexpired=z");
    m.run("ZPEXPIRE z 10 MEMBERS 1 b");
    m.advance_ms(10);
    m.expect(&[("ZPOPMIN z", r"*2\r\n$1\r\nd\r\n$1\r\n3\r\n"), ("EXISTS z", r":0\r\n")]);
    for (line, reply) in [
        ("ZREM z b", r":0\r\n"),
        ("ZREMRANGEBYRANK z 0 -1", r":0\r\n"),
        ("ZADD z XX CH 5 b", r":0\r\n"),
        ("ZINCRBY z 5 b", r"$1\r\n5\r\n"),
        ("ZMOVE z moved MIN", r"*-1\r\n"),
        ("ZMOVEMEMBER z moved MEMBERS 1 b", r"*-1\r\n"),
        ("ZPOPMAX z", r"*0\r\n"),
        ("ZRANGESTORE moved z 0 -1", r":0\r\n"),
    ] {
        m.expect(&[("ZADDEX z PX 10 MEMBERS 1 2 b", r":1\r\n")]);
        m.advance_ms(10);
        m.expect(&[("EXISTS z", r":1\r\n"), (line, reply), ("EXISTS moved", r":0\r\n")]);
        m.run("DEL z");
    }
}

#[test]
fn deadlines_go_where_their_sorted_set_goes_and_not_where_members_go() {
    let mut m = Memory::new();
    for (key, ms) in [("renamed", 100), ("copied", 200), ("moved", 300), ("overwritten", 400), ("swapped", 500)] {
        m.run(&format!("ZADDEX {key} PX {ms} MEMBERS 1 1 a"));
        m.run(&format!("ZADD {key} 2 b"));
    }
    m.run("ZADDEX source PX 50 MEMBERS 4 1 a 2 b 3 c 4 d");
    m.expect(&[
        ("RENAME renamed r", r"+OK\r\n"),
        ("COPY copied c", r":1\r\n"),
        ("MOVE moved 2", r":1\r\n"),
        ("SET overwritten v", r"+OK\r\n"),
        ("ZMOVE source target MIN", r"*1\r\n$1\r\na\r\n"),
        ("ZMOVEMEMBER source target MEMBERS 1 d", r"*1\r\n$1\r\nd\r\n"),
        ("ZUNIONSTORE union 1 source", r":2\r\n"),
        ("ZRANGESTORE range source 0 -1", r":2\r\n"),
        ("ZTTL target MEMBERS 2 a d", r"*2\r\n:-1\r\n:-1\r\n"),
        ("ZTTL union MEMBERS 2 b c", r"*2\r\n:-1\r\n:-1\r\n"),
        ("ZTTL range MEMBERS 2 b c", r"*2\r\n:-1\r\n:-1\r\n"),
        ("ZREM source b", r":1\r\n"),
        ("ZADD source 2 b 7 c", r":1\r\n"),
        ("ZPTTL source MEMBERS 2 b c", r"*2\r\n:-1\r\n:50\r\n"),
        ("DEL source target union range", r":4\r\n"),
    ]);
    let moved_to = m.server.dbs.find(2).expect("MOVE has made it");
    assert_eq!((m.server.dbs[0].timed_collections(), m.server.dbs[moved_to].timed_collections()), (4, 1));
    m.run("SWAPDB 0 3");
    let places: [(i64, usize, &[&str]); 4] =
        [(100, 3, &["r"]), (200, 3, &["c", "copied"]), (300, 2, &["moved"]), (500, 3, &["swapped"])];
    for (ms, db, keys) in places {
        m.advance_ms((START_MS + ms - 1 - m.clock.now().unix_ms) as u64);
        m.run(&format!("SELECT {db}"));
        keys.iter().for_each(|key| m.expect(&[(&format!("ZCARD {key}"), r":2\r\n")]));
        m.advance_ms(1);
        keys.iter().for_each(|key| m.expect(&[(&format!("ZCARD {key}"), r":1\r\n")]));
    }
    assert_eq!(m.server.dbs.iter().map(|db| db.timed_collections()).sum::<usize>(), 0);
}

#[test]
fn what_is_asked_wrongly_is_refused_and_changes_nothing() {
    let mut m = Memory::new();
    m.run("ZADD z 1 a 2 b");
    m.run("SET string v");
    m.expect(&[
        ("ZADDEX z EX 10 MEMBERS 2 1 c", r"-ERR wrong number of arguments\r\n"),
        ("ZADDEX z EX 10 MEMBERS 2 1 c 2", r"-ERR wrong number of arguments\r\n"),
        ("ZADDEX z EX 10 MEMBERS 1 1 c 2 d", r"-ERR unknown argument: 2\r\n"),
        ("ZADDEX z EX 10 MEMBERS 2 1 c x d", r"-ERR value is not a valid float\r\n"),
        ("ZADDEX z EX 10 MEMBERS 1 nan c", r"-ERR value is not a valid float\r\n"),
        ("ZADDEX z EX 10 MEMBERS 0 1 c", r"-ERR invalid number of members\r\n"),
        ("ZADDEX none MXX MEMBERS 1 x c", r"-ERR value is not a valid float\r\n"),
        (
            "ZADDEX string EX 10 MEMBERS 1 1 a",
            r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        ),
        ("ZCARD z", r":2\r\n"),
        ("OBJECT ENCODING z", r"$8\r\nlistpack\r\n"),
        ("EXISTS none", r":0\r\n"),
    ]);
}

/// Who waits for a member is not given one that is due, and who watches a query hears of each that leaves.
#[test]
fn waiting_and_watching_clients_go_by_the_members_that_are_there() {
    let mut m = Memory::new();
    m.run("ZADDEX z PX 10 MEMBERS 2 1 a 2 b");
    m.run("ZADD z 3 c");
    let watcher = m.connect();
    let shown = m.run("ZRANGE.WATCH z 0 -1");
    assert!(shown.contains(r"$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n"), "{shown}");
    m.advance_ms(10);
    let sent = m.take_sent(watcher);
    assert!(sent.ends_with(r"*1\r\n$1\r\nc\r\n"), "{sent}");
    m.server.active_expire = false;
    m.connect();
    m.run("ZPEXPIRE z 10 MEMBERS 1 c");
    m.advance_ms(10);
    assert_eq!(m.run("BZPOPMIN z 0"), "", "what is due is no member");
    let waiting = m.client;
    m.connect();
    m.run("ZADD z 5 d");
    m.advance_ms(0);
    assert_eq!(m.take_sent(waiting), r"*3\r\n$1\r\nz\r\n$1\r\nd\r\n$1\r\n5\r\n");
}
