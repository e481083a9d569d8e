//! Starts the real programs that this project's crates are tested against.
//!
//! A *peer* is a Go program of ours under `interop/cmd/`, built from the upstream module by the first test that asks for
//! one; *upstream*'s own commands are built from that module as they are. A *tool* is a program that the machine has, such as
//! `pigz`. All come as a [`Program`]:
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! let Some(go) = harness::peer_or_skip("gogunzip") else { return Ok(()) };
//! let answer = go.filter(&[], b"not gzip")?;
//! assert_eq!(answer.status.code(), Some(1));
//! # Ok(())
//! # }
//! ```
//!
//! # Skipping
//!
//! A machine without Go, or without the tool, still passes: [`peer_or_skip`], [`upstream_or_skip`] and [`tool_or_skip`]
//! then say on standard error what is not tested and why, past the test runner's capture. With `REQUIRE_INTEROP=1` in the environment they panic
//! instead, which is how the gate runs them.
//!
//! [`GitRemote`] is a repository to be followed; [`Browser`] (feature `browser`) looks at pages as people do; [`Random`], [`exclusive`] and [`assert_exclusive`] are for tests that kill what they test.
//!
//! A peer that does not *compile* is never skipped: that is a mistake in this repository.

#[cfg(feature = "browser")]
mod browser;
mod chaos;
mod gerrit;
mod go;
mod postgres;
mod program;
mod remote;
mod skip;

#[cfg(feature = "browser")]
pub use crate::browser::Browser;
pub use crate::chaos::{Random, assert_exclusive, exclusive, number};
pub use crate::gerrit::{Gerrit, gerrit};
pub use crate::go::{go, interop_dir, peer, target_dir, upstream};
pub use crate::postgres::{POSTGRES_URL, Postgres, postgres};
pub use crate::program::{FILTER_LIMIT, Program, tool};
pub use crate::remote::GitRemote;
pub use crate::skip::{REQUIRE, Skip, required};

/// [`peer`], or `None` after saying that the calling test is skipped.
///
/// # Panics
///
/// When it cannot be had and `REQUIRE_INTEROP=1`; as [`peer`] does besides.
#[must_use]
#[track_caller]
pub fn peer_or_skip(name: &str) -> Option<Program> {
    skip::or_skip(peer(name), required())
}

/// [`upstream`], or `None` after saying that the calling test is skipped.
///
/// # Panics
///
/// When it cannot be had and `REQUIRE_INTEROP=1`; as [`upstream`] does besides.
#[must_use]
#[track_caller]
pub fn upstream_or_skip(name: &str) -> Option<Program> {
    skip::or_skip(upstream(name), required())
}

/// [`tool`], or `None` after saying that the calling test is skipped.
///
/// # Panics
///
/// When it cannot be had and `REQUIRE_INTEROP=1`.
#[must_use]
#[track_caller]
pub fn tool_or_skip(name: &str) -> Option<Program> {
    skip::or_skip(tool(name), required())
}

/// [`go`], or `None` after saying that the calling test is skipped.
///
/// # Panics
///
/// When it cannot be had and `REQUIRE_INTEROP=1`.
#[must_use]
#[track_caller]
pub fn go_or_skip() -> Option<Program> {
    skip::or_skip(go(), required())
}

/// [`postgres`], or `None` after saying that the calling test is skipped.
///
/// # Panics
///
/// When it cannot be had and `REQUIRE_INTEROP=1`; as [`postgres`] does besides.
#[must_use]
#[track_caller]
pub fn postgres_or_skip() -> Option<&'static Postgres> {
    skip::or_skip(postgres(), required())
}

/// [`gerrit`], or `None` after saying that the calling test is skipped.
///
/// # Panics
///
/// When it cannot be had and `REQUIRE_INTEROP=1`; as [`gerrit`] does besides.
#[must_use]
#[track_caller]
pub fn gerrit_or_skip() -> Option<&'static Gerrit> {
    skip::or_skip(gerrit(), required())
}
