//! Templates: the field names of many like hashes, held once for all of them (see `hash::compact`).
//!
//! # Invariants
//! - A template is alive as long as a hash uses it, and no longer: the hashes own it together, [`Templates`] only know it.
//! - Two templates of the same names in the same order are there only while the older one is being dropped.
//! - There are no more than [`TEMPLATES_MAX`]: hashes that would need one more are represented otherwise.
//!
//! # Threads
//! Hashes are dropped by the helper thread as well, and the last of them takes its template along. So what is known is behind a lock,
//! which is taken when a template is looked for and when one goes, and never while one is dropped by who holds it.
//!
//! Used by `hash`. Knows nothing of values.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::base::heap::{self, arc};

/// Templates that may be alive: names that hardly any two hashes have in common would cost more than they save.
pub const TEMPLATES_MAX: usize = 4096;

/// Fields of a template at most: they are searched one after the other.
pub const TEMPLATE_FIELDS_MAX: usize = 1024;

/// The names of fields, in order and in one piece:
/// ```text
/// | count u32 | where each name ends u32 ... | names ... |
/// ```
#[derive(Clone, Debug, Default)]
pub struct Names {
    ends: Vec<u8>,
    names: Vec<u8>,
}

/// Bytes of a count, and of an end.
const NUMBER_BYTES: usize = size_of::<u32>();

impl Names {
    /// Adds a name. There must be less than 4 GiB of them.
    pub fn push(&mut self, name: &[u8]) {
        self.names.extend_from_slice(name);
        let end = u32::try_from(self.names.len()).expect("names of a listpack are far shorter");
        self.ends.extend_from_slice(&end.to_le_bytes());
    }

    fn into_bytes(self) -> Vec<u8> {
        let count = (self.ends.len() / NUMBER_BYTES) as u32;
        [count.to_le_bytes().as_slice(), &self.ends, &self.names].concat()
    }
}

/// The field names of some hashes.
pub struct Template {
    /// As [`Names`] lays them out.
    names: Arc<[u8]>,
    known_to: Arc<Templates>,
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names().map(String::from_utf8_lossy)).finish()
    }
}

impl Template {
    #[inline]
    fn number(&self, index: usize) -> usize {
        let at = index * NUMBER_BYTES;
        let bytes = self.names[at..].first_chunk().expect("a count and so many ends are there");
        u32::from_le_bytes(*bytes) as usize
    }

    /// Number of fields.
    #[inline]
    pub fn field_count(&self) -> usize {
        self.number(0)
    }

    /// The names, in order.
    #[inline]
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        let (count, mut start) = (self.field_count(), 0);
        let text = &self.names[(1 + count) * NUMBER_BYTES..];
        (1..=count).map(move |index| {
            let end = self.number(index);
            let name = &text[start..end];
            start = end;
            name
        })
    }

    /// How many hashes use it.
    pub fn users(&self) -> usize {
        self.known_to.lock().by_names.get(&self.names).map_or(0, Weak::strong_count)
    }

    /// The place of a name. O(N).
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        self.names().position(|own| own == name)
    }

    fn heap_bytes(names: &Arc<[u8]>) -> usize {
        arc(size_of::<Template>()) + arc(names.len())
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        let mut known = self.known_to.lock();
        known.bytes -= Template::heap_bytes(&self.names);
        // Another one of these names may have come already.
        let is_own = known.by_names.get(&self.names).is_some_and(|other| std::ptr::eq(other.as_ptr(), self));
        if is_own {
            known.by_names.remove(&self.names);
        }
    }
}

/// The templates of a server.
#[derive(Default)]
pub struct Templates(Mutex<Known>);

#[derive(Default)]
struct Known {
    by_names: HashMap<Arc<[u8]>, Weak<Template>>,
    /// What they take, without the map.
    bytes: usize,
}

/// How much there is of templates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Templates.
    pub templates: usize,
    /// Hashes that use them.
    pub hashes: usize,
    /// Bytes that the templates have on the heap.
    pub bytes: usize,
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counts().fmt(f)
    }
}

