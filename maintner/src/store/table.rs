use std::hash::Hasher as _;
use std::io;
use std::sync::Arc;

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;
use hashbrown::HashTable;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::store::{Save, Section};

/// A power of two: what is copied at once is an entry's shard.
const SHARDS: usize = 1024;

/// Hashes keys, seeded anew for each corpus, so that a log cannot be made to collide; a corpus out of a snapshot goes on with the
/// seed of the one that was saved.
#[derive(Debug, Clone)]
pub(crate) struct Hasher {
    seed: u64,
    shared: Arc<SharedSeed>,
}

impl Hasher {
    pub(crate) fn with_seed(seed: u64) -> Self {
        let shared = Arc::new(SharedSeed::from_u64(seed));
        Self { seed, shared }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    #[inline]
    pub(crate) fn hash(&self, key: &[u8]) -> HashOf {
        let mut hasher = FoldHasher::with_seed(self.seed, &self.shared);
        hasher.write(key);
        HashOf(hasher.finish() as u32)
    }
}

impl Default for Hasher {
    fn default() -> Self {
        // The standard library's way to a number that nobody can know.
        let random = std::hash::BuildHasher::build_hasher(&std::hash::RandomState::new());
        Self::with_seed(random.finish())
    }
}

/// The hash of a key.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
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
    stored: Option<Buckets>,
}

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Entry {
    hash: HashOf,
    id: u32,
}

/// The entries that a snapshot has, by the highest bits of their hashes.
#[derive(Debug, Clone)]
struct Buckets {
    /// Where each bucket begins, and the last one ends.
    starts: Section,
    entries: Section,
    bits: u32,
}

impl Buckets {
    fn entries_of(&self, hash: HashOf) -> Option<&[Entry]> {
        let bucket = bucket(hash, self.bits);
        let &[start, end] = self.starts.rows::<u32>(bucket..bucket + 2)? else {
            return None;
        };
        self.entries.rows(start as usize..end as usize)
    }

    fn all(&self) -> &[Entry] {
        let len = self.entries.len_of::<Entry>().unwrap_or_default();
        self.entries.rows(0..len).unwrap_or_default()
    }
}

fn bucket(hash: HashOf, bits: u32) -> usize {
    (u64::from(hash.0) << bits >> u32::BITS) as usize
}

impl Default for Table {
    fn default() -> Self {
        let empty = Arc::default();
        Self {
            shards: Arc::new(vec![empty; SHARDS]),
            stored: None,
        }
    }
}

impl Table {
    /// What was saved by [`save_starts`](Self::save_starts) and [`save_entries`](Self::save_entries); `None` if it was not.
    pub(crate) fn stored(starts: Section, entries: Section) -> Option<Self> {
        let buckets = starts.len_of::<u32>()?.checked_sub(1)?;
        entries.len_of::<Entry>()?;
        if !buckets.is_power_of_two() || buckets.ilog2() > u32::BITS {
            return None;
        }
        Some(Self {
            stored: Some(Buckets {
                starts,
                entries,
                bits: buckets.ilog2(),
            }),
            ..Self::default()
        })
    }

    /// Puts its two parts in order.
    pub(crate) fn sorted(&self) -> SortedTable {
        let stored = self.stored.as_ref().map(Buckets::all).unwrap_or_default();
        let entries = || {
            let here = self.shards.iter().flat_map(|shard| shard.iter());
            stored.iter().chain(here).copied()
        };
        let len = entries().count();
        // About four to a bucket.
        let bits = (len / 4).checked_ilog2().unwrap_or_default();
        let mut starts = vec![0_u32; (1 << bits) + 1];
        for entry in entries() {
            starts[bucket(entry.hash, bits) + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let nothing = Entry {
            hash: HashOf(0),
            id: 0,
        };
        let mut sorted = vec![nothing; len];
        for entry in entries() {
            let at = &mut next[bucket(entry.hash, bits)];
            sorted[*at as usize] = entry;
            *at += 1;
        }
        SortedTable {
            starts,
            entries: sorted,
        }
    }

    #[inline]
    pub(crate) fn find(&self, hash: HashOf, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        if let Some(stored) = &self.stored {
            let entries = stored.entries_of(hash).unwrap_or_default();
            let found = entries
                .iter()
                .find(|entry| entry.hash == hash && is_it(entry.id));
            if let Some(entry) = found {
                return Some(entry.id);
            }
        }
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

/// A table in the order in which it is stored.
pub(crate) struct SortedTable {
    starts: Vec<u32>,
    entries: Vec<Entry>,
}

impl SortedTable {
    pub(crate) fn save_starts(&self, to: &mut impl Save) -> io::Result<()> {
        to.put(self.starts.as_bytes())
    }

    pub(crate) fn save_entries(&self, to: &mut impl Save) -> io::Result<()> {
        to.put(self.entries.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::stored;

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

    fn saved(table: &Table) -> Table {
        let sorted = table.sorted();
        let starts = stored(|to| sorted.save_starts(to));
        Table::stored(starts, stored(|to| sorted.save_entries(to))).unwrap()
    }

    #[test]
    fn a_stored_table_finds_what_was_saved_and_what_comes_later() {
        let hasher = Hasher::default();
        let again = Hasher::with_seed(hasher.seed());
        for len in [0, 1, 5, 9, 10_000] {
            let mut table = Table::default();
            for n in 0..len / 2 {
                table.insert(hasher.hash(&u32::to_le_bytes(n)), n);
            }
            let mut table = saved(&table);
            for n in len / 2..len {
                table.insert(hasher.hash(&n.to_le_bytes()), n);
            }
            let table = saved(&table);
            for n in 0..=len {
                let found = table.find(again.hash(&n.to_le_bytes()), |id| id == n);
                assert_eq!(found, (n < len).then_some(n));
            }
        }
    }
}
