//! The public API, against itself, other decoders, and the real programs.

mod data;
mod peers;
mod reader;
mod round_trip;
#[cfg(feature = "tokio")]
mod tokio;
mod vectors;
mod writer;
