use std::collections::BTreeMap;
use std::sync::Arc;

use crate::digest::Counts;
use crate::hash::GitHash;
use crate::state::{CommitId, CommitRow, Project, Repo};
use crate::store::{HashOf, Hasher, List, Table, Text, Texts};

/// All facts. A clone is a view: it costs some pointers, and shares what later changes do not touch.
#[derive(Debug, Clone, Default)]
pub(crate) struct Core {
    pub(crate) hasher: Hasher,
    pub(crate) texts: Texts,
    /// Texts that were interned.
    pub(super) strings: Table,
    pub(crate) commits: List<CommitRow>,
    pub(super) commit_ids: Table,
    /// The Gerrit projects that a commit is known to, by [`CommitRow::projects`]: most are known to one. The first is none.
    pub(crate) project_sets: Arc<Vec<Vec<u32>>>,
    /// Zones that are not a sign and four digits, by what is above those in [`git::Zone`](crate::state::git).
    pub(super) odd_zones: List<Text>,
    pub(crate) git_of_hg: Arc<BTreeMap<Vec<u8>, CommitId>>,
    /// Logins of GitHub's users.
    pub(crate) users: Arc<BTreeMap<i64, Text>>,
    /// Slugs of GitHub's teams.
    pub(crate) teams: Arc<BTreeMap<i64, Text>>,
    /// By owner and name.
    pub(crate) repos: BTreeMap<String, BTreeMap<String, Arc<Repo>>>,
    pub(crate) projects: Vec<Arc<Project>>,
    pub(crate) project_ids: Arc<BTreeMap<String, u32>>,
    pub(crate) counts: Counts,
    /// Bytes of log that were applied.
    pub(crate) log_bytes: u64,
}

impl Core {
    pub(crate) fn intern(&mut self, hash: HashOf, text: &[u8]) -> Text {
        if text.is_empty() {
            return Text::EMPTY;
        }
        let texts = &self.texts;
        if let Some(found) = self
            .strings
            .find(hash, |bits| texts.get(Text::from_bits(bits)) == text)
        {
            return Text::from_bits(found);
        }
        let new = self.texts.push(text);
        self.strings.insert(hash, new.to_bits());
        new
    }

    pub(crate) fn intern_str(&mut self, text: &str) -> Text {
        self.intern(self.hasher.hash(text.as_bytes()), text.as_bytes())
    }

    pub(crate) fn commit(&self, hash: &GitHash) -> Option<CommitId> {
        self.commit_by(self.hasher.hash(&hash.0), hash)
    }

    pub(super) fn commit_by(&self, key: HashOf, hash: &GitHash) -> Option<CommitId> {
        let is_it = |id| {
            let row = self.commits.get(id as usize);
            row.is_some_and(|row| row.hash() == *hash)
        };
        self.commit_ids.find(key, is_it).map(CommitId)
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats {
            records: self.counts.records,
            log_bytes: self.log_bytes,
            commits: self.commits.len(),
            text_bytes: self.texts.bytes(),
            unknown_kinds: self.counts.unknown_kinds,
            unknown_fields: self.counts.unknown_fields,
            ignored: self.counts.ignored,
        }
    }
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Mutations that were applied.
    pub records: u64,
    /// Bytes of log, frames included, that were applied.
    pub log_bytes: u64,
    /// Commits, those included that are known by their hash only.
    pub commits: usize,
    /// Bytes of all texts that are kept.
    pub text_bytes: u64,
    /// Parts of mutations of a kind that nobody here knows. They are in the log still.
    pub unknown_kinds: u64,
    /// Fields in the known parts that nobody here knows.
    pub unknown_fields: u64,
    /// What makes no sense and was left out: commits that cannot be taken apart, refs to commits that are not there, issues without
    /// a number and the like.
    pub ignored: u64,
}
