//! What a command is: one row of facts, beside its handler in the family's file. COMMAND, ACL categories, key extraction,
//! arity checks, the README's table and the differential test's grammar all read the row, so there is no second place.

use super::keyspec;
pub use super::keyspec::{Begin, Find, FindKeys, KeySpec, KeyUse};
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next};

/// Runs a command. Everything that can fail happens before the first byte of the reply; an error is the whole reply.
pub type Handler = fn(&mut Ctx<'_>, Args<'_>) -> Outcome;

/// What a handler returns.
pub type Outcome = Result<Next, ReplyError>;

/// Declares named bits with their wire names.
macro_rules! bits {
    ($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $bit_doc:literal])+ $bit:ident = $index:literal, $wire:literal;)+ }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name(u32);

        impl $name {
            $($(#[doc = $bit_doc])+ pub const $bit: $name = $name(1 << $index);)+
            /// No bit.
            pub const NONE: $name = $name(0);
            const NAMES: &[($name, &'static str)] = &[$(($name::$bit, $wire)),+];

            /// Both sets together.
            pub const fn with(self, other: $name) -> $name {
                $name(self.0 | other.0)
            }

            /// True if any bit of the other set is in this one.
            #[inline]
            pub const fn has(self, other: $name) -> bool {
                self.0 & other.0 != 0
            }

            /// The wire names of the bits, in Redis's order.
            pub fn names(self) -> impl Iterator<Item = &'static str> {
                Self::NAMES.iter().filter(move |(bit, _)| self.has(*bit)).map(|(_, name)| *name)
            }

            /// The bit of a wire name, in any case.
            pub fn named(name: &[u8]) -> Option<$name> {
                Self::NAMES.iter().find(|(_, wire)| wire.as_bytes().eq_ignore_ascii_case(name)).map(|(bit, _)| *bit)
            }

            /// Every wire name.
            pub fn all_names() -> impl Iterator<Item = &'static str> {
                Self::NAMES.iter().map(|(_, name)| *name)
            }
        }
    };
}

bits! {
    /// What COMMAND calls flags.
    Flags {
        /// May change data.
        WRITE = 0, "write";
        /// Only reads data.
        READONLY = 1, "readonly";
        /// Refused when memory is short.
        DENYOOM = 2, "denyoom";
        /// Refused inside a module's load.
        MODULE = 3, "module";
        /// For administrators.
        ADMIN = 4, "admin";
        /// Part of publish and subscribe.
        PUBSUB = 5, "pubsub";
        /// Not for scripts.
        NOSCRIPT = 6, "noscript";
        /// May wait.
        BLOCKING = 7, "blocking";
        /// Allowed while data is being loaded.
        LOADING = 8, "loading";
        /// Allowed on a replica that lost its primary.
        STALE = 9, "stale";
        /// Kept out of MONITOR.
        SKIP_MONITOR = 10, "skip_monitor";
        /// Kept out of SLOWLOG.
        SKIP_SLOWLOG = 11, "skip_slowlog";
        /// Allowed after ASKING.
        ASKING = 12, "asking";
        /// Constant or logarithmic time.
        FAST = 13, "fast";
        /// Allowed before authentication.
        NO_AUTH = 14, "no_auth";
        /// May name no key though it has places for keys.
        NO_MANDATORY_KEYS = 23, "no_mandatory_keys";
        /// Not allowed while data is loaded in the background.
        NO_ASYNC_LOADING = 16, "no_async_loading";
        /// Not allowed inside MULTI.
        NO_MULTI = 17, "no_multi";
        /// Keys are found by looking at the arguments, not by position alone. Follows from the key specifications.
        MOVABLE_KEYS = 18, "movablekeys";
        /// Allowed while a script holds the server.
        ALLOW_BUSY = 19, "allow_busy";
    }
}

impl Flags {
    /// Closed unless `enable-debug-command` opens it. COMMAND does not list this bit.
    pub const PROTECTED: Flags = Flags(1 << 20);
    /// Loads and unloads modules, which nothing opens. COMMAND does not list this bit.
    pub const MODULES: Flags = Flags(1 << 26);
    /// Documented as a system command. COMMAND does not list this bit.
    pub const SYSTEM: Flags = Flags(1 << 21);
    /// May be sent on to replicas though it is no write. COMMAND does not list this bit.
    pub const MAY_REPLICATE: Flags = Flags(1 << 15);
    /// Runs at once where MULTI queues commands. COMMAND does not list this bit.
    pub const UNQUEUED: Flags = Flags(1 << 24);
    /// As quick as those flagged as fast, though Redis does not flag it. COMMAND does not list this bit.
    pub const BRIEF: Flags = Flags(1 << 25);
    /// Allowed to RESP2 clients that have subscribed to something. COMMAND does not list this bit.
    pub const SUBSCRIBED: Flags = Flags(1 << 22);
}

