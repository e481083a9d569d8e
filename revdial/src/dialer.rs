use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::config::{ConfigError, DialerConfig};
use crate::connection::Connection;
use crate::control_io::{ControlIo, Turn};
use crate::proto::{
    ControlError, DialFailure, DialId, DialerCore, DialerEvent, DialerId, PickupPath,
};
use crate::registry::PickupRegistry;
use crate::task::Task;

/// Read at a time from a control connection. Its lines are a `pickup-failed` now and then; the buffer is there all the time.
const READ_BYTES: usize = 256;

/// A limit that no dial reaches, and no clock ends at.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Dials the worker at the other end of a control connection: the coordinator's end of a session.
///
/// Made by a [`FrontDoor`](crate::FrontDoor), or by [`Dialer::new`] over any stream. Clones share the session. It ends when the last clone is dropped,
/// at [`close`](Self::close), or when the control connection does, which a worker that dies brings about; see [`closed`](Self::closed).
#[derive(Clone)]
pub struct Dialer {
    session: Arc<Session>,
    // Last: the task ends with the last handle.
    _task: Arc<Task>,
}

/// Why a dial gave no connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum DialError {
    /// The session is over, so no dial will succeed any more.
    Closed(SessionEnd),
    /// The listener says why it could not connect.
    PickupFailed {
        /// Its words.
        error: String,
    },
    /// No connection came within the limit.
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// [`DialerConfig::max_pending`] dials wait already.
    TooManyPending,
}

/// Why a session ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SessionEnd {
    /// This side closed it, or dropped the last handle.
    Closed,
    /// The peer closed the connection.
    PeerClosed,
    /// The peer broke the protocol.
    Protocol(ControlError),
    /// The peer did not accept a line within the write limit.
    Stalled,
    /// The coordinator said nothing for too long.
    Silent(crate::proto::PeerSilent),
    /// Reading or writing failed.
    Io(Arc<io::Error>),
}

impl SessionEnd {
    /// Whether the peer, or the network to it, just fell silent. Other connections to it will get no answer either, which TCP by itself
    /// notices after a quarter of an hour if something was under way.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Silent(_) | Self::Stalled => true,
            Self::Io(error) => matches!(
                error.kind(),
                io::ErrorKind::TimedOut
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::NetworkUnreachable
            ),
            Self::Closed | Self::PeerClosed | Self::Protocol(_) => false,
        }
    }
}

/// Why a [`Dialer`] could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum NewDialerError {
    /// The configuration cannot work.
    Config(ConfigError),
    /// The registry has a dialer of this id already, so it was not made at random.
    IdInUse,
}

/// What the handles and the task of a session share.
pub(crate) struct Session {
    id: DialerId,
    registry: PickupRegistry,
    config: DialerConfig,
    state: Mutex<State>,
    /// There is something to write, a new deadline, or the wish to close.
    wake: Notify,
    ended: Notify,
}

struct State {
    core: DialerCore<Connection>,
    dials: HashMap<DialId, oneshot::Sender<Result<Connection, DialFailure>>>,
    closing: bool,
    end: Option<SessionEnd>,
    /// The task is over as well: the control connection is closed.
    finished: bool,
}

/// A dial that gives up when it is dropped.
struct Dialing<'a> {
    session: &'a Session,
    dial: DialId,
    result: oneshot::Receiver<Result<Connection, DialFailure>>,
}

/// Ends the session when its task does, in whatever way.
struct EndOnDrop(Arc<Session>);

