use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::spawn_blocking;

use crate::hash::GitHash;
use crate::leader::{LeadError, Leader, Round, Source, SourceError, Wake};
use crate::pb;
use crate::sync::gerrit::address::{parts, project_of};
use crate::sync::gerrit::failure::failure;
use crate::sync::gerrit::remote::{Listed, Remote, Session};
use crate::sync::git::is_change;
use crate::sync::process::Stop;
use crate::sync::{GitSync, SyncError, Synced};

/// Refs that are fetched at once.
const BATCH: usize = 4000;
/// Missing commits that are asked for at a start.
const MAX_MISSING: usize = 1000;
/// Branches of which the server is told that their commits are here.
const MAX_BRANCHES: usize = 4096;

/// Follows a project of a Gerrit server into a log, by git alone: its branches and tags, and its changes with their patch sets and meta
/// refs, which is where Gerrit keeps votes, messages and states ("`NoteDb`").
///
/// ```no_run
/// use std::time::Duration;
///
/// use maintner::leader::{Leader, LeaderConfig, Schedule, Supervisor};
/// use maintner::sync::GerritSource;
///
/// # async fn follow() -> Result<(), Box<dyn std::error::Error>> {
/// let leader = Leader::open("log", LeaderConfig::default()).await?;
/// let mut sources = Supervisor::new(leader.clone());
/// let build = GerritSource::new("https://go.googlesource.com/build", "git/build")?;
/// sources.add(build, Schedule::every(Duration::from_secs(300)));
/// sources.run_once().await?;
/// # Ok(())
/// # }
/// ```
///
/// A round asks for the list of refs, in one request. For what is new it fetches commits into a bare repository in a folder of this
/// machine, 4000 refs at a time, and appends them as [`GitSync`] does, while the next are fetched: commits before those that have them as
/// parents, and refs last. So a round that was cut short leaves a log in which nothing refers to what is not there, and the next one goes
/// on. The folder is a cache; without it everything that is new then is fetched with all that it comes from.
///
/// In the folder one ref, `refs/kept/tips`, leads to the branches. Other commits are kept too, as its packs are put together, but git is
/// never told to collect garbage there; when somebody else does, what is missed later is fetched again.
///
/// Every server of git is followed like this; it need not be Gerrit.
///
/// # Credentials
///
/// As git has them: its configuration, its credential helpers, or a [file of cookies](Self::cookie_file). Git never asks a person. An
/// address with a password in it is refused, as it would be shown.
///
/// # What is left out
///
/// - What [`GitSync`] leaves out.
/// - Changes that are gone, or became private to others: their refs stay in the log, as upstream's stay.
/// - A project that shows no refs at all, where some were known, is taken for one that the account may not read any more: the round
///   fails, and nothing is deleted.
/// - Commits that the log lacks from before are asked for at each start, a thousand at most.
///
/// # Hostile servers
///
/// Git speaks the protocol of the address only, runs no hooks, and is stopped after [a time](Self::time_limit), or when a transfer
/// stands still for a minute. The list of refs is held, of 8 million at most; how much a server can make git store is not limited.
#[derive(Debug)]
pub struct GerritSource {
    name: String,
    state: State,
}

/// What a round has, by itself for the thread that it blocks.
#[derive(Debug, Clone)]
struct State {
    remote: Remote,
    git: GitSync,
    /// Of the list that was last taken in whole.
    taken: Option<u64>,
    hashing: RandomState,
}

impl GerritSource {
    /// A project by its address (`https`, `http`, `ssh` or `file`), and the folder for its commits. It is called as its address is, without
    /// scheme, user, port, an `/a/` at its beginning and `.git` at its end: `go.googlesource.com/go`.
    ///
    /// # Errors
    ///
    /// When the address is none, has a password, or does not make a name; see [`named`](Self::named) for that.
    pub fn new(url: &str, dir: impl AsRef<Path>) -> Result<Self, SyncError> {
        Self::named(url, &project_of(url)?, dir)
    }

    /// As [`new`](Self::new), for a project that is called otherwise than its address: `host/name`.
    ///
    /// # Errors
    ///
    /// When the address is none or has a password, and when the name is none.
    pub fn named(url: &str, project: &str, dir: impl AsRef<Path>) -> Result<Self, SyncError> {
        let (scheme, _) = parts(url)?;
        let protocols = match scheme {
            "https" => "https",
            "http" => "http:https",
            "ssh" => "ssh",
            _ => "file",
        };
        let dir = dir.as_ref().to_owned();
        let git = GitSync::new(&dir, project)?;
        Ok(Self {
            name: format!("gerrit:{project}"),
            state: State {
                remote: Remote {
                    url: url.to_owned(),
                    dir,
                    protocols,
                    limit: Duration::from_secs(600),
                    cookie_file: None,
                },
                git,
                taken: None,
                hashing: RandomState::new(),
            },
        })
    }

