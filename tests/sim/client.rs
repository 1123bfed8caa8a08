//! The clients' side: what each has sent, what it is owed for it, and what came.

use std::collections::{BTreeMap, VecDeque};

use aleadb::net::turn::ClientId;

use crate::network::Socket;
use crate::resp::{self, Value};
use crate::scripts::READ_TWINS;
use crate::workload::{Cache, QUERIES, Role};

/// What is owed for a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Owed {
    /// One reply.
    Reply,
    /// This text, or QUEUED, or an error.
    Echo(String),
    /// The length of a queue, for this job.
    Push(String),
    /// Some jobs, or none.
    Pop,
    /// OK, for a key that expires at this Unix millisecond.
    Timed(String, i64),
    /// A confirmation about a channel, and so many more for the same line.
    Topic { more: usize },
    /// The first answer of a query, which begins with this label.
    Watch { query: usize, label: String },
    /// This text, of a script that has run.
    Script(String),
    /// Twins, or nothing in their places.
    Twins,
    /// OK, with which the client is told of changes; or none, and it caches nothing.
    Tracking,
    /// OK, with which the next answer may be cached.
    Caching,
    /// The answer of a query, which may be cached until the client is told of one of its keys.
    Cached(usize),
    /// OK, with which `GET` of this key has this answer, if it was cached before.
    OwnWrite(&'static str, String),
    /// OK, after which nothing more comes of the query with this fingerprint.
    Unwatch(String),
}

/// What came that means something beyond its connection.
#[derive(Debug)]
pub enum News {
    /// A job was accepted.
    Pushed(String),
    /// A job was given away.
    Popped(String),
    /// A key was set that expires at this time.
    Timed(String, i64),
    /// A key has expired.
    Expired(String),
    /// A script has run, or has failed.
    Script(String, bool),
    /// A revision of a query was seen.
    Revision(usize, i64),
}

/// A query that a client watches.
#[derive(Debug)]
pub struct Watched {
    pub query: usize,
    /// The last result that came.
    pub last: Value,
}

/// One client.
#[derive(Debug)]
pub struct Client {
    pub id: ClientId,
    pub socket: Socket,
    pub role: Role,
    /// The protocol that it asked for when it came.
    pub version: u8,
    /// It takes what comes.
    pub reads: bool,
    /// The process is gone: it takes nothing any more.
    pub is_gone: bool,
    /// The server has closed the connection.
    pub is_closed: bool,
    pub owed: VecDeque<Owed>,
    /// Bytes that came and are no whole value yet.
    unread: Vec<u8>,
    /// By fingerprint.
    pub watched: BTreeMap<String, Watched>,
    /// What is written to two keys is there in both.
    pub sees_twins: bool,
    /// What it holds of answers, by query.
    pub cache: BTreeMap<usize, Value>,
    /// It is told of changes.
    is_told: bool,
    /// The next answer may be cached.
    may_cache: bool,
    /// Invalidations that came.
    pub invalidations: u64,
    /// The number of the last message, by topic and publisher.
    heard: BTreeMap<String, usize>,
}

impl Client {
    pub fn new(id: ClientId, socket: Socket, role: Role, version: u8) -> Client {
        Client {
            id,
            socket,
            role,
            version,
            reads: true,
            is_gone: false,
            is_closed: false,
            owed: VecDeque::new(),
            unread: Vec::new(),
            watched: BTreeMap::new(),
            sees_twins: true,
            cache: BTreeMap::new(),
            is_told: false,
            may_cache: false,
            invalidations: 0,
            heard: BTreeMap::new(),
        }
    }

    pub fn send(&mut self, words: &[impl AsRef<[u8]>]) {
        self.socket.wire_mut().send(&resp::encode(words));
    }

    /// The process ends; what it has sent arrives.
    pub fn leave(&mut self) {
        self.is_gone = true;
        let mut wire = self.socket.wire_mut();
        (wire.finishing, wire.is_deserted) = (true, true);
    }

