use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use std::net::IpAddr;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::timeout;

use crate::http::cross_origin;
use crate::http::server::HttpServer;
use crate::time::Time;
use crate::webhook::{MAX_BODY, SIGNATURE_HEADER, WebhookError};

/// How long the body of a webhook may take to come.
const BODY_LIMIT: Duration = Duration::from_secs(60);
/// How long a webhook waits for its event to be in the file.
const PERSIST_LIMIT: Duration = Duration::from_secs(5);
/// Bytes of a delivery's id; GitHub's have 36.
const MAX_DELIVERY: usize = 64;

const FRONT: &str = "<html>
<body>
  This is <a href=\"https://golang.org/x/build/cmd/pubsubhelper\">pubsubhelper</a>.

<ul>
   <li><b><a href=\"/waitevent\">/waitevent</a></b>: long-poll wait 30s for next event (use ?after=[RFC3339Nano] to resume at point)</li>
   <li><b><a href=\"/recent\">/recent</a></b>: recent events, without long-polling.</li>
</ul>

</body>
</html>
";

type Answer = Response<Full<Bytes>>;

/// From where a request came.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    pub(super) peer: IpAddr,
    pub(super) is_tls: bool,
}

impl HttpServer {
    pub(super) async fn answer(&self, request: Request<Incoming>, origin: Origin) -> Answer {
        let path = request.uri().path();
        if self.shared.config.health_path.as_deref() == Some(path) {
            return with_type("text/plain; charset=utf-8", "ok".to_owned());
        }
        if let Some(refusal) = cross_origin::refusal(request.method(), request.headers()) {
            return refuse(StatusCode::FORBIDDEN, refusal);
        }
        let is_read = [Method::GET, Method::HEAD].contains(request.method());
        match path {
            "/" | "/waitevent" | "/recent" if !is_read => not_allowed("GET, HEAD"),
            "/" => with_type("text/html; charset=utf-8", FRONT.to_owned()),
            "/waitevent" => match after(request.uri().query()) {
                Ok(after) => json(self.shared.hub.next_after(after).await.to_json()),
                Err(answer) => *answer,
            },
            "/recent" => match after(request.uri().query()) {
                Ok(after) => json(self.recent(after)),
                Err(answer) => *answer,
            },
            "/github-webhook" if request.method() != Method::POST => not_allowed("POST"),
            "/github-webhook" => self.webhook(request, origin).await,
            _ => refuse(StatusCode::NOT_FOUND, "404 page not found"),
        }
    }

    fn recent(&self, after: Option<Time>) -> String {
        let events = self.shared.hub.recent(after);
        let events: Vec<String> = events.iter().map(|event| event.to_json()).collect();
        format!("[\n{}\n]\n", events.join(",\n"))
    }

    async fn webhook(&self, request: Request<Incoming>, origin: Origin) -> Answer {
        if !origin.is_tls && !self.came_over_tls(request.headers(), origin.peer) {
            return refuse(StatusCode::BAD_REQUEST, "HTTPS required");
        }
        let (head, body) = request.into_parts();
        let body = match timeout(BODY_LIMIT, Limited::new(body, MAX_BODY).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                tracing::info!("a webhook is refused: its body is longer than {MAX_BODY} bytes");
                return closing(self.told(StatusCode::PAYLOAD_TOO_LARGE));
            }
            Ok(Err(_)) | Err(_) => return closing(self.told(StatusCode::REQUEST_TIMEOUT)),
        };
        let signature = head
            .headers
            .get(SIGNATURE_HEADER)
            .map(HeaderValue::as_bytes);
        let signal = match self.shared.secret.read(signature, &body) {
            Ok(signal) => signal,
            Err(error) => {
                tracing::info!("a webhook is no event: {error}");
                return self.told(match error {
                    WebhookError::NoSignature | WebhookError::WrongSignature => {
                        StatusCode::UNAUTHORIZED
                    }
                    WebhookError::OtherKind => StatusCode::OK,
                    _ => StatusCode::BAD_REQUEST,
                });
            }
        };
        let delivery = head
            .headers
            .get("X-GitHub-Delivery")
            .map(HeaderValue::as_bytes);
        if let Some(delivery) = delivery.filter(|id| !id.is_empty() && id.len() <= MAX_DELIVERY) {
            let mut seen = self
                .shared
                .deliveries
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if !seen.insert(delivery.to_vec()) {
                return self.told(StatusCode::OK);
            }
        }
        let time = self.shared.hub.publish(signal);
        tracing::info!("a webhook is event {time}");
        // Whether or not it is in the file, it is in the stream.
        self.shared.hub.persisted(time, PERSIST_LIMIT).await;
        self.told(StatusCode::ACCEPTED)
    }

    fn came_over_tls(&self, headers: &HeaderMap, peer: IpAddr) -> bool {
        self.shared.config.trusted_proxies.contains(&peer)
            && headers
                .get("X-Forwarded-Proto")
                .is_some_and(|proto| proto == "https")
    }

    /// 200 in place of `status`, unless the answers are to tell.
    fn told(&self, status: StatusCode) -> Answer {
        let mut answer = Response::new(Full::default());
        if self.shared.config.telling {
            *answer.status_mut() = status;
        }
        answer
    }
}

/// Whether it may be answered only when there is an event.
pub(super) fn is_wait(request: &Request<Incoming>) -> bool {
    request.uri().path() == "/waitevent"
}

/// The parameter `after`: `None` if it is missing or empty.
fn after(query: Option<&str>) -> Result<Option<Time>, Box<Answer>> {
    let query = query.unwrap_or_default().as_bytes();
    let after = form_urlencoded::parse(query).find(|(name, _)| name == "after");
    match after {
        Some((_, after)) if !after.is_empty() => {
            // A `+` that was not escaped, as before an offset, is a space in a query.
            let after = after.replace(' ', "+");
            after.parse().map(Some).map_err(|_| {
                let text = "'after' parameter is not in time.RFC3339Nano format";
                Box::new(refuse(StatusCode::BAD_REQUEST, text))
            })
        }
        _ => Ok(None),
    }
}

fn with_type(kind: &'static str, text: String) -> Answer {
    let mut answer = Response::new(Full::from(text));
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

fn json(text: String) -> Answer {
    with_type("application/json; charset=utf-8", text)
}

fn refuse(status: StatusCode, why: &str) -> Answer {
    let mut answer = with_type("text/plain; charset=utf-8", format!("{why}\n"));
    let nosniff = HeaderName::from_static("x-content-type-options");
    answer
        .headers_mut()
        .insert(nosniff, HeaderValue::from_static("nosniff"));
    *answer.status_mut() = status;
    answer
}

fn not_allowed(methods: &'static str) -> Answer {
    let mut answer = refuse(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    answer
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(methods));
    answer
}

fn closing(mut answer: Answer) -> Answer {
    answer
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}
