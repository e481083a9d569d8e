//! The connector: TCP, TLS, and the way through a proxy.

use std::error::Error as _;

use revdial::{Connect as _, ConnectError, ConnectorError, Proxy, ProxyError, TcpConnector};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// An address that refuses connections.
async fn nobody() -> String {
    listener().await.1
}

#[test]
fn an_address_is_a_host_and_a_port() {
    for address in [
        "localhost:443",
        "10.0.0.1:8119",
        "[::1]:443",
        "farmer.example:1",
    ] {
        assert!(TcpConnector::new(address).is_ok(), "{address}");
    }
    for address in [
        "localhost",
        "localhost:",
        ":443",
        "localhost:99999",
        "::1:443",
        "a b:1",
        "a\r\nb:1",
        "http://a:1",
    ] {
        let error = TcpConnector::new(address).unwrap_err();
        assert!(matches!(error, ConnectorError::Address { .. }), "{address}");
    }
}

#[tokio::test]
async fn tcp_carries_both_ways() {
    let (listener, address) = listener().await;
    let connector = TcpConnector::new(&address).unwrap();
    let (conn, accepted) = tokio::join!(connector.connect(), listener.accept());
    let (mut conn, (mut server, _)) = (conn.unwrap(), accepted.unwrap());
    conn.write_all(b"a").await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'a');
    server.write_all(b"b").await.unwrap();
    assert_eq!(conn.read_u8().await.unwrap(), b'b');
}

#[tokio::test]
async fn a_coordinator_that_is_not_there_is_an_error_with_its_cause() {
    let connector = TcpConnector::new(&nobody().await).unwrap();
    let error = connector.connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Dial(_)));
    assert!(error.source().is_some());
}

/// A proxy for one connection, which answers with `reply` and then is the server itself.
async fn proxy(reply: &'static [u8]) -> (String, tokio::task::JoinHandle<String>) {
    let (listener, address) = listener().await;
    let proxying = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(tcp.read_u8().await.unwrap());
        }
        tcp.write_all(reply).await.unwrap();
        let _ = tcp.read_u8().await.map(|byte| assert_eq!(byte, b'!'));
        String::from_utf8(request).unwrap()
    });
    (address, proxying)
}

#[tokio::test]
async fn the_proxy_is_asked_in_upstreams_words_once_the_direct_way_failed() {
    let (address, proxying) = proxy(b"HTTP/1.0 200 Connection established\r\nX: y\r\n\r\n").await;
    let target = nobody().await;
    let connector = TcpConnector::new(&target)
        .unwrap()
        .proxy(Some(Proxy::new(&address).unwrap()));
    let mut conn = connector.connect().await.unwrap();
    conn.write_all(b"!").await.unwrap();
    let request = proxying.await.unwrap();
    assert_eq!(
        request,
        format!("CONNECT {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    );

    // While the direct way is open, the proxy hears nothing.
    let (_listener, target) = listener().await;
    let connector = TcpConnector::new(&target)
        .unwrap()
        .proxy(Some(Proxy::new(&nobody().await).unwrap()));
    connector.connect().await.unwrap();
}

#[tokio::test]
async fn a_proxy_that_refuses_or_speaks_out_of_turn_is_an_error() {
    for (reply, is_expected) in [
        (
            &b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"[..],
            (|error| matches!(error, ProxyError::Refused { status } if status.starts_with("407")))
                as fn(&ProxyError) -> bool,
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nearly", |error| {
            matches!(error, ProxyError::EarlyBytes)
        }),
        (b"what?\r\n\r\n", |error| {
            matches!(error, ProxyError::Reply(_))
        }),
    ] {
        let (address, _proxying) = proxy(reply).await;
        let connector = TcpConnector::new(&nobody().await).unwrap();
        let error = connector
            .proxy(Some(Proxy::new(&address).unwrap()))
            .connect()
            .await
            .unwrap_err();
        let ConnectError::Proxy { source, .. } = &error else {
            panic!("{error:?}")
        };
        assert!(is_expected(source), "{source:?}");
    }
}

#[cfg(feature = "tls")]
mod tls {
    use std::sync::Arc;

    use revdial::Connection;
    use tokio_rustls::rustls::RootCertStore;

    use super::*;
    use crate::tls::{acceptor, believing, client_config};

    /// Connects to a server of TLS; the name that the client asked it for comes back, too.
    async fn connect(
        host: &str,
        config: tokio_rustls::rustls::ClientConfig,
    ) -> (Result<Connection, ConnectError>, Option<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.unwrap();
            let mut tls = acceptor().accept(tcp).await.ok()?;
            tls.write_all(b"hello").await.unwrap();
            tls.flush().await.unwrap();
            let (_, session) = tls.get_ref();
            assert_eq!(session.alpn_protocol(), None);
            session.server_name().map(str::to_owned)
        });
        let connector = TcpConnector::new(&format!("{host}:{port}"))
            .unwrap()
            .tls(Arc::new(config))
            .unwrap();
        let mut connected = connector.connect().await;
        if let Ok(conn) = &mut connected {
            let mut hello = [0; 5];
            conn.read_exact(&mut hello).await.unwrap();
            assert_eq!(&hello, b"hello");
        }
        (connected, serving.await.unwrap())
    }

    #[tokio::test]
    async fn the_servers_name_is_the_host_without_its_port() {
        let (conn, name) = connect("localhost", client_config()).await;
        conn.unwrap();
        assert_eq!(name.as_deref(), Some("localhost"));
    }

    #[tokio::test]
    async fn a_certificate_that_is_for_another_name_or_of_nobody_known_is_refused() {
        for (host, config) in [
            ("127.0.0.1", client_config()),
            ("localhost", believing(RootCertStore::empty())),
        ] {
            let (conn, _) = connect(host, config).await;
            assert!(
                matches!(conn.unwrap_err(), ConnectError::Handshake(_)),
                "{host}"
            );
        }
    }

    #[test]
    fn http_2_is_never_offered() {
        for (protocols, allowed) in [
            (vec![], true),
            (vec!["http/1.1"], true),
            (vec!["h2", "http/1.1"], false),
            (vec!["h3"], false),
        ] {
            let mut config = client_config();
            config.alpn_protocols = protocols
                .iter()
                .map(|protocol| protocol.as_bytes().to_vec())
                .collect();
            let connector = TcpConnector::new("localhost:443")
                .unwrap()
                .tls(Arc::new(config));
            assert_eq!(connector.is_ok(), allowed, "{protocols:?}");
        }
    }
}
