//! Being written.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(any(feature = "server", feature = "ssh"))]
pub mod ssh_gate;
