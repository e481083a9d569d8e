//! The fake GitHub against GitHub's published description, and the source with what GitHub really sent.

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use maintner::leader::{Source as _, Wake};
use maintner::sync::fake_github::{FakeGithub, Reviewer};
use maintner::sync::github::{GithubClient, GithubSource};
use rest_transport::{Body, Transport, TransportError, body, read_body};
use serde_json::{Value, json};

use crate::support::vector;
use crate::sync_github_support::{config, leader};

fn data(name: &str) -> Value {
    let text = std::fs::read(vector("github").join(name)).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// The part of the schemas of `OpenAPI` that GitHub's description uses. Formats are not looked at.
struct Schemas {
    answers: Value,
    schemas: Value,
}

impl Schemas {
    fn load() -> Self {
        let mut all = data("openapi/schema.json");
        Self {
            answers: all["answers"].take(),
            schemas: all["schemas"].take(),
        }
    }

    /// What is wrong with an answer.
    fn faults(&self, answer: &str, value: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        let schema = &self.answers[answer];
        assert!(schema.is_object(), "there is no answer {answer}");
        self.check(schema, value, answer, &mut faults);
        faults
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.strip_prefix("#/components/schemas/").unwrap();
            let schema = &self.schemas[name];
            assert!(schema.is_object(), "there is no schema {name}");
            return self.check(schema, value, at, faults);
        }
        if value.is_null() && schema["nullable"] == true {
            return;
        }
        for several in ["oneOf", "anyOf"] {
            let Some(choices) = schema[several].as_array() else {
                continue;
            };
            let fits = choices.iter().any(|choice| {
                let mut faults = Vec::new();
                self.check(choice, value, at, &mut faults);
                faults.is_empty()
            });
            if !fits {
                faults.push(format!("{at} is none of what it could be: {value}"));
            }
        }
        let is_right = match schema["type"].as_str() {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("integer") => value.is_i64(),
            Some("number") => value.is_number(),
            Some("boolean") => value.is_boolean(),
            Some(other) => panic!("type {other}"),
            None => true,
        };
        let allowed = schema["enum"].as_array();
        if !is_right || allowed.is_some_and(|allowed| !allowed.contains(value)) {
            faults.push(format!("{at} is not what it should be: {value}"));
            return;
        }
        for key in schema["required"].as_array().into_iter().flatten() {
            if value.get(key.as_str().unwrap()).is_none() {
                faults.push(format!("{at} has no {key}"));
            }
        }
        for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(value) = value.get(key) {
                self.check(schema, value, &format!("{at}.{key}"), faults);
            }
        }
        if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
            for (index, value) in values.iter().enumerate() {
                self.check(items, value, &format!("{at}[{index}]"), faults);
            }
        }
    }
}

async fn ask(github: &FakeGithub, path: &str) -> Value {
    let uri = format!("https://api.github.com/repos/golang/go/{path}");
    let response = github
        .send(Request::get(uri).body(Bytes::new()).unwrap())
        .await
        .unwrap();
    assert_eq!(response.status(), 200, "{path}");
    serde_json::from_slice(&read_body(response, 1 << 20).await.unwrap()).unwrap()
}

#[tokio::test]
async fn the_fake_answers_as_github_describes_itself() {
    let schemas = Schemas::load();
    let github = FakeGithub::new();
    let repo = github.repo("golang", "go");
    let one = repo.open_issue("gopher", "it is slow", "see above");
    let comment = repo.comment(one, "rsc", "how slow?");
    repo.orphan_comment(one, comment);
    repo.comment(one, "gopher", "very");
    repo.label(one, "Performance");
    repo.unlabel(one, "Performance");
    repo.label(one, "help wanted");
    repo.milestone(one, Some("Go1.22"));
    repo.assign(one, "gopher", true);
    repo.retitle(one, "gopher", "it was slow");
    repo.lock(one, "rsc", true);
    repo.close(one, "rsc");
    let two = repo.open_pull("talker", "make it fast", "");
    repo.request_review(two, "gopher", Reviewer::User("rsc"));
    let review = repo.review(two, "rsc", "APPROVED", "LGTM");
    repo.dismiss_review(two, review, "gopher", "stale");
    for (answer, path) in [
        ("issues", "issues?state=all"),
        ("issue", "issues/1"),
        ("issue", "issues/2"),
        ("comments", "issues/1/comments"),
        ("events", "issues/1/events"),
        ("events", "issues/2/events"),
        ("reviews", "pulls/2/reviews"),
        ("labels", "labels"),
        ("milestones", "milestones"),
    ] {
        let value = ask(&github, path).await;
        assert!(
            value.as_array().is_none_or(|list| !list.is_empty()),
            "{path} is empty"
        );
        assert_eq!(schemas.faults(answer, &value), [""; 0], "{path}");
    }
    // And the description is one that can be missed.
    let mut issue = ask(&github, "issues/1").await;
    issue["user"]["login"] = json!(7);
    issue.as_object_mut().unwrap().remove("title");
    assert_eq!(schemas.faults("issue", &issue).len(), 2);
    assert_eq!(schemas.faults("comments", &json!({})).len(), 1);
}

