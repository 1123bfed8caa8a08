//! A helper thread for work that must not block the event loop: the freeing of big values, and jobs whose completions come
//! back to the loop. There may be several, for work that must not wait for other work.
//!
//! Owns the thread, a bounded queue to it, and the completions that come back. Values handed over are dropped there and jobs
//! run there, all in one order. When the queue is full a value is dropped by the caller instead, and a job is refused, so what
//! waits is bounded by [`QUEUE_MAX`]; so are the completions that nobody has taken.
//!
//! A completion makes a descriptor readable, so that a loop that sleeps takes it at once. Freeing has no completion and wakes
//! nobody. [`Background::inline`] has no thread: everything is done by the caller before the call returns, and completions
//! wait to be taken as ever. That is for tests and simulations, which must not depend on when a thread runs. With
//! [`Background::stepped`] a job runs when the test says so.
//!
//! The thread has a table of descriptors of its own. A descriptor that a value or a job brings along means nothing there, so
//! they must own none; a job opens what it needs, by name.
//!
//! Invariants: `pending` counts exactly the objects of the values accepted and not yet dropped, `outstanding` exactly the jobs
//! accepted whose completion has not been taken. Nothing here knows what a value, a job or a completion is.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use super::alloc::Ledger;

/// Values and jobs that may wait, and jobs that may be under way. A queue slot is four words, so the queue takes 32 KiB.
pub const QUEUE_MAX: usize = 1024;

/// Objects that a helper thread frees before it lets others have its processor: some ten microseconds of work.
const FREED_AT_ONCE: usize = 256;

thread_local! {
    /// On a helper thread: objects freed since it has let others go first.
    static FREED: Cell<Option<usize>> = const { Cell::new(None) };
}

/// To be called where many objects are freed, between any two of them. On a helper thread it lets threads go first that wait
/// for its processor, now and then: otherwise the scheduler has the loop wait until the helper's share is used up, which is
/// milliseconds, whatever its priority. On other threads it does nothing.
#[inline]
pub fn note_freed(objects: usize) {
    if let Some(freed) = FREED.get() {
        let freed = freed + objects;
        FREED.set(Some(freed % FREED_AT_ONCE));
        if freed >= FREED_AT_ONCE {
            std::thread::yield_now();
        }
    }
}

/// Names a job among all that one [`Background`] was given; counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobId(u64);

/// How much is freed with a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Objects, as INFO counts them.
    pub objects: usize,
    /// Bytes, about; 0 where nobody needs to know.
    pub bytes: usize,
}

/// What the helper thread does.
enum Task<C> {
    /// Drops a value.
    Free(Box<dyn Send>, Load),
    /// Runs a job and sends back its completion.
    Run(JobId, Box<dyn FnOnce() -> C + Send>),
}

/// The way to the helper thread, and the way back; `C` is what a job leaves behind. Dropping it waits until everything handed
/// over has been freed and run.
///
/// The thread starts with the first value or job: most servers never need it. It uses no descriptor but the standard ones and
/// the one by which it wakes the loop.
#[derive(Debug)]
pub struct Background<C> {
    place: Place<C>,
    next_job: u64,
    /// Jobs accepted whose completion has not been taken.
    outstanding: usize,
    /// Objects that had been freed when their count was last reset.
    freed_before: usize,
}

/// A job and its name.
type Job<C> = (JobId, Box<dyn FnOnce() -> C + Send>);

/// Where values are dropped and jobs run.
enum Place<C> {
    /// On the thread that hands them over. Completions wait here.
    Inline(VecDeque<(JobId, C)>),
    /// On the same thread, when it says so. Jobs wait first, then their completions.
    Stepped(VecDeque<Job<C>>, VecDeque<(JobId, C)>),
    /// On the helper thread.
    Thread(Helper<C>),
}

impl<C> fmt::Debug for Place<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Place::Inline(_) => "Inline",
            Place::Stepped(..) => "Stepped",
            Place::Thread(_) => "Thread",
        })
    }
}

struct Helper<C> {
    worker: Option<Worker<C>>,
    priority: Priority,
    completions: Receiver<(JobId, C)>,
    /// Readable from a completion on.
    woken: UnixStream,
    /// What the worker shares with the loop.
    shared: Shared<C>,
}

/// How much a thread's work matters beside the loop's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Priority {
    /// It may wait: nobody does.
    Low,
    /// Somebody waits for it.
    Ordinary,
}

