//! A buildlet process, and what it logs.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// For whatever a test waits for: only ever waited for in full if the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The program, with no state of this machine in its environment.
pub(crate) fn buildlet() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_buildlet"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::null());
    command
}

/// A running buildlet; killed when dropped.
pub(crate) struct Buildlet {
    child: Child,
    log: Receiver<String>,
    seen: Vec<String>,
}

impl Buildlet {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stderr = child.stderr.take().expect("it is piped");
        let (lines, log) = mpsc::channel();
        // Ends with the process, whose end of the pipe it reads from.
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if lines.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            log,
            seen: Vec::new(),
        }
    }

    /// In listen mode on a port of the system's choice, with this work directory.
    pub(crate) fn listening(workdir: &Path, args: &[&str]) -> (Self, String) {
        let mut command = buildlet();
        command
            .arg("-listen=127.0.0.1:0")
            .arg("-workdir")
            .arg(workdir)
            .args(args);
        let mut buildlet = Self::start(command);
        let line = buildlet.wait_for("listening on ");
        let address = line.rsplit_once("://").expect("it says where").1.to_owned();
        (buildlet, address)
    }

    /// The next line of the log with `text` in it.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        self.wait_longer_for(text, PATIENCE)
    }

    pub(crate) fn wait_longer_for(&mut self, text: &str, patience: Duration) -> String {
        let deadline = Instant::now() + patience;
        loop {
            match self
                .log
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("no {text:?} within {patience:?}; the log: {:#?}", self.seen)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("no {text:?} before it ended; the log: {:#?}", self.seen)
                }
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits for the end.
    pub(crate) fn status(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "still running; the log: {:#?}",
                self.seen
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Buildlet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .status()
        .expect("every Unix has kill");
    assert!(status.success(), "kill -s {name} {pid}: {status}");
}

/// Whether a process of this number is there and no zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    // "pid (name) state ...", where the name may have any characters.
    !matches!(stat.rsplit_once(") "), Some((_, state)) if state.starts_with(['Z', 'X']))
}

/// Polls until `done`, as what is waited for has no event.
pub(crate) fn until(what: &str, done: impl FnMut() -> bool) {
    until_within(PATIENCE, what, done);
}

pub(crate) fn until_within(patience: Duration, what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !done() {
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
