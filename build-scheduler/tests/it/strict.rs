//! What upstream's queue does, as running its 2024 package showed: seven items that are enqueued in reverse order while
//! nothing may be used, then the limit is set.

use build_scheduler::{Config, Event, Mode, Priority, Work, WorkId};

use crate::world::{World, at, batch, class, cost, with};

const RELEASE: u64 = 1;
const GOMOTE: u64 = 2;
const TRY: u64 = 3;
const TRY_REL: u64 = 4;
const NO_TIME: u64 = 5;
const NEWER: u64 = 6;
const OLDER: u64 = 7;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;

fn items() -> [Work; 7] {
    let item = |work: Work, units, requested| {
        with(work, |work| {
            work.cost = cost("cpu", units);
            work.requested = Some(at(requested));
        })
    };
    [
        item(class(RELEASE, Priority::Urgent), 1, 4 * MINUTE),
        item(class(GOMOTE, Priority::Interactive), 8, 3 * MINUTE),
        item(class(TRY, Priority::Automated), 2, MINUTE),
        item(
            with(class(TRY_REL, Priority::Automated), |work| {
                work.release_branch = true;
            }),
            2,
            2 * MINUTE,
        ),
        item(batch(NO_TIME), 2, 2 * HOUR),
        item(
            with(batch(NEWER), |work| work.commit_time = Some(at(HOUR))),
            1,
            0,
        ),
        item(
            with(batch(OLDER), |work| work.commit_time = Some(at(0))),
            1,
            0,
        ),
    ]
}

fn queue(limit: u32, untracked: u32) -> World {
    let mut world = World::new(Config::default().mode(Mode::StrictLine));
    for machine in 101..=110 {
        world.machine(machine);
    }
    for item in items().into_iter().rev() {
        assert_eq!(world.add(item), []);
    }
    world.quota("cpu", limit, untracked);
    world
}

#[test]
fn work_is_taken_in_upstreams_order_with_its_release_rule_implemented() {
    let world = queue(30, 0);
    let order: Vec<u64> = world.started.iter().map(|id| id.0).collect();
    assert_eq!(
        order,
        [RELEASE, GOMOTE, TRY_REL, TRY, NO_TIME, NEWER, OLDER]
    );
    assert_eq!(world.used("cpu"), 17);
}

#[test]
fn the_first_item_that_does_not_fit_holds_up_those_behind_it() {
    let everything = [RELEASE, GOMOTE, TRY_REL, TRY, NO_TIME, NEWER, OLDER];
    let cases = [
        (0, 0, 0, 0),
        (1, 0, 1, 1),
        (4, 0, 1, 1),
        (8, 0, 1, 1),
        (9, 0, 9, 2),
        (10, 0, 9, 2),
        (11, 0, 11, 3),
        (12, 0, 11, 3),
        (13, 0, 13, 4),
        (30, 0, 17, 7),
        (9, 5, 1, 1),
    ];
    for (limit, untracked, used, taken) in cases {
        let world = queue(limit, untracked);
        assert_eq!(
            world.used("cpu"),
            used,
            "limit {limit}, untracked {untracked}"
        );
        let started: Vec<u64> = world.started.iter().map(|id| id.0).collect();
        assert_eq!(
            started,
            everything[..taken],
            "limit {limit}, untracked {untracked}"
        );
        world.check();
    }
}

#[test]
fn what_stood_behind_a_cancelled_item_is_taken_at_once() {
    let mut world = queue(4, 0);
    world.ok(Event::WorkCancelled(WorkId(GOMOTE)));
    assert_eq!(world.started, [WorkId(RELEASE), WorkId(TRY_REL)]);
    assert_eq!(world.used("cpu"), 3);
}

#[test]
fn what_is_given_back_is_not_enough_for_a_larger_item() {
    let mut world = queue(9, 0);
    world.finish(RELEASE);
    assert_eq!(world.used("cpu"), 8);
    assert_eq!(
        world.waiting_ids(),
        [TRY, TRY_REL, NO_TIME, NEWER, OLDER].into()
    );
}

#[test]
fn a_better_item_that_comes_later_stands_first() {
    let mut world = queue(4, 0);
    world.ok(Event::WorkFinished {
        work: WorkId(RELEASE),
        took: None,
    });
    assert_eq!(world.used("cpu"), 0); // the gomote needs 8
    world.add(with(class(8, Priority::Urgent), |work| {
        work.cost = cost("cpu", 3);
    }));
    assert_eq!(world.used("cpu"), 3);
    assert!(world.running.contains_key(&WorkId(8)));
}

#[test]
fn a_line_is_one_for_all_host_types_of_a_quota() {
    let mut world = World::new(Config::default().mode(Mode::StrictLine));
    world.machine(1);
    world.quota("cpu", 4, 0);
    let mut first = Work::new(WorkId(1), "host-arm", "linux-arm");
    first.priority = Priority::Urgent;
    first.cost = cost("cpu", 5);
    world.add(first);
    assert_eq!(
        world.add(with(batch(2), |work| work.cost = cost("cpu", 1))),
        []
    );
    assert_eq!(
        world.add(batch(3)).len(),
        1,
        "what costs nothing is in no line"
    );
    world.check();
}
