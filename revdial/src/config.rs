use std::fmt;
use std::time::Duration;

#[cfg(feature = "tokio")]
use crate::backoff::Backoff;
#[cfg(feature = "tokio")]
use crate::observe::Observer;

/// Limits and times of a dialer, the coordinator's end of a session.
///
/// ```
/// use std::time::Duration;
///
/// let config = revdial::DialerConfig::default().warm(2).dial_limit(Duration::from_secs(10));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct DialerConfig {
    pub(crate) keep_alive: Duration,
    #[cfg(feature = "tokio")]
    pub(crate) write_limit: Option<Duration>,
    #[cfg(feature = "tokio")]
    pub(crate) dial_limit: Duration,
    pub(crate) max_pending: usize,
    pub(crate) max_stock: usize,
    pub(crate) stock_age: Duration,
    pub(crate) warm: usize,
}

/// Limits and times of a listener, the worker's end of a session.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    pub(crate) max_silence: Option<Duration>,
    #[cfg(feature = "tokio")]
    pub(crate) register_limit: Duration,
    #[cfg(feature = "tokio")]
    pub(crate) pickup_limit: Duration,
    pub(crate) max_pickups: usize,
    pub(crate) max_queued: usize,
    #[cfg(feature = "tokio")]
    pub(crate) accept_queue: usize,
    #[cfg(feature = "tokio")]
    pub(crate) reconnect: Option<Backoff>,
    #[cfg(feature = "tokio")]
    pub(crate) observer: Observer,
}

/// Why a configuration cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// This must not be zero.
    Zero {
        /// The setter's name.
        setting: &'static str,
    },
    /// This is over a year, which no timer needs.
    TooLong {
        /// The setter's name.
        setting: &'static str,
    },
}

impl DialerConfig {
    /// Time between two keep-alives while nothing is dialed; 30 s by default, as upstream.
    ///
    /// Listeners of this crate take a coordinator for dead that was silent for 100 s.
    #[must_use]
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = interval;
        self
    }

    /// How long the peer may take to accept a control line, before the session is given up; 10 s by default, as upstream.
    /// `None` waits for ever, or until TCP gives up.
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn write_limit(mut self, limit: Option<Duration>) -> Self {
        self.write_limit = limit;
        self
    }

    /// How long a dial waits for its connection; 30 s by default. A Go listener takes up to 20 s to say that it failed.
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn dial_limit(mut self, limit: Duration) -> Self {
        self.dial_limit = limit;
        self
    }

    /// How many dials may wait at once; 256 by default. One more fails at once.
    #[must_use]
    pub fn max_pending(mut self, dials: usize) -> Self {
        self.max_pending = dials;
        self
    }

    /// How many connections are kept that came when no dial waited; 8 by default, and never fewer than [`warm`](Self::warm).
    /// One more is closed.
    #[must_use]
    pub fn max_stock(mut self, connections: usize) -> Self {
        self.max_stock = connections;
        self
    }

    /// How long such a connection is kept; 60 s by default. Connections kept [`warm`](Self::warm) are replaced at that age, so each
    /// costs the worker a handshake in that time.
    #[must_use]
    pub fn stock_age(mut self, age: Duration) -> Self {
        self.stock_age = age;
        self
    }

    /// How many connections to keep ready, so that a dial costs no round trip; none by default.
    ///
    /// Go listeners take part without knowing. Each connection costs both sides what an idle one of its transport
    /// costs. After a pick-up failed, the stock is filled up again after 1 s, then 2 s and so on up to 30 s.
    #[must_use]
    pub fn warm(mut self, connections: usize) -> Self {
        self.warm = connections;
        self
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn validate(self) -> Result<Self, ConfigError> {
        check_time("keep_alive", Some(self.keep_alive))?;
        check_time("write_limit", self.write_limit)?;
        check_time("dial_limit", Some(self.dial_limit))?;
        check_time("stock_age", Some(self.stock_age))?;
        check_count("max_pending", self.max_pending)?;
        Ok(self)
    }
}

