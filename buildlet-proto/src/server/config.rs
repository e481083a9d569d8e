use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::fetch::Fetch;
use super::resume;
use super::ssh::SshTarget;
use crate::archive::Policy;
use crate::exec::{Executor, Limits};
use crate::types::Form;
use crate::types::ext::Isolation;

/// How a [`Server`](super::Server) behaves: what it may do, and the limits that keep a peer from using the machine up.
///
/// ```
/// use std::time::Duration;
/// let config = buildlet_proto::server::Config::default()
///     .password("sekret")
///     .max_execs(4)
///     .idle_limit(Duration::from_secs(600));
/// ```
#[derive(Clone)]
pub struct Config {
    pub(super) password: Option<String>,
    pub(super) host: HostName,
    pub(super) environment: Option<Vec<(OsString, OsString)>>,
    pub(super) executor: Arc<Executor>,
    pub(super) isolation: Isolation,
    pub(super) command_limits: Limits,
    pub(super) policy: Policy,
    pub(super) halt: Option<Arc<dyn Fn() + Send + Sync>>,
    pub(super) fetch: Option<Arc<dyn Fetch>>,
    pub(super) ssh: Option<Arc<dyn SshTarget>>,
    pub(super) max_connections: usize,
    pub(super) max_execs: usize,
    pub(super) kept: resume::Limits,
    pub(super) max_upload: u64,
    pub(super) max_form: usize,
    pub(super) head_limit: Duration,
    pub(super) idle_limit: Duration,
    pub(super) stall_limit: Duration,
    pub(super) fetch_limit: Duration,
    pub(super) grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            password: None,
            host: HostName::native(),
            environment: None,
            executor: Arc::default(),
            isolation: Isolation::None,
            command_limits: Limits::default(),
            policy: Policy::upstream(),
            halt: None,
            fetch: None,
            ssh: None,
            max_connections: 256,
            max_execs: 64,
            kept: resume::Limits {
                commands: 8,
                grace: Duration::from_secs(600),
                bytes: 4 << 20,
            },
            max_upload: 64 << 30,
            max_form: Form::MAX_BYTES,
            head_limit: Duration::from_secs(30),
            idle_limit: Duration::from_secs(3600),
            stall_limit: Duration::from_secs(300),
            fetch_limit: Duration::from_secs(1800),
            grace: Duration::from_secs(5),
        }
    }
}

