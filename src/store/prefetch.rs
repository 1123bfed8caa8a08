//! Prefetch: starts loading into the cache what commands are about to look up. Of a key first its bucket, then its entry; of
//! large sets, hashes and sorted sets then the members. A lookup waits for main memory twice, for the bucket and for what
//! is in it; commands that run one after the other wait one after the other, and what is loaded for all of them together
//! is waited for once.
//!
//! Called by the loop for the commands of a batch, and by commands of many keys. Changes nothing and counts nothing; what
//! is loaded in vain does no harm.

use super::db::Db;
use super::types::{Hash, Set, Type, ZSet};

/// Members whose buckets are on their way before the first of them is looked into.
const GROUP: usize = 16;

/// The member that a command is about to look up: the hash of its key, the key, and the member.
pub type MemberLookup<'l> = (u64, &'l [u8], &'l [u8]);

impl Db {
    /// Starts loading a key's bucket into the cache; the key's hash for [`Db::prefetch_entry`].
    #[inline]
    pub fn prefetch_bucket(&self, key: &[u8]) -> u64 {
        let hash = self.table.hasher().hash(key);
        self.table.prefetch_bucket(hash);
        hash
    }

    /// Starts loading the entry of a key of this hash.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        self.table.prefetch_entry(hash);
    }

    /// Starts loading the members that commands are about to look up. Commands of the same key should come in a row. O(lookups).
    pub fn prefetch_members(&self, mut lookups: &[MemberLookup<'_>]) {
        while let Some(&(hash, key, _)) = lookups.first() {
            let same = lookups.iter().take_while(|lookup| lookup.0 == hash).count();
            let (run, later) = lookups.split_at(same);
            lookups = later;
            // One alone has nothing to wait together with.
            if same == 1 {
                continue;
            }
            let Some(entry) = self.table.lookup(hash, key) else { continue };
            match entry.type_of() {
                Type::Set => entry
                    .collection::<Set>()
                    .into_iter()
                    .for_each(|set| in_groups(run, |text| set.prefetch_bucket(text), |hash| set.prefetch_entry(hash))),
                Type::Hash => entry.collection::<Hash>().into_iter().for_each(|fields| {
                    in_groups(run, |name| fields.prefetch_bucket(name), |hash| fields.prefetch_entry(hash));
                }),
                Type::ZSet => entry.collection::<ZSet>().into_iter().for_each(|zset| {
                    in_groups(run, |member| zset.prefetch_bucket(member), |hash| zset.prefetch_entry(hash));
                }),
                _ => {}
            }
        }
    }
}

/// Loads buckets, then what is in them, some at a time.
fn in_groups(run: &[MemberLookup<'_>], bucket: impl Fn(&[u8]) -> u64, entry: impl Fn(u64)) {
    for group in run.chunks(GROUP) {
        let mut hashes = [0; GROUP];
        for (hash, (.., member)) in hashes.iter_mut().zip(group) {
            *hash = bucket(member);
        }
        hashes[..group.len()].iter().for_each(|&hash| entry(hash));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Now;
    use crate::store::db::Moment;
    use crate::store::hash::KeyHasher;
    use crate::store::types::{Object, set};

    #[test]
    fn prefetch_changes_nothing_whatever_is_named() {
        let (hasher, at) = (KeyHasher::new([4; 16]), Moment::new(Now { mono_ns: 0, unix_ms: 1 }, false));
        let policy = set::Policy { intset_entries: 4, listpack_entries: 4, listpack_value: 8, hasher };
        let mut db = Db::new(hasher);
        let mut large = Set::ints();
        (0..1000).for_each(|n| assert!(large.insert(format!("member:{n}").as_bytes(), &policy)));
        db.set_object(b"large", Object::Set(large), at);
        db.set_object(b"fields", Object::Hash(Hash::new()), at);
        db.set_object(b"zset", Object::ZSet(ZSet::default()), at);
        db.set_object(b"list", Object::List(Default::default()), at);
        let lookup = |key: &'static [u8], member: &'static [u8]| (hasher.hash(key), key, member);
        for key in [&b"large"[..], b"fields", b"zset", b"list", b"nothing"] {
            let run: Vec<_> = (0..2 * GROUP + 1).map(|_| lookup(key, b"member:7")).collect();
            db.prefetch_members(&run);
            db.prefetch_members(&[lookup(key, b""), lookup(b"large", b"x"), lookup(b"large", b"y")]);
        }
        db.prefetch_members(&[]);
        let large = db.peek(b"large").and_then(|entry| entry.into_collection::<Set>());
        assert_eq!(large.map(|set| set.contains(b"member:7")), Some(true));
    }
}
