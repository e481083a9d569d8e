//! The corpus in a snapshot: large lists and tables as they lie in memory, issues and changes in pages, the rest encoded.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::digest::Counts;
use crate::state::gerrit::IssueRef;
use crate::state::github::MilestoneRow;
use crate::state::{
    Cl, ClStatus, Comment, CommitId, Core, Event, EventExtra, Issue, Milestone, Project, Repo,
    Review, Writer,
};
use crate::store::{
    Code, Hasher, List, Map, PageRef, Paged, Save, Section, Source, Table, Text, Texts, code_struct,
};
use crate::time::Time;

code_struct!(Issue {
    number,
    id,
    not_exist,
    closed,
    locked,
    pull_request,
    milestone,
    title,
    body,
    user,
    closed_by,
    created,
    updated,
    closed_at,
    comments_as_of,
    events_as_of,
    reviews_as_of,
    last_event,
    assignees,
    labels,
    comments,
    events,
    reviews,
});
code_struct!(MilestoneRow {
    title,
    number,
    closed
});
code_struct!(Comment {
    id,
    user,
    created,
    updated,
    body
});
code_struct!(Event {
    id,
    actor,
    created,
    kind,
    label,
    milestone,
    extra
});
code_struct!(EventExtra {
    assignee,
    assigner,
    reviewer,
    review_requester,
    from,
    to,
    commit_id,
    commit_repo,
    team,
    dismissed,
    other_json,
});
code_struct!(Review {
    id,
    actor,
    created,
    body,
    state,
    commit_id,
    actor_association,
    other_json,
});
code_struct!(Cl {
    number,
    version,
    commit,
    meta,
    status,
    private,
    branch,
    created,
    metas,
    patch_sets,
    issue_refs,
});
code_struct!(IssueRef {
    owner,
    repo,
    number
});
code_struct!(Counts {
    records,
    unknown_kinds,
    unknown_fields,
    ignored
});

impl Code for CommitId {
    fn put(&self, to: &mut Vec<u8>) {
        self.0.put(to);
    }

    fn pull(from: &mut Source<'_>) -> Option<Self> {
        u32::pull(from).map(Self)
    }
}

impl Code for Time {
    fn put(&self, to: &mut Vec<u8>) {
        self.unix_seconds().put(to);
        self.subsec_nanos().put(to);
    }

    fn pull(from: &mut Source<'_>) -> Option<Self> {
        Some(Self::new(i64::pull(from)?, u32::pull(from)?))
    }
}

impl Code for Milestone {
    fn put(&self, to: &mut Vec<u8>) {
        let known = match self {
            Self::Unknown => None,
            Self::None => Some(None),
            Self::Id(id) => Some(Some(*id)),
        };
        known.put(to);
    }

    fn pull(from: &mut Source<'_>) -> Option<Self> {
        Some(match Option::<Option<i64>>::pull(from)? {
            None => Self::Unknown,
            Some(None) => Self::None,
            Some(Some(id)) => Self::Id(id),
        })
    }
}

impl Code for ClStatus {
    fn put(&self, to: &mut Vec<u8>) {
        let number: u8 = match self {
            Self::New => 0,
            Self::Draft => 1,
            Self::Merged => 2,
            Self::Abandoned => 3,
        };
        number.put(to);
    }

    fn pull(from: &mut Source<'_>) -> Option<Self> {
        match u8::pull(from)? {
            0 => Some(Self::New),
            1 => Some(Self::Draft),
            2 => Some(Self::Merged),
            3 => Some(Self::Abandoned),
            _ => None,
        }
    }
}

/// The parts of a snapshot that are mapped, in their order in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Texts,
    Strings,
    StringStarts,
    Commits,
    CommitIds,
    CommitIdStarts,
    OddZones,
    Pages,
    /// All that is not in the others, encoded.
    Rest,
}

