use std::collections::VecDeque;
use std::fmt;
use std::future::pending;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::timeout;

use crate::event::{Event, Signal};
use crate::journal::{Journal, JournalWriter, OpenHubError};
use crate::time::Time;

/// The stream of events: keeps the latest, and wakes those who wait for the next.
///
/// Times are given under one lock and strictly increase, also when the clock steps back and across restarts of a hub with a journal; so
/// they are the events' order, and who passes each event's time as `after` gets each event that is kept once, in that order.
///
/// Clones are handles of the same stream.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
    /// Ends the journal's thread with the last handle.
    journal: Option<Arc<JournalWriter>>,
}

pub(crate) struct Shared {
    config: HubConfig,
    state: Mutex<State>,
    /// The newest event's time.
    newest: watch::Sender<Option<Time>>,
}

struct State {
    events: VecDeque<Arc<Event>>,
    /// No event is given a time that is not later.
    horizon: Option<Time>,
}

type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// How much a [`Hub`] keeps, and how long it lets clients wait.
#[derive(Clone)]
pub struct HubConfig {
    max_events: usize,
    min_events: usize,
    keep_for: Duration,
    wait: Duration,
    clock: Clock,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            max_events: 10_000,
            min_events: 50,
            keep_for: Duration::from_secs(24 * 60 * 60),
            wait: Duration::from_secs(30),
            clock: Arc::new(SystemTime::now),
        }
    }
}

impl fmt::Debug for HubConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubConfig")
            .field("max_events", &self.max_events)
            .field("min_events", &self.min_events)
            .field("keep_for", &self.keep_for)
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}

impl HubConfig {
    /// Events that are kept at most; 10,000 by default, about 5 MB, and at least 1.
    #[must_use]
    pub fn max_events(mut self, events: usize) -> Self {
        self.max_events = events.max(1);
        self
    }

    /// Events that are kept however old they are; 50 by default.
    #[must_use]
    pub fn min_events(mut self, events: usize) -> Self {
        self.min_events = events;
        self
    }

    /// How long other events are kept; a day by default.
    #[must_use]
    pub fn keep_for(mut self, time: Duration) -> Self {
        self.keep_for = time;
        self
    }

    /// How long [`Hub::next_after`] waits; 30 s by default, as upstream. Go's clients give up after 5 min.
    #[must_use]
    pub fn wait(mut self, time: Duration) -> Self {
        self.wait = time;
        self
    }

    /// The clock that events get their times from; the system's by default. It may step back.
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }
}

impl Hub {
    /// A stream that ends with the process.
    #[must_use]
    pub fn in_memory(config: HubConfig) -> Self {
        Self {
            shared: Arc::new(Shared::new(config, VecDeque::new())),
            journal: None,
        }
    }

    /// A stream that is also in a file, which this process alone may have open: the events that were kept are there again at the next start.
    ///
    /// A thread of its own writes, and dropping the last handle waits until it has written everything; [`persisted`](Self::persisted) waits for it. The file grows to twice what is kept, and is then made anew. A last
    /// line that a crash cut short is left out, and said in the log (`tracing`); so is a line that is no event.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written, or another process has it open.
    pub fn open(config: HubConfig, path: impl Into<PathBuf>) -> Result<Self, OpenHubError> {
        let (journal, events) = Journal::open(path.into(), config.max_events)?;
        let shared = Arc::new(Shared::new(config, events));
        let writer = JournalWriter::start(journal, Arc::clone(&shared))?;
        Ok(Self {
            shared,
            journal: Some(Arc::new(writer)),
        })
    }

    /// Adds an event and wakes who waits. Returns its time.
    #[expect(clippy::must_use_candidate, reason = "most who publish need no time")]
    pub fn publish(&self, signal: Signal) -> Time {
        let mut state = self.shared.lock();
        let time = self.shared.stamp(&mut state);
        state.events.push_back(Arc::new(Event::new(time, signal)));
        self.shared.trim(&mut state, time);
        // Under the lock: times are announced in their order.
        self.shared.newest.send_replace(Some(time));
        drop(state);
        if let Some(journal) = &self.journal {
            journal.wake();
        }
        time
    }