struct Shared<C> {
    pending: Arc<AtomicUsize>,
    /// Bytes of the values that `pending` counts, as far as they were told.
    pending_bytes: Arc<AtomicUsize>,
    /// Objects that the thread has freed.
    freed: Arc<AtomicUsize>,
    completed: Sender<(JobId, C)>,
    /// The other end of `woken`. The helper thread's table keeps this descriptor, but the loop's owns it: the loop drops its
    /// share last.
    waker: Arc<UnixStream>,
}

impl<C> Clone for Shared<C> {
    fn clone(&self) -> Shared<C> {
        let Shared { pending, pending_bytes, freed, completed, waker } = self;
        Shared {
            pending: Arc::clone(pending),
            pending_bytes: Arc::clone(pending_bytes),
            freed: Arc::clone(freed),
            completed: completed.clone(),
            waker: Arc::clone(waker),
        }
    }
}

struct Worker<C> {
    queue: SyncSender<Task<C>>,
    thread: JoinHandle<()>,
}

impl<C: Send + 'static> Worker<C> {
    fn start(shared: Shared<C>, priority: Priority) -> io::Result<Worker<C>> {
        let (queue, received) = sync_channel(QUEUE_MAX);
        let name = if priority == Priority::Low { "aleadb-bg" } else { "aleadb-log" };
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || run(&received, &shared, priority))?;
        Ok(Worker { queue, thread })
    }
}

impl<C: Send + 'static> Helper<C> {
    /// Puts a task into the queue; false, and the task is dropped, if that is not possible.
    fn send(&mut self, task: Task<C>) -> bool {
        if self.worker.is_none() {
            match Worker::start(self.shared.clone(), self.priority) {
                Ok(worker) => self.worker = Some(worker),
                Err(error) => log::warn!("Cannot start the thread for work in the background: {error}"),
            }
        }
        self.worker.as_ref().is_some_and(|worker| worker.queue.try_send(task).is_ok())
    }
}

