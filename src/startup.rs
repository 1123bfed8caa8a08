//! What happens between the arguments and the loop, and after it, in Redis's order and with its texts: the working
//! directory, the background, the log, the limits, the listening sockets, the pid file, the title, the service manager; in
//! the end the removal of what was put on disk.
//!
//! The order has one hard rule: the process forks, and its environment moves, before it has a second thread, and the log
//! starts one.
//!
//! Called once by `main`. Knows nothing of commands and requests. Everything that can fail here ends the program, with
//! one clear line, before a client could connect.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aleadb::base::clock::{Clock, SystemClock};
use aleadb::command::{self, acl};
use aleadb::config::file::{LoadError, Sources};
use aleadb::config::{BindAddress, Config, Supervised, title};
use aleadb::engine::persistence::start;
use aleadb::net::reactor::Reactor;
use aleadb::persist::storage::RealStorage;
use aleadb::server::background::Background;
use aleadb::server::{Identity, Outside, Seeds, Server};
use aleadb::sys::listen::{self, BoundSocket, Listening};
use aleadb::sys::notify::{ListenFd, Notifier, listen_fds};
use aleadb::sys::{alloc, daemon, error_text, limits, log as logging, signal::Signals, title as shown};

/// Where a process in the background writes its id unless the configuration says otherwise.
const BACKGROUND_PID_FILE: &str = "/var/run/aleadb.pid";

/// How long the beginning and the end of serving wait for the lines before them to be written.
const LINES_WAIT: Duration = Duration::from_secs(1);

/// Why the server ended other than by request.
pub struct Failure {
    /// What to tell the user.
    pub text: String,
    /// The user has been told, in the log that is standard output.
    pub is_on_stdout: bool,
}

/// Runs the server until it is told to stop, or, if the configuration sends it to the background, starts the process that
/// does.
///
/// # Errors
/// It cannot start, or the loop cannot go on.
pub fn run(mut config: Config, config_file: Option<PathBuf>, sources: Sources) -> Result<(), Failure> {
    let untold = |text: String| Failure { text, is_on_stdout: false };
    enter_directory(&config).map_err(|error| untold(error.to_string()))?;
    // The manager's variables name the process that was started, so they are read before it forks.
    let manager = Manager::find(config.supervised);
    if config.daemonize && !manager.supervises() {
        // While there is somebody to tell.
        let checked = config.logfile.as_deref().map_or(Ok(()), logging::check);
        checked.map_err(|error| untold(cannot_log(&config, &error).to_string()))?;
        let side = daemon::to_background();
        match side.map_err(|error| untold(format!("Can't go to the background: {}", error_text(&error))))? {
            daemon::Side::Parent => return Ok(()),
            daemon::Side::Child => config.pidfile = config.pidfile.or_else(|| Some(PathBuf::from(BACKGROUND_PID_FILE))),
        }
    }
    let clock: Rc<dyn Clock> = Rc::new(SystemClock::start());
    let titled = if config.set_proc_title { shown::prepare() } else { Ok(()) };
    start_log(&config).map_err(|error| untold(error.to_string()))?;
    let outcome = serve(config, config_file, sources, clock, manager, titled).map_err(|text| {
        log::error!("{text}");
        Failure { text, is_on_stdout: !logging::is_to_file() }
    });
    logging::finish(LINES_WAIT);
    outcome
}

/// Enters the working directory, which relative paths start from.
fn enter_directory(config: &Config) -> Result<(), LoadError> {
    std::env::set_current_dir(&config.dir)
        .map_err(|error| LoadError::new(format!("Can't chdir to '{}': {}", config.dir.display(), error_text(&error))))
}

fn start_log(config: &Config) -> Result<(), LoadError> {
    let syslog = logging::Syslog { ident: config.syslog_ident.clone(), facility: config.syslog_facility.number() };
    let options = logging::Options {
        level: config.loglevel.filter(),
        path: config.logfile.clone(),
        syslog: config.syslog_enabled.then_some(syslog),
    };
    logging::start(options).map_err(|error| cannot_log(config, &error))
}

fn cannot_log(config: &Config, error: &io::Error) -> LoadError {
    let path = config.logfile.as_deref().unwrap_or(Path::new("standard output"));
    LoadError::new(format!("Can't open the log file: {}: {}", path.display(), error_text(error)))
}

/// What the service manager that started this process says.
struct Manager {
    wanted: Supervised,
    notifier: io::Result<Notifier>,
    passed: io::Result<Vec<ListenFd>>,
}

impl Manager {
    fn find(wanted: Supervised) -> Manager {
        let notifier = if wanted == Supervised::No { Ok(Notifier::default()) } else { Notifier::from_env() };
        Manager { wanted, notifier, passed: listen_fds() }
    }

    /// Whether it wants to hear from us, and watches this very process.
    fn supervises(&self) -> bool {
        self.notifier.as_ref().is_ok_and(Notifier::is_active)
    }
}

