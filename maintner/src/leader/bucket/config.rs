use std::time::Duration;

/// How often the bucket gets what came meanwhile, as upstream's.
const INTERVAL: Duration = Duration::from_secs(600);
/// Until it is tried again.
const RETRY: Duration = Duration::from_secs(60);
/// How often it is seen whether somebody else leads now.
const LOOK: Duration = Duration::from_secs(60);

/// When a [`BucketLog`](crate::leader::BucketLog) stores, and looks.
#[derive(Debug, Clone)]
pub struct BucketLogConfig {
    pub(super) interval: Duration,
    pub(super) retry: Duration,
    pub(super) look: Duration,
}

impl Default for BucketLogConfig {
    fn default() -> Self {
        Self {
            interval: INTERVAL,
            retry: RETRY,
            look: LOOK,
        }
    }
}

impl BucketLogConfig {
    /// How long what was appended may wait until it is stored, unless a segment is full before: 10 minutes by default, as upstream. Each
    /// time costs an upload of the segment that grows, up to 16 MiB.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How long to wait after a failure: 1 minute by default, as upstream.
    #[must_use]
    pub fn retry(mut self, retry: Duration) -> Self {
        self.retry = retry;
        self
    }

    /// How often to look whether somebody else has taken over, when nothing is stored: every minute by default, which costs a request for
    /// an object of a line.
    #[must_use]
    pub fn look(mut self, every: Duration) -> Self {
        self.look = every;
        self
    }
}
