//! Going to the background: the process that was started ends, and a child of it, in a session of its own and without a
//! terminal, goes on.
//!
//! A fork copies the calling thread alone, so it has to happen before there is a second one; that is checked.
#![allow(unsafe_code)]

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd};

/// Which of the two processes this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that was started, which has nothing more to do.
    Parent,
    /// The one that goes on.
    Child,
}

/// Forks; the child gets a session of its own, and the null device for its standard descriptors.
///
/// # Errors
/// There is another thread, no process can be made, or the null device cannot be opened (in the child).
pub fn to_background() -> io::Result<Side> {
    if thread_count().is_some_and(|count| count > 1) {
        return Err(io::Error::other("a process with several threads cannot fork"));
    }
    // SAFETY: this is the only thread, so the copy is whole, and no lock is held by a thread that it lacks.
    match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {}
        _ => return Ok(Side::Parent),
    }
    // SAFETY: a call without arguments. It fails in the leader of a process group alone, which a new child is not.
    unsafe { libc::setsid() };
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    for standard in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: takes two numbers; what the second named is closed, and the standard library owns no standard descriptor.
        if unsafe { libc::dup2(null.as_raw_fd(), standard) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // Opened as one of them, if that one was closed: then it stays.
    if null.as_raw_fd() <= libc::STDERR_FILENO {
        let _ = null.into_raw_fd();
    }
    Ok(Side::Child)
}

/// How many threads the process has, where the system tells.
fn thread_count() -> Option<usize> {
    std::fs::read_dir("/proc/self/task").ok().map(Iterator::count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_with_threads_does_not_fork() {
        // A test runs beside the thread that started it.
        let error = to_background().expect_err("there are several threads");
        assert_eq!(error.to_string(), "a process with several threads cannot fork");
    }
}
