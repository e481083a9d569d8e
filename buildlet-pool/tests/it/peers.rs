//! Upstream's buildlet as a machine of the pool.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use buildlet_pool::{
    BuildletPool as _, HostPolicy, LeaseRequest, LostReason, MachineState, Reuse, ReverseConfig,
    Verdict,
};
use buildlet_proto::types::{ExecRequest, FileMode};
use harness::Program;
use revdial::serve_tls::{Acceptor, server_config, tolerant};
use revdial::{Accepted, Arrival};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::crypto::ring;
use tokio_util::task::AbortOnDropHandle;

use crate::coordinator::{Coordinator, HOST_TYPE, only, until, within};

/// A supervisor's view of a buildlet: started again whenever it ends. Killed when dropped.
struct GoBuildlet {
    child: Child,
    dir: TempDir,
    program: Program,
    address: String,
}

impl GoBuildlet {
    fn start(program: Program, address: String) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let child = spawn(&program, &dir, &address);
        Self {
            child,
            dir,
            program,
            address,
        }
    }

    fn restart(&mut self) {
        self.child.wait().unwrap();
        self.child = spawn(&self.program, &self.dir, &self.address);
    }

    fn kill(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}

impl Drop for GoBuildlet {
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}

fn spawn(program: &Program, dir: &TempDir, address: &str) -> Child {
    let mut command = program.command();
    command
        .arg("-workdir")
        .arg(dir.path())
        .args(["-halt=false", "-health-addr=127.0.0.1:0"])
        .args(["-reverse-type", HOST_TYPE, "-hostname", "go-1"])
        .args(["-coordinator", address])
        .current_dir(dir.path())
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Opens the coordinator's door to the network, over TLS, on a port that is not 443.
async fn listen(coordinator: &Coordinator) -> (String, AbortOnDropHandle<()>) {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = pair.signing_key.serialize_der().try_into().unwrap();
    let provider = tolerant(ring::default_provider());
    let config = server_config(provider, vec![pair.cert.into()], key).unwrap();
    let tls = Acceptor::new(Arc::new(config)).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // With a port in the name, which Go sends as it is.
    let address = format!("localhost:{}", tcp.local_addr().unwrap().port());
    let (door, pool) = (coordinator.door().clone(), coordinator.pool.clone());
    let serving = async move {
        let arrive = move |tcp: TcpStream| {
            let tls = tls.clone();
            async move { Ok(Arrival::tls(tls.accept(tcp).await?)) }
        };
        let handle = move |accepted| {
            let pool = pool.clone();
            async move {
                if let Ok(Accepted::Registered(machine)) = accepted {
                    pool.admit(machine);
                }
            }
        };
        match door.serve(tcp, arrive, handle).await {}
    };
    (address, AbortOnDropHandle::new(tokio::spawn(serving)))
}

#[tokio::test]
async fn a_go_buildlet_is_leased_cleaned_watched_and_halted() {
    let Some(program) = harness::upstream_or_skip("buildlet") else {
        return;
    };
    let config = ReverseConfig::default()
        .health_interval(Duration::from_millis(100))
        // It does not kill what commands left behind, so this is not for it.
        .default_policy(HostPolicy::default().reuse(Reuse::Cleaned));
    let coordinator = Coordinator::new(config);
    let (address, _door) = listen(&coordinator).await;
    let mut buildlet = GoBuildlet::start(program, address);
    let work_dir = buildlet.dir.path().to_owned();
    std::fs::write(work_dir.join("of-an-earlier-life"), "x").unwrap();

    let get = || async {
        let request = LeaseRequest::new(HOST_TYPE);
        within("a lease", coordinator.pool.get_buildlet(request))
            .await
            .unwrap()
    };
    let lease = get().await;
    assert_eq!(
        (&*lease.machine().host_name, &*lease.machine().version),
        ("go-1", "29")
    );
    assert!(
        !lease.machine().keeps_commands,
        "its commands end with their connection"
    );
    assert!(!work_dir.join("of-an-earlier-life").exists());
    let script = "#!/bin/sh\necho built in `pwd`\n".into();
    let mode = FileMode::from_unix(0o755);
    lease.client().put(script, "make.sh", mode).await.unwrap();
    let running = lease
        .client()
        .start(ExecRequest::new("make.sh"))
        .await
        .unwrap();
    let (output, outcome) = running.collect(1000).await.unwrap();
    let output = String::from_utf8_lossy(&output);
    assert_eq!(output.trim(), format!("built in {}", work_dir.display()));
    outcome.success().unwrap();
    lease.release(Verdict::Healthy);

    // It halts, and its supervisor starts it again.
    until("it leaves", || {
        coordinator.pool.status().machines().count() == 0
    })
    .await;
    buildlet.restart();
    coordinator.until(MachineState::Idle, 1).await;

    // Idle, it is asked whether it lives.
    until("it is asked", || {
        let status = coordinator.pool.status();
        let one = status.machines().next().unwrap();
        one.connected_for > Duration::from_millis(300)
            && one.seen_before < Duration::from_millis(200)
    })
    .await;

    // Killed in a lease, it is missed at once.
    let lease = get().await;
    let sleep = ExecRequest::new("sleep").arg("1000").system_level(true);
    let running = lease.client().start(sleep).await.unwrap();
    buildlet.kill();
    let reason = within("it is lost", lease.lost()).await;
    assert!(matches!(reason, LostReason::Disconnected(_)), "{reason}");
    assert!(running.wait().await.is_err());
    drop(lease);
    buildlet.restart();
    coordinator.until(MachineState::Idle, 1).await;
    let id = only(&coordinator.pool);
    assert_eq!(
        coordinator
            .pool
            .status()
            .machines()
            .next()
            .unwrap()
            .failures,
        1
    );
    assert!(coordinator.pool.set_drained(id, true));
}
