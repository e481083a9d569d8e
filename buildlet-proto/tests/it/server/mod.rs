//! The server, over real connections.

mod faults;
mod limits;
mod requests;
mod resume;
mod session;
mod vectors;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use buildlet_proto::server::{self, Config, ServeError, Server};
use buildlet_proto::workdir::Workdir;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes on the slowest machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A server on the loopback interface, with a work directory of its own.
pub(crate) struct Buildlet {
    _folder: TempDir,
    pub(crate) workdir: PathBuf,
    pub(crate) address: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) served: JoinHandle<Result<(), ServeError>>,
}

impl Buildlet {
    pub(crate) async fn start(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Not what `$TMPDIR` says, which may have links in it.
        let workdir = folder.path().canonicalize().unwrap().join("workdir");
        std::fs::create_dir(&workdir).unwrap();
        let server = Server::new(Workdir::open(&workdir).unwrap(), config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let ending = stop.clone();
        let served = tokio::spawn(async move { server.serve(server::tcp(listener), ending).await });
        Self {
            _folder: folder,
            workdir,
            address,
            stop,
            served,
        }
    }

    pub(crate) async fn connect(&self) -> Connection<TcpStream> {
        let io = TcpStream::connect(self.address).await.unwrap();
        io.set_nodelay(true).unwrap();
        Connection::new(io)
    }

    /// Sends a request on a connection of its own, and returns the reply.
    pub(crate) async fn ask(&self, request: impl AsRef<[u8]>) -> Reply {
        let mut connection = self.connect().await;
        connection.send(request).await;
        connection.reply().await
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.workdir.join(name)
    }
}

/// A client's end of a connection: bytes out, replies in.
pub(crate) struct Connection<T> {
    pub(crate) io: T,
    /// What was read and does not belong to a reply that was asked for.
    pub(crate) rest: Vec<u8>,
}

/// A reply, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status_line: String,
    /// In their order, without `Date`.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

impl Reply {
    pub(crate) fn status(&self) -> u16 {
        self.status_line[9..12].parse().unwrap()
    }

    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        lookup(&self.headers, name)
    }

    pub(crate) fn trailer(&self, name: &str) -> Option<&str> {
        lookup(&self.trailers, name)
    }
}

fn lookup<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let (_, value) = fields.iter().find(|(n, _)| n == name)?;
    Some(value)
}

impl<T: AsyncRead + tokio::io::AsyncWrite + Unpin> Connection<T> {
    pub(crate) fn new(io: T) -> Self {
        Self {
            io,
            rest: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.io.write_all(bytes.as_ref()).await.unwrap();
        self.io.flush().await.unwrap();
    }

    /// Reads more; false at the end.
    async fn fill(&mut self) -> bool {
        self.rest.reserve(1 << 16);
        let read = tokio::time::timeout(LIMIT, self.io.read_buf(&mut self.rest)).await;
        // A connection that is cut off ends as well.
        read.expect("a reply comes").unwrap_or(0) > 0
    }

    /// Takes what stands before the next `mark`, which is taken too.
    pub(crate) async fn until(&mut self, mark: &str) -> String {
        loop {
            let found = self
                .rest
                .windows(mark.len())
                .position(|window| window == mark.as_bytes());
            if let Some(at) = found {
                let text = self.take(at);
                self.take(mark.len());
                return String::from_utf8(text).unwrap();
            }
            let before = String::from_utf8_lossy(&self.rest).into_owned();
            assert!(
                self.fill().await,
                "the end came before {mark:?}: {before:?}"
            );
        }
    }

    fn take(&mut self, len: usize) -> Vec<u8> {
        self.rest.drain(..len).collect()
    }

    pub(crate) async fn bytes(&mut self, len: usize) -> Vec<u8> {
        while self.rest.len() < len {
            assert!(self.fill().await, "the end came before {len} bytes");
        }
        self.take(len)
    }

    /// Waits for the end, and returns what came before it.
    pub(crate) async fn end(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.rest)
    }

    /// A status line and headers, without `Date`.
    pub(crate) async fn head(&mut self) -> (String, Vec<(String, String)>) {
        let head = self.until("\r\n\r\n").await;
        let mut lines = head.split("\r\n");
        let status_line = lines.next().unwrap().to_owned();
        (status_line, fields(lines))
    }

    /// A chunk's data, as it came; empty at the end, which is not taken.
    pub(crate) async fn chunk(&mut self) -> Vec<u8> {
        let size = usize::from_str_radix(&self.until("\r\n").await, 16).unwrap();
        if size == 0 {
            return Vec::new();
        }
        let data = self.bytes(size).await;
        assert_eq!(self.bytes(2).await, b"\r\n");
        data
    }

    /// A whole reply.
    pub(crate) async fn reply(&mut self) -> Reply {
        self.reply_to("GET").await
    }

    pub(crate) async fn reply_to(&mut self, method: &str) -> Reply {
        let (status_line, headers) = self.head().await;
        let mut reply = Reply {
            status_line,
            headers,
            body: Vec::new(),
            trailers: Vec::new(),
        };
        if method == "HEAD" {
        } else if reply.header("Transfer-Encoding") == Some("chunked") {
            loop {
                let chunk = self.chunk().await;
                if chunk.is_empty() {
                    break;
                }
                reply.body.extend(chunk);
            }
            let mut lines = Vec::new();
            loop {
                let line = self.until("\r\n").await;
                if line.is_empty() {
                    break;
                }
                lines.push(line);
            }
            reply.trailers = fields(lines.iter().map(String::as_str));
        } else if let Some(len) = reply.header("Content-Length") {
            reply.body = self.bytes(len.parse().unwrap()).await;
        } else {
            reply.body = self.end().await;
        }
        reply
    }
}

fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    lines
        .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("{line:?}")))
        .filter(|(name, _)| *name != "Date")
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// A request with a form in its body, as Go's client sends it.
pub(crate) fn post(target: &str, form: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: \r\nContent-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nAccept-Encoding: gzip\r\n\r\n{form}",
        form.len()
    )
}

pub(crate) fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: \r\nAccept-Encoding: gzip\r\n\r\n")
}

pub(crate) fn put(target: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "PUT {target} HTTP/1.1\r\nHost: \r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A command line for a shell, as a request.
pub(crate) fn shell(script: &str) -> String {
    let script: String = script.bytes().map(|byte| format!("%{byte:02x}")).collect();
    post(
        "/exec",
        &format!("cmd=sh&cmdArg=-c&cmdArg={script}&mode=sys"),
    )
}

/// Whether the process of this number has ended. (Its parent may take its time to notice.)
pub(crate) fn is_gone(pid: &str) -> bool {
    match std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())) {
        Ok(stat) => stat
            .rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('Z')),
        Err(_) => true,
    }
}

/// Waits until `what` holds.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + LIMIT;
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn write(path: impl AsRef<Path>, content: impl AsRef<[u8]>, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = path.as_ref();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
