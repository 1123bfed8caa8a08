//! Runs jobs: begins them, goes on with them in every turn, finishes them, and holds back the commands that they are in the way of.
//!
//! # What jobs cost a turn
//! Half a millisecond together, less in a turn that has been long without them, and a tenth in any case. They take turns of
//! `QUANTUM_NS`. The time of a job is that of its slices: the slow log, the latency and the statistics of its command count
//! the sum, once, when it is over.
//!
//! While a script is parked, jobs stand still: their ends would come into the midst of the script's unit.

use super::{dispatch, pieces};
use crate::base::clock::Now;
use crate::base::num;
use crate::command::Command;
use crate::command::run::{Call, run_apart};
use crate::command::spec::{Access, Flags};
use crate::feature::client_id::ClientId;
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::ReplyError;
use crate::resp::out::Out;
use crate::resp::reply::Reply;
use crate::server::Server;
use crate::server::ctx::{CallOrigin, Next};
use crate::server::jobs::{Asked, Claim, Doing, JOBS_MAX, JOBS_OUTSIDE_MAX, Running, Slice, Step, Waiting, Work};
use crate::server::observer::Seen;
use crate::server::pieces::{Piecewise, Task};
use crate::server::session::Blocked;
use crate::store::hold::Hold;

/// Nanoseconds for which a job goes on before the next one has its turn.
const QUANTUM_NS: u64 = 100_000;
/// Nanoseconds that jobs have in a turn that is long without them.
const SLICE_NS_MIN: u64 = 100_000;
/// Nanoseconds that a turn should take at most.
const TURN_NS_MAX: u64 = 900_000;

const LOST: ReplyError = ReplyError::new("ERR what this command reads was changed while it ran");

/// Commands that read keys, or all of the data, which their lines do not name.
const READ_ALL: [&str; 5] = ["KEYS", "DBSIZE", "RANDOMKEY", "SORT", "SORT_RO"];
/// Those that read every database.
const READ_EVERYTHING: [&str; 4] = ["SAVE", "BGSAVE", "BGREWRITEAOF", "DEBUG"];

/// What a command uses, as far as its line says: of what it only reads, what somebody may have for himself.
struct Uses(Vec<Claim>);

impl Uses {
    fn of(server: &Server, db: usize, command: &Command, args: Args<'_>) -> Uses {
        let mut uses = Uses(Vec::new());
        uses.add(server, db, command, args);
        uses
    }

    /// Those of a client's command: of EXEC, those of its queue, which may choose other databases on the way.
    fn of_client(server: &Server, client: ClientId, command: &Command, args: Args<'_>) -> Uses {
        let session = &server.clients[client];
        let Some(transaction) = &session.transaction else { return Uses::of(server, session.db, command, args) };
        // `None` for a database that nobody has chosen yet: nothing of it is held.
        let (mut uses, mut place) = (Uses(Vec::new()), Some(session.db));
        for queued in &transaction.queue {
            let args = queued.args.as_args();
            if queued.command.spec.name == "SELECT" {
                let number = args.get(1).and_then(num::parse_i64).and_then(|number| usize::try_from(number).ok());
                place = match number.filter(|number| *number < server.dbs.count()) {
                    Some(number) => server.dbs.find(number),
                    None => place,
                };
            } else if let Some(place) = place {
                uses.add(server, place, queued.command, args);
            }
        }
        uses
    }

