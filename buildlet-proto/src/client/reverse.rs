use std::io;

use async_trait::async_trait;
use revdial::Dialer;

use super::connector::{BoxIo, Connector};

/// Each connection is dialed back by the worker.
#[async_trait]
impl Connector for Dialer {
    async fn connect(&self) -> io::Result<BoxIo> {
        match self.dial().await {
            Ok(connection) => Ok(Box::new(connection)),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    async fn closed(&self) -> String {
        Self::closed(self).await.to_string()
    }
}
