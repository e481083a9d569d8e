use std::sync::atomic::AtomicU32;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use buildlet_pool::{Lease, LeaseOptions, Machine, Verdict};
use dashboard_config::Retry;
use tokio::time::timeout;

use super::returning::{Back, Owned};
use super::shared::Shared;
use super::stage::RealStage;
use crate::model::{AfterAttempt, AttemptId, Build, BuildId, Cause, Change, StoredLog, Timestamp};
use crate::notify;
use crate::run::{Attempt, Ending, Leg, LiveLog, Plan, Stop, after_attempt};
use crate::store::StoreError;

/// How long taking an offered machine may take: it needs nobody else.
const LEASE_LIMIT: Duration = Duration::from_secs(10);
/// How long a build may wait for its first connection before it begins, and waits there.
const CONNECT_AHEAD: Duration = Duration::from_secs(1);
/// What a lease lasts beyond the build's own limit: for source and artifacts.
const LEASE_MARGIN: Duration = Duration::from_secs(60 * 60);

/// What came of a build that was given a machine.
#[derive(Debug)]
pub(super) enum Done {
    /// The machine was not to be had, and nothing has changed.
    NotStarted,
    /// The build as it is afterwards; and how long it took, if that says something about the builder.
    Ended(Box<Build>, Option<Duration>),
    /// It is not known here any more what the build is: the store failed, or has another opinion.
    Unknown,
    /// It goes on without this run of the coordinator, and the next takes it up.
    Left,
}

/// A build that is to run on a machine.
pub(super) struct Task {
    pub(super) shared: Arc<Shared>,
    pub(super) build: Build,
    pub(super) stop: Stop,
}

impl Task {
    /// Runs it on a machine that is on offer.
    pub(super) async fn run(self, pool: usize, machine: Arc<Machine>) -> Done {
        let shared = &self.shared;
        let Some(plan) = Plan::new(&shared.config(), &self.build) else {
            let message = "its builder is not configured any more, or has no steps".to_owned();
            let closed = Change::Closed {
                cause: Cause::SetupError,
                message,
            };
            return match shared
                .store
                .record(self.build.id, Timestamp::now(), closed)
                .await
            {
                Ok(recorded) => Done::Ended(Box::new(recorded.build), None),
                Err(_) => Done::Unknown,
            };
        };
        let options = self.options(plan.timeout);
        let taking = shared.pools[pool].lease(machine.id, options);
        let lease = match timeout(LEASE_LIMIT, taking).await {
            Ok(Ok(lease)) => lease,
            Ok(Err(error)) => {
                tracing::debug!(machine = %machine.host_name, %error, "an offered machine was not to be had");
                return Done::NotStarted;
            }
            Err(_) => return Done::NotStarted,
        };
        let id = self.build.id.attempt(self.build.attempts + 1);
        let started = Change::AttemptStarted {
            attempt: id.number,
            machine: machine.host_name.to_string(),
            owner: shared.store.instance().to_owned(),
        };
        let begun = Timestamp::now();
        let (recorded, _) = tokio::join!(
            shared.store.record(id.build, begun, started),
            // It is asked again in the attempt, where an error counts; but connecting takes as long as the disk does.
            timeout(CONNECT_AHEAD, lease.client().work_dir()),
        );
        match recorded {
            Ok(_) => {}
            Err(StoreError::Transition(error)) => {
                tracing::error!(build = %id.build, %error, "a build is not what it is thought to be");
                lease.release(Verdict::Healthy);
                return Done::Unknown;
            }
            Err(error) => {
                tracing::error!(build = %id.build, %error, "an attempt cannot be noted, and does not begin");
                lease.release(Verdict::Healthy);
                // The machine is on offer again at once, and the store is not back so soon.
                tokio::time::sleep(Duration::from_secs(1)).await;
                return Done::NotStarted;
            }
        }
        tracing::info!(build = %id.build, attempt = id.number, machine = %machine.host_name, "begins");
        let retry = plan.retry.clone();
        let ending = self.begin(id, plan, lease).await;
        self.close(id, &retry, ending, begun).await
    }

