//! The public API, seen from outside.

mod blobs;
#[cfg(unix)]
mod coordinator;
#[cfg(unix)]
mod git;
mod run;
mod store;
#[cfg(feature = "web")]
mod web;
