//! One port for machines, browsers and programs.

use std::fs;
use std::sync::Arc;

use build_coordinator::web::{Certificate, Server, Site, SiteConfig};
use revdial::proto::{Claim, Refusal};
use revdial::{FrontDoor, FrontDoorConfig, PickupRegistry};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::client::{LIMIT, Running, parse, serve};
use super::memory::busy;

/// Connects with TLS, and believes the certificate that was made and nothing else.
async fn tls(server: &Running) -> TlsStream<TcpStream> {
    let pem = fs::read(server.folder.path().join("cert.pem")).unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&pem).unwrap())
        .unwrap();
    let config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_port_speaks_tls_and_on_this_machine_plain_http() {
    let server = serve(busy()).await;
    assert_eq!(server.get("/healthz").await.text(), "ok\n");
    let mut secure = tls(&server).await;
    let request = server.request("GET", "/status/post-submit-active.json", &[], "");
    secure.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(LIMIT, secure.read_to_end(&mut answer))
        .await
        .unwrap()
        .unwrap();
    let address = parse(&answer).json()[0]["statusURL"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(address.starts_with("https://"), "{address}");
}

#[tokio::test]
async fn a_machine_registers_on_the_same_port_over_tls_alone() {
    let mut server = serve(busy()).await;
    let request = "GET /reverse HTTP/1.1\r\nHost: localhost\r\nX-Revdial-Version: 2\r\nX-Go-Builder-Hostname: worker-9\r\n\
                   X-Go-Host-Type: host-test\r\nX-Go-Builder-Key: key\r\n\r\n";
    let mut plain = TcpStream::connect(server.address).await.unwrap();
    plain.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(LIMIT, plain.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 500") && answer.contains("requires SSL"),
        "{answer}"
    );

    let mut secure = tls(&server).await;
    secure.write_all(request.as_bytes()).await.unwrap();
    let machine = timeout(LIMIT, server.machines.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(machine.claim.host_name(), "worker-9");
    let mut start = [0; 12];
    secure.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 101");
}

#[tokio::test]
async fn from_another_address_plain_http_is_turned_away() {
    // An address of this machine that is not loopback, if it has one.
    let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    if probe.connect("192.0.2.1:9").is_err() {
        eprintln!("skipped: this machine has no address but loopback's");
        return;
    }
    let outward = probe.local_addr().unwrap().ip();
    let folder = tempfile::tempdir().unwrap();
    let certificate = Certificate::kept_in(folder.path(), &["localhost".to_owned()]).unwrap();
    let stop = CancellationToken::new();
    let site = Site::new(busy(), SiteConfig::default(), stop.clone()).unwrap();
    let nobody = |_: &Claim| Err::<(), Refusal>(Refusal::INVALID_KEY);
    let door = FrontDoor::new(FrontDoorConfig::default(), PickupRegistry::new(), nobody).unwrap();
    let listener = TcpListener::bind((outward, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = Server::new(site, door, certificate).serve(listener, |_| async {}, stop);
    let _serving = AbortOnDropHandle::new(tokio::spawn(async move { serving.await.unwrap() }));

    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut answer = Vec::new();
    timeout(LIMIT, tcp.read_to_end(&mut answer))
        .await
        .unwrap()
        .unwrap();
    let answer = parse(&answer);
    assert_eq!(
        (answer.status, answer.text()),
        (400, "From other machines, this port speaks TLS.\n")
    );
}

#[tokio::test]
async fn requests_that_are_being_answered_end_before_the_server_does() {
    let mut server = serve(busy()).await;
    // Kept open, with nothing asked.
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    idle.write_all(format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", server.address).as_bytes())
        .await
        .unwrap();
    let mut start = [0; 15];
    idle.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200 OK");
    server.stop.cancel();
    let mut rest = Vec::new();
    timeout(LIMIT, idle.read_to_end(&mut rest))
        .await
        .unwrap()
        .unwrap();
    timeout(LIMIT, &mut server.task).await.unwrap().unwrap();
}
