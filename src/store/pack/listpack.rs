//! A sequence of strings and integers in one heap block, in Redis's listpack format.
//!
//! # Layout
//! ```text
//! 0          4           6                                     total - 1
//! | total u32 | count u16 | entry | entry | ...               | 0xFF |      (little endian)
//! ```
//! - `count` is 65535 when there are that many entries or more, or were: then it has to be counted.
//! - Entries are described in `pack::codec`; each can be walked over forwards and backwards.
//!
//! A [`DequePack`] has `| room u16 | room bytes |` before this, so that elements come and go at the front as cheaply as at
//! the end: the header moves, the entries stay. The room is what the allocator's size class leaves over anyway, and no
//! more than a sixteenth beyond it (`room_for`).
//!
//! # Invariants
//! - The block was allocated with `layout_for(start + total)`, where `start` is where the header lies; the room and the
//!   `total` bytes from there on are initialised and lie in it.
//! - The bytes are well-formed: walking forwards from the header meets exactly the entries that walking backwards from the
//!   end meets, and `count` of them unless it is 65535.
//! - `total` is at most [`BYTES_MAX`].
//!
//! `unsafe` owns the block and nothing else: the owner is one thin pointer, which neither `Vec` nor `Box<[u8]>` can be, and
//! small collections are many. Entries are read and written through slices, so that a stale [`Pos`] may panic or give
//! nonsense but not touch foreign memory.
//!
//! Used by the store's collection types. Refuses to know what elements mean and when a pack is too long to be scanned.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::fmt;
use std::mem::ManuallyDrop;
use std::num::NonZeroU32;
use std::ptr::{self, NonNull};
use std::slice;

use super::Validated;
use super::codec::{self, END, Encoding, Item};
use crate::base::heap::{Mover, size_class};
use crate::sys::bg;

/// The most bytes a pack may take. Whoever makes a pack grow asks [`Pack::fits`] first, and converts or refuses if it
/// does not; growing beyond it is a bug that panics.
pub const BYTES_MAX: usize = 1 << 30;

/// The most bytes that [`Pack::fits`] allows a pack: [`BYTES_MAX`], unless [`limit_bytes`] has lowered it.
#[inline]
pub fn bytes_max() -> usize {
    #[cfg(debug_assertions)]
    return LIMIT.get();
    #[cfg(not(debug_assertions))]
    BYTES_MAX
}

#[cfg(debug_assertions)]
thread_local! {
    static LIMIT: std::cell::Cell<usize> = const { std::cell::Cell::new(BYTES_MAX) };
}

/// Lets this thread's packs be full at so many bytes, so that tests meet full packs without a gigabyte for each.
#[cfg(debug_assertions)]
pub fn limit_bytes(bytes: usize) {
    LIMIT.set(bytes.min(BYTES_MAX));
}

pub(super) const HEADER_BYTES: usize = 6;
/// Bytes that say how much room there is.
const ROOM_HEADER_BYTES: usize = 2;
const ROOM_MAX: usize = u16::MAX as usize;
pub(super) const COUNT_UNKNOWN: u16 = u16::MAX;
pub(super) const EMPTY: [u8; HEADER_BYTES + 1] = [7, 0, 0, 0, 0, 0, END];

/// Where an element is: valid until the pack is modified at or before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pos(NonZeroU32);

impl Pos {
    #[inline]
    fn new(at: usize) -> Pos {
        // Offsets are below `BYTES_MAX`, which fits.
        Pos(NonZeroU32::new(at as u32).expect("the header lies before every entry"))
    }

    #[inline]
    fn at(self) -> usize {
        self.0.get() as usize
    }
}

/// An owning pointer to the block; 8 bytes, and `Option` of it as well. `ROOM` says whether there is room at the front.
#[repr(transparent)]
pub struct Pack<const ROOM: bool>(NonNull<u8>);

/// A pack that begins with its header.
pub type Listpack = Pack<false>;

/// A pack to which elements are added, and from which they are removed, at the front as well as at the end.
pub type DequePack = Pack<true>;