impl Part {
    pub(crate) const ALL: [Self; 9] = [
        Self::Texts,
        Self::Strings,
        Self::StringStarts,
        Self::Commits,
        Self::CommitIds,
        Self::CommitIdStarts,
        Self::OddZones,
        Self::Pages,
        Self::Rest,
    ];
}

/// A segment of the log, as far as it was read.
#[derive(Debug, Clone)]
pub(crate) struct SegmentRead {
    pub(crate) name: String,
    /// How many of its bytes.
    pub(crate) read: u64,
    /// Of those.
    pub(crate) fingerprint: u32,
}

code_struct!(SegmentRead {
    name,
    read,
    fingerprint
});

/// What is in [`Part::Rest`].
struct Rest {
    read: Vec<SegmentRead>,
    text_bytes: u64,
    project_sets: Vec<Vec<u32>>,
    git_of_hg: BTreeMap<Vec<u8>, CommitId>,
    users: BTreeMap<i64, Text>,
    teams: BTreeMap<i64, Text>,
    repos: BTreeMap<String, BTreeMap<String, RepoRest>>,
    projects: Vec<ProjectRest>,
    counts: Counts,
    log_bytes: u64,
    waiting: BTreeMap<CommitId, Vec<(u32, i32)>>,
}

code_struct!(Rest {
    read,
    text_bytes,
    project_sets,
    git_of_hg,
    users,
    teams,
    repos,
    projects,
    counts,
    log_bytes,
    waiting,
});

/// A repository without its issues.
struct RepoRest {
    labels: BTreeMap<i64, Text>,
    milestones: BTreeMap<i64, MilestoneRow>,
    issues: Pages,
}

code_struct!(RepoRest {
    labels,
    milestones,
    issues
});

/// A project without its changes.
struct ProjectRest {
    name: String,
    refs: BTreeMap<String, CommitId>,
    missing: Vec<CommitId>,
    label_changes: u64,
    cls: Pages,
}

code_struct!(ProjectRest {
    name,
    refs,
    missing,
    label_changes,
    cls
});

/// Where the pages of a [`Paged`] are.
struct Pages {
    pages: Vec<PageRef>,
    len: usize,
}

code_struct!(Pages { pages, len });

impl Pages {
    fn save<T: Code + Clone>(
        paged: &Paged<T>,
        to: &mut impl Save,
        written: &mut usize,
    ) -> io::Result<Self> {
        let pages = paged.save(to, written)?;
        let len = paged.len();
        Ok(Self { pages, len })
    }

    fn restore<T: Code + Clone>(&self, map: &Map, within: &Range<usize>) -> Option<Paged<T>> {
        Paged::stored(map, within, &self.pages, self.len)
    }
}

