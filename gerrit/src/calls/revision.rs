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
use crate::call::Call;
use crate::client::Client;
use crate::error::Error;
use crate::id::{AccountId, FilePath};
use crate::types::*;

/// The calls about one revision (patch set) of a change, made by [`Change::revision`](crate::Change::revision).
#[derive(Debug, Clone)]
pub struct Revision {
    pub(super) client: Client,
    pub(super) path: String,
}

impl Revision {
    /// Posts a review: message, votes, comments, reviewers, in one step.
    pub async fn review(&self, input: &ReviewInput) -> Result<ReviewResult, Error> {
        self.at(Method::POST, "/review").json(input).fetch().await
    }

    /// Gets the change with this revision and its votes.
    pub async fn get_review(&self) -> Result<ChangeInfo, Error> {
        self.get_json("/review").await
    }

    /// Gets the commit.
    pub async fn commit(&self) -> Result<CommitInfo, Error> {
        self.get_json("/commit").await
    }

    /// Lists the files that the revision changes, `/COMMIT_MSG` included, against its parent.
    pub async fn files(&self) -> Result<BTreeMap<String, FileInfo>, Error> {
        self.get_json("/files").await
    }

    /// Lists the files that differ from an older patch set.
    pub async fn files_against(&self, base: u32) -> Result<BTreeMap<String, FileInfo>, Error> {
        let call = self.at(Method::GET, "/files");
        call.query("base", base).fetch().await
    }

