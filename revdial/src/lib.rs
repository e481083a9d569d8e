//! Reverse dialing: workers behind NAT register with a coordinator, which from then on dials *them*.
//!
//! Both ends of `revdial/v2` of golang.org/x/build, each wire-compatible with the Go program at the other end.
//!
#![cfg_attr(feature = "tokio", doc = "```")]
#![cfg_attr(not(feature = "tokio"), doc = "```ignore")]
//! use revdial::proto::{Claim, Refusal, Routes, Worker};
//! use revdial::{Accepted, Arrival, FrontDoor, FrontDoorConfig, PickupRegistry, Registered};
//! use revdial::{Listener, ListenerConfig, Registration, TcpConnector};
//! use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
//!
//! type Error = Box<dyn std::error::Error + Send + Sync>;
//!
//! /// Behind NAT: dials out, and serves what comes back.
//! async fn worker(coordinator: String) -> Result<(), Error> {
//!     let connector = TcpConnector::new(&coordinator)?; // `.tls(config)?`, unless on one machine
//!     let registration = Registration::buildlet("host-linux", "its key", "my-host", "29")?;
//!     let mut listener = Listener::register(connector, registration, ListenerConfig::default()).await?;
//!     while let Some(mut conn) = listener.accept().await {
//!         let question = conn.read_u8().await?;
//!         conn.write_u8(question + 1).await?;
//!     }
//!     Ok(())
//! }
//!
//! /// Has a worker, and dials it as often as it likes.
//! async fn client(worker: Registered) -> Result<u8, Error> {
//!     let mut conn = worker.dialer.dial().await?;
//!     conn.write_u8(41).await?;
//!     Ok(conn.read_u8().await?)
//! }
//!
//! /// Lets workers in whose key is right.
//! fn door() -> Result<FrontDoor, Error> {
//!     let routes = Routes::default().allow_plain(true); // TLS, unless on one machine
//!     let config = FrontDoorConfig::default().routes(routes);
//!     let has_key = |claim: &Claim| match claim.worker() {
//!         Worker::Buildlet { key, .. } if key == "its key" => Ok(()), // in earnest: in constant time
//!         _ => Err(Refusal::INVALID_KEY),
//!     };
//!     Ok(FrontDoor::new(config, PickupRegistry::new(), has_key)?)
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Error> {
//!     let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//!     let working = tokio::spawn(worker(tcp.local_addr()?.to_string()));
//!     let serving = door()?.serve(tcp, async |tcp| Ok(Arrival::plain(tcp)), async |accepted| {
//!         if let Ok(Accepted::Registered(worker)) = accepted {
//!             assert_eq!(client(worker).await.unwrap(), 42);
//!         }
//!     });
//!     tokio::select! {
//!         never = serving => match never {},
//!         ended = working => ended?, // the client let go of its worker
//!     }
//! }
//! ```
//!
//! # How it works
//!
//! The worker opens every connection. The first one it *registers* with (`GET /reverse`), and the coordinator then says on it, in lines of
//! JSON, when it wants another one. For each the worker dials again and asks for the path it was told: that connection, TCP or TLS, is the
//! stream that [`Dialer::dial`] gives to one side and [`Listener::accept`] to the other. Nothing is multiplexed.
//!
//! | side | begin with | then |
//! |---|---|---|
//! | worker | [`Listener::register`] over a [`Connect`], such as [`TcpConnector`] | serve what [`Listener::accept`] gives, with hyper for instance |
//! | coordinator | a [`FrontDoor`] before the HTTP server, with a [`PickupRegistry`] | [`Dialer::dial`] |
//! | other runtimes, simulation | [`proto`] | |
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `tokio` | yes | everything but [`proto`] and the configurations |
//! | `tls` | no | `TcpConnector::tls` and `trust`, with rustls; the caller brings the crypto provider |
//! | `serve-tls` | no | `serve_tls`: TLS for the coordinator, for Go buildlets on ports other than 443 as well |
//!
//! # Limits
//!
//! | what | limit | set by |
//! |---|---|---|
//! | a control line | 4,096 bytes | the protocol |
//! | the head of a request or reply | 16 KiB, 64 headers | |
//! | the body of a redirect | 64 KiB | |
//! | time for a first request | 10 s | [`FrontDoorConfig::head_limit`] |
//! | first requests being read | 1,024 | [`FrontDoorConfig::max_heads`] |
//! | registered workers | 65,536 | [`FrontDoorConfig::max_sessions`] |
//! | dials that wait, for each worker | 256, for 30 s | [`DialerConfig::max_pending`], [`DialerConfig::dial_limit`] |
//! | connections nobody waits for | 8, for 60 s | [`DialerConfig::max_stock`], [`DialerConfig::stock_age`] |
//! | a worker that does not read | 10 s | [`DialerConfig::write_limit`] |
//! | a worker whose system does not answer | 75 s, or 60 s after a keep-alive (Linux) | TCP, for connections of [`FrontDoor::serve`] and [`TcpConnector`] |
//! | a coordinator that says nothing | 100 s | [`ListenerConfig::max_silence`] |
//! | a registration, a pick-up | 60 s, 20 s | [`ListenerConfig::register_limit`], [`ListenerConfig::pickup_limit`] |
//! | pick-ups at once, and waiting | 64, 256 | [`ListenerConfig::max_pickups`], [`ListenerConfig::max_queued`] |
//!
//! An idle session costs the coordinator one task, about 2 KiB beside the stream itself; buffers are there only while they are full.
//!
//! # Differences from the Go package
//!
//! On the wire there are none that a Go peer could see, but these:
//!
//! - Bytes that come together with a `101` are the first of the stream. There a listener loses them.
//! - A listener asks for paths that begin with a single `/` alone and have good escapes, and reports others as failed. There it asks for
//!   whatever it is told, or is crashed by it.
//! - A dial that gives up takes nothing with it: its connection serves the next, and a failure that comes late is
//!   forgotten. There the next dial fails with it.
//! - The text of a `pickup-failed` is cut so that its line is never too long for the peer.
//! - Every wait ends: see the limits above. A listener notices a coordinator that died without a word, and can register
//!   again by itself ([`ListenerConfig::reconnect`]). A dialer notices within 90 s that packets no longer reach its worker; there TCP tries for a quarter
//!   of an hour.
//! - There is no global registry.
//! - Names of machines and host types that do not fit in a URL or on a page are refused with 400.
//!
//! Version 1 of the protocol is not spoken, as no coordinator has since 2019; see [`proto`] for what it was.
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

/// Runs the example of the README.
#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Readme;
