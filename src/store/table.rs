//! The hash table of keys, and of the members of big collections: 64-byte buckets with one-byte tags, in segments of 8 KiB,
//! under a directory (extendible hashing: Fagin, Nievergelt, Pippenger, Strong 1979; bucket-with-tags layout as in Dash, Lu
//! et al. 2020, and in Valkey 8.1).
//!
//! # Layout
//! A key's 64-bit hash is used from the top:
//! ```text
//! | directory: `depth` bits | fraction: home bucket = fraction * 111 >> 48 | ...          |   address = hash >> 16
//!                                     | tag: bits 24..32 from the top |
//! ```
//! A segment is one 8 KiB block: a header line, 111 home buckets of nine slots, 16 stash buckets of eight slots.
//! ```text
//! home bucket:  [9 tags][1 byte: in which stash pairs keys of this bucket live][9 x 6-byte pointers]      = 64 bytes
//! stash bucket: [8 tags][8 home bucket numbers]                               [8 x 6-byte pointers]      = 64 bytes
//! ```
//! A tag of 0 marks an empty slot. Pointers keep 48 bits, all that user space has on the 64-bit machines we run on.
//!
//! A lookup reads the directory (small, cached), one bucket line and one entry. A home bucket that is full spills into
//! the stash, eight pairs of buckets that all homes share; the home's spill byte says which pairs to look into, so
//! nearly all lookups still read one line. A segment splits in two when its stash is full, at about 88 % load: growth
//! costs O(segment), some 1,000 keys, and the table never rehashes as a whole. Two buddies merge again when together they
//! would fill less than a third of a segment. Directory doubling copies 8 bytes a cell, of which a segment has one or more.
//!
//! # Order
//! Both the directory bits and the home bucket follow the hash from its top, so walking segments and home buckets in order
//! walks the keys in order of their address, but for those of one home bucket. A scan's cursor is the address to go on
//! from: stateless, below 2^48, and missing nothing that stays. After a merge keys may come twice.
//!
//! # Invariants
//! - Every entry lies in its home bucket or in the stash of the segment its address leads to.
//! - A home's spill bit is set if and only if the pair holds an entry of that home.
//! - `2^(directory bits - segment depth)` neighbouring directory cells name the same segment.
//!
//! Used by the parts of `store` that hold keys (`db`, `expiry`, `forecast`) and by `store::members`. Knows nothing of types,
//! time or clients: entries are owning pointers with a key.
#![allow(unsafe_code)]

mod part;
mod walk;

pub use part::Part;

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, size_of};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use super::hash::KeyHasher;
use crate::base::heap;
use crate::sys::bg;

const HOME_SLOTS: usize = 9;
const HOMES: usize = 111;
const STASH_SLOTS: usize = 8;
const STASH_PAIRS: usize = 8;
const STASHES: usize = 2 * STASH_PAIRS;
const ADDRESS_BITS: u32 = 48;
/// A deeper directory than this would not fit in memory; reached only if the hash were broken.
const DEPTH_MAX: u32 = 32;
/// Two buddies merge when together they fill less than this: a third of a segment, far from the next split.
const MERGE_BELOW: usize = (HOMES * HOME_SLOTS) / 3;

/// An owning pointer that the table can hold in 48 bits.
///
/// # Safety
/// `into_ptr` must give up ownership and return a pointer whose upper 16 bits are zero; `from_ptr` must restore exactly
/// what `into_ptr` gave up. The key must not change while the table owns the entry. The type must have the size of a pointer.
pub unsafe trait Entry: Sized {
    /// Gives up ownership of the allocation.
    fn into_ptr(self) -> NonNull<u8>;
    /// Takes ownership back.
    ///
    /// # Safety
    /// `ptr` must come from `into_ptr` and not be used as an owner elsewhere.
    unsafe fn from_ptr(ptr: NonNull<u8>) -> Self;
    /// The key this entry is found by.
    fn key(&self) -> &[u8];
}

/// An entry that the table keeps owning, lent for `'t`.
pub struct Lent<'t, E: Entry> {
    entry: ManuallyDrop<E>,
    table: PhantomData<&'t E>,
}

