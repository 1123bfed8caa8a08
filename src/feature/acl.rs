//! Access control: the users, what each may do, and the refusals that were noted.
//!
//! A user has passwords, of which only the SHA-256 digests are kept, and one selector or more; a command is allowed if one
//! of them allows all of it: the command, every key in the way it is used, and every channel. The rules that make a user are
//! Redis's, as ACL SETUSER, ACL files and configuration files write them.
//!
//! - [`catalog`]: the commands and categories that rules name, as they are handed in.
//! - [`selector`]: a set of permissions: its rules, its text, and whether it allows a command.
//! - [`user`]: a user: its rules, its text, its passwords.
//! - [`rules`]: what is wrong with a rule, and rules as words of a line.
//! - [`failures`]: wrong passwords by address, and how long they wait for their answers.
//! - [`mod@file`]: the ACL file.
//! - [`log`]: what ACL LOG shows.
//!
//! # Invariants
//! - There is always a user `default`, at [`UserId::DEFAULT`]. It is changed, never replaced.
//! - A user's place is nobody else's until the user is deleted; who deletes it makes sure that no client refers to it.
//!
//! Knows nothing of sessions: who is which user, and who is disconnected when a user changes, is the server's.

pub mod catalog;
pub mod failures;
pub mod file;
pub mod log;
pub mod rules;
pub mod selector;
pub mod user;

use std::collections::BTreeMap;
use std::ops::Index;

use slab::Slab;

pub use catalog::{Catalog, Entry};
pub use rules::{RuleError, Rules};
pub use selector::{Asked, ChannelUse, Denied, KeyAccess, KeyAsked, Reason};
pub use user::User;

/// The name of the user that a connection has before it says who it is.
pub const DEFAULT_NAME: &[u8] = b"default";

/// The place of a user among all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserId(u32);

impl UserId {
    /// The user `default`.
    pub const DEFAULT: UserId = UserId(0);
}

/// All users.
#[derive(Debug)]
pub struct Users {
    users: Slab<User>,
    by_name: BTreeMap<Box<[u8]>, UserId>,
}

impl Users {
    /// The default user alone, who may do everything without a password.
    pub fn new(catalog: &Catalog) -> Users {
        let mut users = Users { users: Slab::new(), by_name: BTreeMap::new() };
        users.put(User::unlimited(DEFAULT_NAME, catalog));
        users
    }

    /// The user of a name. O(log n) for n users.
    pub fn find(&self, name: &[u8]) -> Option<UserId> {
        self.by_name.get(name).copied()
    }

    /// Adds a user, or gives the one of that name these passwords and permissions. O(log n) for n users.
    pub fn put(&mut self, user: User) -> UserId {
        if let Some(id) = self.find(user.name()) {
            self.users[id.0 as usize] = user;
            return id;
        }
        let name = user.name().into();
        let id = UserId(self.users.insert(user) as u32);
        self.by_name.insert(name, id);
        id
    }

    /// Removes a user; the default one stays. O(log n) for n users.
    pub fn remove(&mut self, id: UserId) -> Option<User> {
        if id == UserId::DEFAULT {
            return None;
        }
        let user = self.users.try_remove(id.0 as usize)?;
        self.by_name.remove(user.name());
        Some(user)
    }

    /// All users in the order of their names, with their places.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (UserId, &User)> {
        self.by_name.values().map(|id| (*id, &self[*id]))
    }

    /// The default user.
    pub fn default_user(&self) -> &User {
        &self[UserId::DEFAULT]
    }
}

impl Index<UserId> for Users {
    type Output = User;
    #[inline]
    fn index(&self, id: UserId) -> &User {
        &self.users[id.0 as usize]
    }
}

#[cfg(test)]
mod tests;
