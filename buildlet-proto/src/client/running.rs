use std::collections::VecDeque;
use std::fmt;
use std::future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, Sleep, sleep_until};

use super::body::{BodyError, Part, ReplyBody};
use super::life::Life;
use super::{BrokenReason, ExecError, Outcome};

/// A command that runs. Its output comes when it is asked for; also as a [`Stream`].
///
/// Who does not read lets it wait, once the buffers on the way are full. Dropping this closes its connection, so that the
/// buildlet kills the command, unless that is [resumable](crate::types::ExecRequest::resumable).
pub struct Running {
    source: Source,
    outcome: Option<Outcome>,
    /// The stream has ended, by an error too.
    over: bool,
}

enum Source {
    Reply(Reply),
    Ready(VecDeque<Bytes>, Option<Outcome>),
}

struct Reply {
    /// `None` after the end.
    body: Option<ReplyBody>,
    deadline: Option<Pin<Box<Sleep>>>,
    /// A deadline leaves the buildlet well: it kills all that the command started.
    kills_all: bool,
    life: Arc<Life>,
}

impl Running {
    pub(super) fn new(
        body: ReplyBody,
        life: Arc<Life>,
        kills_all: bool,
        limit: Option<Duration>,
    ) -> Self {
        let mut running = Self {
            source: Source::Reply(Reply {
                body: Some(body),
                deadline: None,
                kills_all,
                life,
            }),
            outcome: None,
            over: false,
        };
        if let Some(due) = limit.and_then(|limit| Instant::now().checked_add(limit)) {
            running.set_deadline(due);
        }
        running
    }

    /// A command that gives this output and ends so, for mocks.
    #[must_use]
    pub fn ready(output: impl IntoIterator<Item = Bytes>, outcome: Outcome) -> Self {
        let output = output.into_iter().collect();
        Self {
            source: Source::Ready(output, Some(outcome)),
            outcome: None,
            over: false,
        }
    }

    /// Gives up at this time, if that is earlier than what was set before.
    pub fn set_deadline(&mut self, at: Instant) {
        if let Source::Reply(reply) = &mut self.source
            && reply
                .deadline
                .as_ref()
                .is_none_or(|old| at < old.deadline())
        {
            reply.deadline = Some(Box::pin(sleep_until(at)));
        }
    }

    /// More of the output, or `None` when the command has ended.
    ///
    /// Cancel safe: nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// When it is not known how the command ended.
    pub async fn next_output(&mut self) -> Result<Option<Bytes>, ExecError> {
        future::poll_fn(|cx| self.poll_output(cx)).await
    }

    /// Writes the output to `sink` until the command has ended.
    ///
    /// # Errors
    ///
    /// When it is not known how the command ended, or `sink` fails; then the command is killed.
    pub async fn copy_to(
        mut self,
        sink: &mut (impl AsyncWrite + Unpin + ?Sized),
    ) -> Result<Outcome, ExecError> {
        while let Some(output) = self.next_output().await? {
            // A sink that blocks must not keep the deadline from striking.
            let written = sink.write_all(&output);
            self.unless_over(written)
                .await?
                .map_err(ExecError::Output)?;
        }
        sink.flush().await.map_err(ExecError::Output)?;
        self.wait().await
    }

    /// Waits for the end, and drops the output that is left.
    ///
    /// # Errors
    ///
    /// When it is not known how the command ended.
    pub async fn wait(mut self) -> Result<Outcome, ExecError> {
        while self.next_output().await?.is_some() {}
        self.outcome.ok_or(ExecError::NoProcessState)
    }

    /// Waits for the end, and keeps the first `limit` bytes of the output.
    ///
    /// # Errors
    ///
    /// When it is not known how the command ended.
    pub async fn collect(mut self, limit: usize) -> Result<(Bytes, Outcome), ExecError> {
        let mut kept = BytesMut::new();
        while let Some(output) = self.next_output().await? {
            let room = limit - kept.len();
            kept.extend_from_slice(&output[..output.len().min(room)]);
        }
        Ok((kept.freeze(), self.wait().await?))
    }

    /// How the command ended, once the output is at its end.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Waits for `work`, but not longer than the command may run.
    async fn unless_over<T>(&mut self, work: impl Future<Output = T>) -> Result<T, ExecError> {
        let Source::Reply(reply) = &mut self.source else {
            return Ok(work.await);
        };
        let mut work = pin!(work);
        future::poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => reply.poll_over(cx).map(Err),
        })
        .await
    }

    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ExecError>> {
        match &mut self.source {
            Source::Reply(reply) => reply.poll_output(&mut self.outcome, cx),
            Source::Ready(output, end) => {
                let next = output.pop_front();
                if next.is_none() {
                    self.outcome = self.outcome.take().or(end.take());
                }
                Poll::Ready(Ok(next))
            }
        }
    }
}

impl Reply {
    fn poll_output(
        &mut self,
        outcome: &mut Option<Outcome>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, ExecError>> {
        // First, or a command that writes without end would outlive it.
        if let Poll::Ready(over) = self.poll_over(cx) {
            return Poll::Ready(Err(over));
        }
        loop {
            let Some(body) = &mut self.body else {
                return Poll::Ready(match outcome {
                    Some(_) => Ok(None),
                    None => Err(ExecError::NoProcessState),
                });
            };
            match ready!(body.poll_part(cx)) {
                Ok(Part::Data(data)) if data.is_empty() => {}
                Ok(Part::Data(data)) => return Poll::Ready(Ok(Some(data))),
                Ok(Part::Trailers(trailers)) => *outcome = Outcome::from_trailers(&trailers),
                Ok(Part::End) => {
                    self.body = None;
                    if outcome.is_none() {
                        self.life.mark_broken(BrokenReason::NoProcessState);
                    }
                }
                Err(error) => {
                    self.body = None;
                    return Poll::Ready(Err(match error {
                        BodyError::Dead(reason) => ExecError::Dead(reason),
                        BodyError::Cut(error) => {
                            self.life.mark_broken(BrokenReason::OutputCut);
                            ExecError::Cut(error)
                        }
                    }));
                }
            }
        }
    }

    /// Whether time or client are over before the command is. Closes the connection then.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<ExecError> {
        let Some(body) = &mut self.body else {
            return Poll::Pending;
        };
        if let Poll::Ready(reason) = body.poll_dead(cx) {
            self.body = None;
            return Poll::Ready(ExecError::Dead(reason));
        }
        let Some(deadline) = &mut self.deadline else {
            return Poll::Pending;
        };
        ready!(deadline.as_mut().poll(cx));
        self.body = None;
        if !self.kills_all {
            self.life.mark_broken(BrokenReason::ExecTimedOut);
        }
        Poll::Ready(ExecError::TimedOut)
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

impl Stream for Running {
    type Item = Result<Bytes, ExecError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let next = ready!(self.poll_output(cx)).transpose();
        self.over = !matches!(next, Some(Ok(_)));
        Poll::Ready(next)
    }
}
