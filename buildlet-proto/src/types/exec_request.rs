use std::ffi::{OsStr, OsString};
use std::time::Duration;

use super::Form;
use super::ext::{self, Isolation, Network, Resume};
use super::form::{os_bytes, os_string};

/// A command for `/exec`.
///
/// How `cmd` and `dir` are resolved is the server's part: a path with a separator is relative to its work directory, a bare
/// name is looked for there and then on the `PATH` of the buildlet.
///
/// ```
/// use buildlet_proto::types::ExecRequest;
/// let request = ExecRequest::new("go/src/make.bash").env("GOOS=linux").path(["$WORKDIR/go/bin", "$PATH"]);
/// assert_eq!(
///     request.to_form().encode(),
///     "cmd=go%2Fsrc%2Fmake.bash&debug=false&dir=&env=GOOS%3Dlinux&mode=&path=%24WORKDIR%2Fgo%2Fbin&path=%24PATH"
/// );
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecRequest {
    cmd: OsString,
    args: Vec<OsString>,
    dir: OsString,
    env: Vec<OsString>,
    path: Option<Vec<OsString>>,
    system_level: bool,
    debug: bool,
    timeout: Option<Duration>,
    isolation: Option<Isolation>,
    network: Option<Network>,
    resume: Option<Resume>,
}

