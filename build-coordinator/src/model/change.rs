use serde::{Deserialize, Serialize};

use super::{Cause, MAX_MESSAGE, MAX_NAME, NewBuild, StepOutcome, StoredLog, Timestamp, clean};

/// Something that happens to a build. What each one needs and does is written at [`BuildDetail::apply`](super::BuildDetail::apply).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Change {
    /// It was asked for. Always the first.
    Created(NewBuild),
    /// A machine was found and work begins.
    AttemptStarted {
        /// The attempt's number: one more than there are.
        attempt: u32,
        /// Name of the machine.
        machine: String,
        /// Which run of a coordinator works on it.
        owner: String,
    },
    /// The connection to the attempt's machine is lost, or the coordinator was started again; the machine may go on, and come back.
    MachineAwaited {
        /// The running attempt.
        attempt: u32,
        /// Then it is waited for no longer.
        until: Timestamp,
        /// Why, for people.
        message: String,
    },
    /// The machine of the attempt came back with what it ran, and a run of a coordinator, perhaps another one, took that up.
    AttemptAdopted {
        /// The running attempt.
        attempt: u32,
        /// Which run of a coordinator works on it now.
        owner: String,
    },
    /// A step of the running attempt begins.
    StepStarted {
        /// The running attempt.
        attempt: u32,
        /// Its place: one more than the last one's, from 0.
        index: u32,
        /// Its name.
        name: String,
        /// Where its output begins in the log.
        log_offset: u64,
    },
    /// A step of the running attempt has ended.
    StepEnded {
        /// The running attempt.
        attempt: u32,
        /// Which.
        index: u32,
        /// How.
        outcome: StepOutcome,
        /// More about it, for people.
        message: String,
        /// Where its output ends in the log.
        log_offset: u64,
    },
    /// A file that an attempt left behind was stored.
    ArtifactStored {
        /// The attempt, running or ended.
        attempt: u32,
        /// Path below the work directory.
        name: String,
        /// Name in the blob store.
        blob: String,
        /// Its size.
        bytes: u64,
    },
    /// The whole log of an attempt was stored.
    LogStored {
        /// The attempt, running or ended.
        attempt: u32,
        /// Where, and how long it is.
        #[serde(flatten)]
        log: StoredLog,
    },
    /// The running attempt's end is asked for. It takes effect with the attempt's end.
    CancelRequested {
        /// [`Cause::Cancelled`] or [`Cause::Superseded`].
        cause: Cause,
        /// Who, for people.
        by: String,
    },
    /// The running attempt has ended.
    AttemptEnded {
        /// Which.
        attempt: u32,
        /// Why.
        cause: Cause,
        /// More about it, for people.
        message: String,
        /// What becomes of the build.
        then: AfterAttempt,
    },
    /// The build ends without another attempt, while it waits for one.
    Closed {
        /// [`Cause::Cancelled`] or [`Cause::Superseded`], or why no machine can ever run it: [`Cause::SetupError`].
        cause: Cause,
        /// Who or why, for people.
        message: String,
    },
    /// A build that was done is to be tried again.
    Retried {
        /// Who asked for it, for people.
        by: String,
    },
}

/// What becomes of a build when its attempt ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterAttempt {
    /// It is done, and the attempt's cause is its result.
    Done,
    /// It is tried again. Only after causes of the infrastructure.
    TryAgain {
        /// Not before.
        not_before: Timestamp,
    },
}

impl Change {
    /// Name of its kind, as it stands in the store and in the API.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Created(_) => "created",
            Self::AttemptStarted { .. } => "attempt_started",
            Self::MachineAwaited { .. } => "machine_awaited",
            Self::AttemptAdopted { .. } => "attempt_adopted",
            Self::StepStarted { .. } => "step_started",
            Self::StepEnded { .. } => "step_ended",
            Self::ArtifactStored { .. } => "artifact_stored",
            Self::LogStored { .. } => "log_stored",
            Self::CancelRequested { .. } => "cancel_requested",
            Self::AttemptEnded { .. } => "attempt_ended",
            Self::Closed { .. } => "closed",
            Self::Retried { .. } => "retried",
        }
    }

    /// Number of the attempt it speaks of.
    #[must_use]
    pub fn attempt(&self) -> Option<u32> {
        match self {
            Self::AttemptStarted { attempt, .. }
            | Self::MachineAwaited { attempt, .. }
            | Self::AttemptAdopted { attempt, .. }
            | Self::StepStarted { attempt, .. }
            | Self::StepEnded { attempt, .. }
            | Self::ArtifactStored { attempt, .. }
            | Self::LogStored { attempt, .. }
            | Self::AttemptEnded { attempt, .. } => Some(*attempt),
            Self::Created(_)
            | Self::CancelRequested { .. }
            | Self::Closed { .. }
            | Self::Retried { .. } => None,
        }
    }

    /// Cuts its texts to what a store keeps: [`MAX_NAME`] and [`MAX_MESSAGE`] bytes, without NUL.
    pub(crate) fn clean(&mut self) {
        match self {
            Self::Created(new) => new.clean(),
            Self::AttemptStarted { machine, owner, .. } => {
                clean(machine, MAX_NAME);
                clean(owner, MAX_NAME);
            }
            Self::AttemptAdopted { owner, .. } => clean(owner, MAX_NAME),
            Self::StepStarted { name, .. } => clean(name, MAX_NAME),
            Self::ArtifactStored { name, blob, .. } => {
                clean(name, MAX_MESSAGE);
                clean(blob, MAX_NAME);
            }
            Self::LogStored { log, .. } => clean(&mut log.blob, MAX_NAME),
            Self::CancelRequested { by, .. } | Self::Retried { by } => clean(by, MAX_MESSAGE),
            Self::MachineAwaited { message, .. }
            | Self::StepEnded { message, .. }
            | Self::AttemptEnded { message, .. }
            | Self::Closed { message, .. } => clean(message, MAX_MESSAGE),
        }
    }
}

impl NewBuild {
    pub(crate) fn clean(&mut self) {
        clean(&mut self.key.repository, MAX_NAME);
        clean(&mut self.key.builder, MAX_NAME);
        clean(&mut self.host_type, MAX_NAME);
        clean(&mut self.reason, MAX_MESSAGE);
        if let Some(branch) = &mut self.branch {
            clean(branch, MAX_NAME);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_says_its_kind_as_json_does() {
        for change in [
            Change::Retried { by: "me".into() },
            Change::MachineAwaited {
                attempt: 1,
                until: Timestamp::from_micros(5),
                message: "reset".into(),
            },
            Change::AttemptEnded {
                attempt: 3,
                cause: Cause::Network,
                message: "reset".into(),
                then: AfterAttempt::TryAgain {
                    not_before: Timestamp::from_micros(5),
                },
            },
            Change::LogStored {
                attempt: 1,
                log: StoredLog {
                    blob: "b".into(),
                    bytes: 1,
                    dropped: 0,
                },
            },
        ] {
            let json = serde_json::to_value(&change).unwrap();
            assert_eq!(json["kind"], change.kind());
            assert_eq!(serde_json::from_value::<Change>(json).unwrap(), change);
        }
    }
}
