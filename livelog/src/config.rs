use std::time::Duration;

use crate::spill::Spill;

/// The largest size of a log in bytes, marker included, unless configured otherwise: 2 MiB, as upstream
/// (`MaxBufferSize` in `livelog/livelog.go`).
pub const MAX_BUFFER_SIZE: usize = 2 << 20;

/// What a log ends with when something was left out at its end: 23 bytes, without a newline.
///
/// Readers of stored logs search for it, so it is upstream's to the byte (`truncationMessage` in
/// `livelog/livelog.go`).
pub const TRUNCATION_MARKER: &str = "\n\n... log truncated ...";

/// What a [`Buffer`](crate::Buffer) keeps and where.
///
/// ```
/// use livelog::{Buffer, Config, Cut};
///
/// let config = Config::default().head_and_tail(256 << 10, 1 << 20).cut(Cut::Line);
/// let log = Buffer::with_config(config)?;
/// # Ok::<(), livelog::ConfigError>(())
/// ```
#[derive(Debug, Default)]
pub struct Config(Valid);

/// Where a log is cut that has become too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cut {
    /// At the byte, as upstream does.
    #[default]
    Byte,
    /// Before the UTF-8 character that does not fit.
    ///
    /// Bytes that earlier writes added were shown to readers and stay, so a character that came in two writes may
    /// still be cut.
    Char,
    /// After the last line that fits, if one ends in the write that does not fit, else as [`Char`](Self::Char). The
    /// tail begins with a line if one begins within its first 4 KiB.
    Line,
}

/// Why a [`Config`] makes no log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The limit has no room for the marker.
    LimitTooSmall {
        /// The limit that was asked for, in bytes.
        limit: usize,
        /// The smallest limit, in bytes: the marker's length.
        smallest: usize,
    },
    /// A log without a limit would take all memory; let it [spill](Config::spill).
    Unbounded,
    /// A tail is a ring in memory and cannot spill.
    TailCannotSpill,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Keep {
    Head { limit: usize },
    HeadAndTail { head: usize, tail: usize },
    All,
}

/// The parts of a [`Config`]; once [`Config::validate`] has seen them they agree.
#[derive(Debug)]
pub(crate) struct Valid {
    pub(crate) keep: Keep,
    pub(crate) cut: Cut,
    pub(crate) spill: Option<Spill>,
    pub(crate) time_index: Option<Duration>,
}

impl Config {
    /// Keeps the first `bytes` of the log, counting the marker that then ends it; [`MAX_BUFFER_SIZE`] by default.
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.0.keep = Keep::Head { limit: bytes };
        self
    }

    /// Keeps the first `head` and the last `tail` bytes; between them stands [how many were
    /// dropped](crate::Buffer::dropped).
    ///
    /// What a failing build has to say is mostly at its end. The marker is not counted; it takes at most 50 bytes.
    /// Memory is bounded by `head + tail` and two chunks of at most 64 KiB.
    #[must_use]
    pub fn head_and_tail(mut self, head: usize, tail: usize) -> Self {
        self.0.keep = Keep::HeadAndTail { head, tail };
        self
    }

    /// Keeps everything. Needs [`spill`](Self::spill).
    #[must_use]
    pub fn unlimited(mut self) -> Self {
        self.0.keep = Keep::All;
        self
    }

    /// Keeps what exceeds a threshold in a file instead of memory.
    #[must_use]
    pub fn spill(mut self, spill: Spill) -> Self {
        self.0.spill = Some(spill);
        self
    }

    /// Where the log is cut when it is full; [`Cut::Byte`] by default.
    #[must_use]
    pub fn cut(mut self, cut: Cut) -> Self {
        self.0.cut = cut;
        self
    }

    /// Notes when bytes were written, at most once per `interval`, for [`Buffer::time_at`](crate::Buffer::time_at).
    ///
    /// Off by default: it makes every write ask for the time. At most 4,096 notes (128 KiB) are kept; when they are
    /// used up every second one is dropped and the interval at least doubles, so a short log has fine times and a long one
    /// coarse times.
    #[must_use]
    pub fn time_index(mut self, interval: Duration) -> Self {
        self.0.time_index = Some(interval);
        self
    }

    pub(crate) fn validate(self) -> Result<Valid, ConfigError> {
        match self.0.keep {
            Keep::Head { limit } if limit < TRUNCATION_MARKER.len() => {
                return Err(ConfigError::LimitTooSmall {
                    limit,
                    smallest: TRUNCATION_MARKER.len(),
                });
            }
            Keep::HeadAndTail { .. } if self.0.spill.is_some() => {
                return Err(ConfigError::TailCannotSpill);
            }
            Keep::All if self.0.spill.is_none() => return Err(ConfigError::Unbounded),
            _ => {}
        }
        Ok(self.0)
    }
}

impl Default for Valid {
    fn default() -> Self {
        Self {
            keep: Keep::Head {
                limit: MAX_BUFFER_SIZE,
            },
            cut: Cut::Byte,
            spill: None,
            time_index: None,
        }
    }
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LimitTooSmall { limit, smallest } => {
                write!(
                    f,
                    "a limit of {limit} bytes has no room for the marker of {smallest}"
                )
            }
            Self::Unbounded => f.write_str("a log without a limit must spill to a file"),
            Self::TailCannotSpill => f.write_str("a log with head and tail cannot spill to a file"),
        }
    }
}

impl std::error::Error for ConfigError {}
