use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use build_coordinator::git::{Git, GitConfig, Repository, Source};
use build_coordinator::model::Revision;
use tempfile::TempDir;

/// A repository to work in, and a place for caches.
pub(crate) struct Workshop {
    dir: TempDir,
}

impl Workshop {
    pub(crate) fn new() -> Self {
        let workshop = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(workshop.source()).unwrap();
        workshop.git(["init", "--quiet", "--initial-branch=main"]);
        workshop
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.dir.path().join("source")
    }

    /// Runs git in the repository; what it printed.
    pub(crate) fn git<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        self.git_with(args, b"")
    }

    pub(crate) fn git_with<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
        input: &[u8],
    ) -> String {
        let mut child = Command::new("git")
            .current_dir(self.source())
            .args([
                "-c",
                "user.name=A U Thor",
                "-c",
                "user.email=author@example.com",
            ])
            .args(args)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Commits `content` as `file`; the new commit.
    pub(crate) fn commit(&self, file: &str, content: &str, message: &str) -> Revision {
        let path = self.source().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self.git(["add", "--all"]);
        self.git(["commit", "--quiet", "--allow-empty", "-m", message]);
        self.head()
    }

    pub(crate) fn head(&self) -> Revision {
        self.git(["rev-parse", "HEAD"]).parse().unwrap()
    }

    pub(crate) async fn cache(&self) -> Repository {
        self.cache_with(GitConfig::default()).await
    }

    pub(crate) async fn cache_with(&self, config: GitConfig) -> Repository {
        let git = Git::open(self.dir.path().join("cache"), config)
            .await
            .unwrap();
        let source = Source::local(self.source()).unwrap();
        git.repository("tools", &source).await.unwrap()
    }
}

/// A program in place of git.
pub(crate) fn script(dir: &Path, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = dir.join("fake-git");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// The commit that a cache finds by this text.
pub(crate) async fn found(cache: &Repository, text: &str) -> Option<Revision> {
    let commit = cache.find(text).await.unwrap();
    commit.map(|commit| commit.revision)
}