impl<'t, E: Entry> Lent<'t, E> {
    /// # Safety
    /// `ptr` must be owned by a table that stays borrowed for `'t`.
    unsafe fn new(ptr: NonNull<u8>) -> Self {
        // SAFETY: the owner is the table; `ManuallyDrop` keeps this second handle from freeing it.
        Lent { entry: ManuallyDrop::new(unsafe { E::from_ptr(ptr) }), table: PhantomData }
    }
}

impl<E: Entry> Deref for Lent<'_, E> {
    type Target = E;
    fn deref(&self) -> &E {
        &self.entry
    }
}

/// A cache line: tags at its beginning, where one vector instruction compares them all, then pointers.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

#[repr(C)]
struct Header {
    depth: u32,
    entries: u32,
    stashed: u32,
    unused: [u32; 13],
}

#[repr(C, align(64))]
struct Segment {
    header: Header,
    homes: [Line; HOMES],
    stash: [Line; STASHES],
}

const _: () = assert!(size_of::<Segment>() == 8192);
const _: () = assert!(size_of::<Line>() == 64);

/// Where a slot is: `bucket < HOMES` is a home, above it a stash bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    bucket: u8,
    slot: u8,
}

fn tag_of(hash: u64) -> u8 {
    // 0 means empty, so it shares a tag with 255.
    let tag = (hash >> 32) as u8;
    if tag == 0 { 255 } else { tag }
}

fn address_of(hash: u64) -> u64 {
    hash >> (64 - ADDRESS_BITS)
}

/// Where a key of this hash comes in a walk: it is visited from a cursor on that is no greater.
#[inline]
pub(super) fn position_of(hash: u64) -> u64 {
    address_of(hash)
}

/// The home bucket of an address in a segment of this depth: the address's fraction of the segment's range, times the
/// number of homes. Monotonic in the address.
fn home_of(address: u64, depth: u32) -> usize {
    let fraction = (address << depth) & ((1 << ADDRESS_BITS) - 1);
    ((fraction * HOMES as u64) >> ADDRESS_BITS) as usize
}

/// The lowest address whose home is `home` in the segment of this depth that starts at `base`.
fn home_start(base: u64, depth: u32, home: usize) -> u64 {
    let span = 1u64 << (ADDRESS_BITS - depth);
    base + (home as u64 * span).div_ceil(HOMES as u64)
}

/// Bit mask of the bytes equal to `tag` among the first `N` of the line.
#[inline]
fn match_tags<const N: usize>(line: &Line, tag: u8) -> u32 {
    // All bits count: the compiler leaves the mask out.
    match_masked::<N>(line, u8::MAX, tag)
}

/// The same of the bytes that are equal to `tag` in the bits of `mask`.
#[inline]
fn match_masked<const N: usize>(line: &Line, mask: u8, tag: u8) -> u32 {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_mm_and_si128, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8};
        // SAFETY: SSE2 is part of x86_64, and the line has 64 readable bytes of which 16 are loaded.
        let found = unsafe {
            let tags = _mm_and_si128(_mm_loadu_si128(line.0.as_ptr().cast()), _mm_set1_epi8(mask as i8));
            _mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi8(tag as i8)))
        };
        found as u32 & ((1 << N) - 1)
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        match_masked_naive::<N>(line, mask, tag)
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn match_masked_naive<const N: usize>(line: &Line, mask: u8, tag: u8) -> u32 {
    (0..N).filter(|&i| line.0[i] & mask == tag).fold(0, |found, i| found | 1 << i)
}

/// Fetches the line at `ptr` into the cache, without waiting for it.
#[inline]
pub fn prefetch<T>(ptr: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch has no effect on memory and may name any address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch(ptr.cast(), _MM_HINT_T0);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = ptr;
}

impl Line {
    const POINTERS_HOME: usize = HOME_SLOTS + 1;
    const POINTERS_STASH: usize = 2 * STASH_SLOTS;

    fn pointer(&self, base: usize, slot: usize) -> NonNull<u8> {
        let at = base + slot * 6;
        let mut bytes = [0u8; 8];
        bytes[..6].copy_from_slice(&self.0[at..at + 6]);
        let ptr = u64::from_le_bytes(bytes) as *mut u8;
        debug_assert!(!ptr.is_null());
        // SAFETY: only occupied slots are read, and those hold what `set_pointer` wrote from a `NonNull`.
        unsafe { NonNull::new_unchecked(std::ptr::with_exposed_provenance_mut(ptr as usize)) }
    }

