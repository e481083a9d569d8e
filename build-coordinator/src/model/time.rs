use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment, to the microsecond: what databases keep. In JSON and as text RFC 3339 in UTC, `2026-11-21T10:45:54.000123Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The text is no RFC 3339 time.
#[derive(Debug, thiserror::Error)]
#[error("not a time as RFC 3339 writes it")]
pub struct ParseTimestampError;

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// The operating system's time.
    #[must_use]
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// From microseconds since 1970-01-01T00:00:00Z, cut to 0001-01-01T00:00:00Z and 9999-12-30T00:00:00Z.
    #[must_use]
    pub fn from_micros(micros: i64) -> Self {
        const MIN: i64 = -62_135_596_800_000_000;
        const MAX: i64 = 253_402_128_000_000_000;
        Self(micros.clamp(MIN, MAX))
    }

    /// The time from `earlier` to this one; zero if `earlier` is later, as when a clock was set back.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This time and `duration` more, as far as times go.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(self.0.saturating_add(micros))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let micros = match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |m| -m),
        };
        Self::from_micros(micros)
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        let distance = Duration::from_micros(time.0.unsigned_abs());
        if time.0 < 0 {
            Self::UNIX_EPOCH - distance
        } else {
            Self::UNIX_EPOCH + distance
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        jiff::Timestamp::from_microsecond(self.0)
            .expect("no other is made")
            .fmt(f)
    }
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    /// Parts of a microsecond are cut off.
    fn from_str(text: &str) -> Result<Self, ParseTimestampError> {
        let time: jiff::Timestamp = text.parse().map_err(|_| ParseTimestampError)?;
        Ok(Self::from_micros(time.as_microsecond()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_the_same_after_text_json_and_system_time() {
        for micros in [0, 1, -1, 1_795_258_000_000_123, -61_000_000_000_000_001] {
            let time = Timestamp::from_micros(micros);
            assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
            assert_eq!(Timestamp::from(SystemTime::from(time)), time);
            let json = serde_json::to_string(&time).unwrap();
            assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), time);
        }
        assert_eq!(
            Timestamp::from_micros(1_000_001).to_string(),
            "1970-01-01T00:00:01.000001Z"
        );
    }

    #[test]
    fn no_number_is_a_time_that_cannot_be_written() {
        for micros in [i64::MIN, i64::MAX] {
            let time = Timestamp::from_micros(micros);
            assert!(!time.to_string().is_empty());
            assert_eq!(
                time.after(Duration::MAX).after(Duration::MAX).since(time),
                { Timestamp::from_micros(i64::MAX).since(time) }
            );
        }
    }
}
