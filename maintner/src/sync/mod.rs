//! Makes mutations of what happens elsewhere.
//!
//! [`GitSync`] follows repositories on this machine; with the feature `leader`, `GerritSource` follows projects of a Gerrit server; with the
//! feature `github`, `sync::github` follows repositories on GitHub. They make mutations from what a [`View`](crate::View) has to what is
//! there, for a log and a corpus to take.

mod diffs;
mod error;
#[cfg(feature = "test-support")]
pub mod fake_github;
#[cfg(feature = "leader")]
mod gerrit;
mod git;
#[cfg(feature = "github")]
pub mod github;
mod objects;
mod process;
mod walk;

pub use crate::sync::error::SyncError;
#[cfg(feature = "leader")]
pub use crate::sync::gerrit::GerritSource;
pub use crate::sync::git::{GitSync, Synced};
