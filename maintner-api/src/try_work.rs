//! The changes for which somebody voted that they be tried.

use std::time::Duration;

use gerrit::types::{ChangeInfo, CommentInfo, PatchSet};
use gerrit::{ChangeId, ChangeOption, Client, ProjectName, Query};
use maintner::{Project, Reader, View};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::answers::{go_project, head, supported};
use crate::pb::{GerritTryWorkItem, GoFindTryWorkResponse, GoRelease, MajorMinor, TryVoteMessage};
use crate::refusal::Refusal;
use crate::versions::{parse_internal_branch, parse_release_branch};

/// How long an answer is given again, whatever happens.
const FRESH: Duration = Duration::from_secs(15);
/// How long the Gerrit server is waited for.
const LIMIT: Duration = Duration::from_secs(10);
/// What is waiting to be tried.
const QUERY: &str = "label:Run-TryBot=1 label:TryBot-Result=0 status:open";
/// Changes that may wait at once.
const MAX_CHANGES: usize = 1000;

/// Asks a Gerrit server, one question at a time, and keeps the answer while no vote changes.
#[derive(Debug)]
pub(crate) struct TryWork {
    client: Client,
    last: Mutex<Option<Last>>,
}

#[derive(Debug)]
struct Last {
    answer: GoFindTryWorkResponse,
    label_changes: u64,
    at: Instant,
}

impl TryWork {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            last: Mutex::default(),
        }
    }

    /// Cancel safe: an answer that nobody waits for is not kept.
    pub(crate) async fn find(
        &self,
        reader: &Reader,
        server: &str,
    ) -> Result<GoFindTryWorkResponse, Refusal> {
        let label_changes = label_changes(&reader.view(), server);
        // Held while the server is asked, so that others wait for its answer in place of asking too.
        let mut last = self.last.lock().await;
        if let Some(last) = &*last
            && (last.label_changes == label_changes || last.at.elapsed() < FRESH)
        {
            return Ok(last.answer.clone());
        }
        let asked = timeout(LIMIT, self.ask()).await;
        let late = || Refusal::Failed(format!("{} did not answer in time", self.client.base_url()));
        let changes = asked.map_err(|_| late())??;
        let answer = answer(&reader.view(), server, &changes)?;
        *last = Some(Last {
            answer: answer.clone(),
            label_changes,
            at: Instant::now(),
        });
        Ok(answer)
    }

    /// Changes with the comments on each as a whole.
    async fn ask(&self) -> Result<Vec<(ChangeInfo, Vec<CommentInfo>)>, Refusal> {
        let options = [
            ChangeOption::CurrentRevision,
            ChangeOption::CurrentCommit,
            ChangeOption::Messages,
            ChangeOption::DetailedAccounts,
        ];
        let search = self.client.changes(Query::raw(QUERY)).options(options);
        let found = search.cap(MAX_CHANGES).all().await.map_err(failed)?;
        let mut changes = Vec::new();
        for change in found {
            let project = ProjectName::new(&*change.project).map_err(failed)?;
            let id = ChangeId::new(&project, change.number);
            let mut comments = self.client.change(id).comments().await.map_err(failed)?;
            let of_patch_set = comments.remove("/PATCHSET_LEVEL").unwrap_or_default();
            changes.push((change, of_patch_set));
        }
        Ok(changes)
    }
}

fn patch_set(number: PatchSet) -> i32 {
    match number {
        PatchSet::Number(number) => i32::try_from(number).unwrap_or(i32::MAX),
        _ => 0,
    }
}

fn failed(error: impl std::error::Error) -> Refusal {
    Refusal::Failed(format!("Gerrit was asked for try work: {error}"))
}

fn label_changes(view: &View, server: &str) -> u64 {
    let projects = view.gerrit().projects();
    projects
        .filter(|project| project.server() == server)
        .map(|project| project.label_changes())
        .sum()
}

/// What Gerrit said, as far as the corpus knows the changes.
fn answer(
    view: &View,
    server: &str,
    changes: &[(ChangeInfo, Vec<CommentInfo>)],
) -> Result<GoFindTryWorkResponse, Refusal> {
    let go = go_project(view, server)?;
    let releases = supported(go)?;
    let mut waiting: Vec<_> = changes
        .iter()
        .filter_map(|(change, comments)| item(view, server, go, &releases, change, comments))
        .collect();
    waiting.sort_by(|a, b| a.commit.cmp(&b.commit));
    Ok(GoFindTryWorkResponse { waiting })
}

