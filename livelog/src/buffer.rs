use std::io;
use std::time::SystemTime;

use bytes::Bytes;

use crate::config::{Config, ConfigError, Valid};
use crate::index::TimeMark;
use crate::reader::Reader;
use crate::shared::{Load, Shared, SharedRef};
use crate::spill::{ReadError, SpillError};

/// The writing end of a log, from which readers are made.
///
/// A handle: clones write to the same log, each write in one piece. All methods take `&self`; `&Buffer` is
/// [`io::Write`] as well. When the last handle is dropped the log is [closed](Self::close), since no one else could.
#[derive(Debug)]
pub struct Buffer {
    shared: SharedRef,
}

impl Buffer {
    /// A log that keeps the first [`MAX_BUFFER_SIZE`](crate::MAX_BUFFER_SIZE) bytes.
    #[must_use]
    pub fn new() -> Self {
        Self::from_valid(Valid::default())
    }

    /// A log that keeps the first `max` bytes, counting the marker that ends it if more is written.
    ///
    /// # Errors
    ///
    /// [`ConfigError::LimitTooSmall`] if the marker alone, 23 bytes, is longer.
    pub fn with_limit(max: usize) -> Result<Self, ConfigError> {
        Self::with_config(Config::default().limit(max))
    }

    /// A log that keeps what `config` says. No file is touched yet.
    ///
    /// # Errors
    ///
    /// If the parts of the configuration contradict each other.
    pub fn with_config(config: Config) -> Result<Self, ConfigError> {
        config.validate().map(Self::from_valid)
    }

    fn from_valid(config: Valid) -> Self {
        Self {
            shared: SharedRef::new(Shared::new(config)),
        }
    }

    /// Appends `bytes`, or as much of them as the log has room for, and wakes the readers that wait.
    ///
    /// Never fails and never waits for a reader; what does not fit is counted by [`dropped`](Self::dropped). Nothing
    /// is added to a closed log. Blocks on file I/O only if the log [spills](crate::Spill).
    #[inline]
    pub fn append(&self, bytes: &[u8]) {
        self.shared.append(bytes, None);
    }

    /// Appends `bytes` as if it were `time` now: for output that was made elsewhere.
    ///
    /// The time goes into the [index](Config::time_index), if the log has one; times do not go back.
    pub fn append_at(&self, bytes: &[u8], time: SystemTime) {
        self.shared.append(bytes, Some(time));
    }

    /// Ends the log: readers get what was written and then the end. May be repeated.
    pub fn close(&self) {
        self.shared.close();
    }

    /// A reader of the whole log, from its first byte on.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.reader_at(0)
    }

    /// A reader that begins at `offset`, such as an earlier reader's [`offset`](Reader::offset).
    ///
    /// Beyond the end, it waits until the log gets there; at [`end`](Self::end), it gets what comes from now on.
    #[must_use]
    pub fn reader_at(&self, offset: u64) -> Reader {
        Reader::new(SharedRef::clone(&self.shared), offset)
    }

    /// The whole log so far, with its marker. Does not wait, and copies only a log that is in several pieces.
    ///
    /// # Errors
    ///
    /// If the log [spills](crate::Spill) and its file cannot be read; never otherwise.
    pub fn to_bytes(&self) -> Result<Bytes, ReadError> {
        let (mut snapshot, file) = self.shared.snapshot();
        if snapshot.spilled == 0 && snapshot.parts.len() == 1 {
            return Ok(snapshot.parts.remove(0));
        }
        let mut all = vec![0; snapshot.spilled as usize];
        all.reserve_exact((snapshot.len - snapshot.spilled) as usize);
        if let Some(file) = file {
            Load {
                file,
                offset: 0,
                len: all.len(),
            }
            .read_into(&mut all)?;
        }
        for part in snapshot.parts {
            all.extend_from_slice(&part);
        }
        Ok(all.into())
    }

    /// A copy of the whole log so far, with its marker. Does not wait.
    ///
    /// # Errors
    ///
    /// As [`to_bytes`](Self::to_bytes).
    pub fn to_vec(&self) -> Result<Vec<u8>, ReadError> {
        self.to_bytes().map(Vec::from)
    }

    /// The whole log so far as text; what is not UTF-8 shows as U+FFFD.
    ///
    /// # Errors
    ///
    /// As [`to_bytes`](Self::to_bytes).
    pub fn to_string_lossy(&self) -> Result<String, ReadError> {
        Ok(String::from_utf8_lossy(&self.to_bytes()?).into_owned())
    }

    /// How many bytes [`to_bytes`](Self::to_bytes) returns now.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.shared.with_log(crate::log::Log::len)
    }

    /// Whether nothing was written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end() == 0
    }

    /// The offset at which the log ends now.
    ///
    /// Equal to [`len`](Self::len) unless bytes were dropped between head and tail: they keep their offsets, and the
    /// marker in their place has none.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.shared.with_log(crate::log::Log::end)
    }

    /// Whether the log was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.with_log(crate::log::Log::is_closed)
    }

    /// Whether the log became too long, so that it shows a marker.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.shared.with_log(crate::log::Log::is_truncated)
    }

    /// How many of the bytes that were written are not in the log: those beyond the limit, those between head and
    /// tail, and those that came after [`close`](Self::close).
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.with_log(crate::log::Log::dropped)
    }

    /// Why the log stopped to take bytes, if its spill file is the reason.
    #[must_use]
    pub fn spill_error(&self) -> Option<SpillError> {
        self.shared.spill_error()
    }

    /// When the byte at `offset` was written, to within the interval of the [index](Config::time_index).
    ///
    /// `None` if the log has no index or nothing was written. An offset beyond the end has the time of the last mark.
    #[must_use]
    pub fn time_at(&self, offset: u64) -> Option<SystemTime> {
        self.shared
            .with_times(|times| times.time_at(offset))
            .flatten()
    }

    /// The whole [index](Config::time_index), in order of offsets; at most 4,096 marks.
    #[must_use]
    pub fn times(&self) -> Vec<TimeMark> {
        self.shared
            .with_times(|times| times.marks().to_vec())
            .unwrap_or_default()
    }

    /// How many readers there are.
    #[must_use]
    pub fn readers(&self) -> usize {
        self.shared.readers()
    }

    /// How many readers are waiting for more: they have seen everything.
    #[must_use]
    pub fn waiting_readers(&self) -> usize {
        self.shared.waiting_readers()
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        self.shared.add_writer();
        Self {
            shared: SharedRef::clone(&self.shared),
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.shared.remove_writer();
    }
}

/// Never fails, and always reports the full length: a command's output must not stop because its log is full.
impl io::Write for Buffer {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        (&*self).write_all(bytes)
    }

    /// Does nothing: readers see every write at once.
    fn flush(&mut self) -> io::Result<()> {
        (&*self).flush()
    }
}

/// As for [`Buffer`].
impl io::Write for &Buffer {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes);
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.append(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
