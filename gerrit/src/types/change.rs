use std::collections::BTreeMap;

use super::macros::{answer, words};
use super::{AccountInfo, ActionInfo, ChangeMessageInfo, LabelInfo, RevisionInfo};
use crate::time::Timestamp;

words! {
    /// Where a change stands.
    ChangeStatus {
        New = "NEW",
        Merged = "MERGED",
        Abandoned = "ABANDONED",
    }
}

answer! {
    /// A change. What it holds depends on the [options](crate::ChangeOption) that were asked for.
    ChangeInfo {
        /// Opaque: use `project` and `number`.
        id: String,
        triplet_id: String,
        #[serde(rename = "_number")]
        number: u64,
        virtual_id_number: u64,
        /// The footer `Change-Id`.
        change_id: String,
        project: String,
        /// Without `refs/heads/`.
        branch: String,
        full_branch: String,
        topic: String,
        subject: String,
        status: Option<ChangeStatus>,
        submit_type: String,
        assignee: Option<AccountInfo>,
        submitter: Option<AccountInfo>,
        owner: Option<AccountInfo>,
        hashtags: Vec<String>,
        custom_keyed_values: BTreeMap<String, String>,
        created: Option<Timestamp>,
        updated: Option<Timestamp>,
        submitted: Option<Timestamp>,
        /// Absent where the server does not compute it.
        mergeable: Option<bool>,
        /// With [`ChangeOption::Submittable`](crate::ChangeOption::Submittable) only.
        submittable: Option<bool>,
        insertions: u64,
        deletions: u64,
        total_comment_count: u64,
        unresolved_comment_count: u64,
        current_revision: String,
        current_revision_number: u64,
        /// By commit.
        revisions: BTreeMap<String, RevisionInfo>,
        meta_rev_id: String,
        messages: Vec<ChangeMessageInfo>,
        labels: BTreeMap<String, LabelInfo>,
        permitted_labels: BTreeMap<String, Vec<String>>,
        removable_reviewers: Vec<AccountInfo>,
        /// Whose votes this account may remove: by label, then by value.
        removable_labels: BTreeMap<String, BTreeMap<String, Vec<AccountInfo>>>,
        /// By state: `REVIEWER`, `CC`, `REMOVED`.
        reviewers: BTreeMap<String, Vec<AccountInfo>>,
        pending_reviewers: BTreeMap<String, Vec<AccountInfo>>,
        reviewer_updates: Vec<ReviewerUpdateInfo>,
        /// By the account's number.
        attention_set: BTreeMap<String, AttentionSetInfo>,
        removed_from_attention_set: BTreeMap<String, AttentionSetInfo>,
        submit_requirements: Vec<SubmitRequirementResultInfo>,
        submit_records: Vec<SubmitRecordInfo>,
        /// Of rules, from before there were submit requirements.
        requirements: Vec<serde_json::Value>,
        actions: BTreeMap<String, ActionInfo>,
        tracking_ids: Vec<TrackingIdInfo>,
        problems: Vec<ProblemInfo>,
        work_in_progress: bool,
        has_review_started: bool,
        is_private: bool,
        starred: bool,
        reviewed: bool,
        revert_of: u64,
        submission_id: String,
        cherry_pick_of_change: u64,
        cherry_pick_of_patch_set: u64,
        contains_git_conflicts: bool,
        #[serde(rename = "_more_changes")]
        more_changes: bool,
    }
}

answer! {
    /// Somebody who was added to the reviewers, or removed.
    ReviewerUpdateInfo {
        updated: Option<Timestamp>,
        updated_by: AccountInfo,
        reviewer: AccountInfo,
        state: String,
    }
}

answer! {
    /// Somebody whose turn it is.
    AttentionSetInfo {
        account: AccountInfo,
        last_update: Option<Timestamp>,
        reason: String,
        reason_account: Option<AccountInfo>,
    }
}

words! {
    /// How a submit requirement stands.
    SubmitRequirementStatus {
        Satisfied = "SATISFIED",
        Unsatisfied = "UNSATISFIED",
        Overridden = "OVERRIDDEN",
        NotApplicable = "NOT_APPLICABLE",
        Error = "ERROR",
        Forced = "FORCED",
    }
}

