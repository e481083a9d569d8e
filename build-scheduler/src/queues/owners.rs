//! What lanes belong to.

use std::collections::{BTreeSet, HashMap};

use super::lane::Key;
use crate::ids::MachineId;
use crate::work::Rank;

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
    pub(super) ready: [BTreeSet<(u64, u64, u32)>; Rank::COUNT],
    /// Ready lanes by their oldest work.
    pub(super) by_age: BTreeSet<(Key, u32)>,
    pub(crate) shares: HashMap<u32, HostShare>,
    /// Assignments since the last one that went to overdue work.
    pub(super) since_aged: u32,
}

/// One share's part of a host type.
#[derive(Debug, Default)]
pub(crate) struct HostShare {
    pub(crate) running: u64,
    /// The tick at which it last got a machine, or came.
    pub(crate) served: u64,
    pub(super) waiting: usize,
    /// Ready lanes by their first work.
    pub(super) lanes: [BTreeSet<(Key, u32)>; Rank::COUNT],
}

/// A builder's limit.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    pub(crate) max: Option<u32>,
    pub(crate) running: u32,
    pub(super) waiting: usize,
    /// Every lane, by host type and oldest work.
    pub(super) lanes: BTreeSet<(u32, Key, u32)>,
    pub(super) parked: BTreeSet<u32>,
    pub(super) since_aged: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Quota {
    pub(crate) limit: u32,
    pub(crate) untracked: u32,
    pub(crate) used: u64,
    /// Works that wait or run.
    pub(super) users: usize,
    pub(crate) parked: BTreeSet<(u32, u32)>,
    pub(super) parked_by_age: BTreeSet<(Key, u32)>,
    /// Every lane by its first work; only in strict mode.
    pub(super) line: BTreeSet<(Rank, Key, u32)>,
    /// The lane with overdue work that everything is kept for.
    pub(super) reserved: Option<u32>,
}

impl Builder {
    pub(crate) fn is_full(&self) -> bool {
        self.max.is_some_and(|max| self.running >= max)
    }
}

impl Quota {
    /// What could be used if nothing of ours ran.
    pub(crate) fn ours(&self) -> u32 {
        self.limit.saturating_sub(self.untracked)
    }

    pub(crate) fn free(&self) -> u64 {
        u64::from(self.ours()).saturating_sub(self.used)
    }

    pub(super) fn fits(&self, units: u32) -> bool {
        u64::from(units) <= self.free()
    }

    pub(crate) fn is_set(&self) -> bool {
        self.limit > 0 || self.untracked > 0
    }
}
