//! Replication: which history the data is of, what is kept of its stream for replicas, who they are, and whom this server follows
//! itself.
//!
//! # Words
//! A *history* is named by forty hexadecimal digits and counted in bytes of its stream: two servers that have the same offset of
//! the same history hold the same data. A server that becomes a primary begins a history of its own, and remembers up to which
//! offset it shares that of its former primary, so that the latter's other replicas may go on with it.
//!
//! Parts, each in a file of its own: [`history`]; [`following`], as the replica of another, and [`sync`], the data set that comes from it.
//! The engine moves them on.

pub mod backlog;
pub mod following;
pub mod history;
pub mod sync;

use crate::base::prng::Prng;

use following::Following;
use history::{History, ID_CHARS};

/// Histories are named by other random numbers than commands draw.
const IDS_SEED: u64 = 0x7265_706c_6964_7300;

/// All of it.
#[derive(Debug)]
pub struct Replication {
    /// Which history the data is of, and how far it has come.
    pub history: History,
    /// The primary that is followed, if there is one.
    pub following: Option<Box<Following>>,
    /// Names of histories.
    ids: Prng,
}

impl Replication {
    /// Of a primary without replicas, whose history has just begun.
    pub fn new(seed: u64) -> Replication {
        let mut ids = Prng::seeded(seed ^ IDS_SEED);
        Replication { history: History::new(new_id(&mut ids)), following: None, ids }
    }

    /// Begins a history that goes on from the one before: what a replica does that becomes a primary.
    pub fn branch_history(&mut self) {
        let id = new_id(&mut self.ids);
        self.history.branch(id);
    }

    /// Begins a history that has nothing in common with any other.
    pub fn begin_history(&mut self) {
        let id = new_id(&mut self.ids);
        self.history = History { offset: self.history.offset, ..History::new(id) };
    }

    /// True if commands may be refused for what the server is: a replica.
    #[inline]
    pub fn restricts(&self) -> bool {
        self.following.is_some()
    }

    /// True for a replica.
    #[inline]
    pub fn is_following(&self) -> bool {
        self.following.is_some()
    }
}

fn new_id(prng: &mut Prng) -> String {
    let mut id: String = (0..ID_CHARS.div_ceil(16)).map(|_| format!("{:016x}", prng.next_u64())).collect();
    id.truncate(ID_CHARS);
    id
}

impl crate::server::Server {
    /// Appends bytes to the stream: they are part of the history.
    pub fn feed_replicas(&mut self, bytes: &[u8]) {
        self.replication.history.offset += bytes.len() as u64;
    }

    /// The data is of this history from now on: what was kept of another one's stream is of no use, nor are replicas that follow it.
    pub fn begin_history_at(&mut self, history: History) {
        self.replication.history = history;
    }
}
