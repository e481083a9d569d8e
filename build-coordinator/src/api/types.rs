use std::fmt;

use serde::{Deserialize, Serialize};

use crate::api::{Scope, Timestamp, Token};

/// Where a build or an attempt stands: still to come, or how it ended.
///
/// An attempt ends in exactly one of the last ten. Those from [`LostBuildlet`](Self::LostBuildlet) on are no fault of what was
/// built, and are tried again a bounded number of times; a build has the state of its last attempt, and
/// [`Waiting`](Self::Waiting) between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// For a machine, or for its turn.
    Waiting,
    /// On a machine.
    Running,
    /// Every step did.
    Succeeded,
    /// A step's own exit said so.
    Failed,
    /// A limit of the configuration was reached.
    TimedOut,
    /// Somebody asked for it.
    Cancelled,
    /// A newer revision took its place.
    Superseded,
    /// The machine went away.
    LostBuildlet,
    /// Talking to the machine failed.
    Network,
    /// The machine was taken for something else.
    Preempted,
    /// The machine could not be made ready.
    SetupError,
    /// The coordinator ended while it ran.
    CoordinatorLost,
}

impl State {
    /// Every state, in the order of their declaration.
    pub const ALL: [Self; 12] = [
        Self::Waiting,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Cancelled,
        Self::Superseded,
        Self::LostBuildlet,
        Self::Network,
        Self::Preempted,
        Self::SetupError,
        Self::CoordinatorLost,
    ];

    /// As JSON, metrics and the style sheet name it, such as `timed_out`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
            Self::LostBuildlet => "lost_buildlet",
            Self::Network => "network",
            Self::Preempted => "preempted",
            Self::SetupError => "setup_error",
            Self::CoordinatorLost => "coordinator_lost",
        }
    }

    /// The state of this [`name`](Self::name).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether it is over.
    #[must_use]
    pub fn has_ended(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }

    /// Whether what was built is at fault.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::TimedOut)
    }
}

/// One revision of a repository on one builder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Build {
    /// Its number, which never changes and is never used again.
    pub id: u64,
    /// The repository's name in the configuration.
    pub repository: String,
    /// The commit, forty hexadecimal digits (sixty-four in a repository of SHA-256).
    pub revision: String,
    /// The branch that it was found on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The commit of the repository that this one is built against, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_revision: Option<String>,
    /// The builder's name in the configuration.
    pub builder: String,
    /// Where it stands.
    pub state: State,
    /// When it was asked for.
    pub created: Timestamp,
    /// When its first attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// The first line of the commit's message. Written by anybody: escape it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The commit's author, `Name <address>`. Written by anybody: escape it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Its attempts, the first one first. Lists of builds leave them out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
}

/// One try of a build, on one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Counted from 1 within the build.
    pub number: u32,
    /// Where it stands: running, or how it ended.
    pub state: State,
    /// Why it ended so, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The machine's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// When it began.
    pub started: Timestamp,
    /// Until when its machine is waited for, while that is lost and may come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaited_until: Option<Timestamp>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// Its steps so far, in order.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// What took how long.
    #[serde(default)]
    pub spans: Vec<Span>,
    /// The files that were kept.
    #[serde(default)]
    pub artifacts: Vec<Artifact>,
    /// Bytes of log, as far as is known; a running attempt has more at any moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_bytes: Option<u64>,
}

/// One step of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its name in the configuration.
    pub name: String,
    /// Where it stands.
    pub state: State,
    /// Where its output begins in the log, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_offset: Option<u64>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// What its command ended with, as in `exit status 1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<String>,
}

/// A part of an attempt that took time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// What was done, as in `get_buildlet`.
    pub name: String,
    /// To what, or with which outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When it began.
    pub started: Timestamp,
    /// When it was over; missing while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
}

/// A file that an attempt left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its path in the work directory, with slashes. Written by the build: escape it.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Which builds to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildFilter {
    /// Of this repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Of this builder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub builder: Option<String>,
    /// Found on this branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Of revisions that begin so; at least four hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// In this state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Older than the build of this number: the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// At most so many; 50 unless told, and never more than [`MAX_LISTED`](super::MAX_LISTED).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// A list of builds, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Builds {
    /// Them, without their attempts.
    pub builds: Vec<Build>,
    /// What to ask for as `before` to get those that follow, if there may be any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_before: Option<u64>,
}

/// What is to be built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enqueue {
    /// The repository's name in the configuration.
    pub repository: String,
    /// A commit, a branch or a tag. Whatever it is, it is looked up and never becomes an option of git.
    pub revision: String,
    /// On this builder; on all that build the repository if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builder: Option<String>,
}

/// What came of an [`Enqueue`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enqueued {
    /// The builds, new ones and those that were there already.
    pub builds: Vec<u64>,
}

/// A command that has been taken, and will be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The build that it is about.
    pub build: u64,
}

