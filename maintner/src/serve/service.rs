use std::io::{ErrorKind, Write as _};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    RANGE, RETRY_AFTER, VARY,
};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use tokio::time::timeout;

use crate::in_full::in_full;
use crate::serve::body::LogBody;
use crate::serve::bucket;
use crate::serve::log::{Index, LogServer, Place, Source};

const SUM_OF_SIZES: HeaderName = HeaderName::from_static("x-sum-segment-size");

impl LogServer {
    /// Answers a request, for programs that have a server of their own: its path must be as [`ServeConfig::path`](super::ServeConfig::path)
    /// says. The request's body is not looked at.
    ///
    /// It takes a Tokio runtime. A request for news waits for it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives its place up, and nothing else.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<LogBody> {
        let (head, body) = request.into_parts();
        drop(body);
        let config = &self.shared.config;
        let Some(rest) = head.uri.path().strip_prefix(config.path.as_str()) else {
            return text(StatusCode::NOT_FOUND, "not found");
        };
        let is_list = rest.is_empty();
        if !is_list && !rest.starts_with('/') {
            return text(StatusCode::NOT_FOUND, "not found");
        }
        if head.method != Method::GET && head.method != Method::HEAD {
            return text(StatusCode::BAD_REQUEST, "bad method");
        }
        let mut answer = if is_list {
            self.list(head.uri.query().unwrap_or_default(), &head.headers)
                .await
        } else {
            let is_asked_for = head.method == Method::GET;
            self.segment(&rest[1..], &head.headers, is_asked_for).await
        };
        if head.method == Method::HEAD {
            let len = http_body::Body::size_hint(answer.body()).exact();
            *answer.body_mut() = LogBody::memory("");
            if let Some(len) = len {
                answer.headers_mut().insert(CONTENT_LENGTH, len.into());
            }
        }
        answer
    }

    async fn list(&self, query: &str, headers: &HeaderMap) -> Response<LogBody> {
        let mut first = 0;
        let mut unless = None;
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match (&*key, &*value) {
                ("waitsizenot", "") => {}
                ("waitsizenot", size) => match size.parse::<u64>() {
                    Ok(size) => unless = Some(size),
                    Err(_) => return text(StatusCode::BAD_REQUEST, "bad waitsizenot"),
                },
                ("startseg", number) => match number.parse::<i64>().map(usize::try_from) {
                    Ok(Ok(number)) => first = number,
                    Ok(Err(_)) => return text(StatusCode::BAD_REQUEST, "bad startseg"),
                    Err(_) => first = 0,
                },
                _ => {}
            }
        }
        let index = match unless {
            None => Arc::clone(&self.shared.index.borrow()),
            Some(size) => match self.news(size).await {
                Ok(index) => index,
                Err(answer) => return answer,
            },
        };
        let mut sum = index.total;
        let mut body = index.json.clone();
        if first > 0 && first < index.segments.len() {
            sum = index.segments[first..]
                .iter()
                .map(|segment| segment.size)
                .sum();
            body = index.from(first, &self.shared.config.path).into();
        }
        let gzip = self.shared.config.gzip && takes_gzip(headers);
        if gzip && let Some(small) = compressed(&body) {
            body = small.into();
        }
        let mut answer = Response::new(LogBody::memory(body));
        set_type(&mut answer, "application/json", gzip);
        answer.headers_mut().insert(SUM_OF_SIZES, sum.into());
        answer
    }

    /// The list, once the log has not so many bytes.
    async fn news(&self, size: u64) -> Result<Arc<Index>, Response<LogBody>> {
        let shared = &*self.shared;
        let mut changes = shared.index.subscribe();
        let now = Arc::clone(&changes.borrow());
        if now.total != size {
            return Ok(now);
        }
        let Ok(_seat) = shared.seats.try_acquire() else {
            let mut answer = text(StatusCode::SERVICE_UNAVAILABLE, "too many wait already");
            answer.headers_mut().insert(RETRY_AFTER, 10.into());
            return Err(answer);
        };
        let changed = async {
            tokio::select! {
                () = shared.closing.cancelled() => None,
                changed = changes.wait_for(|index| index.total != size) => {
                    changed.ok().map(|index| Arc::clone(&index))
                }
            }
        };
        match timeout(shared.config.wait, changed).await {
            Ok(Some(index)) => Ok(index),
            _ => {
                let mut answer = Response::new(LogBody::memory(""));
                *answer.status_mut() = StatusCode::NOT_MODIFIED;
                Err(answer)
            }
        }
    }

    /// `with_body`: whether the bytes are wanted, and not only what is said about them.
    async fn segment(
        &self,
        number: &str,
        headers: &HeaderMap,
        with_body: bool,
    ) -> Response<LogBody> {
        let Ok(number) = number.parse::<u32>() else {
            return text(StatusCode::BAD_REQUEST, "bad path");
        };
        let shared = &*self.shared;
        let range = headers.get(RANGE).and_then(|range| range.to_str().ok());
        let may_gzip = shared.config.gzip && range.is_none() && takes_gzip(headers);
        let mut is_again = false;
        loop {
            let index = Arc::clone(&shared.index.borrow());
            let Some(segment) = index.segments.get(number as usize) else {
                return text(StatusCode::BAD_REQUEST, "bad segment number");
            };
            let size = segment.size;
            let (status, first, len) = match range.map_or(Wanted::All, |range| wanted(range, size))
            {
                Wanted::All => (StatusCode::OK, 0, size),
                Wanted::Part { first, last } => {
                    (StatusCode::PARTIAL_CONTENT, first, last - first + 1)
                }
                Wanted::Nothing => {
                    let mut answer = text(StatusCode::RANGE_NOT_SATISFIABLE, "no such range");
                    set(&mut answer, CONTENT_RANGE, &format!("bytes */{size}"));
                    return answer;
                }
            };
            let mut gzip = false;
            let body = match (&shared.source, &segment.place) {
                (Source::Blobs(blobs), _) if with_body => {
                    match bucket::open(&**blobs, segment, first, len).await {
                        Ok(stream) => LogBody::stream(stream, len),
                        // It may have grown, and be another blob now.
                        Err(error) if error.kind() == ErrorKind::NotFound && !is_again => {
                            is_again = true;
                            if let Err(error) = self.refresh().await {
                                return out_of_reach(&error);
                            }
                            continue;
                        }
                        Err(error) => return out_of_reach(&error),
                    }
                }
                (_, Place::Blob(_)) => LogBody::withheld(len),
                (_, Place::File(path)) => {
                    let compressing = &shared.compressing;
                    let turn = may_gzip.then(|| Arc::clone(compressing).try_acquire_owned());
                    let turn = turn.and_then(Result::ok);
                    gzip = turn.is_some();
                    LogBody::file(path.clone(), first, len, turn)
                }
            };
            let mut answer = Response::new(body);
            *answer.status_mut() = status;
            if status == StatusCode::PARTIAL_CONTENT {
                let last = first + len - 1;
                let range = format!("bytes {first}-{last}/{size}");
                set(&mut answer, CONTENT_RANGE, &range);
            }
            set_type(&mut answer, "application/octet-stream", gzip);
            set(&mut answer, ACCEPT_RANGES, "bytes");
            return answer;
        }
    }
}

