use std::fmt::Debug;
use std::io::{self, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::SystemTime;

use async_trait::async_trait;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncSeekExt as _};
use tokio::task::spawn_blocking;

/// A place that keeps a log as blobs, as Go's `gcslog` does in a bucket: each segment is one, called `NNNN.SHA224.mutlog` by its number,
/// from 0, and its checksum. One that grew is another blob, after which the one before goes. Other names are passed over.
///
/// [`FileBlobs`] is a folder of such files; with the features `s3` and `gcs`, `Bucket` is one too.
#[async_trait]
pub trait LogBlobs: Debug + Send + Sync + 'static {
    /// What there is, in any order. More than `limit` is an error.
    async fn list(&self, limit: usize) -> io::Result<Vec<LogBlob>>;

    /// The bytes `range` of a blob, as a stream that gives exactly those, or fails.
    ///
    /// # Errors
    ///
    /// Of the kind [`NotFound`](io::ErrorKind::NotFound) when there is none of that name any more.
    async fn read(&self, name: &str, range: Range<u64>) -> io::Result<BlobStream>;
}

/// What is in a blob.
pub type BlobStream = Pin<Box<dyn AsyncRead + Send>>;

/// A blob as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "whoever keeps logs elsewhere makes them"
)]
pub struct LogBlob {
    /// Without what stands before the names of all.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// When it was stored. Of several blobs that are the same segment the newest counts.
    pub modified: SystemTime,
}

/// Blobs as files of a folder: a copy of a bucket, or a cache of segments.
#[derive(Debug, Clone)]
pub struct FileBlobs {
    dir: PathBuf,
}

impl FileBlobs {
    /// Those in a folder, which is looked at when they are listed.
    #[must_use]
    pub fn new(dir: impl AsRef<Path>) -> Self {
        let dir = dir.as_ref().to_owned();
        Self { dir }
    }
}

#[async_trait]
impl LogBlobs for FileBlobs {
    async fn list(&self, limit: usize) -> io::Result<Vec<LogBlob>> {
        let dir = self.dir.clone();
        spawn_blocking(move || list(&dir, limit)).await?
    }

    async fn read(&self, name: &str, range: Range<u64>) -> io::Result<BlobStream> {
        let mut file = File::open(self.dir.join(name)).await?;
        file.seek(SeekFrom::Start(range.start)).await?;
        Ok(Box::pin(file.take(range.end.saturating_sub(range.start))))
    }
}

fn list(dir: &Path, limit: usize) -> io::Result<Vec<LogBlob>> {
    let mut blobs = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata?,
        };
        // What is no text is no name of ours.
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        if !metadata.is_file() {
            continue;
        }
        if blobs.len() == limit {
            return Err(io::Error::other(format!(
                "there are more than {limit} files"
            )));
        }
        blobs.push(LogBlob {
            name,
            size: metadata.len(),
            modified: metadata.modified()?,
        });
    }
    Ok(blobs)
}

#[cfg(feature = "_buckets")]
impl From<buckets::Listed> for LogBlob {
    fn from(listed: buckets::Listed) -> Self {
        Self {
            name: listed.name,
            size: listed.size,
            modified: listed.modified,
        }
    }
}

#[cfg(feature = "_buckets")]
#[async_trait]
impl LogBlobs for buckets::Bucket {
    async fn list(&self, limit: usize) -> io::Result<Vec<LogBlob>> {
        let listed = self.list(limit).await.map_err(io::Error::other)?;
        Ok(listed.into_iter().map(LogBlob::from).collect())
    }

    async fn read(&self, name: &str, range: Range<u64>) -> io::Result<BlobStream> {
        match self.get(name, range).await {
            Ok(object) => Ok(Box::pin(object)),
            Err(error @ buckets::BucketError::NotFound { .. }) => {
                Err(io::Error::new(io::ErrorKind::NotFound, error))
            }
            Err(error) => Err(io::Error::other(error)),
        }
    }
}
