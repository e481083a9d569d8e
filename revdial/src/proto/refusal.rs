use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

/// An answer other than a switch of protocols: a status, and a line of text for people.
///
/// Texts and statuses of the constants are upstream's, on which operators and scripts match
/// (`internal/coordinator/pool/reverse.go`, `internal/rendezvous/rendezvous.go`, `revdial/v2/revdial.go`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: u16,
    text: Cow<'static, str>,
    header: &'static str,
}

impl Refusal {
    /// A buildlet's key is not that of its host type.
    pub const INVALID_KEY: Self = Self::fixed(412, "invalid build key\n");
    /// No gomote of that id is waited for.
    pub const NOT_EXPECTED: Self = Self::fixed(412, "not expecting buildlet client\n");
    /// A gomote's token does not prove who it is.
    pub const INVALID_TOKEN: Self = Self::fixed(412, "invalid authentication Token\n");
    /// As many workers are registered as this server takes.
    pub const TOO_MANY: Self = Self::fixed(503, "too many registrations\n");

    /// The pick-up is for a dialer that does not exist, or no longer.
    pub const UNKNOWN_DIALER: Self = Self::fixed(400, "unknown dialer\n");

    /// The request has a path of revdial's, and no head that can be read.
    pub const MALFORMED: Self = Self::fixed(400, "malformed request\n");

    pub(crate) const NO_HOST: Self =
        Self::fixed(400, "400 Bad Request: missing required Host header");
    pub(crate) const BODY: Self = Self::fixed(400, "unexpected request body\n");
    pub(crate) const PLAIN_REGISTRATION: Self =
        Self::fixed(500, "buildlet registration requires SSL\n");
    pub(crate) const PLAIN_PICKUP: Self = Self::fixed(500, "handler requires TLS\n");
    pub(crate) const NOT_GET: Self = Self {
        status: 405,
        text: Cow::Borrowed("expected GET request to revdial conn handler\n"),
        header: "Allow: GET\r\n",
    };

    /// An answer with this status and text, to which a newline is added.
    ///
    /// A listener takes 400 and 412 to mean that trying again is of no use.
    #[must_use]
    pub fn new(status: u16, text: &str) -> Self {
        Self {
            status,
            text: Cow::Owned(format!("{text}\n")),
            header: "",
        }
    }

    pub(crate) const fn fixed(status: u16, body: &'static str) -> Self {
        Self {
            status,
            text: Cow::Borrowed(body),
            header: "",
        }
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The whole body, with its newline.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.text
    }

    /// The reply on the wire. It says that the connection is closed behind it.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let reason = match self.status {
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            412 => "Precondition Failed",
            429 => "Too Many Requests",
            500 => "Internal Server Error",
            503 => "Service Unavailable",
            505 => "HTTP Version Not Supported",
            _ => "Refused",
        };
        format!(
            "HTTP/1.1 {:03} {reason}\r\n{}Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{}",
            self.status,
            self.header,
            self.text.len(),
            self.text
        )
        .into()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.text.trim_end())
    }
}

impl std::error::Error for Refusal {}
