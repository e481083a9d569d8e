use crate::git::GitError;
use crate::model::BuildId;
use crate::store::StoreError;

/// Why a coordinator did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum StartError {
    /// The folder for logs of running attempts cannot be made or read.
    #[error("cannot use the folder {path} for logs", path = path.display())]
    LiveLogs {
        path: std::path::PathBuf,
        source: std::io::Error,
    },
    /// What an earlier run left could not be put in order.
    #[error("cannot put in order what an earlier run left")]
    Store(#[from] StoreError),
}

/// Why a build was not cancelled or tried again, or a machine not put back into service.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// There is no such build.
    #[error("there is no build {0}")]
    NoBuild(BuildId),
    /// It has its result already.
    #[error("build {0} is done")]
    Done(BuildId),
    /// It waits or runs already.
    #[error("build {0} is not done yet")]
    NotDone(BuildId),
    /// Its end was asked for before.
    #[error("the end of build {0} was asked for already")]
    Ending(BuildId),
    /// There is no such machine here, and none of that name is drained.
    #[error("no machine {0:?} is here, and none of that name is drained")]
    NoMachine(String),
    /// The coordinator stops.
    #[error("the coordinator stops")]
    Stopping,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why no builds were added.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum EnqueueError {
    /// The configuration has no such repository, or one that is not built.
    #[error("there is no repository {0:?} that is built")]
    NoRepository(String),
    /// The configuration has no such builder, or one that has no steps.
    #[error("there is no builder {0:?} that has steps")]
    NoBuilder(String),
    /// No builder builds it.
    #[error("no builder builds {repository} {revision:?}")]
    NothingToBuild {
        repository: String,
        revision: String,
    },
    /// The repository has no such revision.
    #[error("there is no revision {revision:?} in {repository}")]
    NoRevision {
        repository: String,
        revision: String,
    },
    /// What the repository is built against is not known yet.
    #[error("nothing is known yet of {0}, which it is built against")]
    NoBase(String),
    /// The repository's address is none.
    #[error("the address of {repository} cannot be used")]
    Source {
        repository: String,
        source: crate::git::ParseSourceError,
    },
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The coordinator stops.
    #[error("the coordinator stops")]
    Stopping,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
