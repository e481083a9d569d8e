//! Who asks what.

use std::path::Path;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use program::{Listening, serve_http};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use crate::args::Args;
use crate::metrics::metrics;
use crate::page::page;
use crate::state::State;

type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

const SPOKEN: [&str; 2] = ["h2", "http/1.1"];
/// Nothing is loaded from anywhere, and nobody frames the page.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// Begins to serve, where the flags say.
pub(crate) async fn start(
    args: &Args,
    data_dir: &Path,
    state: &State,
    servers: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let Listening {
        listeners,
        certificate,
    } = args.listen.listen(data_dir, &SPOKEN).await?;
    if let Some(certificate) = certificate {
        servers.spawn(certificate.keep(stop.clone()));
    }
    for (listener, acceptor) in listeners {
        let state = state.clone();
        let answer = move |request| answer(state.clone(), request);
        servers.spawn(serve_http(listener, acceptor, stop.clone(), answer));
    }
    Ok(())
}

async fn answer(state: State, request: Request<Incoming>) -> Response<Body> {
    if state.is_health(request.uri().path()) {
        return text(StatusCode::OK, "ok");
    }
    if is_grpc(request.headers()) {
        return match state.ready() {
            Some(ready) => {
                let mut api = ready.api.clone().into_server();
                // It is always ready, and has no errors but statuses.
                let answer = api
                    .call(request)
                    .await
                    .unwrap_or_else(|never| match never {});
                answer.map(|body| body.map_err(Into::into).boxed_unsync())
            }
            // Unavailable, by the header that gRPC has for answers without a body.
            None => {
                let mut answer = Response::new(empty());
                let headers = answer.headers_mut();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                headers.insert("grpc-status", HeaderValue::from_static("14"));
                let text = HeaderValue::from_static("the log is being loaded");
                headers.insert("grpc-message", text);
                answer
            }
        };
    }
    let path = request.uri().path();
    let is_logs = path == "/logs" || path.starts_with("/logs/");
    if is_logs {
        let logs = state.ready().map(|ready| ready.logs.as_ref());
        return match logs {
            Some(Some(logs)) => {
                let answer = logs.answer(request).await;
                answer.map(|body| body.map_err(Into::into).boxed_unsync())
            }
            Some(None) => text(StatusCode::NOT_FOUND, "this server has no log of its own"),
            None => {
                let mut answer = text(StatusCode::SERVICE_UNAVAILABLE, "the log is being loaded");
                answer.headers_mut().insert(RETRY_AFTER, 5.into());
                answer
            }
        };
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD");
    }
    match path {
        "/" => match page(&state) {
            Ok(html) => {
                let mut answer = of_type("text/html; charset=utf-8", html);
                let headers = answer.headers_mut();
                headers.insert("content-security-policy", POLICY);
                headers.insert(
                    "x-content-type-options",
                    HeaderValue::from_static("nosniff"),
                );
                answer
            }
            Err(error) => {
                tracing::error!("the page cannot be made: {error}");
                text(StatusCode::INTERNAL_SERVER_ERROR, "the page cannot be made")
            }
        },
        "/metrics" => of_type("text/plain; version=0.0.4; charset=utf-8", metrics(&state)),
        _ => text(StatusCode::NOT_FOUND, "not found"),
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| kind.starts_with(b"application/grpc"))
}

fn of_type(kind: &'static str, body: String) -> Response<Body> {
    let body = Full::new(Bytes::from(body)).map_err(|never| match never {});
    let mut answer = Response::new(body.boxed_unsync());
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn text(status: StatusCode, text: &str) -> Response<Body> {
    let end = if status == StatusCode::OK { "" } else { "\n" };
    let mut answer = of_type("text/plain; charset=utf-8", format!("{text}{end}"));
    *answer.status_mut() = status;
    answer
}

fn empty() -> Body {
    Full::new(Bytes::new())
        .map_err(|never| match never {})
        .boxed_unsync()
}
