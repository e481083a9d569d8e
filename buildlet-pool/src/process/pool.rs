use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::ProcessConfig;
use super::folder::{OpenError, StateFolder};
use super::slot::Slot;
use crate::{
    BuildletPool, GetBuildletError, Lease, LeaseError, LeaseOptions, LeaseRequest, MachineId,
    Metrics, Offers, PoolStatus, ReversePool,
};

/// Keeps a [`ReversePool`] stocked with machines that are processes on this machine.
///
/// Each process has its own work directory, process group and key. With [`Reuse::Never`](crate::Reuse::Never) as its type's policy, which is the
/// default, it is for one lease, with which it is ended, and replaced; that costs its start for each. With
/// [`Reuse::Cleaned`](crate::Reuse::Cleaned) it is kept, and its work directory is emptied. Either way nothing runs on that a command started, and what
/// builds leave elsewhere on this machine stays. It registers as
/// a remote machine would, at the front door of the reverse pool, so that must be open before the first can.
///
/// As a [`BuildletPool`] it is the reverse pool with these machines in it, remote ones included.
///
/// # What is left behind
///
/// Nothing after [`shutdown`](BuildletPool::shutdown). If this process is killed, its buildlets end when their connections do, and kill
/// what their commands started; their folders are removed by the next pool with the same state folder, and so are processes that
/// still run by then, which are known by their number and the time they were started at.
#[derive(Clone)]
pub struct ProcessPool {
    inner: Arc<Inner>,
}

struct Inner {
    reverse: ReversePool,
    processes: Vec<Arc<Mutex<ProcessStatus>>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// One of the processes of a [`ProcessPool`], and those that were in its place before.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ProcessStatus {
    /// What the machine is called.
    pub host_name: String,
    /// The process, if there is one at the moment.
    pub pid: Option<u32>,
    /// It has registered.
    pub working: bool,
    /// How many processes were started in its place.
    pub starts: u64,
    /// How many of them did not come to work, or could not be started.
    pub failures: u64,
    /// Why the last one did not; empty if it did.
    pub last_failure: String,
}

/// Why no processes can be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum StartError {
    /// The state folder cannot be made or used.
    #[error("cannot use the folder {}", path.display())]
    State { path: PathBuf, source: io::Error },
    /// Another pool has the state folder.
    #[error("the folder {} is in use by another process", path.display())]
    InUse { path: PathBuf },
    /// No machine can register under such a name.
    #[error(
        "{name:?} is no name for a machine: it is to have 1 to 200 letters, digits, '-', '_' and '.'"
    )]
    Name { name: String },
}

impl ProcessPool {
    /// Removes what an earlier pool left in the state folder, and starts the processes.
    ///
    /// # Errors
    ///
    /// [`StartError`]. That a process does not start is no error of this: it is logged, told by [`processes`](Self::processes), and tried again.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn start(config: ProcessConfig, reverse: ReversePool) -> Result<Self, StartError> {
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !(1..=200).contains(&config.name.len()) || !config.name.bytes().all(is_safe) {
            return Err(StartError::Name { name: config.name });
        }
        let (path, limit) = (config.state.clone(), config.stop_limit);
        let opening = spawn_blocking(move || {
            let state = StateFolder::open(&path)?;
            let swept = state.sweep(limit)?;
            Ok::<_, OpenError>((state, swept))
        });
        let opened = opening
            .await
            .map_err(io::Error::other)
            .map_err(OpenError::Io);
        let (state, swept) = match opened.and_then(|opened| opened) {
            Ok(opened) => opened,
            Err(OpenError::InUse) => return Err(StartError::InUse { path: config.state }),
            Err(OpenError::Io(source)) => {
                let path = config.state;
                return Err(StartError::State { path, source });
            }
        };
        if swept > 0 {
            tracing::info!("removed {swept} buildlets that an earlier coordinator left behind");
        }
        let (config, state) = (Arc::new(config), Arc::new(state));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let start = |number| {
            let status = Arc::new(Mutex::new(ProcessStatus {
                host_name: format!("{}-{number}", config.name),
                ..ProcessStatus::default()
            }));
            let slot = Slot {
                config: config.clone(),
                state: state.clone(),
                reverse: reverse.clone(),
                number,
                status: status.clone(),
                stop: stop.clone(),
                tasks: tasks.clone(),
            };
            tasks.spawn(slot.run());
            status
        };
        let processes = (1..=config.count).map(start).collect();
        Ok(Self {
            inner: Arc::new(Inner {
                reverse,
                processes,
                stop,
                tasks,
            }),
        })
    }

    /// The pool that the processes register with.
    #[must_use]
    pub fn reverse(&self) -> &ReversePool {
        &self.inner.reverse
    }

    /// How the processes are doing.
    #[must_use]
    pub fn processes(&self) -> Vec<ProcessStatus> {
        let all = self.inner.processes.iter();
        all.map(|one| one.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .collect()
    }

    /// Ends the processes and removes their folders. Leases of them are lost; other machines stay.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the wait alone: it goes on.
    pub async fn stop(&self) {
        let Inner { stop, tasks, .. } = &*self.inner;
        stop.cancel();
        tasks.close();
        tasks.wait().await;
    }
}

#[async_trait]
impl BuildletPool for ProcessPool {
    fn description(&self) -> String {
        let count = self.inner.processes.len();
        let noun = if count == 1 { "process" } else { "processes" };
        format!(
            "{count} {noun} on this machine, and {}",
            self.reverse().description()
        )
    }

    async fn get_buildlet(&self, request: LeaseRequest) -> Result<Lease, GetBuildletError> {
        self.reverse().get_buildlet(request).await
    }

    async fn lease(&self, machine: MachineId, options: LeaseOptions) -> Result<Lease, LeaseError> {
        self.reverse().lease(machine, options).await
    }

    fn offers(&self) -> Offers {
        self.reverse().offers()
    }

    fn status(&self) -> PoolStatus {
        let mut status = self.reverse().status();
        status.description = self.description();
        status
    }

    fn metrics(&self) -> Metrics {
        self.reverse().metrics()
    }

    fn set_drained(&self, machine: MachineId, drained: bool) -> bool {
        self.reverse().set_drained(machine, drained)
    }

    async fn drain(&self) {
        self.reverse().drain().await;
    }

    async fn shutdown(&self) {
        // At the same time: the end of a session is what ends a process.
        tokio::join!(self.reverse().shutdown(), self.stop());
    }
}

impl fmt::Debug for ProcessPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessPool")
            .field("processes", &self.processes())
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
        self.tasks.close();
    }
}
