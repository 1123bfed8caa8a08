//! How much one listpack of a list may hold, and which of them are compressed: what the directives `list-max-listpack-size` and
//! `list-compress-depth` say.

/// Sizes that the negative values stand for, from -1 on.
const SIZES: [usize; 5] = [4096, 8192, 16_384, 32_768, 65_536];

/// A pack whose limit is a number of elements is still not to be larger than this.
const COUNTED_BYTES_MAX: usize = 8192;

/// The largest number of elements that a list keeps to once it has several nodes. COMPAT: Redis holds it in 16 bits.
const NODE_COUNT_MAX: i32 = (1 << 15) - 1;

/// What an entry of a pack takes beyond its text, as Redis estimates it before it adds one.
const ENTRY_OVERHEAD_BYTES: usize = 8;

/// Values of the two directives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// A number of elements, or, if it is negative, one of five sizes in bytes.
    size: i32,
    /// Nodes at either end that are never compressed; 0 for all of them.
    depth: u16,
}

impl Default for Fill {
    fn default() -> Fill {
        Fill::new(-2)
    }
}

impl Fill {
    /// From the value of `list-max-listpack-size`; nothing is compressed.
    pub fn new(size: i32) -> Fill {
        Fill { size, depth: 0 }
    }

    /// The same with a value of `list-compress-depth`.
    pub fn with_depth(self, depth: u16) -> Fill {
        Fill { depth, ..self }
    }

    /// Nodes at either end that are never compressed, unless there is no compression at all.
    #[inline]
    pub(super) fn depth(self) -> Option<usize> {
        (self.depth > 0).then_some(usize::from(self.depth))
    }

    /// What a list of several nodes makes of it.
    pub(super) fn of_nodes(self) -> Fill {
        Fill { size: self.size.clamp(-(SIZES.len() as i32), NODE_COUNT_MAX), ..self }
    }

    /// The limits in bytes and in elements; one of them is no limit.
    fn limits(self) -> (usize, usize) {
        match usize::try_from(self.size) {
            Ok(count) => (usize::MAX, count.max(1)),
            Err(_) => (SIZES[(self.size.unsigned_abs() as usize - 1).min(SIZES.len() - 1)], usize::MAX),
        }
    }

    /// The largest pack, in bytes.
    fn bytes_max(self) -> usize {
        if self.size >= 0 { COUNTED_BYTES_MAX } else { self.limits().0 }
    }

    /// True if a pack of so many bytes and elements is too large.
    #[inline]
    pub(super) fn is_exceeded(self, bytes: usize, count: usize) -> bool {
        bytes > self.bytes_max() || count > self.limits().1
    }

    /// True if a pack of so many bytes and elements may not take an element of `added` bytes.
    pub(super) fn is_exceeded_by(self, added: usize, bytes: usize, count: usize) -> bool {
        self.is_exceeded(bytes + added + ENTRY_OVERHEAD_BYTES, count + 1)
    }

    /// True if the only node of a list is small enough for the list to be a pack again: half the limit, so that a list
    /// whose length goes up and down around the limit does not change its form each time.
    pub(super) fn allows_return(self, bytes: usize, count: usize) -> bool {
        let (bytes_max, count_max) = self.limits();
        bytes <= bytes_max / 2 && count <= count_max / 2
    }

    /// The same for a list that did not shrink but was just put together: the whole limit.
    pub(super) fn allows_pack(self, bytes: usize, count: usize) -> bool {
        let (bytes_max, count_max) = self.limits();
        bytes <= bytes_max && count <= count_max
    }

    /// True if an element of so many bytes gets a node of its own.
    #[inline]
    pub(super) fn is_large(self, bytes: usize) -> bool {
        bytes > self.bytes_max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_counts_are_as_redis_documents_them() {
        for (value, bytes_max) in [(-1, 4096), (-2, 8192), (-3, 16_384), (-4, 32_768), (-5, 65_536), (i32::MIN, 65_536)]
        {
            let fill = Fill::new(value);
            assert!(!fill.is_exceeded(bytes_max, 1 << 30) && fill.is_exceeded(bytes_max + 1, 1), "{value}");
            assert!(!fill.is_large(bytes_max) && fill.is_large(bytes_max + 1), "{value}");
            assert!(fill.allows_return(bytes_max / 2, 1) && !fill.allows_return(bytes_max / 2 + 1, 1), "{value}");
        }
        for (value, count_max) in [(0, 1), (1, 1), (5, 5), (i32::MAX, i32::MAX as usize)] {
            let fill = Fill::new(value);
            assert!(!fill.is_exceeded(8192, count_max) && fill.is_exceeded(8192, count_max + 1), "{value}");
            assert!(fill.is_exceeded(8193, 1) && !fill.is_large(8192) && fill.is_large(8193), "{value}");
            assert!(!fill.allows_return(1, count_max / 2 + 1) && fill.allows_return(1 << 20, count_max / 2), "{value}");
        }
        assert_eq!((Fill::new(40_000).of_nodes(), Fill::new(-9).of_nodes()), (Fill::new(32_767), Fill::new(-5)));
    }
}
