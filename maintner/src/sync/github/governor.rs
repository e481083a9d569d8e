use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};
use rest_transport::{Pace, retry_after};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// What a server may ask for at most; its limits are for an hour.
const LONGEST: Duration = Duration::from_secs(3700);
/// After a refusal that says no time, as GitHub's documentation has it: a minute, and more if it goes on.
const UNSAID: Duration = Duration::from_secs(60);
/// Requests under way at the same time. GitHub asks for few of them, and refuses above 100.
const AT_ONCE: usize = 4;

/// Keeps all that use one token within GitHub's limits: the quota of an hour, those "secondary" limits that it tells of only when they are
/// exceeded, and a pace of one's own. Clones share everything.
#[derive(Debug, Clone)]
pub struct Governor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pace: Pace,
    at_once: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: RateLimits,
    held_until: Option<Instant>,
    /// Refusals in a row that said no time.
    unsaid: u32,
}

/// What is known of the limits of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimits {
    /// Requests an hour.
    pub limit: Option<u64>,
    /// How many of them are left.
    pub remaining: Option<u64>,
    /// When all are there again, in this machine's clock.
    pub resets: Option<SystemTime>,
    /// How long no request will be sent; zero if none is held back.
    pub held: Duration,
    /// Requests that were answered.
    pub requests: u64,
    /// Those of them that cost nothing, as nothing was new.
    pub not_modified: u64,
    /// Those of them that were refused because of a limit.
    pub limited: u64,
}

impl Governor {
    /// So many requests a second in the long run, and at most `burst` at once after a pause; each at least 1.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Self {
        let shared = Shared {
            pace: Pace::new(Duration::from_secs(1) / per_second.max(1), burst),
            at_once: Semaphore::new(AT_ONCE),
            state: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// What is known now.
    #[must_use]
    pub fn limits(&self) -> RateLimits {
        let state = self.lock();
        let now = Instant::now();
        RateLimits {
            held: state
                .held_until
                .map_or(Duration::ZERO, |until| until.saturating_duration_since(now)),
            ..state.known.clone()
        }
    }

    /// Waits for the turn of a request, or says how long that would take if it is more than `patience`.
    ///
    /// Cancel safe; the turn is lost.
    pub(super) async fn admit(&self, patience: Duration) -> Result<SemaphorePermit<'_>, Duration> {
        // What was said while this one waited for its turn counts for it too.
        loop {
            self.shared.pace.turn(patience).await?;
            if self.limits().held.is_zero() {
                break;
            }
        }
        let permit = self.shared.at_once.acquire().await;
        let permit = permit.expect("the semaphore is never closed");
        Ok(permit)
    }

    /// Learns from the head of an answer, and the beginning of its body if it is a refusal. Tells how long to wait if it is one because of
    /// a limit.
    pub(super) fn learn(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Option<Duration> {
        let number = |name: &str| -> Option<u64> { headers.get(name)?.to_str().ok()?.parse().ok() };
        let remaining = number("x-ratelimit-remaining");
        let reset_in = number("x-ratelimit-reset").map(|reset| until(reset, headers));
        let refused = matches!(
            status,
            StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS
        );
        let mut state = self.lock();
        state.known.requests += 1;
        state.known.not_modified += u64::from(status == StatusCode::NOT_MODIFIED);
        // Other kinds of requests, such as searches, have quotas of their own.
        let resource = headers.get("x-ratelimit-resource");
        if resource.is_none_or(|resource| resource == "core") && remaining.is_some() {
            state.known.limit = number("x-ratelimit-limit").or(state.known.limit);
            state.known.remaining = remaining;
            state.known.resets = reset_in.and_then(|wait| SystemTime::now().checked_add(wait));
        }
        let said = refused.then(|| retry_after(headers)).flatten();
        let is_limit = status == StatusCode::TOO_MANY_REQUESTS
            || (refused && (said.is_some() || remaining == Some(0) || tells_of_a_limit(body)));
        if !is_limit {
            state.unsaid = 0;
            if remaining == Some(0) {
                // The last one of this hour.
                let wait = reset_in.unwrap_or(UNSAID);
                self.hold(&mut state, wait);
            }
            return None;
        }
        state.known.limited += 1;
        let quota = reset_in.filter(|_| remaining == Some(0));
        let wait = match (said, quota) {
            (None, None) => {
                let wait = UNSAID.saturating_mul(1 << state.unsaid.min(6));
                state.unsaid += 1;
                wait
            }
            (said, quota) => said.max(quota).unwrap_or(UNSAID),
        };
        Some(self.hold(&mut state, wait))
    }

    fn hold(&self, state: &mut State, wait: Duration) -> Duration {
        let wait = wait.min(LONGEST);
        self.shared.pace.hold(wait);
        state.held_until = state.held_until.max(Some(Instant::now() + wait));
        wait
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Governor {
    /// 10 a second, and 10 at once.
    fn default() -> Self {
        Self::new(10, 10)
    }
}

/// How long until a second since 1970 in the server's clock, which the answer itself tells; a second more, as both are cut off.
fn until(reset: u64, headers: &HeaderMap) -> Duration {
    let server = super::client::date(headers);
    let now = server.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.unwrap_or_default().as_secs()
    });
    Duration::from_secs(reset.saturating_sub(now).saturating_add(1))
}

fn tells_of_a_limit(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    text.contains("rate limit") || text.contains("abuse")
}
