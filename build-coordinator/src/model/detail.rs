use serde::{Deserialize, Serialize};

use super::{
    AfterAttempt, Artifact, Attempt, AttemptEnd, Build, BuildId, BuildState, CancelRequest, Cause,
    Change, Event, NewBuild, Step, StepOutcome, Timestamp,
};

/// A build and its attempts: the state machine that [`Change`]s move.
///
/// ```
/// use build_coordinator::model::*;
///
/// let asked = NewBuild {
///     key: BuildKey {
///         repository: "tools".into(),
///         revision: "0123456789abcdef0123456789abcdef01234567".parse()?,
///         builder: "linux-amd64".into(),
///         base: None,
///     },
///     branch: Some("main".into()),
///     host_type: "host-linux-amd64".into(),
///     purpose: Purpose::Head,
///     reason: "newest commit of main".into(),
/// };
/// let now = Timestamp::now();
/// let mut build = BuildDetail::new(BuildId(1), now, asked);
/// build.apply(now, &Change::AttemptStarted { attempt: 1, machine: "m1".into(), owner: "c1".into() })?;
/// build.apply(now, &Change::AttemptEnded {
///     attempt: 1,
///     cause: Cause::Failed,
///     message: "exit status 2".into(),
///     then: AfterAttempt::Done,
/// })?;
/// assert_eq!(build.build.cause(), Some(Cause::Failed));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BuildDetail {
    /// The build itself.
    #[serde(flatten)]
    pub build: Build,
    /// Its attempts, oldest first. What a [`Store`](crate::store::Store) gives has all of them.
    #[serde(rename = "attempt_list")]
    pub attempts: Vec<Attempt>,
}

