use build_coordinator::model::{Cause, Change, StepOutcome};
use build_coordinator::run::StopReason;
use buildlet_pool::{LostReason, Verdict};

use super::support::Bench;
#[cfg(target_os = "linux")]
use super::support::gone;

const HANG: &str =
    "[[builder.test.step]]\nrun = 'echo $$ > pid.tmp; mv pid.tmp pid; exec sleep 1000'\n";

#[tokio::test]
async fn steps_run_in_the_source_with_their_environment_and_are_recorded() {
    let bench = Bench::new(
        "env = { WHO = 'builder' }",
        "[[builder.test.step]]\nname = 'script'\nrun = './run.sh'\nshell = ['sh']\n\
         [[builder.test.step]]\nrun = 'echo $CI_BUILDER $CI_REVISION $WHO'\n",
    );
    let ending = bench.run().await;
    assert_eq!(
        (ending.cause, ending.message.as_str()),
        (Cause::Succeeded, ""),
        "{}",
        bench.text().await
    );
    assert_eq!(ending.verdict, Verdict::Healthy);
    assert_eq!(bench.outcomes(), [StepOutcome::Succeeded; 2]);
    let text = bench.text().await;
    assert!(
        text.starts_with(
            "test at 0123456789abcdef0123456789abcdef01234567\n\n##### script\nfrom the source\n"
        ),
        "{text}"
    );
    assert!(
        text.contains("\ntest 0123456789abcdef0123456789abcdef01234567 builder\n"),
        "{text}"
    );
    let names: Vec<_> = ending.spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names[..3], ["get_source", "write_source", "step:script"]);

    let changes = bench.stage.changes.lock().unwrap();
    let Change::StepStarted {
        log_offset: first, ..
    } = changes[0]
    else {
        panic!()
    };
    let Change::StepEnded {
        log_offset: end, ..
    } = changes[1]
    else {
        panic!()
    };
    assert!(text[first as usize..end as usize].starts_with("##### script\n"));
}

#[tokio::test]
async fn a_failing_step_ends_the_build_but_for_steps_that_are_for_it() {
    let bench = Bench::new(
        "",
        "[[builder.test.step]]\nname = 'bad'\nrun = 'exit 3'\n\
         [[builder.test.step]]\nrun = 'echo never'\n\
         [[builder.test.step]]\nrun = 'echo tidied up'\nwhen = 'failure'\n",
    );
    let ending = bench.run().await;
    assert_eq!(
        (ending.cause, ending.message.as_str()),
        (Cause::Failed, "bad: exit status 3")
    );
    assert_eq!(
        ending.verdict,
        Verdict::Healthy,
        "the build failed, not the machine"
    );
    assert_eq!(
        bench.outcomes(),
        [
            StepOutcome::Failed,
            StepOutcome::Skipped,
            StepOutcome::Succeeded
        ]
    );
    let text = bench.text().await;
    assert!(
        text.contains("tidied up\n") && !text.contains("echo never\nnever"),
        "{text}"
    );
}

