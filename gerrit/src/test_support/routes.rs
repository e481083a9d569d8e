//! Which address is what.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::route_changes::{change, create_change, find_change, query_changes};
use super::route_projects::{accounts, projects};
use super::state::{Refusal, State};

/// What a request asks.
pub(super) struct Asked<'a> {
    method: &'a Method,
    query: Vec<(String, String)>,
    pub(super) headers: &'a HeaderMap,
    body: &'a Bytes,
    pub(super) viewer: Option<u64>,
}

/// What is answered.
pub(super) enum Reply {
    Json(StatusCode, Value),
    Empty,
    /// For git.
    Raw(Bytes),
}

pub(super) type Answer = Result<Reply, Refusal>;

pub(super) fn answer(state: &mut State, request: &Request<Bytes>) -> Response<Bytes> {
    state.requests += 1;
    if state.failing.0 > 0 {
        state.failing.0 -= 1;
        let (_, status, text) = &state.failing;
        return respond(
            *status,
            "text/plain;charset=utf-8",
            Bytes::from(text.clone()),
        );
    }
    match handle(state, request) {
        Ok(Reply::Json(status, value)) => respond(
            status,
            "application/json;charset=utf-8",
            format!(")]}}'\n{}\n", escaped(&value)).into(),
        ),
        Ok(Reply::Empty) => {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
        Ok(Reply::Raw(bytes)) => respond(StatusCode::OK, "application/octet-stream", bytes),
        Err(Refusal(status, text)) => {
            // A text that is JSON already is one.
            let is_json = text.starts_with('{');
            let (kind, text) = match is_json {
                true => ("application/json;charset=utf-8", format!(")]}}'\n{text}\n")),
                false => ("text/plain;charset=utf-8", format!("{text}\n")),
            };
            let mut response = respond(status, kind, text.into());
            if status == StatusCode::UNAUTHORIZED {
                let realm = http::HeaderValue::from_static("Basic realm=\"Gerrit Code Review\"");
                response.headers_mut().insert(WWW_AUTHENTICATE, realm);
            }
            response
        }
    }
}

/// As the real one writes JSON, for texts of answers are compared and shown.
fn escaped(value: &Value) -> String {
    let mut text = value.to_string();
    for (sign, escape) in [
        ('\'', "\\u0027"),
        ('<', "\\u003c"),
        ('>', "\\u003e"),
        ('&', "\\u0026"),
        ('=', "\\u003d"),
    ] {
        text = text.replace(sign, escape);
    }
    text
}

fn respond(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn handle(state: &mut State, request: &Request<Bytes>) -> Answer {
    let path = request.uri().path();
    let (path, viewer) = match path.strip_prefix("/a/") {
        Some(path) => (path, Some(log_in(state, request.headers())?)),
        None => (path.trim_start_matches('/'), None),
    };
    let decoded = |text: &str| {
        // As the real one: a plus sign is a space.
        let text = text.replace('+', " ");
        percent_decode_str(&text).decode_utf8_lossy().into_owned()
    };
    let segments: Vec<String> = path
        .split('/')
        .filter(|one| !one.is_empty())
        .map(decoded)
        .collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let query = request
        .uri()
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|one| !one.is_empty());
    let query = query.map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key), decoded(value))
    });
    let asked = Asked {
        method: request.method(),
        query: query.collect(),
        headers: request.headers(),
        body: request.body(),
        viewer,
    };
    match segments.as_slice() {
        ["config", "server", "version"] if asked.is(&Method::GET) => json(json!("3.10.0")),
        ["accounts", rest @ ..] => accounts(state, &asked, rest),
        ["projects", rest @ ..] => projects(state, &asked, rest),
        ["changes"] if asked.is(&Method::GET) => query_changes(state, &asked),
        ["changes"] if asked.is(&Method::POST) => create_change(state, &asked),
        ["changes", id, rest @ ..] => {
            let number = find_change(state, id, viewer)?;
            change(state, &asked, number, rest)
        }
        parts => git_file(state, parts),
    }
}

