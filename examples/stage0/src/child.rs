//! The buildlet as it runs.

use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::signals::{Signals, kill_group};

/// What is added to the environment: times, and what a service manager may leave out.
pub(crate) struct Delays {
    pub(crate) network: Duration,
    pub(crate) download: Duration,
}

/// Runs the buildlet until it ends, passing signals on to it; after one that asks it to end, for at most `stop_limit`.
pub(crate) async fn run(
    binary: &Path,
    arguments: &[OsString],
    delays: &Delays,
    signals: &mut Signals,
    stop_limit: Duration,
) -> anyhow::Result<Ended> {
    let mut command = Command::new(binary);
    command
        .args(arguments)
        .envs(environment(delays))
        .kill_on_drop(true);
    // A group of its own, or what is typed at a terminal would reach it twice.
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot run {}", binary.display()))?;
    let id = child.id();
    let asked = loop {
        tokio::select! {
            status = child.wait() => return Ok(Ended { status: status?, asked: false }),
            signal = signals.next() => {
                tracing::info!("{}: passing it on to the buildlet", signal.name());
                signal.pass_on(&mut child, id);
                if signal.ends() {
                    break signal;
                }
            }
        }
    };
    let deadline = tokio::time::sleep(stop_limit);
    tokio::pin!(deadline);
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            // Whoever asks twice means it: the buildlet decides what that is.
            signal = signals.next() => signal.pass_on(&mut child, id),
            () = &mut deadline => {
                tracing::warn!("{stop_limit:?} after {} it still runs: killing it", asked.name());
                kill_group(&mut child, id);
                // Nothing survives that but what hangs in the kernel.
                break timeout(stop_limit, child.wait()).await.context("it cannot even be killed")??;
            }
        }
    };
    Ok(Ended {
        status,
        asked: true,
    })
}

/// How the buildlet ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// Whether it was asked to.
    pub(crate) asked: bool,
}

impl Ended {
    /// As a shell tells it.
    pub(crate) fn exit_code(&self) -> ExitCode {
        #[cfg(unix)]
        if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&self.status) {
            return ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX));
        }
        ExitCode::from(
            self.status
                .code()
                .and_then(|code| u8::try_from(code).ok())
                .unwrap_or(u8::MAX),
        )
    }
}

fn environment(delays: &Delays) -> Vec<(OsString, OsString)> {
    // Whole milliseconds; finer is noise.
    let time = |delay: Duration| format!("{}ms", delay.as_millis()).into();
    let mut added = vec![
        ("GO_STAGE0_NET_DELAY".into(), time(delays.network)),
        ("GO_STAGE0_DL_DELAY".into(), time(delays.download)),
    ];
    #[cfg(unix)]
    if rustix::process::geteuid().is_root() {
        let missing = |name: &str| std::env::var_os(name).is_none_or(|value| value.is_empty());
        for (name, value) in [("USER", "root"), ("HOME", "/root")] {
            if missing(name) {
                added.push((name.into(), value.into()));
            }
        }
    }
    added
}
