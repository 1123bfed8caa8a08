//! The kinds of values of the directives that say how data is kept: save points, names of files, when the log is put on the
//! disk, how a signal shuts the server down.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::value::{self, Choice, Line, Reason, single};
use crate::base::num;

/// The versions of the format of dump files that may be asked for: 10 is Redis 7.0's, 11 that of 7.2 and of Valkey 8, 12 that
/// of Redis 7.4 to 8.2, 80 that of Valkey 9.
const RDB_VERSIONS: &[u16] = &[10, 11, 12, 13, 80];

/// A snapshot is saved when so many seconds have passed since the last one and so many changes were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    /// Seconds since the last snapshot.
    pub seconds: u64,
    /// Changes since then.
    pub changes: u64,
}

/// When a snapshot is saved by itself.
#[derive(Clone, Debug)]
pub struct SavePoints {
    points: Vec<SavePoint>,
    /// Nobody has said anything: the first line of a file replaces what is there, the next ones add to it.
    is_default: bool,
}

impl PartialEq for SavePoints {
    fn eq(&self, other: &SavePoints) -> bool {
        self.points == other.points
    }
}

impl Default for SavePoints {
    fn default() -> SavePoints {
        let points = [(3600, 1), (300, 100), (60, 10_000)];
        let points = points.map(|(seconds, changes)| SavePoint { seconds, changes }).to_vec();
        SavePoints { points, is_default: true }
    }
}

impl SavePoints {
    /// No snapshot is saved by itself.
    pub fn none() -> SavePoints {
        SavePoints { points: Vec::new(), is_default: false }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = SavePoint> {
        self.points.iter().copied()
    }

    /// True if no snapshot is saved by itself.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }
}

/// Pairs of seconds and changes; one empty text is none. What a file's lines say adds up.
pub(super) fn parse_save_points(old: &SavePoints, args: &[&[u8]]) -> Result<SavePoints, Reason> {
    if matches!(args, [one] if one.is_empty()) {
        return Ok(SavePoints::none());
    }
    let point = |pair: &[&[u8]]| {
        let seconds = num::parse_i64(pair[0]).filter(|seconds| *seconds >= 1)?;
        let changes = num::parse_i64(pair[1]).filter(|changes| (0..=i32::MAX.into()).contains(changes))?;
        Some(SavePoint { seconds: seconds as u64, changes: changes as u64 })
    };
    let (pairs, []) = args.as_chunks::<2>() else { return Err("Invalid save parameters".into()) };
    let new: Option<Vec<SavePoint>> = pairs.iter().map(|pair| point(pair)).collect();
    let mut points = if old.is_default { Vec::new() } else { old.points.clone() };
    points.extend(new.ok_or("Invalid save parameters")?);
    Ok(SavePoints { points, is_default: false })
}

pub(super) fn print_save_points(value: &SavePoints) -> Vec<u8> {
    let points = value.iter().map(|point| format!("{} {}", point.seconds, point.changes));
    points.collect::<Vec<_>>().join(" ").into_bytes()
}

/// One line with every point. Where an included file names some (`is_included`), to which it would add, a line before it that
/// takes them back.
pub(super) fn save_lines(value: &SavePoints, is_included: bool) -> Vec<Line> {
    let differs = *value != SavePoints::default();
    let none = (value::quoted(b""), differs);
    match (value.is_empty(), is_included) {
        (true, _) => vec![none],
        (false, true) => vec![none, (print_save_points(value), differs)],
        (false, false) => vec![(print_save_points(value), differs)],
    }
}

/// When the log is put on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendFsync {
    /// Once a second.
    EverySec,
    /// Before any reply that tells of it.
    Always,
    /// When the system likes to.
    No,
}

impl Choice for AppendFsync {
    const NAMES: &'static [(&'static str, Self)] =
        &[("everysec", Self::EverySec), ("always", Self::Always), ("no", Self::No)];
}

/// How a signal shuts the server down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShutdownOn {
    /// Save a snapshot, or do not; `None` to save one if there are save points.
    pub save: Option<bool>,
    /// Do not wait for replicas.
    pub now: bool,
    /// Shut down though something could not be saved.
    pub force: bool,
}

