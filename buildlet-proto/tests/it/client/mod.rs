//! The client, against scripted buildlets.

mod calls;
mod heartbeat;
mod mocked;
mod pool;
mod script;
#[cfg(feature = "tls")]
mod tls;
mod vectors;
