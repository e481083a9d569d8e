use std::collections::{HashSet, VecDeque};
use std::hash::Hash;

/// The newest ids of what was seen, so that nothing counts twice.
pub(crate) struct Seen<T> {
    limit: usize,
    order: VecDeque<T>,
    known: HashSet<T>,
}

impl<T: Clone + Eq + Hash> Seen<T> {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            order: VecDeque::new(),
            known: HashSet::new(),
        }
    }

    /// `false` if it is known. Forgets the oldest for it.
    pub(crate) fn insert(&mut self, id: T) -> bool {
        if !self.known.insert(id.clone()) {
            return false;
        }
        if self.order.len() == self.limit
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(id);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten() {
        let mut seen = Seen::new(2);
        assert!(seen.insert(1) && seen.insert(2) && !seen.insert(1));
        assert!(seen.insert(3) && seen.insert(1) && !seen.insert(3));
    }
}
