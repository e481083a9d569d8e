//! What to write so that a corpus knows what GitHub said. No network, no clock.

use std::collections::HashSet;

use crate::mutation::pb;
use crate::sync::github::RepoName;
use crate::sync::github::model::{self, User};
use crate::time::Time;
use crate::view::{Comment, Issue, MilestoneRef, Repo, Review, User as KnownUser};

/// A mutation above this, in bytes, is split where it can be, so that records stay small beside the segments of a log (16 MiB).
const MAX_MUTATION: usize = 4 << 20;
/// 0001-01-01, which readers of a log take for no time.
const NEVER: i64 = -62_135_596_800;

pub(super) fn timestamp(time: Time) -> pb::Timestamp {
    pb::Timestamp {
        seconds: time.unix_seconds(),
        nanos: time.subsec_nanos().cast_signed(),
    }
}

/// "Known until then"; `None` takes it back.
pub(super) fn status(as_of: Option<Time>) -> pb::GithubIssueSyncStatus {
    let never = pb::Timestamp {
        seconds: NEVER,
        nanos: 0,
    };
    pb::GithubIssueSyncStatus {
        server_date: Some(as_of.map_or(never, timestamp)),
    }
}

pub(super) fn of_issue(issue: pb::GithubIssueMutation) -> pb::Mutation {
    pb::Mutation {
        github_issue: Some(issue),
        ..Default::default()
    }
}

/// A mutation of this issue that changes nothing yet.
pub(super) fn blank(name: &RepoName, number: i32) -> pb::GithubIssueMutation {
    pb::GithubIssueMutation {
        owner: name.owner().to_owned(),
        repo: name.repo().to_owned(),
        number,
        ..Default::default()
    }
}

/// There is no such issue, or not any more.
pub(super) fn tombstone(name: &RepoName, number: i32) -> pb::Mutation {
    of_issue(pb::GithubIssueMutation {
        not_exist: true,
        ..blank(name, number)
    })
}

/// What makes of the issue that is known the one that was told, or `None` if it is that already.
pub(super) fn issue(
    name: &RepoName,
    known: Option<Issue<'_>>,
    told: &model::Issue,
) -> Option<pb::Mutation> {
    let empty = blank(name, told.number);
    let mut m = empty.clone();
    let first = known.is_none();
    m.updated = new_time(known.and_then(|known| known.updated()), told.updated);
    m.closed_at = new_time(known.and_then(|known| known.closed_at()), told.closed_at);
    m.user = new_user(known.and_then(|known| known.user()), told.user.as_ref());
    m.closed_by = new_user(
        known.and_then(|known| known.closed_by()),
        told.closed_by.as_ref(),
    );
    if let Some(body) = &told.body
        && known.is_none_or(|known| known.body() != body)
    {
        m.body_change = Some(pb::StringChange { val: body.clone() });
    }
    if let Some(title) = &told.title
        && known.is_none_or(|known| known.title() != title)
    {
        m.title.clone_from(title);
    }
    if let Some(milestone) = &told.milestone {
        plan_milestone(&mut m, known, milestone.as_ref());
    }
    if let Some(assignees) = &told.assignees {
        plan_assignees(&mut m, known, assignees);
    }
    if let Some(labels) = &told.labels {
        plan_labels(&mut m, known, labels);
    }
    let flag = |known: bool, told: Option<bool>| {
        let val = told.filter(|&told| told != known)?;
        Some(pb::BoolChange { val })
    };
    m.closed = match told.closed {
        Some(val) if first => Some(pb::BoolChange { val }),
        told => flag(known.is_some_and(|known| known.closed()), told),
    };
    m.locked = flag(known.is_some_and(|known| known.locked()), told.locked);
    m.pull_request = told.pull_request && known.is_none_or(|known| !known.pull_request());
    // One that had been given up is there again by being mentioned.
    if !first && m == empty && known.is_some_and(|known| !known.not_exist()) {
        return None;
    }
    m.pull_request = told.pull_request;
    match known {
        None => m.created = told.created.map(timestamp),
        Some(known) => plan_resync(&mut m, known),
    }
    Some(of_issue(m))
}

fn new_time(known: Option<Time>, told: Option<Time>) -> Option<pb::Timestamp> {
    let told = told.filter(|_| told != known)?;
    Some(timestamp(told))
}

