//! The server's data, in a dozen owned parts. No client's socket: connections belong to `net`, which owns a `Server` beside
//! them.

pub mod acl;
pub mod background;
pub mod busy_keys;
pub mod census;
pub mod change;
pub mod clients;
pub mod ctx;
pub mod databases;
pub mod defrag;
pub mod eviction;
pub mod hotkeys;
pub mod jobs;
pub mod lag;
pub mod memory;
pub mod observer;
pub mod outbox;
pub mod outgoing;
pub mod persistence;
pub mod phases;
pub mod pieces;
pub mod propagation;
pub mod reactive;
pub mod renewal;
pub mod replication;
pub mod scripting;
pub mod session;
pub mod stats;
mod subkeys;
pub mod targets;
pub mod tracking;
pub mod transaction;
pub mod waiting;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use crate::base::clock::{Clock, Now};
use crate::base::prng::Prng;
use crate::config::Config;
use crate::config::file::Sources;
use crate::feature::blocking::Waits;
use crate::feature::client_id::ClientId;
use crate::feature::pubsub::Hub;
use crate::feature::reactive::Reactive;
use crate::feature::transaction::Watches;
use crate::persist::storage::Storage;
use crate::store::db::Db;
use crate::store::entry::Entry;
use crate::store::hash::KeyHasher;
use crate::sys::alloc;
use crate::sys::bg::Load;
use crate::sys::listen::BoundSocket;

use acl::Acl;
use background::Background;
use busy_keys::BusyKeys;
use census::Census;
use clients::Clients;
use databases::Databases;
use defrag::Defrag;
use eviction::Eviction;
use hotkeys::HotKeys;
use jobs::Jobs;
use observer::Observer;
use outbox::Outbox;
use outgoing::{LinkKind, Outgoing};
use persistence::Persistence;
use phases::Phases;
use propagation::Propagation;
use reactive::{Before, Replaced};
use renewal::Renewal;
use replication::Replication;
use replication::failover::Ending;
use scripting::Scripting;
use session::Blocked;
use stats::Stats;
use targets::Targets;
use tracking::Caches;
use waiting::Wait;

/// The version of Redis whose behaviour clients may rely on, as HELLO and INFO report it.
pub const REDIS_VERSION: &str = "8.2.3";

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

/// The sockets of one purpose.
#[derive(Debug, Default)]
pub struct Listening {
    /// Second handles of those that are listened on, so that those that stay can be kept when an address changes.
    pub open: Vec<BoundSocket>,
    /// Those that replace them at the end of the turn, at the start and after CONFIG SET.
    pub next: Option<Vec<BoundSocket>>,
}

/// The process: what it is, what it listens on, whether it is to stop.
#[derive(Debug)]
pub struct Process {
    /// Facts about it.
    pub identity: Identity,
    /// Unix seconds at start: what LASTSAVE answers until something is saved.
    pub started_unix_s: i64,
    /// Bytes allocated before there was any data or client, the parts left out that [`memory`] adds up.
    pub startup_bytes: usize,
    /// Where clients connect: `bind`, `port` and the Unix socket.
    pub clients_port: Listening,
    /// Where metrics are asked for: `metrics-bind` and `metrics-port`.
    pub metrics_port: Listening,
    /// The server stops at the end of the turn.
    pub stop_requested: bool,
    /// The server is to stop once replicas have caught up.
    pub ending: Option<Ending>,
    /// Why the server cannot go on: it ends without saving, and says so.
    pub failure: Option<String>,
    /// When a web request was last logged, in monotonic milliseconds.
    pub attack_logged_ms: Option<u64>,
}

/// Who wants to know of changes, and of messages: all that a change is held against.
#[derive(Debug)]
pub struct Watchers {
    /// Who watches which key (WATCH).
    pub watches: Watches,
    /// Who waits for which key.
    pub waits: Waits,
    /// Who subscribed to what.
    pub hub: Hub,
    /// Whose queries are live.
    pub reactive: Reactive,
    /// Who caches what.
    pub caches: Caches,
    /// Databases that were replaced as a whole, and whose keys that queries name have not all been looked at yet.
    replaced: VecDeque<Replaced>,
}

