//! Our client and our server, by way of the fake that programs test with.

use std::fs;
use std::time::Duration;

use buildlet_proto::client::{
    Archive, BrokenReason, BuildletClient as _, CallError, Config, Content, HttpClient,
};
use buildlet_proto::server;
use buildlet_proto::test_support::FakeBuildlet;
use buildlet_proto::types::ext::{ArchiveFormat, Extension, Isolation, LimitHit, Mechanism};
use buildlet_proto::types::{ExecRequest, FileMode, ListRequest, ProcessState};
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, sleep, timeout};

const LIMIT: Duration = Duration::from_secs(20);

fn fake() -> (FakeBuildlet, HttpClient) {
    let buildlet = FakeBuildlet::start().unwrap();
    let client = buildlet.client(Config::default()).unwrap();
    (buildlet, client)
}

fn shell(script: &str) -> ExecRequest {
    ExecRequest::new("sh")
        .args(["-c", script])
        .system_level(true)
}

#[tokio::test]
async fn a_build_runs_in_memory() {
    let (buildlet, client) = fake();
    let status = client.status().await.unwrap();
    assert_eq!(status.version(), 29);
    assert!(status.implementation().is_some());
    let dir = client.work_dir().await.unwrap();
    assert_eq!(
        fs::canonicalize(dir).unwrap(),
        fs::canonicalize(buildlet.work_dir()).unwrap()
    );

    let mode = FileMode::from_unix(0o640);
    client
        .put("data".into(), "go/src/data", mode)
        .await
        .unwrap();
    let script = "#!/bin/sh\ncat src/data; echo \" $1\"; exit 3\n";
    client
        .put(script.into(), "go/run", FileMode::from_unix(0o755))
        .await
        .unwrap();
    let running = client
        .start(ExecRequest::new("go/run").arg("a b"))
        .await
        .unwrap();
    let (output, outcome) = running.collect(100).await.unwrap();
    assert_eq!(
        (&output[..], &outcome.state),
        (&b"data a b\n"[..], &ProcessState::Exited(3))
    );
    assert!(
        outcome.usage.is_some() && outcome.enforced.is_some(),
        "{outcome:?}"
    );

    let refused = client.put("x".into(), "../x", mode).await.unwrap_err();
    assert_eq!(refused.status().map(|status| status.as_u16()), Some(400));
    client.remove_all(&["go".into()]).await.unwrap();
    assert!(!buildlet.work_dir().join("go").exists());
}

#[tokio::test]
async fn trees_go_both_ways_in_every_format() {
    let (from, client) = fake();
    fs::create_dir_all(from.work_dir().join("tree/sub")).unwrap();
    fs::write(from.work_dir().join("tree/sub/a"), vec![b'a'; 300_000]).unwrap();
    fs::write(from.work_dir().join("tree/b"), "b").unwrap();
    assert!(client.supports(Extension::Tar).await.unwrap());
    for format in [ArchiveFormat::TarGz, ArchiveFormat::Tar] {
        // From one buildlet to another, with nothing in between kept.
        let (to, other) = fake();
        let archive = client.get_tar("tree", format).await.unwrap();
        assert_eq!(archive.format(), format);
        other.put_tar(archive, "copy").await.unwrap();
        assert_eq!(
            fs::read(to.work_dir().join("copy/sub/a")).unwrap().len(),
            300_000
        );
        let request = ListRequest::new("copy").recursive(true);
        let entries = other
            .list_dir(request)
            .await
            .unwrap()
            .collect()
            .await
            .unwrap();
        let names: Vec<_> = entries
            .iter()
            .map(|entry| entry.name().into_owned())
            .collect();
        assert_eq!(names, ["b", "sub", "sub/a"]);
    }
    let mut plain = client.get_tar("tree", ArchiveFormat::Tar).await.unwrap();
    let mut tar = Vec::new();
    plain.read_to_end(&mut tar).await.unwrap();
    assert_eq!(&tar[257..262], b"ustar");
    let junk = Archive::tar_gz(Content::from("junk"));
    assert_eq!(
        client
            .put_tar(junk, "")
            .await
            .unwrap_err()
            .status()
            .map(|s| s.as_u16()),
        Some(400)
    );
}

