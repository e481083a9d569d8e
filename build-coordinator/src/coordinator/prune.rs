use std::sync::Arc;
use std::time::Duration;

use super::Coordinator;
use super::shared::Shared;
use crate::blobs::{BlobError, BlobName};
use crate::model::{BuildId, Timestamp};
use crate::store::{KeepLimits, Prunable, StoreError};

/// How often the coordinator looks for what may go, from an hour after its start on.
const INTERVAL: Duration = Duration::from_secs(60 * 60);
/// Builds that go in one transaction.
const BATCH: u32 = 100;
/// Builds that are counted at most when nothing is to be removed.
const COUNTED: u32 = 1_000_000;

/// What was removed, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// How many builds.
    pub builds: u64,
    /// Bytes of their logs and files, before compression.
    pub bytes: u64,
    /// When the last of them was done.
    pub newest: Option<Timestamp>,
}

/// Why what may go was not removed, or not all of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    /// The store failed.
    #[error("cannot remove old builds")]
    Store(#[from] StoreError),
    /// A log or a file could not be removed; its build stays until the next time.
    #[error("cannot remove what an old build left")]
    Blob(#[from] BlobError),
    /// The coordinator stops.
    #[error("the coordinator stops")]
    Stopping,
}

impl Coordinator {
    /// Removes the builds that are beyond the configuration's `[retention]`, with their logs and files, or says what that would be
    /// (`dry_run`; of at most a million builds). The coordinator does so by itself every hour.
    ///
    /// # Errors
    ///
    /// [`PruneError`]; what was removed by then is.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves builds whole, or without their logs, to be removed by the next call.
    pub async fn prune(&self, dry_run: bool) -> Result<Pruned, PruneError> {
        prune(&self.shared, dry_run).await
    }
}

/// Removes what may go, every hour, until nothing new is to begin.
pub(super) async fn prune_again(shared: Arc<Shared>) {
    loop {
        let pause = tokio::time::sleep(INTERVAL);
        if shared.closing.run_until_cancelled(pause).await.is_none() {
            return;
        }
        match prune(&shared, false).await {
            Ok(Pruned { builds: 0, .. }) => {}
            Ok(pruned) => tracing::info!(builds = pruned.builds, "old builds are removed"),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "old builds are not removed");
            }
        }
    }
}

async fn prune(shared: &Shared, dry_run: bool) -> Result<Pruned, PruneError> {
    // Only one at a time. The semaphore is never closed.
    let _turn = shared.pruning.acquire().await;
    let limits = limits(shared);
    let mut pruned = Pruned::default();
    if dry_run {
        for build in shared.store.prunable(&limits, COUNTED).await? {
            pruned.count(&build);
        }
        return Ok(pruned);
    }
    loop {
        let found = shared.store.prunable(&limits, BATCH).await?;
        if found.is_empty() {
            return Ok(pruned);
        }
        for build in &found {
            if shared.closing.is_cancelled() {
                return Err(PruneError::Stopping);
            }
            remove_blobs(shared, build.build).await?;
        }
        let ids = found.iter().map(|build| build.build).collect();
        if shared.store.forget_builds(ids).await? == 0 {
            // Somebody wants them again.
            return Ok(pruned);
        }
        found.iter().for_each(|build| pruned.count(build));
    }
}

fn limits(shared: &Shared) -> KeepLimits {
    let config = shared.config();
    let keep = config.retention();
    let some = |limit: u64| (limit > 0).then_some(limit);
    let age = i64::try_from(keep.age.as_micros()).unwrap_or(i64::MAX);
    let now = Timestamp::now().as_micros();
    KeepLimits {
        ended_before: Timestamp::from_micros(now.saturating_sub(age)),
        builds: some(u64::from(keep.builds)),
        bytes: some(keep.size.0),
    }
}

async fn remove_blobs(shared: &Shared, build: BuildId) -> Result<(), PruneError> {
    let Some(detail) = shared.store.detail(build).await? else {
        return Ok(());
    };
    for attempt in &detail.attempts {
        let names = (attempt.log.iter().map(|log| &log.blob))
            .chain(attempt.artifacts.iter().map(|kept| &kept.blob));
        for name in names {
            match name.parse::<BlobName>() {
                Ok(name) => shared.logs.remove(&name).await?,
                Err(error) => tracing::warn!(blob = name, %error, "is not removed"),
            }
        }
    }
    Ok(())
}

impl Pruned {
    fn count(&mut self, build: &Prunable) {
        self.builds += 1;
        self.bytes = self.bytes.saturating_add(build.bytes);
        self.newest = self.newest.max(Some(build.ended));
    }
}
