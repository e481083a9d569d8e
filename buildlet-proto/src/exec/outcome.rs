use super::Enforcement;
use crate::types::ProcessState;
use crate::types::ext::{LimitHit, Usage};

/// How a command ended, and what it took.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// How the command itself ended, whatever became of what it had started. That it could not be started is a state too:
    /// [`ProcessState::Other`] with the text of the Go programs.
    pub state: ProcessState,
    /// The limit that ended it, if one did; `state` is then mostly `signal: killed`.
    pub limit: Option<LimitHit>,
    /// [`Running::kill`](super::Running::kill) ended it.
    pub killed: bool,
    /// What kept it from the rest of the machine.
    pub enforced: Enforcement,
    /// What it took. Processes that outlived the command count only with a control group; peak memory is that of the largest process
    /// without one.
    pub usage: Usage,
    /// How many processes it had left behind, and were killed. Without a [`Launcher`](super::Launcher) those of its process group are not
    /// counted when the output had ended already.
    pub strays: usize,
    /// How many could not be killed.
    pub left: usize,
}

impl Outcome {
    /// Of a command that did not run, or of which nothing is known.
    pub(super) fn failed(text: impl Into<String>, enforced: Enforcement) -> Self {
        Self {
            state: ProcessState::Other(text.into()),
            limit: None,
            killed: false,
            enforced,
            usage: Usage::default(),
            strays: 0,
            left: 0,
        }
    }
}
