use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::PathBuf;

use crate::reclog::RecordError;

/// Why [`Reader`](crate::reclog::Reader) could not go on.
#[derive(Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages explain the fields")]
pub enum ReadError {
    /// The source could not be read; `offset` is how far the reader came.
    Io { offset: u64, source: io::Error },
    /// What was read is no record.
    Record(RecordError),
    /// The record is longer than [`Reader::max_record`](crate::reclog::Reader::max_record) allows.
    TooLong { offset: u64, len: u64, max: usize },
}

impl ReadError {
    /// Whether the log ends within a record, so that more bytes may make it whole.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        matches!(self, Self::Record(error) if error.is_incomplete())
    }
}

impl Display for ReadError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { offset, .. } => write!(f, "cannot read from byte {offset} on"),
            Self::Record(error) => error.fmt(f),
            Self::TooLong { offset, len, max } => {
                write!(
                    f,
                    "the record at byte {offset} has {len} bytes, more than the {max} allowed"
                )
            }
        }
    }
}

impl Error for ReadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            // The message is the record error's own.
            Self::Record(_) | Self::TooLong { .. } => None,
        }
    }
}

impl From<RecordError> for ReadError {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

/// Why a log could not be opened for appending.
#[derive(Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages explain the fields")]
pub enum OpenError {
    /// Another writer has the directory.
    Locked { dir: PathBuf },
    /// A file or the directory could not be opened, read, moved or synced.
    Io { path: PathBuf, source: io::Error },
    /// The last record is cut off, and the configuration says to leave that alone.
    Torn {
        segment: PathBuf,
        error: RecordError,
    },
    /// There is damage that no torn write explains: records stand behind it.
    Damaged {
        segment: PathBuf,
        error: RecordError,
    },
    /// Files are to be numbered, and this one belongs to another log.
    Foreign { file: PathBuf },
}

impl Display for OpenError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { dir } => write!(f, "another writer has the log {}", dir.display()),
            Self::Io { path, .. } => write!(f, "cannot use {}", path.display()),
            Self::Torn { segment, .. } => {
                write!(f, "the last record of {} is cut off", segment.display())
            }
            Self::Damaged { segment, .. } => write!(f, "{} is damaged", segment.display()),
            Self::Foreign { file } => write!(
                f,
                "{} is no numbered segment: use a folder of its own for this log",
                file.display()
            ),
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Locked { .. } | Self::Foreign { .. } => None,
            Self::Io { source, .. } => Some(source),
            Self::Torn { error, .. } | Self::Damaged { error, .. } => Some(error),
        }
    }
}

/// Why a batch was not appended.
#[derive(Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages explain the fields")]
pub enum AppendError {
    /// The file could not be created or written, for want of space for example. Nothing of the batch is in the log: the same batch
    /// may be tried again.
    Write { segment: PathBuf, source: io::Error },
    /// The batch was written but may not be durable, or part of it may be in the log. The writer takes no more: open the
    /// log again, and look at what is there.
    Unknown { segment: PathBuf, source: io::Error },
    /// An earlier error left it unknown what is in the log.
    Poisoned,
}

impl Display for AppendError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { segment, .. } => write!(f, "cannot append to {}", segment.display()),
            Self::Unknown { segment, .. } => write!(
                f,
                "what was appended to {} may not be there",
                segment.display()
            ),
            Self::Poisoned => {
                f.write_str("an earlier append failed so that the log must be opened again")
            }
        }
    }
}

impl Error for AppendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Write { source, .. } | Self::Unknown { source, .. } => Some(source),
            Self::Poisoned => None,
        }
    }
}
