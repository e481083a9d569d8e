//! Supervisors, whose program is this test program.

use std::process::Stdio;
use std::time::Duration;

use buildlet_proto::exec::{Command, Config, Executor, Isolation, Launcher, SpawnError};
use buildlet_proto::types::ProcessState;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::{eventually, is_alive, pid_in, read_until, run, sh};

/// Commands under supervisors.
pub(super) fn config() -> Config {
    Config::default().launcher(launcher())
}

/// Starts this program with nothing to do but what stands in [`supervisor_process`].
fn launcher() -> Launcher {
    Launcher::new(
        std::env::current_exe().unwrap(),
        program_args("exec::supervisor::supervisor_process"),
    )
}

/// Arguments by which this program runs one of its tests that are none.
pub(super) fn program_args(name: &str) -> Vec<&str> {
    let mut args = vec![name];
    args.extend(["--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    args
}

#[test]
#[ignore = "no test, but what supervisors run"]
fn supervisor_process() {
    let _ = buildlet_proto::exec::supervise();
}

/// A script that leaves a daemon behind: without the output, without an environment, in a session of its own, without a parent. Its
/// number is in `file`.
fn daemon(file: &std::path::Path, rest: &str) -> Command {
    let inner = "echo $$ >$0; exec sleep 1000";
    let file = file.display();
    sh(&format!(
        "env -i setsid sh -c '(sh -c \"{inner}\" {file} &)' >/dev/null 2>&1 </dev/null\n\
         until [ -s {file} ]; do sleep 0.01; done\n{rest}",
        inner = inner.replace('$', "\\$")
    ))
}

#[tokio::test]
async fn a_daemon_ends_with_the_command() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("pid");
    let executor = Executor::new(config());
    let (output, outcome) = run(&executor, daemon(&file, "echo done; exit 4")).await;
    assert_eq!(
        (output.as_str(), outcome.state),
        ("done\n", ProcessState::Exited(4))
    );
    assert_eq!((outcome.strays, outcome.left), (1, 0));
    assert!(!is_alive(pid_in(&file).await));
}

#[tokio::test]
async fn a_daemon_is_killed_with_the_command() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("pid");
    let executor = Executor::new(config());
    let mut running = executor
        .spawn(daemon(&file, "echo up; exec sleep 1000"))
        .await
        .unwrap();
    read_until(&mut running, "up\n").await;
    let pid = pid_in(&file).await;
    assert!(is_alive(pid));
    running.kill();
    running.wait().await;
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn a_daemon_is_killed_when_nobody_wants_the_command_any_more() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("pid");
    let executor = Executor::new(config());
    let mut running = executor
        .spawn(daemon(&file, "echo up; exec sleep 1000"))
        .await
        .unwrap();
    read_until(&mut running, "up\n").await;
    let pid = pid_in(&file).await;
    drop(running);
    eventually("the daemon is dead", || !is_alive(pid)).await;
}

/// Runs a command that says its number, for ever.
#[tokio::test]
#[ignore = "no test, but the program that is killed"]
async fn program_with_a_command() {
    let executor = Executor::new(config());
    let mut running = executor
        .spawn(sh(
            "setsid sh -c 'echo $$; exec sleep 1000' & echo $$; exec sleep 1000",
        ))
        .await
        .unwrap();
    println!(); // ends the line that the test runner began
    while let Some(chunk) = running.chunk().await {
        print!("{}", str::from_utf8(&chunk).unwrap());
    }
}

#[tokio::test]
async fn commands_end_when_the_program_is_killed() {
    let mut program = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(program_args("exec::supervisor::program_with_a_command"))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let mut pids = Vec::new();
    while pids.len() < 2 {
        let line = lines.next_line().await.unwrap().unwrap();
        pids.extend(line.parse::<u32>());
    }
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    program.start_kill().unwrap();
    program.wait().await.unwrap();
    eventually("nothing is left", || pids.iter().all(|pid| !is_alive(*pid))).await;
}

