//! The built-in SSH server.

#[cfg(all(feature = "client", feature = "server"))]
mod connect;
mod files;
mod host;
mod limits;
mod login;
mod peers;
mod sessions;
