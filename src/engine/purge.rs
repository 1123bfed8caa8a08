//! Returns memory that the allocator holds without use to the system: decides when; the helper thread does the work.
//!
//! # What it costs a turn
//! A look every [`LOOK_MS`] that asks the allocator for three numbers, and a task for the helper thread's queue. The loop
//! itself returns no page: the allocator's own decay is off, as [`crate::sys::alloc::MALLOC_CONF`] says, and the helper holds
//! the arena's locks for one extent at a time.
//!
//! # What it bounds
//! Unused memory of ordinary allocations above [`unused_bytes_max`] stays for [`KEEP_MS`]: whoever frees much soon fills it
//! again, and pages that were returned have to be faulted in. That of huge allocations above [`unused_huge_bytes_max`] goes
//! at the next look: a single one may be as much as all else.

use std::sync::Arc;

use crate::sys::alloc::{Arena, Pages};
use crate::sys::bg::Background;

/// Milliseconds between two looks.
pub const LOOK_MS: u64 = 100;
/// Milliseconds for which ordinary unused memory is kept: the part of it that was not needed in all that time goes.
const KEEP_MS: u64 = 5000;

/// Unused memory of ordinary allocations that is not worth returning while so much is in use.
fn unused_bytes_max(active: usize) -> usize {
    (32 << 20).max(active / 8)
}

/// The same of huge allocations.
fn unused_huge_bytes_max(active: usize) -> usize {
    (8 << 20).max(active / 32)
}

/// Remembers what earlier looks have found.
#[derive(Debug, Default)]
pub struct Purging {
    /// Monotonic milliseconds of the first look since which there has always been much unused memory in the main arena.
    much_since_ms: Option<u64>,
    /// A second owner is a purge that the helper thread has not finished.
    running: Arc<()>,
}

impl Purging {
    /// Looks at what is unused, and has the helper thread return it if it is time.
    pub fn look(&mut self, background: &mut Background, now_ms: u64) {
        if Arc::strong_count(&self.running) == 1
            && let Some(arena) = self.due(Pages::read(), now_ms)
        {
            // Should the queue be full, the next look finds the same.
            background.purge(arena, Some(Arc::clone(&self.running)));
        }
    }

    /// The arena whose unused pages are to be returned, going by these numbers.
    fn due(&mut self, pages: Pages, now_ms: u64) -> Option<Arena> {
        if pages.unused_huge > unused_huge_bytes_max(pages.active) {
            return Some(Arena::Huge);
        }
        if pages.unused_main <= unused_bytes_max(pages.active) {
            self.much_since_ms = None;
            return None;
        }
        let since_ms = *self.much_since_ms.get_or_insert(now_ms);
        if now_ms < since_ms + KEEP_MS {
            return None;
        }
        self.much_since_ms = None;
        Some(Arena::Main)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn pages(active: usize, unused_main: usize, unused_huge: usize) -> Pages {
        Pages { active: active * MIB, unused_main: unused_main * MIB, unused_huge: unused_huge * MIB }
    }

    #[test]
    fn unused_memory_goes_once_nobody_has_needed_it_for_a_while() {
        let mut purging = Purging::default();
        for ms in (1000..1000 + KEEP_MS).step_by(LOOK_MS as usize) {
            assert_eq!(purging.due(pages(200, 100, 0), ms), None);
        }
        assert_eq!(purging.due(pages(200, 100, 0), 1000 + KEEP_MS), Some(Arena::Main));
        assert_eq!(purging.due(pages(200, 100, 0), 1100 + KEEP_MS), None, "it starts anew");
    }

    #[test]
    fn memory_that_is_filled_again_stays() {
        let mut purging = Purging::default();
        for ms in (0..10 * KEEP_MS).step_by(LOOK_MS as usize) {
            let loaded = ms % 2000 >= 1000;
            let numbers = if loaded { pages(200, 20, 0) } else { pages(1, 219, 0) };
            assert_eq!(purging.due(numbers, ms), None, "{ms}");
        }
    }

    #[test]
    fn unused_memory_of_huge_allocations_goes_at_once() {
        let mut purging = Purging::default();
        assert_eq!(purging.due(pages(538, 0, 16), 0), None, "below a part of what is in use");
        assert_eq!(purging.due(pages(538, 0, 17), 0), Some(Arena::Huge));
        assert_eq!(purging.due(pages(1, 0, 8), 0), None, "below the least");
        assert_eq!(purging.due(pages(1, 100, 9), 0), Some(Arena::Huge));
    }
}
