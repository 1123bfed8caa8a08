//! What the allocator has handed out, from the allocator's own books.
//!
//! Two kinds of answer. [`allocated_bytes`] is for the write path when memory is limited: four loads, no lock, no system
//! call. jemalloc counts allocated and freed bytes per thread; the loop reads its own pair, and every helper thread posts
//! its balance through a [`Ledger`] (a value allocated by the loop and freed by a helper makes the helper's balance
//! negative, so the sum stays right). [`Stats::read`] asks for fresh totals over all threads and arenas; it takes
//! locks and tens of microseconds, and is for INFO and MEMORY.
//!
//! Every function works when another allocator is the global one: the counters are then zero, or what little jemalloc
//! itself was asked for.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicI64, Ordering};

use tikv_jemalloc_ctl::thread::ThreadLocal;
use tikv_jemalloc_ctl::{epoch, stats, stats_print, thread};

/// Sum of the balances posted by helper threads, in bytes; negative when they free what others allocated.
static HELPERS: AtomicI64 = AtomicI64::new(0);

/// Where jemalloc keeps the calling thread's byte counters.
#[derive(Clone, Copy)]
struct Counters {
    allocated: ThreadLocal<u64>,
    deallocated: ThreadLocal<u64>,
}

impl Counters {
    /// The calling thread's counters; `None` when jemalloc was built without them.
    fn of_this_thread() -> Option<Counters> {
        Some(Counters { allocated: thread::allocatedp::read().ok()?, deallocated: thread::deallocatedp::read().ok()? })
    }

    fn balance(self) -> i64 {
        self.allocated.get().wrapping_sub(self.deallocated.get()) as i64
    }
}

thread_local! {
    /// Looked up once per thread; a lookup by name takes a few hundred nanoseconds.
    static COUNTERS: Cell<Option<Counters>> = const { Cell::new(None) };
}

/// The bytes the calling thread has allocated less those it has freed.
fn own_balance() -> i64 {
    COUNTERS.with(|slot| {
        let counters = slot.get().or_else(|| {
            let found = Counters::of_this_thread();
            slot.set(found);
            found
        });
        counters.map_or(0, Counters::balance)
    })
}

/// Bytes in use by the calling thread and all helper threads, in the allocator's size classes. To be called by the
/// event loop's thread; O(1), a few nanoseconds.
///
/// Memory a helper is just freeing is still counted until it has published.
pub fn allocated_bytes() -> usize {
    usize::try_from(own_balance() + HELPERS.load(Ordering::Relaxed)).unwrap_or(0)
}

/// A helper thread's entry in the books of [`allocated_bytes`]. Made and used on that thread.
#[derive(Debug)]
pub struct Ledger {
    /// What this thread has added to `HELPERS` so far.
    posted: i64,
    /// Counters belong to one thread, so the ledger stays there.
    _not_send: std::marker::PhantomData<*const ()>,
}

impl Ledger {
    /// Opens the calling thread's entry; its balance so far counts from here on.
    pub fn new() -> Ledger {
        let mut ledger = Ledger { posted: 0, _not_send: std::marker::PhantomData };
        ledger.publish();
        ledger
    }

    /// Posts what the calling thread has allocated and freed since the last call.
    pub fn publish(&mut self) {
        let balance = own_balance();
        HELPERS.fetch_add(balance - self.posted, Ordering::Relaxed);
        self.posted = balance;
    }
}

impl Default for Ledger {
    fn default() -> Ledger {
        Ledger::new()
    }
}

/// The allocator's totals, in bytes, over all threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Handed out to the program.
    pub allocated: usize,
    /// In pages that hold at least one allocation.
    pub active: usize,
    /// In physically resident pages mapped by the allocator.
    pub resident: usize,
    /// In active extents mapped by the allocator.
    pub mapped: usize,
    /// In address space kept for later use instead of being returned.
    pub retained: usize,
    /// Used by the allocator for itself.
    pub metadata: usize,
}

impl Stats {
    /// Asks for fresh totals. Takes the arenas' locks, and time in proportion to the number of arenas; a number that
    /// cannot be read is 0.
    pub fn read() -> Stats {
        // jemalloc answers from a cache until the epoch moves.
        let _ = epoch::advance();
        Stats {
            allocated: stats::allocated::read().unwrap_or(0),
            active: stats::active::read().unwrap_or(0),
            resident: stats::resident::read().unwrap_or(0),
            mapped: stats::mapped::read().unwrap_or(0),
            retained: stats::retained::read().unwrap_or(0),
            metadata: stats::metadata::read().unwrap_or(0),
        }
    }
}

