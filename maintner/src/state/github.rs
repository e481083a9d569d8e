use std::collections::BTreeMap;
use std::sync::Arc;

use crate::mutation::{
    GithubIssueCommentMutationRef, GithubIssueEventRef, GithubIssueMutationRef,
    GithubIssueSyncStatus, GithubLabelRef, GithubMutationRef, GithubReviewRef, GithubTeamRef,
    GithubUserRef, Timestamp,
};
use crate::state::Core;
use crate::store::{Paged, Text};
use crate::time::Time;

/// A GitHub repository as it is stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Repo {
    pub(crate) issues: Paged<Issue>,
    /// Names by id.
    pub(crate) labels: BTreeMap<i64, Text>,
    pub(crate) milestones: BTreeMap<i64, MilestoneRow>,
}

/// A milestone as it is stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct MilestoneRow {
    pub(crate) title: Text,
    pub(crate) number: i32,
    pub(crate) closed: bool,
}

/// An issue or pull request as it is stored. Users are ids; 0 is nobody.
#[derive(Debug, Clone, Default)]
pub(crate) struct Issue {
    pub(crate) number: i32,
    pub(crate) id: i64,
    pub(crate) not_exist: bool,
    pub(crate) closed: bool,
    pub(crate) locked: bool,
    pub(crate) pull_request: bool,
    pub(crate) milestone: Milestone,
    pub(crate) title: Text,
    pub(crate) body: Text,
    pub(crate) user: i64,
    pub(crate) closed_by: i64,
    pub(crate) created: Option<Time>,
    pub(crate) updated: Option<Time>,
    pub(crate) closed_at: Option<Time>,
    pub(crate) comments_as_of: Option<Time>,
    pub(crate) events_as_of: Option<Time>,
    pub(crate) reviews_as_of: Option<Time>,
    /// The latest of events and reviews.
    pub(crate) last_event: Option<Time>,
    /// In the order in which they were assigned.
    pub(crate) assignees: Vec<i64>,
    /// Ids, ascending.
    pub(crate) labels: Vec<i64>,
    /// By id.
    pub(crate) comments: Vec<Comment>,
    /// By id.
    pub(crate) events: Vec<Event>,
    /// By id.
    pub(crate) reviews: Vec<Review>,
}

/// Which milestone an issue has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Milestone {
    #[default]
    Unknown,
    None,
    Id(i64),
}

/// A comment as it is stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Comment {
    pub(crate) id: i64,
    pub(crate) user: i64,
    pub(crate) created: Option<Time>,
    pub(crate) updated: Option<Time>,
    pub(crate) body: Text,
}

/// An event as it is stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Event {
    pub(crate) id: i64,
    pub(crate) actor: i64,
    pub(crate) created: Option<Time>,
    pub(crate) kind: Text,
    pub(crate) label: Text,
    pub(crate) milestone: Text,
    /// What few events have.
    pub(crate) extra: Option<Box<EventExtra>>,
}

/// The rarer parts of an event.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct EventExtra {
    pub(crate) assignee: i64,
    pub(crate) assigner: i64,
    pub(crate) reviewer: i64,
    pub(crate) review_requester: i64,
    pub(crate) from: Text,
    pub(crate) to: Text,
    pub(crate) commit_id: Text,
    pub(crate) commit_repo: Option<(Text, Text)>,
    pub(crate) team: Option<i64>,
    pub(crate) dismissed: Option<(i64, Text, Text)>,
    pub(crate) other_json: Text,
}

/// A review as it is stored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Review {
    pub(crate) id: i64,
    pub(crate) actor: i64,
    pub(crate) created: Option<Time>,
    pub(crate) body: Text,
    pub(crate) state: Text,
    pub(crate) commit_id: Text,
    pub(crate) actor_association: Text,
    pub(crate) other_json: Text,
}

impl Core {
    pub(super) fn repo_or_new(&mut self, owner: &str, repo: &str) -> &mut Repo {
        // Looked up before it is entered, as it is there nearly always and a key costs memory.
        if !self.repos.contains_key(owner) {
            self.repos.insert(owner.to_owned(), BTreeMap::new());
        }
        let repos = self.repos.get_mut(owner).expect("was inserted above");
        if !repos.contains_key(repo) {
            repos.insert(repo.to_owned(), Arc::default());
        }
        Arc::make_mut(repos.get_mut(repo).expect("was inserted above"))
    }

    /// Labels and milestones of a repository. `false` if the mutation names none.
    pub(super) fn apply_repo(&mut self, mutation: &GithubMutationRef<'_>) -> bool {
        let (owner, repo) = (mutation.owner, mutation.repo);
        if owner.is_empty() || repo.is_empty() {
            return false;
        }
        self.repo_or_new(owner, repo);
        for label in &mutation.labels {
            self.put_label(owner, repo, label);
        }
        for milestone in &mutation.milestones {
            let number = milestone.number as i32;
            self.put_milestone(owner, repo, milestone.id, milestone.title, number);
            if let (Some(closed), Some(row)) = (
                &milestone.closed,
                self.repo_or_new(owner, repo)
                    .milestones
                    .get_mut(&milestone.id),
            ) {
                row.closed = closed.val;
            }
        }
        true
    }

