use hyper::header::{HOST, HeaderValue, ORIGIN};
use hyper::{HeaderMap, Method};

/// Why a request is refused that a browser sends for a page of another site, if it is: it would act with the reader's rights.
pub(super) fn refusal(method: &Method, headers: &HeaderMap) -> Option<&'static str> {
    if [Method::GET, Method::HEAD, Method::OPTIONS].contains(method) {
        return None;
    }
    match headers.get("Sec-Fetch-Site").map(HeaderValue::as_bytes) {
        Some(b"same-origin" | b"none") => None,
        Some(site) if !site.is_empty() => {
            Some("cross-origin request detected from Sec-Fetch-Site header")
        }
        _ => {
            let origin = headers.get(ORIGIN)?.to_str().unwrap_or_default();
            let host = origin.split_once("://").map(|(_, host)| host);
            let asked = headers.get(HOST).and_then(|host| host.to_str().ok());
            (host.is_none() || host != asked)
                .then_some("cross-origin request detected from Origin header")
        }
    }
}
