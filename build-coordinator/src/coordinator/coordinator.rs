use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use build_scheduler::{Explanation, HostSummary};
use buildlet_pool::{BuildletPool, Machine, MachineId, OfferEvent};
use dashboard_config::{Builder, Config};
use tokio::sync::{mpsc, oneshot};

use super::engine::{Engine, Offer, Order};
use super::files::{follow_files, use_config};
use super::finder::find_work;
use super::prune::prune_again;
use super::recovery::recover;
use super::shared::{Made, Shared};
use super::{CommandError, EnqueueError, StartError};
use crate::blobs::{Blobs, Logs};
use crate::git::Git;
use crate::model::{
    AttemptId, Build, BuildId, BuildKey, MachineChange, NewBuild, Purpose, Timestamp,
};
use crate::notify::{Courier, carry_messages};
use crate::run::LiveLog;
use crate::store::{EventFeed, Store};

/// Commands that wait for the engine; beyond them callers wait.
const ORDERS: usize = 256;
/// News of machines that wait for the engine; a pool keeps what is beyond them, the newest of each machine.
const OFFERS: usize = 64;

/// A running coordinator. A handle: clones are the same.
///
/// Dropping all of them does not stop it; [`stop`](Self::stop) does.
#[derive(Clone)]
pub struct Coordinator {
    pub(super) shared: Arc<Shared>,
}

/// What a coordinator is made of.
#[expect(
    clippy::exhaustive_structs,
    reason = "who makes it must see when a part is added"
)]
pub struct Parts {
    /// Where builds are kept.
    pub store: Store,
    /// Where repositories are cached.
    pub git: Git,
    /// Where logs and artifacts are kept.
    pub blobs: Arc<dyn Blobs>,
    /// Where machines come from. They are not shut down with the coordinator.
    pub pools: Vec<Arc<dyn BuildletPool>>,
    /// A folder for the logs of attempts that run; made if it is not there. It must be the same at each start.
    pub live_logs: PathBuf,
    /// The files, and folders of files, that the configuration came from: read again when they have changed. None if it came from none.
    pub config_files: Vec<PathBuf>,
    /// Who sends messages. Without one they stay in the store.
    pub courier: Option<Arc<dyn Courier>>,
}

/// A build that waits for a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// Which.
    pub build: BuildId,
    /// What for.
    pub explanation: Explanation,
}

impl Coordinator {
    /// Puts in order what earlier runs left, then starts all tasks. Needs a tokio runtime with time.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future starts nothing; what was put in order stays so.
    pub async fn start(config: Config, parts: Parts) -> Result<Self, StartError> {
        let path = parts.live_logs;
        let made = tokio::fs::create_dir_all(&path).await;
        made.map_err(|source| StartError::LiveLogs {
            path: path.clone(),
            source,
        })?;
        let (orders, orders_in) = mpsc::channel(ORDERS);
        let (offers, offers_in) = mpsc::channel(OFFERS);
        let made = Made {
            store: parts.store,
            git: parts.git,
            blobs: parts.blobs,
            pools: parts.pools,
            live_logs: path,
            config_files: parts.config_files,
        };
        let shared = Arc::new(Shared::new(config, made, orders));
        let left = recover(&shared).await?;
        for (number, pool) in shared.pools.iter().enumerate() {
            shared
                .tasks
                .spawn(follow(shared.clone(), number, pool.clone(), offers.clone()));
        }
        shared
            .tasks
            .spawn(Engine::new(shared.clone()).run(left, orders_in, offers_in));
        shared.tasks.spawn(find_work(shared.clone()));
        shared.tasks.spawn(follow_files(shared.clone()));
        shared.tasks.spawn(prune_again(shared.clone()));
        if let Some(courier) = parts.courier {
            let shared = shared.clone();
            let configs = shared.config.subscribe();
            shared.clone().tasks.spawn(async move {
                let store = shared.store.clone();
                carry_messages(store, configs, courier, &shared.messages, &shared.closing).await;
            });
        }
        shared.tasks.close();
        Ok(Self { shared })
    }

    /// The store, for reading. What is changed there behind the coordinator's back confuses it.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// Where logs and, as its [`blobs`](Logs::blobs), artifacts are kept.
    #[must_use]
    pub fn logs(&self) -> &Logs {
        &self.shared.logs
    }

    /// Where machines come from.
    #[must_use]
    pub fn pools(&self) -> &[Arc<dyn BuildletPool>] {
        &self.shared.pools
    }