fn new_user(known: Option<KnownUser<'_>>, told: Option<&User>) -> Option<pb::GithubUser> {
    let told = told.filter(|told| differs(known, told))?;
    Some(user(told))
}

/// A login that was not told is none that changed.
fn differs(known: Option<KnownUser<'_>>, told: &User) -> bool {
    known.is_none_or(|known| {
        known.id != told.id || (known.login != told.login && !told.login.is_empty())
    })
}

fn user(user: &User) -> pb::GithubUser {
    pb::GithubUser {
        id: user.id,
        login: user.login.clone(),
    }
}

fn plan_milestone(
    m: &mut pb::GithubIssueMutation,
    known: Option<Issue<'_>>,
    told: Option<&model::Milestone>,
) {
    let known = known.map_or(MilestoneRef::Unknown, |known| known.milestone());
    match (known, told) {
        (MilestoneRef::None, None) => {}
        (_, None) => m.no_milestone = true,
        (MilestoneRef::Milestone(known), Some(told)) if known.id == told.id => {}
        (_, Some(told)) => {
            m.milestone_id = told.id;
            m.milestone_num = told.number.into();
            m.milestone_title.clone_from(&told.title);
        }
    }
}

fn plan_assignees(m: &mut pb::GithubIssueMutation, known: Option<Issue<'_>>, told: &[User]) {
    let known: Vec<_> = known.iter().flat_map(Issue::assignees).collect();
    let mut ids = HashSet::new();
    for assignee in told {
        let before = known.iter().find(|known| known.id == assignee.id);
        if ids.insert(assignee.id) && differs(before.copied(), assignee) {
            m.assignees.push(user(assignee));
        }
    }
    let gone = known
        .iter()
        .map(|known| known.id)
        .filter(|id| !ids.contains(id));
    m.deleted_assignees.extend(gone);
}

fn plan_labels(m: &mut pb::GithubIssueMutation, known: Option<Issue<'_>>, told: &[model::Label]) {
    let mut ids = HashSet::new();
    for label in told {
        if ids.insert(label.id) && known.is_none_or(|known| !known.has_label_id(label.id)) {
            m.add_label.push(pb::GithubLabel {
                id: label.id,
                name: label.name.clone(),
            });
        }
    }
    let known = known.iter().flat_map(Issue::labels);
    m.remove_label
        .extend(known.map(|label| label.id).filter(|id| !ids.contains(id)));
}

/// An update that seems older than what was already fetched comes of a server whose clock went ahead, or happened between the list and
/// that fetch. The times "known until" are then set back, so that whoever reads the log knows that something is missing, and the next
/// fetch asks from a time that was surely covered.
fn plan_resync(m: &mut pb::GithubIssueMutation, known: Issue<'_>) {
    let Some(updated) = &m.updated else { return };
    let updated = Time::new(updated.seconds, updated.nanos.cast_unsigned());
    let back = Some(
        known
            .updated()
            .map_or(updated, |before| before.min(updated)),
    );
    let reset = |as_of: Option<Time>| (as_of > Some(updated)).then(|| status(back));
    m.comment_status = reset(known.comments_synced_as_of());
    m.event_status = reset(known.events_synced_as_of());
    m.review_status = reset(known.reviews_synced_as_of());
}

/// Labels that are new or renamed.
pub(super) fn labels(
    name: &RepoName,
    known: Option<Repo<'_>>,
    told: &[model::Label],
) -> Option<pb::Mutation> {
    let known_name = |id| {
        known
            .and_then(|known| known.label(id))
            .map(|label| label.name)
    };
    let changed = told.iter().filter(|label| {
        let known = known_name(label.id);
        known.is_none() || (known != Some(&label.name) && !label.name.is_empty())
    });
    let labels: Vec<_> = changed
        .map(|label| pb::GithubLabel {
            id: label.id,
            name: label.name.clone(),
        })
        .collect();
    (!labels.is_empty()).then(|| of_repo(name, labels, Vec::new()))
}

