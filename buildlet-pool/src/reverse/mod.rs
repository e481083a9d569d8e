//! Machines that dial in and register.

mod authorize;
mod config;
mod core;
mod followers;
mod hold;
mod invitation;
mod leased;
mod pool;
mod record;
mod session;
mod shared;
mod turns;

pub use self::config::{HostPolicy, Reuse, ReverseConfig};
pub use self::invitation::Invitation;
pub use self::pool::{NewPoolError, ReversePool};
