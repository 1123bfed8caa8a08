//! The dialogue by which a replica and its primary come to an understanding, as Redis has it since version 2.8:
//!
//! ```text
//! PING                                  +PONG
//! AUTH [user] password                  +OK           if `masterauth` is set
//! REPLCONF listening-port p             +OK
//! REPLCONF ip-address a                 +OK           if `replica-announce-ip` is set
//! REPLCONF capa eof capa psync2 ...     +OK
//! PSYNC history offset                  +CONTINUE [history]             the stream follows
//!                                       +FULLRESYNC history offset      a data set follows, then the stream
//! ```
//! In front of a data set stands a line with its length (`$bytes`), or with the mark that ends it (`$EOF:mark`). While a primary
//! prepares one it sends empty lines.

use std::str;

use super::{acknowledge, load};
use crate::base::clock::Now;
use crate::base::num;
use crate::engine::links::Went;
use crate::feature::client_id::ClientId;
use crate::resp::out::Out;
use crate::server::Server;
use crate::server::replication::failover::Stage;
use crate::server::replication::following::{Expected, LinkState};
use crate::server::replication::history::{Former, ID_CHARS, OFFSET_MAX};
use crate::server::replication::sync::{End, MARK_BYTES};

/// A line that is longer is none of this dialogue.
const LINE_BYTES_MAX: usize = 4096;

/// The version of Valkey whose dump files are read whole.
const VALKEY_VERSION: &[u8] = b"9.1.0";

/// Appends a command to what is sent.
pub(super) fn send<const N: usize>(out: &mut Out, words: [&[u8]; N]) {
    let mut text = format!("*{N}\r\n").into_bytes();
    for word in words {
        text.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        text.extend_from_slice(word);
        text.extend_from_slice(b"\r\n");
    }
    out.push(&text);
}

/// Begins the dialogue on a connection that is being made.
pub(super) fn begin(server: &mut Server, client: ClientId, out: &mut Out) {
    let Some(following) = &mut server.replication.following else { return };
    following.link = Some(client);
    following.state = LinkState::Handshake;
    following.line.clear();
    following.expected = [Expected::Pong].into();
    send(out, [b"PING"]);
}

/// Gives the connection up.
fn lose(server: &mut Server, client: ClientId, is_bad_data: bool) -> Went {
    let now_ms = server.clock.now().mono_ms();
    server.note_link_lost(is_bad_data, now_ms);
    server.kill(client);
    Went::Lost
}

/// Gives the connection up because of the data set that comes over it.
fn lose_data(server: &mut Server, client: ClientId, reason: &str) -> Went {
    log::error!("Failed trying to load the MASTER synchronization DB from socket: {reason}");
    lose(server, client, true)
}

/// Goes on with a data set that is coming in, or is whole. True if there is more to do at once.
pub(super) fn step_sync(server: &mut Server, client: ClientId, now: Now) -> bool {
    match load::go_on(server, now) {
        Ok(true) => true,
        Ok(false) => load::adopt_if_whole(server, client, now),
        Err(reason) => {
            lose_data(server, client, &reason);
            false
        }
    }
}

pub(super) fn receive(server: &mut Server, client: ClientId, bytes: &[u8], out: &mut Out, now: Now) -> Went {
    let mut at = 0;
    while at < bytes.len() {
        let Some(following) = &mut server.replication.following else { return Went::Lost };
        if following.link != Some(client) {
            server.kill(client);
            return Went::Lost;
        }
        if following.sync.as_ref().is_some_and(|sync| sync.end.is_some()) {
            return match load::feed(server, &bytes[at..], now) {
                Ok(Some(taken)) => {
                    load::adopt_if_whole(server, client, now);
                    Went::Streams(at + taken)
                }
                Ok(None) => Went::On,
                Err(reason) => lose_data(server, client, &reason),
            };
        }
        let Some(end) = bytes[at..].iter().position(|byte| *byte == b'\n') else {
            following.line.extend_from_slice(&bytes[at..]);
            if following.line.len() > LINE_BYTES_MAX {
                log::error!("The master sends no line that could be a reply");
                return lose(server, client, true);
            }
            return Went::On;
        };
        let mut line = std::mem::take(&mut following.line);
        line.extend_from_slice(&bytes[at..at + end]);
        at += end + 1;
        match take_line(server, client, line.trim_ascii_end(), out, now) {
            Went::On => {}
            Went::Streams(_) => return Went::Streams(at),
            Went::Lost => return Went::Lost,
        }
    }
    Went::On
}

