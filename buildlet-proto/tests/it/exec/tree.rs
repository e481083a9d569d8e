//! What a command starts ends with it: <https://go.dev/issue/29319>, <https://go.dev/issue/15778>.

use std::time::{Duration, Instant};

use buildlet_proto::exec::{Config, Executor};
use buildlet_proto::types::{ProcessState, Signal};

use super::{eventually, is_alive, pid_in, read_all, read_until, run, sh};

super::in_both_ways! {
    a_grandchild_that_holds_the_output_does_not_hold_the_command,
    a_grandchild_may_finish_its_output_within_the_time_for_it,
    killing_a_command_kills_the_tree,
    dropping_a_command_kills_the_tree,
    a_process_of_the_group_without_the_output_ends_with_the_command,
    a_spawn_that_is_given_up_leaves_nothing_running,
}

/// Scripts that leave a process behind which has the output open, and write its number to `$1`.
const STRAYS: [(&str, &str); 3] = [
    ("in the group", "sleep 1000 & echo $! >$1"),
    (
        "in a session of its own",
        "setsid sh -c 'echo $$ >$0; exec sleep 1000' $1 & :",
    ),
    (
        "a daemon",
        "(setsid sh -c '(sh -c \"echo \\$\\$ >$0; exec sleep 1000\") & ' $1 &)",
    ),
];

fn script(text: &str, file: &std::path::Path, rest: &str) -> buildlet_proto::exec::Command {
    let text = format!(
        "set -- {}\n{text}\nuntil [ -s $1 ]; do sleep 0.01; done\n{rest}",
        file.display()
    );
    sh(&text)
}

async fn a_grandchild_that_holds_the_output_does_not_hold_the_command(config: Config) {
    for (name, text) in STRAYS {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("pid");
        let executor = Executor::new(config.clone().linger(Some(Duration::from_millis(50))));
        let begin = Instant::now();
        let (output, outcome) = run(&executor, script(text, &file, "echo done; exit 3")).await;
        assert!(begin.elapsed() < Duration::from_secs(5), "{name}");
        assert_eq!(
            (output.as_str(), outcome.state),
            ("done\n", ProcessState::Exited(3)),
            "{name}"
        );
        assert_eq!((outcome.strays, outcome.left), (1, 0), "{name}");
        let pid = pid_in(&file).await;
        assert!(!is_alive(pid), "{name}");
    }
}

async fn a_grandchild_may_finish_its_output_within_the_time_for_it(config: Config) {
    let scratch = tempfile::tempdir().unwrap();
    let fifo = scratch.path().join("fifo");
    let text = format!("mkfifo {0}; (cat {0}) & echo parent ends", fifo.display());
    let executor = Executor::new(config.linger(None));
    let mut running = executor.spawn(sh(&text)).await.unwrap();
    read_until(&mut running, "parent ends\n").await;
    tokio::fs::write(&fifo, "child ends\n").await.unwrap();
    assert_eq!(read_all(&mut running).await, "child ends\n");
    let outcome = running.wait().await;
    assert_eq!((outcome.state, outcome.left), (ProcessState::Success, 0));
    // Two processes held the output. The system closes files before a process counts as ended, so they may be met on their way.
    assert!(outcome.strays <= 2, "{}", outcome.strays);
}

async fn killing_a_command_kills_the_tree(config: Config) {
    for (name, text) in STRAYS {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("pid");
        let mut running = Executor::new(config.clone())
            .spawn(script(text, &file, "echo up; exec sleep 1000"))
            .await
            .unwrap();
        read_until(&mut running, "up\n").await;
        let pid = pid_in(&file).await;
        assert!(is_alive(pid), "{name}");
        running.kill();
        let outcome = running.wait().await;
        let killed = ProcessState::Signaled {
            signal: Signal::KILL,
            core_dumped: false,
        };
        assert_eq!(outcome.state, killed, "{name}");
        assert!(!is_alive(pid), "{name}");
    }
}

async fn dropping_a_command_kills_the_tree(config: Config) {
    for (name, text) in STRAYS {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("pid");
        let mut running = Executor::new(config.clone())
            .spawn(script(text, &file, "echo $$ up; exec sleep 1000"))
            .await
            .unwrap();
        let output = read_until(&mut running, "up\n").await;
        let leader: u32 = output.split(' ').next().unwrap().parse().unwrap();
        let pid = pid_in(&file).await;
        drop(running);
        eventually(name, || !is_alive(pid) && !is_alive(leader)).await;
    }
}

async fn a_process_of_the_group_without_the_output_ends_with_the_command(config: Config) {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("pid");
    let text = "sleep 1000 >/dev/null 2>&1 & echo $! >$1";
    let (_, outcome) = run(&Executor::new(config), script(text, &file, "exit 0")).await;
    assert_eq!(outcome.state, ProcessState::Success);
    let pid = pid_in(&file).await;
    eventually("it is dead", || !is_alive(pid)).await;
}

async fn a_spawn_that_is_given_up_leaves_nothing_running(config: Config) {
    let scratch = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let file = scratch.path().join(round.to_string());
        let text = format!("echo $$ >{}; exec sleep 1000", file.display());
        let executor = Executor::new(config.clone());
        let spawn = executor.spawn(sh(&text));
        tokio::select! {
            biased;
            running = spawn => drop(running.unwrap()),
            () = tokio::task::yield_now() => {}
        }
        // It may be killed before it gets to write its number.
        eventually("nothing of it runs", || {
            let written = std::fs::read_to_string(&file).unwrap_or_default();
            written.trim().parse().is_ok_and(|pid| !is_alive(pid)) || !mentioned(&file)
        })
        .await;
    }
}

/// Whether some process has this file in its arguments.
fn mentioned(file: &std::path::Path) -> bool {
    let name = file.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .any(|args| String::from_utf8_lossy(&args).contains(name))
}
