//! The loop: what stands between the kernel and a [`Turn`]. One thread, one `Reactor::turn` after another:
//!
//! 1. wait for events, until the next timer at the latest; where it pays, without sleeping at first (see `busy`);
//! 2. take the time, once;
//! 3. note what has become ready, and take signals;
//! 4. accept clients, in bounded batches;
//! 5. run the turn: commands, timers, replies (see [`super::turn`]);
//! 6. take the sockets of closed connections out of the poll.
//!
//! Between the timers and the replies of a turn it answers those who ask for metrics.
//!
//! Owns the poll, the listening sockets, the metrics port, the alarm, the signals, and the ties to the service manager. Knows no
//! commands and no buffers.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::base::clock::Now;
use crate::config::ShutdownOn;
use crate::engine::jobs;
use crate::server::outgoing::Wanted;
use crate::server::phases::Phase;
use crate::server::session::Origin;
use crate::server::{Listening, Server};
use crate::sys::alarm::Alarm;
use crate::sys::listen::BoundSocket;
use crate::sys::notify::{Notifier, READY_STATUS};
use crate::sys::signal::{Signal, Signals};
use crate::sys::watchdog::Watchdog;

use super::busy::BusyPoll;
use super::listener::{Accepted, Listeners};
use super::metrics::MetricsPort;
use super::transport::{Readiness, Stream};
use super::turn::{ClientId, Peer, Turn};

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;
/// Milliseconds after which clients that could not be accepted are tried again, should no connection be closed before.
const ACCEPT_RETRY_MS: u64 = 1000;

/// Milliseconds between two messages to the service manager that tell how far loading is.
const PROGRESS_TOLD_MS: u64 = 1000;
/// For how long each of them extends the time that the start may take.
const LOADING_EXTENDED: Duration = Duration::from_secs(60);

const TOKEN_SIGNALS: Token = Token(usize::MAX);
const TOKEN_ALARM: Token = Token(usize::MAX - 1);
const TOKEN_BACKGROUND: Token = Token(usize::MAX - 2);
/// Listeners have the tokens just below, connections the lower half, and the metrics port those from the middle on.
const TOKEN_METRICS: usize = 1 << (usize::BITS - 1);
const TOKEN_LISTENERS: usize = usize::MAX - 3;
const LISTENERS_MAX: usize = 1024;
/// With more commands a read than this, the loop does not poll on before it sleeps.
const PIPELINED_COMMANDS_MIN: u64 = 4;
/// Bits of a connection's token that are its slot.
const SLOT_BITS: u32 = 31;

/// The loop with everything it owns.
#[derive(Debug)]
pub struct Reactor {
    poll: Poll,
    events: Events,
    alarm: Alarm,
    turn: Turn<Stream>,
    busy: BusyPoll,
    /// Nanoseconds for which the last turn was waited for, if connections ended the wait.
    waited_ns: Option<u64>,
    listeners: Listeners,
    metrics: MetricsPort,
    accept_retried_ms: u64,
    signals: Signals,
    notifier: Notifier,
    /// From when the server is ready, if the service manager wants to be told that it lives.
    watchdog: Option<Watchdog>,
    /// When the service manager was last told how far loading is, in monotonic milliseconds.
    progress_told_ms: Option<u64>,
    stopping: bool,
    /// The end that a signal has asked for waits for replicas.
    is_ending: bool,
}

impl Reactor {
    /// A loop over a server, listening on the given sockets.
    ///
    /// # Errors
    /// The kernel refuses a poll or a registration.
    pub fn new(
        mut server: Server,
        sockets: Vec<BoundSocket>,
        signals: Signals,
        notifier: Notifier,
    ) -> io::Result<Reactor> {
        let poll = Poll::new()?;
        poll.registry().register(&mut SourceFd(&signals.as_raw_fd()), TOKEN_SIGNALS, Interest::READABLE)?;
        let alarm = Alarm::new();
        if let Some(fd) = alarm.as_raw_fd() {
            poll.registry().register(&mut SourceFd(&fd), TOKEN_ALARM, Interest::READABLE)?;
        }
        if let Some(fd) = server.background.as_raw_fd() {
            poll.registry().register(&mut SourceFd(&fd), TOKEN_BACKGROUND, Interest::READABLE)?;
        }
        if let Some(fd) = server.persistence.log.as_raw_fd() {
            poll.registry().register(&mut SourceFd(&fd), TOKEN_BACKGROUND, Interest::READABLE)?;
        }
        let mut listeners = Listeners::default();
        listen(&mut server.process.clients_port, sockets, |sockets| {
            listeners.replace(sockets, poll.registry(), |i| Token(TOKEN_LISTENERS - i))
        })?;
        let mut turn = Turn::new(server);
        turn.server.note_startup_bytes();
        Ok(Reactor {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            alarm,
            turn,
            busy: BusyPoll::default(),
            waited_ns: None,
            listeners,
            metrics: MetricsPort::new(TOKEN_METRICS),
            accept_retried_ms: 0,
            signals,
            notifier,
            watchdog: None,
            progress_told_ms: None,
            stopping: false,
            is_ending: false,
        })
    }

