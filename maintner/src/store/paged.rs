use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::store::{Code, Map, Save, Section, Source, code_struct};

/// Numbers of a page, which is copied at once.
const PAGE_BITS: u32 = 7;
/// Pages of a group.
const GROUP_BITS: u32 = 7;

/// Things by number, in ascending order: issues, CLs.
#[derive(Debug, Clone)]
pub(crate) struct Paged<T> {
    /// By the highest bits of the numbers: a few.
    groups: BTreeMap<i32, Arc<Group<T>>>,
    len: usize,
}

/// Pages by the middle bits.
type Group<T> = [Option<Slot<T>>; 1 << GROUP_BITS];

/// Things by the lowest bits.
#[derive(Debug)]
struct Page<T> {
    /// A bit for each number that is there.
    present: u128,
    items: Vec<Arc<T>>,
}

impl<T> Clone for Page<T> {
    fn clone(&self) -> Self {
        Self {
            present: self.present,
            items: self.items.clone(),
        }
    }
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self {
            present: 0,
            items: Vec::new(),
        }
    }
}

impl<T> Page<T> {
    /// Where the item of this number is, or would be.
    #[inline]
    fn find(&self, number: i32) -> Result<usize, usize> {
        let bit = number & ((1 << PAGE_BITS) - 1);
        let below = self.present & ((1 << bit) - 1);
        let at = below.count_ones() as usize;
        match self.present >> bit & 1 {
            1 => Ok(at),
            _ => Err(at),
        }
    }

    fn insert(&mut self, number: i32, item: Arc<T>) -> usize {
        let (Ok(at) | Err(at)) = self.find(number);
        self.present |= 1 << (number & ((1 << PAGE_BITS) - 1));
        self.items.insert(at, item);
        at
    }
}

impl<T: Code> Code for Page<T> {
    fn put(&self, to: &mut Vec<u8>) {
        ((self.present >> 64) as u64).put(to);
        (self.present as u64).put(to);
        self.items.put(to);
    }

    fn pull(from: &mut Source<'_>) -> Option<Self> {
        let (high, low) = (u64::pull(from)?, u64::pull(from)?);
        let page = Self {
            present: u128::from(high) << 64 | u128::from(low),
            items: Vec::pull(from)?,
        };
        (page.present.count_ones() as usize == page.items.len()).then_some(page)
    }
}

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
    /// The highest bits of its numbers.
    key: i32,
    /// Within the pages of the snapshot.
    start: usize,
    len: usize,
}

code_struct!(PageRef { key, start, len });

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self {
            groups: BTreeMap::new(),
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
        let mut paged = Self {
            groups: BTreeMap::new(),
            len,
        };
        for page in pages {
            let start = within.start.checked_add(page.start)?;
            let end = start.checked_add(page.len)?;
            let encoded = map.section(start..end).filter(|_| end <= within.end)?;
            let decoded = OnceLock::new();
            let stored = Arc::new(StoredPage { encoded, decoded });
            *paged.slot_mut(page.key.checked_mul(1 << PAGE_BITS)?) = Some(Slot::Stored(stored));
        }
        Some(paged)
    }

    /// Writes the pages behind `written` bytes of others, and tells where each is.
    pub(crate) fn save(&self, to: &mut impl Save, written: &mut usize) -> io::Result<Vec<PageRef>> {
        let mut pages = Vec::new();
        let mut encoded = Vec::new();
        for (key, slot) in self.slots() {
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
        let group = self.groups.get(&(number >> (PAGE_BITS + GROUP_BITS)))?;
        let page = group[page_of(number)].as_ref()?.page();
        page.items.get(page.find(number).ok()?).map(|item| &**item)
    }

    pub(crate) fn get_mut(&mut self, number: i32) -> Option<&mut T> {
        let group = self.groups.get_mut(&(number >> (PAGE_BITS + GROUP_BITS)))?;
        let page = Arc::make_mut(group)[page_of(number)].as_mut()?.page_mut();
        let at = page.find(number).ok()?;
        page.items.get_mut(at).map(Arc::make_mut)
    }

    /// The one of this number, made if there is none. Tells whether it was made.
    pub(crate) fn get_or_insert_with(
        &mut self,
        number: i32,
        make: impl FnOnce() -> T,
    ) -> (&mut T, bool) {
        let is_new = self.get(number).is_none();
        self.len += usize::from(is_new);
        let slot = self.slot_mut(number);
        let slot = slot.get_or_insert_with(|| Slot::Here(Arc::default()));
        let page = slot.page_mut();
        let at = match page.find(number) {
            Ok(at) => at,
            Err(_) => page.insert(number, Arc::new(make())),
        };
        (Arc::make_mut(&mut page.items[at]), is_new)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        let slots = self
            .groups
            .values()
            .flat_map(|group| group.iter().flatten());
        slots.flat_map(|slot| slot.page().items.iter().map(|item| &**item))
    }

    /// The pages, each with the highest bits of its numbers.
    fn slots(&self) -> impl Iterator<Item = (i32, &Slot<T>)> {
        self.groups.iter().flat_map(|(group, slots)| {
            let keys = (group << GROUP_BITS)..;
            let slots = keys.zip(slots.iter());
            slots.filter_map(|(key, slot)| Some((key, slot.as_ref()?)))
        })
    }

    fn slot_mut(&mut self, number: i32) -> &mut Option<Slot<T>> {
        let group = self.groups.entry(number >> (PAGE_BITS + GROUP_BITS));
        let group = group.or_insert_with(|| Arc::new([const { None }; 1 << GROUP_BITS]));
        &mut Arc::make_mut(group)[page_of(number)]
    }
}

/// Which page of its group a number is in.
#[inline]
fn page_of(number: i32) -> usize {
    (number >> PAGE_BITS & ((1 << GROUP_BITS) - 1)) as usize
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
