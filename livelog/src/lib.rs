//! A bounded log with one writer and many readers that join late, resume at an offset and see the end.
//!
//! It holds what a running build prints while viewers follow it. Writing never fails and never waits for a reader;
//! readers block until there is more, and end when the log is closed.
//!
//! ```
//! use std::io::{Read as _, Write as _};
//!
//! let mut log = livelog::Buffer::new();
//! log.write_all(b"building\n")?;
//!
//! let mut viewer = log.reader(); // begins with the first byte, whenever it is made
//! let viewing = std::thread::spawn(move || {
//!     let mut seen = String::new();
//!     viewer.read_to_string(&mut seen).map(|_| seen)
//! });
//!
//! log.write_all(b"ok  \tcmd/go\t4.2s\n")?;
//! log.close();
//! assert_eq!(viewing.join().unwrap()?, "building\nok  \tcmd/go\t4.2s\n");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! With the feature `tokio`, on by default, the same [`Reader`] is an `AsyncRead` and a `Stream` of [`bytes::Bytes`]:
//!
#![cfg_attr(feature = "tokio", doc = "```")]
#![cfg_attr(not(feature = "tokio"), doc = "```ignore")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), livelog::ReadError> {
//! let log = livelog::Buffer::new();
//! let mut viewer = log.reader();
//! log.append(b"building\n");
//! log.close();
//! while let Some(chunk) = viewer.next_chunk().await? {
//!     assert_eq!(chunk, "building\n"); // shared with the log, not copied
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What is kept
//!
//! | configuration | keeps | when there is more |
//! |---|---|---|
//! | default, [`Config::limit`] | the first bytes | ends with [`TRUNCATION_MARKER`], within the limit |
//! | [`Config::head_and_tail`] | the first and the last bytes | `... 123 bytes dropped ...` stands between them |
//! | [`Config::unlimited`] with [`Config::spill`] | everything | the older part is in a file |
//!
//! A byte has an *offset*: how many were written before it. Bytes that were dropped between head and tail keep
//! theirs; the marker in their place has none. What a reader was given never changes: one that follows closely sees
//! every byte, and one that falls behind the tail sees, in order, what is left, with a marker for what it missed.
//! In the default mode the marker is the log's last 23 bytes and has offsets as any other.
//!
//! # Memory
//!
//! - The log is stored in chunks of 4 to 64 KiB, so it takes its text and at most one unfilled chunk. Closing gives
//!   that back.
//! - Readers cut the chunk in the making into pieces, at most 512 of 40 bytes; when it is full, more than eight pieces
//!   are copied into one. Finding an offset is a binary search among pieces.
//! - A reader takes under 200 bytes, nearly all of it its own size. Between reads it holds none of the log, except
//!   what [`BufRead::fill_buf`](std::io::BufRead::fill_buf) showed and up to 64 KiB that it read from a spill file.
//! - A `Bytes` that you keep keeps its chunk, at most 64 KiB, however short it is.
//! - A log that spills has its [threshold](Spill::threshold), a chunk of 64 KiB and one write in memory; one with head
//!   and tail has both and two chunks.
//!
//! # Waking
//!
//! A write wakes the readers that wait, and a reader that was woken is not woken again before it has run and waits
//! again. A write costs the same whether there are none or a thousand readers that do not wait. To wake a task costs
//! around a hundred nanoseconds and to wake a thread microseconds, which the writer pays; and many woken threads
//! compete with it for the CPUs. Follow with tasks where many follow.
//!
//! # Cancel safety
//!
//! Every async read is cancel safe: what was not returned stays to be read. Reads of different kinds may be mixed.
//! Bytes in a spill file are read on tokio's blocking threads; an executor other than tokio's is blocked while they
//! are. Writing to a log that spills blocks on the file system, as [`Spill`] says.
//!
//! # Differences from the Go package
//!
//! The default log is, byte for byte, that of `golang.org/x/build/livelog` (`livelog/livelog.go`), with these
//! exceptions:
//!
//! - Bytes written after [`Buffer::close`] are dropped, and counted by [`Buffer::dropped`]; there they are added. A
//!   log that was uploaded and hashed does not change.
//! - A log whose last [`Buffer`] is dropped is closed, because nobody could close it any more.
//! - A write that adds nothing wakes nobody. A reader cannot tell.
//! - The end of the file is `Ok(0)`, and so is a read into an empty slice, as [`std::io::Read`] has it.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(feature = "tokio")]
mod aio;
mod border;
mod buffer;
mod config;
mod index;
mod log;
#[cfg(all(loom, test))]
mod loom_tests;
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

/// Runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