    /// Runs turns until the server is told to stop, or cannot go on. `ready` is called once the data has been loaded. The service
    /// manager hears of that, of how far loading is until then, and of the end.
    ///
    /// # Errors
    /// The poll fails, or the watchdog cannot be answered; nothing can go on then.
    pub fn run(&mut self, ready: impl FnOnce()) -> io::Result<()> {
        while self.turn.server.is_loading() && !self.stopping {
            self.turn()?;
            self.tell_progress();
        }
        if !self.stopping {
            ready();
            self.tell("ready", self.notifier.status(READY_STATUS).and_then(|()| self.notifier.ready()));
            if self.notifier.is_active() {
                self.watchdog = Watchdog::from_env(self.turn.take_time().mono_ms())?;
            }
        }
        while !self.stopping {
            self.turn()?;
        }
        let now = self.turn.take_time();
        self.turn.finish(now);
        self.tell("stopping", self.notifier.stopping());
        Ok(())
    }

    /// Why the server could not go on, if that is why it stopped.
    pub fn failure(&mut self) -> Option<String> {
        self.turn.server.process.failure.take()
    }

    /// Tells the service manager how far loading is, and that it takes longer.
    fn tell_progress(&mut self) {
        let now_ms = self.turn.ended().mono_ms();
        let Some(loading) = &self.turn.server.persistence.loading else { return };
        if self.progress_told_ms.is_none_or(|told_ms| now_ms >= told_ms + PROGRESS_TOLD_MS) {
            self.progress_told_ms = Some(now_ms);
            let told = self.notifier.loading(loading.percent() as u32, LOADING_EXTENDED);
            self.tell("loading", told);
        }
    }

    /// Logs a failure to reach the service manager, which no request depends on.
    fn tell(&self, what: &str, sent: io::Result<()>) {
        if let Err(error) = sent {
            log::warn!("Cannot tell the service manager that the server is {what}: {error}");
        }
    }

