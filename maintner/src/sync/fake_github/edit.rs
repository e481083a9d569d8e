use std::sync::MutexGuard;

use serde_json::{Value, json};

use crate::sync::fake_github::FakeGithub;
use crate::sync::fake_github::world::{
    Comment, Event, Gone, Issue, Milestone, Repo, Review, World,
};

/// A repository of a [`FakeGithub`], for editing. Users, labels and milestones are made when they are first named.
///
/// # Panics
///
/// All edits panic when they name an issue, comment or review that is not there: the test is wrong then.
#[derive(Debug, Clone)]
pub struct FakeRepo {
    pub(super) github: FakeGithub,
    pub(super) id: i64,
}

impl FakeRepo {
    /// Opens an issue, and tells its number.
    #[expect(clippy::must_use_candidate, reason = "it is an edit")]
    pub fn open_issue(&self, user: &str, title: &str, body: &str) -> i32 {
        self.open(user, title, body, false)
    }

    /// Opens a pull request, and tells its number.
    #[expect(clippy::must_use_candidate, reason = "it is an edit")]
    pub fn open_pull(&self, user: &str, title: &str, body: &str) -> i32 {
        self.open(user, title, body, true)
    }

    /// Uses a number up for something that is no issue, as a discussion does.
    #[expect(clippy::must_use_candidate, reason = "it is an edit")]
    pub fn open_discussion(&self) -> i32 {
        let number = self.open("somebody", "discussion", "", false);
        self.issue(number, |issue| issue.gone = Some(Gone::NotAnIssue));
        number
    }

    fn open(&self, user: &str, title: &str, body: &str, is_pull: bool) -> i32 {
        let mut world = self.world();
        let (id, user, now) = (world.new_id(), world.user(user), world.now);
        let repo = self.of(&mut world);
        repo.last_number += 1;
        let issue = Issue {
            id,
            is_pull,
            user,
            title: title.to_owned(),
            body: (!body.is_empty()).then(|| body.to_owned()),
            created: now,
            updated: now,
            ..Issue::default()
        };
        repo.issues.insert(repo.last_number, issue);
        repo.last_number
    }

    /// Gives an issue another title.
    pub fn retitle(&self, number: i32, user: &str, title: &str) {
        let before = self.issue(number, |issue| {
            std::mem::replace(&mut issue.title, title.to_owned())
        });
        self.event(
            number,
            Some(user),
            "renamed",
            json!({"rename": {"from": before, "to": title}}),
        );
    }

    /// Gives an issue another text.
    pub fn rewrite(&self, number: i32, body: &str) {
        self.issue(number, |issue| {
            issue.body = (!body.is_empty()).then(|| body.to_owned());
        });
        self.touch(number);
    }

    /// Closes an issue.
    pub fn close(&self, number: i32, user: &str) {
        let now = self.world().now;
        self.issue(number, |issue| {
            issue.closed = true;
            issue.closed_at = Some(now);
        });
        self.event(number, Some(user), "closed", json!({}));
    }

    /// Opens a closed issue again.
    pub fn reopen(&self, number: i32, user: &str) {
        self.issue(number, |issue| {
            issue.closed = false;
            issue.closed_at = None;
        });
        self.event(number, Some(user), "reopened", json!({}));
    }

    /// Locks an issue or unlocks it.
    pub fn lock(&self, number: i32, user: &str, locked: bool) {
        self.issue(number, |issue| issue.locked = locked);
        let (kind, fields) = match locked {
            true => ("locked", json!({"lock_reason": "resolved"})),
            false => ("unlocked", json!({})),
        };
        self.event(number, Some(user), kind, fields);
    }

    /// Gives an issue a label.
    pub fn label(&self, number: i32, label: &str) {
        let id = self.label_id(label);
        self.issue(number, |issue| issue.labels.insert(id));
        self.event(
            number,
            Some("gopherbot"),
            "labeled",
            json!({"label": {"name": label, "color": "ededed"}}),
        );
    }

    /// Takes a label from an issue.
    pub fn unlabel(&self, number: i32, label: &str) {
        let id = self.label_id(label);
        self.issue(number, |issue| issue.labels.remove(&id));
        self.event(
            number,
            Some("gopherbot"),
            "unlabeled",
            json!({"label": {"name": label, "color": "ededed"}}),
        );
    }

    /// Renames a label, which updates no issue.
    pub fn rename_label(&self, label: &str, name: &str) {
        let id = self.label_id(label);
        self.of(&mut self.world())
            .labels
            .insert(id, name.to_owned());
    }

