use std::fmt::{self, Debug, Formatter};

use crate::state;
use crate::store::Text;
use crate::time::Time;
use crate::view::github::{some_user, team};
use crate::view::{Label, MilestoneRef, Repo, Team, User};

/// An issue or pull request on GitHub.
#[derive(Clone, Copy)]
pub struct Issue<'v> {
    pub(super) repo: Repo<'v>,
    pub(super) row: &'v state::Issue,
}

impl<'v> Issue<'v> {
    /// The repository that it belongs to.
    #[must_use]
    pub fn repo(&self) -> Repo<'v> {
        self.repo
    }

    /// Its number in the repository.
    #[must_use]
    pub fn number(&self) -> i32 {
        self.row.number
    }

    /// Its id over all of GitHub, which only very old records tell; otherwise 0.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.row.id
    }

    /// Whether it was deleted, moved or never there. The rest says nothing then.
    #[must_use]
    pub fn not_exist(&self) -> bool {
        self.row.not_exist
    }

    /// Whether it is closed.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.row.closed
    }

    /// Whether only members may comment.
    #[must_use]
    pub fn locked(&self) -> bool {
        self.row.locked
    }

    /// Whether it is a pull request.
    #[must_use]
    pub fn pull_request(&self) -> bool {
        self.row.pull_request
    }

    /// Who opened it.
    #[must_use]
    pub fn user(&self) -> Option<User<'v>> {
        some_user(self.repo.core, self.row.user)
    }

    /// Who closed it last.
    #[must_use]
    pub fn closed_by(&self) -> Option<User<'v>> {
        some_user(self.repo.core, self.row.closed_by)
    }

    /// Who shall work on it, in the order in which they were asked.
    pub fn assignees(&self) -> impl Iterator<Item = User<'v>> + use<'v> {
        let core = self.repo.core;
        self.row
            .assignees
            .iter()
            .filter_map(move |&id| some_user(core, id))
    }

    /// When it was opened. One that was once deleted may have none.
    #[must_use]
    pub fn created(&self) -> Option<Time> {
        self.row.created
    }

    /// When GitHub last saw a change.
    #[must_use]
    pub fn updated(&self) -> Option<Time> {
        self.row.updated
    }

    /// When it was closed last; it stays when it is opened again.
    #[must_use]
    pub fn closed_at(&self) -> Option<Time> {
        self.row.closed_at
    }

    /// Its title.
    #[must_use]
    pub fn title(&self) -> &'v str {
        self.text(self.row.title)
    }

    /// Its text.
    #[must_use]
    pub fn body(&self) -> &'v str {
        self.text(self.row.body)
    }

    /// Which milestone it has.
    #[must_use]
    pub fn milestone(&self) -> MilestoneRef<'v> {
        match self.row.milestone {
            state::Milestone::Unknown => MilestoneRef::Unknown,
            state::Milestone::None => MilestoneRef::None,
            state::Milestone::Id(id) => {
                let milestone = self.repo.milestone(id);
                milestone.map_or(MilestoneRef::Unknown, MilestoneRef::Milestone)
            }
        }
    }

    /// Its labels, by id.
    pub fn labels(&self) -> impl Iterator<Item = Label<'v>> + use<'v> {
        let repo = self.repo;
        self.row.labels.iter().filter_map(move |&id| repo.label(id))
    }

    /// Whether it has a label of this name.
    #[must_use]
    pub fn has_label(&self, name: &str) -> bool {
        // As bytes: whether it is a string need not be looked at again.
        let (texts, names) = (&self.repo.core.texts, &self.repo.row.labels);
        let mut ids = self.row.labels.iter();
        ids.any(|id| {
            let text = names.get(id);
            text.is_some_and(|&text| texts.get(text) == name.as_bytes())
        })
    }

    /// Whether it has the label of this id.
    #[must_use]
    pub fn has_label_id(&self, id: i64) -> bool {
        self.row.labels.binary_search(&id).is_ok()
    }

    /// Its comments, by when they were made, and by id where that is the same.
    pub fn comments(&self) -> impl Iterator<Item = Comment<'v>> + use<'v> {
        let issue = *self;
        let rows = in_order(&self.row.comments, |row| (row.created, row.id));
        rows.map(move |row| Comment { issue, row })
    }

    /// Its timeline, by when things happened, and by id where that is the same.
    pub fn events(&self) -> impl Iterator<Item = Event<'v>> + use<'v> {
        let issue = *self;
        let rows = in_order(&self.row.events, |row| (row.created, row.id));
        rows.map(move |row| Event { issue, row })
    }

    /// Its reviews, by when they were made; none if it is no pull request.
    pub fn reviews(&self) -> impl Iterator<Item = Review<'v>> + use<'v> {
        let is_pull_request = self.row.pull_request;
        self.all_reviews().filter(move |_| is_pull_request)
    }

    /// The same also if it is no pull request.
    pub fn all_reviews(&self) -> impl Iterator<Item = Review<'v>> + use<'v> {
        let issue = *self;
        let rows = in_order(&self.row.reviews, |row| (row.created, row.id));
        rows.map(move |row| Review { issue, row })
    }

    /// Whether an event of this type happened: `labeled`, `closed`.
    #[must_use]
    pub fn has_event(&self, kind: &str) -> bool {
        let texts = &self.repo.core.texts;
        let mut events = self.row.events.iter();
        events.any(|row| texts.get(row.kind) == kind.as_bytes())
    }

    /// The latest of its update, events and reviews. Comments do not count, as they do not upstream.
    #[must_use]
    pub fn last_modified(&self) -> Option<Time> {
        self.row.updated.max(self.row.last_event)
    }

    /// Until when all comments are known.
    #[must_use]
    pub fn comments_synced_as_of(&self) -> Option<Time> {
        self.row.comments_as_of
    }

    /// Until when all events are known.
    #[must_use]
    pub fn events_synced_as_of(&self) -> Option<Time> {
        self.row.events_as_of
    }

    /// Until when all reviews are known.
    #[must_use]
    pub fn reviews_synced_as_of(&self) -> Option<Time> {
        self.row.reviews_as_of
    }

    /// Whether all comments are known up to the last update.
    #[must_use]
    pub fn comments_synced(&self) -> bool {
        self.is_synced(self.row.comments_as_of)
    }

    /// Whether all events are known up to the last update.
    #[must_use]
    pub fn events_synced(&self) -> bool {
        self.is_synced(self.row.events_as_of)
    }

    /// Whether all reviews are known up to the last update.
    #[must_use]
    pub fn reviews_synced(&self) -> bool {
        self.is_synced(self.row.reviews_as_of)
    }

    fn is_synced(&self, as_of: Option<Time>) -> bool {
        // In the second of the update, more may have come.
        self.row.not_exist || as_of > self.row.updated
    }

    fn text(&self, text: Text) -> &'v str {
        self.repo.core.texts.str(text)
    }
}

