//! Integration tests over the public API.

#[cfg(feature = "serve-tls")]
mod serve_tls;
#[cfg(feature = "tls")]
mod trust;
