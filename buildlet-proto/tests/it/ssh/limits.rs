use std::time::Duration;

use buildlet_proto::ssh::ConnectionError;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::host::{Host, LIMIT, eventually, granted};

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let host = Host::start_with(|config| config.max_connections(1)).await;
    let first = host.login().await;
    let mut second = TcpStream::connect(host.address).await.unwrap();
    let mut told = String::new();
    timeout(LIMIT, second.read_to_string(&mut told))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        told,
        "Too many connections to this buildlet; try again later\r\n"
    );
    // The seat is given back.
    drop(first);
    let deadline = tokio::time::Instant::now() + LIMIT;
    while host.connect().await.is_err() {
        assert!(tokio::time::Instant::now() < deadline);
    }
}

#[tokio::test]
async fn one_channel_too_many_is_refused() {
    let host = Host::start_with(|config| config.max_channels(2)).await;
    let handle = host.login().await;
    let mut first = handle.channel_open_session().await.unwrap();
    first.exec(true, "sleep 1000").await.unwrap();
    assert!(granted(&mut first).await);
    let _second = handle.channel_open_session().await.unwrap();
    assert!(handle.channel_open_session().await.is_err());
    first.close().await.unwrap();
    let deadline = tokio::time::Instant::now() + LIMIT;
    while handle.channel_open_session().await.is_err() {
        assert!(tokio::time::Instant::now() < deadline);
    }
}

#[tokio::test]
async fn who_does_not_log_in_is_cut_off() {
    // Long enough for who does, on a busy machine.
    let limit = Duration::from_secs(2);
    let host = Host::start_with(|config| config.login_limit(limit)).await;
    let inside = host.login().await;
    // Two that say nothing, or stop half-way, and one that knows no key.
    let silent = async |greeting: &str| {
        let mut stream = TcpStream::connect(host.address).await.unwrap();
        stream.write_all(greeting.as_bytes()).await.unwrap();
        // Whether it is told in a packet or by the end alone.
        let _ = timeout(LIMIT, stream.read_to_end(&mut Vec::new()))
            .await
            .unwrap();
    };
    let outside = host.connect().await.unwrap();
    tokio::join!(
        silent(""),
        silent("SSH-2.0-slow\r\n"),
        eventually("the connection ends", || outside.is_closed()),
    );
    // Who is in stays in: that connection is older than those.
    assert!(!inside.is_closed());
}

#[tokio::test]
async fn an_idle_connection_ends_if_asked_for() {
    let host = Host::start_with(|config| config.idle_limit(Duration::from_secs(1))).await;
    let (client, server) = tokio::io::duplex(1 << 16);
    let serving = tokio::spawn({
        let server_side = host.server.clone();
        async move {
            server_side
                .serve_connection(server, Default::default())
                .await
        }
    });
    let handle = host.login_over(client).await;
    let mut channel = handle.channel_open_session().await.unwrap();
    channel
        .exec(
            true,
            "for i in 1 2 3 4 5 6; do sleep 0.3; echo $i; done; sleep 1000",
        )
        .await
        .unwrap();
    super::host::read_until(&mut channel, "6").await;
    let error = timeout(LIMIT, serving).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, ConnectionError::Idle), "{error}");
}

#[tokio::test]
async fn rubbish_ends_a_connection_and_nothing_else() {
    let host = Host::start().await;
    for rubbish in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"SSH-2.0-x\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        let mut stream = TcpStream::connect(host.address).await.unwrap();
        stream.write_all(rubbish).await.unwrap();
        stream.shutdown().await.unwrap();
        let _ = timeout(LIMIT, stream.read_to_end(&mut Vec::new()))
            .await
            .unwrap();
    }
    host.login().await;
}
