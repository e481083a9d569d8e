use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A point in time, to the nanosecond, as Gerrit writes it: `2012-07-17 07:18:30.854000000`, always UTC.
///
/// Years 1 to 9999. Reading accepts up to nine digits after the point, or no point at all; writing leaves zeros at the end out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::Timestamp);

/// A text is no time of Gerrit's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a time like 2012-07-17 07:18:30.854")]
pub struct ParseTimestampError {
    text: String,
}

impl Timestamp {
    /// Seconds since 1970-01-01 00:00:00 UTC, rounded towards it.
    #[must_use]
    pub fn unix_seconds(self) -> i64 {
        self.0.as_second()
    }

    /// What [`unix_seconds`](Self::unix_seconds) leaves out, in nanoseconds; not positive before 1970.
    #[must_use]
    pub fn subsecond_nanos(self) -> i32 {
        self.0.subsec_nanosecond()
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        time.0.into()
    }
}

impl TryFrom<SystemTime> for Timestamp {
    type Error = ParseTimestampError;

    fn try_from(time: SystemTime) -> Result<Self, ParseTimestampError> {
        let wrong = |_| ParseTimestampError {
            text: format!("{time:?}"),
        };
        let time = jiff::Timestamp::try_from(time).map_err(wrong)?;
        let year = time.to_zoned(TimeZone::UTC).year();
        if year < 1 {
            return Err(ParseTimestampError {
                text: time.to_string(),
            });
        }
        Ok(Self(time))
    }
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, ParseTimestampError> {
        parse(text).ok_or_else(|| ParseTimestampError {
            text: text.chars().take(64).collect(),
        })
    }
}

fn parse(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, fraction),
        None => (text, "0"),
    };
    let bytes = whole.as_bytes();
    let shape = b"0000-00-00 00:00:00";
    let is_shaped = bytes.len() == shape.len()
        && bytes.iter().zip(shape).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            _ => byte == form,
        });
    let is_fraction =
        (1..=9).contains(&fraction.len()) && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if !is_shaped || !is_fraction {
        return None;
    }
    let number = |range: std::ops::Range<usize>| whole[range].parse::<i16>().ok();
    let small = |range| number(range).and_then(|number| i8::try_from(number).ok());
    let nanos = format!("{fraction:0<9}").parse().ok()?;
    let year = number(0..4).filter(|&year| year > 0)?;
    let civil = DateTime::new(
        year,
        small(5..7)?,
        small(8..10)?,
        small(11..13)?,
        small(14..16)?,
        small(17..19)?,
        nanos,
    );
    let zoned = civil.ok()?.to_zoned(TimeZone::UTC).ok()?;
    Some(Timestamp(zoned.timestamp()))
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = TimeZone::UTC.to_datetime(self.0);
        write!(
            f,
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
            time.year(),
            time.month(),
            time.day(),
            time.hour(),
            time.minute(),
            time.second()
        )?;
        match time.subsec_nanosecond() {
            0 => Ok(()),
            nanos => write!(f, ".{}", format!("{nanos:09}").trim_end_matches('0')),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn times_are_read_and_written_as_upstream_does() {
        let vectors: Value =
            serde_json::from_str(include_str!("../tests/data/timestamps.json")).unwrap();
        for vector in vectors["encode"].as_array().unwrap() {
            let instant = vector["instant"].as_str().unwrap();
            // An unset time is absent with us.
            if instant.contains("unset") {
                continue;
            }
            let time = Timestamp(instant.parse().unwrap());
            assert_eq!(serde_json::to_string(&time).unwrap(), vector["json"]);
        }
        for vector in vectors["decode"].as_array().unwrap() {
            let json = vector["json"].as_str().unwrap();
            let read = serde_json::from_str::<Option<Timestamp>>(json);
            match vector["ok"].as_str() {
                Some(instant) => assert_eq!(read.unwrap().unwrap().0, instant.parse().unwrap()),
                None if json == "null" => assert_eq!(read.unwrap(), None),
                None => assert!(read.is_err(), "{json}"),
            }
        }
    }

    #[test]
    fn what_only_looks_like_a_time_is_refused() {
        for text in [
            "2012-02-30 00:00:00",
            "2012-07-17 07:18:30.",
            "2012-07-17 07:18:30.1234567890",
            "2012-07-17 07:18",
            "0000-01-01 00:00:00",
            "２012-07-17 07:18:30",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_time_survives_a_round_trip(seconds in -62_135_596_800_i64..=253_402_207_200, nanos in 0..1_000_000_000_i32) {
            let time = Timestamp(jiff::Timestamp::new(seconds, 0).unwrap()
                + jiff::SignedDuration::new(0, nanos));
            prop_assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = text.parse::<Timestamp>();
        }
    }
}