    /// The configuration that holds now.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.shared.config()
    }

    /// Everything that happens from now on. A follower that falls behind reads from the store what it missed, so nothing
    /// piles up and nothing is lost.
    #[must_use]
    pub fn subscribe(&self) -> EventFeed {
        self.shared.store.follow(self.shared.store.newest_event())
    }

    /// The log of an attempt while it runs; afterwards it is among the [`logs`](Self::logs), as
    /// [`Attempt::log`](crate::model::Attempt::log) says.
    #[must_use]
    pub fn live_log(&self, attempt: AttemptId) -> Option<LiveLog> {
        self.shared.live(attempt)
    }

    /// Adds builds of a revision: on one builder, or on all that build it. `revision` is a branch, a tag or (part of) a
    /// commit's name. Builds that are there already are given as they are.
    ///
    /// # Errors
    ///
    /// [`EnqueueError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future adds all or none of the builds; added ones may wait for the next start.
    pub async fn enqueue(
        &self,
        repository: &str,
        revision: &str,
        builder: Option<&str>,
        by: &str,
    ) -> Result<Vec<Build>, EnqueueError> {
        if self.shared.closing.is_cancelled() {
            return Err(EnqueueError::Stopping);
        }
        let config = self.shared.config();
        let cache = self.shared.repository(repository).await?;
        let found = match cache.find(revision).await? {
            Some(found) => Some(found),
            None => {
                cache.fetch().await?;
                match (cache.find(revision).await?, revision.parse()) {
                    (None, Ok(commit)) if cache.fetch_commit(&commit).await? => {
                        cache.find(revision).await?
                    }
                    (found, _) => found,
                }
            }
        };
        let unknown = || EnqueueError::NoRevision {
            repository: repository.to_owned(),
            revision: revision.to_owned(),
        };
        let commit = found.ok_or_else(unknown)?;
        let branches = cache.branches().await?;
        let branch = branches
            .iter()
            .find(|head| head.name == revision)
            .or_else(|| {
                let mut with = branches
                    .iter()
                    .filter(|head| head.revision == commit.revision);
                with.next()
            });
        let branch = branch.map(|head| head.name.clone());
        let builders: Vec<&Builder> = match builder {
            Some(name) => vec![
                config
                    .builder(name)
                    .ok_or_else(|| EnqueueError::NoBuilder(name.to_owned()))?,
            ],
            None => {
                let main = config
                    .repository(repository)
                    .map_or("", |repository| config.main_branch(repository));
                config.builds(repository, branch.as_deref().unwrap_or(main))
            }
        };
        let base = self.shared.base(&config, repository).await?;
        let new: Vec<NewBuild> = (builders
            .into_iter()
            .filter(|builder| !builder.steps.is_empty()))
        .map(|builder| NewBuild {
            key: BuildKey {
                repository: repository.to_owned(),
                revision: commit.revision.clone(),
                builder: builder.name.clone(),
                base: base.clone(),
            },
            branch: branch.clone(),
            host_type: builder.host_type.clone(),
            purpose: Purpose::Request,
            reason: format!("asked for by {by}"),
        })
        .collect();
        if new.is_empty() {
            let (repository, revision) = (repository.to_owned(), revision.to_owned());
            return Err(match builder {
                Some(name) => EnqueueError::NoBuilder(name.to_owned()),
                None => EnqueueError::NothingToBuild {
                    repository,
                    revision,
                },
            });
        }
        let committed = Some(commit.committed);
        let all = self.shared.store.enqueue_all(Timestamp::now(), new).await?;
        let added: Vec<_> = all
            .iter()
            .filter(|added| added.is_new)
            .map(|added| (added.build.clone(), committed))
            .collect();
        // A coordinator that stops has them in its store.
        let _ = self.shared.orders.send(Order::Added(added)).await;
        Ok(all.into_iter().map(|added| added.build).collect())
    }

    /// Ends a build that waits or runs. What runs is killed; the build is done when its attempt has ended.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub async fn cancel(&self, build: BuildId, by: &str) -> Result<(), CommandError> {
        let by = by.to_owned();
        self.ask(|answer| Order::Cancel { build, by, answer })
            .await?
    }

    /// Tries a build again that is done.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub async fn retry(&self, build: BuildId, by: &str) -> Result<(), CommandError> {
        if self.shared.closing.is_cancelled() {
            return Err(CommandError::Stopping);
        }
        let by = by.to_owned();
        self.ask(|answer| Order::Retry { build, by, answer })
            .await?
    }

    /// What a build waits for, or where it runs; `None` if neither.
    ///
    /// # Errors
    ///
    /// [`CommandError::Stopping`]; if the store cannot be read.
    pub async fn explain(&self, build: BuildId) -> Result<Option<Explanation>, CommandError> {
        let explained = self.ask(|answer| Order::Explain { build, answer }).await?;
        if explained.is_none() {
            return Ok(None);
        }
        // The store knows of an end a moment sooner than the engine hears of it.
        let stored = self.shared.store.build(build).await?;
        Ok(explained.filter(|_| stored.is_none_or(|build| build.cause().is_none())))
    }

    /// Builds that wait and are due, those of each host type in order, at most `limit` (cut to 200, as each is explained).
    ///
    /// # Errors
    ///
    /// [`CommandError::Stopping`].
    pub async fn queue(&self, limit: usize) -> Result<Vec<Waiting>, CommandError> {
        let limit = limit.min(200);
        let queue = self.ask(|answer| Order::Queue { limit, answer }).await?;
        Ok(queue
            .into_iter()
            .map(|(build, explanation)| Waiting { build, explanation })
            .collect())
    }

    /// How each host type does.
    ///
    /// # Errors
    ///
    /// [`CommandError::Stopping`].
    pub async fn hosts(&self) -> Result<Vec<HostSummary>, CommandError> {
        self.ask(|answer| Order::Hosts { answer }).await
    }

    /// Looks at all repositories now, in place of when it is time.
    pub fn look_now(&self) {
        self.shared.look.notify_waiters();
    }

    /// Goes on with another configuration. What runs, runs as it began; builds that wait are built as the new one says.
    pub async fn reload(&self, config: Config) {
        use_config(&self.shared, config).await;
    }

    /// Begins nothing new, and waits until everything that runs has ended and all tasks have. Then the store is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the wait: nothing new begins nevertheless.
    pub async fn drain(&self) {
        self.shared.closing.cancel();
        self.shared.tasks.wait().await;
        self.close_store().await;
    }

    /// Ends everything that runs now, to be tried again by the next run, and waits until that is noted. Then the store is
    /// closed. What runs on a machine that [keeps commands](buildlet_pool::Machine::keeps_commands) goes on instead, and the next run
    /// takes it up, if it starts soon enough.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the wait: it goes on.
    pub async fn stop(&self) {
        self.shared.closing.cancel();
        self.shared.stopped.cancel();
        self.shared.tasks.wait().await;
        self.close_store().await;
    }

    async fn close_store(&self) {
        if let Err(error) = self.shared.store.close().await {
            tracing::error!(%error, "the store is not closed well");
        }
    }

    async fn ask<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<T>) -> Order,
    ) -> Result<T, CommandError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.shared.orders.send(order(answer)).await;
        sent.map_err(|_| CommandError::Stopping)?;
        answered.await.map_err(|_| CommandError::Stopping)
    }
}

