use std::fmt::Write as _;

use crate::hash::GitHash;
use crate::sync::SyncError;
use crate::sync::process::{Git, Start};

/// Objects that are asked for at once: a pipe takes as many questions while git answers the first.
pub(super) const ASKED: usize = 256;
/// What is read of a commit that is too long.
const HEAD: u64 = 64 << 10;

/// The objects of a repository, of which one git tells for as long as it is asked.
pub(super) struct Objects {
    git: Git,
    line: Vec<u8>,
}

/// What is there under a hash.
#[derive(Debug)]
pub(super) enum Object {
    Commit(Vec<u8>),
    /// A commit that is too long, with its beginning.
    TooLong(Vec<u8>),
    Other,
    Missing,
}

impl Objects {
    pub(super) fn open(start: Start<'_>) -> Result<Self, SyncError> {
        let args = ["cat-file", "--batch-command", "--buffer"];
        Ok(Self {
            git: Git::start(start, &args)?,
            line: Vec::new(),
        })
    }

    /// Reads objects, at most [`ASKED`], and commits of up to `max` bytes in whole.
    pub(super) fn read(
        &mut self,
        hashes: &[GitHash],
        max: u64,
        mut take: impl FnMut(GitHash, Object),
    ) -> Result<(), SyncError> {
        self.ask("contents", hashes)?;
        for hash in hashes {
            let object = match self.answer()? {
                None => Object::Missing,
                Some((is_commit, len)) => {
                    let wanted = match is_commit {
                        true if len <= max => len,
                        true => HEAD,
                        false => 0,
                    };
                    let raw = self.git.read_body(len, wanted)?;
                    match is_commit {
                        true if len <= max => Object::Commit(raw),
                        true => Object::TooLong(raw),
                        false => Object::Other,
                    }
                }
            };
            take(*hash, object);
        }
        Ok(())
    }

    /// Those of the objects, any number, that are commits and here.
    #[cfg(feature = "leader")]
    pub(super) fn commits(&mut self, hashes: &[GitHash]) -> Result<Vec<GitHash>, SyncError> {
        let mut commits = Vec::new();
        for hashes in hashes.chunks(ASKED) {
            self.ask("info", hashes)?;
            for hash in hashes {
                if let Some((true, _)) = self.answer()? {
                    commits.push(*hash);
                }
            }
        }
        Ok(commits)
    }

    /// Ends it, when all was answered.
    pub(super) fn end(self) -> Result<(), SyncError> {
        self.git.end()
    }

    /// That an object is not here which should be.
    pub(super) fn gone(&self, hash: GitHash) -> SyncError {
        self.git.strange(&format!("{hash} is gone"))
    }

    fn ask(&mut self, what: &str, hashes: &[GitHash]) -> Result<(), SyncError> {
        let mut asked = String::new();
        for hash in hashes {
            // A string takes whatever is written.
            let _ = writeln!(asked, "{what} {hash}");
        }
        asked += "flush\n";
        self.git.restart_clock();
        self.git.write(asked.as_bytes())
    }

    /// Whether the next object is a commit, and its length; none if it is not here.
    fn answer(&mut self) -> Result<Option<(bool, u64)>, SyncError> {
        if !self.git.read_line(&mut self.line)? {
            return Err(self.git.broken(std::io::ErrorKind::UnexpectedEof.into()));
        }
        let line = String::from_utf8_lossy(&self.line);
        let fields: Vec<_> = line.split(' ').collect();
        match fields.as_slice() {
            [_, kind, len] => match len.parse() {
                Ok(len) => Ok(Some((*kind == "commit", len))),
                Err(_) => Err(self.git.strange(&line)),
            },
            [.., "missing"] => Ok(None),
            _ => Err(self.git.strange(&line)),
        }
    }
}
