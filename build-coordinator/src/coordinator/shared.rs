use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use buildlet_pool::BuildletPool;
use dashboard_config::Config;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::EnqueueError;
use super::drained::Drained;
use super::engine::Order;
use super::files::ConfigNews;
use crate::blobs::{BlobName, Blobs, Logs, TimeMark};
use crate::git::{Git, Repository, Source};
use crate::model::{AttemptId, Revision, StoredLog};
use crate::run::{LiveLog, OutputLimit};
use crate::store::{Store, StoreError};

/// What all tasks of a coordinator share.
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) git: Git,
    pub(super) logs: Logs,
    pub(super) pools: Vec<Arc<dyn BuildletPool>>,
    pub(super) live_logs: PathBuf,
    pub(super) config_files: Vec<PathBuf>,
    /// That of the start, by which machines were made.
    pub(super) first_config: Arc<Config>,
    pub(super) config_news: watch::Sender<ConfigNews>,
    /// One reads the configuration's files at a time.
    pub(super) reading: Semaphore,
    /// One removes old builds at a time.
    pub(super) pruning: Semaphore,
    pub(super) limit: OutputLimit,
    pub(super) config: watch::Sender<Arc<Config>>,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) drained: Drained,
    /// Who waits for which machine to come back with what it runs, by host type and name: fires when it has come without.
    awaited: Mutex<HashMap<(String, String), CancellationToken>>,
    /// Logs of attempts that run, and of those whose logs are being stored.
    pub(super) live: Mutex<HashMap<AttemptId, LiveLog>>,
    repositories: tokio::sync::Mutex<HashMap<String, Repository>>,
    /// Cancelled when nothing new is to begin.
    pub(super) closing: CancellationToken,
    /// Cancelled when nothing is waited for any more.
    pub(super) stopped: CancellationToken,
    pub(super) tasks: TaskTracker,
    /// Something was put into the store for the messenger.
    pub(super) messages: Notify,
    /// Repositories are to be looked at now.
    pub(super) look: Notify,
}

pub(super) struct Made {
    pub(super) store: Store,
    pub(super) git: Git,
    pub(super) blobs: Arc<dyn Blobs>,
    pub(super) pools: Vec<Arc<dyn BuildletPool>>,
    pub(super) live_logs: PathBuf,
    pub(super) config_files: Vec<PathBuf>,
}

impl Shared {
    pub(super) fn new(config: Config, made: Made, orders: mpsc::Sender<Order>) -> Self {
        let config = Arc::new(config);
        Self {
            store: made.store,
            git: made.git,
            logs: Logs::new(made.blobs),
            pools: made.pools,
            live_logs: made.live_logs,
            config_files: made.config_files,
            first_config: config.clone(),
            config_news: watch::Sender::new(ConfigNews::Unread),
            reading: Semaphore::new(1),
            pruning: Semaphore::new(1),
            limit: OutputLimit::default(),
            config: watch::Sender::new(config),
            orders,
            drained: Drained::default(),
            awaited: Mutex::default(),
            live: Mutex::default(),
            repositories: tokio::sync::Mutex::default(),
            closing: CancellationToken::new(),
            stopped: CancellationToken::new(),
            tasks: TaskTracker::new(),
            messages: Notify::new(),
            look: Notify::new(),
        }
    }

    /// How long a machine that is lost is waited for.
    pub(super) fn return_limit(&self) -> Duration {
        self.config().environment().machine_return
    }

    /// Fires when a machine is on offer, which then came back without what it ran.
    pub(super) fn await_machine(&self, host_type: &str, name: &str) -> CancellationToken {
        let machine = (host_type.to_owned(), name.to_owned());
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody waits for one that has fired, or is held here alone.
        awaited.retain(|_, token| !token.is_cancelled());
        awaited.entry(machine).or_default().clone()
    }

    /// A machine is on offer.
    pub(super) fn machine_offered(&self, host_type: &str, name: &str) {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        if !awaited.is_empty()
            && let Some(token) = awaited.remove(&(host_type.to_owned(), name.to_owned()))
        {
            token.cancel();
        }
    }

