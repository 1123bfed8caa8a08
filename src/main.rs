//! The `aleadb` server program: arguments, logging, listening sockets, then the loop.

use std::process::ExitCode;
use std::rc::Rc;

use aleadb::base::clock::SystemClock;
use aleadb::config::cli::{self, Invocation};
use aleadb::net::reactor::Reactor;
use aleadb::server::{Identity, Seeds, Server};
use aleadb::sys::{bg::Background, limits, listen, notify::Notifier, signal::Signals};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let (config, config_file, sources) = match cli::from_environment() {
        Ok(Invocation::Run { config, config_file, sources }) => (config, config_file, sources),
        Ok(Invocation::Version) => {
            println!("{}", cli::version());
            return ExitCode::SUCCESS;
        }
        Ok(Invocation::Help) => {
            print!("{}", cli::HELP);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut sockets = Vec::new();
    for address in &config.bind {
        match listen::tcp(&address.host, config.port, config.tcp_backlog) {
            Ok(socket) => sockets.push(socket),
            Err(_) if address.optional => {}
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        }
    }
    aleadb::sys::log::start(log::LevelFilter::Info, config.logfile.as_deref()).expect("log");
    let identity = Identity { config_file, ..Identity::default() };
    let seeds = Seeds { hash: limits::entropy(), prng: limits::entropy_u64() };
    let server = Server::new(*config, sources, identity, seeds, Rc::new(SystemClock::start()), Background::default());
    let signals = Signals::install().expect("signals");
    let mut reactor = Reactor::new(server, sockets, signals, Notifier::from_env().expect("notify")).expect("poll");
    reactor.run().expect("run");
    ExitCode::SUCCESS
}