impl Debug for Issue<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Issue({}/{}#{})",
            self.repo.owner,
            self.repo.name,
            self.number()
        )
    }
}

/// Rows by time, which they nearly always are already.
fn in_order<T, K: Ord>(rows: &[T], key: impl Fn(&T) -> K) -> impl Iterator<Item = &T> {
    let mut sorted = Vec::new();
    let mut as_they_are = rows;
    if !rows.is_sorted_by_key(&key) {
        as_they_are = &[];
        sorted.extend(rows);
        sorted.sort_by_key(|row| key(row));
    }
    as_they_are.iter().chain(sorted)
}

/// A comment on an issue.
#[derive(Clone, Copy)]
pub struct Comment<'v> {
    issue: Issue<'v>,
    row: &'v state::Comment,
}

impl<'v> Comment<'v> {
    /// Its id over all of GitHub.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.row.id
    }

    /// Who wrote it.
    #[must_use]
    pub fn user(&self) -> Option<User<'v>> {
        some_user(self.issue.repo.core, self.row.user)
    }

    /// When it was written.
    #[must_use]
    pub fn created(&self) -> Option<Time> {
        self.row.created
    }

    /// When it was last edited.
    #[must_use]
    pub fn updated(&self) -> Option<Time> {
        self.row.updated
    }

    /// Its text, as it was last seen.
    #[must_use]
    pub fn body(&self) -> &'v str {
        self.issue.text(self.row.body)
    }
}

impl Debug for Comment<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Comment({:?} {})", self.issue, self.row.id)
    }
}

/// An entry of an issue's timeline. What it has beside type, time and actor depends on the type.
#[derive(Clone, Copy)]
pub struct Event<'v> {
    issue: Issue<'v>,
    row: &'v state::Event,
}