    /// How long each command of git may take; ten minutes by default.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.state.remote.limit = limit;
        self.state.git = self.state.git.time_limit(limit);
        self
    }

    /// A file of cookies to authenticate with, as git's `http.cookieFile` has it; it is not written to.
    #[must_use]
    pub fn cookie_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.state.remote.cookie_file = Some(file.into());
        self
    }
}

#[async_trait]
impl Source for GerritSource {
    fn name(&self) -> &str {
        &self.name
    }

    async fn round(&mut self, leader: &Leader, wake: Wake) -> Result<Round, SourceError> {
        let (mut state, leader) = (self.state.clone(), leader.clone());
        let git = state.git.clone_with_new_stop();
        let stop = StopOnDrop(Arc::clone(git.stop()));
        state.git = git;
        let working = spawn_blocking(move || {
            let round = state.round(&leader, wake);
            (state.taken, round)
        });
        let (taken, round) = working.await.unwrap_or_else(|failed| {
            // It is cut short when the runtime ends, which nobody sees any more, and else it panicked.
            resume_unwind(failed.into_panic())
        });
        drop(stop);
        self.state.taken = taken;
        round.map_err(failure)
    }
}

/// Ends what a round runs when nobody waits for it.
struct StopOnDrop(Arc<Stop>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// A ref that leads elsewhere than the log has it.
type Changed<'a> = (&'a String, &'a Listed);

/// What was fetched of them: the refs, and the commits that the project does not have any more.
struct Fetched<'a> {
    refs: &'a [Changed<'a>],
    gone: BTreeSet<GitHash>,
}

impl State {
    fn round(&mut self, leader: &Leader, wake: Wake) -> Result<Round, SyncError> {
        let stop = Arc::clone(self.git.stop());
        let mut session = Session::new(&self.remote, &stop);
        session.prepare()?;
        let mut round = Round::default();
        let listed = session.list()?;
        round.requests += 1;
        let mut hasher = self.hashing.build_hasher();
        listed.hash(&mut hasher);
        let is_asking_for_missing = wake == Wake::Start;
        if self.taken == Some(hasher.finish()) && !is_asking_for_missing {
            return Ok(round);
        }
        let view = leader.view();
        let known = self.git.known_refs(&view);
        drop(view);
        if listed.is_empty() && !known.is_empty() {
            let (dir, count) = (self.remote.dir.clone(), known.len());
            let said = format!(
                "{} shows no refs, where {count} are known: may it be read still?",
                self.remote.url
            );
            return Err(SyncError::Failed { dir, said });
        }
        let mut synced = Synced::default();
        if is_asking_for_missing {
            self.missing(&session, leader, &mut round, &mut synced)?;
        }
        let mut changed: Vec<_> = listed
            .iter()
            .filter(|(name, listed)| {
                // Logs of Go's have tags themselves.
                let known = known.get(*name);
                known != Some(&listed.commit()) && known != Some(&listed.object)
            })
            .collect();
        // Branches first: changes come from them.
        changed.sort_by_key(|(name, _)| (is_change(name), *name));
        let lost = thread::scope(|scope| {
            // One batch is fetched while another is appended.
            let (fetched, batches) = mpsc::sync_channel(0);
            let (session, changed, known) = (&mut session, &changed, &known);
            let fetching = scope.spawn(move || fetch_all(session, changed, known, &fetched));
            let lost = self.take_all(batches, leader, &mut round, &mut synced);
            if lost.is_err() {
                stop.stop(); // what is being fetched is for nobody
            }
            let requests = fetching.join().unwrap_or_else(|panic| resume_unwind(panic));
            round.requests += requests;
            lost
        })?;
        let gone: Vec<_> = known
            .keys()
            .filter(|name| !is_change(name) && !listed.contains_key(*name))
            .cloned()
            .collect();
        let mut sink = self.sink(leader, &mut round);
        self.git.take_deleted(&gone, &mut sink, &mut synced)?;
        drop(sink);
        if wake == Wake::Interval && !changed.is_empty() {
            session.maintain()?;
        }
        round.skipped = synced.skipped;
        // What moved meanwhile is seen by the next round.
        self.taken = (lost == 0).then(|| hasher.finish());
        Ok(round)
    }

