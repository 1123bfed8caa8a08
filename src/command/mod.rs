//! Every command: its row and its handler, by family. What rows are made of, and the way from a name to its row, is in [`spec`].
//!
//! To add a command, add a row and the handler under it in the family's file, and what the checklist in the crate's
//! documentation asks for; no other source file lists commands. The names of live queries, `GET.WATCH` and the like, are
//! derived from the rows of what can be watched. Handlers are called by [`run`] alone.

pub mod acl;
pub mod admin;
pub mod array;
pub mod backup;
pub mod bitmap;
mod bless;
mod blocking;
pub mod client;
pub mod cluster;
mod collection;
pub mod config;
pub mod connection;
pub mod database;
pub mod debug;
pub mod dump;
pub mod expire;
pub mod expiry;
pub mod geo;
pub mod hash;
mod help;
pub mod hotkeys;
pub mod hyperloglog;
pub mod info;
pub mod introspect;
mod jitter;
pub mod keys;
pub mod latency;
mod lifetime;
pub mod list;
mod lolwut;
mod long;
pub mod memory;
pub mod migrate;
pub mod module;
pub mod object;
pub mod observe;
pub mod persistence;
mod pieces;
pub mod pubsub;
pub mod reactive;
pub mod replication;
pub mod run;
pub mod scan;
pub mod scripting;
pub mod set;
pub mod sort;
pub mod spec;
pub mod stream;
pub mod string;
pub mod transaction;
pub mod zset;

use std::sync::OnceLock;

use crate::feature::acl::Catalog;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
pub use spec::registry::Command;
use spec::registry::{Registry, Rename, RenameError};
use spec::{Spec, resolve};

/// The families, in the order of the README's table.
const FAMILIES: &[&[Spec]] = &[
    string::ROWS,
    list::ROWS,
    hash::ROWS,
    set::ROWS,
    bitmap::ROWS,
    hyperloglog::ROWS,
    zset::ROWS,
    stream::ROWS,
    array::ROWS,
    geo::ROWS,
    keys::ROWS,
    scan::ROWS,
    expire::ROWS,
    object::ROWS,
    bless::ROWS,
    dump::ROWS,
    migrate::ROWS,
    sort::ROWS,
    database::ROWS,
    pubsub::ROWS,
    transaction::ROWS,
    scripting::ROWS,
    reactive::ROWS,
    connection::ROWS,
    client::ROWS,
    acl::ROWS,
    admin::ROWS,
    persistence::ROWS,
    backup::ROWS,
    config::ROWS,
    info::ROWS,
    introspect::ROWS,
    memory::ROWS,
    latency::ROWS,
    observe::ROWS,
    hotkeys::ROWS,
    module::ROWS,
    replication::ROWS,
    cluster::ROWS,
    expiry::ROWS,
    debug::ROWS,
];

static REGISTRY: OnceLock<Registry> = OnceLock::new();

#[inline]
fn registry() -> &'static Registry {
    REGISTRY.get_or_init(|| Registry::new(FAMILIES, reactive::derived))
}

/// Gives commands other names for the life of the process, before anybody has asked for one.
///
/// # Errors
/// The place of the first that cannot be, and why.
pub fn rename(renames: &[Rename]) -> Result<(), (usize, RenameError)> {
    let mut registry = Registry::new(FAMILIES, reactive::derived);
    registry.rename(renames)?;
    let is_first = REGISTRY.set(registry).is_ok();
    assert!(is_first, "commands are renamed before they are used");
    Ok(())
}

/// True if clients know some command by another name than its row's.
#[inline]
pub fn has_renamed() -> bool {
    registry().has_renamed()
}

/// The command whose row has a name, in any case, whatever clients know it by: what logs and queries say. O(1).
pub fn lookup_own(name: &[u8]) -> Option<&'static Command> {
    registry().lookup_own(name)
}

/// Every command that clients can reach and that has a row.
pub fn reachable() -> impl Iterator<Item = &'static Command> + Clone {
    all().iter().filter(|command| registry().is_reachable(command))
}

/// The command that clients know by a name, in any case. O(1).
#[inline]
pub fn lookup(name: &[u8]) -> Option<&'static Command> {
    registry().lookup(name)
}

