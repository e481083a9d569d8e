use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;

use crate::{LostReason, Machine, MachineId, OfferEvent};

/// Who follows what is on offer. What waits for a follower is a set of machines that changed, so it is never more than there are machines,
/// or went since it last looked.
#[derive(Debug, Default)]
pub(super) struct Followers {
    followers: HashMap<u64, Follower>,
    next: u64,
}

#[derive(Debug, Default)]
struct Follower {
    /// Machines to look at, in the order in which they changed.
    order: VecDeque<MachineId>,
    /// The same; with the reason if the machine is gone.
    changed: HashMap<MachineId, Option<LostReason>>,
    /// What it knows of machines.
    told: HashMap<MachineId, Told>,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// On offer, for the time of this number.
    Offered(u64),
    /// Not on offer.
    Taken,
}

/// What there is of a machine that changed.
#[derive(Debug)]
pub(super) enum Current {
    /// It is on offer, for the time of this number.
    Offered(u64, Arc<Machine>),
    /// It is here, and not on offer.
    Here,
}

impl Followers {
    /// Somebody begins to follow; `machines` are there already.
    pub(super) fn add(&mut self, machines: impl Iterator<Item = MachineId>) -> u64 {
        self.next += 1;
        let mut follower = Follower::default();
        for machine in machines {
            follower.change(machine, None);
        }
        self.followers.insert(self.next, follower);
        self.next
    }

    pub(super) fn remove(&mut self, follower: u64) {
        self.followers.remove(&follower);
    }

    /// Something changed about a machine, or it is gone. Those who wait are to be woken.
    pub(super) fn changed(
        &mut self,
        machine: MachineId,
        gone: Option<&LostReason>,
        wakers: &mut Vec<Waker>,
    ) {
        for follower in self.followers.values_mut() {
            // One that never knew of it need not learn that it is gone.
            if gone.is_some() && !follower.told.contains_key(&machine) {
                follower.forget(machine);
                continue;
            }
            follower.change(machine, gone.cloned());
            wakers.extend(follower.waker.take());
        }
    }

    /// Somebody took a machine that was on offer, and needs no event to know it.
    pub(super) fn taken(&mut self, machine: MachineId) {
        for follower in self.followers.values_mut() {
            if let Some(told) = follower.told.get_mut(&machine) {
                *told = Told::Taken;
            }
        }
    }

    /// Wakes everybody, as the pool ends.
    pub(super) fn wake(&mut self, wakers: &mut Vec<Waker>) {
        let all = self.followers.values_mut();
        wakers.extend(all.filter_map(|follower| follower.waker.take()));
    }

    /// The next event for a follower; remembers `waker` if there is none.
    pub(super) fn next(
        &mut self,
        follower: u64,
        waker: &Waker,
        current: impl Fn(MachineId) -> Option<Current>,
    ) -> Option<OfferEvent> {
        let follower = self.followers.get_mut(&follower)?;
        while let Some(machine) = follower.order.pop_front() {
            // Not there: it came and went unseen.
            let Some(gone) = follower.changed.remove(&machine) else {
                continue;
            };
            if let Some(event) = follower.learn(machine, gone, current(machine)) {
                return Some(event);
            }
        }
        follower.waker = Some(waker.clone());
        None
    }
}

impl Follower {
    fn change(&mut self, machine: MachineId, gone: Option<LostReason>) {
        if self.changed.insert(machine, gone).is_none() {
            self.order.push_back(machine);
        }
    }

    /// Drops what it has not seen; places in the order are left behind, but never more than are taken.
    fn forget(&mut self, machine: MachineId) {
        const SLACK: usize = 64;
        self.changed.remove(&machine);
        if self.order.len() > 2 * self.changed.len() + SLACK {
            self.order.retain(|one| self.changed.contains_key(one));
        }
    }

    fn learn(
        &mut self,
        machine: MachineId,
        gone: Option<LostReason>,
        current: Option<Current>,
    ) -> Option<OfferEvent> {
        if let Some(reason) = gone {
            self.told.remove(&machine)?;
            return Some(OfferEvent::Gone { machine, reason });
        }
        match current? {
            Current::Offered(number, description) => {
                let now = Told::Offered(number);
                let before = self.told.insert(machine, now);
                (before != Some(now)).then_some(OfferEvent::Offered(description))
            }
            Current::Here => match self.told.get_mut(&machine) {
                Some(told @ Told::Offered(_)) => {
                    *told = Told::Taken;
                    Some(OfferEvent::Withdrawn(machine))
                }
                _ => None,
            },
        }
    }
}
