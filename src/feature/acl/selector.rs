//! A set of permissions: which commands, on which keys in which way, on which channels.
//!
//! # Invariants
//! - `all_commands` implies that every bit of `bits` is set and that there are no first arguments.
//! - `rules` applied to nothing, or to everything if `future` is set, give `bits` and `first_args`: they are what is printed.
//! - A list of patterns is empty while everything of its kind is allowed.
//!
//! To check costs O(keys of the line times patterns), each as its glob does; nothing of it is looked at where all is allowed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::catalog::Catalog;
use super::rules::{RuleError, as_c_string, has_spaces};
use crate::base::glob::KeptPattern;
use crate::base::quote;
use crate::resp::args::Args;

/// How a key is used, or may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyAccess {
    /// What it holds is read.
    pub read: bool,
    /// What it holds is changed.
    pub write: bool,
}

impl KeyAccess {
    /// In every way.
    pub const ALL: KeyAccess = KeyAccess { read: true, write: true };

    fn covers(self, used: KeyAccess) -> bool {
        (self.read || !used.read) && (self.write || !used.write)
    }
}

/// A key of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyAsked {
    /// Index of the argument.
    pub place: usize,
    /// How this line uses it.
    pub access: KeyAccess,
}

/// Which arguments of a line name channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelUse {
    /// None, or none that needs a permission.
    None,
    /// The first.
    First,
    /// All of them.
    All,
    /// All of them, and they are patterns.
    AllPatterns,
}

/// A command line as selectors judge it. It fits the command's arity.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The command's number.
    pub command: usize,
    /// Everybody may run it, such as AUTH.
    pub is_free: bool,
    /// Where the argument stands that rules of the form `+command|first-arg` compare.
    pub first_arg: usize,
    /// The line.
    pub args: Args<'a>,
    /// Its keys.
    pub keys: &'a [KeyAsked],
    /// Its channels.
    pub channels: ChannelUse,
}

/// What was refused; the greater says more of why a user's selectors all refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The command.
    Command,
    /// A key.
    Key,
    /// A password. Selectors know none.
    Auth,
    /// A channel.
    Channel,
}

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denied {
    /// Of what.
    pub reason: Reason,
    /// The argument that was refused; 0 for the command.
    pub place: usize,
}

#[derive(Clone, Debug)]
struct KeyPattern {
    text: Vec<u8>,
    access: KeyAccess,
    glob: Arc<KeptPattern>,
}

#[derive(Clone, Debug)]
struct ChannelPattern {
    text: Vec<u8>,
    glob: Arc<KeptPattern>,
}

/// A set of permissions.
#[derive(Clone, Debug)]
pub struct Selector {
    all_commands: bool,
    /// Commands that are not known yet are allowed too.
    future: bool,
    /// Which commands are allowed, by number.
    bits: Box<[u64]>,
    /// First arguments with which a command is allowed whose bit is not set.
    first_args: BTreeMap<usize, Vec<Vec<u8>>>,
    /// What was allowed and refused, in order: lower-case names of commands, or of categories behind `@`.
    rules: Vec<(bool, Vec<u8>)>,
    all_keys: bool,
    keys: Vec<KeyPattern>,
    all_channels: bool,
    channels: Vec<ChannelPattern>,
}

impl Selector {
    /// Nothing is allowed, but every channel if so told.
    pub fn new(catalog: &Catalog, all_channels: bool) -> Selector {
        Selector {
            all_commands: false,
            future: false,
            bits: vec![0; catalog.len().div_ceil(64)].into(),
            first_args: BTreeMap::new(),
            rules: Vec::new(),
            all_keys: false,
            keys: Vec::new(),
            all_channels,
            channels: Vec::new(),
        }
    }

