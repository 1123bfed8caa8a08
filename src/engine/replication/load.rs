//! A data set that comes from the primary: it is read as it comes, a slice in each turn, into databases that nobody sees, and takes the
//! place of what is there when it is whole. Until then the old data is served.
//!
//! Where there is no memory for both, as far as the primary says how much its data takes, the old data goes first, and commands
//! that need data are answered that it is being loaded. `repl-diskless-load flushdb` has it done so in any case, `swapdb` in no case.

use crate::base::clock::Now;
use crate::base::num;
use crate::command::dump::shapes;
use crate::config::DisklessLoad;
use crate::engine::jobs;
use crate::feature::client_id::ClientId;
use crate::persist::rdb::file::{DumpReader, Fault, Item, Loaded};
use crate::server::Server;
use crate::server::databases::Databases;
use crate::server::jobs::Slice;
use crate::server::replication::following::{Expected, LinkState};
use crate::server::replication::history::History;
use crate::server::replication::sync::{End, MARK_BYTES, Sync};
use crate::store::db::Moment;
use crate::sys::{alloc, limits};

use super::link;

/// Nanoseconds for which what has come is read in one go: some kilobytes may be many elements.
const SLICE_NS: u64 = 300_000;

/// Begins to take in a data set of a history.
pub(super) fn begin(server: &mut Server, id: &str, offset: u64, now: Now) {
    let reader = DumpReader::fed(shapes(server), server.config.rdbchecksum);
    let mut dbs = Databases::new(server.dbs.count() as u32, server.dbs.hasher);
    dbs.set_usage_as(&server.dbs);
    let sharing = server.loaded_sharing();
    let Some(following) = &mut server.replication.following else { return };
    following.state = LinkState::Sync;
    following.expected.push_back(Expected::Length);
    following.sync = Some(Box::new(Sync {
        id: id.to_owned(),
        offset,
        end: None,
        total_bytes: None,
        read_bytes: 0,
        reader,
        dbs,
        sharing,
        db: 0,
        functions: Vec::new(),
        stream_db: 0,
        keys: 0,
        has_more: false,
        is_last: false,
        is_in_place: false,
        is_whole: false,
        began_ms: now.mono_ms(),
    }));
    if server.config.repl_diskless_load == DisklessLoad::FlushDb {
        make_room(server, now);
    }
}

/// Takes bytes of the data set: how many, if these were its last.
///
/// # Errors
/// It is broken, or may not be taken, in words.
pub(super) fn feed(server: &mut Server, bytes: &[u8], now: Now) -> Result<Option<usize>, String> {
    let Some(sync) = server.replication.following.as_mut().and_then(|following| following.sync.as_mut()) else {
        return Err("nothing is to come".to_owned());
    };
    let (taken, is_last) = push(sync, bytes);
    sync.read_bytes += taken as u64;
    sync.is_last = is_last;
    read_slice(server, now)?;
    Ok(is_last.then_some(taken))
}

/// Goes on with what has come and has not been read, if there is such. True if some is still left.
///
/// # Errors
/// As [`feed`].
pub(super) fn go_on(server: &mut Server, now: Now) -> Result<bool, String> {
    if !has_more(server) {
        return Ok(false);
    }
    read_slice(server, now)?;
    Ok(has_more(server))
}

/// True if some of what has come has not been read, for want of time.
pub(super) fn has_more(server: &Server) -> bool {
    let following = server.replication.following.as_ref();
    following.and_then(|following| following.sync.as_ref()).is_some_and(|sync| sync.has_more)
}

fn read_slice(server: &mut Server, now: Now) -> Result<(), String> {
    let Some(mut sync) = server.replication.following.as_mut().and_then(|following| following.sync.take()) else {
        return Ok(());
    };
    let read = read_on(server, &mut sync, now);
    let read = read.and_then(|read| match read {
        Read::All if sync.is_last => may_be_taken(server, &sync).map(|()| read),
        Read::All if sync.reader.buffered_bytes() > 0 => Err("there are bytes behind its end".to_owned()),
        read => Ok(read),
    });
    sync.has_more = matches!(read, Ok(Read::Some));
    sync.is_whole = matches!(read, Ok(Read::All)) && sync.is_last;
    if let Some(following) = &mut server.replication.following {
        following.sync = Some(sync);
    }
    read.map(drop)
}