    fn add(&mut self, server: &Server, db: usize, command: &Command, args: Args<'_>) {
        let (spec, reads_matter) = (command.spec, server.jobs.may_hold_readers());
        let may_write = spec.flags.has(Flags::WRITE.with(Flags::MAY_REPLICATE).with(Flags::RUNS_SCRIPT));
        if !may_write && !reads_matter {
            return;
        }
        let whole = |place: usize, is_written: bool| Claim { place, key: None, is_written };
        match command.full_name.split('|').next().unwrap_or_default() {
            "flushdb" => self.0.push(whole(db, true)),
            "flushall" | "swapdb" => self.0.extend(server.dbs.places().map(|place| whole(place, true))),
            name if reads_matter => {
                let is = |names: &[&str]| names.iter().any(|of| of.eq_ignore_ascii_case(name));
                if is(&READ_ALL) {
                    self.0.push(whole(db, false));
                } else if is(&READ_EVERYTHING) {
                    self.0.extend(server.dbs.places().map(|place| whole(place, false)));
                }
            }
            _ => {}
        }
        // COPY and MOVE may put a key into any other database.
        let everywhere = matches!(spec.name, "COPY" | "MOVE");
        // What a group of a stream is given is noted there, though it counts as a read.
        let is_changed = |access: Access| may_write && (!access.has(Access::RO) || spec.name == "XREADGROUP");
        for used in spec.keys_of(args) {
            let (key, is_written) = (args.at(used.index), is_changed(used.access));
            if !is_written && !reads_matter {
                continue;
            }
            if everywhere && is_written {
                let claim = |place| Claim { place, key: Some(key.into()), is_written };
                self.0.extend(server.dbs.places().map(claim));
            } else {
                self.0.push(Claim { place: db, key: Some(key.into()), is_written });
            }
        }
    }

    /// True if some job is in the way. O(what is used and jobs).
    fn are_held(&self, server: &Server) -> bool {
        let holds_all =
            |place| server.jobs.running.iter().any(|running| running.db == place && running.holds_database(server));
        self.0.iter().any(|Claim { place, key, is_written }| match key {
            Some(key) => {
                if server.has_overdue(*place, key) {
                    return true;
                }
                let holders = server.dbs[*place].holders_of(key);
                if *is_written { holders.are_some() || holds_all(*place) } else { holders.exclusive > 0 }
            }
            None => server.jobs.running.iter().any(|running| is_in(running, *place, *is_written)),
        })
    }

    /// True if this job is in the way.
    fn meet(&self, server: &Server, running: &Running) -> bool {
        let db = &server.dbs[running.db];
        self.0.iter().filter(|claim| claim.place == running.db).any(|Claim { place, key, is_written }| {
            let Some(key) = key else { return is_in(running, *place, *is_written) };
            let group = running.pieces().and_then(|pieces| pieces.group);
            let holds = running.holds.iter().any(|(held, _)| held == key)
                || group.is_some_and(|group| db.is_in_group(group, key));
            (holds && (*is_written || running.is_exclusive())) || (*is_written && running.holds_database(server))
        })
    }
}

/// True if a job is in the way of who would use the whole of a database.
fn is_in(running: &Running, place: usize, is_written: bool) -> bool {
    running.db == place && running.has_begun() && (is_written || running.is_exclusive())
}

/// True if a client's command has to wait for jobs, and the client is noted as waiting. To be asked while [`may_hold`] says so.
/// O(keys and jobs).
///
/// [`may_hold`]: crate::server::jobs::Jobs::may_hold
pub(super) fn is_held(server: &mut Server, client: ClientId, command: &'static Command, args: Args<'_>) -> bool {
    let uses = Uses::of_client(server, client, command, args);
    if uses.are_held(server) {
        hold_back(server, client, uses.0);
        return true;
    }
    false
}

/// True if a command uses what a job is writing.
#[cold]
pub(super) fn meets_exclusive(server: &Server, db: usize, command: &Command, args: Args<'_>) -> bool {
    Uses::of(server, db, command, args).0.iter().any(|Claim { place, key, .. }| match key {
        Some(key) => server.is_exclusive(*place, key),
        None => server.jobs.running.iter().any(|running| is_in(running, *place, false)),
    })
}

/// Notes a client whose command is held back. It keeps its place while it waits for what it uses.
fn hold_back(server: &mut Server, client: ClientId, claims: Vec<Claim>) {
    match server.jobs.waiting.iter_mut().find(|waiting| waiting.client == client) {
        Some(waiting) => waiting.claims = claims,
        None => {
            let ticket = server.jobs.ticket();
            server.jobs.counts.held_back += 1;
            server.jobs.waiting.push(Waiting { client, claims, ticket });
        }
    }
}

