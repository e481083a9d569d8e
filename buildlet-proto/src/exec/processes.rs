//! What runs on this machine: who descends from whom, and who holds a pipe.
//!
//! Only Linux tells, by `/proc`. Elsewhere nothing is found, and a process group is all that can be killed.

use std::collections::HashSet;
use std::fs;
use std::io::{self, PipeWriter};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::OFlags;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process as `/proc` showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    parent: i32,
    pub(crate) group: i32,
    pub(crate) session: i32,
    pub(crate) zombie: bool,
    /// Clock ticks since the machine started. A number that was given to another process since has another.
    started: u64,
}

impl Process {
    pub(super) fn read(pid: Pid) -> Option<Self> {
        let stat = fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
        Self::parse(pid, &stat)
    }

    /// Reads a line such as `71 (a (b) c) S 1 71 71 0 ...`, in which the name may contain anything.
    fn parse(pid: Pid, stat: &[u8]) -> Option<Self> {
        let behind_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
        let mut fields = str::from_utf8(&stat[behind_name..])
            .ok()?
            .split_ascii_whitespace();
        let state = fields.next()?;
        Some(Self {
            pid,
            parent: fields.next()?.parse().ok()?,
            group: fields.next()?.parse().ok()?,
            session: fields.next()?.parse().ok()?,
            zombie: matches!(state, "Z" | "X"),
            // Field 22 of the line, where the state is field 3.
            started: fields.nth(15)?.parse().ok()?,
        })
    }

    fn number(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Whether it ended, and is there only until it is reaped.
    pub(super) fn is_dead(&self) -> bool {
        self.zombie
    }

    /// Kills it, if it still is this process. Gives a handle that becomes readable when it is dead.
    fn kill(&self) -> Option<OwnedFd> {
        let handle = pidfd_open(self.pid, PidfdFlags::empty()).ok()?;
        let same = Self::read(self.pid).is_some_and(|now| now.started == self.started);
        (same && pidfd_send_signal(&handle, Signal::KILL).is_ok()).then_some(handle)
    }

    /// Whether it was given this pipe, and has it still.
    fn holds(&self, pipe: &PipeName) -> bool {
        let dir = format!("/proc/{}", self.pid.as_raw_nonzero());
        let Ok(files) = fs::read_dir(format!("{dir}/fd")) else {
            return false;
        };
        files.flatten().any(|file| {
            let is_it = fs::read_link(file.path())
                .is_ok_and(|target| target.as_os_str() == pipe.0.as_str());
            is_it && survives_exec(&format!("{dir}/fdinfo/{}", file.file_name().display()))
        })
    }
}

/// Whether a file stays open when a program is executed.
///
/// A child of this process has *all* files of this process for the moment until it executes its program: it may belong to any command.
/// The pipes of commands are closed by that.
fn survives_exec(fdinfo: &str) -> bool {
    let Ok(text) = fs::read_to_string(fdinfo) else {
        return false;
    };
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    flags
        .and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok())
        .is_some_and(|flags| flags & OFlags::CLOEXEC.bits() == 0)
}

/// A pipe as `/proc` shows it among the files of a process: `pipe:[4711]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PipeName(String);

pub(super) fn pipe_name(pipe: &PipeWriter) -> Option<PipeName> {
    let stat = rustix::fs::fstat(pipe).ok()?;
    Some(PipeName(format!("pipe:[{}]", stat.st_ino)))
}

/// How the processes of a command are told from all others.
#[derive(Clone, Debug)]
pub(super) enum Family {
    /// All descendants of this process, which is a subreaper: none can leave.
    Below(Pid),
    /// The group of this process, who holds the pipe that this process was started with, and all their descendants.
    Of {
        /// Must not be reaped as long as members are looked for.
        leader: Pid,
        pipe: Option<PipeName>,
    },
    /// Who holds the pipe, and all their descendants.
    Holders(PipeName),
}

