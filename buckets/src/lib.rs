//! Objects in buckets of Amazon's S3, Google's Cloud Storage and what speaks their protocols, as streams of bytes.
//!
//! ```
//! use buckets::Bucket;
//! use tokio::io::AsyncReadExt as _;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bucket = Bucket::in_memory(); // or Bucket::open("s3://BUCKET/PREFIX", std::env::vars(), tls)?
//! bucket.put("logs/1.txt", &mut &b"ok  \tcmd/go\t4.2s\n"[..], 1 << 20).await?;
//! let mut text = String::new();
//! bucket.get("logs/1.txt", 5..11).await?.read_to_string(&mut text).await?;
//! assert_eq!(text, "cmd/go");
//! # Ok(())
//! # }
//! ```
//!
//! Signatures, credentials and retries are those of the crate `object_store`, whose types stay in here; HTTP is hyper's, and TLS the
//! caller's rustls.
//!
//! # Limits
//!
//! | what | limit |
//! |---|---|
//! | memory of a `put` | 8 MiB |
//! | an object | 10,000 parts of 8 MiB with S3, which are 78 GiB |
//! | time to connect, TLS included | 15 s |
//! | time until an answer begins, and silence within it | 60 s |
//! | trying again what fails for a reason that passes | 3 min |
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod bucket;
#[cfg(any(feature = "s3", feature = "gcs"))]
mod client;
mod error;
mod object;

pub use crate::bucket::Bucket;
pub use crate::error::{BucketError, OpenBucketError};
pub use crate::object::{Listed, Object, Version};

/// Runs the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
