//! Logs that are made up.

use std::fs;
use std::path::Path;
use std::process::Command;

use maintner::Corpus;
use maintner::reclog::segments;
use tempfile::tempdir;

use crate::support::{ended, maintq, stdout};

/// Makes a log of some hundred kilobytes.
pub(crate) fn make(dir: &Path, args: &[&str]) {
    let mut command = maintq();
    command
        .args(["log", "make", "--size", "300k"])
        .args(args)
        .arg(dir);
    stdout(&command.output().unwrap());
}

/// A repository with two commits, the second of which has two files.
pub(crate) fn repository(dir: &Path) {
    let git = |args: &[&str]| {
        let output = Command::new("git")
            .args([
                "-c",
                "user.name=Gopher",
                "-c",
                "user.email=gopher@example.com",
                "-c",
                "commit.gpgsign=false",
            ])
            .args(args)
            .env("GIT_AUTHOR_DATE", "1400000000 +0200")
            .env("GIT_COMMITTER_DATE", "1400000001 +0200")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .current_dir(dir)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    git(&["init", "--quiet", "--initial-branch=main"]);
    fs::write(dir.join("a.go"), "package a\n").unwrap();
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "a: begin"]);
    fs::write(dir.join("b.go"), "package a\n\nvar B int\n").unwrap();
    fs::write(dir.join("a.go"), "package a\n\nvar A int\n").unwrap();
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "a: add B\n\nFixes #5"]);
}

fn bytes(dir: &Path) -> Vec<Vec<u8>> {
    let segments = segments(dir).unwrap();
    segments
        .iter()
        .map(|segment| fs::read(&segment.path).unwrap())
        .collect()
}

#[test]
fn the_same_seed_makes_the_same_log() {
    let dir = tempdir().unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|name| dir.path().join(name));
    make(&a, &["--seed", "5"]);
    make(&b, &["--seed", "5"]);
    make(&c, &["--seed", "6"]);
    assert_eq!(bytes(&a), bytes(&b));
    assert_ne!(bytes(&a), bytes(&c));
    let total: usize = bytes(&a).iter().map(Vec::len).sum();
    assert!((300 << 10..600 << 10).contains(&total), "{total}");
}

#[test]
fn what_is_made_up_makes_sense() {
    let dir = tempdir().unwrap();
    make(dir.path(), &[]);
    let corpus = Corpus::open(dir.path()).unwrap();
    let view = corpus.view();
    view.check().unwrap();
    assert_eq!(view.stats().ignored, 0);
    let cls: Vec<_> = view
        .gerrit()
        .projects()
        .flat_map(|project| project.cls())
        .collect();
    assert!(cls.len() > 20);
    assert!(
        cls.iter()
            .any(|cl| cl.status() == Some(maintner::ClStatus::Merged))
    );
    assert!(
        cls.iter()
            .any(|cl| cl.version() > 1 && cl.issue_refs().count() > 0)
    );
    assert!(
        cls.iter()
            .filter_map(maintner::Cl::meta)
            .any(|meta| !meta.label_votes().is_empty())
    );
    let go = view.github().repo("golang", "go").unwrap();
    assert!(
        go.issues()
            .any(|issue| issue.comments().count() > 0 && issue.comments_synced())
    );
    assert!(go.issues().any(|issue| issue.labels().count() > 0));
}

#[test]
fn a_history_is_replayed_and_copied() {
    let dir = tempdir().unwrap();
    let (repo, log) = (dir.path().join("repo"), dir.path().join("log"));
    fs::create_dir(&repo).unwrap();
    repository(&repo);
    make(
        &log,
        &[
            "--git",
            repo.to_str().unwrap(),
            "--project",
            "example.com/a",
        ],
    );
    let corpus = Corpus::open(&log).unwrap();
    let view = corpus.view();
    assert_eq!(view.stats().ignored, 0);
    let tip = |name: &str| {
        let project = view.gerrit().project("example.com", name).unwrap();
        let hash = project.reference("refs/heads/main").unwrap();
        project.commit(&hash).unwrap()
    };
    let (original, copy) = (tip("a"), tip("a-2"));
    assert_eq!(copy.message(), original.message());
    assert_eq!(copy.files().count(), 2);
    let year = 31_536_000;
    assert_eq!(
        copy.commit_instant().unix_seconds(),
        original.commit_instant().unix_seconds() + 2 * year
    );
    let parent = |commit: maintner::Commit<'_>| commit.parents().next().unwrap().hash();
    assert_ne!(parent(copy), parent(original));
    assert!(!copy.parents().next().unwrap().is_placeholder());
}

#[test]
fn a_folder_with_a_log_is_left_alone() {
    let dir = tempdir().unwrap();
    make(dir.path(), &[]);
    let before = bytes(dir.path());
    let again = maintq()
        .args(["log", "make"])
        .arg(dir.path())
        .output()
        .unwrap();
    let (code, _, err) = ended(&again);
    assert_eq!(code, 1);
    assert!(err.contains("has a log already"), "{err}");
    assert_eq!(bytes(dir.path()), before);
    let wrong = maintq()
        .args(["log", "make", "x", "--size", "10T"])
        .output()
        .unwrap();
    assert_eq!(ended(&wrong).0, 2);
}
