//! What belongs to issues, changes and commits, as tables of their own.

use maintner::{Cl, ClMessage, Comment, Commit, Event, File, Issue, Review, View};

use crate::kinds::{BranchCommit, Cls, Commits, Field, Issues, Kind, Scope};
use crate::value::Type::{Bool, Int, Text, Time};
use crate::value::Value;

pub(super) enum Comments {}

impl Kind for Comments {
    const NAME: &'static str = "comments";

    type Row<'v> = (Issue<'v>, Comment<'v>);
    type Seen = ();

    fn rows<'v>(
        view: &'v View,
        scope: &'v Scope,
        seen: &'v mut (),
    ) -> Box<dyn Iterator<Item = Self::Row<'v>> + 'v> {
        let issues = Issues::rows(view, scope, seen);
        Box::new(issues.flat_map(|issue| issue.comments().map(move |comment| (issue, comment))))
    }

    const FIELDS: &'static [Field<Self>] = &[
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

impl Kind for Events {
    const NAME: &'static str = "events";

    type Row<'v> = (Issue<'v>, Event<'v>);
    type Seen = ();

    fn rows<'v>(
        view: &'v View,
        scope: &'v Scope,
        seen: &'v mut (),
    ) -> Box<dyn Iterator<Item = Self::Row<'v>> + 'v> {
        let issues = Issues::rows(view, scope, seen);
        Box::new(issues.flat_map(|issue| issue.events().map(move |event| (issue, event))))
    }

    const FIELDS: &'static [Field<Self>] = &[
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

impl Kind for Reviews {
    const NAME: &'static str = "reviews";

    type Row<'v> = (Issue<'v>, Review<'v>);
    type Seen = ();

    fn rows<'v>(
        view: &'v View,
        scope: &'v Scope,
        seen: &'v mut (),
    ) -> Box<dyn Iterator<Item = Self::Row<'v>> + 'v> {
        let issues = Issues::rows(view, scope, seen);
        Box::new(issues.flat_map(|issue| issue.reviews().map(move |review| (issue, review))))
    }

    const FIELDS: &'static [Field<Self>] = &[
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

impl Kind for PatchSets {
    const NAME: &'static str = "patch_sets";

    type Row<'v> = (Cl<'v>, i32, Commit<'v>);
    type Seen = ();

    fn rows<'v>(
        view: &'v View,
        scope: &'v Scope,
        seen: &'v mut (),
    ) -> Box<dyn Iterator<Item = Self::Row<'v>> + 'v> {
        let cls = Cls::rows(view, scope, seen);
        Box::new(cls.flat_map(|cl| {
            cl.patch_sets()
                .map(move |(number, commit)| (cl, number, commit))
        }))
    }

    const FIELDS: &'static [Field<Self>] = &[
        Field::new("server", Text, "the project's server", |_, (cl, ..)| {
            server(cl)
        }),
        Field::new("project", Text, "the change's project", |_, (cl, ..)| {
            project(cl)
        }),
        Field::new("cl", Int, "the change's number", |_, (cl, ..)| {
            cl.number().into()
        }),
        Field::new(
            "patch_set",
            Int,
            "its number, from 1",
            |_, (_, number, _)| (*number).into(),
        ),
        Field::new("commit", Text, "its hash", |_, (.., commit)| {
            Value::text(commit.hash().to_string())
        }),
        Field::new("author", Text, "who wrote it", |_, (.., commit)| {
            Value::text(commit.author().name())
        }),
        Field::new(
            "author_email",
            Text,
            "the address of who wrote it",
            |_, (.., commit)| Value::text(commit.author().email()),
        ),
        Field::new(
            "committed",
            Time,
            "when it was committed",
            |_, (.., commit)| commit.commit_instant().into(),
        ),
    ];
}

pub(super) enum Messages {}

impl Kind for Messages {
    const NAME: &'static str = "cl_messages";

    type Row<'v> = (Cl<'v>, ClMessage<'v>);
    type Seen = ();

    fn rows<'v>(
        view: &'v View,
        scope: &'v Scope,
        seen: &'v mut (),
    ) -> Box<dyn Iterator<Item = Self::Row<'v>> + 'v> {
        let cls = Cls::rows(view, scope, seen);
        Box::new(cls.flat_map(|cl| cl.messages().map(move |message| (cl, message))))
    }

    const FIELDS: &'static [Field<Self>] = &[
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

impl Kind for Votes {
    const NAME: &'static str = "cl_votes";

    type Row<'v> = (Cl<'v>, &'v str, &'v str, i8);
    type Seen = ();

    fn rows<'v>(
        view: &'v View,
        scope: &'v Scope,
        seen: &'v mut (),
    ) -> Box<dyn Iterator<Item = Self::Row<'v>> + 'v> {
        let cls = Cls::rows(view, scope, seen);
        Box::new(cls.flat_map(|cl| {
            let votes = cl.meta().map(|meta| meta.label_votes()).unwrap_or_default();
            votes.into_iter().flat_map(move |(label, votes)| {
                votes
                    .into_iter()
                    .map(move |(voter, vote)| (cl, label, voter, vote))
            })
        }))
    }

    const FIELDS: &'static [Field<Self>] = &[
        Field::new("server", Text, "the project's server", |_, (cl, ..)| {
            server(cl)
        }),
        Field::new("project", Text, "the change's project", |_, (cl, ..)| {
            project(cl)
        }),
        Field::new("cl", Int, "the change's number", |_, (cl, ..)| {
            cl.number().into()
        }),
        Field::new(
            "label",
            Text,
            "Code-Review and so on",
            |_, (_, label, ..)| Value::text(*label),
        ),
        Field::new(
            "voter",
            Text,
            "the address of who voted: 5@SERVER",
            |_, (.., voter, _)| Value::text(*voter),
        ),
        Field::new("vote", Int, "the vote", |_, (.., vote)| {
            i64::from(*vote).into()
        }),
    ];
}

pub(super) enum CommitFiles {}

impl Kind for CommitFiles {
    const NAME: &'static str = "commit_files";

    type Row<'v> = (BranchCommit<'v>, File<'v>);
    type Seen = <Commits as Kind>::Seen;

    fn rows<'v>(
        view: &'v View,
        scope: &'v Scope,
        seen: &'v mut Self::Seen,
    ) -> Box<dyn Iterator<Item = Self::Row<'v>> + 'v> {
        let commits = Commits::rows(view, scope, seen);
        Box::new(commits.flat_map(|row| row.commit.files().map(move |file| (row, file))))
    }

    const FIELDS: &'static [Field<Self>] = &[
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
