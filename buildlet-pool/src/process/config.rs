use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::HostType;

/// How a [`ProcessPool`](crate::ProcessPool) starts buildlets.
#[derive(Clone, Debug)]
pub struct ProcessConfig {
    pub(super) program: Program,
    pub(super) coordinator: String,
    pub(super) certificate: Option<PathBuf>,
    pub(super) state: PathBuf,
    pub(super) host_type: HostType,
    pub(super) count: usize,
    pub(super) name: String,
    pub(super) args: Vec<OsString>,
    pub(super) env: Vec<(OsString, Option<OsString>)>,
    pub(super) start_limit: Duration,
    pub(super) stop_limit: Duration,
}

/// A program that is a buildlet when it is started with certain arguments before its flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    pub(super) path: PathBuf,
    pub(super) args: Vec<OsString>,
}

impl Program {
    /// The program in this file, started with these arguments before the flags of a buildlet.
    #[must_use]
    pub fn new(
        path: impl Into<PathBuf>,
        args: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        Self {
            path: path.into(),
            args: args.into_iter().map(Into::into).collect(),
        }
    }

    /// The program that is running now, which becomes a buildlet when its arguments begin with these. On Linux it is the file that is running
    /// even if another has taken its place since.
    ///
    /// # Errors
    ///
    /// When the system does not say which file that is.
    pub fn this_program(
        args: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> std::io::Result<Self> {
        let path = if cfg!(target_os = "linux") {
            PathBuf::from("/proc/self/exe")
        } else {
            std::env::current_exe()?
        };
        Ok(Self::new(path, args))
    }
}

impl ProcessConfig {
    /// Starts `program`, which is to register at `coordinator` (`HOST:PORT`, over TLS) as a machine of type `host-local`, and has its files in the
    /// folder `state`, which is made if needed.
    ///
    /// The folder is for one pool at a time. What is in it does not outlive the pool.
    #[must_use]
    pub fn new(
        program: Program,
        coordinator: impl Into<String>,
        state: impl Into<PathBuf>,
    ) -> Self {
        Self {
            program,
            coordinator: coordinator.into(),
            certificate: None,
            state: state.into(),
            host_type: "host-local".into(),
            count: 1,
            name: "local".to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            start_limit: Duration::from_secs(30),
            stop_limit: Duration::from_secs(10),
        }
    }

    /// The file with the certificate, or the authority, that the coordinator is known by. What the system trusts, by default.
    #[must_use]
    pub fn certificate(mut self, file: impl Into<PathBuf>) -> Self {
        self.certificate = Some(file.into());
        self
    }

    /// The type of these machines; `host-local` by default.
    #[must_use]
    pub fn host_type(mut self, host_type: impl Into<HostType>) -> Self {
        self.host_type = host_type.into();
        self
    }

    /// How many processes there are, and so leases at once; 1 by default, and never less. At most 1,000.
    #[must_use]
    pub fn count(mut self, processes: usize) -> Self {
        self.count = processes.clamp(1, 1000);
        self
    }

    /// What the machines are called, with a number behind it; `local` by default.
    #[must_use]
    pub fn name(mut self, prefix: impl Into<String>) -> Self {
        self.name = prefix.into();
        self
    }

    /// Further flags of the buildlet, such as `--isolation=sandbox`. None by default.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args = args.into_iter().map(Into::into).collect();
        self
    }

    /// Sets a variable in the environment of the buildlets, and so of builds; or with `None` takes it away. Else they have that of this
    /// process.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: Option<OsString>) -> Self {
        self.env.push((name.into(), value));
        self
    }

    /// How long a process may take to register; 30 seconds by default. Then it is ended, and another started after a pause.
    #[must_use]
    pub fn start_limit(mut self, limit: Duration) -> Self {
        self.start_limit = limit;
        self
    }

    /// How long a process may take to end by itself once its lease is over, or it was asked to; 10 seconds by default. A buildlet gives its commands
    /// five. Then it is killed.
    #[must_use]
    pub fn stop_limit(mut self, limit: Duration) -> Self {
        self.stop_limit = limit;
        self
    }
}
