#![expect(
    clippy::missing_errors_doc,
    reason = "every call fails for the reasons that `Error` lists"
)]

use std::collections::BTreeMap;

use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::id::ProjectName;
use crate::types::*;

/// The calls about the server itself, made by [`Client::server`].
#[derive(Debug, Clone)]
pub struct Server {
    client: Client,
}

impl Client {
    /// The calls about the server. Nothing is sent yet.
    #[must_use]
    pub fn server(&self) -> Server {
        Server {
            client: self.clone(),
        }
    }
}

impl Server {
    /// Gets the version, such as `3.10.0`.
    pub async fn version(&self) -> Result<String, Error> {
        self.client.get("/config/server/version").fetch().await
    }

    /// Lists the caches, by name. Administrators may.
    pub async fn caches(&self) -> Result<BTreeMap<String, CacheInfo>, Error> {
        self.client.get("/config/server/caches/").fetch().await
    }

    /// Empties a cache. Administrators may.
    pub async fn flush_cache(&self, name: &str) -> Result<(), Error> {
        let name = crate::escape_segment(name);
        let call = self
            .client
            .post(format!("/config/server/caches/{name}/flush"));
        call.ignore().await
    }

    /// Gets numbers about the server: tasks, memory, threads. Administrators may.
    pub async fn summary(&self) -> Result<Value, Error> {
        self.client.get("/config/server/summary").fetch().await
    }

    /// Lists what runs and waits on the server. Administrators may.
    pub async fn tasks(&self) -> Result<Vec<TaskInfo>, Error> {
        self.client.get("/config/server/tasks/").fetch().await
    }

    /// Lists the capabilities that can be given to groups, by id.
    pub async fn capabilities(&self) -> Result<BTreeMap<String, CapabilityInfo>, Error> {
        self.client.get("/config/server/capabilities").fetch().await
    }

    /// Lists the plugins, disabled ones included, by name. Administrators may.
    pub async fn plugins(&self) -> Result<BTreeMap<String, PluginInfo>, Error> {
        self.client.get("/plugins/").query("all", "").fetch().await
    }

    /// Gets the rights in several projects, by name.
    pub async fn access(
        &self,
        projects: impl IntoIterator<Item = ProjectName>,
    ) -> Result<BTreeMap<String, ProjectAccessInfo>, Error> {
        let call = self.client.get("/access/");
        call.query_all("project", projects).fetch().await
    }

    /// Gets what the server says about itself, as it says it.
    pub async fn info(&self) -> Result<Value, Error> {
        self.client.get("/config/server/info").fetch().await
    }
}