impl<'v> Event<'v> {
    /// Its id over all of GitHub.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.row.id
    }

    /// GitHub's word for what happened.
    #[must_use]
    pub fn event_type(&self) -> &'v str {
        self.issue.text(self.row.kind)
    }

    /// When it happened.
    #[must_use]
    pub fn created(&self) -> Option<Time> {
        self.row.created
    }

    /// Who did it.
    #[must_use]
    pub fn actor(&self) -> Option<User<'v>> {
        some_user(self.issue.repo.core, self.row.actor)
    }

    /// `labeled`, `unlabeled`: the name that the label had; otherwise empty.
    #[must_use]
    pub fn label(&self) -> &'v str {
        self.issue.text(self.row.label)
    }

    /// `milestoned`, `demilestoned`: the title that the milestone had; otherwise empty.
    #[must_use]
    pub fn milestone(&self) -> &'v str {
        self.issue.text(self.row.milestone)
    }

    /// `assigned`, `unassigned`: who shall work on it, or shall not.
    #[must_use]
    pub fn assignee(&self) -> Option<User<'v>> {
        self.user(|extra| extra.assignee)
    }

    /// `assigned`, `unassigned`: who said so.
    #[must_use]
    pub fn assigner(&self) -> Option<User<'v>> {
        self.user(|extra| extra.assigner)
    }

    /// `renamed`: the title before; otherwise empty.
    #[must_use]
    pub fn from(&self) -> &'v str {
        self.text(|extra| extra.from)
    }

    /// `renamed`: the title after; otherwise empty.
    #[must_use]
    pub fn to(&self) -> &'v str {
        self.text(|extra| extra.to)
    }

    /// `closed`, `referenced`, `merged`: the commit's hash, if a commit did it; otherwise empty.
    #[must_use]
    pub fn commit_id(&self) -> &'v str {
        self.text(|extra| extra.commit_id)
    }

    /// The URL of the commit in GitHub's interface, if its repository is known.
    #[must_use]
    pub fn commit_url(&self) -> Option<String> {
        let (owner, repo) = self.row.extra.as_ref()?.commit_repo?;
        let (owner, repo) = (self.issue.text(owner), self.issue.text(repo));
        Some(format!(
            "https://api.github.com/repos/{owner}/{repo}/commits/{}",
            self.commit_id()
        ))
    }

    /// `review_requested`, `review_request_removed`: who was asked.
    #[must_use]
    pub fn reviewer(&self) -> Option<User<'v>> {
        self.user(|extra| extra.reviewer)
    }

    /// `review_requested`, `review_request_removed`: who asked.
    #[must_use]
    pub fn review_requester(&self) -> Option<User<'v>> {
        self.user(|extra| extra.review_requester)
    }

    /// `review_requested`: the team that was asked.
    #[must_use]
    pub fn team_reviewer(&self) -> Option<Team<'v>> {
        let id = self.row.extra.as_ref()?.team?;
        Some(team(self.issue.repo.core, id))
    }

    /// `review_dismissed`: which review, and why.
    #[must_use]
    pub fn dismissed_review(&self) -> Option<DismissedReview<'v>> {
        let (review_id, message, state) = self.row.extra.as_ref()?.dismissed?;
        Some(DismissedReview {
            review_id,
            dismissal_message: self.issue.text(message),
            state: self.issue.text(state),
        })
    }

    /// A JSON object with what the writer of the log did not understand; empty if that was nothing.
    #[must_use]
    pub fn other_json(&self) -> &'v [u8] {
        let extra = self.row.extra.as_ref();
        extra.map_or(&[], |extra| {
            self.issue.repo.core.texts.get(extra.other_json)
        })
    }

    fn user(&self, id: impl Fn(&state::EventExtra) -> i64) -> Option<User<'v>> {
        some_user(self.issue.repo.core, id(self.row.extra.as_ref()?))
    }

    fn text(&self, text: impl Fn(&state::EventExtra) -> Text) -> &'v str {
        self.row
            .extra
            .as_ref()
            .map_or("", |extra| self.issue.text(text(extra)))
    }
}

impl Debug for Event<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Event({:?} {} {})",
            self.issue,
            self.row.id,
            self.event_type()
        )
    }
}

/// A review that was dismissed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DismissedReview<'v> {
    /// The review's id.
    pub review_id: i64,
    /// Why.
    pub dismissal_message: &'v str,
    /// What the review had said.
    pub state: &'v str,
}

/// A review of a pull request.
#[derive(Clone, Copy)]
pub struct Review<'v> {
    issue: Issue<'v>,
    row: &'v state::Review,
}

impl<'v> Review<'v> {
    /// Its id over all of GitHub.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.row.id
    }

    /// Who wrote it.
    #[must_use]
    pub fn actor(&self) -> Option<User<'v>> {
        some_user(self.issue.repo.core, self.row.actor)
    }

    /// When it was written.
    #[must_use]
    pub fn created(&self) -> Option<Time> {
        self.row.created
    }

    /// Its text.
    #[must_use]
    pub fn body(&self) -> &'v str {
        self.issue.text(self.row.body)
    }

    /// `APPROVED`, `CHANGES_REQUESTED`, `COMMENTED`, `DISMISSED`, or what GitHub says.
    #[must_use]
    pub fn state(&self) -> &'v str {
        self.issue.text(self.row.state)
    }

    /// The hash of the commit that was reviewed.
    #[must_use]
    pub fn commit_id(&self) -> &'v str {
        self.issue.text(self.row.commit_id)
    }

    /// What the actor is to the repository, in GitHub's word.
    #[must_use]
    pub fn actor_association(&self) -> &'v str {
        self.issue.text(self.row.actor_association)
    }

    /// A JSON object with what the writer of the log did not understand; empty if that was nothing.
    #[must_use]
    pub fn other_json(&self) -> &'v [u8] {
        self.issue.repo.core.texts.get(self.row.other_json)
    }
}

impl Debug for Review<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Review({:?} {})", self.issue, self.row.id)
    }
}
