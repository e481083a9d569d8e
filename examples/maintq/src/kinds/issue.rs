use maintner::{Change, Issue, MilestoneRef, View};

use crate::kinds::{Field, Kind, Listed, Scope};
use crate::value::Type::{Bool, Int, List, Text, Time};
use crate::value::Value;

/// Issues and pull requests, without those that are gone.
pub(crate) enum Issues {}

impl Kind for Issues {
    const NAME: &'static str = "issues";

    type Row<'v> = Issue<'v>;
    type Seen = ();

    fn rows<'v>(
        view: &'v View,
        scope: &'v Scope,
        (): &'v mut (),
    ) -> Box<dyn Iterator<Item = Issue<'v>> + 'v> {
        Box::new(
            view.github()
                .repos()
                .filter(|repo| scope.has_project(repo.owner(), repo.name()))
                .flat_map(|repo| repo.issues())
                .filter(|issue| !issue.not_exist()),
        )
    }

    const FIELDS: &'static [Field<Self>] = &[
        Field::new("repo", Text, "its repository: golang/go", |_, issue| {
            Value::text(repo(issue))
        }),
        Field::new("number", Int, "its number in the repository", |_, issue| {
            issue.number().into()
        }),
        Field::new("title", Text, "its title", |_, issue| {
            Value::text(issue.title())
        }),
        Field::new("open", Bool, "it is not closed", |_, issue| {
            (!issue.closed()).into()
        }),
        Field::new("pull", Bool, "it is a pull request", |_, issue| {
            issue.pull_request().into()
        }),
        Field::new("locked", Bool, "only members may comment", |_, issue| {
            issue.locked().into()
        }),
        Field::new("author", Text, "who opened it", |_, issue| {
            issue.user().map(|user| Value::text(user.login)).into()
        }),
        Field::new("assignees", List, "who shall work on it", |_, issue| {
            Value::list(issue.assignees().map(|user| user.login))
        }),
        Field::new("labels", List, "the labels that it has", |_, issue| {
            Value::list(issue.labels().map(|label| label.name))
        }),
        Field::new(
            "milestone",
            Text,
            "the milestone's title",
            |_, issue| match issue.milestone() {
                MilestoneRef::Milestone(milestone) => Value::text(milestone.title),
                _ => Value::None,
            },
        ),
        Field::new("created", Time, "when it was opened", |_, issue| {
            issue.created().into()
        }),
        Field::new("updated", Time, "when it was last changed", |_, issue| {
            issue.updated().into()
        }),
        Field::new("closed_at", Time, "when it was last closed", |_, issue| {
            issue.closed_at().into()
        }),
        Field::new("closed_by", Text, "who closed it last", |_, issue| {
            issue.closed_by().map(|user| Value::text(user.login)).into()
        }),
        Field::new(
            "comments",
            Int,
            "how many comments there are",
            |_, issue| Value::count(issue.comments().count()),
        ),
        Field::new("commenters", List, "who commented", |_, issue| {
            let mut logins: Vec<_> = issue
                .comments()
                .filter_map(|comment| comment.user())
                .map(|user| user.login)
                .collect();
            logins.sort_unstable();
            logins.dedup();
            Value::list(logins.into_iter())
        }),
        Field::new(
            "events",
            Int,
            "how many events its timeline has",
            |_, issue| Value::count(issue.events().count()),
        ),
        Field::new(
            "reviews",
            Int,
            "how many reviews a pull request has",
            |_, issue| Value::count(issue.reviews().count()),
        ),
        Field::new("url", Text, "where it is on the web", |_, issue| {
            let number = issue.number();
            Value::text(format!(
                "https://github.com/{}/issues/{number}",
                repo(issue)
            ))
        }),
        Field::new("body", Text, "its text", |_, issue| {
            Value::text(issue.body())
        }),
    ];
}

impl Listed for Issues {
    const COLUMNS: &'static [&'static str] = &[
        "repo", "number", "open", "created", "author", "title", "labels",
    ];

    fn changed<'v>(view: &'v View, scope: &Scope, change: &Change, (): &mut ()) -> Vec<Issue<'v>> {
        let Change::Issue {
            owner,
            repo,
            number,
        } = change
        else {
            return Vec::new();
        };
        let repo = view
            .github()
            .repo(owner, repo)
            .filter(|_| scope.has_project(owner, repo));
        let issue = repo.and_then(|repo| repo.issue(*number));
        issue
            .filter(|issue| !issue.not_exist())
            .into_iter()
            .collect()
    }
}

fn repo(issue: &Issue<'_>) -> String {
    let repo = issue.repo();
    format!("{}/{}", repo.owner(), repo.name())
}
