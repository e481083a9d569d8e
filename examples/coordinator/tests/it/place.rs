//! A repository, a configuration and a state folder, and coordinators there that are real processes.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use build_coordinator::blobs::{BlobName, FileBlobs, Logs};
use build_coordinator::model::BuildDetail;
use build_coordinator::store::{BuildFilter, Store, StoreConfig};
use harness::Program;
use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

use crate::go_machine::GoMachine;
use crate::{git, program, repository};

/// The longest that any one thing here may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

pub(crate) struct Place {
    dir: TempDir,
    repository: TempDir,
    go: Option<Program>,
}

impl Place {
    /// With this configuration beside a repository `site` and host type `local`, and as many local machines.
    pub(crate) fn new(machines: usize, builders: &str) -> Self {
        let place = Self {
            dir: tempfile::tempdir().unwrap(),
            repository: repository(),
            go: None,
        };
        let text = format!(
            "[repo.site]\nclone_url = '{}'\npoll = '1s'\nhistory = 1000\n[host.local]\npool = 'process'\nexpect_num = {machines}\n{builders}",
            place.repository().display()
        );
        fs::write(place.path("builders.toml"), text).unwrap();
        place
    }

    /// Puts a Go buildlet of host type `go` beside each coordinator, with the key that such have for development.
    pub(crate) fn with_go_machine(&mut self, buildlet: Program) {
        fs::create_dir_all(self.path("state")).unwrap();
        fs::write(self.path("state/master-key"), "gophers rule").unwrap();
        self.go = Some(buildlet);
    }

    pub(crate) fn repository(&self) -> &Path {
        self.repository.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn commit(&self, message: &str) {
        git(self.repository(), &["add", "--all"]);
        let who = ["-c", "user.name=A", "-c", "user.email=a@example.org"];
        git(
            self.repository(),
            &[
                &who[..],
                &["commit", "--quiet", "--allow-empty", "--message", message],
            ]
            .concat(),
        );
    }

    pub(crate) fn start(&self) -> Process {
        let log = tempfile::Builder::new()
            .prefix("log-")
            .tempfile_in(self.dir.path())
            .unwrap();
        let child = program()
            .current_dir(self.repository())
            .arg("--config")
            .arg(self.path("builders.toml"))
            .arg("--state-dir")
            .arg(self.path("state"))
            .args(["--listen", "localhost:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.reopen().unwrap())
            .spawn()
            .unwrap();
        let mut process = Process {
            child,
            log,
            go: None,
        };
        if let Some(buildlet) = &self.go {
            let folder = self.path("go-machine");
            process.go = Some(GoMachine::start(buildlet.clone(), folder, process.port()));
        }
        process
    }

    /// Lets a coordinator run until everything that there is to build is built, `builds` builds, and gives those.
    pub(crate) fn finish(&self, builds: usize) -> Vec<(BuildDetail, String)> {
        let end = Instant::now() + LIMIT + Duration::from_secs(2 * builds as u64);
        let process = self.start();
        loop {
            let found = process.builds();
            let is_open =
                |build: &&Value| build["state"] == "waiting" || build["state"] == "running";
            let open: Vec<_> = found.iter().filter(is_open).collect();
            if found.len() >= builds && open.is_empty() {
                break;
            }
            let (made, left) = (found.len(), open.len());
            assert!(
                Instant::now() < end,
                "{made} builds of {builds}, {left} of them not done, as: {:#?}",
                open.first()
            );
            thread::sleep(Duration::from_millis(200));
        }
        process.interrupt();
        self.builds()
    }

    /// What the store has while no coordinator runs: each build, and the log of its last attempt (its last 4 KiB).
    pub(crate) fn builds(&self) -> Vec<(BuildDetail, String)> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let state = self.path("state");
            let store = Store::open(StoreConfig::sqlite(state.join("coordinator.db")))
                .await
                .unwrap();
            let logs = Logs::new(Arc::new(
                FileBlobs::open(state.join("blobs")).await.unwrap(),
            ));
            let mut builds = Vec::new();
            for row in store
                .builds(&BuildFilter::default(), 1000)
                .await
                .unwrap()
                .builds
            {
                let build = store.detail(row.build.id).await.unwrap().unwrap();
                let events = store.events(row.build.id).await.unwrap();
                let replayed = BuildDetail::replay(&events).unwrap().unwrap();
                assert_eq!(replayed.build, build.build, "the history says the same");
                let text = log(&logs, &build).await;
                builds.push((build, text));
            }
            store.close().await.unwrap();
            builds
        })
    }

