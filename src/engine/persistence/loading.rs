//! Loads dump files and logs, a slice in each turn: so that the loop lives meanwhile, answers who may be answered, and can be
//! told to stop.
//!
//! Keys of a dump file go into the table in groups, whose buckets are fetched together. What a log holds runs in [`super::replay`].
//!
//! # What stops a load
//! A file that is missing, or not what it has to be. At the start the server ends then, with one line that says the file, the
//! place in it, and what can be done; nothing that is on the disk has been changed. The one thing that is mended is the end of
//! the last file of a log, where writing was interrupted: see `repair`.

use std::io;

use crate::base::clock::Now;
use crate::command::dump::shapes;
use crate::persist::aof::manifest::is_command_base;
use crate::persist::aof::read::{Fault, Reader, Stop, Verdict};
use crate::persist::directory;
use crate::persist::rdb::file::{Checksum, DumpReader, Item, Loaded};
use crate::server::Server;
use crate::server::jobs::Slice;
use crate::server::persistence::loading::{
    Adoption, File, FileKind, Found, LoadedOrigin, LoadedSharing, Loading, Open, Purpose, Work,
};
use crate::store::db::Moment;
use crate::sys::error_text;

use super::{replay, start};

/// Nanoseconds of loading in one turn: who may be answered meanwhile waits no longer, and what turns cost is nothing beside it.
const SLICE_NS: u64 = 20_000_000;
/// Keys that go into the table together: enough to cover the memory's latency.
const GROUP_KEYS: usize = 32;
/// Milliseconds between two lines of the log that tell how far it is.
const TOLD_EACH_MS: u64 = 5000;

/// Why something cannot be loaded, in words for people.
pub type Failure = String;

/// What a step came to.
enum Step {
    More,
    Done,
}

/// Begins to load files, of which `total_bytes` are known.
pub fn begin(server: &mut Server, purpose: Purpose, work: Work, total_bytes: u64, now: Now) {
    debug_assert!(!server.is_loading());
    let work = Work { sharing: server.loaded_sharing(), ..work };
    let told_ms = now.mono_ms();
    let loading = Loading { purpose, started: now, total_bytes, loaded_bytes: 0, work: Some(work), told_ms };
    server.persistence.loading = Some(Box::new(loading));
}

/// Loads for a slice of time. Nothing happens if nothing is being loaded. True if there is more to do.
#[cold]
pub(super) fn step(server: &mut Server, now: Now) -> bool {
    let Some(loading) = &mut server.persistence.loading else { return false };
    // What was read may be on its way to become the base of a log.
    let Some(mut work) = loading.work.take() else { return false };
    let purpose = loading.purpose;
    match run_slice(server, &mut work, purpose, now) {
        Ok(Step::More) => {
            let bytes = work.before_bytes + work.open.as_ref().map_or(0, offset_of);
            if let Some(loading) = &mut server.persistence.loading {
                (loading.loaded_bytes, loading.work) = (bytes, Some(work));
                tell(loading, now);
            }
            true
        }
        Ok(Step::Done) => {
            end(server, work, now);
            server.is_loading()
        }
        Err(failure) => {
            fail(server, failure);
            false
        }
    }
}

/// Loads everything at once, for a command that waits for it.
///
/// # Errors
/// It cannot be loaded; what was loaded before stays.
pub fn run_to_end(server: &mut Server, purpose: Purpose, mut work: Work, now: Now) -> Result<(), Failure> {
    begin(server, purpose, Work { files: Default::default(), ..empty_work() }, 0, now);
    work.sharing = server.loaded_sharing();
    let clock = std::rc::Rc::clone(&server.clock);
    let mut slice = Slice::endless(&*clock);
    let outcome = loop {
        match step_once(server, &mut work, purpose, &mut slice, now) {
            Ok(Step::More) => {}
            Ok(Step::Done) => break Ok(()),
            Err(failure) => break Err(failure),
        }
    };
    server.persistence.loading = None;
    unshare_rare(server, work.sharing, now);
    outcome.map(|()| note_found(server, work.found))
}

/// No files.
pub fn empty_work() -> Work {
    Work {
        files: Default::default(),
        open: None,
        before_bytes: 0,
        db: 0,
        last_seq: None,
        manifest: None,
        adoption: Adoption::None,
        found: Found::default(),
        origin: LoadedOrigin::default(),
        sharing: None,
    }
}