/// Answers paths with pages.
#[derive(Default)]
struct Recorded(HashMap<String, (String, Value)>);

#[async_trait]
impl Transport for Recorded {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, TransportError> {
        let path = request.uri().path_and_query().unwrap().as_str();
        let mut response = Response::builder().header("date", "Tue, 10 Oct 2017 16:00:00 GMT");
        let Some((link, value)) = self.0.get(path) else {
            return Ok(response.body(body("[]")).unwrap());
        };
        if !link.is_empty() {
            response = response.header("link", link);
        }
        Ok(response.body(body(value.to_string())).unwrap())
    }
}

fn list(page: usize) -> String {
    let page = if page > 1 {
        format!("&page={page}")
    } else {
        String::new()
    };
    format!("/repos/golang/go/issues?direction=desc{page}&per_page=100&sort=updated&state=all")
}

#[tokio::test]
async fn a_recorded_list_of_many_pages_is_taken_in_full() {
    let mut recorded = Recorded::default();
    let pages = data("recorded/issues.json");
    let pages = pages.as_array().unwrap();
    for (number, page) in (1..).zip(pages) {
        let link = page["link"].as_str().unwrap().to_owned();
        recorded
            .0
            .insert(list(number), (link, page["body"].clone()));
    }
    recorded.0.insert(
        "/repos/golang/go/labels?page=1".into(),
        (String::new(), data("recorded/labels.json")),
    );
    let client = GithubClient::new(config(recorded)).unwrap();
    let mut source = GithubSource::new(client, "golang/go".parse().unwrap());
    let (_dir, leader) = leader().await;
    source.round(&leader, Wake::Start).await.unwrap();
    let view = leader.view();
    let known = view.github().repo("golang", "go").unwrap();
    let told = pages
        .iter()
        .flat_map(|page| page["body"].as_array().unwrap());
    let mut count = 0;
    for told in told {
        let number = i32::try_from(told["number"].as_i64().unwrap()).unwrap();
        let issue = known.issue(number).unwrap();
        assert_eq!(issue.title(), told["title"].as_str().unwrap());
        assert_eq!(
            issue.user().unwrap().login,
            told["user"]["login"].as_str().unwrap()
        );
        assert_eq!(
            issue.updated().unwrap().to_string(),
            told["updated_at"].as_str().unwrap()
        );
        count += 1;
    }
    assert_eq!((known.issue_count(), count), (13, 13));
    assert!(known.labels().count() >= 7);
    let tolerated = source.report().tolerated();
    assert_eq!((tolerated.elements, tolerated.fields), (0, 0));
}

#[tokio::test]
async fn what_webhooks_carried_is_understood() {
    let objects = data("recorded/objects.json");
    let mut recorded = Recorded::default();
    let mut issues = objects["issue"].as_array().unwrap().clone();
    let count = i32::try_from(issues.len()).unwrap();
    for (number, issue) in (1..).zip(&mut issues) {
        // Webhooks of one issue at different times.
        issue["number"] = json!(number);
    }
    issues[0]["pull_request"] = json!({"url": "x"});
    recorded
        .0
        .insert(list(1), (String::new(), Value::Array(issues.clone())));
    let mut put = |path: &str, value: &Value| {
        recorded.0.insert(
            format!("/repos/golang/go/{path}"),
            (String::new(), value.clone()),
        );
    };
    put("labels?page=1", &objects["label"]);
    put("milestones?page=1&state=all", &objects["milestone"]);
    put(
        "issues/1/comments?direction=asc&per_page=100&sort=updated",
        &objects["comment"],
    );
    put("pulls/1/reviews?per_page=100&page=1", &objects["review"]);
    let client = GithubClient::new(config(recorded)).unwrap();
    let mut source = GithubSource::new(client, "golang/go".parse().unwrap());
    let (_dir, leader) = leader().await;
    source.round(&leader, Wake::Start).await.unwrap();
    let view = leader.view();
    let known = view.github().repo("golang", "go").unwrap();
    assert_eq!(
        known.issues().filter(|issue| !issue.not_exist()).count(),
        count.cast_unsigned() as usize
    );
    let first = known.issue(1).unwrap();
    let ids = |name: &str| {
        let ids = objects[name]
            .as_array()
            .unwrap()
            .iter()
            .map(|object| object["id"].as_i64().unwrap());
        let mut ids: Vec<_> = ids.collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    };
    assert_eq!(
        first
            .comments()
            .map(|comment| comment.id())
            .collect::<Vec<_>>(),
        ids("comment")
    );
    assert_eq!(
        first
            .reviews()
            .map(|review| review.id())
            .collect::<Vec<_>>(),
        ids("review")
    );
    for (issue, told) in known.issues().zip(&issues) {
        let labels = told["labels"].as_array().unwrap().iter();
        let mut labels: Vec<_> = labels
            .map(|label| label["name"].as_str().unwrap())
            .collect();
        labels.sort_unstable();
        let mut known: Vec<_> = issue.labels().map(|label| label.name).collect();
        known.sort_unstable();
        assert_eq!(known, labels);
    }
    let tolerated = source.report().tolerated();
    assert_eq!((tolerated.elements, tolerated.fields), (0, 0));
}
