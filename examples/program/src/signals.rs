use std::io;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Cancels `stop` at the first interrupt (Ctrl-C) or termination signal; a second one ends the process at once.
///
/// The task that listens ends when the handle is dropped.
///
/// # Errors
///
/// When the system gives no signal handler.
pub fn stop_on_signal(stop: CancellationToken) -> io::Result<AbortOnDropHandle<()>> {
    let mut signals = Signals::new()?;
    Ok(AbortOnDropHandle::new(tokio::spawn(async move {
        let name = signals.next().await;
        tracing::info!("{name}: stopping; once more ends at once");
        stop.cancel();
        signals.next().await;
        // What a shell reports of a program that an interrupt ended.
        std::process::exit(130);
    })))
}

/// Cancels `finish` at the first interrupt (Ctrl-C) or termination signal, and `stop` at the second; a third one ends the process at once.
///
/// For programs that can end what they do first, or put it away and go. The task that listens ends when the handle is dropped.
///
/// # Errors
///
/// When the system gives no signal handler.
pub fn finish_then_stop_on_signal(
    finish: CancellationToken,
    stop: CancellationToken,
) -> io::Result<AbortOnDropHandle<()>> {
    let mut signals = Signals::new()?;
    Ok(AbortOnDropHandle::new(tokio::spawn(async move {
        let name = signals.next().await;
        tracing::info!("{name}: ending what runs; once more stops now");
        finish.cancel();
        let name = signals.next().await;
        tracing::info!("{name}: stopping");
        stop.cancel();
        signals.next().await;
        std::process::exit(130);
    })))
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "interrupted",
            _ = self.terminate.recv() => "terminated",
        }
    }
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn new() -> io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) -> &'static str {
        self.0.recv().await;
        "interrupted"
    }
}
