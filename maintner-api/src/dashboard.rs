//! A page of commits, for the build dashboard.

use std::iter;

use maintner::{Commit, Project, View};

use crate::answers::{go_project, head, supported};
use crate::pb::{DashCommit, DashRepoHead, DashboardRequest, DashboardResponse, GoRelease};
use crate::refusal::Refusal;

/// Commits of a page, unless the request says how many.
const PAGE: i32 = 30;
/// The same of all branches together.
const MIXED_PAGE: i32 = 500;
/// However many the request says.
const MAX_PAGE: i32 = 1000;
/// No page begins behind so many commits.
const MAX_BACK: i32 = 10_000;
/// All branches together.
const MIXED: &str = "mixed";

/// A page of commits of a branch or of all, with what a dashboard shows beside it.
///
/// # Errors
///
/// When the repository or branch is not known, the numbers make no sense, or Go's releases cannot be told.
pub fn get_dashboard(
    view: &View,
    server: &str,
    request: &DashboardRequest,
) -> Result<DashboardResponse, Refusal> {
    let go = go_project(view, server)?;
    let repo = match request.repo.as_str() {
        "" | "go" => go,
        path => {
            let name = project_of(path)?;
            let project = view.gerrit().project(server, name);
            let missing = || Refusal::NotFound(format!("repo project {name:?} not found"));
            project.ok_or_else(missing)?
        }
    };
    let branches: Vec<_> = go
        .references()
        .filter_map(|(name, _)| name.strip_prefix("refs/heads/"))
        .collect();
    let branch = match request.branch.as_str() {
        "" => "master",
        branch => branch,
    };
    let is_mixed = branch == MIXED;
    if !is_mixed && !branches.contains(&branch) {
        return Err(Refusal::NotFound(format!("unknown branch {branch:?}")));
    }
    let (size, skip) = extent(request, is_mixed, branches.len())?;
    let (listed, newer) = match is_mixed {
        false => page(repo, branch, skip, size),
        true => (mixed(repo, &branches, size), None),
    };
    let commits_truncated = listed.len() > size;
    let listed = &listed[..listed.len().min(size)];
    let mut commits: Vec<_> = listed
        .iter()
        .map(|(branch, commit)| DashCommit {
            branch: (*branch).to_owned(),
            ..dash_commit(*commit)
        })
        .collect();
    if repo.project() != go.project() {
        pair(go, listed, newer, &mut commits);
    }
    let master = go.reference("refs/heads/master");
    let master = GoRelease {
        branch_name: "master".to_owned(),
        branch_commit: master.map_or_else(String::new, |hash| hash.to_string()),
        ..GoRelease::default()
    };
    Ok(DashboardResponse {
        commits,
        repo_heads: repo_heads(view, go.server()),
        branches: branches.into_iter().map(str::to_owned).collect(),
        releases: iter::once(master).chain(supported(go)?).collect(),
        commits_truncated,
    })
}

/// The project of an import path.
fn project_of(path: &str) -> Result<&str, Refusal> {
    let name = path
        .strip_prefix("golang.org/x/")
        .or_else(|| path.strip_prefix("golang.org/"));
    name.filter(|name| !name.is_empty() && !name.contains('/'))
        .ok_or_else(|| {
            let text = format!("unknown repo {path:?}; must be empty, \"go\", or \"golang.org/*\"");
            Refusal::NotFound(text)
        })
}

/// How many commits, and how many before them.
fn extent(
    request: &DashboardRequest,
    is_mixed: bool,
    branches: usize,
) -> Result<(usize, usize), Refusal> {
    let invalid = |text: &str| Err(Refusal::Invalid(text.to_owned()));
    let size = match request.max_commits {
        ..0 => return invalid("negative max commits"),
        0 if is_mixed => MIXED_PAGE,
        0 => PAGE,
        size => size.min(MAX_PAGE),
    };
    let usable = usize::try_from(size).unwrap_or_default();
    if is_mixed && usable < branches {
        return invalid(&format!(
            "page size too small for `mixed`: {size} < {branches}"
        ));
    }
    if request.page < 0 {
        return invalid("invalid page");
    }
    if is_mixed && request.page != 0 {
        return invalid("branch=mixed does not support pagination");
    }
    match request.page.checked_mul(size) {
        Some(skip) if skip < MAX_BACK => Ok((usable, usize::try_from(skip).unwrap_or_default())),
        _ => invalid("too far back"),
    }
}

