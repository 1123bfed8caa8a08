//! Messages on their way: published, but not yet among their receivers' replies. Replies to clients that waited for keys
//! go the same way, as it is another client's command that brings them about.
//!
//! A message is encoded once for each protocol version and pattern; a receiver costs sixteen bytes here. The
//! command that publishes cannot reach other clients' outputs, which belong to the connections: the loop takes the posts
//! from here before any other client's command runs, so a client sees messages and its own replies in the order in which
//! things happened. What a client publishes to itself follows the reply of the command that did it, as in Redis.
//!
//! One command, or a transaction, may publish very much before the loop comes by. What is kept for a subscriber counts
//! towards its output limit as it is posted: beyond that nothing more is kept for it, and the loop disconnects it.

use std::sync::Arc;

use super::clients::Clients;
use super::{Server, Watchers};
use crate::base::heap;
use crate::feature::client_id::ClientId;
use crate::feature::pubsub::Kind;
use crate::feature::reactive::QueryId;
use crate::resp::out::Out;
use crate::resp::reply::{Proto, push_text};

/// A message for one client.
#[derive(Clone, Copy, Debug)]
struct Post {
    client: ClientId,
    text: u32,
    /// The query whose result it is; [`NO_QUERY`] for what is no result.
    query: QueryId,
}

const NO_QUERY: QueryId = QueryId::MAX;

/// Messages whose room is kept for the next ones: 16 bytes each.
const POSTS_KEPT_MAX: usize = 16 * 1024;

impl Post {
    fn query(self) -> Option<QueryId> {
        (self.query != NO_QUERY).then_some(self.query)
    }
}

/// Messages to be delivered, in order.
#[derive(Debug, Default)]
pub struct Outbox {
    texts: Vec<Arc<Vec<u8>>>,
    /// Bytes of the texts.
    text_bytes: usize,
    posts: Vec<Post>,
    /// Subscribers for whom more was published than their limit allows, to be disconnected.
    over_limit: Vec<ClientId>,
}

impl Outbox {
    /// Messages waiting, counted once for each receiver.
    pub fn len(&self) -> usize {
        self.posts.len()
    }

    /// True when no message waits, and nobody has to be disconnected.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.posts.is_empty() && self.over_limit.is_empty()
    }

    /// Bytes on the heap. O(messages).
    pub fn heap_bytes(&self) -> usize {
        let texts = self.texts.iter().map(|text| heap::shared_vec(text)).sum::<usize>();
        heap::vec(&self.texts) + heap::vec(&self.posts) + heap::vec(&self.over_limit) + texts
    }

    /// Bytes of the messages' texts, each counted once.
    pub fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// Subscribers to be disconnected because more was published to them than their limit allows.
    pub fn take_over_limit(&mut self) -> Vec<ClientId> {
        std::mem::take(&mut self.over_limit)
    }

    /// Receiver and text of each message, and the query whose result it is.
    pub fn posts(&self) -> impl Iterator<Item = (ClientId, &Arc<Vec<u8>>, Option<QueryId>)> {
        self.posts.iter().map(|post| (post.client, &self.texts[post.text as usize], post.query()))
    }

    /// Forgets all messages, and keeps a bounded room for the next ones.
    pub fn clear(&mut self) {
        self.texts.clear();
        self.posts.clear();
        if self.posts.capacity() > POSTS_KEPT_MAX {
            self.texts.shrink_to(POSTS_KEPT_MAX);
            self.posts.shrink_to(POSTS_KEPT_MAX);
        }
        self.text_bytes = 0;
    }

    /// Takes out one client's messages: those posted since there were `from` of them, with the query if it is one's result.
    /// O(messages since).
    pub fn take_of(&mut self, client: ClientId, from: usize) -> Vec<(Arc<Vec<u8>>, Option<QueryId>)> {
        let Outbox { texts, posts, .. } = self;
        let (mut kept, mut taken) = (from, Vec::new());
        for at in from..posts.len() {
            let post = posts[at];
            if post.client == client {
                taken.push((Arc::clone(&texts[post.text as usize]), post.query()));
            } else {
                posts[kept] = post;
                kept += 1;
            }
        }
        posts.truncate(kept);
        if posts.is_empty() {
            texts.clear();
            self.text_bytes = 0;
        }
        taken
    }

    /// Adds a text that messages will have, until they have been taken out; its number.
    pub fn add_text(&mut self, text: Arc<Vec<u8>>) -> u32 {
        self.text_bytes += text.len();
        self.texts.push(text);
        self.texts.len() as u32 - 1
    }

    /// Posts a query's result, of a text added before.
    pub fn post_result(&mut self, client: ClientId, text: u32, query: QueryId) {
        self.posts.push(Post { client, text, query });
    }

    /// Posts a text to a client, however much waits for it.
    pub fn send(&mut self, client: ClientId, text: Arc<Vec<u8>>) {
        let text = self.add_text(text);
        self.posts.push(Post { client, text, query: NO_QUERY });
    }

    /// Posts what a client that waited is answered.
    pub fn reply(&mut self, client: ClientId, reply: Out) {
        for text in reply.into_chunks() {
            let text = self.add_text(text);
            self.posts.push(Post { client, text, query: NO_QUERY });
        }
    }

    /// Posts a message to some members that have not gone, each in its own protocol; how many these are. More than
    /// `limit_bytes` (0 for no limit) are not kept for any of them.
    fn post(&mut self, clients: &mut Clients, limit_bytes: u64, receivers: &[u32], parts: &[&[u8]]) -> usize {
        let (mut resp2, mut resp3) = (None, None);
        let mut count = 0;
        self.posts.reserve(receivers.len());
        for member in receivers {
            let Some(client) = clients.members.client(*member as usize) else { continue };
            count += 1;
            let session = &clients[client];
            if limit_bytes > 0 && session.posted_bytes > limit_bytes {
                continue;
            }
            let known = if session.proto == Proto::Resp2 { &mut resp2 } else { &mut resp3 };
            let text = *known.get_or_insert_with(|| self.add_text(Arc::new(push_text(session.proto, parts))));
            let bytes = self.texts[text as usize].len() as u64;
            self.keep(clients, client, limit_bytes, text, bytes);
        }
        count
    }
}