/// The row of a command line, of which the row of its first word may be known already.
///
/// # Errors
/// Redis's texts for names that have no row.
#[inline]
pub fn resolve(named: Option<&'static Command>, args: Args<'_>) -> Result<&'static Command, ReplyError> {
    match named {
        Some(command) if command.subcommands.is_empty() => Ok(command),
        Some(command) => resolve::row_of(command, args),
        None => Err(reactive::refusal(args.at(0)).unwrap_or_else(|| resolve::unknown_command(args))),
    }
}

/// Every command that has a row, subcommands inside theirs.
pub fn all() -> &'static [Command] {
    registry().all()
}

/// Every command that is derived from another's row.
pub fn derived() -> &'static [Command] {
    registry().derived()
}

/// The commands as the rules of users name them.
pub fn catalog() -> &'static Catalog {
    static CATALOG: OnceLock<Catalog> = OnceLock::new();
    CATALOG.get_or_init(|| registry().catalog())
}

/// How many commands and subcommands there are: one more than the highest `id`.
pub fn count() -> usize {
    registry().count()
}

#[cfg(test)]
mod tests {
    use super::spec::syntax;
    use super::*;

    fn renamed(renames: &[(&str, &str)]) -> Result<Registry, (usize, RenameError)> {
        let mut registry = Registry::new(FAMILIES, reactive::derived);
        let renames: Vec<Rename> = renames.iter().map(|(from, to)| (from.to_string(), to.to_string())).collect();
        registry.rename(&renames).map(|()| registry)
    }

    #[test]
    fn a_renamed_command_has_its_new_name_alone_and_takes_its_queries_along() {
        let registry =
            renamed(&[("GET", "fetch"), ("CONFIG", ""), ("SDIFFSTORE", "SDIFxxTORE"), ("SET", "get"), ("MGET", "")])
                .unwrap();
        let found = |name: &str| registry.lookup(name.as_bytes()).map(|command| command.spec.name);
        for (name, expected) in [
            ("FETCH", Some("GET")),
            ("Fetch.Watch", Some("GET.WATCH")),
            ("fetch.unwatch", Some("GET.UNWATCH")),
            ("GET", Some("SET")),
            ("get.watch", None),
            ("set", None),
            ("config", None),
            ("sdiffstore", None),
            ("sdifxxtore", Some("SDIFFSTORE")),
            ("mget", None),
            ("mget.watch", None),
            ("ping", Some("PING")),
        ] {
            assert_eq!(found(name), expected, "{name}");
        }
        for name in ["get", "set", "config", "sdiffstore", "get.watch"] {
            let own = registry.lookup_own(name.as_bytes()).expect("its row has the name");
            assert_eq!(own.full_name, name);
            assert_eq!(registry.is_reachable(own), name != "config");
        }
        assert!(registry.lookup_own(b"fetch").is_none());
    }

    #[test]
    fn a_name_that_is_taken_or_unknown_is_refused_with_its_place() {
        let error = |renames| renamed(renames).map(drop);
        assert_eq!(error(&[("GET", "x"), ("nosuch", "y")]), Err((1, RenameError::NoSuchCommand)));
        assert_eq!(error(&[("GET", "x"), ("GET", "y")]), Err((1, RenameError::NoSuchCommand)));
        assert_eq!(error(&[("GET", "set")]), Err((0, RenameError::Taken)));
        assert_eq!(error(&[("GET", "get")]), Ok(()));
        assert_eq!(error(&[("GET", "x"), ("SET", "GET"), ("x", "SET")]), Ok(()));
    }

    #[test]
    fn every_name_is_found_in_any_case_and_nothing_else_is() {
        for command in all() {
            let name = command.spec.name;
            for spelling in [name.to_string(), name.to_ascii_lowercase()] {
                assert_eq!(lookup(spelling.as_bytes()).map(|found| found.spec.name), Some(name));
            }
            assert!(lookup(format!("{name}_").as_bytes()).is_none());
        }
        for stranger in ["G\u{5}T", "GE\u{d4}", "\0", "GET\0", "SE\u{14}", "[ET", "Z@DD", "CONF-G", "MSETN\0"] {
            assert!(lookup(stranger.as_bytes()).is_none(), "{stranger:?}");
        }
        assert!(lookup(b"").is_none());
        assert!(lookup(&[0xff; 300]).is_none());
    }

    #[test]
    fn every_syntax_can_be_read() {
        for command in all() {
            for spec in std::iter::once(command.spec).chain(command.spec.subcommands) {
                let parsed = syntax::parse(spec.syntax);
                assert!(parsed.is_ok(), "{} {}: {parsed:?}", command.spec.name, spec.name);
            }
        }
    }
}
