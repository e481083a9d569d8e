//! What the fake remembers.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use http::StatusCode;

use super::git::{Commit, Files, Repository, hash_of};
use crate::time::Timestamp;
use crate::types::{ChangeStatus, ReviewerState};

/// As in names of people of `NoteDb`.
pub(super) const SERVER_ID: &str = "59d9095a-5263-436f-a1e2-b6453f17bccf";

/// The password of every account that a test does not give another.
pub(super) const PASSWORD: &str = "secret";

const FIRST_ACCOUNT: u64 = 1_000_000;

/// Everything.
#[derive(Debug)]
pub(super) struct State {
    pub(super) folder: Option<PathBuf>,
    pub(super) accounts: BTreeMap<u64, Account>,
    pub(super) projects: BTreeMap<String, Project>,
    pub(super) changes: BTreeMap<u64, Change>,
    pub(super) labels: BTreeMap<String, LabelRule>,
    pub(super) requests: u64,
    /// How many requests fail, and how.
    pub(super) failing: (u32, StatusCode, String),
    next_change: u64,
    next_id: u64,
    now: i64,
}

#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) number: u64,
    pub(super) username: String,
    pub(super) name: String,
    pub(super) email: String,
    pub(super) password: String,
    pub(super) is_admin: bool,
}

/// As `NoteDb` calls people.
pub(super) fn ident(number: u64) -> String {
    format!("Gerrit User {number} <{number}@{SERVER_ID}>")
}

#[derive(Debug)]
pub(super) struct Project {
    pub(super) description: String,
    pub(super) repository: Repository,
}

impl Project {
    pub(super) fn tip(&self, branch: &str) -> Option<&String> {
        self.repository.refs().get(&full_branch(branch))
    }

    /// The files at a commit, none at no commit.
    pub(super) fn files(&self, hash: Option<&String>) -> Files {
        let commit = hash.and_then(|hash| self.repository.get(hash));
        commit
            .map(|commit| commit.files.clone())
            .unwrap_or_default()
    }
}

pub(super) fn full_branch(branch: &str) -> String {
    if branch.starts_with("refs/") {
        branch.to_owned()
    } else {
        format!("refs/heads/{branch}")
    }
}

#[derive(Debug, Clone)]
pub(super) struct LabelRule {
    pub(super) min: i32,
    pub(super) max: i32,
    pub(super) is_optional: bool,
}

#[derive(Debug)]
pub(super) struct Change {
    pub(super) number: u64,
    pub(super) project: String,
    /// Without `refs/heads/`.
    pub(super) branch: String,
    pub(super) change_id: String,
    pub(super) owner: u64,
    pub(super) status: ChangeStatus,
    pub(super) topic: String,
    pub(super) hashtags: BTreeSet<String>,
    pub(super) is_private: bool,
    pub(super) is_wip: bool,
    pub(super) has_review_started: bool,
    pub(super) created: i64,
    pub(super) updated: i64,
    /// Who, when, as what.
    pub(super) submitted: Option<(u64, i64, String)>,
    pub(super) patch_sets: Vec<PatchSet>,
    pub(super) messages: Vec<Message>,
    pub(super) votes: BTreeMap<(String, u64), Vote>,
    pub(super) reviewers: BTreeMap<u64, ReviewerState>,
    pub(super) reviewer_updates: Vec<(i64, u64, u64, ReviewerState)>,
    pub(super) comments: Vec<Comment>,
    pub(super) drafts: Vec<Comment>,
    pub(super) attention: BTreeMap<u64, (i64, String)>,
    pub(super) removed_attention: BTreeMap<u64, (i64, String)>,
    /// The newest of `NoteDb`'s commits.
    pub(super) meta: String,
    /// Counts what was done, to tell apart what was done within a second.
    pub(super) turn: u64,
}

impl Change {
    pub(super) fn current(&self) -> &PatchSet {
        self.patch_sets.last().expect("a change begins with one")
    }

    pub(super) fn is_open(&self) -> bool {
        self.status == ChangeStatus::New
    }

    /// `refs/changes/NN/NUMBER/`, for a patch set or `meta`.
    pub(super) fn git_ref(&self, of: impl std::fmt::Display) -> String {
        format!("refs/changes/{:02}/{}/{of}", self.number % 100, self.number)
    }