bits! {
    /// ACL categories.
    Category {
        /// Touches keys whatever their type.
        KEYSPACE = 0, "keyspace";
        /// Reads data.
        READ = 1, "read";
        /// Changes data.
        WRITE = 2, "write";
        /// Sets.
        SET = 3, "set";
        /// Sorted sets.
        SORTEDSET = 4, "sortedset";
        /// Lists.
        LIST = 5, "list";
        /// Hashes.
        HASH = 6, "hash";
        /// Strings.
        STRING = 7, "string";
        /// Bitmaps.
        BITMAP = 8, "bitmap";
        /// HyperLogLogs.
        HYPERLOGLOG = 9, "hyperloglog";
        /// Geo indexes.
        GEO = 10, "geo";
        /// Streams.
        STREAM = 11, "stream";
        /// Publish and subscribe.
        PUBSUB = 12, "pubsub";
        /// For administrators.
        ADMIN = 13, "admin";
        /// Constant or logarithmic time.
        FAST = 14, "fast";
        /// Not fast.
        SLOW = 15, "slow";
        /// May wait.
        BLOCKING = 16, "blocking";
        /// Can do harm in careless hands.
        DANGEROUS = 17, "dangerous";
        /// About the connection.
        CONNECTION = 18, "connection";
        /// Transactions.
        TRANSACTION = 19, "transaction";
        /// Scripts.
        SCRIPTING = 20, "scripting";
    }
}

bits! {
    /// How a command uses the keys of a key specification.
    Access {
        /// Reads the value's data, or nothing of it.
        RO = 0, "RO";
        /// Reads and changes.
        RW = 1, "RW";
        /// Overwrites without reading.
        OW = 2, "OW";
        /// Deletes.
        RM = 3, "RM";
        /// Returns or copies the value's content.
        ACCESS = 4, "access";
        /// Changes content.
        UPDATE = 5, "update";
        /// Adds content without changing what is there.
        INSERT = 6, "insert";
        /// Deletes content.
        DELETE = 7, "delete";
        /// Names something that is not a key.
        NOT_KEY = 8, "not_key";
        /// Other keys may be named elsewhere.
        INCOMPLETE = 9, "incomplete";
        /// Options change how the key is used.
        VARIABLE = 10, "variable_flags";
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

/// The row of a command or subcommand.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Upper-case name; a subcommand's without its container.
    pub name: &'static str,
    /// Number of arguments with the name (a subcommand's container counts too); negative: at least so many.
    pub arity: i32,
    /// Flags.
    pub flags: Flags,
    /// ACL categories beyond those that follow from the flags.
    pub acl: Category,
    /// Where the keys are.
    pub keys: &'static [KeySpec],
    /// Index of the first key if it stands at a fixed place, else 0. Only [`Spec::keys`] sets it.
    first_key: usize,
    /// See [`Spec::member`]; else 0.
    member: usize,
    /// Finds the keys where the specifications do not.
    pub find_keys: Option<FindKeys>,
    /// Group of the documentation.
    pub group: Group,
    /// Version of Redis (or of AleaDB, for its own commands) that brought it.
    pub since: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Cost.
    pub complexity: &'static str,
    /// Arguments in the notation of `command::syntax`.
    pub syntax: &'static str,
    /// Hints for clients and proxies.
    pub tips: &'static [&'static str],
    /// Since when and in favour of what it is deprecated.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// Versions that changed it, and how.
    pub history: &'static [(&'static str, &'static str)],
    /// A container's subcommands.
    pub subcommands: &'static [Spec],
    /// Runs it; `None` for containers that only have subcommands.
    pub handler: Option<Handler>,
}

impl Spec {
    /// A row with the given flags; every further fact is added by the methods below.
    pub const fn new(name: &'static str, arity: i32, flags: Flags, handler: Handler) -> Spec {
        Spec {
            name,
            arity,
            flags,
            acl: Category::NONE,
            keys: &[],
            first_key: 0,
            member: 0,
            find_keys: None,
            group: Group::Generic,
            since: "1.0.0",
            summary: "",
            complexity: "O(1)",
            syntax: "",
            tips: &[],
            deprecated: None,
            history: &[],
            subcommands: &[],
            handler: Some(handler),
        }
    }

    /// A command that only reads.
    pub const fn read(name: &'static str, arity: i32, handler: Handler) -> Spec {
        Spec::new(name, arity, Flags::READONLY, handler)
    }

    /// A command that may change data.
    pub const fn write(name: &'static str, arity: i32, handler: Handler) -> Spec {
        Spec::new(name, arity, Flags::WRITE, handler)
    }

    /// A container of subcommands.
    pub const fn container(name: &'static str, subcommands: &'static [Spec]) -> Spec {
        let row = Spec::new(name, -2, Flags::NONE, |_, _| Ok(Next::Done));
        Spec { handler: None, subcommands, ..row }
    }