/// Everything that the log can tell about, from the first line to the last.
fn serve(
    mut config: Config,
    config_file: Option<PathBuf>,
    sources: Sources,
    clock: Rc<dyn Clock>,
    manager: Manager,
    titled: io::Result<()>,
) -> Result<(), String> {
    log_greeting(&sources);
    rename_commands(&sources)?;
    let notifier = notifier(manager.wanted, manager.notifier)?;
    let passed = manager.passed.map_err(|error| format!("Failed taking over a socket: {}", error_text(&error)))?;
    let signals = Signals::install().map_err(|error| format!("Can't install the signal handlers: {error}"))?;
    config.maxclients = make_room(config.maxclients)?;
    quiet_huge_pages(config.disable_thp);
    if let Err(error) = alloc::purge_in_slices() {
        log::warn!("Freeing much memory at once may hold the loop for milliseconds: {error}");
    }
    log_mode(&config);
    limits::startup_warnings(config.tcp_backlog).iter().for_each(|warning| log::warn!("{warning}"));

    let passed = passed.into_iter().map(BoundSocket::passed).collect::<io::Result<Vec<_>>>();
    let passed = passed.map_err(|error| format!("Failed taking over a socket: {}", error_text(&error)))?;
    let mut files = OwnFiles::default();
    let sockets = open_sockets(&config, passed, &mut files)?;
    files.write_pid(config.pidfile.as_deref());
    match titled {
        Ok(()) => drop(shown::set(&title::title(&config, shown::program(), config_file.as_deref()))),
        Err(error) => log::debug!("The title of the process stays as it is: {error}"),
    }
    let kinds = kinds(&sockets);

    let identity = identity(config_file, &*clock);
    let seeds = Seeds { hash: limits::entropy(), prng: limits::entropy_u64() };
    let background = Background::new();
    let background =
        background.map_err(|error| format!("Can't prepare work in the background: {}", error_text(&error)))?;
    let mut server =
        Server::new(config, sources, identity, seeds, Outside { clock, background, storage: Arc::new(RealStorage) });
    let settings = &server.config;
    let metrics = open_tcp(&settings.metrics_bind, settings.metrics_port, settings.tcp_backlog)?;
    server.process.metrics_port.next = Some(metrics);
    acl::load_at_start(&mut server)?;
    let now = server.clock.now();
    start::begin(&mut server, now)?;
    let mut reactor = Reactor::new(server, sockets, signals, notifier)
        .map_err(|error| format!("Failed creating the event loop. Error message: '{}'", error_text(&error)))?;
    log::info!("Server initialized");
    let ready = || {
        kinds.iter().for_each(|kind| log::info!("Ready to accept connections {kind}"));
        // Who sees the server answer finds in the log what it started with.
        logging::finish(LINES_WAIT);
    };
    let outcome = reactor.run(ready).map_err(|error| format!("The event loop failed: {}", error_text(&error)));
    let outcome = outcome.and_then(|()| reactor.failure().map_or(Ok(()), Err));
    // The kernel takes everything back at once; freeing millions of keys one by one would only delay the end.
    std::mem::forget(reactor);
    drop(files);
    outcome?;
    log::warn!("AleaDB is now ready to exit, bye bye...");
    Ok(())
}

/// Gives commands the names that the configuration has for them.
fn rename_commands(sources: &Sources) -> Result<(), String> {
    let lines = sources.renames();
    if lines.is_empty() {
        return Ok(());
    }
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let renames: Vec<_> = lines.iter().map(|line| (text(&line.from), text(&line.to))).collect();
    command::rename(&renames).map_err(|(place, error)| lines[place].error(error.text()).to_string())
}

fn log_greeting(sources: &Sources) {
    log::info!("oO0OoO0OoO0Oo AleaDB is starting oO0OoO0OoO0Oo");
    let (version, bits) = (env!("CARGO_PKG_VERSION"), usize::BITS);
    log::info!("AleaDB version={version}, bits={bits}, pid={}, just started", std::process::id());
    for place in sources.silent() {
        log::warn!("Warning: {place} sets nothing: every line is empty or a comment.");
    }
    if *sources == Sources::default() {
        log::warn!(
            "Warning: no config file specified, using the default config. In order to specify a config file use aleadb \
             /path/to/aleadb.conf"
        );
    } else {
        log::info!("Configuration loaded");
    }
}

/// The way to the service manager, if the configuration wants one told.
fn notifier(wanted: Supervised, found: io::Result<Notifier>) -> Result<Notifier, String> {
    let notifier = found.map_err(|error| format!("systemd supervision: {}", error_text(&error)))?;
    if notifier.is_active() {
        log::info!(
            "supervised by systemd. Please make sure you set appropriate values for TimeoutStartSec and TimeoutStopSec in \
             your service unit."
        );
    } else if wanted == Supervised::Systemd {
        log::warn!("systemd supervision requested, but NOTIFY_SOCKET not found!");
    }
    Ok(notifier)
}

/// Raises the limit of open files; gives the number of clients that fit.
fn make_room(max_clients: u32) -> Result<u32, String> {
    let room = limits::raise_open_files(max_clients).map_err(|error| error.to_string())?;
    room.messages.iter().for_each(|(level, text)| log::log!(*level, "{text}"));
    Ok(room.max_clients)
}

