use std::collections::VecDeque;
use std::error::Error;
use std::fmt::{self, Debug, Display, Formatter};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::change::Change;
use crate::view::View;

/// Updates that a slow subscriber may be behind.
const KEPT: usize = 256;

/// What the corpus shares with those who read it.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    view: View,
    /// How many updates there were.
    sequence: u64,
    /// The last of them.
    updates: VecDeque<Arc<[Change]>>,
    subscribers: usize,
    closed: bool,
}

impl Shared {
    pub(crate) fn new(view: View) -> Self {
        Self {
            state: Mutex::new(State {
                view,
                sequence: 0,
                updates: VecDeque::new(),
                subscribers: 0,
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// Nothing that holds the lock can panic halfway through a change.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn view(&self) -> View {
        self.lock().view.clone()
    }

    pub(crate) fn has_subscribers(&self) -> bool {
        self.lock().subscribers > 0
    }

    pub(crate) fn publish(&self, view: View, changes: Vec<Change>) {
        let mut state = self.lock();
        // Dropped when nobody waits for the lock: a view may have much to give back.
        let old = std::mem::replace(&mut state.view, view);
        if state.subscribers > 0 && !changes.is_empty() {
            state.sequence += 1;
            state.updates.push_back(changes.into());
            if state.updates.len() > KEPT {
                state.updates.pop_front();
            }
            self.changed.notify_all();
        }
        drop(state);
        drop(old);
    }

    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    pub(crate) fn subscribe(self: &Arc<Self>) -> Subscription {
        let mut state = self.lock();
        state.subscribers += 1;
        Subscription {
            shared: Arc::clone(self),
            seen: state.sequence,
        }
    }
}

/// Takes views of a corpus that somebody else keeps up to date, on any thread.
#[derive(Clone)]
pub struct Reader {
    pub(crate) shared: Arc<Shared>,
}

impl Reader {
    /// The corpus as it is now.
    #[must_use]
    pub fn view(&self) -> View {
        self.shared.view()
    }

    /// As [`Corpus::subscribe`](crate::Corpus::subscribe).
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.shared.subscribe()
    }
}

impl Debug for Reader {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

/// Tells what changes in a corpus, update by update.
///
/// While there is one, updates note what they change, which costs them some memory for each change. At most 256 updates are kept for one
/// that does not ask.
pub struct Subscription {
    shared: Arc<Shared>,
    /// The last update that was given out.
    seen: u64,
}

impl Subscription {
    /// The changes of the next update, each once, or `None` if there is none within `timeout`. They are in the view that
    /// [`view`](Self::view) gives, as is perhaps more.
    ///
    /// # Errors
    ///
    /// [`FeedError::Lagged`] once, after which the oldest update that is kept comes next; [`FeedError::Closed`] at the end.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Arc<[Change]>>, FeedError> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.shared.lock();
        loop {
            let oldest = state.sequence - state.updates.len() as u64;
            if self.seen < oldest {
                let missed = oldest - self.seen;
                self.seen = oldest;
                return Err(FeedError::Lagged { missed });
            }
            if let Some(update) = state.updates.get((self.seen - oldest) as usize) {
                self.seen += 1;
                return Ok(Some(Arc::clone(update)));
            }
            if state.closed {
                return Err(FeedError::Closed);
            }
            let left = deadline.map_or(Duration::MAX, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return Ok(None);
            }
            (state, _) = self
                .shared
                .changed
                .wait_timeout(state, left.min(Duration::from_secs(3600)))
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The corpus as it is now.
    #[must_use]
    pub fn view(&self) -> View {
        self.shared.view()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.subscribers -= 1;
        if state.subscribers == 0 {
            state.updates.clear();
        }
    }
}

impl Debug for Subscription {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

/// Why there are no changes to give.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FeedError {
    /// So many updates were dropped before they were asked for: what they changed must be found by looking at all.
    Lagged {
        /// How many.
        missed: u64,
    },
    /// The corpus is no more.
    Closed,
}

impl Display for FeedError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lagged { missed } => write!(f, "{missed} updates were missed"),
            Self::Closed => f.write_str("the corpus is no more"),
        }
    }
}

impl Error for FeedError {}
