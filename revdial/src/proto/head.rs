use std::fmt;
use std::str;

use bytes::{Bytes, BytesMut};

/// The largest request or reply head that is read, its blank line included.
///
/// Upstream's heads have under 500 bytes, and one with a gomote's identity token about 2 KiB.
pub const MAX_HEAD_BYTES: usize = 16 << 10;
const MAX_HEADERS: usize = 64;

/// The head of a reply: its status line, and of the headers those that matter here.
///
/// Any `HTTP/d.d` will do: a Go coordinator says `HTTP/0.0` where it switches protocols, which HTTP libraries refuse.
///
/// ```
/// use revdial::proto::ReplyHead;
///
/// let received = b"HTTP/0.0 101 Switching Protocols\r\n\r\n{\"command\":";
/// let (head, len) = ReplyHead::parse(received)?.expect("the head is complete");
/// assert_eq!(head.code(), 101);
/// assert_eq!(&received[len..], b"{\"command\":");
/// # Ok::<(), revdial::proto::HeadError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyHead {
    code: u16,
    status: String,
    location: Option<Vec<u8>>,
    pub(super) content_length: Option<u64>,
    pub(super) chunked: bool,
}

/// The head of a request: method, target and headers, as they came.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestHead {
    method: String,
    target: String,
    /// HTTP/1.1 and not HTTP/1.0.
    persistent_version: bool,
    headers: Vec<(String, Bytes)>,
}

/// Why bytes are no HTTP head.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadError {
    /// It has over [`MAX_HEAD_BYTES`] or 64 headers.
    TooLarge,
    /// The first line or a header is not HTTP; the text says what.
    Malformed(String),
}

impl ReplyHead {
    /// Reads a head from the front of `received`: with it comes its length in bytes. `None` if it is not there whole yet.
    ///
    /// A first line that is wrong is reported as soon as it is whole.
    ///
    /// # Errors
    ///
    /// [`HeadError`], with upstream's words for a bad first line.
    pub fn parse(received: &[u8]) -> Result<Option<(Self, usize)>, HeadError> {
        let Some(newline) = first_newline(received) else {
            return unfinished(received);
        };
        let (code, status) = parse_status_line(&received[..newline])?;
        let Some(end) = head_end(received) else {
            return unfinished(received);
        };
        let mut head = Self {
            code,
            status,
            location: None,
            content_length: None,
            chunked: false,
        };
        for (name, value) in parse_headers(&received[newline + 1..end])? {
            if name.eq_ignore_ascii_case("location") {
                head.location.get_or_insert(value.to_vec());
            } else if name.eq_ignore_ascii_case("content-length") {
                let length = content_length(value)
                    .ok_or_else(|| HeadError::Malformed("bad Content-Length".into()))?;
                if head
                    .content_length
                    .replace(length)
                    .is_some_and(|earlier| earlier != length)
                {
                    return Err(HeadError::Malformed(
                        "two Content-Length headers that differ".into(),
                    ));
                }
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(HeadError::Malformed("unknown Transfer-Encoding".into()));
                }
                head.chunked = true;
            }
        }
        Ok(Some((head, end)))
    }

    /// The three-digit status code.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    /// Code and reason, such as `400 Bad Request`.
    #[must_use]
    pub fn status(&self) -> &str {
        &self.status
    }

    /// The first `Location` header that is not empty.
    #[must_use]
    pub fn location(&self) -> Option<&[u8]> {
        self.location
            .as_deref()
            .filter(|location| !location.is_empty())
    }
}

impl RequestHead {
    /// Reads a head from the front of `received`: with it comes its length in bytes. `None` if it is not there whole yet.
    ///
    /// # Errors
    ///
    /// [`HeadError`].
    pub fn parse(received: &[u8]) -> Result<Option<(Self, usize)>, HeadError> {
        let Some(end) = head_end(received) else {
            return unfinished(received);
        };
        if end > MAX_HEAD_BYTES {
            return Err(HeadError::TooLarge);
        }
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let malformed = |what: &dyn fmt::Display| HeadError::Malformed(what.to_string());
        match request.parse(&received[..end]).map_err(from_httparse)? {
            httparse::Status::Complete(len) if len == end => {}
            // Blank lines before the first line, which `head_end` took for the end.
            _ => return Err(malformed(&"a blank line before the request")),
        }
        let (Some(method), Some(target)) = (request.method, request.path) else {
            return Err(malformed(&"no request line"));
        };
        let head = Self {
            method: method.into(),
            target: target.into(),
            persistent_version: request.version == Some(1),
            headers: request
                .headers
                .iter()
                .map(|header| (header.name.to_owned(), Bytes::copy_from_slice(header.value)))
                .collect(),
        };
        Ok(Some((head, end)))
    }

