use super::returning::Returning;
use super::shared::{Shared, remove};
use super::task::{next, note_end};
use crate::model::{AttemptId, Build, Cause, Timestamp};
use crate::store::StoreError;

/// What earlier runs of a coordinator left, with when the commits were made.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Builds that wait, oldest first.
    pub(super) waiting: Vec<(Build, Option<Timestamp>)>,
    /// Builds whose machine may come back with what it runs.
    pub(super) returning: Vec<(Returning, Option<Timestamp>)>,
}

/// Ends the attempts that earlier runs of a coordinator left, except those whose machine may come back with them.
pub(super) async fn recover(shared: &Shared) -> Result<Left, StoreError> {
    let mut left = Left::default();
    shared.drained.load(&shared.store).await?;
    for build in shared.store.unfinished().await? {
        let (build, returning) = match build.running_attempt() {
            None => (build, None),
            Some(attempt) => match Returning::find(shared, &build, attempt).await? {
                Some(returning) => (build, Some(returning)),
                None => (close(shared, &build, attempt).await?, None),
            },
        };
        if build.cause().is_some() {
            continue;
        }
        let commit = shared
            .store
            .commit(&build.key.repository, &build.key.revision)
            .await?;
        let committed = commit.map(|commit| commit.committed);
        match returning {
            Some(returning) => left.returning.push((returning, committed)),
            None => left.waiting.push((build, committed)),
        }
    }
    tidy(shared).await;
    Ok(left)
}

/// Ends an attempt of an earlier run, with what there is of its log.
async fn close(shared: &Shared, build: &Build, attempt: AttemptId) -> Result<Build, StoreError> {
    let config = shared.config();
    let retry = config
        .builder(&build.key.builder)
        .map(|builder| builder.retry.clone())
        .unwrap_or_default();
    let detail = shared.store.detail(build.id).await?;
    let has_log = detail.is_some_and(|detail| {
        let mut attempts = detail.attempts.iter();
        attempts.any(|known| known.id == attempt && known.log.is_some())
    });
    let log = if has_log {
        None
    } else {
        shared.store_log(attempt, 0).await.unwrap_or_else(|error| {
            tracing::error!(%attempt, %error, "what there is of a log cannot be stored");
            None
        })
    };
    let cause = Cause::CoordinatorLost;
    let then = next(shared, build.id, &retry, cause).await;
    tracing::warn!(build = %build.id, attempt = attempt.number, "an earlier run of the coordinator ended during this attempt");
    let message = "the coordinator ended while it ran".to_owned();
    note_end(shared, build, attempt, log, cause, message, then).await
}

/// Removes the files of logs that nobody writes any more.
async fn tidy(shared: &Shared) {
    let Ok(mut entries) = tokio::fs::read_dir(&shared.live_logs).await else {
        return;
    };
    while let Ok(Some(entry)) = entries.next_entry().await {
        let name = entry.file_name();
        let attempt = name
            .to_str()
            .and_then(|name| name.strip_suffix(".log")?.parse::<AttemptId>().ok());
        let Some(attempt) = attempt else { continue };
        // A log that could not be stored when its attempt ended gets another chance.
        let stored = match shared.store.detail(attempt.build).await {
            Ok(Some(detail)) => detail
                .attempts
                .iter()
                .find(|known| known.id == attempt)
                .map(|known| (known.log.is_some(), known.is_running())),
            Ok(None) => None,
            Err(_) => return,
        };
        let done = match stored {
            // It is gone on with.
            Some((_, true)) => false,
            Some((false, false)) => keep(shared, attempt).await,
            Some((true, false)) | None => true,
        };
        if done {
            remove(&entry.path()).await;
        }
    }
}

async fn keep(shared: &Shared, attempt: AttemptId) -> bool {
    let Ok(Some(log)) = shared.store_log(attempt, 0).await else {
        return false;
    };
    let change = crate::model::Change::LogStored {
        attempt: attempt.number,
        log,
    };
    shared
        .store
        .record(attempt.build, Timestamp::now(), change)
        .await
        .is_ok()
}
