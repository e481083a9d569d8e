use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::super::config::{Reuse, ReverseConfig};
use super::super::followers::{Current, Followers};
use super::super::record::{Identity, Records};
use super::state::{
    Core, Effects, Found, Grant, Handle, Plan, Slot, State, Waiting, after, identity,
};
use crate::{
    GetBuildletError, HostType, LeaseError, LeaseOptions, LostReason, Machine, MachineId, Metrics,
    OfferEvent, Verdict,
};

impl<M: Handle, W> Core<M, W> {
    pub(in crate::reverse) fn new(config: ReverseConfig, seed: u64) -> Self {
        Self {
            config,
            machines: HashMap::new(),
            kinds: BTreeMap::new(),
            names: HashMap::new(),
            records: Records::default(),
            followers: Followers::default(),
            metrics: Metrics::default(),
            leases: 0,
            waiting: 0,
            claims: HashMap::new(),
            last_number: 0,
            random: seed | 1,
            closed: false,
            shut: false,
        }
    }

    pub(in crate::reverse) fn metrics(&mut self) -> &mut Metrics {
        &mut self.metrics
    }

    pub(in crate::reverse) fn is_full(&self) -> bool {
        self.machines.len() >= self.config.max_machines
    }

    pub(in crate::reverse) fn is_shut(&self) -> bool {
        self.shut
    }

    pub(in crate::reverse) fn leases(&self) -> usize {
        self.leases
    }

    pub(in crate::reverse) fn new_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// The machine of this name that is here and does not leave.
    pub(in crate::reverse) fn named(&self, identity: &Identity) -> Option<(MachineId, M)> {
        let id = self.names.get(identity)?;
        let slot = self.machines.get(id)?;
        let leaves = matches!(slot.state, State::Leaving { .. });
        (!leaves).then(|| (*id, slot.handle.clone()))
    }

    /// A machine came, and is to be checked.
    pub(in crate::reverse) fn join(&mut self, now: Instant, machine: Machine, handle: M) {
        let identity = identity(&machine);
        let id = machine.id;
        self.records.join(now, &identity);
        self.names.insert(identity, id);
        self.kind(&machine.host_type).connected += 1;
        self.metrics.registered += 1;
        let slot = Slot {
            machine: Arc::new(machine),
            handle,
            kills_all: false,
            state: State::Checking,
            since: now,
            joined: now,
            seen: now,
            next_probe: now,
            leases: 0,
        };
        self.machines.insert(id, slot);
    }

    /// A machine that was checked is fit for use.
    pub(in crate::reverse) fn checked(
        &mut self,
        now: Instant,
        id: MachineId,
        found: Found,
        fx: &mut Effects<M, W>,
    ) {
        if let Some(slot) = self.machines.get_mut(&id)
            && matches!(slot.state, State::Checking)
        {
            slot.kills_all = found.kills_all;
            slot.seen = now;
            Arc::make_mut(&mut slot.machine).keeps_commands = found.keeps;
            if found.kept.is_empty() {
                self.place(now, id, fx);
            } else {
                self.hold(now, id, found.kept, fx);
            }
        }
    }

    /// A machine was cleaned after a lease.
    pub(in crate::reverse) fn cleaned(
        &mut self,
        now: Instant,
        id: MachineId,
        fx: &mut Effects<M, W>,
    ) {
        if let Some(slot) = self.machines.get_mut(&id)
            && matches!(slot.state, State::Cleaning)
        {
            slot.seen = now;
            self.place(now, id, fx);
        }
    }

    /// A machine answered.
    pub(in crate::reverse) fn answered(&mut self, now: Instant, id: MachineId) {
        let pause = self.pause();
        if let Some(slot) = self.machines.get_mut(&id) {
            slot.seen = now;
            slot.next_probe = now + pause;
        }
    }

    /// A machine could not be checked, cleaned or reached while it was idle: it is let go.
    pub(in crate::reverse) fn unfit(
        &mut self,
        now: Instant,
        id: MachineId,
        why: String,
        fx: &mut Effects<M, W>,
    ) {
        let Some(slot) = self.machines.get(&id) else {
            return;
        };
        match slot.state {
            // A holder's own client finds out, if it is so.
            State::Leased(_) | State::Leaving { .. } => return,
            State::Checking => self.metrics.rejected += 1,
            State::Cleaning => {
                let identity = identity(&slot.machine);
                self.failed(now, &identity, why.clone());
                self.metrics.unhealthy += 1;
            }
            State::Idle(_) | State::Quarantined(_) | State::Held { .. } => {
                self.metrics.unhealthy += 1;
            }
        }
        self.leave(now, id, false, LostReason::Unresponsive(why), fx);
    }

