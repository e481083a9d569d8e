//! From a request to what is answered.

use std::fmt::Display;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, Method, Request, StatusCode};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};

use crate::sync::fake_github::fault::Fault;
use crate::sync::fake_github::render;
use crate::sync::fake_github::world::{FakeRequest, Gone, Issue, Repo, World};

/// What comes back.
pub(super) enum Reply {
    Answer(Answer),
    /// The beginning of it, then the connection breaks.
    Broken(Answer),
    /// Nothing, and the connection stays.
    Nothing,
    /// There is no connection.
    Unreachable,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    fn new(status: StatusCode, body: &Value) -> Self {
        Self {
            status: status.as_u16(),
            headers: vec![("content-type", "application/json; charset=utf-8".to_owned())],
            body: body.to_string().into_bytes(),
        }
    }

    fn refusal(status: StatusCode, message: &str) -> Self {
        let documentation = "https://docs.github.com/rest";
        Self::new(
            status,
            &json!({"message": message, "documentation_url": documentation, "status": status.as_str()}),
        )
    }

    fn set(&mut self, name: &'static str, value: impl Display) {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_string()));
    }
}

/// Answers a request to a server at this address, which has no path.
pub(super) fn answer<B>(world: &mut World, base: &str, request: &Request<B>) -> Reply {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    let conditional = request.headers().contains_key("if-none-match");
    let ordered = world
        .failing
        .iter()
        .find(|(part, _)| path.contains(part))
        .map(|(_, fault)| *fault);
    let fault = match world.faults.pop_front() {
        Some(Some(fault)) => Some(fault),
        _ => ordered,
    };
    let reply = with_fault(world, base, request, fault);
    let status = match &reply {
        Reply::Answer(answer) | Reply::Broken(answer) => answer.status,
        Reply::Nothing | Reply::Unreachable => 0,
    };
    world.log(FakeRequest {
        path,
        status,
        conditional,
    });
    reply
}

fn with_fault<B>(
    world: &mut World,
    base: &str,
    request: &Request<B>,
    fault: Option<Fault>,
) -> Reply {
    let too_many = StatusCode::TOO_MANY_REQUESTS;
    let retry_after = |mut answer: Answer, seconds: Option<u64>| {
        if let Some(seconds) = seconds {
            answer.set("retry-after", seconds);
        }
        answer
    };
    let mut answer = match fault {
        Some(Fault::Stall) => return Reply::Nothing,
        Some(Fault::Unreachable) => return Reply::Unreachable,
        Some(Fault::Status(status)) => Answer {
            status,
            headers: vec![("content-type", "text/html".to_owned())],
            body: b"<html>Unicorn!</html>".to_vec(),
        },
        Some(Fault::Html) => Answer {
            status: 200,
            headers: vec![("content-type", "text/html".to_owned())],
            body: b"<html>We'll be back soon</html>".to_vec(),
        },
        Some(Fault::TooMany(seconds)) => {
            retry_after(Answer::refusal(too_many, "Too many requests"), seconds)
        }
        Some(Fault::Secondary(seconds)) => {
            let message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
            retry_after(Answer::refusal(StatusCode::FORBIDDEN, message), seconds)
        }
        Some(Fault::NoQuota(seconds)) => {
            let mut answer = Answer::refusal(StatusCode::FORBIDDEN, "API rate limit exceeded");
            answer.set("x-ratelimit-limit", world.quota);
            answer.set("x-ratelimit-remaining", 0);
            answer.set(
                "x-ratelimit-reset",
                world.now + world.skew + seconds.cast_signed(),
            );
            answer
        }
        _ => limited(world, base, request),
    };
    let skew = match fault {
        Some(Fault::Skew(seconds)) => seconds,
        _ => world.skew,
    };
    let date = u64::try_from(world.now + skew).unwrap_or_default();
    answer.set(
        "date",
        httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(date)),
    );
    match fault {
        Some(Fault::Broken) => return Reply::Broken(answer),
        Some(Fault::Truncated) => answer.body.truncate(answer.body.len() / 2),
        Some(Fault::WrongType) => {
            answer.set("content-type", "text/html");
            answer.body.insert(0, b'<');
        }
        Some(Fault::NoDate) => answer.headers.retain(|(name, _)| *name != "date"),
        _ => {}
    }
    Reply::Answer(answer)
}

