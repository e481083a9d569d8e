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
            Ok(_) => {}
            Err(StoreError::Transition(_)) => match self.shared.store.build(id).await? {
                Some(build) if build.cause().is_some() => return Err(CommandError::Done(id)),
                // Not begun yet, or an attempt ended this moment: `ended` sees that nothing follows.
                _ => {}
            },
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
        let Some(build) = self.shared.store.build(id).await? else {
            return Err(CommandError::NoBuild(id));
        };
        if build.cause().is_none() {
            return Err(CommandError::NotDone(id));
        }
        // Its end is stored, but what ran it is about to say so: no more than a file is removed until then.
        while self.builds.contains_key(&id) {
            match self.attempts.join_next_with_id().await {
                Some(ended) => self.ended(ended).await,
                None => return Err(CommandError::NotDone(id)),
            }
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

#[cfg(test)]
mod tests {
    use tokio::sync::{mpsc, oneshot};

    use super::*;
    use crate::coordinator::engine::engine::Entry;
    use crate::coordinator::engine::fixture::{added, shared};
    use crate::coordinator::task::Done;
    use crate::model::{AfterAttempt, Build, BuildState};
    use crate::run::Stop;

    /// An engine with one build, whose only attempt has ended in the store, while its task returns when told to.
    async fn returning(
        folder: &std::path::Path,
        cause: Cause,
        then: AfterAttempt,
    ) -> (Engine, Build, oneshot::Sender<()>) {
        let (orders, _) = mpsc::channel(8);
        let shared = shared(folder, orders).await;
        let (build, _) = added(&shared.store, 1).await.remove(0);
        let id = build.id;
        let mut engine = Engine::new(shared.clone());
        engine.builds.insert(
            id,
            Entry {
                build,
                committed: None,
                key: None,
                stop: Some(Stop::default()),
                cancel: None,
                taken_up: false,
            },
        );
        let started = Change::AttemptStarted {
            attempt: 1,
            machine: "m1".to_owned(),
            owner: shared.store.instance().to_owned(),
        };
        let ended = Change::AttemptEnded {
            attempt: 1,
            cause,
            message: String::new(),
            then,
        };
        let mut build = None;
        for change in [started, ended] {
            let recorded = shared.store.record(id, Timestamp::now(), change).await;
            build = Some(recorded.unwrap().build);
        }
        let build = build.unwrap();
        let (go, gone) = oneshot::channel();
        let done = Done::Ended(Box::new(build.clone()), None);
        let task = engine.attempts.spawn(async move {
            let _ = gone.await;
            (id, done)
        });
        engine.tasks.insert(task.id(), id);
        (engine, build, go)
    }

    #[tokio::test]
    async fn a_build_that_is_done_in_the_store_is_done_before_its_task_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let (mut engine, build, go) =
            returning(folder.path(), Cause::Failed, AfterAttempt::Done).await;
        let cancelled = engine.cancel(build.id, "alice".to_owned()).await;
        assert!(
            matches!(cancelled, Err(CommandError::Done(id)) if id == build.id),
            "{cancelled:?}"
        );
        go.send(()).unwrap();
        engine.retry(build.id, "alice".to_owned()).await.unwrap();
        let again = engine.shared.store.build(build.id).await.unwrap().unwrap();
        assert!(matches!(again.state, BuildState::Queued { .. }));
        assert!(engine.builds[&build.id].stop.is_none());
    }

    #[tokio::test]
    async fn a_build_that_is_cancelled_between_two_attempts_is_not_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let then = AfterAttempt::TryAgain {
            not_before: Timestamp::now(),
        };
        let (mut engine, build, go) = returning(folder.path(), Cause::LostBuildlet, then).await;
        engine.cancel(build.id, "alice".to_owned()).await.unwrap();
        go.send(()).unwrap();
        let ended = engine.attempts.join_next_with_id().await.unwrap();
        engine.ended(ended).await;
        let build = engine.shared.store.build(build.id).await.unwrap().unwrap();
        assert_eq!(build.cause(), Some(Cause::Cancelled));
        assert!(engine.builds.is_empty());
    }
}