    /// The target's path, as soon as the first line is whole: a server then knows whether the request is its own.
    ///
    /// `None` while the line is not whole, and `Some(None)` if it is no HTTP/1 request line.
    #[must_use]
    pub fn peek_path(received: &[u8]) -> Option<Option<&str>> {
        let newline = first_newline(received)?;
        let target = (|| {
            let line = str::from_utf8(&received[..newline]).ok()?;
            let mut words = line.trim_end_matches('\r').split(' ');
            let (_method, target, version) = (words.next()?, words.next()?, words.next()?);
            (version.starts_with("HTTP/1.") && words.next().is_none())
                .then(|| super::path::path_of(target))
        })();
        Some(target)
    }

    /// The method, as it came.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The request target with its query, as it came.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The target without its query.
    #[must_use]
    pub fn path(&self) -> &str {
        super::path::path_of(&self.target)
    }

    /// The value of the first header of that name in any letter case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let (_, value) = self
            .headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    /// HTTP/1.1 demands a `Host` header, if only an empty one, and so do Go's servers.
    pub(crate) fn lacks_host(&self) -> bool {
        self.persistent_version && self.header("host").is_none()
    }

    /// Whether bytes behind the head are a body rather than the first of what comes after a switch of protocols.
    pub(crate) fn has_body(&self) -> bool {
        self.header("transfer-encoding").is_some()
            || self
                .header("content-length")
                .is_some_and(|value| content_length(value) != Some(0))
    }
}

/// Values are left out: one of them may be a key.
impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("RequestHead")
            .field("method", &self.method)
            .field("path", &self.path())
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => f.write_str("head is too large"),
            Self::Malformed(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for HeadError {}

/// Takes the bytes behind the head of `len` bytes out of a read buffer, and lets go of the buffer if there are none.
pub(crate) fn behind_head(mut received: BytesMut, len: usize) -> Bytes {
    if received.len() == len {
        return Bytes::new();
    }
    received.split_off(len).freeze()
}

/// A head that has not ended.
fn unfinished<T>(received: &[u8]) -> Result<Option<T>, HeadError> {
    if received.len() >= MAX_HEAD_BYTES {
        return Err(HeadError::TooLarge);
    }
    Ok(None)
}

/// Where the first line ends. Like the next, it looks no further than a head may reach, so that its answer is final however
/// much more has been received.
fn first_newline(received: &[u8]) -> Option<usize> {
    let head = &received[..received.len().min(MAX_HEAD_BYTES)];
    head.iter().position(|&byte| byte == b'\n')
}

/// Where the blank line behind a head ends.
fn head_end(received: &[u8]) -> Option<usize> {
    let head = &received[..received.len().min(MAX_HEAD_BYTES)];
    let mut newlines = head.iter().enumerate().filter(|&(_, &byte)| byte == b'\n');
    newlines.find_map(|(at, _)| match &head[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

/// `HTTP/d.d CODE REASON`; the errors are those of Go's `net/http`.
fn parse_status_line(line: &[u8]) -> Result<(u16, String), HeadError> {
    let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
    let malformed = |what: &str, found: &str| {
        // It may go into a control line and a log: no more than it takes to see what it is.
        let found: String = found.chars().take(64).collect();
        Err(HeadError::Malformed(format!(
            "malformed HTTP {what} {found:?}"
        )))
    };
    let Some((version, status)) = line.split_once(' ') else {
        return malformed("response", &line);
    };
    let status = status.trim_start_matches(' ');
    let code = status.split(' ').next().unwrap_or_default();
    let is_code = code.len() == 3 && code.bytes().all(|digit| digit.is_ascii_digit());
    let Some(code) = code.parse().ok().filter(|_| is_code) else {
        return malformed("status code", code);
    };
    match version.as_bytes() {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Ok((code, status.to_owned()))
        }
        _ => malformed("version", version),
    }
}

fn parse_headers(block: &[u8]) -> Result<Vec<(&str, &[u8])>, HeadError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    match httparse::parse_headers(block, &mut headers).map_err(from_httparse)? {
        httparse::Status::Complete((len, headers)) if len == block.len() => Ok(headers
            .iter()
            .map(|header| (header.name, header.value))
            .collect()),
        _ => Err(HeadError::Malformed("malformed headers".into())),
    }
}

fn content_length(value: &[u8]) -> Option<u64> {
    let digits = str::from_utf8(value).ok()?;
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

fn from_httparse(error: httparse::Error) -> HeadError {
    match error {
        httparse::Error::TooManyHeaders => HeadError::TooLarge,
        _ => HeadError::Malformed(error.to_string().to_lowercase()),
    }
}