/// The answer, unless the quota is used up or the credentials are none.
fn limited<B>(world: &mut World, base: &str, request: &Request<B>) -> Answer {
    let path = request.uri().path();
    if let Some(answer) = exchange(world, request.method(), path, request.headers()) {
        return answer;
    }
    if !may_enter(world, request.headers()) {
        return Answer::refusal(StatusCode::UNAUTHORIZED, "Bad credentials");
    }
    let hour = world.now / 3600;
    if hour != world.hour {
        world.hour = hour;
        world.used = 0;
    }
    let mut answer = if world.used >= world.quota {
        Answer::refusal(
            StatusCode::FORBIDDEN,
            "API rate limit exceeded for user ID 1.",
        )
    } else {
        let query = request.uri().query().unwrap_or_default();
        let mut answer = match request.method() {
            &Method::GET => route(world, base, path, query),
            _ => Answer::refusal(StatusCode::NOT_FOUND, "Not Found"),
        };
        if answer.status == 200 {
            tag(&mut answer, request.headers());
        }
        world.used += u64::from(answer.status != 304);
        answer
    };
    answer.set("x-ratelimit-limit", world.quota);
    answer.set("x-ratelimit-remaining", world.quota - world.used);
    answer.set("x-ratelimit-used", world.used);
    answer.set("x-ratelimit-reset", (hour + 1) * 3600 + world.skew);
    answer.set("x-ratelimit-resource", "core");
    answer
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers
        .get("authorization")?
        .to_str()
        .ok()?
        .strip_prefix("Bearer ")
}

fn may_enter(world: &World, headers: &HeaderMap) -> bool {
    let token = bearer(headers);
    let of_app = world.app.as_ref().map(|app| {
        let mut tokens = app.tokens.iter();
        tokens.any(|(known, ends)| Some(known.as_str()) == token && world.now < *ends)
    });
    match (&world.token, of_app) {
        (None, None) => true,
        (required, of_app) => {
            of_app == Some(true) || (required.is_some() && required.as_deref() == token)
        }
    }
}

/// A token for the installation of an App.
fn exchange(world: &mut World, method: &Method, path: &str, headers: &HeaderMap) -> Option<Answer> {
    let now = world.now + world.skew;
    let id = world.new_id();
    let app = world.app.as_mut()?;
    let its = format!("/app/installations/{}/access_tokens", app.installation);
    if method != Method::POST || path != its {
        return None;
    }
    let claims = bearer(headers).and_then(|statement| verified(statement, &app.public_key));
    let is_valid = claims.is_some_and(|claims| {
        let (from, until) = (claims["iat"].as_i64(), claims["exp"].as_i64());
        claims["iss"] == app.id.as_str()
            && from.is_some_and(|from| from <= now)
            && until.is_some_and(|until| now < until && until <= now + 600)
    });
    if !is_valid {
        let message = "A JSON web token could not be decoded";
        return Some(Answer::refusal(StatusCode::UNAUTHORIZED, message));
    }
    let token = format!("ghs_{id}");
    let ends = world.now + 3600;
    app.tokens.push((token.clone(), ends));
    let body = json!({"token": token, "expires_at": render::time(now + 3600), "permissions": {}});
    Some(Answer::new(StatusCode::CREATED, &body))
}

/// The claims of a JSON Web Token, if its signature is right.
fn verified(token: &str, public_key: &[u8]) -> Option<Value> {
    let (signed, signature) = token.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public_key);
    key.verify(signed.as_bytes(), &signature).ok()?;
    let (head, claims) = signed.split_once('.')?;
    let head: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).ok()?).ok()?;
    let claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    (head["alg"] == "RS256").then_some(claims)
}

