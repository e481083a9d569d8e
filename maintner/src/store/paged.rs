use std::collections::BTreeMap;
use std::sync::Arc;

/// Numbers of a page, which is copied at once.
const PAGE_BITS: u32 = 7;

/// Things by number, in ascending order: issues, CLs.
#[derive(Debug, Clone)]
pub(crate) struct Paged<T> {
    /// Each page is sorted by number.
    pages: BTreeMap<i32, Arc<Page<T>>>,
    len: usize,
}

type Page<T> = Vec<(i32, Arc<T>)>;

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self {
            pages: BTreeMap::new(),
            len: 0,
        }
    }
}

impl<T: Clone> Paged<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn get(&self, number: i32) -> Option<&T> {
        let page = self.pages.get(&(number >> PAGE_BITS))?;
        let at = page.binary_search_by_key(&number, |item| item.0).ok()?;
        Some(&page[at].1)
    }

    pub(crate) fn get_mut(&mut self, number: i32) -> Option<&mut T> {
        let page = self.pages.get_mut(&(number >> PAGE_BITS))?;
        let at = page.binary_search_by_key(&number, |item| item.0).ok()?;
        Some(Arc::make_mut(&mut Arc::make_mut(page)[at].1))
    }

    /// The one of this number, made if there is none. Tells whether it was made.
    pub(crate) fn get_or_insert_with(
        &mut self,
        number: i32,
        make: impl FnOnce() -> T,
    ) -> (&mut T, bool) {
        let page = Arc::make_mut(self.pages.entry(number >> PAGE_BITS).or_default());
        let (at, is_new) = match page.binary_search_by_key(&number, |item| item.0) {
            Ok(at) => (at, false),
            Err(at) => {
                page.insert(at, (number, Arc::new(make())));
                self.len += 1;
                (at, true)
            }
        };
        (Arc::make_mut(&mut page[at].1), is_new)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.pages
            .values()
            .flat_map(|page| page.iter().map(|item| &*item.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_ordered_by_number_negative_ones_first() {
        let mut paged = Paged::default();
        for number in [300, -5, 1, i32::MIN, 128, i32::MAX, 127, 1] {
            *paged.get_or_insert_with(number, || number).0 += 0;
        }
        let view = paged.clone();
        *paged.get_mut(128).unwrap() = 0;
        let numbers: Vec<_> = view.iter().copied().collect();
        assert_eq!(numbers, [i32::MIN, -5, 1, 127, 128, 300, i32::MAX]);
        assert_eq!(
            (view.len(), view.get(128), paged.get(128), view.get(2)),
            (7, Some(&128), Some(&0), None)
        );
    }
}
