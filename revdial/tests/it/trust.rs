//! Which servers a client believes.

use std::error::Error as _;
use std::io;
use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use revdial::trust::{ReadRootsError, Trust};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::ServerName;
use rustls::{ServerConfig, SupportedProtocolVersion, version};
use tokio_rustls::{TlsAcceptor, TlsConnector, rustls};

fn certificate() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["build.example.org".to_owned()]).unwrap()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// A handshake with a server that has this certificate.
async fn connect(
    certificate: &CertifiedKey<KeyPair>,
    version: &'static SupportedProtocolVersion,
    trust: Trust,
    name: &'static str,
) -> io::Result<()> {
    let chain = vec![certificate.cert.der().clone()];
    let key = certificate.signing_key.serialize_der().try_into().unwrap();
    let server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let client = TlsConnector::from(Arc::new(trust.client_config(provider()).unwrap()));
    let (near, far) = tokio::io::duplex(1 << 16);
    let accepted = TlsAcceptor::from(Arc::new(server)).accept(far);
    let connected = client.connect(ServerName::try_from(name).unwrap(), near);
    let (connected, _) = tokio::join!(connected, accepted);
    connected.map(drop)
}

#[tokio::test]
async fn a_certificate_in_the_file_is_believed_for_its_name_alone() {
    let ours = certificate();
    for version in [&version::TLS12, &version::TLS13] {
        let trust = || Trust::from_pem(ours.cert.pem().as_bytes()).unwrap();
        connect(&ours, version, trust(), "build.example.org")
            .await
            .unwrap();
        for (certificate, name) in [
            (&ours, "other.example.org"),
            (&certificate(), "build.example.org"),
        ] {
            let error = connect(certificate, version, trust(), name)
                .await
                .unwrap_err();
            assert!(
                error.to_string().contains("invalid peer certificate"),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn anyone_is_believed_when_told_so() {
    for version in [&version::TLS12, &version::TLS13] {
        connect(&certificate(), version, Trust::Anyone, "anything")
            .await
            .unwrap();
    }
}

#[test]
fn suites_with_aes_128_come_first_and_none_is_lost() {
    let config = Trust::Anyone.client_config(provider()).unwrap();
    let suites = &config.crypto_provider().cipher_suites;
    let names: Vec<_> = suites
        .iter()
        .map(|suite| format!("{:?}", suite.suite()))
        .collect();
    let aes_128 = names
        .iter()
        .take_while(|name| name.contains("AES_128"))
        .count();
    assert_eq!(aes_128, 3, "{names:?}");
    assert_eq!(names.len(), provider().cipher_suites.len());
}

#[test]
fn a_file_without_a_certificate_is_refused() {
    let key = certificate().signing_key.serialize_pem();
    for no_certificate in [&b""[..], b"localhost\n", key.as_bytes()] {
        let error = Trust::from_pem(no_certificate).unwrap_err();
        assert!(matches!(error, ReadRootsError::Empty), "{error}");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let error = Trust::from_pem(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")
        .unwrap_err();
    assert_eq!(error.to_string(), "not a PEM file");
    assert!(error.source().is_some());

    let good = certificate().cert.pem();
    let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let error = Trust::from_pem(format!("{good}{bad}").as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "certificate 2 cannot be a root");
    assert!(error.source().is_some());
}
