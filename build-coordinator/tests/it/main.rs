//! The public API, seen from outside.

mod blobs;
#[cfg(unix)]
mod coordinator;
#[cfg(unix)]
mod git;
#[cfg(any(feature = "s3", feature = "gcs"))]
mod objects;
mod run;
mod store;
#[cfg(feature = "web")]
mod web;
