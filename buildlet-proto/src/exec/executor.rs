use std::error::Error;
use std::fmt;
use std::io;
#[cfg(unix)]
use std::io::PipeWriter;
use std::path::PathBuf;
#[cfg(target_os = "linux")]
use std::sync::Arc;
use std::time::Duration;

#[cfg(unix)]
use tokio::{net::unix::pipe, sync::mpsc};
#[cfg(unix)]
use tokio_util::sync::CancellationToken;

#[cfg(target_os = "linux")]
use super::supervisor::{Started, Supervisors};
use super::{Command, Enforcement, Launcher, Running};
#[cfg(unix)]
use super::{
    direct::Direct,
    watch::{Bounds, Parent, Watch},
};
#[cfg(unix)]
use crate::types::ext::{Isolation, Mechanism, Network};

/// Runs commands.
///
/// It sets no bound to how many run at a time: that is for its owner, for instance with a [`tokio::sync::Semaphore`] whose permit is kept
/// beside the [`Running`].
#[derive(Debug, Default)]
pub struct Executor {
    config: Config,
    #[cfg(target_os = "linux")]
    supervisors: Option<Arc<Supervisors>>,
}

/// How an [`Executor`] runs commands.
#[derive(Clone, Debug)]
pub struct Config {
    chunk_bytes: usize,
    queue_chunks: usize,
    terminate: Duration,
    linger: Option<Duration>,
    launcher: Option<Launcher>,
    cgroup: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            chunk_bytes: 32 << 10,
            queue_chunks: 4,
            terminate: Duration::ZERO,
            linger: Some(Duration::from_secs(5)),
            launcher: None,
            cgroup: None,
        }
    }
}

impl Config {
    /// The most bytes of one piece of output; 32 KiB by default, at least one.
    #[must_use]
    pub fn chunk_bytes(mut self, bytes: usize) -> Self {
        self.chunk_bytes = bytes.max(1);
        self
    }

    /// How many pieces of output wait for a slow reader before the command has to wait; 4 by default, at least one. Beside them the
    /// system's pipe holds 64 KiB.
    #[must_use]
    pub fn queue_chunks(mut self, count: usize) -> Self {
        self.queue_chunks = count.max(1);
        self
    }

    /// How long a command that is to end (by [`Running::kill`] or a limit) has between `SIGTERM` to its process group and `SIGKILL` to
    /// everything. Zero, the default, is `SIGKILL` at once. A [`Running`] that is dropped never waits.
    #[must_use]
    pub fn terminate(mut self, grace: Duration) -> Self {
        self.terminate = grace;
        self
    }

    /// How long processes that a command leaves behind may keep its output open and add to it; 5 seconds by default. Then they are
    /// killed. `None` waits for ever, as the Go program does. Those that do not have the output open are killed when the command
    /// ends.
    #[must_use]
    pub fn linger(mut self, limit: Option<Duration>) -> Self {
        self.linger = limit;
        self
    }

    /// Has commands run under supervisors: see [`Launcher`]. None by default. Not used on other systems than Linux.
    #[must_use]
    pub fn launcher(mut self, launcher: Launcher) -> Self {
        self.launcher = Some(launcher);
        self
    }

    /// The directory of the control group (version 2) in which each command on level [`Isolation::Sandbox`] gets one of its own; by default
    /// the group that this program is in.
    ///
    /// For limits it must not have processes of its own, unless it is the root group: with systemd, `Delegate=yes` and
    /// `DelegateSubgroup=main`, and then the unit's group here.
    #[must_use]
    pub fn cgroup(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cgroup = Some(dir.into());
        self
    }
}

/// Why there is no [`Running`]. That a program cannot be started is no such error, but an [`Outcome`](super::Outcome).
#[derive(Debug)]
#[non_exhaustive]
pub enum SpawnError {
    /// A pipe or thread could not be made.
    Resources(io::Error),
    /// A supervisor could not be started, or does not do its work.
    Supervisor(io::Error),
    /// What [`Command::require_isolation`] asks for is not to be had here.
    NotEnforced(Enforcement),
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resources(_) => f.write_str("cannot prepare to run a command"),
            Self::Supervisor(_) => f.write_str("cannot use a supervisor for a command"),
            Self::NotEnforced(enforcement) => {
                write!(f, "isolation is not available: {enforcement}")
            }
        }
    }
}

impl Error for SpawnError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Resources(error) | Self::Supervisor(error) => Some(error),
            Self::NotEnforced(_) => None,
        }
    }
}

