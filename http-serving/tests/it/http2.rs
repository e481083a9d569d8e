use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use http_serving::{ConnectionError, Server};
use hyper::Request;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::{Desk, LIMIT, read_all, read_until, run};

const SECOND: Duration = Duration::from_secs(1);

pub(crate) type Client = SendRequest<Empty<Bytes>>;

/// A client that takes so many bytes of an answer before it has looked at them.
pub(crate) async fn speak(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    window: u32,
) -> Client {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window);
    let (client, connection) = builder.handshake(TokioIo::new(io)).await.unwrap();
    tokio::spawn(async move {
        let _ = connection.await;
    });
    client
}

pub(crate) fn request(path: &str) -> Request<Empty<Bytes>> {
    let uri = format!("http://localhost{path}");
    Request::get(uri).body(Empty::new()).unwrap()
}

pub(crate) async fn get(client: &mut Client, path: &str) -> String {
    let answer = client.send_request(request(path)).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.into()).unwrap()
}

fn serve(server: Server) -> (DuplexStream, JoinHandle<Result<(), ConnectionError>>) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let serving = tokio::spawn(async move {
        let stop = CancellationToken::new();
        let service = Desk::default().service(None);
        server
            .http2(true)
            .serve_connection(ours, service, &stop)
            .await
    });
    (theirs, serving)
}

#[tokio::test]
async fn both_protocols_are_spoken_on_one_port_if_asked_for() {
    let server = run(Server::default().http2(true)).await;
    let mut client = speak(TcpStream::connect(server.address).await.unwrap(), 1 << 16).await;
    assert_eq!(get(&mut client, "/").await, "hello");
    let mut tcp = server.ask("/").await;
    read_until(&mut tcp, "hello").await;

    let server = run(Server::default()).await;
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    tcp.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    let answer = read_all(&mut tcp).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_at_all_is_left() {
    for begin in [&b""[..], b"PRI * HTTP", b"GET / HT"] {
        let (mut theirs, serving) = serve(Server::default().head_limit(5 * SECOND));
        let began = Instant::now();
        theirs.write_all(begin).await.unwrap();
        let _ = serving.await.unwrap();
        assert_eq!(began.elapsed().as_secs(), 5, "after {begin:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_is_ended_and_one_with_a_request_is_not() {
    let (theirs, mut serving) = serve(Server::default().idle_limit(100 * SECOND));
    let mut client = speak(theirs, 1 << 16).await;
    let mut news = client.send_request(request("/news")).await.unwrap();
    let first = news.frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "some\n");
    let reading = tokio::spawn(async move { while news.frame().await.is_some() {} });
    let early = timeout(1000 * SECOND, &mut serving).await;
    assert!(
        early.is_err(),
        "ended while something was being answered: {early:?}"
    );
    reading.abort();
    let _ = reading.await;
    let began = Instant::now();
    // The client may be gone before the server has said all.
    let _ = serving.await.unwrap();
    let idle = began.elapsed().as_secs();
    assert!((100..=110).contains(&idle), "{idle}");
}

#[tokio::test(start_paused = true)]
async fn a_preface_and_nothing_more_is_ended() {
    let (mut theirs, serving) = serve(Server::default().idle_limit(100 * SECOND));
    theirs
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    let began = Instant::now();
    let _ = serving.await.unwrap();
    assert!(began.elapsed() <= 110 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_but_takes_nothing_of_its_answer_is_left() {
    let limit = 40 * SECOND;
    // It answers pings, and there is room for everything but the answer's body.
    for (window, path) in [(0, "/news"), (3, "/news"), (0, "/big")] {
        let (theirs, serving) = serve(Server::default().write_limit(limit));
        let mut client = speak(theirs, window).await;
        let _answer = client.send_request(request(path)).await.unwrap();
        let began = Instant::now();
        let ended = serving.await.unwrap();
        assert!(
            matches!(ended, Err(ConnectionError::NotTaken)),
            "{path}, {window}: {ended:?}"
        );
        assert!(
            (40..=46).contains(&began.elapsed().as_secs()),
            "{:?}",
            began.elapsed()
        );
    }
}

#[tokio::test]
async fn more_requests_than_allowed_wait_for_others() {
    let server = run(Server::default().http2(true).max_streams(2)).await;
    let mut client = speak(TcpStream::connect(server.address).await.unwrap(), 1 << 16).await;
    // The server's settings are here with the first answer.
    get(&mut client, "/").await;
    let waiting = [(); 2].map(|()| tokio::spawn(client.send_request(request("/wait"))));
    server.desk.under_way(2).await;
    let third = tokio::spawn(client.send_request(request("/")));
    let more = timeout(Duration::from_millis(100), server.desk.under_way(3)).await;
    assert!(more.is_err());
    server.desk.release();
    timeout(LIMIT, third).await.unwrap().unwrap().unwrap();
    server.desk.release();
    for one in waiting {
        timeout(LIMIT, one).await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_end_waits_for_what_is_being_answered() {
    let mut server = run(Server::default().http2(true).stop_limit(LIMIT)).await;
    let mut client = speak(TcpStream::connect(server.address).await.unwrap(), 1 << 16).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let waiting = tokio::spawn(client.send_request(request("/wait")));
    server.desk.under_way(1).await;
    server.stop.cancel();
    assert_eq!(read_all(&mut silent).await, "");
    server.desk.release();
    let answer = timeout(LIMIT, waiting).await.unwrap().unwrap().unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "released");
    timeout(LIMIT, &mut server.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn dropping_the_server_ends_what_is_being_answered() {
    let server = run(Server::default().http2(true)).await;
    let mut client = speak(TcpStream::connect(server.address).await.unwrap(), 1 << 16).await;
    let waiting = tokio::spawn(client.send_request(request("/never")));
    server.desk.under_way(1).await;
    server.task.abort();
    assert!(timeout(LIMIT, waiting).await.unwrap().unwrap().is_err());
    server.desk.under_way(0).await;
}