    /// Whether `viewer`, or somebody without an account, sees it.
    pub(super) fn is_visible(&self, viewer: Option<u64>) -> bool {
        !self.is_private
            || viewer.is_some_and(|who| who == self.owner || self.reviewers.contains_key(&who))
    }
}

#[derive(Debug)]
pub(super) struct PatchSet {
    pub(super) number: u32,
    pub(super) commit: String,
    pub(super) uploader: u64,
    pub(super) created: i64,
    pub(super) description: String,
}

#[derive(Debug, Clone)]
pub(super) struct Message {
    /// That of `NoteDb`'s commit.
    pub(super) id: String,
    pub(super) author: u64,
    pub(super) date: i64,
    pub(super) text: String,
    pub(super) tag: String,
    pub(super) patch_set: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Vote {
    pub(super) value: i32,
    pub(super) date: i64,
    pub(super) tag: String,
}

#[derive(Debug, Clone)]
pub(super) struct Comment {
    pub(super) info: crate::types::CommentInfo,
    pub(super) author: u64,
}

/// Why the fake says no: a status and what it says.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) StatusCode, pub(super) String);

impl Refusal {
    pub(super) fn new(status: u16, text: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).expect("the fake has only real statuses");
        Self(status, text.into())
    }

    pub(super) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(404, format!("Not found: {what}"))
    }
}

/// The folder of a repository fails.
impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::new(500, error.to_string())
    }
}

impl State {
    pub(super) fn new(folder: Option<PathBuf>) -> Self {
        let code_review = LabelRule {
            min: -2,
            max: 2,
            is_optional: false,
        };
        let mut state = Self {
            folder,
            accounts: BTreeMap::new(),
            projects: BTreeMap::new(),
            changes: BTreeMap::new(),
            labels: BTreeMap::from([("Code-Review".to_owned(), code_review)]),
            requests: 0,
            failing: (0, StatusCode::OK, String::new()),
            next_change: 1,
            next_id: 1,
            now: 0,
        };
        let admin = state.add_account("admin", "Administrator", "admin@example.com", PASSWORD);
        if let Some(admin) = state.accounts.get_mut(&admin) {
            admin.is_admin = true;
        }
        state
    }

    /// Unix seconds, never less than before.
    pub(super) fn now(&mut self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
        self.now = self.now.max(now);
        self.now
    }

    /// More than any before.
    pub(super) fn next_turn(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Forty digits that no other call gave.
    pub(super) fn unique_digits(&mut self) -> String {
        hash_of(&[b"unique", self.next_turn().to_string().as_bytes()])
    }

    pub(super) fn add_account(
        &mut self,
        username: &str,
        name: &str,
        email: &str,
        password: &str,
    ) -> u64 {
        let number = self
            .accounts
            .keys()
            .next_back()
            .map_or(FIRST_ACCOUNT, |last| last + 1);
        let account = Account {
            number,
            username: username.to_owned(),
            name: name.to_owned(),
            email: email.to_owned(),
            password: password.to_owned(),
            is_admin: false,
        };
        self.accounts.insert(number, account);
        number
    }

    /// Finds an account by any of its ids.
    pub(super) fn account(&self, id: &str, viewer: Option<u64>) -> Option<&Account> {
        if id == "self" {
            return self.accounts.get(&viewer?);
        }
        if let Some(account) = id
            .parse()
            .ok()
            .and_then(|number: u64| self.accounts.get(&number))
        {
            return Some(account);
        }
        (self.accounts.values()).find(|account| {
            account.username == id
                || account.email.eq_ignore_ascii_case(id)
                || id == format!("{} <{}>", account.name, account.email)
        })
    }

    pub(super) fn take_change_number(&mut self) -> u64 {
        let number = self.next_change;
        self.next_change += 1;
        number
    }

    pub(super) fn project(&self, name: &str) -> Result<&Project, Refusal> {
        self.projects
            .get(name)
            .ok_or_else(|| Refusal::not_found(name))
    }

    /// The commit of a patch set.
    pub(super) fn commit(&self, change: &Change, patch_set: &PatchSet) -> Option<&Commit> {
        self.projects
            .get(&change.project)?
            .repository
            .get(&patch_set.commit)
    }
}

pub(super) fn timestamp(seconds: i64) -> Option<Timestamp> {
    let seconds = u64::try_from(seconds).ok()?;
    let time = UNIX_EPOCH.checked_add(std::time::Duration::from_secs(seconds))?;
    Timestamp::try_from(time).ok()
}
