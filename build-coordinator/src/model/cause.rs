use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why an attempt ended. Exactly one is true of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// All steps ran and none counts as failed.
    Succeeded,
    /// A command of the build says so by its own exit.
    Failed,
    /// A step, or the build, took longer than it may.
    TimedOut,
    /// Somebody asked for the end.
    Cancelled,
    /// A newer revision took its place.
    Superseded,
    /// The buildlet went away, or was found dead.
    LostBuildlet,
    /// The buildlet is there, but talking to it failed.
    Network,
    /// The machine was taken away by its owner, as cloud providers do.
    Preempted,
    /// The machine could not be made ready: no source, no disk, no work directory.
    SetupError,
    /// The coordinator ended while the attempt ran, and could not take it up again.
    CoordinatorLost,
}

/// The text names no [`Cause`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cause that an attempt ends with")]
pub struct UnknownCause;

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 10] = [
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

    /// Whether the fault lies with machines, networks or us, not with what was built. Only such attempts are repeated.
    #[must_use]
    pub fn is_infrastructure(self) -> bool {
        matches!(
            self,
            Self::LostBuildlet
                | Self::Network
                | Self::Preempted
                | Self::SetupError
                | Self::CoordinatorLost
        )
    }

    /// Whether it says something about what was built: succeeded, failed or timed out.
    #[must_use]
    pub fn is_verdict(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::TimedOut)
    }

    /// Its name in the store and in the API: `succeeded`, `timed_out`, `lost_buildlet`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
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
}

impl fmt::Display for Cause {
    /// For people: `timed out`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::TimedOut => "timed out",
            Self::LostBuildlet => "lost buildlet",
            Self::Network => "network error",
            Self::SetupError => "setup error",
            Self::CoordinatorLost => "coordinator lost",
            _ => self.as_str(),
        })
    }
}

impl FromStr for Cause {
    type Err = UnknownCause;

    /// The inverse of [`Cause::as_str`].
    fn from_str(text: &str) -> Result<Self, UnknownCause> {
        Self::ALL
            .into_iter()
            .find(|cause| cause.as_str() == text)
            .ok_or(UnknownCause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_has_one_name_in_json_and_in_the_store() {
        for cause in Cause::ALL {
            assert_eq!(cause.as_str().parse(), Ok(cause));
            let json = serde_json::to_string(&cause).unwrap();
            assert_eq!(json, format!("{:?}", cause.as_str()));
            assert!(!(cause.is_verdict() && cause.is_infrastructure()));
        }
    }
}
