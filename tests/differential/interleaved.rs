//! Several clients at once, whose commands are interleaved by chance: transactions that others' changes stop, and, where
//! both servers have them, commands that wait for what others do. Some go in the midst of it, leaving much unread behind, and
//! some ask for more than they may be sent.
//!
//! Each step sends one line to the same client of both servers and compares the raw replies. A client that waits gets its
//! reply by another one's step: after each step both servers are asked who still waits, and must agree.

use crate::pair::{Pair, ask};
use crate::resp::{Client, encode};
use crate::rng::Rng;
use crate::server::{Server, wait_until};
use crate::{number, state, tables};
use std::collections::HashSet;
use std::time::Duration;

const CLIENTS: usize = 8;
const KEYS: &[&str] = &["a", "b", "c"];

/// Lines about transactions; `K` stands for a key, and weights are given by repetition.
const TRANSACTIONS: &[&str] = &[
    "WATCH K",
    "WATCH K",
    "WATCH K K",
    "UNWATCH",
    "MULTI",
    "MULTI",
    "MULTI",
    "EXEC",
    "EXEC",
    "EXEC",
    "EXEC",
    "DISCARD",
    "EXEC x",
    "DISCARD x",
    "RESET",
];

/// Lines that read and change data, and some that are refused.
const DATA: &[&str] = &[
    "SET K 1",
    "SET K x",
    "APPEND K y",
    "INCR K",
    "DEL K",
    "DEL K K",
    "GET K",
    "MGET K K",
    "GETDEL K",
    "SETNX K n",
    "EXPIRE K 10000",
    "EXPIRE K -1",
    "PERSIST K",
    "GETEX K",
    "GETEX K PERSIST",
    "RENAME K K",
    "RENAMENX K K",
    "COPY K K",
    "COPY K K REPLACE",
    "COPY K K DB 1",
    "MOVE K 1",
    "MOVE K 0",
    "EXISTS K K",
    "TYPE K",
    "TOUCH K",
    "SETRANGE K 0 z",
    "MSET K 1 K 2",
    "MSETNX K 1 K 2",
    "SELECT 0",
    "SELECT 0",
    "SELECT 1",
    "FLUSHDB",
    "FLUSHALL",
    "SWAPDB 0 1",
    "DBSIZE",
    "PING",
    "GET",
    "FOO K",
    "CLIENT FOO",
    "SHUTDOWN SAVE NOSAVE",
    "SUBSCRIBE",
    "ECHO x",
];

/// Lines that wait, and what ends their waits; they take part if both servers know all the commands.
const WAITING: &[&str] = &[
    "BLPOP K 0",
    "BLPOP K K 0",
    "BLPOP K K K 0",
    "BRPOP K 0",
    "BRPOP K K 0",
    "BLMOVE K K LEFT RIGHT 0",
    "BRPOPLPUSH K K 0",
    "BLMPOP 0 2 K K LEFT COUNT 2",
    "BZPOPMIN K 0",
    "BZPOPMIN K K 0",
    "BZPOPMAX K 0",
    "BZMPOP 0 1 K MIN",
    "RPUSH K 1",
    "RPUSH K 1 2 3",
    "LPUSH K 4 5",
    "LPUSHX K 6",
    "LPOP K",
    "RPOP K",
    "LLEN K",
    "ZADD K 1 m",
    "ZADD K 1 m 2 n",
    "ZREM K m",
    "RENAME K K",
    "LMOVE K K LEFT LEFT",
    "XREAD BLOCK 0 STREAMS K $",
    "XREAD BLOCK 0 STREAMS K K $ 5-1",
    "XREADGROUP GROUP g c BLOCK 0 STREAMS K >",
    "XREADGROUP GROUP g c BLOCK 0 COUNT 1 STREAMS K >",
    "XADD K 5-* f v",
    "XADD K 5-* f v",
    "XDEL K 5-1",
    "XGROUP CREATE K g $ MKSTREAM",
    "XGROUP CREATE K g $ MKSTREAM",
    "XGROUP DESTROY K g",
];

/// What a client's replies may come to before it is cut off.
const OUTPUT_LIMIT: &[&str] = &["--client-output-buffer-limit", "normal", "1mb", "0", "0"];

/// Lines whose replies exceed the limit by far, and what they need.
const GREEDY: &[(&str, &str)] = &[
    ("SADD greedy:set a b c", "SRANDMEMBER greedy:set -100000000"),
    ("HSET greedy:hash a 1 b 2", "HRANDFIELD greedy:hash -100000000 WITHVALUES"),
    ("ZADD greedy:zset 1 a 2 b", "ZRANDMEMBER greedy:zset -100000000 WITHSCORES"),
];

/// Bytes that a client sends before it goes, which it does not wait for.
const UNREAD_BYTES: &[usize] = &[0, 1_000, 20_000, 300_000, 3_000_000];

/// How long a server may take to notice that a client has gone.
const GONE_S_MAX: u64 = 20;

