//! The kinds of values of the directives that limit memory: a limit in bytes or in per cent, and which keys go when it is reached.

use super::value::{self, Choice, Reason, single};
use crate::base::num;
use crate::sys::limits;

const NOT_MEMORY: &str = "argument must be a memory value";
const NOT_MEMORY_OR_PERCENT: &str = "argument must be a memory or percent value";
const OVER_ALL: &str = "percentage argument must be less or equal to 100";

/// `maxmemory`: bytes, or a share of what the machine has, or of what its cgroup may use if that is less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryLimit {
    /// Bytes; 0 for no limit. Of a share, those it was when the directive was read.
    pub bytes: u64,
    percent: Option<u8>,
}

impl MemoryLimit {
    /// A limit of so many bytes.
    pub const fn new(bytes: u64) -> MemoryLimit {
        MemoryLimit { bytes, percent: None }
    }
}

/// The number before a `%`; `None` for another text.
fn percent_of(text: &[u8]) -> Option<Result<u8, Reason>> {
    let number = num::parse_i64(text.strip_suffix(b"%")?)?;
    match number {
        0..=100 => Some(Ok(number as u8)),
        101.. => Some(Err(OVER_ALL.into())),
        _ => None,
    }
}

/// Bytes, or per cent of the memory there is.
pub(super) fn parse_memory_limit(args: &[&[u8]]) -> Result<MemoryLimit, Reason> {
    let text = single(args)?;
    let Some(percent) = percent_of(text) else {
        return num::parse_memory(text).map(MemoryLimit::new).ok_or(NOT_MEMORY.into());
    };
    let percent = percent?;
    let available = limits::available_memory() as u128;
    if percent > 0 && available == 0 {
        return Err("the system does not tell how much memory there is".into());
    }
    Ok(MemoryLimit { bytes: (available * u128::from(percent) / 100) as u64, percent: Some(percent) })
}

pub(super) fn print_memory_limit(limit: &MemoryLimit) -> Vec<u8> {
    match limit.percent {
        Some(percent) => format!("{percent}%").into_bytes(),
        None => limit.bytes.to_string().into_bytes(),
    }
}

pub(super) fn written_memory_limit(limit: &MemoryLimit) -> Vec<u8> {
    match limit.percent {
        Some(_) => print_memory_limit(limit),
        None => value::short_memory(limit.bytes).into_bytes(),
    }
}

/// `maxmemory-clients`: bytes, or a share of `maxmemory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientsLimit {
    /// Bytes; 0 for no limit.
    Bytes(u64),
    /// Per cent of `maxmemory`.
    Percent(u8),
}

impl ClientsLimit {
    /// Bytes beside this `maxmemory`; 0 for no limit.
    pub fn bytes(self, maxmemory: u64) -> u64 {
        match self {
            ClientsLimit::Bytes(bytes) => bytes,
            ClientsLimit::Percent(percent) => (u128::from(maxmemory) * u128::from(percent) / 100) as u64,
        }
    }
}

pub(super) fn parse_clients_limit(args: &[&[u8]]) -> Result<ClientsLimit, Reason> {
    let text = single(args)?;
    match percent_of(text) {
        Some(percent) => percent.map(ClientsLimit::Percent),
        None => num::parse_memory(text).map(ClientsLimit::Bytes).ok_or(NOT_MEMORY_OR_PERCENT.into()),
    }
}

pub(super) fn print_clients_limit(limit: &ClientsLimit) -> Vec<u8> {
    match limit {
        ClientsLimit::Bytes(bytes) => bytes.to_string().into_bytes(),
        ClientsLimit::Percent(percent) => format!("{percent}%").into_bytes(),
    }
}

pub(super) fn written_clients_limit(limit: &ClientsLimit) -> Vec<u8> {
    match limit {
        ClientsLimit::Bytes(bytes) => value::short_memory(*bytes).into_bytes(),
        ClientsLimit::Percent(_) => print_clients_limit(limit),
    }
}

/// `maxmemory-policy`: which keys go first when memory is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "Redis's own names")]
pub enum MemoryPolicy {
    VolatileLru,
    VolatileLfu,
    VolatileRandom,
    VolatileTtl,
    VolatileLrm,
    AllkeysLru,
    AllkeysLfu,
    AllkeysRandom,
    AllkeysLrm,
    NoEviction,
}

use MemoryPolicy::*;

impl Choice for MemoryPolicy {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("volatile-lru", VolatileLru),
        ("volatile-lfu", VolatileLfu),
        ("volatile-random", VolatileRandom),
        ("volatile-ttl", VolatileTtl),
        ("volatile-lrm", VolatileLrm),
        ("allkeys-lru", AllkeysLru),
        ("allkeys-lfu", AllkeysLfu),
        ("allkeys-random", AllkeysRandom),
        ("allkeys-lrm", AllkeysLrm),
        ("noeviction", NoEviction),
    ];
}

impl MemoryPolicy {
    /// True if only keys with a deadline go.
    pub fn is_volatile(self) -> bool {
        matches!(self, VolatileLru | VolatileLfu | VolatileRandom | VolatileTtl | VolatileLrm)
    }

    /// True if it goes by how often keys are used: then that is counted, in place of when.
    #[inline]
    pub fn is_frequency(self) -> bool {
        matches!(self, VolatileLfu | AllkeysLfu)
    }

    /// True if it goes by when keys were last written: then reads do not count.
    #[inline]
    pub fn is_modification(self) -> bool {
        matches!(self, VolatileLrm | AllkeysLrm)
    }

    /// True if it goes by when keys were last read or written.
    pub fn is_recency(self) -> bool {
        matches!(self, VolatileLru | AllkeysLru)
    }

    /// True if what follows from an access is otherwise than where nobody asks.
    #[inline]
    pub fn changes_accesses(self) -> bool {
        self.is_frequency() || self.is_modification()
    }
}
