//! The parts of a build coordinator: what builds are, where they are kept, and where their revisions come from.
//!
//! ```
//! use build_coordinator::model::{BuildKey, Change, NewBuild, Purpose, Timestamp};
//! use build_coordinator::store::{Store, StoreConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let store = Store::open(StoreConfig::sqlite(dir.path().join("coordinator.db"))).await?;
//! let asked = NewBuild {
//!     key: BuildKey {
//!         repository: "tools".into(),
//!         revision: "0123456789abcdef0123456789abcdef01234567".parse()?,
//!         builder: "linux-amd64".into(),
//!         base: None,
//!     },
//!     branch: Some("main".into()),
//!     host_type: "host-linux-amd64".into(),
//!     purpose: Purpose::Head,
//!     reason: "newest commit of main".into(),
//! };
//! let build = store.enqueue(Timestamp::now(), asked).await?.build;
//! let started = Change::AttemptStarted {
//!     attempt: 1,
//!     machine: "m1".into(),
//!     owner: store.instance().into(),
//! };
//! store.record(build.id, Timestamp::now(), started).await?;
//!
//! assert_eq!(store.unfinished().await?[0].attempts, 1);
//! store.close().await?;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod api;
pub mod blobs;
pub mod coordinator;
pub mod git;
pub mod model;
pub mod notify;
pub mod run;
pub mod store;
#[cfg(feature = "web")]
pub mod web;

/// Runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
