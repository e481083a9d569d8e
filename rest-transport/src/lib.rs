//! What clients of REST APIs need below their own calls: one exchange behind a trait, bodies with a limit, and the manners that
//! servers expect.
//!
//! ```
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use rest_transport::{Body, Pace, Transport, TransportError, read_body};
//!
//! # #[derive(Debug)] enum Error { Transport(TransportError), Read(rest_transport::ReadError) }
//! # impl From<TransportError> for Error { fn from(error: TransportError) -> Self { Self::Transport(error) } }
//! # impl From<rest_transport::ReadError> for Error { fn from(error: rest_transport::ReadError) -> Self { Self::Read(error) } }
//! async fn motto(server: &dyn Transport, pace: &Pace) -> Result<Bytes, Error> {
//!     // Ten requests a second, whoever shares the pace.
//!     let _ = pace.turn(Duration::from_secs(60)).await;
//!     let request = Request::get("https://example.org/motto").body(Bytes::new()).expect("a plain request");
//!     let response = server.send(request).await?;
//!     Ok(read_body(response, 1 << 20).await?)
//! }
//!
//! // For a test, what the server says is made up.
//! struct Fake;
//!
//! #[async_trait::async_trait]
//! impl Transport for Fake {
//!     async fn send(&self, _: Request<Bytes>) -> Result<Response<Body>, TransportError> {
//!         Ok(Response::new(rest_transport::body("festina lente")))
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let pace = Pace::new(Duration::from_millis(100), 10);
//! assert_eq!(motto(&Fake, &pace).await.unwrap(), "festina lente");
//! # });
//! ```
//!
//! [`Transport`] carries a request and brings the answer, nothing more; with the feature `hyper` (on by default) [`HyperTransport`] is
//! one. [`read_body`] reads an answer, compressed or not, up to a limit. [`Pace`] spaces requests and holds all of them back while a
//! server wants that ([`retry_after`]); [`BackOff`] says how long to wait before trying again.
//!
//! What is asked, who asks, what may be tried twice and what an answer means is left to the client of each API.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod body;
mod error;
#[cfg(feature = "hyper")]
mod hyper_transport;
mod pace;
mod transport;

pub use crate::body::{ReadError, read_body, read_start, retry_after};
pub use crate::error::TransportError;
#[cfg(feature = "hyper")]
pub use crate::hyper_transport::{HyperTransport, TlsError};
pub use crate::pace::{BackOff, Pace};
pub use crate::transport::{Body, Transport, body};

/// Runs the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
