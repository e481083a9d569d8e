//! The buildlet's side of supervisors.

use std::env;
use std::io::{self, IoSlice, PipeWriter};
use std::mem::MaybeUninit;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf as _, BytesMut};
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::task::{JoinHandle, spawn_blocking};

use super::wire::{Reply, Report, Request, first_message};
use crate::exec::isolate::Setup;
use crate::exec::processes::{Family, Killed, PipeName, pipe_name};
use crate::exec::start::Start;
use crate::exec::watch::{Event, Gone, KILL_LIMIT};
use crate::exec::{Enforcement, Launcher};
use crate::types::ProcessState;
use crate::types::ext::Usage;

/// How many supervisors wait for the next command. One takes about a megabyte.
const MAX_IDLE: usize = 2;

/// Starts supervisors, and keeps some that have nothing to do.
#[derive(Debug)]
pub(in crate::exec) struct Supervisors {
    launcher: Launcher,
    idle: Mutex<Vec<Supervisor>>,
}

/// A supervisor without a command. Dropped, it ends.
#[derive(Debug)]
struct Supervisor {
    socket: UnixStream,
    received: BytesMut,
    /// What it has put on itself.
    setup: Option<Setup>,
    /// Held so that it is reaped: the runtime does that when this is dropped.
    _process: Child,
}

/// What became of a command.
#[derive(Debug)]
pub(in crate::exec) enum Started {
    Running(Box<Supervised>, Enforcement),
    Failed(String, Enforcement),
    Refused(Enforcement),
}

/// A command whose parent is a supervisor. Dropped, it is killed with all that it started.
#[derive(Debug)]
pub(in crate::exec) struct Supervised {
    /// Until the command is gone.
    supervisor: Option<Supervisor>,
    pool: Arc<Supervisors>,
    output: Option<PipeName>,
    /// Looks for what a supervisor that was killed left.
    sweep: Option<JoinHandle<Killed>>,
}

impl Supervisors {
    pub(in crate::exec) fn new(launcher: Launcher) -> Self {
        Self {
            launcher,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Starts a command. Cancel safe: dropping the future ends the supervisor, which ends the command.
    pub(in crate::exec) async fn start(
        self: &Arc<Self>,
        setup: Setup,
        start: Start,
        output: PipeWriter,
    ) -> io::Result<Started> {
        let request = Request::Run {
            setup: Box::new(setup.clone()),
            start,
        };
        let request = request.encode()?;
        let pipe = pipe_name(&output);
        let (supervisor, reply) = loop {
            let idle = self.take_idle(&setup);
            let was_idle = idle.is_some();
            let mut supervisor = match idle {
                Some(idle) => idle,
                None => self.launch()?,
            };
            match supervisor.ask(&request, &output).await {
                Ok(reply) => {
                    supervisor.setup = Some(setup);
                    break (supervisor, reply);
                }
                // It was killed after it was seen alive: the next does it.
                Err(error) if was_idle && is_unread(&error) => {}
                Err(error) => return Err(error),
            }
        };
        // The command has it now, and alone decides when it ends.
        drop(output);
        let started = match reply {
            Reply::Started(enforcement) => {
                let supervised = Box::new(Supervised {
                    supervisor: Some(supervisor),
                    pool: Arc::clone(self),
                    output: pipe,
                    sweep: None,
                });
                Started::Running(supervised, enforcement)
            }
            Reply::Failed(enforcement, text) => {
                self.put_back(supervisor);
                Started::Failed(text, enforcement)
            }
            Reply::Refused(enforcement) => Started::Refused(enforcement),
            Reply::Exited { .. } | Reply::Gone(_) => return Err(io::ErrorKind::InvalidData.into()),
        };
        Ok(started)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Supervisor>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that has done the same before.
    fn take_idle(&self, setup: &Setup) -> Option<Supervisor> {
        let mut idle = self.idle();
        loop {
            let place = idle
                .iter()
                .rposition(|idle| idle.setup.as_ref() == Some(setup))?;
            let supervisor = idle.swap_remove(place);
            if supervisor.is_alive() {
                return Some(supervisor);
            }
        }
    }

    fn put_back(&self, supervisor: Supervisor) {
        if !supervisor.setup.as_ref().is_some_and(Setup::is_reusable) {
            return;
        }
        let mut idle = self.idle();
        if idle.len() == MAX_IDLE {
            // The one that was used least lately.
            idle.remove(0);
        }
        idle.push(supervisor);
    }

    fn launch(&self) -> io::Result<Supervisor> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let socket = UnixStream::from_std(ours)?;
        let mut command = Command::new(&self.launcher.program);
        // The environment may hold secrets, and commands of the same user could read it.
        command
            .args(&self.launcher.args)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null());
        if let Some(name) = env::args_os().next() {
            command.arg0(name);
        }
        for key in ["LD_LIBRARY_PATH", "RUST_BACKTRACE"] {
            if let Some(value) = env::var_os(key) {
                command.env(key, value);
            }
        }
        Ok(Supervisor {
            socket,
            received: BytesMut::new(),
            setup: None,
            _process: command.spawn()?,
        })
    }
}

impl Supervisor {
    /// Whether it still listens. It never speaks first, so whatever can be read is its end.
    fn is_alive(&self) -> bool {
        // Asks the system: the runtime would hear of an end a moment later.
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let read = rustix::net::recv(&self.socket, &mut [0_u8; 1], flags);
        matches!(read, Err(rustix::io::Errno::AGAIN))
    }

