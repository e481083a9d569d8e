//! Where large things are kept: logs and artifacts.
//!
//! ```
//! use std::sync::Arc;
//!
//! use build_coordinator::blobs::{BlobName, FileBlobs, Logs};
//! use tokio::io::AsyncReadExt as _;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let logs = Logs::new(Arc::new(FileBlobs::open(dir.path().join("blobs")).await?));
//! let name: BlobName = "logs/17/1.gz".parse()?;
//! logs.store(&name, &b"building\nok  \tcmd/go\t4.2s\n"[..]).await?;
//!
//! let mut text = String::new();
//! logs.read(&name, 9..100).await?.read_to_string(&mut text).await?;
//! assert_eq!(text, "ok  \tcmd/go\t4.2s\n");
//! # Ok(())
//! # }
//! ```
//!
//! [`Blobs`] is the seam: [`FileBlobs`] keeps them in a folder and, with the features `s3` and `gcs`, `ObjectBlobs` in a
//! bucket. A blob is there as a whole or not at all, and does not change.
//! [`Logs`] compresses texts on the way in, and reads any part of one without decompressing what lies before it.

mod error;
mod files;
mod logs;
mod name;
#[cfg(any(feature = "s3", feature = "gcs"))]
mod objects;
mod storage;
mod times;

pub use self::error::BlobError;
pub use self::files::FileBlobs;
pub use self::logs::{LogText, Logs};
pub use self::name::{BlobName, ParseBlobNameError};
#[cfg(any(feature = "s3", feature = "gcs"))]
pub use self::objects::ObjectBlobs;
pub use self::storage::{BlobReader, Blobs};
pub use self::times::TimeMark;
#[cfg(any(feature = "s3", feature = "gcs"))]
pub use buckets::OpenBucketError;
