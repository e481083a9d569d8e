//! Integration tests over the public API.

#[cfg(feature = "tokio")]
mod connecting;
mod control;
#[cfg(feature = "tokio")]
mod coordinator;
#[cfg(feature = "tokio")]
mod dialing;
#[cfg(feature = "tokio")]
mod early_bytes;
#[cfg(feature = "tokio")]
mod front_door;
mod handshake;
#[cfg(feature = "tokio")]
mod listening;
#[cfg(feature = "tokio")]
mod memory;
#[cfg(all(feature = "tls", feature = "serve-tls"))]
mod over_tls;
#[cfg(all(feature = "tls", feature = "serve-tls"))]
mod peers;
#[cfg(all(feature = "tls", feature = "serve-tls"))]
mod records;
#[cfg(all(feature = "tls", feature = "serve-tls"))]
mod serve_tls;
#[cfg(feature = "tokio")]
mod session;
mod simulation;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod trust;
#[cfg(feature = "tokio")]
mod vectors;
