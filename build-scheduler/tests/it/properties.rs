//! Whatever happens in whatever order.

use build_scheduler::{Config, Event, MachineId, Mode, Priority, Work, WorkId};
use proptest::prelude::*;

use crate::world::{World, at, cost, secs};

/// Something that happens; numbers choose among what there is at the time.
#[derive(Clone, Debug)]
enum Step {
    Add(Shape),
    Cancel(usize),
    Finish(usize, Option<u64>),
    Fail(usize),
    Offer(u64),
    Lose(u64),
    Limit(usize, Option<u32>),
    Quota(usize, u32, u32),
    Pass(i64),
}

#[derive(Clone, Debug)]
struct Shape {
    host: usize,
    builder: usize,
    priority: usize,
    share: usize,
    cost: Option<(usize, u32)>,
    commit: Option<i64>,
    release: bool,
    key: Option<u8>,
    delay: Option<i64>,
}

const HOSTS: [&str; 2] = ["h0", "h1"];
const BUILDERS: [&str; 3] = ["b0", "b1", "b2"];
const SHARES: [&str; 3] = ["", "s1", "s2"];
const QUOTAS: [&str; 2] = ["q0", "q1"];
const PRIORITIES: [Priority; 4] = [
    Priority::Urgent,
    Priority::Interactive,
    Priority::Automated,
    Priority::Batch,
];

fn shape() -> impl Strategy<Value = Shape> {
    let cost = prop::option::weighted(0.5, (0..2usize, 0..6u32));
    let optional = (
        prop::option::of(0..100i64),
        prop::option::weighted(0.2, 0..3u8),
        prop::option::weighted(0.1, 1..50i64),
    );
    (
        0..2usize,
        0..3usize,
        0..4usize,
        0..3usize,
        cost,
        any::<bool>(),
        optional,
    )
        .prop_map(
            |(host, builder, priority, share, cost, release, (commit, key, delay))| Shape {
                host,
                builder,
                priority,
                share,
                cost,
                commit,
                release,
                key,
                delay,
            },
        )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => shape().prop_map(Step::Add),
        1 => any::<usize>().prop_map(Step::Cancel),
        4 => (any::<usize>(), prop::option::of(1..100u64)).prop_map(|(n, took)| Step::Finish(n, took)),
        1 => any::<usize>().prop_map(Step::Fail),
        6 => (0..6u64).prop_map(Step::Offer),
        1 => (0..6u64).prop_map(Step::Lose),
        1 => (0..3usize, prop::option::of(0..3u32)).prop_map(|(b, max)| Step::Limit(b, max)),
        1 => (0..2usize, 0..8u32, 0..3u32).prop_map(|(q, limit, untracked)| Step::Quota(q, limit, untracked)),
        2 => (0..40i64).prop_map(Step::Pass),
    ]
}

fn work(id: u64, shape: &Shape, world: &World) -> Work {
    let mut work = Work::new(WorkId(id), HOSTS[shape.host], BUILDERS[shape.builder]);
    work.priority = PRIORITIES[shape.priority];
    work.share = SHARES[shape.share].into();
    work.cost = shape
        .cost
        .and_then(|(quota, units)| cost(QUOTAS[quota], units));
    work.commit_time = shape.commit.map(at);
    work.release_branch = shape.release;
    work.supersede = shape.key.map(|key| format!("key{key}").into());
    work.not_before = shape
        .delay
        .map(|delay| world.now.saturating_add(secs(delay as u64)));
    work
}

fn nth(ids: &[WorkId], n: usize) -> Option<WorkId> {
    (!ids.is_empty()).then(|| ids[n % ids.len()])
}

impl Step {
    fn event(&self, id: u64, world: &World) -> Option<Event> {
        let running = || world.running.keys().copied().collect::<Vec<_>>();
        Some(match *self {
            Self::Add(ref shape) => Event::WorkAdded(work(id, shape, world)),
            Self::Cancel(n) => {
                Event::WorkCancelled(nth(&world.waiting.keys().copied().collect::<Vec<_>>(), n)?)
            }
            Self::Finish(n, took) => Event::WorkFinished {
                work: nth(&running(), n)?,
                took: took.map(secs),
            },
            Self::Fail(n) => Event::AssignmentFailed(nth(&running(), n)?),
            Self::Offer(machine) => Event::MachineOffered {
                machine: MachineId(machine),
                host_type: HOSTS[machine as usize % 2].into(),
            },
            Self::Lose(machine) => Event::MachineLost(MachineId(machine)),
            Self::Limit(builder, max) => Event::BuilderLimit {
                builder: BUILDERS[builder].into(),
                max,
            },
            Self::Quota(quota, limit, untracked) => Event::QuotaChanged {
                quota: QUOTAS[quota].into(),
                limit,
                untracked,
            },
            Self::Pass(_) => Event::TimePassed,
        })
    }
}

