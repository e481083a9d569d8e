use std::io::{self, BufRead, Read};
use std::task::Waker;

use bytes::{Buf as _, Bytes};

use crate::log::gap_marker;
use crate::park::Parker;
use crate::seats::SeatId;
use crate::shared::{Load, SharedRef, Step};
use crate::spill::ReadError;

/// Follows a log: gets what is there, waits for more, and ends when the log is closed.
///
/// Reads block the thread ([`Read`], [`BufRead`], [`blocking_chunk`](Self::blocking_chunk)) or, with the feature
/// `tokio`, the task (`AsyncRead`, `Stream<Item = Bytes>`, `next_chunk`); they may be mixed. Chunks are shared with
/// the log, not copied.
///
/// A reader holds little more than its offset, and never slows the writer. One that is so slow that a log of [head
/// and tail](crate::Config::head_and_tail) drops bytes before it has read them gets, once, a marker that says how many
/// it missed, and goes on after them.
///
/// Dropping a reader closes it. It keeps the log's memory, but not the log open.
#[derive(Debug)]
pub struct Reader {
    shared: SharedRef,
    seat: SeatId,
    offset: u64,
    /// Taken from the log but not yet given to the caller: the rest of a marker, of a part of the spill file, or of
    /// what [`BufRead::fill_buf`] showed. Empty otherwise, so that a slow reader pins no memory.
    held: Bytes,
    /// Where the reader stands once `held` is used up.
    after_held: u64,
    /// Whether `held` is a marker, which has no offsets.
    holds_marker: bool,
    /// A part of the spill file that is being read.
    #[cfg(feature = "tokio")]
    pub(crate) load: Option<crate::aio::LoadTask>,
}

/// Closes a [`Reader`] from elsewhere, also while it waits.
///
/// ```
/// use std::io::Read as _;
///
/// let log = livelog::Buffer::new();
/// let mut reader = log.reader();
/// let closer = reader.closer();
/// let client = std::thread::spawn(move || reader.read(&mut [0; 100]));
/// closer.close(); // the client went away
/// assert_eq!(client.join().unwrap()?, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReaderCloser {
    shared: SharedRef,
    seat: SeatId,
}

/// What a reader has at hand.
#[derive(Debug)]
pub(crate) enum Found {
    /// Something in `held`.
    Held,
    /// A piece of the log at its offset.
    Data(Bytes),
    /// A part of the spill file, to be read and then [kept](Reader::hold_loaded).
    Load(Load),
    End,
    Wait,
}

impl Reader {
    pub(crate) fn new(shared: SharedRef, offset: u64) -> Self {
        Self {
            seat: shared.take_seat(),
            shared,
            offset,
            held: Bytes::new(),
            after_held: offset,
            holds_marker: false,
            #[cfg(feature = "tokio")]
            load: None,
        }
    }

    /// The offset in the log of the next byte this reader gives.
    ///
    /// A later reader [may go on there](crate::Buffer::reader_at). The marker of a gap has no offsets: until it was
    /// read whole the reader stands before the gap.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Closes this reader: it is at its end now, also if there are unread bytes. May be repeated.
    pub fn close(&self) {
        self.shared.close_seat(self.seat);
    }

    /// A handle that closes this reader from another thread or task.
    #[must_use]
    pub fn closer(&self) -> ReaderCloser {
        ReaderCloser {
            shared: SharedRef::clone(&self.shared),
            seat: self.seat,
        }
    }

    /// Waits for bytes and returns a piece of at most 64 KiB, shared with the log; `None` at the end.
    ///
    /// # Errors
    ///
    /// If the log [spills](crate::Spill) and its file cannot be read.
    pub fn blocking_chunk(&mut self) -> Result<Option<Bytes>, ReadError> {
        loop {
            match self.find_or_block() {
                Found::Load(load) => self.hold_loaded(load.read()?),
                found => return Ok(self.take(found)),
            }
        }
    }

