use std::collections::BTreeMap;

use serde_json::Value;

use super::macros::{answer, input};
use super::{ActionInfo, ProjectState};

answer! {
    /// What a project is set to.
    ConfigInfo {
        description: String,
        use_contributor_agreements: Option<InheritedBooleanInfo>,
        use_content_merge: Option<InheritedBooleanInfo>,
        use_signed_off_by: Option<InheritedBooleanInfo>,
        create_new_change_for_all_not_in_target: Option<InheritedBooleanInfo>,
        require_change_id: Option<InheritedBooleanInfo>,
        enable_signed_push: Option<InheritedBooleanInfo>,
        require_signed_push: Option<InheritedBooleanInfo>,
        reject_implicit_merges: Option<InheritedBooleanInfo>,
        private_by_default: Option<InheritedBooleanInfo>,
        work_in_progress_by_default: Option<InheritedBooleanInfo>,
        match_author_to_committer_date: Option<InheritedBooleanInfo>,
        enable_reviewer_by_email: Option<InheritedBooleanInfo>,
        reject_empty_commit: Option<InheritedBooleanInfo>,
        skip_adding_author_and_committer_as_reviewers: Option<InheritedBooleanInfo>,
        max_object_size_limit: Option<MaxObjectSizeLimitInfo>,
        default_submit_type: Option<SubmitTypeInfo>,
        submit_type: String,
        state: Option<ProjectState>,
        commentlinks: BTreeMap<String, Value>,
        plugin_config: BTreeMap<String, Value>,
        extension_panel_names: BTreeMap<String, Vec<String>>,
        theme: Option<Value>,
        actions: BTreeMap<String, ActionInfo>,
    }
}

answer! {
    /// A setting that can be inherited. `configured_value` is `TRUE`, `FALSE` or `INHERIT`.
    InheritedBooleanInfo {
        value: bool,
        configured_value: String,
        inherited_value: Option<bool>,
    }
}

answer! {
    /// How large an object of a push may be.
    MaxObjectSizeLimitInfo {
        /// In bytes.
        value: String,
        configured_value: String,
        summary: String,
    }
}

answer! {
    /// How changes are submitted.
    SubmitTypeInfo {
        value: String,
        configured_value: String,
        inherited_value: String,
    }
}

input! {
    /// Settings to be changed. What can be inherited is `TRUE`, `FALSE` or `INHERIT`.
    ConfigInput {
        optional {
            description: Option<String> => into,
            use_contributor_agreements: String => into,
            use_content_merge: String => into,
            use_signed_off_by: String => into,
            create_new_change_for_all_not_in_target: String => into,
            require_change_id: String => into,
            enable_signed_push: String => into,
            require_signed_push: String => into,
            reject_implicit_merges: String => into,
            private_by_default: String => into,
            work_in_progress_by_default: String => into,
            match_author_to_committer_date: String => into,
            enable_reviewer_by_email: String => into,
            reject_empty_commit: String => into,
            max_object_size_limit: String => into,
            submit_type: String => into,
            state: Option<ProjectState> => into,
            plugin_config_values: BTreeMap<String, Value> => into,
            commentlinks: BTreeMap<String, Value> => into,
            commit_message: String => into,
        }
    }
}

input! {
    /// Rights to be added and removed: sections of refs, as [`ProjectAccessInfo::local`](super::ProjectAccessInfo) shows them.
    ProjectAccessInput {
        optional {
            #[serde(rename = "add")]
            adding: BTreeMap<String, Value> => into,
            #[serde(rename = "remove")]
            removing: BTreeMap<String, Value> => into,
            parent: String => into,
            message: String => into,
        }
    }
}

answer! {
    /// A page of searches.
    DashboardInfo {
        id: String,
        project: String,
        defining_project: String,
        #[serde(rename = "ref")]
        git_ref: String,
        path: String,
        description: String,
        foreach: String,
        url: String,
        is_default: bool,
        title: String,
        sections: Vec<DashboardSectionInfo>,
    }
}

answer! {
    /// One search of a [`DashboardInfo`].
    DashboardSectionInfo {
        name: String,
        query: String,
    }
}

answer! {
    /// A label, as a project defines it.
    LabelDefinitionInfo {
        name: String,
        description: String,
        project_name: String,
        function: String,
        /// What each value means.
        values: BTreeMap<String, String>,
        default_value: i32,
        branches: Vec<String>,
        can_override: bool,
        copy_condition: String,
        allow_post_submit: bool,
        ignore_self_approval: bool,
    }
}

input! {
    /// How a label is defined.
    LabelDefinitionInput {
        optional {
            commit_message: String => into,
            name: String => into,
            description: String => into,
            function: String => into,
            /// Values such as `+1`, and what they mean.
            values: BTreeMap<String, String> => into,
            default_value: i32,
            branches: Vec<String> => into,
            can_override: Option<bool> => into,
            copy_condition: String => into,
            unset_copy_condition: bool,
            allow_post_submit: Option<bool> => into,
            ignore_self_approval: Option<bool> => into,
        }
    }
}

answer! {
    /// A submit requirement, as a project defines it.
    SubmitRequirementInfo {
        name: String,
        description: String,
        applicability_expression: String,
        submittability_expression: String,
        override_expression: String,
        allow_override_in_child_projects: bool,
    }
}

input! {
    /// How a submit requirement is defined.
    SubmitRequirementInput {
        always {
            name: String => into,
            submittability_expression: String => into,
        }
        optional {
            description: String => into,
            applicability_expression: String => into,
            override_expression: String => into,
            allow_override_in_child_projects: bool,
        }
    }
}
