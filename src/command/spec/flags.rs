//! The sets of named bits that rows are made of: flags, ACL categories, uses of keys; and the groups of the documentation.
//!
//! The place of a bit in its list is its number, so that no two bits of a set can share one. A bit with a wire name is one that
//! clients see; a bit without is only for the server itself.

/// Declares a set of named bits, numbered in order. Those that clients see have a wire name.
macro_rules! bits {
    ($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $bit_doc:literal])+ $bit:ident $(= $wire:literal)?;)+ }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name(u32);

        const _: () = {
            #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "the variants are named like the constants")]
            enum Number { $($bit),+ }

            impl $name {
                $($(#[doc = $bit_doc])+ pub const $bit: $name = $name(1 << Number::$bit as u32);)+
                const WIRE_NAMES: &[($name, &'static str)] = &[$($(($name::$bit, $wire),)?)+];
            }
        };

        impl $name {
            /// No bit.
            pub const NONE: $name = $name(0);

            /// Both sets together.
            pub const fn with(self, other: $name) -> $name {
                $name(self.0 | other.0)
            }

            /// This set without the bits of the other.
            pub const fn without(self, other: $name) -> $name {
                $name(self.0 & !other.0)
            }

            /// True if any bit of the other set is in this one.
            #[inline]
            pub const fn has(self, other: $name) -> bool {
                self.0 & other.0 != 0
            }

            /// The bits as a number.
            pub const fn bits(self) -> u32 {
                self.0
            }

            /// Every bit that has a wire name, with it, in Redis's order.
            pub fn named_bits() -> impl Iterator<Item = ($name, &'static str)> {
                Self::WIRE_NAMES.iter().copied()
            }

            /// The wire names of the bits that have one, in Redis's order.
            pub fn names(self) -> impl Iterator<Item = &'static str> {
                Self::WIRE_NAMES.iter().filter(move |(bit, _)| self.has(*bit)).map(|(_, name)| *name)
            }

            /// The bit of a wire name, in any case.
            pub fn named(name: &[u8]) -> Option<$name> {
                Self::WIRE_NAMES.iter().find(|(_, wire)| wire.as_bytes().eq_ignore_ascii_case(name)).map(|(bit, _)| *bit)
            }
        }
    };
}

bits! {
    /// What COMMAND calls flags. It does not show those without a wire name.
    Flags {
        /// May change data.
        WRITE = "write";
        /// Only reads data.
        READONLY = "readonly";
        /// Refused when memory is short.
        DENYOOM = "denyoom";
        /// Refused inside a module's load.
        MODULE = "module";
        /// For administrators.
        ADMIN = "admin";
        /// Part of publish and subscribe.
        PUBSUB = "pubsub";
        /// Not for scripts.
        NOSCRIPT = "noscript";
        /// May wait.
        BLOCKING = "blocking";
        /// Allowed while data is being loaded.
        LOADING = "loading";
        /// Allowed on a replica that lost its primary.
        STALE = "stale";
        /// Kept out of MONITOR.
        SKIP_MONITOR = "skip_monitor";
        /// Kept out of SLOWLOG.
        SKIP_SLOWLOG = "skip_slowlog";
        /// Allowed after ASKING.
        ASKING = "asking";
        /// Constant or logarithmic time.
        FAST = "fast";
        /// Allowed before authentication.
        NO_AUTH = "no_auth";
        /// May name no key though it has places for keys.
        NO_MANDATORY_KEYS = "no_mandatory_keys";
        /// Not allowed while data is loaded in the background.
        NO_ASYNC_LOADING = "no_async_loading";
        /// Not allowed inside MULTI.
        NO_MULTI = "no_multi";
        /// Keys are found by looking at the arguments, not by position alone. Follows from the key specifications.
        MOVABLE_KEYS = "movablekeys";
        /// Allowed while a script holds the server.
        ALLOW_BUSY = "allow_busy";
        /// Closed unless `enable-debug-command` opens it.
        PROTECTED;
        /// Loads and unloads modules, which nothing opens.
        MODULES;
        /// Documented as a system command.
        SYSTEM;
        /// May be sent on to replicas though it is no write.
        MAY_REPLICATE;
        /// Runs at once where MULTI queues commands.
        UNQUEUED;
        /// As quick as those flagged as fast, though Redis does not flag it.
        BRIEF;
        /// Allowed to RESP2 clients that have subscribed to something.
        SUBSCRIBED;
        /// Done piece by piece if its line is long.
        PIECES;
        /// Runs a script, whose own flags take the place of those that depend on what it does.
        RUNS_SCRIPT;
    }
}

bits! {
    /// ACL categories.
    Category {
        /// Touches keys whatever their type.
        KEYSPACE = "keyspace";
        /// Reads data.
        READ = "read";
        /// Changes data.
        WRITE = "write";
        /// Sets.
        SET = "set";
        /// Sorted sets.
        SORTEDSET = "sortedset";
        /// Lists.
        LIST = "list";
        /// Hashes.
        HASH = "hash";
        /// Strings.
        STRING = "string";
        /// Bitmaps.
        BITMAP = "bitmap";
        /// HyperLogLogs.
        HYPERLOGLOG = "hyperloglog";
        /// Geo indexes.
        GEO = "geo";
        /// Streams.
        STREAM = "stream";
        /// Publish and subscribe.
        PUBSUB = "pubsub";
        /// For administrators.
        ADMIN = "admin";
        /// Constant or logarithmic time.
        FAST = "fast";
        /// Not fast.
        SLOW = "slow";
        /// May wait.
        BLOCKING = "blocking";
        /// Can do harm in careless hands.
        DANGEROUS = "dangerous";
        /// About the connection.
        CONNECTION = "connection";
        /// Transactions.
        TRANSACTION = "transaction";
        /// Scripts.
        SCRIPTING = "scripting";
        /// Arrays.
        ARRAY = "array";
    }
}

bits! {
    /// How a command uses the keys of a key specification.
    Access {
        /// Reads the value's data, or nothing of it.
        RO = "RO";
        /// Reads and changes.
        RW = "RW";
        /// Overwrites without reading.
        OW = "OW";
        /// Deletes.
        RM = "RM";
        /// Returns or copies the value's content.
        ACCESS = "access";
        /// Changes content.
        UPDATE = "update";
        /// Adds content without changing what is there.
        INSERT = "insert";
        /// Deletes content.
        DELETE = "delete";
        /// Names something that is not a key.
        NOT_KEY = "not_key";
        /// Other keys may be named elsewhere.
        INCOMPLETE = "incomplete";
        /// Options change how the key is used.
        VARIABLE = "variable_flags";
    }
}

/// What COMMAND DOCS calls the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Keys of any type.
    Generic,
    /// Strings.
    String,
    /// Lists.
    List,
    /// Hashes.
    Hash,
    /// Sets.
    Set,
    /// Sorted sets.
    SortedSet,
    /// Streams.
    Stream,
    /// Arrays.
    Array,
    /// Bitmaps.
    Bitmap,
    /// HyperLogLogs.
    Hyperloglog,
    /// Geo indexes.
    Geo,
    /// Transactions.
    Transactions,
    /// Scripts and functions.
    Scripting,
    /// The connection.
    Connection,
    /// The server.
    Server,
    /// Publish and subscribe.
    Pubsub,
    /// Several servers that share the keys.
    Cluster,
}

impl Group {
    /// The wire name.
    pub fn name(self) -> &'static str {
        match self {
            Group::Generic => "generic",
            Group::String => "string",
            Group::List => "list",
            Group::Hash => "hash",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::Stream => "stream",
            Group::Array => "array",
            Group::Bitmap => "bitmap",
            Group::Hyperloglog => "hyperloglog",
            Group::Geo => "geo",
            Group::Transactions => "transactions",
            Group::Scripting => "scripting",
            Group::Connection => "connection",
            Group::Server => "server",
            Group::Pubsub => "pubsub",
            Group::Cluster => "cluster",
        }
    }
}
