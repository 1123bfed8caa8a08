//! The evaluation of live queries: after a change, each query it concerns is run once for each protocol that its watchers
//! speak, and the result is posted to all of them.
//!
//! A query that its own evaluation touches, by finding a key expired or by refreshing what a HyperLogLog remembers, is not
//! evaluated again for that: its result is of after the touch.

use crate::base::clock::Now;
use crate::command;
use crate::feature::reactive::QueryId;
use crate::resp::out::Out;
use crate::resp::reply::{Proto, Reply};
use crate::server::Server;
use crate::server::ctx::{Ctx, Way};
use crate::store::db::Moment;

/// Evaluates the queries that were touched, in the order in which they were, and posts the results.
#[inline]
pub(super) fn evaluate(server: &mut Server, now: Now) {
    while let Some(id) = server.reactive.take_touched() {
        post_result(server, id, now);
        server.reactive.untouch(id);
    }
}

fn post_result(server: &mut Server, id: QueryId, now: Now) {
    let receivers = server.reactive.query(id).subscribers().to_vec();
    let mut texts = [None, None];
    for client in receivers {
        let proto = server.sessions[client as usize].proto;
        let known = &mut texts[usize::from(proto == Proto::Resp3)];
        let text = *known.get_or_insert_with(|| {
            let frame = frame(server, id, client as usize, proto, now);
            server.outbox.add_text(frame)
        });
        server.outbox.post_result(client, text, id);
    }
}

/// A query's present result in the form in which it is pushed.
fn frame(server: &mut Server, id: QueryId, client: usize, proto: Proto, now: Now) -> Vec<u8> {
    server.stats.watch_evaluations += 1;
    let query = server.reactive.query(id);
    let (db, fingerprint, line) = (query.db(), query.fingerprint(), query.line().unpack());
    let args = line.as_args();
    let command = command::lookup(args.at(0)).expect("a query is a line of a command");
    let mut at = Moment::new(now, false).quietly();
    if server.is_paused(true, now) {
        at = at.keeping_due();
    }
    let mut out = Out::default();
    let mut reply = Reply::new(&mut out, proto);
    reply.push(3);
    reply.bulk(args.at(0));
    reply.bulk_integer(i64::from(fingerprint));
    let mut ctx = Ctx { server, client, command, reply, now, db, at, out_of_band: false, way: Way::Watched };
    command::reactive::answer(&mut ctx, command, args);
    server.report(db);
    server.clear_garbage(db);
    out.into_bytes()
}
