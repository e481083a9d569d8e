//! Integration tests over the public API.

#[cfg(all(unix, feature = "archive"))]
mod archive;
#[cfg(feature = "client")]
mod client;
mod data;
#[cfg(all(feature = "exec", target_os = "linux"))]
mod exec;
mod ext;
mod keys;
#[cfg(all(unix, feature = "client"))]
mod peers;
mod requests;
#[cfg(feature = "server")]
mod server;
#[cfg(all(feature = "ssh", unix))]
mod ssh;
mod types;
