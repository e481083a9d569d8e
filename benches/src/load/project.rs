//! What is built: a repository, and the configuration that says how.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

/// The repository's name.
pub(super) const REPOSITORY: &str = "trivial";
/// The type of the simulated machines.
pub(super) const SIMULATED: &str = "host-simulated";
/// What a build of a real buildlet prints.
pub(super) const GREETING: &str = "a line of the command";

/// A repository of small commits, and a folder for the state of coordinators.
pub(super) struct Project {
    folder: PathBuf,
    /// Its commits, the oldest first.
    pub(super) revisions: Vec<String>,
}

/// Which machines a coordinator has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Machines {
    /// Those that dial in.
    Reverse,
    /// So many processes beside it.
    Local(u32),
}

impl Project {
    /// Makes a repository of so many commits in `folder`.
    pub(super) fn new(folder: &Path, commits: u32) -> anyhow::Result<Self> {
        let project = Self {
            folder: folder.to_owned(),
            revisions: Vec::new(),
        };
        let repository = project.repository();
        fs::create_dir(&repository)?;
        fs::write(repository.join("README"), "Nothing is to be done here.\n")?;
        project.git(&["init", "--quiet", "--initial-branch=main"])?;
        project.git(&["add", "README"])?;
        for number in 1..=commits {
            let message = format!("commit {number}");
            project.git(&["commit", "--quiet", "--allow-empty", "-m", &message])?;
        }
        let revisions = project.git(&["log", "--reverse", "--format=%H"])?;
        Ok(Self {
            revisions: revisions.lines().map(str::to_owned).collect(),
            ..project
        })
    }

    fn repository(&self) -> PathBuf {
        self.folder.join("repository")
    }

    /// Where the coordinator of this name keeps its state.
    pub(super) fn state(&self, name: &str) -> anyhow::Result<PathBuf> {
        let state = self.folder.join(name);
        fs::create_dir_all(&state)?;
        Ok(state)
    }

    /// Writes a configuration of so many builders, each of which runs `command`. Only what is asked for is built.
    pub(super) fn config(
        &self,
        name: &str,
        machines: Machines,
        builders: u32,
        command: &str,
    ) -> anyhow::Result<PathBuf> {
        let mut text = format!(
            "[repo.{REPOSITORY}]\nclone_url = {:?}\nbranches = []\n\n",
            self.repository()
        );
        // Simulated machines start nothing that could be isolated; on real ones it is as it is by default.
        let (host_type, isolation) = match machines {
            Machines::Reverse => {
                write!(text, "[host.{SIMULATED}]\npool = \"reverse\"\n\n")?;
                (SIMULATED, "isolation = \"none\"\n")
            }
            Machines::Local(count) => {
                write!(
                    text,
                    "[host.local]\npool = \"process\"\nexpect_num = {count}\n\n"
                )?;
                ("local", "")
            }
        };
        for number in 1..=builders {
            write!(
                text,
                "[builder.b{number}]\nhost_type = \"{host_type}\"\n{isolation}\
                 [[builder.b{number}.step]]\nname = \"run\"\nrun = {command}\n\n"
            )?;
        }
        let path = self.folder.join(format!("{name}.toml"));
        fs::write(&path, text)?;
        Ok(path)
    }

    fn git(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = Command::new("git")
            .arg("-C")
            .arg(self.repository())
            .args([
                "-c",
                "user.name=A",
                "-c",
                "user.email=a@example.org",
                "-c",
                "gc.auto=0",
            ])
            .args(args)
            .stdin(Stdio::null())
            .output()
            .context("cannot start git")?;
        ensure!(
            output.status.success(),
            "git {} failed: {}",
            args[0],
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
        Ok(String::from_utf8(output.stdout)?)
    }
}
