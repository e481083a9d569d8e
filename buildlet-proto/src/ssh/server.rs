use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use russh::server::{Config as RusshConfig, run_stream};
use russh::{Disconnect, MethodKind, MethodSet, SshId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ssh::config::{Config, ConfigError};
use crate::ssh::connection::{Activity, Client};
use crate::ssh::guard::Guard;
use crate::ssh::host_key::HostKey;
use crate::ssh::input::WINDOW;
use crate::ssh::keys::AuthorizedKeys;

/// How often a silent peer is asked whether it is there, and how often in vain before it is given up.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const KEEP_ALIVES: usize = 3;

/// How long a connection that is being ended may take to say good-bye, and its processes to end.
const FAREWELL: Duration = Duration::from_secs(3);

/// How long to wait after the system refused to accept a connection, as it does when it is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What one is told who is one too many. OpenSSH's client shows lines that come before the version.
const FULL: &[u8] = b"Too many connections to this buildlet; try again later\r\n";

/// An SSH server. Clones share their keys and limits.
#[derive(Clone)]
pub struct Server {
    config: Arc<Config>,
    russh: Arc<RusshConfig>,
    host_key: String,
    seats: Arc<Semaphore>,
}

impl Server {
    /// Checks the configuration.
    ///
    /// # Errors
    ///
    /// See [`ConfigError`].
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let mut config = config.validate()?;
        let host_key = config.host_key.take().unwrap_or_else(HostKey::generate);
        let russh = RusshConfig {
            // The product and nothing that helps to find a hole in it.
            server_id: SshId::Standard("SSH-2.0-buildlet".into()),
            methods: MethodSet::from(&[MethodKind::PublicKey][..]),
            auth_rejection_time: config.refusal_time,
            // The first request is "none", to learn which methods there are.
            auth_rejection_time_initial: Some(Duration::ZERO),
            // That one counts as well.
            max_auth_attempts: config.max_auth_attempts + 1,
            inactivity_timeout: Some(config.login_limit.max(KEEP_ALIVE * 4)),
            keepalive_interval: Some(KEEP_ALIVE),
            keepalive_max: KEEP_ALIVES,
            window_size: WINDOW,
            nodelay: true,
            ..RusshConfig::default()
        };
        let public = host_key.public_key();
        let russh = Arc::new(RusshConfig {
            keys: vec![host_key.into_private_key()],
            ..russh
        });
        let seats = Arc::new(Semaphore::new(config.max_connections));
        Ok(Self {
            config: Arc::new(config),
            russh,
            host_key: public,
            seats,
        })
    }

    /// Whose keys open the server.
    #[must_use]
    pub fn keys(&self) -> &AuthorizedKeys {
        &self.config.keys
    }

    /// How many connections there are, logged in or not.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.config.max_connections - self.seats.available_permits()
    }

    /// The public half of the host's key, as behind the host's name in `known_hosts`.
    #[must_use]
    pub fn host_key(&self) -> &str {
        &self.host_key
    }

    /// Accepts connections until `stop`, and returns when the last of them has ended.
    ///
    /// # Errors
    ///
    /// None: what is wrong with a connection, or with accepting one, is logged.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops accepting, and ends all connections soon after. Cancel `stop` to know when they have ended.
    pub async fn serve(&self, listener: TcpListener, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        // Also when this future is dropped.
        let stop = stop.child_token();
        let _end = stop.clone().drop_guard();
        while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept an SSH connection");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let _ = stream.set_nodelay(true);
            let (server, stop) = (self.clone(), stop.clone());
            tasks.spawn(async move {
                if let Err(error) = server.serve_connection(stream, stop).await {
                    tracing::debug!(%peer, %error, "an SSH connection ended");
                }
            });
            if tasks.len() > 4 * self.config.max_connections {
                // Those above the limit are being told so, which takes a moment; nobody shall make it more.
                sleep(ACCEPT_PAUSE).await;
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    /// Serves one connection, which may come from anywhere, as from `POST /connect-ssh`, until it ends or `stop` is cancelled.
    /// All its processes have ended then.
    ///
    /// # Errors
    ///
    /// See [`ConnectionError`]. A client that says good-bye is none, and neither is `stop`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the connection and kills its processes, though not before the runtime's next turn.
    pub async fn serve_connection<IO>(
        &self,
        mut io: IO,
        stop: CancellationToken,
    ) -> Result<(), ConnectionError>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Ok(_seat) = Arc::clone(&self.seats).try_acquire_owned() else {
            let _ = timeout(FAREWELL, tokio::io::AsyncWriteExt::write_all(&mut io, FULL)).await;
            return Err(ConnectionError::TooMany);
        };
        // Cancelled last: takes the connection from russh, whose task ends only so.
        let cut = CancellationToken::new();
        let _cut = cut.clone().drop_guard();
        let client = Client::new(Arc::clone(&self.config), cut.child_token());
        let (logged_in, tasks, activity, channels) = (
            client.logged_in.clone(),
            client.tasks.clone(),
            client.activity.clone(),
            client.stop.clone(),
        );
        let login_limit = sleep(self.config.login_limit);
        let begin = async {
            tokio::select! {
                session = run_stream(Arc::clone(&self.russh), Guard::new(io, cut.clone()), client) => session.map(Some),
                () = stop.cancelled() => Ok(None),
            }
        };
        tokio::pin!(login_limit);
        let session = tokio::select! {
            session = begin => session.map_err(ConnectionError::of)?,
            () = &mut login_limit => return Err(ConnectionError::LoginLimit),
        };
        let Some(mut session) = session else {
            return Ok(());
        };
        let handle = session.handle();
        let too_slow = async {
            login_limit.await;
            if logged_in.is_cancelled() {
                std::future::pending::<()>().await;
            }
        };
        let (reason, result) = tokio::select! {
            ended = &mut session => (None, ended.map_err(ConnectionError::of)),
            () = stop.cancelled() => (Some("the buildlet stops"), Ok(())),
            () = too_slow => (Some("too slow to log in"), Err(ConnectionError::LoginLimit)),
            () = idle(&activity, self.config.idle_limit) => (Some("idle for too long"), Err(ConnectionError::Idle)),
        };
        channels.cancel();
        tasks.close();
        let farewell = async {
            // While the connection can still carry how the processes ended.
            tasks.wait().await;
            if let Some(reason) = reason {
                let _ = handle
                    .disconnect(
                        Disconnect::ByApplication,
                        reason.to_owned(),
                        "en".to_owned(),
                    )
                    .await;
                let _ = session.await;
            }
        };
        let _ = timeout(FAREWELL, farewell).await;
        cut.cancel();
        tasks.wait().await;
        result
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("config", &self.config)
            .field("host_key", &self.host_key)
            .finish_non_exhaustive()
    }
}

