use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use tokio_util::sync::CancellationToken;

/// Why a buildlet should not be used any more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrokenReason {
    /// So many heartbeats in a row failed; the client is dead.
    HeartbeatsFailed {
        /// How many.
        count: u32,
        /// What was wrong with the last one.
        last: String,
    },
    /// No connection can be made any more, as the [`Connector`](super::Connector) says; the client is dead.
    Unreachable(String),
    /// The client was closed; it is dead.
    Closed,
    /// A command did not start in time; whether it runs is not known.
    ExecHeadTimedOut,
    /// The output of a command ended in the middle; how the command ended is not known.
    OutputCut,
    /// The reply to a command had no `Process-State`.
    NoProcessState,
    /// A command ran longer than allowed, and the buildlet is not known to kill all that it started.
    ExecTimedOut,
    /// The program said so.
    Marked(String),
}

impl fmt::Display for BrokenReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeartbeatsFailed { count, last } => {
                write!(f, "{count} heartbeats in a row failed, the last: {last}")
            }
            Self::Unreachable(why) => write!(f, "buildlet cannot be reached any more: {why}"),
            Self::Closed => f.write_str("client closed"),
            Self::ExecHeadTimedOut => f.write_str("a command did not start in time"),
            Self::OutputCut => f.write_str("the output of a command was cut off"),
            Self::NoProcessState => f.write_str("a command ended without a Process-State"),
            Self::ExecTimedOut => f.write_str("a command ran out of time"),
            Self::Marked(why) => f.write_str(why),
        }
    }
}

/// Called once, when a client dies.
pub(super) type DeathHook = Box<dyn FnOnce(&BrokenReason) + Send>;

/// Whether a buildlet is well, broken, or dead to its client.
pub(super) struct Life {
    /// The first reason.
    broken: OnceLock<BrokenReason>,
    death: OnceLock<BrokenReason>,
    dead: CancellationToken,
    hook: Mutex<Option<DeathHook>>,
    /// How often output or another body came from the buildlet.
    activity: AtomicU64,
}

impl Life {
    pub(super) fn new(hook: Option<DeathHook>) -> Self {
        Self {
            broken: OnceLock::new(),
            death: OnceLock::new(),
            dead: CancellationToken::new(),
            hook: Mutex::new(hook),
            activity: AtomicU64::new(0),
        }
    }

    pub(super) fn broken(&self) -> Option<&BrokenReason> {
        self.broken.get()
    }

    pub(super) fn mark_broken(&self, reason: BrokenReason) {
        let _ = self.broken.set(reason); // the first one stays
    }

    /// Ends the client; only the first time counts.
    pub(super) fn die(&self, reason: &BrokenReason) {
        self.mark_broken(reason.clone());
        if self.death.set(reason.clone()).is_err() {
            return;
        }
        self.dead.cancel();
        let hook = self
            .hook
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(hook) = hook {
            hook(reason);
        }
    }

    /// Why the client is dead, if it is.
    pub(super) fn death(&self) -> Option<&BrokenReason> {
        self.death.get()
    }

    /// Fires once the client is dead; [`death`](Self::death) has the reason then.
    pub(super) fn dead(&self) -> &CancellationToken {
        &self.dead
    }

    /// Notes that a part of a body came from the buildlet.
    pub(super) fn heard(&self) {
        self.activity.fetch_add(1, Ordering::Relaxed);
    }

    /// Changes whenever a part of a body comes from the buildlet.
    pub(super) fn activity(&self) -> u64 {
        self.activity.load(Ordering::Relaxed)
    }
}