    /// Processes that have the state folder of this place in their command line or as their current folder.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let here = self.dir.path().to_str().unwrap().to_owned();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let cwd = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&here) || cwd.starts_with(&here) {
                found.push(pid);
            }
        }
        found
    }

    /// Fails if a buildlet that was started here has left its folder.
    pub(crate) fn assert_no_folder_of_a_machine(&self) {
        let mut left = Vec::new();
        for entry in fs::read_dir(self.path("state/machines/local")).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                left.push(entry.path());
            }
        }
        assert!(left.is_empty(), "{left:?}");
    }

    /// Waits until nothing of this place runs.
    pub(crate) fn until_nothing_runs(&self) {
        let end = Instant::now() + Duration::from_secs(30);
        while !self.processes().is_empty() {
            let lines: HashMap<_, _> = (self.processes().into_iter())
                .map(|pid| {
                    (
                        pid,
                        fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default(),
                    )
                })
                .collect();
            assert!(Instant::now() < end, "these were left: {lines:#?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A coordinator, with a Go buildlet if the place has one. They are killed if the test forgets them.
pub(crate) struct Process {
    child: Child,
    log: NamedTempFile,
    go: Option<GoMachine>,
}

impl Process {
    /// Its end as a good one: what runs ends first.
    pub(crate) fn interrupt(mut self) {
        signal("-INT", self.child.id());
        let end = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return;
            }
            assert!(Instant::now() < end, "it does not end");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where its page is, once it has said so.
    pub(crate) fn url(&self) -> String {
        let end = Instant::now() + LIMIT;
        loop {
            let log = fs::read_to_string(self.log.path()).unwrap();
            if let Some((before, _)) = log.split_once(" shows it") {
                return before.lines().last().unwrap().to_owned();
            }
            assert!(Instant::now() < end, "it does not start: {log}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn port(&self) -> u16 {
        let url = self.url();
        let port = url.trim_end_matches('/').rsplit(':').next();
        port.unwrap().parse().unwrap()
    }

    /// All builds, as the program tells of them.
    fn builds(&self) -> Vec<Value> {
        let answer = program()
            .args(["builds", "--json", "--limit", "1000", "--server"])
            .arg(self.url())
            .output()
            .unwrap();
        assert!(answer.status.success(), "{answer:?}");
        let mut answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
        serde_json::from_value(answer["builds"].take()).unwrap()
    }

    /// kill -9 of the Go buildlet, if there is one.
    pub(crate) fn kill_go_machine(&self) {
        if let Some(go) = &self.go {
            go.kill();
        }
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its buildlets.
    pub(crate) fn children(&self) -> Vec<u32> {
        let path = format!("/proc/{0}/task/{0}/children", self.child.id());
        let direct = fs::read_to_string(path).unwrap_or_default();
        let mut all: Vec<u32> = direct
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect();
        all.sort_unstable();
        all
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already ended, or to be ended now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process, which may have gone.
pub(crate) fn signal(name: &str, pid: u32) {
    let _ = Command::new("kill")
        .args([name, &pid.to_string()])
        .stderr(Stdio::null())
        .status()
        .unwrap();
}

/// Sends a signal to the group of a process, which may have gone.
pub(crate) fn signal_group(name: &str, leader: u32) {
    let _ = Command::new("kill")
        .args([name, "--", &format!("-{leader}")])
        .stderr(Stdio::null())
        .status()
        .unwrap();
}

async fn log(logs: &Logs, build: &BuildDetail) -> String {
    let Some(stored) = build
        .attempts
        .last()
        .and_then(|attempt| attempt.log.as_ref())
    else {
        return String::new();
    };
    let name: BlobName = stored.blob.parse().unwrap();
    let mut text = String::new();
    let mut part = logs
        .read(&name, stored.bytes.saturating_sub(4096)..u64::MAX)
        .await
        .unwrap();
    tokio::io::AsyncReadExt::read_to_string(&mut part, &mut text)
        .await
        .unwrap();
    text
}
