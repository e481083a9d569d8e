//! A network that loses every packet, in a namespace of its own: nobody hangs up, it is just silent.

use std::env;
use std::process::Command;
use std::time::{Duration, Instant};

use buildlet_proto::client::BuildletClient as _;
use tokio::task::block_in_place;
use tokio::time::timeout;

use crate::coordinator::Coordinator;
use crate::faults::{LEAVES_TRACES, pids, start, worker};
use crate::process::{is_alive, until_within};

/// Keep-alives are 30 s apart, and one may be unacknowledged for 60 s.
const COORDINATOR_NOTICES: Duration = Duration::from_secs(90);
/// `ListenerConfig::max_silence`.
const WORKER_NOTICES: Duration = Duration::from_secs(100);
/// For a busy machine.
const LATE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_notice_that_no_packet_arrives_and_meet_again_when_they_do() {
    const THIS: &str = "loss::both_sides_notice_that_no_packet_arrives_and_meet_again_when_they_do";
    let Some(network) = Network::alone(THIS) else {
        return;
    };
    let mut coordinator = Coordinator::start().await;
    let workdir = tempfile::tempdir().unwrap();
    let (mut worker, client) = worker(&mut coordinator, workdir.path()).await;
    let running = start(&client, LEAVES_TRACES).await;
    let pids = pids(workdir.path());

    network.lose_all();
    let lost = Instant::now();
    timeout(COORDINATOR_NOTICES + LATE, running.wait())
        .await
        .expect("the coordinator notices")
        .expect_err("nobody knows what became of the command");
    block_in_place(|| {
        let rest = (WORKER_NOTICES + LATE).saturating_sub(lost.elapsed());
        worker.wait_longer_for("session ended", rest);
        until_within(
            LATE,
            "nobody listens to the command, so it is killed",
            || !pids.iter().any(|pid| is_alive(*pid)),
        );
    });

    network.lose_nothing();
    let client = coordinator.client().await;
    client.status().await.expect("the worker is back");
}

/// The loopback device of a network namespace in which this process is alone with its children.
struct Network {
    tc: harness::Program,
}

impl Network {
    const INSIDE: &str = "TEST_IN_NETWORK_OF_ITS_OWN";

    /// In the namespace: the network. Outside: runs the test `name` there, and says with `None` that it has.
    fn alone(name: &str) -> Option<Self> {
        let ip = harness::tool_or_skip("ip")?;
        let tc = harness::tool_or_skip("tc")?;
        if env::var_os(Self::INSIDE).is_some() {
            run(ip.command().args(["link", "set", "lo", "up"]));
            return Some(Self { tc });
        }
        if !harness::required() {
            eprintln!("skipped: it takes two minutes; REQUIRE_INTEROP=1 has it run");
            return None;
        }
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--net", "--"]);
        let tried = Command::new("unshare")
            .args(unshare.get_args())
            .arg("true")
            .output()
            .expect("util-linux is everywhere");
        if !tried.status.success() {
            let why = String::from_utf8_lossy(&tried.stderr);
            eprintln!("skipped: no network namespaces here: {why}");
            return None;
        }
        let test = unshare
            .arg(env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(Self::INSIDE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&test.stdout);
        let errors = String::from_utf8_lossy(&test.stderr);
        assert!(
            test.status.success() && said.contains("1 passed"),
            "{said}{errors}"
        );
        None
    }

    fn lose_all(&self) {
        run(self
            .tc
            .command()
            .args(["qdisc", "add", "dev", "lo", "root", "blackhole"]));
    }

    fn lose_nothing(&self) {
        run(self
            .tc
            .command()
            .args(["qdisc", "del", "dev", "lo", "root"]));
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
}
