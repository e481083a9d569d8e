use std::error::Error;
use std::fmt::{self, Display, Formatter};

use crate::hash::GitHash;
use crate::state::{CommitId, Core};

/// What a corpus lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages explain the fields")]
pub enum CheckError {
    /// A Gerrit project was not told of all parents of its commits.
    MissingCommits { project: String, count: usize },
    /// A commit is known by its hash only.
    Placeholder { commit: GitHash },
}

impl Display for CheckError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingCommits { project, count } => write!(f, "{project} lacks {count} commits"),
            Self::Placeholder { commit } => write!(f, "of commit {commit} only the hash is known"),
        }
    }
}

impl Error for CheckError {}

pub(super) fn check(core: &Core) -> Result<(), CheckError> {
    for &id in core.project_ids.values() {
        let project = &core.projects[id as usize];
        if !project.missing.is_empty() {
            return Err(CheckError::MissingCommits {
                project: project.name.clone(),
                count: project.missing.len(),
            });
        }
    }
    // Parents of a project's commits that it lacks are among the missing, so that nothing else can be wrong.
    match (0..core.commits.len() as u32)
        .map(CommitId)
        .find(|&id| !core.row(id).is_present())
    {
        Some(id) => Err(CheckError::Placeholder {
            commit: core.row(id).hash(),
        }),
        None => Ok(()),
    }
}
