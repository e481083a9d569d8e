use build_scheduler::{
    Config, Event, Explanation, HostType, MachineId, Priority, Reason, Time, WorkId,
};

use crate::world::{HOST, World, at, batch, class, cost, secs, with};

struct Wait {
    ahead: Option<usize>,
    reasons: Vec<Reason>,
    starts: Option<Time>,
}

fn wait(world: &World, id: u64) -> Wait {
    match world.scheduler.explain(WorkId(id)) {
        Some(Explanation::Waiting {
            ahead,
            reasons,
            starts,
            ..
        }) => Wait {
            ahead,
            reasons,
            starts,
        },
        other => panic!("work {id}: {other:?}"),
    }
}

fn texts(world: &World, id: u64) -> Vec<String> {
    wait(world, id)
        .reasons
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn work_says_what_it_waits_for() {
    let mut world = World::new(Config::default());
    world.add(batch(1));
    assert_eq!(texts(&world, 1), ["there is no machine of type host-linux"]);

    world.limit("linux-amd64", 1);
    world.quota("cpu", 4, 1);
    world.machine(1);
    world.add(with(batch(2), |work| work.cost = cost("cpu", 4)));
    assert_eq!(
        texts(&world, 2),
        [
            "the machine of type host-linux is busy",
            "1 of at most 1 builds of linux-amd64 are running",
            "it needs 4 of cpu, of which there are 4 and others use 1",
        ]
    );
    world.add(with(batch(3), |work| work.not_before = Some(at(60))));
    assert_eq!(wait(&world, 3).reasons[0], Reason::NotBefore(at(60)));
    assert_eq!(world.scheduler.explain(WorkId(4)), None);
}

#[test]
fn places_in_the_queue_are_those_in_which_work_is_taken() {
    let mut world = World::new(Config::default());
    for id in 0..60 {
        let share = ["a", "b", "c"][(id % 7 % 3) as usize];
        let priority = if id % 5 == 0 {
            Priority::Automated
        } else {
            Priority::Batch
        };
        world.add(with(class(id, priority), |work| {
            work.share = share.into();
            work.builder = ["x", "y"][(id % 2) as usize].into();
            work.commit_time = (id % 4 == 0).then(|| at(id as i64 * 37 % 100));
        }));
    }
    let queue = world.scheduler.queue(&HostType::from(HOST), 1000);
    for (place, id) in queue.iter().enumerate() {
        assert_eq!(wait(&world, id.0).ahead, Some(place));
    }
    // As many machines come as there is work, and nothing ends.
    for machine in 0..60 {
        world.machine(machine);
    }
    assert_eq!(world.started, queue);
}

#[test]
fn a_start_is_estimated_from_what_works_took() {
    let mut world = World::new(Config::default());
    for machine in [1, 2] {
        world.machine(machine);
    }
    for id in 1..=5 {
        world.add(class(id, Priority::Automated));
    }
    assert_eq!(wait(&world, 3).starts, None, "nothing is known yet");
    world.ok(Event::Learned {
        builder: "linux-amd64".into(),
        took: secs(100),
    });
    assert_eq!(wait(&world, 3).starts, Some(at(100)));
    assert_eq!(wait(&world, 4).starts, Some(at(100)));
    assert_eq!(wait(&world, 5).starts, Some(at(200)));
    world.now = at(150); // longer than usual
    world.ok(Event::TimePassed);
    assert_eq!(wait(&world, 3).starts, Some(at(150)));
    world.ok(Event::MachineLost(MachineId(1)));
    world.ok(Event::MachineLost(MachineId(2)));
    assert_eq!(wait(&world, 3).starts, None, "nothing could run it");
}

#[test]
fn a_full_builder_counts_in_the_estimate() {
    let mut world = World::new(Config::default());
    world.ok(Event::Learned {
        builder: "linux-amd64".into(),
        took: secs(100),
    });
    world.limit("linux-amd64", 1);
    world.machine(1);
    world.machine(2);
    world.add(batch(1));
    world.add(batch(2));
    assert_eq!(wait(&world, 2).starts, Some(at(100)));
}

#[test]
fn what_stands_too_far_back_has_no_place() {
    let mut world = World::new(Config::default());
    for id in 0..=10_000 {
        world.add(class(id, Priority::Automated));
    }
    assert_eq!(wait(&world, 9_999).ahead, Some(9_999));
    assert_eq!(wait(&world, 10_000).ahead, None);
}
