use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use buildlet_pool::{Lease, ReclaimError, ReclaimRequest, Verdict};
use buildlet_proto::types::ext::ResumeKey;

use super::shared::Shared;
use super::task::{Done, Task};
use crate::model::{self, AttemptId, Build, Cause, Change, Timestamp};
use crate::run::{Attempt, Ending, LiveLog, Plan, ResumePlan, StopReason};
use crate::store::StoreError;

/// An attempt of an earlier run, whose machine may come back with what it runs.
#[derive(Debug)]
pub(super) struct Returning {
    build: Build,
    stored: model::Attempt,
    key: ResumeKey,
}

/// An attempt and what belongs to it.
pub(super) struct Owned {
    pub(super) id: AttemptId,
    pub(super) attempt: Attempt,
    pub(super) log: LiveLog,
    /// With what it comes back to its commands.
    pub(super) key: Option<ResumeKey>,
    /// How long the build may take.
    pub(super) timeout: Duration,
    /// How many files it has stored.
    pub(super) stored: u32,
}

/// What came of waiting for a machine.
pub(super) enum Back {
    Here(Lease),
    /// It did not come, for this reason.
    Gone(String),
    /// The build is not wanted any more.
    Stopped(Cause, String),
    /// The coordinator stops; the next run waits on.
    Left,
}

impl Returning {
    /// A running attempt, if it can be taken up.
    pub(super) async fn find(
        shared: &Shared,
        build: &Build,
        attempt: AttemptId,
    ) -> Result<Option<Self>, StoreError> {
        if shared.return_limit().is_zero() || build.cancel.is_some() {
            return Ok(None);
        }
        let Some(key) = shared.store.resume_key(attempt).await? else {
            return Ok(None);
        };
        let detail = shared.store.detail(build.id).await?;
        let attempts = detail.map(|detail| detail.attempts).unwrap_or_default();
        let stored = attempts.into_iter().find(|known| known.id == attempt);
        // Without a step nothing was started; with a log that is stored nothing can be added to that.
        let stored = stored.filter(|stored| !stored.steps.is_empty() && stored.log.is_none());
        let Some(stored) = stored else {
            return Ok(None);
        };
        let returning = Self {
            build: build.clone(),
            stored,
            key,
        };
        Ok(returning.plan(shared).await.map(|_| returning))
    }

    pub(super) fn build(&self) -> &Build {
        &self.build
    }

    /// How to go on, if that is possible.
    async fn plan(&self, shared: &Shared) -> Option<(Plan, ResumePlan)> {
        let plan = Plan::new(&shared.config(), &self.build)?;
        let path = crate::run::journal_path(&shared.live_logs, self.stored.id);
        let logged = tokio::fs::metadata(&path).await.ok()?.len();
        let resume = Attempt::resume_plan(&plan, &self.stored, logged)?;
        Some((plan, resume))
    }
}

impl Task {
    /// Goes on with an attempt of an earlier run when its machine comes back.
    pub(super) async fn go_on(self, returning: Returning) -> Done {
        const LOST: &str = "the coordinator ended while it ran";
        let shared = &self.shared;
        let id = returning.stored.id;
        let begun = returning.stored.started;
        let (owned, plan) = match self.reopen(&returning).await {
            Ok(owned) => owned,
            Err(error) => {
                let retry = shared
                    .config()
                    .builder(&self.build.key.builder)
                    .map(|b| b.retry.clone());
                let ending = Ending::coordinator_lost(format!(
                    "{LOST}; its log cannot be gone on with: {error}"
                ));
                return self
                    .close(id, &retry.unwrap_or_default(), Some(ending), begun)
                    .await;
            }
        };
        let retry = plan.retry;
        shared
            .live
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .insert(id, owned.log.clone());
        let back = self
            .wait(
                id,
                &returning.key,
                owned.timeout,
                &returning.stored.machine,
                LOST,
            )
            .await;
        let (cause, message) = match back {
            Back::Here(lease) => {
                let ending = self.drive(owned, lease).await;
                return self.close(id, &retry, ending, begun).await;
            }
            Back::Left => return self.close(id, &retry, None, begun).await,
            Back::Stopped(cause, message) => (cause, message),
            Back::Gone(why) => (Cause::CoordinatorLost, format!("{LOST}, and {why}")),
        };
        let Owned {
            mut attempt, log, ..
        } = owned;
        let ending = attempt.give_up(cause, message).await;
        log.close();
        self.close(id, &retry, Some(ending), begun).await
    }

