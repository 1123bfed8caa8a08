//! CLIENT TRACKING: what clients want to be told of, and the messages that tell them.
//!
//! A message to the client whose command made the change follows that command's reply; the others have it before the next
//! command runs. What is told by prefixes is gathered for a turn.
//!
//! # Invariants
//! - `clients` counts the sessions that have a mode. With the last of them all that was read is forgotten.
//! - A prefix names a client exactly if its mode does.

use super::Server;
use crate::command::Command;
use crate::command::spec::Flags;
use crate::feature::client_id::ClientId;
use crate::feature::tracking::prefixes::{Changes, Prefixes};
use crate::feature::tracking::{KeysRead, Readers};
use crate::resp::args::Args;
use crate::resp::out::Out;
use crate::resp::reply::{Proto, Reply};
use crate::store::hash::KeyHasher;

/// The channel that messages seem to come from to a client of RESP2.
const CHANNEL: &[u8] = b"__redis__:invalidate";

/// Keys beyond `tracking-table-max-keys` that are forgotten in a turn at most, should it have been set lower.
const FORGOTTEN_PER_TURN_MAX: usize = 1024;

/// Bytes of changed keys that are gathered; beyond them the messages are written before the turn is over.
const GATHERED_BYTES_MAX: usize = 1 << 20;

/// Whether the keys of a command are remembered without a word, or CLIENT CACHING has to be sent before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// They are.
    Always,
    /// Only after CLIENT CACHING YES.
    OptIn,
    /// But for those after CLIENT CACHING NO.
    OptOut,
}

/// What a client wants to be told of, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracking {
    /// Of every key that begins with one of its prefixes, rather than of those it has read.
    pub broadcast: bool,
    /// Which commands count.
    pub caching: Caching,
    /// CLIENT CACHING was sent: it holds for the next command, or the next transaction.
    pub caching_given: bool,
    /// Not of changes that it makes itself.
    pub noloop: bool,
    /// The number of the client who is sent the messages in its place.
    pub redirect: Option<u64>,
    /// That one was not there when there was something to tell.
    pub is_broken: bool,
    /// What the names of the keys begin with.
    pub prefixes: Vec<Box<[u8]>>,
}

impl Tracking {
    /// True if what the next command reads is remembered.
    fn remembers(&self) -> bool {
        !self.broadcast
            && match self.caching {
                Caching::Always => true,
                Caching::OptIn => self.caching_given,
                Caching::OptOut => !self.caching_given,
            }
    }
}

/// Those who cache, and what they have read.
#[derive(Debug)]
pub struct Caches {
    clients: usize,
    /// What was read.
    pub keys: KeysRead,
    /// Who is told of prefixes.
    pub prefixes: Prefixes,
    /// Whose command is running.
    author: Option<ClientId>,
}

impl Caches {
    /// Nobody caches anything.
    pub fn new(hasher: KeyHasher) -> Caches {
        Caches { clients: 0, keys: KeysRead::new(hasher), prefixes: Prefixes::default(), author: None }
    }

    /// How many clients have tracking on.
    pub fn clients(&self) -> usize {
        self.clients
    }

    /// True if somebody may have to be told of changes.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.clients > 0
    }

    /// Notes whose command runs from now on, a client's or nobody's; whose it was. The commands of a script are its caller's.
    pub fn set_author(&mut self, client: Option<ClientId>) -> Option<ClientId> {
        std::mem::replace(&mut self.author, client)
    }

    /// Whose command runs.
    pub fn author(&self) -> Option<ClientId> {
        self.author
    }
}

/// What is told.
enum News<'a> {
    /// These keys have changed.
    Keys(&'a [&'a [u8]]),
    /// Everything may have.
    All,
}

/// A message that is written for each kind of receiver when the first of them is met. The numbers are those of texts in the
/// outbox.
struct Message<'a> {
    news: News<'a>,
    push: Option<u32>,
    published: Option<u32>,
}

