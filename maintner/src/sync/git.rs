use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::hash::GitHash;
use crate::pb;
use crate::sync::SyncError;
use crate::sync::process::{Git, Start, Stop};
use crate::sync::walk::Walk;
use crate::view::{Project, View};

/// Refs that are handed on at once.
const BATCH: usize = 256;
/// Batches of commits that wait while one is taken; another is being read.
const READ_AHEAD: usize = 1;

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
/// (see [`time_limit`](Self::time_limit)). Held of them are four batches of commits, 12 MiB more of those that come next, a line of git's,
/// the names of all refs, and the hashes of new commits.
#[derive(Debug, Clone)]
pub struct GitSync {
    dir: PathBuf,
    project: String,
    max_commit: u64,
    limit: Duration,
    stop: Arc<Stop>,
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

pub(super) type Sink<'a> =
    dyn FnMut(Vec<pb::Mutation>) -> Result<(), Box<dyn Error + Send + Sync>> + 'a;

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
            stop: Arc::default(),
        })
    }

    /// The longest commit that is taken, in bytes; 16 MiB by default.
    #[must_use]
    pub fn max_commit(mut self, bytes: u64) -> Self {
        self.max_commit = bytes;
        self
    }

    /// How long git may take for the refs, and for each batch of objects that it is asked for; ten minutes by default.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Compares the repository with what a view knows of the project, and hands on what is missing, in batches of 256 commits or 4 MiB,
    /// in order. While `sink` takes one, another thread reads the next. It blocks its own.
    ///
    /// # Errors
    ///
    /// When git fails, and when `sink` does.
    pub fn sync(
        &self,
        view: &View,
        mut sink: impl FnMut(Vec<pb::Mutation>) -> Result<(), Box<dyn Error + Send + Sync>>,
    ) -> Result<Synced, SyncError> {
        let mut synced = Synced::default();
        let refs = self.refs()?;
        let known_refs = self.known_refs(view);
        let changed = refs
            .iter()
            .filter(|(name, hash)| known_refs.get(*name) != Some(*hash))
            .map(|(name, hash)| (name.clone(), *hash))
            .collect();
        self.take_refs(view, &changed, &mut sink, &mut synced)?;
        let gone: Vec<_> = known_refs
            .into_keys()
            .filter(|name| !is_change(name) && !refs.contains_key(name))
            .collect();
        self.take_deleted(&gone, &mut sink, &mut synced)?;
        Ok(synced)
    }

    /// The repository's project in a view.
    pub(super) fn known<'v>(&self, view: &'v View) -> Option<Project<'v>> {
        let (host, name) = self.project.split_once('/')?;
        view.gerrit().project(host, name)
    }

    /// All refs that a view has, those of changes included.
    pub(super) fn known_refs(&self, view: &View) -> BTreeMap<String, GitHash> {
        self.known(view).map(known_refs).unwrap_or_default()
    }

    /// Hands on what leads to some refs' commits and is not known, and then the refs.
    pub(super) fn take_refs(
        &self,
        view: &View,
        refs: &BTreeMap<String, GitHash>,
        sink: &mut Sink<'_>,
        synced: &mut Synced,
    ) -> Result<(), SyncError> {
        if refs.is_empty() {
            return Ok(());
        }
        let unusable = self.take_commits(view, refs.values().copied(), sink, synced)?;
        let usable = refs.iter().filter(|(_, hash)| !unusable.contains(*hash));
        let refs: Vec<_> = usable
            .map(|(name, hash)| pb::GitRef {
                r#ref: name.clone(),
                sha1: hash.to_string(),
            })
            .collect();
        for refs in refs.chunks(BATCH) {
            synced.refs += refs.len() as u64;
            self.hand_on(sink, |mutation| mutation.refs = refs.to_vec())?;
        }
        Ok(())
    }

    /// Hands on commits and those that they come from, as far as they are not known, and gives those that cannot be used.
    pub(super) fn take_commits(
        &self,
        view: &View,
        tips: impl IntoIterator<Item = GitHash>,
        sink: &mut Sink<'_>,
        synced: &mut Synced,
    ) -> Result<BTreeSet<GitHash>, SyncError> {
        let known = self.known(view);
        let is_known = |hash: &GitHash| {
            let commit = known.and_then(|project| project.commit(hash));
            commit.is_some_and(|commit| !commit.is_placeholder())
        };
        let tips: BTreeSet<_> = tips.into_iter().collect();
        if tips.iter().all(is_known) {
            return Ok(BTreeSet::new());
        }
        let walk = Walk::new(self.start(), tips, is_known, self.max_commit)?;
        let unusable = thread::scope(|scope| {
            let (batches, read) = mpsc::sync_channel(READ_AHEAD);
            let reading = scope.spawn(move || walk.run(&batches));
            let mut taken = Ok(());
            for commits in read {
                taken = self.take_batch(commits, sink, synced);
                if taken.is_err() {
                    break; // which ends the thread
                }
            }
            let unusable = reading.join().unwrap_or_else(|panic| resume_unwind(panic));
            taken.and(unusable)
        })?;
        synced.skipped += unusable.len() as u64;
        Ok(unusable)
    }

    fn take_batch(
        &self,
        commits: Vec<pb::GitCommit>,
        sink: &mut Sink<'_>,
        synced: &mut Synced,
    ) -> Result<(), SyncError> {
        synced.commits += commits.len() as u64;
        let mutations = commits.into_iter().map(|commit| {
            mutation(pb::GerritMutation {
                project: self.project.clone(),
                commits: vec![commit],
                ..Default::default()
            })
        });
        take(sink, mutations.collect())
    }

    /// Hands on that refs are gone.
    pub(super) fn take_deleted(
        &self,
        refs: &[String],
        sink: &mut Sink<'_>,
        synced: &mut Synced,
    ) -> Result<(), SyncError> {
        for gone in refs.chunks(BATCH) {
            synced.deleted_refs += gone.len() as u64;
            self.hand_on(sink, |mutation| mutation.deleted_refs = gone.to_vec())?;
        }
        Ok(())
    }

    pub(super) fn start(&self) -> Start<'_> {
        Start {
            dir: &self.dir,
            limit: self.limit,
            stop: &self.stop,
            protocols: "",
        }
    }

    #[cfg(feature = "leader")]
    pub(super) fn stop(&self) -> &Arc<Stop> {
        &self.stop
    }

    /// The same, to be stopped by itself.
    #[cfg(feature = "leader")]
    pub(super) fn clone_with_new_stop(&self) -> Self {
        Self {
            stop: Arc::default(),
            ..self.clone()
        }
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
        let mut git = Git::start(self.start(), &["for-each-ref", format])?;
        git.close_stdin();
        let mut refs = BTreeMap::new();
        let mut line = Vec::new();
        while git.read_line(&mut line)? {
            let Ok(text) = str::from_utf8(&line) else {
                continue; // what no mutation can name
            };
            let fields: Vec<_> = text.splitn(5, ' ').collect();
            let &[object, kind, tagged, tagged_kind, name] = fields.as_slice() else {
                return Err(git.strange(text));
            };
            let hash = match (kind, tagged_kind) {
                ("commit", _) => object,
                ("tag", "commit") => tagged,
                _ => continue,
            };
            if !is_followed(name) {
                continue;
            }
            let hash = hash.parse().map_err(|_| git.strange(text))?;
            refs.insert(name.to_owned(), hash);
        }
        git.end()?;
        Ok(refs)
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
pub(super) fn is_followed(name: &str) -> bool {
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

/// Whether it is a ref of a change, which is never told to be gone.
pub(super) fn is_change(name: &str) -> bool {
    name.starts_with("refs/changes/")
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
