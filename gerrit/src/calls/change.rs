#![expect(
    clippy::missing_errors_doc,
    reason = "every call fails for the reasons that `Error` lists"
)]

use std::collections::BTreeMap;

use http::Method;
use serde_json::json;

use super::{Edit, Revision};
use crate::call::Call;
use crate::client::Client;
use crate::error::Error;
use crate::id::{AccountId, ChangeId, RevisionId};
use crate::options::ChangeOption;
use crate::types::*;

/// The calls about one change, made by [`Client::change`].
#[derive(Debug, Clone)]
pub struct Change {
    pub(super) client: Client,
    pub(super) path: String,
}

impl Client {
    /// The calls about a change. Nothing is sent yet.
    #[must_use]
    pub fn change(&self, id: impl Into<ChangeId>) -> Change {
        Change {
            client: self.clone(),
            path: format!("/changes/{}", id.into()),
        }
    }

    /// Creates a change without a push.
    pub async fn create_change(&self, input: &ChangeInput) -> Result<ChangeInfo, Error> {
        self.post("/changes/").json(input).fetch().await
    }
}

impl Change {
    /// The calls about a revision of the change.
    #[must_use]
    pub fn revision(&self, revision: impl Into<RevisionId>) -> Revision {
        let revision = revision.into();
        Revision {
            client: self.client.clone(),
            path: format!("{}/revisions/{}", self.path, revision.as_str()),
        }
    }

    /// The calls about the edit of the change, a revision in the making.
    #[must_use]
    pub fn edit(&self) -> Edit {
        Edit {
            client: self.client.clone(),
            change: self.path.clone(),
        }
    }

    /// Gets the change.
    pub async fn get(
        &self,
        options: impl IntoIterator<Item = ChangeOption>,
    ) -> Result<ChangeInfo, Error> {
        self.at(Method::GET, "")
            .query_all("o", options)
            .fetch()
            .await
    }

    /// Gets the change with labels, votes, reviewers, accounts and messages.
    pub async fn detail(
        &self,
        options: impl IntoIterator<Item = ChangeOption>,
    ) -> Result<ChangeInfo, Error> {
        let call = self.at(Method::GET, "/detail");
        call.query_all("o", options).fetch().await
    }

    /// Lists the published comments, by file.
    pub async fn comments(&self) -> Result<BTreeMap<String, Vec<CommentInfo>>, Error> {
        self.get_json("/comments").await
    }

    /// Lists one's own drafts of comments, by file.
    pub async fn drafts(&self) -> Result<BTreeMap<String, Vec<CommentInfo>>, Error> {
        self.get_json("/drafts").await
    }

    /// Lists the messages.
    pub async fn messages(&self) -> Result<Vec<ChangeMessageInfo>, Error> {
        self.get_json("/messages").await
    }

    /// Gets the current commit's message.
    pub async fn commit_message(&self) -> Result<CommitMessageInfo, Error> {
        self.get_json("/message").await
    }

    /// Replaces the current commit's message, which makes a new patch set. The footer `Change-Id` must stay.
    pub async fn set_commit_message(&self, input: &CommitMessageInput) -> Result<(), Error> {
        self.at(Method::PUT, "/message").json(input).ignore().await
    }

    /// Abandons the change.
    pub async fn abandon(&self, input: &AbandonInput) -> Result<ChangeInfo, Error> {
        self.post_json("/abandon", input).await
    }

    /// Brings an abandoned change back.
    pub async fn restore(&self, input: &RestoreInput) -> Result<ChangeInfo, Error> {
        self.post_json("/restore", input).await
    }

    /// Makes a change that undoes this merged one.
    pub async fn revert(&self, input: &RevertInput) -> Result<ChangeInfo, Error> {
        self.post_json("/revert", input).await
    }

    /// Makes changes that undo everything submitted together with this one.
    pub async fn revert_submission(&self, input: &RevertInput) -> Result<Vec<ChangeInfo>, Error> {
        #[derive(serde::Deserialize)]
        struct Reverted {
            #[serde(default)]
            revert_changes: Vec<ChangeInfo>,
        }
        let reverted: Reverted = self.post_json("/revert_submission", input).await?;
        Ok(reverted.revert_changes)
    }

    /// Submits the change. [`Conflict`](crate::ErrorKind::Conflict) if it cannot be submitted.
    ///
    /// Without an input nothing is sent in the body.
    pub async fn submit(&self, input: Option<&SubmitInput>) -> Result<ChangeInfo, Error> {
        let call = self.at(Method::POST, "/submit");
        match input {
            Some(input) => call.json(input).fetch().await,
            None => call.fetch().await,
        }
    }

    /// Lists what would be submitted together with the change, itself included.
    pub async fn submitted_together(&self) -> Result<SubmittedTogetherInfo, Error> {
        let call = self.at(Method::GET, "/submitted_together");
        call.query("o", "NON_VISIBLE_CHANGES").fetch().await
    }

