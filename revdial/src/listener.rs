use std::error::Error;
use std::fmt::{self, Write as _};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::config::ListenerConfig;
use crate::connect::Connect;
use crate::connection::Connection;
use crate::control_io::{ControlIo, Turn};
use crate::dialer::{SessionEnd, now};
use crate::observe::ListenerEvent;
use crate::proto::{ConnPath, Handshake, ListenerCore, PickupFailure, SwitchError};
use crate::register::{EstablishError, RegisterError, Registration, establish};
use crate::task::Task;

/// How long the coordinator may take to accept a `pickup-failed`.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// A session that lasted so long held: the delays before the next registration begin anew.
const STEADY_AFTER: Duration = Duration::from_secs(10);
/// How long [`Listener::close`] waits for the task; it says farewell within a second.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Accepts the connections that a coordinator dials: the worker's end of a session.
///
/// Serve each of them as a server would one from a `TcpListener`. It is a [`Stream`] of connections, too. Dropping it ends the
/// session and the pick-ups under way; connections that were accepted live on.
#[derive(Debug)]
pub struct Listener {
    accepted: mpsc::Receiver<Connection>,
    shared: Arc<Shared>,
    // Ends with the listener.
    _task: Task,
}

/// Why a listener accepts no more.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ListenerEnd {
    /// The session ended, and the listener was not to register again.
    Session(SessionEnd),
    /// The coordinator does not want this worker any more.
    Register(RegisterError),
}

#[derive(Debug, Default)]
struct Shared {
    stop: Notify,
    end: Mutex<Option<ListenerEnd>>,
}

/// What the task of a listener has.
struct Worker {
    connect: Arc<dyn Connect>,
    registration: Registration,
    config: ListenerConfig,
    queue: mpsc::Sender<Connection>,
    shared: Arc<Shared>,
}

impl Listener {
    /// Registers, and listens from then on.
    ///
    /// # Errors
    ///
    /// [`RegisterError`]: the first registration is not repeated. [`RegisterError::is_final`] says whether doing so may help,
    /// and [`Backoff`](crate::Backoff) gives the times.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the coordinator sees a worker that comes and goes.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn register(
        connect: impl Connect,
        registration: Registration,
        config: ListenerConfig,
    ) -> Result<Self, RegisterError> {
        let config = config.validate().map_err(RegisterError::Config)?;
        let connect: Arc<dyn Connect> = Arc::new(connect);
        let control = registration
            .register(&*connect, config.register_limit)
            .await?;
        config.observer.tell(&ListenerEvent::Registered);
        let (queue, accepted) = mpsc::channel(config.accept_queue);
        let shared = Arc::new(Shared::default());
        let worker = Worker {
            connect,
            registration,
            config,
            queue,
            shared: shared.clone(),
        };
        Ok(Self {
            accepted,
            shared,
            _task: Task::spawn(worker.run(control)),
        })
    }

    /// The next connection; `None` once the listener has ended, which [`end`](Self::end) explains.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no connection is lost.
    pub async fn accept(&mut self) -> Option<Connection> {
        self.accepted.recv().await
    }

    /// Why the listener has ended; `None` while it has not, and when it was [closed](Self::close).
    #[must_use]
    pub fn end(&self) -> Option<ListenerEnd> {
        self.shared
            .end
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Ends the session in good order: the coordinator is told, and pick-ups under way are given up. Takes at most two seconds.
    ///
    /// Connections that were accepted live on. Those that wait to be, and did not come to it, are closed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the session ends all the same.
    pub async fn close(mut self) {
        self.shared.stop.notify_one();
        let ended = async { while self.accepted.recv().await.is_some() {} };
        // What is late dies with the task.
        let _ = timeout(CLOSE_LIMIT, ended).await;
    }
}

impl Stream for Listener {
    type Item = Connection;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Connection>> {
        self.accepted.poll_recv(cx)
    }
}

impl Worker {
    async fn run(mut self, mut control: Connection) {
        let end = loop {
            let began = Instant::now();
            let end = self.session(control).await;
            self.config.observer.tell(&ListenerEvent::Lost(&end));
            if matches!(end, SessionEnd::Closed) {
                break None;
            }
            let Some(delays) = &mut self.config.reconnect else {
                break Some(ListenerEnd::Session(end));
            };
            if began.elapsed() >= STEADY_AFTER {
                delays.reset();
            }
            let shared = self.shared.clone();
            control = tokio::select! {
                again = self.register_again() => match again {
                    Ok(control) => control,
                    Err(error) => break Some(ListenerEnd::Register(error)),
                },
                () = shared.stop.notified() => break None,
            };
        };
        *self
            .shared
            .end
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = end;
    }

