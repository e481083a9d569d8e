#![expect(
    clippy::missing_errors_doc,
    reason = "every call fails for the reasons that `Error` lists"
)]

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_core::Stream;
use http::Method;
use serde_json::json;

use super::content::decoded;
use super::project_list::RefFilter;
use crate::call::Call;
use crate::client::Client;
use crate::error::Error;
use crate::id::{BranchName, FilePath, ProjectName, TagName};
use crate::types::*;

/// The calls about one project, made by [`Client::project`].
#[derive(Debug, Clone)]
pub struct Project {
    pub(super) client: Client,
    pub(super) path: String,
}

impl Client {
    /// The calls about a project. Nothing is sent yet.
    #[must_use]
    pub fn project(&self, name: &ProjectName) -> Project {
        Project {
            client: self.clone(),
            path: format!("/projects/{}", name.escaped()),
        }
    }

    /// Lists the active projects, without Gerrit's own `All-Projects` and `All-Users`, by id.
    pub async fn projects(&self) -> Result<Vec<ProjectInfo>, Error> {
        let all: BTreeMap<String, ProjectInfo> = self.get("/projects/").fetch().await?;
        let mut projects: Vec<_> = all
            .into_iter()
            .filter(|(name, project)| {
                !matches!(name.as_str(), "All-Projects" | "All-Users")
                    && project.state == Some(ProjectState::Active)
            })
            .map(|(name, project)| ProjectInfo { name, ..project })
            .collect();
        projects.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(projects)
    }
}

impl Project {
    /// Gets the project.
    pub async fn get(&self) -> Result<ProjectInfo, Error> {
        self.get_json("").await
    }

    /// Creates the project. [`Conflict`](crate::ErrorKind::Conflict) if it exists.
    pub async fn create(&self, input: &ProjectInput) -> Result<ProjectInfo, Error> {
        self.at(Method::PUT, "").json(input).fetch().await
    }

    /// Gets the description.
    pub async fn description(&self) -> Result<String, Error> {
        self.get_json("/description").await
    }

    /// Gets the name of the project that this one inherits from.
    pub async fn parent(&self) -> Result<String, Error> {
        self.get_json("/parent").await
    }

    /// Gets the rights.
    pub async fn access(&self) -> Result<ProjectAccessInfo, Error> {
        self.get_json("/access").await
    }

    /// Gets numbers about the repository.
    pub async fn statistics(&self) -> Result<RepositoryStatisticsInfo, Error> {
        self.get_json("/statistics.git").await
    }

    /// Lists the projects that inherit from this one.
    pub async fn children(&self) -> Result<Vec<ProjectInfo>, Error> {
        self.get_json("/children/").await
    }

    /// Gets the name of the branch that `HEAD` is.
    pub async fn head(&self) -> Result<String, Error> {
        self.get_json("/HEAD").await
    }

    /// Lists the branches, `HEAD` and `refs/meta/config` included.
    pub async fn branches(&self) -> Result<Vec<BranchInfo>, Error> {
        self.get_json("/branches").await
    }

    /// Gets a branch.
    pub async fn branch(&self, branch: &BranchName) -> Result<BranchInfo, Error> {
        self.get_json(&format!("/branches/{}", branch.escaped()))
            .await
    }

    /// Creates a branch. [`Conflict`](crate::ErrorKind::Conflict) if it exists.
    pub async fn create_branch(
        &self,
        branch: &BranchName,
        input: &BranchInput,
    ) -> Result<BranchInfo, Error> {
        let path = format!("/branches/{}", branch.escaped());
        self.at(Method::PUT, &path).json(input).fetch().await
    }

    /// Deletes a branch.
    pub async fn delete_branch(&self, branch: &BranchName) -> Result<(), Error> {
        let path = format!("/branches/{}", branch.escaped());
        self.at(Method::DELETE, &path).finish().await
    }

    /// Lists the older states of a branch.
    pub async fn reflog(&self, branch: &BranchName) -> Result<Vec<ReflogEntryInfo>, Error> {
        self.get_json(&format!("/branches/{}/reflog", branch.escaped()))
            .await
    }

    /// Lists the tags.
    pub async fn tags(&self) -> Result<Vec<TagInfo>, Error> {
        self.get_json("/tags/").await
    }

    /// Gets a tag.
    pub async fn tag(&self, tag: &TagName) -> Result<TagInfo, Error> {
        self.get_json(&format!("/tags/{}", tag.escaped())).await
    }

    /// Creates a tag.
    pub async fn create_tag(&self, tag: &TagName, input: &TagInput) -> Result<TagInfo, Error> {
        let path = format!("/tags/{}", tag.escaped());
        self.at(Method::PUT, &path).json(input).fetch().await
    }

