use std::fmt;
use std::sync::{Arc, OnceLock};

use buildlet_proto::key::BuilderKey;
use subtle::ConstantTimeEq as _;
use tokio_util::sync::CancellationToken;

use super::record::Identity;
use super::shared::Shared;
use crate::MachineId;

/// Lets one machine register once, under this name and with this key and no other. Dropping it withdraws it; the machine's stay goes on then.
///
/// For whoever starts machines, and gives each its key on the way.
pub struct Invitation {
    pub(super) shared: Arc<Shared>,
    pub(super) identity: Identity,
    pub(super) invited: Arc<Invited>,
}

/// An invitation, as registrations find it.
pub(super) struct Invited {
    key: BuilderKey,
    machine: OnceLock<MachineId>,
    arrived: CancellationToken,
    left: CancellationToken,
}

impl Invitation {
    /// The name to register with.
    #[must_use]
    pub fn host_name(&self) -> &str {
        &self.identity.1
    }

    /// The host type to register with.
    #[must_use]
    pub fn host_type(&self) -> &str {
        self.identity.0.as_str()
    }

    /// The key to register with: 128 random bits, made for this.
    #[must_use]
    pub fn key(&self) -> &BuilderKey {
        &self.invited.key
    }

    /// Waits until the machine has registered. Cancel safe.
    #[expect(
        clippy::missing_panics_doc,
        reason = "the machine is set before the token fires"
    )]
    pub async fn arrived(&self) -> MachineId {
        self.invited.arrived.cancelled().await;
        let machine = self.invited.machine.get();
        *machine.expect("it is set before the token fires")
    }

    /// Waits until the machine that registered is gone. Cancel safe.
    pub async fn left(&self) {
        self.invited.left.cancelled().await;
    }
}

impl Drop for Invitation {
    fn drop(&mut self) {
        self.shared.look(|state| {
            let current = state.invited.get(&self.identity);
            if current.is_some_and(|one| Arc::ptr_eq(one, &self.invited)) {
                state.invited.remove(&self.identity);
            }
        });
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation")
            .field("host_type", &self.identity.0)
            .field("host_name", &self.identity.1)
            .finish_non_exhaustive()
    }
}

impl Invited {
    pub(super) fn new(key: BuilderKey) -> Self {
        Self {
            key,
            machine: OnceLock::new(),
            arrived: CancellationToken::new(),
            left: CancellationToken::new(),
        }
    }

    pub(super) fn has_key(&self, presented: &str) -> bool {
        let key = self.key.as_str().as_bytes();
        key.ct_eq(presented.as_bytes()).into()
    }

    /// Whether nobody has come yet.
    pub(super) fn is_open(&self) -> bool {
        self.machine.get().is_none()
    }

    /// Lets the machine in, if it is the first.
    pub(super) fn admit(&self, machine: MachineId) -> bool {
        let first = self.machine.set(machine).is_ok();
        if first {
            self.arrived.cancel();
        }
        first
    }

    /// The machine is gone.
    pub(super) fn leave(&self) {
        self.left.cancel();
    }
}