/// Options jemalloc reads before it makes its first allocation, under the name it looks for when it is built with the prefix
/// `_rjem_`. The environment variable `_RJEM_MALLOC_CONF` comes after it and wins.
///
/// - `lg_extent_max_active_fit:20`: a request may split any unused extent of up to 2^20 times its size. By default it is 2^6
///   times: small requests pass over large unused extents and take fresh pages, so what is resident grows without end while
///   values of many pages come and go.
/// - `dirty_decay_ms:-1`, `muzzy_decay_ms:0`: the allocator returns no pages to the system in passing, inside some unlucky
///   `free` of the loop, where after a mass expiry it takes milliseconds. [`Arena::purge`] on the helper thread does it, and
///   what it returns is gone at once rather than when the system is short of memory.
/// - `slab_sizes`: four pages for the sizes whose slabs have one by default. What the allocator keeps about each slab takes 3 % of
///   such a page.
/// - `narenas:1`: one thread allocates, so one arena serves; the helper thread frees what lies in it. The other arena is
///   that of huge allocations, see [`Arena`].
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static MALLOC_CONF: Options = Options(
    c"lg_extent_max_active_fit:20,dirty_decay_ms:-1,muzzy_decay_ms:0,narenas:1,\
        slab_sizes:64-64:4|128-128:4|256-256:4|512-512:4|1024-1024:4|2048-2048:4"
        .as_ptr(),
);

/// A pointer to text that jemalloc reads.
#[repr(transparent)]
#[derive(Debug)]
pub struct Options(*const std::ffi::c_char);

// SAFETY: the text is constant and never freed.
unsafe impl Sync for Options {}

/// Bytes returned to the system by one call: while it lasts, the process maps no other memory. Some 0.2 ms.
#[cfg(target_os = "linux")]
const PURGED_AT_ONCE: usize = 1 << 20;

/// Has the allocator return pages in slices of `PURGED_AT_ONCE` bytes. In one piece, the half gigabyte of one value takes a
/// tenth of a second, and a loop that needs another mapping waits as long. Called once, at the start, by the loop's thread.
/// Where the system has no such call as Linux's, it does nothing.
///
/// # Errors
/// The allocator is not jemalloc.
pub fn purge_in_slices() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        // The arena of huge allocations comes with the first one. No page of this is touched.
        drop(std::hint::black_box(Vec::<u8>::with_capacity(HUGE_BYTES)));
        for name in [c"arena.0.extent_hooks", c"arena.1.extent_hooks"] {
            slice_purges(name).map_err(|error| io::Error::other(format!("{}: {error}", name.to_string_lossy())))?;
        }
    }
    Ok(())
}

/// The least of what jemalloc's `oversize_threshold` calls huge, by default.
#[cfg(target_os = "linux")]
const HUGE_BYTES: usize = 8 << 20;

/// Replaces an arena's call that returns pages, and keeps its others.
#[cfg(target_os = "linux")]
fn slice_purges(name: &std::ffi::CStr) -> Result<(), tikv_jemalloc_ctl::Error> {
    use tikv_jemalloc_sys::extent_hooks_t;
    let name = name.to_bytes_with_nul();
    // SAFETY: the name ends in a zero byte, and this setting is of the type `extent_hooks_t *`.
    let old: *const extent_hooks_t = unsafe { tikv_jemalloc_ctl::raw::read(name) }?;
    // SAFETY: jemalloc's own hooks are constant. Without the one that unmaps, an extent's pages are returned and its addresses
    // kept, as `opt.retain` has it by default.
    let hooks = unsafe { extent_hooks_t { dalloc: None, purge_forced: Some(purge_forced), ..std::ptr::read(old) } };
    // The arena uses them for ever.
    let hooks: *const extent_hooks_t = Box::leak(Box::new(hooks));
    // SAFETY: as above.
    unsafe { tikv_jemalloc_ctl::raw::write(name, hooks) }
}

/// jemalloc's hook that returns the pages of part of an extent to the system, which reads as zeros from then on. False means
/// that it was done.
#[cfg(target_os = "linux")]
unsafe extern "C" fn purge_forced(
    _hooks: *mut tikv_jemalloc_sys::extent_hooks_t,
    extent: *mut std::ffi::c_void,
    _size: usize,
    offset: usize,
    length: usize,
    _arena: std::ffi::c_uint,
) -> bool {
    for done in (0..length).step_by(PURGED_AT_ONCE) {
        let bytes = PURGED_AT_ONCE.min(length - done);
        // SAFETY: the allocator asks for these pages of its own, which hold nothing that is in use.
        if unsafe { libc::madvise(extent.byte_add(offset + done), bytes, libc::MADV_DONTNEED) } != 0 {
            return true;
        }
    }
    false
}

/// Where allocations lie, by size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arena {
    /// Allocations below 8 MiB (jemalloc's `oversize_threshold`).
    Main = 0,
    /// Those above. jemalloc reserves the first index after the ordinary arenas for it.
    Huge = 1,
}