/// Hands bytes over to the reader: how many belong to the data set, and whether they were its last.
fn push(sync: &mut Sync, bytes: &[u8]) -> (usize, bool) {
    let Sync { end, reader, .. } = sync;
    match end {
        Some(End::After(left)) => {
            let taken = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
            reader.feed(&bytes[..taken]);
            *left -= taken as u64;
            if *left == 0 {
                reader.end_feed();
            }
            (taken, *left == 0)
        }
        Some(End::Mark { mark, last }) => {
            last.extend_from_slice(bytes);
            let is_last = last.ends_with(mark);
            let payload = last.len().saturating_sub(MARK_BYTES);
            reader.feed(&last[..payload]);
            last.drain(..payload);
            if is_last {
                reader.end_feed();
            }
            (bytes.len(), is_last)
        }
        None => (0, false),
    }
}

/// How much has been read.
#[derive(Clone, Copy)]
enum Read {
    /// All of the data set.
    All,
    /// All that has come.
    Come,
    /// Some of what has come: the slice is over.
    Some,
}

/// Reads of what has come until the slice is over.
fn read_on(server: &mut Server, sync: &mut Sync, now: Now) -> Result<Read, String> {
    let (at, fresh) = (Moment::new(now, false), server.fresh_stamp(now));
    let clock = std::rc::Rc::clone(&server.clock);
    let mut slice = Slice::new(&*clock, clock.mono_ns() + SLICE_NS, server.jobs.limits.slice_elements);
    while slice.left() > 0 {
        let item = match sync.reader.go_on(|elements, bytes| slice.spend(elements, bytes)) {
            Ok(Some(item)) => item,
            Ok(None) => break,
            Err(error) if matches!(error.fault, Fault::Wait) => return Ok(Read::Come),
            Err(error) => return Err(error.to_string()),
        };
        match item {
            Item::Entry(Loaded { mut entry, idle_s, frequency }) => {
                if let Some(sharing) = &mut sync.sharing {
                    sharing.settle(&mut entry);
                }
                let stamp = server.stamp_of(idle_s, frequency, now).unwrap_or(fresh);
                let hash = sync.dbs.hasher.hash(entry.key());
                if let Err(there) = sync.dbs[sync.db].load(hash, entry, stamp, at) {
                    let number = sync.dbs.number(sync.db);
                    return Err(format!(
                        "the key '{}' is there twice in database {number}",
                        server.shown_in_log(there.key())
                    ));
                }
                sync.keys += 1;
            }
            Item::Select(number) => {
                let place = usize::try_from(number).ok().and_then(|number| sync.dbs.make(number));
                sync.db = place.ok_or_else(|| {
                    let count = sync.dbs.count();
                    format!(
                        "it has keys in database {number}, and there are {count}: set `databases` to {}",
                        number.saturating_add(1)
                    )
                })?;
            }
            Item::Aux { name, value } => take_field(server, sync, &name, &value, now),
            Item::Function(code) => sync.functions.push(code),
            Item::Passed(what) => log::warn!("The data set of the master: left out: {what}"),
            Item::Script(_) | Item::Resize { .. } => {}
            Item::End(_) => return Ok(Read::All),
        }
    }
    Ok(Read::Some)
}

