//! What has to be told to a log or to replicas, so that they come to hold the same data: the commands that changed something,
//! encoded as a client would send them.
//!
//! A command that changed data is passed on as it was given, unless it depends on the time, on chance or on what it waited for:
//! then its handler says which others have the same effect ([`Ctx::propagate_as`](super::ctx::Ctx::propagate_as)), by Redis's own
//! rules, so that a log can be read by Redis and a Redis can be a replica. Keys and fields that have expired are passed on
//! as DEL and HDEL, before the command that met them: whoever is told expires nothing on its own.
//!
//! What one client's command brought about, a transaction with all of its commands included, is one unit: it has its effect as a
//! whole or not at all. A unit of several commands stands between MULTI and EXEC. A key or a hash that the clock alone has
//! taken something from is a unit of its own.
//!
//! # The stream
//! Units follow each other in one buffer, with a SELECT before a command that is for another database than the one before
//! it. Positions in the stream are counted in bytes, from 1 at its beginning; [`Propagation::take`] hands over what came since the last
//! time, and the counting goes on. This module knows nothing of who takes it: what a log adds of its own (checksums, times)
//! is no part of the stream.
//!
//! Nothing is encoded until somebody is to be told ([`Server::begin_propagation`]). To encode a command costs O(its bytes), and
//! allocates nothing once the buffers have grown.

use super::Server;
use crate::base::heap;
use crate::feature::client_id::ClientId;
use crate::resp::args::Args;

/// A buffer with more room than this is not kept for the next turn.
const BUFFER_KEPT_BYTES_MAX: usize = 1 << 20;

/// The commands to be passed on.
#[derive(Debug)]
pub struct Propagation {
    wanted: bool,
    /// Units, encoded; the last may not be over.
    bytes: Vec<u8>,
    /// Bytes that were taken before those.
    taken_bytes: u64,
    /// The number of the database that the last command is for, if the reader knows it.
    selected: Option<usize>,
    /// Where the unit that is not over begins, and how many commands it has so far.
    unit_at: usize,
    unit_commands: usize,
    /// What is passed on in place of the command that is running.
    instead: Instead,
    /// What expires now is a unit by itself.
    is_each_apart: bool,
    /// Keys that have expired outside of any command, and will be passed on as one DEL.
    due: Due,
    /// The command that is running is not passed on, whatever it changes.
    is_muted: bool,
}

impl Default for Propagation {
    /// Positions begin at 1, so that 0 stands for nothing at all.
    fn default() -> Propagation {
        Propagation {
            wanted: false,
            bytes: Vec::new(),
            taken_bytes: 1,
            selected: None,
            unit_at: 0,
            unit_commands: 0,
            instead: Instead::default(),
            is_each_apart: false,
            due: Due::default(),
            is_muted: false,
        }
    }
}

/// Keys of one database for a DEL, as its arguments.
#[derive(Debug, Default)]
struct Due {
    number: usize,
    keys: usize,
    bytes: Vec<u8>,
}

/// Keys of one DEL at most, and bytes of their names: a line that any reader takes at once.
const DUE_KEYS_MAX: usize = 1024;
const DUE_BYTES_MAX: usize = 64 * 1024;

/// A unit that is kept apart until it is over: that of a command which is done piece by piece, with others in between.
#[derive(Debug, Default)]
pub struct Unit {
    /// [`MULTI`] and the commands; empty before the first.
    bytes: Vec<u8>,
    commands: usize,
    selected: Option<usize>,
    /// It is kept though nobody is told of it yet.
    is_kept: bool,
    /// Takes the place of [`Propagation`]'s own flag if it is kept.
    is_wanted: bool,
}

impl Unit {
    /// A unit of which somebody may be told when it is over, though nobody is now.
    pub fn kept() -> Unit {
        Unit { is_kept: true, is_wanted: true, ..Unit::default() }
    }
}

/// What a unit of several commands begins with.
const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";

/// Commands named in place of one that was given.
#[derive(Debug, Default)]
struct Instead {
    bytes: Vec<u8>,
    commands: usize,
    /// Some were named, or it was said that there are none.
    is_named: bool,
}