    /// Applies one rule. O(commands) for categories.
    ///
    /// # Errors
    /// It is none, or it does not fit what there is. Nothing has changed then.
    pub fn apply(&mut self, rule: &[u8], catalog: &Catalog) -> Result<(), RuleError> {
        let word = as_c_string(rule);
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        if is("allkeys") || is("~*") {
            (self.all_keys, self.keys) = (true, Vec::new());
        } else if is("resetkeys") {
            (self.all_keys, self.keys) = (false, Vec::new());
        } else if is("allchannels") || is("&*") {
            (self.all_channels, self.channels) = (true, Vec::new());
        } else if is("resetchannels") {
            (self.all_channels, self.channels) = (false, Vec::new());
        } else if is("allcommands") || is("+@all") {
            self.set_all(true);
        } else if is("nocommands") || is("-@all") {
            self.set_all(false);
        } else {
            return match rule {
                [b'~', pattern @ ..] => self.add_keys(pattern, KeyAccess::ALL),
                [b'%', rest @ ..] if !self.all_keys => {
                    let (access, pattern) = split_access(rest)?;
                    self.add_keys(pattern, access)
                }
                [b'%', ..] => Err(RuleError::KeysAllowed),
                [b'&', pattern @ ..] => self.add_channels(pattern),
                [b'+', b'@', ..] => self.set_category(&word[2..], catalog, true),
                [b'-', b'@', ..] => self.set_category(&word[2..], catalog, false),
                [b'+', ..] => self.allow(&word[1..], catalog),
                [b'-', ..] => {
                    let id = catalog.find(&word[1..]).ok_or(RuleError::Unknown)?;
                    self.set_with_subcommands(id, catalog, false);
                    self.note_rule(catalog.entry(id).name.as_bytes(), false);
                    Ok(())
                }
                _ => Err(RuleError::Syntax),
            };
        }
        Ok(())
    }

    fn set_all(&mut self, allowed: bool) {
        (self.all_commands, self.future) = (allowed, allowed);
        self.bits.fill(if allowed { u64::MAX } else { 0 });
        self.first_args.clear();
        self.rules.clear();
    }

