//! The corpus in a file: a start maps it, and reads of the log only what came since.
//!
//! ```
//! use maintner::{Config, Corpus};
//!
//! # let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/disk/12-gerrit-cl-life");
//! # let cache = tempfile::tempdir()?;
//! # let file = cache.path().join("snapshot");
//! let mut corpus = Corpus::at(dir, Config::default().snapshot(&file));
//! corpus.update()?; // reads the log
//! corpus.save_snapshot()?; // which is done without being asked for when there is enough
//!
//! let mut next = Corpus::at(dir, Config::default().snapshot(&file));
//! next.update()?; // maps the snapshot
//! assert_eq!(next.snapshot_bytes(), corpus.view().stats().log_bytes);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Config::snapshot`](crate::Config::snapshot) says when one is used and made. It is used if it is whole, by its checksums, and if the log is the
//! one that it was made from: each segment as long as it was, or longer if it is the last, with the same checksum of eight pieces of
//! it. A log that was changed elsewhere by hand, at the same length, is not noticed: remove its snapshot then.
//!
//! # Layout, version 1
//!
//! Everything is as the machine that wrote it has it in memory; another kind of machine takes it for foreign.
//!
//! | bytes | what |
//! |---|---|
//! | 0..16 | `maintner corpus\n` |
//! | 16..20 | the version of the layout |
//! | 20..24 | 0x01020304 |
//! | 24..32 | the length of the file |
//! | 32..40 | the seed of the hashes |
//! | 40..44 | the hash of the first 16 bytes with that seed, so that a library that hashes in another way is noticed |
//! | 44..48 | the size of a commit's row |
//! | 48..192 | where each of the nine parts begins in the file, and how many bytes it has |
//! | 192..208 | the same for the checksums |
//! | 208..212 | the CRC-32 of the bytes before |
//! | 4096.. | the parts, each at a multiple of 4096, with zeros behind it up to the next |
//! | then | the CRC-32 of each MiB of the bytes from 4096 up to here, and of what is left over |
//!
//! The parts, in order, are
//! 1. the texts, in blocks of 128 KiB, each at a multiple of four bytes with its length before it in seven bits a byte, lowest first;
//! 2. the table of interned texts: a hash and an address in units of four bytes each, sorted by the highest bits of the hash, which are as
//!    many as make a bucket of about four entries,
//! 3. and where each bucket begins, and the last one ends: one more than there are buckets, of which there are a power of two;
//! 4. the commits, a row each;
//! 5. and 6. the same for the hashes of the commits, with the row's number;
//! 7. addresses of the texts of time zones that are not a sign and four digits;
//! 8. issues and changes, in pages of 128 numbers, encoded: a bit for each number, and those that are there;
//! 9. the rest, encoded: how far each segment of the log was read with a fingerprint of it, repositories, projects, users and so on.
//!
//! What is encoded is varints, field by field, as `Code` and the structs in `state/stored.rs` say. Any change of those, or of a row, takes a new
//! version of the layout.

mod error;
mod file;
mod fingerprint;
mod header;
mod kept;
mod open;

pub use crate::snapshot::error::SnapshotError;
pub(crate) use crate::snapshot::kept::Kept;
