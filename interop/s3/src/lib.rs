//! A server of S3's protocol that checks signatures, and keeps objects in files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

/// A server with the bucket `kept`, over TLS; it ends when it is dropped.
#[derive(Debug)]
pub struct S3Server {
    folder: TempDir,
    address: String,
    certificate: String,
    tls: Arc<ClientConfig>,
    _serving: AbortOnDropHandle<()>,
}

impl S3Server {
    /// Who has the secret gets in, or everybody if there is none, whatever they say who they are.
    ///
    /// # Panics
    ///
    /// When there is no folder, port or certificate for it.
    pub async fn start(secret: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("kept")).unwrap();
        let mut builder = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap());
        if let Some(secret) = secret {
            builder.set_auth(SimpleAuth::from_single("tester", secret));
        }
        let (service, is_open) = (builder.build(), secret.is_none());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        let (acceptor, certificate, tls) = certified();
        let serving = tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                tokio::spawn(converse(service.clone(), is_open, acceptor.clone(), tcp));
            }
        });
        Self {
            folder,
            address,
            certificate,
            tls,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    /// `https://127.0.0.1:PORT`
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its certificate, in PEM, for a program of its own.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Trusts the server, and nobody else.
    #[must_use]
    pub fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.tls)
    }

    /// The settings of a client of S3.
    #[must_use]
    pub fn s3_settings(&self, secret: &str) -> Vec<(String, String)> {
        owned(&[
            ("AWS_ENDPOINT", &self.address),
            ("AWS_ACCESS_KEY_ID", "tester"),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("AWS_REGION", "here"),
            ("HOME", "/nowhere"),
        ])
    }

    /// The settings of a client of Google's service, which has the same requests, signed in another way: the server must be open for
    /// everybody.
    #[must_use]
    pub fn gcs_settings(&self) -> Vec<(String, String)> {
        let key = format!(
            r#"{{"client_email": "", "private_key": "", "private_key_id": "", "disable_oauth": true, "gcs_base_url": "{}"}}"#,
            self.address
        );
        owned(&[("GOOGLE_SERVICE_ACCOUNT_KEY", &key)])
    }

    /// What is in the bucket: the names of its files, but those in which the server keeps its own notes.
    ///
    /// # Panics
    ///
    /// When its folder cannot be read.
    #[must_use]
    pub fn objects(&self) -> Vec<String> {
        let top = self.folder.path().join("kept");
        let mut files = Vec::new();
        list(&top, &mut files);
        let mut names: Vec<String> = (files.iter())
            .map(|file| file.strip_prefix(&top).unwrap().display().to_string())
            .collect();
        names.sort();
        names
    }
}

/// Settings as a client takes them.
#[must_use]
pub fn owned(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    settings.iter().map(owned).collect()
}

/// A client's side of TLS that trusts nobody.
#[must_use]
pub fn trusting_nobody() -> Arc<ClientConfig> {
    trusting(RootCertStore::empty())
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(&path, files);
        } else {
            files.push(path);
        }
    }
}

async fn converse(service: S3Service, is_open: bool, acceptor: TlsAcceptor, tcp: TcpStream) {
    // Whoever goes away early has seen enough.
    let Ok(stream) = acceptor.accept(tcp).await else {
        return;
    };
    let service = service_fn(move |mut request: Request<Incoming>| {
        if is_open {
            request.headers_mut().remove(AUTHORIZATION);
        }
        Service::call(&service, request)
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// The two ends of TLS that trust each other.
fn certified() -> (TlsAcceptor, String, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    (Arc::new(server).into(), made.cert.pem(), trusting(roots))
}

fn trusting(roots: RootCertStore) -> Arc<ClientConfig> {
    let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(client)
}
