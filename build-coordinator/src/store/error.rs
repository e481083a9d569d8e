use std::io;
use std::path::PathBuf;

use crate::model::{AttemptId, BuildId, TransitionError};

/// Why something could not be read from a store, or written to it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum StoreError {
    /// There is no such build.
    #[error("there is no build {0}")]
    NoBuild(BuildId),
    /// The build's state does not allow the change; nothing was written.
    #[error(transparent)]
    Transition(#[from] TransitionError),
    /// A name is empty or longer than [`MAX_NAME`](crate::model::MAX_NAME); nothing was written.
    #[error("the {what} is empty, too long, or has a NUL")]
    Name { what: &'static str },
    /// What is to be stored is larger than this store keeps; nothing was written.
    #[error("the {what} has a size of {size}, and at most {limit} are kept")]
    TooLarge {
        what: &'static str,
        size: usize,
        limit: usize,
    },
    /// There is no such attempt.
    #[error("there is no attempt {0}")]
    NoAttempt(AttemptId),
    /// Another coordinator has taken the lease. Nothing can be written any more.
    #[error("another coordinator writes to this database now")]
    LeaseLost,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// What stands in the database is none of what this program writes there.
    #[error("the database has a wrong {what} in it: {value:?}")]
    Corrupt { what: &'static str, value: String },
    /// The database failed. If this happens at the end of a writing call, it may have been carried out or not.
    #[error("the database failed")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum OpenStoreError {
    /// Another process has it open.
    #[error("another coordinator uses {what}")]
    InUse { what: String },
    /// A file or folder could not be made or locked.
    #[error("cannot make or lock {path}", path = path.display())]
    File { path: PathBuf, source: io::Error },
    /// The URL is none that this program knows.
    #[error("no database can be opened by this address: {why}")]
    Url { why: String },
    /// The tables could not be made or brought up to date; a newer program may have written them.
    #[error("cannot bring the tables up to date")]
    Migrate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl StoreError {
    /// Whether it says that an order cannot be carried out, and not that something went wrong meanwhile.
    pub(crate) fn is_before_writing(&self) -> bool {
        matches!(
            self,
            Self::NoBuild(_)
                | Self::NoAttempt(_)
                | Self::Transition(_)
                | Self::Name { .. }
                | Self::TooLarge { .. }
        )
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(Box::new(error))
    }
}
