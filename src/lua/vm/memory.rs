//! The memory of an interpreter between runs: what the next one may have, and garbage that is collected while nothing runs.
#![allow(unsafe_code)]

use super::super::ffi;
use super::{Phase, Vm};

/// The part of a script's memory that must be left when all garbage has been collected, or the script is refused more: with less,
/// it would do little else but collect garbage.
const MARGIN_PART: usize = 32;

/// Garbage that may lie about for longer, in bytes.
pub(super) const GARBAGE_BYTES: usize = 512 << 10;
/// How much is collected at one time, in the collector's units: a byte that is marked is one, an object that is swept ten.
const TIDIED: isize = 16_000;

impl Vm {
    /// Collects some garbage, if there is much: some tens of microseconds, or as long as a look at the largest table that is in use
    /// takes. True if there is more to do. To be called now and then while no script runs.
    pub fn tidy(&mut self) -> bool {
        if self.phase != Phase::Idle || !self.has_garbage() {
            return false;
        }
        // SAFETY: nothing is called in a collection, and none raises an error.
        let is_whole = self.outside(|frame| unsafe { ffi::aleadb_tidy(frame.state(), TIDIED) }) != 0;
        self.collections += usize::from(is_whole);
        // What was in use when the first one began is collected by the second.
        if self.collections == 2 {
            self.note_used_bytes();
        }
        self.has_garbage()
    }

    /// Whether the interpreter has far more than is in use, as far as that is known.
    fn has_garbage(&self) -> bool {
        self.is_kept_less || self.memory_bytes() > 2 * self.kept_bytes.max(self.used_bytes) + GARBAGE_BYTES
    }

    /// Takes note of what is in use: all garbage has been collected.
    pub(super) fn note_used_bytes(&mut self) {
        self.used_bytes = self.memory_bytes();
        self.collections = 0;
        if std::mem::take(&mut self.is_kept_less) {
            self.kept_bytes = self.kept_bytes.min(self.used_bytes);
        }
    }

    /// Says how many bytes the next script may have, beside what the interpreter keeps. What earlier scripts have left behind is
    /// collected when the script needs its place.
    pub(super) fn limit_memory(&mut self, script_bytes: usize) {
        let limit_bytes = self.kept_bytes.saturating_add(script_bytes);
        self.context().set_limit(limit_bytes, limit_bytes.saturating_add(script_bytes / 2));
        // SAFETY: sets numbers.
        unsafe { ffi::aleadb_set_memory(self.state.as_ptr(), limit_bytes, script_bytes / MARGIN_PART) };
    }

    /// Collects the garbage that a library's code may have left: all of it, if it is much beside what is kept. O(memory), which is
    /// no more than the code has taken to make it.
    pub(super) fn collect_after_loading(&mut self) {
        if self.memory_bytes() > self.kept_bytes + self.kept_bytes / 4 + GARBAGE_BYTES {
            // SAFETY: nothing is called in a collection, and none raises an error.
            self.outside(|frame| unsafe { ffi::lua_gc(frame.state(), ffi::GC_COLLECT, 0) });
            self.note_used_bytes();
        }
    }
}
