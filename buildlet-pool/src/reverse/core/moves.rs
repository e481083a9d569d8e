use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::hold::Hold;
use super::super::record::{Identity, Record};
use super::state::{Core, Effects, Grant, Handle, Kind, Leased, State, after, identity};
use crate::{HostType, LeaseOptions, LostReason, MachineId};

impl<M: Handle, W> Core<M, W> {
    /// A machine is ready: quarantine, offer or the next request.
    pub(super) fn place(&mut self, now: Instant, id: MachineId, fx: &mut Effects<M, W>) {
        let next_probe = now + self.pause();
        let Some(slot) = self.machines.get_mut(&id) else {
            return;
        };
        slot.next_probe = next_probe;
        let record = self.records.get(&identity(&slot.machine));
        match record.and_then(|record| record.quarantined(now)) {
            Some(until) => {
                self.set(now, id, State::Quarantined(until));
                self.followers.changed(id, None, &mut fx.wakers);
            }
            None => {
                self.set(now, id, State::Idle(None));
                self.offer(now, id, fx);
            }
        }
    }

    /// Gives an idle machine to the next request, or puts it on offer.
    pub(super) fn offer(&mut self, now: Instant, id: MachineId, fx: &mut Effects<M, W>) {
        let Some(slot) = self.machines.get(&id) else {
            return;
        };
        let host_type = slot.machine.host_type.clone();
        let record = self.records.get(&identity(&slot.machine));
        self.followers.changed(id, None, &mut fx.wakers);
        if self.closed || record.is_some_and(Record::drained) {
            return;
        }
        if let Some((_, waiting)) = self.kind(&host_type).waiting.pop_first() {
            self.waiting -= 1;
            self.metrics.waited += 1;
            self.metrics.wait_time += now.saturating_duration_since(waiting.since);
            let grant = self.grant(now, id, waiting.options, false);
            fx.grants.push((waiting.waiter, grant));
            return;
        }
        let order = self.new_number();
        self.kind(&host_type).idle.insert(order, id);
        if let Some(slot) = self.machines.get_mut(&id) {
            slot.state = State::Idle(Some(order));
        }
    }

    /// Takes an idle machine off the offers.
    pub(super) fn withdraw(&mut self, id: MachineId) {
        if let Some(slot) = self.machines.get_mut(&id)
            && let State::Idle(order) = &mut slot.state
            && let Some(order) = order.take()
            && let Some(kind) = self.kinds.get_mut(&slot.machine.host_type)
        {
            kind.idle.remove(&order);
        }
    }

    /// Leases a machine that is idle and not on offer any more, or one that came back.
    pub(super) fn grant(
        &mut self,
        now: Instant,
        id: MachineId,
        options: LeaseOptions,
        reclaimed: bool,
    ) -> Grant<M> {
        let number = self.new_number();
        let next_probe = now + self.pause();
        let time = options.time.unwrap_or(self.config.lease_time);
        let hold = Arc::<Hold>::default();
        self.leases += 1;
        self.metrics.leases += 1;
        let leased = Leased {
            number,
            hold: hold.clone(),
            time,
            expires: after(now, time),
            holder: options.holder,
            reclaimed,
        };
        self.set(now, id, State::Leased(leased));
        let slot = self
            .machines
            .get_mut(&id)
            .expect("only those that are here are granted");
        slot.leases += 1;
        slot.next_probe = next_probe;
        let record = self.records.get(&identity(&slot.machine));
        if record.is_some_and(Record::on_trial) {
            self.metrics.trials += 1;
        }
        Grant {
            machine: slot.machine.clone(),
            handle: slot.handle.clone(),
            hold,
            number,
        }
    }

    pub(super) fn is_idle(&self, id: MachineId) -> bool {
        let slot = self.machines.get(&id);
        slot.is_some_and(|slot| matches!(slot.state, State::Idle(_)))
    }

    pub(super) fn is_quarantined(&self, id: MachineId) -> bool {
        let slot = self.machines.get(&id);
        slot.is_some_and(|slot| matches!(slot.state, State::Quarantined(_)))
    }

    pub(super) fn has_lease(&self, id: MachineId, number: u64) -> bool {
        let state = self.machines.get(&id).map(|slot| &slot.state);
        matches!(state, Some(State::Leased(leased)) if leased.number == number)
    }

    /// Ends the lease that a machine is in, if it is, against its holder's will.
    pub(super) fn lose(
        &mut self,
        now: Instant,
        id: MachineId,
        reason: LostReason,
        fx: &mut Effects<M, W>,
    ) {
        let Some(slot) = self.machines.get_mut(&id) else {
            return;
        };
        let State::Leased(leased) = &slot.state else {
            return;
        };
        let hold = leased.hold.clone();
        let identity = identity(&slot.machine);
        slot.state = State::Idle(None);
        self.leases -= 1;
        fx.all_ended |= self.leases == 0;
        self.metrics.lost += 1;
        if matches!(
            reason,
            LostReason::Disconnected(_) | LostReason::Unresponsive(_)
        ) {
            self.failed(now, &identity, format!("while it was leased: {reason}"));
        }
        hold.lose(reason);
    }

    pub(super) fn failed(&mut self, now: Instant, identity: &Identity, why: String) {
        let rules = self.config.quarantine;
        if self.records.failed(now, identity, why, &rules) {
            self.metrics.quarantined += 1;
        }
    }

    pub(super) fn leave(
        &mut self,
        now: Instant,
        id: MachineId,
        halt: bool,
        reason: LostReason,
        fx: &mut Effects<M, W>,
    ) {
        self.withdraw(id);
        self.set(now, id, State::Leaving { halt, reason });
        self.followers.changed(id, None, &mut fx.wakers);
    }

    pub(super) fn set(&mut self, now: Instant, id: MachineId, state: State) {
        if let Some(slot) = self.machines.get_mut(&id) {
            slot.state = state;
            slot.since = now;
            slot.handle.wake();
        }
    }

    pub(super) fn kind(&mut self, host_type: &HostType) -> &mut Kind<W> {
        self.kinds.entry(host_type.clone()).or_default()
    }

    /// Forgets a type that nothing is known of any more.
    pub(super) fn tidy(&mut self, host_type: &HostType) {
        if let Some(kind) = self.kinds.get(host_type)
            && kind.connected == 0
            && kind.waiting.is_empty()
        {
            self.kinds.remove(host_type);
        }
    }

    /// The time between two questions: the interval, and up to four tenths of it.
    pub(super) fn pause(&mut self) -> Duration {
        // Xorshift; nothing but spreading depends on it.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let more = f64::from((self.random >> 32) as u32) / f64::from(u32::MAX) * 0.4;
        self.config.health.interval.mul_f64(1.0 + more)
    }
}
