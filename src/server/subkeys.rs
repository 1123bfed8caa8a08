//! Events that name the parts of a key which they concern: fields of hashes, and whatever else has a name within a value.
//!
//! Each event of such a class is published once more on four kinds of channels, which are wanted apart from each other and from
//! those of [`Server::notify`]:
//! ```text
//! S  __subkeyspace@<db>__:<key>               <event>|<parts>
//! T  __subkeyevent@<db>__:<event>             <length>:<key>|<parts>
//! I  __subkeyspaceitem@<db>__:<key>\n<part>   <event>, for each part
//! V  __subkeyspaceevent@<db>__:<event>|<key>  <parts>
//! ```
//! where the parts are `<length>:<part>`, separated by commas, in the order in which they were concerned; one may come twice. Names and
//! keys with the character that separates them are left out where they could be read in two ways.
//!
//! Whoever makes a change asks [`Server::names_subkeys`] before it gathers names, so that nothing is paid while nobody wants them. What
//! leaves by its deadline is named by the notes of its database.

use super::Server;
use super::ctx::Ctx;
use crate::config::EventClass;

impl Server {
    /// Whether the parts that events of a class concern are to be named. Costs a test of two flags if not.
    #[inline]
    pub fn names_subkeys(&self, class: EventClass) -> bool {
        self.config.notify_keyspace_events.name_subkeys(class)
            && self.watchers.hub.has_listeners()
            && !self.is_loading()
    }

    /// Tells the subscribers which parts of a key an event concerns; of none, nothing. O(parts).
    pub fn notify_subkeys<'p>(
        &mut self,
        class: EventClass,
        event: &str,
        db: usize,
        key: &[u8],
        parts: impl Iterator<Item = &'p [u8]> + Clone,
    ) {
        if !self.names_subkeys(class) || parts.clone().next().is_none() {
            return;
        }
        let (events, number) = (self.config.notify_keyspace_events, self.dbs.number(db));
        let is_clear = !event.contains('|');
        let mut listed = Vec::new();
        for part in parts.clone() {
            if !listed.is_empty() {
                listed.push(b',');
            }
            append_counted(&mut listed, part);
        }
        if events.has(EventClass::Subkeyspace) && is_clear {
            let channel = [format!("__subkeyspace@{number}__:").as_bytes(), key].concat();
            self.publish(&channel, &[event.as_bytes(), b"|", &listed].concat());
        }
        if events.has(EventClass::Subkeyevent) {
            let mut message = Vec::with_capacity(key.len() + listed.len() + 8);
            append_counted(&mut message, key);
            message.push(b'|');
            message.extend_from_slice(&listed);
            self.publish(format!("__subkeyevent@{number}__:{event}").as_bytes(), &message);
        }
        if events.has(EventClass::SubkeyspaceItem) && !key.contains(&b'\n') {
            let mut channel = [format!("__subkeyspaceitem@{number}__:").as_bytes(), key, b"\n"].concat();
            let head = channel.len();
            for part in parts {
                channel.truncate(head);
                channel.extend_from_slice(part);
                self.publish(&channel, event.as_bytes());
            }
        }
        if events.has(EventClass::SubkeyspaceEvent) && is_clear {
            let channel = [format!("__subkeyspaceevent@{number}__:{event}|").as_bytes(), key].concat();
            self.publish(&channel, &listed);
        }
    }
}

/// Appends `<length>:<bytes>`.
fn append_counted(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(itoa::Buffer::new().format(bytes.len()).as_bytes());
    out.push(b':');
    out.extend_from_slice(bytes);
}

impl Ctx<'_> {
    /// Whether the parts that events of a class concern are to be named.
    #[inline]
    pub fn names_subkeys(&self, class: EventClass) -> bool {
        self.server.names_subkeys(class)
    }

    /// Tells which parts of a key the event of a change concerns, after [`Ctx::change`] has told of it.
    #[inline]
    pub fn notify_subkeys<'p>(
        &mut self,
        class: EventClass,
        event: &str,
        key: &[u8],
        parts: impl Iterator<Item = &'p [u8]> + Clone,
    ) {
        if self.names_subkeys(class) {
            self.server.notify_subkeys(class, event, self.db, key, parts);
        }
    }
}
