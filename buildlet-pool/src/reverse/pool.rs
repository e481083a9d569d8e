use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use buildlet_proto::key::BuilderKey;
use buildlet_proto::types::ext::KeptName;
use futures_core::Stream;
use revdial::Registered;
use revdial::proto::Worker;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::core::Core;
use super::invitation::{Invitation, Invited};
use super::leased::Ticket;
use super::shared::{MachineHandle, Shared};
use super::{ReverseConfig, session};
use crate::{
    BuildletPool, GetBuildletError, HostType, Lease, LeaseError, LeaseOptions, LeaseRequest,
    Machine, MachineId, Metrics, OfferEvent, Offers, PoolStatus, ReclaimError, ReclaimRequest,
};

/// Machines that dial in and register, as buildlets in reverse mode do: from behind NAT, or from this machine.
///
/// It judges registrations for a [`FrontDoor`](revdial::FrontDoor) ([`Authorize`](revdial::Authorize)), and is handed what the door
/// let in ([`admit`](Self::admit)). Clones share the pool; it is shut down when the last is dropped.
///
/// # A machine's stay
///
/// ```text
/// registers -> Checking -> Idle <-> Busy -> Leaving -> gone, and registers again
///                           ^ |       |        ^
///                           | |       v        | does not answer, or is told to halt
///                           | |    Cleaning ---+      (after a lease: see Reuse)
///                           | +-> Quarantined         (builds kept failing for no fault of theirs)
///                           +----------+
/// ```
///
/// - **Checking:** it is asked for its status; it must answer and be new enough, and then its work directory is emptied.
/// - **Held:** it came back with commands of its last stay: see [the crate](crate#machines-that-come-back).
/// - **Idle:** it goes to the request that waits longest, else it is on offer. Every 10 to 14 seconds it is asked whether it lives. A
///   connection that ends is noticed at once.
/// - **Busy:** in a lease. The holder's client has a heartbeat from its first call on, and the pool sees to it that there is a first call; a
///   machine that is busy sending is not taken for a dead one.
/// - **Quarantined:** it stays connected and is watched, and nobody gets it. After a minute it gets one lease as a trial: a
///   [`Healthy`](crate::Verdict::Healthy) one clears it, a bad one doubles the time. The machine's name is what this is remembered by, so coming back does not
///   help.
///
/// # Names
///
/// While a machine is here and answers, no other of its type can register under its name; it gets a 503, with which buildlets try
/// again. One that does not answer any more within [`duplicate_limit`](ReverseConfig::duplicate_limit) is replaced.
#[derive(Clone)]
pub struct ReversePool {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
}

/// Why there can be no pool, or no invitation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NewPoolError {
    /// The operating system has no random bytes to give.
    #[error("cannot get random bytes")]
    Random(#[source] io::Error),
    /// Somebody is invited under that name already.
    #[error("{host_name} is invited already")]
    Invited {
        /// The name.
        host_name: String,
    },
}

impl ReversePool {
    /// A pool without machines.
    ///
    /// # Errors
    ///
    /// When the operating system has no random bytes to give.
    pub fn new(config: ReverseConfig) -> Result<Self, NewPoolError> {
        let seed = getrandom::u64().map_err(|error| NewPoolError::Random(error.into()))?;
        let shared = Arc::new(Shared::new(config, seed));
        Ok(Self {
            inner: Arc::new(Inner { shared }),
        })
    }

    /// Takes in a machine that a front door let in, with this pool as the judge. It is on offer once it was checked.
    ///
    /// The connection is closed if the machine is a gomote's, or if meanwhile the pool was filled or shut down.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn admit(&self, registered: Registered) {
        let Registered {
            dialer,
            claim,
            peer,
            ..
        } = registered;
        let Worker::Buildlet {
            host_type, version, ..
        } = claim.worker()
        else {
            return;
        };
        let shared = self.shared();
        let host_type = HostType::from(host_type.as_str());
        let host_name: Arc<str> = claim.host_name().into();
        let identity = (host_type.clone(), host_name.clone());

