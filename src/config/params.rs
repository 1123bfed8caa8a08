//! One row per directive: the field it fills, its default, whether a running server may change it, its kind and bounds.
//!
//! The rows make [`Config`], its [`Default`] and a table, so a directive is added by adding a row and nothing else. Those
//! without an effect have a table of their own in `inert`; [`Param::all`] goes through both.
//! Owns no parsing (see `value`), no file syntax (see `file`) and no effect: what a value does is up to whoever reads
//! the field. The invariant is that every field always holds a value its own row accepts.

mod row;

use std::net::IpAddr;
use std::path::PathBuf;

use super::events::{self, Events};
use super::inert::{self, Inert, Kept};
use super::memory::{self, *};
use super::persistence::{self, *};
use super::replication::{self, *};
use super::title;
use super::value::{self, *};
use crate::store::types::hash::template::TEMPLATE_FIELDS_MAX;

/// What `databases` may be at most: a table of this many numbers takes 4 MB once all are looked up, the databases themselves
/// some 300 MB once clients have chosen every one.
pub const DATABASES_MAX: i32 = 1_000_000;

/// What `busy-poll-us` may be at most: a timer that falls due meanwhile is late by no more than its own millisecond.
pub const BUSY_POLL_US_MAX: u32 = 1000;

/// When a directive may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At any time, by CONFIG SET.
    Runtime,
    /// Only in the file or on the command line.
    Startup,
    /// In the file or on the command line, and by CONFIG SET for whom `enable-protected-configs` lets.
    Protected,
}

/// How CONFIG REWRITE writes a directive's value.
pub(super) enum Layout {
    /// The text CONFIG GET prints, as it is.
    Plain(fn(&Config) -> Vec<u8>),
    /// Quoted text; `None` leaves the directive out of the file.
    Quoted(fn(&Config) -> Option<Vec<u8>>),
    /// As `Quoted`, but written even at its default, for its meaning depends on where the server was started.
    Always(fn(&Config) -> Vec<u8>),
    /// Several lines, each with whether it is written even where the file had none.
    Lines(fn(&Config) -> Vec<Line>),
    /// The same of lines that add to those of included files, if there are such.
    Added(fn(&Config, bool) -> Vec<Line>),
}

/// One directive.
pub struct Param {
    /// The name in files and in CONFIG GET, in lower case.
    pub name: &'static str,
    /// Older names that mean the same.
    pub aliases: &'static [&'static str],
    /// Further names that mean the same, which CONFIG GET answers only when asked for exactly them.
    pub unlisted: &'static [&'static str],
    /// Whether a glob of CONFIG GET finds it.
    pub listed: bool,
    /// When it may change.
    pub when: When,
    /// Takes several arguments: several words in a file, words separated by one space in CONFIG SET.
    pub many: bool,
    pub(super) effect: Effect,
}

/// What a directive does.
pub(super) enum Effect {
    /// It fills a field.
    Field(Field),
    /// Nothing: it is one of the rows of `inert`.
    None(Inert),
}

/// How a field is filled and shown.
pub(super) struct Field {
    set: fn(&mut Config, &[&[u8]]) -> Result<(), Reason>,
    /// What CONFIG SET does first, where lines of a file add to each other.
    clear: fn(&mut Config),
    get: fn(&Config) -> Vec<u8>,
    layout: Layout,
}

