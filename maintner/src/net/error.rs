use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::PathBuf;

/// Why a log could not be followed.
///
/// But for [`Split`](Self::Split), a later try may succeed, and goes on where this one ended.
#[derive(Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages explain the fields")]
pub enum FetchError {
    /// The server's address is none.
    Server { server: String },
    /// What is to be believed is none.
    Authorities { reason: String },
    /// The environment names no folder for caches.
    NoCacheDir,
    /// The cache could not be read or written.
    Cache { path: PathBuf, source: io::Error },
    /// Another process fetches a segment, for ten minutes already.
    Locked { dir: PathBuf },
    /// There was no whole answer, however often it was tried.
    Unreachable {
        url: String,
        source: Box<dyn Error + Send + Sync>,
    },
    /// The answer is an error.
    Status { url: String, status: u16 },
    /// The list of segments is none.
    Index { url: String, reason: String },
    /// The log, a segment or the list is larger than is allowed.
    TooLarge { what: String, max: u64 },
    /// A segment is not what was listed, however often it was fetched.
    Corrupt { url: String },
    /// The server's log is not what it was before, and more: it lost or rewrote some of it. The corpus has what is gone, and must be made
    /// anew; a new follower on the same cache can do so.
    Split { segment: usize },
}

impl FetchError {
    /// Whether the server's history is another one than before, so that the corpus must be made anew.
    #[must_use]
    pub fn is_split(&self) -> bool {
        matches!(self, Self::Split { .. })
    }
}

impl Display for FetchError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server { server } => {
                write!(f, "{server:?} is not the http or https address of a log")
            }
            Self::Authorities { reason } => {
                write!(f, "these are no certificate authorities: {reason}")
            }
            Self::NoCacheDir => f.write_str("there is no folder for caches: set XDG_CACHE_HOME"),
            Self::Cache { path, .. } => write!(f, "cannot use the cache {}", path.display()),
            Self::Locked { dir } => {
                write!(
                    f,
                    "another process has had the cache {} for too long",
                    dir.display()
                )
            }
            Self::Unreachable { url, .. } => write!(f, "cannot fetch {url}"),
            Self::Status { url, status } => write!(f, "{url} is answered with status {status}"),
            Self::Index { url, reason } => write!(f, "{url} is no list of segments: {reason}"),
            Self::TooLarge { what, max } => {
                write!(f, "{what} has more than the {max} bytes that are allowed")
            }
            Self::Corrupt { url } => write!(f, "{url} does not have the checksum that was listed"),
            Self::Split { segment } => write!(
                f,
                "the server has another history than before, in segment {segment}: read the log anew"
            ),
        }
    }
}

impl Error for FetchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Cache { source, .. } => Some(source),
            Self::Unreachable { source, .. } => Some(source.as_ref()),
            _ => None,
        }
    }
}