    /// Takes what has come, or looks at it if there is nobody any more who would take it, and holds every value against what is owed.
    ///
    /// # Errors
    /// What is wrong about the first value that is not owed.
    pub fn read(&mut self) -> Result<Vec<News>, String> {
        let mut wire = self.socket.wire_mut();
        let bytes = if self.is_gone { wire.look() } else { wire.take() };
        drop(wire);
        self.unread.extend(bytes);
        let (values, used) = resp::decode_whole(&self.unread).map_err(|error| error.to_string())?;
        self.unread.drain(..used);
        let mut news = Vec::new();
        for value in values {
            self.take(value, &mut news)?;
        }
        Ok(news)
    }

    fn take(&mut self, value: Value, news: &mut Vec<News>) -> Result<(), String> {
        let is_push = matches!(value, Value::Push(_));
        // Ordinary clients change their protocol as they go.
        if is_push && self.version == 2 && self.role != Role::Plain {
            return Err(format!("{value:?} came in RESP2"));
        }
        let is_message = self.role == Role::Subscriber && is_message(&value);
        let is_frame = matches!(self.role, Role::Watcher { .. }) && self.is_frame(&value);
        if (is_message || is_frame) && self.version == 3 && !is_push {
            return Err(format!("{value:?} came as a reply in RESP3"));
        }
        if is_message {
            return self.take_message(&value, news);
        }
        if is_frame {
            return self.take_frame(value, news);
        }
        if matches!(self.role, Role::Cacher(_)) && is_push && first_text(&value) == "invalidate" {
            self.invalidate(&value);
            return Ok(());
        }
        let Some(owed) = self.owed.pop_front() else { return Err(format!("nothing is owed, and {value:?} came")) };
        let refused = value.is_error() || value == Value::Simple(b"QUEUED".to_vec());
        let fits = match &owed {
            Owed::Reply => !is_push && !value.text().starts_with("echo:"),
            Owed::Echo(text) => refused || value.text() == *text,
            Owed::Push(_) => refused || value.integer().is_some_and(|length| length > 0),
            Owed::Pop => refused || value.integer().is_none() && !is_push,
            Owed::Script(text) => refused || value.text() == *text,
            Owed::Twins => refused || !self.sees_twins || are_twins(&value),
            Owed::Timed(..) | Owed::Unwatch(_) | Owed::Tracking | Owed::Caching | Owed::OwnWrite(..) => {
                refused || value.text() == "OK"
            }
            Owed::Cached(_) => !is_push,
            Owed::Topic { .. } => refused || is_confirmation(&value),
            Owed::Watch { label, .. } => refused || first_text(&value) == *label,
        };
        if !fits {
            return Err(format!("{owed:?} is owed, and {value:?} came"));
        }
        match owed {
            // A line that is refused is confirmed for none of its channels.
            Owed::Topic { more } if refused => drop(self.owed.drain(..more)),
            Owed::Pop => jobs_in(&value, news),
            Owed::Cached(query) => {
                let may_cache = self.role != Role::Cacher(Cache::OptIn) || std::mem::take(&mut self.may_cache);
                if self.is_told && may_cache && !refused {
                    self.cache.insert(query, value);
                }
            }
            // One that is queued is none of those.
            Owed::Script(text) if value.is_error() => news.push(News::Script(text, false)),
            _ if refused => {}
            Owed::Push(job) => news.push(News::Pushed(job)),
            Owed::Timed(key, deadline_ms) => news.push(News::Timed(key, deadline_ms)),
            Owed::Script(text) => news.push(News::Script(text, true)),
            Owed::Watch { query, .. } => {
                let items = value.items().unwrap_or_default();
                let (fingerprint, last) = (items[1].text(), items[2].clone());
                self.check_watched(query, &last)?;
                note_revision(query, items, news);
                self.watched.insert(fingerprint, Watched { query, last });
            }
            Owed::Unwatch(fingerprint) => drop(self.watched.remove(&fingerprint)),
            Owed::Tracking => self.is_told = true,
            Owed::Caching => self.may_cache = true,
            Owed::OwnWrite(key, text) => self.write(key, text),
            Owed::Reply | Owed::Echo(_) | Owed::Topic { .. } | Owed::Twins => {}
        }
        Ok(())
    }

    /// Drops what the server says has changed: all of it, or some keys.
    fn invalidate(&mut self, message: &Value) {
        self.invalidations += 1;
        let keys = message.items().and_then(|parts| parts.get(1)?.items());
        let Some(keys) = keys else { return self.cache.clear() };
        for key in keys {
            let key = key.text();
            self.cache.retain(|query, _| !has_word(QUERIES[*query], &key));
        }
    }

