use std::collections::HashMap;
use std::fmt::{self, Debug, Formatter};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::Notify;

/// Wakes sources when something happened there. Clones wake the same ones.
#[derive(Clone, Default)]
pub struct Hints {
    sources: Arc<RwLock<HashMap<String, Arc<Notify>>>>,
}

impl Hints {
    /// Lets a source begin a round at once, or after the one that runs, and tells whether there is one of this
    /// [name](crate::leader::Source::name). Several hints before a round are one.
    #[expect(clippy::must_use_candidate, reason = "hints about others are common")]
    pub fn wake(&self, source: &str) -> bool {
        let sources = self.lock();
        let notify = sources.get(source);
        notify.inspect(|notify| notify.notify_one()).is_some()
    }

    /// As [`wake`](Self::wake), for all sources whose names begin so, and all if that is empty.
    pub fn wake_all(&self, prefix: &str) {
        for (_, notify) in self
            .lock()
            .iter()
            .filter(|(name, _)| name.starts_with(prefix))
        {
            notify.notify_one();
        }
    }

    pub(super) fn add(&self, name: &str) -> Arc<Notify> {
        let notify = Arc::new(Notify::new());
        let mut sources = self.sources.write().unwrap_or_else(PoisonError::into_inner);
        sources.insert(name.to_owned(), Arc::clone(&notify));
        notify
    }

    fn lock(&self) -> RwLockReadGuard<'_, HashMap<String, Arc<Notify>>> {
        self.sources.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Debug for Hints {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lock().keys()).finish()
    }
}
