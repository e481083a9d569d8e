use std::{error, fmt, io};

use crate::archive::FsError;
use crate::archive::fs_error::OsText;

/// A file could not be written. It may have been written in part.
///
/// Displays the text that a Go buildlet answers in the same case.
#[derive(Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum WriteError {
    /// The mode is not that of a regular file.
    Mode,
    /// The file or its directory could not be made, or not be written to.
    Fs(FsError),
    /// The content could not be read.
    Content(io::Error),
    /// There is more content than the limit allows.
    TooLarge { limit: u64 },
}

impl WriteError {
    /// The status that a buildlet answers: 400 for a bad mode, 413 for too much content, else 500.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Mode => 400,
            Self::TooLarge { .. } => 413,
            Self::Fs(_) | Self::Content(_) => 500,
        }
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode => f.write_str("bad mode"),
            Self::Fs(error) => write!(f, "{error}"),
            Self::Content(error) => write!(f, "{}", OsText(error)),
            Self::TooLarge { limit } => write!(f, "file is larger than {limit} bytes"),
        }
    }
}

impl error::Error for WriteError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Fs(error) => error::Error::source(error),
            Self::Content(error) => error::Error::source(error),
            Self::Mode | Self::TooLarge { .. } => None,
        }
    }
}

impl From<FsError> for WriteError {
    fn from(error: FsError) -> Self {
        Self::Fs(error)
    }
}

/// A directory could not be listed, or not to its end.
///
/// Displays the text that a Go buildlet answers in the same case, with status 500.
#[derive(Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum ListError {
    /// Something could not be read.
    Fs(FsError),
    /// Directories lie deeper in one another than the walk goes.
    Depth {
        path: std::path::PathBuf,
        most: usize,
    },
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fs(error) => write!(f, "Walk error: {error}"),
            Self::Depth { path, most } => write!(
                f,
                "Walk error: open {}: more than {most} directories deep",
                path.display()
            ),
        }
    }
}

impl error::Error for ListError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Fs(error) => error::Error::source(error),
            Self::Depth { .. } => None,
        }
    }
}

impl From<FsError> for ListError {
    fn from(error: FsError) -> Self {
        Self::Fs(error)
    }
}