fn run_slice(server: &mut Server, work: &mut Work, purpose: Purpose, now: Now) -> Result<Step, Failure> {
    let clock = std::rc::Rc::clone(&server.clock);
    let ends_ns = clock.mono_ns() + SLICE_NS;
    let mut slice = Slice::new(&*clock, ends_ns, server.jobs.limits.slice_elements);
    loop {
        if let Step::Done = step_once(server, work, purpose, &mut slice, now)? {
            return Ok(Step::Done);
        }
        if slice.left() == 0 || clock.mono_ns() >= ends_ns {
            return Ok(Step::More);
        }
    }
}

fn offset_of(open: &Open) -> u64 {
    match open {
        Open::Dump(reader) => reader.offset(),
        Open::Log(reader) => reader.offset(),
    }
}

/// Reads a group of keys, or a unit of commands, on; or a part of a large value, if the slice is over then.
fn step_once(
    server: &mut Server,
    work: &mut Work,
    purpose: Purpose,
    slice: &mut Slice<'_>,
    now: Now,
) -> Result<Step, Failure> {
    let Some(file) = work.files.front().cloned() else { return Ok(Step::Done) };
    let shown = file.path.display();
    match work.open.take() {
        None => {
            let opened = open(server, &file, work.last_seq);
            work.open = Some(opened.map_err(|error| format!("Can't read {shown}: {}", error_text(&error)))?);
            work.db = server.dbs.make(0).unwrap_or(0);
        }
        Some(Open::Dump(mut reader)) => match load_group(server, &mut reader, work, purpose, &file, slice, now)? {
            Step::More => work.open = Some(Open::Dump(reader)),
            Step::Done => {
                work.found.empty += reader.empty_keys();
                match file.kind {
                    FileKind::Dump => close(work, reader.bytes()),
                    // Commands may follow in the same file, as up to Redis 6 they did.
                    FileKind::Log { .. } => {
                        let (file, window, offset) = reader.into_rest();
                        let log = Reader::new(file, window, offset, work.last_seq);
                        let log = log.map_err(|error| format!("Can't read {shown}: {}", error_text(&error)))?;
                        work.db = server.dbs.make(0).unwrap_or(0);
                        work.open = Some(Open::Log(Box::new(log)));
                    }
                }
            }
        },
        Some(Open::Log(mut reader)) => match reader.next_unit() {
            Ok(Some(unit)) => {
                replay::run(server, &unit, &mut work.db, &mut work.found, &file.path, now)?;
                work.open = Some(Open::Log(reader));
            }
            Ok(None) => {
                work.last_seq = reader.last_seq();
                close(work, reader.file_bytes());
            }
            Err(stop) => {
                repair(server, &file, &mut reader, stop)?;
                work.found.cut = true;
                work.last_seq = reader.last_seq();
                close(work, reader.file_bytes());
            }
        },
    }
    Ok(Step::More)
}

fn close(work: &mut Work, bytes: u64) {
    work.files.pop_front();
    work.before_bytes += bytes;
}

/// Opens a file as what it is by its first bytes.
fn open(server: &Server, file: &File, last_seq: Option<u64>) -> io::Result<Open> {
    let storage = &server.persistence.storage;
    let is_dump = file.kind == FileKind::Dump || directory::is_dump(&**storage, &file.path)?;
    let opened = storage.open(&file.path)?;
    Ok(if is_dump {
        let reader = DumpReader::new(opened, shapes(server), server.config.rdbchecksum);
        Open::Dump(Box::new(reader.map_err(|error| io::Error::other(error.to_string()))?))
    } else {
        let reader = Reader::new(opened, Vec::new(), 0, last_seq)?;
        Open::Log(Box::new(if is_command_base(&file.path) { reader.of_base() } else { reader }))
    })
}

