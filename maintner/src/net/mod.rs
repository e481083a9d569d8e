//! Follows a log that a server has, over HTTP, with a cache on disk.
//!
//! ```no_run
//! let mut corpus = maintner::net::corpus("https://maintner.golang.org/logs", "/var/cache/maintner")?;
//! corpus.update()?; // what came since
//! # Ok::<(), maintner::LoadError>(())
//! ```
//!
//! A [`Follower`] brings the segments of a log into a folder, and a [`Corpus`] reads them from there:
//!
//! ```no_run
//! use maintner::Corpus;
//! use maintner::net::{Follower, NetConfig};
//!
//! let log = Follower::open(NetConfig::new("https://maintner.golang.org/logs", "/var/cache/maintner"))?;
//! let mut corpus = Corpus::follow(log, maintner::Config::default());
//! corpus.update()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The cache
//!
//! It is that of Go's `maintner.NewNetworkMutationSource`, byte by byte, and may be shared with its programs: `NNNN.SHA224.mutlog`
//! for a segment that will not change any more, `NNNN.growing.mutlog` for one that may, `tempseg*` for what is being written. Any number of
//! processes may use it at once: each takes the lock `maintner-cache.lock` while it brings a segment, so that only one fetches it, and a file's
//! bytes never change under a reader: they are appended to, or the file is replaced. Nothing is believed that was not hashed in this
//! process.
//!
//! # A server is not believed
//!
//! | what it may do | what comes of it |
//! |---|---|
//! | list segments that make no sense, or more than is allowed | [`FetchError::Index`], [`FetchError::TooLarge`] |
//! | send other bytes than it listed | they are dropped and asked for again; then [`FetchError::Corrupt`] |
//! | send more bytes than it listed | they are not read |
//! | stall, or send slower than 16 KiB a second | [`FetchError::Unreachable`] |
//! | rewrite history | [`FetchError::Split`]; the corpus stays what it was |
//! | point from https to http | [`FetchError::Unreachable`] |
//! | have a certificate of nobody known | [`FetchError::Unreachable`]; [`NetConfig::authorities`] names others than the system's |
//!
//! It can make the follower send `GET` requests to any address, whose answers it does not see; and it can write any history, as long as it
//! stays with it.
//!
//! Source: `golang.org/x/build/maintner/netsource.go`.

mod cache;
mod config;
mod download;
mod error;
mod follower;
mod index;
mod mirror;
mod web;

use std::path::Path;

use crate::{Config, Corpus, LoadError};

pub use crate::net::config::{FetchProgress, NetConfig};
pub use crate::net::error::FetchError;
pub use crate::net::follower::Follower;
pub(crate) use crate::net::follower::SegmentFile;
#[cfg(fuzzing)]
#[doc(hidden)]
pub use crate::net::index::fuzz as fuzz_list;
pub use crate::net::mirror::MirrorError;

/// The name of the [snapshot](Config::snapshot) that [`corpus`] keeps in the cache.
pub const SNAPSHOT: &str = "corpus.snapshot";

/// The corpus of the log that a server has, up to date: the address of its list of segments, and a folder to keep them in.
///
/// It blocks the thread, for minutes when the cache is empty and the log large. A [snapshot](Config::snapshot) is kept beside the
/// segments, so that later starts are fast. With other limits, progress or without a network: see
/// [`NetConfig`] and [`Corpus::follow`].
///
/// # Errors
///
/// When the log cannot be fetched, or read.
pub fn corpus(server: impl Into<String>, cache: impl AsRef<Path>) -> Result<Corpus, LoadError> {
    let config = Config::default().snapshot(cache.as_ref().join(SNAPSHOT));
    let log = Follower::open(NetConfig::new(server, cache))?;
    let mut corpus = Corpus::follow(log, config);
    corpus.update()?;
    Ok(corpus)
}