impl ExecRequest {
    /// Runs `cmd` without arguments, with the environment of the buildlet, in the directory in which `cmd` is.
    #[must_use]
    pub fn new(cmd: impl Into<OsString>) -> Self {
        Self {
            cmd: cmd.into(),
            ..Self::default()
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// The directory to run in: relative to the work directory, or absolute. Empty, the default: that of the command, and
    /// the work directory at system level.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<OsString>) -> Self {
        self.dir = dir.into();
        self
    }

    /// Adds a variable as `KEY=VALUE`; of several with the same key the last counts.
    #[must_use]
    pub fn env(mut self, entry: impl Into<OsString>) -> Self {
        self.env.push(entry.into());
        self
    }

    /// Replaces `PATH`, element by element; `$PATH`, `$WORKDIR` and `$EMPTY` (nothing) are replaced by the buildlet. No elements
    /// clear it. By default it stays as it is.
    #[must_use]
    pub fn path(mut self, elements: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.path = Some(elements.into_iter().map(Into::into).collect());
        self
    }

    /// Whether `cmd` is a command of the system rather than one in the work directory; no by default.
    #[must_use]
    pub fn system_level(mut self, yes: bool) -> Self {
        self.system_level = yes;
        self
    }

    /// Whether the output begins with a line that shows command, arguments, environment and directory; no by default.
    #[must_use]
    pub fn debug(mut self, yes: bool) -> Self {
        self.debug = yes;
        self
    }

    /// Has the buildlet kill the command after this time. An [extension](ext).
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// How far the command is kept from the rest of the machine. An [extension](ext).
    #[must_use]
    pub fn isolation(mut self, level: Isolation) -> Self {
        self.isolation = Some(level);
        self
    }

    /// Whether the command may use the network. An [extension](ext).
    #[must_use]
    pub fn network(mut self, network: Network) -> Self {
        self.network = Some(network);
        self
    }

    /// Has the command outlive its connection for a while, so that its owner can come back to it. An [extension](ext).
    #[must_use]
    pub fn resumable(mut self, resume: Resume) -> Self {
        self.resume = Some(resume);
        self
    }

    /// Without a limit for the running time, for buildlets that know none.
    #[must_use]
    pub fn without_timeout(mut self) -> Self {
        self.timeout = None;
        self
    }

    /// The form to send. Extensions that were not asked for leave no trace in it.
    #[must_use]
    pub fn to_form(&self) -> Form {
        let mut form = Form::new();
        form.add("cmd", os_bytes(&self.cmd));
        for arg in &self.args {
            form.add("cmdArg", os_bytes(arg));
        }
        form.add("debug", self.debug.to_string());
        form.add("dir", os_bytes(&self.dir));
        for entry in &self.env {
            form.add("env", os_bytes(entry));
        }
        form.add("mode", if self.system_level { "sys" } else { "" });
        match self.path.as_deref() {
            None => {}
            Some([]) => {
                form.add("path", "$EMPTY");
            }
            Some(elements) => {
                for element in elements {
                    form.add("path", os_bytes(element));
                }
            }
        }
        if let Some(limit) = self.timeout {
            form.add(ext::TIMEOUT_FIELD, ext::format_millis(limit));
        }
        if let Some(level) = self.isolation {
            form.add(ext::ISOLATION_FIELD, level.as_str());
        }
        if let Some(network) = self.network {
            form.add(ext::NETWORK_FIELD, network.as_str());
        }
        if let Some(resume) = &self.resume {
            form.add(ext::RESUME_FIELD, resume.key().to_text());
            form.add(ext::PART_FIELD, resume.part().to_string());
            if let Some(grace) = resume.grace_time() {
                form.add(ext::GRACE_FIELD, ext::format_millis(grace));
            }
        }
        form
    }

    /// Reads a request. Lists count only in the body; the other fields may stand in the query too, where the body goes
    /// first.
    ///
    /// # Errors
    ///
    /// When an extension has a value it cannot have: a limit that was asked for must not be lost.
    pub fn from_forms(query: &Form, body: &Form) -> Result<Self, ext::ParseExtError> {
        let first = |key: &str| body.get(key).or_else(|| query.get(key));
        let text = |key: &str| first(key).map(os_string).unwrap_or_default();
        let list = |key: &str| body.get_all(key).map(os_string).collect::<Vec<_>>();
        let flag = if body.get("debug").is_some() {
            body
        } else {
            query
        };
        let path = list("path");
        Ok(Self {
            cmd: text("cmd"),
            args: list("cmdArg"),
            dir: text("dir"),
            env: list("env"),
            path: (!path.is_empty()).then_some(path),
            system_level: first("mode") == Some(b"sys"),
            debug: flag.get_bool("debug"),
            timeout: first(ext::TIMEOUT_FIELD)
                .map(|text| ext::parse_millis(text, ext::TIMEOUT_FIELD))
                .transpose()?,
            isolation: first(ext::ISOLATION_FIELD)
                .map(Isolation::parse)
                .transpose()?,
            network: first(ext::NETWORK_FIELD).map(Network::parse).transpose()?,
            resume: resume_of(first)?,
        })
    }

    /// The command; empty if the peer sent none.
    #[must_use]
    pub fn cmd(&self) -> &OsStr {
        &self.cmd
    }

    /// The arguments, without the command itself.
    #[must_use]
    pub fn arguments(&self) -> &[OsString] {
        &self.args
    }

    /// The directory; may be empty.
    #[must_use]
    pub fn directory(&self) -> &OsStr {
        &self.dir
    }

    /// The variables, `KEY=VALUE`.
    #[must_use]
    pub fn environment(&self) -> &[OsString] {
        &self.env
    }

    /// The elements for `PATH`, if it is to be replaced. The single element `$EMPTY` clears it.
    #[must_use]
    pub fn path_elements(&self) -> Option<&[OsString]> {
        self.path.as_deref()
    }

    /// Whether `cmd` is a command of the system.
    #[must_use]
    pub fn is_system_level(&self) -> bool {
        self.system_level
    }

    /// Whether the output begins with a line about the command.
    #[must_use]
    pub fn is_debug(&self) -> bool {
        self.debug
    }

    /// The limit for the running time.
    #[must_use]
    pub fn time_limit(&self) -> Option<Duration> {
        self.timeout
    }

    /// The isolation asked for.
    #[must_use]
    pub fn isolation_level(&self) -> Option<Isolation> {
        self.isolation
    }

    /// That it outlives its connection, if that was asked for.
    #[must_use]
    pub fn resume(&self) -> Option<&Resume> {
        self.resume.as_ref()
    }

    /// What was asked for about the network.
    #[must_use]
    pub fn network_access(&self) -> Option<Network> {
        self.network
    }
}

/// Reads the fields of a command that outlives its connection.
fn resume_of<'a>(
    first: impl Fn(&str) -> Option<&'a [u8]>,
) -> Result<Option<Resume>, ext::ParseExtError> {
    let Some((key, part)) = ext::key_and_part(&first)? else {
        return Ok(None);
    };
    let grace = first(ext::GRACE_FIELD)
        .map(|text| ext::parse_millis(text, ext::GRACE_FIELD))
        .transpose()?;
    let resume = Resume::new(key, part);
    Ok(Some(match grace {
        Some(grace) => resume.grace(grace),
        None => resume,
    }))
}
