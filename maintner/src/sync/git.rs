use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::commit_object::CommitObject;
use crate::hash::GitHash;
use crate::pb;
use crate::sync::SyncError;
use crate::sync::process::Git;
use crate::view::{Project, View};

/// Commits that are read and handed on at once; as many refs.
const BATCH: usize = 256;
/// Bytes of commits after which a batch ends.
const BATCH_BYTES: usize = 4 << 20;
/// Longest line that git may answer with: a name of a file or ref, quoted.
const MAX_LINE: u64 = 64 << 10;

/// Follows a repository on this machine into a log, as a project of Gerrit's.
///
/// Commits come before those that have them as parents, each with the files it changes, and before the refs that lead to them. Root and
/// merge commits have no files, as upstream's have none.
///
/// ```no_run
/// use maintner::Corpus;
/// use maintner::reclog::{Writer, WriterConfig};
/// use maintner::sync::GitSync;
/// use prost::Message as _;
///
/// let mut log = Writer::open("log", WriterConfig::default())?;
/// let mut corpus = Corpus::open("log")?;
/// let git = GitSync::new("/srv/go.git", "go.googlesource.com/go")?;
/// let view = corpus.view();
/// let synced = git.sync(&view, |mutations| {
///     let payloads: Vec<_> = mutations.iter().map(|mutation| mutation.encode_to_vec()).collect();
///     log.append(&payloads)?;
///     corpus.apply(&payloads)?;
///     Ok(())
/// })?;
/// println!("{} new commits", synced.commits);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// It takes git 2.36 or newer.
///
/// # What is left out
///
/// - Refs below `refs/users/`, `refs/meta/` and `refs/cache-automerge/`, as upstream has it; those that lead to no commit, and those
///   whose names are not UTF-8. A tag leads to the commit that it tags.
/// - Commits that nobody could take apart, and those longer than 16 MiB (see [`max_commit`](Self::max_commit)). They are
///   [counted](Synced::skipped).
/// - Refs of changes that are gone: upstream never deletes any.
///
/// A history that was rewritten is taken as what it is: new commits, and refs that lead to them. The old commits stay.
///
/// # Hostile repositories
///
/// Git is run on them with what makes it run other programs, fetch, or replace objects turned off, for ten minutes at most each time
/// (see [`time_limit`](Self::time_limit)). A batch of commits and a line of git's are what is held of them; and the names of all refs
/// and the hashes of new commits.
#[derive(Debug, Clone)]
pub struct GitSync {
    dir: PathBuf,
    project: String,
    max_commit: u64,
    limit: Duration,
}

/// What a repository had that was not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Synced {
    /// Commits that were handed on.
    pub commits: u64,
    /// Refs that are new or lead elsewhere.
    pub refs: u64,
    /// Refs that are gone.
    pub deleted_refs: u64,
    /// Commits that cannot be used. They are looked at again each time.
    pub skipped: u64,
}

type Sink<'a> = dyn FnMut(Vec<pb::Mutation>) -> Result<(), Box<dyn Error + Send + Sync>> + 'a;

impl GitSync {
    /// A repository in a folder, bare or not, and the project that it is: `go.googlesource.com/go`.
    ///
    /// # Errors
    ///
    /// [`SyncError::Project`], unless there are a host and a name, of printable characters without blanks.
    pub fn new(dir: impl AsRef<Path>, project: &str) -> Result<Self, SyncError> {
        let is_named = project
            .split_once('/')
            .is_some_and(|(host, name)| !host.is_empty() && !name.is_empty());
        if !is_named || !project.bytes().all(|byte| byte.is_ascii_graphic()) {
            let project = project.to_owned();
            return Err(SyncError::Project { project });
        }
        Ok(Self {
            dir: dir.as_ref().to_owned(),
            project: project.to_owned(),
            max_commit: 16 << 20,
            limit: Duration::from_secs(600),
        })
    }

    /// The longest commit that is taken, in bytes; 16 MiB by default.
    #[must_use]
    pub fn max_commit(mut self, bytes: u64) -> Self {
        self.max_commit = bytes;
        self
    }

