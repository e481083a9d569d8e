//! Integration tests over the public API.

mod control;
#[cfg(feature = "tokio")]
mod coordinator;
mod handshake;
#[cfg(feature = "serve-tls")]
mod serve_tls;
#[cfg(feature = "tokio")]
mod session;
#[cfg(feature = "tls")]
mod trust;
