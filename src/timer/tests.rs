//! The wheel against a naive model, through the owner protocol of its header; and facts by hand.

use std::collections::{BTreeSet, HashMap};

use super::occupied::Occupied;
use super::wheel::{Progress, SweepVerdict, Verdict, Wheel};

/// SplitMix64: enough randomness for op sequences, replayed by seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: i64) -> i64 {
        (self.next() % bound as u64) as i64
    }
}

#[derive(Clone, Copy)]
struct Timer {
    deadline: i64,
    exact: bool,
}

/// What the wheel's owner keeps, as its header prescribes.
#[derive(Default)]
struct Owner {
    slots: usize,
    timers: HashMap<u32, Timer>,
    /// `(key, deadline, tick)` in the order fired.
    fired: Vec<(u32, i64, i64)>,
}

impl Owner {
    fn set(&mut self, wheel: &mut Wheel, key: u32, deadline: i64) {
        let kept = self.timers.get(&key).is_some_and(|timer| timer.deadline <= deadline);
        let exact = if !kept {
            wheel.insert(key, deadline)
        } else {
            self.timers[&key].deadline == deadline && self.timers[&key].exact
        };
        self.timers.insert(key, Timer { deadline, exact });
    }

    fn is_stale(&self, timer: Timer, tick: i64) -> bool {
        timer.exact && !Wheel::same_slot(self.slots, timer.deadline, tick)
    }

    fn visit(&mut self, key: u32, tick: i64) -> Verdict {
        let Some(&timer) = self.timers.get(&key) else {
            return Verdict::Drop;
        };
        if timer.deadline <= tick {
            self.timers.remove(&key);
            self.fired.push((key, timer.deadline, tick));
            return Verdict::Drop;
        }
        if self.is_stale(timer, tick) {
            return Verdict::Drop;
        }
        self.timers.insert(key, Timer { exact: true, ..timer });
        Verdict::Again(timer.deadline)
    }

    /// The first node met of a timer without one in its place is put there, as a database does.
    fn sweep(&mut self, key: u32, tick: i64, last: i64) -> SweepVerdict {
        match self.timers.get(&key).copied() {
            Some(timer) if !timer.exact && timer.deadline > last => {
                self.timers.insert(key, Timer { exact: true, ..timer });
                SweepVerdict::Again(timer.deadline)
            }
            Some(timer) if !self.is_stale(timer, tick) => SweepVerdict::Keep,
            _ => SweepVerdict::Drop,
        }
    }
}

/// The wheel, its owner, and the model both are held against.
struct World {
    random: Random,
    wheel: Wheel,
    owner: Owner,
    model: BTreeSet<(i64, u32)>,
    now: i64,
    /// The latest time seen by the wheel since the last rewind: before it, nothing may be expected.
    high: i64,
    /// Until this tick, timers may be fired in the order of a skipped catch-up.
    skipped_to: i64,
}

impl World {
    fn new(seed: u64, slots: usize, now: i64) -> World {
        World {
            random: Random(seed),
            wheel: Wheel::new(slots, now),
            owner: Owner { slots, ..Owner::default() },
            model: BTreeSet::new(),
            now,
            high: now,
            skipped_to: i64::MIN,
        }
    }

    fn forget(&mut self, key: u32) {
        if let Some(timer) = self.owner.timers.remove(&key) {
            assert!(self.model.remove(&(timer.deadline, key)));
        }
    }

    fn set(&mut self, key: u32, deadline: i64) {
        if let Some(timer) = self.owner.timers.get(&key) {
            assert!(self.model.remove(&(timer.deadline, key)));
        }
        self.model.insert((deadline, key));
        self.owner.set(&mut self.wheel, key, deadline);
    }

