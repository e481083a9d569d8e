//! A shell or command with a pseudo-terminal.
//!
//! The library under it blocks, so each terminal has three threads: one reads it, one writes to it, one waits for the process. All
//! of them end when the processes of the terminal's session do, and dropping [`Terminal`] sees to that.

use std::io::{self, Read as _, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use portable_pty::{CommandBuilder, MasterPty, PtySize, native_pty_system};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::ssh::group::Group;
use crate::ssh::input;
use crate::ssh::process::{Never, Spec};
use crate::ssh::session::{Control, Exit, Output};

/// Pieces on their way from or to a thread; each is at most [`CHUNK`] when read.
const QUEUE: usize = 4;
const CHUNK: usize = 16 << 10;

/// How long the rest of the output is waited for once the process ended. It lies in the terminal already, but a process that
/// left the session may hold the terminal open for ever.
const LINGER: Duration = Duration::from_millis(500);

/// How long a shell has to react to a hang-up, such as to save its history, before it is killed.
const GRACE: Duration = Duration::from_millis(500);

/// What a client says of its terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) term: String,
    pub(crate) size: Size,
}

/// In columns and rows, and in pixels; 0 if unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) columns: u32,
    pub(crate) rows: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl From<Size> for PtySize {
    fn from(size: Size) -> Self {
        let short = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        Self {
            cols: short(size.columns),
            rows: short(size.rows),
            pixel_width: short(size.width),
            pixel_height: short(size.height),
        }
    }
}

/// Runs a program in a terminal to its end, or until `stop`. Dropping the future kills all processes of the terminal at once;
/// after `stop` they are hung up first and have half a second.
pub(crate) async fn run(
    spec: Spec,
    request: Request,
    input: input::Receiver,
    control: mpsc::Receiver<Control>,
    output: &Output,
    stop: &CancellationToken,
) -> io::Result<Exit> {
    // Dropped in reverse: the threads find their channels closed when the terminal is let go.
    let opened = tokio::task::spawn_blocking(move || Terminal::open(&spec, &request)).await;
    let (terminal, streams) = opened.map_err(io::Error::other)??;
    let ended = CancellationToken::new();
    let wait = async {
        let exit = streams.exit.await.unwrap_or(Exit::Gone);
        // What it left behind holds the terminal, and goes with the channel anyway.
        terminal.group.kill();
        ended.cancel();
        exit
    };
    let work = async { tokio::join!(wait, show(streams.output, output, &ended)).0 };
    tokio::pin!(work);
    tokio::select! {
        exit = &mut work => Ok(exit),
        () = stop.cancelled() => {
            terminal.group.hang_up();
            let _ = timeout(GRACE, work).await;
            Ok(Exit::Gone)
        }
        never = type_in(input, streams.input) => match never {},
        never = obey(control, &terminal) => match never {},
    }
}

async fn show(mut pieces: mpsc::Receiver<Bytes>, output: &Output, ended: &CancellationToken) {
    loop {
        let silence = async {
            ended.cancelled().await;
            sleep(LINGER).await;
        };
        let piece = tokio::select! {
            biased;
            piece = pieces.recv() => piece,
            () = silence => return,
        };
        let Some(piece) = piece else { return };
        if output.send(None, piece).await.is_err() {
            return;
        }
    }
}

async fn obey(mut control: mpsc::Receiver<Control>, terminal: &Terminal) -> Never {
    while let Some(control) = control.recv().await {
        match control {
            Control::Resize(size) => terminal.resize(size),
            Control::Signal(name) => terminal.signal(&name),
        }
    }
    std::future::pending().await
}

async fn type_in(mut input: input::Receiver, keys: mpsc::Sender<Bytes>) -> Never {
    while let Some(piece) = input.next().await {
        if keys.send(piece).await.is_err() {
            break;
        }
    }
    // The thread then sends what Ctrl-D does.
    drop(keys);
    while input.next().await.is_some() {}
    std::future::pending().await
}

struct Terminal {
    /// Locked for single system calls that do not wait.
    master: Mutex<Box<dyn MasterPty + Send>>,
    group: Group,
}

/// The threads' ends.
struct Streams {
    output: mpsc::Receiver<Bytes>,
    input: mpsc::Sender<Bytes>,
    exit: oneshot::Receiver<Exit>,
}

