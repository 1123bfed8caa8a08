//! Fieldsets: the names of fields that a connection has said once, for many hashes to be made of values alone (HIMPORT).
//!
//! # Invariants
//! - A fieldset names one field at least, and none twice.
//! - A connection's fieldsets are sorted by their names, and stay within [`FIELDSETS_MAX`] and [`BYTES_MAX`].
//!
//! Used by HIMPORT's handlers; the session of a client owns them. Knows nothing of hashes.

use std::fmt;
use std::sync::Arc;

use crate::base::heap::{self, arc, size_class};

/// Fieldsets that a connection may hold.
pub const FIELDSETS_MAX: usize = 1024;
/// Fields that a fieldset may name: to look for one that is named twice takes some tenths of a millisecond.
pub const FIELDS_MAX: usize = 4096;
/// Bytes on the heap that all fieldsets of a connection may take.
pub const BYTES_MAX: usize = 1 << 20;

/// The names of fields, in order.
#[derive(Debug)]
pub struct Fieldset(Box<[Box<[u8]>]>);

impl Fieldset {
    /// Number of fields.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True for none, which there is not.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names from an index on.
    pub fn names_from(&self, index: usize) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        self.0[index..].iter().map(|name| &**name)
    }

    fn heap_bytes(&self) -> usize {
        arc(size_of::<Fieldset>()) + heap_bytes_of(self.names_from(0))
    }
}

/// What names take on the heap.
fn heap_bytes_of<'n>(names: impl ExactSizeIterator<Item = &'n [u8]>) -> usize {
    let list = size_class(names.len() * size_of::<Box<[u8]>>());
    list + names.map(|name| size_class(name.len())).sum::<usize>()
}

/// Why a fieldset is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A field is named twice.
    Twice,
    /// It names more than [`FIELDS_MAX`].
    TooManyFields,
    /// The connection has [`FIELDSETS_MAX`] already.
    TooMany,
    /// With it they would take more than [`BYTES_MAX`].
    TooLarge,
}

/// The fieldsets of one connection.
#[derive(Default)]
pub struct Fieldsets {
    sorted: Vec<(Box<[u8]>, Arc<Fieldset>)>,
    /// What the names and fieldsets take, without the list.
    bytes: usize,
}

impl fmt::Debug for Fieldsets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fieldsets").field("count", &self.sorted.len()).field("bytes", &self.bytes).finish()
    }
}

impl Fieldsets {
    /// Adds a fieldset, in place of the one of the same name. O(N log N) for N fields.
    ///
    /// # Errors
    /// The limits, or a field that is named twice: nothing has changed.
    pub fn prepare<'n>(
        &mut self,
        name: &[u8],
        fields: impl ExactSizeIterator<Item = &'n [u8]> + Clone,
    ) -> Result<(), Refusal> {
        if fields.len() > FIELDS_MAX {
            return Err(Refusal::TooManyFields);
        }
        let found = self.find(name);
        if found.is_err() && self.sorted.len() == FIELDSETS_MAX {
            return Err(Refusal::TooMany);
        }
        let replaced = found.map_or(0, |index| bytes_of(&self.sorted[index]));
        let added = size_class(name.len()) + arc(size_of::<Fieldset>()) + heap_bytes_of(fields.clone());
        if self.bytes - replaced + added > BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
        let mut in_order: Vec<&[u8]> = fields.clone().collect();
        in_order.sort_unstable();
        if in_order.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Refusal::Twice);
        }
        let fieldset = Arc::new(Fieldset(fields.map(Box::from).collect()));
        match found {
            Ok(index) => self.sorted[index].1 = fieldset,
            Err(index) => self.sorted.insert(index, (name.into(), fieldset)),
        }
        self.bytes = self.bytes - replaced + added;
        Ok(())
    }

    /// A fieldset by its name. O(log N) for N fieldsets.
    pub fn get(&self, name: &[u8]) -> Option<&Arc<Fieldset>> {
        self.find(name).ok().map(|index| &self.sorted[index].1)
    }

    /// Forgets a fieldset; true if there was one. O(N) for N fieldsets.
    pub fn discard(&mut self, name: &[u8]) -> bool {
        let Ok(index) = self.find(name) else { return false };
        let gone = self.sorted.remove(index);
        self.bytes -= bytes_of(&gone);
        true
    }

    /// Number of fieldsets.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// Bytes on the heap. O(1).
    pub fn heap_bytes(&self) -> usize {
        heap::vec(&self.sorted) + self.bytes
    }

    fn find(&self, name: &[u8]) -> Result<usize, usize> {
        self.sorted.binary_search_by(|(of, _)| (**of).cmp(name))
    }
}

fn bytes_of((name, fieldset): &(Box<[u8]>, Arc<Fieldset>)) -> usize {
    size_class(name.len()) + fieldset.heap_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|n| format!("field:{n}").into_bytes()).collect()
    }

    fn prepare(all: &mut Fieldsets, name: &str, fields: &[Vec<u8>]) -> Result<(), Refusal> {
        all.prepare(name.as_bytes(), fields.iter().map(Vec::as_slice))
    }

    fn check(all: &Fieldsets) {
        assert_eq!(all.bytes, all.sorted.iter().map(bytes_of).sum::<usize>());
        assert!(all.sorted.is_sorted_by(|one, other| one.0 < other.0));
    }

    #[test]
    fn a_fieldset_is_replaced_found_and_forgotten() {
        let mut all = Fieldsets::default();
        for name in ["m", "a", "z", "b"] {
            assert_eq!(prepare(&mut all, name, &names(3)), Ok(()));
            check(&all);
        }
        assert_eq!(prepare(&mut all, "a", &names(2)), Ok(()));
        check(&all);
        let of_a: Vec<_> = all.get(b"a").expect("it is there").names_from(1).collect();
        assert_eq!((all.len(), of_a), (4, vec![b"field:1".as_slice()]));
        assert!(all.discard(b"a") && !all.discard(b"a") && all.get(b"a").is_none());
        check(&all);
        assert_eq!(all.len(), 3);
    }

    #[test]
    fn what_is_refused_changes_nothing() {
        let mut all = Fieldsets::default();
        assert_eq!(prepare(&mut all, "a", &names(2)), Ok(()));
        let bytes = all.heap_bytes();
        assert_eq!(prepare(&mut all, "a", &[names(3), names(1)].concat()), Err(Refusal::Twice));
        assert_eq!(prepare(&mut all, "a", &names(FIELDS_MAX + 1)), Err(Refusal::TooManyFields));
        assert_eq!(prepare(&mut all, "a", &[vec![b'x'; BYTES_MAX]]), Err(Refusal::TooLarge));
        assert_eq!((all.heap_bytes(), all.get(b"a").map(|of| of.len())), (bytes, Some(2)));
        assert_eq!(prepare(&mut all, "b", &names(FIELDS_MAX)), Ok(()));
        check(&all);
    }

    #[test]
    fn a_connection_holds_so_many_and_may_replace_one_of_them() {
        let mut all = Fieldsets::default();
        for n in 0..FIELDSETS_MAX {
            assert_eq!(prepare(&mut all, &n.to_string(), &names(1)), Ok(()));
        }
        assert_eq!(prepare(&mut all, "more", &names(1)), Err(Refusal::TooMany));
        assert_eq!(prepare(&mut all, "7", &names(9)), Ok(()));
        check(&all);
        assert!(all.heap_bytes() < BYTES_MAX);
    }
}
