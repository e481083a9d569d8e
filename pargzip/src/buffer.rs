//! A reusable byte buffer that pays for zeroing its memory once.

/// A first allocation's size in bytes: a page.
const SMALLEST: usize = 4096;

/// Bytes `start..end` of `bytes` are filled; what lies behind them is initialised scratch space.
///
/// New space comes zeroed from the allocator, which for large buffers means pages that cost nothing until
/// they are touched; a recycled buffer keeps what it had.
#[derive(Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// The filled bytes that were not consumed yet.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether it ever held anything.
    pub(crate) fn has_memory(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// Scratch space of at least `len` bytes behind the filled ones; [`grow`](Self::grow) makes it filled.
    pub(crate) fn spare(&mut self, len: usize) -> &mut [u8] {
        let want = self.end + len;
        if self.bytes.capacity() == 0 {
            self.bytes = vec![0; want.max(SMALLEST)];
        } else if self.bytes.len() < want {
            // Amortised, yet never far above what was asked for: memory limits are promises here.
            let len = want + self.bytes.len() / 4;
            self.bytes.reserve_exact(len - self.bytes.len());
            self.bytes.resize(len, 0);
        }
        &mut self.bytes[self.end..]
    }

    /// Adds the first `len` bytes of the scratch space.
    pub(crate) fn grow(&mut self, len: usize) {
        assert!(
            len <= self.bytes.len() - self.end,
            "grown by more than the spare space"
        );
        self.end += len;
    }

    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.spare(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// Overwrites filled bytes at `at`, counted from the first unconsumed one.
    pub(crate) fn patch(&mut self, at: usize, bytes: &[u8]) {
        let at = self.start + at;
        self.bytes[..self.end][at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Drops filled bytes from the front.
    pub(crate) fn consume(&mut self, len: usize) {
        assert!(len <= self.len(), "consumed more than is filled");
        self.start += len;
    }

    /// Drops filled bytes from the end, down to `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start + len);
    }

    /// Empties the buffer and keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let mut buffer = Buffer::default();
        for n in 0..100u8 {
            buffer.extend(&[n; 100]);
        }
        buffer.consume(150);
        assert_eq!(buffer.len(), 9850);
        assert_eq!(buffer.filled()[..51], [[1; 50].as_slice(), &[2]].concat());
        buffer.patch(0, b"ab");
        buffer.truncate(3);
        assert_eq!(buffer.filled(), b"ab\x01");
        buffer.clear();
        assert!(buffer.is_empty());
        assert!(buffer.has_memory());
    }

    #[test]
    fn memory_stays_near_what_was_asked_for() {
        let mut buffer = Buffer::default();
        for _ in 0..1000 {
            buffer.extend(&[7; 1000]);
        }
        assert!(buffer.bytes.len() <= 1_250_000, "{}", buffer.bytes.len());
        let mut exact = Buffer::default();
        exact.spare(1 << 20);
        assert_eq!(exact.bytes.len(), 1 << 20);
    }
}
