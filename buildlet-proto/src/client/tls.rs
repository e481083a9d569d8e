use std::error::Error;
use std::sync::Arc;
use std::{fmt, io};

use async_trait::async_trait;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio_rustls::{TlsConnector, rustls};

use super::connector::{BoxIo, Connector};
use super::{Config, ConfigError, HttpClient, TcpConnector};
use crate::key::KeyPair;

/// Connects to an address with TLS, and believes the server exactly if it has the key of a certificate that is known.
///
/// Names, dates and signers of certificates do not matter: the key was made for this one buildlet, and whoever has it is the
/// buildlet. Upstream compares the modulus of RSA keys; here it is the whole public key.
#[derive(Clone)]
pub struct PinnedTlsConnector {
    tcp: TcpConnector,
    tls: TlsConnector,
    name: ServerName<'static>,
}

impl PinnedTlsConnector {
    /// Connects to `HOST:PORT`, where a server must have the key of the first certificate in `cert_pem`.
    ///
    /// TLS 1.2 and 1.3, as far as `provider` has them; no process-wide provider is used or set.
    ///
    /// # Errors
    ///
    /// When there is no certificate, it cannot be read, or the provider cannot do TLS.
    #[expect(clippy::missing_panics_doc, reason = "`localhost` is a host name")]
    pub fn new(
        address: &str,
        cert_pem: &str,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, NewTlsClientError> {
        let verifier = Arc::new(Pinned {
            key: public_key(cert_pem)?,
            provider: provider.clone(),
        });
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(NewTlsClientError::Tls)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        // What is no name cannot be asked for; the certificates of buildlets are for this one anyway.
        let name = ServerName::try_from(host.to_owned())
            .unwrap_or_else(|_| ServerName::try_from("localhost").expect("a host name"));
        Ok(Self {
            tcp: TcpConnector::new(address),
            tls: Arc::new(config).into(),
            name,
        })
    }
}

fn public_key(cert_pem: &str) -> Result<SubjectPublicKeyInfoDer<'static>, NewTlsClientError> {
    let cert = CertificateDer::from_pem_slice(cert_pem.as_bytes())
        .map_err(NewTlsClientError::Certificate)?;
    let parsed = ParsedCertificate::try_from(&cert).map_err(NewTlsClientError::Tls)?;
    Ok(parsed.subject_public_key_info())
}

#[async_trait]
impl Connector for PinnedTlsConnector {
    async fn connect(&self) -> io::Result<BoxIo> {
        let tcp = self.tcp.dial().await?;
        Ok(Box::new(self.tls.connect(self.name.clone(), tcp).await?))
    }
}

impl fmt::Debug for PinnedTlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinnedTlsConnector")
            .field("tcp", &self.tcp)
            .finish_non_exhaustive()
    }
}

impl HttpClient {
    /// Calls the buildlet at `HOST:PORT` with TLS, where it must have the key of `pair`. The password is that of the pair, unless
    /// `config` has another.
    ///
    /// # Errors
    ///
    /// When the pair's certificate cannot be read, the provider cannot do TLS, or the configuration cannot work.
    pub fn tls(
        address: &str,
        pair: &KeyPair,
        provider: Arc<CryptoProvider>,
        config: Config,
    ) -> Result<Self, NewTlsClientError> {
        let connector = PinnedTlsConnector::new(address, pair.cert_pem(), provider)?;
        let host = address.strip_suffix(":443").unwrap_or(address);
        let config = config.default_password(|| pair.password());
        Self::new(connector, host, config).map_err(NewTlsClientError::Config)
    }
}

/// Believes a server that has one certain key.
#[derive(Debug)]
struct Pinned {
    key: SubjectPublicKeyInfoDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let cert = ParsedCertificate::try_from(end_entity)?;
        if cert.subject_public_key_info() == self.key {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    // That the server has the private key too is what makes it the right one.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Why there can be no such client.
#[derive(Debug)]
#[non_exhaustive]
pub enum NewTlsClientError {
    /// The certificate is no PEM.
    Certificate(pem::Error),
    /// The certificate is none, or the provider cannot do TLS.
    Tls(rustls::Error),
    /// The configuration cannot work.
    Config(ConfigError),
}

impl fmt::Display for NewTlsClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate(_) => "certificate is no PEM",
            Self::Tls(_) => "TLS cannot work with this certificate or provider",
            Self::Config(_) => "configuration cannot work",
        })
    }
}

impl Error for NewTlsClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Certificate(source) => Some(source),
            Self::Tls(source) => Some(source),
            Self::Config(source) => Some(source),
        }
    }
}
