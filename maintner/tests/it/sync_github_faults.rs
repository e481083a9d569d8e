//! What goes wrong on the way to GitHub, and answers that nobody should trust.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use maintner::leader::{Source as _, SourceErrorKind, Wake};
use maintner::sync::fake_github::{FakeGithub, FakeRepo, Fault};
use maintner::sync::github::{AuthError, GithubAuth, GithubClient, GithubSource};
use rest_transport::{Body, Transport, TransportError, body};
use tokio::time::Instant;

use crate::support::vector;
use crate::sync_github_support::{config, in_full, leader, open, rounds, source};

const SECOND: Duration = Duration::from_secs(1);

fn furnish(github: &FakeGithub) -> FakeRepo {
    let repo = github.repo("golang", "go");
    let one = repo.open_issue("gopher", "it is slow", "see above");
    repo.comment(one, "rsc", "how slow?");
    repo.label(one, "Performance");
    repo.open_discussion();
    let three = repo.open_pull("talker", "make it fast", "");
    repo.review(three, "rsc", "APPROVED", "LGTM");
    github.advance(60);
    repo
}

const FAULTS: [Fault; 13] = [
    Fault::Status(500),
    Fault::Status(502),
    Fault::TooMany(Some(3)),
    Fault::TooMany(None),
    Fault::Secondary(Some(7)),
    Fault::Secondary(None),
    Fault::NoQuota(50),
    Fault::Broken,
    Fault::Truncated,
    Fault::Html,
    Fault::WrongType,
    Fault::Stall,
    Fault::Unreachable,
];

#[tokio::test(start_paused = true)]
async fn each_fault_at_each_request_is_got_over_in_the_same_round() {
    for (at, fault) in (0..).zip(FAULTS.iter().cycle().take(4 * FAULTS.len())) {
        let github = FakeGithub::new();
        let repo = furnish(&github);
        let (_dir, leader) = leader().await;
        // Each fault at four of the nine requests.
        github.script((0..at % 9).map(|_| None).chain([Some(*fault)]));
        let round = rounds(&mut source(&github, "golang/go"), &leader, Wake::Start).await;
        let requests = github.requests();
        assert!(round.is_ok(), "{fault:?} at {at}: {round:?}");
        assert_eq!(
            repo.differences(&leader.view(), "golang", "go"),
            [""; 0],
            "{fault:?} at {at}"
        );
        // One more; none if it is the body of a refusal, of which nobody needs the end.
        assert!((9..=10).contains(&requests.len()), "{fault:?} at {at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stays_broken_is_an_error_that_may_pass() {
    for (fault, said) in [
        (Fault::Status(500), "answered with 500"),
        (Fault::Broken, "cannot be read: the answer broke off"),
        (Fault::Truncated, "that is not the JSON it should be"),
        (Fault::Html, "\"text/html\" that is not the JSON"),
        (Fault::Stall, "no whole answer after 60s"),
        (Fault::Unreachable, "failed on the way: no connection"),
    ] {
        let github = FakeGithub::new();
        furnish(&github);
        github.fail_on("/", fault);
        let (_dir, leader) = leader().await;
        let error = source(&github, "golang/go")
            .round(&leader, Wake::Start)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), SourceErrorKind::Transient, "{fault:?}");
        assert!(
            in_full(&error).contains(said),
            "{fault:?}: {}",
            in_full(&error)
        );
        assert_eq!(github.requests().len(), 4);
    }
}

