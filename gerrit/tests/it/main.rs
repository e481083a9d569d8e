//! Tests over the public API: recorded calls, a server that misbehaves, pages.

#[cfg(all(feature = "test-support", feature = "hyper"))]
mod fake;
mod faults;
mod pages;
#[cfg(feature = "hyper")]
mod peers;
#[cfg(feature = "hyper")]
mod real_http;
mod recorded;
mod support;