    fn advance(&mut self, budget: usize) -> Progress {
        let last = self.wheel.last_tick();
        if self.now.saturating_sub(last) > self.owner.slots as i64 {
            self.skipped_to = self.skipped_to.max(self.now);
        }
        self.high = self.high.max(self.now);
        let expected = self.wheel.next_tick();
        let (mut left, mut visits, mut previous) = (budget, 0_usize, i64::MIN);
        self.owner.fired.clear();
        let progress = self.wheel.advance(self.now, &mut left, |key, tick| {
            assert!(previous <= tick && tick <= self.now, "tick {tick} after {previous} at {}", self.now);
            previous = tick;
            visits += 1;
            self.owner.visit(key, tick)
        });
        assert!(budget - left >= visits);
        assert!(progress.done || left == 0);
        assert!(!progress.done || progress.lag_ms == 0);
        if !self.owner.fired.is_empty() {
            assert!(expected.is_some_and(|tick| tick <= self.now), "next_tick was late");
        }
        for &(key, deadline, tick) in &self.owner.fired {
            assert!(deadline <= tick, "key {key} fired early: {deadline} at tick {tick}");
            let in_order = deadline == tick || tick == last || tick <= self.skipped_to;
            assert!(in_order, "key {key} of {deadline} fired out of order at {tick}");
            assert!(self.model.remove(&(deadline, key)), "key {key} fired twice");
        }
        if progress.done && self.now >= self.high {
            let first = self.model.first().copied();
            assert!(first.is_none_or(|(deadline, _)| deadline > self.now), "{first:?} not fired at {}", self.now);
            assert!(self.wheel.next_tick().is_none_or(|tick| tick > self.now));
        }
        progress
    }

    /// Nobody who sleeps until `next_tick` misses a deadline; one before ticks that are over counts as theirs.
    fn check_next_tick(&self) {
        let Some(&(deadline, key)) = self.model.first() else { return };
        let latest = deadline.max(self.wheel.last_tick()).max(self.high);
        let next = self.wheel.next_tick();
        assert!(next.is_some_and(|tick| tick <= latest), "key {key} of {deadline} at {}: {next:?}", self.now);
    }

    fn rewind(&mut self, by: i64) {
        self.now -= by;
        self.wheel.rewind(self.now);
        self.high = self.now;
    }

    fn sweep(&mut self, mut budget: usize) -> bool {
        let (owner, last) = (&mut self.owner, self.wheel.last_tick());
        self.wheel.sweep(&mut budget, |key, tick| owner.sweep(key, tick, last))
    }

    fn step(&mut self, keys: i64) {
        let slots = self.owner.slots as i64;
        let key = self.random.below(keys) as u32;
        let budget = self.random.below(6) as usize;
        match self.random.below(100) {
            0..35 => {
                let deadline = self.now - 8 + self.random.below(slots / 2);
                self.set(key, deadline);
            }
            35..45 => {
                let deadline = self.now + self.random.below(slots * 4);
                self.set(key, deadline);
            }
            45..55 => self.forget(key),
            55..80 => {
                self.now += self.random.below(6);
                self.advance(budget);
            }
            80..88 => {
                self.advance(usize::MAX);
            }
            88..90 => {
                self.now += self.random.below(slots * 3);
                self.advance(budget);
            }
            90..93 => {
                let back = self.random.below(slots * 2);
                self.rewind(back);
            }
            93..94 => {
                // A clock that goes back and comes again without the wheel being told.
                let back = self.random.below(20);
                self.now -= back;
                self.advance(budget);
                self.now += back;
            }
            94..99 => {
                self.sweep(budget * 3);
            }
            _ => {
                if self.random.below(10) == 0 {
                    self.wheel.clear();
                    self.owner.timers.clear();
                    self.model.clear();
                }
            }
        }
    }

    /// Whatever happened before: two revolutions and a sweep leave one node for each timer, and in the end none.
    fn settle(&mut self) {
        for _ in 0..4 {
            self.now += self.owner.slots as i64 / 2;
            self.advance(usize::MAX);
        }
        while !self.sweep(usize::MAX) {}
        self.wheel.check_invariants();
        assert_eq!(self.wheel.len(), self.model.len(), "garbage is left");
        self.now = self.now.max(self.model.last().map_or(0, |&(deadline, _)| deadline));
        self.advance(usize::MAX);
        assert!(self.wheel.is_empty() && self.model.is_empty() && self.owner.timers.is_empty());
        assert_eq!(self.wheel.next_tick(), None);
    }
}

