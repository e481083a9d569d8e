use build_scheduler::{Config, Decision, Event, MachineId, Work, WorkId};

use crate::world::{World, at, batch, with};

fn of_branch(id: u64, commit: i64) -> Work {
    with(batch(id), |work| {
        work.commit_time = Some(at(commit));
        work.supersede = Some("main on linux-amd64".into());
    })
}

#[test]
fn a_newer_commit_replaces_a_waiting_older_one() {
    let mut world = World::new(Config::default());
    world.add(of_branch(1, 10));
    let decisions = world.add(of_branch(2, 20));
    assert_eq!(
        decisions,
        [Decision::Supersede {
            work: WorkId(1),
            by: WorkId(2)
        }]
    );
    assert_eq!(world.order(), [2]);
}

#[test]
fn an_older_commit_that_comes_late_does_not_wait_at_all() {
    let mut world = World::new(Config::default());
    world.add(of_branch(2, 20));
    let decisions = world.add(of_branch(1, 10));
    assert_eq!(
        decisions,
        [Decision::Supersede {
            work: WorkId(1),
            by: WorkId(2)
        }]
    );
    world.check();
}

#[test]
fn work_without_the_key_and_work_that_runs_is_left_alone() {
    let mut world = World::new(Config::default());
    world.machine(1);
    world.add(of_branch(1, 10));
    world.add(batch(2));
    world.add(of_branch(3, 30));
    assert_eq!(world.superseded, []);
    assert_eq!(world.waiting_ids(), [2, 3].into());
}

#[test]
fn work_that_comes_back_from_a_machine_is_superseded_by_what_came_meanwhile() {
    let mut world = World::new(Config::default());
    world.machine(1);
    world.add(of_branch(1, 10));
    world.add(of_branch(2, 20));
    world.ok(Event::MachineLost(MachineId(1)));
    let decisions = world.ok(Event::AssignmentFailed(WorkId(1)));
    assert_eq!(
        decisions,
        [Decision::Supersede {
            work: WorkId(1),
            by: WorkId(2)
        }]
    );
    world.check();
}

#[test]
fn a_cancelled_work_supersedes_nothing() {
    let mut world = World::new(Config::default());
    world.add(of_branch(2, 20));
    world.ok(Event::WorkCancelled(WorkId(2)));
    assert_eq!(world.add(of_branch(1, 10)), []);
    assert_eq!(world.order(), [1]);
}
