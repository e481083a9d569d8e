//! What our client and our buildlet agree on beyond the protocol.
//!
//! A buildlet lists the extensions that it offers in the reply of `/status` (key `Extensions`); a client uses none that is not
//! listed there. Upstream's programs see nothing of them: they ignore keys, form fields, headers and trailers that they do
//! not know.
//!
//! | extension | on the wire |
//! |---|---|
//! | [`Tar`](Extension::Tar) | `GET /tgz` with `X-Buildlet-Accept: tar`: the reply may be a plain tar, and says so with `X-Buildlet-Format: tar`; a `PUT /writetgz` with `X-Buildlet-Format: tar` brings one |
//! | [`Timeout`](Extension::Timeout) | field `timeout=90000ms` of `/exec`; trailer `Process-Limit: timeout` if it struck |
//! | [`Isolation`](Extension::Isolation) | field `isolation=none`, `process` or `sandbox` of `/exec`; trailer `Process-Isolation` with what was enforced |
//! | [`Network`](Extension::Network) | field `network=off` of `/exec`; in the same trailer |
//! | [`Usage`](Extension::Usage) | trailer `Process-Usage` of `/exec` |
//!
//! The trailers come with every `/exec` whose request says `X-Buildlet-Accept: trailers`.

mod archive_format;
mod enforced;
mod isolation;
mod limit;
mod usage;

use std::fmt;
use std::time::Duration;

pub use self::archive_format::{ACCEPT_HEADER, ACCEPT_TRAILERS, ArchiveFormat, FORMAT_HEADER};
pub use self::enforced::{Enforced, ISOLATION_TRAILER, Mechanism};
pub use self::isolation::{Isolation, Network};
pub use self::limit::{LIMIT_TRAILER, LimitHit};
pub use self::usage::{USAGE_TRAILER, Usage};

/// Form field of `/exec`: the time after which the buildlet kills the command, as decimal milliseconds and `ms`.
pub const TIMEOUT_FIELD: &str = "timeout";
/// Form field of `/exec`: an [`Isolation`].
pub const ISOLATION_FIELD: &str = "isolation";
/// Form field of `/exec`: a [`Network`].
pub const NETWORK_FIELD: &str = "network";

/// Something that a buildlet may offer beyond the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Extension {
    /// Archives without compression, both ways.
    Tar,
    /// A time limit that the buildlet enforces.
    Timeout,
    /// Levels of isolation.
    Isolation,
    /// Commands without network.
    Network,
    /// A report of time and memory.
    Usage,
}

impl Extension {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Tar,
        Self::Timeout,
        Self::Isolation,
        Self::Network,
        Self::Usage,
    ];

    /// The name in the list of `/status`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::Timeout => "timeout",
            Self::Isolation => "isolation",
            Self::Network => "network",
            Self::Usage => "usage",
        }
    }

    /// The extension of this name; `None` for one of a later version.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|extension| extension.as_str() == name)
    }
}

/// A field or header of an extension has a value that it cannot have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseExtError {
    name: &'static str,
}

impl fmt::Display for ParseExtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid '{}' parameter", self.name)
    }
}

impl std::error::Error for ParseExtError {}

/// A span of time on the wire, cut to whole milliseconds: `90000ms`.
pub(super) fn format_millis(span: Duration) -> String {
    format!("{}ms", span.as_millis())
}

pub(super) fn parse_millis(text: &[u8]) -> Result<Duration, ParseExtError> {
    millis(text).ok_or(ParseExtError {
        name: TIMEOUT_FIELD,
    })
}

fn millis(text: &[u8]) -> Option<Duration> {
    let digits = str::from_utf8(text).ok()?.strip_suffix("ms")?;
    let plain = digits.bytes().all(|digit| digit.is_ascii_digit());
    plain
        .then(|| digits.parse().ok().map(Duration::from_millis))
        .flatten()
}

/// The part of `text` behind `key=`, in a list of `key=value` divided by blanks.
fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.split(' ')
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}
