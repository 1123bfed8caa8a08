//! The name of a history, how far it has come, and the one before it.
//!
//! The offset is that of the last byte of the stream: the first byte of a new history has offset 1. Redis counts in the same way
//! (`master_repl_offset`), and a replica that asks for the byte behind the last one it has (PSYNC) names its own offset plus one.

/// Characters of a name.
pub const ID_CHARS: usize = 40;

/// An offset beyond this one is no offset: there is no more to come.
pub const OFFSET_MAX: u64 = i64::MAX as u64 / 2;

/// A history that this one has gone on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former {
    /// Its name.
    pub id: String,
    /// The last offset that both have in common, plus one: PSYNC may name no more under this name.
    pub upto: u64,
}

/// Which history the data is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Forty hexadecimal digits.
    pub id: String,
    /// The offset of the last byte of the stream.
    pub offset: u64,
    /// Another server has, or had, data of this history: it may be asked for what follows.
    pub is_shared: bool,
    /// The history before it, if its replicas may go on with this one.
    pub former: Option<Former>,
}

impl History {
    /// One that has just begun.
    pub fn new(id: String) -> History {
        debug_assert_eq!(id.len(), ID_CHARS);
        History { id, offset: 0, is_shared: false, former: None }
    }

    /// Begins a new one that goes on from this one: what a replica does that becomes a primary.
    pub fn branch(&mut self, id: String) {
        let former = std::mem::replace(&mut self.id, id);
        self.former = Some(Former { id: former, upto: self.offset + 1 });
    }

    /// True if the data of a replica that has all bytes before `next` of the history of this name is the beginning of this one's.
    pub fn shares(&self, id: &[u8], next: u64) -> bool {
        let is_own = self.id.as_bytes().eq_ignore_ascii_case(id) && next <= self.offset + 1;
        is_own
            || self
                .former
                .as_ref()
                .is_some_and(|former| former.id.as_bytes().eq_ignore_ascii_case(id) && next <= former.upto)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_shares_its_own_bytes_and_those_of_the_one_before_up_to_where_they_part() {
        let mut history = History::new("a".repeat(ID_CHARS));
        history.offset = 10;
        assert!(history.shares("A".repeat(40).as_bytes(), 11) && !history.shares("a".repeat(40).as_bytes(), 12));
        history.branch("b".repeat(ID_CHARS));
        history.offset = 20;
        assert!(history.shares("b".repeat(40).as_bytes(), 21) && history.shares("a".repeat(40).as_bytes(), 11));
        assert!(!history.shares("a".repeat(40).as_bytes(), 12) && !history.shares("c".repeat(40).as_bytes(), 1));
    }
}
