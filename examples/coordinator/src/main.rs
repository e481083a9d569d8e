//! Builds the commits of git repositories on buildlets, and shows them.

mod administer;
mod args;
mod check;
mod client;
mod init;
mod progress;
mod remote;
mod repository;
mod serve;
mod setup;
mod shown;
mod state;
mod system;
mod terminal;

use std::process::ExitCode;

use anyhow::Context as _;

use crate::args::{Args, Command, OnceArgs};
use crate::client::Client;

/// Threads for what blocks: files, names of hosts, messages that are sent.
const BLOCKING_THREADS: usize = 32;

fn main() -> ExitCode {
    // The machines of the pool of local processes are this program too.
    if let Some(code) = buildlet::run_if_asked() {
        return code;
    }
    program::run(|args: Args| {
        args.log.start_quietly();
        match &args.command {
            Some(Command::Init(init)) => init::run(init),
            Some(Command::Check(check)) => check::run(check, &args.run.config),
            Some(Command::Schema) => {
                print!("{}", dashboard_config::json_schema());
                Ok(ExitCode::SUCCESS)
            }
            Some(Command::Request(request)) => {
                let client = Client::new(&args.server)?;
                block_on(remote::run(&client, request))
            }
            Some(Command::Run(once @ OnceArgs { once: true, .. })) => {
                serve(serve::once(&args.run, once))
            }
            None | Some(Command::Run(_)) => serve(serve::forever(&args.run)),
        }
    })
}

/// Runs what serves.
fn serve(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    // Each machine has some connections.
    program::raise_file_limit();
    block_on(work)
}

fn block_on(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread()
        // They wait for the disk, mostly. More would not make it faster, and each keeps memory of its own.
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(work)
}
