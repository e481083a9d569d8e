//! The peer: Buildbot's master and workers, from the Python package index.

use std::env;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::process::{self, Process};

/// What is installed.
const PACKAGES: [&str; 2] = ["buildbot==4.3.0", "buildbot-worker==4.3.0"];
const MASTER_CFG: &str = include_str!("master.cfg");

/// A Python environment with Buildbot in it.
pub(super) struct Buildbot {
    programs: PathBuf,
}

/// What so many builds with so many workers cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) builds_a_second: f64,
    /// Resident memory of the master, in bytes.
    pub(super) master: u64,
    /// That of one worker.
    pub(super) worker: u64,
}

impl Buildbot {
    /// The environment in this folder, which is made if it is not there.
    pub(super) fn find_or_install(environment: &Path) -> anyhow::Result<Self> {
        let programs = environment.join("bin");
        if !programs.join("buildbot-worker").exists() {
            let mut make = Command::new("python3");
            make.args(["-m", "venv"]).arg(environment);
            run(make)?;
            let mut install = Command::new(programs.join("pip"));
            run({
                install.args(["install", "--quiet"]).args(PACKAGES);
                install
            })?;
        }
        let buildbot = Self { programs };
        let mut version = buildbot.command("buildbot");
        version.arg("--version");
        run(version)?;
        Ok(buildbot)
    }

    /// Runs `true` as so many builds, in a folder that is not there yet.
    pub(super) fn measure(
        &self,
        folder: &Path,
        workers: u32,
        builds: u32,
    ) -> anyhow::Result<Measured> {
        let master = folder.join("master");
        fs::create_dir_all(folder)?;
        let mut create = self.command("buildbot");
        create.args(["create-master", "--quiet"]).arg(&master);
        run(create)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        fs::write(master.join("master.cfg"), MASTER_CFG)?;
        let told = serde_json::json!({"workers": workers, "builds": builds, "port": port});
        fs::write(master.join("load.json"), told.to_string())?;

        let master_process = self.start("buildbot", &master)?;
        let mut worker_processes = Vec::new();
        for number in 0..workers {
            let worker = folder.join(format!("w{number}"));
            let mut create = self.command("buildbot-worker");
            create.args(["create-worker", "--quiet"]).arg(&worker);
            create.args([
                format!("127.0.0.1:{port}"),
                format!("w{number}"),
                "secret".to_owned(),
            ]);
            run(create)?;
            worker_processes.push(self.start("buildbot-worker", &worker)?);
        }
        let limit = Duration::from_secs(60) + builds * Duration::from_secs(2);
        let end = Instant::now() + limit;
        let result = loop {
            match fs::read_to_string(master.join("result.json")) {
                Ok(text) => break serde_json::from_str::<serde_json::Value>(&text)?,
                Err(_) if Instant::now() < end => thread::sleep(Duration::from_millis(100)),
                Err(_) => bail!("Buildbot is not done after {limit:?}"),
            }
        };
        let seconds = result["seconds"].as_f64();
        let seconds = seconds.with_context(|| format!("Buildbot failed: {result}"))?;
        let first = worker_processes.first().context("no worker")?;
        let measured = Measured {
            builds_a_second: f64::from(builds) / seconds,
            master: process::resident(master_process.pid())?,
            worker: process::resident(first.pid())?,
        };
        for process in worker_processes {
            process.end()?;
        }
        master_process.end()?;
        Ok(measured)
    }

    fn command(&self, program: &str) -> Command {
        Command::new(self.programs.join(program))
    }

    /// Starts the master or the worker in this folder, as one process in the foreground.
    fn start(&self, program: &str, folder: &Path) -> anyhow::Result<Process> {
        let mut command = self.command("twistd");
        command
            .args(["--nodaemon", "--pidfile=", "--python=buildbot.tac"])
            .args(["--logfile", "twistd.log"])
            .current_dir(folder)
            .env("LOAD_MASTER", folder);
        Process::start(command).with_context(|| format!("cannot start {program}"))
    }
}

/// Where it is kept if nobody says so: beside what is built.
pub(super) fn default_environment() -> PathBuf {
    harness::target_dir().join("buildbot")
}

fn run(mut command: Command) -> anyhow::Result<()> {
    let name = command.get_program().display().to_string();
    let output = command
        .stdin(Stdio::null())
        .current_dir(env::temp_dir())
        .output()
        .with_context(|| format!("cannot start {name}"))?;
    ensure!(
        output.status.success(),
        "{name} failed: {}",
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    Ok(())
}
