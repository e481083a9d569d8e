//! A contiguous run of the log, in chunks that are written once and shared with readers.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Bytes of a full-grown chunk.
///
/// Big enough that a chunk's allocation (and the file write, for logs that spill) vanishes among the writes that
/// fill it, small enough that 64 KiB of slack per live log does not matter.
pub(crate) const CHUNK: usize = 64 << 10;

/// Bytes of a log's first chunk; later ones grow with the log, so that a log of one line is not charged 64 KiB.
const FIRST_CHUNK: usize = 4 << 10;

/// How many pieces a sealed chunk may stay cut into. Above it they are copied together, which happens only where
/// readers followed closely: eight pieces of a full chunk are 8 KiB on average, so their handles are half a percent.
const PIECES_PER_CHUNK: usize = 8;

/// How many pieces of the open chunk are copied together at once. A chunk followed byte by byte is then at most
/// 65,536 / 256 merged pieces and 256 single ones, and each byte of it is copied at most twice after its write.
const MERGE_RUN: usize = 256;

/// An append-only run of bytes with 64-bit offsets, which may lose its front.
///
/// Bytes are appended to the *open* chunk. A reader that wants bytes which no reader asked for before *freezes* what
/// has been written: the written part of the chunk is split off as a shared [`Bytes`], without copying it. A chunk
/// nobody followed is thus one piece; one that was followed closely is many, and is merged when it fills.
#[derive(Debug)]
pub(crate) struct Pieces {
    /// Offset of the first byte that may be read; may lie inside the first piece.
    start: u64,
    frozen: VecDeque<Piece>,
    /// Written, but not yet shared; its spare capacity is the rest of the open chunk.
    open: BytesMut,
    /// Capacity of the open chunk; 0 while there is none.
    open_chunk: usize,
    /// How many pieces at the back of `frozen` belong to the open chunk.
    young: usize,
    /// How many pieces at the back of `frozen` were not merged yet; at most `young`.
    single: usize,
    end: u64,
    /// Chunks grow up to this.
    max_chunk: usize,
    /// How many pieces a sealed chunk may be cut into.
    max_pieces: usize,
}

#[derive(Debug)]
struct Piece {
    start: u64,
    bytes: Bytes,
}

impl Pieces {
    /// An empty run that begins at `start`, with chunks of at most `max_chunk` bytes.
    pub(crate) fn new(start: u64, max_chunk: usize) -> Self {
        Self {
            start,
            frozen: VecDeque::new(),
            open: BytesMut::new(),
            open_chunk: 0,
            young: 0,
            single: 0,
            end: start,
            max_chunk: max_chunk.clamp(FIRST_CHUNK, CHUNK),
            max_pieces: PIECES_PER_CHUNK,
        }
    }

    /// As [`new`](Self::new), but a sealed chunk is always one piece, to be written to a file in one go.
    pub(crate) fn whole_chunks() -> Self {
        Self {
            max_pieces: 1,
            ..Self::new(0, CHUNK)
        }
    }

    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    #[inline]
    pub(crate) fn push(&mut self, mut data: &[u8]) {
        loop {
            let room = self.open.capacity() - self.open.len();
            if data.len() < room {
                self.open.extend_from_slice(data);
                self.end += data.len() as u64;
                return;
            }
            let (fits, rest) = data.split_at(room);
            self.open.extend_from_slice(fits);
            self.end += room as u64;
            if self.open_chunk > 0 {
                self.seal();
            }
            if rest.is_empty() {
                return;
            }
            data = rest;
            self.open_new_chunk(data.len());
        }
    }

    /// Opens a chunk that is as big as what is stored and what comes `next`, within bounds.
    fn open_new_chunk(&mut self, next: usize) {
        let stored = usize::try_from(self.end - self.start).unwrap_or(CHUNK);
        let chunk = stored
            .saturating_add(next)
            .clamp(FIRST_CHUNK, self.max_chunk);
        self.open = BytesMut::with_capacity(chunk.next_power_of_two());
        self.open_chunk = self.open.capacity();
    }

    /// The bytes from `offset` on that lie in one piece; `None` outside of `start..end`.
    pub(crate) fn get(&mut self, offset: u64) -> Option<Bytes> {
        if !(self.start..self.end).contains(&offset) {
            return None;
        }
        self.freeze();
        let piece = match self.frozen.back() {
            Some(last) if last.start <= offset => last,
            _ => &self.frozen[self.frozen.partition_point(|piece| piece.start <= offset) - 1],
        };
        Some(piece.bytes.slice((offset - piece.start) as usize..))
    }

    /// All bytes from `offset` on, or from the start if that is later, as shared pieces.
    pub(crate) fn pieces_from(&mut self, offset: u64) -> Vec<Bytes> {
        self.freeze();
        let offset = offset.max(self.start);
        let first = self.frozen.partition_point(|piece| piece.end() <= offset);
        self.frozen
            .range(first..)
            .map(|piece| {
                piece
                    .bytes
                    .slice(offset.saturating_sub(piece.start) as usize..)
            })
            .collect()
    }

