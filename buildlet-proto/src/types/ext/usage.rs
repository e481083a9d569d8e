use std::fmt;
use std::time::Duration;

use super::{format_millis, millis, value_of};

/// Trailer of `/exec`: a [`Usage`].
pub const USAGE_TRAILER: &str = "Process-Usage";

/// What a command and all it started took. What the buildlet's system cannot tell is `None`.
///
/// ```
/// use buildlet_proto::types::ext::Usage;
/// use std::time::Duration;
/// let usage = Usage { user: Some(Duration::from_millis(1500)), peak_memory_bytes: Some(4096), ..Usage::default() };
/// assert_eq!(usage.to_string(), "user=1500ms peak-memory=4096");
/// assert_eq!(Usage::parse(&usage.to_string()), usage);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time in the programs, to the millisecond on the wire.
    pub user: Option<Duration>,
    /// Processor time in the kernel, to the millisecond on the wire.
    pub system: Option<Duration>,
    /// Time from start to end, to the millisecond on the wire.
    pub wall: Option<Duration>,
    /// The most memory at one time, in bytes: of the whole tree if a control group counted, else of the largest process.
    pub peak_memory_bytes: Option<u64>,
}

impl Usage {
    /// Reads the trailer; words of a later version are passed over.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let time = |key| value_of(text, key).and_then(|value| millis(value.as_bytes()));
        Self {
            user: time("user"),
            system: time("system"),
            wall: time("wall"),
            peak_memory_bytes: value_of(text, "peak-memory").and_then(|value| value.parse().ok()),
        }
    }
}

impl fmt::Display for Usage {
    /// The trailer's text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            ("user", self.user.map(format_millis)),
            ("system", self.system.map(format_millis)),
            ("wall", self.wall.map(format_millis)),
            (
                "peak-memory",
                self.peak_memory_bytes.map(|bytes| bytes.to_string()),
            ),
        ];
        let mut before = "";
        for (key, value) in words {
            if let Some(value) = value {
                write!(f, "{before}{key}={value}")?;
                before = " ";
            }
        }
        Ok(())
    }
}
