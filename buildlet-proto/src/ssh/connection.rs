//! What russh asks about one connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use russh::keys::PublicKey;
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, Session as Connection};
use russh::{Channel, ChannelId, ChannelOpenFailure, Pty, Sig};
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ssh::config::Config;
use crate::ssh::input::{self, Sender};
use crate::ssh::pty::{self, Size};
use crate::ssh::session::{Control, Job, Output, Session, signal_text};

/// Variables of one channel, and bytes of their names and values.
const MAX_ENV: usize = 64;
const MAX_ENV_BYTES: usize = 32 << 10;

/// Longest name of a terminal; `terminfo` knows none of 40.
const MAX_TERM: usize = 64;

/// Orders to a process that have not reached it; further ones are dropped, as one more change of the window's size follows soon.
const CONTROLS: usize = 16;

/// When something was last carried.
#[derive(Clone)]
pub(crate) struct Activity {
    began: Instant,
    millis: Arc<AtomicU64>,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            millis: Arc::default(),
        }
    }

    pub(crate) fn now(&self) {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Ordering::Relaxed);
    }

    pub(crate) fn last(&self) -> Instant {
        self.began + Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }
}

/// One connection: who it is, and its channels.
pub(crate) struct Client {
    pub(crate) config: Arc<Config>,
    /// Cancelled when the key was accepted.
    pub(crate) logged_in: CancellationToken,
    /// The channels' tasks. The owner of the connection waits for them.
    pub(crate) tasks: TaskTracker,
    /// Stops them.
    pub(crate) stop: CancellationToken,
    pub(crate) activity: Activity,
    channels: HashMap<ChannelId, Slot>,
}

/// A channel as the connection sees it.
struct Slot {
    stop: CancellationToken,
    env: Vec<(String, String)>,
    terminal: Option<pty::Request>,
    input: Sender,
    control: mpsc::Sender<Control>,
    /// What its task will take; none is left once that runs.
    waiting: Option<(input::Receiver, mpsc::Receiver<Control>, Output)>,
}

impl Client {
    pub(crate) fn new(config: Arc<Config>, stop: CancellationToken) -> Self {
        Self {
            config,
            logged_in: CancellationToken::new(),
            tasks: TaskTracker::new(),
            stop,
            activity: Activity::new(),
            channels: HashMap::new(),
        }
    }

    fn check(&self, user: &str, key: &PublicKey) -> Auth {
        if self.config.keys.accepts(user, key) {
            Auth::Accept
        } else {
            Auth::reject()
        }
    }

    /// Starts the channel's task; `false` if it has one, as a channel does one job.
    fn start(&mut self, id: ChannelId, job: Job) -> bool {
        let Some(slot) = self.channels.get_mut(&id) else {
            return false;
        };
        let Some((input, control, output)) = slot.waiting.take() else {
            return false;
        };
        let session = Session {
            config: Arc::clone(&self.config),
            job,
            env: std::mem::take(&mut slot.env),
            terminal: slot.terminal.take(),
            input,
            control,
            output,
            stop: slot.stop.clone(),
        };
        self.activity.now();
        self.tasks.spawn(session.run());
        true
    }

    fn set_env(&mut self, id: ChannelId, name: &str, value: &str) -> bool {
        let Some(slot) = self.channels.get_mut(&id) else {
            return false;
        };
        let bytes: usize = slot
            .env
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        let fits = slot.env.len() < MAX_ENV && bytes + name.len() + value.len() <= MAX_ENV_BYTES;
        let sound = !name.contains(['=', '\0']) && !value.contains('\0');
        if !fits || !sound || !self.config.accepts_env(name) {
            return false;
        }
        slot.env.push((name.to_owned(), value.to_owned()));
        true
    }

    fn order(&self, id: ChannelId, control: Control) -> bool {
        self.channels
            .get(&id)
            .is_some_and(|slot| slot.control.try_send(control).is_ok())
    }

    async fn take_input(&self, id: ChannelId, data: &[u8]) {
        self.activity.now();
        if let Some(slot) = self.channels.get(&id) {
            slot.input.pace(data).await;
        }
    }
}

fn answer(session: &mut Connection, channel: ChannelId, granted: bool) -> Result<(), russh::Error> {
    if granted {
        session.channel_success(channel)
    } else {
        session.channel_failure(channel)
    }
}

impl Handler for Client {
    type Error = russh::Error;