    /// Deletes a tag.
    pub async fn delete_tag(&self, tag: &TagName) -> Result<(), Error> {
        let path = format!("/tags/{}", tag.escaped());
        self.at(Method::DELETE, &path).finish().await
    }

    /// Gets a commit.
    pub async fn commit(&self, hash: &str) -> Result<CommitInfo, Error> {
        let hash = crate::escape_segment(hash);
        self.get_json(&format!("/commits/{hash}")).await
    }

    /// Says which of `refs` (whole names) hold which of `commits`. Commits that none holds are absent.
    pub async fn commits_in_refs(
        &self,
        commits: impl IntoIterator<Item = impl ToString>,
        refs: impl IntoIterator<Item = impl ToString>,
    ) -> Result<BTreeMap<String, Vec<String>>, Error> {
        let call = self.at(Method::GET, "/commits:in");
        let call = call.query_all("commit", commits).query_all("ref", refs);
        call.fetch().await
    }

    /// Reads a file at a commit, as it comes; its length is not limited.
    pub async fn file_at_commit(
        &self,
        commit: &str,
        file: &FilePath,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + Unpin + use<>, Error> {
        self.content("commits", &crate::escape_segment(commit), file)
            .await
    }

    /// Reads a file at the tip of a branch, as it comes; its length is not limited.
    pub async fn file_at_branch(
        &self,
        branch: &BranchName,
        file: &FilePath,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + Unpin + use<>, Error> {
        self.content("branches", &branch.escaped(), file).await
    }

    /// Lists the branches that `filter` leaves.
    pub async fn branches_of(&self, filter: &RefFilter) -> Result<Vec<BranchInfo>, Error> {
        filter
            .apply(self.at(Method::GET, "/branches"))
            .fetch()
            .await
    }

    /// Lists the tags that `filter` leaves.
    pub async fn tags_of(&self, filter: &RefFilter) -> Result<Vec<TagInfo>, Error> {
        filter.apply(self.at(Method::GET, "/tags/")).fetch().await
    }

    /// Deletes branches, all or as many as can be.
    pub async fn delete_branches(
        &self,
        branches: impl IntoIterator<Item = BranchName>,
    ) -> Result<(), Error> {
        let branches: Vec<_> = branches.into_iter().map(|one| one.to_string()).collect();
        let call = self.at(Method::POST, "/branches:delete");
        call.json(&json!({ "branches": branches })).finish().await
    }

    /// Deletes tags, all or as many as can be.
    pub async fn delete_tags(&self, tags: impl IntoIterator<Item = TagName>) -> Result<(), Error> {
        let tags: Vec<_> = tags.into_iter().map(|one| one.to_string()).collect();
        let call = self.at(Method::POST, "/tags:delete");
        call.json(&json!({ "tags": tags })).finish().await
    }

    /// Says whether `source`, a branch or a commit, can be merged into a branch.
    pub async fn mergeable(&self, into: &BranchName, source: &str) -> Result<MergeableInfo, Error> {
        let path = format!("/branches/{}/mergeable", into.escaped());
        self.at(Method::GET, &path)
            .query("source", source)
            .fetch()
            .await
    }

    /// Lists the branches and tags that hold a commit.
    pub async fn commit_included_in(&self, hash: &str) -> Result<IncludedInInfo, Error> {
        let hash = crate::escape_segment(hash);
        self.get_json(&format!("/commits/{hash}/in")).await
    }

    /// Lists the files that a commit changes, against its first parent.
    pub async fn commit_files(&self, hash: &str) -> Result<BTreeMap<String, FileInfo>, Error> {
        let hash = crate::escape_segment(hash);
        self.get_json(&format!("/commits/{hash}/files/")).await
    }

    /// Cherry-picks a commit to a branch, as a change.
    pub async fn cherry_pick(
        &self,
        hash: &str,
        input: &CherryPickInput,
    ) -> Result<ChangeInfo, Error> {
        let path = format!("/commits/{}/cherrypick", crate::escape_segment(hash));
        self.at(Method::POST, &path).json(input).fetch().await
    }

    async fn content(
        &self,
        of: &str,
        which: &str,
        file: &FilePath,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + Unpin + use<>, Error> {
        let path = format!("/{of}/{which}/files/{}/content", file.escaped());
        let encoded = self.at(Method::GET, &path).fetch_stream().await?;
        Ok(decoded(encoded, format!("{}{path}", self.path)))
    }

    pub(super) fn at(&self, method: Method, rest: &str) -> Call<'_> {
        self.client.call(method, format!("{}{rest}", self.path))
    }

    pub(super) async fn get_json<T: serde::de::DeserializeOwned>(
        &self,
        rest: &str,
    ) -> Result<T, Error> {
        self.at(Method::GET, rest).fetch().await
    }
}
