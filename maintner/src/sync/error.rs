use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::PathBuf;

/// Why a repository could not be followed. What was taken before is right, and a later try goes on from there.
#[derive(Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages explain the fields")]
pub enum SyncError {
    /// The project's name is not `host/name`.
    Project { project: String },
    /// The address cannot be followed.
    Url { url: String, why: &'static str },
    /// Git could not be started, or spoken with.
    Git { dir: PathBuf, source: io::Error },
    /// Git failed; this is what it said.
    Failed { dir: PathBuf, said: String },
    /// Git did not end in time.
    TimedOut { dir: PathBuf },
    /// Git's answer is not one.
    Answer { dir: PathBuf, answer: String },
    /// The mutations were not taken.
    Sink {
        source: Box<dyn Error + Send + Sync>,
    },
}

impl Display for SyncError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Project { project } => {
                write!(f, "{project:?} is not the name of a project, host/name")
            }
            Self::Url { url, why } => write!(f, "{url:?} cannot be followed: {why}"),
            Self::Git { dir, .. } => write!(f, "cannot run git in {}", dir.display()),
            Self::Failed { dir, said } => write!(f, "git failed in {}: {said}", dir.display()),
            Self::TimedOut { dir } => write!(f, "git did not end in time in {}", dir.display()),
            Self::Answer { dir, answer } => {
                write!(f, "git answered {answer:?} in {}", dir.display())
            }
            Self::Sink { .. } => f.write_str("the mutations were not taken"),
        }
    }
}

impl Error for SyncError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Git { source, .. } => Some(source),
            Self::Sink { source } => Some(source.as_ref()),
            _ => None,
        }
    }
}