    /// It has written a key itself, and knows what a GET of it answers from now on; of other queries it does not.
    fn write(&mut self, key: &str, text: String) {
        let keeps = self.role == Role::Cacher(Cache::NoLoop);
        for (query, known) in &mut self.cache {
            if keeps && QUERIES[*query] == format!("GET {key}") {
                *known = Value::Bulk(text.clone().into_bytes());
            }
        }
        self.cache.retain(|query, _| QUERIES[*query].starts_with("GET ") && keeps || !has_word(QUERIES[*query], key));
    }

    fn take_message(&mut self, value: &Value, news: &mut Vec<News>) -> Result<(), String> {
        // Those that come by a pattern name it before the channel.
        let Some([topic @ .., channel, text]) = value.items() else { return Ok(()) };
        let (channel, text) = (channel.text(), text.text());
        if channel.ends_with("__:expired") {
            news.push(News::Expired(text));
            return Ok(());
        }
        let Some((publisher, number)) = text.split_once(':') else { return Ok(()) };
        let topic: String = topic.iter().map(|word| word.text() + " ").collect();
        let number = number.parse().map_err(|_| format!("{text} was not published"))?;
        let before = self.heard.insert(format!("{topic}{channel} {publisher}"), number).unwrap_or(0);
        if number > before {
            Ok(())
        } else {
            Err(format!("message {number} came after {before} of the same publisher"))
        }
    }

    fn is_frame(&self, value: &Value) -> bool {
        let Some([name, fingerprint, _, ..]) = value.items() else { return false };
        let digits = fingerprint.text();
        let is_query = QUERIES.iter().any(|line| line.split(' ').next() == Some(&name.text()));
        is_query && !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
    }

    fn take_frame(&mut self, value: Value, news: &mut Vec<News>) -> Result<(), String> {
        let items = value.items().unwrap_or_default();
        let Some(watched) = self.watched.get_mut(&items[1].text()) else {
            return Err(format!("nothing like this is watched, and {value:?} came"));
        };
        watched.last = items[2].clone();
        let query = watched.query;
        note_revision(query, items, news);
        self.check_watched(query, &items[2])
    }

    /// Twins are seen together, or not at all.
    fn check_watched(&self, query: usize, result: &Value) -> Result<(), String> {
        if QUERIES[query] != READ_TWINS || !self.sees_twins || are_twins(result) {
            return Ok(());
        }
        Err(format!("{READ_TWINS} had the result {result:?}"))
    }
}

/// True for no twins, or for pairs of one text: taken from a list they have its name before them.
fn are_twins(value: &Value) -> bool {
    let are_pairs = |items: &[Value]| items.chunks(2).all(|pair| pair.len() == 2 && pair[0] == pair[1]);
    match value.items() {
        Some([name, taken]) => taken.items().map_or(name == taken, are_pairs),
        Some(items) => are_pairs(items),
        None => matches!(value, Value::Null | Value::NullArray),
    }
}

/// True if a line has a word.
fn has_word(line: &str, word: &str) -> bool {
    line.split(' ').any(|other| other == word)
}

fn note_revision(query: usize, items: &[Value], news: &mut Vec<News>) {
    let revision = items.get(3).and_then(|revision| revision.integer().or_else(|| revision.text().parse().ok()));
    if let Some(revision) = revision {
        news.push(News::Revision(query, revision));
    }
}

fn jobs_in(value: &Value, news: &mut Vec<News>) {
    match value {
        Value::Bulk(text) if text.starts_with(b"job-") => news.push(News::Popped(value.text())),
        _ => value.items().unwrap_or_default().iter().for_each(|item| jobs_in(item, news)),
    }
}

fn first_text(value: &Value) -> String {
    value.items().and_then(<[Value]>::first).map(Value::text).unwrap_or_default()
}

fn is_message(value: &Value) -> bool {
    ["message", "pmessage", "smessage"].contains(&first_text(value).as_str())
}

fn is_confirmation(value: &Value) -> bool {
    first_text(value).ends_with("subscribe")
}
