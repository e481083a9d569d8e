use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::reclog::lock::{Lock, lock};
use crate::reclog::recover::{self, TornTail};
use crate::reclog::{AppendError, OpenError, RecordError, day, encode_into, segments};

/// The file that is locked while somebody writes. Readers do not look at it.
pub(super) const LOCK_FILE: &str = "maintner.lock";

/// Appends to a log directory, one file a day.
///
/// Files are named `maintner-YYYY-MM-DD.mutlog` by the UTC day of the append, as Go's `DiskMutationLogger` does, and
/// offsets begin anew in each. If the clock went back behind the newest such file, that one is appended to: records
/// never come to stand before older ones.
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
    /// The newest day that has a file.
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
    /// The newest file named by a day is read through. If it ends within a record, the torn bytes are moved to a file beside
    /// it and [`torn`](Self::torn) tells so, or the log is refused: see [`WriterConfig::torn_tail`]. Other files are not read.
    ///
    /// # Errors
    ///
    /// When another writer has the directory, when the file's end is torn or damaged, and when a file cannot be used.
    pub fn open(dir: impl AsRef<Path>, config: WriterConfig) -> Result<Self, OpenError> {
        let dir = dir.as_ref().to_owned();
        let io = |source| OpenError::Io {
            path: dir.clone(),
            source,
        };
        let Some(lock) = lock(&dir, LOCK_FILE).map_err(io)? else {
            return Err(OpenError::Locked { dir });
        };
        let newest = segments(&dir)
            .map_err(io)?
            .into_iter()
            .rfind(|segment| day::is_day_file(&segment.name));
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

    /// Appends one record for each payload, all to the file of today, and syncs as [`WriterConfig::sync`] says.
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
        let mut name = day::file_name(now);
        if let Some(newest) = &self.newest
            && *newest > name
        {
            name.clone_from(newest);
        }
        let path = self.dir.join(&name);
        // Taken: what fails is opened anew by the next call.
        let mut current = match self.current.take() {
            Some(current) if current.name == name => current,
            _ => Current::open(name, &path).map_err(|source| AppendError::Write {
                segment: path.clone(),
                source,
            })?,
        };

        let start = current.len;
        self.buffer.clear();
        let mut records = 0;
        for payload in batch {
            encode_into(&mut self.buffer, start, payload.as_ref());
            records += 1;
        }
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
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Windows cannot sync a directory; NTFS journals names.
#[cfg(not(unix))]
pub(super) fn sync_dir(_: &Path) -> io::Result<()> {
    Ok(())
}

/// How a [`Writer`] works.
#[derive(Debug, Clone, Default)]
pub struct WriterConfig {
    sync: Sync,
    torn_tail: TornTail,
}

impl WriterConfig {
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
