use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use tokio::sync::{OnceCell, Semaphore};

use super::command::GitCommand;
use super::{GitConfig, GitError, Source};
use crate::model::{Commit, Revision};

/// Commits of one history.
pub(crate) const MAX_HISTORY: u32 = 10_000;

/// Branches of a repository. More are cut off, and the log says so.
const MAX_BRANCHES: usize = 10_000;

/// A folder of bare caches, one for each repository. One process uses it at a time, as the store's lock sees to.
#[derive(Clone, Debug)]
pub struct Git {
    dir: PathBuf,
    config: GitConfig,
}

/// The bare cache of one repository. A handle: clones are the same cache.
#[derive(Clone, Debug)]
pub struct Repository {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) name: String,
    source: Source,
    pub(crate) config: GitConfig,
    /// The bare repository.
    bare: PathBuf,
    /// What git reads as its user's configuration.
    settings: PathBuf,
    /// Where archives are kept.
    pub(crate) archives: PathBuf,
    /// One fetch at a time.
    fetching: Semaphore,
    /// The branches as they are, if that is known: only a fetch changes them.
    heads: Mutex<Heads>,
    /// Archives that are being made.
    pub(crate) making: Mutex<HashMap<Revision, Weak<OnceCell<()>>>>,
}

/// The branches of a cache, at most [`MAX_BRANCHES`].
#[derive(Debug, Default)]
struct Heads {
    /// Fetches that began or ended: what was read before one is not to be remembered after it.
    fetches: u64,
    known: Option<Arc<[Head]>>,
}

/// A branch and its newest commit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Head {
    /// Name of the branch, without `refs/heads/`. Made by others; may be any text without control characters.
    pub name: String,
    /// Its newest commit.
    pub revision: Revision,
}

impl Git {
    /// Uses the folder `dir`, which is made if it is not there, for its owner's eyes only.
    ///
    /// # Errors
    ///
    /// [`GitError::File`]; [`GitError::Start`] if there is no git.
    pub async fn open(dir: impl Into<PathBuf>, mut config: GitConfig) -> Result<Self, GitError> {
        let dir = dir.into();
        let (made, program) = (dir.clone(), config.program);
        config.program = blocking(&dir, move || {
            make_private_dir(&made)?;
            Ok(super::command::found(program))
        })
        .await?;
        let git = Self { dir, config };
        // No commands, but it proves that there is a git.
        let nothing = git.dir.join("none");
        GitCommand::new(&git.config, &nothing, &git.dir, "version", [""; 0])
            .output(1024)
            .await?;
        Ok(git)
    }

    /// The cache of the repository that the configuration calls `name`. Makes it if it is not there; fetches nothing.
    ///
    /// Call it once for each repository and clone what it gives: it removes what an interrupted fetch left behind.
    ///
    /// # Errors
    ///
    /// [`GitError::File`], or what git says.
    pub async fn repository(&self, name: &str, source: &Source) -> Result<Repository, GitError> {
        let dir = self.dir.join(dir_name(name));
        let inner = Inner {
            name: name.to_owned(),
            source: source.clone(),
            config: self.config.clone(),
            bare: dir.join("bare"),
            settings: dir.join("gitconfig"),
            archives: dir.join("archives"),
            fetching: Semaphore::new(1),
            heads: Mutex::default(),
            making: Mutex::default(),
        };
        let inner = Arc::new(inner);
        let prepared = inner.clone();
        let is_new = blocking(&dir, move || prepared.prepare()).await?;
        if is_new {
            // Without a template, so without hooks. The name of the first branch means nothing here.
            let init = ["--quiet", "--bare", "--template=", "--initial-branch=main"];
            GitCommand::new(&inner.config, &inner.settings, &inner.bare, "init", init)
                .output(64 << 10)
                .await?;
        }
        let prepared = inner.clone();
        blocking(&dir, move || prepared.write_attributes()).await?;
        Ok(Repository { inner })
    }
}

