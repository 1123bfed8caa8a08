//! Whose session is whose: users who log in, change and go, and the sessions that follow them.
//!
//! # Invariant
//! A session's `unlimited` says at any time what [`Server::needs_auth`] and its user's [`User::is_unlimited`] say, so that the
//! gate of a command asks for nothing else where nothing is restricted. Whatever changes a user or a session's user goes
//! through here.
//!
//! What a user may run is looked up by `command::acl`, which knows rows.

use std::collections::BTreeMap;

use super::Server;
use super::session::Session;
use crate::command;
use crate::config::PubsubDefault;
use crate::feature::acl::failures::Failures;
use crate::feature::acl::log::AclLog;
use crate::feature::acl::user::may_listen;
use crate::feature::acl::{Rules, User, UserId, Users};
use crate::feature::client_id::ClientId;
use crate::feature::pubsub::Kind;

/// Who there is, and what was refused.
#[derive(Debug)]
pub struct Acl {
    /// The users.
    pub users: Users,
    /// What ACL LOG shows.
    pub log: AclLog,
    /// When the next wrong password of an address is answered.
    pub failures: Failures,
}

impl Default for Acl {
    fn default() -> Acl {
        Acl { users: Users::new(command::catalog()), log: AclLog::default(), failures: Failures::default() }
    }
}

