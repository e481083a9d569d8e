use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Spaces requests, and keeps all of them back while the server wants to be left alone. Whoever shares a limit shares one of these.
#[derive(Debug)]
pub struct Pace {
    /// Between two requests in the long run; nothing is spaced if zero.
    interval: Duration,
    /// How many may go at once after a pause.
    burst: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the requests let through so far would all have gone, had they been evenly spaced.
    due: Option<Instant>,
    /// The server said: not before.
    held_until: Option<Instant>,
}

impl Pace {
    /// One request per `interval` in the long run, any number if that is zero; and `burst` at once after a pause, at least 1.
    #[must_use]
    pub fn new(interval: Duration, burst: u32) -> Self {
        Self {
            interval,
            burst: burst.max(1),
            state: Mutex::default(),
        }
    }

    /// Waits for the turn of one request, or says how long that would be if it is more than `limit`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost but the turn, which is not given to anybody else.
    ///
    /// # Errors
    ///
    /// The time that it would take, if it is more than `limit`; no turn is taken then.
    pub async fn turn(&self, limit: Duration) -> Result<(), Duration> {
        let at = self.reserve(Instant::now(), limit)?;
        sleep_until(at).await;
        Ok(())
    }

    /// Keeps every request back for `time` from now.
    pub fn hold(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.held_until = state.held_until.max(Some(until));
    }

    fn reserve(&self, now: Instant, limit: Duration) -> Result<Instant, Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let due = state.due.map_or(now, |due| due.max(now));
        let slack = self.interval * (self.burst - 1);
        let spaced = due.checked_sub(slack).map_or(now, |at| at.max(now));
        let at = state.held_until.map_or(spaced, |held| held.max(spaced));
        let wait = at.saturating_duration_since(now);
        if wait > limit {
            return Err(wait);
        }
        state.due = Some(due + self.interval);
        Ok(at)
    }
}

/// How often and after what pauses a call is tried again.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::exhaustive_structs,
    reason = "it is these three numbers, and callers write them down"
)]
pub struct BackOff {
    /// How often in all.
    pub attempts: u32,
    /// At most before the second attempt; at most double before the next, and so on.
    pub first: Duration,
    /// At most before any.
    pub longest: Duration,
}

impl BackOff {
    /// The pause after the attempt numbered `attempt` (from 1): between half and all of a time that doubles, at random.
    #[must_use]
    pub fn pause(&self, attempt: u32) -> Duration {
        let doubled = self
            .first
            .saturating_mul(1 << attempt.saturating_sub(1).min(16));
        let whole = doubled.min(self.longest);
        // Without randomness every client pauses alike, which is still a pause.
        let random = getrandom::u32().unwrap_or(u32::MAX);
        whole.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_the_rest_evenly() {
        let pace = Pace::new(SECOND, 3);
        let start = Instant::now();
        let mut went = Vec::new();
        for _ in 0..5 {
            pace.turn(10 * SECOND).await.unwrap();
            went.push((Instant::now() - start).as_secs());
        }
        assert_eq!(went, [0, 0, 0, 1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_is_too_far_away_is_refused_and_not_counted() {
        let pace = Pace::new(10 * SECOND, 1);
        pace.turn(SECOND).await.unwrap();
        assert_eq!(pace.turn(SECOND).await, Err(10 * SECOND));
        assert_eq!(pace.turn(SECOND).await, Err(10 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_server_wants_holds_everybody_back() {
        let pace = Pace::new(Duration::ZERO, 1);
        pace.hold(7 * SECOND);
        let start = Instant::now();
        pace.turn(10 * SECOND).await.unwrap();
        assert_eq!(Instant::now() - start, 7 * SECOND);
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let back_off = BackOff {
            attempts: 9,
            first: SECOND,
            longest: 5 * SECOND,
        };
        for (attempt, most) in [(1, 1), (2, 2), (3, 4), (4, 5), (40, 5)] {
            let pause = back_off.pause(attempt);
            assert!(
                pause <= most * SECOND && pause >= most * SECOND / 2,
                "{attempt}: {pause:?}"
            );
        }
    }
}
