//! Builds of several kinds on real buildlets.

use std::fs;
use std::process::Command;

use build_coordinator::model::{Cause, StepOutcome};

use crate::place::Place;

fn builder(name: &str, more: &str, run: &str) -> String {
    format!(
        "[builder.{name}]\nhost_type = 'local'\n{more}\n[[builder.{name}.step]]\nrun = '''{run}'''\n"
    )
}

#[test]
fn builds_that_fail_hang_are_loud_or_leave_daemons_end_as_they_should() {
    let pids = tempfile::tempdir().unwrap();
    let daemon = format!(
        "setsid sh -c 'echo $$ > {}/pid; exec sleep 1000' > /dev/null 2>&1 & sleep 0.3; echo left",
        pids.path().display()
    );
    let place = Place::new(
        2,
        &[
            builder("daemon", "", &daemon),
            builder("failing", "", "echo oh no; exit 3"),
            builder("hanging", "timeout = '2s'", "echo begun; sleep 1000"),
            // 200 MB of output.
            builder("loud", "", "yes 0123456789012345678901234567890123456789012345678 | head -c 200000000; echo; echo end"),
        ]
        .concat(),
    );
    fs::write(place.repository().join("file"), "content\n").unwrap();
    place.commit("first");
    let mut builds = place.finish(4);
    builds.sort_by(|(a, _), (b, _)| a.build.key.builder.cmp(&b.build.key.builder));
    let [(daemon, _), (failing, oh_no), (hanging, begun), (loud, end)] = &builds[..] else {
        panic!("{} builds", builds.len());
    };
    assert_eq!(daemon.build.cause(), Some(Cause::Succeeded));
    let pid = fs::read_to_string(pids.path().join("pid")).unwrap();
    assert!(
        !fs::exists(format!("/proc/{}", pid.trim())).unwrap(),
        "what a build leaves behind ends with it"
    );

    assert_eq!(
        (failing.build.cause(), failing.attempts.len()),
        (Some(Cause::Failed), 1)
    );
    assert!(oh_no.ends_with("oh no\n"), "{oh_no}");
    assert!(
        failing.build.message.ends_with("exit status 3"),
        "{}",
        failing.build.message
    );

    assert_eq!(hanging.build.cause(), Some(Cause::TimedOut));
    assert_eq!(
        hanging.attempts[0].steps[0].outcome,
        Some(StepOutcome::TimedOut)
    );
    assert!(begun.contains("begun\n"), "{begun}");

    assert_eq!(
        loud.build.cause(),
        Some(Cause::Succeeded),
        "{}",
        loud.build.message
    );
    assert!(loud.attempts[0].log.as_ref().unwrap().bytes > 200_000_000);
    assert!(end.ends_with("\nend\n"), "{end}");
    place.until_nothing_runs();
}

#[test]
fn a_crate_of_this_repository_is_built_at_two_revisions() {
    let target = tempfile::tempdir().unwrap();
    let place = Place::new(
        1,
        &builder(
            "cargo",
            &format!(
                "isolation = 'none'\nenv = {{ CARGO_TARGET_DIR = '{}' }}",
                target.path().display()
            ),
            "cargo --offline --locked check -p livelog --no-default-features",
        ),
    );
    // The tree as it is, whatever of it is committed.
    let copy = "git ls-files -z --cached --others --exclude-standard --deduplicate \
        | tar --create --null --files-from=- --ignore-failed-read | tar --extract --directory \"$0\"";
    let copied = Command::new("sh")
        .args(["-c", copy])
        .arg(place.repository())
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .status()
        .unwrap();
    assert!(copied.success());
    place.commit("as it is");
    let lib = place.repository().join("livelog/src/lib.rs");
    let text = fs::read_to_string(&lib).unwrap();
    fs::write(&lib, text + "\ncompile_error!(\"it is broken\");\n").unwrap();
    place.commit("broken");
    let builds = place.finish(2);
    let causes: Vec<_> = builds
        .iter()
        .map(|(build, _)| build.build.cause().unwrap())
        .collect();
    let mut sorted = causes.clone();
    sorted.sort();
    assert_eq!(sorted, [Cause::Succeeded, Cause::Failed]);
    let (_, log) = builds
        .iter()
        .find(|(build, _)| build.build.cause() == Some(Cause::Failed))
        .unwrap();
    assert!(log.contains("it is broken"), "{log}");
}
