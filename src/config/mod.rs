//! The server's settings: what there is, what it may be, where it came from.
//!
//! [`params`] holds one row per directive and the [`Config`] struct made of them, `inert` the rows of Redis's directives
//! that change nothing here; [`value`] the kinds of values; [`mod@file`] the syntax of a configuration file, its loading and
//! its rewriting; [`cli`] the command line; [`title`] what the list of processes shows. This module adds what CONFIG GET and
//! CONFIG SET need.
//!
//! Called by `main` at startup and by the CONFIG command. It knows nothing of sockets, clients or replies, and applies
//! nothing: a caller sets values on a copy, applies them, and keeps the copy if that worked.

pub mod cli;
mod events;
pub mod file;
mod inert;
mod memory;
pub mod params;
mod persistence;
mod replication;
pub mod title;
pub mod value;

use std::fmt;

use crate::base::glob;

pub use events::{EventClass, Events};
pub use inert::Kept;
pub use memory::{ClientsLimit, MemoryLimit, MemoryPolicy};
pub use params::{Config, Param, When};
pub use persistence::{AppendFsync, Preload, SavePoint, SavePoints, ShutdownOn};
pub use replication::{DisklessLoad, ServerAddress, checked_host};
pub use value::{
    Access, BindAddress, Facility, Line, LogLevel, OutputLimit, OutputLimits, PubsubDefault, Reason, Supervised,
};

/// Why CONFIG SET changed nothing. Its text is Redis's, without the leading `ERR `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetError {
    /// No directive has this name.
    Unknown {
        /// The name as the client wrote it.
        name: Vec<u8>,
    },
    /// A directive was refused, or could not be applied.
    Failed {
        /// The directive.
        name: Vec<u8>,
        /// What was wrong.
        reason: Reason,
    },
}

impl SetError {
    /// The error for a value that was fine by itself but could not be applied.
    pub fn failed(name: &str, reason: impl Into<Reason>) -> Self {
        Self::Failed { name: name.as_bytes().to_vec(), reason: reason.into() }
    }

    fn refused(name: &[u8], reason: impl Into<Reason>) -> Self {
        Self::Failed { name: name.to_vec(), reason: reason.into() }
    }

    /// The text, with a client's bytes as they were except that line ends become spaces, for it has to fit one line of a
    /// reply, and that a name ends at its first NUL byte, as in Redis.
    pub fn message(&self) -> Vec<u8> {
        let mut text = match self {
            Self::Unknown { name } => {
                let shown = name.split(|&byte| byte == 0).next().unwrap_or_default();
                [b"Unknown option or number of arguments for CONFIG SET - '", shown, b"'"].concat()
            }
            Self::Failed { name, reason } => {
                let head = b"CONFIG SET failed (possibly related to argument '".as_slice();
                [head, name, b"') - ", reason.as_bytes()].concat()
            }
        };
        text.iter_mut().filter(|byte| matches!(byte, b'\r' | b'\n')).for_each(|byte| *byte = b' ');
        text
    }
}

impl fmt::Display for SetError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&String::from_utf8_lossy(&self.message()))
    }
}

impl std::error::Error for SetError {}

impl Config {
    /// Sets every named directive to its value, or nothing at all; returns the names whose values are now different.
    ///
    /// Names and duplicates are checked before any value, as in Redis, so a wrong name is reported before a wrong
    /// value. Protected directives are only for those who `may_protected`. Quadratic in the number of pairs.
    pub fn set_many(&mut self, pairs: &[(&[u8], &[u8])], may_protected: bool) -> Result<Vec<&'static str>, SetError> {
        let mut found: Vec<(&'static Param, &'static str)> = Vec::with_capacity(pairs.len());
        for (name, _) in pairs {
            let param = settable(name, may_protected)?;
            let spelling = param.spelling(name);
            // COMPAT: a directive and its alias are the same, as since Redis 8.10; those before set the later one last.
            if found.iter().any(|(earlier, _)| std::ptr::eq(*earlier, param)) {
                return Err(SetError::refused(name, "duplicate parameter"));
            }
            found.push((param, spelling));
        }
        let mut next = self.clone();
        for ((param, spelling), (_, value)) in found.iter().zip(pairs) {
            param.clear(&mut next);
            param.set(&mut next, &arguments(param, value)).map_err(|reason| SetError::failed(spelling, reason))?;
        }
        let is_changed = |param: &&&Param| param.get(&next) != param.get(self);
        let changed = found.iter().map(|(param, _)| param).filter(is_changed).map(|param| param.name).collect();
        *self = next;
        Ok(changed)
    }

    /// The directives CONFIG GET shows for `patterns`, each name once, in row order within a pattern.
    ///
    /// A pattern without glob characters is a name, and comes back spelled as it was asked for, as in Redis.
    /// An alias is listed beside its directive when a glob matches it.
    pub fn matching<'a>(&self, patterns: &[&'a [u8]]) -> Vec<(&'a [u8], Vec<u8>)> {
        let mut found: Vec<(&'a [u8], Vec<u8>)> = Vec::new();
        for pattern in patterns {
            if !pattern.iter().any(|byte| b"[*?".contains(byte)) {
                if let Some(param) = Param::find(pattern) {
                    self.add(&mut found, pattern, param);
                }
                continue;
            }
            let pattern = glob::Pattern::new(pattern, true);
            for param in Param::all().filter(|param| param.listed) {
                for name in param.names().filter(|name| pattern.matches(name.as_bytes())) {
                    self.add(&mut found, name.as_bytes(), param);
                }
            }
        }
        found
    }

    /// The text CONFIG GET prints for one directive or alias.
    pub fn text_of(&self, name: &str) -> Option<Vec<u8>> {
        Param::find(name.as_bytes()).map(|param| param.get(self))
    }

    fn add<'a>(&self, found: &mut Vec<(&'a [u8], Vec<u8>)>, name: &'a [u8], param: &Param) {
        if !found.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            found.push((name, param.get(self)));
        }
    }
}

/// The row for `name`, if a running server may change it.
fn settable(name: &[u8], may_protected: bool) -> Result<&'static Param, SetError> {
    let param = Param::find(name).ok_or_else(|| SetError::Unknown { name: name.to_vec() })?;
    match param.when {
        When::Runtime => Ok(param),
        When::Startup => Err(SetError::refused(name, "can't set immutable config")),
        When::Protected if may_protected => Ok(param),
        When::Protected => Err(SetError::refused(name, "can't set protected config")),
    }
}

/// A CONFIG SET value as arguments: several words only where the directive takes several, and then one space between
/// words.
fn arguments<'a>(param: &Param, value: &'a [u8]) -> Vec<&'a [u8]> {
    match (param.many, value.is_empty()) {
        (false, _) => vec![value],
        (true, true) => Vec::new(),
        (true, false) => value.split(|byte| *byte == b' ').collect(),
    }
}

#[cfg(test)]
mod tests;
