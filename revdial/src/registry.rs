use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::connection::Connection;
use crate::dialer::Session;
use crate::proto::DialerId;

/// The dialers that connections can be delivered to, by their ids.
///
/// A value that a coordinator makes and shares by cloning; there is no global one. A dialer is in it from its making to the end of
/// its session.
///
/// Ids are looked up by the standard library's keyed hash of 128 random bits, so the time that takes tells nothing of how much
/// of a guess was right.
#[derive(Clone, Default)]
pub struct PickupRegistry {
    sessions: Arc<Mutex<HashMap<DialerId, Weak<Session>>>>,
}

impl PickupRegistry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a connection that was picked up, and already answered with `101`, to the dialer `id`.
    ///
    /// A front door does this; call it where some other server took the connection over. If no dial waits for it,
    /// it is stocked, or closed where [`DialerConfig::max_stock`](crate::DialerConfig::max_stock) says so.
    ///
    /// # Errors
    ///
    /// The connection comes back if there is no such dialer.
    pub fn deliver(&self, id: &DialerId, conn: Connection) -> Result<(), Connection> {
        match self.find(id) {
            Some(session) => session.picked_up(conn),
            None => Err(conn),
        }
    }

    /// Whether there is a dialer of that id.
    #[must_use]
    pub fn contains(&self, id: &DialerId) -> bool {
        self.find(id).is_some()
    }

    /// How many dialers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there is no dialer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    pub(crate) fn find(&self, id: &DialerId) -> Option<Arc<Session>> {
        self.lock().get(id).and_then(Weak::upgrade)
    }

    /// False if the id is taken.
    pub(crate) fn insert(&self, id: DialerId, session: &Arc<Session>) -> bool {
        match self.lock().entry(id) {
            Entry::Vacant(vacant) => {
                vacant.insert(Arc::downgrade(session));
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    pub(crate) fn remove(&self, id: &DialerId) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DialerId, Weak<Session>>> {
        // Nothing panics while it is held, and the map is whole at any time.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for PickupRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PickupRegistry")
            .field("len", &self.len())
            .finish()
    }
}
