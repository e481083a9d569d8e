use std::fmt::{self, Debug, Formatter};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

use crate::net::FetchError;

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
    pub(super) roots: RootCerts,
    pub(super) progress: Watcher,
}

/// Is told how far a fetch has come.
#[derive(Clone, Default)]
pub(super) struct Watcher(Option<Arc<dyn Fn(FetchProgress) + Send + Sync>>);

/// How far a fetch has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchProgress {
    /// Bytes of the log that are in the cache now, of those that were to be had. It may go back, when a segment is fetched again.
    pub bytes: u64,
    /// Bytes of the log that were to be had beyond what the follower knew: those that the cache had already too.
    pub total: u64,
}

impl Watcher {
    pub(super) fn tell(&self, bytes: u64, total: u64) {
        if let Some(watcher) = &self.0 {
            watcher(FetchProgress { bytes, total });
        }
    }
}

impl Debug for Watcher {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Some" } else { "None" })
    }
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
            roots: RootCerts::PlatformVerifier,
            progress: Watcher::default(),
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

    /// Believes these authorities in place of the system's: PEM, of which everything but certificates is passed over.
    ///
    /// # Errors
    ///
    /// [`FetchError::Authorities`] when there is none, or something is no PEM.
    pub fn authorities(mut self, pem: &[u8]) -> Result<Self, FetchError> {
        let wrong = |reason: String| FetchError::Authorities { reason };
        let mut roots: Vec<Certificate<'static>> = Vec::new();
        for item in parse_pem(pem) {
            if let PemItem::Certificate(root) = item.map_err(|error| wrong(error.to_string()))? {
                roots.push(root);
            }
        }
        if roots.is_empty() {
            return Err(wrong("there is no certificate".to_owned()));
        }
        self.roots = roots.into();
        Ok(self)
    }

    /// Is called while bytes come: at the beginning and the end of each segment, and about every 64 KiB, by the thread that fetches. What
    /// it does takes that thread's time.
    #[must_use]
    pub fn progress(mut self, progress: impl Fn(FetchProgress) + Send + Sync + 'static) -> Self {
        self.progress = Watcher(Some(Arc::new(progress)));
        self
    }
}
