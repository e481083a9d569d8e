use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment with nanoseconds: when an event came, and its place in the order of events.
///
/// Its text is RFC 3339 in UTC, the fraction without trailing zeros: `2026-11-21T01:43:20.5Z`, as Go's `time.RFC3339Nano` has it.
/// Any offset is read, but no other spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(Timestamp);

/// Says that a text is no time of RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time of RFC 3339, as 2026-11-21T01:43:20.5Z is")]
pub struct ParseTimeError;

impl Time {
    /// A nanosecond later; the same at the end of the year 9999.
    pub(crate) fn next(self) -> Self {
        let later = self.0.saturating_add(Duration::from_nanos(1));
        Self(later.unwrap_or(Timestamp::MAX))
    }

    pub(crate) fn minus(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(time).unwrap_or(Timestamp::MIN))
    }
}

impl From<SystemTime> for Time {
    /// Clocks beyond the year 9999 stand at its end.
    fn from(time: SystemTime) -> Self {
        Self(Timestamp::try_from(time).unwrap_or(Timestamp::MAX))
    }
}

impl FromStr for Time {
    type Err = ParseTimeError;

    fn from_str(text: &str) -> Result<Self, ParseTimeError> {
        // jiff reads more spellings than RFC 3339 has.
        if !is_spelled_as_rfc_3339(text.as_bytes()) {
            return Err(ParseTimeError);
        }
        text.parse().map(Self).map_err(|_| ParseTimeError)
    }
}

/// Whether it is `YYYY-MM-DDThh:mm:ss`, a fraction of one to nine digits or none, and `Z` or an offset; 60 is no second.
fn is_spelled_as_rfc_3339(text: &[u8]) -> bool {
    const DATE: &[u8] = b"0000-00-00T00:00:00";
    let Some((date, rest)) = text.split_at_checked(DATE.len()) else {
        return false;
    };
    let fraction = match rest.strip_prefix(b".") {
        Some(rest) => rest.iter().take_while(|b| b.is_ascii_digit()).count() + 1,
        None => 0,
    };
    let zone = &rest[fraction..];
    has_shape(date, DATE)
        && date[17] < b'6'
        && fraction != 1
        && fraction <= 10
        && (zone == b"Z" || has_shape(zone, b"+00:00") || has_shape(zone, b"-00:00"))
}

/// Whether digits stand where `shape` has `0`, and elsewhere the same bytes.
fn has_shape(text: &[u8], shape: &[u8]) -> bool {
    text.len() == shape.len()
        && (text.iter().zip(shape)).all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            other => byte == other,
        })
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_and_fractions_are_read_and_utc_is_written() {
        for (text, written) in [
            ("2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00Z"),
            ("2026-01-01T00:00:00.5Z", "2026-01-01T00:00:00.5Z"),
            ("2026-01-01T00:00:00.500000000Z", "2026-01-01T00:00:00.5Z"),
            (
                "2026-01-01T00:00:00.123456789-00:30",
                "2026-01-01T00:30:00.123456789Z",
            ),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(text.parse::<Time>().unwrap().to_string(), written);
        }
    }

    #[test]
    fn other_spellings_are_no_times() {
        for text in [
            "",
            "bad",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01 00:00:00Z",
            "2026-01-01t00:00:00z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.1234567890Z",
            "2026-01-01T00:00:60Z",
            "2026-02-30T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00+0100",
            "+002026-01-01T00:00:00Z",
            "2026-01-01T00:00:00Z[UTC]",
            "２026-01-01T00:00:00Z",
        ] {
            assert_eq!(text.parse::<Time>(), Err(ParseTimeError), "{text}");
        }
    }
}
