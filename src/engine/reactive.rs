//! When live queries are evaluated: after a change each query it concerns, unless its changes are gathered for a while, and
//! then when that is over.
//!
//! A query that its own evaluation touches, by finding a key expired or by refreshing what a HyperLogLog remembers, is not
//! evaluated again for that: its result is of after the touch.

use crate::base::clock::Now;
use crate::command::reactive::push_result;
use crate::feature::reactive::QueryId;
use crate::server::Server;

/// Queries evaluated after one change at most. A change of very many, FLUSHALL or SWAPDB, leaves the others to the next
/// turns.
const EVALUATED_AT_ONCE_MAX: usize = 1024;

/// Bytes of results, and of messages beside them, that may wait to be handed to their receivers before another query is
/// evaluated: the loop comes by between two commands and two turns.
const UNDELIVERED_BYTES_MAX: usize = 64 << 20;
/// Queries whose gathered changes are looked at in one turn, and between two looks at what is undelivered.
const DUE_PER_TURN_MAX: usize = 1024;
const DUE_AT_ONCE_MAX: usize = 16;

/// Has the queries evaluated that were touched, in the order in which they were, and the results posted.
#[inline]
pub(super) fn evaluate(server: &mut Server, now: Now) {
    for _ in 0..EVALUATED_AT_ONCE_MAX {
        if server.outbox.text_bytes() > UNDELIVERED_BYTES_MAX {
            break;
        }
        let Some(id) = server.watchers.reactive.take_touched() else { break };
        if server.jobs.have_exclusive() && put_aside(server, id) {
            continue;
        }
        if !server.watchers.reactive.put_off(id, now.mono_ms()) {
            push(server, id, now);
        }
    }
}

/// Puts a query aside whose keys a job is writing: what it reads would be the half of something.
#[cold]
fn put_aside(server: &mut Server, id: QueryId) -> bool {
    let query = server.watchers.reactive.query(id);
    let is_held = query.line().keys().any(|key| server.is_exclusive(query.db(), key));
    if is_held {
        server.watchers.reactive.settle(id);
        server.watchers.reactive.put_aside(id);
        server.jobs.aside.push(id);
    }
    is_held
}

/// Evaluates a query. What it finds expired, or refreshes, is a unit of its own for the log and the replicas.
fn push(server: &mut Server, id: QueryId, now: Now) {
    push_result(server, id, now);
    server.propagation.end_unit();
}

/// The same for those whose changes have been gathered long enough. False if there are more than one turn takes.
pub fn evaluate_due(server: &mut Server, now: Now) -> bool {
    if server.scripting.is_parked() {
        // Nobody is to see what it has changed so far.
        return true;
    }
    let (mut left, mut due) = (DUE_PER_TURN_MAX, Vec::new());
    while left > 0 && server.outbox.text_bytes() <= UNDELIVERED_BYTES_MAX {
        let mut budget = DUE_AT_ONCE_MAX.min(left);
        left -= budget;
        let all = server.watchers.reactive.take_due(now.mono_ms(), &mut budget, &mut due);
        for id in due.drain(..) {
            if !(server.jobs.have_exclusive() && put_aside(server, id)) {
                push(server, id, now);
            }
        }
        if all {
            return true;
        }
    }
    false
}
