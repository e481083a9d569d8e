//! A coordinator's port, and a client that shows what really goes over the wire.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use build_coordinator::web::{Backend, Certificate, Server, Site, SiteConfig};
use revdial::proto::{Claim, Refusal};
use revdial::{FrontDoor, FrontDoorConfig, PickupRegistry, Registered};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// A server on a port of its own, until dropped.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) folder: TempDir,
    pub(super) stop: CancellationToken,
    pub(super) task: AbortOnDropHandle<()>,
    pub(super) machines: mpsc::Receiver<Registered>,
}

pub(super) async fn serve(backend: Arc<dyn Backend>) -> Running {
    serve_with(backend, SiteConfig::default()).await
}

pub(super) async fn serve_with(backend: Arc<dyn Backend>, config: SiteConfig) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let certificate = Certificate::kept_in(
        folder.path(),
        &["localhost".to_owned(), "127.0.0.1".to_owned()],
    )
    .unwrap();
    let stop = CancellationToken::new();
    let site = Site::new(backend, config, stop.clone()).unwrap();
    let anybody = |_: &Claim| Ok::<(), Refusal>(());
    let door = FrontDoor::new(FrontDoorConfig::default(), PickupRegistry::new(), anybody).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, machines) = mpsc::channel(8);
    let server = Server::new(site, door, certificate);
    let serving = {
        let stop = stop.clone();
        async move {
            let hand_on = move |machine| {
                let sender = sender.clone();
                async move { drop(sender.send(machine).await) }
            };
            server.serve(listener, hand_on, stop).await.unwrap();
        }
    };
    Running {
        address,
        folder,
        stop,
        task: AbortOnDropHandle::new(tokio::spawn(serving)),
        machines,
    }
}

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    head: String,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(super) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// What stands in a page's form.
    pub(super) fn csrf(&self) -> String {
        let text = self.text();
        let (_, rest) = text
            .split_once("name=\"csrf\" value=\"")
            .expect("the page has a form");
        rest.split('"').next().unwrap().to_owned()
    }
}

impl Running {
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], "").await
    }

    pub(super) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.send("GET", path, headers, "").await
    }

    /// Sends a form.
    pub(super) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut all = vec![("Content-Type", "application/x-www-form-urlencoded")];
        all.extend_from_slice(headers);
        self.send("POST", path, &all, body).await
    }

    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let mut tcp = TcpStream::connect(self.address).await.unwrap();
        tcp.write_all(self.request(method, path, headers, body).as_bytes())
            .await
            .unwrap();
        let mut all = Vec::new();
        timeout(LIMIT, tcp.read_to_end(&mut all))
            .await
            .expect("an answer ends")
            .unwrap();
        parse(&all)
    }

    /// Sends a request, and gives the connection to read from.
    pub(super) async fn open(&self, path: &str, headers: &[(&str, &str)]) -> TcpStream {
        let mut tcp = TcpStream::connect(self.address).await.unwrap();
        tcp.write_all(self.request("GET", path, headers, "").as_bytes())
            .await
            .unwrap();
        tcp
    }

    pub(super) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> String {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        );
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("host"))
        {
            request.push_str(&format!("Host: {}\r\n", self.address));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request + "\r\n" + body
    }
}

pub(super) fn parse(all: &[u8]) -> Reply {
    let end = all
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("an answer has a head");
    let head = str::from_utf8(&all[..end]).unwrap().to_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut reply = Reply {
        status,
        head,
        body: all[end + 4..].to_vec(),
    };
    if reply.header("transfer-encoding") == Some("chunked") {
        reply.body = unchunked(&reply.body);
    }
    reply
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let len = usize::from_str_radix(str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        rest = &rest[end + 2..];
        if len == 0 {
            break;
        }
        body.extend_from_slice(&rest[..len.min(rest.len())]);
        rest = rest.get(len + 2..).unwrap_or_default();
    }
    body
}

/// Reads from a connection until `wanted` has come, and gives everything so far, chunk sizes included.
pub(super) async fn read_until(tcp: &mut TcpStream, seen: &mut String, wanted: &str) {
    let read = async {
        let mut buffer = [0; 16 << 10];
        while !seen.contains(wanted) {
            match tcp.read(&mut buffer).await.unwrap() {
                0 => panic!("the answer ended without {wanted:?}: {seen}"),
                n => seen.push_str(str::from_utf8(&buffer[..n]).unwrap()),
            }
        }
    };
    timeout(LIMIT, read)
        .await
        .unwrap_or_else(|_| panic!("{wanted:?} did not come"));
}

/// Waits until something is so.
pub(super) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, wait)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}
