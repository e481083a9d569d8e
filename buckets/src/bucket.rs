use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt as _, PutMode,
};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;
use tokio_util::io::StreamReader;

#[cfg(any(feature = "s3", feature = "gcs"))]
use crate::client::Connector;
use crate::error::told;
use crate::{BucketError, Listed, Object, OpenBucketError, Version};

/// Bytes that are sent at once, and so what a `put` has in memory: S3 takes 10,000 parts, which are 78 GiB then.
const PART: usize = 8 << 20;

/// How long a bucket is tried for before it is said to be of no use: what is wrong with it seldom passes.
const TRIAL: Duration = Duration::from_secs(30);

/// Addresses that this program was compiled for.
const KINDS: &str = match (cfg!(feature = "s3"), cfg!(feature = "gcs")) {
    (true, true) => "s3://BUCKET/PREFIX or gs://BUCKET/PREFIX",
    (true, false) => "s3://BUCKET/PREFIX",
    (false, true) => "gs://BUCKET/PREFIX",
    (false, false) => "none, as it was compiled without the features s3 and gcs",
};

/// A bucket, or what is below a prefix in it. Clones are the same one.
///
/// An object of up to 8 MiB is one request, a longer one is sent in parts that become an object when all are there. The store is asked
/// over HTTP/1.1 and TLS, by connections that are kept; each of its answers may take a minute to begin, and be silent for a minute. What
/// fails for a reason that passes is tried again, for three minutes at most.
///
/// A `put` that is dropped stores nothing, but parts that were sent already wait in the bucket for an end that does not come: let the
/// bucket remove incomplete uploads after a day.
#[derive(Clone)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl Bucket {
    /// Uses a bucket: `s3://BUCKET/PREFIX` (feature `s3`) or `gs://BUCKET/PREFIX` (feature `gcs`). Asks it nothing yet.
    ///
    /// `settings` are names and values as the providers' own programs know them: `AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_ENDPOINT`,
    /// `GOOGLE_SERVICE_ACCOUNT` and so on; names that mean nothing are passed over, so that it can be the environment. Connections are
    /// TLS with `tls`; plain HTTP takes `AWS_ALLOW_HTTP=true`.
    ///
    /// # Errors
    ///
    /// [`OpenBucketError`].
    pub fn open(
        address: &str,
        settings: impl IntoIterator<Item = (String, String)>,
        tls: Arc<rustls::ClientConfig>,
    ) -> Result<Self, OpenBucketError> {
        let wrong = || OpenBucketError::Address(address.to_owned(), KINDS);
        let (scheme, rest) = address.split_once("://").ok_or_else(wrong)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(wrong());
        }
        let store = store(scheme, bucket, settings, tls).ok_or_else(wrong)?;
        let store = store.map_err(|error| OpenBucketError::Settings(told(&error)))?;
        let prefix = Path::parse(prefix)
            .map_err(|error| OpenBucketError::Prefix(prefix.to_owned(), told(&error)))?;
        Ok(Self { store, prefix })
    }

    /// An empty one, which goes with its last clone: for tests.
    #[must_use]
    pub fn in_memory() -> Self {
        Self {
            store: Arc::new(InMemory::new()),
            prefix: Path::ROOT,
        }
    }

    /// Writes a small object, `writable`, and removes it: so that what is wrong with a bucket is known at the start, and not when the first
    /// thing is to be kept. Takes half a minute at most.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, but the object may be left.
    ///
    /// # Errors
    ///
    /// [`OpenBucketError::Refused`].
    pub async fn check(&self) -> Result<(), OpenBucketError> {
        let path = self.prefix.clone().join("writable");
        let trial = async {
            let content = Bytes::from_static(b"objects may be stored here\n");
            self.store.put(&path, content.into()).await?;
            self.store.delete(&path).await
        };
        match timeout(TRIAL, trial).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(OpenBucketError::Refused(told(&error))),
            Err(late) => Err(OpenBucketError::Refused(late.into())),
        }
    }

    /// Stores what `source` gives, to its end, as `name`; how many bytes that were. An object of that name is replaced, in one step.
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped stores nothing, or everything that `source` had.
    ///
    /// # Errors
    ///
    /// [`BucketError`], [`TooLarge`](BucketError::TooLarge) for more than `limit` bytes; then nothing was stored.
    pub async fn put(
        &self,
        name: &str,
        source: &mut (dyn AsyncRead + Send + Unpin),
        limit: u64,
    ) -> Result<u64, BucketError> {
        let failed = |error| failed(name, &error);
        let path = self.path(name)?;
        let first = next_part(name, source).await?;
        let bytes = first.len() as u64;
        check(name, bytes, limit)?;
        if first.len() < PART {
            self.store.put(&path, first.into()).await.map_err(failed)?;
            return Ok(bytes);
        }
        let mut upload = self.store.put_multipart(&path).await.map_err(failed)?;
        let sent = put_parts(&mut *upload, name, first, source, limit).await;
        if sent.is_err()
            && let Err(error) = upload.abort().await
        {
            tracing::warn!(object = name, %error, "parts of an object that was not stored are left in the bucket");
        }
        sent
    }

    /// Reads an object, or those bytes of `range` that it has.
    ///
    /// # Errors
    ///
    /// [`BucketError::NotFound`], [`BucketError::Failed`].
    pub async fn get(&self, name: &str, range: Range<u64>) -> Result<Object, BucketError> {
        let failed = |error| failed(name, &error);
        let path = self.path(name)?;
        let wanted = match (range.start, range.end) {
            (0, u64::MAX) => None,
            (start, u64::MAX) => Some(GetRange::Offset(start)),
            _ => Some(GetRange::Bounded(range.clone())),
        };
        let options = GetOptions {
            range: wanted,
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
            return Ok(Object::new(total, range, stream));
        }
        let total = self.store.head(&path).await.map_err(failed)?.size;
        let at = range.start.min(total);
        Ok(Object::new(total, at..at, tokio::io::empty()))
    }

    /// All of a small object, and which version that is; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`BucketError`], [`TooLarge`](BucketError::TooLarge) when it has more than `limit` bytes.
    pub async fn look(
        &self,
        name: &str,
        limit: u64,
    ) -> Result<Option<(Bytes, Version)>, BucketError> {
        let failed = |error| failed(name, &error);
        let got = match self.store.get(&self.path(name)?).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            got => got.map_err(failed)?,
        };
        check(name, got.meta.size, limit)?;
        let version = Version::new(got.meta.e_tag.clone(), got.meta.version.clone());
        let content = got.bytes().await.map_err(failed)?;
        Ok(Some((content, version)))
    }

    /// Stores a small object if that of its name is still the one `before`, or if there is none: of several who try that at the same time
    /// one succeeds.
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped stores nothing or everything.
    ///
    /// # Errors
    ///
    /// [`BucketError::Changed`] when it is another one. It is also what an answer that was lost looks like, as the request is repeated then:
    /// [look](Self::look) whether it is your own.
    pub async fn swap(
        &self,
        name: &str,
        content: Bytes,
        before: Option<&Version>,
    ) -> Result<Version, BucketError> {
        let path = self.path(name)?;
        let mode = before.map_or(PutMode::Create, |version| {
            PutMode::Update(version.0.clone())
        });
        let put = self
            .store
            .put_opts(&path, content.into(), mode.into())
            .await;
        let put = put.map_err(|error| failed(name, &error))?;
        Ok(Version::new(put.e_tag, put.version))
    }

    /// Removes an object, if it is there.
    ///
    /// # Errors
    ///
    /// [`BucketError::Failed`].
    pub async fn remove(&self, name: &str) -> Result<(), BucketError> {
        match self.store.delete(&self.path(name)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(name, &error)),
        }
    }

    /// What is in the bucket, below its prefix, in no order.
    ///
    /// # Errors
    ///
    /// [`BucketError::TooMany`] when there is more than `limit`; [`BucketError::Failed`].
    pub async fn list(&self, limit: usize) -> Result<Vec<Listed>, BucketError> {
        let failed = |error: object_store::Error| failed(self.prefix.as_ref(), &error);
        let mut all = self.store.list(Some(&self.prefix));
        let mut listed = Vec::new();
        while let Some(object) = all.try_next().await.map_err(failed)? {
            if listed.len() == limit {
                return Err(BucketError::TooMany { limit });
            }
            let path = object.location.as_ref();
            let name = match self.prefix.as_ref() {
                "" => Some(path),
                prefix => path
                    .strip_prefix(prefix)
                    .and_then(|name| name.strip_prefix('/')),
            };
            listed.extend(name.map(|name| Listed {
                name: name.to_owned(),
                size: object.size,
                modified: object.last_modified.into(),
            }));
        }
        Ok(listed)
    }

    fn path(&self, name: &str) -> Result<Path, BucketError> {
        let parsed = Path::parse(name).map_err(|error| BucketError::Name {
            name: name.to_owned(),
            source: told(&error),
        })?;
        Ok(parsed.parts().fold(self.prefix.clone(), Path::join))
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The store's own text has no secrets, but much that nobody needs.
        f.debug_struct("Bucket")
            .field("prefix", &self.prefix.as_ref())
            .finish_non_exhaustive()
    }
}

