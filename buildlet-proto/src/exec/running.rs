use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{Enforcement, Outcome};

/// A command that runs.
///
/// Dropping it kills the command and all that it started.
#[derive(Debug)]
pub struct Running {
    enforced: Enforcement,
    chunks: mpsc::Receiver<Bytes>,
    kill: CancellationToken,
    end: End,
}

#[derive(Debug)]
enum End {
    Coming(AbortOnDropHandle<Outcome>),
    Here(Outcome),
}

impl Running {
    pub(super) fn new(
        task: JoinHandle<Outcome>,
        chunks: mpsc::Receiver<Bytes>,
        kill: CancellationToken,
        enforced: Enforcement,
    ) -> Self {
        Self {
            enforced,
            chunks,
            kill,
            end: End::Coming(AbortOnDropHandle::new(task)),
        }
    }

    /// A command that could not be started.
    pub(super) fn failed(text: String, enforced: Enforcement) -> Self {
        let (_, chunks) = mpsc::channel(1);
        Self {
            enforced: enforced.clone(),
            chunks,
            kill: CancellationToken::new(),
            end: End::Here(Outcome::failed(text, enforced)),
        }
    }

    /// What keeps the command from the rest of the machine.
    #[must_use]
    pub fn enforced(&self) -> &Enforcement {
        &self.enforced
    }

    /// The next piece of what the command writes to its standard output and standard error, in the order in which it writes; `None`
    /// at the end. Who does not ask makes the command wait, once the queue is full.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is lost.
    pub async fn chunk(&mut self) -> Option<Bytes> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// As [`chunk`](Self::chunk), for bodies and streams.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.chunks.poll_recv(cx)
    }

    /// Ends the command and all that it started; [`wait`](Self::wait) tells when that is done.
    pub fn kill(&self) {
        self.kill.cancel();
    }

    /// Waits for the end of the command and of its output; output that was not asked for yet is thrown away.
    ///
    /// Call it when [`chunk`](Self::chunk) gave `None`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future kills the command.
    pub async fn wait(mut self) -> Outcome {
        while self.chunk().await.is_some() {}
        match self.end {
            End::Here(outcome) => outcome,
            End::Coming(task) => match task.await {
                Ok(outcome) => outcome,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => Outcome::failed("the runtime was shut down", self.enforced),
            },
        }
    }
}
