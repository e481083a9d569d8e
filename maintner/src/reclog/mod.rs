//! The record log: files of records back to back, read from slices, streams and directories, and appended to.
//!
//! A file is records and nothing else. A record is `REC@` offset `+` length `=` payload, both numbers in lower-case
//! hexadecimal without leading zeros, the offset being that of the `R` in its file:
//!
//! ```
//! use maintner::reclog::{self, Records};
//!
//! let mut log = Vec::new();
//! for payload in ["first", "second"] {
//!     reclog::encode_into(&mut log, 0, payload.as_bytes());
//! }
//! assert_eq!(log, b"REC@0+5=firstREC@d+6=second");
//!
//! let payloads: Vec<_> = Records::new(&log, 0).map(|r| r.map(|r| r.payload)).collect::<Result<_, _>>()?;
//! assert_eq!(payloads, [b"first".as_slice(), b"second"]);
//! # Ok::<(), reclog::RecordError>(())
//! ```
//!
//! # Reading
//!
//! [`decode`] and [`Records`] read a slice, such as a file that the caller mapped. [`Reader`] reads any
//! [`Read`](std::io::Read), a file in large positioned steps, and holds one block of it; with the feature `tokio`, `AsyncReader` reads any `AsyncRead`. No log is mapped by this crate: what a
//! mapping shows changes when the file does, which no safe interface can allow.
//!
//! # Writing
//!
//! A [`Writer`] appends to a directory of files named by day, as Go's `maintner.DiskMutationLogger` names them; other
//! than that one it locks the directory, syncs, never leaves a torn record behind a failed write, and repairs what a
//! crash tore. With [`Files::Numbered`] it begins a file when one is full instead, as logs in buckets have segments. [`examine`] and [`repair`] deal with worse damage, as somebody decides who knows the log.
//!
//! # No checksums
//!
//! The format has none for a record: damage within a payload shows as an error of the mutation in it, or not at all.
//!
//! Source: `golang.org/x/build/maintner/reclog`.

#[cfg(feature = "tokio")]
mod async_reader;
mod day;
mod dir;
mod error;
mod lock;
pub(crate) mod number;
mod reader;
mod record;
mod recover;
mod repair;
mod writer;

#[cfg(feature = "tokio")]
pub use crate::reclog::async_reader::AsyncReader;
pub(crate) use crate::reclog::day::civil;
pub use crate::reclog::dir::{Segment, segments};
pub use crate::reclog::error::{AppendError, OpenError, ReadError};
pub(crate) use crate::reclog::lock::{Lock, lock};
pub use crate::reclog::reader::Reader;
pub(crate) use crate::reclog::reader::{Block, Blocks};
pub use crate::reclog::record::{
    MAX_HEADER_LEN, Record, RecordError, Records, decode, encode_into,
};
pub use crate::reclog::recover::TornTail;
pub use crate::reclog::repair::{Damage, Examined, Repaired, examine, repair};
#[cfg(feature = "net")]
pub(crate) use crate::reclog::writer::LOCK_FILE;
#[cfg(all(feature = "leader", feature = "_buckets"))]
pub(crate) use crate::reclog::writer::sync_dir;
pub use crate::reclog::writer::{Appended, Files, Sync, Torn, Writer, WriterConfig};
