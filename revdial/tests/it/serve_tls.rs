//! Go's TLS client, and ours, at an acceptor that takes a port in the server's name.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use revdial::serve_tls::{Acceptor, NotTolerant, server_config, tolerant};
use revdial::trust::Trust;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::{TlsConnector, rustls};

fn certificate() -> CertifiedKey<rcgen::KeyPair> {
    generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

fn config(certificate: &CertifiedKey<rcgen::KeyPair>, provider: CryptoProvider) -> ServerConfig {
    let chain = vec![certificate.cert.der().clone()];
    let key = certificate.signing_key.serialize_der().try_into().unwrap();
    server_config(tolerant(provider), chain, key).unwrap()
}

fn acceptor() -> Acceptor {
    Acceptor::new(config(&certificate(), ring::default_provider()).into()).unwrap()
}

/// Sends one line of each connection back.
async fn serve(acceptor: Acceptor) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let Ok(tls) = acceptor.accept(tcp).await else {
                continue; // the client says why
            };
            let mut tls = BufReader::new(tls);
            let mut line = String::new();
            tls.read_line(&mut line).await.unwrap();
            tls.write_all(line.as_bytes()).await.unwrap();
            tls.shutdown().await.unwrap();
        }
    });
    (addr, tasks)
}

/// Runs Go's client with these arguments; `None` if there is none.
async fn go(addr: SocketAddr, args: &[&str]) -> Option<Vec<Value>> {
    let go = harness::peer_or_skip("gotlsclient")?;
    let mut args: Vec<_> = args.iter().map(|&arg| arg.to_owned()).collect();
    args.extend(["-addr".to_owned(), addr.to_string()]);
    let output = tokio::task::spawn_blocking(move || {
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        go.filter(&args, b"").unwrap()
    });
    let output = output.await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
    Some(lines.map(Result::unwrap).collect())
}

mod peers {
    use super::*;

    #[tokio::test]
    async fn go_comes_in_by_a_name_with_a_port_and_by_one_without() {
        let (addr, _server) = serve(acceptor()).await;
        for name in [
            "localhost:8119",
            "127.0.0.1:8119",
            "[::1]:8119",
            "localhost",
            "127.0.0.1",
        ] {
            for version in ["1.3", "1.2"] {
                let Some(results) = go(addr, &["-name", name, "-max", version]).await else {
                    return;
                };
                assert_eq!(results[0]["error"], Value::Null, "{name}, {version}");
                assert_eq!(results[0]["version"], format!("TLS {version}"));
            }
        }
    }

    #[tokio::test]
    async fn go_comes_in_when_asked_for_another_key_share() {
        let (addr, _server) = serve(without_gos_first_groups()).await;
        for name in ["localhost:8119", "localhost"] {
            let Some(results) = go(addr, &["-name", name]).await else {
                return;
            };
            assert_eq!(results[0]["error"], Value::Null, "{name}");
            assert_eq!(results[0]["retried"], true, "{name}");
        }
    }

    #[tokio::test]
    async fn go_resumes_its_session() {
        let mut with_tickets = config(&certificate(), ring::default_provider());
        with_tickets.ticketer = ring::Ticketer::new().unwrap();
        for (acceptor, version) in [
            (acceptor(), "1.3"),
            (Acceptor::new(with_tickets.clone().into()).unwrap(), "1.3"),
            (Acceptor::new(with_tickets.into()).unwrap(), "1.2"),
            // The binders are computed twice.
            (without_gos_first_groups(), "1.3"),
        ] {
            let (addr, _server) = serve(acceptor).await;
            for name in ["localhost:8119", "localhost"] {
                let args = ["-name", name, "-max", version, "-resume", "-conns", "3"];
                let Some(results) = go(addr, &args).await else {
                    return;
                };
                for (at, result) in results.iter().enumerate() {
                    assert_eq!(result["error"], Value::Null, "{name}, {version}");
                    assert_eq!(result["resumed"], at > 0, "{name}, {version}");
                }
            }
        }
    }