impl Family {
    /// Its living members, without the process it is named after.
    fn members(&self) -> Vec<Process> {
        let all = list();
        let us = rustix::process::getpid();
        let (named_after, pipe) = match self {
            Self::Below(root) => (Some(*root), None),
            Self::Of { leader, pipe } => (Some(*leader), pipe.as_ref()),
            Self::Holders(pipe) => (None, Some(pipe)),
        };
        let named_after = all.iter().find(|p| Some(p.pid) == named_after);
        let group = named_after.filter(|_| matches!(self, Self::Of { .. }));
        // Nobody is older than who they descend from. Few are younger, so few files are looked at.
        let born = named_after.map_or(0, |process| process.started);
        let mut known: HashSet<i32> = all
            .iter()
            .filter(|p| p.started >= born && p.pid != us)
            .filter(|p| {
                group.is_some_and(|leader| p.group == leader.number())
                    || pipe.is_some_and(|pipe| p.holds(pipe))
            })
            .chain(named_after)
            .map(Process::number)
            .collect();
        // Parents need not come before their children in the list.
        loop {
            let children = all.iter().filter(|p| known.contains(&p.parent));
            let found: Vec<_> = children.map(Process::number).collect();
            let before = known.len();
            known.extend(found);
            if known.len() == before {
                break;
            }
        }
        let named_after = named_after.map(Process::number);
        all.into_iter()
            .filter(|p| !p.zombie && known.contains(&p.number()) && Some(p.number()) != named_after)
            .collect()
    }

    /// Kills its members until there are none, for at most `limit`.
    pub(super) fn kill(&self, limit: Duration) -> Killed {
        let deadline = Instant::now() + limit;
        let mut dead = HashSet::new();
        let mut in_vain = 0;
        loop {
            let members = self.members();
            let left = members.len();
            if left == 0 || in_vain == ROUNDS_IN_VAIN || Instant::now() >= deadline {
                let count = dead.len();
                return Killed { count, left };
            }
            // Children that are started meanwhile are found in the next round: each round ends their parents.
            let handles: Vec<_> = members
                .iter()
                .filter_map(|process| Some((process, process.kill()?)))
                .collect();
            for (process, handle) in &handles {
                if is_dead_by(handle, deadline) {
                    dead.insert((process.pid, process.started));
                    in_vain = 0;
                }
            }
            in_vain += 1;
        }
    }
}

/// Rounds that ended no process after which the rest counts as immortal. One may be lost to processes that end by themselves.
const ROUNDS_IN_VAIN: usize = 4;

/// What [`Family::kill`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Killed {
    /// How many were killed.
    pub(super) count: usize,
    /// How many live on: processes of another user, or such that the kernel cannot end.
    pub(super) left: usize,
}

fn is_dead_by(handle: &OwnedFd, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    let mut polled = [PollFd::new(handle, PollFlags::IN)];
    wait_ready(&mut polled, Some(left)).is_ok_and(|count| count > 0)
}

/// `poll` that goes on after signals.
pub(super) fn wait_ready(fds: &mut [PollFd<'_>], limit: Option<Duration>) -> io::Result<usize> {
    let deadline = limit.map(|limit| Instant::now() + limit);
    loop {
        let left = deadline.map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            Timespec::try_from(left).expect("limits of this module are short")
        });
        match poll(fds, left.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// All that there are.
pub(crate) fn list() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Process::read(Pid::from_raw(pid)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_and_blanks_do_not_confuse() {
        let pid = Pid::from_raw(71).unwrap();
        let line =
            b"71 (a) R 1 (b) c) S 2 70 69 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2\n";
        let process = Process::parse(pid, line).unwrap();
        let expected = Process {
            pid,
            parent: 2,
            group: 70,
            session: 69,
            zombie: false,
            started: 987_654,
        };
        assert_eq!(process, expected);
    }

    #[test]
    fn lines_that_are_cut_are_no_process() {
        let pid = Pid::from_raw(71).unwrap();
        for line in ["", "71", "71 (a)", "71 (a) S", "71 (a) S 1 2 3 4"] {
            assert_eq!(Process::parse(pid, line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn this_process_is_in_the_list() {
        let us = rustix::process::getpid();
        assert!(list().iter().any(|process| process.pid == us));
    }
}
