use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::{GitConfig, GitError};

/// What is kept of a command's complaints.
const MAX_COMPLAINT: usize = 16 << 10;

/// A `git` command in a repository's cache.
pub(crate) struct GitCommand {
    name: &'static str,
    program: PathBuf,
    command: Command,
    limit: Duration,
    max_file: Option<u64>,
    /// What must not be repeated to anybody.
    secret: Option<String>,
}

/// A command that runs, in a process group that ends with this.
pub(crate) struct RunningGit {
    group: Group,
    child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: Option<ChildStdout>,
    complaint: Option<tokio::process::ChildStderr>,
    name: &'static str,
    secret: Option<String>,
}

/// Kills its process group when it is dropped, unless that has ended.
struct Group(Option<u32>);

impl GitCommand {
    /// `git NAME ARGS...` with the configuration in `settings`, in `dir`. No argument may come from a stranger; but for a
    /// branch name or a path behind `--end-of-options` or `--`.
    pub(crate) fn new<S: AsRef<OsStr>>(
        config: &GitConfig,
        settings: &Path,
        dir: &Path,
        name: &'static str,
        args: impl IntoIterator<Item = S>,
    ) -> Self {
        let mut command = Command::new(&config.program);
        command.arg("--git-dir").arg(dir).arg(name).args(args);
        command.current_dir(dir);
        // Of ours it gets what finds programs, keys and proxies, and whom to believe; nothing else that is meant for git.
        command.env_clear();
        for (key, value) in std::env::vars_os() {
            let kept = key.to_str().is_some_and(|key| {
                let proxy = key.to_ascii_lowercase();
                matches!(
                    key,
                    "PATH"
                        | "HOME"
                        | "USER"
                        | "LOGNAME"
                        | "TMPDIR"
                        | "SSH_AUTH_SOCK"
                        | "SYSTEMROOT"
                ) || proxy.ends_with("_proxy")
                    || matches!(
                        key,
                        "SSL_CERT_FILE" | "SSL_CERT_DIR" | "GIT_SSL_CAINFO" | "GIT_SSL_CAPATH"
                    )
            });
            if kept {
                command.env(key, value);
            }
        }
        command
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", settings)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "")
            .env("SSH_ASKPASS", "")
            .env("SSH_ASKPASS_REQUIRE", "never")
            .env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes -oConnectTimeout=30")
            .env("GIT_ALLOW_PROTOCOL", super::source::SCHEMES.join(":"))
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        Self {
            name,
            program: config.program.clone(),
            command,
            limit: config.command_limit,
            max_file: None,
            secret: None,
        }
    }

    pub(crate) fn limit(mut self, time: Duration) -> Self {
        self.limit = time;
        self
    }

    /// Bytes that it may write to one file.
    pub(crate) fn max_file(mut self, bytes: u64) -> Self {
        self.max_file = Some(bytes);
        self
    }

    pub(crate) fn secret(mut self, text: Option<&str>) -> Self {
        self.secret = text.map(str::to_owned);
        self
    }

    pub(crate) fn with_stdin(mut self) -> Self {
        self.command.stdin(Stdio::piped());
        self
    }

    /// Runs it to its end; what it printed, at most `max` bytes.
    pub(crate) async fn output(self, max: u64) -> Result<Vec<u8>, GitError> {
        let (name, limit) = (self.name, self.limit);
        let run = async {
            let mut running = self.start()?;
            let mut output = Vec::new();
            let stdout = running.stdout.take();
            let read = async {
                if let Some(stdout) = stdout {
                    let mut bounded = stdout.take(max + 1);
                    bounded.read_to_end(&mut output).await?;
                }
                Ok(())
            };
            let complaint = running.with_complaint(read).await?;
            if output.len() as u64 > max {
                return Err(GitError::TooLarge {
                    what: "output of a git command",
                    limit: max,
                });
            }
            running.finish(&complaint).await?;
            Ok(output)
        };
        match timeout(limit, run).await {
            Ok(result) => result,
            Err(_) => Err(GitError::TimedOut {
                command: name,
                limit,
            }),
        }
    }

