//! The timing wheel at the size it is for: 10M key timers on 2^20 slots of 1 ms.
//!
//! `cargo bench --bench wheel` prints nanoseconds an operation; with `--test` (or without `--bench`) it runs a tiny
//! size that only checks the answers.

use std::hint::black_box;
use std::time::Instant;

use aleadb::timer::{KEY_SLOTS, SweepVerdict, Verdict, Wheel};

const START_MS: i64 = 1_700_000_000_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let smoke = arguments.iter().any(|argument| argument == "--test")
        || !arguments.iter().any(|argument| argument == "--bench");
    let timers = if smoke { 20_000 } else { 10_000_000 };
    spread_over_a_revolution(timers);
    one_instant(timers);
    far(timers);
    empty_time();
}

/// Times `work`, which returns how many operations it did.
fn measure(name: &str, work: impl FnOnce() -> usize) {
    let start = Instant::now();
    let count = work();
    let nanoseconds = start.elapsed().as_nanos() as f64;
    println!("{name:<48} {:>10.1} ns each, {count} times", nanoseconds / count as f64);
}

/// A fixed scatter of `index` over `0..range`.
fn scatter(index: usize, range: usize) -> i64 {
    ((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16) as i64 % range as i64
}

fn spread_over_a_revolution(timers: usize) {
    let mut wheel = Wheel::new(KEY_SLOTS, START_MS);
    measure("insert, random deadline within a revolution", || {
        for index in 0..timers {
            wheel.insert(index as u32, START_MS + 1 + scatter(index, KEY_SLOTS));
        }
        timers
    });
    println!("{:<48} {:>10.2} bytes each, slots included", "memory", wheel.bytes() as f64 / timers as f64);
    measure("next_tick, occupied wheel", || {
        for _ in 0..100_000 {
            black_box(black_box(&wheel).next_tick());
        }
        100_000
    });
    measure("sweep, all kept", || {
        let mut kept = 0;
        while !wheel.sweep(&mut 1_000, |_, _| {
            kept += 1;
            SweepVerdict::Keep
        }) {}
        assert_eq!(kept, timers);
        kept
    });
    measure("visit and drop, turn by turn of 1 ms", || {
        let mut fired = 0;
        for turn in 1..=KEY_SLOTS as i64 {
            let now = START_MS + turn;
            wheel.advance(now, &mut 1_000_000, |payload, tick| {
                assert!(tick == now && tick == START_MS + 1 + scatter(payload as usize, KEY_SLOTS));
                fired += 1;
                Verdict::Drop
            });
        }
        assert!(fired == timers && wheel.is_empty());
        fired
    });
    measure("insert again, from the free list", || {
        let start = wheel.last_tick() + 1;
        for index in 0..timers {
            wheel.insert(index as u32, start + scatter(index, KEY_SLOTS));
        }
        timers
    });
    measure("clear, per timer", || {
        wheel.clear();
        timers
    });
}

fn one_instant(timers: usize) {
    let mut wheel = Wheel::new(KEY_SLOTS, START_MS);
    for index in 0..timers {
        wheel.insert(index as u32, START_MS + 5_000);
    }
    measure("visit and drop, one instant, budget 1000", || {
        let mut fired = 0;
        while !wheel
            .advance(START_MS + 5_001, &mut 1_000, |_, _| {
                fired += 1;
                Verdict::Drop
            })
            .done
        {}
        assert_eq!(fired, timers);
        fired
    });
}

fn far(timers: usize) {
    let mut wheel = Wheel::new(KEY_SLOTS, START_MS);
    let deadline = |payload: usize| START_MS + 86_400_000 + scatter(payload, KEY_SLOTS);
    for index in 0..timers {
        wheel.insert(index as u32, deadline(index));
    }
    measure("revisit of a far timer, a revolution", || {
        let mut visits = 0;
        for turn in 1..=KEY_SLOTS as i64 {
            wheel.advance(START_MS + turn, &mut 1_000_000, |payload, _| {
                visits += 1;
                Verdict::Again(deadline(payload as usize))
            });
        }
        assert!(visits == timers && wheel.len() == timers);
        visits
    });
}

fn empty_time() {
    let mut wheel = Wheel::new(KEY_SLOTS, START_MS);
    wheel.insert(1, START_MS + KEY_SLOTS as i64);
    measure("next_tick, one timer a revolution away", || {
        for _ in 0..10_000 {
            assert_eq!(black_box(&wheel).next_tick(), Some(START_MS + KEY_SLOTS as i64));
        }
        10_000
    });
    measure("advance by 1 ms, nothing due", || {
        for turn in 1..10_000 {
            assert!(wheel.advance(START_MS + turn, &mut 10, |_, _| Verdict::Drop).done);
        }
        10_000
    });
}
