//! From the start of a command to its end: who waits for what, and for how long.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::direct::{Direct, Sweep};
#[cfg(target_os = "linux")]
use super::supervisor::Supervised;
use super::{Enforcement, Outcome};
use crate::types::ProcessState;
use crate::types::ext::{LimitHit, Usage};

/// How long killing is tried before what cannot be killed is left behind.
#[cfg(target_os = "linux")]
pub(super) const KILL_LIMIT: Duration = Duration::from_secs(5);
/// How long the parent of a command is waited for in all when everything is to be killed: its own attempts and some time to tell.
const GIVE_UP: Duration = Duration::from_secs(12);
/// How long the end of the output is waited for when all writers that were found are dead.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// What the parent of a command tells.
#[derive(Debug)]
pub(super) enum Event {
    /// The command itself ended.
    Exited {
        state: ProcessState,
        /// For sure, nothing that it started is left. [`Event::Gone`] comes without being asked for.
        alone: bool,
    },
    /// All is gone, or was given up. Comes last.
    Gone(Gone),
}

/// What is known when all is gone.
#[derive(Debug, Default)]
pub(super) struct Gone {
    pub(super) usage: Usage,
    /// How many processes the command had left behind, and were killed.
    pub(super) strays: usize,
    /// How many could not be killed.
    pub(super) left: usize,
    /// The command went over its memory limit.
    pub(super) out_of_memory: bool,
    /// Why nothing is known.
    pub(super) lost: Option<String>,
}

impl Gone {
    pub(super) fn lost(why: impl Into<String>) -> Self {
        Self {
            lost: Some(why.into()),
            ..Self::default()
        }
    }
}

/// The parent process of a command. Dropped, it kills the command and all that it started.
#[derive(Debug)]
pub(super) enum Parent {
    /// This process.
    Direct(Direct),
    /// A supervisor.
    #[cfg(target_os = "linux")]
    Supervised(Box<Supervised>),
}

impl Parent {
    /// Cancel safe.
    async fn event(&mut self) -> Event {
        match self {
            Self::Direct(direct) => direct.event().await,
            #[cfg(target_os = "linux")]
            Self::Supervised(supervised) => supervised.event().await,
        }
    }

    /// Asks the command to end.
    fn terminate(&self) {
        match self {
            Self::Direct(direct) => direct.terminate(),
            #[cfg(target_os = "linux")]
            Self::Supervised(supervised) => supervised.terminate(),
        }
    }

    /// Kills the command and all that it started.
    fn kill(&self) {
        match self {
            Self::Direct(direct) => direct.kill(),
            #[cfg(target_os = "linux")]
            Self::Supervised(supervised) => supervised.kill(),
        }
    }

    /// Kills what is left after the command itself ended.
    fn finish(&self, sweep: Sweep) {
        match self {
            Self::Direct(direct) => direct.finish(sweep),
            // It knows all that is left without looking.
            #[cfg(target_os = "linux")]
            Self::Supervised(supervised) => supervised.kill(),
        }
    }
}

/// The bounds of a command's run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) timeout: Option<Duration>,
    pub(super) output_bytes: Option<u64>,
    /// How long a command that is to end may take before it is killed.
    pub(super) terminate: Duration,
    /// How long processes that keep the output open may outlive the command.
    pub(super) linger: Option<Duration>,
    pub(super) chunk_bytes: usize,
}

/// What runs a command from its start to its outcome.
#[derive(Debug)]
pub(super) struct Watch {
    parent: Parent,
    output: Output,
    bounds: Bounds,
    started: Instant,
    stage: Stage,
    /// When the stage ends by itself.
    deadline: Option<Instant>,
    /// Set as soon as the command is to end before its time.
    cut: Option<Cut>,
    state: Option<ProcessState>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The command runs, until the timeout.
    Running,
    /// It was asked to end, and is killed if it takes too long.
    Terminating,
    /// It was killed, and its end is waited for.
    Killing,
    /// It ended, and others hold its output.
    Lingering,
    /// What it left behind is being killed.
    Finishing,
}

/// Why a command is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Limit(LimitHit),
    Asked,
}

impl Watch {
    pub(super) fn new(
        parent: Parent,
        pipe: pipe::Receiver,
        chunks: mpsc::Sender<Bytes>,
        bounds: Bounds,
    ) -> Self {
        let started = Instant::now();
        Self {
            parent,
            output: Output::new(pipe, chunks, bounds.chunk_bytes),
            bounds,
            started,
            stage: Stage::Running,
            deadline: bounds.timeout.and_then(|limit| started.checked_add(limit)),
            cut: None,
            state: None,
        }
    }

    /// Runs until the command has ended, all that it started is dead, and all output is taken.
    ///
    /// Dropped before that, all is killed.
    pub(super) async fn run(mut self, kill: CancellationToken, enforced: Enforcement) -> Outcome {
        let gone = loop {
            tokio::select! {
                event = self.parent.event() => match event {
                    Event::Exited { state, alone } => self.exited(state, alone),
                    Event::Gone(gone) => break gone,
                },
                () = self.output.step(), if self.takes_output() => self.output_moved(),
                () = kill.cancelled(), if self.cut.is_none() => self.cut(Cut::Asked),
                () = sleep_until_some(self.deadline) => match self.stage {
                    Stage::Running => self.cut(Cut::Limit(LimitHit::Timeout)),
                    Stage::Terminating => self.kill(),
                    Stage::Lingering => self.finish(Sweep::Everything),
                    Stage::Killing | Stage::Finishing => break Gone::lost("killed, but it does not end"),
                },
            }
        };
        let wall = self.started.elapsed();
        if !self.takes_output() {
            self.output.close();
        }
        self.output.drain().await;
        self.outcome(&gone, wall, enforced)
    }