type Listed<'a, 'v> = (&'a str, Commit<'v>);

/// The commits of a branch, the newest first, as far as they are known.
fn walk<'v>(repo: Project<'v>, branch: &str) -> impl Iterator<Item = Commit<'v>> + use<'v> {
    iter::successors(head(repo, branch), |commit| {
        commit
            .parents()
            .next()
            .filter(|parent| !parent.is_placeholder())
    })
}

/// A page of a branch and the commit after it, and the one before it.
fn page<'a, 'v>(
    repo: Project<'v>,
    branch: &'a str,
    skip: usize,
    size: usize,
) -> (Vec<Listed<'a, 'v>>, Option<Commit<'v>>) {
    let mut commits = walk(repo, branch);
    let newer = skip.checked_sub(1).and_then(|last| commits.nth(last));
    let listed = commits.take(size + 1).map(|commit| (branch, commit));
    (listed.collect(), newer)
}

/// The newest commits of all branches, one more than wanted if there are more; each as often as there are branches that have it.
fn mixed<'a, 'v>(repo: Project<'v>, branches: &[&'a str], size: usize) -> Vec<Listed<'a, 'v>> {
    let mut listed: Vec<Listed<'a, 'v>> = Vec::new();
    for branch in branches {
        // Commits behind those that fill the page would be cut off again.
        let oldest = listed.get(size).map(|(_, commit)| time(*commit));
        let new = walk(repo, branch)
            .take(size + 1)
            .take_while(|commit| oldest.is_none_or(|oldest| time(*commit) >= oldest));
        listed.extend(new.map(|commit| (*branch, commit)));
        // Stable: of one time, in the order of branches.
        listed.sort_by_key(|(_, commit)| std::cmp::Reverse(time(*commit)));
        listed.truncate(size + 1);
    }
    listed
}

fn time(commit: Commit<'_>) -> i64 {
    commit.commit_instant().unix_seconds()
}

/// Says of each commit which of Go's there was at its time, and which was the last before the next one.
fn pair(
    go: Project<'_>,
    listed: &[Listed<'_, '_>],
    newer: Option<Commit<'_>>,
    commits: &mut [DashCommit],
) {
    let Some((_, oldest)) = listed.last() else {
        return;
    };
    let mut go_commits = Vec::new();
    for commit in walk(go, "master") {
        go_commits.push(commit);
        if time(commit) < time(*oldest) {
            break;
        }
    }
    let limits = listed.iter().map(|(_, commit)| Some(*commit));
    let limits: Vec<_> = iter::once(newer).chain(limits).collect();
    // From the oldest to the newest; the limit is the time of the one that is newer.
    for (commit, limit) in commits.iter_mut().zip(limits).rev() {
        let Some(at_time) = go_commits.last() else {
            return;
        };
        commit.go_commit_at_time = at_time.hash().to_string();
        if let Some(limit) = limit.map(time) {
            while let [.., next, _] = go_commits.as_slice()
                && time(*next) < limit
            {
                go_commits.pop();
            }
        }
        if let Some(latest) = go_commits.last() {
            commit.go_commit_latest = latest.hash().to_string();
        }
    }
}

/// Where each project's master is, by name.
fn repo_heads(view: &View, server: &str) -> Vec<DashRepoHead> {
    let of_server = |project: &Project<'_>| project.server() == server;
    let mut heads: Vec<_> = view
        .gerrit()
        .projects()
        .filter(of_server)
        .filter_map(|project| {
            Some(DashRepoHead {
                gerrit_project: project.project().to_owned(),
                commit: Some(dash_commit(head(project, "master")?)),
            })
        })
        .collect();
    heads.sort_by(|a, b| a.gerrit_project.cmp(&b.gerrit_project));
    heads
}

fn dash_commit(commit: Commit<'_>) -> DashCommit {
    DashCommit {
        commit: commit.hash().to_string(),
        author_name: commit.author().name().to_owned(),
        author_email: commit.author().email().to_owned(),
        commit_time_sec: time(commit),
        title: String::from_utf8_lossy(commit.summary()).into_owned(),
        ..DashCommit::default()
    }
}
