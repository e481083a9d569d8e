//! Collections whose clones cost next to nothing and share what neither changes, and whose beginning may lie in a mapped snapshot.
//!
//! The writer has one, and each published view a clone of it: what the writer changes next is copied first, in pieces of some
//! kilobytes, if a view still has it.
//!
//! What a snapshot says is checked where it is used: one that is sound by its checksums, but says nonsense, gives nonsense or nothing.

mod code;
mod list;
mod map;
mod paged;
mod table;
mod texts;

use std::io;

pub(crate) use crate::store::code::{Code, Source, code_struct};
pub(crate) use crate::store::list::List;
pub(crate) use crate::store::map::{Map, Row, Section};
pub(crate) use crate::store::paged::{PageRef, Paged};
pub(crate) use crate::store::table::{HashOf, Hasher, Table};
pub(crate) use crate::store::texts::{Text, Texts};

/// Where a snapshot is written to.
pub(crate) trait Save {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// What was saved, as it is when a file has it.
#[cfg(test)]
fn stored(save: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> Section {
    let mut bytes = Vec::new();
    save(&mut bytes).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    // A file without anything in it cannot be mapped.
    io::Write::write_all(&mut file, &[&bytes[..], b"end"].concat()).unwrap();
    Map::of(&file, 0, bytes.len() + 3)
        .unwrap()
        .section(0..bytes.len())
        .unwrap()
}

#[cfg(test)]
impl Save for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}