impl<'a> Message<'a> {
    fn new(news: News<'a>) -> Message<'a> {
        Message { news, push: None, published: None }
    }

    /// A push of RESP3, or a message of a channel in RESP2.
    fn text(&self, proto: Proto) -> Vec<u8> {
        let mut out = Out::default();
        let mut reply = Reply::new(&mut out, proto);
        if proto == Proto::Resp2 {
            reply.array(3);
            reply.bulk(b"message");
            reply.bulk(CHANNEL);
        } else {
            reply.push(2);
            reply.bulk(b"invalidate");
        }
        match self.news {
            News::All => reply.null(),
            News::Keys(keys) => {
                reply.array(keys.len());
                keys.iter().for_each(|key| reply.bulk(key));
            }
        }
        out.into_bytes()
    }
}

impl Server {
    /// Has a client told from now on in this way; prefixes come to those that it has. O(prefixes times log n).
    pub fn track(&mut self, client: ClientId, asked: Tracking) {
        let known = self.clients[client].tracking.take();
        let is_new = known.is_none();
        let mut prefixes = known.map_or_else(Vec::new, |known| known.prefixes);
        for prefix in asked.prefixes {
            self.watchers.caches.prefixes.add(&prefix, client);
            if !prefixes.contains(&prefix) {
                prefixes.push(prefix);
            }
        }
        self.clients[client].tracking = Some(Box::new(Tracking { prefixes, ..asked }));
        if is_new {
            self.watchers.caches.clients += 1;
            self.note_wanted_events();
        }
    }

    /// Has a client told nothing any more. What it has read stays known until it changes, unless nobody else is told of anything.
    pub fn untrack(&mut self, client: ClientId) {
        let Some(mode) = self.clients[client].tracking.take() else { return };
        let caches = &mut self.watchers.caches;
        mode.prefixes.iter().for_each(|prefix| caches.prefixes.remove(prefix, client));
        caches.clients -= 1;
        if caches.clients == 0 {
            self.forget_reads();
            self.note_wanted_events();
        }
    }

    /// Forgets what was read, and has the helper thread free it.
    fn forget_reads(&mut self) {
        let caches = &mut self.watchers.caches;
        if caches.keys.keys() > 0 {
            let old = std::mem::replace(&mut caches.keys, KeysRead::new(self.dbs.hasher));
            self.background.free(Box::new(old));
        }
    }

    /// Remembers the keys that a command has read, for the client whose command runs, if it wants that. O(keys).
    #[inline(never)]
    pub fn remember_reads(&mut self, command: &Command, args: Args<'_>) {
        let flags = command.spec.flags;
        if !flags.has(Flags::READONLY) || flags.has(Flags::PUBSUB.with(Flags::RUNS_SCRIPT)) {
            return;
        }
        let Some(client) = self.watchers.caches.author else { return };
        if !self.clients[client].tracking.as_ref().is_some_and(|mode| mode.remembers()) {
            return;
        }
        if let Some(only) = command.only_key {
            args.get(only.place).into_iter().for_each(|key| self.remember_read(client, key));
            self.keep_to_limit(2);
            return;
        }
        let keys = command.spec.keys_of(args);
        keys.iter().for_each(|key| self.remember_read(client, args.at(key.index)));
        self.keep_to_limit(2 * keys.len());
    }

    fn remember_read(&mut self, client: ClientId, key: &[u8]) {
        self.pay_for_gone(1);
        let member = self.clients.member_of(client);
        if self.watchers.caches.keys.note(member, self.dbs.hasher.hash(key), key).is_err() {
            self.tell(client, &mut Message::new(News::Keys(&[key])));
        }
    }

    /// Forgets keys beyond `tracking-table-max-keys`, so many at most; whoever has read them is told as if they had changed. True if
    /// there are more.
    fn keep_to_limit(&mut self, count: usize) -> bool {
        let most = self.config.tracking_table_max_keys;
        let is_beyond = |server: &Server| most > 0 && server.watchers.caches.keys.keys() as u64 > most;
        for _ in 0..count {
            if !is_beyond(self) {
                return false;
            }
            let Some((key, readers)) = self.watchers.caches.keys.evict() else { return false };
            self.tell_readers(&key, &readers, None);
        }
        is_beyond(self)
    }

    /// Does a turn's part of that. True if there is more to do.
    pub(super) fn go_on_with_caches(&mut self) -> bool {
        self.watchers.caches.is_on() && self.keep_to_limit(FORGOTTEN_PER_TURN_MAX)
    }

    /// Tells those who have read a key, or who asked for a prefix of it, that it was changed by a client, or by nobody.
    #[inline(never)]
    pub(super) fn invalidate(&mut self, key: &[u8], hash: u64, author: Option<ClientId>) {
        let caches = &mut self.watchers.caches;
        if !caches.prefixes.is_empty() {
            caches.prefixes.note(key, author);
            if caches.prefixes.changed_bytes() > GATHERED_BYTES_MAX {
                self.tell_of_prefixes();
            }
        }
        let caches = &mut self.watchers.caches;
        let Some(readers) = caches.keys.take(hash, key) else { return };
        let author = author.filter(|author| self.clients[*author].tracking.as_ref().is_some_and(|mode| mode.noloop));
        self.tell_readers(key, &readers, author);
        // COMPAT: Redis forgets the author's own read as well, and does not tell it of anybody's next change.
        if let Some(author) = author
            && let Some(member) = self.clients.known_member(author)
            && readers.iter().any(|reader| reader as usize == member)
        {
            self.remember_read(author, key);
        }
    }

