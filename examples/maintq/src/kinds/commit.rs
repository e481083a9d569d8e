use std::cmp::Reverse;
use std::collections::HashSet;

use maintner::{Change, Commit, GitHash, Project, View};

use crate::kinds::cl::project_of;
use crate::kinds::{Field, Kind, Listed, Scope};
use crate::value::Type::{Bool, Int, List, Text, Time};
use crate::value::Value;

/// Commits on the branches of projects, the newest first. Patch sets of changes and Gerrit's own commits are not among them.
pub(crate) enum Commits {}

/// A commit, and a project that has it on a branch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BranchCommit<'v> {
    pub(crate) project: Project<'v>,
    pub(crate) commit: Commit<'v>,
}

const BRANCHES: &str = "refs/heads/";

impl Kind for Commits {
    const NAME: &'static str = "commits";

    type Row<'v> = BranchCommit<'v>;
    /// Hashes of commits that were listed, each with its project's name.
    type Seen = HashSet<(String, GitHash)>;

    fn rows<'v>(
        view: &'v View,
        scope: &'v Scope,
        seen: &'v mut Self::Seen,
    ) -> Box<dyn Iterator<Item = BranchCommit<'v>> + 'v> {
        let mut rows = Vec::new();
        let projects = view.gerrit().projects();
        for project in projects.filter(|p| scope.has_project(p.server(), p.project())) {
            for (name, hash) in project.references() {
                if is_wanted(name, scope) {
                    walk(project, &hash, seen, &mut rows);
                }
            }
        }
        rows.sort_by_key(|row| Reverse(row.commit.commit_instant()));
        Box::new(rows.into_iter())
    }

    const FIELDS: &'static [Field<Self>] = &[
        Field::new("project", Text, "its project: build", |_, row| {
            Value::text(row.project.project())
        }),
        Field::new("server", Text, "the project's server", |_, row| {
            Value::text(row.project.server())
        }),
        Field::new("hash", Text, "its hash", |_, row| {
            Value::text(row.commit.hash().to_string())
        }),
        Field::new("author", Text, "who wrote it", |_, row| {
            Value::text(row.commit.author().name())
        }),
        Field::new(
            "author_email",
            Text,
            "the address of who wrote it",
            |_, row| Value::text(row.commit.author().email()),
        ),
        Field::new("committer", Text, "who committed it", |_, row| {
            Value::text(row.commit.committer().name())
        }),
        Field::new(
            "committer_email",
            Text,
            "the address of who committed it",
            |_, row| Value::text(row.commit.committer().email()),
        ),
        Field::new("authored", Time, "when it was written", |_, row| {
            row.commit.author_time().time.into()
        }),
        Field::new("committed", Time, "when it was committed", |_, row| {
            row.commit.commit_instant().into()
        }),
        Field::new(
            "subject",
            Text,
            "the first line of its message",
            |_, row| Value::bytes(row.commit.summary()),
        ),
        Field::new(
            "reviewer",
            Text,
            "who reviewed it, by its message",
            |_, row| {
                row.commit
                    .reviewer()
                    .map(|person| Value::text(person.name()))
                    .into()
            },
        ),
        Field::new("merge", Bool, "it has several parents", |_, row| {
            (row.commit.parents().count() > 1).into()
        }),
        Field::new("parents", List, "the hashes of its parents", |_, row| {
            Value::list(row.commit.parents().map(|parent| parent.hash().to_string()))
        }),
        Field::new("files", List, "the files that it changed", |_, row| {
            Value::list(row.commit.files().map(|file| file.name))
        }),
        Field::new("added", Int, "how many lines it added", |_, row| {
            row.commit
                .files()
                .map(|file| file.added)
                .fold(0, i64::saturating_add)
                .into()
        }),
        Field::new("deleted", Int, "how many lines it deleted", |_, row| {
            row.commit
                .files()
                .map(|file| file.deleted)
                .fold(0, i64::saturating_add)
                .into()
        }),
        Field::new("message", Text, "its message", |_, row| {
            Value::bytes(row.commit.message())
        }),
    ];
}

impl Listed for Commits {
    const COLUMNS: &'static [&'static str] = &["project", "hash", "committed", "author", "subject"];

    fn changed<'v>(
        view: &'v View,
        scope: &Scope,
        change: &Change,
        seen: &mut Self::Seen,
    ) -> Vec<BranchCommit<'v>> {
        let mut rows = Vec::new();
        if let Change::Ref { project, name } = change
            && is_wanted(name, scope)
            && let Some(project) = project_of(view, project)
            && scope.has_project(project.server(), project.project())
            && let Some(hash) = project.reference(name)
        {
            walk(project, &hash, seen, &mut rows);
        }
        rows.sort_by_key(|row| row.commit.commit_instant());
        rows
    }
}

fn is_wanted(name: &str, scope: &Scope) -> bool {
    name.strip_prefix(BRANCHES)
        .is_some_and(|branch| scope.branch.as_ref().is_none_or(|wanted| wanted == branch))
}

/// Adds what can be reached from a commit and was not seen before.
fn walk<'v>(
    project: Project<'v>,
    tip: &GitHash,
    seen: &mut HashSet<(String, GitHash)>,
    rows: &mut Vec<BranchCommit<'v>>,
) {
    let mut todo: Vec<_> = project.commit(tip).into_iter().collect();
    while let Some(commit) = todo.pop() {
        let key = (project.server_slash_project().to_owned(), commit.hash());
        if !commit.is_placeholder() && seen.insert(key) {
            rows.push(BranchCommit { project, commit });
            todo.extend(commit.parents());
        }
    }
}
