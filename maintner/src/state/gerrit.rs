use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::digest::Traits;
use crate::issue_refs::mentions;
use crate::line;
use crate::notedb;
use crate::state::{CommitId, Core};
use crate::store::{Paged, Text};
use crate::time::Time;

/// A Gerrit project as it is stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Project {
    /// `host/name`, mostly.
    pub(crate) name: String,
    /// All but those of changes.
    pub(crate) refs: BTreeMap<String, CommitId>,
    pub(crate) cls: Paged<Cl>,
    /// Parents of its commits that it was not told of.
    pub(crate) missing: BTreeSet<CommitId>,
    pub(crate) label_changes: u64,
}

/// A change as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Cl {
    pub(crate) number: i32,
    /// The number of the current patch set; 0 if none is known.
    pub(crate) version: i32,
    pub(crate) commit: CommitId,
    pub(crate) meta: CommitId,
    pub(crate) status: Option<ClStatus>,
    pub(crate) private: bool,
    pub(crate) branch: Text,
    pub(crate) created: Option<Time>,
    /// Oldest first.
    pub(crate) metas: Box<[CommitId]>,
    /// By number.
    pub(crate) patch_sets: Vec<(i32, CommitId)>,
    pub(crate) issue_refs: Box<[IssueRef]>,
}

/// A mention of a GitHub issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IssueRef {
    pub(crate) owner: Text,
    pub(crate) repo: Text,
    pub(crate) number: i32,
}

/// Where a change stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ClStatus {
    /// Under review.
    New,
    /// Under review and not yet for everyone; Gerrit has no such changes any more.
    Draft,
    /// Submitted.
    Merged,
    /// Given up.
    Abandoned,
}

impl ClStatus {
    /// Gerrit's word for it, in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Draft => "draft",
            Self::Merged => "merged",
            Self::Abandoned => "abandoned",
        }
    }

    fn parse(word: &[u8]) -> Option<Self> {
        [Self::New, Self::Draft, Self::Merged, Self::Abandoned]
            .into_iter()
            .find(|status| status.as_str().as_bytes() == word)
    }
}

impl std::fmt::Display for ClStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Cl {
    fn new(number: i32) -> Self {
        Self {
            number,
            version: 0,
            commit: CommitId::NONE,
            meta: CommitId::NONE,
            status: None,
            private: false,
            branch: Text::EMPTY,
            created: None,
            metas: Box::default(),
            patch_sets: Vec::new(),
            issue_refs: Box::default(),
        }
    }

    /// Whether all is known that a change needs to be seen.
    pub(crate) fn is_complete(&self) -> bool {
        self.commit.known().is_some() && self.meta.known().is_some() && !self.metas.is_empty()
    }
}

/// How the walk over a change's meta commits ended.
pub(super) enum Walk {
    Done,
    /// It cannot be told: a meta commit with two parents, or more of them than a change can have.
    Abandoned,
    /// This commit must come first.
    Waiting(CommitId),
}

/// More meta commits than this no change has; a log that says otherwise makes each of them cost time.
const MAX_METAS: usize = 1 << 16;

/// Mentions of issues that are kept of a patch set; what a person can have meant is far fewer.
const MAX_ISSUE_REFS: usize = 1000;

impl Core {
    pub(super) fn project_or_new(&mut self, name: &str) -> u32 {
        if let Some(&id) = self.project_ids.get(name) {
            return id;
        }
        let id = self.projects.len() as u32;
        self.projects.push(Arc::new(Project {
            name: name.to_owned(),
            ..Project::default()
        }));
        Arc::make_mut(&mut self.project_ids).insert(name.to_owned(), id);
        id
    }

    pub(super) fn project_mut(&mut self, id: u32) -> &mut Project {
        Arc::make_mut(&mut self.projects[id as usize])
    }

    pub(crate) fn is_in_project(&self, commit: CommitId, project: u32) -> bool {
        let set = self.row(commit).projects;
        let set = self.project_sets.get(set as usize);
        set.is_some_and(|set| set.contains(&project))
    }

    /// A commit that was put is one of this project's from now on.
    pub(super) fn add_to_project(
        &mut self,
        commit: CommitId,
        project: u32,
        sets: &mut ProjectSets,
    ) {
        let before = self.row(commit).projects;
        let with = sets.with(before, project, &mut self.project_sets);
        if before == with {
            return;
        }
        let parents: Vec<_> = self
            .parents(commit)
            .filter(|&parent| !self.is_in_project(parent, project))
            .collect();
        if let Some(row) = self.commits.get_mut(commit.0 as usize) {
            row.projects = with;
        }
        if !parents.is_empty() || !self.projects[project as usize].missing.is_empty() {
            let missing = &mut self.project_mut(project).missing;
            missing.remove(&commit);
            missing.extend(parents.into_iter().filter(|&parent| parent != commit));
        }
    }

    /// Sets a change's meta ref (version 0) or a patch set.
    pub(super) fn put_change_ref(
        &mut self,
        project: u32,
        number: i32,
        version: i32,
        commit: CommitId,
    ) {
        let (cl, _) = self
            .project_mut(project)
            .cls
            .get_or_insert_with(number, || Cl::new(number));
        if version == 0 {
            cl.meta = commit;
            return;
        }
        match cl.patch_sets.binary_search_by_key(&version, |set| set.0) {
            Ok(at) => cl.patch_sets[at].1 = commit,
            Err(at) => cl.patch_sets.insert(at, (version, commit)),
        }
        // Refs come in the order of their names, in which 10 is before 9.
        if version < cl.version {
            return;
        }
        cl.version = version;
        cl.commit = commit;
        if self.row(commit).traits.has(Traits::MENTION) || !cl_refs_empty(self, project, number) {
            let issue_refs = self.issue_refs(project, commit);
            if let Some(cl) = self.project_mut(project).cls.get_mut(number) {
                cl.issue_refs = issue_refs;
            }
        }
    }

