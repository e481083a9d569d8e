//! The rounds of `tests/data/github/sync`, which Go's maintner made with the same answers.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use maintner::leader::{Source as _, SourceErrorKind, Wake};
use maintner::sync::github::{GithubAuth, GithubClient, GithubSource};
use rest_transport::{Body, Transport, TransportError, body};
use serde_json::Value;

use crate::support::vector;
use crate::sync_github_support::{config, in_full, leader, log};

/// Answers what was written down.
#[derive(Clone, Default)]
struct Canned(Arc<Mutex<Replies>>);

#[derive(Default)]
struct Replies {
    replies: HashMap<String, VecDeque<Value>>,
    headers: HashMap<String, String>,
    requests: Vec<String>,
}

#[async_trait]
impl Transport for Canned {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, TransportError> {
        let mut canned = self.0.lock().unwrap();
        assert_eq!(request.headers()["authorization"], "Bearer TOKEN");
        assert_eq!(request.headers()["x-github-api-version"], "2022-11-28");
        canned.requests.push(request.uri().to_string());
        // What was not asked for upstream is answered by what was.
        let path = request.uri().path_and_query().unwrap().as_str();
        let path = path.replace("&since=2024-01-01T12:00:00Z", "");
        let reply = canned.replies.get_mut(&path).and_then(VecDeque::pop_front);
        let Some(reply) = reply else {
            let response = Response::builder().status(404);
            return Ok(response.body(body(r#"{"message":"Not Found"}"#)).unwrap());
        };
        let mut response = Response::builder()
            .status(reply["status"].as_u64().unwrap() as u16)
            .header("content-type", "application/json");
        for (name, value) in &canned.headers {
            response = response.header(name, value);
        }
        let mut response = response.body(body(reply["body"].to_string())).unwrap();
        for (name, value) in reply["headers"].as_object().unwrap() {
            let name: http::HeaderName = name.parse().unwrap();
            response
                .headers_mut()
                .insert(name, value.as_str().unwrap().parse().unwrap());
        }
        Ok(response)
    }
}

fn json(name: &str) -> Value {
    let text = std::fs::read(vector("github/sync").join(name)).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// The requests that Go's maintner made, but for what is better otherwise.
fn expected_requests(round: &Value) -> Vec<String> {
    let urls = round["requests"].as_array().unwrap().iter();
    let urls = urls.map(|request| request["url"].as_str().unwrap().to_owned());
    // Milestones and labels once a round, in this order; no first page again behind the last.
    let mut seen = HashSet::new();
    let mut urls: Vec<_> = urls.filter(|url| seen.insert(url.clone())).collect();
    if let Some(at) = urls.iter().position(|url| url.contains("/labels?"))
        && urls[at + 1].contains("/milestones?")
    {
        urls.swap(at, at + 1);
    }
    if round["round"] == 1 {
        // Comments since the last that is known; and an issue whose comments are not to be had is asked for itself.
        let of = |url: &String, part: &str| url.contains(part);
        let one = urls
            .iter()
            .position(|url| of(url, "/issues/1/comments?"))
            .unwrap();
        urls[one] = urls[one].replace("&sort=", "&since=2024-01-01T12:00:00Z&sort=");
        let three = urls
            .iter()
            .position(|url| of(url, "/issues/3/comments?"))
            .unwrap();
        urls.insert(
            three + 1,
            "https://api.github.com/repos/golang/go/issues/3".to_owned(),
        );
    }
    urls
}

#[tokio::test]
async fn rounds_send_the_requests_and_write_the_mutations_that_go_does() {
    let (scenario, expected) = (json("scenario.json"), json("expected.json"));
    let canned = Canned::default();
    for (name, value) in scenario["default_headers"].as_object().unwrap() {
        let (name, value) = (name.clone(), value.as_str().unwrap().to_owned());
        canned.0.lock().unwrap().headers.insert(name, value);
    }
    let auth = GithubAuth::token("TOKEN").unwrap();
    let client = GithubClient::new(config(canned.clone()).auth(auth).attempts(1)).unwrap();
    let mut source = GithubSource::new(client, "golang/go".parse().unwrap());
    let (_dir, leader) = leader().await;
    let mut written = 0;
    for (round, expected) in scenario["rounds"]
        .as_array()
        .unwrap()
        .iter()
        .zip(expected.as_array().unwrap())
    {
        for (path, replies) in round["replies"].as_object().unwrap() {
            let replies = replies.as_array().unwrap().iter().cloned().collect();
            canned
                .0
                .lock()
                .unwrap()
                .replies
                .insert(path.clone(), replies);
        }
        let result = source.round(&leader, Wake::Interval).await;
        let requests = std::mem::take(&mut canned.0.lock().unwrap().requests);
        assert_eq!(
            requests,
            expected_requests(expected),
            "round {}",
            expected["round"]
        );
        match (&expected["error"], result) {
            (Value::Null, Ok(round)) => {
                assert_eq!(round.requests, requests.len() as u64);
                assert!(!round.has_more);
            }
            (Value::String(_), Err(error)) => {
                let (kind, said) = match expected["round"].as_u64() {
                    Some(2) => (
                        SourceErrorKind::Transient,
                        "500 Internal Server Error: boom",
                    ),
                    _ => (
                        SourceErrorKind::Permanent,
                        "golang/go has its issues disabled",
                    ),
                };
                assert_eq!(error.kind(), kind);
                assert!(in_full(&error).contains(said), "{}", in_full(&error));
            }
            (expected, result) => panic!("{expected}, but {result:?}"),
        }
        let log = log(&leader);
        let new = log[written..]
            .iter()
            .map(|payload| hex(payload))
            .collect::<Vec<_>>();
        written = log.len();
        let mutations = expected["mutations"].as_array().into_iter().flatten();
        let mutations: Vec<_> = mutations
            .map(|mutation| mutation["wire_hex"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(new, mutations, "round {}", expected["round"]);
    }
    let tolerated = source.report().tolerated();
    // A comment without a text; an event and a review with fields that the log has no place for.
    assert_eq!(
        (tolerated.elements, tolerated.fields, tolerated.unknown),
        (1, 0, 2)
    );
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