        let mut description = Machine::new(MachineId::new(0), host_type, host_name);
        description.version = version.as_str().into();
        description.peer = peer;

        let (id, invited) = shared.look(|state| {
            let id = MachineId::new(state.core.new_number());
            (id, state.invited.get(&identity).cloned())
        });
        description.id = id;
        let name = description.host_name.clone();
        let handle = MachineHandle::new(id, dialer, &name, invited.clone(), &shared.config);
        let handle = match handle {
            Ok(handle) => Arc::new(handle),
            Err(error) => return tracing::warn!(machine = &*name, %error, "machine not admitted"),
        };
        let admitted = shared.change(|core, now, fx| {
            if core.is_shut() || core.is_full() {
                return false;
            }
            if invited.is_some_and(|invited| !invited.admit(id)) {
                return false;
            }
            if let Some((old, _)) = core.named(&identity) {
                core.replaced(now, old, fx);
            }
            core.join(now, description, handle.clone());
            true
        });
        if !admitted {
            return tracing::warn!(machine = &*name, "machine not admitted");
        }
        tracing::info!(machine = &*name, host_type = %identity.0, %id, "machine registered");
        shared.tasks.spawn(session::run(shared.clone(), handle));
    }

    /// Invites one machine to register under this name, with a key of its own. The name must be one that the front door takes.
    ///
    /// # Errors
    ///
    /// [`NewPoolError`].
    pub fn invite(
        &self,
        host_type: impl Into<HostType>,
        host_name: &str,
    ) -> Result<Invitation, NewPoolError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| NewPoolError::Random(error.into()))?;
        let key = format!("{:032x}", u128::from_be_bytes(bytes));
        let identity = (host_type.into(), Arc::from(host_name));
        let invited = Arc::new(Invited::new(BuilderKey::new(key)));
        let is_new = self.shared().look(|state| {
            let is_new = !state.invited.contains_key(&identity);
            if is_new {
                state.invited.insert(identity.clone(), invited.clone());
            }
            is_new
        });
        if !is_new {
            return Err(NewPoolError::Invited {
                host_name: host_name.to_owned(),
            });
        }
        Ok(Invitation {
            shared: self.shared().clone(),
            identity,
            invited,
        })
    }

    /// Puts a machine in quarantine for this time, after which it gets a trial. A lease that it is in goes on. Whether there is such a
    /// machine.
    #[must_use]
    pub fn quarantine(&self, machine: MachineId, time: Duration, reason: &str) -> bool {
        let sentence = Some((time, reason.to_owned()));
        self.shared()
            .change(|core, now, fx| core.set_quarantine(now, machine, sentence, fx))
    }

    /// Lets a machine out of quarantine, with its failures forgotten. Whether there is such a machine.
    #[must_use]
    pub fn end_quarantine(&self, machine: MachineId) -> bool {
        self.shared()
            .change(|core, now, fx| core.set_quarantine(now, machine, None, fx))
    }

    /// Lets a machine go without telling it to halt, and ends the lease it is in. Whether there is such a machine.
    #[must_use]
    pub fn disconnect(&self, machine: MachineId, reason: &str) -> bool {
        self.shared()
            .change(|core, now, fx| core.revoke(now, machine, reason.to_owned(), fx))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }
}

#[async_trait]
impl BuildletPool for ReversePool {
    fn description(&self) -> String {
        "machines that register".to_owned()
    }

    async fn get_buildlet(&self, request: LeaseRequest) -> Result<Lease, GetBuildletError> {
        let LeaseRequest {
            host_type,
            wait_limit,
            options,
        } = request;
        let shared = self.shared();
        let (waiter, mut ticket) = oneshot::channel::<Ticket>();
        let number =
            shared.change(|core, now, fx| core.wait(now, &host_type, options, waiter, fx))?;
        // Before the ticket goes, so that none is sent to nobody.
        let place = Place {
            shared,
            host_type: &host_type,
            number,
        };
        let got = timeout(wait_limit, &mut ticket).await;
        drop(place);
        match got {
            Ok(Ok(ticket)) => Ok(ticket.redeem()),
            Ok(Err(_)) => Err(GetBuildletError::Closed),
            // It may have come in the same moment.
            Err(_) => match ticket.try_recv() {
                Ok(ticket) => Ok(ticket.redeem()),
                Err(_) => Err(GetBuildletError::TimedOut {
                    host_type,
                    limit: wait_limit,
                }),
            },
        }
    }

