use std::collections::BTreeSet;

use crate::hash::GitHash;

/// Something that is not what it was before an update, or is new.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are what the queries take")]
pub enum Change {
    /// Labels or milestones of a GitHub repository.
    Repo { owner: String, repo: String },
    /// An issue or pull request, or its comments, events or reviews.
    Issue {
        owner: String,
        repo: String,
        number: i32,
    },
    /// A commit came; so far it was known by its hash, or not at all.
    Commit(GitHash),
    /// A ref of a Gerrit project, `host/name`, that is none of a change.
    Ref { project: String, name: String },
    /// A patch set or the meta data of a change.
    Cl { project: String, number: i32 },
}

/// Changes, each once.
#[derive(Debug, Default)]
pub(crate) struct Changes(BTreeSet<Change>);

impl Changes {
    pub(crate) fn add(&mut self, change: Change) {
        self.0.insert(change);
    }

    pub(crate) fn take(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.0).into_iter().collect()
    }
}