    fn set_pointer(&mut self, base: usize, slot: usize, ptr: NonNull<u8>) {
        let at = base + slot * 6;
        let address = ptr.as_ptr().expose_provenance() as u64;
        assert!(address < 1 << 48, "an allocation outside the 48-bit address space");
        self.0[at..at + 6].copy_from_slice(&address.to_le_bytes()[..6]);
    }

    fn spill(&self) -> u8 {
        self.0[HOME_SLOTS]
    }

    fn stash_home(&self, slot: usize) -> usize {
        self.0[STASH_SLOTS + slot] as usize
    }
}

impl Segment {
    fn allocate(depth: u32) -> NonNull<Segment> {
        let layout = Layout::new::<Segment>();
        // SAFETY: the layout is not empty; all-zero bytes are a valid, empty segment.
        let Some(ptr) = NonNull::new(unsafe { alloc_zeroed(layout) }.cast::<Segment>()) else {
            handle_alloc_error(layout)
        };
        // SAFETY: freshly allocated and exclusively ours.
        unsafe { (*ptr.as_ptr()).header.depth = depth };
        ptr
    }

    /// # Safety
    /// `ptr` must come from `allocate` and not be used afterwards.
    unsafe fn free(ptr: NonNull<Segment>) {
        // SAFETY: allocated with this layout, and the caller gives it up.
        unsafe { dealloc(ptr.as_ptr().cast(), Layout::new::<Segment>()) }
    }

    fn pointer(&self, place: Place) -> NonNull<u8> {
        let (bucket, slot) = (place.bucket as usize, place.slot as usize);
        match bucket.checked_sub(HOMES) {
            None => self.homes[bucket].pointer(Line::POINTERS_HOME, slot),
            Some(stash) => self.stash[stash].pointer(Line::POINTERS_STASH, slot),
        }
    }

    /// The tag of an entry.
    fn tag(&self, place: Place) -> u8 {
        let (bucket, slot) = (place.bucket as usize, place.slot as usize);
        match bucket.checked_sub(HOMES) {
            None => self.homes[bucket].0[slot],
            Some(stash) => self.stash[stash].0[slot],
        }
    }

    fn set_pointer(&mut self, place: Place, ptr: NonNull<u8>) {
        let (bucket, slot) = (place.bucket as usize, place.slot as usize);
        match bucket.checked_sub(HOMES) {
            None => self.homes[bucket].set_pointer(Line::POINTERS_HOME, slot, ptr),
            Some(stash) => self.stash[stash].set_pointer(Line::POINTERS_STASH, slot, ptr),
        }
    }

    /// Adds every pointer in the segment, in the order of a scan.
    fn gather(&self, pointers: &mut Vec<NonNull<u8>>) {
        for (home, line) in self.homes.iter().enumerate() {
            let mut slots = !match_tags::<HOME_SLOTS>(line, 0) & ((1 << HOME_SLOTS) - 1);
            while slots != 0 {
                pointers.push(line.pointer(Line::POINTERS_HOME, slots.trailing_zeros() as usize));
                slots &= slots - 1;
            }
            if line.spill() != 0 {
                pointers.extend(self.stashed_of(home).map(|place| self.pointer(place)));
            }
        }
    }

    /// Calls `found` for each slot whose tag matches, home bucket first, until it returns true; that place is returned.
    #[inline(always)]
    fn find(&self, home: usize, tag: u8, mut found: impl FnMut(NonNull<u8>) -> bool) -> Option<Place> {
        let line = &self.homes[home];
        let mut mask = match_tags::<HOME_SLOTS>(line, tag);
        while mask != 0 {
            let slot = mask.trailing_zeros() as usize;
            if found(line.pointer(Line::POINTERS_HOME, slot)) {
                return Some(Place { bucket: home as u8, slot: slot as u8 });
            }
            mask &= mask - 1;
        }
        if line.spill() == 0 { None } else { self.find_stashed(home, tag, found) }
    }

    fn find_stashed(&self, home: usize, tag: u8, mut found: impl FnMut(NonNull<u8>) -> bool) -> Option<Place> {
        self.stashed_of(home).find(|&place| {
            let line = &self.stash[place.bucket as usize - HOMES];
            line.0[place.slot as usize] == tag && found(line.pointer(Line::POINTERS_STASH, place.slot as usize))
        })
    }