    /// Adds flags.
    pub const fn flags(self, flags: Flags) -> Spec {
        Spec { flags: self.flags.with(flags), ..self }
    }

    /// Adds the flag for constant or logarithmic time.
    pub const fn fast(self) -> Spec {
        self.flags(Flags::FAST)
    }

    /// Adds the flag for commands refused when memory is short.
    pub const fn denyoom(self) -> Spec {
        self.flags(Flags::DENYOOM)
    }

    /// Says where the keys are, and flags the keys as movable where Redis does.
    pub const fn keys(self, keys: &'static [KeySpec]) -> Spec {
        let legacy = keyspec::legacy(keys);
        let movable = if legacy.movable { Flags::MOVABLE_KEYS } else { Flags::NONE };
        let first_key = match keys {
            [KeySpec { begin: Begin::Index(first), find: Find::Range { .. }, .. }, ..] => *first,
            _ => 0,
        };
        Spec { keys, first_key, ..self.flags(movable) }
    }

    /// Names the function that finds the keys of the lines that the key specifications cannot read.
    pub const fn find_keys(self, finder: FindKeys) -> Spec {
        Spec { find_keys: Some(finder), ..self }
    }

    /// Group, ACL categories and first version.
    pub const fn group(self, group: Group, acl: Category, since: &'static str) -> Spec {
        let member = if matches!(group, Group::Set | Group::Hash) { 2 } else { 0 };
        Spec { group, acl, since, member, ..self }
    }

    /// Where lines have the first member that they look up: what is loaded ahead. No more than a guess, so options may come in
    /// between; sets and hashes have it behind the key.
    pub const fn member(self, at: usize) -> Spec {
        Spec { member: at, ..self }
    }

    /// Summary, complexity and syntax.
    pub const fn doc(self, summary: &'static str, complexity: &'static str, syntax: &'static str) -> Spec {
        Spec { summary, complexity, syntax, ..self }
    }

    /// Hints for clients and proxies.
    pub const fn tips(self, tips: &'static [&'static str]) -> Spec {
        Spec { tips, ..self }
    }

    /// Marks as deprecated.
    pub const fn deprecated(self, since: &'static str, instead: &'static str) -> Spec {
        Spec { deprecated: Some((since, instead)), ..self }
    }

    /// Versions that changed it.
    pub const fn history(self, history: &'static [(&'static str, &'static str)]) -> Spec {
        Spec { history, ..self }
    }

    /// Subcommands of a command that also runs on its own.
    pub const fn with_subcommands(self, subcommands: &'static [Spec]) -> Spec {
        Spec { subcommands, ..self }
    }

    /// True if this many arguments fit the arity.
    #[inline]
    pub fn takes(&self, count: usize) -> bool {
        if self.arity >= 0 { count == self.arity as usize } else { count >= self.arity.unsigned_abs() as usize }
    }

    /// True if [`Spec::first_member`] may find something.
    #[inline]
    pub fn looks_up(&self) -> bool {
        self.member != 0
    }

    /// The member or field that a line looks up first, if the row says where it is.
    #[inline]
    pub fn first_member<'a>(&self, line: Args<'a>) -> Option<&'a [u8]> {
        if self.member == 0 { None } else { line.get(self.member) }
    }

    /// The argument that surely is the first key, if one is: cheap enough for every command of a busy connection.
    #[inline]
    pub fn first_key<'a>(&self, line: Args<'a>) -> Option<&'a [u8]> {
        // No command has a key in the place of its name.
        if self.first_key == 0 { None } else { line.get(self.first_key) }
    }

    /// True if some argument may be a key.
    pub fn has_keys(&self) -> bool {
        self.keys.iter().any(|keys| !keys.access.has(Access::NOT_KEY))
    }

    /// The keys of a line that fits the arity, with how this very line uses them; none if there are none, or if the line
    /// does not make sense. Linear in the line.
    pub fn keys_of(&self, line: Args<'_>) -> Vec<KeyUse> {
        keyspec::find(self.keys, self.find_keys, line)
    }

    /// All ACL categories, those that follow from the flags included.
    pub fn categories(&self) -> Category {
        let mut all = self.acl;
        let implied = [
            (Flags::WRITE, Category::WRITE),
            (Flags::ADMIN, Category::ADMIN.with(Category::DANGEROUS)),
            (Flags::PUBSUB, Category::PUBSUB),
            (Flags::BLOCKING, Category::BLOCKING),
        ];
        for (flag, category) in implied {
            if self.flags.has(flag) {
                all = all.with(category);
            }
        }
        if self.flags.has(Flags::READONLY) && !all.has(Category::SCRIPTING) {
            all = all.with(Category::READ);
        }
        all.with(if self.flags.has(Flags::FAST) { Category::FAST } else { Category::SLOW })
    }
}
