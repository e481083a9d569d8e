//! Buckets, as a server of S3's protocol has them that checks signatures, and keeps objects in files.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fs, io};

use build_coordinator::blobs::{
    BlobError, BlobName, Blobs as _, Logs, ObjectBlobs, OpenObjectsError,
};
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

/// A server with the bucket `kept`.
struct Bucket {
    folder: TempDir,
    address: String,
    tls: Arc<rustls::ClientConfig>,
    _serving: AbortOnDropHandle<()>,
}

impl Bucket {
    /// Over TLS. Who has the secret gets in, or everybody if there is none, whatever they say who they are.
    async fn start(secret: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("kept")).unwrap();
        let mut builder = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap());
        if let Some(secret) = secret {
            builder.set_auth(SimpleAuth::from_single("tester", secret));
        }
        let (service, is_open) = (builder.build(), secret.is_none());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        let (acceptor, tls) = certified();
        let serving = tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                tokio::spawn(converse(service.clone(), is_open, acceptor.clone(), tcp));
            }
        });
        Self {
            folder,
            address,
            tls,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    /// What is in the bucket: the names of its files, but those in which the server keeps its own notes.
    fn objects(&self) -> Vec<String> {
        let top = self.folder.path().join("kept");
        let mut files = Vec::new();
        list(&top, &mut files);
        let mut names: Vec<String> = (files.iter())
            .map(|file| file.strip_prefix(&top).unwrap().display().to_string())
            .collect();
        names.sort();
        names
    }

    fn open(&self, address: &str, settings: &[(&str, &str)]) -> ObjectBlobs {
        open(address, settings, self.tls.clone()).unwrap()
    }

    #[cfg(feature = "s3")]
    fn open_s3(&self, secret: &str) -> ObjectBlobs {
        let settings = [
            ("AWS_ENDPOINT", self.address.as_str()),
            ("AWS_ACCESS_KEY_ID", "tester"),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("AWS_REGION", "here"),
            ("HOME", "/nowhere"),
        ];
        self.open("s3://kept/builds", &settings)
    }

    /// Google's service has the same requests, signed in another way.
    #[cfg(feature = "gcs")]
    fn open_gcs(&self) -> ObjectBlobs {
        let key = format!(
            r#"{{"client_email": "", "private_key": "", "private_key_id": "", "disable_oauth": true, "gcs_base_url": "{}"}}"#,
            self.address
        );
        let settings = [("GOOGLE_SERVICE_ACCOUNT_KEY", key.as_str())];
        self.open("gs://kept/builds", &settings)
    }
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
fn certified() -> (TlsAcceptor, Arc<rustls::ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    (Arc::new(server).into(), trusting(roots))
}

fn trusting(roots: rustls::RootCertStore) -> Arc<rustls::ClientConfig> {
    let client = rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(client)
}

fn open(
    address: &str,
    settings: &[(&str, &str)],
    tls: Arc<rustls::ClientConfig>,
) -> Result<ObjectBlobs, OpenObjectsError> {
    let settings = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    ObjectBlobs::open(address, settings, tls)
}

fn nobody() -> Arc<rustls::ClientConfig> {
    trusting(rustls::RootCertStore::empty())
}

/// Keeps a log and an artifact in the bucket, reads parts of them, and removes them.
async fn keep_and_remove(bucket: &Bucket, blobs: ObjectBlobs) {
    blobs.check().await.unwrap();
    assert!(bucket.objects().is_empty(), "{:?}", bucket.objects());
    let logs = Logs::new(Arc::new(blobs));
    let name: BlobName = "logs/7/1.gz".parse().unwrap();
    let text: Vec<u8> = (0..600_000_u32).flat_map(u32::to_le_bytes).collect();
    let stored = logs.store(&name, &text[..]).await.unwrap();
    assert_eq!(stored, text.len() as u64);
    assert!(bucket.objects().contains(&"builds/logs/7/1.gz".to_owned()));
    for range in [0..10, 1_000_000..1_000_100, 2_399_990..9_000_000] {
        let mut part = Vec::new();
        let mut reader = logs.read(&name, range.clone()).await.unwrap();
        reader.read_to_end(&mut part).await.unwrap();
        let [start, end] =
            [range.start, range.end.min(stored)].map(|at| usize::try_from(at).unwrap());
        assert_eq!(part, text[start..end], "{range:?}");
    }
    let behind = logs.blobs().get(&name, 1 << 40..u64::MAX).await.unwrap();
    assert!(behind.range().is_empty() && behind.total() > 0);

    // Longer than one request.
    let long: BlobName = "artifacts/7/1/0".parse().unwrap();
    let content: Vec<u8> = (0..4_300_000_u32).flat_map(u32::to_le_bytes).collect();
    let length = content.len() as u64;
    let put = logs.blobs().put(&long, &mut &content[..], length).await;
    assert_eq!(put.unwrap(), length);
    let mut reader = logs.blobs().get(&long, 0..u64::MAX).await.unwrap();
    assert_eq!(reader.total(), length);
    let mut read = Vec::new();
    reader.read_to_end(&mut read).await.unwrap();
    assert!(read == content, "what is read is not what was written");

    for name in [&name, &long] {
        logs.blobs().remove(name).await.unwrap();
        logs.blobs().remove(name).await.unwrap();
        let error = logs.blobs().get(name, 0..u64::MAX).await.unwrap_err();
        assert!(matches!(error, BlobError::NotFound(_)), "{error:?}");
    }
    assert!(bucket.objects().is_empty(), "{:?}", bucket.objects());
}

#[cfg(feature = "s3")]
#[tokio::test]
async fn logs_and_artifacts_are_kept_in_a_bucket_of_s3() {
    let bucket = Bucket::start(Some("secret")).await;
    keep_and_remove(&bucket, bucket.open_s3("secret")).await;
}

#[cfg(feature = "gcs")]
#[tokio::test]
async fn logs_and_artifacts_are_kept_in_a_bucket_of_googles() {
    let bucket = Bucket::start(None).await;
    keep_and_remove(&bucket, bucket.open_gcs()).await;
}

#[cfg(feature = "s3")]
#[tokio::test]
async fn a_bucket_that_refuses_is_known_at_the_start() {
    let bucket = Bucket::start(Some("secret")).await;
    for (what, blobs) in [
        ("the secret is wrong", bucket.open_s3("wrong")),
        (
            "its certificate is nobody's",
            open(
                "s3://kept",
                &[
                    ("AWS_ENDPOINT", bucket.address.as_str()),
                    ("AWS_SKIP_SIGNATURE", "true"),
                ],
                nobody(),
            )
            .unwrap(),
        ),
        (
            "plain HTTP was not asked for",
            open(
                "s3://kept",
                &[
                    ("AWS_ENDPOINT", "http://127.0.0.1:9"),
                    ("AWS_SKIP_SIGNATURE", "true"),
                ],
                nobody(),
            )
            .unwrap(),
        ),
    ] {
        let error = blobs.check().await.expect_err(what);
        assert!(matches!(error, OpenObjectsError::Refused(_)), "{error}");
    }
    assert!(bucket.objects().is_empty(), "{:?}", bucket.objects());
}

/// Fails after a part has been sent.
struct Failing {
    left: usize,
}

impl AsyncRead for Failing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let piece = buf.remaining().min(self.left);
        buf.initialize_unfilled_to(piece).fill(b'x');
        buf.advance(piece);
        self.left -= piece;
        Poll::Ready(Ok(()))
    }
}

