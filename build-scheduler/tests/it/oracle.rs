//! The rules of the front page, written down as plainly as they are said, over a list.

use std::cmp::Reverse;
use std::collections::HashMap;

use build_scheduler::{
    Config, Decision, Event, MachineId, Priority, Scheduler, Time, Work, WorkId,
};
use proptest::prelude::*;

use crate::world::{at, secs};

const EVERY: u32 = 4;

#[derive(Default)]
struct Oracle {
    waiting: Vec<(u64, Work)>,
    running: HashMap<WorkId, Work>,
    idle: Vec<MachineId>,
    /// When each share had its turn or came.
    served: HashMap<String, u64>,
    ticks: u64,
    since_aged: u32,
    builder_since_aged: HashMap<String, u32>,
    limit: Option<usize>,
}

impl Oracle {
    fn held_up(&self, work: &Work) -> bool {
        let running = self
            .running
            .values()
            .filter(|other| other.builder == work.builder)
            .count();
        work.builder.as_str() == "limited" && self.limit.is_some_and(|limit| running >= limit)
    }

    fn add(&mut self, arrival: u64, work: Work) {
        self.ticks += 1;
        self.served
            .entry(work.share.to_string())
            .or_insert(self.ticks);
        self.waiting.push((arrival, work));
    }

    fn forget_shares(&mut self) {
        let used = |share: &str| {
            self.waiting
                .iter()
                .any(|(_, work)| work.share.as_str() == share)
                || self
                    .running
                    .values()
                    .any(|work| work.share.as_str() == share)
        };
        let gone: Vec<String> = self
            .served
            .keys()
            .filter(|share| !used(share))
            .cloned()
            .collect();
        for share in gone {
            self.served.remove(&share);
        }
    }

    fn assign(&mut self, now: Time) -> Vec<Decision> {
        let mut decisions = Vec::new();
        while let Some(machine) = self.idle.first().copied() {
            let Some(at) = self.next(now) else { break };
            self.idle.remove(0);
            let (_, work) = self.waiting.remove(at);
            self.ticks += 1;
            self.served.insert(work.share.to_string(), self.ticks);
            decisions.push(Decision::Assign {
                work: work.id,
                machine,
            });
            self.running.insert(work.id, work);
        }
        decisions
    }

