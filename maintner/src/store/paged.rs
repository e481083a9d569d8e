use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::store::{Code, Map, Save, Section, code_struct};

/// Numbers of a page, which is copied at once.
const PAGE_BITS: u32 = 7;

/// Things by number, in ascending order: issues, CLs.
#[derive(Debug, Clone)]
pub(crate) struct Paged<T> {
    pages: BTreeMap<i32, Slot<T>>,
    len: usize,
}

/// Sorted by number.
type Page<T> = Vec<(i32, Arc<T>)>;

#[derive(Debug)]
enum Slot<T> {
    Here(Arc<Page<T>>),
    Stored(Arc<StoredPage<T>>),
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Here(page) => Self::Here(Arc::clone(page)),
            Self::Stored(page) => Self::Stored(Arc::clone(page)),
        }
    }
}

/// A page in a snapshot, decoded when something of it is looked at.
#[derive(Debug)]
struct StoredPage<T> {
    encoded: Section,
    decoded: OnceLock<Page<T>>,
}

impl<T: Code> StoredPage<T> {
    fn get(&self) -> &Page<T> {
        // Checksums are right. What makes no sense nevertheless has nothing in it.
        self.decoded
            .get_or_init(|| Page::decode(self.encoded.bytes()).unwrap_or_default())
    }
}

impl<T: Code> Slot<T> {
    #[inline]
    fn page(&self) -> &Page<T> {
        match self {
            Self::Here(page) => page,
            Self::Stored(page) => page.get(),
        }
    }

    fn page_mut(&mut self) -> &mut Page<T> {
        if let Self::Stored(page) = self {
            *self = Self::Here(Arc::new(page.get().clone()));
        }
        match self {
            Self::Here(page) => Arc::make_mut(page),
            Self::Stored(_) => unreachable!("was replaced above"),
        }
    }
}

/// Where a snapshot has a page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageRef {
    /// Of its first number.
    key: i32,
    /// Within the pages of the snapshot.
    start: usize,
    len: usize,
}

code_struct!(PageRef { key, start, len });

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self {
            pages: BTreeMap::new(),
            len: 0,
        }
    }
}

impl<T: Code + Clone> Paged<T> {
    /// What was [saved](Self::save) in this part of a file; `None` if it was not.
    pub(crate) fn stored(
        map: &Map,
        within: &Range<usize>,
        pages: &[PageRef],
        len: usize,
    ) -> Option<Self> {
        let slot = |page: &PageRef| {
            let start = within.start.checked_add(page.start)?;
            let end = start.checked_add(page.len)?;
            let encoded = map.section(start..end).filter(|_| end <= within.end)?;
            let decoded = OnceLock::new();
            let page_of_map = Arc::new(StoredPage { encoded, decoded });
            Some((page.key, Slot::Stored(page_of_map)))
        };
        let pages = pages.iter().map(slot).collect::<Option<_>>()?;
        Some(Self { pages, len })
    }

    /// Writes the pages behind `written` bytes of others, and tells where each is.
    pub(crate) fn save(&self, to: &mut impl Save, written: &mut usize) -> io::Result<Vec<PageRef>> {
        let mut pages = Vec::with_capacity(self.pages.len());
        let mut encoded = Vec::new();
        for (&key, slot) in &self.pages {
            let bytes = match slot {
                Slot::Stored(page) => page.encoded.bytes(),
                Slot::Here(page) => {
                    encoded.clear();
                    page.put(&mut encoded);
                    &encoded
                }
            };
            to.put(bytes)?;
            let (start, len) = (*written, bytes.len());
            pages.push(PageRef { key, start, len });
            *written += len;
        }
        Ok(pages)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn get(&self, number: i32) -> Option<&T> {
        let page = self.pages.get(&(number >> PAGE_BITS))?.page();
        let at = page.binary_search_by_key(&number, |item| item.0).ok()?;
        Some(&page[at].1)
    }

    pub(crate) fn get_mut(&mut self, number: i32) -> Option<&mut T> {
        let page = self.pages.get_mut(&(number >> PAGE_BITS))?.page_mut();
        let at = page.binary_search_by_key(&number, |item| item.0).ok()?;
        Some(Arc::make_mut(&mut page[at].1))
    }

    /// The one of this number, made if there is none. Tells whether it was made.
    pub(crate) fn get_or_insert_with(
        &mut self,
        number: i32,
        make: impl FnOnce() -> T,
    ) -> (&mut T, bool) {
        let slot = self.pages.entry(number >> PAGE_BITS);
        let page = slot
            .or_insert_with(|| Slot::Here(Arc::default()))
            .page_mut();
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
            .flat_map(|slot| slot.page().iter().map(|item| &*item.1))
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

    #[test]
    fn stored_things_can_be_changed_and_saved_again() {
        let mut paged = Paged::default();
        for number in -300..300 {
            paged.get_or_insert_with(number, || number);
        }
        for round in 1..3 {
            let mut pages = Vec::new();
            let saved = crate::store::stored(|to| {
                to.put(b"other")?;
                pages = paged.save(to, &mut 0)?;
                Ok(())
            });
            let within = 5..saved.bytes().len();
            let back = Paged::stored(saved.map(), &within, &pages, paged.len()).unwrap();
            assert!(Paged::<i32>::stored(saved.map(), &(5..within.end - 1), &pages, 0).is_none());
            let before = back.clone();
            paged = back;
            *paged.get_mut(7).unwrap() = -round;
            paged.get_or_insert_with(1000 + round, || 1);
            assert_eq!(
                (paged.get(7), paged.get(-300)),
                (Some(&-round), Some(&-300))
            );
            assert_eq!(before.get(7), Some(if round == 1 { &7 } else { &-1 }));
            assert_eq!(before.iter().count() + 1, paged.iter().count());
        }
    }
}