impl fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coordinator")
            .field("instance", &self.shared.store.instance())
            .finish_non_exhaustive()
    }
}

/// Tells the engine what a pool has on offer, and the store who came and went.
async fn follow(
    shared: Arc<Shared>,
    number: usize,
    pool: Arc<dyn BuildletPool>,
    offers: mpsc::Sender<Offer>,
) {
    let mut known: HashMap<MachineId, Arc<Machine>> = HashMap::new();
    let mut changes = pool.offers();
    loop {
        let event = tokio::select! {
            () = shared.closing.cancelled() => return,
            event = changes.next() => event,
        };
        let Some(event) = event else { return };
        if let OfferEvent::Offered(machine) = &event {
            shared.machine_offered(machine.host_type.as_str(), &machine.host_name);
        }
        match &event {
            OfferEvent::Offered(machine) if !known.contains_key(&machine.id) => {
                known.insert(machine.id, machine.clone());
                let description = format!("buildlet {}", machine.version);
                note(&shared, machine, MachineChange::Connected { description }).await;
            }
            OfferEvent::Gone { machine, reason } => {
                if let Some(machine) = known.remove(machine) {
                    note(
                        &shared,
                        &machine,
                        MachineChange::Lost {
                            reason: reason.to_string(),
                        },
                    )
                    .await;
                }
            }
            _ => {}
        }
        if let OfferEvent::Offered(machine) = &event
            && shared.drained.contains(&machine.host_name)
        {
            // The pool takes it from its offer; nobody has seen it there.
            pool.set_drained(machine.id, true);
            continue;
        }
        if offers.send((number, event)).await.is_err() {
            return;
        }
    }
}

async fn note(shared: &Shared, machine: &Machine, change: MachineChange) {
    let host_type = machine.host_type.as_str();
    let noted = shared
        .store
        .record_machine(Timestamp::now(), &machine.host_name, host_type, change)
        .await;
    if let Err(error) = noted {
        tracing::warn!(machine = %machine.host_name, %error, "what happened to a machine is not noted");
    }
}
