//! The scripts that EVAL, EVALSHA and SCRIPT LOAD know, by body and by digest.
//!
//! EVAL looks its body up by a CRC, which the processor computes, and compares the bytes: the digest is made once, when the
//! script is new. Bodies that collide on purpose cost whoever sends them the comparisons, and a script may take more time than
//! that anyway.
//!
//! # Invariants
//! - A script that was only ever given to EVAL is in a list by use, the one that was used last at its head; of these there are no more
//!   than `EVALUATED_MAX`, and the one at the tail goes for a new one. SCRIPT LOAD and EVALSHA take a script out of the list: it
//!   stays until SCRIPT FLUSH.
//! - `bytes` is the sum of the bodies' lengths.

use std::sync::Arc;

use hashbrown::HashTable;
use sha1_smol::Sha1;
use slab::Slab;

use super::shebang::ScriptFlags;
use crate::base::heap::{self, size_class};
use crate::lua::vm::Chunk;

/// Scripts of EVAL that are kept; Redis keeps as many.
const EVALUATED_MAX: usize = 500;

/// No script: the end of the list.
const NONE: u32 = u32::MAX;

/// A SHA-1 digest.
pub type Digest = [u8; 20];

/// Hexadecimal digits of one.
pub const DIGITS: usize = 2 * size_of::<Digest>();

/// A script.
#[derive(Debug)]
pub struct Script {
    /// What the interpreter has made of it.
    pub chunk: Chunk,
    /// Its text, with the first line.
    pub body: Box<[u8]>,
    /// Its digest in hexadecimal digits.
    pub name: Arc<str>,
    /// What its first line says, if it has one.
    pub flags: Option<ScriptFlags>,
    /// It stays until SCRIPT FLUSH.
    pub is_kept: bool,
    /// How often it ran.
    pub calls: u64,
    /// Nanoseconds that it ran.
    pub ns: u64,
    newer: u32,
    older: u32,
}

/// The scripts.
#[derive(Debug)]
pub struct Cache {
    scripts: Slab<Script>,
    by_body: HashTable<u32>,
    by_digest: HashTable<u32>,
    newest: u32,
    oldest: u32,
    /// Scripts in the list.
    evaluated: usize,
    bytes: usize,
}

impl Default for Cache {
    fn default() -> Cache {
        Cache {
            scripts: Slab::new(),
            by_body: HashTable::new(),
            by_digest: HashTable::new(),
            newest: NONE,
            oldest: NONE,
            evaluated: 0,
            bytes: 0,
        }
    }
}

/// SHA-1 of a body. O(bytes).
pub fn digest_of(body: &[u8]) -> Digest {
    Sha1::from(body).digest().bytes()
}

/// Forty hexadecimal digits.
pub fn hexadecimal(digest: &Digest) -> Arc<str> {
    let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(b"0123456789abcdef"[digit as usize])).collect::<String>().into()
}

fn hash_of_body(body: &[u8]) -> u64 {
    // The CRC's bits are spread over the word: the table takes the place from one end and seven bits from the other.
    (u64::from(crc32c::crc32c(body)) | (body.len() as u64) << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32)
}

/// What a script of so many bytes has on the heap: its body and its name.
fn heap_bytes_of(body_bytes: usize) -> usize {
    size_class(body_bytes) + heap::arc(DIGITS)
}

/// A hash of the digits of a digest, in any case.
fn hash_of_name(name: &[u8]) -> u64 {
    // Eight digits are as good as a hash once they are spread over the word. Letters of both cases differ in this bit, which
    // decimal digits have.
    const LOWER_CASE: u64 = 0x2020_2020_2020_2020;
    let digits = name.first_chunk().map_or(0, |digits| u64::from_le_bytes(*digits) | LOWER_CASE);
    digits.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32)
}

impl Cache {
    /// The number of the script of a body. O(bytes).
    pub fn find_body(&self, body: &[u8]) -> Option<u32> {
        let is_it = |number: &u32| &*self.scripts[*number as usize].body == body;
        self.by_body.find(hash_of_body(body), is_it).copied()
    }

