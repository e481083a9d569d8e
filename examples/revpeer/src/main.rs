//! The smallest coordinator: accepts reverse buildlets, and runs a command on each of them.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use buildlet_proto::client::{BuildletClient as _, Config, Exec, HttpClient};
use buildlet_proto::key::MasterKey;
use buildlet_proto::types::ExecRequest;
use clap::Parser;
use program::{LogArgs, stop_on_signal};
use revdial::proto::{Claim, Refusal, Worker};
use revdial::{Accepted, Arrival, FrontDoor, FrontDoorConfig, PickupRegistry, Registered};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Registrations that wait for their turn; more are turned away.
const MAX_WAITING: usize = 64;

/// Accepts reverse buildlets, and runs a command on the first one, or on every one.
///
/// Its self-signed certificate is made at the first start and kept in --state; give buildlets that file with --ca.
#[derive(Parser)]
#[command(
    name = "revpeer",
    after_help = "\
Example, in two terminals:
  revpeer --state=/tmp/revpeer -- uname -a
  buildlet --reverse-type=host-test --coordinator=localhost:8119 --ca=/tmp/revpeer/cert.pem --once"
)]
struct Args {
    #[command(flatten)]
    log: LogArgs,
    /// Listen here
    #[arg(long, value_name = "ADDRESS", default_value = "localhost:8119")]
    listen: String,
    /// The folder that the certificate is kept in
    #[arg(long, value_name = "FOLDER", default_value = "revpeer-state")]
    state: PathBuf,
    /// The file with the master key that buildlets' keys are made of [default: the development key]
    #[arg(long, value_name = "FILE")]
    master_key: Option<PathBuf>,
    /// Go on after the first machine, until interrupted
    #[arg(long)]
    keep: bool,
    /// What to run; looked for on the buildlet's PATH
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

fn main() -> ExitCode {
    program::run(|args: Args| {
        args.log.start();
        tokio::runtime::Runtime::new()
            .context("cannot start the runtime")?
            .block_on(serve(args))
    })
}

async fn serve(args: Args) -> anyhow::Result<ExitCode> {
    let master = match &args.master_key {
        Some(file) => {
            let content = std::fs::read(file).with_context(|| file.display().to_string())?;
            MasterKey::from_file_content(&content)?
        }
        None => MasterKey::development(),
    };
    let has_key = move |claim: &Claim| match claim.worker() {
        Worker::Buildlet { host_type, key, .. } if master.verify(host_type, key) => Ok(()),
        _ => Err(Refusal::INVALID_KEY),
    };
    let door = FrontDoor::new(FrontDoorConfig::default(), PickupRegistry::new(), has_key)?;
    let acceptor = program::self_signed_acceptor(&args.state, &["localhost".to_owned()])?;
    let listener = TcpListener::bind(&args.listen)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    tracing::info!("waiting for buildlets on {}", listener.local_addr()?);

    let stop = CancellationToken::new();
    let _signals = stop_on_signal(stop.clone())?;
    let (arrived, mut machines) = mpsc::channel(MAX_WAITING);
    let doors = door.serve(
        listener,
        move |tcp| {
            let acceptor = acceptor.clone();
            async move { Ok(Arrival::tls(acceptor.accept(tcp).await?)) }
        },
        move |accepted| {
            let arrived = arrived.clone();
            async move {
                match accepted {
                    // Dropped, its machine is free again.
                    Ok(Accepted::Registered(machine)) => drop(arrived.try_send(machine)),
                    Ok(_) => {}
                    Err(error) => tracing::warn!("{error}"),
                }
            }
        },
    );
    let drive = async {
        while let Some(machine) = machines.recv().await {
            let code = run_on(machine, &args.command).await?;
            if !args.keep {
                return Ok(code);
            }
        }
        bail!("the front door is closed")
    };
    tokio::select! {
        never = doors => match never {},
        done = drive => done,
        () = stop.cancelled() => Ok(ExitCode::SUCCESS),
    }
}

/// Runs the command, and hands the machine back by halting it.
async fn run_on(machine: Registered, command: &[String]) -> anyhow::Result<ExitCode> {
    let name = machine.claim.host_name().to_owned();
    let client = HttpClient::new(machine.dialer, &name, Config::default())?;
    let version = client.status().await?.version();
    tracing::info!(
        "{name} has registered, {:?}, version {version}",
        machine.claim.worker()
    );
    let (program, args) = command.split_first().context("there is no command")?;
    let request = ExecRequest::new(program).args(args).system_level(true);
    let outcome = client
        .exec(Exec::from(request).output(tokio::io::stdout()))
        .await?;
    client.close().await;
    Ok(match outcome.success() {
        Ok(_) => ExitCode::SUCCESS,
        Err(failed) => {
            tracing::error!("{name}: {failed}");
            ExitCode::FAILURE
        }
    })
}
