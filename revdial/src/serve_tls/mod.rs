//! Accepts TLS from Go buildlets, on any port.
//!
//! A Go buildlet asks for the server by the coordinator's address, and cuts off nothing but `:443`: with any other port the
//! name in its `ClientHello` (SNI) is one such as `localhost:8119`. That is no host name, and rustls 0.23 ends the handshake
//! with the alert `illegal_parameter`. [`Acceptor`] lets such clients in:
//!
//! - It looks into the `ClientHello`. A server name that is a host, a colon and a port is hidden: the number of its extension is
//!   replaced by one for private use, so rustls sees a client that asks for no name and gives it the default certificate.
//! - Client and server must agree on a hash of all messages, so rustls has to hash the `ClientHello` as it was sent. The
//!   provider that [`tolerant`] makes puts the number back in what is hashed. Everything else is the provider's own.
//!
//! All other `ClientHello`s are passed on as they are. The hash guards itself: whatever was changed and not restored makes
//! the handshake fail, as a change by somebody in the middle would.
//!
//! Client certificates over TLS 1.2 do not work on a handshake that was changed (they do over 1.3); no buildlet has one.
//!
//! ```no_run
//! # use tokio_rustls::rustls;
//! # async fn accept(
//! #     provider: rustls::crypto::CryptoProvider,
//! #     chain: Vec<rustls::pki_types::CertificateDer<'static>>,
//! #     key: rustls::pki_types::PrivateKeyDer<'static>,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! use revdial::serve_tls::{Acceptor, server_config, tolerant};
//!
//! let config = server_config(tolerant(provider), chain, key)?;
//! let acceptor = Acceptor::new(config.into())?;
//! let listener = tokio::net::TcpListener::bind("[::]:8119").await?;
//! loop {
//!     let (tcp, _) = listener.accept().await?;
//!     let acceptor = acceptor.clone();
//!     tokio::spawn(async move {
//!         let tls = acceptor.accept(tcp).await?;
//!         // ... the front door
//! #       drop(tls);
//!         std::io::Result::Ok(())
//!     });
//! }
//! # }
//! ```

mod filter;
mod hello;
mod transcript;

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::rustls;
use tokio_rustls::server::TlsStream;

pub use self::filter::TolerantIo;
pub use self::transcript::tolerant;

/// Go buildlets give up after this time too.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(30);

/// Accepts TLS connections from clients that put a port into the server's name, and from all others.
#[derive(Clone)]
pub struct Acceptor {
    inner: tokio_rustls::TlsAcceptor,
    handshake_limit: Duration,
}

impl Acceptor {
    /// An acceptor with this configuration, made with a provider from [`tolerant`].
    ///
    /// # Errors
    ///
    /// [`NotTolerant`] when it was made with another one: handshakes with the clients in question would all fail.
    pub fn new(config: Arc<ServerConfig>) -> Result<Self, NotTolerant> {
        if !transcript::is_tolerant(config.crypto_provider()) {
            return Err(NotTolerant);
        }
        Ok(Self {
            inner: config.into(),
            handshake_limit: HANDSHAKE_LIMIT,
        })
    }

    /// How long a handshake may take, 30 seconds unless told.
    #[must_use]
    pub fn handshake_limit(mut self, limit: Duration) -> Self {
        self.handshake_limit = limit;
        self
    }

    /// Reads a client's handshake from `io`.
    ///
    /// At most 18 KiB of a `ClientHello` are held back at once.
    ///
    /// # Errors
    ///
    /// What `io` reports; [`io::ErrorKind::InvalidData`], with a [`rustls::Error`] in it, when there is no agreement with the
    /// client; [`io::ErrorKind::TimedOut`] after the limit.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn accept<IO>(&self, io: IO) -> io::Result<TlsStream<TolerantIo<IO>>>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        timeout(self.handshake_limit, self.inner.accept(TolerantIo::new(io))).await?
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Arc<ServerConfig> {
        self.inner.config()
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("handshake_limit", &self.handshake_limit)
            .finish_non_exhaustive()
    }
}

/// A configuration with one certificate, TLS 1.2 and 1.3, no client certificates and no ALPN.
///
/// The caller may add to it. Of worth is a [`ticketer`](ServerConfig::ticketer): listeners of this crate dial again for every
/// connection, and resume their session where the server lets them, which saves them the check of the certificate and the server
/// a signature; without one the server remembers 256 sessions. One ticket is sent for each connection: that is what the next one takes.
///
/// # Errors
///
/// When the key is not the certificate's, or not one that the provider knows.
pub fn server_config(
    provider: CryptoProvider,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.send_tls13_tickets = 1;
    Ok(config)
}

/// A server's configuration that was not made with a provider from [`tolerant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotTolerant;

impl fmt::Display for NotTolerant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TLS configuration has a crypto provider that did not come from `tolerant`")
    }
}

impl Error for NotTolerant {}