/// What waits, in the order in which it would start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Queue {
    /// The first of them; at most [`MAX_LISTED`](super::MAX_LISTED).
    pub items: Vec<QueueItem>,
    /// How many wait in all.
    pub total: usize,
}

/// A build that waits, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueueItem {
    /// The build's number.
    pub build: u64,
    /// Its repository.
    pub repository: String,
    /// Its commit.
    pub revision: String,
    /// Its builder.
    pub builder: String,
    /// The type of machine that it needs.
    pub host_type: String,
    /// Its place among those that wait for such a machine, from 1.
    pub position: usize,
    /// Why it waits, in a sentence.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// When it will start, as far as past builds tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_start: Option<Timestamp>,
}

/// What builds run on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machines {
    /// By type of machine.
    pub pools: Vec<Pool>,
    /// Each of them, also those that went away lately.
    pub machines: Vec<Machine>,
}

/// The machines of one type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// The type.
    pub host_type: String,
    /// How many are here.
    pub connected: usize,
    /// How many there should be; 0 if the configuration does not say.
    pub expected: usize,
    /// How many of those here have nothing to do.
    pub idle: usize,
    /// How many of those here are in use.
    pub busy: usize,
    /// How many builds wait for one.
    pub waiting: usize,
}

/// One machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// What it calls itself. Written by anybody who has a key: escape it.
    pub name: String,
    /// Its type.
    pub host_type: String,
    /// What it does.
    pub state: MachineState,
    /// Why it is in that state, where that is not plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The version of its buildlet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Since when it is here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected: Option<Timestamp>,
    /// Since when it does what it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The build that runs on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<u64>,
    /// Whether somebody took it out of service.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drained: bool,
}

impl Machine {
    /// Whether taking it out of service, or back into it, is worth offering: for one that is away, only back into it.
    #[must_use]
    pub fn can_drain(&self) -> bool {
        self.drained || self.state != MachineState::Lost
    }
}

/// What a machine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MachineState {
    /// Nothing.
    Idle,
    /// A build.
    Busy,
    /// It ends what it does, and gets nothing new.
    Draining,
    /// Builds failed on it that should not have; it is tried again later.
    Quarantined,
    /// It is away.
    Lost,
}

impl MachineState {
    /// As JSON names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Draining => "draining",
            Self::Quarantined => "quarantined",
            Self::Lost => "lost",
        }
    }
}

/// How the coordinator and what it depends on are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// One for each thing that is looked at.
    pub checks: Vec<HealthCheck>,
}

/// What is known of one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// A short name, for addresses: `/status/ID`.
    pub id: String,
    /// What it is called on pages.
    pub title: String,
    /// What is to be said; nothing if all is well.
    pub lines: Vec<HealthLine>,
}

/// One remark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthLine {
    /// How bad it is.
    pub level: Level,
    /// It.
    pub text: String,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Good to know.
    Info,
    /// Somebody should look at it.
    Warn,
    /// It does not work.
    Error,
}

impl HealthCheck {
    /// The worst of its lines.
    #[must_use]
    pub fn level(&self) -> Option<Level> {
        self.lines.iter().map(|line| line.level).max()
    }
}

/// What every answer with a status of 400 or more says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// It.
    pub error: Problem,
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A word for programs, such as `not_found`.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

/// What a new token is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewToken {
    /// What people call it: whom it is for.
    pub name: String,
    /// What it allows.
    pub scope: Scope,
    /// When it ends by itself; never, if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// A token that was just made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedToken {
    /// What is known of it from now on.
    pub token: Token,
    /// It, in full. It is said this once: only its hash is kept.
    pub secret: String,
}

/// Not the secret.
impl fmt::Debug for CreatedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedToken")
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// All tokens, also those that ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// In the order in which they were made.
    pub tokens: Vec<Token>,
}

/// A token was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// Its public part.
    pub id: String,
}

/// A machine was taken out of service, or back into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// Its name.
    pub name: String,
    /// Whether it gets nothing new from now on.
    pub drained: bool,
    /// Whether it is here now; if not, the name is remembered.
    pub is_here: bool,
}

/// The configuration's files were read again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Whether they say something new.
    pub changed: bool,
    /// What of it is hardly meant, or takes a restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// When what of a log was written, as far as it was noted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogTimes {
    /// In the order of their offsets.
    pub marks: Vec<LogTime>,
}

/// What stands in a log from `offset` on, up to the next mark, was written at `time` or soon after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogTime {
    /// In bytes.
    pub offset: u64,
    /// Never earlier than that of the mark before.
    pub time: Timestamp,
}

/// What was removed, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    /// How many builds.
    pub builds: u64,
    /// Bytes of their logs and files, before compression.
    pub bytes: u64,
    /// When the last of them was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Timestamp>,
    /// Whether everything is still there.
    pub dry_run: bool,
}
