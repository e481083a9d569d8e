//! The program `coordinator` as its user meets it.

#[cfg(unix)]
mod administer;
#[cfg(unix)]
mod asking;
#[cfg(unix)]
mod browser;
#[cfg(target_os = "linux")]
mod builds;
#[cfg(target_os = "linux")]
mod chaos;
#[cfg(target_os = "linux")]
mod go_machine;
mod init_and_check;
#[cfg(unix)]
mod peers;
#[cfg(target_os = "linux")]
mod place;
#[cfg(unix)]
mod repo;
#[cfg(unix)]
mod running;

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// Runs the program in a folder, without what the user of the tests has set.
fn coordinator(dir: &Path, args: &[&str]) -> Output {
    program().current_dir(dir).args(args).output().unwrap()
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coordinator"));
    command.env_remove("RUST_LOG").env_remove("COORDINATOR_URL");
    command
}

/// An empty repository.
fn repository() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    git(dir.path(), &["init", "--quiet", "--initial-branch=main"]);
    dir
}

fn git(dir: &Path, args: &[&str]) {
    let status = Command::new("git")
        .current_dir(dir)
        .args(args)
        .status()
        .unwrap();
    assert!(status.success(), "git {args:?}");
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
