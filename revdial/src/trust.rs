//! Which servers a TLS client believes: what a program's flags `--ca` and `--insecure` come to.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CipherSuite, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::rustls;

/// Which servers to believe that they are who they say.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Trust {
    /// Those with a certificate for their name that one of these authorities signed, or that is one of these itself.
    Roots(RootCertStore),
    /// Those that this verifier believes. Programs bring the system's roots by `rustls-platform-verifier`.
    Verifier(Arc<dyn ServerCertVerifier>),
    /// All. Whoever is between the two can then read and change everything, the worker's key included.
    Anyone,
}

impl Trust {
    /// The certificates in a PEM file; other sections are passed over.
    ///
    /// # Errors
    ///
    /// When it is no PEM, holds no certificate, or one that cannot be a root: X.509 version 1 is not taken.
    pub fn from_pem(pem: &[u8]) -> Result<Self, ReadRootsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(ReadRootsError::Pem)?;
            roots
                .add(certificate)
                .map_err(|source| ReadRootsError::Certificate {
                    number: roots.len() + 1,
                    source,
                })?;
        }
        if roots.is_empty() {
            return Err(ReadRootsError::Empty);
        }
        Ok(Self::Roots(roots))
    }

    /// A configuration for clients: TLS 1.2 and 1.3, no client certificate, no ALPN, and sessions are resumed.
    ///
    /// Cipher suites with AES-128 stand before the others, as with Go, and servers take the first one. rustls puts AES-256 first,
    /// whose SHA-384 few processors have instructions for: of a handshake, and a worker makes one for each dial, that is a tenth.
    ///
    /// # Errors
    ///
    /// When `provider` has no cipher suite for these versions.
    pub fn client_config(
        self,
        provider: Arc<CryptoProvider>,
    ) -> Result<ClientConfig, rustls::Error> {
        let mut provider = Arc::unwrap_or_clone(provider);
        provider
            .cipher_suites
            .sort_by_key(|suite| !is_aes_128(suite.suite()));
        let provider = Arc::new(provider);
        let schemes = provider
            .signature_verification_algorithms
            .supported_schemes();
        let builder =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let builder = match self {
            Self::Roots(roots) => builder.with_root_certificates(roots),
            Self::Verifier(verifier) => builder
                .dangerous()
                .with_custom_certificate_verifier(verifier),
            Self::Anyone => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(BelieveAnyone { schemes })),
        };
        Ok(builder.with_no_client_auth())
    }
}

fn is_aes_128(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    )
}

/// Believes every certificate, and so does not look into it: the one that Go coordinators have for development is older than
/// what rustls reads.
#[derive(Debug)]
struct BelieveAnyone {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for BelieveAnyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// Why certificates could not be read.
#[derive(Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum ReadRootsError {
    /// It is not PEM.
    Pem(pem::Error),
    /// This certificate, counted from 1, cannot be a root.
    Certificate {
        number: usize,
        source: rustls::Error,
    },
    /// There is none.
    Empty,
}

impl fmt::Display for ReadRootsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem(_) => f.write_str("not a PEM file"),
            Self::Certificate { number, .. } => write!(f, "certificate {number} cannot be a root"),
            Self::Empty => f.write_str("no certificate in it"),
        }
    }
}

impl Error for ReadRootsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Pem(source) => Some(source),
            Self::Certificate { source, .. } => Some(source),
            Self::Empty => None,
        }
    }
}
