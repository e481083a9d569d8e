//! Coordinators that die and machines that lose their power while builds run, many times over.
//!
//! The order of things is drawn from `CHAOS_SEED` (0 by default) and goes on for `CHAOS_SECONDS` (4 by default).

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use build_coordinator::model::{BuildDetail, Cause, Change};
use buildlet_pool::ReverseConfig;
use harness::{Random, assert_exclusive, exclusive, number};

use super::fleet::{Fleet, kill};
use super::support::{DEADLINE, FakePool, Place, System};

const COMMITS: usize = 10;
const BUILDERS: usize = 4;
const MACHINES: u64 = 3;
/// Lives after which nothing will be interrupted any more.
const MOST_LIVES: u64 = 200;

#[test]
fn whatever_dies_every_build_gets_its_result_once() {
    let seconds = number("CHAOS_SECONDS", 4);
    let mut random = Random::new(number("CHAOS_SEED", 0));
    let locks = tempfile::tempdir().unwrap();
    let place = Place::new(&builders(locks.path()));
    for version in 2..=COMMITS {
        place.commit(&version.to_string());
    }

    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut lives, mut interrupts) = (0, false);
    // On a machine that is busy, a life is longer, so that something has begun by its end.
    while Instant::now() < end || lives < 2 || (!interrupts && lives < MOST_LIVES) {
        interrupts |= live(&place, &mut random, 400 + 20 * lives);
        until_nothing_runs(locks.path());
        lives += 1;
    }

    let builds = runtime().block_on(async {
        let system = place.start(&FakePool::new(MACHINES)).await;
        let builds = system.done(COMMITS * BUILDERS).await;
        check(&system, &builds).await;
        system.coordinator.drain().await;
        builds
    });
    assert_eq!(builds.len(), COMMITS * BUILDERS, "no build is made twice");
    assert_exclusive(locks.path());
    let interrupted = builds
        .iter()
        .filter(|build| build.attempts.len() > 1)
        .count();
    assert!(
        interrupted > 0,
        "nothing was interrupted, so nothing was tested"
    );
    assert_eq!(
        std::fs::read_dir(place.path("live")).unwrap().count(),
        0,
        "no log is left behind"
    );
}

#[test]
fn on_machines_that_come_back_no_byte_is_lost_and_nothing_runs_twice() {
    const COMMITS: usize = 3;
    let seconds = number("CHAOS_SECONDS", 4);
    let mut random = Random::new(number("CHAOS_SEED", 0));
    let locks = tempfile::tempdir().unwrap();
    let place = Place::new(&talking(locks.path())).machine_return("30s");
    for version in 2..=COMMITS {
        place.commit(&version.to_string());
    }
    let fleet = Fleet::new(MACHINES as usize);
    let config = || {
        // Machines that lose their sessions all the time are not for anything else.
        ReverseConfig::default()
            .quarantine_after(1_000_000)
            .claim_limit(Duration::from_secs(2))
    };
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        let runtime = runtime();
        runtime.block_on(async {
            let running = fleet.coordinator(&place, config()).await;
            until_something_runs(&running.system, COMMITS * BUILDERS).await;
            for _ in 0..random.below(4) {
                tokio::time::sleep(Duration::from_millis(random.below(150))).await;
                fleet.cut(random.below(MACHINES) as usize);
            }
            tokio::time::sleep(Duration::from_millis(random.below(250))).await;
            match random.below(3) {
                0 => running.system.coordinator.stop().await,
                _ => std::mem::forget(running), // killed
            }
        });
        kill(runtime);
    }

    runtime().block_on(async {
        let running = fleet.coordinator(&place, config()).await;
        let system = &running.system;
        let builds = system.done(COMMITS * BUILDERS).await;
        check(system, &builds).await;
        let said: String = (1..=LINES).map(|line| format!("line {line}\n")).collect();
        let mut adopted = 0;
        for build in &builds {
            let last = system.log(build, build.attempts.len() - 1).await;
            let (_, output) = last.split_once("##### talk\n").unwrap();
            assert!(output == said, "{output}");
            let events = system.coordinator.store().events(build.build.id).await;
            adopted += (events.unwrap().iter())
                .filter(|event| matches!(event.change, Change::AttemptAdopted { .. }))
                .count();
        }
        assert!(adopted > 0, "nothing came back, so nothing was tested");
        system.coordinator.drain().await;
    });
    assert_exclusive(locks.path());
    assert_eq!(
        std::fs::read_dir(place.path("live")).unwrap().count(),
        0,
        "no log is left behind"
    );
}

