//! What may happen to a build: each side dies at each step, and the other neither hangs nor leaves anything behind.

use std::fs;
use std::path::Path;
use std::time::Duration;

use buildlet_proto::client::{Archive, BuildletClient as _, Content, HttpClient, Running};
use buildlet_proto::types::ExecRequest;
use buildlet_proto::types::ext::{Resume, ResumeKey};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::coordinator::{Coordinator, client_of};
use crate::process::{Buildlet, PATIENCE, is_alive, until};

/// A command that tells its process and that of a grandchild which left its session, then waits for ever.
pub(crate) const LEAVES_TRACES: &str = "setsid sh -c 'echo $$ > far.new; mv far.new far; sleep 1000' & \
    echo $$ > near.new; mv near.new near; sleep 1000";

pub(crate) async fn worker(
    coordinator: &mut Coordinator,
    workdir: &Path,
) -> (Buildlet, HttpClient) {
    let worker = Buildlet::start(coordinator.worker(&["-workdir", workdir.to_str().unwrap()]));
    (worker, coordinator.client().await)
}

pub(crate) async fn start(client: &HttpClient, script: &str) -> Running {
    let request = ExecRequest::new("sh")
        .args(["-c", script])
        .dir(".")
        .system_level(true);
    client.start(request).await.unwrap()
}