    /// Lists the branches and tags that hold the merged change.
    pub async fn included_in(&self) -> Result<IncludedInInfo, Error> {
        self.get_json("/in").await
    }

    /// Rebases the change's newest patch set.
    pub async fn rebase(&self, input: &RebaseInput) -> Result<ChangeInfo, Error> {
        self.post_json("/rebase", input).await
    }

    /// Moves the change to another branch.
    pub async fn move_to(&self, input: &MoveInput) -> Result<ChangeInfo, Error> {
        self.post_json("/move", input).await
    }

    /// Marks the change as work in progress.
    pub async fn work_in_progress(&self, input: &WorkInProgressInput) -> Result<(), Error> {
        self.at(Method::POST, "/wip").json(input).ignore().await
    }

    /// Marks the change as ready for review.
    pub async fn ready(&self, input: &WorkInProgressInput) -> Result<(), Error> {
        self.at(Method::POST, "/ready").json(input).ignore().await
    }

    /// Shows the change to its reviewers only.
    pub async fn make_private(&self, message: &str) -> Result<(), Error> {
        let input = json!({ "message": message });
        self.at(Method::POST, "/private")
            .json(&input)
            .ignore()
            .await
    }

    /// Shows the change to everybody.
    pub async fn make_public(&self, message: &str) -> Result<(), Error> {
        let input = json!({ "message": message });
        let call = self.at(Method::POST, "/private.delete");
        call.json(&input).ignore().await
    }

    /// Deletes the change, for good.
    pub async fn delete(&self) -> Result<(), Error> {
        self.at(Method::DELETE, "").finish().await
    }

    /// Gets the topic; empty if there is none.
    pub async fn topic(&self) -> Result<String, Error> {
        self.get_json("/topic").await
    }

    /// Sets the topic and returns it.
    pub async fn set_topic(&self, topic: &str) -> Result<String, Error> {
        let call = self.at(Method::PUT, "/topic");
        call.json(&json!({ "topic": topic })).fetch().await
    }

    /// Removes the topic.
    pub async fn delete_topic(&self) -> Result<(), Error> {
        self.at(Method::DELETE, "/topic").finish().await
    }

    /// Lists the hashtags.
    pub async fn hashtags(&self) -> Result<Vec<String>, Error> {
        self.get_json("/hashtags").await
    }

    /// Adds and removes hashtags, and returns those that are there now.
    pub async fn set_hashtags(&self, input: &HashtagsInput) -> Result<Vec<String>, Error> {
        self.post_json("/hashtags", input).await
    }

    /// Compares the target branch with what this change, a revert, should undo.
    pub async fn pure_revert(&self) -> Result<PureRevertInfo, Error> {
        self.get_json("/pure_revert").await
    }

    /// Checks the change for inconsistencies, which the answer's `problems` lists.
    pub async fn check(&self) -> Result<ChangeInfo, Error> {
        self.get_json("/check").await
    }

    /// Lists the reviewers, those in CC included.
    pub async fn reviewers(&self) -> Result<Vec<ReviewerInfo>, Error> {
        self.get_json("/reviewers").await
    }

    /// Gets one reviewer and the votes.
    pub async fn reviewer(&self, account: &AccountId) -> Result<ReviewerInfo, Error> {
        // The server answers with a list of one.
        let path = format!("/reviewers/{}", account.escaped());
        let mut list: Vec<ReviewerInfo> = self.get_json(&path).await?;
        Ok(list.pop().unwrap_or_default())
    }

    /// Adds a reviewer, or somebody in CC, or the members of a group. What did not work is in the answer's `error`.
    pub async fn add_reviewer(&self, input: &ReviewerInput) -> Result<AddReviewerResult, Error> {
        self.post_json("/reviewers", input).await
    }

    /// Removes a reviewer with all votes.
    pub async fn remove_reviewer(&self, account: &AccountId) -> Result<(), Error> {
        let path = format!("/reviewers/{}", account.escaped());
        self.at(Method::DELETE, &path).finish().await
    }

    /// Suggests at most `limit` reviewers whose names begin with `text`.
    pub async fn suggest_reviewers(
        &self,
        text: &str,
        limit: u32,
    ) -> Result<Vec<SuggestedReviewerInfo>, Error> {
        let call = self.at(Method::GET, "/suggest_reviewers");
        call.query("q", text).query("n", limit).fetch().await
    }

    /// Lists a reviewer's votes, by label.
    pub async fn votes(&self, account: &AccountId) -> Result<BTreeMap<String, i32>, Error> {
        let path = format!("/reviewers/{}/votes/", account.escaped());
        self.get_json(&path).await
    }

