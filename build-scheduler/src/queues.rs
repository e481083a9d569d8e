//! Waiting work, in the orders in which it is looked for.
//!
//! Works that are alike in everything that can hold them up form a [`Lane`]. Only lanes are moved about: one that is
//! found to be held up is parked with what holds it up, and comes back when that changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::ids::{BuilderName, HostType, MachineId, QuotaName, WorkId};
use crate::names::Table;
use crate::time::Time;
use crate::work::Rank;

/// Where work stands in a lane: its level negated (0 among ages), what sorts it, then the order of arrival, which makes
/// it unique.
pub(crate) type Key = (i32, i64, u64);

/// What the works of a lane have in common; numbers are those of the tables in [`Queues`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LaneKey {
    pub(crate) host: u32,
    pub(crate) rank: Rank,
    pub(crate) share: u32,
    pub(crate) builder: u32,
    pub(crate) level: i32,
    /// A quota, and how much of it each work uses.
    pub(crate) cost: Option<(u32, u32)>,
}

#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) by_order: BTreeMap<Key, WorkId>,
    /// By when work was asked for; empty where that is the order anyway.
    by_age: BTreeMap<Key, WorkId>,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Ready,
    /// The builder has as many works running as it may.
    Builder,
    /// The quota has not enough left, or keeps it for other work.
    Quota,
}

/// The first and the oldest work of a lane.
type Ends = (Key, Key);

#[derive(Debug, Default)]
pub(crate) struct Host {
    /// Free machines, the one that was offered first in front.
    pub(crate) idle: BTreeSet<(u64, MachineId)>,
    /// How many machines there are, free or not.
    pub(crate) machines: usize,
    /// Works that wait, those that are not due yet included.
    pub(crate) waiting: usize,
    pub(crate) running: usize,
    /// Every lane.
    pub(crate) lanes: BTreeSet<(Rank, u32, u32)>,
    /// For each rank the shares that have a ready lane: fewest running first, then the one served longest ago.
    ready: [BTreeSet<(u64, u64, u32)>; Rank::COUNT],
    /// Ready lanes by their oldest work.
    by_age: BTreeSet<(Key, u32)>,
    pub(crate) shares: HashMap<u32, HostShare>,
    /// Assignments since the last one that went to overdue work.
    since_aged: u32,
}

/// One share's part of a host type.
#[derive(Debug, Default)]
pub(crate) struct HostShare {
    pub(crate) running: u64,
    /// The tick at which it last got a machine, or came.
    pub(crate) served: u64,
    waiting: usize,
    /// Ready lanes by their first work.
    lanes: [BTreeSet<(Key, u32)>; Rank::COUNT],
}

/// A builder's limit.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    pub(crate) max: Option<u32>,
    pub(crate) running: u32,
    waiting: usize,
    /// Every lane, by host type and oldest work.
    lanes: BTreeSet<(u32, Key, u32)>,
    parked: BTreeSet<u32>,
    since_aged: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Quota {
    pub(crate) limit: u32,
    pub(crate) untracked: u32,
    pub(crate) used: u64,
    /// Works that wait or run.
    users: usize,
    pub(crate) parked: BTreeSet<(u32, u32)>,
    parked_by_age: BTreeSet<(Key, u32)>,
    /// Every lane by its first work; only in strict mode.
    line: BTreeSet<(Rank, Key, u32)>,
    /// The lane with overdue work that everything is kept for.
    reserved: Option<u32>,
}

impl Quota {
    /// What could be used if nothing of ours ran.
    pub(crate) fn ours(&self) -> u32 {
        self.limit.saturating_sub(self.untracked)
    }

    pub(crate) fn free(&self) -> u64 {
        u64::from(self.ours()).saturating_sub(self.used)
    }

    fn fits(&self, units: u32) -> bool {
        u64::from(units) <= self.free()
    }

    pub(crate) fn is_set(&self) -> bool {
        self.limit > 0 || self.untracked > 0
    }
}

impl Builder {
    pub(crate) fn is_full(&self) -> bool {
        self.max.is_some_and(|max| self.running >= max)
    }
}