    pub(crate) fn start(mut self) -> Result<RunningGit, GitError> {
        let mut child = self.command.spawn().map_err(|source| GitError::Start {
            program: self.program.clone(),
            source,
        })?;
        let group = Group(child.id());
        #[cfg(target_os = "linux")]
        if let (Some(bytes), Some(pid)) = (self.max_file, child.id()) {
            limit_files(pid, bytes).map_err(|source| GitError::Pipe {
                command: self.name,
                source,
            })?;
        }
        #[cfg(not(target_os = "linux"))]
        let _ = self.max_file;
        Ok(RunningGit {
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            complaint: child.stderr.take(),
            group,
            child,
            name: self.name,
            secret: self.secret,
        })
    }
}

/// The path of a program that is named without one, if it is on `PATH`. A program that has a path is started without a copy of
/// this process, which takes a hundred times as long when it is large.
pub(crate) fn found(program: PathBuf) -> PathBuf {
    let is_name = program.components().count() == 1 && !program.is_absolute();
    let path = std::env::var_os("PATH").filter(|_| cfg!(unix) && is_name);
    let mut candidates = path
        .iter()
        .flat_map(std::env::split_paths)
        .map(|folder| folder.join(&program));
    // Others of this name that cannot be executed are passed over, as by the search of the system.
    candidates
        .find(|candidate| candidate.is_absolute() && is_executable(candidate))
        .unwrap_or(program)
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use rustix::fs::{Access, access};
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

#[cfg(not(unix))]
fn is_executable(_path: &Path) -> bool {
    false
}

impl RunningGit {
    /// Does `work` with its streams, and collects its complaints at the same time.
    pub(crate) async fn with_complaint<T>(
        &mut self,
        work: impl Future<Output = Result<T, io::Error>>,
    ) -> Result<Complaint, GitError> {
        let complaint = self.complaint.take();
        let (done, complaint) = tokio::join!(work, async {
            match complaint {
                Some(stream) => tail(stream).await,
                None => Ok(Vec::new()),
            }
        });
        let failed = |source| GitError::Pipe {
            command: self.name,
            source,
        };
        let complaint = Complaint(complaint.map_err(failed)?);
        match done {
            Ok(_) => Ok(complaint),
            Err(error) => Err(failed(error)),
        }
    }

    /// Waits for its end, after all its output was read.
    pub(crate) async fn finish(mut self, complaint: &Complaint) -> Result<(), GitError> {
        let status = self.child.wait().await.map_err(|source| GitError::Pipe {
            command: self.name,
            source,
        })?;
        // Now its number may become another's.
        self.group.0 = None;
        if status.success() {
            return Ok(());
        }
        let mut said = String::from_utf8_lossy(&complaint.0).trim().to_owned();
        if let Some(secret) = &self.secret {
            said = said.replace(secret, "***");
        }
        crate::model::clean(&mut said, MAX_COMPLAINT);
        if said.is_empty() {
            said = status.to_string();
        }
        Err(GitError::Failed {
            command: self.name,
            said,
        })
    }
}

/// The end of what a command printed to its standard error.
pub(crate) struct Complaint(Vec<u8>);

/// Reads all, keeps the end.
async fn tail(mut stream: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let mut piece = vec![0; 4096];
    loop {
        let read = stream.read(&mut piece).await?;
        if read == 0 {
            return Ok(kept);
        }
        kept.extend_from_slice(&piece[..read]);
        if kept.len() > MAX_COMPLAINT {
            kept.drain(..kept.len() - MAX_COMPLAINT);
        }
    }
}

/// Writes `input` and closes the stream. One whose reader went away is no error: its status tells.
pub(crate) async fn feed(stdin: Option<ChildStdin>, input: &[u8]) -> io::Result<()> {
    let Some(mut stdin) = stdin else {
        return Ok(());
    };
    match stdin.write_all(input).await {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(pid) = self
            .0
            .and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?))
        {
            // The leader was not waited for, so the number is still the group's.
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

#[cfg(target_os = "linux")]
fn limit_files(pid: u32, bytes: u64) -> io::Result<()> {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let limit = Rlimit {
        current: Some(bytes),
        maximum: Some(bytes),
    };
    match prlimit(pid, Resource::Fsize, limit) {
        // It has ended already.
        Ok(_) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