fn tag(answer: &mut Answer, headers: &HeaderMap) {
    let mut hash = crc32fast::Hasher::new();
    hash.update(&answer.body);
    for (_, value) in answer.headers.iter().filter(|(name, _)| *name == "link") {
        hash.update(value.as_bytes());
    }
    let etag = format!("W/\"{:08x}{:x}\"", hash.finalize(), answer.body.len());
    if headers
        .get("if-none-match")
        .is_some_and(|known| known == etag.as_str())
    {
        answer.status = 304;
        answer.body.clear();
    }
    answer.set("etag", etag);
}

fn route(world: &World, base: &str, path: &str, query: &str) -> Answer {
    let not_found = || Answer::refusal(StatusCode::NOT_FOUND, "Not Found");
    let parts: Vec<_> = path.trim_matches('/').split('/').collect();
    let (id, rest) = match parts.as_slice() {
        ["repos", owner, name, rest @ ..] => {
            let named = |(o, n): &(String, String)| {
                o.eq_ignore_ascii_case(owner) && n.eq_ignore_ascii_case(name)
            };
            let Some((_, id)) = world.names.iter().find(|(names, _)| named(names)) else {
                return not_found();
            };
            let repo = &world.repos[id];
            if !repo.owner.eq_ignore_ascii_case(owner) || !repo.name.eq_ignore_ascii_case(name) {
                return moved(base, *id, &rest.join("/"), query);
            }
            (*id, rest)
        }
        ["repositories", id, rest @ ..] => match id.parse() {
            Ok(id) => (id, rest),
            Err(_) => return not_found(),
        },
        _ => return not_found(),
    };
    let Some(repo) = world.repos.get(&id).filter(|repo| !repo.hidden) else {
        return not_found();
    };
    match rest {
        [] => Answer::new(
            StatusCode::OK,
            &json!({"id": id, "name": repo.name, "full_name": format!("{}/{}", repo.owner, repo.name)}),
        ),
        ["issues", ..] if repo.issues_disabled => {
            Answer::refusal(StatusCode::GONE, "Issues are disabled for this repo")
        }
        ["issues"] => issues(world, base, repo, query),
        ["labels"] => {
            let ids = repo.labels.keys();
            page(base, repo, rest, query, ids, |&id| render::label(repo, id))
        }
        ["milestones"] => {
            let ids = repo.milestones.keys();
            page(base, repo, rest, query, ids, |&id| {
                render::milestone(repo, id)
            })
        }
        ["issues" | "pulls", number, part @ ..] => {
            let number = number.parse().unwrap_or_default();
            match repo.issues.get(&number) {
                Some(issue) => of_issue(world, base, repo, number, issue, rest[0], part, query),
                None => not_found(),
            }
        }
        _ => not_found(),
    }
}

fn moved(base: &str, id: i64, rest: &str, query: &str) -> Answer {
    let mut answer = Answer::refusal(StatusCode::MOVED_PERMANENTLY, "Moved Permanently");
    let slash = if rest.is_empty() { "" } else { "/" };
    let mark = if query.is_empty() { "" } else { "?" };
    answer.set(
        "location",
        format!("{base}/repositories/{id}{slash}{rest}{mark}{query}"),
    );
    answer
}

