use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::{Command, Network, Sandbox};
use crate::types::{
    EnvList, EnvStyle, ExecRequest, GoQuoted, PathError, PathStyle, RelativePath, clean_native,
    os_bytes, parse_bool, windows_path,
};

/// Where a buildlet runs commands: its work directory and its own environment. Makes a [`Command`] of a request.
///
/// ```no_run
/// use buildlet_proto::exec::Workplace;
/// use buildlet_proto::types::ExecRequest;
/// let workplace = Workplace::new("/workdir", std::env::vars_os());
/// let command = workplace.command(&ExecRequest::new("go/bin/go").args(["test", "std"]))?;
/// assert_eq!(command.program(), "/workdir/go/bin/go");
/// # Ok::<(), buildlet_proto::exec::ResolveError>(())
/// ```
#[derive(Debug)]
pub struct Workplace {
    workdir: PathBuf,
    own: EnvList,
    os: String,
    sandbox: Sandbox,
    /// `GOROOT_BOOTSTRAP`, decided when it is first needed.
    bootstrap: OnceLock<OsString>,
}

/// Variables of a buildlet's environment that no command gets: its password, its TLS key, its token. Go buildlets hand them on.
pub const SECRET_VARIABLES: [&str; 5] = [
    "META_password",
    "META_tls_key",
    "META_TLS_PASSWORD",
    "META_TLS_KEY",
    "GO_BUILDLET_TOKEN",
];

impl Workplace {
    /// A workplace in this directory, an absolute path, for commands that inherit these variables but for
    /// [`SECRET_VARIABLES`]. Their `PATH` is where commands without a directory are looked for.
    #[must_use]
    pub fn new(
        workdir: impl Into<PathBuf>,
        own: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        let workdir = workdir.into();
        let mut list = EnvList::new(EnvStyle::NATIVE, [] as [OsString; 0]);
        for (key, value) in own {
            if !SECRET_VARIABLES.iter().any(|secret| key == *secret) {
                list.push(entry(&key, &value));
            }
        }
        list.set("WORKDIR", &workdir);
        list.deduplicate();
        Self {
            workdir,
            own: list,
            os: native_os().to_owned(),
            sandbox: Sandbox::default(),
            bootstrap: OnceLock::new(),
        }
    }

    /// The operating system as Go calls it (`GOOS`), by default that of this program. On `android` and `ios` scripts whose name ends in
    /// `.bash` are run by `bash`.
    #[must_use]
    pub fn os(mut self, name: impl Into<String>) -> Self {
        self.os = name.into();
        self
    }

    /// What commands on level [`Isolation::Sandbox`](super::Isolation::Sandbox) may write beside the work directory, and what they do not see:
    /// key files, for instance. [`Sandbox::default`] unless set.
    #[must_use]
    pub fn sandbox(mut self, sandbox: Sandbox) -> Self {
        self.sandbox = sandbox;
        self
    }

    /// The work directory.
    #[must_use]
    pub fn workdir(&self) -> &Path {
        &self.workdir
    }