impl Dialer {
    /// Begins a session over `control`, whose peer has just been told that it is registered: its first bytes are a keep-alive.
    ///
    /// On TLS, what was sent before must have been flushed, so that it ends a record; a [`FrontDoor`](crate::FrontDoor) sees to that.
    /// The listener is told to ask for `path`, and what comes is to be [delivered](PickupRegistry::deliver) to `id` in `registry`.
    ///
    /// # Errors
    ///
    /// [`NewDialerError`].
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new<IO>(
        control: IO,
        path: &PickupPath,
        id: DialerId,
        registry: &PickupRegistry,
        config: DialerConfig,
    ) -> Result<Self, NewDialerError>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let config = config.validate().map_err(NewDialerError::Config)?;
        let session = Arc::new(Session {
            id,
            registry: registry.clone(),
            config,
            state: Mutex::new(State {
                core: DialerCore::new(path, &id, config, now()),
                dials: HashMap::new(),
                closing: false,
                end: None,
                finished: false,
            }),
            wake: Notify::new(),
            ended: Notify::new(),
        });
        if !registry.insert(id, &session) {
            return Err(NewDialerError::IdInUse);
        }
        let guard = EndOnDrop(session.clone());
        let control = ControlIo::new(control, config.write_limit);
        let task = Task::spawn(async move { guard.0.drive(control).await });
        Ok(Self {
            session,
            _task: Arc::new(task),
        })
    }

    /// Asks the worker for a connection, within [`DialerConfig::dial_limit`]; takes one from the stock if there is one.
    ///
    /// # Errors
    ///
    /// [`DialError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the dial up. A connection that comes for it all the same serves the next dial.
    pub async fn dial(&self) -> Result<Connection, DialError> {
        self.dial_within(self.session.config.dial_limit).await
    }

    /// [`dial`](Self::dial) with another limit.
    ///
    /// # Errors
    ///
    /// [`DialError`].
    ///
    /// # Cancel safety
    ///
    /// As [`dial`](Self::dial).
    pub async fn dial_within(&self, limit: Duration) -> Result<Connection, DialError> {
        let session = &*self.session;
        while let Some(mut conn) = session.with_core(|core| core.take_stocked(now()))? {
            if !conn.has_ended() {
                return Ok(conn);
            }
        }
        let mut dialing = session.begin_dial(limit)?;
        match (&mut dialing.result).await {
            Ok(Ok(conn)) => Ok(conn),
            Ok(Err(DialFailure::PickupFailed { error })) => Err(DialError::PickupFailed { error }),
            Ok(Err(DialFailure::TimedOut)) => Err(DialError::TimedOut { limit }),
            // The session ended and forgot its dials.
            Err(_) => Err(DialError::Closed(
                session.lock().end.clone().unwrap_or(SessionEnd::Closed),
            )),
        }
    }

    /// Closes the control connection in good order, and waits, at most about a second, until the session is over.
    ///
    /// Dials that wait fail; connections they gave before live on.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the session ends all the same.
    pub async fn close(&self) {
        self.session.lock().closing = true;
        self.session.wake.notify_one();
        loop {
            let ended = self.session.ended.notified();
            if self.session.lock().finished {
                return;
            }
            ended.await;
        }
    }

    /// Waits for the end of the session and says why it ended.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn closed(&self) -> SessionEnd {
        loop {
            let ended = self.session.ended.notified();
            if let Some(end) = &self.session.lock().end {
                return end.clone();
            }
            ended.await;
        }
    }

    /// Whether the session is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.session.lock().end.is_some()
    }

    /// The id that connections are delivered by: a secret.
    #[must_use]
    pub fn id(&self) -> &DialerId {
        &self.session.id
    }

    /// How many connections are in stock.
    #[must_use]
    pub fn stocked(&self) -> usize {
        self.session.lock().core.stocked()
    }
}

impl Session {
    /// Gives a connection to a dial or the stock; back to the caller if the session is over.
    pub(crate) fn picked_up(&self, conn: Connection) -> Result<(), Connection> {
        let mut conn = Some(conn);
        // Over: the connection is still here.
        let _ = self.with_core(|core| {
            if let Some(conn) = conn.take() {
                core.picked_up(conn, now());
            }
        });
        conn.map_or(Ok(()), Err)
    }

