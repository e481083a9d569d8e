use std::time::Duration;

/// Delays between attempts: they double from the first to the longest, and each is shortened at random by up to a half.
///
/// So a thousand workers that lost their coordinator at the same moment do not come back at the same moment.
///
/// ```
/// use std::time::Duration;
///
/// let mut delays = revdial::Backoff::with_seed(7);
/// let first = delays.next_delay();
/// assert!(first >= Duration::from_millis(250) && first <= Duration::from_millis(500));
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    attempts: u32,
    random: u64,
}

impl Backoff {
    /// Delays from half a second to a minute, seeded by the operating system.
    ///
    /// # Errors
    ///
    /// The operating system has no random bytes to give, as may be early in its boot.
    #[cfg(feature = "tokio")]
    pub fn from_os() -> std::io::Result<Self> {
        Ok(Self::with_seed(getrandom::u64()?))
    }

    /// Delays from half a second to a minute, the same for every seed: for tests.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        Self {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(60),
            attempts: 0,
            random: seed,
        }
    }

    /// The first delay, before it is shortened; half a second by default.
    #[must_use]
    pub fn first(mut self, delay: Duration) -> Self {
        self.first = delay;
        self
    }

    /// The longest delay, before it is shortened; a minute by default.
    #[must_use]
    pub fn longest(mut self, delay: Duration) -> Self {
        self.longest = delay;
        self
    }

    /// The time to wait before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        let factor = 1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX);
        self.attempts = self.attempts.saturating_add(1);
        let delay = self.first.saturating_mul(factor).min(self.longest);
        // SplitMix64 (Steele, Lea, Flood 2014): spreads attempts, guards nothing.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let share = (mixed >> 32) as u32;
        delay - (delay / 2).mul_f64(f64::from(share) / f64::from(u32::MAX))
    }

    /// Begins with the first delay again, after an attempt that held.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_begin_again_after_a_reset() {
        let mut delays = Backoff::with_seed(1)
            .first(Duration::from_secs(1))
            .longest(Duration::from_secs(5));
        for most in [1, 2, 4, 5, 5] {
            let (most, delay) = (Duration::from_secs(most), delays.next_delay());
            assert!(
                delay <= most && delay >= most / 2,
                "{delay:?} is not within half of {most:?}"
            );
        }
        for _ in 0..100 {
            delays.next_delay();
        }
        delays.reset();
        assert!(delays.next_delay() <= Duration::from_secs(1));
    }

    #[test]
    fn two_seeds_give_two_rows_of_delays() {
        let row = |seed| {
            let mut delays = Backoff::with_seed(seed);
            [(); 4].map(|()| delays.next_delay())
        };
        assert_eq!(row(1), row(1));
        assert_ne!(row(1), row(2));
    }
}
