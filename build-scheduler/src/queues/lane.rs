use std::collections::BTreeMap;

use crate::ids::WorkId;
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
    pub(super) by_age: BTreeMap<Key, WorkId>,
    pub(super) place: Place,
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
pub(super) type Ends = (Key, Key);

/// What a work occupies, kept with the work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    pub(crate) lane: LaneKey,
    pub(crate) order: Key,
    pub(crate) age: Key,
}

impl Lane {
    pub(super) fn new() -> Self {
        Self {
            by_order: BTreeMap::new(),
            by_age: BTreeMap::new(),
            place: Place::Ready,
        }
    }

    pub(super) fn ends(&self) -> Option<Ends> {
        let head = *self.by_order.first_key_value()?.0;
        let oldest = self.by_age.first_key_value();
        Some((head, oldest.map_or((0, head.1, head.2), |(key, _)| *key)))
    }

    pub(super) fn oldest(&self) -> Option<WorkId> {
        let oldest = self.by_age.first_key_value();
        oldest
            .or(self.by_order.first_key_value())
            .map(|(_, id)| *id)
    }
}