    /// The machine of a lease is dead, as the holder's client says.
    pub(in crate::reverse) fn broken(
        &mut self,
        now: Instant,
        id: MachineId,
        number: u64,
        reason: LostReason,
        fx: &mut Effects<M, W>,
    ) {
        if self.has_lease(id, number) {
            self.lose(now, id, reason.clone(), fx);
            self.leave(now, id, false, reason, fx);
        }
    }

    /// Another machine came under the name of one that does not answer.
    pub(in crate::reverse) fn replaced(
        &mut self,
        now: Instant,
        id: MachineId,
        fx: &mut Effects<M, W>,
    ) {
        let why = "another machine registered under its name, and it did not answer";
        let reason = LostReason::Unresponsive(why.to_owned());
        self.lose(now, id, reason.clone(), fx);
        self.leave(now, id, false, reason, fx);
    }

    /// A machine is let go because somebody says so.
    pub(in crate::reverse) fn revoke(
        &mut self,
        now: Instant,
        id: MachineId,
        why: String,
        fx: &mut Effects<M, W>,
    ) -> bool {
        let is_here = self.machines.contains_key(&id);
        if is_here {
            let reason = LostReason::Revoked(why);
            self.lose(now, id, reason.clone(), fx);
            self.leave(now, id, false, reason, fx);
        }
        is_here
    }

    /// The machine is gone.
    pub(in crate::reverse) fn remove(
        &mut self,
        now: Instant,
        id: MachineId,
        end: Option<String>,
        fx: &mut Effects<M, W>,
    ) {
        let Some(slot) = self.machines.get(&id) else {
            return;
        };
        let reason = match (&slot.state, end) {
            (State::Leaving { reason, .. }, _) => reason.clone(),
            (_, Some(why)) => {
                self.metrics.disconnected += 1;
                LostReason::Disconnected(why)
            }
            (_, None) => LostReason::Shutdown,
        };
        self.lose(now, id, reason.clone(), fx);
        self.withdraw(id);
        let slot = self.machines.remove(&id).expect("it was there just now");
        let identity = identity(&slot.machine);
        self.records.leave(now, &identity, reason.to_string());
        if self.names.get(&identity) == Some(&id) {
            self.names.remove(&identity);
        }
        self.kind(&slot.machine.host_type).connected -= 1;
        self.tidy(&slot.machine.host_type);
        self.followers.changed(id, Some(&reason), &mut fx.wakers);
    }

    /// Asks for a machine: gets one now, or waits under the number that is returned.
    pub(in crate::reverse) fn wait(
        &mut self,
        now: Instant,
        host_type: &HostType,
        options: LeaseOptions,
        waiter: W,
        fx: &mut Effects<M, W>,
    ) -> Result<u64, GetBuildletError> {
        if self.closed {
            return Err(GetBuildletError::Closed);
        }
        let number = self.new_number();
        let first = self.kinds.get(host_type).and_then(|kind| {
            // What is idle waits for nobody.
            kind.idle.first_key_value().map(|(_, id)| *id)
        });
        if let Some(id) = first {
            self.withdraw(id);
            let grant = self.grant(now, id, options, false);
            fx.grants.push((waiter, grant));
            self.followers.changed(id, None, &mut fx.wakers);
            return Ok(number);
        }
        if self.waiting >= self.config.max_waiting {
            self.metrics.gave_up += 1;
            let waiting = self.waiting;
            return Err(GetBuildletError::TooManyWaiting { waiting });
        }
        self.waiting += 1;
        let waiting = Waiting {
            waiter,
            since: now,
            options,
        };
        self.kind(host_type).waiting.insert(number, waiting);
        Ok(number)
    }

    /// A request waits no more. Nothing if it got its machine before.
    pub(in crate::reverse) fn give_up(&mut self, host_type: &HostType, number: u64) -> Option<W> {
        let kind = self.kinds.get_mut(host_type)?;
        let waiting = kind.waiting.remove(&number)?;
        self.waiting -= 1;
        self.metrics.gave_up += 1;
        self.tidy(host_type);
        Some(waiting.waiter)
    }

