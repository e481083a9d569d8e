//! Work finding: bare caches of git repositories, their branches, commits and archives, through the `git` program.
//!
//! ```no_run
//! use build_coordinator::git::{Git, GitConfig, Source};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let git = Git::open("/var/lib/coordinator/git", GitConfig::default()).await?;
//! let tools = git.repository("tools", &Source::parse("https://example.com/tools.git")?).await?;
//! tools.fetch().await?;
//! for head in tools.branches().await?.iter() {
//!     let archive = tools.archive(&head.revision).await?;
//!     println!("{}: {} bytes of .tar.gz", head.name, archive.bytes);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What a repository cannot do
//!
//! Whoever can push to a repository, or serves it, is a stranger.
//!
//! - **No text of theirs is an option or a command.** A URL stands in a configuration file, never on a command line; its
//!   scheme is one of a few, which git is told too. Revisions are [`Revision`](crate::model::Revision)s: digits. Branch
//!   names are only ever read.
//! - **No program of theirs runs.** There are no hooks, no checkout, no filters, no submodules; system and user
//!   configuration is not read, unless [`GitConfig::user_config`] says so. No one is asked for a password.
//! - **What they send is bounded**: every command has a time limit and a limit of what is read from it, packs and archives
//!   have a size limit, histories a length. On Linux the limit of a pack is enforced by the kernel.
//! - **Commits are read as bytes with a length**, not as lines: no message can pretend to be another commit.
//!
//! # What a command leaves behind
//!
//! Nothing: each is a process group of its own, which is killed when its limit is reached, or the call is dropped.
//! Every method here is cancel safe in that sense: what it had half done is done again by the next call.

mod archive;
mod command;
mod commit;
mod config;
mod error;
mod objects;
mod poll;
mod repository;
mod source;

pub use self::archive::SourceArchive;
pub use self::config::GitConfig;
pub use self::error::GitError;
pub use self::poll::{Found, Poll, PollPlan, PollSchedule};
pub use self::repository::{Git, Head, Repository};
pub use self::source::{ParseSourceError, Source};
