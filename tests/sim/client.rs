//! A simulated client: what it has asked, what it has been answered, and whether the one fits the other.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use aleadb::feature::client_id::ClientId;

use crate::network::{Close, Socket, Wire};
use crate::resp::{self, Value};
use crate::workload::Line;

/// What is to come for a request.
#[derive(Clone, Debug)]
pub enum Expected {
    /// Some reply.
    Any,
    /// This very one.
    Bulk(Vec<u8>),
    /// The first answer of a query: its line, and the fingerprint to come.
    Watch(Line),
    /// `+OK` for the end of a watch.
    Unwatch(i64),
    /// `+OK` for a key that expires.
    Timed(Line),
    /// The length of a list after these elements were pushed.
    Pushed(Vec<Vec<u8>>),
}

/// Which replies the client has asked for (CLIENT REPLY).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replies {
    On,
    Off,
    /// All but the next.
    Skip,
}

/// What a client has learned that concerns others as well.
#[derive(Clone, Debug)]
pub enum Learned {
    Timed(Line),
    Pushed(Vec<Vec<u8>>),
    /// A key has expired, says a message.
    Expired(Vec<u8>),
}

#[derive(Debug)]
pub struct Client {
    pub id: ClientId,
    pub wire: Rc<RefCell<Wire>>,
    expected: VecDeque<Expected>,
    replies: Replies,
    unread: Vec<u8>,
    /// The queries it watches, by their fingerprints, each with its line and its last result.
    pub watched: BTreeMap<i64, (Line, Value)>,
    /// The number of the last message of each channel and publisher.
    heard: BTreeMap<Vec<u8>, u64>,
    /// The server closes the connection once it has come to what was sent: nothing more needs to be answered.
    pub is_leaving: bool,
    pub learned: Vec<Learned>,
}

impl Client {
    pub fn new(id: ClientId, socket: &Socket) -> Client {
        Client {
            id,
            wire: Rc::clone(&socket.0),
            expected: VecDeque::new(),
            replies: Replies::On,
            unread: Vec::new(),
            watched: BTreeMap::new(),
            heard: BTreeMap::new(),
            is_leaving: false,
            learned: Vec::new(),
        }
    }

    /// Requests that have not been answered.
    pub fn unanswered(&self) -> usize {
        self.expected.len()
    }

    /// Sends a request.
    pub fn ask(&mut self, line: &Line) {
        if self.wire.borrow().closed().is_some() {
            return;
        }
        let name = |at: usize| line.get(at).map(|word| word.to_ascii_uppercase()).unwrap_or_default();
        self.wire.borrow_mut().send(&resp::encode(line));
        if (name(0), name(1)) == (b"CLIENT".to_vec(), b"REPLY".to_vec()) {
            return match name(2).as_slice() {
                b"OFF" => self.replies = Replies::Off,
                b"SKIP" if self.replies == Replies::On => self.replies = Replies::Skip,
                b"SKIP" => {}
                _ => {
                    self.replies = Replies::On;
                    self.expected.push_back(Expected::Any);
                }
            };
        }
        self.is_leaving |= name(0) == b"QUIT";
        let expected = match name(0).as_slice() {
            b"SUBSCRIBE" | b"PSUBSCRIBE" | b"UNSUBSCRIBE" => return,
            b"ECHO" if line.len() == 2 => Expected::Bulk(line[1].clone()),
            b"UNOBSERVE" if line.len() == 2 => {
                Expected::Unwatch(String::from_utf8_lossy(&line[1]).parse().unwrap_or(0))
            }
            b"OBSERVE" => {
                let options = line[1..].iter();
                // Options come in front, and none of them is called like a command.
                let from = 1 + options.take_while(|word| !is_query(word)).count();
                Expected::Watch(line[from..].to_vec())
            }
            other if other.ends_with(b".WATCH") => {
                let mut query = line.clone();
                query[0].truncate(other.len() - b".WATCH".len());
                Expected::Watch(query)
            }
            b"SET" if line.len() > 3 && line[1].starts_with(b"t:") => Expected::Timed(line.clone()),
            b"RPUSH" | b"LPUSH" if line.len() > 2 && line[1].starts_with(b"q:") => Expected::Pushed(line[2..].to_vec()),
            _ => Expected::Any,
        };
        match self.replies {
            Replies::On => self.expected.push_back(expected),
            Replies::Off => {}
            Replies::Skip => self.replies = Replies::On,
        }
    }

