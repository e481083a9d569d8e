use std::time::Duration;

use russh::Sig;
use tokio::time::timeout;

use super::host::{Ended, Host, LIMIT, eventually, finish, granted, read_until, run_in, runs};

#[tokio::test]
async fn a_command_has_two_outputs_an_input_and_a_status() {
    let host = Host::start().await;
    let ended = host.run("cat; echo oops >&2; exit 7", b"typed").await;
    assert_eq!(
        ended,
        Ended {
            stdout: b"typed".into(),
            stderr: b"oops\n".into(),
            status: Some(7),
            signal: None
        }
    );
}

#[tokio::test]
async fn a_signal_that_ended_a_command_is_named() {
    let host = Host::start().await;
    let ended = host.run("kill -KILL $$", b"").await;
    assert_eq!(
        (ended.status, ended.signal.as_deref()),
        (None, Some("KILL"))
    );
}

#[tokio::test]
async fn commands_run_in_the_work_directory_with_the_servers_environment() {
    let host =
        Host::start_with(|config| config.env([("PATH", "/usr/bin:/bin"), ("COLOUR", "blue")]))
            .await;
    let ended = host
        .run("pwd; echo $PWD; echo $COLOUR; env | wc -l", b"")
        .await;
    let workdir = host.workdir().display();
    // PATH, COLOUR and PWD; the rest is what sh itself adds.
    let added = ended
        .text()
        .lines()
        .last()
        .unwrap()
        .trim()
        .parse::<u32>()
        .unwrap();
    assert!(
        ended
            .text()
            .starts_with(&format!("{workdir}\n{workdir}\nblue\n"))
            && added <= 6,
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_work_directory_that_is_gone_is_made_again() {
    let host = Host::start().await;
    std::fs::remove_dir(host.workdir()).unwrap();
    assert_eq!(host.run("pwd", b"").await.status, Some(0));
}

#[tokio::test]
async fn a_client_sets_the_variables_it_may() {
    let host = Host::start_with(|config| config.accept_env(["LANG", "GO*"])).await;
    let handle = host.login().await;
    let mut channel = handle.channel_open_session().await.unwrap();
    for (name, accepted) in [
        ("LANG", true),
        ("GOFLAGS", true),
        ("LD_PRELOAD", false),
        ("GO=X", false),
    ] {
        channel.set_env(true, name, "value").await.unwrap();
        assert_eq!(granted(&mut channel).await, accepted, "{name}");
    }
    let ended = run_in(channel, "echo $LANG $GOFLAGS $LD_PRELOAD", b"").await;
    assert_eq!(ended.text(), "value value\n");
}

#[tokio::test]
async fn variables_have_limits() {
    let host = Host::start().await;
    let handle = host.login().await;
    let mut channel = handle.channel_open_session().await.unwrap();
    channel
        .set_env(true, "GO", "x".repeat(33 << 10))
        .await
        .unwrap();
    assert!(!granted(&mut channel).await);
    for number in 0..65 {
        channel
            .set_env(true, format!("GO{number}"), "x")
            .await
            .unwrap();
        assert_eq!(granted(&mut channel).await, number < 64);
    }
}

#[tokio::test]
async fn a_lot_of_output_arrives_whole_at_a_slow_client() {
    let host = Host::start().await;
    let handle = host.login().await;
    let mut channel = handle.channel_open_session().await.unwrap();
    channel
        .exec(true, "head -c 6000000 /dev/zero; echo end >&2")
        .await
        .unwrap();
    assert!(granted(&mut channel).await);
    // The windows fill, and the command has to wait.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let ended = finish(channel).await;
    assert_eq!(
        (ended.stdout.len(), ended.stderr.as_slice(), ended.status),
        (6_000_000, &b"end\n"[..], Some(0))
    );
}

#[tokio::test]
async fn a_lot_of_input_arrives_whole() {
    let host = Host::start().await;
    let ended = host.run("sleep 0.3; wc -c", &vec![b'x'; 4_000_000]).await;
    assert_eq!(ended.text().trim(), "4000000");
}

#[tokio::test]
async fn a_terminal_has_the_clients_size_and_its_changes() {
    let host = Host::start().await;
    let handle = host.login().await;
    let mut channel = handle.channel_open_session().await.unwrap();
    channel
        .request_pty(true, "xterm-256color", 80, 24, 0, 0, &[])
        .await
        .unwrap();
    assert!(granted(&mut channel).await);
    channel.request_shell(true).await.unwrap();
    assert!(granted(&mut channel).await);
    channel
        .data(&b"tty; stty size; echo $TERM\n"[..])
        .await
        .unwrap();
    let seen = read_until(&mut channel, "\nxterm-256color").await;
    assert!(seen.contains("/dev/") && seen.contains("24 80"), "{seen:?}");
    channel.window_change(132, 50, 0, 0).await.unwrap();
    channel.data(&b"stty size\n"[..]).await.unwrap();
    read_until(&mut channel, "50 132").await;
    channel.data(&b"exit 3\n"[..]).await.unwrap();
    assert_eq!(finish(channel).await.status, Some(3));
}

#[tokio::test]
async fn a_key_interrupts_the_job_in_the_foreground() {
    let host = Host::start().await;
    let handle = host.login().await;
    let mut channel = handle.channel_open_session().await.unwrap();
    channel
        .request_pty(true, "xterm", 80, 24, 0, 0, &[])
        .await
        .unwrap();
    channel
        .exec(
            true,
            "trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.05; done",
        )
        .await
        .unwrap();
    read_until(&mut channel, "ready").await;
    channel.data(&b"\x03"[..]).await.unwrap();
    let ended = finish(channel).await;
    assert!(
        ended.text().contains("caught") && ended.status == Some(5),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_terminal_ends_with_its_input() {
    let host = Host::start().await;
    let handle = host.login().await;
    let channel = handle.channel_open_session().await.unwrap();
    channel
        .request_pty(true, "xterm", 80, 24, 0, 0, &[])
        .await
        .unwrap();
    channel.request_shell(true).await.unwrap();
    channel.eof().await.unwrap();
    assert_eq!(finish(channel).await.status, Some(0));
}

#[tokio::test]
async fn signals_reach_a_command() {
    let host = Host::start().await;
    let handle = host.login().await;
    let mut channel = handle.channel_open_session().await.unwrap();
    channel
        .exec(
            true,
            "trap 'echo stopped; exit 4' TERM; echo ready; while :; do sleep 0.05; done",
        )
        .await
        .unwrap();
    read_until(&mut channel, "ready").await;
    channel.signal(Sig::TERM).await.unwrap();
    let ended = finish(channel).await;
    assert!(
        ended.text().contains("stopped") && ended.status == Some(4),
        "{ended:?}"
    );
}

#[tokio::test]
async fn what_a_command_left_behind_goes_with_it() {
    let host = Host::start().await;
    let began = std::time::Instant::now();
    let ended = host.run("sleep 1000 & echo $!", b"").await;
    assert_eq!(ended.status, Some(0));
    eventually("the rest ends", || !runs(ended.text().trim())).await;
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_process_that_left_the_group_does_not_hold_the_channel() {
    let host = Host::start().await;
    let began = std::time::Instant::now();
    let ended = host.run("setsid sleep 15 & exit 0", b"").await;
    assert_eq!(ended.status, Some(0));
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn closing_a_channel_kills_all_that_runs_in_it() {
    for terminal in [false, true] {
        let host = Host::start_with(|config| config.shell("bash")).await;
        let handle = host.login().await;
        let mut channel = handle.channel_open_session().await.unwrap();
        if terminal {
            channel
                .request_pty(true, "xterm", 80, 24, 0, 0, &[])
                .await
                .unwrap();
        }
        // Each in a group of its own, as jobs of an interactive shell are; that takes a terminal.
        let jobs = if terminal { "set -m;" } else { "" };
        let command = format!(
            "trap '' HUP TERM; {jobs} sleep 1000 & one=$!; sleep 1000 & echo pids $one $! $$ done; wait"
        );
        channel.exec(true, command).await.unwrap();
        let seen = read_until(&mut channel, "done").await;
        let pids: Vec<&str> = seen
            .split_whitespace()
            .filter(|word| word.parse::<u32>().is_ok())
            .collect();
        assert_eq!(pids.len(), 3, "{seen:?}");
        assert!(pids.iter().all(|pid| runs(pid)));
        channel.close().await.unwrap();
        eventually("the processes end", || !pids.iter().any(|pid| runs(pid))).await;
    }
}

#[tokio::test]
async fn a_client_that_vanishes_takes_its_processes_along() {
    let host = Host::start().await;
    let handle = host.login().await;
    let mut channel = handle.channel_open_session().await.unwrap();
    channel
        .exec(true, "echo $$ done; sleep 1000")
        .await
        .unwrap();
    let seen = read_until(&mut channel, "done").await;
    let pid = seen.split_whitespace().next().unwrap();
    assert!(runs(pid));
    drop((channel, handle));
    eventually("the process ends", || !runs(pid)).await;
}

#[tokio::test]
async fn a_stopped_server_has_no_processes() {
    let mut host = Host::start().await;
    let handle = host.login().await;
    let mut channel = handle.channel_open_session().await.unwrap();
    channel
        .exec(
            true,
            "trap '' TERM HUP; echo $$ done; sleep 1000; sleep 1000",
        )
        .await
        .unwrap();
    let seen = read_until(&mut channel, "done").await;
    host.stop.cancel();
    timeout(LIMIT, &mut host.serving).await.unwrap().unwrap();
    eventually("the process ends", || {
        !runs(seen.split_whitespace().next().unwrap())
    })
    .await;
    assert!(host.connect().await.is_err());
}

#[tokio::test]
async fn a_client_that_hangs_up_is_noticed_behind_input_that_nobody_reads() {
    let host = Host::start().await;
    let (handle, plug) = host.login_with_plug().await;
    let mut channel = handle.channel_open_session().await.unwrap();
    channel
        .exec(true, "echo $$ done; sleep 1000")
        .await
        .unwrap();
    let seen = read_until(&mut channel, "done").await;
    let pid = seen.split_whitespace().next().unwrap();
    let (_reading, writing) = channel.split();
    let input = vec![0; 32 << 20];
    let pushed = timeout(Duration::from_millis(500), writing.data(&input[..])).await;
    assert!(pushed.is_err() && runs(pid), "somebody read 32 MiB");
    plug.shutdown(std::net::Shutdown::Both).unwrap();
    eventually("the process ends", || !runs(pid)).await;
}

#[tokio::test]
async fn a_client_that_hangs_up_is_noticed_behind_output_that_it_does_not_read() {
    for terminal in [false, true] {
        let host = Host::start().await;
        let (handle, plug) = host.login_with_plug().await;
        let mut channel = handle.channel_open_session().await.unwrap();
        if terminal {
            channel
                .request_pty(true, "xterm", 80, 24, 0, 0, &[])
                .await
                .unwrap();
        }
        channel.exec(true, "echo $$ done; exec yes").await.unwrap();
        let seen = read_until(&mut channel, "done").await;
        let pid = seen.split_whitespace().next().unwrap();
        // Time for the windows to fill.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(runs(pid));
        plug.shutdown(std::net::Shutdown::Both).unwrap();
        eventually("the process ends", || !runs(pid)).await;
        eventually("the connection's seat is free", || {
            host.server.connections() == 0
        })
        .await;
    }
}

#[tokio::test]
async fn a_shell_that_does_not_exist_is_told() {
    let host = Host::start_with(|config| config.shell("/nonexistent/shell")).await;
    let ended = host.run("true", b"").await;
    assert_eq!(ended.status, Some(126));
    assert!(
        String::from_utf8_lossy(&ended.stderr).starts_with("buildlet: "),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_channel_does_one_thing() {
    let host = Host::start().await;
    let handle = host.login().await;
    let mut channel = handle.channel_open_session().await.unwrap();
    channel.exec(true, "sleep 1000").await.unwrap();
    assert!(granted(&mut channel).await);
    channel.exec(true, "true").await.unwrap();
    assert!(!granted(&mut channel).await);
    channel.request_subsystem(true, "netconf").await.unwrap();
    assert!(!granted(&mut channel).await);
}

#[tokio::test]
async fn nothing_is_forwarded() {
    let host = Host::start().await;
    let handle = host.login().await;
    assert!(
        handle
            .channel_open_direct_tcpip("127.0.0.1", 22, "127.0.0.1", 1)
            .await
            .is_err()
    );
    assert!(handle.tcpip_forward("127.0.0.1", 0).await.is_err());
    let mut channel = handle.channel_open_session().await.unwrap();
    channel.agent_forward(true).await.unwrap();
    channel
        .request_pty(true, "bad term", 80, 24, 0, 0, &[])
        .await
        .unwrap();
    assert!(!granted(&mut channel).await);
}
