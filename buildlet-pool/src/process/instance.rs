use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use tokio::process::{Child, Command};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::config::ProcessConfig;
use super::folder::{InstanceFolder, StateFolder};
use super::identity::{ProcessIdentity, Signal, signal_group};
use crate::reverse::Invitation;

/// A buildlet that runs, in a folder and a process group of its own. Dropped, it is killed, and its folder stays for the next sweep.
pub(super) struct Instance {
    child: Child,
    pid: u32,
    folder: InstanceFolder,
}

impl Instance {
    /// Starts a process that is to register as who was invited.
    pub(super) async fn start(
        config: &Arc<ProcessConfig>,
        state: &Arc<StateFolder>,
        invitation: &Invitation,
    ) -> io::Result<Self> {
        let (state, name) = (state.clone(), invitation.host_name().to_owned());
        let key = invitation.key().clone();
        let (folder, log) = blocking(move || {
            let folder = state.new_instance(&name)?;
            folder.write_key(key.as_str())?;
            let log = folder.create_log()?;
            Ok((folder, log))
        })
        .await?;
        let mut command = command(config, invitation, &folder);
        let spawned = command.stderr(log).spawn();
        // What failed to start leaves no folder behind.
        let (child, pid) = match spawned.map(|child| (child.id(), child)) {
            Ok((Some(pid), child)) => (child, pid),
            Ok((None, _)) => return Err(discard(folder, io::ErrorKind::NotFound.into()).await),
            Err(error) => return Err(discard(folder, error).await),
        };
        let instance = Self { child, pid, folder };
        let file = instance.folder.pid_file();
        blocking(move || match ProcessIdentity::of(pid) {
            Some(process) => process.write(&file),
            // Over already, or on a system that does not tell: a pool that starts later cannot end it, only remove its folder.
            None => Ok(()),
        })
        .await?;
        Ok(instance)
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for the end of the process. Cancel safe.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// What it logged last.
    pub(super) async fn log_tail(&self) -> String {
        let folder = self.folder.clone();
        let read = spawn_blocking(move || folder.log_tail()).await;
        read.unwrap_or_default()
    }

    /// Sees to it that the process is gone: waits, after having asked it if `ask` says so, and then kills it. Its folder is for the caller to
    /// remove.
    pub(super) async fn end(mut self, config: &ProcessConfig, ask: bool) -> InstanceFolder {
        if ask && matches!(self.child.try_wait(), Ok(None)) {
            signal_group(self.pid, Signal::Terminate);
        }
        if timeout(config.stop_limit, self.child.wait()).await.is_err() {
            tracing::warn!(
                pid = self.pid,
                "a buildlet does not end by itself, and is killed"
            );
            // Its commands have supervisors, which end them when the buildlet is gone.
            signal_group(self.pid, Signal::Kill);
            if let Err(error) = self.child.kill().await {
                tracing::error!(pid = self.pid, %error, "cannot kill a buildlet");
            }
        }
        self.folder
    }
}

/// Removes a folder, and again if something that is just ending still writes to it.
pub(super) async fn remove(folder: InstanceFolder) {
    const ATTEMPTS: usize = 20;
    const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);
    for attempt in 1.. {
        let removing = folder.clone();
        match blocking(move || removing.remove()).await {
            Ok(()) => return,
            Err(error) if attempt == ATTEMPTS => {
                return tracing::error!(?folder, %error, "cannot remove the folder of a buildlet");
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

fn command(config: &ProcessConfig, invitation: &Invitation, folder: &InstanceFolder) -> Command {
    let mut command = Command::new(&config.program.path);
    command
        .args(&config.program.args)
        .args(["--once", "--quiet", "--health-addr=none"])
        .arg(format!("--reverse-type={}", invitation.host_type()))
        .arg(format!("--hostname={}", invitation.host_name()))
        .arg(format!("--coordinator={}", config.coordinator))
        .arg("--key-file")
        .arg(folder.key_file())
        .arg("--workdir")
        .arg(folder.work_dir());
    if let Some(certificate) = &config.certificate {
        command.arg("--ca").arg(certificate);
    }
    command.args(&config.args);
    command
        .env_clear()
        .envs(config.environment(std::env::vars_os()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true);
    // An interrupt at the terminal is for the coordinator, which then ends its buildlets.
    #[cfg(unix)]
    command.process_group(0);
    command
}

async fn discard(folder: InstanceFolder, error: io::Error) -> io::Error {
    remove(folder).await;
    error
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}
