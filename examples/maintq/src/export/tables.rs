//! What belongs to issues, changes and commits, as tables of their own.

use maintner::{Cl, ClMessage, Comment, Commit, Event, File, Issue, Review, View};

use crate::kinds::{BranchCommit, Cls, Commits, Field, Issues, Kind, Scope};
use crate::value::Type::{Bool, Int, Text, Time};
use crate::value::Value;

/// What each row of another kind has some of, with that row.
pub(crate) trait Part: 'static + Sized {
    const TABLE: &'static str;
    const COLUMNS: &'static [Field<Self>];
    /// What it belongs to.
    type Of: Kind;
    type Item<'v>: Clone;

    /// Those of one row, in order.
    fn of<'v>(
        view: &'v View,
        row: <Self::Of as Kind>::Row<'v>,
    ) -> impl Iterator<Item = Self::Item<'v>> + 'v;
}

impl<P: Part> Kind for P {
    const NAME: &'static str = P::TABLE;
    const FIELDS: &'static [Field<Self>] = P::COLUMNS;
    type Row<'v> = (<P::Of as Kind>::Row<'v>, P::Item<'v>);
    type Seen = <P::Of as Kind>::Seen;

    fn rows<'v>(
        view: &'v View,
        scope: &'v Scope,
        seen: &'v mut Self::Seen,
    ) -> Box<dyn Iterator<Item = Self::Row<'v>> + 'v> {
        let rows = P::Of::rows(view, scope, seen);
        Box::new(rows.flat_map(|row| P::of(view, row.clone()).map(move |item| (row.clone(), item))))
    }
}

pub(super) enum Comments {}

impl Part for Comments {
    const TABLE: &'static str = "comments";

    type Of = Issues;
    type Item<'v> = Comment<'v>;

    fn of<'v>(_: &'v View, issue: Issue<'v>) -> impl Iterator<Item = Self::Item<'v>> + 'v {
        issue.comments()
    }

    const COLUMNS: &'static [Field<Self>] = &[
        Field::new("repo", Text, "the issue's repository", |_, (issue, _)| {
            repo(issue)
        }),
        Field::new("number", Int, "the issue's number", |_, (issue, _)| {
            issue.number().into()
        }),
        Field::new("id", Int, "its id over all of GitHub", |_, (_, comment)| {
            comment.id().into()
        }),
        Field::new("author", Text, "who wrote it", |_, (_, comment)| {
            comment.user().map(|user| Value::text(user.login)).into()
        }),
        Field::new("created", Time, "when it was written", |_, (_, comment)| {
            comment.created().into()
        }),
        Field::new(
            "updated",
            Time,
            "when it was last edited",
            |_, (_, comment)| comment.updated().into(),
        ),
        Field::new("body", Text, "its text", |_, (_, comment)| {
            Value::text(comment.body())
        }),
    ];
}

pub(super) enum Events {}

impl Part for Events {
    const TABLE: &'static str = "events";

    type Of = Issues;
    type Item<'v> = Event<'v>;

    fn of<'v>(_: &'v View, issue: Issue<'v>) -> impl Iterator<Item = Self::Item<'v>> + 'v {
        issue.events()
    }

    const COLUMNS: &'static [Field<Self>] = &[
        Field::new("repo", Text, "the issue's repository", |_, (issue, _)| {
            repo(issue)
        }),
        Field::new("number", Int, "the issue's number", |_, (issue, _)| {
            issue.number().into()
        }),
        Field::new("id", Int, "its id over all of GitHub", |_, (_, event)| {
            event.id().into()
        }),
        Field::new(
            "type",
            Text,
            "GitHub's word for what happened",
            |_, (_, event)| Value::text(event.event_type()),
        ),
        Field::new("created", Time, "when it happened", |_, (_, event)| {
            event.created().into()
        }),
        Field::new("actor", Text, "who did it", |_, (_, event)| {
            event.actor().map(|user| Value::text(user.login)).into()
        }),
        Field::new("label", Text, "the label's name then", |_, (_, event)| {
            Value::text(event.label())
        }),
        Field::new(
            "milestone",
            Text,
            "the milestone's title then",
            |_, (_, event)| Value::text(event.milestone()),
        ),
        Field::new(
            "assignee",
            Text,
            "who shall work on it, or shall not",
            |_, (_, event)| event.assignee().map(|user| Value::text(user.login)).into(),
        ),
        Field::new("renamed_from", Text, "the title before", |_, (_, event)| {
            Value::text(event.from())
        }),
        Field::new("renamed_to", Text, "the title after", |_, (_, event)| {
            Value::text(event.to())
        }),
        Field::new("commit", Text, "the commit that did it", |_, (_, event)| {
            Value::text(event.commit_id())
        }),
    ];
}

