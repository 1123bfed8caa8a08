//! The `aleadb` server program: reads the arguments, starts the server, and says on standard error why it could not.

mod startup;

use std::process::ExitCode;

use aleadb::base::clock::{Clock, SystemClock};
use aleadb::config::cli::{self, Invocation};
use aleadb::engine::persistence::replay;
use aleadb::persist::storage::RealStorage;
use aleadb::persist::{check, recover};
use aleadb::store::hash::KeyHasher;
use aleadb::sys::limits;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The exit status is 0 after an orderly end (SIGTERM, SIGINT, SHUTDOWN) and 1 when the server cannot start or go on, or when
/// what `--check` has looked at is not good, or `--recover` has found nothing to recover.
fn main() -> ExitCode {
    let invocation = match cli::from_environment() {
        Ok(invocation) => invocation,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    match invocation {
        Invocation::Version => println!("{}", cli::version()),
        Invocation::Help => print!("{}", cli::HELP),
        Invocation::Check(path) => {
            let hasher = KeyHasher::new(limits::entropy());
            let context = (SystemClock::start().now().unix_ms, hasher);
            return print(&check::check(&RealStorage, &path, context, &replay::accepts));
        }
        Invocation::Recover { dir, into } => {
            let context = (SystemClock::start().now().unix_ms, KeyHasher::new(limits::entropy()));
            return print(&recover::recover(&RealStorage, &dir, &into, context, &replay::accepts));
        }
        Invocation::Run { config, config_file, sources } => {
            if let Err(failure) = startup::run(*config, config_file, sources) {
                // A log on standard output has the text already.
                if !failure.is_on_stdout {
                    eprintln!("{}", failure.text);
                }
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn print(report: &check::Report) -> ExitCode {
    print!("{}", report.text);
    if report.is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
