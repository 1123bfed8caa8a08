//! What must hold, whatever happens: after every turn, whenever the server comes to rest, and in the end. Replies in order, one
//! a request, and messages in order are checked where they are read, by `client`.

use std::collections::{BTreeMap, BTreeSet};

use aleadb::server::session::Blocked;

use crate::client::Learned;
use crate::network::Close;
use crate::resp::Value;
use crate::workload::Line;
use crate::world::{AUDITOR, LISTENER, World, words};

/// Bytes that an output may be beyond its limit: what one write has added before it was looked at.
const SLACK_BYTES: usize = 64 * 1024;

/// What the clients have learned, held together.
#[derive(Debug, Default)]
pub struct Facts {
    /// The deadlines of keys that expire, known to have been set.
    deadlines: BTreeMap<Vec<u8>, i64>,
    /// Keys whose expiry was told.
    expired: BTreeSet<Vec<u8>>,
    /// Elements that were pushed.
    pushed: BTreeSet<Vec<u8>>,
}

impl Facts {
    /// # Errors
    /// An event comes too early, or twice.
    pub fn learn(&mut self, learned: Learned, now_ms: i64) -> Result<(), String> {
        match learned {
            Learned::Timed(line) => {
                _ = self.deadlines.insert(line[1].clone(), deadline_of(&line));
            }
            Learned::Pushed(elements) => self.pushed.extend(elements),
            Learned::Expired(key) if key.starts_with(b"t:") => {
                if self.deadlines.get(&key).is_some_and(|deadline_ms| *deadline_ms > now_ms) {
                    return Err(format!("no event before its deadline: {}", key.escape_ascii()));
                }
                if !self.expired.insert(key.clone()) {
                    return Err(format!("no event twice: {}", key.escape_ascii()));
                }
            }
            Learned::Expired(_) => {}
        }
        Ok(())
    }
}

fn deadline_of(line: &Line) -> i64 {
    line.last().and_then(|word| String::from_utf8_lossy(word).parse().ok()).unwrap_or(0)
}

/// True if a database was ever emptied as a whole: what was in it was then, nobody knows.
fn was_emptied(world: &World) -> bool {
    let calls = |name: &[u8]| {
        let command = aleadb::command::lookup(name).expect("there is such a command");
        world.turn.server.stats.by_command[command.id].calls
    };
    calls(b"FLUSHALL") + calls(b"FLUSHDB") > 0
}

pub struct Properties;

impl Properties {
    /// # Errors
    /// Output beyond its limit, or books that do not agree.
    pub fn after_turn(world: &World) -> Result<(), String> {
        let server = &world.turn.server;
        for (number, client) in &world.clients {
            let Some(session) = server.clients.get(client.id) else { continue };
            let limit = server.config.client_output_buffer_limit.of(session.is_sent_messages()).hard_bytes as usize;
            let bytes = session.buffers.out_bytes;
            if limit > 0 && bytes > limit + SLACK_BYTES && !session.killed {
                return Err(format!("output within limits: client {number} has {bytes} bytes"));
            }
        }
        server.check();
        Ok(())
    }

    /// When the server has nothing to do at this time, nobody is left who has gone.
    ///
    /// # Errors
    /// A connection that its client has left is still there.
    pub fn at_rest_of_turns(world: &World) -> Result<(), String> {
        for (number, client) in &world.clients {
            let is_gone = matches!(client.wire.borrow().closed(), Some(Close::Full | Close::Reset));
            if is_gone {
                return Err(format!("who has gone is noticed: client {number} is still connected"));
            }
        }
        Ok(())
    }

    /// When all that was sent has arrived, was read, and time has passed.
    ///
    /// # Errors
    /// The property that was broken.
    pub fn at_rest(world: &mut World) -> Result<(), String> {
        Properties::all_is_answered(world)?;
        Properties::watchers_know_the_present(world)?;
        Properties::expiries_were_told(world)?;
        Properties::no_element_is_lost_or_doubled(world)
    }