    fn put_label(&mut self, owner: &str, repo: &str, label: &GithubLabelRef<'_>) {
        if label.id == 0 {
            return;
        }
        let name = self.intern_str(label.name);
        let row = self
            .repo_or_new(owner, repo)
            .labels
            .entry(label.id)
            .or_default();
        if name != Text::EMPTY {
            *row = name;
        }
    }

    /// `false` if no milestone can have this id.
    fn put_milestone(
        &mut self,
        owner: &str,
        repo: &str,
        id: i64,
        title: &str,
        number: i32,
    ) -> bool {
        if id <= 0 {
            return false;
        }
        let title = self.intern_str(title);
        let row = self
            .repo_or_new(owner, repo)
            .milestones
            .entry(id)
            .or_default();
        if title != Text::EMPTY {
            row.title = title;
        }
        if number != 0 {
            row.number = number;
        }
        true
    }

    /// The id, or 0 for nobody; the user is known from now on.
    fn user(&mut self, user: &GithubUserRef<'_>) -> i64 {
        if user.id != 0 {
            let login = self.intern_str(user.login);
            if put_name(&self.users, user.id, login) {
                Arc::make_mut(&mut self.users).insert(user.id, login);
            }
        }
        user.id
    }

    fn user_id(&mut self, id: i64) -> i64 {
        self.user(&GithubUserRef { id, login: "" })
    }

    fn team(&mut self, team: &GithubTeamRef<'_>) -> i64 {
        let slug = self.intern_str(team.slug);
        if put_name(&self.teams, team.id, slug) {
            Arc::make_mut(&mut self.teams).insert(team.id, slug);
        }
        team.id
    }

    /// Applies a change of an issue, in the order in which its parts count. `false` if it says of which issue it is not.
    pub(super) fn apply_issue(&mut self, m: &GithubIssueMutationRef<'_>) -> bool {
        let (owner, repo) = (m.owner, m.repo);
        if owner.is_empty() || repo.is_empty() || m.number == 0 {
            return false;
        }
        let new = || Issue {
            number: m.number,
            id: m.id,
            ..Issue::default()
        };
        let (issue, is_new) = self
            .repo_or_new(owner, repo)
            .issues
            .get_or_insert_with(m.number, new);
        issue.not_exist = m.not_exist;
        if m.not_exist {
            // What is known stays stored.
            return true;
        }
        if is_new {
            // Its absence is taken for the beginning of time, as upstream does.
            let absent = Timestamp::default();
            issue.created = Time::from_log(m.created.as_ref().unwrap_or(&absent));
        }
        // Taken out, because the rest needs the whole corpus.
        let mut issue = std::mem::take(issue);
        self.change_issue(&mut issue, m);
        if let Some(place) = self.repo_or_new(owner, repo).issues.get_mut(m.number) {
            *place = issue;
        }
        true
    }

    fn change_issue(&mut self, issue: &mut Issue, m: &GithubIssueMutationRef<'_>) {
        let (owner, repo) = (m.owner, m.repo);
        if let Some(updated) = &m.updated {
            issue.updated = Time::from_log(updated);
        }
        if let Some(closed_at) = &m.closed_at {
            issue.closed_at = Time::from_log(closed_at);
        }
        if let Some(user) = &m.user {
            issue.user = self.user(user);
        }
        if let Some(user) = &m.closed_by {
            issue.closed_by = self.user(user);
        }
        if m.no_milestone {
            issue.milestone = Milestone::None;
        } else if self.put_milestone(
            owner,
            repo,
            m.milestone_id,
            m.milestone_title,
            m.milestone_num as i32,
        ) {
            issue.milestone = Milestone::Id(m.milestone_id);
        }
        if let Some(closed) = &m.closed {
            issue.closed = closed.val;
        }
        if let Some(locked) = &m.locked {
            issue.locked = locked.val;
        }
        issue.pull_request |= m.pull_request;
        for user in &m.assignees {
            let user = self.user(user);
            if user != 0 && !issue.assignees.contains(&user) {
                issue.assignees.push(user);
            }
        }
        issue
            .assignees
            .retain(|user| !m.deleted_assignees.contains(user));
        match &m.body_change {
            Some(body) => issue.body = self.texts.push(body.val.as_bytes()),
            None if !m.body.is_empty() => issue.body = self.texts.push(m.body.as_bytes()),
            None => {}
        }
        if !m.title.is_empty() {
            issue.title = self.intern_str(m.title);
        }
        issue.labels.retain(|label| !m.remove_label.contains(label));
        for label in &m.add_label {
            self.put_label(owner, repo, label);
            if label.id != 0
                && let Err(at) = issue.labels.binary_search(&label.id)
            {
                issue.labels.insert(at, label.id);
            }
        }
        for comment in &m.comment {
            self.put_comment(issue, comment);
        }
        set_as_of(&mut issue.comments_as_of, m.comment_status.as_ref());
        for event in &m.event {
            if event.id != 0 {
                let event = self.event(event);
                issue.last_event = issue.last_event.max(event.created);
                put_by_id(&mut issue.events, event, |event| event.id);
            }
        }
        set_as_of(&mut issue.events_as_of, m.event_status.as_ref());
        for review in &m.review {
            if review.id != 0 {
                let review = self.review(review);
                issue.last_event = issue.last_event.max(review.created);
                put_by_id(&mut issue.reviews, review, |review| review.id);
            }
        }
        set_as_of(&mut issue.reviews_as_of, m.review_status.as_ref());
    }