impl<C: Send + 'static> Background<C> {
    /// With a helper thread, which starts when it is needed.
    ///
    /// # Errors
    /// The kernel refuses the pair of sockets by which the thread wakes the loop.
    pub fn new() -> io::Result<Background<C>> {
        Background::with_thread(Priority::Low)
    }

    fn with_thread(priority: Priority) -> io::Result<Background<C>> {
        let (woken, waker) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        waker.set_nonblocking(true)?;
        let (completed, completions) = channel();
        let (pending, pending_bytes, freed) = (Arc::default(), Arc::default(), Arc::default());
        let shared = Shared { pending, pending_bytes, freed, completed, waker: Arc::new(waker) };
        Ok(Background::at(Place::Thread(Helper { worker: None, priority, completions, woken, shared })))
    }

    /// Without a thread: values are dropped and jobs run by whoever hands them over, before the call returns.
    pub fn inline() -> Background<C> {
        Background::at(Place::Inline(VecDeque::new()))
    }

    /// Without a thread: values are dropped at once, and jobs run when [`Background::run_one`] is called.
    pub fn stepped() -> Background<C> {
        Background::at(Place::Stepped(VecDeque::new(), VecDeque::new()))
    }

    /// Another one of the same kind, whose jobs wait for none of this one's: if it has a thread, then that of the other has the
    /// priority of the loop.
    ///
    /// # Errors
    /// The kernel refuses the pair of sockets by which the thread wakes the loop.
    pub fn beside<D: Send + 'static>(&self) -> io::Result<Background<D>> {
        match &self.place {
            Place::Inline(_) => Ok(Background::inline()),
            Place::Stepped(..) => Ok(Background::stepped()),
            Place::Thread(_) => Background::with_thread(Priority::Ordinary),
        }
    }

    /// Runs the oldest job that has not run, where jobs run when told to; false if there is none.
    pub fn run_one(&mut self) -> bool {
        let Place::Stepped(jobs, completions) = &mut self.place else { return false };
        let Some((id, job)) = jobs.pop_front() else { return false };
        completions.push_back((id, job()));
        true
    }

    fn at(place: Place<C>) -> Background<C> {
        Background { place, next_job: 0, outstanding: 0, freed_before: 0 }
    }

    /// Hands over a value to be dropped on the helper thread; drops it here when the queue is full or no thread can be
    /// started. Never blocks on the helper.
    pub fn free(&mut self, value: Box<dyn Send>) {
        self.free_load(value, Load { objects: 1, bytes: 0 });
    }

    /// The same, of a value of which it is known how much is freed.
    pub fn free_load(&mut self, value: Box<dyn Send>, load: Load) {
        let Place::Thread(helper) = &mut self.place else { return };
        // Counted before it is sent, so the helper cannot count it down first.
        helper.shared.pending.fetch_add(load.objects, Ordering::Relaxed);
        helper.shared.pending_bytes.fetch_add(load.bytes, Ordering::Relaxed);
        if !helper.send(Task::Free(value, load)) {
            // `send` has dropped it: freed inline.
            helper.shared.pending.fetch_sub(load.objects, Ordering::Relaxed);
            helper.shared.pending_bytes.fetch_sub(load.bytes, Ordering::Relaxed);
        }
    }

    /// Bytes of values handed over and not yet freed, as far as they were told. O(1).
    pub fn pending_bytes(&self) -> usize {
        match &self.place {
            Place::Inline(_) | Place::Stepped(..) => 0,
            Place::Thread(helper) => helper.shared.pending_bytes.load(Ordering::Acquire),
        }
    }

    /// Hands over a job to be run after everything handed over before. Its completion wakes the loop and is to be taken with
    /// [`Background::next_completion`]. Never blocks on the helper. `None`, and the job is dropped without having run, when the
    /// queue is full, too many completions have not been taken, or no thread can be started.
    pub fn submit(&mut self, job: impl FnOnce() -> C + Send + 'static) -> Option<JobId> {
        if self.outstanding >= QUEUE_MAX {
            return None;
        }
        let id = JobId(self.next_job);
        let accepted = match &mut self.place {
            Place::Inline(completions) => {
                completions.push_back((id, job()));
                true
            }
            Place::Stepped(jobs, _) => {
                jobs.push_back((id, Box::new(job)));
                true
            }
            Place::Thread(helper) => helper.send(Task::Run(id, Box::new(job))),
        };
        accepted.then(|| {
            self.next_job += 1;
            self.outstanding += 1;
            id
        })
    }

    /// Takes the completion of the oldest job that has finished and whose completion has not been taken. Call it until there is
    /// none: only a completion that comes after that is certain to wake the loop. Costs a comparison while no job is under way.
    #[inline]
    pub fn next_completion(&mut self) -> Option<(JobId, C)> {
        if self.outstanding == 0 { None } else { self.take_completion() }
    }

    #[cold]
    fn take_completion(&mut self) -> Option<(JobId, C)> {
        let completion = match &mut self.place {
            Place::Inline(completions) | Place::Stepped(_, completions) => completions.pop_front(),
            Place::Thread(helper) => {
                let completion = helper.completions.try_recv().ok();
                if completion.is_some() {
                    // A completion is sent before its byte. Those whose byte goes here as well are found by the next calls.
                    let mut bytes = [0; 64];
                    let _ = helper.woken.read(&mut bytes);
                }
                completion
            }
        };
        self.outstanding -= usize::from(completion.is_some());
        completion
    }

    /// True if a completion waits of which no descriptor tells, as there is no thread.
    pub fn has_completion(&self) -> bool {
        match &self.place {
            Place::Inline(completions) | Place::Stepped(_, completions) => !completions.is_empty(),
            Place::Thread(_) => false,
        }
    }

    /// The descriptor that a completion makes readable, to be watched for edges: it stays readable until completions are
    /// taken. `None` without a thread.
    pub fn as_raw_fd(&self) -> Option<RawFd> {
        match &self.place {
            Place::Inline(_) | Place::Stepped(..) => None,
            Place::Thread(helper) => Some(helper.woken.as_raw_fd()),
        }
    }

    /// Objects that the helper thread has freed since their count was reset.
    pub fn freed(&self) -> usize {
        self.freed_in_all() - self.freed_before
    }

    /// Begins to count anew what has been freed.
    pub fn reset_freed(&mut self) {
        self.freed_before = self.freed_in_all();
    }

    fn freed_in_all(&self) -> usize {
        match &self.place {
            Place::Inline(_) | Place::Stepped(..) => 0,
            Place::Thread(helper) => helper.shared.freed.load(Ordering::Acquire),
        }
    }

    /// Objects handed over and not yet freed.
    pub fn pending(&self) -> usize {
        match &self.place {
            Place::Inline(_) | Place::Stepped(..) => 0,
            Place::Thread(helper) => helper.shared.pending.load(Ordering::Acquire),
        }
    }
}

impl<C> Drop for Helper<C> {
    fn drop(&mut self) {
        if let Some(Worker { queue, thread }) = self.worker.take() {
            drop(queue);
            // A panic in a value's destructor or a job has been reported by the panic hook; there is nothing to add to it here.
            let _ = thread.join();
        }
    }
}