    fn begin_dial(&self, limit: Duration) -> Result<Dialing<'_>, DialError> {
        let (sender, result) = oneshot::channel();
        let now = now();
        let mut state = self.lock();
        if let Some(end) = &state.end {
            return Err(DialError::Closed(end.clone()));
        }
        let deadline = now + limit.min(FOR_EVER);
        let dial = state
            .core
            .dial(now, deadline)
            .map_err(|_| DialError::TooManyPending)?;
        state.dials.insert(dial, sender);
        drop(state);
        self.wake.notify_one();
        Ok(Dialing {
            session: self,
            dial,
            result,
        })
    }

    /// Changes the core, then does what it wants done.
    fn with_core<T>(
        &self,
        change: impl FnOnce(&mut DialerCore<Connection>) -> T,
    ) -> Result<T, DialError> {
        let mut state = self.lock();
        if let Some(end) = &state.end {
            return Err(DialError::Closed(end.clone()));
        }
        let timeout = state.core.poll_timeout();
        let result = change(&mut state.core);
        let discarded = state.settle();
        let stirred = state.core.wants_transmit() || state.core.poll_timeout() < timeout;
        drop(state);
        if stirred {
            self.wake.notify_one();
        }
        // Closing is left for when the lock is free.
        drop(discarded);
        Ok(result)
    }

    /// The task of a session.
    async fn drive<IO: AsyncRead + AsyncWrite + Unpin>(&self, mut control: ControlIo<IO>) {
        let mut buf = [0; READ_BYTES];
        let end = loop {
            let due = {
                let mut state = self.lock();
                if state.closing {
                    break SessionEnd::Closed;
                }
                if control.has_room() {
                    control.queue(|| state.core.poll_transmit());
                }
                Instant::from_std(state.core.poll_timeout())
            };
            let write_due = control.write_due();
            let due = write_due.map_or(due, |write_due| due.min(write_due));
            let done = tokio::select! {
                turn = control.turn(&mut buf) => match turn {
                    Ok(Turn::Written) => Ok(()),
                    Ok(Turn::Read(0)) => Err(SessionEnd::PeerClosed),
                    Ok(Turn::Read(len)) => match self.with_core(|core| core.receive(&buf[..len], now())) {
                        Ok(Err(error)) => Err(SessionEnd::Protocol(error)),
                        _ => Ok(()),
                    },
                    Err(error) => Err(SessionEnd::Io(Arc::new(error))),
                },
                () = self.wake.notified() => Ok(()),
                () = sleep_until(due) => {
                    let stalled = write_due.is_some_and(|write_due| write_due <= Instant::now());
                    // It is over only if the task is.
                    let _ = self.with_core(|core| core.handle_timeout(now()));
                    if stalled { Err(SessionEnd::Stalled) } else { Ok(()) }
                }
            };
            if let Err(end) = done {
                break end;
            }
        };
        let is_reachable = !matches!(end, SessionEnd::Stalled | SessionEnd::Io(_));
        // First this: nobody is to dial in the second that the farewell may take.
        self.end(end);
        if is_reachable {
            control.shutdown().await;
        }
    }

    /// Ends the session for everybody; the first reason stays.
    fn end(&self, why: SessionEnd) {
        let mut state = self.lock();
        if state.end.is_some() {
            return;
        }
        state.end = Some(why);
        state.core.close();
        let discarded = state.settle();
        let dials = std::mem::take(&mut state.dials);
        drop(state);
        self.registry.remove(&self.id);
        drop((discarded, dials));
        self.ended.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while it is held would be a bug of this crate, and the core is whole between its methods.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Hands out what the core gives, and returns the connections to be closed.
    fn settle(&mut self) -> Vec<Connection> {
        let mut discarded = Vec::new();
        while let Some(event) = self.core.poll_event() {
            let (dial, result) = match event {
                DialerEvent::Discarded { conn } => {
                    discarded.push(conn);
                    continue;
                }
                DialerEvent::Connected { dial, conn } => (dial, Ok(conn)),
                DialerEvent::Failed { dial, failure } => (dial, Err(failure)),
            };
            let Some(waiter) = self.dials.remove(&dial) else {
                continue;
            };
            if let Err(Ok(conn)) = waiter.send(result) {
                self.core.give_back(conn, now());
            }
        }
        discarded
    }
}

impl Drop for Dialing<'_> {
    fn drop(&mut self) {
        self.result.close();
        let given = self.result.try_recv().ok().and_then(Result::ok);
        let dial = self.dial;
        let mut state = self.session.lock();
        if state.dials.remove(&dial).is_none() && given.is_none() {
            return;
        }
        drop(state);
        // A session that is over has forgotten the dial, and closes the connection here.
        let _ = self.session.with_core(|core| {
            core.cancel(dial);
            if let Some(conn) = given {
                core.give_back(conn, now());
            }
        });
    }
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end(SessionEnd::Closed);
        self.0.lock().finished = true;
        self.0.ended.notify_waiters();
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.session.lock();
        f.debug_struct("Dialer")
            .field("id", &self.session.id)
            .field("core", &state.core)
            .field("end", &state.end)
            .finish()
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // These two are upstream's.
            Self::Closed(_) => f.write_str("revdial.Dialer closed"),
            Self::PickupFailed { error } => {
                write!(f, "revdial listener failed to pick up connection: {error}")
            }
            Self::TimedOut { limit } => {
                write!(f, "revdial listener did not connect within {limit:?}")
            }
            Self::TooManyPending => f.write_str("too many dials wait for this listener"),
        }
    }
}

impl std::error::Error for DialError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Closed(end) => Some(end),
            _ => None,
        }
    }
}

impl fmt::Display for SessionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("session closed by this side"),
            Self::PeerClosed => f.write_str("session closed by the peer"),
            Self::Protocol(_) => f.write_str("the peer broke the protocol"),
            Self::Stalled => f.write_str("the peer does not read"),
            Self::Silent(silent) => silent.fmt(f),
            Self::Io(_) => f.write_str("control connection failed"),
        }
    }
}

impl std::error::Error for SessionEnd {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Protocol(error) => Some(error),
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for NewDialerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(_) => f.write_str("dialer configuration"),
            Self::IdInUse => f.write_str("dialer id is in use"),
        }
    }
}

impl std::error::Error for NewDialerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::IdInUse => None,
        }
    }
}

/// By tokio's clock, which tests may pause.
pub(crate) fn now() -> std::time::Instant {
    Instant::now().into_std()
}