    /// One turn, as the module header lists it.
    fn turn(&mut self) -> io::Result<()> {
        self.wait()?;
        let now = self.turn.take_time();
        let are_ready = self.note_events();
        self.waited_ns = are_ready.then(|| now.mono_ns.saturating_sub(self.turn.ended().mono_ns));
        self.accept(now);
        let Reactor { turn, listeners, metrics, poll, .. } = self;
        let before = Load::of(&turn.server);
        turn.run(now, |server| {
            act_on_config(listeners, metrics, server, poll.registry());
            if metrics.is_due(now) {
                show_metrics(metrics, server, poll.registry(), now);
            }
        });
        if Load::of(&turn.server).is_pipelined_since(before) {
            self.waited_ns = None;
        }
        if self.turn.server.outgoing.has_wanted() {
            self.connect(now);
        }
        self.release_closed(now);
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.mark(now.mono_ms());
        }
        self.stopping |= self.turn.server.process.stop_requested;
        if self.is_ending && !self.stopping && self.turn.server.process.ending.is_none() {
            self.is_ending = false;
            self.signals.shutdown_refused();
            self.tell("going on", self.notifier.status("Does not end"));
        }
        Ok(())
    }

    /// Waits for events, if there is nothing to do at once.
    fn wait(&mut self) -> io::Result<()> {
        if self.turn.has_work() || self.listeners.is_accepting() || self.metrics.has_work() {
            return self.poll(Some(Duration::ZERO));
        }
        // The last turn has just ended, so its end is now.
        let mut now_ns = self.turn.ended().mono_ns;
        let watchdog = self.watchdog.as_ref().map_or(u64::MAX, Watchdog::due_ms);
        let due_ms = self.turn.next_due_ms().min(watchdog);
        let busy_us = self.turn.server.config.busy_poll_us;
        if busy_us > 0 && self.waited_ns.is_some_and(|waited_ns| self.busy.should_attempt(waited_ns)) {
            let ends_ns = (now_ns + u64::from(busy_us) * 1000).min(due_ms.saturating_mul(1_000_000));
            while now_ns < ends_ns {
                self.poll(Some(Duration::ZERO))?;
                if !self.events.is_empty() {
                    self.busy.attempted(true);
                    return Ok(());
                }
                now_ns = self.turn.mono_ns();
            }
            self.busy.attempted(false);
        }
        // Keys fall due on whole wall-clock milliseconds; what is waited are whole milliseconds as well. Without end if the alarm
        // ends the wait.
        let timeout = self.alarm.wait_until(due_ms, now_ns / 1_000_000);
        self.poll(timeout)
    }

    fn poll(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// Notes what events say. True if any is about a connection.
    fn note_events(&mut self) -> bool {
        let (mut signalled, mut are_ready) = (false, false);
        for event in &self.events {
            let Token(token) = event.token();
            if token < TOKEN_METRICS {
                self.turn.note(client_of(token), readiness(event));
                are_ready = true;
            } else if token <= TOKEN_LISTENERS - LISTENERS_MAX {
                self.metrics.note(token, readiness(event));
            } else if token <= TOKEN_LISTENERS {
                self.listeners.note(TOKEN_LISTENERS - token);
            } else {
                // The alarm has nothing to tell but that time has passed, and a turn looks for completions in any case.
                signalled |= event.token() == TOKEN_SIGNALS;
            }
        }
        if signalled {
            self.take_signals();
        }
        are_ready
    }

    fn take_signals(&mut self) {
        for signal in self.signals.drain() {
            match signal {
                Signal::Terminate => {
                    log::warn!("Received SIGTERM scheduling shutdown...");
                    self.stop(self.turn.server.config.shutdown_on_sigterm);
                }
                Signal::Interrupt => {
                    log::warn!("Received SIGINT scheduling shutdown...");
                    self.stop(self.turn.server.config.shutdown_on_sigint);
                }
                Signal::Hangup => {
                    self.tell("reloading", self.notifier.reloading());
                    crate::sys::log::reopen();
                    self.tell("ready", self.notifier.ready());
                }
            }
        }
    }

    /// Stops at the end of this turn, unless what has to be saved first cannot be.
    fn stop(&mut self, how: ShutdownOn) {
        if self.stopping {
            return;
        }
        self.tell("saving", self.notifier.status("Saving before the end"));
        let now = self.turn.take_time();
        jobs::finish_writing(&mut self.turn.server, now);
        if self.turn.server.ends_later(how, now) {
            self.is_ending = true;
            return self.tell("waiting", self.notifier.status("Waiting for replicas before the end"));
        }
        match self.turn.server.prepare_shutdown(how, now) {
            Ok(()) => self.stopping = true,
            Err(_) => {
                self.signals.shutdown_refused();
                self.tell("going on", self.notifier.status("Cannot save, and does not end"));
            }
        }
    }

    fn accept(&mut self, now: Now) {
        if !self.listeners.is_accepting() {
            return;
        }
        let Reactor { listeners, turn, poll, .. } = self;
        let config = &turn.server.config;
        let (most, keepalive_s) = (config.max_new_connections_per_cycle, config.tcp_keepalive);
        listeners.accept(most, keepalive_s, |Accepted { stream, peer }| {
            let Some(client) = turn.admit(stream, peer, now) else { return };
            let Some(stream) = turn.transport_mut(client) else { return };
            let interest = Interest::READABLE | Interest::WRITABLE;
            if let Err(error) = poll.registry().register(stream.source(), token_of(client), interest) {
                log::warn!("Registering a client's connection: {error}");
                turn.disconnect(client);
            }
        });
    }

    /// Makes the connections that the server wants. That one is made, or cannot be, an event tells.
    #[cold]
    fn connect(&mut self, now: Now) {
        while let Some(Wanted { kind, address }) = self.turn.take_wanted() {
            let Reactor { turn, poll, .. } = self;
            let stream = match connect_from(turn.server.config.bind_source_addr, address) {
                Ok(stream) => stream,
                Err(error) => {
                    turn.connect_failed(kind, &error);
                    continue;
                }
            };
            let _ = stream.set_nodelay(true);
            let local = stream.local_addr().map_or_else(|_| String::new(), |address| address.to_string());
            let stream = Stream::Tcp(stream);
            let peer = Peer { origin: Origin::Remote, address: address.to_string(), local, fd: stream.fd() };
            let Some(client) = turn.admit_outgoing(stream, kind, peer, now) else { continue };
            let Some(stream) = turn.transport_mut(client) else { continue };
            let interest = Interest::READABLE | Interest::WRITABLE;
            if let Err(error) = poll.registry().register(stream.source(), token_of(client), interest) {
                log::warn!("Registering a connection that was made: {error}");
                turn.disconnect(client);
            }
        }
    }

    /// Takes the sockets of closed connections out of the poll, and closes them. A descriptor that has become free may be what
    /// accepting lacked.
    fn release_closed(&mut self, now: Now) {
        let closed = self.turn.take_closed();
        if !closed.is_empty() || now.mono_ms() >= self.accept_retried_ms + ACCEPT_RETRY_MS {
            self.accept_retried_ms = now.mono_ms();
            self.listeners.retry();
            self.metrics.retry();
        }
        for mut stream in closed {
            // Closing the descriptor removes it from the poll as well, so a failure changes nothing.
            let _ = self.poll.registry().deregister(stream.source());
        }
    }
}