#[tokio::test(start_paused = true)]
async fn one_issue_that_cannot_be_read_holds_no_other_up() {
    let github = FakeGithub::new();
    let repo = furnish(&github);
    github.fail_on("/issues/1/events", Fault::Status(502));
    let (_dir, leader) = leader().await;
    let mut source = source(&github, "golang/go");
    let error = source.round(&leader, Wake::Start).await.unwrap_err();
    assert!(
        in_full(&error).contains("/issues/1/events?"),
        "{}",
        in_full(&error)
    );
    let differences = repo.differences(&leader.view(), "golang", "go");
    assert!(
        differences.len() == 1 && differences[0].starts_with("#1: events"),
        "{differences:?}"
    );
    github.heal();
    rounds(&mut source, &leader, Wake::Start).await.unwrap();
    assert_eq!(repo.differences(&leader.view(), "golang", "go"), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn short_limits_are_waited_for_and_long_ones_told() {
    for (fault, waits) in [
        (Fault::TooMany(Some(30)), 30),
        (Fault::TooMany(None), 60),
        (Fault::Secondary(None), 60),
        (Fault::Secondary(Some(100)), 100),
        (Fault::NoQuota(90), 91),
    ] {
        let github = FakeGithub::new();
        furnish(&github);
        github.fail_next([fault]);
        let (_dir, leader) = leader().await;
        let began = Instant::now();
        source(&github, "golang/go")
            .round(&leader, Wake::Start)
            .await
            .unwrap();
        let took = began.elapsed();
        assert!(
            took >= waits * SECOND && took < (waits + 5) * SECOND,
            "{fault:?}: {took:?}"
        );
    }
    // Refused again and again without a time: each pause is longer, until it is too long for a round.
    let github = FakeGithub::new();
    furnish(&github);
    github.fail_on("/", Fault::Secondary(None));
    let (_dir, leader) = leader().await;
    let began = Instant::now();
    let error = source(&github, "golang/go")
        .round(&leader, Wake::Start)
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.retry_after()),
        (SourceErrorKind::RateLimited, Some(240 * SECOND))
    );
    assert!(began.elapsed() >= 180 * SECOND);
    assert_eq!(github.requests().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn all_sources_of_a_token_wait_for_its_limit() {
    let github = FakeGithub::new();
    furnish(&github);
    github
        .repo("golang", "tools")
        .open_issue("gopher", "small", "");
    let (_dir, leader) = leader().await;
    let client = GithubClient::new(config(github.clone())).unwrap();
    let mut go = GithubSource::new(client.clone(), "golang/go".parse().unwrap());
    let mut tools = GithubSource::new(client.clone(), "golang/tools".parse().unwrap());
    github.fail_next([Fault::NoQuota(1800)]);
    let error = go.round(&leader, Wake::Start).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.retry_after()),
        (SourceErrorKind::RateLimited, Some(1801 * SECOND))
    );
    tokio::time::sleep(600 * SECOND).await;
    let error = tools.round(&leader, Wake::Start).await.unwrap_err();
    let wait = error.retry_after().unwrap();
    assert!(wait <= 1201 * SECOND && wait > 1190 * SECOND, "{wait:?}");
    assert_eq!(github.requests().len(), 1, "the second one was not sent");
    let limits = client.governor().limits();
    assert_eq!((limits.limited, limits.remaining), (1, Some(0)));
    assert!(limits.held > 1190 * SECOND, "{limits:?}");
    tokio::time::sleep(wait).await;
    tools.round(&leader, Wake::Start).await.unwrap();
    go.round(&leader, Wake::Start).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_last_request_of_an_hour_is_not_followed_by_one_that_is_refused() {
    let github = FakeGithub::new();
    furnish(&github);
    github.quota(4);
    let (_dir, leader) = leader().await;
    let error = source(&github, "golang/go")
        .round(&leader, Wake::Start)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), SourceErrorKind::RateLimited);
    // An hour begins at each full one of the server's clock, which is at a minute past.
    assert_eq!(error.retry_after(), Some(3541 * SECOND));
    assert!(
        github
            .requests()
            .iter()
            .all(|request| request.status != 403)
    );
}

