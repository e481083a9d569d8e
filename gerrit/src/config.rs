use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use rest_transport::{BackOff, Pace, Transport};

use crate::auth::Auth;

/// How a [`Client`](crate::Client) behaves.
#[derive(Clone)]
pub struct Config {
    pub(crate) auth: Auth,
    pub(crate) transport: Option<Arc<dyn Transport>>,
    pub(crate) user_agent: String,
    pub(crate) attempt_timeout: Duration,
    pub(crate) max_answer: usize,
    pub(crate) max_wait: Duration,
    pub(crate) back_off: BackOff,
    pub(crate) interval: Duration,
    pub(crate) burst: u32,
}

/// A client cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum ConfigError {
    /// The address is none.
    #[error("{url:?} is not an address like https://review.example.org")]
    Url { url: String },
    /// The address holds a name or a password, which would end up in logs.
    #[error("the server's address holds credentials: give them as `Auth`")]
    Credentials,
    /// A name that no header can hold.
    #[error("{user_agent:?} cannot be sent as a user agent")]
    UserAgent { user_agent: String },
    /// Zero attempts, or no time at all.
    #[error("{what} must be more than nothing")]
    Zero { what: &'static str },
    /// Without the feature `hyper`, only the caller can bring a transport.
    #[error("there is no transport: set one, or enable the feature `hyper`")]
    NoTransport,
    /// The transport of the feature `hyper` cannot be made.
    #[cfg(feature = "hyper")]
    #[error("cannot use TLS")]
    Tls(#[from] rest_transport::TlsError),
}

impl Config {
    /// Who the client is; nobody by default.
    #[must_use]
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth = auth;
        self
    }

    /// What carries the requests; by default hyper, trusting what the system trusts.
    #[must_use]
    pub fn transport(mut self, transport: impl Transport + 'static) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// The header `User-Agent`; this crate's name and version by default.
    #[must_use]
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.user_agent = name.into();
        self
    }

    /// How long one attempt may take, connecting and the whole answer included; 60 s by default. For an answer that is read as a
    /// stream: until its head, and then for each piece.
    #[must_use]
    pub fn attempt_timeout(mut self, time: Duration) -> Self {
        self.attempt_timeout = time;
        self
    }

    /// The longest answer in bytes, decompressed; 64 MiB by default. Streams have no limit, as they are not held.
    #[must_use]
    pub fn max_answer(mut self, bytes: usize) -> Self {
        self.max_answer = bytes;
        self
    }

    /// How often a call is tried; 4 times by default, and at most 20.
    ///
    /// Every call is tried again when it certainly had no effect: no connection, or status 429. One that only reads (GET, HEAD) is also
    /// tried again after 502, 503, 504, an answer that broke off, and when time ran out. Other calls never are.
    #[must_use]
    pub fn attempts(mut self, times: u32) -> Self {
        self.back_off.attempts = times.min(20);
        self
    }

    /// The pauses between attempts: at most `first` before the second one, at most double before the next and so on, up to `longest`, and
    /// never less than half of that. 0.5 s and 30 s by default. If the server names a pause (`Retry-After`), that one is kept, by all calls
    /// of the client; if it is longer than `longest`, the call fails at once.
    #[must_use]
    pub fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        self.back_off.first = first;
        self.back_off.longest = longest;
        self
    }

    /// At most one request per `interval` in the long run, but `burst` at once after a pause; no limit by default.
    #[must_use]
    pub fn rate_limit(mut self, interval: Duration, burst: u32) -> Self {
        self.interval = interval;
        self.burst = burst;
        self
    }

    /// How long a call may wait for the rate limit before it fails; 5 min by default.
    #[must_use]
    pub fn max_wait(mut self, time: Duration) -> Self {
        self.max_wait = time;
        self
    }

    pub(crate) fn pace(&self) -> Pace {
        Pace::new(self.interval, self.burst)
    }

    pub(crate) fn validate(mut self) -> Result<Self, ConfigError> {
        let zero = |what| ConfigError::Zero { what };
        if self.back_off.attempts == 0 {
            return Err(zero("the number of attempts"));
        }
        if self.attempt_timeout.is_zero() {
            return Err(zero("the time of an attempt"));
        }
        if HeaderValue::from_str(&self.user_agent).is_err() {
            return Err(ConfigError::UserAgent {
                user_agent: self.user_agent,
            });
        }
        if self.transport.is_none() {
            self.transport = Some(default_transport()?);
        }
        Ok(self)
    }
}

#[cfg(feature = "hyper")]
fn default_transport() -> Result<Arc<dyn Transport>, ConfigError> {
    Ok(Arc::new(rest_transport::HyperTransport::new()?))
}

#[cfg(not(feature = "hyper"))]
fn default_transport() -> Result<Arc<dyn Transport>, ConfigError> {
    Err(ConfigError::NoTransport)
}

impl Default for Config {
    fn default() -> Self {
        Self {
            auth: Auth::anonymous(),
            transport: None,
            user_agent: concat!("gerrit-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            attempt_timeout: Duration::from_secs(60),
            max_answer: 64 << 20,
            max_wait: Duration::from_secs(300),
            back_off: BackOff {
                attempts: 4,
                first: Duration::from_millis(500),
                longest: Duration::from_secs(30),
            },
            interval: Duration::ZERO,
            burst: 1,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("auth", &self.auth)
            .field("user_agent", &self.user_agent)
            .field("attempt_timeout", &self.attempt_timeout)
            .field("max_answer", &self.max_answer)
            .field("max_wait", &self.max_wait)
            .field("back_off", &self.back_off)
            .field("interval", &self.interval)
            .field("burst", &self.burst)
            .finish_non_exhaustive()
    }
}
