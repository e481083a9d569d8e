//! An SSH server inside the buildlet: shells, commands and files of its work directory, for a person who looks at a machine.
//!
//! ```no_run
//! # async fn f(io: tokio::net::TcpStream, line: &str) -> Result<(), Box<dyn std::error::Error>> {
//! use buildlet_proto::ssh::{Config, HostKey, Server};
//!
//! let server = Server::new(Config::new("/workdir").host_key(HostKey::generate()))?;
//! server.keys().authorize("gopher", line)?; // a line as in authorized_keys
//! server.serve_connection(io, Default::default()).await?;
//! # Ok(()) }
//! ```
//!
//! It serves shells and commands, with and without a pseudo-terminal, and the `sftp` subsystem, which `scp` speaks too. It
//! knows no passwords, no forwarding of ports or agents, and no users: whoever holds a key does what the buildlet's own user
//! may do, and the user name only selects which keys are looked at.
//!
//! # Differences from the Go buildlet
//!
//! Upstream's built-in server gives a shell in a pseudo-terminal and nothing else, checks only the first key it was ever given,
//! has no limits, and leaves processes behind.
//!
//! # Confinement
//!
//! A shell is not confined. `sftp` is: every path is walked below a handle of the work directory, so neither `..` nor a
//! symbolic link reaches anything outside.
//!
//! # Limits
//!
//! | what | limit |
//! |---|---|
//! | connections | [`Config::max_connections`], 16; one more is told so and closed |
//! | time to log in | [`Config::login_limit`], 30 s |
//! | refused keys a connection | [`Config::max_auth_attempts`], 6 |
//! | channels a connection | [`Config::max_channels`], 10, each with one process and, with a terminal, three threads |
//! | silence | a dead peer is noticed after 2 minutes; [`Config::idle_limit`] ends one that is alive but does nothing, off by default |
//! | input that waits for a process | 2 MiB a channel, then the client is slowed down |
//! | output that waits for the client | 384 KiB a connection, then the process is |
//! | variables a channel | 64, of 32 KiB in all |
//! | open files of one `sftp` | 128 |

#[cfg(feature = "server")]
mod built_in;
mod config;
mod connection;
mod group;
mod guard;
mod host_key;
mod input;
mod keys;
mod process;
mod pty;
mod server;
mod session;
mod sftp;

#[cfg(feature = "server")]
pub use crate::ssh::built_in::BuiltIn;
pub use crate::ssh::config::{Config, ConfigError};
pub use crate::ssh::host_key::{HostKey, HostKeyError};
pub use crate::ssh::keys::{AuthorizedKeys, KeyError};
pub use crate::ssh::server::{ConnectionError, Server};