#[tokio::test(start_paused = true)]
async fn a_hundred_restarts_in_the_middle_leave_nothing_out() {
    let github = FakeGithub::new();
    let repo = furnish(&github);
    for number in 4..24 {
        repo.open_issue("gopher", &format!("issue {number}"), "");
    }
    let dir = tempfile::tempdir().unwrap();
    let mut restarts = 0;
    for attempt in 0.. {
        if restarts == 100 {
            break;
        }
        // Something happens, and the program ends while it waits for one of the next answers.
        let number = 4 + attempt % 20;
        repo.comment(number, "rsc", &format!("comment {attempt}"));
        repo.label(number, "NeedsFix");
        github.advance(2);
        let leader = open(&dir).await;
        github.script((0..attempt % 13).map(|_| None).chain([Some(Fault::Stall)]));
        let mut source = source(&github, "golang/go").requests_per_round(6);
        let round =
            tokio::time::timeout(30 * SECOND, rounds(&mut source, &leader, Wake::Start)).await;
        restarts += i32::from(round.is_err());
        github.heal();
        leader.close().await;
    }
    let leader = open(&dir).await;
    rounds(&mut source(&github, "golang/go"), &leader, Wake::Start)
        .await
        .unwrap();
    assert_eq!(repo.differences(&leader.view(), "golang", "go"), [""; 0]);
    let count = leader.stats().appended;
    rounds(&mut source(&github, "golang/go"), &leader, Wake::Start)
        .await
        .unwrap();
    assert_eq!(leader.stats().appended, count);
}

fn app() -> GithubAuth {
    let dir = vector("github/app");
    let key = std::fs::read_to_string(dir.join("private-key.pem")).unwrap();
    GithubAuth::app("Iv23abc", 77, &key).unwrap()
}

#[tokio::test]
async fn an_app_gets_a_token_sets_its_clock_and_renews_it() {
    let github = FakeGithub::new();
    let repo = furnish(&github);
    let public = std::fs::read(vector("github/app").join("public-key.der")).unwrap();
    github.require_app("Iv23abc", 77, public);
    let client = GithubClient::new(config(github.clone()).auth(app())).unwrap();
    assert!(!format!("{client:?}").contains("BEGIN"), "{client:?}");
    let mut source = GithubSource::new(client, "golang/go".parse().unwrap());
    let (_dir, leader) = leader().await;
    rounds(&mut source, &leader, Wake::Start).await.unwrap();
    assert_eq!(repo.differences(&leader.view(), "golang", "go"), [""; 0]);
    let tokens = |requests: Vec<maintner::sync::fake_github::FakeRequest>| -> Vec<u16> {
        let asked = requests
            .into_iter()
            .filter(|request| request.path.starts_with("/app/"));
        asked.map(|request| request.status).collect()
    };
    // The fake's clock is years behind, which its first answer tells.
    assert_eq!(tokens(github.requests()), [401, 201]);
    source.round(&leader, Wake::Interval).await.unwrap();
    assert_eq!(tokens(github.requests()), [0; 0], "the token is kept");
    github.revoke_tokens();
    source.round(&leader, Wake::Interval).await.unwrap();
    assert_eq!(tokens(github.requests()), [201]);
}

#[tokio::test]
async fn an_app_with_a_wrong_key_is_told_of() {
    let github = FakeGithub::new();
    furnish(&github);
    github.require_app("Iv23abc", 77, b"another key".to_vec());
    let client = GithubClient::new(config(github.clone()).auth(app())).unwrap();
    let mut source = GithubSource::new(client, "golang/go".parse().unwrap());
    let (_dir, leader) = leader().await;
    let error = source.round(&leader, Wake::Start).await.unwrap_err();
    assert_eq!(error.kind(), SourceErrorKind::Permanent);
    assert!(
        in_full(&error).contains("no token for the App's installation"),
        "{}",
        in_full(&error)
    );
    assert_eq!(github.requests().len(), 2);
    for pem in [
        "",
        "no key",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
    ] {
        let error = GithubAuth::app("1", 2, pem).unwrap_err();
        assert!(matches!(error, AuthError::AppKey { .. }), "{error:?}");
    }
    assert!(GithubAuth::token("").is_err() && GithubAuth::token("a b").is_err());
}

