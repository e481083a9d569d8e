use std::io::{self, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::sync::SyncError;

/// How much of what git complains of is kept.
const MAX_SAID: u64 = 4 << 10;

/// Variables that would lead git to another repository, or to other objects.
const NOT_OURS: [&str; 9] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_SHALLOW_FILE",
    "GIT_CONFIG_PARAMETERS",
];

/// A git that runs, until its time is over or it is dropped.
pub(super) struct Git {
    dir: PathBuf,
    child: Arc<Mutex<Child>>,
    pub(super) stdin: Option<ChildStdin>,
    pub(super) stdout: BufReader<ChildStdout>,
    complaints: Option<JoinHandle<String>>,
    /// Dropped, it lets the watchdog go.
    alive: Option<Sender<()>>,
    /// Tells whether it had to kill.
    watchdog: Option<JoinHandle<bool>>,
}

impl Git {
    /// Starts git on a repository, which cannot make it run other programs, ask for passwords, fetch, or replace objects.
    pub(super) fn start(dir: &Path, args: &[&str], limit: Duration) -> Result<Self, SyncError> {
        let mut command = Command::new("git");
        for name in NOT_OURS {
            command.env_remove(name);
        }
        command
            .arg("-C")
            .arg(dir)
            .args(["--no-optional-locks", "--no-replace-objects"])
            .args(["-c", "core.fsmonitor=false", "-c", "core.quotePath=true"])
            .args(args)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env(
                "GIT_GRAFT_FILE",
                if cfg!(windows) { "NUL" } else { "/dev/null" },
            )
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let failed = |source| SyncError::Git {
            dir: dir.to_owned(),
            source,
        };
        let mut child = command.spawn().map_err(failed)?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        let (Some(stdout), Some(mut stderr)) = (stdout, stderr) else {
            return Err(failed(io::ErrorKind::BrokenPipe.into()));
        };
        let complaints = thread::spawn(move || {
            let mut said = Vec::new();
            // What cannot be read was not said.
            let _ = (&mut stderr).take(MAX_SAID).read_to_end(&mut said);
            let _ = io::copy(&mut stderr, &mut io::sink());
            String::from_utf8_lossy(&said).trim().to_owned()
        });
        let child = Arc::new(Mutex::new(child));
        let (alive, ended) = mpsc::channel();
        let watched = Arc::clone(&child);
        let watchdog = thread::spawn(move || {
            let is_late = ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
            if is_late {
                kill(&watched);
            }
            is_late
        });
        Ok(Self {
            dir: dir.to_owned(),
            child,
            stdin,
            stdout: BufReader::with_capacity(64 << 10, stdout),
            complaints: Some(complaints),
            alive: Some(alive),
            watchdog: Some(watchdog),
        })
    }

    /// Waits for its end, and gives what it said if it did not end well.
    pub(super) fn end(mut self) -> Result<(), SyncError> {
        match self.wait()? {
            None => Ok(()),
            Some(said) => Err(SyncError::Failed {
                dir: self.dir.clone(),
                said,
            }),
        }
    }

    /// Why it cannot be spoken with any more.
    pub(super) fn broken(mut self, source: io::Error) -> SyncError {
        self.stdin = None;
        kill(&self.child);
        match self.wait() {
            Ok(Some(said)) if !said.is_empty() => SyncError::Failed {
                dir: self.dir.clone(),
                said,
            },
            Ok(_) => SyncError::Git {
                dir: self.dir.clone(),
                source,
            },
            Err(error) => error,
        }
    }

    fn wait(&mut self) -> Result<Option<String>, SyncError> {
        self.stdin = None;
        // Its end is seen on its pipe before it is waited for, so that the watchdog has the child meanwhile.
        let said = self.complaints.take().map(JoinHandle::join);
        let status = self
            .child
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .wait();
        self.alive = None;
        let is_late = self.watchdog.take().map(JoinHandle::join);
        if matches!(is_late, Some(Ok(true))) {
            let dir = self.dir.clone();
            return Err(SyncError::TimedOut { dir });
        }
        let status = status.map_err(|source| SyncError::Git {
            dir: self.dir.clone(),
            source,
        })?;
        let said = said.and_then(Result::ok).unwrap_or_default();
        Ok((!status.success()).then_some(said))
    }
}

impl Drop for Git {
    fn drop(&mut self) {
        if self.watchdog.is_some() {
            self.stdin = None;
            kill(&self.child);
            // It was killed, and nobody is interested in how it ended.
            let _ = self.wait();
        }
    }
}

fn kill(child: &Mutex<Child>) {
    // One that has ended cannot be killed, and need not be.
    let _ = child.lock().unwrap_or_else(PoisonError::into_inner).kill();
}
