//! Unpacks and makes archives below a directory that is held open.
//!
//! tar, plain or in gzip: what `/writetgz` takes and `/tgz` gives. [`extract`] follows a [`Policy`]; [`Source`] archives a
//! directory, a [`FileList`] what is in none. Everything blocks, and is meant for a thread of its own.
//!
//! ```
//! use buildlet_proto::archive::{CreateOptions, Encoding, Folder, Policy, Source, extract};
//! use buildlet_proto::types::{PathStyle, RelativePath};
//!
//! # let temp = tempfile::tempdir()?;
//! # let (from, to) = (temp.path().join("from"), temp.path().join("to"));
//! # std::fs::create_dir_all(&from)?;
//! # std::fs::create_dir_all(&to)?;
//! std::fs::write(from.join("VERSION"), "devel")?;
//! let everything = RelativePath::parse(".", PathStyle::NATIVE)?;
//! let mut tgz = Vec::new();
//! Source::open(&Folder::open(&from)?, &everything, CreateOptions::default())?.write(&mut tgz, Encoding::Gzip)?;
//!
//! let summary = extract(&tgz[..], Encoding::Gzip, &Folder::open(&to)?, &Policy::strict())?;
//! assert_eq!((summary.entries, summary.bytes), (1, 5));
//! assert_eq!(std::fs::read(to.join("VERSION"))?, b"devel");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ahead;
mod create;
mod entries;
mod error;
mod extract;
mod file_list;
pub(crate) mod folder;
pub(crate) mod fs_error;
pub(crate) mod header;
mod link_target;
mod owners;
mod parents;
pub(crate) mod place;
mod policy;
#[cfg(unix)]
#[path = "sys_unix.rs"]
pub(crate) mod sys;
#[cfg(not(unix))]
#[path = "sys_other.rs"]
pub(crate) mod sys;
mod tar_writer;
pub(crate) mod timestamp;
pub(crate) mod walk;
mod writers;

pub use self::create::{CreateOptions, Source};
pub use self::error::{CreateError, ExtractError, ExtractErrorKind, HeaderFault, Limit};
pub use self::extract::{Summary, extract};
pub use self::file_list::{Content, FileList};
pub use self::folder::Folder;
pub use self::fs_error::FsError;
pub use self::policy::{Duplicates, Existing, HardLinks, Modes, Names, Policy, Specials, Symlinks};

/// How a tar stream is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// In gzip, of one member or many.
    Gzip,
    /// Not at all.
    Tar,
}

/// CPUs that the process may use, at most 8: files are made and read no faster with more.
fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, |cpus| cpus.get().min(8))
}
