//! The protocol state of one client: everything a command may know or change about who sent it. Knows nothing of sockets
//! and buffers; the connection copies its figures in for CLIENT LIST.

use crate::command::Command;
use crate::config::Access;
use crate::feature::acl::UserId;
use crate::feature::fieldsets::Fieldsets;
use crate::feature::reactive::WatcherId;
use crate::resp::reply::Proto;

use super::outgoing::LinkKind;
use super::replication::replica::Replica;
use super::tracking::Tracking;
use super::transaction::Transaction;
use super::waiting::Waiting;

/// How a client is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// TCP from this machine.
    Loopback,
    /// TCP from elsewhere.
    Remote,
    /// A Unix socket.
    Unix,
    /// It is not: the server itself runs commands.
    Internal,
}

/// Whether a client wants its replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyMode {
    /// All of them.
    #[default]
    On,
    /// None, until told otherwise.
    Off,
    /// CLIENT REPLY SKIP was just sent: the next command's reply is dropped.
    SkipNext,
    /// This command's reply is dropped.
    Skipping,
}

/// What a client is answered that nothing but time keeps waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LateReply {
    /// `+OK`.
    Ok,
    /// Its password was wrong. Nothing ends this wait before its time.
    WrongPassword,
}

/// What has ended a client's wait before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnblockedBy {
    /// CLIENT UNBLOCK, or what it waited for has come: it is answered as at the end of its time.
    Reply,
    /// CLIENT UNBLOCK, which asks for an error.
    Error,
    /// The server has become a replica; the connection ends.
    Role,
}

/// Why a client's commands wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// SLEEP, or a wrong password, until this monotonic millisecond; then the answer is due.
    Sleep {
        /// Monotonic milliseconds.
        until_ms: u64,
        /// The answer.
        reply: LateReply,
        /// CLIENT REPLY keeps it back.
        muted: bool,
    },
    /// It waits for keys, until this monotonic millisecond, `u64::MAX` for never; what for is in [`Session::waiting`].
    Keys {
        /// Monotonic milliseconds.
        until_ms: u64,
    },
    /// Its wait has been ended before its time; the reply follows in the same turn.
    Unblocked {
        /// By what.
        by: UnblockedBy,
        /// CLIENT REPLY keeps the answer back.
        muted: bool,
    },
    /// CLIENT PAUSE holds its next command back.
    Paused,
    /// A snapshot does, until it has the keys that the command would change.
    Snapshot,
    /// Its command runs slice by slice, and has its answer when it is through.
    Job,
    /// Such commands of others hold its next one back.
    Hold,
    /// The script that its command runs is parked, and has its answer when it is through.
    Script,
    /// It is a connection that this server has made, and what comes are no commands, or none that may run now.
    Link,
}

impl Blocked {
    /// When the wait ends by itself, in monotonic milliseconds, if it ever does.
    pub fn until_ms(self) -> Option<u64> {
        match self {
            Blocked::Sleep { until_ms, .. } | Blocked::Keys { until_ms } => Some(until_ms).filter(|ms| *ms < u64::MAX),
            Blocked::Unblocked { .. }
            | Blocked::Paused
            | Blocked::Snapshot
            | Blocked::Job
            | Blocked::Hold
            | Blocked::Script
            | Blocked::Link => None,
        }
    }
}

/// Figures of the connection, for CLIENT LIST and INFO; written by the connection after each of its turns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Buffers {
    /// Bytes of input not parsed yet.
    pub query_bytes: usize,
    /// Capacity of the input buffer beyond them.
    pub query_free_bytes: usize,
    /// Bytes of replies not sent yet.
    pub out_bytes: usize,
    /// Bytes of replies there were before the last sending.
    pub out_peak_bytes: usize,
    /// Chunks of replies behind the buffer.
    pub out_chunks: usize,
    /// Memory held by replies.
    pub out_heap_bytes: usize,
}

