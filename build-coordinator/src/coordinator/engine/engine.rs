use std::collections::{BTreeSet, HashMap};
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

use crate::coordinator::machines::Machines;
use crate::coordinator::recovery::Left;
use crate::coordinator::shared::Shared;
use crate::coordinator::task::{Done, Task};
use crate::coordinator::{CommandError, work};
use crate::model::{Build, BuildId, Cause, Timestamp};
use crate::run::{Stop, StopReason};

/// What the engine is asked to do.
pub(in crate::coordinator) enum Order {
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
pub(in crate::coordinator) type Offer = (usize, OfferEvent);

/// The one task that decides what runs where.
pub(in crate::coordinator) struct Engine {
    pub(super) shared: Arc<Shared>,
    scheduler: Scheduler,
    machines: Machines,
    /// Builds that wait or run. The store has them too; here is what deciding needs.
    pub(super) builds: HashMap<BuildId, Entry>,
    pub(super) attempts: JoinSet<(BuildId, Done)>,
    /// Builds by the task that runs them, for those that panic.
    pub(super) tasks: HashMap<tokio::task::Id, BuildId>,
    /// Limits of builders that were set, to lift those that are no more.
    limited: Vec<String>,
    /// How many builds may wait or run, as the scheduler has it.
    pub(super) limit: usize,
    /// Builds that wait in the store alone, as the queue was full when they came.
    pub(super) beyond: BTreeSet<BuildId>,
    /// When those may be looked at.
    pub(super) look_beyond: Instant,
}

pub(super) struct Entry {
    pub(super) build: Build,
    pub(super) committed: Option<Timestamp>,
    pub(super) key: Option<SupersedeKey>,
    /// While it runs: what ends it.
    pub(super) stop: Option<Stop>,
    /// Its end was asked for: as what, and by whom.
    pub(super) cancel: Option<(Cause, String)>,
    /// An earlier run began it, and the scheduler does not know of it.
    pub(super) taken_up: bool,
}

/// Builds that wait or run; beyond them the store has a million more, see `beyond.rs`.
const MAX_WAITING: usize = 200_000;

impl Engine {
    pub(in crate::coordinator) fn new(shared: Arc<Shared>) -> Self {
        Self::with_limit(shared, MAX_WAITING)
    }

    pub(super) fn with_limit(shared: Arc<Shared>, limit: usize) -> Self {
        let config = build_scheduler::Config::default().max_waiting(limit);
        Self {
            shared,
            scheduler: Scheduler::new(config).expect("a default with another limit is sound"),
            machines: Machines::default(),
            builds: HashMap::new(),
            attempts: JoinSet::new(),
            tasks: HashMap::new(),
            limited: Vec::new(),
            limit,
            beyond: BTreeSet::new(),
            look_beyond: Instant::now(),
        }
    }

    /// Runs until nothing new is to begin and everything that ran has ended.
    pub(in crate::coordinator) async fn run(
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
                () = sleep_until(self.look_beyond), if self.has_room_for_beyond() && !closing => self.take_in().await,
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

    pub(super) async fn apply_config(&mut self, config: &Config) {
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
    pub(super) fn taken_up(&self, builder: Option<&str>) -> u32 {
        let all = self.builds.values().filter(|entry| entry.taken_up);
        let these = all.filter(|entry| builder.is_none_or(|name| entry.build.key.builder == name));
        u32::try_from(these.count()).unwrap_or(u32::MAX)
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
    pub(super) async fn add(&mut self, build: Build, committed: Option<Timestamp>) {
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
        match self.try_handle(Event::WorkAdded(added)).await {
            Ok(()) | Err(EventError::DuplicateWork(_)) => {}
            Err(EventError::QueueFull { .. }) => {
                self.builds.remove(&id);
                self.put_beyond(id);
            }
            Err(error) => {
                // It is in the store, and the next start takes it.
                tracing::error!(build = %id, %error, "a build is not taken into the queue");
                self.builds.remove(&id);
            }
        }
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

    pub(super) async fn handle(&mut self, event: Event) {
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
}
