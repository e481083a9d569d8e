//! A scheduler with what its answers led to, checked at every step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use build_scheduler::{
    Config, Cost, Decision, Event, EventError, Explanation, MachineId, Priority, Scheduler, Time,
    Work, WorkId,
};

pub(crate) const HOST: &str = "host-linux";

/// Some time of day, plus seconds.
pub(crate) fn at(secs: i64) -> Time {
    Time::from_unix_millis(1_790_000_000_000 + secs * 1000)
}

pub(crate) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) fn batch(id: u64) -> Work {
    Work::new(WorkId(id), HOST, "linux-amd64")
}

pub(crate) fn with(mut work: Work, change: impl FnOnce(&mut Work)) -> Work {
    change(&mut work);
    work
}

pub(crate) fn class(id: u64, priority: Priority) -> Work {
    with(batch(id), |work| work.priority = priority)
}

pub(crate) fn cost(quota: &str, units: u32) -> Option<Cost> {
    Some(Cost {
        quota: quota.into(),
        units,
    })
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) scheduler: Scheduler,
    pub(crate) now: Time,
    pub(crate) waiting: BTreeMap<WorkId, Work>,
    pub(crate) running: BTreeMap<WorkId, (Work, MachineId)>,
    pub(crate) idle: BTreeMap<MachineId, String>,
    pub(crate) limits: BTreeMap<String, u32>,
    pub(crate) quotas: BTreeMap<String, (u32, u32)>,
    /// In the order in which it was started.
    pub(crate) started: Vec<WorkId>,
    pub(crate) superseded: Vec<(WorkId, WorkId)>,
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            scheduler: Scheduler::new(config).unwrap(),
            now: at(0),
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            idle: BTreeMap::new(),
            limits: BTreeMap::new(),
            quotas: BTreeMap::new(),
            started: Vec::new(),
            superseded: Vec::new(),
        }
    }

    /// Handles an event, and checks the decisions against what is known here.
    pub(crate) fn send(&mut self, event: Event) -> Result<Vec<Decision>, EventError> {
        let decisions = self.scheduler.handle(self.now, event.clone())?;
        match event {
            Event::WorkAdded(work) => {
                self.waiting.insert(work.id, work);
            }
            Event::WorkCancelled(id) => {
                self.waiting
                    .remove(&id)
                    .expect("only waiting work is cancelled");
            }
            Event::WorkFinished { work, .. } => {
                self.running
                    .remove(&work)
                    .expect("only running work finishes");
            }
            Event::AssignmentFailed(id) => {
                let (work, _) = self
                    .running
                    .remove(&id)
                    .expect("only what was assigned fails to start");
                self.waiting.insert(id, work);
            }
            Event::MachineOffered { machine, host_type }
                if self.running.values().all(|(_, busy)| *busy != machine) =>
            {
                self.idle.insert(machine, host_type.to_string());
            }
            Event::MachineLost(machine) => {
                self.idle.remove(&machine);
            }
            Event::BuilderLimit {
                builder,
                max: Some(max),
            } => {
                self.limits.insert(builder.to_string(), max);
            }
            Event::BuilderLimit { builder, max: None } => {
                self.limits.remove(builder.as_str());
            }
            Event::QuotaChanged {
                quota,
                limit,
                untracked,
            } => {
                self.quotas.insert(quota.to_string(), (limit, untracked));
            }
            _ => {}
        }
        for decision in &decisions {
            self.carry_out(decision);
        }
        Ok(decisions)
    }

    pub(crate) fn ok(&mut self, event: Event) -> Vec<Decision> {
        self.send(event).unwrap()
    }

    fn carry_out(&mut self, decision: &Decision) {
        match *decision {
            Decision::Assign { work: id, machine } => {
                let work = self
                    .waiting
                    .remove(&id)
                    .expect("only waiting work is assigned, and once");
                let host = self
                    .idle
                    .remove(&machine)
                    .expect("only free machines are used, and once");
                assert_eq!(work.host_type.as_str(), host);
                assert!(work.not_before.is_none_or(|due| due <= self.now));
                let running = self
                    .running
                    .values()
                    .filter(|(other, _)| other.builder == work.builder)
                    .count();
                if let Some(max) = self.limits.get(work.builder.as_str()) {
                    assert!(running < *max as usize, "{id} exceeds its builder's limit");
                }
                if let Some(cost) = &work.cost {
                    let (limit, untracked) = self
                        .quotas
                        .get(cost.quota.as_str())
                        .copied()
                        .unwrap_or_default();
                    let used = self.used(cost.quota.as_str()) + u64::from(cost.units);
                    assert!(
                        cost.units == 0 || used <= u64::from(limit.saturating_sub(untracked)),
                        "{id} exceeds its quota"
                    );
                }
                self.running.insert(id, (work, machine));
                self.started.push(id);
            }
            Decision::Supersede { work, by } => {
                assert!(self.waiting.contains_key(&by));
                self.waiting
                    .remove(&work)
                    .expect("only waiting work is superseded");
                self.superseded.push((work, by));
            }
            _ => unreachable!("there are no other decisions"),
        }
    }

    pub(crate) fn used(&self, quota: &str) -> u64 {
        let costs = self
            .running
            .values()
            .filter_map(|(work, _)| work.cost.as_ref());
        costs
            .filter(|cost| cost.quota.as_str() == quota)
            .map(|cost| u64::from(cost.units))
            .sum()
    }

    pub(crate) fn add(&mut self, work: Work) -> Vec<Decision> {
        self.ok(Event::WorkAdded(work))
    }

    pub(crate) fn machine(&mut self, id: u64) -> Vec<Decision> {
        self.ok(Event::MachineOffered {
            machine: MachineId(id),
            host_type: HOST.into(),
        })
    }

    pub(crate) fn finish(&mut self, id: u64) -> Vec<Decision> {
        self.ok(Event::WorkFinished {
            work: WorkId(id),
            took: None,
        })
    }

    pub(crate) fn quota(&mut self, quota: &str, limit: u32, untracked: u32) -> Vec<Decision> {
        self.ok(Event::QuotaChanged {
            quota: quota.into(),
            limit,
            untracked,
        })
    }

    pub(crate) fn limit(&mut self, builder: &str, max: u32) -> Vec<Decision> {
        self.ok(Event::BuilderLimit {
            builder: builder.into(),
            max: Some(max),
        })
    }

    /// Ends a work and offers its machine again.
    pub(crate) fn turn(&mut self, id: WorkId) -> Vec<Decision> {
        let machine = self.running[&id].1;
        let mut decisions = self.finish(id.0);
        decisions.extend(self.machine(machine.0));
        decisions
    }

    /// What is started when a machine ends whatever it does, again and again.
    pub(crate) fn order(&mut self) -> Vec<u64> {
        self.started.clear();
        self.machine(1);
        while let Some(id) = self.running.keys().next().copied() {
            self.turn(id);
        }
        self.started.iter().map(|id| id.0).collect()
    }

    pub(crate) fn waiting_ids(&self) -> BTreeSet<u64> {
        self.waiting.keys().map(|id| id.0).collect()
    }

    /// Work that waits while a machine of its host type is free says what holds it up, and the scheduler agrees about who
    /// waits and runs.
    pub(crate) fn check(&self) {
        assert_eq!(
            self.scheduler.len(),
            self.waiting.len() + self.running.len()
        );
        for (id, work) in &self.waiting {
            let Some(Explanation::Waiting { reasons, .. }) = self.scheduler.explain(*id) else {
                panic!("{id} should wait");
            };
            assert!(!reasons.is_empty(), "{work:?} waits for no reason");
        }
        for (id, (_, machine)) in &self.running {
            let explanation = self.scheduler.explain(*id);
            let ours = matches!(explanation, Some(Explanation::Running { machine: theirs, .. }) if theirs == *machine);
            assert!(ours, "{id} should run on {machine}");
        }
        for host in self.scheduler.hosts() {
            let of_type = |idle: &&String| **idle == host.host_type.as_str();
            assert_eq!(host.idle, self.idle.values().filter(of_type).count());
        }
    }
}
