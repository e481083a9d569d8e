//! What a view says to the questions that need no other server.

use std::collections::BTreeMap;

use maintner::{Commit, GitHash, Project, View};

use crate::pb::{
    GetRefRequest, GetRefResponse, GoRelease, HasAncestorRequest, HasAncestorResponse,
    ListGoReleasesResponse,
};
use crate::refusal::Refusal;
use crate::versions::{parse_release_branch, parse_tag};

/// Digits of a hash.
const HASH_LEN: usize = 40;

/// Whether one commit comes from another. A commit that only its children are known of counts as known.
///
/// # Errors
///
/// When one of them has not 40 characters.
pub fn has_ancestor(
    view: &View,
    request: &HasAncestorRequest,
) -> Result<HasAncestorResponse, Refusal> {
    for (hash, name) in [(&request.commit, "Commit"), (&request.ancestor, "Ancestor")] {
        if hash.len() != HASH_LEN {
            return Err(Refusal::Failed(format!("invalid {name}")));
        }
    }
    let mut answer = HasAncestorResponse::default();
    match (
        view.git_commit(&request.commit),
        view.git_commit(&request.ancestor),
    ) {
        (None, _) => answer.unknown_commit = true,
        (Some(commit), Some(ancestor)) => answer.has_ancestor = commit.has_ancestor(&ancestor),
        (Some(_), None) => {}
    }
    Ok(answer)
}

/// Where a ref leads; nowhere if there is none of that name. Refs of changes are not found.
///
/// # Errors
///
/// When there is no such project.
pub fn get_ref(view: &View, request: &GetRefRequest) -> Result<GetRefResponse, Refusal> {
    let project = view
        .gerrit()
        .project(&request.gerrit_server, &request.gerrit_project)
        .ok_or_else(|| Refusal::Failed("unknown gerrit project".to_owned()))?;
    let value = project.reference(&request.r#ref);
    let value = value.map_or_else(String::new, |hash| hash.to_string());
    Ok(GetRefResponse { value })
}

/// The two newest versions of Go that have both a tag and a branch.
///
/// # Errors
///
/// When there are fewer, or Go's project is not in the corpus.
pub fn list_go_releases(view: &View, server: &str) -> Result<ListGoReleasesResponse, Refusal> {
    let releases = supported(go_project(view, server)?)?.into();
    Ok(ListGoReleasesResponse { releases })
}

pub(crate) fn go_project<'v>(view: &'v View, server: &str) -> Result<Project<'v>, Refusal> {
    let project = view.gerrit().project(server, "go");
    project.ok_or_else(|| Refusal::Failed("go gerrit project not found".to_owned()))
}

/// The releases that are supported, the newest first.
pub(crate) fn supported(go: Project<'_>) -> Result<[GoRelease; 2], Refusal> {
    let mut tags: BTreeMap<(i32, i32), (i32, &str, GitHash)> = BTreeMap::new();
    let mut branches = BTreeMap::new();
    for (name, hash) in go.references() {
        if let Some(tag) = name.strip_prefix("refs/tags/")
            && let Some((major, minor, patch)) = parse_tag(tag)
        {
            let newest = tags.entry((major, minor)).or_insert((patch, tag, hash));
            if newest.0 < patch {
                *newest = (patch, tag, hash);
            }
        }
        if let Some(branch) = name.strip_prefix("refs/heads/")
            && let Some(version) = parse_release_branch(branch)
        {
            branches.entry(version).or_insert((branch, hash));
        }
    }
    let releases = tags.into_iter().rev().filter_map(|(version, tag)| {
        let (branch_name, branch_commit) = branches.get(&version)?;
        let (patch, tag_name, tag_commit) = tag;
        Some(GoRelease {
            major: version.0,
            minor: version.1,
            patch,
            tag_name: tag_name.to_owned(),
            tag_commit: tag_commit.to_string(),
            branch_name: (*branch_name).to_owned(),
            branch_commit: branch_commit.to_string(),
        })
    });
    let releases: Vec<_> = releases.take(2).collect();
    releases.try_into().map_err(|_| {
        Refusal::Failed("there was a problem finding supported Go releases".to_owned())
    })
}

/// The commit that a branch leads to, if its content is known.
pub(crate) fn head<'v>(project: Project<'v>, branch: &str) -> Option<Commit<'v>> {
    let hash = project.reference(&format!("refs/heads/{branch}"))?;
    let commit = project.commit(&hash)?;
    (!commit.is_placeholder()).then_some(commit)
}
