use std::net::IpAddr;

/// How the HTTP service answers, and its limits.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    pub(super) max_connections: usize,
    pub(super) trusted_proxies: Vec<IpAddr>,
    pub(super) telling: bool,
    pub(super) health_path: Option<String>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            max_connections: 2048,
            trusted_proxies: Vec::new(),
            telling: false,
            health_path: Some("/healthz".to_owned()),
        }
    }
}

impl HttpConfig {
    /// Connections at once, each of which may be a client that waits; 2048 by default. More wait in the system's queue.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// Proxies that end TLS: a webhook from there counts as sent over TLS if `X-Forwarded-Proto` is `https`. None by default.
    #[must_use]
    pub fn trusted_proxies(mut self, proxies: Vec<IpAddr>) -> Self {
        self.trusted_proxies = proxies;
        self
    }

    /// Whether a webhook's answer tells what became of it: 202 if it is an event, 401 for a wrong signature, 413 and 400 for a body that is too
    /// long or not understood. By default it is always 200, as upstream.
    #[must_use]
    pub fn telling(mut self, telling: bool) -> Self {
        self.telling = telling;
        self
    }

    /// The path that answers `ok`, before everything else; `/healthz` by default.
    #[must_use]
    pub fn health_path(mut self, path: Option<String>) -> Self {
        self.health_path = path;
        self
    }
}
