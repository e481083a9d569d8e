//! Running commands: what stands behind `/exec`.
//!
//! An [`Executor`] starts a [`Command`] and gives a [`Running`], from which the output comes piece by piece, in the order in which the command
//! wrote it, and at the end an [`Outcome`].
//!
//! ```no_run
//! # async fn example() -> Result<(), buildlet_proto::exec::SpawnError> {
//! use buildlet_proto::exec::{Command, Executor};
//! let executor = Executor::default();
//! let mut running = executor.spawn(Command::new("/bin/echo").args(["hello"])).await?;
//! while let Some(chunk) = running.chunk().await {
//!     print!("{}", String::from_utf8_lossy(&chunk));
//! }
//! println!("{}", running.wait().await.state); // ok
//! # Ok(())
//! # }
//! ```
//!
//! What a command started ends with it: when it is killed, runs out of time, its [`Running`] is dropped, or it ends by itself.

mod command;
mod direct;
mod enforcement;
mod executor;
#[cfg(target_os = "linux")]
mod isolate;
mod launcher;
mod outcome;
#[cfg(target_os = "linux")]
pub(crate) mod processes;
mod start;
#[cfg(target_os = "linux")]
mod supervisor;
mod watch;
mod workplace;

pub use self::command::{Command, Limits, Sandbox};
pub use self::enforcement::{Enforcement, Measure, Missing};
pub use self::executor::{Config, Executor, Running, SpawnError};
#[cfg(target_os = "linux")]
use self::isolate::Setup;
pub use self::launcher::{Launcher, supervise, supervise_if_asked};
pub use self::outcome::Outcome;
pub use self::workplace::{ResolveError, SECRET_VARIABLES, Workplace, running_line};
pub use crate::types::ext::{Isolation, Network};
