use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::connect::{Connect, ConnectError};
use crate::connection::Connection;
use crate::proto::{ConnPath, Handshake, Header, InvalidHeader, PathError, SwitchError};

/// How a worker registers: the path it asks for, and who it says it is.
///
/// ```
/// use revdial::Registration;
///
/// let registration = Registration::buildlet("host-linux-bullseye", "9322a0f4...", "my-host", "29")?;
/// # Ok::<(), revdial::proto::InvalidHeader>(())
/// ```
#[derive(Clone, Debug)]
pub struct Registration {
    path: ConnPath,
    headers: Vec<Header>,
}

/// Why a worker could not register.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RegisterError {
    /// The configuration cannot work.
    Config(crate::ConfigError),
    /// There is no stream to the coordinator.
    Connect(Arc<ConnectError>),
    /// The request could not be written.
    Write(Arc<std::io::Error>),
    /// The coordinator did not switch protocols.
    Switch(SwitchError),
    /// All of it took longer than allowed.
    TimedOut {
        /// How long is allowed.
        limit: Duration,
    },
}

/// Why a connection could not be made into a stream.
#[derive(Debug)]
pub(crate) enum EstablishError {
    Connect(ConnectError),
    Write(std::io::Error),
    Switch(SwitchError),
    TimedOut,
}

impl Registration {
    /// With a coordinator at `/reverse`, as the buildlets of golang.org/x/build do (`cmd/buildlet/reverse.go`).
    ///
    /// `key` is the key of the host type; `host_name` names the machine in the coordinator's pages and requests, and is to have
    /// letters, digits, `-`, `_` and `.` alone; `version` is the decimal buildlet version that status pages show.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] if one of the texts cannot be sent.
    pub fn buildlet(
        host_type: &str,
        key: &str,
        host_name: &str,
        version: &str,
    ) -> Result<Self, InvalidHeader> {
        // In the order in which Go sends headers: by name.
        Self::reverse([
            ("X-Go-Builder-Hostname", host_name),
            ("X-Go-Builder-Key", key),
            ("X-Go-Builder-Version", version),
            ("X-Go-Host-Type", host_type),
            ("X-Revdial-Version", "2"),
        ])
    }

    /// With a gomote server at `/reverse`: `id` is the gomote's, `token` an identity token that the server can check.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] if one of the texts cannot be sent.
    pub fn gomote(id: &str, token: &str, host_name: &str) -> Result<Self, InvalidHeader> {
        Self::reverse([
            ("X-Go-Gomote-Id", id),
            ("X-Go-Hostname", host_name),
            ("X-Go-Swarming-Auth-Token", token),
        ])
    }

    /// With any other server: `GET path` with these headers.
    #[must_use]
    pub fn new(path: ConnPath, headers: Vec<Header>) -> Self {
        Self { path, headers }
    }

    /// Asks for another path than `/reverse`.
    ///
    /// # Errors
    ///
    /// [`PathError`].
    pub fn path(mut self, path: &str) -> Result<Self, PathError> {
        self.path = ConnPath::parse(path)?;
        Ok(self)
    }

    fn reverse<const N: usize>(headers: [(&'static str, &str); N]) -> Result<Self, InvalidHeader> {
        let headers = headers
            .into_iter()
            .map(|(name, value)| Header::new(name, value));
        Ok(Self {
            path: ConnPath::parse("/reverse").expect("it begins with a slash"),
            headers: headers.collect::<Result<_, _>>()?,
        })
    }

    /// Registers, and gives the control connection.
    pub(crate) async fn register(
        &self,
        connect: &dyn Connect,
        limit: Duration,
    ) -> Result<Connection, RegisterError> {
        let handshake = Handshake::new(self.path.clone(), &self.headers);
        establish(connect, handshake, limit)
            .await
            .map_err(|error| match error {
                EstablishError::Connect(error) => RegisterError::Connect(Arc::new(error)),
                EstablishError::Write(error) => RegisterError::Write(Arc::new(error)),
                EstablishError::Switch(error) => RegisterError::Switch(error),
                EstablishError::TimedOut => RegisterError::TimedOut { limit },
            })
    }
}

impl RegisterError {
    /// Whether trying again is of no use: the coordinator does not want this worker (400, 412), or the configuration is wrong.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Config(_) => true,
            Self::Switch(SwitchError::Status { code, .. }) => matches!(code, 400 | 412),
            _ => false,
        }
    }
}

/// Connects and asks for a switch of protocols, all within `limit`. The bytes behind the `101` are put back.
pub(crate) async fn establish(
    connect: &dyn Connect,
    mut handshake: Handshake,
    limit: Duration,
) -> Result<Connection, EstablishError> {
    let switched = timeout(limit, async {
        let mut io = connect.connect().await.map_err(EstablishError::Connect)?;
        let mut received = [0; 1024];
        loop {
            let mut len = 0;
            if let Some(request) = handshake.poll_transmit() {
                io.write_all(&request)
                    .await
                    .map_err(EstablishError::Write)?;
                io.flush().await.map_err(EstablishError::Write)?;
            } else {
                // Read errors are ends: a reset says no more than that.
                len = io.read(&mut received).await.unwrap_or(0);
                if len == 0 {
                    return Ok(None);
                }
            }
            let switched = handshake
                .receive(&received[..len])
                .map_err(EstablishError::Switch)?;
            if let Some(rest) = switched {
                io.put_back(rest);
                return Ok(Some(io));
            }
        }
    })
    .await;
    match switched {
        Ok(Ok(Some(io))) => Ok(io),
        Ok(Ok(None)) => Err(EstablishError::Switch(handshake.closed())),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(match handshake.timed_out() {
            SwitchError::TimedOut => EstablishError::TimedOut,
            error => EstablishError::Switch(error),
        }),
    }
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(_) => f.write_str("listener configuration"),
            Self::Connect(error) => error.fmt(f),
            Self::Write(_) => f.write_str("cannot send the registration"),
            // These two are upstream's.
            Self::Switch(error @ SwitchError::TooManyRedirects { .. }) => {
                write!(f, "coordinator /reverse: {error}")
            }
            Self::Switch(_) => f.write_str("coordinator registration failed"),
            Self::TimedOut { limit } => write!(f, "coordinator registration took over {limit:?}"),
        }
    }
}

impl Error for RegisterError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::Connect(error) => error.source(),
            Self::Write(error) => Some(error),
            Self::Switch(SwitchError::TooManyRedirects { .. }) | Self::TimedOut { .. } => None,
            Self::Switch(error) => Some(error),
        }
    }
}