answer! {
    /// A submit requirement, and how the change meets it.
    SubmitRequirementResultInfo {
        name: String,
        description: String,
        status: Option<SubmitRequirementStatus>,
        is_legacy: bool,
        applicability_expression_result: Option<SubmitRequirementExpressionInfo>,
        submittability_expression_result: Option<SubmitRequirementExpressionInfo>,
        override_expression_result: Option<SubmitRequirementExpressionInfo>,
    }
}

answer! {
    /// An expression of a submit requirement, evaluated.
    SubmitRequirementExpressionInfo {
        expression: String,
        fulfilled: bool,
        status: String,
        passing_atoms: Vec<String>,
        failing_atoms: Vec<String>,
        error_message: String,
    }
}

answer! {
    /// What a rule says about submitting.
    SubmitRecordInfo {
        rule_name: String,
        status: String,
        labels: Vec<SubmitRecordLabelInfo>,
        requirements: Vec<serde_json::Value>,
        error_message: String,
    }
}

answer! {
    /// A label in a [`SubmitRecordInfo`].
    SubmitRecordLabelInfo {
        label: String,
        status: String,
        applied_by: Option<AccountInfo>,
    }
}

answer! {
    /// What a rule that was tried out says about submitting. Labels are under what they do, with who gave the vote that decides.
    TestSubmitRuleInfo {
        status: String,
        error_message: String,
        ok: BTreeMap<String, AccountInfo>,
        reject: BTreeMap<String, AccountInfo>,
        need: BTreeMap<String, serde_json::Value>,
        may: BTreeMap<String, serde_json::Value>,
        impossible: BTreeMap<String, serde_json::Value>,
    }
}

answer! {
    /// A reference to another system, found in the commit's message.
    TrackingIdInfo {
        system: String,
        id: String,
    }
}

answer! {
    /// An inconsistency of a change.
    ProblemInfo {
        message: String,
        status: String,
        outcome: String,
    }
}

answer! {
    /// Whether a revision can be merged.
    MergeableInfo {
        submit_type: String,
        strategy: String,
        mergeable: bool,
        commit_merged: bool,
        content_merged: bool,
        conflicts: Vec<String>,
        mergeable_into: Vec<String>,
    }
}

answer! {
    /// The changes that a change builds upon and that build upon it.
    RelatedChangesInfo {
        /// The newest first.
        changes: Vec<RelatedChangeAndCommitInfo>,
    }
}

answer! {
    /// A commit of the same chain, and the change it belongs to, if to any.
    RelatedChangeAndCommitInfo {
        project: String,
        change_id: String,
        commit: super::CommitInfo,
        #[serde(rename = "_change_number")]
        change_number: u64,
        #[serde(rename = "_revision_number")]
        revision_number: u64,
        #[serde(rename = "_current_revision_number")]
        current_revision_number: u64,
        status: Option<ChangeStatus>,
        submittable: bool,
    }
}

answer! {
    /// What would be submitted together with a change.
    SubmittedTogetherInfo {
        changes: Vec<ChangeInfo>,
        non_visible_changes: u64,
    }
}

answer! {
    /// The branches and tags that hold a change.
    IncludedInInfo {
        branches: Vec<String>,
        tags: Vec<String>,
        external: BTreeMap<String, Vec<String>>,
    }
}

answer! {
    /// A commit's message, taken apart.
    CommitMessageInfo {
        subject: String,
        full_message: String,
        /// The last one of each key.
        footers: BTreeMap<String, String>,
    }
}

answer! {
    /// Whether a change undoes another one and nothing else.
    PureRevertInfo {
        is_pure_revert: bool,
    }
}

answer! {
    /// A change and those that it builds upon, after a rebase.
    RebaseChainInfo {
        rebased_changes: Vec<ChangeInfo>,
        contains_git_conflicts: bool,
    }
}

answer! {
    /// What changed between two states of a change.
    ChangeInfoDifference {
        old_change_info: ChangeInfo,
        new_change_info: ChangeInfo,
        /// Only what is in the new state.
        added: ChangeInfo,
        /// Only what is in the old state.
        removed: ChangeInfo,
    }
}

answer! {
    /// What can be asked of the server's checks.
    ValidationOptionInfos {
        validation_options: Vec<ValidationOptionInfo>,
    }
}

answer! {
    /// One option of the server's checks.
    ValidationOptionInfo {
        name: String,
        description: String,
    }
}
