use std::time::Duration;

use async_trait::async_trait;
use buildlet_proto::types::ext::KeptName;

use crate::text::cut;
use crate::{HostType, Lease, MachineId, Metrics, Offers, PoolStatus};

/// Where buildlets come from.
///
/// This is the seam at which programs put other sources of machines in, such as a cloud. Implementations hand a machine out to one
/// holder at a time, and get it back however the holder ends.
///
/// A program either asks for a buildlet of a type and waits ([`get_buildlet`](Self::get_buildlet)), or follows what is on
/// [offer](Self::offers), decides by itself, and takes a certain machine ([`lease`](Self::lease)). Both can be done with one pool.
#[async_trait]
pub trait BuildletPool: Send + Sync {
    /// Where its machines come from, in a few words for people.
    fn description(&self) -> String;

    /// Waits for a buildlet of a type; who asks first, gets first.
    ///
    /// # Errors
    ///
    /// [`GetBuildletError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the queue. A machine that was given to it at the same moment goes to the next in the queue, or is on offer
    /// again.
    async fn get_buildlet(&self, request: LeaseRequest) -> Result<Lease, GetBuildletError>;

    /// Takes a machine that is on offer. It must not wait for other holders.
    ///
    /// # Errors
    ///
    /// [`LeaseError`], for instance when somebody else was faster.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the machine on offer.
    async fn lease(&self, machine: MachineId, options: LeaseOptions) -> Result<Lease, LeaseError>;

    /// Waits for the machine that comes back with commands of an earlier stay, and leases it as it is. Whoever is to have it
    /// must ask before it comes, or soon after: a machine that nobody claims is cleaned, and what it runs killed, before it is on offer.
    ///
    /// By default machines do not come back.
    ///
    /// # Errors
    ///
    /// [`ReclaimError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the claim up. A machine that was given to it at the same moment is cleaned.
    async fn reclaim(&self, request: ReclaimRequest) -> Result<Lease, ReclaimError> {
        let _ = request;
        Err(ReclaimError::NotHere)
    }

    /// What is on offer now, and what changes from then on.
    fn offers(&self) -> Offers;

    /// What there is, for people and monitoring.
    fn status(&self) -> PoolStatus;

    /// What happened since the pool was made.
    fn metrics(&self) -> Metrics;

    /// Takes a machine out of service, or back into it: it is not on offer then, and not given out. A lease that it is in goes on.
    /// Whether there is such a machine.
    fn set_drained(&self, machine: MachineId, drained: bool) -> bool;

    /// Gives out nothing more, and waits until every lease has ended. The machines stay. Requests that wait fail.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the wait alone: the pool stays closed to requests.
    async fn drain(&self);

    /// Ends every lease, and lets go of the machines. Returns once that is done, after some seconds at most.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the wait alone: it goes on.
    async fn shutdown(&self);
}

/// What somebody who asks for a buildlet wants.
#[derive(Clone, Debug)]
pub struct LeaseRequest {
    pub(crate) host_type: HostType,
    pub(crate) wait_limit: Duration,
    pub(crate) options: LeaseOptions,
}

/// What somebody who waits for a machine to come back wants.
#[derive(Clone, Debug)]
pub struct ReclaimRequest {
    pub(crate) name: KeptName,
    pub(crate) wait_limit: Duration,
    pub(crate) options: LeaseOptions,
}

/// How a machine is to be leased.
#[derive(Clone, Debug, Default)]
pub struct LeaseOptions {
    pub(crate) time: Option<Duration>,
    pub(crate) holder: String,
}

/// Why there is no buildlet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum GetBuildletError {
    /// None came within [`LeaseRequest::wait_limit`].
    #[error("no buildlet of type {host_type} was free within {limit:?}")]
    TimedOut {
        host_type: HostType,
        limit: Duration,
    },
    /// The queue is full.
    #[error("{waiting} requests wait for buildlets already")]
    TooManyWaiting { waiting: usize },
    /// The pool is [drained](BuildletPool::drain) or shut down, or became it while this waited.
    #[error("the pool gives out no more buildlets")]
    Closed,
    /// The machine could not be made ready, as a cloud's that does not start.
    #[error("a buildlet of type {host_type} could not be made ready: {why}")]
    NotReady { host_type: HostType, why: String },
}

/// Why a machine cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum LeaseError {
    /// It left, or was never there.
    #[error("there is no machine {machine}")]
    NoSuchMachine { machine: MachineId },
    /// Somebody else has it, or it is not fit for use now.
    #[error("machine {machine} is not on offer: it is {state}")]
    NotOnOffer {
        machine: MachineId,
        state: &'static str,
    },
    /// The pool is [drained](BuildletPool::drain) or shut down.
    #[error("the pool gives out no more buildlets")]
    Closed,
}

/// Why a machine did not come back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum ReclaimError {
    /// It did not within [`ReclaimRequest::wait_limit`].
    #[error("the machine did not come back within {limit:?}")]
    TimedOut { limit: Duration },
    /// Machines of this pool do not.
    #[error("machines of this pool do not come back")]
    NotHere,
    /// The queue is full.
    #[error("{waiting} machines are waited for already")]
    TooManyWaiting { waiting: usize },
    /// The pool is [drained](BuildletPool::drain) or shut down, or became it while this waited; or somebody else claimed the
    /// same commands later.
    #[error("the pool gives out no more buildlets")]
    Closed,
}

impl ReclaimRequest {
    /// The machine with commands of this name, within `wait_limit`.
    #[must_use]
    pub fn new(name: KeptName, wait_limit: Duration) -> Self {
        Self {
            name,
            wait_limit,
            options: LeaseOptions::default(),
        }
    }

    /// How it is to be leased then.
    #[must_use]
    pub fn options(mut self, options: LeaseOptions) -> Self {
        self.options = options;
        self
    }

    /// Whose commands it has.
    #[must_use]
    pub fn name(&self) -> KeptName {
        self.name
    }

    /// How long it is waited for.
    #[must_use]
    pub fn wait_limit(&self) -> Duration {
        self.wait_limit
    }
}

impl LeaseRequest {
    /// Who waits longer than an hour has been forgotten, unless it says otherwise.
    const WAIT_LIMIT: Duration = Duration::from_secs(60 * 60);

    /// Any machine of this type, within an hour.
    #[must_use]
    pub fn new(host_type: impl Into<HostType>) -> Self {
        Self {
            host_type: host_type.into(),
            wait_limit: Self::WAIT_LIMIT,
            options: LeaseOptions::default(),
        }
    }

    /// How long to wait for one; an hour by default.
    #[must_use]
    pub fn wait_limit(mut self, limit: Duration) -> Self {
        self.wait_limit = limit;
        self
    }

    /// How it is to be leased then.
    #[must_use]
    pub fn options(mut self, options: LeaseOptions) -> Self {
        self.options = options;
        self
    }

    /// The type that is asked for.
    #[must_use]
    pub fn host_type(&self) -> &HostType {
        &self.host_type
    }
}

impl LeaseOptions {
    /// How long the lease lasts unless it is [renewed](Lease::renew); what the pool has set by default.
    #[must_use]
    pub fn time(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    /// Who has it and what for, as the status shows it: `build 17`, for instance. Nothing by default. Cut at 200 bytes.
    #[must_use]
    pub fn holder(mut self, holder: impl Into<String>) -> Self {
        const MAX_BYTES: usize = 200;
        self.holder = cut(holder.into(), MAX_BYTES);
        self
    }
}
