use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::PathBuf;

use crate::mutation::DecodeError;
use crate::reclog::ReadError;

/// Why a corpus could not be brought up to date. What came before the error is applied.
#[derive(Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages explain the fields")]
pub enum LoadError {
    /// The folder of the log could not be listed.
    Dir { dir: PathBuf, source: io::Error },
    /// A segment could not be read, or has bytes that are no record.
    Segment { segment: PathBuf, source: ReadError },
    /// A record is no mutation.
    Mutation {
        segment: PathBuf,
        offset: u64,
        source: DecodeError,
    },
    /// The log is not the one that was read so far and some more: a segment is gone, or shorter, or one came before those that
    /// were read. The corpus must be opened anew.
    Diverged { segment: PathBuf },
    /// What the server has could not be brought here.
    #[cfg(feature = "net")]
    Fetch { source: crate::net::FetchError },
    /// Texts have more than 4 GiB in the worst case, or 16 GiB in the best.
    Full,
}

impl LoadError {
    /// Whether the last segment ends within a record, as it does while somebody writes it: a later update may go on.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        matches!(self, Self::Segment { source, .. } if source.is_incomplete())
    }

    /// Whether the log's history is another one than what was read, so that the corpus must be made anew.
    #[must_use]
    pub fn is_split(&self) -> bool {
        match self {
            Self::Diverged { .. } => true,
            #[cfg(feature = "net")]
            Self::Fetch { source } => source.is_split(),
            _ => false,
        }
    }
}

impl Display for LoadError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir { dir, .. } => write!(f, "cannot list the log {}", dir.display()),
            Self::Segment { segment, .. } => write!(f, "cannot read {}", segment.display()),
            Self::Mutation {
                segment, offset, ..
            } => {
                write!(
                    f,
                    "the record at byte {offset} of {} is no mutation",
                    segment.display()
                )
            }
            Self::Diverged { segment } => {
                write!(f, "{} is not what was read before", segment.display())
            }
            #[cfg(feature = "net")]
            Self::Fetch { .. } => f.write_str("cannot fetch the log"),
            Self::Full => f.write_str("the texts of the log are more than a corpus can hold"),
        }
    }
}

#[cfg(feature = "net")]
impl From<crate::net::FetchError> for LoadError {
    fn from(source: crate::net::FetchError) -> Self {
        Self::Fetch { source }
    }
}

impl Error for LoadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Dir { source, .. } => Some(source),
            Self::Segment { source, .. } => Some(source),
            Self::Mutation { source, .. } => Some(source),
            #[cfg(feature = "net")]
            Self::Fetch { source } => Some(source),
            Self::Diverged { .. } | Self::Full => None,
        }
    }
}
