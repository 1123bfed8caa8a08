//! The server's data, in a dozen owned parts. No sockets: connections belong to `net`, which owns a `Server` beside them.

pub mod ctx;
pub mod databases;
pub mod lag;
pub mod outbox;
pub mod reactive;
pub mod session;
pub mod stats;
pub mod transaction;
pub mod waiting;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;

use slab::Slab;

use crate::base::clock::{Clock, Now};
use crate::base::prng::Prng;
use crate::config::Config;
use crate::config::file::Sources;
use crate::feature::blocking::Waits;
use crate::feature::members::Members;
use crate::feature::pubsub::Hub;
use crate::feature::reactive::Reactive;
use crate::feature::transaction::Watches;
use crate::store::db::Noting;
use crate::store::entry::Entry;
use crate::store::hash::KeyHasher;
use crate::sys::alloc;
use crate::sys::bg::Background;
use crate::sys::listen::BoundSocket;
use crate::timer::{Verdict, Wheel};

use databases::Databases;
use outbox::Outbox;
use reactive::{Before, Replaced};
use session::{Blocked, ClientRef, Session};
use stats::Stats;
use waiting::Wait;

/// The version of Redis whose behaviour clients may rely on, as HELLO and INFO report it.
pub const REDIS_VERSION: &str = "7.4.9";

/// Slots of the wheel for clients' timeouts: 2^12 ticks of 1 ms, a revolution of 4 s.
const CLIENT_WHEEL_SLOTS: usize = 1 << 12;

/// Subscriptions, watches and waits of clients that have gone that are cleared away in one turn at most: some tenths of a
/// millisecond's work.
const CLEARED_PER_TURN_MAX: usize = 1024;

/// Those that are cleared away for each that is added meanwhile: so what clients leave behind cannot grow beyond what they have
/// had at one time, however fast they come and go.
const CLEARED_PER_ADDED: usize = 4;

/// Commands in a transaction whose client has gone from which the helper thread frees them.
const COSTLY_TRANSACTION_MIN: usize = 1024;

/// CLIENT PAUSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Monotonic millisecond at which it ends.
    pub until_ms: u64,
    /// Hold back every command, not only those that write.
    pub all: bool,
}

/// Facts about the process that do not change.
#[derive(Debug, Default)]
pub struct Identity {
    /// Forty random hexadecimal digits.
    pub run_id: String,
    /// The configuration file, if one was given.
    pub config_file: Option<PathBuf>,
    /// The program's path.
    pub executable: String,
    /// Kernel and machine.
    pub os: String,
    /// Monotonic milliseconds at start.
    pub started_ms: u64,
}