    /// How long git may take for the refs, for finding new commits, and for reading a batch of them; ten minutes by default.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Compares the repository with what a view knows of the project, and hands on what is missing, in batches of 256 commits or 4 MiB,
    /// in order. It blocks the thread.
    ///
    /// # Errors
    ///
    /// When git fails, and when `sink` does.
    pub fn sync(
        &self,
        view: &View,
        mut sink: impl FnMut(Vec<pb::Mutation>) -> Result<(), Box<dyn Error + Send + Sync>>,
    ) -> Result<Synced, SyncError> {
        let known = self
            .project
            .split_once('/')
            .and_then(|(host, name)| view.gerrit().project(host, name));
        let mut synced = Synced::default();
        let refs = self.refs()?;
        let known_refs = known.map(known_refs).unwrap_or_default();
        let changed: Vec<_> = refs
            .iter()
            .filter(|(name, hash)| known_refs.get(*name) != Some(*hash))
            .collect();
        let mut unusable = BTreeSet::new();
        if !changed.is_empty() {
            let tips = changed.iter().map(|(_, hash)| **hash).collect();
            let mut new = self.new_commits(&tips, known_refs.values())?;
            if let Some(project) = known {
                new.retain(|hash| {
                    project
                        .commit(hash)
                        .is_none_or(|commit| commit.is_placeholder())
                });
            }
            self.commits(&new, &mut sink, &mut synced, &mut unusable)?;
        }
        let usable = changed.iter().filter(|(_, hash)| !unusable.contains(*hash));
        let refs_of: Vec<_> = usable
            .map(|(name, hash)| pb::GitRef {
                r#ref: (*name).clone(),
                sha1: hash.to_string(),
            })
            .collect();
        for refs in refs_of.chunks(BATCH) {
            synced.refs += refs.len() as u64;
            self.hand_on(&mut sink, |mutation| mutation.refs = refs.to_vec())?;
        }
        let gone: Vec<_> = known_refs
            .keys()
            .filter(|name| !name.starts_with("refs/changes/") && !refs.contains_key(*name))
            .cloned()
            .collect();
        for gone in gone.chunks(BATCH) {
            synced.deleted_refs += gone.len() as u64;
            self.hand_on(&mut sink, |mutation| mutation.deleted_refs = gone.to_vec())?;
        }
        Ok(synced)
    }

    fn hand_on(
        &self,
        sink: &mut Sink<'_>,
        fill: impl FnOnce(&mut pb::GerritMutation),
    ) -> Result<(), SyncError> {
        let mut gerrit = pb::GerritMutation {
            project: self.project.clone(),
            ..Default::default()
        };
        fill(&mut gerrit);
        take(sink, vec![mutation(gerrit)])
    }

