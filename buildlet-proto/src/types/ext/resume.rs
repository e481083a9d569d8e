use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use subtle::ConstantTimeEq as _;

use super::ParseExtError;

/// Form field of `/exec` and `/attach`: a [`ResumeKey`].
pub const RESUME_FIELD: &str = "resume";
/// Form field of `/exec` and `/attach`: which command of those with the same key, as a decimal number.
pub const PART_FIELD: &str = "part";
/// Form field of `/exec`: how long the command outlives its connection, as decimal milliseconds and `ms`.
pub const GRACE_FIELD: &str = "grace";
/// Form field of `/attach`: how many bytes of the output the client has, as a decimal number.
pub const OFFSET_FIELD: &str = "offset";
/// Form field of `/abandon`, any number of times: a [`KeptName`].
pub const NAME_FIELD: &str = "name";

/// What lets its owner come back to a command: a name that is public, and 128 secret bits. It should be random, and be used for one
/// piece of work (such as an attempt at a build), whose commands are its parts.
///
/// Two are compared in constant time; `Debug` shows the name alone.
///
/// ```
/// use buildlet_proto::types::ext::ResumeKey;
/// let key = ResumeKey::from_bytes([0xa5; 24]); // in earnest: from the operating system
/// assert_eq!(key.to_text(), "a5a5a5a5a5a5a5a5-a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5");
/// assert_eq!(key.to_text().parse::<ResumeKey>().unwrap(), key);
/// assert_eq!(key.name().to_string(), "a5a5a5a5a5a5a5a5");
/// ```
#[derive(Clone)]
pub struct ResumeKey {
    name: KeptName,
    secret: [u8; 16],
}

/// The public half of a [`ResumeKey`]: tells commands apart, and is of no use for coming back to one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeptName(u64);

/// That a command outlives its connection, and how its owner comes back to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    key: ResumeKey,
    part: u32,
    grace: Option<Duration>,
}

/// A command that a buildlet keeps, as its status tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct KeptCommand {
    /// Whose it is.
    pub name: KeptName,
    /// Which of its owner's.
    pub part: u32,
    /// Whether it runs; if not, its end waits to be asked for.
    pub running: bool,
}

impl ResumeKey {
    /// The key of these bytes: 8 of the name and 16 that are secret.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 24]) -> Self {
        let [a, b, c, d, e, f, g, h, secret @ ..] = bytes;
        Self {
            name: KeptName(u64::from_be_bytes([a, b, c, d, e, f, g, h])),
            secret,
        }
    }

    /// Its public half.
    #[must_use]
    pub fn name(&self) -> KeptName {
        self.name
    }

    /// The key with its secret, in 49 letters.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}-{:032x}", self.name, u128::from_be_bytes(self.secret))
    }
}

impl FromStr for ResumeKey {
    type Err = ParseExtError;

    fn from_str(text: &str) -> Result<Self, ParseExtError> {
        let error = ParseExtError { name: RESUME_FIELD };
        let (name, secret) = text.split_once('-').ok_or(error.clone())?;
        let is_plain = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
        if secret.len() != 32 || !secret.bytes().all(is_plain) {
            return Err(error);
        }
        let secret = u128::from_str_radix(secret, 16).map_err(|_| error.clone())?;
        Ok(Self {
            name: name.parse().map_err(|_| error)?,
            secret: secret.to_be_bytes(),
        })
    }
}

impl PartialEq for ResumeKey {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.secret.ct_eq(&other.secret).into()
    }
}

impl Eq for ResumeKey {}

impl fmt::Debug for ResumeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResumeKey({})", self.name)
    }
}

impl KeptName {
    /// Reads a form field that the peer sent.
    #[cfg(feature = "server")]
    pub(crate) fn from_field(text: &[u8]) -> Result<Self, ParseExtError> {
        str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or(ParseExtError { name: NAME_FIELD })
    }
}

impl FromStr for KeptName {
    type Err = ParseExtError;

    fn from_str(text: &str) -> Result<Self, ParseExtError> {
        let is_plain = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
        (text.len() == 16 && text.bytes().all(is_plain))
            .then(|| u64::from_str_radix(text, 16).ok().map(Self))
            .flatten()
            .ok_or(ParseExtError { name: NAME_FIELD })
    }
}

impl fmt::Display for KeptName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for KeptName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Resume {
    /// The command is this part of the work that has this key. A part may begin when the one before has ended, and takes its place.
    #[must_use]
    pub fn new(key: ResumeKey, part: u32) -> Self {
        Self {
            key,
            part,
            grace: None,
        }
    }

    /// How long the command outlives its connection; by default two minutes. The buildlet may have a lower limit.
    #[must_use]
    pub fn grace(mut self, time: Duration) -> Self {
        self.grace = Some(time);
        self
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &ResumeKey {
        &self.key
    }

    /// Which command of those with the key.
    #[must_use]
    pub fn part(&self) -> u32 {
        self.part
    }

    /// How long the command is to outlive its connection, if that was said.
    #[must_use]
    pub fn grace_time(&self) -> Option<Duration> {
        self.grace
    }
}

impl KeptCommand {
    /// A command as a status tells of it.
    #[must_use]
    pub fn new(name: KeptName, part: u32, running: bool) -> Self {
        Self {
            name,
            part,
            running,
        }
    }
}

/// A decimal number, without sign.
pub(crate) fn number<T: FromStr>(text: &[u8], name: &'static str) -> Result<T, ParseExtError> {
    let digits = str::from_utf8(text).ok();
    let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or(ParseExtError { name })
}

/// Which command a request speaks of; `None` if it speaks of none that is kept.
pub(crate) fn key_and_part<'a>(
    first: impl Fn(&str) -> Option<&'a [u8]>,
) -> Result<Option<(ResumeKey, u32)>, ParseExtError> {
    let Some(key) = first(RESUME_FIELD) else {
        return Ok(None);
    };
    let key = str::from_utf8(key).map_err(|_| ParseExtError { name: RESUME_FIELD })?;
    let part = first(PART_FIELD)
        .map(|text| number(text, PART_FIELD))
        .transpose()?;
    Ok(Some((key.parse()?, part.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_read_as_they_are_written(bytes in any::<[u8; 24]>()) {
            let key = ResumeKey::from_bytes(bytes);
            let text = key.to_text();
            prop_assert_eq!(&text.parse::<ResumeKey>().unwrap(), &key);
            prop_assert_eq!(key.name().to_string().parse::<KeptName>().unwrap(), key.name());
            prop_assert!(!format!("{key:?}").contains(&text[17..]), "the secret is shown");
        }

        #[test]
        fn what_is_read_is_written_as_it_came(text in "[0-9a-fA-F+ _-]{0,60}") {
            if let Ok(key) = text.parse::<ResumeKey>() {
                prop_assert_eq!(key.to_text(), text);
            }
        }

        #[test]
        fn another_secret_is_another_key(bytes in any::<[u8; 24]>(), at in 8_usize..24, bit in 0_u8..8) {
            let mut other = bytes;
            other[at] ^= 1 << bit;
            prop_assert_ne!(ResumeKey::from_bytes(bytes), ResumeKey::from_bytes(other));
        }
    }

    #[test]
    fn numbers_have_no_sign_and_an_end() {
        assert_eq!(number::<u32>(b"17", PART_FIELD), Ok(17));
        for bad in [&b""[..], b"+1", b"-1", b"1 ", b"4294967296", b"\xff"] {
            assert!(number::<u32>(bad, PART_FIELD).is_err(), "{bad:?}");
        }
    }
}
