//! One helper thread for work that must not block the event loop: the freeing of big values, and the return of unused memory
//! to the system.
//!
//! Owns the thread and a bounded queue. Values handed over are dropped there, in order. When the queue is full the value
//! is dropped by the caller instead, so memory waiting to be freed is bounded by [`QUEUE_VALUES_MAX`] values.
//!
//! Invariant: `pending` counts exactly the values accepted and not yet dropped. Nothing here knows what a value is.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::alloc::{Arena, Ledger};

/// Values that may wait to be freed. A queue slot is four words, so the queue itself takes 32 KiB.
pub const QUEUE_VALUES_MAX: usize = 1024;

/// What the helper thread does.
enum Task {
    /// Drops a value.
    Free(Box<dyn Send>),
    /// Returns an arena's unused pages, then drops the token.
    Purge { arena: Arena, _token: Option<Arc<()>> },
}

/// The helper thread. Dropping it waits until everything handed over has been freed.
///
/// The thread starts with the first value handed over: most servers never need it. It uses no descriptor but the standard
/// ones.
#[derive(Debug, Default)]
pub struct Background {
    worker: Option<Worker>,
    pending: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Worker {
    queue: SyncSender<Task>,
    thread: JoinHandle<()>,
}

impl Worker {
    fn start(pending: &Arc<AtomicUsize>) -> io::Result<Worker> {
        let (queue, received) = sync_channel(QUEUE_VALUES_MAX);
        let counter = Arc::clone(pending);
        let thread = std::thread::Builder::new().name("aleadb-bg".into()).spawn(move || run(&received, &counter))?;
        Ok(Worker { queue, thread })
    }
}

impl Background {
    /// Hands over a value to be dropped on the helper thread; drops it here when the queue is full or no thread can be
    /// started. Never blocks on the helper.
    pub fn free(&mut self, value: Box<dyn Send>) {
        // Counted before it is sent, so the helper cannot count it down first.
        self.pending.fetch_add(1, Ordering::Relaxed);
        if !self.send(Task::Free(value)) {
            // `send` has dropped it: freed inline.
            self.pending.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Has the helper thread return the unused pages of an arena to the system, after what it was given before. The token is
    /// dropped when that is done. Returns false, and nothing is done, when the queue is full or no thread can be started.
    pub fn purge(&mut self, arena: Arena, token: Option<Arc<()>>) -> bool {
        self.send(Task::Purge { arena, _token: token })
    }

    /// Puts a task into the queue; false, and the task is dropped, if that is not possible.
    fn send(&mut self, task: Task) -> bool {
        if self.worker.is_none() {
            match Worker::start(&self.pending) {
                Ok(worker) => self.worker = Some(worker),
                Err(error) => log::warn!("Cannot start the thread that frees big values: {error}"),
            }
        }
        self.worker.as_ref().is_some_and(|worker| worker.queue.try_send(task).is_ok())
    }

    /// Values handed over and not yet freed.
    pub fn pending(&self) -> usize {
        self.pending.load(Ordering::Acquire)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(Worker { queue, thread }) = self.worker.take() {
            drop(queue);
            // A panic in a value's destructor has been reported by the panic hook; there is nothing to add to it here.
            let _ = thread.join();
        }
    }
}

fn run(received: &Receiver<Task>, pending: &AtomicUsize) {
    super::signal::leave_to_other_threads();
    super::limits::lower_thread_priority();
    super::limits::leave_descriptors();
    let mut ledger = Ledger::new();
    for task in received {
        match task {
            Task::Free(value) => {
                drop(value);
                // The books first: whoever sees `pending` fall also sees the memory gone.
                ledger.publish();
                pending.fetch_sub(1, Ordering::Release);
            }
            Task::Purge { arena, .. } => {
                if let Err(error) = arena.purge() {
                    log::warn!("The allocator cannot return unused memory: {error}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};
    use std::thread::ThreadId;

    /// Reports the thread it was dropped on.
    struct Tattle(Mutex<Sender<(usize, ThreadId)>>, usize);

    impl Drop for Tattle {
        fn drop(&mut self) {
            let sender = self.0.lock().expect("nobody panics while holding it");
            sender.send((self.1, std::thread::current().id())).expect("the test still listens");
        }
    }

    /// Keeps the helper thread busy until released.
    struct Gate(Receiver<()>);

    impl Drop for Gate {
        fn drop(&mut self) {
            let _ = self.0.recv();
        }
    }

    #[test]
    fn values_are_freed_in_order_on_the_other_thread_and_drop_waits_for_them() {
        let (sender, dropped) = channel();
        let mut background = Background::default();
        for index in 0..100 {
            background.free(Box::new(Tattle(Mutex::new(sender.clone()), index)));
        }
        let pending = Arc::clone(&background.pending);
        drop(background);
        assert_eq!(pending.load(Ordering::Relaxed), 0);
        let dropped: Vec<_> = dropped.try_iter().collect();
        assert!(dropped.iter().map(|(index, _)| *index).eq(0..100));
        assert!(dropped.iter().all(|(_, thread)| *thread != std::thread::current().id()));
    }

    #[test]
    fn a_full_queue_frees_inline() {
        let (release, gate) = channel();
        let (sender, dropped) = channel();
        let mut background = Background::default();
        background.free(Box::new(Gate(gate)));
        // At most one value is out of the queue (the gate), so one more than the queue's length must overflow.
        for index in 0..=QUEUE_VALUES_MAX {
            background.free(Box::new(Tattle(Mutex::new(sender.clone()), index)));
        }
        let (_, thread) = dropped.recv().expect("one value was freed inline");
        assert_eq!(thread, std::thread::current().id());
        assert!(background.pending() >= QUEUE_VALUES_MAX);
        release.send(()).expect("the gate waits");
        drop(background);
        assert!(dropped.try_iter().count() >= QUEUE_VALUES_MAX);
    }

    /// Reports whether the thread it was dropped on has descriptors at all, and whether it has a certain one.
    struct Census(Sender<(bool, bool)>, i32);

    impl Drop for Census {
        fn drop(&mut self) {
            let has = |fd: i32| std::fs::symlink_metadata(format!("/proc/thread-self/fd/{fd}")).is_ok();
            self.0.send((has(1), has(self.1))).expect("the test still listens");
        }
    }

    /// Reports the signals that the thread it was dropped on does not take, a bit each.
    struct Mask(Sender<u64>);

    impl Drop for Mask {
        fn drop(&mut self) {
            let status = std::fs::read_to_string("/proc/thread-self/status").expect("proc");
            let mask =
                status.lines().find_map(|line| line.strip_prefix("SigBlk:\t")).expect("a line of blocked signals");
            self.0.send(u64::from_str_radix(mask, 16).expect("a number")).expect("the test still listens");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_helper_takes_no_signals() {
        let (sender, masks) = channel();
        let mut background = Background::default();
        background.free(Box::new(Mask(sender)));
        let mask = masks.recv().expect("it was dropped");
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            assert_ne!(mask & 1 << (signal - 1), 0, "{signal} in {mask:x}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_helper_has_the_standard_descriptors_alone() {
        use std::os::fd::AsRawFd;
        let file = std::fs::File::open("/dev/null").expect("a file");
        let (sender, counted) = channel();
        drop(Census(sender.clone(), file.as_raw_fd()));
        assert_eq!(counted.recv(), Ok((true, true)), "here it is open");
        let mut background = Background::default();
        background.free(Box::new(Census(sender, file.as_raw_fd())));
        assert_eq!(counted.recv(), Ok((true, false)));
        assert!(file.metadata().is_ok(), "and here it still is");
    }
}
