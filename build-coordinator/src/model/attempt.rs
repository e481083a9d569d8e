use serde::{Deserialize, Serialize};

use super::{AttemptId, Cause, Step, Timestamp};

/// One try at a build, on one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Attempt {
    /// Which.
    pub id: AttemptId,
    /// Name of the machine it was given.
    pub machine: String,
    /// Which run of a coordinator works on it; see [`Store::instance`](crate::store::Store::instance). After a restart
    /// it tells whose attempts are orphans.
    pub owner: String,
    /// When it began.
    pub started: Timestamp,
    /// How it ended; `None` while it runs.
    pub end: Option<AttemptEnd>,
    /// Its machine is lost, or the coordinator was started again, and until then the machine may come back with what it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaited: Option<Timestamp>,
    /// Its steps in order, as far as they have begun.
    pub steps: Vec<Step>,
    /// Where its whole log is kept.
    pub log: Option<StoredLog>,
    /// What it left behind, in the order it was stored.
    pub artifacts: Vec<Artifact>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AttemptEnd {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
    /// More about it, for people.
    pub message: String,
}

/// A log that was put away when its attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLog {
    /// Name in [`blobs`](crate::blobs).
    pub blob: String,
    /// Bytes of text, before compression.
    pub bytes: u64,
    /// Bytes that were written and not kept, since the log was at its limit.
    pub dropped: u64,
}

/// A file that an attempt left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Path it had below the work directory. Made by whoever wrote the build: show it escaped, never open it.
    pub name: String,
    /// Name in [`blobs`](crate::blobs).
    pub blob: String,
    /// Its size.
    pub bytes: u64,
}

impl Attempt {
    /// Whether it has not ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.end.is_none()
    }

    /// Why it ended.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        self.end.as_ref().map(|end| end.cause)
    }
}
