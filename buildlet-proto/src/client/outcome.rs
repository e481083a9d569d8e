use std::error::Error;
use std::fmt;

use http::HeaderMap;

use crate::types::ProcessState;
use crate::types::endpoint::PROCESS_STATE;
use crate::types::ext::{
    Enforced, ISOLATION_TRAILER, LIMIT_TRAILER, LimitHit, USAGE_TRAILER, Usage,
};

/// How a command ended.
///
/// Beyond the end itself, buildlets of this crate report more, once the client knows that it has one before it: from the first
/// status, heartbeat, or request that asks for an extension on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// Its end itself.
    pub state: ProcessState,
    /// What kept it from the rest of the machine, if the buildlet says so.
    pub enforced: Option<Enforced>,
    /// What it took, if the buildlet says so.
    pub usage: Option<Usage>,
    /// The limit that ended it, if one did and the buildlet says so.
    pub limit: Option<LimitHit>,
}

impl Outcome {
    /// An end without further reports, as every buildlet tells it.
    #[must_use]
    pub fn new(state: ProcessState) -> Self {
        Self {
            state,
            enforced: None,
            usage: None,
            limit: None,
        }
    }

    /// Itself if the command succeeded.
    ///
    /// # Errors
    ///
    /// When it did not.
    pub fn success(self) -> Result<Self, CommandFailed> {
        if self.state.is_success() {
            Ok(self)
        } else {
            Err(CommandFailed {
                outcome: Box::new(self),
            })
        }
    }

    pub(super) fn from_trailers(trailers: &HeaderMap) -> Option<Self> {
        let text = |name| {
            let value = trailers.get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()))
        };
        Some(Self {
            state: ProcessState::parse(&text(PROCESS_STATE)?),
            enforced: text(ISOLATION_TRAILER).and_then(|text| Enforced::parse(&text)),
            usage: text(USAGE_TRAILER).map(|text| Usage::parse(&text)),
            limit: text(LIMIT_TRAILER).and_then(|text| LimitHit::parse(&text)),
        })
    }
}

/// A command ran, or could not be started on the buildlet, and failed: a result like any other, which another buildlet would
/// give too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandFailed {
    /// Boxed, for an error that is small to pass on.
    outcome: Box<Outcome>,
}

impl CommandFailed {
    /// How it ended.
    #[must_use]
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }
}

impl fmt::Display for CommandFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.outcome.limit {
            Some(limit) => write!(f, "{} (limit: {})", self.outcome.state, limit.as_str()),
            None => self.outcome.state.fmt(f),
        }
    }
}

impl Error for CommandFailed {}
