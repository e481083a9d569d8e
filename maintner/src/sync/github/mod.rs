//! Follows repositories on GitHub: issues, pull requests, comments, events, reviews, labels and milestones.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use maintner::leader::{Leader, LeaderConfig, Schedule, Supervisor};
//! use maintner::sync::github::{GithubAuth, GithubClient, GithubConfig, GithubSource};
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn follow() -> Result<(), Box<dyn std::error::Error>> {
//! let auth = GithubAuth::token_file("/etc/maintner/github-token")?;
//! let github = GithubClient::new(GithubConfig::default().auth(auth))?;
//!
//! let leader = Leader::open("/var/lib/maintner/log", LeaderConfig::default()).await?;
//! let mut sources = Supervisor::new(leader);
//! for repo in ["golang/go", "golang/vscode-go"] {
//!     let schedule = Schedule::every(Duration::from_secs(900)).expect_changes(true);
//!     sources.add(GithubSource::new(github.clone(), repo.parse()?), schedule);
//! }
//! // A webhook that says that something happened: sources.hints().wake("github:golang/go").
//! sources.run(CancellationToken::new()).await;
//! # Ok(())
//! # }
//! ```
//!
//! # What is asked
//!
//! The list of issues by their last update, as far as there is news; then comments, events and reviews of those issues that were updated,
//! comments since the last that is known. A repository without news costs one request a round, which GitHub does not count (304). Numbers
//! that the list lacks are asked for one by one. Once a day the whole list is read, to see what was deleted or transferred, and what else
//! was missed.
//!
//! A round sends a bounded number of requests for what belongs to single issues, then says that there is more, so that the first
//! reading of a large repository is many rounds. It may be stopped anywhere: what is missing can be seen from the corpus.
//!
//! # What is written
//!
//! Mutations as Go's maintner writes them, with these differences in what it would have missed:
//!
//! - Comments are asked for since the last that is known; Go's program asks for all of them each time.
//! - Reviews that change are written again, as those do that are dismissed.
//! - Comments of accounts that are no more are kept, without an author.
//! - An issue that seems updated before the time until which its parts were known has that time set back, so that a server's clock that
//!   goes ahead costs requests and not comments, but for those of the very second in which an issue was read.
//! - Issues that were transferred or deleted become such that do not exist.
//! - A refused request for parts of an issue is no proof that the issue is gone: the issue itself is asked for.
//!
//! Deleted comments, reactions, and review comments on lines have no place in the log.
//!
//! # Answers that make no sense
//!
//! An unknown or missing field, or one of another type, stops nothing. What cannot be used is left out and [counted](Tolerated); what of
//! events and reviews has no place in the log is kept as JSON, [`Event::other_json`](crate::Event::other_json). Bodies, pages and numbers
//! have limits.

mod app;
mod auth;
mod client;
mod config;
mod details;
mod error;
mod event;
mod governor;
mod json;
mod link;
mod list;
mod model;
mod name;
mod plan;
mod source;

pub use crate::sync::github::auth::{AuthError, GithubAuth};
pub use crate::sync::github::client::GithubClient;
pub use crate::sync::github::config::{GithubConfig, GithubConfigError};
pub use crate::sync::github::error::GithubError;
pub use crate::sync::github::governor::{Governor, RateLimits};
pub use crate::sync::github::name::{ParseRepoNameError, RepoName};
pub use crate::sync::github::source::{GithubReport, GithubSource, Tolerated};