    fn exited(&mut self, state: ProcessState, alone: bool) {
        self.state = Some(state);
        if alone {
            self.enter(Stage::Finishing, Some(GIVE_UP));
        } else if self.cut.is_some() {
            self.finish(Sweep::Everything);
        } else if self.output.is_open() {
            self.enter(Stage::Lingering, self.bounds.linger);
        } else {
            self.finish(Sweep::Group);
        }
    }

    /// When there was too much output, the pipe stays open and is not read: closed, it would end the command by another signal.
    fn takes_output(&self) -> bool {
        self.output.is_open() && self.cut != Some(Cut::Limit(LimitHit::Output))
    }

    fn output_moved(&mut self) {
        let over = |limit| self.output.taken_bytes > limit;
        if self.cut.is_none() && self.bounds.output_bytes.is_some_and(over) {
            self.cut(Cut::Limit(LimitHit::Output));
        } else if !self.output.is_open() && self.stage == Stage::Lingering {
            self.finish(Sweep::Group);
        }
    }

    fn cut(&mut self, why: Cut) {
        self.cut = Some(why);
        match self.stage {
            Stage::Running if self.bounds.terminate.is_zero() => self.kill(),
            Stage::Running => {
                self.parent.terminate();
                self.enter(Stage::Terminating, Some(self.bounds.terminate));
            }
            Stage::Lingering => self.finish(Sweep::Everything),
            Stage::Terminating | Stage::Killing | Stage::Finishing => {}
        }
    }

    fn kill(&mut self) {
        self.parent.kill();
        self.enter(Stage::Killing, Some(GIVE_UP));
    }

    fn finish(&mut self, sweep: Sweep) {
        self.parent.finish(sweep);
        self.enter(Stage::Finishing, Some(GIVE_UP));
    }

    fn enter(&mut self, stage: Stage, limit: Option<Duration>) {
        self.stage = stage;
        self.deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    }

    fn outcome(self, gone: &Gone, wall: Duration, enforced: Enforcement) -> Outcome {
        let lost = || {
            let why = gone.lost.clone();
            ProcessState::Other(why.unwrap_or_else(|| "its end is not known".to_owned()))
        };
        let limit = match self.cut {
            Some(Cut::Limit(limit)) => Some(limit),
            Some(Cut::Asked) | None if gone.out_of_memory => Some(LimitHit::Memory),
            Some(Cut::Asked) | None => None,
        };
        Outcome {
            state: self.state.unwrap_or_else(lost),
            limit,
            killed: self.cut == Some(Cut::Asked),
            enforced,
            usage: Usage {
                wall: Some(wall),
                ..gone.usage.clone()
            },
            strays: gone.strays,
            left: gone.left,
        }
    }
}

async fn sleep_until_some(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The way of the output from the command's pipe to whoever reads it.
#[derive(Debug)]
struct Output {
    pipe: Option<pipe::Receiver>,
    chunks: mpsc::Sender<Bytes>,
    buffer: BytesMut,
    chunk_bytes: usize,
    /// Read, and waiting for room in the queue. Meanwhile the pipe fills, and then the command waits.
    pending: Option<Bytes>,
    taken_bytes: u64,
}

impl Output {
    fn new(pipe: pipe::Receiver, chunks: mpsc::Sender<Bytes>, chunk_bytes: usize) -> Self {
        Self {
            pipe: Some(pipe),
            chunks,
            buffer: BytesMut::new(),
            chunk_bytes,
            pending: None,
            taken_bytes: 0,
        }
    }

    /// Whether there may be more to read or to hand on.
    fn is_open(&self) -> bool {
        self.pipe.is_some() || self.pending.is_some()
    }

    /// Reads no more. What was read is still handed on.
    fn close(&mut self) {
        self.pipe = None;
    }

    /// Reads a chunk or hands one on. Cancel safe.
    async fn step(&mut self) {
        if self.pending.is_some() {
            let room = self.chunks.reserve().await;
            let chunk = self.pending.take();
            match (room, chunk) {
                (Ok(room), Some(chunk)) => room.send(chunk),
                // Nobody reads: the command need not write.
                _ => self.pipe = None,
            }
            return;
        }
        let Some(pipe) = &mut self.pipe else { return };
        match read_chunk(pipe, &mut self.buffer, self.chunk_bytes).await {
            Ok(chunk) if !chunk.is_empty() => {
                self.taken_bytes += chunk.len() as u64;
                match self.chunks.try_reserve() {
                    Ok(room) => room.send(chunk),
                    Err(_) => self.pending = Some(chunk),
                }
            }
            // An error of a pipe is as final as its end.
            Ok(_) | Err(_) => self.pipe = None,
        }
    }

    /// Hands on the rest. Whoever still has the pipe open could not be killed, and is not waited for.
    async fn drain(&mut self) {
        while self.is_open() {
            if self.pending.is_some() {
                self.step().await;
            } else if tokio::time::timeout(DRAIN_LIMIT, self.step())
                .await
                .is_err()
            {
                self.close();
            }
        }
    }
}

/// Reads what there is, at most `limit` bytes. No bytes are the end.
async fn read_chunk(
    pipe: &mut pipe::Receiver,
    buffer: &mut BytesMut,
    limit: usize,
) -> io::Result<Bytes> {
    // Small chunks share the allocation, which is used up before there is another.
    if buffer.capacity() < limit.div_ceil(8) {
        buffer.reserve(limit);
    }
    pipe.read_buf(buffer).await?;
    Ok(buffer.split().freeze())
}