fn quiet_huge_pages(disable: bool) {
    if limits::thp_enabled() && !(disable && limits::disable_thp().is_ok()) {
        log::warn!(
            "WARNING You have Transparent Huge Pages (THP) support enabled in your kernel. This will create latency and \
             memory usage issues with AleaDB. To fix this issue run the command 'echo madvise > \
             /sys/kernel/mm/transparent_hugepage/enabled' as root, and add it to your /etc/rc.local in order to retain \
             the setting after a reboot. AleaDB must be restarted after THP is disabled (set to 'madvise' or 'never')."
        );
    }
}

/// The logo where a person looks, one line elsewhere.
fn log_mode(config: &Config) {
    let is_watched = config.logfile.is_none() && io::stdout().is_terminal();
    if !(is_watched || config.always_show_logo) {
        return log::info!("Running mode=standalone, port={}.", config.port);
    }
    if log::log_enabled!(log::Level::Info) {
        let (version, bits, pid) = (env!("CARGO_PKG_VERSION"), usize::BITS, std::process::id());
        let port = config.port;
        logging::raw(&format!(
            "\n     .-------.\n    / o   o /|     AleaDB {version}, {bits} bit\n   /   o   / |     Running in standalone mode\n  \
             / o   o /  o     Port: {port}\n .-------. o |     PID: {pid}\n | o     |  o\n |   o   | /\n |     o |/\n \
             '-------'\n\n"
        ));
    }
}

/// The sockets that the service manager passed, or those of the configuration. A configured Unix socket is opened beside
/// passed TCP sockets; `bind` and `port` give way to whatever was passed.
fn open_sockets(config: &Config, passed: Vec<BoundSocket>, files: &mut OwnFiles) -> Result<Vec<BoundSocket>, String> {
    let mut sockets = passed;
    if sockets.is_empty() {
        sockets = open_tcp(&config.bind, config.port, config.tcp_backlog)?;
    } else {
        let names: Vec<&str> = sockets.iter().map(|socket| socket.address.as_str()).collect();
        log::info!("Listening on sockets passed by the service manager: {}", names.join(", "));
    }
    let has_unix = sockets.iter().any(|socket| matches!(socket.socket, Listening::Unix(_)));
    if let Some(path) = config.unixsocket.as_deref().filter(|_| !has_unix) {
        let socket = listen::unix(path, config.unixsocketperm, config.tcp_backlog);
        sockets.push(socket.map_err(|error| format!("Failed opening Unix socket: {}", error_text(&error)))?);
        files.unixsocket = Some(path.to_owned());
    }
    if sockets.is_empty() {
        return Err("Configured to not listen anywhere, exiting.".to_owned());
    }
    Ok(sockets)
}

fn open_tcp(bind: &[BindAddress], port: u16, backlog: u32) -> Result<Vec<BoundSocket>, String> {
    if port == 0 {
        return Ok(Vec::new());
    }
    let bind = bind.iter().map(|address| (address.host.as_str(), address.optional));
    listen::tcp_all(bind, port, backlog).map_err(|error| {
        log::warn!("Warning: {error}");
        format!("Failed listening on port {port} (tcp), aborting.")
    })
}

/// Each kind of socket once, TCP first.
fn kinds(sockets: &[BoundSocket]) -> Vec<&'static str> {
    let mut kinds: Vec<&'static str> = sockets.iter().map(BoundSocket::kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

fn identity(config_file: Option<PathBuf>, clock: &dyn Clock) -> Identity {
    let mut run_id: String = (0..3).flat_map(|_| limits::entropy()).map(|byte| format!("{byte:02x}")).collect();
    run_id.truncate(40);
    Identity {
        run_id,
        config_file,
        executable: limits::exe_path().map_or_else(String::new, |path| path.display().to_string()),
        os: limits::os_name(),
        started_ms: clock.now().mono_ms(),
    }
}

/// The files that this process put on disk and takes away again, at its end or when it cannot start after all.
#[derive(Default)]
struct OwnFiles {
    pidfile: Option<PathBuf>,
    unixsocket: Option<PathBuf>,
}

impl OwnFiles {
    /// Writes the process id. A failure is only worth a warning, as in Redis: the server does not need the file.
    fn write_pid(&mut self, path: Option<&Path>) {
        let Some(path) = path else { return };
        match fs::write(path, own_pid_text()) {
            Ok(()) => self.pidfile = Some(path.to_owned()),
            Err(error) => log::warn!("Failed to write PID file: {}", error_text(&error)),
        }
    }
}

impl Drop for OwnFiles {
    fn drop(&mut self) {
        // Another server may have been started with the same pid file; then it is that one's.
        if let Some(path) =
            self.pidfile.take().filter(|path| fs::read(path).is_ok_and(|text| text == own_pid_text().as_bytes()))
        {
            log::info!("Removing the pid file.");
            remove(&path);
        }
        if let Some(path) = self.unixsocket.take() {
            log::info!("Removing the unix socket file.");
            remove(&path);
        }
    }
}

fn own_pid_text() -> String {
    format!("{}\n", std::process::id())
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        log::warn!("Can't remove {}: {}", path.display(), error_text(&error));
    }
}
