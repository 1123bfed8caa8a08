//! A server as the replica of another: whom it follows, and how far the link to it has come.

use crate::config::PrimaryAddress;
use crate::feature::client_id::ClientId;

/// How far the link to the primary has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Nothing is under way; it is tried again later.
    Connect,
    /// A connection is being made.
    Connecting,
    /// The two come to an understanding.
    Handshake,
    /// The data comes in as a whole.
    Sync,
    /// The stream comes in.
    Connected,
}

impl LinkState {
    /// As ROLE answers it.
    pub fn name(self) -> &'static str {
        match self {
            LinkState::Connect => "connect",
            LinkState::Connecting => "connecting",
            LinkState::Handshake => "handshake",
            LinkState::Sync => "sync",
            LinkState::Connected => "connected",
        }
    }
}

/// The primary that is followed, and the link to it.
#[derive(Debug)]
pub struct Following {
    /// Where it listens.
    pub primary: PrimaryAddress,
    /// How far the link has come.
    pub state: LinkState,
    /// The link, while there is a connection.
    pub link: Option<ClientId>,
    /// Monotonic milliseconds since which the link is down; `None` while it is up, or if it has never been.
    pub down_since_ms: Option<u64>,
    /// Monotonic milliseconds of the last bytes that came.
    pub heard_ms: u64,
    /// Bytes of a full synchronisation: all, if that is known, and those that have come.
    pub sync_bytes: Option<u64>,
    /// Those that have come.
    pub sync_read_bytes: u64,
}
