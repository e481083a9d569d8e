//! Where lanes are looked for, and how they are parked with what holds them up.

use std::collections::BTreeSet;

use super::lane::{Ends, Lane, LaneKey, Place};
use super::owners::{HostShare, Quota};
use super::queues::Queues;

impl Queues {
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
    pub(super) fn wake_line(&mut self, key: LaneKey) {
        if let Some((quota, _)) = key.cost
            && self.strict
        {
            self.wake_quota(quota);
        }
    }

    pub(super) fn park(&mut self, lane: u32, place: Place) {
        self.reindex(lane, |lane| lane.place = place);
    }

    fn unpark(&mut self, lane: u32) {
        self.reindex(lane, |lane| lane.place = Place::Ready);
        self.dirty.insert(self.lanes.key(lane).host);
    }

    /// Changes what is in a lane.
    pub(super) fn edit(&mut self, lane: u32, change: impl FnOnce(&mut Lane)) {
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
    pub(super) fn rekey_share(&mut self, key: LaneKey, change: impl FnOnce(&mut HostShare)) {
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
}

fn put<T: Ord>(set: &mut BTreeSet<T>, item: T, present: bool) {
    if present {
        set.insert(item);
    } else {
        set.remove(&item);
    }
}
