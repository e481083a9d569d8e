//! The one that writes: a log on disk, the corpus that it makes, and sources that are followed into it.
//!
//! ```
//! use std::time::Duration;
//!
//! use async_trait::async_trait;
//! use maintner::leader::{Leader, LeaderConfig, Round, Schedule, Source, SourceError, Supervisor, Wake};
//! use maintner::pb;
//!
//! /// Labels of a repository that somebody keeps elsewhere.
//! struct Labels;
//!
//! #[async_trait]
//! impl Source for Labels {
//!     fn name(&self) -> &str {
//!         "labels:example/x"
//!     }
//!
//!     async fn round(&mut self, leader: &Leader, _: Wake) -> Result<Round, SourceError> {
//!         let mut round = Round::default();
//!         if leader.view().github().repo("example", "x").is_none() {
//!             let labels = vec![pb::GithubLabel { id: 7, name: "bug".to_owned() }];
//!             let (owner, repo) = ("example".to_owned(), "x".to_owned());
//!             let github = pb::GithubMutation { owner, repo, labels, milestones: Vec::new() };
//!             leader.append(vec![pb::Mutation { github: Some(github), ..Default::default() }]).await?;
//!             round.mutations = 1;
//!         }
//!         Ok(round)
//!     }
//! }
//!
//! # async fn lead() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let leader = Leader::open(dir, LeaderConfig::default()).await?;
//! let mut sources = Supervisor::new(leader.clone());
//! sources.add(Labels, Schedule::every(Duration::from_secs(300)));
//! sources.run_once().await?; // or `run`, until it is stopped
//! assert_eq!(leader.view().github().repo("example", "x").unwrap().labels().count(), 1);
//! leader.close().await;
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(lead()).unwrap();
//! ```
//!
//! A [`Leader`] is the handle of a log's only writer. What is [appended](Leader::append) is on the disk, in the corpus and to be seen in
//! [`view`](Leader::view) when the call returns, in the order of the calls.
//!
//! A [`Source`] compares something elsewhere with what a view has, and appends what is missing, in rounds. All that it knows is in the
//! corpus, so that it may be stopped at any time and goes on from there. A [`Supervisor`] has one loop for each: rounds at intervals and
//! when [hinted](Hints), pauses with jitter after failures, and their [health](SourceHealth). One that fails stops no other.

#[cfg(feature = "_buckets")]
mod bucket;
mod error;
mod health;
mod hints;
mod source;
mod supervisor;
mod writer;

#[cfg(feature = "_buckets")]
pub use crate::leader::bucket::{
    BucketLog, BucketLogConfig, BucketLogError, BucketLogStatus, Flushed,
};
pub use crate::leader::error::{LeadError, SourceError, SourceErrorKind};
pub use crate::leader::health::{Health, SourceHealth, SourceState};
pub use crate::leader::hints::Hints;
pub use crate::leader::source::{Round, Source, Wake};
pub use crate::leader::supervisor::{Schedule, Supervisor};
pub use crate::leader::writer::{Leader, LeaderConfig, LeaderStats};