/// Milestones that are new or changed.
pub(super) fn milestones(
    name: &RepoName,
    known: Option<Repo<'_>>,
    told: &[model::Milestone],
) -> Option<pb::Mutation> {
    let mut milestones = Vec::new();
    for told in told {
        let before = known.and_then(|known| known.milestone(told.id));
        let was_closed = before.is_some_and(|known| known.closed);
        let mut change = pb::GithubMilestone::default();
        if before.is_none_or(|known| known.title != told.title) {
            change.title.clone_from(&told.title);
        }
        if before.is_none_or(|known| known.number != told.number) {
            change.number = told.number.into();
        }
        let closed = told.closed.filter(|&closed| closed != was_closed);
        change.closed = closed.map(|val| pb::BoolChange { val });
        if before.is_none() || change != pb::GithubMilestone::default() {
            change.id = told.id;
            milestones.push(change);
        }
    }
    (!milestones.is_empty()).then(|| of_repo(name, Vec::new(), milestones))
}

fn of_repo(
    name: &RepoName,
    labels: Vec<pb::GithubLabel>,
    milestones: Vec<pb::GithubMilestone>,
) -> pb::Mutation {
    pb::Mutation {
        github: Some(pb::GithubMutation {
            owner: name.owner().to_owned(),
            repo: name.repo().to_owned(),
            labels,
            milestones,
        }),
        ..Default::default()
    }
}

/// Comments that are new, and of edited ones what changed.
pub(super) fn comments(
    known: Option<Issue<'_>>,
    told: &[model::Comment],
) -> Vec<pb::GithubIssueCommentMutation> {
    let known: std::collections::HashMap<_, _> = known
        .iter()
        .flat_map(Issue::comments)
        .map(|comment| (comment.id(), comment))
        .collect();
    let mut changed = Vec::new();
    for told in told {
        let mut change = pb::GithubIssueCommentMutation::default();
        let before = known.get(&told.id);
        change.user = new_user(before.and_then(Comment::user), told.user.as_ref());
        if before.is_none_or(|known| known.body() != told.body) {
            change.body.clone_from(&told.body);
        }
        change.created = new_time(before.and_then(Comment::created), told.created);
        change.updated = new_time(before.and_then(Comment::updated), told.updated);
        if before.is_none() || change != pb::GithubIssueCommentMutation::default() {
            change.id = told.id;
            changed.push(change);
        }
    }
    changed
}

/// Events that are not known.
pub(super) fn events(
    known: &HashSet<i64>,
    told: Vec<pb::GithubIssueEvent>,
) -> impl Iterator<Item = pb::GithubIssueEvent> {
    told.into_iter().filter(|event| !known.contains(&event.id))
}

/// Reviews that are new, or say something else than before, as one that was dismissed does.
pub(super) fn reviews(
    known: Option<Issue<'_>>,
    told: Vec<pb::GithubReview>,
) -> Vec<pb::GithubReview> {
    let known: std::collections::HashMap<_, _> = known
        .iter()
        .flat_map(Issue::all_reviews)
        .map(|review| (review.id(), review))
        .collect();
    let is_new = |told: &pb::GithubReview| {
        known
            .get(&told.id)
            .is_none_or(|known| as_told(*known) != *told)
    };
    told.into_iter().filter(is_new).collect()
}

fn as_told(known: Review<'_>) -> pb::GithubReview {
    pb::GithubReview {
        id: known.id(),
        actor_id: known.actor().map_or(0, |user| user.id),
        created: known.created().map(timestamp),
        body: known.body().to_owned(),
        state: known.state().to_owned(),
        commit_id: known.commit_id().to_owned(),
        actor_association: known.actor_association().to_owned(),
        other_json: known.other_json().to_vec(),
    }
}

/// One mutation, or several if it would be too large, of which `last` then finishes the last: the times "known until" belong there.
pub(super) fn split<T: prost::Message>(
    parts: Vec<T>,
    blank: &pb::GithubIssueMutation,
    put: impl Fn(&mut pb::GithubIssueMutation, T),
    last: impl FnOnce(&mut pb::GithubIssueMutation),
) -> Vec<pb::Mutation> {
    let mut mutations = Vec::new();
    let mut mutation = blank.clone();
    let mut size = 0;
    for part in parts {
        let len = part.encoded_len();
        if size > 0 && size + len > MAX_MUTATION {
            mutations.push(of_issue(std::mem::replace(&mut mutation, blank.clone())));
            size = 0;
        }
        size += len;
        put(&mut mutation, part);
    }
    last(&mut mutation);
    mutations.push(of_issue(mutation));
    mutations
}
