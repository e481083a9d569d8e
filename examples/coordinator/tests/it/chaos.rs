//! kill -9 of coordinators and buildlets while builds run. `CHAOS_SECONDS` says for how long (6 by default), `CHAOS_BUILDS` how many
//! builds there are (24), `CHAOS_SEED` in which order things happen.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use build_coordinator::model::Cause;

use crate::place::{Place, signal};

const BUILDERS: u64 = 4;
const MACHINES: usize = 4;

#[test]
fn after_any_number_of_kills_every_build_has_one_result_and_nothing_is_left() {
    let builds = number("CHAOS_BUILDS", 24);
    let mut random = Random(number("CHAOS_SEED", 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let locks = tempfile::tempdir().unwrap();
    let place = Place::new(MACHINES, &builders(locks.path()));
    for commit in 0..builds.div_ceil(BUILDERS) {
        place.commit(&format!("commit {commit}"));
    }

    let end = Instant::now() + Duration::from_secs(number("CHAOS_SECONDS", 6));
    let mut kills = 0;
    while Instant::now() < end {
        let process = place.start();
        for _ in 0..random.below(4) {
            thread::sleep(Duration::from_millis(200 + random.below(600)));
            let buildlets = process.children();
            if !buildlets.is_empty() {
                signal(
                    "-KILL",
                    buildlets[random.below(buildlets.len() as u64) as usize],
                );
                kills += 1;
            }
        }
        thread::sleep(Duration::from_millis(300 + random.below(700)));
        match random.below(4) {
            0 => process.interrupt(),
            _ => process.kill(),
        }
        kills += 1;
    }
    assert!(kills > 1);

    let builds = usize::try_from(builds.div_ceil(BUILDERS) * BUILDERS).unwrap();
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
    assert!(
        done.iter().any(|(build, _)| build.attempts.len() > 1),
        "nothing was interrupted, so nothing was tested"
    );
    let twice = locks.path().join("twice");
    assert!(
        !twice.exists(),
        "these ran twice at a time: {}",
        fs::read_to_string(&twice).unwrap_or_default()
    );
    place.until_nothing_runs();
    let live = fs::read_dir(place.path("state/live")).unwrap().count();
    assert_eq!(live, 0, "no log is left behind");
}

/// Builds that hold a lock while they run, and tell of it if somebody else has it after a second, in which a machine may notice
/// that its coordinator is gone.
fn builders(locks: &std::path::Path) -> String {
    let locks = locks.display();
    let run = format!(
        "exec 9>{locks}/$CI_BUILDER-$CI_REVISION.lock; flock -w 1 9 || {{ echo $CI_BUILDER >> {locks}/twice; exit 9; }}; \
         sleep 1.5; echo done"
    );
    let builder = |number| {
        format!(
            "[builder.b{number}]\nhost_type = 'local'\nisolation = 'none'\nretry = {{ attempts = 20, delay = '10ms' }}\n\
             [[builder.b{number}.step]]\nrun = '''{run}'''\n"
        )
    };
    (0..BUILDERS).map(builder).collect()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Xorshift: enough to be unfair.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