#[test]
fn agrees_with_naive_timers_over_random_histories() {
    for seed in 0..240 {
        let slots = [1, 8, 64, 256, 8192][seed as usize % 5].max(if seed % 2 == 0 { 8 } else { 2 });
        let start = [1_700_000_000_000, 0, -5_000][seed as usize % 3];
        let mut world = World::new(seed, slots, start);
        let keys = [4, 40, 400][seed as usize / 5 % 3];
        // The check walks all slots: large wheels are checked now and then.
        let check_every = (slots / 256).max(1);
        for step in 0..1_500 {
            world.step(keys);
            world.check_next_tick();
            if step % check_every == 0 {
                world.wheel.check_invariants();
            }
        }
        world.settle();
    }
}

/// What a loop does that sleeps until `next_tick` and not a tick less, but when something is set meanwhile.
#[test]
fn a_loop_that_sleeps_until_the_next_tick_fires_every_timer_at_its_deadline() {
    for seed in 0..120 {
        let slots = [2, 64, 128, 512, 8192][seed as usize % 5];
        let mut world = World::new(seed, slots as usize, [1_700_000_000_000, -5_000][seed as usize % 2]);
        let start = world.now;
        let mut wakes = 0;
        for _ in 0..2_000 {
            // A change, and the turn of the loop that makes it: mostly with the wheel looked after, as in `Db::expire`.
            let key = world.random.below(40) as u32;
            match world.random.below(10) {
                0..3 => {
                    let deadline = world.now + 1 + world.random.below(slots);
                    world.set(key, deadline);
                }
                3..6 => {
                    let deadline = world.now + 1 + world.random.below(slots * 5);
                    world.set(key, deadline);
                }
                6 => world.forget(key),
                7 => _ = world.sweep(5),
                8 => _ = world.advance(usize::MAX),
                _ => {
                    // The clock goes back; what was far may be near again, and the other way round.
                    let back = world.random.below(slots / 2);
                    world.rewind(back);
                }
            }
            let until = world.now + world.random.below(slots / 4 + 2);
            while let Some(tick) = world.wheel.next_tick().filter(|&tick| tick <= until) {
                world.now = world.now.max(tick);
                wakes += 1;
                assert!(world.advance(usize::MAX).done);
                for &(key, deadline, _) in &world.owner.fired {
                    assert_eq!(deadline, world.now, "seed {seed}: key {key}");
                }
            }
            world.now = until;
            let first = world.model.first();
            assert!(first.is_none_or(|&(deadline, _)| deadline > world.now), "seed {seed}: slept past {first:?}");
        }
        assert!(wakes > 100 && world.now > start, "seed {seed}: {wakes} wakes");
        world.settle();
    }
}

#[test]
fn far_timers_wake_nobody_up_but_once_in_128_ticks() {
    let slots = 4_096;
    let mut world = World::new(1, slots as usize, 0);
    // One in every slot, all due in the eleventh revolution.
    for key in 0..slots {
        world.set(key as u32, slots * 10 + 1 + key);
    }
    let (mut wakes, mut visits) = (0, 0);
    while let Some(tick) = world.wheel.next_tick().filter(|&tick| tick < slots * 9) {
        world.now = tick;
        world.wheel.advance(tick, &mut { usize::MAX }, |key, tick| {
            visits += 1;
            world.owner.visit(key, tick)
        });
        wakes += 1;
    }
    assert_eq!((wakes, visits), (slots * 9 / 128, slots * 9 - 1), "a stretch ends at a multiple of 128, less one");
    assert!(world.owner.fired.is_empty());
    // Then each slot has its own wake, for its last visit has marked it.
    for now in slots * 9..=slots * 11 {
        world.now = now;
        world.advance(usize::MAX);
        assert_eq!(world.wheel.next_tick().is_none(), now == slots * 11);
        assert_eq!(world.owner.fired.len(), usize::from(now > slots * 10));
    }
}

