use std::fmt;

use tokio::io::AsyncWrite;
use tokio::time::Instant;

use crate::types::ExecRequest;

/// A command to run, and what becomes of it here.
pub struct Exec {
    pub(super) request: ExecRequest,
    pub(super) output: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    pub(super) on_started: Option<Box<dyn FnOnce() + Send>>,
    pub(super) deadline: Option<Instant>,
}

impl From<ExecRequest> for Exec {
    fn from(request: ExecRequest) -> Self {
        Self {
            request,
            output: None,
            on_started: None,
            deadline: None,
        }
    }
}

impl Exec {
    /// Where standard output and standard error go, mixed as they come; by default nowhere. It is flushed at the end.
    #[must_use]
    pub fn output(mut self, sink: impl AsyncWrite + Send + Unpin + 'static) -> Self {
        self.output = Some(Box::new(sink));
        self
    }

    /// Called when the buildlet says that it starts the command.
    #[must_use]
    pub fn on_started(mut self, hook: impl FnOnce() + Send + 'static) -> Self {
        self.on_started = Some(Box::new(hook));
        self
    }

    /// Gives up at this time, and closes the connection, so that the buildlet kills the command. None by default.
    #[must_use]
    pub fn deadline(mut self, at: Instant) -> Self {
        self.deadline = Some(at);
        self
    }

    /// The command.
    #[must_use]
    pub fn request(&self) -> &ExecRequest {
        &self.request
    }

    /// The command and where its output goes, for those who implement [`BuildletClient`](super::BuildletClient) themselves.
    #[must_use]
    pub fn into_parts(self) -> (ExecRequest, Option<Box<dyn AsyncWrite + Send + Unpin>>) {
        (self.request, self.output)
    }
}

impl fmt::Debug for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exec")
            .field("request", &self.request)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
