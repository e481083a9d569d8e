//! Events and reviews, as the log has them.

use crate::mutation::pb;
use crate::sync::github::Tolerated;
use crate::sync::github::json::Fields;
use crate::sync::github::model::user;
use crate::sync::github::plan::timestamp;

/// An event; `None` without an id. What of it the log has no place for goes to `other_json`.
pub(super) fn event(mut fields: Fields, tolerated: &mut Tolerated) -> Option<pb::GithubIssueEvent> {
    let Some(id) = fields.id() else {
        tolerated.elements += 1;
        return None;
    };
    let f = &mut fields;
    let user_id = |f: &mut Fields, key: &str| user(f, key).map_or(0, |user| user.id);
    let (rename_from, rename_to) = part(f, "rename", |rename| {
        (
            rename.text("from").unwrap_or_default(),
            rename.text("to").unwrap_or_default(),
        )
    })
    .unwrap_or_default();
    let mut event = pb::GithubIssueEvent {
        id,
        event_type: f.text("event").unwrap_or_default(),
        actor_id: user_id(f, "actor"),
        created: f.time("created_at").map(timestamp),
        label: part(f, "label", |label| label.text("name"))
            .flatten()
            .map(|name| {
                // The interface tells no ids here.
                pb::GithubLabel { id: 0, name }
            }),
        milestone: part(f, "milestone", |milestone| milestone.text("title"))
            .flatten()
            .map(|title| pb::GithubMilestone {
                title,
                ..Default::default()
            }),
        assignee_id: user_id(f, "assignee"),
        assigner_id: user_id(f, "assigner"),
        commit: commit(f),
        other_json: Vec::new(),
        rename_from,
        rename_to,
        reviewer_id: user_id(f, "requested_reviewer"),
        review_requester_id: user_id(f, "review_requester"),
        dismissed_review: part(f, "dismissed_review", |review| {
            pb::GithubDismissedReviewEvent {
                review_id: review.int("review_id").unwrap_or_default(),
                dismissal_message: review.text("dismissal_message").unwrap_or_default(),
                state: review.text("state").unwrap_or_default(),
            }
        }),
        team_reviewer: part(f, "requested_team", |team| {
            let slug = team.text("slug").unwrap_or_default();
            team.id().map(|id| pb::GithubTeam { id, slug })
        })
        .flatten(),
    };
    for known_and_dropped in ["url", "node_id", "lock_reason"] {
        f.drop(known_and_dropped);
    }
    tolerated.fields += fields.wrong();
    event.other_json = fields.rest();
    tolerated.unknown += u64::from(!event.other_json.is_empty());
    Some(event)
}

/// A review; `None` without an id.
pub(super) fn review(mut fields: Fields, tolerated: &mut Tolerated) -> Option<pb::GithubReview> {
    let Some(id) = fields.id() else {
        tolerated.elements += 1;
        return None;
    };
    let f = &mut fields;
    let mut review = pb::GithubReview {
        id,
        actor_id: user(f, "user").map_or(0, |user| user.id),
        created: f.time("submitted_at").map(timestamp),
        body: f.text("body").unwrap_or_default(),
        state: f.text("state").unwrap_or_default(),
        commit_id: f.text("commit_id").unwrap_or_default(),
        actor_association: f.text("author_association").unwrap_or_default(),
        other_json: Vec::new(),
    };
    for known_and_dropped in ["node_id", "html_url", "pull_request_url", "_links"] {
        f.drop(known_and_dropped);
    }
    tolerated.fields += fields.wrong();
    review.other_json = fields.rest();
    tolerated.unknown += u64::from(!review.other_json.is_empty());
    Some(review)
}

fn part<T>(fields: &mut Fields, key: &str, read: impl FnOnce(&mut Fields) -> T) -> Option<T> {
    let mut part = fields.object(key)?;
    let read = read(&mut part);
    fields.absorb(&part);
    Some(read)
}

/// The commit, and its repository if the address tells it.
fn commit(fields: &mut Fields) -> Option<pb::GithubCommit> {
    let (id, url) = (fields.text("commit_id"), fields.text("commit_url"));
    let commit_id = id.filter(|id| !id.is_empty())?;
    let (owner, repo) = url
        .as_deref()
        .and_then(|url| repository_of(url, &commit_id))
        .unwrap_or_default();
    Some(pb::GithubCommit {
        owner: owner.to_owned(),
        repo: repo.to_owned(),
        commit_id,
    })
}

/// Owner and repository from `https://api.github.com/repos/OWNER/REPO/commits/ID`.
fn repository_of<'a>(url: &'a str, commit_id: &str) -> Option<(&'a str, &'a str)> {
    let path = url.strip_suffix(commit_id)?.strip_suffix("/commits/")?;
    repository(path)
}

/// Owner and repository from `https://api.github.com/repos/OWNER/REPO`.
pub(super) fn repository(url: &str) -> Option<(&str, &str)> {
    let (_, names) = url.split_once("/repos/")?;
    let (owner, repo) = names.split_once('/')?;
    let is_name = |name: &str| !name.is_empty() && !name.contains('/');
    (is_name(owner) && is_name(repo)).then_some((owner, repo))
}
