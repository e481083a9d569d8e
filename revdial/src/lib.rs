//! Being written.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(feature = "serve-tls")]
pub mod serve_tls;
#[cfg(feature = "tls")]
pub mod trust;