/// One server and its clients.
struct Side {
    admin: Client,
    clients: Vec<Client>,
    ids: Vec<i64>,
}

impl Side {
    fn new(server: &Server) -> Side {
        let connect = || server.connect().expect("just started");
        let mut admin = connect();
        ask(&mut admin, &["FLUSHALL"]);
        let mut clients: Vec<Client> = (0..CLIENTS).map(|_| connect()).collect();
        let ids =
            clients.iter_mut().map(|client| ask(client, &["CLIENT", "ID"]).integer().expect("a number")).collect();
        Side { admin, clients, ids }
    }

    /// Puts a new client in the place of one, which `leave` sees off; waits until the server knows that it has gone.
    fn replace(&mut self, server: &Server, client: usize, leave: impl FnOnce(Client)) -> Result<(), String> {
        let new = server.connect().map_err(|error| error.to_string())?;
        leave(std::mem::replace(&mut self.clients[client], new));
        let id = self.ids[client].to_string();
        let gone = || ask(&mut self.admin, &["CLIENT", "LIST", "ID", &id]).text().is_empty();
        if !wait_until(Duration::from_secs(GONE_S_MAX), gone) {
            return Err(format!("client {client} has gone, and the server at {} keeps it", server.addr()));
        }
        self.ids[client] = ask(&mut self.clients[client], &["CLIENT", "ID"]).integer().expect("a number");
        Ok(())
    }

    /// Whether a client waits for a key.
    fn waits(&mut self, client: usize) -> bool {
        let id = self.ids[client].to_string();
        let line = ask(&mut self.admin, &["CLIENT", "LIST", "ID", &id]).text();
        let flags = line.split(' ').find_map(|field| field.strip_prefix("flags=")).expect("flags");
        flags.contains('b')
    }
}

/// A line for a client, some of its letters replaced by chance.
fn line(rng: &mut Rng, waiting: bool) -> Vec<String> {
    let lines = match rng.below(10) {
        0..=3 => TRANSACTIONS,
        4..=7 if waiting => WAITING,
        _ => DATA,
    };
    let words = rng.pick(lines).split(' ');
    words.map(|word| if word == "K" { (*rng.pick(KEYS)).to_owned() } else { word.to_owned() }).collect()
}

/// Runs one seed; the lines so far and the difference, if there is one.
fn check(pair: &Pair, seed: u64, steps: usize, waiting: bool) -> Result<(), String> {
    let (mut rng, mut log) = (Rng::new(seed), Vec::new());
    let mut sides = [Side::new(&pair.subject), Side::new(&pair.oracle)];
    let (mut blocked, mut queues) = ([false; CLIENTS], [false; CLIENTS]);
    for _ in 0..steps {
        let free: Vec<usize> = (0..CLIENTS).filter(|client| !blocked[*client]).collect();
        let stuck = free.len() < 2;
        if rng.chance(1) {
            let client = rng.below(CLIENTS);
            log.push(format!("  {client}: goes"));
            go(pair, &mut sides, &mut rng, client).map_err(|error| format!("{}\n    {error}", tail(&log)))?;
            (blocked[client], queues[client]) = (false, false);
        } else if rng.below(1_000) < 3 {
            let (prepare, line) = *rng.pick(GREEDY);
            // In a transaction it would be queued.
            let Some(client) = free.iter().copied().find(|client| !queues[*client]) else { continue };
            log.push(format!("  {client}: {line}"));
            greedy(pair, &mut sides, client, prepare, line).map_err(|error| format!("{}\n    {error}", tail(&log)))?;
        } else if stuck || rng.chance(2) {
            // A word from outside: somebody's wait ends, or memory is short for a while.
            let client = rng.below(CLIENTS);
            let (kind, reason) = (rng.below(4), *rng.pick(&["TIMEOUT", "ERROR"]));
            let maxmemory = *rng.pick(&["0", "0", "1"]);
            for side in &mut sides {
                let id = side.ids[client].to_string();
                match kind {
                    _ if blocked[client] => _ = ask(&mut side.admin, &["CLIENT", "UNBLOCK", &id, reason]),
                    0 => _ = ask(&mut side.admin, &["CONFIG", "SET", "maxmemory", maxmemory]),
                    _ => {}
                }
            }
            log.push(format!("  admin: {kind} {reason} {client} maxmemory {maxmemory}"));
        } else {
            let (client, mut words) = (*rng.pick(&free), line(&mut rng, waiting));
            match words[0].as_str() {
                "MULTI" => queues[client] = true,
                "EXEC" | "DISCARD" | "RESET" if words.len() == 1 => queues[client] = false,
                // The keys that an exchange makes ready are served in the order of Redis's hash table, which is another
                // one in each process: it is compared while one client at most can wait when it comes.
                "SWAPDB" if queues[client] || free.len() < CLIENTS - 1 => words = vec![String::from("PING")],
                _ => {}
            }
            log.push(format!("  {client}: {}", words.join(" ")));
            // Replies go out when all that came with them has been run: with the first one the line has begun to wait.
            let bytes = [encode(&["PING"]), encode(&words)].concat();
            for side in &mut sides {
                side.clients[client].send_raw(&bytes).map_err(|error| error.to_string())?;
            }
            compare(&mut sides, client, &mut blocked, &log)?;
            // Others never wait for a key, though Redis may say for a moment that they do: FLUSHALL waits for a thread.
            blocked[client] = words[0].starts_with('B') || words.iter().any(|word| word == "BLOCK");
            if !blocked[client] {
                compare(&mut sides, client, &mut blocked, &log)?;
            }
        }
        for client in 0..CLIENTS {
            if blocked[client] {
                let waits = [sides[0].waits(client), sides[1].waits(client)];
                if waits[0] != waits[1] {
                    return Err(format!("{}\n    subject waits: {}, oracle: {}", tail(&log), waits[0], waits[1]));
                }
                if !waits[0] {
                    compare(&mut sides, client, &mut blocked, &log)?;
                }
            }
        }
    }
    for side in &mut sides {
        ask(&mut side.admin, &["CONFIG", "SET", "maxmemory", "0"]);
    }
    match state::difference(pair) {
        Some(difference) => Err(format!("{}\n    {difference}", tail(&log))),
        None => Ok(()),
    }
}