impl Propagation {
    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        heap::vec(&self.bytes) + heap::vec(&self.instead.bytes) + heap::vec(&self.due.bytes)
    }

    /// True if somebody is told.
    #[inline]
    pub fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// The position behind all units that have ended so far.
    #[inline]
    pub fn position(&self) -> u64 {
        let ended_bytes = if self.is_open() { self.unit_at } else { self.bytes.len() };
        self.taken_bytes + ended_bytes as u64
    }

    /// True if there is something to be taken.
    #[inline]
    pub fn has_some(&self) -> bool {
        if self.is_open() { self.unit_at > 0 } else { !self.bytes.is_empty() }
    }

    /// The units since the last time, in order, encoded. One that has not ended stays for the next time.
    pub fn take(&mut self) -> Vec<u8> {
        let open = if self.is_open() { self.bytes.split_off(self.unit_at) } else { Vec::new() };
        let taken = std::mem::replace(&mut self.bytes, open);
        self.taken_bytes += taken.len() as u64;
        self.unit_at = 0;
        taken
    }

    /// Drops a unit that has not ended.
    pub fn drop_unit(&mut self) {
        if self.is_open() {
            self.bytes.truncate(self.unit_at);
            self.unit_commands = 0;
            self.selected = None;
        }
    }

    /// Says whether commands that run from now on are passed on. What expires is in any case.
    pub fn set_muted(&mut self, is_muted: bool) {
        self.is_muted = is_muted;
    }

    /// Gives back a buffer that was taken, to be used again.
    pub fn give_back(&mut self, mut buffer: Vec<u8>) {
        if self.bytes.is_empty() && buffer.capacity() <= BUFFER_KEPT_BYTES_MAX {
            buffer.clear();
            self.bytes = buffer;
        }
    }

    /// Has a SELECT come before the next command, whatever its database: the reader begins anew.
    pub fn forget_selected(&mut self) {
        self.selected = None;
    }

    /// The number of the database that the last command was for, if the reader knows it.
    pub fn selected(&self) -> Option<usize> {
        self.selected
    }

    /// True while a unit has begun and not ended.
    pub fn is_open(&self) -> bool {
        self.unit_commands > 0
    }

    /// Where the running command names others that are passed on in its place.
    pub(super) fn instead(&mut self) -> Lines<'_> {
        self.instead.is_named = true;
        Lines(&mut self.instead)
    }

    /// Ends a unit: what comes next is another.
    #[inline]
    pub fn end_unit(&mut self) {
        if self.unit_commands > 0 {
            self.close_unit();
        }
    }

    fn close_unit(&mut self) {
        if self.unit_commands > 1 {
            self.bytes.splice(self.unit_at..self.unit_at, MULTI.iter().copied());
            self.push_exec();
        }
        (self.unit_at, self.unit_commands) = (self.bytes.len(), 0);
    }

    fn push_exec(&mut self) {
        self.bytes.extend_from_slice(b"*1\r\n$4\r\nEXEC\r\n");
    }

    /// Puts a unit that is kept apart in the place of what there is, which the unit holds until [`Propagation::close_apart`].
    /// Positions mean nothing in between. O(1).
    pub fn open_apart(&mut self, unit: &mut Unit) {
        if unit.bytes.is_empty() {
            unit.bytes.extend_from_slice(MULTI);
        }
        self.exchange(unit);
    }

    /// Puts it aside again. O(1).
    pub fn close_apart(&mut self, unit: &mut Unit) {
        self.exchange(unit);
    }

    fn exchange(&mut self, unit: &mut Unit) {
        std::mem::swap(&mut self.bytes, &mut unit.bytes);
        std::mem::swap(&mut self.unit_commands, &mut unit.commands);
        std::mem::swap(&mut self.selected, &mut unit.selected);
        if unit.is_kept {
            std::mem::swap(&mut self.wanted, &mut unit.is_wanted);
        }
    }

    /// Passes on a unit that was kept apart: as one of its own, or as a part of the one that has begun. O(1) if it is a long one and
    /// nothing else waits to be taken, else O(its bytes).
    pub fn pass_on_unit(&mut self, mut unit: Unit) {
        if unit.commands == 0 || !self.wanted {
            return;
        }
        let is_apart = !self.is_open();
        if is_apart && unit.commands > 1 {
            if self.bytes.is_empty() {
                std::mem::swap(&mut self.bytes, &mut unit.bytes);
            } else {
                self.bytes.append(&mut unit.bytes);
            }
            self.push_exec();
            self.unit_at = self.bytes.len();
        } else {
            self.bytes.extend_from_slice(&unit.bytes[MULTI.len()..]);
            self.unit_commands += unit.commands;
            if is_apart {
                self.close_unit();
            }
        }
        self.selected = unit.selected;
    }

    /// True if the running command has named others in its own place, or none.
    pub fn has_named(&self) -> bool {
        self.instead.is_named
    }

    /// Commands that the running command has named in its own place so far.
    pub(super) fn named(&self) -> usize {
        self.instead.commands
    }

    /// Begins commands for a database.
    fn select(&mut self, number: usize) {
        if self.selected != Some(number) {
            self.selected = Some(number);
            push_line(&mut self.bytes, [b"SELECT", itoa::Buffer::new().format(number).as_bytes()]);
        }
    }

    fn pass_on(&mut self, number: usize, given: Args<'_>, changed: bool) {
        if std::mem::take(&mut self.instead.is_named) {
            if self.is_muted {
                self.instead.commands = 0;
            } else if self.instead.commands > 0 {
                self.select(number);
                self.bytes.extend_from_slice(&self.instead.bytes);
                self.unit_commands += std::mem::take(&mut self.instead.commands);
            }
            self.instead.bytes.clear();
            self.instead.bytes.shrink_to(BUFFER_KEPT_BYTES_MAX);
        } else if changed && !self.is_muted {
            self.select(number);
            match given.request() {
                Some(request) => self.bytes.extend_from_slice(request),
                None => {
                    self.bytes.reserve(given.total_bytes() + HEADER_BYTES_MAX * (given.len() + 1));
                    push_header(&mut self.bytes, b'*', given.len());
                    given.iter_from(0).for_each(|word| push_bulk(&mut self.bytes, word));
                }
            }
            self.unit_commands += 1;
        }
    }

    /// Adds a key to the DEL that will be passed on.
    fn add_due(&mut self, number: usize, key: &[u8]) {
        let Due { number: of, keys, bytes } = &self.due;
        if *keys > 0 && (*of != number || *keys == DUE_KEYS_MAX || bytes.len() > DUE_BYTES_MAX) {
            self.pass_on_due();
        }
        self.due.number = number;
        self.due.keys += 1;
        push_bulk(&mut self.due.bytes, key);
    }

    /// Passes that DEL on, as a unit of its own, if there is one.
    fn pass_on_due(&mut self) {
        if self.due.keys == 0 {
            return;
        }
        let Due { number, keys, mut bytes } = std::mem::take(&mut self.due);
        self.select(number);
        push_header(&mut self.bytes, b'*', keys + 1);
        push_bulk(&mut self.bytes, b"DEL");
        self.bytes.extend_from_slice(&bytes);
        self.unit_commands += 1;
        self.close_unit();
        bytes.clear();
        bytes.shrink_to(BUFFER_KEPT_BYTES_MAX);
        self.due.bytes = bytes;
    }

    fn pass_on_own<'a>(&mut self, number: usize, line: impl IntoIterator<Item = &'a [u8]>) {
        self.select(number);
        push_line(&mut self.bytes, line);
        self.unit_commands += 1;
        if self.is_each_apart {
            self.close_unit();
        }
    }
}

