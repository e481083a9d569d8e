//! Integration tests over the public API.

mod data;
#[cfg(all(feature = "exec", target_os = "linux"))]
mod exec;
mod ext;
mod keys;
mod requests;
mod types;
