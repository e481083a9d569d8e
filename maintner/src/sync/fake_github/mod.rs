//! A GitHub for tests: repositories with issues that can be edited, and the REST interface to them, in the same process or over HTTP.
//!
//! ```
//! use maintner::sync::fake_github::FakeGithub;
//!
//! let github = FakeGithub::new();
//! let repo = github.repo("golang", "go");
//! let number = repo.open_issue("gopher", "it is slow", "see above");
//! repo.comment(number, "rsc", "how slow?");
//! repo.label(number, "Performance");
//! github.advance(60);
//! ```
//!
//! It is a [`Transport`](rest_transport::Transport) for a [`GithubClient`](crate::sync::github::GithubClient), and
//! [`serve`](FakeGithub::serve) has it listen. Every edit changes times as GitHub does, answers have tags, cursors, pages and limits as
//! GitHub's have, and [faults](Fault) can be ordered. Its clock stands still unless it is [advanced](FakeGithub::advance) or
//! [told to go](FakeGithub::follow_time).
//!
//! What it answers has the fields that GitHub's published description requires. It answers what
//! [`GithubSource`](crate::sync::github::GithubSource) asks for, reading only: lists of issues, single issues, comments, events, reviews,
//! labels, milestones, the repository itself and tokens of Apps.

mod answer;
mod check;
mod edit;
mod fault;
mod render;
mod serve;
mod world;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

pub use crate::sync::fake_github::edit::{FakeRepo, Reviewer};
pub use crate::sync::fake_github::fault::Fault;
pub use crate::sync::fake_github::serve::FakeServer;
pub use crate::sync::fake_github::world::FakeRequest;
use crate::sync::fake_github::world::{App, World};

/// The whole of it. Clones are the same one.
#[derive(Clone, Default)]
pub struct FakeGithub {
    world: Arc<Mutex<World>>,
}

impl FakeGithub {
    /// One without repositories, on 2024-01-01, that anybody may read.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A repository, which is made if there is none of this name.
    #[must_use]
    pub fn repo(&self, owner: &str, name: &str) -> FakeRepo {
        let id = self.lock().repo_or_new(owner, name);
        FakeRepo {
            github: self.clone(),
            id,
        }
    }

    /// Lets so many seconds pass.
    pub fn advance(&self, seconds: i64) {
        self.lock().now += seconds;
    }

    /// How much the clock in answers is ahead of the one by which edits are dated, in seconds.
    pub fn skew(&self, seconds: i64) {
        self.lock().skew = seconds;
    }

    /// Lets the next requests fail, one each.
    pub fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.lock().faults.extend(faults.into_iter().map(Some));
    }

    /// As [`fail_next`](Self::fail_next), with requests between that do not fail.
    pub fn script(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.lock().faults.extend(faults);
    }

    /// Lets each request whose path and query contain this text fail, until that is [taken back](Self::heal).
    pub fn fail_on(&self, part: impl Into<String>, fault: Fault) {
        self.lock().failing.push((part.into(), fault));
    }

    /// Takes back all faults that were ordered.
    pub fn heal(&self) {
        let mut world = self.lock();
        world.faults.clear();
        world.failing.clear();
    }

    /// Lets only this token in.
    pub fn require_token(&self, token: impl Into<String>) {
        self.lock().token = Some(token.into());
    }

    /// Lets only tokens in that an installation of this App got. They count for an hour of this clock. The key is the public one as DER
    /// (`RSAPublicKey` of RFC 8017).
    pub fn require_app(
        &self,
        id: impl Into<String>,
        installation: u64,
        public_key: impl Into<Vec<u8>>,
    ) {
        self.lock().app = Some(App {
            id: id.into(),
            installation,
            public_key: public_key.into(),
            tokens: Vec::new(),
        });
    }

    /// Ends the tokens of the App, as if somebody had revoked them.
    pub fn revoke_tokens(&self) {
        if let Some(app) = &mut self.lock().app {
            app.tokens.clear();
        }
    }

    /// So many requests each hour of this clock; answers that nothing is new do not count. 5000 by default.
    pub fn quota(&self, requests: u64) {
        let mut world = self.lock();
        world.quota = requests;
        world.used = 0;
    }

    /// The requests since this was last asked, oldest first; of more than 100,000 the first ones.
    #[must_use]
    pub fn requests(&self) -> Vec<FakeRequest> {
        std::mem::take(&mut self.lock().requests)
    }

    /// Lets its clock go on with tokio's, which a test may have paused.
    pub fn follow_time(&self) {
        self.lock().following = Some((Instant::now(), 0));
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.catch_up();
        world
    }
}

impl std::fmt::Debug for FakeGithub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let world = self.lock();
        let names = world.repos.values().map(|repo| (&repo.owner, &repo.name));
        f.debug_set().entries(names).finish()
    }
}
