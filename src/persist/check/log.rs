//! What is in a log, file by file, and whether it could be loaded.

use std::fmt::Write;
use std::io;
use std::path::Path;

use super::dump::dump;
use super::{Accepts, shapes};
use crate::persist::aof::manifest::{Manifest, is_command_base};
use crate::persist::aof::read::{Reader, Stop, Unit, Verdict};
use crate::persist::directory::{is_dump, last_of};
use crate::persist::storage::Storage;
use crate::store::hash::KeyHasher;

/// How far a file of a log is good.
#[derive(Debug)]
pub(in crate::persist) struct Walked {
    /// Lines for people.
    pub text: String,
    /// Where what is good ends; of a dump file that is not good itself 0.
    pub good_bytes: u64,
    /// Nothing if all is good; else what is wrong, and whether it is no more than an end that was not written in full.
    pub fault: Option<(String, Verdict)>,
    /// The number of the last batch.
    pub last_seq: Option<u64>,
    /// It is a base of commands whose batches have ends, and the line that says that it is whole is behind `good_bytes`.
    pub lacks_end: bool,
}

impl Walked {
    /// True if the file could be loaded.
    pub fn is_loadable(&self) -> bool {
        !matches!(self.fault, Some((_, Verdict::Damage)))
    }
}

/// Looks through a file of a log; `last_seq` is the number of the last batch before it.
///
/// # Errors
/// It cannot be read.
pub(in crate::persist) fn walk(
    storage: &dyn Storage,
    path: &Path,
    is_last: bool,
    last_seq: Option<u64>,
    (now_ms, hasher): (i64, KeyHasher),
    accepts: Accepts<'_>,
) -> io::Result<Walked> {
    let mut text = String::new();
    let file = storage.open(path)?;
    let mut reader = if is_dump(storage, path)? {
        let (summary, outcome) = dump(file, now_ms, shapes(hasher));
        text.push_str(&summary.to_string());
        match outcome {
            Ok(reader) => {
                let (file, window, offset) = reader.into_rest();
                Reader::new(file, window, offset, last_seq)?
            }
            Err(error) => {
                let fault = Some((error.to_string(), Verdict::Damage));
                return Ok(Walked { text, good_bytes: 0, fault, last_seq, lacks_end: false });
            }
        }
    } else {
        let reader = Reader::new(file, Vec::new(), 0, last_seq)?;
        if is_command_base(path) { reader.of_base() } else { reader }
    };
    let (begin, first_seq) = (reader.offset(), last_seq);
    let (mut commands, mut units) = (0, 0);
    let fault = loop {
        let has_batches = reader.has_batches();
        match reader.next_unit() {
            Ok(None) => break None,
            Ok(Some(unit)) => {
                if let Some((offset, reason)) = refused(&unit, has_batches, accepts) {
                    let what = format!("{reason}, so that nothing from offset {offset} on can be loaded");
                    let fault = Some((what, Verdict::Damage));
                    let (last_seq, lacks_end) = (reader.last_seq(), reader.lacks_end());
                    return Ok(Walked { text, good_bytes: offset, fault, last_seq, lacks_end });
                }
                (commands, units) = (commands + unit.len(), units + u64::from(!unit.is_empty()));
            }
            Err(stop) => {
                let verdict = reader.judge(&stop, is_last)?;
                let Stop { offset, fault, .. } = stop;
                break Some((format!("from offset {offset} on it is not whole: {fault}"), verdict));
            }
        }
    };
    if reader.file_bytes() > begin || text.is_empty() {
        let batches = match reader.last_seq().filter(|_| reader.has_batches()) {
            _ if reader.is_sealed_base() => format!(", {units} batches of a base"),
            Some(last) => format!(", {units} batches up to number {last}"),
            None if reader.has_batches() => ", no batch yet".to_owned(),
            None => ", without batches".to_owned(),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  log, {} bytes, {commands} commands{batches}", reader.file_bytes());
        if let Some(unix_s) = reader.unix_s() {
            let _ = writeln!(text, "  last time in it: {unix_s} (Unix seconds)");
        }
    }
    let last_seq = reader.last_seq().or(first_seq);
    Ok(Walked { text, good_bytes: reader.offset(), fault, last_seq, lacks_end: reader.lacks_end() })
}

/// The first command of a unit that no log can hold: from where on nothing can be kept, and why.
fn refused(unit: &Unit<'_>, is_batch: bool, accepts: Accepts<'_>) -> Option<(u64, String)> {
    let mut whole = unit.offset;
    let mut in_transaction = false;
    for index in 0..unit.len() {
        let (offset, args) = unit.command(index);
        in_transaction = (in_transaction || args.is(0, "MULTI")) && !args.is(0, "EXEC");
        if !in_transaction || args.is(0, "MULTI") {
            whole = if is_batch { unit.offset } else { offset };
        }
        if let Err(reason) = accepts(args) {
            return Some((whole, format!("the command '{}' at offset {offset}: {reason}", args.at(0).escape_ascii())));
        }
    }
    None
}

/// Looks through all files of a log. Returns lines for people, and whether all could be loaded.
pub(super) fn directory(
    storage: &dyn Storage,
    dir: &Path,
    manifest: &Manifest,
    context: (i64, KeyHasher),
    accepts: Accepts<'_>,
) -> (String, bool) {
    let (mut text, mut is_good, mut last_seq) = (String::new(), true, None);
    let names: Vec<&str> = manifest.files().map(|file| &*file.name).collect();
    let last = last_of(storage, dir, names.into_iter());
    for file in manifest.files() {
        let path = dir.join(&file.name);
        let shown = path.display();
        let outcome = match walk(storage, &path, last == Some(&*file.name), last_seq, context, accepts) {
            Err(error) => Err(format!("it cannot be read: {error}")),
            Ok(walked) => {
                let _ = write!(text, "{shown}:\n{}", walked.text);
                last_seq = walked.last_seq;
                match walked.fault {
                    None => Ok(None),
                    Some((fault, Verdict::TornEnd)) => Ok(Some(fault)),
                    Some((fault, Verdict::Damage)) => Err(fault),
                }
            }
        };
        let _ = match outcome {
            Ok(None) => writeln!(text, "{shown}: good"),
            Ok(Some(fault)) => writeln!(text, "{shown}: good but for its end, which a start sets aside; {fault}"),
            Err(fault) => {
                is_good = false;
                writeln!(text, "{shown}: BAD, {fault}")
            }
        };
    }
    (text, is_good)
}