/// Takes a line of the dialogue.
fn take_line(server: &mut Server, client: ClientId, line: &[u8], out: &mut Out, now: Now) -> Went {
    let Some(following) = &mut server.replication.following else { return Went::Lost };
    if line.is_empty() {
        // It lives, and is busy.
        return Went::On;
    }
    let Some(expected) = following.expected.pop_front() else {
        log::error!("The master sends more than was asked for: {}", shown(line));
        return lose(server, client, true);
    };
    match expected {
        Expected::Pong => {
            let is_fine = line.starts_with(b"+")
                || [&b"-NOAUTH"[..], b"-NOPERM", b"-ERR operation not permitted"]
                    .iter()
                    .any(|text| line.starts_with(text));
            if !is_fine {
                log::error!("Error reply to PING from master: '{}'", shown(line));
                return lose(server, client, false);
            }
            log::info!("Master replied to PING, replication can continue...");
            introduce(server, out);
        }
        Expected::Auth if line.starts_with(b"-") => {
            log::error!("Unable to AUTH to MASTER: {}", shown(line));
            return lose(server, client, false);
        }
        Expected::Auth | Expected::Version => {}
        Expected::Replconf(what) => {
            if line.starts_with(b"-") {
                log::warn!("(Non critical) Master does not understand REPLCONF {what}: {}", shown(line));
            }
        }
        Expected::Psync => return take_psync(server, client, line, now),
        Expected::Length => return take_length(server, client, line),
    }
    if let Some(following) = &server.replication.following
        && following.expected.is_empty()
    {
        ask_for_stream(server, out);
    }
    Went::On
}

fn shown(line: &[u8]) -> String {
    line[..line.len().min(256)].escape_ascii().to_string()
}

/// Says who we are.
fn introduce(server: &mut Server, out: &mut Out) {
    let Server { config, replication, .. } = server;
    let Some(following) = &mut replication.following else { return };
    if !config.masterauth.is_empty() {
        match config.masteruser.is_empty() {
            true => send(out, [b"AUTH", &config.masterauth]),
            false => send(out, [b"AUTH", &config.masteruser, &config.masterauth]),
        }
        following.expected.push_back(Expected::Auth);
    }
    let port = if config.replica_announce_port > 0 { config.replica_announce_port } else { config.port };
    send(out, [b"REPLCONF", b"listening-port", port.to_string().as_bytes()]);
    following.expected.push_back(Expected::Replconf("listening-port"));
    if !config.replica_announce_ip.is_empty() {
        send(out, [b"REPLCONF", b"ip-address", &config.replica_announce_ip]);
        following.expected.push_back(Expected::Replconf("ip-address"));
    }
    send(out, [b"REPLCONF", b"capa", b"eof", b"capa", b"psync2", b"capa", b"aleadb-forms"]);
    following.expected.push_back(Expected::Replconf("capa"));
    // Valkey 9 sends hashes whose fields have deadlines to nobody who does not say so much, and Redis does not know the option.
    send(out, [b"REPLCONF", b"version", VALKEY_VERSION]);
    following.expected.push_back(Expected::Version);
}

/// Asks for what comes behind what we have.
fn ask_for_stream(server: &mut Server, out: &mut Out) {
    let replication = &mut server.replication;
    let history = &replication.history;
    let Some(following) = &mut replication.following else { return };
    following.expected.push_back(Expected::Psync);
    let is_handover = replication.failover.as_ref().is_some_and(|failover| failover.stage == Stage::InProgress);
    if !history.is_shared {
        log::info!("Partial resynchronization not possible (no cached master)");
        return send(out, [b"PSYNC", b"?", b"-1"]);
    }
    let (id, next) = (history.id.clone(), (history.offset + 1).to_string());
    log::info!("Trying a partial resynchronization (request {id}:{next}).");
    match is_handover {
        true => send(out, [b"PSYNC", id.as_bytes(), next.as_bytes(), b"FAILOVER"]),
        false => send(out, [b"PSYNC", id.as_bytes(), next.as_bytes()]),
    }
}

