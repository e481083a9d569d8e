use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[cfg(target_os = "linux")]
use super::isolate::Setup;
#[cfg(unix)]
use super::start::Start;
use crate::types::ext::{Isolation, Network};

/// One command to run: what `/exec` is told, resolved.
///
/// ```
/// use buildlet_proto::exec::{Command, Limits};
/// use buildlet_proto::types::ext::Isolation;
/// use std::time::Duration;
/// let command = Command::new("/bin/sh")
///     .args(["-c", "make -j8"])
///     .dir("/workdir/src")
///     .envs(["PATH=/usr/bin:/bin", "HOME=/workdir"])
///     .timeout(Duration::from_secs(600))
///     .isolation(Isolation::Process)
///     .limits(Limits::default().open_files(4096));
/// ```
#[derive(Clone, Debug)]
pub struct Command {
    pub(super) program: PathBuf,
    pub(super) args: Vec<OsString>,
    pub(super) dir: Option<PathBuf>,
    pub(super) env: Vec<OsString>,
    pub(super) timeout: Option<Duration>,
    pub(super) output_bytes: Option<u64>,
    pub(super) isolation: Isolation,
    pub(super) limits: Limits,
    pub(super) sandbox: Sandbox,
    pub(super) network: Network,
    pub(super) require: bool,
}

impl Command {
    /// A command without arguments, with an **empty** environment, in the directory of this process, without a time limit and
    /// without isolation.
    ///
    /// `program` is the path of a file; no `PATH` is searched. What a request names becomes such a path by [`Workplace::command`](super::Workplace::command).
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            dir: None,
            env: Vec::new(),
            timeout: None,
            output_bytes: None,
            isolation: Isolation::None,
            limits: Limits::default(),
            sandbox: Sandbox::default(),
            network: Network::On,
            require: false,
        }
    }

    /// Adds arguments behind those already there. The zeroth argument is always the program's path.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// The directory to run in.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Adds `K=V` entries behind those already there. Of several with one key the last counts, and entries without `=` are left
    /// out. Nothing is inherited.
    #[must_use]
    pub fn envs(mut self, entries: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.env.extend(entries.into_iter().map(Into::into));
        self
    }

    /// How long the command may run before it is killed with all that it started; without limit by default.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// How much the command may write before it is killed with all that it started; without limit by default.
    #[must_use]
    pub fn output_bytes(mut self, limit: u64) -> Self {
        self.output_bytes = Some(limit);
        self
    }

    /// How far the command is kept from the rest of the machine; [`Isolation::None`] by default.
    #[must_use]
    pub fn isolation(mut self, level: Isolation) -> Self {
        self.isolation = level;
        self
    }

    /// What the command may use, from level [`Isolation::Process`] on.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Where the command may write, and what it must not see, on level [`Isolation::Sandbox`].
    #[must_use]
    pub fn sandbox(mut self, sandbox: Sandbox) -> Self {
        self.sandbox = sandbox;
        self
    }

    /// Whether the command sees the network, on any level; [`Network::On`] by default.
    #[must_use]
    pub fn network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    /// Whether it is an error, [`SpawnError::NotEnforced`](super::SpawnError::NotEnforced), if something asked for cannot be
    /// enforced here. By default the command runs all the same, and [`Enforcement`](super::Enforcement) tells what is missing.
    #[must_use]
    pub fn require_isolation(mut self, yes: bool) -> Self {
        self.require = yes;
        self
    }

    #[cfg(unix)]
    pub(super) fn into_start(self) -> Start {
        Start {
            program: self.program,
            args: self.args,
            dir: self.dir,
            env: self.env,
        }
    }

    /// What its supervisor has to put on itself. Equal for commands to which it makes no difference.
    #[cfg(target_os = "linux")]
    pub(super) fn setup(&self, cgroup: Option<&Path>) -> Setup {
        let mut setup = Setup {
            isolation: self.isolation,
            network: self.network,
            require: self.require,
            ..Setup::default()
        };
        if self.isolation >= Isolation::Process {
            setup.limits = self.limits;
        }
        if self.isolation >= Isolation::Sandbox {
            setup.sandbox = self.sandbox.clone();
            setup.cgroup = cgroup.map(Path::to_owned);
        }
        setup
    }

    /// The file that is run.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The directory asked for.
    #[must_use]
    pub fn working_dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// The environment's entries.
    pub fn environment(&self) -> impl Iterator<Item = &OsStr> {
        self.env.iter().map(OsString::as_os_str)
    }
}

/// What a command and all that it started may use together or each.
///
/// A limit that is not set is inherited, but for core files, of which there are none from level [`Isolation::Process`] on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Limits {
    pub(super) core_bytes: Option<u64>,
    pub(super) open_files: Option<u64>,
    pub(super) file_bytes: Option<u64>,
    pub(super) address_space_bytes: Option<u64>,
    pub(super) user_processes: Option<u64>,
    pub(super) memory_bytes: Option<u64>,
    pub(super) tasks: Option<u64>,
    pub(super) cpu_percent: Option<u64>,
}

