use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;
use std::time::Duration;

use rest_transport::{TlsError, Transport};

use crate::sync::github::auth::GithubAuth;
use crate::sync::github::governor::Governor;

/// How GitHub is asked.
#[derive(Clone)]
pub struct GithubConfig {
    pub(super) auth: GithubAuth,
    pub(super) base_url: String,
    pub(super) transport: Option<Arc<dyn Transport>>,
    pub(super) user_agent: String,
    pub(super) governor: Governor,
    pub(super) attempts: u32,
    pub(super) pauses: (Duration, Duration),
    pub(super) time_limit: Duration,
    pub(super) patience: Duration,
    pub(super) max_body: usize,
}

impl GithubConfig {
    /// Who asks; [nobody](GithubAuth::anonymous) by default.
    #[must_use]
    pub fn auth(mut self, auth: GithubAuth) -> Self {
        self.auth = auth;
        self
    }

    /// The interface's address, `https://api.github.com` by default; of GitHub Enterprise Server it is `https://HOST/api/v3`.
    #[must_use]
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = url.into();
        self
    }

    /// What carries requests; hyper over TLS by default, with what the system trusts.
    #[must_use]
    pub fn transport(mut self, transport: impl Transport + 'static) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// What the program calls itself, which GitHub demands; this crate and its version by default.
    #[must_use]
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.user_agent = name.into();
        self
    }

    /// Who keeps to the limits; one of its own for this client by default, with ten requests a second. Several clients of one account
    /// share one.
    #[must_use]
    pub fn governor(mut self, governor: Governor) -> Self {
        self.governor = governor;
        self
    }

    /// How often a request is sent before its failure is one; 4 by default, at least 1.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// The pause before the second attempt and the longest, at most: 1 s, doubled each time, up to 30 s by default.
    #[must_use]
    pub fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        self.pauses = (first, longest);
        self
    }

    /// How long one attempt may take, with all of its answer; a minute by default.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// How long a request waits for GitHub's limits before the round is given up and its supervisor waits; two minutes by default.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How long an answer may be, in bytes and decompressed; 64 MiB by default. A page of a hundred of the largest comments has 26 MB.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }
}

impl Default for GithubConfig {
    fn default() -> Self {
        Self {
            auth: GithubAuth::anonymous(),
            base_url: "https://api.github.com".into(),
            transport: None,
            user_agent: concat!("maintner-rs/", env!("CARGO_PKG_VERSION")).into(),
            governor: Governor::default(),
            attempts: 4,
            pauses: (Duration::from_secs(1), Duration::from_secs(30)),
            time_limit: Duration::from_secs(60),
            patience: Duration::from_secs(120),
            max_body: 64 << 20,
        }
    }
}

impl Debug for GithubConfig {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("GithubConfig")
            .field("auth", &self.auth)
            .field("base_url", &self.base_url)
            .field("user_agent", &self.user_agent)
            .field("governor", &self.governor)
            .field("attempts", &self.attempts)
            .field("pauses", &self.pauses)
            .field("time_limit", &self.time_limit)
            .field("patience", &self.patience)
            .field("max_body", &self.max_body)
            .finish_non_exhaustive()
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum GithubConfigError {
    /// The address is none of a server.
    #[error("{url:?} is no address of GitHub's interface, as https://api.github.com is")]
    BaseUrl { url: String },
    /// The program's name cannot be sent.
    #[error("{name:?} cannot be sent as the program's name")]
    UserAgent { name: String },
    /// TLS cannot be set up.
    #[error("no connections can be made")]
    Tls(#[from] TlsError),
}
