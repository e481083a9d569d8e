//! The buildlet protocol: how a coordinator has commands run on worker machines.
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
pub mod types;
#[cfg(feature = "archive")]
pub mod workdir;
