/// Trailer of `/exec`: the [`LimitHit`], if one was.
pub const LIMIT_TRAILER: &str = "Process-Limit";

/// The limit that ended a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimitHit {
    /// It ran longer than it was allowed to.
    Timeout,
    /// It took more memory than it was allowed to.
    Memory,
    /// It wrote more output than it was allowed to.
    Output,
}

impl LimitHit {
    /// The trailer's text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::Output => "output",
        }
    }

    /// Reads the trailer; `None` for a limit of a later version.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Timeout, Self::Memory, Self::Output]
            .into_iter()
            .find(|limit| limit.as_str() == text)
    }
}