    /// The stash slots that hold entries of this home.
    fn stashed_of(&self, home: usize) -> impl Iterator<Item = Place> {
        let spill = self.homes[home].spill();
        (0..STASHES).filter(move |stash| spill & (1 << (stash / 2)) != 0).flat_map(move |stash| {
            let line = &self.stash[stash];
            (0..STASH_SLOTS)
                .filter(move |&slot| line.0[slot] != 0 && line.stash_home(slot) == home)
                .map(move |slot| Place { bucket: (HOMES + stash) as u8, slot: slot as u8 })
        })
    }

    /// The home slots in use.
    fn slots_of(&self, home: usize) -> impl Iterator<Item = Place> {
        let empty = match_tags::<HOME_SLOTS>(&self.homes[home], 0);
        (0..HOME_SLOTS)
            .filter(move |slot| empty & (1 << slot) == 0)
            .map(move |slot| Place { bucket: home as u8, slot: slot as u8 })
    }

    /// All places whose entry has this home.
    fn all_of(&self, home: usize) -> impl Iterator<Item = Place> {
        self.slots_of(home).chain(self.stashed_of(home))
    }

    /// Puts a pointer into a free slot: the home's, else the stash's. `None` when neither has one.
    fn insert(&mut self, home: usize, tag: u8, ptr: NonNull<u8>) -> Option<Place> {
        let empty = match_tags::<HOME_SLOTS>(&self.homes[home], 0);
        if empty != 0 {
            let slot = empty.trailing_zeros() as usize;
            let line = &mut self.homes[home];
            line.0[slot] = tag;
            line.set_pointer(Line::POINTERS_HOME, slot, ptr);
            self.header.entries += 1;
            return Some(Place { bucket: home as u8, slot: slot as u8 });
        }
        // Each home prefers a pair of its own, so that the pairs fill evenly and most homes have one spill bit.
        let (pair, stash, slot) = (0..STASH_PAIRS).map(|i| (home + i) % STASH_PAIRS).find_map(|pair| {
            let stash = [2 * pair, 2 * pair + 1].into_iter().find_map(|stash| {
                let empty = match_tags::<STASH_SLOTS>(&self.stash[stash], 0);
                (empty != 0).then(|| (stash, empty.trailing_zeros() as usize))
            });
            stash.map(|(stash, slot)| (pair, stash, slot))
        })?;
        let line = &mut self.stash[stash];
        line.0[slot] = tag;
        line.0[STASH_SLOTS + slot] = home as u8;
        line.set_pointer(Line::POINTERS_STASH, slot, ptr);
        self.homes[home].0[HOME_SLOTS] |= 1 << pair;
        self.header.entries += 1;
        self.header.stashed += 1;
        Some(Place { bucket: (HOMES + stash) as u8, slot: slot as u8 })
    }

    /// Empties a slot and returns what it held.
    fn remove(&mut self, place: Place) -> NonNull<u8> {
        let ptr = self.pointer(place);
        let (bucket, slot) = (place.bucket as usize, place.slot as usize);
        self.header.entries -= 1;
        if bucket < HOMES {
            self.homes[bucket].0[slot] = 0;
            return ptr;
        }
        let stash = bucket - HOMES;
        self.header.stashed -= 1;
        let home = self.stash[stash].stash_home(slot);
        self.stash[stash].0[slot] = 0;
        let pair = stash / 2;
        let others = [2 * pair, 2 * pair + 1].into_iter().any(|stash| {
            let line = &self.stash[stash];
            (0..STASH_SLOTS).any(|slot| line.0[slot] != 0 && line.stash_home(slot) == home)
        });
        if !others {
            self.homes[home].0[HOME_SLOTS] &= !(1 << pair);
        }
        ptr
    }

    /// Every pointer in the segment, in no particular order.
    fn pointers(&self) -> impl Iterator<Item = NonNull<u8>> {
        (0..HOMES).flat_map(|home| self.slots_of(home)).map(|place| self.pointer(place)).chain(
            self.stash.iter().flat_map(|line| {
                (0..STASH_SLOTS)
                    .filter(move |&slot| line.0[slot] != 0)
                    .map(move |slot| line.pointer(Line::POINTERS_STASH, slot))
            }),
        )
    }
}

/// A directory cell: a segment's address with its depth in the six bits that the alignment leaves free, so that a
/// lookup need not read the segment's header.
#[derive(Clone, Copy)]
struct Cell(NonNull<u8>);

