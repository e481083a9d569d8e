use std::fmt::{self, Display, Formatter};
use std::io::Write as _;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use flate2::write::MultiGzDecoder;
use futures_util::StreamExt as _;
use http::header::{CONTENT_ENCODING, RETRY_AFTER};
use http::{HeaderMap, Response};

use crate::error::TransportError;
use crate::transport::Body;

/// Why a body could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// It broke off, or is not what its header says of its compression.
    Broken(TransportError),
    /// It is longer than the limit, in bytes.
    TooLarge(usize),
}

impl Display for ReadError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(_) => f.write_str("the answer broke off"),
            Self::TooLarge(limit) => write!(f, "the answer is longer than {limit} bytes"),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Broken(source) => Some(source),
            Self::TooLarge(_) => None,
        }
    }
}

/// Reads a whole body of at most `limit` bytes, decompressed if it is compressed by gzip.
///
/// There is no limit of time: drop it when it takes too long.
///
/// # Errors
///
/// [`ReadError`].
pub async fn read_body(response: Response<Body>, limit: usize) -> Result<Bytes, ReadError> {
    let is_gzip = is_gzip(response.headers());
    let mut body = response.into_body();
    if !is_gzip {
        let mut whole = BytesMut::new();
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(ReadError::Broken)?;
            if piece.len() > limit - whole.len() {
                return Err(ReadError::TooLarge(limit));
            }
            whole.extend_from_slice(&piece);
        }
        return Ok(whole.freeze());
    }
    let mut gzip = MultiGzDecoder::new(Limited::new(limit));
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(ReadError::Broken)?;
        if let Err(error) = gzip.write_all(&piece) {
            return Err(gzip_error(gzip.get_ref(), error));
        }
    }
    if let Err(error) = gzip.try_finish() {
        return Err(gzip_error(gzip.get_ref(), error));
    }
    Ok(Bytes::from(std::mem::take(&mut gzip.get_mut().bytes)))
}

fn gzip_error(written: &Limited, error: std::io::Error) -> ReadError {
    if written.is_full {
        ReadError::TooLarge(written.limit)
    } else {
        ReadError::Broken(TransportError::broken(error))
    }
}

/// Reads the first `limit` bytes of a body, decompressed, or fewer if it breaks off: for the text of an error.
pub async fn read_start(response: Response<Body>, limit: usize) -> Vec<u8> {
    let is_gzip = is_gzip(response.headers());
    let mut body = response.into_body();
    let mut gzip = MultiGzDecoder::new(Limited::new(limit));
    while let Some(Ok(piece)) = body.next().await {
        let written = if is_gzip {
            gzip.write_all(&piece)
        } else {
            gzip.get_mut().write_all(&piece)
        };
        if written.is_err() || gzip.get_ref().bytes.len() >= limit {
            break;
        }
    }
    // Everything that came in must go out first; a body that was cut short still has a beginning.
    let _ = gzip.flush();
    std::mem::take(&mut gzip.get_mut().bytes)
}

/// Takes up to a limit, and remembers that there was more.
struct Limited {
    bytes: Vec<u8>,
    limit: usize,
    is_full: bool,
}

impl Limited {
    fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
            is_full: false,
        }
    }
}

impl std::io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let room = self.limit - self.bytes.len();
        if room == 0 && !bytes.is_empty() {
            self.is_full = true;
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        let taken = bytes.len().min(room);
        self.bytes.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn is_gzip(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_ENCODING)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"gzip"))
}

/// The pause that a server wants by its header `Retry-After`, given in seconds or as a date.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    Some(until.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_seconds_or_a_date() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(of("120"), Some(Duration::from_secs(120)));
        assert_eq!(of("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(of("soon"), None);
        assert_eq!(of("-1"), None);
    }

    fn zipped(bytes: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    }

    fn answer(bytes: Vec<u8>, is_gzip: bool) -> Response<Body> {
        let mut response = Response::new(crate::body(bytes));
        if is_gzip {
            let gzip = http::HeaderValue::from_static("gzip");
            response.headers_mut().insert(CONTENT_ENCODING, gzip);
        }
        response
    }

    #[tokio::test]
    async fn a_body_may_be_as_long_as_the_limit_compressed_or_not() {
        let text = vec![b'x'; 1000];
        for (sent, is_gzip) in [(text.clone(), false), (zipped(&text), true)] {
            let read = read_body(answer(sent.clone(), is_gzip), 1000).await;
            assert_eq!(read.unwrap(), text);
            let read = read_body(answer(sent.clone(), is_gzip), 999).await;
            assert!(matches!(read, Err(ReadError::TooLarge(999))), "{read:?}");
            assert_eq!(read_start(answer(sent, is_gzip), 10).await, &text[..10]);
        }
    }

    #[tokio::test]
    async fn a_small_answer_cannot_become_a_large_one() {
        let bomb = zipped(&vec![0; 16 << 20]);
        assert!(bomb.len() < 1 << 17);
        let read = read_body(answer(bomb, true), 1 << 20).await;
        assert!(matches!(read, Err(ReadError::TooLarge(_))), "{read:?}");
    }

    #[tokio::test]
    async fn what_is_not_compressed_as_it_says_is_broken() {
        for sent in [b"plain".to_vec(), zipped(b"text")[..12].to_vec()] {
            let read = read_body(answer(sent, true), 1000).await;
            assert!(matches!(read, Err(ReadError::Broken(_))), "{read:?}");
        }
    }
}
