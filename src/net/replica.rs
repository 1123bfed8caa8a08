//! The connections of replicas: behind their output, in which snapshots come, they are sent the stream, straight from where it is
//! kept for all of them.
//!
//! A replica is not closed for being idle, and nothing that it is sent waits for this server's disk. One for which more is kept than
//! its output limit allows is cut off, whether that is a snapshot or the stream.

use std::io::{self, ErrorKind};

use crate::base::clock::Now;
use crate::server::Server;
use crate::server::replication::replica::{Replica, Standing};
use crate::server::session::Buffers;

use super::conn::{BufferPool, Conn};
use super::transport::Transport;
use super::turn::Turn;

/// Bytes in one write to a replica: the kernel copies them while everybody else waits.
const WRITE_BYTES_MAX: usize = 256 * 1024;

impl<T: Transport> Turn<T> {
    /// Has those replicas sent something for which there is something.
    #[inline]
    pub(super) fn queue_replicas(&mut self) {
        if !self.server.replication.replicas.is_empty() {
            self.queue_all_replicas();
        }
    }

    fn queue_all_replicas(&mut self) {
        let Turn { server, conns, .. } = self;
        for client in &server.replication.replicas {
            let Some(conn) = conns.get_mut(*client) else { continue };
            if !std::mem::replace(&mut conn.is_replica, true) {
                conn.gate.open();
                if server.config.repl_disable_tcp_nodelay {
                    conn.link.transport.gather_writes();
                }
            }
            // One that is sent nothing at present is held against its limit as well.
            let is_behind = server.counted_output(*client, conn.out.len()) > 0;
            if is_behind || !conn.out.is_empty() {
                conns.queue_flush(*client);
            }
        }
    }
}

impl<T: Transport> Conn<T> {
    /// Sends a replica what it has not got: `most` bytes at most. True if the transport takes more at once.
    pub(super) fn send_to_replica(
        &mut self,
        server: &mut Server,
        pool: &mut BufferPool,
        now: Now,
        most: usize,
    ) -> bool {
        let client = self.client;
        let out_peak_bytes = self.out.len();
        let sent = match self.send_output_and_stream(server, most) {
            Ok(sent) => sent,
            Err(error) => {
                log::debug!("Writing to replica: {error}");
                server.kill(client);
                return false;
            }
        };
        let Server { clients, stats, replication, .. } = server;
        let session = &mut clients[client];
        if sent > 0 {
            session.active_ms = now.mono_ms();
            if let Some(replica) = session.replica.as_mut().filter(|replica| replica.standing != Standing::Online) {
                replica.heard_ms = now.mono_ms();
            }
            session.net_out_bytes += sent as u64;
            stats.net_out_bytes += sent as u64;
            replication.counts.out_bytes += sent as u64;
            stats.writes += 1;
        }
        let stream_bytes = server.unsent_stream(client).unwrap_or(0) as usize;
        let left = self.out.len();
        if left == 0 {
            pool.take_back(&mut self.out);
        }
        let session = &mut server.clients[client];
        session.buffers = Buffers {
            query_bytes: self.input.unparsed_bytes(),
            query_free_bytes: self.input.free_bytes(),
            out_bytes: left + stream_bytes,
            out_peak_bytes: out_peak_bytes.max(left),
            out_chunks: self.out.chunks(),
            out_heap_bytes: self.out.heap_bytes(),
        };
        let limit = server.replica_limit();
        if limit.hard_bytes > 0 && server.counted_output(client, left) > limit.hard_bytes {
            server.cut_off(client);
            return false;
        }
        let session = &server.clients[client];
        let has_all = |replica: &Replica| replica.is_rdb_only && replica.standing == Standing::Loading;
        if session.closing
            || (left == 0 && session.posted_bytes == 0 && session.replica.as_deref().is_some_and(has_all))
        {
            server.kill(client);
            return false;
        }
        self.flushing = self.link.writable && left + stream_bytes > 0;
        self.flushing
    }

    /// One write of each, as far as the transport takes it. Returns the bytes sent.
    fn send_output_and_stream(&mut self, server: &mut Server, most: usize) -> io::Result<usize> {
        let mut sent = 0;
        if self.link.writable && !self.out.is_empty() {
            sent = self.link.send(&mut self.out, most.min(WRITE_BYTES_MAX))?;
        }
        if !self.link.writable || !self.out.is_empty() {
            return Ok(sent);
        }
        let client = self.client;
        if server.unsent_stream(client).is_none_or(|bytes| bytes == 0) {
            return Ok(sent);
        }
        let next = server.clients[client].replica.as_ref().and_then(|replica| replica.next);
        let (Some(backlog), Some(next)) = (&server.replication.backlog, next) else { return Ok(sent) };
        let count = match self.link.transport.write_vectored(&backlog.slices(next, most.min(WRITE_BYTES_MAX))) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.link.writable = false;
                0
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        server.note_streamed(client, count);
        Ok(sent + count)
    }
}