type Store = object_store::Result<Arc<dyn ObjectStore>>;

/// A client of the kind that `scheme` names, if there is one.
#[cfg(any(feature = "s3", feature = "gcs"))]
fn store(
    scheme: &str,
    bucket: &str,
    settings: impl IntoIterator<Item = (String, String)>,
    tls: Arc<rustls::ClientConfig>,
) -> Option<Store> {
    // The builders are alike, but share no trait.
    macro_rules! build {
        ($builder:ty, $prefix:literal) => {{
            let builder = <$builder>::new()
                .with_bucket_name(bucket)
                .with_http_connector(Connector::new(tls));
            settings
                .into_iter()
                .filter(|(name, _)| name.starts_with($prefix))
                .filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value)))
                .fold(builder, |builder, (key, value)| {
                    builder.with_config(key, value)
                })
                .build()
                .map(|store| Arc::new(store) as Arc<dyn ObjectStore>)
        }};
    }
    match scheme {
        #[cfg(feature = "s3")]
        "s3" => Some(build!(object_store::aws::AmazonS3Builder, "AWS_")),
        #[cfg(feature = "gcs")]
        "gs" => Some(build!(
            object_store::gcp::GoogleCloudStorageBuilder,
            "GOOGLE_"
        )),
        _ => None,
    }
}

