//! What a command is: one row of facts, beside its handler in the family's file. COMMAND, ACL categories, key extraction,
//! arity checks, the README's table and the differential test's grammar all read the row, so there is no second place.
//!
//! - `flags`: sets of named bits. `keyspec`: where keys stand on a line; `keyfind`: the lines that takes more for.
//! - `syntax`: the notation of the arguments. `readme`: the table in the README.
//! - `registry`: from a name to its row. `resolve`: from a line to the row of its subcommand, and the errors for names without one.
//!
//! Used by the families, which stand beside this module. Names none of them, and nothing of what a handler does.

pub mod flags;
pub mod keyfind;
pub mod keyspec;
pub mod readme;
pub mod registry;
pub mod resolve;
pub mod syntax;

pub use flags::{Access, Category, Flags, Group};
pub use keyspec::{Begin, Find, FindKeys, KeySpec, KeyUse};

use crate::base::num;
use crate::feature::acl::ChannelUse;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next};

/// Runs a command. Everything that can fail happens before the first byte of the reply; an error is the whole reply.
pub type Handler = fn(&mut Ctx<'_>, Args<'_>) -> Outcome;

/// Finds the secrets of a line that fits the arity: indices of arguments.
pub type FindSecrets = fn(line: Args<'_>) -> Vec<usize>;

/// What a handler returns.
pub type Outcome = Result<Next, ReplyError>;

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
    /// Which arguments name channels that a user has to be allowed to use.
    pub channels: ChannelUse,
    /// Finds the keys where the specifications do not.
    pub find_keys: Option<FindKeys>,
    /// Finds the arguments that are secrets, by their index: logs and MONITOR do not show them.
    pub secrets: Option<FindSecrets>,
    /// Group of the documentation.
    pub group: Group,
    /// Version of Redis (or of AleaDB, for its own commands) that brought it.
    pub since: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Cost.
    pub complexity: &'static str,
    /// Arguments in the notation of [`syntax`](mod@syntax).
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
            channels: ChannelUse::None,
            find_keys: None,
            secrets: None,
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

    /// Adds the flag for commands that are done piece by piece if their line is long.
    pub const fn in_pieces(self) -> Spec {
        self.flags(Flags::PIECES)
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

    /// Says which arguments name channels.
    pub const fn channels(self, channels: ChannelUse) -> Spec {
        Spec { channels, ..self }
    }

    /// Names the function that finds the arguments that are secrets.
    pub const fn secrets(self, finder: FindSecrets) -> Spec {
        Spec { secrets: Some(finder), ..self }
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

    /// True for a container that does nothing without a subcommand.
    #[inline]
    pub fn is_container(&self) -> bool {
        self.handler.is_none()
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

    /// The only argument that is a key, whatever else the line says, and how it is used.
    pub fn only_key(&self) -> Option<KeyUse> {
        match self.keys {
            [only] if self.find_keys.is_none() => only.always(),
            _ => None,
        }
    }

    /// Where a line has the first of its keys, where they end, and the step: if all arguments from a fixed place to the end are
    /// keys, or one in so many, or as many as the line says of those that are overwritten. O(1).
    pub fn run_of_keys(&self, line: Args<'_>) -> Option<(usize, usize, usize)> {
        let [KeySpec { access, begin: Begin::Index(begin), find, .. }] = *self.keys else { return None };
        match find {
            _ if self.find_keys.is_some() => None,
            Find::Range { last: -1, step, limit: 0 } => Some((begin, line.len(), step)),
            Find::Keynum { number, first, step } if access.has(Access::OW) => {
                let keys = line.get(begin + number).and_then(num::parse_i64)?;
                let first = begin + first;
                let end = usize::try_from(keys).ok()?.checked_mul(step)?.checked_add(first)?;
                (end <= line.len()).then_some((first, end, step))
            }
            _ => None,
        }
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
