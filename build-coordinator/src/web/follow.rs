use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Query, State as Extracted};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::api::{Build, State};
use crate::model::EventSeq;
use crate::web::backend::Log;
use crate::web::caller::Caller;
use crate::web::failure::Failure;
use crate::web::log_lines::{LogLines, Place, Times};
use crate::web::pages::{Panel, find, panel};
use crate::web::site::Shared;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EventsQuery {
    attempt: u32,
    from: String,
}

/// Lines are sent together if they come within this time.
const GATHER: Duration = Duration::from_millis(40);
/// Bytes of log in an event, about.
const MOST: usize = 64 << 10;
/// After so long without more, a line that has not ended is shown as it is.
const OPEN_LINE: Duration = Duration::from_millis(400);
/// What is beside the log is made anew at most so often.
const PANEL_PAUSE: Duration = Duration::from_millis(500);
/// Proxies and browsers give up on connections that say nothing.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// `/builds/{id}/events`: what happens to an attempt, as server-sent events.
///
/// | event | data |
/// |---|---|
/// | `lines` | lines of the log, as HTML; the event's id is the place behind them |
/// | `open-line` | a line that has not ended yet; replaced by what comes next |
/// | `panel` | what stands beside the log, as HTML |
/// | `end` | there will be nothing more |
///
/// A browser that comes back says with `Last-Event-ID` where to go on.
pub(super) async fn events(
    Extracted(site): Extracted<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<u64>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let place = match headers.get("last-event-id").and_then(|id| id.to_str().ok()) {
        Some(id) if !id.is_empty() => id.parse(),
        _ if query.from.is_empty() => Ok(Place::default()),
        _ => query.from.parse(),
    };
    let place: Place = place.map_err(|()| Failure::bad("That is no place in a log."))?;
    let permit = site.streams.clone().try_acquire_owned();
    let permit = permit.map_err(|_| Failure::unavailable("Too many logs are followed at once."))?;
    // Before the build is read, so that no change goes unnoticed.
    let changes = site.backend.changes();
    let build = site
        .backend
        .build(id)
        .await?
        .ok_or_else(|| Failure::not_found("There is no such build."))?;
    let log = match find(&build, query.attempt) {
        Some(_) => site.backend.log(id, query.attempt, place.offset).await?,
        None if query.attempt == 0 => None,
        None => {
            return Err(Failure::not_found(
                "There is no such attempt of this build.",
            ));
        }
    };
    let follower = Follower::new(
        site,
        caller,
        &build,
        query.attempt,
        place,
        log,
        changes,
        permit,
    );
    let body = Body::from_stream(stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, io::Error>(event), follower))
    }));
    let kind = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
        // Asks a proxy such as nginx to pass on what it gets.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((kind, body).into_response())
}

/// Somebody who looks at an attempt.
struct Follower {
    site: Arc<Shared>,
    caller: Caller,
    id: u64,
    number: u32,
    log: Option<Log>,
    lines: LogLines,
    changes: watch::Receiver<EventSeq>,
    panel: Panel,
    panel_due: Instant,
    is_stale: bool,
    open_shown: usize,
    last_byte: Instant,
    events: VecDeque<Bytes>,
    has_ended: bool,
    _permit: OwnedSemaphorePermit,
}

enum Happened {
    Stopped,
    Chunk(Option<io::Result<Bytes>>),
    Changed,
    PanelDue,
    OpenLine,
    Silence,
}

