#![expect(
    clippy::missing_errors_doc,
    reason = "every call fails for the reasons that `Error` lists"
)]

use http::Method;
use serde_json::json;

use super::Project;
use crate::error::Error;
use crate::id::{BranchName, ProjectName};
use crate::types::*;

/// What a project is set to.
impl Project {
    /// Gets the settings, those that are inherited included.
    pub async fn config(&self) -> Result<ConfigInfo, Error> {
        self.get_json("/config").await
    }

    /// Changes settings and returns all.
    pub async fn set_config(&self, input: &ConfigInput) -> Result<ConfigInfo, Error> {
        self.at(Method::PUT, "/config").json(input).fetch().await
    }

    /// Sets the description and returns it. `message` is for the commit that records it, or empty.
    pub async fn set_description(&self, text: &str, message: &str) -> Result<(), Error> {
        let input = json!({ "description": text, "commit_message": message });
        self.at(Method::PUT, "/description")
            .json(&input)
            .ignore()
            .await
    }

    /// Sets the project that this one inherits from.
    pub async fn set_parent(&self, parent: &ProjectName) -> Result<String, Error> {
        let input = json!({ "parent": parent.as_str() });
        self.at(Method::PUT, "/parent").json(&input).fetch().await
    }

    /// Sets the branch that `HEAD` is, and returns its whole name.
    pub async fn set_head(&self, branch: &BranchName) -> Result<String, Error> {
        let input = json!({ "ref": branch.as_str() });
        self.at(Method::PUT, "/HEAD").json(&input).fetch().await
    }

    /// Collects garbage in the repository and returns what git said of it.
    pub async fn gc(&self) -> Result<String, Error> {
        let said = self
            .at(Method::POST, "/gc")
            .json(&json!({}))
            .fetch_bytes()
            .await?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    }

    /// Changes the rights and returns all.
    pub async fn set_access(&self, input: &ProjectAccessInput) -> Result<ProjectAccessInfo, Error> {
        self.at(Method::POST, "/access").json(input).fetch().await
    }

    /// Lists the dashboards.
    pub async fn dashboards(&self) -> Result<Vec<DashboardInfo>, Error> {
        self.get_json("/dashboards/").await
    }

    /// Gets a dashboard, or with `default` the project's own.
    pub async fn dashboard(&self, id: &str) -> Result<DashboardInfo, Error> {
        self.get_json(&format!("/dashboards/{}", crate::escape_segment(id)))
            .await
    }

    /// Lists the labels that the project defines, without those that it inherits.
    pub async fn labels(&self) -> Result<Vec<LabelDefinitionInfo>, Error> {
        self.get_json("/labels/").await
    }

    /// Lists the labels that the project has, those that it inherits included.
    pub async fn all_labels(&self) -> Result<Vec<LabelDefinitionInfo>, Error> {
        let call = self.at(Method::GET, "/labels/");
        call.query("inherited", true).fetch().await
    }

    /// Gets a label that the project defines.
    pub async fn label(&self, name: &str) -> Result<LabelDefinitionInfo, Error> {
        self.get_json(&format!("/labels/{}", crate::escape_segment(name)))
            .await
    }

    /// Defines a label, or changes one.
    pub async fn set_label(
        &self,
        name: &str,
        input: &LabelDefinitionInput,
    ) -> Result<LabelDefinitionInfo, Error> {
        let path = format!("/labels/{}", crate::escape_segment(name));
        self.at(Method::PUT, &path).json(input).fetch().await
    }

    /// Deletes a label.
    pub async fn delete_label(&self, name: &str) -> Result<(), Error> {
        let path = format!("/labels/{}", crate::escape_segment(name));
        self.at(Method::DELETE, &path).finish().await
    }

    /// Lists the submit requirements that the project defines, without those that it inherits.
    pub async fn submit_requirements(&self) -> Result<Vec<SubmitRequirementInfo>, Error> {
        self.get_json("/submit_requirements").await
    }

    /// Gets a submit requirement that the project defines.
    pub async fn submit_requirement(&self, name: &str) -> Result<SubmitRequirementInfo, Error> {
        let name = crate::escape_segment(name);
        self.get_json(&format!("/submit_requirements/{name}")).await
    }

    /// Defines a submit requirement, or changes one.
    pub async fn set_submit_requirement(
        &self,
        input: &SubmitRequirementInput,
    ) -> Result<SubmitRequirementInfo, Error> {
        let name = crate::escape_segment(&input.name);
        let call = self.at(Method::PUT, &format!("/submit_requirements/{name}"));
        call.json(input).fetch().await
    }

    /// Deletes a submit requirement.
    pub async fn delete_submit_requirement(&self, name: &str) -> Result<(), Error> {
        let name = crate::escape_segment(name);
        let path = format!("/submit_requirements/{name}");
        self.at(Method::DELETE, &path).finish().await
    }
}
