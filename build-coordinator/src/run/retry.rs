use dashboard_config::Retry;

use crate::model::{AfterAttempt, Attempt, Cause, Timestamp};

/// How often a build is tried again because coordinators ended while it ran: 20 times. Restarting one says nothing about
/// the build, so it does not count towards [`Retry::attempts`]; but a build that brings its coordinator down must not do
/// so for ever.
pub const MAX_LOST: usize = 20;

/// What becomes of a build whose attempt ends `now` with `cause`, after the attempts `before` that ended since it was
/// last asked for.
///
/// Only causes of the infrastructure are tried again, as often and after as long as `retry` says.
#[must_use]
pub fn after_attempt(
    retry: &Retry,
    before: &[Attempt],
    cause: Cause,
    now: Timestamp,
) -> AfterAttempt {
    if !cause.is_infrastructure() {
        return AfterAttempt::Done;
    }
    let causes = before.iter().filter_map(Attempt::cause).chain([cause]);
    let (lost, others): (Vec<_>, Vec<_>) = causes
        .filter(|cause| cause.is_infrastructure())
        .partition(|cause| *cause == Cause::CoordinatorLost);
    if cause == Cause::CoordinatorLost {
        if lost.len() > MAX_LOST {
            return AfterAttempt::Done;
        }
        return AfterAttempt::TryAgain { not_before: now };
    }
    let ended = u32::try_from(others.len()).unwrap_or(u32::MAX);
    match retry.delay_after(ended) {
        Some(delay) => AfterAttempt::TryAgain {
            not_before: now.after(delay),
        },
        None => AfterAttempt::Done,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{AttemptEnd, BuildId};

    fn attempts(attempts: u32) -> Retry {
        let mut retry = Retry::default();
        retry.attempts = attempts;
        retry
    }

    fn ended(cause: Cause) -> Attempt {
        Attempt {
            id: BuildId(1).attempt(1),
            machine: "m".into(),
            owner: "c".into(),
            started: Timestamp::EPOCH,
            end: Some(AttemptEnd {
                at: Timestamp::EPOCH,
                cause,
                message: String::new(),
            }),
            awaited: None,
            steps: Vec::new(),
            log: None,
            artifacts: Vec::new(),
        }
    }

    fn again(seconds: u64) -> AfterAttempt {
        AfterAttempt::TryAgain {
            not_before: Timestamp::EPOCH.after(Duration::from_secs(seconds)),
        }
    }

    #[test]
    fn only_causes_of_the_infrastructure_are_tried_again() {
        for cause in Cause::ALL {
            let then = after_attempt(&Retry::default(), &[], cause, Timestamp::EPOCH);
            assert_eq!(
                then != AfterAttempt::Done,
                cause.is_infrastructure(),
                "{cause}"
            );
        }
    }

    #[test]
    fn attempts_are_bounded_and_wait_longer_each_time() {
        let retry = attempts(3);
        let mut before = Vec::new();
        let mut delays = Vec::new();
        for cause in [Cause::Network, Cause::LostBuildlet, Cause::SetupError] {
            delays.push(after_attempt(&retry, &before, cause, Timestamp::EPOCH));
            before.push(ended(cause));
        }
        assert_eq!(delays, [again(5), again(10), AfterAttempt::Done]);
    }

    #[test]
    fn restarts_do_not_count_but_are_bounded_too() {
        let retry = attempts(2);
        let mut before = vec![ended(Cause::CoordinatorLost); MAX_LOST - 1];
        let lost = |before: &[Attempt]| {
            after_attempt(&retry, before, Cause::CoordinatorLost, Timestamp::EPOCH)
        };
        assert_eq!(
            after_attempt(&retry, &before, Cause::Network, Timestamp::EPOCH),
            again(5)
        );
        assert_eq!(lost(&before), again(0));
        before.push(ended(Cause::CoordinatorLost));
        assert_eq!(lost(&before), AfterAttempt::Done);
    }
}
