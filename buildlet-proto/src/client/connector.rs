use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::net::TcpStream;

pub(super) use crate::stream::BoxIo;

/// Makes connections to one buildlet.
///
/// The client limits the time it waits ([`Config::connect_timeout`](super::Config::connect_timeout)) and drops the future then.
#[async_trait]
pub trait Connector: Send + Sync + 'static {
    /// Makes a connection on which the buildlet awaits HTTP/1.1.
    async fn connect(&self) -> io::Result<BoxIo>;

    /// Returns, with the reason, once no connection can be made any more, as after the end of a reverse buildlet's session. Never
    /// by default.
    async fn closed(&self) -> String {
        std::future::pending().await
    }
}

#[async_trait]
impl<C: Connector + ?Sized> Connector for Arc<C> {
    async fn connect(&self) -> io::Result<BoxIo> {
        C::connect(self).await
    }

    async fn closed(&self) -> String {
        C::closed(self).await
    }
}

/// Connects to an address, without TLS.
#[derive(Clone, Debug)]
pub struct TcpConnector {
    address: String,
}

impl TcpConnector {
    /// Connects to `HOST:PORT`.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
        }
    }

    pub(super) async fn dial(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(&self.address).await?;
        // A request is one small write that waits for an answer.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

#[async_trait]
impl Connector for TcpConnector {
    async fn connect(&self) -> io::Result<BoxIo> {
        Ok(Box::new(self.dial().await?))
    }
}
