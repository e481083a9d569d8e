//! What is asked of a coordinator that runs.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::running::{LIMIT, Project, Running};
use crate::{program, stderr, stdout};

/// A coordinator, and where it is.
pub(crate) struct Asked {
    running: Running,
    url: String,
}

impl Asked {
    pub(crate) fn start(project: &Project) -> Self {
        Self::new(project.start(&[]))
    }

    /// With the `builders.toml` in a folder, and the state in another.
    pub(crate) fn with_state(folder: &Path, state: &Path) -> Self {
        let mut command = program();
        command
            .current_dir(folder)
            .args(["--config", "builders.toml", "--state-dir"])
            .arg(state);
        Self::new(Running::start(command))
    }

    fn new(mut running: Running) -> Self {
        let line = running.until(" shows it");
        let (url, _) = line.split_once(" shows it").unwrap();
        Self {
            url: url.to_owned(),
            running,
        }
    }

    /// Of its front page.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = program();
        command.args(args).args(["--server", &self.url]);
        command
    }

    fn ask(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn builds(&self) -> Vec<Value> {
        let answer = self.ask(&["builds", "--json"]);
        assert!(answer.status.success(), "{answer:?}");
        let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
        answer["builds"].as_array().unwrap().clone()
    }

    /// Waits until the newest build is in this state, and returns its number.
    pub(crate) fn until(&self, state: &str) -> String {
        let end = Instant::now() + LIMIT;
        loop {
            let builds = self.builds();
            if let Some(build) = builds.first().filter(|build| build["state"] == state) {
                return build["id"].to_string();
            }
            assert!(Instant::now() < end, "no build is {state}: {builds:?}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn builds_logs_and_machines_are_listed() {
    let project = Project::new("all:\n\t@echo first one\n");
    let asked = Asked::start(&project);
    let id = asked.until("succeeded");
    let log = asked.ask(&["log", &id]);
    assert!(
        log.status.success() && stdout(&log).contains("first one"),
        "{log:?}"
    );

    let builds = stdout(&asked.ask(&["builds"]));
    assert!(
        builds.lines().count() == 2 && builds.contains("succeeded") && builds.contains("main"),
        "{builds}"
    );
    let none = asked.ask(&["builds", "--state", "failed", "--branch", "main"]);
    assert_eq!(stdout(&none), "no builds\n", "{none:?}");
    let machines = stdout(&asked.ask(&["machines"]));
    assert!(machines.contains("local"), "{machines}");
    assert_eq!(stdout(&asked.ask(&["queue"])), "nothing waits\n");

    let retry = asked.ask(&["retry", &id]);
    assert!(retry.status.success(), "{retry:?}");
    let followed = asked.ask(&["log", "--follow", &id]);
    assert!(
        followed.status.success() && stdout(&followed).contains("first one"),
        "{followed:?}"
    );
    let added = asked.ask(&["enqueue", "nothing", "main"]);
    assert_eq!(added.status.code(), Some(1), "{added:?}");

    let unknown = asked.ask(&["log", "4711"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("no such build"), "{unknown:?}");
}

#[test]
fn a_build_that_runs_is_followed_and_cancelled() {
    let project = Project::new("all:\n\t@echo begun; sleep 1000\n");
    let asked = Asked::start(&project);
    let id = asked.until("running");
    let followed = asked
        .command(&["log", "--follow", &id])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let cancelled = asked.ask(&["cancel", &id]);
    assert!(cancelled.status.success(), "{cancelled:?}");
    asked.until("cancelled");
    let followed = followed.wait_with_output().unwrap();
    assert_eq!(followed.status.code(), Some(1), "{followed:?}");
    let again = asked.ask(&["cancel", &id]);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
}

#[test]
fn a_build_that_was_killed_with_its_coordinator_runs_once_more() {
    let gate = tempfile::tempdir().unwrap();
    let open = gate.path().join("open");
    let project = Project::new(&format!(
        "all:\n\t@echo begun; while [ ! -e {} ]; do sleep 0.05; done; echo done\n",
        open.display()
    ));
    let asked = Asked::start(&project);
    let id = asked.until("running");
    asked.running.kill();

    let asked = Asked::start(&project);
    assert_eq!(asked.until("running"), id);
    std::fs::write(&open, "").unwrap();
    let followed = asked.ask(&["log", "--follow", &id]);
    assert!(followed.status.success(), "{followed:?}");
    assert!(stdout(&followed).contains("done"), "{followed:?}");
    assert_eq!(asked.until("succeeded"), id);
    let first = asked.ask(&["log", "--attempt", "1", &id]);
    assert!(!stdout(&first).contains("done"), "{first:?}");
    assert_eq!(asked.builds().len(), 1, "nothing is built twice");
}

#[test]
fn the_page_is_served_on_loopback_without_tls() {
    let project = Project::new("all:\n\t@true\n");
    let asked = Asked::start(&project);
    asked.until("succeeded");
    let address = asked
        .url
        .trim_start_matches("http://")
        .trim_end_matches('/');
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(page.contains("<html"), "{page}");
    let (status, lines) = {
        asked.running.signal("-TERM");
        asked.running.end()
    };
    assert!(status.success(), "{lines:#?}");
}

#[test]
fn who_is_not_there_is_named() {
    let project = Project::new("all:\n");
    let nobody = project
        .command(&["queue", "--server", "http://localhost:1"])
        .output()
        .unwrap();
    assert_eq!(nobody.status.code(), Some(1));
    assert!(
        stderr(&nobody).contains("no coordinator answers at http://localhost:1"),
        "{nobody:?}"
    );
    let wrong = project
        .command(&["queue", "--server", "ftp://x"])
        .output()
        .unwrap();
    assert!(
        stderr(&wrong).contains("begins with http:// or https://"),
        "{wrong:?}"
    );
}