    async fn reopen(&self, returning: &Returning) -> io::Result<(Owned, Plan)> {
        let shared = &self.shared;
        let id = returning.stored.id;
        let (plan, resume) = returning
            .plan(shared)
            .await
            .ok_or_else(|| io::Error::other("its configuration or its log is another now"))?;
        let (dir, keep) = (shared.live_logs.clone(), resume.log_bytes());
        let opening = tokio::task::spawn_blocking(move || LiveLog::reopen(&dir, id, keep));
        let log = opening.await.map_err(io::Error::other).flatten()?;
        let attempt = resume.attempt(log.clone());
        let owned = Owned {
            id,
            attempt: attempt.resumable(returning.key.clone(), shared.grace()),
            log,
            key: Some(returning.key.clone()),
            timeout: plan.timeout,
            stored: u32::try_from(returning.stored.artifacts.len()).unwrap_or(u32::MAX),
        };
        Ok((owned, plan))
    }

    /// With what an attempt on this machine can come back to its commands; `None` if it cannot.
    pub(super) async fn new_key(&self, id: AttemptId, lease: &Lease) -> Option<ResumeKey> {
        let shared = &self.shared;
        if !lease.machine().keeps_commands || shared.return_limit().is_zero() {
            return None;
        }
        let mut bytes = [0; 24];
        if let Err(error) = getrandom::fill(&mut bytes) {
            tracing::error!(attempt = %id, %error, "no key for coming back to an attempt");
            return None;
        }
        let key = ResumeKey::from_bytes(bytes);
        match shared.store.keep_resume_key(id, key.clone()).await {
            Ok(()) => Some(key),
            Err(error) => {
                tracing::error!(attempt = %id, %error, "the key for coming back to an attempt is not stored");
                None
            }
        }
    }

    /// Waits for the machine of an attempt to come back with what it runs.
    pub(super) async fn wait(
        &self,
        id: AttemptId,
        key: &ResumeKey,
        timeout: Duration,
        machine: &str,
        why: &str,
    ) -> Back {
        let shared = &self.shared;
        let came_without = shared.await_machine(&self.build.host_type, machine);
        let limit = shared.return_limit();
        let now = Timestamp::now();
        let awaited = Change::MachineAwaited {
            attempt: id.number,
            until: now.after(limit),
            message: why.to_owned(),
        };
        // Before that is stored, as the machine may be quick.
        let mut coming = std::pin::pin!(async {
            let request = ReclaimRequest::new(key.name(), limit).options(self.options(timeout));
            reclaim(shared, &request).await
        });
        let mut noting = std::pin::pin!(shared.store.record(id.build, now, awaited));
        let mut early = None;
        let noted = tokio::select! {
            noted = &mut noting => noted,
            back = &mut coming => {
                early = Some(back);
                noting.await
            }
        };
        if let Err(error) = noted {
            tracing::error!(attempt = %id, %error, "that a machine is waited for is not noted");
        }
        let back = match early {
            Some(back) => back,
            None => tokio::select! {
                biased;
                reason = self.stop.requested() => return match reason {
                    StopReason::Stopping => Back::Left,
                    reason => {
                        let (cause, message) = reason.ending();
                        Back::Stopped(cause, message)
                    }
                },
                back = coming => back,
                () = came_without.cancelled() => {
                    return Back::Gone("the machine came back without what it ran".into());
                }
            },
        };
        let lease = match back {
            Ok(lease) => lease,
            Err(error) => return Back::Gone(error.to_string()),
        };
        let adopted = Change::AttemptAdopted {
            attempt: id.number,
            owner: shared.store.instance().to_owned(),
        };
        match shared
            .store
            .record(id.build, Timestamp::now(), adopted)
            .await
        {
            Ok(_) => {
                tracing::info!(build = %id.build, attempt = id.number, machine = %lease.machine().host_name, "goes on");
                Back::Here(lease)
            }
            Err(error) => {
                // Nobody else comes back to it, so what it runs is killed.
                lease.release(Verdict::Unknown);
                Back::Gone(format!("its return is not noted: {error}"))
            }
        }
    }
}

/// Waits for a machine in all pools.
async fn reclaim(shared: &Shared, request: &ReclaimRequest) -> Result<Lease, ReclaimError> {
    type Claim<'a> = Pin<Box<dyn Future<Output = Result<Lease, ReclaimError>> + Send + 'a>>;
    let pools = shared.pools.iter();
    let mut claims: Vec<Claim<'_>> = pools.map(|pool| pool.reclaim(request.clone())).collect();
    let mut error = ReclaimError::NotHere;
    poll_fn(|cx| {
        let mut at = 0;
        while at < claims.len() {
            match claims[at].as_mut().poll(cx) {
                Poll::Pending => at += 1,
                Poll::Ready(Ok(lease)) => return Poll::Ready(Ok(lease)),
                Poll::Ready(Err(failed)) => {
                    drop(claims.swap_remove(at));
                    if failed != ReclaimError::NotHere {
                        error = failed;
                    }
                }
            }
        }
        if claims.is_empty() {
            Poll::Ready(Err(error.clone()))
        } else {
            Poll::Pending
        }
    })
    .await
}
