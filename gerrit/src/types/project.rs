use std::collections::BTreeMap;

use super::GitPersonInfo;
use super::macros::{answer, input, words};
use crate::time::Timestamp;

words! {
    /// What may be done with a project.
    ProjectState {
        Active = "ACTIVE",
        ReadOnly = "READ_ONLY",
        Hidden = "HIDDEN",
    }
}

answer! {
    /// A project.
    ProjectInfo {
        /// Escaped.
        id: String,
        name: String,
        parent: String,
        clone_url: String,
        description: String,
        state: Option<ProjectState>,
        /// Branches to commits.
        branches: BTreeMap<String, String>,
        labels: BTreeMap<String, serde_json::Value>,
        web_links: Vec<WebLinkInfo>,
        #[serde(rename = "_more_projects")]
        more_projects: bool,
    }
}

answer! {
    /// A link to another page.
    WebLinkInfo {
        name: String,
        url: String,
        image_url: String,
        tooltip: String,
    }
}

input! {
    /// What a new project is.
    ProjectInput {
        optional {
            parent: String => into,
            description: String => into,
            submit_type: String => into,
            /// `TRUE`, `FALSE` or `INHERIT`.
            create_new_change_for_all_not_in_target: String => into,
            permissions_only: bool,
            create_empty_commit: bool,
            branches: Vec<String> => into,
            owners: Vec<String> => into,
        }
    }
}

answer! {
    /// A branch. Of `HEAD`, `revision` is the name of a branch.
    BranchInfo {
        #[serde(rename = "ref")]
        git_ref: String,
        revision: String,
        can_delete: bool,
        web_links: Vec<WebLinkInfo>,
    }
}

input! {
    /// Where a new branch points.
    BranchInput {
        optional {
            /// The whole name, if it is to repeat the one in the address.
            #[serde(rename = "ref")]
            git_ref: String => into,
            revision: String => into,
        }
    }
}

answer! {
    /// A tag. Of an annotated one, `revision` is the tag and `object` the commit.
    TagInfo {
        #[serde(rename = "ref")]
        git_ref: String,
        revision: String,
        object: String,
        message: String,
        tagger: Option<GitPersonInfo>,
        created: Option<Timestamp>,
        can_delete: bool,
        web_links: Vec<WebLinkInfo>,
    }
}

input! {
    /// What a new tag is; with a message, an annotated one.
    TagInput {
        optional {
            revision: String => into,
            message: String => into,
        }
    }
}

answer! {
    /// Numbers about a project's repository.
    RepositoryStatisticsInfo {
        number_of_bitmaps: u64,
        number_of_loose_objects: u64,
        number_of_loose_refs: u64,
        number_of_pack_files: u64,
        number_of_packed_objects: u64,
        number_of_packed_refs: u64,
        size_of_loose_objects: u64,
        size_of_packed_objects: u64,
    }
}

answer! {
    /// An older state of a branch.
    ReflogEntryInfo {
        old_id: String,
        new_id: String,
        who: Option<GitPersonInfo>,
        comment: String,
    }
}

answer! {
    /// Rights in a project, as sections of a configuration.
    ProjectAccessInfo {
        revision: String,
        inherits_from: Option<ProjectInfo>,
        local: BTreeMap<String, serde_json::Value>,
        is_owner: bool,
        owner_of: Vec<String>,
        can_upload: bool,
        can_add: bool,
        can_add_tags: bool,
        config_visible: bool,
        groups: BTreeMap<String, serde_json::Value>,
        config_web_links: Vec<WebLinkInfo>,
    }
}
