//! Integration tests over the public API.

#[cfg(feature = "tokio")]
mod coordinator;
#[cfg(feature = "serve-tls")]
mod serve_tls;
#[cfg(feature = "tokio")]
mod session;
#[cfg(feature = "tls")]
mod trust;
