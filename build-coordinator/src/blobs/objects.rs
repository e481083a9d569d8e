//! Blobs in the object stores of clouds.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use buckets::{Bucket, BucketError, OpenBucketError};
use tokio::io::AsyncRead;

use super::{BlobError, BlobName, BlobReader, Blobs};

/// Blobs as objects in a bucket: see [`Bucket`] for how it is asked, and what it may take.
///
/// A `put` that is dropped stores nothing, but parts that were sent already wait in the bucket for an end that does not come: let the
/// bucket remove incomplete uploads after a day.
#[derive(Clone, Debug)]
pub struct ObjectBlobs {
    bucket: Bucket,
}

impl ObjectBlobs {
    /// Uses a bucket, `s3://BUCKET/PREFIX` (feature `s3`) or `gs://BUCKET/PREFIX` (feature `gcs`), with the provider's settings, such as
    /// the environment has: see [`Bucket::open`]. Asks it nothing yet.
    ///
    /// # Errors
    ///
    /// [`OpenBucketError`].
    pub fn open(
        address: &str,
        settings: impl IntoIterator<Item = (String, String)>,
        tls: Arc<rustls::ClientConfig>,
    ) -> Result<Self, OpenBucketError> {
        let bucket = Bucket::open(address, settings, tls)?;
        Ok(Self { bucket })
    }

    /// Whether the bucket can be written to, which is tried for half a minute at most.
    ///
    /// # Cancel safety
    ///
    /// As [`Bucket::check`].
    ///
    /// # Errors
    ///
    /// [`OpenBucketError::Refused`].
    pub async fn check(&self) -> Result<(), OpenBucketError> {
        self.bucket.check().await
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
        let put = self.bucket.put(name.as_str(), source, limit).await;
        put.map_err(|error| failed(name, error))
    }

    async fn get(&self, name: &BlobName, range: Range<u64>) -> Result<BlobReader, BlobError> {
        let got = self.bucket.get(name.as_str(), range).await;
        let object = got.map_err(|error| failed(name, error))?;
        let (total, range) = (object.total(), object.range());
        Ok(BlobReader::new(total, range, Box::pin(object)))
    }

    async fn remove(&self, name: &BlobName) -> Result<(), BlobError> {
        let removed = self.bucket.remove(name.as_str()).await;
        removed.map_err(|error| failed(name, error))
    }
}

fn failed(name: &BlobName, error: BucketError) -> BlobError {
    let name = name.clone();
    match error {
        BucketError::NotFound { .. } => BlobError::NotFound(name),
        BucketError::TooLarge { limit, .. } => BlobError::TooLarge { name, limit },
        BucketError::Unreadable { source, .. } => BlobError::Source { name, source },
        // Its name is said anyway.
        BucketError::Failed { source, .. } => BlobError::Storage { name, source },
        error => BlobError::storage(&name, error),
    }
}