/// Begins to connect, from an address of this machine if one is named.
fn connect_from(source: Option<IpAddr>, address: SocketAddr) -> io::Result<TcpStream> {
    let Some(source) = source else { return TcpStream::connect(address) };
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

/// What the server has done so far.
#[derive(Clone, Copy)]
struct Load {
    commands: u64,
    reads: u64,
}

impl Load {
    fn of(server: &Server) -> Load {
        Load { commands: server.stats.commands, reads: server.stats.reads }
    }

    /// True if a read has brought many commands on average: their clients wait for all the replies together, and a wake-up is
    /// little beside the work. Polling on then costs more than it saves.
    fn is_pipelined_since(self, before: Load) -> bool {
        // CONFIG RESETSTAT begins to count anew.
        let (commands, reads) =
            (self.commands.saturating_sub(before.commands), self.reads.saturating_sub(before.reads));
        commands > PIPELINED_COMMANDS_MIN * reads.max(1)
    }
}

/// A connection's token: 32 bits of its serial number above 31 of its slot, of which there are fewer than open files.
fn token_of(client: ClientId) -> Token {
    Token((client.serial() as usize) << SLOT_BITS | client.slot())
}

#[inline]
fn client_of(token: usize) -> ClientId {
    ClientId::new(token & ((1 << SLOT_BITS) - 1), (token >> SLOT_BITS) as u64)
}

#[inline]
fn readiness(event: &Event) -> Readiness {
    let is_error = event.is_error();
    Readiness {
        readable: event.is_readable(),
        writable: event.is_writable(),
        read_closed: event.is_read_closed() || is_error,
        write_closed: event.is_write_closed() || is_error,
    }
}

/// Settings that CONFIG SET changed and that concern the loop.
fn act_on_config(listeners: &mut Listeners, metrics: &mut MetricsPort, server: &mut Server, registry: &Registry) {
    let (process, backlog) = (&mut server.process, server.config.tcp_backlog);
    if let Some(sockets) = process.clients_port.next.take() {
        let register = |sockets| listeners.replace(sockets, registry, |i| Token(TOKEN_LISTENERS - i));
        if let Err(error) = listen(&mut process.clients_port, sockets, register) {
            keep_listening(&process.clients_port, backlog, &error);
        }
    }
    if let Some(sockets) = process.metrics_port.next.take()
        && let Err(error) = listen(&mut process.metrics_port, sockets, |sockets| metrics.listen(sockets, registry))
    {
        keep_listening(&process.metrics_port, backlog, &error);
    }
}

/// Goes on with the old sockets, for the new ones cannot be listened on.
fn keep_listening(listening: &Listening, backlog: u32, error: &io::Error) {
    log::error!("Listening on the new addresses: {error}; the old ones stay");
    for socket in &listening.open {
        if let Err(error) = socket.resume(backlog) {
            log::error!("Listening on {} again: {error}", socket.address);
        }
    }
}

/// Replaces listening sockets; if that fails, those there are remain.
fn listen(
    listening: &mut Listening,
    sockets: Vec<BoundSocket>,
    register: impl FnOnce(Vec<BoundSocket>) -> io::Result<()>,
) -> io::Result<()> {
    let handles = sockets.iter().map(BoundSocket::try_clone).collect::<io::Result<_>>()?;
    register(sockets)?;
    listening.open = handles;
    Ok(())
}

/// Serves those who ask for metrics, as a phase of the turn.
#[cold]
fn show_metrics(metrics: &mut MetricsPort, server: &mut Server, registry: &Registry, now: Now) {
    server.phases.pass(Phase::Timers, server.clock.mono_ns());
    metrics.run(server, registry, now);
    server.phases.lap(Phase::Metrics, server.clock.mono_ns());
}

#[cfg(test)]
#[path = "reactor_tests.rs"]
mod tests;