fn run<C>(received: &Receiver<Task<C>>, shared: &Shared<C>, priority: Priority) {
    super::signal::leave_to_other_threads();
    if priority == Priority::Low {
        super::limits::lower_thread_priority();
        FREED.set(Some(0));
    }
    super::limits::leave_descriptors(Some(shared.waker.as_raw_fd()));
    let mut ledger = Ledger::new();
    for task in received {
        match task {
            Task::Free(value, load) => {
                drop(value);
                // The books first: whoever sees `pending` fall also sees the memory gone.
                ledger.publish();
                shared.pending_bytes.fetch_sub(load.bytes, Ordering::Release);
                shared.freed.fetch_add(load.objects, Ordering::Release);
                shared.pending.fetch_sub(load.objects, Ordering::Release);
            }
            Task::Run(id, job) => {
                let completion = job();
                ledger.publish();
                // The loop may be gone, which only waits for this thread to end; and where the socket takes no byte, those
                // that nobody has read wake the loop.
                let _ = shared.completed.send((id, completion));
                let _ = (&*shared.waker).write(&[1]);
            }
        }
        if priority == Priority::Low {
            // Where the loop has to share a processor with this thread, it gets it now instead of at the scheduler's next tick.
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::thread::ThreadId;
    use std::time::Duration;

    fn threaded() -> Background<usize> {
        Background::new().expect("a pair of sockets")
    }

    /// Sleeps until the helper thread wakes the loop, for so long at most; false if it does not.
    fn is_woken(background: &Background<usize>, timeout: Option<Duration>) -> bool {
        let Place::Thread(Helper { woken, .. }) = &background.place else { unreachable!("there is a thread") };
        woken.set_nonblocking(timeout.is_none()).expect("it is a socket");
        woken.set_read_timeout(timeout).expect("it is a socket");
        let read = (&*woken).read(&mut [0]);
        woken.set_nonblocking(true).expect("it is a socket");
        read.is_ok_and(|count| count == 1)
    }

    /// The next completion, waited for as a loop does.
    fn wait_for_completion(background: &mut Background<usize>) -> (JobId, usize) {
        loop {
            if let Some(completion) = background.next_completion() {
                return completion;
            }
            assert!(is_woken(background, Some(Duration::from_secs(60))), "a completion wakes the loop");
        }
    }

    #[test]
    fn a_stepped_job_runs_when_it_is_told_to_and_in_its_turn() {
        let mut background = Background::stepped();
        let ids: Vec<_> = (0..3).map(|n| background.submit(move || n).expect("there is room")).collect();
        assert_eq!(background.next_completion(), None);
        assert!(background.run_one() && background.run_one());
        assert_eq!(background.next_completion(), Some((ids[0], 0)));
        assert_eq!(background.next_completion(), Some((ids[1], 1)));
        assert_eq!(background.next_completion(), None);
        assert!(background.run_one() && !background.run_one());
        assert_eq!(background.next_completion(), Some((ids[2], 2)));
        let mut beside = background.beside::<u8>().expect("no sockets");
        beside.submit(|| 1);
        assert_eq!(beside.next_completion(), None, "it is of the same kind");
    }

    #[test]
    fn work_beside_other_work_does_not_wait_for_it() {
        let (release, gate) = channel();
        let mut first = threaded();
        let mut second = first.beside::<usize>().expect("a pair of sockets");
        first.free(Box::new(Gate(gate)));
        let id = second.submit(|| 7).expect("there is room");
        assert_eq!(wait_for_completion(&mut second), (id, 7));
        release.send(()).expect("the gate is there");
    }

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
        let mut background = threaded();
        for index in 0..100 {
            background.free(Box::new(Tattle(Mutex::new(sender.clone()), index)));
        }
        let Place::Thread(helper) = &background.place else { unreachable!("it has a thread") };
        let pending = Arc::clone(&helper.shared.pending);
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
        let mut background = threaded();
        background.free(Box::new(Gate(gate)));
        // At most one value is out of the queue (the gate), so one more than the queue's length must overflow.
        for index in 0..=QUEUE_MAX {
            background.free(Box::new(Tattle(Mutex::new(sender.clone()), index)));
        }
        let (_, thread) = dropped.recv().expect("one value was freed inline");
        assert_eq!(thread, std::thread::current().id());
        assert!(background.pending() >= QUEUE_MAX);
        release.send(()).expect("the gate waits");
        drop(background);
        assert!(dropped.try_iter().count() >= QUEUE_MAX);
    }

    #[test]
    fn jobs_run_in_order_on_the_other_thread_and_their_completions_wake_the_loop() {
        let mut background = threaded();
        let here = std::thread::current().id();
        let numbers = 0..100usize;
        let job = |number| move || if std::thread::current().id() == here { usize::MAX } else { number };
        let ids: Vec<_> =
            numbers.clone().map(|number| background.submit(job(number)).expect("there is room")).collect();
        let completions = numbers.clone().map(|_| wait_for_completion(&mut background));
        assert!(completions.eq(ids.into_iter().zip(numbers)));
        assert_eq!(background.next_completion(), None);
    }

    #[test]
    fn a_loop_that_has_taken_every_completion_is_woken_by_the_next() {
        let mut background = threaded();
        for number in 0..1000 {
            let id = background.submit(move || number).expect("there is room");
            assert_eq!(wait_for_completion(&mut background), (id, number));
        }
    }

    #[test]
    fn freeing_wakes_nobody() {
        let mut background = threaded();
        let (sender, dropped) = channel();
        for index in 0..100 {
            background.free(Box::new(Tattle(Mutex::new(sender.clone()), index)));
        }
        assert_eq!(dropped.iter().take(100).count(), 100);
        assert!(!is_woken(&background, None));
        assert_eq!(background.next_completion(), None);
    }

    #[test]
    fn jobs_are_refused_while_as_many_have_completions_that_nobody_took() {
        for mut background in [threaded(), Background::inline()] {
            // The thread takes tasks off its queue while they are handed over, so a full queue refuses some before.
            let mut accepted = 0;
            while accepted < QUEUE_MAX {
                accepted += usize::from(background.submit(|| 1).is_some());
            }
            assert_eq!(background.submit(|| 1), None);
            while accepted > 0 {
                match background.next_completion() {
                    Some(_) => accepted -= 1,
                    None => std::thread::yield_now(),
                }
            }
            assert!(background.submit(|| 1).is_some());
        }
    }

    #[test]
    fn a_full_queue_refuses_jobs_which_never_run() {
        let (release, gate) = channel();
        let (sender, ran) = channel();
        let mut background = threaded();
        background.free(Box::new(Gate(gate)));
        let job = || {
            let sender = sender.clone();
            move || sender.send(()).map_or(0, |()| 1)
        };
        let accepted = (0..QUEUE_MAX + 10).filter(|_| background.submit(job()).is_some()).count();
        assert!((QUEUE_MAX - 1..=QUEUE_MAX).contains(&accepted), "{accepted}");
        release.send(()).expect("the gate waits");
        drop(background);
        assert_eq!(ran.try_iter().count(), accepted);
    }

    #[test]
    fn inline_everything_is_done_before_the_call_returns_and_completions_wait() {
        let (sender, dropped) = channel();
        let mut background = Background::inline();
        assert_eq!(background.next_completion(), None);
        let first = background.submit(|| 1).expect("there is room");
        background.free(Box::new(Tattle(Mutex::new(sender), 0)));
        assert_eq!(dropped.try_recv(), Ok((0, std::thread::current().id())));
        assert_eq!((background.pending(), background.as_raw_fd()), (0, None));
        let here = std::thread::current().id();
        let second =
            background.submit(move || usize::from(std::thread::current().id() == here)).expect("there is room");
        assert_eq!(background.next_completion(), Some((first, 1)));
        assert_eq!(background.next_completion(), Some((second, 1)));
        assert_eq!(background.next_completion(), None);
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
        let mut background = threaded();
        background.free(Box::new(Mask(sender)));
        let mask = masks.recv().expect("it was dropped");
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            assert_ne!(mask & 1 << (signal - 1), 0, "{signal} in {mask:x}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_helper_has_the_standard_descriptors_and_the_one_that_wakes_the_loop() {
        let file = std::fs::File::open("/dev/null").expect("a file");
        let mut background = threaded();
        let Place::Thread(Helper { woken, shared, .. }) = &background.place else { unreachable!("there is a thread") };
        let descriptors = [1, shared.waker.as_raw_fd(), woken.as_raw_fd(), file.as_raw_fd()];
        let is_open = |fd: RawFd| std::fs::symlink_metadata(format!("/proc/thread-self/fd/{fd}")).is_ok();
        let open = move || descriptors.into_iter().fold(0, |open, fd| 10 * open + usize::from(is_open(fd)));
        assert_eq!(open(), 1111, "here they are open");
        background.submit(open);
        assert_eq!(wait_for_completion(&mut background).1, 1100);
        assert_eq!(open(), 1111, "and here they still are");
    }
}
