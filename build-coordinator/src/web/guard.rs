use std::sync::Arc;
use std::time::Instant;

use askama::Template;
use axum::Json;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse as _, Response};
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, LOCATION, REFERRER_POLICY,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::time::timeout;

use crate::api::{ErrorBody, Problem};
use crate::web::access::{Peer, Reading, host, is_from_us, is_ours};
use crate::web::caller::{Caller, Who};
use crate::web::failure::Failure;
use crate::web::frame::{Account, Frame};
use crate::web::site::Shared;

/// Nothing but our own files, no code or style within a page, no frames, forms to us alone.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The name of the cookie that holds a session's key. The prefix makes browsers insist on TLS and on this very host.
pub(super) const COOKIE_NAME: &str = "__Host-session";

/// Stands before every handler: says who asks and whether they may, limits what they take, and completes the answer.
pub(super) async fn guard(
    State(site): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let is_api = request.uri().path().starts_with("/api/");
    let (mut parts, body) = request.into_parts();
    let permit = site.requests.try_acquire();
    let admitted = match &permit {
        Ok(_) => match timeout(site.config.request_limit, admit(&site, &parts)).await {
            Ok(admitted) => admitted,
            Err(_) => Err(Refused::Failure(Failure::unavailable(
                "That took too long.",
            ))),
        },
        Err(_) => Err(Refused::Failure(Failure::unavailable(
            "Too many requests at once; try again.",
        ))),
    };
    let (mut response, caller) = match admitted {
        Ok(caller) => {
            parts.extensions.insert(caller.clone());
            let request = Request::from_parts(parts, body);
            let answer = timeout(site.config.request_limit, next.run(request)).await;
            (
                answer.unwrap_or_else(|_| {
                    Failure::unavailable("That took too long.").into_response()
                }),
                Some(caller),
            )
        }
        Err(Refused::Failure(failure)) => (failure.into_response(), None),
        Err(Refused::SignIn) => (
            (StatusCode::SEE_OTHER, [(LOCATION, "/login")]).into_response(),
            None,
        ),
    };
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        response = explain(&site, failure, caller, is_api);
    } else if is_api && response.status().is_client_error() {
        // What the framework itself refuses: a body that is too large, or no JSON.
        response = reword(response, &site).await;
    }
    site.answered.count(response.status().as_u16());
    complete(response.headers_mut());
    response
}

enum Refused {
    Failure(Failure),
    /// There is a page for that.
    SignIn,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

async fn admit(site: &Shared, request: &Parts) -> Result<Caller, Refused> {
    let headers = &request.headers;
    let path = request.uri.path();
    let Some(host) = host(headers, &request.uri) else {
        return Err(Failure::bad("A request names the host that it is for, once.").into());
    };
    if !is_ours(host, &site.config.host_names) {
        return Err(Failure {
            status: StatusCode::MISDIRECTED_REQUEST,
            code: "misdirected",
            message: "This host goes by another name. Its operator can allow this one in the configuration.".to_owned(),
        }
        .into());
    }
    let peer = request.extensions.get::<Peer>().copied();
    let mut caller = identify(site, peer, headers).await?;
    let is_plain = peer.is_some_and(|peer| !peer.is_tls && peer.is_local(headers));
    caller.origin = format!("{}://{host}", if is_plain { "http" } else { "https" });
    if !matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS)
        && !is_from_us(headers, host)
    {
        return Err(Failure::forbidden("Another site may not change anything here.").into());
    }
    let is_for_all = matches!(path, "/login" | "/healthz" | "/style.css" | "/favicon.svg");
    if site.config.reading == Reading::Closed && caller.who == Who::Anonymous && !is_for_all {
        return Err(
            if path.starts_with("/api/") || request.method != Method::GET {
                site.no_token("Reading").into()
            } else {
                Refused::SignIn
            },
        );
    }
    Ok(caller)
}

/// Finds out who asks: by token, by session, by where they are.
async fn identify(
    site: &Shared,
    peer: Option<Peer>,
    headers: &HeaderMap,
) -> Result<Caller, Failure> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        let token = value.to_str().ok().and_then(bearer);
        let unknown = || Failure::unauthorized("The token is not known.");
        let token = token.ok_or_else(unknown)?;
        let identity = site
            .backend
            .authenticate(token)
            .await?
            .ok_or_else(unknown)?;
        // A program has no forms.
        return Ok(Caller {
            who: Who::Holder(identity),
            csrf: String::new(),
            session: None,
            origin: String::new(),
        });
    }
    if let Some(key) = session_key(headers)
        && let Some(session) = site.sessions.find(&key, Instant::now())
    {
        if let Some(identity) = site.backend.authenticate(&session.token).await? {
            return Ok(Caller {
                who: Who::Holder(identity),
                csrf: session.csrf,
                session: Some(key),
                origin: String::new(),
            });
        }
        site.sessions.end(&key);
    }
    if site.config.trust_loopback && peer.is_some_and(|peer| peer.is_local(headers)) {
        return Ok(Caller {
            who: Who::Local,
            csrf: site.local_csrf.clone(),
            session: None,
            origin: String::new(),
        });
    }
    Ok(Caller {
        who: Who::Anonymous,
        csrf: site.login_csrf.clone(),
        session: None,
        origin: String::new(),
    })
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn session_key(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE_NAME)
        .map(|(_, key)| key.to_owned())
}

fn complete(headers: &mut HeaderMap) {
    let fixed: [(HeaderName, &'static str); 7] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        // With `no-referrer` browsers would not say where a form was sent from.
        (REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=()",
        ),
    ];
    for (name, value) in fixed {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-cache, private"));
}

#[derive(Template)]
#[template(path = "message.html")]
struct Message {
    frame: Frame,
    message: String,
}

fn explain(site: &Shared, failure: Failure, caller: Option<Caller>, is_api: bool) -> Response {
    let Failure {
        status,
        code,
        message,
    } = failure;
    let mut response = if is_api {
        let body = ErrorBody {
            error: Problem {
                code: code.to_owned(),
                message,
            },
        };
        (status, Json(body)).into_response()
    } else {
        let nobody = Caller {
            who: Who::Anonymous,
            csrf: String::new(),
            session: None,
            origin: String::new(),
        };
        let title = status.canonical_reason().unwrap_or("Error");
        let frame = Frame::new(site, &caller.unwrap_or(nobody), "", title);
        let page = Message { frame, message };
        match page.render() {
            Ok(html) => (status, Html(html)).into_response(),
            Err(_) => (status, page.message).into_response(),
        }
    };
    if status == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Makes what the framework says into an answer in the API's form.
async fn reword(response: Response, site: &Shared) -> Response {
    let status = response.status();
    let is_json = response
        .headers()
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if is_json || status == StatusCode::RANGE_NOT_SATISFIABLE {
        return response;
    }
    let text = axum::body::to_bytes(response.into_body(), 4096)
        .await
        .unwrap_or_default();
    let message = String::from_utf8_lossy(&text).into_owned();
    let message = if message.is_empty() {
        status.canonical_reason().unwrap_or("refused").to_owned()
    } else {
        message
    };
    explain(
        site,
        Failure {
            status,
            code: "bad_request",
            message,
        },
        None,
        true,
    )
}