    /// Takes a machine that is on offer.
    pub(in crate::reverse) fn lease(
        &mut self,
        now: Instant,
        id: MachineId,
        options: LeaseOptions,
    ) -> Result<Grant<M>, LeaseError> {
        if self.closed {
            return Err(LeaseError::Closed);
        }
        let slot = self
            .machines
            .get(&id)
            .ok_or(LeaseError::NoSuchMachine { machine: id })?;
        let state = match slot.state {
            State::Idle(Some(_)) => {
                self.withdraw(id);
                self.followers.taken(id);
                return Ok(self.grant(now, id, options, false));
            }
            State::Checking => "being checked",
            State::Held { .. } => "waiting for whose commands it runs",
            State::Idle(None) => "drained",
            State::Leased(_) => "leased",
            State::Cleaning => "being cleaned",
            State::Quarantined(_) => "in quarantine",
            State::Leaving { .. } => "leaving",
        };
        Err(LeaseError::NotOnOffer { machine: id, state })
    }

    pub(in crate::reverse) fn renew(
        &mut self,
        now: Instant,
        id: MachineId,
        number: u64,
        time: Duration,
    ) {
        if let Some(slot) = self.machines.get_mut(&id)
            && let State::Leased(leased) = &mut slot.state
            && leased.number == number
        {
            leased.time = time;
            leased.expires = after(now, time);
            slot.handle.wake();
        }
    }

    /// A holder gives its machine back. One that nobody `saw` is as good as it was.
    pub(in crate::reverse) fn end(
        &mut self,
        now: Instant,
        id: MachineId,
        number: u64,
        verdict: Option<Verdict>,
        fx: &mut Effects<M, W>,
    ) {
        if !self.has_lease(id, number) {
            return;
        }
        let slot = self.machines.get_mut(&id).expect("it has the lease");
        let identity = identity(&slot.machine);
        let mut reclaimed = false;
        if let State::Leased(leased) = &slot.state {
            leased.hold.end();
            reclaimed = leased.reclaimed;
        }
        self.leases -= 1;
        fx.all_ended |= self.leases == 0;
        let Some(verdict) = verdict else {
            self.metrics.leases -= 1;
            slot.leases -= 1;
            if reclaimed {
                // Nobody comes back to what it runs.
                return self.set(now, id, State::Cleaning);
            }
            return self.place(now, id, fx);
        };
        let mut reuse = false;
        match verdict {
            Verdict::Healthy => {
                self.metrics.ended_healthy += 1;
                self.records.did_well(&identity);
                reuse = slot.kills_all
                    && self.config.policy_of(&slot.machine.host_type).reuse == Reuse::Cleaned;
            }
            Verdict::Suspect(why) => {
                self.metrics.ended_suspect += 1;
                self.failed(now, &identity, why);
            }
            Verdict::Unknown => self.metrics.ended_unknown += 1,
            Verdict::Unfinished => {
                self.metrics.ended_unknown += 1;
                let reason =
                    LostReason::Revoked("its work goes on, and is claimed later".to_owned());
                return self.leave(now, id, false, reason, fx);
            }
        }
        if reuse {
            self.set(now, id, State::Cleaning);
            self.followers.changed(id, None, &mut fx.wakers);
        } else {
            let reason = LostReason::Revoked("told to halt after its lease".to_owned());
            self.leave(now, id, true, reason, fx);
        }
    }

    /// What the task of a machine is to do.
    pub(in crate::reverse) fn plan(
        &mut self,
        now: Instant,
        id: MachineId,
        fx: &mut Effects<M, W>,
    ) -> Plan {
        let pause = self.pause();
        let Some(slot) = self.machines.get_mut(&id) else {
            return Plan::End;
        };
        let due = slot.next_probe;
        match &slot.state {
            State::Checking => Plan::Check,
            State::Cleaning => Plan::Clean,
            State::Leaving { halt, .. } => Plan::Leave { halt: *halt },
            State::Leased(leased) if leased.expires <= now => {
                let reason = LostReason::Expired(leased.time);
                self.metrics.expired += 1;
                self.lose(now, id, reason.clone(), fx);
                self.leave(now, id, true, reason, fx);
                Plan::Leave { halt: true }
            }
            State::Leased(leased) if due <= now => {
                slot.next_probe = now + pause;
                Plan::Ask(leased.hold.clone())
            }
            State::Leased(leased) => Plan::Wait(leased.expires.min(due)),
            State::Held { until, .. } if *until <= now => {
                self.set(now, id, State::Cleaning);
                Plan::Clean
            }
            State::Held { until, .. } => Plan::Wait(*until),
            State::Quarantined(until) if *until <= now => {
                self.place(now, id, fx);
                self.plan(now, id, fx)
            }
            State::Idle(_) | State::Quarantined(_) if due <= now => Plan::Probe,
            State::Quarantined(until) => Plan::Wait(due.min(*until)),
            State::Idle(_) => Plan::Wait(due),
        }
    }