    fn all_is_answered(world: &World) -> Result<(), String> {
        for (number, client) in &world.clients {
            let session = world.turn.server.clients.get(client.id);
            let waits =
                session.is_some_and(|session| matches!(session.blocked, Some(Blocked::Keys { until_ms: u64::MAX })));
            let finished = client.wire.borrow().closed().is_some();
            if client.unanswered() > 0 && !waits && !client.is_leaving && !finished {
                return Err(format!("one reply a request: client {number} lacks {}", client.unanswered()));
            }
        }
        Ok(())
    }

    fn watchers_know_the_present(world: &mut World) -> Result<(), String> {
        let watched: Vec<(usize, Line, Value)> = world
            .clients
            .iter()
            .filter(|(_, client)| client.wire.borrow().closed().is_none())
            .flat_map(|(n, client)| client.watched.values().map(|(line, value)| (*n, line.clone(), value.clone())))
            .collect();
        for (number, line, last) in watched {
            let fresh = world.query(&line)?;
            if fresh != last && world.clients.contains_key(&number) {
                return Err(format!(
                    "a watcher's last value is the present one: client {number}, {last:?} not {fresh:?}"
                ));
            }
        }
        Ok(())
    }

    fn expiries_were_told(world: &World) -> Result<(), String> {
        let Facts { deadlines, expired, .. } = &world.facts;
        if !world.clients.contains_key(&LISTENER) {
            return Err("the listener was disconnected".into());
        }
        let lost = deadlines.keys().find(|key| !expired.contains(*key)).filter(|_| !was_emptied(world));
        lost.map_or(Ok(()), |key| Err(format!("no event is lost: {}", key.escape_ascii())))
    }

    /// Elements are unique, so each is either in a list or was sent to somebody, once.
    fn no_element_is_lost_or_doubled(world: &mut World) -> Result<(), String> {
        let mut present = Vec::new();
        for db in ["0", "1"] {
            world.query(&words(&format!("SELECT {db}")))?;
            for list in ["q:0", "q:1"] {
                let value = world.query(&words(&format!("LRANGE {list} 0 -1")))?;
                present.extend(value.items().unwrap_or_default().iter().filter_map(Value::bytes).map(<[u8]>::to_vec));
            }
        }
        let others = world.clients.iter().filter(|(number, _)| **number != AUDITOR).map(|(_, client)| client);
        let all = others.chain(&world.gone);
        let sent: Vec<Vec<u8>> = all.map(|client| client.wire.borrow().written.clone()).collect();
        // What was taken for a client that broke off before it was sent is nobody's fault.
        let broke_off = !world.gone.is_empty();
        for element in &world.facts.pushed {
            let there = present.iter().filter(|other| *other == element).count();
            let given: usize = sent.iter().map(|bytes| memchr::memmem::find_iter(bytes, element).count()).sum();
            if there + given > 1 {
                return Err(format!("no element is doubled: {}", element.escape_ascii()));
            }
            if there + given == 0 && !broke_off && !was_emptied(world) {
                return Err(format!("no element is lost: {}", element.escape_ascii()));
            }
        }
        Ok(())
    }

    /// # Errors
    /// Something is left of clients and keys that are gone.
    pub fn at_the_end(world: &World) -> Result<(), String> {
        let server = &world.turn.server;
        let watchers = &server.watchers;
        let left = [
            ("connections", world.clients.len()),
            ("clients", server.clients.len()),
            ("waits", watchers.waits.clients()),
            ("watched keys", usize::from(!watchers.watches.is_empty())),
            ("queries", watchers.reactive.queries()),
            ("watchers of queries", watchers.reactive.clients()),
            ("subscriptions", usize::from(watchers.hub.has_listeners())),
            ("members", server.clients.members.len()),
            ("clients that are paused", server.clients.paused),
            ("messages", server.outbox.len()),
            ("keys", server.dbs.iter().map(|db| db.len()).sum()),
            ("keys with deadlines", server.dbs.iter().map(|db| db.timed() + db.timed_hashes()).sum()),
        ];
        let found: Vec<_> = left.into_iter().filter(|(_, count)| *count > 0).collect();
        if found.is_empty() { Ok(()) } else { Err(format!("nothing is left of those who have gone: {found:?}")) }
    }
}