impl Lane {
    fn new() -> Self {
        Self {
            by_order: BTreeMap::new(),
            by_age: BTreeMap::new(),
            place: Place::Ready,
        }
    }

    fn ends(&self) -> Option<Ends> {
        let head = *self.by_order.first_key_value()?.0;
        let oldest = self.by_age.first_key_value();
        Some((head, oldest.map_or((0, head.1, head.2), |(key, _)| *key)))
    }

    fn oldest(&self) -> Option<WorkId> {
        let oldest = self.by_age.first_key_value();
        oldest
            .or(self.by_order.first_key_value())
            .map(|(_, id)| *id)
    }
}

/// What a work occupies, kept with the work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    pub(crate) lane: LaneKey,
    pub(crate) order: Key,
    pub(crate) age: Key,
}

/// What every decision looks at besides the queues.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) strict: bool,
    /// What was asked for by then is overdue.
    pub(crate) overdue: Time,
    pub(crate) aged_every: u32,
}

#[derive(Debug)]
pub(crate) struct Queues {
    pub(crate) hosts: Table<HostType, Host>,
    pub(crate) builders: Table<BuilderName, Builder>,
    pub(crate) quotas: Table<QuotaName, Quota>,
    pub(crate) lanes: Table<LaneKey, Lane>,
    /// Host types with something that may start.
    dirty: BTreeSet<u32>,
    /// Counts what shares are ordered by.
    ticks: u64,
    strict: bool,
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

    /// The work that a free machine of this host type should do; it stays in its lane.
    pub(crate) fn pick(&mut self, host: u32, rules: &Rules) -> Option<WorkId> {
        let (lane, oldest, aged) = loop {
            let (lane, aged) = self.candidate(host, rules)?;
            match self.held_up(lane, rules) {
                Some(place) => self.park(lane, place),
                None => break self.within_builder(lane, aged, rules),
            }
        };
        let key = *self.lanes.key(lane);
        let found = &mut self.hosts[host];
        found.since_aged = if aged {
            0
        } else {
            found.since_aged.saturating_add(1)
        };
        let builder = &mut self.builders[key.builder];
        builder.since_aged = if oldest {
            0
        } else {
            builder.since_aged.saturating_add(1)
        };
        let mut oldest = oldest;
        if let Some((quota, _)) = key.cost
            && self.quotas[quota].reserved == Some(lane)
        {
            oldest = true;
            self.quotas[quota].reserved = None;
            self.wake_quota(quota);
        }
        let lane = &self.lanes[lane];
        if oldest {
            lane.oldest()
        } else {
            lane.by_order.first_key_value().map(|(_, id)| *id)
        }
    }

    /// The ready lane that is next, and whether because it is overdue.
    fn candidate(&self, host: u32, rules: &Rules) -> Option<(u32, bool)> {
        let host = &self.hosts[host];
        if !rules.strict
            && host.since_aged.saturating_add(1) >= rules.aged_every
            && let Some((oldest, lane)) = host.by_age.first()
            && overdue(*oldest, rules)
        {
            return Some((*lane, true));
        }
        let (rank, shares) =
            (host.ready.iter().enumerate()).find(|(_, shares)| !shares.is_empty())?;
        let (_, _, share) = shares.first()?;
        let (_, lane) = host.shares[share].lanes[rank].first()?;
        Some((*lane, false))
    }

    /// Within a limited builder one start in so many goes to its overdue work too, as its lanes may be parked whenever it
    /// is overdue work's turn among all. Gives lane, whether to take its oldest, and whether it was the host type's turn.
    fn within_builder(&self, lane: u32, aged: bool, rules: &Rules) -> (u32, bool, bool) {
        let key = self.lanes.key(lane);
        let builder = &self.builders[key.builder];
        if rules.strict
            || aged
            || builder.max.is_none()
            || builder.since_aged.saturating_add(1) < rules.aged_every
        {
            return (lane, aged, aged);
        }
        let first = (key.host, (i32::MIN, i64::MIN, 0), 0);
        match builder.lanes.range(first..).next() {
            Some(&(host, oldest, other))
                if host == key.host
                    && overdue(oldest, rules)
                    && self.quota_free_for(other, rules) =>
            {
                (other, true, false)
            }
            _ => (lane, false, false),
        }
    }

