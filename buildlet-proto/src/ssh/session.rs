//! One channel: what its client asked for, and the task that does it.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use russh::server::{Handle, Msg};
use russh::{ChannelId, ChannelWriteHalf, Sig};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::ssh::config::Config;
use crate::ssh::connection::Activity;
use crate::ssh::process::Spec;
use crate::ssh::{input, process, pty, sftp};

/// What a channel is for.
#[derive(Debug)]
pub(crate) enum Job {
    Shell,
    Command(Vec<u8>),
    Sftp,
}

/// What a client says to a process besides its input.
#[derive(Debug)]
pub(crate) enum Control {
    Resize(pty::Size),
    /// As SSH names it, without `SIG`.
    Signal(String),
}

/// How a process ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Status(u32),
    Signal {
        name: String,
        core_dumped: bool,
    },
    /// Nobody knows, or nobody is there to be told.
    Gone,
}

/// A channel's way to the client. Sending waits for the channel's window.
pub(crate) struct Output {
    pub(crate) channel: ChannelWriteHalf<Msg>,
    pub(crate) handle: Handle,
    pub(crate) activity: Activity,
}

/// The connection is gone.
#[derive(Debug)]
pub(crate) struct Closed;

impl Output {
    /// Sends output, or with a `kind` what is called extended data. Not cancel safe: a part may be sent.
    pub(crate) async fn send(&self, kind: Option<u32>, data: Bytes) -> Result<(), Closed> {
        self.activity.now();
        match kind {
            None => self.channel.data_bytes(data).await,
            Some(kind) => self.channel.extended_data_bytes(kind, data).await,
        }
        .map_err(|_| Closed)
    }

    fn id(&self) -> ChannelId {
        self.channel.id()
    }

    /// Tells the end of the process and closes the channel.
    async fn finish(&self, exit: Exit) {
        // Each fails only when the connection is gone.
        let _ = match exit {
            Exit::Status(status) => self.handle.exit_status_request(self.id(), status).await,
            Exit::Signal { name, core_dumped } => {
                let (message, language) = (format!("ended by signal {name}"), "en".to_owned());
                self.handle
                    .exit_signal_request(
                        self.id(),
                        Sig::Custom(name),
                        core_dumped,
                        message,
                        language,
                    )
                    .await
            }
            Exit::Gone => Ok(()),
        };
        let _ = self.handle.eof(self.id()).await;
        let _ = self.handle.close(self.id()).await;
    }
}

/// All that a channel's task takes with it.
pub(crate) struct Session {
    pub(crate) config: Arc<Config>,
    pub(crate) job: Job,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) terminal: Option<pty::Request>,
    pub(crate) input: input::Receiver,
    pub(crate) control: mpsc::Receiver<Control>,
    pub(crate) output: Output,
    /// Cancelled when the client closes the channel or the connection ends.
    pub(crate) stop: CancellationToken,
}

impl Session {
    /// Does the job and closes the channel. Whatever was started has ended when this returns, or is dropped.
    pub(crate) async fn run(self) {
        let Self {
            config,
            job,
            env,
            terminal,
            input,
            control,
            output,
            stop,
        } = self;
        let workdir = config.workdir.clone();
        let made = tokio::task::spawn_blocking(move || std::fs::create_dir_all(workdir)).await;
        let ready = made.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        let result = match (ready, job, terminal) {
            (Err(error), ..) => Err(error),
            (Ok(()), Job::Sftp, _) => {
                until(&stop, sftp::run(&config.workdir, input, &output)).await
            }
            (Ok(()), job, Some(terminal)) => {
                pty::run(
                    spec(&config, job, env),
                    terminal,
                    input,
                    control,
                    &output,
                    &stop,
                )
                .await
            }
            (Ok(()), job, None) => {
                until(
                    &stop,
                    process::run(spec(&config, job, env), input, control, &output),
                )
                .await
            }
        };
        let exit = match result {
            Ok(exit) => exit,
            Err(error) => {
                tracing::debug!(%error, "an SSH session failed");
                let message = format!("buildlet: {error}\r\n");
                let _ = until(&stop, async {
                    Ok(output
                        .send(Some(1), message.into())
                        .await
                        .map_or(Exit::Gone, |()| Exit::Gone))
                })
                .await;
                // As a shell says that a command could not be run.
                Exit::Status(126)
            }
        };
        output.finish(exit).await;
    }
}

async fn until(
    stop: &CancellationToken,
    work: impl Future<Output = io::Result<Exit>>,
) -> io::Result<Exit> {
    stop.run_until_cancelled(work)
        .await
        .unwrap_or(Ok(Exit::Gone))
}

fn spec(config: &Config, job: Job, client: Vec<(String, String)>) -> Spec {
    let args = match job {
        Job::Command(command) => vec![
            if cfg!(windows) {
                "/C".into()
            } else {
                "-c".into()
            },
            text(command),
        ],
        Job::Shell | Job::Sftp => Vec::new(),
    };
    let mut env = config.env.clone();
    env.extend(
        client
            .into_iter()
            .map(|(name, value)| (name.into(), value.into())),
    );
    env.push(("PWD".into(), config.workdir.clone().into()));
    Spec {
        program: config.shell.clone(),
        args,
        dir: Path::new(&config.workdir).to_owned(),
        env,
    }
}

#[cfg(unix)]
fn text(command: Vec<u8>) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(command)
}

#[cfg(not(unix))]
fn text(command: Vec<u8>) -> OsString {
    String::from_utf8_lossy(&command).into_owned().into()
}

/// As SSH names it.
pub(crate) fn signal_text(signal: &Sig) -> String {
    match signal {
        Sig::Custom(name) => name.clone(),
        known => format!("{known:?}"),
    }
}
