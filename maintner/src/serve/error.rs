use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::PathBuf;

use crate::reclog::ReadError;

/// Why a log, or what was appended to it, cannot be served.
#[derive(Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages explain the fields")]
pub enum ServeError {
    /// The folder of the log could not be listed.
    Dir { dir: PathBuf, source: io::Error },
    /// A segment could not be read, or has bytes that are no record.
    Segment { segment: PathBuf, source: ReadError },
    /// A segment that was served is gone or shorter, begins otherwise, or one came before it.
    Changed { segment: PathBuf },
    /// The blobs could not be listed or read.
    Blobs { source: io::Error },
    /// There is no blob of a segment, but of later ones.
    Missing { number: u64 },
}

impl Display for ServeError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir { dir, .. } => write!(f, "cannot list the log {}", dir.display()),
            Self::Segment { segment, .. } => write!(f, "cannot read {}", segment.display()),
            Self::Changed { segment } => {
                write!(f, "{} is not what was served before", segment.display())
            }
            Self::Blobs { .. } => f.write_str("cannot look at the blobs of the log"),
            Self::Missing { number } => {
                write!(f, "segment {number} is missing, but later ones are there")
            }
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Dir { source, .. } | Self::Blobs { source } => Some(source),
            Self::Segment { source, .. } => Some(source),
            Self::Changed { .. } | Self::Missing { .. } => None,
        }
    }
}
