//! Serves a log to those who follow it: our [`net`](crate::net)'s followers and Go's programs alike.
//!
//! ```no_run
//! use maintner::serve::{LogServer, ServeConfig};
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let log = LogServer::open("/var/lib/maintner", ServeConfig::default())?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! log.serve(listener, CancellationToken::new()).await; // http://127.0.0.1:8080/logs
//! # Ok(())
//! # }
//! ```
//!
//! Each file of the folder is a segment, in the order of their names, and may be a day's or of any size. The last one grows, others must
//! not change any more. Only whole records are served. What is served is known by its hash, so a server that starts again goes on where it
//! was; a writer must not take back what was served, which one that syncs each batch does not.
//!
//! # Buckets
//!
//! A log that Go's leader keeps in a bucket is served from there ([`LogServer::open_blobs`]); nothing is kept on this machine. Anything else that
//! keeps blobs can be put behind [`LogBlobs`].
//!
//! ```no_run
//! # #[cfg(feature = "gcs")]
//! # async fn serve(tls: std::sync::Arc<rustls::ClientConfig>) -> Result<(), Box<dyn std::error::Error>> {
//! use maintner::serve::{Bucket, LogServer, ServeConfig};
//!
//! let bucket = Bucket::open("gs://golang-maintner-log", std::env::vars(), tls)?; // feature `gcs`
//! let log = LogServer::open_blobs(bucket, ServeConfig::default()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Routes
//!
//! | request | answer |
//! |---|---|
//! | `/logs` | the list of segments: numbers, sizes, SHA-224s, addresses |
//! | `/logs?startseg=N` | those from number N on |
//! | `/logs?waitsizenot=N` | the list, once the log has not N bytes; after 55 s status 304 |
//! | `/logs/N` | a segment, as a whole or a range of bytes; as a whole compressed, if it is a file, the client takes that and a processor is free |
//!
//! # Limits
//!
//! | what | by default |
//! |---|---|
//! | connections | 1,024; more wait |
//! | requests that wait for news | 1,024; more are answered 503 |
//! | memory of an answer | 512 KiB, and the list, which is shared |
//! | segments that are compressed at once | as many as there are processors; others are sent as they are |
//! | blobs of a log | 100,000 |
//! | a list of blobs | 5 min |
//! | waiting for a blob's bytes | 60 s |
//! | a request's head | 64 headers, 16 KiB, 20 s; other bodies than none are not read |
//! | a write that the client does not take | 60 s |
//!
//! There is no TLS and no authentication: both are a proxy's. The log is for everybody who can reach it.
//!
//! Source: `golang.org/x/build/maintner/maintnerd/gcslog`.

mod blobs;
mod body;
pub(crate) mod bucket;
mod config;
mod error;
mod folder;
mod log;
mod server;
mod service;

pub use crate::serve::blobs::{BlobStream, FileBlobs, LogBlob, LogBlobs};
pub use crate::serve::body::LogBody;
pub use crate::serve::config::ServeConfig;
pub use crate::serve::error::ServeError;
pub use crate::serve::log::LogServer;
#[cfg(any(feature = "s3", feature = "gcs"))]
pub use buckets::{Bucket, OpenBucketError};
