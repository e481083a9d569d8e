use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A file that takes the older part of a log, above a threshold of memory.
///
/// The writer writes it in chunks of up to 64 KiB, each when it is full, so [`Buffer::append`](crate::Buffer::append)
/// then takes as long as the file system does: an async program that writes to a log on a slow disk does so in
/// `spawn_blocking`. No reader waits for it. Readers read the file at their offset, without a lock.
///
/// # When the file fails
///
/// Writing to the log does not fail. If the file cannot be created or written, everything so far stays in memory, the
/// log ends with [`TRUNCATION_MARKER`](crate::TRUNCATION_MARKER) as if it were full, later bytes are counted as
/// dropped, and [`Buffer::spill_error`](crate::Buffer::spill_error) says why. If it cannot be read, the reader gets a
/// [`ReadError`].
#[derive(Debug)]
pub struct Spill {
    place: Place,
    threshold: usize,
}

/// Why a spill file could not be written. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SpillError {
    offset: u64,
    source: Arc<io::Error>,
}

/// Why bytes of a log could not be read. It happens only to logs that [spill](Spill), and the same read may be
/// tried again.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The spill file could not be read.
    Spill {
        /// Offset in the log of the bytes that could not be read.
        offset: u64,
        /// What the file system said.
        source: io::Error,
    },
}

#[derive(Debug)]
enum Place {
    Dir(PathBuf),
    File(File),
}

/// The writer's end: the file is made when it is first needed.
#[derive(Debug)]
pub(crate) enum SpillWriter {
    Unopened(PathBuf),
    Open(Arc<File>),
}

impl Spill {
    /// A new file in `dir`, made when the log first exceeds the threshold.
    ///
    /// It is not visible in the directory (on Windows: is deleted when it is closed), so nothing is left of it once
    /// the log and its readers are gone, even after a crash. Only the owner may read it.
    #[must_use]
    pub fn in_dir(dir: impl AsRef<Path>) -> Self {
        Self {
            place: Place::Dir(dir.as_ref().to_owned()),
            threshold: Self::DEFAULT_THRESHOLD,
        }
    }

    /// An open file, readable and writable, which no one else uses. It is written from its first byte on.
    #[must_use]
    pub fn to_file(file: File) -> Self {
        Self {
            place: Place::File(file),
            threshold: Self::DEFAULT_THRESHOLD,
        }
    }

    /// 256 KiB, the largest log of most builds that succeed.
    const DEFAULT_THRESHOLD: usize = 256 << 10;

    /// How many bytes stay in memory, to within a chunk of 64 KiB and one write; 256 KiB by default.
    #[must_use]
    pub fn threshold(mut self, bytes: usize) -> Self {
        self.threshold = bytes;
        self
    }

    pub(crate) fn open(self) -> (SpillWriter, u64) {
        let writer = match self.place {
            Place::Dir(dir) => SpillWriter::Unopened(dir),
            Place::File(file) => SpillWriter::Open(Arc::new(file)),
        };
        (writer, self.threshold as u64)
    }
}

impl SpillError {
    pub(crate) fn new(offset: u64, source: io::Error) -> Self {
        Self {
            offset,
            source: Arc::new(source),
        }
    }

    /// Offset in the log of the first byte that could not be written to the file.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What the file system said.
    #[must_use]
    pub fn io_error(&self) -> &io::Error {
        &self.source
    }
}

impl std::fmt::Display for SpillError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "cannot write byte {} of the log to its spill file",
            self.offset
        )
    }
}

impl std::error::Error for SpillError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self::Spill { offset, .. } = self;
        write!(
            f,
            "cannot read byte {offset} of the log from its spill file"
        )
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let Self::Spill { source, .. } = self;
        Some(source)
    }
}

/// Keeps the kind; the [`ReadError`] is what [`io::Error::get_ref`] returns.
impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        let ReadError::Spill { source, .. } = &error;
        Self::new(source.kind(), error)
    }
}

impl SpillWriter {
    /// Writes `bytes` at `offset`; the log's offsets are the file's.
    pub(crate) fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<Arc<File>> {
        let file = match self {
            Self::Open(file) => Arc::clone(file),
            Self::Unopened(dir) => {
                let file = Arc::new(create_hidden(dir)?);
                *self = Self::Open(Arc::clone(&file));
                file
            }
        };
        write_all_at(&file, bytes, offset)?;
        Ok(file)
    }
}

fn create_hidden(dir: &Path) -> io::Result<File> {
    /// Tells apart the logs of one process.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!(".livelog-{}-{number}", std::process::id()));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        #[cfg(windows)]
        std::os::windows::fs::OpenOptionsExt::custom_flags(&mut options, 0x0400_0000); // FILE_FLAG_DELETE_ON_CLOSE
        match options.open(&path) {
            // Left behind by a process with our number that could not remove it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(file) => {
                #[cfg(unix)]
                std::fs::remove_file(&path)?;
                return Ok(file);
            }
        }
    }
}

#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(unix)]
pub(crate) fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                bytes = &bytes[n..];
                offset += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(windows)]
pub(crate) fn read_exact_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                bytes = &mut bytes[n..];
                offset += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(not(any(unix, windows)))]
fn write_all_at(_: &File, _: &[u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(any(unix, windows)))]
pub(crate) fn read_exact_at(_: &File, _: &mut [u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
