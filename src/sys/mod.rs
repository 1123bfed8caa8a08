//! The operating system, and the only foreign function calls of the crate: signals, service-manager notification,
//! resource limits and facts about the machine, the allocator's own counters, bare reads and writes of sockets, the way to the
//! background, the title of the process, and the threads beside the loop's: the helper, the log's, and the one that answers
//! the service manager's watchdog.
//!
//! Everything here is mechanism. Nothing in this layer knows of keys, clients, commands or configuration; callers pass
//! plain values in and get plain values (or text to log) back. Most of it is called once, at start-up; the event loop sets its
//! [`alarm::Alarm`], drains [`signal::Signals`], marks its [`watchdog::Watchdog`], gives jobs to [`bg::Background`] and reads
//! [`alloc::allocated_bytes`].

pub mod alarm;
pub mod alloc;
pub mod bg;
pub mod daemon;
pub mod disk;
pub mod limits;
pub mod listen;
pub mod log;
pub mod notify;
pub mod signal;
pub mod slabs;
pub mod socket;
pub mod title;
pub mod watchdog;

/// The operating system's words for an error, without the number that the standard library appends.
pub fn error_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
