use maintner::{Change, Cl, ClStatus, Project, View};

use crate::kinds::{Field, Kind, Listed, Scope};
use crate::value::Type::{Bool, Int, List, Text, Time};
use crate::value::Value;

/// Changes on Gerrit.
pub(crate) enum Cls {}

impl Kind for Cls {
    const NAME: &'static str = "cls";

    type Row<'v> = Cl<'v>;
    type Seen = ();

    fn rows<'v>(
        view: &'v View,
        scope: &'v Scope,
        (): &'v mut (),
    ) -> Box<dyn Iterator<Item = Cl<'v>> + 'v> {
        Box::new(
            view.gerrit()
                .projects()
                .filter(|project| scope.has_project(project.server(), project.project()))
                .flat_map(|project| project.cls())
                .filter(|cl| scope.private || !cl.is_private()),
        )
    }

    const FIELDS: &'static [Field<Self>] = &[
        Field::new("project", Text, "its project: build", |_, cl| {
            Value::text(cl.project().project())
        }),
        Field::new("server", Text, "the project's server", |_, cl| {
            Value::text(cl.project().server())
        }),
        Field::new("number", Int, "its number on the server", |_, cl| {
            cl.number().into()
        }),
        Field::new(
            "status",
            Text,
            "new, draft, merged or abandoned",
            |_, cl| {
                cl.status()
                    .map(|status| Value::text(status.as_str()))
                    .into()
            },
        ),
        Field::new("open", Bool, "it is under review", |_, cl| {
            (cl.status() == Some(ClStatus::New)).into()
        }),
        Field::new(
            "wip",
            Bool,
            "its owner marked it as work in progress",
            |_, cl| cl.work_in_progress().into(),
        ),
        Field::new(
            "private",
            Bool,
            "it is, or was, private (--private)",
            |_, cl| cl.is_private().into(),
        ),
        Field::new("branch", Text, "the branch that it is for", |_, cl| {
            Value::text(cl.branch())
        }),
        Field::new(
            "subject",
            Text,
            "the first paragraph of its message",
            |_, cl| Value::text(cl.subject().trim().to_owned()),
        ),
        Field::new("owner", Text, "who wrote the first patch set", |_, cl| {
            cl.owner().map(|owner| Value::text(owner.name())).into()
        }),
        Field::new(
            "owner_email",
            Text,
            "the address of who wrote it",
            |_, cl| cl.owner().map(|owner| Value::text(owner.email())).into(),
        ),
        Field::new("created", Time, "when it was created", |_, cl| {
            cl.created().into()
        }),
        Field::new(
            "updated",
            Time,
            "when its meta data last changed",
            |_, cl| cl.meta().map(|meta| meta.commit().commit_instant()).into(),
        ),
        Field::new(
            "patch_sets",
            Int,
            "the number of the current patch set",
            |_, cl| cl.version().into(),
        ),
        Field::new(
            "messages",
            Int,
            "how many messages were written about it",
            |_, cl| Value::count(cl.messages().count()),
        ),
        Field::new(
            "votes",
            List,
            "the votes that hold: Code-Review+2",
            |_, cl| {
                let Some(meta) = cl.meta() else {
                    return Value::List(Vec::new());
                };
                let votes = meta.label_votes();
                let votes = votes.iter().flat_map(|(label, votes)| {
                    votes
                        .values()
                        .filter(|vote| **vote != 0)
                        .map(move |vote| format!("{label}{vote:+}"))
                });
                Value::list(votes)
            },
        ),
        Field::new("hashtags", List, "its hashtags", |_, cl| match cl.meta() {
            Some(meta) => Value::list(meta.hashtags().iter().filter(|tag| !tag.is_empty())),
            None => Value::List(Vec::new()),
        }),
        Field::new(
            "issues",
            List,
            "the issues that it mentions: golang/go#5",
            |_, cl| Value::list(cl.issue_refs().map(|issue| issue.to_string())),
        ),
        Field::new(
            "files",
            List,
            "what its current patch set changes",
            |_, cl| {
                let files = cl.commit().into_iter().flat_map(|commit| commit.files());
                Value::list(files.map(|file| file.name))
            },
        ),
        Field::new("change_id", Text, "its Change-Id", |_, cl| {
            cl.change_id().map(Value::text).into()
        }),
        Field::new(
            "commit",
            Text,
            "the hash of its current patch set",
            |_, cl| {
                cl.commit()
                    .map(|commit| Value::text(commit.hash().to_string()))
                    .into()
            },
        ),
        Field::new("url", Text, "where it is on the web", |_, cl| {
            Value::text(url(cl))
        }),
        Field::new(
            "message",
            Text,
            "the message of its current patch set",
            |_, cl| {
                cl.commit()
                    .map(|commit| Value::bytes(commit.message()))
                    .into()
            },
        ),
    ];
}

impl Listed for Cls {
    const COLUMNS: &'static [&'static str] = &[
        "project", "number", "status", "updated", "owner", "subject", "votes",
    ];

    fn changed<'v>(view: &'v View, scope: &Scope, change: &Change, (): &mut ()) -> Vec<Cl<'v>> {
        let Change::Cl { project, number } = change else {
            return Vec::new();
        };
        project_of(view, project)
            .filter(|project| scope.has_project(project.server(), project.project()))
            .and_then(|project| project.cl(*number))
            .filter(|cl| scope.private || !cl.is_private())
            .into_iter()
            .collect()
    }
}

/// A project by its whole name.
pub(super) fn project_of<'v>(view: &'v View, name: &str) -> Option<Project<'v>> {
    let (host, name) = name.split_once('/')?;
    view.gerrit().project(host, name)
}

/// Hosts of googlesource.com have their review pages on another one.
fn url(cl: &Cl<'_>) -> String {
    let (project, number) = (cl.project(), cl.number());
    let server = project.server();
    let review = match server.strip_suffix(".googlesource.com") {
        Some(name) if !name.ends_with("-review") => format!("{name}-review.googlesource.com"),
        _ => server.to_owned(),
    };
    format!("https://{review}/c/{}/+/{number}", project.project())
}