    /// Removes a reviewer's vote on a label.
    pub async fn delete_vote(&self, account: &AccountId, label: &str) -> Result<(), Error> {
        let label = crate::escape_segment(label);
        let path = format!("/reviewers/{}/votes/{label}", account.escaped());
        self.at(Method::DELETE, &path).finish().await
    }

    /// Lists whose turn it is.
    pub async fn attention_set(&self) -> Result<Vec<AttentionSetInfo>, Error> {
        self.get_json("/attention").await
    }

    /// Says that it is somebody's turn. An account that is not a reviewer can be refused.
    pub async fn add_attention(&self, input: &AttentionSetInput) -> Result<AccountInfo, Error> {
        self.post_json("/attention", input).await
    }

    /// Says that it is no longer somebody's turn. The input need not repeat the `user`.
    pub async fn remove_attention(
        &self,
        account: &AccountId,
        input: &AttentionSetInput,
    ) -> Result<(), Error> {
        let path = format!("/attention/{}/delete", account.escaped());
        let mut body = json!({ "reason": input.reason });
        if let Some(notify) = &input.notify {
            body["notify"] = json!(notify);
        }
        self.at(Method::POST, &path).json(&body).finish().await
    }

    /// Gets one message by its id.
    pub async fn message(&self, id: &str) -> Result<ChangeMessageInfo, Error> {
        self.get_json(&format!("/messages/{}", crate::escape_segment(id)))
            .await
    }

    /// Replaces the text of a message by who deleted it and why. Administrators may.
    pub async fn delete_message(&self, id: &str, reason: &str) -> Result<ChangeMessageInfo, Error> {
        let path = format!("/messages/{}/delete", crate::escape_segment(id));
        self.post_json(&path, &json!({ "reason": reason })).await
    }

    /// Makes a patch set that merges another commit into the change.
    pub async fn merge(&self, input: &MergePatchSetInput) -> Result<ChangeInfo, Error> {
        self.post_json("/merge", input).await
    }

    /// Makes a patch set of a patch.
    pub async fn apply_patch(&self, input: &ApplyPatchPatchSetInput) -> Result<ChangeInfo, Error> {
        self.post_json("/patch:apply", input).await
    }

    /// Rebases the change and those that it builds upon.
    pub async fn rebase_chain(&self, input: &RebaseInput) -> Result<RebaseChainInfo, Error> {
        self.post_json("/rebase:chain", input).await
    }

    /// Compares two states of the change, given by [`meta_rev_id`](ChangeInfo::meta_rev_id): by default the newest and the one before.
    pub async fn meta_diff(
        &self,
        old: Option<&str>,
        new: Option<&str>,
    ) -> Result<ChangeInfoDifference, Error> {
        let call = self.at(Method::GET, "/meta_diff");
        call.query_opt("old", old)
            .query_opt("meta", new)
            .fetch()
            .await
    }

    /// Gets the values that tools have attached to the change, by key.
    pub async fn custom_keyed_values(&self) -> Result<BTreeMap<String, String>, Error> {
        self.get_json("/custom_keyed_values").await
    }

    /// Attaches values to the change and takes others away, and returns those that are there now.
    pub async fn set_custom_keyed_values(
        &self,
        input: &CustomKeyedValuesInput,
    ) -> Result<BTreeMap<String, String>, Error> {
        self.post_json("/custom_keyed_values", input).await
    }

    /// Says how the change would meet a submit requirement, which need not be there.
    pub async fn check_submit_requirement(
        &self,
        input: &SubmitRequirementInput,
    ) -> Result<SubmitRequirementResultInfo, Error> {
        self.post_json("/check.submit_requirement", input).await
    }

    /// Lists what can be asked of the server's checks of this change when it is pushed or submitted.
    pub async fn validation_options(&self) -> Result<ValidationOptionInfos, Error> {
        self.get_json("/validation-options").await
    }

    /// Has the server read the change into its index again.
    pub async fn index(&self) -> Result<(), Error> {
        self.at(Method::POST, "/index").ignore().await
    }

    /// Lists the published comments with lines of the files around them, `padding` more before and after.
    pub async fn comments_in_context(
        &self,
        padding: u32,
    ) -> Result<BTreeMap<String, Vec<CommentInfo>>, Error> {
        let call = self
            .at(Method::GET, "/comments")
            .query("enable-context", true);
        call.query("context-padding", padding).fetch().await
    }

    fn at(&self, method: Method, rest: &str) -> Call<'_> {
        self.client.call(method, format!("{}{rest}", self.path))
    }

    async fn get_json<T: serde::de::DeserializeOwned>(&self, rest: &str) -> Result<T, Error> {
        self.at(Method::GET, rest).fetch().await
    }

    async fn post_json<T: serde::de::DeserializeOwned>(
        &self,
        rest: &str,
        input: &(impl serde::Serialize + Sync),
    ) -> Result<T, Error> {
        self.at(Method::POST, rest).json(input).fetch().await
    }
}
