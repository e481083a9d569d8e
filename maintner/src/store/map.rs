use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use memmap2::{Mmap, MmapOptions};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What can lie in a file as it lies in memory.
pub(crate) trait Row: FromBytes + IntoBytes + Immutable + KnownLayout + Clone {}

impl<T: FromBytes + IntoBytes + Immutable + KnownLayout + Clone> Row for T {}

/// A part of a file in memory, of which only what is looked at takes some.
#[derive(Debug, Clone)]
pub(crate) struct Map(Arc<Mmap>);

impl Map {
    /// Maps a part of a file that nobody writes to any more: so many bytes from `start`.
    pub(crate) fn of(file: &File, start: u64, len: usize) -> io::Result<Self> {
        let mut options = MmapOptions::new();
        options.offset(start).len(len);
        #[expect(unsafe_code, reason = "there is no other way to map a file")]
        // SAFETY: the bytes must not change while they are borrowed. Snapshots alone are mapped, whole ones and the beginnings of those
        // that are being made, behind which more is written. They are written under another name, made read-only and renamed, and
        // what was written is never written again; a new one takes the name, not the file. That leaves those who change files of this
        // user by force, who could change the program as well.
        let map = unsafe { options.map(file) }?;
        Ok(Self(Arc::new(map)))
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// A part of the file; `None` if it has none such.
    pub(crate) fn section(&self, range: Range<usize>) -> Option<Section> {
        self.0.get(range.clone())?;
        let map = self.clone();
        Some(Section { map, range })
    }
}

/// A part of a mapped file.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    map: Map,
    /// Within the file.
    range: Range<usize>,
}

impl Section {
    #[cfg(test)]
    pub(super) fn map(&self) -> &Map {
        &self.map
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map.bytes()[self.range.clone()]
    }

    /// How many rows there are; `None` if it does not consist of such.
    pub(crate) fn len_of<T: Row>(&self) -> Option<usize> {
        <[T]>::ref_from_bytes(self.bytes()).ok().map(<[T]>::len)
    }

    #[inline]
    pub(crate) fn row<T: Row>(&self, index: usize) -> Option<&T> {
        let start = index.checked_mul(size_of::<T>())?;
        let bytes = self.bytes().get(start..)?.get(..size_of::<T>())?;
        T::ref_from_bytes(bytes).ok()
    }

    #[inline]
    pub(crate) fn rows<T: Row>(&self, range: Range<usize>) -> Option<&[T]> {
        let start = range.start.checked_mul(size_of::<T>())?;
        let end = range.end.checked_mul(size_of::<T>())?;
        <[T]>::ref_from_bytes(self.bytes().get(start..end)?).ok()
    }
}