    fn add_keys(&mut self, pattern: &[u8], access: KeyAccess) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::KeysAllowed);
        }
        if has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        match self.keys.iter_mut().find(|known| known.text == pattern) {
            Some(known) => {
                known.access.read |= access.read;
                known.access.write |= access.write;
            }
            None => {
                let glob = Arc::new(KeptPattern::new(pattern));
                self.keys.push(KeyPattern { text: pattern.to_vec(), access, glob });
            }
        }
        Ok(())
    }

    fn add_channels(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::ChannelsAllowed);
        }
        if has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        if !self.channels.iter().any(|known| known.text == pattern) {
            let glob = Arc::new(KeptPattern::new(pattern));
            self.channels.push(ChannelPattern { text: pattern.to_vec(), glob });
        }
        Ok(())
    }

    /// Allows a command, a subcommand, or a command with a first argument.
    fn allow(&mut self, name: &[u8], catalog: &Catalog) -> Result<(), RuleError> {
        let split = name.iter().rposition(|byte| *byte == b'|').map(|at| (&name[..at], &name[at + 1..]));
        let Some((command, last)) = split else {
            let id = catalog.find(name).ok_or(RuleError::Unknown)?;
            self.set_with_subcommands(id, catalog, true);
            self.note_rule(catalog.entry(id).name.as_bytes(), true);
            return Ok(());
        };
        let id = catalog.find(command).ok_or(RuleError::Unknown)?;
        if command.contains(&b'|') {
            return Err(RuleError::FirstArgOfSubcommand);
        }
        // COMPAT: Redis takes white space in a first argument, and would read it from a file as rules of their own.
        if last.is_empty() || has_spaces(last) {
            return Err(RuleError::Syntax);
        }
        if catalog.entry(id).subcommands.is_empty() {
            log::warn!(
                "Deprecation warning: Allowing a first arg of an otherwise blocked command is a misuse of ACL and may get \
                 disabled in the future (offender: +{})",
                name.escape_ascii()
            );
            let known = self.first_args.entry(id).or_default();
            if !known.iter().any(|arg| arg.eq_ignore_ascii_case(last)) {
                known.push(last.to_vec());
            }
        } else {
            let id = catalog.find(name).ok_or(RuleError::Unknown)?;
            self.set_with_subcommands(id, catalog, true);
        }
        self.note_rule(name, true);
        Ok(())
    }

    fn set_category(&mut self, name: &[u8], catalog: &Catalog, allowed: bool) -> Result<(), RuleError> {
        let bit = catalog.category(name).ok_or(RuleError::Unknown)?;
        self.note_rule(&[b"@", name].concat(), allowed);
        for (id, entry) in catalog.entries().filter(|(_, entry)| entry.categories & bit != 0) {
            self.set(id, allowed);
            // A container's subcommands go with it.
            entry.subcommands.clone().for_each(|sub| self.set(sub, allowed));
        }
        Ok(())
    }

    fn set_with_subcommands(&mut self, id: usize, catalog: &Catalog, allowed: bool) {
        self.set(id, allowed);
        catalog.entry(id).subcommands.clone().for_each(|sub| self.set(sub, allowed));
    }

    fn set(&mut self, id: usize, allowed: bool) {
        let (word, bit) = (&mut self.bits[id / 64], 1 << (id % 64));
        if allowed {
            *word |= bit;
        } else {
            *word &= !bit;
            self.all_commands = false;
        }
        self.first_args.remove(&id);
    }

    /// Writes a rule behind the others, and takes out those that it makes pointless: of the same name, and of what is behind
    /// a `|` of it.
    fn note_rule(&mut self, name: &[u8], allowed: bool) {
        let name = name.to_ascii_lowercase();
        self.rules.retain(|(_, known)| known.strip_prefix(&*name).is_none_or(|rest| !matches!(rest, [] | [b'|', ..])));
        self.rules.push((allowed, name));
    }

    /// True if a selector allows everything there is and will be.
    pub fn is_unlimited(&self) -> bool {
        self.all_commands && self.all_keys && self.all_channels
    }

    /// True unless every key is allowed.
    pub fn looks_at_keys(&self) -> bool {
        !self.all_keys
    }

    /// Whether the line is allowed, and if not, what is refused.
    #[inline]
    pub fn check(&self, asked: &Asked<'_>) -> Result<(), Denied> {
        if !self.all_commands && !asked.is_free && !self.allows_command(asked) {
            return Err(Denied { reason: Reason::Command, place: 0 });
        }
        if !self.all_keys
            && let Some(key) = asked.keys.iter().find(|key| !self.allows_key(asked.args.at(key.place), key.access))
        {
            return Err(Denied { reason: Reason::Key, place: key.place });
        }
        if !self.all_channels && asked.channels != ChannelUse::None {
            return self.check_channels(asked);
        }
        Ok(())
    }

    #[inline]
    fn allows_command(&self, asked: &Asked<'_>) -> bool {
        let id = asked.command;
        self.has_bit(id) || (!self.first_args.is_empty() && self.allows_first_arg(asked))
    }

    #[inline]
    fn has_bit(&self, command: usize) -> bool {
        self.bits[command / 64] >> (command % 64) & 1 == 1
    }

    /// True if a command is allowed whatever its line says but for one key, used in this way.
    #[inline]
    pub(super) fn allows_on_key(&self, command: usize, key: &[u8], access: KeyAccess) -> bool {
        self.has_bit(command) && (self.all_keys || self.allows_key(key, access))
    }

    #[cold]
    fn allows_first_arg(&self, asked: &Asked<'_>) -> bool {
        let (Some(known), Some(arg)) = (self.first_args.get(&asked.command), asked.args.get(asked.first_arg)) else {
            return false;
        };
        known.iter().any(|first| as_c_string(arg).eq_ignore_ascii_case(first))
    }

    #[inline]
    fn allows_key(&self, key: &[u8], access: KeyAccess) -> bool {
        self.keys.iter().any(|pattern| pattern.access.covers(access) && pattern.glob.matches(&pattern.text, key))
    }

    pub(super) fn may_read(&self, key: &[u8]) -> bool {
        self.all_keys || self.allows_key(key, KeyAccess { read: true, write: false })
    }

    fn check_channels(&self, asked: &Asked<'_>) -> Result<(), Denied> {
        let count = if asked.channels == ChannelUse::First { asked.args.len().min(2) } else { asked.args.len() };
        let is_pattern = asked.channels == ChannelUse::AllPatterns;
        let refused = (1..count).find(|place| !allows_channel(self.channels(), asked.args.at(*place), is_pattern));
        refused.map_or(Ok(()), |place| Err(Denied { reason: Reason::Channel, place }))
    }

    /// True if every key may be used in this way. A pattern `*` alone is as good as all.
    pub fn allows_all_keys(&self, access: KeyAccess) -> bool {
        self.all_keys || self.keys.iter().any(|pattern| pattern.access.covers(access) && pattern.text == b"*")
    }

    /// True if every channel is allowed.
    pub fn allows_all_channels(&self) -> bool {
        self.all_channels
    }

    /// The channels that are allowed, where not all are.
    pub fn channels(&self) -> impl Iterator<Item = Channel<'_>> {
        self.channels.iter().map(Channel)
    }

    /// The rules about commands.
    pub fn commands_text(&self) -> Vec<Vec<u8>> {
        let all: &[u8] = if self.future { b"+@all" } else { b"-@all" };
        let rule = |(allowed, name): &(bool, Vec<u8>)| [if *allowed { b"+" } else { b"-" }, &**name].concat();
        std::iter::once(all.to_vec()).chain(self.rules.iter().map(rule)).collect()
    }

    /// The rules about keys.
    pub fn keys_text(&self) -> Vec<Vec<u8>> {
        if self.all_keys {
            return vec![b"~*".to_vec()];
        }
        let rule = |pattern: &KeyPattern| {
            let mark: &[u8] = match pattern.access {
                KeyAccess { read: true, write: false } => b"%R~",
                KeyAccess { read: false, write: true } => b"%W~",
                _ => b"~",
            };
            [mark, &pattern.text].concat()
        };
        self.keys.iter().map(rule).collect()
    }

    /// The rules about channels.
    pub fn channels_text(&self) -> Vec<Vec<u8>> {
        if self.all_channels {
            return vec![b"&*".to_vec()];
        }
        self.channels.iter().map(|pattern| [b"&", &*pattern.text].concat()).collect()
    }

    /// All rules, as a file has them.
    pub(super) fn words(&self) -> Vec<Vec<u8>> {
        let mut words = self.keys_text();
        if !self.all_channels {
            words.push(b"resetchannels".to_vec());
        }
        words.extend(self.channels_text());
        words.extend(self.commands_text());
        words
    }

    /// All rules as a selector that is not a user's first. Its words are read back with quotes, so those that have some are
    /// written in quotes, and so is a word that would be taken for its end.
    pub(super) fn in_parentheses(&self) -> Vec<u8> {
        let words: Vec<Vec<u8>> = self.words().iter().map(|word| word_of_selector(word)).collect();
        [b"(", &*words.join(&b' '), b")"].concat()
    }
}

