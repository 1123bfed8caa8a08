//! How large a block the allocator really gives: what lets a block's capacity be computed instead of stored.
//!
//! Used by the store's leaves that own blocks. Knows nothing of what lies in them.

/// The size of the block that holds `bytes`: jemalloc's size classes, which are multiples of 16 up to 128 and four per
/// doubling above, so that a request is never rounded further and equal classes can be overwritten in place.
#[inline]
pub fn size_class(bytes: usize) -> usize {
    if bytes <= 128 {
        return bytes.next_multiple_of(16);
    }
    let step = bytes.next_power_of_two() / 8;
    bytes.next_multiple_of(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_are_the_allocators() {
        let classes =
            [(1, 16), (16, 16), (17, 32), (55, 64), (63, 64), (65, 80), (128, 128), (129, 160), (160, 160), (257, 320)];
        for (bytes, class) in classes.into_iter().chain([(512, 512), (513, 640), (1025, 1280), (4097, 5120)]) {
            assert_eq!(size_class(bytes), class, "{bytes}");
        }
    }
}
