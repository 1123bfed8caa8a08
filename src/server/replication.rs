//! Replication: which history the data is of, what is kept of its stream for replicas, who they are, and whom this server follows
//! itself.
//!
//! # Words
//! A *history* is named by forty hexadecimal digits and counted in bytes of its stream: two servers that have the same offset of
//! the same history hold the same data. A server that becomes a primary begins a history of its own, and remembers up to which
//! offset it shares that of its former primary, so that the latter's other replicas may go on with it.
//!
//! Parts, each in a file of its own: [`history`]; [`following`], as the replica of another, and [`sync`], the data set that comes
//! from it; as a primary, [`backlog`], the stream's last bytes, [`replica`], who is sent them, [`primary`], what is done for those
//! once a turn and once a second, [`acks`], who waits for them, and [`failover`], how one of them takes over. The engine moves them
//! on.

pub mod acks;
pub mod backlog;
pub mod failover;
pub mod following;
pub mod history;
pub mod primary;
pub mod replica;
pub mod sync;

use crate::base::heap;
use crate::base::prng::Prng;
use crate::feature::client_id::ClientId;

use acks::{AckWaiter, Offsets};
use backlog::Backlog;
use failover::Failover;
use following::Following;
use history::{Former, History, ID_CHARS};

/// Histories are named by other random numbers than commands draw.
const IDS_SEED: u64 = 0x7265_706c_6964_7300;

/// What has become of requests for synchronisation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Full synchronisations.
    pub full: u64,
    /// Requests to go on with a history that could be met.
    pub partial: u64,
    /// Those that could not.
    pub refused: u64,
    /// Bytes sent to replicas.
    pub out_bytes: u64,
    /// Bytes that came over former links to primaries.
    pub in_bytes: u64,
}

/// All of it.
#[derive(Debug)]
pub struct Replication {
    /// Which history the data is of, and how far it has come.
    pub history: History,
    /// The primary that is followed, if there is one.
    pub following: Option<Box<Following>>,
    /// The last bytes of the stream, while there are replicas, and for a while after.
    pub backlog: Option<Backlog>,
    /// Who has asked for synchronisation and is connected, in the order in which they did.
    pub replicas: Vec<ClientId>,
    /// Monotonic milliseconds since which there is none.
    pub bare_since_ms: u64,
    /// Writes are refused, because there are fewer good replicas than `min-replicas-to-write`.
    pub is_short: bool,
    /// The offsets of what was passed on.
    pub offsets: Offsets,
    /// Who waits for replicas.
    pub waiting: Vec<AckWaiter>,
    /// Replicas are to say how far they are.
    pub wants_acks: bool,
    /// A replica takes over, at present.
    pub failover: Option<Box<Failover>>,
    /// What has become of requests.
    pub counts: Counts,
    /// The server has started without data, has been nobody's replica since, and has nothing on the disk to start from: what it
    /// holds is no later state of what others have.
    pub began_empty: bool,
    /// The database that the stream of the loaded history had selected, for who goes on with it as a replica.
    pub loaded_db: Option<usize>,
    /// Monotonic milliseconds of the last PING to replicas, and of the last look at them.
    pinged_ms: u64,
    looked_ms: u64,
    /// Names of histories.
    ids: Prng,
}

impl Replication {
    /// Of a primary without replicas, whose history has just begun.
    pub fn new(seed: u64) -> Replication {
        let mut ids = Prng::seeded(seed ^ IDS_SEED);
        Replication {
            history: History::new(new_id(&mut ids)),
            following: None,
            backlog: None,
            replicas: Vec::new(),
            bare_since_ms: 0,
            is_short: false,
            offsets: Offsets::default(),
            waiting: Vec::new(),
            wants_acks: false,
            failover: None,
            counts: Counts::default(),
            began_empty: false,
            loaded_db: None,
            pinged_ms: 0,
            looked_ms: 0,
            ids,
        }
    }

    /// Begins a history that goes on from the one before: what a replica does that becomes a primary.
    pub fn branch_history(&mut self) {
        let id = new_id(&mut self.ids);
        self.history.branch(id);
    }

    /// Begins a history that has nothing in common with any other.
    pub fn begin_history(&mut self) {
        let id = new_id(&mut self.ids);
        let History { offset, is_shared, .. } = self.history;
        self.history = History { offset, is_shared, ..History::new(id) };
    }

    /// Begins a history that goes on from one that a dump file was of, up to this offset of it.
    pub fn resume_history(&mut self, former: String, offset: u64) {
        let id = new_id(&mut self.ids);
        self.history = History { id, offset, is_shared: true, former: Some(Former { id: former, upto: offset + 1 }) };
    }

    /// Forty random characters, for the end of a snapshot.
    pub fn new_mark(&mut self) -> String {
        new_id(&mut self.ids)
    }

    /// True for a replica.
    #[inline]
    pub fn is_following(&self) -> bool {
        self.following.is_some()
    }

    /// True if a turn may have something to do for replicas, or for those who wait for them.
    #[inline]
    pub fn is_active(&self) -> bool {
        self.backlog.is_some() || self.is_short || self.failover.is_some()
    }

    /// Bytes on the heap of the stream that is kept.
    pub fn backlog_heap_bytes(&self) -> usize {
        self.backlog.as_ref().map_or(0, Backlog::heap_bytes)
    }

    /// Bytes on the heap, beside the stream and what belongs to the sessions of replicas.
    pub fn heap_bytes(&self) -> usize {
        heap::vec(&self.replicas) + heap::vec(&self.waiting)
    }
}

fn new_id(prng: &mut Prng) -> String {
    let mut id: String = (0..ID_CHARS.div_ceil(16)).map(|_| format!("{:016x}", prng.next_u64())).collect();
    id.truncate(ID_CHARS);
    id
}
