//! What befalls clients besides the running of their commands: they are admitted or refused, read while they wait, found idle
//! or too slow, and closed at the end of a turn.

use std::io;

use crate::base::clock::Now;
use crate::command;
use crate::engine::links::{self, Went};
use crate::feature::client_id::ClientId;
use crate::server::Server;
use crate::server::outgoing::LinkKind;
use crate::server::session::{Blocked, Origin};

use super::conn::Conn;
use super::transport::{Received, Transport};
use super::turn::Turn;

/// How long a client that has finished sending may take none of its last replies.
// COMPAT: Redis drops them at once. Who sends commands and closes that side, as `nc` does, shall have its answers.
const HALF_CLOSED_MS_MAX: u64 = 2_000;
/// The same for a client that is closed because of QUIT or of what it sent.
const CLOSING_MS_MAX: u64 = 60_000;
/// Buffers of a closed connection from this many bytes on are freed by the helper thread.
const FREED_APART_BYTES_MIN: usize = 256 * 1024;

/// Nanoseconds for which a data set is read in one turn: what it keeps others waiting.
const LINK_SLICE_NS: u64 = 300_000;

/// Bytes of a primary's stream that are read ahead while its commands have to wait.
const LINK_AHEAD_BYTES_MAX: usize = 16 << 20;

const MAX_CLIENTS_TEXT: &[u8] = b"-ERR max number of clients reached\r\n";
const DENIED_TEXT: &[u8] = b"-DENIED Redis is running in protected mode because protected mode is enabled and no password \
is set for the default user. In this mode connections are only accepted from the loopback interface. If you want to \
connect from external computers to Redis you may adopt one of the following solutions: 1) Just disable protected mode \
sending the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from the same host \
the server is running, however MAKE SURE Redis is not publicly accessible from internet if you do so. Use CONFIG REWRITE \
to make this change permanent. 2) Alternatively you can just disable the protected mode by editing the Redis configuration \
file, and setting the protected mode option to 'no', and then restarting the server. 3) If you started the server manually \
just for testing, restart it with the '--protected-mode no' option. 4) Set up an authentication password for the default \
user. NOTE: You only need to do one of the above things in order for the server to start accepting connections from the \
outside.\r\n";

/// Where a client comes from.
#[derive(Clone, Debug)]
pub struct Peer {
    /// In one word.
    pub origin: Origin,
    /// Its address, as CLIENT LIST writes it.
    pub address: String,
    /// Our address, as CLIENT LIST writes it.
    pub local: String,
    /// The descriptor of its socket, for people to look up.
    pub fd: i32,
}

/// What a client is told that may not come in.
fn refusal(server: &Server, origin: Origin) -> Option<&'static [u8]> {
    let config = &server.config;
    let most = match origin {
        // One may come in whatever is kept for others: a server that serves nobody would be no use to anyone.
        Origin::Remote => config.maxclients.saturating_sub(config.reserved_admin_connections).max(1),
        Origin::Loopback | Origin::Unix | Origin::Internal => config.maxclients,
    };
    if server.clients.len() >= most as usize {
        Some(MAX_CLIENTS_TEXT)
    } else if config.protected_mode && server.acl.users.default_user().needs_no_password() && origin == Origin::Remote {
        Some(DENIED_TEXT)
    } else {
        None
    }
}

/// Counts bytes that a client has sent.
#[inline]
pub(super) fn note_input(server: &mut Server, client: ClientId, count: usize, now: Now) {
    let Server { clients, stats, .. } = server;
    let session = &mut clients[client];
    session.active_ms = now.mono_ms();
    if session.is_replica
        && let Some(replica) = &mut session.replica
    {
        replica.heard_ms = now.mono_ms();
    }
    session.net_in_bytes += count as u64;
    stats.net_in_bytes += count as u64;
    stats.reads += 1;
}

impl<T: Transport> Turn<T> {
    /// Takes in a client that has connected; its first bytes are read in the next turn. A client that may not come in is told
    /// so, and its transport dropped. O(log n) for n clients.
    pub fn admit(&mut self, mut transport: T, peer: Peer, now: Now) -> Option<ClientId> {
        let server = &mut self.server;
        let Peer { origin, address, local, fd } = peer;
        if let Some(text) = refusal(server, origin) {
            // The text fits any empty socket buffer; if it cannot be sent the client sees the close alone.
            let _ = transport.write(text);
            server.stats.rejected_connections += 1;
            return None;
        }
        let client = server.admit(origin, now);
        let session = &mut server.clients[client];
        (session.peer, session.local, session.fd) = (address, local, fd);
        log::debug!("Accepted {}", session.peer);
        self.conns.insert(Conn::new(transport, client));
        server.clients.connections_bytes = self.conns.heap_bytes();
        self.conns.queue_ready(client);
        Some(client)
    }