/// Runs the steps with everything checked after each, and gives what happened. A machine that is offered while its work
/// runs would leave the world here in doubt about what is free, so only free and unknown ones are.
fn run(config: Config, steps: &[Step]) -> World {
    let mut world = World::new(config);
    for (id, step) in steps.iter().enumerate() {
        if let Step::Pass(secs) = step {
            world.now = world.now.saturating_add(crate::world::secs(*secs as u64));
        }
        let Some(event) = step.event(id as u64, &world) else {
            continue;
        };
        let busy = |machine| world.running.values().any(|(_, busy)| *busy == machine);
        match event {
            Event::MachineOffered { machine, .. } | Event::MachineLost(machine)
                if busy(machine) =>
            {
                continue;
            }
            _ => {}
        }
        world.ok(event);
        world.check();
    }
    world
}

fn config(mode: Mode) -> Config {
    Config::default().mode(mode).patience(secs(60))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// `World` checks each decision: work and machine were free and fit, limits and quotas hold; and after each event
    /// that what waits beside a free machine has a reason to.
    #[test]
    fn nothing_is_assigned_twice_and_no_machine_idles_without_a_reason(
        strict in any::<bool>(),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        run(config(if strict { Mode::StrictLine } else { Mode::Fair }), &steps);
    }

    #[test]
    fn the_same_events_give_the_same_decisions(steps in prop::collection::vec(step(), 1..150)) {
        let (one, two) = (run(config(Mode::Fair), &steps), run(config(Mode::Fair), &steps));
        prop_assert_eq!(one.started, two.started);
        prop_assert_eq!(one.superseded, two.superseded);
    }

    /// Once there are machines and room for everything, everything that waits is done, and then nothing is remembered.
    #[test]
    fn everything_ends_when_it_can(steps in prop::collection::vec(step(), 1..150)) {
        let mut world = run(config(Mode::Fair), &steps);
        world.now = world.now.saturating_add(secs(100));
        for builder in BUILDERS {
            world.ok(Event::BuilderLimit { builder: builder.into(), max: None });
        }
        for quota in QUOTAS {
            world.quota(quota, 5, 0);
        }
        for machine in 10..14u64 {
            let host_type = HOSTS[machine as usize % 2].into();
            world.ok(Event::MachineOffered { machine: MachineId(machine), host_type });
        }
        while let Some(id) = world.running.keys().next().copied() {
            let machine = world.running[&id].1;
            world.finish(id.0);
            let host_type = HOSTS[machine.0 as usize % 2].into();
            world.ok(Event::MachineOffered { machine, host_type });
            world.check();
        }
        prop_assert_eq!(world.waiting_ids().len(), 0);
        for machine in 0..14u64 {
            world.ok(Event::MachineLost(MachineId(machine)));
        }
        for quota in QUOTAS {
            world.quota(quota, 0, 0);
        }
        prop_assert!(world.scheduler.is_empty());
        prop_assert_eq!(world.scheduler.hosts().count(), 0);
        prop_assert_eq!(world.scheduler.quotas().count(), 0);
    }

    /// However much better work keeps coming, what is overdue starts after at most four times as many starts as there
    /// is work at least as old.
    #[test]
    fn nothing_starves(
        shapes in prop::collection::vec(shape(), 1..20),
        rivals in prop::collection::vec(shape(), 1..10),
        limit in prop::option::of(1..3u32),
    ) {
        let mut world = World::new(config(Mode::Fair));
        let plain = |id: u64, shape: &Shape, world: &World| {
            let mut work = work(id, shape, world);
            (work.cost, work.supersede, work.not_before) = (None, None, None);
            work.host_type = "h0".into();
            work
        };
        world.ok(Event::BuilderLimit { builder: "b0".into(), max: limit });
        for (id, shape) in shapes.iter().enumerate() {
            let work = plain(id as u64, shape, &world);
            world.add(work);
        }
        world.now = at(60);
        for machine in 0..3 {
            world.ok(Event::MachineOffered { machine: MachineId(machine), host_type: "h0".into() });
        }
        let old = shapes.len();
        let mut next = 1000;
        // Each builder's places are shared among its own, so the bound holds for each of the three.
        for _ in 0..(3 * 4 * (old + 3)) {
            for rival in &rivals {
                let mut work = plain(next, rival, &world);
                work.priority = Priority::Urgent;
                world.add(work);
                next += 1;
            }
            let Some(id) = world.started.iter().find(|id| world.running.contains_key(id)).copied() else { break };
            let machine = world.running[&id].1;
            world.finish(id.0);
            world.ok(Event::MachineOffered { machine, host_type: "h0".into() });
        }
        let left: Vec<_> = world.waiting_ids().into_iter().filter(|id| *id < 1000).collect();
        prop_assert_eq!(left, Vec::<u64>::new());
    }
}
