use std::fmt::{self, Write as _};

use super::DialerId;

/// The query parameter that names the dialer (`revdial/v2/revdial.go`).
const DIALER_PARAMETER: &str = "revdial.dialer";
/// Leaves room in a control line even if every byte needs an escape of six.
const MAX_PICKUP_PATH_BYTES: usize = 512;

/// A request target that is safe to send: it begins with one `/` and has no byte that could end it early.
///
/// ```
/// use revdial::proto::{ConnPath, PathError};
///
/// assert_eq!(ConnPath::parse("/a b?x=1#end")?.as_str(), "/a%20b?x=1");
/// assert_eq!(ConnPath::parse("https://evil.example/"), Err(PathError::NotAbsolute));
/// # Ok::<(), PathError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConnPath(String);

/// Where a coordinator takes pick-ups, such as `/revdial`, possibly with a query; at most 512 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PickupPath(ConnPath);

/// Why a text is no path for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathError {
    /// It does not begin with `/`.
    NotAbsolute,
    /// It begins with `//`, so what follows would be a host.
    Host,
    /// It has an ASCII control byte.
    ControlByte,
    /// A `%` is not followed by two hexadecimal digits.
    BadEscape,
    /// It has more bytes than allowed.
    TooLong {
        /// How many are allowed.
        limit: usize,
    },
}

impl ConnPath {
    /// The most bytes a path may have, escapes included. A control line cannot carry more.
    pub const MAX_BYTES: usize = super::MAX_LINE_BYTES;

    /// Checks a path that a peer named.
    ///
    /// A fragment is cut off; blanks and other bytes that may not stand in a request target are escaped with `%`.
    ///
    /// # Errors
    ///
    /// [`PathError`]. A Go listener requests some of these, and is crashed by others (`/%zz`).
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(PathError::ControlByte);
        }
        if !text.starts_with('/') {
            return Err(PathError::NotAbsolute);
        }
        if text.starts_with("//") {
            return Err(PathError::Host);
        }
        let target = text.split_once('#').map_or(text, |(before, _)| before);
        let path = target.split_once('?').map_or(target, |(before, _)| before);
        if !has_good_escapes(path) {
            return Err(PathError::BadEscape);
        }
        let mut safe = String::with_capacity(target.len());
        for byte in target.bytes() {
            if byte.is_ascii_graphic()
                && !matches!(
                    byte,
                    b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}'
                )
            {
                safe.push(char::from(byte));
            } else {
                write!(safe, "%{byte:02X}").expect("a String takes everything");
            }
        }
        if safe.len() > Self::MAX_BYTES {
            return Err(PathError::TooLong {
                limit: Self::MAX_BYTES,
            });
        }
        Ok(Self(safe))
    }

    /// The request target as it stands on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the query.
    #[must_use]
    pub fn path(&self) -> &str {
        path_of(&self.0)
    }
}

impl PickupPath {
    /// Checks a path that the operator chose.
    ///
    /// # Errors
    ///
    /// [`PathError`], also if it has over 512 bytes.
    pub fn new(path: &str) -> Result<Self, PathError> {
        let path = ConnPath::parse(path)?;
        if path.0.len() > MAX_PICKUP_PATH_BYTES {
            return Err(PathError::TooLong {
                limit: MAX_PICKUP_PATH_BYTES,
            });
        }
        Ok(Self(path))
    }

    /// The path without its query: what a server routes by.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// What a listener is told to ask for, for the dialer `id`.
    #[must_use]
    pub fn for_dialer(&self, id: &DialerId) -> ConnPath {
        let separator = if self.0.0.contains('?') { '&' } else { '?' };
        ConnPath(format!("{}{separator}{DIALER_PARAMETER}={id}", self.0.0))
    }

    /// The dialer that a request target names in its query, whatever its path; `None` if none or no well-formed one.
    #[must_use]
    pub fn dialer_in(target: &str) -> Option<DialerId> {
        let (_, query) = target.split_once('?')?;
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let (_, id) = pairs.find(|(key, _)| *key == DIALER_PARAMETER)?;
        DialerId::parse(id).ok()
    }
}

/// `/revdial`, as upstream's coordinator and gomote server have it.
impl Default for PickupPath {
    fn default() -> Self {
        Self(ConnPath("/revdial".into()))
    }
}

impl fmt::Display for ConnPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAbsolute => f.write_str("path does not begin with \"/\""),
            Self::Host => f.write_str("path begins with \"//\", which names a host"),
            Self::ControlByte => f.write_str("path contains a control byte"),
            Self::BadEscape => f.write_str("path has a \"%\" without two hexadecimal digits"),
            Self::TooLong { limit } => write!(f, "path is longer than {limit} bytes"),
        }
    }
}

impl std::error::Error for PathError {}

/// The part of a request target before its query.
pub(crate) fn path_of(target: &str) -> &str {
    target.split_once('?').map_or(target, |(path, _)| path)
}

fn has_good_escapes(path: &str) -> bool {
    path.split('%').skip(1).all(|after| {
        let mut digits = after.bytes();
        let mut is_digit = || digits.next().is_some_and(|byte| byte.is_ascii_hexdigit());
        is_digit() && is_digit()
    })
}
