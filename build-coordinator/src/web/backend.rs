use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::watch;

use crate::api::{
    Build, BuildFilter, CreatedToken, Enqueue, Health, Machines, NewToken, Pruned, Queue, Reloaded,
    Scope, Timestamp, Token, TokenId,
};
pub use crate::blobs::TimeMark;
use crate::model::EventSeq;

/// What the pages and the API show, and what they ask for: the seam between them and a coordinator.
///
/// Every method may be called at once by many requests, and is dropped when its request ends: none may need to run to its end. What
/// strangers wrote (subjects, authors, names of machines, output) is given as it is; the pages escape it.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// The newest builds that match, without their attempts, at most `filter.limit` of them; the caller sets it.
    async fn builds(&self, filter: &BuildFilter) -> Result<Vec<Build>, BackendError>;

    /// A build with its attempts.
    async fn build(&self, id: u64) -> Result<Option<Build>, BackendError>;

    /// The repositories of the configuration, with the branches that are built.
    async fn repositories(&self) -> Result<Vec<Repository>, BackendError>;

    /// Commits, newest first, with the builds of each. `None` if there is no such repository.
    async fn grid(&self, query: &GridQuery) -> Result<Option<Grid>, BackendError>;

    /// What waits.
    async fn queue(&self) -> Result<Queue, BackendError>;

    /// Why a build waits, in a sentence; `None` if it does not.
    async fn why(&self, build: u64) -> Result<Option<String>, BackendError>;

    /// The machines as upstream's `/status/reverse.json` tells them.
    async fn reverse_status(&self) -> Result<String, BackendError>;

    /// What builds run on.
    async fn machines(&self) -> Result<Machines, BackendError>;

    /// How everything is.
    async fn health(&self) -> Result<Health, BackendError>;

    /// The builders and hosts of the configuration.
    async fn builders(&self) -> Result<Builders, BackendError>;

    /// The log of an attempt from an offset on, live if the attempt runs. `None` if there is none.
    async fn log(&self, build: u64, attempt: u32, from: u64) -> Result<Option<Log>, BackendError>;

    /// A file that an attempt left. `None` if there is none.
    async fn artifact(
        &self,
        build: u64,
        attempt: u32,
        name: &str,
    ) -> Result<Option<File>, BackendError>;

    /// Numbers for `/metrics`, beside those that the other methods tell.
    async fn samples(&self) -> Result<Vec<Sample>, BackendError>;

    /// The newest event: it changes whenever something happens to a build.
    fn changes(&self) -> watch::Receiver<EventSeq>;

    /// Whose token this is, if it is one that is good now. Tokens are compared in constant time, and are kept hashed.
    async fn authenticate(&self, token: &str) -> Result<Option<Identity>, BackendError>;

    /// Cancels a build that waits or runs.
    async fn cancel(&self, build: u64, by: &Actor) -> Result<(), CommandError>;

    /// Starts a build that is over once more.
    async fn retry(&self, build: u64, by: &Actor) -> Result<(), CommandError>;

    /// Adds builds.
    async fn enqueue(&self, what: &Enqueue, by: &Actor) -> Result<Vec<u64>, CommandError>;

    /// Takes a machine out of service, or back into it; whether it is here.
    async fn drain_machine(
        &self,
        name: &str,
        drained: bool,
        by: &Actor,
    ) -> Result<bool, CommandError>;

    /// Reads the configuration's files again. If they are not good, everything stays as it is.
    async fn reload(&self, by: &Actor) -> Result<Reloaded, CommandError>;

    /// Removes builds that are beyond what the configuration keeps, or says what that would be.
    async fn prune(&self, dry_run: bool, by: &Actor) -> Result<Pruned, CommandError>;

    /// All tokens.
    async fn tokens(&self) -> Result<Vec<Token>, BackendError>;

    /// Makes a token.
    async fn create_token(&self, what: &NewToken, by: &Actor)
    -> Result<CreatedToken, CommandError>;

    /// Takes a token back.
    async fn revoke_token(&self, id: &TokenId, by: &Actor) -> Result<(), CommandError>;
}

/// Who a token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What the token's maker called it.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
}

/// Who asked for a change, for the records: `local`, or the name of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor(String);