impl Limits {
    /// How many there are.
    #[cfg(target_os = "linux")]
    pub(super) const COUNT: usize = 8;

    /// Whether there are some that only a control group enforces.
    pub(super) fn need_group(&self) -> bool {
        [self.memory_bytes, self.tasks, self.cpu_percent]
            .iter()
            .any(Option::is_some)
    }

    #[cfg(target_os = "linux")]
    pub(super) fn as_array(&self) -> [Option<u64>; Self::COUNT] {
        [
            self.core_bytes,
            self.open_files,
            self.file_bytes,
            self.address_space_bytes,
            self.user_processes,
            self.memory_bytes,
            self.tasks,
            self.cpu_percent,
        ]
    }

    #[cfg(target_os = "linux")]
    pub(super) fn from_array(limits: [Option<u64>; Self::COUNT]) -> Self {
        let [
            core_bytes,
            open_files,
            file_bytes,
            address_space_bytes,
            user_processes,
            memory_bytes,
            tasks,
            cpu_percent,
        ] = limits;
        Self {
            core_bytes,
            open_files,
            file_bytes,
            address_space_bytes,
            user_processes,
            memory_bytes,
            tasks,
            cpu_percent,
        }
    }

    /// Bytes of a core file (`RLIMIT_CORE`), 0 unless set.
    #[must_use]
    pub fn core_bytes(mut self, bytes: u64) -> Self {
        self.core_bytes = Some(bytes);
        self
    }

    /// Open files of each process (`RLIMIT_NOFILE`).
    #[must_use]
    pub fn open_files(mut self, count: u64) -> Self {
        self.open_files = Some(count);
        self
    }

    /// Bytes of each file that is written (`RLIMIT_FSIZE`).
    #[must_use]
    pub fn file_bytes(mut self, bytes: u64) -> Self {
        self.file_bytes = Some(bytes);
        self
    }

    /// Bytes of address space of each process (`RLIMIT_AS`), at least [`MIN_ADDRESS_SPACE`](Self::MIN_ADDRESS_SPACE). Go programs and
    /// sanitizers reserve far more than they use.
    #[must_use]
    pub fn address_space_bytes(mut self, bytes: u64) -> Self {
        self.address_space_bytes = Some(bytes.max(Self::MIN_ADDRESS_SPACE));
        self
    }

    /// Below this the process that starts the command could not live under the limit itself.
    pub const MIN_ADDRESS_SPACE: u64 = 512 << 20;

    /// Processes and threads of the *user*, other commands' included (`RLIMIT_NPROC`); the superuser is not bound by it.
    #[must_use]
    pub fn user_processes(mut self, count: u64) -> Self {
        self.user_processes = Some(count);
        self
    }

    /// Bytes of memory of the whole command (`memory.max`, without swap); only on level [`Isolation::Sandbox`].
    #[must_use]
    pub fn memory_bytes(mut self, bytes: u64) -> Self {
        self.memory_bytes = Some(bytes);
        self
    }

    /// Processes and threads of the whole command (`pids.max`); only on level [`Isolation::Sandbox`].
    #[must_use]
    pub fn tasks(mut self, count: u64) -> Self {
        self.tasks = Some(count);
        self
    }

    /// CPU time of the whole command, in percent of one CPU: 250 is two and a half (`cpu.max`); only on level [`Isolation::Sandbox`].
    #[must_use]
    pub fn cpu_percent(mut self, percent: u32) -> Self {
        self.cpu_percent = Some(percent.into());
        self
    }
}

/// Where a command on level [`Isolation::Sandbox`] may write, and what it must not see.
///
/// By default it may write to `/tmp`, `/var/tmp`, `/dev/shm` and the harmless devices (`/dev/null` and the like); a server adds the work
/// directory. It may read and run whatever its user may, but for what is hidden. The rules are about opening, creating, removing and
/// renaming files: the mode, owner and times of its user's other files are not protected (Landlock does not know those).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sandbox {
    pub(super) writable: Vec<PathBuf>,
    pub(super) hidden: Vec<PathBuf>,
}

impl Default for Sandbox {
    fn default() -> Self {
        let writable = ["/tmp", "/var/tmp", "/dev/shm"];
        Self {
            writable: writable.map(PathBuf::from).into(),
            hidden: Vec::new(),
        }
    }
}

impl Sandbox {
    /// A sandbox in which nothing is writable but devices.
    #[must_use]
    pub fn read_only() -> Self {
        Self {
            writable: Vec::new(),
            hidden: Vec::new(),
        }
    }

    /// Lets the command write to a directory and everything below it, or to a file. What does not exist when the command starts is
    /// passed over.
    #[must_use]
    pub fn writable(mut self, path: impl Into<PathBuf>) -> Self {
        self.writable.push(path.into());
        self
    }

    /// Hides a file (it is empty for the command) or a directory (likewise), such as a key file. Needs the right to mount: see
    /// [`Enforcement`](super::Enforcement).
    #[must_use]
    pub fn hidden(mut self, path: impl Into<PathBuf>) -> Self {
        self.hidden.push(path.into());
        self
    }
}
