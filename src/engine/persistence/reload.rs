//! DEBUG RELOAD and DEBUG LOADAOF: the data goes to the disk and comes back, or comes back alone. Nobody is served meanwhile.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{loading, start};
use crate::base::clock::Now;
use crate::persist::directory::{list, read_manifest};
use crate::resp::error::ReplyError;
use crate::server::Server;
use crate::server::persistence::loading::{FileKind, Purpose, Reload};

const NO_DUMP: ReplyError = ReplyError::new("ERR Error trying to load the RDB dump, check server logs.");
const NO_LOG: ReplyError = ReplyError::new("ERR Error trying to load the AOF files, check server logs.");

/// Does what was asked for.
///
/// # Errors
/// It could not be saved, and nothing was changed; or it could not be loaded, and some of it is there.
pub fn run(server: &mut Server, reload: Reload, now: Now) -> Result<(), ReplyError> {
    server.fail_backup("the data was loaded anew");
    match reload {
        Reload::Dump { save, flush, replace } => {
            if save {
                server.save_now(now).map_err(|why| ReplyError::owned(format!("ERR {why}")))?;
            }
            if flush {
                empty(server, now);
            }
            let work = start::dump_work(PathBuf::from(&server.config.dbfilename), FileKind::Dump);
            finish(loading::run_to_end(server, Purpose::Command { replace }, work, now), NO_DUMP)?;
            log::warn!("DB reloaded by DEBUG RELOAD");
        }
        Reload::Log => {
            server.finish_log(now).map_err(|error| {
                log::error!("Error {} {}: {}", error.doing, error.path.display(), error.error);
                NO_LOG
            })?;
            let (storage, dir) = (Arc::clone(&server.persistence.storage), PathBuf::from(&server.config.appenddirname));
            let manifest = read_manifest(&*storage, &dir, &server.config.appendfilename);
            let files = list(&*storage, &dir).map_err(|error| error.to_string());
            let work = manifest.and_then(|manifest| {
                let missing = || format!("there is no log in {}", dir.display());
                start::log_work(&*storage, manifest.ok_or_else(missing)?, Path::new(&dir), &files?)
            });
            let (work, _) = work.map_err(|why| {
                log::error!("{why}");
                NO_LOG
            })?;
            empty(server, now);
            finish(loading::run_to_end(server, Purpose::Command { replace: false }, work, now), NO_LOG)?;
            log::warn!("Append Only File loaded by DEBUG LOADAOF");
        }
    }
    Ok(())
}

fn finish(outcome: Result<(), loading::Failure>, error: ReplyError) -> Result<(), ReplyError> {
    outcome.map_err(|why| {
        log::error!("{why}");
        error
    })
}

fn empty(server: &mut Server, now: Now) {
    for place in server.dbs.places() {
        server.flush_db(place, now);
    }
    server.invalidate_all();
    server.flush_functions(false);
}