/// Advances with a large budget and drops everything; returns the payloads and ticks visited.
fn visited(wheel: &mut Wheel, now: i64) -> Vec<(u32, i64)> {
    let mut visits = Vec::new();
    let progress = wheel.advance(now, &mut { usize::MAX }, |payload, tick| {
        visits.push((payload, tick));
        Verdict::Drop
    });
    assert_eq!(progress, Progress { lag_ms: 0, done: true });
    wheel.check_invariants();
    visits
}

#[test]
fn visits_at_the_deadline_and_not_a_tick_before() {
    let mut wheel = Wheel::new(64, 1_000);
    assert!(wheel.insert(1, 1_010));
    assert_eq!(wheel.next_tick(), Some(1_010));
    assert_eq!(visited(&mut wheel, 1_009), []);
    assert_eq!(visited(&mut wheel, 1_010), [(1, 1_010)]);
}

#[test]
fn past_deadline_is_visited_in_the_next_advance_even_at_the_same_time() {
    let mut wheel = Wheel::new(64, 1_000);
    assert!(!wheel.insert(1, 1_000));
    assert!(!wheel.insert(2, i64::MIN));
    assert_eq!(wheel.next_tick(), Some(1_000));
    assert_eq!(visited(&mut wheel, 1_000), [(2, 1_000), (1, 1_000)]);
}

#[test]
fn extreme_deadlines_and_times_do_not_overflow() {
    for start in [i64::MIN, -1, 0, i64::MAX] {
        let mut wheel = Wheel::new(64, start);
        for deadline in [i64::MIN, -1, 0, 1, i64::MAX] {
            wheel.insert(7, deadline);
        }
        wheel.next_tick();
        wheel.advance(i64::MIN, &mut 3, |_, _| Verdict::Again(i64::MAX));
        wheel.advance(0, &mut 3, |_, _| Verdict::Again(i64::MIN));
        wheel.sweep(&mut 3, |_, _| SweepVerdict::Again(i64::MAX));
        wheel.advance(i64::MAX, &mut 3, |_, _| Verdict::Again(i64::MAX));
        wheel.rewind(i64::MIN);
        wheel.check_invariants();
        wheel.advance(i64::MAX, &mut { usize::MAX }, |_, _| Verdict::Drop);
        wheel.next_tick();
        wheel.check_invariants();
    }
}

#[test]
fn far_timer_is_seen_once_a_revolution_and_reused_in_place() {
    let mut wheel = Wheel::new(64, 0);
    wheel.insert(1, 64 * 3 + 5);
    let bytes = wheel.bytes();
    let mut ticks = Vec::new();
    for now in 0..=64 * 3 + 5 {
        wheel.advance(now, &mut { usize::MAX }, |_, tick| {
            ticks.push(tick);
            if tick == 64 * 3 + 5 { Verdict::Drop } else { Verdict::Again(64 * 3 + 5) }
        });
    }
    assert_eq!(ticks, [5, 69, 133, 197]);
    assert_eq!((wheel.len(), wheel.bytes()), (0, bytes));
}

#[test]
fn forward_jump_visits_each_slot_once_in_order_of_its_latest_tick() {
    let mut wheel = Wheel::new(16, 0);
    for tick in 1..=16 {
        wheel.insert(tick as u32, tick);
    }
    let ticks: Vec<i64> = visited(&mut wheel, 1_000).iter().map(|&(_, tick)| tick).collect();
    assert_eq!(ticks, (985..=1_000).collect::<Vec<_>>());
}