fn item(
    view: &View,
    server: &str,
    go: Project<'_>,
    releases: &[GoRelease; 2],
    change: &ChangeInfo,
    comments: &[CommentInfo],
) -> Option<GerritTryWorkItem> {
    let project = view.gerrit().project(server, &change.project)?;
    let cl = project.cl(i32::try_from(change.number).ok()?)?;
    let mut item = GerritTryWorkItem {
        project: change.project.clone(),
        branch: change.branch.clone(),
        change_id: change.change_id.clone(),
        commit: cl.commit()?.hash().to_string(),
        author_email: cl
            .owner()
            .map_or_else(String::new, |owner| owner.email().to_owned()),
        try_message: messages(change, comments),
        ..GerritTryWorkItem::default()
    };
    if !change.current_revision.is_empty() {
        let revision = change.revisions.get(&change.current_revision);
        item.commit.clone_from(&change.current_revision);
        item.version = revision.map_or(0, |revision| patch_set(revision.number));
    }
    for (version, branch) in versions(go, releases, change)? {
        item.go_version.push(version);
        if let Some(branch) = branch {
            let commit = go.reference(&format!("refs/heads/{branch}"))?;
            item.go_commit.push(commit.to_string());
            item.go_branch.push(branch);
        }
    }
    Some(item)
}

/// The versions of Go that a change is tried with, and their branches, but for changes of Go itself. `None` if there is no such branch.
fn versions(
    go: Project<'_>,
    releases: &[GoRelease; 2],
    change: &ChangeInfo,
) -> Option<Vec<(MajorMinor, Option<String>)>> {
    let version = |major, minor| MajorMinor { major, minor };
    let develop = version(releases[0].major, releases[0].minor + 1);
    let (project, branch) = (change.project.as_str(), change.branch.as_str());
    if project == "go" {
        let own = match parse_release_branch(branch) {
            Some((major, minor)) => version(major, minor),
            None => develop,
        };
        return Some(vec![(own, None)]);
    }
    if let Some((major, minor)) = parse_internal_branch(branch) {
        let release = match minor {
            0 => format!("release-branch.go{major}"),
            _ => format!("release-branch.go{major}.{minor}"),
        };
        go.reference(&format!("refs/heads/{release}"))?;
        return Some(vec![(version(major, minor), Some(release))]);
    }
    head(go, "master")?;
    let mut versions = vec![(develop, Some("master".to_owned()))];
    let is_gopls = project == "tools" && branch.starts_with("gopls-release-branch.");
    if branch == "master" || is_gopls {
        versions.extend(releases.iter().map(|release| {
            let branch = Some(release.branch_name.clone());
            (version(release.major, release.minor), branch)
        }));
    }
    Some(versions)
}

/// What was written together with votes, the oldest first.
fn messages(change: &ChangeInfo, comments: &[CommentInfo]) -> Vec<TryVoteMessage> {
    let mut found: Vec<TryVoteMessage> = Vec::new();
    for message in &change.messages {
        let first = message.message.lines().next().unwrap_or_default();
        if !first.starts_with("Patch Set ") || !first.contains("Run-TryBot+1") {
            continue;
        }
        let version = i32::try_from(message.revision_number).unwrap_or(i32::MAX);
        let Some(author) = &message.author else {
            continue;
        };
        for comment in comments {
            let is_of_vote = comment.updated == message.date
                && comment
                    .author
                    .as_ref()
                    .is_some_and(|who| who.is_same(author));
            let tried = comment
                .message
                .split('\n')
                .find_map(|line| line.strip_prefix("TRY="));
            let is_older = found.last().is_some_and(|last| version < last.version);
            if let (true, Some(text), false) = (is_of_vote, tried, is_older) {
                found.push(TryVoteMessage {
                    message: text.to_owned(),
                    author_id: author.account_id.cast_signed(),
                    version,
                });
            }
        }
    }
    found
}