    /// Waits for the first event later than `after`, or than the call; or, as long as [`HubConfig::wait`] says, for none.
    ///
    /// The time of a time-out is not later than that of any event to come.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is taken from the stream.
    pub async fn next_after(&self, after: Option<Time>) -> Arc<Event> {
        // Seen before the buffer is looked at: what comes in between is a change.
        let mut newest = self.shared.newest.subscribe();
        let after = after.unwrap_or_else(|| self.shared.raise_horizon());
        let event = timeout(self.shared.config.wait, async {
            loop {
                if let Some(event) = self.shared.first_after(after) {
                    return event;
                }
                if newest.changed().await.is_err() {
                    // The sender is in `self`: this is never so.
                    pending::<()>().await;
                }
            }
        });
        match event.await {
            Ok(event) => event,
            // It may have come at that very moment.
            Err(_) => (self.shared.first_after(after)).unwrap_or_else(|| {
                // A client whose `after` is in our future comes back to where the next event will be.
                Arc::new(Event::timeout(after.min(self.shared.raise_horizon())))
            }),
        }
    }

    /// The events that are kept, newest first, of those at or after `after`.
    #[must_use]
    pub fn recent(&self, after: Option<Time>) -> Vec<Arc<Event>> {
        let state = self.shared.lock();
        (state.events.iter().rev())
            .take_while(|event| after.is_none() || event.time >= after)
            .cloned()
            .collect()
    }

    /// Waits until everything up to that time is in the file. `false` if it could not be written, or not within the limit; always `true` without a
    /// file. What could not be written is tried again with the next event.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn persisted(&self, time: Time, limit: Duration) -> bool {
        match &self.journal {
            Some(journal) => journal.written(time, limit).await,
            None => true,
        }
    }
}

impl Shared {
    fn new(config: HubConfig, events: VecDeque<Arc<Event>>) -> Self {
        let newest = events.back().and_then(|event| event.time);
        Self {
            config,
            state: Mutex::new(State {
                events,
                horizon: newest,
            }),
            newest: watch::Sender::new(newest),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in between leaves a list that is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A time that no event has, for the next event.
    fn stamp(&self, state: &mut State) -> Time {
        let now = Time::from((self.config.clock)());
        let time = match state.horizon {
            Some(horizon) if now <= horizon => horizon.next(),
            _ => now,
        };
        state.horizon = Some(time);
        time
    }

    /// A time that every event to come is later than, and none that is there.
    fn raise_horizon(&self) -> Time {
        let mut state = self.lock();
        let now = Time::from((self.config.clock)());
        let horizon = state.horizon.map_or(now, |horizon| horizon.max(now));
        state.horizon = Some(horizon);
        horizon
    }

    fn trim(&self, state: &mut State, now: Time) {
        let oldest = Some(now.minus(self.config.keep_for));
        while state.events.len() > self.config.max_events
            || (state.events.len() > self.config.min_events
                && state
                    .events
                    .front()
                    .is_some_and(|event| event.time < oldest))
        {
            state.events.pop_front();
        }
    }

    fn first_after(&self, after: Time) -> Option<Arc<Event>> {
        let state = self.lock();
        let at = (state.events).partition_point(|event| event.time <= Some(after));
        state.events.get(at).cloned()
    }

    /// The events later than `after`, or all, oldest first.
    pub(crate) fn events_after(&self, after: Option<Time>) -> Vec<Arc<Event>> {
        let state = self.lock();
        let at = state.events.partition_point(|event| event.time <= after);
        state.events.range(at..).cloned().collect()
    }

    pub(crate) fn max_events(&self) -> usize {
        self.config.max_events
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("config", &self.shared.config)
            .field("kept", &self.shared.lock().events.len())
            .finish_non_exhaustive()
    }
}
