use std::hash::BuildHasher as _;
use std::sync::Arc;

use hashbrown::HashTable;

/// A power of two: what is copied at once is an entry's shard.
const SHARDS: usize = 1024;

/// Hashes keys, seeded anew for each corpus, so that a log cannot be made to collide.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hasher(foldhash::fast::RandomState);

impl Hasher {
    #[inline]
    pub(crate) fn hash(&self, key: &[u8]) -> HashOf {
        HashOf(self.0.hash_one(key) as u32)
    }
}

/// The hash of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct HashOf(u32);

impl HashOf {
    fn shard(self) -> usize {
        self.0 as usize % SHARDS
    }

    /// What `hashbrown` gets, which looks at the lowest and the highest bits.
    fn spread(self) -> u64 {
        // All of a shard have the same lowest bits, and the product has them too.
        let product = u64::from(self.0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        product ^ (product >> 32)
    }
}

/// Finds ids by hash. What the keys are, the caller knows.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    shards: Arc<Vec<Arc<HashTable<Entry>>>>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: HashOf,
    id: u32,
}

impl Default for Table {
    fn default() -> Self {
        let empty = Arc::default();
        Self {
            shards: Arc::new(vec![empty; SHARDS]),
        }
    }
}

impl Table {
    #[inline]
    pub(crate) fn find(&self, hash: HashOf, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        self.shards[hash.shard()]
            .find(hash.spread(), |entry| entry.hash == hash && is_it(entry.id))
            .map(|entry| entry.id)
    }

    /// Adds an id that was not [found](Self::find).
    pub(crate) fn insert(&mut self, hash: HashOf, id: u32) {
        let shard = &mut Arc::make_mut(&mut self.shards)[hash.shard()];
        Arc::make_mut(shard).insert_unique(hash.spread(), Entry { hash, id }, |entry| {
            entry.hash.spread()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_inserted_is_found_and_a_clone_does_not_see_what_comes_later() {
        let hasher = Hasher::default();
        let hash = |n: u32| hasher.hash(&n.to_le_bytes());
        let mut table = Table::default();
        for n in 0..50_000 {
            table.insert(hash(n), n);
        }
        let view = table.clone();
        for n in 50_000..100_000 {
            table.insert(hash(n), n);
        }
        for n in 0..100_000 {
            assert_eq!(table.find(hash(n), |id| id == n), Some(n));
            assert_eq!(view.find(hash(n), |id| id == n), (n < 50_000).then_some(n));
        }
    }
}