    fn put_comment(&mut self, issue: &mut Issue, m: &GithubIssueCommentMutationRef<'_>) {
        if m.id == 0 {
            return;
        }
        let at = issue
            .comments
            .binary_search_by_key(&m.id, |comment| comment.id)
            .unwrap_or_else(|at| {
                let new = Comment {
                    id: m.id,
                    ..Comment::default()
                };
                issue.comments.insert(at, new);
                at
            });
        let comment = &mut issue.comments[at];
        if let Some(user) = &m.user {
            comment.user = self.user(user);
        }
        if let Some(created) = &m.created {
            comment.created = Time::from_log(created);
        }
        if let Some(updated) = &m.updated {
            comment.updated = Time::from_log(updated);
        }
        if !m.body.is_empty() {
            comment.body = self.texts.push(m.body.as_bytes());
        }
    }

    fn event(&mut self, m: &GithubIssueEventRef<'_>) -> Event {
        let mut extra = EventExtra {
            assignee: self.user_id(m.assignee_id),
            assigner: self.user_id(m.assigner_id),
            reviewer: self.user_id(m.reviewer_id),
            review_requester: self.user_id(m.review_requester_id),
            from: self.intern_str(m.rename_from),
            to: self.intern_str(m.rename_to),
            team: m.team_reviewer.as_ref().map(|team| self.team(team)),
            other_json: self.texts.push(m.other_json),
            ..EventExtra::default()
        };
        if let Some(commit) = &m.commit {
            extra.commit_id = self.intern_str(commit.commit_id);
            if !commit.owner.is_empty() && !commit.repo.is_empty() {
                extra.commit_repo =
                    Some((self.intern_str(commit.owner), self.intern_str(commit.repo)));
            }
        }
        if let Some(review) = &m.dismissed_review {
            let message = self.texts.push(review.dismissal_message.as_bytes());
            extra.dismissed = Some((review.review_id, message, self.intern_str(review.state)));
        }
        Event {
            id: m.id,
            actor: self.user_id(m.actor_id),
            created: m.created.as_ref().and_then(Time::from_log),
            kind: self.intern_str(m.event_type),
            label: m
                .label
                .as_ref()
                .map_or(Text::EMPTY, |label| self.intern_str(label.name)),
            milestone: m
                .milestone
                .as_ref()
                .map_or(Text::EMPTY, |milestone| self.intern_str(milestone.title)),
            extra: (extra != EventExtra::default()).then(|| Box::new(extra)),
        }
    }

    fn review(&mut self, m: &GithubReviewRef<'_>) -> Review {
        Review {
            id: m.id,
            actor: self.user_id(m.actor_id),
            created: m.created.as_ref().and_then(Time::from_log),
            body: self.texts.push(m.body.as_bytes()),
            state: self.intern_str(m.state),
            commit_id: self.intern_str(m.commit_id),
            actor_association: self.intern_str(m.actor_association),
            other_json: self.texts.push(m.other_json),
        }
    }
}

/// Whether the name is to be stored: it is new, or another one.
fn put_name(names: &BTreeMap<i64, Text>, id: i64, name: Text) -> bool {
    match names.get(&id) {
        None => true,
        Some(&known) => name != Text::EMPTY && name != known,
    }
}

fn set_as_of(as_of: &mut Option<Time>, status: Option<&GithubIssueSyncStatus>) {
    if let Some(date) = status.and_then(|status| status.server_date.as_ref()) {
        *as_of = Time::from_log(date);
    }
}

/// Adds an item, or replaces the one with its id.
fn put_by_id<T>(items: &mut Vec<T>, item: T, id: impl Fn(&T) -> i64) {
    match items.binary_search_by_key(&id(&item), &id) {
        Ok(at) => items[at] = item,
        Err(at) => items.insert(at, item),
    }
}