/// Puts some keys of a dump file into their databases.
fn load_group(
    server: &mut Server,
    reader: &mut DumpReader,
    work: &mut Work,
    purpose: Purpose,
    file: &File,
    slice: &mut Slice<'_>,
    now: Now,
) -> Result<Step, Failure> {
    // A replica is told by its primary what goes.
    let is_replica = server.replication.is_following();
    let drops_due = file.kind == FileKind::Dump && purpose == Purpose::Start && !is_replica;
    let mut group: Vec<(u64, Loaded)> = Vec::with_capacity(GROUP_KEYS);
    let mut next = None;
    while group.len() < GROUP_KEYS {
        let item = reader.go_on(|elements, bytes| slice.spend(elements, bytes));
        match item.map_err(|error| refused(file, &error.to_string()))? {
            // In the midst of a large value.
            None => break,
            Some(Item::Entry(loaded)) => {
                if drops_due && loaded.entry.deadline_ms().is_some_and(|deadline_ms| deadline_ms <= now.unix_ms) {
                    work.found.expired += 1;
                    work.origin.note_dropped(work.db, loaded.entry.key());
                    continue;
                }
                let hash = server.dbs[work.db].prefetch_bucket(loaded.entry.key());
                group.push((hash, loaded));
            }
            other => {
                next = other;
                break;
            }
        }
    }
    insert(server, group, work, purpose, file, now)?;
    // What becomes a part of a log has to be in it as it is: keys go afterwards, and the log says so.
    if drops_due && matches!(work.adoption, Adoption::None | Adoption::Replace) {
        server.make_room_for_loaded(now);
    }
    match next {
        None | Some(Item::Entry(_) | Item::Resize { .. }) => Ok(Step::More),
        Some(Item::Aux { name, value }) => {
            work.origin.note(&name, &value);
            Ok(Step::More)
        }
        Some(Item::Select(number)) => {
            let place = usize::try_from(number).ok().and_then(|number| server.dbs.make(number));
            work.db = place.ok_or_else(|| too_few_databases(server, file, number))?;
            Ok(Step::More)
        }
        Some(Item::Script(body)) => {
            // It is no data: one that cannot be compiled keeps nothing from being loaded.
            if let Err(error) = server.known_script(&body, true) {
                log::warn!("{}: a script is left out: {}", file.path.display(), server.shown_in_log(error.text()));
            }
            Ok(Step::More)
        }
        Some(Item::Function(code)) => {
            let loaded = server.load_library(&code, true);
            loaded.map_err(|error| {
                refused(file, &format!("a library of functions: {}", server.shown_in_log(error.text())))
            })?;
            Ok(Step::More)
        }
        Some(Item::Passed(what)) => {
            log::warn!("{}: left out: {what}", file.path.display());
            Ok(Step::More)
        }
        Some(Item::End(checksum)) => {
            if checksum == Checksum::None {
                log::info!("{} has no checksum: it could not be compared", file.path.display());
            }
            Ok(Step::Done)
        }
    }
}

pub(super) fn too_few_databases(server: &Server, file: &File, number: u64) -> Failure {
    let count = server.dbs.count();
    refused(
        file,
        &format!(
            "it has keys in database {number}, and there are {count}: set `databases` to {}",
            number.saturating_add(1)
        ),
    )
}

fn insert(
    server: &mut Server,
    group: Vec<(u64, Loaded)>,
    work: &mut Work,
    purpose: Purpose,
    file: &File,
    now: Now,
) -> Result<(), Failure> {
    let at = Moment::new(now, false);
    let fresh = server.fresh_stamp(now);
    let watchers = &server.watchers;
    let is_watched = !(watchers.waits.is_empty() && watchers.watches.is_empty() && watchers.reactive.is_empty());
    let mut replaced = Vec::new();
    for (hash, loaded) in group {
        let Loaded { mut entry, idle_s, frequency } = loaded;
        if let Some(sharing) = &mut work.sharing {
            sharing.settle(&mut entry);
        }
        let stamp = server.stamp_of(idle_s, frequency, now).unwrap_or(fresh);
        if is_watched {
            let key = entry.key().to_vec();
            server.touch_loaded(work.db, &key, &at);
        }
        let db = &mut server.dbs[work.db];
        if let Err(there) = db.load(hash, entry, stamp, at) {
            if purpose != (Purpose::Command { replace: true }) {
                let number = server.dbs.number(work.db);
                let key = there.key().escape_ascii();
                return Err(refused(file, &format!("the key '{key}' is there twice in database {number}")));
            }
            entry = there;
            replaced.extend(db.remove(entry.key(), at.while_loading()));
            let _ = db.load(hash, entry, stamp, at);
        }
        work.found.keys += 1;
        // Whoever knows when keys fall due has to look again.
        server.stats.dirty += 1;
    }
    server.report(work.db);
    replaced.into_iter().for_each(|entry| server.discard(entry));
    Ok(())
}

fn refused(file: &File, reason: &str) -> Failure {
    let way_on = match file.kind {
        FileKind::Dump => {
            "The file was left as it is; `aleadb --check` says more. Put a good copy in its place, or start with another \
             `dbfilename`"
        }
        FileKind::Log { .. } => {
            "The files were left as they are. `aleadb --recover DIR` writes a new directory from all that comes before the \
             damage; `aleadb --check DIR` says more"
        }
    };
    format!("Can't load {}: {reason}. {way_on}", file.path.display())
}