/// Turns the rows into [`Config`], its default, and [`FIELDS`].
macro_rules! directives {
    ($(
        $(#[doc = $doc:literal])+
        $field:ident: $type:ty = $default:expr,
        $name:literal $(or $alias:literal)* $(unlisted $unlisted:literal)*, $when:ident, $kind:ident $(($($bound:expr),+))?;
    )+) => {
        /// Every setting of the server, one typed field per directive, named like it with `_` for `-`.
        ///
        /// Reading a field costs a load. Write fields through [`Config::set_many`], which keeps each within its row's
        /// bounds.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config {
            $($(#[doc = $doc])+ pub $field: $type,)+
            /// What was said of directives that change nothing here.
            pub inert: Kept,
        }

        impl Default for Config {
            fn default() -> Self {
                Self { $($field: $default,)+ inert: Kept::default() }
            }
        }

        /// Every directive that fills a field, in the order CONFIG GET lists them.
        static FIELDS: &[Param] = &[$(
            Param {
                name: $name,
                aliases: &[$($alias),*],
                unlisted: &[$($unlisted),*],
                listed: true,
                when: When::$when,
                many: directives!(@many $kind),
                effect: Effect::Field(Field {
                    set: |config, args| {
                        config.$field = directives!(@parse $kind, config.$field, args $(, $($bound),+)?)?;
                        Ok(())
                    },
                    clear: directives!(@clear $kind, $field, $default),
                    get: |config| directives!(@print $kind, config.$field),
                    layout: directives!(@layout $kind, $field),
                }),
            },
        )+];
    };

    (@many addresses) => { true };
    (@many limits) => { true };
    (@many save_points) => { true };
    (@many shutdown) => { true };
    (@many percentiles) => { true };
    (@many primary_address) => { true };
    (@many $kind:ident) => { false };

    (@clear save_points, $field:ident, $default:expr) => { |config| config.$field = $default };
    (@clear $kind:ident, $field:ident, $default:expr) => { |_| () };

    (@parse yes_no, $old:expr, $args:ident) => { value::parse_yes_no($args) };
    (@parse int, $old:expr, $args:ident, $min:expr, $max:expr) => { value::parse_int($args, $min as i64, $max as i64) };
    (@parse clamped, $old:expr, $args:ident, $min:expr, $max:expr) => { value::parse_clamped($args, $min, $max) };
    (@parse octal, $old:expr, $args:ident, $max:expr) => { value::parse_octal($args, $max) };
    (@parse memory, $old:expr, $args:ident) => { value::parse_memory($args) };
    (@parse long_memory, $old:expr, $args:ident, $min:expr) => { value::parse_long_memory($args, $min) };
    (@parse choice, $old:expr, $args:ident) => { value::parse_choice($args) };
    (@parse bytes, $old:expr, $args:ident) => { value::parse_bytes($args) };
    (@parse path, $old:expr, $args:ident) => { value::parse_path($args) };
    (@parse dir, $old:expr, $args:ident) => { value::parse_dir($args) };
    (@parse addresses, $old:expr, $args:ident) => { value::parse_addresses($args) };
    (@parse limits, $old:expr, $args:ident) => { value::parse_limits(&$old, $args) };
    (@parse events, $old:expr, $args:ident) => { events::parse_events($args) };
    (@parse save_points, $old:expr, $args:ident) => { persistence::parse_save_points(&$old, $args) };
    (@parse rdb_version, $old:expr, $args:ident) => { persistence::parse_rdb_version($args) };
    (@parse shutdown, $old:expr, $args:ident) => { persistence::parse_shutdown($args) };
    (@parse percentiles, $old:expr, $args:ident) => { value::parse_percentiles($args) };
    (@parse filename, $old:expr, $args:ident, $what:expr) => { persistence::parse_filename($args, $what) };
    (@parse preload, $old:expr, $args:ident) => { persistence::parse_preload($args) };
    (@parse template, $old:expr, $args:ident) => { title::parse($args) };

    (@parse source_address, $old:expr, $args:ident) => { replication::parse_source($args) };
    (@parse primary_address, $old:expr, $args:ident) => { replication::parse_primary($args) };
    (@parse memory_limit, $old:expr, $args:ident) => { memory::parse_memory_limit($args) };
    (@parse clients_limit, $old:expr, $args:ident) => { memory::parse_clients_limit($args) };

    (@print yes_no, $value:expr) => { value::print_yes_no(&$value) };
    (@print int, $value:expr) => { value::print_int(&$value) };
    (@print clamped, $value:expr) => { value::print_int(&$value) };
    (@print octal, $value:expr) => { value::print_octal(&$value) };
    (@print memory, $value:expr) => { value::print_int(&$value) };
    (@print long_memory, $value:expr) => { value::print_int(&$value) };
    (@print choice, $value:expr) => { value::print_choice(&$value) };
    (@print bytes, $value:expr) => { value::print_bytes(&$value) };
    (@print path, $value:expr) => { value::print_path(&$value) };
    (@print dir, $value:expr) => { value::print_dir(&$value) };
    (@print addresses, $value:expr) => { value::print_addresses(&$value) };
    (@print limits, $value:expr) => { value::print_limits(&$value) };
    (@print events, $value:expr) => { events::print_events(&$value) };
    (@print save_points, $value:expr) => { persistence::print_save_points(&$value) };
    (@print rdb_version, $value:expr) => { value::print_int(&$value) };
    (@print shutdown, $value:expr) => { persistence::print_shutdown(&$value) };
    (@print percentiles, $value:expr) => { value::print_percentiles(&$value) };
    (@print filename, $value:expr) => { $value.clone().into_bytes() };
    (@print preload, $value:expr) => { persistence::print_preload(&$value) };
    (@print template, $value:expr) => { value::print_bytes(&$value) };

    (@print source_address, $value:expr) => { replication::print_source(&$value) };
    (@print primary_address, $value:expr) => { replication::print_primary(&$value) };
    (@print memory_limit, $value:expr) => { memory::print_memory_limit(&$value) };
    (@print clients_limit, $value:expr) => { memory::print_clients_limit(&$value) };

    (@layout source_address, $field:ident) => { Layout::Quoted(|config| config.$field.map(|_| replication::print_source(&config.$field))) };
    (@layout primary_address, $field:ident) => { Layout::Lines(|config| replication::primary_lines(&config.$field)) };
    (@layout memory_limit, $field:ident) => { Layout::Plain(|config| memory::written_memory_limit(&config.$field)) };
    (@layout clients_limit, $field:ident) => { Layout::Plain(|config| memory::written_clients_limit(&config.$field)) };
    (@layout memory, $field:ident) => { Layout::Plain(|config| value::short_memory(config.$field).into_bytes()) };
    (@layout long_memory, $field:ident) => { directives!(@layout memory, $field) };
    (@layout bytes, $field:ident) => { Layout::Quoted(|config| (!config.$field.is_empty()).then(|| config.$field.clone())) };
    (@layout events, $field:ident) => { Layout::Quoted(|config| events::written(&config.$field)) };
    (@layout path, $field:ident) => { Layout::Quoted(|config| config.$field.is_some().then(|| value::print_path(&config.$field))) };
    (@layout dir, $field:ident) => { Layout::Always(|config| value::print_dir(&config.$field)) };
    (@layout addresses, $field:ident) => { Layout::Lines(|config| value::address_lines(&config.$field, &Config::default().$field)) };
    (@layout limits, $field:ident) => { Layout::Lines(|config| value::limit_lines(&config.$field, &Config::default().$field)) };
    (@layout save_points, $field:ident) => { Layout::Added(|config, is_included| persistence::save_lines(&config.$field, is_included)) };
    (@layout filename, $field:ident) => { Layout::Quoted(|config| Some(config.$field.clone().into_bytes())) };
    (@layout percentiles, $field:ident) => { Layout::Lines(|config| value::percentile_lines(&config.$field, &Config::default().$field)) };
    (@layout preload, $field:ident) => { Layout::Quoted(|config| persistence::written_preload(&config.$field)) };
    (@layout template, $field:ident) => { directives!(@layout bytes, $field) };
    (@layout $kind:ident, $field:ident) => { Layout::Plain(|config| directives!(@print $kind, config.$field)) };
}

directives! {
    /// Addresses to listen on; none means no TCP.
    bind: Vec<BindAddress> = vec![value::address("127.0.0.1", false), value::address("::1", true)],
    "bind", Runtime, addresses;

    /// The TCP port; 0 means no TCP.
    port: u16 = 7379,
    "port", Runtime, int(0, u16::MAX);

    /// Addresses at which metrics are shown; none means nowhere.
    metrics_bind: Vec<BindAddress> = vec![value::address("127.0.0.1", false), value::address("::1", true)],
    "metrics-bind", Runtime, addresses;

    /// The TCP port at which metrics are shown, over HTTP and to anybody who can reach it; 0 means that they are not.
    metrics_port: u16 = 0,
    "metrics-port", Runtime, int(0, u16::MAX);

    /// How many connections the kernel may hold ready to be accepted.
    tcp_backlog: u32 = 511,
    "tcp-backlog", Startup, int(0, i32::MAX);

    /// Where to listen for local connections, if at all.
    unixsocket: Option<PathBuf> = None,
    "unixsocket", Startup, path;

    /// File mode of `unixsocket`; 0 leaves what the umask gives.
    unixsocketperm: u32 = 0,
    "unixsocketperm", Startup, octal(0o777);

    /// Seconds after which an idle client is disconnected; 0 means never.
    timeout: u32 = 0,
    "timeout", Runtime, int(0, i32::MAX);

    /// Seconds of silence after which a connection is probed; 0 means never.
    tcp_keepalive: u32 = 300,
    "tcp-keepalive", Runtime, int(0, i32::MAX);

    /// Refuse clients from other machines while no password is set.
    protected_mode: bool = true,
    "protected-mode", Runtime, yes_no;

    /// How many clients may be connected at once.
    maxclients: u32 = 10_000,
    "maxclients", Runtime, int(1, u32::MAX);

    /// How many of `maxclients` are kept for clients on this machine, so that an administrator can come in when others have taken
    /// the rest.
    reserved_admin_connections: u32 = 1,
    "reserved-admin-connections", Runtime, int(0, u32::MAX);

    /// How many connections are accepted before requests are served again.
    max_new_connections_per_cycle: u32 = 10,
    "max-new-connections-per-cycle", Runtime, int(1, 1000);

    /// Microseconds for which the loop looks for further requests before it sleeps, as long as that is found to pay; 0 for never.
    busy_poll_us: u32 = 10,
    "busy-poll-us", Runtime, int(0, BUSY_POLL_US_MAX);

    /// Integers that a set keeps as an intset at most.
    set_max_intset_entries: usize = 512,
    "set-max-intset-entries", Runtime, int(0, i64::MAX);

    /// Members that a set keeps as a listpack at most.
    set_max_listpack_entries: usize = 128,
    "set-max-listpack-entries", Runtime, int(0, i64::MAX);

    /// Bytes of the longest member that a set keeps in a listpack.
    set_max_listpack_value: usize = 64,
    "set-max-listpack-value", Runtime, int(0, i64::MAX);

    /// How many databases SELECT can choose from. They are made on first use.
    databases: u32 = 16,
    "databases", Startup, int(1, DATABASES_MAX);

    /// The password of the default user; empty means none.
    requirepass: Vec<u8> = Vec::new(),
    "requirepass", Runtime, bytes;

    /// The file that holds the users; none means that they are in the configuration.
    aclfile: Option<PathBuf> = None,
    "aclfile", Startup, path;

    /// Which channels a user has that is told nothing of channels.
    acl_pubsub_default: PubsubDefault = PubsubDefault::ResetChannels,
    "acl-pubsub-default", Runtime, choice;

    /// Refusals that ACL LOG keeps.
    acllog_max_len: u64 = 128,
    "acllog-max-len", Runtime, int(0, i64::MAX);

    /// Milliseconds after which a wrong password is answered; 0 for at once.
    auth_failure_delay_ms: u64 = 0,
    "auth-failure-delay-ms", Runtime, int(0, 60_000);

    /// Keys that clients with tracking have read and the server knows of; 0 for as many as there are.
    tracking_table_max_keys: u64 = 1_000_000,
    "tracking-table-max-keys", Runtime, int(0, i64::MAX);

    /// How much is logged.
    loglevel: LogLevel = LogLevel::Notice,
    "loglevel", Runtime, choice;

    /// Where the log goes; none means standard output.
    logfile: Option<PathBuf> = None,
    "logfile", Startup, path;

    /// Where the process id is written; none means nowhere, or the default place of a process in the background.
    pidfile: Option<PathBuf> = None,
    "pidfile", Startup, path;

    /// Go to the background: the program that was started ends, and a process without a terminal serves. A process that is
    /// supervised stays where it is.
    daemonize: bool = false,
    "daemonize", Startup, yes_no;

    /// Send every line of the log to the system's log as well.
    syslog_enabled: bool = false,
    "syslog-enabled", Startup, yes_no;

    /// The name that lines in the system's log begin with.
    syslog_ident: Vec<u8> = b"aleadb".to_vec(),
    "syslog-ident", Startup, bytes;

    /// What kind of program the system's log takes the server for.
    syslog_facility: Facility = Facility::Local0,
    "syslog-facility", Startup, choice;

    /// Show in the list of processes what `proc-title-template` says.
    set_proc_title: bool = true,
    "set-proc-title", Startup, yes_no;

    /// What the list of processes shows; see [`title`] for what may stand in braces.
    proc_title_template: Vec<u8> = b"{title} {listen-addr} {server-mode}".to_vec(),
    "proc-title-template", Runtime, template;

    /// Who is told when the server is ready.
    supervised: Supervised = Supervised::No,
    "supervised", Startup, choice;

    /// How often a second periodic work runs.
    hz: u32 = 10,
    "hz", Runtime, clamped(1, 500);

    /// Run periodic work more often while many clients are connected.
    dynamic_hz: bool = true,
    "dynamic-hz", Runtime, yes_no;

    /// Bytes of unexecuted requests above which a client is disconnected.
    client_query_buffer_limit: u64 = 1 << 30,
    "client-query-buffer-limit", Runtime, long_memory(1 << 20);

    /// The longest argument of a request, in bytes.
    proto_max_bulk_len: u64 = 512 << 20,
    "proto-max-bulk-len", Runtime, long_memory(1 << 20);

    /// Bytes that a HyperLogLog may have before it takes its full 12 KiB.
    hll_sparse_max_bytes: u64 = 3000,
    "hll-sparse-max-bytes", Runtime, long_memory(0);

    /// Pending replies above which a client is disconnected.
    client_output_buffer_limit: OutputLimits = OutputLimits {
        normal: OutputLimit::new(0, 0, 0),
        replica: OutputLimit::new(256 << 20, 64 << 20, 60),
        pubsub: OutputLimit::new(32 << 20, 8 << 20, 60),
    },
    "client-output-buffer-limit", Runtime, limits;

    /// Queries one client may watch; 0 means no limit.
    watch_max_per_client: u64 = 1_000_000,
    "watch-max-per-client", Runtime, int(0, i64::MAX);

    /// Queries all clients together may watch; 0 means no limit.
    watch_max_total: u64 = 10_000_000,
    "watch-max-total", Runtime, int(0, i64::MAX);

    /// Bytes of a watched query's result above which an error that tells its length is pushed instead; 0 means no limit.
    watch_result_bytes_max: u64 = 16 << 20,
    "watch-result-bytes-max", Runtime, memory;

    /// Bytes of unsent output above which a watcher is sent only the newest result of each query, once it has caught up.
    watch_output_threshold: u64 = 256 << 10,
    "watch-output-threshold", Runtime, memory;

    /// Seconds for which a query whose versions are kept lives on without a watcher, so that a client can come back to it.
    watch_resume_seconds: u64 = 60,
    "watch-resume-seconds", Runtime, int(0, i64::MAX);

    /// Versions kept of each query whose watchers want to know them.
    watch_resume_versions: u64 = 128,
    "watch-resume-versions", Runtime, int(0, 1_000_000);

    /// Bytes of all versions kept, of all queries together.
    watch_resume_bytes: u64 = 64 << 20,
    "watch-resume-bytes", Runtime, memory;

    /// The primary that is followed, if there is one.
    replicaof: Option<ServerAddress> = None,
    "replicaof" or "slaveof", Startup, primary_address;

    /// The user as whom a primary is followed; empty for the default user.
    masteruser: Vec<u8> = Vec::new(),
    "masteruser" unlisted "primaryuser", Runtime, bytes;

    /// The address from which connections are made to primaries, and to targets of MIGRATE; empty for whichever the system takes.
    bind_source_addr: Option<IpAddr> = None,
    "bind-source-addr", Runtime, source_address;

    /// The password for the primary.
    masterauth: Vec<u8> = Vec::new(),
    "masterauth" unlisted "primaryauth", Runtime, bytes;

    /// Replicas refuse what would change data.
    replica_read_only: bool = true,
    "replica-read-only" or "slave-read-only", Runtime, yes_no;

    /// A replica whose link is down answers from what it has.
    replica_serve_stale_data: bool = true,
    "replica-serve-stale-data" or "slave-serve-stale-data", Runtime, yes_no;

    /// A replica lets no keys go by itself, whatever memory it takes.
    replica_ignore_maxmemory: bool = true,
    "replica-ignore-maxmemory" or "slave-ignore-maxmemory", Runtime, yes_no;

    /// Where the data of a full synchronisation is put.
    repl_diskless_load: DisklessLoad = DisklessLoad::Disabled,
    "repl-diskless-load", Runtime, choice;

    /// The address that a replica names to its primary; empty for that of its connection.
    replica_announce_ip: Vec<u8> = Vec::new(),
    "replica-announce-ip" or "slave-announce-ip", Runtime, bytes;

    /// The port that a replica names to its primary; 0 for the one it listens on.
    replica_announce_port: u16 = 0,
    "replica-announce-port" or "slave-announce-port", Runtime, int(0, 65535);

    /// Sentinels learn of this replica.
    replica_announced: bool = true,
    "replica-announced", Runtime, yes_no;

    /// Which replica Sentinel prefers: the lowest; 0 for never.
    replica_priority: u32 = 100,
    "replica-priority" or "slave-priority", Runtime, int(0, i32::MAX);

    /// Seconds of silence after which the link between primary and replica is given up.
    repl_timeout: u32 = 60,
    "repl-timeout", Runtime, int(1, i32::MAX);

    /// Seconds between two PINGs to replicas.
    repl_ping_replica_period: u32 = 10,
    "repl-ping-replica-period" or "repl-ping-slave-period", Runtime, int(1, i32::MAX);

    /// Seconds for which a full synchronisation waits for more replicas to share it.
    repl_diskless_sync_delay: u32 = 5,
    "repl-diskless-sync-delay", Runtime, int(0, i32::MAX);

    /// Replicas with which it waits no longer; 0 for any number.
    repl_diskless_sync_max_replicas: u32 = 0,
    "repl-diskless-sync-max-replicas", Runtime, int(0, i32::MAX);

    /// Let the kernel gather what is sent to replicas.
    repl_disable_tcp_nodelay: bool = false,
    "repl-disable-tcp-nodelay", Runtime, yes_no;

    /// Bytes of the stream that are kept for replicas that come back.
    repl_backlog_size: u64 = 1 << 20,
    "repl-backlog-size", Runtime, long_memory(1);

    /// Seconds for which they are kept without any replica; 0 for ever.
    repl_backlog_ttl: u64 = 3600,
    "repl-backlog-ttl", Runtime, int(0, i64::MAX);

    /// Replicas that have to be there, and not to lag, for commands that change data; 0 for no such condition.
    min_replicas_to_write: u32 = 0,
    "min-replicas-to-write" or "min-slaves-to-write", Runtime, int(0, i32::MAX);

    /// Seconds within which a replica has to have said how far it is, to count for that.
    min_replicas_max_lag: u32 = 10,
    "min-replicas-max-lag" or "min-slaves-max-lag", Runtime, int(0, i32::MAX);

    /// A primary that has started without data, and keeps none on the disk, gives its empty data set to replicas that hold
    /// the data of another history.
    replica_accept_empty_primary: bool = false,
    "replica-accept-empty-primary", Runtime, yes_no;

    /// Seconds for which the end waits for replicas to catch up.
    shutdown_timeout: u32 = 10,
    "shutdown-timeout", Runtime, int(0, i32::MAX);

    /// Memory above which keys go, or commands that need more are refused.
    maxmemory: MemoryLimit = MemoryLimit::new(0),
    "maxmemory", Runtime, memory_limit;

    /// Which keys go first when memory is short.
    maxmemory_policy: MemoryPolicy = MemoryPolicy::NoEviction,
    "maxmemory-policy", Runtime, choice;

    /// Keys that are looked at, at least, for one that has to go.
    maxmemory_samples: usize = 5,
    "maxmemory-samples", Runtime, int(1, 64);

    /// How long keys may keep a turn busy that have to go: up to 10 for so many times 50 microseconds, then 15 % longer with each
    /// step, and 100 for as long as it takes.
    maxmemory_eviction_tenacity: u32 = 10,
    "maxmemory-eviction-tenacity", Runtime, int(0, 100);

    /// Memory of all clients together above which the largest are disconnected.
    maxmemory_clients: ClientsLimit = ClientsLimit::Bytes(0),
    "maxmemory-clients", Runtime, clients_limit;

    /// Move keys and values together where memory is fragmented.
    activedefrag: bool = false,
    "activedefrag", Runtime, yes_no;

    /// Percent of the time that this takes at least.
    active_defrag_cycle_min: u64 = 1,
    "active-defrag-cycle-min", Runtime, int(1, 99);

    /// Percent of the time that this takes at most.
    active_defrag_cycle_max: u64 = 25,
    "active-defrag-cycle-max", Runtime, int(1, 99);

    /// Bytes of free places between values below which it does not begin.
    active_defrag_ignore_bytes: u64 = 100 << 20,
    "active-defrag-ignore-bytes", Runtime, long_memory(1);

    /// Percent of free places from which on it begins.
    active_defrag_threshold_lower: u64 = 10,
    "active-defrag-threshold-lower", Runtime, int(0, 1000);

    /// Percent of free places at which it takes the most time.
    active_defrag_threshold_upper: u64 = 100,
    "active-defrag-threshold-upper", Runtime, int(0, 1000);

    /// Minutes after which the count of a key's accesses is lowered by one; 0 for never.
    lfu_decay_time: u32 = 1,
    "lfu-decay-time", Runtime, int(0, i32::MAX);

    /// The greater, the more accesses it takes to raise a key's count.
    lfu_log_factor: u32 = 10,
    "lfu-log-factor", Runtime, int(0, i32::MAX);

    /// Pass on keys that had to go as UNLINK instead of DEL. What takes long to free is freed by the helper thread either way.
    lazyfree_lazy_eviction: bool = false,
    "lazyfree-lazy-eviction", Runtime, yes_no;

    /// Show the logo at startup even when the log is not a terminal.
    always_show_logo: bool = false,
    "always-show-logo", Startup, yes_no;

    /// Switch transparent huge pages off for this process.
    disable_thp: bool = true,
    "disable-thp", Startup, yes_no;

    /// Keep a histogram of how long each command takes.
    latency_tracking: bool = true,
    "latency-tracking", Runtime, yes_no;

    /// The percentiles that INFO latencystats shows of each.
    latency_tracking_info_percentiles: Vec<f64> = vec![50.0, 99.0, 99.9],
    "latency-tracking-info-percentiles", Runtime, percentiles;

    /// Milliseconds from which on an event is noted for LATENCY; 0 for none.
    latency_monitor_threshold: u64 = 0,
    "latency-monitor-threshold", Runtime, int(0, i64::MAX);

    /// Microseconds from which on a command is logged as slow; negative for none.
    slowlog_log_slower_than: i64 = 10_000,
    "slowlog-log-slower-than" unlisted "commandlog-execution-slower-than", Runtime, int(-1, i64::MAX);

    /// Slow commands that the log keeps.
    slowlog_max_len: usize = 128,
    "slowlog-max-len" unlisted "commandlog-slow-execution-max-len", Runtime, int(0, i64::MAX);

    /// Arguments that a log of commands keeps of each; the last place says how many more there were.
    slowlog_entry_max_argc: usize = 32,
    "slowlog-entry-max-argc", Runtime, int(2, i32::MAX);

    /// Bytes that a log of commands keeps of each argument.
    slowlog_entry_max_string_len: usize = 128,
    "slowlog-entry-max-string-len", Runtime, int(1, i64::MAX);

    /// Bytes from which on a request is logged as large; negative for none.
    commandlog_request_larger_than: i64 = 1 << 20,
    "commandlog-request-larger-than", Runtime, int(-1, i64::MAX);

    /// Large requests that the log keeps.
    commandlog_large_request_max_len: usize = 128,
    "commandlog-large-request-max-len", Runtime, int(0, i64::MAX);

    /// Bytes from which on a reply is logged as large; negative for none.
    commandlog_reply_larger_than: i64 = 1 << 20,
    "commandlog-reply-larger-than", Runtime, int(-1, i64::MAX);

    /// Large replies that the log keeps.
    commandlog_large_reply_max_len: usize = 128,
    "commandlog-large-reply-max-len", Runtime, int(0, i64::MAX);

    /// Bytes of commands that a client of MONITOR may leave unread before it is disconnected; 0 for no limit.
    monitor_output_limit: u64 = 32 << 20,
    "monitor-output-limit", Runtime, memory;

    /// Who may run DEBUG.
    enable_debug_command: Access = Access::No,
    "enable-debug-command", Startup, choice;

    /// Who may change `dir` and `dbfilename` while the server runs: with them a client chooses which file is written.
    enable_protected_configs: Access = Access::No,
    "enable-protected-configs", Startup, choice;

    /// Leave what clients have sent out of the log.
    hide_user_data_from_log: bool = false,
    "hide-user-data-from-log", Runtime, yes_no;

    /// How much one listpack of a list may hold: a number of elements, or -1 to -5 for 4 to 64 KiB.
    list_max_listpack_size: i32 = -2,
    "list-max-listpack-size" or "list-max-ziplist-size", Runtime, int(i32::MIN, i32::MAX);

    /// Nodes at either end of a list that are not compressed; 0 for all of them.
    list_compress_depth: i32 = 0,
    "list-compress-depth", Runtime, int(0, i32::MAX);

    /// Bytes of a stream's node to which no entry is added any more; 0 for no limit.
    stream_node_max_bytes: u64 = 4096,
    "stream-node-max-bytes", Runtime, long_memory(0);

    /// Entries of a stream's node to which none is added any more; 0 for no limit.
    stream_node_max_entries: u64 = 100,
    "stream-node-max-entries", Runtime, int(0, i64::MAX);

    /// Seconds for which streams that are made from now on remember the ids of producers.
    stream_idmp_duration: u32 = 100,
    "stream-idmp-duration", Runtime, int(1, 86_400);

    /// Ids of a producer that streams that are made from now on remember.
    stream_idmp_maxsize: u32 = 100,
    "stream-idmp-maxsize", Runtime, int(1, 10_000);

    /// INFO keysizes tells the bytes that collections take besides their elements.
    // COMPAT: up to 8.6 Redis lets it be switched off while it runs, and never on.
    key_memory_histograms: bool = false,
    "key-memory-histograms", Runtime, yes_no;

    /// Bit commands make compressed bitmaps of strings, where that saves memory.
    bitmap_default_roaring: bool = false,
    "bitmap-default-roaring", Runtime, yes_no;

    /// When a snapshot is saved by itself.
    save: SavePoints = SavePoints::default(),
    "save", Runtime, save_points;

    /// The file that snapshots are saved in.
    dbfilename: String = "dump.rdb".to_owned(),
    "dbfilename", Protected, filename("dbfilename");

    /// Long strings are compressed in dump files and in payloads of DUMP.
    rdbcompression: bool = true,
    "rdbcompression", Runtime, yes_no;

    /// Dump files end with a checksum, and one that is read is held against its own.
    rdbchecksum: bool = true,
    "rdbchecksum", Startup, yes_no;

    /// A dump file is put on the disk piece by piece while it is written, and not at its end alone.
    rdb_save_incremental_fsync: bool = true,
    "rdb-save-incremental-fsync", Runtime, yes_no;

    /// The version of the format of dump files that are written; 0 for the lowest that holds the data.
    rdb_format_version: u16 = 0,
    "rdb-format-version", Runtime, rdb_version;

    /// Refuse writes while snapshots cannot be saved.
    stop_writes_on_bgsave_error: bool = true,
    "stop-writes-on-bgsave-error", Runtime, yes_no;

    /// Log every write, and load the log at the start.
    appendonly: bool = false,
    "appendonly", Runtime, yes_no;

    /// When the log is put on the disk.
    appendfsync: AppendFsync = AppendFsync::EverySec,
    "appendfsync", Runtime, choice;

    /// What the names of the log's files begin with.
    appendfilename: String = "appendonly.aof".to_owned(),
    "appendfilename", Startup, filename("appendfilename");

    /// The directory of the log's files.
    appenddirname: String = "appendonlydir".to_owned(),
    "appenddirname", Startup, filename("appenddirname");

    /// The directory of the files of backups.
    backupdirname: String = "backupdir".to_owned(),
    "backupdirname", Startup, filename("backupdirname");

    /// Seconds for which a sealed backup is kept; 0 until it is removed by a command.
    backup_sealed_ttl: u64 = 0,
    "backup-sealed-ttl", Runtime, int(0, i32::MAX);

    /// What is loaded at the start in place of the data directory's own files: `aof:` and a manifest, or `rdb:` and a dump file.
    preload_file: Option<Preload> = None,
    "preload-file", Startup, preload;

    /// Load a log whose end is missing, up to there.
    aof_load_truncated: bool = true,
    "aof-load-truncated", Runtime, yes_no;

    /// Note the time in the log, in lines of their own.
    aof_timestamp_enabled: bool = false,
    "aof-timestamp-enabled", Runtime, yes_no;

    /// The base of the log is a dump file; otherwise it consists of commands.
    aof_use_rdb_preamble: bool = true,
    "aof-use-rdb-preamble", Runtime, yes_no;

    /// The base of the log is put on the disk piece by piece while it is written, and not at its end alone.
    aof_rewrite_incremental_fsync: bool = true,
    "aof-rewrite-incremental-fsync", Runtime, yes_no;

    /// Every batch of the log ends with a line that holds its checksum.
    aof_batch_checksums: bool = true,
    "aof-batch-checksums", Runtime, yes_no;

    /// Rewrite the log when it has grown by this many percent since; 0 for never.
    auto_aof_rewrite_percentage: u32 = 100,
    "auto-aof-rewrite-percentage", Runtime, int(0, i32::MAX);

    /// Bytes below which the log is not rewritten by itself.
    auto_aof_rewrite_min_size: u64 = 64 << 20,
    "auto-aof-rewrite-min-size", Runtime, long_memory(0);

    /// Put nothing of the log on the disk while a snapshot is saved.
    no_appendfsync_on_rewrite: bool = false,
    "no-appendfsync-on-rewrite", Runtime, yes_no;

    /// How SIGINT shuts the server down.
    shutdown_on_sigint: ShutdownOn = ShutdownOn::DEFAULT,
    "shutdown-on-sigint", Runtime, shutdown;

    /// How SIGTERM shuts the server down.
    shutdown_on_sigterm: ShutdownOn = ShutdownOn::DEFAULT,
    "shutdown-on-sigterm", Runtime, shutdown;

    /// Milliseconds that a script may hold the server: then others are served again, most of them with an error, and the script goes
    /// on beside them. 0 for no end.
    busy_reply_threshold: u64 = 5000,
    "busy-reply-threshold" or "lua-time-limit", Runtime, int(0, i64::MAX);

    /// Milliseconds after which a script that has changed nothing is ended; 0 for never.
    script_auto_kill_ms: u64 = 0,
    "script-auto-kill-ms", Runtime, int(0, i64::MAX);

    /// Bytes that a script may allocate; 0 for no limit.
    script_memory_limit: u64 = 256 << 20,
    "script-memory-limit", Runtime, memory;

    /// Scripts that SCRIPT LOAD has loaded, or EVALSHA has called, are saved with the data and are there after a restart.
    script_persist: bool = true,
    "script-persist", Runtime, yes_no;

    /// Which events about keys are published.
    notify_keyspace_events: Events = Events::NONE,
    "notify-keyspace-events", Runtime, events;

    /// Bytes up to which the last value of a string whose time was over is published, besides its `expired` event; 0 for never.
    notify_expired_value_max_bytes: u32 = 0,
    "notify-expired-value-max-bytes", Runtime, int(0, 65_536);

    /// Nothing expires and nothing is evicted while data is brought in by clients that have said CLIENT IMPORT-SOURCE, to whom what is
    /// due is there.
    // COMPAT: Valkey's, which Redis does not know.
    import_mode: bool = false,
    "import-mode", Runtime, yes_no;

    /// Options that we have added to Redis's commands (JITTER) are refused as Redis refuses them.
    redis_strict: bool = false,
    "redis-strict", Runtime, yes_no;

    /// A key that is deleted because a command gives it a deadline in the past publishes `expired`; with no, `del` as in
    /// Redis.
    expired_event_for_past_deadlines: bool = false,
    "expired-event-for-past-deadlines", Runtime, yes_no;

    /// Members of a sorted set up to which it is a listpack.
    zset_max_listpack_entries: u64 = 128,
    "zset-max-listpack-entries" or "zset-max-ziplist-entries", Runtime, int(0, i64::MAX);

    /// Bytes of a member up to which a sorted set is a listpack.
    zset_max_listpack_value: u64 = 64,
    "zset-max-listpack-value" or "zset-max-ziplist-value", Runtime, long_memory(0);

    /// Fields of a hash up to which it is a listpack.
    hash_max_listpack_entries: u64 = 512,
    "hash-max-listpack-entries" or "hash-max-ziplist-entries", Runtime, int(0, i64::MAX);

    /// Bytes of a field or a value up to which a hash is a listpack.
    hash_max_listpack_value: u64 = 64,
    "hash-max-listpack-value" or "hash-max-ziplist-value", Runtime, long_memory(0);

    /// Fields of a hash from which on it shares their names with like hashes.
    hash_min_template_entries: u64 = 0,
    "hash-min-template-entries", Runtime, int(0, TEMPLATE_FIELDS_MAX as i64);

    /// Fields of a hash up to which it shares their names with like hashes; 0 for no hash at all.
    hash_max_template_entries: u64 = 0,
    "hash-max-template-entries", Runtime, int(0, TEMPLATE_FIELDS_MAX as i64);

    /// Fields of a hash at least that shares their names when it is loaded from a dump file; 0 for none.
    hash_rdb_load_min_template_entries: u64 = 0,
    "hash-rdb-load-min-template-entries", Runtime, int(0, TEMPLATE_FIELDS_MAX as i64);

    /// Fields of such a hash at most; 0 for as many as there may be.
    hash_rdb_load_max_template_entries: u64 = 0,
    "hash-rdb-load-max-template-entries", Runtime, int(0, TEMPLATE_FIELDS_MAX as i64);

    /// After a load, names that fewer hashes share than this are shared no more.
    hash_rdb_load_template_disassembly_threshold: u64 = 0,
    "hash-rdb-load-template-disassembly-threshold", Runtime, int(0, i32::MAX);

    /// The working directory, which relative paths start from. Loading makes it absolute; the program changes to it.
    dir: PathBuf = PathBuf::from("."),
    "dir", Protected, dir;
}
