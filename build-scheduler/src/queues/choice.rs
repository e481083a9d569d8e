//! Which work a free machine gets, and for which a quota is kept.

use super::lane::{Key, LaneKey, Place};
use super::queues::Queues;
use crate::ids::WorkId;
use crate::time::Time;

/// What every decision looks at besides the queues.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) strict: bool,
    /// What was asked for by then is overdue.
    pub(crate) overdue: Time,
    pub(crate) aged_every: u32,
}

impl Queues {
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
}

fn overdue(oldest: Key, rules: &Rules) -> bool {
    Time::from_unix_millis(oldest.1) <= rules.overdue
}