    // Asked before the client makes a signature. So nobody needs to sign to learn which keys are known, as with any SSH server.
    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        key: &PublicKey,
    ) -> Result<Auth, Self::Error> {
        Ok(self.check(user, key))
    }

    async fn auth_publickey(&mut self, user: &str, key: &PublicKey) -> Result<Auth, Self::Error> {
        Ok(self.check(user, key))
    }

    async fn auth_succeeded(&mut self, _: &mut Connection) -> Result<(), Self::Error> {
        self.logged_in.cancel();
        self.activity.now();
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Connection,
    ) -> Result<(), Self::Error> {
        self.channels.retain(|_, slot| !slot.stop.is_cancelled());
        // The tasks count, and not the channels: one that is closed may have a process that is just ending.
        if self.channels.len().max(self.tasks.len()) >= self.config.max_channels
            || self.stop.is_cancelled()
        {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        let id = channel.id();
        // Nobody reads the reading half, so russh drops what it would queue there: everything comes by this trait.
        let (_, channel) = channel.split();
        let (input, input_receiver) = input::queue();
        let (control, control_receiver) = mpsc::channel(CONTROLS);
        let output = Output {
            channel,
            handle: session.handle(),
            activity: self.activity.clone(),
        };
        let slot = Slot {
            stop: self.stop.child_token(),
            env: Vec::new(),
            terminal: None,
            input,
            control,
            waiting: Some((input_receiver, control_receiver, output)),
        };
        self.channels.insert(id, slot);
        reply.accept().await;
        Ok(())
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        value: &str,
        session: &mut Connection,
    ) -> Result<(), Self::Error> {
        let granted = self.set_env(channel, name, value);
        answer(session, channel, granted)
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        term: &str,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        _: &[(Pty, u32)],
        session: &mut Connection,
    ) -> Result<(), Self::Error> {
        let sound = term.len() <= MAX_TERM && term.bytes().all(|byte| byte.is_ascii_graphic());
        let granted = match self.channels.get_mut(&channel) {
            Some(slot) if sound && slot.waiting.is_some() => {
                slot.terminal = Some(pty::Request {
                    term: term.to_owned(),
                    size: Size {
                        columns,
                        rows,
                        width,
                        height,
                    },
                });
                true
            }
            _ => false,
        };
        answer(session, channel, granted)
    }

    async fn shell_request(
        &mut self,
        channel: ChannelId,
        session: &mut Connection,
    ) -> Result<(), Self::Error> {
        let granted = self.start(channel, Job::Shell);
        answer(session, channel, granted)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut Connection,
    ) -> Result<(), Self::Error> {
        let granted =
            !command.contains(&0) && self.start(channel, Job::Command(command.to_owned()));
        answer(session, channel, granted)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        session: &mut Connection,
    ) -> Result<(), Self::Error> {
        let granted = name == "sftp" && self.start(channel, Job::Sftp);
        answer(session, channel, granted)
    }

    async fn window_change_request(
        &mut self,
        channel: ChannelId,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        session: &mut Connection,
    ) -> Result<(), Self::Error> {
        let granted = self.order(
            channel,
            Control::Resize(Size {
                columns,
                rows,
                width,
                height,
            }),
        );
        answer(session, channel, granted)
    }

    async fn signal(
        &mut self,
        channel: ChannelId,
        signal: Sig,
        _: &mut Connection,
    ) -> Result<(), Self::Error> {
        self.order(channel, Control::Signal(signal_text(&signal)));
        Ok(())
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        _: &mut Connection,
    ) -> Result<(), Self::Error> {
        self.take_input(channel, data).await;
        Ok(())
    }

    fn adjust_window(&mut self, channel: ChannelId, current: u32) -> u32 {
        self.channels
            .get(&channel)
            .map_or(current, |slot| slot.input.window())
    }

    async fn channel_eof(
        &mut self,
        channel: ChannelId,
        _: &mut Connection,
    ) -> Result<(), Self::Error> {
        if let Some(slot) = self.channels.get(&channel) {
            slot.input.end();
        }
        Ok(())
    }

    async fn channel_close(
        &mut self,
        channel: ChannelId,
        _: &mut Connection,
    ) -> Result<(), Self::Error> {
        if let Some(slot) = self.channels.remove(&channel) {
            slot.stop.cancel();
        }
        Ok(())
    }
}
