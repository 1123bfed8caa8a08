//! Which of the allocator's slabs hold little: asked block by block, for whoever moves blocks so that pages become empty.
//!
//! jemalloc keeps blocks of up to 14 KiB in slabs, each of one size class. A slab's pages are in use as long as one block is.
//! New blocks come from the slabs of their class that have been there the longest and have a free place. So blocks that are copied out
//! of slabs that are emptier than others fill those up, and slabs without blocks are unused pages.
//!
//! The calls are jemalloc's `experimental.utilization.batch_query` and its statistics of bins.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ptr::NonNull;

use tikv_jemalloc_ctl::{epoch, raw};

use crate::base::heap::{Mover, size_class};

/// Classes of which no more than one part in so many is free are left alone.
const FREE_PARTS: usize = 20;

/// The levels of the name of the call.
const LEVELS: usize = 3;

/// The slabs of one size class.
#[derive(Clone, Copy, Debug)]
struct Bin {
    bytes: usize,
    /// Blocks leave slabs that have as many places free; more than there are where none should.
    free_min: usize,
}

/// What three numbers say of a block's slab.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct Utilization {
    /// Places that are free.
    free: usize,
    places: usize,
    bytes: usize,
}

/// The slabs as they were when they were read, and how often was answered what.
#[derive(Debug)]
pub struct Slabs {
    query: [usize; LEVELS],
    /// By size.
    bins: Vec<Bin>,
    /// Bytes of free places in slabs in use.
    pub free_bytes: usize,
    /// Bytes that are allocated.
    pub allocated_bytes: usize,
    /// Blocks that were to be moved.
    pub hits: u64,
    /// Blocks that were not.
    pub misses: u64,
}

impl Slabs {
    /// Reads how full the slabs are: about a tenth of a millisecond. `None` where the allocator does not tell.
    pub fn read() -> Option<Slabs> {
        epoch::advance().ok()?;
        let mut query = [0; LEVELS];
        raw::name_to_mib(b"experimental.utilization.batch_query\0", &mut query).ok()?;
        let mut slabs = Slabs {
            query,
            bins: Vec::new(),
            free_bytes: 0,
            allocated_bytes: number("stats.allocated")?,
            hits: 0,
            misses: 0,
        };
        for index in 0..number::<u32>("arenas.nbins")? {
            let of = |name: &str| number::<usize>(&format!("stats.arenas.0.bins.{index}.{name}"));
            let bytes = number::<usize>(&format!("arenas.bin.{index}.size"))?;
            let places = number::<u32>(&format!("arenas.bin.{index}.nregs"))? as usize;
            let (all, used, nonfull) = (of("curslabs")? * places, of("curregs")?, of("nonfull_slabs")?);
            let free = all.saturating_sub(used);
            slabs.free_bytes += free * bytes;
            let is_full = nonfull < 2 || places < 2 || free * FREE_PARTS <= all;
            // As in Redis: blocks leave slabs that are no fuller than an eighth above the average of those that have free places.
            let used_average = (nonfull * places).saturating_sub(free) / nonfull.max(1);
            let free_min = if is_full { places + 1 } else { places.saturating_sub(used_average * 9 / 8).max(1) };
            slabs.bins.push(Bin { bytes, free_min });
        }
        Some(slabs)
    }

    fn utilization(&self, block: NonNull<u8>) -> Utilization {
        let mut of = Utilization::default();
        let (mut block, mut length) = (block.as_ptr().cast::<c_void>(), size_of::<Utilization>());
        // SAFETY: the call reads one pointer and writes three numbers. It does not read what the pointer leads to: the block's page
        // is looked up in the allocator's own map, and a block that is in use has one there.
        let result = unsafe {
            tikv_jemalloc_sys::mallctlbymib(
                self.query.as_ptr(),
                LEVELS,
                (&raw mut of).cast(),
                &raw mut length,
                (&raw mut block).cast(),
                size_of::<*mut c_void>(),
            )
        };
        if result == 0 { of } else { Utilization::default() }
    }
}

impl Mover for Slabs {
    fn wants(&mut self, block: NonNull<u8>, bytes: usize) -> bool {
        let class = size_class(bytes);
        let bin = self.bins.binary_search_by_key(&class, |bin| bin.bytes).ok().map(|index| self.bins[index]);
        let wants = bin.is_some_and(|bin| {
            let of = self.utilization(block);
            of.places > 1 && of.free >= bin.free_min && bin.free_min <= of.places
        });
        self.hits += u64::from(wants);
        self.misses += u64::from(!wants);
        wants
    }

    fn moved(&self) -> u64 {
        self.hits
    }
}

/// A number that jemalloc tells by this name; the type is the one it has there.
fn number<T: Copy>(name: &str) -> Option<T> {
    let name = format!("{name}\0");
    // SAFETY: the name ends in a zero byte, and the caller asks for the type of this number.
    unsafe { raw::read(name.as_bytes()) }.ok()
}

/// While there is one, blocks that this thread frees go straight to their slabs, and new ones come from there: not from the
/// thread's cache, which would hand out the block that has just been left. Some microseconds to begin and to end.
#[derive(Debug)]
pub struct Uncached {
    /// It belongs to one thread.
    _not_send: std::marker::PhantomData<*const ()>,
}

impl Uncached {
    /// Begins.
    pub fn begin() -> Uncached {
        set_cached(false);
        Uncached { _not_send: std::marker::PhantomData }
    }
}

impl Drop for Uncached {
    fn drop(&mut self) {
        set_cached(true);
    }
}

fn set_cached(is_cached: bool) {
    // SAFETY: the name ends in a zero byte, and this setting is a `bool`. That the allocator may refuse changes the speed alone.
    let _ = unsafe { raw::write(b"thread.tcache.enabled\0", is_cached) };
}
