//! Writes and reads gzip on every CPU, with bounded memory.
//!
//! ```
//! use std::io::{Read as _, Write as _};
//!
//! let log = "ok  \tcmd/go\t4.2s\n".repeat(100_000);
//!
//! let config = pargzip::Config::default().chunk_size(256 << 10).threads(2);
//! let mut writer = pargzip::Writer::new(Vec::new(), config)?;
//! writer.write_all(log.as_bytes())?;
//! let gz = writer.finish()?;
//! assert_eq!(gz[..2], [0x1f, 0x8b]);
//!
//! let mut back = String::new();
//! pargzip::Reader::new(&gz[..]).read_to_string(&mut back)?;
//! assert_eq!(back, log);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`Writer`] cuts its input into chunks, compresses them on several threads and writes them in order. Each
//! chunk becomes a gzip member of its own, so the output is a file that any program reads, and one that a
//! [`Reader`] decompresses in parallel. [`Mode::SingleMember`] makes a somewhat smaller file of one member
//! instead. The output depends on the input and the [`Config`], never on the number of threads, on timing or on
//! how the caller cuts its writes.
//!
//! A [`Reader`] reads every file that `gunzip` reads. Where members are to be found, by an index
//! ([`Config::index`]) or by the look of their headers, it decodes them at the same time; what it guesses it
//! checks, so that no file, however it was made, reads differently than elsewhere.
//!
//! # Memory
//!
//! Of the chunk size `c` (1 MiB unless configured) and with `t` threads, a writer holds at most `t + 3` chunks
//! of input, as many of output, and some 300 KiB a thread for the encoder; a reader at most `t + 4` times its
//! [`member_limit`](ReaderConfig::member_limit) of output and as much input. Whatever a file claims, nothing
//! else grows. Limit the output of files from strangers with [`ReaderConfig::max_output`].
//!
//! # Threads
//!
//! Threads start when chunks find no idle one, and end with the writer or reader. They only compress: sinks and
//! sources are used by the caller's thread alone, need not be `Send`, and hold back a writer when they are slow.
//! Dropping a writer or reader waits for the chunks in work: some ten milliseconds each, of the default size and level.
//!
//! # Features
//!
//! - `libdeflate`: adds libdeflate as a [`Backend`], C and faster; needs a C compiler.
//! - `tokio`: adds `AsyncWriter` and `AsyncReader`, for tokio's traits and any runtime.
//!
//! Both only add: which backend works is a value in the configuration and zlib-rs by default, so a feature that
//! another crate of the program switches on changes nobody's bytes. And since this crate uses zlib-rs itself
//! rather than flate2, it has no say in which backend the flate2 of an application has.
//!
//! # Differences from the Go package
//!
//! The defaults make the members and headers of `golang.org/x/build/pargzip`: 1 MiB of input a member, the header
//! `1f 8b 08 00 00000000 00 ff`. Besides,
//!
//! - input of no bytes makes one empty member, where the Go package writes nothing, which is no gzip file;
//! - [`Writer::finish`] returns the sink and all errors, and errors stay;
//! - dropping a [`Writer`] without it forgets what was not written;
//! - there are levels, a mode of one member, an index, and a reader.

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

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
