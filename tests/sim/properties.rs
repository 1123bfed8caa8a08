//! What must hold, whatever happens: all of it in this file.

use std::collections::BTreeMap;

use aleadb::base::clock::Now;

use crate::client::{News, Owed};
use crate::scripts::Log;
use crate::workload::{QUERIES, QUEUES, words};
use crate::world::World;

/// A property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property {
    /// Every request is answered, once and in order, unless the connection ends before or CLIENT REPLY says otherwise; and
    /// nobody is sent anything else, but messages to those who subscribe, in order, and results to those who watch.
    RepliesInOrder,
    /// A key whose deadline comes expires, once and not before.
    ExpiredOnce,
    /// A job is given to one client at most; unless it was given to one that went later, it is with a client or in a queue.
    JobsKept,
    /// Of what a script has written nobody sees a part, and no part is in the log; one that was ended before has written nothing.
    ScriptsWhole,
    /// While a script holds the server no other command runs, no key expires and no query has a new result.
    NothingBehindAScript,
    /// A script that is killed ends in the same turn.
    KilledAtOnce,
    /// When nothing happens any more, the last result that a watcher got is the present one.
    WatchersCurrent,
    /// When nothing happens any more, what a client holds in its cache is what the server would answer.
    CachesCurrent,
    /// No more output is kept for a client than its limit allows.
    OutputBounded,
    /// Nobody waits who has gone.
    GoneDoNotWait,
    /// When nothing more is sent, the server has nothing more to do.
    ComesToRest,
    /// The server's own assertions hold.
    NoPanic,
    /// When everybody has gone and all data is deleted, nothing is left.
    NothingLeft,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Violation {
    pub property: Property,
    pub what: String,
}

impl Violation {
    pub fn new(property: Property, what: String) -> Violation {
        Violation { property, what }
    }
}

pub fn ensure(holds: bool, property: Property, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation::new(property, what())) }
}

#[derive(Debug, Default)]
struct Job {
    sent_turn: usize,
    accepted: bool,
    taken: bool,
}

#[derive(Debug)]
struct Timed {
    deadline_ms: i64,
    /// It was there before its deadline.
    was_set: bool,
    expired: bool,
}

/// What the clients have learnt.
#[derive(Debug, Default)]
pub struct Ledger {
    turn: usize,
    /// The latest Unix millisecond of any turn.
    latest_ms: i64,
    jobs: BTreeMap<String, Job>,
    timed: BTreeMap<String, Timed>,
    /// The last revision of each query that anybody has seen.
    revisions: BTreeMap<usize, i64>,
    /// What is known of scripts.
    pub scripts: Log,
    /// The last turn in which a client was disconnected that jobs may have been given to which it never got.
    loser_turn: Option<usize>,
}

impl Ledger {
    pub fn count_turn(&mut self, now: Now) {
        self.turn += 1;
        self.latest_ms = self.latest_ms.max(now.unix_ms);
    }

    /// The latest Unix millisecond that anything was to happen at.
    pub fn last_deadline_ms(&self) -> i64 {
        self.timed.values().map(|timed| timed.deadline_ms).fold(self.latest_ms, i64::max)
    }

    pub fn revision(&self, query: usize) -> i64 {
        self.revisions.get(&query).copied().unwrap_or(1)
    }

    /// A job is under way.
    pub fn sent(&mut self, job: &str) {
        self.jobs.insert(job.to_owned(), Job { sent_turn: self.turn, ..Job::default() });
    }

    /// A key with a deadline is under way.
    pub fn set(&mut self, key: &str, deadline_ms: i64) {
        self.timed.insert(key.to_owned(), Timed { deadline_ms, was_set: false, expired: false });
    }

    /// A client was disconnected, which waited for jobs or not.
    pub fn closed(&mut self, owes_jobs: bool) {
        if owes_jobs {
            self.loser_turn = Some(self.turn);
        }
    }

