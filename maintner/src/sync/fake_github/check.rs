//! Whether a corpus has what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use crate::View;
use crate::sync::fake_github::FakeRepo;
use crate::sync::fake_github::world::{Issue, Repo, World};
use crate::time::Time;
use crate::view::{self, MilestoneRef};

impl FakeRepo {
    /// In what a corpus, which knows the repository by this name, differs from what there is; empty if in nothing.
    ///
    /// Not compared is what a log cannot say: that comments or events were deleted, and the order of assignees.
    #[must_use]
    pub fn differences(&self, view: &View, owner: &str, name: &str) -> Vec<String> {
        let world = self.github.lock();
        let repo = &world.repos[&self.id];
        let mut found = Found::default();
        let known = view.github().repo(owner, name);
        let highest = known
            .and_then(|known| known.issues().next_back())
            .map(|issue| issue.number());
        for (number, issue) in &repo.issues {
            let known = known.and_then(|known| known.issue(*number));
            match known {
                // Nobody can know that there ever was such a number.
                None if issue.gone.is_some() && Some(*number) > highest => {}
                None => found.that(format!("#{number} is not known")),
                Some(known) => {
                    found.prefix = format!("#{number}");
                    found.issue(&world, repo, issue, known);
                }
            }
        }
        let surplus = known.into_iter().flat_map(|known| known.issues());
        for issue in surplus.filter(|issue| !repo.issues.contains_key(&issue.number())) {
            found.prefix = format!("#{}", issue.number());
            found.equal("there", &false, &true);
        }
        found.prefix = "the repository".to_owned();
        let labels: BTreeMap<_, _> = known
            .iter()
            .flat_map(view::Repo::labels)
            .map(|label| (label.id, label.name))
            .collect();
        for (id, name) in &labels {
            found.equal(
                "label",
                &repo.labels.get(id).map(String::as_str),
                &Some(*name),
            );
        }
        found.list
    }
}

#[derive(Default)]
struct Found {
    prefix: String,
    list: Vec<String>,
}

impl Found {
    fn that(&mut self, difference: String) {
        self.list.push(difference);
    }

    fn equal<T: PartialEq + Debug>(&mut self, what: &str, there: &T, known: &T) {
        if there != known {
            let difference = format!("{}: {what} is {there:?}, known as {known:?}", self.prefix);
            self.list.push(difference);
        }
    }

    fn issue(&mut self, world: &World, repo: &Repo, issue: &Issue, known: view::Issue<'_>) {
        self.equal("gone", &issue.gone.is_some(), &known.not_exist());
        if issue.gone.is_some() || known.not_exist() {
            return;
        }
        let time = |seconds: i64| Some(Time::new(seconds, 0));
        self.equal("title", &issue.title.as_str(), &known.title());
        self.equal(
            "body",
            &issue.body.as_deref().unwrap_or_default(),
            &known.body(),
        );
        self.equal("closed", &issue.closed, &known.closed());
        self.equal("locked", &issue.locked, &known.locked());
        self.equal(
            "being a pull request",
            &issue.is_pull,
            &known.pull_request(),
        );
        self.equal("updated", &time(issue.updated), &known.updated());
        self.equal("user", &Some(issue.user), &known.user().map(|user| user.id));
        if issue.closed {
            self.equal(
                "closing time",
                &issue.closed_at.and_then(time),
                &known.closed_at(),
            );
        }
        let milestone = match known.milestone() {
            MilestoneRef::Milestone(milestone) => Some(milestone.id),
            _ => None,
        };
        self.equal("milestone", &issue.milestone, &milestone);
        let assignees: BTreeSet<_> = known.assignees().map(|user| user.id).collect();
        self.equal(
            "assignees",
            &issue.assignees.iter().copied().collect(),
            &assignees,
        );
        let labels: BTreeSet<_> = known.labels().map(|label| label.id).collect();
        self.equal("labels", &issue.labels, &labels);
        for label in known.labels() {
            self.equal(
                "label's name",
                &repo.labels.get(&label.id).map(String::as_str),
                &Some(label.name),
            );
        }
        if let Some(user) = known.user() {
            self.equal(
                "login",
                &world.users.get(&user.id).map(String::as_str),
                &Some(user.login),
            );
        }
        self.comments(issue, known);
        self.events(issue, known);
        self.reviews(issue, known);
    }

    fn comments(&mut self, issue: &Issue, known: view::Issue<'_>) {
        let there = issue.comments.iter().filter(|comment| !comment.deleted);
        let there: BTreeMap<_, _> = there
            .map(|comment| {
                (
                    comment.id,
                    (comment.body.as_str(), Some(Time::new(comment.updated, 0))),
                )
            })
            .collect();
        let deleted: BTreeSet<_> = issue
            .comments
            .iter()
            .filter(|comment| comment.deleted)
            .map(|comment| comment.id)
            .collect();
        let known = known
            .comments()
            .filter(|comment| !deleted.contains(&comment.id()));
        let known = known
            .map(|comment| (comment.id(), (comment.body(), comment.updated())))
            .collect();
        self.equal("comments", &there, &known);
    }

    fn events(&mut self, issue: &Issue, known: view::Issue<'_>) {
        let there = issue.events.iter().filter(|event| !event.removed);
        let there: BTreeMap<_, _> = there
            .map(|event| {
                (
                    event.id,
                    (
                        event.kind.as_str(),
                        event.actor,
                        Some(Time::new(event.created, 0)),
                    ),
                )
            })
            .collect();
        let removed: BTreeSet<_> = issue
            .events
            .iter()
            .filter(|event| event.removed)
            .map(|event| event.id)
            .collect();
        let known = known
            .events()
            .filter(|event| !removed.contains(&event.id()));
        let known = known
            .map(|event| {
                (
                    event.id(),
                    (
                        event.event_type(),
                        event.actor().map(|user| user.id),
                        event.created(),
                    ),
                )
            })
            .collect();
        self.equal("events", &there, &known);
    }

    fn reviews(&mut self, issue: &Issue, known: view::Issue<'_>) {
        let there: BTreeMap<_, _> = issue
            .reviews
            .iter()
            .map(|review| {
                (
                    review.id,
                    (
                        review.state.as_str(),
                        review.body.as_str(),
                        Some(review.user),
                    ),
                )
            })
            .collect();
        let known = known
            .reviews()
            .map(|review| {
                (
                    review.id(),
                    (
                        review.state(),
                        review.body(),
                        review.actor().map(|user| user.id),
                    ),
                )
            })
            .collect();
        self.equal("reviews", &there, &known);
    }
}
