use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::sync::SyncError;

/// How much of what git complains of is kept.
const MAX_SAID: u64 = 4 << 10;
/// Longest line that git may answer with: a name of a file or ref, quoted.
const MAX_LINE: u64 = 64 << 10;

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

/// Ends all gits of somebody who does not wait for them any more.
#[derive(Debug, Default)]
pub(super) struct Stop {
    state: Mutex<Stopping>,
}

#[derive(Debug, Default)]
struct Stopping {
    is_stopped: bool,
    children: Vec<Weak<Mutex<Running>>>,
}

impl Stop {
    /// Kills those that run, and those that will be started.
    #[cfg(feature = "leader")]
    pub(super) fn stop(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_stopped = true;
        for child in state.children.drain(..).filter_map(|child| child.upgrade()) {
            kill(&child);
        }
    }

    #[cfg(feature = "leader")]
    pub(super) fn is_stopped(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_stopped
    }

    fn add(&self, child: &Arc<Mutex<Running>>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_stopped {
            return kill(child);
        }
        state.children.retain(|child| child.strong_count() > 0);
        state.children.push(Arc::downgrade(child));
    }
}

/// How git is started.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start<'a> {
    pub(super) dir: &'a Path,
    pub(super) limit: Duration,
    pub(super) stop: &'a Stop,
    /// The protocols that it may speak, joined by colons; none by default.
    pub(super) protocols: &'a str,
}

/// A git that runs, until its time is over or it is dropped.
pub(super) struct Git {
    dir: PathBuf,
    child: Arc<Mutex<Running>>,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    clock: Arc<Clock>,
    complaints: Option<JoinHandle<String>>,
    /// Dropped, it lets the watchdog go.
    alive: Option<Sender<()>>,
    /// Tells whether it had to kill.
    watchdog: Option<JoinHandle<bool>>,
}

impl Git {
    /// Starts git on a repository, which cannot make it run other programs, ask for passwords, fetch, or replace objects.
    pub(super) fn start(start: Start<'_>, args: &[&str]) -> Result<Self, SyncError> {
        let Start {
            dir,
            limit,
            stop,
            protocols,
        } = start;
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
            .env("GIT_ASKPASS", "")
            .env("GIT_ALLOW_PROTOCOL", protocols)
            .env("GIT_NO_LAZY_FETCH", "1")
            .env(
                "GIT_GRAFT_FILE",
                if cfg!(windows) { "NUL" } else { "/dev/null" },
            )
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
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
        let child = Arc::new(Mutex::new(Running {
            child,
            is_over: false,
        }));
        stop.add(&child);
        let (alive, ended) = mpsc::channel();
        let watched = Arc::clone(&child);
        let clock = Arc::new(Clock::new());
        let watchdog = thread::spawn({
            let clock = Arc::clone(&clock);
            move || {
                let mut left = limit;
                while ended.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
                    let gone = clock.elapsed();
                    if gone >= limit {
                        kill(&watched);
                        return true;
                    }
                    left = limit - gone;
                }
                false
            }
        });
        Ok(Self {
            dir: dir.to_owned(),
            child,
            stdin,
            stdout: BufReader::with_capacity(64 << 10, stdout),
            clock,
            complaints: Some(complaints),
            alive: Some(alive),
            watchdog: Some(watchdog),
        })
    }

    /// Gives it all of its time once more, for the next thing that it is asked.
    pub(super) fn restart_clock(&self) {
        self.clock.restart();
    }

    /// Writes to it what it takes without being read, or reads as a whole.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), SyncError> {
        let written = match &mut self.stdin {
            Some(stdin) => stdin.write_all(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        written.map_err(|error| self.broken(error))
    }

    /// Tells it that no more is asked.
    pub(super) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Reads a line without its end; false at the end of all.
    pub(super) fn read_line(&mut self, line: &mut Vec<u8>) -> Result<bool, SyncError> {
        line.clear();
        let read = (&mut self.stdout).take(MAX_LINE).read_until(b'\n', line);
        if let Err(error) = read {
            return Err(self.broken(error));
        }
        if line.is_empty() {
            return Ok(false);
        }
        if line.pop() != Some(b'\n') {
            let error = "git's answer is cut off, or has a line of more than 64 KiB";
            return Err(self.broken(io::Error::other(error)));
        }
        Ok(true)
    }

    /// Reads the first `wanted` bytes of an answer of `len`, behind which a line ends, and passes over the others.
    pub(super) fn read_body(&mut self, len: u64, wanted: u64) -> Result<Vec<u8>, SyncError> {
        let mut read = || {
            let mut raw = Vec::new();
            let mut body = (&mut self.stdout).take(len);
            let read = (&mut body).take(wanted).read_to_end(&mut raw)? as u64;
            let passed = io::copy(&mut body, &mut io::sink())?;
            let mut end = [0];
            self.stdout.read_exact(&mut end)?;
            if read + passed < len || end != *b"\n" {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            Ok(raw)
        };
        read().map_err(|error| self.broken(error))
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
    pub(super) fn broken(&mut self, source: io::Error) -> SyncError {
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

    /// What it answered is no answer.
    pub(super) fn strange(&self, answer: &str) -> SyncError {
        SyncError::Answer {
            dir: self.dir.clone(),
            answer: answer.chars().take(200).collect(),
        }
    }

    fn wait(&mut self) -> Result<Option<String>, SyncError> {
        self.stdin = None;
        // Its end is seen on its pipe before it is waited for, so that the watchdog has the child meanwhile.
        let said = self.complaints.take().map(JoinHandle::join);
        let status = {
            let mut running = self.child.lock().unwrap_or_else(PoisonError::into_inner);
            let status = running.child.wait();
            running.is_over = true;
            status
        };
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

/// When a git was last asked something, in milliseconds since it was started.
#[derive(Debug)]
struct Clock {
    started: Instant,
    asked: AtomicU64,
}

impl Clock {
    fn new() -> Self {
        Self {
            started: Instant::now(),
            asked: AtomicU64::new(0),
        }
    }

    fn restart(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.asked.store(now, Ordering::Relaxed);
    }

    fn elapsed(&self) -> Duration {
        let asked = Duration::from_millis(self.asked.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(asked)
    }
}

/// A process that can be killed until it was waited for.
#[derive(Debug)]
struct Running {
    child: Child,
    /// Its number may be another's now.
    is_over: bool,
}

fn kill(running: &Mutex<Running>) {
    let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
    if running.is_over {
        return;
    }
    // With those that git has started, which would keep its pipes open.
    #[cfg(unix)]
    let _ = rustix::process::kill_process_group(
        rustix::process::Pid::from_child(&running.child),
        rustix::process::Signal::KILL,
    );
    // One that has ended cannot be killed, and need not be.
    let _ = running.child.kill();
}
