use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use buildlet_proto::client::BuildletClient;

use crate::Machine;

/// A machine for one holder alone, until this is [released](Self::release), dropped, or [lost](Self::lost).
///
/// Whichever it is, clients that were cloned from it are dead then, and what their calls run on the machine is killed: nothing of one
/// holder reaches into the time of the next.
///
/// Dropping it is what happens to a holder that was cancelled or panicked: who knows in which state it leaves the machine? So
/// the machine is not given out again as it is; a reverse buildlet is told to halt, and comes back as a new process.
#[must_use = "dropped, the machine is given back"]
pub struct Lease {
    machine: Arc<Machine>,
    client: Arc<dyn BuildletClient>,
    control: Option<Box<dyn LeaseControl>>,
}

/// What a [`Lease`] is to the pool that made it.
#[async_trait]
pub trait LeaseControl: Send + Sync {
    /// Has the lease last for this time, from now on.
    ///
    /// # Errors
    ///
    /// Why it is over already.
    fn renew(&self, time: Duration) -> Result<(), LostReason>;

    /// Waits until the lease is over through no doing of its holder. Cancel safe.
    async fn lost(&self) -> LostReason;

    /// Takes the machine back. Called once, and last. It must not block.
    fn end(&self, verdict: Verdict);
}

/// What its holder has to say of a machine at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It did what it was asked to. Whether the build succeeded plays no part.
    Healthy,
    /// It failed in a way that no build is guilty of, for this reason. Who does so again and again is put in quarantine.
    Suspect(String),
    /// Nothing is known: the holder went away, or does not want to say.
    Unknown,
    /// It is to go on with the commands that [outlive](crate::Machine::keeps_commands) this lease, as somebody will
    /// [claim](crate::BuildletPool::reclaim) them. It is let go without being told to halt.
    Unfinished,
}

/// Why a lease ended before its holder wanted it to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LostReason {
    /// The connection to the machine ended, for this reason.
    #[error("connection to the buildlet ended: {0}")]
    Disconnected(String),
    /// The machine did not answer any more.
    #[error("buildlet does not answer: {0}")]
    Unresponsive(String),
    /// Its time was over.
    #[error("lease expired after {0:?}")]
    Expired(Duration),
    /// The provider took the machine away.
    #[error("machine was preempted")]
    Preempted,
    /// The pool was shut down.
    #[error("pool was shut down")]
    Shutdown,
    /// The machine was leased out no more by an operator's order.
    #[error("machine was taken away: {0}")]
    Revoked(String),
}

impl Lease {
    /// A lease on `machine`, whose end `control` is told.
    pub fn new(
        machine: Arc<Machine>,
        client: Arc<dyn BuildletClient>,
        control: Box<dyn LeaseControl>,
    ) -> Self {
        Self {
            machine,
            client,
            control: Some(control),
        }
    }

    /// Calls the buildlet. A clone does not keep the lease.
    #[must_use]
    pub fn client(&self) -> &Arc<dyn BuildletClient> {
        &self.client
    }

    /// The machine.
    #[must_use]
    pub fn machine(&self) -> &Arc<Machine> {
        &self.machine
    }

    /// Has the lease last for `time` from now on, whether that is sooner or later than before.
    ///
    /// # Errors
    ///
    /// Why it is over already.
    pub fn renew(&self, time: Duration) -> Result<(), LostReason> {
        self.control().renew(time)
    }

    /// Waits until the lease is over through no doing of its holder, and says why. Calls of the client fail then, too.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn lost(&self) -> LostReason {
        self.control().lost().await
    }

    /// Gives the machine back. Commands should have ended before; what still runs is killed.
    pub fn release(mut self, verdict: Verdict) {
        if let Some(control) = self.control.take() {
            control.end(verdict);
        }
    }

    fn control(&self) -> &dyn LeaseControl {
        self.control
            .as_deref()
            .expect("only release and drop take it")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(control) = self.control.take() {
            control.end(Verdict::Unknown);
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("machine", &self.machine)
            .finish_non_exhaustive()
    }
}
