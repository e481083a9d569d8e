use std::fmt;

use bytes::{Bytes, BytesMut};

use super::body::Body;
use super::head::behind_head;
use super::{ConnPath, HeadError, PathError, ReplyHead};

/// A redirect's body is read to its end, as the next reply follows it; a longer one is refused.
const MAX_REDIRECT_BODY_BYTES: u64 = 64 << 10;

/// Asks for a switch of protocols and reads the answer: the client's side of `/reverse` and of a pick-up.
///
/// One redirect is followed, on the same connection. Bytes behind the `101` are kept: they are the first of the stream.
///
/// ```
/// use revdial::proto::{ConnPath, Handshake};
///
/// let mut handshake = Handshake::new(ConnPath::parse("/reverse")?, &[]);
/// let request = handshake.poll_transmit().expect("it begins with a request");
/// assert_eq!(request, "GET /reverse HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\n\r\n");
///
/// assert_eq!(handshake.receive(b"HTTP/0.0 101 Switching Protocols\r\n")?, None);
/// assert_eq!(handshake.receive(b"\r\nearly bytes")?.unwrap(), "early bytes");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Handshake {
    target: ConnPath,
    headers: Vec<Header>,
    request: Option<Bytes>,
    received: BytesMut,
    redirected: bool,
    reply: Option<(ReplyHead, Body)>,
}

/// A header of a request: the name as it stands on the wire, and a value without control bytes.
///
/// The value is hidden from `Debug`, for it may be a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    name: &'static str,
    value: String,
}

/// A header's value has a control byte, a blank at its ends, or over 8 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidHeader {
    /// The header's name.
    pub name: &'static str,
}

/// Why a connection did not become a stream.
///
/// The messages are upstream's: operators and scripts match on them, and a coordinator sees them in `pickup-failed`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SwitchError {
    /// Neither a switch nor a redirect.
    Status {
        /// The reply's code.
        code: u16,
        /// Code and reason.
        status: String,
        /// The body's first 4 KiB.
        body: String,
    },
    /// A redirect does not say where to.
    MissingLocation {
        /// Code and reason.
        status: String,
        /// The body's first 4 KiB.
        body: String,
    },
    /// A redirect leads to another server.
    AbsoluteLocation {
        /// Where to.
        location: String,
        /// `scheme` or `host`: what it has that it must not have.
        contains: &'static str,
    },
    /// A redirect leads to something that is no path.
    BadLocation {
        /// Where to.
        location: String,
        /// What is wrong with it.
        source: PathError,
    },
    /// A redirect was answered by a redirect.
    TooManyRedirects {
        /// What was asked for last.
        target: ConnPath,
    },
    /// The reply is not HTTP.
    Malformed(HeadError),
    /// The body is not in chunks, though the head says so.
    MalformedBody,
    /// A redirect's body has more than 64 KiB.
    BodyTooLong,
    /// The connection ended within the reply, or before it.
    UnexpectedEof,
    /// The reply did not come in time.
    TimedOut,
}

/// Why no more of a reply will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Closed,
    TimedOut,
}

impl Handshake {
    /// Asks for `target` with `headers`, in the order given, behind `Host` and `User-Agent`.
    ///
    /// The bytes are those of a Go buildlet: an empty `Host`, and no word of an upgrade.
    #[must_use]
    pub fn new(target: ConnPath, headers: &[Header]) -> Self {
        let mut handshake = Self {
            target,
            headers: headers.to_vec(),
            request: None,
            received: BytesMut::new(),
            redirected: false,
            reply: None,
        };
        handshake.ask();
        handshake
    }

