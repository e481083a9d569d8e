use tokio::time::Instant;

use super::super::record::Record;
use super::state::{Core, Handle, Slot, State, identity};
use crate::{HostTypeStatus, MachineState, MachineStatus, PoolStatus};

impl<M: Handle, W> Core<M, W> {
    pub(in crate::reverse) fn status(&self, now: Instant, description: String) -> PoolStatus {
        let mut status = PoolStatus {
            description,
            absent: self.records.absent(now),
            metrics: self.metrics,
            closed: self.closed,
            ..PoolStatus::default()
        };
        for (host_type, policy) in &self.config.policies {
            if policy.expected > 0 {
                status.host_types.entry(host_type.clone()).or_default();
            }
        }
        for (host_type, kind) in &self.kinds {
            let entry: &mut HostTypeStatus =
                status.host_types.entry(host_type.clone()).or_default();
            entry.waiting = kind.waiting.len();
        }
        for slot in self.machines.values() {
            let entry = status.host_types.get_mut(&slot.machine.host_type);
            let entry = entry.expect("a machine that is here counts in its kind");
            entry.machines.push(self.machine_status(now, slot));
        }
        for (host_type, entry) in &mut status.host_types {
            entry.expected = self.config.policy_of(host_type).expected;
            entry.machines.sort_by(|a, b| {
                let (a, b) = (&a.machine, &b.machine);
                (&a.host_name, a.id).cmp(&(&b.host_name, b.id))
            });
        }
        status
    }

    fn machine_status(&self, now: Instant, slot: &Slot<M>) -> MachineStatus {
        let record = self.records.get(&identity(&slot.machine));
        let mut holder = String::new();
        let state = match &slot.state {
            State::Checking => MachineState::Checking,
            State::Held { .. } => MachineState::Held,
            State::Idle(_) => MachineState::Idle,
            State::Leased(leased) => {
                holder.clone_from(&leased.holder);
                MachineState::Busy
            }
            State::Cleaning => MachineState::Cleaning,
            State::Quarantined(_) => MachineState::Quarantined,
            State::Leaving { .. } => MachineState::Leaving,
        };
        MachineStatus {
            machine: slot.machine.clone(),
            state,
            state_for: now.saturating_duration_since(slot.since),
            connected_for: now.saturating_duration_since(slot.joined),
            seen_before: now.saturating_duration_since(slot.seen),
            leases: slot.leases,
            holder,
            drained: record.is_some_and(Record::drained),
            failures: record.map_or(0, |record| record.failures),
            last_failure: record.map_or_else(String::new, |record| record.last_failure.clone()),
        }
    }
}