/// Everything commands work on.
#[derive(Debug)]
pub struct Server {
    /// Settings.
    pub config: Config,
    /// Where each setting came from, for CONFIG REWRITE.
    pub config_sources: Sources,
    /// The process.
    pub process: Process,
    /// The databases, by place.
    pub dbs: Databases,
    /// DEBUG SET-ACTIVE-EXPIRE.
    pub active_expire: bool,
    /// The users, and what they were refused.
    pub acl: Acl,
    /// The clients.
    pub clients: Clients,
    /// CLIENT PAUSE, while it lasts.
    pub pause: Option<Pause>,
    /// What writes waits, whatever CLIENT PAUSE says: a replica is about to take over, or the server to stop.
    pub writes_stop: bool,
    /// Who wants to know what.
    pub watchers: Watchers,
    /// What the client of the command that is running is to wait for, from the handler's [`ctx::Next::Block`] until the engine
    /// has seen to it.
    pub asked_wait: Option<Box<Wait>>,
    /// Published messages, and replies to clients that waited, that have not reached their receivers' outputs yet.
    pub outbox: Outbox,
    /// What is to be passed on to a log or to replicas.
    pub propagation: Propagation,
    /// Replicas, and the primary that is followed.
    pub replication: Replication,
    /// Connections that are to be made.
    pub outgoing: Outgoing,
    /// Connections to servers that keys are moved to.
    pub targets: Targets,
    /// What keeps the data beyond the process.
    pub persistence: Persistence,
    /// Scripts.
    pub scripting: Scripting,
    /// Long commands that run slice by slice.
    pub jobs: Jobs,
    /// Counters.
    pub stats: Stats,
    /// What is noted of the commands that run.
    pub observer: Observer,
    /// The latest session of HOTKEYS, until it is forgotten.
    pub hotkeys: Option<Box<HotKeys>>,
    /// What turns of the loop spend their time on.
    pub phases: Phases,
    /// Which keys are asked for most.
    pub busy_keys: BusyKeys,
    /// How large keys are.
    pub census: Census,
    /// Keys that may go when memory is short.
    pub eviction: Eviction,
    /// Keys and values that are moved together.
    pub defrag: Defrag,
    /// A walk over all keys that is under way.
    pub renewal: Option<Box<Renewal>>,
    /// Random numbers for RANDOMKEY and the like; not for secrets.
    pub prng: Prng,
    /// Frees big values and does what would keep the loop too long.
    pub background: Background,
    /// The clock, for what needs more than the turn's time.
    pub clock: Rc<dyn Clock>,
}

/// What a server reaches beyond its own memory, handed in so that tests and simulations can take its place.
#[derive(Debug)]
pub struct Outside {
    /// The clock.
    pub clock: Rc<dyn Clock>,
    /// The helper thread for freeing, snapshots and whatever else may take its time.
    pub background: Background,
    /// The disk.
    pub storage: Arc<dyn Storage>,
}

/// Sources of chance of a server, handed in so that tests can fix them.
#[derive(Debug)]
pub struct Seeds {
    /// Secret of the key hash.
    pub hash: [u8; 16],
    /// Seed of the random numbers.
    pub prng: u64,
}

impl Server {
    /// A server with empty databases.
    pub fn new(config: Config, config_sources: Sources, identity: Identity, seeds: Seeds, outside: Outside) -> Server {
        let Outside { clock, background, storage } = outside;
        let hasher = KeyHasher::new(seeds.hash);
        let now = clock.now();
        let mut server = Server {
            dbs: Databases::new(config.databases, hasher),
            observer: Observer::new(&config, crate::command::count()),
            hotkeys: None,
            phases: Phases::default(),
            busy_keys: BusyKeys::default(),
            census: Census::default(),
            config,
            config_sources,
            process: Process {
                identity,
                started_unix_s: now.unix_s(),
                startup_bytes: alloc::allocated_bytes(),
                clients_port: Listening::default(),
                metrics_port: Listening::default(),
                stop_requested: false,
                ending: None,
                failure: None,
                attack_logged_ms: None,
            },
            active_expire: true,
            acl: Acl::default(),
            clients: Clients::new(now),
            pause: None,
            writes_stop: false,
            watchers: Watchers {
                watches: Watches::default(),
                waits: Waits::default(),
                hub: Hub::default(),
                reactive: Reactive::new(hasher, now.mono_ms()),
                caches: Caches::new(hasher),
                replaced: VecDeque::new(),
            },
            asked_wait: None,
            outbox: Outbox::default(),
            propagation: Propagation::default(),
            replication: Replication::new(seeds.prng),
            outgoing: Outgoing::default(),
            targets: Targets::default(),
            persistence: Persistence::new(storage, &background),
            scripting: Scripting::default(),
            jobs: Jobs::default(),
            stats: Stats::new(crate::command::count()),
            eviction: Eviction::default(),
            defrag: Defrag::default(),
            renewal: None,
            prng: Prng::seeded(seeds.prng),
            background,
            clock,
        };
        server.dbs.set_counts_bytes(server.config.key_memory_histograms);
        server.note_wanted_events();
        server.renew_eviction();
        server.renew_sharing();
        server.password_changed();
        if let Some(primary) = server.config.replicaof.clone() {
            server.follow(primary);
        }
        server.count_good_replicas(now);
        server
    }