#[cfg(feature = "s3")]
#[tokio::test]
async fn what_cannot_be_read_to_its_end_leaves_nothing_in_the_bucket() {
    let bucket = Bucket::start(Some("secret")).await;
    let blobs = bucket.open_s3("secret");
    let name: BlobName = "artifacts/7/1/0".parse().unwrap();
    for left in [100, 9 << 20] {
        let put = blobs.put(&name, &mut Failing { left }, u64::MAX).await;
        let error = put.unwrap_err();
        assert!(matches!(error, BlobError::Source { .. }), "{error:?}");
        assert!(bucket.objects().is_empty(), "{:?}", bucket.objects());
    }
}

#[cfg(feature = "s3")]
#[tokio::test(start_paused = true)]
async fn a_bucket_that_is_silent_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let _silent = AbortOnDropHandle::new(tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            open.push(listener.accept().await.unwrap());
        }
    }));
    let settings = [
        ("AWS_ENDPOINT", address.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_SKIP_SIGNATURE", "true"),
    ];
    let blobs = open("s3://kept", &settings, nobody()).unwrap();
    let error = blobs.check().await.unwrap_err();
    assert!(matches!(error, OpenObjectsError::Refused(_)), "{error}");
    let name: BlobName = "logs/7/1.gz".parse().unwrap();
    let mut source = &b"text"[..];
    let put = blobs.put(&name, &mut source, 100);
    let put = tokio::time::timeout(Duration::from_secs(3600), put);
    let error = put.await.expect("an end").unwrap_err();
    assert!(matches!(error, BlobError::Storage { .. }), "{error:?}");
}

#[test]
fn addresses_that_are_no_buckets_are_refused() {
    for address in [
        "",
        "bucket",
        "s3://",
        "s3:///x",
        "gs:///x",
        "file:///tmp",
        "ext::x://y",
    ] {
        let error = open(address, &[], nobody()).unwrap_err();
        assert!(matches!(error, OpenObjectsError::Address(..)), "{error}");
    }
}
