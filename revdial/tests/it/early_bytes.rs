//! Bytes that come together with a `101`, or before it, are the first of the stream: on both sides, over every transport.
//!
//! Upstream's listener loses them, and the call that sent them hangs.

use std::pin::Pin;
use std::time::Duration;

use revdial::proto::{DialerId, Message, PickupPath};
use revdial::{
    Accepted, Arrival, Connection, Dialer, DialerConfig, FrontDoor, FrontDoorConfig, Listener,
    ListenerConfig, PickupRegistry,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::coordinator::{KEY, check_key, registration};

const LIMIT: Duration = Duration::from_secs(20);

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}
type Stream = Box<dyn Io>;
type Pair = Pin<Box<dyn Future<Output = (Stream, Stream)> + Send>>;

/// Two ends of a stream: the worker's, and the server's.
type Transport = fn() -> Pair;

fn transports() -> Vec<(&'static str, Transport)> {
    let transports: &[(_, Transport)] = &[
        ("memory", in_memory),
        ("TCP", over_tcp),
        #[cfg(feature = "tls")]
        ("TLS", tls::over_tls),
    ];
    transports.to_vec()
}

fn in_memory() -> Pair {
    Box::pin(async {
        let (worker, server) = duplex(1 << 16);
        (Box::new(worker) as Stream, Box::new(server) as Stream)
    })
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (worker, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (worker.unwrap(), accepted.unwrap().0)
}

fn over_tcp() -> Pair {
    Box::pin(async {
        let (worker, server) = tcp_pair().await;
        (Box::new(worker) as Stream, Box::new(server) as Stream)
    })
}

#[cfg(feature = "tls")]
mod tls {
    use super::{Pair, Stream, tcp_pair};
    use crate::tls::{acceptor, connector};

    pub(super) fn over_tls() -> Pair {
        Box::pin(async {
            let (worker, server) = tcp_pair().await;
            let name = "localhost".try_into().unwrap();
            let (worker, server) =
                tokio::join!(connector().connect(name, worker), acceptor().accept(server));
            (
                Box::new(worker.unwrap()) as Stream,
                Box::new(server.unwrap()) as Stream,
            )
        })
    }
}

/// A coordinator that sends everything in one write: on TLS, in one record.
#[tokio::test]
async fn our_worker_keeps_what_comes_with_its_101() {
    for (name, transport) in transports() {
        // Bytes that are lost would be waited for without end.
        let case = worker_keeps_what_comes_with_its_101(name, transport);
        timeout(LIMIT, case).await.expect(name);
    }
}

async fn worker_keeps_what_comes_with_its_101(name: &str, transport: Transport) {
    let (opening, mut opened) = mpsc::unbounded_channel();
    let connector = move || {
        let opening = opening.clone();
        async move {
            let (worker, server) = transport().await;
            opening.send(server).unwrap();
            Ok(worker)
        }
    };
    let registering = tokio::spawn(Listener::register(
        connector,
        registration(),
        ListenerConfig::default(),
    ));
    let mut control = opened.recv().await.unwrap();
    let conn_ready = Message::ConnReady {
        conn_path: "/a".into(),
    }
    .encode();
    control
        .write_all(&[b"HTTP/0.0 101 X\r\n\r\n", &conn_ready[..]].concat())
        .await
        .unwrap();
    control.flush().await.unwrap();
    let mut listener = registering.await.unwrap().unwrap();

    let mut pickup = opened.recv().await.unwrap();
    pickup
        .write_all(b"HTTP/0.0 101 X\r\n\r\nGET /status HTTP/1.1\r\n\r\n")
        .await
        .unwrap();
    pickup.flush().await.unwrap();
    let mut conn = listener.accept().await.unwrap();
    let mut request = [0; 24];
    conn.read_exact(&mut request).await.unwrap();
    assert_eq!(&request, b"GET /status HTTP/1.1\r\n\r\n", "{name}");
    pickup.write_all(b"more").await.unwrap();
    pickup.flush().await.unwrap();
    let mut more = [0; 4];
    conn.read_exact(&mut more).await.unwrap();
    assert_eq!(&more, b"more", "{name}");
}

/// A worker that does not wait for its `101`.
#[tokio::test]
async fn our_coordinator_keeps_what_comes_before_its_101() {
    for (name, transport) in transports() {
        // Bytes that are lost would be waited for without end.
        let case = coordinator_keeps_what_comes_before_its_101(name, transport);
        timeout(LIMIT, case).await.expect(name);
    }
}

async fn coordinator_keeps_what_comes_before_its_101(name: &str, transport: Transport) {
    let door =
        FrontDoor::new(FrontDoorConfig::default(), PickupRegistry::new(), check_key).unwrap();
    let (mut worker, server) = transport().await;
    let failed = Message::PickupFailed {
        conn_path: None,
        error: "early".into(),
    }
    .encode();
    let request = format!(
        "GET /reverse HTTP/1.1\r\nHost: \r\nX-Go-Builder-Hostname: host-a\r\nX-Go-Builder-Key: {KEY}\r\n\
         X-Go-Host-Type: test\r\nX-Revdial-Version: 2\r\n\r\n"
    );
    worker
        .write_all(&[request.as_bytes(), &failed, b"xyz\n"].concat())
        .await
        .unwrap();
    worker.flush().await.unwrap();
    let accepted = door.accept(Arrival::tls(server)).await;
    let Ok(Accepted::Registered(registered)) = accepted else {
        panic!("{name}: not registered")
    };
    // The line that is none was read, for it ended the session.
    let end = registered.dialer.closed().await;
    assert!(
        matches!(end, revdial::SessionEnd::Protocol(_)),
        "{name}: {end:?}"
    );

    let id = DialerId::random().unwrap();
    let (_control, ours) = duplex(1 << 16);
    let path = PickupPath::default();
    let dialer = Dialer::new(ours, &path, id, door.registry(), DialerConfig::default()).unwrap();
    let (mut worker, server) = transport().await;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: \r\n\r\nearly bytes",
        path.for_dialer(&id)
    );
    worker.write_all(request.as_bytes()).await.unwrap();
    worker.flush().await.unwrap();
    assert!(
        matches!(
            door.accept(Arrival::tls(server)).await,
            Ok(Accepted::PickedUp)
        ),
        "{name}"
    );
    let mut conn: Connection = dialer.dial().await.unwrap();
    let mut early = [0; 11];
    conn.read_exact(&mut early).await.unwrap();
    assert_eq!(&early, b"early bytes", "{name}");
    conn.write_all(b"and back").await.unwrap();
    conn.flush().await.unwrap();
    let mut reply = vec![0; "HTTP/1.1 101 Switching Protocols\r\n\r\nand back".len()];
    worker.read_exact(&mut reply).await.unwrap();
    assert!(reply.ends_with(b"\r\n\r\nand back"), "{name}");
}