    /// Appends what was fetched, as it comes, and counts what was not there any more.
    fn take_all(
        &self,
        batches: Receiver<Result<Fetched<'_>, SyncError>>,
        leader: &Leader,
        round: &mut Round,
        synced: &mut Synced,
    ) -> Result<usize, SyncError> {
        let mut lost = 0;
        for fetched in batches {
            let Fetched { refs, gone } = fetched?;
            lost += gone.len();
            let refs: BTreeMap<_, _> = refs
                .iter()
                .filter(|(_, listed)| !gone.contains(&listed.object))
                .map(|(name, listed)| ((*name).clone(), listed.commit()))
                .collect();
            let mut sink = self.sink(leader, round);
            let view = leader.view();
            self.git.take_refs(&view, &refs, &mut sink, synced)?;
        }
        Ok(lost)
    }

    /// Appends, and counts.
    fn sink<'a>(
        &'a self,
        leader: &'a Leader,
        round: &'a mut Round,
    ) -> impl FnMut(Vec<pb::Mutation>) -> Result<(), Box<dyn Error + Send + Sync>> + 'a {
        move |mutations| {
            if self.git.stop().is_stopped() {
                return Err(LeadError::Closed.into());
            }
            let count = mutations.len() as u64;
            leader.append_blocking(mutations)?;
            round.mutations += count;
            Ok(())
        }
    }

    /// Asks for commits that the log lacks.
    fn missing(
        &self,
        session: &Session<'_>,
        leader: &Leader,
        round: &mut Round,
        synced: &mut Synced,
    ) -> Result<(), SyncError> {
        let view = leader.view();
        let Some(project) = self.git.known(&view) else {
            return Ok(());
        };
        let missing: BTreeSet<_> = project.missing_commits().take(MAX_MISSING).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let gone = session.fetch(missing.clone(), round)?;
        let found: BTreeSet<_> = missing.difference(&gone).copied().collect();
        let mut sink = self.sink(leader, round);
        self.git.take_commits(&view, found, &mut sink, synced)?;
        Ok(())
    }
}

/// Fetches batch after batch, until one fails or nobody takes them. Gives the requests that this took.
fn fetch_all<'a>(
    session: &mut Session<'_>,
    changed: &'a [Changed<'a>],
    known: &BTreeMap<String, GitHash>,
    fetched: &SyncSender<Result<Fetched<'a>, SyncError>>,
) -> u64 {
    let mut round = Round::default();
    let is_branch = |name: &str| name.starts_with("refs/heads/");
    let of_known = known.iter().filter(|(name, _)| is_branch(name));
    let mut branches: BTreeMap<_, _> = of_known.map(|(name, hash)| (name, *hash)).collect();
    for (number, refs) in changed.chunks(BATCH).enumerate() {
        let mut fetch = || {
            if number > 0 {
                session.maintain()?;
            }
            let before = refs.iter().filter_map(|(name, _)| before(known, name));
            let branches = branches.values().take(MAX_BRANCHES);
            session.keep(branches.copied().chain(before).collect())?;
            let objects = refs.iter().map(|(_, listed)| listed.object).collect();
            let gone = session.fetch(objects, &mut round)?;
            Ok(Fetched { refs, gone })
        };
        let result = fetch();
        let is_over = result.is_err();
        if let Ok(Fetched { refs, gone }) = &result {
            let refs = refs
                .iter()
                .filter(|(_, listed)| !gone.contains(&listed.object));
            let new = refs.filter(|(name, _)| is_branch(name));
            branches.extend(new.map(|(name, listed)| (*name, listed.commit())));
        }
        if fetched.send(result).is_err() || is_over {
            break;
        }
    }
    round.requests
}

/// What a ref led to, or for one of a new patch set, what that of the one before does.
fn before(known: &BTreeMap<String, GitHash>, name: &str) -> Option<GitHash> {
    if let Some(hash) = known.get(name) {
        return Some(*hash);
    }
    let (change, version) = name.rsplit_once('/').filter(|_| is_change(name))?;
    let before = version.parse::<i32>().ok()?.checked_sub(1)?;
    known.get(&format!("{change}/{before}")).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_patch_set_comes_from_the_one_before() {
        let hash = |digit: &str| digit.repeat(40).parse::<GitHash>().unwrap();
        let known = BTreeMap::from([
            ("refs/heads/1".to_owned(), hash("a")),
            ("refs/changes/07/7/1".to_owned(), hash("b")),
            ("refs/changes/07/7/meta".to_owned(), hash("c")),
        ]);
        for (name, expected) in [
            ("refs/heads/1", Some(hash("a"))),
            ("refs/heads/2", None),
            ("refs/changes/07/7/1", Some(hash("b"))),
            ("refs/changes/07/7/2", Some(hash("b"))),
            ("refs/changes/07/7/3", None),
            ("refs/changes/07/7/meta", Some(hash("c"))),
            ("refs/changes/08/8/1", None),
            ("refs/changes/08/8/meta", None),
        ] {
            assert_eq!(before(&known, name), expected, "{name}");
        }
    }
}
