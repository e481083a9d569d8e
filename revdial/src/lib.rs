//! Being written.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod backoff;
mod config;
#[cfg(feature = "tokio")]
mod connect;
#[cfg(feature = "tokio")]
mod connection;
#[cfg(feature = "tokio")]
mod control_io;
#[cfg(feature = "tokio")]
mod dialer;
#[cfg(feature = "tokio")]
mod front_door;
#[cfg(feature = "tokio")]
mod listener;
#[cfg(feature = "tokio")]
mod observe;
pub mod proto;
#[cfg(feature = "tokio")]
mod proxy;
#[cfg(feature = "tokio")]
mod register;
#[cfg(feature = "tokio")]
mod registry;
#[cfg(feature = "tokio")]
mod rewind;
#[cfg(feature = "serve-tls")]
pub mod serve_tls;
#[cfg(feature = "tokio")]
mod task;
#[cfg(feature = "tls")]
pub mod trust;

pub use crate::backoff::Backoff;
pub use crate::config::{ConfigError, DialerConfig, ListenerConfig};
#[cfg(feature = "tokio")]
pub use crate::connect::{Connect, ConnectError, Connecting, ConnectorError, TcpConnector};
#[cfg(feature = "tokio")]
pub use crate::connection::Connection;
#[cfg(feature = "tokio")]
pub use crate::dialer::{DialError, Dialer, NewDialerError, SessionEnd};
#[cfg(feature = "tokio")]
pub use crate::front_door::{
    AcceptError, Accepted, Arrival, Authorize, Authorizing, FrontDoor, FrontDoorConfig,
    FrontDoorError, Registered,
};
#[cfg(feature = "tokio")]
pub use crate::listener::{Listener, ListenerEnd};
#[cfg(feature = "tokio")]
pub use crate::observe::ListenerEvent;
#[cfg(feature = "tokio")]
pub use crate::proxy::{Proxy, ProxyError};
#[cfg(feature = "tokio")]
pub use crate::register::{RegisterError, Registration};
#[cfg(feature = "tokio")]
pub use crate::registry::PickupRegistry;
#[cfg(feature = "tokio")]
pub use crate::rewind::Rewind;
