use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::{Next, Plan, Progress, StepEnd};
use crate::model::{self, MAX_NAME, StepOutcome, Timestamp, clean};

/// How far an attempt has come: what is needed to go on with it on another stay of its machine, or in another run of the
/// coordinator.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) phase: Phase,
    pub(super) progress: Progress,
    /// When its steps must have ended.
    pub(super) deadline: Option<Instant>,
    /// The step that has begun and not ended.
    pub(super) open: Option<Open>,
    /// Names of artifacts that are stored.
    pub(super) kept: HashSet<String>,
    /// The machine may have a command that it keeps.
    pub(super) may_resume: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Source,
    Steps,
    Artifacts,
}

/// A step that has begun.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) index: usize,
    /// Its title is still to be written to the log.
    pub(super) untitled: bool,
    /// So much of its output is in the log.
    pub(super) taken: u64,
    /// The buildlet may have its command already.
    pub(super) sent: bool,
    /// How long the command may run.
    pub(super) limit: Option<Duration>,
}

impl Open {
    pub(super) fn new(index: usize) -> Self {
        Self {
            index,
            untitled: true,
            taken: 0,
            sent: false,
            limit: None,
        }
    }
}

/// What stands in the log before the output of a step.
pub(super) fn heading(title: &str) -> String {
    format!("##### {title}\n")
}

impl Course {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            phase: Phase::Source,
            progress: Progress::new(&plan.steps),
            deadline: None,
            open: None,
            kept: HashSet::new(),
            may_resume: false,
        }
    }

    /// How far an attempt of an earlier run had come, by what is stored of it and `logged`, the length of its log; and how much
    /// of the log to keep. `None` if it cannot be gone on with: no step had begun, the plan is another now, or the log lacks
    /// something.
    pub(super) fn of(plan: &Plan, attempt: &model::Attempt, logged: u64) -> Option<(Self, u64)> {
        let mut course = Self::new(plan);
        course.phase = Phase::Steps;
        course.may_resume = true;
        let first = attempt.steps.first()?;
        let mut keep = logged;
        for (place, step) in attempt.steps.iter().enumerate() {
            let next = course.progress.advance();
            let (index, runs) = match next {
                Next::Run(index) => (index, true),
                Next::Skip(index) => (index, false),
                Next::Done => return None,
            };
            let title = &plan.steps[index].title;
            let mut name = title.clone();
            clean(&mut name, MAX_NAME);
            if step.index as usize != index || step.name != name {
                return None;
            }
            let message = step.message.clone();
            let end = match step.outcome {
                Some(StepOutcome::Skipped) if !runs => continue,
                Some(StepOutcome::Succeeded) if runs => StepEnd::Succeeded,
                Some(StepOutcome::Failed | StepOutcome::FailureIgnored) if runs => {
                    StepEnd::Failed(message)
                }
                Some(StepOutcome::TimedOut) if runs => StepEnd::TimedOut(message),
                None if runs && place + 1 == attempt.steps.len() => {
                    let mut open = Open::new(index);
                    open.sent = true;
                    let output = step.log_start + heading(title).len() as u64;
                    if logged >= output {
                        open.untitled = false;
                        open.taken = logged - output;
                    } else if logged >= step.log_start {
                        keep = step.log_start;
                    } else {
                        return None;
                    }
                    course.open = Some(open);
                    break;
                }
                _ => return None,
            };
            if step.log_end.is_none_or(|end| end > logged) {
                return None;
            }
            course.progress.ended(end);
        }
        let ran = Timestamp::now().since(first.started);
        course.deadline = Instant::now().checked_add(plan.timeout.saturating_sub(ran));
        let artifacts = attempt.artifacts.iter();
        course.kept = artifacts.map(|artifact| artifact.name.clone()).collect();
        Some((course, keep))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AttemptId, BuildDetail, BuildId, Change};
    use crate::run::plan::test_plan;

    const STEPS: &str = "[[builder.test.step]]\nname = 'one'\nrun = ['true']\n\
        [[builder.test.step]]\nname = 'two'\nrun = ['true']\nwhen = 'failure'\n\
        [[builder.test.step]]\nname = 'three'\nrun = ['true']\n";

    fn id() -> AttemptId {
        BuildId(1).attempt(1)
    }

    fn attempt(plan: &Plan, changes: &[Change]) -> model::Attempt {
        let mut detail = BuildDetail {
            build: plan.build.clone(),
            attempts: Vec::new(),
        };
        let begun = Change::AttemptStarted {
            attempt: 1,
            machine: "m".into(),
            owner: "o".into(),
        };
        let now = Timestamp::now();
        for change in [begun].iter().chain(changes) {
            detail.apply(now, change).unwrap();
        }
        detail.attempts.remove(0)
    }

    fn began(index: u32, name: &str, log_offset: u64) -> Change {
        Change::StepStarted {
            attempt: 1,
            index,
            name: name.into(),
            log_offset,
        }
    }

    fn ended(index: u32, outcome: StepOutcome, log_offset: u64) -> Change {
        Change::StepEnded {
            attempt: 1,
            index,
            outcome,
            message: "exit status 1".into(),
            log_offset,
        }
    }

    #[test]
    fn a_step_goes_on_where_its_output_stops_in_the_log() {
        let plan = test_plan(STEPS);
        let begun = attempt(&plan, &[began(0, "one", 100)]);
        for (logged, kept, untitled, taken) in [
            (100, 100, true, 0),
            (105, 100, true, 0),
            (110, 110, false, 0),
            (117, 117, false, 7),
        ] {
            let (course, keep) = Course::of(&plan, &begun, logged).unwrap();
            let open = course.open.unwrap();
            assert_eq!(
                (keep, open.untitled, open.taken),
                (kept, untitled, taken),
                "{logged}"
            );
            assert_eq!((open.index, open.sent), (0, true));
        }
        assert!(
            Course::of(&plan, &begun, 99).is_none(),
            "the log lacks a byte"
        );
        assert_eq!(id(), begun.id);
    }

    #[test]
    fn steps_that_ended_are_not_run_again() {
        let plan = test_plan(STEPS);
        let changes = [
            began(0, "one", 0),
            ended(0, StepOutcome::Succeeded, 20),
            began(1, "two", 20),
            ended(1, StepOutcome::Skipped, 20),
        ];
        let (mut course, keep) = Course::of(&plan, &attempt(&plan, &changes), 20).unwrap();
        assert!(course.open.is_none());
        assert_eq!((course.progress.advance(), keep), (Next::Run(2), 20));
        assert!(Course::of(&plan, &attempt(&plan, &changes), 19).is_none());

        let changes = [began(0, "one", 0), ended(0, StepOutcome::Failed, 20)];
        let (mut course, _) = Course::of(&plan, &attempt(&plan, &changes), 20).unwrap();
        assert!(course.progress.has_failed());
        assert_eq!(course.progress.advance(), Next::Run(1));
    }

    #[test]
    fn another_plan_or_no_step_is_no_course() {
        let plan = test_plan(STEPS);
        assert!(Course::of(&plan, &attempt(&plan, &[]), 0).is_none());
        let other = attempt(&plan, &[began(0, "other", 0)]);
        assert!(Course::of(&plan, &other, 100).is_none());
        let skipped = [began(0, "one", 0), ended(0, StepOutcome::Skipped, 0)];
        assert!(Course::of(&plan, &attempt(&plan, &skipped), 100).is_none());
    }
}
