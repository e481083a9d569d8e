//! A bounded log with one writer and many readers.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(feature = "tokio")]
mod aio;
mod border;
mod buffer;
mod config;
mod index;
mod log;
mod park;
mod pieces;
mod reader;
mod seats;
mod shared;
mod spill;
mod sync;

pub use crate::buffer::Buffer;
pub use crate::config::{Config, ConfigError, Cut, MAX_BUFFER_SIZE, TRUNCATION_MARKER};
pub use crate::index::TimeMark;
pub use crate::reader::{Reader, ReaderCloser};
pub use crate::spill::{ReadError, Spill, SpillError};
