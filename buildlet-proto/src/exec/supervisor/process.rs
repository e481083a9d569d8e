//! The supervisor's side: a process whose only work is to be the parent of one command at a time.

use std::fs;
use std::io::{self, IoSliceMut, PipeWriter, Write as _};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketType};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, getpid, pidfd_open};
use wait4::Wait4 as _;

use super::wire::{Reply, Report, Request, first_message};
use crate::exec::isolate::{Counts, Launched, Prepared, Setup};
use crate::exec::processes::{Family, Killed, Process, wait_ready};
use crate::exec::start::Start;
use crate::exec::watch::KILL_LIMIT;

/// How often the dead of whom nobody else is the parent any more are buried while a command runs.
const BURY_EVERY: Duration = Duration::from_secs(1);

/// Runs what comes over standard input, a Unix socket, until that ends.
///
/// # Errors
///
/// When standard input is no such socket, or the peer breaks the protocol. That it is gone is no error.
pub(in crate::exec) fn serve() -> io::Result<()> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    if rustix::net::sockopt::socket_type(&socket)? != SocketType::STREAM {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // Whoever stops the buildlet by a signal to its group leaves the stopping of commands to it. A leader has a session already.
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Some(getpid()))?;
    let mut supervisor = Supervisor {
        socket: UnixStream::from(socket),
        received: Vec::new(),
        pipe: None,
        prepared: None,
    };
    let served = supervisor.serve();
    // However it ends, nothing is left.
    supervisor.kill();
    let gone = [
        io::ErrorKind::UnexpectedEof,
        io::ErrorKind::BrokenPipe,
        io::ErrorKind::ConnectionReset,
    ];
    match served {
        Err(error) if !gone.contains(&error.kind()) => Err(error),
        _ => Ok(()),
    }
}

struct Supervisor {
    socket: UnixStream,
    /// The beginning of the next message.
    received: Vec<u8>,
    /// The output of the next command.
    pipe: Option<OwnedFd>,
    prepared: Option<(Setup, Prepared)>,
}

impl Supervisor {
    fn serve(&mut self) -> io::Result<()> {
        loop {
            // A late signal to a command that has ended means nothing.
            let Request::Run { setup, start } = self.receive()? else {
                continue;
            };
            self.run(*setup, &start)?;
        }
    }

    fn run(&mut self, setup: Setup, start: &Start) -> io::Result<()> {
        let output = self.pipe.take().ok_or(io::ErrorKind::InvalidData)?;
        let used = self.prepared.as_ref();
        if used.is_some_and(|(old, _)| *old != setup || !setup.is_reusable()) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let (_, prepared) = self.prepared.get_or_insert_with(|| {
            let prepared = Prepared::new(setup.clone());
            (setup, prepared)
        });
        let refusal = match prepared.launch(start, PipeWriter::from(output)) {
            Launched::Started(child, enforcement) => {
                self.socket
                    .write_all(&Reply::Started(enforcement).encode()?)?;
                return self.mind(child);
            }
            Launched::Failed(text, enforcement) => Reply::Failed(enforcement, text),
            Launched::Refused(enforcement) => Reply::Refused(enforcement),
        };
        prepared.finish();
        self.socket.write_all(&refusal.encode()?)
    }

    /// Waits for the command's end, and follows the orders that come meanwhile.
    fn mind(&mut self, mut child: Child) -> io::Result<()> {
        let group = Pid::from_child(&child);
        let command = pidfd_open(group, PidfdFlags::empty())?;
        loop {
            match self.wait(&command)? {
                Waited::Ended => break,
                Waited::Nothing => bury_orphans(group),
                // Fails when none of the group is left.
                Waited::Order(Request::Terminate) => {
                    let _ = rustix::process::kill_process_group(group, Signal::TERM);
                }
                Waited::Order(Request::Kill) => drop(self.kill()),
                Waited::Order(Request::Run { .. }) => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
        let ended = child.wait4()?;
        let alone = bury_all();
        let exited = Reply::Exited {
            raw_status: ended.status.into_raw(),
            alone,
        };
        let mut news = exited.encode()?;
        let mut killed = Killed::default();
        if !alone {
            self.socket.write_all(&std::mem::take(&mut news))?;
            while self.receive()? != Request::Kill {}
            killed = self.kill();
            bury_all();
        }
        let counts = match &mut self.prepared {
            Some((_, prepared)) => prepared.finish(),
            None => Counts::default(),
        };
        let report = Report {
            user: counts.user.unwrap_or(ended.rusage.utime),
            system: counts.system.unwrap_or(ended.rusage.stime),
            peak_memory_bytes: counts.peak_memory_bytes.unwrap_or(ended.rusage.maxrss),
            strays: killed.count as u64,
            left: killed.left as u64,
            out_of_memory: counts.out_of_memory,
        };
        // At best one write for both: the peer need not be woken twice.
        news.extend(Reply::Gone(report).encode()?);
        self.socket.write_all(&news)
    }

    fn wait(&mut self, command: &OwnedFd) -> io::Result<Waited> {
        if first_message(&self.received)?.is_none() {
            let mut polled = [
                PollFd::new(command, PollFlags::IN),
                PollFd::new(&self.socket, PollFlags::IN),
            ];
            if wait_ready(&mut polled, Some(BURY_EVERY))? == 0 {
                return Ok(Waited::Nothing);
            }
            if !polled[0].revents().is_empty() {
                return Ok(Waited::Ended);
            }
        }
        self.receive().map(Waited::Order)
    }

    fn kill(&self) -> Killed {
        if let Some((_, prepared)) = &self.prepared {
            prepared.kill();
        }
        Family::Below(getpid()).kill(KILL_LIMIT)
    }

    /// The next order. The peer's end is [`UnexpectedEof`](io::ErrorKind::UnexpectedEof).
    fn receive(&mut self) -> io::Result<Request> {
        loop {
            if let Some((content, len)) = first_message(&self.received)? {
                let request = Request::decode(content).ok_or(io::ErrorKind::InvalidData)?;
                self.received.drain(..len);
                return Ok(request);
            }
            let mut buffer = [0; 16 << 10];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let mut slices = [IoSliceMut::new(&mut buffer)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            let received = rustix::io::retry_on_intr(|| {
                rustix::net::recvmsg(&self.socket, &mut slices, &mut ancillary, flags)
            })?;
            if received.bytes == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.received.extend_from_slice(&buffer[..received.bytes]);
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(pipes) = message {
                    self.pipe = pipes.last();
                }
            }
        }
    }
}

enum Waited {
    Ended,
    Order(Request),
    Nothing,
}

/// Reaps the children that ended, but for the command: orphans, whose parent this process became.
fn bury_orphans(command: Pid) {
    // Without this file (`CONFIG_PROC_CHILDREN`) they are reaped when the command ends.
    let path = format!("/proc/self/task/{}/children", getpid().as_raw_nonzero());
    let children = fs::read_to_string(path).unwrap_or_default();
    let dead = children
        .split_ascii_whitespace()
        .filter_map(|pid| Pid::from_raw(pid.parse().ok()?))
        .filter(|pid| *pid != command)
        .filter(|pid| Process::read(*pid).is_some_and(|process| process.is_dead()));
    for pid in dead {
        // Nobody else reaps, so it is there to be reaped.
        let _ = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
    }
}

/// Reaps all children that ended; whether there are no others.
fn bury_all() -> bool {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => return false,
            // There are no children at all.
            Err(_) => return true,
        }
    }
}
