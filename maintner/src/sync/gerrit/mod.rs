//! Projects of Gerrit servers, by git.

mod address;
mod failure;
mod remote;
mod source;

pub use crate::sync::gerrit::source::GerritSource;