    /// What keeps the works of a lane from starting, if anything does.
    fn held_up(&mut self, lane: u32, rules: &Rules) -> Option<Place> {
        let key = *self.lanes.key(lane);
        if self.builders[key.builder].is_full() {
            return Some(Place::Builder);
        }
        self.reserve(key, rules);
        (!self.quota_free_for(lane, rules)).then_some(Place::Quota)
    }

    fn quota_free_for(&self, lane: u32, rules: &Rules) -> bool {
        let key = self.lanes.key(lane);
        let Some((quota, units)) = key.cost else {
            return true;
        };
        let quota = &self.quotas[quota];
        let our_turn = if rules.strict {
            quota
                .line
                .first()
                .is_some_and(|(_, _, first)| *first == lane)
        } else {
            quota.reserved.is_none_or(|reserved| reserved == lane)
        };
        our_turn && quota.fits(units)
    }

    /// Keeps a quota for the oldest work that is overdue and too large for what is left of it.
    ///
    /// Not for work that would not fit if nothing else ran, nor for work that has no machine: waiting for either could
    /// hold up everybody for ever.
    fn reserve(&mut self, key: LaneKey, rules: &Rules) {
        let Some((number, _)) = key.cost else { return };
        let quota = &self.quotas[number];
        let can_go = |lane: u32| {
            let theirs = self.lanes.key(lane);
            let units = theirs.cost.map_or(0, |(_, units)| units);
            units <= quota.ours() && self.hosts[theirs.host].machines > 0
        };
        if rules.strict || quota.reserved.is_some_and(can_go) {
            return;
        }
        let mut waiting = quota
            .parked_by_age
            .iter()
            .take_while(|(oldest, _)| overdue(*oldest, rules));
        let reserved = waiting
            .find(|(_, lane)| can_go(*lane))
            .map(|(_, lane)| *lane);
        if reserved != quota.reserved {
            self.quotas[number].reserved = reserved;
            self.wake_quota(number);
        }
    }

    /// Gives up keeping a quota for work that could not start any more if nothing else ran.
    pub(crate) fn review_quota(&mut self, quota: u32) {
        let found = &self.quotas[quota];
        if let Some(lane) = found.reserved {
            let key = self.lanes.key(lane);
            let units = key.cost.map_or(0, |(_, units)| units);
            if units > found.ours() || self.hosts[key.host].machines == 0 {
                self.quotas[quota].reserved = None;
            }
        }
        self.wake_quota(quota);
    }

    /// As [`review_quota`](Self::review_quota), for all of them, when a host type lost its last machine.
    pub(crate) fn review_quotas(&mut self) {
        let reserved: Vec<u32> = (self.quotas.iter())
            .filter_map(|(number, _, quota)| quota.reserved.map(|_| number))
            .collect();
        for quota in reserved {
            self.review_quota(quota);
        }
    }

    /// The first work of the lane that a quota is kept for, or that is first in a strict line.
    pub(crate) fn first_for(&self, quota: u32) -> Option<WorkId> {
        let quota = &self.quotas[quota];
        if self.strict {
            let (_, _, lane) = quota.line.first()?;
            return self.lanes[*lane]
                .by_order
                .first_key_value()
                .map(|(_, id)| *id);
        }
        self.lanes[quota.reserved?].oldest()
    }

    pub(crate) fn wake_builder(&mut self, builder: u32) {
        if self.builders[builder].is_full() {
            return;
        }
        while let Some(lane) = self.builders[builder].parked.first().copied() {
            self.unpark(lane);
        }
    }

    pub(crate) fn wake_quota(&mut self, quota: u32) {
        let found = &self.quotas[quota];
        let lanes: Vec<u32> = if let Some(first) = self.sole_claimant(found) {
            vec![first]
        } else {
            let free = u32::try_from(found.free()).unwrap_or(u32::MAX);
            found
                .parked
                .range(..=(free, u32::MAX))
                .map(|(_, lane)| *lane)
                .collect()
        };
        for lane in lanes {
            let units = self.lanes.key(lane).cost.map_or(0, |(_, units)| units);
            if self.lanes[lane].place == Place::Quota && self.quotas[quota].fits(units) {
                self.unpark(lane);
            }
        }
    }

