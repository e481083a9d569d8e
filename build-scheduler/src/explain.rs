//! Why work waits, and what is next.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, btree_map};
use std::fmt;

use crate::ids::{BuilderName, HostType, MachineId, QuotaName, WorkId};
use crate::queues::{Host, Key, Queues};
use crate::scheduler::{Entry, Scheduler, State, Use};
use crate::time::Time;
use crate::work::{Rank, Work};

/// What a work is doing, and why; see [`Scheduler::explain`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Explanation {
    /// It was assigned.
    Running {
        /// To which machine.
        machine: MachineId,
        /// When.
        since: Time,
    },
    /// It waits.
    Waiting {
        /// Since when, as far as its age is concerned.
        since: Time,
        /// How many works of its host type would get a machine before it if nothing else came, and nothing were held
        /// up or overdue: fair turns between shares are counted in. `None` if it is not due yet, or further back than
        /// [`Scheduler::LOOK_AHEAD`].
        ahead: Option<usize>,
        /// What it waits for, everything that does. There is at least one.
        reasons: Vec<Reason>,
        /// When it may start, from the [`ahead`](Self::Waiting::ahead) works before it and the median of what their
        /// builders' latest works took. `None` if there is no machine, or nothing is known.
        starts: Option<Time>,
    },
}

/// Something that work waits for. Its text is a fragment for people, such as `all 3 machines are busy`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are the numbers of the texts")]
pub enum Reason {
    /// It is to start later.
    NotBefore(Time),
    /// No machine of its host type is known.
    NoMachine(HostType),
    /// Every machine of its host type has other work, or was not offered again yet.
    MachinesBusy {
        host_type: HostType,
        machines: usize,
    },
    /// Its builder has as many works running as it may.
    BuilderFull {
        builder: BuilderName,
        running: u32,
        max: u32,
    },
    /// Less than it needs is left of a quota.
    QuotaFull {
        quota: QuotaName,
        units: u32,
        free: u64,
    },
    /// It needs more of a quota than there would be if nothing ran.
    QuotaTooSmall {
        quota: QuotaName,
        units: u32,
        limit: u32,
        untracked: u32,
    },
    /// A quota is kept for work that is overdue, or that stands before it in a strict line.
    QuotaKept { quota: QuotaName, by: WorkId },
}

/// How a host type does; see [`Scheduler::hosts`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names say it")]
pub struct HostSummary {
    pub host_type: HostType,
    pub waiting: usize,
    pub running: usize,
    /// Known machines, free or not.
    pub machines: usize,
    pub idle: usize,
}

/// How a quota does; see [`Scheduler::quotas`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names say it")]
pub struct QuotaSummary {
    pub quota: QuotaName,
    pub limit: u32,
    pub used: u64,
    pub untracked: u32,
}

impl Scheduler {
    /// How many works [`queue`](Self::queue) and [`explain`](Self::explain) look at, at most.
    pub const LOOK_AHEAD: usize = 10_000;

    /// What a work is doing, and why it waits if it does; `None` if it neither waits nor runs.
    ///
    /// It looks at the machines and lanes of its host type and at up to [`LOOK_AHEAD`](Self::LOOK_AHEAD) works, so it
    /// is for pages and not for every work at every event.
    #[must_use]
    pub fn explain(&self, work: WorkId) -> Option<Explanation> {
        let entry = self.works.get(&work)?;
        if let State::Running { machine, since } = entry.state {
            return Some(Explanation::Running { machine, since });
        }
        let order = Preview::new(&self.queues, entry.spot.lane.host);
        let due = entry.state == State::Waiting;
        let ahead = due
            .then(|| order.take(Self::LOOK_AHEAD).position(|id| id == work))
            .flatten();
        Some(Explanation::Waiting {
            since: entry.work.requested(),
            ahead,
            reasons: self.reasons(entry),
            starts: self.starts(entry, ahead),
        })
    }

    /// The works of a host type that are due, in the order in which they would get machines if nothing else came and
    /// nothing were held up or overdue; the first `limit` of them, at most [`LOOK_AHEAD`](Self::LOOK_AHEAD).
    #[must_use]
    pub fn queue(&self, host_type: &HostType, limit: usize) -> Vec<WorkId> {
        let Some(host) = self.queues.hosts.find(host_type) else {
            return Vec::new();
        };
        Preview::new(&self.queues, host)
            .take(limit.min(Self::LOOK_AHEAD))
            .collect()
    }

