//! All facts of a corpus as JSON, in the form of the vectors' `corpus.json`.

use maintner::{
    Cl, Commit, Event, GitTime, Issue, Meta, MilestoneRef, Person, Project, Repo, Review, Time,
    User, View,
};
use serde_json::{Map, Value, json};

pub(crate) fn facts(view: &View) -> Value {
    let mut commits: Vec<_> = view.commits().collect();
    commits.sort_by_key(Commit::hash);
    json!({
        "check": view.check().is_err(),
        "gerrit": { "projects": view.gerrit().projects().map(project).collect::<Vec<_>>() },
        "git": {
            "commits": commits.into_iter().map(commit).collect::<Vec<_>>(),
            "git_of_hg": view
                .hg_changesets()
                .map(|(hg, commit)| (text(hg), json!(commit.hash().to_string())))
                .collect::<Map<_, _>>(),
            "todo": [],
        },
        "github": {
            "repos": view.github().repos().map(repo).collect::<Vec<_>>(),
            "users": view.github().users().map(|user| json!({ "id": user.id, "login": user.login })).collect::<Vec<_>>(),
            "teams": view.github().teams().map(|team| json!({ "id": team.id, "slug": team.slug })).collect::<Vec<_>>(),
        },
    })
}

fn text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).unwrap().to_owned()
}

fn time(time: Option<Time>) -> Value {
    time.map_or(Value::Null, |time| json!(time.to_string()))
}

fn put(object: &mut Value, key: &str, value: impl Into<Value>) {
    object
        .as_object_mut()
        .unwrap()
        .insert(key.to_owned(), value.into());
}

/// Under another key, in hexadecimal, if it is not UTF-8.
fn put_bytes(object: &mut Value, key: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => put(object, key, text),
        Err(_) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            put(object, &format!("{key}_hex"), hex);
        }
    }
}

fn commit(commit: Commit<'_>) -> Value {
    let hash = commit.hash().to_string();
    if commit.is_placeholder() {
        return json!({ "hash": hash, "placeholder": true });
    }
    let mut facts = json!({
        "hash": hash,
        "tree": commit.tree().to_string(),
        "parents": commit.parents().map(|parent| parent.hash().to_string()).collect::<Vec<_>>(),
        "author": person(commit.author()),
        "committer": person(commit.committer()),
        "author_time": git_time(&commit.author_time()),
        "commit_time": git_time(&commit.commit_time()),
        "files": commit
            .files()
            .map(|file| json!({ "file": file.name, "added": file.added, "deleted": file.deleted, "binary": file.is_binary }))
            .collect::<Vec<_>>(),
    });
    put_bytes(&mut facts, "msg", commit.message());
    put_bytes(&mut facts, "summary", commit.summary());
    if let Some(reviewer) = commit.reviewer() {
        put(&mut facts, "reviewer", reviewer.as_str());
    }
    facts
}

fn person(person: Person<'_>) -> Value {
    json!({ "str": person.as_str(), "name": person.name(), "email": person.email() })
}

fn git_time(time: &GitTime) -> Value {
    json!({ "unix": time.time.unix_seconds(), "offset": time.offset, "zone": time.zone })
}

fn project(project: Project<'_>) -> Value {
    let hashes = |hashes: &mut dyn Iterator<Item = maintner::GitHash>| {
        let mut hashes: Vec<_> = hashes.map(|hash| hash.to_string()).collect();
        hashes.sort();
        hashes
    };
    let mut change_refs = Map::new();
    for cl in project.all_cls() {
        for (version, commit) in cl.patch_sets() {
            change_refs.insert(
                format!("{}/{version}", cl.number()),
                json!(commit.hash().to_string()),
            );
        }
        if let Some(meta) = cl.meta_head() {
            change_refs.insert(format!("{}/0", cl.number()), json!(meta.hash().to_string()));
        }
    }
    json!({
        "name": project.server_slash_project(),
        "server": project.server(),
        "project": project.project(),
        "refs": project.references().map(|(name, hash)| (name.to_owned(), json!(hash.to_string()))).collect::<Map<_, _>>(),
        "change_refs": change_refs,
        "commits": hashes(&mut project.commits().map(|commit| commit.hash())),
        "missing_commits": hashes(&mut project.missing_commits()),
        "num_label_changes": project.label_changes(),
        "open_cls": project.open_cls().map(|cl| cl.number()).collect::<Vec<_>>(),
        "cls": project.all_cls().map(cl).collect::<Vec<_>>(),
    })
}

fn cl(cl: Cl<'_>) -> Value {
    // What is not complete is not found.
    assert_eq!(cl.project().cl(cl.number()).is_some(), cl.is_complete());
    let mut facts = json!({
        "number": cl.number(),
        "complete": cl.is_complete(),
        "created": time(cl.created()),
        "version": cl.version(),
        "status": cl.status().map_or("", |status| status.as_str()),
        "private": cl.is_private(),
        "wip": cl.work_in_progress(),
        "branch": cl.branch(),
        "owner": cl.owner().map_or(Value::Null, person),
        "owner_id": cl.owner_id().unwrap_or(-1),
        "github_issue_refs": cl.issue_refs().map(|issue| issue.to_string()).collect::<Vec<_>>(),
        "commit_at_version": cl
            .patch_sets()
            .map(|(version, commit)| (version.to_string(), json!(commit.hash().to_string())))
            .collect::<Map<_, _>>(),
        "messages": cl
            .messages()
            .map(|message| json!({
                "meta": message.meta().commit().hash().to_string(),
                "version": message.version(),
                "message": text(message.text()),
                "date": time(Some(message.date())),
                "author": message.author().as_str(),
            }))
            .collect::<Vec<_>>(),
        "metas": cl.metas().map(meta).collect::<Vec<_>>(),
    });
    if let Some(commit) = cl.commit() {
        put(&mut facts, "commit", commit.hash().to_string());
        put(&mut facts, "subject", cl.subject());
        put(&mut facts, "change_id", cl.change_id().unwrap_or_default());
    }
    if let Some(meta) = cl.meta_head() {
        put(&mut facts, "meta", meta.hash().to_string());
    }
    facts
}

