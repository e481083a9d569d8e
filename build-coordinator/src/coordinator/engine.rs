use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use build_scheduler::{
    Decision, Event, EventError, Explanation, HostSummary, HostType, QuotaName, Scheduler,
    SupersedeKey, WorkId,
};
use buildlet_pool::OfferEvent;
use dashboard_config::{Config, Supersede};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::machines::Machines;
use super::recovery::Left;
use super::returning::Returning;
use super::shared::Shared;
use super::task::{Done, Task};
use super::{CommandError, work};
use crate::model::{Build, BuildId, BuildState, Cause, Change, Timestamp};
use crate::run::{Stop, StopReason};
use crate::store::StoreError;

/// What the engine is asked to do.
pub(super) enum Order {
    /// Builds are in the store that wait, made at these times.
    Added(Vec<(Build, Option<Timestamp>)>),
    Cancel {
        build: BuildId,
        by: String,
        answer: oneshot::Sender<Result<(), CommandError>>,
    },
    Retry {
        build: BuildId,
        by: String,
        answer: oneshot::Sender<Result<(), CommandError>>,
    },
    Explain {
        build: BuildId,
        answer: oneshot::Sender<Option<Explanation>>,
    },
    Queue {
        limit: usize,
        answer: oneshot::Sender<Vec<(BuildId, Explanation)>>,
    },
    Hosts {
        answer: oneshot::Sender<Vec<HostSummary>>,
    },
    Reload {
        config: Arc<Config>,
    },
}

/// What happened to a pool's machine.
pub(super) type Offer = (usize, OfferEvent);

/// The one task that decides what runs where.
pub(super) struct Engine {
    shared: Arc<Shared>,
    scheduler: Scheduler,
    machines: Machines,
    /// Builds that wait or run. The store has them too; here is what deciding needs.
    builds: HashMap<BuildId, Entry>,
    attempts: JoinSet<(BuildId, Done)>,
    /// Builds by the task that runs them, for those that panic.
    tasks: HashMap<tokio::task::Id, BuildId>,
    /// Limits of builders that were set, to lift those that are no more.
    limited: Vec<String>,
}

struct Entry {
    build: Build,
    committed: Option<Timestamp>,
    key: Option<SupersedeKey>,
    /// While it runs: what ends it.
    stop: Option<Stop>,
    /// Its end was asked for: as what, and by whom.
    cancel: Option<(Cause, String)>,
    /// An earlier run began it, and the scheduler does not know of it.
    taken_up: bool,
}

