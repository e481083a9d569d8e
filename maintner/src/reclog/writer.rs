use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::reclog::lock::{Lock, lock};
use crate::reclog::recover::{self, TornTail};
use crate::reclog::{
    AppendError, OpenError, RecordError, Records, day, encode_into, number, segments,
};

/// The file that is locked while somebody writes. Readers do not look at it.
pub(crate) const LOCK_FILE: &str = "maintner.lock";

/// Appends to a log directory, one file a day.
///
/// Files are named `maintner-YYYY-MM-DD.mutlog` by the UTC day of the append, as Go's `DiskMutationLogger` does, and
/// offsets begin anew in each. If the clock went back behind the newest such file, that one is appended to: records
/// never come to stand before older ones. [`WriterConfig::files`] chooses other files.
///
/// ```
/// use maintner::reclog::{Writer, WriterConfig};
///
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// let mut log = Writer::open(dir, WriterConfig::default())?;
/// log.append([b"one", b"two"])?; // both are on the disk now
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # One writer
///
/// An open writer holds a lock on the directory (`flock` of a file `maintner.lock` in it; on Windows, that file open and
/// shared with nobody). Go's programs do not look at it.
///
/// # Memory
///
/// One batch, encoded.
#[derive(Debug)]
pub struct Writer {
    dir: PathBuf,
    config: WriterConfig,
    current: Option<Current>,
    /// The newest file of ours.
    newest: Option<String>,
    torn: Option<Torn>,
    poisoned: bool,
    buffer: Vec<u8>,
    /// Held, not used.
    _lock: Lock,
}

impl Writer {
    /// Opens the log in `dir`, which must exist, and repairs its end.
    ///
    /// The newest file named as [`WriterConfig::files`] says is read through. If it ends within a record, the torn bytes are moved to a file beside
    /// it and [`torn`](Self::torn) tells so, or the log is refused: see [`WriterConfig::torn_tail`]. Other files are not read.
    ///
    /// # Errors
    ///
    /// When another writer has the directory, when the file's end is torn or damaged, and when a file cannot be used. When files are to be
    /// numbered, and there are others.
    pub fn open(dir: impl AsRef<Path>, config: WriterConfig) -> Result<Self, OpenError> {
        let dir = dir.as_ref().to_owned();
        let io = |source| OpenError::Io {
            path: dir.clone(),
            source,
        };
        let Some(lock) = lock(&dir, LOCK_FILE).map_err(io)? else {
            return Err(OpenError::Locked { dir });
        };
        let mut files = segments(&dir).map_err(io)?.into_iter();
        let newest = match config.files {
            Files::Daily => files.rfind(|segment| day::is_day_file(&segment.name)),
            Files::Numbered { .. } => {
                // They would be read after what is appended here.
                if let Some(other) = files.clone().find(|s| number::parse(&s.name).is_none()) {
                    return Err(OpenError::Foreign { file: other.path });
                }
                files.next_back()
            }
        };
        let mut torn = None;
        let mut newest_name = None;
        if let Some(newest) = newest {
            let (end, tear) = recover::check(&newest.path)?;
            if let Some(tear) = tear {
                let segment = newest.path;
                if config.torn_tail == TornTail::Refuse {
                    let error = tear.error;
                    return Err(OpenError::Torn { segment, error });
                }
                let moved_to =
                    recover::set_aside(&segment, end, &tear).map_err(|source| OpenError::Io {
                        path: segment.clone(),
                        source,
                    })?;
                sync_dir(&dir).map_err(io)?;
                torn = Some(Torn {
                    segment,
                    error: tear.error,
                    moved_to,
                });
            }
            newest_name = Some(newest.name);
        }
        Ok(Self {
            dir,
            config,
            current: None,
            newest: newest_name,
            torn,
            poisoned: false,
            buffer: Vec::new(),
            _lock: lock,
        })
    }

    /// What [`open`](Self::open) found torn, and moved aside.
    #[must_use]
    pub fn torn(&self) -> Option<&Torn> {
        self.torn.as_ref()
    }

    /// Appends one record for each payload, all to one file, and syncs as [`WriterConfig::sync`] says.
    ///
    /// A batch costs one write and one sync, so large batches are cheap. It is not atomic for readers, who may come while it is
    /// written, nor for a crash: then a number of its first records may be there.
    ///
    /// # Errors
    ///
    /// After [`AppendError::Write`] nothing of the batch is in the log, and the writer can be used; other errors are final.
    pub fn append<P: AsRef<[u8]>>(
        &mut self,
        batch: impl IntoIterator<Item = P>,
    ) -> Result<Appended, AppendError> {
        self.append_at(SystemTime::now(), batch)
    }