    /// The one lane that may use a quota, if not every lane may.
    fn sole_claimant(&self, quota: &Quota) -> Option<u32> {
        if self.strict {
            quota.line.first().map(|(_, _, lane)| *lane)
        } else {
            quota.reserved
        }
    }

    /// In a strict line another lane may have come to the front.
    fn wake_line(&mut self, key: LaneKey) {
        if let Some((quota, _)) = key.cost
            && self.strict
        {
            self.wake_quota(quota);
        }
    }

    fn park(&mut self, lane: u32, place: Place) {
        self.reindex(lane, |lane| lane.place = place);
    }

    fn unpark(&mut self, lane: u32) {
        self.reindex(lane, |lane| lane.place = Place::Ready);
        self.dirty.insert(self.lanes.key(lane).host);
    }

    /// Changes what is in a lane.
    fn edit(&mut self, lane: u32, change: impl FnOnce(&mut Lane)) {
        let before = self.lanes[lane].ends();
        change(&mut self.lanes[lane]);
        let after = self.lanes[lane].ends();
        if before != after {
            self.index(lane, before, false);
            self.index(lane, after, true);
        }
    }

    fn reindex(&mut self, lane: u32, change: impl FnOnce(&mut Lane)) {
        let ends = self.lanes[lane].ends();
        self.index(lane, ends, false);
        change(&mut self.lanes[lane]);
        self.index(lane, ends, true);
    }

    /// Enters a lane with these ends everywhere it is looked for, or takes it out.
    fn index(&mut self, lane: u32, ends: Option<Ends>, present: bool) {
        let Some((head, oldest)) = ends else { return };
        let key = *self.lanes.key(lane);
        let rank = key.rank.index();
        let host = &mut self.hosts[key.host];
        let builder = &mut self.builders[key.builder];
        put(&mut host.lanes, (key.rank, key.share, lane), present);
        put(&mut builder.lanes, (key.host, oldest, lane), present);
        if self.strict
            && let Some((quota, _)) = key.cost
        {
            put(
                &mut self.quotas[quota].line,
                (key.rank, head, lane),
                present,
            );
        }
        match self.lanes[lane].place {
            Place::Ready => {
                put(&mut host.by_age, (oldest, lane), present);
                let share = host.shares.get_mut(&key.share).expect("its works wait");
                put(&mut share.lanes[rank], (head, lane), present);
                let any = !share.lanes[rank].is_empty();
                put(
                    &mut host.ready[rank],
                    (share.running, share.served, key.share),
                    any,
                );
            }
            Place::Builder => put(&mut builder.parked, lane, present),
            Place::Quota => {
                let (quota, units) = key.cost.expect("only what costs is held up by a quota");
                put(&mut self.quotas[quota].parked, (units, lane), present);
                put(
                    &mut self.quotas[quota].parked_by_age,
                    (oldest, lane),
                    present,
                );
            }
        }
    }

    /// Changes what a share is ordered by.
    fn rekey_share(&mut self, key: LaneKey, change: impl FnOnce(&mut HostShare)) {
        let host = &mut self.hosts[key.host];
        let share = host
            .shares
            .get_mut(&key.share)
            .expect("its works wait or run");
        let before = (share.running, share.served, key.share);
        change(share);
        let after = (share.running, share.served, key.share);
        for (lanes, ready) in share.lanes.iter().zip(&mut host.ready) {
            if !lanes.is_empty() {
                ready.remove(&before);
                ready.insert(after);
            }
        }
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

fn overdue(oldest: Key, rules: &Rules) -> bool {
    Time::from_unix_millis(oldest.1) <= rules.overdue
}

fn put<T: Ord>(set: &mut BTreeSet<T>, item: T, present: bool) {
    if present {
        set.insert(item);
    } else {
        set.remove(&item);
    }
}