    /// The command that a request asks for: resolved, with its environment, time limit, isolation, and the work directory as the place
    /// where a sandbox can write.
    ///
    /// The network is off if the request says so, or has a true `GO_DISABLE_OUTBOUND_NETWORK` in its variables. (The Go program then changes
    /// the machine's packet filter for good; here it is for the one command.)
    ///
    /// Blocks: it looks at a few files.
    ///
    /// # Errors
    ///
    /// When the request names no command that could be run; whether that can be started shows later.
    pub fn command(&self, request: &ExecRequest) -> Result<Command, ResolveError> {
        let (program, dir) = self.resolve(request)?;
        let mut env = self.environment(request);
        env.set("PWD", &dir);
        env.deduplicate();
        let network = request.network_access().unwrap_or_else(|| {
            let off = EnvList::new(EnvStyle::NATIVE, request.environment())
                .get("GO_DISABLE_OUTBOUND_NETWORK")
                .is_some_and(|value| parse_bool(&value.to_string_lossy()));
            if off { Network::Off } else { Network::On }
        });
        let script = matches!(self.os.as_str(), "android" | "ios")
            && os_bytes(program.as_os_str()).ends_with(b".bash");
        let command = if script {
            let shell = self.look_up("bash".as_ref());
            Command::new(shell.unwrap_or_else(|| "bash".into())).args([program])
        } else {
            Command::new(program)
        };
        let mut command = command
            .args(request.arguments())
            .dir(dir)
            .envs(env.into_entries())
            .isolation(request.isolation_level().unwrap_or_default())
            .sandbox(self.sandbox.clone().writable(&self.workdir))
            .network(network);
        if let Some(limit) = request.time_limit() {
            command = command.timeout(limit);
        }
        Ok(command)
    }

    /// Program and directory.
    fn resolve(&self, request: &ExecRequest) -> Result<(PathBuf, PathBuf), ResolveError> {
        let program = self.program(request)?;
        let dir = Path::new(request.directory());
        let dir = if !dir.as_os_str().is_empty() {
            self.below(dir, "dir")?
        } else if request.is_system_level() {
            self.workdir.clone()
        } else {
            program.parent().unwrap_or(&program).to_owned()
        };
        Ok((program, dir))
    }

    fn program(&self, request: &ExecRequest) -> Result<PathBuf, ResolveError> {
        let cmd = Path::new(request.cmd());
        if cmd.as_os_str().is_empty() {
            return Err(ResolveError(Refusal::NoCommand));
        }
        let path = self.below(cmd, "cmd")?;
        let has_separator = |text: &[u8]| text.iter().any(|b| std::path::is_separator((*b).into()));
        let bare = !has_separator(os_bytes(cmd.as_os_str()));
        let own = (!request.is_system_level())
            .then(|| executable(&path))
            .flatten();
        match (bare, request.is_system_level()) {
            _ if cmd.is_absolute() => Ok(path),
            (true, _) => own
                .or_else(|| self.look_up(cmd.as_os_str()))
                .ok_or_else(|| ResolveError(Refusal::NotFound(cmd.into()))),
            (false, true) => Err(ResolveError(Refusal::RelativeSystemCommand)),
            (false, false) => Ok(path),
        }
    }

    /// An absolute path as it is, a relative one below the work directory.
    fn below(&self, path: &Path, parameter: &'static str) -> Result<PathBuf, ResolveError> {
        if path.is_absolute() {
            return Ok(clean_native(path));
        }
        let relative = RelativePath::parse(os_bytes(path.as_os_str()), PathStyle::NATIVE)
            .map_err(|error| ResolveError(Refusal::Path(parameter, error)))?;
        Ok(clean_native(&self.workdir.join(relative.as_path())))
    }

    /// The first executable file of that name on the `PATH`, whose relative elements do not count.
    fn look_up(&self, name: &OsStr) -> Option<PathBuf> {
        let path = self.own.get("PATH")?;
        std::env::split_paths(&path)
            .filter(|dir| dir.is_absolute())
            .find_map(|dir| executable(&dir.join(name)))
    }

    /// The variables, without `PWD`.
    fn environment(&self, request: &ExecRequest) -> EnvList {
        let mut env = self.own.clone();
        if cfg!(windows) {
            let requested = EnvList::new(EnvStyle::NATIVE, request.environment());
            let arch = requested.get("GOARCH").unwrap_or_else(|| "amd64".into());
            let path = env.get("PATH").unwrap_or_default();
            env.set(
                "PATH",
                windows_path(&path.to_string_lossy(), &arch.to_string_lossy()),
            );
            env.set("GOBUILDEXIT", "1");
        }
        env.set("GOROOT_BOOTSTRAP", self.bootstrap());
        for entry in request.environment() {
            env.push(entry);
        }
        for (key, folder) in [
            ("TMPDIR", "tmp"),
            ("GOCACHE", "gocache"),
            ("GOPLSCACHE", "goplscache"),
        ] {
            env.set(key, self.workdir.join(folder));
        }
        if let Some(elements) = request.path_elements() {
            env.apply_path(elements, self.workdir.as_os_str());
        }
        env.deduplicate();
        env
    }

