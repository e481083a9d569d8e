use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::macros::{answer, input, words};
use super::{AccountInfo, ChangeInfo, CommentInput, Notify};
use crate::time::Timestamp;

answer! {
    /// A label of a change, and its votes.
    LabelInfo {
        optional: bool,
        description: String,
        approved: Option<AccountInfo>,
        rejected: Option<AccountInfo>,
        recommended: Option<AccountInfo>,
        disliked: Option<AccountInfo>,
        blocking: bool,
        value: i32,
        default_value: i32,
        votes: Vec<serde_json::Value>,
        all: Vec<ApprovalInfo>,
        /// What each value means.
        values: BTreeMap<String, String>,
    }
}

/// A vote.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ApprovalInfo {
    /// Whose vote it is. Fields of the vote that this crate has no name for are in its `unknown`.
    #[serde(flatten)]
    pub account: AccountInfo,
    /// None if the account may not vote on this label.
    pub value: Option<i32>,
    /// When it was given.
    pub date: Option<Timestamp>,
    /// Whether it was given after the change was submitted.
    pub post_submit: bool,
    /// What marks votes of bots.
    pub tag: String,
    /// Which values this account may give.
    pub permitted_voting_range: Option<VotingRangeInfo>,
}

answer! {
    /// The values that an account may give.
    VotingRangeInfo {
        min: i32,
        max: i32,
    }
}

/// A reviewer, and the votes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ReviewerInfo {
    /// Who it is. Fields of the reviewer that this crate has no name for are in its `unknown`.
    #[serde(flatten)]
    pub account: AccountInfo,
    /// By label: values such as `+2` or ` 0`, with the space.
    pub approvals: BTreeMap<String, String>,
}

words! {
    /// What somebody is to a change.
    ReviewerState {
        Reviewer = "REVIEWER",
        Cc = "CC",
        Removed = "REMOVED",
    }
}

words! {
    /// Which drafts are published with a review.
    Drafts {
        Publish = "PUBLISH",
        PublishAllRevisions = "PUBLISH_ALL_REVISIONS",
        Keep = "KEEP",
    }
}

input! {
    /// A review: a message, votes, comments, reviewers, in one step.
    ReviewInput {
        optional {
            message: String => into,
            labels: BTreeMap<String, i32> => into,
            tag: String => into,
            /// By file.
            comments: BTreeMap<String, Vec<CommentInput>> => into,
            reviewers: Vec<ReviewerInput> => into,
            drafts: Option<Drafts> => into,
            notify: Option<Notify> => into,
            notify_details: BTreeMap<String, serde_json::Value> => into,
            omit_duplicate_comments: bool,
            on_behalf_of: String => into,
            ready: bool,
            work_in_progress: bool,
            add_to_attention_set: Vec<AttentionSetInput> => into,
            remove_from_attention_set: Vec<AttentionSetInput> => into,
            ignore_automatic_attention_set_rules: bool,
        }
    }
}

impl ReviewInput {
    /// Adds a vote.
    #[must_use]
    pub fn vote(mut self, label: impl Into<String>, value: i32) -> Self {
        self.labels.insert(label.into(), value);
        self
    }

    /// Adds a comment on a file.
    #[must_use]
    pub fn comment(mut self, file: impl Into<String>, comment: CommentInput) -> Self {
        self.comments.entry(file.into()).or_default().push(comment);
        self
    }
}

input! {
    /// Somebody to be added to a change: an account or a group.
    ReviewerInput {
        always {
            reviewer: String => into,
        }
        optional {
            state: Option<ReviewerState> => into,
            confirmed: bool,
            notify: Option<Notify> => into,
        }
    }
}

input! {
    /// Somebody whose turn it is, or no longer, and why.
    AttentionSetInput {
        always {
            user: String => into,
            reason: String => into,
        }
        optional {
            notify: Option<Notify> => into,
        }
    }
}

answer! {
    /// What a review did.
    ReviewResult {
        labels: BTreeMap<String, i32>,
        reviewers: BTreeMap<String, AddReviewerResult>,
        ready: bool,
        error: String,
        change_info: Option<ChangeInfo>,
    }
}

answer! {
    /// What adding somebody did.
    AddReviewerResult {
        input: String,
        reviewers: Vec<ReviewerInfo>,
        ccs: Vec<ReviewerInfo>,
        error: String,
        confirm: bool,
    }
}

answer! {
    /// Somebody who might review.
    SuggestedReviewerInfo {
        account: Option<AccountInfo>,
        group: Option<super::GroupInfo>,
        count: u64,
        confirm: bool,
    }
}
