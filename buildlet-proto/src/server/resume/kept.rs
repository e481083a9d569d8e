use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::window::{Missing, Window};
use crate::exec::{Command, Executor, Outcome, Running};
use crate::server::bridge::Frames;
use crate::types::ext::{KeptCommand, KeptName, Resume, ResumeKey};

/// The commands of a server that outlive their connections, by their names. Dropping it kills them.
///
/// Each has a task that runs it, takes its output into a [`Window`], and ends it when nobody asks for it for too long. A connection
/// only reads from the window.
pub(in crate::server) struct Kept {
    pub(super) limits: Limits,
    commands: Mutex<HashMap<KeptName, Entry>>,
}

/// See [`Config`](crate::server::Config).
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Limits {
    pub(in crate::server) commands: usize,
    pub(in crate::server) grace: Duration,
    /// Of output that was sent, and again of output that was not.
    pub(in crate::server) bytes: usize,
}

/// A command that is to be kept.
pub(in crate::server) struct Start {
    pub(in crate::server) resume: Resume,
    pub(in crate::server) command: Command,
    /// What stands before its output.
    pub(in crate::server) line: Option<String>,
    pub(in crate::server) executor: Arc<Executor>,
    /// Held while it runs.
    pub(in crate::server) permit: OwnedSemaphorePermit,
}

/// Why a command cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeepError {
    /// One with its key runs, or had its part or a later one.
    Conflict,
    /// There are as many as there may be.
    TooMany,
}

/// Why nobody can come back to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttachError {
    /// There is none of this key and part.
    Unknown,
    Missing(Missing),
}

struct Entry {
    key: ResumeKey,
    part: u32,
    state: Arc<watch::Sender<State>>,
    /// Kills the command when it is dropped.
    _task: AbortOnDropHandle<()>,
}

struct State {
    window: Window,
    /// Who reads. A number is never used twice.
    reader: Option<u64>,
    last_reader: u64,
    /// Since when nobody does.
    alone: Instant,
    end: Option<End>,
    /// Its end was sent once.
    delivered: bool,
    /// It is to end, and nobody may come back to it.
    killed: bool,
    /// All that it started is dead.
    gone: bool,
}

#[derive(Clone)]
enum End {
    Outcome(Arc<Outcome>),
    /// The machinery failed.
    Failed(Arc<str>),
}

/// What a connection reads from. Dropping it leaves the command alone.
pub(super) struct Seat {
    state: Arc<watch::Sender<State>>,
    number: u64,
    offset: u64,
}

impl Kept {
    /// How long a command that says nothing of it outlives its connection.
    const GRACE: Duration = Duration::from_secs(120);

    pub(in crate::server) fn new(limits: Limits) -> Self {
        Self {
            limits,
            commands: Mutex::default(),
        }
    }

    /// Whether there may be any.
    pub(in crate::server) fn is_on(&self) -> bool {
        self.limits.commands > 0
    }

    /// Starts a command, to be read by the caller first.
    pub(super) fn start(self: &Arc<Self>, start: Start) -> Result<Seat, KeepError> {
        let mut commands = self.lock();
        let (key, part) = (start.resume.key().clone(), start.resume.part());
        if let Some(old) = commands.get(&key.name()) {
            let has_ended = old.state.borrow().gone;
            if old.key != key || old.part >= part || !has_ended {
                return Err(KeepError::Conflict);
            }
        } else if commands.len() >= self.limits.commands {
            let done = commands.iter().filter(|(_, entry)| {
                let state = entry.state.borrow();
                state.delivered && state.reader.is_none()
            });
            let oldest = done.min_by_key(|(_, entry)| entry.state.borrow().alone);
            let oldest = *oldest.ok_or(KeepError::TooMany)?.0;
            commands.remove(&oldest);
        }
        let grace = start.resume.grace_time().unwrap_or(Self::GRACE);
        let grace = grace.min(self.limits.grace);
        let state = Arc::new(watch::Sender::new(State {
            window: Window::new(self.limits.bytes),
            reader: Some(0),
            last_reader: 0,
            alone: Instant::now(),
            end: None,
            delivered: false,
            killed: false,
            gone: false,
        }));
        let keeper = Keeper {
            kept: Arc::downgrade(self),
            key: key.clone(),
            part,
            state: state.clone(),
            grace,
        };
        let task = AbortOnDropHandle::new(tokio::spawn(keeper.run(start)));
        commands.insert(
            key.name(),
            Entry {
                key,
                part,
                state: state.clone(),
                _task: task,
            },
        );
        Ok(Seat {
            state,
            number: 0,
            offset: 0,
        })
    }

    /// Comes back to a command, of which the caller has `offset` bytes. Whoever read before is cut off: it is the same owner, who
    /// may know of the loss of a connection before this machine does.
    pub(super) fn attach(
        &self,
        key: &ResumeKey,
        part: u32,
        offset: u64,
    ) -> Result<Seat, AttachError> {
        let commands = self.lock();
        let found = commands.get(&key.name());
        let found = found.filter(|entry| entry.key == *key && entry.part == part);
        let state = &found.ok_or(AttachError::Unknown)?.state;
        let mut result = Err(AttachError::Unknown);
        state.send_modify(|now| {
            if now.killed {
                return;
            }
            result = now.window.seek(offset).map_err(AttachError::Missing);
            if result.is_ok() {
                now.last_reader += 1;
                now.reader = Some(now.last_reader);
            }
        });
        result.map(|()| Seat {
            number: state.borrow().last_reader,
            state: state.clone(),
            offset,
        })
    }

