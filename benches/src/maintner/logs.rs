//! The logs that are read, made by `maintq log make` and kept.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use maintner::reclog::segments;

use crate::data::ask;
use crate::subject::build_ours;

/// Where logs come from.
#[derive(Debug)]
pub(super) struct Logs {
    dir: PathBuf,
    seed: u64,
    /// A repository that they begin with.
    git: Option<PathBuf>,
    /// The program that makes them.
    maintq: Option<PathBuf>,
}

impl Logs {
    pub(super) fn new(seed: u64, git: Option<PathBuf>, maintq: Option<PathBuf>) -> Self {
        Self {
            dir: harness::target_dir().join("benches/maintner"),
            seed,
            git,
            maintq,
        }
    }

    /// A folder on the disk that has the logs.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The log of so many MiB, in a folder, made if it is not there yet.
    pub(super) fn get(&mut self, mib: u64) -> anyhow::Result<PathBuf> {
        let mut name = format!("seed{}-{mib}", self.seed);
        if let Some(git) = &self.git {
            let head = ask(Command::new("git")
                .arg("-C")
                .arg(git)
                .args(["rev-parse", "HEAD"]));
            let head = head.with_context(|| format!("{} is no repository", git.display()))?;
            name = format!("{name}-{head}");
        }
        let log = self.dir.join(&name);
        if log.is_dir() {
            return Ok(log);
        }
        eprintln!("making a log of {mib} MiB");
        let maintq = match &self.maintq {
            Some(maintq) => maintq.clone(),
            None => {
                let built = build_ours("maintq", &["--no-default-features"], "maintq")?;
                self.maintq.insert(built).clone()
            }
        };
        // Under another name until it is whole.
        let making = self.dir.join(format!("{name}.making"));
        if making.exists() {
            fs::remove_dir_all(&making)?;
        }
        fs::create_dir_all(&making)?;
        let mut command = Command::new(maintq);
        command
            .args(["log", "make", "--seed", &self.seed.to_string()])
            .args(["--size", &format!("{mib}M")])
            .arg(&making);
        if let Some(git) = &self.git {
            command.arg("--git").arg(git);
        }
        let output = command.output().context("cannot start maintq")?;
        ensure!(
            output.status.success(),
            "maintq cannot make a log: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        fs::rename(&making, &log)?;
        Ok(log)
    }
}

/// Reads all files of a log, so that they are in memory, and returns their bytes.
pub(super) fn warm(log: &Path) -> anyhow::Result<u64> {
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    for segment in segments(log)? {
        let mut file = File::open(segment.path)?;
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                read => bytes += read as u64,
            }
        }
    }
    Ok(bytes)
}
