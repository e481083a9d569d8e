//! The built-in SSH server.

mod files;
mod host;
mod limits;
mod login;
mod peers;
mod sessions;