fn meta(meta: Meta<'_>) -> Value {
    let mut facts = json!({
        "hash": meta.commit().hash().to_string(),
        "footer": text(meta.footer()),
        "action_tag": text(meta.action_tag()),
        "hashtags": meta.hashtags().as_str(),
        "hashtags_len": meta.hashtags().len(),
        "label_votes": meta.label_votes(),
    });
    if let Some(edits) = meta.hashtag_edits() {
        put(&mut facts, "hashtags_added", edits.added.as_str());
        put(&mut facts, "hashtags_removed", edits.removed.as_str());
    }
    facts
}

fn repo(repo: Repo<'_>) -> Value {
    json!({
        "id": format!("{}/{}", repo.owner(), repo.name()),
        "issues": repo.issues().map(issue).collect::<Vec<_>>(),
        "labels": repo.labels().map(|label| json!({ "id": label.id, "name": label.name })).collect::<Vec<_>>(),
        "milestones": repo
            .milestones()
            .map(|m| json!({ "id": m.id, "title": m.title, "number": m.number, "closed": m.closed }))
            .collect::<Vec<_>>(),
        "missing_issues": repo.missing_issues().collect::<Vec<_>>(),
    })
}

fn user(user: Option<User<'_>>) -> Value {
    user.map_or(Value::Null, |user| json!(user.id))
}

fn issue(issue: Issue<'_>) -> Value {
    json!({
        "number": issue.number(),
        "id": issue.id(),
        "not_exist": issue.not_exist(),
        "closed": issue.closed(),
        "locked": issue.locked(),
        "pull_request": issue.pull_request(),
        "user": user(issue.user()),
        "closed_by": user(issue.closed_by()),
        "assignees": issue.assignees().map(|user| user.id).collect::<Vec<_>>(),
        "created": time(issue.created()),
        "updated": time(issue.updated()),
        "closed_at": time(issue.closed_at()),
        "title": issue.title(),
        "body": issue.body(),
        "milestone": match issue.milestone() {
            MilestoneRef::Unknown => Value::Null,
            MilestoneRef::None => json!("none"),
            MilestoneRef::Milestone(milestone) => json!(milestone.id),
        },
        "labels": issue.labels().map(|label| label.id).collect::<Vec<_>>(),
        "comments": issue
            .comments()
            .map(|comment| json!({
                "id": comment.id(),
                "user": user(comment.user()),
                "created": time(comment.created()),
                "updated": time(comment.updated()),
                "body": comment.body(),
            }))
            .collect::<Vec<_>>(),
        "events": issue.events().map(event).collect::<Vec<_>>(),
        "reviews": by_id(issue.all_reviews().collect()),
        "last_modified": time(issue.last_modified()),
        "comments_synced": issue.comments_synced(),
        "events_synced": issue.events_synced(),
        "reviews_synced": issue.reviews_synced(),
        "comments_synced_as_of": time(issue.comments_synced_as_of()),
        "events_synced_as_of": time(issue.events_synced_as_of()),
        "reviews_synced_as_of": time(issue.reviews_synced_as_of()),
    })
}

/// The vectors have reviews by their ids, and the queries by time.
fn by_id(mut reviews: Vec<Review<'_>>) -> Vec<Value> {
    assert!(reviews.is_sorted_by_key(|review| (review.created(), review.id())));
    reviews.sort_by_key(Review::id);
    reviews.into_iter().map(review).collect()
}

/// Only what an event has.
fn event(event: Event<'_>) -> Value {
    let mut facts = json!({
        "id": event.id(),
        "type": event.event_type(),
        "created": time(event.created()),
        "actor": user(event.actor()),
    });
    for (key, text) in [
        ("label", event.label()),
        ("milestone", event.milestone()),
        ("from", event.from()),
        ("to", event.to()),
        ("commit_id", event.commit_id()),
        ("commit_url", &event.commit_url().unwrap_or_default()),
        ("other_json", &text(event.other_json())),
    ] {
        if !text.is_empty() {
            put(&mut facts, key, text);
        }
    }
    for (key, user) in [
        ("assignee", event.assignee()),
        ("assigner", event.assigner()),
        ("reviewer", event.reviewer()),
        ("review_requester", event.review_requester()),
    ] {
        if let Some(user) = user {
            put(&mut facts, key, user.id);
        }
    }
    if let Some(team) = event.team_reviewer() {
        put(
            &mut facts,
            "team_reviewer",
            json!({ "id": team.id, "slug": team.slug }),
        );
    }
    if let Some(review) = event.dismissed_review() {
        let review = json!({
            "review_id": review.review_id,
            "dismissal_message": review.dismissal_message,
            "state": review.state,
        });
        put(&mut facts, "dismissed_review", review);
    }
    facts
}

fn review(review: Review<'_>) -> Value {
    json!({
        "id": review.id(),
        "actor": user(review.actor()),
        "created": time(review.created()),
        "body": review.body(),
        "state": review.state(),
        "commit_id": review.commit_id(),
        "actor_association": review.actor_association(),
        "other_json": text(review.other_json()),
    })
}
