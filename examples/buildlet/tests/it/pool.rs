//! A process pool that starts this program.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use buildlet_pool::{
    BuildletPool as _, Lease, LeaseRequest, LostReason, ProcessConfig, ProcessPool, Program,
    ReverseConfig, ReversePool, StartError, Verdict,
};
use buildlet_proto::client::Exec;
use buildlet_proto::types::ExecRequest;
use revdial::{Accepted, Arrival, FrontDoor, FrontDoorConfig, PickupRegistry};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::process::{PATIENCE, is_alive, signal, until};

const HOST_TYPE: &str = "host-local";

/// A coordinator with machines of its own.
struct Coordinator {
    pool: ProcessPool,
    state: PathBuf,
    _door: AbortOnDropHandle<()>,
}

impl Coordinator {
    async fn start(state: &Path, count: usize) -> Self {
        let buildlet = Program::new(env!("CARGO_BIN_EXE_buildlet"), [""; 0]);
        let started = Self::try_start(state, buildlet, count).await;
        started.expect("it starts")
    }

    async fn try_start(state: &Path, program: Program, count: usize) -> Result<Self, StartError> {
        let reverse = ReversePool::new(ReverseConfig::default()).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap().to_string();
        let names = ["127.0.0.1".to_owned()];
        let acceptor = program::self_signed_acceptor(&state.join("tls"), &names).unwrap();
        let door = FrontDoorConfig::default();
        let door = FrontDoor::new(door, PickupRegistry::new(), reverse.clone()).unwrap();
        let admitting = reverse.clone();
        let serving = async move {
            let arrive = move |tcp| {
                let acceptor = acceptor.clone();
                async move { Ok(Arrival::tls(acceptor.accept(tcp).await?)) }
            };
            let handle = move |accepted| {
                let pool = admitting.clone();
                async move {
                    if let Ok(Accepted::Registered(machine)) = accepted {
                        pool.admit(machine);
                    }
                }
            };
            match door.serve(tcp, arrive, handle).await {}
        };
        let door = AbortOnDropHandle::new(tokio::spawn(serving));
        let config = ProcessConfig::new(program, address, state.join("machines"))
            .certificate(state.join("tls/cert.pem"))
            .count(count)
            .stop_limit(Duration::from_secs(8));
        let pool = ProcessPool::start(config, reverse).await?;
        Ok(Self {
            pool,
            state: state.to_owned(),
            _door: door,
        })
    }

    async fn lease(&self) -> Lease {
        let lease = self.pool.get_buildlet(LeaseRequest::new(HOST_TYPE));
        match timeout(PATIENCE, lease).await {
            Ok(lease) => lease.expect("the pool is open"),
            Err(_) => panic!("no machine in time: {:?}", self.pool.processes()),
        }
    }

    /// The folders of processes.
    fn folders(&self) -> Vec<PathBuf> {
        folders(&self.state)
    }
}

fn folders(state: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(state.join("machines")) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_dir()).collect()
}

async fn shell(lease: &Lease, script: &str) -> String {
    let command = ExecRequest::new("sh")
        .args(["-c", script])
        .dir(".")
        .system_level(true);
    let running = lease.client().start(command).await.unwrap();
    let (output, outcome) = running.collect(1 << 20).await.unwrap();
    outcome.success().unwrap();
    String::from_utf8(output.to_vec()).unwrap()
}