#[tokio::test]
async fn a_program_that_is_not_there_is_a_failure_of_the_build() {
    let bench = Bench::new(
        "",
        "[[builder.test.step]]\nrun = ['no-such-program-here']\n",
    );
    let ending = bench.run().await;
    assert_eq!(ending.cause, Cause::Failed, "{}", ending.message);
    assert!(bench.text().await.contains("no-such-program-here"));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_step_that_takes_too_long_is_killed() {
    let bench = Bench::new("", &HANG.replace("\nrun", "\ntimeout = '1s'\nrun"));
    let ending = bench.run().await;
    assert_eq!(ending.cause, Cause::TimedOut, "{}", ending.message);
    assert!(
        ending.message.ends_with("it ran longer than 1s"),
        "{}",
        ending.message
    );
    gone(bench.pid("pid").await).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn all_steps_together_take_no_longer_than_the_build_may() {
    let bench = Bench::new("timeout = '1s'", HANG);
    let ending = bench.run().await;
    assert_eq!(ending.cause, Cause::TimedOut, "{}", ending.message);
    gone(bench.pid("pid").await).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_attempt_that_is_stopped_kills_what_runs() {
    for (reason, cause) in [
        (StopReason::Cancelled, Cause::Cancelled),
        (StopReason::Superseded, Cause::Superseded),
        (StopReason::Stopping, Cause::CoordinatorLost),
    ] {
        let bench = Bench::new("", HANG);
        let stop = async {
            let pid = bench.pid("pid").await;
            assert!(bench.stop.request(reason));
            assert!(
                !bench.stop.request(StopReason::Cancelled),
                "the first reason counts"
            );
            pid
        };
        let (ending, pid) = tokio::join!(bench.run(), stop);
        assert_eq!(ending.cause, cause);
        assert_eq!(ending.verdict, Verdict::Healthy);
        gone(pid).await;
        assert!(
            bench
                .text()
                .await
                .ends_with(&format!("Error: {cause}: {}\n", ending.message))
        );
        let interrupted = ending.spans.last().unwrap();
        assert_eq!(interrupted.error.as_deref(), Some("interrupted"));
    }
}

#[tokio::test]
async fn an_attempt_that_is_stopped_before_it_begins_does_nothing() {
    let bench = Bench::new("", HANG);
    bench.stop.request(StopReason::Cancelled);
    assert_eq!(bench.run().await.cause, Cause::Cancelled);
    assert!(!bench.buildlet.work_dir().join("src").exists());
    assert_eq!(bench.outcomes(), []);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_machine_that_goes_away_is_lost_and_says_why() {
    for (reason, cause) in [
        (
            LostReason::Disconnected("power".into()),
            Cause::LostBuildlet,
        ),
        (LostReason::Preempted, Cause::Preempted),
        (LostReason::Shutdown, Cause::CoordinatorLost),
    ] {
        let bench = Bench::new("", HANG);
        let lose = async {
            bench.pid("pid").await;
            // The connections break first, as they do; the reason comes after.
            bench.buildlet.crash();
            tokio::task::yield_now().await;
            bench.lose(reason.clone());
        };
        let (ending, ()) = tokio::join!(bench.run(), lose);
        assert_eq!((ending.cause, ending.message), (cause, reason.to_string()));
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn output_beyond_the_limit_fails_the_step_and_kills_it() {
    let bench = Bench::new(
        "",
        "[[builder.test.step]]\nname = 'loud'\nrun = 'echo $$ > pid; exec yes'\n",
    );
    let bench = bench.output_limit(1 << 20);
    let ending = bench.run().await;
    assert_eq!(ending.cause, Cause::Failed);
    assert_eq!(
        ending.message,
        "loud: it wrote more than the 1048576 bytes of output that are taken"
    );
    gone(bench.pid("pid").await).await;
    let len = bench.text().await.len();
    assert!((1 << 20..(1 << 20) + 1000).contains(&len), "{len}");
}

#[tokio::test]
async fn artifacts_are_kept_and_missing_ones_fail_the_build() {
    let steps = "[[builder.test.step]]\nrun = \"mkdir -p out/deep; printf 'a\\\\000b' > out/deep/x.bin; echo y > out/y.txt; ln -s /etc/passwd out/z.bin\"\n\
                 [[builder.test.artifact]]\npaths = ['out/*.bin']\n";
    let bench = Bench::new("", steps);
    let ending = bench.run().await;
    assert_eq!(
        ending.cause,
        Cause::Succeeded,
        "{}: {}",
        ending.message,
        bench.text().await
    );
    let kept = bench.stage.kept.lock().unwrap().clone();
    assert_eq!(
        kept,
        [("out/deep/x.bin".to_owned(), b"a\0b".to_vec())],
        "links are not followed"
    );

    let bench = Bench::new(
        "",
        &format!(
            "{steps}[[builder.test.artifact]]\nname = 'report'\npaths = ['*.html']\nrequired = true\n"
        ),
    );
    let ending = bench.run().await;
    assert_eq!(
        (ending.cause, ending.message.as_str()),
        (Cause::Failed, "artifact report: there is no such file")
    );
}

#[tokio::test]
async fn artifacts_that_are_too_large_are_left_and_that_is_said() {
    let bench = Bench::new(
        "",
        "[[builder.test.step]]\nrun = 'echo 0123456789 > big'\n[[builder.test.artifact]]\npaths = ['big']\nmax_size = '10B'\n",
    );
    assert_eq!(bench.run().await.cause, Cause::Succeeded);
    assert!(bench.stage.kept.lock().unwrap().is_empty());
    assert!(
        bench
            .text()
            .await
            .contains("artifact big: not kept, as 11 bytes are more than 10\n")
    );
}

#[tokio::test]
async fn a_source_that_cannot_be_had_is_not_the_machines_fault() {
    let mut bench = Bench::new("", HANG);
    bench.stage.no_source = Some("fatal: not a tree object".into());
    let ending = bench.run().await;
    assert_eq!(ending.cause, Cause::SetupError);
    assert_eq!(ending.verdict, Verdict::Healthy);
    assert!(
        ending.message.ends_with("fatal: not a tree object"),
        "{}",
        ending.message
    );
}