impl Cell {
    fn new(segment: NonNull<Segment>, depth: u32) -> Cell {
        debug_assert!(depth < 64 && segment.as_ptr().addr() & 63 == 0);
        Cell(segment.cast::<u8>().map_addr(|a| a | depth as usize))
    }

    fn depth(self) -> u32 {
        (self.0.as_ptr().addr() & 63) as u32
    }

    fn segment(self) -> NonNull<Segment> {
        // The depth only fills alignment bits, so the result is the segment's own, non-null address.
        let depth = self.depth() as usize;
        // SAFETY: the cell's pointer is the segment's plus `depth`, within the same allocation.
        unsafe { self.0.sub(depth) }.cast()
    }
}

/// The table. O(1) lookups, inserts and removals; an insert may split one segment, a removal may merge two.
pub struct Table<E: Entry> {
    cells: Vec<Cell>,
    /// `cells.len() == 1 << bits` once anything was inserted.
    bits: u32,
    /// How many segments have depth `bits`: when none is left the directory halves.
    deepest: usize,
    segments: usize,
    len: usize,
    hasher: KeyHasher,
    entries: PhantomData<E>,
}

// SAFETY: the table owns its segments and entries; it may move to another thread (to be freed there) if its entries may.
unsafe impl<E: Entry + Send> Send for Table<E> {}

impl<E: Entry> fmt::Debug for Table<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("len", &self.len).field("segments", &self.segments).finish_non_exhaustive()
    }
}

impl<E: Entry> Table<E> {
    /// An empty table; allocates nothing until the first insert.
    pub fn new(hasher: KeyHasher) -> Self {
        Table { cells: Vec::new(), bits: 0, deepest: 0, segments: 0, len: 0, hasher, entries: PhantomData }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The hasher that places keys.
    pub fn hasher(&self) -> KeyHasher {
        self.hasher
    }

    /// Entry slots the table has room for.
    pub fn slots(&self) -> usize {
        self.segments * (HOMES * HOME_SLOTS + STASHES * STASH_SLOTS)
    }

    /// Number of home buckets.
    pub fn buckets(&self) -> usize {
        self.segments * HOMES
    }

    /// Bytes of segments and directory, entries not counted.
    pub fn bytes(&self) -> usize {
        self.segments * size_of::<Segment>() + heap::vec(&self.cells)
    }

    fn index(&self, hash: u64) -> usize {
        // Two shifts, because a shift by 64 (an empty directory prefix) is not one.
        ((hash >> 1) >> (63 - self.bits)) as usize
    }

    #[inline]
    fn locate(&self, hash: u64) -> Option<(NonNull<Segment>, usize)> {
        let cell = *self.cells.get(self.index(hash))?;
        Some((cell.segment(), home_of(address_of(hash), cell.depth())))
    }

    #[inline(always)]
    fn find(&self, hash: u64, key: &[u8]) -> Option<(NonNull<Segment>, Place)> {
        let (segment, home) = self.locate(hash)?;
        // SAFETY: directory cells name live segments, and `self` is borrowed.
        let place = unsafe { segment.as_ref() }.find(home, tag_of(hash), |ptr| {
            // SAFETY: an occupied slot holds an entry that this table owns.
            unsafe { Lent::<E>::new(ptr) }.key() == key
        })?;
        Some((segment, place))
    }

    /// The entry of a key. `hash` must be the hasher's for this key.
    #[inline]
    pub fn lookup(&self, hash: u64, key: &[u8]) -> Option<Lent<'_, E>> {
        let (segment, place) = self.find(hash, key)?;
        // SAFETY: found just now, and the entry stays while `self` is borrowed.
        Some(unsafe { Lent::new(segment.as_ref().pointer(place)) })
    }

