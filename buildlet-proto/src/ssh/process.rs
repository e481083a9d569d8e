//! A command without a terminal: three pipes and a process group.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::ssh::group::Group;
#[cfg(unix)]
use crate::ssh::group::signal_name;
use crate::ssh::input;
use crate::ssh::session::{Control, Exit, Output};

/// How long a pipe may stay silent after the command ended, if a process that left its group holds it open.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes read at a time.
const CHUNK: usize = 32 << 10;

/// What is to be run: a program with all it needs.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    pub(crate) dir: PathBuf,
    pub(crate) env: Vec<(OsString, OsString)>,
}

/// Runs a command to its end. Dropping the future kills its whole process group.
pub(crate) async fn run(
    spec: Spec,
    input: input::Receiver,
    control: mpsc::Receiver<Control>,
    output: &Output,
) -> io::Result<Exit> {
    let mut command = Command::new(&spec.program);
    command
        .args(&spec.args)
        .current_dir(&spec.dir)
        .env_clear()
        .envs(spec.env)
        .kill_on_drop(true);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command.spawn()?;
    let group = Group::of(child.id());
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let ended = CancellationToken::new();
    let work = async {
        let wait = async {
            let status = child.wait().await;
            // What it left behind holds the pipes, and goes with the channel anyway.
            group.kill();
            ended.cancel();
            status
        };
        let (status, (), ()) = tokio::join!(
            wait,
            pump(stdout, None, output, &ended),
            pump(stderr, Some(STDERR), output, &ended)
        );
        status
    };
    tokio::select! {
        status = work => Ok(exit_of(status?)),
        never = feed(stdin, input) => match never {},
        never = obey(control, &group) => match never {},
    }
}

/// The extended data that is standard error: RFC 4254, section 5.2.
const STDERR: u32 = 1;

/// What a future gives that never ends.
pub(crate) enum Never {}

async fn pump(
    pipe: Option<impl AsyncRead + Unpin>,
    kind: Option<u32>,
    output: &Output,
    ended: &CancellationToken,
) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(CHUNK);
        let silence = async {
            ended.cancelled().await;
            sleep(LINGER).await;
        };
        let read = tokio::select! {
            biased;
            read = pipe.read_buf(&mut buffer) => read,
            () = silence => return,
        };
        match read {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        if output.send(kind, buffer.split().freeze()).await.is_err() {
            // The channel is gone, and with it the caller of this, at once.
            return;
        }
    }
}

async fn feed(stdin: Option<ChildStdin>, mut input: input::Receiver) -> Never {
    if let Some(mut stdin) = stdin {
        while let Some(chunk) = input.next().await {
            if stdin.write_all(&chunk).await.is_err() {
                // It reads no more. What else comes for it must not hold the client up.
                break;
            }
        }
    }
    while input.next().await.is_some() {}
    std::future::pending().await
}

async fn obey(mut control: mpsc::Receiver<Control>, group: &Group) -> Never {
    while let Some(control) = control.recv().await {
        match control {
            Control::Signal(name) => group.signal(&name),
            // There is no terminal.
            Control::Resize(_) => {}
        }
    }
    std::future::pending().await
}

/// How SSH tells the end of a process.
pub(crate) fn exit_of(status: ExitStatus) -> Exit {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt as _;
        if let Some(signal) = status.signal() {
            return Exit::Signal {
                name: signal_name(signal),
                core_dumped: status.core_dumped(),
            };
        }
    }
    // On Windows, codes such as 0xc0000005 are negative.
    Exit::Status(status.code().map_or(1, i32::cast_unsigned))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn an_end_is_told_as_the_rfc_has_it() {
        assert_eq!(exit_of(ExitStatus::from_raw(7 << 8)), Exit::Status(7));
        assert_eq!(
            exit_of(ExitStatus::from_raw(9)),
            Exit::Signal {
                name: "KILL".to_owned(),
                core_dumped: false
            }
        );
        assert_eq!(
            exit_of(ExitStatus::from_raw(0x80 | 11)),
            Exit::Signal {
                name: "SEGV".to_owned(),
                core_dumped: true
            }
        );
    }
}