    /// Tells the readers of a key, but for one.
    fn tell_readers(&mut self, key: &[u8], readers: &Readers, spared: Option<ClientId>) {
        let keys = [key];
        let mut message = Message::new(News::Keys(&keys));
        for member in readers.iter() {
            let client = self.clients.members.client(member as usize);
            if let Some(client) = client.filter(|client| Some(*client) != spared)
                && self.clients[client].tracking.as_ref().is_some_and(|mode| !mode.broadcast)
            {
                self.tell(client, &mut message);
            }
        }
    }

    /// Tells everybody who caches that everything may have changed, and forgets what was read. O(clients).
    pub fn invalidate_all(&mut self) {
        if !self.watchers.caches.is_on() {
            return;
        }
        self.forget_reads();
        let tracking: Vec<ClientId> = self
            .clients
            .present()
            .filter(|(_, session)| session.tracking.is_some())
            .map(|(client, _)| client)
            .collect();
        let mut message = Message::new(News::All);
        tracking.into_iter().for_each(|client| self.tell(client, &mut message));
    }

    /// Tells those who asked for prefixes what has changed. To be called once a turn.
    #[inline]
    pub fn tell_changes(&mut self) {
        if self.watchers.caches.prefixes.changed_bytes() > 0 {
            self.tell_of_prefixes();
        }
    }

    #[cold]
    fn tell_of_prefixes(&mut self) {
        for Changes { clients, keys } in self.watchers.caches.prefixes.take_changes() {
            let all: Vec<&[u8]> = keys.keys().map(|key| &**key).collect();
            let mut for_all = Message::new(News::Keys(&all));
            for client in clients {
                let session = &self.clients[client];
                let spares_own = session.tracking.as_ref().is_some_and(|mode| mode.noloop);
                if session.unlimited && !spares_own {
                    self.tell(client, &mut for_all);
                    continue;
                }
                let user = &self.acl.users[session.user];
                let may_know = |key: &[u8]| session.unlimited || user.may_read(key);
                let others = keys.iter().filter(|(_, author)| !spares_own || **author != Some(client));
                let those: Vec<&[u8]> = others.map(|(key, _)| &**key).filter(|key| may_know(key)).collect();
                if !those.is_empty() {
                    self.tell(client, &mut Message::new(News::Keys(&those)));
                }
            }
        }
    }

    /// Sends a client a message, or whoever it has named; one that can take it.
    fn tell(&mut self, client: ClientId, message: &mut Message<'_>) {
        let Some(mode) = &self.clients[client].tracking else { return };
        let redirect = mode.redirect;
        let receiver = match redirect {
            None => client,
            Some(number) => match self.clients.find(number) {
                Some(receiver) => receiver,
                None => return self.tell_of_broken_redirection(client, number),
            },
        };
        let session = &self.clients[receiver];
        let proto = session.proto;
        if proto == Proto::Resp2 && (redirect.is_none() || !session.subscribed) {
            return;
        }
        let known = if proto == Proto::Resp2 { message.published } else { message.push };
        let text = known.unwrap_or_else(|| self.outbox.add_text(message.text(proto).into()));
        let place = if proto == Proto::Resp2 { &mut message.published } else { &mut message.push };
        *place = Some(text);
        self.post_message(receiver, text);
    }

    #[cold]
    fn tell_of_broken_redirection(&mut self, client: ClientId, number: u64) {
        let session = &mut self.clients[client];
        if let Some(mode) = &mut session.tracking {
            mode.is_broken = true;
        }
        if session.proto == Proto::Resp2 {
            return;
        }
        let mut out = Out::default();
        let mut reply = Reply::new(&mut out, session.proto);
        reply.push(2);
        reply.bulk(b"tracking-redir-broken");
        reply.integer(number as i64);
        let text = self.outbox.add_text(out.into_bytes().into());
        self.post_message(client, text);
    }

    /// What CLIENT CACHING said is over with the command after it, or with the transaction.
    #[inline(never)]
    pub fn end_caching(&mut self, client: ClientId, command: Option<&Command>) {
        let session = &mut self.clients[client];
        let Some(mode) = &mut session.tracking else { return };
        if session.transaction.is_none() && command.is_none_or(|command| !command.full_name.starts_with("client|")) {
            mode.caching_given = false;
        }
    }
}
