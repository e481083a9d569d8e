use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::{LostReason, Machine, MachineId};

/// What a pool has on offer, followed from the beginning: first comes what is there, then what changes. It ends when the pool is shut down.
///
/// Nothing is missed and nothing piles up. A follower that falls behind learns the newest state of each machine and not what was
/// in between; so what waits for it is bounded by the number of machines.
pub struct Offers(Pin<Box<dyn Stream<Item = OfferEvent> + Send>>);

/// A change of what is on offer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum OfferEvent {
    /// The machine can be [leased](crate::BuildletPool::lease): it came, or its last lease is over.
    ///
    /// This is told anew each time. No event says that the machine is on offer no more because [`lease`](crate::BuildletPool::lease) took it.
    Offered(Arc<Machine>),
    /// The machine is on offer no more, but not gone: [`get_buildlet`](crate::BuildletPool::get_buildlet) took it, it is drained, or it is in quarantine.
    Withdrawn(MachineId),
    /// The machine is gone, and a lease it was in is lost. Only told of machines that were on offer before.
    Gone {
        /// Which.
        machine: MachineId,
        /// Why.
        reason: LostReason,
    },
}

impl Offers {
    /// Offers that come from `stream`. It must keep the promises of this type.
    #[must_use]
    pub fn new(stream: impl Stream<Item = OfferEvent> + Send + 'static) -> Self {
        Self(Box::pin(stream))
    }

    /// The next change; `None` once the pool is shut down. Cancel safe.
    pub async fn next(&mut self) -> Option<OfferEvent> {
        poll_fn(|cx| self.0.as_mut().poll_next(cx)).await
    }
}

impl Stream for Offers {
    type Item = OfferEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<OfferEvent>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for Offers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offers").finish_non_exhaustive()
    }
}
