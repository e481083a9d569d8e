use std::collections::BTreeMap;

use crate::commit_object;
use crate::hash::GitHash;
use crate::pb;
use crate::sync::SyncError;
use crate::sync::process::{Git, Start};

/// Git repeats a line that is no hash, and flushes: so it tells that it has answered all before.
const MARK: &str = ".";

/// The files that commits change, of which one git tells for as long as it is asked.
pub(super) struct Diffs<'a> {
    start: Start<'a>,
    git: Option<Git>,
    asked: Vec<pb::GitCommit>,
}

impl<'a> Diffs<'a> {
    pub(super) fn new(start: Start<'a>) -> Self {
        Self {
            start,
            git: None,
            asked: Vec::new(),
        }
    }

    /// Asks for the files of these commits, and gives those that were asked for before, with theirs. So git works while others are read.
    ///
    /// As many at a time as a pipe takes.
    pub(super) fn turn(
        &mut self,
        commits: Vec<pb::GitCommit>,
    ) -> Result<Vec<pb::GitCommit>, SyncError> {
        let mut done = std::mem::replace(&mut self.asked, commits);
        if let Some(git) = &mut self.git
            && !done.is_empty()
        {
            let mut trees = read(git)?;
            for commit in &mut done {
                let file = trees.remove(&commit.sha1).unwrap_or_default();
                commit.diff_tree = Some(pb::GitDiffTree { file });
            }
        }
        if !self.asked.is_empty() {
            self.ask()?;
        }
        Ok(done)
    }

    /// Ends it, when all was given.
    pub(super) fn end(self) -> Result<(), SyncError> {
        self.git.map_or(Ok(()), Git::end)
    }

    fn ask(&mut self) -> Result<(), SyncError> {
        let mut asked = String::new();
        // Git tells no files of others.
        let with_one_parent = self
            .asked
            .iter()
            .filter(|commit| commit_object::parents(&commit.raw).len() == 1);
        for commit in with_one_parent {
            asked += &commit.sha1;
            asked.push('\n');
        }
        asked += MARK;
        asked.push('\n');
        let git = match &mut self.git {
            Some(git) => git,
            None => {
                let args = [
                    "diff-tree",
                    "--stdin",
                    "-r",
                    "--numstat",
                    "--no-renames",
                    "--no-ext-diff",
                    "--no-textconv",
                ];
                self.git.insert(Git::start(self.start, &args)?)
            }
        };
        git.restart_clock();
        git.write(asked.as_bytes())
    }
}

/// What each commit changed, of those that changed anything.
fn read(git: &mut Git) -> Result<BTreeMap<String, Vec<pb::GitDiffTreeFile>>, SyncError> {
    let mut trees: BTreeMap<String, Vec<pb::GitDiffTreeFile>> = BTreeMap::new();
    let mut of = None;
    let mut line = Vec::new();
    loop {
        if !git.read_line(&mut line)? {
            return Err(git.broken(std::io::ErrorKind::UnexpectedEof.into()));
        }
        let text = String::from_utf8_lossy(&line);
        if text == MARK {
            return Ok(trees);
        }
        if let Some(hash) = GitHash::from_hex(&line) {
            of = Some(hash.to_string());
            continue;
        }
        let (Some(hash), Some(file)) = (&of, numstat(&text)) else {
            return Err(git.strange(&text));
        };
        trees.entry(hash.clone()).or_default().push(file);
    }
}

/// `ADDED TAB DELETED TAB NAME`, or `-` for both of something binary. A name with odd bytes stays as git quotes it, as upstream has it.
fn numstat(line: &str) -> Option<pb::GitDiffTreeFile> {
    let mut fields = line.splitn(3, '\t');
    let (added, deleted, file) = (fields.next()?, fields.next()?, fields.next()?);
    let binary = added == "-";
    let count = |text: &str| if binary { Some(0) } else { text.parse().ok() };
    Some(pb::GitDiffTreeFile {
        file: file.to_owned(),
        added: count(added)?,
        deleted: count(deleted)?,
        binary,
    })
}