    /// How long commands go on when their machine is lost: less than it is waited for, so that they are dead when their
    /// build is tried again elsewhere.
    pub(super) fn grace(&self) -> Duration {
        self.return_limit() * 5 / 6
    }

    pub(super) fn config(&self) -> Arc<Config> {
        self.config.borrow().clone()
    }

    pub(super) fn live(&self, attempt: AttemptId) -> Option<LiveLog> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.get(&attempt).cloned()
    }

    /// The cache of a repository of the configuration.
    pub(super) async fn repository(&self, name: &str) -> Result<Repository, EnqueueError> {
        let config = self.config();
        let found = config
            .repository(name)
            .filter(|found| found.can_build && !found.clone_url.is_empty());
        let found = found.ok_or_else(|| EnqueueError::NoRepository(name.to_owned()))?;
        let source = Source::parse(&found.clone_url).map_err(|source| EnqueueError::Source {
            repository: name.to_owned(),
            source,
        })?;
        let mut repositories = self.repositories.lock().await;
        if let Some(known) = repositories
            .get(name)
            .filter(|known| *known.source() == source)
        {
            return Ok(known.clone());
        }
        let opened = self.git.repository(name, &source).await?;
        repositories.insert(name.to_owned(), opened.clone());
        Ok(opened)
    }

    /// The revision of what a repository is built against: the newest that is known of its main branch. `None` if it
    /// stands alone.
    pub(super) async fn base(
        &self,
        config: &Config,
        repository: &str,
    ) -> Result<Option<Revision>, EnqueueError> {
        let base = config
            .repository(repository)
            .and_then(|repository| repository.base.as_deref());
        let Some(base) = base.and_then(|name| config.repository(name)) else {
            return Ok(None);
        };
        let main = config.main_branch(base);
        let branches = self.store.branches(&base.name).await?;
        match branches.into_iter().find(|branch| branch.name == main) {
            Some(branch) => Ok(Some(branch.head)),
            None => Err(EnqueueError::NoBase(base.name.clone())),
        }
    }

    /// Compresses the file of a log into the blob store. `None` if there is no such file.
    pub(super) async fn store_log(
        &self,
        attempt: AttemptId,
        dropped: u64,
    ) -> io::Result<Option<StoredLog>> {
        let path = crate::run::journal_path(&self.live_logs, attempt);
        let file = match tokio::fs::File::open(&path).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let blob = BlobName::log(attempt);
        // What an earlier run wrote has no times: they are in memory while an attempt runs.
        let times = self
            .live(attempt)
            .map(|log| log.times())
            .unwrap_or_default();
        let times: Vec<TimeMark> = (times.into_iter())
            .map(|mark| TimeMark {
                offset: mark.offset,
                time: mark.time.into(),
            })
            .collect();
        let bytes = self
            .logs
            .store_timed(&blob, &times, file)
            .await
            .map_err(io::Error::other)?;
        Ok(Some(StoredLog {
            blob: blob.as_str().to_owned(),
            bytes,
            dropped,
        }))
    }

    pub(super) async fn remove_live_log(&self, attempt: AttemptId) {
        let path = crate::run::journal_path(&self.live_logs, attempt);
        remove(&path).await;
        self.live
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&attempt);
    }

    /// Waits after the database failed at something that has happened and must be noted, as a disk that is full is
    /// emptied and a database comes back; whether it is worth trying again. It is not once the coordinator is stopped, or the
    /// store closed: the next run finds what is missing.
    pub(super) async fn wait_for_store(&self, error: &StoreError, failures: &mut u32) -> bool {
        if !matches!(error, StoreError::Database(_)) {
            return false;
        }
        let pause = Duration::from_millis(100).saturating_mul(2_u32.saturating_pow(*failures));
        *failures += 1;
        let pause = tokio::time::sleep(pause.min(Duration::from_secs(30)));
        self.stopped.run_until_cancelled(pause).await.is_some()
    }
}

pub(super) async fn remove(path: &Path) {
    if let Err(error) = tokio::fs::remove_file(path).await
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot remove a log");
    }
}
