#![expect(
    clippy::missing_errors_doc,
    reason = "every call fails for the reasons that `Error` lists"
)]

use std::collections::BTreeMap;

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::call::Call;
use crate::client::Client;
use crate::error::Error;
use crate::id::{AccountId, ChangeId};
use crate::query::Query;
use crate::types::*;

/// The calls about one account, made by [`Client::account`].
#[derive(Debug, Clone)]
pub struct Account {
    client: Client,
    path: String,
}

impl Client {
    /// The calls about an account. Nothing is sent yet.
    #[must_use]
    pub fn account(&self, id: &AccountId) -> Account {
        Account {
            client: self.clone(),
            path: format!("/accounts/{}", id.escaped()),
        }
    }
}

impl Account {
    /// Creates the account, which must be named by its user name. [`Conflict`](crate::ErrorKind::Conflict) if it exists.
    pub async fn create(&self, input: &AccountInput) -> Result<AccountInfo, Error> {
        self.client.put(&self.path).json(input).fetch().await
    }

    /// Gets the account.
    pub async fn get(&self) -> Result<AccountInfo, Error> {
        self.get_json("").await
    }

    /// Gets the account with everything that may be seen of it.
    pub async fn detail(&self) -> Result<AccountInfo, Error> {
        self.get_json("/detail").await
    }

    /// Lists the e-mail addresses.
    pub async fn emails(&self) -> Result<Vec<EmailInfo>, Error> {
        self.get_json("/emails").await
    }

    /// Lists the SSH keys.
    pub async fn ssh_keys(&self) -> Result<Vec<SshKeyInfo>, Error> {
        self.get_json("/sshkeys").await
    }

    /// Lists the identities outside Gerrit.
    pub async fn external_ids(&self) -> Result<Vec<AccountExternalIdInfo>, Error> {
        self.get_json("/external.ids").await
    }

    /// Lists the groups that the account is in.
    pub async fn groups(&self) -> Result<Vec<GroupInfo>, Error> {
        self.get_json("/groups").await
    }

    /// Says whether the account is active.
    pub async fn is_active(&self) -> Result<bool, Error> {
        // An inactive one is 204, without a body.
        let call = self.client.get(format!("{}/active", self.path));
        Ok(!call.fetch_bytes().await?.is_empty())
    }

    /// Sets the name; an empty one deletes it.
    pub async fn set_name(&self, name: &str) -> Result<(), Error> {
        self.put_json("/name", &json!({ "name": name }))
            .ignore()
            .await
    }

    /// Sets the name that is shown in place of the name; an empty one deletes it.
    pub async fn set_display_name(&self, name: &str) -> Result<(), Error> {
        let input = json!({ "display_name": name });
        self.put_json("/displayname", &input).ignore().await
    }

    /// Sets what the account says about itself, such as "out of office"; an empty text deletes it.
    pub async fn set_status(&self, status: &str) -> Result<(), Error> {
        self.put_json("/status", &json!({ "status": status }))
            .ignore()
            .await
    }

    /// Lets the account be used, or no longer. [`Conflict`](crate::ErrorKind::Conflict) if an inactive one is deactivated.
    pub async fn set_active(&self, is_active: bool) -> Result<(), Error> {
        let path = format!("{}/active", self.path);
        if is_active {
            self.client.put(path).ignore().await
        } else {
            self.client.delete(path).finish().await
        }
    }

    /// Sets the password for HTTP; at most 72 bytes. Administrators may.
    pub async fn set_http_password(&self, password: &str) -> Result<(), Error> {
        let input = json!({ "http_password": password });
        self.put_json("/password.http", &input).ignore().await
    }

    /// Has the server make a password for HTTP, and returns it.
    pub async fn generate_http_password(&self) -> Result<String, Error> {
        let input = json!({ "generate": true });
        self.put_json("/password.http", &input).fetch().await
    }

    /// Deletes the password for HTTP.
    pub async fn delete_http_password(&self) -> Result<(), Error> {
        let call = self.client.delete(format!("{}/password.http", self.path));
        call.finish().await
    }

    /// Adds an e-mail address. Only administrators may add one that is not confirmed by a mail.
    pub async fn add_email(&self, email: &str, input: &EmailInput) -> Result<EmailInfo, Error> {
        let path = format!("/emails/{}", crate::escape_segment(email));
        self.put_json(&path, input).fetch().await
    }

