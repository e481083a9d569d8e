//! One command at a time: output, ends, limits.

use std::time::Duration;

use buildlet_proto::exec::{Command, Config, Executor, Isolation, Network, SpawnError};
use buildlet_proto::types::ext::LimitHit;
use buildlet_proto::types::{ProcessState, Signal};

use super::{is_alive, pid_in, read_all, read_until, run, sh};

super::in_both_ways! {
    both_outputs_come_in_the_order_in_which_they_were_written,
    output_comes_before_the_command_ends,
    standard_input_is_empty,
    nothing_is_inherited_but_the_environment_given,
    a_slow_reader_makes_the_command_wait,
    ends_are_told_as_they_were,
    what_cannot_be_started_has_ended,
    killing_ends_a_command,
    a_command_may_be_asked_to_end_before_it_is_killed,
    a_command_that_does_not_want_to_end_is_killed,
    time_runs_out,
    time_runs_out_for_a_command_that_nobody_reads,
    too_much_output_ends_a_command,
}

const KILLED: ProcessState = ProcessState::Signaled {
    signal: Signal::KILL,
    core_dumped: false,
};

async fn both_outputs_come_in_the_order_in_which_they_were_written(config: Config) {
    let script = "for i in 1 2 3 4 5 6 7 8 9; do echo out $i; echo err $i >&2; done";
    let (output, outcome) = run(&Executor::new(config), sh(script)).await;
    let expected: String = (1..=9).map(|i| format!("out {i}\nerr {i}\n")).collect();
    assert_eq!(output, expected);
    assert_eq!(outcome.state, ProcessState::Success);
    assert!(!outcome.killed && outcome.limit.is_none());
    assert!(outcome.usage.wall.unwrap() >= Duration::ZERO);
    assert!(outcome.usage.peak_memory_bytes.unwrap() > 100_000);
}

async fn output_comes_before_the_command_ends(config: Config) {
    let scratch = tempfile::tempdir().unwrap();
    let fifo = scratch.path().join("fifo");
    let script = format!("mkfifo {0}; echo ready; cat {0}", fifo.display());
    let mut running = Executor::new(config).spawn(sh(&script)).await.unwrap();
    assert_eq!(read_until(&mut running, "\n").await, "ready\n");
    tokio::fs::write(&fifo, "go on\n").await.unwrap();
    assert_eq!(read_all(&mut running).await, "go on\n");
    assert_eq!(running.wait().await.state, ProcessState::Success);
}

async fn standard_input_is_empty(config: Config) {
    let (output, outcome) = run(&Executor::new(config), sh("cat; echo end")).await;
    assert_eq!(
        (output.as_str(), outcome.state),
        ("end\n", ProcessState::Success)
    );
}

async fn nothing_is_inherited_but_the_environment_given(config: Config) {
    let command = Command::new("/usr/bin/env").envs(["B=2", "A=1", "B=3", "no equals sign"]);
    let (output, _) = run(&Executor::new(config), command).await;
    assert_eq!(output, "A=1\nB=3\n");
}

async fn a_slow_reader_makes_the_command_wait(config: Config) {
    let scratch = tempfile::tempdir().unwrap();
    let counter = scratch.path().join("written");
    // Each line says how far it got before the next is written.
    let script = format!(
        "i=0; while [ $i -lt 400 ]; do i=$((i+1)); printf '%01024d' 0; echo $i >{}; done",
        counter.display()
    );
    let config = config.chunk_bytes(1024).queue_chunks(2);
    let mut running = Executor::new(config).spawn(sh(&script)).await.unwrap();
    let first = running.chunk().await.unwrap();
    assert!(first.len() <= 1024);
    // The pipe holds 64 KiB, the queue 2, and one more is being handed on.
    let written =
        || -> Option<usize> { std::fs::read_to_string(&counter).ok()?.trim().parse().ok() };
    super::eventually("the pipe is full", || written() >= Some(60)).await;
    assert!(written() < Some(80));
    let rest = read_all(&mut running).await;
    assert_eq!(first.len() + rest.len(), 400 * 1024);
    assert_eq!(running.wait().await.state, ProcessState::Success);
}

async fn ends_are_told_as_they_were(config: Config) {
    let executor = Executor::new(config);
    for (script, text) in [
        ("exit 0", "ok"),
        ("exit 7", "exit status 7"),
        ("exit 255", "exit status 255"),
        ("kill -TERM $$", "signal: terminated"),
        // Not HUP: whoever runs the tests may have it ignored.
        ("kill -USR1 $$", "signal: user defined signal 1"),
    ] {
        let (_, outcome) = run(&executor, sh(script)).await;
        assert_eq!(outcome.state.to_string(), text, "{script}");
    }
}

