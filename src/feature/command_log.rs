//! A log of the latest commands that went beyond some threshold, as SLOWLOG and COMMANDLOG show it: the newest first, a bounded
//! number, each with a bounded copy of its arguments.
//!
//! Knows no thresholds, no clients and no clock: whoever measures says what is to be kept.
//!
//! # Invariants
//! - Ids grow by one with every entry, and are never used again, whatever is forgotten.
//! - An entry has as many arguments, of as many bytes and a short text, as its [`Bounds`] say at most.

use std::collections::VecDeque;

/// How much is kept of a command.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Arguments kept, 2 at least; where there are more, the last place says how many.
    pub args: usize,
    /// Bytes kept of an argument; a text behind them says how many more there were.
    pub arg_bytes: usize,
}

/// A command that was logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number in this log, from 0 upwards.
    pub id: u64,
    /// Unix second at which it ended.
    pub unix_s: i64,
    /// What was beyond the threshold: microseconds, or bytes.
    pub amount: u64,
    /// Its arguments, as far as they are kept.
    pub args: Vec<Vec<u8>>,
    /// How many arguments it had.
    pub args_count: usize,
    /// The client's address.
    pub peer: String,
    /// The client's name.
    pub name: Vec<u8>,
}

/// One log.
#[derive(Debug, Default)]
pub struct CommandLog {
    /// The newest first.
    entries: VecDeque<Entry>,
    next_id: u64,
}

impl CommandLog {
    /// Adds an entry, whose id is the log's to give, and forgets the oldest beyond `entries_max`. O(1), but for what is
    /// forgotten.
    pub fn push(&mut self, entry: Entry, entries_max: usize) {
        self.entries.push_front(Entry { id: self.next_id, ..entry });
        self.next_id += 1;
        self.entries.truncate(entries_max);
    }

    /// The entries, the newest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets the entries.
    pub fn clear(&mut self) {
        self.entries = VecDeque::new();
    }
}

impl Bounds {
    /// What is kept of these arguments, in the form that is shown. O(kept bytes).
    pub fn keep<'a>(self, args: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
        let count = args.len();
        let whole = if count > self.args { self.args - 1 } else { count };
        let mut kept: Vec<Vec<u8>> = args.take(whole).map(|arg| self.keep_arg(arg)).collect();
        if count > whole {
            kept.push(format!("... ({} more arguments)", count - whole).into_bytes());
        }
        kept
    }

    fn keep_arg(self, arg: &[u8]) -> Vec<u8> {
        match arg.len().checked_sub(self.arg_bytes) {
            None | Some(0) => arg.to_vec(),
            Some(more) => [&arg[..self.arg_bytes], format!("... ({more} more bytes)").as_bytes()].concat(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(amount: u64) -> Entry {
        let (args, peer, name) = (Vec::new(), String::new(), Vec::new());
        Entry { id: 0, unix_s: 0, amount, args, args_count: 0, peer, name }
    }

    #[test]
    fn ids_go_on_after_entries_are_forgotten() {
        let mut log = CommandLog::default();
        (0..5).for_each(|amount| log.push(entry(amount), 3));
        let seen = |log: &CommandLog| log.iter().map(|entry| (entry.id, entry.amount)).collect::<Vec<_>>();
        assert_eq!(seen(&log), [(4, 4), (3, 3), (2, 2)]);
        log.clear();
        assert!(log.is_empty());
        log.push(entry(9), 3);
        assert_eq!(seen(&log), [(5, 9)]);
        // A log that has become shorter forgets with the next entry, and one of no length keeps none.
        log.push(entry(1), 0);
        assert_eq!(log.len(), 0);
    }

    /// Facts of a running Redis 8.2: 32 arguments are shown whole, of 33 the last two are told by their number.
    #[test]
    fn long_commands_are_kept_in_part() {
        let words: Vec<Vec<u8>> = (0..33).map(|i| format!("{i}").into_bytes()).collect();
        let bounds = Bounds { args: 32, arg_bytes: 128 };
        let kept = |count: usize| bounds.keep(words[..count].iter().map(Vec::as_slice));
        assert_eq!(kept(32), words[..32]);
        assert_eq!((kept(33).len(), kept(33)[31].as_slice()), (32, b"... (2 more arguments)".as_slice()));
        let long = vec![b'x'; 130];
        let kept = bounds.keep([&long[..128], &long[..129], &long].into_iter());
        assert_eq!(kept[0], long[..128]);
        assert_eq!(kept[1], [&long[..128], b"... (1 more bytes)"].concat());
        assert_eq!(kept[2], [&long[..128], b"... (2 more bytes)"].concat());
    }
}
