use std::fmt::{self, Debug, Formatter};

use crate::hash::GitHash;
use crate::state::{self, ClStatus, CommitId, Core};
use crate::view::{Cl, Commit};

/// Gerrit's projects.
#[derive(Clone, Copy)]
pub struct Gerrit<'v> {
    pub(super) core: &'v Core,
}

impl<'v> Gerrit<'v> {
    /// A project by its server, `go.googlesource.com`, and its name there. The server may be a URL, and the name may be that of the review
    /// server, `go-review.googlesource.com`.
    #[must_use]
    pub fn project(&self, server: &str, name: &str) -> Option<Project<'v>> {
        let server = normalize(server);
        let id = *self.core.project_ids.get(&format!("{server}/{name}"))?;
        Some(Project {
            core: self.core,
            id,
        })
    }

    /// All projects, by server and name.
    pub fn projects(&self) -> impl Iterator<Item = Project<'v>> + use<'v> {
        let core = self.core;
        core.project_ids
            .values()
            .map(move |&id| Project { core, id })
    }
}

impl Debug for Gerrit<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.projects()).finish()
    }
}

/// The host that a server's projects are kept under.
fn normalize(server: &str) -> String {
    let host = ["https://", "http://"]
        .into_iter()
        .find_map(|scheme| server.strip_prefix(scheme))
        .unwrap_or(server);
    let host = host.split('/').next().unwrap_or_default();
    match host.strip_suffix("-review.googlesource.com") {
        Some(name) => format!("{name}.googlesource.com"),
        None => host.to_owned(),
    }
}

/// A Gerrit project.
#[derive(Clone, Copy)]
pub struct Project<'v> {
    pub(super) core: &'v Core,
    pub(super) id: u32,
}

impl<'v> Project<'v> {
    /// The server and the name: `go.googlesource.com/go`.
    #[must_use]
    pub fn server_slash_project(&self) -> &'v str {
        &self.row().name
    }

    /// What stands before the first slash; empty if there is none.
    #[must_use]
    pub fn server(&self) -> &'v str {
        self.row()
            .name
            .split_once('/')
            .map_or("", |(server, _)| server)
    }

    /// What stands behind the first slash; empty if there is none.
    #[must_use]
    pub fn project(&self) -> &'v str {
        self.row()
            .name
            .split_once('/')
            .map_or("", |(_, project)| project)
    }

    /// What the ref of this full name, `refs/heads/master`, points at. Refs of changes are not among them.
    #[must_use]
    pub fn reference(&self, name: &str) -> Option<GitHash> {
        self.row()
            .refs
            .get(name)
            .map(|&id| self.core.row(id).hash())
    }

    /// All refs but those of changes, by name.
    pub fn references(&self) -> impl Iterator<Item = (&'v str, GitHash)> + use<'v> {
        let core = self.core;
        let refs = self.row().refs.iter();
        refs.map(move |(name, &id)| (name.as_str(), core.row(id).hash()))
    }

    /// A change by its number, if all is known that makes it one. Private ones are found too.
    #[must_use]
    pub fn cl(&self, number: i32) -> Option<Cl<'v>> {
        let row = self.row().cls.get(number)?;
        row.is_complete().then_some(Cl {
            project: *self,
            row,
        })
    }

    /// All changes of which all is known that makes them one, by number. Private ones are among them.
    pub fn cls(&self) -> impl Iterator<Item = Cl<'v>> + use<'v> {
        self.all_cls().filter(Cl::is_complete)
    }

    /// All changes of which something is known, by number; [not all](Cl::is_complete) have a patch set and meta data.
    pub fn all_cls(&self) -> impl Iterator<Item = Cl<'v>> + use<'v> {
        let project = *self;
        self.row().cls.iter().map(move |row| Cl { project, row })
    }

    /// The changes under review, by number, without private ones.
    pub fn open_cls(&self) -> impl Iterator<Item = Cl<'v>> + use<'v> {
        self.cls()
            .filter(|cl| cl.row.status == Some(ClStatus::New) && !cl.row.private)
    }

    /// A commit that the project has.
    #[must_use]
    pub fn commit(&self, hash: &GitHash) -> Option<Commit<'v>> {
        let id = self.core.commit(hash)?;
        let core = self.core;
        core.is_in_project(id, self.id)
            .then_some(Commit { core, id })
    }

    /// All commits that the project has, in the order in which they were first mentioned anywhere. Looks at all commits of the corpus.
    pub fn commits(&self) -> impl Iterator<Item = Commit<'v>> + use<'v> {
        let (core, project) = (self.core, self.id);
        (0..core.commits.len() as u32)
            .map(CommitId)
            .filter(move |&id| core.is_in_project(id, project))
            .map(move |id| Commit { core, id })
    }

    /// Parents of its commits that it does not have.
    pub fn missing_commits(&self) -> impl Iterator<Item = GitHash> + use<'v> {
        let core = self.core;
        self.row()
            .missing
            .iter()
            .map(move |&id| core.row(id).hash())
    }

    /// A counter that grows when labels of changes change. It grows by more than it should, and only its growth means something.
    #[must_use]
    pub fn label_changes(&self) -> u64 {
        self.row().label_changes
    }

    fn row(&self) -> &'v state::Project {
        &self.core.projects[self.id as usize]
    }
}

impl Debug for Project<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Project")
            .field(&self.server_slash_project())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_go_by_the_host_of_their_repositories() {
        for (server, host) in [
            ("http://foo", "foo"),
            ("https://go-review.googlesource.com/", "go.googlesource.com"),
            ("go.googlesource.com", "go.googlesource.com"),
        ] {
            assert_eq!(normalize(server), host);
        }
    }
}
