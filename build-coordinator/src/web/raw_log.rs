use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State as Extracted};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, RANGE,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;

use crate::web::backend::{ByteStream, Log};
use crate::web::failure::Failure;
use crate::web::site::Shared;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LogQuery {
    /// Any value but `0` and `false`: wait for more, up to the attempt's end.
    follow: String,
    /// Begin here, in bytes. For those who follow; others have `Range`.
    offset: Option<u64>,
}

/// A log as it was printed, whole, in part (`Range`) or while it grows (`follow`).
pub(super) async fn log(
    Extracted(site): Extracted<Arc<Shared>>,
    Path((build, attempt)): Path<(u64, u32)>,
    Query(query): Query<LogQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let missing = || Failure::not_found("There is no such log.");
    let follows = !matches!(query.follow.as_str(), "" | "0" | "false");
    let offset = query.offset.unwrap_or(0);
    if follows {
        let permit = site.streams.clone().try_acquire_owned();
        let permit =
            permit.map_err(|_| Failure::unavailable("Too many logs are followed at once."))?;
        let log = site
            .backend
            .log(build, attempt, offset)
            .await?
            .ok_or_else(missing)?;
        let body = following(log.bytes, site.clone(), permit);
        return Ok((StatusCode::OK, plain_text(), Body::from_stream(body)).into_response());
    }
    // Whoever asks for a part gets one of what is there now.
    let range = headers.get(RANGE).and_then(|value| value.to_str().ok());
    let whole = site
        .backend
        .log(build, attempt, offset)
        .await?
        .ok_or_else(missing)?;
    let len = whole.len;
    let part = match range
        .filter(|_| query.offset.is_none())
        .map(|range| Part::of(range, len))
    {
        None | Some(Part::Whole) => {
            let rest = len.saturating_sub(offset);
            return Ok(sized(StatusCode::OK, whole, rest, None));
        }
        Some(Part::Nothing) => {
            let range = format!("bytes */{len}");
            return Ok(
                (StatusCode::RANGE_NOT_SATISFIABLE, [(CONTENT_RANGE, range)]).into_response(),
            );
        }
        Some(Part::Of { from, to }) => (from, to),
    };
    let (from, to) = part;
    let end = if whole.is_live {
        "*".to_owned()
    } else {
        len.to_string()
    };
    let log = if from == 0 {
        whole
    } else {
        site.backend
            .log(build, attempt, from)
            .await?
            .ok_or_else(missing)?
    };
    let range = format!("bytes {from}-{}/{end}", to - 1);
    Ok(sized(
        StatusCode::PARTIAL_CONTENT,
        log,
        to - from,
        Some(range),
    ))
}

/// A file that an attempt left: never shown, always saved.
pub(super) async fn artifact(
    Extracted(site): Extracted<Arc<Shared>>,
    Path((build, attempt, name)): Path<(u64, u32, String)>,
) -> Result<Response, Failure> {
    let file = site.backend.artifact(build, attempt, &name).await?;
    let file = file.ok_or_else(|| Failure::not_found("There is no such file."))?;
    let mut response = Body::from_stream(first(file.bytes, file.len)).into_response();
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; sandbox"),
    );
    headers.insert(CONTENT_LENGTH, file.len.into());
    Ok(response)
}

/// What a `Range` header asks for, of `len` bytes.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    /// It asks for several parts or for none that makes sense: everything is the answer.
    Whole,
    Nothing,
    /// From one byte up to, and without, another.
    Of {
        from: u64,
        to: u64,
    },
}

impl Part {
    fn of(header: &str, len: u64) -> Self {
        let Some((from, to)) = header
            .strip_prefix("bytes=")
            .and_then(|part| part.trim().split_once('-'))
        else {
            return Self::Whole;
        };
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            // One that fits no integer is behind the end of everything.
            is_number.then(|| text.parse().unwrap_or(u64::MAX))
        };
        let (from, to) = match (number(from), number(to)) {
            (Some(from), Some(last)) if last >= from => (from, last.saturating_add(1).min(len)),
            (Some(from), None) if to.is_empty() => (from, len),
            (None, Some(last)) if from.is_empty() => (len.saturating_sub(last), len),
            _ => return Self::Whole,
        };
        if from < to {
            Self::Of { from, to }
        } else {
            Self::Nothing
        }
    }
}

fn plain_text() -> [(http::HeaderName, &'static str); 1] {
    [(CONTENT_TYPE, "text/plain; charset=utf-8")]
}

fn sized(status: StatusCode, log: Log, len: u64, range: Option<String>) -> Response {
    let mut response = (
        status,
        plain_text(),
        Body::from_stream(first(log.bytes, len)),
    )
        .into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, len.into());
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(range) = range {
        let range = HeaderValue::try_from(range).expect("digits can stand in a header");
        headers.insert(CONTENT_RANGE, range);
    }
    response
}

/// The first `len` bytes of a stream.
pub(super) fn first(bytes: ByteStream, len: u64) -> ByteStream {
    Box::pin(stream::unfold(
        (bytes, len),
        |(mut bytes, left)| async move {
            if left == 0 {
                return None;
            }
            let chunk = bytes.next().await?.map(|mut chunk: Bytes| {
                chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                chunk
            });
            let left = chunk.as_ref().map_or(0, |chunk| left - chunk.len() as u64);
            Some((chunk, (bytes, left)))
        },
    ))
}

/// A stream that ends with the site, too.
pub(super) fn following(
    bytes: ByteStream,
    site: Arc<Shared>,
    permit: OwnedSemaphorePermit,
) -> ByteStream {
    Box::pin(stream::unfold(
        (bytes, site, permit),
        |(mut bytes, site, permit)| async move {
            let chunk = site.stop.run_until_cancelled(bytes.next()).await??;
            Some((chunk, (bytes, site, permit)))
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_those_that_rfc_9110_means() {
        for (header, part) in [
            ("bytes=0-4", Part::Of { from: 0, to: 5 }),
            ("bytes=5-", Part::Of { from: 5, to: 10 }),
            ("bytes=-3", Part::Of { from: 7, to: 10 }),
            ("bytes=-30", Part::Of { from: 0, to: 10 }),
            (
                "bytes=8-99999999999999999999999",
                Part::Of { from: 8, to: 10 },
            ),
            ("bytes=10-", Part::Nothing),
            ("bytes=-0", Part::Nothing),
            ("bytes=99999999999999999999999-", Part::Nothing),
            ("bytes=4-2", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=0-1,4-5", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("lines=0-1", Part::Whole),
        ] {
            assert_eq!(Part::of(header, 10), part, "{header}");
        }
        assert_eq!(Part::of("bytes=0-", 0), Part::Nothing);
    }
}