/// One client.
#[derive(Debug)]
pub struct Session {
    /// Unique for the life of the server, from 1 upwards.
    pub id: u64,
    /// CLIENT SETNAME.
    pub name: Vec<u8>,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: Vec<u8>,
    /// CLIENT SETINFO LIB-VER.
    pub lib_ver: Vec<u8>,
    /// Peer address, `ip:port` or `path:0`.
    pub peer: String,
    /// Local address.
    pub local: String,
    /// File descriptor, for people to look up.
    pub fd: i32,
    /// Where it comes from.
    pub origin: Origin,
    /// Monotonic milliseconds at which it connected.
    pub connected_ms: u64,
    /// Monotonic milliseconds of its last bytes.
    pub active_ms: u64,
    /// Place of the database selected; see `server::databases`.
    pub db: usize,
    /// Protocol version.
    pub proto: Proto,
    /// Whose permissions it has.
    pub user: UserId,
    /// It has said who it is, or did not need to.
    pub authenticated: bool,
    /// Nothing needs to be checked for it: it may run commands, and its user may run all of them on everything. Follows from
    /// the user; see [`super::acl`].
    pub unlimited: bool,
    /// The server itself has made this connection, and what for.
    pub link: Option<LinkKind>,
    /// What it wants to be told of for its cache.
    pub tracking: Option<Box<Tracking>>,
    /// Has subscribed to something.
    pub subscribed: bool,
    /// It is a replica: it is sent the stream, or a snapshot, and its commands are answered by nothing.
    pub is_replica: bool,
    /// What is known of it as a replica, or as a client that may become one.
    pub replica: Option<Box<Replica>>,
    /// MONITOR: it is shown every command; see [`super::observer`].
    pub is_monitor: bool,
    /// Its number among the members, if it has ever subscribed, watched a key or waited for one.
    pub member: Option<u32>,
    /// Its number among those who watch queries, if it does.
    pub watcher: Option<WatcherId>,
    /// Wants every result of a query it watches.
    pub wants_every: bool,
    /// WATCH.MODE: frames tell the number of the version.
    pub revisions: bool,
    /// The position of what was passed on up to which its own writes reach; see [`super::propagation`].
    pub wrote_upto: u64,
    /// CLIENT REPLY.
    pub reply_mode: ReplyMode,
    /// CLIENT CAPA redirect: it goes to the primary itself when it is told to.
    pub redirects: bool,
    /// READONLY: a replica answers it what it reads nevertheless.
    pub reads_here: bool,
    /// CLIENT IMPORT-SOURCE: it brings data in, and what is due is there for it.
    pub imports: bool,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// CLIENT NO-EVICT.
    pub no_evict: bool,
    /// The last command it sent.
    pub last_command: Option<&'static Command>,
    /// Why its commands wait, if they do.
    pub blocked: Option<Blocked>,
    /// The command that waits for keys, until it has been answered.
    pub waiting: Option<Box<Waiting>>,
    /// What it has queued since MULTI.
    pub transaction: Option<Box<Transaction>>,
    /// The names of fields that it has prepared for hashes.
    pub fieldsets: Option<Box<Fieldsets>>,
    /// Results of queries it watches are held back until it has read what was sent.
    pub held_back: bool,
    /// A key that it watched has changed: its next transaction fails.
    pub watch_broken: bool,
    /// Close once the replies are out.
    pub closing: bool,
    /// Disconnected at the end of this turn, replies or not.
    pub killed: bool,
    /// Bytes received.
    pub net_in_bytes: u64,
    /// Bytes sent.
    pub net_out_bytes: u64,
    /// Commands run.
    pub commands: u64,
    /// Bytes of messages published to it that have not reached its output yet.
    pub posted_bytes: u64,
    /// Figures of its buffers.
    pub buffers: Buffers,
    /// Bytes that it has been counted with in what all clients take, where that is limited.
    pub counted_bytes: usize,
}

impl Session {
    /// When the client is looked at though nothing has come for it, in monotonic milliseconds, if ever.
    pub fn wakes_ms(&self) -> Option<u64> {
        let blocked = self.blocked?;
        let look_ms = self.waiting.as_ref().and_then(|waiting| waiting.look_ms);
        let look_ms = look_ms.filter(|_| matches!(blocked, Blocked::Keys { .. }));
        blocked.until_ms().into_iter().chain(look_ms).min()
    }

    /// True for a client that is sent messages however slowly it reads.
    pub fn is_sent_messages(&self) -> bool {
        self.subscribed || self.wants_every
    }

    /// True if the client is one of those that something is open to.
    pub fn may(&self, access: Access) -> bool {
        match access {
            Access::No => false,
            Access::Yes => true,
            Access::Local => self.origin != Origin::Remote,
        }
    }

    /// The state of a client that has just connected.
    pub fn new(id: u64, origin: Origin, now_ms: u64) -> Session {
        Session {
            id,
            name: Vec::new(),
            lib_name: Vec::new(),
            lib_ver: Vec::new(),
            peer: String::new(),
            local: String::new(),
            fd: -1,
            origin,
            connected_ms: now_ms,
            active_ms: now_ms,
            db: 0,
            proto: Proto::Resp2,
            user: UserId::DEFAULT,
            authenticated: false,
            unlimited: false,
            link: None,
            tracking: None,
            subscribed: false,
            is_replica: false,
            replica: None,
            is_monitor: false,
            member: None,
            watcher: None,
            wants_every: false,
            revisions: false,
            wrote_upto: 0,
            reply_mode: ReplyMode::On,
            redirects: false,
            reads_here: false,
            imports: false,
            no_touch: false,
            no_evict: false,
            last_command: None,
            blocked: None,
            waiting: None,
            transaction: None,
            fieldsets: None,
            held_back: false,
            watch_broken: false,
            closing: false,
            killed: false,
            net_in_bytes: 0,
            net_out_bytes: 0,
            commands: 0,
            posted_bytes: 0,
            buffers: Buffers::default(),
            counted_bytes: 0,
        }
    }
}
