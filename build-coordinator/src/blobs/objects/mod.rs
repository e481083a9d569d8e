//! Blobs in the object stores of clouds.

mod client;

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;
use tokio_util::io::StreamReader;

use self::client::Connector;
use super::{BlobError, BlobName, BlobReader, Blobs};

/// Bytes that are sent at once, and so what a `put` has in memory: S3 takes 10,000 parts, which are 78 GiB then.
const PART: usize = 8 << 20;

/// Blobs as objects in a bucket.
///
/// A blob of up to 8 MiB is one request, a longer one is sent in parts that become an object when all are there. The store is asked over
/// HTTP/1.1 and TLS, by connections that are kept; each of its answers may take a minute to begin, and be silent for a minute. What
/// fails for a reason that passes is tried again, for three minutes at most.
///
/// A `put` that is dropped stores nothing, but parts that were sent already wait in the bucket for an end that does not come: let the
/// bucket remove incomplete uploads after a day.
#[derive(Clone)]
pub struct ObjectBlobs {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

/// Why a bucket cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenObjectsError {
    /// The address has another form than `s3://BUCKET/PREFIX` or `gs://BUCKET/PREFIX`, or the kind was not compiled in.
    #[error("{0:?} is not the address of a bucket that this program can use: write {1}")]
    Address(String, &'static str),
    /// What stands behind the bucket's name is no prefix of objects.
    #[error("{0:?} cannot stand before the names of objects")]
    Prefix(String, #[source] Source),
    /// The settings do not go together.
    #[error("the settings of the bucket are not good")]
    Settings(#[source] Source),
    /// The bucket does not answer, is not there, or must not be written to.
    #[error("nothing can be written to the bucket")]
    Refused(#[source] Source),
}

type Source = Box<dyn std::error::Error + Send + Sync>;

/// How long a bucket is tried for before it is said to be of no use: what is wrong with it seldom passes.
const TRIAL: Duration = Duration::from_secs(30);

/// Addresses that this program was compiled for.
const KINDS: &str = match (cfg!(feature = "s3"), cfg!(feature = "gcs")) {
    (true, true) => "s3://BUCKET/PREFIX or gs://BUCKET/PREFIX",
    (true, false) => "s3://BUCKET/PREFIX",
    _ => "gs://BUCKET/PREFIX",
};

impl ObjectBlobs {
    /// Uses a bucket: `s3://BUCKET/PREFIX` (feature `s3`) or `gs://BUCKET/PREFIX` (feature `gcs`). Asks it nothing yet.
    ///
    /// `settings` are names and values as the providers' own programs know them: `AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_ENDPOINT`,
    /// `GOOGLE_SERVICE_ACCOUNT` and so on; names that mean nothing are passed over, so that it can be the environment. Connections are
    /// TLS with `tls`; plain HTTP takes `AWS_ALLOW_HTTP=true`.
    ///
    /// # Errors
    ///
    /// [`OpenObjectsError`].
    pub fn open(
        address: &str,
        settings: impl IntoIterator<Item = (String, String)>,
        tls: Arc<rustls::ClientConfig>,
    ) -> Result<Self, OpenObjectsError> {
        let wrong = || OpenObjectsError::Address(address.to_owned(), KINDS);
        let (scheme, rest) = address.split_once("://").ok_or_else(wrong)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(wrong());
        }
        let connector = Connector::new(tls);
        let settings = settings.into_iter();
        let store: Arc<dyn ObjectStore> = match scheme {
            #[cfg(feature = "s3")]
            "s3" => {
                let mut builder = object_store::aws::AmazonS3Builder::new();
                for (name, value) in settings.filter(|(name, _)| name.starts_with("AWS_")) {
                    if let Ok(key) = name.to_ascii_lowercase().parse() {
                        builder = builder.with_config(key, value);
                    }
                }
                let builder = builder
                    .with_bucket_name(bucket)
                    .with_http_connector(connector);
                let built = builder.build();
                Arc::new(built.map_err(|error| OpenObjectsError::Settings(told(&error)))?)
            }
            #[cfg(feature = "gcs")]
            "gs" => {
                let mut builder = object_store::gcp::GoogleCloudStorageBuilder::new();
                for (name, value) in settings.filter(|(name, _)| name.starts_with("GOOGLE_")) {
                    if let Ok(key) = name.to_ascii_lowercase().parse() {
                        builder = builder.with_config(key, value);
                    }
                }
                let builder = builder
                    .with_bucket_name(bucket)
                    .with_http_connector(connector);
                let built = builder.build();
                Arc::new(built.map_err(|error| OpenObjectsError::Settings(told(&error)))?)
            }
            _ => return Err(wrong()),
        };
        let prefix = Path::parse(prefix)
            .map_err(|error| OpenObjectsError::Prefix(prefix.to_owned(), told(&error)))?;
        Ok(Self { store, prefix })
    }

    /// Writes a small object, `writable`, and removes it: so that what is wrong with a bucket is known at the start, and not when the first
    /// log is to be kept. Takes half a minute at most.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, but the object may be left.
    ///
    /// # Errors
    ///
    /// [`OpenObjectsError::Refused`].
    pub async fn check(&self) -> Result<(), OpenObjectsError> {
        let path = self.prefix.clone().join("writable");
        let trial = async {
            let content = Bytes::from_static(b"build-coordinator may write here\n");
            self.store.put(&path, content.into()).await?;
            self.store.delete(&path).await
        };
        match timeout(TRIAL, trial).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(OpenObjectsError::Refused(told(&error))),
            Err(late) => Err(OpenObjectsError::Refused(late.into())),
        }
    }

    fn path(&self, name: &BlobName) -> Path {
        name.as_str()
            .split('/')
            .fold(self.prefix.clone(), Path::join)
    }

    /// Sends `part` and what follows it, as the parts of one object.
    async fn put_parts(
        &self,
        upload: &mut dyn MultipartUpload,
        name: &BlobName,
        mut part: Vec<u8>,
        source: &mut (dyn AsyncRead + Send + Unpin),
        limit: u64,
    ) -> Result<u64, BlobError> {
        let mut bytes = 0;
        while !part.is_empty() {
            bytes += part.len() as u64;
            check(name, bytes, limit)?;
            let sent = upload.put_part(part.into()).await;
            sent.map_err(|error| BlobError::storage(name, told(&error)))?;
            part = next_part(name, source).await?;
        }
        let done = upload.complete().await;
        done.map_err(|error| BlobError::storage(name, told(&error)))?;
        Ok(bytes)
    }
}

#[async_trait]
impl Blobs for ObjectBlobs {
    async fn put(
        &self,
        name: &BlobName,
        source: &mut (dyn AsyncRead + Send + Unpin),
        limit: u64,
    ) -> Result<u64, BlobError> {
        let failed = |error| BlobError::storage(name, told(&error));
        let path = self.path(name);
        let first = next_part(name, source).await?;
        let bytes = first.len() as u64;
        check(name, bytes, limit)?;
        if first.len() < PART {
            self.store.put(&path, first.into()).await.map_err(failed)?;
            return Ok(bytes);
        }
        let mut upload = self.store.put_multipart(&path).await.map_err(failed)?;
        let sent = self
            .put_parts(&mut *upload, name, first, source, limit)
            .await;
        if sent.is_err()
            && let Err(error) = upload.abort().await
        {
            tracing::warn!(blob = %name, %error, "parts of an object that was not stored are left in the bucket");
        }
        sent
    }

    async fn get(&self, name: &BlobName, range: Range<u64>) -> Result<BlobReader, BlobError> {
        let failed = |error: object_store::Error| match error {
            object_store::Error::NotFound { .. } => BlobError::NotFound(name.clone()),
            error => BlobError::storage(name, told(&error)),
        };
        let path = self.path(name);
        let options = GetOptions {
            range: match range.clone() {
                Range {
                    start: 0,
                    end: u64::MAX,
                } => None,
                Range {
                    start,
                    end: u64::MAX,
                } => Some(GetRange::Offset(start)),
                range => Some(GetRange::Bounded(range)),
            },
            ..GetOptions::default()
        };
        let got = if range.is_empty() {
            None
        } else {
            match self.store.get_opts(&path, options).await {
                Ok(got) => Some(got),
                Err(error @ object_store::Error::NotFound { .. }) => return Err(failed(error)),
                // A range that begins behind the end is an error there.
                Err(error) if range.start == 0 && range.end == u64::MAX => {
                    return Err(failed(error));
                }
                Err(error) => {
                    let total = self.store.head(&path).await.map_err(failed)?.size;
                    if range.start < total {
                        return Err(failed(error));
                    }
                    None
                }
            }
        };
        if let Some(got) = got {
            let (total, range) = (got.meta.size, got.range.clone());
            let stream = StreamReader::new(got.into_stream().map_err(io::Error::other));
            return Ok(BlobReader::new(total, range, Box::pin(stream)));
        }
        let total = self.store.head(&path).await.map_err(failed)?.size;
        let at = range.start.min(total);
        Ok(BlobReader::new(total, at..at, Box::pin(tokio::io::empty())))
    }

    async fn remove(&self, name: &BlobName) -> Result<(), BlobError> {
        match self.store.delete(&self.path(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(BlobError::storage(name, told(&error))),
        }
    }
}

impl fmt::Debug for ObjectBlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The store's own text has no secrets, but much that nobody needs.
        f.debug_struct("ObjectBlobs")
            .field("prefix", &self.prefix.as_ref())
            .finish_non_exhaustive()
    }
}

/// An error and its causes, each once: the store's errors say those of their causes too, more than once.
fn told(error: &dyn std::error::Error) -> Source {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text.into()
}

/// The next bytes, a full part unless they are the last.
async fn next_part(
    name: &BlobName,
    source: &mut (dyn AsyncRead + Send + Unpin),
) -> Result<Vec<u8>, BlobError> {
    let mut part = Vec::new();
    let read = source.take(PART as u64).read_to_end(&mut part).await;
    read.map_err(|source| BlobError::Source {
        name: name.clone(),
        source,
    })?;
    Ok(part)
}

fn check(name: &BlobName, bytes: u64, limit: u64) -> Result<(), BlobError> {
    if bytes <= limit {
        return Ok(());
    }
    Err(BlobError::TooLarge {
        name: name.clone(),
        limit,
    })
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    fn in_memory(prefix: &str) -> ObjectBlobs {
        ObjectBlobs {
            store: Arc::new(InMemory::new()),
            prefix: Path::parse(prefix).unwrap(),
        }
    }

    async fn read(blobs: &ObjectBlobs, name: &BlobName, range: Range<u64>) -> Vec<u8> {
        let mut reader = blobs.get(name, range).await.unwrap();
        let expected = reader.range();
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes.len() as u64, expected.end - expected.start);
        bytes
    }