// SAFETY: a pack owns its block alone, and its bytes are plain data.
unsafe impl<const ROOM: bool> Send for Pack<ROOM> {}
// SAFETY: nothing is modified through a shared reference.
unsafe impl<const ROOM: bool> Sync for Pack<ROOM> {}

fn layout_for(bytes: usize) -> Layout {
    Layout::from_size_align(size_class(bytes), 8).expect("the size class of some 1 GiB is far below isize::MAX")
}

/// Packs above this are moved seldom: [`room_for`].
const SMALL_BYTES_MAX: usize = 512;
/// The part of a larger pack that is made room at least, one in so many bytes.
const ROOM_PART: usize = 16;
/// The part of a pack that may be left as room by removals, one in so many bytes.
const LEFT_ROOM_PART: usize = 4;

/// The room that a pack of `total` bytes gets when it has to be moved because something is added at its front: half of what
/// its block has left over, for the end may grow as well; a larger pack gets a sixteenth at least, so that to move it costs
/// no more than 16 bytes for each that is added.
fn room_for(total: usize) -> usize {
    let left = size_class(ROOM_HEADER_BYTES + total) - ROOM_HEADER_BYTES - total;
    if total > SMALL_BYTES_MAX { (left / 2).max(total / ROOM_PART) } else { left / 2 }
}

/// Where everything lies that makes up a block.
#[derive(Clone, Copy)]
struct Extent {
    /// Where the header is.
    start: usize,
    /// Bytes from there on.
    total: usize,
}

impl Extent {
    fn layout(self) -> Layout {
        layout_for(self.start + self.total)
    }
}

impl<const ROOM: bool> Pack<ROOM> {
    /// Where the header is if there is no room before it.
    const START: usize = if ROOM { ROOM_HEADER_BYTES } else { 0 };

    /// An empty pack, in a block of 16 bytes.
    pub fn new() -> Self {
        Pack::copied(&EMPTY)
    }