impl Default for DialerConfig {
    fn default() -> Self {
        Self {
            keep_alive: Duration::from_secs(30),
            #[cfg(feature = "tokio")]
            write_limit: Some(Duration::from_secs(10)),
            #[cfg(feature = "tokio")]
            dial_limit: Duration::from_secs(30),
            max_pending: 256,
            max_stock: 8,
            stock_age: Duration::from_secs(60),
            warm: 0,
        }
    }
}

impl ListenerConfig {
    /// After how long without a byte the coordinator counts as dead; 100 s by default, in which three keep-alives are missed.
    /// `None` waits for ever, or until TCP gives up.
    #[must_use]
    pub fn max_silence(mut self, silence: Option<Duration>) -> Self {
        self.max_silence = silence;
        self
    }

    /// How long one registration may take, from connecting to the `101`; 60 s by default.
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn register_limit(mut self, limit: Duration) -> Self {
        self.register_limit = limit;
        self
    }

    /// How long one pick-up may take, from connecting to the `101`; 20 s by default.
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn pickup_limit(mut self, limit: Duration) -> Self {
        self.pickup_limit = limit;
        self
    }

    /// How many pick-ups are made at once; 64 by default. One that waits for a place in the queue of
    /// [`accept`](crate::Listener::accept) counts.
    #[must_use]
    pub fn max_pickups(mut self, pickups: usize) -> Self {
        self.max_pickups = pickups;
        self
    }

    /// How many more pick-ups may wait for their turn; 256 by default. The coordinator is told of one more that it failed.
    #[must_use]
    pub fn max_queued(mut self, pickups: usize) -> Self {
        self.max_queued = pickups;
        self
    }

    /// How many connections wait to be [accepted](crate::Listener::accept); 8 by default, as upstream.
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn accept_queue(mut self, connections: usize) -> Self {
        self.accept_queue = connections;
        self
    }

    /// Registers again when the session is lost, after these delays; `None`, the default, ends the listener as upstream does.
    ///
    /// The first registration is not repeated: its error is returned. A coordinator that answers 400 or 412, as one does
    /// that does not know the key, ends the listener all the same.
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn reconnect(mut self, delays: Option<Backoff>) -> Self {
        self.reconnect = delays;
        self
    }

    /// Calls `observer` with what happens to the session and to pick-ups: for logs and metrics. It must not block.
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn observer(
        mut self,
        observer: impl Fn(&crate::ListenerEvent) + Send + Sync + 'static,
    ) -> Self {
        self.observer = Observer::new(observer);
        self
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn validate(self) -> Result<Self, ConfigError> {
        check_time("max_silence", self.max_silence)?;
        check_time("register_limit", Some(self.register_limit))?;
        check_time("pickup_limit", Some(self.pickup_limit))?;
        check_count("max_pickups", self.max_pickups)?;
        check_count("max_queued", self.max_queued)?;
        check_count("accept_queue", self.accept_queue)?;
        Ok(self)
    }
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self {
            max_silence: Some(Duration::from_secs(100)),
            #[cfg(feature = "tokio")]
            register_limit: Duration::from_secs(60),
            #[cfg(feature = "tokio")]
            pickup_limit: Duration::from_secs(20),
            max_pickups: 64,
            max_queued: 256,
            #[cfg(feature = "tokio")]
            accept_queue: 8,
            #[cfg(feature = "tokio")]
            reconnect: None,
            #[cfg(feature = "tokio")]
            observer: Observer::default(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero { setting } => write!(f, "{setting} is zero"),
            Self::TooLong { setting } => write!(f, "{setting} is over a year"),
        }
    }
}

impl std::error::Error for ConfigError {}

#[cfg(feature = "tokio")]
pub(crate) fn check_time(setting: &'static str, time: Option<Duration>) -> Result<(), ConfigError> {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    match time {
        Some(Duration::ZERO) => Err(ConfigError::Zero { setting }),
        Some(time) if time > YEAR => Err(ConfigError::TooLong { setting }),
        _ => Ok(()),
    }
}

#[cfg(feature = "tokio")]
pub(crate) fn check_count(setting: &'static str, count: usize) -> Result<(), ConfigError> {
    match count {
        0 => Err(ConfigError::Zero { setting }),
        _ => Ok(()),
    }
}