impl Engine {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let scheduler =
            Scheduler::new(build_scheduler::Config::default()).expect("the default is sound");
        Self {
            shared,
            scheduler,
            machines: Machines::default(),
            builds: HashMap::new(),
            attempts: JoinSet::new(),
            tasks: HashMap::new(),
            limited: Vec::new(),
        }
    }

    /// Runs until nothing new is to begin and everything that ran has ended.
    pub(super) async fn run(
        mut self,
        left: Left,
        mut orders: mpsc::Receiver<Order>,
        mut offers: mpsc::Receiver<Offer>,
    ) {
        let Left { waiting, returning } = left;
        for (returning, committed) in returning {
            self.take_up(returning, committed);
        }
        self.apply_config(&self.shared.config()).await;
        self.learn(&waiting).await;
        for (build, committed) in waiting {
            self.add(build, committed).await;
        }
        let shared = self.shared.clone();
        let mut closing = false;
        let mut stopped = false;
        loop {
            if closing && self.attempts.is_empty() {
                return;
            }
            let due = self.next_timeout();
            tokio::select! {
                () = shared.stopped.cancelled(), if !stopped => {
                    stopped = true;
                    for entry in self.builds.values() {
                        if let Some(stop) = &entry.stop {
                            stop.request(StopReason::Stopping);
                        }
                    }
                }
                () = shared.closing.cancelled(), if !closing => {
                    closing = true;
                    // Without machines nothing is assigned.
                    for machine in self.machines.numbers() {
                        self.handle(Event::MachineLost(machine)).await;
                    }
                }
                Some(ended) = self.attempts.join_next_with_id(), if !self.attempts.is_empty() => self.ended(ended).await,
                Some(order) = orders.recv() => self.order(order).await,
                Some(offer) = offers.recv(), if !closing => self.offer(offer).await,
                () = sleep_until(due) => self.handle(Event::TimePassed).await,
            }
        }
    }

    fn next_timeout(&self) -> Instant {
        // Looking up now and then costs nothing, and clocks that are set do no harm.
        const LONGEST: Duration = Duration::from_secs(60);
        let now = work::time(Timestamp::now());
        let wait = self
            .scheduler
            .next_timeout()
            .map_or(LONGEST, |due| due.since(now));
        Instant::now() + wait.min(LONGEST)
    }

    async fn order(&mut self, order: Order) {
        // Whoever does not wait for its answer any more does not need it.
        match order {
            Order::Added(builds) => {
                for (build, committed) in builds {
                    self.add(build, committed).await;
                }
            }
            Order::Cancel { build, by, answer } => {
                let _ = answer.send(self.cancel(build, by).await);
            }
            Order::Retry { build, by, answer } => {
                let _ = answer.send(self.retry(build, by).await);
            }
            Order::Explain { build, answer } => {
                let _ = answer.send(self.scheduler.explain(work::id(build)));
            }
            Order::Queue { limit, answer } => {
                let _ = answer.send(self.queue(limit));
            }
            Order::Hosts { answer } => {
                let _ = answer.send(self.scheduler.hosts().collect());
            }
            Order::Reload { config } => self.apply_config(&config).await,
        }
    }

    async fn apply_config(&mut self, config: &Config) {
        for builder in std::mem::take(&mut self.limited) {
            if config
                .builder(&builder)
                .is_none_or(|builder| builder.max_at_once == 0)
            {
                self.handle(Event::BuilderLimit {
                    builder: builder.into(),
                    max: None,
                })
                .await;
            }
        }
        for builder in config.builders() {
            if builder.max_at_once > 0 {
                self.limited.push(builder.name.clone());
                let taken_up = self.taken_up(Some(&builder.name));
                let max = Some(builder.max_at_once.saturating_sub(taken_up));
                self.handle(Event::BuilderLimit {
                    builder: builder.name.as_str().into(),
                    max,
                })
                .await;
            }
        }
        let limit = match config.environment().max_builds {
            0 => u32::MAX,
            limit => limit,
        };
        let quota = QuotaName::from(work::BUILDS);
        self.handle(Event::QuotaChanged {
            quota,
            limit,
            untracked: self.taken_up(None),
        })
        .await;
    }

    /// How many builds run that an earlier run of the coordinator began, and the scheduler does not know of.
    fn taken_up(&self, builder: Option<&str>) -> u32 {
        let all = self.builds.values().filter(|entry| entry.taken_up);
        let these = all.filter(|entry| builder.is_none_or(|name| entry.build.key.builder == name));
        u32::try_from(these.count()).unwrap_or(u32::MAX)
    }

    /// Goes on with an attempt of an earlier run.
    fn take_up(&mut self, returning: Returning, committed: Option<Timestamp>) {
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

    /// Tells the scheduler how long builds took, for its estimates.
    async fn learn(&mut self, waiting: &[(Build, Option<Timestamp>)]) {
        // More pairs than that are not worth the time at the start; the rest is learnt as it goes.
        const MOST: usize = 200;
        let mut pairs: Vec<_> = waiting
            .iter()
            .map(|(build, _)| (build.key.builder.clone(), build.key.repository.clone()))
            .collect();
        pairs.sort_unstable();
        pairs.dedup();
        for (builder, repository) in pairs.into_iter().take(MOST) {
            let durations = self
                .shared
                .store
                .durations(&builder, &repository, 8)
                .await
                .unwrap_or_default();
            for took in durations {
                self.handle(Event::Learned {
                    builder: builder.as_str().into(),
                    took,
                })
                .await;
            }
        }
    }

    /// Takes a build that waits.
    async fn add(&mut self, build: Build, committed: Option<Timestamp>) {
        let config = self.shared.config();
        let id = build.id;
        let Some(builder) = work::builder(&config, &build) else {
            self.close(
                id,
                Cause::SetupError,
                "its builder is not configured, or has no steps",
            )
            .await;
            return;
        };
        let added = work::of(builder, &build, committed);
        let key = work::key(builder, &build);
        if let Some(key) = key
            .as_ref()
            .filter(|_| builder.supersede == Supersede::Running)
        {
            self.supersede_running(key, id, committed).await;
        }
        self.builds.insert(
            id,
            Entry {
                build,
                committed,
                key,
                stop: None,
                cancel: None,
                taken_up: false,
            },
        );
        if let Err(error) = self.try_handle(Event::WorkAdded(added)).await {
            // It is in the store, and the next start takes it. A queue that is full says so to whoever asks for more.
            tracing::error!(build = %id, %error, "a build is not taken into the queue");
            if !matches!(error, EventError::DuplicateWork(_)) {
                self.builds.remove(&id);
            }
        }
    }

    /// Ends running builds that a newer one replaces.
    async fn supersede_running(
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

    async fn cancel(&mut self, id: BuildId, by: String) -> Result<(), CommandError> {
        let Some(entry) = self.builds.get(&id) else {
            return match self.shared.store.build(id).await? {
                None => Err(CommandError::NoBuild(id)),
                Some(build) if build.cause().is_some() => Err(CommandError::Done(id)),
                Some(_) => {
                    // It is too much for the queue.
                    self.close_checked(id, Cause::Cancelled, &by).await
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

    async fn retry(&mut self, id: BuildId, by: String) -> Result<(), CommandError> {
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

    fn queue(&self, limit: usize) -> Vec<(BuildId, Explanation)> {
        let mut queue = Vec::new();
        let hosts: Vec<HostType> = self.scheduler.hosts().map(|host| host.host_type).collect();
        for host in hosts {
            for id in self
                .scheduler
                .queue(&host, limit.saturating_sub(queue.len()))
            {
                if let Some(explanation) = self.scheduler.explain(id) {
                    queue.push((BuildId(id.0), explanation));
                }
            }
        }
        queue
    }

    async fn offer(&mut self, (pool, event): Offer) {
        match event {
            OfferEvent::Offered(machine) => {
                let number = self.machines.add(pool, &machine);
                let host_type = machine.host_type.as_str().into();
                self.handle(Event::MachineOffered {
                    machine: number,
                    host_type,
                })
                .await;
            }
            OfferEvent::Withdrawn(machine) => {
                if let Some(number) = self.machines.find(pool, machine) {
                    self.handle(Event::MachineLost(number)).await;
                }
            }
            OfferEvent::Gone { machine, .. } => {
                if let Some(number) = self.machines.find(pool, machine) {
                    self.handle(Event::MachineLost(number)).await;
                    self.machines.remove(number);
                }
            }
            _ => {}
        }
    }

    async fn ended(
        &mut self,
        ended: Result<(tokio::task::Id, (BuildId, Done)), tokio::task::JoinError>,
    ) {
        let (id, done) = match ended {
            Ok((task, ended)) => {
                self.tasks.remove(&task);
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
                if build.cause().is_none() {
                    self.add(*build, entry.committed).await;
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
                let then = super::task::next(&self.shared, id, &retry, cause).await;
                let message = "the coordinator failed at it".to_owned();
                match super::task::note_end(&self.shared, attempt, None, cause, message, then).await
                {
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

    async fn handle(&mut self, event: Event) {
        if let Err(error) = self.try_handle(event).await {
            tracing::error!(%error, "the scheduler is of another opinion");
        }
    }

    async fn try_handle(&mut self, event: Event) -> Result<(), EventError> {
        let now = work::time(Timestamp::now());
        for decision in self.scheduler.handle(now, event)? {
            match decision {
                Decision::Assign { work, machine } => self.start(work, machine),
                Decision::Supersede { work, by } => {
                    let id = BuildId(work.0);
                    self.builds.remove(&id);
                    self.close(id, Cause::Superseded, &format!("build {by}"))
                        .await;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn start(&mut self, work: WorkId, machine: build_scheduler::MachineId) {
        let id = BuildId(work.0);
        let (Some(entry), Some((pool, machine))) =
            (self.builds.get_mut(&id), self.machines.get(machine))
        else {
            tracing::error!(build = %id, "what is to be started is not known");
            return;
        };
        let stop = Stop::default();
        entry.stop = Some(stop.clone());
        let task = Task {
            shared: self.shared.clone(),
            build: entry.build.clone(),
            stop,
        };
        let running = async move { (id, task.run(pool, machine).await) };
        let handle = self.attempts.spawn(running);
        self.tasks.insert(handle.id(), id);
    }

    /// Ends a build that waits. If that cannot be stored, the next start finds it waiting.
    async fn close(&self, id: BuildId, cause: Cause, message: &str) {
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
