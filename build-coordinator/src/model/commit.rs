use serde::{Deserialize, Serialize};

use super::{MAX_MESSAGE, MAX_NAME, Revision, Timestamp, clean};

/// A commit, as its author wrote it: nothing in it is to be trusted. Texts are what can be read of it as UTF-8, with
/// U+FFFD for the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Its name.
    pub revision: Revision,
    /// Its parents' names, the first 16.
    pub parents: Vec<Revision>,
    /// Who wrote it.
    pub author_name: String,
    /// Where to reach them.
    pub author_email: String,
    /// When it was committed, as the commit says.
    pub committed: Timestamp,
    /// First line of the message.
    pub subject: String,
    /// The rest of the message.
    pub body: String,
}

/// What has become of a branch since it was last looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchUpdate {
    /// Name of the repository in the configuration.
    pub repository: String,
    /// Name of the branch, without `refs/heads/`.
    pub branch: String,
    /// Its newest commit.
    pub head: Revision,
    /// Commits that are not on it any more.
    pub removed: Vec<Revision>,
    /// Commits that came, oldest first.
    pub newer: Vec<Commit>,
    /// Commits older than all that were known, newest first. Those that are known stay where they are.
    pub older: Vec<Commit>,
    /// How many commits before its newest were looked for; the most that ever were is kept.
    pub history: u32,
}

/// A branch as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Branch {
    /// Name of the repository in the configuration.
    pub repository: String,
    /// Its name, without `refs/heads/`.
    pub name: String,
    /// Its newest commit.
    pub head: Revision,
    /// When it last changed here.
    pub updated: Timestamp,
    /// How many commits before its newest were looked for, at most.
    #[serde(default)]
    pub history: u32,
}

impl Commit {
    pub(crate) fn clean(&mut self) {
        self.parents.truncate(16);
        clean(&mut self.author_name, MAX_NAME);
        clean(&mut self.author_email, MAX_NAME);
        clean(&mut self.subject, MAX_NAME);
        clean(&mut self.body, MAX_MESSAGE);
    }
}
