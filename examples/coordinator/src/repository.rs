//! The repository that the program is started in.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, thread};

use anyhow::{Context as _, bail};
use dashboard_config::{Detected, LOOKED_FOR, detect};

/// What a team's configuration is called.
pub(crate) const FILE: &str = "builders.toml";
/// The most of a file that is looked at to see how a repository is built, in bytes.
pub(crate) const LOOKED_AT: usize = 256 * 1024;

/// The top folder of the repository that `dir` is in.
pub(crate) fn top(dir: &Path) -> anyhow::Result<PathBuf> {
    let output = Command::new("git")
        .current_dir(dir)
        .args(["rev-parse", "--show-toplevel"])
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run git in {}", dir.display()))?;
    if !output.status.success() {
        bail!("{} is in no git repository", dir.display());
    }
    let path = String::from_utf8(output.stdout).context("the repository's path is not UTF-8")?;
    Ok(PathBuf::from(path.trim_end_matches(['\n', '\r'])))
}

/// Whether a folder is a repository without a working copy.
pub(crate) fn is_bare(dir: &Path) -> anyhow::Result<bool> {
    let output = Command::new("git")
        .current_dir(dir)
        .args(["rev-parse", "--is-bare-repository"])
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run git in {}", dir.display()))?;
    Ok(output.status.success() && output.stdout.trim_ascii() == b"true")
}

/// How the working copy at `root` is built.
pub(crate) fn ways(root: &Path) -> Vec<Detected> {
    detect(|name| {
        let mut text = fs::read(root.join(name)).ok()?;
        text.truncate(LOOKED_AT);
        Some(String::from_utf8_lossy(&text).into_owned())
    })
}

/// Says why nothing can be built.
pub(crate) fn nothing_found() -> String {
    format!("there is none of {}", LOOKED_FOR.join(", "))
}

/// One buildlet for two processors, and at least one.
pub(crate) fn local_buildlets() -> u32 {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(processors / 2).unwrap_or(u32::MAX).max(1)
}