impl ShutdownOn {
    /// Save if there are save points, wait for replicas, stay if something cannot be saved.
    pub const DEFAULT: ShutdownOn = ShutdownOn { save: None, now: false, force: false };
}

/// Any of Redis's names, in any order; `default` stands for no other.
pub(super) fn parse_shutdown(args: &[&[u8]]) -> Result<ShutdownOn, Reason> {
    let names = ["default", "save", "nosave", "now", "force"];
    let given = args.iter().map(|word| value::one_of(word, &names)).collect::<Result<Vec<_>, _>>()?;
    let has = |name| given.contains(&name);
    let save = match (has("save"), has("nosave")) {
        (true, true) => return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into()),
        (false, false) => None,
        (save, _) => Some(save),
    };
    Ok(ShutdownOn { save, now: has("now"), force: has("force") })
}

pub(super) fn print_shutdown(value: &ShutdownOn) -> Vec<u8> {
    let ShutdownOn { save, now, force } = *value;
    let names = [(save == Some(true), "save"), (save == Some(false), "nosave"), (now, "now"), (force, "force")];
    let names: Vec<&str> = names.into_iter().filter(|(given, _)| *given).map(|(_, name)| name).collect();
    if names.is_empty() { b"default".to_vec() } else { names.join(" ").into_bytes() }
}

/// A version that is written, or 0.
pub(super) fn parse_rdb_version(args: &[&[u8]]) -> Result<u16, Reason> {
    let version = num::parse_i64(single(args)?).and_then(|version| u16::try_from(version).ok());
    version.filter(|version| *version == 0 || RDB_VERSIONS.contains(version)).ok_or_else(|| {
        let versions = RDB_VERSIONS.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        format!("argument must be 0, for the lowest version that holds the data, or one of {versions}").into()
    })
}

/// The name of a file or directory, without directories before it.
pub(super) fn parse_filename(args: &[&[u8]], what: &str) -> Result<String, Reason> {
    let text = single(args)?;
    // COMPAT: Redis takes an empty dbfilename, and then fails to save.
    if text.is_empty() {
        return Err(format!("{what} can't be empty").into());
    }
    let is_dir = what.ends_with("dirname");
    if text.contains(&b'/') || (what == "backupdirname" && matches!(text, b"." | b"..")) {
        let kind = if is_dir { "dirname" } else { "filename" };
        return Err(format!("{what} can't be a path, just a {kind}").into());
    }
    String::from_utf8(text.to_vec()).map_err(|_| format!("{what} has to be text").into())
}

/// What is loaded at the start in place of the data directory's own files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preload {
    /// The log that a manifest names.
    Log(PathBuf),
    /// A dump file.
    Dump(PathBuf),
}

/// `aof:` or `rdb:` and a path from the root; the empty text is none.
pub(super) fn parse_preload(args: &[&[u8]]) -> Result<Option<Preload>, Reason> {
    let text = single(args)?;
    if text.is_empty() {
        return Ok(None);
    }
    let (kind, path) = text.split_at(text.len().min(4));
    if !matches!(kind, b"aof:" | b"rdb:") || !path.starts_with(b"/") {
        return Err("argument must be in the format '[aof|rdb]:[filename]'".into());
    }
    if path[1..].split(|byte| *byte == b'/').any(|part| matches!(part, b"" | b"." | b"..")) {
        return Err("preload-file path must be a normalized absolute file path".into());
    }
    let path = PathBuf::from(OsString::from_vec(path.to_vec()));
    if path.extension().is_none_or(|extension| extension.is_empty()) {
        return Err("preload-file must end with an extension".into());
    }
    Ok(Some(if kind == b"aof:" { Preload::Log(path) } else { Preload::Dump(path) }))
}

pub(super) fn print_preload(value: &Option<Preload>) -> Vec<u8> {
    match value {
        None => Vec::new(),
        Some(Preload::Log(path)) => [b"aof:", path.as_os_str().as_bytes()].concat(),
        Some(Preload::Dump(path)) => [b"rdb:", path.as_os_str().as_bytes()].concat(),
    }
}

/// What a rewritten file says of it.
pub(super) fn written_preload(value: &Option<Preload>) -> Option<Vec<u8>> {
    value.is_some().then(|| print_preload(value))
}
