//! Goes on with a command that is done piece by piece: has it take its keys, then do its pieces, as `server::pieces` says.

use super::dispatch;
use super::jobs::Went;
use super::replication::apply;
use crate::base::clock::Now;
use crate::command::run::{Call, run_pieces};
use crate::command::spec::Flags;
use crate::server::Server;
use crate::server::ctx::CallOrigin;
use crate::server::jobs::{Doing, Running, Slice, Step};
use crate::server::pieces::{Progress, Task};
use crate::store::hold::Hold;

/// Times that a command begins to take its keys over several turns. If it has had to let go of them so often, it takes them in one.
const TIMES_BEGUN_MAX: u32 = 4;

/// A slice of it.
pub(super) fn go_on(server: &mut Server, running: &mut Running, slice: &mut Slice<'_>, now: Now) -> Went {
    let Running { client, command, args, proto, db, out, work, .. } = running;
    let Doing::Pieces(work) = work else { return Went::Ended(Step::Lost) };
    let (client, db, args) = (*client, *db, args.as_args());
    if work.is_before_its_instant() {
        match take_keys(server, running, slice) {
            Took::All => {}
            Took::Some => return Went::On,
            Took::Waits => return Went::Waits,
        }
        let Doing::Pieces(work) = &mut running.work else { return Went::Ended(Step::Lost) };
        work.instant = Some(now);
        if slice.left() == 0 {
            return Went::On;
        }
        return go_on(server, running, slice, now);
    }
    let (flags, instant) = (work.flags(command), work.instant.unwrap_or(now));
    if flags.has(Flags::WRITE) && !work.has_written && !slice.is_endless() {
        let may_hold = server.may_pause() || server.persistence.may_hold();
        if server.jobs.is_whole_wanted
            || (may_hold && dispatch::holds_back(server, flags, now))
            || (may_hold && !work.has_many_keys() && server.snapshot_lacks(db, command, args))
        {
            return Went::Waits;
        }
    }
    server.propagation.open_apart(&mut work.unit);
    server.jobs.told = work.told.take();
    server.dbs[db].act_for(work.group);
    let origin = if work.is_followed { CallOrigin::Followed } else { CallOrigin::Sliced };
    let call = Call { client, command, args, hash: None, origin, db, proto: *proto };
    let (progress, has_changed) = match &mut work.task {
        Task::Line(pieces) => run_pieces(server, call, out, instant, |ctx| pieces.go_on(ctx, args, slice)),
        Task::Queue(queue) => apply::go_on_with_queue(server, call, queue, slice, instant),
    };
    server.dbs[db].act_for(None);
    work.told = server.jobs.told.take();
    server.propagation.close_apart(&mut work.unit);
    work.has_written |= has_changed;
    match progress {
        Some(Progress::Through) | None => Went::Ended(Step::Answered),
        // Its client is disconnected: there is nothing to go on for, if nothing has been changed.
        Some(_) if out.is_cut() && !work.has_written => Went::Ended(Step::Answered),
        Some(Progress::More) => Went::On,
        Some(Progress::Waits) => Went::Waits,
    }
}

/// Has a command let go of the keys that it has taken: it begins to take them anew.
pub(super) fn let_go(server: &mut Server, running: &mut Running) {
    let Doing::Pieces(work) = &mut running.work else { return };
    debug_assert!(work.is_before_its_instant(), "what it does is under way");
    if let Some(hashes) = work.group.take().and_then(|group| server.dbs[running.db].end_group(group)) {
        server.background.free(hashes);
    }
    work.times_begun += u32::from(work.taken > 0 && work.has_many_keys());
    work.take_none();
    server.jobs.releases |= !server.jobs.waiting.is_empty();
}

/// How many of its keys a command has.
enum Took {
    All,
    Some,
    /// It waits for the next one, or for its turn.
    Waits,
}

/// Has a command take its keys until the slice is over.
fn take_keys(server: &mut Server, running: &mut Running, slice: &mut Slice<'_>) -> Took {
    let Running { client, args, db, work, .. } = running;
    let Doing::Pieces(work) = work else { return Took::Waits };
    let args = args.as_args();
    if work.taken == 0 && work.has_many_keys() {
        let others = server.jobs.running.iter().filter_map(|running| running.pieces());
        let comes_first = |ticket: u64| ticket < work.ticket;
        if others
            .filter(|other| other.has_many_keys() && other.is_before_its_instant())
            .any(|other| other.is_taking() || comes_first(other.ticket))
        {
            return Took::Waits;
        }
    }
    let holds_all = |other: &Running| other.db == *db && other.holds_database(server);
    if work.taken == 0 && work.hold == Hold::Exclusive && server.jobs.running.iter().any(holds_all) {
        return Took::Waits;
    }
    let keys = work.keys();
    let (hold, ticket) = (work.hold, work.ticket);
    let group = *work.group.get_or_insert_with(|| server.dbs[*db].begin_group(hold, keys));
    while let Some(key) = work.next_key(args) {
        let is_claimed = server.jobs.is_claimed_before(ticket, *client, *db, key, hold);
        if is_claimed || !server.dbs[*db].hold_in(group, key) {
            if is_claimed || !work.has_many_keys() || work.taken == 0 {
                // It holds all of a few keys, or none. Nor does it hold any while somebody is before it: who waits for the whole of a
                // database may be waiting for what it holds.
                let_go(server, running);
            }
            return Took::Waits;
        }
        let is_slice_left = slice.spend(1, key.len());
        work.take_key();
        let is_patient = work.has_many_keys() && work.times_begun < TIMES_BEGUN_MAX;
        if !is_slice_left && work.taken < keys && is_patient {
            return Took::Some;
        }
    }
    Took::All
}