/// Something that the data set says of itself.
fn take_field(server: &mut Server, sync: &mut Sync, name: &[u8], value: &[u8], now: Now) {
    match name {
        b"repl-stream-db" => {
            sync.stream_db = num::parse_u64(value).and_then(|number| usize::try_from(number).ok()).unwrap_or(0);
        }
        b"used-mem" if server.config.repl_diskless_load != DisklessLoad::SwapDb && !sync.is_in_place => {
            let both = num::parse_u64(value).unwrap_or(0).saturating_add(alloc::allocated_bytes() as u64);
            let limit = server.config.maxmemory.bytes;
            let most = if limit > 0 { limit } else { limits::total_system_memory() as u64 };
            if both > most && server.dbs.iter().any(|db| !db.is_empty()) {
                log::warn!("There is no memory for the old data beside the new: it goes before the new is whole");
                sync.is_in_place = true;
                empty(server, now);
                server.abandon_history();
            }
        }
        _ => {}
    }
}

/// What is there goes before the new comes.
fn make_room(server: &mut Server, now: Now) {
    if let Some(sync) = server.replication.following.as_mut().and_then(|following| following.sync.as_mut()) {
        sync.is_in_place = true;
    }
    empty(server, now);
    server.abandon_history();
}

fn empty(server: &mut Server, now: Now) {
    jobs::finish_all(server, now);
    log::info!("MASTER <-> REPLICA sync: Flushing old data");
    for place in server.dbs.places() {
        server.flush_db(place, now);
    }
    server.invalidate_all();
    server.flush_functions(false);
}

/// A primary that has come back without its data does not take it from us as well.
fn may_be_taken(server: &Server, sync: &Sync) -> Result<(), String> {
    let history = &server.replication.history;
    let was_up = server.replication.following.as_ref().is_some_and(|following| following.times.was_up);
    let is_other = history.id != sync.id && history.former.as_ref().is_none_or(|former| former.id != sync.id);
    let is_loss = was_up && is_other && sync.keys == 0 && sync.offset < history.offset;
    if !is_loss || server.config.replica_accept_empty_primary || server.dbs.iter().all(|db| db.is_empty()) {
        return Ok(());
    }
    Err("the primary has come back empty, with a history of its own: what is here is kept. Bring the data back there, make this server \
         the primary (REPLICAOF NO ONE), or CONFIG SET replica-accept-empty-primary yes"
        .to_owned())
}

/// Puts a data set that is whole in the place of what is there. True if there is one that has to wait: for a script.
pub(super) fn adopt_if_whole(server: &mut Server, client: ClientId, now: Now) -> bool {
    let following = server.replication.following.as_ref();
    if !following.and_then(|following| following.sync.as_ref()).is_some_and(|sync| sync.is_whole) {
        return false;
    }
    if server.scripting.is_parked() {
        return true;
    }
    if let Some(sync) = server.replication.following.as_mut().and_then(|following| following.sync.take()) {
        adopt(server, *sync, now);
    }
    link::connected(server, client, now);
    server.clients.resumed.push(client);
    false
}

fn adopt(server: &mut Server, sync: Sync, now: Now) {
    let Sync { id, offset, mut dbs, sharing, functions, stream_db, keys, is_in_place, began_ms, read_bytes, .. } = sync;
    if !is_in_place {
        empty(server, now);
    }
    for place in dbs.places() {
        if !dbs[place].is_empty()
            && let Some(here) = server.dbs.make(dbs.number(place))
        {
            let db = dbs.take(place);
            server.put_db(here, db, now);
        }
    }
    for code in functions {
        if let Err(error) = server.load_library(&code, true) {
            log::error!("A library of functions of the master is left out: {}", server.shown_in_log(error.text()));
        }
    }
    // Whoever knows when keys fall due has to look again, and save points count it.
    server.stats.dirty += keys;
    server.begin_history_at(History { offset, is_shared: true, ..History::new(id) });
    let db = server.dbs.make(stream_db).unwrap_or(0);
    if let Some(following) = &mut server.replication.following {
        following.db = db;
    }
    server.replace_log(now);
    server.renew_byte_counts(now);
    server.unshare_names_of_few(sharing.map_or(0, |sharing| sharing.threshold()), now);
    let took_ms = now.mono_ms().saturating_sub(began_ms);
    log::info!("MASTER <-> REPLICA sync: Finished with success: {keys} keys, {read_bytes} bytes in {took_ms} ms");
}
