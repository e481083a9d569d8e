//! The processes that belong to a channel, and the signals they get.

#[cfg(unix)]
use std::sync::atomic::{AtomicI32, Ordering};

#[cfg(target_os = "linux")]
use rustix::process::kill_process;
#[cfg(unix)]
use rustix::process::{Pid, Signal, kill_process_group};

#[cfg(target_os = "linux")]
use crate::exec::processes;

/// How often the jobs of a session are looked for and killed; each time finds only what was started meanwhile.
#[cfg(unix)]
const KILL_ROUNDS: usize = 16;

/// The processes of a command; killed when dropped.
pub(crate) struct Group {
    /// 0 once all are killed: the number may then be another's.
    #[cfg(unix)]
    leader: AtomicI32,
    /// Whether `leader` leads a session, in which there may be other groups.
    #[cfg(unix)]
    session: bool,
}

#[cfg(unix)]
impl Group {
    /// The group that the process `id` leads.
    pub(crate) fn of(id: Option<u32>) -> Self {
        Self::new(id, false)
    }

    /// All groups of the session that the process `id` leads.
    pub(crate) fn of_session(id: Option<u32>) -> Self {
        Self::new(id, true)
    }

    fn new(id: Option<u32>, session: bool) -> Self {
        let leader = id.and_then(|id| i32::try_from(id).ok()).unwrap_or(0);
        Self {
            leader: AtomicI32::new(leader),
            session,
        }
    }

    /// Kills all of them, and forgets them.
    pub(crate) fn kill(&self) {
        let Some(leader) = Pid::from_raw(self.leader.swap(0, Ordering::Relaxed)) else {
            return;
        };
        // An error means that nobody is left, here and below.
        let _ = kill_process_group(leader, Signal::KILL);
        let mut rounds = 0;
        while self.session && rounds < KILL_ROUNDS && send_to_jobs(leader, Signal::KILL) > 0 {
            rounds += 1;
        }
    }

    /// Tells them that the terminal is gone.
    pub(crate) fn hang_up(&self) {
        // One that is stopped hears nothing before it goes on.
        self.send(Signal::HUP);
        self.send(Signal::CONT);
    }

    /// Sends the signal that SSH calls `name`, if it is one of [`SIGNALS`].
    pub(crate) fn signal(&self, name: &str) {
        if let Some((_, signal)) = SIGNALS.iter().find(|(known, _)| *known == name) {
            self.send(*signal);
        }
    }

    /// [`signal`](Self::signal) for a group that is not ours to kill.
    pub(crate) fn signal_once(leader: u32, name: &str) {
        let group = Self::of(Some(leader));
        group.signal(name);
        group.leader.store(0, Ordering::Relaxed);
    }

    fn send(&self, signal: Signal) {
        let Some(leader) = Pid::from_raw(self.leader.load(Ordering::Relaxed)) else {
            return;
        };
        let _ = kill_process_group(leader, signal);
        if self.session {
            send_to_jobs(leader, signal);
        }
    }
}

/// Sends `signal` to the processes of the session that `leader` leads and that are not in its group: an interactive shell makes a
/// group for each job. Returns how many there were.
#[cfg(target_os = "linux")]
fn send_to_jobs(leader: Pid, signal: Signal) -> usize {
    let number = leader.as_raw_nonzero().get();
    let jobs = processes::list()
        .into_iter()
        .filter(|p| p.session == number && p.group != number && !p.zombie);
    jobs.filter(|process| kill_process(process.pid, signal).is_ok())
        .count()
}

/// Elsewhere the kernel hangs them up when the terminal closes, and that is all.
#[cfg(all(unix, not(target_os = "linux")))]
fn send_to_jobs(_: Pid, _: Signal) -> usize {
    0
}

/// Elsewhere, tokio and portable-pty kill the process itself.
#[cfg(not(unix))]
impl Group {
    pub(crate) fn of(_: Option<u32>) -> Self {
        Self {}
    }

    pub(crate) fn of_session(_: Option<u32>) -> Self {
        Self {}
    }

    pub(crate) fn kill(&self) {}

    pub(crate) fn hang_up(&self) {}

    pub(crate) fn signal(&self, _: &str) {}
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The signals that SSH has names for: RFC 4254, section 6.10.
#[cfg(unix)]
const SIGNALS: [(&str, Signal); 13] = [
    ("ABRT", Signal::ABORT),
    ("ALRM", Signal::ALARM),
    ("FPE", Signal::FPE),
    ("HUP", Signal::HUP),
    ("ILL", Signal::ILL),
    ("INT", Signal::INT),
    ("KILL", Signal::KILL),
    ("PIPE", Signal::PIPE),
    ("QUIT", Signal::QUIT),
    ("SEGV", Signal::SEGV),
    ("TERM", Signal::TERM),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
];

/// The name, or for one without the form that the RFC keeps for others.
#[cfg(unix)]
pub(crate) fn signal_name(number: i32) -> String {
    match SIGNALS.iter().find(|(_, signal)| signal.as_raw() == number) {
        Some((name, _)) => (*name).to_owned(),
        None => format!("SIG{number}@buildlet"),
    }
}