impl Actor {
    /// Somebody of this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// A repository and what of it is built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repository {
    /// Its name.
    pub name: String,
    /// The branches that are built, the main one first.
    pub branches: Vec<String>,
}

/// Which part of the grid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GridQuery {
    /// The repository; the first one of the configuration if empty.
    pub repository: String,
    /// The branch; the main one if empty.
    pub branch: String,
    /// Older than the page that gave this as [`Grid::next`].
    pub before: Option<i64>,
    /// Which page, counted from 0, the newest commits; counts only without `before`.
    pub page: usize,
    /// How many commits a page has.
    pub rows: usize,
}

/// Commits by builders.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grid {
    /// The repository that is shown.
    pub repository: String,
    /// The branch that is shown.
    pub branch: String,
    /// The columns.
    pub builders: Vec<String>,
    /// The commits, newest first.
    pub rows: Vec<GridRow>,
    /// Where the next, older ones begin; `None` at the end.
    pub next: Option<i64>,
}

/// A commit and its builds.
#[derive(Clone, Debug, PartialEq)]
pub struct GridRow {
    /// The commit.
    pub revision: String,
    /// The first line of its message.
    pub subject: String,
    /// `Name <address>`.
    pub author: String,
    /// When it was made.
    pub time: Timestamp,
    /// The commit of the repository that its builds were made against, where there is one: a commit has a row for each.
    pub base: Option<String>,
    /// One for each of [`Grid::builders`].
    pub cells: Vec<Option<Cell>>,
}

/// A build in the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Its number.
    pub build: u64,
    /// Where it stands.
    pub state: crate::api::State,
}

/// What `/builders` shows.
#[derive(Clone, Debug, Default)]
pub struct Builders {
    /// For people.
    pub rows: Vec<BuilderRow>,
    /// For people.
    pub hosts: Vec<HostRow>,
    /// The answer to `mode=json`, in upstream's form: `{"Builders": {...}, "Hosts": {...}}`.
    pub json: String,
}

/// A builder of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuilderRow {
    /// Its name.
    pub name: String,
    /// The type of machine that it needs.
    pub host_type: String,
    /// The names of its steps.
    pub steps: Vec<String>,
    /// The repositories that it builds.
    pub repositories: Vec<String>,
    /// What the configuration says about it.
    pub notes: String,
    /// The number of the problem that its failures are known for.
    pub known_issue: Option<u64>,
}

/// A type of machine of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostRow {
    /// Its name.
    pub name: String,
    /// How such machines come to be.
    pub kind: String,
    /// How many there should be.
    pub expected: usize,
    /// What the configuration says about it.
    pub notes: String,
}

/// A stream of bytes.
pub type ByteStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// An open log.
pub struct Log {
    /// Its bytes from the asked offset to the end. If the attempt runs, the stream waits for more.
    pub bytes: ByteStream,
    /// How long it was when it was opened.
    pub len: u64,
    /// Whether there may be more than that.
    pub is_live: bool,
    /// When what was written, as far as was noted.
    pub marks: Vec<TimeMark>,
}

/// An open file.
pub struct File {
    /// Its content.
    pub bytes: ByteStream,
    /// How long it is.
    pub len: u64,
}

/// One number for `/metrics`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Such as `build_coordinator_leases_total`: letters, digits and underscores. It is a counter if it ends in `_total`.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub help: &'static str,
    /// Names and values.
    pub labels: Vec<(&'static str, String)>,
    /// It.
    pub value: f64,
}

/// The coordinator could not answer. What went wrong is for its own log, and not shown to whoever asked.
#[derive(Debug, thiserror::Error)]
#[error("the coordinator cannot answer")]
pub struct BackendError(#[source] pub Box<dyn Error + Send + Sync>);

impl BackendError {
    /// Because of `source`.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// There is no such build, repository, builder or revision; the text says which.
    #[error("{0}")]
    NotFound(String),
    /// It cannot be done to that build as it is; the text says why.
    #[error("{0}")]
    Conflict(String),
    /// What was asked for makes no sense; the text says why.
    #[error("{0}")]
    Invalid(String),
    /// Nothing is taken now: the queue is full, or the coordinator stops. The text says which.
    #[error("{0}")]
    Unavailable(String),
    /// Something went wrong.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("len", &self.len)
            .field("is_live", &self.is_live)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}
