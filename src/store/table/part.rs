//! Parts of a table: the entries of a range of addresses, which lie in one home bucket or in neighbouring ones, perhaps those alone
//! whose tags have some bits. So entries are found of whose hashes no more than some bits are known.
//!
//! Reads the table's segments and slots as its own header describes them.

use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use super::{
    ADDRESS_BITS, Entry, HOME_SLOTS, HOMES, Lent, MERGE_BELOW, Place, Segment, Table, home_of, home_start,
    match_masked, match_tags, prefetch, tag_of,
};

/// Which entries.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    first: u64,
    last: u64,
    /// The bits of tags that count, and what they have to be.
    mask: u8,
    tag: u8,
}

impl Part {
    /// The entries whose hashes have the upper `bits` bits of this one, or have the same home as such ones, and of whose tags the
    /// lower `tag_bits` are those of a tag.
    #[inline]
    pub fn new(hash: u64, bits: u32, tag: u8, tag_bits: u32) -> Part {
        debug_assert!(bits > 0 && bits <= ADDRESS_BITS && tag_bits <= u8::BITS);
        let first = hash >> (64 - bits) << (ADDRESS_BITS - bits);
        let mask = ((1_u16 << tag_bits) - 1) as u8;
        Part { first, last: first | ((1 << (ADDRESS_BITS - bits)) - 1), mask, tag: tag & mask }
    }

    /// The entries whose hashes have these upper 32 bits, or have tag and home of such ones.
    #[inline]
    pub fn of_prefix(prefix: u32) -> Part {
        let hash = u64::from(prefix) << 32;
        Part::new(hash, u32::BITS, tag_of(hash), u8::BITS)
    }

    /// The tag of a hash, of which a part may name some bits.
    #[inline]
    pub fn tag(hash: u64) -> u8 {
        tag_of(hash)
    }
}

impl Segment {
    /// The places of a home's entries that belong to a part.
    #[inline]
    fn part_of(&self, home: usize, part: Part) -> impl Iterator<Item = Place> {
        let Part { mask, tag, .. } = part;
        let line = &self.homes[home];
        let mut slots = match_masked::<HOME_SLOTS>(line, mask, tag) & !match_tags::<HOME_SLOTS>(line, 0);
        let homes = std::iter::from_fn(move || {
            let slot = (slots != 0).then(|| slots.trailing_zeros() as u8)?;
            slots &= slots - 1;
            Some(Place { bucket: home as u8, slot })
        });
        let stashed = (line.spill() != 0).then(|| self.stashed_of(home)).into_iter().flatten();
        homes.chain(stashed.filter(move |&place| self.tag(place) & mask == tag))
    }
}

impl<E: Entry> Table<E> {
    /// The home that an address leads to, and the lowest address behind it.
    #[inline]
    fn home_at(&self, address: u64) -> Option<(NonNull<Segment>, usize, u64)> {
        let cell = self.cells.get(self.index(address << (64 - ADDRESS_BITS)))?;
        let (depth, home) = (cell.depth(), home_of(address, cell.depth()));
        let span = 1u64 << (ADDRESS_BITS - depth);
        let base = address & !(span - 1);
        let next = if home + 1 == HOMES { base + span } else { home_start(base, depth, home + 1) };
        Some((cell.segment(), home, next))
    }

    /// The homes of a part.
    #[inline]
    fn homes_of(&self, part: Part) -> impl Iterator<Item = (NonNull<Segment>, usize)> {
        let mut address = part.first;
        std::iter::from_fn(move || {
            let (segment, home, next) = if address <= part.last { self.home_at(address)? } else { return None };
            address = next;
            Some((segment, home))
        })
    }

    /// Starts loading the buckets of a part. O(homes).
    #[inline]
    pub fn prefetch_part(&self, part: Part) {
        for (segment, home) in self.homes_of(part) {
            // SAFETY: only the address of a live segment's field is taken.
            prefetch(unsafe { &raw const (*segment.as_ptr()).homes[home] });
        }
    }

    /// Starts loading the entries of a part; reads its buckets. O(entries).
    #[inline]
    pub fn prefetch_part_entries(&self, part: Part) {
        for (segment, home) in self.homes_of(part) {
            // SAFETY: a live segment of the borrowed table.
            let segment = unsafe { segment.as_ref() };
            segment.part_of(home, part).for_each(|place| prefetch(segment.pointer(place).as_ptr()));
        }
    }

    /// Calls `visit` for the entries of a part. O(entries).
    pub fn visit_part(&self, part: Part, mut visit: impl FnMut(Lent<'_, E>)) {
        for (segment, home) in self.homes_of(part) {
            // SAFETY: a live segment of the borrowed table, whose occupied slots are entries it owns.
            unsafe {
                let segment = segment.as_ref();
                segment.part_of(home, part).for_each(|place| visit(Lent::new(segment.pointer(place))));
            }
        }
    }

    /// Calls `visit` for the entries of a part, for some of those that stay more than once, and takes out those for which it
    /// returns false, handing them to `removed`. May merge two segments. O(entries).
    pub fn retain_part(&mut self, part: Part, mut visit: impl FnMut(&mut E) -> bool, mut removed: impl FnMut(E)) {
        let mut address = part.first;
        while address <= part.last
            && let Some((mut segment, home, next)) = self.home_at(address)
        {
            address = next;
            loop {
                // SAFETY: a live segment of this table.
                let found = unsafe { segment.as_ref() };
                let place = found.part_of(home, part).find(|&place| {
                    // SAFETY: an occupied slot holds an entry that this table, which is borrowed for change, owns; `visit` gets the
                    // only reference to it, and `ManuallyDrop` keeps this handle from freeing it.
                    let mut entry = ManuallyDrop::new(unsafe { E::from_ptr(found.pointer(place)) });
                    !visit(&mut entry)
                });
                let Some(place) = place else { break };
                self.len -= 1;
                // SAFETY: the slot gives the entry up as its owner takes it; `found` is not used any more.
                removed(unsafe { E::from_ptr(segment.as_mut().remove(place)) });
            }
        }
        let index = self.index(part.first << (64 - ADDRESS_BITS));
        if let Some(cell) = self.cells.get(index) {
            // SAFETY: a live segment of this table.
            if (unsafe { cell.segment().as_ref() }.header.entries as usize) < MERGE_BELOW / 2 {
                self.try_merge(index);
            }
        }
    }

    /// Calls `visit` for every entry whose hash has these upper 32 bits (none, one, or in rare cases more) and takes out
    /// those for which it returns false, handing them to `removed`. O(1).
    pub fn retain_prefix(&mut self, prefix: u32, mut visit: impl FnMut(&mut E) -> bool, removed: impl FnMut(E)) {
        let hasher = self.hasher;
        let is_meant = |entry: &E| (hasher.hash(entry.key()) >> 32) as u32 == prefix;
        self.retain_part(Part::of_prefix(prefix), |entry| !is_meant(entry) || visit(entry), removed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Line, match_masked_naive};
    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn tags_are_compared_in_the_bits_that_count() {
        let mut prng = Prng::seeded(3);
        for _ in 0..2000 {
            let line = Line(std::array::from_fn(|_| prng.next_u64() as u8));
            let mask = ((1_u16 << prng.below(9)) - 1) as u8;
            let tag = line.0[prng.below(HOME_SLOTS as u64) as usize] & mask;
            let found = match_masked::<HOME_SLOTS>(&line, mask, tag);
            assert_eq!(found, match_masked_naive::<HOME_SLOTS>(&line, mask, tag));
        }
    }
}