/// The answer to PSYNC.
fn take_psync(server: &mut Server, client: ClientId, line: &[u8], now: Now) -> Went {
    let text = str::from_utf8(line).unwrap_or_default();
    let mut words = text.split_ascii_whitespace();
    match words.next() {
        Some("+CONTINUE") => {
            log::info!("Successful partial resynchronization with master.");
            server.end_failover();
            if let Some(id) = words.next().filter(|id| is_id(id)) {
                go_on_as(server, id);
            }
            connected(server, client, now);
            Went::Streams(0)
        }
        Some("+FULLRESYNC") => {
            let id = words.next().filter(|id| is_id(id));
            let offset = words.next().and_then(|offset| num::parse_u64(offset.as_bytes()));
            let offset = offset.filter(|offset| *offset <= OFFSET_MAX);
            let Some((id, offset)) = id.zip(offset) else {
                log::error!("Master replied with wrong +FULLRESYNC syntax.");
                return lose(server, client, true);
            };
            log::info!("Full resync from master: {id}:{offset}");
            server.end_failover();
            load::begin(server, id, offset, now);
            Went::On
        }
        Some("-NOMASTERLINK" | "-LOADING") => {
            log::warn!("Master is currently unable to PSYNC but should be in the future: {}", shown(line));
            server.abort_failover("Failover target rejected psync request");
            lose(server, client, false)
        }
        _ => {
            log::error!("Unexpected reply to PSYNC from master: {}", shown(line));
            server.abort_failover("Failover target rejected psync request");
            lose(server, client, false)
        }
    }
}

fn is_id(id: &str) -> bool {
    id.len() == ID_CHARS && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The history goes on under another name: the primary was a replica of the former one.
fn go_on_as(server: &mut Server, id: &str) {
    let history = &mut server.replication.history;
    if history.id != id {
        log::info!("Master replication ID changed to {id}");
        let former = std::mem::replace(&mut history.id, id.to_owned());
        history.former = Some(Former { id: former, upto: history.offset + 1 });
        // Replicas of this one ask again, and learn it.
        server.replication.replicas.clone().into_iter().for_each(|client| server.kill(client));
    }
}

/// The stream follows.
pub(super) fn connected(server: &mut Server, client: ClientId, now: Now) {
    let Some(following) = &mut server.replication.following else { return };
    following.times.note_up(now.mono_ms());
    (following.state, following.failures) = (LinkState::Connected, 0);
    let db = following.db;
    let session = &mut server.clients[client];
    (session.db, session.blocked) = (db, None);
    if server.replication.backlog.is_none() {
        // It may become a primary, with which others go on.
        server.begin_backlog();
    }
    let mut out = Out::default();
    acknowledge(server, &mut out, now.mono_ms());
    server.outbox.reply(client, out);
}

/// How the end of the data set is found.
fn take_length(server: &mut Server, client: ClientId, line: &[u8]) -> Went {
    let Some(sync) = server.replication.following.as_mut().and_then(|following| following.sync.as_mut()) else {
        return Went::Lost;
    };
    if let Some(mark) = line.strip_prefix(b"$EOF:").and_then(|mark| <[u8; MARK_BYTES]>::try_from(mark).ok()) {
        sync.end = Some(End::Mark { mark, last: Vec::new() });
        log::info!("MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF to parser");
        return Went::On;
    }
    if let Some(bytes) = line.strip_prefix(b"$").and_then(num::parse_u64) {
        (sync.end, sync.total_bytes) = (Some(End::After(bytes)), Some(bytes));
        log::info!("MASTER <-> REPLICA sync: receiving {bytes} bytes from master to parser");
        return Went::On;
    }
    if line.starts_with(b"-") {
        log::error!("MASTER aborted replication with an error: {}", shown(line));
        return lose(server, client, false);
    }
    log::error!(
        "Bad protocol from MASTER, the first byte is not '$' (we received '{}'), are you sure the host and port are right?",
        shown(line)
    );
    lose(server, client, true)
}
