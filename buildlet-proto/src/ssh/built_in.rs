use std::fmt;
use std::io;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::server::{SshError, SshSession, SshTarget};
use crate::ssh::server::Server;

/// A [`Server`] that `/connect-ssh` leads to: nothing listens on a port, so nobody else on the machine or its network comes near it.
///
/// The key that a request brings is good for the user that it names, and for all connections from then on. Dropping this ends all
/// connections.
pub struct BuiltIn {
    server: Server,
    stop: CancellationToken,
}

impl BuiltIn {
    /// The target for [`server::Config::ssh`](crate::server::Config::ssh).
    #[must_use]
    pub fn new(server: Server) -> Self {
        Self {
            server,
            stop: CancellationToken::new(),
        }
    }
}

impl Drop for BuiltIn {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for BuiltIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuiltIn")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl SshTarget for BuiltIn {
    async fn authorize(&self, user: &str, line: &str) -> Result<(), SshError> {
        Ok(self.server.keys().authorize(user, line)?)
    }

    async fn connect(&self) -> io::Result<SshSession> {
        let (server, stop) = (self.server.clone(), self.stop.clone());
        Ok(Box::new(move |client| {
            Box::pin(async move {
                let served = server.serve_connection(client, stop).await;
                served.map_err(io::Error::other)
            })
        }))
    }
}
