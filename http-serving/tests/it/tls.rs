use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_serving::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::support::{LIMIT, Running, ask, read_all, read_until, run_with};

/// A server, and what believes it.
async fn secured(server: Server, protocols: &[&[u8]]) -> (Running, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate: CertificateDer<'static> = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(default_provider());
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let protocols: Vec<Vec<u8>> = protocols.iter().map(|name| name.to_vec()).collect();
    config.alpn_protocols.clone_from(&protocols);
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = protocols;
    let config = Arc::new(config);
    let running = run_with(|listener, desk, stop| async move {
        let service = |peer| desk.service(Some(peer));
        server.serve_tls(listener, config, service, &stop).await;
    });
    (running.await, TlsConnector::from(Arc::new(client)))
}

fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

#[tokio::test]
async fn a_request_over_tls_is_answered() {
    let (server, connector) = secured(Server::default(), &[]).await;
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let mut tls = connector.connect(localhost(), tcp).await.unwrap();
    ask(&mut tls, "/who").await;
    let answer = read_until(&mut tls, "})").await;
    assert!(answer.contains("is_secured: true"), "{answer}");
}

#[tokio::test]
async fn a_handshake_that_never_comes_gives_its_place_back() {
    let limit = Duration::from_millis(500);
    let server = Server::default().max_connections(1).handshake_limit(limit);
    let (server, connector) = secured(server, &[]).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut halfway = TcpStream::connect(server.address).await.unwrap();
    halfway.write_all(&[0x16, 3, 1, 2, 0, 1]).await.unwrap();
    let mut plain = server.ask("/").await;
    assert_eq!(read_all(&mut silent).await, "");
    assert_eq!(read_all(&mut halfway).await, "");
    let mut alert = Vec::new();
    let _ = plain.read_to_end(&mut alert).await;
    // On a slow machine a handshake may take longer than that itself.
    let connected = async {
        loop {
            let tcp = TcpStream::connect(server.address).await?;
            match connector.connect(localhost(), tcp).await {
                Ok(tls) => return Ok::<_, io::Error>(tls),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let mut tls = timeout(LIMIT, connected).await.unwrap().unwrap();
    ask(&mut tls, "/").await;
    read_until(&mut tls, "hello").await;
}

#[tokio::test]
async fn the_end_waits_for_no_handshake() {
    let (server, _) = secured(Server::default().stop_limit(LIMIT), &[]).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    server.stop.cancel();
    assert_eq!(read_all(&mut silent).await, "");
    server.task.await.unwrap();
}

#[cfg(feature = "http2")]
#[tokio::test]
async fn the_protocol_is_chosen_by_the_handshake() {
    use crate::http2::{get, speak};

    let (server, connector) = secured(Server::default().http2(true), &[b"h2", b"http/1.1"]).await;
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let tls = connector.connect(localhost(), tcp).await.unwrap();
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut client = speak(tls, 1 << 16).await;
    assert!(get(&mut client, "/who").await.contains("is_secured: true"));
}
