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
//! | [`Resume`](Extension::Resume) | fields `resume`, `part` and `grace` of `/exec`; `/attach`; `/abandon`; key `Kept` of `/status` |
//!
//! The trailers come with every `/exec` and `/attach` whose request says `X-Buildlet-Accept: trailers`.
//!
//! # Commands that outlive their connection
//!
//! A command ends with its connection, unless its `/exec` has the field `resume=KEY` (16 hexadecimal digits that name it, `-`, 32 that are
//! secret: [`ResumeKey`]). Such a command goes on without one for `grace=50000ms`, two minutes if nothing is said, and never longer than the
//! buildlet's own limit; then it is killed with all that it started. `part=N` (0 if nothing is said) tells apart the commands that one key has
//! one after the other: the next takes the place of one that ended, and a buildlet never runs two of them at a time.
//!
//! | request | does | refusals |
//! |---|---|---|
//! | `POST /exec` with `resume`, `part`, `grace` | starts the command; the reply is as ever | 409: one with this key runs, or had this part or a later one; 503: too many are kept |
//! | `POST /attach` with `resume`, `part`, `offset` | the reply is that of the `/exec`, without the first `offset` bytes; whoever had the command's output is cut off | 404: no such command, or the wrong secret; 410: that output is gone; 416: there is not so much |
//! | `POST /abandon` with any number of `name=NAME` | kills these commands, or without a name all that are kept; answers when they are dead | |
//! | `GET /status` | key `Kept`: a list of `{"Name":NAME,"Part":N,"Running":BOOL}` | |
//!
//! The buildlet has the last bytes that it sent (4 MiB of each command by default), as what was on its way is lost with a connection; of what is not sent
//! yet it takes as much again without a connection, and then the command waits. A command that ended is kept as long as one that runs, or
//! until its place is needed after its end was sent. A key opens nothing without what any request needs, such as the password or the
//! coordinator's session.

mod archive_format;
mod enforced;
mod isolation;
mod limit;
mod resume;
mod usage;

use std::fmt;
use std::time::Duration;

pub use self::archive_format::{ACCEPT_HEADER, ACCEPT_TRAILERS, ArchiveFormat, FORMAT_HEADER};
pub use self::enforced::{Enforced, ISOLATION_TRAILER, Mechanism};
pub use self::isolation::{Isolation, Network};
pub use self::limit::{LIMIT_TRAILER, LimitHit};
pub(crate) use self::resume::key_and_part;
#[cfg(feature = "server")]
pub(crate) use self::resume::number;
pub use self::resume::{
    GRACE_FIELD, KeptCommand, KeptName, NAME_FIELD, OFFSET_FIELD, PART_FIELD, RESUME_FIELD, Resume,
    ResumeKey,
};
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
    /// Commands that outlive their connection.
    Resume,
}

impl Extension {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Tar,
        Self::Timeout,
        Self::Isolation,
        Self::Network,
        Self::Usage,
        Self::Resume,
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
            Self::Resume => "resume",
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

pub(super) fn parse_millis(text: &[u8], name: &'static str) -> Result<Duration, ParseExtError> {
    millis(text).ok_or(ParseExtError { name })
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