    pub(super) fn options(&self, timeout: Duration) -> LeaseOptions {
        LeaseOptions::default()
            .time(timeout + LEASE_MARGIN)
            .holder(format!("build {}", self.build.id))
    }

    async fn begin(&self, id: AttemptId, plan: Plan, lease: Lease) -> Option<Ending> {
        let shared = &self.shared;
        let dir = shared.live_logs.clone();
        let made = tokio::task::spawn_blocking(move || LiveLog::create(&dir, id)).await;
        let log = match made.map_err(std::io::Error::other).flatten() {
            Ok(log) => log,
            Err(error) => {
                lease.release(Verdict::Healthy);
                return Some(Ending::coordinator_lost(format!(
                    "cannot make a file for the log: {error}"
                )));
            }
        };
        let timeout = plan.timeout;
        let mut attempt = Attempt::new(id, plan, log.clone());
        let key = self.new_key(id, &lease).await;
        if let Some(key) = &key {
            attempt = attempt.resumable(key.clone(), shared.grace());
        }
        let owned = Owned {
            id,
            attempt,
            log,
            key,
            timeout,
            stored: 0,
        };
        self.drive(owned, lease).await
    }

    /// Runs an attempt to its end, over all stays of its machine; `None` if it goes on without this run.
    pub(super) async fn drive(&self, owned: Owned, lease: Lease) -> Option<Ending> {
        let shared = &self.shared;
        let Owned {
            id,
            attempt,
            log,
            key,
            timeout,
            stored,
        } = owned;
        shared
            .live
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, log.clone());
        let stage = RealStage {
            shared: shared.clone(),
            build: id.build,
            kept: AtomicU32::new(stored),
        };
        let mut attempt = attempt.output_limit(shared.limit);
        let mut lease = lease;
        let ending = loop {
            let lost = match attempt.proceed(&lease, &stage, &self.stop).await {
                Leg::Ended(ending) => {
                    // The machine has done its part, whatever is still to be written here.
                    lease.release(ending.verdict.clone());
                    break Some(ending);
                }
                Leg::Left => {
                    lease.release(Verdict::Unfinished);
                    break None;
                }
                Leg::Lost(lost) => lost,
            };
            let machine = lease.machine().host_name.clone();
            lease.release(Verdict::Unknown);
            // Only one with a key stops in between.
            let Some(key) = &key else {
                break Some(attempt.give_up(Cause::LostBuildlet, lost.to_string()).await);
            };
            match self
                .wait(id, key, timeout, &machine, &lost.to_string())
                .await
            {
                Back::Here(back) => lease = back,
                Back::Left => break None,
                Back::Stopped(cause, message) => {
                    break Some(attempt.give_up(cause, message).await);
                }
                Back::Gone(why) => {
                    let message = format!("{lost}; {why}");
                    break Some(attempt.give_up(Cause::LostBuildlet, message).await);
                }
            }
        };
        log.close();
        ending
    }

    /// Notes how an attempt that began then has ended, unless it has not.
    pub(super) async fn close(
        &self,
        id: AttemptId,
        retry: &Retry,
        ending: Option<Ending>,
        begun: Timestamp,
    ) -> Done {
        let took = Timestamp::now().since(begun);
        match ending {
            Some(ending) => self.end(id, retry, ending, took).await,
            None => {
                let shared = &self.shared;
                tracing::info!(build = %id.build, attempt = id.number, "goes on without this coordinator");
                let mut live = shared.live.lock().unwrap_or_else(PoisonError::into_inner);
                live.remove(&id);
                Done::Left
            }
        }
    }

    /// Notes how an attempt ended.
    async fn end(&self, id: AttemptId, retry: &Retry, ending: Ending, took: Duration) -> Done {
        let shared = &self.shared;
        let dropped = shared.live(id).map_or(0, |log| log.dropped());
        let log = match shared.store_log(id, dropped).await {
            Ok(log) => log,
            Err(error) => {
                // The next start tries again, from the file.
                tracing::error!(attempt = %id, %error, "a log cannot be stored");
                None
            }
        };
        let has_log = log.is_some();
        let then = next(shared, id.build, retry, ending.cause).await;
        let (cause, message) = (ending.cause, ending.message);
        // Together, so that one transaction does for both.
        let (spans, build) = tokio::join!(
            shared.store.record_spans(id, ending.spans),
            self.note(id, log, cause, message.clone(), then),
        );
        if let Err(error) = spans {
            tracing::warn!(attempt = %id, %error, "the timeline of an attempt cannot be stored");
        }
        let Some(build) = build else {
            return Done::Unknown;
        };
        tracing::info!(build = %id.build, attempt = id.number, %cause, message, "ends");
        shared.messages.notify_one();
        if has_log {
            shared.remove_live_log(id).await;
        } else {
            shared
                .live
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&id);
        }
        Done::Ended(Box::new(build), cause.is_verdict().then_some(took))
    }
}

