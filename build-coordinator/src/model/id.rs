use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Number of a build: counts from 1 in each store, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BuildId(pub u64);

/// An attempt at a build: the build's number and the attempt's, which counts from 1. Written `17.2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// What is tried.
    pub build: BuildId,
    /// The how-manieth time; 1 is the first.
    pub number: u32,
}

/// Place of an event in the store's history: later events have greater numbers. There may be gaps.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct EventSeq(pub u64);

/// The text is no number of a build or attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a number of a {what}")]
pub struct ParseIdError {
    what: &'static str,
}

impl BuildId {
    /// The attempt at this build with the number `number`.
    #[must_use]
    pub fn attempt(self, number: u32) -> AttemptId {
        AttemptId {
            build: self,
            number,
        }
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for EventSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.build, self.number)
    }
}

impl FromStr for BuildId {
    type Err = ParseIdError;

    /// Decimal digits, not 0, at most what fits a signed 64-bit number: databases have no other.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        match positive(text) {
            Some(number) if i64::try_from(number).is_ok() => Ok(Self(number)),
            _ => Err(ParseIdError { what: "build" }),
        }
    }
}

impl FromStr for AttemptId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = ParseIdError { what: "attempt" };
        let (build, number) = text.split_once('.').ok_or(error)?;
        Ok(Self {
            build: build.parse().map_err(|_| error)?,
            number: positive(number)
                .and_then(|number| u32::try_from(number).ok())
                .ok_or(error)?,
        })
    }
}

impl Serialize for AttemptId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AttemptId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// `u64::from_str` takes a sign and leading zeros; an address has one form.
fn positive(text: &str) -> Option<u64> {
    match text.as_bytes() {
        [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_form() {
        assert_eq!("17.2".parse(), Ok(BuildId(17).attempt(2)));
        assert_eq!(BuildId(17).attempt(2).to_string(), "17.2");
        assert_eq!("9223372036854775807".parse(), Ok(BuildId(i64::MAX as u64)));
        for wrong in [
            "",
            "0",
            "+1",
            "01",
            "1 ",
            "9223372036854775808",
            "99999999999999999999",
        ] {
            assert!(wrong.parse::<BuildId>().is_err(), "{wrong:?}");
        }
        for wrong in ["17", "17.", ".2", "17.0", "17.2.3", "17.4294967296"] {
            assert!(wrong.parse::<AttemptId>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_attempt_is_a_string_in_json() {
        let id = BuildId(3).attempt(1);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, r#""3.1""#);
        assert_eq!(serde_json::from_str::<AttemptId>(&json).unwrap(), id);
    }
}
