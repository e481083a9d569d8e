use std::sync::Arc;

/// Items of a chunk: copied at once when one changes that a view has.
const CHUNK: usize = 256;

/// A list that is appended to, and changed in place.
#[derive(Debug)]
pub(crate) struct List<T> {
    chunks: Arc<Vec<Arc<Vec<T>>>>,
    len: usize,
}

impl<T> Clone for List<T> {
    fn clone(&self) -> Self {
        Self {
            chunks: Arc::clone(&self.chunks),
            len: self.len,
        }
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self {
            chunks: Arc::default(),
            len: 0,
        }
    }
}

impl<T: Clone> List<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> &T {
        &self.chunks[index / CHUNK][index % CHUNK]
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: usize) -> &mut T {
        let chunk = &mut Arc::make_mut(&mut self.chunks)[index / CHUNK];
        &mut Arc::make_mut(chunk)[index % CHUNK]
    }

    pub(crate) fn push(&mut self, item: T) {
        let chunks = Arc::make_mut(&mut self.chunks);
        if self.len.is_multiple_of(CHUNK) {
            chunks.push(Arc::default());
        }
        let last = chunks
            .last_mut()
            .expect("was pushed when there was no room");
        let last = Arc::make_mut(last);
        if last.len() == last.capacity() && !last.is_empty() {
            last.reserve_exact(CHUNK - last.len());
        }
        last.push(item);
        self.len += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_does_not_see_what_comes_later() {
        let mut list = List::default();
        for n in 0..1000 {
            list.push(n);
        }
        let view = list.clone();
        *list.get_mut(999) = 0;
        *list.get_mut(1) = 0;
        list.push(1000);
        assert_eq!(
            (0..view.len()).map(|i| *view.get(i)).collect::<Vec<_>>(),
            (0..1000).collect::<Vec<_>>()
        );
        assert_eq!(
            (list.len(), *list.get(1), *list.get(999), *list.get(1000)),
            (1001, 0, 0, 1000)
        );
    }
}