    /// The number of the script of a digest, given as hexadecimal digits in any case. O(1).
    pub fn find(&self, digits: &[u8]) -> Option<u32> {
        let is_it = |number: &u32| {
            let name = self.scripts[*number as usize].name.as_bytes();
            name == digits || name.eq_ignore_ascii_case(digits)
        };
        self.by_digest.find(hash_of_name(digits), is_it).copied()
    }

    /// The script of a number.
    pub fn get(&self, number: u32) -> &Script {
        &self.scripts[number as usize]
    }

    /// The same, to be counted.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut Script> {
        self.scripts.get_mut(number as usize)
    }

    /// All scripts, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = &Script> {
        self.scripts.iter().map(|(_, script)| script)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.scripts.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.scripts.is_empty()
    }

    /// Bytes of the bodies, and of what is kept beside them.
    pub fn heap_bytes(&self) -> usize {
        let tables = size_class(self.by_body.allocation_size()) + size_class(self.by_digest.allocation_size());
        heap::slab(&self.scripts) + tables + self.bytes
    }

    /// Takes in a script that was compiled, whose body is not known yet. One that was evaluated may take the place of the one that
    /// was used least recently, whose chunk is returned. O(bytes).
    pub fn insert(
        &mut self,
        body: &[u8],
        flags: Option<ScriptFlags>,
        chunk: Chunk,
        is_kept: bool,
    ) -> (u32, Option<Chunk>) {
        debug_assert!(self.find_body(body).is_none());
        let evicted = if !is_kept && self.evaluated >= EVALUATED_MAX { self.evict_oldest() } else { None };
        let name = hexadecimal(&digest_of(body));
        let script =
            Script { chunk, body: body.into(), name, flags, is_kept, calls: 0, ns: 0, newer: NONE, older: NONE };
        self.bytes += heap_bytes_of(body.len());
        let number = self.scripts.insert(script) as u32;
        let scripts = &self.scripts;
        self.by_body.insert_unique(hash_of_body(body), number, |number| hash_of_body(&scripts[*number as usize].body));
        let hash = |number: &u32| hash_of_name(scripts[*number as usize].name.as_bytes());
        self.by_digest.insert_unique(hash(&number), number, hash);
        if !is_kept {
            self.link(number);
        }
        (number, evicted)
    }

    /// Notes that EVAL uses a script: it goes last of those that are there for a while. O(1).
    pub fn touch(&mut self, number: u32) {
        if !self.get(number).is_kept && self.newest != number {
            self.unlink(number);
            self.link(number);
        }
    }

    /// Keeps a script until SCRIPT FLUSH. False if that is so already. O(1).
    pub fn keep(&mut self, number: u32) -> bool {
        if self.get(number).is_kept {
            return false;
        }
        self.unlink(number);
        self.scripts[number as usize].is_kept = true;
        true
    }

    fn link(&mut self, number: u32) {
        let second = std::mem::replace(&mut self.newest, number);
        let script = &mut self.scripts[number as usize];
        (script.newer, script.older) = (NONE, second);
        match second {
            NONE => self.oldest = number,
            second => self.scripts[second as usize].newer = number,
        }
        self.evaluated += 1;
    }

    fn unlink(&mut self, number: u32) {
        let Script { newer, older, .. } = self.scripts[number as usize];
        match newer {
            NONE => self.newest = older,
            newer => self.scripts[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.scripts[older as usize].newer = newer,
        }
        self.evaluated -= 1;
    }

    fn evict_oldest(&mut self) -> Option<Chunk> {
        let number = self.oldest;
        if number == NONE {
            return None;
        }
        self.unlink(number);
        let script = self.scripts.remove(number as usize);
        let is_it = |other: &u32| *other == number;
        if let Ok(entry) = self.by_body.find_entry(hash_of_body(&script.body), is_it) {
            entry.remove();
        }
        if let Ok(entry) = self.by_digest.find_entry(hash_of_name(script.name.as_bytes()), is_it) {
            entry.remove();
        }
        self.bytes -= heap_bytes_of(script.body.len());
        Some(script.chunk)
    }
}