    /// How often what the ledger is for has happened.
    pub fn reached(&self) -> [(&'static str, u64); 2] {
        let given = self.jobs.values().filter(|job| job.taken).count();
        let expired = self.timed.values().filter(|timed| timed.expired).count();
        [("jobs given away", given as u64), ("keys expired", expired as u64)]
    }

    /// A client was told something.
    pub fn take(&mut self, news: News, now: Now) -> Result<(), Violation> {
        match news {
            News::Pushed(job) => self.jobs.entry(job).or_default().accepted = true,
            News::Popped(job) => {
                let twice = std::mem::replace(&mut self.jobs.entry(job.clone()).or_default().taken, true);
                ensure(!twice, Property::JobsKept, || format!("{job} was given twice"))?;
            }
            News::Timed(key, deadline_ms) => {
                let was_set = self.latest_ms < deadline_ms;
                if let Some(timed) = self.timed.get_mut(&key) {
                    timed.was_set |= was_set;
                }
            }
            News::Expired(key) => {
                let Some(timed) = self.timed.get_mut(&key) else { return Ok(()) };
                let twice = std::mem::replace(&mut timed.expired, true);
                let early = now.unix_ms < timed.deadline_ms;
                ensure(!twice && !early, Property::ExpiredOnce, || {
                    format!(
                        "{key}, due at {}, expired at {}{}",
                        timed.deadline_ms,
                        now.unix_ms,
                        if twice { " again" } else { "" }
                    )
                })?;
            }
            News::Script(text, has_run) => self.scripts.note(text, has_run),
            News::Revision(query, revision) => {
                self.revisions.insert(query, revision);
            }
        }
        Ok(())
    }
}

impl World {
    /// What must hold after every turn.
    pub fn check_turn(&mut self) -> Result<(), Violation> {
        let server = &self.turn.server;
        server.check();
        let is_idle = !self.turn.has_work();
        for client in self.places.iter().flatten().chain(&self.former) {
            let Some(session) = server.clients.get(client.id) else { continue };
            let (most, kept) = (self.plan.output_bytes_max, session.buffers.out_bytes as u64);
            let is_bounded = most == 0 || session.is_sent_messages() || kept <= most;
            ensure(is_bounded, Property::OutputBounded, || format!("{kept} of {most} bytes for {:?}", client.id))?;
            let wire = client.socket.wire();
            let waits = session.blocked.is_some() && is_idle && wire.has_ended() && wire.is_still();
            ensure(!waits, Property::GoneDoNotWait, || format!("{:?} waits: {:?}", client.id, session.blocked))?;
        }
        Ok(())
    }

    /// What must hold when nothing happens any more.
    pub fn check_at_rest(&mut self) -> Result<(), Violation> {
        for client in
            self.places.iter().flatten().filter(|client| !client.is_closed && !client.socket.wire().has_ended())
        {
            let session = self.turn.server.clients.get(client.id);
            let waits = session.is_some_and(|session| session.blocked.is_some());
            let only_waits = client.owed.is_empty() || waits && matches!(client.owed[0], Owed::Pop | Owed::Twins);
            ensure(only_waits, Property::RepliesInOrder, || {
                format!("{:?} is owed {:?} and more; it waits: {waits}", client.id, client.owed[0])
            })?;
        }
        for (key, timed) in &self.ledger.timed {
            ensure(!timed.was_set || timed.expired || self.plan.flushes, Property::ExpiredOnce, || {
                format!("{key}, due at {}, never expired", timed.deadline_ms)
            })?;
        }
        if !self.plan.forces {
            self.ledger.scripts.check()?;
        }
        self.check_watchers()?;
        self.check_caches()?;
        self.check_jobs()
    }

    fn check_watchers(&mut self) -> Result<(), Violation> {
        let live = self.places.iter().flatten().filter(|client| !client.is_closed && !client.socket.wire().has_ended());
        let watched: Vec<_> = live
            .flat_map(|client| {
                client.watched.values().map(|watched| (client.version, watched.query, watched.last.clone()))
            })
            .collect();
        for (version, query, last) in watched {
            let present = self.ask(version, &words(QUERIES[query]))?;
            ensure(present == last, Property::WatchersCurrent, || {
                format!("{} is {present:?}, and the last that came was {last:?}", QUERIES[query])
            })?;
        }
        Ok(())
    }

