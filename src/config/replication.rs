//! The kinds of values of the directives of replication: whom a server follows, and how it takes in the data.

use super::value::{Choice, Line, Reason};
use crate::base::num;

/// Where a primary listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrimaryAddress {
    /// A name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// Where a replica puts the data of a full synchronisation while it comes in, straight from the connection in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisklessLoad {
    /// Beside the data that is there, as long as memory allows; else in its place.
    Disabled,
    /// The same.
    OnEmptyDb,
    /// Beside the data that is there, which is served until the new is whole.
    SwapDb,
    /// In the place of the data that is there, which goes first.
    FlushDb,
}

impl Choice for DisklessLoad {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("disabled", Self::Disabled),
        ("on-empty-db", Self::OnEmptyDb),
        ("swapdb", Self::SwapDb),
        ("flushdb", Self::FlushDb),
    ];
}

/// The primary's address; `no one` is none, and so is the empty text that CONFIG GET shows for it.
pub(super) fn parse_primary(args: &[&[u8]]) -> Result<Option<PrimaryAddress>, Reason> {
    if args.iter().all(|word| word.is_empty()) {
        return Ok(None);
    }
    let [host, port] = args else { return Err("wrong number of arguments".into()) };
    if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
        return Ok(None);
    }
    let port = num::parse_i64(port).and_then(|port| u16::try_from(port).ok()).ok_or("Invalid master port")?;
    Ok(Some(PrimaryAddress { host: String::from_utf8_lossy(host).into_owned(), port }))
}

pub(super) fn print_primary(value: &Option<PrimaryAddress>) -> Vec<u8> {
    value.as_ref().map_or(Vec::new(), |primary| format!("{} {}", primary.host, primary.port).into_bytes())
}

/// One line if there is a primary; else none, also where the file had one.
pub(super) fn primary_lines(value: &Option<PrimaryAddress>) -> Vec<Line> {
    value.iter().map(|_| (print_primary(value), true)).collect()
}
