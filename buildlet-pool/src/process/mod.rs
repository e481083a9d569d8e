//! Buildlets that are processes on this machine.

mod config;
mod folder;
mod identity;
mod instance;
mod pool;
mod slot;

pub use self::config::{INHERITED_VARIABLES, ProcessConfig, Program};
pub use self::pool::{ProcessPool, ProcessStatus, StartError};