async fn what_cannot_be_started_has_ended(config: Config) {
    let executor = Executor::new(config);
    for (command, text) in [
        (
            Command::new("/no/such"),
            "fork/exec /no/such: no such file or directory",
        ),
        (
            Command::new("/etc/passwd"),
            "fork/exec /etc/passwd: permission denied",
        ),
        (Command::new("/bin"), "fork/exec /bin: permission denied"),
        (
            Command::new("/bin/true").dir("/no/dir"),
            "chdir /no/dir: no such file or directory",
        ),
        (
            Command::new("/bin/true").dir("/etc/passwd"),
            "fork/exec /bin/true: not a directory",
        ),
        (
            Command::new("/bin/true").args(["a\0b"]),
            "fork/exec /bin/true: invalid argument",
        ),
    ] {
        let (output, outcome) = run(&executor, command).await;
        assert_eq!(outcome.state, ProcessState::Other(text.to_owned()));
        assert_eq!(output, "");
    }
}

async fn killing_ends_a_command(config: Config) {
    let mut running = Executor::new(config)
        .spawn(sh("echo $$; sleep 1000"))
        .await
        .unwrap();
    let pid = read_until(&mut running, "\n").await.trim().parse().unwrap();
    assert!(is_alive(pid));
    running.kill();
    let outcome = running.wait().await;
    assert_eq!((outcome.state, outcome.killed), (KILLED, true));
    assert!(!is_alive(pid));
}

async fn a_command_may_be_asked_to_end_before_it_is_killed(config: Config) {
    let executor = Executor::new(config.terminate(Duration::from_secs(60)));
    let script = "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.01; done";
    let mut running = executor.spawn(sh(script)).await.unwrap();
    read_until(&mut running, "ready\n").await;
    running.kill();
    // The shell may tell before that its `sleep` was terminated, too.
    assert!(read_all(&mut running).await.ends_with("bye\n"));
    let outcome = running.wait().await;
    assert_eq!(
        (outcome.state, outcome.killed),
        (ProcessState::Exited(5), true)
    );
}

async fn a_command_that_does_not_want_to_end_is_killed(config: Config) {
    let executor = Executor::new(config.terminate(Duration::from_millis(50)));
    let script = "trap '' TERM; echo ready; while :; do sleep 0.01; done";
    let mut running = executor.spawn(sh(script)).await.unwrap();
    read_until(&mut running, "ready\n").await;
    running.kill();
    assert_eq!(running.wait().await.state, KILLED);
}

async fn time_runs_out(config: Config) {
    let command = sh("echo $$; sleep 1000").timeout(Duration::from_millis(100));
    let mut running = Executor::new(config).spawn(command).await.unwrap();
    let output = read_all(&mut running).await;
    let outcome = running.wait().await;
    assert_eq!(
        (outcome.state, outcome.limit),
        (KILLED, Some(LimitHit::Timeout))
    );
    assert!(!outcome.killed);
    assert!(!is_alive(output.trim().parse().unwrap()));
}

async fn time_runs_out_for_a_command_that_nobody_reads(config: Config) {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("pid");
    let script = format!("echo $$ >{}; exec yes", file.display());
    let command = sh(&script).timeout(Duration::from_millis(100));
    let _running = Executor::new(config).spawn(command).await.unwrap();
    let pid = pid_in(&file).await;
    super::eventually("it is killed", || !is_alive(pid)).await;
}

async fn too_much_output_ends_a_command(config: Config) {
    let command = sh("exec yes").output_bytes(100_000);
    let (output, outcome) = run(&Executor::new(config), command).await;
    assert_eq!(
        (outcome.state, outcome.limit),
        (KILLED, Some(LimitHit::Output))
    );
    assert!(
        output.len() >= 100_000 && output.len() < 400_000,
        "{}",
        output.len()
    );
}

#[tokio::test]
async fn what_is_asked_for_and_not_to_be_had_is_told() {
    let command = || {
        sh("true")
            .isolation(Isolation::Sandbox)
            .network(Network::Off)
    };
    let executor = Executor::default();
    let (_, outcome) = run(&executor, command()).await;
    assert_eq!(outcome.state, ProcessState::Success);
    assert_eq!(outcome.enforced.to_wire().level(), Isolation::None);
    assert!(!outcome.enforced.is_complete());
    let refused = executor.spawn(command().require_isolation(true)).await;
    let Err(SpawnError::NotEnforced(enforcement)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(enforcement, outcome.enforced);
}
