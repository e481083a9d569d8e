use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::exec::SECRET_VARIABLES;
use crate::ssh::host_key::HostKey;
use crate::ssh::keys::AuthorizedKeys;

/// Limit of [`Config::max_channels`]; beyond it, a connection has more processes than a person can follow.
const MOST_CHANNELS: usize = 100;

/// Variables a client may set unless told otherwise: OpenSSH's usual ones, and those of the Go tool.
const ACCEPTED: [&str; 6] = ["LANG", "LC_*", "TZ", "COLORTERM", "GO*", "CGO_*"];

/// What an SSH server serves and to whom.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) workdir: PathBuf,
    pub(crate) host_key: Option<HostKey>,
    pub(crate) keys: AuthorizedKeys,
    pub(crate) shell: OsString,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) accept_env: Vec<String>,
    pub(crate) max_connections: usize,
    pub(crate) max_channels: usize,
    pub(crate) max_auth_attempts: usize,
    pub(crate) refusal_time: Duration,
    pub(crate) login_limit: Duration,
    pub(crate) idle_limit: Option<Duration>,
}

impl Config {
    /// Serves the work directory `workdir`, which shells start in and `sftp` is confined to; made anew when it is gone.
    #[must_use]
    pub fn new(workdir: impl Into<PathBuf>) -> Self {
        let workdir = workdir.into();
        Self {
            host_key: None,
            keys: AuthorizedKeys::new(),
            shell: default_shell(),
            env: own_env(&workdir),
            workdir,
            accept_env: ACCEPTED.map(str::to_owned).into(),
            max_connections: 16,
            max_channels: 10,
            max_auth_attempts: 6,
            refusal_time: Duration::from_secs(1),
            login_limit: Duration::from_secs(30),
            idle_limit: None,
        }
    }

    /// The key by which clients know the server; made for this one process if not given.
    #[must_use]
    pub fn host_key(mut self, key: HostKey) -> Self {
        self.host_key = Some(key);
        self
    }

    /// Whose keys open the server; nobody's by default. The list is shared, so keys can be added while the server runs.
    #[must_use]
    pub fn keys(mut self, keys: AuthorizedKeys) -> Self {
        self.keys = keys;
        self
    }

    /// The shell. By default that of the Go buildlet: `bash` on Linux and `cmd.exe` on Windows; elsewhere, and on a Linux
    /// without `bash`, `$SHELL` or `/bin/sh`.
    ///
    /// It runs without arguments for a shell, and with `-c COMMAND` (`/C COMMAND` on Windows) for a command.
    #[must_use]
    pub fn shell(mut self, program: impl Into<OsString>) -> Self {
        self.shell = program.into();
        self
    }

    /// The environment of every shell and command. By default the process's own without
    /// [`SECRET_VARIABLES`](crate::exec::SECRET_VARIABLES), and with `WORKDIR`. `PWD`, `TERM`, and what the client sets and
    /// [`accept_env`](Self::accept_env) lets through come on top.
    #[must_use]
    pub fn env<K: Into<OsString>, V: Into<OsString>>(
        mut self,
        env: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.env = env
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        self
    }

    /// Which variables a client may set: names, or beginnings of names with a `*`. By default `LANG`, `LC_*`, `TZ`,
    /// `COLORTERM`, `GO*` and `CGO_*`.
    #[must_use]
    pub fn accept_env<S: Into<String>>(mut self, patterns: impl IntoIterator<Item = S>) -> Self {
        self.accept_env = patterns.into_iter().map(Into::into).collect();
        self
    }

    /// Connections at the same time, logged in or not; 16 by default.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Shells, commands and file transfers at the same time within one connection; 10 by default as in OpenSSH, at most 100.
    #[must_use]
    pub fn max_channels(mut self, channels: usize) -> Self {
        self.max_channels = channels;
        self
    }

