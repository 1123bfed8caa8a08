//! What ACL LOG shows: refusals, the newest first. The same again within a minute is counted in the entry there is.

use std::collections::VecDeque;

use super::selector::Reason;

/// Milliseconds within which the same refusal is the same entry.
const GROUPING_MS: i64 = 60_000;
/// Bytes of a key, a channel or a name that are kept.
// COMPAT: Redis keeps all of it, half a gigabyte for each entry if a client likes.
const OBJECT_BYTES_MAX: usize = 16 * 1024;
/// Entries that are looked at for the same refusal.
const COMPARED_MAX: usize = 10;

/// How a refused command came to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// Its client sent it.
    Toplevel,
    /// In a transaction: queued, or run by EXEC.
    Multi,
    /// A script called it.
    Script,
}

impl Context {
    /// The word ACL LOG has for it.
    pub fn name(self) -> &'static str {
        match self {
            Context::Toplevel => "toplevel",
            Context::Multi => "multi",
            Context::Script => "lua",
        }
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Of what.
    pub reason: Reason,
    /// Where.
    pub context: Context,
    /// The command, the key or the channel.
    pub object: Vec<u8>,
    /// Whose.
    pub username: Vec<u8>,
    /// The client, as CLIENT LIST describes it.
    pub client_info: Vec<u8>,
}

/// An entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Unique for the life of the server.
    pub id: u64,
    /// How often it happened.
    pub count: u64,
    /// What happened, with the last client.
    pub refusal: Refusal,
    /// Unix milliseconds of the first time.
    pub created_ms: i64,
    /// Unix milliseconds of the last time.
    pub updated_ms: i64,
}

/// The entries.
#[derive(Debug, Default)]
pub struct AclLog {
    entries: VecDeque<Entry>,
    next_id: u64,
}

impl AclLog {
    /// Notes a refusal, and keeps `most` entries at the most. O(1), but for entries beyond `most`.
    pub fn note(&mut self, mut refusal: Refusal, now_ms: i64, most: usize) {
        refusal.object.truncate(OBJECT_BYTES_MAX);
        refusal.username.truncate(OBJECT_BYTES_MAX);
        if most == 0 {
            return self.entries.clear();
        }
        let is_same = |entry: &Entry| {
            let known = &entry.refusal;
            known.reason == refusal.reason
                && known.context == refusal.context
                && entry.updated_ms.abs_diff(now_ms) <= GROUPING_MS as u64
                && known.object == refusal.object
                && known.username == refusal.username
        };
        let same = self.entries.iter().take(COMPARED_MAX).position(is_same);
        let entry = match same.and_then(|place| self.entries.remove(place)) {
            Some(entry) => Entry { count: entry.count + 1, refusal, updated_ms: now_ms, ..entry },
            None => {
                self.next_id += 1;
                Entry { id: self.next_id - 1, count: 1, refusal, created_ms: now_ms, updated_ms: now_ms }
            }
        };
        self.entries.push_front(entry);
        self.entries.truncate(most);
    }

    /// The entries, the newest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Forgets all entries.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}