/// Why a change cannot happen to a build as it stands. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum TransitionError {
    /// The build's state does not allow it.
    #[error("{change} cannot happen to a build that is {state}")]
    State {
        change: &'static str,
        state: &'static str,
    },
    /// It speaks of another attempt than it can.
    #[error("{change} speaks of attempt {attempt}, which is not the one it can happen to")]
    Attempt { change: &'static str, attempt: u32 },
    /// It speaks of another step than it can: they begin in order, and end before the next begins.
    #[error("{change} speaks of step {index}, which is not the one it can happen to")]
    Step { change: &'static str, index: u32 },
    /// The cause is none that this change can have.
    #[error("{change} cannot have the cause \"{cause}\"")]
    Cause { change: &'static str, cause: Cause },
    /// It has happened before, and can only once.
    #[error("{change} has happened already")]
    Repeated { change: &'static str },
}

impl BuildDetail {
    /// A build as it is after [`Change::Created`].
    #[must_use]
    pub fn new(id: BuildId, at: Timestamp, new: NewBuild) -> Self {
        let build = Build {
            id,
            key: new.key,
            branch: new.branch,
            host_type: new.host_type,
            purpose: new.purpose,
            reason: new.reason,
            state: BuildState::Queued { not_before: None },
            attempts: 0,
            created: at,
            queued: at,
            started: None,
            ended: None,
            cancel: None,
            message: String::new(),
        };
        Self {
            build,
            attempts: Vec::new(),
        }
    }

    /// Makes a build from its history. `None` if there are no events.
    ///
    /// # Errors
    ///
    /// [`TransitionError`] if these are not one build's events from the first on, in order.
    pub fn replay<'a>(
        events: impl IntoIterator<Item = &'a Event>,
    ) -> Result<Option<Self>, TransitionError> {
        let mut build: Option<Self> = None;
        for event in events {
            match (&mut build, &event.change) {
                (None, Change::Created(new)) => {
                    build = Some(Self::new(event.build, event.at, new.clone()));
                }
                (None, change) => {
                    return Err(TransitionError::State {
                        change: change.kind(),
                        state: "not created",
                    });
                }
                (Some(build), change) => build.apply(event.at, change)?,
            }
        }
        Ok(build)
    }

    /// Lets `change` happen at the time `at`.
    ///
    /// | change | happens to a build that is | which is then |
    /// |---|---|---|
    /// | `AttemptStarted`, of the next number | queued | running |
    /// | `MachineAwaited`, `AttemptAdopted`, `StepStarted`, `StepEnded` of the running attempt | running | running |
    /// | `CancelRequested`, once | running | running |
    /// | `AttemptEnded`, done | running | done |
    /// | `AttemptEnded`, to be tried again | running | queued; done if its end was asked for |
    /// | `ArtifactStored`, `LogStored` (once an attempt) | any | the same |
    /// | `Closed` | queued | done |
    /// | `Retried` | done | queued |
    ///
    /// If an end was asked for, the build's result is the attempt's cause where that is a verdict, for then it was faster;
    /// otherwise the cause that was asked for. A step that runs when its attempt ends is interrupted.
    ///
    /// It looks only at the attempt that `change` speaks of, so [`attempts`](Self::attempts) may lack the others.
    ///
    /// # Errors
    ///
    /// [`TransitionError`]; then nothing has changed.
    pub fn apply(&mut self, at: Timestamp, change: &Change) -> Result<(), TransitionError> {
        let kind = change.kind();
        match change {
            Change::Created(_) => Err(TransitionError::Repeated { change: kind }),
            Change::AttemptStarted {
                attempt,
                machine,
                owner,
            } => self.start(at, *attempt, machine, owner),
            Change::MachineAwaited { attempt, until, .. } => {
                self.running(kind, *attempt)?.awaited = Some(*until);
                Ok(())
            }
            Change::AttemptAdopted { attempt, owner } => {
                let attempt = self.running(kind, *attempt)?;
                attempt.owner.clone_from(owner);
                attempt.awaited = None;
                Ok(())
            }
            Change::StepStarted {
                attempt,
                index,
                name,
                log_offset,
            } => {
                let steps = &mut self.running(kind, *attempt)?.steps;
                let all_ended = steps.last().is_none_or(|last| last.outcome.is_some());
                if !all_ended || *index as usize != steps.len() {
                    return Err(TransitionError::Step {
                        change: kind,
                        index: *index,
                    });
                }
                steps.push(Step {
                    index: *index,
                    name: name.clone(),
                    started: at,
                    log_start: *log_offset,
                    outcome: None,
                    ended: None,
                    log_end: None,
                    message: String::new(),
                });
                Ok(())
            }
            Change::StepEnded {
                attempt,
                index,
                outcome,
                message,
                log_offset,
            } => {
                let step = self
                    .running(kind, *attempt)?
                    .steps
                    .last_mut()
                    .filter(|step| step.index == *index && step.outcome.is_none())
                    .ok_or(TransitionError::Step {
                        change: kind,
                        index: *index,
                    })?;
                step.outcome = Some(*outcome);
                step.ended = Some(at);
                step.log_end = Some(*log_offset);
                step.message.clone_from(message);
                Ok(())
            }
            Change::ArtifactStored {
                attempt,
                name,
                blob,
                bytes,
            } => {
                let artifacts = &mut self.attempt(kind, *attempt)?.artifacts;
                if artifacts.iter().any(|artifact| artifact.name == *name) {
                    return Err(TransitionError::Repeated { change: kind });
                }
                artifacts.push(Artifact {
                    name: name.clone(),
                    blob: blob.clone(),
                    bytes: *bytes,
                });
                Ok(())
            }
            Change::LogStored { attempt, log } => {
                let stored = &mut self.attempt(kind, *attempt)?.log;
                if stored.is_some() {
                    return Err(TransitionError::Repeated { change: kind });
                }
                *stored = Some(log.clone());
                Ok(())
            }
            Change::CancelRequested { cause, by } => self.request_cancel(at, *cause, by),
            Change::AttemptEnded {
                attempt,
                cause,
                message,
                then,
            } => self.end(at, *attempt, *cause, message, *then),
            Change::Closed { cause, message } => {
                if !matches!(self.build.state, BuildState::Queued { .. }) {
                    return Err(self.wrong_state(kind));
                }
                match cause {
                    Cause::Cancelled | Cause::Superseded | Cause::SetupError => {
                        self.done(at, *cause, message);
                        Ok(())
                    }
                    _ => Err(TransitionError::Cause {
                        change: kind,
                        cause: *cause,
                    }),
                }
            }
            Change::Retried { .. } => {
                if self.build.cause().is_none() {
                    return Err(self.wrong_state(kind));
                }
                self.build.state = BuildState::Queued { not_before: None };
                self.build.queued = at;
                self.build.ended = None;
                self.build.cancel = None;
                self.build.message.clear();
                Ok(())
            }
        }
    }

    fn start(
        &mut self,
        at: Timestamp,
        number: u32,
        machine: &str,
        owner: &str,
    ) -> Result<(), TransitionError> {
        const CHANGE: &str = "attempt_started";
        if !matches!(self.build.state, BuildState::Queued { .. }) {
            return Err(self.wrong_state(CHANGE));
        }
        if self.build.attempts.checked_add(1) != Some(number) {
            return Err(TransitionError::Attempt {
                change: CHANGE,
                attempt: number,
            });
        }
        self.build.state = BuildState::Running { attempt: number };
        self.build.attempts = number;
        self.build.started.get_or_insert(at);
        self.attempts.push(Attempt {
            id: self.build.id.attempt(number),
            machine: machine.to_owned(),
            owner: owner.to_owned(),
            started: at,
            end: None,
            awaited: None,
            steps: Vec::new(),
            log: None,
            artifacts: Vec::new(),
        });
        Ok(())
    }

    fn request_cancel(
        &mut self,
        at: Timestamp,
        cause: Cause,
        by: &str,
    ) -> Result<(), TransitionError> {
        const CHANGE: &str = "cancel_requested";
        if self.build.running_attempt().is_none() {
            return Err(self.wrong_state(CHANGE));
        }
        if !matches!(cause, Cause::Cancelled | Cause::Superseded) {
            return Err(TransitionError::Cause {
                change: CHANGE,
                cause,
            });
        }
        if self.build.cancel.is_some() {
            return Err(TransitionError::Repeated { change: CHANGE });
        }
        self.build.cancel = Some(CancelRequest {
            cause,
            by: by.to_owned(),
            at,
        });
        Ok(())
    }

    fn end(
        &mut self,
        at: Timestamp,
        number: u32,
        cause: Cause,
        message: &str,
        then: AfterAttempt,
    ) -> Result<(), TransitionError> {
        const CHANGE: &str = "attempt_ended";
        let attempt = self.running(CHANGE, number)?;
        if matches!(then, AfterAttempt::TryAgain { .. }) && !cause.is_infrastructure() {
            return Err(TransitionError::Cause {
                change: CHANGE,
                cause,
            });
        }
        attempt.awaited = None;
        attempt.end = Some(AttemptEnd {
            at,
            cause,
            message: message.to_owned(),
        });
        if let Some(step) = attempt
            .steps
            .last_mut()
            .filter(|step| step.outcome.is_none())
        {
            step.outcome = Some(StepOutcome::Interrupted);
            step.ended = Some(at);
        }
        match (&self.build.cancel, then) {
            (Some(cancel), _) if !cause.is_verdict() => self.done(at, cancel.cause, message),
            (_, AfterAttempt::Done) => self.done(at, cause, message),
            (_, AfterAttempt::TryAgain { not_before }) => {
                self.build.state = BuildState::Queued {
                    not_before: Some(not_before),
                };
                self.build.queued = at;
            }
        }
        Ok(())
    }

    fn done(&mut self, at: Timestamp, cause: Cause, message: &str) {
        self.build.state = BuildState::Done { cause };
        self.build.ended = Some(at);
        message.clone_into(&mut self.build.message);
    }

    fn running(
        &mut self,
        change: &'static str,
        number: u32,
    ) -> Result<&mut Attempt, TransitionError> {
        match self.build.state {
            BuildState::Running { attempt } if attempt == number => self.attempt(change, number),
            BuildState::Running { .. } => Err(TransitionError::Attempt {
                change,
                attempt: number,
            }),
            _ => Err(self.wrong_state(change)),
        }
    }

    fn attempt(
        &mut self,
        change: &'static str,
        number: u32,
    ) -> Result<&mut Attempt, TransitionError> {
        self.attempts
            .iter_mut()
            .find(|attempt| attempt.id.number == number)
            .ok_or(TransitionError::Attempt {
                change,
                attempt: number,
            })
    }

    fn wrong_state(&self, change: &'static str) -> TransitionError {
        let state = match self.build.state {
            BuildState::Queued { .. } => "queued",
            BuildState::Running { .. } => "running",
            BuildState::Done { .. } => "done",
        };
        TransitionError::State { change, state }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BuildKey, Purpose, StoredLog};

    fn build() -> BuildDetail {
        let new = NewBuild {
            key: BuildKey {
                repository: "r".into(),
                revision: "0".repeat(40).parse().unwrap(),
                builder: "b".into(),
                base: None,
            },
            branch: None,
            host_type: "h".into(),
            purpose: Purpose::Request,
            reason: String::new(),
        };
        BuildDetail::new(BuildId(1), time(0), new)
    }

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn started(attempt: u32) -> Change {
        Change::AttemptStarted {
            attempt,
            machine: "m".into(),
            owner: "o".into(),
        }
    }

    fn ended(attempt: u32, cause: Cause, then: AfterAttempt) -> Change {
        Change::AttemptEnded {
            attempt,
            cause,
            message: "why".into(),
            then,
        }
    }

    const AGAIN: AfterAttempt = AfterAttempt::TryAgain {
        not_before: Timestamp::EPOCH,
    };

    #[test]
    fn only_causes_of_the_infrastructure_are_tried_again() {
        for cause in Cause::ALL {
            let mut build = build();
            build.apply(time(1), &started(1)).unwrap();
            let result = build.apply(time(2), &ended(1, cause, AGAIN));
            if cause.is_infrastructure() {
                assert_eq!(result, Ok(()));
                build.apply(time(3), &started(2)).unwrap();
            } else {
                assert!(
                    matches!(result, Err(TransitionError::Cause { .. })),
                    "{cause}"
                );
                assert!(build.attempts[0].is_running());
            }
        }
    }

    #[test]
    fn a_cancelled_build_is_not_tried_again_and_a_verdict_that_was_faster_stands() {
        for (cause, result) in [
            (Cause::CoordinatorLost, Cause::Superseded),
            (Cause::Superseded, Cause::Superseded),
            (Cause::Failed, Cause::Failed),
        ] {
            let mut build = build();
            build.apply(time(1), &started(1)).unwrap();
            let cancel = Change::CancelRequested {
                cause: Cause::Superseded,
                by: "a newer one".into(),
            };
            build.apply(time(2), &cancel).unwrap();
            let again = if cause.is_infrastructure() {
                AGAIN
            } else {
                AfterAttempt::Done
            };
            build.apply(time(3), &ended(1, cause, again)).unwrap();
            assert_eq!(build.build.cause(), Some(result));
            assert_eq!(build.attempts[0].cause(), Some(cause));
        }
    }

    #[test]
    fn a_step_that_runs_when_its_attempt_ends_is_interrupted() {
        let mut build = build();
        build.apply(time(1), &started(1)).unwrap();
        let step = |index| Change::StepStarted {
            attempt: 1,
            index,
            name: "test".into(),
            log_offset: 7,
        };
        assert!(
            build.apply(time(1), &step(1)).is_err(),
            "steps count from 0"
        );
        build.apply(time(1), &step(0)).unwrap();
        assert!(build.apply(time(1), &step(1)).is_err(), "one at a time");
        build
            .apply(time(9), &ended(1, Cause::LostBuildlet, AfterAttempt::Done))
            .unwrap();
        assert_eq!(
            build.attempts[0].steps[0].outcome,
            Some(StepOutcome::Interrupted)
        );
        assert_eq!(build.attempts[0].steps[0].ended, Some(time(9)));
    }

    #[test]
    fn what_belongs_to_an_ended_attempt_may_come_late_but_once() {
        let mut build = build();
        build.apply(time(1), &started(1)).unwrap();
        build
            .apply(time(2), &ended(1, Cause::Network, AGAIN))
            .unwrap();
        build.apply(time(3), &started(2)).unwrap();
        let log = Change::LogStored {
            attempt: 1,
            log: StoredLog {
                blob: "x".into(),
                bytes: 1,
                dropped: 0,
            },
        };
        build.apply(time(4), &log).unwrap();
        let again = build.apply(time(4), &log);
        assert!(matches!(again, Err(TransitionError::Repeated { .. })));
        // But the first attempt does not run any more.
        let late = build.apply(time(5), &ended(1, Cause::Failed, AfterAttempt::Done));
        assert!(matches!(late, Err(TransitionError::Attempt { .. })));
    }

    #[test]
    fn what_is_done_can_be_retried_and_what_waits_closed() {
        let mut build = build();
        let close = Change::Closed {
            cause: Cause::Cancelled,
            message: "alice".into(),
        };
        build.apply(time(1), &close).unwrap();
        assert_eq!(build.build.cause(), Some(Cause::Cancelled));
        assert!(build.apply(time(2), &close).is_err());
        assert!(build.apply(time(2), &started(1)).is_err());
        build
            .apply(time(3), &Change::Retried { by: "bob".into() })
            .unwrap();
        assert_eq!(build.build.ended, None);
        build.apply(time(4), &started(1)).unwrap();
        assert!(
            build.apply(time(5), &close).is_err(),
            "it runs: ask for its end"
        );
    }
}