impl Writer {
    /// Writes everything, or if `spilled`, everything but the texts that are stored, which are there. It must have been
    /// [finished](Self::finish). `begin` is called before each part, in order.
    pub(crate) fn save<S: Save>(
        &self,
        read: &[SegmentRead],
        spilled: bool,
        to: &mut S,
        mut begin: impl FnMut(&mut S, Part) -> io::Result<()>,
    ) -> io::Result<()> {
        let core = &self.core;
        begin(to, Part::Texts)?;
        match spilled {
            true => core.texts.save_unstored(to)?,
            false => core.texts.save(to)?,
        }

        let sorted = core.strings.sorted();
        begin(to, Part::Strings)?;
        sorted.save_entries(to)?;
        begin(to, Part::StringStarts)?;
        sorted.save_starts(to)?;
        drop(sorted);

        begin(to, Part::Commits)?;
        core.commits.save(to)?;
        let sorted = core.commit_ids.sorted();
        begin(to, Part::CommitIds)?;
        sorted.save_entries(to)?;
        begin(to, Part::CommitIdStarts)?;
        sorted.save_starts(to)?;
        drop(sorted);

        begin(to, Part::OddZones)?;
        core.odd_zones.save(to)?;

        begin(to, Part::Pages)?;
        let mut written = 0;
        let mut repos = BTreeMap::new();
        for (owner, of_owner) in &core.repos {
            let of_owner = of_owner.iter().map(|(name, repo)| {
                let rest = RepoRest {
                    labels: repo.labels.clone(),
                    milestones: repo.milestones.clone(),
                    issues: Pages::save(&repo.issues, to, &mut written)?,
                };
                Ok((name.clone(), rest))
            });
            repos.insert(owner.clone(), of_owner.collect::<io::Result<_>>()?);
        }
        let projects = core.projects.iter().map(|project| {
            Ok(ProjectRest {
                name: project.name.clone(),
                refs: project.refs.clone(),
                missing: project.missing.iter().copied().collect(),
                label_changes: project.label_changes,
                cls: Pages::save(&project.cls, to, &mut written)?,
            })
        });
        let projects = projects.collect::<io::Result<_>>()?;

        begin(to, Part::Rest)?;
        let rest = Rest {
            read: read.to_vec(),
            text_bytes: core.texts.bytes(),
            project_sets: core.project_sets.to_vec(),
            git_of_hg: (*core.git_of_hg).clone(),
            users: (*core.users).clone(),
            teams: (*core.teams).clone(),
            repos,
            projects,
            counts: core.counts,
            log_bytes: core.log_bytes,
            waiting: self.waiting.clone(),
        };
        let mut encoded = Vec::new();
        rest.put(&mut encoded);
        to.put(&encoded)
    }

    /// What was [saved](Self::save), with the segments of the log that it was read from; `None` if it was not.
    pub(crate) fn restore(
        map: &Map,
        hasher: Hasher,
        part: impl Fn(Part) -> Range<usize>,
    ) -> Option<(Self, Vec<SegmentRead>)> {
        let section = |which| -> Option<Section> { map.section(part(which)) };
        let rest = Rest::decode(section(Part::Rest)?.bytes())?;
        let pages = part(Part::Pages);
        let mut repos = BTreeMap::new();
        for (owner, of_owner) in rest.repos {
            let of_owner = of_owner.into_iter().map(|(name, repo)| {
                let row = Repo {
                    issues: repo.issues.restore(map, &pages)?,
                    labels: repo.labels,
                    milestones: repo.milestones,
                };
                Some((name, Arc::new(row)))
            });
            repos.insert(owner, of_owner.collect::<Option<_>>()?);
        }
        let mut projects = Vec::with_capacity(rest.projects.len());
        let mut project_ids = BTreeMap::new();
        for (project, id) in rest.projects.into_iter().zip(0..) {
            project_ids.insert(project.name.clone(), id);
            projects.push(Arc::new(Project {
                name: project.name,
                refs: project.refs,
                cls: project.cls.restore(map, &pages)?,
                missing: project.missing.into_iter().collect(),
                label_changes: project.label_changes,
            }));
        }
        let known = |&(project, _): &(u32, i32)| (project as usize) < projects.len();
        if !rest.waiting.values().flatten().all(known) {
            return None;
        }
        let core = Core {
            hasher,
            texts: Texts::stored(section(Part::Texts)?, rest.text_bytes),
            strings: Table::stored(section(Part::StringStarts)?, section(Part::Strings)?)?,
            commits: List::stored(section(Part::Commits)?)?,
            commit_ids: Table::stored(section(Part::CommitIdStarts)?, section(Part::CommitIds)?)?,
            project_sets: Arc::new(rest.project_sets),
            odd_zones: List::stored(section(Part::OddZones)?)?,
            git_of_hg: Arc::new(rest.git_of_hg),
            users: Arc::new(rest.users),
            teams: Arc::new(rest.teams),
            repos,
            projects,
            project_ids: Arc::new(project_ids),
            counts: rest.counts,
            log_bytes: rest.log_bytes,
        };
        Some((Self::with(core, rest.waiting), rest.read))
    }
}
