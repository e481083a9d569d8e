//! Collections whose clones cost next to nothing and share what neither changes.
//!
//! The writer has one, and each published view a clone of it: what the writer changes next is copied first, in pieces of some
//! kilobytes, if a view still has it.

mod list;
mod paged;
mod table;
mod texts;

pub(crate) use crate::store::list::List;
pub(crate) use crate::store::paged::Paged;
pub(crate) use crate::store::table::{HashOf, Hasher, Table};
pub(crate) use crate::store::texts::{Text, Texts};
