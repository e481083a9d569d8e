//! Builds, by a coordinator and buildlets that are real processes.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{git, program, repository, stderr, stdout};

/// The longest anything here may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A repository with one commit of a Makefile, and a folder for the state of coordinators.
pub(crate) struct Project {
    repository: TempDir,
    state: TempDir,
}

impl Project {
    pub(crate) fn new(makefile: &str) -> Self {
        let this = Self::empty();
        this.commit(makefile, "first");
        this
    }

    /// Without a commit.
    pub(crate) fn empty() -> Self {
        Self {
            repository: repository(),
            state: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.repository.path()
    }

    fn commit(&self, makefile: &str, message: &str) {
        self.write("Makefile", makefile);
        self.commit_all(message);
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    pub(crate) fn commit_all(&self, message: &str) {
        git(self.path(), &["add", "--all"]);
        let who = ["-c", "user.name=A", "-c", "user.email=a@example.org"];
        git(
            self.path(),
            &[&who[..], &["commit", "--quiet", "--message", message]].concat(),
        );
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = program();
        command
            .current_dir(self.path())
            .args(args)
            .env("XDG_STATE_HOME", self.state.path());
        command
    }

    pub(crate) fn start(&self, args: &[&str]) -> Running {
        Running::start(self.command(args))
    }
}

/// A coordinator that is killed if the test forgets it.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    /// On a port that the system chooses.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .args(["--listen", "localhost:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, receiver) = channel();
        thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .all(|line| sender.send(line).is_ok())
        });
        Self {
            child,
            lines: receiver,
            seen: Vec::new(),
        }
    }

    /// Waits for a line with this text.
    pub(crate) fn until(&mut self, text: &str) -> String {
        let end = Instant::now() + LIMIT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("{text:?} is not said: {:#?}", self.seen));
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end; what it printed on standard error.
    pub(crate) fn end(mut self) -> (ExitStatus, Vec<String>) {
        let end = Instant::now() + LIMIT;
        while let Ok(line) = self
            .lines
            .recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            self.seen.push(line);
        }
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, std::mem::take(&mut self.seen));
            }
            assert!(Instant::now() < end, "it does not end: {:#?}", self.seen);
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already ended, or to be ended now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn one_revision_is_built_and_its_result_is_the_exit_code() {
    let project = Project::new("all:\n\t@echo built in $$CI_BRANCH\ntest:\n\t@echo tested\n");
    let good = project.command(&["run", "--once"]).output().unwrap();
    assert!(good.status.success(), "{good:?}");
    let log = stdout(&good);
    assert!(
        log.contains("built in main") && log.contains("tested"),
        "{good:?}"
    );
    assert!(stderr(&good).contains("succeeded"), "{good:?}");

    project.commit("all:\n\t@echo oh no; exit 3\n", "second");
    let bad = project.command(&["run", "--once"]).output().unwrap();
    assert_eq!(bad.status.code(), Some(1), "{bad:?}");
    assert!(
        stdout(&bad).contains("oh no") && stderr(&bad).contains("failed"),
        "{bad:?}"
    );
    let before = project
        .command(&["run", "--once", "--rev", "HEAD~1"])
        .output()
        .unwrap();
    assert!(before.status.success(), "{before:?}");
    git(project.path(), &["checkout", "--quiet", "--detach"]);
    project.commit("all:\n\t@echo on no branch\n", "third");
    let detached = project.command(&["run", "--once"]).output().unwrap();
    assert!(detached.status.success(), "{detached:?}");
    assert!(stdout(&detached).contains("on no branch"), "{detached:?}");
    let none = project
        .command(&["run", "--once", "--rev", "nothing"])
        .output()
        .unwrap();
    assert_eq!(none.status.code(), Some(1), "{none:?}");
    assert!(
        stderr(&none).contains("has no revision nothing"),
        "{none:?}"
    );

    let left: Vec<_> = fs::read_dir(project.state.path().join("build-coordinator"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_is_new_is_built_until_an_interrupt() {
    let project = Project::new("all:\n\t@echo first one\n");
    let mut running = project.start(&[]);
    running.until("Makefile: make");
    running.until("succeeded in");
    running.signal("-INT");
    let (status, lines) = running.end();
    assert!(status.success(), "{lines:#?}");
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("✓ 1 ") && line.contains("(main)")),
        "{lines:#?}"
    );

    // Nothing is built twice, and what is new is.
    project.commit("all:\n\t@echo second one; exit 1\n", "second");
    let mut again = project.start(&[]);
    let failed = again.until("✗");
    assert!(
        failed.starts_with("✗ 2 ") && failed.contains("exit status 2"),
        "{failed}"
    );
    assert!(
        !again.seen.iter().any(|line| line.contains("succeeded")),
        "{:#?}",
        again.seen
    );
}

#[test]
fn a_second_interrupt_stops_what_runs_and_the_next_start_tries_it_again() {
    let project = Project::new("all:\n\t@sleep 1000\n");
    let mut running = project.start(&[]);
    running.until(" runs");
    running.signal("-INT");
    running.until("once more stops it now");
    running.signal("-INT");
    let (status, lines) = running.end();
    assert!(status.success(), "{lines:#?}");

    let mut again = project.start(&[]);
    let line = again.until(" runs");
    assert!(line.trim_start().starts_with("1 "), "{line}");

    // Killed without warning, it begins where it was.
    again.kill();
    project.start(&[]).until(" runs");
}

#[test]
fn nothing_is_built_where_nothing_says_how() {
    let project = Project::empty();
    let none = project.command(&[]).output().unwrap();
    assert_eq!(none.status.code(), Some(1));
    assert!(
        stderr(&none).contains("there is none of Cargo.toml"),
        "{none:?}"
    );

    fs::write(project.path().join("builders.toml"), "[builder.x]\n").unwrap();
    let bad = project.command(&[]).output().unwrap();
    assert!(
        stderr(&bad).contains("builders.toml:1:1: error: `host_type` is missing in `x`"),
        "{bad:?}"
    );
}
