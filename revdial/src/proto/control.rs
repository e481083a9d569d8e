use std::fmt::{self, Write as _};

use bytes::Bytes;
use serde_core::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

/// The longest line of the control connection, its newline included.
///
/// A Go peer closes the connection at a longer one: it is the size of its line reader's buffer (`revdial/v2/revdial.go`).
pub const MAX_LINE_BYTES: usize = 4096;

/// How long an encoded path may be in a `pickup-failed`; the rest of the line is for what went wrong.
const MAX_FAILED_PATH_BYTES: usize = 1024;

/// What one line of the control connection says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Message {
    /// The coordinator lives.
    KeepAlive,
    /// The coordinator wants a connection that asks for `conn_path`.
    ConnReady {
        /// The request target, as it came.
        conn_path: String,
    },
    /// The listener could not make a connection that was wanted.
    PickupFailed {
        /// The request target, where the listener says so.
        conn_path: Option<String>,
        /// What went wrong, for people.
        error: String,
    },
    /// A command that a later version may have, or none. To be ignored.
    Unknown,
}

/// Why a control connection cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlError {
    /// A line has more than [`MAX_LINE_BYTES`].
    LineTooLong,
    /// A line is no JSON object, or a known key has a value of the wrong type.
    Malformed {
        /// What is wrong and where.
        reason: String,
    },
}

impl Message {
    /// Reads one line, with or without its newline.
    ///
    /// Tolerates what Go's `encoding/json` does: `null`, keys in other letter cases, keys that come twice (the last one counts),
    /// keys and commands it does not know, and text that is not UTF-8.
    ///
    /// # Errors
    ///
    /// [`ControlError`]; the connection is then to be closed.
    pub fn decode(line: &[u8]) -> Result<Self, ControlError> {
        if line.len() > MAX_LINE_BYTES {
            return Err(ControlError::LineTooLong);
        }
        let malformed = |error: serde_json::Error| ControlError::Malformed {
            reason: error.to_string(),
        };
        // The whole line's syntax first, which costs no stack however deep values are nested: reading strings as bytes, as below,
        // would let control characters pass.
        serde_json::from_slice::<IgnoredAny>(line).map_err(malformed)?;
        let fields = serde_json::Deserializer::from_slice(line)
            .deserialize_any(FieldsVisitor)
            .map_err(malformed)?;
        Ok(match fields.command.as_deref() {
            Some("keep-alive") => Self::KeepAlive,
            Some("conn-ready") => Self::ConnReady {
                conn_path: fields.conn_path.unwrap_or_default(),
            },
            Some("pickup-failed") => Self::PickupFailed {
                conn_path: fields.conn_path.filter(|path| !path.is_empty()),
                error: fields.err.unwrap_or_default(),
            },
            _ => Self::Unknown,
        })
    }

    /// The line with its newline, byte for byte as Go writes it, and never over [`MAX_LINE_BYTES`].
    ///
    /// What does not fit is cut from the text of a [`PickupFailed`](Self::PickupFailed), whose path is left out if it
    /// is long. A [`ConnReady`](Self::ConnReady) from a [`PickupPath`](super::PickupPath) always fits;
    /// a longer one is cut, too. [`Unknown`](Self::Unknown) is `{}`, which peers ignore.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        const END: &str = "\"}\n";
        let mut line = String::new();
        match self {
            Self::KeepAlive => return Bytes::from_static(b"{\"command\":\"keep-alive\"}\n"),
            Self::Unknown => return Bytes::from_static(b"{}\n"),
            Self::ConnReady { conn_path } => {
                line.push_str("{\"command\":\"conn-ready");
                if !conn_path.is_empty() {
                    line.push_str("\",\"connPath\":\"");
                    push_escaped(&mut line, conn_path, MAX_LINE_BYTES - END.len());
                }
            }
            Self::PickupFailed { conn_path, error } => {
                line.push_str("{\"command\":\"pickup-failed");
                if let Some(path) = conn_path.as_deref().filter(|path| !path.is_empty()) {
                    let without = line.len();
                    line.push_str("\",\"connPath\":\"");
                    if !push_escaped(&mut line, path, MAX_FAILED_PATH_BYTES) {
                        line.truncate(without);
                    }
                }
                if !error.is_empty() {
                    line.push_str("\",\"err\":\"");
                    push_escaped(&mut line, error, MAX_LINE_BYTES - END.len());
                }
            }
        }
        line.push_str(END);
        debug_assert!(line.len() <= MAX_LINE_BYTES);
        line.into()
    }
}