    /// Takes a machine out of service, or back into it.
    pub(in crate::reverse) fn set_drained(
        &mut self,
        now: Instant,
        id: MachineId,
        drained: bool,
        fx: &mut Effects<M, W>,
    ) -> bool {
        let Some(slot) = self.machines.get(&id) else {
            return false;
        };
        let identity = identity(&slot.machine);
        self.records.set_drained(&identity, drained);
        // It is the machine's name that is drained: a newer stay of it is, too.
        if let Some(newest) = self.names.get(&identity).copied()
            && self.is_idle(newest)
        {
            self.withdraw(newest);
            self.offer(now, newest, fx);
        }
        true
    }

    /// Puts a machine in quarantine for some time, or with `None` lets it out.
    pub(in crate::reverse) fn set_quarantine(
        &mut self,
        now: Instant,
        id: MachineId,
        sentence: Option<(Duration, String)>,
        fx: &mut Effects<M, W>,
    ) -> bool {
        let Some(slot) = self.machines.get(&id) else {
            return false;
        };
        let identity = identity(&slot.machine);
        let (until, why) = match sentence {
            Some((time, why)) => {
                self.metrics.quarantined += 1;
                (Some(after(now, time)), why)
            }
            None => (None, String::new()),
        };
        self.records.set_quarantine(&identity, until, why);
        let newest = self.names.get(&identity).copied();
        if let Some(newest) = newest
            && (self.is_idle(newest) || self.is_quarantined(newest))
        {
            self.withdraw(newest);
            self.place(now, newest, fx);
        }
        true
    }

    /// Gives out nothing more. Requests that wait are refused.
    pub(in crate::reverse) fn close(&mut self, fx: &mut Effects<M, W>) {
        self.closed = true;
        for kind in self.kinds.values_mut() {
            let waiting = std::mem::take(&mut kind.waiting).into_values();
            fx.refused.extend(waiting.map(|waiting| waiting.waiter));
        }
        self.waiting = 0;
        let claims = std::mem::take(&mut self.claims).into_values();
        fx.refused.extend(claims.map(|claim| claim.waiter));
        let on_offer: Vec<_> = self
            .kinds
            .values()
            .flat_map(|kind| kind.idle.values().copied())
            .collect();
        for id in on_offer {
            self.withdraw(id);
            self.followers.changed(id, None, &mut fx.wakers);
        }
        fx.all_ended |= self.leases == 0;
    }

    /// Ends every lease and lets every machine go.
    pub(in crate::reverse) fn shut(&mut self, now: Instant, fx: &mut Effects<M, W>) {
        self.close(fx);
        self.shut = true;
        let all: Vec<_> = self.machines.keys().copied().collect();
        for id in all {
            self.lose(now, id, LostReason::Shutdown, fx);
            self.leave(now, id, false, LostReason::Shutdown, fx);
        }
        self.followers.wake(&mut fx.wakers);
    }

    pub(in crate::reverse) fn follow(&mut self) -> u64 {
        let mut idle: Vec<_> = self
            .kinds
            .values()
            .flat_map(|kind| &kind.idle)
            .map(|(order, id)| (*order, *id))
            .collect();
        idle.sort_unstable();
        self.followers.add(idle.into_iter().map(|(_, id)| id))
    }

    pub(in crate::reverse) fn unfollow(&mut self, follower: u64) {
        self.followers.remove(follower);
    }

    /// The next event for a follower. Its waker is remembered if there is none.
    pub(in crate::reverse) fn next_offer(
        &mut self,
        follower: u64,
        waker: &Waker,
    ) -> Option<OfferEvent> {
        let machines = &self.machines;
        self.followers.next(follower, waker, |id| {
            let slot = machines.get(&id)?;
            Some(match slot.state {
                State::Idle(Some(order)) => Current::Offered(order, slot.machine.clone()),
                _ => Current::Here,
            })
        })
    }
}
