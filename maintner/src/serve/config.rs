use std::time::Duration;

use tokio::sync::Semaphore;

/// How a log is served.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    pub(super) path: String,
    pub(super) poll: Option<Duration>,
    pub(super) wait: Duration,
    pub(super) gzip: bool,
    pub(super) max_connections: usize,
    pub(super) max_waiting: usize,
}

impl ServeConfig {
    /// The path of the list, `/logs` by default. Other characters than `A-Za-z0-9/_.-` are dropped, and slashes at the end.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        let plain = |c: &char| c.is_ascii_alphanumeric() || "/_.-".contains(*c);
        let path: String = path.chars().filter(plain).collect();
        self.path = format!("/{}", path.trim_matches('/'));
        self
    }

    /// How often is looked at what there is; by default a folder every 200 ms, and blobs every 10 s, as buckets cost money for each look. At
    /// least 1 ms.
    #[must_use]
    pub fn poll(mut self, poll: Duration) -> Self {
        self.poll = Some(poll.max(Duration::from_millis(1)));
        self
    }

    /// How long a request for news waits; 55 s by default, as load balancers often give up after 60.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Whether lists, and whole segments that are files of a folder, are compressed for those who take that; yes by default. A segment
    /// costs a processor while it is sent, so as many as there are processors are compressed at once, and others are sent as they are.
    #[must_use]
    pub fn gzip(mut self, gzip: bool) -> Self {
        self.gzip = gzip;
        self
    }

    /// How many connections are served at once; 1,024 by default, at least 1.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// How many requests may wait for news at once; 1,024 by default.
    #[must_use]
    pub fn max_waiting(mut self, waiting: usize) -> Self {
        self.max_waiting = waiting.min(Semaphore::MAX_PERMITS);
        self
    }
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            path: "/logs".to_owned(),
            poll: None,
            wait: Duration::from_secs(55),
            gzip: true,
            max_connections: 1024,
            max_waiting: 1024,
        }
    }
}