    /// Sets the milestone of an issue, or removes it.
    pub fn milestone(&self, number: i32, title: Option<&str>) {
        let id = title.map(|title| self.milestone_id(title));
        let before = self.issue(number, |issue| std::mem::replace(&mut issue.milestone, id));
        let before = before.map(|id| self.of(&mut self.world()).milestones[&id].title.clone());
        let (kind, title) = match (title, before) {
            (Some(title), _) => ("milestoned", title.to_owned()),
            (None, Some(before)) => ("demilestoned", before),
            (None, None) => return,
        };
        self.event(
            number,
            Some("gopherbot"),
            kind,
            json!({"milestone": {"title": title}}),
        );
    }

    /// Closes a milestone or opens it again, which updates no issue.
    pub fn close_milestone(&self, title: &str, closed: bool) {
        let id = self.milestone_id(title);
        let mut world = self.world();
        if let Some(milestone) = self.of(&mut world).milestones.get_mut(&id) {
            milestone.closed = closed;
        }
    }

    /// Assigns an issue to somebody, or takes it from them.
    pub fn assign(&self, number: i32, user: &str, assigned: bool) {
        let id = self.world().user(user);
        self.issue(number, |issue| {
            issue.assignees.retain(|&assignee| assignee != id);
            if assigned {
                issue.assignees.push(id);
            }
        });
        let kind = if assigned { "assigned" } else { "unassigned" };
        let fields =
            json!({"assignee": {"id": id, "login": user}, "assigner": {"id": id, "login": user}});
        self.event(number, Some(user), kind, fields);
    }

    /// Writes a comment, and tells its id.
    #[expect(clippy::must_use_candidate, reason = "it is an edit")]
    pub fn comment(&self, number: i32, user: &str, body: &str) -> i64 {
        let mut world = self.world();
        let (id, user, now) = (world.new_id(), world.user(user), world.now);
        drop(world);
        self.issue(number, |issue| {
            issue.comments.push(Comment {
                id,
                user: Some(user),
                body: body.to_owned(),
                created: now,
                updated: now,
                deleted: false,
            });
        });
        self.touch(number);
        id
    }

    /// Edits a comment.
    pub fn edit_comment(&self, number: i32, id: i64, body: &str) {
        let now = self.world().now;
        self.its_comment(number, id, |comment| {
            comment.body = body.to_owned();
            comment.updated = now;
        });
        self.touch(number);
    }

    /// Deletes a comment.
    pub fn delete_comment(&self, number: i32, id: i64) {
        self.its_comment(number, id, |comment| comment.deleted = true);
        self.touch(number);
    }

    /// Deletes the account that wrote a comment.
    pub fn orphan_comment(&self, number: i32, id: i64) {
        self.its_comment(number, id, |comment| comment.user = None);
    }

    /// Reviews a pull request, and tells the review's id.
    ///
    /// # Panics
    ///
    /// When it is no pull request.
    #[expect(clippy::must_use_candidate, reason = "it is an edit")]
    pub fn review(&self, number: i32, user: &str, state: &str, body: &str) -> i64 {
        let mut world = self.world();
        let (id, user, now) = (world.new_id(), world.user(user), world.now);
        drop(world);
        self.issue(number, |issue| {
            assert!(issue.is_pull, "#{number} is no pull request");
            issue.reviews.push(Review {
                id,
                user,
                body: body.to_owned(),
                state: state.to_owned(),
                submitted: now,
                commit: "e4d70f7e8892f024e4ed3e8b99ee6c5a9f16e126".to_owned(),
            });
        });
        self.touch(number);
        id
    }

    /// Dismisses a review.
    ///
    /// # Panics
    ///
    /// When there is no such review.
    pub fn dismiss_review(&self, number: i32, id: i64, user: &str, why: &str) {
        let state = self.issue(number, |issue| {
            let review = issue.reviews.iter_mut().find(|review| review.id == id);
            let review = review.unwrap_or_else(|| panic!("#{number} has no review {id}"));
            std::mem::replace(&mut review.state, "DISMISSED".to_owned())
        });
        let dismissed =
            json!({"review_id": id, "state": state.to_lowercase(), "dismissal_message": why});
        self.event(
            number,
            Some(user),
            "review_dismissed",
            json!({"dismissed_review": dismissed}),
        );
    }

    /// Asks somebody, or a team, for a review.
    pub fn request_review(&self, number: i32, requester: &str, reviewer: Reviewer<'_>) {
        let mut world = self.world();
        let by = world.user(requester);
        let mut fields = json!({"review_requester": {"id": by, "login": requester}});
        match reviewer {
            Reviewer::User(login) => {
                let id = world.user(login);
                fields["requested_reviewer"] = json!({"id": id, "login": login});
            }
            Reviewer::Team(id, slug) => {
                fields["requested_team"] = json!({"id": id, "slug": slug, "name": slug});
            }
        }
        drop(world);
        self.event(number, Some(requester), "review_requested", fields);
    }

