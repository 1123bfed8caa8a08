//! What the turns of the loop spend their time on: for each phase a histogram of how long it took in the turns that had it, shown by
//! INFO loop.
//!
//! Looks at the clock, and the histograms, would cost a turn of one quick command more than a tenth of its work. So what every turn
//! does is measured in every `DETAILED_EVERY`th of them, and what few turns do (jobs, expiry, clearing up, snapshots, metrics, the log)
//! always.
//! The turn calls [`Phases::lap`] where a phase that is measured ends, and [`Phases::pass`] where one ends at a time that is known.

use crate::feature::durations::{Digits, Durations};

/// Turns from one that is measured in detail to the next.
const DETAILED_EVERY: u64 = 32;

/// A part of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for events.
    Wait,
    /// Reading from connections.
    Read,
    /// Parsing commands.
    Parse,
    /// Running commands, with what follows from them.
    Execute,
    /// Running long commands slice by slice.
    Jobs,
    /// Removing keys that are due.
    Expire,
    /// Clearing up after clients that have gone.
    Free,
    /// Waking clients, evaluating queries that were put off, housekeeping.
    Timers,
    /// A slice of a snapshot, or of loading.
    Snapshot,
    /// Answering those who ask for metrics.
    Metrics,
    /// Appending to the log.
    Log,
    /// Sending replies.
    Write,
}

impl Phase {
    /// All of them with their names, in the order in which a turn has them.
    pub const ALL: [(Phase, &'static str); 12] = [
        (Phase::Wait, "wait"),
        (Phase::Read, "read"),
        (Phase::Parse, "parse"),
        (Phase::Execute, "execute"),
        (Phase::Jobs, "jobs"),
        (Phase::Expire, "expire"),
        (Phase::Free, "free"),
        (Phase::Timers, "timers"),
        (Phase::Snapshot, "snapshot"),
        (Phase::Metrics, "metrics"),
        (Phase::Log, "log"),
        (Phase::Write, "write"),
    ];
}

/// The histograms, and the stopwatch of the present turn.
#[derive(Debug, Default)]
pub struct Phases {
    /// When the phase that is under way began, in monotonic nanoseconds.
    began_ns: u64,
    /// Nanoseconds of each phase in this turn.
    spent_ns: [u64; Phase::ALL.len()],
    turns: u64,
    /// Every phase of this turn is measured.
    is_detailed: bool,
    /// Some phase of this turn is measured.
    has_laps: bool,
    /// Of the phases that some turn has had.
    durations: [Option<Box<Durations>>; Phase::ALL.len()],
}

impl Phases {
    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.durations.iter().flatten().map(|durations| durations.heap_bytes()).sum()
    }

    /// True in turns in which every phase is measured.
    #[inline]
    pub fn is_detailed(&self) -> bool {
        self.is_detailed
    }

    /// Turns that have ended.
    #[inline]
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// A phase has ended that is measured in some turns only, at a time that is known.
    #[inline]
    pub fn pass(&mut self, phase: Phase, now_ns: u64) {
        if self.is_detailed() {
            self.lap(phase, now_ns);
        } else {
            self.began_ns = now_ns;
        }
    }

    /// A phase has ended. Returns the nanoseconds since the last one did.
    #[cold]
    pub fn lap(&mut self, phase: Phase, now_ns: u64) -> u64 {
        let spent_ns = now_ns.saturating_sub(self.began_ns);
        self.spent_ns[phase as usize] += spent_ns;
        self.has_laps = true;
        self.began_ns = now_ns;
        spent_ns
    }

    /// A turn has ended, and waiting begins.
    #[inline]
    pub fn end_turn(&mut self, now_ns: u64) {
        self.pass(Phase::Write, now_ns);
        self.turns += 1;
        self.is_detailed = self.turns.is_multiple_of(DETAILED_EVERY);
        if std::mem::take(&mut self.has_laps) {
            self.record();
        }
    }

    #[cold]
    fn record(&mut self) {
        for (phase, _) in Phase::ALL {
            let spent_ns = std::mem::take(&mut self.spent_ns[phase as usize]);
            if spent_ns > 0 {
                let durations = &mut self.durations[phase as usize];
                durations.get_or_insert_with(|| Box::new(Durations::new(Digits::One))).record(spent_ns, 1);
            }
        }
    }

    /// The histogram of a phase, if some turn has had it.
    pub fn durations_of(&self, phase: Phase) -> Option<&Durations> {
        self.durations[phase as usize].as_deref()
    }

    /// Forgets the histograms.
    pub fn reset(&mut self) {
        self.durations = Default::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_s_laps_add_up_by_phase_and_what_all_turns_do_is_measured_in_some() {
        let (mut phases, mut now_ns) = (Phases::default(), 0);
        for _ in 0..=2 * DETAILED_EVERY {
            for (phase, ns) in [(Phase::Wait, 10), (Phase::Execute, 1000), (Phase::Execute, 1000)] {
                now_ns += ns;
                phases.pass(phase, now_ns);
            }
            now_ns += 20;
            assert_eq!(phases.lap(Phase::Expire, now_ns), 20);
            now_ns += 7;
            phases.end_turn(now_ns);
        }
        let count = |phase| phases.durations_of(phase).map(Durations::count);
        assert_eq!((count(Phase::Wait), count(Phase::Execute), count(Phase::Write)), (Some(2), Some(2), Some(2)));
        assert_eq!((count(Phase::Expire), count(Phase::Free)), (Some(2 * DETAILED_EVERY + 1), None));
        let execute = phases.durations_of(Phase::Execute).unwrap();
        assert!((2000..2200).contains(&execute.percentile_ns(50.0)));
        phases.reset();
        assert!(phases.durations_of(Phase::Wait).is_none());
    }
}
