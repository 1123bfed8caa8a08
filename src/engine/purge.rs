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

use std::io;

use crate::server::background::{Background, Completion};
use crate::sys::alloc::{Arena, Pages};
use crate::sys::bg::JobId;

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
    /// The purge that was asked for and has not been completed.
    running: Option<JobId>,
}

impl Purging {
    /// Looks at what is unused, and has the helper thread return it if it is time.
    pub fn look(&mut self, background: &mut Background, now_ms: u64) {
        if self.running.is_none() {
            self.purge_if_due(background, Pages::read(), now_ms);
        }
    }

    fn purge_if_due(&mut self, background: &mut Background, pages: Pages, now_ms: u64) {
        if let Some(arena) = self.due(pages, now_ms) {
            // Should the queue be full, the next look finds the same.
            self.running = background.submit(move || Completion::Purged(arena.purge()));
        }
    }

    /// Takes note that a purge has been completed: one of those asked for here, or of those that clients ask for.
    pub fn completed(&mut self, job: JobId, outcome: io::Result<()>) {
        if let Err(error) = outcome {
            log::warn!("The allocator cannot return unused memory: {error}");
        }
        if self.running == Some(job) {
            self.running = None;
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
    fn a_purge_that_has_not_been_completed_is_not_asked_for_again() {
        let (mut purging, mut background) = (Purging::default(), Background::inline());
        // The completion of a client's own purge is none of those asked for here.
        let others = background.submit(|| Completion::Purged(Ok(()))).expect("there is room");
        purging.purge_if_due(&mut background, pages(1, 0, 9), 0);
        let running = purging.running.expect("it was due");
        purging.completed(others, Ok(()));
        purging.look(&mut background, LOOK_MS);
        assert_eq!(purging.running, Some(running));
        let jobs = std::iter::from_fn(|| background.next_completion());
        for (job, completion) in jobs {
            let Completion::Purged(outcome) = completion else { unreachable!("nothing else was asked for") };
            purging.completed(job, outcome);
        }
        assert_eq!(purging.running, None);
        purging.purge_if_due(&mut background, pages(1, 0, 9), 2 * LOOK_MS);
        assert!(purging.running.is_some_and(|job| job > running));
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