/// The blobs cannot be had now. Who asks is not told why: names of buckets are nobody's business.
fn out_of_reach(error: &dyn std::error::Error) -> Response<LogBody> {
    tracing::warn!("a segment cannot be served: {}", in_full(error));
    let mut answer = text(
        StatusCode::SERVICE_UNAVAILABLE,
        "the segment is out of reach",
    );
    answer.headers_mut().insert(RETRY_AFTER, 10.into());
    answer
}

fn text(status: StatusCode, text: &str) -> Response<LogBody> {
    let mut answer = Response::new(LogBody::memory(format!("{text}\n")));
    *answer.status_mut() = status;
    set(&mut answer, CONTENT_TYPE, "text/plain; charset=utf-8");
    answer
}

fn set_type(answer: &mut Response<LogBody>, kind: &'static str, gzip: bool) {
    set(answer, CONTENT_TYPE, kind);
    set(answer, VARY, "accept-encoding");
    if gzip {
        set(answer, CONTENT_ENCODING, "gzip");
    }
}

fn set(answer: &mut Response<LogBody>, name: HeaderName, value: &str) {
    // What this module writes is a header's value.
    if let Ok(value) = value.parse() {
        answer.headers_mut().insert(name, value);
    }
}

fn compressed(body: &[u8]) -> Option<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(body).ok()?;
    gzip.finish().ok()
}

