//! The real Go programs at the other end.

mod go_buildlet;
#[cfg(feature = "server")]
mod go_client;
mod listening;
mod registered;
#[cfg(all(feature = "tls", feature = "keypair"))]
mod secured;