    /// Keys that a connection may offer in vain; 6 by default as in OpenSSH.
    #[must_use]
    pub fn max_auth_attempts(mut self, attempts: usize) -> Self {
        self.max_auth_attempts = attempts;
        self
    }

    /// How long every refusal takes, so that its time tells nothing; 1 s by default.
    #[must_use]
    pub fn refusal_time(mut self, time: Duration) -> Self {
        self.refusal_time = time;
        self
    }

    /// How long a client may take to log in; 30 s by default.
    #[must_use]
    pub fn login_limit(mut self, limit: Duration) -> Self {
        self.login_limit = limit;
        self
    }

    /// How long a connection may carry nothing, neither input nor output; unlimited by default, for a person may be thinking.
    /// A peer that is gone, and not just silent, is noticed without it.
    #[must_use]
    pub fn idle_limit(mut self, limit: Duration) -> Self {
        self.idle_limit = Some(limit);
        self
    }

    pub(crate) fn validate(self) -> Result<Self, ConfigError> {
        if !self.workdir.is_absolute() {
            return Err(ConfigError::RelativeWorkdir);
        }
        if self.shell.is_empty() {
            return Err(ConfigError::NoShell);
        }
        if self.max_connections == 0
            || self.max_auth_attempts == 0
            || self.max_channels == 0
            || self.max_channels > MOST_CHANNELS
        {
            return Err(ConfigError::Limit);
        }
        if self.login_limit.is_zero() || self.idle_limit.is_some_and(|limit| limit.is_zero()) {
            return Err(ConfigError::Limit);
        }
        Ok(self)
    }

    /// Whether a client may set the variable `name`.
    pub(crate) fn accepts_env(&self, name: &str) -> bool {
        self.accept_env
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning),
                None => name == pattern,
            })
    }
}

/// Why a server cannot be made of a [`Config`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The work directory is not an absolute path.
    RelativeWorkdir,
    /// The shell's name is empty.
    NoShell,
    /// A limit is zero, or over 100 channels.
    Limit,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RelativeWorkdir => "the work directory is not an absolute path",
            Self::NoShell => "the shell has no name",
            Self::Limit => "a limit is zero, or too high",
        })
    }
}

impl std::error::Error for ConfigError {}

fn own_env(workdir: &Path) -> Vec<(OsString, OsString)> {
    let public =
        env::vars_os().filter(|(name, _)| !SECRET_VARIABLES.iter().any(|secret| name == secret));
    public.chain([("WORKDIR".into(), workdir.into())]).collect()
}

fn default_shell() -> OsString {
    if cfg!(windows) {
        return "cmd.exe".into();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    if cfg!(target_os = "linux") && env::split_paths(&path).any(|dir| dir.join("bash").is_file()) {
        return "bash".into();
    }
    match env::var_os("SHELL") {
        Some(shell) if !shell.is_empty() => shell,
        _ => OsStr::new("/bin/sh").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_let_through_by_name_or_beginning() {
        let config = Config::new("/w").accept_env(["LANG", "LC_*"]);
        for (name, accepted) in [
            ("LANG", true),
            ("LC_ALL", true),
            ("LC_", true),
            ("LANGUAGE", false),
            ("lang", false),
            ("LD_PRELOAD", false),
            ("", false),
        ] {
            assert_eq!(config.accepts_env(name), accepted, "{name}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Config::new("/w").validate().is_ok());
        assert_eq!(
            Config::new("w").validate().unwrap_err(),
            ConfigError::RelativeWorkdir
        );
        assert_eq!(
            Config::new("/w").shell("").validate().unwrap_err(),
            ConfigError::NoShell
        );
        for config in [
            Config::new("/w").max_connections(0),
            Config::new("/w").max_channels(101),
            Config::new("/w").max_auth_attempts(0),
            Config::new("/w").login_limit(Duration::ZERO),
            Config::new("/w").idle_limit(Duration::ZERO),
        ] {
            assert_eq!(config.validate().unwrap_err(), ConfigError::Limit);
        }
    }
}
