//! A replica, as its primary sees it: what it has said of itself, how far its synchronisation is, and what of the stream it has.

use std::sync::Arc;

use crate::persist::rdb::write::Version;

/// How far the synchronisation of a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has said something of itself, and not asked for the data yet: a client like any other.
    Announced,
    /// It waits for a snapshot that it can share, since this monotonic millisecond.
    Waiting {
        /// Monotonic milliseconds.
        since_ms: u64,
    },
    /// The snapshot is being made, and sent as it comes.
    Receiving,
    /// All of it has been made; it takes it in, and says so before it is sent the stream.
    Loading,
    /// It is sent the stream.
    Online,
}

/// What is left out of a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// The keys.
    pub data: bool,
    /// The libraries of functions.
    pub functions: bool,
}

impl LeftOut {
    /// True if something is.
    pub fn any(self) -> bool {
        self.data || self.functions
    }
}

/// What a replica can do, as it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// It knows the end of a snapshot by a mark, and need not be told its length.
    pub eof: bool,
    /// It follows the name of a history that changes.
    pub psync2: bool,
    /// It offers a second connection for snapshots, which Redis does since version 8.
    pub rdb_channel: bool,
    /// It reads forms that are this server's own, and what streams remember of their producers.
    pub own_forms: bool,
    /// The major version of the Valkey that it is.
    pub valkey: Option<u32>,
}

impl Abilities {
    /// The version of the dump file's format that it surely reads, where elements of collections have deadlines or not, and
    /// streams remember their producers or not.
    pub fn version(self, has_element_deadlines: bool, has_producers: bool) -> Version {
        match self.valkey {
            _ if has_producers && self.own_forms => Version::Redis13,
            Some(9..) if has_element_deadlines => Version::Valkey80,
            _ if has_element_deadlines || self.rdb_channel => Version::Redis12,
            Some(8..) => Version::Redis11,
            // Redis 7.0 reads no more, and nothing tells it from later ones.
            _ => Version::Redis10,
        }
    }
}

/// What is kept for a replica that has to be told the length of the snapshot first.
#[derive(Debug, Default)]
pub struct Spool {
    /// The pieces.
    pub pieces: Vec<Arc<Vec<u8>>>,
    /// Their bytes.
    pub bytes: usize,
}

/// What is known of a replica, or of a client that may become one.
#[derive(Debug)]
pub struct Replica {
    /// How far its synchronisation is.
    pub standing: Standing,
    /// The port that it listens on; 0 if it has not said.
    pub port: u32,
    /// The address that it wants to be known by, if that is not the one of its connection.
    pub host: Option<String>,
    /// What it can do.
    pub abilities: Abilities,
    /// It wants the snapshot alone.
    pub is_rdb_only: bool,
    /// What it does not want of the snapshot.
    pub left_out: LeftOut,
    /// It has asked with SYNC: it tells nothing of itself afterwards.
    pub is_old: bool,
    /// The offset of the next byte of the stream that it is to be sent; `None` before the snapshot has begun.
    pub next: Option<u64>,
    /// The last offset that it has, as it says.
    pub acked: u64,
    /// The last offset that it has on its disk, as it says.
    pub durable: u64,
    /// Monotonic milliseconds at which it was last heard of, or was last sent some of a snapshot.
    pub heard_ms: u64,
    /// The snapshot, as long as its length is not known.
    pub spool: Option<Spool>,
}

impl Default for Replica {
    fn default() -> Replica {
        Replica {
            standing: Standing::Announced,
            port: 0,
            host: None,
            abilities: Abilities::default(),
            is_rdb_only: false,
            left_out: LeftOut::default(),
            is_old: false,
            next: None,
            acked: 0,
            durable: 0,
            heard_ms: 0,
            spool: None,
        }
    }
}

impl Replica {
    /// Its state, as INFO names it.
    pub fn state_name(&self) -> &'static str {
        match self.standing {
            Standing::Announced | Standing::Waiting { .. } | Standing::Receiving => "wait_bgsave",
            Standing::Loading | Standing::Online => "online",
        }
    }

    /// True once the snapshot is out, or was not needed.
    pub fn is_synchronised(&self) -> bool {
        matches!(self.standing, Standing::Loading | Standing::Online)
    }

    /// Seconds since it was last heard of.
    pub fn lag_s(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.heard_ms) / 1000
    }
}