impl Task {
    /// Notes an attempt's end, as soon as the store takes it; `None` if it will not in this run.
    async fn note(
        &self,
        id: AttemptId,
        log: Option<StoredLog>,
        cause: Cause,
        message: String,
        then: AfterAttempt,
    ) -> Option<Build> {
        let shared = &self.shared;
        let mut failures = 0;
        loop {
            let noting = note_end(
                shared,
                &self.build,
                id,
                log.clone(),
                cause,
                message.clone(),
                then,
            );
            let error = match noting.await {
                Ok(build) => return Some(build),
                Err(error) => error,
            };
            tracing::error!(attempt = %id, %error, "the end of an attempt is not noted");
            if !shared.wait_for_store(&error, &mut failures).await {
                return None;
            }
        }
    }
}

/// Stores the end of an attempt at a build, its log, and what is told of it, in one transaction.
pub(super) async fn note_end(
    shared: &Shared,
    build: &Build,
    id: AttemptId,
    log: Option<StoredLog>,
    cause: Cause,
    message: String,
    then: AfterAttempt,
) -> Result<Build, StoreError> {
    let now = Timestamp::now();
    let mut changes = Vec::new();
    if let Some(log) = log {
        changes.push((
            id.build,
            Change::LogStored {
                attempt: id.number,
                log,
            },
        ));
    }
    let ended = Change::AttemptEnded {
        attempt: id.number,
        cause,
        message: message.clone(),
        then,
    };
    changes.push((id.build, ended));
    let deliveries = match then {
        AfterAttempt::Done => {
            let config = shared.config();
            notify::deliveries(&shared.store, &config, build, cause, &message).await?
        }
        _ => Vec::new(),
    };
    let recorded = shared
        .store
        .record_and_tell(now, changes, deliveries)
        .await?;
    let last = recorded.into_iter().next_back();
    last.map(|recorded| recorded.build)
        .ok_or(StoreError::NoBuild(id.build))
}

/// What becomes of a build whose attempt ends with `cause`.
pub(super) async fn next(
    shared: &Shared,
    build: BuildId,
    retry: &Retry,
    cause: Cause,
) -> AfterAttempt {
    if !cause.is_infrastructure() {
        return AfterAttempt::Done;
    }
    let now = Timestamp::now();
    let before = async {
        let asked = shared.store.events(build).await?.into_iter().rev();
        let asked = asked
            .filter(|event| matches!(event.change, Change::Retried { .. }))
            .map(|event| event.at)
            .next();
        let attempts = shared
            .store
            .detail(build)
            .await?
            .map(|detail| detail.attempts)
            .unwrap_or_default();
        let since =
            |attempt: &crate::model::Attempt| asked.is_none_or(|asked| attempt.started >= asked);
        Ok::<_, StoreError>(attempts.into_iter().filter(since).collect::<Vec<_>>())
    };
    match before.await {
        Ok(before) => after_attempt(retry, &before, cause, now),
        // Better once too often than never; the store is asked again next time.
        Err(_) => AfterAttempt::TryAgain {
            not_before: now.after(retry.delay),
        },
    }
}
