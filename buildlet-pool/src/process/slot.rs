use std::io;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use revdial::Backoff;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::config::ProcessConfig;
use super::folder::StateFolder;
use super::instance::{self, Instance};
use super::pool::ProcessStatus;
use crate::reverse::{Invitation, NewPoolError, ReversePool};
use crate::text::chain;

/// The place of one process after the other.
pub(super) struct Slot {
    pub(super) config: Arc<ProcessConfig>,
    pub(super) state: Arc<StateFolder>,
    pub(super) reverse: ReversePool,
    pub(super) number: usize,
    pub(super) status: Arc<Mutex<ProcessStatus>>,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

/// Why a process never came to work.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot invite it")]
    Invite(#[from] NewPoolError),
    #[error("cannot start {path}")]
    Start { path: String, source: io::Error },
    #[error("it ended before it registered: {status}{log}")]
    Ended { status: ExitStatus, log: String },
    #[error("cannot wait for its end")]
    Wait(#[source] io::Error),
    #[error("it did not register within {limit:?}{log}")]
    Late { limit: Duration, log: String },
}

impl Slot {
    /// Keeps a process running until it is told to stop.
    pub(super) async fn run(self) {
        let mut delays = Backoff::with_seed(self.number as u64)
            .first(Duration::from_millis(200))
            .longest(Duration::from_secs(30));
        // Folders can be large: the next process does not wait for the last one's to be removed, but the one after it does.
        let mut removing = None;
        while !self.stop.is_cancelled() {
            match self.one(&mut removing).await {
                Ok(()) => delays.reset(),
                Err(error) => {
                    let error = chain(&error);
                    tracing::warn!(slot = self.number, error, "a buildlet did not start");
                    self.note(|status| {
                        status.failures += 1;
                        status.last_failure = error;
                    });
                    self.stop
                        .run_until_cancelled(sleep(delays.next_delay()))
                        .await;
                }
            }
        }
    }

    /// One process from its start to its end.
    async fn one(&self, removing: &mut Option<tokio::task::JoinHandle<()>>) -> Result<(), Failure> {
        let name = format!("{}-{}", self.config.name, self.number);
        let invitation = self.reverse.invite(self.config.host_type.clone(), &name)?;
        let started = Instance::start(&self.config, &self.state, &invitation).await;
        let mut instance = started.map_err(|source| Failure::Start {
            path: self.config.program.path.display().to_string(),
            source,
        })?;
        let pid = instance.pid();
        self.note(|status| {
            status.pid = Some(pid);
            status.starts += 1;
        });
        let lived = self.live(&mut instance, &invitation).await;
        let ask = lived.is_err() || self.stop.is_cancelled();
        let folder = instance.end(&self.config, ask).await;
        self.note(|status| {
            status.pid = None;
            status.working = false;
        });
        if let Some(last) = removing.take() {
            // A panic in it harmed nobody else.
            let _ = last.await;
        }
        *removing = Some(self.tasks.spawn(instance::remove(folder)));
        lived
    }

    /// Returns once the process is to end, or has ended.
    async fn live(&self, instance: &mut Instance, invitation: &Invitation) -> Result<(), Failure> {
        let limit = self.config.start_limit;
        tokio::select! {
            arrived = timeout(limit, invitation.arrived()) => if arrived.is_err() {
                let log = log(instance).await;
                return Err(Failure::Late { limit, log });
            },
            ended = instance.ended() => {
                let status = ended.map_err(Failure::Wait)?;
                let log = log(instance).await;
                return Err(Failure::Ended { status, log });
            }
            () = self.stop.cancelled() => return Ok(()),
        }
        self.note(|status| {
            status.working = true;
            status.last_failure.clear();
        });
        tokio::select! {
            () = invitation.left() => {}
            _ = instance.ended() => {} // whoever has it is told by the connection's end
            () = self.stop.cancelled() => {}
        }
        Ok(())
    }

    fn note(&self, note: impl FnOnce(&mut ProcessStatus)) {
        note(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

async fn log(instance: &Instance) -> String {
    let log = instance.log_tail().await;
    if log.is_empty() {
        log
    } else {
        format!("; it said: {log}")
    }
}