impl Server {
    /// What rules are read by.
    pub fn rules(&self) -> Rules<'static> {
        let all_channels = self.config.acl_pubsub_default == PubsubDefault::AllChannels;
        Rules { catalog: command::catalog(), all_channels }
    }

    /// True while a client still has to say who it is.
    #[inline]
    pub fn needs_auth(&self, client: ClientId) -> bool {
        !self.clients[client].authenticated && !self.acl.users.default_user().is_open()
    }

    /// Makes a client a user's, whose password it has given.
    pub fn log_in(&mut self, client: ClientId, user: UserId) {
        let session = &mut self.clients[client];
        (session.user, session.authenticated) = (user, true);
        self.renew_unlimited(client);
    }

    /// Makes a client the default user's, as if it had just connected.
    pub fn log_out(&mut self, client: ClientId) {
        let is_open = self.acl.users.default_user().is_open();
        let session = &mut self.clients[client];
        (session.user, session.authenticated) = (UserId::DEFAULT, is_open);
        self.renew_unlimited(client);
    }

    /// The clients of a user, those included that are about to be disconnected. O(clients).
    pub fn clients_of(&self, user: UserId) -> Vec<ClientId> {
        self.clients.iter().filter(|(_, session)| session.user == user).map(|(client, _)| client).collect()
    }

    /// Adds a user, or changes the one of that name. Clients that listen to channels they may not use any more are
    /// disconnected; `caller` is not, and the answer is whether it should be. O(clients), and their subscriptions if channels
    /// were taken away.
    pub fn put_user(&mut self, user: User, caller: ClientId) -> bool {
        let clients = self.acl.users.find(user.name()).map_or_else(Vec::new, |id| self.clients_of(id));
        self.put_user_of(user, &clients, caller)
    }

    /// The same, where the user's clients are known.
    fn put_user_of(&mut self, user: User, clients: &[ClientId], caller: ClientId) -> bool {
        let before = self.acl.users.find(user.name()).map(|id| self.acl.users[id].clone());
        let id = self.acl.users.put(user);
        let mut expels_caller = false;
        for client in clients {
            if before.as_ref().is_some_and(|before| self.listens_beyond(*client, before, id)) {
                expels_caller |= self.expel(*client, caller);
            } else {
                self.renew_unlimited(*client);
            }
        }
        expels_caller
    }

    /// Removes users, and disconnects their clients; `caller` is not disconnected, and the second answer is whether it should
    /// be. The first is how many users there were. O(names times clients).
    pub fn remove_users<'a>(&mut self, names: impl Iterator<Item = &'a [u8]>, caller: ClientId) -> (usize, bool) {
        let (mut removed, mut expels_caller) = (0, false);
        for name in names {
            let Some(id) = self.acl.users.find(name).filter(|id| *id != UserId::DEFAULT) else { continue };
            for client in self.clients_of(id) {
                expels_caller |= self.expel(client, caller);
            }
            self.acl.users.remove(id);
            removed += 1;
        }
        (removed, expels_caller)
    }

    /// Puts these users, who are in the order of their names, in the place of all there are. Clients whose user is gone, or who
    /// listen to channels they may not use any more, are disconnected; `caller` is not, and the answer is whether it should
    /// be. O(users + clients), each by the logarithm of the users.
    pub fn replace_users(&mut self, users: Vec<User>, caller: ClientId) -> bool {
        let mut clients: BTreeMap<UserId, Vec<ClientId>> = BTreeMap::new();
        self.clients.iter().for_each(|(client, session)| clients.entry(session.user).or_default().push(client));
        let mut clients_of = |id: UserId| clients.remove(&id).unwrap_or_default();
        let is_kept = |user: &User| users.binary_search_by(|kept| kept.name().cmp(user.name())).is_ok();
        let gone: Vec<UserId> = self.acl.users.iter().filter(|(_, user)| !is_kept(user)).map(|(id, _)| id).collect();
        let mut expels_caller = false;
        for id in gone {
            for client in clients_of(id) {
                expels_caller |= self.expel(client, caller);
            }
            self.acl.users.remove(id);
        }
        for user in users {
            let clients = self.acl.users.find(user.name()).map_or_else(Vec::new, &mut clients_of);
            expels_caller |= self.put_user_of(user, &clients, caller);
        }
        expels_caller
    }

    /// Makes `requirepass` the default user's only password, or none needed if it is empty.
    pub fn password_changed(&mut self) {
        let mut user = self.acl.users.default_user().clone();
        user.set_only_password(&self.config.requirepass);
        let id = self.acl.users.put(user);
        self.clients_of(id).into_iter().for_each(|client| self.renew_unlimited(client));
    }

    /// Takes a client's permissions away and disconnects it. The caller, whose reply is still to come, is left to whoever
    /// called; true for it.
    fn expel(&mut self, client: ClientId, caller: ClientId) -> bool {
        let session = &mut self.clients[client];
        (session.user, session.authenticated) = (UserId::DEFAULT, false);
        self.renew_unlimited(client);
        if client != caller && !self.clients[client].killed {
            self.kill(client);
        }
        client == caller
    }

    /// True if a client has subscribed to what its user, who was changed, may not listen to any more.
    fn listens_beyond(&self, client: ClientId, before: &User, user: UserId) -> bool {
        let Some(member) = self.clients.known_member(client).filter(|_| self.clients[client].subscribed) else {
            return false;
        };
        let Some(channels) = self.acl.users[user].channels_if_fewer(before) else { return false };
        [Kind::Pattern, Kind::Channel, Kind::Shard].into_iter().any(|kind| {
            let names = self.watchers.hub.topics(kind).names_of(member);
            names.iter().any(|name| !may_listen(&channels, name, kind == Kind::Pattern))
        })
    }

    /// Gives the session of commands that no client has sent the permissions of a client, for a command of its script. True if
    /// they are fewer than all, and are to be taken back with [`Server::act_for_nobody`].
    #[inline]
    pub fn act_for(&mut self, client: ClientId) -> bool {
        let Session { user, authenticated, unlimited, .. } = self.clients[client];
        if !unlimited {
            let internal = self.clients.internal();
            let session = &mut self.clients[internal];
            (session.user, session.authenticated, session.unlimited) = (user, authenticated, false);
        }
        !unlimited
    }

    /// Commands that no client has sent may do everything again.
    pub fn act_for_nobody(&mut self) {
        let internal = self.clients.internal();
        let session = &mut self.clients[internal];
        (session.user, session.authenticated, session.unlimited) = (UserId::DEFAULT, true, true);
    }

    fn renew_unlimited(&mut self, client: ClientId) {
        self.clients[client].unlimited = self.is_unlimited(client);
    }

    fn is_unlimited(&self, client: ClientId) -> bool {
        // What comes over a link of this server's own is nobody's.
        let session = &self.clients[client];
        session.link.is_some() || (!self.needs_auth(client) && self.acl.users[session.user].is_unlimited())
    }

    /// Panics if a session has other permissions than its user. O(clients); for tests.
    pub(super) fn check_users(&self) {
        for (client, session) in self.clients.iter() {
            assert_eq!(session.unlimited, self.is_unlimited(client), "what {client:?} may do");
        }
    }
}