    /// The host types that have machines or work, in no order that means anything.
    pub fn hosts(&self) -> impl Iterator<Item = HostSummary> {
        self.queues
            .hosts
            .iter()
            .map(|(_, host_type, host)| HostSummary {
                host_type: host_type.clone(),
                waiting: host.waiting,
                running: host.running,
                machines: host.machines,
                idle: host.idle.len(),
            })
    }

    /// The quotas that are set or wanted, in no order that means anything.
    pub fn quotas(&self) -> impl Iterator<Item = QuotaSummary> {
        self.queues
            .quotas
            .iter()
            .map(|(_, name, quota)| QuotaSummary {
                quota: name.clone(),
                limit: quota.limit,
                used: quota.used,
                untracked: quota.untracked,
            })
    }

    /// What was told about a work that waits or runs.
    #[must_use]
    pub fn work(&self, id: WorkId) -> Option<&Work> {
        self.works.get(&id).map(|entry| &entry.work)
    }

    /// How many works wait or run.
    #[must_use]
    pub fn len(&self) -> usize {
        self.works.len()
    }

    /// Whether no work waits or runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.works.is_empty()
    }

    fn reasons(&self, entry: &Entry) -> Vec<Reason> {
        let (work, key) = (&entry.work, &entry.spot.lane);
        let mut reasons = Vec::new();
        if entry.state == State::Delayed {
            reasons.extend(work.not_before.map(Reason::NotBefore));
        }
        let host = &self.queues.hosts[key.host];
        let host_type = work.host_type.clone();
        if host.machines == 0 {
            reasons.push(Reason::NoMachine(host_type));
        } else if host.idle.is_empty() {
            reasons.push(Reason::MachinesBusy {
                host_type,
                machines: host.machines,
            });
        }
        let builder = &self.queues.builders[key.builder];
        if let Some(max) = builder.max
            && builder.is_full()
        {
            let builder_name = work.builder.clone();
            reasons.push(Reason::BuilderFull {
                builder: builder_name,
                running: builder.running,
                max,
            });
        }
        if let (Some((number, units)), Some(cost)) = (key.cost, &work.cost) {
            let (quota, name) = (&self.queues.quotas[number], cost.quota.clone());
            let first = self.queues.first_for(number);
            if units > quota.ours() {
                let (limit, untracked) = (quota.limit, quota.untracked);
                reasons.push(Reason::QuotaTooSmall {
                    quota: name,
                    units,
                    limit,
                    untracked,
                });
            } else if u64::from(units) > quota.free() {
                reasons.push(Reason::QuotaFull {
                    quota: name,
                    units,
                    free: quota.free(),
                });
            } else if let Some(by) = first
                && by != work.id
            {
                reasons.push(Reason::QuotaKept { quota: name, by });
            }
        }
        reasons
    }

    fn starts(&self, entry: &Entry, ahead: Option<usize>) -> Option<Time> {
        let due = entry.work.not_before.unwrap_or(self.now).max(self.now);
        let mut free = self.free_times(entry.spot.lane.host)?;
        let before = match entry.state {
            State::Delayed => 0,
            _ => ahead?,
        };
        for id in Preview::new(&self.queues, entry.spot.lane.host).take(before) {
            let took = self.history.typical(&self.works[&id].work.builder)?;
            let Reverse(start) = free.pop()?;
            free.push(Reverse(start.saturating_add(took)));
        }
        let Reverse(machine) = free.pop()?;
        Some(machine.max(due).max(self.builder_free(entry)?))
    }

    /// When each machine of a host type may be free.
    fn free_times(&self, host: u32) -> Option<BinaryHeap<Reverse<Time>>> {
        let machines = self
            .machines
            .values()
            .filter(|machine| machine.host == host);
        let free = machines.map(|machine| match machine.use_ {
            Use::Idle(_) | Use::Away => Some(Reverse(self.now)),
            Use::Busy { work, .. } => self.ends(&self.works[&work]).map(Reverse),
        });
        free.collect()
    }

    /// When the builder of a work may have room for another.
    fn builder_free(&self, entry: &Entry) -> Option<Time> {
        if !self.queues.builders[entry.spot.lane.builder].is_full() {
            return Some(self.now);
        }
        let same = |other: &&Entry| other.spot.lane.builder == entry.spot.lane.builder;
        self.works
            .values()
            .filter(same)
            .filter_map(|other| self.ends(other))
            .min()
    }

    /// When a running work may end; `None` if it does not run, or nothing is known.
    fn ends(&self, entry: &Entry) -> Option<Time> {
        let State::Running { since, .. } = entry.state else {
            return None;
        };
        let took = self.history.typical(&entry.work.builder)?;
        Some(since.saturating_add(took).max(self.now))
    }
}

