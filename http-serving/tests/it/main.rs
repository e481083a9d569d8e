//! Servers as clients and strangers see them.

mod http1;
#[cfg(feature = "http2")]
mod http2;
mod support;
#[cfg(feature = "tls")]
mod tls;