    /// What it answers to a request that comes with a pipe.
    async fn ask(&mut self, request: &[u8], pipe: &PipeWriter) -> io::Result<Reply> {
        self.send(request, pipe).await?;
        self.reply().await
    }

    /// Sends a message, with the pipe at its first byte.
    async fn send(&mut self, message: &[u8], pipe: &PipeWriter) -> io::Result<()> {
        let sent = self
            .socket
            .async_io(Interest::WRITABLE, || {
                let pipes = [pipe.as_fd()];
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut ancillary = SendAncillaryBuffer::new(&mut space);
                ancillary.push(SendAncillaryMessage::ScmRights(&pipes));
                let slices = [IoSlice::new(message)];
                let flags = SendFlags::NOSIGNAL;
                Ok(rustix::net::sendmsg(
                    &self.socket,
                    &slices,
                    &mut ancillary,
                    flags,
                )?)
            })
            .await?;
        self.socket.write_all(&message[sent..]).await
    }

    /// What it says next. Cancel safe.
    async fn reply(&mut self) -> io::Result<Reply> {
        loop {
            if let Some((content, len)) = first_message(&self.received)? {
                let reply = Reply::decode(content).ok_or(io::ErrorKind::InvalidData)?;
                self.received.advance(len);
                return Ok(reply);
            }
            if self.socket.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

impl Supervised {
    /// What happened next. Cancel safe.
    pub(in crate::exec) async fn event(&mut self) -> Event {
        if let Some(supervisor) = &mut self.supervisor {
            match supervisor.reply().await {
                Ok(Reply::Exited { raw_status, alone }) => {
                    let state = ProcessState::from(ExitStatus::from_raw(raw_status));
                    return Event::Exited { state, alone };
                }
                Ok(Reply::Gone(report)) => {
                    if let Some(supervisor) = self.supervisor.take()
                        && report.left == 0
                    {
                        self.pool.put_back(supervisor);
                    }
                    return Event::Gone(gone(&report));
                }
                Ok(Reply::Started(_) | Reply::Failed(..) | Reply::Refused(_)) | Err(_) => {
                    self.supervisor = None;
                    // Now its command is whoever holds the output. This runs on if nobody waits for it.
                    let kill = |pipe| move || Family::Holders(pipe).kill(KILL_LIMIT);
                    self.sweep = self.output.take().map(kill).map(spawn_blocking);
                }
            }
        }
        let mut gone = Gone::lost("the supervisor of the command was killed");
        if let Some(sweep) = &mut self.sweep {
            let killed = sweep.await.unwrap_or_default();
            (gone.strays, gone.left) = (killed.count, killed.left);
        }
        Event::Gone(gone)
    }

    /// Asks the command to end.
    pub(in crate::exec) fn terminate(&self) {
        self.order(&Request::Terminate);
    }

    /// Kills the command and all that it started.
    pub(in crate::exec) fn kill(&self) {
        self.order(&Request::Kill);
    }

    fn order(&self, request: &Request) {
        if let Some(supervisor) = &self.supervisor
            && let Ok(message) = request.encode()
        {
            // A command gets a handful of orders of five bytes, for which a socket always has room. If the supervisor is gone, `event` tells.
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            let _ = rustix::net::send(&supervisor.socket, &message, flags);
        }
    }
}

/// Whether a supervisor ended without having read the whole request, so that it has started nothing. Of one that ended after that, the
/// socket just comes to its end.
fn is_unread(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

fn gone(report: &Report) -> Gone {
    Gone {
        usage: Usage {
            user: Some(report.user),
            system: Some(report.system),
            peak_memory_bytes: Some(report.peak_memory_bytes),
            ..Usage::default()
        },
        strays: usize::try_from(report.strays).unwrap_or(usize::MAX),
        left: usize::try_from(report.left).unwrap_or(usize::MAX),
        out_of_memory: report.out_of_memory,
        lost: None,
    }
}