    /// The slot of a key, to change, replace or remove its entry without a second lookup.
    #[inline]
    pub fn occupied(&mut self, hash: u64, key: &[u8]) -> Option<Occupied<'_, E>> {
        let (segment, place) = self.find(hash, key)?;
        // SAFETY: found just now; the table is exclusively borrowed for as long as the handle lives.
        let entry = unsafe { ManuallyDrop::new(E::from_ptr(segment.as_ref().pointer(place))) };
        Some(Occupied { table: self, segment, place, hash, entry })
    }

    fn find_hashed(&self, hash: u64) -> Option<(NonNull<Segment>, Place)> {
        let (segment, home) = self.locate(hash)?;
        // SAFETY: directory cells name live segments, and `self` is borrowed.
        let place = unsafe { segment.as_ref() }.find(home, tag_of(hash), |ptr| self.hash_of(ptr) == hash)?;
        Some((segment, place))
    }

    /// An entry of this hash: the only one, but for one in some 2^64 cases. O(1).
    pub fn lookup_hashed(&self, hash: u64) -> Option<Lent<'_, E>> {
        let (segment, place) = self.find_hashed(hash)?;
        // SAFETY: found just now, and the entry stays while `self` is borrowed.
        Some(unsafe { Lent::new(segment.as_ref().pointer(place)) })
    }

    /// The slot of an entry of this hash, the same that [`Table::lookup_hashed`] finds. O(1).
    pub fn occupied_hashed(&mut self, hash: u64) -> Option<Occupied<'_, E>> {
        let (segment, place) = self.find_hashed(hash)?;
        // SAFETY: found just now; the table is exclusively borrowed for as long as the handle lives.
        let entry = unsafe { ManuallyDrop::new(E::from_ptr(segment.as_ref().pointer(place))) };
        Some(Occupied { table: self, segment, place, hash, entry })
    }

    /// Adds an entry whose key is not in the table. Splits a segment if it is full.
    pub fn insert(&mut self, hash: u64, entry: E) {
        debug_assert!(self.find(hash, entry.key()).is_none(), "the key is already there");
        if self.cells.is_empty() {
            self.cells.push(Cell::new(Segment::allocate(0), 0));
            (self.bits, self.deepest, self.segments) = (0, 1, 1);
        }
        let ptr = entry.into_ptr();
        while !self.try_place(hash, ptr) {
            self.split(self.index(hash));
        }
        self.len += 1;
    }

    fn try_place(&mut self, hash: u64, ptr: NonNull<u8>) -> bool {
        let (mut segment, home) = self.locate(hash).expect("the directory is not empty");
        // SAFETY: directory cells name live segments, and `self` is exclusively borrowed.
        unsafe { segment.as_mut() }.insert(home, tag_of(hash), ptr).is_some()
    }

    fn hash_of(&self, ptr: NonNull<u8>) -> u64 {
        // SAFETY: `ptr` is an entry this table owns.
        self.hasher.hash(unsafe { Lent::<E>::new(ptr) }.key())
    }

    /// Splits the segment named by a directory cell into two of the next depth.
    fn split(&mut self, mut index: usize) {
        let cell = self.cells[index];
        let depth = cell.depth();
        assert!(depth < DEPTH_MAX, "more keys share a hash prefix than a sound hash allows");
        if depth == self.bits {
            self.cells = self.cells.iter().flat_map(|&cell| [cell, cell]).collect();
            self.bits += 1;
            self.deepest = 0;
            index *= 2;
        }
        let old = cell.segment();
        let (start, count) = self.range_of(old, index);
        let children = [Segment::allocate(depth + 1), Segment::allocate(depth + 1)];
        // SAFETY: the old segment is live until freed below.
        let pointers: Vec<NonNull<u8>> = unsafe { old.as_ref() }.pointers().collect();
        for (i, &ptr) in pointers.iter().enumerate() {
            if let Some(next) = pointers.get(i + 8) {
                prefetch(next.as_ptr());
            }
            let hash = self.hash_of(ptr);
            let address = address_of(hash);
            let mut child = children[(address >> (ADDRESS_BITS - 1 - depth) & 1) as usize];
            // SAFETY: the children are ours alone until they enter the directory.
            let placed = unsafe { child.as_mut() }.insert(home_of(address, depth + 1), tag_of(hash), ptr);
            assert!(placed.is_some(), "half a segment's range holds more than a segment");
        }
        let half = count / 2;
        for i in 0..count {
            self.cells[start + i] = Cell::new(children[i / half], depth + 1);
        }
        // SAFETY: all its entries live in the children now, and no cell names it any more.
        unsafe { Segment::free(old) };
        self.segments += 1;
        if depth + 1 == self.bits {
            self.deepest += 2;
        }
    }

    /// The directory cells that name the segment found at `index`: first and count.
    fn range_of(&self, segment: NonNull<Segment>, index: usize) -> (usize, usize) {
        debug_assert_eq!(self.cells[index].segment(), segment);
        let count = 1usize << (self.bits - self.cells[index].depth());
        (index & !(count - 1), count)
    }

    /// Merges the segment at `index` with its buddy if both are nearly empty and the entries fit one, and halves the directory when it can.
    fn try_merge(&mut self, index: usize) {
        let cell = self.cells[index];
        let depth = cell.depth();
        if depth == 0 {
            return;
        }
        let (start, count) = self.range_of(cell.segment(), index);
        let buddy_start = start ^ count;
        let buddy = self.cells[buddy_start];
        if buddy.depth() != depth {
            return;
        }
        let mut pair = [cell.segment(), buddy.segment()];
        if buddy_start < start {
            pair.reverse();
        }
        // SAFETY: both are live segments of this table.
        let entries: usize = pair.iter().map(|s| unsafe { s.as_ref() }.header.entries as usize).sum();
        if entries >= MERGE_BELOW {
            return;
        }
        let Some(parent) = self.merged(pair, depth - 1) else { return };
        // SAFETY: their entries live in the parent now, and the cells are overwritten below.
        pair.into_iter().for_each(|segment| unsafe { Segment::free(segment) });
        for i in start.min(buddy_start)..start.min(buddy_start) + 2 * count {
            self.cells[i] = Cell::new(parent, depth - 1);
        }
        self.segments -= 1;
        if depth == self.bits {
            self.deepest -= 2;
            if self.deepest == 0 {
                self.halve();
            }
        }
    }

    /// A segment of this depth with the entries of two, the lower of which comes first. `None` if they lie too close together, as
    /// what is left does when entries are removed in the order of their addresses; a later removal tries again. No entry is
    /// looked at, as each would have to be loaded.
    fn merged(&self, halves: [NonNull<Segment>; 2], depth: u32) -> Option<NonNull<Segment>> {
        let mut parent = Segment::allocate(depth);
        for (half, segment) in halves.into_iter().enumerate() {
            // SAFETY: both are live segments of this table.
            let segment = unsafe { segment.as_ref() };
            for (home, place) in (0..HOMES).flat_map(|home| segment.all_of(home).map(move |place| (home, place))) {
                // An address whose fraction of a half is `f` has the fraction `(half + f) / 2` of the whole, and the greatest
                // integer in half of a number is that in half of the greatest integer in it.
                let (home, tag) = ((half * HOMES + home) / 2, segment.tag(place));
                // SAFETY: the parent is ours alone until it enters the directory.
                if unsafe { parent.as_mut() }.insert(home, tag, segment.pointer(place)).is_none() {
                    // SAFETY: nobody else knows it; a segment does not own what it points to.
                    unsafe { Segment::free(parent) };
                    return None;
                }
            }
        }
        Some(parent)
    }

    fn halve(&mut self) {
        while self.bits > 0 && self.deepest == 0 {
            self.cells = self.cells.iter().step_by(2).copied().collect();
            self.bits -= 1;
            let (bits, mut previous) = (self.bits, None);
            for cell in &self.cells {
                let segment = cell.segment();
                if cell.depth() == bits && previous != Some(segment) {
                    self.deepest += 1;
                }
                previous = Some(segment);
            }
        }
    }

    /// Starts loading the bucket that a key of this hash lives in.
    #[inline]
    pub fn prefetch_bucket(&self, hash: u64) {
        if let Some((segment, home)) = self.locate(hash) {
            // SAFETY: only the address of a live segment's field is taken.
            prefetch(unsafe { &raw const (*segment.as_ptr()).homes[home] });
        }
    }

    /// Starts loading the entry that a key of this hash probably has; reads its bucket.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        if let Some((segment, home)) = self.locate(hash) {
            // SAFETY: directory cells name live segments, and `self` is borrowed.
            unsafe { segment.as_ref() }.find(home, tag_of(hash), |ptr| {
                prefetch(ptr.as_ptr());
                // An entry lies across two lines more often than not.
                prefetch(ptr.as_ptr().wrapping_add(64));
                true
            });
        }
    }

    /// Panics if any invariant of the module header does not hold. O(table).
    #[cfg(test)]
    fn check_invariants(&self) {
        if self.cells.is_empty() {
            assert_eq!((self.len, self.segments), (0, 0));
            return;
        }
        assert_eq!(self.cells.len(), 1 << self.bits);
        let (mut index, mut len, mut segments, mut deepest) = (0, 0, 0, 0);
        while index < self.cells.len() {
            let cell = self.cells[index];
            let (start, count) = self.range_of(cell.segment(), index);
            assert_eq!(start, index);
            // SAFETY: a live segment of the borrowed table.
            let segment = unsafe { cell.segment().as_ref() };
            assert_eq!(segment.header.depth, cell.depth());
            for i in 0..count {
                assert_eq!(self.cells[start + i].segment(), cell.segment());
            }
            let mut entries = 0;
            for home in 0..HOMES {
                let mut pairs = 0u8;
                for place in segment.all_of(home) {
                    let hash = self.hash_of(segment.pointer(place));
                    assert_eq!(self.index(hash) & !(count - 1), start);
                    assert_eq!(home_of(address_of(hash), cell.depth()), home);
                    entries += 1;
                    if place.bucket as usize >= HOMES {
                        pairs |= 1 << ((place.bucket as usize - HOMES) / 2);
                    }
                }
                assert_eq!(pairs, segment.homes[home].spill());
            }
            assert_eq!(entries, segment.pointers().count());
            assert_eq!(entries, segment.header.entries as usize);
            len += entries;
            segments += 1;
            deepest += usize::from(cell.depth() == self.bits);
            index += count;
        }
        assert_eq!((len, segments, deepest), (self.len, self.segments, self.deepest));
    }
}

