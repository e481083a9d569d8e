use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::in_full::in_full;
use crate::leader::{Round, SourceError, SourceErrorKind};

/// How the sources of a [`Supervisor`](crate::leader::Supervisor) are. Clones are of the same ones.
#[derive(Debug, Clone, Default)]
pub struct Health {
    sources: Arc<Mutex<Vec<Arc<Entry>>>>,
}

/// How a source is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceHealth {
    /// The source's name.
    pub name: String,
    /// What it does now.
    pub state: SourceState,
    /// When the last round began that succeeded: everything older is in the log.
    pub caught_up: Option<SystemTime>,
    /// How long that round took.
    pub took: Duration,
    /// When the next round begins, unless something wakes it before.
    pub next: Option<SystemTime>,
    /// Rounds that succeeded.
    pub rounds: u64,
    /// Rounds that failed since the last that succeeded.
    pub failures: u32,
    /// Why the last round failed, and what is to be done; `None` if it succeeded.
    pub error: Option<(SourceErrorKind, String)>,
    /// Mutations of all rounds that succeeded.
    pub mutations: u64,
    /// Requests of all of them.
    pub requests: u64,
    /// What could not be used of what the last round saw.
    pub skipped: u64,
}

/// What a source does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SourceState {
    /// It was not begun, or was ended.
    Stopped,
    /// A round runs.
    Running,
    /// It waits for the next.
    Waiting,
}

impl Health {
    /// Each source, in the order in which they were added.
    #[must_use]
    pub fn sources(&self) -> Vec<SourceHealth> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.iter().map(|entry| entry.lock().clone()).collect()
    }

    pub(super) fn add(&self, name: &str) -> Arc<Entry> {
        let entry = Arc::new(Entry(Mutex::new(SourceHealth::new(name))));
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.push(Arc::clone(&entry));
        entry
    }
}

impl SourceHealth {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            state: SourceState::Stopped,
            caught_up: None,
            took: Duration::ZERO,
            next: None,
            rounds: 0,
            failures: 0,
            error: None,
            mutations: 0,
            requests: 0,
            skipped: 0,
        }
    }
}

/// The health of one source.
#[derive(Debug)]
pub(super) struct Entry(Mutex<SourceHealth>);

impl Entry {
    fn lock(&self) -> MutexGuard<'_, SourceHealth> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begins(&self) {
        let mut health = self.lock();
        health.state = SourceState::Running;
        health.next = None;
    }

    pub(super) fn succeeded(&self, began: SystemTime, took: Duration, round: Round) {
        let mut health = self.lock();
        health.caught_up = Some(began);
        health.took = took;
        health.rounds += 1;
        health.failures = 0;
        health.error = None;
        health.mutations += round.mutations;
        health.requests += round.requests;
        health.skipped = round.skipped;
    }

    /// Returns how often it failed now.
    pub(super) fn failed(&self, error: &SourceError) -> u32 {
        let mut health = self.lock();
        health.failures = health.failures.saturating_add(1);
        health.error = Some((error.kind(), in_full(error)));
        health.failures
    }

    pub(super) fn waits(&self, pause: Duration) {
        let mut health = self.lock();
        health.state = SourceState::Waiting;
        health.next = SystemTime::now().checked_add(pause);
    }

    pub(super) fn stops(&self) {
        let mut health = self.lock();
        health.state = SourceState::Stopped;
        health.next = None;
    }
}
