//! The gRPC service of `maintnerd`, from both sides: whether a commit comes from another, where a ref leads, which releases of Go there
//! are, a page of commits for a dashboard, and which changes want try builds.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use maintner_api::pb::HasAncestorRequest;
//!
//! # #[cfg(feature = "client")]
//! # async fn ask(tls: rustls::ClientConfig) -> Result<(), Box<dyn std::error::Error>> {
//! let mut maintner = maintner_api::connect("maintner.golang.org:443", Arc::new(tls)).await?;
//! let question = HasAncestorRequest {
//!     commit: "9d2a8b192d27ec83bda51be771499b2cd112e183".to_owned(),
//!     ancestor: "d0246e1e6a3b182ea37c3d5b7f09f7f723376859".to_owned(),
//! };
//! println!("{}", maintner.has_ancestor(question).await?.into_inner().has_ancestor);
//! # Ok(())
//! # }
//! ```
//!
//! The feature `client` (on by default) has the client, of Go's servers and of ours. The feature `server` has the answers, as functions of a
//! corpus' [`View`](maintner::View), and the service that gives them:
//!
//! ```
//! # #[cfg(feature = "server")] {
//! use maintner_api::pb::GetRefRequest;
//!
//! # let log = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/corpus");
//! let corpus = maintner::Corpus::open(log)?;
//! let question = GetRefRequest {
//!     gerrit_server: "go.googlesource.com".to_owned(),
//!     gerrit_project: "go".to_owned(),
//!     r#ref: "refs/heads/master".to_owned(),
//! };
//! let answer = maintner_api::get_ref(&corpus.view(), &question)?;
//! assert_eq!(answer.value, "bfe8ee68fc7f026af401125420c6ebd40442eca0");
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Differences from the Go service
//!
//! Nothing in a corpus or a question makes it fail otherwise than with an error; projects whose master is not known are left out of a
//! dashboard, in place of all that come after them; a page of all branches has no commit left out that belongs on it, and those of one
//! time in the order of their branches; every `golang.org/x/NAME` is asked for by its name.
//!
//! Source: `golang.org/x/build/maintner/maintnerd`, `maintapi` and `apipb`.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(feature = "server")]
mod answers;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "server")]
mod dashboard;
// Generated, and compared with what generates it.
#[rustfmt::skip]
#[expect(missing_docs, reason = "the comments are those of the .proto file")]
#[cfg_attr(feature = "client", expect(clippy::missing_errors_doc, reason = "generated: every call fails with a status"))]
#[cfg_attr(feature = "server", expect(clippy::allow_attributes, clippy::doc_markdown, reason = "generated"))]
pub mod pb;
#[cfg(feature = "server")]
mod refusal;
#[cfg(feature = "server")]
mod service;
#[cfg(feature = "server")]
mod try_work;
mod versions;

#[cfg(feature = "server")]
pub use crate::answers::{get_ref, has_ancestor, list_go_releases};
#[cfg(feature = "client")]
pub use crate::client::{Client, ConnectError, connect};
#[cfg(feature = "server")]
pub use crate::dashboard::get_dashboard;
#[cfg(feature = "server")]
pub use crate::refusal::Refusal;
#[cfg(feature = "server")]
pub use crate::service::Service;
pub use crate::versions::{
    parse_go1_point_x, parse_internal_branch, parse_release_branch, parse_tag,
};

/// Runs the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