#[test]
fn budget_stops_inside_a_slot_and_the_next_call_goes_on_there() {
    let mut wheel = Wheel::new(64, 0);
    for payload in 0..10 {
        wheel.insert(payload, 20);
    }
    let mut seen = BTreeSet::new();
    let mut budget = 4;
    let progress = wheel.advance(50, &mut budget, |payload, tick| {
        assert_eq!(tick, 20);
        assert!(seen.insert(payload));
        // The same slot, a revolution later: not to be met again in this pass.
        Verdict::Again(84)
    });
    assert_eq!((budget, progress), (0, Progress { lag_ms: 30, done: false }));
    assert!(!wheel.insert(99, 20), "the slot in progress is over for new nodes");
    assert_eq!(wheel.next_tick(), Some(20));
    let visits = visited(&mut wheel, 50);
    assert_eq!(visits[0], (99, 20));
    assert!(visits[1..].iter().all(|&(payload, tick)| tick == 20 && seen.insert(payload)));
    assert_eq!(seen.len(), 10);
    assert_eq!((wheel.len(), wheel.next_tick()), (4, Some(84)));
}

#[test]
fn again_of_a_past_deadline_waits_for_the_next_tick() {
    let mut wheel = Wheel::new(64, 0);
    wheel.insert(1, 10);
    let mut visits = 0;
    let progress = wheel.advance(10, &mut { usize::MAX }, |_, _| {
        visits += 1;
        Verdict::Again(3)
    });
    assert!(progress.done && visits == 1);
    assert_eq!(wheel.next_tick(), Some(11));
}

#[test]
fn backward_clock_waits_without_rewind_and_is_followed_with_it() {
    let mut wheel = Wheel::new(256, 1_000);
    wheel.insert(1, 1_005);
    wheel.insert(2, 990);
    assert_eq!(visited(&mut wheel, 900), []);
    wheel.rewind(900);
    wheel.insert(3, 910);
    // Once late and now early: asked about at once, and due when its deadline comes again.
    let mut asked = Vec::new();
    wheel.advance(900, &mut { usize::MAX }, |payload, tick| {
        asked.push((payload, tick));
        Verdict::Again(990)
    });
    assert_eq!(asked, [(2, 900)]);
    assert_eq!(visited(&mut wheel, 910), [(3, 910)]);
    assert_eq!(visited(&mut wheel, 989), []);
    assert_eq!(visited(&mut wheel, 990), [(2, 990)]);
    assert_eq!(visited(&mut wheel, 2_000), [(1, 1_773)]);
}

#[test]
fn rewind_during_a_slot_puts_its_rest_back() {
    let mut wheel = Wheel::new(64, 0);
    for payload in 0..10 {
        wheel.insert(payload, 50);
    }
    wheel.advance(50, &mut 3, |_, _| Verdict::Drop);
    wheel.rewind(40);
    assert_eq!(visited(&mut wheel, 49), []);
    assert_eq!(visited(&mut wheel, 50).len(), 7);
}

#[test]
fn rewind_during_a_long_catch_up_leaves_no_timer_a_revolution_late() {
    let mut world = World::new(0, 64, 0);
    for key in 0..40 {
        world.set(key, 10 + i64::from(key));
    }
    world.now = 1_000;
    assert!(!world.advance(3).done);
    // The clock had jumped and is put right: 20 of the timers are due, whichever slots were skipped.
    world.rewind(1_000 - 29);
    assert!(world.advance(usize::MAX).done);
    world.now = 60;
    world.advance(usize::MAX);
    assert!(world.model.is_empty() && world.wheel.is_empty());
}

