//! How attempts end, those of earlier runs too.

use std::time::Duration;

use build_scheduler::Event;

use super::engine::{Engine, Entry};
use crate::coordinator::returning::Returning;
use crate::coordinator::task::{self, Done, Task};
use crate::coordinator::work;
use crate::model::{BuildId, BuildState, Cause, Timestamp};
use crate::run::Stop;

impl Engine {
    /// Goes on with an attempt of an earlier run.
    pub(super) fn take_up(&mut self, returning: Returning, committed: Option<Timestamp>) {
        let build = returning.build().clone();
        let (id, stop) = (build.id, Stop::default());
        let config = self.shared.config();
        let builder = work::builder(&config, &build);
        let entry = Entry {
            key: builder.and_then(|builder| work::key(builder, &build)),
            build: build.clone(),
            committed,
            stop: Some(stop.clone()),
            cancel: None,
            taken_up: true,
        };
        self.builds.insert(id, entry);
        let task = Task {
            shared: self.shared.clone(),
            build,
            stop,
        };
        let going_on = async move { (id, task.go_on(returning).await) };
        let handle = self.attempts.spawn(going_on);
        self.tasks.insert(handle.id(), id);
    }

    pub(super) async fn ended(
        &mut self,
        ended: Result<(tokio::task::Id, (BuildId, Done)), tokio::task::JoinError>,
    ) {
        let (id, done) = match ended {
            Ok((number, ended)) => {
                self.tasks.remove(&number);
                ended
            }
            Err(error) => {
                let Some(id) = self.tasks.remove(&error.id()) else {
                    return;
                };
                tracing::error!(build = %id, %error, "an attempt panicked");
                (id, Done::Unknown)
            }
        };
        let Some(mut entry) = self.builds.remove(&id) else {
            return;
        };
        entry.stop = None;
        if entry.taken_up {
            self.apply_config(&self.shared.config()).await;
        }
        let taken_up = entry.taken_up;
        match done {
            Done::NotStarted => match entry.cancel.take() {
                Some((cause, by)) => {
                    self.handle(Event::WorkFinished {
                        work: work::id(id),
                        took: None,
                    })
                    .await;
                    self.close(id, cause, &by).await;
                }
                None => {
                    self.builds.insert(id, entry);
                    self.handle(Event::AssignmentFailed(work::id(id))).await;
                }
            },
            Done::Left => self.finished(id, taken_up, None).await,
            Done::Ended(build, took) => {
                self.finished(id, taken_up, took).await;
                match entry.cancel {
                    _ if build.cause().is_some() => {}
                    // Asked for when the attempt had ended already.
                    Some((cause, by)) => self.close(id, cause, &by).await,
                    None => self.add(*build, entry.committed).await,
                }
            }
            Done::Unknown => {
                self.finished(id, taken_up, None).await;
                self.look_up(id, entry.committed).await;
            }
        }
    }

    /// Tells the scheduler that a build runs no more, if it knows of it.
    async fn finished(&mut self, id: BuildId, taken_up: bool, took: Option<Duration>) {
        if !taken_up {
            let work = work::id(id);
            self.handle(Event::WorkFinished { work, took }).await;
        }
    }

    /// Goes by what the store says of a build whose task did not say what came of it.
    async fn look_up(&mut self, id: BuildId, committed: Option<Timestamp>) {
        match self.shared.store.build(id).await {
            Ok(Some(build)) if matches!(build.state, BuildState::Queued { .. }) => {
                self.add(build, committed).await;
            }
            Ok(Some(build)) => {
                let Some(attempt) = build.running_attempt() else {
                    return;
                };
                let retry = self
                    .shared
                    .config()
                    .builder(&build.key.builder)
                    .map(|b| b.retry.clone())
                    .unwrap_or_default();
                let cause = Cause::CoordinatorLost;
                let then = task::next(&self.shared, id, &retry, cause).await;
                let message = "the coordinator failed at it".to_owned();
                let noting =
                    task::note_end(&self.shared, &build, attempt, None, cause, message, then);
                match noting.await {
                    Ok(build) if build.cause().is_none() => self.add(build, committed).await,
                    Ok(_) => {}
                    Err(error) => {
                        tracing::error!(build = %id, %error, "the end of an attempt is not noted");
                    }
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(build = %id, %error, "it is not known what became of a build");
            }
        }
    }
}
