use std::collections::{BTreeMap, BTreeSet};

use crate::change::{Change, Changes};
use crate::digest::{Batch, Op};
use crate::mutation::MutationRef;
use crate::state::gerrit::{ProjectSets, Walk};
use crate::state::{CommitId, Core};

/// Applies mutations to a corpus.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub(crate) core: Core,
    /// Changes, by project and number, whose meta commits are to be read.
    dirty: BTreeSet<(u32, i32)>,
    /// Those of them that cannot be before a commit comes.
    pub(super) waiting: BTreeMap<CommitId, Vec<(u32, i32)>>,
    project_sets: ProjectSets,
    /// What changed since the last finish, if somebody wants to know.
    changes: Option<Changes>,
}

impl Writer {
    /// Goes on with a corpus, in which these changes wait for commits.
    pub(super) fn with(core: Core, waiting: BTreeMap<CommitId, Vec<(u32, i32)>>) -> Self {
        Self {
            project_sets: ProjectSets::of(&core.project_sets),
            core,
            waiting,
            ..Self::default()
        }
    }

    /// From now on changes are noted, or not.
    pub(crate) fn note_changes(&mut self, note: bool) {
        match note {
            true => drop(self.changes.get_or_insert_default()),
            false => self.changes = None,
        }
    }

    /// Applies a batch. Nothing of it is seen before [`finish`](Self::finish).
    pub(crate) fn apply(&mut self, batch: &Batch) {
        let mut project = 0;
        for op in &batch.ops {
            match op {
                Op::GitHub(payload) => self.apply_github(batch.bytes(payload)),
                Op::Commit(commit) => {
                    self.put_commit(batch, *commit);
                }
                Op::Project(name) => project = self.core.project_or_new(batch.str(name)),
                Op::ProjectCommit(commit) => {
                    let id = self.put_commit(batch, *commit);
                    self.core
                        .add_to_project(id, project, &mut self.project_sets);
                }
                Op::DeletedRef(name) => {
                    let name = batch.str(name);
                    if self.core.project_mut(project).refs.remove(name).is_some() {
                        self.note_ref(project, name);
                    }
                }
                Op::Ref { name, hash } => match self.core.commit(hash) {
                    Some(commit) => {
                        let name = batch.str(name);
                        self.core
                            .project_mut(project)
                            .refs
                            .insert(name.to_owned(), commit);
                        self.note_ref(project, name);
                    }
                    None => self.core.counts.ignored += 1,
                },
                Op::ChangeRef {
                    number,
                    version,
                    hash,
                } => match self.core.commit(hash) {
                    Some(commit) => {
                        self.core.put_change_ref(project, *number, *version, commit);
                        if *version == 0 {
                            self.dirty.insert((project, *number));
                        }
                        self.note(|core| Change::Cl {
                            project: core.projects[project as usize].name.clone(),
                            number: *number,
                        });
                    }
                    None => self.core.counts.ignored += 1,
                },
            }
        }
        self.core.counts.add(batch.counts);
    }

    /// Derives what the batches so far leave to be derived, and tells what changed.
    pub(crate) fn finish(&mut self) -> Vec<Change> {
        for (project, number) in std::mem::take(&mut self.dirty) {
            match self.core.walk_metas(project, number) {
                Walk::Done | Walk::Abandoned => {}
                Walk::Waiting(commit) => {
                    let waiting = self.waiting.entry(commit).or_default();
                    if !waiting.contains(&(project, number)) {
                        waiting.push((project, number));
                    }
                }
            }
        }
        match &mut self.changes {
            Some(changes) => changes.take(),
            None => Vec::new(),
        }
    }

    fn put_commit(&mut self, batch: &Batch, commit: u32) -> CommitId {
        let commit = &batch.commits[commit as usize];
        let (id, was_placeholder) = self.core.put_commit(batch, commit);
        if was_placeholder {
            for (project, number) in self.waiting.remove(&id).unwrap_or_default() {
                self.dirty.insert((project, number));
                self.note(|core| Change::Cl {
                    project: core.projects[project as usize].name.clone(),
                    number,
                });
            }
            self.note(|_| Change::Commit(commit.hash));
        }
        id
    }

    fn apply_github(&mut self, payload: &[u8]) {
        // It was decoded before, so it can be again.
        let Ok(mutation) = MutationRef::decode(payload) else {
            return;
        };
        if let Some(issue) = &mutation.github_issue {
            if self.core.apply_issue(issue) {
                self.note(|_| Change::Issue {
                    owner: issue.owner.to_owned(),
                    repo: issue.repo.to_owned(),
                    number: issue.number,
                });
            } else {
                self.core.counts.ignored += 1;
            }
        }
        if let Some(repo) = &mutation.github {
            if self.core.apply_repo(repo) {
                self.note(|_| Change::Repo {
                    owner: repo.owner.to_owned(),
                    repo: repo.repo.to_owned(),
                });
            } else {
                self.core.counts.ignored += 1;
            }
        }
    }

    fn note(&mut self, change: impl FnOnce(&Core) -> Change) {
        if let Some(changes) = &mut self.changes {
            changes.add(change(&self.core));
        }
    }

    fn note_ref(&mut self, project: u32, name: &str) {
        self.note(|core| Change::Ref {
            project: core.projects[project as usize].name.clone(),
            name: name.to_owned(),
        });
    }
}