#[expect(clippy::too_many_arguments, reason = "each is one part of the address")]
fn of_issue(
    world: &World,
    base: &str,
    repo: &Repo,
    number: i32,
    issue: &Issue,
    kind: &str,
    part: &[&str],
    query: &str,
) -> Answer {
    match issue.gone {
        Some(Gone::Deleted) => return Answer::refusal(StatusCode::GONE, "This issue was deleted"),
        Some(Gone::NotAnIssue) => return Answer::refusal(StatusCode::NOT_FOUND, "Not Found"),
        Some(Gone::Transferred { repo, number }) => {
            let path = [&["issues", &number.to_string()], part].concat().join("/");
            return moved(base, repo, &path, query);
        }
        None => {}
    }
    let number_text = number.to_string();
    let path = [&[kind, &number_text], part].concat();
    match (kind, part) {
        ("issues", []) => Answer::new(StatusCode::OK, &render::issue(world, repo, number, issue)),
        ("issues", ["comments"]) => {
            let since = parameter(query, "since")
                .unwrap_or_default()
                .replace("%3A", ":");
            let comments = issue.comments.iter().filter(|comment| !comment.deleted);
            let comments =
                comments.filter(|comment| render::time(comment.updated).as_str() >= since.as_str());
            page(base, repo, &path, query, comments, |comment| {
                render::comment(world, repo, number, comment)
            })
        }
        ("issues", ["events"]) => {
            let events = issue.events.iter().filter(|event| !event.removed);
            page(base, repo, &path, query, events, |event| {
                render::event(world, repo, event)
            })
        }
        ("pulls", ["reviews"]) if issue.is_pull => {
            let reviews = issue.reviews.iter();
            page(base, repo, &path, query, reviews, |review| {
                render::review(world, repo, number, review)
            })
        }
        _ => Answer::refusal(StatusCode::NOT_FOUND, "Not Found"),
    }
}

/// The list by last update, newest first; a cursor is where the page before ended.
fn issues(world: &World, base: &str, repo: &Repo, query: &str) -> Answer {
    let mut all: Vec<_> = repo
        .issues
        .iter()
        .filter(|(_, issue)| issue.gone.is_none())
        .collect();
    all.sort_by_key(|(number, issue)| std::cmp::Reverse((issue.updated, **number)));
    if let Some((updated, number)) =
        parameter(query, "after").and_then(|after| after.split_once('_'))
    {
        let end = (
            updated.parse().unwrap_or_default(),
            number.parse().unwrap_or_default(),
        );
        all.retain(|(number, issue)| (issue.updated, **number) < end);
    }
    let size = per_page(query);
    let has_more = all.len() > size;
    all.truncate(size);
    let page: Vec<_> = all
        .iter()
        .map(|(number, issue)| render::issue(world, repo, **number, issue))
        .collect();
    let mut answer = Answer::new(StatusCode::OK, &page.into());
    if let Some((number, issue)) = all.last().filter(|_| has_more) {
        let (id, updated) = (repo.id, issue.updated);
        answer.set("link", format!(
            "<{base}/repositories/{id}/issues?after={updated}_{number}&per_page={size}>; rel=\"next\""
        ));
    }
    answer
}

/// A page of a list that is numbered.
fn page<T>(
    base: &str,
    repo: &Repo,
    path: &[&str],
    query: &str,
    all: impl Iterator<Item = T>,
    render: impl Fn(T) -> Value,
) -> Answer {
    let size = per_page(query);
    let number: usize = parameter(query, "page")
        .and_then(|page| page.parse().ok())
        .unwrap_or(1);
    let mut rest = all.skip(number.saturating_sub(1).saturating_mul(size));
    let page: Vec<_> = rest.by_ref().take(size).map(render).collect();
    let mut answer = Answer::new(StatusCode::OK, &page.into());
    if rest.next().is_some() {
        let (id, path, next) = (repo.id, path.join("/"), number + 1);
        answer.set("link", format!(
            "<{base}/repositories/{id}/{path}?per_page={size}&page={next}>; rel=\"next\", <{base}/x?page=1>; rel=\"first\""
        ));
    }
    answer
}

fn per_page(query: &str) -> usize {
    let asked = parameter(query, "per_page").and_then(|size| size.parse().ok());
    asked.unwrap_or(30).clamp(1, 100)
}

fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    let mut parameters = query
        .split('&')
        .filter_map(|parameter| parameter.split_once('='));
    parameters
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}
