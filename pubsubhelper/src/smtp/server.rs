use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_serving::accept_each;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::hub::Hub;
use crate::mail::{MailError, MailReader};
use crate::smtp::session::{Envelope, Session, Step};

/// Until a client takes what it is sent.
const WRITE_LIMIT: Duration = Duration::from_secs(60);
/// How long sessions may take to say goodbye once the server is to stop.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// Bytes of one read: what a client sends ahead is held in one of these.
const READ: usize = 16 << 10;

/// Who an SMTP server says it is, what it takes, and its limits.
#[derive(Clone, Debug)]
pub struct SmtpConfig {
    pub(super) host_name: String,
    pub(super) recipient: String,
    pub(super) max_mail: usize,
    max_connections: usize,
    silence: Duration,
    session: Duration,
}

impl SmtpConfig {
    /// A server of that name that takes mails for that address alone, which is compared to the byte.
    ///
    /// Characters of the name that no host name has are left out.
    #[must_use]
    pub fn new(host_name: &str, recipient: &str) -> Self {
        let is_host = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        Self {
            host_name: host_name.chars().filter(is_host).collect(),
            recipient: recipient.to_owned(),
            max_mail: 5 << 20,
            max_connections: 100,
            silence: Duration::from_secs(60),
            session: Duration::from_secs(600),
        }
    }

    /// Bytes of the longest mail; 5 MiB by default, as upstream.
    #[must_use]
    pub fn max_mail(mut self, bytes: usize) -> Self {
        self.max_mail = bytes;
        self
    }

    /// Clients that are served at once; 100 by default, each of which may hold a mail. Others wait.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections.max(1);
        self
    }

    /// How long a client may say nothing; a minute by default.
    #[must_use]
    pub fn silence(mut self, time: Duration) -> Self {
        self.silence = time;
        self
    }

    /// How long a session may be; ten minutes by default.
    #[must_use]
    pub fn session(mut self, time: Duration) -> Self {
        self.session = time;
        self
    }
}

/// Takes mails, and publishes what those of Gerrit say.
#[derive(Clone, Debug)]
pub struct SmtpServer {
    config: Arc<SmtpConfig>,
    reader: MailReader,
    hub: Hub,
}

impl SmtpServer {
    /// A server that publishes to `hub`.
    #[must_use]
    pub fn new(config: SmtpConfig, reader: MailReader, hub: Hub) -> Self {
        Self {
            config: Arc::new(config),
            reader,
            hub,
        }
    }

    /// Serves those who connect until `stop` is cancelled; sessions then end where they stand.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes all connections.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let max = self.config.max_connections;
        accept_each(listener, max, STOP_LIMIT, &stop, |stream, peer| {
            let (server, stop) = (self.clone(), stop.clone());
            async move {
                if let Err(error) = server.speak(stream, &stop).await {
                    tracing::debug!("the mail session with {peer} failed: {error}");
                }
            }
        })
        .await;
    }

    /// One session, over any connection, until either side ends it.
    ///
    /// # Errors
    ///
    /// When the connection fails, or the client does not take its replies within a minute.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the session; a mail that was not answered will come again.
    pub async fn speak(
        &self,
        mut io: impl AsyncRead + AsyncWrite + Unpin,
        stop: &CancellationToken,
    ) -> io::Result<()> {
        let mut session = Session::new(Arc::clone(&self.config));
        let talk = self.talk(&mut io, &mut session);
        let ended = tokio::select! {
            () = stop.cancelled() => None,
            ended = timeout(self.config.session, talk) => ended.ok(),
        };
        if let Some(ended) = ended {
            return ended;
        }
        // Replies that were on their way may be cut short; the client sees the connection end, and sends its mail again.
        session.give_up();
        while let Some(Step::Reply(bytes)) = session.next_step() {
            write(&mut io, &bytes).await?;
        }
        io.shutdown().await
    }

    async fn talk(
        &self,
        io: &mut (impl AsyncRead + AsyncWrite + Unpin),
        session: &mut Session,
    ) -> io::Result<()> {
        let mut buffer = vec![0; READ];
        loop {
            while let Some(step) = session.next_step() {
                match step {
                    Step::Reply(bytes) => write(io, &bytes).await?,
                    Step::Mail(mail) => {
                        let taken = self.take(&mail).await;
                        session.answer_mail(taken);
                    }
                    Step::Close => return io.shutdown().await,
                }
            }
            match timeout(self.config.silence, io.read(&mut buffer)).await {
                Ok(Ok(0)) => return Ok(()),
                Ok(read) => session.receive(&buffer[..read?]),
                Err(_) => session.give_up(),
            }
        }
    }

    /// Whether the mail need not come again. Who sends others than Gerrit's is not told that they are of no use.
    async fn take(&self, mail: &Envelope) -> bool {
        match self.reader.read(mail).await {
            Ok(signal) => {
                let time = self.hub.publish(signal);
                tracing::info!("a mail is event {time}");
                true
            }
            Err(MailError::Refused(refusal)) => {
                tracing::info!(
                    "a mail of {} bytes is refused: {refusal}",
                    mail.message.len()
                );
                true
            }
            Err(MailError::Keys(error)) => {
                tracing::warn!("a mail cannot be checked: {error}");
                false
            }
        }
    }
}

async fn write(io: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    timeout(WRITE_LIMIT, io.write_all(bytes)).await?
}
