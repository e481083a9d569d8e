mod check;
mod cl;
mod commit;
mod gerrit;
mod github;
mod issue;
mod votes;

use std::sync::Arc;

pub use crate::view::check::CheckError;
pub use crate::view::cl::{Cl, ClMessage, GithubIssueRef, HashtagEdits, Hashtags, Meta};
pub use crate::view::commit::{Commit, File, Person};
pub use crate::view::gerrit::{Gerrit, Project};
pub use crate::view::github::{GitHub, Label, Milestone, MilestoneRef, Repo, Team, User};
pub use crate::view::issue::{Comment, DismissedReview, Event, Issue, Review};
pub use crate::view::votes::LabelVotes;

use crate::hash::GitHash;
use crate::state::{CommitId, Core, Stats};

/// A corpus as it was at one moment.
///
/// Nothing changes in a view, and what it gives borrows from it. It costs a pointer to take, to clone and to drop; while there is one, what
/// later updates change is kept twice, in pieces of some kilobytes. So take one for each request or pass, and do not keep it for days.
#[derive(Debug, Clone)]
pub struct View(Arc<Core>);

impl View {
    pub(crate) fn new(core: Core) -> Self {
        Self(Arc::new(core))
    }

    /// GitHub's repositories.
    #[must_use]
    pub fn github(&self) -> GitHub<'_> {
        GitHub { core: &self.0 }
    }

    /// Gerrit's projects.
    #[must_use]
    pub fn gerrit(&self) -> Gerrit<'_> {
        Gerrit { core: &self.0 }
    }

    /// The commit of this hash, of whatever repository; it may be known by its hash [only](Commit::is_placeholder).
    #[must_use]
    pub fn commit(&self, hash: &GitHash) -> Option<Commit<'_>> {
        self.0.commit(hash).map(|id| Commit { core: &self.0, id })
    }

    /// The commit of this hash in 40 hexadecimal digits.
    #[must_use]
    pub fn git_commit(&self, hex: &str) -> Option<Commit<'_>> {
        self.commit(&hex.parse().ok()?)
    }

    /// All commits, in the order in which they were first mentioned.
    pub fn commits(&self) -> impl Iterator<Item = Commit<'_>> {
        let ids = 0..self.0.commits.len() as u32;
        ids.map(|id| Commit {
            core: &self.0,
            id: CommitId(id),
        })
    }

    /// The commit that was converted from this Mercurial changeset.
    #[must_use]
    pub fn commit_of_hg(&self, changeset: &str) -> Option<Commit<'_>> {
        let id = *self.0.git_of_hg.get(changeset.as_bytes())?;
        Some(Commit { core: &self.0, id })
    }

    /// The Mercurial changesets that commits were converted from, in order.
    pub fn hg_changesets(&self) -> impl Iterator<Item = (&[u8], Commit<'_>)> {
        let map = self.0.git_of_hg.iter();
        map.map(|(changeset, &id)| (changeset.as_slice(), Commit { core: &self.0, id }))
    }

    /// Looks for what is missing.
    ///
    /// # Errors
    ///
    /// The first thing found that should be there.
    pub fn check(&self) -> Result<(), CheckError> {
        check::check(&self.0)
    }

    /// How much there is.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }
}