impl Config {
    /// The password that every request must bring, by HTTP Basic authentication under any user name; those for `/`, `/healthz` and `/debug/x`
    /// need none. By default, and with an empty one, everybody may do everything: for connections that are trusted already, as those of a
    /// reverse buildlet.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into()).filter(|password| !password.is_empty());
        self
    }

    /// Operating system and architecture by Go's names, for the text of `/`; by default those of this program.
    #[must_use]
    pub fn host(mut self, os: impl Into<String>, arch: impl Into<String>) -> Self {
        self.host = HostName {
            os: os.into(),
            arch: arch.into(),
        };
        self
    }

    /// The environment that commands start with, and whose `PATH` is searched for them. By default that of this program, at the time when the
    /// server is made. The secrets of a buildlet, such as `META_password`, are left out in any case.
    #[must_use]
    pub fn environment<K, V>(mut self, variables: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let pair = |(key, value): (K, V)| (key.into(), value.into());
        self.environment = Some(variables.into_iter().map(pair).collect());
        self
    }

    /// What runs the commands; by default an [`Executor`] as it comes.
    #[must_use]
    pub fn executor(mut self, executor: Executor) -> Self {
        self.executor = Arc::new(executor);
        self
    }

    /// How far every command is kept from the rest of the machine, at least; by default only those that ask for it are.
    #[must_use]
    pub fn isolation(mut self, least: Isolation) -> Self {
        self.isolation = least;
        self
    }

    /// What a command may use, if it is isolated at all.
    #[must_use]
    pub fn command_limits(mut self, limits: Limits) -> Self {
        self.command_limits = limits;
        self
    }

    /// The rules for archives that are unpacked; by default [`Policy::upstream`], which Go coordinators count on.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// What `/halt` does, a second after it was answered. It runs on a thread that may block. By default there is nothing, and the request
    /// is refused with 501.
    #[must_use]
    pub fn on_halt(mut self, action: impl Fn() + Send + Sync + 'static) -> Self {
        self.halt = Some(Arc::new(action));
        self
    }

    /// Who fetches the archives that `POST /writetgz` names by URL; by default nobody, and such a request is refused with 501.
    ///
    /// Whoever may call this buildlet can so have it send requests into its network. As it runs any command for them, that
    /// gives them nothing new, unless commands are kept from the network.
    #[must_use]
    pub fn fetch(mut self, fetch: impl Fetch + 'static) -> Self {
        self.fetch = Some(Arc::new(fetch));
        self
    }

    /// Where `/connect-ssh` leads; by default nowhere, and it is refused with 501.
    #[must_use]
    pub fn ssh(mut self, target: impl SshTarget + 'static) -> Self {
        self.ssh = Some(Arc::new(target));
        self
    }

    /// How many connections may be open; 256 by default. Further ones get 503, and are closed.
    ///
    /// A coordinator keeps two idle ones to each buildlet. A connection costs a few kilobytes and a descriptor, and each upload
    /// or download half a megabyte and a thread.
    #[must_use]
    pub fn max_connections(mut self, count: usize) -> Self {
        self.max_connections = count;
        self
    }

    /// How many commands may run at the same time; 64 by default. Further ones are refused with 503.
    #[must_use]
    pub fn max_execs(mut self, count: usize) -> Self {
        self.max_execs = count;
        self
    }

    /// How many commands may [outlive their connections](crate::types::ext#commands-that-outlive-their-connection) at a time, ended ones that
    /// are asked for again included; 8 by default. With 0 the extension is not offered. Further ones are refused with 503.
    #[must_use]
    pub fn max_kept(mut self, count: usize) -> Self {
        self.kept.commands = count;
        self
    }

    /// The longest that a command may outlive its connection, whatever its client asks for; ten minutes by default. Then it is killed.
    #[must_use]
    pub fn kept_limit(mut self, limit: Duration) -> Self {
        self.kept.grace = limit;
        self
    }

    /// How much of the output that was sent of such a command can be had again, in bytes, and how much it may write while
    /// nobody reads before it has to wait; 4 MiB by default, at least one byte. So it takes twice as much memory.
    ///
    /// It should be more than is on its way in the network: that is lost with a connection.
    #[must_use]
    pub fn kept_bytes(mut self, bytes: usize) -> Self {
        self.kept.bytes = bytes.max(1);
        self
    }

    /// The longest body of `/write` and `/writetgz`, as it comes, in bytes; 64 GiB by default. Longer ones are refused with 413; what came of them
    /// stays.
    #[must_use]
    pub fn max_upload(mut self, bytes: u64) -> Self {
        self.max_upload = bytes;
        self
    }

    /// The longest form in a body, in bytes; 10 MiB by default and at most. Longer ones are refused with 413, where upstream loses their fields
    /// silently.
    #[must_use]
    pub fn max_form(mut self, bytes: usize) -> Self {
        self.max_form = bytes;
        self
    }

    /// How long the head of a request may take from its first byte to its last; 30 s by default. A head may have 64 KiB and 100 headers,
    /// whatever its time.
    #[must_use]
    pub fn head_limit(mut self, limit: Duration) -> Self {
        self.head_limit = limit;
        self
    }

    /// How long a connection may be idle; an hour by default.
    ///
    /// Coordinators keep idle connections for ever, and a request may cross with the closing of its connection. So this is meant for those that nobody
    /// remembers.
    #[must_use]
    pub fn idle_limit(mut self, limit: Duration) -> Self {
        self.idle_limit = limit;
        self
    }

    /// How long a peer may let us wait, in the middle of an upload for its next bytes, or in that of a reply until it reads; 5 minutes by default.
    #[must_use]
    pub fn stall_limit(mut self, limit: Duration) -> Self {
        self.stall_limit = limit;
        self
    }

    /// How long fetching an archive from a URL may take, unpacking included; half an hour by default.
    #[must_use]
    pub fn fetch_limit(mut self, limit: Duration) -> Self {
        self.fetch_limit = limit;
        self
    }

    /// How long running requests may take to end once the server is to stop; 5 s by default, then they are cut off, and commands
    /// killed.
    #[must_use]
    pub fn grace(mut self, limit: Duration) -> Self {
        self.grace = limit;
        self
    }

    /// Checks what setters cannot.
    pub(super) fn validate(self) -> Result<Self, ConfigError> {
        for (count, what) in [
            (self.max_connections, "max_connections"),
            (self.max_execs, "max_execs"),
        ] {
            if !(1..=tokio::sync::Semaphore::MAX_PERMITS).contains(&count) {
                return Err(ConfigError { what });
            }
        }
        for (limit, what) in [
            (self.head_limit, "head_limit"),
            (self.idle_limit, "idle_limit"),
            (self.stall_limit, "stall_limit"),
            (self.fetch_limit, "fetch_limit"),
        ] {
            if limit.is_zero() {
                return Err(ConfigError { what });
            }
        }
        Ok(self)
    }
}

impl fmt::Debug for Config {
    /// Without the password and the environment, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("host", &self.host)
            .field("max_connections", &self.max_connections)
            .field("max_execs", &self.max_execs)
            .field("max_upload", &self.max_upload)
            .finish_non_exhaustive()
    }
}

/// A [`Config`] cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    what: &'static str,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is zero or too large", self.what)
    }
}

impl std::error::Error for ConfigError {}

/// Operating system and architecture of a machine by Go's names; displays as `linux-amd64`.
#[derive(Clone, Debug)]
pub struct HostName {
    os: String,
    arch: String,
}

impl HostName {
    /// The machine that the program was built for.
    #[must_use]
    pub fn native() -> Self {
        let little = cfg!(target_endian = "little");
        let os = match std::env::consts::OS {
            "macos" => "darwin",
            other => other,
        };
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "x86" => "386",
            "aarch64" => "arm64",
            "loongarch64" => "loong64",
            "powerpc64" if little => "ppc64le",
            "powerpc64" => "ppc64",
            "mips" if little => "mipsle",
            "mips64" if little => "mips64le",
            other => other,
        };
        Self {
            os: os.into(),
            arch: arch.into(),
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.os, self.arch)
    }
}
