//! Repositories that are named, not configured.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::{git, repository, stderr, stdout};

/// A repository without a working copy, with these files as the one commit of the branch `trunk`, its default, and another branch.
fn bare(files: &[(&str, &str)]) -> TempDir {
    let work = repository();
    for (name, text) in files {
        fs::write(work.path().join(name), text).unwrap();
    }
    git(work.path(), &["add", "--all"]);
    let who = ["-c", "user.name=A", "-c", "user.email=a@example.org"];
    git(
        work.path(),
        &[&who[..], &["commit", "--quiet", "--message", "one"]].concat(),
    );
    git(work.path(), &["branch", "--move", "trunk"]);
    git(work.path(), &["branch", "other"]);
    let bare = tempfile::tempdir().unwrap();
    let path = work.path().to_str().unwrap();
    git(
        bare.path(),
        &["clone", "--quiet", "--bare", path, "tools.git"],
    );
    bare
}

/// Builds what `--repo` names, once, in a folder that is in no repository.
fn once(repositories: &[&str]) -> (TempDir, Output) {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_coordinator"));
    command.current_dir(dir.path()).args(["run", "--once"]);
    for repository in repositories {
        // So also one that begins with a dash is its value.
        command.arg(format!("--repo={repository}"));
    }
    let output = command
        .env("XDG_STATE_HOME", dir.path().join("state"))
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    (dir, output)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn an_address_is_built_by_the_files_of_its_default_branch() {
    let bare = bare(&[("Makefile", "all:\n\t@echo made of $$(ls | tr '\\n' ' ')\n")]);
    let address = format!("file://{}", text(&bare.path().join("tools.git")));
    let (dir, output) = once(&[&address]);
    assert!(output.status.success(), "{output:?}");
    assert!(stdout(&output).contains("made of Makefile"), "{output:?}");
    let said = stderr(&output);
    assert!(
        said.contains("fetching ") && said.contains("branch \"trunk\": Makefile: make"),
        "{said}"
    );
    let left: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(left, ["state"], "nothing is checked out beside the state");
}

#[test]
fn a_file_that_the_repository_carries_says_how_it_is_built() {
    let rest = "[host.h]\npool = 'process'\nexpect_num = 1\n[builder.b]\nhost_type = 'h'\n[[builder.b.step]]\nrun = 'echo as carried'\n";
    let good = bare(&[(
        "builders.toml",
        &format!("[repo.mine]\nclone_url = '.'\n{rest}"),
    )]);
    let (_dir, output) = once(&[text(&good.path().join("tools.git"))]);
    assert!(output.status.success(), "{output:?}");
    assert!(stdout(&output).contains("as carried"), "{output:?}");

    let greedy = bare(&[(
        "builders.toml",
        &format!("[repo.mine]\nclone_url = '/etc'\n{rest}"),
    )]);
    let (_dir, output) = once(&[text(&greedy.path().join("tools.git"))]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        stderr(&output).contains("speaks of another repository"),
        "{output:?}"
    );
}

#[test]
fn several_repositories_are_checked_by_the_commands_that_take_them() {
    let first = bare(&[("Makefile", "all:\n\t@echo one\n")]);
    let second = bare(&[("Makefile", "all:\n\t@echo two\n")]);
    let [first, second] = [&first, &second].map(|dir| dir.path().join("tools.git"));
    let (_dir, output) = once(&[text(&first), text(&second)]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        stderr(&output).contains("several repositories"),
        "{output:?}"
    );
}

#[test]
fn an_address_that_could_run_something_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let marker = dir.path().join("pwned");
    let touch = format!("touch {}", text(&marker));
    for address in [
        format!("ext::sh -c {}", touch.replace(' ', "% ")),
        format!("ssh://-oProxyCommand={touch}/x"),
        format!("-oProxyCommand={touch}:x"),
        "fd::17".to_owned(),
    ] {
        let (_dir, output) = once(&[&address]);
        assert!(!output.status.success(), "{address}: {output:?}");
        assert!(
            !stderr(&output).contains("fetching"),
            "{address}: {output:?}"
        );
    }
    let (_dir, output) = once(&["ext::sh -c true"]);
    assert!(
        stderr(&output).contains("https, http, ssh, git"),
        "{output:?}"
    );
    assert!(!marker.exists());

    let (_dir, output) = once(&[text(&dir.path().join("none"))]);
    assert!(stderr(&output).contains("is no folder"), "{output:?}");
}
