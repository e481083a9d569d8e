use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use rest_transport::{Body, Transport, TransportError, body};

use super::routes;
use super::serve::FakeServer;
use super::state::{LabelRule, PASSWORD, Refusal, State};
use super::upload::Upload;
use crate::auth::Auth;
use crate::client::Client;
use crate::config::Config;

/// A stateful Gerrit in this process; see the [module](crate::test_support). Clones are the same server.
#[derive(Debug, Clone)]
pub struct FakeGerrit {
    state: Arc<Mutex<State>>,
}

/// The fake was asked for what no Gerrit does, or its folder fails.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct FakeError {
    text: String,
}

impl From<Refusal> for FakeError {
    fn from(refusal: Refusal) -> Self {
        Self { text: refusal.1 }
    }
}

/// What is pushed for review: one commit upon a branch's tip, a new change or the next patch set of one.
#[derive(Debug, Clone)]
pub struct Push {
    pub(super) project: String,
    pub(super) message: String,
    pub(super) branch: String,
    pub(super) by: String,
    pub(super) change_id: Option<String>,
    pub(super) files: BTreeMap<String, Option<String>>,
}

impl Push {
    /// A commit for the branch `master` of `project`, by `admin`, that changes no file. The footer `Change-Id` is put at the message's end
    /// unless it is there.
    #[must_use]
    pub fn new(project: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            project: project.into(),
            message: message.into(),
            branch: "master".to_owned(),
            by: "admin".to_owned(),
            change_id: None,
            files: BTreeMap::new(),
        }
    }

    /// Which branch it is for.
    #[must_use]
    pub fn branch(mut self, branch: impl Into<String>) -> Self {
        self.branch = branch.into();
        self
    }

    /// Who pushes it, by user name: the owner of a new change.
    #[must_use]
    pub fn by(mut self, username: impl Into<String>) -> Self {
        self.by = username.into();
        self
    }

    /// The footer `Change-Id`: of an open change, if it is to have another patch set.
    #[must_use]
    pub fn change_id(mut self, change_id: impl Into<String>) -> Self {
        self.change_id = Some(change_id.into());
        self
    }

    /// What a file, given by its path, becomes.
    #[must_use]
    pub fn file(mut self, path: impl Into<String>, content: impl Into<String>) -> Self {
        self.files.insert(path.into(), Some(content.into()));
        self
    }

    /// Deletes a file.
    #[must_use]
    pub fn without_file(mut self, path: impl Into<String>) -> Self {
        self.files.insert(path.into(), None);
        self
    }
}

/// A label that changes are voted on.
#[derive(Debug, Clone)]
pub struct Label {
    name: String,
    rule: LabelRule,
}

impl Label {
    /// A label whose highest value is needed, and whose lowest forbids, to submit a change.
    ///
    /// # Panics
    ///
    /// When `range` does not reach from a negative value to a positive one: there would be nothing to vote.
    #[must_use]
    pub fn new(name: impl Into<String>, range: RangeInclusive<i32>) -> Self {
        let (min, max) = range.into_inner();
        assert!(min < 0 && max > 0, "a label has values on both sides of 0");
        let rule = LabelRule {
            min,
            max,
            is_optional: false,
        };
        Self {
            name: name.into(),
            rule,
        }
    }

    /// Lets changes be submitted whatever is voted.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.rule.is_optional = true;
        self
    }
}

impl Default for FakeGerrit {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeGerrit {
    /// A server with the account `admin`, the label `Code-Review` (-2 to +2) and no project, all in memory.
    #[must_use]
    pub fn new() -> Self {
        let state = Arc::new(Mutex::new(State::new(None)));
        Self { state }
    }

    /// The same, with a bare repository `folder/PROJECT.git` of each project. The folder stays when the fake goes.
    #[must_use]
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        let state = Arc::new(Mutex::new(State::new(Some(folder.into()))));
        Self { state }
    }

