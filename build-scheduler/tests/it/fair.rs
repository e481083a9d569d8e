use build_scheduler::{Config, Event, EventError, MachineId, Priority, Time, WorkId};

use crate::world::{World, at, batch, class, cost, secs, with};

fn world() -> World {
    World::new(Config::default())
}

#[test]
fn classes_come_in_order_and_release_branches_first_among_automated_work() {
    let mut world = world();
    world.add(batch(1));
    world.add(class(2, Priority::Automated));
    world.add(with(class(3, Priority::Automated), |work| {
        work.release_branch = true;
    }));
    world.add(class(4, Priority::Interactive));
    world.add(class(5, Priority::Urgent));
    assert_eq!(world.order(), [5, 4, 3, 2, 1]);
}

#[test]
fn the_newest_commit_of_batch_work_goes_first() {
    let mut world = world();
    for (id, time) in [(1, 50), (2, 70), (3, 60)] {
        world.add(with(batch(id), |work| work.commit_time = Some(at(time))));
    }
    assert_eq!(world.order(), [2, 3, 1]);
}

#[test]
fn a_share_with_a_thousand_works_takes_turns_with_one_that_has_two() {
    let mut world = world();
    let of = |id, share: &str| {
        with(class(id, Priority::Automated), |work| {
            work.share = share.into();
        })
    };
    for id in 0..1000 {
        world.add(of(id, "flood"));
    }
    world.add(of(1001, "quiet"));
    world.add(of(1002, "quiet"));
    assert_eq!(world.order()[..6], [0, 1001, 1, 1002, 2, 3]);
}

#[test]
fn a_share_that_comes_gets_every_free_machine_until_it_has_as_many() {
    let mut world = world();
    let of = |id, share: &str| with(batch(id), |work| work.share = share.into());
    for id in 0..20 {
        world.add(of(id, "first"));
    }
    for machine in 1..=4 {
        world.machine(machine);
    }
    for id in 100..120 {
        world.add(of(id, "second"));
    }
    for _ in 0..4 {
        let ends = *world.running.keys().next().unwrap();
        world.turn(ends);
    }
    let second = world.running.keys().filter(|id| id.0 >= 100).count();
    assert_eq!(second, 2);
}

#[test]
fn a_share_that_always_comes_back_does_not_overtake_one_that_waits() {
    let mut world = world();
    let of = |id, share: &str| with(batch(id), |work| work.share = share.into());
    world.machine(1);
    for id in 0..5 {
        world.add(of(id, "waits"));
    }
    for theirs in 100..108 {
        world.add(of(theirs, "comes back"));
        let ends = *world.running.keys().next().unwrap();
        world.turn(ends);
    }
    let waited = world.started.iter().filter(|id| id.0 < 100).count();
    assert!(waited >= 4, "it got {waited} of 9 turns");
}

#[test]
fn overdue_work_gets_one_machine_in_four() {
    let mut world = World::new(Config::default().patience(secs(60)));
    for id in 0..3 {
        world.add(batch(id)); // asked for at 0 s
    }
    world.now = at(60);
    for id in 10..30 {
        world.add(class(id, Priority::Urgent));
    }
    assert_eq!(world.order()[..9], [10, 11, 12, 0, 13, 14, 15, 1, 16]);
}

#[test]
fn overdue_work_of_a_full_builder_gets_one_of_its_places_in_four() {
    let mut world = World::new(Config::default().patience(secs(60)));
    world.limit("linux-amd64", 1);
    world.machine(1);
    world.machine(2);
    world.add(class(0, Priority::Urgent)); // takes the only place
    world.add(batch(1));
    world.now = at(60);
    for id in 10..20 {
        world.add(class(id, Priority::Urgent));
    }
    let mut turns = 0;
    while !world.started.contains(&WorkId(1)) {
        let ends = *world.running.keys().next().unwrap();
        world.turn(ends);
        turns += 1;
    }
    assert_eq!(turns, 3);
}

#[test]
fn what_fits_a_quota_passes_what_does_not_until_that_is_overdue() {
    let mut world = World::new(Config::default().patience(secs(60)));
    for machine in 1..=9 {
        world.machine(machine);
    }
    let costs = |id, units| {
        with(class(id, Priority::Automated), |work| {
            work.cost = cost("cpu", units);
        })
    };
    world.quota("cpu", 4, 0);
    world.add(costs(1, 2));
    world.add(costs(2, 4)); // too large for what is left
    assert_eq!(world.add(costs(3, 2)).len(), 1, "a gap is filled");

    world.now = at(60);
    world.finish(1);
    world.add(costs(4, 2));
    assert_eq!(world.waiting_ids(), [2, 4].into(), "now the gap is kept");
    world.check();
    world.finish(3);
    assert!(world.running.contains_key(&WorkId(2)));
    world.finish(2);
    assert!(world.running.contains_key(&WorkId(4)));
}

