use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;
use tokio::time::Instant;

use crate::sync::fake_github::fault::Fault;

/// 2024-01-01.
const START: i64 = 1_704_067_200;
const MAX_REQUESTS: usize = 100_000;

/// A request that was answered, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FakeRequest {
    /// Path and query.
    pub path: String,
    /// The answer's status; 0 if there was none.
    pub status: u16,
    /// Whether it asked only for what is new.
    pub conditional: bool,
}

#[derive(Debug)]
pub(super) struct World {
    /// Seconds since 1970.
    pub(super) now: i64,
    pub(super) skew: i64,
    /// Since when the clock goes, and how many seconds were counted.
    pub(super) following: Option<(Instant, i64)>,
    last_id: i64,
    pub(super) users: BTreeMap<i64, String>,
    /// By id.
    pub(super) repos: BTreeMap<i64, Repo>,
    /// Ids by the names that repositories have or had.
    pub(super) names: BTreeMap<(String, String), i64>,
    pub(super) faults: VecDeque<Option<Fault>>,
    pub(super) failing: Vec<(String, Fault)>,
    pub(super) token: Option<String>,
    pub(super) app: Option<App>,
    pub(super) quota: u64,
    pub(super) used: u64,
    /// The hour that `used` is of.
    pub(super) hour: i64,
    pub(super) requests: Vec<FakeRequest>,
}

#[derive(Debug)]
pub(super) struct App {
    pub(super) id: String,
    pub(super) installation: u64,
    pub(super) public_key: Vec<u8>,
    /// With their ends.
    pub(super) tokens: Vec<(String, i64)>,
}

#[derive(Debug, Default)]
pub(super) struct Repo {
    pub(super) id: i64,
    pub(super) owner: String,
    pub(super) name: String,
    pub(super) hidden: bool,
    pub(super) issues_disabled: bool,
    pub(super) last_number: i32,
    pub(super) issues: BTreeMap<i32, Issue>,
    /// Names by id.
    pub(super) labels: BTreeMap<i64, String>,
    pub(super) milestones: BTreeMap<i64, Milestone>,
}

#[derive(Debug)]
pub(super) struct Milestone {
    pub(super) number: i32,
    pub(super) title: String,
    pub(super) closed: bool,
}

/// Users, labels and milestones are ids.
#[derive(Debug, Default)]
pub(super) struct Issue {
    pub(super) id: i64,
    pub(super) is_pull: bool,
    pub(super) user: i64,
    pub(super) title: String,
    pub(super) body: Option<String>,
    pub(super) closed: bool,
    pub(super) closed_at: Option<i64>,
    pub(super) locked: bool,
    pub(super) created: i64,
    pub(super) updated: i64,
    pub(super) milestone: Option<i64>,
    pub(super) assignees: Vec<i64>,
    pub(super) labels: BTreeSet<i64>,
    pub(super) comments: Vec<Comment>,
    pub(super) events: Vec<Event>,
    pub(super) reviews: Vec<Review>,
    pub(super) gone: Option<Gone>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Gone {
    Deleted,
    /// Never an issue: discussions have numbers of the same sequence.
    NotAnIssue,
    Transferred {
        repo: i64,
        number: i32,
    },
}

#[derive(Debug)]
pub(super) struct Comment {
    pub(super) id: i64,
    /// `None` for an account that is no more.
    pub(super) user: Option<i64>,
    pub(super) body: String,
    pub(super) created: i64,
    pub(super) updated: i64,
    pub(super) deleted: bool,
}

#[derive(Debug)]
pub(super) struct Event {
    pub(super) id: i64,
    pub(super) kind: String,
    pub(super) actor: Option<i64>,
    pub(super) created: i64,
    /// The fields that belong to the kind, an object.
    pub(super) fields: Value,
    /// The account that did it was deleted, and with it this.
    pub(super) removed: bool,
}

#[derive(Debug)]
pub(super) struct Review {
    pub(super) id: i64,
    pub(super) user: i64,
    pub(super) body: String,
    pub(super) state: String,
    pub(super) submitted: i64,
    pub(super) commit: String,
}

impl Default for World {
    fn default() -> Self {
        Self {
            now: START,
            skew: 0,
            following: None,
            last_id: 1000,
            users: BTreeMap::new(),
            repos: BTreeMap::new(),
            names: BTreeMap::new(),
            faults: VecDeque::new(),
            failing: Vec::new(),
            token: None,
            app: None,
            quota: 5000,
            used: 0,
            hour: 0,
            requests: Vec::new(),
        }
    }
}

impl World {
    pub(super) fn catch_up(&mut self) {
        if let Some((start, counted)) = &mut self.following {
            let passed = start.elapsed().as_secs().cast_signed();
            self.now += passed - *counted;
            *counted = passed;
        }
    }

    pub(super) fn new_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn repo_or_new(&mut self, owner: &str, name: &str) -> i64 {
        if let Some(id) = self.names.get(&(owner.to_owned(), name.to_owned())) {
            return *id;
        }
        let id = self.new_id();
        let repo = Repo {
            id,
            owner: owner.to_owned(),
            name: name.to_owned(),
            ..Repo::default()
        };
        self.repos.insert(id, repo);
        self.names.insert((owner.to_owned(), name.to_owned()), id);
        id
    }

    pub(super) fn user(&mut self, login: &str) -> i64 {
        let known = self.users.iter().find(|(_, known)| *known == login);
        if let Some((id, _)) = known {
            return *id;
        }
        let id = self.new_id();
        self.users.insert(id, login.to_owned());
        id
    }

    pub(super) fn log(&mut self, request: FakeRequest) {
        if self.requests.len() < MAX_REQUESTS {
            self.requests.push(request);
        }
    }
}
