//! The kinds of values of the directives of replication: whom a server follows, and how it takes in the data.

use std::net::IpAddr;

use super::value::{Choice, Line, Reason, single};
use crate::base::num;

/// Where another server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
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
pub(super) fn parse_primary(args: &[&[u8]]) -> Result<Option<ServerAddress>, Reason> {
    if args.iter().all(|word| word.is_empty()) {
        return Ok(None);
    }
    let [host, port] = args else { return Err("wrong number of arguments".into()) };
    if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
        return Ok(None);
    }
    let host = checked_host(host)?;
    let port = num::parse_i64(port).and_then(|port| u16::try_from(port).ok()).ok_or("Invalid master port")?;
    Ok(Some(ServerAddress { host: host.to_owned(), port }))
}

/// A name or address of a host, as a line of a file can hold it: without blanks, quotes and control characters.
///
/// # Errors
/// It is none.
pub fn checked_host(host: &[u8]) -> Result<&str, &'static str> {
    let is_fine = !host.is_empty() && host.iter().all(|byte| byte.is_ascii_graphic() && !b"\"'\\#".contains(byte));
    std::str::from_utf8(host).ok().filter(|_| is_fine).ok_or("Invalid master host")
}

/// An address of this machine; the empty text is none.
pub(super) fn parse_source(args: &[&[u8]]) -> Result<Option<IpAddr>, Reason> {
    match single(args)? {
        [] => Ok(None),
        text => {
            let address = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
            Ok(Some(address.ok_or("it is not an IPv4 or IPv6 address")?))
        }
    }
}

pub(super) fn print_source(value: &Option<IpAddr>) -> Vec<u8> {
    value.map_or_else(Vec::new, |address| address.to_string().into_bytes())
}

pub(super) fn print_primary(value: &Option<ServerAddress>) -> Vec<u8> {
    value.as_ref().map_or(Vec::new(), |primary| format!("{} {}", primary.host, primary.port).into_bytes())
}

/// One line if there is a primary; else none, also where the file had one.
pub(super) fn primary_lines(value: &Option<ServerAddress>) -> Vec<Line> {
    value.iter().map(|_| (print_primary(value), true)).collect()
}
