use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::CallError;
use super::config::Limits;
use super::connector::{BoxIo, Connector};
use super::request::Body;

/// A head that is longer is an error, and no connection holds more of what it reads or writes.
const MAX_BUFFER: usize = 64 << 10;

/// What a server still reads of a request that it has refused, so that its connection can be used again: a quarter of what ours and Go's do.
const READ_ANYWAY: u64 = 64 << 10;

/// Connections to one buildlet, kept between calls.
pub(super) struct Pool {
    connector: Box<dyn Connector>,
    connect_timeout: Duration,
    idle: Arc<Idle>,
}

/// A connection that is not used at the moment, or was lent.
pub(super) struct Connection {
    sender: SendRequest<Body>,
    /// Does the reading and writing. Without it the connection is closed.
    _driver: AbortOnDropHandle<()>,
    home: Weak<Idle>,
    /// It served a call before, so the other side may have closed it by now.
    used: bool,
}

struct Idle {
    limit: usize,
    timeout: Duration,
    state: Mutex<IdleState>,
}

#[derive(Default)]
struct IdleState {
    /// With the time at which each is to be closed, the first to be closed in front.
    connections: VecDeque<(Instant, Connection)>,
    /// Closes them. There is one while there are connections.
    closer: Option<AbortOnDropHandle<()>>,
    shut: bool,
}

impl Pool {
    pub(super) fn new(connector: Box<dyn Connector>, limits: &Limits) -> Self {
        Self {
            connector,
            connect_timeout: limits.connect_timeout,
            idle: Arc::new(Idle {
                limit: limits.max_idle,
                timeout: limits.idle_timeout,
                state: Mutex::default(),
            }),
        }
    }

    /// Sends a request on an idle connection or a new one, and waits for the reply's head.
    ///
    /// If an idle connection turns out to be closed before anything of the request was written, the next one is taken.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection it used.
    pub(super) async fn send(
        &self,
        mut request: Request<Body>,
    ) -> Result<(Response<Incoming>, Connection), SendError> {
        loop {
            let mut connection = match self.idle.take() {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            let used = connection.used;
            // It may still have to notice the end of the last reply, or that the other side closed it.
            if used && connection.sender.ready().await.is_err() {
                continue;
            }
            let is_long = is_long(&request);
            match connection.sender.try_send_request(request).await {
                Ok(response) => {
                    connection.answered(is_long, &response);
                    return Ok((response, connection));
                }
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) if used => request = unsent,
                    _ => {
                        return Err(SendError {
                            used,
                            error: classify(failed.into_error()),
                        });
                    }
                },
            }
        }
    }

    /// Sends a request on a new connection.
    pub(super) async fn send_on_new(
        &self,
        request: Request<Body>,
    ) -> Result<(Response<Incoming>, Connection), CallError> {
        let mut connection = self.connect().await?;
        let response = connection.send(request).await?;
        Ok((response, connection))
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> Result<Connection, CallError> {
        let io = self.dial().await?;
        let (sender, driver) = http1::Builder::new()
            // As Go writes them; some proxies still look.
            .title_case_headers(true)
            .max_buf_size(MAX_BUFFER)
            .handshake(TokioIo::new(io))
            .await
            .map_err(CallError::Connection)?;
        let driver = tokio::spawn(async move {
            if let Err(error) = driver.with_upgrades().await {
                // Who waits for a reply gets it too.
                tracing::debug!(%error, "connection to a buildlet ended");
            }
        });
        Ok(Connection {
            sender,
            _driver: AbortOnDropHandle::new(driver),
            home: Arc::downgrade(&self.idle),
            used: false,
        })
    }

    async fn dial(&self) -> Result<BoxIo, CallError> {
        match timeout(self.connect_timeout, self.connector.connect()).await {
            Ok(result) => result.map_err(CallError::Connect),
            Err(_) => Err(CallError::Connect(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no connection within {:?}", self.connect_timeout),
            ))),
        }
    }

    /// Returns once no connection can be made any more.
    pub(super) async fn closed(&self) -> String {
        self.connector.closed().await
    }

    /// Closes the idle connections, and from now on keeps none.
    pub(super) fn shut(&self) {
        let mut state = self.idle.lock();
        state.shut = true;
        state.connections.clear();
        state.closer = None;
    }
}

/// Whether the server may close the connection if it refuses this in the middle: in time for the next request to be lost.
fn is_long(request: &Request<Body>) -> bool {
    let len = request.body().size_hint().upper();
    len.is_none_or(|len| len > READ_ANYWAY)
}

/// Why a request was not answered.
pub(super) struct SendError {
    /// It went over a connection that had served before: perhaps nobody has seen it.
    pub(super) used: bool,
    pub(super) error: CallError,
}

impl From<CallError> for SendError {
    fn from(error: CallError) -> Self {
        Self { used: false, error }
    }
}

/// Tells a failure of what was to be sent from one of the connection.
fn classify(error: hyper::Error) -> CallError {
    let source =
        std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>());
    match source {
        Some(source) if error.is_user() => {
            CallError::Source(io::Error::new(source.kind(), source.to_string()))
        }
        _ => CallError::Connection(error),
    }
}

impl Connection {
    /// Sends a request for which the connection is given away.
    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, CallError> {
        let is_long = is_long(&request);
        let sent = self.sender.send_request(request).await;
        let response = sent.map_err(classify)?;
        self.answered(is_long, &response);
        Ok(response)
    }

    /// Is not kept after a refusal that may have come before the end of the request.
    fn answered(&mut self, was_long: bool, response: &Response<Incoming>) {
        if was_long && !response.status().is_success() {
            self.home = Weak::new();
        }
    }

    /// Keeps it for the next call: its reply was read to the end.
    pub(super) fn recycle(mut self) {
        if let Some(home) = self.home.upgrade() {
            self.used = true;
            home.put(self);
        }
    }
}

impl Idle {
    fn lock(&self) -> MutexGuard<'_, IdleState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last: the likeliest to be open.
    fn take(&self) -> Option<Connection> {
        let mut state = self.lock();
        while let Some((_, connection)) = state.connections.pop_back() {
            if !connection.sender.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    fn put(self: &Arc<Self>, connection: Connection) {
        let mut state = self.lock();
        if state.shut || self.limit == 0 || connection.sender.is_closed() {
            return;
        }
        if state.connections.len() == self.limit {
            state.connections.pop_front();
        }
        let due = Instant::now() + self.timeout;
        state.connections.push_back((due, connection));
        if state
            .closer
            .as_ref()
            .is_none_or(AbortOnDropHandle::is_finished)
        {
            let closer = tokio::spawn(close_in_time(Arc::downgrade(self), due));
            state.closer = Some(AbortOnDropHandle::new(closer));
        }
    }

    /// Closes what is due, and says when the next one is. Without any there is no closer any more.
    fn close_due(&self) -> Option<Instant> {
        let mut state = self.lock();
        let now = Instant::now();
        while let Some((due, _)) = state.connections.front() {
            if *due > now {
                return Some(*due);
            }
            state.connections.pop_front();
        }
        // The task that asks ends now; dropping its handle from within it does no harm.
        state.closer = None;
        None
    }
}

async fn close_in_time(idle: Weak<Idle>, mut due: Instant) {
    loop {
        sleep_until(due).await;
        match idle.upgrade().and_then(|idle| idle.close_due()) {
            Some(next) => due = next,
            None => return,
        }
    }
}