    /// Makes an e-mail address the preferred one.
    pub async fn prefer_email(&self, email: &str) -> Result<(), Error> {
        let email = crate::escape_segment(email);
        let call = self
            .client
            .put(format!("{}/emails/{email}/preferred", self.path));
        call.ignore().await
    }

    /// Removes an e-mail address.
    pub async fn delete_email(&self, email: &str) -> Result<(), Error> {
        let email = crate::escape_segment(email);
        let call = self.client.delete(format!("{}/emails/{email}", self.path));
        call.finish().await
    }

    /// Adds an SSH key, as it stands in a file `.pub`.
    pub async fn add_ssh_key(&self, key: &str) -> Result<SshKeyInfo, Error> {
        let call = self.client.post(format!("{}/sshkeys", self.path));
        let kind = HeaderValue::from_static("text/plain");
        let call = call.bytes(key.to_owned()).header(CONTENT_TYPE, kind);
        call.fetch().await
    }

    /// Removes an SSH key by its [`seq`](SshKeyInfo::seq).
    pub async fn delete_ssh_key(&self, seq: u64) -> Result<(), Error> {
        let call = self.client.delete(format!("{}/sshkeys/{seq}", self.path));
        call.finish().await
    }

    /// Gets what the account may do on the server, by capability.
    pub async fn capabilities(&self) -> Result<BTreeMap<String, Value>, Error> {
        self.get_json("/capabilities").await
    }

    /// Gets the preferences, as the server says them.
    pub async fn preferences(&self) -> Result<BTreeMap<String, Value>, Error> {
        self.get_json("/preferences").await
    }

    /// Changes preferences: those that `input` has. Returns all.
    pub async fn set_preferences(
        &self,
        input: &BTreeMap<String, Value>,
    ) -> Result<BTreeMap<String, Value>, Error> {
        self.put_json("/preferences", input).fetch().await
    }

    /// Lists the projects that the account gets mails about.
    pub async fn watched_projects(&self) -> Result<Vec<ProjectWatchInfo>, Error> {
        self.get_json("/watched.projects").await
    }

    /// Watches projects, or changes how; the others stay. Returns all.
    pub async fn watch_projects(
        &self,
        projects: &[ProjectWatchInfo],
    ) -> Result<Vec<ProjectWatchInfo>, Error> {
        let call = self.client.post(format!("{}/watched.projects", self.path));
        call.json(projects).fetch().await
    }

    /// Watches projects no longer; of each only `project` and `filter` are looked at.
    pub async fn unwatch_projects(&self, projects: &[ProjectWatchInfo]) -> Result<(), Error> {
        let projects = projects.iter().map(|one| {
            let filter = (!one.filter.is_empty()).then_some(&one.filter);
            json!({ "project": one.project, "filter": filter })
        });
        let projects: Vec<_> = projects.collect();
        let path = format!("{}/watched.projects:delete", self.path);
        self.client.post(path).json(&projects).finish().await
    }

    /// Lists the changes that the account has starred.
    pub async fn starred_changes(&self) -> Result<Vec<ChangeInfo>, Error> {
        self.get_json("/starred.changes").await
    }

    /// Stars a change, or no longer.
    pub async fn star(&self, change: &ChangeId, is_starred: bool) -> Result<(), Error> {
        let path = format!("{}/starred.changes/{change}", self.path);
        if is_starred {
            self.client.put(path).finish().await
        } else {
            self.client.delete(path).finish().await
        }
    }

    /// Deletes the account's drafts on the changes that `query` finds, or all.
    pub async fn delete_drafts(
        &self,
        query: Option<&Query>,
    ) -> Result<Vec<DeletedDraftCommentInfo>, Error> {
        let mut input = json!({});
        if let Some(query) = query {
            input["query"] = json!(query.to_string());
        }
        let call = self.client.post(format!("{}/drafts:delete", self.path));
        call.json(&input).fetch().await
    }

    fn put_json(&self, rest: &str, input: &impl serde::Serialize) -> Call<'_> {
        self.client.put(format!("{}{rest}", self.path)).json(input)
    }

    async fn get_json<T: serde::de::DeserializeOwned>(&self, rest: &str) -> Result<T, Error> {
        self.client
            .get(format!("{}{rest}", self.path))
            .fetch()
            .await
    }
}