    /// `go1.4` in the work directory, unless another place was inherited and there is no such folder.
    fn bootstrap(&self) -> &OsStr {
        self.bootstrap.get_or_init(|| {
            let here = self.workdir.join("go1.4");
            match self.own.get("GOROOT_BOOTSTRAP") {
                Some(inherited) if inherited != here && !inherited.is_empty() && !here.exists() => {
                    inherited
                }
                _ => here.into(),
            }
        })
    }
}

/// The line that the output begins with on request, with an empty one behind it. Log readers look for its beginning.
#[must_use]
pub fn running_line(command: &Command) -> String {
    let quoted = |list: &mut dyn Iterator<Item = &OsStr>| {
        let quoted: Vec<_> = list
            .map(|item| GoQuoted(os_bytes(item)).to_string())
            .collect();
        quoted.join(" ")
    };
    let program = command.program().as_os_str();
    let args = command.args.iter().map(OsString::as_os_str);
    let dir = command.working_dir().unwrap_or_else(|| Path::new(""));
    let mut line = String::new();
    let _ = write!(
        line,
        ":: Running {} with args [{}] and env [{}] in dir {}\n\n",
        command.program().display(),
        quoted(&mut std::iter::once(program).chain(args)),
        quoted(&mut command.environment()),
        dir.display(),
    );
    line
}

/// The file, if it is one that can be run.
fn executable(path: &Path) -> Option<PathBuf> {
    let runs = |path: &Path| {
        path.metadata()
            .is_ok_and(|meta| meta.is_file() && may_run(path))
    };
    if cfg!(windows) && path.extension().is_none() {
        let endings = std::env::var("PATHEXT").unwrap_or_else(|_| ".com;.exe;.bat;.cmd".to_owned());
        return endings
            .split(';')
            .map(|ending| path.with_extension(ending.trim_start_matches('.')))
            .find(|path| runs(path));
    }
    runs(path).then(|| path.to_owned())
}

#[cfg(unix)]
fn may_run(path: &Path) -> bool {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS).is_ok()
}

#[cfg(not(unix))]
fn may_run(_: &Path) -> bool {
    true
}

fn entry(key: &OsStr, value: &OsStr) -> OsString {
    let mut entry = key.to_owned();
    entry.push("=");
    entry.push(value);
    entry
}

/// This system as Go calls it.
fn native_os() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    }
}

/// A request names no command that could be run. The text is that of the Go programs, for the reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveError(Refusal);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Refusal {
    NoCommand,
    RelativeSystemCommand,
    NotFound(PathBuf),
    Path(&'static str, PathError),
}

impl ResolveError {
    /// The status of the reply: 422 if there is no such command, else 400.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self.0 {
            Refusal::NotFound(_) => 422,
            _ => 400,
        }
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Refusal::NoCommand => f.write_str("invalid 'cmd' parameter: requires 'cmd' parameter"),
            Refusal::RelativeSystemCommand => f.write_str(
                "invalid 'cmd' parameter: 'sys' mode requires absolute or system 'cmd' path",
            ),
            Refusal::NotFound(name) => write!(
                f,
                "invalid 'cmd' parameter: command {} not found",
                GoQuoted(os_bytes(name.as_os_str()))
            ),
            // Upstream says it twice.
            Refusal::Path(parameter, error) => write!(
                f,
                "invalid '{parameter}' parameter: invalid '{parameter}' parameter: {error}"
            ),
        }
    }
}

impl Error for ResolveError {}
