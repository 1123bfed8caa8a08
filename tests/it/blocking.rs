//! Clients that wait for keys, several at once. Every byte that anybody is sent is what Redis 8.2.3 sends.

use crate::memory::Memory;

/// A line, what its sender is sent at once, and what the others are sent by the time it is over.
type Row<'a> = (&'a str, &'a str, &'a [(usize, &'a str)]);

/// Plays lines of clients: the number of the client, then its command, where `#2` is the id of client 2. `PASS 50` lets as
/// many milliseconds pass, `GONE 2` disconnects a client that was killed. A reply `*` is not looked at.
fn play(rows: &[Row<'_>]) {
    let mut m = Memory::new();
    let clients = [m.client, m.connect(), m.connect(), m.connect()];
    assert_eq!(clients, [0, 1, 2, 3], "ids are one more than these");
    for (line, reply, others) in rows {
        let (who, command) = line.split_once(' ').expect("two words");
        let mut own = String::new();
        match who {
            "PASS" => {
                m.clock.advance_ms(command.parse().expect("milliseconds"));
            }
            "GONE" => m.leave(command.parse().expect("a client")),
            who => {
                m.client = who.parse().expect("a client");
                assert!(!m.is_waiting(), "{line}: a client that waits sends nothing");
                let command = clients.iter().fold(command.to_owned(), |command, client| {
                    command.replace(&format!("#{client}"), &(client + 1).to_string())
                });
                own = m.run(&command);
            }
        }
        if *reply != "*" {
            assert_eq!(own, *reply, "{line}");
        }
        let mut sent = m.wake();
        m.advance_ms(0);
        for client in clients {
            let bytes = if m.is_connected(client) { m.take_sent(client) } else { String::new() };
            if !bytes.is_empty() {
                sent.push((client, bytes));
            }
        }
        sent.sort();
        let others: Vec<(usize, String)> =
            others.iter().map(|(client, bytes)| (*client, (*bytes).to_owned())).collect();
        assert_eq!(sent, others, "{line}");
    }
}

#[test]
fn the_one_that_waits_longest_is_served_first() {
    play(&[
        (r"2 BLPOP k 0", r"", &[]),
        (r"0 BRPOP k 0", r"", &[]),
        (r"1 BLPOP k 0", r"", &[]),
        (r"3 RPUSH k a", r":1\r\n", &[(2, r"*2\r\n$1\r\nk\r\n$1\r\na\r\n")]),
        (r"3 EXISTS k", r":0\r\n", &[]),
        (r"3 RPUSH k b c d", r":3\r\n", &[(0, r"*2\r\n$1\r\nk\r\n$1\r\nd\r\n"), (1, r"*2\r\n$1\r\nk\r\n$1\r\nb\r\n")]),
        (r"3 LRANGE k 0 -1", r"*1\r\n$1\r\nc\r\n", &[]),
        (r"0 BLPOP k 0", r"*2\r\n$1\r\nk\r\n$1\r\nc\r\n", &[]),
        (r"3 RPUSH k e", r":1\r\n", &[]),
    ]);
}

#[test]
fn several_keys_and_the_same_key_twice() {
    play(&[
        (r"0 BLPOP a b a c 0", r"", &[]),
        (r"1 BLPOP c b c 0", r"", &[]),
        (r"3 RPUSH b 1 2 3", r":3\r\n", &[(0, r"*2\r\n$1\r\nb\r\n$1\r\n1\r\n"), (1, r"*2\r\n$1\r\nb\r\n$1\r\n2\r\n")]),
        (r"3 LRANGE b 0 -1", r"*1\r\n$1\r\n3\r\n", &[]),
        (r"0 BRPOP b a 0", r"*2\r\n$1\r\nb\r\n$1\r\n3\r\n", &[]),
        (r"1 BLPOP x x 0", r"", &[]),
        (r"2 BLPOP x 0", r"", &[]),
        (r"3 MULTI", r"+OK\r\n", &[]),
        (r"3 RPUSH x 1", r"+QUEUED\r\n", &[]),
        (r"3 DEL x", r"+QUEUED\r\n", &[]),
        (r"3 RPUSH x 2", r"+QUEUED\r\n", &[]),
        (r"3 RPUSH x 3", r"+QUEUED\r\n", &[]),
        (
            r"3 EXEC",
            r"*4\r\n:1\r\n:1\r\n:1\r\n:2\r\n",
            &[(1, r"*2\r\n$1\r\nx\r\n$1\r\n2\r\n"), (2, r"*2\r\n$1\r\nx\r\n$1\r\n3\r\n")],
        ),
        (r"3 EXISTS x", r":0\r\n", &[]),
        (r"0 BLPOP q p 0", r"", &[]),
        (r"3 MULTI", r"+OK\r\n", &[]),
        (r"3 RPUSH p 1", r"+QUEUED\r\n", &[]),
        (r"3 RPUSH q 2", r"+QUEUED\r\n", &[]),
        (r"3 EXEC", r"*2\r\n:1\r\n:1\r\n", &[(0, r"*2\r\n$1\r\nq\r\n$1\r\n2\r\n")]),
        (r"3 LRANGE p 0 -1", r"*1\r\n$1\r\n1\r\n", &[]),
    ]);
}

#[test]
fn elements_are_passed_on() {
    play(&[
        (r"0 BLMOVE src dst LEFT RIGHT 0", r"", &[]),
        (r"1 BRPOPLPUSH dst last 0", r"", &[]),
        (r"2 BLPOP last 0", r"", &[]),
        (
            r"3 RPUSH src a b",
            r":2\r\n",
            &[(0, r"$1\r\na\r\n"), (1, r"$1\r\na\r\n"), (2, r"*2\r\n$4\r\nlast\r\n$1\r\na\r\n")],
        ),
        (r"3 LRANGE src 0 -1", r"*1\r\n$1\r\nb\r\n", &[]),
        (r"3 EXISTS dst last", r":0\r\n", &[]),
        (r"0 BRPOPLPUSH k k 0", r"", &[]),
        (r"1 BLMPOP 0 2 j k RIGHT COUNT 2", r"", &[]),
        (r"3 RPUSH k a b c", r":3\r\n", &[(0, r"$1\r\nc\r\n"), (1, r"*2\r\n$1\r\nk\r\n*2\r\n$1\r\nb\r\n$1\r\na\r\n")]),
        (r"3 LRANGE k 0 -1", r"*1\r\n$1\r\nc\r\n", &[]),
        (r"0 BLMOVE ring ring LEFT RIGHT 0", r"", &[]),
        (r"1 BLMPOP 0 1 ring LEFT COUNT 10", r"", &[]),
        (r"2 BLMPOP 0 1 ring LEFT", r"", &[]),
        (
            r"3 LPUSH ring a b c",
            r":3\r\n",
            &[(0, r"$1\r\nc\r\n"), (1, r"*2\r\n$4\r\nring\r\n*3\r\n$1\r\nb\r\n$1\r\na\r\n$1\r\nc\r\n")],
        ),
        (r"3 RPUSH ring z", r":1\r\n", &[(2, r"*2\r\n$4\r\nring\r\n*1\r\n$1\r\nz\r\n")]),
    ]);
}

#[test]
fn a_destination_of_another_type_loses_nothing() {
    play(&[
        (r"3 SET str x", r"+OK\r\n", &[]),
        (r"0 BLMOVE src str LEFT LEFT 0", r"", &[]),
        (r"1 BRPOPLPUSH src str 0", r"", &[]),
        (r"2 BLPOP src 0", r"", &[]),
        (
            r"3 RPUSH src a b",
            r":2\r\n",
            &[
                (0, r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
                (1, r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
                (2, r"*2\r\n$3\r\nsrc\r\n$1\r\na\r\n"),
            ],
        ),
        (r"3 LRANGE src 0 -1", r"*1\r\n$1\r\nb\r\n", &[]),
        (r"3 GET str", r"$1\r\nx\r\n", &[]),
    ]);
}

#[test]
fn members_are_waited_for() {
    play(&[
        (r"0 BZPOPMIN z 0", r"", &[]),
        (r"1 BZPOPMAX y z 0", r"", &[]),
        (r"2 BZMPOP 0 2 y z MIN COUNT 2", r"", &[]),
        (
            r"3 ZADD z 1 a 2 b 3.5 c 4 d 5 e",
            r":5\r\n",
            &[
                (0, r"*3\r\n$1\r\nz\r\n$1\r\na\r\n$1\r\n1\r\n"),
                (1, r"*3\r\n$1\r\nz\r\n$1\r\ne\r\n$1\r\n5\r\n"),
                (2, r"*2\r\n$1\r\nz\r\n*2\r\n*2\r\n$1\r\nb\r\n$1\r\n2\r\n*2\r\n$1\r\nc\r\n$3\r\n3.5\r\n"),
            ],
        ),
        (r"3 ZRANGE z 0 -1", r"*1\r\n$1\r\nd\r\n", &[]),
        (r"0 HELLO 3 SETNAME x", r"*", &[]),
        (r"0 BZPOPMIN n 0", r"", &[]),
        (r"1 BZMPOP 0 1 n MAX", r"", &[]),
        (r"3 ZINCRBY n 2.5 m", r"$3\r\n2.5\r\n", &[(0, r"*3\r\n$1\r\nn\r\n$1\r\nm\r\n,2.5\r\n")]),
        (r"3 ZADD n 7 m", r":1\r\n", &[(1, r"*2\r\n$1\r\nn\r\n*1\r\n*2\r\n$1\r\nm\r\n$1\r\n7\r\n")]),
        (r"0 BZPOPMAX u 0", r"", &[]),
        (r"1 BZPOPMIN u 0", r"", &[]),
        (r"3 ZUNIONSTORE u 2 n z", r":1\r\n", &[(0, r"*3\r\n$1\r\nu\r\n$1\r\nd\r\n,4\r\n")]),
        (r"3 ZUNIONSTORE u 1 z", r":1\r\n", &[(1, r"*3\r\n$1\r\nu\r\n$1\r\nd\r\n$1\r\n4\r\n")]),
        (r"3 ZRANGESTORE u z 0 -1", r":1\r\n", &[]),
    ]);
}

#[test]
fn waits_end_at_their_time() {
    play(&[
        (r"0 BLPOP k 0.5", r"", &[]),
        (r"1 BLMOVE k j LEFT LEFT 0.5", r"", &[]),
        (r"2 BZPOPMIN k 1000", r"", &[]),
        (r"PASS 499", r"", &[]),
        (r"PASS 1", r"", &[(0, r"*-1\r\n"), (1, r"*-1\r\n")]),
        (r"0 BRPOPLPUSH k j 0.5", r"", &[]),
        (r"1 BLMPOP 0.5 1 k LEFT", r"", &[]),
        (r"PASS 500", r"", &[(0, r"*-1\r\n"), (1, r"*-1\r\n")]),
        (r"0 BZMPOP 0.5 1 k MIN", r"", &[]),
        (r"1 XREAD BLOCK 500 STREAMS k $", r"", &[]),
        (r"PASS 500", r"", &[(0, r"*-1\r\n"), (1, r"*-1\r\n")]),
        (r"0 HELLO 3 SETNAME x", r"*", &[]),
        (r"0 BLPOP k 0.5", r"", &[]),
        (r"PASS 500", r"", &[(0, r"_\r\n")]),
        (r"0 BLMOVE k j LEFT LEFT 0.5", r"", &[]),
        (r"PASS 500", r"", &[(0, r"_\r\n")]),
        (r"0 XREAD BLOCK 500 STREAMS k $", r"", &[]),
        (r"PASS 500", r"", &[(0, r"_\r\n")]),
        (r"3 RPUSH k a", r":1\r\n", &[]),
        (r"3 EXISTS k", r":1\r\n", &[]),
    ]);
}

#[test]
fn a_wait_is_ended_by_another_client() {
    play(&[
        (r"0 BLPOP k 0", r"", &[]),
        (r"1 BLMOVE k j LEFT LEFT 0", r"", &[]),
        (r"2 XREAD BLOCK 0 STREAMS s $", r"", &[]),
        (r"3 CLIENT UNBLOCK #0", r":1\r\n", &[(0, r"*-1\r\n")]),
        (r"3 CLIENT UNBLOCK #1 TIMEOUT", r":1\r\n", &[(1, r"*-1\r\n")]),
        (r"3 CLIENT UNBLOCK #2 ERROR", r":1\r\n", &[(2, r"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n")]),
        (r"3 CLIENT UNBLOCK #0", r":0\r\n", &[]),
        (r"3 RPUSH k a", r":1\r\n", &[]),
        (r"3 LRANGE k 0 -1", r"*1\r\n$1\r\na\r\n", &[]),
        (r"3 DEL k", r":1\r\n", &[]),
        (r"0 BZPOPMAX k 0", r"", &[]),
        (r"1 BLPOP k 0", r"", &[]),
        (r"3 CLIENT UNBLOCK #1 ERROR", r":1\r\n", &[(1, r"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n")]),
        (r"3 CLIENT UNBLOCK #1 ERROR", r":0\r\n", &[]),
        (r"3 CLIENT UNBLOCK #0 TIMEOUT", r":1\r\n", &[(0, r"*-1\r\n")]),
        (r"3 CLIENT UNBLOCK #0 LATER", r"-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n", &[]),
        (r"3 CLIENT UNBLOCK 999999", r":0\r\n", &[]),
    ]);
}

#[test]
fn nothing_is_popped_for_a_client_that_is_killed() {
    play(&[
        (r"0 BLPOP k 0", r"", &[]),
        (r"1 BLMOVE k j LEFT LEFT 0", r"", &[]),
        (r"2 BLPOP k 0", r"", &[]),
        (r"3 CLIENT KILL ID #0", r":1\r\n", &[]),
        (r"3 MULTI", r"+OK\r\n", &[]),
        (r"3 CLIENT KILL ID #1", r"+QUEUED\r\n", &[]),
        (r"3 RPUSH k a b", r"+QUEUED\r\n", &[]),
        (r"3 EXEC", r"*2\r\n:1\r\n:2\r\n", &[(2, r"*2\r\n$1\r\nk\r\n$1\r\na\r\n")]),
        (r"GONE 0", r"", &[]),
        (r"GONE 1", r"", &[]),
        (r"3 LRANGE k 0 -1", r"*1\r\n$1\r\nb\r\n", &[]),
        (r"3 EXISTS j", r":0\r\n", &[]),
    ]);
}

#[test]
fn a_pause_of_writes_holds_served_clients_back() {
    play(&[
        (r"0 BLPOP k 0", r"", &[]),
        (r"1 BLPOP j 0", r"", &[]),
        (r"3 MULTI", r"+OK\r\n", &[]),
        (r"3 RPUSH k a b", r"+QUEUED\r\n", &[]),
        (r"3 RPUSH j c", r"+QUEUED\r\n", &[]),
        (r"3 CLIENT PAUSE 1000 WRITE", r"+QUEUED\r\n", &[]),
        (r"3 EXEC", r"*3\r\n:2\r\n:1\r\n+OK\r\n", &[]),
        (r"3 LRANGE k 0 -1", r"*2\r\n$1\r\na\r\n$1\r\nb\r\n", &[]),
        (r"PASS 1000", r"", &[(0, r"*2\r\n$1\r\nk\r\n$1\r\na\r\n"), (1, r"*2\r\n$1\r\nj\r\n$1\r\nc\r\n")]),
        (r"3 LRANGE k 0 -1", r"*1\r\n$1\r\nb\r\n", &[]),
        (r"0 BLPOP m 0", r"", &[]),
        (r"3 MULTI", r"+OK\r\n", &[]),
        (r"3 RPUSH m a", r"+QUEUED\r\n", &[]),
        (r"3 CLIENT PAUSE 100000 WRITE", r"+QUEUED\r\n", &[]),
        (r"3 EXEC", r"*2\r\n:1\r\n+OK\r\n", &[]),
        (r"3 LRANGE m 0 -1", r"*1\r\n$1\r\na\r\n", &[]),
        (r"3 CLIENT UNPAUSE", r"+OK\r\n", &[(0, r"*2\r\n$1\r\nm\r\n$1\r\na\r\n")]),
        (r"3 EXISTS m", r":0\r\n", &[]),
    ]);
}

#[test]
fn nobody_waits_inside_a_transaction() {
    play(&[
        (r"0 MULTI", r"+OK\r\n", &[]),
        (r"0 BLPOP k 0", r"+QUEUED\r\n", &[]),
        (r"0 BRPOP k j 0", r"+QUEUED\r\n", &[]),
        (r"0 BLMOVE k j LEFT LEFT 0", r"+QUEUED\r\n", &[]),
        (r"0 BRPOPLPUSH k j 0", r"+QUEUED\r\n", &[]),
        (r"0 BLMPOP 0 1 k LEFT", r"+QUEUED\r\n", &[]),
        (r"0 BZPOPMIN k 0", r"+QUEUED\r\n", &[]),
        (r"0 BZPOPMAX k 0", r"+QUEUED\r\n", &[]),
        (r"0 BZMPOP 0 1 k MIN", r"+QUEUED\r\n", &[]),
        (r"0 XREAD BLOCK 0 STREAMS k $", r"+QUEUED\r\n", &[]),
        (r"0 RPUSH k a", r"+QUEUED\r\n", &[]),
        (r"0 BLPOP k 0", r"+QUEUED\r\n", &[]),
        (
            r"0 EXEC",
            r"*11\r\n*-1\r\n*-1\r\n$-1\r\n$-1\r\n*-1\r\n*-1\r\n*-1\r\n*-1\r\n*-1\r\n:1\r\n*2\r\n$1\r\nk\r\n$1\r\na\r\n",
            &[],
        ),
        (r"1 HELLO 3 SETNAME x", r"*", &[]),
        (r"1 MULTI", r"+OK\r\n", &[]),
        (r"1 BLPOP k 0", r"+QUEUED\r\n", &[]),
        (r"1 BLMOVE k j LEFT LEFT 0", r"+QUEUED\r\n", &[]),
        (r"1 XREAD BLOCK 0 STREAMS k $", r"+QUEUED\r\n", &[]),
        (r"1 EXEC", r"*3\r\n_\r\n_\r\n_\r\n", &[]),
    ]);
}

#[test]
fn clients_are_served_once_a_transaction_is_over() {
    play(&[
        (r"0 BLPOP a 0", r"", &[]),
        (r"1 BLPOP b a 0", r"", &[]),
        (r"2 BLPOP gone 0", r"", &[]),
        (r"3 MULTI", r"+OK\r\n", &[]),
        (r"3 RPUSH a 1", r"+QUEUED\r\n", &[]),
        (r"3 RPUSH b 2", r"+QUEUED\r\n", &[]),
        (r"3 RPUSH gone 3", r"+QUEUED\r\n", &[]),
        (r"3 LLEN a", r"+QUEUED\r\n", &[]),
        (r"3 DEL gone", r"+QUEUED\r\n", &[]),
        (
            r"3 EXEC",
            r"*5\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n",
            &[(0, r"*2\r\n$1\r\na\r\n$1\r\n1\r\n"), (1, r"*2\r\n$1\r\nb\r\n$1\r\n2\r\n")],
        ),
        (r"3 EXISTS a b gone", r":0\r\n", &[]),
        (r"0 WATCH k", r"+OK\r\n", &[]),
        (r"0 MULTI", r"+OK\r\n", &[]),
        (r"0 GET x", r"+QUEUED\r\n", &[]),
        (r"1 BLPOP k 0", r"", &[]),
        (r"3 RPUSH k a", r":1\r\n", &[(1, r"*2\r\n$1\r\nk\r\n$1\r\na\r\n")]),
        (r"0 EXEC", r"*-1\r\n", &[]),
    ]);
}

#[test]
fn keys_become_ready_by_coming_from_elsewhere() {
    play(&[
        (r"3 RPUSH from a b", r":2\r\n", &[]),
        (r"0 BLPOP to 0", r"", &[]),
        (r"3 RENAME from to", r"+OK\r\n", &[(0, r"*2\r\n$2\r\nto\r\n$1\r\na\r\n")]),
        (r"3 LRANGE to 0 -1", r"*1\r\n$1\r\nb\r\n", &[]),
        (r"0 BLPOP too 0", r"", &[]),
        (r"3 COPY to too", r":1\r\n", &[(0, r"*2\r\n$3\r\ntoo\r\n$1\r\nb\r\n")]),
        (r"3 LRANGE to 0 -1", r"*1\r\n$1\r\nb\r\n", &[]),
        (r"3 DEL too", r":0\r\n", &[]),
        (r"0 BLPOP to3 0", r"", &[]),
        (r"3 RENAMENX to to3", r":1\r\n", &[(0, r"*2\r\n$3\r\nto3\r\n$1\r\nb\r\n")]),
        (r"3 SELECT 1", r"+OK\r\n", &[]),
        (r"3 RPUSH k x y", r":2\r\n", &[]),
        (r"0 BLPOP k 0", r"", &[]),
        (r"3 MOVE k 0", r":1\r\n", &[(0, r"*2\r\n$1\r\nk\r\n$1\r\nx\r\n")]),
        (r"3 ZADD z 1 m", r":1\r\n", &[]),
        (r"0 BLPOP z other 0", r"", &[]),
        (r"1 BZPOPMIN z 0", r"", &[]),
        (r"3 COPY z z DB 0", r":1\r\n", &[(1, r"*3\r\n$1\r\nz\r\n$1\r\nm\r\n$1\r\n1\r\n")]),
        (r"3 RPUSH other v", r":1\r\n", &[]),
        (
            r"3 SWAPDB 0 1",
            r"+OK\r\n",
            &[(0, r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n")],
        ),
        (r"3 DBSIZE", r":1\r\n", &[]),
    ]);
}

#[test]
fn a_key_of_another_type_serves_nobody() {
    play(&[
        (r"0 BLPOP k 0", r"", &[]),
        (r"1 BZPOPMIN k 0", r"", &[]),
        (r"3 SET k x", r"+OK\r\n", &[]),
        (r"3 DEL k", r":1\r\n", &[]),
        (r"3 ZADD k 1 m", r":1\r\n", &[(1, r"*3\r\n$1\r\nk\r\n$1\r\nm\r\n$1\r\n1\r\n")]),
        (r"3 EXISTS k", r":0\r\n", &[]),
        (r"1 BZPOPMIN k 0", r"", &[]),
        (r"3 SADD k m", r":1\r\n", &[]),
        (r"3 DEL k", r":1\r\n", &[]),
        (r"3 MULTI", r"+OK\r\n", &[]),
        (r"3 ZADD k 1 m", r"+QUEUED\r\n", &[]),
        (r"3 DEL k", r"+QUEUED\r\n", &[]),
        (r"3 RPUSH k v", r"+QUEUED\r\n", &[]),
        (r"3 EXEC", r"*3\r\n:1\r\n:1\r\n:1\r\n", &[(0, r"*2\r\n$1\r\nk\r\n$1\r\nv\r\n")]),
        (r"3 EXISTS k", r":0\r\n", &[]),
    ]);
}

#[test]
fn entries_are_waited_for() {
    play(&[
        (r"0 XREAD BLOCK 0 STREAMS s $", r"", &[]),
        (r"1 XREAD COUNT 1 BLOCK 0 STREAMS s t 5-1 0", r"", &[]),
        (
            r"3 XADD s 5-1 f v",
            r"$3\r\n5-1\r\n",
            &[(0, r"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n5-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n")],
        ),
        (
            r"3 XADD s 5-2 f w",
            r"$3\r\n5-2\r\n",
            &[(1, r"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n5-2\r\n*2\r\n$1\r\nf\r\n$1\r\nw\r\n")],
        ),
        (r"0 XREAD BLOCK 0 STREAMS s t $ $", r"", &[]),
        (r"3 MULTI", r"+OK\r\n", &[]),
        (r"3 XADD t 1-1 a b", r"+QUEUED\r\n", &[]),
        (r"3 XADD s 6-1 c d", r"+QUEUED\r\n", &[]),
        (
            r"3 EXEC",
            r"*2\r\n$3\r\n1-1\r\n$3\r\n6-1\r\n",
            &[(
                0,
                concat!(
                    r"*2\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n6-1\r\n*2\r\n$1\r\nc\r\n$1\r\nd\r\n",
                    r"*2\r\n$1\r\nt\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n"
                ),
            )],
        ),
        (r"0 HELLO 3 SETNAME x", r"*", &[]),
        (r"0 XREAD BLOCK 0 STREAMS s $", r"", &[]),
        (r"3 DEL s", r":1\r\n", &[]),
        (r"3 XADD s 1-1 f v", r"$3\r\n1-1\r\n", &[]),
        (
            r"3 XADD s 7-1 f v",
            r"$3\r\n7-1\r\n",
            &[(0, r"%1\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n7-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n")],
        ),
    ]);
}

#[test]
fn entries_are_waited_for_in_groups() {
    play(&[
        (r"3 XGROUP CREATE s g $ MKSTREAM", r"+OK\r\n", &[]),
        (r"0 XREADGROUP GROUP g alice BLOCK 0 STREAMS s >", r"", &[]),
        (r"1 XREADGROUP GROUP g bob COUNT 1 BLOCK 0 STREAMS s >", r"", &[]),
        (r"2 XREADGROUP GROUP g carol BLOCK 500 STREAMS s >", r"", &[]),
        (
            r"3 XADD s 1-1 f v",
            r"$3\r\n1-1\r\n",
            &[(0, r"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n")],
        ),
        (
            r"3 XADD s 1-2 f v",
            r"$3\r\n1-2\r\n",
            &[(1, r"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-2\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n")],
        ),
        (
            r"3 XPENDING s g",
            r"*4\r\n:2\r\n$3\r\n1-1\r\n$3\r\n1-2\r\n*2\r\n*2\r\n$5\r\nalice\r\n$1\r\n1\r\n*2\r\n$3\r\nbob\r\n$1\r\n1\r\n",
            &[],
        ),
        (r"PASS 500", r"", &[(2, r"*-1\r\n")]),
        (r"0 XREADGROUP GROUP g alice BLOCK 0 STREAMS s >", r"", &[]),
        (
            r"3 DEL s",
            r":1\r\n",
            &[(0, r"-NOGROUP No such key \'s\' or consumer group \'g\' in XREADGROUP with GROUP option\r\n")],
        ),
        (r"3 XGROUP CREATE s g $ MKSTREAM", r"+OK\r\n", &[]),
        (r"0 XREADGROUP GROUP g alice BLOCK 0 STREAMS s >", r"", &[]),
        (
            r"3 XGROUP DESTROY s g",
            r":1\r\n",
            &[(0, r"-NOGROUP No such key \'s\' or consumer group \'g\' in XREADGROUP with GROUP option\r\n")],
        ),
        (r"3 XGROUP CREATE s g $", r"+OK\r\n", &[]),
        (r"0 XREADGROUP GROUP g alice BLOCK 0 STREAMS s >", r"", &[]),
        (r"3 SET s x", r"+OK\r\n", &[(0, r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n")]),
        (r"3 DEL s", r":1\r\n", &[]),
        (r"3 XGROUP CREATE s g $ MKSTREAM", r"+OK\r\n", &[]),
        (r"0 XREADGROUP GROUP g alice BLOCK 0 STREAMS s >", r"", &[]),
        (
            r"3 RENAME s away",
            r"+OK\r\n",
            &[(0, r"-NOGROUP No such key \'s\' or consumer group \'g\' in XREADGROUP with GROUP option\r\n")],
        ),
        (r"3 XGROUP CREATE s g $ MKSTREAM", r"+OK\r\n", &[]),
        (r"0 XREADGROUP GROUP g alice BLOCK 0 STREAMS s >", r"", &[]),
        (
            r"3 FLUSHALL",
            r"+OK\r\n",
            &[(0, r"-NOGROUP No such key \'s\' or consumer group \'g\' in XREADGROUP with GROUP option\r\n")],
        ),
        (
            r"0 XREADGROUP GROUP g alice BLOCK 0 STREAMS s >",
            r"-NOGROUP No such key \'s\' or consumer group \'g\' in XREADGROUP with GROUP option\r\n",
            &[],
        ),
    ]);
}

#[test]
fn what_adds_nothing_wakes_nobody() {
    play(&[
        (r"3 XADD s 1-1 f v", r"$3\r\n1-1\r\n", &[]),
        (r"0 XREAD BLOCK 0 STREAMS k s $ $", r"", &[]),
        (r"3 SET k x", r"+OK\r\n", &[]),
        (r"3 EXPIRE s 100", r":1\r\n", &[]),
        (r"3 PERSIST s", r":1\r\n", &[]),
        (r"3 XDEL s 1-1", r":1\r\n", &[]),
        (
            r"3 XADD s 2-1 f v",
            r"$3\r\n2-1\r\n",
            &[(0, r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n")],
        ),
    ]);
}

#[test]
fn a_sorted_copy_is_what_somebody_waits_for() {
    play(&[
        (r"0 BLPOP dst 0", r"", &[]),
        (r"1 BLPOP dst 0", r"", &[]),
        (r"3 RPUSH src 3 1 2", r":3\r\n", &[]),
        (
            r"3 SORT src STORE dst",
            r":3\r\n",
            &[(0, r"*2\r\n$3\r\ndst\r\n$1\r\n1\r\n"), (1, r"*2\r\n$3\r\ndst\r\n$1\r\n2\r\n")],
        ),
        (r"3 LRANGE dst 0 -1", r"*1\r\n$1\r\n3\r\n", &[]),
        (r"3 EXISTS dst", r":1\r\n", &[]),
        (r"0 BLMPOP 0 2 other dst RIGHT COUNT 10", r"*2\r\n$3\r\ndst\r\n*1\r\n$1\r\n3\r\n", &[]),
        (r"3 SORT src DESC LIMIT 0 2 STORE dst", r":2\r\n", &[]),
        (r"3 EXISTS dst", r":1\r\n", &[]),
        (r"0 BLPOP dst 0", r"*2\r\n$3\r\ndst\r\n$1\r\n3\r\n", &[]),
        (r"3 SORT nothing STORE dst", r":0\r\n", &[]),
        (r"3 SORT src LIMIT 5 5 STORE dst", r":0\r\n", &[]),
        (r"3 SORT_RO src", r"*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n", &[]),
        (r"3 SORT src BY nosort GET # STORE dst", r":3\r\n", &[]),
        (r"3 LRANGE dst 0 -1", r"*3\r\n$1\r\n3\r\n$1\r\n1\r\n$1\r\n2\r\n", &[]),
        (r"3 DEL dst", r":1\r\n", &[]),
        (r"0 BLMOVE dst away LEFT RIGHT 0", r"", &[]),
        (r"3 MULTI", r"+OK\r\n", &[]),
        (r"3 SORT src STORE dst", r"+QUEUED\r\n", &[]),
        (r"3 SORT src DESC STORE dst", r"+QUEUED\r\n", &[]),
        (r"3 EXEC", r"*2\r\n:3\r\n:3\r\n", &[(0, r"$1\r\n3\r\n")]),
        (r"3 LRANGE away 0 -1", r"*1\r\n$1\r\n3\r\n", &[]),
        (r"3 LRANGE dst 0 -1", r"*2\r\n$1\r\n2\r\n$1\r\n1\r\n", &[]),
    ]);
}

/// What DUMP of Redis 8.2.3 gives for a list of `a` and `b`, a sorted set of `m` 1 and `n` 2, a string, a set, and a stream of the
/// entry 5-1.
const LIST: &str = r#""\x12\x01\x02\x0d\x0d\x00\x00\x00\x02\x00\x81a\x02\x81b\x02\xff\x0c\x00\xa3\x9d>I\xe9k%\xf8""#;
const SORTED_SET: &str = concat!(
    r#""\x11\x11\x11\x00\x00\x00\x04\x00\x81m\x02\x01\x01\x81n\x02\x02\x01\xff\x0c\x00\xe3\xca"#,
    r#"<\x99\x0cDW\x10""#
);
const STRING: &str = r#""\x00\x01v\x0c\x00Z~\xfar\xe3\x12\x14\x87""#;
const SET: &str = r#""\x0b\x0a\x02\x00\x00\x00\x01\x00\x00\x00\x01\x00\x0c\x00\xce\x19U\xe9\xf6c\x9b}""#;
const STREAM: &str = concat!(
    r#""\x15\x01\x10\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x01\x1d\x1d\x00\x00\x00\x0a\x00"#,
    r#"\x01\x01\x00\x01\x01\x01\x81f\x02\x00\x01\x02\x01\x00\x01\x00\x01\x81v\x02\x04\x01\xff\x01\x05\x01\x05\x01\x00\x00\x01\x00\x0c\x00"#,
    r#"\x01z\xb72\x0e\xd9n5""#
);

#[test]
fn a_restored_key_is_what_somebody_waits_for() {
    let restore = |payload: &str, option: &str| format!("3 RESTORE k 0 {payload} {option}").trim_end().to_owned();
    let past = format!("3 RESTORE k 1 {LIST} REPLACE ABSTTL");
    play(&[
        (r"0 BLPOP k 0", r"", &[]),
        (r"1 BZPOPMIN k 0", r"", &[]),
        (&restore(STRING, ""), r"+OK\r\n", &[]),
        (r"3 DEL k", r":1\r\n", &[]),
        (&restore(SORTED_SET, ""), r"+OK\r\n", &[(1, r"*3\r\n$1\r\nk\r\n$1\r\nm\r\n$1\r\n1\r\n")]),
        (&restore(LIST, "REPLACE"), r"+OK\r\n", &[(0, r"*2\r\n$1\r\nk\r\n$1\r\na\r\n")]),
        (r"3 LRANGE k 0 -1", r"*1\r\n$1\r\nb\r\n", &[]),
        (r"2 BRPOP k 0", r"*2\r\n$1\r\nk\r\n$1\r\nb\r\n", &[]),
        (r"1 BZMPOP 0 1 k MAX COUNT 5", r"", &[]),
        (&restore(SET, "REPLACE"), r"+OK\r\n", &[]),
        (
            &restore(SORTED_SET, "REPLACE"),
            r"+OK\r\n",
            &[(1, r"*2\r\n$1\r\nk\r\n*2\r\n*2\r\n$1\r\nn\r\n$1\r\n2\r\n*2\r\n$1\r\nm\r\n$1\r\n1\r\n")],
        ),
        (r"3 EXISTS k", r":0\r\n", &[]),
        (r"0 XREAD BLOCK 0 STREAMS k 0", r"", &[]),
        (
            &restore(STREAM, ""),
            r"+OK\r\n",
            &[(0, r"*1\r\n*2\r\n$1\r\nk\r\n*1\r\n*2\r\n$3\r\n5-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n")],
        ),
        (r"3 DEL k", r":1\r\n", &[]),
        (r"0 XREAD BLOCK 0 STREAMS k 5-1", r"", &[]),
        (&restore(STREAM, ""), r"+OK\r\n", &[]),
        (&past, r"+OK\r\n", &[]),
        (r"3 EXISTS k", r":0\r\n", &[]),
        (r"1 BLPOP k 0", r"", &[]),
        (&past, r"+OK\r\n", &[]),
        (&restore(LIST, ""), r"+OK\r\n", &[(1, r"*2\r\n$1\r\nk\r\n$1\r\na\r\n")]),
    ]);
}

/// It is taken out of the queues over several turns. No element is popped for it, and none for a client that has got its place
/// among the sessions.
#[test]
fn nothing_is_served_to_a_client_that_waited_for_very_many_keys_and_has_gone() {
    let mut m = Memory::new();
    let (pusher, waiter, other) = (m.client, m.connect(), m.connect());
    m.client = waiter;
    m.run(&format!("BLPOP {} 0", (0..5000).map(|i| format!("k{i} ")).collect::<String>()));
    m.client = other;
    m.run("BLPOP k4 0");
    m.leave(waiter);
    assert!(m.server.go_on(), "there is work left");
    let newcomer = m.connect();
    assert_eq!(m.id(newcomer).slot(), m.id(waiter).slot(), "the slot is free");
    m.client = pusher;
    m.expect(&[("RPUSH k4 a b", r":2\r\n"), ("RPUSH k5 c", r":1\r\n"), ("LRANGE k4 0 -1", r"*1\r\n$1\r\nb\r\n")]);
    assert_eq!(m.take_sent(other), r"*2\r\n$2\r\nk4\r\n$1\r\na\r\n");
    assert_eq!(m.take_sent(newcomer), "");
    while m.server.go_on() {}
    assert!(m.server.watchers.waits.is_empty() && !m.server.is_unsettled());
}

/// Each command would else look at all of them again.
#[test]
fn keys_that_a_pause_holds_back_are_put_aside_until_it_is_over() {
    let mut m = Memory::new();
    let (pusher, waiter, other) = (m.client, m.connect(), m.connect());
    m.client = waiter;
    m.run("BLPOP a b 0");
    m.client = other;
    m.run("BLPOP b 0");
    m.client = pusher;
    m.run("MULTI");
    for line in ["CLIENT PAUSE 1000 WRITE", "RPUSH b 1 2", "RPUSH a 3"] {
        m.run(line);
    }
    m.run("EXEC");
    assert!(m.server.watchers.waits.has_held() && !m.server.is_unsettled());
    m.run("PING");
    assert_eq!((m.take_sent(waiter), m.take_sent(other)), Default::default());
    m.run("CLIENT UNPAUSE");
    // Its command runs again whole, and names this key first.
    assert_eq!(m.take_sent(waiter), r"*2\r\n$1\r\na\r\n$1\r\n3\r\n");
    assert_eq!(m.take_sent(other), r"*2\r\n$1\r\nb\r\n$1\r\n1\r\n");
    assert!(m.server.watchers.waits.is_empty() && !m.server.watchers.waits.has_held());
    m.expect(&[("LRANGE b 0 -1", r"*1\r\n$1\r\n2\r\n"), ("EXISTS a", r":0\r\n")]);
}

#[test]
fn xread_plus_waits_for_the_newest_entry_alone() {
    play(&[
        (r"0 XREAD COUNT 5 BLOCK 0 STREAMS s +", r"", &[]),
        (r"1 XREAD COUNT 5 BLOCK 0 STREAMS t s $ +", r"", &[]),
        (r"2 XREAD COUNT 5 BLOCK 0 STREAMS s t $ +", r"", &[]),
        (r"3 MULTI", r"+OK\r\n", &[]),
        (r"3 XADD s 1-1 f v", r"+QUEUED\r\n", &[]),
        (r"3 XADD s 2-1 f v", r"+QUEUED\r\n", &[]),
        (
            r"3 EXEC",
            r"*2\r\n$3\r\n1-1\r\n$3\r\n2-1\r\n",
            &[
                (0, r"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n2-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"),
                (1, r"*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n2-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"),
                (
                    2,
                    concat!(
                        r"*1\r\n*2\r\n$1\r\ns\r\n*2\r\n",
                        r"*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n",
                        r"*2\r\n$3\r\n2-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n",
                    ),
                ),
            ],
        ),
    ]);
}

/// A timeout counts from when the command came: what was just short of too late must not be refused when it runs again.
#[test]
fn timeouts_are_not_refused_when_a_command_runs_again() {
    let left_ms = i64::MAX - crate::memory::START_MS;
    for (line, push, reply) in [
        (format!("XREAD BLOCK {left_ms} STREAMS s $"), "XADD s 1-1 f v", "1-1"),
        (format!("BLPOP s {}.{:03}", left_ms / 1000, left_ms % 1000), "RPUSH s x", "x"),
        (format!("BZPOPMIN s {}.{:03}", left_ms / 1000, left_ms % 1000), "ZADD s 7 x", "7"),
    ] {
        let mut m = Memory::new();
        let waiting = m.client;
        assert_eq!(m.run(&line), "", "{line}");
        m.clock.advance_ms(5_000);
        m.connect();
        m.run(push);
        m.advance_ms(0);
        let sent = m.take_sent(waiting);
        assert!(sent.contains(reply) && !sent.contains("ERR"), "{line}: {sent}");
    }
}