/// Writes the commands that are to be passed on in place of the one that was given.
#[derive(Debug)]
pub struct Lines<'l>(&'l mut Instead);

impl Lines<'_> {
    /// One more command.
    pub fn push<'a>(&mut self, line: impl IntoIterator<Item = &'a [u8]>) {
        push_line(&mut self.0.bytes, line);
        self.0.commands += 1;
    }
}

/// The most bytes that stand around a word: `$`, 20 digits, and two line ends.
const HEADER_BYTES_MAX: usize = 25;

/// Appends `*3\r\n` or `$3\r\n`.
#[inline]
fn push_header(bytes: &mut Vec<u8>, kind: u8, count: usize) {
    if count < 10 {
        bytes.extend_from_slice(&[kind, b'0' + count as u8, b'\r', b'\n']);
    } else {
        bytes.push(kind);
        bytes.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
}

#[inline]
fn push_bulk(bytes: &mut Vec<u8>, word: &[u8]) {
    push_header(bytes, b'$', word.len());
    bytes.extend_from_slice(word);
    bytes.extend_from_slice(b"\r\n");
}

/// Appends a command whose words are not counted yet.
pub(in crate::server) fn push_line<'a>(bytes: &mut Vec<u8>, line: impl IntoIterator<Item = &'a [u8]>) {
    let (at, mut count) = (bytes.len(), 0);
    bytes.extend_from_slice(b"*0\r\n");
    for word in line {
        push_bulk(bytes, word);
        count += 1;
    }
    if count < 10 {
        bytes[at + 1] = b'0' + count as u8;
    } else {
        bytes.splice(at + 1..at + 2, itoa::Buffer::new().format(count).bytes());
    }
}