    /// Reads up to so many bytes of what has come.
    ///
    /// # Errors
    /// What came is not what was to come.
    pub fn read(&mut self, bytes: usize) -> Result<(), String> {
        let taken = self.wire.borrow_mut().take(bytes);
        self.unread.extend(taken);
        loop {
            let parsed = resp::parse_first(&self.unread).map_err(|error| format!("not a reply: {error}"))?;
            let Some((value, used)) = parsed else { return Ok(()) };
            self.unread.drain(..used);
            self.take_value(value)?;
        }
    }

    fn take_value(&mut self, value: Value) -> Result<(), String> {
        if let Value::Push(items) = &value {
            return self.take_push(items);
        }
        let Some(expected) = self.expected.pop_front() else {
            // What a client is told that is about to be disconnected answers nothing.
            return if value.is_error() { Ok(()) } else { Err(format!("nobody asked for {value:?}")) };
        };
        match expected {
            Expected::Any => {}
            Expected::Bulk(_) if value.is_error() || value == Value::Simple(b"QUEUED".to_vec()) => {}
            Expected::Bulk(text) if value == Value::Bulk(text.clone()) => {}
            Expected::Bulk(text) => return Err(format!("{value:?} instead of the echo of {}", text.escape_ascii())),
            Expected::Watch(line) => {
                let items = value.items().unwrap_or_default();
                if let [_, Value::Bulk(number), result, ..] = items {
                    let fingerprint = String::from_utf8_lossy(number).parse().unwrap_or(0);
                    self.watched.insert(fingerprint, (line, result.clone()));
                }
            }
            Expected::Unwatch(fingerprint) => _ = self.watched.remove(&fingerprint),
            Expected::Timed(line) if value == Value::Simple(b"OK".to_vec()) => self.learned.push(Learned::Timed(line)),
            Expected::Pushed(elements) if value.integer().is_some() => self.learned.push(Learned::Pushed(elements)),
            Expected::Timed(_) | Expected::Pushed(_) => {}
        }
        Ok(())
    }

    fn take_push(&mut self, items: &[Value]) -> Result<(), String> {
        let text = |at: usize| items.get(at).and_then(Value::bytes).unwrap_or_default().to_vec();
        match text(0).as_slice() {
            b"subscribe" | b"psubscribe" | b"unsubscribe" => {}
            b"pmessage" => self.learned.push(Learned::Expired(text(3))),
            b"message" => {
                let message = String::from_utf8_lossy(&text(2)).into_owned();
                let (publisher, number) = message.split_once(':').unwrap_or_default();
                let number = number.parse().unwrap_or(0);
                let channel = [&text(1), publisher.as_bytes()].concat();
                let before = self.heard.insert(channel, number).unwrap_or(0);
                if number <= before {
                    return Err(format!("message {number} after {before}"));
                }
            }
            _ => {
                let fingerprint = String::from_utf8_lossy(&text(1)).parse().unwrap_or(0);
                // One that was just left may still be under way.
                if let (Some((_, last)), Some(result)) = (self.watched.get_mut(&fingerprint), items.get(2)) {
                    *last = result.clone();
                }
            }
        }
        Ok(())
    }

    pub fn close(&mut self, how: Close) {
        self.wire.borrow_mut().close(how);
    }
}

fn is_query(word: &[u8]) -> bool {
    crate::workload::QUERIES.iter().any(|query| query[0].as_bytes() == word)
}