/// Answers each path that contains a text with a body, and with headers.
#[derive(Clone, Default)]
struct Hostile {
    answers: Vec<(&'static str, u16, &'static str, Bytes)>,
    requests: Arc<Mutex<Vec<(String, bool)>>>,
}

impl Hostile {
    fn on(
        mut self,
        part: &'static str,
        status: u16,
        header: &'static str,
        body: impl Into<Bytes>,
    ) -> Self {
        self.answers.push((part, status, header, body.into()));
        self
    }
}

#[async_trait]
impl Transport for Hostile {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, TransportError> {
        let uri = request.uri().to_string();
        let with_token = request.headers().contains_key("authorization");
        let answer = self.answers.iter().find(|(part, ..)| uri.contains(part));
        self.requests.lock().unwrap().push((uri, with_token));
        let Some((_, status, header, bytes)) = answer else {
            return Ok(Response::builder().status(200).body(body("[]")).unwrap());
        };
        let mut response = Response::builder()
            .status(*status)
            .body(body(bytes.clone()))
            .unwrap();
        if let Some((name, value)) = header.split_once(": ") {
            let name: http::HeaderName = name.parse().unwrap();
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        Ok(response)
    }
}

fn hostile(answers: &Hostile) -> GithubSource {
    let auth = GithubAuth::token("secret").unwrap();
    let client = GithubClient::new(config(answers.clone()).auth(auth).max_body(1 << 20)).unwrap();
    GithubSource::new(client, "golang/go".parse().unwrap())
}

#[tokio::test]
async fn credentials_follow_no_redirect_to_another_server() {
    let answers = Hostile::default().on(
        "/issues",
        301,
        "location: https://evil.example/repos/golang/go/issues",
        "",
    );
    let (_dir, leader) = leader().await;
    let error = hostile(&answers)
        .round(&leader, Wake::Start)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), SourceErrorKind::Permanent);
    assert!(
        in_full(&error).contains("leads to https://evil.example/"),
        "{}",
        in_full(&error)
    );
    let requests = answers.requests.lock().unwrap();
    assert!(
        requests
            .iter()
            .all(|(uri, _)| uri.starts_with("https://api.github.com/")),
        "{requests:?}"
    );
}

#[tokio::test]
async fn redirects_and_pages_end() {
    let (_dir, leader) = leader().await;
    let answers = Hostile::default().on("/issues", 301, "location: /repos/golang/go/issues", "");
    let error = hostile(&answers)
        .round(&leader, Wake::Start)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), SourceErrorKind::Permanent);
    assert_eq!(answers.requests.lock().unwrap().len(), 4);
    // The same page again and again, of an issue that is above a hundred that are missing.
    let page = r#"[{"number": 1000, "title": "x"}]"#;
    let answers = Hostile::default().on(
        "/issues?",
        200,
        "link: <https://api.github.com/x?after=1>; rel=\"next\"",
        page,
    );
    let error = hostile(&answers)
        .round(&leader, Wake::Start)
        .await
        .unwrap_err();
    assert!(
        in_full(&error).contains("has more than"),
        "{}",
        in_full(&error)
    );
}

#[tokio::test]
async fn answers_that_are_too_long_are_refused() {
    let (_dir, leader) = leader().await;
    let long = format!("[\"{}\"]", "x".repeat(1 << 20));
    let answers = Hostile::default().on("/issues?", 200, "", long);
    let error = hostile(&answers)
        .round(&leader, Wake::Start)
        .await
        .unwrap_err();
    assert!(
        in_full(&error).contains("longer than 1048576 bytes"),
        "{}",
        in_full(&error)
    );
}