    fn next(&mut self, now: Time) -> Option<usize> {
        let overdue = |work: &Work| work.requested.unwrap().saturating_add(secs(60)) <= now;
        let oldest = |held: &dyn Fn(&Work) -> bool| {
            let works = self
                .waiting
                .iter()
                .enumerate()
                .filter(|(_, (_, work))| held(work));
            works
                .min_by_key(|(_, (arrival, work))| (work.requested, *arrival))
                .map(|(at, _)| at)
        };
        let old = oldest(&|work| !self.held_up(work)).filter(|at| overdue(&self.waiting[*at].1));
        let (mut at, mut was_oldest) = (old, true);
        let mut aged = true;
        if old.is_none() || self.since_aged + 1 < EVERY {
            let running = |work: &Work| {
                self.running
                    .values()
                    .filter(|other| other.share == work.share)
                    .count()
            };
            let free = self
                .waiting
                .iter()
                .enumerate()
                .filter(|(_, (_, work))| !self.held_up(work));
            let best = free.min_by_key(|(_, (arrival, work))| {
                let rank = (
                    work.priority,
                    work.priority == Priority::Automated && !work.release_branch,
                );
                let time = work.requested.unwrap().unix_millis();
                let newest = work.commit_time.map_or(time, Time::unix_millis);
                let order = if work.priority == Priority::Batch {
                    -newest
                } else {
                    time
                };
                (
                    rank,
                    running(work),
                    self.served[work.share.as_str()],
                    -work.level,
                    order,
                    *arrival,
                )
            });
            at = best.map(|(at, _)| at);
            (aged, was_oldest) = (false, false);
            if let Some(found) = at {
                let builder = self.waiting[found].1.builder.clone();
                let since = self
                    .builder_since_aged
                    .get(builder.as_str())
                    .copied()
                    .unwrap_or(0);
                if builder.as_str() == "limited" && self.limit.is_some() && since + 1 >= EVERY {
                    let theirs = oldest(&|work| work.builder == builder);
                    if let Some(theirs) = theirs.filter(|at| overdue(&self.waiting[*at].1)) {
                        (at, was_oldest) = (Some(theirs), true);
                    }
                }
            }
        }
        let at = at?;
        self.since_aged = if aged { 0 } else { self.since_aged + 1 };
        let builder = self.waiting[at].1.builder.to_string();
        let since = self.builder_since_aged.entry(builder).or_default();
        *since = if was_oldest { 0 } else { *since + 1 };
        Some(at)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Add {
        priority: usize,
        share: usize,
        builder: usize,
        release: bool,
        commit: Option<i64>,
        age: i64,
        level: i32,
    },
    Turn(usize),
    Pass(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let add = (
        0..4usize,
        0..4usize,
        0..2usize,
        any::<bool>(),
        prop::option::of(0..50i64),
        0..80i64,
        0..2i32,
    );
    prop_oneof![
        3 => add.prop_map(|(priority, share, builder, release, commit, age, level)| Step::Add {
            priority, share, builder, release, commit, age, level,
        }),
        3 => any::<usize>().prop_map(Step::Turn),
        1 => (1..30i64).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decisions_are_those_of_the_rules(
        limit in prop::option::of(0..3u32),
        machines in 1..4u64,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut scheduler = Scheduler::new(Config::default().patience(secs(60))).unwrap();
        let mut oracle = Oracle { limit: limit.map(|limit| limit as usize), ..Oracle::default() };
        let offered = |machine| Event::MachineOffered { machine, host_type: "h".into() };
        let mut now = at(0);
        scheduler.handle(now, Event::BuilderLimit { builder: "limited".into(), max: limit }).unwrap();
        for machine in (0..machines).map(MachineId) {
            scheduler.handle(now, offered(machine)).unwrap();
            oracle.idle.push(machine);
        }
        let mut busy: Vec<(WorkId, MachineId)> = Vec::new();
        for (id, step) in steps.into_iter().enumerate() {
            let mut decisions = Vec::new();
            let mut expected = Vec::new();
            match step {
                Step::Add { priority, share, builder, release, commit, age, level } => {
                    let mut work = Work::new(WorkId(id as u64), "h", ["free", "limited"][builder]);
                    work.priority =
                        [Priority::Urgent, Priority::Interactive, Priority::Automated, Priority::Batch][priority];
                    work.share = ["a", "b", "c", "d"][share].into();
                    work.release_branch = release;
                    work.level = level;
                    work.commit_time = commit.map(at);
                    work.requested = Some(now.saturating_sub(secs(age as u64)));
                    decisions.extend(scheduler.handle(now, Event::WorkAdded(work.clone())).unwrap());
                    oracle.add(id as u64, work);
                    expected.extend(oracle.assign(now));
                }
                Step::Turn(n) if !busy.is_empty() => {
                    let (work, machine) = busy.swap_remove(n % busy.len());
                    decisions.extend(scheduler.handle(now, Event::WorkFinished { work, took: None }).unwrap());
                    oracle.running.remove(&work);
                    oracle.forget_shares();
                    expected.extend(oracle.assign(now));
                    decisions.extend(scheduler.handle(now, offered(machine)).unwrap());
                    oracle.idle.push(machine);
                    expected.extend(oracle.assign(now));
                }
                Step::Turn(_) => {}
                Step::Pass(by) => now = now.saturating_add(secs(by as u64)),
            }
            prop_assert_eq!(&decisions, &expected);
            for decision in decisions {
                if let Decision::Assign { work, machine } = decision {
                    busy.push((work, machine));
                }
            }
        }
        let mut waiting: Vec<_> = oracle.waiting.iter().map(|(_, work)| Reverse(work.id)).collect();
        waiting.sort_unstable();
        prop_assert_eq!(scheduler.len(), waiting.len() + oracle.running.len());
    }
}