impl Templates {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The template of these names, which is made if there is none; `None` if there are [`TEMPLATES_MAX`] others. O(bytes of the
    /// names).
    pub fn of(self: &Arc<Self>, names: Names) -> Option<Arc<Template>> {
        let names = names.into_bytes();
        let mut known = self.lock();
        if let Some(template) = known.by_names.get(&*names).and_then(Weak::upgrade) {
            return Some(template);
        }
        if known.by_names.len() >= TEMPLATES_MAX {
            return None;
        }
        let names: Arc<[u8]> = names.into();
        known.bytes += Template::heap_bytes(&names);
        let template = Arc::new(Template { names: Arc::clone(&names), known_to: Arc::clone(self) });
        known.by_names.insert(names, Arc::downgrade(&template));
        Some(template)
    }

    /// The template of these names, if there is one. O(bytes of the names).
    pub fn known(&self, names: Names) -> Option<Arc<Template>> {
        self.lock().by_names.get(&*names.into_bytes()).and_then(Weak::upgrade)
    }

    /// How many there are. O(1).
    pub fn count(&self) -> usize {
        self.lock().by_names.len()
    }

    /// How many of them have fewer users than this. O(templates).
    pub fn count_with_fewer(&self, users: usize) -> usize {
        self.lock().by_names.values().filter(|template| template.strong_count() < users).count()
    }

    /// How much there is. O(templates).
    pub fn counts(&self) -> Counts {
        let known = self.lock();
        let hashes = known.by_names.values().map(Weak::strong_count).sum();
        Counts { templates: known.by_names.len(), hashes, bytes: known.bytes + heap::map(&known.by_names) }
    }
}

/// Which hashes use templates, and which templates.
#[derive(Clone, Debug)]
pub struct Sharing {
    /// Fields of such a hash at least (`hash-min-template-entries`).
    pub min: usize,
    /// Fields of such a hash at most (`hash-max-template-entries`).
    pub max: usize,
    /// The templates.
    pub templates: Arc<Templates>,
    /// Only templates that are there are used.
    pub is_closed: bool,
}

impl Sharing {
    /// True for a number of fields that a hash with a template may have.
    #[inline]
    pub fn takes(&self, fields: usize) -> bool {
        (self.min.max(1)..=self.max).contains(&fields)
    }

    /// The template of these names, which is made if there is none and may be one; `None` otherwise. O(bytes of the names).
    pub fn template_of(&self, names: Names) -> Option<Arc<Template>> {
        if self.is_closed { self.templates.known(names) } else { self.templates.of(names) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(of: &[&str]) -> Names {
        let mut names = Names::default();
        of.iter().for_each(|name| names.push(name.as_bytes()));
        names
    }

    #[test]
    fn equal_names_have_one_template_until_the_last_user_goes() {
        let templates = Arc::new(Templates::default());
        let first = templates.of(names(&["a", "", "longer"])).expect("there is room");
        let again = templates.of(names(&["a", "", "longer"])).expect("it is there");
        assert!(Arc::ptr_eq(&first, &again));
        let found: Vec<_> = ["a", "", "longer", "long", "al"].map(|name| first.find(name.as_bytes())).into();
        assert_eq!(found, [Some(0), Some(1), Some(2), None, None]);
        let others = [names(&["", "a", "longer"]), names(&["alonger"]), names(&["a", "longer"]), names(&["a"])];
        let others: Vec<_> = others.into_iter().map(|names| templates.of(names).expect("there is room")).collect();
        let Counts { templates: count, hashes, bytes } = templates.counts();
        assert_eq!((count, hashes), (5, 6));
        assert!(bytes > 5 * size_of::<Template>());
        drop((first, others));
        assert_eq!((templates.counts().templates, templates.counts().hashes), (1, 1));
        drop(again);
        assert_eq!((templates.counts().templates, templates.lock().bytes), (0, 0));
    }

    #[test]
    fn there_are_only_so_many() {
        let templates = Arc::new(Templates::default());
        let all: Vec<_> =
            (0..TEMPLATES_MAX).map(|n| templates.of(names(&[&n.to_string()])).expect("there is room")).collect();
        assert!(templates.of(names(&["x"])).is_none());
        assert!(templates.of(names(&["7"])).is_some(), "it is there");
        drop(all);
        assert!(templates.of(names(&["x"])).is_some());
    }

    #[test]
    fn users_come_and_go_on_several_threads() {
        let templates = Arc::new(Templates::default());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..2_000 {
                        let template = templates.of(names(&[["a", "b", "c"][n % 3]])).expect("there is room");
                        assert_eq!(template.field_count(), 1);
                    }
                });
            }
        });
        assert_eq!((templates.counts().templates, templates.lock().bytes), (0, 0));
    }
}
