use super::shared::{Shared, remove};
use super::task::{next, note_end};
use crate::model::{AttemptId, Build, Cause, Timestamp};
use crate::store::StoreError;

/// Ends the attempts that earlier runs of a coordinator left, and gives all builds that wait then, oldest first, with
/// when their commits were made.
pub(super) async fn recover(
    shared: &Shared,
) -> Result<Vec<(Build, Option<Timestamp>)>, StoreError> {
    let mut waiting = Vec::new();
    for build in shared.store.unfinished().await? {
        let build = match build.running_attempt() {
            None => build,
            Some(attempt) => close(shared, &build, attempt).await?,
        };
        if build.cause().is_none() {
            let commit = shared
                .store
                .commit(&build.key.repository, &build.key.revision)
                .await?;
            waiting.push((build, commit.map(|commit| commit.committed)));
        }
    }
    tidy(shared).await;
    Ok(waiting)
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
    note_end(shared, attempt, log, cause, message, then).await
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
                .map(|known| known.log.is_some()),
            Ok(None) => None,
            Err(_) => return,
        };
        let done = match stored {
            Some(false) => keep(shared, attempt).await,
            Some(true) | None => true,
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
