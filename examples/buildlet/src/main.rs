//! A worker: serves the buildlet protocol, to callers or through a coordinator that it registers with.

mod args;
mod listen;
mod machine;
mod metadata;
mod reverse;
mod session;

use std::process::ExitCode;

use anyhow::Context as _;
use buildlet_proto::exec;
use program::stop_on_signal;
use tokio_util::sync::CancellationToken;

use crate::args::{Args, Config, Mode};

fn main() -> ExitCode {
    if let Some(code) = exec::supervise_if_asked() {
        return code;
    }
    program::run(|args: Args| {
        args.log.start();
        let config = args.config()?;
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .context("cannot start the runtime")?
            .block_on(serve(config))
    })
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let stop = CancellationToken::new();
    let _signals = stop_on_signal(stop.clone())?;
    match &config.mode {
        Mode::Listen(listen) => listen::serve(listen, &config, stop).await,
        Mode::Reverse(reverse) => reverse::serve(reverse, &config, stop).await,
    }
}