    /// A pack of these well-formed bytes.
    pub(super) fn copied(bytes: &[u8]) -> Self {
        let layout = layout_for(Self::START + bytes.len());
        // SAFETY: a pack has at least a header, so the layout's size is not zero.
        let block = NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout));
        let mut pack = Pack(block);
        pack.set_start(Self::START);
        // SAFETY: the new block holds the start and `bytes.len()` bytes more, and overlaps nothing.
        unsafe { block.as_ptr().add(Self::START).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        pack
    }

    /// A pack of bytes from outside: see [`Validated::new`]. Costs a walk and a copy.
    pub fn from_validated(bytes: &[u8]) -> Option<Self> {
        Validated::new(bytes).map(Validated::to_pack)
    }

    /// Gives up the block; [`Pack::from_raw`] takes it back.
    pub fn into_raw(self) -> NonNull<u8> {
        ManuallyDrop::new(self).0
    }

    /// Takes back what [`Pack::into_raw`] gave up.
    ///
    /// # Safety
    /// `block` came from [`Pack::into_raw`] of the same type, and nobody else owns it.
    pub unsafe fn from_raw(block: NonNull<u8>) -> Self {
        Pack(block)
    }

    /// Where the header is.
    #[inline]
    fn start(&self) -> usize {
        if !ROOM {
            return 0;
        }
        // SAFETY: a block with room begins with how much it is.
        let room = u16::from_le(unsafe { self.0.cast::<u16>().read() });
        ROOM_HEADER_BYTES + usize::from(room)
    }

    /// Notes where the header is; `ROOM_MAX` behind the beginning at most.
    #[inline]
    fn set_start(&mut self, start: usize) {
        if ROOM {
            let room = (start - ROOM_HEADER_BYTES) as u16;
            // SAFETY: a block with room begins with two bytes for it, which are aligned because the block is.
            unsafe { self.0.cast::<u16>().write(room.to_le()) };
        }
    }

    /// Bytes of the encoded form, header and end included.
    #[inline]
    pub fn bytes(&self) -> usize {
        // SAFETY: the header begins with the total, four bytes.
        u32::from_le(unsafe { self.0.add(self.start()).cast::<u32>().read_unaligned() }) as usize
    }

    #[inline]
    fn extent(&self) -> Extent {
        Extent { start: self.start(), total: self.bytes() }
    }

    /// Bytes of the heap block.
    pub fn heap_bytes(&self) -> usize {
        self.extent().layout().size()
    }

    /// Moves to another heap block if it should.
    pub fn defragment(&mut self, mover: &mut dyn Mover) {
        if mover.wants(self.0, self.heap_bytes()) {
            *self = self.clone();
        }
    }

    /// The encoded form, as DUMP shows it.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: `bytes()` bytes from the start on are initialised, and live and unmodified as long as `self` is borrowed.
        unsafe { slice::from_raw_parts(self.0.as_ptr().add(self.start()), self.bytes()) }
    }

    #[inline]
    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `as_bytes`, and `self` is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.0.as_ptr().add(self.start()), self.bytes()) }
    }

    /// Lays out anew a pack that lies at `old`, its block's extent being `block`: `new.total` bytes at `new.start`, zeros behind
    /// the old ones. The block moves only when its size class changes, the bytes only when their start does.
    fn lay_out(&mut self, block: Extent, old: Extent, new: Extent) {
        assert!(new.total <= BYTES_MAX, "a listpack is to grow beyond its limit");
        // A list keeps its packs far below the limit, and need not ask.
        debug_assert!(
            ROOM || new.total <= old.total.max(bytes_max()),
            "a pack grows without having been asked for room"
        );
        let (have, need) = (block.layout(), new.layout());
        let kept = old.total.min(new.total);
        if need.size() > have.size() {
            self.reallocate(have, need);
        }
        if old.start != new.start {
            // SAFETY: the block is the larger one of both sizes, and has room for the bytes at both places.
            unsafe { ptr::copy(self.0.as_ptr().add(old.start), self.0.as_ptr().add(new.start), kept) };
        }
        if old.start < new.start {
            // SAFETY: what lies before the new start is the block's too; elements are to be written there.
            unsafe { self.0.as_ptr().add(Self::START).write_bytes(0, new.start - Self::START) };
        }
        if need.size() < have.size() {
            self.reallocate(have, need);
        }
        if new.total > kept {
            // SAFETY: the block holds `new.total` bytes from the start on.
            unsafe { self.0.as_ptr().add(new.start + kept).write_bytes(0, new.total - kept) };
        }
        self.set_start(new.start);
        self.set_bytes(new.total);
    }

    fn reallocate(&mut self, old: Layout, new: Layout) {
        // SAFETY: the block was allocated with `old`; the new size is neither zero nor too large, as its layout shows.
        let block = unsafe { realloc(self.0.as_ptr(), old, new.size()) };
        self.0 = NonNull::new(block).unwrap_or_else(|| handle_alloc_error(new));
    }

    /// Notes the total.
    #[inline]
    fn set_bytes(&mut self, total: usize) {
        // SAFETY: as in `bytes`.
        unsafe { self.0.add(self.start()).cast::<u32>().write_unaligned((total as u32).to_le()) };
    }

    /// Makes the pack `total` bytes long, zeros behind the old ones. Room at the front goes to the end when that saves a
    /// larger block, or when little else is left.
    fn resize(&mut self, total: usize) {
        let old = self.extent();
        let mut new = Extent { total, ..old };
        if ROOM && old.start > Self::START {
            let grows = new.layout().size() > old.layout().size();
            if grows || old.start - Self::START > total / LEFT_ROOM_PART {
                new.start = Self::START;
            }
        }
        self.lay_out(old, old, new);
    }

    /// Moves the header from `from` to `to`; the entries stay. All `total` bytes from there on are the pack's then.
    fn move_header(&mut self, from: usize, to: usize, total: usize) {
        // SAFETY: both places lie before the entries in the block, and the header is initialised.
        unsafe { ptr::copy(self.0.as_ptr().add(from), self.0.as_ptr().add(to), HEADER_BYTES) };
        self.set_start(to);
        self.set_bytes(total);
    }

    /// Opens a gap of `gap` bytes, up to [`ROOM_MAX`], behind the header.
    fn open_front(&mut self, gap: usize) {
        let mut old = self.extent();
        let total = old.total + gap;
        if old.start < Self::START + gap {
            let room = room_for(total).min(ROOM_MAX - gap);
            let moved = Extent { start: Self::START + room + gap, ..old };
            self.lay_out(old, old, moved);
            old = moved;
        }
        assert!(total <= BYTES_MAX, "a listpack is to grow beyond its limit");
        self.move_header(old.start, old.start - gap, total);
    }

    /// Removes `gone` bytes behind the header.
    fn close_front(&mut self, gone: usize) {
        let old = self.extent();
        let left = Extent { start: old.start + gone, total: old.total - gone };
        let room = left.start - Self::START;
        if room <= ROOM_MAX.min(left.total / LEFT_ROOM_PART) {
            return self.move_header(old.start, left.start, left.total);
        }
        // SAFETY: the header moves to before the first entry that stays, within the block.
        unsafe { ptr::copy(self.0.as_ptr().add(old.start), self.0.as_ptr().add(left.start), HEADER_BYTES) };
        self.lay_out(old, left, Extent { start: Self::START, ..left });
    }

    /// Gives room at the front back, for a pack to whose front nothing more is to be added. Costs a move, if there is any.
    pub fn give_back_room(&mut self) {
        let old = self.extent();
        if old.start > Self::START {
            self.lay_out(old, old, Extent { start: Self::START, ..old });
        }
    }

    /// Replaces `old` bytes at `at` by `new` bytes of no particular content, and moves what follows, or the header.
    fn open(&mut self, at: usize, old: usize, new: usize) {
        let total = self.bytes();
        if ROOM && at == HEADER_BYTES && total > EMPTY.len() {
            match (old, new) {
                (0, 1..=ROOM_MAX) => return self.open_front(new),
                (1.., 0) => return self.close_front(old),
                _ => {}
            }
        }
        if new > old {
            self.resize(total + (new - old));
        }
        if new != old {
            self.as_mut().copy_within(at + old..total, at + new);
        }
        if new < old {
            self.resize(total - (old - new));
        }
    }

    /// The number of elements according to the header.
    #[inline]
    fn known_count(&self) -> Option<usize> {
        let bytes = self.as_bytes();
        let count = u16::from_le_bytes([bytes[4], bytes[5]]);
        (count != COUNT_UNKNOWN).then_some(usize::from(count))
    }

    #[inline]
    pub(super) fn set_count(&mut self, count: usize) {
        let count = u16::try_from(count).unwrap_or(COUNT_UNKNOWN);
        self.as_mut()[4..HEADER_BYTES].copy_from_slice(&count.to_le_bytes());
    }

    #[inline]
    fn count_added(&mut self, added: usize) {
        if let Some(count) = self.known_count() {
            self.set_count(count + added);
        }
    }

    fn count_removed(&mut self, removed: usize) {
        if let Some(count) = self.known_count() {
            self.set_count(count - removed);
        }
    }

    /// The offset of the end byte.
    #[inline]
    fn end(&self) -> usize {
        self.bytes() - 1
    }

    /// `None` for the offset of the end byte.
    #[inline]
    fn pos(&self, at: usize) -> Option<Pos> {
        (at < self.end()).then(|| Pos::new(at))
    }
}