    /// Looks once. If there is nothing yet `waker` is woken when there is.
    #[inline]
    pub(crate) fn find(&mut self, waker: Option<&Waker>) -> Found {
        if !self.held.is_empty() {
            if !self.shared.is_seat_closed(self.seat) {
                return Found::Held;
            }
            self.held = Bytes::new();
        }
        match self.shared.step(self.seat, self.offset, waker) {
            Step::Data(bytes) => Found::Data(bytes),
            Step::Gap { to } => {
                self.hold(gap_marker(to - self.offset), to);
                self.holds_marker = true;
                Found::Held
            }
            Step::Load(load) => Found::Load(load),
            Step::End => Found::End,
            Step::Wait => Found::Wait,
        }
    }

    /// Copies what was found to `dst` as far as it goes.
    pub(crate) fn copy(&mut self, found: &Found, dst: &mut [u8]) -> usize {
        let src = match found {
            Found::Held => &self.held,
            Found::Data(bytes) => bytes,
            Found::Load(_) | Found::End | Found::Wait => return 0,
        };
        let n = src.len().min(dst.len());
        dst[..n].copy_from_slice(&src[..n]);
        match found {
            Found::Held => self.use_held(n),
            _ => self.offset += n as u64,
        }
        n
    }

    /// Takes what was found without copying it.
    pub(crate) fn take(&mut self, found: Found) -> Option<Bytes> {
        match found {
            Found::Held => {
                let bytes = self.held.clone();
                self.use_held(bytes.len());
                Some(bytes)
            }
            Found::Data(bytes) => {
                self.offset += bytes.len() as u64;
                Some(bytes)
            }
            Found::Load(_) | Found::End | Found::Wait => None,
        }
    }

    /// Keeps bytes of the log that lie at the reader's offset.
    pub(crate) fn hold_loaded(&mut self, bytes: Bytes) {
        let after = self.offset + bytes.len() as u64;
        self.hold(bytes, after);
    }

    fn hold(&mut self, bytes: Bytes, after: u64) {
        self.held = bytes;
        self.after_held = after;
        self.holds_marker = false;
    }

    fn use_held(&mut self, n: usize) {
        self.held.advance(n);
        if self.held.is_empty() {
            self.held = Bytes::new(); // an empty slice pins its chunk, too
            self.offset = self.after_held;
        } else if !self.holds_marker {
            self.offset += n as u64;
        }
    }

    fn find_or_block(&mut self) -> Found {
        match self.find(None) {
            Found::Wait => {}
            found => return found,
        }
        let parker = Parker::new();
        loop {
            match self.find(Some(parker.waker())) {
                Found::Wait => parker.park(),
                found => return found,
            }
        }
    }
}

/// Blocks until there is something, then gives as much as is there, without waiting for more. `Ok(0)` is the end
/// (or an empty `dst`).
///
/// An error is a [`ReadError`], inside.
impl Read for Reader {
    fn read(&mut self, dst: &mut [u8]) -> io::Result<usize> {
        if dst.is_empty() {
            return Ok(0);
        }
        let mut found = self.find_or_block();
        let mut filled = 0;
        loop {
            if let Found::Load(load) = &found {
                if filled > 0 {
                    return Ok(filled);
                }
                let loaded = load.read()?;
                self.hold_loaded(loaded);
                found = Found::Held;
            }
            let n = self.copy(&found, &mut dst[filled..]);
            filled += n;
            if n == 0 || filled == dst.len() {
                return Ok(filled);
            }
            found = self.find(None);
        }
    }
}

/// Shows the log's own memory, without a copy. An error is a [`ReadError`], inside.
impl BufRead for Reader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self.find_or_block() {
            Found::Data(bytes) => self.hold_loaded(bytes),
            Found::Load(load) => {
                let loaded = load.read()?;
                self.hold_loaded(loaded);
            }
            Found::Held | Found::End | Found::Wait => {}
        }
        Ok(&self.held)
    }

    fn consume(&mut self, n: usize) {
        if n > 0 {
            self.use_held(n);
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.leave_seat(self.seat);
    }
}

impl ReaderCloser {
    /// Closes the reader, if it still exists. May be repeated.
    pub fn close(&self) {
        self.shared.close_seat(self.seat);
    }
}
