use std::error::Error;

use buildlet_pool::{LostReason, Verdict};
use buildlet_proto::client::{CallError, ExecError};
use tokio::sync::watch;

use super::StageError;
use crate::model::{Cause, Span};

/// How an attempt ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Ending {
    /// Why.
    pub cause: Cause,
    /// More about it, for people.
    pub message: String,
    /// What is to be said of the machine.
    pub verdict: Verdict,
    /// What took how long.
    pub spans: Vec<Span>,
}

/// Ends attempts from outside. The first request counts. A clone ends the same attempt.
#[derive(Clone, Debug)]
pub struct Stop(watch::Sender<Option<StopReason>>);

/// Why an attempt is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// Somebody does not want it any more.
    Cancelled,
    /// A newer revision took its place.
    Superseded,
    /// The coordinator stops. The build is tried again by its next run.
    Stopping,
}

impl Ending {
    /// An attempt that the coordinator could not go on with.
    pub(crate) fn coordinator_lost(message: String) -> Self {
        Self {
            cause: Cause::CoordinatorLost,
            message,
            verdict: Verdict::Healthy,
            spans: Vec::new(),
        }
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Stop {
    /// Asks for the end. Whether this was the first to do so.
    #[expect(clippy::must_use_candidate, reason = "most only want it to end")]
    pub fn request(&self, reason: StopReason) -> bool {
        self.0.send_if_modified(|asked| {
            let first = asked.is_none();
            asked.get_or_insert(reason);
            first
        })
    }

    /// Waits until the end is asked for. Cancel safe.
    pub async fn requested(&self) -> StopReason {
        let mut asked = self.0.subscribe();
        loop {
            if let Some(reason) = *asked.borrow_and_update() {
                return reason;
            }
            // The sender is as old as this.
            let _ = asked.changed().await;
        }
    }
}

/// What the machinery, not the build, is to blame for.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) cause: Cause,
    pub(super) message: String,
    /// Whether the machine may be at fault.
    pub(super) suspect: bool,
}

impl StopReason {
    pub(crate) fn ending(self) -> (Cause, String) {
        match self {
            Self::Cancelled => (Cause::Cancelled, "its end was asked for".into()),
            Self::Superseded => (Cause::Superseded, "a newer revision took its place".into()),
            Self::Stopping => (Cause::CoordinatorLost, "the coordinator stopped".into()),
        }
    }
}

pub(super) fn of_lost(lost: &LostReason) -> (Cause, String) {
    let cause = match lost {
        LostReason::Preempted => Cause::Preempted,
        LostReason::Shutdown => Cause::CoordinatorLost,
        _ => Cause::LostBuildlet,
    };
    (cause, lost.to_string())
}

pub(super) fn of_exec(error: &ExecError) -> Trouble {
    let cause = match error {
        ExecError::Dead(_) => Cause::LostBuildlet,
        ExecError::Start(CallError::Unsupported(_)) => Cause::SetupError,
        _ => Cause::Network,
    };
    let suspect = cause != Cause::SetupError;
    Trouble {
        cause,
        message: chain(error),
        suspect,
    }
}

pub(super) fn of_call(what: &str, error: &CallError) -> Trouble {
    let cause = match error {
        CallError::Dead(_) => Cause::LostBuildlet,
        CallError::Refused { .. } | CallError::Unsupported(_) => Cause::SetupError,
        _ => Cause::Network,
    };
    let suspect = !matches!(error, CallError::Unsupported(_));
    Trouble {
        cause,
        message: format!("cannot {what}: {}", chain(error)),
        suspect,
    }
}

pub(super) fn no_source(error: &dyn Error) -> Trouble {
    Trouble {
        cause: Cause::SetupError,
        message: format!("cannot give the source: {}", chain(error)),
        suspect: false,
    }
}

/// The coordinator itself cannot go on; its next run tries again.
pub(super) fn of_stage(error: &StageError) -> Trouble {
    Trouble {
        cause: Cause::CoordinatorLost,
        message: chain(error),
        suspect: false,
    }
}

pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