/// Reading.
impl<const ROOM: bool> Pack<ROOM> {
    /// The number of elements: one look at the header, but a walk over all in a pack that has, or had, 65535 and more.
    #[inline]
    pub fn len(&self) -> usize {
        self.known_count().unwrap_or_else(|| self.iter().count())
    }

    /// True if there is no element.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes() == EMPTY.len()
    }

    /// True if so many bytes more (sums of [`encoded_bytes`](super::encoded_bytes)) stay within [`bytes_max`].
    #[inline]
    pub fn fits(&self, extra: usize) -> bool {
        bytes_max().checked_sub(self.bytes()).is_some_and(|left| extra <= left)
    }

    /// The first element.
    #[inline]
    pub fn first(&self) -> Option<Pos> {
        self.pos(HEADER_BYTES)
    }

    /// The last element.
    #[inline]
    pub fn last(&self) -> Option<Pos> {
        self.before(self.end())
    }

    /// The element after the one at `pos`.
    #[inline]
    pub fn next(&self, pos: Pos) -> Option<Pos> {
        self.pos(codec::next(self.as_bytes(), pos.at()))
    }

    /// The element before the one at `pos`.
    #[inline]
    pub fn prev(&self, pos: Pos) -> Option<Pos> {
        self.before(pos.at())
    }

    fn before(&self, at: usize) -> Option<Pos> {
        (at > HEADER_BYTES).then(|| Pos::new(codec::prev(self.as_bytes(), at)))
    }

    /// The element at `index`; negative ones count from the end, -1 being the last. A walk from the nearer end.
    pub fn seek(&self, index: i64) -> Option<Pos> {
        let mut index = index;
        if let Some(count) = self.known_count() {
            let count = count as i64;
            if !(-count..count).contains(&index) {
                return None;
            }
            if index >= 0 && index > count / 2 {
                index -= count;
            } else if index < 0 && index + count <= count / 2 {
                index += count;
            }
        }
        if index >= 0 {
            (0..index).try_fold(self.first()?, |pos, _| self.next(pos))
        } else {
            (index..-1).try_fold(self.last()?, |pos, _| self.prev(pos))
        }
    }

    /// The element at `pos`.
    #[inline]
    pub fn at(&self, pos: Pos) -> Item<'_> {
        codec::item(self.as_bytes(), pos.at())
    }

    /// The element at `index`, as [`Listpack::seek`] counts.
    pub fn item(&self, index: i64) -> Option<Item<'_>> {
        self.seek(index).map(|pos| self.at(pos))
    }

    /// All elements, from either end.
    #[inline]
    pub fn iter(&self) -> Items<'_> {
        Items::of(self.as_bytes())
    }

    /// The elements from the one at `pos` to the end, from either end.
    pub fn iter_from(&self, pos: Pos) -> Items<'_> {
        Items { front: pos.at(), ..self.iter() }
    }

    /// The elements before the one at `pos`, from either end.
    pub fn iter_until(&self, pos: Pos) -> Items<'_> {
        Items { back: pos.at(), ..self.iter() }
    }

    /// The first element with this text at or after `from` (the whole pack if `None`), jumping over `skip` elements after
    /// each that was compared: 1 finds a field among field-value pairs. A scan without allocation.
    pub fn find(&self, from: Option<Pos>, needle: &[u8], skip: usize) -> Option<Pos> {
        let pack = self.as_bytes();
        let end = self.end();
        let integer = Item::of(needle).as_int();
        let mut at = from.map_or(HEADER_BYTES, Pos::at);
        while at < end {
            let equal = match codec::item(pack, at) {
                Item::Int(n) => integer == Some(n),
                Item::Bytes(bytes) => bytes == needle,
            };
            if equal {
                return Some(Pos::new(at));
            }
            for _ in 0..=skip {
                if at < end {
                    at = codec::next(pack, at);
                }
            }
        }
        None
    }
}

