//! Questions and answers that Go's maintnerd was asked and gave, as JSON and as bytes.

use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use gerrit::{Auth, Body, Config, Transport, TransportError};
use http::{Request, Response};
use maintner::Corpus;
use maintner_api::pb::maintner_service_server::MaintnerService;
use maintner_api::pb::{
    DashboardRequest, DashboardResponse, GetRefRequest, GoFindTryWorkRequest, HasAncestorRequest,
    ListGoReleasesRequest,
};
use maintner_api::{Refusal, Service};
use prost::Message;
use serde_json::Value;
use tonic::{Code, Status};

fn data(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/data", name]
        .iter()
        .collect()
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(data(name)).unwrap()).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

/// The Gerrit server that was asked for try work.
struct Reviews;

#[async_trait]
impl Transport for Reviews {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, TransportError> {
        let path = request.uri().path();
        let answer = match path.strip_prefix("/changes/") {
            Some("") => {
                let query = request.uri().query().unwrap();
                assert!(
                    query.contains("q=label:Run-TryBot%3D1")
                        || query.contains("q=label%3ARun-TryBot%3D1"),
                    "{query}"
                );
                json("gerrit-query.json")
            }
            Some(comments) => {
                let change = comments.strip_suffix("/comments").unwrap();
                json("gerrit-comments.json")[change].clone()
            }
            None => panic!("{path} was asked for"),
        };
        let answer = match answer {
            Value::Null => Value::Object(serde_json::Map::new()),
            answer => answer,
        };
        Ok(Response::new(rest_transport::body(format!(
            ")]}}'\n{answer}\n"
        ))))
    }
}

fn service() -> (Corpus, Service) {
    let corpus = Corpus::open(data("corpus")).unwrap();
    let reviews = Config::default().auth(Auth::anonymous()).transport(Reviews);
    let reviews = gerrit::Client::new("https://go-review.googlesource.com", reviews).unwrap();
    let service = Service::new(corpus.reader()).review_server(reviews);
    (corpus, service)
}

async fn ask(service: &Service, method: &str, request: &[u8]) -> Result<Vec<u8>, Status> {
    macro_rules! ask {
        ($call:ident, $request:ty) => {{
            let request = tonic::Request::new(<$request>::decode(request).unwrap());
            service
                .$call(request)
                .await
                .map(|answer| answer.into_inner().encode_to_vec())
        }};
    }
    match method {
        "HasAncestor" => ask!(has_ancestor, HasAncestorRequest),
        "GetRef" => ask!(get_ref, GetRefRequest),
        "ListGoReleases" => ask!(list_go_releases, ListGoReleasesRequest),
        "GetDashboard" => ask!(get_dashboard, DashboardRequest),
        "GoFindTryWork" => ask!(go_find_try_work, GoFindTryWorkRequest),
        other => panic!("no method {other}"),
    }
}

/// Commits of one time may come in any order.
fn sorted(dashboard: &[u8]) -> DashboardResponse {
    let mut dashboard = DashboardResponse::decode(dashboard).unwrap();
    let key =
        |c: &maintner_api::pb::DashCommit| (-c.commit_time_sec, c.commit.clone(), c.branch.clone());
    dashboard.commits.sort_by_key(key);
    dashboard
}

#[tokio::test]
async fn every_answer_is_as_recorded() {
    let (_corpus, service) = service();
    let recorded = json("expected.json");
    for call in recorded.as_array().unwrap() {
        let method = call["method"].as_str().unwrap();
        let asked = &call["request"]["json"];
        let request = bytes(call["request"]["wire_hex"].as_str().unwrap());
        let answer = ask(&service, method, &request).await;
        if let Some(error) = call.get("error") {
            let status = answer.unwrap_err();
            let wanted = Code::from_i32(error["code"].as_i64().unwrap() as i32);
            assert_eq!(status.code(), wanted, "{method} {asked}");
            assert_eq!(status.message(), error["message"].as_str().unwrap());
            continue;
        }
        let answer = answer.unwrap_or_else(|status| panic!("{method} {asked}: {status}"));
        let wanted = bytes(call["response"]["wire_hex"].as_str().unwrap());
        if method == "GetDashboard" {
            assert_eq!(sorted(&answer), sorted(&wanted), "{method} {asked}");
        } else {
            assert_eq!(answer, wanted, "{method} {asked}");
        }
    }
}

#[tokio::test]
async fn an_empty_corpus_refuses_and_does_not_fail() {
    let corpus = Corpus::new();
    let service = Service::new(corpus.reader());
    for (method, code) in [
        ("GetDashboard", Code::Unknown),
        ("ListGoReleases", Code::Unknown),
        ("GetRef", Code::Unknown),
        ("HasAncestor", Code::Unknown),
        ("GoFindTryWork", Code::FailedPrecondition),
    ] {
        let status = ask(&service, method, b"").await.unwrap_err();
        assert_eq!(status.code(), code, "{method}: {status}");
    }
    let request = DashboardRequest::default();
    let refusal = maintner_api::get_dashboard(&corpus.view(), "go.googlesource.com", &request);
    let text = "go gerrit project not found".to_owned();
    assert_eq!(refusal, Err(Refusal::Failed(text)));
}

#[tokio::test]
async fn a_page_of_all_branches_is_the_newest_commits_of_all() {
    let corpus = Corpus::open(data("corpus")).unwrap();
    let page = |max_commits| {
        let branch = "mixed".to_owned();
        let request = DashboardRequest {
            branch,
            max_commits,
            ..Default::default()
        };
        maintner_api::get_dashboard(&corpus.view(), "go.googlesource.com", &request).unwrap()
    };
    let all = page(0);
    assert!(!all.commits_truncated);
    for size in 6..=40 {
        let some = page(size);
        let times = |dashboard: &DashboardResponse| -> Vec<_> {
            dashboard
                .commits
                .iter()
                .map(|commit| commit.commit_time_sec)
                .collect()
        };
        assert_eq!(times(&some), times(&all)[..size as usize], "{size}");
        assert_eq!(some.commits_truncated, size < 40);
    }
}
