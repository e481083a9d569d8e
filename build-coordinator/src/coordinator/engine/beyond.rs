//! Builds for which the queue has no room when they come.
//!
//! They wait in the store; here are their numbers. Whenever something ends, the oldest of them come in.

use std::time::Duration;

use tokio::time::Instant;

use super::engine::Engine;
use crate::model::{Build, BuildId, BuildState, Timestamp};
use crate::store::StoreError;

/// Numbers that are kept: some megabytes. Builds beyond them wait for the next start.
const MAX_BEYOND: usize = 1_000_000;
/// Builds that come in at once, between other things.
const AT_ONCE: usize = 64;
/// How long nothing is asked of a store that failed.
const PAUSE: Duration = Duration::from_secs(10);

impl Engine {
    /// Notes that a build of the store is too much for the queue.
    pub(super) fn put_beyond(&mut self, id: BuildId) {
        if self.beyond.is_empty() {
            tracing::warn!(
                limit = self.limit,
                "the queue is full; builds wait in the store until there is room"
            );
        }
        if self.beyond.len() < MAX_BEYOND {
            self.beyond.insert(id);
        } else {
            tracing::error!(build = %id, "too many builds wait; this one waits for the next start of the coordinator");
        }
    }

    pub(super) fn has_room_for_beyond(&self) -> bool {
        !self.beyond.is_empty() && self.builds.len() < self.limit
    }

    /// Lets some builds in that wait in the store alone.
    pub(super) async fn take_in(&mut self) {
        for _ in 0..AT_ONCE {
            if !self.has_room_for_beyond() {
                return;
            }
            let Some(id) = self.beyond.pop_first() else {
                return;
            };
            match self.waiting_build(id).await {
                Ok(Some((build, committed))) => self.add(build, committed).await,
                // It is done, or forgotten.
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(build = %id, %error, "a build cannot be taken into the queue");
                    self.beyond.insert(id);
                    self.look_beyond = Instant::now() + PAUSE;
                    return;
                }
            }
        }
    }

    async fn waiting_build(
        &self,
        id: BuildId,
    ) -> Result<Option<(Build, Option<Timestamp>)>, StoreError> {
        let store = &self.shared.store;
        let build = store.build(id).await?;
        let Some(build) = build.filter(|build| matches!(build.state, BuildState::Queued { .. }))
        else {
            return Ok(None);
        };
        let (repository, revision) = (&build.key.repository, &build.key.revision);
        let commit = store.commit(repository, revision).await?;
        Ok(Some((build, commit.map(|commit| commit.committed))))
    }
}

#[cfg(test)]
mod tests {
    use build_scheduler::Explanation;
    use tokio::sync::{mpsc, oneshot};
    use tokio_util::task::AbortOnDropHandle;

    use super::*;
    use crate::coordinator::engine::Order;
    use crate::coordinator::engine::fixture::{added, shared};
    use crate::coordinator::recovery::Left;

    async fn explain(orders: &mpsc::Sender<Order>, build: BuildId) -> Option<Explanation> {
        let (answer, answered) = oneshot::channel();
        let order = Order::Explain { build, answer };
        orders.send(order).await.ok().unwrap();
        answered.await.unwrap()
    }

    async fn cancel(orders: &mpsc::Sender<Order>, build: BuildId) {
        let (answer, answered) = oneshot::channel();
        let by = "test".to_owned();
        let order = Order::Cancel { build, by, answer };
        orders.send(order).await.ok().unwrap();
        answered.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn builds_that_were_too_many_come_in_when_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let (orders, orders_in) = mpsc::channel(8);
        let (_offers, offers_in) = mpsc::channel(8);
        let shared = shared(folder.path(), orders.clone()).await;
        let all = added(&shared.store, 6).await;
        let ids: Vec<BuildId> = all.iter().map(|(build, _)| build.id).collect();
        let engine = Engine::with_limit(shared.clone(), 2);
        let running = engine.run(Left::default(), orders_in, offers_in);
        let _running = AbortOnDropHandle::new(tokio::spawn(running));

        orders.send(Order::Added(all)).await.ok().unwrap();
        assert!(explain(&orders, ids[1]).await.is_some());
        assert!(explain(&orders, ids[2]).await.is_none());
        // One that waits outside can be cancelled too; it never comes in.
        cancel(&orders, ids[3]).await;
        for (ends, comes) in [(0, 2), (1, 4), (2, 5)] {
            assert!(explain(&orders, ids[comes]).await.is_none());
            cancel(&orders, ids[ends]).await;
            while explain(&orders, ids[comes]).await.is_none() {
                tokio::task::yield_now().await;
            }
        }
        assert!(explain(&orders, ids[3]).await.is_none());
    }
}
