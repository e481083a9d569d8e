use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, Query, State as Extracted};
use axum::response::Response;
use serde::Deserialize;

use crate::api::{Attempt, Build, State, Timestamp};
use crate::web::caller::Caller;
use crate::web::failure::Failure;
use crate::web::filters;
use crate::web::frame::{Account, Frame, page};
use crate::web::log_lines::Place;
use crate::web::log_view::{LogView, view};
use crate::web::site::Shared;
use crate::web::text;
use crate::web::timeline::timeline;

#[derive(Template)]
#[template(path = "build.html")]
struct BuildPage {
    frame: Frame,
    build: Build,
    panel: Panel,
    number: u32,
    is_live: bool,
    resume: Place,
    failure: Option<u64>,
    log: String,
    log_size: Option<String>,
}

/// What a build's page says beside the log. It has three parts, which `log.js` replaces while the build goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::web) struct Panel {
    pub(in crate::web) head: String,
    pub(in crate::web) notes: String,
    pub(in crate::web) steps: String,
}

#[derive(Template)]
#[template(path = "build_head.html")]
struct Head<'a> {
    build: &'a Build,
    attempt: Option<&'a Attempt>,
    now: Timestamp,
    may_change: bool,
    csrf: &'a str,
}

#[derive(Template)]
#[template(path = "build_notes.html")]
struct Notes<'a> {
    build: &'a Build,
    attempt: Option<&'a Attempt>,
    number: u32,
    waits: Option<String>,
}

#[derive(Template)]
#[template(path = "build_steps.html")]
struct Steps<'a> {
    build: &'a Build,
    attempt: Option<&'a Attempt>,
    now: Timestamp,
    timeline: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::web) struct AttemptQuery {
    attempt: Option<u32>,
}

/// `/builds/{id}`: a build, one of its attempts, and that one's log.
pub(in crate::web) async fn build(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<u64>,
    Query(query): Query<AttemptQuery>,
) -> Result<Response, Failure> {
    let build = site
        .backend
        .build(id)
        .await?
        .ok_or_else(|| Failure::not_found("There is no such build."))?;
    let attempt = match query.attempt {
        None => build.attempts.last(),
        Some(number) => Some(
            find(&build, number)
                .ok_or_else(|| Failure::not_found("There is no such attempt of this build."))?,
        ),
    };
    let number = attempt.map_or(0, |attempt| attempt.number);
    // One that is over has nothing to wait for, unless the build goes on with another.
    let is_live = match attempt {
        Some(attempt) => {
            attempt.state == State::Running || (query.attempt.is_none() && !build.state.has_ended())
        }
        None => !build.state.has_ended(),
    };
    let shown = match attempt {
        Some(attempt) => match site.backend.log(id, number, 0).await? {
            Some(log) => view(log, attempt).await?,
            None => LogView::default(),
        },
        None => LogView::default(),
    };
    let title = format!("{} {}", text::label(build.state), build.builder);
    let has_failed = attempt.is_some_and(|attempt| attempt.state.is_failure());
    let frame = Frame::new(&site, &caller, "/builds", title);
    let panel = panel(&site, &build, number, &caller).await?;
    page(&BuildPage {
        frame,
        panel,
        number,
        is_live,
        resume: shown.resume,
        failure: shown.failure.filter(|_| has_failed),
        log: shown.html,
        log_size: (shown.len > 0).then(|| text::size(shown.len)),
        build,
    })
}

/// What the page says beside the log, as things stand.
pub(in crate::web) async fn panel(
    site: &Shared,
    build: &Build,
    number: u32,
    caller: &Caller,
) -> Result<Panel, Failure> {
    let now = Timestamp::now();
    let attempt = find(build, number);
    let waits = if build.state == State::Waiting {
        site.backend.why(build.id).await?
    } else {
        None
    };
    let spans = attempt
        .map(|attempt| attempt.spans.as_slice())
        .unwrap_or_default();
    Ok(Panel {
        head: Head {
            build,
            attempt,
            now,
            may_change: caller.may_change(),
            csrf: &caller.csrf,
        }
        .render()?,
        notes: Notes {
            build,
            attempt,
            number,
            waits,
        }
        .render()?,
        steps: Steps {
            build,
            attempt,
            now,
            timeline: timeline(spans, now),
        }
        .render()?,
    })
}

/// An attempt by its number.
pub(in crate::web) fn find(build: &Build, number: u32) -> Option<&Attempt> {
    build
        .attempts
        .iter()
        .find(|attempt| attempt.number == number)
}
