use std::fmt;
use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::BoxIo;
use crate::ssh_gate;

/// Who answers the SSH connections that come by `/connect-ssh`.
#[async_trait]
pub trait SshTarget: Send + Sync {
    /// Lets the owner of the key in a line as of `authorized_keys` log in as `user`. Called before [`connect`](Self::connect), if the
    /// request names both.
    async fn authorize(&self, user: &str, line: &str) -> Result<(), SshError>;

    /// Makes ready for a session, so that nothing is likely to fail any more; the client is told of an error. Cancel safe:
    /// dropping the future leaves nothing behind.
    async fn connect(&self) -> io::Result<SshSession>;
}

/// Takes the client's connection, and serves it until it ends. Dropping the future ends it at once.
pub type SshSession =
    Box<dyn FnOnce(BoxIo) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send>> + Send>;

/// Why a key was not accepted.
pub type SshError = Box<dyn std::error::Error + Send + Sync>;

/// The machine's own SSH server, on the loopback interface, as upstream has it.
#[derive(Clone, Copy, Debug)]
pub struct LocalSshd {
    port: u16,
}

impl LocalSshd {
    /// The server at this port; upstream's choice is [`ssh_gate::default_port`].
    #[must_use]
    pub fn new(port: u16) -> Self {
        Self { port }
    }
}

#[async_trait]
impl SshTarget for LocalSshd {
    async fn authorize(&self, user: &str, line: &str) -> Result<(), SshError> {
        let (user, line) = (user.to_owned(), line.to_owned());
        tokio::task::spawn_blocking(move || ssh_gate::authorize(&user, &line)).await??;
        Ok(())
    }

    async fn connect(&self) -> io::Result<SshSession> {
        let server = ssh_gate::connect(self.port).await?;
        server.set_nodelay(true)?;
        Ok(Box::new(|client| Box::pin(relay(client, server))))
    }
}

/// What is still on its way in one direction after the other one ended, has this time.
const RELAY_REST: Duration = Duration::from_secs(5);

/// Copies both ways until one side ends.
async fn relay<A, B>(client: A, server: B) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Send,
    B: AsyncRead + AsyncWrite + Send,
{
    let (mut client_reader, mut client_writer) = tokio::io::split(client);
    let (mut server_reader, mut server_writer) = tokio::io::split(server);
    let mut up = pin!(async {
        tokio::io::copy(&mut client_reader, &mut server_writer).await?;
        server_writer.shutdown().await
    });
    let mut down = pin!(async {
        tokio::io::copy(&mut server_reader, &mut client_writer).await?;
        client_writer.shutdown().await
    });
    let rest: Pin<&mut (dyn Future<Output = io::Result<()>> + Send)> = tokio::select! {
        ended = &mut up => { ended?; down },
        ended = &mut down => { ended?; up },
    };
    // It may as well wait for a peer that has nothing to say.
    timeout(RELAY_REST, rest).await.unwrap_or(Ok(()))
}

/// Displays an error with its causes.
pub(super) struct Chain<'a>(pub(super) &'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