/// Whether gzip is named, and not with weight 0.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT_ENCODING).into_iter();
    accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let is_gzip = parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok());
            is_gzip && weight != Some(0.0)
        })
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Part { first: u64, last: u64 },
    Nothing,
}

/// What a `Range` asks for, of so many bytes. What is none, or more than one, is answered as if it were not there (RFC 9110, section 14.2).
fn wanted(range: &str, size: u64) -> Wanted {
    let Some((first, last)) = range
        .trim()
        .strip_prefix("bytes=")
        .and_then(|range| range.trim().split_once('-'))
    else {
        return Wanted::All;
    };
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(first) || !is_number(last) {
        return Wanted::All;
    }
    // More digits than a number has are more bytes than there are.
    let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
    match (first, last) {
        ("", "") => Wanted::All,
        ("", suffix) => match number(suffix).min(size) {
            0 => Wanted::Nothing,
            len => Wanted::Part {
                first: size - len,
                last: size - 1,
            },
        },
        (first, last) => {
            let first = number(first);
            let last = if last.is_empty() {
                u64::MAX
            } else {
                number(last)
            };
            if last < first {
                Wanted::All
            } else if first >= size {
                Wanted::Nothing
            } else {
                let last = last.min(size - 1);
                Wanted::Part { first, last }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::ServeConfig;

    #[test]
    fn ranges_are_those_of_the_rfc() {
        let part = |first, last| Wanted::Part { first, last };
        for (range, expected) in [
            ("bytes=0-0", part(0, 0)),
            ("bytes=0-99", part(0, 9)),
            ("bytes=3-", part(3, 9)),
            ("bytes=9-9", part(9, 9)),
            ("bytes=-3", part(7, 9)),
            ("bytes=-30", part(0, 9)),
            ("bytes=0-99999999999999999999999", part(0, 9)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            ("bytes=5-4", Wanted::All),
            ("bytes=0-1,3-4", Wanted::All),
            ("bytes=+1-2", Wanted::All),
            ("bytes=-", Wanted::All),
            ("lines=0-1", Wanted::All),
        ] {
            assert_eq!(wanted(range, 10), expected, "{range}");
        }
        assert_eq!(wanted("bytes=0-", 0), Wanted::Nothing);
    }

    #[test]
    fn gzip_is_for_those_who_take_it() {
        for (accepted, expected) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0, br", false),
            ("identity", false),
            ("xgzip", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, accepted.parse().unwrap());
            assert_eq!(takes_gzip(&headers), expected, "{accepted}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn no_more_segments_are_compressed_than_there_are_processors() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Vec::new();
        crate::reclog::encode_into(&mut log, 0, &[b'x'; 1000]);
        std::fs::write(dir.path().join("maintner-0.mutlog"), log).unwrap();
        let server = LogServer::open(dir.path(), ServeConfig::default()).unwrap();
        let ask = async || {
            let request = Request::get("/logs/0").header(ACCEPT_ENCODING, "gzip");
            let answer = server.answer(request.body(()).unwrap()).await;
            assert_eq!(answer.status(), StatusCode::OK);
            let is_compressed = answer.headers().contains_key(CONTENT_ENCODING);
            (answer, is_compressed)
        };
        let mut answers = Vec::new();
        for _ in 0..std::thread::available_parallelism().unwrap().get() {
            let (answer, is_compressed) = ask().await;
            assert!(is_compressed);
            answers.push(answer);
        }
        let (plain, is_compressed) = ask().await;
        assert!(!is_compressed);
        let len = http_body::Body::size_hint(plain.body()).exact();
        assert_eq!(len, Some(server.size()));
        answers.pop();
        assert!(ask().await.1);
    }
}