    /// Registers after one delay or several; fails only for good.
    async fn register_again(&mut self) -> Result<Connection, RegisterError> {
        let observer = self.config.observer.clone();
        loop {
            let delays = self.config.reconnect.as_mut();
            let delay = delays.map_or(STEADY_AFTER, crate::Backoff::next_delay);
            observer.tell(&ListenerEvent::Retrying { delay });
            sleep(delay).await;
            match self
                .registration
                .register(&*self.connect, self.config.register_limit)
                .await
            {
                Ok(control) => {
                    observer.tell(&ListenerEvent::Registered);
                    return Ok(control);
                }
                Err(error) => {
                    observer.tell(&ListenerEvent::RegisterFailed(&error));
                    if error.is_final() {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// One session, from registration to loss.
    async fn session(&self, control: Connection) -> SessionEnd {
        let mut core = ListenerCore::new(&self.config, now());
        let mut control = ControlIo::new(control, Some(WRITE_LIMIT));
        // Ends with the session: the coordinator that asked for them is gone then.
        let mut pickups: JoinSet<Result<(), PickupFailure>> = JoinSet::new();
        let mut buf = [0; 512];
        let end = loop {
            while let Some(path) = core.poll_pickup() {
                let pickup = pick_up(
                    self.connect.clone(),
                    path,
                    self.config.pickup_limit,
                    self.queue.clone(),
                );
                pickups.spawn(pickup);
            }
            if control.has_room() {
                control.queue(|| core.poll_transmit());
            }
            let write_due = control.write_due();
            let silent = core.poll_timeout().map(Instant::from_std);
            let due = write_due.into_iter().chain(silent).min();
            tokio::select! {
                turn = control.turn(&mut buf) => match turn {
                    Ok(Turn::Written) => {}
                    Ok(Turn::Read(0)) => break SessionEnd::PeerClosed,
                    Ok(Turn::Read(len)) => {
                        if let Err(error) = core.receive(&buf[..len], now()) {
                            break SessionEnd::Protocol(error);
                        }
                    }
                    Err(error) => break SessionEnd::Io(Arc::new(error)),
                },
                Some(done) = pickups.join_next() => {
                    let result = done.unwrap_or_else(|panic| Err(PickupFailure {
                        conn_path: None,
                        error: format!("pick-up broke off: {panic}"),
                    }));
                    if let Err(failure) = &result {
                        self.config.observer.tell(&ListenerEvent::PickupFailed(failure));
                    }
                    core.pickup_ended(result);
                }
                () = wait_until(due) => {
                    if write_due.is_some_and(|due| due <= Instant::now()) {
                        break SessionEnd::Stalled;
                    }
                    if let Err(silent) = core.handle_timeout(now()) {
                        break SessionEnd::Silent(silent);
                    }
                }
                () = self.shared.stop.notified() => break SessionEnd::Closed,
                () = self.queue.closed() => break SessionEnd::Closed,
            }
        };
        pickups.shutdown().await;
        if !matches!(
            end,
            SessionEnd::Stalled | SessionEnd::Silent(_) | SessionEnd::Io(_)
        ) {
            control.shutdown().await;
        }
        end
    }
}

/// Makes one connection and queues it.
async fn pick_up(
    connect: Arc<dyn Connect>,
    path: ConnPath,
    limit: Duration,
    queue: mpsc::Sender<Connection>,
) -> Result<(), PickupFailure> {
    let failure = |conn_path, error| PickupFailure { conn_path, error };
    let handshake = Handshake::new(path.clone(), &[]);
    let asked_for = || Some(path.to_string());
    let conn = establish(&*connect, handshake, limit)
        .await
        .map_err(|error| match error {
            EstablishError::Connect(error) => failure(asked_for(), chain(&error)),
            EstablishError::Write(error) => {
                failure(asked_for(), format!("cannot send the request: {error}"))
            }
            EstablishError::TimedOut => {
                failure(asked_for(), format!("pick-up took over {limit:?}"))
            }
            // As upstream: the path is named where the error does not stand for a reply to it.
            EstablishError::Switch(SwitchError::TooManyRedirects { ref target }) => {
                failure(Some(target.to_string()), "too many redirects".into())
            }
            EstablishError::Switch(error) => failure(None, format!("switch failed: {error}")),
        })?;
    // Nobody accepts any more: the connection's end tells the coordinator.
    let _ = queue.send(conn).await;
    Ok(())
}

async fn wait_until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        write!(text, ": {cause}").expect("a String takes everything");
        source = cause.source();
    }
    text
}

impl fmt::Display for ListenerEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(end) => end.fmt(f),
            Self::Register(_) => f.write_str("cannot register again"),
        }
    }
}

impl Error for ListenerEnd {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Session(end) => end.source(),
            Self::Register(error) => Some(error),
        }
    }
}