/// Everything commands work on.
#[derive(Debug)]
pub struct Server {
    /// Settings.
    pub config: Config,
    /// Where each setting came from, for CONFIG REWRITE.
    pub config_sources: Sources,
    /// Facts about this process.
    pub identity: Identity,
    /// Unix seconds at start: what LASTSAVE answers until something is saved.
    pub started_unix_s: i64,
    /// The databases, by place.
    pub dbs: Databases,
    /// The clients.
    pub sessions: Slab<Session>,
    /// The clients' indices among the sessions by their ids, the oldest first.
    by_id: BTreeMap<u64, usize>,
    /// The id the next client gets.
    pub next_client_id: u64,
    /// Clients to be disconnected at the end of the turn.
    pub kills: Vec<ClientRef>,
    /// When a web request was last logged, in monotonic milliseconds.
    pub attack_logged_ms: Option<u64>,
    /// Second handles of the sockets listened on, so that those that stay can be kept when `bind` or `port` changes.
    pub listening: Vec<BoundSocket>,
    /// Sockets that replace the listening ones at the end of the turn, after CONFIG SET of `bind` or `port`.
    pub new_listeners: Option<Vec<BoundSocket>>,
    /// The server stops at the end of the turn.
    pub stop_requested: bool,
    /// CLIENT PAUSE, while it lasts.
    pub pause: Option<Pause>,
    /// Clients that the pause holds back.
    pub held: usize,
    /// Clients whose wait CLIENT UNBLOCK has ended, and whose reply is due this turn.
    pub unblocked: Vec<ClientRef>,
    /// When blocked clients have to be looked at; payload: session index. On monotonic milliseconds.
    pub client_timers: Wheel,
    /// The numbers of clients that take part in what follows.
    pub members: Members,
    /// Who watches which key.
    pub watches: Watches,
    /// Who waits for which key.
    pub waits: Waits,
    /// What the client of the command that is running is to wait for, from the handler's [`ctx::Next::Block`] until the engine
    /// has seen to it.
    pub asked_wait: Option<Box<Wait>>,
    /// Clients that were served while they waited for keys, and may go on with their input.
    pub resumed: Vec<ClientRef>,
    /// Who subscribed to what.
    pub hub: Hub,
    /// Whose queries are live.
    pub reactive: Reactive,
    /// Databases that were replaced as a whole, and whose keys that queries name have not all been looked at yet.
    replaced: VecDeque<Replaced>,
    /// Published messages, and replies to clients that waited, that have not reached their receivers' outputs yet.
    pub outbox: Outbox,
    /// What the databases note on their own.
    pub noting: Noting,
    /// Counters.
    pub stats: Stats,
    /// Bytes allocated before there was any data.
    pub startup_bytes: usize,
    /// DEBUG SET-ACTIVE-EXPIRE.
    pub active_expire: bool,
    /// Random numbers for RANDOMKEY and the like; not for secrets.
    pub prng: Prng,
    /// The hasher of the databases.
    pub hasher: KeyHasher,
    /// The helper thread that frees big values.
    pub background: Background,
    /// The clock, for what needs more than the turn's time.
    pub clock: Rc<dyn Clock>,
}

/// Sources of chance and time of a server, handed in so that tests can fix them.
#[derive(Debug)]
pub struct Seeds {
    /// Secret of the key hash.
    pub hash: [u8; 16],
    /// Seed of the random numbers.
    pub prng: u64,
}

impl Server {
    /// A server with empty databases.
    pub fn new(
        config: Config,
        config_sources: Sources,
        identity: Identity,
        seeds: Seeds,
        clock: Rc<dyn Clock>,
        background: Background,
    ) -> Server {
        let hasher = KeyHasher::new(seeds.hash);
        let now = clock.now();
        let mut server = Server {
            dbs: Databases::new(config.databases, hasher),
            config,
            config_sources,
            identity,
            started_unix_s: now.unix_s(),
            sessions: Slab::new(),
            by_id: BTreeMap::new(),
            next_client_id: 1,
            kills: Vec::new(),
            attack_logged_ms: None,
            listening: Vec::new(),
            new_listeners: None,
            stop_requested: false,
            pause: None,
            held: 0,
            unblocked: Vec::new(),
            client_timers: Wheel::new(CLIENT_WHEEL_SLOTS, now.mono_ms() as i64),
            members: Members::default(),
            watches: Watches::default(),
            waits: Waits::default(),
            asked_wait: None,
            resumed: Vec::new(),
            hub: Hub::default(),
            reactive: Reactive::new(hasher, now.mono_ms()),
            replaced: VecDeque::new(),
            outbox: Outbox::default(),
            noting: Noting::default(),
            stats: Stats::new(crate::command::count()),
            startup_bytes: alloc::Stats::read().allocated,
            active_expire: true,
            prng: Prng::seeded(seeds.prng),
            hasher,
            background,
            clock,
        };
        server.note_wanted_events();
        server
    }

    /// Empties a database. O(1), but for the keys that somebody watches or waits for, and some that queries name: the helper
    /// thread frees what was in it.
    pub fn flush_db(&mut self, index: usize, now: Now) -> usize {
        let keys = self.dbs[index].len();
        if keys > 0 {
            self.live_watched(index, now).iter().for_each(|key| self.break_watches(index, key));
            let old = self.dbs.empty(index);
            self.touch_awaited_of(index);
            self.touch_queries_of(index, Before::Flushed(Box::new(old)));
        } else if self.dbs[index].has_timers() {
            self.dbs.empty(index);
        }
        keys
    }

