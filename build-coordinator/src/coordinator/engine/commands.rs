//! What people ask for, and what newer builds do to older ones.

use build_scheduler::{Event, SupersedeKey};

use super::engine::Engine;
use crate::coordinator::{CommandError, work};
use crate::model::{BuildId, Cause, Change, Timestamp};
use crate::run::StopReason;
use crate::store::StoreError;

impl Engine {
    pub(super) async fn cancel(&mut self, id: BuildId, by: String) -> Result<(), CommandError> {
        let Some(entry) = self.builds.get(&id) else {
            return match self.shared.store.build(id).await? {
                None => Err(CommandError::NoBuild(id)),
                Some(build) if build.cause().is_some() => Err(CommandError::Done(id)),
                Some(_) => {
                    // It is too much for the queue.
                    self.close_checked(id, Cause::Cancelled, &by).await?;
                    self.beyond.remove(&id);
                    Ok(())
                }
            };
        };
        if entry.stop.is_some() {
            return self.end_running(id, Cause::Cancelled, &by).await;
        }
        self.close_checked(id, Cause::Cancelled, &by).await?;
        self.builds.remove(&id);
        self.handle(Event::WorkCancelled(work::id(id))).await;
        Ok(())
    }

    /// Asks for the end of a build that runs, or is about to.
    async fn end_running(
        &mut self,
        id: BuildId,
        cause: Cause,
        by: &str,
    ) -> Result<(), CommandError> {
        let Some(entry) = self.builds.get_mut(&id) else {
            return Err(CommandError::NoBuild(id));
        };
        if entry.cancel.is_some() {
            return Err(CommandError::Ending(id));
        }
        let change = Change::CancelRequested {
            cause,
            by: by.to_owned(),
        };
        match self.shared.store.record(id, Timestamp::now(), change).await {
            // Not begun yet, or ended this moment: its end tells.
            Ok(_) | Err(StoreError::Transition(_)) => {}
            Err(error) => return Err(error.into()),
        }
        entry.cancel = Some((cause, by.to_owned()));
        if let Some(stop) = &entry.stop {
            stop.request(if cause == Cause::Superseded {
                StopReason::Superseded
            } else {
                StopReason::Cancelled
            });
        }
        Ok(())
    }

    pub(super) async fn retry(&mut self, id: BuildId, by: String) -> Result<(), CommandError> {
        if self.builds.contains_key(&id) {
            return Err(CommandError::NotDone(id));
        }
        let Some(build) = self.shared.store.build(id).await? else {
            return Err(CommandError::NoBuild(id));
        };
        if build.cause().is_none() {
            return Err(CommandError::NotDone(id));
        }
        let commit = self
            .shared
            .store
            .commit(&build.key.repository, &build.key.revision)
            .await?;
        let recorded = self
            .shared
            .store
            .record(id, Timestamp::now(), Change::Retried { by })
            .await?;
        self.add(recorded.build, commit.map(|commit| commit.committed))
            .await;
        Ok(())
    }

    /// Ends running builds that a newer one replaces.
    pub(super) async fn supersede_running(
        &mut self,
        key: &SupersedeKey,
        by: BuildId,
        committed: Option<Timestamp>,
    ) {
        let older = self.builds.iter().filter(|(_, entry)| {
            entry.stop.is_some()
                && entry.cancel.is_none()
                && entry.key.as_ref() == Some(key)
                && entry.committed <= committed
        });
        let older: Vec<BuildId> = older.map(|(id, _)| *id).collect();
        for id in older {
            let ended = self
                .end_running(id, Cause::Superseded, &format!("build {by}"))
                .await;
            if let Err(error) = ended {
                tracing::warn!(build = %id, %error, "a build is not superseded");
            }
        }
    }

    /// Ends a build that waits. If that cannot be stored, the next start finds it waiting.
    pub(super) async fn close(&self, id: BuildId, cause: Cause, message: &str) {
        if let Err(error) = self.close_checked(id, cause, message).await {
            tracing::error!(build = %id, %error, "the end of a build is not noted");
        }
    }

    async fn close_checked(
        &self,
        id: BuildId,
        cause: Cause,
        message: &str,
    ) -> Result<(), CommandError> {
        let change = Change::Closed {
            cause,
            message: message.to_owned(),
        };
        self.shared
            .store
            .record(id, Timestamp::now(), change)
            .await?;
        Ok(())
    }
}