impl Outbox {
    /// Posts a text to some clients. More than `limit_bytes` (0 for no limit) are not kept for any of them. O(clients).
    pub fn post_to(&mut self, clients: &mut Clients, limit_bytes: u64, receivers: &[ClientId], text: Arc<Vec<u8>>) {
        let bytes = text.len() as u64;
        let is_over = |client: &ClientId| limit_bytes > 0 && clients[*client].posted_bytes > limit_bytes;
        if receivers.iter().all(is_over) {
            return;
        }
        let text = self.add_text(text);
        for client in receivers {
            self.keep(clients, *client, limit_bytes, text, bytes);
        }
    }

    /// Posts a text to a client, unless more waits for it than its limit allows; beyond that it is to be disconnected.
    #[inline]
    fn keep(&mut self, clients: &mut Clients, client: ClientId, limit_bytes: u64, text: u32, bytes: u64) {
        let session = &mut clients[client];
        if limit_bytes > 0 && session.posted_bytes > limit_bytes {
            return;
        }
        session.posted_bytes += bytes;
        self.posts.push(Post { client, text, query: NO_QUERY });
        if limit_bytes > 0 && session.posted_bytes > limit_bytes {
            self.over_limit.push(client);
        }
    }
}

impl Server {
    /// Sends a message to the subscribers of a channel and of the patterns it matches. Returns how many they are.
    pub fn publish(&mut self, channel: &[u8], message: &[u8]) -> usize {
        let limit_bytes = self.subscriber_limit_bytes();
        let Server { watchers: Watchers { hub, .. }, outbox, clients, .. } = self;
        let direct = hub.topics(Kind::Channel).subscribers(channel);
        let mut count = outbox.post(clients, limit_bytes, direct, &[b"message", channel, message]);
        hub.matching(channel, |pattern, receivers| {
            count += outbox.post(clients, limit_bytes, receivers, &[b"pmessage", pattern, channel, message]);
        });
        count
    }

    /// Sends a message to the subscribers of a shard channel. Returns how many they are.
    pub fn publish_shard(&mut self, channel: &[u8], message: &[u8]) -> usize {
        let limit_bytes = self.subscriber_limit_bytes();
        let Server { watchers: Watchers { hub, .. }, outbox, clients, .. } = self;
        let receivers = hub.topics(Kind::Shard).subscribers(channel);
        outbox.post(clients, limit_bytes, receivers, &[b"smessage", channel, message])
    }

    /// Posts a client a message whose text was added to the outbox; but nothing more beyond its output limit, for which it is
    /// disconnected.
    pub(super) fn post_message(&mut self, client: ClientId, text: u32) {
        let limit_bytes = self.output_limit_of(client).hard_bytes;
        let Server { outbox, clients, .. } = self;
        let session = &mut clients[client];
        if limit_bytes > 0 && session.posted_bytes > limit_bytes {
            return;
        }
        session.posted_bytes += outbox.texts[text as usize].len() as u64;
        outbox.posts.push(Post { client, text, query: NO_QUERY });
        if limit_bytes > 0 && session.posted_bytes > limit_bytes {
            outbox.over_limit.push(client);
        }
    }

    fn subscriber_limit_bytes(&self) -> u64 {
        self.config.client_output_buffer_limit.of(true).hard_bytes
    }

    /// How many of some members have not gone. O(1), unless some have that are not cleared away yet.
    pub fn count_present(&self, members: &[u32]) -> usize {
        if !self.clients.members.has_gone() {
            return members.len();
        }
        members.iter().filter(|member| self.clients.members.client(**member as usize).is_some()).count()
    }

    /// How many topics of a kind a client has subscribed to. O(1).
    pub fn subscriptions(&self, client: ClientId, kind: Kind) -> usize {
        self.clients.known_member(client).map_or(0, |member| self.watchers.hub.topics(kind).count_of(member))
    }
}
