//! Integration tests, over the public API.

#[cfg(all(feature = "client", feature = "http"))]
mod client;
#[cfg(feature = "http")]
mod http;
mod hub;
#[cfg(feature = "mail")]
mod mail;
#[cfg(feature = "mail")]
mod peers;
#[cfg(feature = "mail")]
mod session;
#[cfg(feature = "mail")]
mod signed;
#[cfg(feature = "mail")]
mod smtp;
mod vectors;
mod webhook;
