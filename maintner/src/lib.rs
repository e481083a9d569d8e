//! Mutation logs of git, Gerrit and GitHub history, as `golang.org/x/build/maintner` has them.
//!
//! ```
//! use maintner::reclog::{self, Reader, Writer, WriterConfig};
//!
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let mut log = Writer::open(dir, WriterConfig::default())?; // no second writer from here on
//! log.append([b"one", b"two"])?; // on the disk now
//!
//! for segment in reclog::segments(dir)? {
//!     let mut reader = Reader::new(std::fs::File::open(segment.path)?, 0);
//!     while let Some(record) = reader.next_record()? {
//!         println!("{} bytes at {}", record.payload.len(), record.offset);
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Not yet
//!
//! The corpus, and following a log over the network.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod mutation;
pub mod reclog;

pub use crate::mutation::pb;
pub use crate::mutation::{
    BoolChange, DecodeError, GerritMutationRef, GitCommitRef, GitDiffTreeFileRef, GitDiffTreeRef,
    GitMutationRef, GitRefRef, GitRepoRef, GithubCommitRef, GithubDismissedReviewEventRef,
    GithubIssueCommentMutationRef, GithubIssueEventRef, GithubIssueMutationRef,
    GithubIssueSyncStatus, GithubLabelRef, GithubMilestoneRef, GithubMutationRef, GithubReviewRef,
    GithubTeamRef, GithubUserRef, MutationRef, StringChangeRef, Timestamp, Unknown,
};

/// Runs the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
