use std::io;
use std::sync::Arc;

use zerocopy::IntoBytes as _;

use crate::store::{Row, Save, Section};

/// Items of a chunk: copied at once when one changes that a view has.
const CHUNK: usize = 256;

/// A list that is appended to, and changed in place. Its beginning may lie in a snapshot.
#[derive(Debug)]
pub(crate) struct List<T> {
    /// Full ones. Those that are not here are stored.
    chunks: Arc<Vec<Option<Arc<[T]>>>>,
    /// The items behind them, fewer than a chunk has.
    rest: Arc<Vec<T>>,
    stored: Option<Section>,
}

impl<T> Clone for List<T> {
    fn clone(&self) -> Self {
        Self {
            chunks: Arc::clone(&self.chunks),
            rest: Arc::clone(&self.rest),
            stored: self.stored.clone(),
        }
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self {
            chunks: Arc::default(),
            rest: Arc::default(),
            stored: None,
        }
    }
}

impl<T: Row> List<T> {
    /// What was [saved](Self::save); `None` if it was not.
    pub(crate) fn stored(section: Section) -> Option<Self> {
        let len = section.len_of::<T>()?;
        let rest = section.rows::<T>(len / CHUNK * CHUNK..len)?;
        Some(Self {
            chunks: Arc::new(vec![None; len / CHUNK]),
            rest: Arc::new(rest.to_vec()),
            stored: Some(section),
        })
    }

    pub(crate) fn save(&self, to: &mut impl Save) -> io::Result<()> {
        for (at, chunk) in self.chunks.iter().enumerate() {
            let rows = match chunk {
                Some(chunk) => chunk,
                None => self.stored_chunk(at),
            };
            to.put(rows.as_bytes())?;
        }
        to.put(self.rest.as_bytes())
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.chunks.len() * CHUNK + self.rest.len()
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        match self.chunks.get(index / CHUNK) {
            Some(Some(chunk)) => chunk.get(index % CHUNK),
            Some(None) => self.stored.as_ref()?.row(index),
            None => self.rest.get(index - self.chunks.len() * CHUNK),
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        let at = index / CHUNK;
        if at >= self.chunks.len() {
            let behind = index - self.chunks.len() * CHUNK;
            return Arc::make_mut(&mut self.rest).get_mut(behind);
        }
        if self.chunks[at].is_none() {
            let copy = self.stored_chunk(at).into();
            Arc::make_mut(&mut self.chunks)[at] = Some(copy);
        }
        let chunk = Arc::make_mut(&mut self.chunks)[at].as_mut()?;
        Arc::make_mut(chunk).get_mut(index % CHUNK)
    }

    pub(crate) fn push(&mut self, item: T) {
        let rest = Arc::make_mut(&mut self.rest);
        if rest.len() == rest.capacity() && !rest.is_empty() {
            rest.reserve_exact(CHUNK - rest.len());
        }
        rest.push(item);
        if rest.len() == CHUNK {
            let full = Arc::from(&rest[..]);
            rest.clear();
            Arc::make_mut(&mut self.chunks).push(Some(full));
        }
    }

    fn stored_chunk(&self, at: usize) -> &[T] {
        let stored = self.stored.as_ref();
        stored
            .and_then(|rows| rows.rows(at * CHUNK..(at + 1) * CHUNK))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::stored;

    #[test]
    fn a_clone_does_not_see_what_comes_later() {
        let mut list = List::default();
        for n in 0..1000 {
            list.push(n);
        }
        let view = list.clone();
        *list.get_mut(999).unwrap() = 0;
        *list.get_mut(1).unwrap() = 0;
        list.push(1000);
        assert_eq!(
            (0..view.len())
                .filter_map(|i| view.get(i).copied())
                .collect::<Vec<_>>(),
            (0..1000).collect::<Vec<_>>()
        );
        assert_eq!(
            [0, 1, 999, 1000, 1001].map(|i| list.get(i).copied()),
            [Some(0), Some(0), Some(0), Some(1000), None]
        );
    }

    #[test]
    fn a_stored_list_goes_on_as_the_one_that_was_saved() {
        for len in [0, 1, 255, 256, 257, 1000] {
            let mut list = List::default();
            (0..len).for_each(|n| list.push(n));
            let mut back: List<u64> = List::stored(stored(|to| list.save(to))).unwrap();
            let view = back.clone();
            back.push(len);
            for n in 0..len {
                *back.get_mut(n as usize).unwrap() += 1;
            }
            assert_eq!((view.len() as u64, back.len() as u64), (len, len + 1));
            for n in 0..len {
                assert_eq!(
                    (view.get(n as usize), back.get(n as usize)),
                    (Some(&n), Some(&(n + 1)))
                );
            }
            assert_eq!(back.get_mut(len as usize + 1), None);
        }
    }
}