impl Server {
    /// Has commands kept for [`Propagation::take`] from now on. O(databases made).
    pub fn begin_propagation(&mut self) {
        self.propagation.wanted = true;
        self.propagation.forget_selected();
        self.note_wanted_events();
    }

    /// Nobody is told any more. What has not been taken is dropped, and counts as taken. O(databases made).
    pub fn end_propagation(&mut self) {
        let position = self.propagation.position();
        self.propagation = Propagation { taken_bytes: position, ..Propagation::default() };
        self.note_wanted_events();
    }

    /// Passes on the commands that a command has named in its own place, or itself if it has named none and has changed
    /// something.
    #[inline(never)]
    pub fn propagate(&mut self, db: usize, given: Args<'_>, changed: bool) {
        let number = self.dbs.number(db);
        self.propagation.pass_on(number, given, changed);
    }

    /// Ends the unit of a client's command, if it has passed anything on.
    pub fn end_unit_of(&mut self, client: ClientId) {
        if self.propagation.is_open() {
            self.propagation.end_unit();
            self.clients[client].wrote_upto = self.propagation.position();
        }
    }

    /// Passes on the unit of a client's command that was done piece by piece.
    pub fn pass_on_unit_of(&mut self, client: ClientId, unit: Unit) {
        let is_inside = self.propagation.is_open();
        self.propagation.pass_on_unit(unit);
        if !is_inside {
            self.clients[client].wrote_upto = self.propagation.position();
        }
    }

