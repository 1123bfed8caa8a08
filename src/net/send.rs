//! The end of a turn for one client: one write of what it has been answered, and what follows when all of it is out, or more is
//! left than its limit allows. The loop decides who is to be sent something.

use crate::base::clock::Now;
use crate::config::{OutputLimit, OutputLimits};
use crate::feature::client_id::ClientId;
use crate::resp::out::Out;
use crate::server::Server;
use crate::server::session::{Buffers, Session};

use super::conn::Conn;

/// Output buffers kept for reuse, and the largest that is kept.
const POOL_BUFFERS_MAX: usize = 256;
const POOL_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Output buffers that no connection has at present: an idle one holds none.
#[derive(Debug, Default)]
pub(super) struct BufferPool(Vec<Vec<u8>>);

impl BufferPool {
    /// Lends an output without contents a buffer, if there is one.
    #[inline]
    pub(super) fn lend(&mut self, out: &mut Out) {
        if out.is_empty()
            && let Some(buffer) = self.0.pop()
        {
            out.give_buffer(buffer);
        }
    }

    /// Takes the buffer of an output that has been sent.
    fn take_back(&mut self, out: &mut Out) {
        let buffer = out.take_buffer();
        if self.0.len() < POOL_BUFFERS_MAX && (1..=POOL_BUFFER_BYTES_MAX).contains(&buffer.capacity()) {
            self.0.push(buffer);
        }
    }
}

/// The output limit of a client's class.
pub(super) fn limit_of(limits: OutputLimits, session: &Session) -> OutputLimit {
    limits.of(session.is_sent_messages())
}

/// Sends what a client has been answered. True if the kernel takes more at once.
pub(super) fn send_replies(
    server: &mut Server,
    client: ClientId,
    conn: &mut Conn,
    pool: &mut BufferPool,
    now: Now,
) -> bool {
    let Server { clients, stats, .. } = server;
    let session = &mut clients[client];
    conn.flushing = false;
    if session.killed {
        // It is closed at the end of this turn, and gets nothing more.
        return false;
    }
    let out_peak_bytes = conn.out.len();
    if conn.writable && out_peak_bytes > 0 {
        match conn.flush() {
            Ok(count) => {
                if count > 0 {
                    session.active_ms = now.mono_ms();
                }
                session.net_out_bytes += count as u64;
                stats.net_out_bytes += count as u64;
                stats.writes += 1;
            }
            Err(error) => {
                log::debug!("Writing to client: {error}");
                clients.kills.push(client);
                return false;
            }
        }
    }
    if session.held_back {
        server.release_held(client, &mut conn.out);
    }
    let session = &server.clients[client];
    let left = conn.out.len();
    if conn.out.is_cut() {
        // Bytes are missing: what is left is no reply.
        server.cut_off(client);
    } else if left == 0 {
        pool.take_back(&mut conn.out);
        if session.closing {
            server.clients.kills.push(client);
        }
    } else {
        let limit = limit_of(server.config.client_output_buffer_limit, session);
        if limit.hard_bytes > 0 && left as u64 > limit.hard_bytes {
            server.cut_off(client);
        } else {
            // A short write: the kernel will tell when there is room again, unless it has been told already.
            conn.flushing = conn.writable;
        }
    }
    let session = &mut server.clients[client];
    session.buffers = Buffers {
        query_bytes: conn.unparsed_bytes(),
        query_free_bytes: conn.input.capacity() - conn.input.len(),
        out_bytes: left,
        out_peak_bytes,
        out_chunks: conn.out.chunks(),
        out_heap_bytes: conn.out.heap_bytes(),
    };
    conn.flushing
}
