//! What a wall clock that jumps does to keys with a deadline.

use crate::memory::Memory;

#[test]
fn a_jump_forward_expires_what_is_due_once_and_is_no_lag() {
    let mut m = Memory::new();
    m.expect(&[("SET a v EX 100", r"+OK\r\n"), ("SET b v EX 10000", r"+OK\r\n"), ("SET c v", r"+OK\r\n")]);
    m.advance_ms(1);
    m.clock.step_wall_ms(3_600_000);
    m.advance_ms(1);
    m.expect(&[("DBSIZE", r":2\r\n"), ("EXISTS a", r":0\r\n"), ("TTL b", r":6400\r\n")]);
    let stats = m.server.dbs[0].stats();
    let lags = m.server.stats.lags.summary(0);
    assert_eq!((stats.expired, lags.keys, lags.max_ms, m.server.stats.clock_jumps), (1, 1, 0, 1));
    // Keys set after it are on time, and late ones count as late.
    m.run("SET d v PX 50");
    m.advance_ms(54);
    let lags = m.server.stats.lags.summary(0);
    assert_eq!((m.server.dbs[0].len(), lags.keys, lags.max_ms), (2, 2, 4));
}

#[test]
fn a_jump_over_many_revolutions_of_the_wheel_leaves_nothing_behind() {
    let mut m = Memory::new();
    for i in 0..1_000i64 {
        m.run(&format!("SET k{i} v PX {}", 1 + i * 7_919_000));
    }
    m.advance_ms(1);
    m.clock.step_wall_ms(7_919_000 * 500);
    m.advance_ms(1);
    assert_eq!((m.server.dbs[0].len(), m.server.dbs[0].stats().expired), (499, 501));
}

#[test]
fn a_jump_backward_neither_brings_keys_back_nor_freezes_them() {
    let mut m = Memory::new();
    m.expect(&[("SET gone v PX 100", r"+OK\r\n"), ("SET later v EX 10", r"+OK\r\n")]);
    m.advance_ms(200);
    m.clock.step_wall_ms(-3_600_000);
    m.advance_ms(1);
    m.expect(&[("EXISTS gone", r":0\r\n"), ("EXISTS later", r":1\r\n"), ("TTL later", r":3610\r\n")]);
    assert_eq!(m.server.stats.clock_jumps, 1);
    // What is set now leaves in time, though the wheel has been past that tick before.
    m.run("SET new v PX 50");
    m.advance_ms(51);
    m.expect(&[("DBSIZE", r":1\r\n")]);
    // And the old key leaves when the clock has come to its deadline, no sooner and no later.
    m.advance_ms(3_609_747);
    m.expect(&[("EXISTS later", r":1\r\n")]);
    m.advance_ms(1);
    m.expect(&[("DBSIZE", r":0\r\n")]);
    let lags = m.server.stats.lags.summary(3_610);
    assert_eq!((lags.max_ms, m.server.dbs[0].stats().expired), (0, 3));
}

#[test]
fn small_corrections_of_the_clock_are_no_jumps() {
    let mut m = Memory::new();
    for correction_ms in [900, -900, 1000, -1000] {
        m.advance_ms(5);
        m.clock.step_wall_ms(correction_ms);
        m.advance_ms(5);
    }
    assert_eq!(m.server.stats.clock_jumps, 0);
    m.clock.step_wall_ms(-1001);
    m.advance_ms(5);
    assert_eq!(m.server.stats.clock_jumps, 1);
}