    fn check_caches(&mut self) -> Result<(), Violation> {
        let live = self.places.iter().flatten().filter(|client| !client.is_closed && !client.socket.wire().has_ended());
        let cached: Vec<_> = live
            .flat_map(|client| client.cache.iter().map(|(query, answer)| (client.role, *query, answer.clone())))
            .collect();
        for (role, query, answer) in cached {
            let present = self.ask(3, &words(QUERIES[query]))?;
            ensure(present == answer, Property::CachesCurrent, || {
                format!("{} is {present:?}, and a {role:?} holds {answer:?}", QUERIES[query])
            })?;
        }
        Ok(())
    }

    fn check_jobs(&mut self) -> Result<(), Violation> {
        let mut queued = Vec::new();
        let numbers: Vec<usize> = self.turn.server.dbs.with_keys().into_iter().map(|(number, _)| number).collect();
        for db in numbers {
            for queue in 0..QUEUES {
                let select = format!("SELECT {db}");
                let script =
                    [words("MULTI"), words(&select), words(&format!("LRANGE jobs:{queue} 0 -1")), words("EXEC")];
                let answer = self.ask_script(2, &script)?;
                let lists = answer.items().and_then(|results| results.get(1)?.items()).unwrap_or_default();
                queued.extend(lists.iter().map(|job| job.text()));
            }
        }
        for job in &queued {
            let is_taken = self.ledger.jobs.get(job).is_none_or(|job| job.taken);
            ensure(!is_taken, Property::JobsKept, || format!("{job} was given away and is in a queue"))?;
        }
        if self.plan.flushes {
            return Ok(());
        }
        for (name, job) in &self.ledger.jobs {
            let may_be_lost = self.ledger.loser_turn.is_some_and(|turn| turn >= job.sent_turn);
            let is_kept = !job.accepted || job.taken || queued.contains(name) || may_be_lost;
            ensure(is_kept, Property::JobsKept, || format!("{name} is nowhere"))?;
        }
        Ok(())
    }

    /// What must be left when everybody has gone: nothing.
    pub fn check_empty(&self) -> Result<(), Violation> {
        let server = &self.turn.server;
        let (clients, watchers) = (&server.clients, &server.watchers);
        let counts = [
            ("clients", clients.len()),
            ("clients to be disconnected", clients.kills.len()),
            ("clients held back", clients.paused),
            ("clients unblocked", clients.unblocked.len()),
            ("clients that may go on", clients.resumed.len()),
            ("timers of clients", clients.timers.len()),
            ("members gone", usize::from(clients.members.has_gone())),
            ("members", clients.members.len()),
            ("connections", self.turn.connections()),
            ("keys watched", watchers.watches.keys()),
            ("clients that watch keys", watchers.watches.clients()),
            ("keys waited for", watchers.waits.keys()),
            ("clients that wait", watchers.waits.clients()),
            ("listeners", usize::from(watchers.hub.has_listeners())),
            ("queries", watchers.reactive.queries()),
            ("watches", watchers.reactive.watches()),
            ("clients that watch queries", watchers.reactive.clients()),
            ("keys of queries", watchers.reactive.keys()),
            ("queries that linger", watchers.reactive.resumable()),
            ("bytes of versions", watchers.reactive.history_bytes() as usize),
            ("clients that cache", watchers.caches.clients()),
            ("keys in caches", watchers.caches.keys.keys()),
            ("prefixes of keys in caches", watchers.caches.prefixes.len()),
            ("scripts under way", usize::from(server.scripting.is_parked() || server.scripting.running.is_some())),
            ("messages", server.outbox.len()),
            ("keys", server.dbs.iter().map(|db| db.len()).sum()),
            ("keys with deadlines", server.dbs.iter().map(|db| db.timed() + db.timed_collections()).sum()),
        ];
        for (what, count) in counts {
            ensure(count == 0, Property::NothingLeft, || format!("{count} {what}"))?;
        }
        Ok(())
    }
}
