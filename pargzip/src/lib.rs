//! Parallel gzip.
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#[cfg(feature = "tokio")]
mod aio;
mod border;
mod buffer;
mod compress;
mod config;
mod decode;
mod decompress;
mod encode;
mod error;
mod format;
mod pool;
mod reader;
mod sync;
#[cfg(feature = "libdeflate")]
mod whole;
mod writer;

#[cfg(feature = "tokio")]
pub use crate::aio::{AsyncReader, AsyncWriter};
pub use crate::config::{Backend, Config, ConfigError, Mode, ReaderConfig};
pub use crate::error::ReadError;
pub use crate::format::Header;
pub use crate::reader::Reader;
pub use crate::writer::{FinishError, Writer};