fn word_of_selector(word: &[u8]) -> Vec<u8> {
    if word.ends_with(b")") { in_quotes(word) } else { quoted_if_needed(word) }
}

/// A word as a line that is split with quotes has to have it.
pub fn quoted_if_needed(word: &[u8]) -> Vec<u8> {
    let needs_quotes = word.is_empty() || word.iter().any(|byte| matches!(byte, b'"' | b'\''));
    if needs_quotes { in_quotes(word) } else { word.to_vec() }
}

fn in_quotes(word: &[u8]) -> Vec<u8> {
    let mut quoted = Vec::new();
    quote::repr(&mut quoted, word);
    quoted
}

/// A pattern of channels.
#[derive(Clone, Copy, Debug)]
pub struct Channel<'a>(&'a ChannelPattern);

impl Channel<'_> {
    /// The pattern.
    pub fn text(&self) -> &[u8] {
        &self.0.text
    }

    fn allows(&self, name: &[u8], is_pattern: bool) -> bool {
        // A pattern that is subscribed by has to be allowed as it is.
        if is_pattern { self.0.text == name } else { self.0.glob.matches(&self.0.text, name) }
    }
}

/// True if one of the patterns allows a channel, or a pattern of channels.
pub fn allows_channel<'a>(mut patterns: impl Iterator<Item = Channel<'a>>, name: &[u8], is_pattern: bool) -> bool {
    patterns.any(|pattern| pattern.allows(name, is_pattern))
}

/// The access that stands between `%` and `~`, and the pattern.
fn split_access(text: &[u8]) -> Result<(KeyAccess, &[u8]), RuleError> {
    let end = text.iter().position(|byte| *byte == b'~').unwrap_or(text.len());
    let mut access = KeyAccess::default();
    for byte in &text[..end] {
        match byte {
            b'R' | b'r' if !access.read => access.read = true,
            b'W' | b'w' if !access.write => access.write = true,
            _ => return Err(RuleError::Syntax),
        }
    }
    if access == KeyAccess::default() {
        return Err(RuleError::Syntax);
    }
    Ok((access, text.get(end + 1..).unwrap_or_default()))
}