    /// Takes in a connection that the server wants and that is being made: its first bytes leave when it has been. `None` if nobody
    /// wants it any more.
    pub fn admit_outgoing(&mut self, transport: T, kind: LinkKind, peer: Peer, now: Now) -> Option<ClientId> {
        let Turn { server, conns, .. } = self;
        let client = server.admit(peer.origin, now);
        let session = &mut server.clients[client];
        (session.peer, session.local, session.fd) = (peer.address, peer.local, peer.fd);
        let mut conn = Conn::new(transport, client);
        (conn.link.readable, conn.link.writable) = (false, false);
        let is_wanted = links::begin(server, kind, client, &mut conn.out);
        conns.insert(conn);
        server.clients.connections_bytes = conns.heap_bytes();
        if is_wanted {
            return Some(client);
        }
        server.kill(client);
        None
    }

    /// Reads what comes over a connection that the server has made, as long as it is no command.
    fn go_on_with_link(&mut self, client: ClientId, now: Now) {
        let ends_ns = self.mono_ns() + LINK_SLICE_NS;
        while self.conns[client].link.readable && !self.server.clients[client].killed {
            if self.server.clients[client].blocked != Some(Blocked::Link) || links::is_waiting(&self.server, client) {
                break;
            }
            let scratch = &mut self.scratch[self.scratch_used..];
            let conn = &mut self.conns[client];
            match conn.link.read(scratch) {
                Ok(Received::Bytes(count)) => {
                    note_input(&mut self.server, client, count, now);
                    let bytes = &scratch[..count];
                    if let Went::Streams(from) = links::receive(&mut self.server, client, bytes, &mut conn.out, now)
                        && from < count
                    {
                        conn.input.push_ahead(&bytes[from..]);
                    }
                    self.conns.queue_flush(client);
                }
                Ok(Received::Nothing) => break,
                Ok(Received::End) => links::closed(&mut self.server, client, None),
                Err(error) => links::closed(&mut self.server, client, Some(&error)),
            }
            if self.mono_ns() >= ends_ns {
                break;
            }
        }
        self.requeue(client);
    }

    /// Closes a connection at the end of the next turn; until then nothing is done for its client.
    pub fn disconnect(&mut self, client: ClientId) {
        if self.conns.get_mut(client).is_some() {
            self.server.kill(client);
        }
    }

    /// Reads from a client that waits or is about to be closed: behind all it has sent may come its end. What a waiting
    /// client sends is kept for later, what a closing one sends is dropped.
    #[cold]
    pub(super) fn look_after(&mut self, client: ClientId, now: Now) {
        let (conn, session) = (&mut self.conns[client], &self.server.clients[client]);
        if session.blocked == Some(Blocked::Link) && !session.closing {
            return self.go_on_with_link(client, now);
        }
        if conn.link.broken {
            return self.server.kill(client);
        }
        if !conn.link.readable || session.killed {
            return;
        }
        if session.link.is_some() && conn.input.unparsed_bytes() > LINK_AHEAD_BYTES_MAX {
            // It is read on when what has come may run; until then the primary keeps it.
            return;
        }
        let (scratch, is_closing) = (&mut self.scratch[self.scratch_used..], session.closing);
        let received = if is_closing {
            conn.input.clear();
            conn.link.read(scratch)
        } else {
            conn.input.read_ahead(&mut conn.link, scratch)
        };
        match received {
            Ok(Received::Bytes(count)) if !is_closing => {
                let unparsed_bytes = conn.input.unparsed_bytes();
                note_input(&mut self.server, client, count, now);
                self.server.clients[client].buffers.query_bytes = unparsed_bytes;
                self.server.count_client_bytes(client);
                self.check_query_limit(client);
            }
            Ok(Received::Bytes(_) | Received::Nothing) => {}
            // It may still be taking its last replies.
            Ok(Received::End) if is_closing => (conn.link.readable, conn.link.hung_up) = (false, true),
            Ok(Received::End) => self.server.kill(client),
            Err(error) => self.fail(client, &error),
        }
        self.requeue(client);
    }