/// Cuts what was received into lines, and reads them.
///
/// Holds no memory between lines, and at most [`MAX_LINE_BYTES`] within one.
#[derive(Debug, Default)]
pub struct LineDecoder {
    partial: Vec<u8>,
}

impl LineDecoder {
    /// Takes the next line off `input`, which then begins behind it; `None` if `input` ends within a line.
    ///
    /// However the bytes of a connection are cut into inputs, the messages are the same.
    ///
    /// # Errors
    ///
    /// [`ControlError`]. What lies behind such a line means nothing.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Message>, ControlError> {
        let Some(newline) = input.iter().position(|&byte| byte == b'\n') else {
            // A line of so many bytes that still lacks its newline is too long already.
            if self.partial.len() + input.len() >= MAX_LINE_BYTES {
                return Err(ControlError::LineTooLong);
            }
            self.partial.extend_from_slice(input);
            *input = &[];
            return Ok(None);
        };
        let (line, rest) = input.split_at(newline + 1);
        *input = rest;
        if self.partial.len() + line.len() > MAX_LINE_BYTES {
            return Err(ControlError::LineTooLong);
        }
        if self.partial.is_empty() {
            return Message::decode(line).map(Some);
        }
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(line);
        Message::decode(&whole).map(Some)
    }
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineTooLong => write!(f, "control line is longer than {MAX_LINE_BYTES} bytes"),
            Self::Malformed { reason } => write!(f, "malformed control line: {reason}"),
        }
    }
}

impl std::error::Error for ControlError {}

/// Appends `text` as the inside of a JSON string while the line stays within `limit` bytes; false if it was cut.
///
/// The escapes are those of Go's `encoding/json`, which also hides `<`, `>` and `&` from HTML.
fn push_escaped(line: &mut String, text: &str, limit: usize) -> bool {
    let mut escaped = String::new();
    for c in text.chars() {
        escaped.clear();
        match c {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            '\u{8}' => escaped.push_str("\\b"),
            '\u{c}' => escaped.push_str("\\f"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                write!(escaped, "\\u{:04x}", u32::from(c)).expect("a String takes everything");
            }
            _ => escaped.push(c),
        }
        if line.len() + escaped.len() > limit {
            return false;
        }
        line.push_str(&escaped);
    }
    true
}

#[derive(Default)]
struct Fields {
    command: Option<String>,
    conn_path: Option<String>,
    err: Option<String>,
}

/// Reads the object by hand: a derived reader knows neither other letter cases nor keys that come twice.
struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_unit<E>(self) -> Result<Fields, E> {
        Ok(Fields::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = map.next_key::<Text>()? {
            let field = match key.0.as_deref() {
                Some(key) if key.eq_ignore_ascii_case("command") => &mut fields.command,
                Some(key) if key.eq_ignore_ascii_case("connPath") => &mut fields.conn_path,
                Some(key) if key.eq_ignore_ascii_case("err") => &mut fields.err,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            // `null` leaves the field as it was.
            if let Some(text) = map.next_value::<Text>()?.0 {
                *field = Some(text);
            }
        }
        Ok(fields)
    }
}

/// A string or `null`. What is not UTF-8 is replaced, as Go does, instead of refused.
struct Text(Option<String>);

impl<'de> serde_core::Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_none<E>(self) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_unit<E>(self) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Text, D::Error> {
                inner.deserialize_bytes(self)
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text, E> {
                Ok(Text(Some(String::from_utf8_lossy(bytes).into_owned())))
            }
        }

        deserializer.deserialize_option(TextVisitor)
    }
}