/// Starts a command that ends with its lease at the latest, and returns its process.
async fn hang(lease: &Lease, state: &Path) -> u32 {
    let file = state.join("hanging");
    let script = format!(
        "echo $$ > {0}.new && mv {0}.new {0} && exec sleep 1000",
        file.display()
    );
    let command = ExecRequest::new("sh")
        .args(["-c", &script])
        .dir(".")
        .system_level(true);
    let client = lease.client().clone();
    // How it ends is not what is tested.
    tokio::spawn(async move { client.exec(Exec::from(command)).await });
    let read = || fs::read_to_string(&file).ok()?.trim().parse().ok();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(pid) = read() {
            fs::remove_file(&file).unwrap();
            return pid;
        }
        assert!(tokio::time::Instant::now() < deadline, "it does not start");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_lease_has_a_process_and_a_folder_of_its_own() {
    let state = tempfile::tempdir().unwrap();
    let coordinator = Coordinator::start(state.path(), 1).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let lease = coordinator.lease().await;
        assert_eq!(
            shell(&lease, "ls; touch left-behind; chmod 500 .").await,
            "gocache\ngoplscache\ntmp\n"
        );
        seen.push(shell(&lease, "pwd").await);
        lease.release(Verdict::Healthy);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 3);
    let lease = coordinator.lease().await;
    until("the other folders are gone", || {
        coordinator.folders().len() == 1
    });
    drop(lease);
    timeout(PATIENCE, coordinator.pool.shutdown())
        .await
        .unwrap();
    assert!(coordinator.folders().is_empty());
    assert!(
        coordinator
            .pool
            .processes()
            .iter()
            .all(|one| one.pid.is_none())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_are_as_many_leases_as_processes() {
    let state = tempfile::tempdir().unwrap();
    let coordinator = Coordinator::start(state.path(), 2).await;
    let (one, _two) = (coordinator.lease().await, coordinator.lease().await);
    let request = LeaseRequest::new(HOST_TYPE).wait_limit(Duration::from_millis(50));
    coordinator.pool.get_buildlet(request).await.unwrap_err();
    drop(one);
    drop(coordinator.lease().await);
    coordinator.pool.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_leaves_daemons_behind_leaves_none() {
    let state = tempfile::tempdir().unwrap();
    let coordinator = Coordinator::start(state.path(), 1).await;
    let lease = coordinator.lease().await;
    let hanging = hang(&lease, state.path()).await;
    let daemon = shell(&lease, "setsid sleep 1000 >/dev/null 2>&1 & echo $!").await;
    let daemon: u32 = daemon.trim().parse().unwrap();
    drop(lease);
    until("all of it is gone", || {
        !is_alive(hanging) && !is_alive(daemon)
    });
    drop(coordinator.lease().await);
    coordinator.pool.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_buildlet_that_is_killed_is_replaced() {
    let state = tempfile::tempdir().unwrap();
    let coordinator = Coordinator::start(state.path(), 1).await;
    let lease = coordinator.lease().await;
    let hanging = hang(&lease, state.path()).await;
    let pid = coordinator.pool.processes()[0].pid.unwrap();
    signal(pid, "KILL");
    let reason = timeout(PATIENCE, lease.lost()).await.unwrap();
    assert!(matches!(reason, LostReason::Disconnected(_)), "{reason}");
    until("its command is gone", || !is_alive(hanging));
    let lease = coordinator.lease().await;
    assert_ne!(coordinator.pool.processes()[0].pid, Some(pid));
    until("its folder is gone", || coordinator.folders().len() == 1);
    drop(lease);
    coordinator.pool.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_is_no_buildlet_is_told_of_and_leaves_nothing() {
    let state = tempfile::tempdir().unwrap();
    for (program, args, says) in [
        ("/no/such/program", &[][..], "cannot start /no/such/program"),
        (
            "/bin/sh",
            &["-c", "echo out of memory >&2; exit 3", "sh"][..],
            "out of memory",
        ),
    ] {
        let program = Program::new(program, args);
        let coordinator = Coordinator::try_start(state.path(), program, 1)
            .await
            .unwrap();
        until("it is told of", || {
            let status = coordinator.pool.processes().remove(0);
            status.failures > 1 && status.last_failure.contains(says)
        });
        timeout(PATIENCE, coordinator.pool.shutdown())
            .await
            .unwrap();
        assert!(coordinator.folders().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_folder_is_for_one_pool() {
    let state = tempfile::tempdir().unwrap();
    let first = Coordinator::start(state.path(), 1).await;
    let program = Program::new("/bin/false", [""; 0]);
    let second = Coordinator::try_start(state.path(), program, 1).await;
    assert!(matches!(second, Err(StartError::InUse { .. })));
    first.pool.shutdown().await;
}

/// The coordinator of the tests below, in a process of its own: says which processes there are, and waits to be killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "other tests start it as a process"]
async fn coordinator_to_be_killed() {
    let Some(state) = env::var_os("STATE_OF_COORDINATOR").map(PathBuf::from) else {
        return;
    };
    let mut lease = None;
    let (coordinator, command) = if env::var_os("PROGRAM_HANGS").is_some() {
        let program = Program::new("/bin/sh", ["-c", "while :; do sleep 1; done", "sh"]);
        let coordinator = Coordinator::try_start(&state, program, 1).await.unwrap();
        let started = || folders(&state).iter().any(|one| one.join("pid").exists());
        until("it starts", || {
            started() && coordinator.pool.processes()[0].pid.is_some()
        });
        (coordinator, 0)
    } else {
        let coordinator = Coordinator::start(&state, 1).await;
        let lease = lease.insert(coordinator.lease().await);
        let command = hang(lease, &state).await;
        (coordinator, command)
    };
    let pid = coordinator.pool.processes()[0].pid.unwrap();
    fs::write(state.join("ready.new"), format!("{pid} {command}")).unwrap();
    fs::rename(state.join("ready.new"), state.join("ready")).unwrap();
    std::future::pending::<()>().await;
}

/// Starts that coordinator, kills it, and returns the processes of its buildlet and its command.
fn killed_coordinator(state: &TempDir, env: &[(&str, &str)]) -> (u32, u32) {
    let mut coordinator = Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "pool::coordinator_to_be_killed"])
        .env("STATE_OF_COORDINATOR", state.path())
        .envs(env.iter().copied())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let ready = state.path().join("ready");
    until("it works", || ready.exists());
    coordinator.kill().unwrap();
    coordinator.wait().unwrap();
    let pids = fs::read_to_string(ready).unwrap();
    let (buildlet, command) = pids.split_once(' ').unwrap();
    (buildlet.parse().unwrap(), command.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_is_killed_leaves_folders_alone_and_the_next_removes_them() {
    let state = tempfile::tempdir().unwrap();
    let (buildlet, command) = killed_coordinator(&state, &[]);
    until("its processes end", || {
        !is_alive(buildlet) && !is_alive(command)
    });
    let left = folders(state.path());
    assert_eq!(left.len(), 1);
    let next = Coordinator::start(state.path(), 1).await;
    assert!(!left[0].exists());
    drop(next.lease().await);
    next.pool.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_outlived_its_coordinator_is_found_and_ended() {
    let state = tempfile::tempdir().unwrap();
    // One that hangs does not notice that its coordinator is gone.
    let (process, _) = killed_coordinator(&state, &[("PROGRAM_HANGS", "1")]);
    assert!(is_alive(process));
    let left = folders(state.path());
    assert_eq!(left.len(), 1);
    let next = Coordinator::start(state.path(), 1).await;
    assert!(!is_alive(process));
    assert!(!left[0].exists());
    next.pool.shutdown().await;
}
