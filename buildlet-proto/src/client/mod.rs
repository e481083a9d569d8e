//! Calls a buildlet.
//!
//! [`BuildletClient`] is what a program depends on: object safe, and so easy to mock; [`HttpClient`] is the real one, over any
//! [`Connector`].
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use buildlet_proto::client::{BuildletClient as _, Config, Content, Exec, HttpClient};
//! use buildlet_proto::types::{ExecRequest, FileMode};
//!
//! let client = HttpClient::tcp("10.0.0.7:80", Config::default())?;
//! client.put(Content::from("echo hello\n"), "hello.sh", FileMode::from_unix(0o755)).await?;
//! let command = Exec::from(ExecRequest::new("sh").arg("hello.sh").dir(".").system_level(true));
//! let outcome = client.exec(command.output(tokio::io::stdout())).await?; // the machinery failed: look for another buildlet
//! outcome.success()?; // the command failed: that is a result
//! # Ok(())
//! # }
//! ```
//!
//! # Time
//!
//! `exec` (until the command runs), `status`, `work_dir`, `close` and `connect_ssh` have limits of their own, which [`Config`] sets.
//! The other calls take as long as their work does. What ends any call is the buildlet's death: from the first call on, a
//! heartbeat asks for its status every ten seconds, and after three failures in a row the client is dead and every call with
//! it.
//!
//! # Cancel safety
//!
//! Dropping the future of a call, a [`Running`], a [`Listing`] or a [`Content`] that is still being read closes its connection. A
//! buildlet kills the command when that happens (upstream's only the direct child). No other call is disturbed. A command that is
//! [resumable](crate::types::ExecRequest::resumable) goes on instead, until somebody comes back to it or its time is over.
//!
//! # Connections
//!
//! A call takes an idle connection or makes one, and gives it back once the reply was read to its end; so there are as many
//! as there are calls at the same time, and at most [`Config::max_idle`] in between.

mod body;
mod buildlet_client;
mod config;
mod connector;
mod content;
mod error;
mod exec;
mod heartbeat;
mod http_client;
mod life;
mod listing;
mod outcome;
mod pool;
mod request;
mod reverse;
mod running;
#[cfg(feature = "tls")]
mod tls;

pub use self::buildlet_client::BuildletClient;
pub use self::config::{Config, ConfigError};
pub use self::connector::{Connector, TcpConnector};
pub use self::content::{Archive, Content};
pub use self::error::{AttachError, CallError, ExecError};
pub use self::exec::Exec;
pub use self::http_client::HttpClient;
pub use self::life::BrokenReason;
pub use self::listing::Listing;
pub use self::outcome::{CommandFailed, Outcome};
pub use self::running::Running;
#[cfg(feature = "tls")]
pub use self::tls::{NewTlsClientError, PinnedTlsConnector};
pub use crate::stream::{BoxIo, Io};