/// Writing. Every call moves the bytes behind the place it changes, and the block only when its size class changes; it panics
/// if the pack would exceed [`BYTES_MAX`].
impl<const ROOM: bool> Pack<ROOM> {
    /// Replaces `old` bytes at `at` by the entry; counting is the caller's.
    #[inline]
    fn write(&mut self, at: usize, old: usize, entry: &Encoding) -> Pos {
        let new = entry.bytes();
        self.open(at, old, new);
        entry.write(&mut self.as_mut()[at..at + new]);
        Pos::new(at)
    }

    #[inline]
    fn insert_at(&mut self, at: usize, item: Item) -> Pos {
        let pos = self.write(at, 0, &Encoding::of(item));
        self.count_added(1);
        pos
    }

    /// Adds an element at the end.
    #[inline]
    pub fn push_back(&mut self, text: &[u8]) -> Pos {
        self.push_back_item(Item::of(text))
    }

    /// Adds an integer at the end.
    #[inline]
    pub fn push_back_int(&mut self, n: i64) -> Pos {
        self.push_back_item(Item::Int(n))
    }

    /// Adds an element of another pack at the end, as it is held there.
    #[inline]
    pub fn push_back_item(&mut self, item: Item) -> Pos {
        self.insert_at(self.end(), item)
    }

