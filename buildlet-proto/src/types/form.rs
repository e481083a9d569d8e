use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::ops::Range;

/// The fields of a query or of an `application/x-www-form-urlencoded` body: keys, each with its values in order.
///
/// Written sorted by key, escaped as Go's `net/url` does; read as tolerantly as it does: a field with a bad escape or with a
/// `;` is dropped, the others count. Values are bytes, for a path or an argument need not be text.
///
/// ```
/// use buildlet_proto::types::Form;
/// let form = Form::parse(b"path=a&mode=420&path=b%2Fc+d&broken=%zz")?;
/// assert_eq!(form.get("path"), Some(&b"a"[..]));
/// assert_eq!(form.get_all("path").collect::<Vec<_>>(), [&b"a"[..], b"b/c d"]);
/// assert_eq!(form.encode(), "mode=420&path=a&path=b%2Fc+d");
/// # Ok::<(), buildlet_proto::types::FormError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Form {
    /// The fields in the order in which they came.
    fields: Vec<Field>,
    /// What the fields point into: one allocation, however many they are.
    bytes: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq)]
struct Field {
    key: Range<usize>,
    value: Range<usize>,
}

impl Form {
    /// Upper limit for the length of a form, as upstream has it: 10 MiB.
    pub const MAX_BYTES: usize = 10 << 20;

    /// Upper limit for the number of fields. Far above the arguments of any command, and it keeps what an attacker can
    /// make of 10 MiB of `&a&a&a` below 2 MiB beside the text.
    pub const MAX_FIELDS: usize = 1 << 15;

    /// A form without fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads an encoded query or body.
    ///
    /// # Errors
    ///
    /// When it is longer than [`MAX_BYTES`](Self::MAX_BYTES) or has more than [`MAX_FIELDS`](Self::MAX_FIELDS) fields.
    /// Upstream takes such a form for an empty one.
    pub fn parse(encoded: &[u8]) -> Result<Self, FormError> {
        if encoded.len() > Self::MAX_BYTES {
            return Err(FormError::TooLong);
        }
        let mut form = Self::new();
        form.bytes.reserve(encoded.len());
        for pair in encoded.split(|byte| *byte == b'&') {
            if pair.is_empty() || pair.contains(&b';') {
                continue;
            }
            let (key, value) = match pair.iter().position(|byte| *byte == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &b""[..]),
            };
            let start = form.bytes.len();
            let key = unescape(key, &mut form.bytes);
            let value = key.and_then(|_| unescape(value, &mut form.bytes));
            match (key, value) {
                (Some(key), Some(value)) => form.fields.push(Field {
                    key: start..key,
                    value: key..value,
                }),
                _ => form.bytes.truncate(start),
            }
            if form.fields.len() > Self::MAX_FIELDS {
                return Err(FormError::TooManyFields);
            }
        }
        Ok(form)
    }

    /// Adds a value at the end of those of `key`.
    pub fn add(&mut self, key: &str, value: impl AsRef<[u8]>) -> &mut Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key.as_bytes());
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(value.as_ref());
        self.fields.push(Field {
            key: start..middle,
            value: middle..self.bytes.len(),
        });
        self
    }

    /// The first value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.get_all(key).next()
    }

    /// The values of `key`, in order.
    pub fn get_all(&self, key: &str) -> impl Iterator<Item = &[u8]> {
        self.pairs()
            .filter_map(move |(k, value)| (k == key.as_bytes()).then_some(value))
    }

    /// The first value of `key`, as a boolean: `1 t T TRUE true True` are true, all else is false, as with Go's `strconv.ParseBool`.
    #[must_use]
    pub fn get_bool(&self, key: &str) -> bool {
        self.get(key)
            .is_some_and(|value| super::parse_bool(&String::from_utf8_lossy(value)))
    }

    /// The fields in the order in which they came.
    pub fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| {
            (
                &self.bytes[field.key.clone()],
                &self.bytes[field.value.clone()],
            )
        })
    }

    /// Whether there are no fields.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The text for a query or a body: fields sorted by key, values of a key in their order.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut sorted: BTreeMap<&[u8], Vec<&[u8]>> = BTreeMap::new();
        for (key, value) in self.pairs() {
            sorted.entry(key).or_default().push(value);
        }
        let mut text = String::with_capacity(self.bytes.len() + 2 * self.fields.len());
        for (key, values) in sorted {
            for value in values {
                if !text.is_empty() {
                    text.push('&');
                }
                escape(key, &mut text);
                text.push('=');
                escape(value, &mut text);
            }
        }
        text
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lossy = |bytes| String::from_utf8_lossy(bytes);
        f.debug_list()
            .entries(self.pairs().map(|(key, value)| (lossy(key), lossy(value))))
            .finish()
    }
}