#[tokio::test]
async fn one_user_with_two_logins_is_news_once() {
    let (_dir, leader) = leader().await;
    let issues = r#"[
        {"number": 2, "title": "two", "user": {"id": 7, "login": "first"}, "assignees": [{"id": 7, "login": "second"}, {"id": 8, "login": ""}],
         "updated_at": "2024-01-02T00:00:00Z"},
        {"number": 1, "title": "one", "user": {"id": 7, "login": "third"}, "closed_by": {"id": 8, "login": "eight"},
         "updated_at": "2024-01-01T00:00:00Z"}
    ]"#;
    let answers = Hostile::default().on("/issues?", 200, "", issues);
    let mut source = hostile(&answers);
    source.round(&leader, Wake::Start).await.unwrap();
    for _ in 0..2 {
        let round = source.round(&leader, Wake::Hint).await.unwrap();
        assert_eq!(round.mutations, 0);
    }
    let view = leader.view();
    let known = view.github().repo("golang", "go").unwrap();
    let login = |number| known.issue(number).unwrap().user().unwrap().login;
    assert_eq!((login(1), login(2)), ("first", "first"));
}

#[tokio::test]
async fn what_makes_no_sense_is_left_out_and_counted() {
    let (_dir, leader) = leader().await;
    let issues = r#"[
        7, null, {"number": 0}, {"number": -3, "title": "x"}, {"number": 2147483647}, {"number": 99999999999},
        {"number": 2, "title": "two", "user": 7, "labels": [{"id": -1}, {"name": "x"}, 3, {"id": 5, "name": "good"}],
         "assignees": {"id": 3}, "milestone": {"id": 0, "title": "none"}, "body": null, "state": "half-open",
         "created_at": "tomorrow", "updated_at": "2024-01-01T00:00:00Z", "locked": "yes", "closed_by": null},
        {"number": 2, "title": "two again"},
        {"number": 1, "title": "half a \ud83d character", "updated_at": "2024-01-01T00:00:00Z"}
    ]"#;
    let answers = Hostile::default()
        .on("/issues?", 200, "", issues)
        .on(
            "/issues/1/comments",
            200,
            "",
            r#"[{"id": 1}, {"body": "x"}, {"id": 2, "body": "good", "user": null}, []]"#,
        )
        .on(
            "/issues/1/events",
            200,
            "",
            r#"[{"event": "x"}, {"id": 3, "event": "odd", "what": [1]}, {"id": "4"}]"#,
        )
        .on(
            "/labels",
            200,
            "",
            r#"[{"id": 0, "name": "zero"}, {"id": 6}]"#,
        )
        .on("/milestones", 200, "", "[{}]");
    let mut source = hostile(&answers);
    source.round(&leader, Wake::Start).await.unwrap();
    let view = leader.view();
    let known = view.github().repo("golang", "go").unwrap();
    let titles: Vec<_> = known.issues().map(|issue| issue.title()).collect();
    assert_eq!(titles, ["half a \u{fffd} character", "two"]);
    let labels: Vec<_> = known
        .issue(2)
        .unwrap()
        .labels()
        .map(|label| label.name)
        .collect();
    assert_eq!(labels, ["good"]);
    let one = known.issue(1).unwrap();
    assert_eq!(
        one.comments()
            .map(|comment| comment.body())
            .collect::<Vec<_>>(),
        ["good"]
    );
    assert_eq!(
        one.events()
            .map(|event| event.other_json())
            .collect::<Vec<_>>(),
        [br#"{"what":[1]}"#]
    );
    let tolerated = source.report().tolerated();
    assert!(
        tolerated.elements >= 15 && tolerated.fields >= 5,
        "{tolerated:?}"
    );
    assert_eq!(tolerated.unknown, 1);
    // The same again changes nothing.
    let again = source.round(&leader, Wake::Hint).await.unwrap();
    assert_eq!(again.mutations, 0, "{again:?}");
}