/// Makes a job of what a handler has left behind, for a command that began at this time. False if it may not begin yet: the
/// client is held back, and its command has to be given again.
pub(super) fn begin(server: &mut Server, call: Call<'_>, is_muted: bool, started_ns: u64) -> bool {
    let Call { client, command, args, db, proto, .. } = call;
    let asked = server.jobs.asked.take().expect("a handler that asks for a job has left one behind");
    let mut holds = Vec::new();
    // Who reads whatever keys there are waits for all that are about to be written.
    let mut holds_all = false;
    if let Asked::Whole(job) = &asked {
        holds_all = job.holds_database(server, db);
        holds.extend(command.spec.keys_of(args).into_iter().map(|used| {
            let hold = if used.access.has(Access::RO) { Hold::Read } else { Hold::Target };
            (Box::<[u8]>::from(args.at(used.index)), hold)
        }));
    }
    let is_taken = |key: &[u8], hold: Hold| {
        server.dbs[db].holders_of(key).excludes(hold)
            || server.jobs.is_claimed(client, db, key, hold)
            || server.jobs.is_awaited(db, key)
    };
    let is_outside = matches!(&asked, Asked::Whole(job) if job.waits_outside());
    let outside = || server.jobs.running.iter().filter(|running| running.waits_outside()).count();
    if server.jobs.running.len() >= JOBS_MAX
        || (is_outside && outside() >= JOBS_OUTSIDE_MAX)
        || holds.iter().any(|(key, hold)| is_taken(key, *hold))
        || (holds_all && server.jobs.is_to_be_written(client, db))
    {
        hold_back(server, client, Vec::new());
        server.clients.block(client, Blocked::Hold);
        return false;
    }
    if server.jobs.may_hold() {
        server.jobs.stop_waiting(client);
    }
    let out = Out::with_limit(server.output_limit_of(client).hard_bytes);
    let work = match asked {
        Asked::Whole(job) => Doing::Whole(job),
        Asked::Pieces(pieces) => begin_pieces(server, Task::Line(pieces), call),
        Asked::Queue(queue) => begin_pieces(server, Task::Queue(queue), call),
    };
    let (args, gathered, is_forsaken) = (OwnedArgs::copy(args), None, false);
    let spent_ns = server.clock.mono_ns().saturating_sub(started_ns);
    let mut running =
        Running { client, command, args, proto, db, out, is_muted, spent_ns, holds, work, gathered, is_forsaken };
    for (key, hold) in &running.holds {
        server.dbs[db].hold(key, *hold);
    }
    server.jobs.exclusive += usize::from(running.is_exclusive());
    if let Doing::Whole(job) = &mut running.work {
        job.begin(server, db);
    }
    server.jobs.running.push_back(running);
    server.jobs.counts.begun += 1;
    server.clients.block(client, Blocked::Job);
    true
}

fn begin_pieces(server: &mut Server, task: Task, call: Call<'_>) -> Doing {
    let ticket = server.jobs.ticket();
    let is_followed = server.clients[call.client].link.is_some();
    Doing::Pieces(Box::new(Piecewise::new(task, is_followed, call.command, call.args, ticket)))
}