/// A client sends a line for whose reply it is cut off, unless the line is refused or finds nothing.
fn greedy(pair: &Pair, sides: &mut [Side; 2], client: usize, prepare: &str, line: &str) -> Result<(), String> {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let mut outcomes = Vec::new();
    for (side, server) in sides.iter_mut().zip([&pair.subject, &pair.oracle]) {
        ask(&mut side.admin, &words(prepare));
        let reply = side.clients[client].call(&words(line)).map(|reply| reply.raw.escape_ascii().to_string());
        if reply.is_err() {
            side.replace(server, client, drop)?;
        }
        outcomes.push(reply.map_err(|error| error.kind()));
    }
    match outcomes[0] == outcomes[1] {
        true => Ok(()),
        false => Err(format!("client {client}\n    subject {:.200?}\n    oracle  {:.200?}", outcomes[0], outcomes[1])),
    }
}

/// A client sends more, reads nothing, and goes, or half-closes first; a new one takes its place.
fn go(pair: &Pair, sides: &mut [Side; 2], rng: &mut Rng, client: usize) -> Result<(), String> {
    let (unread, half) = (*rng.pick(UNREAD_BYTES), rng.chance(50));
    let ping = encode(&["PING"]);
    let bytes = ping.repeat(unread / ping.len());
    for (side, server) in sides.iter_mut().zip([&pair.subject, &pair.oracle]) {
        side.replace(server, client, |mut leaver| {
            // It may be cut off in the midst of this, for what it does not read.
            let _ = leaver.send_raw(&bytes);
            if half && leaver.finish_sending().is_ok() {
                // Who has commands that can run is given time to take their replies; who waits is not.
                while leaver.fill().is_ok_and(|count| count > 0) {}
            }
        })?;
    }
    Ok(())
}

/// Reads the reply of a client from both servers.
fn compare(sides: &mut [Side; 2], client: usize, blocked: &mut [bool; CLIENTS], log: &[String]) -> Result<(), String> {
    let [ours, theirs] = sides.each_mut().map(|side| side.clients[client].read_reply());
    let (ours, theirs) = (ours.map_err(|error| error.to_string())?, theirs.map_err(|error| error.to_string())?);
    blocked[client] = false;
    if ours.raw == theirs.raw {
        return Ok(());
    }
    Err(format!("{}\n    client {client}\n    subject {:?}\n    oracle  {:?}", tail(log), ours.value, theirs.value))
}

/// The last lines of a log: what a difference depends on is rarely older.
fn tail(log: &[String]) -> String {
    log[log.len().saturating_sub(60)..].join("\n")
}

#[test]
fn interleaved_clients_get_what_redis_gives_them() {
    let Some(pair) = Pair::start(OUTPUT_LIMIT) else { return };
    if !pair.is_target_version() {
        return;
    }
    let known = tables::known_commands(&pair.subject);
    let names: HashSet<String> =
        WAITING.iter().filter_map(|line| line.split(' ').next()).map(str::to_ascii_lowercase).collect();
    let waiting = names.iter().all(|name| known.contains(name.as_str()));
    let first = number("ALEADB_DIFF_SEED", 1);
    for seed in first..first + number("ALEADB_DIFF_SEEDS", 8) {
        for waiting in [false, waiting] {
            let steps = number("ALEADB_DIFF_STEPS", 4_000) as usize;
            if let Err(difference) = check(&pair, seed, steps, waiting) {
                panic!("seed {seed}\n{difference}");
            }
        }
    }
}