#[tokio::test]
async fn a_time_limit_is_kept_by_the_buildlet_and_told() {
    let (_buildlet, client) = fake();
    let request = shell("echo on; sleep 1000 & sleep 1000").timeout(Duration::from_millis(300));
    let running = client.start(request).await.unwrap();
    let (output, outcome) = timeout(LIMIT, running.collect(100)).await.unwrap().unwrap();
    assert_eq!(output, "on\n");
    assert_eq!(outcome.limit, Some(LimitHit::Timeout));
    assert_eq!(
        outcome.success().unwrap_err().outcome().state.to_string(),
        "signal: killed"
    );
    assert_eq!(client.broken(), None);
}

#[tokio::test]
async fn isolation_is_reported_as_it_was_reached() {
    let (_buildlet, client) = fake();
    let request = shell("true").isolation(Isolation::Process);
    let outcome = client.exec(request.into()).await.unwrap();
    let enforced = outcome.enforced.unwrap();
    // Without a launcher there are no resource limits, and the level asked for is not claimed.
    assert!(enforced.by(Mechanism::ProcessGroup), "{enforced}");
    assert_eq!(
        enforced.level() >= Isolation::Process,
        enforced.by(Mechanism::Rlimits),
        "{enforced}"
    );
}

#[tokio::test]
async fn a_dropped_command_takes_all_its_children_with_it() {
    let (buildlet, client) = fake();
    // The grandchild writes for as long as it lives.
    let script = "(while :; do date +%N > beat; sleep 0.01; done) & echo started; wait";
    let mut running = client.start(shell(script)).await.unwrap();
    assert_eq!(running.next_output().await.unwrap().unwrap(), "started\n");
    let beat = buildlet.work_dir().join("beat");
    let end = Instant::now() + LIMIT;
    while !beat.exists() {
        assert!(Instant::now() < end);
        sleep(Duration::from_millis(5)).await;
    }
    drop(running);
    let still = async {
        loop {
            let before = fs::metadata(&beat).unwrap().modified().unwrap();
            sleep(Duration::from_millis(200)).await;
            if fs::metadata(&beat).unwrap().modified().unwrap() == before {
                return;
            }
        }
    };
    timeout(LIMIT, still)
        .await
        .expect("the grandchild lives on");
    client.status().await.unwrap();
}

#[tokio::test]
async fn a_crash_ends_the_client_and_a_new_one_finds_the_files() {
    let (buildlet, client) = fake();
    client
        .put("x".into(), "kept", FileMode::default())
        .await
        .unwrap();
    let running = client.start(shell("sleep 1000")).await.unwrap();
    buildlet.crash();
    assert!(!buildlet.is_up());
    timeout(LIMIT, client.dead()).await.unwrap();
    assert!(running.wait().await.unwrap_err().breaks());
    assert!(matches!(
        client.status().await,
        Err(CallError::Dead(BrokenReason::Unreachable(_)))
    ));

    buildlet.recover();
    let client = buildlet.client(Config::default()).unwrap();
    let listing = client.list_dir(ListRequest::new("")).await.unwrap();
    let entries = listing.collect().await.unwrap();
    assert!(entries.iter().any(|entry| entry.name() == "kept"));
}

#[tokio::test]
async fn closing_halts_it() {
    let (buildlet, client) = fake();
    client.close().await;
    let end = Instant::now() + LIMIT;
    while buildlet.is_up() {
        assert!(Instant::now() < end, "it was not halted");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn it_can_ask_for_a_password() {
    let config = server::Config::default().password("sesame");
    let buildlet = FakeBuildlet::with_config(config).unwrap();
    let client = buildlet.client(Config::default()).unwrap();
    let refused = client.status().await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "buildlet answered 403 Forbidden: invalid password"
    );
    let client = buildlet
        .client(Config::default().password("sesame"))
        .unwrap();
    client.status().await.unwrap();
}
