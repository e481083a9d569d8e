//! Certificates for tests, and TLS over them.

use std::sync::{Arc, LazyLock};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, ServerConfig, crypto::ring};
use tokio_rustls::{TlsAcceptor, TlsConnector};

static CERTIFICATE: LazyLock<CertifiedKey<rcgen::KeyPair>> =
    LazyLock::new(|| generate_simple_self_signed(["localhost".to_owned()]).unwrap());

/// Accepts as `localhost`.
pub(crate) fn acceptor() -> TlsAcceptor {
    let chain = vec![CERTIFICATE.cert.der().clone()];
    let key = CERTIFICATE.signing_key.serialize_der().try_into().unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Believes the acceptor of this module, and nobody else.
pub(crate) fn client_config() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CERTIFICATE.cert.der().clone()).unwrap();
    believing(roots)
}

/// Believes these.
pub(crate) fn believing(roots: RootCertStore) -> ClientConfig {
    rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

pub(crate) fn connector() -> TlsConnector {
    TlsConnector::from(Arc::new(client_config()))
}