    /// Panics if what the server knows in two places does not agree. O(clients + databases made); for tests.
    pub fn check(&self) {
        self.clients.check();
        self.check_users();
        self.dbs.check();
        self.check_observer();
        let waiting =
            self.clients.present().filter(|(_, session)| matches!(session.blocked, Some(Blocked::Keys { .. })));
        let others = self.watchers.waits.clients().saturating_sub(waiting.count());
        assert!(others == 0 || self.clients.members.has_gone(), "{others} clients are in queues and do not wait");
        assert!(self.asked_wait.is_none(), "a wait that was asked for has been seen to");
        assert!(self.jobs.asked.is_none(), "a job that was asked for has been seen to");
        let of_jobs = |session: &session::Session| session.blocked == Some(Blocked::Job);
        let working = self.clients.present().filter(|(_, session)| of_jobs(session)).count();
        let forsaken = self.jobs.running.iter().filter(|running| running.is_forsaken).count();
        assert_eq!(working + forsaken, self.jobs.running.len(), "clients with jobs");
        let exclusive = self.jobs.running.iter().filter(|running| running.is_exclusive()).count();
        assert_eq!(exclusive, self.jobs.exclusive, "jobs that have keys for themselves");
        let holding = self.dbs.iter().any(|db| db.has_holds());
        assert!(self.jobs.are_running() || !holding, "keys are held for nobody");
    }

    /// Empties a database. O(1), but for the keys that somebody watches or waits for, and some that queries name: the helper
    /// thread frees what was in it.
    pub fn flush_db(&mut self, index: usize, now: Now) -> usize {
        let keys = self.dbs[index].len();
        if keys > 0 {
            self.live_watched(index, now).iter().for_each(|key| self.break_watches(index, key));
            let old = self.dbs.empty(index);
            self.touch_all_waiters_of(index);
            self.touch_queries_of(index, Before::Flushed(Box::new(old)));
        } else if self.dbs[index].has_timers() || self.dbs[index].snapshot_number().is_some() {
            let old = self.dbs.empty(index);
            self.retire_db(old);
        }
        keys
    }

    /// Puts a database in the place of an empty one. O(1), but for the keys that somebody watches or waits for, and some that
    /// queries name.
    pub fn put_db(&mut self, index: usize, db: Db, now: Now) {
        self.dbs.put(index, db);
        self.live_watched(index, now).iter().for_each(|key| self.break_watches(index, key));
        self.touch_all_waiters_of(index);
        self.touch_queries_of(index, Before::Empty);
    }

    /// Exchanges the contents of two databases. Those who watch a key or wait for one stay with the place. O(1), but for
    /// them.
    pub fn swap_dbs(&mut self, first: usize, second: usize, now: Now) {
        if first == second {
            return;
        }
        self.restart_renewal();
        let before = [first, second].map(|db| self.live_watched(db, now));
        self.dbs.swap(first, second);
        if self.dbs[first].len() + self.dbs[second].len() > 0 {
            self.touch_queries_of(first, Before::SwappedWith(second));
            self.touch_queries_of(second, Before::SwappedWith(first));
        }
        for (db, before) in [first, second].into_iter().zip(before) {
            let after = self.live_watched(db, now);
            before.iter().chain(&after).for_each(|key| self.break_watches(db, key));
            self.touch_all_waiters_of(db);
        }
    }