    /// [`append`](Self::append) to the file of another time.
    ///
    /// # Errors
    ///
    /// As `append`.
    pub fn append_at<P: AsRef<[u8]>>(
        &mut self,
        now: SystemTime,
        batch: impl IntoIterator<Item = P>,
    ) -> Result<Appended, AppendError> {
        if self.poisoned {
            return Err(AppendError::Poisoned);
        }
        let mut current = self.current(self.file_name(now))?;
        self.buffer.clear();
        let mut records = 0;
        for payload in batch {
            encode_into(&mut self.buffer, current.len, payload.as_ref());
            records += 1;
        }
        if let Files::Numbered { max_bytes } = self.config.files
            && current.len > 0
            && current.len + self.buffer.len() as u64 > max_bytes
        {
            self.buffer = moved(&self.buffer, current.len);
            let next = number::parse(&current.name).map_or(0, |number| number + 1);
            current = self.current(number::file_name(next))?;
        }
        let (path, start) = (self.dir.join(&current.name), current.len);
        if let Err(source) = current.file.write_all(&self.buffer) {
            // What was written before the error would be torn.
            return match current.file.set_len(start) {
                Ok(()) => Err(AppendError::Write {
                    segment: path,
                    source,
                }),
                Err(_) => {
                    self.poisoned = true;
                    Err(AppendError::Unknown {
                        segment: path,
                        source,
                    })
                }
            };
        }
        if self.config.sync == Sync::EachBatch {
            // The name must last too. An error of a sync is told once, so trying again would prove nothing.
            let synced = current
                .file
                .sync_data()
                .and_then(|()| match current.is_new {
                    true => sync_dir(&self.dir),
                    false => Ok(()),
                });
            if let Err(source) = synced {
                self.poisoned = true;
                return Err(AppendError::Unknown {
                    segment: path,
                    source,
                });
            }
        }
        current.is_new = false;
        current.len += self.buffer.len() as u64;
        self.newest = Some(current.name.clone());
        if self.buffer.capacity() > KEEP_BUFFER {
            self.buffer = Vec::new();
        }
        let appended = Appended {
            segment: path,
            start,
            end: current.len,
            records,
        };
        self.current = Some(current);
        Ok(appended)
    }

    /// The file to which something that comes now belongs, if there is room in it.
    fn file_name(&self, now: SystemTime) -> String {
        let newest = self.newest.clone();
        match self.config.files {
            Files::Daily => newest.max(Some(day::file_name(now))).unwrap_or_default(),
            Files::Numbered { .. } => newest.unwrap_or_else(|| number::file_name(0)),
        }
    }

    /// Taken: what fails is opened anew by the next call.
    fn current(&mut self, name: String) -> Result<Current, AppendError> {
        match self.current.take() {
            Some(current) if current.name == name => Ok(current),
            _ => {
                let segment = self.dir.join(&name);
                Current::open(name, &segment)
                    .map_err(|source| AppendError::Write { segment, source })
            }
        }
    }
}

/// The same records, which are ours and so whole, for the beginning of a file.
fn moved(records: &[u8], from: u64) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(records.len());
    for record in Records::new(records, from).flatten() {
        encode_into(&mut buffer, 0, record.payload);
    }
    buffer
}

/// A larger buffer than this is given back after its batch.
const KEEP_BUFFER: usize = 1 << 20;

/// The file that is appended to.
#[derive(Debug)]
struct Current {
    name: String,
    file: File,
    len: u64,
    /// Nobody has synced the directory since it appeared there.
    is_new: bool,
}

impl Current {
    fn open(name: String, path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        let len = file.metadata()?.len();
        Ok(Self {
            name,
            file,
            len,
            is_new: true,
        })
    }
}

#[cfg(unix)]
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Windows cannot sync a directory; NTFS journals names.
#[cfg(not(unix))]
pub(crate) fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}

/// How a [`Writer`] works.
#[derive(Debug, Clone, Default)]
pub struct WriterConfig {
    files: Files,
    sync: Sync,
    torn_tail: TornTail,
}

impl WriterConfig {
    /// Which files the log has: by default, one a day.
    #[must_use]
    pub fn files(mut self, files: Files) -> Self {
        self.files = files;
        self
    }

    /// When a batch counts as appended: by default, when it is on the disk.
    #[must_use]
    pub fn sync(mut self, sync: Sync) -> Self {
        self.sync = sync;
        self
    }

    /// What to do about a last record that is cut off: by default, set it aside.
    #[must_use]
    pub fn torn_tail(mut self, torn_tail: TornTail) -> Self {
        self.torn_tail = torn_tail;
        self
    }
}

/// Which files a [`Writer`] makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Files {
    /// `maintner-YYYY-MM-DD.mutlog`, one a day, as Go's `DiskMutationLogger`.
    #[default]
    Daily,
    /// `maintner-NNNNNN.mutlog` by numbers from 0: the next one begins when a batch does not fit any more. A batch that is larger has a
    /// file for itself.
    Numbered {
        /// How many bytes one has at most; Go's `gcslog` has [16 MiB](Self::SEGMENT) in a segment.
        max_bytes: u64,
    },
}

impl Files {
    /// Bytes of a segment of Go's `gcslog`: 16 MiB.
    pub const SEGMENT: u64 = 16 << 20;
}

/// When a batch counts as appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Sync {
    /// When it is on the disk (`fdatasync`): it outlasts a crash of the machine.
    #[default]
    EachBatch,
    /// When the system has it: it outlasts a crash of this process. As upstream.
    Never,
}

/// Where a batch went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The file that it went to.
    pub segment: PathBuf,
    /// Where its first record begins there, in bytes.
    pub start: u64,
    /// Where its last record ends.
    pub end: u64,
    /// How many records.
    pub records: usize,
}

/// A record that a crash had cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// The file that it was the end of.
    pub segment: PathBuf,
    /// Where it began, and what was missing.
    pub error: RecordError,
    /// Where its bytes are now.
    pub moved_to: PathBuf,
}