    /// A request to write and flush.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.request.take()
    }

    /// Takes what the server sent; once it has switched, gives the bytes that came behind its reply.
    ///
    /// Nothing is an answer to a request that was not [sent](Self::poll_transmit) yet: what came early is looked at in the
    /// next call, which may bring no bytes.
    ///
    /// # Errors
    ///
    /// [`SwitchError`]; the connection is then of no more use.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Option<Bytes>, SwitchError> {
        self.received.extend_from_slice(bytes);
        while self.request.is_none() {
            let Some((head, mut body)) = self.reply.take() else {
                let Some((head, len)) =
                    ReplyHead::parse(&self.received).map_err(SwitchError::Malformed)?
                else {
                    return Ok(None);
                };
                let rest = behind_head(std::mem::take(&mut self.received), len);
                if head.code() == 101 {
                    return Ok(Some(rest));
                }
                self.received = rest.into();
                let body = Body::of(&head);
                self.reply = Some((head, body));
                continue;
            };
            let mut input = &self.received[..];
            let ended = body
                .receive(&mut input)
                .map_err(|_| SwitchError::MalformedBody)?;
            let used = self.received.len() - input.len();
            let _ = self.received.split_to(used);
            let enough = match head.code() {
                307 if body.seen() > MAX_REDIRECT_BODY_BYTES => {
                    return Err(SwitchError::BodyTooLong);
                }
                307 => false,
                // No more of it would be shown.
                _ => body.seen() >= Body::MAX_TEXT_BYTES as u64,
            };
            if !ended && !enough {
                self.reply = Some((head, body));
                return Ok(None);
            }
            self.follow(&head, &body)?;
        }
        Ok(None)
    }

    /// The server closed the connection: why that is the end.
    #[must_use]
    pub fn closed(self) -> SwitchError {
        self.give_up(Ended::Closed)
    }

    /// The caller waits no longer: why.
    ///
    /// That is the reply's status if its head came, though its body did not.
    #[must_use]
    pub fn timed_out(self) -> SwitchError {
        self.give_up(Ended::TimedOut)
    }

    fn ask(&mut self) {
        let mut request = format!(
            "GET {} HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\n",
            self.target
        );
        for Header { name, value } in &self.headers {
            request.extend([name, ": ", value, "\r\n"]);
        }
        request.push_str("\r\n");
        self.request = Some(request.into());
    }

    /// Acts on a whole reply that is no switch.
    fn follow(&mut self, head: &ReplyHead, body: &Body) -> Result<(), SwitchError> {
        if head.code() != 307 {
            return Err(SwitchError::Status {
                code: head.code(),
                status: head.status().to_owned(),
                body: body.text(),
            });
        }
        let Some(location) = head.location() else {
            return Err(SwitchError::MissingLocation {
                status: head.status().to_owned(),
                body: body.text(),
            });
        };
        let location = String::from_utf8_lossy(location).into_owned();
        if let Some(contains) = absolute_part(&location) {
            return Err(SwitchError::AbsoluteLocation { location, contains });
        }
        if std::mem::replace(&mut self.redirected, true) {
            return Err(SwitchError::TooManyRedirects {
                target: self.target.clone(),
            });
        }
        self.target = match ConnPath::parse(&location) {
            Ok(target) => target,
            Err(source) => return Err(SwitchError::BadLocation { location, source }),
        };
        self.ask();
        Ok(())
    }

    fn give_up(mut self, ended: Ended) -> SwitchError {
        match self.reply.take() {
            Some((head, body))
                if head.code() != 307 || ended == Ended::Closed && body.may_end() =>
            {
                match self.follow(&head, &body) {
                    Err(error) => error,
                    // There is no connection left to follow it on.
                    Ok(()) => SwitchError::UnexpectedEof,
                }
            }
            _ if ended == Ended::TimedOut => SwitchError::TimedOut,
            _ => SwitchError::UnexpectedEof,
        }
    }
}

impl Header {
    /// A header for the request.
    ///
    /// # Errors
    ///
    /// [`InvalidHeader`] if the value could end the header early or be read as another one.
    pub fn new(name: &'static str, value: &str) -> Result<Self, InvalidHeader> {
        const MAX_VALUE_BYTES: usize = 8 << 10;
        let is_safe = !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !value.bytes().any(|byte| byte.is_ascii_control())
            && value.trim() == value
            && value.len() <= MAX_VALUE_BYTES;
        if !is_safe {
            return Err(InvalidHeader { name });
        }
        Ok(Self {
            name,
            value: value.to_owned(),
        })
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ..", self.name)
    }
}

impl fmt::Display for InvalidHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "value of header {} cannot be sent", self.name)
    }
}

impl std::error::Error for InvalidHeader {}

impl fmt::Display for SwitchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { status, body, .. } => {
                write!(f, "want HTTP status 101 or 307; got {status}:\n\t{body}")
            }
            Self::MissingLocation { status, body } => {
                write!(
                    f,
                    "redirect missing Location header; got {status}:\n\t{body}"
                )
            }
            Self::AbsoluteLocation { location, contains } => write!(
                f,
                "redirect Location must be relative: URL {location:?} is not relative: contains {contains}"
            ),
            Self::BadLocation { location, source } => {
                write!(
                    f,
                    "redirect Location {location:?} cannot be followed: {source}"
                )
            }
            Self::TooManyRedirects { .. } => f.write_str("too many redirects"),
            Self::Malformed(error) => write!(f, "error reading response: {error}"),
            Self::MalformedBody => {
                f.write_str("error reading response: malformed chunked encoding")
            }
            Self::BodyTooLong => {
                f.write_str("error reading response: body of redirect is too long")
            }
            Self::UnexpectedEof => f.write_str("error reading response: unexpected EOF"),
            Self::TimedOut => f.write_str("error reading response: timed out"),
        }
    }
}

/// No sources: the messages are whole, as they go over the wire.
impl std::error::Error for SwitchError {}

/// What makes a URL lead elsewhere: its scheme or its host.
fn absolute_part(location: &str) -> Option<&'static str> {
    if location.starts_with("//") {
        return Some("host");
    }
    let (scheme, _) = location.split_once(':')?;
    let mut chars = scheme.chars();
    let is_scheme = chars.next().is_some_and(|c| c.is_ascii_alphabetic())
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    is_scheme.then_some("scheme")
}