/// Goes on with the jobs; to be called once a turn. True if there is more to do at once.
pub fn step(server: &mut Server, now: Now) -> bool {
    if server.scripting.is_parked() {
        return false;
    }
    server.targets.has_news = false;
    let limits = server.jobs.limits;
    let mut time_ns = server.clock.mono_ns();
    let room_ns = TURN_NS_MAX.saturating_sub(time_ns.saturating_sub(now.mono_ns));
    let ends_ns = time_ns + limits.slice_ns.min(room_ns).max(SLICE_NS_MIN.min(limits.slice_ns));
    let (mut elements, mut stuck) = (limits.slice_elements, 0);
    while let Some(mut running) = server.jobs.running.pop_front() {
        let clock = std::rc::Rc::clone(&server.clock);
        let share = elements.div_ceil(server.jobs.running.len() + 1);
        let slice = Slice::new(&*clock, ends_ns.min(time_ns + QUANTUM_NS), share);
        let (end, left) = go_on(server, &mut running, slice, now);
        elements = elements.saturating_sub(share - left.min(share));
        let ended_ns = clock.mono_ns();
        let took_ns = ended_ns.saturating_sub(time_ns);
        time_ns = ended_ns;
        running.spent_ns += took_ns;
        server.jobs.counts.slice_ns_max = server.jobs.counts.slice_ns_max.max(took_ns);
        server.stats.note_ran(running.command, took_ns);
        match end {
            Went::Ended(end) if may_end(server, &running, &end, now) => {
                // Others may have waited for it.
                stuck = 0;
                finish(server, running, end, now);
            }
            Went::Ended(end) => {
                if let Step::Gathered(gathered) = end {
                    running.gathered = Some(gathered);
                }
                stuck += 1;
                server.jobs.running.push_back(running);
            }
            Went::Waits => {
                stuck += 1;
                server.jobs.running.push_back(running);
            }
            Went::On => {
                stuck = 0;
                server.jobs.running.push_back(running);
            }
        }
        if time_ns >= ends_ns || elements == 0 || stuck >= server.jobs.running.len() {
            break;
        }
    }
    // Whoever may try again does so at the beginning of a turn.
    stuck < server.jobs.running.len() || (server.jobs.releases && !server.jobs.waiting.is_empty())
}

/// How far a job has come in a slice.
pub(super) enum Went {
    /// There is more to do.
    On,
    /// It waits for something.
    Waits,
    /// It has ended.
    Ended(Step),
}

/// A slice of a job, and what is left of the slice's elements.
fn go_on(server: &mut Server, running: &mut Running, mut slice: Slice<'_>, now: Now) -> (Went, usize) {
    if let Some(gathered) = running.gathered.take() {
        return (Went::Ended(Step::Gathered(gathered)), slice.left());
    }
    let Running { work, out, proto, db, .. } = running;
    let Doing::Whole(job) = work else {
        let went = pieces::go_on(server, running, &mut slice, now);
        return (went, slice.left());
    };
    let mut work = Work { server, reply: Reply::new(out, *proto), slice, db: *db };
    let step = job.step(&mut work);
    let left = work.slice.left();
    let needs_keys = job.needs_keys();
    if !needs_keys && !running.holds.is_empty() {
        server.end_holds_on_keys(running);
    }
    match step {
        // Its client is disconnected: there is nothing to go on for.
        Step::More if running.out.is_cut() => (Went::Ended(Step::Answered), left),
        Step::More => (Went::On, left),
        Step::Waits => (Went::Waits, left),
        end => (Went::Ended(end), left),
    }
}

/// False if the end of a job would change data that must not change now: CLIENT PAUSE, a log that is behind, a snapshot.
fn may_end(server: &mut Server, running: &Running, end: &Step, now: Now) -> bool {
    if !matches!(end, Step::Gathered(_)) || !running.command.spec.flags.has(Flags::WRITE) {
        return true;
    }
    let (flags, args) = (running.command.spec.flags, running.args.as_args());
    let may_hold = server.may_pause() || server.persistence.may_hold();
    !may_hold
        || !(dispatch::holds_back(server, flags, now)
            || server.is_held_by_snapshot(running.client, running.command, args))
}