    /// Kills commands, all if no names are given, and waits until they are dead.
    pub(super) async fn abandon(&self, names: &[KeptName]) {
        let dying: Vec<_> = {
            let commands = self.lock();
            let all = commands.iter();
            let these = all.filter(|(name, _)| names.is_empty() || names.contains(name));
            these.map(|(_, entry)| entry.state.clone()).collect()
        };
        for state in &dying {
            state.send_modify(|now| now.killed = true);
        }
        for state in dying {
            let mut changes = state.subscribe();
            drop(state);
            // Or its task has gone, which killed it.
            let _ = changes.wait_for(|now| now.gone).await;
        }
    }

    /// Kills all, and does not wait.
    pub(in crate::server) fn end(&self) {
        self.lock().clear();
    }

    /// What there is, in the order of names.
    pub(in crate::server) fn list(&self) -> Vec<KeptCommand> {
        let commands = self.lock();
        let mut list: Vec<_> = (commands.iter())
            .filter_map(|(name, entry)| {
                let now = entry.state.borrow();
                let is_here = !(now.killed && now.gone);
                is_here.then(|| KeptCommand::new(*name, entry.part, now.end.is_none()))
            })
            .collect();
        list.sort_unstable_by_key(|kept| kept.name);
        list
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<KeptName, Entry>> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a command, and keeps it until nobody asks for it for too long.
struct Keeper {
    kept: Weak<Kept>,
    key: ResumeKey,
    part: u32,
    state: Arc<watch::Sender<State>>,
    grace: Duration,
}

impl Keeper {
    async fn run(self, start: Start) {
        if let Some(line) = start.line {
            self.state.send_modify(|now| now.window.push(line.into()));
        }
        let end = match start.executor.spawn(start.command).await {
            Ok(running) => End::Outcome(Arc::new(self.watch(running).await)),
            Err(error) => {
                tracing::error!(error = %crate::server::ssh::Chain(&error), "cannot run a command");
                End::Failed(error.to_string().into())
            }
        };
        drop(start.permit);
        self.state.send_modify(|now| {
            now.end = Some(end);
            now.gone = true;
        });
        self.wait_until_unwanted().await;
        self.remove();
    }

    /// Takes the command's output until it has ended, or is to end.
    async fn watch(&self, mut running: Running) -> Outcome {
        let mut changes = self.state.subscribe();
        loop {
            let (room, over) = {
                let now = changes.borrow_and_update();
                (now.window.has_room(now.reader.is_some()), self.over(&now))
            };
            if over.is_some_and(|at| at <= Instant::now()) {
                self.state.send_modify(|now| now.killed = true);
                running.kill();
                return running.wait().await;
            }
            tokio::select! {
                chunk = running.chunk(), if room => match chunk {
                    Some(chunk) => self.state.send_modify(|now| now.window.push(chunk)),
                    None => return running.wait().await,
                },
                _ = changes.changed() => {} // this has a sender
                () = until(over) => {}
            }
        }
    }

    async fn wait_until_unwanted(&self) {
        let mut changes = self.state.subscribe();
        loop {
            let over = self.over(&changes.borrow_and_update());
            if over.is_some_and(|at| at <= Instant::now()) {
                return;
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = until(over) => {}
            }
        }
    }

    /// When nobody will want it any more, as things stand.
    fn over(&self, now: &State) -> Option<Instant> {
        if now.killed {
            return Some(now.alone);
        }
        match now.reader {
            Some(_) => None,
            None => now.alone.checked_add(self.grace),
        }
    }

    /// Makes place, unless another part has it by now.
    fn remove(&self) {
        let Some(kept) = self.kept.upgrade() else {
            return;
        };
        let mut commands = kept.lock();
        let entry = commands.get(&self.key.name());
        if entry.is_some_and(|entry| entry.part == self.part) {
            commands.remove(&self.key.name());
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Seat {
    /// Sends the output from here on, and the end. Returns early if the client has gone, or another took the seat.
    pub(super) async fn send(mut self, frames: &Frames, trailers: impl Fn(&Outcome) -> HeaderMap) {
        let mut changes = self.state.subscribe();
        loop {
            let (number, offset) = (self.number, self.offset);
            let next = {
                let waiting = changes.wait_for(|now| {
                    now.reader != Some(number) || now.window.end() > offset || now.end.is_some()
                });
                // The sender is here.
                let Ok(now) = waiting.await else { return };
                match (now.reader == Some(number), now.window.read(offset)) {
                    (false, _) => Next::Fail("the command was taken over".into()),
                    (true, Some(piece)) => Next::Output(piece),
                    (true, None) if now.killed => Next::Fail("the command was abandoned".into()),
                    (true, None) => match now.end.clone() {
                        Some(End::Outcome(outcome)) => Next::End(outcome),
                        Some(End::Failed(why)) => Next::Fail(why),
                        None => continue,
                    },
                }
            };
            let sent = match next {
                Next::Output(piece) => {
                    let len = piece.len() as u64;
                    let sent = frames.send(Ok(Frame::data(piece))).await;
                    if sent.is_ok() {
                        self.offset += len;
                        let offset = self.offset;
                        self.state.send_modify(|now| {
                            if now.reader == Some(number) {
                                now.window.sent_to(offset);
                            }
                        });
                    }
                    sent
                }
                Next::End(outcome) => {
                    let sent = frames.send(Ok(Frame::trailers(trailers(&outcome)))).await;
                    if sent.is_ok() {
                        self.state.send_modify(|now| now.delivered = true);
                    }
                    return;
                }
                Next::Fail(why) => frames.send(Err(io::Error::other(&*why))).await,
            };
            if sent.is_err() {
                return;
            }
        }
    }
}

enum Next {
    Output(Bytes),
    End(Arc<Outcome>),
    Fail(Arc<str>),
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.state.send_if_modified(|now| {
            let mine = now.reader == Some(self.number);
            if mine {
                now.reader = None;
                now.alone = Instant::now();
            }
            mine
        });
    }
}