    /// The connection cannot be read any more.
    #[cold]
    pub(super) fn fail(&mut self, client: ClientId, error: &io::Error) {
        log::debug!("Reading from client: {error}");
        self.server.kill(client);
    }

    /// The client will send no more: it is closed once its replies are out.
    pub(super) fn finish_input(&mut self, client: ClientId) {
        if self.server.clients[client].is_replica {
            return self.server.kill(client);
        }
        log::debug!("Client closed connection {}", self.server.clients[client].peer);
        self.server.clients[client].closing = true;
        let link = &mut self.conns[client].link;
        (link.readable, link.hung_up) = (false, true);
        self.conns.queue_flush(client);
    }

    /// Disconnects a client that has sent more than it may before its commands have run.
    pub(super) fn check_query_limit(&mut self, client: ClientId) {
        let Turn { server, conns, .. } = self;
        let session = &server.clients[client];
        if session.link.is_some() {
            // What the primary has taken is no more than a client may send it.
            return;
        }
        // What MULTI has queued has not run either.
        let queued_bytes = session.transaction.as_ref().map_or(0, |queued| queued.heap_bytes());
        if (conns[client].input.unparsed_bytes() + queued_bytes) as u64 > server.config.client_query_buffer_limit {
            log::warn!("Closing client that reached max query buffer length: {}", session.peer);
            server.stats.query_limit_disconnections += 1;
            server.kill(client);
        }
    }

    /// Once a second: idle clients and clients over their soft output limit.
    pub(super) fn walk_clients(&mut self, now_ms: u64) {
        let timeout_ms = u64::from(self.server.config.timeout) * 1000;
        for conn in self.conns.iter_mut() {
            let client = conn.client;
            let session = &self.server.clients[client];
            let limit = self.server.output_limit_of(client);
            let idle = timeout_ms > 0
                && session.link.is_none()
                && !self.server.is_listening(client)
                && !session.is_replica
                && session.blocked.is_none()
                && now_ms - session.active_ms > timeout_ms;
            let soft = limit.soft_bytes > 0 && self.server.counted_output(client, conn.out.len()) > limit.soft_bytes;
            let since_ms = *conn.soft_over_ms.get_or_insert(now_ms);
            if !soft {
                conn.soft_over_ms = None;
            }
            let closing_ms_max = if conn.link.hung_up { HALF_CLOSED_MS_MAX } else { CLOSING_MS_MAX };
            // One whose last replies wait for the disk is not to blame for that.
            let stuck = session.closing
                && !session.is_replica
                && !conn.gate.is_shut()
                && now_ms - session.active_ms > closing_ms_max;
            let over = soft && now_ms - since_ms >= u64::from(limit.soft_seconds) * 1000;
            if idle {
                log::debug!("Closing idle client");
            }
            if stuck {
                log::debug!("Closing client that does not take its last replies");
            }
            if over {
                self.server.note_cut_off(client);
            }
            if idle || over || stuck {
                self.server.clients.kills.push(client);
            }
        }
    }

    /// Disconnects the largest clients while all together take more than they may.
    #[inline]
    pub(super) fn evict_clients(&mut self, now: Now) {
        if self.server.clients_limit_bytes() == 0 {
            return;
        }
        for client in self.server.take_oversized() {
            let line = command::client::line_of(&self.server, client, now, 0);
            log::info!("Evicting client: {}", String::from_utf8_lossy(&line));
            self.server.kill(client);
        }
    }

    /// Closes the connections of clients that are to be disconnected, and forgets the clients.
    pub(super) fn close_killed(&mut self) {
        if self.server.clients.kills.is_empty() {
            return;
        }
        for client in std::mem::take(&mut self.server.clients.kills) {
            if self.server.clients.get(client).is_none() {
                continue;
            }
            if let Some(Conn { link, input, out, .. }) = self.conns.remove(client) {
                if input.heap_bytes() + out.heap_bytes() >= FREED_APART_BYTES_MIN {
                    self.server.background.free(Box::new((input, out)));
                }
                self.closed.push(link.transport);
            }
            self.server.forget(client);
        }
        self.conns.tidy();
    }
}