/// Finishes a job: what it has gathered is put in place, and its client is answered and goes on.
fn finish(server: &mut Server, mut running: Running, end: Step, now: Now) {
    server.end_holds(&mut running);
    let Running {
        client, command, args: line, proto, db, mut out, is_muted, mut spent_ns, mut work, is_forsaken, ..
    } = running;
    let args = line.as_args();
    if let Doing::Pieces(pieces) = &mut work {
        server.pass_on_unit_of(client, std::mem::take(&mut pieces.unit));
    }
    let posted = server.outbox.len();
    match end {
        Step::Gathered(gathered) => {
            let began_ns = server.clock.mono_ns();
            server.jobs.gathered = Some(gathered);
            let call = Call { db, proto, ..Call::of(server, client, command, args, CallOrigin::Sent) };
            let is_inside = server.propagation.is_open();
            let ended = run_apart(server, call, &mut out, now);
            debug_assert_eq!(ended.next, Next::Done, "{} does not begin anew", command.full_name);
            debug_assert!(server.jobs.gathered.is_none(), "{} takes what was gathered for it", command.full_name);
            // In the midst of a script's unit it is a part of that.
            if !is_inside {
                server.end_unit_of(client);
            }
            spent_ns += server.clock.mono_ns().saturating_sub(began_ns);
        }
        Step::Lost => {
            debug_assert!(false, "{} has lost what it held", command.full_name);
            out = Out::default();
            server.stats.count_error(LOST.code());
            server.stats.by_command[command.id].failed += 1;
            Reply::new(&mut out, proto).error(&LOST);
        }
        Step::More | Step::Waits | Step::Answered => {}
    }
    let mut time_ns = server.clock.mono_ns().saturating_sub(spent_ns);
    let seen = Seen { client, command, args, reply_bytes: out.written_bytes(), is_shown: true };
    dispatch::count(server, seen, &mut time_ns);
    if is_forsaken {
        if matches!(&work, Doing::Pieces(pieces) if pieces.is_followed) {
            server.commit_unlinked();
        }
        return server.background.free(Box::new((work, line)));
    }
    server.clients[client].blocked = None;
    if server.clients[client].link.is_some() {
        server.commit_stream(client);
    }
    if is_muted {
        out = Out::default();
    }
    if server.outbox.len() > posted && server.is_listening(client) {
        server.deliver_own(client, posted, &mut out);
    }
    if out.is_cut() {
        server.cut_off(client);
    } else {
        server.outbox.reply(client, out);
    }
    remember_reads(server, client, command, args);
    server.clients.resumed.push(client);
    server.background.free(Box::new((work, line)));
}

/// Remembers what a job has read, for a client that caches it. What that makes others or the client itself forget follows the
/// answer.
fn remember_reads(server: &mut Server, client: ClientId, command: &'static Command, args: Args<'_>) {
    if server.watchers.caches.is_on() {
        let author = server.watchers.caches.author();
        server.watchers.caches.set_author(Some(client));
        server.remember_reads(command, args);
        server.watchers.caches.set_author(author);
        server.end_caching(client, Some(command));
    }
}

/// Runs jobs to their ends, for what cannot wait and may change anything.
#[cold]
pub(super) fn finish_all(server: &mut Server, now: Now) {
    rush(server, now, |_, _| true);
}

/// Runs those jobs to their ends that have begun to change something, here or elsewhere, before the server ends.
pub fn finish_writing(server: &mut Server, now: Now) {
    if server.jobs.are_running() && !server.scripting.is_parked() {
        rush(server, now, |_, running| running.outlives_client());
    }
}

/// Runs the jobs to their ends that are in the way of a command that cannot wait.
#[cold]
pub(super) fn make_way(server: &mut Server, db: usize, command: &Command, args: Args<'_>, now: Now) {
    let uses = Uses::of(server, db, command, args);
    if uses.are_held(server) {
        rush(server, now, |server, running| uses.meet(server, running));
    }
}

fn rush(server: &mut Server, now: Now, is_in_the_way: impl Fn(&Server, &Running) -> bool) {
    let meets = |server: &Server, running: &Running| running.has_begun() && is_in_the_way(server, running);
    while let Some(index) = server.jobs.running.iter().position(|running| meets(server, running)) {
        let Some(mut running) = server.jobs.running.remove(index) else { return };
        if running.pieces().is_some_and(Piecewise::is_before_its_instant) {
            pieces::let_go(server, &mut running);
            server.jobs.running.push_back(running);
            continue;
        }
        let clock = std::rc::Rc::clone(&server.clock);
        let began_ns = clock.mono_ns();
        let end = loop {
            if let (Went::Ended(end), _) = go_on(server, &mut running, Slice::endless(&*clock), now) {
                break end;
            }
        };
        running.spent_ns += clock.mono_ns().saturating_sub(began_ns);
        server.jobs.counts.rushed += 1;
        finish(server, running, end, now);
    }
}
