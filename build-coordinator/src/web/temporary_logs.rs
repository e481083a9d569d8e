use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State as Extracted};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::header::CONTENT_TYPE;
use serde::Deserialize;

use crate::api::{Attempt, Build, BuildFilter, State, Timestamp};
use crate::model::AttemptId;
use crate::web::failure::Failure;
use crate::web::raw_log::{first, following};
use crate::web::site::Shared;

/// Builds of one builder at one revision that are looked through.
const MOST: usize = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LogsQuery {
    name: String,
    rev: String,
    #[serde(rename = "subName")]
    sub_name: String,
    #[serde(rename = "subRev")]
    sub_rev: String,
    st: String,
    nostream: String,
}

/// `/temporarylogs`: an attempt's log as text, with what is known of it in front, in upstream's form.
///
/// `rev` is the revision of the repository, or with `subName` and `subRev` that of the one it is built against. `st` is an attempt,
/// as in `17.2`; without it, it is the last one. The log is always live while the attempt runs: upstream shows none before the
/// step `make`.
pub(super) async fn temporary_logs(
    Extracted(site): Extracted<Arc<Shared>>,
    Query(query): Query<LogsQuery>,
) -> Result<Response, Failure> {
    let missing = || Failure::not_found("There is no such build.");
    let (build, number) = find(&site, &query).await?.ok_or_else(missing)?;
    let attempt = build
        .attempts
        .iter()
        .find(|attempt| attempt.number == number);
    let mut head = describe(&build, attempt);
    let log = match attempt {
        Some(attempt) => site.backend.log(build.id, attempt.number, 0).await?,
        None => None,
    };
    let Some(log) = log else {
        if !build.state.has_ended() {
            head.push_str(
                "\n\n(buildlet still starting; no live streaming. reload manually to see status)\n",
            );
        }
        return Ok(text(Body::from(head)));
    };
    let bytes = if !query.nostream.is_empty() {
        head.push_str("\n\n(live streaming disabled; reload manually to see status)\n");
        first(log.bytes, log.len)
    } else if log.is_live {
        let permit = site.streams.clone().try_acquire_owned();
        let permit =
            permit.map_err(|_| Failure::unavailable("Too many logs are followed at once."))?;
        following(log.bytes, site.clone(), permit)
    } else {
        log.bytes
    };
    Ok(text(Body::from_stream(
        stream::iter([Ok(Bytes::from(head))]).chain(bytes),
    )))
}

/// The build that is meant, with the number of the attempt.
async fn find(site: &Shared, query: &LogsQuery) -> Result<Option<(Build, u32)>, Failure> {
    let is_against = !query.sub_name.is_empty();
    let revision = if is_against {
        &query.sub_rev
    } else {
        &query.rev
    };
    let matches = |build: &Build| {
        let base = build.base_revision.as_deref();
        build.builder == query.name
            && build.revision == *revision
            && if is_against {
                build.repository == query.sub_name && base == Some(query.rev.as_str())
            } else {
                base.is_none()
            }
    };
    let st = match query.st.as_str() {
        "" => None,
        st => match st.parse::<AttemptId>() {
            Ok(id) => Some(id),
            Err(_) => return Ok(None),
        },
    };
    let id = match st {
        Some(id) => Some(id.build.0),
        None if query.name.is_empty() || revision.len() < 40 => None,
        None => {
            let filter = BuildFilter {
                builder: Some(query.name.clone()),
                revision: Some(revision.clone()),
                limit: Some(MOST),
                ..BuildFilter::default()
            };
            site.backend
                .builds(&filter)
                .await?
                .into_iter()
                .find(matches)
                .map(|build| build.id)
        }
    };
    let Some(id) = id else { return Ok(None) };
    let Some(build) = site.backend.build(id).await?.filter(matches) else {
        return Ok(None);
    };
    let number = match st {
        Some(st)
            if build
                .attempts
                .iter()
                .all(|attempt| attempt.number != st.number) =>
        {
            return Ok(None);
        }
        Some(st) => st.number,
        None => build.attempts.last().map_or(0, |attempt| attempt.number),
    };
    Ok(Some((build, number)))
}

/// What stands in front of the log.
fn describe(build: &Build, attempt: Option<&Attempt>) -> String {
    let mut out = String::new();
    let revision = build.base_revision.as_ref().unwrap_or(&build.revision);
    // What strangers named cannot begin a line of its own.
    let machine = attempt
        .and_then(|attempt| attempt.machine.as_deref())
        .unwrap_or("(none yet)");
    let machine = machine.replace(|c: char| c.is_control(), " ");
    let started = attempt.map_or(build.created, |attempt| attempt.started);
    let _ = write!(
        out,
        "  builder: {}\n      rev: {revision}\n buildlet: {machine}\n  started: {started}\n",
        build.builder
    );
    let ended = attempt.and_then(|attempt| attempt.ended).or(build.ended);
    match ended {
        Some(ended) => {
            let state = attempt.map_or(build.state, |attempt| attempt.state);
            let _ = write!(
                out,
                "    ended: {ended}\n  success: {}\n",
                state == State::Succeeded
            );
        }
        None => out.push_str("   status: still running\n"),
    }
    let mut events = Vec::new();
    for span in attempt
        .map(|attempt| attempt.spans.as_slice())
        .unwrap_or_default()
    {
        let detail = span.detail.clone().unwrap_or_default();
        events.push((span.started, span.name.clone(), detail.clone()));
        if let Some(ended) = span.ended {
            events.push((
                ended,
                format!("finish_{}", span.name),
                format!("after {:?}; {detail}", ended.since(span.started)),
            ));
        }
    }
    events.sort_by_key(|(at, ..)| *at);
    if !events.is_empty() {
        out.push_str("\nEvents:\n");
        for (at, name, text) in &events {
            let line = format!("{at} {name} {text}").replace(|c: char| c.is_control(), " ");
            let _ = writeln!(out, "  {}", line.trim_end());
        }
        if let (None, Some((last, ..))) = (ended, events.last()) {
            let since = format!("+{:.1}s", Timestamp::now().since(*last).as_secs_f64());
            let _ = writeln!(out, " {since:>7} (now)");
        }
    }
    out.push_str("\nBuild log:\n");
    out
}

fn text(body: Body) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
}
