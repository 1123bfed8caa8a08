//! What is in a dump file, and whether it could be loaded.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use crate::persist::rdb::Shapes;
use crate::persist::rdb::file::{Checksum, DumpReader, Fault, Item, LoadError, Loaded};
use crate::persist::storage::ReadFile;
use crate::store::hash::KeyHasher;
use crate::store::types::Type;

/// What was found in a dump file, up to its end or to what is wrong with it.
#[derive(Debug, Default)]
pub struct Summary {
    bytes: u64,
    version: u16,
    aux: Vec<(Vec<u8>, Vec<u8>)>,
    scripts: usize,
    functions: usize,
    databases: BTreeMap<u64, Keys>,
    empty_keys: u64,
    passed: Vec<String>,
    /// Nothing if the end was not reached.
    checksum: Option<Checksum>,
    /// Bytes behind the end.
    rest_bytes: u64,
}

/// The keys of one database.
#[derive(Debug, Default)]
struct Keys {
    keys: u64,
    timed: u64,
    expired: u64,
    timed_fields: u64,
    by_type: BTreeMap<&'static str, u64>,
}

/// Looks through a dump file. Returns what was found, and the reader at the end of it, where something may follow; or what is
/// wrong.
pub fn dump(file: Box<dyn ReadFile>, now_ms: i64, shapes: Shapes) -> (Summary, Result<DumpReader, LoadError>) {
    let mut summary = Summary::default();
    let outcome = DumpReader::new(file, shapes, true).and_then(|mut reader| {
        let walked = summary.walk(&mut reader, now_ms, shapes.hash.hasher);
        summary.bytes = reader.bytes();
        summary.version = reader.version();
        summary.empty_keys = reader.empty_keys();
        summary.rest_bytes = reader.bytes() - reader.offset();
        walked.map(|()| reader)
    });
    (summary, outcome)
}

impl Summary {
    fn walk(&mut self, reader: &mut DumpReader, now_ms: i64, hasher: KeyHasher) -> Result<(), LoadError> {
        // Two hashes of each key: no two of billions have both in common.
        let mut seen: HashSet<(u64, u64, u64)> = HashSet::new();
        let mut database = 0;
        loop {
            let offset = reader.offset();
            match reader.next_item()? {
                Item::Aux { name, value } => self.aux.push((name, value)),
                Item::Select(number) => {
                    database = number;
                    self.databases.entry(number).or_default();
                }
                Item::Resize { .. } => {}
                Item::Script(_) => self.scripts += 1,
                Item::Function(_) => self.functions += 1,
                Item::Passed(what) => self.passed.push(what),
                Item::Entry(loaded) => {
                    let key = loaded.entry.key();
                    let again = hasher.hash(&[b"again ", key].concat());
                    if !seen.insert((database, hasher.hash(key), again)) {
                        let reason = format!("the key '{}' is there twice", key.escape_ascii());
                        return Err(LoadError { offset, fault: Fault::Broken, reason });
                    }
                    self.databases.entry(database).or_default().count(&loaded, now_ms);
                }
                Item::End(checksum) => {
                    self.checksum = Some(checksum);
                    return Ok(());
                }
            }
        }
    }
}

impl Keys {
    fn count(&mut self, loaded: &Loaded, now_ms: i64) {
        let entry = &loaded.entry;
        self.keys += 1;
        self.timed += u64::from(entry.deadline_ms().is_some());
        self.expired += u64::from(entry.deadline_ms().is_some_and(|deadline_ms| deadline_ms <= now_ms));
        *self.by_type.entry(entry.type_of().name()).or_default() += 1;
        if entry.type_of() == Type::Hash {
            let hash = entry.collection::<crate::store::types::Hash>();
            self.timed_fields += hash.map_or(0, |hash| hash.timed() as u64);
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            0 => writeln!(f, "{} bytes", self.bytes)?,
            version => writeln!(f, "dump file of version {version}, {} bytes", self.bytes)?,
        }
        for (name, value) in &self.aux {
            writeln!(f, "  {}: {}", name.escape_ascii(), value.escape_ascii())?;
        }
        for (number, keys) in &self.databases {
            writeln!(
                f,
                "  database {number}: {} keys, {} of them with a deadline, {} expired",
                keys.keys, keys.timed, keys.expired
            )?;
            let by_type: Vec<_> = keys.by_type.iter().map(|(name, count)| format!("{name} {count}")).collect();
            if !by_type.is_empty() {
                writeln!(f, "    {}", by_type.join(", "))?;
            }
            if keys.timed_fields > 0 {
                writeln!(f, "    fields with a deadline: {}", keys.timed_fields)?;
            }
        }
        if self.scripts > 0 {
            writeln!(f, "  scripts: {}", self.scripts)?;
        }
        if self.functions > 0 {
            writeln!(f, "  libraries of functions: {}", self.functions)?;
        }
        if self.empty_keys > 0 {
            writeln!(f, "  collections without elements, which are left out: {}", self.empty_keys)?;
        }
        for what in &self.passed {
            writeln!(f, "  left out: {what}")?;
        }
        match self.checksum {
            Some(Checksum::Right(sum)) => writeln!(f, "  checksum: {sum:016x}, right")?,
            Some(Checksum::None) => writeln!(f, "  checksum: none was made")?,
            Some(Checksum::Unchecked) | None => {}
        }
        if self.checksum.is_some() && self.rest_bytes > 0 {
            writeln!(f, "  bytes behind the end: {}", self.rest_bytes)?;
        }
        Ok(())
    }
}
