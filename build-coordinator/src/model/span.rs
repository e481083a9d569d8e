use serde::{Deserialize, Serialize};

use super::Timestamp;

/// What part of an attempt took how long: a line of its timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// What was done, as `get_source`, `write_source`, `step:test`.
    pub name: String,
    /// Particulars; may be empty.
    pub detail: String,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// Why it failed, if it did.
    pub error: Option<String>,
}
