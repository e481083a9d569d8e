//! A client with a pinned key meets servers with the right key and with others.

use std::sync::Arc;

use buildlet_proto::client::{BuildletClient as _, CallError, Config, HttpClient};
use buildlet_proto::key::KeyPair;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::{TlsAcceptor, rustls};
use tokio_util::task::AbortOnDropHandle;

/// A pair of another kind of key, which is quicker to make.
fn pair(names: &[&str]) -> (rcgen::KeyPair, KeyPair) {
    let key = rcgen::KeyPair::generate().unwrap();
    let made = certify(&key, names);
    (key, made)
}

fn certify(key: &rcgen::KeyPair, names: &[&str]) -> KeyPair {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let cert = rcgen::CertificateParams::new(names)
        .unwrap()
        .self_signed(key)
        .unwrap();
    KeyPair::new(cert.pem(), key.serialize_pem())
}

/// Answers every connection's first request with an empty status, and tells the request.
async fn server(pair: &KeyPair) -> (String, AbortOnDropHandle<()>) {
    let certs = vec![CertificateDer::from_pem_slice(pair.cert_pem().as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(pair.key_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certs, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let Ok(mut tls) = acceptor.accept(tcp).await else {
                continue;
            };
            let mut head = [0; 1000];
            let len = tls.read(&mut head).await.unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..len]).to_lowercase();
            let answer = if head.contains("\r\nauthorization: basic ") {
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
            } else {
                "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
            };
            let _ = tls.write_all(answer.as_bytes()).await;
            let _ = tls.shutdown().await;
        }
    });
    (address, AbortOnDropHandle::new(task))
}

fn client(address: &str, pair: &KeyPair) -> HttpClient {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = Config::default().heartbeat_interval(None);
    HttpClient::tls(address, pair, provider, config).unwrap()
}

#[tokio::test]
async fn the_key_counts_and_no_name_or_date() {
    let (key, ours) = pair(&["localhost"]);
    // The same key in a certificate for somebody else.
    let theirs = certify(&key, &["elsewhere.invalid"]);
    assert_ne!(ours.cert_pem(), theirs.cert_pem());
    let (address, _server) = server(&theirs).await;
    // The password of the pair is sent without being asked for.
    client(&address, &ours).status().await.unwrap();
}

#[tokio::test]
async fn another_key_is_refused_before_anything_is_sent() {
    let (_, ours) = pair(&["localhost"]);
    let (_, theirs) = pair(&["localhost"]);
    let (address, _server) = server(&theirs).await;
    let error = client(&address, &ours).status().await.unwrap_err();
    let CallError::Connect(cause) = &error else {
        panic!("{error:?}");
    };
    assert!(
        cause.to_string().contains("ApplicationVerificationFailure"),
        "{cause}"
    );
}

#[tokio::test]
async fn a_certificate_without_its_key_is_not_enough() {
    // A server that shows our certificate but signs with a key of its own.
    #[derive(Debug)]
    struct Impostor(Arc<rustls::sign::CertifiedKey>);
    impl rustls::server::ResolvesServerCert for Impostor {
        fn resolve(
            &self,
            _: rustls::server::ClientHello<'_>,
        ) -> Option<Arc<rustls::sign::CertifiedKey>> {
            Some(self.0.clone())
        }
    }
    let (_, ours) = pair(&["localhost"]);
    let (_, theirs) = pair(&["localhost"]);
    let cert = CertificateDer::from_pem_slice(ours.cert_pem().as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(theirs.key_pem().as_bytes()).unwrap();
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    let certified = Arc::new(rustls::sign::CertifiedKey::new(vec![cert], key));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Impostor(certified.clone())));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let client = client(&address, &ours);
        let serving = async {
            let (tcp, _) = listener.accept().await.unwrap();
            acceptor.accept(tcp).await.map(drop)
        };
        let (served, called) = tokio::join!(serving, client.status());
        assert!(served.is_err());
        assert!(matches!(called.unwrap_err(), CallError::Connect(_)));
    }
}

#[test]
fn a_certificate_that_is_none_is_refused_at_once() {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    for pem in [
        "",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let pair = KeyPair::new(pem, "key");
        assert!(HttpClient::tls("x:443", &pair, provider.clone(), Config::default()).is_err());
        assert_eq!(format!("{pair:?}"), "KeyPair { .. }");
    }
}