    /// The readable bytes from the start on, slice by slice; shares nothing.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let open_start = self.end - self.open.len() as u64;
        self.frozen
            .iter()
            .map(|piece| (piece.start, &piece.bytes[..]))
            .chain([(open_start, &self.open[..])])
            .map(|(at, bytes)| {
                let hidden = self.start.saturating_sub(at).min(bytes.len() as u64);
                &bytes[hidden as usize..]
            })
    }

    /// The oldest piece of a sealed chunk with its offset, if a chunk has been sealed.
    pub(crate) fn oldest_sealed(&self) -> Option<(u64, Bytes)> {
        let piece = self.frozen.front()?;
        (self.frozen.len() > self.young).then(|| (piece.start, piece.bytes.clone()))
    }

    /// Drops what lies before `offset`; whole pieces are freed.
    pub(crate) fn drop_before(&mut self, offset: u64) {
        self.start = self.start.max(offset.min(self.end));
        while self
            .frozen
            .front()
            .is_some_and(|piece| piece.end() <= self.start)
        {
            self.frozen.pop_front();
        }
        self.young = self.young.min(self.frozen.len());
        self.single = self.single.min(self.frozen.len());
    }

    /// Drops everything and goes on at `offset`.
    pub(crate) fn restart(&mut self, offset: u64) {
        let (max_chunk, max_pieces) = (self.max_chunk, self.max_pieces);
        *self = Self {
            max_pieces,
            ..Self::new(offset, max_chunk)
        };
    }

    /// Ends the open chunk and gives back its unused capacity, by copying, if that is more than half of it.
    pub(crate) fn finish(&mut self) {
        if self.open_chunk > 0 {
            self.seal();
        }
    }

    fn freeze(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let bytes = self.open.split().freeze();
        let start = self.end - bytes.len() as u64;
        self.frozen.push_back(Piece { start, bytes });
        self.young += 1;
        self.single += 1;
        if self.single == MERGE_RUN {
            self.merge(MERGE_RUN);
            self.young -= MERGE_RUN - 1;
            self.single = 0;
        }
    }

    fn seal(&mut self) {
        self.freeze();
        let used = self.open_chunk - self.open.capacity();
        if self.young > self.max_pieces || used < self.open_chunk / 2 {
            self.merge(self.young);
        }
        self.open = BytesMut::new();
        self.open_chunk = 0;
        self.young = 0;
        self.single = 0;
    }

    /// Copies the last `count` pieces into one.
    fn merge(&mut self, count: usize) {
        let first = self.frozen.len() - count;
        let Some(start) = self.frozen.get(first).map(|piece| piece.start) else {
            return;
        };
        let mut merged = Vec::with_capacity((self.end - start) as usize - self.open.len());
        for piece in self.frozen.drain(first..) {
            merged.extend_from_slice(&piece.bytes);
        }
        self.frozen.push_back(Piece {
            start,
            bytes: merged.into(),
        });
    }
}

impl Piece {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_unfollowed_chunk_is_one_piece_and_is_not_copied() {
        let mut pieces = Pieces::new(0, CHUNK);
        pieces.push(&[1; 100]);
        let first = pieces.get(0).expect("100 bytes are there").as_ptr();
        pieces.push(&[2; 200]);
        assert_eq!(
            pieces.get(100).expect("200 more are there").as_ptr(),
            first.wrapping_add(100)
        );

        let mut pieces = Pieces::new(0, CHUNK);
        for _ in 0..4 * CHUNK / 64 {
            pieces.push(&[3; 64]);
        }
        // 4, 8, 16 and 32 KiB come before the first 64 KiB.
        assert_eq!((pieces.frozen.len(), pieces.young), (4 + 3, 0));
    }

    #[test]
    fn a_closely_followed_run_stays_in_few_pieces() {
        let mut pieces = Pieces::new(0, CHUNK);
        let mut most = 0;
        let total = 4 * CHUNK as u64;
        for n in 0..total {
            pieces.push(&[n as u8]);
            assert_eq!(pieces.get(n).as_deref(), Some(&[n as u8][..]));
            most = most.max(pieces.young);
        }
        assert!(
            most <= CHUNK / MERGE_RUN + MERGE_RUN,
            "{most} pieces in one chunk"
        );
        assert_eq!(
            pieces.frozen.len() - pieces.young,
            4 + 3,
            "sealed chunks are merged"
        );
        for n in 0..total {
            assert_eq!(pieces.get(n).expect("it is there")[0], n as u8);
        }
    }

    #[test]
    fn finishing_gives_back_the_unused_capacity() {
        let mut pieces = Pieces::new(0, CHUNK);
        pieces.push(b"a line\n");
        let before = pieces.get(0).expect("it is there").as_ptr();
        pieces.finish();
        let after = pieces.get(0).expect("it is there");
        assert_ne!(after.as_ptr(), before);
        assert_eq!(after, "a line\n");
        pieces.push(b"more");
        assert_eq!(pieces.get(7).as_deref(), Some(&b"more"[..]));
    }

    #[test]
    fn the_front_is_dropped_to_the_byte() {
        let mut pieces = Pieces::new(1000, FIRST_CHUNK);
        for n in 0..100u8 {
            pieces.push(&[n; 100]);
            let cut = pieces.end().saturating_sub(150);
            pieces.drop_before(cut);
            assert_eq!(pieces.get(pieces.start() - 1), None);
            let held: Vec<u8> = pieces.slices().flatten().copied().collect();
            assert_eq!(held, pieces.pieces_from(0).concat());
            assert_eq!(held.len() as u64, pieces.end() - pieces.start());
        }
        assert!(pieces.frozen.len() < 60);
        pieces.drop_before(u64::MAX);
        assert_eq!((pieces.start(), pieces.end()), (11_000, 11_000));
        assert_eq!(pieces.get(11_000), None);
    }
}
