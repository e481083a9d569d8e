use std::fmt::{self, Debug, Formatter};

use crate::hash::GitHash;
use crate::line;
use crate::state::{CommitId, Core, DiffFiles};
use crate::time::{GitTime, Time};

/// A commit.
#[derive(Clone, Copy)]
pub struct Commit<'v> {
    pub(super) core: &'v Core,
    pub(super) id: CommitId,
}

impl<'v> Commit<'v> {
    /// Its name.
    #[must_use]
    pub fn hash(&self) -> GitHash {
        self.row().hash()
    }

    /// Whether only its hash is known, as of a parent that has not come yet. All else is empty then.
    #[must_use]
    pub fn is_placeholder(&self) -> bool {
        !self.row().is_present()
    }

    /// The tree that it points at.
    #[must_use]
    pub fn tree(&self) -> GitHash {
        self.row().tree()
    }

    /// Its parents, in order.
    pub fn parents(&self) -> impl Iterator<Item = Self> + use<'v> {
        let core = self.core;
        core.parents(self.id).map(move |id| Self { core, id })
    }

    /// Who wrote the change.
    #[must_use]
    pub fn author(&self) -> Person<'v> {
        Person(self.core.texts.get(self.row().author))
    }

    /// Who made the commit.
    #[must_use]
    pub fn committer(&self) -> Person<'v> {
        Person(self.core.texts.get(self.row().committer))
    }

    /// When the change was written.
    #[must_use]
    pub fn author_time(&self) -> GitTime {
        self.row().author_time(self.core).to_git_time()
    }

    /// When the commit was made.
    #[must_use]
    pub fn commit_time(&self) -> GitTime {
        self.row().commit_time(self.core).to_git_time()
    }

    /// [`commit_time`](Self::commit_time) without the zone, which is cheaper.
    #[must_use]
    pub fn commit_instant(&self) -> Time {
        self.row().commit_instant()
    }

    /// What it says: UTF-8 nearly always.
    #[must_use]
    pub fn message(&self) -> &'v [u8] {
        self.core.texts.get(self.row().message)
    }

    /// The first line, trimmed.
    #[must_use]
    pub fn summary(&self) -> &'v [u8] {
        let line = self.message().split(|&byte| byte == b'\n').next();
        line::trim(line.unwrap_or_default())
    }

    /// The first line `Reviewer: Name <mail>` of the message.
    #[must_use]
    pub fn reviewer(&self) -> Option<Person<'v>> {
        line::value(self.message(), b"Reviewer: ").map(Person)
    }

    /// The files that it changed, by name; none for merges and first commits, as git shows it.
    pub fn files(&self) -> impl Iterator<Item = File<'v>> + use<'v> {
        let core = self.core;
        self.diff_files().map(move |file| File {
            name: core.texts.str(file.name),
            added: file.added,
            deleted: file.deleted,
            is_binary: file.binary,
        })
    }

    /// Whether both changed the same files by the same numbers of lines.
    #[must_use]
    pub fn same_diff_stat(&self, other: &Self) -> bool {
        // Files of one corpus are equal if their encodings are.
        self.diff_files().encoded == other.diff_files().encoded
    }

    fn diff_files(&self) -> DiffFiles<'v> {
        DiffFiles {
            encoded: self.core.texts.get(self.row().files),
        }
    }

    /// Whether `ancestor` can be reached over parents. A commit is no ancestor of its own.
    ///
    /// Takes time and memory by the commits that are reached before it is found: about 30 ns and some bytes for each.
    #[must_use]
    pub fn has_ancestor(&self, ancestor: &Self) -> bool {
        let mut seen = vec![0_u64; self.core.commits.len().div_ceil(64)];
        let mut todo = vec![self.id];
        while let Some(commit) = todo.pop() {
            for parent in self.core.parents(commit) {
                if parent == ancestor.id {
                    return true;
                }
                let (word, bit) = (parent.0 as usize / 64, 1 << (parent.0 % 64));
                if seen[word] & bit == 0 {
                    seen[word] |= bit;
                    todo.push(parent);
                }
            }
        }
        false
    }

    fn row(&self) -> &'v crate::state::CommitRow {
        self.core.row(self.id)
    }
}

impl PartialEq for Commit<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.hash() == other.hash()
    }
}

impl Eq for Commit<'_> {}

impl Debug for Commit<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Commit").field(&self.hash()).finish()
    }
}

/// Who made a commit: `Name <mail>`, in whatever form the commit has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Person<'v>(pub(super) &'v [u8]);

impl<'v> Person<'v> {
    /// The whole text.
    #[must_use]
    pub fn as_bytes(&self) -> &'v [u8] {
        self.0
    }

    /// The whole text, up to the first byte that is not UTF-8.
    #[must_use]
    pub fn as_str(&self) -> &'v str {
        match std::str::from_utf8(self.0) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&self.0[..error.valid_up_to()]).unwrap_or_default(),
        }
    }

    /// What stands before the first `<`, trimmed.
    #[must_use]
    pub fn name(&self) -> &'v str {
        line::name(self.as_str())
    }

    /// What stands between the first `<` and the first `>`; empty if there is nothing such.
    #[must_use]
    pub fn email(&self) -> &'v str {
        line::email(self.as_str())
    }
}

/// A file that a commit changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File<'v> {
    /// Its path as git prints it: in quotes, with escapes, if it has special bytes.
    pub name: &'v str,
    /// Lines added.
    pub added: i64,
    /// Lines deleted.
    pub deleted: i64,
    /// Not text, so that no lines are counted.
    pub is_binary: bool,
}