impl Terminal {
    fn open(spec: &Spec, request: &Request) -> io::Result<(Self, Streams)> {
        let pair = native_pty_system()
            .openpty(request.size.into())
            .map_err(io::Error::other)?;
        let mut command = CommandBuilder::new(&spec.program);
        command.args(&spec.args);
        command.cwd(&spec.dir);
        command.env_clear();
        for (name, value) in &spec.env {
            command.env(name, value);
        }
        command.env("TERM", &request.term);
        let child = pair
            .slave
            .spawn_command(command)
            .map_err(io::Error::other)?;
        // From here on a failure drops `terminal`, which ends what has begun.
        let terminal = Self {
            master: Mutex::new(pair.master),
            group: Group::of_session(child.process_id()),
        };
        drop(pair.slave);
        let reader = terminal
            .master()
            .try_clone_reader()
            .map_err(io::Error::other)?;
        let writer = terminal.master().take_writer().map_err(io::Error::other)?;
        let (output_sender, output) = mpsc::channel(QUEUE);
        let (input, input_receiver) = mpsc::channel(QUEUE);
        let (exit_sender, exit) = oneshot::channel();
        let thread = |name: &str| thread::Builder::new().name(format!("ssh-{name}"));
        thread("wait").spawn(move || drop(exit_sender.send(wait(child))))?;
        thread("read").spawn(move || read(reader, &output_sender))?;
        thread("write").spawn(move || write(writer, input_receiver))?;
        Ok((
            terminal,
            Streams {
                output,
                input,
                exit,
            },
        ))
    }

    fn master(&self) -> MutexGuard<'_, Box<dyn MasterPty + Send>> {
        self.master.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resize(&self, size: Size) {
        // Fails only when the terminal is gone, which its reader tells as well.
        let _ = self.master().resize(size.into());
    }

    /// To the job in the foreground, as a key does; the shell itself ignores most signals.
    fn signal(&self, name: &str) {
        #[cfg(unix)]
        {
            let leader = self.master().process_group_leader();
            if let Some(leader) = leader.and_then(|leader| u32::try_from(leader).ok()) {
                Group::signal_once(leader, name);
                return;
            }
        }
        self.group.signal(name);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.group.kill();
        #[cfg(unix)]
        if let Some(name) = self.master().tty_name() {
            release(&name);
        }
    }
}

/// Wakes the threads, in case a process that left the session still holds the terminal: the reader gets a byte to read, and finds
/// that nobody wants it; the writer gets room.
#[cfg(unix)]
fn release(terminal: &std::path::Path) {
    use rustix::fs::{Mode, OFlags};
    use rustix::termios::{QueueSelector, tcflush};

    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    if let Ok(terminal) = rustix::fs::open(terminal, flags, Mode::empty()) {
        let _ = tcflush(&terminal, QueueSelector::IOFlush);
        let _ = rustix::io::write(&terminal, b"\n");
    }
}

fn read(mut reader: Box<dyn io::Read + Send>, output: &mpsc::Sender<Bytes>) {
    let mut buffer = vec![0; CHUNK];
    // An error is how a terminal says that its last process closed it.
    while let Ok(count @ 1..) = reader.read(&mut buffer) {
        if output
            .blocking_send(Bytes::copy_from_slice(&buffer[..count]))
            .is_err()
        {
            return;
        }
    }
}

fn write(mut writer: Box<dyn io::Write + Send>, mut input: mpsc::Receiver<Bytes>) {
    while let Some(piece) = input.blocking_recv() {
        if writer.write_all(&piece).is_err() {
            return;
        }
    }
    // Dropping the writer sends the terminal's end-of-file character.
}

#[cfg(unix)]
fn wait(child: Box<dyn portable_pty::Child + Send + Sync>) -> Exit {
    // As the type it really has, which tells the signal's number and not its translated description.
    let child: Box<dyn portable_pty::Child> = child;
    let Ok(mut child) = child.downcast::<std::process::Child>() else {
        return Exit::Gone;
    };
    child
        .wait()
        .map_or(Exit::Gone, crate::ssh::process::exit_of)
}

#[cfg(not(unix))]
fn wait(mut child: Box<dyn portable_pty::Child + Send + Sync>) -> Exit {
    child
        .wait()
        .map_or(Exit::Gone, |status| Exit::Status(status.exit_code()))
}