#[test]
fn a_quota_is_not_kept_for_what_could_never_start() {
    let mut world = World::new(Config::default().patience(secs(60)));
    world.machine(1);
    world.machine(2);
    world.quota("cpu", 4, 0);
    let costs = |id, units| with(batch(id), |work| work.cost = cost("cpu", units));
    world.add(costs(1, 5)); // more than there is
    world.add(with(costs(2, 4), |work| {
        work.host_type = "host-gone".into();
    }));
    world.add(costs(3, 2));
    world.add(costs(4, 3));
    world.now = at(3600);
    world.finish(3);
    assert!(world.running.contains_key(&WorkId(4)));
    world.check();
}

#[test]
fn a_quota_is_not_kept_once_the_last_machine_for_it_is_lost() {
    let mut world = World::new(Config::default().patience(secs(60)));
    world.quota("cpu", 4, 0);
    world.machine(1);
    world.machine(2);
    let arm = MachineId(3);
    world.ok(Event::MachineOffered {
        machine: arm,
        host_type: "host-arm".into(),
    });
    let costs = |id, units| with(batch(id), |work| work.cost = cost("cpu", units));
    world.add(costs(1, 2));
    world.add(with(costs(2, 4), |work| work.host_type = "host-arm".into()));
    world.now = at(60);
    world.add(costs(3, 1));
    assert_eq!(world.waiting_ids(), [2, 3].into(), "the rest is kept");
    world.ok(Event::MachineLost(arm));
    assert_eq!(world.waiting_ids(), [2].into());
    world.check();
}

#[test]
fn work_that_is_not_due_waits_for_its_time() {
    let mut world = world();
    world.machine(1);
    world.add(with(batch(1), |work| work.not_before = Some(at(30))));
    assert_eq!(world.scheduler.next_timeout(), Some(at(30)));
    world.now = at(29);
    assert_eq!(world.ok(Event::TimePassed), []);
    world.now = at(30);
    assert_eq!(world.ok(Event::TimePassed).len(), 1);
    assert_eq!(world.scheduler.next_timeout(), None);
}

#[test]
fn an_offer_that_comes_before_the_report_counts_once_that_came() {
    let mut world = world();
    world.machine(1);
    world.add(batch(1));
    world.add(batch(2));
    assert_eq!(world.machine(1), []);
    let decisions = world.scheduler.handle(
        at(1),
        Event::WorkFinished {
            work: WorkId(1),
            took: None,
        },
    );
    assert_eq!(decisions.unwrap().len(), 1);
}

#[test]
fn work_whose_machine_was_not_to_be_had_stands_where_it_stood() {
    let mut world = world();
    for id in 1..=3 {
        world.add(class(id, Priority::Automated));
    }
    world.machine(1);
    world.ok(Event::MachineLost(MachineId(1)));
    world.ok(Event::AssignmentFailed(WorkId(1)));
    world.check();
    world.machine(2);
    assert_eq!(world.started, [WorkId(1), WorkId(1)]);
}

#[test]
fn events_that_contradict_what_is_known_are_refused_and_change_nothing() {
    let mut world = World::new(
        Config::default()
            .max_waiting(2)
            .max_machines(1)
            .max_names(1),
    );
    world.machine(1);
    world.add(batch(1));
    world.add(batch(2));
    let offered = |id, host: &str| Event::MachineOffered {
        machine: MachineId(id),
        host_type: host.into(),
    };
    let limit = |builder: &str| Event::BuilderLimit {
        builder: builder.into(),
        max: Some(1),
    };
    let finished = |id| Event::WorkFinished {
        work: WorkId(id),
        took: None,
    };
    world.ok(limit("a"));
    let refused = [
        (
            Event::WorkAdded(batch(2)),
            EventError::DuplicateWork(WorkId(2)),
        ),
        (
            Event::WorkAdded(batch(3)),
            EventError::QueueFull { limit: 2 },
        ),
        (
            Event::WorkCancelled(WorkId(1)),
            EventError::Running(WorkId(1)),
        ),
        (
            Event::WorkCancelled(WorkId(9)),
            EventError::UnknownWork(WorkId(9)),
        ),
        (finished(2), EventError::NotRunning(WorkId(2))),
        (finished(9), EventError::UnknownWork(WorkId(9))),
        (
            Event::AssignmentFailed(WorkId(2)),
            EventError::NotRunning(WorkId(2)),
        ),
        (
            offered(1, "host-arm"),
            EventError::HostTypeChanged(MachineId(1)),
        ),
        (
            offered(2, "host-arm"),
            EventError::TooManyMachines { limit: 1 },
        ),
        (limit("b"), EventError::TooManyNames { limit: 1 }),
    ];
    for (event, error) in refused {
        assert_eq!(world.send(event), Err(error));
        world.check();
    }
}

#[test]
fn time_does_not_go_back_and_its_ends_do_no_harm() {
    let mut world = world();
    for time in [i64::MAX, i64::MIN] {
        world.now = Time::from_unix_millis(time);
        let id = time as u64;
        world.add(with(batch(id), |work| {
            work.commit_time = Some(Time::from_unix_millis(i64::MIN));
        }));
        world.check();
    }
    assert_eq!(world.order().len(), 2);
}