impl Arena {
    /// Returns the unused pages of this arena to the system. Takes time in proportion to them, about 0.2 ms a MiB; holds the
    /// arena's locks for one extent at a time, so other threads go on allocating.
    ///
    /// # Errors
    /// The allocator is not jemalloc.
    pub fn purge(self) -> io::Result<()> {
        flush_thread_cache()?;
        match self {
            Arena::Main => command(c"arena.0.purge"),
            Arena::Huge => command(c"arena.1.purge"),
        }
    }
}

/// Empties the calling thread's cache of freed allocations into the arenas: what lies in it keeps pages in use. Some tens of
/// microseconds.
///
/// # Errors
/// The allocator is not jemalloc.
pub fn flush_thread_cache() -> io::Result<()> {
    command(c"thread.tcache.flush")
}

/// Pages in use, and those kept for later use that are resident all the same, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pages {
    /// Hold at least one allocation.
    pub active: usize,
    /// Unused, in [`Arena::Main`].
    pub unused_main: usize,
    /// Unused, in [`Arena::Huge`].
    pub unused_huge: usize,
}

impl Pages {
    /// Asks for fresh numbers: some ten microseconds. A number that cannot be read is 0.
    pub fn read() -> Pages {
        let _ = epoch::advance();
        let page = number(c"arenas.page");
        Pages {
            active: stats::active::read().unwrap_or(0),
            unused_main: number(c"stats.arenas.0.pdirty") * page,
            unused_huge: number(c"stats.arenas.1.pdirty") * page,
        }
    }
}

/// Reads a number of type `size_t`; 0 if there is none, such as that of an arena nothing has been allocated in.
fn number(name: &std::ffi::CStr) -> usize {
    // SAFETY: the name ends in a zero byte, and the callers ask for numbers of type `size_t`.
    unsafe { tikv_jemalloc_ctl::raw::read(name.to_bytes_with_nul()) }.unwrap_or(0)
}

/// Runs one of jemalloc's controls that neither takes nor returns a value.
fn command(name: &std::ffi::CStr) -> io::Result<()> {
    use std::ptr::null_mut;
    // SAFETY: `name` ends in a zero byte; null old and new values are what a control without values requires.
    let status = unsafe { tikv_jemalloc_sys::mallctl(name.as_ptr(), null_mut(), null_mut(), null_mut(), 0) };
    match status {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// The allocator's name and version, such as `jemalloc-5.3.0`.
pub fn name() -> String {
    let version = tikv_jemalloc_ctl::version::read().unwrap_or_default();
    format!("jemalloc-{}", version.split('-').next().unwrap_or_default())
}

/// The allocator's own report, as people read it. Some hundred kilobytes at most; takes milliseconds.
pub fn stats_text() -> io::Result<String> {
    let mut text = Vec::new();
    stats_print::stats_print(&mut text, stats_print::Options::default())?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::c_void;

    const BLOCK: usize = 1 << 20;

    /// A block taken from jemalloc directly, since the tests' global allocator is another one.
    struct Block(*mut c_void);

    // SAFETY: a block of memory belongs to whoever holds the pointer; jemalloc frees blocks of any thread.
    unsafe impl Send for Block {}

    impl Block {
        fn new() -> Block {
            // SAFETY: a plain allocation of a non-zero size.
            let pointer = unsafe { tikv_jemalloc_sys::malloc(BLOCK) };
            assert!(!pointer.is_null());
            Block(pointer)
        }
    }

    impl Drop for Block {
        fn drop(&mut self) {
            // SAFETY: allocated by `new`, freed once.
            unsafe { tikv_jemalloc_sys::free(self.0) }
        }
    }

    #[test]
    fn own_balance_follows_allocations_and_frees() {
        let before = own_balance();
        let block = Block::new();
        let held = own_balance() - before;
        assert!((BLOCK as i64..BLOCK as i64 * 2).contains(&held), "{held}");
        assert!(Stats::read().allocated >= BLOCK);
        drop(block);
        assert_eq!(own_balance(), before);
    }

    #[test]
    fn what_a_helper_frees_is_balanced_by_what_it_posts() {
        // The helper's own thread and ledger: what it posts is the exact opposite of what this thread allocated.
        let before = own_balance();
        let block = Block::new();
        let held = own_balance() - before;
        let posted = std::thread::spawn(move || {
            let mut ledger = Ledger::new();
            let opening = ledger.posted;
            drop(block);
            ledger.publish();
            ledger.posted - opening
        });
        assert_eq!(posted.join().expect("the helper ran"), -held);
        assert_eq!(own_balance() - before, held, "another thread's free is not in this thread's counters");
    }

    #[test]
    fn totals_are_consistent_and_purging_succeeds() {
        let block = Block::new();
        let stats = Stats::read();
        assert!(stats.allocated <= stats.active && stats.active <= stats.resident && stats.metadata > 0, "{stats:?}");
        drop(block);
        Arena::Main.purge().expect("purging is always possible");
        Arena::Huge.purge().expect("even where nothing has been allocated");
        assert!(stats_text().expect("a report").contains("jemalloc statistics"));
    }
}