#[test]
fn sweep_frees_repeated_payloads_and_garbage_and_keeps_the_rest() {
    let mut wheel = Wheel::new(1 << 10, 0);
    for _ in 0..100 {
        wheel.insert(1, 500);
    }
    wheel.insert(2, 500);
    wheel.insert(3, 500);
    wheel.insert(3, 700);
    wheel.insert(4, 800);
    let mut passes = 0;
    let mut asked = Vec::new();
    while passes < 1 {
        let ended = wheel.sweep(&mut 7, |payload, tick| {
            asked.push((payload, tick));
            match payload {
                2 => SweepVerdict::Drop,
                4 => SweepVerdict::Again(900),
                _ => SweepVerdict::Keep,
            }
        });
        passes += usize::from(ended);
        wheel.check_invariants();
    }
    assert!(wheel.len() < 25, "each step of 7 keeps one node of payload 1 at most: {}", wheel.len());
    while !wheel.sweep(&mut 1_000, |_, _| SweepVerdict::Keep) {}
    assert_eq!(wheel.len(), 4);
    assert_eq!(asked.iter().filter(|&&visit| visit == (2, 500)).count(), 1);
    let mut visits = visited(&mut wheel, 1_000);
    visits.sort_unstable();
    assert_eq!(visits, [(1, 500), (3, 500), (3, 700), (4, 900)]);
}

#[test]
fn sweep_marks_a_far_slot_whose_node_turns_out_to_be_near() {
    let mut wheel = Wheel::new(512, 0);
    // Left from a deadline a revolution later; of two nodes its owner now keeps this one.
    assert!(wheel.insert(7, 300 + 512));
    assert_eq!(wheel.next_tick(), Some(383));
    assert!(wheel.sweep(&mut { usize::MAX }, |_, _| SweepVerdict::Again(300)));
    assert_eq!(wheel.next_tick(), Some(300));
}

#[test]
fn sweep_survives_its_slot_being_visited_meanwhile() {
    let mut wheel = Wheel::new(64, 0);
    for payload in 0..20 {
        wheel.insert(payload, 10);
        wheel.insert(100 + payload, 40);
    }
    assert!(!wheel.sweep(&mut 5, |_, _| SweepVerdict::Keep));
    assert_eq!(visited(&mut wheel, 10).len(), 20);
    wheel.insert(7, 74);
    let mut swept = 0;
    while !wheel.sweep(&mut 3, |_, tick| {
        assert!(tick == 74 || tick == 40);
        swept += 1;
        SweepVerdict::Drop
    }) {}
    assert_eq!(swept, 21);
    assert!(wheel.is_empty());
}

#[test]
fn clear_gives_memory_back_and_keeps_time() {
    let mut wheel = Wheel::new(64, 0);
    let empty = wheel.bytes();
    for payload in 0..200_000 {
        wheel.insert(payload, i64::from(payload));
    }
    assert_eq!(wheel.len(), 200_000);
    let chunks = 200_000_usize.div_ceil(65_536);
    assert!(wheel.bytes() - empty >= chunks * 65_536 * 8 && wheel.bytes() - empty < chunks * 65_536 * 8 + 256);
    wheel.advance(100, &mut 5, |_, _| Verdict::Drop);
    wheel.clear();
    wheel.check_invariants();
    assert_eq!((wheel.len(), wheel.bytes(), wheel.next_tick()), (0, empty, None));
    wheel.insert(1, 150);
    assert_eq!(visited(&mut wheel, 150), [(1, 150)]);
    wheel.clear();
    assert_eq!(wheel.bytes(), empty);
}

#[test]
fn occupied_finds_what_a_set_finds() {
    for slots in [1, 2, 64, 128, 4_096, 1 << 14, 1 << 20] {
        let mut random = Random(slots as u64);
        let mut occupied = Occupied::new(slots);
        let mut model = BTreeSet::new();
        for _ in 0..5_000 {
            let slot = random.below(slots as i64) as usize;
            if random.below(3) == 0 || model.len() > 12 {
                let gone = model.range(slot..).next().or_else(|| model.first()).copied();
                if let Some(gone) = gone {
                    occupied.clear(gone);
                    model.remove(&gone);
                }
            } else {
                model.insert(slot);
                occupied.set(slot);
            }
            let from = random.below(slots as i64 + 2) as usize;
            assert_eq!(occupied.at_or_after(from), model.range(from..).next().copied());
            assert_eq!(occupied.contains(slot), model.contains(&slot));
        }
    }
}