    /// Adds a project with the branch `master` and an empty commit.
    ///
    /// # Errors
    ///
    /// When it exists, its name is none, or its folder cannot be made.
    pub fn add_project(&self, name: &str) -> Result<(), FakeError> {
        Ok(self.lock().create_project(name, "", true, &[])?)
    }

    /// Adds an account with the address `username@example.org` and the password `secret`, and returns its number.
    ///
    /// # Errors
    ///
    /// When there is one.
    pub fn add_account(&self, username: &str) -> Result<u64, FakeError> {
        let mut state = self.lock();
        if state.account(username, None).is_some() {
            let text = format!("there is an account {username:?} already");
            return Err(FakeError { text });
        }
        let email = format!("{username}@example.org");
        Ok(state.add_account(username, username, &email, PASSWORD))
    }

    /// Adds a label to all projects, or changes one. Whoever has an account may give all its values, but of `Code-Review` only the middle ones.
    pub fn add_label(&self, label: Label) {
        self.lock().labels.insert(label.name, label.rule);
    }

    /// Pushes for review and returns the change's number.
    ///
    /// # Errors
    ///
    /// When the project, the branch or the account does not exist, or the change is closed, as git would say.
    pub fn push(&self, push: &Push) -> Result<u64, FakeError> {
        let mut state = self.lock();
        let who = state.account(&push.by, None).map(|account| account.number);
        let who = who.ok_or_else(|| FakeError {
            text: format!("there is no account {:?}", push.by),
        })?;
        let upload = Upload {
            project: &push.project,
            branch: &push.branch,
            message: &push.message,
            change_id: push.change_id.as_deref(),
            end: "\n",
            files: &push.files,
        };
        Ok(state.upload(who, &upload)?)
    }

    /// A client that asks this server in memory, as the account `username` with the password `secret`.
    ///
    /// # Panics
    ///
    /// Never: the address is right.
    #[must_use]
    pub fn client(&self, username: &str) -> Client {
        self.client_with(Config::default().auth(Auth::basic(username, PASSWORD)))
    }

    /// A client without an account.
    ///
    /// # Panics
    ///
    /// Never: the address is right.
    #[must_use]
    pub fn anonymous(&self) -> Client {
        self.client_with(Config::default())
    }

    fn client_with(&self, config: Config) -> Client {
        Client::new("http://gerrit.test", config.transport(self.clone()))
            .expect("the address and the settings are right")
    }

    /// Lets the next requests fail with a status, which is how servers are when they are restarted or have too much to do.
    ///
    /// # Panics
    ///
    /// When `status` is no status of HTTP.
    pub fn fail_next(&self, requests: u32, status: u16) {
        let status = StatusCode::from_u16(status).expect("a status of HTTP");
        let text = status.canonical_reason().unwrap_or_default().to_owned();
        self.lock().failing = (requests, status, text);
    }

    /// How many requests there were, failed ones included.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.lock().requests
    }

    /// The bare repository of a project, if the fake has a folder.
    #[must_use]
    pub fn repository(&self, project: &str) -> Option<PathBuf> {
        let state = self.lock();
        Some(state.projects.get(project)?.repository.dir()?.to_owned())
    }

    /// Serves it on a port of loopback, until the returned value is dropped: the calls, and git's reading of repositories at
    /// `URL/PROJECT` if the fake has a folder.
    ///
    /// # Errors
    ///
    /// When there is no port.
    pub async fn serve(&self) -> io::Result<FakeServer> {
        FakeServer::start(self.clone()).await
    }

    pub(super) fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        routes::answer(&mut self.lock(), request)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A test that panicked meanwhile tells why by itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Transport for FakeGerrit {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, TransportError> {
        let fake = self.clone();
        // It may write files.
        let answered = tokio::task::spawn_blocking(move || fake.answer(&request)).await;
        let response = answered.map_err(TransportError::broken)?;
        Ok(response.map(body))
    }
}
