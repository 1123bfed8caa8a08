//! How far a group has come, counted in entries ever added: exact where it can be known, otherwise unknown. The rules are
//! Redis's, for the numbers are in dumps and in replies.

use super::{Group, Stream, StreamId};

impl Stream {
    /// True if an entry after `start` may have been deleted otherwise than by trimming.
    fn may_lack_after(&self, start: StreamId) -> bool {
        let stream = &*self.0;
        stream.len > 0 && stream.max_deleted_id >= stream.first_id && start <= stream.max_deleted_id
    }

    /// How many entries were added up to the one with this id, if that can be told.
    pub fn entries_up_to(&self, id: StreamId) -> Option<u64> {
        let stream = &*self.0;
        if stream.entries_added == 0 {
            return Some(0);
        }
        if stream.len == 0 && id <= stream.last_id {
            return Some(stream.entries_added);
        }
        if id != StreamId::MIN && id < stream.max_deleted_id {
            return None;
        }
        if id >= stream.last_id {
            return (id == stream.last_id).then_some(stream.entries_added);
        }
        let trimmed = stream.entries_added.wrapping_sub(stream.len as u64);
        let whole = stream.max_deleted_id < stream.first_id;
        match id.cmp(&stream.first_id) {
            std::cmp::Ordering::Less if whole => Some(trimmed),
            std::cmp::Ordering::Equal if whole => Some(trimmed.wrapping_add(1)),
            _ => None,
        }
    }

    /// How many entries a group has still to be given, if that can be told.
    pub fn lag(&self, group: &Group) -> Option<u64> {
        let stream = &*self.0;
        if stream.entries_added == 0 || stream.len == 0 {
            return Some(0);
        }
        if group.last_id < stream.first_id && stream.max_deleted_id < stream.first_id {
            return Some(stream.len as u64);
        }
        let read = match group.entries_read {
            Some(read) if !self.may_lack_after(group.last_id) => Some(read),
            _ => self.entries_up_to(group.last_id),
        };
        read.map(|read| stream.entries_added.wrapping_sub(read))
    }

    /// What a group's counter becomes when the entry of this id, the next it has not been given, is given to it.
    pub(super) fn entries_read_at(&self, group: &Group, id: StreamId) -> Option<u64> {
        match group.entries_read {
            Some(read) if group.last_id >= self.0.first_id && !self.may_lack_after(group.last_id) => {
                // Counters from a payload may be anything; all ones mean unknown there.
                Some(read.wrapping_add(1)).filter(|&read| read != u64::MAX)
            }
            read if self.0.entries_added == 0 => read,
            _ => self.entries_up_to(id),
        }
    }
}
