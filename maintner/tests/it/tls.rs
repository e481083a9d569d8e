//! Following over TLS, with authorities of one's own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use maintner::net::{FetchError, Follower, NetConfig};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use tempfile::tempdir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use crate::fake_server::{FakeServer, Reply};
use crate::net_faults::segment;

/// Speaks TLS in front of a server that does not.
struct Front {
    address: SocketAddr,
    /// Ends the tasks when it is dropped.
    _runtime: Runtime,
}

/// Certifies servers.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn front(&self, name: &str, behind: SocketAddr) -> Front {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // Whoever does not believe the certificate goes away.
                    let Ok(mut tls) = acceptor.accept(tcp).await else {
                        return;
                    };
                    let mut plain = TcpStream::connect(behind).await.unwrap();
                    let _ = copy_bidirectional(&mut tls, &mut plain).await;
                });
            }
        });
        Front {
            address,
            _runtime: runtime,
        }
    }
}

fn config(front: &Front, cache: &Path) -> NetConfig {
    NetConfig::new(format!("https://{}/logs", front.address), cache)
        .tries(2)
        .pause(Duration::from_millis(1))
}

fn fetch(config: NetConfig) -> Result<u64, FetchError> {
    let mut log = Follower::open(config)?;
    log.fetch(Duration::ZERO)?;
    Ok(log.size())
}

#[test]
fn a_server_is_believed_that_ones_own_authority_certified_and_no_other() {
    let server = FakeServer::new();
    let log = segment(0..5);
    server.set(&[&log]);
    let (ours, other) = (Authority::new(), Authority::new());
    let front = ours.front("127.0.0.1", server.address());
    let cache = tempdir().unwrap();
    let config = || config(&front, cache.path());
    let believing = |pem: String| config().authorities(pem.as_bytes()).unwrap();

    for (what, refused) in [
        ("the system's authorities", config()),
        ("another authority", believing(other.pem())),
    ] {
        let error = fetch(refused).expect_err(what);
        assert!(matches!(error, FetchError::Unreachable { .. }), "{error}");
        assert!(server.requests().is_empty(), "{what}: nothing was asked");
    }
    let size = log.len() as u64;
    assert_eq!(fetch(believing(ours.pem())).unwrap(), size);
    // Among others, with remarks, as such files are.
    let bundle = format!("# ours\n{}\n{}", other.pem(), ours.pem());
    assert_eq!(fetch(believing(bundle)).unwrap(), size);

    let elsewhere = ours.front("example.org", server.address());
    let config = self::config(&elsewhere, cache.path());
    let error = fetch(config.authorities(ours.pem().as_bytes()).unwrap()).unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error}");
}

#[test]
fn a_server_cannot_lead_from_tls_to_none() {
    let server = FakeServer::new();
    server.set(&[&segment(0..5)]);
    let ours = Authority::new();
    let front = ours.front("127.0.0.1", server.address());
    let cache = tempdir().unwrap();
    let moved = format!(
        "HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        server.url()
    );
    server.reply("/logs", vec![Reply::Raw(moved.into_bytes()); 2]);
    let config = config(&front, cache.path());
    let error = fetch(config.authorities(ours.pem().as_bytes()).unwrap()).unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error}");
    assert!(server.requests().len() <= 2, "the other address was asked");
}

#[test]
fn what_is_no_authority_is_refused() {
    let cache = tempdir().unwrap();
    let key = KeyPair::generate().unwrap().serialize_pem();
    let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    for pem in ["", "certificate", &key, broken] {
        let config = NetConfig::new("https://127.0.0.1/logs", cache.path());
        let error = config.authorities(pem.as_bytes()).unwrap_err();
        assert!(matches!(error, FetchError::Authorities { .. }), "{error}");
    }
}
