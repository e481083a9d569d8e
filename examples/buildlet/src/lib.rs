//! A worker: serves the buildlet protocol, to callers or through a coordinator that it registers with.
//!
//! It is a library so that another program can be a buildlet as well, when it starts itself again: see [`run_if_asked`].

mod args;
mod listen;
mod machine;
mod metadata;
mod reverse;
mod session;

use std::env;
use std::ffi::OsString;
use std::iter;
use std::process::ExitCode;

use anyhow::Context as _;
use buildlet_proto::exec;
use program::stop_on_signal;
use tokio_util::sync::CancellationToken;

use crate::args::{Args, Config, Mode};

/// The first argument of a program that is to be a buildlet; the others are those of `buildlet`.
pub const AS_BUILDLET: &str = "--as-buildlet";

/// The program `buildlet`, or the supervisor of a command if it was started as one.
#[must_use]
pub fn run() -> ExitCode {
    match exec::supervise_if_asked() {
        Some(code) => code,
        None => run_with(env::args_os()),
    }
}

/// Is a buildlet, or the supervisor of a command, if the program was started as one: `main` then returns the exit code. Else returns `None`
/// at once. To be called at the beginning of `main`, before threads are started.
///
/// ```no_run
/// # use std::process::ExitCode;
/// fn main() -> ExitCode {
///     if let Some(code) = buildlet::run_if_asked() {
///         return code;
///     }
///     // ... what the program does else, which may start itself with `--as-buildlet`
/// #   ExitCode::SUCCESS
/// }
/// ```
#[must_use]
pub fn run_if_asked() -> Option<ExitCode> {
    if let Some(code) = exec::supervise_if_asked() {
        return Some(code);
    }
    let mut args = env::args_os();
    let name = args.next()?;
    let asked = args.next()? == AS_BUILDLET;
    asked.then(|| run_with(iter::once(name).chain(args)))
}

fn run_with(args: impl Iterator<Item = OsString>) -> ExitCode {
    program::run_with(args, |args: Args| {
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