    async fn lease(&self, machine: MachineId, options: LeaseOptions) -> Result<Lease, LeaseError> {
        let shared = self.shared();
        let grant = shared.change(|core, now, _| core.lease(now, machine, options))?;
        Ok(Ticket::new(shared.clone(), grant).redeem())
    }

    async fn reclaim(&self, request: ReclaimRequest) -> Result<Lease, ReclaimError> {
        let ReclaimRequest {
            name,
            wait_limit,
            options,
        } = request;
        let shared = self.shared();
        let (waiter, mut ticket) = oneshot::channel::<Ticket>();
        let number = shared.change(|core, now, fx| core.claim(now, name, options, waiter, fx))?;
        // As in `get_buildlet`: before the ticket goes.
        let place = Claiming {
            shared,
            name,
            number,
        };
        let got = timeout(wait_limit, &mut ticket).await;
        drop(place);
        match got {
            Ok(Ok(ticket)) => Ok(ticket.redeem()),
            Ok(Err(_)) => Err(ReclaimError::Closed),
            Err(_) => match ticket.try_recv() {
                Ok(ticket) => Ok(ticket.redeem()),
                Err(_) => Err(ReclaimError::TimedOut { limit: wait_limit }),
            },
        }
    }

    fn offers(&self) -> Offers {
        let shared = self.shared().clone();
        let number = shared.look(|state| state.core.follow());
        Offers::new(Following { shared, number })
    }

    fn status(&self) -> PoolStatus {
        let description = self.description();
        self.shared()
            .change(|core, now, _| core.status(now, description))
    }

    fn metrics(&self) -> Metrics {
        self.shared().look(|state| *state.core.metrics())
    }

    fn set_drained(&self, machine: MachineId, drained: bool) -> bool {
        self.shared()
            .change(|core, now, fx| core.set_drained(now, machine, drained, fx))
    }

    async fn drain(&self) {
        let shared = self.shared();
        shared.change(|core, _, fx| core.close(fx));
        loop {
            let ended = shared.all_ended.notified();
            if shared.look(|state| state.core.leases()) == 0 {
                return;
            }
            ended.await;
        }
    }

    async fn shutdown(&self) {
        let shared = self.shared();
        shared.change(Core::shut);
        shared.tasks.close();
        shared.tasks.wait().await;
    }
}

impl fmt::Debug for ReversePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReversePool").finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.change(Core::shut);
        self.shared.tasks.close();
        self.shared.kill.cancel();
    }
}

/// A request's place in the queue, until it has its machine or is dropped.
struct Place<'a> {
    shared: &'a Arc<Shared>,
    host_type: &'a HostType,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let waiter = self
            .shared
            .look(|state| state.core.give_up(self.host_type, self.number));
        drop(waiter);
    }
}

/// A claim of a machine, until it has come or the claim is dropped.
struct Claiming<'a> {
    shared: &'a Arc<Shared>,
    name: KeptName,
    number: u64,
}

impl Drop for Claiming<'_> {
    fn drop(&mut self) {
        let waiter = self
            .shared
            .look(|state| state.core.unclaim(self.name, self.number));
        drop(waiter);
    }
}

/// What is on offer, for one follower.
struct Following {
    shared: Arc<Shared>,
    number: u64,
}

impl Stream for Following {
    type Item = OfferEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<OfferEvent>> {
        self.shared.look(
            |state| match state.core.next_offer(self.number, cx.waker()) {
                Some(event) => Poll::Ready(Some(event)),
                None if state.core.is_shut() => Poll::Ready(None),
                None => Poll::Pending,
            },
        )
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.shared.look(|state| state.core.unfollow(self.number));
    }
}
