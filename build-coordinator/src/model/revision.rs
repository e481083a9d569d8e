use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// Name of a commit: 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal digits, never abbreviated.
///
/// So it is safe in paths, addresses and command lines.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Revision(Box<str>);

/// The text is no full name of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the 40 or 64 hexadecimal digits of a commit")]
pub struct ParseRevisionError;

impl Revision {
    /// All its digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits: for people, and unique in all but the largest repositories.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl FromStr for Revision {
    type Err = ParseRevisionError;

    fn from_str(text: &str) -> Result<Self, ParseRevisionError> {
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if matches!(text.len(), 40 | 64) && text.bytes().all(hex) {
            Ok(Self(text.into()))
        } else {
            Err(ParseRevisionError)
        }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Revision {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Revision {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_full_names_of_commits_are_revisions() {
        let sha1 = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(sha1.parse::<Revision>().unwrap().short(), "0123456789ab");
        assert!("0".repeat(64).parse::<Revision>().is_ok());
        for wrong in [
            "",
            "HEAD",
            &sha1[1..],
            &sha1.to_uppercase(),
            "--upload-pack=touch /tmp/xxxxxxxxxxxxxxxxx",
        ] {
            assert_eq!(
                wrong.parse::<Revision>(),
                Err(ParseRevisionError),
                "{wrong}"
            );
        }
    }
}
