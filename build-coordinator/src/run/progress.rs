use dashboard_config::When;

use super::PlannedStep;
use crate::model::{Cause, StepOutcome};

/// Which step of an attempt is next, and how the attempt ended. No I/O, no clock.
///
/// Steps run in order. After one that failed only those run that are for failures or for both; after one that failed and
/// says to go on, all run, and the attempt has failed nevertheless.
#[derive(Clone, Debug)]
pub struct Progress {
    rules: Vec<Rules>,
    next: usize,
    /// The first failure that counts.
    failure: Option<(Cause, String)>,
    /// Whether steps for success are passed over.
    stopped: bool,
}

#[derive(Clone, Debug)]
struct Rules {
    title: String,
    when: When,
    allow_failure: bool,
    continue_on_failure: bool,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Run this step, then say how it [ended](Progress::ended).
    Run(usize),
    /// Note this step as skipped.
    Skip(usize),
    /// There are no more steps.
    Done,
}

/// How the command of a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepEnd {
    /// As it should.
    Succeeded,
    /// It failed, and this is said of it: `exit status 2`.
    Failed(String),
    /// It took too long; this is said of it.
    TimedOut(String),
}

impl Progress {
    /// The beginning of an attempt with these steps.
    #[must_use]
    pub fn new(steps: &[PlannedStep]) -> Self {
        let rules = steps.iter().map(|step| Rules {
            title: step.title.clone(),
            when: step.when,
            allow_failure: step.allow_failure,
            continue_on_failure: step.continue_on_failure,
        });
        Self {
            rules: rules.collect(),
            next: 0,
            failure: None,
            stopped: false,
        }
    }

    /// What is next. A step that is to run is next until it has [ended](Self::ended).
    pub fn advance(&mut self) -> Next {
        let Some(rules) = self.rules.get(self.next) else {
            return Next::Done;
        };
        let runs = match rules.when {
            When::Success => !self.stopped,
            when => when.applies(self.failure.is_some()),
        };
        if runs {
            return Next::Run(self.next);
        }
        self.next += 1;
        Next::Skip(self.next - 1)
    }

    /// The step that is next has ended. Gives what it counts as, and what is said of it.
    pub fn ended(&mut self, end: StepEnd) -> (StepOutcome, String) {
        let rules = &self.rules[self.next];
        self.next += 1;
        let (cause, outcome, message) = match end {
            StepEnd::Succeeded => return (StepOutcome::Succeeded, String::new()),
            StepEnd::Failed(_) if rules.allow_failure => {
                (None, StepOutcome::FailureIgnored, end.into_message())
            }
            StepEnd::TimedOut(_) if rules.allow_failure => {
                (None, StepOutcome::TimedOut, end.into_message())
            }
            StepEnd::Failed(message) => (Some(Cause::Failed), StepOutcome::Failed, message),
            StepEnd::TimedOut(message) => (Some(Cause::TimedOut), StepOutcome::TimedOut, message),
        };
        if let Some(cause) = cause {
            self.stopped |= !rules.continue_on_failure;
            let said = format!("{}: {message}", rules.title);
            self.failure.get_or_insert((cause, said));
        }
        (outcome, message)
    }

    /// Whether something failed that counts.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// What the steps so far come to: a cause that is a verdict, and what is said of it.
    #[must_use]
    pub fn verdict(self) -> (Cause, String) {
        self.failure.unwrap_or((Cause::Succeeded, String::new()))
    }
}

impl StepEnd {
    fn into_message(self) -> String {
        match self {
            Self::Succeeded => String::new(),
            Self::Failed(message) | Self::TimedOut(message) => message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(changes: &[fn(&mut PlannedStep)]) -> Progress {
        let steps: Vec<_> = (changes.iter().enumerate())
            .map(|(at, change)| {
                let mut step = PlannedStep::of(&format!("s{at}"));
                change(&mut step);
                step
            })
            .collect();
        Progress::new(&steps)
    }

    /// What runs when these steps fail, and the verdict.
    fn run(mut progress: Progress, failing: &[usize]) -> (Vec<usize>, Cause, String) {
        let mut ran = Vec::new();
        loop {
            match progress.advance() {
                Next::Done => break,
                Next::Skip(_) => {}
                Next::Run(at) => {
                    ran.push(at);
                    let fails = failing.contains(&at);
                    progress.ended(if fails {
                        StepEnd::Failed("exit status 1".into())
                    } else {
                        StepEnd::Succeeded
                    });
                }
            }
        }
        let (cause, message) = progress.verdict();
        (ran, cause, message)
    }

    const PLAIN: fn(&mut PlannedStep) = |_| ();
    const ON_FAILURE: fn(&mut PlannedStep) = |step| step.when = When::Failure;
    const ALWAYS: fn(&mut PlannedStep) = |step| step.when = When::Always;
    const ALLOWED: fn(&mut PlannedStep) = |step| step.allow_failure = true;
    const GOES_ON: fn(&mut PlannedStep) = |step| step.continue_on_failure = true;

    #[test]
    fn a_failure_passes_over_what_is_for_success() {
        let (ran, cause, message) = run(steps(&[PLAIN, PLAIN, ON_FAILURE, ALWAYS]), &[0]);
        assert_eq!(
            (ran, cause, message.as_str()),
            (vec![0, 2, 3], Cause::Failed, "s0: exit status 1")
        );
        let (ran, cause, _) = run(steps(&[PLAIN, PLAIN, ON_FAILURE, ALWAYS]), &[]);
        assert_eq!((ran, cause), (vec![0, 1, 3], Cause::Succeeded));
    }

    #[test]
    fn a_failure_that_is_allowed_changes_nothing() {
        let (ran, cause, _) = run(steps(&[ALLOWED, PLAIN, ON_FAILURE]), &[0]);
        assert_eq!((ran, cause), (vec![0, 1], Cause::Succeeded));
    }

    #[test]
    fn a_failure_that_goes_on_counts_at_the_end() {
        let (ran, cause, message) = run(steps(&[GOES_ON, PLAIN, PLAIN, ON_FAILURE]), &[0, 1]);
        assert_eq!((ran, cause), (vec![0, 1, 3], Cause::Failed));
        assert!(
            message.starts_with("s0"),
            "the first failure is the one that is told"
        );
    }

    #[test]
    fn the_first_failure_decides_the_cause() {
        let mut progress = steps(&[GOES_ON, PLAIN]);
        progress.advance();
        progress.ended(StepEnd::TimedOut("after 3s".into()));
        progress.advance();
        progress.ended(StepEnd::Failed("exit status 1".into()));
        assert_eq!(progress.verdict(), (Cause::TimedOut, "s0: after 3s".into()));
    }

    #[test]
    fn no_steps_are_a_success() {
        assert_eq!(run(steps(&[]), &[]).1, Cause::Succeeded);
    }
}
