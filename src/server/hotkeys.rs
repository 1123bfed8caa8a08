//! HOTKEYS: a session in which the keys are counted that take the most time and the most bytes.
//!
//! One session at a time. Commands that name keys are counted, what they take in equal parts for each of their keys. Nothing
//! is counted, and nothing costs anything, while no session is active.

use std::time::Duration;

use super::Server;
use super::observer::{Seen, request_bytes};
use crate::base::clock::Now;
use crate::command::spec::Access;
use crate::feature::top_keys::TopKeys;
use crate::sys::limits;

/// What a session is asked to count.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Time.
    pub cpu: bool,
    /// Bytes of requests and replies.
    pub net: bool,
    /// Keys that are shown.
    pub count: usize,
    /// Milliseconds after which it ends by itself; none for never.
    pub duration_ms: Option<u64>,
    /// One in so many commands has its keys counted.
    pub sample_ratio: u64,
}

/// A session, active or over.
#[derive(Debug)]
pub struct HotKeys {
    /// What it was asked for.
    pub wanted: Wanted,
    /// Unix milliseconds at which it began.
    pub started_unix_ms: i64,
    started_ms: u64,
    /// Monotonic milliseconds at which it ended, if it has.
    ended_ms: Option<u64>,
    /// The process's time when it began, and when it ended.
    cpu_before: limits::CpuTime,
    cpu_after: Option<limits::CpuTime>,
    /// Nanoseconds of all commands that named keys.
    pub spent_ns: u64,
    /// Bytes of their requests and replies.
    pub bytes: u64,
    /// Nanoseconds by key.
    pub by_ns: TopKeys,
    /// Bytes by key.
    pub by_bytes: TopKeys,
}

impl HotKeys {
    /// A session that begins.
    pub fn start(wanted: Wanted, now: Now) -> HotKeys {
        HotKeys {
            wanted,
            started_unix_ms: now.unix_ms,
            started_ms: now.mono_ms(),
            ended_ms: None,
            cpu_before: limits::cpu_usage().process,
            cpu_after: None,
            spent_ns: 0,
            bytes: 0,
            by_ns: TopKeys::default(),
            by_bytes: TopKeys::default(),
        }
    }

    /// True until it is stopped or its time is over.
    pub fn is_active(&self, now: Now) -> bool {
        self.ended_ms.is_none() && self.due_ms().is_none_or(|due_ms| now.mono_ms() < due_ms)
    }

    /// True once it was stopped, or was found to be over.
    pub(super) fn has_ended(&self) -> bool {
        self.ended_ms.is_some()
    }

    fn due_ms(&self) -> Option<u64> {
        self.wanted.duration_ms.map(|ms| self.started_ms.saturating_add(ms))
    }

    /// How long it has counted, in milliseconds.
    pub fn duration_ms(&self, now: Now) -> u64 {
        let ended_ms = self.ended_ms.or(self.due_ms().filter(|due_ms| *due_ms <= now.mono_ms()));
        ended_ms.unwrap_or(now.mono_ms()).saturating_sub(self.started_ms)
    }

    /// What the process has taken of the processor meanwhile: user and system time.
    pub fn cpu(&self) -> (Duration, Duration) {
        let until = self.cpu_after.unwrap_or_else(|| limits::cpu_usage().process);
        (until.user.saturating_sub(self.cpu_before.user), until.system.saturating_sub(self.cpu_before.system))
    }

    /// Ends it.
    pub fn stop(&mut self, now: Now) {
        self.ended_ms = Some(self.started_ms + self.duration_ms(now));
        self.cpu_after = Some(limits::cpu_usage().process);
    }
}

impl Server {
    /// The session that is active, if one is. One whose time is over ends here.
    pub fn active_hotkeys(&mut self, now: Now) -> Option<&mut HotKeys> {
        let hotkeys = self.hotkeys.as_mut()?;
        if hotkeys.ended_ms.is_none() && !hotkeys.is_active(now) {
            hotkeys.stop(now);
            self.renew_observation();
        }
        self.hotkeys.as_deref_mut().filter(|hotkeys| hotkeys.ended_ms.is_none())
    }

    /// Counts a command that has run, if a session is active and the command names keys.
    pub(super) fn count_hot_keys(&mut self, seen: Seen<'_>, took_ns: u64) {
        let now = self.clock.now();
        if self.hotkeys.is_none() || !seen.command.spec.has_keys() {
            return;
        }
        let bytes = (request_bytes(seen.args) + seen.reply_bytes) as u64;
        let draw = self.prng.next_u64();
        let Some(hotkeys) = self.active_hotkeys(now) else { return };
        hotkeys.spent_ns = hotkeys.spent_ns.saturating_add(took_ns);
        hotkeys.bytes = hotkeys.bytes.saturating_add(bytes);
        if !draw.is_multiple_of(hotkeys.wanted.sample_ratio) {
            return;
        }
        let keys = seen.command.spec.keys_of(seen.args);
        let keys: Vec<usize> =
            keys.iter().filter(|key| !key.access.has(Access::NOT_KEY)).map(|key| key.index).collect();
        let count = keys.len().max(1) as u64;
        for index in keys {
            let key = seen.args.at(index);
            if hotkeys.wanted.cpu {
                hotkeys.by_ns.add(key, took_ns / count);
            }
            if hotkeys.wanted.net {
                hotkeys.by_bytes.add(key, bytes / count);
            }
        }
    }
}
