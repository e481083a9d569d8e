use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::dialer::SessionEnd;
use crate::proto::PickupFailure;
use crate::register::RegisterError;

/// What happens to a [`Listener`](crate::Listener) behind the scenes, for logs and metrics.
#[derive(Debug)]
#[non_exhaustive]
pub enum ListenerEvent<'a> {
    /// The coordinator has taken the registration, the first one or another.
    Registered,
    /// A pick-up failed; the coordinator is told.
    PickupFailed(&'a PickupFailure),
    /// The session is over.
    Lost(&'a SessionEnd),
    /// The listener registers again after `delay`.
    Retrying {
        /// The time until then.
        delay: Duration,
    },
    /// Registering again failed.
    RegisterFailed(&'a RegisterError),
}

/// Who is told of events, if anybody.
#[derive(Clone, Default)]
pub(crate) struct Observer(Option<Arc<Observe>>);

type Observe = dyn Fn(&ListenerEvent<'_>) + Send + Sync;

impl Observer {
    pub(crate) fn new(observer: impl Fn(&ListenerEvent<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(observer)))
    }

    pub(crate) fn tell(&self, event: &ListenerEvent<'_>) {
        if let Some(observer) = &self.0 {
            observer(event);
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Observer(..)"
        } else {
            "Observer(none)"
        })
    }
}
