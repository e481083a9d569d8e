use std::fmt::{self, Debug, Formatter};

use crate::state::{self, Core};
use crate::view::Issue;

/// GitHub's repositories, users and teams.
#[derive(Clone, Copy)]
pub struct GitHub<'v> {
    pub(super) core: &'v Core,
}

impl<'v> GitHub<'v> {
    /// A repository; upper and lower case matter.
    #[must_use]
    pub fn repo(&self, owner: &str, name: &str) -> Option<Repo<'v>> {
        let (owner, repos) = self.core.repos.get_key_value(owner)?;
        let (name, row) = repos.get_key_value(name)?;
        let core = self.core;
        Some(Repo {
            core,
            owner,
            name,
            row,
        })
    }

    /// All repositories, by owner and name; those included that are only mentioned.
    pub fn repos(&self) -> impl Iterator<Item = Repo<'v>> + use<'v> {
        let core = self.core;
        core.repos.iter().flat_map(move |(owner, repos)| {
            repos.iter().map(move |(name, row)| Repo {
                core,
                owner,
                name,
                row,
            })
        })
    }

    /// All users, by id.
    pub fn users(&self) -> impl Iterator<Item = User<'v>> + use<'v> {
        let core = self.core;
        core.users.keys().map(move |&id| user(core, id))
    }

    /// All teams, by id.
    pub fn teams(&self) -> impl Iterator<Item = Team<'v>> + use<'v> {
        let core = self.core;
        core.teams.keys().map(move |&id| team(core, id))
    }
}

impl Debug for GitHub<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.repos()).finish()
    }
}

pub(super) fn user(core: &Core, id: i64) -> User<'_> {
    let login = core
        .users
        .get(&id)
        .map_or("", |&login| core.texts.str(login));
    User { id, login }
}

/// 0 is nobody.
pub(super) fn some_user(core: &Core, id: i64) -> Option<User<'_>> {
    (id != 0).then(|| user(core, id))
}

pub(super) fn team(core: &Core, id: i64) -> Team<'_> {
    let slug = core.teams.get(&id).map_or("", |&slug| core.texts.str(slug));
    Team { id, slug }
}

/// A user of GitHub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User<'v> {
    /// Never changes.
    pub id: i64,
    /// The name to log in with, as it was when it was last heard of; empty if it never was.
    pub login: &'v str,
}

/// A team of GitHub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Team<'v> {
    /// Never changes.
    pub id: i64,
    /// The name in URLs; empty if it was never heard of.
    pub slug: &'v str,
}

/// A label of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label<'v> {
    /// Never changes.
    pub id: i64,
    /// As it is now.
    pub name: &'v str,
}

/// A milestone of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Milestone<'v> {
    /// Over all of GitHub.
    pub id: i64,
    /// In the repository; 0 if it is not known.
    pub number: i32,
    /// As it is now.
    pub title: &'v str,
    /// Whether it is done.
    pub closed: bool,
}

/// Which milestone an issue has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MilestoneRef<'v> {
    /// The log does not say.
    Unknown,
    /// None.
    None,
    /// This one.
    Milestone(Milestone<'v>),
}

/// A repository on GitHub.
#[derive(Clone, Copy)]
pub struct Repo<'v> {
    pub(super) core: &'v Core,
    pub(super) owner: &'v str,
    pub(super) name: &'v str,
    pub(super) row: &'v state::Repo,
}

impl<'v> Repo<'v> {
    /// Who has it: `golang`.
    #[must_use]
    pub fn owner(&self) -> &'v str {
        self.owner
    }

    /// Its name: `go`.
    #[must_use]
    pub fn name(&self) -> &'v str {
        self.name
    }

    /// An issue or pull request. It may be one that does [not exist](Issue::not_exist) any more.
    #[must_use]
    pub fn issue(&self, number: i32) -> Option<Issue<'v>> {
        let row = self.row.issues.get(number)?;
        Some(Issue { repo: *self, row })
    }

    /// All issues and pull requests, by number; those included that do [not exist](Issue::not_exist) any more.
    #[must_use]
    pub fn issues(&self) -> impl DoubleEndedIterator<Item = Issue<'v>> + use<'v> {
        let repo = *self;
        self.row.issues.iter().map(move |row| Issue { repo, row })
    }

    /// How many [`issues`](Self::issues) there are.
    #[must_use]
    pub fn issue_count(&self) -> usize {
        self.row.issues.len()
    }

    /// The numbers from 1 to the highest that no issue has.
    pub fn missing_issues(&self) -> impl Iterator<Item = i32> + use<'v> {
        let mut next = 1;
        let known = self
            .row
            .issues
            .iter()
            .map(|issue| issue.number)
            .filter(|&number| number > 0);
        known.flat_map(move |number| {
            let missing = next..number;
            next = number.saturating_add(1);
            missing
        })
    }

    /// A label by its id.
    #[must_use]
    pub fn label(&self, id: i64) -> Option<Label<'v>> {
        let name = self.core.texts.str(*self.row.labels.get(&id)?);
        Some(Label { id, name })
    }

    /// All labels, by id.
    pub fn labels(&self) -> impl Iterator<Item = Label<'v>> + use<'v> {
        let texts = &self.core.texts;
        self.row.labels.iter().map(move |(&id, &name)| Label {
            id,
            name: texts.str(name),
        })
    }

    /// A milestone by its id.
    #[must_use]
    pub fn milestone(&self, id: i64) -> Option<Milestone<'v>> {
        let row = self.row.milestones.get(&id)?;
        Some(Milestone {
            id,
            number: row.number,
            title: self.core.texts.str(row.title),
            closed: row.closed,
        })
    }

    /// All milestones, by id.
    pub fn milestones(&self) -> impl Iterator<Item = Milestone<'v>> + use<'v> {
        let repo = *self;
        self.row
            .milestones
            .keys()
            .filter_map(move |&id| repo.milestone(id))
    }
}

impl Debug for Repo<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Repo({}/{})", self.owner, self.name)
    }
}
