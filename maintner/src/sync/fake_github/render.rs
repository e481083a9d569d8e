//! What it has, in the form of GitHub's interface, version 2022-11-28.

use serde_json::{Map, Value, json};

use crate::sync::fake_github::world::{Comment, Event, Issue, Repo, Review, World};
use crate::time::Time;

pub(super) fn time(seconds: i64) -> String {
    Time::new(seconds, 0).to_string()
}

pub(super) fn user(world: &World, id: i64) -> Value {
    let login = world.users.get(&id).map_or("", String::as_str);
    let url = format!("https://api.github.com/users/{login}");
    json!({
        "login": login,
        "id": id,
        "node_id": format!("U_{id}"),
        "avatar_url": format!("https://avatars.githubusercontent.com/u/{id}?v=4"),
        "gravatar_id": "",
        "html_url": format!("https://github.com/{login}"),
        "followers_url": format!("{url}/followers"),
        "following_url": format!("{url}/following{{/other_user}}"),
        "gists_url": format!("{url}/gists{{/gist_id}}"),
        "starred_url": format!("{url}/starred{{/owner}}{{/repo}}"),
        "subscriptions_url": format!("{url}/subscriptions"),
        "organizations_url": format!("{url}/orgs"),
        "repos_url": format!("{url}/repos"),
        "events_url": format!("{url}/events{{/privacy}}"),
        "received_events_url": format!("{url}/received_events"),
        "url": url,
        "type": "User",
        "site_admin": false,
    })
}

fn some_user(world: &World, id: Option<i64>) -> Value {
    id.map_or(Value::Null, |id| user(world, id))
}

pub(super) fn label(repo: &Repo, id: i64) -> Value {
    let name = &repo.labels[&id];
    json!({
        "id": id,
        "node_id": format!("LA_{id}"),
        "url": format!("{}/labels/{name}", url(repo)),
        "name": name,
        "color": "ededed",
        "default": false,
        "description": null,
    })
}

pub(super) fn milestone(repo: &Repo, id: i64) -> Value {
    let milestone = &repo.milestones[&id];
    let url = format!("{}/milestones/{}", url(repo), milestone.number);
    json!({
        "url": url,
        "html_url": format!("https://github.com/{}/{}/milestone/{}", repo.owner, repo.name, milestone.number),
        "labels_url": format!("{url}/labels"),
        "id": id,
        "node_id": format!("MI_{id}"),
        "number": milestone.number,
        "title": milestone.title,
        "description": null,
        "creator": null,
        "open_issues": 0,
        "closed_issues": 0,
        "state": if milestone.closed { "closed" } else { "open" },
        "created_at": time(0),
        "updated_at": time(0),
        "due_on": null,
        "closed_at": null,
    })
}

pub(super) fn issue(world: &World, repo: &Repo, number: i32, issue: &Issue) -> Value {
    let repository = url(repo);
    let url = format!("{repository}/issues/{number}");
    let page = format!("https://github.com/{}/{}", repo.owner, repo.name);
    let kind = if issue.is_pull { "pull" } else { "issues" };
    let assignees: Vec<_> = issue.assignees.iter().map(|&id| user(world, id)).collect();
    let mut rendered = json!({
        "url": url,
        "repository_url": repository,
        "labels_url": format!("{url}/labels{{/name}}"),
        "comments_url": format!("{url}/comments"),
        "events_url": format!("{url}/events"),
        "html_url": format!("{page}/{kind}/{number}"),
        "id": issue.id,
        "node_id": format!("I_{}", issue.id),
        "number": number,
        "title": issue.title,
        "user": user(world, issue.user),
        "labels": issue.labels.iter().map(|&id| label(repo, id)).collect::<Vec<_>>(),
        "state": if issue.closed { "closed" } else { "open" },
        "locked": issue.locked,
        "assignee": assignees.first(),
        "assignees": assignees,
        "milestone": issue.milestone.map(|id| milestone(repo, id)),
        "comments": issue.comments.iter().filter(|comment| !comment.deleted).count(),
        "created_at": time(issue.created),
        "updated_at": time(issue.updated),
        "closed_at": issue.closed_at.map(time),
        "author_association": "NONE",
        "active_lock_reason": null,
        "body": issue.body,
        "closed_by": null,
        "performed_via_github_app": null,
        "state_reason": null,
    });
    if issue.is_pull {
        rendered["pull_request"] = json!({
            "url": format!("{repository}/pulls/{number}"),
            "html_url": format!("{page}/pull/{number}"),
            "diff_url": format!("{page}/pull/{number}.diff"),
            "patch_url": format!("{page}/pull/{number}.patch"),
            "merged_at": null,
        });
    }
    rendered
}

pub(super) fn comment(world: &World, repo: &Repo, number: i32, comment: &Comment) -> Value {
    let url = url(repo);
    let id = comment.id;
    json!({
        "url": format!("{url}/issues/comments/{id}"),
        "html_url": format!("https://github.com/{}/{}/issues/{number}#issuecomment-{id}", repo.owner, repo.name),
        "issue_url": format!("{url}/issues/{number}"),
        "id": id,
        "node_id": format!("IC_{id}"),
        "user": some_user(world, comment.user),
        "created_at": time(comment.created),
        "updated_at": time(comment.updated),
        "author_association": "NONE",
        "body": comment.body,
        "performed_via_github_app": null,
    })
}

pub(super) fn event(world: &World, repo: &Repo, event: &Event) -> Value {
    let id = event.id;
    let mut rendered = Map::new();
    rendered.insert("id".into(), id.into());
    rendered.insert("node_id".into(), format!("EV_{id}").into());
    rendered.insert(
        "url".into(),
        format!("{}/issues/events/{id}", url(repo)).into(),
    );
    rendered.insert("actor".into(), some_user(world, event.actor));
    rendered.insert("event".into(), event.kind.clone().into());
    rendered.insert("commit_id".into(), Value::Null);
    rendered.insert("commit_url".into(), Value::Null);
    rendered.insert("created_at".into(), time(event.created).into());
    rendered.insert("performed_via_github_app".into(), Value::Null);
    for (key, value) in event.fields.as_object().into_iter().flatten() {
        let value = match key.as_str() {
            // Users are shown in full.
            "assignee" | "assigner" | "requested_reviewer" | "review_requester" => value["id"]
                .as_i64()
                .map_or(Value::Null, |id| user(world, id)),
            _ => value.clone(),
        };
        rendered.insert(key.clone(), value);
    }
    Value::Object(rendered)
}

pub(super) fn review(world: &World, repo: &Repo, number: i32, review: &Review) -> Value {
    let page = format!(
        "https://github.com/{}/{}/pull/{number}#pullrequestreview-{}",
        repo.owner, repo.name, review.id
    );
    let pull = format!("{}/pulls/{number}", url(repo));
    json!({
        "id": review.id,
        "node_id": format!("PRR_{}", review.id),
        "user": user(world, review.user),
        "body": review.body,
        "state": review.state,
        "html_url": page,
        "pull_request_url": pull,
        "author_association": "MEMBER",
        "_links": {"html": {"href": page}, "pull_request": {"href": pull}},
        "submitted_at": time(review.submitted),
        "commit_id": review.commit,
    })
}

fn url(repo: &Repo) -> String {
    format!("https://api.github.com/repos/{}/{}", repo.owner, repo.name)
}
