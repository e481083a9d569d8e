use std::ops::Range;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::snapshot::SnapshotError;
use crate::state::{CommitRow, Part};
use crate::store::Hasher;

/// Where parts begin.
pub(super) const PAGE: usize = 4096;
/// Bytes that have one checksum.
pub(super) const PIECE: usize = 1 << 20;

const MAGIC: [u8; 16] = *b"maintner corpus\n";
const VERSION: u32 = 1;
const ORDER: u32 = 0x0102_0304;

/// Where something is in the file.
#[derive(Debug, Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Place {
    pub(super) start: u64,
    pub(super) len: u64,
}

impl Place {
    /// Within a file that was found to have it.
    pub(super) fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
    }
}

/// What the file begins with.
#[derive(Debug, Clone, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Header {
    magic: [u8; 16],
    version: u32,
    order: u32,
    len: u64,
    seed: u64,
    probe: [u8; 4],
    row: u32,
    parts: [Place; Part::ALL.len()],
    sums: Place,
    sum: u32,
    unused: u32,
}

impl Header {
    pub(super) fn new(hasher: &Hasher, parts: [Place; Part::ALL.len()], sums: Place) -> Self {
        let mut header = Self {
            magic: MAGIC,
            version: VERSION,
            order: ORDER,
            len: sums.start + sums.len,
            seed: hasher.seed(),
            probe: probe(hasher),
            row: size_of::<CommitRow>() as u32,
            parts,
            sums,
            sum: 0,
            unused: 0,
        };
        header.sum = header.right_sum();
        header
    }

    /// The header of a file, if that is a whole snapshot of this program's.
    pub(super) fn of(file: &[u8]) -> Result<Self, SnapshotError> {
        let Ok((header, _)) = Self::read_from_prefix(file) else {
            return Err(SnapshotError::Torn);
        };
        if header.magic != MAGIC {
            return Err(SnapshotError::Foreign);
        }
        if header.order != ORDER {
            return Err(SnapshotError::Machine);
        }
        if header.version != VERSION {
            let version = header.version;
            return Err(SnapshotError::Version { version });
        }
        if header.sum != header.right_sum() || header.len != file.len() as u64 {
            return Err(SnapshotError::Torn);
        }
        if header.row != size_of::<CommitRow>() as u32 || header.probe != probe(&header.hasher()) {
            return Err(SnapshotError::Machine);
        }
        let places = header.parts.iter().chain([&header.sums]);
        let mut end = PAGE as u64;
        for place in places {
            let aligned = place.start.is_multiple_of(PAGE as u64);
            if !aligned || place.start < end || place.len > header.len.saturating_sub(place.start) {
                return Err(SnapshotError::Senseless);
            }
            end = place.start + place.len;
        }
        Ok(header)
    }

    pub(super) fn hasher(&self) -> Hasher {
        Hasher::with_seed(self.seed)
    }

    pub(super) fn part(&self, part: Part) -> Range<usize> {
        self.parts[part as usize].range()
    }

    pub(super) fn sums(&self) -> Range<usize> {
        self.sums.range()
    }

    fn right_sum(&self) -> u32 {
        let len = std::mem::offset_of!(Self, sum);
        crc32fast::hash(&self.as_bytes()[..len])
    }
}

fn probe(hasher: &Hasher) -> [u8; 4] {
    zerocopy::transmute!(hasher.hash(&MAGIC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_lies_as_the_docs_say() {
        use std::mem::offset_of;

        let at = [
            offset_of!(Header, version),
            offset_of!(Header, order),
            offset_of!(Header, len),
            offset_of!(Header, seed),
            offset_of!(Header, probe),
            offset_of!(Header, row),
            offset_of!(Header, parts),
            offset_of!(Header, sums),
            offset_of!(Header, sum),
        ];
        assert_eq!(at, [16, 20, 24, 32, 40, 44, 48, 192, 208]);
        assert_eq!(size_of::<CommitRow>(), 96);
    }
}