    /// All refs that are followed, and the commits that they lead to.
    fn refs(&self) -> Result<BTreeMap<String, GitHash>, SyncError> {
        let format =
            "--format=%(objectname) %(objecttype) %(*objectname) %(*objecttype) %(refname)";
        let mut git = Git::start(&self.dir, &["for-each-ref", format], self.limit)?;
        git.stdin = None;
        let mut refs = BTreeMap::new();
        let mut line = Vec::new();
        loop {
            match read_line(&mut git, &mut line) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Err(git.broken(error)),
            }
            let Ok(text) = str::from_utf8(&line) else {
                continue; // what no mutation can name
            };
            let fields: Vec<_> = text.splitn(5, ' ').collect();
            let &[object, kind, tagged, tagged_kind, name] = fields.as_slice() else {
                return Err(self.strange(text));
            };
            let hash = match (kind, tagged_kind) {
                ("commit", _) => object,
                ("tag", "commit") => tagged,
                _ => continue,
            };
            if !is_followed(name) {
                continue;
            }
            let hash = hash.parse().map_err(|_| self.strange(text))?;
            refs.insert(name.to_owned(), hash);
        }
        git.end()?;
        Ok(refs)
    }

    /// What leads to `tips` and not to known commits, parents first.
    fn new_commits<'k>(
        &self,
        tips: &BTreeSet<GitHash>,
        known: impl Iterator<Item = &'k GitHash>,
    ) -> Result<Vec<GitHash>, SyncError> {
        // A known commit may be gone here.
        let args = [
            "rev-list",
            "--topo-order",
            "--reverse",
            "--ignore-missing",
            "--stdin",
        ];
        let mut git = Git::start(&self.dir, &args, self.limit)?;
        let mut asked: String = tips.iter().map(|hash| format!("{hash}\n")).collect();
        asked.extend(
            known
                .collect::<BTreeSet<_>>()
                .iter()
                .map(|hash| format!("^{hash}\n")),
        );
        // It reads all before it writes.
        if let Err(error) = write_all(&mut git, asked.as_bytes()) {
            return Err(git.broken(error));
        }
        git.stdin = None;
        let mut new = Vec::new();
        let mut line = Vec::new();
        loop {
            match read_line(&mut git, &mut line) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Err(git.broken(error)),
            }
            let hash = GitHash::from_hex(&line);
            new.push(hash.ok_or_else(|| self.strange(&String::from_utf8_lossy(&line)))?);
        }
        git.end()?;
        Ok(new)
    }

    /// Reads commits and hands them on.
    fn commits(
        &self,
        hashes: &[GitHash],
        sink: &mut Sink<'_>,
        synced: &mut Synced,
        unusable: &mut BTreeSet<GitHash>,
    ) -> Result<(), SyncError> {
        let mut rest = hashes;
        while !rest.is_empty() {
            let mut git = Git::start(&self.dir, &["cat-file", "--batch-command"], self.limit)?;
            let mut commits = Vec::new();
            let mut bytes = 0;
            let mut read = 0;
            while read < rest.len().min(BATCH) && bytes < BATCH_BYTES {
                let hash = rest[read];
                let raw = match cat(&mut git, &hash, self.max_commit) {
                    Ok(Ok(raw)) => raw,
                    Ok(Err(answer)) => return Err(self.strange(&answer)),
                    Err(error) => return Err(git.broken(error)),
                };
                read += 1;
                match raw.filter(|raw| CommitObject::parse(raw).is_some()) {
                    Some(raw) => {
                        bytes += raw.len();
                        commits.push(pb::GitCommit {
                            sha1: hash.to_string(),
                            raw,
                            diff_tree: None,
                        });
                    }
                    None => {
                        synced.skipped += 1;
                        unusable.insert(hash);
                    }
                }
            }
            git.end()?;
            rest = &rest[read..];
            let mut trees = self.diff_trees(&commits)?;
            let mutations: Vec<_> = commits
                .into_iter()
                .map(|mut commit| {
                    let file = trees.remove(&commit.sha1).unwrap_or_default();
                    commit.diff_tree = Some(pb::GitDiffTree { file });
                    mutation(pb::GerritMutation {
                        project: self.project.clone(),
                        commits: vec![commit],
                        ..Default::default()
                    })
                })
                .collect();
            synced.commits += mutations.len() as u64;
            if !mutations.is_empty() {
                take(sink, mutations)?;
            }
        }
        Ok(())
    }

    /// What each commit changed, for those that have one parent and changed anything.
    fn diff_trees(
        &self,
        commits: &[pb::GitCommit],
    ) -> Result<BTreeMap<String, Vec<pb::GitDiffTreeFile>>, SyncError> {
        if commits.is_empty() {
            return Ok(BTreeMap::new());
        }
        let args = [
            "diff-tree",
            "--stdin",
            "-r",
            "--numstat",
            "--no-renames",
            "--no-ext-diff",
            "--no-textconv",
        ];
        let mut git = Git::start(&self.dir, &args, self.limit)?;
        let asked: String = commits
            .iter()
            .map(|commit| format!("{}\n", commit.sha1))
            .collect();
        // A batch is less than a pipe takes.
        if let Err(error) = write_all(&mut git, asked.as_bytes()) {
            return Err(git.broken(error));
        }
        git.stdin = None;
        let mut trees: BTreeMap<String, Vec<pb::GitDiffTreeFile>> = BTreeMap::new();
        let mut of = None;
        let mut line = Vec::new();
        loop {
            match read_line(&mut git, &mut line) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Err(git.broken(error)),
            }
            let text = String::from_utf8_lossy(&line);
            if let Some(hash) = GitHash::from_hex(&line) {
                of = Some(hash.to_string());
                continue;
            }
            let (Some(hash), Some(file)) = (&of, numstat(&text)) else {
                return Err(self.strange(&text));
            };
            trees.entry(hash.clone()).or_default().push(file);
        }
        git.end()?;
        Ok(trees)
    }

    fn strange(&self, answer: &str) -> SyncError {
        SyncError::Answer {
            dir: self.dir.clone(),
            answer: answer.chars().take(200).collect(),
        }
    }
}

