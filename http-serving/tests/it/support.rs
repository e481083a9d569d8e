//! A service that answers in several ways, and a server of it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Channel, Full};
use http_serving::{ConnectionService, Peer, Server};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

/// For whatever should happen soon, on a machine that has much else to do.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// More than any buffer below takes.
pub(crate) const BIG: usize = 64 << 20;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What requests wait for, and how many are there.
#[derive(Clone, Default)]
pub(crate) struct Desk(Arc<Inner>);

struct Inner {
    released: Semaphore,
    under_way: AtomicUsize,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            released: Semaphore::new(0),
            under_way: AtomicUsize::new(0),
        }
    }
}

/// Counts a request as long as it is answered.
struct Counted(Desk);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Desk {
    /// Lets one request at `/wait` be answered.
    pub(crate) fn release(&self) {
        self.0.released.add_permits(1);
    }

    /// Waits until so many requests are being answered.
    pub(crate) async fn under_way(&self, requests: usize) {
        let reached = async {
            while self.0.under_way.load(Ordering::SeqCst) != requests {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(LIMIT, reached).await.expect("requests come and go");
    }

    pub(crate) fn service(&self, peer: Option<Peer>) -> impl ConnectionService<Body = Body> {
        let desk = self.clone();
        service_fn(move |request: Request<Incoming>| {
            let desk = desk.clone();
            async move {
                let answer = desk.answer(peer, &request).await;
                Ok::<_, Infallible>(Response::new(answer))
            }
        })
    }

    async fn answer(&self, peer: Option<Peer>, request: &Request<Incoming>) -> Body {
        self.0.under_way.fetch_add(1, Ordering::SeqCst);
        let counted = Counted(self.clone());
        let whole = |bytes: Bytes| Full::new(bytes).boxed_unsync();
        match request.uri().path() {
            "/wait" => {
                let released = self.0.released.acquire().await;
                released.expect("it is never closed").forget();
                whole("released".into())
            }
            "/never" => std::future::pending().await,
            "/big" => whole(vec![b'x'; BIG].into()),
            // Some at once, and more each second.
            "/news" => {
                let (mut send, body) = Channel::new(1);
                send.send_data("some\n".into())
                    .await
                    .expect("there is room for one");
                tokio::spawn(async move {
                    // Lives as long as the body.
                    let _counted = counted;
                    while send.send_data("more\n".into()).await.is_ok() {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                });
                body.boxed_unsync()
            }
            "/who" => whole(format!("{peer:?}").into()),
            _ => whole("hello".into()),
        }
    }
}

/// A server that ends with it.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) desk: Desk,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
    _guard: DropGuard,
}

pub(crate) async fn run(server: Server) -> Running {
    run_with(|listener, desk, stop| async move {
        server
            .serve(listener, |peer| desk.service(Some(peer)), &stop)
            .await;
    })
    .await
}

pub(crate) async fn run_with<F>(
    serve: impl FnOnce(TcpListener, Desk, CancellationToken) -> F,
) -> Running
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (desk, stop) = (Desk::default(), CancellationToken::new());
    let task = tokio::spawn(serve(listener, desk.clone(), stop.clone()));
    Running {
        address,
        desk,
        _guard: stop.clone().drop_guard(),
        stop,
        task,
    }
}

impl Running {
    /// A connection on which that was asked.
    pub(crate) async fn ask(&self, path: &str) -> TcpStream {
        let mut tcp = TcpStream::connect(self.address).await.unwrap();
        ask(&mut tcp, path).await;
        tcp
    }
}

pub(crate) async fn ask(io: &mut (impl tokio::io::AsyncWrite + Unpin), path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    io.write_all(request.as_bytes()).await.unwrap();
}

/// Reads until what came ends so.
pub(crate) async fn read_until(io: &mut (impl tokio::io::AsyncRead + Unpin), end: &str) -> String {
    let mut text = Vec::new();
    let reading = async {
        while !text.ends_with(end.as_bytes()) {
            text.push(io.read_u8().await.expect("more should come"));
        }
    };
    timeout(LIMIT, reading).await.expect("it comes soon");
    String::from_utf8(text).unwrap()
}

/// Reads until the server closes.
pub(crate) async fn read_all(io: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    let read = timeout(LIMIT, io.read_to_end(&mut text)).await;
    // A connection that is cut may be reset.
    let _ = read.expect("the server closes it");
    String::from_utf8(text).unwrap()
}