    /// Exchanges the contents of two databases. Those who watch a key or wait for one stay with the place. O(1), but for
    /// them.
    pub fn swap_dbs(&mut self, first: usize, second: usize, now: Now) {
        if first == second {
            return;
        }
        let before = [first, second].map(|db| self.live_watched(db, now));
        self.dbs.swap(first, second);
        if self.dbs[first].len() + self.dbs[second].len() > 0 {
            self.touch_queries_of(first, Before::SwappedWith(second));
            self.touch_queries_of(second, Before::SwappedWith(first));
        }
        for (db, before) in [first, second].into_iter().zip(before) {
            let after = self.live_watched(db, now);
            before.iter().chain(&after).for_each(|key| self.break_watches(db, key));
            self.touch_awaited_of(db);
        }
    }

    /// Frees an entry that has left its database, on the helper thread if that is the quicker way.
    pub fn discard(&mut self, entry: Entry) {
        if entry.is_costly_to_free() {
            self.background.free(Box::new(entry));
        }
    }

    /// Hands over to the helper thread what left a database under a command's hands and takes long to free.
    #[inline]
    pub fn clear_garbage(&mut self, db: usize) {
        while let Some(value) = self.dbs[db].take_garbage() {
            self.background.free(value);
        }
    }

    /// Makes a client wait: the reason it waits, the wheel and the count of those held back stay in step.
    pub fn block(&mut self, client: usize, blocked: Blocked) {
        let session = &mut self.sessions[client];
        session.blocked = Some(blocked);
        match blocked {
            Blocked::Keys { until_ms: u64::MAX } => {}
            Blocked::Sleep { until_ms, .. } | Blocked::Keys { until_ms } => {
                // A wheel's ticks are signed, and a date beyond them is as good as the last.
                let tick = i64::try_from(until_ms).unwrap_or(i64::MAX);
                self.client_timers.insert(client as u32, tick);
            }
            Blocked::Unblocked { .. } => self.unblocked.push(ClientRef { index: client, id: session.id }),
            Blocked::Paused => self.held += 1,
        }
    }

    /// Ends a client's wait before its time; its reply is due this turn. False if it does not wait, or only for the end of
    /// CLIENT PAUSE.
    pub fn unblock(&mut self, client: usize, error: bool) -> bool {
        let muted = match self.sessions[client].blocked {
            Some(Blocked::Sleep { muted, .. }) => muted,
            Some(Blocked::Keys { .. }) => false,
            Some(Blocked::Unblocked { .. } | Blocked::Paused) | None => return false,
        };
        self.stop_waiting(client);
        self.block(client, Blocked::Unblocked { error, muted });
        true
    }

    /// The clients whose time of sleep, or of waiting for keys, is over, added to `due`. Returns false if more are due than
    /// the budget allowed.
    pub fn sleepers_due(&mut self, now: Now, budget: &mut usize, due: &mut Vec<usize>) -> bool {
        let sessions = &self.sessions;
        let progress = self.client_timers.advance(now.mono_ms() as i64, budget, |client, tick| {
            let client = client as usize;
            let blocked = sessions.get(client).and_then(|session| session.blocked);
            let Some(until_ms) = blocked.and_then(Blocked::until_ms) else { return Verdict::Drop };
            let until_ms = i64::try_from(until_ms).unwrap_or(i64::MAX);
            if until_ms <= tick {
                due.push(client);
                Verdict::Drop
            } else if Wheel::same_slot(CLIENT_WHEEL_SLOTS, until_ms, tick) {
                Verdict::Again(until_ms)
            } else {
                // Left behind by an earlier sleep: this one has a node in its own slot.
                Verdict::Drop
            }
        });
        progress.done
    }

    /// Disconnects a client at the end of the turn. Until then it runs nothing more and no list shows it.
    pub fn kill(&mut self, client: usize) {
        let session = &mut self.sessions[client];
        (session.killed, session.closing) = (true, true);
        self.kills.push(ClientRef { index: client, id: session.id });
        self.leave(client);
        self.forget_queries(client);
    }

    /// Disconnects a client whose output has grown beyond its limit.
    #[cold]
    pub fn cut_off(&mut self, client: usize) {
        self.note_cut_off(client);
        self.kill(client);
    }

