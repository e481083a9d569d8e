use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::LoadError;
use crate::reclog::{AppendError, OpenError};

/// Why a log cannot be led, or mutations were not appended.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages explain the fields")]
pub enum LeadError {
    /// The folder of the log cannot be made.
    Dir {
        dir: PathBuf,
        source: Arc<io::Error>,
    },
    /// The log cannot be opened for writing: another leader has it, or it is damaged.
    Open { source: Arc<OpenError> },
    /// What the log has cannot be read, or not any more.
    Load { source: Arc<LoadError> },
    /// The mutations could not be written. Nothing of them is in the log, and a later try may succeed.
    Append { source: Arc<AppendError> },
    /// A write or the corpus failed before in a way that cannot be mended; a new start reads what is on the disk.
    Broken {
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The leader was closed.
    Closed,
}

impl LeadError {
    /// Whether the process should end: nothing can be appended any more.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Append { .. })
    }
}

impl Display for LeadError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir { dir, .. } => write!(f, "cannot make the folder {}", dir.display()),
            Self::Open { .. } => f.write_str("cannot write to the log"),
            Self::Load { .. } => f.write_str("cannot read the log"),
            Self::Append { .. } => f.write_str("the mutations were not written"),
            Self::Broken { .. } => {
                f.write_str("the log cannot be written any more: start the program again")
            }
            Self::Closed => f.write_str("the log was closed"),
        }
    }
}

impl Error for LeadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Dir { source, .. } => Some(source.as_ref()),
            Self::Open { source } => Some(source.as_ref()),
            Self::Load { source } => Some(source.as_ref()),
            Self::Append { source } => Some(source.as_ref()),
            Self::Broken { source } => Some(source.as_ref()),
            Self::Closed => None,
        }
    }
}

/// Why a round of a [`Source`](crate::leader::Source) failed. What it appended before stays, and the next round goes on from there.
#[derive(Debug)]
pub struct SourceError {
    kind: SourceErrorKind,
    retry_after: Option<Duration>,
    source: Box<dyn Error + Send + Sync>,
}

/// What is to be done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SourceErrorKind {
    /// Trying again, soon at first: networks, servers, time.
    Transient,
    /// Waiting, as the other side said: nobody is to blame.
    RateLimited,
    /// Somebody must look after it, such as wrong credentials or a project that is gone; it is tried seldom.
    Permanent,
}

impl SourceError {
    /// A failure that may be over soon.
    pub fn transient(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(SourceErrorKind::Transient, None, source.into())
    }

    /// The other side wants to be left alone for so long.
    pub fn rate_limited(
        source: impl Into<Box<dyn Error + Send + Sync>>,
        retry_after: Duration,
    ) -> Self {
        let retry_after = Some(retry_after);
        Self::new(SourceErrorKind::RateLimited, retry_after, source.into())
    }

    /// A failure that will last until somebody does something.
    pub fn permanent(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(SourceErrorKind::Permanent, None, source.into())
    }

    fn new(
        kind: SourceErrorKind,
        retry_after: Option<Duration>,
        source: Box<dyn Error + Send + Sync>,
    ) -> Self {
        Self {
            kind,
            retry_after,
            source,
        }
    }

    /// What is to be done.
    #[must_use]
    pub fn kind(&self) -> SourceErrorKind {
        self.kind
    }

    /// How long it must not be tried again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl From<LeadError> for SourceError {
    fn from(error: LeadError) -> Self {
        Self::transient(error)
    }
}

impl Display for SourceError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            SourceErrorKind::Transient => "the round failed",
            SourceErrorKind::RateLimited => "the source wants to be left alone",
            SourceErrorKind::Permanent => "the source cannot be followed",
        })
    }
}

impl Error for SourceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.source.as_ref())
    }
}
