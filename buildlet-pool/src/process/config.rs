use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
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
    inherited: Vec<String>,
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
            inherited: Vec::new(),
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

    /// Variables of this process that buildlets, and so builds, get besides [`INHERITED_VARIABLES`]: names, or with `*` at the end all that begin so.
    /// None by default: what a coordinator was started with (credentials, `CARGO_TARGET_DIR`, what `cargo run` sets) is not for builds.
    #[must_use]
    pub fn inherit(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.inherited.extend(names.into_iter().map(Into::into));
        self
    }

    /// Sets a variable in the environment of the buildlets, and so of builds; or with `None` takes away one that they would
    /// [inherit](Self::inherit).
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

    /// What a buildlet's environment is, of the variables of this process.
    pub(super) fn environment(
        &self,
        own: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> BTreeMap<OsString, OsString> {
        let inherited = own.into_iter().filter(|(name, _)| self.inherits(name));
        let mut environment: BTreeMap<_, _> = inherited.collect();
        for (name, value) in &self.env {
            match value {
                Some(value) => environment.insert(name.clone(), value.clone()),
                None => environment.remove(name),
            };
        }
        environment
    }

    fn inherits(&self, name: &OsStr) -> bool {
        let Some(name) = name.to_str() else {
            return false;
        };
        let usual = INHERITED_VARIABLES.iter().copied();
        let mut patterns = usual.chain(self.inherited.iter().map(String::as_str));
        patterns.any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => is_prefix(start, name),
            None => pattern.len() == name.len() && is_prefix(pattern, name),
        })
    }
}

/// The variables of its own that a [`ProcessPool`](crate::ProcessPool) hands on to its buildlets: what says where programs, the user's folders and
/// toolchains are, language, time zone, and how the network is reached. Those that end in `*` stand for all that begin so.
pub const INHERITED_VARIABLES: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    // Where toolchains, their downloads and their caches are.
    "CARGO_HOME",
    "RUSTUP_HOME",
    "GOROOT",
    "GOPATH",
    "GOMODCACHE",
    "GOCACHE",
    "GOPROXY",
    "GONOSUMDB",
    "GOPRIVATE",
    "GOSUMDB",
    "JAVA_HOME",
    // How the network is reached, and whom to believe there.
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    // Without which little starts on Windows.
    "SystemRoot",
    "SystemDrive",
    "windir",
    "ComSpec",
    "PATHEXT",
    "TEMP",
    "TMP",
    "USERPROFILE",
    "USERNAME",
    "APPDATA",
    "LOCALAPPDATA",
    "ProgramData",
    "ProgramFiles*",
    "NUMBER_OF_PROCESSORS",
    "PROCESSOR_ARCHITECTURE",
];

/// Whether a variable's name begins so, by the rules of the system.
fn is_prefix(start: &str, name: &str) -> bool {
    let Some(beginning) = name.get(..start.len()) else {
        return false;
    };
    if cfg!(windows) {
        beginning.eq_ignore_ascii_case(start)
    } else {
        beginning == start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buildlets_get_what_they_need_and_nothing_else() {
        let pool = ProcessConfig::new(Program::new("buildlet", [""; 0]), "localhost:1", "state")
            .inherit(["CI_*", "EDITOR"])
            .env("HOME", Some("/home/ci".into()))
            .env("TZ", None);
        let own = [
            ("PATH", "/bin"),
            ("HOME", "/root"),
            ("TZ", "Europe/Berlin"),
            ("LC_ALL", "C"),
            ("CI_SERVER", "1"),
            ("EDITOR", "ed"),
            ("EDITORS", "ed"),
            ("PATHS", "/bin"),
            ("CARGO_TARGET_DIR", "/tmp/target"),
            ("CARGO_MANIFEST_DIR", "/src"),
            ("RUSTUP_TOOLCHAIN", "nightly"),
            ("LD_LIBRARY_PATH", "/lib"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
        ];
        let given = pool.environment(own.map(|(name, value)| (name.into(), value.into())));
        let given: Vec<_> = given
            .iter()
            .map(|(name, value)| (name.to_str().unwrap(), value.to_str().unwrap()))
            .collect();
        assert_eq!(
            given,
            [
                ("CI_SERVER", "1"),
                ("EDITOR", "ed"),
                ("HOME", "/home/ci"),
                ("LC_ALL", "C"),
                ("PATH", "/bin"),
            ]
        );
    }
}
