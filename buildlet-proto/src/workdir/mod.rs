//! A buildlet's work directory, and nothing else of the file system.
//!
//! Everything that `/write`, `/writetgz`, `/tgz`, `/ls` and `/removeall` do goes through [`Workdir`], which holds the directory
//! open and resolves paths from there: neither `..` nor an absolute path nor a symbolic link that a build has planted leads
//! outside, not even one that is planted at the moment. All of it blocks.

mod default_place;
mod error;
mod list;
mod remove;
#[expect(
    clippy::module_inception,
    reason = "the type is named as the module, which has its helpers"
)]
mod workdir;

pub use self::error::{ListError, WriteError};
pub use self::list::Listing;
pub use self::workdir::Workdir;
