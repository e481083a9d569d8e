//! Running commands.

mod isolation;
mod run;
mod supervisor;
mod tree;
mod vectors;
mod workplace;

use std::path::Path;
use std::time::{Duration, Instant};

use buildlet_proto::exec::{Command, Executor, Outcome, Running};

/// Makes two tests of each function: one with commands as children of this process, one with supervisors.
macro_rules! in_both_ways {
    ($($name:ident),+ $(,)?) => {
        mod direct {
            $(#[tokio::test]
            async fn $name() {
                super::$name(buildlet_proto::exec::Config::default()).await;
            })+
        }
        mod supervised {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::exec::supervisor::config()).await;
            })+
        }
    };
}
use in_both_ways;

/// A shell with this script and the usual `PATH`.
fn sh(script: &str) -> Command {
    Command::new("/bin/sh")
        .args(["-c", script])
        .envs(["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"])
}

/// Runs a command to its end.
async fn run(executor: &Executor, command: Command) -> (String, Outcome) {
    let mut running = executor.spawn(command).await.unwrap();
    let output = read_all(&mut running).await;
    (output, running.wait().await)
}

async fn read_all(running: &mut Running) -> String {
    let mut output = Vec::new();
    while let Some(chunk) = running.chunk().await {
        assert!(!chunk.is_empty());
        output.extend_from_slice(&chunk);
    }
    String::from_utf8(output).unwrap()
}

/// Reads until there is a line with this text.
async fn read_until(running: &mut Running, text: &str) -> String {
    let mut output = String::new();
    while !output.contains(text) {
        let chunk = running.chunk().await.expect("the output goes on");
        output.push_str(str::from_utf8(&chunk).unwrap());
    }
    output
}

/// Whether there is a process of this number that is not a zombie.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.rsplit(") ").next().unwrap().starts_with(['Z', 'X']))
}

/// Polls until `done`, for at most ten seconds.
async fn eventually(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "not within ten seconds: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The process number that a script wrote to this file.
async fn pid_in(file: &Path) -> u32 {
    let read = || {
        std::fs::read_to_string(file)
            .ok()?
            .strip_suffix('\n')?
            .parse()
            .ok()
    };
    eventually(&format!("{} is written", file.display()), || {
        read().is_some()
    })
    .await;
    read().unwrap()
}
