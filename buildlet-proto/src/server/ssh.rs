use std::fmt;
use std::io;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::ssh_gate;

/// A connection to an SSH server.
pub trait SshConnection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> SshConnection for T {}

/// Who answers the SSH connections that come by `/connect-ssh`.
#[async_trait]
pub trait SshTarget: Send + Sync {
    /// Lets the owner of the key in a line as of `authorized_keys` log in as `user`. Called before [`connect`](Self::connect), if the
    /// request names both.
    async fn authorize(&self, user: &str, line: &str) -> Result<(), SshError>;

    /// Connects. Cancel safe: dropping the future leaves nothing behind.
    async fn connect(&self) -> io::Result<Box<dyn SshConnection>>;
}

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

    async fn connect(&self) -> io::Result<Box<dyn SshConnection>> {
        let stream = ssh_gate::connect(self.port).await?;
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
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