impl Executor {
    /// An executor with this configuration. Nothing is started yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            #[cfg(target_os = "linux")]
            supervisors: config
                .launcher
                .clone()
                .map(|launcher| Arc::new(Supervisors::new(launcher))),
            config,
        }
    }

    /// Starts a command.
    ///
    /// # Errors
    ///
    /// When the machinery fails. A program that cannot be started (there is no such file, it is not executable, its directory is
    /// missing) gives a [`Running`] that has ended, with the text that a Go client expects.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future kills what it may have started.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time enabled.
    pub async fn spawn(&self, command: Command) -> Result<Running, SpawnError> {
        #[cfg(unix)]
        return self.run(command).await;
        #[cfg(not(unix))]
        Err(SpawnError::Resources(io::Error::new(
            io::ErrorKind::Unsupported,
            format!(
                "commands such as {} are run on Unix alone",
                command.program().display()
            ),
        )))
    }
}

#[cfg(unix)]
impl Executor {
    async fn run(&self, command: Command) -> Result<Running, SpawnError> {
        let (reader, writer) = io::pipe().map_err(SpawnError::Resources)?;
        let reader = pipe::Receiver::from_owned_fd(reader.into()).map_err(SpawnError::Resources)?;
        let bounds = Bounds {
            timeout: command.timeout,
            output_bytes: command.output_bytes,
            terminate: self.config.terminate,
            linger: self.config.linger,
            chunk_bytes: self.config.chunk_bytes,
        };
        let (parent, enforced) = match self.start(command, writer).await? {
            Begun::Running(parent, enforced) => (parent, enforced),
            Begun::Failed(text, enforced) => return Ok(Running::failed(text, enforced)),
        };
        let (sender, chunks) = mpsc::channel(self.config.queue_chunks);
        let kill = CancellationToken::new();
        let watch = Watch::new(parent, reader, sender, bounds);
        let task = tokio::spawn(watch.run(kill.clone(), enforced.clone()));
        Ok(Running::new(task, chunks, kill, enforced))
    }

    async fn start(&self, command: Command, output: PipeWriter) -> Result<Begun, SpawnError> {
        #[cfg(target_os = "linux")]
        if let Some(supervisors) = &self.supervisors {
            let setup = command.setup(self.config.cgroup.as_deref());
            let started = supervisors.start(setup, command.into_start(), output);
            return match started.await.map_err(SpawnError::Supervisor)? {
                Started::Running(supervised, enforced) => {
                    Ok(Begun::Running(Parent::Supervised(supervised), enforced))
                }
                Started::Failed(text, enforced) => Ok(Begun::Failed(text, enforced)),
                Started::Refused(enforced) => Err(SpawnError::NotEnforced(enforced)),
            };
        }
        let enforced = without_launcher(&command);
        if command.require && !enforced.is_complete() {
            return Err(SpawnError::NotEnforced(enforced));
        }
        let started = Direct::start(command.into_start(), output).await;
        Ok(match started.map_err(SpawnError::Resources)? {
            Ok(direct) => Begun::Running(Parent::Direct(direct), enforced),
            Err(text) => Begun::Failed(text, enforced),
        })
    }
}

#[cfg(unix)]
enum Begun {
    Running(Parent, Enforcement),
    Failed(String, Enforcement),
}

/// What a command gets that this process starts itself.
#[cfg(unix)]
fn without_launcher(command: &Command) -> Enforcement {
    const REASON: &str = "needs a launcher";
    let mut enforced = Enforcement::new(command.isolation);
    enforced.add(Mechanism::ProcessGroup, "kill on end");
    if command.isolation >= Isolation::Process {
        enforced.miss(Mechanism::Session, REASON);
        enforced.miss(Mechanism::Rlimits, REASON);
    }
    if command.isolation >= Isolation::Sandbox {
        enforced.miss(Mechanism::Capabilities, REASON);
        enforced.miss(Mechanism::NoNewPrivs, REASON);
        enforced.miss(Mechanism::Landlock, REASON);
        enforced.miss(Mechanism::Scope, REASON);
        if command.limits.need_group() {
            enforced.miss(Mechanism::Cgroup, REASON);
        }
        if !command.sandbox.hidden.is_empty() {
            enforced.miss(Mechanism::HiddenFiles, REASON);
        }
    }
    if command.network == Network::Off {
        enforced.miss(Mechanism::NetworkOff, REASON);
    }
    enforced
}
