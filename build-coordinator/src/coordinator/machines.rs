use std::collections::HashMap;
use std::sync::Arc;

use build_scheduler::MachineId;
use buildlet_pool::Machine;

/// The machines of all pools, under numbers of our own: pools number theirs independently.
#[derive(Debug, Default)]
pub(super) struct Machines {
    numbers: HashMap<(usize, buildlet_pool::MachineId), MachineId>,
    machines: HashMap<MachineId, (usize, Arc<Machine>)>,
    last: u64,
}

impl Machines {
    /// The number of a machine of a pool, a new one if it was not known.
    pub(super) fn add(&mut self, pool: usize, machine: &Arc<Machine>) -> MachineId {
        let number = *self.numbers.entry((pool, machine.id)).or_insert_with(|| {
            self.last += 1;
            MachineId(self.last)
        });
        self.machines.insert(number, (pool, machine.clone()));
        number
    }

    pub(super) fn find(&self, pool: usize, machine: buildlet_pool::MachineId) -> Option<MachineId> {
        self.numbers.get(&(pool, machine)).copied()
    }

    pub(super) fn get(&self, number: MachineId) -> Option<(usize, Arc<Machine>)> {
        self.machines.get(&number).cloned()
    }

    pub(super) fn remove(&mut self, number: MachineId) {
        if let Some((pool, machine)) = self.machines.remove(&number) {
            self.numbers.remove(&(pool, machine.id));
        }
    }

    pub(super) fn numbers(&self) -> Vec<MachineId> {
        self.machines.keys().copied().collect()
    }
}
