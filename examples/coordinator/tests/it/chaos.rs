//! kill -9 of coordinators and buildlets, ours and Go's, while builds run. `CHAOS_SECONDS` says for how long (6 by default), `CHAOS_BUILDS` how many
//! builds there are (20), `CHAOS_SEED` in which order things happen.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use build_coordinator::model::Cause;
use harness::{Random, assert_exclusive, exclusive, number};

use crate::place::{Place, signal};

/// Of our machines.
const BUILDERS: u64 = 4;
const MACHINES: usize = 4;

#[test]
fn after_any_number_of_kills_every_build_has_one_result_and_nothing_is_left() {
    let go = harness::upstream_or_skip("buildlet");
    let per_commit = BUILDERS + u64::from(go.is_some());
    let commits = number("CHAOS_BUILDS", 20).div_ceil(per_commit);
    let mut random = Random::new(number("CHAOS_SEED", 1));
    let locks = tempfile::tempdir().unwrap();
    let mut place = Place::new(MACHINES, &builders(locks.path(), go.is_some()));
    if let Some(program) = go {
        place.with_go_machine(program);
    }
    for commit in 0..commits {
        place.commit(&format!("commit {commit}"));
    }

    let end = Instant::now() + Duration::from_secs(number("CHAOS_SECONDS", 6));
    let mut kills = 0;
    while Instant::now() < end {
        let process = place.start();
        for _ in 0..random.below(4) {
            thread::sleep(Duration::from_millis(200 + random.below(600)));
            let buildlets = process.children();
            let chosen = random.below(buildlets.len() as u64 + 1) as usize;
            match buildlets.get(chosen) {
                Some(buildlet) => signal("-KILL", *buildlet),
                None => process.kill_go_machine(),
            }
            kills += 1;
        }
        thread::sleep(Duration::from_millis(300 + random.below(700)));
        match random.below(4) {
            0 => process.interrupt(),
            _ => process.kill(),
        }
        kills += 1;
    }
    assert!(kills > 1);

    let builds = usize::try_from(commits * per_commit).unwrap();
    let done = place.finish(builds);
    assert_eq!(done.len(), builds, "no build is made twice");
    for (build, log) in &done {
        assert_eq!(build.build.cause(), Some(Cause::Succeeded), "{build:#?}");
        assert!(log.ends_with("done\n"), "{log}");
        let (last, before) = build.attempts.split_last().unwrap();
        assert_eq!(last.cause(), Some(Cause::Succeeded));
        assert!(
            before
                .iter()
                .all(|attempt| attempt.cause().is_some_and(Cause::is_infrastructure)),
            "{build:#?}"
        );
    }
    let attempts: usize = done.iter().map(|(build, _)| build.attempts.len()).sum();
    assert!(
        attempts > builds,
        "nothing was interrupted, so nothing was tested"
    );
    eprintln!("{kills} kills, {builds} builds, {attempts} attempts");
    assert_exclusive(locks.path());
    place.until_nothing_runs();
    let live = fs::read_dir(place.path("state/live")).unwrap().count();
    assert_eq!(live, 0, "no log is left behind");
    place.assert_no_folder_of_a_machine();
}

/// Builds that hold a lock while they run, and tell of it if somebody else has it after a second, in which a machine may notice
/// that its coordinator is gone.
fn builders(locks: &Path, go: bool) -> String {
    let run = exclusive(locks, 1, "sleep 1.5; echo done");
    let builder = |name: &str, host: &str| {
        format!(
            "[builder.{name}]\nhost_type = '{host}'\nisolation = 'none'\nretry = {{ attempts = 20, delay = '10ms' }}\n\
             [[builder.{name}.step]]\nrun = '''{run}'''\n"
        )
    };
    let mut all: String = (0..BUILDERS)
        .map(|n| builder(&format!("b{n}"), "local"))
        .collect();
    if go {
        all.push_str("[host.go]\npool = 'reverse'\nexpect_num = 1\n");
        all.push_str(&builder("go", "go"));
    }
    all
}
