use serde::{Deserialize, Serialize};

use super::Timestamp;

/// One step of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Step {
    /// Its place in the attempt, from 0.
    pub index: u32,
    /// What the configuration calls it; the coordinator's own steps have names too.
    pub name: String,
    /// When it began.
    pub started: Timestamp,
    /// Offset in the attempt's log of its first byte.
    pub log_start: u64,
    /// How it ended; `None` while it runs.
    pub outcome: Option<StepOutcome>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Offset in the attempt's log of the first byte after it.
    pub log_end: Option<u64>,
    /// What else is to be said, for people: `exit status 2`, limits that were not enforced.
    pub message: String,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepOutcome {
    /// As it should.
    Succeeded,
    /// The command says so.
    Failed,
    /// It failed, and the configuration says that this does not count.
    FailureIgnored,
    /// It took too long.
    TimedOut,
    /// The attempt ended for another reason while it ran.
    Interrupted,
    /// It was not run, since an earlier one failed.
    Skipped,
}

impl StepOutcome {
    /// Every outcome.
    pub const ALL: [Self; 6] = [
        Self::Succeeded,
        Self::Failed,
        Self::FailureIgnored,
        Self::TimedOut,
        Self::Interrupted,
        Self::Skipped,
    ];

    /// Its name in the store and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::FailureIgnored => "failure_ignored",
            Self::TimedOut => "timed_out",
            Self::Interrupted => "interrupted",
            Self::Skipped => "skipped",
        }
    }
}