impl<E: Entry> Drop for Table<E> {
    fn drop(&mut self) {
        let mut index = 0;
        while index < self.cells.len() {
            let segment = self.cells[index].segment();
            let (start, count) = self.range_of(segment, index);
            // SAFETY: every entry is dropped once, then its segment is freed; no cell is read again.
            unsafe {
                bg::note_freed(segment.as_ref().header.entries as usize);
                segment.as_ref().pointers().for_each(|ptr| drop(E::from_ptr(ptr)));
                Segment::free(segment);
            }
            index = start + count;
        }
    }
}

/// An entry's slot, exclusively borrowed.
pub struct Occupied<'t, E: Entry> {
    table: &'t mut Table<E>,
    segment: NonNull<Segment>,
    place: Place,
    hash: u64,
    entry: ManuallyDrop<E>,
}

impl<'t, E: Entry> Occupied<'t, E> {
    /// Replaces the entry through a function that may reallocate it, keeping its key.
    pub fn map(&mut self, change: impl FnOnce(E) -> E) {
        // SAFETY: the slot gives its entry up and takes the changed one back; `change` aborts the process if it panics
        // half-way (see below), so the slot is never left dangling.
        unsafe {
            let guard = AbortOnUnwind;
            let entry = change(ManuallyDrop::take(&mut self.entry));
            std::mem::forget(guard);
            let ptr = entry.into_ptr();
            self.segment.as_mut().set_pointer(self.place, ptr);
            self.entry = ManuallyDrop::new(E::from_ptr(ptr));
        }
    }

    /// Takes the entry out of the table. May merge two segments.
    pub fn remove(self) -> E {
        let Occupied { table, mut segment, place, hash, entry: _ } = self;
        // SAFETY: the place is occupied (this handle found it) and the table is exclusively borrowed.
        let (ptr, entries) = unsafe {
            let segment = segment.as_mut();
            (segment.remove(place), segment.header.entries as usize)
        };
        table.len -= 1;
        if entries < MERGE_BELOW / 2 {
            table.try_merge(table.index(hash));
        }
        // SAFETY: the slot has given the entry up.
        unsafe { E::from_ptr(ptr) }
    }

    /// The entry for as long as the table is borrowed.
    pub fn into_lent(self) -> Lent<'t, E> {
        Lent { entry: self.entry, table: PhantomData }
    }
}

impl<E: Entry> Deref for Occupied<'_, E> {
    type Target = E;
    fn deref(&self) -> &E {
        &self.entry
    }
}

impl<E: Entry> DerefMut for Occupied<'_, E> {
    fn deref_mut(&mut self) -> &mut E {
        &mut self.entry
    }
}

/// Turns a panic between giving an entry up and taking its successor into an abort, which is the lesser harm.
struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        std::process::abort();
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