    #[test]
    fn a_cause_is_said_once() {
        let root = std::io::Error::other("connection refused");
        let error = object_store::Error::Generic {
            store: "S3",
            source: Box::new(BlobError::Source {
                name: "logs/1/1.gz".parse().unwrap(),
                source: root,
            }),
        };
        let told = told(&error);
        assert!(told.source().is_none());
        let text = told.to_string();
        for part in ["S3", "cannot be read", "connection refused"] {
            assert_eq!(text.matches(part).count(), 1, "{text}");
        }
    }

    #[tokio::test]
    async fn an_object_is_there_as_a_whole_or_not_at_all() {
        for prefix in ["", "ci/blobs"] {
            let blobs = in_memory(prefix);
            let name: BlobName = "logs/1/1.gz".parse().unwrap();
            assert_eq!(
                blobs.put(&name, &mut &b"0123456789"[..], 10).await.unwrap(),
                10
            );
            assert_eq!(read(&blobs, &name, 0..u64::MAX).await, b"0123456789");
            assert_eq!(read(&blobs, &name, 3..5).await, b"34");
            assert_eq!(read(&blobs, &name, 3..u64::MAX).await, b"3456789");
            assert_eq!(read(&blobs, &name, 8..20).await, b"89");
            assert_eq!(read(&blobs, &name, 10..u64::MAX).await, b"");
            assert_eq!(read(&blobs, &name, 20..30).await, b"");
            assert_eq!(read(&blobs, &name, 5..5).await, b"");
            let error = blobs
                .put(&name, &mut &b"too long"[..], 7)
                .await
                .unwrap_err();
            assert!(
                matches!(error, BlobError::TooLarge { limit: 7, .. }),
                "{error}"
            );
            blobs.put(&name, &mut &b""[..], 0).await.unwrap();
            assert_eq!(read(&blobs, &name, 0..u64::MAX).await, b"");
            blobs.remove(&name).await.unwrap();
            blobs.remove(&name).await.unwrap();
            for range in [0..u64::MAX, 5..6, 5..5] {
                let error = blobs.get(&name, range).await.unwrap_err();
                assert!(matches!(error, BlobError::NotFound(_)), "{error}");
            }
        }
    }

    #[tokio::test]
    async fn a_long_object_is_sent_in_parts_and_a_failing_one_leaves_nothing() {
        let blobs = in_memory("");
        let name: BlobName = "artifacts/1/1/0".parse().unwrap();
        let content: Vec<u8> = (0..PART * 2 + 5)
            .map(|n| (n % 251).to_le_bytes()[0])
            .collect();
        let length = content.len() as u64;
        for end in [PART - 1, PART, PART + 1, PART * 2, content.len()] {
            let put = blobs
                .put(&name, &mut &content[..end], length)
                .await
                .unwrap();
            assert_eq!(put, end as u64);
            assert_eq!(read(&blobs, &name, 0..u64::MAX).await, &content[..end]);
        }
        let error = blobs
            .put(&name, &mut &content[..], length - 1)
            .await
            .unwrap_err();
        assert!(matches!(error, BlobError::TooLarge { .. }), "{error}");
        assert_eq!(
            read(&blobs, &name, length - 2..length).await,
            &content[content.len() - 2..]
        );
    }
}
