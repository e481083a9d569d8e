//! A coordinator as a process of its own, asked as a browser and a script would ask it.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::process::Process;
use super::project::REPOSITORY;

/// How long a coordinator may take to start.
const START: Duration = Duration::from_secs(30);
/// How often it is asked whether all is done, and how exact the time of the last build is.
const POLL: Duration = Duration::from_millis(50);
/// The longest that a log's beginning is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Coordinator {
    process: Process,
    /// Where it listens.
    pub(super) port: u16,
    agent: ureq::Agent,
}

/// When what was read of a build's log, since it was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct FirstLines {
    /// The first line, which the coordinator writes when the attempt begins.
    pub(super) any: Duration,
    /// The first line that the command wrote.
    pub(super) of_command: Duration,
}

impl Coordinator {
    pub(super) fn start(program: &Path, config: &Path, state: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command
            .arg("--config")
            .arg(config)
            .arg("--state-dir")
            .arg(state)
            .args(["--listen", "localhost:0"])
            .env_remove("RUST_LOG");
        let process = Process::start(command)?;
        let line = process.until("shows it", START)?;
        let port = line
            .split_once("localhost:")
            .and_then(|(_, rest)| rest.split_once('/'));
        let port = port
            .context("it does not say where it listens")?
            .0
            .parse()?;
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .build()
            .into();
        Ok(Self {
            process,
            port,
            agent,
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Ends it as an interrupt does.
    pub(super) fn end(self) -> anyhow::Result<()> {
        self.process.end().context("the coordinator")
    }

    fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    /// A page, and how long it took to its last byte.
    pub(super) fn page(&self, path: &str) -> anyhow::Result<(String, Duration)> {
        let begun = Instant::now();
        let mut answer = self.agent.get(self.url(path)).call().context("a page")?;
        let text = answer
            .body_mut()
            .with_config()
            .limit(64 << 20)
            .read_to_string()?;
        Ok((text, begun.elapsed()))
    }

    /// Adds builds, on one builder or on all; their numbers.
    pub(super) fn enqueue(
        &self,
        revision: &str,
        builder: Option<&str>,
    ) -> anyhow::Result<Vec<u64>> {
        let mut wanted = serde_json::json!({"repository": REPOSITORY, "revision": revision});
        if let Some(builder) = builder {
            wanted["builder"] = builder.into();
        }
        let request = self.agent.post(self.url("/api/v1/builds"));
        let request = request.header("content-type", "application/json");
        let mut answer = request.send(wanted.to_string()).context("adding a build")?;
        let answer: serde_json::Value = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
        let builds = answer["builds"].as_array().context("no builds")?;
        builds
            .iter()
            .map(|id| id.as_u64().context("a build without a number"))
            .collect()
    }

    /// How many builds are over, by result.
    fn results(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let (metrics, _) = self.page("/metrics")?;
        let mut results = BTreeMap::new();
        for line in metrics.lines() {
            let line = line.strip_prefix("build_coordinator_builds_total{result=\"");
            if let Some((result, count)) = line.and_then(|line| line.split_once("\"} ")) {
                results.insert(result.to_owned(), count.parse::<f64>()? as u64);
            }
        }
        Ok(results)
    }

    /// Waits until so many builds have succeeded in all. It is an error if another result comes.
    pub(super) fn until_done(&self, builds: u64, limit: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + limit;
        loop {
            let results = self.results()?;
            let succeeded = results.get("succeeded").copied().unwrap_or(0);
            if let Some(bad) = results.keys().find(|result| *result != "succeeded") {
                let (listed, _) = self.page(&format!("/api/v1/builds?state={bad}&limit=1"))?;
                let listed: serde_json::Value = serde_json::from_str(&listed)?;
                let id = listed["builds"][0]["id"].as_u64().unwrap_or(0);
                let (build, _) = self.page(&format!("/api/v1/builds/{id}"))?;
                bail!("builds did not succeed: {results:?}, such as {build}");
            }
            if succeeded >= builds {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("{succeeded} of {builds} builds are done after {limit:?}");
            }
            thread::sleep(POLL);
        }
    }

    /// Waits until so many machines have nothing to do.
    pub(super) fn until_idle(&self, machines: u64, limit: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + limit;
        loop {
            let machines_now: serde_json::Value =
                serde_json::from_str(&self.page("/api/v1/machines")?.0)?;
            let pools = machines_now["pools"].as_array().context("no pools")?;
            let idle: u64 = pools.iter().filter_map(|pool| pool["idle"].as_u64()).sum();
            if idle >= machines {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("{idle} of {machines} machines are there after {limit:?}");
            }
            thread::sleep(POLL);
        }
    }

    /// Asks for a build and follows its log until its command has written `greeting`.
    pub(super) fn first_lines(
        &self,
        revision: &str,
        builder: &str,
        greeting: &str,
    ) -> anyhow::Result<FirstLines> {
        let begun = Instant::now();
        let builds = self.enqueue(revision, Some(builder))?;
        let build = *builds.first().context("no build was added")?;
        let url = self.url(&format!("/api/v1/builds/{build}/attempts/1/log?follow=1"));
        let mut log = loop {
            match self.agent.get(&url).call() {
                Ok(answer) => break answer.into_body().into_reader(),
                // It has not begun.
                Err(ureq::Error::StatusCode(404)) if begun.elapsed() < PATIENCE => {
                    thread::sleep(Duration::from_millis(1));
                }
                Err(error) => return Err(error).context("a log"),
            }
        };
        let (mut text, mut any) = (Vec::new(), None);
        let mut piece = [0; 4096];
        loop {
            let read = log.read(&mut piece)?;
            ensure!(
                read > 0,
                "the log ends without {greeting:?}: {}",
                String::from_utf8_lossy(&text)
            );
            text.extend_from_slice(&piece[..read]);
            let any = *any.get_or_insert_with(|| begun.elapsed());
            if String::from_utf8_lossy(&text).contains(greeting) {
                let of_command = begun.elapsed();
                return Ok(FirstLines { any, of_command });
            }
        }
    }
}