impl Repository {
    /// What the configuration calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Where it comes from.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.inner.source
    }

    /// Brings the cache up to date: all branches, those that were deleted too. Calls wait for each other.
    ///
    /// # Errors
    ///
    /// What git says; [`GitError::TimedOut`].
    pub async fn fetch(&self) -> Result<(), GitError> {
        self.fetch_from_origin(&["--prune"], None).await
    }

    /// Brings a commit that no branch has, such as the detached `HEAD` of a working copy, and keeps it. Whether it is there.
    ///
    /// Only of a repository on this machine: a server that many share may have commits that are not of this repository.
    ///
    /// # Errors
    ///
    /// [`GitError::TimedOut`], and what kept git from running. That git fails is not one: the source has no such commit.
    pub async fn fetch_commit(&self, revision: &Revision) -> Result<bool, GitError> {
        if self.inner.source.path().is_none() {
            return Ok(false);
        }
        let keep = format!("{revision}:refs/asked/{revision}");
        match self.fetch_from_origin(&[], Some(&keep)).await {
            Ok(()) => Ok(true),
            Err(GitError::Failed { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn fetch_from_origin(&self, flags: &[&str], what: Option<&str>) -> Result<(), GitError> {
        // The semaphore is never closed.
        let _turn = self.inner.fetching.acquire().await;
        let args = [
            "--quiet",
            "--no-tags",
            "--force",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
        ];
        let args = args.iter().chain(flags).copied();
        self.inner.heads().change();
        let _changed = Changed(&self.inner);
        self.command("fetch", args.chain(["origin"]).chain(what))
            .limit(self.inner.config.fetch_limit)
            .max_file(self.inner.config.max_pack)
            .secret(self.inner.source.credentials())
            .output(64 << 10)
            .await?;
        Ok(())
    }

    /// The branch that its source has checked out, or calls its default. Asks the source.
    ///
    /// # Errors
    ///
    /// What git says; [`GitError::TimedOut`].
    pub async fn default_branch(&self) -> Result<Option<String>, GitError> {
        let output = self
            .command("ls-remote", ["--quiet", "--symref", "origin", "HEAD"])
            .secret(self.inner.source.credentials())
            .output(64 << 10)
            .await?;
        let output = String::from_utf8_lossy(&output);
        let branch = output.lines().find_map(|line| {
            let (name, of) = line.strip_prefix("ref: refs/heads/")?.split_once('\t')?;
            (of == "HEAD").then(|| name.to_owned())
        });
        Ok(branch)
    }

    /// The branches as they were when last fetched, by name; at most 10,000.
    ///
    /// # Errors
    ///
    /// What git says.
    pub async fn branches(&self) -> Result<Arc<[Head]>, GitError> {
        let fetches = {
            let heads = self.inner.heads();
            if let Some(known) = &heads.known {
                return Ok(known.clone());
            }
            heads.fetches
        };
        let read: Arc<[Head]> = self.read_branches().await?.into();
        let mut heads = self.inner.heads();
        if heads.fetches == fetches {
            heads.known = Some(read.clone());
        }
        Ok(read)
    }

    async fn read_branches(&self) -> Result<Vec<Head>, GitError> {
        const COMMAND: &str = "for-each-ref";
        let count = format!("--count={}", MAX_BRANCHES + 1);
        // A name has neither spaces nor control characters.
        let args = [
            &count,
            "--format=%(objectname) %(objecttype) %(refname)",
            "refs/heads/",
        ];
        let output = self.command(COMMAND, args).output(16 << 20).await?;
        let mut heads = Vec::new();
        for line in String::from_utf8_lossy(&output).lines() {
            let mut fields = line.splitn(3, ' ');
            let (Some(revision), Some(kind), Some(name)) =
                (fields.next(), fields.next(), fields.next())
            else {
                return Err(GitError::Output { command: COMMAND });
            };
            let (Ok(revision), Some(name)) = (revision.parse(), name.strip_prefix("refs/heads/"))
            else {
                return Err(GitError::Output { command: COMMAND });
            };
            if kind == "commit" {
                heads.push(Head {
                    name: name.to_owned(),
                    revision,
                });
            }
        }
        if heads.len() > MAX_BRANCHES {
            tracing::warn!(repository = %self.inner.name, "has more branches than {MAX_BRANCHES}: the rest is not built");
            heads.truncate(MAX_BRANCHES);
        }
        Ok(heads)
    }

    /// The commit that `text` means: a branch, or a revision that may be abbreviated to seven digits. `None` if it means
    /// none, or several.
    ///
    /// # Errors
    ///
    /// What git says.
    pub async fn find(&self, text: &str) -> Result<Option<Commit>, GitError> {
        // Both are looked up exactly: no `@{u}`, no `HEAD~3`.
        let branches = self.branches().await?;
        if let Some(head) = branches.iter().find(|head| head.name == text) {
            return self.commit_of(head.revision.as_str()).await;
        }
        let is_hex =
            text.len() >= 7 && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_hex {
            return Ok(None);
        }
        self.commit_of(&text.to_ascii_lowercase()).await
    }

    /// Commits from `tip` backwards along first parents, newest first, without those that `known` leads to; at most `limit`
    /// (cut to 10,000).
    ///
    /// # Errors
    ///
    /// [`GitError::NoCommit`] if the cache has not got `tip`; what git says.
    pub async fn history(
        &self,
        tip: &Revision,
        known: Option<&Revision>,
        limit: u32,
    ) -> Result<Vec<Commit>, GitError> {
        let mut revisions = self.walk(tip, known, limit).await?;
        // A commit that was known may be gone: then there is nothing to leave out.
        if revisions.is_none() && known.is_some() {
            revisions = self.walk(tip, None, limit).await?;
        }
        let revisions = revisions.ok_or_else(|| GitError::NoCommit(tip.clone()))?;
        self.commits(&revisions).await
    }

    /// Revisions of [`history`](Self::history); `None` if one of the two is not there.
    pub(crate) async fn walk(
        &self,
        tip: &Revision,
        known: Option<&Revision>,
        limit: u32,
    ) -> Result<Option<Vec<Revision>>, GitError> {
        const COMMAND: &str = "rev-list";
        let mut args = vec![
            "--first-parent".to_owned(),
            format!("--max-count={}", limit.min(MAX_HISTORY)),
            "--end-of-options".to_owned(),
            tip.as_str().to_owned(),
        ];
        if let Some(known) = known {
            args.push(format!("^{known}"));
        }
        let output = match self.command(COMMAND, args).output(1 << 20).await {
            Ok(output) => output,
            Err(GitError::Failed { command, said }) => {
                for revision in std::iter::once(tip).chain(known) {
                    if !self.has(revision).await? {
                        return Ok(None);
                    }
                }
                return Err(GitError::Failed { command, said });
            }
            Err(error) => return Err(error),
        };
        let revisions = String::from_utf8_lossy(&output)
            .lines()
            .map(str::parse)
            .collect::<Result<Vec<Revision>, _>>()
            .map_err(|_| GitError::Output { command: COMMAND })?;
        Ok(Some(revisions))
    }

    /// Whether the cache has this commit.
    ///
    /// # Errors
    ///
    /// What git says.
    pub async fn has(&self, revision: &Revision) -> Result<bool, GitError> {
        let commit = format!("{revision}^{{commit}}");
        match self.command("cat-file", ["-e", &commit]).output(1024).await {
            Ok(_) => Ok(true),
            Err(GitError::Failed { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn command<S: AsRef<std::ffi::OsStr>>(
        &self,
        name: &'static str,
        args: impl IntoIterator<Item = S>,
    ) -> GitCommand {
        let Inner {
            config,
            settings,
            bare,
            ..
        } = &*self.inner;
        GitCommand::new(config, settings, bare, name, args)
    }
}

/// Says that the branches may be others now, however a fetch ended.
struct Changed<'a>(&'a Inner);

impl Drop for Changed<'_> {
    fn drop(&mut self) {
        self.0.heads().change();
    }
}

impl Heads {
    fn change(&mut self) {
        self.fetches += 1;
        self.known = None;
    }
}

impl Inner {
    fn heads(&self) -> MutexGuard<'_, Heads> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the folders and the settings; whether there is no repository yet.
    fn prepare(&self) -> io::Result<bool> {
        make_private_dir(&self.archives)?;
        make_private_dir(&self.bare)?;
        for dir in [&self.bare, &self.archives] {
            remove_leftovers(dir, 0)?;
        }
        let temporary = self.settings.with_extension("tmp");
        std::fs::write(&temporary, self.settings_text())?;
        std::fs::rename(&temporary, &self.settings)?;
        // An earlier making may have been killed anywhere; `git init` adds what is missing, and makes the folders of objects last.
        let files = ["HEAD", "config"].map(|name| self.bare.join(name).is_file());
        let folders = ["refs/heads", "objects/info", "objects/pack"];
        let folders = folders.map(|name| self.bare.join(name).is_dir());
        Ok(files.contains(&false) || folders.contains(&false))
    }

    fn settings_text(&self) -> String {
        let source = quoted(self.source.expose());
        let mut text = String::new();
        if self.config.user_config
            && let Some(home) = std::env::home_dir()
        {
            for file in [".config/git/config", ".gitconfig"] {
                let path = quoted(&home.join(file).to_string_lossy());
                let _ = writeln!(text, "[include]\n\tpath = {path}");
            }
        }
        let _ = writeln!(
            text,
            "[remote \"origin\"]\n\turl = {source}\n\tfetch = +refs/heads/*:refs/heads/*"
        );
        text.push_str(
            "[core]\n\thooksPath = /dev/null\n\tfsmonitor = false\n\taskPass =\n\
             [gc]\n\tautoDetach = false\n[maintenance]\n\tautoDetach = false\n\
             [fetch]\n\trecurseSubmodules = false\n\
             [protocol]\n\tallow = never\n",
        );
        for scheme in super::source::SCHEMES {
            let _ = writeln!(text, "[protocol \"{scheme}\"]\n\tallow = always");
        }
        // Git refuses the repositories of other users, for fear of their configuration; serving a fetch runs nothing of it,
        // and whoever configured this path meant it.
        if let Some(path) = self.source.path() {
            text.push_str("[safe]\n");
            for path in [path.to_path_buf(), path.join(".git")] {
                let _ = writeln!(text, "\tdirectory = {}", quoted(&path.to_string_lossy()));
            }
        }
        text
    }

    /// What is built is what was committed: attributes in the repository must neither leave files out of archives nor change
    /// them.
    fn write_attributes(&self) -> io::Result<()> {
        let info = self.bare.join("info");
        std::fs::create_dir_all(&info)?;
        std::fs::write(
            info.join("attributes"),
            "* -export-ignore -export-subst -filter\n",
        )
    }
}

/// Runs something that touches files on a thread that may wait.
pub(crate) async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, GitError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panicked| Err(io::Error::other(panicked)))
        .map_err(|source| GitError::File {
            path: path.to_owned(),
            source,
        })
}

/// A folder for the repository `name`: readable, and different for different names.
fn dir_name(name: &str) -> String {
    let readable: String = name
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        .take(40)
        .collect();
    let hash = Sha256::digest(name);
    let hash: String = hash[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{readable}-{hash}")
}

fn make_private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Removes locks and temporary files of commands that were killed: nobody else works here.
fn remove_leftovers(dir: &Path, depth: u32) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            // Objects have none in their own folders, but packs do.
            let objects = name.len() == 2 && depth == 1;
            if depth < 64 && !objects {
                remove_leftovers(&entry.path(), depth + 1)?;
            }
        } else if name.ends_with(".lock")
            || name.starts_with("tmp_")
            || name.ends_with(".tmp")
            || name.starts_with(".tmp-")
        {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// A value of git's configuration, which keeps any text but a line feed.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// When a file was last used, for choosing which goes.
pub(crate) fn used(metadata: &std::fs::Metadata) -> SystemTime {
    metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_names_have_different_folders_below_the_cache() {
        let names = ["a/b", "ab", "../ab", "", "äb", "A".repeat(300).as_str()].map(dir_name);
        for (n, name) in names.iter().enumerate() {
            assert!(name.len() < 64 && !name.contains(['/', '.']), "{name}");
            assert!(!names[..n].contains(name));
        }
    }

    #[test]
    fn no_value_leaves_its_line() {
        assert_eq!(quoted(r#"a"b\c"#), r#""a\"b\\c""#);
    }
}
