//! Names of keys, packed one behind the other into pages, each with a number beside it.
//!
//! A record is the number in four bytes, the length of the name (LEB128, one byte for nearly all), and the name: five bytes
//! beside it, and no allocation of its own. A name longer than a page has a page to itself.
//!
//! # Invariants
//! - A record stays where it is until it is removed, or its page is taken for compaction.
//! - `live_bytes` of a page are those of its records that have not been removed; a page without any has no memory, but for the
//!   one that is being filled.
//!
//! # Limits
//! [`PAGES_MAX`] pages: 4 GiB of names. Beyond it [`Names::push`] takes none.

use crate::base::heap;

const PAGE_BITS: u32 = 14;
/// Bytes of a page: what is moved at a time when it is more than half removed, some 700 names.
const PAGE_BYTES: usize = 1 << PAGE_BITS;
/// Pages at most: what is left of the 32 bits of a place.
const PAGES_MAX: usize = 1 << (u32::BITS - PAGE_BITS);

/// The number of a record that has been removed.
const REMOVED: u32 = u32::MAX;
const NUMBER_BYTES: usize = size_of::<u32>();

/// Where a record is.
pub type Place = u32;

#[derive(Debug, Default)]
struct Page {
    bytes: Vec<u8>,
    live_bytes: usize,
}

/// The names.
#[derive(Debug, Default)]
pub struct Names {
    pages: Vec<Page>,
    /// Numbers of pages without memory.
    free: Vec<u32>,
    /// The page that is being filled.
    open: Option<u32>,
}

/// A record that was read.
#[derive(Clone, Copy, Debug)]
struct Record<'a> {
    number: u32,
    name: &'a [u8],
    /// Bytes of all of it.
    len: usize,
}

fn page_of(place: Place) -> (usize, usize) {
    ((place >> PAGE_BITS) as usize, place as usize % PAGE_BYTES)
}

/// Reads the record that bytes begin with.
fn read(bytes: &[u8]) -> Record<'_> {
    let (number, rest) = bytes.split_first_chunk::<NUMBER_BYTES>().expect("a record has a number");
    let (mut len, mut shift, mut head) = (0, 0, NUMBER_BYTES);
    for byte in rest {
        len |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        head += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    Record { number: u32::from_le_bytes(*number), name: &bytes[head..head + len], len: head + len }
}

fn write(bytes: &mut Vec<u8>, number: u32, name: &[u8]) {
    bytes.extend_from_slice(&number.to_le_bytes());
    let mut left = name.len();
    while left >= 0x80 {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes.extend_from_slice(name);
}

/// Bytes of a record.
fn len_of(name: &[u8]) -> usize {
    let bits = usize::BITS - name.len().leading_zeros();
    NUMBER_BYTES + bits.div_ceil(7).max(1) as usize + name.len()
}

/// The records of a page that have not been removed: where in it, their number, their name.
fn records(bytes: &[u8]) -> impl Iterator<Item = (usize, u32, &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() {
            let (begin, record) = (at, read(&bytes[at..]));
            at += record.len;
            if record.number != REMOVED {
                return Some((begin, record.number, record.name));
            }
        }
        None
    })
}

/// A page that has been taken out, to be packed anew.
#[derive(Debug)]
pub struct Taken {
    page: u32,
    bytes: Vec<u8>,
}

impl Taken {
    /// Its records: where they were, their numbers and names.
    pub fn records(&self) -> impl Iterator<Item = (Place, u32, &[u8])> {
        records(&self.bytes).map(|(at, number, name)| (self.page << PAGE_BITS | at as u32, number, name))
    }
}