    /// Adds an event of any kind, with fields of its own, and tells its id.
    #[expect(clippy::must_use_candidate, reason = "it is an edit")]
    pub fn event(&self, number: i32, actor: Option<&str>, kind: &str, fields: Value) -> i64 {
        let mut world = self.world();
        let (id, actor, now) = (
            world.new_id(),
            actor.map(|login| world.user(login)),
            world.now,
        );
        drop(world);
        self.issue(number, |issue| {
            issue.events.push(Event {
                id,
                kind: kind.to_owned(),
                actor,
                created: now,
                fields,
                removed: false,
            });
        });
        self.touch(number);
        id
    }

    /// Removes an event, as happens when an account is deleted. That updates nothing.
    ///
    /// # Panics
    ///
    /// When there is no such event.
    pub fn remove_event(&self, number: i32, id: i64) {
        self.issue(number, |issue| {
            let event = issue.events.iter_mut().find(|event| event.id == id);
            event
                .unwrap_or_else(|| panic!("#{number} has no event {id}"))
                .removed = true;
        });
    }

    /// Deletes an issue.
    pub fn delete(&self, number: i32) {
        self.issue(number, |issue| issue.gone = Some(Gone::Deleted));
    }

    /// Transfers an issue to another repository, and tells the number that it has there.
    #[expect(clippy::must_use_candidate, reason = "it is an edit")]
    pub fn transfer(&self, number: i32, to: &Self) -> i32 {
        let (title, body) = self.issue(number, |issue| (issue.title.clone(), issue.body.clone()));
        let there = to.open("somebody", &title, &body.unwrap_or_default(), false);
        self.issue(number, |issue| {
            issue.gone = Some(Gone::Transferred {
                repo: to.id,
                number: there,
            });
        });
        there
    }

    /// Renames the repository, whose old name leads to the new one from now on.
    pub fn rename(&self, owner: &str, name: &str) {
        let mut world = self.world();
        world
            .names
            .insert((owner.to_owned(), name.to_owned()), self.id);
        let repo = self.of(&mut world);
        owner.clone_into(&mut repo.owner);
        name.clone_into(&mut repo.name);
    }

    /// Switches issues off, or on again.
    pub fn disable_issues(&self, disabled: bool) {
        self.of(&mut self.world()).issues_disabled = disabled;
    }

    /// Hides the repository from everybody, or shows it again.
    pub fn hide(&self, hidden: bool) {
        self.of(&mut self.world()).hidden = hidden;
    }

    fn label_id(&self, name: &str) -> i64 {
        let mut world = self.world();
        let known = self
            .of(&mut world)
            .labels
            .iter()
            .find(|(_, known)| *known == name);
        if let Some((id, _)) = known {
            return *id;
        }
        let id = world.new_id();
        self.of(&mut world).labels.insert(id, name.to_owned());
        id
    }

    fn milestone_id(&self, title: &str) -> i64 {
        let mut world = self.world();
        let known = self
            .of(&mut world)
            .milestones
            .iter()
            .find(|(_, known)| known.title == title);
        if let Some((id, _)) = known {
            return *id;
        }
        let id = world.new_id();
        let milestones = &mut self.of(&mut world).milestones;
        let milestone = Milestone {
            number: i32::try_from(milestones.len()).map_or(i32::MAX, |count| count + 1),
            title: title.to_owned(),
            closed: false,
        };
        milestones.insert(id, milestone);
        id
    }

    fn its_comment(&self, number: i32, id: i64, edit: impl FnOnce(&mut Comment)) {
        self.issue(number, |issue| {
            let comment = issue.comments.iter_mut().find(|comment| comment.id == id);
            edit(comment.unwrap_or_else(|| panic!("#{number} has no comment {id}")));
        });
    }

    fn touch(&self, number: i32) {
        let now = self.world().now;
        self.issue(number, |issue| issue.updated = now);
    }

    fn issue<T>(&self, number: i32, edit: impl FnOnce(&mut Issue) -> T) -> T {
        let mut world = self.world();
        let issue = self.of(&mut world).issues.get_mut(&number);
        edit(issue.unwrap_or_else(|| panic!("there is no issue #{number}")))
    }

    fn of<'w>(&self, world: &'w mut World) -> &'w mut Repo {
        world
            .repos
            .get_mut(&self.id)
            .expect("repositories are never removed")
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.github.lock()
    }
}

/// Who is asked for a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "GitHub asks users and teams")]
pub enum Reviewer<'a> {
    /// A user, by login.
    User(&'a str),
    /// A team, by id and slug.
    Team(i64, &'a str),
}
