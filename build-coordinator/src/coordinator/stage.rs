use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use buildlet_proto::client::{Archive, Content};
use tokio::io::AsyncRead;

use super::shared::Shared;
use crate::blobs::BlobName;
use crate::model::{AttemptId, Build, BuildId, Change, Timestamp};
use crate::run::{KeepError, Kept, Stage, StageError};

/// What an attempt of this coordinator has around it.
pub(super) struct RealStage {
    pub(super) shared: Arc<Shared>,
    pub(super) build: BuildId,
    /// How many files were kept.
    pub(super) kept: AtomicU32,
}

#[async_trait]
impl Stage for RealStage {
    async fn source(&self, build: &Build) -> Result<Archive, StageError> {
        let failed =
            |error: super::EnqueueError| StageError::new("the repository cannot be used", error);
        let repository = self
            .shared
            .repository(&build.key.repository)
            .await
            .map_err(failed)?;
        let archive = repository.archive(&build.key.revision).await;
        let archive =
            archive.map_err(|error| StageError::new("git cannot archive the revision", error))?;
        Ok(Archive::tar_gz(Content::from_sized_reader(
            archive.file,
            archive.bytes,
        )))
    }

    async fn record(&self, change: Change) -> Result<(), StageError> {
        let recorded = self
            .shared
            .store
            .record(self.build, Timestamp::now(), change)
            .await;
        recorded
            .map(drop)
            .map_err(|error| StageError::new("the store failed", error))
    }

    async fn note(&self, change: Change) -> Result<(), StageError> {
        let noted = self
            .shared
            .store
            .record_soon(self.build, Timestamp::now(), change)
            .await;
        noted.map_err(|error| StageError::new("the store failed", error))
    }

    async fn keep(
        &self,
        attempt: AttemptId,
        _name: &str,
        content: Box<dyn AsyncRead + Send + Unpin>,
    ) -> Result<Kept, KeepError> {
        let number = self.kept.fetch_add(1, Ordering::Relaxed);
        let blob = BlobName::artifact(attempt, number);
        let mut content = content;
        let stored = self
            .shared
            .logs
            .blobs()
            .put(&blob, &mut *content, u64::MAX)
            .await;
        let bytes = stored.map_err(io::Error::other)?;
        Ok(Kept {
            blob: blob.as_str().to_owned(),
            bytes,
        })
    }
}