pub(super) enum Reviews {}

impl Part for Reviews {
    const TABLE: &'static str = "reviews";

    type Of = Issues;
    type Item<'v> = Review<'v>;

    fn of<'v>(_: &'v View, issue: Issue<'v>) -> impl Iterator<Item = Self::Item<'v>> + 'v {
        issue.reviews()
    }

    const COLUMNS: &'static [Field<Self>] = &[
        Field::new(
            "repo",
            Text,
            "the pull request's repository",
            |_, (issue, _)| repo(issue),
        ),
        Field::new(
            "number",
            Int,
            "the pull request's number",
            |_, (issue, _)| issue.number().into(),
        ),
        Field::new("id", Int, "its id over all of GitHub", |_, (_, review)| {
            review.id().into()
        }),
        Field::new("actor", Text, "who wrote it", |_, (_, review)| {
            review.actor().map(|user| Value::text(user.login)).into()
        }),
        Field::new("created", Time, "when it was written", |_, (_, review)| {
            review.created().into()
        }),
        Field::new(
            "state",
            Text,
            "APPROVED, COMMENTED and so on",
            |_, (_, review)| Value::text(review.state()),
        ),
        Field::new(
            "commit",
            Text,
            "the commit that was reviewed",
            |_, (_, review)| Value::text(review.commit_id()),
        ),
        Field::new("body", Text, "its text", |_, (_, review)| {
            Value::text(review.body())
        }),
    ];
}

pub(super) enum PatchSets {}

impl Part for PatchSets {
    const TABLE: &'static str = "patch_sets";

    type Of = Cls;
    type Item<'v> = (i32, Commit<'v>);

    fn of<'v>(_: &'v View, cl: Cl<'v>) -> impl Iterator<Item = Self::Item<'v>> + 'v {
        cl.patch_sets()
    }

    const COLUMNS: &'static [Field<Self>] = &[
        Field::new("server", Text, "the project's server", |_, (cl, _)| {
            server(cl)
        }),
        Field::new("project", Text, "the change's project", |_, (cl, _)| {
            project(cl)
        }),
        Field::new("cl", Int, "the change's number", |_, (cl, _)| {
            cl.number().into()
        }),
        Field::new(
            "patch_set",
            Int,
            "its number, from 1",
            |_, (_, (number, _))| (*number).into(),
        ),
        Field::new("commit", Text, "its hash", |_, (_, (_, commit))| {
            Value::text(commit.hash().to_string())
        }),
        Field::new("author", Text, "who wrote it", |_, (_, (_, commit))| {
            Value::text(commit.author().name())
        }),
        Field::new(
            "author_email",
            Text,
            "the address of who wrote it",
            |_, (_, (_, commit))| Value::text(commit.author().email()),
        ),
        Field::new(
            "committed",
            Time,
            "when it was committed",
            |_, (_, (_, commit))| commit.commit_instant().into(),
        ),
    ];
}

pub(super) enum Messages {}

impl Part for Messages {
    const TABLE: &'static str = "cl_messages";

    type Of = Cls;
    type Item<'v> = ClMessage<'v>;

