use std::collections::BTreeMap;

use super::macros::{answer, input};
use crate::time::Timestamp;

answer! {
    /// An account. Without [`ChangeOption::DetailedAccounts`](crate::ChangeOption::DetailedAccounts) or
    /// [`AccountOption::Details`](crate::AccountOption::Details) it has only its number.
    AccountInfo {
        #[serde(rename = "_account_id")]
        account_id: u64,
        name: String,
        display_name: String,
        email: String,
        secondary_emails: Vec<String>,
        username: String,
        status: String,
        inactive: bool,
        /// `SERVICE_USER` marks bots.
        tags: Vec<String>,
        registered_on: Option<Timestamp>,
        #[serde(rename = "_more_accounts")]
        more_accounts: bool,
    }
}

impl AccountInfo {
    /// Whether both have a number and it is the same one.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.account_id != 0 && self.account_id == other.account_id
    }
}

answer! {
    /// An e-mail address of an account.
    EmailInfo {
        email: String,
        preferred: bool,
        pending_confirmation: bool,
    }
}

answer! {
    /// An SSH key of an account.
    SshKeyInfo {
        seq: u64,
        ssh_public_key: String,
        encoded_key: String,
        algorithm: String,
        comment: String,
        valid: bool,
    }
}

answer! {
    /// An identity outside Gerrit that an account is known by.
    AccountExternalIdInfo {
        identity: String,
        email_address: String,
        trusted: bool,
        can_delete: bool,
    }
}

answer! {
    /// A group.
    GroupInfo {
        id: String,
        name: String,
        url: String,
        options: GroupOptionsInfo,
        description: String,
        group_id: i64,
        owner: String,
        owner_id: String,
        created_on: Option<Timestamp>,
        members: Vec<AccountInfo>,
        includes: Vec<GroupInfo>,
        #[serde(rename = "_more_groups")]
        more_groups: bool,
    }
}

answer! {
    /// Options of a group.
    GroupOptionsInfo {
        visible_to_all: bool,
    }
}

answer! {
    /// One line of a group's history.
    GroupAuditEventInfo {
        member: BTreeMap<String, serde_json::Value>,
        #[serde(rename = "type")]
        kind: String,
        user: AccountInfo,
        date: Option<Timestamp>,
    }
}

input! {
    /// What a new group is.
    GroupInput {
        optional {
            description: String => into,
            visible_to_all: bool,
            owner_id: String => into,
            members: Vec<String> => into,
        }
    }
}

input! {
    /// How an e-mail address is added to an account.
    EmailInput {
        optional {
            email: String => into,
            preferred: bool,
            no_confirmation: bool,
        }
    }
}

input! {
    /// A project, or changes of it that a search finds, that somebody gets mails about.
    ProjectWatchInfo {
        always {
            project: String => into,
        }
        optional {
            filter: String => into,
            notify_new_changes: bool,
            notify_new_patch_sets: bool,
            notify_all_comments: bool,
            notify_submitted_changes: bool,
            notify_abandoned_changes: bool,
        }
    }
}

answer! {
    /// Drafts that were deleted.
    DeletedDraftCommentInfo {
        change: super::ChangeInfo,
        deleted: Vec<super::CommentInfo>,
    }
}
