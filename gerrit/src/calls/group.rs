#![expect(
    clippy::missing_errors_doc,
    reason = "every call fails for the reasons that `Error` lists"
)]

use std::collections::BTreeMap;

use serde_json::json;

use crate::client::Client;
use crate::error::Error;
use crate::id::{AccountId, GroupId};
use crate::types::*;

/// The calls about one group, made by [`Client::group`].
#[derive(Debug, Clone)]
pub struct Group {
    client: Client,
    path: String,
}

impl Client {
    /// The calls about a group. Nothing is sent yet.
    #[must_use]
    pub fn group(&self, id: &GroupId) -> Group {
        Group {
            client: self.clone(),
            path: format!("/groups/{}", id.escaped()),
        }
    }

    /// Lists the groups, by name.
    pub async fn groups(&self) -> Result<BTreeMap<String, GroupInfo>, Error> {
        let mut groups: BTreeMap<String, GroupInfo> = self.get("/groups/").fetch().await?;
        for (name, group) in &mut groups {
            if group.name.is_empty() {
                group.name.clone_from(name);
            }
        }
        Ok(groups)
    }
}

impl Group {
    /// Gets the group.
    pub async fn get(&self) -> Result<GroupInfo, Error> {
        self.client.get(&self.path).fetch().await
    }

    /// Gets the group with its members and the groups in it.
    pub async fn detail(&self) -> Result<GroupInfo, Error> {
        self.client
            .get(format!("{}/detail", self.path))
            .fetch()
            .await
    }

    /// Creates the group, which must be named by its name.
    pub async fn create(&self, input: &GroupInput) -> Result<GroupInfo, Error> {
        self.client.put(&self.path).json(input).fetch().await
    }

    /// Lists the members, without those of the groups in it.
    pub async fn members(&self) -> Result<Vec<AccountInfo>, Error> {
        self.client
            .get(format!("{}/members", self.path))
            .fetch()
            .await
    }

    /// Lists the members, those of the groups in it included.
    pub async fn all_members(&self) -> Result<Vec<AccountInfo>, Error> {
        let call = self.client.get(format!("{}/members/", self.path));
        call.query("recursive", "").fetch().await
    }

    /// Adds a member.
    pub async fn add_member(&self, account: &AccountId) -> Result<AccountInfo, Error> {
        self.client.put(self.member(account)).fetch().await
    }

    /// Removes a member.
    pub async fn remove_member(&self, account: &AccountId) -> Result<(), Error> {
        self.client.delete(self.member(account)).finish().await
    }

    /// Lists the groups in it.
    pub async fn subgroups(&self) -> Result<Vec<GroupInfo>, Error> {
        self.client
            .get(format!("{}/groups/", self.path))
            .fetch()
            .await
    }

    /// Lists who added and removed whom.
    pub async fn audit_log(&self) -> Result<Vec<GroupAuditEventInfo>, Error> {
        self.client
            .get(format!("{}/log.audit", self.path))
            .fetch()
            .await
    }

    /// Adds members and returns those that were added or there already.
    pub async fn add_members(
        &self,
        accounts: impl IntoIterator<Item = AccountId>,
    ) -> Result<Vec<AccountInfo>, Error> {
        let call = self.client.post(format!("{}/members", self.path));
        call.json(&members(accounts)).fetch().await
    }

    /// Removes members.
    pub async fn remove_members(
        &self,
        accounts: impl IntoIterator<Item = AccountId>,
    ) -> Result<(), Error> {
        let call = self.client.post(format!("{}/members.delete", self.path));
        call.json(&members(accounts)).finish().await
    }

    /// Puts a group into this one.
    pub async fn add_subgroup(&self, group: &GroupId) -> Result<GroupInfo, Error> {
        let call = self
            .client
            .put(format!("{}/groups/{}", self.path, group.escaped()));
        call.fetch().await
    }

    /// Takes a group out of this one.
    pub async fn remove_subgroup(&self, group: &GroupId) -> Result<(), Error> {
        let path = format!("{}/groups/{}", self.path, group.escaped());
        self.client.delete(path).finish().await
    }

    /// Renames the group.
    pub async fn rename(&self, name: &str) -> Result<String, Error> {
        let call = self.client.put(format!("{}/name", self.path));
        call.json(&json!({ "name": name })).fetch().await
    }

    /// Sets the description; an empty one deletes it.
    pub async fn set_description(&self, text: &str) -> Result<(), Error> {
        let call = self.client.put(format!("{}/description", self.path));
        call.json(&json!({ "description": text })).ignore().await
    }

    /// Sets who may see the group.
    pub async fn set_visible_to_all(&self, is_visible: bool) -> Result<GroupOptionsInfo, Error> {
        let call = self.client.put(format!("{}/options", self.path));
        call.json(&json!({ "visible_to_all": is_visible }))
            .fetch()
            .await
    }

    /// Gets the group whose members may change this one.
    pub async fn owner(&self) -> Result<GroupInfo, Error> {
        self.client
            .get(format!("{}/owner", self.path))
            .fetch()
            .await
    }

    /// Sets the group whose members may change this one.
    pub async fn set_owner(&self, owner: &GroupId) -> Result<GroupInfo, Error> {
        let call = self.client.put(format!("{}/owner", self.path));
        call.json(&json!({ "owner": owner.as_str() })).fetch().await
    }

    fn member(&self, account: &AccountId) -> String {
        format!("{}/members/{}", self.path, account.escaped())
    }
}

fn members(accounts: impl IntoIterator<Item = AccountId>) -> serde_json::Value {
    let names: Vec<_> = accounts.into_iter().map(|one| one.to_string()).collect();
    json!({ "members": names })
}
