//! Coordinators that die and machines that lose their power while builds run, many times over.
//!
//! The order of things is drawn from `CHAOS_SEED` (0 by default) and goes on for `CHAOS_SECONDS` (4 by default).

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use build_coordinator::model::{BuildDetail, Cause};
use harness::{Random, assert_exclusive, exclusive, number};

use super::support::{FakePool, Place, System};

const COMMITS: usize = 10;
const BUILDERS: usize = 4;
const MACHINES: u64 = 3;

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
    let mut lives = 0;
    while Instant::now() < end {
        live(&place, &mut random);
        until_nothing_runs(locks.path());
        lives += 1;
    }
    assert!(lives > 1);

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

/// A coordinator from its start to its end, which is a good one only sometimes.
fn live(place: &Place, random: &mut Random) {
    let runtime = runtime();
    let (first, second) = (random.below(400), random.below(400));
    let crashes = random.below(MACHINES);
    let manner = random.below(4);
    runtime.block_on(async {
        let pool = FakePool::new(MACHINES);
        let system = place.start(&pool).await;
        tokio::time::sleep(Duration::from_millis(first)).await;
        for machine in 0..crashes {
            pool.crash(machine as usize);
        }
        tokio::time::sleep(Duration::from_millis(second)).await;
        match manner {
            0 => system.coordinator.stop().await,
            1 => system.coordinator.drain().await,
            _ => {} // killed
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(10));
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