    fn issue_refs(&mut self, project: u32, commit: CommitId) -> Box<[IssueRef]> {
        let is_go = self.projects[project as usize].name == "go.googlesource.com/go";
        let message = self.texts.get(self.row(commit).message);
        let mut found: Vec<(String, String, i32)> = Vec::new();
        for mention in mentions(message) {
            let (owner, repo) = match mention.repo {
                Some((owner, repo)) => (owner.to_ascii_lowercase(), repo.to_ascii_lowercase()),
                None if is_go => ("golang".to_owned(), "go".to_owned()),
                None => continue,
            };
            let mention = (owner, repo, mention.number);
            if !found.contains(&mention) && found.len() < MAX_ISSUE_REFS {
                found.push(mention);
            }
        }
        let mut refs = Vec::with_capacity(found.len());
        for (owner, repo, number) in found {
            self.repo_or_new(&owner, &repo);
            refs.push(IssueRef {
                owner: self.intern_str(&owner),
                repo: self.intern_str(&repo),
                number,
            });
        }
        refs.into()
    }

    /// Derives what a change's meta commits say, from its meta ref.
    pub(super) fn walk_metas(&mut self, project: u32, number: i32) -> Walk {
        let Some(head) = self.projects[project as usize]
            .cls
            .get(number)
            .and_then(|cl| cl.meta.known())
        else {
            return Walk::Done;
        };
        let mut metas = Vec::new();
        let mut next = Some(head);
        // Hashes are what the log says, so that a chain may be a ring; a long one is given up.
        while let Some(meta) = next {
            let row = self.row(meta);
            if !row.is_present() {
                return Walk::Waiting(meta);
            }
            let mut parents = self.parents(meta);
            next = parents.next();
            if parents.next().is_some() || metas.len() == MAX_METAS {
                return Walk::Abandoned;
            }
            metas.push(meta);
        }
        metas.reverse();
        let created = metas
            .first()
            .map(|&oldest| self.row(oldest).commit_instant());
        let mut status = None;
        let mut branch = None;
        let mut private = false;
        let mut label_changes = 0;
        for &meta in &metas {
            let row = self.row(meta);
            if row
                .traits
                .has(Traits::PRIVATE | Traits::STATUS | Traits::BRANCH | Traits::LABEL)
            {
                let message = self.texts.get(row.message);
                let footer = notedb::footer(message);
                let has = |may_have, line: &[u8]| {
                    row.traits.has(may_have) && memchr::memmem::find(message, line).is_some()
                };
                private |= has(Traits::PRIVATE, b"\nPrivate: true\n");
                label_changes += u64::from(has(Traits::LABEL, b"\nLabel: "));
                // The comment before the footer may have such lines, in whatever words.
                status = line::value(footer, b"Status:")
                    .and_then(ClStatus::parse)
                    .or(status);
                branch = line::value(footer, b"Branch:")
                    .filter(|name| !name.is_empty())
                    .or(branch);
            }
        }
        let branch = branch.map(|name| name.strip_prefix(b"refs/heads/").unwrap_or(name).to_vec());
        let branch = branch.map(|name| self.intern(self.hasher.hash(&name), &name));

        let project = self.project_mut(project);
        project.label_changes += label_changes;
        if let Some(cl) = project.cls.get_mut(number) {
            cl.created = created;
            cl.status = Some(status.or(cl.status).unwrap_or(ClStatus::New));
            cl.branch = branch.unwrap_or(cl.branch);
            cl.private |= private;
            cl.metas = metas.into();
        }
        Walk::Done
    }
}

fn cl_refs_empty(core: &Core, project: u32, number: i32) -> bool {
    let cl = core.projects[project as usize].cls.get(number);
    cl.is_none_or(|cl| cl.issue_refs.is_empty())
}

/// Finds the set that a set becomes with one project more.
#[derive(Debug, Default)]
pub(super) struct ProjectSets {
    with: BTreeMap<(u32, u32), u32>,
    ids: BTreeMap<Vec<u32>, u32>,
}

impl ProjectSets {
    pub(super) fn of(sets: &[Vec<u32>]) -> Self {
        let ids = sets.iter().cloned().zip(0..).collect();
        let with = BTreeMap::new();
        Self { with, ids }
    }

    fn with(&mut self, set: u32, project: u32, sets: &mut Arc<Vec<Vec<u32>>>) -> u32 {
        if let Some(&with) = self.with.get(&(set, project)) {
            return with;
        }
        if sets.is_empty() {
            Arc::make_mut(sets).push(Vec::new());
            self.ids.insert(Vec::new(), 0);
        }
        let mut members = sets.get(set as usize).cloned().unwrap_or_default();
        if let Err(at) = members.binary_search(&project) {
            members.insert(at, project);
        }
        let next = sets.len() as u32;
        let with = *self.ids.entry(members.clone()).or_insert(next);
        if with == next {
            Arc::make_mut(sets).push(members);
        }
        self.with.insert((set, project), with);
        with
    }
}