#[tokio::test]
async fn a_supervisor_is_used_again_for_the_like() {
    let executor = Executor::new(config());
    let parent = async |command: Command| run(&executor, command).await.0.trim().to_owned();
    let first = parent(sh("echo $PPID")).await;
    let process = || sh("echo $PPID").isolation(Isolation::Process);
    let other = parent(process()).await;
    assert_ne!(first, other);
    assert_eq!(parent(sh("echo $PPID")).await, first);
    assert_eq!(parent(process()).await, other);
    assert_ne!(first, std::process::id().to_string());
    // One that left something behind, too, once that is gone.
    assert_eq!(
        parent(sh("echo $PPID; sleep 1000 >/dev/null 2>&1 &")).await,
        first
    );
    assert_eq!(parent(sh("echo $PPID")).await, first);
    assert_eq!(parent(Command::new("/no/such")).await, "");
    assert_eq!(parent(sh("echo $PPID")).await, first);
    drop(executor);
    let pids = [first, other].map(|pid| pid.parse().unwrap());
    eventually("supervisors end", || pids.iter().all(|pid| !is_alive(*pid))).await;
}

#[tokio::test]
async fn a_supervisor_that_died_is_replaced() {
    let executor = Executor::new(config());
    let (parent, _) = run(&executor, sh("echo $PPID")).await;
    kill(parent.trim().parse().unwrap()).await;
    let (other, outcome) = run(&executor, sh("echo $PPID")).await;
    assert_ne!(other, parent);
    assert_eq!(outcome.state, ProcessState::Success);
}

async fn kill(pid: u32) {
    let mut program = tokio::process::Command::new("kill");
    let killed = program.args(["-KILL", &pid.to_string()]).status().await;
    assert!(killed.unwrap().success());
    eventually("it is dead", || !is_alive(pid)).await;
}

#[tokio::test]
async fn a_supervisor_that_dies_at_work_is_told() {
    let executor = Executor::new(config());
    let script = "setsid sleep 1000 & echo $PPID $$ $! up; exec sleep 1000";
    let mut running = executor.spawn(sh(script)).await.unwrap();
    let output = read_until(&mut running, "up\n").await;
    let pids: Vec<_> = output
        .split(' ')
        .filter_map(|pid| pid.parse().ok())
        .collect();
    kill(pids[0]).await;
    let outcome = running.wait().await;
    let text = "the supervisor of the command was killed";
    assert_eq!(outcome.state, ProcessState::Other(text.to_owned()));
    assert_eq!(pids.len(), 3);
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
}

#[tokio::test]
async fn a_launcher_that_starts_no_supervisor_is_an_error() {
    for program in ["/no/such/program", "/bin/true"] {
        let launcher = Launcher::new(program, [] as [&str; 0]);
        let executor = Executor::new(Config::default().launcher(launcher));
        let spawned = executor.spawn(sh("true")).await;
        assert!(
            matches!(spawned, Err(SpawnError::Supervisor(_))),
            "{spawned:?}"
        );
    }
}

#[tokio::test]
async fn a_supervisor_has_no_environment_to_be_read() {
    let script =
        "tr '\\0' '\\n' </proc/$PPID/environ | grep -v -e ^RUST_BACKTRACE= -e ^LD_LIBRARY_PATH=";
    let (output, _) = run(&Executor::new(config()), sh(script)).await;
    assert_eq!(output, "");
}

#[tokio::test]
async fn many_commands_run_at_a_time_and_leave_nothing() {
    for config in [Config::default(), config()] {
        let executor = std::sync::Arc::new(Executor::new(config));
        let (output, _) = run(&executor, sh("echo warm")).await;
        assert_eq!(output, "warm\n");
        let mut commands = tokio::task::JoinSet::new();
        for number in 0..24 {
            let executor = std::sync::Arc::clone(&executor);
            commands.spawn(async move {
                let script =
                    format!("(sleep 1000 &) >/dev/null 2>&1; echo {number}; exit {number}");
                let (output, outcome) = run(&executor, sh(&script)).await;
                assert_eq!(output, format!("{number}\n"));
                assert_eq!(outcome.state.exit_code(), Some(number));
            });
        }
        commands.join_all().await;
    }
}

#[tokio::test]
async fn orphans_that_end_are_buried_while_the_command_runs() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("pid");
    // The orphan is a child of the supervisor, and ends at once.
    let script = format!(
        "(sh -c 'echo $$ >{0}' &)\necho up; exec sleep 1000",
        file.display()
    );
    let executor = Executor::new(config());
    let mut running = executor.spawn(sh(&script)).await.unwrap();
    read_until(&mut running, "up\n").await;
    let orphan = pid_in(&file).await;
    let is_gone = || !std::path::Path::new(&format!("/proc/{orphan}")).exists();
    eventually("there is no zombie", is_gone).await;
    running.kill();
    tokio::time::timeout(Duration::from_secs(10), running.wait())
        .await
        .unwrap();
}