    /// Reads a file as it comes; its length is not limited.
    pub async fn file_content(
        &self,
        file: &FilePath,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + Unpin + use<>, Error> {
        let path = format!("/files/{}/content", file.escaped());
        let encoded = self.at(Method::GET, &path).fetch_stream().await?;
        Ok(decoded(encoded, format!("{}{path}", self.path)))
    }

    /// Compares a file with the parent's.
    pub async fn diff(&self, file: &FilePath) -> Result<DiffInfo, Error> {
        self.get_json(&format!("/files/{}/diff", file.escaped()))
            .await
    }

    /// Says who wrote the lines of a file.
    pub async fn blame(&self, file: &FilePath) -> Result<Vec<BlameInfo>, Error> {
        self.get_json(&format!("/files/{}/blame", file.escaped()))
            .await
    }

    /// Marks a file as reviewed by oneself, or as not reviewed.
    pub async fn set_reviewed(&self, file: &FilePath, is_reviewed: bool) -> Result<(), Error> {
        let path = format!("/files/{}/reviewed", file.escaped());
        let method = if is_reviewed {
            Method::PUT
        } else {
            Method::DELETE
        };
        self.at(method, &path).ignore().await
    }

    /// Reads the revision as a patch, as it comes; its length is not limited.
    pub async fn patch(
        &self,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + Unpin + use<>, Error> {
        let encoded = self.at(Method::GET, "/patch").fetch_stream().await?;
        Ok(decoded(encoded, format!("{}/patch", self.path)))
    }

    /// Says whether the revision can be merged.
    pub async fn mergeable(&self) -> Result<MergeableInfo, Error> {
        self.get_json("/mergeable").await
    }

    /// Lists what can be done with the revision, by name. Without `submit`, or with one that is not enabled, it cannot be submitted now.
    pub async fn actions(&self) -> Result<BTreeMap<String, ActionInfo>, Error> {
        self.get_json("/actions").await
    }

    /// Lists the changes that this one builds upon or that build upon it.
    pub async fn related(&self) -> Result<RelatedChangesInfo, Error> {
        self.get_json("/related").await
    }

    /// Cherry-picks the revision to another branch.
    pub async fn cherry_pick(&self, input: &CherryPickInput) -> Result<ChangeInfo, Error> {
        let call = self.at(Method::POST, "/cherrypick");
        call.json(input).fetch().await
    }

    /// Rebases the revision.
    pub async fn rebase(&self, input: &RebaseInput) -> Result<ChangeInfo, Error> {
        self.at(Method::POST, "/rebase").json(input).fetch().await
    }

    /// Submits the revision, which must be the newest.
    pub async fn submit(&self, input: &SubmitInput) -> Result<ChangeInfo, Error> {
        self.at(Method::POST, "/submit").json(input).fetch().await
    }

    /// Gets how the revision would be submitted, such as `MERGE_IF_NECESSARY`.
    pub async fn submit_type(&self) -> Result<String, Error> {
        self.get_json("/submit_type").await
    }

    /// Gets the revision's description.
    pub async fn description(&self) -> Result<String, Error> {
        self.get_json("/description").await
    }

    /// Sets the revision's description.
    pub async fn set_description(&self, description: &str) -> Result<String, Error> {
        let input = json!({ "description": description });
        let call = self.at(Method::PUT, "/description");
        call.json(&input).fetch().await
    }

    /// Lists the published comments on this revision, by file.
    pub async fn comments(&self) -> Result<BTreeMap<String, Vec<CommentInfo>>, Error> {
        self.get_json("/comments").await
    }

    /// Gets one comment.
    pub async fn comment(&self, id: &str) -> Result<CommentInfo, Error> {
        self.get_json(&format!("/comments/{}", crate::escape_segment(id)))
            .await
    }

    /// Lists the comments on older revisions, at the places where they are now.
    pub async fn ported_comments(&self) -> Result<BTreeMap<String, Vec<CommentInfo>>, Error> {
        self.get_json("/ported_comments").await
    }

    /// Lists one's own drafts of comments, by file.
    pub async fn drafts(&self) -> Result<BTreeMap<String, Vec<CommentInfo>>, Error> {
        self.get_json("/drafts").await
    }

    /// Drafts a comment, which only oneself sees until it is published with a review. The input names the `path`.
    pub async fn create_draft(&self, input: &CommentInput) -> Result<CommentInfo, Error> {
        self.at(Method::PUT, "/drafts").json(input).fetch().await
    }

    /// Replaces a draft.
    pub async fn update_draft(&self, id: &str, input: &CommentInput) -> Result<CommentInfo, Error> {
        let path = format!("/drafts/{}", crate::escape_segment(id));
        self.at(Method::PUT, &path).json(input).fetch().await
    }

    /// Deletes a draft.
    pub async fn delete_draft(&self, id: &str) -> Result<(), Error> {
        let path = format!("/drafts/{}", crate::escape_segment(id));
        self.at(Method::DELETE, &path).finish().await
    }

    /// Replaces the text of a comment by who deleted it and why. Administrators may.
    pub async fn delete_comment(&self, id: &str, reason: &str) -> Result<CommentInfo, Error> {
        let path = format!("/comments/{}/delete", crate::escape_segment(id));
        let call = self.at(Method::POST, &path);
        call.json(&json!({ "reason": reason })).fetch().await
    }

    /// Gets one of one's own drafts.
    pub async fn draft(&self, id: &str) -> Result<CommentInfo, Error> {
        self.get_json(&format!("/drafts/{}", crate::escape_segment(id)))
            .await
    }

    /// Applies a fix that a comment suggests, as an edit of the change.
    pub async fn apply_fix(&self, id: &str) -> Result<EditInfo, Error> {
        let path = format!("/fixes/{}/apply", crate::escape_segment(id));
        self.at(Method::POST, &path).fetch().await
    }

    /// Shows what a fix that a comment suggests would do, by file.
    pub async fn preview_fix(&self, id: &str) -> Result<BTreeMap<String, DiffInfo>, Error> {
        self.get_json(&format!("/fixes/{}/preview", crate::escape_segment(id)))
            .await
    }

    /// Applies replacements that are given, as an edit of the change.
    pub async fn apply_replacements(
        &self,
        replacements: &[FixReplacementInfo],
    ) -> Result<EditInfo, Error> {
        let call = self.at(Method::POST, "/fix:apply");
        let input = json!({ "fix_replacement_infos": replacements });
        call.json(&input).fetch().await
    }

    /// Lists the reviewers who can vote on this revision, which must be the newest.
    pub async fn reviewers(&self) -> Result<Vec<ReviewerInfo>, Error> {
        self.get_json("/reviewers/").await
    }

    /// Lists a reviewer's votes on this revision, which must be the newest, by label.
    pub async fn votes(&self, account: &AccountId) -> Result<BTreeMap<String, i32>, Error> {
        self.get_json(&format!("/reviewers/{}/votes/", account.escaped()))
            .await
    }

    /// Removes a reviewer's vote on a label of this revision, which must be the newest.
    pub async fn delete_vote(&self, account: &AccountId, label: &str) -> Result<(), Error> {
        let label = crate::escape_segment(label);
        let path = format!("/reviewers/{}/votes/{label}", account.escaped());
        self.at(Method::DELETE, &path).finish().await
    }

    /// Reads all files of the revision as an archive, as it comes; its length is not limited. `format` is one that the server offers, such
    /// as `tgz` or `tar`.
    pub async fn archive(
        &self,
        format: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + Unpin + use<>, Error> {
        let call = self.at(Method::GET, "/archive");
        call.query("format", format).fetch_stream().await
    }

    /// Reads a file in a zip archive, as it comes; its length is not limited.
    pub async fn download(
        &self,
        file: &FilePath,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + Unpin + use<>, Error> {
        let path = format!("/files/{}/download", file.escaped());
        self.at(Method::GET, &path).fetch_stream().await
    }

    /// Lists the commits that this merge brings into its branch.
    pub async fn merge_list(&self) -> Result<Vec<CommitInfo>, Error> {
        self.get_json("/mergelist").await
    }

    /// Compares a file with that of an older patch set.
    pub async fn diff_against(&self, file: &FilePath, base: u32) -> Result<DiffInfo, Error> {
        let path = format!("/files/{}/diff", file.escaped());
        self.at(Method::GET, &path)
            .query("base", base)
            .fetch()
            .await
    }

    /// Lists the paths of the files that one has marked as reviewed.
    pub async fn reviewed_files(&self) -> Result<Vec<String>, Error> {
        let call = self.at(Method::GET, "/files");
        call.query("reviewed", true).fetch().await
    }

    /// Lists the paths of all files of the revision's tree whose path contains `text`.
    pub async fn find_files(&self, text: &str) -> Result<Vec<String>, Error> {
        let call = self.at(Method::GET, "/files");
        call.query("q", text).fetch().await
    }

    /// Says how the revision would be submitted if a rule in Prolog were the project's. One that is none is refused.
    pub async fn test_submit_type(&self, rule: &str) -> Result<String, Error> {
        let call = self.at(Method::POST, "/test.submit_type");
        call.json(&json!({ "rule": rule })).fetch().await
    }

    /// Says whether the revision could be submitted if a rule in Prolog were the project's. A rule that is none makes a status, `RULE_ERROR`.
    pub async fn test_submit_rule(&self, rule: &str) -> Result<TestSubmitRuleInfo, Error> {
        let call = self.at(Method::POST, "/test.submit_rule");
        call.json(&json!({ "rule": rule })).fetch().await
    }

    fn at(&self, method: Method, rest: &str) -> Call<'_> {
        self.client.call(method, format!("{}{rest}", self.path))
    }

    async fn get_json<T: serde::de::DeserializeOwned>(&self, rest: &str) -> Result<T, Error> {
        self.at(Method::GET, rest).fetch().await
    }
}