async fn idle(activity: &Activity, limit: Option<Duration>) {
    let Some(limit) = limit else {
        return std::future::pending().await;
    };
    loop {
        let last = activity.last();
        sleep_until(last + limit).await;
        if activity.last() == last {
            return;
        }
    }
}

/// Why a connection ended otherwise than by its client's will.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectionError {
    /// There were as many as [`Config::max_connections`] allows.
    TooMany,
    /// Nobody logged in within [`Config::login_limit`].
    LoginLimit,
    /// Nothing was carried for [`Config::idle_limit`].
    Idle,
    /// The transport failed.
    Io(io::Error),
    /// The client broke the protocol, or stopped answering.
    Protocol(Box<dyn std::error::Error + Send + Sync>),
}

impl ConnectionError {
    fn of(error: russh::Error) -> Self {
        match error {
            russh::Error::IO(error) => Self::Io(error),
            other => Self::Protocol(other.into()),
        }
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooMany => "too many connections",
            Self::LoginLimit => "nobody logged in in time",
            Self::Idle => "nothing was carried for too long",
            Self::Io(_) => "the connection failed",
            Self::Protocol(_) => "the client broke the protocol",
        })
    }
}

impl std::error::Error for ConnectionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::TooMany | Self::LoginLimit | Self::Idle => None,
            Self::Io(error) => Some(error),
            Self::Protocol(error) => Some(&**error),
        }
    }
}
