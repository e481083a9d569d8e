use std::error::Error;
use std::io;

use async_trait::async_trait;
use buildlet_proto::client::Archive;
use tokio::io::AsyncRead;

use crate::model::{AttemptId, Build, Change};

/// Where an attempt gets its source, and where what it makes goes: the seam between it and a coordinator.
///
/// A dropped call either has no effect or is carried out.
#[async_trait]
pub trait Stage: Send + Sync {
    /// The source of a build's revision, as `.tar.gz`, which every buildlet takes.
    async fn source(&self, build: &Build) -> Result<Archive, StageError>;

    /// Stores what happened to the attempt's build.
    async fn record(&self, change: Change) -> Result<(), StageError>;

    /// Stores what happened to the attempt's build before anything that is recorded later, and does not wait for it: that it could not
    /// be stored shows in what comes later.
    async fn note(&self, change: Change) -> Result<(), StageError> {
        self.record(change).await
    }

    /// Stores a file that the attempt left, to its end.
    async fn keep(
        &self,
        attempt: AttemptId,
        name: &str,
        content: Box<dyn AsyncRead + Send + Unpin>,
    ) -> Result<Kept, KeepError>;
}

/// Why the coordinator could not do its part.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct StageError {
    what: String,
    source: Box<dyn Error + Send + Sync>,
}

/// Why a file could not be kept.
pub type KeepError = io::Error;

/// A file that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stages make it")]
pub struct Kept {
    /// Its name in the blob store.
    pub blob: String,
    /// Its size.
    pub bytes: u64,
}

impl StageError {
    /// `what` could not be done, because of `source`.
    pub fn new(what: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            what: what.into(),
            source: source.into(),
        }
    }
}
