use std::error::Error;
use std::fmt;
use std::time::Duration;

/// How a [`Scheduler`](crate::Scheduler) decides, and how much it remembers.
///
/// ```
/// use std::time::Duration;
/// use build_scheduler::{Config, Scheduler};
///
/// let config = Config::default().patience(Duration::from_secs(600)).max_waiting(10_000);
/// let scheduler = Scheduler::new(config)?;
/// # Ok::<(), build_scheduler::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) mode: Mode,
    pub(crate) patience: Duration,
    pub(crate) aged_every: u32,
    pub(crate) max_waiting: usize,
    pub(crate) max_machines: usize,
    pub(crate) max_names: usize,
}

/// Which work is next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// By class, then fairly between shares; what does not fit a quota is passed over until it has waited for
    /// [`Config::patience`], and nothing starves.
    #[default]
    Fair,
    /// As upstream's queue: by class and time alone, and the first work of a quota holds up all others of that quota
    /// until it fits, whatever they cost. Work can starve.
    StrictLine,
}

/// Why a [`Config`] makes no scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// [`Config::aged_every`] is 0.
    NeverAged,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: Mode::Fair,
            patience: Duration::from_secs(30 * 60),
            aged_every: 4,
            max_waiting: 200_000,
            max_machines: 100_000,
            max_names: 10_000,
        }
    }
}

impl Config {
    /// Which work is next; [`Mode::Fair`] by default.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// How long work waits before it is overdue; 30 minutes by default, about two rounds of long builds.
    ///
    /// Overdue work gets one machine in [`aged_every`](Self::aged_every), and if it is too large for what is left of
    /// its quota, the quota is kept free for it.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Of how many machines (and places of a limited builder) that get free one goes to the work that is overdue
    /// longest; 4 by default, so that what is urgent loses at most a quarter to what is old. It must not be 0.
    #[must_use]
    pub fn aged_every(mut self, every: u32) -> Self {
        self.aged_every = every;
        self
    }

    /// How many works may wait or run at once; 200,000 by default, which take some 100 MB.
    #[must_use]
    pub fn max_waiting(mut self, works: usize) -> Self {
        self.max_waiting = works;
        self
    }

    /// How many machines may be known at once; 100,000 by default.
    #[must_use]
    pub fn max_machines(mut self, machines: usize) -> Self {
        self.max_machines = machines;
        self
    }

    /// For how many builders limits and durations are kept, and how many quotas there may be; 10,000 each by default.
    ///
    /// The durations of the builders that had none for longest are forgotten. A limit or quota too many is refused.
    #[must_use]
    pub fn max_names(mut self, names: usize) -> Self {
        self.max_names = names;
        self
    }

    pub(crate) fn validate(self) -> Result<Self, ConfigError> {
        if self.aged_every == 0 {
            return Err(ConfigError::NeverAged);
        }
        Ok(self)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverAged => f.write_str("one machine in 0 cannot go to overdue work"),
        }
    }
}

impl Error for ConfigError {}