/// Mends the end of a log where writing was interrupted: what is not whole there is set aside in a file of its own, and the log
/// goes on before it.
///
/// # Errors
/// It is no such end, the settings do not allow it, or the disk fails.
fn repair(server: &mut Server, file: &File, reader: &mut Reader, stop: Stop) -> Result<(), Failure> {
    let is_last = file.kind == FileKind::Log { is_last: true };
    let verdict = match &stop.fault {
        // It is told below.
        Fault::Io(_) => Verdict::Damage,
        _ => {
            let judged = reader.judge(&stop, is_last);
            judged.map_err(|error| format!("Can't read {}: {}", file.path.display(), error_text(&error)))?
        }
    };
    let Stop { offset, commands, fault } = stop;
    let (shown, bytes) = (file.path.display(), reader.file_bytes().saturating_sub(offset));
    if let Fault::Io(error) = &fault {
        return Err(format!("Can't read {shown}: {}", error_text(error)));
    }
    if reader.is_sealed_base() {
        return Err(refused(file, &format!("from offset {offset} on the base is damaged: {fault}")));
    }
    if !is_last {
        return Err(refused(
            file,
            &format!("from offset {offset} on it is not whole, and other files follow: {fault}"),
        ));
    }
    if verdict == Verdict::Damage && reader.has_batches() {
        let reason = format!("the batch at offset {offset} is damaged ({fault}), and whole ones follow");
        return Err(refused(file, &reason));
    }
    if verdict == Verdict::Damage {
        return Err(refused(file, &format!("bad file format, {fault}")));
    }
    if !server.config.aof_load_truncated {
        let reason = format!("from offset {offset} on it is not whole ({fault}), and `aof-load-truncated` is no");
        return Err(refused(file, &reason));
    }
    let aside = directory::set_aside(&*server.persistence.storage, &file.path, offset);
    let aside = aside.map_err(|error| {
        format!("Can't set aside the end of {shown}, from offset {offset} on: {}", error_text(&error))
    })?;
    log::warn!(
        "{shown} was not written to its end: from offset {offset} on, {bytes} bytes with {commands} whole commands were not \
         loaded ({fault}). They are kept in {}",
        aside.display()
    );
    Ok(())
}

/// Tells how far it is.
fn tell(loading: &mut Loading, now: Now) {
    if now.mono_ms() >= loading.told_ms + TOLD_EACH_MS {
        loading.told_ms = now.mono_ms();
        let (percent, eta_s) = (loading.percent(), loading.eta_s(now));
        log::info!("Loading: {percent:.1} % of {} bytes, {eta_s} seconds to go", loading.total_bytes);
    }
}

/// Names of fields that too few of what was loaded share are shared no more.
fn unshare_rare(server: &mut Server, sharing: Option<LoadedSharing>, now: Now) {
    server.unshare_names_of_few(sharing.map_or(0, |sharing| sharing.threshold()), now);
}

/// All has been read.
fn end(server: &mut Server, work: Work, now: Now) {
    let Work { manifest, adoption, found, last_seq, origin, sharing, .. } = work;
    unshare_rare(server, sharing, now);
    let seconds = server
        .persistence
        .loading
        .as_ref()
        .map_or(0.0, |loading| server.clock.mono_ns().saturating_sub(loading.started.mono_ns) as f64 / 1e9);
    if found.keys + found.expired + found.empty > 0 || manifest.is_none() {
        log::info!(
            "Done loading RDB, keys loaded: {}, keys expired: {}, empty keys skipped: {}.",
            found.keys,
            found.expired,
            found.empty
        );
    }
    let source = if manifest.is_some() || adoption == Adoption::Move { "append only file" } else { "disk" };
    log::info!("DB loaded from {source}: {seconds:.3} seconds");
    if found.failed > 0 {
        log::warn!("{} commands of the log answered with an error: the data is not what it was", found.failed);
    }
    note_found(server, found);
    // Of a log, what was written after its base counts as well, and nobody has counted it.
    if manifest.is_none() && adoption == Adoption::None {
        server.restore_history(origin);
    }
    start::adopt(server, manifest, adoption, last_seq);
}

fn note_found(server: &mut Server, found: Found) {
    server.stats.unexpected_errors += found.failed;
    server.persistence.found = found;
    // What was loaded is saved already.
    server.persistence.snapshots.saved_changes = server.stats.dirty;
}

/// It cannot be loaded: the server ends.
pub fn fail(server: &mut Server, failure: Failure) {
    server.persistence.loading = None;
    server.process.failure = Some(failure);
    server.process.stop_requested = true;
}
