//! What long commands that read one key have in common: a job that shows the value of the key, piece by piece, to a [`Place`] in
//! it, or to a [`PlaceInText`] of a string.
//!
//! A place is where the command goes on: an index, a cursor, a rank, an id. It holds no reference into the value, which may move
//! in memory between two pieces; the value does not change, for the job holds its key.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use super::spec::Outcome;
use crate::resp::reply::Reply;
use crate::server::ctx::Ctx;
use crate::server::jobs::{Job, Slice, Step, Work};
use crate::store::entry::TextBuffer;
use crate::store::types::Collection;
use crate::store::types::roaring::Text;

/// Where a command goes on in a collection.
pub(super) trait Place<T>: Send + fmt::Debug + 'static {
    /// Writes what comes next, until the slice is over; all of what comes before the elements at first. True at the end.
    fn go_on(&mut self, value: &T, reply: &mut Reply<'_>, slice: &mut Slice<'_>) -> bool;
}

/// Reads the collection of one key.
struct ReadKey<T, P> {
    key: Box<[u8]>,
    place: P,
    of: PhantomData<fn(T)>,
}

impl<T, P: fmt::Debug> fmt::Debug for ReadKey<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadKey").field("key", &self.key).field("place", &self.place).finish()
    }
}

impl<T: Collection, P: Place<T>> Job for ReadKey<T, P> {
    fn step(&mut self, work: &mut Work<'_>) -> Step {
        let Work { server, reply, slice, db } = work;
        let Some(value) = server.dbs[*db].peek(&self.key).and_then(|entry| entry.into_collection::<T>()) else {
            return Step::Lost;
        };
        if self.place.go_on(&value, reply, slice) { Step::Answered } else { Step::More }
    }
}

/// Has a command go on as a job that reads the collection of a key, from a place on.
///
/// # Errors
/// None.
pub(super) fn read_key<T: Collection + 'static>(ctx: &mut Ctx<'_>, key: &[u8], place: impl Place<T>) -> Outcome {
    ctx.become_job(ReadKey { key: key.into(), place, of: PhantomData::<fn(T)> })
}

/// Where a command goes on in a string.
pub(super) trait PlaceInText: Send + fmt::Debug + 'static {
    /// Goes on until the slice is over, and answers at the end, which it tells by true.
    fn go_on(&mut self, text: Text<'_>, reply: &mut Reply<'_>, slice: &mut Slice<'_>) -> bool;
}

/// Reads the string of one key.
#[derive(Debug)]
struct ReadText<P> {
    key: Box<[u8]>,
    place: P,
}

impl<P: PlaceInText> Job for ReadText<P> {
    fn step(&mut self, work: &mut Work<'_>) -> Step {
        let Work { server, reply, slice, db } = work;
        let entry = server.dbs[*db].peek(&self.key);
        let Some(value) = entry.as_ref().and_then(|entry| entry.string()) else { return Step::Lost };
        match self.place.go_on(value.held(&mut TextBuffer::new()), reply, slice) {
            true => Step::Answered,
            false => Step::More,
        }
    }
}

/// Has a command go on as a job that reads the string of a key, from a place on.
///
/// # Errors
/// None.
pub(super) fn read_text(ctx: &mut Ctx<'_>, key: &[u8], place: impl PlaceInText) -> Outcome {
    ctx.become_job(ReadText { key: key.into(), place })
}

/// Counts the elements that go by, for a slice.
#[derive(Default)]
pub(super) struct Meter {
    elements: Cell<usize>,
    bytes: Cell<usize>,
}

impl Meter {
    /// Counts an element of so many bytes.
    #[inline]
    pub fn count(&self, bytes: usize) {
        self.count_all(1, bytes);
    }

    /// Counts work that costs as much as so many elements do, of so many bytes together.
    #[inline]
    pub fn count_all(&self, elements: usize, bytes: usize) {
        self.elements.set(self.elements.get() + elements);
        self.bytes.set(self.bytes.get() + bytes);
    }

    /// Spends what was counted since the last time: one element at least, for the look. False if that was the last of the slice.
    #[inline]
    pub fn spend(&self, slice: &mut Slice<'_>) -> bool {
        slice.spend(self.elements.take().max(1), self.bytes.take())
    }
}
