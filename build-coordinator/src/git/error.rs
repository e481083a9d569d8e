use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::Revision;

/// Why git could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum GitError {
    /// The program could not be started.
    #[error("cannot start {program}", program = program.display())]
    Start { program: PathBuf, source: io::Error },
    /// It said no. `said` is the end of what it printed, without credentials; made by others.
    #[error("`git {command}` failed: {said}")]
    Failed { command: &'static str, said: String },
    /// It took too long, and was killed.
    #[error("`git {command}` took longer than {limit:?}")]
    TimedOut {
        command: &'static str,
        limit: Duration,
    },
    /// There is more of it than may be.
    #[error("the {what} has more than {limit} bytes")]
    TooLarge { what: &'static str, limit: u64 },
    /// The repository has no such commit.
    #[error("there is no commit {0}")]
    NoCommit(Revision),
    /// What it printed cannot be understood.
    #[error("`git {command}` printed something unexpected")]
    Output { command: &'static str },
    /// A file of the cache could not be read or written.
    #[error("cannot use {path}", path = path.display())]
    File { path: PathBuf, source: io::Error },
    /// Talking to the program failed.
    #[error("cannot talk to `git {command}`")]
    Pipe {
        command: &'static str,
        source: io::Error,
    },
}