    /// Frees an entry that has left its database, on the helper thread if that is the quicker way.
    pub fn discard(&mut self, entry: Entry) {
        if entry.is_costly_to_free() {
            let bytes = entry.heap_bytes();
            self.background.free_load(Box::new(entry), Load { objects: 1, bytes });
        }
    }

    /// Has hashes share the names of their fields as configured. To be called when that may have changed.
    pub fn renew_sharing(&mut self) {
        let (min, max) = (self.config.hash_min_template_entries, self.config.hash_max_template_entries);
        self.dbs.share_names(min as usize, max as usize);
    }

    /// Hands over to the helper thread what left a database under a command's hands and takes long to free.
    #[inline]
    pub fn clear_garbage(&mut self, db: usize) {
        while let Some((value, bytes)) = self.dbs[db].take_garbage() {
            self.background.free_load(value, Load { objects: 1, bytes });
        }
    }

    /// Ends what a client has subscribed to, watches and waits for, its job, and that it is shown all commands. Nobody sees anything of it
    /// from now on, but of very much some is cleared away in later turns.
    pub fn leave(&mut self, client: ClientId) {
        let goes_on = self.jobs.may_hold() && self.cancel_job_of(client);
        match self.clients[client].link {
            Some(LinkKind::Primary { .. }) => self.leave_link(client, goes_on),
            Some(LinkKind::Target { number, .. }) => self.leave_target(client, number),
            None => {}
        }
        self.untrack(client);
        self.end_monitor(client);
        self.detach(client);
        let session = &mut self.clients[client];
        session.subscribed = false;
        let Some(member) = session.member.take() else { return };
        let was_idle = !self.clients.members.has_gone();
        self.clients.members.leave(member as usize);
        // Who comes behind another does not add to a turn's work.
        if was_idle {
            self.clear_gone_members(CLEARED_PER_TURN_MAX);
        }
    }

    /// To be called when so many subscriptions, watches or waits are added.
    #[inline]
    pub fn pay_for_gone(&mut self, added: usize) {
        if self.clients.members.has_gone() {
            self.clear_gone_members(CLEARED_PER_ADDED * added);
        }
    }

    /// Clears away what members have left behind that have gone: as much as the budget allows. True if some is left.
    fn clear_gone_members(&mut self, mut budget: usize) -> bool {
        while let Some(member) = self.clients.members.first_gone() {
            let is_gone = |member: u32| self.clients.members.client(member as usize).is_none();
            let done = self.watchers.hub.forget(member, &mut budget)
                && self.watchers.watches.forget_some(member, &mut budget)
                && self.watchers.waits.end_some(member, &mut budget)
                && self.watchers.caches.keys.forget_some(member, is_gone, &mut budget);
            if !done {
                break;
            }
            self.clients.members.release_first();
            // A member without anything costs something, too.
            budget = budget.saturating_sub(1);
        }
        self.note_wanted_events();
        self.clients.members.has_gone()
    }

    /// Does a turn's part of what takes several: clearing up after clients that have gone, what concerns very many queries,
    /// keys read beyond their limit, and what scripts have left behind. True if there is more to do.
    pub fn go_on(&mut self) -> bool {
        let members = self.clients.members.has_gone() && self.clear_gone_members(CLEARED_PER_TURN_MAX);
        members | self.go_on_with_queries() | self.go_on_with_caches() | self.scripting.tidy()
    }

    /// What clients have sent, or what may quote it, as a line of the log shows it.
    pub fn shown_in_log(&self, text: &[u8]) -> String {
        if self.config.hide_user_data_from_log { "*redacted*".to_owned() } else { text.escape_ascii().to_string() }
    }

    /// True while CLIENT PAUSE holds back commands of this kind, or whatever else stops writes.
    #[inline]
    pub fn is_paused(&self, writes: bool, now: Now) -> bool {
        (self.writes_stop && writes)
            || self.pause.is_some_and(|pause| now.mono_ms() < pause.until_ms && (pause.all || writes))
    }

    /// True if some command may be held back for such a reason.
    #[inline]
    pub fn may_pause(&self) -> bool {
        self.pause.is_some() || self.writes_stop
    }
}
