//! The buildlet protocol: how a coordinator has commands run on worker machines.
//!
//! Both ends of what `golang.org/x/build` calls a *buildlet*, wire-compatible with the Go programs: a worker that takes files,
//! runs commands and gives files back over HTTP/1.1, and its client.
//!
#![cfg_attr(feature = "test-support", doc = "```")]
#![cfg_attr(not(feature = "test-support"), doc = "```ignore")]
//! use buildlet_proto::client::{BuildletClient as _, Config, Exec};
//! use buildlet_proto::test_support::FakeBuildlet;
//! use buildlet_proto::types::{ExecRequest, FileMode, ListRequest};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let buildlet = FakeBuildlet::start()?; // the real server, in memory
//! let client = buildlet.client(Config::default())?;
//! client.put("echo made > out".into(), "go/make.sh", FileMode::from_unix(0o755)).await?;
//!
//! let command = ExecRequest::new("sh").arg("make.sh").dir("go").system_level(true);
//! let outcome = client.exec(Exec::from(command).output(tokio::io::stdout())).await?;
//! outcome.success()?;
//!
//! let entries = client.list_dir(ListRequest::new("go")).await?.collect().await?;
//! assert_eq!(entries[1].name(), "out");
//! # Ok(())
//! # }
//! ```
//!
//! # Where to begin
//!
//! | you want | begin with | feature |
//! |---|---|---|
//! | to use buildlets | `client`, and for those behind NAT `revdial`'s front door | `client` (on by default), `tls`, `keypair` |
//! | to be one | `server` over a TCP listener or `revdial`'s | `server` |
//! | a part of one: archives, a confined directory, commands, SSH | `archive`, `workdir`, `exec`, `ssh` | of the same names |
//! | to test a program that uses them | mocks of `BuildletClient`, or `test_support` | `test-support` |
//! | the rules alone | [`types`], [`key`] | none |
//!
//! # Differences from the Go programs
//!
//! A Go client or buildlet at the other end sees none but these:
//!
//! - `User-Agent` tells this crate, and requests offer no compression of replies: upstream's offer would compress archives twice.
//! - An empty directory for an archive is sent as `.`, which buildlets of all versions take.
//! - The client keeps connections after every call whose reply it read, so that a build needs one or two; upstream makes a new
//!   one after most.
//! - A heartbeat that fails while output arrives does not count: the buildlet is busy, not gone.
//!
//! Beyond the protocol there are [extensions](types::ext) that both ends use only with each other. What servers, archives and commands do
//! otherwise, and why, their modules say.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(feature = "archive")]
pub mod archive;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "exec")]
pub mod exec;
pub mod key;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "ssh")]
pub mod ssh;
#[cfg(any(feature = "server", feature = "ssh"))]
pub mod ssh_gate;
#[cfg(any(feature = "client", feature = "server"))]
mod stream;
#[cfg(feature = "test-support")]
pub mod test_support;
pub mod types;
#[cfg(feature = "archive")]
pub mod workdir;

/// Checks the example of the README.
#[cfg(all(doctest, feature = "client", feature = "server"))]
#[doc = include_str!("../README.md")]
struct Readme;
