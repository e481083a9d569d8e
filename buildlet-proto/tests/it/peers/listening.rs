//! Our client calls upstream's buildlet where it listens.

use std::time::Duration;

use buildlet_proto::client::{BrokenReason, BuildletClient as _, CallError, Config, ExecError};
use buildlet_proto::types::{ExecRequest, FileMode, ListRequest, ProcessState};
use rustix::process::{Pid, Signal, test_kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, timeout};

use super::go_buildlet::{drive, listening};

#[tokio::test]
async fn every_call_works_against_a_go_buildlet() {
    let Some((mut buildlet, client)) = listening(Config::default(), &[]).await else {
        return;
    };
    drive(&client, buildlet.work_dir()).await;

    // It fetches an archive itself.
    let archive = client.get_tar("", Default::default()).await.unwrap();
    let mut tgz = Vec::new();
    { archive }.read_to_end(&mut tgz).await.unwrap();
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x.tar.gz", server.local_addr().unwrap());
    let serving = async {
        let (mut peer, _) = server.accept().await.unwrap();
        let mut head = [0; 1000];
        assert!(peer.read(&mut head).await.unwrap() > 0);
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", tgz.len());
        peer.write_all(&[answer.as_bytes(), &tgz].concat())
            .await
            .unwrap();
    };
    let ((), put) = tokio::join!(serving, client.put_tar_from_url(&url, "fetched"));
    put.unwrap();
    let listing = client.list_dir(ListRequest::new("fetched")).await.unwrap();
    let names: Vec<_> = listing
        .collect()
        .await
        .unwrap()
        .iter()
        .map(|entry| entry.name().into_owned())
        .collect();
    assert_eq!(names, ["gocache", "goplscache", "tmp"]);

    // Nothing listens for SSH where it looks for it, or somebody does: both are answers.
    match client.connect_ssh("nobody-here", "").await {
        Ok(_) | Err(CallError::Refused { .. } | CallError::TimedOut(_)) => {}
        Err(other) => panic!("{other:?}"),
    }

    client.close().await;
    assert_eq!(buildlet.exited().await, Some(0));
}

#[tokio::test]
async fn output_arrives_while_the_command_runs() {
    let Some((_buildlet, client)) = listening(Config::default(), &[]).await else {
        return;
    };
    let wait = "echo one; until test -e go; do sleep 0.01; done; echo two; kill -SEGV $$";
    let request = ExecRequest::new("sh").args(["-c", wait]).system_level(true);
    let mut running = client.start(request).await.unwrap();
    assert_eq!(running.next_output().await.unwrap().unwrap(), "one\n");
    client
        .put("".into(), "go", FileMode::default())
        .await
        .unwrap();
    let (rest, outcome) = running.collect(100).await.unwrap();
    assert_eq!(rest, "two\n");
    assert!(
        matches!(outcome.state, ProcessState::Signaled { signal, .. } if signal.number() == 11)
    );
    assert!(outcome.usage.is_none() && outcome.enforced.is_none());
}

#[tokio::test]
async fn a_command_that_is_dropped_is_killed() {
    let Some((_buildlet, client)) = listening(Config::default(), &[]).await else {
        return;
    };
    let request = ExecRequest::new("sh").args(["-c", "echo $$; exec sleep 1000"]);
    let mut running = client.start(request.system_level(true)).await.unwrap();
    let pid = running.next_output().await.unwrap().unwrap();
    let pid = str::from_utf8(&pid).unwrap().trim().parse().unwrap();
    let pid = Pid::from_raw(pid).unwrap();
    assert!(test_kill_process(pid).is_ok());
    drop(running);
    let end = Instant::now() + Duration::from_secs(10);
    while test_kill_process(pid).is_ok() {
        assert!(Instant::now() < end, "the command still runs");
        sleep(Duration::from_millis(10)).await;
    }
    client.status().await.unwrap();
}

#[tokio::test]
async fn a_buildlet_that_stands_still_is_given_up_and_one_that_dies_is_noticed() {
    let config = Config::default()
        .heartbeat_interval(Duration::from_millis(50))
        .head_timeout(Duration::from_millis(500));
    let Some((mut buildlet, client)) = listening(config, &[]).await else {
        return;
    };
    let request = ExecRequest::new("sleep").arg("1000").system_level(true);
    let running = client.start(request).await.unwrap();
    sleep(Duration::from_millis(200)).await;
    assert_eq!(client.broken(), None);
    buildlet.signal(Signal::STOP);
    timeout(Duration::from_secs(10), client.dead())
        .await
        .unwrap();
    assert!(matches!(
        client.broken(),
        Some(BrokenReason::HeartbeatsFailed { count: 3, .. })
    ));
    assert!(matches!(running.wait().await, Err(ExecError::Dead(_))));
    buildlet.kill();

    let Some((mut buildlet, client)) = listening(Config::default(), &[]).await else {
        return;
    };
    let request = ExecRequest::new("sleep").arg("1000").system_level(true);
    let running = client.start(request).await.unwrap();
    buildlet.kill();
    let error = running.wait().await.unwrap_err();
    assert!(matches!(error, ExecError::Cut(_)) && error.breaks());
    assert_eq!(client.broken(), Some(BrokenReason::OutputCut));
}

#[tokio::test]
async fn a_password_is_asked_for() {
    let env = [("META_password", "sesame")];
    let Some((buildlet, client)) = listening(Config::default(), &env).await else {
        return;
    };
    let refused = client.status().await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "buildlet answered 403 Forbidden: invalid password"
    );
    drop((buildlet, client));

    let right = Config::default().password("sesame");
    let Some((_buildlet, client)) = listening(right, &env).await else {
        return;
    };
    client.status().await.unwrap();
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_a_large_upload_is_read() {
    let Some((_buildlet, client)) = listening(Config::default(), &[]).await else {
        return;
    };
    // It answers at once and takes no more; by then much is on the way.
    let endless = tokio::io::repeat(0);
    let content = buildlet_proto::client::Content::from_sized_reader(endless, 1 << 30);
    let error = client
        .put(content, "../x", FileMode::default())
        .await
        .unwrap_err();
    assert_eq!(
        error.status().map(|status| status.as_u16()),
        Some(400),
        "{error:?}"
    );
    client.status().await.unwrap();
}