    /// Adds an element at the beginning.
    pub fn push_front(&mut self, text: &[u8]) -> Pos {
        self.push_front_item(Item::of(text))
    }

    /// Adds an integer at the beginning.
    pub fn push_front_int(&mut self, n: i64) -> Pos {
        self.push_front_item(Item::Int(n))
    }

    /// Adds an element of another pack at the beginning, as it is held there.
    pub fn push_front_item(&mut self, item: Item) -> Pos {
        self.insert_at(HEADER_BYTES, item)
    }

    /// Adds an element before the one at `pos`; returns where it is.
    pub fn insert_before(&mut self, pos: Pos, text: &[u8]) -> Pos {
        self.insert_at(pos.at(), Item::of(text))
    }

    /// Adds an integer before the element at `pos`; returns where it is.
    pub fn insert_before_int(&mut self, pos: Pos, n: i64) -> Pos {
        self.insert_at(pos.at(), Item::Int(n))
    }

    /// Adds an element after the one at `pos`; returns where it is.
    pub fn insert_after(&mut self, pos: Pos, text: &[u8]) -> Pos {
        self.insert_at(codec::next(self.as_bytes(), pos.at()), Item::of(text))
    }

    /// Adds an integer after the element at `pos`; returns where it is.
    pub fn insert_after_int(&mut self, pos: Pos, n: i64) -> Pos {
        self.insert_at(codec::next(self.as_bytes(), pos.at()), Item::Int(n))
    }

    /// Replaces the element at `pos`, in place if both take equally many bytes. It stays at `pos`.
    pub fn replace(&mut self, pos: Pos, text: &[u8]) -> Pos {
        self.replace_item(pos, Item::of(text))
    }

    /// Replaces the element at `pos` by an integer, in place if both take equally many bytes. It stays at `pos`.
    pub fn replace_int(&mut self, pos: Pos, n: i64) -> Pos {
        self.replace_item(pos, Item::Int(n))
    }

    fn replace_item(&mut self, pos: Pos, item: Item) -> Pos {
        let old = codec::next(self.as_bytes(), pos.at()) - pos.at();
        self.write(pos.at(), old, &Encoding::of(item))
    }

    /// Removes the element at `pos`; returns where the one after it is now, if there is one.
    pub fn remove(&mut self, pos: Pos) -> Option<Pos> {
        self.remove_range(pos, 1)
    }

    /// Removes up to `count` elements from the one at `pos` on; returns where the one after them is now, if there is one.
    pub fn remove_range(&mut self, pos: Pos, count: usize) -> Option<Pos> {
        let (end, removed) = self.walk(pos.at(), count);
        self.cut(pos.at(), end, removed);
        self.pos(pos.at())
    }

    /// Removes up to `count` elements from `start` on, which counts as in [`Listpack::seek`]; returns how many.
    pub fn remove_range_index(&mut self, start: i64, count: usize) -> usize {
        let Some(pos) = self.seek(start) else { return 0 };
        let (end, removed) = self.walk(pos.at(), count);
        self.cut(pos.at(), end, removed);
        removed
    }

    /// Removes all but the first `count` elements.
    pub fn truncate(&mut self, count: usize) {
        if let Ok(start) = i64::try_from(count) {
            self.remove_range_index(start, usize::MAX);
        }
    }

    /// Adds the elements of `other` at the end. A copy of its bytes.
    pub fn append(&mut self, other: &Self) {
        self.insert_all(self.end(), other);
    }

    /// Adds the elements of `other` at the beginning, in their order. A copy of its bytes.
    pub fn prepend(&mut self, other: &Self) {
        self.insert_all(HEADER_BYTES, other);
    }

    fn insert_all(&mut self, at: usize, other: &Self) {
        let entries = &other.as_bytes()[HEADER_BYTES..other.end()];
        self.open(at, 0, entries.len());
        self.as_mut()[at..at + entries.len()].copy_from_slice(entries);
        // An unknown count makes the sum unknown: it is 65535 itself.
        self.count_added(other.known_count().unwrap_or(usize::from(COUNT_UNKNOWN)));
    }