    /// Logs and counts a client that is disconnected for its output.
    pub fn note_cut_off(&mut self, client: usize) {
        log::warn!("Client {} closed for overcoming of output buffer limits", self.sessions[client].peer);
        self.stats.output_limit_disconnections += 1;
    }

    /// Takes in a client that has connected; its index among the sessions. O(log n) for n clients.
    pub fn admit(&mut self, session: Session) -> usize {
        let id = session.id;
        let index = self.sessions.insert(session);
        self.by_id.insert(id, index);
        index
    }

    /// The index of the client of an id, if it is there and has not been killed. O(log n) for n clients.
    pub fn find_client(&self, id: u64) -> Option<usize> {
        self.by_id.get(&id).copied().filter(|index| !self.sessions[*index].killed)
    }

    /// The clients that have not been killed, the oldest first, with their indices.
    pub fn clients(&self) -> impl Iterator<Item = (usize, &Session)> {
        let all = self.by_id.values().map(|index| (*index, &self.sessions[*index]));
        all.filter(|(_, session)| !session.killed)
    }

    /// Forgets a client that has been disconnected.
    pub fn forget(&mut self, client: usize) {
        self.leave(client);
        self.forget_queries(client);
        let session = self.sessions.remove(client);
        self.by_id.remove(&session.id);
        self.held -= usize::from(session.blocked == Some(Blocked::Paused));
        if let Some(transaction) = session.transaction.filter(|queued| queued.count > COSTLY_TRANSACTION_MIN) {
            self.background.free(transaction);
        }
    }

    /// A client's number among the members, which it gets now if it has none.
    #[inline]
    pub fn member_of(&mut self, client: usize) -> usize {
        let members = &mut self.members;
        *self.sessions[client].member.get_or_insert_with(|| members.join(client) as u32) as usize
    }

    /// A client's number among the members, if it has one.
    #[inline]
    pub fn known_member(&self, client: usize) -> Option<usize> {
        self.sessions[client].member.map(|member| member as usize)
    }

    /// Ends what a client has subscribed to, watches and waits for. Nobody sees anything of it from now on, but of very much
    /// some is cleared away in later turns.
    pub fn leave(&mut self, client: usize) {
        let session = &mut self.sessions[client];
        session.subscribed = false;
        let Some(member) = session.member.take() else { return };
        let was_idle = !self.members.has_gone();
        self.members.leave(member as usize);
        // Who comes behind another does not add to a turn's work.
        if was_idle {
            self.clear_gone_members(CLEARED_PER_TURN_MAX);
        }
    }

    /// To be called when so many subscriptions, watches or waits are added.
    #[inline]
    pub fn pay_for_gone(&mut self, added: usize) {
        if self.members.has_gone() {
            self.clear_gone_members(CLEARED_PER_ADDED * added);
        }
    }

    /// Clears away what members have left behind that have gone: as much as the budget allows. True if some is left.
    fn clear_gone_members(&mut self, mut budget: usize) -> bool {
        while let Some(member) = self.members.first_gone() {
            let done = self.hub.forget(member, &mut budget)
                && self.watches.forget_some(member, &mut budget)
                && self.waits.end_some(member, &mut budget);
            if !done {
                break;
            }
            self.members.release_first();
            // A member without anything costs something, too.
            budget = budget.saturating_sub(1);
        }
        self.note_wanted_events();
        self.members.has_gone()
    }

    /// Does a turn's part of what takes several: clearing up after clients that have gone, and what concerns very many
    /// queries. True if there is more to do.
    pub fn go_on(&mut self) -> bool {
        let members = self.members.has_gone() && self.clear_gone_members(CLEARED_PER_TURN_MAX);
        members | self.go_on_with_queries()
    }

    /// True while a client still has to send the password.
    #[inline]
    pub fn needs_auth(&self, client: usize) -> bool {
        !self.sessions[client].authenticated && !self.config.requirepass.is_empty()
    }

    /// True while CLIENT PAUSE holds back commands of this kind.
    #[inline]
    pub fn is_paused(&self, writes: bool, now: Now) -> bool {
        self.pause.is_some_and(|pause| now.mono_ms() < pause.until_ms && (pause.all || writes))
    }
}
