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
//! # What ends with a command
//!
//! All that it started: when it is killed, runs out of time, its [`Running`] is dropped, the program itself is killed, or it ends by
//! itself. Processes that it leaves behind and that have the output open may go on for a while ([`Config::linger`]); then they are killed, and
//! the [`Outcome`] has the command's own end all the same. With the Go program they live on and keep the request open
//! (<https://go.dev/issue/29319>, <https://go.dev/issue/15778>).
//!
//! | | with a [`Launcher`] (Linux) | without, on Linux | on other Unix systems |
//! |---|---|---|---|
//! | in the command's process group | found | found | found |
//! | has the output open | found | found | |
//! | descends from the command, and all between live | found | found | |
//! | a daemon: own session, lost parents, no output | found | | |
//! | the program is killed | all end | | |
//! | isolation | available | | |
//!
//! # Isolation
//!
//! A command asks for a level ([`Isolation`]), [`Limits`], a [`Sandbox`] and the [`Network`] to be off. What could be put into effect is reported, with
//! what was asked for in vain and why ([`Enforcement`]); that it cannot is an error only if asked for
//! ([`Command::require_isolation`]). A sandbox protects a machine from builds that go wrong, and a fleet from most that mean harm; for
//! strangers' code use it in a virtual machine.
//!
//! # Other systems
//!
//! On Windows requests are understood, and [`Executor::spawn`] fails: job objects are not written yet. The Android emulator of the Go
//! program's hosts is left out.
//!
//! # Differences from the Go program
//!
//! - Programs see their variables sorted, and none without `=`.
//! - `GO_DISABLE_OUTBOUND_NETWORK` takes the network from the one command, all of it but loopback, and leaves the machine's packet filter alone.
//! - Commands do not inherit the buildlet's secrets ([`SECRET_VARIABLES`]).

#![cfg_attr(
    not(unix),
    expect(dead_code, reason = "commands are run on Unix alone")
)]

mod command;
#[cfg(unix)]
mod direct;
mod enforcement;
mod executor;
#[cfg(target_os = "linux")]
mod isolate;
mod launcher;
mod outcome;
#[cfg(target_os = "linux")]
pub(crate) mod processes;
mod running;
#[cfg(unix)]
mod start;
#[cfg(target_os = "linux")]
mod supervisor;
#[cfg(unix)]
mod watch;
mod workplace;

pub use self::command::{Command, Limits, Sandbox};
pub use self::enforcement::{Enforcement, Measure, Missing};
pub use self::executor::{Config, Executor, SpawnError};
#[cfg(target_os = "linux")]
use self::isolate::Setup;
pub use self::launcher::{Launcher, supervise, supervise_if_asked};
pub use self::outcome::Outcome;
pub use self::running::Running;
pub use self::workplace::{ResolveError, SECRET_VARIABLES, Workplace, running_line};
pub use crate::types::ext::{Isolation, Network};
