//! The public API, seen from outside.

#[cfg(unix)]
mod git;
mod run;
mod store;
