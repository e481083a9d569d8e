//! What a command costs: `/bin/true` from call to result, beside a bare spawn by tokio; and asked for over HTTP, beside a round trip.

use std::process::{ExitCode, Stdio};

use buildlet_proto::client::{self, BuildletClient as _, HttpClient};
use buildlet_proto::exec::{self, Command, Config, Executor, Isolation, Launcher};
use buildlet_proto::server::{self, Server};
use buildlet_proto::types::ExecRequest;
use buildlet_proto::workdir::Workdir;
use criterion::{Criterion, criterion_group};
use tokio::io::AsyncReadExt as _;
use tokio::runtime::Runtime;

/// The same with nothing around it: a child whose output is read to its end.
async fn bare() {
    let mut child = tokio::process::Command::new("/bin/true")
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("true starts");
    let mut output = Vec::new();
    let mut pipe = child.stdout.take().expect("it is piped");
    pipe.read_to_end(&mut output)
        .await
        .expect("a pipe can be read");
    assert!(child.wait().await.expect("it ends").success());
}

async fn with(executor: &Executor, isolation: Isolation) {
    let command = Command::new("/bin/true").isolation(isolation);
    let running = executor.spawn(command).await.expect("supervisors start");
    assert!(running.wait().await.state.is_success());
}

fn run_true(c: &mut Criterion) {
    let runtime = Runtime::new().expect("the runtime starts");
    let direct = Executor::default();
    let supervised = Executor::new(Config::default().launcher(Launcher::this_program()));
    let mut group = c.benchmark_group("exec/true");
    group.bench_function("bare", |b| b.iter(|| runtime.block_on(bare())));
    for (name, executor, isolation) in [
        ("direct", &direct, Isolation::None),
        ("supervised", &supervised, Isolation::None),
        ("process", &supervised, Isolation::Process),
        ("sandbox", &supervised, Isolation::Sandbox),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| runtime.block_on(with(executor, isolation)));
        });
    }
    group.finish();
}

/// What a coordinator sees: a request, and the reply with its trailers, on a connection that is kept.
fn ask_for_true(c: &mut Criterion) {
    let runtime = Runtime::new().expect("the runtime starts");
    let folder = tempfile::tempdir().expect("there is room for a directory");
    let mut group = c.benchmark_group("exec/asked");
    for (name, config) in [
        ("direct", Config::default()),
        (
            "supervised",
            Config::default().launcher(Launcher::this_program()),
        ),
    ] {
        let client = runtime.block_on(async {
            let workdir = Workdir::open(folder.path()).expect("it is there");
            let config = server::Config::default().executor(Executor::new(config));
            let server = Server::new(workdir, config).expect("the defaults are sound");
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
            let listener = listener.expect("there are ports");
            let address = listener.local_addr().expect("it has one").to_string();
            tokio::spawn(async move {
                server
                    .serve(server::tcp(listener), Default::default())
                    .await
            });
            HttpClient::tcp(&address, client::Config::default()).expect("a sound address")
        });
        group.bench_function(format!("{name}/round trip"), |b| {
            b.iter(|| runtime.block_on(client.status()).expect("it answers"));
        });
        group.bench_function(format!("{name}/true"), |b| {
            b.iter(|| {
                runtime.block_on(async {
                    let request = ExecRequest::new("/bin/true").system_level(true).dir(".");
                    let running = client.start(request).await.expect("it answers");
                    let outcome = running.wait().await.expect("it ends");
                    outcome.success().expect("true is true");
                });
            });
        });
    }
    group.finish();
}

criterion_group!(benches, run_true, ask_for_true);

fn main() -> ExitCode {
    // Supervisors are this program.
    if let Some(code) = exec::supervise_if_asked() {
        return code;
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
    ExitCode::SUCCESS
}
