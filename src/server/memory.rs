//! What the parts of the server have on the heap, in the allocator's size classes.
//!
//! Keys and values are not added up, as that would take O(keys): they are what is allocated beyond these parts. What is small and
//! bounded, such as the settings and the logs of slow commands, is counted with them.

use super::Server;
use super::session::Session;
use crate::base::heap::{self, size_class};
use crate::feature::client_id::ClientId;
use crate::lua::vm::Purpose;
use crate::sys::alloc;

/// What one client has, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientBytes {
    /// Arguments of the command that waits for keys.
    pub argv: usize,
    /// Commands that wait for EXEC.
    pub multi: usize,
    /// All of it, with its session, its texts, its input and its output. What it subscribes to or watches is not its own: a topic
    /// or key is kept once for all.
    pub total: usize,
}

impl Session {
    /// What the client has on the heap. The table that it stands in is everybody's. O(prefixes that it tracks).
    pub fn heap_bytes(&self) -> ClientBytes {
        let texts = [&self.name, &self.lib_name, &self.lib_ver].map(heap::vec).iter().sum::<usize>();
        let addresses = size_class(self.peer.capacity()) + size_class(self.local.capacity());
        let tracking = self.tracking.as_ref().map_or(0, |tracking| {
            let prefixes = tracking.prefixes.iter().map(|prefix| size_class(prefix.len())).sum::<usize>();
            size_class(size_of_val(&**tracking)) + heap::vec(&tracking.prefixes) + prefixes
        });
        let argv =
            self.waiting.as_ref().map_or(0, |waiting| size_class(size_of_val(&**waiting)) + waiting.args.heap_bytes());
        let multi = self.transaction.as_ref().map_or(0, |transaction| transaction.heap_bytes());
        let replica = self.replica.as_ref().map_or(0, |replica| {
            let spooled = replica.spool.as_ref().map_or(0, |spool| spool.bytes);
            size_class(size_of_val(&**replica))
                + spooled
                + replica.host.as_ref().map_or(0, |host| size_class(host.len()))
        });
        let fieldsets = self.fieldsets.as_ref().map_or(0, |all| size_class(size_of_val(&**all)) + all.heap_bytes());
        let input = size_class(self.buffers.query_bytes + self.buffers.query_free_bytes);
        let buffers = input + size_class(self.buffers.out_heap_bytes);
        ClientBytes { argv, multi, total: texts + addresses + tracking + replica + argv + multi + fieldsets + buffers }
    }
}

/// What the parts have, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts {
    /// Sessions and connections with their buffers and queued commands, of those who do not subscribe.
    pub clients: usize,
    /// The same of those who subscribe to channels.
    pub subscribers: usize,
    /// The same of replicas, with what of a snapshot they have not been sent.
    pub replicas: usize,
    /// What is kept of the stream for replicas.
    pub backlog: usize,
    /// Who subscribes to what.
    pub subscriptions: usize,
    /// Keys that transactions depend on.
    pub watched_keys: usize,
    /// Keys that clients wait for.
    pub awaited_keys: usize,
    /// Keys and prefixes of which caching clients want to be told.
    pub tracking: usize,
    /// Live queries, who watches them, and their results that are kept.
    pub live_queries: usize,
    /// Messages that have not reached their receivers' outputs.
    pub messages: usize,
    /// Texts of scripts, and what is known of them.
    pub scripts: usize,
    /// Texts of libraries of functions, and what is known of those.
    pub libraries: usize,
    /// What the interpreters have allocated.
    pub interpreters: usize,
    /// How long commands and phases of turns took.
    pub durations: usize,
    /// Names of fields that hashes share.
    pub hash_templates: usize,
    /// What waits to be written to the log.
    pub log: usize,
    /// What waits to be written to a snapshot.
    pub snapshot: usize,
}

impl Parts {
    /// All of them together.
    pub fn total(&self) -> usize {
        self.clients
            + self.subscribers
            + self.replicas
            + self.backlog
            + self.subscriptions
            + self.watched_keys
            + self.awaited_keys
            + self.tracking
            + self.live_queries
            + self.messages
            + self.scripts
            + self.libraries
            + self.interpreters
            + self.durations
            + self.hash_templates
            + self.log
            + self.snapshot
    }
}

impl Server {
    /// Adds up what the parts have. O(clients), and a step for some hundred live queries, tracked keys or names of these.
    pub fn heap_parts(&self) -> Parts {
        let mut parts = Parts { clients: self.clients.heap_bytes(), ..Parts::default() };
        for (_, session) in self.clients.iter() {
            let of = match session.subscribed {
                _ if session.is_replica => &mut parts.replicas,
                true => &mut parts.subscribers,
                false => &mut parts.clients,
            };
            *of += session.heap_bytes().total;
        }
        let watchers = &self.watchers;
        let scripting = &self.scripting;
        Parts {
            backlog: self.replication.backlog_heap_bytes() + self.replication.heap_bytes(),
            subscriptions: watchers.hub.heap_bytes(),
            watched_keys: watchers.watches.heap_bytes(),
            awaited_keys: watchers.waits.heap_bytes(),
            tracking: watchers.caches.keys.heap_bytes() + watchers.caches.prefixes.heap_bytes(),
            live_queries: watchers.reactive.heap_bytes(),
            messages: self.outbox.heap_bytes(),
            scripts: scripting.cache.heap_bytes(),
            libraries: scripting.libraries.heap_bytes(),
            interpreters: scripting.vm_bytes(Purpose::Scripts) + scripting.vm_bytes(Purpose::Functions),
            durations: self.observer.heap_bytes() + self.phases.heap_bytes(),
            hash_templates: self.dbs.templates().counts().bytes,
            log: self.persistence.log.heap_bytes()
                + self.persistence.backup.heap_bytes()
                + self.propagation.heap_bytes(),
            snapshot: self.persistence.snapshots.waiting_bytes(),
            ..parts
        }
    }

    /// To be called once all is in place that is there without clients and data.
    pub fn note_startup_bytes(&mut self) {
        self.process.startup_bytes = alloc::allocated_bytes().saturating_sub(self.heap_parts().total());
    }

    /// What a client has: see [`Session::heap_bytes`], and its own place in the table.
    pub fn client_bytes(&self, client: ClientId) -> ClientBytes {
        let own = self.clients[client].heap_bytes();
        ClientBytes { total: size_of::<Session>() + own.total, ..own }
    }
}