/// A form is beyond the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormError {
    /// It is longer than [`Form::MAX_BYTES`].
    TooLong,
    /// It has more than [`Form::MAX_FIELDS`] fields.
    TooManyFields,
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "form longer than {} bytes", Form::MAX_BYTES),
            Self::TooManyFields => write!(f, "form with more than {} fields", Form::MAX_FIELDS),
        }
    }
}

impl std::error::Error for FormError {}

/// The bytes of a string of the operating system: what Unix has, UTF-8 elsewhere (unpaired surrogates of Windows in WTF-8).
#[must_use]
pub(crate) fn os_bytes(text: &OsStr) -> &[u8] {
    text.as_encoded_bytes()
}

/// The string of the operating system that these bytes are. Where it wants text, bytes that are none become U+FFFD, as
/// in Go.
pub(crate) fn os_string(bytes: &[u8]) -> OsString {
    #[cfg(unix)]
    return std::os::unix::ffi::OsStringExt::from_vec(bytes.to_vec());
    #[cfg(not(unix))]
    String::from_utf8_lossy(bytes).into_owned().into()
}

/// Appends the bytes that `escaped` stands for and returns the new length, or `None` at a bad escape.
fn unescape(escaped: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let mut rest = escaped;
    while let [first, tail @ ..] = rest {
        rest = tail;
        out.push(match first {
            b'+' => b' ',
            b'%' => {
                let ([high, low], tail) = rest.split_first_chunk()?;
                rest = tail;
                hex_digit(*high)? << 4 | hex_digit(*low)?
            }
            plain => *plain,
        });
    }
    Some(out.len())
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

fn escape(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(*byte));
            }
            b' ' => out.push('+'),
            _ => {
                out.push('%');
                out.push(char::from(DIGITS[usize::from(byte >> 4)]));
                out.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
        }
    }
}

/// `text` for people, of a field that was sent.
pub(crate) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(encoded: &str) -> Vec<(String, String)> {
        let text = |bytes| lossy(bytes).into_owned();
        Form::parse(encoded.as_bytes())
            .unwrap()
            .pairs()
            .map(|(key, value)| (text(key), text(value)))
            .collect()
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(key, value)| (String::from(*key), String::from(*value)))
            .collect()
    }

    #[test]
    fn only_the_field_with_a_bad_escape_is_dropped() {
        assert_eq!(
            pairs("a=1&b=%zz&%4=2&c=%4&d=3;e=4&f"),
            owned(&[("a", "1"), ("f", "")])
        );
    }

    #[test]
    fn the_first_equals_sign_divides() {
        assert_eq!(
            pairs("&&env=A%3D1=2&=x&%20+%2B"),
            owned(&[("env", "A=1=2"), ("", "x"), ("  +", "")])
        );
    }

    #[test]
    fn what_go_leaves_as_it_is_is_left() {
        let mut form = Form::new();
        form.add("k", "aZ09-_.~*! $&+,/:;=?@\u{e9}\n");
        assert_eq!(
            form.encode(),
            "k=aZ09-_.~%2A%21+%24%26%2B%2C%2F%3A%3B%3D%3F%40%C3%A9%0A"
        );
    }

    #[test]
    fn limits_are_told() {
        let long = vec![b'a'; Form::MAX_BYTES + 1];
        assert_eq!(Form::parse(&long), Err(FormError::TooLong));
        assert!(Form::parse(&long[1..]).is_ok());
        let fields = vec!["a"; Form::MAX_FIELDS].join("&");
        assert!(Form::parse(fields.as_bytes()).is_ok());
        let more = fields + "&a";
        assert_eq!(Form::parse(more.as_bytes()), Err(FormError::TooManyFields));
    }
}
