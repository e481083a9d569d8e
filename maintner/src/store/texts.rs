use std::io;
use std::sync::Arc;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::store::{Save, Section};

/// Bytes of a block: what is copied when a text is added behind those that a view has.
const BLOCK: usize = 128 << 10;
/// Texts begin at multiples of this.
const ALIGN: usize = 4;
const UNITS: usize = BLOCK / ALIGN;
/// Bytes that tell a length, at most: seven bits each.
const MAX_HEADER: usize = 9;

/// Where a text is. Texts that were interned are equal if and only if these are.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(transparent)]
pub(crate) struct Text(u32);

impl Text {
    /// The empty one.
    pub(crate) const EMPTY: Self = Self(0);

    pub(crate) fn to_bits(self) -> u32 {
        self.0
    }

    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

/// Texts and other bytes, one behind the other, each with its length before it. Nothing is ever removed. The first may lie in a
/// snapshot.
#[derive(Debug, Clone)]
pub(crate) struct Texts {
    stored: Option<Section>,
    /// How many blocks those take.
    stored_blocks: usize,
    /// A text longer than a block has a block of its own, and empty ones behind it for the addresses it covers.
    blocks: Arc<Vec<Arc<Vec<u8>>>>,
    bytes: u64,
}

impl Default for Texts {
    fn default() -> Self {
        Self {
            stored: None,
            stored_blocks: 0,
            // The length of the empty text.
            blocks: Arc::new(vec![Arc::new(vec![0])]),
            bytes: 0,
        }
    }
}

impl Texts {
    /// What was [saved](Self::save), of so many bytes.
    pub(crate) fn stored(section: Section, bytes: u64) -> Self {
        Self {
            stored_blocks: section.bytes().len().div_ceil(BLOCK),
            stored: Some(section),
            blocks: Arc::default(),
            bytes,
        }
    }

    pub(crate) fn save(&self, to: &mut impl Save) -> io::Result<()> {
        if let Some(stored) = &self.stored {
            to.put(stored.bytes())?;
        }
        self.save_unstored(to)
    }

    /// Writes what is not stored, behind what is.
    pub(crate) fn save_unstored(&self, to: &mut impl Save) -> io::Result<()> {
        let written = self
            .stored
            .as_ref()
            .map_or(0, |stored| stored.bytes().len());
        self.save_blocks(&self.blocks, written, to).map(drop)
    }

    /// Writes blocks behind `written` bytes of those before, and tells how many bytes there are then.
    fn save_blocks(
        &self,
        blocks: &[Arc<Vec<u8>>],
        mut written: usize,
        to: &mut impl Save,
    ) -> io::Result<usize> {
        for (at, block) in blocks.iter().enumerate() {
            if block.is_empty() {
                continue;
            }
            // Each where its address says, which is behind a long one's end where that covers it.
            fill(&mut written, (self.stored_blocks + at) * BLOCK, to)?;
            to.put(block)?;
            written += block.len();
        }
        Ok(written)
    }

    /// Bytes that are in memory, and not in a file.
    pub(crate) fn in_memory(&self) -> usize {
        self.blocks.len() * BLOCK
    }

    /// Bytes that are in a file.
    pub(crate) fn in_file(&self) -> usize {
        self.stored_blocks * BLOCK
    }

    /// Writes what will not change any more, behind what is stored, up to a multiple of so many bytes. What was written can be
    /// [taken for stored](Self::now_stored) then; it is told how many bytes that are with those before.
    pub(crate) fn spill(&self, multiple: usize, to: &mut impl Save) -> io::Result<usize> {
        let mut end = 0;
        // Where texts that are longer than a block end.
        let mut covered = 0;
        let full = self.blocks.len().saturating_sub(1);
        for (at, block) in self.blocks[..full].iter().enumerate() {
            covered = covered.max(at + block.len().div_ceil(BLOCK));
            let bytes = (self.stored_blocks + at + 1) * BLOCK;
            if covered <= at + 1 && bytes.is_multiple_of(multiple) {
                end = at + 1;
            }
        }
        let mut written = self.save_blocks(&self.blocks[..end], self.in_file(), to)?;
        fill(&mut written, (self.stored_blocks + end) * BLOCK, to)?;
        Ok(written)
    }

    /// What was [spilled](Self::spill), with what was stored before, is here.
    pub(crate) fn now_stored(&mut self, section: Section) {
        let blocks = section.bytes().len() / BLOCK;
        Arc::make_mut(&mut self.blocks).drain(..blocks - self.stored_blocks);
        self.stored_blocks = blocks;
        self.stored = Some(section);
    }

    /// How many more bytes are sure to find room, in texts of any number and length.
    pub(crate) fn room(&self) -> u64 {
        let blocks = (u32::MAX as usize / UNITS)
            .saturating_sub(self.stored_blocks + self.blocks.len() + 1) as u64;
        // Each text wastes at most as much as itself when it begins a block, and the end of a block, which the one before it
        // did not fill.
        blocks * BLOCK as u64 / 4
    }

    /// Bytes of all texts, without what surrounds them.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A text by where it is; if there is none, the empty one.
    #[inline]
    pub(crate) fn get(&self, text: Text) -> &[u8] {
        self.find(text).unwrap_or_default()
    }

    #[inline]
    fn find(&self, text: Text) -> Option<&[u8]> {
        let unit = text.0 as usize;
        let bytes = match (unit / UNITS).checked_sub(self.stored_blocks) {
            Some(block) => self.blocks.get(block)?.get(unit % UNITS * ALIGN..)?,
            None => self.stored.as_ref()?.bytes().get(unit * ALIGN..)?,
        };
        let mut len = 0;
        for (i, &byte) in bytes.iter().enumerate().take(MAX_HEADER) {
            len |= usize::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                return bytes[i + 1..].get(..len);
            }
        }
        None
    }

