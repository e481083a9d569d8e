use std::fs;

use buildlet_proto::client::BuildletClient as _;
use buildlet_proto::types::ExecRequest;
use revdial::proto::Flavor;

use crate::coordinator::{Coordinator, GOMOTE, client_of};
use crate::process::{Buildlet, buildlet};

fn shell(script: &str) -> ExecRequest {
    ExecRequest::new("sh")
        .args(["-c", script])
        .dir(".")
        .system_level(true)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_registers_and_works() {
    let mut coordinator = Coordinator::start().await;
    let workdir = tempfile::tempdir().unwrap();
    let _worker =
        Buildlet::start(coordinator.worker(&["-workdir", workdir.path().to_str().unwrap()]));
    let machine = coordinator.machine().await;
    assert_eq!(machine.claim.host_name(), "worker-1");
    let client = client_of(machine);
    let (output, outcome) = client
        .start(shell("echo hello"))
        .await
        .unwrap()
        .collect(100)
        .await
        .unwrap();
    assert_eq!(&output[..], b"hello\n");
    outcome.success().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_halted_worker_comes_back() {
    let mut coordinator = Coordinator::start().await;
    let workdir = tempfile::tempdir().unwrap();
    let _worker =
        Buildlet::start(coordinator.worker(&["-workdir", workdir.path().to_str().unwrap()]));
    coordinator.client().await.close().await;
    coordinator.client().await.status().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_for_one_session_ends_with_it() {
    let mut coordinator = Coordinator::start().await;
    let workdir = tempfile::tempdir().unwrap();
    let mut worker = Buildlet::start(coordinator.worker(&[
        "--once",
        "-workdir",
        workdir.path().to_str().unwrap(),
    ]));
    coordinator.client().await.close().await;
    assert_eq!(worker.status().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_cannot_prove_who_it_is_gets_no_key() {
    let coordinator = Coordinator::start().await;
    let mut command = buildlet();
    command
        .args(["-reverse-type=host-test", "--once", "--health-addr=none"])
        .arg(format!("-coordinator={}", coordinator.address));
    let mut worker = Buildlet::start(command);
    let line = worker.wait_for("certificate");
    assert_eq!(worker.status().code(), Some(1), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_key_is_no_reason_to_try_again() {
    let coordinator = Coordinator::start().await;
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    fs::write(&key, "0123456789abcdef0123456789abcdef\n").unwrap();
    let mut command = coordinator.worker(&["-workdir", folder.path().to_str().unwrap()]);
    command
        .env("GO_BUILD_KEY_PATH", &key)
        .env("GO_BUILD_KEY_DELETE_AFTER_READ", "1");
    let mut worker = Buildlet::start(command);
    worker.wait_for("invalid build key");
    assert_eq!(worker.status().code(), Some(1));
    assert!(!key.exists(), "the key file is deleted once it was read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_is_told_without_a_coordinator() {
    let coordinator = Coordinator::start().await;
    let workdir = tempfile::tempdir().unwrap();
    let mut command = buildlet();
    command
        .args(["-reverse-type=host-test", "-health-addr=127.0.0.1:0"])
        .arg(format!("-coordinator={}", coordinator.address))
        .arg("--ca")
        .arg(coordinator.certificate())
        .arg("-workdir")
        .arg(workdir.path());
    let mut worker = Buildlet::start(command);
    let line = worker.wait_for("/healthz on ");
    let address = line.rsplit_once("/healthz on ").unwrap().1.to_owned();
    let config = buildlet_proto::client::Config::default();
    let client = buildlet_proto::client::HttpClient::tcp(&address, config).unwrap();
    // Nothing else is served there.
    let refused = client.status().await.unwrap_err();
    assert_eq!(refused.status().map(|status| status.as_u16()), Some(404));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gomote_registers_by_its_token_and_commands_do_not_see_it() {
    let mut coordinator = Coordinator::start_for(Flavor::Gomote).await;
    let workdir = tempfile::tempdir().unwrap();
    let mut command = buildlet();
    command
        .arg("-swarming-bot")
        .arg(format!("-gomote-server-addr={}", coordinator.address))
        .arg("--ca")
        .arg(coordinator.certificate())
        .args(["--health-addr=none", "-workdir"])
        .arg(workdir.path())
        .env("GOMOTEID", GOMOTE.0)
        .env("GO_BUILDLET_TOKEN", GOMOTE.1);
    let _worker = Buildlet::start(command);
    let client = coordinator.client().await;
    let running = client.start(shell("env")).await.unwrap();
    let (output, _) = running.collect(1 << 20).await.unwrap();
    let output = String::from_utf8_lossy(&output).into_owned();
    assert!(output.contains("GOMOTEID=user-linux-amd64-1"), "{output}");
    assert!(!output.contains(GOMOTE.1), "{output}");
}

#[test]
fn a_gomote_without_a_name_says_what_is_missing() {
    let output = buildlet().arg("--swarming-bot").output().unwrap();
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("GOMOTEID"), "{errors}");
}