impl Follower {
    #[expect(
        clippy::too_many_arguments,
        reason = "it is called in one place, which has all of them"
    )]
    fn new(
        site: Arc<Shared>,
        caller: Caller,
        build: &Build,
        number: u32,
        place: Place,
        mut log: Option<Log>,
        changes: watch::Receiver<EventSeq>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let attempt = find(build, number);
        let marks = log
            .as_mut()
            .map(|log| std::mem::take(&mut log.marks))
            .unwrap_or_default();
        let times = Times::new(marks, attempt.map(|attempt| attempt.started));
        let steps = attempt
            .map(|attempt| attempt.steps.as_slice())
            .unwrap_or_default();
        Self {
            lines: LogLines::new(place, steps, times),
            site,
            caller,
            id: build.id,
            number,
            log,
            changes,
            panel: Panel::default(),
            panel_due: Instant::now(),
            // The page may be older than what is known now.
            is_stale: true,
            open_shown: 0,
            last_byte: Instant::now(),
            events: VecDeque::new(),
            has_ended: false,
            _permit: permit,
        }
    }

    /// The next event, encoded.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            if self.has_ended {
                return None;
            }
            match self.wait().await {
                Happened::Stopped => return None,
                Happened::Chunk(Some(Ok(chunk))) => self.take(&chunk).await,
                Happened::Chunk(Some(Err(error))) => {
                    tracing::warn!("cannot read the log of build {}: {error}", self.id);
                    return None;
                }
                Happened::Chunk(None) => self.end_log(),
                Happened::Changed => self.is_stale = true,
                Happened::PanelDue => self.refresh().await,
                Happened::OpenLine => self.show_open_line(),
                Happened::Silence => return Some(Bytes::from_static(b": \n\n")),
            }
        }
    }

    async fn wait(&mut self) -> Happened {
        let open = self.lines.open_len();
        let open_due = self.last_byte + OPEN_LINE;
        let silent_until = Instant::now() + KEEP_ALIVE;
        tokio::select! {
            () = self.site.stop.cancelled() => Happened::Stopped,
            () = sleep_until(self.panel_due), if self.is_stale => Happened::PanelDue,
            chunk = async { self.log.as_mut().expect("it is there").bytes.next().await }, if self.log.is_some() => {
                Happened::Chunk(chunk)
            }
            changed = self.changes.changed(), if !self.is_stale => match changed {
                Ok(()) => Happened::Changed,
                // The coordinator is gone.
                Err(_) => Happened::Stopped,
            },
            () = sleep_until(open_due), if open > 0 && open != self.open_shown => Happened::OpenLine,
            () = sleep_until(silent_until) => Happened::Silence,
        }
    }

    /// Renders what came, and what comes soon after.
    async fn take(&mut self, chunk: &[u8]) {
        // A step may have begun with these bytes.
        if self.is_stale || self.changes.has_changed().unwrap_or(false) {
            self.refresh().await;
        }
        let mut html = String::new();
        self.lines.push(chunk, &mut html);
        let deadline = Instant::now() + GATHER;
        let mut taken = chunk.len();
        while taken < MOST
            && let Some(log) = &mut self.log
        {
            let more = timeout(
                deadline.saturating_duration_since(Instant::now()),
                log.bytes.next(),
            )
            .await;
            match more {
                Ok(Some(Ok(more))) => {
                    taken += more.len();
                    self.lines.push(&more, &mut html);
                }
                Ok(Some(Err(error))) => {
                    tracing::warn!("cannot read the log of build {}: {error}", self.id);
                    self.log = None;
                }
                Ok(None) => {
                    self.lines.finish(&mut html);
                    self.log = None;
                    self.is_stale = true;
                }
                Err(_) => break,
            }
        }
        self.last_byte = Instant::now();
        self.open_shown = 0;
        self.send_lines(&html);
    }

    fn end_log(&mut self) {
        let mut html = String::new();
        self.lines.finish(&mut html);
        self.send_lines(&html);
        self.log = None;
        self.is_stale = true;
    }

    fn send_lines(&mut self, html: &str) {
        if !html.is_empty() {
            self.events
                .push_back(encode("lines", Some(self.lines.place()), html));
        }
    }

    fn show_open_line(&mut self) {
        let mut html = String::new();
        self.lines.peek(&mut html);
        self.open_shown = self.lines.open_len();
        self.events.push_back(encode("open-line", None, &html));
    }

    /// Looks at the build again, and says what has changed.
    async fn refresh(&mut self) {
        self.is_stale = false;
        self.changes.mark_unchanged();
        self.changes.borrow_and_update();
        self.panel_due = Instant::now() + PANEL_PAUSE;
        let build = match self.site.backend.build(self.id).await {
            Ok(Some(build)) => build,
            Ok(None) => return self.end(),
            Err(error) => {
                // Said once; the page asks again with its next connection.
                let _ = Failure::internal(&error);
                self.has_ended = true;
                return;
            }
        };
        let attempt = find(&build, self.number);
        if let Some(attempt) = attempt {
            self.lines.set_steps(&attempt.steps);
        }
        let is_over = match attempt {
            Some(attempt) => attempt.state.has_ended() && self.log.is_none(),
            // The page is about an attempt that there is not: until there is one.
            None => !build.attempts.is_empty() || build.state.has_ended(),
        };
        if let Ok(panel) = panel(&self.site, &build, self.number, &self.caller).await
            && panel != self.panel
        {
            let html = [panel.head.as_str(), &panel.notes, &panel.steps].concat();
            self.events.push_back(encode("panel", None, &html));
            self.panel = panel;
        }
        // Between two attempts the build waits, and its page with it.
        let waits_for_more = build.state == State::Waiting
            && build
                .attempts
                .last()
                .is_some_and(|last| last.number == self.number);
        if is_over && !waits_for_more {
            self.end();
        }
    }

    fn end(&mut self) {
        self.events.push_back(encode("end", None, ""));
        self.has_ended = true;
    }
}

/// Encodes an event; whatever ends a line in `data` begins a new one of the event.
fn encode(name: &str, id: Option<Place>, data: &str) -> Bytes {
    let mut event = format!("event: {name}\n");
    if let Some(id) = id {
        event.push_str(&format!("id: {id}\n"));
    }
    for line in data.trim_end_matches('\n').split(['\n', '\r']) {
        event.push_str("data: ");
        event.push_str(line);
        event.push('\n');
    }
    event.push('\n');
    event.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_end_an_event() {
        let event = encode(
            "lines",
            Some(Place::default()),
            "a\n\nevent: end\rdata: x\r\n",
        );
        assert_eq!(
            event,
            "event: lines\nid: 0.0.000000\ndata: a\ndata: \ndata: event: end\ndata: data: x\ndata: \n\n"
        );
    }
}
