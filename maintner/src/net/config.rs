use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a log comes from, where it is kept, and what is put up with.
///
/// | what | by default |
/// |---|---|
/// | bytes of a segment | 1 GiB |
/// | bytes of all segments | 64 GiB |
/// | segments | 100,000, always |
/// | the list of segments | 32 MiB, always |
/// | tries of a request | 5 |
/// | time to connect, and to wait for a byte | 30 s |
/// | time for a segment | 60 s, and a second for each 16 KiB |
/// | wait for another process that fetches a segment | 10 min, always |
#[derive(Debug, Clone)]
pub struct NetConfig {
    pub(super) server: String,
    pub(super) cache: PathBuf,
    pub(super) max_segment: u64,
    pub(super) max_log: u64,
    pub(super) tries: u32,
    pub(super) pause: Duration,
    pub(super) idle: Duration,
    pub(super) offline: bool,
}

impl NetConfig {
    /// A log at a server, whose address is that of the list of segments, such as `https://maintner.golang.org/logs`, and a folder to keep
    /// it in, which is made if there is none.
    #[must_use]
    pub fn new(server: impl Into<String>, cache: impl AsRef<Path>) -> Self {
        Self {
            server: server.into(),
            cache: cache.as_ref().to_owned(),
            max_segment: 1 << 30,
            max_log: 64 << 30,
            tries: 5,
            pause: Duration::from_secs(1),
            idle: Duration::from_secs(30),
            offline: false,
        }
    }

    /// The largest segment that is fetched, in bytes; 1 GiB by default. Upstream's have 16 MiB.
    #[must_use]
    pub fn max_segment(mut self, bytes: u64) -> Self {
        self.max_segment = bytes;
        self
    }

    /// The largest log that is fetched, in bytes; 64 GiB by default.
    #[must_use]
    pub fn max_log(mut self, bytes: u64) -> Self {
        self.max_log = bytes;
        self
    }

    /// How often a request is made that fails in a way that may pass, and a segment that is not what was listed is fetched; 5 by
    /// default, at least 1.
    #[must_use]
    pub fn tries(mut self, tries: u32) -> Self {
        self.tries = tries.max(1);
        self
    }

    /// The pause after the first failure, 1 s by default; after the nth it is n × n times as long, 30 s at most. Each is lengthened or
    /// shortened by chance, by a half at most, so that followers do not come back all at once.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// How long to wait for a connection, and for any byte of an answer; 30 s by default, at least 10 ms. A long poll may take 60 s more.
    #[must_use]
    pub fn idle_timeout(mut self, idle: Duration) -> Self {
        self.idle = idle.max(Duration::from_millis(10));
        self
    }

    /// Whether the cache is used as it is when the server cannot be reached at first; no by default.
    /// [`Follower::is_offline`](crate::net::Follower::is_offline) tells when that was so.
    #[must_use]
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }
}