/// A life in which nothing runs shows nothing. Returns as well when all builds are done.
async fn until_something_runs(system: &System, builds: usize) {
    let waiting = async {
        loop {
            let all = system.builds().await;
            let runs = |build: &BuildDetail| {
                let step = build.attempts.last().and_then(|last| last.steps.last());
                step.is_some_and(|step| step.outcome.is_none())
            };
            let done = |build: &BuildDetail| build.build.cause().is_some();
            if all.iter().any(runs) || (all.len() == builds && all.iter().all(done)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting)
        .await
        .expect("something runs");
}

/// So many lines are said by a build that [talks](talking).
const LINES: usize = 60;

/// Builds that say one line after the other, as only one of each may do at a time.
fn talking(locks: &Path) -> String {
    let talk =
        format!("i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo line $i; sleep 0.02; done");
    let run = exclusive(locks, 0, &talk);
    let builder = |number| {
        format!(
            "[builder.b{number}]\nhost_type = 'linux'\nisolation = 'none'\nretry = {{ attempts = 20, delay = '10ms' }}\n\
             [[builder.b{number}.step]]\nname = 'talk'\nrun = '''{run}'''\n"
        )
    };
    (0..BUILDERS).map(builder).collect()
}

/// Builds that hold a lock while they run, and tell of it if somebody else has it.
fn builders(locks: &Path) -> String {
    let run = exclusive(locks, 0, "sleep 0.1; cat version");
    let builder = |number| {
        format!(
            "[builder.b{number}]\nhost_type = 'linux'\nisolation = 'none'\nretry = {{ attempts = 20, delay = '10ms' }}\n\
             [[builder.b{number}.step]]\nrun = '''{run}'''\n"
        )
    };
    (0..BUILDERS).map(builder).collect()
}

/// A coordinator from its start to its end, which is a good one only sometimes; whether a build ran when it died. On the way are two
/// pauses of up to `longest` milliseconds.
fn live(place: &Place, random: &mut Random, longest: u64) -> bool {
    let runtime = runtime();
    let (first, second) = (random.below(longest), random.below(longest));
    let crashes = random.below(MACHINES);
    let manner = random.below(4);
    let interrupts = runtime.block_on(async {
        let pool = FakePool::new(MACHINES);
        let system = place.start(&pool).await;
        tokio::time::sleep(Duration::from_millis(first)).await;
        for machine in 0..crashes {
            pool.crash(machine as usize);
        }
        tokio::time::sleep(Duration::from_millis(second)).await;
        let builds = system.builds().await;
        let runs = builds
            .iter()
            .any(|build| build.build.running_attempt().is_some());
        match manner {
            0 => system.coordinator.stop().await,
            1 => system.coordinator.drain().await,
            _ => {} // killed
        }
        runs && manner > 1
    });
    runtime.shutdown_timeout(Duration::from_secs(10));
    interrupts
}

/// A machine needs a moment to notice that its coordinator is gone, and to kill what it ran for it.
fn until_nothing_runs(locks: &Path) {
    let wait = "for lock in *.lock; do [ ! -e $lock ] || flock -w 10 $lock true || exit 1; done";
    let status = Command::new("sh")
        .args(["-c", wait])
        .current_dir(locks)
        .status()
        .unwrap();
    assert!(status.success(), "a command outlives its coordinator");
}

async fn check(system: &System, builds: &[BuildDetail]) {
    for build in builds {
        assert_eq!(build.build.cause(), Some(Cause::Succeeded), "{build:#?}");
        for (number, attempt) in build.attempts.iter().enumerate() {
            let end = attempt.end.as_ref().expect("no attempt is without an end");
            let last = number + 1 == build.attempts.len();
            assert_eq!(end.cause.is_infrastructure(), !last, "{build:#?}");
        }
        let last = system.log(build, build.attempts.len() - 1).await;
        assert!(
            last.trim_end().ends_with(|c: char| c.is_ascii_digit()),
            "{last}"
        );
        let events = system
            .coordinator
            .store()
            .events(build.build.id)
            .await
            .unwrap();
        let replayed = BuildDetail::replay(&events).unwrap().unwrap();
        assert_eq!(replayed.build, build.build, "the history says the same");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}