impl Asked<'_> {
    pub(super) fn is(&self, method: &Method) -> bool {
        self.method == method
    }

    pub(super) fn values(&self, key: &str) -> Vec<String> {
        let of_key = self.query.iter().filter(|(one, _)| one == key);
        of_key.map(|(_, value)| value.clone()).collect()
    }

    pub(super) fn number(&self, key: &str) -> Result<Option<usize>, Refusal> {
        let Some(text) = self.values(key).pop() else {
            return Ok(None);
        };
        let number = text.parse().map_err(|_| {
            Refusal::new(
                400,
                format!("\"{text}\" is not a valid value for \"-{key}\""),
            )
        });
        number.map(Some)
    }

    /// The body as JSON; none is the same as nothing set.
    pub(super) fn input<T: DeserializeOwned + Default>(&self) -> Result<T, Refusal> {
        if self.body.is_empty() {
            return Ok(T::default());
        }
        serde_json::from_slice(self.body)
            .map_err(|error| Refusal::new(400, format!("Expected JSON object: {error}")))
    }

    /// One text of the body.
    pub(super) fn text(&self, key: &str) -> Result<String, Refusal> {
        let body: BTreeMap<String, Value> = self.input()?;
        Ok(body
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned())
    }

    /// Whoever writes must be somebody.
    pub(super) fn who(&self) -> Result<u64, Refusal> {
        self.viewer
            .ok_or_else(|| Refusal::new(403, "Authentication required"))
    }
}

pub(super) fn json(value: impl Serialize) -> Answer {
    json_with(StatusCode::OK, value)
}

pub(super) fn created(value: impl Serialize) -> Answer {
    json_with(StatusCode::CREATED, value)
}

pub(super) fn json_with(status: StatusCode, value: impl Serialize) -> Answer {
    let value = serde_json::to_value(value);
    let value = value.map_err(|error| Refusal::new(500, error.to_string()))?;
    Ok(Reply::Json(status, value))
}

pub(super) fn unknown_address() -> Refusal {
    Refusal::new(404, "Not Found")
}

fn log_in(state: &State, headers: &HeaderMap) -> Result<u64, Refusal> {
    let refused = || Refusal::new(401, "Unauthorized");
    let value = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let encoded = value
        .and_then(|value| value.strip_prefix("Basic "))
        .ok_or_else(refused)?;
    let pair = BASE64_STANDARD.decode(encoded).map_err(|_| refused())?;
    let pair = String::from_utf8(pair).map_err(|_| refused())?;
    let (name, password) = pair.split_once(':').ok_or_else(refused)?;
    let mut accounts = state.accounts.values();
    let account = accounts.find(|account| account.username == name && account.password == password);
    account.map(|account| account.number).ok_or_else(refused)
}

/// Whether `who` may do everything.
pub(super) fn is_admin(state: &State, who: u64) -> bool {
    state
        .accounts
        .get(&who)
        .is_some_and(|account| account.is_admin)
}

/// What git reads of a repository, file by file: `PROJECT/info/refs`, `PROJECT/HEAD`, `PROJECT/objects/…`.
fn git_file(state: &State, parts: &[&str]) -> Answer {
    let path = parts.join("/");
    let of_project = |(name, _): &(&String, _)| {
        path.strip_prefix(name.as_str())
            .is_some_and(|rest| rest.starts_with('/'))
    };
    // The longest name, as one project can lie in another's folder.
    let project = state
        .projects
        .iter()
        .filter(of_project)
        .max_by_key(|(name, _)| name.len());
    let (name, project) = project.ok_or_else(unknown_address)?;
    let dir = project.repository.dir().ok_or_else(unknown_address)?;
    match &parts[name.split('/').count()..] {
        ["info", "refs"] => {
            let refs = project.repository.refs().iter();
            let lines = refs.map(|(name, hash)| format!("{hash}\t{name}\n"));
            Ok(Reply::Raw(lines.collect::<String>().into()))
        }
        ["HEAD"] => Ok(Reply::Raw(Bytes::from_static(b"ref: refs/heads/master"))),
        ["objects", folder, rest]
            if [*folder, rest]
                .iter()
                .all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit())) =>
        {
            let object = std::fs::read(dir.join("objects").join(folder).join(rest));
            object
                .map(|bytes| Reply::Raw(bytes.into()))
                .map_err(|_| unknown_address())
        }
        _ => Err(unknown_address()),
    }
}
