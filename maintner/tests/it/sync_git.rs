//! Following git repositories into a log.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use maintner::reclog::{Sync, Writer, WriterConfig};
use maintner::sync::{GitSync, SyncError, Synced};
use maintner::{Corpus, View};
use prost::Message as _;
use tempfile::{TempDir, tempdir};

const PROJECT: &str = "example.org/x";

/// A repository, and a log of it.
struct Follow {
    repo: TempDir,
    log: TempDir,
    corpus: Corpus,
}

impl Follow {
    fn new() -> Self {
        let repo = tempdir().unwrap();
        let log = tempdir().unwrap();
        let corpus = Corpus::open(log.path()).unwrap();
        let follow = Self { repo, log, corpus };
        follow.git(&["init", "--quiet", "--initial-branch=master"]);
        follow
    }

    fn git(&self, args: &[&str]) -> String {
        git(self.repo.path(), args, b"")
    }

    /// A commit that adds a line to each of these files.
    fn commit(&self, message: &str, files: &[&str]) -> String {
        for file in files {
            let path = self.repo.path().join(file);
            let old = std::fs::read_to_string(&path).unwrap_or_default();
            std::fs::write(path, format!("{old}{message}\n")).unwrap();
        }
        self.git(&["add", "--all"]);
        self.git(&[
            "commit",
            "--quiet",
            "--allow-empty",
            "--cleanup=verbatim",
            "-m",
            message,
        ]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn sync(&mut self) -> Synced {
        let git = GitSync::new(self.repo.path(), PROJECT).unwrap();
        let view = self.corpus.view();
        let corpus = &mut self.corpus;
        let mut log =
            Writer::open(self.log.path(), WriterConfig::default().sync(Sync::Never)).unwrap();
        let synced = git
            .sync(&view, |mutations| {
                log.append(mutations.iter().map(prost::Message::encode_to_vec))?;
                corpus.update()?;
                Ok(())
            })
            .unwrap();
        // Who reads the log anew finds the same, and nothing is wrong with it.
        let again = Corpus::open(self.log.path()).unwrap();
        assert_eq!(again.view().stats(), corpus.view().stats());
        assert_eq!(again.view().stats().ignored, 0);
        synced
    }

    fn view(&self) -> View {
        self.corpus.view()
    }
}

fn git(dir: &Path, args: &[&str], input: &[u8]) -> String {
    use std::io::Write as _;
    let mut child = Command::new("git")
        .arg("-C")
        .arg(dir)
        .args(["-c", "user.name=A U Thor", "-c", "user.email=a@example.org"])
        .args([
            "-c",
            "commit.gpgSign=false",
            "-c",
            "tag.gpgSign=false",
            "-c",
            "core.hooksPath=",
        ])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {args:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn more_commits_than_are_held_come_once_each_and_behind_their_parents() {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;

    let follow = Follow::new();
    // A history of 20 MiB, and 10 MiB of commits beside it.
    let text = "x".repeat(1 << 20);
    let mut stream = String::new();
    for number in 1..=30 {
        let name = if number <= 20 { 0 } else { number };
        let len = text.len() + 10;
        write!(
            stream,
            "commit refs/heads/b{name}\ncommitter A <a@x> {number} +0000\ndata {len}\n{number:010}{text}\nM 644 inline f{number}\ndata 1\nx\n\n"
        )
        .unwrap();
    }
    git(
        follow.repo.path(),
        &["fast-import", "--quiet"],
        stream.as_bytes(),
    );
    let source = GitSync::new(follow.repo.path(), PROJECT).unwrap();
    let mut seen = BTreeSet::new();
    let (mut files, mut largest) = (0, 0);
    let synced = source.sync(&follow.view(), |mutations| {
        let gerrit = mutations.into_iter().filter_map(|mutation| mutation.gerrit);
        let commits: Vec<_> = gerrit.flat_map(|gerrit| gerrit.commits).collect();
        largest = largest.max(commits.len());
        for commit in commits {
            let head = String::from_utf8_lossy(&commit.raw);
            let mut lines = head.lines();
            let parent = lines.find_map(|line| line.strip_prefix("parent "));
            assert!(parent.is_none_or(|parent| seen.contains(parent)));
            assert!(head.ends_with(&text), "{}", commit.sha1);
            files += commit.diff_tree.unwrap().file.len();
            assert!(seen.insert(commit.sha1));
        }
        Ok(())
    });
    assert_eq!((synced.unwrap().commits, seen.len()), (30, 30));
    assert_eq!(files, 19, "one each of those that have a parent");
    assert!(largest <= 4, "{largest} commits at once");
}

#[test]
fn commits_their_files_and_refs_are_followed_bit_by_bit() {
    let mut follow = Follow::new();
    assert_eq!(follow.sync(), Synced::default());
    let first = follow.commit("first", &["a"]);
    let second = follow.commit("second\n\nbody\n", &["a", "b c", "d\"\u{e9}\n"]);
    follow.git(&["tag", "--annotate", "-m", "tag", "v1"]);
    let synced = follow.sync();
    assert_eq!((synced.commits, synced.refs), (2, 2));
    {
        let view = follow.view();
        let project = view.gerrit().project("example.org", "x").unwrap();
        assert_eq!(
            project.reference("refs/heads/master").unwrap().to_string(),
            second
        );
        // A tag leads to what it tags.
        assert_eq!(
            project.reference("refs/tags/v1").unwrap().to_string(),
            second
        );
        let commit = project.commit(&second.parse().unwrap()).unwrap();
        assert_eq!(commit.message(), b"second\n\nbody\n");
        assert_eq!(commit.parents().next().unwrap().hash().to_string(), first);
        let files: Vec<_> = commit
            .files()
            .map(|file| (file.name, file.added, file.deleted))
            .collect();
        assert_eq!(
            files,
            [(r#""d\"\303\251\n""#, 4, 0), ("a", 4, 0), ("b c", 4, 0)]
        );
        assert_eq!(
            project
                .commit(&first.parse().unwrap())
                .unwrap()
                .files()
                .count(),
            0
        );
        assert!(view.check().is_ok());
    }
    assert_eq!(follow.sync(), Synced::default());

    follow.git(&["checkout", "--quiet", "-b", "side", &first]);
    follow.commit("on the side", &["e"]);
    follow.git(&["checkout", "--quiet", "master"]);
    follow.git(&["merge", "--quiet", "--no-ff", "-m", "merge", "side"]);
    follow.git(&["branch", "--quiet", "-D", "side"]);
    follow.git(&["tag", "-d", "v1"]);
    let synced = follow.sync();
    assert_eq!(
        (synced.commits, synced.refs, synced.deleted_refs),
        (2, 1, 1)
    );
    assert_eq!(follow.sync(), Synced::default());
}

#[test]
fn a_history_that_was_rewritten_leaves_the_old_commits_and_moves_the_refs() {
    let mut follow = Follow::new();
    let base = follow.commit("base", &["a"]);
    let old = follow.commit("old", &["a"]);
    follow.sync();
    follow.git(&["reset", "--quiet", "--hard", &base]);
    let new = follow.commit("new", &["b"]);
    // The old one is gone for good.
    follow.git(&["reflog", "expire", "--expire=now", "--all"]);
    follow.git(&["gc", "--quiet", "--prune=now"]);
    let synced = follow.sync();
    assert_eq!((synced.commits, synced.refs), (1, 1));
    let view = follow.view();
    let project = view.gerrit().project("example.org", "x").unwrap();
    assert_eq!(
        project.reference("refs/heads/master").unwrap().to_string(),
        new
    );
    assert!(project.commit(&old.parse().unwrap()).is_some());
}

#[test]
fn refs_of_changes_make_changes() {
    let mut follow = Follow::new();
    follow.commit("base", &["a"]);
    let patch_set = follow.commit("change\n\nChange-Id: I1\n", &["a"]);
    follow.git(&["update-ref", "refs/changes/21/4321/1", &patch_set]);
    let meta = "Create change\n\nPatch-set: 1\nStatus: new\nBranch: refs/heads/master\nTag: autogenerated:gerrit:newPatchSet\n";
    let tree = git(follow.repo.path(), &["mktree"], b"");
    let meta = follow.git(&["commit-tree", &tree, "-m", meta]);
    follow.git(&["update-ref", "refs/changes/21/4321/meta", &meta]);
    // And what only looks like one.
    for odd in [
        "refs/changes/1/4321/2",
        "refs/changes/21/4321/0",
        "refs/changes/99/99999999999/1",
        "refs/meta/config",
    ] {
        follow.git(&["update-ref", odd, &patch_set]);
    }
    assert_eq!(follow.sync().refs, 3);
    let view = follow.view();
    let project = view.gerrit().project("example.org", "x").unwrap();
    let cl = project.cl(4321).unwrap();
    assert_eq!((cl.version(), &*cl.subject()), (1, "change"));
    assert_eq!(follow.sync(), Synced::default());
}

#[test]
fn hostile_commits_and_names_come_through_or_are_skipped_and_counted() {
    let mut follow = Follow::new();
    let base = follow.commit("base", &["a"]);
    let message = "\u{1b}[31m$(touch pwned) `id` \0".trim_end_matches('\0');
    let tip = follow.commit(message, &["$(touch pwned)", "--output=pwned", "-"]);
    follow.git(&["update-ref", "refs/heads/$(touch${IFS}pwned);'\"", &tip]);
    follow.git(&["update-ref", "refs/heads/--upload-pack=x", &tip]);
    // No git makes such a commit; one with bytes that are not UTF-8 is fine.
    let tree = follow.git(&["rev-parse", "HEAD^{tree}"]);
    let write = |object: &[u8]| {
        git(
            follow.repo.path(),
            &[
                "hash-object",
                "-t",
                "commit",
                "-w",
                "--stdin",
                "--literally",
            ],
            object,
        )
    };
    let broken = write(b"tree nonsense\n\nx\n");
    let latin = write(
        format!("tree {tree}\nparent {base}\nauthor X <x> 0 +0000\ncommitter X <x> 0 +0000\n\n")
            .as_bytes()
            .iter()
            .copied()
            .chain(*b"\xff\xfe\n")
            .collect::<Vec<_>>()
            .as_slice(),
    );
    follow.git(&["update-ref", "refs/heads/latin", &latin]);
    std::fs::write(
        follow.repo.path().join(".git/refs/heads/broken"),
        format!("{broken}\n"),
    )
    .unwrap();
    let result = GitSync::new(follow.repo.path(), PROJECT)
        .unwrap()
        .sync(&follow.view(), |_| Ok(()));
    // Git itself gives up on such a one; nothing of ours breaks.
    if let Err(error) = result {
        assert!(
            matches!(error, SyncError::Failed { .. } | SyncError::Git { .. }),
            "{error:?}"
        );
    }
    std::fs::remove_file(follow.repo.path().join(".git/refs/heads/broken")).unwrap();
    let synced = follow.sync();
    assert_eq!((synced.commits, synced.refs), (3, 4));
    let view = follow.view();
    let project = view.gerrit().project("example.org", "x").unwrap();
    assert_eq!(
        project.commit(&latin.parse().unwrap()).unwrap().message(),
        b"\xff\xfe\n"
    );
    assert_eq!(
        project
            .reference("refs/heads/$(touch${IFS}pwned);'\"")
            .unwrap()
            .to_string(),
        tip
    );
    assert!(!follow.repo.path().join("pwned").exists());
    assert_eq!(follow.sync(), Synced::default());
}

#[test]
fn a_commit_that_is_too_long_is_skipped_and_its_ref_with_it() {
    let follow = Follow::new();
    follow.commit("short", &["a"]);
    follow.commit(&"long ".repeat(1000), &["a"]);
    let git = GitSync::new(follow.repo.path(), PROJECT)
        .unwrap()
        .max_commit(1000);
    let mut mutations = Vec::new();
    let synced = git
        .sync(&follow.view(), |batch| {
            mutations.extend(batch);
            Ok(())
        })
        .unwrap();
    assert_eq!((synced.commits, synced.skipped, synced.refs), (1, 1, 0));
    assert!(
        mutations
            .iter()
            .all(|mutation| mutation.encoded_len() < 2000)
    );
}

#[test]
fn what_git_and_takers_fail_with_is_told() {
    let follow = Follow::new();
    follow.commit("x", &["a"]);
    let view = follow.view();
    let nowhere = tempdir().unwrap();
    let dir = nowhere.path().join("missing");
    let error = GitSync::new(dir, PROJECT)
        .unwrap()
        .sync(&view, |_| Ok(()))
        .unwrap_err();
    assert!(
        matches!(&error, SyncError::Failed { said, .. } if !said.is_empty()),
        "{error}"
    );
    let git = GitSync::new(follow.repo.path(), PROJECT).unwrap();
    let error = git.sync(&view, |_| Err("no".into())).unwrap_err();
    assert!(matches!(error, SyncError::Sink { .. }), "{error}");
    let error = git
        .time_limit(Duration::ZERO)
        .sync(&view, |_| Ok(()))
        .unwrap_err();
    assert!(matches!(error, SyncError::TimedOut { .. }), "{error}");
    for project in ["", "x", "/x", "x/", "a b/c", "a/b\n", "a/\u{e9}"] {
        let error = GitSync::new(follow.repo.path(), project).unwrap_err();
        assert!(matches!(error, SyncError::Project { .. }), "{project}");
    }
}