fn mutation(gerrit: pb::GerritMutation) -> pb::Mutation {
    pb::Mutation {
        gerrit: Some(gerrit),
        ..Default::default()
    }
}

fn take(sink: &mut Sink<'_>, mutations: Vec<pb::Mutation>) -> Result<(), SyncError> {
    sink(mutations).map_err(|source| SyncError::Sink { source })
}

/// Whether a ref is taken. One that looks like a change's must be one.
fn is_followed(name: &str) -> bool {
    let skipped = ["refs/users/", "refs/meta/", "refs/cache-automerge/"];
    if skipped.iter().any(|prefix| name.starts_with(prefix)) {
        return false;
    }
    let Some(change) = name.strip_prefix("refs/changes/") else {
        return true;
    };
    let fields: Vec<_> = change.split('/').collect();
    let &[_, number, version] = fields.as_slice() else {
        return true;
    };
    let (Ok(number), true) = (
        number.parse::<i32>(),
        version == "meta" || version.parse::<i32>().is_ok_and(|v| v > 0),
    ) else {
        return false;
    };
    number > 0 && change_ref(number, version) == name
}

/// The name of a change's ref.
fn change_ref(number: i32, version: &str) -> String {
    format!("refs/changes/{:02}/{number}/{version}", number % 100)
}

/// All refs, those of changes included, under the names that they have in Gerrit.
fn known_refs(project: Project<'_>) -> BTreeMap<String, GitHash> {
    let mut refs: BTreeMap<_, _> = project
        .references()
        .map(|(name, hash)| (name.to_owned(), hash))
        .collect();
    for cl in project.all_cls() {
        let number = cl.number();
        let name = |version: &str| change_ref(number, version);
        for (version, commit) in cl.patch_sets() {
            refs.insert(name(&version.to_string()), commit.hash());
        }
        if let Some(meta) = cl.meta_head() {
            refs.insert(name("meta"), meta.hash());
        }
    }
    refs
}

fn write_all(git: &mut Git, bytes: &[u8]) -> io::Result<()> {
    match &mut git.stdin {
        Some(stdin) => stdin.write_all(bytes),
        None => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

/// Reads a line without its end; false at the end of all.
fn read_line(git: &mut Git, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    (&mut git.stdout).take(MAX_LINE).read_until(b'\n', line)?;
    if line.is_empty() {
        return Ok(false);
    }
    if line.pop() != Some(b'\n') {
        return Err(io::Error::other(
            "git's answer is cut off, or has a line of more than 64 KiB",
        ));
    }
    Ok(true)
}

/// Reads a commit. `None` if it is too long, or another thing than a commit; an answer that makes no sense is an error.
fn cat(git: &mut Git, hash: &GitHash, max: u64) -> io::Result<Result<Option<Vec<u8>>, String>> {
    write_all(git, format!("contents {hash}\n").as_bytes())?;
    let mut line = Vec::new();
    if !read_line(git, &mut line)? {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let head = String::from_utf8_lossy(&line).into_owned();
    let fields: Vec<_> = head.split(' ').collect();
    let &[_, kind, len] = fields.as_slice() else {
        return Ok(match fields.last() {
            Some(&"missing") => Ok(None),
            _ => Err(head),
        });
    };
    let Ok(len) = len.parse::<u64>() else {
        return Ok(Err(head));
    };
    let is_wanted = kind == "commit" && len <= max;
    let mut raw = Vec::new();
    let mut body = (&mut git.stdout).take(len);
    let read = if is_wanted {
        body.read_to_end(&mut raw)? as u64
    } else {
        io::copy(&mut body, &mut io::sink())?
    };
    let mut end = [0];
    git.stdout.read_exact(&mut end)?;
    if read < len || end != *b"\n" {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Ok(is_wanted.then_some(raw)))
}

/// `ADDED TAB DELETED TAB NAME`, or `-` for both of something binary. A name with odd bytes stays as git quotes it, as upstream has it.
fn numstat(line: &str) -> Option<pb::GitDiffTreeFile> {
    let mut fields = line.splitn(3, '\t');
    let (added, deleted, file) = (fields.next()?, fields.next()?, fields.next()?);
    let binary = added == "-";
    let count = |text: &str| if binary { Some(0) } else { text.parse().ok() };
    Some(pb::GitDiffTreeFile {
        file: file.to_owned(),
        added: count(added)?,
        deleted: count(deleted)?,
        binary,
    })
}
