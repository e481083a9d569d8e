use serde::{Deserialize, Serialize};

use super::{BuildId, Change, EventSeq, Timestamp};

/// A change as it was stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// Its place in the history of all builds.
    pub seq: EventSeq,
    /// What changed.
    pub build: BuildId,
    /// When.
    pub at: Timestamp,
    /// How.
    #[serde(flatten)]
    pub change: Change,
}