    fn of<'v>(_: &'v View, cl: Cl<'v>) -> impl Iterator<Item = Self::Item<'v>> + 'v {
        cl.messages()
    }

    const COLUMNS: &'static [Field<Self>] = &[
        Field::new("server", Text, "the project's server", |_, (cl, _)| {
            server(cl)
        }),
        Field::new("project", Text, "the change's project", |_, (cl, _)| {
            project(cl)
        }),
        Field::new("cl", Int, "the change's number", |_, (cl, _)| {
            cl.number().into()
        }),
        Field::new("patch_set", Int, "what it is about", |_, (_, message)| {
            message.version().into()
        }),
        Field::new("created", Time, "when it was said", |_, (_, message)| {
            message.date().into()
        }),
        Field::new(
            "author",
            Text,
            "who said it: Gerrit User 5 <5@SERVER>",
            |_, (_, message)| Value::text(message.author().as_str()),
        ),
        Field::new(
            "tag",
            Text,
            "what a program did: autogenerated:...",
            |_, (_, message)| Value::bytes(message.meta().action_tag()),
        ),
        Field::new(
            "by_owner",
            Bool,
            "the change's owner said it",
            |_, (cl, message)| {
                let author = message.author().email().split('@').next();
                let id = author.and_then(|id| id.parse().ok());
                (id.is_some() && id == cl.owner_id()).into()
            },
        ),
        Field::new("text", Text, "its text", |_, (_, message)| {
            Value::bytes(message.text())
        }),
    ];
}

pub(super) enum Votes {}

impl Part for Votes {
    const TABLE: &'static str = "cl_votes";

    type Of = Cls;
    type Item<'v> = (&'v str, &'v str, i8);

    fn of<'v>(_: &'v View, cl: Cl<'v>) -> impl Iterator<Item = Self::Item<'v>> + 'v {
        let votes = cl.meta().map(|meta| meta.label_votes()).unwrap_or_default();
        votes.into_iter().flat_map(|(label, votes)| {
            (votes.into_iter()).map(move |(voter, vote)| (label, voter, vote))
        })
    }

    const COLUMNS: &'static [Field<Self>] = &[
        Field::new("server", Text, "the project's server", |_, (cl, _)| {
            server(cl)
        }),
        Field::new("project", Text, "the change's project", |_, (cl, _)| {
            project(cl)
        }),
        Field::new("cl", Int, "the change's number", |_, (cl, _)| {
            cl.number().into()
        }),
        Field::new(
            "label",
            Text,
            "Code-Review and so on",
            |_, (_, (label, ..))| Value::text(*label),
        ),
        Field::new(
            "voter",
            Text,
            "the address of who voted: 5@SERVER",
            |_, (_, (_, voter, _))| Value::text(*voter),
        ),
        Field::new("vote", Int, "the vote", |_, (_, (.., vote))| {
            i64::from(*vote).into()
        }),
    ];
}

pub(super) enum CommitFiles {}

impl Part for CommitFiles {
    const TABLE: &'static str = "commit_files";

    type Of = Commits;
    type Item<'v> = File<'v>;

    fn of<'v>(_: &'v View, row: BranchCommit<'v>) -> impl Iterator<Item = Self::Item<'v>> + 'v {
        row.commit.files()
    }

    const COLUMNS: &'static [Field<Self>] = &[
        Field::new("server", Text, "the project's server", |_, (row, _)| {
            Value::text(row.project.server())
        }),
        Field::new("project", Text, "the commit's project", |_, (row, _)| {
            Value::text(row.project.project())
        }),
        Field::new("hash", Text, "the commit's hash", |_, (row, _)| {
            Value::text(row.commit.hash().to_string())
        }),
        Field::new(
            "file",
            Text,
            "the path, as git prints it",
            |_, (_, file)| Value::text(file.name),
        ),
        Field::new("added", Int, "how many lines were added", |_, (_, file)| {
            file.added.into()
        }),
        Field::new(
            "deleted",
            Int,
            "how many lines were deleted",
            |_, (_, file)| file.deleted.into(),
        ),
        Field::new(
            "binary",
            Bool,
            "no text, so that no lines are counted",
            |_, (_, file)| file.is_binary.into(),
        ),
    ];
}

fn repo(issue: &Issue<'_>) -> Value<'static> {
    let repo = issue.repo();
    Value::text(format!("{}/{}", repo.owner(), repo.name()))
}

fn server<'v>(cl: &Cl<'v>) -> Value<'v> {
    Value::text(cl.project().server())
}

fn project<'v>(cl: &Cl<'v>) -> Value<'v> {
    Value::text(cl.project().project())
}
