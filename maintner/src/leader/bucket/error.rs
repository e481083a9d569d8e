use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use buckets::BucketError;

/// Why a log and the bucket that has it too do not come together.
#[derive(Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages explain the fields")]
pub enum BucketLogError {
    /// Another process uses the folder.
    Locked { dir: PathBuf },
    /// A file or the folder could not be read or written.
    Io { path: PathBuf, source: io::Error },
    /// The bucket failed, or refuses.
    Bucket { source: BucketError },
    /// A file of the folder belongs to another log.
    Foreign { file: PathBuf },
    /// A segment is missing, but later ones are there.
    Missing { place: String, number: u64 },
    /// A file does not go on from what the bucket has, nor the bucket from the file.
    Diverged { file: PathBuf, object: String },
    /// An object of the bucket has other bytes than its name says.
    Damaged { object: String },
    /// Somebody else stored or removed an object of the log.
    Changed { object: String },
    /// Somebody else writes to the bucket now.
    Taken { by: String },
    /// What was left when the leader ended was not stored in time; the next start does it.
    TooLate { limit: Duration },
    /// A file has bytes that are no record.
    Segment {
        file: PathBuf,
        source: crate::reclog::ReadError,
    },
}

impl BucketLogError {
    /// Whether trying again is of no use.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(
            self,
            Self::Io { .. } | Self::Bucket { .. } | Self::TooLate { .. }
        )
    }
}

impl Display for BucketLogError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { dir } => write!(f, "another process uses {}", dir.display()),
            Self::Io { path, .. } => write!(f, "cannot use {}", path.display()),
            Self::Bucket { .. } => f.write_str("the bucket of the log cannot be used"),
            Self::Foreign { file } => write!(
                f,
                "{} is no numbered segment: use a folder of its own for this log",
                file.display()
            ),
            Self::Missing { place, number } => {
                write!(
                    f,
                    "segment {number} is missing in {place}, but later ones are there"
                )
            }
            Self::Diverged { file, object } => write!(
                f,
                "{} and {object} in the bucket are of two histories: somebody else wrote to the bucket; move the folder away to go on from \
                 what the bucket has",
                file.display()
            ),
            Self::Damaged { object } => {
                write!(f, "{object} in the bucket is not what its name says")
            }
            Self::Changed { object } => write!(
                f,
                "somebody else stored or removed {object} in the bucket: only one may write to it"
            ),
            Self::Taken { by } => {
                write!(f, "somebody else writes to the bucket now: {by}")
            }
            Self::TooLate { limit } => write!(
                f,
                "the bucket did not take what was left within {} s",
                limit.as_secs()
            ),
            Self::Segment { file, .. } => write!(f, "{} is damaged", file.display()),
        }
    }
}

impl Error for BucketLogError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Bucket { source } => Some(source),
            Self::Segment { source, .. } => Some(source),
            _ => None,
        }
    }
}
