use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::shared::Shared;
use super::{CommandError, Coordinator};
use crate::model::{MachineChange, Timestamp};
use crate::store::{DrainedMachine, Store, StoreError};

/// The names of machines that somebody took out of service, as the store has them.
#[derive(Debug, Default)]
pub(super) struct Drained {
    names: Mutex<BTreeMap<String, DrainedMachine>>,
}

impl Drained {
    /// Takes what the store has.
    pub(super) async fn load(&self, store: &Store) -> Result<(), StoreError> {
        let stored = store.drained_machines().await?;
        let names = stored.into_iter().map(|one| (one.name.clone(), one));
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names.collect();
        Ok(())
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.contains_key(name)
    }

    fn all(&self) -> Vec<DrainedMachine> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.values().cloned().collect()
    }
}

impl Coordinator {
    /// Takes machines of this name out of service, or back into it: they get no new build; one that runs goes on. It is the name that is
    /// remembered, by the store, so a machine may be drained before it comes. Whether there is one of that name here now.
    ///
    /// # Errors
    ///
    /// [`CommandError::NoMachine`] if one is to be put back into service that is neither here nor drained; or the store's.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stores the change or not; what was stored and did not reach the machines yet does at the next start.
    pub async fn drain_machine(
        &self,
        name: &str,
        drained: bool,
        by: &str,
    ) -> Result<bool, CommandError> {
        let shared = &self.shared;
        let changed = shared
            .store
            .set_drained(Timestamp::now(), name, drained, by)
            .await?;
        // First the names, by which machines are judged that come this moment.
        shared.drained.load(&shared.store).await?;
        let mut host_types = Vec::new();
        for pool in &shared.pools {
            for (host_type, of_type) in &pool.status().host_types {
                let machines = of_type.machines.iter();
                for machine in machines.filter(|one| *one.machine.host_name == *name) {
                    pool.set_drained(machine.machine.id, drained);
                    host_types.push(host_type.to_string());
                }
            }
        }
        let is_here = !host_types.is_empty();
        if !drained && !changed && !is_here {
            return Err(CommandError::NoMachine(name.to_owned()));
        }
        if changed {
            host_types.dedup();
            for host_type in host_types {
                note(shared, name, &host_type, drained, by).await;
            }
        }
        Ok(is_here)
    }

    /// The names of machines that get nothing new, whether they are here or not.
    #[must_use]
    pub fn drained_machines(&self) -> Vec<DrainedMachine> {
        self.shared.drained.all()
    }
}

async fn note(shared: &Shared, name: &str, host_type: &str, drained: bool, by: &str) {
    let change = if drained {
        MachineChange::Drained { by: by.to_owned() }
    } else {
        let reason = format!("{by} put it back into service");
        MachineChange::Released { reason }
    };
    let noted = shared
        .store
        .record_machine(Timestamp::now(), name, host_type, change)
        .await;
    if let Err(error) = noted {
        tracing::warn!(machine = name, %error, "what happened to a machine is not noted");
    }
}