    /// Keeps the first `index` elements and returns the others, perhaps none.
    pub fn split_off(&mut self, index: usize) -> Self {
        let mut tail = Self::new();
        let Some(pos) = i64::try_from(index).ok().and_then(|index| self.seek(index)) else { return tail };
        let (start, end) = (pos.at(), self.end());
        let entries = &self.as_bytes()[start..end];
        tail.open(HEADER_BYTES, 0, entries.len());
        tail.as_mut()[HEADER_BYTES..HEADER_BYTES + entries.len()].copy_from_slice(entries);
        let moved = self.known_count().map_or_else(|| tail.iter().count(), |count| count - index);
        tail.set_count(moved);
        self.cut(start, end, moved);
        tail
    }

    /// Where up to `count` elements from `at` on end, and how many they are.
    fn walk(&self, at: usize, count: usize) -> (usize, usize) {
        let (pack, end) = (self.as_bytes(), self.end());
        let (mut at, mut walked) = (at, 0);
        while at < end && walked < count {
            at = codec::next(pack, at);
            walked += 1;
        }
        (at, walked)
    }

    /// Removes the `removed` entries that lie from `start` to `end`.
    fn cut(&mut self, start: usize, end: usize, removed: usize) {
        self.open(start, end - start, 0);
        self.count_removed(removed);
    }
}

impl<const ROOM: bool> Clone for Pack<ROOM> {
    fn clone(&self) -> Self {
        Pack::copied(self.as_bytes())
    }
}

impl<const ROOM: bool> Default for Pack<ROOM> {
    fn default() -> Self {
        Pack::new()
    }
}

impl<const ROOM: bool> Drop for Pack<ROOM> {
    fn drop(&mut self) {
        bg::note_freed(1);
        // SAFETY: the block was allocated with this layout and is owned by `self` alone.
        unsafe { dealloc(self.0.as_ptr(), self.extent().layout()) };
    }
}

impl<const ROOM: bool> fmt::Debug for Pack<ROOM> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = self.iter().map(|item| String::from_utf8_lossy(&item.to_vec()).into_owned());
        f.debug_list().entries(texts).finish()
    }
}

impl<'p, const ROOM: bool> IntoIterator for &'p Pack<ROOM> {
    type Item = Item<'p>;
    type IntoIter = Items<'p>;
    fn into_iter(self) -> Items<'p> {
        self.iter()
    }
}

/// Elements in order, from either end.
#[derive(Clone, Debug)]
pub struct Items<'p> {
    pack: &'p [u8],
    /// Where the next entry begins: `front <= back`.
    front: usize,
    /// Where the last entry ends.
    back: usize,
}

impl<'p> Items<'p> {
    /// The elements of well-formed bytes.
    #[inline]
    pub(super) fn of(pack: &'p [u8]) -> Items<'p> {
        Items { pack, front: HEADER_BYTES, back: pack.len() - 1 }
    }

    /// Goes by up to `count` elements. Cheaper than to read them.
    #[inline]
    pub fn pass(&mut self, count: usize) {
        for _ in 0..count {
            if self.front == self.back {
                return;
            }
            self.front = codec::next(self.pack, self.front);
        }
    }

    /// Where the element is that comes next.
    #[inline]
    pub fn pos(&self) -> Option<Pos> {
        (self.front < self.back).then(|| Pos::new(self.front))
    }
}

impl<'p> Iterator for Items<'p> {
    type Item = Item<'p>;

    #[inline]
    fn next(&mut self) -> Option<Item<'p>> {
        let at = self.front;
        if at == self.back {
            return None;
        }
        self.front = codec::next(self.pack, at);
        Some(codec::item(self.pack, at))
    }
}

impl DoubleEndedIterator for Items<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.front == self.back {
            return None;
        }
        self.back = codec::prev(self.pack, self.back);
        Some(codec::item(self.pack, self.back))
    }
}

#[cfg(test)]
#[path = "listpack_tests.rs"]
mod tests;
