//! The program as a machine starts it, against a server that misbehaves on demand.

#![cfg(unix)]

mod booting;
mod machine;
mod running;
mod server;
mod unpacking;
