//! Commands as children of this process: each has a thread that starts it, waits for it and reaps it.

use std::io::{self, PipeWriter};
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, waitid};
use tokio::sync::{mpsc as async_mpsc, oneshot};
use wait4::Wait4 as _;

#[cfg(target_os = "linux")]
use super::processes::{self, Family};
use super::start::Start;
use super::watch::{Event, Gone};
use crate::types::ProcessState;
use crate::types::ext::Usage;

/// What becomes of a command: it exited, and it is gone.
const EVENTS: usize = 2;

/// The handle of a command whose parent is this process. Dropped, it kills the command.
#[derive(Debug)]
pub(super) struct Direct {
    target: KillOnDrop,
    events: async_mpsc::Receiver<Event>,
    sweep: mpsc::Sender<Sweep>,
}

/// How thoroughly what is left of a command is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sweep {
    /// In its process group. Needs no look at other processes.
    Group,
    /// Everywhere.
    Everything,
}

impl Direct {
    /// Starts the command; the inner error is a text for the trailer.
    pub(super) async fn start(
        start: Start,
        output: PipeWriter,
    ) -> io::Result<Result<Self, String>> {
        let (started_sender, started) = oneshot::channel();
        let (events_sender, events) = async_mpsc::channel(EVENTS);
        let (sweep, sweep_receiver) = mpsc::channel();
        let thread = thread::Builder::new().name("exec".to_owned());
        thread.spawn(move || {
            #[cfg(target_os = "linux")]
            let pipe = processes::pipe_name(&output);
            let child = match start.spawn(output) {
                Ok(child) => child,
                Err(text) => return drop(started_sender.send(Err(text))),
            };
            let pid = Pid::from_child(&child);
            let target = Arc::new(Target {
                leader: Mutex::new(Some(pid)),
                pid,
                #[cfg(target_os = "linux")]
                family: Family::Of { leader: pid, pipe },
            });
            // Whether nobody waits any more, or stops waiting before this is received: what is dropped kills.
            drop(started_sender.send(Ok(KillOnDrop(Arc::clone(&target)))));
            mind(child, &target, &events_sender, &sweep_receiver);
        })?;
        let started = started
            .await
            .map_err(|_| io::Error::other("the thread of a command panicked"))?;
        Ok(started.map(|target| Self {
            target,
            events,
            sweep,
        }))
    }

    /// What happened next. Cancel safe.
    pub(super) async fn event(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => event,
            None => Event::Gone(Gone::lost("the thread of the command panicked")),
        }
    }

    /// Sends the group a signal that a program can react to.
    pub(super) fn terminate(&self) {
        self.target.0.signal_group(Signal::TERM);
    }

    /// Kills everything.
    pub(super) fn kill(&self) {
        self.target.kill();
    }

    /// Kills what is left after the command itself ended. [`Event::Gone`] comes next.
    pub(super) fn finish(&self, sweep: Sweep) {
        // Only a thread that panicked listens no more; `event` tells.
        let _ = self.sweep.send(sweep);
    }
}

/// Waits for the command, and sees to what it leaves.
fn mind(
    child: Child,
    target: &Target,
    events: &async_mpsc::Sender<Event>,
    sweep: &mpsc::Receiver<Sweep>,
) {
    let state = target.wait();
    // There is room. The receiver may be gone: then `sweep` is as well.
    let _ = events.try_send(Event::Exited {
        state,
        alone: false,
    });
    let sweep = sweep.recv().unwrap_or(Sweep::Everything);
    let gone = target.finish(child, sweep);
    let _ = events.try_send(Event::Gone(gone));
}

/// Whom a command's signals go to.
#[derive(Debug)]
struct Target {
    /// The command's process, until it is reaped. As long as it is not, nobody else has its number, alive or not; so whoever sends
    /// signals holds the lock.
    leader: Mutex<Option<Pid>>,
    pid: Pid,
    #[cfg(target_os = "linux")]
    family: Family,
}

impl Target {
    /// How the process ended, without reaping it.
    fn wait(&self) -> ProcessState {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        match rustix::io::retry_on_intr(|| waitid(WaitId::Pid(self.pid), options)) {
            Ok(Some(status)) => state_of(&status),
            Ok(None) => ProcessState::Other("waitid: no status".to_owned()),
            // If this program ignores the deaths of its children, the system reaps them.
            Err(errno) => ProcessState::Other(format!("waitid: {errno}")),
        }
    }

    fn leader(&self) -> MutexGuard<'_, Option<Pid>> {
        self.leader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal_group(&self, signal: Signal) {
        if let Some(leader) = *self.leader() {
            send(leader, signal);
        }
    }

    /// Kills the process, its group, and what else can be found. Takes a while.
    fn kill(&self) {
        let leader = self.leader();
        let Some(pid) = *leader else { return };
        // What is stopped starts nothing more, and keeps its descendants recognisable.
        #[cfg(target_os = "linux")]
        {
            send(pid, Signal::STOP);
            self.family.kill(super::watch::KILL_LIMIT);
        }
        send(pid, Signal::KILL);
    }

    /// Kills the rest of a command that ended, and reaps it.
    fn finish(&self, mut child: Child, sweep: Sweep) -> Gone {
        let mut gone = Gone::default();
        // Elsewhere nothing but the group can be found.
        #[cfg(not(target_os = "linux"))]
        let _ = sweep;
        #[cfg(target_os = "linux")]
        if sweep == Sweep::Everything {
            let killed = self.family.kill(super::watch::KILL_LIMIT);
            (gone.strays, gone.left) = (killed.count, killed.left);
        }
        let mut leader = self.leader();
        send(self.pid, Signal::KILL);
        if let Ok(result) = child.wait4() {
            gone.usage = usage_of(&result.rusage);
        }
        *leader = None;
        gone
    }
}

fn send(group: Pid, signal: Signal) {
    // Fails if none of the group is left.
    let _ = rustix::process::kill_process_group(group, signal);
}

pub(super) fn usage_of(rusage: &wait4::ResourceUsage) -> Usage {
    Usage {
        user: Some(rusage.utime),
        system: Some(rusage.stime),
        peak_memory_bytes: Some(rusage.maxrss),
        ..Usage::default()
    }
}

fn state_of(status: &WaitIdStatus) -> ProcessState {
    if let Some(signal) = status.terminating_signal() {
        return ProcessState::Signaled {
            signal: crate::types::Signal::from_number(signal),
            core_dumped: status.dumped(),
        };
    }
    match status.exit_status() {
        Some(0) => ProcessState::Success,
        Some(code) => ProcessState::Exited(code),
        None => ProcessState::Other("waitid: no end".to_owned()),
    }
}

#[derive(Debug)]
struct KillOnDrop(Arc<Target>);

impl KillOnDrop {
    /// Kills on a thread of its own: looking for descendants takes milliseconds.
    fn kill(&self) {
        if self.0.leader().is_none() {
            return;
        }
        let target = Arc::clone(&self.0);
        let thread = thread::Builder::new().name("exec-kill".to_owned());
        if thread.spawn(move || target.kill()).is_err() {
            self.0.signal_group(Signal::KILL);
        }
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        self.kill();
    }
}