impl Names {
    /// Adds a name with a number, which is not `u32::MAX`. `None` if there is no room. O(name).
    pub fn push(&mut self, name: &[u8], number: u32) -> Option<Place> {
        debug_assert_ne!(number, REMOVED);
        let len = len_of(name);
        let has_room = |page: &Page| PAGE_BYTES - page.bytes.len() >= len;
        let page = match self.open {
            Some(open) if has_room(&self.pages[open as usize]) => open,
            _ => {
                let page = self.new_page(len.max(PAGE_BYTES))?;
                if len <= PAGE_BYTES {
                    self.open = Some(page);
                }
                page
            }
        };
        let Page { bytes, live_bytes } = &mut self.pages[page as usize];
        let place = page << PAGE_BITS | bytes.len() as u32;
        write(bytes, number, name);
        *live_bytes += len;
        Some(place)
    }

    fn new_page(&mut self, len: usize) -> Option<u32> {
        let page = Page { bytes: Vec::with_capacity(len), live_bytes: 0 };
        if let Some(number) = self.free.pop() {
            self.pages[number as usize] = page;
            return Some(number);
        }
        if self.pages.len() == PAGES_MAX {
            return None;
        }
        self.pages.push(page);
        Some(self.pages.len() as u32 - 1)
    }

    fn record(&self, place: Place) -> Record<'_> {
        let (page, at) = page_of(place);
        read(&self.pages[page].bytes[at..])
    }

    /// The name of a record.
    #[inline]
    pub fn name(&self, place: Place) -> &[u8] {
        self.record(place).name
    }

    /// The number of a record.
    pub fn number(&self, place: Place) -> u32 {
        self.record(place).number
    }

    /// Gives a record another number.
    pub fn set_number(&mut self, place: Place, number: u32) {
        debug_assert_ne!(number, REMOVED);
        self.write_number(place, number);
    }

    fn write_number(&mut self, place: Place, number: u32) {
        let (page, at) = page_of(place);
        self.pages[page].bytes[at..at + NUMBER_BYTES].copy_from_slice(&number.to_le_bytes());
    }

    /// Removes a record. True if so much of its page has been removed that it should be packed anew, with [`Names::take`].
    pub fn remove(&mut self, place: Place) -> bool {
        let len = self.record(place).len;
        self.write_number(place, REMOVED);
        let number = place >> PAGE_BITS;
        let is_open = self.open == Some(number);
        let page = &mut self.pages[number as usize];
        page.live_bytes -= len;
        if page.live_bytes > 0 {
            let is_sparse = !is_open && page.live_bytes * 2 < page.bytes.len();
            // What is left of it may need a page.
            return is_sparse && (self.pages.len() < PAGES_MAX || !self.free.is_empty());
        }
        if is_open {
            page.bytes.clear();
        } else {
            page.bytes = Vec::new();
            self.free.push(number);
        }
        false
    }

    /// Takes out the page of a place. Its records are to be pushed again, and then [`Names::give_back`] is called.
    pub fn take(&mut self, place: Place) -> Taken {
        let page = place >> PAGE_BITS;
        Taken { page, bytes: std::mem::take(&mut self.pages[page as usize]).bytes }
    }

    /// The page's number may be used again.
    pub fn give_back(&mut self, taken: Taken) {
        self.free.push(taken.page);
    }

    /// How many pages there are, some of which may be without records.
    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// Bytes on the heap. O(pages).
    pub fn heap_bytes(&self) -> usize {
        let pages = self.pages.iter().map(|page| heap::vec(&page.bytes)).sum::<usize>();
        heap::vec(&self.pages) + heap::vec(&self.free) + pages
    }

    /// The records of a page, in the order in which they were added: their places and numbers. O(page).
    pub fn of_page(&self, page: usize) -> impl Iterator<Item = (Place, u32)> {
        let base = (page as u32) << PAGE_BITS;
        records(&self.pages[page].bytes).map(move |(at, number, _)| (base | at as u32, number))
    }
}

#[cfg(test)]
impl Names {
    /// Bytes of all pages.
    pub fn pages_bytes(&self) -> usize {
        self.pages.iter().map(|page| page.bytes.capacity()).sum()
    }
}
