//! A server for one test, and a client for it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use buildlet_proto::ssh::{Config, Server};
use russh::client::{AuthResult, Handle, Msg};
use russh::keys::key::safe_rng;
use russh::keys::{Algorithm, PrivateKey, PrivateKeyWithHashAlg};
use russh::{Channel, ChannelMsg};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// What takes longer hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) const USER: &str = "gopher";

pub(crate) struct Host {
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
    pub(crate) key: Arc<PrivateKey>,
    pub(crate) stop: CancellationToken,
    pub(crate) serving: JoinHandle<()>,
    workdir: TempDir,
}

impl Host {
    pub(crate) async fn start() -> Self {
        Self::start_with(|config| config).await
    }

    pub(crate) async fn start_with(tune: impl FnOnce(Config) -> Config) -> Self {
        let workdir = tempfile::tempdir().unwrap();
        let config = Config::new(workdir.path())
            .shell("/bin/sh")
            .refusal_time(Duration::from_millis(10));
        let server = Server::new(tune(config)).unwrap();
        let key = new_key();
        server.keys().authorize(USER, &line_of(&key)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = tokio::spawn({
            let (server, stop) = (server.clone(), stop.clone());
            async move { server.serve(listener, stop).await }
        });
        Self {
            server,
            address,
            key,
            stop,
            serving,
            workdir,
        }
    }

    pub(crate) fn workdir(&self) -> &Path {
        self.workdir.path()
    }

    /// A connection that has not logged in.
    pub(crate) async fn connect(&self) -> Result<Handle<Client>, russh::Error> {
        let client = Client::of(&self.server);
        russh::client::connect(Arc::default(), self.address, client).await
    }

    pub(crate) async fn login(&self) -> Handle<Client> {
        let mut handle = self.connect().await.unwrap();
        assert!(offer(&mut handle, USER, &self.key).await.success());
        handle
    }

    /// Logs in, and returns what the connection can be pulled with.
    pub(crate) async fn login_with_plug(&self) -> (Handle<Client>, std::net::TcpStream) {
        let stream = std::net::TcpStream::connect(self.address).unwrap();
        stream.set_nonblocking(true).unwrap();
        let plug = stream.try_clone().unwrap();
        let stream = tokio::net::TcpStream::from_std(stream).unwrap();
        (self.login_over(stream).await, plug)
    }

    /// Logs in over a connection that does not come from the listener.
    pub(crate) async fn login_over<IO>(&self, io: IO) -> Handle<Client>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let client = Client::of(&self.server);
        let mut handle = russh::client::connect_stream(Arc::default(), io, client)
            .await
            .unwrap();
        assert!(offer(&mut handle, USER, &self.key).await.success());
        handle
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, command: &str, input: &[u8]) -> Ended {
        let handle = self.login().await;
        let channel = handle.channel_open_session().await.unwrap();
        run_in(channel, command, input).await
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

pub(crate) fn new_key() -> Arc<PrivateKey> {
    Arc::new(PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap())
}

/// As in `authorized_keys`.
pub(crate) fn line_of(key: &PrivateKey) -> String {
    key.public_key().to_openssh().unwrap()
}

pub(crate) async fn offer(
    handle: &mut Handle<Client>,
    user: &str,
    key: &Arc<PrivateKey>,
) -> AuthResult {
    let key = PrivateKeyWithHashAlg::new(Arc::clone(key), None);
    timeout(LIMIT, handle.authenticate_publickey(user, key))
        .await
        .unwrap()
        .unwrap()
}

/// Takes no other host for the test's own.
pub(crate) struct Client {
    host_key: String,
}

impl Client {
    pub(crate) fn of(server: &Server) -> Self {
        Self {
            host_key: server.host_key().to_owned(),
        }
    }
}

impl russh::client::Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        key: &russh::keys::PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let russh::keys::PublicKeyOrCertificate::PublicKey { key, .. } = key else {
            return Ok(false);
        };
        Ok(key.to_openssh().unwrap() == self.host_key)
    }
}

/// What a session left.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Ended {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) status: Option<u32>,
    pub(crate) signal: Option<String>,
}

impl Ended {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }
}

pub(crate) async fn run_in(channel: Channel<Msg>, command: &str, input: &[u8]) -> Ended {
    channel.exec(true, command).await.unwrap();
    channel.data(input).await.unwrap();
    channel.eof().await.unwrap();
    finish(channel).await
}

/// Collects what comes until the channel is closed.
pub(crate) async fn finish(mut channel: Channel<Msg>) -> Ended {
    let mut ended = Ended::default();
    while let Some(message) = timeout(LIMIT, channel.wait())
        .await
        .expect("the channel closes in time")
    {
        match message {
            ChannelMsg::Data { data } => ended.stdout.extend(&*data),
            ChannelMsg::ExtendedData { data, ext: 1 } => ended.stderr.extend(&*data),
            ChannelMsg::ExitStatus { exit_status } => ended.status = Some(exit_status),
            ChannelMsg::ExitSignal { signal_name, .. } => {
                ended.signal = Some(format!("{signal_name:?}"));
            }
            _ => {}
        }
    }
    ended
}

/// Waits until the output so far has `text` in it, and returns the output.
pub(crate) async fn read_until(channel: &mut Channel<Msg>, text: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(text) {
        match timeout(LIMIT, channel.wait())
            .await
            .unwrap_or_else(|_| panic!("no {text:?} in {seen:?}"))
        {
            Some(ChannelMsg::Data { data }) => seen.push_str(std::str::from_utf8(&data).unwrap()),
            Some(_) => {}
            None => panic!("the channel was closed without {text:?} in {seen:?}"),
        }
    }
    seen
}

/// Whether a request was granted.
pub(crate) async fn granted(channel: &mut Channel<Msg>) -> bool {
    loop {
        match timeout(LIMIT, channel.wait()).await.unwrap() {
            Some(ChannelMsg::Success) => return true,
            Some(ChannelMsg::Failure) | None => return false,
            Some(_) => {}
        }
    }
}

/// Polls, as the end of a process can be seen but not waited for by a stranger.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + LIMIT;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a process runs; one that is dead and not collected does not.
pub(crate) fn runs(pid: &str) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat
            .rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('Z')),
        Err(_) => false,
    }
}
