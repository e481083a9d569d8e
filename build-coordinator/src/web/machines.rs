//! Machines, as the pages and the API see them.

use buildlet_pool::PoolStatus;

use crate::api::{Machine, MachineState, Machines, Pool, Timestamp};
use crate::coordinator::Coordinator;
use crate::store::DrainedMachine;

/// All pools as one.
pub(super) fn status(coordinator: &Coordinator) -> PoolStatus {
    let mut all = PoolStatus::default();
    for pool in coordinator.pools() {
        let status = pool.status();
        for (host_type, of_type) in status.host_types {
            let known = all.host_types.entry(host_type).or_default();
            known.expected += of_type.expected;
            known.waiting += of_type.waiting;
            known.machines.extend(of_type.machines);
        }
        all.absent.extend(status.absent);
    }
    all
}

/// `drained` are the names of all that are, here or not.
pub(super) fn machines(
    status: &PoolStatus,
    drained: &[DrainedMachine],
    now: Timestamp,
) -> Machines {
    let is_drained = |name: &str| drained.iter().any(|one| one.name == name);
    let before = |time: std::time::Duration| {
        let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(now.as_micros().saturating_sub(micros))
    };
    let mut told = Machines::default();
    for (host_type, of_type) in &status.host_types {
        let idle = of_type
            .machines
            .iter()
            .filter(|machine| state(machine) == MachineState::Idle)
            .count();
        told.pools.push(Pool {
            host_type: host_type.to_string(),
            connected: of_type.machines.len(),
            expected: of_type.expected,
            idle,
            busy: of_type.machines.len() - idle,
            waiting: of_type.waiting,
        });
        for machine in &of_type.machines {
            let reason = match state(machine) {
                MachineState::Quarantined => machine.last_failure.clone(),
                // The page says it by a link.
                _ if build_of(&machine.holder).is_some() => String::new(),
                _ => machine.holder.clone(),
            };
            told.machines.push(Machine {
                name: machine.machine.host_name.to_string(),
                host_type: host_type.to_string(),
                state: state(machine),
                reason: Some(reason).filter(|reason| !reason.is_empty()),
                version: Some(machine.machine.version.to_string())
                    .filter(|version| !version.is_empty()),
                connected: Some(before(machine.connected_for)),
                since: Some(before(machine.state_for)),
                build: build_of(&machine.holder),
                drained: machine.drained,
            });
        }
    }
    for machine in &status.absent {
        told.machines.push(Machine {
            name: machine.host_name.to_string(),
            host_type: machine.host_type.to_string(),
            state: MachineState::Lost,
            reason: Some(machine.reason.clone()).filter(|reason| !reason.is_empty()),
            version: None,
            connected: None,
            since: Some(before(machine.seen_before)),
            build: None,
            drained: is_drained(&machine.host_name),
        });
    }
    for one in drained {
        // Of those that nobody saw since the start, the host type is not known.
        if told.machines.iter().all(|known| known.name != one.name) {
            told.machines.push(Machine {
                name: one.name.clone(),
                host_type: String::new(),
                state: MachineState::Lost,
                reason: Some(format!("drained by {}; not seen since the start", one.by)),
                version: None,
                connected: None,
                since: None,
                build: None,
                drained: true,
            });
        }
    }
    told
}

fn state(machine: &buildlet_pool::MachineStatus) -> MachineState {
    use buildlet_pool::MachineState as Is;
    match machine.state {
        _ if machine.drained => MachineState::Draining,
        Is::Idle => MachineState::Idle,
        Is::Quarantined => MachineState::Quarantined,
        Is::Leaving => MachineState::Draining,
        _ => MachineState::Busy,
    }
}

/// The build that a lease is for: `build 17.2` says so.
fn build_of(holder: &str) -> Option<u64> {
    let number = holder
        .strip_prefix("build ")?
        .split(['.', ' ', ','])
        .next()?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_says_for_which_build_it_is() {
        assert_eq!(build_of("build 17.2"), Some(17));
        assert_eq!(build_of("build 17, attempt 2"), Some(17));
        for other in ["", "alice", "build x", "rebuild 17"] {
            assert_eq!(build_of(other), None, "{other}");
        }
    }
}
