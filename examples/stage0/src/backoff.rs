//! How long to wait before the next try.

use std::time::Duration;

/// The lengths of pauses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pauses {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
    /// What ran for this long was no failure.
    pub(crate) good_run: Duration,
}

/// Pauses that double, so that a fleet whose coordinator is down does not wear it out, and differ at random, so that it does not come
/// back all at once.
#[derive(Debug)]
pub(crate) struct Backoff {
    pauses: Pauses,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(pauses: Pauses) -> Self {
        Self {
            pauses,
            next: pauses.first,
        }
    }

    /// The pause after something that ran for `ran`; zero if it did not run at all.
    pub(crate) fn after(&mut self, ran: Duration) -> Duration {
        self.after_with(ran, random_fraction())
    }

    /// `fraction` is from 0 to 1: how much of the random half is waited.
    fn after_with(&mut self, ran: Duration, fraction: f64) -> Duration {
        if ran >= self.pauses.good_run {
            self.next = self.pauses.first;
        }
        let pause = self.next / 2 + (self.next / 2).mul_f64(fraction);
        self.next = self.next.saturating_mul(2).min(self.pauses.longest);
        pause
    }
}

/// From 0 to 1. Without randomness, which a machine that has just started may lack, somewhere in the middle.
fn random_fraction() -> f64 {
    getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSES: Pauses = Pauses {
        first: Duration::from_secs(1),
        longest: Duration::from_secs(5),
        good_run: Duration::from_secs(60),
    };

    #[test]
    fn pauses_double_up_to_a_limit_and_begin_anew_after_a_good_run() {
        let mut backoff = Backoff::new(PAUSES);
        let mut seconds = |ran| backoff.after_with(Duration::from_secs(ran), 1.0).as_secs();
        assert_eq!([0, 59, 1, 0, 0].map(&mut seconds), [1, 2, 4, 5, 5]);
        assert_eq!([60, 0].map(seconds), [1, 2]);
    }

    #[test]
    fn half_of_a_pause_is_random() {
        for _ in 0..100 {
            let pause = Backoff::new(PAUSES).after(Duration::ZERO);
            assert!(
                pause >= Duration::from_millis(500) && pause <= Duration::from_secs(1),
                "{pause:?}"
            );
        }
    }
}