#[cfg(not(any(feature = "s3", feature = "gcs")))]
fn store(
    _: &str,
    _: &str,
    _: impl IntoIterator<Item = (String, String)>,
    _: Arc<rustls::ClientConfig>,
) -> Option<Store> {
    None
}

/// Sends `part` and what follows it, as the parts of one object.
async fn put_parts(
    upload: &mut dyn MultipartUpload,
    name: &str,
    mut part: Vec<u8>,
    source: &mut (dyn AsyncRead + Send + Unpin),
    limit: u64,
) -> Result<u64, BucketError> {
    let mut bytes = 0;
    while !part.is_empty() {
        bytes += part.len() as u64;
        check(name, bytes, limit)?;
        let sent = upload.put_part(part.into()).await;
        sent.map_err(|error| failed(name, &error))?;
        part = next_part(name, source).await?;
    }
    let done = upload.complete().await;
    done.map_err(|error| failed(name, &error))?;
    Ok(bytes)
}

/// The next bytes, a full part unless they are the last.
async fn next_part(
    name: &str,
    source: &mut (dyn AsyncRead + Send + Unpin),
) -> Result<Vec<u8>, BucketError> {
    let mut part = Vec::new();
    let read = source.take(PART as u64).read_to_end(&mut part).await;
    read.map_err(|source| BucketError::Unreadable {
        name: name.to_owned(),
        source,
    })?;
    Ok(part)
}

fn check(name: &str, bytes: u64, limit: u64) -> Result<(), BucketError> {
    if bytes <= limit {
        return Ok(());
    }
    let name = name.to_owned();
    Err(BucketError::TooLarge { name, limit })
}