    /// A string that was one when it was pushed.
    pub(crate) fn str(&self, text: Text) -> &str {
        std::str::from_utf8(self.get(text)).unwrap_or_default()
    }

    /// # Panics
    ///
    /// When there is no [`room`](Self::room).
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Text {
        if bytes.is_empty() {
            return Text::EMPTY;
        }
        self.bytes += bytes.len() as u64;
        let mut header = [0; MAX_HEADER];
        let mut header_len = 0;
        let mut len = bytes.len();
        loop {
            header[header_len] = (len & 0x7f) as u8 | if len < 0x80 { 0 } else { 0x80 };
            header_len += 1;
            len >>= 7;
            if len == 0 {
                break;
            }
        }
        let header = &header[..header_len];
        let size = header.len() + bytes.len();

        let blocks = Arc::make_mut(&mut self.blocks);
        let behind_last = blocks.last().map(|last| last.len().next_multiple_of(ALIGN));
        let at = behind_last
            .filter(|at| at + size <= BLOCK)
            .unwrap_or_else(|| {
                blocks.push(Arc::default());
                0
            });
        let unit = (self.stored_blocks + blocks.len() - 1) * UNITS + at / ALIGN;
        let unit = u32::try_from(unit).expect("the caller made sure that there is room");
        let last = Arc::make_mut(blocks.last_mut().expect("was pushed if there was none"));
        if last.capacity() < at + size {
            // Small corpora stay small, and full blocks have no slack.
            let want = (at + size).max((last.capacity() * 2).min(BLOCK));
            last.reserve_exact(want - last.len());
        }
        last.resize(at, 0);
        last.extend_from_slice(header);
        last.extend_from_slice(bytes);
        for _ in 1..size.div_ceil(BLOCK) {
            blocks.push(Arc::default());
        }
        if size > BLOCK {
            // The addresses behind the long one's last byte are used by nobody.
            blocks.push(Arc::default());
        }
        Text(unit)
    }
}

/// Writes zeros up to where something is to be.
fn fill(written: &mut usize, up_to: usize, to: &mut impl Save) -> io::Result<()> {
    static NOTHING: [u8; BLOCK] = [0; BLOCK];
    while *written < up_to {
        let gap = (up_to - *written).min(BLOCK);
        to.put(&NOTHING[..gap])?;
        *written += gap;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::stored;

    #[test]
    fn stored_texts_stay_where_they_are_and_more_come_behind_them() {
        let mut texts = Texts::default();
        let mut pushed = vec![(Text::EMPTY, Vec::new())];
        for round in 0..3 {
            for len in [1, 100, BLOCK - 5, 200, 2 * BLOCK - 1, 2 * BLOCK + 7, 3, 0] {
                let bytes = vec![b'a' + round; len];
                pushed.push((texts.push(&bytes), bytes));
            }
            for (text, bytes) in &pushed {
                assert_eq!(texts.get(*text), bytes);
            }
            texts = Texts::stored(stored(|to| texts.save(to)), texts.bytes());
            for (text, bytes) in &pushed {
                assert_eq!(texts.get(*text), bytes);
            }
        }
        // Of what was never there, nothing is told.
        for bits in (0..=u32::MAX).step_by(9973) {
            texts.get(Text::from_bits(bits));
        }
    }

    #[test]
    fn texts_can_be_spilled_while_more_come() {
        let mut texts = Texts::default();
        let mut pushed = Vec::new();
        let mut file = Vec::new();
        for round in 0..40 {
            for len in [
                1,
                BLOCK / 3,
                BLOCK / 2,
                5 * BLOCK / 2 * (round % 3),
                7,
                2 * BLOCK * (round % 2),
            ] {
                let bytes = vec![b'a' + (round % 20) as u8; len];
                pushed.push((texts.push(&bytes), bytes));
            }
            let before = file.len();
            let all = texts.spill(2 * BLOCK, &mut file).unwrap();
            assert_eq!((all, all % (2 * BLOCK)), (file.len(), 0));
            if all > before {
                texts.now_stored(stored(|to| to.put(&file)));
            }
            for (text, bytes) in &pushed {
                assert_eq!(texts.get(*text), bytes);
            }
        }
        assert!(texts.in_file() > 40 * BLOCK && texts.in_memory() < 20 * BLOCK);
        // What was not spilled goes behind it, which is what saving all gives.
        texts.save_unstored(&mut file).unwrap();
        let mut whole = Vec::new();
        texts.save(&mut whole).unwrap();
        assert!(whole == file);
    }

    #[test]
    fn texts_of_all_lengths_come_back() {
        let mut texts = Texts::default();
        let lens = [
            0,
            1,
            3,
            127,
            128,
            5000,
            BLOCK - 3,
            BLOCK - 2,
            BLOCK,
            3 * BLOCK,
            1,
            16_383,
            16_384,
        ];
        let pushed: Vec<_> = lens
            .iter()
            .map(|&len| {
                let bytes: Vec<_> = (0..len).map(|i| (i * 7 + len) as u8).collect();
                (texts.push(&bytes), bytes)
            })
            .collect();
        let view = texts.clone();
        for n in 0..100_000_u32 {
            texts.push(&n.to_le_bytes());
        }
        for (text, bytes) in &pushed {
            assert_eq!(texts.get(*text), bytes);
            assert_eq!(view.get(*text), bytes);
        }
        assert_eq!(pushed[0].0, Text::EMPTY);
        assert!(texts.room() < view.room());
    }
}