    /// Go sends shares for two other groups first.
    fn without_gos_first_groups() -> Acceptor {
        let mut provider = ring::default_provider();
        provider.kx_groups = vec![ring::kx_group::SECP384R1];
        Acceptor::new(config(&certificate(), provider).into()).unwrap()
    }

    /// Why all this is. When this fails, rustls has learned it, and the module can go.
    #[tokio::test]
    async fn rustls_by_itself_refuses_a_name_with_a_port() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config(
            &certificate(),
            ring::default_provider(),
        )));
        let server = tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.unwrap();
            acceptor.accept(tcp).await.map(drop)
        });
        let Some(results) = go(addr, &["-name", "localhost:8119"]).await else {
            return;
        };
        assert_eq!(results[0]["error"], "remote error: tls: illegal parameter");
        let error = server.await.unwrap().unwrap_err().to_string();
        assert!(
            error.contains("ServerNameMustContainOneHostName"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_client_of_ours_comes_in_and_resumes_its_session() {
    let (addr, _server) = serve(acceptor()).await;
    let connector = connector(Trust::Anyone);
    for resumed in [false, true, true] {
        let tcp = TcpStream::connect(addr).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = connector.connect(name, tcp).await.unwrap();
        tls.write_all(b"hello\n").await.unwrap();
        let mut back = String::new();
        tls.read_to_string(&mut back).await.unwrap();
        assert_eq!(back, "hello\n");
        let kind = tls.get_ref().1.handshake_kind().unwrap();
        assert_eq!(kind == rustls::HandshakeKind::Resumed, resumed, "{kind:?}");
    }
}

#[tokio::test]
async fn a_handshake_changed_on_its_way_fails() {
    let (client, mut near) = tokio::io::duplex(1 << 16);
    let (mut far, server) = tokio::io::duplex(1 << 16);
    let server = tokio::spawn(async move { acceptor().accept(server).await.map(drop) });
    let between = tokio::spawn(async move {
        let mut header = [0; 5];
        near.read_exact(&mut header).await.unwrap();
        let mut hello = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
        near.read_exact(&mut hello).await.unwrap();
        // server_name: the list's length, the name's type and length, the name.
        let extension = b"\x00\x00\x00\x0e\x00\x0c\x00\x00\x09localhost";
        let at = hello
            .windows(extension.len())
            .position(|bytes| bytes == extension)
            .unwrap();
        hello[at..at + 2].copy_from_slice(&[0xff, 0x7c]);
        far.write_all(&[&header[..], &hello].concat())
            .await
            .unwrap();
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    });
    let name = ServerName::try_from("localhost").unwrap();
    connector(Trust::Anyone)
        .connect(name, client)
        .await
        .unwrap_err();
    server.await.unwrap().unwrap_err();
    between.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_given_up() {
    let (_client, server) = tokio::io::duplex(64);
    let limit = Duration::from_secs(7);
    let began = tokio::time::Instant::now();
    let error = acceptor()
        .handshake_limit(limit)
        .accept(server)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(began.elapsed().as_secs(), 7);
}

#[tokio::test]
async fn a_client_that_speaks_no_tls_is_refused() {
    let (mut client, server) = tokio::io::duplex(64);
    client
        .write_all(b"GET /reverse HTTP/1.1\r\n")
        .await
        .unwrap();
    let error = acceptor().accept(server).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
}

#[test]
fn a_configuration_that_could_not_work_is_refused() {
    let certificate = certificate();
    let chain = vec![certificate.cert.der().clone()];
    let key = certificate.signing_key.serialize_der().try_into().unwrap();
    let config = server_config(ring::default_provider(), chain, key).unwrap();
    assert_eq!(Acceptor::new(config.into()).unwrap_err(), NotTolerant);
}

fn connector(trust: Trust) -> TlsConnector {
    let config = trust.client_config(Arc::new(ring::default_provider()));
    TlsConnector::from(Arc::new(config.unwrap()))
}
