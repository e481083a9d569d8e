use std::collections::BTreeSet;

use super::lane::{Lane, LaneKey, Spot};
use super::owners::{Builder, Host, HostShare, Quota};
use crate::ids::{BuilderName, HostType, QuotaName, WorkId};
use crate::names::Table;

#[derive(Debug)]
pub(crate) struct Queues {
    pub(crate) hosts: Table<HostType, Host>,
    pub(crate) builders: Table<BuilderName, Builder>,
    pub(crate) quotas: Table<QuotaName, Quota>,
    pub(crate) lanes: Table<LaneKey, Lane>,
    /// Host types with something that may start.
    pub(super) dirty: BTreeSet<u32>,
    /// Counts what shares are ordered by.
    pub(super) ticks: u64,
    pub(super) strict: bool,
}

impl Queues {
    pub(crate) fn new(strict: bool) -> Self {
        Self {
            hosts: Table::new(),
            builders: Table::new(),
            quotas: Table::new(),
            lanes: Table::new(),
            dirty: BTreeSet::new(),
            ticks: 0,
            strict,
        }
    }

    /// Counts a work that begins to wait. It is in no lane before [`enter`](Self::enter).
    pub(crate) fn arrive(&mut self, spot: &Spot) {
        self.ticks += 1;
        let key = spot.lane;
        let host = &mut self.hosts[key.host];
        host.waiting += 1;
        let served = self.ticks;
        let share = host.shares.entry(key.share).or_insert_with(|| HostShare {
            served,
            ..HostShare::default()
        });
        share.waiting += 1;
        self.builders[key.builder].waiting += 1;
        if let Some((quota, _)) = key.cost {
            self.quotas[quota].users += 1;
        }
    }

    /// Puts a work that is due into its lane.
    pub(crate) fn enter(&mut self, spot: &Spot, id: WorkId) {
        let lane = self.lanes.find_or_add(&spot.lane, Lane::new);
        let newest_first = spot.lane.rank.newest_first();
        self.edit(lane, |lane| {
            lane.by_order.insert(spot.order, id);
            if newest_first {
                lane.by_age.insert(spot.age, id);
            }
        });
        self.dirty.insert(spot.lane.host);
        self.wake_line(spot.lane);
    }

    /// Takes a work out of its lane.
    pub(crate) fn leave(&mut self, spot: &Spot) {
        let lane = self
            .lanes
            .find(&spot.lane)
            .expect("waiting work is in its lane");
        self.edit(lane, |lane| {
            lane.by_order.remove(&spot.order);
            lane.by_age.remove(&spot.age);
        });
        if self.lanes[lane].by_order.is_empty() {
            self.lanes.remove(lane);
            if let Some((quota, _)) = spot.lane.cost
                && self.quotas[quota].reserved == Some(lane)
            {
                self.quotas[quota].reserved = None;
                self.wake_quota(quota);
            }
        }
        self.wake_line(spot.lane);
    }

    /// Counts a work that does not wait any more and did not start.
    pub(crate) fn depart(&mut self, spot: &Spot) {
        let key = spot.lane;
        let host = &mut self.hosts[key.host];
        host.waiting -= 1;
        host.shares.get_mut(&key.share).expect("it waited").waiting -= 1;
        self.builders[key.builder].waiting -= 1;
        if let Some((quota, _)) = key.cost {
            self.quotas[quota].users -= 1;
        }
        self.tidy(key);
    }

    /// Counts a work that was waiting and runs now.
    pub(crate) fn start(&mut self, spot: &Spot) {
        let key = spot.lane;
        self.ticks += 1;
        let served = self.ticks;
        self.rekey_share(key, |share| {
            share.waiting -= 1;
            share.running += 1;
            share.served = served;
        });
        let host = &mut self.hosts[key.host];
        host.waiting -= 1;
        host.running += 1;
        let builder = &mut self.builders[key.builder];
        builder.waiting -= 1;
        builder.running += 1;
        if let Some((quota, units)) = key.cost {
            self.quotas[quota].used += u64::from(units);
        }
    }

    /// Counts a work that ran and does not run any more.
    pub(crate) fn finish(&mut self, spot: &Spot) {
        let key = spot.lane;
        self.rekey_share(key, |share| share.running -= 1);
        self.hosts[key.host].running -= 1;
        self.builders[key.builder].running -= 1;
        self.wake_builder(key.builder);
        if let Some((quota, units)) = key.cost {
            self.quotas[quota].used -= u64::from(units);
            self.quotas[quota].users -= 1;
            self.wake_quota(quota);
        }
        self.tidy(key);
    }

    /// What may have something to start is looked at by this, each host type once.
    pub(crate) fn next_dirty(&mut self) -> Option<u32> {
        self.dirty.pop_first()
    }

    pub(crate) fn touch(&mut self, host: u32) {
        self.dirty.insert(host);
    }

    /// Forgets what nobody uses.
    pub(crate) fn tidy(&mut self, key: LaneKey) {
        let host = &mut self.hosts[key.host];
        if (host.shares.get(&key.share))
            .is_some_and(|share| share.waiting == 0 && share.running == 0)
        {
            host.shares.remove(&key.share);
        }
        self.tidy_host(key.host);
        self.tidy_builder(key.builder);
        if let Some((quota, _)) = key.cost {
            self.tidy_quota(quota);
        }
    }

    pub(crate) fn tidy_host(&mut self, host: u32) {
        let found = &self.hosts[host];
        if found.waiting == 0 && found.running == 0 && found.machines == 0 {
            self.hosts.remove(host);
            self.dirty.remove(&host);
        }
    }

    pub(crate) fn tidy_builder(&mut self, builder: u32) {
        let found = &self.builders[builder];
        if found.max.is_none() && found.waiting == 0 && found.running == 0 {
            self.builders.remove(builder);
        }
    }

    pub(crate) fn tidy_quota(&mut self, quota: u32) {
        let found = &self.quotas[quota];
        if !found.is_set() && found.users == 0 {
            self.quotas.remove(quota);
        }
    }
}