/// Waiting works of a host type in the order in which free machines would go to them.
struct Preview<'a> {
    queues: &'a Queues,
    host: &'a Host,
    /// The rank that comes when the present one has nothing left.
    next_rank: u8,
    /// Shares of the present rank, by what orders them and number.
    shares: BinaryHeap<Reverse<(u64, u64, u32)>>,
    /// Their lanes by first work.
    lines: HashMap<u32, Line<'a>>,
    /// What orders the shares that were given something in this preview.
    served: HashMap<u32, (u64, u64)>,
    ticks: u64,
}

#[derive(Default)]
struct Line<'a> {
    lanes: Vec<btree_map::Iter<'a, Key, WorkId>>,
    heads: BinaryHeap<Reverse<(Key, WorkId, usize)>>,
}

impl<'a> Preview<'a> {
    fn new(queues: &'a Queues, host: u32) -> Self {
        Self {
            queues,
            host: &queues.hosts[host],
            next_rank: 0,
            shares: BinaryHeap::new(),
            lines: HashMap::new(),
            served: HashMap::new(),
            // Later than any share was really served.
            ticks: u64::MAX / 2,
        }
    }

    fn enter_rank(&mut self, rank: Rank) {
        self.lines.clear();
        let lanes = self
            .host
            .lanes
            .range((rank, 0, 0)..=(rank, u32::MAX, u32::MAX));
        for (_, share, lane) in lanes {
            let line = self.lines.entry(*share).or_default();
            line.lanes.push(self.queues.lanes[*lane].by_order.iter());
            line.advance(line.lanes.len() - 1);
        }
        for share in self.lines.keys() {
            let found = &self.host.shares[share];
            let (running, served) = self
                .served
                .get(share)
                .copied()
                .unwrap_or((found.running, found.served));
            self.shares.push(Reverse((running, served, *share)));
        }
    }
}

impl Iterator for Preview<'_> {
    type Item = WorkId;

    fn next(&mut self) -> Option<WorkId> {
        loop {
            let Some(Reverse((running, _, share))) = self.shares.pop() else {
                if usize::from(self.next_rank) == Rank::COUNT {
                    return None;
                }
                self.enter_rank(Rank(self.next_rank));
                self.next_rank += 1;
                continue;
            };
            let line = self.lines.get_mut(&share).expect("every share has a line");
            let Some(Reverse((_, id, lane))) = line.heads.pop() else {
                continue;
            };
            line.advance(lane);
            self.ticks += 1;
            self.served.insert(share, (running + 1, self.ticks));
            self.shares.push(Reverse((running + 1, self.ticks, share)));
            return Some(id);
        }
    }
}

impl Line<'_> {
    fn advance(&mut self, lane: usize) {
        if let Some((key, id)) = self.lanes[lane].next() {
            self.heads.push(Reverse((*key, *id, lane)));
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBefore(_) => f.write_str("it is to start later"),
            Self::NoMachine(host_type) => write!(f, "there is no machine of type {host_type}"),
            Self::MachinesBusy {
                host_type,
                machines: 1,
            } => {
                write!(f, "the machine of type {host_type} is busy")
            }
            Self::MachinesBusy {
                host_type,
                machines,
            } => {
                write!(f, "all {machines} machines of type {host_type} are busy")
            }
            Self::BuilderFull {
                builder,
                running,
                max,
            } => {
                write!(
                    f,
                    "{running} of at most {max} builds of {builder} are running"
                )
            }
            Self::QuotaFull { quota, units, free } => {
                write!(f, "it needs {units} of {quota}, of which {free} are left")
            }
            Self::QuotaTooSmall {
                quota,
                units,
                limit,
                untracked: 0,
            } => {
                write!(
                    f,
                    "it needs {units} of {quota}, of which there are only {limit}"
                )
            }
            Self::QuotaTooSmall {
                quota,
                units,
                limit,
                untracked,
            } => {
                write!(
                    f,
                    "it needs {units} of {quota}, of which there are {limit} and others use {untracked}"
                )
            }
            Self::QuotaKept { quota, by } => write!(f, "{quota} is kept for work {by}"),
        }
    }
}
