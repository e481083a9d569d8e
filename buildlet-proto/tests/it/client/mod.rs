//! The client, against scripted buildlets.

mod calls;
#[cfg(all(unix, feature = "test-support"))]
mod fake;
mod heartbeat;
mod mocked;
mod pool;
mod script;
#[cfg(feature = "tls")]
mod tls;
mod vectors;
