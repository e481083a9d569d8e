use std::fmt;
use std::io;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue, TE, TRAILER};
use http::{Request, Response, StatusCode, Version};
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::mpsc::error::SendError;

use super::bridge::{Frames, Produced};
use super::reply::{Body, Refusal};
use super::resume::Start;
use super::service::Shared;
use super::ssh::Chain;
use crate::exec::{Command, Executor, Outcome, running_line};
use crate::types::ExecRequest;
use crate::types::endpoint::PROCESS_STATE;
use crate::types::ext::{
    ACCEPT_HEADER, ACCEPT_TRAILERS, ISOLATION_TRAILER, LIMIT_TRAILER, USAGE_TRAILER,
};

/// What is announced to everybody, and to those who know of extensions.
pub(super) const TRAILERS: &str = PROCESS_STATE;
pub(super) const ALL_TRAILERS: &str =
    "Process-State, Process-Isolation, Process-Usage, Process-Limit";

impl Shared {
    /// `POST /exec`: the head at once, then the command's output as it comes, then how it ended.
    ///
    /// The command runs as long as its reply is read: hyper drops the body when the connection ends, and that kills the
    /// command's whole tree. Unless it is one that is kept.
    pub(super) async fn exec(&self, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        require_trailers(&request)?;
        let Ok(permit) = self.execs.clone().try_acquire_owned() else {
            let text = "too many commands run already";
            return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text));
        };
        let extended = asks_for_more(request.headers());
        let forms = self.forms(request).await?;
        let request =
            ExecRequest::from_forms(&forms.query, &forms.body).map_err(Refusal::bad_request)?;
        let asked = request.isolation_level().unwrap_or_default();
        let request = request.isolation(asked.max(self.config.isolation));
        let debug = request.is_debug();
        let resume = request.resume().cloned();
        if resume.is_some() && !self.kept.is_on() {
            let text = "no commands are kept here";
            return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, text));
        }
        let (workdir, workplace) = (self.workdir.clone(), self.workplace.clone());
        // At once, as each turn of another thread costs a command a tenth of a millisecond.
        let command = self
            .blocking(move || {
                workdir
                    .ensure_folders()
                    .map_err(|error| Refusal::file(&error, error.kind()))?;
                workplace
                    .command(&request)
                    .map_err(|error| Refusal::with_status(error.status(), error))
            })
            .await??;
        let command = command.limits(self.config.command_limits);
        let line = debug.then(|| running_line(&command));
        let executor = self.config.executor.clone();
        if let Some(resume) = resume {
            let start = Start {
                resume,
                command,
                line,
                executor,
                permit,
            };
            return self.keep(start, extended);
        }
        let body = Produced::new(move |frames| async move {
            let _permit = permit;
            // A receiver that has gone needs nothing more.
            let _ = run(&executor, command, line, extended, &frames).await;
        });
        let mut response = Response::new(body.boxed_unsync());
        let trailers = if extended { ALL_TRAILERS } else { TRAILERS };
        response
            .headers_mut()
            .insert(TRAILER, HeaderValue::from_static(trailers));
        Ok(response)
    }
}

/// Runs a command and hands on what it writes, piece by piece, then how it ended.
async fn run(
    executor: &Executor,
    command: Command,
    line: Option<String>,
    extended: bool,
    frames: &Frames,
) -> Result<(), SendError<io::Result<Frame<Bytes>>>> {
    if let Some(line) = line {
        frames.send(Ok(Frame::data(line.into()))).await?;
    }
    let mut running = match executor.spawn(command).await {
        Ok(running) => running,
        Err(error) => {
            // Not an end of the command, so it must not look like one: the client learns that the machinery failed.
            tracing::error!(error = %Chain(&error), "cannot run a command");
            return frames.send(Err(io::Error::other(error))).await;
        }
    };
    while let Some(chunk) = running.chunk().await {
        frames.send(Ok(Frame::data(chunk))).await?;
    }
    let outcome = running.wait().await;
    frames
        .send(Ok(Frame::trailers(trailers(&outcome, extended))))
        .await
}

pub(super) fn trailers(outcome: &Outcome, extended: bool) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    let mut add = |name: &'static str, text: &dyn fmt::Display| {
        // Texts without control characters, all of them.
        if let (Ok(name), Ok(value)) = (
            HeaderName::try_from(name),
            HeaderValue::from_bytes(text.to_string().as_bytes()),
        ) {
            trailers.insert(name, value);
        }
    };
    add(PROCESS_STATE, &outcome.state);
    if extended {
        add(ISOLATION_TRAILER, &outcome.enforced.to_wire());
        add(USAGE_TRAILER, &outcome.usage);
        if let Some(limit) = outcome.limit {
            add(LIMIT_TRAILER, &limit.as_str());
        }
    }
    trailers
}

/// Without trailers nobody would learn how the command ended. The adapter below hyper asks for them, unless the head is beyond it.
pub(super) fn require_trailers(request: &Request<Incoming>) -> Result<(), Refusal> {
    if request.version() < Version::HTTP_11 || !asks_for_trailers(request.headers()) {
        return Err(Refusal::bad_request("HTTP/1.1 or higher required"));
    }
    Ok(())
}

/// Whether the client wants the trailers of the extensions.
pub(super) fn asks_for_more(headers: &HeaderMap) -> bool {
    lists(headers, ACCEPT_HEADER, ACCEPT_TRAILERS)
}

/// Whether the reply may have trailers.
fn asks_for_trailers(headers: &HeaderMap) -> bool {
    lists(headers, TE.as_str(), "trailers")
}

/// Whether a list in a header, which may stand on several lines, has this item.
fn lists(headers: &HeaderMap, name: &str, item: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|entry| entry.trim().eq_ignore_ascii_case(item))
}