    /// Passes on a command that nobody has sent, if somebody is told.
    pub(super) fn propagate_own<'a>(&mut self, db: usize, line: impl IntoIterator<Item = &'a [u8]>) {
        if self.propagation.wanted {
            let number = self.dbs.number(db);
            self.propagation.pass_on_own(number, line);
        }
    }

    /// Passes on that a key has expired: outside of any command with others of its database, once [`Server::pass_on_due`] is
    /// called.
    pub(super) fn propagate_expired(&mut self, db: usize, key: &[u8]) {
        if !self.propagation.wanted {
            return;
        }
        let number = self.dbs.number(db);
        match self.propagation.is_each_apart {
            true => self.propagation.add_due(number, key),
            false => self.propagation.pass_on_own(number, [b"DEL", key]),
        }
    }

    /// Passes on what [`Server::report_due`] has gathered. To be called before anything else is passed on.
    pub fn pass_on_due(&mut self) {
        self.propagation.pass_on_due();
    }

    /// The same, as a unit of its own.
    pub(super) fn propagate_apart<'a>(&mut self, db: usize, line: impl IntoIterator<Item = &'a [u8]>) {
        debug_assert!(!self.propagation.is_open(), "no command is running");
        self.propagate_own(db, line);
        self.propagation.end_unit();
    }

    /// The same as [`Server::report`], for what has left a database by the clock alone, outside of any command: each hash
    /// that lost fields is passed on as a unit of its own, and the keys that went as one DEL by [`Server::pass_on_due`].
    pub fn report_due(&mut self, db: usize) {
        debug_assert!(!self.propagation.is_open(), "no command is running");
        self.propagation.is_each_apart = true;
        self.report(db);
        self.propagation.is_each_apart = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::args::OwnedArgs;

    fn given(propagation: &mut Propagation, number: usize, line: &str) {
        let words = OwnedArgs::new(line.split(' ').map(str::as_bytes));
        propagation.pass_on(number, words.as_args(), true);
    }

    fn taken(propagation: &mut Propagation) -> String {
        propagation.take().escape_ascii().to_string()
    }

    #[test]
    fn a_database_is_selected_once_and_again_for_a_new_reader() {
        let mut p = Propagation::default();
        given(&mut p, 0, "SET k v");
        p.end_unit();
        given(&mut p, 0, "DEL k");
        p.end_unit();
        let select = r"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n";
        let del = r"*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n";
        assert_eq!(taken(&mut p), format!(r"{select}*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n{del}"));
        given(&mut p, 0, "DEL k");
        p.end_unit();
        assert_eq!(taken(&mut p), del);
        p.forget_selected();
        given(&mut p, 0, "DEL k");
        p.end_unit();
        assert_eq!(taken(&mut p), format!("{select}{del}"));
        given(&mut p, 12, "DEL k");
        p.end_unit();
        assert_eq!(taken(&mut p), format!(r"*2\r\n$6\r\nSELECT\r\n$2\r\n12\r\n{del}"));
    }

    #[test]
    fn a_unit_of_several_commands_stands_between_multi_and_exec() {
        let mut p = Propagation { selected: Some(0), ..Propagation::default() };
        given(&mut p, 0, "DEL a");
        p.end_unit();
        p.pass_on_own(0, [b"DEL".as_slice(), b"b"]);
        given(&mut p, 0, "INCR b");
        assert!(p.is_open());
        p.end_unit();
        assert!(!p.is_open());
        p.end_unit();
        let bytes = [
            r"*2\r\n$3\r\nDEL\r\n$1\r\na\r\n*1\r\n$5\r\nMULTI\r\n*2\r\n$3\r\nDEL\r\n$1\r\nb\r\n",
            r"*2\r\n$4\r\nINCR\r\n$1\r\nb\r\n*1\r\n$4\r\nEXEC\r\n",
        ]
        .concat();
        assert_eq!(p.position() as usize, 1 + bytes.replace(r"\r\n", "xx").len());
        assert_eq!(taken(&mut p), bytes);
    }

    #[test]
    fn what_is_named_takes_the_place_of_what_was_given_and_may_be_nothing() {
        let mut p = Propagation { selected: Some(0), ..Propagation::default() };
        p.instead().push([b"SREM".as_slice(), b"k", b"x"]);
        p.instead().push((0..12).map(|_| b"y".as_slice()));
        p.pass_on(0, OwnedArgs::new([b"SPOP".as_slice()]).as_args(), true);
        p.end_unit();
        let many = r"$1\r\ny\r\n".repeat(12);
        let srem = r"*3\r\n$4\r\nSREM\r\n$1\r\nk\r\n$1\r\nx\r\n";
        let (multi, exec) = (r"*1\r\n$5\r\nMULTI\r\n", r"*1\r\n$4\r\nEXEC\r\n");
        assert_eq!(taken(&mut p), format!(r"{multi}{srem}*12\r\n{many}{exec}"));
        let _ = p.instead();
        p.pass_on(0, OwnedArgs::new([b"DEBUG".as_slice()]).as_args(), true);
        assert!(!p.is_open() && !p.has_some());
        p.pass_on(0, OwnedArgs::new([b"GET".as_slice()]).as_args(), false);
        assert!(!p.is_open() && !p.has_some());
    }

    #[test]
    fn positions_go_on_when_something_is_taken() {
        let mut p = Propagation::default();
        given(&mut p, 0, "SET k v");
        p.end_unit();
        let position = p.position();
        let buffer = p.take();
        assert_eq!((1 + buffer.len() as u64, p.position()), (position, position));
        p.give_back(buffer);
        assert!(!p.has_some() && p.bytes.capacity() > 0);
        given(&mut p, 0, "DEL k");
        p.end_unit();
        assert_eq!(p.position(), position + b"*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n".len() as u64);
    }

    #[test]
    fn a_unit_that_has_not_ended_is_not_taken_and_may_be_dropped() {
        let mut p = Propagation { selected: Some(0), ..Propagation::default() };
        given(&mut p, 0, "DEL a");
        p.end_unit();
        let position = p.position();
        given(&mut p, 0, "DEL b");
        assert_eq!((p.position(), p.has_some()), (position, true));
        assert_eq!(taken(&mut p), r"*2\r\n$3\r\nDEL\r\n$1\r\na\r\n");
        assert!(p.is_open() && !p.has_some());
        given(&mut p, 0, "DEL c");
        p.end_unit();
        let both = r"*2\r\n$3\r\nDEL\r\n$1\r\nb\r\n*2\r\n$3\r\nDEL\r\n$1\r\nc\r\n";
        assert_eq!(taken(&mut p), format!(r"*1\r\n$5\r\nMULTI\r\n{both}*1\r\n$4\r\nEXEC\r\n"));
        given(&mut p, 0, "DEL d");
        p.drop_unit();
        assert!(!p.is_open() && !p.has_some());
    }

    #[test]
    fn a_muted_command_is_not_passed_on_but_what_expired_is() {
        let mut p = Propagation { selected: Some(0), ..Propagation::default() };
        p.set_muted(true);
        p.pass_on_own(0, [b"DEL".as_slice(), b"gone"]);
        given(&mut p, 0, "SET k v");
        p.instead().push([b"SET".as_slice(), b"k", b"w"]);
        given(&mut p, 0, "APPEND k w");
        p.set_muted(false);
        p.end_unit();
        assert_eq!(taken(&mut p), r"*2\r\n$3\r\nDEL\r\n$4\r\ngone\r\n");
    }
}
