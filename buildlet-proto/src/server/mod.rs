//! The HTTP service of a buildlet.
//!
//! ```no_run
//! # async fn example(listener: tokio::net::TcpListener) -> Result<(), Box<dyn std::error::Error>> {
//! use buildlet_proto::server::{self, Config, Server};
//! use buildlet_proto::workdir::Workdir;
//! use tokio_util::sync::CancellationToken;
//!
//! let stop = CancellationToken::new(); // cancel it to end gracefully
//! let server = Server::new(Workdir::open("/workdir")?, Config::default().password("sekret"))?;
//! server.serve(server::tcp(listener), stop).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Server::serve`] takes any stream of connections: TCP, TLS, or those that a reverse buildlet picks up at its coordinator.
//!
//! # Differences from the Go program
//!
//! Requests and replies are its own, to the byte where peers look, but:
//!
//! - paths are confined by directory handles: a symbolic link in the work directory leads nobody out of it;
//! - a command's whole process tree is killed when its client goes, not its first process alone; unless the client [asked for
//!   it to be kept](crate::types::ext#commands-that-outlive-their-connection);
//! - sizes, times and numbers are limited (see [`Config`]), and what goes beyond is told, with 413, 431 or 503;
//! - `/tgz` answers 404 or 500 where upstream closes the connection, and takes an empty `dir` for the work directory;
//! - `/debug/x` with a negative number is 400, `/debug/goroutines` is a few numbers, and `//status` is not redirected;
//! - `/halt`, `/connect-ssh` and fetching from URLs do something only if the program around it says what.

mod auth;
mod bridge;
#[cfg(any(test, feature = "test-support"))]
#[doc(hidden)]
pub mod compare;
mod config;
mod exec;
mod fetch;
mod files;
mod form;
mod head;
mod io;
mod listen;
mod reply;
mod resume;
mod route;
mod service;
mod ssh;

pub use self::config::{Config, ConfigError, HostName};
pub use self::fetch::{Fetch, FetchBody, FetchError, HttpFetch};
pub use self::listen::{infallible, tcp};
pub use self::service::{ConnectionError, ServeError, Server};
pub use self::ssh::{LocalSshd, SshError, SshSession, SshTarget};
pub use crate::stream::{BoxIo, Io};