fn failed(name: &str, error: &object_store::Error) -> BucketError {
    let name = name.to_owned();
    match error {
        object_store::Error::NotFound { .. } => BucketError::NotFound { name },
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => {
            BucketError::Changed { name }
        }
        error => BucketError::Failed {
            name,
            source: told(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_memory(prefix: &str) -> Bucket {
        Bucket {
            prefix: Path::parse(prefix).unwrap(),
            ..Bucket::in_memory()
        }
    }

    async fn read(bucket: &Bucket, name: &str, range: Range<u64>) -> Vec<u8> {
        let mut object = bucket.get(name, range).await.unwrap();
        let expected = object.range();
        let mut bytes = Vec::new();
        object.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes.len() as u64, expected.end - expected.start);
        bytes
    }

    #[tokio::test]
    async fn an_object_is_there_as_a_whole_or_not_at_all() {
        for prefix in ["", "ci/blobs"] {
            let bucket = in_memory(prefix);
            let name = "logs/1/1.gz";
            assert_eq!(
                bucket.put(name, &mut &b"0123456789"[..], 10).await.unwrap(),
                10
            );
            assert_eq!(read(&bucket, name, 0..u64::MAX).await, b"0123456789");
            assert_eq!(read(&bucket, name, 3..5).await, b"34");
            assert_eq!(read(&bucket, name, 3..u64::MAX).await, b"3456789");
            assert_eq!(read(&bucket, name, 8..20).await, b"89");
            assert_eq!(read(&bucket, name, 10..u64::MAX).await, b"");
            assert_eq!(read(&bucket, name, 20..30).await, b"");
            assert_eq!(read(&bucket, name, 5..5).await, b"");
            let error = bucket.put(name, &mut &b"too long"[..], 7).await;
            let error = error.unwrap_err();
            assert!(
                matches!(error, BucketError::TooLarge { limit: 7, .. }),
                "{error}"
            );
            bucket.put(name, &mut &b""[..], 0).await.unwrap();
            assert_eq!(read(&bucket, name, 0..u64::MAX).await, b"");
            bucket.remove(name).await.unwrap();
            bucket.remove(name).await.unwrap();
            for range in [0..u64::MAX, 5..6, 5..5] {
                let error = bucket.get(name, range).await.unwrap_err();
                assert!(matches!(error, BucketError::NotFound { .. }), "{error}");
            }
            let error = bucket.get("a//b", 0..1).await.unwrap_err();
            assert!(matches!(error, BucketError::Name { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn an_object_is_swapped_by_who_saw_it_last() {
        let bucket = in_memory("log");
        let (one, two) = (Bytes::from_static(b"one"), Bytes::from_static(b"two"));
        assert!(bucket.look("leader", 9).await.unwrap().is_none());
        let first = bucket.swap("leader", one.clone(), None).await.unwrap();
        let late = bucket.swap("leader", two.clone(), None).await.unwrap_err();
        assert!(matches!(late, BucketError::Changed { .. }), "{late}");
        let (content, seen) = bucket.look("leader", 9).await.unwrap().unwrap();
        assert_eq!((content, &seen), (one.clone(), &first));
        let second = bucket.swap("leader", two, Some(&seen)).await.unwrap();
        let late = bucket.swap("leader", one, Some(&first)).await.unwrap_err();
        assert!(matches!(late, BucketError::Changed { .. }), "{late}");
        assert_ne!(first, second);
        let large = bucket.look("leader", 2).await.unwrap_err();
        assert!(
            matches!(large, BucketError::TooLarge { limit: 2, .. }),
            "{large}"
        );
    }

    #[tokio::test]
    async fn what_is_below_the_prefix_is_listed_up_to_a_limit() {
        let all = in_memory("");
        let below = Bucket {
            prefix: Path::parse("ci/blobs").unwrap(),
            ..all.clone()
        };
        for (bucket, name, content) in [
            (&all, "elsewhere", &b"1"[..]),
            (&all, "ci/blobsx", b"2"),
            (&below, "one", b"333"),
            (&below, "two/three", b""),
        ] {
            bucket.put(name, &mut &*content, 10).await.unwrap();
        }
        let listed = async |bucket: &Bucket| {
            let mut listed: Vec<_> = (bucket.list(4).await.unwrap().into_iter())
                .map(|object| (object.name, object.size))
                .collect();
            listed.sort();
            listed
        };
        assert_eq!(
            listed(&below).await,
            [("one".to_owned(), 3), ("two/three".to_owned(), 0)]
        );
        assert_eq!(listed(&all).await.len(), 4);
        let error = all.list(3).await.unwrap_err();
        assert!(
            matches!(error, BucketError::TooMany { limit: 3 }),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_long_object_is_sent_in_parts_and_a_failing_one_leaves_nothing() {
        let bucket = in_memory("");
        let name = "artifacts/1/1/0";
        let content: Vec<u8> = (0..PART * 2 + 5)
            .map(|n| (n % 251).to_le_bytes()[0])
            .collect();
        let length = content.len() as u64;
        for end in [PART - 1, PART, PART + 1, PART * 2, content.len()] {
            let put = bucket
                .put(name, &mut &content[..end], length)
                .await
                .unwrap();
            assert_eq!(put, end as u64);
            assert_eq!(read(&bucket, name, 0..u64::MAX).await, &content[..end]);
        }
        let error = bucket
            .put(name, &mut &content[..], length - 1)
            .await
            .unwrap_err();
        assert!(matches!(error, BucketError::TooLarge { .. }), "{error}");
        assert_eq!(
            read(&bucket, name, length - 2..length).await,
            &content[content.len() - 2..]
        );
    }
}
