//! Serves a [hyper] service to strangers: accepts connections, with limits of number, time and size, and ends gracefully.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use http_serving::{Peer, Server};
//! use hyper::body::Incoming;
//! use hyper::service::service_fn;
//! use hyper::{Request, Response};
//! use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
//! use tokio::net::{TcpListener, TcpStream};
//! use tokio_util::sync::CancellationToken;
//!
//! async fn greet(peer: Peer, _: Request<Incoming>) -> Result<Response<String>, Infallible> {
//!     Ok(Response::new(format!("hello, {}\n", peer.ip())))
//! }
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! let stop = CancellationToken::new();
//! let serving = tokio::spawn({
//!     let stop = stop.clone();
//!     async move {
//!         let server = Server::default().max_connections(100);
//!         server.serve(listener, |peer| service_fn(move |request| greet(peer, request)), &stop).await;
//!     }
//! });
//!
//! let mut client = TcpStream::connect(address).await?;
//! client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer).await?;
//! assert!(answer.ends_with("hello, 127.0.0.1\n"));
//!
//! stop.cancel();
//! serving.await?;
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```
//!
//! hyper speaks HTTP, on one connection. A server that strangers can reach needs more, and each that forgets a part of it can be
//! brought to a stand with little effort. That is what is here:
//!
//! | limit | by default | what happens then |
//! |---|---|---|
//! | [connections at once](Server::max_connections) | 1024 | others wait in the system's queue |
//! | [TLS handshake](Server::handshake_limit) | 10 s | closed |
//! | [a request's head, and being idle before one](Server::head_limit) | 20 s | closed |
//! | [bytes](Server::max_head_bytes) and [fields](Server::max_headers) of a head | 16 KiB, 64 | 431 |
//! | [a peer that takes nothing of its answer](Server::write_limit) | 60 s | closed |
//! | [answers under way when it is to stop](Server::stop_limit) | 5 s | closed |
//! | HTTP/2: [streams](Server::max_streams) of a connection | 100 | refused |
//! | HTTP/2: [a connection without a request](Server::idle_limit) | 5 min | told to go, then closed |
//! | HTTP/2: a peer that answers no ping | 30 s and 20 s more | closed |
//!
//! How long a request's body may take and how long it may be, and how long an answer may take, is the service's to say: it knows which
//! requests wait for news. Where handles run out, accepting pauses for a tenth of a second and goes on.
//!
//! [`Server::serve`] speaks plain HTTP, [`Server::serve_tls`] (feature `tls`) TLS, and [`Server::serve_over`] whatever a handshake makes of a
//! TCP connection. [`Server::serve_connection`] serves one connection that came some other way. [`accept_each`] is the loop
//! alone, for servers of other protocols, and [`WriteLimit`] one of the limits.
//!
//! With the feature `http2`, [`Server::http2`] makes it speak HTTP/2 on the same port, to peers that begin with its preface. Upgrades of
//! connections (web sockets) are not served.
//!
//! [hyper]: https://docs.rs/hyper
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod accept;
mod connection;
#[cfg(feature = "http2")]
mod http2;
mod server;
mod write_limit;

pub use crate::accept::accept_each;
pub use crate::connection::{ConnectionError, ConnectionService};
pub use crate::server::{Peer, Server};
pub use crate::write_limit::WriteLimit;

/// Runs the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
