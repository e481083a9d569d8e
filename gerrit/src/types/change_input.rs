use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::macros::{input, words};

words! {
    /// Who is told.
    Notify {
        Nobody = "NONE",
        Owner = "OWNER",
        OwnerAndReviewers = "OWNER_REVIEWERS",
        Everybody = "ALL",
    }
}

input! {
    /// A new change, without a push.
    ChangeInput {
        always {
            project: String => into,
            branch: String => into,
            /// The whole message of the commit.
            subject: String => into,
        }
        optional {
            topic: String => into,
            is_private: bool,
            work_in_progress: bool,
            base_change: String => into,
            base_commit: String => into,
            new_branch: bool,
            merge: Option<MergeInput> => into,
            patch: Option<ApplyPatchInput> => into,
            author: Option<AccountInput> => into,
            notify: Option<Notify> => into,
            validation_options: BTreeMap<String, String> => into,
        }
    }
}

input! {
    /// What is merged into a new change.
    MergeInput {
        always {
            source: String => into,
        }
        optional {
            source_branch: String => into,
            strategy: String => into,
            allow_conflicts: bool,
        }
    }
}

input! {
    /// A patch for a new change, as git writes it, perhaps in base64.
    ApplyPatchInput {
        always {
            patch: String => into,
        }
        optional {
            allow_conflicts: bool,
        }
    }
}

input! {
    /// The author of a commit, who has `name` and `email`, or a new account.
    AccountInput {
        optional {
            username: String => into,
            name: String => into,
            display_name: String => into,
            email: String => into,
            ssh_key: String => into,
            http_password: String => into,
            groups: Vec<String> => into,
        }
    }
}

input! {
    /// How a change is abandoned.
    AbandonInput {
        optional {
            message: String => into,
            notify: Option<Notify> => into,
        }
    }
}

input! {
    /// How a change is restored.
    RestoreInput {
        optional {
            message: String => into,
            notify: Option<Notify> => into,
        }
    }
}

input! {
    /// How a change is reverted.
    RevertInput {
        optional {
            message: String => into,
            notify: Option<Notify> => into,
            topic: String => into,
            work_in_progress: bool,
        }
    }
}

input! {
    /// How a change is submitted.
    SubmitInput {
        optional {
            on_behalf_of: String => into,
            notify: Option<Notify> => into,
        }
    }
}

input! {
    /// Where a revision is cherry-picked to.
    CherryPickInput {
        always {
            destination: String => into,
            keep_reviewers: bool,
            allow_conflicts: bool,
        }
        optional {
            message: String => into,
            base: String => into,
            parent: u32,
            topic: String => into,
            allow_empty: bool,
            committer_email: String => into,
            notify: Option<Notify> => into,
        }
    }
}

input! {
    /// Where a change is moved to.
    MoveInput {
        always {
            destination_branch: String => into,
            keep_all_votes: bool,
        }
        optional {
            message: String => into,
        }
    }
}

input! {
    /// What a change is rebased upon.
    RebaseInput {
        always {
            allow_conflicts: bool,
        }
        optional {
            /// None: the tip of the target branch, or the parent's newest patch set; an empty text: always the tip.
            base: Option<String>,
            strategy: String => into,
            on_behalf_of_uploader: bool,
            committer_email: String => into,
        }
    }
}

/// Hashtags to add and to remove.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct HashtagsInput {
    /// Those to add.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<String>,
    /// Those to remove.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

impl HashtagsInput {
    /// Adds `hashtag` to the change.
    #[must_use]
    pub fn adding(mut self, hashtag: impl Into<String>) -> Self {
        self.add.push(hashtag.into());
        self
    }

    /// Removes `hashtag` from the change.
    #[must_use]
    pub fn removing(mut self, hashtag: impl Into<String>) -> Self {
        self.remove.push(hashtag.into());
        self
    }
}

input! {
    /// A new message of the commit.
    CommitMessageInput {
        always {
            message: String => into,
        }
        optional {
            notify: Option<Notify> => into,
        }
    }
}

input! {
    /// Whether a change is work in progress, or why it became ready.
    WorkInProgressInput {
        optional {
            message: String => into,
        }
    }
}

input! {
    /// What is merged into a change, as a new patch set.
    MergePatchSetInput {
        always {
            merge: MergeInput,
        }
        optional {
            subject: String => into,
            inherit_parent: bool,
            base_change: String => into,
            author: Option<AccountInput> => into,
        }
    }
}

input! {
    /// A patch for a new patch set.
    ApplyPatchPatchSetInput {
        always {
            patch: ApplyPatchInput,
        }
        optional {
            commit_message: String => into,
            base: String => into,
            author: Option<AccountInput> => into,
            amend: bool,
        }
    }
}

input! {
    /// Values to attach to a change, and keys of those to take away.
    CustomKeyedValuesInput {
        optional {
            #[serde(rename = "add")]
            adding: BTreeMap<String, String> => into,
            #[serde(rename = "remove")]
            removing: Vec<String> => into,
        }
    }
}

words! {
    /// Somebody whom a commit names.
    IdentityType {
        Author = "AUTHOR",
        Committer = "COMMITTER",
    }
}

input! {
    /// Who is to be the author or the committer of an edit.
    ChangeEditIdentityInput {
        optional {
            name: String => into,
            email: String => into,
            #[serde(rename = "type")]
            kind: Option<IdentityType> => into,
        }
    }
}