pub(crate) fn pids(workdir: &Path) -> [u32; 2] {
    ["near", "far"].map(|name| {
        let file = workdir.join(name);
        until("the command begins", || file.exists());
        fs::read_to_string(file).unwrap().trim().parse().unwrap()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_gone_takes_the_whole_process_tree_with_it() {
    let mut coordinator = Coordinator::start().await;
    let workdir = tempfile::tempdir().unwrap();
    let (_worker, client) = worker(&mut coordinator, workdir.path()).await;
    let running = start(&client, LEAVES_TRACES).await;
    let pids = pids(workdir.path());
    drop(running);
    until("all are killed", || !pids.iter().any(|pid| is_alive(*pid)));
    client.status().await.expect("the worker serves on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_dies_during_a_command_finds_the_worker_back_and_the_command_gone() {
    let mut coordinator = Coordinator::start().await;
    let workdir = tempfile::tempdir().unwrap();
    let (_worker, client) = worker(&mut coordinator, workdir.path()).await;
    let running = start(&client, LEAVES_TRACES).await;
    let pids = pids(workdir.path());
    // As at kill -9: the kernel closes what the process had open.
    drop((running, client));
    let mut coordinator = coordinator.restart().await;
    let client = coordinator.client().await;
    until("all are killed", || !pids.iter().any(|pid| is_alive(*pid)));
    client.status().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_is_to_outlive_its_coordinator_is_found_again_and_ends_when_its_worker_halts()
 {
    let mut coordinator = Coordinator::start().await;
    let workdir = tempfile::tempdir().unwrap();
    let (_worker, client) = worker(&mut coordinator, workdir.path()).await;
    let key = ResumeKey::from_bytes([5; 24]);
    let script = format!("echo before; {LEAVES_TRACES}");
    let request = ExecRequest::new("sh").args(["-c", &script]).dir(".");
    let resume = Resume::new(key.clone(), 0).grace(PATIENCE);
    let request = request.system_level(true).resumable(resume);
    let running = client.start(request).await.unwrap();
    let pids = pids(workdir.path());
    drop((running, client));
    let mut coordinator = coordinator.restart().await;
    let client = coordinator.client().await;
    let mut running = client.attach(&key, 0, 3).await.expect("it goes on");
    let more = timeout(PATIENCE, running.next_output()).await;
    assert_eq!(more.unwrap().unwrap().unwrap(), "ore\n");
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    assert!(client.status().await.unwrap().kept()[0].running);

    // To halt ends what is kept as well; then the worker begins anew.
    drop(running);
    client.close().await;
    until("all are killed", || !pids.iter().any(|pid| is_alive(*pid)));
    let client = coordinator.client().await;
    assert!(client.status().await.unwrap().kept().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_during_a_command_is_a_failure_of_the_machinery() {
    let mut coordinator = Coordinator::start().await;
    let workdir = tempfile::tempdir().unwrap();
    let (worker, client) = worker(&mut coordinator, workdir.path()).await;
    let running = start(&client, "echo $$ > near.new; mv near.new near; sleep 1000").await;
    until("the command begins", || {
        workdir.path().join("near").exists()
    });
    worker.signal("KILL");
    let error = timeout(PATIENCE, running.wait())
        .await
        .expect("it is noticed")
        .unwrap_err();
    assert!(error.breaks(), "{error}");
    let pid = fs::read_to_string(workdir.path().join("near"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    until("the command dies with its buildlet", || !is_alive(pid));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_while_idle_is_missed_at_once() {
    let mut coordinator = Coordinator::start().await;
    let workdir = tempfile::tempdir().unwrap();
    let worker =
        Buildlet::start(coordinator.worker(&["-workdir", workdir.path().to_str().unwrap()]));
    let machine = coordinator.machine().await;
    worker.signal("KILL");
    timeout(PATIENCE, machine.dialer.closed())
        .await
        .expect("not after the next health check");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_dies_during_an_upload_leaves_a_worker_that_serves_on() {
    let mut coordinator = Coordinator::start().await;
    let workdir = tempfile::tempdir().unwrap();
    let (_worker, client) = worker(&mut coordinator, workdir.path()).await;
    for sent in [0, 1, 512, 1000, 100_000] {
        let (mut body, reader) = tokio::io::duplex(1 << 20);
        let archive = Archive::tar_gz(Content::from_reader(reader));
        let upload = client.put_tar(archive, "up");
        tokio::pin!(upload);
        // Noise from the second byte on: neither whole nor right.
        let bytes: Vec<u8> = [0x1f, 0x8b]
            .into_iter()
            .chain((0..).map(|n: u32| n.to_le_bytes()[0]))
            .take(sent)
            .collect();
        let _ = timeout(Duration::from_millis(50), async {
            tokio::select! {
                done = &mut upload => drop(done),
                () = async { body.write_all(&bytes).await.unwrap(); std::future::pending().await } => {}
            }
        })
        .await;
    }
    client.status().await.expect("the worker serves on");
    start(&client, "true")
        .await
        .wait()
        .await
        .unwrap()
        .success()
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_killed_during_an_upload_ends_the_upload() {
    let mut coordinator = Coordinator::start().await;
    let workdir = tempfile::tempdir().unwrap();
    let (worker, client) = worker(&mut coordinator, workdir.path()).await;
    let (mut body, reader) = tokio::io::duplex(1 << 10);
    let upload = tokio::spawn(async move {
        client
            .put_tar(Archive::tar_gz(Content::from_reader(reader)), "up")
            .await
    });
    body.write_all(&[0x1f, 0x8b, 8, 0]).await.unwrap();
    worker.signal("KILL");
    let result = timeout(PATIENCE, upload)
        .await
        .expect("it is noticed")
        .unwrap();
    assert!(result.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_waits_for_a_coordinator_that_is_away() {
    let mut coordinator = Coordinator::start().await;
    let workdir = tempfile::tempdir().unwrap();
    let mut worker =
        Buildlet::start(coordinator.worker(&["-workdir", workdir.path().to_str().unwrap()]));
    let machine = coordinator.machine().await;
    drop(client_of(machine));
    let mut coordinator = coordinator.restart().await;
    worker.wait_for("session ended");
    coordinator.client().await.status().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_and_survived() {
    let mut coordinator = Coordinator::start().await;
    let Some(disk) = SmallDisk::mount() else {
        println!("SKIPPED: no file system of one mebibyte, which only root can mount");
        return;
    };
    let (_worker, client) = worker(&mut coordinator, disk.0.path()).await;
    let zeros = vec![0; 4 << 20];
    let mode = buildlet_proto::types::FileMode::from_unix(0o644);
    let error = client
        .put(Content::from(zeros), "big", mode)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no space left"), "{error}");
    client.remove_all(&["big".to_owned()]).await.unwrap();
    client
        .put(Content::from("small"), "small", mode)
        .await
        .unwrap();
}

/// A file system in memory, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "none"])
            .arg(folder.path())
            .output()
            .ok()?;
        mounted.status.success().then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the worker may still hold it.
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(self.0.path())
            .status();
    }
}
