//! The crate's public interface, over the answers that Go's maintnerd gave.

mod generated;
#[cfg(all(feature = "client", feature = "server"))]
mod recorded;
