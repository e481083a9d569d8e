//! Makes mutations of what happens elsewhere.
//!
//! So far that is git: [`GitSync`] follows repositories on this machine. What follows Gerrit and GitHub would make mutations in the same
//! way, from a [`View`](crate::View) of what is known to what is there, for a log and a corpus to take.

mod error;
mod git;
mod process;

pub use crate::sync::error::SyncError;
pub use crate::sync::git::{GitSync, Synced};
